"""What the panels of the studies share: rows by kernel, runs as dots with a mean, the same seeds under both kernels side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from .... import plotting
from ....axes import power
from ....check import check
from ....claims import Inconclusive, Verdict, from_evidence
from ....plotting import COLOURS
from ....scaling import mean_interval
from ....sweep import Table
from ..claims import SWEEP_CLAIMS
from ..kernels import KERNELS
from .drawing import KERNEL_COLOURS

Evidence = Mapping[str, Table]
Read = str | Callable[[Table], NDArray]


def verdicts(evidence: Evidence, *ids: str) -> tuple[Verdict, ...]:
    """Return the verdicts on those of some claims about sweeps that there are, for a title."""
    return check(evidence, [SWEEP_CLAIMS[id] for id in ids if id in SWEEP_CLAIMS]).verdicts


def table_of(evidence: Evidence, entry: str, *names: str) -> Table:
    """Return a table of the evidence that has these columns; Inconclusive where it lacks one, or rows."""
    table = from_evidence(evidence, entry)
    missing = [name for name in ("kernel", *names) if name not in table]
    if missing:
        raise Inconclusive(f"the sweep {entry!r} has no column {', '.join(missing)}")
    if not table.cells:
        raise Inconclusive(f"the sweep {entry!r} has no runs")
    return table


def kernels_of_table(table: Table) -> Iterator[tuple[str, str, Table]]:
    """Yield colour, title and rows of every kernel of a table."""
    for name, colour in KERNEL_COLOURS.items():
        rows = table.rows(table["kernel"] == name)
        if rows.cells:
            yield colour, KERNELS[name].title, rows


def variable(table: Table, name: str) -> NDArray:
    """Return a variable of every row: its column where it was varied, else the setting's."""
    own = table[name] if name in table else np.full(table.cells, getattr(table.experiment.setting, name))
    return np.asarray(own, dtype=float)


def _numbers(table: Table, read: Read) -> NDArray:
    return variable(table, read) if isinstance(read, str) else np.asarray(read(table), dtype=float)


def features_per_target(table: Table) -> NDArray:
    """H D / N n of every row."""
    return variable(table, "H") * variable(table, "D") / (variable(table, "N") * variable(table, "n"))


def draw_runs(
    ax: Axes, table: Table, x: Read, y: Read, *, mean: Callable[[NDArray], Any] | None = np.mean, log: bool = False, smallest: float = 0.0
) -> None:
    """Draw the runs of every kernel as dots, kernels a little apart, and their mean at every x as a line.

    Dots below `smallest` become triangles on the lower edge; failed runs, which have no number, crosses there.

    Parameters
    ----------
    ax : Axes
    table : Table
    x, y : str or callable
        A variable or column, or what makes the numbers of some rows.
    mean : callable, optional
        None for dots alone.
    log : bool
        Whether the x axis is logarithmic; what is not above 0 is then left out.
    smallest : float
        Of the y axis.
    """
    every = _numbers(table, x)
    every = every[np.isfinite(every) & (every > (0.0 if log else -np.inf))]
    if not len(every):
        raise Inconclusive("there is nothing to draw")
    apart = 0.016 * (np.log(every.max() / every.min()) if log else np.ptp(every))
    groups, below = list(kernels_of_table(table)), False
    for i, (colour, title, rows) in enumerate(groups):
        at, found = _numbers(rows, x), _numbers(rows, y)
        keep = np.isfinite(at) & (at > (0.0 if log else -np.inf))
        at, found = at[keep], found[keep]
        shift = apart * (i - 0.5 * (len(groups) - 1))
        seen, failed = np.where(found < smallest, np.nan, found), ~np.isfinite(found)
        dots = at * np.exp(shift) if log else at + shift
        ax.plot(dots, seen, ".", color=colour, markersize=5, alpha=0.75, zorder=3, label=None if mean is not None else title)
        _at_the_edge(ax, dots[found < smallest], colour, "v")
        _at_the_edge(ax, dots[failed], colour, "x", f"{title}: {failed.sum()} of {len(found)} failed")
        below = below or bool((found < smallest).any())
        if mean is not None:
            values = np.unique(at)
            with np.errstate(divide="ignore"):
                means = [float(mean(part)) if len(part) else np.nan for part in (found[(at == v) & ~failed] for v in values)]
            plotting.line(ax, values, means, colour, title, linewidth=1.3, zorder=2.8)
    if below:
        _below(ax, smallest)
    if log:
        ax.set_xscale("log")


def _below(ax: Axes, smallest: float) -> None:
    ax.plot([], [], "v", color=COLOURS["grey"], markersize=4.5, label=f"below ${power(smallest)}$")


def _at_the_edge(ax: Axes, x: NDArray, colour: str, marker: str, label: str = "") -> None:
    """Mark runs on the lower edge that the view has no place for."""
    if len(x):
        edge = blended_transform_factory(ax.transData, ax.transAxes)
        ax.plot(x, np.full(len(x), 0.02), marker, color=colour, markersize=4.5, transform=edge, clip_on=False, zorder=4,
                label=label or None)


