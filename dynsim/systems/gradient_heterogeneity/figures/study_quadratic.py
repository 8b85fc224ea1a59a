"""Panels of the study of quadratics: steps to a target, rotation, paths, and bounds beside what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....axes import log_values, step_axis
from ....claims import Inconclusive
from ....plotting import COLOURS, LEVEL, panel_title
from ....sweep import Table
from .drawing import GRADIENT, SIGN, Look, draw, look_of_run, together
from .study_drawing import (
    Evidence,
    diagonal,
    draw_seeds,
    geometric,
    name_columns,
    rows_where,
    rules_of,
    run_of,
    table_of,
    variable,
    verdicts,
)

STARTS = {
    "equal_loss": "Blocks of equal loss", "equal_distance": "Blocks at equal distance", "equal_curvature": "Blocks of equal curvature",
}
"""Titles of the starts."""
START_COLOURS = {"equal_loss": COLOURS["ink"], "equal_distance": COLOURS["sky"], "equal_curvature": COLOURS["wine"]}
SPREADS = (COLOURS["sky"], COLOURS["ink"], COLOURS["wine"], COLOURS["brown"])
"""Colours of the spreads of log-normal blocks."""
X_LABELS = {
    "equal_loss": r"$k$, largest over smallest $h_b$", "equal_distance": r"$k$, largest over smallest $h_b$",
    "equal_curvature": r"$k$, of the gradients alone: all $h_b = 1$",
}
VIEW = (0.7, 10_000.0)
"""Steps that panels of the same kind show."""


def plot_steps(evidence: Evidence, *, initial: str = "equal_loss", ax: Axes | None = None, letter: str = "") -> Axes:
    """Steps to the target against heterogeneity k, every rule at its best rate, seeds as dots and medians as lines.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "target".
    initial : str
        Start of the blocks; of those of equal loss with powers of k as guides.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    with plotting.panel(ax, panel_title(letter, STARTS[initial]), verdicts(evidence, *STEPS_CLAIMS[initial])) as ax:
        table = rows_where(table_of(evidence, "target", "steps_to_target", "k", "optimizer"), initial=initial)
        if not table.cells:
            raise Inconclusive(f"the sweep has no runs with initial = {initial}")
        for i, (looks, rows) in enumerate(rules_of(table)):
            k, steps = np.asarray(variable(rows, "k"), dtype=float), rows["steps_to_target"]
            draw_seeds(ax, k, steps, looks, shift=0.05 * (i - 2), log=True, missing="not reached")
            if initial == "equal_loss" and looks.title in GUIDES:
                _guide(ax, k, steps, GUIDES[looks.title])
        if initial == "equal_loss":
            ax.plot([], [], label=r"$\propto k$ and $\propto k^{1/4}$", **GUIDE)
        at_edge = int(np.nansum(table["edge"])) if "edge" in table else 0
        if at_edge:
            ax.plot([], [], " ", label=f"{at_edge} best rates at the edge of those tried")
        ax.set(xscale="log", ylim=VIEW, xlabel=X_LABELS[initial], ylabel="steps to $10^{-3}$ of the loss")
        plotting.log_axis(ax)
    return ax


STEPS_CLAIMS = {
    "equal_loss": ("target_gradient_grows", "target_sign_grows_slowly", "target_adam_grows_slowly", "target_best_rate_inside"),
    "equal_distance": ("target_equal_distance_milder",), "equal_curvature": ("target_equal_curvature_flat",),
}
GUIDES = {"GD": 1.0, "SignGD": 0.25}
"""Powers of k that the steps of a rule go with, if blocks have the same loss."""


GUIDE: dict[str, Any] = {"color": COLOURS["grey"], "linewidth": 0.9, "zorder": 1}


def _guide(ax: Axes, k: NDArray, steps: NDArray, power: float) -> None:
    reached = [value for value in np.unique(k) if np.isfinite(steps[k == value]).all()]
    if len(reached) > 1:
        x = np.array([reached[0], k.max()])
        ax.plot(x, geometric(steps[k == reached[-1]]) * (x / reached[-1]) ** power, **GUIDE)


