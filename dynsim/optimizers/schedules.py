"""Learning rates that change with the step, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["SCHEDULES", "LinearDecay"]


@dataclass(frozen=True)
class LinearDecay:
    """A rate that rises to its peak over some steps and falls in a straight line to 0 at the horizon.

    At step t < warmup the rate is peak (t + 1) / warmup, then peak (1 - (t - warmup) / (steps - warmup)); from the horizon on it is
    1e-12 of the peak, because a rate must be above 0.

    Parameters
    ----------
    peak : float
        The largest rate, finite and > 0.
    steps : int
        Horizon, >= 1.
    warmup : int, default 0
        Steps of the rise, in [0, steps).

    Raises
    ------
    ValueError
        For a number out of range, naming the allowed one.

    Examples
    --------
    >>> from dynsim import LinearDecay
    >>> rate = LinearDecay(0.1, steps=10, warmup=2)
    >>> [round(float(rate(t)), 4) for t in (0, 1, 2, 6, 9)]
    [0.05, 0.1, 0.1, 0.05, 0.0125]
    """

    peak: float
    steps: int
    warmup: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.peak, bool) or not isinstance(self.peak, (int, float, np.integer, np.floating)) or not 0 < self.peak < np.inf:
            raise ValueError(f"peak={self.peak!r}: the learning rate must be finite and > 0")
        for name, low, high in (("steps", 1, np.inf), ("warmup", 0, self.steps - 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
                raise ValueError(f"{name}={value!r} must be an integer {f'>= {low}' if high == np.inf else f'in [{low}, {high}]'}")

    def __call__(self, step: int) -> float:
        """Return the rate of the update at a step."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        left = 1.0 - (step - self.warmup) / (self.steps - self.warmup)
        return self.peak * max(left, 1e-12)


SCHEDULES: Mapping[str, type] = {"linear": LinearDecay}
"""Schedules by the name used in files."""
