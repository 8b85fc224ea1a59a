"""Panels of runs of which curvature is known along the path: loss, weighted curvatures, and one step of each rule compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....axes import log_values, step_axis
from ....plotting import COLOURS, LEVEL, panel_title
from ....trajectory import Trajectory
from ..quadratic.setting import Logistic, Quadratic
from .drawing import GRADIENT, SIGN, draw, look_of_run, recorded, setting_of, together, verdicts_on

SMALLEST = 1e-20
"""Losses and gradients below this leave the view: they are 0 up to rounding."""


def of_path(run: Trajectory) -> Any:
    """Return the setting of a run of which curvature is known along the path."""
    return setting_of(run, Quadratic, Logistic, about="quadratics and logistic regression")


def plot_path_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss and norm of the gradient against steps.

    Parameters
    ----------
    run : Trajectory
        Of task "quadratic" or "logistic".
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    of_path(run)
    with plotting.panel(ax, panel_title(letter, "Loss"), verdicts_on(run, "gradient_descends", "sign_descends", "sign_floor")) as ax:
        draw(ax, *recorded(run, "train_loss"), look_of_run(run).colour, "loss $L$", log=True)
        if "grad_norm" in run:
            draw(ax, *recorded(run, "grad_norm"), COLOURS["ink"], r"gradient $\|g\|_2$", log=True, linewidth=1.0)
        step_axis(ax, run, "loss, gradient norm", log=True)
        log_values(ax, smallest=SMALLEST)
    return ax


def plot_complexities(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Curvature weighted by squared gradients, Lambda_G, and by sizes, Lambda_P, against steps.

    Parameters
    ----------
    run, ax, letter
        As in `plot_path_loss`.
    """
    of_path(run)
    with plotting.panel(ax, panel_title(letter, "Weighted curvature"), verdicts_on(run, "weighted_below_largest"), legend_columns=1) as ax:
        draw(ax, *recorded(run, "Lambda_G"), GRADIENT, r"$\Lambda_G$, by squared gradients: for gradient steps", log=True)
        draw(ax, *recorded(run, "Lambda_P"), SIGN, r"$\Lambda_P$, by sizes: for sign steps", log=True)
        largest = run.constants.get("h")
        if largest is not None and isinstance(of_path(run), Quadratic):
            ax.axhline(float(np.max(largest)), label=r"largest block norm, $\max_b h_b$", **LEVEL)
        step_axis(ax, run, r"$\Lambda$", log=True)
        log_values(ax)
    return ax


def plot_ratio(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Lambda_G / Lambda_P, density of the gradient, and their product R against steps.

    Parameters
    ----------
    run, ax, letter
        As in `plot_path_loss`.
    """
    of_path(run)
    found = verdicts_on(run, "gradient_ratio_falls", "sign_ratio_stays")
    with plotting.panel(ax, panel_title(letter, "One step of each, compared"), found, legend_columns=1) as ax:
        t, G, P = together(run, "Lambda_G", "Lambda_P")
        draw(ax, t, G / P, COLOURS["ink"], r"$\Lambda_G / \Lambda_P$", log=True)
        if "phi" in run:
            t, G, P, phi = together(run, "Lambda_G", "Lambda_P", "phi")
            draw(ax, t, phi, COLOURS["sky"], r"density of the gradient, $\varphi$", log=True)
            draw(ax, t, phi * G / P, COLOURS["wine"], r"$R = \varphi\,\Lambda_G / \Lambda_P$: above 1 a sign step promises more", log=True)
        ax.axhline(1.0, **LEVEL)
        step_axis(ax, run, "ratio", log=True)
        log_values(ax)
    return ax
