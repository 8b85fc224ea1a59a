"""Panels of the constructed examples: where the loss of one query leads every start, and what happens outside the hull."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....axes import drawn, log_values, step_axis
from ....claims import Inconclusive, Verdict
from ....plotting import COLOURS, LEVEL, line, panel_title, theory
from ....trajectory import Trajectory
from ..queries.constructions import CONSTRUCTIONS
from ..queries.examples import initial_queries, landscape, outputs_at, sphere
from ..queries.outcomes import LINES, outcomes
from ..reading import Reading
from ..settings import EXAMPLES
from .drawing import KERNEL_COLOURS, SMALLEST, curves, kernel_title, kernels, positive, reading, series, verdicts_on, without

ZERO, STUCK, AWAY, MOVING = "reached loss 0", "stuck in a minimum", "runs away", "not settled"
FATES = {ZERO: COLOURS["indigo"], STUCK: COLOURS["orange"], AWAY: COLOURS["purple"], MOVING: COLOURS["bound"]}
"""Outcomes of a start and their colours, none of which is a kernel's."""
FEW = 12
"""Starts of one outcome whose loss is drawn."""
STRIP = 0.09
"""Height of the strip of starts, as a share of the panel."""
BASIN_CLAIMS = {
    ("E3", "softmax"): ("basins_softmax", "runaway"), ("E3", "gaussian"): ("basins_gaussian", "gaussian_everywhere"),
    ("E5", "softmax"): ("basins_softmax", "strict_minimum"), ("E5", "gaussian"): ("basins_gaussian", "gaussian_everywhere"),
    ("E5", "row_gaussian"): ("basins_row_gaussian", "row_gaussian_everywhere"),
    ("E6", "softmax"): ("basins_softmax", "reverse_softmax"), ("E6", "gaussian"): ("basins_gaussian", "reverse_minimum"),
}
"""Claims that the landscape of an example under a kernel shows; else that on its basins."""
DESCENT_CLAIMS = {("E5", "softmax"): ("second_start",), ("E6", "gaussian"): ("reverse_second_start",)}
"""Claims that the losses of an example in one dimension show."""
SPACE_CLAIMS: dict[str, dict[str, tuple[str, ...]]] = {
    "E1": {"losses": ("equal_values_flat", "gaussian_solves")},
    "E2": {"losses": ("hull_floor", "gaussian_solves"), "slopes": ("hull_excess",), "queries": ("hull_query",)},
    "E4": {"losses": ("equal_values_flat", "gaussian_solves"), "slopes": ("contraction",), "queries": ("sphere",)},
}
"""Claims that the panels of an example in more dimensions show."""


def on_a_line(run: Trajectory) -> Reading:
    """Return the reading of a run of an example in one dimension."""
    return reading(run, about="examples with one-dimensional queries, " + ", ".join(LINES), where=lambda s: s.task in LINES)


def in_space(run: Trajectory) -> Reading:
    """Return the reading of a run of an example in more dimensions."""
    others = [task for task in EXAMPLES if task not in LINES]
    return reading(run, about="examples in more dimensions, " + ", ".join(others), where=lambda s: s.task in others)


# -- one dimension -----------------------------------------------------------------------------------------------------


def fates(r: Reading, kernel: str) -> NDArray:
    """Return what became of every start by the end of the record, (starts,) of the keys of `FATES`, as the claims decide it."""
    found = outcomes(r, kernel)
    return np.select([found.solved, found.running, found.elsewhere], [ZERO, AWAY, STUCK], MOVING)


