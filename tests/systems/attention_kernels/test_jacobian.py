"""The token Jacobian against complex steps, its rank, the floor of pairs against brute force, and the rate that follows from it."""

import numpy as np
import pytest
from scipy.optimize import minimize

from dynsim import GradientDescent, simulate
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.queries.jacobian import pair_floor, rank_bound, token_jacobians

from ...helpers import gap
from .helpers import ALL, elsewhere, slope, state

BASE = ak.Regression(trained="Q", tokens="orthonormal", N=2, n=3, D=6, d=4, H=2, d_o=3, kernel=ALL)


@pytest.mark.parametrize("setting", [BASE, BASE.replace(d_o=1, H=1), BASE.replace(paired=True), ak.Example("E2", ALL, 3, -1, 1)], ids=str)
def test_jacobians_against_complex_steps(setting):
    system = ak.queries(setting, 1)
    params, h = elsewhere(system), 1e-30
    views, cache = state(system, params)
    N, H, starts, m, d = system.queries.shape
    for i in range(3):
        J = token_jacobians(system, views, cache, i)
        assert J.shape == (N, starts, m, system.values.shape[-1], H * d)
        for head in range(H):
            for axis in range(d):
                moved = params.astype(complex)
                system.layout.views(moved).q[i, :, head, :, :, axis] += 1j * h
                want = system.outputs(system.forward(system.layout.views(moved)))[i].imag / h  # every query moves its own output only
                assert gap(J[..., head * d + axis], want) < 1e-13


def test_the_gradient_is_the_jacobian_times_the_residual():
    system = ak.queries(BASE, 1)
    params = elsewhere(system)
    views, cache = state(system, params)
    found = system.layout.views(slope(system, params)).q
    for i in range(3):
        J = token_jacobians(system, views, cache, i)
        want = np.einsum("asmop,asmo->asmp", J, cache.residuals[i])
        N, H, starts, m, d = system.queries.shape
        assert gap(found[i], want.reshape(N, starts, m, H, d).transpose(0, 3, 1, 2, 4)) < 1e-13


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_ranks_are_n_and_n_minus_one(n):
    """With as many outputs as tokens: rows that sum to 1 cost one dimension. A factor 1e-10 parts zero from the least singular value."""
    system = ak.queries(BASE.replace(N=1, n=n, D=n, d_o=n, d=8, H=1), 0)
    views, cache = state(system)
    for i, kernel in enumerate(KERNELS):
        J = token_jacobians(system, views, cache, i)
        want = n if kernel == "gaussian" else n - 1
        assert rank_bound(kernel, 1, n, 8, n) == want
        assert all(np.linalg.matrix_rank(one, tol=1e-13 * max(1.0, np.abs(J).max())) == want for one in J.reshape(-1, n, 8))
        assert (system.constants["jacobian_rank"][i] == want).all()
        assert (system.constants["jacobian_least"][i] > 1e-6).all() == (kernel == "gaussian")


def test_the_noted_rank_is_zero_where_nothing_moves():
    for H in (1, 3):
        system = ak.queries(BASE.replace(N=3, n=1, D=3, d_o=1, d=8, H=H), 0)
        assert (system.constants["jacobian_rank"][[0, 2]] == 0).all()
    E1 = ak.queries(ak.Example("E1", ALL, starts=20, low=-2, high=2, y=0.5))
    assert (E1.constants["jacobian_rank"].max(axis=(1, 2, 3)) == [0, 1, 0]).all() and not E1.constants["jacobian_least"][[0, 2]].any()


@pytest.mark.parametrize(("H", "n", "d", "d_o"), [(2, 3, 8, 6), (2, 3, 1, 6), (3, 2, 8, 4), (1, 4, 2, 3), (2, 2, 8, 2)])
def test_several_heads_add_their_ranks(H, n, d, d_o):
    system = ak.queries(BASE.replace(N=1, n=n, D=n, d_o=d_o, d=d, H=H), 0)
    for i, kernel in enumerate(KERNELS):
        of_values = min(d, d_o)  # a head's values lie in the columns of its W_O: the bound knows only that d bounds the queries
        assert (system.constants["jacobian_rank"][i] <= rank_bound(kernel, H, n, d, d_o)).all()
        if of_values >= n:
            assert (system.constants["jacobian_rank"][i] == rank_bound(kernel, H, n, d, d_o)).all()


def test_more_outputs_than_queries_have_dimensions():
    system = ak.queries(BASE.replace(d=1, H=1, d_o=3), 0)
    assert not system.constants["jacobian_least"].any(), "some direction of the outputs does not move"


