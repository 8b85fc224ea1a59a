"""Figures of a run: what the lines are, where bands and marks stand, and that no run breaks them."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from dynsim import Adam, GradientDescent, SignGD, check, plotting, simulate
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise import figures
from dynsim.systems.signal_noise.figures import FIGURES, MAIN_FIGURES
from dynsim.systems.signal_noise.predictions import loss_bounds
from dynsim.systems.signal_noise.reading import reading
from dynsim.systems.signal_noise.stages import stage_table
from tests.test_plotting import collisions

AXES = {"figure1": 6, "figure3": 6, "horizon": 6, "loss": 2, "clock": 2, "stages": 2}
PANELS = [getattr(figures, name) for name in figures.__all__ if name.startswith("plot_")]
SMALL = signal_noise.Setting(n=5, d=100, s=8, m_k=8, m_v=2, sigma_0=0.01, mu_norm=1.0, sigma_p=2.0)


def small_run(setting=SMALL, rule=None, *, steps=60, **options):
    rule = SignGD(1e-3) if rule is None else rule
    return simulate(signal_noise.best(setting, rule, seed=0), rule, steps=steps, **options)


def preset_run(name, **changes):
    experiment = signal_noise.experiment(name)
    record = tuple(quantity for quantity in experiment.record if not quantity.startswith("test_"))
    return experiment.replace(record=record, **changes).run()


@pytest.fixture(scope="module")
def overlapping():
    return preset_run("figure3")


@pytest.fixture(scope="module")
def disjoint():
    return preset_run("figure3_disjoint")


@pytest.fixture(scope="module")
def tiny():
    return signal_noise.experiment("tiny").run()


def labelled(ax, start):
    """The line whose legend entry starts so."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return found


def lines_at(ax, step):
    """Vertical lines at a step."""
    return [line for line in ax.lines if len(line.get_xdata()) == 2 and np.allclose(line.get_xdata(), step, rtol=0, atol=1e-9)]


# -- what is drawn ------------------------------------------------------------------------------------------------


def test_figures_and_their_main_ones_are_registered():
    assert set(AXES) == set(FIGURES) and set(MAIN_FIGURES) <= set(FIGURES)
    assert {name for name in vars(figures) if name.startswith("plot_")} == {plot.__name__ for plot in PANELS}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_titles_and_labels(name, overlapping):
    figure = FIGURES[name](overlapping)
    assert isinstance(figure, Figure) and len(figure.axes) == AXES[name]
    for ax in figure.axes:
        if ax.axison:
            assert ax.get_title(loc="left") and (ax.get_ylabel() or name == "clock")
            assert ax.get_xlabel().startswith("step $t$") or name == "horizon"
    assert any("reconstruction" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("name", FIGURES)
def test_a_run_that_is_no_preset_is_not_called_a_reconstruction(name):
    assert not any("reconstruction" in text.get_text() for text in FIGURES[name](small_run()).texts)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name in ("figure1", "horizon") else []) for name in FIGURES
])
def test_no_texts_meet(name, overlapping, tiny):
    for run in (overlapping, tiny):
        assert collisions(FIGURES[name](run)) == []


@pytest.mark.parametrize("name", FIGURES)
def test_verdicts_are_those_of_the_report(name, disjoint):
    report = check(disjoint)
    shown = [text.get_text() for ax in FIGURES[name](disjoint).axes for text in ax.texts]
    told = [re.fullmatch(r"(\w+): (holds|violated|not applicable|inconclusive)", text) for text in shown]
    told = [match for match in told if match]
    assert told or name in ("horizon", "stages")
    for match in told:
        assert report[match[1]].verdict == match[2]


@pytest.mark.parametrize("plot", PANELS, ids=lambda plot: plot.__name__)
def test_panel_draws_where_it_is_told(plot, tiny):
    ax = plotting.new_axes()
    assert plot(tiny, ax=ax) is ax and ax.get_title(loc="left")
    assert len(ax.figure.axes) == 1
    assert plot(tiny, letter="x").get_title(loc="left").startswith("(x) ")
    parameters = inspect.signature(plot).parameters
    assert parameters["ax"].default is None and parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("plot", PANELS, ids=lambda plot: plot.__name__)
