"""What claims about one run are made of."""

from __future__ import annotations

import numpy as np
import pytest

from dynsim import SignGD, simulate
from dynsim.claims import Assumption, Inconclusive
from dynsim.run_claims import altered, broken, given, together
from dynsim.systems.gradient_heterogeneity.head.model import linear_head
from dynsim.systems.gradient_heterogeneity.head.setting import Head

NAMES = ("train_loss", "mean_bias")


@pytest.fixture(scope="module")
def run():
    return simulate(linear_head(Head(C=3, d=2, samples=8, batch=4)), SignGD(0.01), steps=6, record={"train_loss": 2, "mean_bias": 3})


def test_quantities_at_the_steps_that_they_share(run):
    steps, loss, bias = together(run, *NAMES)
    assert list(steps) == [0, 6]
    assert np.array_equal(loss, run["train_loss"][[0, 3]]) and np.array_equal(bias, run["mean_bias"][[0, 2]])


def test_what_was_not_recorded_or_not_from_the_start_is_told(run):
    with pytest.raises(Inconclusive, match="test_loss not recorded"):
        together(run, "train_loss", "test_loss")
    later = simulate(linear_head(Head(C=3, d=2, samples=8, batch=4)), SignGD(0.01), steps=0, record=["train_loss"])
    with pytest.raises(Inconclusive, match="at the start and later"):
        together(later, "train_loss")


def test_conditions_are_not_asked_of_runs_of_other_kinds():
    def never(evidence):
        raise AssertionError("asked of another kind")

    kind = Assumption("of a kind", lambda e: e["of_kind"])
    first, second = given(kind, Assumption("further", never))
    assert first is kind and second.text == "further" and second.met({"of_kind": False})
    with pytest.raises(AssertionError, match="another kind"):
        second.met({"of_kind": True})


def test_controls_replace_what_the_run_has_and_leave_the_run_alone(run):
    def reading(evidence):
        return evidence["run"]

    evidence = {"run": run, "other": 1}
    lost = broken(reading, train_loss=lambda r: r["train_loss"] + 1.0, unknown=lambda r: 1 / 0)(evidence)
    assert np.array_equal(lost["run"]["train_loss"], run["train_loss"] + 1.0) and "unknown" not in lost["run"] and lost["other"] == 1
    changed = altered(reading, C=lambda r: r.constants["C"] + 1.0, unknown=lambda r: 1 / 0)(evidence)["run"]
    assert changed.constants["C"] == 4.0 and run.constants["C"] == 3.0 and "unknown" not in changed.constants
    assert np.array_equal(changed["train_loss"], run["train_loss"])
