"""Figure of the study of Adam's memory: where query noise stops turning, and the gradient against the root that it is divided by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .... import plotting
from ....claims import Inconclusive, from_evidence
from ....plotting import COLOURS
from ....trajectory import Trajectory
from ..adam import followed_below, gradient_ratio, log_root
from ..claims.adam import MEMORIES, half_crossed, pooled, predicted
from ..reading import Reading
from .drawing import sweep_verdicts

__all__ = ["ADAM_FIGURES", "memory", "plot_crossed", "plot_gradient", "plot_ratio"]

Evidence = Mapping[str, Any]

RUN_COLOURS = dict(zip(MEMORIES, ("vermillion", "blue"), strict=True))


def plot_crossed(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw the share of pairs against their row that cross, against beta2, with the predicted threshold."""
    verdicts = sweep_verdicts(evidence, "adam_transition", "adam_transition_overlap")
    with plotting.panel(ax, "query noise against its row that crosses", verdicts) as ax:
        for sweep, colour, label in (("beta2", "blue", "disjoint supports"), ("beta2_overlap", "orange", "overlapping")):
            if sweep in evidence:
                beta2, share = pooled(evidence[sweep])
                plotting.line(ax, 1.0 - beta2, share, COLOURS[colour], label, marker="o", markersize=3.5)
        table = from_evidence(evidence, "beta2")
        for value, label, style in (
            (predicted(table), r"predicted half, $\beta_2^*$", (0, (4, 2))),
            (predicted(table, followed_below), "SignGD followed up to here", (0, (1, 2))),
        ):
            ax.axvline(1.0 - value, color="black", linestyle=style, linewidth=1.1, zorder=4, label=f"{label} = {value:.3f}")
        ax.axhline(0.5, color=COLOURS["grey"], linewidth=0.6, zorder=1)
        half = half_crossed(table)
        ax.plot(1.0 - half, 0.5, "D", color="black", markersize=4.5, zorder=5, label=f"measured half {half:.3f}")
        ax.set_xscale("log")
        ax.set_xlim(1.4, 7e-4)
        shown = (0.0, 0.5, 0.8, 0.9, 0.99, 0.999)
        ax.set_xticks([1.0 - b for b in shown], [f"{b:g}" for b in shown])
        ax.minorticks_off()
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlabel(r"$\beta_2$, at $1-\beta_2$ on a logarithmic axis")
        ax.set_ylabel("share crossed")
    return ax


def _run(evidence: Evidence, name: str) -> tuple[Trajectory, NDArray]:
    """Return a run and its gradient in the pairs against their row, (T, pairs)."""
    r = Reading(from_evidence(evidence, name))
    t = r.row(r.classify_at)
    signal = np.sign(r["query_signal"])
    against = (np.sign(r["query_noise"][t]) * signal[t][:, None] < 0) & (signal[t:] == signal[t]).all(0)[:, None]
    if not against.any():
        raise Inconclusive("no pair opposes its row's query signal")
    if np.any(np.diff(r.at) != 1) or r.at[0] != 0:
        raise Inconclusive("the gradient was not recorded at every step: the memory of the rule cannot be told")
    return evidence[name], r["query_gradient"][:, against]


def plot_gradient(evidence: Evidence, name: str, *, ax: Axes | None = None) -> Axes:
    """Draw the gradient of query noise and the root of its second moment over time, median over pairs against their row."""
    with plotting.panel(ax, f"the gradient and what divides it: {name}") as ax:
        run, gradient = _run(evidence, name)
        with np.errstate(divide="ignore"):
            size = np.log10(np.abs(gradient))
        root = log_root(gradient, MEMORIES[name]) / np.log(10.0)
        plotting.line(ax, run.at, np.median(root, axis=1), COLOURS["bound"], r"$\log_{10}\sqrt{\hat v}$", linewidth=4.0)
        plotting.line(ax, run.at, np.median(size, axis=1), COLOURS[RUN_COLOURS[name]], r"$\log_{10}|g|$")
        ax.set_xlabel("step")
        ax.set_ylabel("median pair against its row")
    return ax


def plot_ratio(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw the steps that query noise makes, in units of the rate, under both memories."""
    verdicts = sweep_verdicts(evidence, "adam_freezes_query_noise", "adam_follows_signgd")
    with plotting.panel(ax, "steps made, in units of the rate", verdicts) as ax:
        for name, beta2 in MEMORIES.items():
            run, gradient = _run(evidence, name)
            plotting.line(ax, run.at, np.median(gradient_ratio(gradient, beta2), axis=1), COLOURS[RUN_COLOURS[name]], name)
        plotting.theory(ax, run.at, np.ones(len(run.at)), "SignGD: 1 at every step")
        ax.set_xlabel("step")
        ax.set_ylabel(r"$|g|/\sqrt{\hat v}$, median pair")
        ax.set_ylim(bottom=0.0)
    return ax


def memory(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """The transition in beta2; the steps made; gradient and root for a long and a short memory.

    Parameters
    ----------
    evidence : mapping of str to Table and Trajectory
        Tables and shown runs of ``STUDIES["beta2"]``.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(9.6, 8.0) if fig is None else fig
    plotting.headline(fig, "Why query noise does not turn under Adam: the memory of its second moment",
                      r"figure3 preset (a reconstruction), Adam with $\beta_1 = 0$, $\epsilon = 0$; derived here; runs: seed 0, disjoint")
    top_left, top_right, *below = plotting.grid(fig, 2, 2, between=(1.7, 0.95))
    plot_crossed(evidence, ax=top_left)
    plot_ratio(evidence, ax=top_right)
    for name, ax in zip(MEMORIES, below, strict=True):
        plot_gradient(evidence, name, ax=ax)
    return fig


ADAM_FIGURES: Mapping[str, Callable[[Evidence], Figure]] = {"memory": memory}
"""Figures of the study by name."""