def test_panel_of_its_own_has_room(plot, overlapping):
    assert collisions(plot(overlapping).figure) == []


@pytest.mark.parametrize("name", FIGURES)
def test_figure_fills_the_figure_it_is_given(name, tiny):
    whole = Figure(figsize=(20, 9))
    left, right = whole.subfigures(1, 2)
    assert FIGURES[name](tiny, fig=right) is right
    assert len(right.axes) == AXES[name] and not left.axes


def test_value_lines_are_the_predicted_ones(disjoint):
    ax = figures.plot_value(disjoint)
    r, t = reading(disjoint), disjoint.at
    dashed = [line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata()) > 2]
    shown = len(dashed[0].get_xdata())
    np.testing.assert_allclose(dashed[0].get_ydata(), (r["mean_value_signal"][0] + 2 * r.lr * r.mu * t)[:shown], rtol=1e-14)
    expected = np.median(r["mean_value_noise"][0] + 2 * r.lr * r.a * t[:, None], axis=1)[:shown]
    np.testing.assert_allclose(dashed[1].get_ydata(), expected, rtol=1e-14)
    np.testing.assert_allclose(labelled(ax, "noise").get_ydata(), expected, rtol=1e-9, atol=1e-14)  # exact when disjoint
    assert dashed[1].get_label().startswith("exact line")
    assert lines_at(ax, r.stage_one_predicted) and lines_at(ax, r.T_one)


def test_value_line_is_not_called_exact_when_supports_overlap(overlapping):
    ax = figures.plot_value(overlapping)
    assert labelled(ax, "line if disjoint") and not any("exact" in str(line.get_label()) for line in ax.lines)


