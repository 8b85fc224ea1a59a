"""Noisy log y of known law, slopes written independently of the package, and how often an interval covers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

POINTS = np.array([1.0, 2.0, 4.0, 8.0, 32.0])  # not symmetric: the exponents of skewed noise are skewed too
SEEDS = 16
NOISES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1.0,
}


def log_y_of(noise: str, rng: np.random.Generator, fits: int) -> np.ndarray:
    """Return log y, shape (fits, points, seeds), of y = 5 x^-1/2 with an effect of the seed and one of the cell."""
    draw = NOISES[noise]
    law = math.log(5.0) - 0.5 * np.log(POINTS)
    return law[:, None] + 0.3 * draw(rng, (fits, 1, SEEDS)) + 0.2 * draw(rng, (fits, len(POINTS), SEEDS))


def slopes_of(log_y: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of every fit and seed, written independently of the package: shape (seeds, fits)."""
    x = np.log(POINTS) - np.log(POINTS).mean()
    return np.einsum("p,fps->sf", x, log_y) / (x @ x)


def covers(low: Any, high: Any, truth: float = -0.5) -> float:
    return float(np.mean((np.asarray(low) <= truth) & (truth <= np.asarray(high))))
