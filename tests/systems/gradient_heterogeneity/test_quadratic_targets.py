"""Steps to a target: side by side as one by one; heterogeneity, its controls, and the rotation."""

import numpy as np
import pytest

from dynsim import simulate
from dynsim.optimizers import LinearDecay, changed_rule, describe
from dynsim.systems.gradient_heterogeneity.build import dense
from dynsim.systems.gradient_heterogeneity.head.setting import Head
from dynsim.systems.gradient_heterogeneity.presets import experiment
from dynsim.systems.gradient_heterogeneity.quadratic.model import quadratic
from dynsim.systems.gradient_heterogeneity.quadratic.setting import Quadratic
from dynsim.systems.gradient_heterogeneity.quadratic.targets import (
    FACTORS,
    RULES,
    final_losses,
    horizons,
    rate_unit,
    steps_to_target,
)

LOSS = Quadratic(k=100.0)
FEW = FACTORS[::4]


@pytest.mark.parametrize("rule", RULES)
def test_side_by_side_is_one_by_one(rule):
    for rotated in ("no", "all"):
        system = quadratic(LOSS.replace(blocks=4, rotated=rotated), [0, 1])
        found = final_losses(system, RULES[rule], 12, FEW)
        assert found.shape == (2, len(FEW))
        for i in range(2):
            one = quadratic(LOSS.replace(blocks=4, rotated=rotated), i)
            for j, factor in enumerate(FEW):
                rate = float(rate_unit(one, RULES[rule], 12) * factor)
                alone = changed_rule(RULES[rule], {"lr": LinearDecay(rate, 12)})
                loss = simulate(one, alone, steps=12, record=["train_loss"])["train_loss"]
                if loss.max() <= 1e6 * loss[0]:
                    assert found[i, j] == pytest.approx(loss[-1] / loss[0], rel=1e-9)
                else:
                    assert found[i, j] == np.inf
        assert np.isfinite(found).any()


def test_runs_that_rise_too_far_count_as_diverged():
    system = quadratic(LOSS, 0)
    wild = [2.5, 4.0]
    assert np.isfinite(final_losses(system, RULES["gd"], 300, wild, highest=1e300)).all()
    assert np.isinf(final_losses(system, RULES["gd"], 300, wild)).all()
    assert np.isinf(final_losses(system, RULES["gd"], 600, [1e3], highest=1e300)).all(), "not finite at all"


def test_horizons():
    tried = np.array(horizons(4096))
    assert tried[-3:].tolist() == [2048, 2896, 4096] and (tried[3:] <= 1.51 * tried[2:-1]).all() and (tried[3:] >= 1.3 * tried[2:-1]).all()
    assert horizons(1) == [1]
    for most in (0, 0.5, -3, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"most={most}"):
            horizons(most)


def test_rules_have_the_names_of_the_studies():
    """A rule's name is the text that makes it: the same in files, sweeps and here."""
    start = experiment("gradient_path")
    for text, rule in RULES.items():
        assert describe(rule) == describe(start.rule(text, 1.0))
    assert RULES["gd:0.9"].momentum == RULES["signgd:0.9"].momentum == 0.9


def steps(setting, rule, seeds=(0, 1), **options):
    found = steps_to_target(quadratic(setting, seeds), RULES[rule], **options)
    assert not found.edge.any(), "the best rate lies inside the rates that were tried"
    return float(np.median(found.steps))


def test_gradient_descent_pays_for_heterogeneity_and_sign_updates_do_not():
    """From k = 10 to 100: gradient descent by nearly the factor, signs and Adam by at most 2.2; momentum helps gradient descent."""
    at_10, at_100 = ({rule: steps(LOSS.replace(k=k), rule) for rule in ("gd", "signgd", "adam", "gd:0.9")} for k in (10.0, 100.0))
    assert at_100["gd"] >= 8.0 * at_10["gd"] and all(at_100[rule] <= 2.2 * at_10[rule] for rule in ("signgd", "adam"))
    assert at_100["gd"] > 2.0 * at_100["gd:0.9"] and at_100["gd"] > 5.0 * at_100["signgd"]


def test_gradients_alone_do_no_harm():
    """The negative control of the above: the same spread of gradients on a Hessian that is the identity."""
    assert steps(LOSS.replace(initial="equal_curvature"), "gd", tried=horizons(8)) == 1


def test_a_rotation_takes_the_advantage_of_signs_away():
    """Gradient descent does not notice; sixteen times as many steps are not enough for signs. A rotation within blocks costs at most 2."""
    at_100 = {rotated: steps(LOSS.replace(rotated=rotated), "gd", [0], tried=[64, 128, 256, 512]) for rotated in ("no", "all")}
    assert at_100["no"] == at_100["all"]
    plain, within, turned = (
        int(steps_to_target(quadratic(LOSS.replace(k=1000.0, rotated=rotated), 0), RULES["signgd"], tried=[16, 32, 64, 512]).steps)
        for rotated in ("no", "blocks", "all")
    )
    assert 0 < plain <= 32 and 0 < within <= 2 * plain and turned == -1


def test_a_target_out_of_reach():
    found = steps_to_target(quadratic(LOSS, [0, 1]), RULES["gd"], tried=[2, 4])
    assert found.steps.tolist() == [-1, -1] and np.isnan(found.factor).all()


def test_what_is_refused():
    with pytest.raises(ValueError, match="noise=0"):
        steps_to_target(quadratic(LOSS.replace(noise=1.0), 0), RULES["gd"])
    with pytest.raises(ValueError, match="target=1.0"):
        steps_to_target(quadratic(LOSS, 0), RULES["gd"], target=1.0)
    with pytest.raises(TypeError, match="system is a LinearHead: it must be a BlockQuadratic or LogisticBlocks"):
        steps_to_target(dense(Head(C=3)), RULES["gd"])
    with pytest.raises(TypeError, match="system is a LinearHead"):
        final_losses(dense(Head(C=3)), RULES["gd"], 4)
    with pytest.raises(ValueError, match="steps=0 must be an integer >= 1"):
        steps_to_target(quadratic(LOSS, 0), RULES["gd"], tried=[0])
    with pytest.raises(TypeError, match="no update rule"):
        steps_to_target(quadratic(LOSS, 0), "gd")
