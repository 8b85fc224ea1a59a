"""Figures of phase diagrams. Importing this imports Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from textwrap import fill, shorten
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .. import plotting
from ..plotting import COLOURS
from .diagram import PhaseDiagram, crossings

__all__ = ["phase_figure", "plot_phase"]

HALF = 0.5
"""Fraction of seeds at which the boundary is drawn."""
TICKS = 8
"""Values written along a side; where there are more, some."""
UNDECIDED = "#808080"
"""Colour of cells in which most seeds are inconclusive. A lighter grey looks like the middle of the map to many who see no red or green."""
SPAN = 30.0
"""Ratio of largest to smallest value from which on a positive number has a logarithmic colour scale."""
PANEL = (2.75, 2.1)
"""Width and height of a panel of a figure, in inches."""


def colours(name: str = "fractions") -> Colormap:
    """Return the colour map: one hue after the other from light to dark, told apart under the common colour vision deficiencies.

    Not down to the darkest blue, so that hatching and numbers can be seen on it.
    """
    return LinearSegmentedColormap.from_list(name, colormaps["YlGnBu"](np.linspace(0.0, 0.72, 64)))


def plot_phase(diagram: PhaseDiagram, *, ax: Axes | None = None) -> Axes:
    """Draw a phase diagram: a cell a point, logarithmic where values are geometric.

    The colour is the fraction of seeds within tolerance, or the mean of a number. Grey: inconclusive in more than half of the
    seeds. Hatched: not applicable in more than half of those that are decided. White: no seed, or no number. In a cell, if
    there is room: seeds within tolerance of those that have a margin, or the number, with a star if some seeds have none.
    The line is where half of the seeds are within tolerance; it is drawn where that lies between two known cells, not at
    the edge of the picture.

    Parameters
    ----------
    diagram : PhaseDiagram
        As `phase_diagram` returns it.
    ax : Axes, optional
        Where to draw, without a colour bar (see `phase_figure`); default new axes, with one.

    Returns
    -------
    Axes
        Those given, or the new ones.
    """
    alone = ax is None
    room = {"right": 1.1, "bottom": 1.25, "top": 0.8}
    with plotting.panel(plotting.new_axes(5.4, 4.6, **room) if ax is None else ax, "", legend_columns=1) as ax:
        cells = _draw(ax, diagram)
        ax.set(xlabel=diagram.x_label or diagram.x_name, ylabel=diagram.y_label or diagram.y_name)
        if alone or diagram.kind == "number":
            _bar(ax, cells, diagram)
    statement = _statement(diagram, ax.bbox.width / ax.figure.dpi)
    _title(ax, diagram, statement, statement.count("\n") + 1 if statement else 0)
    _whole_frame(ax)
    return ax


def phase_figure(diagrams: Mapping[str, PhaseDiagram] | Iterable[PhaseDiagram], title: str = "") -> Figure:
    """Draw phase diagrams over the same plane, a panel each, with one colour bar for the fractions and one legend.

    A panel that shows a number has a colour bar of its own beside it.

    Parameters
    ----------
    diagrams : mapping of str to PhaseDiagram, or iterable of PhaseDiagram
        At least one.
    title : str
        One or two sentences above all panels; default "", none.

    Returns
    -------
    Figure
        A panel a diagram, in their order.

    Raises
    ------
    ValueError
        If there is no diagram, or two are over different variables.
    """
    shown = list(diagrams.values()) if isinstance(diagrams, Mapping) else list(diagrams)
    if not shown:
        raise ValueError("diagrams=[]: give at least one phase diagram")
    planes = {(d.x_name, d.y_name): d.quantity for d in shown}
    if len(planes) > 1:
        told = "; ".join(f"{quantity} over {x} and {y}" for (x, y), quantity in planes.items())
        raise ValueError(f"panels share their axes, but diagrams are over different variables ({told}): draw a figure for each plane")
    columns = _columns(len(shown))
    rows = -(-len(shown) // columns)
    number, fraction = (any(d.kind == kind for d in shown) for kind in ("number", "verdict"))
    statements = [_statement(diagram, PANEL[0]) for diagram in shown]
    lines = max(statement.count("\n") + 1 if statement else 0 for statement in statements)
    across = 1.0 if number else 0.4
    left, right, bottom = 0.75, (1.0 if fraction else 0.2) + (0.6 if number else 0.0), 0.85
    width = left + right + columns * PANEL[0] + (columns - 1) * across
    heading = fill(title, int(11.5 * width))
    head = 0.35 + 9.2 * lines / 72.0  # above a panel: its name and its statement
    top = 0.15 + head + 0.18 * (heading.count("\n") + 1 if heading else 0)
    between = head + (0.55 if len(shown) % columns else 0.35)  # the name of the axis stands below the last panel of a column
    height = top + bottom + rows * PANEL[1] + (rows - 1) * between
    figure = plotting.new_figure(width, height)
    axes = plotting.grid(figure, rows, columns, left=left, right=right, top=top, bottom=bottom, between=(between, across))
    cells = None
    for k, (ax, diagram) in enumerate(zip(axes, shown, strict=False)):
        with plotting.panel(ax, "", legend_columns=0):
            drawn = _draw(ax, diagram)
            cells = drawn if diagram.kind == "verdict" else cells
            if k + columns >= len(shown):
                ax.set_xlabel(diagram.x_label or diagram.x_name)
            if k % columns == 0:
                ax.set_ylabel(diagram.y_label or diagram.y_name)
            if diagram.kind == "number":
                _bar(ax, drawn, diagram)
        _title(ax, diagram, statements[k], lines)
        _whole_frame(ax)
    for ax in axes[len(shown):]:
        ax.set_axis_off()
    if cells is not None:
        tall = min(2.6, 0.8 * (height - top - bottom))
        low = bottom + 0.5 * (height - top - bottom - tall)
        bar = figure.add_axes((1.0 - 0.82 / width, low / height, 0.14 / width, tall / height))
        _scale(figure.colorbar(cells, cax=bar), "fraction of seeds within tolerance")
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="lower center", bbox_to_anchor=(0.5, 0.1 / height), ncols=3,
            fontsize=plotting.SMALL, frameon=False, borderaxespad=0.0, borderpad=0.0, columnspacing=1.4, handlelength=1.8,
        )
    plotting.headline(figure, heading)
    return figure


def _columns(count: int) -> int:
    """Return the number of panels side by side, up to four, with few places left empty."""
    return count if count <= 3 else min((2, 3, 4), key=lambda c: (-count % c, abs(c - math.sqrt(1.5 * count))))


def _statement(diagram: PhaseDiagram, width: float) -> str:
    """What the quantity means, in at most three lines of so many inches."""
    doc = diagram.doc.removeprefix("verdict: ")
    across = int(19.0 * width)  # characters of the small size
    return fill(shorten(doc, 3 * across - 12, placeholder=" ..."), across)


def _title(ax: Axes, diagram: PhaseDiagram, statement: str, lines: int) -> None:
    """Write the name of the quantity over its statement, with room for so many lines: titles side by side stand level."""
    ax.set_title(diagram.quantity, loc="left", fontsize=plotting.TITLE, y=1.0, pad=6.0 + 9.2 * lines)
    ax.annotate(
        statement, (0, 1), (0, 3.0 + 9.2 * lines), xycoords="axes fraction", textcoords="offset points", fontsize=plotting.SMALL,
        color=COLOURS["grey"], va="top", annotation_clip=False, linespacing=1.2,
    )


def _draw(ax: Axes, diagram: PhaseDiagram) -> Any:
    """Draw cells, hatching, numbers and boundary; return what the colour bar is of."""
    x, y = _edges(diagram.x), _edges(diagram.y)
    undecided = diagram.mostly("inconclusive")
    norm = Normalize(0.0, 1.0) if diagram.kind == "verdict" else _norm(diagram.values)
    values = np.ma.masked_where(undecided | ~np.isfinite(diagram.values), diagram.values)
    cells = ax.pcolormesh(x, y, values, cmap=colours(), norm=norm, edgecolors="white", linewidth=0.4, zorder=1)
    for name, values_of in (("x", diagram.x), ("y", diagram.y)):
        if _geometric(values_of):
            ax.set(**{f"{name}scale": "log"})
        _ticks(getattr(ax, f"{name}axis"), values_of)
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    plain = {"facecolor": UNDECIDED, "edgecolor": "white", "linewidth": 0.4, "zorder": 1.2}
    _mark(ax, x, y, undecided, "inconclusive in most seeds", plain)
    lines = {"facecolor": "none", "edgecolor": (*to_rgb(COLOURS["ink"]), 0.6), "linewidth": 0.0, "hatch": "////", "zorder": 1.5}
    _mark(ax, x, y, diagram.mostly("not applicable") & ~undecided, "not applicable in most seeds (an assumption is unmet)", lines)
    _numbers(ax, diagram, cells, undecided)
    if diagram.kind == "verdict":
        _boundary(ax, diagram)
    return cells


def _geometric(values: NDArray) -> bool:
    """Tell whether values are more nearly in a constant ratio than at a constant distance."""
    if len(values) < 2 or values[0] <= 0:
        return False
    if len(values) == 2:
        return bool(values[1] >= 2 * values[0])
    uneven = [np.std(gaps) / np.mean(gaps) for gaps in (np.diff(np.log(values)), np.diff(values))]
    return bool(uneven[0] < uneven[1])


def _edges(values: NDArray) -> NDArray:
    """Return the edges of cells around values: midway between neighbours, geometrically where the values are geometric."""
    if len(values) == 1:
        half = 0.5 * abs(values[0]) or 0.5
        return np.array([values[0] - half, values[0] + half])
    v = np.log(values) if _geometric(values) else values
    middle = 0.5 * (v[1:] + v[:-1])
    edges = np.concatenate([[2 * v[0] - middle[0]], middle, [2 * v[-1] - middle[-1]]])
    return np.exp(edges) if _geometric(values) else edges


def _norm(values: NDArray) -> Normalize:
    """Return the colour scale of a number: logarithmic where it is positive and spans much."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Normalize(0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    if low > 0 and high > SPAN * low:
        return LogNorm(low, high)
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def _ticks(axis: Any, values: NDArray) -> None:
    """Write the values themselves at the middle of their cells."""
    at = values[plotting.some(len(values), TICKS)]
    axis.set_ticks(at, [f"{v:.3g}" for v in at])
    axis.set_ticks([], minor=True)