def plot_basin(run: Trajectory, *, kernel: str = "softmax", ax: Axes | None = None, letter: str = "") -> Axes:
    """The loss of one kernel over the query, its zeros, minima and barriers, and below it what became of every start.

    Parameters
    ----------
    run : Trajectory
        Of an example in one dimension.
    kernel : str
        One of the run's.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    r = on_a_line(run)
    try:
        became = fates(r, kernel)
        share = f"{100.0 * np.mean(became == ZERO):.1f} % of {len(became)} starts reach loss 0"
    except Inconclusive as reason:
        became, share = None, str(reason)
    verdicts = verdicts_on(run, *BASIN_CLAIMS.get((r.setting.task, kernel), (f"basins_{kernel}",)))
    with plotting.panel(ax, kernel_title(letter, kernel, share), verdicts, legend_columns=2) as ax:
        _draw_landscape(ax, r, kernel)
        if became is not None:
            _draw_starts(ax, initial_queries(r.setting, int(run.provenance["seed"]))[:, 0], became)
    return ax


def _draw_landscape(ax: Axes, r: Reading, kernel: str) -> None:
    task, y = r.setting.task, r.setting.y
    known = landscape(task, kernel, y)
    points = np.concatenate([CONSTRUCTIONS[task].keys[:, 0], known.zeros, known.minima])
    room = 0.05 * (r.setting.high - r.setting.low) + 0.1
    low, high = min(r.setting.low, points.min()) - room, max(r.setting.high, points.max()) + room
    q = np.sort(np.concatenate([np.linspace(low, high, plotting.POINTS), known.zeros]))

    def loss(at: NDArray) -> NDArray:
        return 0.5 * (outputs_at(task, kernel, at[:, None]) - y) ** 2

    f, colour = loss(q), KERNEL_COLOURS[kernel]
    top, bottom = 3.0 * float(f.max()), 1e-4
    line(ax, q, np.maximum(f, bottom), colour, "loss $f(q)$")
    ax.set(xlim=(low, high), yscale="log")
    ax.set_ylim(bottom * (top / bottom) ** (-1.4 * STRIP / (1 - 1.4 * STRIP)), top)
    ax.axhline(bottom, color=COLOURS["grey"], linewidth=0.6, zorder=1)
    marks: tuple[tuple[str, str, NDArray, dict[str, Any]], ...] = (
        ("zero", "zeros", known.zeros, {"marker": "o", "markerfacecolor": "white"}),
        ("local minimum", "local minima", known.minima, {"marker": "v", "markerfacecolor": "black"}),
        ("barrier", "barriers", known.barriers, {"marker": "^", "markerfacecolor": "white"}),
    )
    for name, many, everywhere, style in marks:
        at = everywhere[(everywhere > low) & (everywhere < high)]
        if len(at):
            places = ", ".join(f"{x:.3g}" for x in at).replace("-", "\N{MINUS SIGN}")
            text = f"{name} at {places}" if len(at) <= 2 else f"{len(at)} {many}"
            shown = np.maximum(loss(at), bottom)
            ax.plot(at, shown, linestyle="none", markersize=5, markeredgecolor="black", markeredgewidth=0.9, zorder=5, label=text, **style)
    ax.set(xlabel="query $q$; strip: starts by outcome", ylabel="loss $f(q)$")


def _draw_starts(ax: Axes, q: NDArray, became: NDArray) -> None:
    """Draw a strip of the starts, each in the colour of its outcome, as wide as the room between two of them."""
    low, high = ax.get_xlim()
    room = ax.bbox.width * 72.0 / ax.figure.dpi * (np.ptp(q) / max(len(q) - 1, 1)) / (high - low)
    width = float(np.clip(1.3 * room, 0.4, 5.0))
    for name, colour in FATES.items():
        here = q[became == name]
        if len(here):
            across = ax.get_xaxis_transform()
            ax.vlines(here, 0.0, STRIP, color=colour, linewidth=width, transform=across, rasterized=True, snap=False, zorder=2)
            ax.plot([], [], color=colour, linewidth=5, label=f"{name} ({len(here)})")


def plot_descent(run: Trajectory, *, kernel: str = "softmax", ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss of one kernel against steps from a sample of starts, each in the colour of its outcome.

    Parameters
    ----------
    run, kernel, ax, letter
        As in `plot_basin`.
    """
    r = on_a_line(run)
    verdicts = verdicts_on(run, *DESCENT_CLAIMS.get((r.setting.task, kernel), ()))
    with plotting.panel(ax, kernel_title(letter, kernel, "loss of some of the starts"), verdicts) as ax:
        became = fates(r, kernel)
        t, loss = series(r, "train_loss", kernel)
        rows = drawn(t, log=True)
        for name, colour in FATES.items():
            of = np.flatnonzero(became == name)
            for i, start in enumerate(of[plotting.some(len(of), FEW)] if len(of) else ()):
                y = np.maximum(loss[rows, start], 0.01 * SMALLEST)
                line(ax, t[rows], y, colour, f"{name} ({len(of)})" if i == 0 else "", linewidth=0.8)
        log_values(ax, smallest=SMALLEST)
        step_axis(ax, r.run, "loss $f$", log=True)
    return ax


# -- more dimensions ---------------------------------------------------------------------------------------------------


def _verdicts(r: Reading, panel: str) -> tuple[Verdict, ...]:
    return verdicts_on(r.run, *SPACE_CLAIMS[r.setting.task].get(panel, ()))


