"""A fitted power law: its exponents, its local slopes, what was left out, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..plain import plain
from ..tabular import csv_text, html_text
from .intervals import ROUNDING

__all__ = ["Exponent", "LeftOut", "LocalSlope", "PowerLaw", "Worst"]

SCHEMA = 1
"""Version of the JSON form of a fit."""
COLUMNS = ("kind", "variable", "low_x", "high_x", "value", "low", "high", "theory", "seeds", "note")
"""Column names of a fit as a table; for points left out, "seeds" counts those that were not reached or failed."""


@dataclass(frozen=True)
class Exponent:
    """The fitted exponent of one variable.

    Parameters
    ----------
    name : str
        The variable.
    value, low, high : float
        Mean over seeds and its interval.
    theory : float or None
        The exponent to compare with.
    values : int
        Number of distinct values of the variable in the fit.
    factor : float
        Largest over smallest of them.
    """

    name: str
    value: float
    low: float
    high: float
    theory: float | None
    values: int
    factor: float

    @property
    def inside(self) -> bool | None:
        """True if theory's exponent lies in the interval, to rounding; None without theory or interval."""
        if self.theory is None or math.isnan(self.low) or math.isnan(self.high):
            return None
        return self.low - ROUNDING <= self.theory <= self.high + ROUNDING


@dataclass(frozen=True)
class LocalSlope:
    """The slope between two neighbouring values of one variable, all others equal.

    Parameters
    ----------
    low_x, high_x : float
        The two values.
    value, low, high : float
        Slope d log y / d log x between them, mean over seeds, and its interval.
    lines : int
        Number of combinations of the other variables that have both values; the slope is averaged over them.
    """

    low_x: float
    high_x: float
    value: float
    low: float
    high: float
    lines: int


@dataclass(frozen=True)
class LeftOut:
    """A point of the design that is not in the fit.

    Parameters
    ----------
    x : dict of str to float
        Where it lies.
    count, total : int
        Seeds that did not get there (or failed), of how many with a row at this point.
    horizon : float
        Smallest column "steps" of these seeds; NaN if there is none.
    message : str
        The first error, for a point with failed cells.
    """

    x: dict[str, float]
    count: int
    total: int
    horizon: float = math.nan
    message: str = ""

    def __str__(self) -> str:
        if self.message:
            return f"{place(self.x)} ({self.count} of {self.total} seeds failed: {self.message})"
        after = f" after {self.horizon:g} steps" if math.isfinite(self.horizon) else ""
        return f"{place(self.x)} ({self.count} of {self.total} seeds not there{after})"


@dataclass(frozen=True)
class Worst:
    """The point whose mean over seeds is farthest from the law.

    Parameters
    ----------
    residual : float
        Mean over seeds of log y, minus the law.
    x : dict of str to float
        Where it lies.
    """

    residual: float
    x: dict[str, float]


