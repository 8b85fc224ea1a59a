"""Forms in which claims are decided: a bound, a level, a prediction, a mean over seeds; the margin follows from the form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .claims import Inconclusive, Measured
from .scaling import mean_chance, mean_interval
from .sweep import Table

__all__ = ["at_least", "at_most", "best_rate", "close", "complete", "mean_above", "over_seeds", "three", "worst"]

LEVEL = 0.025
"""One-sided level of a test: that of a 95 % interval."""


def at_most(value: float, bound: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of value <= bound, for a bound > 0: the margin is 1 - value / bound.

    Parameters
    ----------
    value : float
        What was measured.
    bound : float
        What the claim says it is at most, > 0.
    where, unit : str
        As in `Measured`; default "".

    Raises
    ------
    ValueError
        If the bound is not > 0.

    Examples
    --------
    >>> m = at_most(0.5, 2.0)
    >>> m.deviation <= m.tolerance
    True
    """
    return Measured(float(value), float(bound), float(value), float(bound), where, unit)


def at_least(value: float, level: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of value >= level, for a level > 0: the margin is value / level - 1.

    Parameters
    ----------
    value : float
        What was measured.
    level : float
        What the claim says it is at least, > 0. This is not checked: below 0 the inequality would turn round.
    where, unit : str
        As in `Measured`; default "".
    """
    return Measured(float(value), float(level), 2.0 - float(value) / level, 1.0, where, unit)


def close(value: float, predicted: float, tolerance: float, where: str = "", unit: str = "", *, relative: bool = True) -> Measured:
    """Return the form of value = predicted within a tolerance, relative to the prediction or absolute.

    Parameters
    ----------
    value, predicted : float
        What was measured, and what the claim says it is; not 0 where the tolerance is relative to it.
    tolerance : float
        Largest deviation with which the claim holds, > 0.
    where, unit : str
        As in `Measured`; default "".
    relative : bool, default True
        The deviation is |value - predicted| / |predicted|; else it is without the divisor, in the unit of both.

    Raises
    ------
    ValueError
        If the tolerance is not > 0.
    """
    off = abs(float(value) - float(predicted))
    return Measured(float(value), float(predicted), off / abs(float(predicted)) if relative else off, tolerance, where, unit)


def worst(*found: Measured) -> Measured:
    """Return the number whose deviation is largest against its tolerance; one that is not finite is worst of all.

    Parameters
    ----------
    *found : Measured
        The numbers, at least one; of equals the first is returned.

    Raises
    ------
    ValueError
        If there is none.
    """
    return max(found, key=lambda m: m.deviation / m.tolerance if np.isfinite(m.deviation) else np.inf)


# -- over seeds --------------------------------------------------------------------------------------------------------


def three(count: int) -> None:
    """Raise Inconclusive unless there are three seeds or more.

    Parameters
    ----------
    count : int
        Number of seeds.

    Raises
    ------
    Inconclusive
        If it is below three: a claim about a mean over seeds is then undecided.
    """
    if count < 3:
        raise Inconclusive(f"{count} seeds: a mean over seeds needs three or more")


def over_seeds(values: NDArray) -> str:
    """Return in words what a mean over seeds is, with its 95 % t-interval.

    Parameters
    ----------
    values : ndarray, shape (seeds,)
        One number a seed.

    Raises
    ------
    Inconclusive
        Of fewer than three seeds.

    Examples
    --------
    >>> over_seeds(np.array([1.0, 2.0, 3.0]))
    'over 3 seeds 2 [-0.484, 4.48]'
    """
    three(len(values))
    low, high = (float(end) for end in mean_interval(values))
    return f"over {len(values)} seeds {values.mean():.3g} [{low:.3g}, {high:.3g}]"


def mean_above(values: NDArray, where: str, level: float = 0.0, among: int = 1) -> Measured:
    """Return the form of a mean over seeds, the best `among` so many, above a level.

    It holds where the t-interval of the mean lies above the level, and is violated where it lies below: the 95 % interval, or that of
    1 - 0.05 / `among`. The number it is decided on is the one-sided p-value, against half of what the interval leaves out.

    Parameters
    ----------
    values : ndarray, shape (seeds,)
        One number a seed, of two or more.
    where : str
        What the mean is of, as the verdict says it.
    level : float, default 0.0
        What the claim says the mean is above, in the unit of the values.
    among : int, default 1
        The number of means, >= 1, of which this is the best: the best of many is above the level by chance more often than one is.

    Raises
    ------
    Inconclusive
        If the interval contains the level.
    """
    p, enough = mean_chance(values - level), LEVEL / among
    if p > enough and mean_chance(level - values) > enough:
        raise Inconclusive(f"{where}: the interval contains {level:g}")
    return Measured(p, enough, p, enough, where, "one-sided p-value")


# -- rows of tables ----------------------------------------------------------------------------------------------------


def complete(rows: Table, *quantities: str) -> Table:
    """Return rows that can decide: some, and none that failed.

    Parameters
    ----------
    rows : Table
        Rows of a sweep, which are returned as they are.
    *quantities : str
        Columns that must be finite in every row.

    Raises
    ------
    Inconclusive
        If there is no row, or one in which a quantity is not finite; the message says in how many.
    """
    if not rows.cells:
        raise Inconclusive("the sweep has no runs here")
    count = int((~np.isfinite([rows[name] for name in quantities])).any(axis=0).sum())
    if count:
        raise Inconclusive(f"{count} of {rows.cells} runs failed or lack {' or '.join(quantities)}")
    return rows


def best_rate(rows: Table, loss: str, of: str = "") -> float:
    """Return the rate `lr` at which the mean of a loss over seeds is least; a rate with a run that diverged or failed is none.

    Parameters
    ----------
    rows : Table
        Rows of a sweep over rates and seeds, with a column `lr`.
    loss : str
        Column of the loss that is compared.
    of : str
        The rule or kernel whose rows these are, for the error; default "", said nowhere.

    Raises
    ------
    Inconclusive
        If at no rate the loss is finite in every seed.
    """
    rates = np.unique(rows["lr"])
    means = np.array([np.mean(rows[loss][rows["lr"] == rate]) for rate in rates])
    if not np.isfinite(means).any():
        raise Inconclusive(f"no rate of the sweep ends with a finite {loss} in every seed{f': {of}' if of else ''}")
    return float(rates[int(np.nanargmin(np.where(np.isfinite(means), means, np.nan)))])