def _mark(ax: Axes, x: NDArray, y: NDArray, where: NDArray, label: str, style: Mapping[str, Any]) -> None:
    """Lay a rectangle over each chosen cell; the first one is the legend's."""
    for i, j in np.argwhere(where):
        ax.add_patch(Rectangle((x[j], y[i]), x[j + 1] - x[j], y[i + 1] - y[i], label=label, **style))
        label = ""


def _numbers(ax: Axes, diagram: PhaseDiagram, cells: Any, undecided: NDArray) -> None:
    """Write into each cell what it is made of, in one size, if the longest text has room."""
    if diagram.kind == "verdict":
        texts = [[f"{g}/{k}" if k else "" for g, k in zip(*row, strict=True)]
                 for row in zip(diagram.counts["good"].tolist(), diagram.counts["known"].tolist(), strict=True)]
    else:
        fewer = diagram.counts["known"] < diagram.counts["seeds"]
        texts = [["" if math.isnan(v) else f"{v:.3g}" + "*" * few for v, few in zip(*row, strict=True)]
                 for row in zip(diagram.values.tolist(), fewer.tolist(), strict=True)]
    size = plotting.SMALL - 1.0
    longest = max((len(text) for row in texts for text in row), default=0)
    points = 72.0 / ax.figure.dpi
    corners_x, corners_y = _edges(diagram.x), _edges(diagram.y)
    wide = np.diff(ax.transData.transform(np.column_stack([corners_x, np.full(len(corners_x), corners_y[0])]))[:, 0]).min() * points
    high = np.diff(ax.transData.transform(np.column_stack([np.full(len(corners_y), corners_x[0]), corners_y]))[:, 1]).min() * points
    if not longest or 0.62 * size * longest + 2.0 > wide or 1.2 * size > high:
        return
    for i, y in enumerate(diagram.y):
        for j, x in enumerate(diagram.x):
            if texts[i][j]:
                face = to_rgb(UNDECIDED) if undecided[i, j] else cells.cmap(cells.norm(diagram.values[i, j]))[:3]
                dark = float(np.dot(face, (0.299, 0.587, 0.114))) < 0.55
                text = ax.text(x, y, texts[i][j], fontsize=size, ha="center", va="center", color="white" if dark else "black", zorder=4)
                text.set_path_effects([withStroke(linewidth=1.6, foreground=face)])  # keeps the hatching out of the digits
    if any(text.endswith("*") for row in texts for text in row):
        ax.plot([], [], linestyle="none", label="* some seeds have no such number")


