"""Figures of the studies, each a function of the study's sweeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .... import plotting
from ....claims import Inconclusive
from .study_drawing import Evidence
from .study_panels import (
    plot_accuracies,
    plot_condition,
    plot_floor,
    plot_jacobian_ranks,
    plot_pair_floors,
    plot_paired_accuracies,
    plot_paired_seeds,
    plot_random,
    plot_rank,
    plot_slopes,
    plot_teacher,
    plot_threshold,
)

__all__ = ["STUDY_FIGURES", "landscape_study", "path_study", "queries_study", "text_study", "value_study"]


def _page(
    evidence: Evidence, entries: Sequence[str], fig: Figure | None, size: tuple[float, float], text: str, names: Sequence[str]
) -> Figure:
    """Return a figure with its headline; Inconclusive if the evidence has runs of none of the entries.

    Details are those of the first entry that is there: what it does not vary, and its seeds.
    """
    tables = [evidence[entry] for entry in entries if entry in evidence and evidence[entry].cells]
    if not tables:
        raise Inconclusive(f"the evidence has no runs of {', '.join(entries)}")
    first = tables[0]
    told = [f"{name} = {getattr(first.experiment.setting, name)}" for name in names if not any(name in table.axes for table in tables)]
    seeds = [len(np.unique(table["seed"])) for table in tables]
    told.append(f"{min(seeds)} to {max(seeds)} seeds" if min(seeds) < max(seeds) else f"{seeds[0]} seed{'s' * (seeds[0] > 1)}")
    fig = plotting.new_figure(*size) if fig is None else fig
    plotting.headline(fig, text, ", ".join(told))
    return fig


def value_study(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Training values alone or with queries and keys: condition, slopes, rank, floor and threshold.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "rank", "scale", "slopes" and "threshold" of the study.
    fig : Figure, optional
        Figure or subfigure to fill.

    Raises
    ------
    Inconclusive
        If the evidence has runs of none of the entries; where one is missing, its panel says so.
    """
    text = "Training values: condition and rank of the Gram matrix, slopes of the kernels, and what training leaves"
    fig = _page(evidence, ("scale", "rank", "slopes", "threshold"), fig, (12.0, 8.9), text, ("N", "n", "d", "d_o"))
    axes = plotting.grid(fig, 2, 3, top=1.4, bottom=1.1, between=(1.95, 0.95))
    plot_condition(evidence, ax=axes[0], letter="a")
    plot_condition(evidence, tied=True, ax=axes[1], letter="b")
    plot_slopes(evidence, ax=axes[2], letter="c")
    plot_rank(evidence, ax=axes[3], letter="d")
    plot_floor(evidence, ax=axes[4], letter="e")
    plot_threshold(evidence, ax=axes[5], letter="f")
    return fig


def queries_study(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Training queries alone: rank of the token Jacobian, floors of pairs, random targets and those of a teacher.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "jacobian", "floor", "random" and "teacher" of the study.
    fig
        As in `value_study`.

    Raises
    ------
    Inconclusive
        As `value_study`.
    """
    text = "Training queries alone: rank of the token Jacobian, floors of pairs, random targets and those of a teacher"
    fig = _page(evidence, ("jacobian", "floor", "random", "teacher"), fig, (11.0, 9.2), text, ("d",))
    axes = plotting.grid(fig, 2, 2, top=1.4, bottom=1.1, between=(2.1, 0.95))
    for letter, ax, plot in zip("abcd", axes, (plot_jacobian_ranks, plot_pair_floors, plot_random, plot_teacher), strict=True):
        plot(evidence, ax=ax, letter=letter)
    return fig


def text_study(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Synthetic sentences: test accuracy against the rate for every budget, and seed by seed under both kernels.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "text" of the study.
    fig
        As in `value_study`.

    Raises
    ------
    Inconclusive
        As `value_study`.
    """
    names = ("layers", "D", "d", "H", "hidden", "samples", "test", "batch", "flipped")
    budgets = [int(steps) for steps in np.unique(evidence["text"]["steps"])] if "text" in evidence else []
    text = "Synthetic sentences: test accuracy by kernel, learning rate and budget"
    fig = _page(evidence, ("text",), fig, (1.0 + 3.85 * (len(budgets) + 1), 4.9), text, names)
    *left, right = plotting.grid(fig, 1, len(budgets) + 1, top=1.4, bottom=1.2)
    for letter, ax, steps in zip("abcdefgh", left, budgets, strict=False):
        plot_accuracies(evidence, "text", steps=steps, title=f"After {steps} steps", ax=ax, letter=letter)
    plot_paired_accuracies(evidence, ax=right, letter="abcdefgh"[len(left)])
    return fig


def path_study(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Synthetic Pathfinder: test accuracy of two layers against the rate, and of one layer against the budget.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "path" and "one_layer" of the study.
    fig
        As in `value_study`.

    Raises
    ------
    Inconclusive
        As `value_study`.
    """
    names = ("D", "d", "H", "hidden", "samples", "test", "batch", "grid", "distractors")
    text = "Synthetic Pathfinder: test accuracy by kernel, with two layers and with one"
    fig = _page(evidence, ("path", "one_layer"), fig, (9.6, 4.9), text, names)
    two, one = plotting.grid(fig, 1, 2, top=1.4, bottom=1.2)
    of = evidence["path"].experiment if "path" in evidence else None
    title = "Two layers" if of is None else f"Two layers, {of.steps:,} steps"
    plot_accuracies(evidence, "path", claims=("path_leaves_chance",), title=title, ax=two, letter="a")
    rate = getattr(evidence["one_layer"].experiment.optimizer, "lr", None) if "one_layer" in evidence else None
    title = "One layer" + (f", lr = {rate:g}" if isinstance(rate, float) else "")
    plot_accuracies(evidence, "one_layer", against="steps", claims=("path_one_layer_early",), title=title, ax=one, letter="b")
    return fig


def landscape_study(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Two-stage training: loss, interior minima and roughness of the slice at the end, seed by seed under both kernels.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entry "landscape" of the study.
    fig
        As in `value_study`.

    Raises
    ------
    Inconclusive
        As `value_study`.
    """
    names = ("layers", "D", "d", "H", "hidden", "samples", "pretrained")
    text = "The loss around two-stage weights: stage two with either kernel from the same first stage"
    fig = _page(evidence, ("landscape",), fig, (11.6, 4.7), text, names)
    panels = (
        ("train_loss", "Loss at the end", "cross-entropy"),
        ("minima", "Interior minima of a slice", "minima"),
        ("roughness", "Roughness of a slice", "root mean square of second differences"),
    )
    for letter, ax, (name, title, label) in zip("abc", plotting.grid(fig, 1, 3, top=1.4, bottom=0.95), panels, strict=True):
        plot_paired_seeds(evidence, name, log=name == "roughness", title=title, label=label, ax=ax, letter=letter)
    return fig


STUDY_FIGURES: Mapping[str, Mapping[str, Callable[[Any], Figure]]] = {
    "value": {"value": value_study}, "queries": {"queries": queries_study}, "text": {"text": text_study}, "path": {"path": path_study},
    "landscape": {"landscape": landscape_study},
}
"""Figures of the studies, by study and name, each a function of the study's evidence."""
