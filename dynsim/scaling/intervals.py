"""Confidence intervals of a probability, and of a mean over seeds."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["mean_chance", "mean_interval", "wilson_interval"]

ROUNDING = 1e-12
"""Differences below this, of logarithms, exponents or values divided by the largest, are rounding."""

Method = Literal["t", "bootstrap"]


def wilson_interval(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a probability, from a number of successes.

    Parameters
    ----------
    successes, total : int
        How often it happened, and of how many; 0 <= successes <= total.
    level : float, default 0.95
        Confidence level, between 0 and 1.

    Returns
    -------
    low : float
        Lower end, in [0, 1]; NaN where nothing was tried.
    high : float
        Upper end, likewise.

    Raises
    ------
    ValueError
        If a count or the level is out of range.

    Examples
    --------
    >>> wilson_interval(9, 10)
    (0.596, 0.982)
    """
    _check_level(level)
    if not 0 <= successes <= total:
        raise ValueError(f"successes={successes!r} must be between 0 and total={total!r}")
    if total == 0:
        return math.nan, math.nan
    from scipy import stats  # here: importing it takes some 0.6 s, which every start of the command line would pay

    interval = stats.binomtest(int(successes), int(total)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(
    values: ArrayLike, level: float = 0.95, method: Method = "t", *, resamples: int = 2000, rng: Any = 0
) -> tuple[Any, Any]:
    """Return the confidence interval of the mean of independent values, one a seed.

    Parameters
    ----------
    values : array, shape (S,) or (S, ...)
        Finite; the first axis runs over the seeds.
    level : float
        Confidence level, between 0 and 1.
    method : {"t", "bootstrap"}
        "t": Student's t. "bootstrap": studentised bootstrap (bootstrap-t), which also follows skewed values.
    resamples : int
        Resamples of the bootstrap; at least 2 / (1 - level).
    rng : seed or numpy Generator
        Randomness of the bootstrap; the same resamples serve all columns.

    Returns
    -------
    low : float, or ndarray of shape (...)
        Lower end; NaN for a single seed.
    high : float, or ndarray of shape (...)
        Upper end, likewise. A bound of the bootstrap is infinite where too many resamples have no spread
        to be divided by: always below four seeds at level 0.95, and later where many values are equal.

    Raises
    ------
    ValueError
        If a value is not finite, there is none, or an argument is out of range.

    Examples
    --------
    >>> mean_interval([1.0, 2.0, 3.0])
    (-0.484, 4.484)
    """
    _check_level(level)
    values = np.asarray(values, dtype=float)
    if values.ndim == 0 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values of shape {values.shape} must be finite numbers, at least one, with a first axis over seeds")
    if method not in ("t", "bootstrap"):
        raise ValueError(f"method={method!r} must be 't' or 'bootstrap'")
    count = len(values)
    mean = values.mean(axis=0)
    if count == 1:
        low = high = np.full(mean.shape, np.nan)
    else:
        error = values.std(axis=0, ddof=1) / math.sqrt(count)
        if method == "t":
            from scipy import stats  # here: as above

            low_t = high_t = stats.t.ppf(0.5 + 0.5 * level, count - 1)
        else:
            low_t, high_t = _bootstrap_t(values - mean, level, resamples, rng)
        with np.errstate(invalid="ignore"):  # no spread at all: 0 times infinity, replaced by 0
            low, high = (mean + np.where(error > 0, t * error, 0.0) for t in (-low_t, high_t))
    return (float(low), float(high)) if mean.ndim == 0 else (low, high)


def mean_chance(values: NDArray) -> float:
    """Return the one-sided p-value of the t test of independent values, one a seed, against a mean of at most 0.

    Parameters
    ----------
    values : ndarray, shape (S,)
        S >= 2, finite.

    Examples
    --------
    >>> round(mean_chance(np.array([1.0, 2.0, 3.0])), 3)
    0.037
    """
    from scipy import stats  # here: as above

    error = values.std(ddof=1) / math.sqrt(len(values))
    if error <= ROUNDING * np.abs(values).max():  # no spread: t is infinite
        return 0.0 if values.mean() > 0 else 1.0
    return float(stats.t.sf(values.mean() / error, len(values) - 1))


def _bootstrap_t(deviations: NDArray, level: float, resamples: int, rng: Any) -> tuple[NDArray, NDArray]:
    """Return how many standard errors the interval reaches below and above the mean, by the bootstrap distribution of t.

    Parameters
    ----------
    deviations : ndarray, shape (S, ...)
        Values minus their mean.
    """
    alpha = 1.0 - level
    rank = math.floor((resamples + 1) * 0.5 * alpha + 1e-9)
    if rank < 1:
        raise ValueError(f"resamples={resamples!r} must be at least {math.ceil(2 / alpha) - 1} at level={level}")
    count = len(deviations)
    d = deviations.reshape(count, -1)
    size = np.abs(d).max(axis=0)
    d = d / np.where(size > 0, size, 1.0)
    # a resample is known by how often each seed is in it; moments are then matrix products
    times = np.random.default_rng(rng).multinomial(count, np.full(count, 1.0 / count), size=resamples)
    mean = times @ d / count
    square = times @ d**2 / count
    variance = (square - mean**2) * (count / (count - 1))
    flat = variance <= ROUNDING * square  # a resample of equal values
    t = mean / np.sqrt(np.where(flat, 1.0, variance) / count)
    t = np.where(flat, np.copysign(np.inf, mean), t)
    t = np.where(flat & (np.abs(mean) <= ROUNDING), 0.0, t)
    t.sort(axis=0)
    shape = deviations.shape[1:]
    return t[resamples - rank].reshape(shape), -t[rank - 1].reshape(shape)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} must be between 0 and 1, such as 0.95")
