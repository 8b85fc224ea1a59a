"""Panels of learning to classify, of a transformer or a linear head: losses, accuracy, gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....axes import log_values, step_axis
from ....claims import Inconclusive
from ....plotting import LEVEL, panel_title
from ....trajectory import Trajectory
from ..head.setting import Head
from ..transformer.setting import Transformer
from .drawing import draw, look_of_run, recorded, setting_of, verdicts_on

SMALLEST = 1e-20
"""Losses and gradients below this leave the view: they are 0 up to rounding."""


def of_learning(run: Trajectory) -> Any:
    """Return the setting of a run that learns to classify."""
    return setting_of(run, Transformer, Head, about="the transformer and the linear head")


def plot_losses(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Losses against steps: a transformer's on the steps' sequences and on the fixed set, a head's on all samples and on batches.

    Parameters
    ----------
    run : Trajectory
        Of the transformer or the head.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    setting = of_learning(run)
    transformer = isinstance(setting, Transformer)
    thin = {"linewidth": 0.5, "alpha": 0.6}
    fixed = f"{setting.samples} fixed sequences" if transformer else "all samples"
    batches = f"batches of {setting.batch}" if setting.batch else "all sequences"
    first, second = ("train_loss", "fixed_loss") if transformer else ("batch_loss", "train_loss")
    names: tuple[tuple[str, str, dict[str, Any]], ...] = ((first, batches, thin), (second, fixed, {}))
    classes = setting.classes if transformer else setting.C
    with plotting.panel(ax, panel_title(letter, "Loss"), verdicts_on(run, "learned"), legend_columns=1) as ax:
        found = [part for part in names if part[0] in run]
        if not found:
            raise Inconclusive(f"{first} and {second} not recorded: add one to record=")
        for name, words, style in found:
            t, y = recorded(run, name)
            draw(ax, t, np.maximum(y, 1e-12), look_of_run(run).colour, f"{words}: {y[-1]:.2g} at the end", **style)
        ax.axhline(np.log(classes), label=rf"chance, $\ln {classes}$", **LEVEL)
        step_axis(ax, run, "cross-entropy")
        log_values(ax, smallest=1e-6)
    return ax


def plot_accuracy(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Share of samples of the right class against steps.

    Parameters
    ----------
    run, ax, letter
        As in `plot_losses`.
    """
    setting = of_learning(run)
    transformer = isinstance(setting, Transformer)
    with plotting.panel(ax, panel_title(letter, "Accuracy"), legend_columns=1) as ax:
        t, y = recorded(run, "train_accuracy" if transformer else "accuracy")
        words = f"{setting.samples} fixed sequences" if transformer else "all samples"
        draw(ax, t, y, look_of_run(run).colour, f"{words}: {y[-1]:.3f} at the end")
        classes = setting.classes if transformer else setting.C
        ax.axhline(1.0 / classes, label=f"chance, 1/{classes}", **LEVEL)
        ax.set_ylim(0.0, 1.02)
        step_axis(ax, run, "share of the right class")
    return ax


def plot_gradient_norm(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Norm of the gradient of a transformer against steps.

    Parameters
    ----------
    run, ax, letter
        As in `plot_losses`.
    """
    of_learning(run)
    with plotting.panel(ax, panel_title(letter, "Gradient")) as ax:
        draw(ax, *recorded(run, "grad_norm"), look_of_run(run).colour, r"$\|g\|_2$ on the step's sequences")
        step_axis(ax, run, r"$\|g\|_2$")
        log_values(ax, smallest=SMALLEST)
    return ax
