"""Claims about sweeps over SNR: they hold on tables that obey them, fail on broken ones, and decide nothing on poor ones."""

import numpy as np
import pytest

from dynsim import check
from dynsim.claims import Inconclusive
from dynsim.scaling import mean_chance, mean_interval
from dynsim.sweep import Table
from dynsim.systems import noisy_mnist
from dynsim.systems.noisy_mnist.claims import curves, rises
from dynsim.systems.noisy_mnist.data import CONSTRUCTIONS
from dynsim.systems.noisy_mnist.measures import LEVELS, column

LOSS = column("test_loss", 0.01)
SNRS = (0.1, 0.2, 0.5, 1.0, 2.0)


def obeying(construction, seeds=5):
    """Return a table on which everything claimed is true: test losses fall with the SNR, noise hurts GD least."""
    rng = np.random.default_rng(7)
    experiment = noisy_mnist.experiment("mnist").vary({"construction": construction})
    cells = [(snr, rule, seed) for snr in SNRS for rule in ("signgd", "adam", "gd:lr=5") for seed in range(seeds)]
    snr, rule, seed = (np.array(values) for values in zip(*cells, strict=True))
    columns = {"snr": snr, "optimizer": rule, "seed": seed, "steps": np.full(len(seed), 9), "error": np.full(len(seed), "")}
    for level in LEVELS:
        fall = np.where(np.char.startswith(rule, "gd"), 0.05, 0.1) / (snr + 0.1)
        columns[column("test_loss", level)] = level + fall + 0.1 * seed + 0.003 * rng.standard_normal(len(seed))
        columns[column("test_error", level)] = 0.3 * fall
        columns[column("steps", level)] = np.full(len(seed), 5.0)
    return Table(columns, ("snr", "optimizer"), {"experiment": experiment.to_dict()})


@pytest.fixture(scope="module")
def evidence():
    return {name: obeying(name) for name in CONSTRUCTIONS}


def changed(table, which, value):
    loss = np.where(which, table[LOSS] + value, table[LOSS])
    return Table({**table.columns, LOSS: loss}, table.axes, table.about)


def test_all_claims_hold_on_evidence_that_obeys_them_and_none_on_its_control(evidence):
    report = check(evidence)
    assert {v.id: v.verdict for v in report.verdicts} == dict.fromkeys(noisy_mnist.SWEEP_CLAIMS, "holds"), report
    controls = check(evidence, control=True)
    assert {v.id: v.verdict for v in controls.verdicts} == dict.fromkeys(noisy_mnist.SWEEP_CLAIMS, "violated"), controls


def test_one_construction_is_judged_alone(evidence):
    report = check({"border": evidence["border"]})
    assert len(report.verdicts) == len(noisy_mnist.SWEEP_CLAIMS) / 2 and all("border" in v.id for v in report.verdicts)


def test_a_rise_between_two_snrs_is_found_and_named(evidence):
    table = evidence["token"]
    bump = changed(table, (table["optimizer"] == "signgd") & (table["snr"] == 1.0), 0.2)  # as a reviewer saw: 1.0 above 0.5
    report = check({"token": bump})
    verdict = report["mnist_token_signgd_monotone"]
    assert verdict.verdict == "violated" and "SNR 0.5 to 1 " in verdict.where
    assert report["mnist_token_adam_monotone"].verdict == report["mnist_token_signgd_monotone_stopped"].verdict == "holds"


def test_a_rise_in_doubt_decides_nothing(evidence):
    table = evidence["token"]
    noise = 0.5 * np.random.default_rng(0).standard_normal(table.cells)
    for poor in (changed(table, True, noise), obeying("token", seeds=2)):
        verdict = check({"token": poor})["mnist_token_gd_monotone"]
        assert verdict.verdict == "inconclusive" and "reaches beyond 0.01" in verdict.note


