"""What the panels of the studies share: rows by rule and by placement, seeds as dots with their middle, strips of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from .... import plotting
from ....axes import power
from ....check import check
from ....claims import Inconclusive, Verdict, from_evidence
from ....deciding import best_rate
from ....plotting import COLOURS
from ....sweep import Table
from ....trajectory import Trajectory
from ..claims import SWEEP_CLAIMS
from .drawing import PLACEMENTS, Look, look_of_text

Evidence = Mapping[str, Any]
ORDER = ("gd", "gd:0.9", "signgd", "signgd:0.9", "rmsprop", "adam")
"""The order of rules in legends and strips; others follow."""
MISSING = "diverged, or not a number"
Middle = Callable[[NDArray], Any]


def verdicts(evidence: Evidence, *ids: str) -> tuple[Verdict, ...]:
    """Return the verdicts on those of some claims about sweeps that there are, for a title."""
    return check(evidence, [SWEEP_CLAIMS[id] for id in ids if id in SWEEP_CLAIMS]).verdicts


def table_of(evidence: Evidence, entry: str, *names: str) -> Table:
    """Return a table of the evidence that has these columns; Inconclusive where it lacks one, or rows."""
    table = from_evidence(evidence, entry)
    missing = [name for name in names if name not in table and not hasattr(table.experiment.setting, name)]
    if missing:
        raise Inconclusive(f"the sweep {entry!r} has no column {', '.join(missing)}")
    if not table.cells:
        raise Inconclusive(f"the sweep {entry!r} has no runs")
    return table


def run_of(evidence: Evidence, name: str) -> Trajectory | None:
    """Return a run that is shown beside the sweeps, if there is one."""
    found = evidence.get(name)
    return found if isinstance(found, Trajectory) else None


def variable(table: Table, name: str) -> NDArray:
    """Return a variable of every row: its column where it was varied or measured, else the setting's."""
    return table[name] if name in table else np.full(table.cells, getattr(table.experiment.setting, name))


def rows_where(table: Table, **values: Any) -> Table:
    """Return the rows at which variables have these values, none if there are none."""
    keep = np.ones(table.cells, dtype=bool)
    for name, value in values.items():
        keep &= variable(table, name) == value
    return table.rows(keep)


def rules_of(table: Table) -> Iterator[tuple[Look, Table]]:
    """Yield the look and the rows of every rule of a table."""
    found = [str(text) for text in np.unique(table["optimizer"])] if "optimizer" in table else []
    for text in sorted(found, key=lambda text: (ORDER.index(text) if text in ORDER else len(ORDER), text)):
        yield look_of_text(text), rows_where(table, optimizer=text)


def placements_of(table: Table) -> Iterator[tuple[str, str, Table]]:
    """Yield title, colour and rows of every placement of a table."""
    for name, (title, colour) in PLACEMENTS.items():
        rows = rows_where(table, norm=name)
        if rows.cells:
            yield title, colour, rows


def mean_of(values: NDArray) -> float:
    """Return the mean; the mean of logarithms goes by `geometric`."""
    return float(np.mean(values))


def geometric(values: NDArray) -> float:
    """Return the geometric mean; 0 if one of the values is 0."""
    return float(np.exp(np.mean(np.log(values)))) if (values > 0).all() else 0.0


def at_best_rate(rows: Table, quantity: str) -> tuple[Table, float]:
    """Return the rows of one rule at the rate at which the mean of a quantity over all seeds is least, and the rate.

    Inconclusive where it is finite for all seeds at no rate.
    """
    rate = best_rate(rows, quantity)
    return rows.rows(rows["lr"] == rate), rate


# -- seeds as dots -----------------------------------------------------------------------------------------------------


