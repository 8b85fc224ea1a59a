"""Figures of the studies, each a function of the study's sweeps and shown runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....claims import Inconclusive
from ....sweep import Table
from .study_drawing import Evidence
from .study_head import plot_best_losses, plot_conditions, plot_drift, plot_gauge_shares, plot_head_norms, plot_projected, plot_tuned
from .study_quadratic import (
    plot_decrease,
    plot_law,
    plot_noise,
    plot_paths,
    plot_rotation,
    plot_start_ratio,
    plot_step_bounds,
    plot_steps,
)
from .study_transformer import (
    plot_curves,
    plot_depth,
    plot_final_losses,
    plot_losses_by_rate,
    plot_off_diagonal,
    plot_scalars,
    plot_start_profile,
)

__all__ = ["STUDY_FIGURES", "bounds", "finetuning", "head", "many_classes", "placement", "rates", "target", "training"]


def _page(
    evidence: Evidence, entries: Sequence[str], fig: Figure | None, text: str, panels: Sequence[Callable[..., Axes]], *, columns: int,
    names: Sequence[str] = (), room: float = 0.0, lines: int = 2,
) -> Figure:
    """Return a figure of panels (a), (b), ... under a headline; Inconclusive if the evidence has runs of none of the entries.

    Details are those of the first entry that is there: what it does not vary, and its seeds. `room` is extra height of each row, in
    inches, for the legends; `lines` the most verdicts that a panel tells.
    """
    tables = [evidence[entry] for entry in entries if isinstance(evidence.get(entry), Table) and evidence[entry].cells]
    if not tables:
        raise Inconclusive(f"the evidence has no runs of {', '.join(entries)}")
    first = tables[0]
    told = [f"{name} = {_told(first, name)}" for name in names if name not in first.axes]
    seeds = [len(np.unique(table["seed"])) for table in tables]
    told.append(f"{min(seeds)} to {max(seeds)} seeds" if min(seeds) < max(seeds) else f"{seeds[0]} seed{'s' * (seeds[0] > 1)}")
    rows = -(-len(panels) // columns)
    verdicts = 0.132 * max(0, lines - 2)  # inches
    fig = plotting.new_figure(0.95 + 4.1 * columns, 1.3 + (3.85 + room + verdicts) * rows) if fig is None else fig
    plotting.headline(fig, text, ", ".join(told))
    axes = plotting.grid(fig, rows, columns, top=1.35 + verdicts, bottom=1.15 + room, between=(1.95 + room + verdicts, 0.95))
    for letter, ax, plot in zip("abcdefgh", axes, panels, strict=False):
        plot(evidence, ax=ax, letter=letter)
    return fig


def _ids(stem: str, ends: str) -> tuple[str, ...]:
    """Return the ids of claims that begin alike."""
    return tuple(f"{stem}_{end}" for end in ends.split())


def _told(table: Table, name: str) -> str:
    value = getattr(table.experiment.setting, name)
    return f"{value:g}" if isinstance(value, float) else str(value)


def target(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Steps to a target against heterogeneity from three starts, the start's ratio, the path's, and the same quadratic turned.

    Parameters
    ----------
    evidence : mapping of str to Table or Trajectory
        Entries "target" and "rotation" of the study, and its runs "gradient_path" and "sign_path".
    fig : Figure, optional
        Figure or subfigure to fill.

    Raises
    ------
    Inconclusive
        If the evidence has runs of none of the entries; where one is missing, its panel says so.
    """
    text = "Quadratics in blocks: steps to a target against heterogeneity, every rule at its best rate for every horizon"
    panels = (
        partial(plot_steps, initial="equal_loss"), partial(plot_steps, initial="equal_distance"),
        partial(plot_steps, initial="equal_curvature"), plot_start_ratio, plot_paths, plot_rotation,
    )
    return _page(evidence, ("target", "rotation"), fig, text, panels, columns=3, names=("blocks", "size"), room=0.1, lines=4)


