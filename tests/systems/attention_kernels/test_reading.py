"""What claims and figures read off a run, and how they hear that it is not there."""

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, GradientFlow, SignGD, simulate
from dynsim.claims import Inconclusive
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.reading import Reading, reading

from .test_build import arrays

EXAMPLE = ak.Example("E3", "gaussian+softmax", starts=3, low=-1, high=1)


def run_of(rule=None, *, steps=6, **options):
    return simulate(ak.queries(EXAMPLE), rule or GradientDescent(0.1), steps=steps, **options)


def test_quantities_of_one_kernel():
    run = run_of()
    r = reading({"run": run, "other": None})
    assert isinstance(r, Reading) and r.run is run and reading(run).run is run
    assert r.setting == EXAMPLE and r.kernels == ("gaussian", "softmax") and r.index("softmax") == 1 and np.array_equal(r.at, np.arange(7))
    assert np.array_equal(r.of("train_loss", "softmax"), run["train_loss"][:, 1]) and r["train_loss"] is run["train_loss"]
    assert np.array_equal(r.constant("keys"), run.constants["keys"])
    for ask, says in ((lambda: r.of("train_loss", "row_gaussian"), "the run has no row_gaussian: it is of gaussian, softmax"),
                      (lambda: r["curvature"], "curvature not recorded: add it to record="),
                      (lambda: r.constant("rank"), "the run has no rank")):
        with pytest.raises(Inconclusive, match=says):
            ask()


def test_a_run_of_arrays_has_no_setting():
    X, Y, weights = arrays()
    r = reading(simulate(ak.from_arrays(X, Y, weights), GradientDescent(0.01), steps=1))
    with pytest.raises(Inconclusive, match="of arrays"):
        _ = r.setting


@pytest.mark.parametrize(("rule", "lr"), [(GradientDescent(0.1), 0.1), (GradientDescent(0.1, momentum=0.0), 0.1)])
def test_the_rate(rule, lr):
    assert reading(run_of(rule)).lr == lr


OTHER_RULES = [GradientDescent(0.1, momentum=0.5), Adam(0.1), SignGD(0.1), GradientDescent(lambda step: 0.1 / (1 + step))]


@pytest.mark.parametrize("rule", OTHER_RULES, ids=["momentum", "Adam", "SignGD", "schedule"])
def test_rules_the_theory_is_not_about(rule):
    with pytest.raises(Inconclusive, match="constant rate without momentum, or gradient flow"):
        _ = reading(run_of(rule)).lr


def test_a_flow_has_no_rate_and_no_steps():
    r = reading(simulate(ak.queries(EXAMPLE), GradientFlow(), until=1.0, at=[0.5]))
    assert r.lr is None and r.at.tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(Inconclusive, match="every step"):
        r.every_step("train_loss")


def test_every_step():
    reading(run_of()).every_step("train_loss", "grad_norm")
    for run, name in ((run_of(every=2), "train_loss"), (run_of(record={"train_loss": 1, "grad_norm": 2}), "grad_norm"),
                      (run_of(start=run_of()), "train_loss")):
        with pytest.raises(Inconclusive, match=f"{name} was not recorded at every step from the start: set every=1"):
            reading(run).every_step("train_loss", name)
    with pytest.raises(Inconclusive, match="not recorded"):
        reading(run_of()).every_step("curvature")


def test_steps_at_which_quantities_were_recorded_together():
    run = run_of(record={"train_loss": 2, "grad_norm": 3})
    steps, loss, norm = reading(run).together("train_loss", "grad_norm")
    assert steps.tolist() == [0, 6] and len(loss) == len(norm) == 2
    whole = run_of()
    assert np.array_equal(loss, whole["train_loss"][[0, 6]]) and np.array_equal(norm, whole["grad_norm"][[0, 6]])
    steps, loss = reading(run).together("train_loss")
    assert steps.tolist() == [0, 2, 4, 6] and np.array_equal(loss, whole["train_loss"][::2])
    for bad in (run_of(start=whole), run_of(steps=0)):
        with pytest.raises(Inconclusive, match="recorded at the start and later"):
            reading(bad).together("train_loss")
    with pytest.raises(Inconclusive, match="not recorded"):
        reading(run).together("train_loss", "query")