def draw_seeds(
    ax: Axes, x: NDArray, y: NDArray, looks: Look, *, middle: Middle = np.median, shift: float = 0.0, log: bool = False, label: str = "",
    missing: str = MISSING, smallest: float = -np.inf,
) -> None:
    """Draw seeds as dots and their middle at every x as a line.

    Parameters
    ----------
    ax : Axes
    x, y : ndarray, shape (rows,)
    looks : Look
    middle : callable
        Of several seeds; infinite or not a number where one of them is not finite.
    shift : float
        Moves the dots aside, in units of x, or as a factor where `log`.
    log : bool
        Whether the x axis is logarithmic.
    label : str
        Default the title of the look.
    missing : str
        What the triangles at the upper edge are that stand for numbers that are not finite.
    smallest : float
        Of the y axis: smaller numbers are triangles there.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    at = x * (1.0 + shift) if log else x + shift
    finite = np.isfinite(y)
    seen = finite & (y >= smallest)
    ax.plot(at[seen], y[seen], **{**looks.dot, "alpha": 0.85, "zorder": 3})
    values = np.unique(x)
    means = np.array([float(middle(y[x == value])) if finite[x == value].all() else np.nan for value in values])
    ax.plot(values, np.maximum(means, smallest), label=label or looks.title, zorder=2.8, **looks.stroke)
    without_place(ax, at[~finite], at[finite & (y < smallest)], looks.colour, missing=missing, smallest=smallest)


def without_place(ax: Axes, missing_at: NDArray, below_at: NDArray, colour: str, *, missing: str, smallest: float) -> None:
    """Mark on the upper edge what is not finite and at the smallest value what is below it, with one legend entry a panel for each."""
    edge = blended_transform_factory(ax.transData, ax.transAxes)
    marks: tuple[tuple[NDArray, str, float, str, dict[str, Any]], ...] = (
        (missing_at, "^", 0.985, missing, {"transform": edge}), (below_at, "v", smallest, f"below ${power(smallest)}$", {}),
    )
    for x, marker, level, label, place in marks:
        if len(x):
            ax.plot(x, np.full(len(x), level), marker, color=colour, markersize=4.5, clip_on=False, zorder=4, **place)
            if label not in ax.get_legend_handles_labels()[1]:
                ax.plot([], [], marker, color=COLOURS["grey"], markersize=4.5, label=label)


def draw_strip(ax: Axes, at: float, values: NDArray, looks: Look, *, middle: Middle = np.median, label: str = "", marker: str = "o",
               width: float = 0.08, smallest: float = -np.inf) -> None:
    """Draw the seeds of one column as dots and their middle as a short line."""
    values = np.asarray(values, dtype=float)
    finite = values[np.isfinite(values)]
    seen = finite[finite >= smallest]
    ax.plot(np.full(len(seen), at), seen, label=label or None, **{**looks.dot, "marker": marker, "zorder": 3})
    lost, below = len(values) - len(finite), len(finite) - len(seen)
    without_place(ax, np.full(lost, at), np.full(below, at), looks.colour, missing=MISSING, smallest=smallest)
    if len(seen) > 1:
        centre = max(float(middle(finite)), smallest)
        ax.plot([at - width, at + width], [centre, centre], color=looks.colour, linewidth=1.8, zorder=3.5)


def name_columns(ax: Axes, names: Sequence[str], label: str = " ") -> None:
    """Label the x axis with the names of columns at 0, 1, 2, ...; names of two lines leave no room for a label of the axis."""
    ax.set_xticks(range(len(names)), list(names))
    ax.set_xlabel(label)  # a blank keeps the legend below names of two lines
    ax.set_xlim(-0.5, len(names) - 0.5)
    for edge in np.arange(1, len(names)) - 0.5:
        ax.axvline(edge, color=COLOURS["band"], linewidth=0.8, zorder=0)


def diagonal(ax: Axes, values: NDArray, label: str) -> None:
    """Draw the line on which both axes are equal, over the range of some positive values."""
    found = values[np.isfinite(values) & (values > 0)]
    if not len(found):
        raise Inconclusive("there is nothing to draw")
    ends = np.array([0.7 * found.min(), 1.4 * found.max()])
    plotting.theory(ax, ends, ends, label)
