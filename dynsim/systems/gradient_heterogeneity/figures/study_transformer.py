"""Panels of the studies of transformers: gradients over depth, curvature at the start, losses by rule and placement, fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....axes import log_values, step_axis, ticks
from ....claims import Inconclusive
from ....plotting import COLOURS, LEVEL, panel_title
from ....sweep import Table
from .block_panels import name_rows, rms_of_blocks, small_rows
from .drawing import PLACEMENTS, Look, draw, recorded
from .study_drawing import (
    Evidence,
    at_best_rate,
    draw_seeds,
    draw_strip,
    geometric,
    mean_of,
    name_columns,
    placements_of,
    rows_where,
    rules_of,
    run_of,
    table_of,
    variable,
    verdicts,
)

MEASURED = {
    "gini": "Gini coefficient of $\\hat g_b$", "max_over_min": "$\\max_b \\hat g_b / \\min_b \\hat g_b$",
    "value_over_query": "mean $\\hat g$ of $W_V, W_O$ over $W_Q, W_K$", "head_share": "share of $\\|g\\|^2$ that is the head's",
    "pretrained_accuracy": "accuracy at its end",
}
"""Axis labels of what is measured at a start."""
SCALARS = {
    "gini": r"Gini" "\n" r"of $\hat g$", "correlation": r"corr. of" "\n" r"$\ln\hat g$, $\ln h$", "ratio": r"$\Lambda_G/\Lambda_P$",
    "phi": r"$\varphi$", "R": r"$R$",
}
"""Columns of the strips of what is measured with curvature."""
LEAST_SCALAR = 1e-3
"""Numbers below this, and negative correlations with them, leave the view."""
FIXED = 1e-6
"""Losses below this leave the view: they are solved."""


# -- gradients over depth ----------------------------------------------------------------------------------------------


def plot_depth(
    evidence: Evidence, entry: str = "depth", quantity: str = "gini", *, title: str = "", split: str = "",
    words: Sequence[tuple[object, str]] = (), claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """What the gradients of a start measure against the number of layers, for both placements.

    Parameters
    ----------
    evidence : mapping of str to Table
    entry, quantity : str
        Sweep over layers, and a column of it.
    title : str
    split : str
        A variable that tells cases apart: the last of several is drawn open and dashed.
    words : sequence of (value, str)
        The cases and their names.
    claims : sequence of str
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    ratio = quantity in ("max_over_min", "value_over_query")
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, entry, quantity, "layers", "norm", *([split] if split else []))
        for value, name in words or ((None, ""),):
            part = rows_where(table, **{split: value}) if split else table
            for i, (placement, colour, rows) in enumerate(placements_of(part)):
                looks = Look(f"{placement}, {name}" if name else placement, colour, momentum=len(words) > 1 and value == words[-1][0])
                layers = np.asarray(variable(rows, "layers"), dtype=float)
                draw_seeds(ax, layers, rows[quantity], looks, middle=geometric if ratio else mean_of, shift=0.12 * (2 * i - 1))
        ax.set(xlabel="layers", ylabel=MEASURED[quantity])
        if ratio:
            log_values(ax)
        else:
            ax.set_ylim(0.0, 1.06 * ax.get_ylim()[1])
        ticks(ax, np.asarray(variable(table, "layers"), dtype=float))
    return ax


# -- curvature at the start --------------------------------------------------------------------------------------------


def plot_scalars(
    evidence: Evidence, entry: str = "small", *, prefix: str = "", title: str = "Small start, all blocks", split: str = "",
    claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """Heterogeneity of gradients and curvature at a start in one number each, for both placements.

    Parameters
    ----------
    evidence, entry, claims, ax, letter
        As in `plot_depth`.
    prefix : str
        Of the columns.
    title : str
    split : str
        A variable whose smallest value is drawn filled and whose others are open.
    """
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, entry, "norm", *(prefix + name for name in SCALARS))
        cases = list(np.unique(variable(table, split))) if split else [None]
        for c, case in enumerate(cases):
            for i, (placement, colour, rows) in enumerate(placements_of(rows_where(table, **{split: case}) if split else table)):
                looks = Look(f"{placement}, {case:g} {split}" if split else placement, colour, momentum=c > 0)
                for at, name in enumerate(SCALARS):
                    aside = 0.32 * (i - 0.5) + 0.17 * (c - 0.5 * (len(cases) - 1))
                    label = "" if at else looks.title
                    draw_strip(ax, at + aside, rows[prefix + name], looks, label=label, width=0.06, smallest=LEAST_SCALAR)
        ax.axhline(1.0, **LEVEL)
        name_columns(ax, list(SCALARS.values()))
        ax.set_ylabel("measured")
        log_values(ax)
    return ax


