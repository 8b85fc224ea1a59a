"""The phase table, predictions and the measure of a sweep, against what was recorded and by hand."""

import dataclasses

import numpy as np
import pytest

from dynsim import sweep
from dynsim.systems import cooccurrence
from dynsim.systems.cooccurrence.measures import COLUMNS, LATE
from dynsim.systems.cooccurrence.predictions import MARGIN, crossing, expected_rho, unit
from dynsim.systems.cooccurrence.reading import reading

SETTING = cooccurrence.Setting(n=36, L=4, m=96, m1=4)
EXPERIMENT = cooccurrence.experiment("quick").replace(setting=SETTING, until=5e3 / 96, points=120)


@pytest.fixture(scope="module")
def run():
    return EXPERIMENT.run()


def test_phases_begin_and_end_where_the_record_says(run):
    table = cooccurrence.stage_table(run)
    first, second = table["Phase 1"], table["Phase 2"]
    after = run["min_margin"][run.at >= first.at]
    before = run["min_margin"][run.at < first.at]
    assert (after >= MARGIN).all() and before[-1] < MARGIN and np.isnan(second.at)
    assert first.tau == pytest.approx(float(np.interp(first.at, run.at, run["tau"])), rel=1e-3)
    assert 0.5 < first.tau / first.predicted_tau < 2.5
    loss = table["loss 1/m"]
    assert float(np.interp(loss.at, run.at, run["train_loss"])) == pytest.approx(1 / 96, rel=2e-3)
    assert table.to_csv().count("\n") == len(table.events) + 1 and "Phase 1" in table.to_latex() and "Phase 2" in str(table)


def test_a_phase_that_does_not_end_has_no_time():
    table = cooccurrence.stage_table(EXPERIMENT.replace(until=0.02, points=20).run())
    assert np.isnan(table["Phase 1"].at) and np.isnan(table["margins 1"].tau) and "> 0.02" in str(table)


def test_an_order_that_fails_ends_phase_two(run):
    broken = {**run.arrays, "kind_pull": run["kind_pull"].copy()}
    row = int(np.searchsorted(run.at, cooccurrence.stage_table(run)["Phase 1"].at)) + 5
    broken["kind_pull"][row, 1] *= 3.0
    event = cooccurrence.stage_table(dataclasses.replace(run, arrays=broken))["Phase 2"]
    assert event.at == run.at[row] and "fails (T2)" in event.definition


@pytest.mark.parametrize("law", [{}, {"init": "kaiming_uniform", "output": "kaiming"}, {"init": "kaiming_normal"}], ids=str)
def test_expected_norm_of_the_head_is_that_of_the_draws(law):
    setting = SETTING.replace(**law)
    norms = [float(cooccurrence.lumped(setting, cooccurrence.experiment("quick").optimizer, seed).constants["rho_0"]) for seed in range(12)]
    spread = expected_rho(setting) * np.sqrt(2 / 4 + 2 / setting.m)  # neurons are few: their weights in a make most of it
    assert abs(np.mean(norms) - expected_rho(setting)) < 4 * spread / np.sqrt(len(norms))


def test_unit_and_crossings():
    assert unit(SETTING) == pytest.approx(SETTING.c0**2 / SETTING.c1**2 / SETTING.L**2 * SETTING.m**-1.5)
    x = np.arange(5.0)
    assert crossing(x, np.array([0.0, 2.0, 0.0, 1.0, 3.0]), 2.0) == 3.5
    assert np.isnan(crossing(x, -x, 1.0)) and crossing(x, x + 1, 1.0) == 0.0


def test_predictions_refuse_a_rate_that_is_none():
    with pytest.raises(ValueError, match="lr=.*finite and > 0"):
        cooccurrence.predict(SETTING, lr=-1.0)
    assert pytest.approx(100 * cooccurrence.predict(SETTING).T1) == cooccurrence.predict(SETTING, lr=0.01).T1


def test_a_sweep_reads_off_what_the_run_recorded(run):
    table = sweep(EXPERIMENT, {"m": [SETTING.m]}, measure="phases", steps=EXPERIMENT.until, workers=1)
    r = reading(run)
    assert set(COLUMNS) <= set(table) and table["T1"][0] == pytest.approx(r.T1, rel=1e-9) and table["C_signs"][0] == 4
    C = r.at_tau("score_change", LATE)
    assert table["C_signal"][0] == pytest.approx(np.mean(np.abs([C[0, 1], C[1, 0], C[2, 0], C[2, 1]])), rel=1e-9)
    assert table["dGamma_T1"][0] == pytest.approx(float(r.at_T1("largest_value_change")), rel=0.05)  # recorded at other times
    short = sweep(EXPERIMENT, {"m": [SETTING.m]}, measure="phases", steps=0.02, workers=1)
    assert np.isnan(short["T1"][0]) and np.isnan(short["C_signal"][0]) and short["rho_0"][0] > 0
