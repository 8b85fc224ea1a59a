"""Stages by their definitions, and stages that do not occur."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from dynsim import GradientDescent, SignGD
from dynsim.claims import Inconclusive
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.stages import COLUMNS, stage_table


@pytest.fixture(scope="module")
def run():
    return signal_noise.experiment("figure3_disjoint").replace(record=None).run()


def test_stages_end_where_their_definitions_first_hold(run):
    table = stage_table(run)
    A, B = run["mean_value_signal"], run["mean_value_noise"]
    one, two, three = (table[n].end for n in ("I", "II", "III"))
    assert (B[one] > A[one]).all() and not (B[one - 1] > A[one - 1]).all()
    aligned = (np.sign(run["query_noise"]) == np.sign(run["key_noise"])).all((1, 2))
    assert aligned[two] and not aligned[one:two].any()
    assert one <= two <= three
    assert [s.first for s in table.stages] == [0, one, two, three]


def test_numbers_before_and_after_are_those_of_the_neighbouring_steps(run):
    stage = stage_table(run)["II"]
    assert stage.before["train_loss"] == run["train_loss"][stage.end - 1]
    assert stage.after["train_loss"] == run["train_loss"][stage.end]
    assert stage.before["pairs aligned"] < 1 == stage.after["pairs aligned"]


def test_predictions_stand_beside(run):
    table = stage_table(run)
    assert table["I"].predicted == table["I"].end  # exact on disjoint supports
    marks = {m.name: m for m in table.marks}
    assert abs(marks["key noise turns"].measured / marks["key noise turns"].predicted - 1) < 0.1
    assert abs(marks["mean softmax_11 < 0.1"].measured / marks["mean softmax_11 < 0.1"].predicted - 1) < 0.05


def test_csv_and_html_have_every_row(run):
    table = stage_table(run)
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows[0] == list(COLUMNS) and len(rows) == 1 + len(table.stages) + len(table.marks)
    assert {len(r) for r in rows} == {len(COLUMNS)}
    assert table._repr_html_().count("<tr>") == len(rows)


def cells(latex):
    """Return the body of a LaTeX table as rows of cells."""
    body = latex.split("\\midrule\n")[1].split("\\bottomrule")[0]
    return [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in body.splitlines()]


def test_latex_has_every_stage_and_mark(run):
    table = stage_table(run)
    latex = table.to_latex("The stages.", "tab:stages")
    assert r"\caption{The stages.}" in latex and r"stage & name & first & last & predicted end & ended by \\" in latex
    rows = cells(latex)
    assert len(rows) == len(table.stages) + len(table.marks)
    for row, s in zip(rows, table.stages, strict=False):
        assert row[:3] == [s.number, s.name, str(s.first)] and row[3] == str(s.end - 1)
        assert float(row[4]) == pytest.approx(s.predicted, rel=5e-4)
        assert row[5].replace(r"\_", "_").replace(r"\textgreater{}", ">").replace(r"\textless{}", "<") == s.definition
    for row, m in zip(rows[len(table.stages):], table.marks, strict=True):
        assert row[2] == f"{m.measured:.0f}" and row[3] == "--" and row[4] == ("--" if np.isnan(m.predicted) else f"{m.predicted:.4g}")


@pytest.mark.parametrize("preset", signal_noise.PRESETS)
def test_every_preset_has_a_table(preset):
    text = str(stage_table(signal_noise.experiment(preset).run()))
    assert "Stage I (" in text and "nan" not in text


TINY = signal_noise.experiment("tiny").replace(record=None)


def test_signal_stronger_than_noise_never_ends_stage_one():
    table = stage_table(TINY.replace(setting=TINY.setting.replace(mu_norm=1e3, sigma_0=1.0)).run())
    assert table["I"].end is None and table["I"].predicted == np.inf
    assert all(s.first is None and s.end is None for s in table.stages[1:])
    assert "never" in str(table)
    assert cells(table.to_latex())[0][2:5] == ["0", rf"\textgreater{{}} {table.horizon}", r"$\infty$"]
    assert cells(table.to_latex())[1][2:4] == ["--", "--"]


def test_a_horizon_of_zero_and_weights_of_zero_do_not_crash():
    assert stage_table(TINY.replace(steps=0).run()).horizon == 0
    assert str(stage_table(TINY.replace(setting=TINY.setting.replace(sigma_0=0.0)).run()))


def test_a_step_that_overshoots_the_stages_leaves_empty_ones_and_says_so():
    table = stage_table(TINY.replace(optimizer=SignGD(1e3)).run())
    assert table["I"].end <= 1
    assert table["III"].empty and "empty" in str(table)
    assert cells(table.to_latex())[2][3] == "empty"


def test_other_rules_have_stages_but_no_predictions():
    table = stage_table(TINY.replace(optimizer=GradientDescent(0.1)).run())
    assert all(np.isnan(s.predicted) for s in table.stages)


def test_what_was_not_recorded_is_named():
    with pytest.raises(Inconclusive, match="key_noise"):
        stage_table(TINY.replace(record=("mean_value_signal", "mean_value_noise", "query_noise")).run())
