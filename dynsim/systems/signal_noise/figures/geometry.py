"""Figures of the study "geometry": what three rules learn of the same data, and how they generalise, from much noise to none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....claims import from_evidence
from ....plotting import COLOURS
from ....sweep import Table
from ..claims.geometry import LEVEL, RULES, mean_errors, ratios
from ..geometry import fresh_error, value_ratio
from .drawing import sweep_verdicts

__all__ = ["GEOMETRY_FIGURES", "geometry", "plot_errors", "plot_ratios"]

Evidence = Mapping[str, Table]

STYLES = dict(zip(RULES, (
    ("SignGD", "blue", "o", 7.0), ("Adam, eps = 0", "vermillion", "s", 3.5), ("gradient descent", "green", "^", 4.0),
), strict=True))
"""Name, colour, marker and its size for each rule; SignGD's shows from under Adam's."""

LINES = {
    "sign": ("l1: sign rules, attention undecided", (0, (4, 2))), "linear": ("l2: gradient descent, attention undecided", (0, (1, 1.5))),
}
"""Legend and dashes of the prediction for each kind of rule."""


def plot_ratios(evidence: Evidence, entry: str, title: str, *ids: str, ax: Axes | None = None) -> Axes:
    """Draw mean value signal over mean value noise against the noise level, at equal training loss, with the l1 and l2 predictions.

    Parameters
    ----------
    evidence : mapping of str to Table
    entry : {"undecided", "complete"}
        Which sweep.
    title : str
    *ids : str
        Claims whose verdicts the panel carries.
    ax : Axes, optional
    """
    with plotting.panel(ax, title, sweep_verdicts(evidence, *ids)) as ax:
        table = from_evidence(evidence, entry)
        for rule, (name, colour, marker, size) in STYLES.items():
            x, y = np.array(sorted((at.point["sigma_p"], at.value.mean()) for at in ratios(table, rule))).T
            ax.plot(x, y, marker=marker, markersize=size, color=COLOURS[colour], linewidth=1.2, label=name)
        setting = table.experiment.setting
        fine = np.geomspace(table["sigma_p"].min(), table["sigma_p"].max(), 50)
        for kind, (label, dashes) in LINES.items():
            y = [value_ratio(kind, setting.replace(sigma_p=float(sigma_p))) for sigma_p in fine]
            plotting.theory(ax, fine, y, label, linestyle=dashes)
        plotting.log_axis(ax, "x", decades=2)
        plotting.log_axis(ax, "y")
        ax.set_xlabel(r"noise level, $\sigma_p$")
        ax.set_ylabel(r"mean value signal / mean value noise, $A/\bar B$")
    return ax


def plot_errors(evidence: Evidence, entries: Mapping[str, str], title: str, *ids: str, ax: Axes | None = None) -> Axes:
    """Draw the test error at equal training loss against signal over noise, with the predictions for undecided attention.

    Parameters
    ----------
    evidence : mapping of str to Table
    entries : mapping of str to str
        Sweep to the variable that it varies, "sigma_p" or "mu_norm"; the first has filled markers, others open ones.
    title : str
    *ids : str
        Claims whose verdicts the panel carries.
    ax : Axes, optional
    """
    with plotting.panel(ax, title, sweep_verdicts(evidence, *ids)) as ax:
        ends = []
        for entry, variable in entries.items():
            table = from_evidence(evidence, entry)
            first, setting = entry == next(iter(entries)), table.experiment.setting
            for rule, (name, colour, marker, size) in STYLES.items():
                values, errors = mean_errors(table, rule, variable)
                x = setting.mu_norm / values if variable == "sigma_p" else values / setting.sigma_p
                label = name if first else f"{name}, signal varied"
                ax.plot(x, errors, linestyle="-" if first else "none", linewidth=1.2, color=COLOURS[colour], label=label, marker=marker,
                        markersize=size if first else size + 3.5, markerfacecolor=None if first else "none")
                ends.extend(x)
        fine = np.geomspace(min(ends), max(ends), 40)
        for kind, (label, dashes) in LINES.items():
            y = [fresh_error(kind, setting.replace(mu_norm=1.0, sigma_p=float(1.0 / x))) for x in fine]
            plotting.theory(ax, fine, y, label, linestyle=dashes)
        plotting.log_axis(ax, "x", decades=2)
        ax.set_ylim(-0.02, 0.52)
        ax.set_xlabel(r"signal over noise, $\|\mu\|/\sigma_p$")
        ax.set_ylabel(f"test error at {LEVEL.replace('_', ' ').replace('<', ' < ')}")
    return ax


def geometry(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Signal learned and test error of three rules on the same data, with undecided attention and in the complete model.

    Parameters
    ----------
    evidence : mapping of str to Table
        What ``STUDIES["geometry"].run()`` returns.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(10.6, 9.0) if fig is None else fig
    plotting.headline(fig, "Is it only the noise? The same data under three rules, at equal training loss",
                      "figure3_disjoint, means over seeds; above: initial weights 0, attention stays undecided; below: complete model")
    draws: tuple[Callable[[Axes], Axes], ...] = (
        lambda ax: plot_ratios(evidence, "undecided", "attention undecided: l1 against l2", "geometry_sign_ratio", "geometry_adam_ratio",
                               "geometry_gd_ratio", ax=ax),
        lambda ax: plot_errors(evidence, {"undecided": "sigma_p", "signal": "mu_norm"}, "attention undecided: test error",
                               "geometry_test_error", "geometry_cleaner", ax=ax),
        lambda ax: plot_ratios(evidence, "complete", "complete model: Adam loses the signal", "geometry_sign_ratio_complete",
                               "geometry_adam_freezes", ax=ax),
        lambda ax: plot_errors(evidence, {"complete": "sigma_p"}, "complete model: test error", "geometry_rule_matters",
                               "geometry_noise_matters", "geometry_noise_removed", "geometry_cleaner_complete", ax=ax),
    )
    for ax, draw in zip(plotting.grid(fig, 2, 2, top=1.35, bottom=1.1, between=(2.05, 0.95)), draws, strict=True):
        draw(ax)
    return fig


GEOMETRY_FIGURES: Mapping[str, Callable[[Evidence], Figure]] = {"geometry": geometry}
"""Figures of the study by name."""
