"""Panels of the studies of the linear head: drift beside its prediction, what the loss does not see, losses by rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....axes import log_values
from ....claims import Inconclusive
from ....plotting import COLOURS, LEVEL, panel_title
from ....sweep import Table
from .drawing import SIGN, Look, look
from .study_drawing import (
    Evidence,
    at_best_rate,
    draw_strip,
    mean_of,
    name_columns,
    rows_where,
    rules_of,
    table_of,
    variable,
    verdicts,
)
from .study_transformer import draw_rates

SOLVED = 1e-6
"""Losses below this leave the view."""
MARKERS = ("o", "o", "s", "D")
"""Of momentum 0, 0.9 and 0.99: filled, then open ones."""


def _momenta(table: Table) -> Iterator[tuple[float, Look, str, Table]]:
    """Yield momentum's place aside, look, marker and rows."""
    values = np.unique(np.asarray(variable_of_rule(table), dtype=float))
    for i, beta in enumerate(values):
        looks = look("signgd", float(beta))
        yield 0.24 * (i - 0.5 * (len(values) - 1)), looks, MARKERS[min(i, 3)] if beta else "o", table.rows(variable_of_rule(table) == beta)


def variable_of_rule(table: Table) -> NDArray:
    """Return the momentum of every row: its column, or the experiment's rule's."""
    if "momentum" in table:
        return np.asarray(table["momentum"], dtype=float)
    return np.full(table.cells, float(getattr(table.experiment.optimizer, "momentum", 0.0)))


def _cases(table: Table, *names: str) -> list[tuple[Any, ...]]:
    """Return the values of some variables that occur together, in the order of the rows."""
    return list(dict.fromkeys(zip(*(variable(table, name).tolist() for name in names), strict=True)))


def _by_size(table: Table) -> list[tuple[tuple[Any, ...], Table]]:
    """Return (C, n) and rows, from many classes a sample of a batch to few; n = 0 stands for all samples."""
    cases = sorted(_cases(table, "C", "batch"), key=lambda case: (-case[0] / case[1] if case[1] else 0.0, case[0]))
    return [(case, rows_where(table, C=case[0], batch=case[1])) for case in cases]


def _size_names(sizes: Sequence[tuple[Any, ...]]) -> list[str]:
    return [f"{C}, {n or 'all'}" for C, n in sizes]


SIZES = "classes $C$, samples a batch $n$"


