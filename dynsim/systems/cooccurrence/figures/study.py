"""The figure of the study: exponents in the width, what the initial weights do, how many samples it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....check import check
from ....claims import Inconclusive, Verdict, from_evidence
from ....plotting import COLOURS
from ....scaling import fit_power_law
from ....scaling.figures import plot_scaling
from ....sweep import Table
from ..claims import EXPONENTS, SWEEP_CLAIMS
from ..universal import limits

__all__ = ["STUDY_FIGURES", "plot_imbalance", "plot_ratio_over_n", "scaling"]

Evidence = Mapping[str, Table]

WIDTHS = {
    "T1": "end of Phase 1, $T_1$ (time)", "dGamma_T1": r"$\max\,\vert\Delta\Gamma\vert$ at $T_1$",
    "dKK_T1": r"$\max\,\vert\Delta KK\vert$ at $T_1$", "C_signal": r"mean $\vert C\vert$ of the four scores",
}
"""Quantities that are drawn against the width."""


def _verdicts(evidence: Evidence, *ids: str) -> tuple[Verdict, ...]:
    return check(evidence, [SWEEP_CLAIMS[id] for id in ids]).verdicts


def _plot_width(evidence: Evidence, quantity: str, ax: Axes) -> None:
    table = from_evidence(evidence, "sweep")
    theory = EXPONENTS[quantity]["m"]
    law = fit_power_law(table, quantity, "m", theory={"m": theory})
    plot_scaling(table, quantity, "m", law=law, ax=ax)
    (verdict,) = _verdicts(evidence, f"{quantity}_exponent_m")
    found, last = law["m"], law.local["m"][-1]
    ax.set_xlabel("width, $m$")
    ax.set_ylabel(WIDTHS[quantity])
    ax.set_title(f"power {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]; theory {theory:g}\n"
                 f"last pair {last.value:.3f} [{last.low:.3f}, {last.high:.3f}]\n{verdict.id}: {verdict.verdict}",
                 loc="left", fontsize=plotting.TITLE, y=1.0, pad=12.0, linespacing=1.35)


def _mean_and_spread(ax: Axes, table: Table, name: str, quantity: str) -> None:
    """Draw seeds as dots and their mean as a line."""
    x = np.unique(table[name])
    ax.plot(table[name], table[quantity], ".", color=COLOURS["sky"], markersize=5, label="seeds")
    ax.plot(x, [np.nanmean(table.where(**{name: value})[quantity]) for value in x], color=COLOURS["blue"], label="mean over seeds")


def plot_ratio_over_n(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw the late ratio -G3' / max(G1', G2') against the number of samples, beside the parameter-free limit."""
    with plotting.panel(ax, "Balancing at finite n", _verdicts(evidence, "ratio_over_n")) as ax:
        table = from_evidence(evidence, "n")
        _mean_and_spread(ax, table, "n", "ratio_late")
        n = np.geomspace(table["n"].min(), table["n"].max(), 60)
        L = table.experiment.setting.L
        plotting.theory(ax, n, np.array([limits(float(k), L)["-G3'/G1'"] for k in n]), "parameter-free limit at this n")
        ax.axhline(limits(np.inf, L)["-G3'/G1'"], color=COLOURS["grey"], linewidth=0.8, label="limit for $n \\to \\infty$, 3/2")
        ax.set(xscale="log", xlabel="samples, $n$", ylabel=r"$-\dot G_3 / \max(\dot G_1, \dot G_2)$ at $\tau = 3000$")
    return ax


def plot_imbalance(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw the largest imbalance of kinds 2 and 3 in Phase 2 against the scale c0 of the initial outputs."""
    with plotting.panel(ax, "Imbalance of kinds 2 and 3", _verdicts(evidence, "imbalance_exponent_c0")) as ax:
        table = from_evidence(evidence, "c0")
        _mean_and_spread(ax, table, "c0", "imbalance")
        c0 = np.unique(table["c0"])
        middle = np.exp(np.nanmean(np.log(table["imbalance"] / table["c0"])))
        plotting.theory(ax, c0, middle * c0, "proportional to $c_0$")
        ax.set(xscale="log", yscale="log", xlabel="scale of initial outputs, $c_0$")
        ax.set_ylabel(r"$\max\,\vert s_2 - s_3\vert / \min(s_2, s_3)$")
    return ax


def scaling(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Four exponents in the width, the balance at finite n, and the imbalance that the start leaves.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "sweep", "n" and "c0" of the study.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(11.6, 8.4) if fig is None else fig
    table = from_evidence(evidence, "sweep")
    s = table.experiment.setting
    seeds = len(np.unique(table["seed"]))
    plotting.headline(fig, "Word co-occurrence (Yang et al., arXiv 2410.09605): how the phases scale",
                      f"gradient flow, n = {s.n}, L = {s.L}, m1 = {s.m1}, c0 = {s.c0:g}, c1 = {s.c1:g}; {seeds} seeds a width")
    axes = plotting.grid(fig, 2, 3, top=1.5, between=(1.9, 0.95))
    for ax, quantity in zip(axes, WIDTHS, strict=False):
        try:
            _plot_width(evidence, quantity, ax)
        except (Inconclusive, ValueError) as reason:
            plotting.note(ax, str(reason))
            plotting.frame(ax)
    plot_ratio_over_n(evidence, ax=axes[4])
    plot_imbalance(evidence, ax=axes[5])
    return fig


STUDY_FIGURES: Mapping[str, Mapping[str, Callable[[Any], Figure]]] = {"scaling": {"scaling": scaling}}
"""Figures of the studies, by study and name."""