def _boundary(ax: Axes, diagram: PhaseDiagram) -> None:
    """Draw where half of the seeds are within tolerance, walking in from either side; what lies at the edge is no boundary."""
    label = "half of the seeds within tolerance"
    for descending in (False, True):
        x, between = crossings(diagram, HALF, descending)
        x = np.where(between, x, np.nan)
        if np.isfinite(x).any():
            line = ax.plot(
                x, diagram.y, color=COLOURS["vermillion"], linewidth=1.6, marker="o", markersize=2.6, zorder=3, label=label, clip_on=False
            )[0]
            line.set_path_effects([withStroke(linewidth=2.8, foreground="white")])
            label = ""


def _bar(ax: Axes, cells: Any, diagram: PhaseDiagram) -> None:
    """Put a colour bar beside the axes."""
    bar = ax.figure.colorbar(cells, cax=ax.inset_axes((1.03, 0.0, 0.045, 1.0)))
    if diagram.kind == "verdict":
        _scale(bar, "fraction of seeds within tolerance")
        return
    bar.ax.tick_params(labelsize=plotting.SMALL, length=2)
    bar.outline.set_visible(False)
    if not isinstance(cells.norm, LogNorm):
        bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _scale(bar: Any, label: str) -> None:
    """Give a colour bar of fractions its ticks and its name."""
    bar.set_ticks([0.0, 0.25, 0.5, 0.75, 1.0], labels=["0", "1/4", "1/2", "3/4", "1"])
    bar.ax.tick_params(labelsize=plotting.TICK, length=2)
    bar.set_label(label, fontsize=plotting.TICK)
    bar.outline.set_visible(False)


def _whole_frame(ax: Axes) -> None:
    """Give a plane its four spines back: cells reach all sides."""
    ax.spines[:].set_visible(True)
    ax.spines[:].set_linewidth(0.6)
