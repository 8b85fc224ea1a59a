"""Phase diagrams as data: what the seeds of a sweep say at every point of a plane of two variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..claims import VERDICTS
from ..experiment import Experiment
from ..naming import unknown_name
from ..plain import plain
from ..sweep import Table, sweep
from ..sweep.design import as_design
from ..sweep.table import base_values
from ..tabular import csv_text

__all__ = ["Axis", "Diagram", "PhaseDiagram", "phase_diagram"]

SCHEMA = 1
"""Version of the JSON form."""
DIGITS = 9
"""Significant digits up to which two values of a derived axis are the same."""


@dataclass(frozen=True)
class Axis:
    """One side of a diagram: a variable of the sweep, or a number made of several.

    Parameters
    ----------
    name : str
        The variable, or a name for what is made of others.
    label : str
        What is written at the axis; default the name.
    of : tuple of str
        The varied variables it is made of; default the one called `name`.
    value : callable, optional
        Maps a point to the number that is shown: a mapping of every variable to its value, varied or not (for a table that names
        no experiment: the varied ones only). Values that agree in nine digits are the same place. Default the variable itself.

    Examples
    --------
    >>> ratio = Axis("sigma_0/lr", of=("sigma_0",), value=lambda p: p["sigma_0"] / p["lr"])
    >>> ratio.variables, ratio.value({"sigma_0": 3e-3, "lr": 5e-5})
    (('sigma_0',), 60.0)
    """

    name: str
    label: str = ""
    of: tuple[str, ...] = ()
    value: Callable[[Mapping[str, Any]], float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.of, str):
            raise ValueError(f"of={self.of!r} must be a sequence of names, such as ({self.of!r},)")
        if self.of and self.value is None:
            raise ValueError(f"of={self.of!r} needs value=, the function that makes {self.name} of them")
        object.__setattr__(self, "of", tuple(self.of))

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the sweep that it uses up."""
        return self.of or (self.name,)


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """A verdict or a number over a plane, as `phase_diagram` makes it of a sweep; arrays are of shape (ny, nx).

    Parameters
    ----------
    quantity : str
        Name of the column.
    kind : {"verdict", "number"}
        What the column holds.
    x_name, y_name : str
        The varied variables, or names for what is made of them.
    x, y : ndarray, shape (nx,) and (ny,)
        Their values, ascending.
    values : ndarray
        Of a verdict with a column of margins: the fraction of seeds within tolerance (margin >= 0) among those that have a margin,
        assumptions met or not. Of a verdict without one: the fraction of seeds for which it holds. Of a number: its mean
        over the seeds that have one. NaN where there is no such seed.
    spread : ndarray
        Standard deviation over those seeds of the margin or the number (that of a sample, ddof = 1); NaN below two seeds.
    applicable : ndarray
        Fraction of the seeds that ran whose verdict is not "not applicable". Of a number: 1 where a seed ran.
    counts : mapping of str to ndarray of int
        ``seeds`` that ran, ``known`` that have a margin or a number (NaN is none: not reached, not decided), ``good`` that are
        within tolerance or hold, ``errors`` that failed, and those with each verdict.
    x_label, y_label : str
        What is written at the axes; default "".
    doc : str
        What the column means; default "".
    """

    quantity: str
    kind: Literal["verdict", "number"]
    x_name: str
    y_name: str
    x: NDArray
    y: NDArray
    values: NDArray
    spread: NDArray
    applicable: NDArray
    counts: Mapping[str, NDArray]
    x_label: str = ""
    y_label: str = ""
    doc: str = ""

    def __str__(self) -> str:
        """The plane as text, the largest y on top; verdicts as seeds within tolerance of seeds decided, ! where not applicable."""
        def cell(i: int, j: int) -> str:
            if not self.counts["known"][i, j]:
                return "-"
            if self.kind == "number":
                return f"{self.values[i, j]:.4g}"
            return f"{self.counts['good'][i, j]}/{self.counts['known'][i, j]}" + ("!" if self.applicable[i, j] <= 0.5 else "")

        rows = [[f"{self.y[i]:.4g}", *(cell(i, j) for j in range(len(self.x)))] for i in reversed(range(len(self.y)))]
        rows.append([f"{self.y_name} / {self.x_name}", *(f"{x:.4g}" for x in self.x)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([f"{self.quantity}: {self.doc.removeprefix('verdict: ')}", *("  " + line for line in lines)])

    @property
    def fractions(self) -> dict[str, NDArray]:
        """Fraction of the seeds that ran with each verdict; NaN where none ran. Empty for a number."""
        return {word: _ratio(self.counts[word], self.counts["seeds"]) for word in VERDICTS if word in self.counts}

    def mostly(self, word: str) -> NDArray:
        """Tell where most seeds have a verdict.

        Parameters
        ----------
        word : {"violated", "inconclusive", "not applicable", "holds"}
            The verdict.

        Returns
        -------
        ndarray of bool, shape (ny, nx)
            For "inconclusive": more than half of the seeds that ran. Else: more than half of those that are decided.

        Raises
        ------
        ValueError
            For another word.
        """
        if word not in VERDICTS:
            raise ValueError(unknown_name("verdict", word, VERDICTS))
        if word not in self.counts:
            return np.zeros(self.values.shape, dtype=bool)
        of = self.counts["seeds"] if word == "inconclusive" else self.counts["seeds"] - self.counts["inconclusive"]
        return 2 * self.counts[word] > of

    def boundary(self, level: float = 0.5, *, descending: bool = False) -> NDArray:
        """Return for each y the x at which the values first reach a level: where does the lemma begin to hold.

        Interpolated between the two cells around it, in log x where x is positive.

        Parameters
        ----------
        level : float, default 0.5
            The value to be reached; of a verdict, the fraction of seeds within tolerance.
        descending : bool, default False
            Walk from the largest x down: the largest x up to which the level is kept.

        Returns
        -------
        ndarray, shape (ny,)
            NaN where the level is never reached. Where the first cell is there already, or the cell before is not known (NaN, or
            inconclusive in most seeds), the x of the first cell that is known to be there: nothing is interpolated across
            what is not known.

        Raises
        ------
        ValueError
            If the level is not finite.
        """
        return crossings(self, level, descending)[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the diagram as JSON-ready data, arrays as lists of rows, one a y; NaN becomes None."""
        return {
            "schema": SCHEMA, "kind": "dynsim phase diagram", "quantity": self.quantity, "of": self.kind, "doc": self.doc,
            "x": {"name": self.x_name, "label": self.x_label, "values": self.x.tolist()},
            "y": {"name": self.y_name, "label": self.y_label, "values": self.y.tolist()},
            "values": plain(self.values), "spread": plain(self.spread), "applicable": plain(self.applicable),
            "counts": {name: a.tolist() for name, a in self.counts.items()},
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """Return the diagram as CSV text, a line a cell; what is not known is empty."""
        head = [self.y_name, self.x_name, self.quantity, "spread", "applicable", *self.counts]
        return csv_text(head, (
            [y, x, *(a[i, j].item() for a in (self.values, self.spread, self.applicable, *self.counts.values()))]
            for i, y in enumerate(self.y.tolist()) for j, x in enumerate(self.x.tolist())
        ))


def crossings(diagram: PhaseDiagram, level: float, descending: bool) -> tuple[NDArray, NDArray]:
    """Return the boundary (see `PhaseDiagram.boundary`), and where it lies between two known cells and not at an edge of them, bool."""
    if not np.isfinite(level):
        raise ValueError(f"level={level!r} must be finite, such as 0.5 for half of the seeds")
    order = slice(None, None, -1) if descending else slice(None)
    logarithmic = bool((diagram.x > 0).all())
    cells = diagram.x[order]
    x = np.log(cells) if logarithmic else cells
    found, between = np.full(len(diagram.y), np.nan), np.zeros(len(diagram.y), dtype=bool)
    values = np.where(diagram.mostly("inconclusive"), np.nan, diagram.values)
    for row, f in enumerate(values[:, order]):
        there = np.flatnonzero(f >= level)
        if not len(there):
            continue
        j = int(there[0])
        between[row] = j > 0 and not np.isnan(f[j - 1])
        if not between[row] or f[j] == level:
            found[row] = cells[j]
        else:
            at = x[j - 1] + (level - f[j - 1]) / (f[j] - f[j - 1]) * (x[j] - x[j - 1])
            found[row] = np.exp(at) if logarithmic else at
    return found, between


def _ratio(part: NDArray, whole: NDArray) -> NDArray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def phase_diagram(table: Table, x: str | Axis, y: str | Axis, quantity: str) -> PhaseDiagram:
    """Return what the seeds of a sweep say about one column at every point of a plane.

    Parameters
    ----------
    table : Table
        As `dynsim.sweep` returns it; it may be unfinished.
    x, y : str or Axis
        Two varied variables, or numbers made of them.
    quantity : str
        A column of verdicts, or of one number a cell. Verdicts are read together with the column ``<quantity>.margin`` where there
        is one, so that a claim whose assumptions are unmet still shows its number.

    Returns
    -------
    PhaseDiagram
        Points that the sweep does not have, or not yet, are NaN.

    Raises
    ------
    ValueError
        If the table is empty, x or y are not varied or not numbers, another variable has several values, two points fall on
        the same place, or the column is neither of verdicts nor of single numbers.

    Examples
    --------
    >>> from dynsim import sweep
    >>> from dynsim.systems import signal_noise
    >>> table = sweep(signal_noise.experiment("tiny"), {"m_k": [2, 4], "lr": [0.01, 0.02]}, seeds=3, measure="t_loss", workers=1)
    >>> diagram = phase_diagram(table, "lr", "m_k", "t_loss")
    >>> diagram.values.shape, diagram.counts["seeds"].tolist()
    ((2, 2), [[3, 3], [3, 3]])
    """
    x, y = (Axis(axis) if isinstance(axis, str) else axis for axis in (x, y))
    column = _checked(table, x, y, quantity)
    base = base_values(table.experiment) if "experiment" in table.about else {}
    (xs, i), (ys, j) = _values(table, x, base), _values(table, y, base)
    _one_point_each(table, x, y, i, j)
    shape = (len(ys), len(xs))

    def count(which: NDArray) -> NDArray:
        found = np.zeros(shape, dtype=np.int64)
        np.add.at(found, (j[which], i[which]), 1)
        return found

    ran = table["error"] == ""
    verdicts = column.dtype.kind == "U"
    number = table.get(f"{quantity}.margin") if verdicts else column.astype(float)
    if number is None:  # verdicts without margins
        known, good = ran, ran & (column == "holds")
    else:
        known = ran & np.isfinite(number)
        good = known & (number >= 0) if verdicts else known
    counts = {"seeds": count(ran), "known": count(known), "good": count(good), "errors": count(~ran)}
    if verdicts:
        counts |= {word: count(ran & (column == word)) for word in VERDICTS}
    nowhere = np.full(shape, np.nan)
    mean, spread = (nowhere, nowhere) if number is None else _moments(number, known, i, j, counts["known"])
    values = _ratio(counts["good"], counts["known"]) if verdicts else mean
    applicable = 1.0 - _ratio(counts.get("not applicable", np.zeros(shape)), counts["seeds"])
    return PhaseDiagram(
        quantity, "verdict" if verdicts else "number", x.name, y.name, xs, ys, values, spread, applicable, counts,
        x.label or x.name, y.label or y.name, table.docs.get(quantity, ""),
    )


def _checked(table: Table, x: Axis, y: Axis, quantity: str) -> NDArray:
    """Return the column, after a look at everything that can be wrong."""
    if not table.cells:
        raise ValueError("the table has no rows: there is nothing to draw yet")
    for side, axis in (("x", x), ("y", y)):
        for name in axis.variables:
            if name not in table.axes:
                raise ValueError(f"{side}={axis.name!r}: {unknown_name('varied variable', name, table.axes)}")
    if x.name == y.name:
        raise ValueError(f"x={x.name!r} and y={y.name!r} must be different variables, of: {', '.join(table.axes)}")
    others = {name: np.unique(table[name]) for name in table.axes if name not in (*x.variables, *y.variables)}
    several = {name: values for name, values in others.items() if len(values) > 1}
    if several:
        told = "; ".join(f"{name} has {len(values)} values, such as {values[0]} and {values[-1]}" for name, values in several.items())
        name, values = next(iter(several.items()))
        raise ValueError(f"a plane has room for {x.name} and {y.name} only: {told}. Choose one, as in table.where({name}={values[0]!s})")
    if quantity not in table.measured:
        raise ValueError(f"quantity={quantity!r}: {unknown_name('measured column', quantity, table.measured)}")
    column = table[quantity]
    if column.ndim != 1:
        raise ValueError(f"quantity={quantity!r} has {column.shape[1]} numbers a cell: a diagram shows one")
    if column.dtype.kind == "U":
        other = sorted(set(column.tolist()) - {*VERDICTS, ""})
        if other:
            words = f"words that are no verdicts, such as {other[0]!r}; verdicts are {', '.join(VERDICTS)}"
            raise ValueError(f"quantity={quantity!r} has {words}")
    elif column.dtype.kind not in "fiub":
        raise ValueError(f"quantity={quantity!r} holds neither verdicts nor numbers")
    return column


def _values(table: Table, axis: Axis, base: Mapping[str, Any]) -> tuple[NDArray, NDArray]:
    """Return the values along an axis and each row's place among them."""
    columns = {name: table[name].tolist() for name in table.axes}
    try:
        if axis.value is None:
            shown = np.asarray(columns[axis.name], dtype=float)
        else:
            points = zip(*columns.values(), strict=True)
            found = [float(axis.value({**base, **dict(zip(columns, point, strict=True))})) for point in points]
            shown = np.array([float(f"{value:.{DIGITS}g}") for value in found])
    except KeyError as missing:
        raise ValueError(f"{axis.name} needs {missing}, which the table does not say: it names {', '.join((*base, *columns))}") from None
    except (TypeError, ValueError):
        example = columns[axis.variables[0]][0]
        raise ValueError(f"{axis.name} takes values that are no numbers, such as {example!r}: an axis needs numbers") from None
    if not np.isfinite(shown).all():
        raise ValueError(f"{axis.name} is not finite at every point: an axis needs finite numbers")
    values, place = np.unique(shown, return_inverse=True)
    return values, place.reshape(-1)


def _one_point_each(table: Table, x: Axis, y: Axis, i: NDArray, j: NDArray) -> None:
    """Refuse two points on the same place: their seeds would be mixed."""
    place = np.stack([i, j])
    point = np.stack([np.unique(table[name], return_inverse=True)[1].reshape(-1) for name in table.axes])
    _, first, place_of = np.unique(place, axis=1, return_index=True, return_inverse=True)
    differs = (point != point[:, first[place_of.reshape(-1)]]).any(axis=0)
    if differs.any():
        row = int(np.argmax(differs))
        pair = (int(first[place_of.reshape(-1)[row]]), row)
        told = " and ".join("(" + ", ".join(f"{name}={table[name][k]}" for name in table.axes) + ")" for k in pair)
        raise ValueError(f"two points fall on the same place of {x.name} and {y.name}: {told}. Vary less, or take other axes")


def _moments(number: NDArray, known: NDArray, i: NDArray, j: NDArray, count: NDArray) -> tuple[NDArray, NDArray]:
    """Return mean and standard deviation of a number over the known rows of each place."""
    total = np.zeros(count.shape)
    np.add.at(total, (j[known], i[known]), number[known])
    mean = _ratio(total, count)
    square = np.zeros(count.shape)
    np.add.at(square, (j[known], i[known]), (number[known] - mean[j[known], i[known]]) ** 2)
    return mean, np.sqrt(_ratio(square, count - 1))


@dataclass(frozen=True)
class Diagram:
    """A sweep worth drawing: an experiment, a plane of two variables, and what to show over it.

    Parameters
    ----------
    name : str
        What the command line calls it.
    doc : str
        One sentence: what it shows, and whose statement it is.
    experiment : Experiment
        What is varied.
    x, y : Axis
        The sides of the plane, made of variables that `over` varies.
    over : mapping of str to sequence, or sequence of mappings
        Points, as `dynsim.sweep.sweep` takes them.
    shown : tuple of str
        Columns to draw, a panel each.
    measure : tuple of str
        What the sweep measures; default the columns shown.
    seeds : int, default 4
        Seeds of each point, >= 1.
    steps : int, optional
        Horizon, >= 1; default what the system says is long enough at each point.

    Raises
    ------
    ValueError
        If an axis is made of a variable that is not varied.
    """

    name: str
    doc: str
    experiment: Experiment
    x: Axis
    y: Axis
    over: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
    shown: tuple[str, ...]
    measure: tuple[str, ...] = ()
    seeds: int = 4
    steps: int | None = None

    def __post_init__(self) -> None:
        names = as_design(self.over).names
        for name in (*self.x.variables, *self.y.variables):
            if name not in names:
                raise ValueError(f"diagram {self.name!r}: {unknown_name('varied variable', name, names)}")

    def run(self, **arguments: Any) -> dict[str, PhaseDiagram]:
        """Run the sweep and return a phase diagram a shown column.

        Parameters
        ----------
        **arguments
            Of `dynsim.sweep.sweep`, such as ``workers=2``, ``out="runs/vote"``, ``progress=True``; ``over`` and ``seeds`` replace
            the diagram's own.
        """
        return self.of(self.table(**arguments))

    def table(self, **arguments: Any) -> Table:
        """Run the sweep and return its table.

        Parameters
        ----------
        **arguments
            As for `run`.
        """
        plan = {"over": self.over, "seeds": self.seeds, "measure": self.measure or self.shown, "steps": self.steps, **arguments}
        return sweep(self.experiment, plan.pop("over"), **plan)

    def of(self, table: Table) -> dict[str, PhaseDiagram]:
        """Return a phase diagram a shown column from a table that there is already.

        Parameters
        ----------
        table : Table
            From `table`, or read from the folder of an earlier run.

        Returns
        -------
        dict of str to PhaseDiagram
            By column, in the order of `shown`.
        """
        return {quantity: phase_diagram(table, self.x, self.y, quantity) for quantity in self.shown}
