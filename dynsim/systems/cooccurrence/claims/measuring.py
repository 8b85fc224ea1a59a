"""The forms in which claims here are decided: bounds, intervals, signs at every recorded time; and the scales they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log

import numpy as np
from numpy.typing import NDArray

from ....claims import Inconclusive, Measured
from ..data import Setting
from ..reading import Reading

__all__ = ["ENTRIES", "at_tau", "between", "every_time", "logs", "normal", "positive", "signs", "worst"]

ENTRIES = {f"{c + 1}{b + 1}": (c, b) for c in range(3) for b in range(3)}
"""Index of key and query by the paper's numbers, "21" for key mu_2 and query mu_1."""


def positive(value: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of value >= 0 for a number of order 1, which is the margin."""
    return Measured(float(value), 1.0, 1.0 - float(value), 1.0, where, unit)


def between(value: float, low: float, high: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of low <= value <= high: the prediction is the middle."""
    middle = 0.5 * (low + high)
    return Measured(float(value), middle, abs(float(value) - middle), 0.5 * (high - low), where, unit)


def worst(form: Callable[..., Measured], values: Mapping[str, tuple]) -> Measured:
    """Return the form with the largest deviation against its tolerance; keys say where, values are the form's first arguments."""
    return max((form(*args, where=where) for where, args in values.items()), key=lambda m: m.deviation / m.tolerance)


def every_time(r: Reading, holds: Mapping[str, NDArray], rows: NDArray) -> Measured:
    """Return the share of recorded times at which all of several things hold, bool (T,) each; none may fail."""
    names = list(holds)
    right = np.stack([holds[name][rows] for name in names], axis=1)
    share, failed = right.all(axis=1).mean(), np.flatnonzero(~right.all(axis=1))
    where = f"all {len(right)} recorded times"
    if len(failed):
        first = failed[0]
        where = f"first at tau = {r.tau[rows][first]:.4g}: {', '.join(n for n, ok in zip(names, right[first], strict=True) if not ok)}"
    return Measured(float(share), 1.0, 1.0 - float(share), 0.5 / len(right), where, "of the times")


def signs(r: Reading, name: str, wanted: Mapping[str, int], rows: NDArray) -> Measured:
    """Return the share of recorded times at which entries of a (3, 3) quantity, named as in `ENTRIES`, have the wanted signs."""
    values = r[name]
    return every_time(r, {entry: sign * values[:, *ENTRIES[entry]] > 0 for entry, sign in wanted.items()}, rows)


def at_tau(r: Reading, row: int) -> str:
    """Say when a recorded time is, on the clock."""
    return f"tau = {r.tau[row]:.4g}"


def normal(r: Reading) -> Setting:
    """Return the run's setting, where it has a sigma_0 and a sigma_1."""
    if r.setting.init != "normal":
        raise Inconclusive(f"init={r.setting.init!r} has no sigma_0 and sigma_1: the number is one of init='normal'")
    return r.setting


def logs(r: Reading) -> float:
    """Return log(m)^2, the logarithms that a bound with O~ is allowed; the paper names no power, chosen here."""
    return log(r.constant("m")) ** 2
