"""The shared visual language: simulation solid, theory black dashed, bounds grey, stages as labelled bands, verdicts in titles.

>>> t = np.arange(11.0)
>>> with panel(None, "a parabola, to 10 %") as ax:
...     handle = line(ax, t, 1.02 * t**2, COLOURS["blue"], "simulation")
...     handle = theory(ax, t, t**2, "theory")
...     handle = bound(ax, t, 0.9 * t**2, 1.1 * t**2, "bound")
...     predicted(ax, 8.0, "T", until=10.0)
>>> [text.get_text() for text in ax.get_legend().get_texts()]
['simulation', 'theory', 'bound', 'T 8']

Nothing here touches pyplot or the global rcParams: figures are plain objects, freed when the last reference goes.
Only this module, `axes`, the `figures` modules of the systems, of `scaling` and of `phase`, and the windows of `explore` import Matplotlib.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation, blended_transform_factory
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from .claims import Inconclusive, Verdict

__all__ = [
    "BAND_END", "COLOURS", "LEVEL", "STAGE_NAME", "THEORY", "bound", "bundle", "chosen", "fewer_colours", "frame", "grid", "headline",
    "legend", "line", "log_axis", "measured", "new_axes", "new_figure", "note", "panel", "panel_title", "placed_stages", "predicted",
    "save", "some", "stage_bands", "theory", "untitled",
]

COLOURS = {
    "blue": "#0072B2", "sky": "#56B4E9", "vermillion": "#D55E00", "orange": "#E69F00", "green": "#009E73", "purple": "#CC79A7",
    "indigo": "#332288", "wine": "#882255", "brown": "#664400", "ink": "#333333", "grey": "#666666", "band": "#EDF1F6", "bound": "#C8C8C8",
}
"""Palette: Okabe and Ito's colours, two of Tol's and a brown, which stay apart under the common colour vision deficiencies, and greys."""

VERDICT_COLOURS = {"holds": "#00664B", "violated": "#B03000", "not applicable": COLOURS["grey"], "inconclusive": COLOURS["grey"]}
"""The word is always written out; the colour only helps to find it."""

LEVEL: dict[str, Any] = {"color": COLOURS["grey"], "linewidth": 1.0, "linestyle": (0, (1, 1.5)), "zorder": 1.5}
"""Style of levels: floors, thresholds, chance, equality."""

HEAD, TITLE, LABEL, TICK, SMALL = 10.5, 9.0, 8.5, 7.5, 7.0
"""Font sizes in points."""
THIN = 40
"""Thin lines drawn of one group: more are a solid area."""
TINT = 0.3
"""Strength of the colour of thin lines."""
THEORY: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.1, "zorder": 4}
"""Style of what theory says."""
BAND_END = "#B9C2CC"
"""Colour of the line at the end of a stage."""
STAGE_NAME: dict[str, Any] = {
    "textcoords": "offset points", "fontsize": SMALL, "color": COLOURS["grey"], "ha": "center", "va": "bottom", "annotation_clip": False,
    "gid": "stage",
}
"""Style of the name of a stage."""
_VERDICT = "_verdict"
"""Label of the lines that say verdicts, by which `untitled` knows them."""
POINTS = 1000
"""Points drawn of one line: more are finer than the paper."""
THIN_POINTS = 300
"""Points drawn of a thin line."""


# -- figures and axes ---------------------------------------------------------------------------------------------


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; it needs no display and is freed with its last reference.

    Parameters
    ----------
    width, height : float
        Size in inches, > 0.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float = 4.6, height: float = 3.9, **room: Any) -> Axes:
    """Return the only axes of a new figure, with room for title and legend; ``axes.figure`` is the figure.

    Parameters
    ----------
    width, height : float
        Size of the figure in inches, > 0.
    **room
        Margins and options as `grid` takes them; `top` is 0.75 inches by default.
    """
    return grid(new_figure(width, height), 1, 1, **{"top": 0.75, **room})[0]


def grid(
    figure: Any, rows: int, columns: int, *, left: float = 0.75, right: float = 0.2, top: float = 1.2, bottom: float = 1.0,
    between: tuple[float, float] = (1.6, 0.95), **options: Any,
) -> list[Axes]:
    """Fill a figure or subfigure with axes, row by row, leaving room in inches for titles, labels and legends.

    Room in inches and not a layout engine: panels of one figure come out equally large, and a figure is drawn once.
    Where the figure is too small for that room, all of it shrinks in proportion.

    Parameters
    ----------
    figure : Figure or SubFigure
        Empty.
    rows, columns : int
        Axes down and across, >= 1.
    left, right, top, bottom : float
        Margins in inches.
    between : (float, float)
        Room between rows and between columns, in inches.
    **options
        Passed on to ``figure.subplots``.
    """
    width, height = figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi
    across, down = left + right + between[1] * (columns - 1), top + bottom + between[0] * (rows - 1)
    h, v = min(1.0, 0.7 * width / across) / width, min(1.0, 0.7 * height / down) / height
    cell_width, cell_height = (1.0 - across * h) / columns, (1.0 - down * v) / rows
    room = {
        "left": left * h, "right": 1.0 - right * h, "bottom": bottom * v, "top": 1.0 - top * v,
        "wspace": between[1] * h / cell_width, "hspace": between[0] * v / cell_height,
    }
    return list(figure.subplots(rows, columns, squeeze=False, gridspec_kw=room, **options).flat)


def headline(figure: Any, text: str, details: str = "") -> None:
    """Write what a figure shows, and below it, smaller, from which numbers, at the upper left.

    Parameters
    ----------
    figure : Figure or SubFigure
        Where to write.
    text : str
        What it shows, a line.
    details : str
        Numbers of the setting; default "", none.
    """
    for y, line_of, size, colour in ((0.1, text, HEAD, "black"), (0.32, details, SMALL + 0.5, COLOURS["grey"])):
        corner = figure.transSubfigure + ScaledTranslation(0.12, -y, figure.dpi_scale_trans)
        if line_of:
            figure.text(0.0, 1.0, line_of, transform=corner, fontsize=size, color=colour, ha="left", va="top", linespacing=1.3)


@contextmanager
def panel(ax: Axes | None, title: str, verdicts: Iterable[Verdict] = (), *, legend_columns: int = 2) -> Iterator[Axes]:
    """Draw one panel: title with verdicts, labels in house style, a legend below, and a note where something is not recorded.

    Parameters
    ----------
    ax : Axes or None
        Where to draw; None for new axes.
    title : str
        The statement the panel shows, short enough for its width.
    verdicts : iterable of Verdict
        Verdicts on the claims that the panel shows, one line each.
    legend_columns : int
        Columns of the legend; 0 for none.

    Yields
    ------
    Axes
        To be drawn on. If the drawing raises `Inconclusive` the panel is emptied and says why.

    Examples
    --------
    >>> from dynsim.claims import Inconclusive
    >>> with panel(None, "a parabola") as ax:
    ...     handle = line(ax, [0, 1, 2], [0, 1, 4], COLOURS["blue"], "simulation")
    ...     raise Inconclusive("train_loss not recorded")
    >>> [text.get_text() for text in ax.texts]
    ['train_loss not recorded']
    """
    ax = new_axes() if ax is None else ax
    try:
        yield ax
        if legend_columns:
            legend(ax, legend_columns)
    except Inconclusive as reason:
        ax.clear()
        note(ax, str(reason))
    frame(ax)
    _title(ax, title, tuple(verdicts))


def panel_title(letter: str, text: str) -> str:
    """Return a panel's title with its letter.

    Parameters
    ----------
    letter : str
        Letter of the panel in its figure; "" for a panel that stands alone.
    text : str
        The statement.

    Examples
    --------
    >>> panel_title("b", "noise grows"), panel_title("", "noise grows")
    ('(b) noise grows', 'noise grows')
    """
    return f"({letter}) {text}" if letter else text


def frame(ax: Axes) -> None:
    """Give axes the house style: no upper and right spine, small ticks, few of them.

    Parameters
    ----------
    ax : Axes
        With everything drawn; a linear y axis on which all is 0 is set to [-1, 1].
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=TICK, length=3)
    low, high = ax.get_ylim()
    if ax.get_yscale() == "linear" and abs(high - low) < 1e-14:
        ax.set_ylim(-1.0, 1.0)  # all zero: autoscaling would show rounding errors
    for axis, most in ((ax.xaxis, 6), (ax.yaxis, 8)):
        if type(axis.get_major_locator()) is AutoLocator:
            axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.label.set_fontsize(LABEL)
    ax.yaxis.label.set_fontsize(LABEL)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(TICK)


