"""Panels of the studies: one sweep each, seeds as dots, beside what the sweep is judged against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from .... import plotting
from ....axes import power, ticks
from ....claims import Inconclusive
from ....plotting import COLOURS, LEVEL, panel_title
from ....sweep import Table
from ..claims import SWEEP_CLAIMS
from ..claims.statistics import ABOVE_CHANCE, FELL, tuned
from ..claims.sweeps import SOLVED
from ..regression.bounds import GAUSSIAN_SLOPE
from .drawing import KERNEL_COLOURS, LIMIT, SMALLEST
from .study_drawing import (
    Evidence,
    common_seeds,
    draw_pairs,
    draw_runs,
    features_per_target,
    geometric,
    kernels_of_table,
    table_of,
    variable,
    verdicts,
)

SAME_RATE = (300, 0.1)
"""Budget and rate at which sentences are compared at the same rate."""
FITTED = 1e-6
"""Losses on random targets below this leave the view: the fits among them differ by tens of powers of ten that mean nothing."""
ROUNDED = 1e-34
"""Shares of the loss at the start below this leave the view."""
THRESHOLD: dict = {"color": COLOURS["ink"], "linewidth": 0.9, "zorder": 1.5}
"""Style of a number that a claim compares with."""


# -- values ------------------------------------------------------------------------------------------------------------


def plot_condition(evidence: Evidence, *, tied: bool = False, ax: Axes | None = None, letter: str = "") -> Axes:
    """Least over largest eigenvalue of the Gram matrix against the scale of queries and keys, with the fourth power of the scale.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "scale".
    tied : bool
        Whether the initial W_Q and W_K are equal.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    claims = ("tied_queries_survive_large_scale",) if tied else ("condition_rises_with_fourth_power", "zero_queries_are_singular")
    title = panel_title(letter, f"Condition of G, queries and keys {'tied' if tied else 'drawn apart'}")
    with plotting.panel(ax, title, verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, "scale", "condition", "qk_scale")
        table = table.rows(variable(table, "tied").astype(bool) == tied)
        if not table.cells:
            raise Inconclusive(f"the sweep has no runs with tied={str(tied).lower()}")
        zero = np.asarray(table["condition"], dtype=float)[variable(table, "qk_scale") == 0]
        draw_runs(ax, table, "qk_scale", "condition", mean=geometric, log=True, smallest=SMALLEST)
        label = "fourth power, from the smallest"
        for _, _, rows in kernels_of_table(table):
            scale, condition = variable(rows, "qk_scale"), variable(rows, "condition")
            ran = (scale > 0) & (condition > 0)
            if ran.any():
                least = scale[ran].min()
                x = np.geomspace(least, max(1.0, least), 2)
                plotting.theory(ax, x, geometric(condition[ran & (scale == least)]) * (x / least) ** 4, label)
                label = ""
        if np.isfinite(zero).any():
            ax.plot([], [], " ", label=f"at scale 0: at most {np.nanmax(zero):.0e}")
        ax.set(yscale="log", ylim=(SMALLEST, 1.0), xlabel="scale of $W_Q$, $W_K$ at the start", ylabel=r"$\lambda_{min}/\lambda_{max}$")
    return ax


