"""What became of the starts of an example, read off a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..reading import Reading
from .constructions import CONSTRUCTIONS
from .examples import Landscape, initial_queries, landscape

__all__ = ["APART", "LINES", "Outcomes", "SOLVED", "STILL", "landscape_of", "outcomes", "starts_of"]

SOLVED, STILL, APART = 1e-12, 1e-8, 1e-6
"""Loss below which a start has reached 0; gradient below which it has stopped; loss above which that is elsewhere than at 0."""
LINES = tuple(task for task, made in CONSTRUCTIONS.items() if made.d == 1)
"""Examples in one dimension."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of the starts of one kernel, bool (starts,) each; neither: on the way at the end of the record, or flat at the start.

    Attributes
    ----------
    solved : ndarray
        The loss ends below 1e-12.
    running : ndarray
        Moving away, farther out than any solution by 1, with a loss that is not near 0.
    elsewhere : ndarray
        That, or stopped: the gradient ends below 1e-8 and the loss above 1e-6.
    """

    solved: NDArray
    running: NDArray
    elsewhere: NDArray

    @property
    def open(self) -> NDArray:
        """Starts of which the record does not tell."""
        return ~(self.solved | self.elsewhere)


def outcomes(r: Reading, kernel: str) -> Outcomes:
    """Read off the record what became of every start of an example under one of its kernels; Inconclusive if the record lacks it."""
    _, f, gradient, size = r.together("train_loss", "grad_norm", "query_norm")
    f, gradient, size = (a[:, r.index(kernel)] for a in (f, gradient, size))
    solved = f[-1] < SOLVED
    apart = (f[-1] > APART) & ~((gradient[0] < STILL) & (f[0] > APART))
    running = apart & (gradient[-1] >= STILL) & (size[-1] > size[len(size) // 2])
    if r.task not in LINES:
        running = np.zeros_like(running)
    elif running.any():
        running &= size[-1] > np.abs(landscape_of(r, kernel).zeros).max(initial=0.0) + 1.0
    return Outcomes(solved, running, running | (apart & (gradient[-1] < STILL)))


def landscape_of(r: Reading, kernel: str) -> Landscape:
    """Return the stationary points of the example in one dimension that a run is of."""
    return landscape(r.task, kernel, r.setting.y)


def starts_of(r: Reading) -> NDArray:
    """Return the queries from which a run of an example in one dimension starts, shape (starts,)."""
    return initial_queries(r.setting, int(r.run.provenance["seed"]))[:, 0]