def _title(ax: Axes, text: str, verdicts: Sequence[Verdict]) -> None:
    """Write the statement as title and below it a line for every verdict; stage labels keep the lowest line."""
    lowest, height = 11.0, 9.5
    top = lowest + height * (max(2, len(verdicts)) if verdicts else 0)  # room for two, so that titles side by side stand level
    ax.set_title(text, loc="left", fontsize=TITLE, y=1.0, pad=top + 3.0)  # a given y spares matplotlib a search for room
    for i, verdict in enumerate(verdicts, start=1):
        ax.annotate(
            f"{verdict.id}: {verdict.verdict}", (0, 1), (0, top - height * i), xycoords="axes fraction", textcoords="offset points",
            fontsize=SMALL, color=VERDICT_COLOURS[verdict.verdict], va="bottom", annotation_clip=False, label=_VERDICT,
        )


def untitled(ax: Axes) -> Axes:
    """Take title and verdicts off a panel: for a paper, whose caption says what is shown.

    Parameters
    ----------
    ax : Axes
        A panel drawn by any ``plot_...`` function of a system.

    Returns
    -------
    Axes
        The same.

    Examples
    --------
    >>> with panel(None, "a parabola") as ax:
    ...     handle = line(ax, [0, 1, 2], [0, 1, 4], COLOURS["blue"], "simulation")
    >>> untitled(ax).get_title(loc="left")
    ''
    """
    ax.set_title("", loc="left")
    for text in [text for text in ax.texts if text.get_label() == _VERDICT]:
        text.remove()
    return ax


