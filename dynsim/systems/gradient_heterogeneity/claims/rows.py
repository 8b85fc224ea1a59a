"""What claims share: pages, thresholds, rows of tables that can decide, best rates, pairs by seed, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Inconclusive, Measured, Source
from ....deciding import at_least, at_most, best_rate, complete, mean_above, over_seeds
from ....sweep import Table

__all__ = [
    "DERIVATION", "FAILED", "FULL_GAUGE", "HEAD_SHARE", "LEARNED", "NO_GAUGE", "OFF_DRIFT", "OFF_MOMENTUM", "PAGE", "SOLVED", "Best",
    "above", "best", "derived", "least", "most", "named", "ours", "paired", "pick", "settled",
]

PAGE, DERIVATION = "docs/gradient_heterogeneity.md", "docs/derivations/gradient_heterogeneity.md"

OFF_DRIFT, OFF_MOMENTUM = 0.02, 0.04
"""Largest deviations of a drift from its prediction, without momentum and with 0.9."""
FULL_GAUGE, NO_GAUGE = 0.9, 0.3
"""Share of the squared weights that the loss is blind to, without and with momentum."""
HEAD_SHARE = 0.75
"""Least share of the squared gradient that a fresh head has."""
LEARNED, FAILED = 0.05, 1.7
"""Loss of a transformer below which it has learned the task, and above which it has not; chance is ln 8 = 2.08."""
SOLVED = 0.01
"""Loss below which a task counts as solved."""


def derived(section: int) -> Source:
    """Return the source of what a section of the derivation page proves."""
    return Source("derived", f"{DERIVATION}, section {section}")


def ours(section: int) -> Source:
    """Return the source of a number that is measured, the cause of which a section of the derivation page derives."""
    return Source("ours", f"{PAGE}; the cause is derived in {DERIVATION}, section {section}")


# -- rows ------------------------------------------------------------------------------------------------------------------


def pick(table: Table, **values: Any) -> Table:
    """Return the rows at which columns have these values, or one of a tuple of values; Inconclusive if there is none for one of them."""
    keep = np.ones(table.cells, dtype=bool)
    for name, value in values.items():
        keep &= np.isin(np.asarray(table[name]), value if isinstance(value, tuple) else (value,))
    found = table.rows(keep)
    for name, value in values.items():
        missing = [v for v in (value if isinstance(value, tuple) else (value,)) if not (np.asarray(found[name]) == v).any()]
        if missing:
            raise Inconclusive(f"the sweep has no runs of {', '.join(f'{k} = {v}' for k, v in {**values, name: missing[0]}.items())}")
    return found


def named(rows: Table, row: int) -> str:
    """Return which row it is: the variables and the seed."""
    return ", ".join(f"{name} {rows[name][row]:g}" if np.asarray(rows[name]).dtype.kind in "fi" else str(rows[name][row])
                     for name in (*rows.axes, "seed"))


def paired(rows: Table, quantity: str, key: str, pair: tuple[Any, Any]) -> tuple[NDArray, NDArray]:
    """Return a quantity at two values of a variable; equal places have the same seed and were run at one point each."""
    found = []
    for value in pair:
        own = complete(pick(rows, **{key: value}), quantity)
        order = np.argsort(own["seed"], kind="stable")
        found.append((np.asarray(own["seed"])[order], np.asarray(own[quantity], dtype=float)[order]))
    (seeds, first), (others, second) = found
    if not np.array_equal(seeds, others) or len(np.unique(seeds)) < len(seeds):
        raise Inconclusive(f"{key} = {pair[0]} and {pair[1]} were not run once each with the same seeds: differences are of pairs of runs")
    return first, second


# -- decisions -------------------------------------------------------------------------------------------------------------


def most(values: NDArray, bound: float, rows: Table, unit: str = "") -> Measured:
    """Return the form of values <= bound in every row."""
    row = int(np.argmax(values))
    return at_most(values[row], bound, f"{named(rows, row)}; {len(values)} runs", unit)


def least(values: NDArray, level: float, rows: Table, unit: str = "") -> Measured:
    """Return the form of values >= level in every row."""
    row = int(np.argmin(values))
    return at_least(values[row], level, f"{named(rows, row)}; {len(values)} runs", unit)


def above(values: NDArray, where: str, level: float = 0.0) -> Measured:
    """Judge that a mean over seeds is above a level: violated where its 95 % t-interval lies below, inconclusive where it contains it."""
    return mean_above(values, f"{where}: mean {over_seeds(values)}", level)


# -- best rates ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Best:
    """The lowest mean loss over seeds that some rate has.

    Attributes
    ----------
    loss : float
    text : str
        What it is, and at which rate.
    doubt : str
        Why another rate might be better: this is the lowest or the highest of several tried, or runs failed. Empty if there is no doubt.
    """

    loss: float
    text: str
    doubt: str


def settled(found: Measured, *, high: Sequence[Best] = (), low: Sequence[Best] = ()) -> Measured:
    """Return a number that other rates cannot turn; Inconclusive where another rate might.

    Parameters
    ----------
    found : Measured
    high, low : sequence of Best
        What the claim says to be high, and low. Where it holds there must be no doubt about `high`, for another rate may be better;
        where it does not, none about `low`.
    """
    for one in high if found.deviation <= found.tolerance else low:
        if one.doubt:
            raise Inconclusive(f"{one.text}, {one.doubt}")
    return found


def best(rows: Table, loss: str, **values: Any) -> Best:
    """Return the best rate of the rows at which columns have these values; a rate at which a run diverged or failed is none."""
    own = pick(rows, **values)
    what, rates = " ".join(map(str, values.values())), np.unique(own["lr"])
    rate = best_rate(own, loss, what)
    losses = np.sort(own[loss][own["lr"] == rate])  # in order of size: means of few seeds hide that some solve a task and some do not
    mean, each, solved = float(np.mean(losses)), ", ".join(f"{value:.3g}" for value in losses), int((losses < SOLVED).sum())
    text = f"{what}: {mean:.3g} at lr = {rate:g} (seeds {each}; {solved} of {len(losses)} below {SOLVED:g})"
    failed = ~np.isfinite(own[loss]) & (np.char.find(own["error"].astype(str), "stopped being finite") < 0)
    if len(rates) > 1 and rate in (rates[0], rates[-1]):
        return Best(mean, text, "the lowest or highest rate tried: try more rates")
    return Best(mean, text, "but other runs failed" if failed.any() else "")