@pytest.mark.parametrize(("more", "expected"), [(-0.002, "holds"), (0.004, "holds"), (0.01, "inconclusive"), (0.016, "violated")])
def test_a_rise_up_to_a_hundredth_counts_as_none(evidence, more, expected):
    table = evidence["token"]
    of_gd = np.char.startswith(table["optimizer"], "gd")
    sharp = np.where(of_gd, np.where(table["snr"] == 2.0, 0.3 + more, 1.0 / (1.0 + np.minimum(table["snr"], 1.0)) - 0.2), table[LOSS])
    sharp += np.where(of_gd, 0.001 * np.random.default_rng(1).standard_normal(table.cells), 0.0)
    verdict = check({"token": changed(table, True, sharp - table[LOSS])})["mnist_token_gd_monotone"]
    assert verdict.verdict == expected, verdict


@pytest.mark.parametrize(("gap", "spread", "expected"), [(0.03, 0.002, "holds"), (0.06, 0.002, "inconclusive"), (0.0, 0.2, "inconclusive"),
                                                         (0.09, 0.002, "violated"), (-0.09, 0.002, "violated")])
def test_agreement_needs_intervals_wholly_within_or_wholly_beyond(evidence, gap, spread, expected):
    table = evidence["border"]
    clean = table["snr"] == 2.0
    loss = 0.3 + gap * (table["optimizer"] == "adam") + spread * np.random.default_rng(2).standard_normal(table.cells)
    verdict = check({"border": changed(table, clean, loss - table[LOSS])})["mnist_border_agreement"]
    assert verdict.verdict == expected, verdict


def test_the_p_value_decides_as_the_interval_does():
    rng = np.random.default_rng(3)
    decided = []
    for size in rng.integers(2, 12, 300):
        difference = rng.normal(rng.uniform(0.0, 2.0), 1.0, size)
        decided.append(mean_chance(difference) < 0.025)
        assert decided[-1] == (mean_interval(difference)[0] > 0.0)
    assert 0 < sum(decided) < 300
    assert mean_chance(np.full(3, 0.5)) == 0.0 and mean_chance(np.zeros(3)) == mean_chance(np.full(3, -0.5)) == 1.0


def test_poor_tables_decide_nothing(evidence):
    table, id = evidence["token"], "mnist_token_signgd_above_gd"

    def note(rows):
        verdict = check({"token": rows})[id]
        assert verdict.verdict == "inconclusive"
        return verdict.note

    assert "one seed" in note(table.rows(table["seed"] == 0))
    assert "no SNR 0.2" in note(table.rows(table["snr"] != 0.2))
    assert "no gd" in note(table.rows(table["optimizer"] != "gd:lr=5"))
    assert "24 runs of signgd, not 25" in note(table.rows(np.arange(table.cells) != 1))
    assert "1 of 5 runs of gd" in note(changed(table, np.arange(table.cells) == np.flatnonzero(table["snr"] == 0.2)[-1], np.nan))
    near = changed(table, (table["optimizer"] == "signgd") & (table["snr"] == 0.2), -0.1667)
    assert "contains 0" in note(changed(near, (table["seed"] == 3), 0.02))
    two = np.where((table["optimizer"] == "adam"), "gd", table["optimizer"])
    assert "gd, gd:lr=5" in note(Table({**table.columns, "optimizer": two}, table.axes, table.about))
    assert "one SNR" in check({"token": table.rows(table["snr"] == 0.2)})["mnist_token_gd_monotone"].note


def test_curves_do_not_depend_on_the_order_of_rows(evidence):
    table = evidence["token"]
    snr, values = curves(table, "gd:lr=5", LOSS)
    mixed = table.rows(np.random.default_rng(0).permutation(table.cells))
    assert np.array_equal(curves(mixed, "gd:lr=5", LOSS)[1], values) and tuple(snr) == SNRS and values.shape == (5, 5)
    assert values[2, 1] == table.where(optimizer="gd:lr=5", snr=0.2, seed=2)[LOSS][0]
    low, high, rise = rises(snr, values)[1]
    assert (low, high) == (0.2, 0.5) and np.array_equal(rise, values[:, 2] - values[:, 1])
    with pytest.raises(Inconclusive, match="no gd"):
        curves(table, "gd", LOSS)  # the rule as in the table, not its name
