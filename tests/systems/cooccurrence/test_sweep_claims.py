"""Claims about sweeps: on tables that obey the theory, on their controls, and on tables that decide nothing."""

import dataclasses

import numpy as np
import pytest

from dynsim import Table, check
from dynsim.systems import cooccurrence
from dynsim.systems.cooccurrence import EXPONENTS, STUDIES, SWEEP_CLAIMS, limits

SEEDS = 4


def table(name, values, **measured):
    """A sweep over one variable; columns are functions of it, and seeds scatter by a factor that no slope sees."""
    x = np.repeat(values, SEEDS)
    seed = np.tile(np.arange(SEEDS), len(values))
    about = {"experiment": cooccurrence.experiment("quick").to_dict(), "design": {"kind": "grid", "axes": {name: list(values)}}}
    columns = {key: np.asarray(f(x), dtype=float) * (1.0 + 0.01 * seed * (key in EXPONENTS)) for key, f in measured.items()}
    return Table({name: x, "seed": seed, **columns, "steps": np.ones(len(x)), "error": np.full(len(x), "")}, (name,), about)


@pytest.fixture
def evidence():
    powers = {quantity: lambda m, p=theory["m"]: m ** float(p) for quantity, theory in EXPONENTS.items()}
    ones = {"C_share": np.ones_like, "C_signs": lambda x: np.full(len(x), 4.0)}
    return {
        "sweep": table("m", [64, 128, 256, 512, 1024], **powers, **ones),
        "c0": table("c0", [0.01, 0.03, 0.1, 0.3], imbalance=lambda c0: 0.02 * c0, C_signs=ones["C_signs"]),
        "attention": table("attention", [True, False], **{"train_loss@end": lambda flag: np.where(flag, 1e-3, 1e-3 * (1 + 1e-6))}),
        "n": table("n", [60, 120, 600], ratio_late=lambda n: np.array([limits(float(k), 5)["-G3'/G1'"] for k in n])),
    }


def test_every_claim_holds_on_what_the_theory_says_and_none_on_its_control(evidence):
    report = check(evidence, SWEEP_CLAIMS)
    assert report.counts["holds"] == len(SWEEP_CLAIMS), str(report)
    controls = check(evidence, SWEEP_CLAIMS, control=True)
    assert len(controls.verdicts) == len(SWEEP_CLAIMS) and controls.counts["violated"] == len(SWEEP_CLAIMS), str(controls)


def test_intervals_that_reach_beyond_decide_nothing(evidence):
    wide = evidence["sweep"].columns["T1"] * evidence["sweep"]["m"] ** (0.2 * (evidence["sweep"]["seed"] - 1.5))
    blurred = dataclasses.replace(evidence["sweep"], columns={**evidence["sweep"].columns, "T1": wide})
    verdict = check({"sweep": blurred}, SWEEP_CLAIMS["T1_exponent_m"]).verdicts[0]
    assert verdict.verdict == "inconclusive" and "run more seeds" in verdict.note


@pytest.mark.parametrize("few", [lambda t: t.rows(t["seed"] == 0), lambda t: t.rows(t["m"] >= 512), lambda t: t.rows(t["seed"] < 2)])
def test_few_widths_or_seeds_decide_nothing(evidence, few):
    thin = few(evidence["sweep"])
    for id in ("T1_exponent_m", "C_signal_exponent_m", "dS_T1_exponent_m"):
        assert check({"sweep": thin}, SWEEP_CLAIMS[id]).verdicts[0].verdict == "inconclusive"


def test_other_laws_of_weights_are_not_judged(evidence):
    setting = cooccurrence.preset("paper").to_dict()
    about = {**evidence["sweep"].about, "experiment": {**evidence["sweep"].about["experiment"], "setting": setting}}
    verdict = check({"sweep": dataclasses.replace(evidence["sweep"], about=about)}, SWEEP_CLAIMS["T1_exponent_m"]).verdicts[0]
    assert verdict.verdict == "not applicable" and np.isfinite(verdict.margin)


def test_the_study_measures_what_its_claims_read():
    plans = STUDIES["scaling"].plans
    for claim in SWEEP_CLAIMS.values():
        for entry, names in claim.needs.items():
            columns = {name for part in cooccurrence.MEASURES["phases"] for name in part.columns} | set(plans[entry].over)
            assert set(names) <= columns | set(plans[entry].measure), claim.id


def test_its_figure_carries_the_verdicts(evidence):
    figure = cooccurrence.STUDY_FIGURES["scaling"]["scaling"](evidence)
    words = " ".join(text.get_text() for ax in figure.axes for text in (*ax.texts, ax.title, ax._left_title))
    for id in ("T1_exponent_m", "C_signal_exponent_m", "ratio_over_n", "imbalance_exponent_c0"):
        assert f"{id}: holds" in words