@pytest.mark.parametrize("log", [False, True])
def test_softmax_prediction(disjoint, log):
    ax = figures.plot_softmax(disjoint, log=log)
    r, drawn = reading(disjoint), labelled(ax, "logit")
    t, s = drawn.get_xdata(), drawn.get_ydata()
    assert drawn.get_linestyle() == "--" and drawn.get_color() == "black" and t[-1] <= r.T_key < t[-1] + 2
    np.testing.assert_allclose(np.log(s / (1 - s)), -r.m_k * (r.lr * np.median(r.a) * t) ** 2, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(labelled(ax, "$s_{21}$").get_ydata(), np.median(r["softmax_21"], axis=1))
    assert lines_at(ax, r.T_key if log else r.T_attn)


@pytest.mark.parametrize(("name", "factor"), [("key_noise", 1.0), ("query_noise", 2.0)])
def test_noise_groups_and_turns(overlapping, name, factor):
    r, ax = reading(overlapping), figures.plot_noise(overlapping, name)
    x = r[name]
    positive = x[100] > 0
    groups = {
        "positive, with its row": positive & ~r.against, "positive, against": positive & r.against,
        "negative, with its row": ~positive & ~r.against, "negative, against": ~positive & r.against,
    }
    for label, group in groups.items():
        assert labelled(ax, label).get_label() == f"{label} ({group.sum()})"
        np.testing.assert_array_equal(labelled(ax, label).get_ydata(), np.median(x[:, group], axis=1))
    assert len({labelled(ax, label).get_color() for label in groups}) == 4
    assert labelled(ax, "signs classified at").get_xdata()[0] == 100
    (told,), (seen,) = lines_at(ax, factor * r.T_key), lines_at(ax, r.turn(name))
    assert told.get_linestyle() == "--" and seen.get_linestyle() == "-"


def test_initial_groups(overlapping):
    r, ax = reading(overlapping), figures.plot_initial_groups(overlapping, "key_noise")
    th, ka = r["query_noise"][0], r["key_noise"][0]
    rows = len(labelled(ax, "both positive").get_xdata())
    expected = np.median(r["key_noise"][:rows][:, (th > 0) & (ka > 0)], axis=1)
    np.testing.assert_array_equal(labelled(ax, "both positive").get_ydata(), expected)
    assert labelled(ax, "mixed").get_label() == f"mixed, by the larger ({(th * ka < 0).sum()})"
    thin = [artist for artist in ax.collections if isinstance(artist, LineCollection)]
    assert len(thin) == 3 and all(len(bundle.get_segments()) <= plotting.THIN for bundle in thin)


def test_alignment_and_agreement(overlapping):
    r, table = reading(overlapping), stage_table(overlapping)
    ax = figures.plot_alignment(overlapping)
    drawn = labelled(ax, "pairs aligned")
    np.testing.assert_array_equal(drawn.get_ydata(), r.aligned[: len(drawn.get_xdata())])
    assert lines_at(ax, table["II"].predicted) and lines_at(ax, table["II"].end)
    ax = figures.plot_agreement(overlapping)
    np.testing.assert_array_equal(labelled(ax, "key noise").get_ydata(), r.agree("key_noise"))
    np.testing.assert_array_equal(labelled(ax, "query noise").get_ydata(), r.agree("query_noise"))


def test_signals(overlapping):
    r, ax = reading(overlapping), figures.plot_signals(overlapping)
    positive = r["query_signal"][100] > 0
    np.testing.assert_array_equal(labelled(ax, "query, positive").get_ydata(), np.median(r["query_signal"][:, positive], axis=1))
    np.testing.assert_array_equal(labelled(ax, "key, negative").get_ydata(), np.median(r["key_signal"][:, ~positive], axis=1))


def test_loss_lies_between_the_drawn_bounds(disjoint):
    ax = figures.plot_train_loss(disjoint)
    low, high = loss_bounds(disjoint["mean_value_signal"], disjoint["mean_value_noise"])
    np.testing.assert_array_equal(labelled(ax, "lower bound").get_ydata(), low)
    drawn = labelled(ax, "upper bound").get_ydata()
    shown = np.isfinite(drawn)
    np.testing.assert_array_equal(drawn[shown], high[shown])
    loss = labelled(ax, "training loss").get_ydata()
    np.testing.assert_array_equal(loss, disjoint["train_loss"])
    assert shown.mean() > 0.9 and (low <= loss).all() and (loss[shown] <= drawn[shown] * (1 + 1e-12)).all()
    assert ax.get_yscale() == "log"


def test_test_loss_is_drawn_at_its_own_steps():
    run, at = small_run(record=["train_loss", "test_loss", "test_error"]), np.array([0, 10, 60])
    sparse = {name: run[name][at] for name in ("test_loss", "test_error")}
    run = dataclasses.replace(run, arrays={**run.arrays, **sparse}, sparser={name: at for name in sparse})
    for drawn in (labelled(figures.plot_test_loss(run), "test loss"), labelled(figures.horizon(run).axes[-1], "test loss")):
        np.testing.assert_array_equal(drawn.get_xdata(), at)
        np.testing.assert_array_equal(drawn.get_ydata(), sparse["test_loss"])


@pytest.mark.parametrize("name", ["figure3", "horizon"])
def test_stage_bands_are_those_of_the_table(name, disjoint):
    stages = [s for s in stage_table(disjoint).stages if s.first is not None and not s.empty]
    for ax in (FIGURES[name](disjoint).axes[0], FIGURES[name](disjoint).axes[-1]):
        spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
        assert spans == [(s.first, disjoint.at[-1] if s.end is None else s.end) for s in stages]


def test_clock_shows_measured_and_predicted(disjoint):
    ax, table = figures.plot_clock(disjoint), stage_table(disjoint)
    points = {(round(float(line.get_xdata()[0]), 6), line.get_marker()) for line in ax.lines if len(line.get_xdata()) == 1}
    for stage in table.stages:
        assert (stage.end, "o") in points and (round(stage.predicted, 6), "D") in points
    for mark in table.marks[:3]:
        assert (mark.measured, "o") in points and (round(mark.predicted, 6), "D") in points
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "Stage IV ends"
    assert sum(" / " in text.get_text() or " in " in text.get_text() for text in ax.texts) == 9  # eight transitions and their heading


def test_turns_histogram_counts_every_turn(overlapping):
    ax, r = figures.plot_turns(overlapping), reading(overlapping)
    for name in ("key_noise", "query_noise"):
        turns = r.turns(name)
        assert f"({(turns < 900).sum()} of {len(turns)} turned)" in str(ax.get_legend_handles_labels()[1])


def test_table_of_transitions(disjoint):
    (table,) = figures.stages(disjoint).axes[1].tables
    cells = {key: cell.get_text().get_text() for key, cell in table.get_celld().items()}
    stage = stage_table(disjoint)["II"]
    assert cells[0, 1] == f"end of Stage II, step {stage.end}"
    name = list(stage.before).index("rms key_noise")
    assert cells[name + 1, 1] == f"{stage.before['rms key_noise']:.3g} / {stage.after['rms key_noise']:.3g}"


# -- no run breaks them -------------------------------------------------------------------------------------------

CASES = {
    "horizon 0": lambda: small_run(steps=0),
    "sigma_0 = 0": lambda: small_run(SMALL.replace(sigma_0=0.0)),
    "every 25": lambda: small_run(every=25),
    "gradient descent": lambda: small_run(rule=GradientDescent(0.1)),
    "diverging": lambda: small_run(rule=GradientDescent(1e6)),
    "Adam": lambda: small_run(rule=Adam(1e-3)),
    "schedule": lambda: small_run(rule=SignGD(lambda t: 1e-3 / (1 + t))),
    "first step overshoots": lambda: small_run(rule=SignGD(10.0)),
    "Stage I never ends": lambda: small_run(SMALL.replace(mu_norm=1000.0)),
    "one sample": lambda: small_run(SMALL.replace(n=1)),
    "loss only": lambda: small_run(record=["train_loss"]),
    "value layer only": lambda: small_run(record=["mean_value_signal", "mean_value_noise", "train_loss"]),
    "no signals": lambda: small_run(record=["query_noise", "key_noise", "softmax_11", "softmax_21"]),
    "test loss only": lambda: small_run(record=["test_loss"]),
    "resumed": lambda: small_run(steps=20, start=small_run(steps=20)),
}


DRAWN_ALWAYS = ("every 25", "horizon 0", "one sample", "gradient descent", "sigma_0 = 0", "test loss only")
"""The other runs are drawn by the slow tests."""


@pytest.mark.parametrize("case", [pytest.param(case, marks=[] if case in DRAWN_ALWAYS else [pytest.mark.slow]) for case in CASES])
def test_every_figure_of_every_run(case):
    run = CASES[case]()
    for name, draw in FIGURES.items():
        figure = draw(run)
        assert len(figure.axes) == AXES[name]
        for ax in figure.axes:
            if "log" in (ax.get_xscale(), ax.get_yscale()):  # placing ticks where there is hardly any data is what can go wrong in drawing
                ax.draw(figure.canvas.get_renderer())


@pytest.mark.parametrize("plot", PANELS, ids=lambda plot: plot.__name__)
def test_panel_says_what_is_not_recorded(plot):
    ax = plot(small_run(record=["ties"], steps=5))
    assert re.search("not recorded|recorded: record the nine", " ".join(text.get_text().replace("\n", " ") for text in ax.texts))
    assert ax.get_title(loc="left") and not ax.lines


@pytest.mark.parametrize("rule", [GradientDescent(0.1), Adam(1e-3), SignGD(1e-3, momentum=0.9)], ids=repr)
def test_no_prediction_is_drawn_for_other_rules(rule):
    run = small_run(rule=rule)
    for plot in set(PANELS) - {figures.plot_train_loss, figures.plot_test_loss}:
        ax = plot(run)
        assert not [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == "black"], plot.__name__


def test_replicates_are_refused():
    system = signal_noise.lumped(SMALL.replace(disjoint=True), SignGD, seed=[0, 1])
    run = simulate(system, SignGD(1e-3), steps=3)
    with pytest.raises(ValueError, match=r"run\.replicate\(0\)"):
        figures.figure1(run)
    assert figures.figure1(run.replicate(0)).axes


@pytest.mark.slow
def test_main_figures_make_small_files(overlapping, tmp_path):
    for name in MAIN_FIGURES:
        for path in (tmp_path / f"{name}.png", tmp_path / f"{name}.svg"):
            plotting.save(FIGURES[name](overlapping), path)
            assert 10_000 < path.stat().st_size < 600_000
