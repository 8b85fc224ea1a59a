"""Figures of the study of Theorem 3.2: exponents, probability, test loss, the loss level, and how exponents sharpen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....claims import from_evidence
from ....plotting import COLOURS
from ....scaling import wilson_interval
from ....scaling.figures import plot_scaling
from ....sweep import Table
from ..claims.sweeps import EXPONENTS, THEOREM, fitted
from ..predictions import EPS, LEVELS, SMALL
from .drawing import sweep_verdicts

__all__ = ["THEOREM_FIGURES", "asymptotics", "exponents", "plot_eps", "plot_probability", "plot_sharpening", "plot_test_loss_along_d"]

Evidence = Mapping[str, Table]

LABELS = {
    "t_attn": "T_attn (steps)", "t_loss": "T (steps)",
    "lr": r"learning rate, $\eta$", "m_k": r"rows, $m_k$", "sigma_p": r"noise level, $\sigma_p$", "s": r"coordinates of a noise token, $s$",
    "mu_norm": r"signal, $\|\mu\|$", "n": r"training samples, $n$",
}


def exponents(evidence: Evidence, quantity: str, *, fig: Figure | None = None) -> Figure:
    """T_attn or T against each of the six variables, with the fitted power and the theorem's.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "sweep": a star of points or a grid.
    quantity : {"t_attn", "t_loss"}
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(11.6, 8.0) if fig is None else fig
    table = from_evidence(evidence, "sweep")
    seeds = len(np.unique(table["seed"]))
    what = f"T_attn, first mean s_11 < {SMALL:g}" if quantity == "t_attn" else f"T, first training loss <= {EPS:g}"
    plotting.headline(fig, f"Theorem 3.2 of Li et al. (arXiv 2410.04870): the rates of {what}",
                      f"theory preset, {seeds} seeds a point; each variable over a range of its own, the others at the preset's values")
    for ax, (name, theory) in zip(plotting.grid(fig, 2, 3, between=(1.7, 0.95)), EXPONENTS[quantity].items(), strict=True):
        if name not in table.axes:
            plotting.note(ax, f"{name} was not varied")
            plotting.frame(ax)
            continue
        (verdict,) = sweep_verdicts(evidence, f"{quantity}_exponent_{name}")
        law = fitted(table, quantity, name, theory={name: theory})
        plot_scaling(table.arm(name), quantity, name, law=law, ax=ax)
        found = law[name]
        ax.set_xlabel(LABELS[name])
        ax.set_ylabel(LABELS[quantity])
        ax.set_title(f"power {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]; theorem {theory:g}\n{verdict.id}: {verdict.verdict}",
                     loc="left", fontsize=plotting.TITLE, y=1.0, pad=14.0, linespacing=1.35)
    return fig


def plot_probability(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw the share of seeds for which loss, attention and test loss are as the theorem says, against n, with Wilson intervals."""
    with plotting.panel(ax, "all of Theorem 3.2 in how many seeds", sweep_verdicts(evidence, "theorem_3_2_probability")) as ax:
        table = from_evidence(evidence, "path")
        n = np.unique(table["n"])
        parts = [table.where(n=k) for k in n]
        good = [int(np.all([part[id] == "holds" for id in THEOREM], axis=0).sum()) for part in parts]
        share = np.array([g / part.cells for g, part in zip(good, parts, strict=True)])
        low, high = np.array([wilson_interval(g, part.cells) for g, part in zip(good, parts, strict=True)]).T
        error = np.maximum([share - low, high - share], 0.0)
        ax.errorbar(n, share, error, fmt="o", color=COLOURS["blue"], capsize=3, label=f"{parts[0].cells} seeds, 95 % Wilson interval")
        fine = np.geomspace(n[0], n[-1], 100)
        plotting.theory(ax, fine, 1.0 - fine ** (-1 / 3), r"the theorem's bound, $1 - n^{-1/3}$")
        ax.set_xscale("log")
        _ticks(ax, n)
        ax.set_ylim(0.0, 1.05)
        ax.set_xlabel(r"training samples, $n$, along $s = \sqrt{d}/n^2$, $s = 200$")
        ax.set_ylabel("share of seeds")
    return ax


def _ticks(ax: Axes, values: Any) -> None:
    ax.set_xticks(list(values), [f"{v:g}" for v in values])
    ax.minorticks_off()


def plot_test_loss_along_d(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw test loss and test error at T against d along the paper's path."""
    with plotting.panel(ax, "test loss as d grows", sweep_verdicts(evidence, "theorem_3_2_test_loss_flat")) as ax:
        table = from_evidence(evidence, "growing_d")
        d = np.unique(table["d"])
        for name, colour, label in (("test_loss@t_loss", "blue", "test loss"), ("test_error@t_loss", "vermillion", "test error")):
            if name in table:
                rows = [table.where(d=k)[name] for k in d]
                mean = np.array([np.nanmean(row) for row in rows])
                spread = np.array([[m - np.nanmin(row), np.nanmax(row) - m] for m, row in zip(mean, rows, strict=True)]).T
                ax.errorbar(d, mean, np.maximum(spread, 0.0), fmt="o-", color=COLOURS[colour], capsize=3, label=f"{label}, mean and range")
        plotting.theory(ax, d, np.full(len(d), np.log(2.0)), r"$\log 2$")
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 0.8)
        ax.set_xlabel(r"dimension, $d$, along $s = \sqrt{d}/n^2$, $n = 20$")
        ax.set_ylabel(f"at T (training loss {EPS:g})")
    return ax


