"""Figures of power-law fits. Importing this imports Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .. import plotting
from ..plotting import COLOURS
from .fit import fit_power_law
from .intervals import Method
from .law import PowerLaw, place
from .points import Arrangement, arrange, variables

__all__ = ["plot_scaling", "scaling_figure"]

LINES = 6
"""Lines drawn of one panel: more cannot be told apart."""
PALETTE = tuple(COLOURS[name] for name in ("blue", "vermillion", "green", "purple", "orange", "indigo"))
TICKS = 7
"""Values of the variable written at the axis; where there are more, some."""


def plot_scaling(
    table: Any, quantity: str, over: str | Sequence[str], *, law: PowerLaw | None = None, theory: Mapping[str, float] | None = None,
    ax: Axes | None = None, label: str = "", level: float = 0.95, method: Method = "t",
) -> Axes:
    """Draw a quantity against a variable on logarithmic axes, with the fitted law and theory's slope.

    A dot is the mean over seeds of log y at one point, the thin bar reaches from the smallest to the largest
    seed. The law is solid; theory's slope is black dashed through the centre of a line's points. Points
    that are left out because a seed did not get there are open triangles at the horizon.

    Parameters
    ----------
    table : mapping of str to array
        As for `fit_power_law`.
    quantity : str
        The column y, > 0.
    over : str or sequence of str
        The first is the variable of the horizontal axis; every other value of the other fitted variables has
        a line of its own, at most six evenly spaced ones being drawn.
    law : PowerLaw, optional
        Default the fit over `over`. If given, it also names the fitted variables.
    theory : mapping of str to float, optional
        Exponents to compare with; default those of the law.
    ax : Axes, optional
        Where to draw; default new axes.
    label : str
        Legend entry of the dots, in front of the values of the other variables; default says what dots and bars are.
    level, method
        Of the fit, where no law is given.

    Returns
    -------
    Axes
        Where no fit is possible the panel says why.

    Raises
    ------
    ValueError
        As `fit_power_law`, or if `over` is not a variable of the law.
    """
    asked = variables(table, over)
    axis = asked[0]
    if law is not None and not set(asked) <= {e.name for e in law.exponents}:
        raise ValueError(f"over={over!r} must name variables of the law: {', '.join(e.name for e in law.exponents)}")
    names = asked if law is None else tuple(e.name for e in law.exponents)
    if ax is None and len(names) > 1:
        ax = plotting.new_axes(4.6, 4.5, bottom=1.5)  # room for a legend entry a line
    with plotting.panel(ax, f"{quantity} against {axis}") as ax:
        law = fit_power_law(table, quantity, names, theory=theory, level=level, method=method) if law is None else law
        _draw(ax, arrange(table, quantity, names), law, axis, _expected(law, axis, theory), label)
    if ax.axison:
        if getattr(table, "docs", {}).get(quantity, "").startswith("first step"):
            ax.set_ylabel(f"{quantity} (steps)")
        ax.set_title(_title(law, axis, theory), loc="left", fontsize=plotting.TITLE, y=1.0, pad=14.0, linespacing=1.35)
    return ax


def scaling_figure(table: Any, quantity: str, law: PowerLaw, theory: Mapping[str, float] | None = None) -> Figure:
    """Draw a fitted law: a panel a variable, and below each the local slopes with their intervals.

    Parameters
    ----------
    table, quantity
        What the law was fitted to.
    law : PowerLaw
        As `fit_power_law` returned it.
    theory : mapping of str to float, optional
        Exponents to compare with; default those of the law.

    Returns
    -------
    Figure
        Two rows of panels, a column a variable.
    """
    count = len(law.exponents)
    figure = plotting.new_figure(max(0.95 * (count + 1) + 3.0 * count, 4.6), 6.6)
    above = plotting.grid(
        figure, 2, count, top=1.3, bottom=0.85, left=0.8, between=(1.15, 0.95), height_ratios=[2.2, 1.0],
    )
    for j, exponent in enumerate(law.exponents):
        plot_scaling(table, quantity, exponent.name, law=law, theory=theory, ax=above[j])
        above[j].set_xlabel("")
        if above[j].get_legend() is not None:
            plotting.legend(above[j], 2)  # again: without the axis label there is more room
        _draw_slopes(above[count + j], law, exponent.name, _expected(law, exponent.name, theory), like=above[j])
    product = " ".join(f"{e.name}^{e.value:.3f}" for e in law.exponents)
    out = [f"{_points(len(points))} {why}" for why, points in (("not reached", law.censored), ("failed", law.failed)) if points]
    left_out = f"; left out: {', '.join(out)}" if out else ""
    details = f"{_points(law.points)}; {law.source_of_intervals}; R^2 {law.r_squared:.4f}{left_out}"
    plotting.headline(figure, f"{quantity} ~ {product}", fill(details, int(13 * figure.get_figwidth())))
    return figure


def _points(count: int) -> str:
    return f"{count} point{'' if count == 1 else 's'}"


def _expected(law: PowerLaw, name: str, theory: Mapping[str, float] | None) -> float | None:
    """Return theory's exponent: as given here, or else as kept in the law."""
    return law[name].theory if theory is None or name not in theory else float(theory[name])


