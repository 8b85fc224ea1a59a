"""Which kernels a claim is about, and the place at which a number was read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....claims import Inconclusive
from ..reading import Reading

__all__ = ["largest", "rows_sum_to_one"]


def largest(values: NDArray, r: Reading, steps: NDArray, kernels: tuple[str, ...] | None = None) -> tuple[tuple[int, ...], str]:
    """Return the index of the largest of values (T, kernels, starts), and what step, kernel and start that is."""
    row, kernel, start = (int(i) for i in np.unravel_index(np.argmax(values), values.shape))
    clock = "step" if r.run.clock == "step" else "t ="
    where = f"{clock} {steps[row]:g}, {(kernels or r.kernels)[kernel]}"
    return (row, kernel, start), where if values.shape[2] == 1 else f"{where}, start {start}"


def rows_sum_to_one(r: Reading) -> tuple[str, ...]:
    """Return the run's kernels whose rows sum to 1; Inconclusive if it is of none."""
    found = tuple(kernel for kernel in r.kernels if kernel != "gaussian")
    if not found:
        raise Inconclusive("the run is of no kernel whose rows sum to 1")
    return found
