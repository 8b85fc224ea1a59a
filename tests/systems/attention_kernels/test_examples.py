"""The constructed examples: stationary points against fine grids and known numbers, who reaches a loss of 0 and who cannot."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from dynsim import GradientDescent, GradientFlow, LossBelow, simulate
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.queries.examples import initial_queries, outputs_at, sphere
from dynsim.systems.attention_kernels.settings import EXAMPLES

from .helpers import ALL, slope, state

LINES = ("E3", "E5", "E6")
FAR = 4.5
"""Queries up to which outputs are compared on a grid: further out two neighbours differ by rounding."""


def output(task, kernel, q):
    """The output of one query, a number by a loop."""
    made = ak.CONSTRUCTIONS[task]
    q = np.atleast_1d(q)
    s = [np.exp(q @ k / made.c) if kernel == "softmax" else np.exp(-((q - k) ** 2).sum() / (2 * made.c)) for k in made.keys]
    return sum(a * v for a, v in zip(s, made.values, strict=True)) / (1.0 if kernel == "gaussian" else sum(s))


def test_constructions_are_what_they_say():
    assert tuple(ak.CONSTRUCTIONS) == EXAMPLES
    for task, made in ak.CONSTRUCTIONS.items():
        assert made.keys.shape == (len(made.values), made.d) and made.low < made.high
        rng = np.random.default_rng(0)
        for q in rng.uniform(made.low, made.high, (5, made.d)):
            for kernel in KERNELS:
                assert outputs_at(task, kernel, q) == pytest.approx(output(task, kernel, q), rel=1e-13)
    assert outputs_at("E5", "softmax", np.zeros((4, 3, 1))).shape == (4, 3)
    E5 = ak.CONSTRUCTIONS["E5"]
    assert sorted(E5.keys[:, 0]) == [-3, -2, -2, -2, -2, 1, 1, 1, 1, 3] and E5.y == 0.6
    assert dict(zip(E5.keys[:, 0], E5.values, strict=True)) == {-3: 1.0, -2: 0.0, 1: 0.8, 3: 0.0}


def test_starts():
    setting = ak.Example("E5", starts=5, low=-1.0, high=3.0)
    assert initial_queries(setting, 0).tolist() == initial_queries(setting, 9).tolist() == [[-1.0], [0.0], [1.0], [2.0], [3.0]]
    for task in ("E1", "E2", "E4"):
        box = ak.Example(task, starts=400, low=-1.0, high=3.0)
        q = initial_queries(box, 0)
        assert q.shape == (400, 2) and q.min() > -1.0 and q.max() < 3.0 and abs(q.mean() - 1.0) < 5 * np.sqrt(16 / 12 / 800)
        assert not np.array_equal(q, initial_queries(box, 1))


# -- stationary points -----------------------------------------------------------------------------------------------------


def signed_loss(task, kernel, y, sign, q):
    return sign * 0.5 * (output(task, kernel, q) - y) ** 2


@pytest.mark.parametrize("kernel", ["softmax", "gaussian"])
@pytest.mark.parametrize("task", LINES)
def test_stationary_points_against_a_fine_grid(task, kernel):
    """Where the output still moves by more than rounding; a zero parts signs of the gap, a minimum is lower than both neighbours, a barrier
    higher."""
    found, y = ak.landscape(task, kernel), ak.CONSTRUCTIONS[task].y
    grid = np.linspace(-FAR, FAR, 40_001) + 1e-6
    gaps = outputs_at(task, kernel, grid[:, None]) - y
    loss = 0.5 * gaps**2
    step = grid[1] - grid[0]

    def close(points, at):
        points = points[np.abs(points) < FAR]
        assert len(points) == len(at) and np.abs(np.sort(points) - at).max(initial=0.0) < 2 * step

    close(found.zeros, grid[:-1][np.sign(gaps[:-1]) != np.sign(gaps[1:])])
    lowest = (loss[1:-1] < loss[:-2]) & (loss[1:-1] < loss[2:])
    highest = (loss[1:-1] > loss[:-2]) & (loss[1:-1] > loss[2:])
    close(found.minima, grid[1:-1][lowest & (loss[1:-1] > 1e-6)])
    close(found.barriers, grid[1:-1][highest])
    for q in found.zeros:
        assert abs(output(task, kernel, q) - y) < 1e-14
    for points, sign in ((found.minima, 1.0), (found.barriers[np.abs(found.barriers) < FAR], -1.0)):
        f = partial(signed_loss, task, kernel, y, sign)
        for q in points:
            assert min(f(q + 1e-3), f(q - 1e-3)) > f(q)
            best = minimize_scalar(f, bounds=(q - 0.01, q + 0.01), method="bounded", options={"xatol": 1e-9})
            assert abs(best.x - q) < 1e-5


def test_numbers_of_the_examples():
    """To the digits that are known of them."""
    soft = ak.landscape("E5", "softmax")
    assert soft.zeros == pytest.approx([-1.790], abs=5e-4) and soft.minima == pytest.approx([0.2859], abs=5e-5)
    o = outputs_at("E5", "softmax", soft.minima[:, None])[0]
    assert o == pytest.approx(0.4519, abs=5e-5) and 0.5 * (o - 0.6) ** 2 == pytest.approx(0.010969, abs=5e-7)
    assert ak.landscape("E5", "gaussian").zeros == pytest.approx([-4.011, -1.913, -0.9505, 2.830], abs=5e-4)
    assert len(ak.landscape("E5", "gaussian").minima) == 0
    assert ak.landscape("E3", "softmax").zeros == pytest.approx([-1.47], abs=5e-3) and len(ak.landscape("E3", "softmax").minima) == 0
    E6 = ak.landscape("E6", "gaussian")
    assert E6.minima == pytest.approx([-3.0], abs=1e-6)
    assert 0.5 * (outputs_at("E6", "gaussian", E6.minima[:, None])[0] - 0.8) ** 2 == pytest.approx(0.045, abs=1e-7)


def test_shares_of_starts_that_reach_zero():
    """Those of a fine grid of starts, and their limits: lengths of basins."""
    for task, kernel, want in (("E5", "softmax", 0.459), ("E3", "softmax", 0.626), ("E6", "gaussian", 0.543)):
        made, found = ak.CONSTRUCTIONS[task], ak.landscape(task, kernel)
        share = found.reaches_zero(np.linspace(made.low, made.high, 10_001)).mean()
        assert share == pytest.approx(want, abs=1e-3)
    for task, kernel in (("E5", "gaussian"), ("E5", "row_gaussian"), ("E3", "gaussian"), ("E6", "softmax")):
        made = ak.CONSTRUCTIONS[task]
        assert ak.landscape(task, kernel).reaches_zero(np.linspace(made.low, made.high, 1001)).all()
    assert ak.landscape("E3", "softmax").reaches_zero(np.array([[-2.0, 2.0]])).tolist() == [[True, False]]


@pytest.mark.parametrize("kernel", ["softmax", "gaussian"])
@pytest.mark.parametrize("task", LINES)
def test_basins_are_where_gradient_flow_ends(task, kernel):
    """Flow to time 600 from starts where it is not too slow to tell: loss 0, or that of the minimum."""
    made, found = ak.CONSTRUCTIONS[task], ak.landscape(task, kernel)
    low, high = {"E3": (-2.5, 2.5), "E5": (-4.0, 2.0), "E6": (-1.0, 1.0)}[task]
    system = ak.queries(ak.Example(task, kernel, starts=8, low=low, high=high, y=made.y))
    run = simulate(system, GradientFlow(1e-8, 1e-10), until=600.0, at=[], record=["train_loss", "query"])
    reached = found.reaches_zero(np.linspace(low, high, 8))
    assert ((run["train_loss"][-1, 0] < 1e-8) == reached).all()
    assert reached.all() == ((task, kernel) not in (("E3", "softmax"), ("E5", "softmax"), ("E6", "gaussian")))
    if len(found.minima) and not reached.all():
        assert np.abs(run["query"][-1, 0, ~reached].ravel() - found.minima[0]).max() < 1e-4


def test_the_target_is_a_choice():
    assert ak.landscape("E5", "softmax", 0.99).zeros[0] < ak.landscape("E5", "softmax").zeros[0]
    low = ak.landscape("E5", "softmax", 0.4)
    assert len(low.minima) == 0 and len(low.zeros) == 3, "a target below the mode of .4519 is met on both of its sides, too"
    assert len(ak.landscape("E3", "softmax", 2.0).zeros) == 0


def test_only_lines_have_a_list_of_stationary_points():
    for task in ("E1", "E2", "E4"):
        with pytest.raises(ValueError, match=f"task='{task}' has queries in 2 dimensions"):
            ak.landscape(task, "softmax")


def test_a_monotone_output_has_no_barrier():
    """Two keys: softmax goes from one value to the other, and so does the row-normalised Gaussian, which is the same here. Far out, where
    the output is 1 to rounding, the sign of its slope means nothing."""
    for kernel in ("softmax", "row_gaussian"):
        found = ak.landscape("E6", kernel)
        assert len(found.zeros) == 1 and len(found.minima) == len(found.barriers) == 0


def test_unknown_names_are_refused():
    for task, kernel in (("E7", "softmax"), ("E5", "sofmax")):
        with pytest.raises(ValueError, match="unknown (task|kernel).*did you mean"):
            ak.landscape(task, kernel)


# -- one example after the other -------------------------------------------------------------------------------------------


def run_of(task, *, starts=7, low=-2.0, high=2.0, steps=500, lr=1.0, record=("train_loss", "grad_norm")):
    system = ak.queries(ak.Example(task, ALL, starts=starts, low=low, high=high, y=ak.CONSTRUCTIONS[task].y))
    return simulate(system, GradientDescent(lr), steps=steps, record=list(record), at=[])


@pytest.mark.parametrize("task", ["E1", "E4"])
def test_equal_values_and_one_token_give_softmax_no_gradient(task):
    """Rounding at most; rows that are normalised are stuck the same way, the Gaussian alone moves and solves it."""
    run = run_of(task)
    for i in (0, 2):
        np.testing.assert_allclose(run["train_loss"][:, i], 0.125, rtol=1e-14)
        assert run["grad_norm"][:, i].max() < 1e-15
    assert run["train_loss"][-1, 1].max() < 1e-20 and run["train_loss"][0, 1].min() > 1e-6
    above = ak.Example("E1", "gaussian", starts=3, low=-2, high=2, y=4.0)  # control: more than its four keys give together
    run = simulate(ak.queries(above), GradientDescent(0.3), steps=300, record=["train_loss"], at=[])
    assert run["train_loss"][-1].min() > 0.1


def test_outside_the_hull_softmax_runs_away():
    """Its output stays below the largest value, so that the loss stays above (1.8 - 1)^2 / 2; the Gaussian's sum of all reaches 1.8."""
    run = run_of("E2", record=("train_loss", "grad_norm", "query_norm"))
    for i in (0, 2):
        assert (run["train_loss"][-1, i] > 0.32).all() and (run["train_loss"][-1, i] < 0.33).all()
        assert (run["query_norm"][-1, i] > run["query_norm"][0, i]).all()
        np.testing.assert_allclose(500 * run["grad_norm"][-1, i], np.sqrt(2.0), rtol=0.1, err_msg="tends to sqrt(2) / (distance of keys) t")
    assert run["train_loss"][-1, 1].max() < 1e-20