def geometric(values: NDArray) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def common_seeds(rows: Table, quantity: str) -> tuple[NDArray, NDArray]:
    """Return a column under softmax and under the Gaussian, of the seeds that both have."""
    found = {}
    for name in ("softmax", "gaussian"):
        own = rows.rows(rows["kernel"] == name)
        found[name] = {int(seed): float(value) for seed, value in zip(own["seed"], own[quantity], strict=True) if np.isfinite(value)}
    both = sorted(set(found["softmax"]) & set(found["gaussian"]))
    softmax, gaussian = (np.array([found[name][seed] for seed in both]) for name in ("softmax", "gaussian"))
    return softmax, gaussian


def _interval_text(softmax: NDArray, gaussian: NDArray, smallest: float) -> str:
    """Return mean and 95 % interval of the paired difference, Gaussian less softmax, of logarithms where there is a smallest value."""
    if max(np.median(softmax), np.median(gaussian)) < smallest:
        return "both fit"
    a, b = (np.log10(np.maximum(v, 1e-300)) if smallest else v for v in (softmax, gaussian))
    if len(a) > 1 and (a == b).all():
        return "no difference"
    low, high = mean_interval(b - a)
    if not np.isfinite(low):
        return f"{np.mean(b - a):+.2g}\n(one seed)"
    digits = 2 if smallest else int(np.clip(2 - np.floor(np.log10(max(abs(low), abs(high), 1e-12))), 1, 4))
    return f"{np.mean(b - a):+.{digits}f}\n[{low:.{digits}f}, {high:.{digits}f}]"


def draw_pairs(ax: Axes, groups: Sequence[tuple[str, NDArray, NDArray]], *, smallest: float = 0.0) -> None:
    """Draw a column a group: what a seed has under softmax to the left, under the Gaussian to the right, a thin line between them.

    Parameters
    ----------
    ax : Axes
    groups : sequence of (str, ndarray, ndarray)
        Label, and numbers of the same seeds under softmax and the Gaussian, shape (seeds,); groups without seeds are left out.
    smallest : float
        Of the y axis, which is then logarithmic; smaller numbers are triangles there. 0 for a linear axis.

    Raises
    ------
    Inconclusive
        If no group has seeds.
    """
    groups = [group for group in groups if len(group[1])]
    if not groups:
        raise Inconclusive("the sweep has no seed with both softmax and gaussian")
    across = blended_transform_factory(ax.transData, ax.transAxes)
    middle, word = (np.median, "median") if smallest else (np.mean, "mean")
    for at, (_, softmax, gaussian) in enumerate(groups):
        shown = [np.maximum(values, smallest) if smallest else values for values in (softmax, gaussian)]
        ax.plot([at - 0.18, at + 0.18], np.stack(shown), color=COLOURS["bound"], linewidth=0.8, zorder=2)
        for side, name, values in zip((-0.18, 0.18), ("softmax", "gaussian"), shown, strict=True):
            colour, x = KERNEL_COLOURS[name], np.full(len(values), at + side)
            below = values <= (smallest or -np.inf)
            label = None if at else KERNELS[name].title
            ax.plot(x[~below], values[~below], ".", color=colour, markersize=6, alpha=0.8, zorder=3, label=label)
            ax.plot(x[below], values[below], "v", color=colour, markersize=4, zorder=3, clip_on=False)
            centre = float(middle(values))
            ax.plot([at + side - 0.1, at + side + 0.1], [centre, centre], color=colour, linewidth=2.2, zorder=4)
        text = _interval_text(softmax, gaussian, smallest)
        ax.text(at, 0.985, text, transform=across, ha="center", va="top", fontsize=plotting.SMALL)
    ax.plot([], [], color=COLOURS["grey"], linewidth=2.2, label=word)
    of = r"$\log_{10}$(Gaussian / softmax)" if smallest else "Gaussian $-$ softmax"
    ax.plot([], [], " ", label=f"above: mean of\n{of},\n95 % interval over seeds")
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xticks(range(len(groups)), [label for label, *_ in groups])
    if smallest:
        if any((values < smallest).any() for _, *both in groups for values in both):
            _below(ax, smallest)
        high = float(max(values.max() for _, *both in groups for values in both))
        ax.set_ylim(smallest, max(10.0, 1.5 * (max(high, smallest) / smallest) ** 1.25) * smallest)
        plotting.log_axis(ax)
    else:
        _room_above(ax, np.concatenate([values for _, *both in groups for values in both]))


def _room_above(ax: Axes, values: NDArray) -> None:
    """Leave room for the intervals above a linear axis; whole numbers have whole ticks, and equal ones a view that shows they are."""
    low, high = ax.get_ylim()
    if (values == np.round(values)).all():
        ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        low, high = min(low, values.min() - 0.5), max(high, values.max() + 0.5)
    ax.set_ylim(low, high + 0.25 * (high - low))
