"""What all settings of this system share, and the random streams of a seed."""

from __future__ import annotations

import numpy as np

from ... import draws
from ...settings import Tasked

__all__ = ["Setting", "streams"]


class Setting(Tasked):
    """What all settings of this system share; the kinds are `Quadratic`, `Logistic`, `Transformer` and `Head`, each in its own folder."""


def streams(seed: int) -> dict[str, np.random.SeedSequence]:
    """Return independent random streams of a seed by purpose; ValueError for a seed that is no integer >= 0."""
    return draws.streams(seed, ("data", "targets", "weights", "embedding", "head", "batches", "test", "noise", "rotation", "start"))
