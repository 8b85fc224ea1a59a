"""What all settings of this system share, and the random streams of a seed."""

from __future__ import annotations

import numpy as np

from ...settings import Tasked

__all__ = ["Setting", "streams"]


class Setting(Tasked):
    """What all settings of this system share; the kinds are `Quadratic`, `Logistic`, `Transformer` and `Head`, each in its own folder."""


def streams(seed: int) -> dict[str, np.random.SeedSequence]:
    """Return independent random streams of a seed by purpose, so that changing one use leaves the others alone.

    Raises
    ------
    ValueError
        If the seed is not an integer >= 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed={seed!r} must be an integer >= 0")
    purposes = ("data", "targets", "weights", "embedding", "head", "batches", "test", "noise", "rotation", "start")
    return dict(zip(purposes, np.random.SeedSequence(int(seed)).spawn(len(purposes)), strict=True))
