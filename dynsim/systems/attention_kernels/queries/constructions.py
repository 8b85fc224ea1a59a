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

__all__ = ["CONSTRUCTIONS", "Construction"]


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