# -- pairs -----------------------------------------------------------------------------------------------------------------


def best_of_span(v, Y, seed):
    """Minimise |sum_j c_j v_j - Y|^2 over coefficients that sum to 0 in each head, numerically."""
    H, n, d_o = v.shape

    def loss(c):
        c = c.reshape(H, n)
        c = c - c.mean(axis=1, keepdims=True)
        gap = np.einsum("hj,hjo->o", c, v) - Y
        back = np.einsum("o,hjo->hj", gap, v)
        return gap @ gap, 2.0 * (back - back.mean(axis=1, keepdims=True)).ravel()

    start = np.random.default_rng(seed).standard_normal(H * n)
    return minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-12}).fun


@pytest.mark.parametrize(("N", "H", "n", "m", "d_o"), [(2, 1, 3, 3, 3), (1, 2, 2, 2, 3), (1, 1, 1, 1, 2), (3, 1, 2, 2, 1), (1, 1, 3, 3, 2)])
def test_the_floor_of_pairs_against_brute_force(N, H, n, m, d_o):
    rng = np.random.default_rng(0)
    v, Y = rng.standard_normal((N, H, n, d_o)), rng.standard_normal((N, m, d_o))
    want = sum(best_of_span(v[i], Y[i, k], k) for i in range(N) for k in range(m)) / (2.0 * N)
    found = pair_floor(v, Y)
    assert found == pytest.approx(want, rel=1e-8, abs=1e-12)
    assert (found > 1e-3) == (H * (n - 1) < d_o)
    assert pair_floor(v, np.zeros_like(Y)) == 0.0
    alike = np.broadcast_to(v[:, :, :1], v.shape)  # equal values: nothing is reached
    assert pair_floor(alike, Y) == pytest.approx((Y**2).sum() / (2.0 * N), rel=1e-14)


def test_no_queries_bring_softmax_below_the_floor():
    """Random queries of all sizes, for each of which no residual is smaller; the Gaussian goes below it."""
    setting = BASE.replace(N=1, n=2, D=2, d=8, d_o=2, paired=True, v_scale=8.0)
    system = ak.queries(setting, 4)
    floor = float(system.constants["pair_floor"])
    least = np.full(3, np.inf)
    rng = np.random.default_rng(0)
    for _ in range(150):
        flat = 10.0 ** rng.uniform(-1, 1.3) * rng.standard_normal(system.layout.size)
        least = np.minimum(least, system.forward(system.layout.views(flat)).losses[:, 0])
    assert least[0] >= floor * (1 - 1e-12) and least[2] >= floor * (1 - 1e-12) and floor > 0.01
    run = simulate(system, GradientDescent(0.02), steps=800, record=["train_loss"], at=[])
    assert run["train_loss"][-1, 1, 0] < 0.1 * floor, "the Gaussian does"


def test_the_rate_of_lazy_pairs():
    """With huge values the Jacobian hardly moves: the slowest of the queries contracts by (1 - eta mu)^2 a step, with the mu of the start,
    to 2 %, as fitted over the last half of its way to a loss of 1e-12."""
    for kernel in ("softmax", "gaussian"):
        system = ak.queries(BASE.replace(N=1, n=3, D=3, d=8, d_o=2, paired=True, v_scale=1024.0, kernel=kernel), 5)
        lr = 0.5 / np.linalg.norm(token_jacobians(system, *state(system), 0), 2, axis=(-2, -1)).max() ** 2
        mu = system.constants["jacobian_least"].min() ** 2
        loss = simulate(system, GradientDescent(lr), steps=1500, record=["train_loss"])["train_loss"][:, 0, 0]
        end = np.argmax(loss < 1e-12) or 1500
        assert loss[end] < 1e-2 * loss[0]
        rate = np.log(loss[end // 2] / loss[end]) / (end - end // 2)
        assert rate == pytest.approx(-2.0 * np.log1p(-lr * mu), rel=0.02), kernel


def test_the_floor_is_of_targets_that_all_kernels_share():
    setting = BASE.replace(N=1, n=2, D=2, d_o=2, paired=True)
    settings = (setting.replace(kernel=kernel) for kernel in ("softmax+gaussian", "gaussian+softmax"))
    one, other = (ak.queries(setting, 0).constants["pair_floor"] for setting in settings)
    assert one == other
    assert "pair_floor" not in ak.queries(setting.replace(targets="teacher"), 0).constants