def plot_start_ratio(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Lambda_G / Lambda_P at the start, and R, against heterogeneity k for every start of the blocks.

    Parameters
    ----------
    evidence, ax, letter
        As in `plot_steps`.
    """
    with plotting.panel(ax, panel_title(letter, "One step at the start"), verdicts(evidence, "identity_target")) as ax:
        table = table_of(evidence, "target", "ratio", "R", "k", "optimizer")
        table = rows_where(table, optimizer=table["optimizer"][0])  # all rules start at the same points
        for initial, colour in START_COLOURS.items():
            rows = rows_where(table, initial=initial)
            if rows.cells:
                k, words = np.asarray(variable(rows, "k"), dtype=float), initial.replace("_", " ")
                draw_seeds(ax, k, rows["ratio"], Look(words, colour))
                draw_seeds(ax, k, rows["R"], Look("_", colour, momentum=True))
        for label, own in ((r"$\Lambda_G / \Lambda_P$", Look("", COLOURS["grey"])), ("$R$", Look("", COLOURS["grey"], momentum=True))):
            ax.plot([], [], label=label, **{**own.dot, **own.stroke})
        ax.axhline(1.0, **LEVEL)
        ax.set(xscale="log", xlabel="$k$", ylabel="ratio")
        log_values(ax)
    return ax


def plot_rotation(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Steps to the target of every rule on the axes of the blocks and turned, medians as bars and seeds as dots.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "rotation".
    ax, letter
        As in `plot_steps`.
    """
    found = verdicts(evidence, "rotation_gradient_unchanged", "rotation_sign_slower", "rotation_adam_slower")
    with plotting.panel(ax, panel_title(letter, "The same quadratic turned"), found) as ax:
        table = table_of(evidence, "rotation", "steps_to_target", "rotated", "optimizer")
        names = []
        for i, (looks, rows) in enumerate(rules_of(table)):
            names.append(looks.title)
            medians = {}
            for side, rotated in ((-0.19, "no"), (0.19, "all")):
                steps = rows_where(rows, rotated=rotated)["steps_to_target"]
                steps = steps[np.isfinite(steps)]
                if not len(steps):
                    ax.annotate("not\nreached", (i + side, 1.0), ha="center", fontsize=plotting.SMALL)
                    continue
                medians[rotated] = float(np.median(steps))
                face = looks.colour if rotated == "no" else "white"
                ax.bar(i + side, medians[rotated] - VIEW[0], 0.34, bottom=VIEW[0], facecolor=face, edgecolor=looks.colour, linewidth=1.2)
                ax.plot(np.full(len(steps), i + side), steps, ".", color=COLOURS["ink"], markersize=3.5, zorder=4)
            if len(medians) == 2:
                ax.annotate(f"× {medians['all'] / medians['no']:.3g}", (i, max(medians.values())), (0, 5), textcoords="offset points",
                            ha="center", fontsize=plotting.SMALL)
        for face, label in ((COLOURS["grey"], "on the axes"), ("white", "turned all together")):
            ax.bar([0], [np.nan], facecolor=face, edgecolor=COLOURS["grey"], label=label)
        name_columns(ax, names)
        ax.set(yscale="log", ylim=VIEW, ylabel="steps to $10^{-3}$ of the loss")
        plotting.log_axis(ax)
    return ax


def plot_paths(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Lambda_G / Lambda_P along the path of gradient descent and of sign descent.

    Parameters
    ----------
    evidence : mapping of str to Trajectory
        Entries "gradient_path" and "sign_path": runs.
    ax, letter
        As in `plot_steps`.
    """
    with plotting.panel(ax, panel_title(letter, "Along the path"), legend_columns=1) as ax:
        runs = [run for run in (run_of(evidence, name) for name in ("gradient_path", "sign_path")) if run is not None]
        if not runs:
            raise Inconclusive("the evidence has no runs 'gradient_path' and 'sign_path'")
        for run in runs:
            t, G, P = together(run, "Lambda_G", "Lambda_P")
            draw(ax, t, G / P, look_of_run(run).colour, f"{look_of_run(run).title}, {run.at[-1]:g} steps", log=True)
        ax.axhline(1.0, **LEVEL)
        step_axis(ax, max(runs, key=lambda run: float(run.at[-1])), r"$\Lambda_G / \Lambda_P$", log=True)
        log_values(ax)
    return ax


# -- bounds ------------------------------------------------------------------------------------------------------------

_RULES = (("T1", "T1, gradient steps", GRADIENT), ("T2", "T2, sign steps", SIGN))


def _theorem_tables(evidence: Evidence) -> list[tuple[str, str, str, Table]]:
    """Return what, its spread, marker and table of the sweeps over the theorems that there are."""
    found = []
    for entry, words, spread, marker in (("theorems", "quadratics", "h_sd", "o"), ("logistic", "logistic", "scale", "s")):
        if entry in evidence:
            needed = [f"{T}_{of}" for T, _, _ in _RULES for of in ("steps", "bound", "decrease")]
            found.append((words, spread, marker, table_of(evidence, entry, *needed)))
    if not found:
        raise Inconclusive("the evidence has no 'theorems' and no 'logistic'")
    return found


def plot_step_bounds(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Steps to a small gradient against the bounds T1 and T2 on them.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "theorems" and "logistic".
    ax, letter
        As in `plot_steps`.
    """
    found = verdicts(evidence, "theorems_T1", "theorems_T2", "logistic_T1", "logistic_T2")
    with plotting.panel(ax, panel_title(letter, "Steps to a small gradient"), found) as ax:
        every = []
        for words, _, marker, table in _theorem_tables(evidence):
            for T, title, colour in _RULES:
                bound, steps = table[f"{T}_bound"], table[f"{T}_steps"]
                ax.plot(bound, steps, marker, color=colour, markersize=4.2, markerfacecolor=colour if marker == "o" else "white",
                        alpha=0.85, zorder=3, label=f"{title}, {words}")
                every.append(bound)
        diagonal(ax, np.concatenate(every), "equal to the bound")
        ax.set(xlabel="bound on the steps", ylabel="steps taken")
        plotting.log_axis(ax, "x")
        plotting.log_axis(ax)
    return ax


def plot_decrease(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Least decrease of the loss over what is guaranteed, over all steps, against the spread of curvature.

    Parameters
    ----------
    evidence, ax, letter
        As in `plot_step_bounds`.
    """
    claims = ("theorems_decrease", "theorems_isotropic_exact", "theorems_assumptions", "logistic_decrease", "logistic_assumptions")
    with plotting.panel(ax, panel_title(letter, "Least decrease over the guaranteed one"), verdicts(evidence, *claims)) as ax:
        for words, spread, marker, table in _theorem_tables(evidence):
            x = np.asarray(variable(table, spread), dtype=float)
            for side, (T, title, colour) in zip((-0.02, 0.02), _RULES, strict=True):
                ax.plot(x + side, table[f"{T}_decrease"], marker, color=colour, markersize=4.2,
                        markerfacecolor=colour if marker == "o" else "white", alpha=0.85, zorder=3, label=f"{title}, {words}")
        ax.axhline(1.0, label="guaranteed", **LEVEL)
        ax.set(xlabel=r"spread: s.d. of $\ln h_b$, or scale of logistic features", ylabel="decrease / guaranteed")
        ax.set_ylim(bottom=0.0)
    return ax


def plot_law(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """R of log-normal blocks against the power that curvature is of the gradient, with its law dashed.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "law".
    ax, letter
        As in `plot_steps`.
    """
    title = panel_title(letter, r"Log-normal blocks: $R = (2/\pi)\, e^{s^2(2a - 1)}$")
    with plotting.panel(ax, title, verdicts(evidence, "law_small_spread", "law_unit_spread"), legend_columns=1) as ax:
        table = table_of(evidence, "law", "law_a", "law_s", "law_R", "law_predicted")
        a, s, R, law = (np.ravel(table[f"law_{name}"]) for name in ("a", "s", "R", "predicted"))
        for colour, spread in zip(SPREADS, np.unique(s[np.isfinite(s)]), strict=False):
            own = (s == spread) & np.isfinite(R)
            if own.any():
                off = float(np.abs(R[own] / law[own] - 1.0).max())
                label = f"$s = {spread:g}$: at most {100 * off:.2g} % off"
                ax.plot(a[own], R[own], "o", color=colour, markersize=4.2, zorder=3, label=label)
                rows = np.argsort(a[own])
                plotting.theory(ax, a[own][rows], law[own][rows], linewidth=0.9, zorder=2)
        plotting.theory(ax, [], [], "law")
        ax.axhline(1.0, **LEVEL)
        ax.axvline(0.5, **LEVEL)
        ax.set(xlabel=r"$a$ of $h = \hat g^{\,a}$", ylabel="$R$: above 1 a sign step promises more")
        log_values(ax)
    return ax


def plot_noise(evidence: Evidence, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Means over noisy runs against the bounds S1 of gradient steps and S2 of sign steps.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "noise".
    ax, letter
        As in `plot_steps`.
    """
    parts = (
        ("S1_mean", "S1_bound", r"S1: mean $\|g\|_2^2$, gradient steps", GRADIENT, "o"),
        ("S2_mean", "S2_bound", r"S2: mean $\|g\|_1$, sign steps", SIGN, "o"),
        ("S2_progress", "S2_silent", "S2: mean expected progress, without a noise term", SIGN, "D"),
    )
    found = verdicts(evidence, "noise_S1", "noise_S1_needed", "noise_S2", "noise_S2_needed", "noise_progress")
    with plotting.panel(ax, panel_title(letter, "With noise"), found, legend_columns=1) as ax:
        table = table_of(evidence, "noise", *(name for part in parts for name in part[:2]))
        for mean, bound, words, colour, marker in parts:
            face = colour if marker == "o" else "white"
            ax.plot(table[bound], table[mean], marker, color=colour, markerfacecolor=face, markersize=4.6, zorder=3, label=words)
        diagonal(ax, np.concatenate([table[bound] for _, bound, *_ in parts]), "equal to the bound")
        ax.set(xlabel="bound", ylabel="measured, mean over steps and repeats")
        plotting.log_axis(ax, "x")
        plotting.log_axis(ax)
    return ax