def test_softmax_in_a_strict_local_minimum_with_a_solution_elsewhere():
    run = run_of("E5", starts=2, low=-4.0, record=("train_loss", "grad_norm", "query", "curvature"))
    assert run["query"][0, 0].ravel().tolist() == [-4.0, 2.0]
    solved, stuck = run["train_loss"][-1, 0]
    assert solved < 1e-20 and stuck == pytest.approx(0.01097, abs=1e-5) and run["grad_norm"][-1, 0, 1] < 1e-8
    assert run["curvature"][-1, 0, 1] == pytest.approx(0.139, abs=1e-3) and run["train_loss"][-1, 1:].max() < 1e-20


def test_the_reverse():
    run = run_of("E6", starts=2, low=-1.0, high=1.0)
    assert run["train_loss"][-1, 0].max() < 1e-20
    assert run["train_loss"][-1, 1] == pytest.approx([0.045, 0.0], abs=1e-6)


# -- one key ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "y", "c"), [(1.0, 0.5, np.sqrt(2.0)), (3.0, 0.1, 1.0), (-2.0, -1.9, 2.0)])
def test_the_sphere_of_one_key(value, y, c):
    r, J = sphere(value, y, c)
    assert value * np.exp(-(r**2) / (2 * c)) == pytest.approx(y, rel=1e-14)
    h = 1e-30
    assert abs(value * np.exp(-((r + 1j * h) ** 2) / (2 * c)).imag / h) == pytest.approx(abs(J), rel=1e-14)


