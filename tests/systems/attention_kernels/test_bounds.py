"""Queries, keys and values together: the bounds at every state and every pair of states, each with a control that breaks it."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import GradientDescent, simulate
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.regression.bounds import GAUSSIAN_SLOPE, kernel_slopes, path_bound, sufficient
from dynsim.systems.attention_kernels.regression.gram import features, least_eigenvalue

from .helpers import ALL, elsewhere, random_tokens, slope, state

SETTING = ak.Regression(N=2, n=3, D=8, d=4, H=2, d_o=2, trained="QKV", kernel=ALL)


@pytest.mark.parametrize("changes", [{}, {"pooled": True}, {"d_o": 1}, {"trained": "QKVO"}, {"D": 2, "H": 1}], ids=str)
def test_the_gradient_is_bounded_below_at_every_state(changes):
    """|grad f|^2 >= |grad_V f|^2 >= 2 Lambda f / N at random states, and along a run; equality up to rounding is allowed."""
    model = ak.dense(SETTING.replace(**changes), 0)
    of, slack = model.observables, 1.0 - 1e-12
    for seed in range(10):
        views, cache = state(model, elsewhere(model, seed))
        Lambda, f = (of[name].read(views, cache) for name in ("Lambda", "train_loss"))
        whole, values = (of[name].read(views, cache) for name in ("grad_norm", "value_grad_norm"))
        assert (whole >= slack * values).all() and (values**2 >= slack * 2.0 * Lambda * f / model.N).all()
        assert (Lambda > 0).all() == ("H" not in changes)
    run = simulate(model, GradientDescent(0.02), steps=30)
    assert (run["value_grad_norm"] ** 2 >= slack * 2.0 * run["Lambda"] * run["train_loss"] / model.N).all()


def test_the_bound_on_the_gradient_is_sharp():
    """Equality where the residual lies in the eigenvector of the least eigenvalue; there twice as much is violated."""
    model = ak.dense(SETTING.replace(trained="V", d_o=1, kernel="gaussian"), 0)
    views, cache = state(model)
    vectors, _, _ = np.linalg.svd(features(cache.tapes[0], model.samples.U)[0])
    O = cache.residuals[0][0] * model.N + model.samples.Y[0]
    Y = O - vectors[:, -1].reshape(O.shape)
    there = replace(model, samples=replace(model.samples, Y=Y[None]))
    _, cache = state(there)
    ratio = (slope(there) ** 2).sum() * there.N / (2.0 * least_eigenvalue(there, cache, 0)[0] * cache.losses[0, 0])
    assert ratio == pytest.approx(1.0, rel=1e-9)


# -- how much similarities move --------------------------------------------------------------------------------------------


def test_the_constant_is_the_largest_slope_of_the_bell():
    x = np.linspace(0.0, 5.0, 100_001)
    assert GAUSSIAN_SLOPE == pytest.approx((x * np.exp(-(x**2) / 2.0)).max(), rel=1e-9) == np.exp(-0.5)


def slopes(name, scale, directions=150, seed=0):
    return kernel_slopes(scale, kernel=KERNELS[name], n=4, D=8, d=6, directions=directions, rng=np.random.default_rng(seed))


def test_the_gaussian_moves_at_most_so_much_whatever_the_weights():
    bound = GAUSSIAN_SLOPE * 6**-0.25
    found = {scale: slopes("gaussian", scale) for scale in (0.3, 1.0, 3.0, 10.0)}
    assert all(0.0 < value < bound for value in found.values()) and found[10.0] < found[1.0]
    soft = {scale: slopes("softmax", scale) for scale in (0.3, 1.0, 3.0, 10.0)}
    assert soft[0.3] < soft[1.0] < soft[3.0] and soft[10.0] > bound, "softmax has no such constant: the negative control"


def test_the_bound_is_reached():
    """One query at distance sqrt(c) from one key, moved straight away."""
    for d in (1, 4, 9):
        c, h = np.sqrt(d), 1e-30
        q = np.zeros((1, d))
        q[0, 0] = np.sqrt(c)
        moved = KERNELS["gaussian"].value(q * (1 + 1j * h / np.sqrt(c)), np.zeros((1, d)), c).imag[0, 0] / h
        assert abs(moved) == pytest.approx(GAUSSIAN_SLOPE * d**-0.25, rel=1e-14)


def test_slopes_are_finite_differences_in_the_limit():
    rng = np.random.default_rng(0)
    found = kernel_slopes(1.0, kernel=KERNELS["softmax"], n=4, D=8, d=6, directions=1, rng=rng)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 8)) / np.sqrt(8)
    W_Q, W_K = rng.standard_normal((8, 6)), rng.standard_normal((8, 6))
    dQ, dK = X @ rng.standard_normal((8, 6)), X @ rng.standard_normal((8, 6))
    h, c = 1e-5, np.sqrt(6.0)
    dS = KERNELS["softmax"].value(X @ W_Q + h * dQ, X @ W_K + h * dK, c) - KERNELS["softmax"].value(X @ W_Q - h * dQ, X @ W_K - h * dK, c)
    want = np.linalg.norm(dS) / (2.0 * h * np.sqrt(sum(((dQ[k] - dK[j]) ** 2).sum() for k in range(4) for j in range(4))))
    assert found == pytest.approx(want, rel=1e-7)


def test_the_gaussian_is_lipschitz_between_weights_however_far():
    """|S - S'| <= e^{-1/2} d^{-1/4} sqrt(2 n) |X| |(W_Q, W_K) - (W_Q', W_K')|, in Frobenius and operator norms."""
    rng = np.random.default_rng(4)
    n, D, d = 4, 6, 5
    kernel, most = KERNELS["gaussian"], 0.0
    for scale in (0.1, 1.0, 10.0, 100.0):
        for _ in range(60):
            X = random_tokens(rng, 1, n, D)[0]
            W = scale * rng.standard_normal((2, D, d))
            other = W + 10 ** rng.uniform(-4, 2) * rng.standard_normal((2, D, d))
            bound = GAUSSIAN_SLOPE * d**-0.25 * np.sqrt(2.0 * n) * np.linalg.norm(X, 2) * np.linalg.norm(W - other)
            S, T = (kernel.value(X @ w[0], X @ w[1], np.sqrt(d)) for w in (W, other))
            most = max(most, np.linalg.norm(S - T) / bound)
    assert 0.01 < most <= 1.0