@dataclass(frozen=True)
class PowerLaw:
    """A fitted power law y = prefactor * prod_j x_j^beta_j, as `fit_power_law` returns it.

    Parameters
    ----------
    quantity : str
        The column that was fitted.
    exponents : tuple of Exponent
        One a variable; ``law["lr"]`` gives that of lr.
    log_prefactor : float
        Mean intercept: log y at all x_j = 1.
    prefactor, prefactor_low, prefactor_high : float
        The exponential of the mean intercept and of the ends of its interval.
    level : float
        Confidence level of all intervals.
    method : str
        "t" or "bootstrap".
    seeds, seeds_without_rows : int
        Seeds in the fit, and seeds that have no row at some point of it and are not used.
    points, cells : int
        Points of the design in the fit; points times seeds.
    r_squared : float
        Share of the variance of log y over all cells that the law explains; NaN where y does not vary.
    worst : Worst
        Largest residual of a point's mean.
    censored, failed : tuple of LeftOut
        Points left out because a seed did not get there within the horizon, or because a cell failed.
    local : dict of str to tuple of LocalSlope
        Slopes between neighbouring values: where they still change, the exponent has not converged.

    Examples
    --------
    >>> from dynsim.scaling import fit_power_law
    >>> lr = [1.0, 2.0, 4.0, 8.0]
    >>> table = {"lr": 2 * lr, "seed": 4 * [0] + 4 * [1], "T": [9.0, 4.0, 2.0, 1.0, 8.0, 4.0, 2.0, 1.0]}
    >>> law = fit_power_law(table, "T", over="lr", theory={"lr": -1.0})
    >>> print(law)
    T ~ lr^-1.025   (95 % intervals: Student t over 2 seeds)
      exponent of      fitted  interval                theory           range fitted
      lr              -1.0255  [-1.3494, -0.7016]          -1  inside   4 values, factor 8
      prefactor 8.337  [4.938, 14.08]
      4 points, 2 seeds, 8 cells; R^2 0.99822; the point farthest from the law is -0.0236 off in log y, at lr=2
      local slopes in lr (theory -1), between neighbouring values
        1 .. 2                -1.0850  [-2.1645, -0.0054]
        2 .. 4                -1.0000  [-1.0000, -1.0000]
        4 .. 8                -1.0000  [-1.0000, -1.0000]
    >>> float(law.predict({"lr": 16.0}))
    0.49
    """

    quantity: str
    exponents: tuple[Exponent, ...]
    log_prefactor: float
    prefactor: float
    prefactor_low: float
    prefactor_high: float
    level: float
    method: str
    seeds: int
    seeds_without_rows: int
    points: int
    cells: int
    r_squared: float
    worst: Worst
    censored: tuple[LeftOut, ...]
    failed: tuple[LeftOut, ...]
    local: dict[str, tuple[LocalSlope, ...]]

    def __getitem__(self, name: str) -> Exponent:
        for exponent in self.exponents:
            if exponent.name == name:
                return exponent
        raise KeyError(f"no exponent of {name!r}; fitted: {', '.join(e.name for e in self.exponents)}")

    def predict(self, x: Mapping[str, ArrayLike]) -> Any:
        """Return the law's y at values of the fitted variables.

        Parameters
        ----------
        x : mapping of str to array
            Each fitted variable to values > 0; they are broadcast against each other.

        Returns
        -------
        float or ndarray
            Of the shape they broadcast to.

        Raises
        ------
        KeyError
            If a fitted variable is missing.
        """
        log_y = self.log_prefactor + sum(e.value * np.log(np.asarray(x[e.name], dtype=float)) for e in self.exponents)
        return np.exp(log_y)

    @property
    def source_of_intervals(self) -> str:
        """How the intervals were found, in words."""
        if self.seeds == 1:
            return "one seed: no intervals"
        return f"{100 * self.level:g} % intervals: {'Student t' if self.method == 't' else 'bootstrap-t'} over {self.seeds} seeds"

    def __str__(self) -> str:
        law = " ".join(f"{e.name}^{e.value:.3f}" for e in self.exponents)
        lines = [
            f"{self.quantity} ~ {law}   ({self.source_of_intervals})",
            f"  {'exponent of':14s}{'fitted':>9s}  {'interval':22s}{'theory':>8s}           range fitted",
        ]
        for e in self.exponents:
            theory = "-" if e.theory is None else f"{e.theory:.4g}"
            inside = {True: "inside", False: "outside", None: ""}[e.inside]
            numbers = f"{e.value:9.4f}  {interval_text(e.low, e.high):22s}{theory:>8s}  {inside:8s}"
            lines.append(f"  {e.name:14s}{numbers} {e.values} values, factor {e.factor:.4g}")
        lines += [
            f"  prefactor {self.prefactor:.4g}  {interval_text(self.prefactor_low, self.prefactor_high, '.4g')}",
            f"  {self.points} points, {self.seeds} seeds, {self.cells} cells; R^2 {self.r_squared:.5f}; the point farthest from the law is "
            f"{self.worst.residual:+.3g} off in log y, at {place(self.worst.x)}",
        ]
        for name, slopes in self.local.items():
            if slopes:
                expected = self[name].theory
                beside = "" if expected is None else f" (theory {expected:.4g})"
                lines.append(f"  local slopes in {name}{beside}, between neighbouring values")
                ends = [f"{s.low_x:.4g} .. {s.high_x:.4g}" for s in slopes]
                lines += [f"    {e:20s}{s.value:9.4f}  {interval_text(s.low, s.high)}" for e, s in zip(ends, slopes, strict=True)]
            else:
                lines.append(f"  no local slopes in {name}: no two points differ in it alone")
        for title, points in (("not reached by every seed", self.censored), ("failed", self.failed)):
            if points:
                lines.append(f"  left out, {title}: {'; '.join(map(str, points))}")
        if self.seeds_without_rows:
            lines.append(f"  not used: {self.seeds_without_rows} seeds that have no row at some point of the fit")
        return "\n".join(lines)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return exponents, prefactor, local slopes and points left out as rows of `COLUMNS`; empty cells are empty strings."""
        def cell(x: float | None) -> Any:
            return "" if x is None or math.isnan(x) else x

        found: list[tuple[Any, ...]] = [
            ("exponent", e.name, "", "", e.value, cell(e.low), cell(e.high), cell(e.theory), self.seeds, "") for e in self.exponents
        ]
        found.append(
            ("prefactor", "", "", "", self.prefactor, cell(self.prefactor_low), cell(self.prefactor_high), "", self.seeds, "")
        )
        for name, slopes in self.local.items():
            found += [
                ("local slope", name, s.low_x, s.high_x, s.value, cell(s.low), cell(s.high), cell(self[name].theory), self.seeds, "")
                for s in slopes
            ]
        for kind, points in (("not reached", self.censored), ("failed", self.failed)):
            found += [(kind, "", "", "", "", "", "", "", point.count, str(point)) for point in points]
        return found

    def _repr_html_(self) -> str:
        return html_text(COLUMNS, self.rows(), caption=f"{self.quantity}: {self.source_of_intervals}, R^2 {self.r_squared:.5f}")

    def to_csv(self) -> str:
        """Return `rows` as CSV text, with a line of column names."""
        return csv_text(COLUMNS, self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON-ready data; numbers that are not finite become None."""
        return plain({"schema": SCHEMA, "kind": "dynsim power law", **asdict(self)})


def place(x: Mapping[str, float]) -> str:
    """Name a point of the design: "lr=0.001, m_k=10"."""
    return ", ".join(f"{name}={value:.6g}" for name, value in x.items())


def interval_text(low: float, high: float, form: str = ".4f") -> str:
    """Write an interval, or that there is none."""
    return "no interval" if math.isnan(low) else f"[{low:{form}}, {high:{form}}]"