def plot_drift(evidence: Evidence, *, claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "") -> Axes:
    """Mean sign of the bias updates for every number of classes, batch and momentum, beside its prediction.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "drift".
    claims : sequence of str
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    with plotting.panel(ax, panel_title(letter, "Drift of the biases"), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, "drift", "drift", "drift_predicted", "C", "batch")
        found = _by_size(table)
        for at, (_, rows) in enumerate(found):
            for aside, looks, marker, own in _momenta(rows):
                known = looks.title in ax.get_legend_handles_labels()[1]
                draw_strip(ax, at + aside, own["drift"], looks, label="" if known else looks.title, marker=marker, width=0.0)
                predicted = own["drift_predicted"][:1]
                plotting.theory(ax, [at + aside - 0.1, at + aside + 0.1], np.repeat(predicted, 2), linestyle="-", linewidth=1.4)
        ax.plot([], [], color="black", linewidth=1.4, label="predicted while $p = 1/C$")
        name_columns(ax, _size_names([size for size, _ in found]), SIZES)
        ax.set(ylabel="mean sign of bias updates")
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    return ax


def plot_gauge_shares(evidence: Evidence, *, claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "") -> Axes:
    """Share of the weights that the loss does not see, for every number of classes, batch and momentum.

    Parameters
    ----------
    evidence, claims, ax, letter
        As in `plot_drift`.
    """
    with plotting.panel(ax, panel_title(letter, "Share that the loss does not see"), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, "drift", "gauge_share", "C", "batch")
        found = _by_size(table)
        for at, (_, rows) in enumerate(found):
            for aside, looks, marker, own in _momenta(rows):
                known = looks.title in ax.get_legend_handles_labels()[1]
                draw_strip(ax, at + aside, own["gauge_share"], looks, label="" if known else looks.title, marker=marker)
        name_columns(ax, _size_names([size for size, _ in found]), SIZES)
        ax.set(ylabel=r"$C\,\|\bar v\|^2 / \|V\|_F^2$", ylim=(-0.02, 1.02))
    return ax


def plot_head_norms(evidence: Evidence, *, claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "") -> Axes:
    """Norm of the weights, and at the lower end of its line that without the mean over the classes.

    Parameters
    ----------
    evidence, claims, ax, letter
        As in `plot_drift`.
    """
    with plotting.panel(ax, panel_title(letter, "Norms of the weights"), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, "drift", "V_norm", "V_centred_norm", "C", "batch")
        found = _by_size(table)
        for at, (_, rows) in enumerate(found):
            for aside, looks, marker, own in _momenta(rows):
                total, centred = np.median(own["V_norm"]), np.median(own["V_centred_norm"])
                ax.plot([at + aside] * 2, [centred, total], color=looks.colour, linewidth=1.0, zorder=2)
                ax.plot([at + aside], [centred], "_", color=looks.colour, markersize=7, markeredgewidth=1.6, zorder=3)
                known = looks.title in ax.get_legend_handles_labels()[1]
                ax.plot([at + aside], [total], label=None if known else looks.title, **{**looks.dot, "marker": marker, "zorder": 3})
        ax.plot([], [], "_", color=SIGN, markersize=7, markeredgewidth=1.6, label="without the mean over classes")
        name_columns(ax, _size_names([size for size, _ in found]), SIZES)
        ax.set(ylabel=r"$\|V\|_F$, median over seeds")
        ax.set_ylim(bottom=0.0)
    return ax


def plot_projected(
    evidence: Evidence, quantity: str = "train_loss", projected: str = "projected_loss", *, title: str = "", claims: Sequence[str] = (),
    ax: Axes | None = None, letter: str = "",
) -> Axes:
    """What a long run ends with, and the same run with the mean over the classes taken out of its updates.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "controls".
    quantity, projected : str
        Columns of the run and of its projected twin.
    title : str
    claims, ax, letter
        As in `plot_drift`.
    """
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, "controls", quantity, projected)
        names = []
        for at, (_, looks, _, rows) in enumerate(_momenta(table)):
            names.append(looks.title)
            plain, twin = Look("", SIGN), Look("", COLOURS["ink"], momentum=True)
            draw_strip(ax, at - 0.12, rows[quantity], plain, label="" if at else "sign steps")
            draw_strip(ax, at + 0.12, rows[projected], twin, label="" if at else "mean over classes taken out", marker="D")
        name_columns(ax, names)
        ax.set_ylabel({"train_loss": "loss at the end", "V_norm": r"$\|V\|_F$ at the end"}[quantity])
        log_values(ax, smallest=SOLVED)
    return ax


def plot_tuned(
    evidence: Evidence, entry: str = "noisy_labels", *, claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """Loss at the end against the rate of every rule, with noisy labels and many classes.

    Parameters
    ----------
    evidence : mapping of str to Table
    entry : str
    claims, ax, letter
        As in `plot_drift`.
    """
    with plotting.panel(ax, panel_title(letter, "Every rate tried, noisy labels"), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, entry, "train_loss", "optimizer", "lr")
        draw_rates(ax, table, "train_loss", smallest=SOLVED)
        C = table.experiment.setting.C
        ax.axhline(np.log(C), label=rf"chance, $\ln {C}$", **LEVEL)
        ax.set(xlabel="learning rate, its peak", ylabel="loss at the end, all samples")
        log_values(ax, smallest=SOLVED)
    return ax


# -- more sizes --------------------------------------------------------------------------------------------------------


def plot_best_losses(
    evidence: Evidence, entry: str, *, title: str = "", claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """Loss at the end by size and rule, every rule at the rate that is best for it there.

    Parameters
    ----------
    evidence, entry, title, claims, ax, letter
        As in `plot_tuned`; the sweep varies C, batch or both.
    """
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, entry, "train_loss", "optimizer", "lr", "C", "batch")
        sizes = sorted(_cases(table, "C", "batch"))
        rules = [looks.title for looks, _ in rules_of(table)]
        for at, (C, n) in enumerate(sizes):
            for looks, rows in rules_of(rows_where(table, C=C, batch=n)):
                aside = 0.8 / len(rules) * (rules.index(looks.title) - 0.5 * (len(rules) - 1))
                try:
                    best, _ = at_best_rate(rows, "train_loss")
                except Inconclusive:
                    best = rows
                known = looks.title in ax.get_legend_handles_labels()[1]
                draw_strip(ax, at + aside, best["train_loss"], looks, middle=mean_of, label="" if known else looks.title, width=0.06,
                           smallest=SOLVED)
            ax.plot([at - 0.42, at + 0.42], [np.log(C)] * 2, label="" if at else r"chance, $\ln C$", **LEVEL)
        name_columns(ax, _size_names(sizes), SIZES)
        ax.set(ylabel="loss at the end, best rate of each rule")
        log_values(ax, smallest=SOLVED)
    return ax


CONTROLS = {"drift": "mean sign of bias updates", "gauge_share": "share that the loss does not see", "train_loss": "loss at the end"}


def plot_conditions(
    evidence: Evidence, quantity: str = "drift", *, title: str = "", claims: Sequence[str] = (), ax: Axes | None = None, letter: str = "",
) -> Axes:
    """What sign steps end with in large and full batches, and on features without a mean that classes share.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "large_batch".
    quantity : {"drift", "gauge_share", "train_loss"}
    title, claims, ax, letter
        As in `plot_best_losses`.
    """
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims), legend_columns=1) as ax:
        table = table_of(evidence, "large_batch", quantity, "batch", "common")
        cases = _cases(table, "batch", "common")
        for at, (n, common) in enumerate(cases):
            rows = rows_where(table, batch=n, common=common)
            for aside, looks, marker, own in _momenta(rows):
                known = looks.title in ax.get_legend_handles_labels()[1]
                draw_strip(ax, at + aside, own[quantity], looks, label="" if known else looks.title, marker=marker, smallest=SOLVED)
                if quantity == "drift" and "drift_predicted" in own:
                    predicted = own["drift_predicted"][:1]
                    plotting.theory(ax, [at + aside - 0.14, at + aside + 0.14], np.repeat(predicted, 2), linestyle="-", linewidth=1.4,
                                    label="" if at else "predicted while $p = 1/C$")
        words = [f"{f'n = {n}' if n else 'all samples'}\n{'' if common else 'no shared mean'}".rstrip() for n, common in cases]
        name_columns(ax, words)
        ax.set_ylabel(f"{CONTROLS[quantity]}, $C = {table.experiment.setting.C}$")
        if quantity == "train_loss":
            log_values(ax, smallest=SOLVED)
        else:
            ax.set_ylim(min(-0.03, ax.get_ylim()[0]), 1.02)
    return ax
