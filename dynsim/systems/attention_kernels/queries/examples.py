"""What follows on paper for the constructed examples: stationary points and basins in one dimension, the sphere of a single key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ....naming import unknown_name
from ..kernels import KERNELS
from ..settings import Example, streams
from .constructions import CONSTRUCTIONS

__all__ = ["Landscape", "initial_queries", "landscape", "outputs_at", "sphere"]

FARTHEST = 15.0
"""Queries between which stationary points are looked for."""
GRID = 60_001
ROUNDING = 1e-13
"""Outputs and slopes below this have no sign: values and keys are of order 1."""


def initial_queries(setting: Example, seed: int) -> NDArray:
    """Return the starts, shape (starts, d)."""
    d = CONSTRUCTIONS[setting.task].d
    if d == 1:
        return np.linspace(setting.low, setting.high, setting.starts)[:, None]
    return np.random.default_rng(streams(seed)["starts"]).uniform(setting.low, setting.high, (setting.starts, d))


def outputs_at(task: str, kernel: str, q: NDArray) -> NDArray:
    """Return the output of an example at queries (..., d), real or complex; shape (...).

    In closed form that is equation (44) for the Gaussian kernel in E1, equation (45) for softmax in E2, equation (49) for softmax in E5.
    """
    made = CONSTRUCTIONS[task]
    return (KERNELS[kernel].value(np.asarray(q)[..., None, :], made.keys, made.c) @ made.values)[..., 0]


@dataclass(frozen=True, eq=False)
class Landscape:
    """Where the loss of an example in one dimension is stationary.

    Attributes
    ----------
    task : str
        Name of the example.
    kernel : str
        Name of the kernel.
    y : float
        Target.
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
        """Tell which starts gradient flow takes to loss 0: those that have a zero, and not only a minimum, in their basin.

        The shares of equations (48), (50) and (51) are shares of such starts.
        """
        edges = np.concatenate([[-np.inf], self.barriers, [np.inf]])
        basin = np.searchsorted(edges, np.asarray(q)) - 1
        return np.array([any(edges[b] < z < edges[b + 1] for z in self.zeros) for b in basin.ravel()]).reshape(basin.shape)


def landscape(task: str, kernel: str, y: float | None = None) -> Landscape:
    """Return the stationary points of an example in one dimension: roots of o(q) - y and of do/dq, between -15 and 15.

    Of softmax these are the roots of equation (43), in E3 equation (48), in E5 equation (49); in E6 the Gaussian's barrier is that of
    equation (51). They are found where signs change on a fine grid, for every kernel.

    Parameters
    ----------
    task : {"E3", "E5", "E6"}
        Example in one dimension.
    kernel : {"softmax", "gaussian", "row_gaussian"}
        One kernel.
    y : float, optional
        Target; default the example's own.

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
    r"""Return the radius at which a Gaussian with one key meets its target, and the slope J of the output there, equation (42).

    .. math:: r^2 = 2 c \ln(V / y), \qquad J = y\, r / c

    Parameters
    ----------
    value : float
        V, the sum of the values at the key.
    y : float
        Target, between 0 and V.
    c : float
        Scale of the logits, > 0.
    """
    if value == 0 or not 0 < y / value < 1:
        raise ValueError(f"y={y!r} must lie between 0 and the value {value!r}")
    r = float(np.sqrt(2.0 * c * np.log(value / y)))
    return r, y * r / c
