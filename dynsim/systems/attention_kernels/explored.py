"""One query in a window with sliders: the loss over the query under both kernels, and where gradient descent goes from a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ... import plotting
from ...experiment import Experiment
from ...explore import Control, Explored, Scene, View
from ...explore.moving import axis_of, few_ticks, marks, rounded
from ...optimizers import GradientDescent
from ...plotting import COLOURS, LEVEL, line
from ...trajectory import Trajectory
from .figures.drawing import KERNEL_COLOURS
from .figures.examples import AWAY, FATES, STUCK, ZERO
from .kernels import KERNELS
from .queries.constructions import CONSTRUCTIONS
from .queries.examples import Landscape, landscape, outputs_at
from .queries.outcomes import LINES
from .settings import Example

__all__ = ["EXPLORED", "Descent"]

SHOWN = ("softmax", "gaussian")
SMALLEST = 1e-16
"""Losses below are drawn there: they are 0 up to rounding."""
FLOOR = 1e-5
"""The same over the query, where minima and barriers are to be seen and not how near a descent comes to 0."""
GRID = 600
"""Queries at which a curve is drawn."""
MOST_STEPS = 2000
"""Longest descent that the slider offers."""


@dataclass(frozen=True, eq=False)
class Descent:
    """What is drawn: where the loss is stationary under each kernel, and the run from one start.

    Attributes
    ----------
    run : Trajectory
    landscapes : dict of str to Landscape
        By kernel.
    """

    run: Trajectory
    landscapes: Mapping[str, Landscape]


def _view(experiment: Experiment) -> View:
    """Return the view that starts from an experiment of gradient descent on an example in one dimension."""
    start, rule = experiment.setting, experiment.optimizer
    if not isinstance(start, Example) or start.task not in LINES:
        raise ValueError(f"task={start.task!r} is no example with one query in one dimension: start from one of the presets runaway, stuck "
                         f"and reverse, which are {', '.join(LINES)}")
    if not isinstance(rule, GradientDescent) or rule.momentum or not isinstance(rule.lr, float):
        raise ValueError(f"basins are those of gradient descent without momentum at one rate, not of {rule!r}")
    task, made, lr = start.task, CONSTRUCTIONS[start.task], rule.lr
    reach = float(max(abs(start.low), abs(start.high), abs(made.low), abs(made.high)))
    controls = (
        Control("q", "query at the start, $q$", -reach, reach, start.low if start.starts == 1 else 0.0),
        Control("y", "target, $y$", -0.5, 1.5, start.y),
        Control("lr", r"learning rate, $\eta$", lr / 20, lr * 20, lr, log=True),
        Control("steps", "steps", 10, MOST_STEPS, experiment.steps if experiment.steps <= MOST_STEPS else 300, log=True, step=1),
    )

    def varied(values: Mapping[str, Any]) -> Experiment:
        changed = experiment.vary({name: values[name] for name in ("y", "lr", "steps")})
        setting = changed.setting.replace(starts=1, low=values["q"], high=values["q"], kernel="+".join(SHOWN))
        return changed.replace(setting=setting)

    known = lru_cache(maxsize=256)(lambda kernel, y: landscape(task, kernel, y))

    def computed(experiment: Experiment) -> Descent:
        run = experiment.replace(record=("train_loss", "query"), every=max(1, experiment.steps // 300), closely=20).run()  # for the screen
        return Descent(run, {kernel: known(kernel, experiment.setting.y) for kernel in SHOWN})

    return View(f"Example {task}: one query under two kernels", controls, varied, computed, lambda figure: _arrange(figure, task, reach))


def _arrange(figure: Any, task: str, reach: float) -> Scene:
    made = CONSTRUCTIONS[task]
    keys = ", ".join(f"{k:g}" for k in made.keys[:, 0]).replace("-", "\N{MINUS SIGN}")
    values = ", ".join(f"{v:g}" for v in made.values)
    plotting.headline(figure, f"Example {task}: one query, fixed keys and values, one target, under softmax and under the Gaussian kernel",
                      f"keys {keys}; values {values}. Shaded: what gradient flow from there comes to. Zeros, minima and barriers are "
                      "roots, found without descent.")
    ax = plotting.grid(figure, 2, 2, left=0.8, right=0.3, top=0.85, bottom=1.0, between=(1.25, 0.95))
    parts = (*(_landscape(ax[i], kernel, task, reach) for i, kernel in enumerate(SHOWN)), _outputs(ax[2], task, reach), _losses(ax[3]))
    for axes in ax:
        plotting.frame(axes)
        few_ticks(axes)
        plotting.legend(axes, 5)

    def update(found: Descent) -> list[Any]:
        return [artist for part in parts for artist in part(found)]

    return Scene(update)


Part = Callable[[Descent], list[Any]]
"""A panel: what it draws for a state."""


def _of(run: Trajectory, name: str, kernel: str) -> NDArray:
    """Return a recorded quantity of one kernel and the only start, (T,)."""
    return run[name][:, SHOWN.index(kernel)].reshape(len(run.at))


def _loss(task: str, kernel: str, y: float, q: NDArray) -> NDArray:
    return 0.5 * (outputs_at(task, kernel, q[:, None]) - y) ** 2


def _landscape(ax: Axes, kernel: str, task: str, reach: float) -> Part:
    low, high = -reach - 0.5, reach + 0.5
    grid = np.linspace(low, high, GRID)
    ax.set_title(f"{KERNELS[kernel].title}: loss over the query", loc="left", fontsize=plotting.TITLE)
    word = ax.text(1.0, 1.02, "", transform=ax.transAxes, ha="right", va="bottom", fontsize=plotting.LABEL)
    loss = line(ax, [], [], KERNEL_COLOURS[kernel], "loss $f(q)$")
    path = ax.plot([], [], marker=".", markersize=3.5, color="black", linewidth=0.6, zorder=4.5, label="descent")[0]
    end = ax.plot([], [], marker="*", markersize=11, color="black", linestyle="none", zorder=4.8, label="its end")[0]
    style: dict[str, Any] = {"linestyle": "none", "markersize": 6, "markeredgecolor": "black", "markeredgewidth": 0.9, "zorder": 5}
    zeros, minima, barriers = (
        ax.plot([], [], marker=marker, markerfacecolor=colour, label=label, **style)[0]
        for marker, colour, label in (("o", "white", "zero"), ("v", COLOURS["orange"], "local minimum"), ("^", "white", "barrier"))
    )
    for fate in (ZERO, STUCK, AWAY):
        ax.fill_between([], [], [], color=FATES[fate], alpha=0.18, linewidth=0, label={ZERO: "to loss 0"}.get(fate, fate))
    ax.set(xlim=(low, high), yscale="log", ylim=(0.3 * FLOOR, 10.0), xlabel="query $q$", ylabel="loss $f(q)$")
    marked = marks(ax)

    def update(found: Descent) -> list[Any]:
        known, q, f = found.landscapes[kernel], _of(found.run, "query", kernel), _of(found.run, "train_loss", kernel)
        points = np.sort(np.concatenate([grid, known.zeros]))
        loss.set_data(points, np.maximum(_loss(task, kernel, known.y, points), FLOOR))
        for artist, at in ((zeros, known.zeros), (minima, known.minima), (barriers, known.barriers)):
            artist.set_data(at, np.maximum(_loss(task, kernel, known.y, at), FLOOR))
        path.set_data(q, np.maximum(f, FLOOR))
        end.set_data(q[-1:], np.maximum(f[-1:], FLOOR))
        word.set_text(f"from {q[0]:.3g} to {q[-1]:.3g}, loss {f[-1]:.2g}".replace("-", "\N{MINUS SIGN}"))
        shade = marked(lambda ax: _shade(ax, known, low, high))
        return [*shade, loss, path, zeros, minima, barriers, end, word, *axis_of(ax, y=False)]

    return update


def _shade(ax: Axes, known: Landscape, low: float, high: float) -> None:
    """Shade each basin by what gradient flow in it comes to."""
    edges = [low, *known.barriers[(known.barriers > low) & (known.barriers < high)], high]
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        inside = ((known.minima > left) & (known.minima < right)).any()
        solved = bool(known.reaches_zero(np.array([0.5 * (left + right)]))[0])
        ax.axvspan(left, right, color=FATES[ZERO if solved else STUCK if inside else AWAY], alpha=0.18, linewidth=0, zorder=0)


def _outputs(ax: Axes, task: str, reach: float) -> Part:
    low, high = -reach - 0.5, reach + 0.5
    grid = np.linspace(low, high, GRID)
    ends = []
    for kernel in SHOWN:
        line(ax, grid, outputs_at(task, kernel, grid[:, None]), KERNEL_COLOURS[kernel], KERNELS[kernel].title)
        ends.append(ax.plot([], [], marker="*", markersize=11, color=KERNEL_COLOURS[kernel], markeredgecolor="black", linestyle="none",
                            zorder=6)[0])
    target = ax.axhline(np.nan, label="target $y$", **LEVEL)
    start = ax.axvline(np.nan, color=COLOURS["ink"], linewidth=0.9, zorder=2.5, label="start")
    ax.set_title("Output over the query; stars: where the descents end", loc="left", fontsize=plotting.TITLE)
    bottom, top = ax.get_ylim()
    ax.set(xlim=(low, high), ylim=(min(bottom, -0.55), max(top, 1.55)), xlabel="query $q$", ylabel="output $o(q)$")

    def update(found: Descent) -> list[Any]:
        for artist, kernel in zip(ends, SHOWN, strict=True):
            q = _of(found.run, "query", kernel)
            artist.set_data(q[-1:], outputs_at(task, kernel, q[-1:, None]))
        y, q_0 = found.landscapes["softmax"].y, float(q[0])
        target.set_ydata([y, y])
        start.set_xdata([q_0, q_0])
        return [target, start, *ends]

    return update


def _losses(ax: Axes) -> Part:
    drawn = {kernel: line(ax, [], [], KERNEL_COLOURS[kernel], KERNELS[kernel].title) for kernel in SHOWN}
    ax.set_title("Loss of the two descents", loc="left", fontsize=plotting.TITLE)
    ax.set(yscale="log", ylim=(0.1 * SMALLEST, 10.0), xlabel="step $t$", ylabel="loss $f$")

    def update(found: Descent) -> list[Any]:
        for kernel, artist in drawn.items():
            artist.set_data(found.run.at, np.maximum(_of(found.run, "train_loss", kernel), SMALLEST))
        ax.set_xlim(0.0, rounded(float(found.run.at[-1])))
        return [*drawn.values(), *axis_of(ax, x=True, y=False)]

    return update


EXPLORED = {"basin": Explored("where gradient descent goes from a start, and the basins of both kernels", "stuck", _view)}
"""What there is to explore, by name."""