def test_softmax_is_not():
    """Two keys far apart and a query that leaves the middle between them: twice as far apart, twice as steep."""
    X, found = np.eye(2), []
    for far in (10.0, 20.0):
        W, moved = np.zeros((2, 2, 1)), np.zeros((2, 2, 1))
        W[1, :, 0], moved[0, 0, 0] = (far, -far), 1e-3
        S, T = (KERNELS["softmax"].value(X @ w[0], X @ w[1], 1.0) for w in (W, W + moved))
        found.append(np.linalg.norm(S - T) / (GAUSSIAN_SLOPE * 2.0 * np.linalg.norm(moved)))
    assert found[0] > 1.0 and found[1] == pytest.approx(2.0 * found[0], rel=1e-3)


# -- the sufficient condition ----------------------------------------------------------------------------------------------


def test_the_length_of_the_path():
    assert path_bound(np.array([2.0]), np.array([4.0]), 9) == pytest.approx(np.sqrt(8 * 9 * 2 / 4))


def test_the_sides_of_the_condition():
    model = ak.dense(SETTING, 0)
    f, Lambda = np.array([0.3]), np.array([0.02])
    found = sufficient(model, f, Lambda)
    omega = max(np.linalg.norm(W, 2) for W in model.weights["W_O"][0])
    fourth = sum(np.linalg.norm(X, 2) ** 4 for X in model.samples.X)
    left = omega * np.exp(-0.5) * 4**-0.25 * np.sqrt(2.0 * 3 * fourth) * np.sqrt(8.0 * 2 * 0.3 / 0.02)
    assert found.left[0] == pytest.approx(left, rel=1e-13) and found.right[0] == pytest.approx(0.5 * np.sqrt(0.02), rel=1e-15)
    c = model.constants
    again = sufficient(model, c["loss_0"][1], 2 * c["gram_eigenvalues"][1, :, -1])
    assert np.array_equal(again.left, c["sufficient_left"]) and np.array_equal(again.right, c["sufficient_right"])
    assert "sufficient_left" not in ak.dense(SETTING.replace(kernel="softmax+row_gaussian"), 0).constants, "softmax has no such constant"


def test_a_larger_W_O_makes_the_condition_true():
    """With W_V = 0 the left side stays and the right is linear in o_scale: how much larger it must be is exact."""
    setting = SETTING.replace(v_scale=0.0, tied=True, kernel="gaussian")
    first = ak.dense(setting, 0)
    sides = sufficient(first, first.constants["loss_0"][0], 2 * first.constants["gram_eigenvalues"][0, :, -1])
    factor = float(sides.left[0] / sides.right[0])
    assert factor > 10.0, "not true at o_scale = 1: the negative control"
    there = ak.dense(setting.replace(o_scale=factor), 0).constants
    assert there["sufficient_left"][0] == pytest.approx(sides.left[0], rel=1e-10)
    assert there["sufficient_right"][0] == pytest.approx(there["sufficient_left"][0], rel=1e-10)


def test_a_gram_matrix_that_is_deficient_never_meets_it():
    c = ak.dense(SETTING.replace(D=2, H=1), 0).constants
    assert c["sufficient_left"][0] == np.inf and c["sufficient_right"][0] == 0.0