def bounds(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Quadratics and logistic regression against the theorems: steps, decreases, the law of log-normal blocks, noise.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "theorems", "logistic", "law" and "noise" of the study.
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    text = "Blocks whose constants are known: what is measured beside what is derived"
    panels = (plot_step_bounds, plot_decrease, plot_law, plot_noise)
    return _page(evidence, ("theorems", "logistic", "law", "noise"), fig, text, panels, columns=2, room=0.2, lines=5)


_SMALL_NAMES = ("d", "heads", "width")


def placement(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Post-LN against pre-LN at random weights: gradients over depth, a small start block by block, and what is outside the blocks.

    Parameters
    ----------
    evidence : mapping of str to Table or Trajectory
        Entries "depth", "flat", "small" and "block_diagonal" of the study, and its runs "post_ln" and "pre_ln".
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    inits = (("he", "He weights"), ("xavier", "Xavier weights"))
    panels = (
        partial(plot_depth, title="Usual start, weight matrices", split="init", words=inits,
                claims=_ids("depth", "even_L2 order_L6 order_L12 gap_L6 gap_L12")),
        partial(plot_depth, quantity="max_over_min", title="Usual start, weight matrices", split="init", words=inits,
                claims=_ids("depth", "range_L12 values_above_queries")),
        partial(plot_depth, entry="flat", title="Weights a fifth as large", claims=("flat_no_order",)),
        plot_start_profile,
        partial(plot_scalars, claims=(*_ids("small", "gini ratio correlation R_below_1 R_exact_above_1"), "identity_small")),
        partial(plot_off_diagonal, claims=("block_diagonal_fails", "identity_block_diagonal")),
    )
    text = "Placement of layer normalisation: gradients of the blocks at random weights"
    entries = ("depth", "flat", "small", "block_diagonal")
    return _page(evidence, entries, fig, text, panels, columns=3, names=_SMALL_NAMES, room=0.1, lines=5)


def training(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Losses at the end of training from a small start, by rule and placement, and two runs of it.

    Parameters
    ----------
    evidence : mapping of str to Table or Trajectory
        Entry "training" of the study, and its runs "post_ln" and "pre_ln".
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    text = "Training from a small start: rule by rule, after and before the branches"
    claims = _ids("training", "post_gap post_gradient_fails pre_gradient_lower")
    panels = (partial(plot_final_losses, title="After training, rates tuned before", claims=claims), plot_curves)
    return _page(evidence, ("training",), fig, text, panels, columns=2, names=("layers", *_SMALL_NAMES, "batch"), room=0.2, lines=3)


def head(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """The linear head with many classes: drift, gauge and norms, a long run with and without the gauge, losses by rule.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "drift", "controls" and "noisy_labels" of the study.
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    panels = (
        partial(plot_drift, claims=_ids("head", "drift_as_predicted momentum_drift_near momentum_cuts_drift")),
        partial(plot_gauge_shares, claims=_ids("head", "gauge_share_large gauge_share_small")),
        partial(plot_head_norms, claims=(*_ids("head_norm", "reduced_many reduced_C100_n32 reduced_many_099 larger_C100_n32_099"),
                                         "head_gauge_norm_as_predicted")),
        partial(plot_projected, title="Loss of a long run", claims=("projected_same_loss",)),
        partial(plot_projected, quantity="V_norm", projected="projected_V_norm", title="Weights of a long run",
                claims=("centred_part_hardly_grows",)),
        partial(plot_tuned, claims=("head_noisy_labels_sign_worse",)),
    )
    text = "A linear head with many classes under sign steps: drift, what the loss does not see, and losses"
    return _page(evidence, ("drift", "controls", "noisy_labels"), fig, text, panels, columns=3, names=("d", "samples"), room=0.15, lines=5)


def rates(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Transformers under every rule at several rates: from a small start with and without biases, from a usual one, and deeper.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "tuned", "no_biases", "good_start" and "deep" of the study.
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    panels = (
        partial(plot_losses_by_rate, norm="post",
                claims=_ids("tuned_post", "gradient_fails momentum_fails sign_learns signum_learns adam_learns")),
        partial(plot_losses_by_rate, norm="pre", claims=_ids("tuned_pre", "gradient_lower signum_learns")),
        partial(plot_final_losses, entry="tuned", title="Small start, best rates", claims=("tuned_post_gap",)),
        partial(plot_final_losses, entry="no_biases", title="Small start without biases, best rates", claims=("no_biases_gradient_lower",)),
        partial(plot_final_losses, entry="good_start", title="Usual start, best rates", claims=("good_start_no_gap",)),
        partial(plot_final_losses, entry="deep", title="Usual start, deeper, best rates", claims=_ids("deep_no_advantage", "post pre")),
    )
    text = "Training a small transformer: every rule at several rates"
    entries = ("tuned", "no_biases", "good_start", "deep")
    return _page(evidence, entries, fig, text, panels, columns=3, names=("layers", *_SMALL_NAMES, "batch"), room=0.3, lines=5)


def finetuning(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """The start of fine-tuning: gradients over depth before and after pre-training, the head's share, curvature of the body.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "stages" and "body" of the study.
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    stages = partial(plot_depth, entry="stages", split="pretrained", words=((1000, "after pre-training"), (0, "random weights")))
    panels = (
        partial(stages, title="Weight matrices", claims=_ids("stages_post_higher", "L2 L4 L8")),
        partial(stages, quantity="max_over_min", title="Weight matrices", claims=("stages_range_L8",)),
        partial(stages, quantity="value_over_query", title="Values against queries", claims=("stages_values_L8",)),
        partial(stages, quantity="head_share", title="Share of the fresh head", claims=("stages_head_share",)),
        partial(plot_scalars, entry="body", prefix="body_", title="Body after pre-training", split="layers",
                claims=("body_R_below_1", "identity_body")),
        partial(stages, quantity="pretrained_accuracy", title="Pre-training", words=((1000, ""),)),
    )
    text = "The start of fine-tuning: gradients of the blocks before and after pre-training, with a fresh head"
    return _page(evidence, ("stages", "body"), fig, text, panels, columns=3, names=_SMALL_NAMES, room=0.1, lines=3)


def many_classes(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """The linear head at more sizes: few classes, large batches, full batches, and no mean that classes share.

    Parameters
    ----------
    evidence : mapping of str to Table
        Entries "classes", "batches" and "large_batch" of the study.
    fig
        As in `target`.

    Raises
    ------
    Inconclusive
        As `target`.
    """
    panels = (
        partial(plot_best_losses, entry="classes", title="Few and many classes, noisy labels",
                claims=_ids("head", "classes_sign_worse few_classes_C2 few_classes_C10")),
        partial(plot_best_losses, entry="batches", title="Large batches, noisy labels",
                claims=_ids("head", "large_batches_help batches_sign_worse")),
        partial(plot_conditions, quantity="drift", title="Drift of the biases", claims=("head_drift_without_mean",)),
        partial(plot_conditions, quantity="gauge_share", title="Share that the loss does not see",
                claims=_ids("head", "full_batch_no_gauge batches_of_512_gauge")),
    )
    text = "A linear head at more sizes"
    return _page(evidence, ("classes", "batches", "large_batch"), fig, text, panels, columns=2, names=("d", "samples"), room=0.1, lines=3)


STUDY_FIGURES: Mapping[str, Mapping[str, Callable[[Any], Figure]]] = {
    "quadratic": {"target": target, "bounds": bounds}, "layernorm": {"placement": placement, "training": training}, "head": {"head": head},
    "rates": {"rates": rates}, "finetuning": {"finetuning": finetuning}, "many_classes": {"many_classes": many_classes},
}
"""Figures of the studies, by study and name, each a function of the study's evidence."""