def plot_off_diagonal(evidence: Evidence, *, claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "") -> Axes:
    """Distance from block-diagonality over Lambda_G and over Lambda_P, of both placements and starts, beside what the theorems assume.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "block_diagonal".
    claims, ax, letter
        As in `plot_depth`.
    """
    title = panel_title(letter, "What the Hessian has outside its blocks")
    with plotting.panel(ax, title, verdicts(evidence, *claims), legend_columns=2) as ax:
        table = table_of(evidence, "block_diagonal", "delta_D", "Lambda_G", "Lambda_P", "norm", "embedding_scale")
        scales = sorted(np.unique(variable(table, "embedding_scale")), reverse=True)
        for at, scale in enumerate(scales):
            for i, (placement, colour, rows) in enumerate(placements_of(rows_where(table, embedding_scale=scale))):
                for j, (name, symbol) in enumerate((("Lambda_G", r"\Lambda_G"), ("Lambda_P", r"\Lambda_P"))):
                    looks = Look(f"{placement}: over ${symbol}$", colour, momentum=j > 0)
                    aside = 0.4 * (i - 0.5) + 0.16 * (j - 0.5)
                    draw_strip(ax, at + aside, rows["delta_D"] / rows[name], looks, label="" if at else looks.title, width=0.06)
        ax.axhline(1.0 / 3.0, label="the theorems assume at most 1/3", **LEVEL)
        name_columns(ax, ["usual start" if scale == 1 else "small start" for scale in scales])
        ax.set_ylabel(r"$\delta_D / \Lambda$")
        log_values(ax)
    return ax


