"""Training the values alone: the Gram matrix by Kronecker products, its rank, the exact recursion, and what is left at the end."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import GradientDescent, GradientFlow, iterate, simulate
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.regression import gram
from dynsim.systems.attention_kernels.regression.gram import features, least_eigenvalue, loss_floor, predicted_loss, rank_rule, spectrum

from ...helpers import gap
from .helpers import ALL, random_weights, state

EXACT = 1e-12
"""Rounding of some hundred products."""

SMALL = ak.Regression(N=3, n=4, D=7, d=3, H=3, d_o=2, kernel=ALL)
CASES = {
    "token-level": SMALL, "pooled": SMALL.replace(pooled=True), "one output": SMALL.replace(d_o=1), "more outputs than the head has":
    SMALL.replace(d=2, d_o=4, H=1), "orthonormal": SMALL.replace(tokens="orthonormal", D=13), "one token": SMALL.replace(n=1),
    "head of dimension one": SMALL.replace(d=1, H=2),
}


def naive_gram(model, kernel, start=0):
    """G as section 3 of the derivation writes it, by Kronecker products and block-diagonal matrices."""
    _, cache = state(model)
    X, U, W_O, S = model.samples.X, model.samples.U, model.weights["W_O"][start], cache.tapes[kernel].S[start]
    N, n, D = X.shape
    G = 0.0
    for h in range(len(W_O)):
        B = np.concatenate([U @ S[i, h] @ X[i] for i in range(N)])
        G = G + np.kron(W_O[h].T @ W_O[h], B @ B.T)
    return G / N


def residual(cache, kernel, start=0):
    """O - Y with the output index outside and the token inside."""
    R = len(cache.residuals[kernel][start]) * cache.residuals[kernel][start]  # (N, m, d_o)
    return np.concatenate([R[:, :, o].ravel() for o in range(R.shape[-1])])


@pytest.mark.parametrize("case", CASES)
def test_the_factor_and_the_spectrum_are_those_of_the_gram_matrix(case):
    model = ak.dense(CASES[case], 1)
    _, cache = state(model)
    for i, kernel in enumerate(KERNELS):
        G, N = naive_gram(model, i), model.N
        A = features(cache.tapes[i], model.samples.U)[0]
        assert gap(A @ A.T, N * G) < EXACT, kernel
        found, r = spectrum(model, cache, i), residual(cache, i)
        values, vectors = np.linalg.eigh(G)
        assert gap(found.eigenvalues[0], np.maximum(values[::-1], 0.0)) < EXACT and (np.diff(found.eigenvalues[0]) <= 0).all()
        assert found.squares[0].sum() == pytest.approx(r @ r, rel=EXACT)
        for power in (1, 2):  # components in eigenvectors may be mixed where eigenvalues are alike, these sums may not
            want = r @ np.linalg.matrix_power(G, power) @ r
            assert (found.squares[0] * found.eigenvalues[0] ** power).sum() == pytest.approx(want, rel=EXACT)
        assert found.rank[0] == np.linalg.matrix_rank(A) == rank_rule(CASES[case].to_dict())
        assert least_eigenvalue(model, cache, i)[0] == pytest.approx(max(N * values[0], 0.0), abs=EXACT * N * values[-1])
    wrong = replace(model, c=1.01 * model.c)  # negative control
    moved, kept = (features(at.tapes[0], model.samples.U)[0] for at in (state(wrong)[1], cache))
    assert gap(moved, kept) > 1e-5 or case == "one token"


def test_constants_of_the_start():
    model = ak.dense(SMALL, 2)
    _, cache = state(model)
    c = model.constants
    assert c["N"] == 3.0 and c["rank_rule"] == rank_rule(SMALL.to_dict()) and np.array_equal(c["loss_0"], cache.losses)
    for i in range(3):
        found = spectrum(model, cache, i)
        for name, want in (("gram_eigenvalues", found.eigenvalues), ("residual_squares", found.squares), ("rank", found.rank)):
            assert np.array_equal(c[name][i], want)
    np.testing.assert_allclose(c["residual_squares"].sum(-1) / 6.0, c["loss_0"], rtol=1e-13)


def test_several_starts_have_a_spectrum_each():
    model, rng = ak.dense(SMALL, 0), np.random.default_rng(3)
    many = replace(model, weights=random_weights(rng, 7, 3, 3, 2, lead=(4,)))
    _, cache = state(many)
    for i in range(3):
        found = spectrum(many, cache, i)
        least = least_eigenvalue(many, cache, i)
        for start in range(4):
            values = np.linalg.eigvalsh(naive_gram(many, i, start))[::-1]
            assert gap(found.eigenvalues[start], np.maximum(values, 0.0)) < EXACT
            assert least[start] == pytest.approx(max(values[-1], 0.0) * 3, abs=EXACT * values[0])


# -- the recursion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_residuals_obey_the_linear_recursion_at_every_step(case):
    """r <- (I - eta G) r with G of the start: to rounding that 40 contracting steps add up."""
    model = ak.dense(CASES[case], 1)
    G = [naive_gram(model, i) for i in range(3)]
    lr = 1.0 / max(np.linalg.eigvalsh(g)[-1] for g in G)
    for s in iterate(model, GradientDescent(lr)):
        if s.step == 0:
            r = first = [residual(s.cache, i) for i in range(3)]
        for i in range(3):
            assert np.abs(residual(s.cache, i) - r[i]).max() < 1e-13 * np.abs(first[i]).max()
        if s.step == 40:
            break
        r = [x - lr * g @ x for x, g in zip(r, G, strict=True)]
    assert all(np.abs(x - y).max() > 0.01 * np.abs(y).max() for x, y in zip(r, first, strict=True)), "they moved"


def strayed(run, c, lr):
    """Return how far the root of the loss is from its prediction, at most, in roots of the first loss.

    Residuals are differences of numbers of order one: their error stays near 1e-16 however small they become.
    """
    want = predicted_loss(c["gram_eigenvalues"], c["residual_squares"], int(c["N"]), run.at, lr)
    assert want.shape == run["train_loss"].shape
    return (np.abs(np.sqrt(run["train_loss"]) - np.sqrt(want)) / np.sqrt(c["loss_0"])).max(axis=0)


@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_predicted_at_every_step(case):
    """Also above the rate at which the largest eigenvalue oscillates."""
    model = ak.dense(CASES[case], 1)
    c = model.constants
    for share in (0.5, 1.9):
        lr = share / c["gram_eigenvalues"].max()
        run = simulate(model, GradientDescent(lr), steps=80, record=["train_loss"])
        assert strayed(run, c, lr).max() < 1e-13
        assert strayed(run, c, 1.01 * lr).min() > 1e-5, "negative control: another rate"


def test_the_flow_is_predicted_too():
    model = ak.dense(SMALL, 1)
    c = model.constants
    run = simulate(model, GradientFlow(1e-11, 1e-13), until=10.0, record=["train_loss"])
    want = predicted_loss(c["gram_eigenvalues"], c["residual_squares"], 3, run.at, None)
    assert gap(run["train_loss"], want) < 1e-9 and (want[-1] < 0.6 * want[0]).all()
    np.testing.assert_allclose(want[0], c["loss_0"], rtol=1e-13)


def test_the_prediction_depends_on_the_scale_of_the_logits():
    """Negative control: with c off by a hundredth the same spectrum predicts another loss."""
    model = ak.dense(SMALL, 1)
    c = model.constants
    assert strayed(simulate(model, GradientDescent(0.3), steps=50, record=["train_loss"]), c, 0.3).max() < 1e-13
    moved = simulate(replace(model, c=1.01 * model.c), GradientDescent(0.3), steps=50, record=["train_loss"])
    assert strayed(moved, c, 0.3).min() > 1e-4


def test_training_more_than_the_values_is_not_linear():
    """Negative control: with W_O or the queries trained as well the recursion fails."""
    for trained in ("VO", "QV"):
        model = ak.dense(SMALL.replace(trained=trained), 1)
        c = model.constants
        assert strayed(simulate(model, GradientDescent(0.3), steps=50, record=["train_loss"]), c, 0.3).min() > 1e-3


def test_huge_steps_and_tiny_eigenvalues_raise_no_warning():
    values, squares = np.array([[1e300, 1.0, 1e-300]]), np.ones((1, 3))
    assert predicted_loss(values, squares, 1, np.array([1000]), 1.0)[0, 0] == np.inf
    assert predicted_loss(values * 1e-300, squares, 1, np.array([0, 10**6]), 0.5).shape == (2, 1)


# -- rank and floor --------------------------------------------------------------------------------------------------------

TWENTY = ak.Regression(N=4, n=5, d=4, kernel="softmax+gaussian")


@pytest.mark.parametrize(("H", "D"), [(1, 5), (1, 10), (1, 20), (1, 24), (2, 5), (2, 9), (2, 10), (3, 5), (3, 7), (4, 4), (4, 5), (5, 3)])
def test_the_rank_is_the_smaller_of_H_D_and_N_n(H, D):
    """Exactly, for both kernels, N n = 20: then H D >= N n is necessary for a loss of 0, and sufficient here."""
    model = ak.dense(TWENTY.replace(H=H, D=D), 0)
    c = model.constants
    assert c["rank_rule"] == min(H * D, 20) and (c["rank"] == min(H * D, 20)).all()
    values = c["gram_eigenvalues"]
    kept = min(H * D, 20)
    assert (values[..., kept:] < 1e-14 * values[..., :1]).all() and (values[..., kept - 1] > 1e-9 * values[..., 0]).all()
    floor = loss_floor(values, c["residual_squares"], c["rank"], 4)
    assert (floor == 0.0).all() if H * D >= 20 else (floor > 1e-3 * c["loss_0"]).all()


def least_squares(model, kernel):
    """The least loss over W_V: the output is linear in it, so its matrix is made column by column, by forward passes."""
    views, cache = state(model, np.zeros_like(model.start))
    offset = residual(cache, kernel)  # -Y
    block = views.W_V[kernel, 0]
    columns = []
    for index in np.ndindex(block.shape):
        block[index] = 1.0
        columns.append(residual(model.forward(views), kernel) - offset)
        block[index] = 0.0
    M = np.stack(columns, axis=-1)
    best = M @ np.linalg.lstsq(M, -offset, rcond=1e-11)[0] + offset
    return best @ best / (2.0 * model.N)


FLOORS = {
    "H D < N n": (SMALL.replace(D=3, d_o=1, H=2), True), "outputs": (SMALL.replace(D=3, H=2), True),
    "enough": (SMALL.replace(D=12, H=2), False),
    "pooled": (SMALL.replace(pooled=True, D=2, H=1), True), "head of dimension one": (SMALL.replace(d=1, H=1, D=14), True),
    "queries of zero": (SMALL.replace(qk_scale=0.0, D=14), True),
}


@pytest.mark.parametrize("case", FLOORS)
def test_floors_are_what_least_squares_leaves(case):
    setting, deficient = FLOORS[case]
    model = ak.dense(setting, 3)
    c = model.constants
    floor = loss_floor(c["gram_eigenvalues"], c["residual_squares"], c["rank"], 3)
    assert floor.shape == (3, 1)
    for i in range(3):
        assert floor[i, 0] == pytest.approx(least_squares(model, i), rel=1e-9, abs=1e-18)
        assert (floor[i, 0] > 1e-3) == deficient


def test_gradient_descent_stops_at_its_floor_and_not_before():
    model = ak.dense(FLOORS["H D < N n"][0], 3)
    c = model.constants
    floor = loss_floor(c["gram_eigenvalues"], c["residual_squares"], c["rank"], 3)
    lr = 1.0 / c["gram_eigenvalues"].max()
    run = simulate(model, GradientDescent(lr), steps=1000, record=["train_loss"], at=[])
    assert (run["train_loss"][-1] >= floor * (1 - 1e-12)).all()
    inside = np.where(np.arange(12) < c["rank"][..., None], c["residual_squares"], 0.0)
    rest = predicted_loss(c["gram_eigenvalues"], inside, 3, np.array([1000]), lr)[0]
    np.testing.assert_allclose(run["train_loss"][-1] - floor, rest, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
def test_queries_of_zero_leave_rows_alike(kernel):
    """All rows of a sample's S are then the same: the rank is at most H N, below the generic one, and of a sample's targets only the mean
    is met; pooled ones are."""
    setting = TWENTY.replace(qk_scale=0.0, H=3, D=24, kernel=kernel)
    model = ak.dense(setting, 0)
    c = model.constants
    assert c["rank"][0, 0] == 4 <= setting.H * setting.N and c["rank_rule"] == 20.0
    floor = loss_floor(c["gram_eigenvalues"], c["residual_squares"], c["rank"], 4)[0, 0]
    within = model.samples.Y[0] - model.samples.Y[0].mean(axis=1, keepdims=True)
    assert floor == pytest.approx((within**2).sum() / 8.0, rel=1e-10), "what tokens of a sample differ by"
    run = simulate(model, GradientDescent(1.0 / c["gram_eigenvalues"].max()), steps=500, at=[])
    assert run["train_loss"][-1, 0, 0] >= floor * (1 - 1e-12) > 0.1
    one = replace_scale(setting, 1.0)
    assert one["rank"][0, 0] == 20 and loss_floor(one["gram_eigenvalues"], one["residual_squares"], one["rank"], 4)[0, 0] == 0.0
    pooled = ak.dense(setting.replace(pooled=True), 0).constants
    assert pooled["rank"][0, 0] == pooled["rank_rule"] == 4.0


def replace_scale(setting, scale):
    return ak.dense(setting.replace(qk_scale=scale), 0).constants


def test_zero_queries_against_trained_keys_stay_zero_rank():
    """W_Q = 0 alone is enough; and from W_Q = W_K = 0 the gradients of both vanish, so that training them does not help."""
    model = ak.dense(TWENTY.replace(qk_scale=0.0, trained="QKV", D=24), 0)
    run = simulate(model, GradientDescent(0.5), steps=200, at=[])
    views = model.layout.views(run.final)
    assert not views.W_Q.any() and not views.W_K.any() and views.W_V.any()
    assert (run["train_loss"][-1] > 0.1).all()


def test_the_rule_counts_heads_that_are_distinct():
    """Pairs of heads have the same features."""
    for D in (5, 24):
        setting = TWENTY.replace(paired=True, H=2, D=D)
        assert (ak.dense(setting, 0).constants["rank"] == min(D, 20)).all()


def test_the_rule_knows_pairs():
    assert rank_rule(TWENTY.replace(paired=True, H=2, D=5).to_dict()) == 5


def test_too_many_residuals_have_no_spectrum(monkeypatch):
    model = ak.dense(SMALL, 0)
    monkeypatch.setattr(gram, "LARGEST", 20)
    with pytest.raises(ValueError, match="N n d_o = 24 residuals: the spectrum of G is taken of at most 20"):
        spectrum(model, state(model)[1], 0)
    monkeypatch.setattr("dynsim.systems.attention_kernels.build.LARGEST", 20)
    assert set(ak.dense(SMALL, 0).constants) == {"N", "rank_rule"}