def plot_losses(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss of every kernel from a sample of starts, and their median.

    Parameters
    ----------
    run : Trajectory
        Of an example in more dimensions.
    ax, letter
        As in `plot_basin`.
    """
    r = in_space(run)
    verdicts = _verdicts(r, "losses")
    with plotting.panel(ax, panel_title(letter, "Loss from every start"), verdicts, legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t, log=True)
            curves(ax, r, t[rows], np.maximum(loss[rows], 0.01 * SMALLEST), colour, title)
        floor = _hull_floor(r)
        if floor > 0 and set(r.kernels) - {"gaussian"}:
            ax.axhline(floor, label=f"rows that sum to 1 stay above {floor:.3g}", **LEVEL)
        log_values(ax, smallest=SMALLEST)
        step_axis(ax, r.run, "loss $f$", log=True)
    return ax


def _hull_floor(r: Reading) -> float:
    """Return the least loss of outputs that are averages of the values."""
    v, y = CONSTRUCTIONS[r.setting.task].values, r.setting.y
    return 0.5 * max(y - v.max(), v.min() - y, 0.0) ** 2


def plot_excess(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    r"""What the loss lacks to the least of all averages of the values: in E2 it falls as :math:`2 c^2 / ((2h)^2 \eta t)`.

    Parameters
    ----------
    run, ax, letter
        As in `plot_losses`.
    """
    r = in_space(run)
    title = "Towards the edge of the hull: a power of $t$" if _above_square(r) else "Slope of the loss"
    with plotting.panel(ax, panel_title(letter, title), _verdicts(r, "slopes"), legend_columns=1) as ax:
        if _above_square(r):
            _draw_excess(ax, r)
        else:
            _draw_gradients(ax, r)
    return ax


def _above_square(r: Reading) -> bool:
    return r.setting.task == "E2" and r.setting.y > CONSTRUCTIONS["E2"].values.max() and bool(set(r.kernels) - {"gaussian"})


def _square(r: Reading) -> float:
    """Return 2 h / c: the side of the square of E2's keys over the scale of its logits."""
    made = CONSTRUCTIONS["E2"]
    return float(np.ptp(made.keys[:, 0])) / made.c


def _draw_excess(ax: Axes, r: Reading) -> None:
    floor = _hull_floor(r)
    for kernel, title, colour in kernels(r):
        if kernel != "gaussian":
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t, log=True)
            curves(ax, r, t[rows], positive(loss[rows] - floor), colour, title)
    try:
        later, rate = t[rows][t[rows] > 0], 1.0 if r.lr is None else r.lr
        theory(ax, later, 2.0 / (_square(r) ** 2 * rate * later), r"on paper, $2 c^2 / ((2h)^2\, \eta\, t)$")
    except Inconclusive as reason:
        without(ax, "asymptote", reason)
    log_values(ax)
    step_axis(ax, r.run, f"loss $-$ {floor:.3g}", log=True)


def _draw_gradients(ax: Axes, r: Reading) -> None:
    for kernel, title, colour in kernels(r):
        t, norm = series(r, "grad_norm", kernel)
        rows = drawn(t, log=True)
        most = norm.max()
        if most <= 1e-14:
            text = f"{title}: 0 throughout" if most == 0 else f"{title}: at most {most:.0e} throughout, rounding"
            ax.plot([], [], color=colour, linewidth=1.6, label=text)
        else:
            curves(ax, r, t[rows], np.maximum(norm[rows], 0.01 * SMALLEST), colour, title)
    log_values(ax, smallest=SMALLEST)
    step_axis(ax, r.run, r"$\Vert\nabla f\Vert$", log=True)


def plot_query_norms(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """How far the queries are from the origin; in E4 the Gaussian's end on a sphere, in E2 those of softmax grow as a logarithm.

    Parameters
    ----------
    run, ax, letter
        As in `plot_losses`.
    """
    r = in_space(run)
    with plotting.panel(ax, panel_title(letter, "How far the queries go"), _verdicts(r, "queries"), legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, norm = series(r, "query_norm", kernel)
            rows = drawn(t, log=True)
            curves(ax, r, t[rows], norm[rows], colour, title)
        made, y = CONSTRUCTIONS[r.setting.task], r.setting.y
        if _above_square(r):
            growth = np.sqrt(2.0) / _square(r)
            last, later = float(np.median(_last_norms(r))), t[rows][t[rows] > 0]
            theory(ax, later, last + growth * np.log(later / t[-1]), r"on paper, slope $\sqrt{2}\, c / 2h$ in $\ln t$, through the end")
            ax.set_ylim(bottom=0.0)
        if r.setting.task == "E4" and "gaussian" in r.kernels and 0 < y < made.values.sum():
            radius = sphere(float(made.values.sum()), y, made.c)[0]
            theory(ax, t[rows], np.full(len(rows), radius), rf"Gaussian on paper, $\sqrt{{2c \ln(V/y)}}$ = {radius:.4g}")
        step_axis(ax, r.run, r"$\Vert q\Vert$", log=True)
    return ax


def _last_norms(r: Reading) -> NDArray:
    """Return the norms of the last recorded queries of the first kernel whose rows sum to 1, (starts,)."""
    kernel = next(name for name in r.kernels if name != "gaussian")
    return r.of("query_norm", kernel)[-1]