def _title(law: PowerLaw, name: str, theory: Mapping[str, float] | None) -> str:
    e, expected = law[name], _expected(law, name, theory)
    interval = "no interval: one seed" if math.isnan(e.low) else f"{100 * law.level:g} % [{e.low:.3f}, {e.high:.3f}]"
    return f"{law.quantity} ~ {name}^p: p = {e.value:.3f}, {interval}" + ("" if expected is None else f"\ntheory: p = {expected:.4g}")


def _draw(ax: Axes, design: Arrangement, law: PowerLaw, axis: str, expected: float | None, label: str) -> None:
    """Draw dots, law, theory and what was left out of one panel."""
    j = design.names.index(axis)
    combinations, line_of = np.unique(np.delete(design.x, j, axis=1), axis=0, return_inverse=True) if len(design.names) > 1 else (
        np.empty((1, 0)), np.zeros(len(design.x), dtype=int))
    line_of = line_of.reshape(-1)
    others = [name for name in design.names if name != axis]
    shown = plotting.some(len(combinations), LINES)
    seeds = design.log_y.shape[1]
    what = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    drawn_x, drawn_y = design.x[:, j].tolist(), []
    for colour, i in zip(PALETTE, shown, strict=False):
        rows = np.flatnonzero(line_of == i)
        x, log_y = design.x[rows, j], design.log_y[rows]
        middle = log_y.mean(axis=1)
        if seeds > 1:
            ax.vlines(x, np.exp(log_y.min(axis=1)), np.exp(log_y.max(axis=1)), color=colour, linewidth=0.8, zorder=2)
        at = dict(zip(others, combinations[i].tolist(), strict=True))
        name = f"{label}, {place(at)}" if label and at else label or place(at) or what
        plotting.line(ax, x, np.exp(middle), colour, name, linestyle="none", marker="o", markersize=4)
        ends = np.array([x.min(), x.max()]) if len(np.unique(x)) > 1 else np.array([x[0] / 1.2, x[0] * 1.2])
        plotting.line(ax, ends, law.predict({**at, axis: ends}), colour, "fitted law" if len(shown) == 1 else "", linewidth=1.2)
        drawn_y += [np.exp(log_y.min()), np.exp(log_y.max())]
        if expected is not None:
            centre_x, centre_y = np.log(x).mean(), middle.mean()
            y = np.exp(centre_y + expected * (np.log(ends) - centre_x))
            plotting.theory(ax, ends, y)
            drawn_y += y.tolist()
    if len(shown) > 1:
        plotting.line(ax, [], [], COLOURS["ink"], what, linestyle="none", marker="o", markersize=4)
        plotting.line(ax, [], [], COLOURS["ink"], "fitted law", linewidth=1.2)
    if expected is not None:
        plotting.theory(ax, [], [], f"theory: slope {expected:.4g}")
    if len(combinations) > len(shown):
        ax.plot([], [], linestyle="none", label=f"{len(shown)} of {len(combinations)} lines drawn")
    _draw_left_out(ax, design, axis, drawn_x, drawn_y)
    ax.set(xscale="log", yscale="log", xlabel=axis, ylabel=law.quantity)
    _ticks_at(ax, np.unique(np.array(drawn_x)))
    _y_range(ax, min(drawn_y), max(drawn_y))


