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

    >>> m = at_most(0.5, 2.0)
    >>> m.deviation <= m.tolerance
    True
    """
    return Measured(float(value), float(bound), float(value), float(bound), where, unit)


def at_least(value: float, level: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of value >= level, for a level > 0: the margin is value / level - 1."""
    return Measured(float(value), float(level), 2.0 - float(value) / level, 1.0, where, unit)


def close(value: float, predicted: float, tolerance: float, where: str = "", unit: str = "", *, relative: bool = True) -> Measured:
    """Return the form of value = predicted within a tolerance, relative to the prediction or absolute."""
    off = abs(float(value) - float(predicted))
    return Measured(float(value), float(predicted), off / abs(float(predicted)) if relative else off, tolerance, where, unit)


def worst(*found: Measured) -> Measured:
    """Return the number whose deviation is largest against its tolerance; one that is not finite is worst of all."""
    return max(found, key=lambda m: m.deviation / m.tolerance if np.isfinite(m.deviation) else np.inf)


# -- over seeds --------------------------------------------------------------------------------------------------------


def three(count: int) -> None:
    """Raise Inconclusive unless there are three seeds or more."""
    if count < 3:
        raise Inconclusive(f"{count} seeds: a mean over seeds needs three or more")


def over_seeds(values: NDArray) -> str:
    """Return what a mean over seeds is, with its 95 % t-interval; Inconclusive of fewer than three.

    >>> over_seeds(np.array([1.0, 2.0, 3.0]))
    'over 3 seeds 2 [-0.484, 4.48]'
    """
    three(len(values))
    low, high = (float(end) for end in mean_interval(values))
    return f"over {len(values)} seeds {values.mean():.3g} [{low:.3g}, {high:.3g}]"


def mean_above(values: NDArray, where: str, level: float = 0.0, among: int = 1) -> Measured:
    """Return the form of a mean over seeds, the best `among` so many, above a level.

    It holds where the 95 % t-interval lies above the level, is violated where that lies below, and Inconclusive where it contains it.
    """
    p, enough = mean_chance(values - level), LEVEL / among
    if p > enough and mean_chance(level - values) > enough:
        raise Inconclusive(f"{where}: the interval contains {level:g}")
    return Measured(p, enough, p, enough, where, "one-sided p-value")


# -- rows of tables ----------------------------------------------------------------------------------------------------


def complete(rows: Table, *quantities: str) -> Table:
    """Return rows that can decide: some, and none that failed; Inconclusive where they are others."""
    if not rows.cells:
        raise Inconclusive("the sweep has no runs here")
    count = int((~np.isfinite([rows[name] for name in quantities])).any(axis=0).sum())
    if count:
        raise Inconclusive(f"{count} of {rows.cells} runs failed or lack {' or '.join(quantities)}")
    return rows


def best_rate(rows: Table, loss: str, of: str = "") -> float:
    """Return the rate `lr` at which the mean of a loss over seeds is least; a rate with a run that diverged or failed is none.

    Inconclusive where there is none, of the rule or kernel that `of` names.
    """
    rates = np.unique(rows["lr"])
    means = np.array([np.mean(rows[loss][rows["lr"] == rate]) for rate in rates])
    if not np.isfinite(means).any():
        raise Inconclusive(f"no rate of the sweep ends with a finite {loss} in every seed{f': {of}' if of else ''}")
    return float(rates[int(np.nanargmin(np.where(np.isfinite(means), means, np.nan)))])