def legend(ax: Axes, columns: int = 2) -> None:
    """Put the legend below the axes, where it covers no data.

    Parameters
    ----------
    ax : Axes
        With labelled artists; without any there is no legend.
    columns : int, default 2
        Columns of the legend, >= 1.
    """
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        below = ScaledTranslation(0.0, -(33.0 if ax.get_xlabel() else 17.0) / 72.0, ax.figure.dpi_scale_trans)  # tick labels and axis label
        ax.legend(
            handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=ax.transAxes + below, ncols=columns,
            fontsize=SMALL, frameon=False, borderaxespad=0.0, borderpad=0.0, columnspacing=1.0, handlelength=1.6, labelspacing=0.3,
        )


def log_axis(ax: Axes, which: str = "y", *, decades: int = 1) -> None:
    """Make the x or y axis logarithmic, wide enough for its ticks to be powers of ten.

    Parameters
    ----------
    ax : Axes
        With everything drawn, all of it > 0 along the axis.
    which : {"x", "y"}
        The axis; default "y".
    decades : int, default 1
        Where the view spans fewer, it is widened to whole powers of ten.
    """
    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_minor_formatter(NullFormatter())
    low, high = axis.get_view_interval()
    if high < low * 10.0**decades:
        ax.set(**{f"{which}lim": (10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))})