@pytest.mark.parametrize(("value", "y"), [(1.0, 1.0), (1.0, 2.0), (1.0, 0.0), (1.0, -0.5)])
def test_targets_that_no_sphere_meets(value, y):
    with pytest.raises(ValueError, match="must lie between 0 and the value"):
        sphere(value, y, 1.0)


def test_one_token_converges_to_its_sphere_at_its_rate():
    """The loss contracts by (1 - eta J^2)^2 in the end: to 1e-6 where it is still far above rounding."""
    system = ak.queries(ak.Example("E4", "gaussian", starts=6, low=-2, high=2, y=0.5))
    r, J = sphere(1.0, 0.5, np.sqrt(2.0))
    loss = simulate(system, GradientDescent(0.5), steps=140, record=["train_loss"])["train_loss"][:, 0]
    lowest = [np.flatnonzero(one > 1e-20)[-1] for one in loss.T]
    for i, at in enumerate(lowest):
        assert loss[at, i] / loss[at - 1, i] == pytest.approx((1.0 - 0.5 * J**2) ** 2, rel=1e-6)
    end = simulate(system, GradientDescent(0.5), steps=500, record=["query"], at=[])["query"][-1, 0, :, 0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(end, axis=-1), r, rtol=1e-12)
    start = simulate(system, GradientDescent(0.5), steps=0, record=["query"])["query"][0, 0, :, 0, 0, 0]
    np.testing.assert_allclose(end / r, start / np.linalg.norm(start, axis=-1, keepdims=True), atol=1e-12, err_msg="straight from the key")


def test_a_horizon_by_loss():
    """The summed loss of all kernels and starts: what a target loss means here."""
    system = ak.queries(ak.Example("E4", "gaussian", starts=3, low=1, high=2, y=0.5))
    run = simulate(system, GradientDescent(1.0), steps=500, stop=LossBelow(1e-6))
    assert run.status == "stopped" and run["train_loss"][-1].sum() <= 1e-6 < run["train_loss"][-2].sum()
    views, cache = state(system)
    assert np.isfinite(slope(system)).all() and cache.loss == cache.losses.sum()
