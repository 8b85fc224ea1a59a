"""Logistic regression in blocks: gradient, Hessian and its Lipschitz constant, the minimum."""

import numpy as np
import pytest

from dynsim import GradientDescent, SignGD, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems.gradient_heterogeneity.quadratic.logistic import LogisticBlocks, logistic
from dynsim.systems.gradient_heterogeneity.quadratic.model import repeated
from dynsim.systems.gradient_heterogeneity.quadratic.setting import Logistic
from dynsim.systems.gradient_heterogeneity.settings import Setting

from ...helpers import gap, same_bits

SMALL = Logistic(blocks=3, size=2, samples=200, scale=1.0)


def elsewhere(system, size=0.7):
    return size * np.random.default_rng(3).standard_normal(system.start.shape)


def hessian_at(system, params):
    return system.hessian(system.forward(system.layout.views(params)))


def test_gradient_against_complex_steps():
    system = logistic(SMALL, 0)
    assert gradcheck(system, elsewhere(system)).worst < 1e-13
    copies = repeated(system, 3)
    assert gradcheck(copies, elsewhere(copies)).worst < 1e-13
    wrong = LogisticBlocks(-system.A, system.sizes, system.start)  # negative control: the labels turned
    views, found = system.layout.views(system.start), np.zeros((2, 6))
    for one, out in zip((system, wrong), found, strict=True):
        one.backward(views, one.forward(views), one.layout.views(out))
    assert gap(found[0], -found[1]) < 1e-15 and found.any()


def test_hessian_against_complex_steps_of_the_gradient():
    system = logistic(SMALL, 0)
    at = elsewhere(system)
    columns = []
    for unit in np.eye(6):
        moved = system.layout.views(at + 1e-30j * unit)
        columns.append(system.forward(moved).gradient.imag / 1e-30)
    H = hessian_at(system, at)
    assert gap(H, np.array(columns)) < 1e-14
    curvature = system.curvature(system.forward(system.layout.views(at)))
    rest = H.copy()
    for b in range(3):
        part = slice(2 * b, 2 * b + 2)
        assert curvature.h[b] == pytest.approx(np.linalg.norm(H[part, part], 2), rel=1e-13)
        rest[part, part] = 0.0
    assert float(curvature.delta_D) == pytest.approx(np.linalg.norm(rest, 2), rel=1e-12)


def test_features_are_white_up_to_their_scales():
    system = logistic(SMALL, 1)
    scales = np.repeat(np.exp([-1.0, 0.0, 1.0]), 2)
    assert gap(system.A.T @ system.A / 200, np.diag(scales**2)) < 1e-13
    c = system.constants
    np.testing.assert_allclose(c["h"], 0.25 * np.exp([-2.0, 0.0, 2.0]), rtol=1e-13)
    assert float(c["delta_D"]) < 1e-14 and float(c["curvature_max"]) == pytest.approx(0.25 * np.exp(2.0), rel=1e-13)


def test_labels_follow_the_teacher():
    """With a teacher labels are known from features, so the floor is lower; without one it is log 2 up to what 6 weights fit of 200."""
    blind, taught = (logistic(SMALL.replace(teacher=norm), 2).loss_floor for norm in (0.0, 2.0))
    assert np.log(2.0) - 6.0 * 2.0 / 200 < blind < np.log(2.0) and taught < 0.6 < blind


def test_rho_bounds_the_change_of_the_hessian():
    """For 40 random pairs; a tenth of it does not (negative control)."""
    system = logistic(SMALL, 0)
    rng, steepest = np.random.default_rng(0), 0.0
    for _ in range(40):
        at, by = rng.standard_normal(6), 0.1 * rng.standard_normal(6)
        change = np.linalg.norm(hessian_at(system, at + by) - hessian_at(system, at), 2)
        steepest = max(steepest, change / np.linalg.norm(by))
    assert 0.1 * system.rho < steepest <= system.rho


def test_the_floor_is_the_minimum():
    system = logistic(SMALL, 0)
    run = simulate(system, GradientDescent(1.0 / system.curvature_max), steps=4000, at=[], record=["train_loss", "grad_norm"])
    assert 0.0 <= run["train_loss"][-1] - system.loss_floor < 1e-9 < 1e-3 < run["train_loss"][0] - system.loss_floor
    with pytest.raises(ValueError, match="lower teacher"):
        _ = logistic(SMALL.replace(samples=20, teacher=60.0), 0).loss_floor


def test_copies_run_side_by_side():
    system = logistic(SMALL, 0)
    rates = np.array([0.01, 0.03])
    many = simulate(repeated(system, 2), SignGD(rates), steps=10)
    for i, rate in enumerate(rates):
        one = simulate(system, SignGD(float(rate)), steps=10)
        assert all(gap(many[name][:, i], one[name]) < 1e-12 for name in one.arrays)


@pytest.mark.parametrize(("changes", "message"), [
    ({"samples": 6}, "blocks \\* size = 6"), ({"scale": -1.0}, "scale=-1.0"), ({"teacher": np.inf}, "teacher=inf"), ({"size": 0}, "size=0"),
], ids=str)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SMALL.replace(**changes)


def test_what_else_is_refused():
    with pytest.raises(TypeError, match="must be a Logistic"):
        logistic({}, 0)
    with pytest.raises(ValueError, match="no replicates axis"):
        logistic(SMALL, 0).replicates(0)
    assert Setting.from_dict(SMALL.to_dict()) == SMALL
    assert same_bits(logistic(SMALL, 4).A, logistic(SMALL, 4).A) and not same_bits(logistic(SMALL, 4).A, logistic(SMALL, 5).A)