def plot_slopes(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Steepest similarity of each kernel against the scale of queries and keys, below the bound that the Gaussian has.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "slopes".
    ax, letter
        As in `plot_condition`.
    """
    found = verdicts(evidence, "gaussian_slope_bounded", "gaussian_slope_falls", "softmax_slope_grows")
    with plotting.panel(ax, panel_title(letter, "Steepest similarity"), found) as ax:
        table = table_of(evidence, "slopes", "slope", "qk_scale")
        draw_runs(ax, table, "qk_scale", "slope", log=True, smallest=SMALLEST)
        bound = GAUSSIAN_SLOPE * table.experiment.setting.d ** -0.25
        ax.axhline(bound, color=KERNEL_COLOURS["gaussian"], label=f"bound of the Gaussian, {bound:.3f}", **LIMIT)
        ax.set(xlabel="scale of $W_Q$, $W_K$", ylabel=r"$\|dS\|_F\,/\,\|d(q - k)\|_F$")
        plotting.log_axis(ax)
        ticks(ax, table["qk_scale"])
    return ax


def plot_rank(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Rank of the Gram matrix against the largest rank that it can have.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "rank".
    ax, letter
        As in `plot_condition`.
    """
    with plotting.panel(ax, panel_title(letter, "Rank of G"), verdicts(evidence, "rank_in_every_setting")) as ax:
        table = table_of(evidence, "rank", "rank", "rank_rule")
        rule = np.unique(table["rank_rule"])
        plotting.theory(ax, rule, rule, "equal")
        draw_runs(ax, table, "rank_rule", "rank", mean=None)
        settings = len(list(table.points())) // len(list(kernels_of_table(table)))
        ax.plot([], [], " ", label=f"{np.isfinite(table['rank']).sum()} runs, {settings} settings")
        ax.set(xlabel=r"$\min(HD, Nn)$", ylabel="rank found")
        ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return ax


def plot_floor(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The loss that training W_V alone leaves, against features per target.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "rank".
    ax, letter
        As in `plot_condition`.
    """
    with plotting.panel(ax, panel_title(letter, "Loss that $W_V$ alone leaves"), verdicts(evidence, "floor_exactly_where_short")) as ax:
        table = table_of(evidence, "rank", "floor")
        draw_runs(ax, table, features_per_target, "floor", log=True)
        _at_one(ax)
        ax.set(ylabel=r"floor $f_\infty$", xlabel="features per target, $HD / Nn$")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    return ax


def _at_one(ax: Axes) -> None:
    ax.axvline(1.0, label="$HD = Nn$", **LEVEL)


def plot_threshold(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss at the end over that at the start, with W_Q, W_K and W_V trained, against features per target.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "threshold".
    ax, letter
        As in `plot_condition`.
    """
    with plotting.panel(ax, panel_title(letter, "$W_Q$, $W_K$, $W_V$ trained"), verdicts(evidence, "threshold_fits")) as ax:
        table = table_of(evidence, "threshold", "train_loss", "loss_start")
        draw_runs(ax, table, features_per_target, _share_left, mean=None, log=True, smallest=ROUNDED)
        ax.axhline(SOLVED, label=f"counts as fitted, ${power(SOLVED)}$", **THRESHOLD)
        _at_one(ax)
        ax.set(yscale="log", ylim=(ROUNDED, 10.0), xlabel="features per target, $HD / Nn$")
        ax.set_ylabel(f"$f_T / f_0$ after {table.experiment.steps:,} steps")
        ticks(ax, features_per_target(table))
    return ax


def _share_left(table: Table) -> NDArray:
    return variable(table, "train_loss") / variable(table, "loss_start")


# -- queries -----------------------------------------------------------------------------------------------------------


def plot_jacobian_ranks(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Rank of the Jacobian of a token's output by its query, one head and n outputs, against the number n of tokens.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "jacobian".
    ax, letter
        As in `plot_condition`.
    """
    title = panel_title(letter, "Rank of the token Jacobian, as many outputs as tokens")
    with plotting.panel(ax, title, verdicts(evidence, "jacobian_ranks")) as ax:
        table = table_of(evidence, "jacobian", "jacobian_rank", "n")
        n = np.unique(variable(table, "n"))
        draw_runs(ax, table, "n", "jacobian_rank", mean=None)
        for less, label in ((0.0, "predicted: $n$ and $n - 1$"), (1.0, "")):
            plotting.theory(ax, n, n - less, label, linewidth=0.9, zorder=2)
        ax.set(xlabel="tokens and outputs, $n$", ylabel="rank of $J_k$")
        ticks(ax, n)
    return ax


def plot_pair_floors(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss of antisymmetric pairs of heads over the floor that softmax has, against the scale of the values.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "floor".
    ax, letter
        As in `plot_condition`.
    """
    found = verdicts(evidence, "pairs_never_below_floor", "pairs_reach_floor", "gaussian_pairs_below_softmax")
    with plotting.panel(ax, panel_title(letter, "Pairs of heads, as many outputs as tokens"), found) as ax:
        table = table_of(evidence, "floor", "train_loss", "pair_floor", "v_scale")
        draw_runs(ax, table, "v_scale", lambda rows: rows["train_loss"] / rows["pair_floor"], mean=np.median, log=True, smallest=SMALLEST)
        ax.axhline(1.0, label="floor of softmax", **LEVEL)
        ax.plot([], [], " ", label="lines: median over seeds")
        ax.set(yscale="log", ylim=(SMALLEST, 1e2), xlabel="scale of the values", ylabel="$f_T$ / floor of softmax")
        ticks(ax, table["v_scale"])
    return ax


def _sizes(table: Table) -> list[tuple[str, Table]]:
    """Return rows by size, labelled H, n, d_o, in the order of the sweep."""
    found = np.stack([variable(table, name) for name in ("H", "n", "d_o")], axis=1)
    sizes = dict.fromkeys(map(tuple, found.tolist()))
    return [(", ".join(f"{value:g}" for value in size), table.rows((found == size).all(axis=1))) for size in sizes]


SIZE = "size: $H$, $n$, $d_o$"


def plot_random(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss at the end on random targets, seed by seed under softmax and the Gaussian, at several sizes.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "random".
    ax, letter
        As in `plot_condition`.
    """
    found = verdicts(evidence, *(id for id in SWEEP_CLAIMS if id.startswith("random_")))
    with plotting.panel(ax, panel_title(letter, "Random targets: the same seeds under both kernels"), found) as ax:
        table = table_of(evidence, "random", "train_loss")
        draw_pairs(ax, [(size, *common_seeds(rows, "train_loss")) for size, rows in _sizes(table)], smallest=FITTED)
        ax.set(xlabel=SIZE, ylabel=f"$f_T$ after {table.experiment.steps:,} steps")
    return ax


def plot_teacher(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Share of runs with a teacher's targets that fall below 1 % of their loss at the start, at several sizes.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "teacher".
    ax, letter
        As in `plot_condition`.
    """
    title = panel_title(letter, "Targets of a teacher with the same kernel")
    with plotting.panel(ax, title, verdicts(evidence, "teacher_both_fall")) as ax:
        table = table_of(evidence, "teacher", "train_loss", "loss_start")
        groups = list(kernels_of_table(table))
        wide = 0.72 / len(groups)
        sizes = [size for size, _ in _sizes(table)]
        for i, (colour, kernel, rows) in enumerate(groups):
            fell = {size: _share_left(part) < FELL for size, part in _sizes(rows)}
            at = np.array([sizes.index(size) for size in fell]) + wide * (i - 0.5 * (len(groups) - 1))
            shares = [100.0 * float(part.mean()) for part in fell.values()]
            every = np.concatenate(list(fell.values()))
            ax.bar(at, shares, 0.9 * wide, color=colour, zorder=2, label=f"{kernel}: {every.mean():.0%} of all {len(every)} runs")
            for x, share in zip(at, shares, strict=True):
                inside = share > 20.0
                ax.text(x, share - 6.0 if inside else share + 1.0, f"{share:.0f}", ha="center", va="top" if inside else "bottom",
                        fontsize=plotting.SMALL, color="white" if inside else "black")
        ax.axhline(80.0, label="claimed for all sizes together, 80 %", **{**THRESHOLD, "zorder": 3})
        ax.set_xticks(range(len(sizes)), sizes)
        ax.set(xlabel=SIZE, ylabel=f"runs below {FELL:.0%} of the loss at the start, %", ylim=(0.0, 105.0))
    return ax


# -- the classifier ----------------------------------------------------------------------------------------------------


def plot_accuracies(
    evidence: Evidence, entry: str, *, against: str = "lr", steps: int | None = None, claims: Sequence[str] = (), title: str = "",
    ax: Axes | None = None, letter: str = "",
) -> Axes:
    """Test accuracy of every seed and its mean against the rate or the budget; the best rate of each kernel is ringed.

    Parameters
    ----------
    evidence : mapping of str to Table
    entry : {"text", "path", "one_layer"}
    against : {"lr", "steps"}
        What the x axis is.
    steps : int, optional
        The budget, where the sweep has several.
    claims : sequence of str
        Whose verdicts are told.
    title : str
    ax, letter
        As in `plot_condition`.
    """
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        table = table_of(evidence, entry, "test_accuracy", against)
        if steps is not None:
            table = table.rows(variable(table, "steps") == steps)
            if not table.cells:
                raise Inconclusive(f"the sweep has no runs of {steps} steps")
        ax.axhline(0.5, label="chance", **LEVEL)
        draw_runs(ax, table, against, "test_accuracy", log=True)
        if against == "lr" and "full_loss" in table:
            _ring_tuned(ax, table)
        if entry != "text":
            ax.axhline(ABOVE_CHANCE, label=f"counts as more than chance, {ABOVE_CHANCE:g}", **THRESHOLD)
        ax.set_ylim(min(0.42, ax.get_ylim()[0]), max(0.9, ax.get_ylim()[1]))
        ax.set(xlabel={"lr": r"learning rate $\eta$", "steps": "steps"}[against], ylabel="test accuracy")
        ticks(ax, table[against])
    return ax


def _ring_tuned(ax: Axes, table: Table) -> None:
    """Ring the mean at the rate with the lowest training loss of each kernel."""
    label = "lowest training loss"
    for name, colour in KERNEL_COLOURS.items():
        try:
            rate, runs = tuned(table, name)
        except Inconclusive:  # no run of this kernel, or no rate that trains it in every seed: no ring
            continue
        ax.plot([rate], [np.mean(runs["test_accuracy"])], "o", markersize=9, markerfacecolor="none", markeredgecolor=colour,
                markeredgewidth=1.4, zorder=4, label=label or None)
        label = ""


def plot_paired_accuracies(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Test accuracy on sentences, seed by seed under softmax and the Gaussian: at the same rate, and at each kernel's best rate.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "text".
    ax, letter
        As in `plot_condition`.
    """
    found = verdicts(evidence, *(id for id in SWEEP_CLAIMS if id.startswith("text_")))
    with plotting.panel(ax, panel_title(letter, "The same seeds under both kernels"), found) as ax:
        table = table_of(evidence, "text", "test_accuracy", "full_loss", "lr")
        steps, lr = SAME_RATE
        same = table.rows((variable(table, "steps") == steps) & (variable(table, "lr") == lr))
        groups = [(f"{steps}, both {lr:g}", *common_seeds(same, "test_accuracy"))]
        for budget in np.unique(table["steps"]):
            rows = table.rows(table["steps"] == budget)
            try:
                chosen = {kernel: tuned(rows, kernel)[0] for kernel in ("softmax", "gaussian")}
            except Inconclusive:  # a kernel is not there, or has no rate that trains it in every seed
                continue
            best = np.array([chosen.get(kernel) == rate for kernel, rate in zip(rows["kernel"], rows["lr"], strict=True)])
            label = f"{budget:g}, {chosen['softmax']:g} | {chosen['gaussian']:g}"
            groups.append((label, *common_seeds(rows.rows(best), "test_accuracy")))
        draw_pairs(ax, groups)
        ax.set(xlabel="steps, rate (best of softmax | of Gaussian)", ylabel="test accuracy")
    return ax


def plot_paired_seeds(
    evidence: Evidence, quantity: str, *, log: bool = False, title: str = "", label: str = "", ax: Axes | None = None, letter: str = "",
) -> Axes:
    """A quantity at the end of stage two, seed by seed under softmax and the Gaussian, with the verdicts on claims about it.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "landscape".
    quantity : str
        A column.
    log : bool
        Whether it is compared by its logarithm; it must then be above 0.
    title, label : str
        Of the panel and its y axis.
    ax, letter
        As in `plot_condition`.
    """
    claims = [id for id, claim in SWEEP_CLAIMS.items() if quantity in claim.needs.get("landscape", ())]
    with plotting.panel(ax, panel_title(letter, title), verdicts(evidence, *claims)) as ax:
        softmax, gaussian = common_seeds(table_of(evidence, "landscape", quantity), quantity)
        least = min([*softmax, *gaussian], default=0.0)
        draw_pairs(ax, [("", softmax, gaussian)], smallest=10.0 ** np.floor(np.log10(least)) if log and least > 0 else 0.0)
        ax.set_xticks([-0.18, 0.18], ["softmax", "Gaussian"])
        ax.set_ylabel(label)
    return ax


