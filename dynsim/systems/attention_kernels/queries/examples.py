"""Constructed examples: one query, fixed keys, scalar values, one target; with what follows for them on paper.

The paper's own constructions were not available to us: these are ours. Logits are not divided by the root of d but in E4.

====  =====================================================================================================
E1    four keys, all values 1, target 0.5: the output of softmax is 1 wherever the query is
E2    values 1, 0.5, 0.8, 0.2 at the corners of a square, target 1.8: above all values, below the Gaussian's top
E3    keys -1, 0, 1 with values 0, 1, 0.5, target 0.2: some starts run away to the right
E4    one key with value 1, target 0.5: a single token's softmax does not depend on the query at all
E5    ten keys in two groups between two zeros, target 0.6: softmax has a strict local minimum
E6    the reverse: two far keys with values 0.5 and 1, target 0.8: the Gaussian has a local minimum at the lower
====  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ....naming import unknown_name
from ..kernels import KERNELS
from ..settings import Example, streams

__all__ = ["CONSTRUCTIONS", "Construction", "Landscape", "initial_queries", "landscape", "outputs_at", "sphere"]

FARTHEST = 15.0
"""Queries between which stationary points are looked for."""
GRID = 60_001
ROUNDING = 1e-13
"""Outputs and slopes below this have no sign: values and keys are of order 1."""


@dataclass(frozen=True, eq=False)
class Construction:
    """Keys (n, d), their scalar values (n,), the target, and the scale of the logits."""

    keys: NDArray
    values: NDArray
    y: float
    c: float
    low: float
    high: float

    @property
    def d(self) -> int:
        """Dimension of queries and keys."""
        return self.keys.shape[1]


def _line(keys: list[float], values: list[float], y: float, low: float, high: float) -> Construction:
    return Construction(np.array(keys)[:, None], np.array(values), y, 1.0, low, high)


_SQUARE = 0.5 * np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])

CONSTRUCTIONS: Mapping[str, Construction] = {
    "E1": Construction(_SQUARE, np.ones(4), 0.5, 1.0, -2.0, 2.0),
    "E2": Construction(_SQUARE, np.array([1.0, 0.5, 0.8, 0.2]), 1.8, 1.0, -2.0, 2.0),
    "E3": _line([-1.0, 0.0, 1.0], [0.0, 1.0, 0.5], 0.2, -4.0, 4.0),
    "E4": Construction(np.zeros((1, 2)), np.ones(1), 0.5, float(np.sqrt(2.0)), -2.0, 2.0),
    "E5": _line([-3.0] + [-2.0] * 4 + [1.0] * 4 + [3.0], [1.0] + [0.0] * 4 + [0.8] * 4 + [0.0], 0.6, -6.0, 6.0),
    "E6": _line([-3.0, 3.0], [0.5, 1.0], 0.8, -1.5, 1.5),
}
"""Examples by name, with the target and the range of starts that their presets have."""


def initial_queries(setting: Example, seed: int) -> NDArray:
    """Return the starts, shape (starts, d)."""
    d = CONSTRUCTIONS[setting.task].d
    if d == 1:
        return np.linspace(setting.low, setting.high, setting.starts)[:, None]
    return np.random.default_rng(streams(seed)["starts"]).uniform(setting.low, setting.high, (setting.starts, d))


def outputs_at(task: str, kernel: str, q: NDArray) -> NDArray:
    """Return the output of an example at queries (..., d), real or complex; shape (...)."""
    made = CONSTRUCTIONS[task]
    return (KERNELS[kernel].value(np.asarray(q)[..., None, :], made.keys, made.c) @ made.values)[..., 0]


@dataclass(frozen=True, eq=False)
class Landscape:
    """Where the loss of an example in one dimension is stationary.

    Attributes
    ----------
    zeros : ndarray
        Queries with loss 0.
    minima : ndarray
        Strict local minima with loss above 0.
    barriers : ndarray
        Local maxima, which part the basins.
    """

    task: str
    kernel: str
    y: float
    zeros: NDArray
    minima: NDArray
    barriers: NDArray

    def reaches_zero(self, q: NDArray) -> NDArray:
        """Tell which starts gradient flow takes to loss 0: those that have a zero, and not only a minimum, in their basin."""
        edges = np.concatenate([[-np.inf], self.barriers, [np.inf]])
        basin = np.searchsorted(edges, np.asarray(q)) - 1
        return np.array([any(edges[b] < z < edges[b + 1] for z in self.zeros) for b in basin.ravel()]).reshape(basin.shape)


def landscape(task: str, kernel: str, y: float | None = None) -> Landscape:
    """Return the stationary points of an example in one dimension: roots of o(q) - y and of do/dq, between -15 and 15.

    Raises
    ------
    ValueError
        For an example in more than one dimension; for an unknown example or kernel, naming the nearest valid one.
    """
    for what, name, known in (("task", task, CONSTRUCTIONS), ("kernel", kernel, KERNELS)):
        if name not in known:
            raise ValueError(unknown_name(what, name, known))
    made = CONSTRUCTIONS[task]
    if made.d != 1:
        raise ValueError(f"task={task!r} has queries in {made.d} dimensions: stationary points are listed in one")
    y = made.y if y is None else y

    def gap(q: NDArray) -> NDArray:
        return outputs_at(task, kernel, np.asarray(q)[..., None]) - y

    def slope(q: NDArray) -> NDArray:
        return outputs_at(task, kernel, np.asarray(q, dtype=complex)[..., None] + 1e-30j).imag / 1e-30

    grid = np.linspace(-FARTHEST, FARTHEST, GRID) + 1e-7  # not on a point of symmetry
    zeros, turns = _roots(gap, grid), _roots(slope, grid)
    step = 1e-5
    bowls = np.array([gap(q) * (slope(q + step) - slope(q - step)) > 0 for q in turns], dtype=bool)  # f'' = o'' (o - y) where o' = 0
    return Landscape(task, kernel, y, zeros, turns[bowls], turns[~bowls])


def _roots(function: object, grid: NDArray) -> NDArray:
    values = function(grid)  # type: ignore[operator]
    signs = np.where(np.abs(values) < ROUNDING, 0.0, np.sign(values))  # far out, slopes are rounding errors of either sign
    found = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    return np.array([brentq(lambda q: float(function(np.array(q))), grid[i], grid[i + 1], xtol=1e-14) for i in found])  # type: ignore[operator]


def sphere(value: float, y: float, c: float) -> tuple[float, float]:
    r"""Return the radius at which a Gaussian with one key meets its target, and the slope J of the output there.

    .. math:: r^2 = 2 c \ln(V / y), \qquad J = y\, r / c

    Parameters
    ----------
    value : float
        V, the sum of the values at the key.
    y : float
        Target, between 0 and V.
    c : float
    """
    if value == 0 or not 0 < y / value < 1:
        raise ValueError(f"y={y!r} must lie between 0 and the value {value!r}")
    r = float(np.sqrt(2.0 * c * np.log(value / y)))
    return r, y * r / c
