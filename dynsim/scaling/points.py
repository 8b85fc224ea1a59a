"""What of a table enters a fit: its rows sorted into points and seeds, without the points that must be left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..claims import Inconclusive
from .law import LeftOut, place

__all__ = ["Arrangement", "arrange", "variables"]

NAMED = 6
"""Points named in an error message: more are counted."""


@dataclass(frozen=True)
class Arrangement:
    """What a fit is made from: log y of every point and seed, without the points that must be left out.

    Attributes
    ----------
    names : tuple of str
        Fitted variables, k of them.
    x : ndarray, shape (P, k)
        Distinct points, sorted.
    log_y : ndarray, shape (P, S)
    without_rows : int
        Seeds that lack a row at one of these points.
    censored, failed : tuple of LeftOut
    """

    names: tuple[str, ...]
    x: NDArray
    log_y: NDArray
    without_rows: int
    censored: tuple[LeftOut, ...]
    failed: tuple[LeftOut, ...]

    def left_out(self) -> str:
        """Say which points were left out and why, for a message; empty if there are none."""
        parts = []
        for why, points in (("not reached by every seed", self.censored), ("failed", self.failed)):
            if points:
                named = "; ".join(map(str, points[:NAMED])) + (f"; and {len(points) - NAMED} more" if len(points) > NAMED else "")
                parts.append(f"left out, {why}: {named}")
        return ". ".join(parts)


def variables(table: Any, over: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names to fit over: `over`, or the table's axes; raise ValueError if there are none or one comes twice."""
    if over is None:
        axes = getattr(table, "axes", None)
        if axes is None:
            raise ValueError("over=None needs a table with axes; name the variables, such as over='lr' or over=('lr', 'm_k')")
        names = tuple(name for name in axes if name != "seed")
    else:
        names = (over,) if isinstance(over, str) else tuple(over)
    if not names or len(set(names)) < len(names) or "seed" in names:
        raise ValueError(f"over={over!r} must name one or more different variables, none of them 'seed'")
    return names


def arrange(table: Any, quantity: str, names: tuple[str, ...]) -> Arrangement:
    """Sort the rows of a table into points and seeds, and take out the points with censored or failed cells.

    Raises
    ------
    ValueError
        If the rows are no sample of one power law: see `fit_power_law`.
    Inconclusive
        If no point or no seed is left.
    """
    if quantity in names:
        raise ValueError(f"quantity={quantity!r} is also in over={names}: fit it over other columns")
    y = _numbers(table, quantity)
    x = np.stack([_numbers(table, name, like=y) for name in names], axis=1)
    seeds = _column(table, "seed", like=y)
    error = _column(table, "error", like=y, optional=True)
    steps = _numbers(table, "steps", like=y, optional=True)
    if not len(y):
        raise Inconclusive("the table has no rows")

    for j, name in enumerate(names):
        bad = ~(np.isfinite(x[:, j]) & (x[:, j] > 0))
        if bad.any():
            raise ValueError(
                f"{name}={x[bad, j][0]:g} in row {np.flatnonzero(bad)[0]} must be finite and > 0 to have a logarithm; select other rows"
            )
    for name in getattr(table, "axes", ()):
        if name not in names and name not in ("seed", quantity):
            found = list(dict.fromkeys(_column(table, name, like=y).tolist()))
            if len(found) > 1:
                raise ValueError(
                    f"{name} varies too, over {_some(found)}: fit over it as well, over={(*names, name)}, or select the rows of one value"
                )

    messages = [] if error is None else ["" if e is None else (str(e).strip().splitlines() or [""])[0] for e in error.tolist()]
    failed = np.array([bool(m) for m in messages]) if messages else np.zeros(len(y), dtype=bool)
    censored = np.isnan(y) & ~failed
    bad = ~failed & ~censored & ~(np.isfinite(y) & (y > 0))
    if bad.any():
        row = np.flatnonzero(bad)[0]
        at = place(dict(zip(names, x[row].tolist(), strict=True)))
        raise ValueError(
            f"{quantity}={y[row]:g} at {at}, seed {seeds[row]}, must be finite and > 0 to have a logarithm"
            f" ({bad.sum()} such cells; NaN means not reached)"
        )

    points, point = np.unique(x, axis=0, return_inverse=True)
    labels, seed = np.unique(seeds, return_inverse=True)
    point, seed = point.reshape(-1), seed.reshape(-1)
    rows = np.zeros((len(points), len(labels)), dtype=int)
    np.add.at(rows, (point, seed), 1)
    if (rows > 1).any():
        p, s = np.argwhere(rows > 1)[0]
        at = place(dict(zip(names, points[p].tolist(), strict=True)))
        raise ValueError(
            f"{rows[p, s]} rows of seed {labels[s]} at {at}: another column varies too; "
            f"add it to over={names} or select the rows of one value"
        )

    def left_out(cells: NDArray, *, why: bool) -> tuple[LeftOut, ...]:
        found = []
        for p in np.unique(point[cells]):
            here = np.flatnonzero(cells & (point == p))
            horizon = math.nan if why or steps is None else float(steps[here].min())
            message = messages[here[0]] if why else ""
            where = dict(zip(names, points[p].tolist(), strict=True))
            found.append(LeftOut(where, len(here), int((point == p).sum()), horizon, message))
        return tuple(found)

    keep = np.ones(len(points), dtype=bool)
    keep[point[failed | censored]] = False
    everywhere = (rows[keep] == 1).all(axis=0)  # all True where no point is kept
    log_y = np.full(rows.shape, np.nan)
    log_y[point, seed] = np.log(np.where(failed | censored, np.nan, y))
    design = Arrangement(
        names, points[keep], log_y[np.ix_(keep, everywhere)], int((~everywhere).sum()),
        left_out(censored, why=False), left_out(failed, why=True),
    )
    if not keep.any():
        raise Inconclusive(f"{quantity}: no point is left to fit. {design.left_out()}")
    if not everywhere.any():
        raise Inconclusive(
            f"{quantity}: no seed has a row at each of the {keep.sum()} points; complete the sweep or select points. {design.left_out()}"
        )
    return design


def _column(table: Any, name: str, *, like: NDArray | None = None, optional: bool = False) -> Any:
    """Return a column as a 1-D array, as long as another; None if it is optional and not there."""
    try:
        column = np.asarray(table[name])
    except KeyError:
        if optional:
            return None
        known = f"; columns: {', '.join(map(str, table.keys()))}" if hasattr(table, "keys") else ""
        raise ValueError(f"the table has no column {name!r}{known}") from None
    if column.ndim != 1 or like is not None and len(column) != len(like):
        raise ValueError(f"column {name!r} of shape {column.shape} must be 1-D{'' if like is None else f' of length {len(like)}'}")
    return column


def _numbers(table: Any, name: str, *, like: NDArray | None = None, optional: bool = False) -> Any:
    """Return a column as float64."""
    column = _column(table, name, like=like, optional=optional)
    try:
        return None if column is None else column.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            f"column {name!r} must hold numbers, not {column[:1].tolist()[0]!r}: select the rows of one value and fit over other columns"
        ) from None


def _some(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:NAMED])) + (f" and {len(values) - NAMED} more" if len(values) > NAMED else "")
