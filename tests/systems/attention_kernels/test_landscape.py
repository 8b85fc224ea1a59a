"""Slices of the loss by brute force; minima and roughness of surfaces made by hand."""

import numpy as np
import pytest

from dynsim import GradientDescent, simulate
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.classifier.landscape import POINTS, RANGE, coordinates, interior_minima, roughness, surface
from dynsim.systems.attention_kernels.settings import streams

from ...helpers import same_bits
from .helpers import ALL, state

SMALL = ak.Classification(kernel=ALL, D=4, d=2, H=2, hidden=5, samples=3, test=2, batch=0, pretrain_batch=1)


def test_positions():
    at = coordinates()
    assert POINTS == 21 and RANGE == 2.0 and at[0] == -2.0 and at[-1] == 2.0 and at[10] == 0.0 and np.allclose(np.diff(at), 0.2)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_slice_is_the_loss_along_two_directions(layers):
    """Directions found again from the same stream, scaled block by block; the loss at some points by another forward pass."""
    system = ak.dense(SMALL.replace(layers=layers, batch=2), 1)
    views, _ = state(system)
    cache = system.forward(views, system.batch(0))
    found = surface(system, cache, streams(1)["directions"])
    assert found.shape == (3, 1, 21, 21)
    names = [f"{block}_{layer + 1}" for layer in range(layers) for block in ("W_Q", "W_K")]
    rng = np.random.default_rng(streams(1)["directions"])
    d = []
    for _ in range(2):
        drawn = {name: rng.standard_normal(system.weights[name].shape) for name in names}
        d.append({name: x * np.linalg.norm(system.weights[name]) / np.linalg.norm(x) for name, x in drawn.items()})
    whole = system.forward(views).losses
    np.testing.assert_allclose(found[:, :, 10, 10], whole, rtol=1e-12, err_msg="the middle is the loss on all samples, not on a batch")
    for row, column in ((0, 0), (20, 3), (7, 15)):
        moved = system.layout.views(system.start.copy())
        for name in names:
            getattr(moved, name)[...] += coordinates()[column] * d[0][name] + coordinates()[row] * d[1][name]
        np.testing.assert_allclose(found[:, :, row, column], system.forward(moved).losses, rtol=1e-12)
    assert same_bits(system.layout.views(system.start.copy()).W_Q_1, views.W_Q_1), "the state is left as it was"


def test_a_run_records_its_slice():
    system = ak.dense(SMALL.replace(kernel="softmax+gaussian", samples=2), 1)
    run = simulate(system, GradientDescent(0.1), steps=2, record={"train_loss": 1, "surface": 2})
    assert run["surface"].shape == (2, 2, 1, 21, 21)
    assert run.dims["surface"][1:] == ("kernel", "start", "direction_2", "direction_1")
    np.testing.assert_allclose(run["surface"][:, :, :, 10, 10], run["train_loss"][[0, 2]], rtol=1e-12)
    alone = simulate(ak.dense(SMALL.replace(kernel="gaussian", samples=2), 1), GradientDescent(0.1), steps=0, record=["surface"])
    np.testing.assert_allclose(alone["surface"][0, 0], run["surface"][0, 1], rtol=1e-12)


def test_interior_minima():
    x = np.arange(-10.0, 11.0)
    bowl = x[:, None] ** 2 + x**2
    assert interior_minima(bowl) == 1 and interior_minima(-bowl) == 0 and interior_minima(x[:, None] + x) == 0
    assert interior_minima(x[:, None] ** 2 - x**2) == 0, "a saddle is none"
    assert interior_minima(np.zeros((21, 21))) == 0, "nor is a plain: below all neighbours, not level with one"
    edge = bowl.copy()
    edge[0, 5] = -100.0  # not interior
    assert interior_minima(edge) == 1
    spots = np.ones((9, 9))
    spots[2, 2] = spots[6, 6] = spots[2, 6] = 0.0
    assert interior_minima(spots) == 3
    spots[3, 3] = 0.0  # touches the first by a corner: neither is below the other
    assert interior_minima(spots) == 2
    assert interior_minima(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])) == 1
    assert interior_minima(bowl[::-1, :7]) == 0 and interior_minima(bowl[5:]) == 1, "rows and columns need not be as many"


def test_roughness():
    x = np.arange(21.0)
    assert roughness(3.0 * x[:, None] - 2.0 * x + 1.0) == pytest.approx(0.0, abs=1e-12), "planes are smooth"
    assert roughness(0.5 * (x[:, None] ** 2 + x**2)) == pytest.approx(1.0, rel=1e-12)
    assert roughness(0.5 * x[:, None] ** 2 + 0.0 * x) == pytest.approx(np.sqrt(0.5), rel=1e-12), "along one axis of two"
    checker = (-1.0) ** (x[:, None] + x)
    assert roughness(checker) == pytest.approx(4.0, rel=1e-12) and roughness(checker + 0.5 * x**2) > 4.0
    rng = np.random.default_rng(0)
    rough = rng.standard_normal((5, 7))
    want = [rough[i - 1, j] - 2 * rough[i, j] + rough[i + 1, j] for i in range(1, 4) for j in range(7)]
    want += [rough[i, j - 1] - 2 * rough[i, j] + rough[i, j + 1] for i in range(5) for j in range(1, 6)]
    assert roughness(rough) == pytest.approx(np.sqrt(np.mean(np.square(want))), rel=1e-13)
    assert roughness(-2 * rough) == pytest.approx(2 * roughness(rough), rel=1e-13)
