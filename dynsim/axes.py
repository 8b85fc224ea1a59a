"""Axes of panels: logarithms of what is drawn, steps, the values of a sweep."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from .plotting import POINTS, log_axis, some
from .trajectory import Trajectory

__all__ = ["LARGEST", "drawn", "log_values", "power", "step_axis", "ticks"]

LARGEST = 1e100
"""Numbers above this leave the view: they are on their way to infinity."""


def power(value: float) -> str:
    """Return a power of ten as Matplotlib writes it.

    Parameters
    ----------
    value : float
        The number, of which the exponent is rounded; one that is not > 0 is written as it is.

    Examples
    --------
    >>> power(1e-5), power(0.0)
    ('10^{-5}', '0')
    """
    return f"10^{{{np.log10(value):.0f}}}" if value > 0 else f"{value:g}"


def log_values(ax: Axes, *, smallest: float = 0.0) -> None:
    """Make the y axis logarithmic if there is anything on it; what lies below `smallest`, or above 1e100, leaves the view.

    Parameters
    ----------
    ax : Axes
        A panel on which everything is drawn already; one without values > 0 stays as it is.
    smallest : float, default 0.0
        Where the view begins at the lowest, >= 0; 0 for no limit.
    """
    lines = [line for line in ax.lines if line.get_transform().contains_branch_seperately(ax.transData)[1]]  # not marks at an edge
    found = [np.asarray(line.get_ydata(), dtype=float) for line in lines]
    found += [np.asarray(path.vertices)[:, 1] for several in ax.collections for path in several.get_paths()]
    values = np.concatenate([[], *(y.ravel() for y in found)])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return
    if values.min() < smallest:
        ax.set_ylim(smallest, 3.0 * max(values.max(), smallest))
    if values.max() > LARGEST:
        ax.set_ylim(max(values.min(), smallest), LARGEST)
    log_axis(ax)
    low, high = np.log10(ax.get_ylim())
    if np.floor(high) - np.ceil(low) < 1:  # fewer than two powers of ten to label
        ax.set_ylim(10.0 ** np.floor(low), 10.0 ** np.ceil(high))
    if high - low > 12:  # matplotlib's choice labels up to a dozen powers
        ax.yaxis.set_major_locator(LogLocator(numticks=7))


def drawn(t: NDArray, *, log: bool = False) -> NDArray:
    """Return some thousand row numbers of the steps, spread as a linear or logarithmic axis spreads them, first and last among them.

    Parameters
    ----------
    t : ndarray, shape (T,)
        Recorded steps or times, ascending; where they are fewer than those to draw, all are drawn.
    log : bool, default False
        Spread the rows by a constant ratio: for a logarithmic axis.
    """
    if not log or len(t) <= POINTS:
        return some(len(t), POINTS)
    return np.unique(np.append(0, np.geomspace(1, len(t) - 1, POINTS).round().astype(int)))


def step_axis(ax: Axes, run: Trajectory, ylabel: str, *, log: bool = False) -> None:
    """The view and the labels of a panel over steps or time; a logarithmic axis is linear up to the first record, so that it has t = 0.

    Parameters
    ----------
    ax : Axes
        The panel, whose x axis is set.
    run : Trajectory
        Its steps or times, first to last, are the view.
    ylabel : str
        Label of the y axis.
    log : bool, default False
        Make the axis logarithmic, where its last time is more than three times the first one after 0; else it stays linear.
    """
    first, last = float(run.at[0]), float(run.at[-1])
    later = run.at[run.at > 0]
    if log and len(later) > 1 and last > 3.0 * later[0]:
        least = float(later[0])
        ax.set_xscale("symlog", linthresh=least, linscale=0.3)
        powers = 10.0 ** np.arange(np.ceil(np.log10(least)), np.floor(np.log10(last)) + 1)
        ax.xaxis.set_major_locator(FixedLocator([*([first] if first == 0 else []), *powers]))
        ax.xaxis.set_minor_locator(FixedLocator([k * p for p in (*powers / 10.0, *powers) for k in range(2, 10) if least <= k * p <= last]))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=run.clock == "step"))
    ax.set_xlim(first, last if last > first else first + 1.0)
    ax.set_ylabel(ylabel)
    ax.set_xlabel("step $t$" if run.clock == "step" else "time $t$")


def ticks(ax: Axes, values: NDArray) -> None:
    """Label the x axis at the values of a sweep, and nowhere else.

    Parameters
    ----------
    ax : Axes
        The panel, whose x axis is set.
    values : ndarray
        The values, of any shape and order; each is labelled once.
    """
    ax.xaxis.set_major_locator(FixedLocator(list(np.unique(values))))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_locator(NullLocator())
