"""What moves in a view: groups of lines, marks that are made anew, limits of axes.

A window must answer in a fraction of a second, so lines are kept and given new data, and fewer are drawn than in a figure for paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..plotting import BAND_END, COLOURS, SMALL, STAGE_NAME, THEORY, TINT, line, placed_stages, some
from ..predicting import Condition

__all__ = ["axis_of", "bands", "bundle", "conditions", "few_ticks", "marks", "rounded", "rows", "view_of"]

THIN = 10
"""Thin lines drawn of one group."""
POINTS = 160
"""Points drawn of one line: panels are about 300 dots wide."""


def bundle(ax: Axes, colour: str, label: str = "", *, width: float = 1.6) -> Callable[[NDArray, NDArray], list[Any]]:
    """Make a group of lines, a sample of them thin and their median thick, as `dynsim.plotting.bundle` draws it.

    Returns
    -------
    callable
        Takes times (T,) and values (T, K), K = 0 for none, shows them and returns the artists. T of about `POINTS` is enough: see `rows`.
    """
    tint = tuple(1.0 - TINT * (1.0 - c) for c in to_rgba(colour)[:3])
    thin = LineCollection([], colors=[tint], linewidths=0.5, zorder=2)
    ax.add_collection(thin, autolim=False)
    median = line(ax, [], [], colour, label, linewidth=width)

    def show(t: NDArray, lines: NDArray) -> list[Any]:
        count = lines.shape[1]
        drawn = np.sort(np.random.default_rng(0).permutation(count)[:THIN])
        thin.set_segments(list(np.stack(np.broadcast_arrays(t[:, None], lines[:, drawn]), axis=-1).swapaxes(0, 1)))
        median.set_data(t, np.median(lines, axis=1) if count else np.full(len(t), np.nan))
        return [thin, median]

    return show


def rows(count: int) -> NDArray:
    """Return which of `count` recorded times to draw, at most `POINTS`, first and last among them."""
    return some(count, POINTS)


def marks(ax: Axes) -> Callable[[Callable[[Axes], Any]], list[Any]]:
    """Return a function that calls another one, which draws on the axes, and returns what it drew; what it drew before is taken away.

    With it every function of `dynsim.plotting` can be used for what moves: stage bands, predicted steps, notes.
    """
    made: list[Any] = []

    def draw(with_: Callable[[Axes], Any]) -> list[Any]:
        for artist in made:
            artist.remove()
        before = set(ax.get_children())
        with_(ax)
        made[:] = sorted((artist for artist in ax.get_children() if artist not in before), key=lambda artist: artist.get_zorder())
        return list(made)

    return draw


def bands(ax: Axes, most: int = 4) -> Callable[..., list[Any]]:
    """Make stage bands with predicted steps that move: `stage_bands` and `predicted` of `dynsim.plotting` with artists that are kept.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    most : int
        Stages and predicted steps there can be.

    Returns
    -------
    callable
        Takes stages (name, first, end), predicted steps, ``until=`` and ``named=``, shows them and returns the artists.
    """
    across = ax.get_xaxis_transform()
    shades = PolyCollection([], facecolors=COLOURS["band"], linewidths=0, zorder=0, transform=across)
    ends = LineCollection([], colors=BAND_END, linewidths=0.6, zorder=0.5, transform=across)
    steps = LineCollection([], zorder=THEORY["zorder"], colors=THEORY["color"], linewidths=THEORY["linewidth"],
                           linestyles=THEORY["linestyle"], transform=across)
    for collection in (shades, ends, steps):
        ax.add_collection(collection, autolim=False)
    names = [ax.annotate("", (0, 1), (0, 1.5), xycoords=across, **STAGE_NAME) for _ in range(most)]

    def show(stages: Iterable[tuple[str, float, float]], predicted: Iterable[float], *, until: float, named: bool = True) -> list[Any]:
        placed = placed_stages(ax, stages, until=until)
        shades.set_verts([[(first, 0), (end, 0), (end, 1), (first, 1)] for _, first, end, _ in placed[::2]])
        ends.set_segments([[(end, 0), (end, 1)] for _, _, end, _ in placed if end < until])
        steps.set_segments([[(step, 0), (step, 1)] for step in predicted if step <= until])
        told = [(name, centre) for name, _, _, centre in placed if named and name]
        for text, (name, centre) in zip(names, [*told, *[("", 0.0)] * (most - len(told))], strict=True):
            text.set_text(name)
            text.xy = (centre, 1)
        return [shades, ends, *names[: len(told)], steps]

    return show


def conditions(figure: Any, lines: int) -> Callable[[Sequence[Condition]], list[Any]]:
    """Make room for the conditions of a theory at the foot of a figure, in two columns of so many lines.

    Returns
    -------
    callable
        Takes the conditions, writes them and returns what moves: whether they are met, and their numbers. Their words always stay the same.
    """
    height = figure.bbox.height / figure.dpi
    ax = figure.add_axes((0.012, 0.03 / height, 0.98, 0.135 * lines / height))
    ax.set_axis_off()
    style: dict[str, Any] = {"fontsize": SMALL, "va": "top", "linespacing": 1.35, "transform": ax.transAxes}
    columns = [(ax.text(x, 1.0, "", **style), ax.text(x + 0.09, 1.0, "", color=COLOURS["grey"], **style)) for x in (0.0, 0.5)]

    def show(found: Sequence[Condition]) -> list[Any]:
        for (verdicts, words), part in zip(columns, (found[:lines], found[lines:]), strict=True):
            verdicts.set_text("\n".join(f"{'met' if c.met else 'missed'}, {c.value:.3g}" for c in part))
            words.set_text("\n".join(c.text for c in part))
        return [verdicts for verdicts, _ in columns]

    return show


def view_of(*values: NDArray) -> tuple[float, float]:
    """Return round ends of an axis on which all values are seen that are finite; they change seldom while a slider moves.

    >>> view_of(np.array([-0.2, 1.3]))
    (-0.2, 2.0)
    """
    low, high = (float(pick(which(v) for v in values)) for pick, which in ((min, np.nanmin), (max, np.nanmax)))
    low, high = -rounded(-low), rounded(high)
    return (low, high) if low < high else (-1.0, 1.0)


def rounded(value: float) -> float:
    """Return the next round number above a value > 0, 0 for others."""
    if not 0 < value < np.inf:
        return 0.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(round_ for round_ in (1, 2, 3, 5, 10) if round_ * power >= value * (1 - 1e-12)))


def few_ticks(ax: Axes) -> None:
    """Give linear axes few ticks: ticks with their labels take longer to draw than all lines together."""
    for axis in (ax.xaxis, ax.yaxis):
        if isinstance(axis.get_major_locator(), MaxNLocator):
            axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))


def axis_of(ax: Axes, *, x: bool = False, y: bool = True) -> list[Any]:
    """Return what of the axes moves with its limits, and the spines, which bands would cover."""
    return [*([ax.xaxis] if x else []), *([ax.yaxis] if y else []), ax.spines["left"], ax.spines["bottom"]]