def plot_eps(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw T against log(1/eps) between its bounds, at the theory preset."""
    verdicts = sweep_verdicts(evidence, "t_loss_exponent_eps", "t_loss_sandwich")
    with plotting.panel(ax, "T against log(1/eps)", verdicts) as ax:
        table = from_evidence(evidence, "sweep")
        base = table
        for name in table.axes:
            base = base.along(*[other for other in base.axes if other != name])
        x = -np.log(LEVELS)
        low, mean, high = (
            np.array([np.nanmean(base[f"t_loss{kind}_{eps:g}"]) for eps in LEVELS]) for kind in ("_low", "", "_high")
        )
        plotting.bound(ax, x, low, high, "between the bounds (derived here)")
        ax.plot(x, mean, "o-", color=COLOURS["blue"], label=f"mean of {base.cells} seeds")
        plotting.theory(ax, x, mean[-1] * x / x[-1], r"slope of the theorem, $T \propto \log(1/\epsilon)$")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(list(x), [f"{eps:g}" for eps in LEVELS])
        bottom, top = ax.get_ylim()
        steps = [m * 10.0**e for e in range(12) for m in (1, 2, 5) if bottom <= m * 10.0**e <= top]
        ax.set_yticks(steps, [f"{step:g}" for step in steps])
        ax.minorticks_off()
        ax.set_xlabel(r"training loss, $\epsilon$, at its $\log(1/\epsilon)$")
        ax.set_ylabel("T (steps)")
    return ax


def plot_sharpening(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw how far T's exponents are from the theorem's, against s."""
    with plotting.panel(ax, "T's exponents as s grows", sweep_verdicts(evidence, "t_loss_exponents_sharpen"), legend_columns=3) as ax:
        tables = [from_evidence(evidence, name) for name in ("sweep", "s_2000", "s_20000")]
        s = [table.experiment.setting.s for table in tables]
        colours = ("blue", "vermillion", "green", "purple", "orange", "indigo")
        for (name, theory), colour in zip(EXPONENTS["t_loss"].items(), colours, strict=True):
            if all(name in table.axes for table in tables):
                gaps = [abs(fitted(table, "t_loss", name)[name].value - theory) for table in tables]
                ax.plot(s, gaps, "o-", color=COLOURS[colour], label=name)
        ax.set_xscale("log")
        ax.set_yscale("log")
        _ticks(ax, s)
        ax.set_xlabel(r"coordinates of a noise token, $s$")
        ax.set_ylabel("distance from the theorem's exponent")
    return ax


def asymptotics(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Probability, test loss, loss level, and how the exponents sharpen.

    Parameters
    ----------
    evidence : mapping of str to Table
        What ``STUDIES["theorem"].run()`` returns.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(9.6, 8.2) if fig is None else fig
    plotting.headline(fig, "Theorem 3.2 of Li et al. (arXiv 2410.04870): probability, test loss, loss level",
                      "paths, ranges and seeds chosen here; along the paper's own condition s = Theta(sqrt(d) / n^2)")
    draws: tuple[Callable[..., Axes], ...] = (plot_probability, plot_test_loss_along_d, plot_eps, plot_sharpening)
    for ax, draw in zip(plotting.grid(fig, 2, 2, between=(1.7, 1.0)), draws, strict=True):
        draw(evidence, ax=ax)
    return fig


THEOREM_FIGURES: Mapping[str, Callable[[Evidence], Figure]] = {
    "t_attn": partial(exponents, quantity="t_attn"), "t_loss": partial(exponents, quantity="t_loss"), "asymptotics": asymptotics,
}
"""Figures of the study by name."""
