"""The loss around trained weights: slices along two random directions, their local minima and roughness."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import layer_blocks

__all__ = ["POINTS", "RANGE", "coordinates", "interior_minima", "roughness", "surface"]

POINTS, RANGE = 21, 2.0
"""Points of a slice along each direction, and how far it reaches: 1 is as long as the block itself."""


def coordinates() -> NDArray:
    """Return the positions along a direction, shape (21,)."""
    return np.linspace(-RANGE, RANGE, POINTS)


def surface(system: Any, cache: SimpleNamespace, seed: np.random.SeedSequence) -> NDArray:
    """Return the training loss around a state of a `Classifier` along two random directions in W_Q and W_K, equation (54).

    A direction is normal random numbers, scaled block by block to the norm of the block (after Li et al., Visualizing the loss landscape
    of neural nets, 2018, where filters are scaled): both kernels get the same numbers, each scaled to its own weights.

    Returns
    -------
    ndarray, shape (kernels, 1, 21, 21)
        The first of the two axes is along the second direction.
    """
    at = coordinates()
    names = [layer_blocks(layer)[block] for layer in range(system.layers) for block in ("W_Q", "W_K")]
    found = np.empty((len(system.kernels), 1, POINTS, POINTS))
    for i, kernel in enumerate(system.kernels):
        w, rng = cache.tapes[i].w, np.random.default_rng(seed)
        drawn = [{name: rng.standard_normal(w[name].shape) for name in names} for _ in range(2)]
        d1, d2 = ({name: d[name] * (np.linalg.norm(w[name]) / np.linalg.norm(d[name])) for name in names} for d in drawn)
        for row, b in enumerate(at):
            for column, a in enumerate(at):
                moved = {**w, **{name: w[name] + a * d1[name] + b * d2[name] for name in names}}
                found[i, 0, row, column] = system.outcome(moved, kernel, system.train.tokens, system.train.y).loss
    return found


def interior_minima(loss: NDArray) -> int:
    """Return how many interior points of a slice lie below all their eight neighbours."""
    middle = loss[1:-1, 1:-1]
    rows, columns = loss.shape
    around = [loss[1 + i : rows - 1 + i, 1 + j : columns - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    return int((middle < np.min(around, axis=0)).sum())


def roughness(loss: NDArray) -> float:
    """Return the root mean square of the second differences of a slice along both axes; of a quadratic, equation (55)."""
    second = [np.diff(loss, 2, axis=axis).ravel() for axis in (0, 1)]
    return float(np.sqrt(np.mean(np.concatenate(second) ** 2)))