def note(ax: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty.

    Parameters
    ----------
    ax : Axes
        Its frame is taken away.
    text : str
        The reason; lines are broken.
    """
    ax.text(0.5, 0.5, fill(text, 36), transform=ax.transAxes, ha="center", va="center", fontsize=LABEL, color=COLOURS["grey"])
    ax.set_axis_off()


# -- what is drawn ------------------------------------------------------------------------------------------------


def some(total: int, most: int) -> NDArray:
    """Return some of the row numbers, evenly spaced, first and last among them.

    Parameters
    ----------
    total, most : int
        How many rows there are, and how many to return at most; `most` >= 2 where there are more rows than that.

    Returns
    -------
    ndarray of int
        Ascending, in [0, total).

    Examples
    --------
    >>> some(10, 4).tolist(), some(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.arange(total) if total <= most else np.unique(np.linspace(0, total - 1, most).round().astype(int))


def line(ax: Axes, t: ArrayLike, y: ArrayLike, colour: str, label: str = "", **style: Any) -> Any:
    """Draw a simulated quantity: solid; a dot where there is one point only.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    t, y : array, shape (T,)
        Steps or times, and the quantity there.
    colour : str
        One of `COLOURS`.
    label : str
        Legend entry; default "", none.
    **style
        Passed on to ``ax.plot``.
    """
    if np.size(t) == 1:
        style = {"marker": "o", "markersize": 4, **style}
    return ax.plot(t, y, color=colour, label=label or None, **{"linewidth": 1.6, "zorder": 3, **style})[0]


def bundle(
    ax: Axes, t: ArrayLike, lines: NDArray, colour: str, label: str = "", *, median: bool = True, width: float = 1.6
) -> LineCollection:
    """Draw a group of simulated quantities: a sample of thin lines, and the median of all of them thick.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    t : array, shape (T,)
        Steps or times.
    lines : ndarray, shape (T, K)
        K = 0 draws nothing but keeps the legend entry, marked "none".
    colour : str
        One of `COLOURS`; thin lines have a tint of it.
    label : str
        Legend entry; the number of lines is added. Default "", none.
    median : bool, default True
        Draw the median.
    width : float
        Width of the median, in points.

    Notes
    -----
    The sample is a fixed random one: evenly spaced pairs would all be of the same few samples. Thin lines
    are rasterised in vector formats.
    """
    lines = np.asarray(lines)
    count = lines.shape[1]
    drawn = np.sort(np.random.default_rng(0).permutation(count)[:THIN])
    points = some(len(lines), THIN_POINTS)
    segments = np.stack(np.broadcast_arrays(np.asarray(t, dtype=float)[points, None], lines[np.ix_(points, drawn)]), axis=-1).swapaxes(0, 1)
    # opaque tints of the colour rather than transparency: overlapping lines then do not add up to a dark area
    tint = tuple(1.0 - TINT * (1.0 - c) for c in to_rgba(colour)[:3])
    thin = LineCollection(list(segments), colors=[tint], linewidths=0.5, zorder=2, rasterized=True)
    ax.add_collection(thin)
    ax.autoscale_view()
    text = f"{label} ({count})" if count else f"{label} (none)"
    if median and count:
        line(ax, t, np.median(lines, axis=1), colour, text if label else "", linewidth=width)
    elif label:
        ax.plot([], [], color=colour, linewidth=width, label=text)
    return thin


def theory(ax: Axes, t: ArrayLike, y: ArrayLike, label: str = "", **style: Any) -> Any:
    """Draw a predicted curve: black dashed.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    t, y : array, shape (T,)
        Steps or times, and the prediction there.
    label : str
        Legend entry; default "", none.
    **style
        Passed on to ``ax.plot``.
    """
    return ax.plot(t, y, label=label or None, **{**THEORY, **style})[0]


def bound(ax: Axes, t: ArrayLike, low: ArrayLike, high: ArrayLike, label: str = "") -> Any:
    """Shade the region between two bounds grey.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    t : array, shape (T,)
        Steps or times.
    low, high : float or array, shape (T,)
        The bounds there.
    label : str
        Legend entry; default "", none.
    """
    return ax.fill_between(np.asarray(t), low, high, color=COLOURS["bound"], linewidth=0, zorder=1, label=label or None)


def predicted(ax: Axes, step: float, label: str, *, until: float) -> None:
    """Mark a predicted step by a black dashed vertical line; one past the view is told in the legend only.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    step : float
        Step or time; infinite for never, NaN draws nothing.
    label : str
        Legend entry, to which the step is added.
    until : float
        End of the view.

    Examples
    --------
    >>> ax = new_axes()
    >>> predicted(ax, 138.0, "T_key", until=100.0)
    >>> predicted(ax, np.inf, "T_query", until=100.0)
    >>> ax.get_legend_handles_labels()[1]
    ['T_key 138 (past view)', 'T_query never (past view)']
    """
    _mark(ax, step, label, until, THEORY)


def measured(ax: Axes, step: float, label: str, *, until: float) -> None:
    """Mark a measured step by a thin solid vertical line; one past the view is told in the legend only.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    step : float
        Step or time; infinite for never, NaN draws nothing.
    label : str
        Legend entry, to which the step is added.
    until : float
        End of the view.
    """
    _mark(ax, step, label, until, {"color": COLOURS["ink"], "linestyle": "solid", "linewidth": 0.9, "zorder": 2.5})


def chosen(ax: Axes, step: float, label: str, *, until: float) -> None:
    """Mark a step that was chosen, neither predicted nor measured, by a thin grey dotted line.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    step : float
        Step or time; infinite for never, NaN draws nothing.
    label : str
        Legend entry, to which the step is added.
    until : float
        End of the view.
    """
    _mark(ax, step, label, until, {"color": COLOURS["grey"], "linestyle": (0, (1, 2)), "linewidth": 1.0, "zorder": 2.5})


def _mark(ax: Axes, step: float, label: str, until: float, style: dict[str, Any]) -> None:
    if np.isnan(step):
        return
    text = f"{label} {step:.0f}" if np.isfinite(step) else f"{label} never"
    if step <= until:
        ax.axvline(step, label=text, **style)
    else:
        ax.plot([], [], label=f"{text} (past view)", **style)


def stage_bands(ax: Axes, stages: Iterable[tuple[str, float, float]], *, until: float, since: float = 0.0, label: bool = True) -> None:
    """Mark stages as alternating bands, named above their middle as it is seen, on a logarithmic axis too.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    stages : iterable of (name, first, end)
        Steps first <= t < end; empty stages have no band.
    until, since : float
        End and beginning of the view; bands are cut to it. The view begins at 0 by default, which a logarithmic axis cannot.
    label : bool, default True
        Write the names; one that would run into its neighbour is left out.

    Examples
    --------
    >>> ax = new_axes()
    >>> stage_bands(ax, [("I", 0, 40), ("II", 40, 40), ("III", 40, 200)], until=100.0)
    >>> [text.get_text() for text in ax.texts]
    ['I', 'III']
    """
    across = blended_transform_factory(ax.transData, ax.transAxes)
    for i, (name, first, end, centre) in enumerate(placed_stages(ax, stages, until=until, since=since)):
        ax.axvspan(first, end, color=COLOURS["band"] if i % 2 == 0 else "white", linewidth=0, zorder=0)
        if end < until:
            ax.axvline(end, color=BAND_END, linewidth=0.6, zorder=0.5)
        if label and name:
            ax.annotate(name, (centre, 1), (0, 1.5), xycoords=across, **STAGE_NAME)


def placed_stages(
    ax: Axes, stages: Iterable[tuple[str, float, float]], *, until: float, since: float = 0.0
) -> list[tuple[str, float, float, float]]:
    """Return name, first and last step and middle of each stage that is seen, cut to the view.

    Parameters
    ----------
    ax, stages, until, since
        As for `stage_bands`.

    Returns
    -------
    list of (name, first, end, centre)
        A name that would run into its neighbour is left out: it is empty.
    """
    width, free, log, found = ax.bbox.width * 72.0 / ax.figure.dpi, -np.inf, ax.get_xscale() == "log", []
    seen = [(name, max(first, since), min(end, until)) for name, first, end in stages if min(end, until) > max(first, since)]
    for name, first, end in seen:
        centre = np.sqrt(first * end) if log else 0.5 * (first + end)
        share = np.log(centre / since) / np.log(until / since) if log else (centre - since) / (until - since)
        middle, half = width * share, 0.17 * SMALL * len(name)  # in points
        fits = middle - half > free
        free = middle + half + 2.5 if fits else free  # closer than that, I and II read as III
        found.append((name if fits else "", first, end, centre))
    return found


# -- files --------------------------------------------------------------------------------------------------------


def save(figure: Figure, path: str | os.PathLike, *, kind: str = "", dpi: float = 120) -> None:
    """Write a figure to a file; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
        What to write; for axes, ``axes.figure``.
    path : path
        Its folder must exist.
    kind : str
        "png", "svg" or another format that matplotlib writes; default the suffix of `path`.
    dpi : float
        Resolution of PNG; the rasterised thin lines of vector formats have three quarters of it.
    """
    kind = kind or Path(path).suffix.lstrip(".")
    undated = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
    metadata: dict[str, Any] = undated.get(kind, {})
    with rc_context({"svg.hashsalt": "dynsim"}):  # the ids inside an SVG are random otherwise
        figure.savefig(path, format=kind, dpi=dpi if kind == "png" else 0.75 * dpi, metadata=metadata)


def fewer_colours(path: str | os.PathLike) -> None:
    """Reduce a PNG file to 256 colours: it looks the same and takes a fifth of the space. For pages and repositories.

    Parameters
    ----------
    path : path
        Of the file, which is written over.
    """
    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)  # the only method that keeps the palette's colours
    reduced.save(path, format="png", optimize=True)