def _draw_left_out(ax: Axes, design: Arrangement, axis: str, drawn_x: list[float], drawn_y: list[float]) -> None:
    """Draw censored points as open triangles at their horizon, or at the upper edge if it is not known; tell of failed ones."""
    colour = COLOURS["grey"]
    style: dict[str, Any] = {
        "linestyle": "none", "marker": "^", "markersize": 6, "markerfacecolor": "none", "markeredgecolor": colour, "zorder": 5,
    }
    name = f"not reached ({_points(len(design.censored))})"
    places = sorted({(point.x[axis], point.horizon) for point in design.censored})
    known = [(x, y) for x, y in places if math.isfinite(y) and y > 0]
    unknown = [x for x, y in places if not (math.isfinite(y) and y > 0)]
    drawn_x += [x for x, _ in places]
    if known:
        ax.plot(*zip(*known, strict=True), label=name, **style)
        drawn_y += [y for _, y in known]
    if unknown:
        ax.plot(unknown, [0.97] * len(unknown), transform=ax.get_xaxis_transform(), label="" if known else name, **style)
    if design.failed:
        ax.plot([], [], linestyle="none", label=f"failed ({_points(len(design.failed))}), not drawn")


def _draw_slopes(ax: Axes, law: PowerLaw, name: str, expected: float | None, *, like: Axes) -> None:
    """Draw slopes between neighbouring values, each at their geometric mean, with the fitted exponent and theory's.

    The horizontal axis is that of the axes `like`.
    """
    slopes = law.local[name]
    ax.set(xscale="log", xlabel=name, ylabel="local slope", xlim=like.get_xlim())
    ax.set_xticks(like.get_xticks(), [text.get_text() for text in like.get_xticklabels()])
    ax.set_xticks([], minor=True)
    if not slopes:
        plotting.note(ax, f"no two points differ in {name} alone")
        return
    low, high = np.array([[s.low_x, s.high_x] for s in slopes]).T
    value = np.array([s.value for s in slopes])
    middle, colour = np.sqrt(low * high), COLOURS["blue"]
    ax.hlines(value, low, high, color=colour, linewidth=0.8, zorder=2)
    error = np.abs(np.array([[s.low, s.high] for s in slopes]) - value[:, None])
    bounded = np.isfinite(error).all(axis=1)
    ax.errorbar(middle[bounded], value[bounded], error[bounded].T, color=colour, fmt="none", elinewidth=1.2, capsize=2.5, zorder=3)
    plotting.line(ax, middle, value, colour, "between neighbours", linestyle="none", marker="o", markersize=4)
    ends = np.array([low.min(), high.max()])
    plotting.line(ax, ends, np.full(2, law[name].value), COLOURS["sky"], "fitted", linewidth=1.2, zorder=1.5)
    reach = [value.min(), value.max(), law[name].value]
    if bounded.any():
        reach += [(value - error[:, 0])[bounded].min(), (value + error[:, 1])[bounded].max()]
    if expected is not None:
        plotting.theory(ax, ends, np.full(2, expected), "theory")
        reach.append(expected)
    room = max(0.15 * (max(reach) - min(reach)), 0.02)  # slopes equal to rounding are not blown up
    ax.set_ylim(min(reach) - room, max(reach) + room)
    plotting.legend(ax, 3)
    plotting.frame(ax)


def _ticks_at(ax: Axes, values: NDArray) -> None:
    """Put the ticks of the horizontal axis at the values of the variable, which are few, and leave room beside them."""
    edge = max((values[-1] / values[0]) ** 0.06, 1.05)
    ax.set_xlim(values[0] / edge, values[-1] * edge)
    at: list[float] = []
    gap = (math.log(values[-1] / values[0]) + 2 * math.log(edge)) / (TICKS + 1)
    for x in values:
        if not at or math.log(x / at[-1]) > gap:
            at.append(x)
    ax.set_xticks(at, [f"{x:.4g}" for x in at])
    ax.set_xticks([], minor=True)


def _y_range(ax: Axes, low: float, high: float) -> None:
    """Make the vertical axis as long as the data, with ticks at 1, 2 and 5 below two decades and at powers of ten above."""
    room = max((high / low) ** 0.08, 1.1)
    low, high = low / room, high * room
    if high / low < 4.0:  # a flat line should look flat
        middle = math.sqrt(low * high)
        low, high = 0.5 * middle, 2.0 * middle
    ax.set_ylim(low, high)
    if high / low < 100.0:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        at = [m * 10.0**e for e in decades for m in (1, 2, 5) if low <= m * 10.0**e <= high]
        if len(at) < 3:
            at = [m * 10.0**e for e in decades for m in (1, 1.5, 2, 3, 4, 5, 6, 8) if low <= m * 10.0**e <= high]
        ax.set_yticks(at, [f"{y:g}" for y in at])
        ax.set_yticks([], minor=True)
