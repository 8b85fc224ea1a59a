"""The limit of wide networks in a window with sliders: margins, head, scores and the end of Phase 1, for all n and L."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ... import plotting
from ...experiment import Experiment
from ...explore import Control, Explored, Scene, View
from ...explore.moving import axis_of, conditions, few_ticks, marks, rounded, view_of
from ...optimizers import GradientFlow
from ...plotting import COLOURS, line, stage_bands
from ...predicting import Condition
from ...recording import log_times
from ...simulate import simulate
from ...trajectory import Trajectory
from .data import Setting
from .figures.drawing import EARLIEST, KINDS, LIMIT, NARROW, PAIRS, TOKENS, WIDE, subscript
from .predictions import MARGIN, crossing, expected_rho, unit
from .predictions import conditions as conditions_of
from .reading import left
from .universal import UniversalFlow, limits

__all__ = ["EXPLORED", "Limit"]

TAUS = (100.0, 1e6)
"""Clocks between which a view may end."""
POINTS = 300
"""Clocks that are drawn."""
RULE = GradientFlow(rtol=1e-8, atol=1e-10)
"""Tolerances for the screen: a tenth of the time of those that claims use, and six digits."""
CLOCK = ("kind 1", "kinds 2, 3", "kind 4", "all: $T_1$")


@dataclass(frozen=True, eq=False)
class Limit:
    """What is drawn: the parameter-free flow, and what a setting makes of it.

    Attributes
    ----------
    run : Trajectory
        The flow at this n and L, over the clock tau.
    rho_0, unit : float
        Expected squared norm of the head at the start, by which tau is turned into time; unit U of the scores' displacements.
    conditions : tuple of Condition
    """

    run: Trajectory
    rho_0: float
    unit: float
    conditions: tuple[Condition, ...]


def _view(experiment: Experiment) -> View:
    """Return the view that starts from an experiment of gradient flow."""
    start: Setting = experiment.setting
    wrong = [] if experiment.flows else [f"optimizer={experiment.optimizer!r} must be gradient flow"]
    wrong += [f"{name}={getattr(start, name)!r} must be {needed!r}" for name, needed in (("init", "normal"), ("balanced", True),
              ("vocabulary", 0)) if getattr(start, name) != needed]
    if wrong:
        raise ValueError(f"the limit of wide networks: {', '.join(wrong)}; start from a preset such as theory or quick")
    tau = float(np.clip(experiment.until * expected_rho(start), *TAUS))
    controls = (
        Control("n", "training samples, $n$", 6, 6000, start.n, log=True, step=6),
        Control("L", "tokens of a sample, $L$", 3, 30, start.L, step=1),
        Control("m", "width of attention, $m$", 8, 8192, start.m, log=True, step=1),
        Control("m1", "neurons of the last layer, $m_1$", 1, 512, start.m1, log=True, step=1),
        Control("c0", "size of initial $W_V, W_K, W_Q$: $c_0$", 0.001, 1.0, start.c0, log=True),
        Control("c1", "size of initial $W$: $c_1$", 0.1, 10.0, start.c1, log=True),
    )

    def varied(values: Mapping[str, Any]) -> Experiment:
        changed = experiment.vary(values)
        return changed.reaching(experiment.until * (expected_rho(start) / expected_rho(changed.setting)))  # as far on the clock

    @lru_cache(maxsize=64)
    def flow(n: int, L: int) -> Trajectory:
        system: Any = UniversalFlow(float(n), L)
        return simulate(system, RULE, until=tau, at=log_times(tau, points=POINTS, decades=np.log10(tau / EARLIEST)))

    def computed(experiment: Experiment) -> Limit:
        s = experiment.setting
        return Limit(flow(s.n, s.L), expected_rho(s), unit(s), conditions_of(s))

    return View("The limit of wide networks and small initial weights", controls, varied, computed, lambda figure: _arrange(figure, tau))


def _arrange(figure: Any, tau: float) -> Scene:
    plotting.headline(figure, "Word co-occurrence in the limit of wide networks and small initial weights",
                      "Solid: the flow of four margins, which knows n and L alone; no network is simulated. Widths and sizes of weights "
                      "set the time, the scores and the conditions.")
    ax = plotting.grid(figure, 2, 3, left=0.75, right=1.1, top=0.85, bottom=1.6, between=(1.12, 0.85))
    titles = ("Margins of the four kinds of samples", "Head on the special tokens", "Loss of each kind and of all",
              r"$-G_3'$ against the larger of $G_1'$, $G_2'$", "How far scores have moved", "Margin 1/4 reached: clock / time")
    labels = ("margin $f_k$ (asinh scale)", r"$G(\mu)$", "loss", r"$-G_3' / \max(G_1', G_2')$", "score change  $2U\\Phi_{cb}$", "")
    for axes, title, label in zip(ax, titles, labels, strict=True):
        axes.set_title(title, loc="left", fontsize=plotting.TITLE, pad=12.0)
        axes.set(xlabel=r"clock $\tau$", ylabel=label, xscale="log", xlim=(EARLIEST, tau))
    parts = (_margins(ax[0], tau), _head(ax[1], tau), _losses(ax[2], tau), _ratio(ax[3], tau), _scores(ax[4], tau), _times(ax[5]))
    for axes in ax:
        plotting.frame(axes)
        few_ticks(axes)
        plotting.legend(axes)
    told = conditions(figure, 5)

    def update(found: Limit) -> list[Any]:
        return [artist for part in parts for artist in part(found)] + told(found.conditions)

    return Scene(update)


Part = Callable[[Limit], list[Any]]
"""A panel: what it draws for a state."""


def ends(run: Trajectory) -> list[float]:
    """Return the clocks at which the margins of kind 1, kinds 2 and 3, and kind 4, and all of them, are 1/4 for good."""
    margins = run["kind_margin"]
    return [crossing(run.at, y, MARGIN) for y in (margins[:, 0], margins[:, 1], margins[:, 3], run["min_margin"])]


def _phases(ax: Axes, tau: float) -> Callable[[Limit], list[Any]]:
    marked = marks(ax)

    def draw(found: Limit) -> list[Any]:
        end = ends(found.run)[-1]
        end = np.inf if np.isnan(end) else end
        bands = [("Phase 1", EARLIEST, end), ("Phase 2", end, np.inf)]
        return marked(lambda ax: stage_bands(ax, bands, since=EARLIEST, until=tau))

    return draw


def _lines(ax: Axes, styles: list[tuple[str, str, float]]) -> Callable[[Any, Any], list[Any]]:
    drawn = [line(ax, [], [], colour, label, linewidth=width) for colour, label, width in styles]

    def show(x: Any, values: Any) -> list[Any]:
        for artist, y in zip(drawn, values.T, strict=True):
            artist.set_data(x, y)
        return drawn

    return show


def _of_kinds() -> list[tuple[str, str, float]]:
    return [(colour, label, WIDE if i == 1 else NARROW if i == 2 else 1.6) for i, (colour, label) in enumerate(KINDS)]


def _margins(ax: Axes, tau: float) -> Part:
    phases, kinds = _phases(ax, tau), _lines(ax, _of_kinds())
    ticks = (-10, -3, -1, -0.3, 0, 0.3, 1, 3, 10, 30)
    ax.set_yscale("asinh", linear_width=0.5)  # what happens around 0 and 1/4 would not be seen on a linear axis
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.axhline(MARGIN, **LIMIT)

    def update(found: Limit) -> list[Any]:
        y = found.run["kind_margin"]
        low, high = view_of(y)
        ax.set_ylim(1.2 * min(low, -0.25), 1.2 * max(high, 0.5))
        return [*phases(found), *kinds(found.run.at, y), *axis_of(ax)]

    return update


def _head(ax: Axes, tau: float) -> Part:
    phases = _phases(ax, tau)
    tokens = _lines(ax, [(colour, f"$G_{i + 1}$, {label}", (WIDE, NARROW, 1.6)[i]) for i, colour, label in TOKENS])
    ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)

    def update(found: Limit) -> list[Any]:
        ax.set_ylim(view_of(found.run["G"]))
        return [*phases(found), *tokens(found.run.at, found.run["G"]), *axis_of(ax)]

    return update


def _losses(ax: Axes, tau: float) -> Part:
    kinds = _lines(ax, [*((colour, "", width) for colour, _, width in _of_kinds()), (COLOURS["ink"], "all; kinds as on the left", NARROW)])
    phases = _phases(ax, tau)

    def update(found: Limit) -> list[Any]:
        y = np.column_stack([found.run["kind_loss"], found.run["train_loss"]])
        ax.set_ylim(0.0, rounded(1.05 * float(y.max())))
        return [*phases(found), *kinds(found.run.at, y), *axis_of(ax)]

    return update


def _ratio(ax: Axes, tau: float) -> Part:
    phases, ratio = _phases(ax, tau), _lines(ax, [(COLOURS["blue"], "flow", 1.6)])
    late = ax.axhline(np.nan, color="black", linestyle=(0, (4, 2)), linewidth=1.1, zorder=4, label="late limit, without integrating")
    ax.set_ylim(0.0, 2.0)

    def update(found: Limit) -> list[Any]:
        limit = limits(float(found.run.constants["n"]), int(found.run.constants["L"]))["-G3'/G1'"]
        late.set_ydata([limit, limit])
        return [*phases(found), *ratio(found.run.at, left(found.run["G_rate"])[:, None]), late, *axis_of(ax, y=False)]

    return update


def _scores(ax: Axes, tau: float) -> Part:
    phases = _phases(ax, tau)
    names = {key_query: f"$C_{{{subscript(*key_query)}}}$" for key_query in ((key, query) for key, query, _ in PAIRS)}
    scores = _lines(ax, [(colour, names[key, query], NARROW if i % 2 else WIDE) for i, (key, query, colour) in enumerate(PAIRS)])
    ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)

    def update(found: Limit) -> list[Any]:
        y = 2.0 * found.unit * np.stack([found.run["Phi"][:, key, query] for key, query, _ in PAIRS], axis=1)
        ax.set_ylim(view_of(y))
        return [*phases(found), *scores(found.run.at, y), *axis_of(ax)]

    return update


def _times(ax: Axes) -> Part:
    places = np.arange(len(CLOCK))
    seen = ax.plot([], [], marker="o", markersize=5, color=COLOURS["blue"], linestyle="none", label="margin is 1/4 for good", zorder=4)[0]
    across = ax.get_yaxis_transform()
    words = [ax.text(1.03, y, "", transform=across, fontsize=plotting.TICK, va="center") for y in range(len(CLOCK))]
    ax.set_yticks(places, list(CLOCK))
    ax.set_ylim(len(CLOCK) - 0.5, -0.5)

    def update(found: Limit) -> list[Any]:
        steps = ends(found.run)
        seen.set_data(steps, places)
        for word, step in zip(words, steps, strict=True):
            word.set_text(f"> {found.run.at[-1]:.3g}" if np.isnan(step) else f"{step:.3g} / {step / found.rho_0:.3g}")
        return [seen, *words, *axis_of(ax, y=False)]

    return update


EXPLORED = {"limit": Explored("margins, head and scores in the limit of wide networks, and when Phase 1 ends", "theory", _view)}
"""What there is to explore, by name."""
