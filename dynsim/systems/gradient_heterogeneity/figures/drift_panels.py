"""Panels of the drift of a linear head: mean bias, the share of the weights that the loss does not see, norms."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....axes import step_axis
from ....claims import Inconclusive
from ....plotting import COLOURS, panel_title
from ....trajectory import Trajectory
from ..claims.reading import Reading
from ..head.setting import Head
from ..head.theory import drift_norm, momentum_drift
from .drawing import draw, look_of_run, recorded, setting_of, verdicts_on


def of_head(run: Trajectory) -> Any:
    """Return the setting of a head's run."""
    return setting_of(run, Head, about="the linear head")


def predicted_drift(run: Trajectory) -> tuple[NDArray, NDArray, str]:
    """Return the sum of the rates and of rate times predicted mean sign up to each step 0, 1, ..., T, and what the prediction assumes.

    Raises
    ------
    Inconclusive
        For a rule without a prediction.
    """
    setting, r = of_head(run), Reading(run)
    steps, words = len(r.rates), "while $p = 1/C$"
    if r.follows("gd", momentum=True):
        signs, words = np.zeros(steps), "gradients of all classes add up to 0"
    elif r.follows("signgd"):
        signs = np.full(steps, float(r.constant("drift")))
    elif not r.follows("signgd", momentum=True):
        raise Inconclusive("there is no theory of the drift of this rule")
    elif not setting.batch or setting.batches != "iid":
        raise Inconclusive("there is no theory of the drift with momentum but for iid batches")
    else:
        signs = momentum_drift(setting.C, setting.batch, r.momentum, steps) if steps else np.zeros(0)
    return np.append(0.0, np.cumsum(r.rates)), np.append(0.0, np.cumsum(r.rates * signs)), words


def _without_prediction(ax: Axes, reason: Inconclusive) -> None:
    ax.plot([], [], " ", label=f"no prediction: {reason}")


def plot_mean_bias(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Mean of the biases over the classes against steps, and the drift that theory predicts.

    Parameters
    ----------
    run : Trajectory
        Of the head.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    of_head(run)
    found = verdicts_on(
        run, "drift_as_predicted", "momentum_drift_near", "momentum_cuts_drift", "sums_conserved_by_gradient",
    )
    with plotting.panel(ax, panel_title(letter, "Mean bias"), found, legend_columns=1) as ax:
        t, mean = recorded(run, "mean_bias")
        draw(ax, t, mean, look_of_run(run).colour, look_of_run(run).title)
        try:
            travelled, moved, words = predicted_drift(run)
            share = moved[-1] / travelled[-1] if len(travelled) > 1 else 0.0
            plotting.theory(ax, np.arange(len(moved)), mean[0] - moved, rf"$-\sum \eta D$, {words}; mean $D$ {share:.3f}")
        except Inconclusive as reason:
            _without_prediction(ax, reason)
        step_axis(ax, run, r"mean bias $\bar b$")
        ax.ticklabel_format(axis="y", scilimits=(-3, 4))
    return ax


def plot_gauge_share(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Share of the squared norm of the weights that the loss is blind to, against steps.

    Parameters
    ----------
    run, ax, letter
        As in `plot_mean_bias`.
    """
    of_head(run)
    found = verdicts_on(run, "gauge_share_large", "gauge_share_small")
    with plotting.panel(ax, panel_title(letter, "Share that the loss does not see"), found) as ax:
        t, y = recorded(run, "gauge_share")
        draw(ax, t, y, look_of_run(run).colour, f"{look_of_run(run).title}: {y[-1]:.3f} at the end")
        ax.set_ylim(0.0, 1.02)
        step_axis(ax, run, r"$C\,\|\bar v\|^2 / \|V\|_F^2$")
    return ax


def plot_norms(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Norms of weights, of weights without their mean over the classes, and of biases, against steps.

    Parameters
    ----------
    run, ax, letter
        As in `plot_mean_bias`.
    """
    setting = of_head(run)
    parts = (
        ("V_norm", r"weights, $\|V\|_F$", look_of_run(run).colour),
        ("V_centred_norm", "without their mean over the classes", COLOURS["sky"]),
        ("b_norm", r"biases, $\|b\|$", COLOURS["ink"]),
    )
    with plotting.panel(ax, panel_title(letter, "Norms of the head"), verdicts_on(run, "head_norm_is_drift"), legend_columns=1) as ax:
        shown = [part for part in parts if part[0] in run]
        if not shown:
            raise Inconclusive("V_norm, V_centred_norm and b_norm not recorded: add one to record=")
        for name, words, colour in shown:
            draw(ax, *recorded(run, name), colour, words)
        try:
            _, moved, _ = predicted_drift(run)
            if moved.any():
                y = drift_norm(setting.C, setting.d, 1.0, 1, 1.0) * np.abs(moved)
                plotting.theory(ax, np.arange(len(y)), y, r"drift alone, $\sqrt{Cd}\,\sum \eta D$")
        except Inconclusive as reason:
            _without_prediction(ax, reason)
        step_axis(ax, run, "norm")
        ax.set_ylim(bottom=0.0)
    return ax
