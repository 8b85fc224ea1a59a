"""Panels of what is exact: conserved numbers and identities."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....plotting import COLOURS, line, panel_title
from ....trajectory import Trajectory
from ..reading import Reading, reading
from .drawing import log_values, positive, series, time_frame, verdicts_on

_COLOURS = ("blue", "vermillion", "green", "purple", "orange", "ink")
INVARIANTS = (
    r"$\rho - |a|^2\,\mathrm{tr}\,\Gamma$", r"$\|uu^\top - |a|^2 W_V W_V^\top\|^2$", r"$\mathrm{tr}(KK - QQ)$",
    r"$\|W_K W_K^\top - W_Q W_Q^\top\|^2$", r"$\mathrm{tr}(W_K W_K^\top - W_Q W_Q^\top)^3$",
)
"""Entries of the recorded `invariants` as formulas."""
IDENTITIES = ("columns of $B$", r"$z^\top G$", r"$\dot\rho$", r"$\dot G$", r"$\dot\Gamma$", "energy")
"""What the entries of the recorded `identities` are about."""


def _lines(ax: Axes, r: Reading, name: str, labels: tuple[str, ...], ylabel: str, **style: Any) -> None:
    x, values = series(r, name)
    points = plotting.some(len(x), plotting.THIN_POINTS)
    for colour, label, y in zip(_COLOURS, labels, np.abs(values).T, strict=False):
        line(ax, x[points], positive(y)[points], COLOURS[colour], label, **{"linewidth": 1.1, **style})
    log_values(ax)
    time_frame(ax, r, ylabel)


def plot_invariants(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Relative drift of the five numbers that gradient flow conserves.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    title = "Conserved by the flow" if r.is_flow else "Conserved by the flow, drifting with the rate of descent"
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, "conserved")) as ax:
        _lines(ax, r, "invariants", INVARIANTS, "relative drift")
    return ax


def plot_identities(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Relative residuals of the identities that hold at every state.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "columns_of_B", "zG_identity", "eq_4_velocity_of_G", "gamma_identity", "energy")
    with plotting.panel(ax, panel_title(letter, "Identities hold to rounding"), verdicts, legend_columns=3) as ax:
        _lines(ax, r, "identities", IDENTITIES, "relative residual", linestyle="none", marker=".", markersize=2.5)
    return ax