def plot_start_profile(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Root-mean-square gradient entry of matrices, embedding and head at the start of a run of each placement.

    Parameters
    ----------
    evidence : mapping of str to Trajectory
        Entries "post_ln" and "pre_ln": runs.
    ax, letter
        As in `plot_depth`.
    """
    names: list[str] = []
    with plotting.panel(ax, panel_title(letter, "Small start, block by block")) as ax:
        for placement in PLACEMENTS:
            run = run_of(evidence, f"{placement}_ln")
            if run is not None:
                title, colour = PLACEMENTS[placement]
                every, _, rms = rms_of_blocks(run)
                kept = [i for i, name in enumerate(every) if name.startswith("W_") or name in ("embedding", "positions", "head")]
                names = [every[i] for i in kept]
                ax.plot(rms[0, kept], np.arange(len(kept)), color=colour, linewidth=0.9, marker="o", markersize=3.8, label=title)
        if not names:
            raise Inconclusive("the evidence has no runs 'post_ln' and 'pre_ln'")
        name_rows(ax, names)
        ax.set_xlabel(r"$\hat g_b$, root mean square entry of the gradient", labelpad=1.0)
        plotting.log_axis(ax, "x")
        ax.grid(axis="y", color=COLOURS["band"], linewidth=0.6)
        ax.set_axisbelow(True)
    small_rows(ax, len(names))
    return ax


# -- losses by rule ----------------------------------------------------------------------------------------------------


def _chance(ax: Axes, table: Table) -> None:
    classes = table.experiment.setting.classes
    ax.axhline(np.log(classes), label=rf"chance, $\ln {classes}$", **LEVEL)


def plot_final_losses(
    evidence: Evidence, entry: str = "training", *, title: str = "", claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """Loss at the end of training by rule and placement, every rule at the rate that is best for it there.

    Parameters
    ----------
    evidence, entry, title, claims, ax, letter
        As in `plot_depth`.
    """
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, entry, "fixed_loss", "norm", "optimizer", "lr")
        names: list[str] = []
        for at, (looks, of_rule) in enumerate(rules_of(table)):
            names.append(looks.title.replace(" + momentum", "\n+").replace("um ", "um\n"))
            for i, (placement, colour, rows) in enumerate(placements_of(of_rule)):
                try:
                    best, _ = at_best_rate(rows, "fixed_loss")
                except Inconclusive:
                    best = rows
                label = "" if placement in ax.get_legend_handles_labels()[1] else placement
                draw_strip(
                    ax, at + 0.28 * (i - 0.5), best["fixed_loss"], Look(placement, colour), middle=mean_of, label=label, smallest=FIXED,
                )
        _chance(ax, table)
        ax.plot([], [], color=COLOURS["grey"], linewidth=1.8, label="mean over seeds")
        name_columns(ax, names)
        ax.set_ylabel("loss at the end, fixed sequences")
        log_values(ax, smallest=FIXED)
    return ax


def plot_losses_by_rate(
    evidence: Evidence, entry: str = "tuned", norm: str = "post", *, claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """Loss at the end of training against the learning rate of every rule, for one placement, with the best rates ringed.

    Parameters
    ----------
    evidence, entry, claims, ax, letter
        As in `plot_depth`.
    norm : {"post", "pre"}
    """
    with plotting.panel(ax, panel_title(letter, f"{PLACEMENTS[norm][0]}: every rate tried"), verdicts(evidence, *claims)) as ax:
        table = rows_where(table_of(evidence, entry, "fixed_loss", "norm", "optimizer", "lr"), norm=norm)
        if not table.cells:
            raise Inconclusive(f"the sweep {entry!r} has no runs with norm = {norm}")
        draw_rates(ax, table, "fixed_loss", smallest=FIXED)
        _chance(ax, table)
        ax.set(xlabel="learning rate, its peak", ylabel="loss at the end, fixed sequences")
        log_values(ax, smallest=FIXED)
    return ax


def draw_rates(ax: Axes, table: Table, quantity: str, *, smallest: float) -> None:
    """Draw a quantity against the rate for every rule, seeds as dots, means as lines, a ring around the least mean."""
    for looks, rows in rules_of(table):
        lr = np.asarray(variable(rows, "lr"), dtype=float)
        draw_seeds(ax, lr, rows[quantity], looks, middle=mean_of, log=True, smallest=smallest)
        try:
            best, rate = at_best_rate(rows, quantity)
        except Inconclusive:
            continue
        ax.plot([rate], [max(float(np.mean(best[quantity])), smallest)], "o", markersize=10, markerfacecolor="none",
                markeredgecolor=looks.colour, markeredgewidth=1.2, zorder=4)
    ax.plot([], [], "o", markersize=8, markerfacecolor="none", markeredgecolor=COLOURS["grey"], label="best mean of a rule")
    plotting.log_axis(ax, "x")


def plot_curves(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss on the fixed sequences against steps, in a run of each placement.

    Parameters
    ----------
    evidence : mapping of str to Trajectory
        Entries "post_ln" and "pre_ln": runs.
    ax, letter
        As in `plot_depth`.
    """
    with plotting.panel(ax, panel_title(letter, "Two runs of Adam from the small start"), legend_columns=1) as ax:
        runs = {placement: run for placement in PLACEMENTS if (run := run_of(evidence, f"{placement}_ln")) is not None}
        if not runs:
            raise Inconclusive("the evidence has no runs 'post_ln' and 'pre_ln'")
        for placement, run in runs.items():
            title, colour = PLACEMENTS[placement]
            if "train_loss" in run:
                draw(ax, *recorded(run, "train_loss"), colour, linewidth=0.5, alpha=0.5)
            t, y = recorded(run, "fixed_loss")
            draw(ax, t, y, colour, f"{title}: {y[-1]:.2g} at the end")
            classes = run.provenance["setting"]["classes"]
        ax.axhline(np.log(classes), label=rf"chance, $\ln {classes}$; thin: batches", **LEVEL)
        step_axis(ax, max(runs.values(), key=lambda run: float(run.at[-1])), "cross-entropy")
        log_values(ax, smallest=FIXED)
    return ax
