"""Figures of a run, made of the panels; each is about runs of one kind and says so of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....trajectory import Trajectory
from ..reading import Reading
from .classifier import draw_scale, levels, of_classes, plot_accuracy, plot_slice, plot_test_loss, plot_training_loss
from .drawing import details
from .examples import in_space, on_a_line, plot_basin, plot_descent, plot_excess, plot_losses, plot_query_norms
from .pairs import of_queries, plot_pair_loss, plot_pair_motion, plot_rate
from .regression import (
    condition,
    of_all,
    of_values,
    plot_eigenvalues,
    plot_gradient_bound,
    plot_lambda,
    plot_loss_bound,
    plot_path,
    plot_value_deviation,
    plot_value_loss,
)

__all__ = ["FIGURES", "MAIN_FIGURES", "basin", "bounds", "curve", "examples", "landscape", "learning", "pairs"]

Panel = Callable[..., Axes]


def _page(r: Reading, fig: Any, text: str, panels: Sequence[Panel], *, columns: int, section: int, more: str = "") -> Any:
    """Fill a figure with panels (a), (b), ... row by row, under a headline."""
    rows = len(panels) // columns
    more_legend = 0.35 * max(0, len(r.kernels) - 2)  # inches
    fig = plotting.new_figure(max(6.4, 0.95 + 4.1 * columns), 1.45 + (3.65 + more_legend) * rows) if fig is None else fig
    plotting.headline(fig, text, details(r, _page_of(section), more))
    axes = plotting.grid(fig, rows, columns, top=1.5, bottom=1.25 + more_legend, between=(2.0 + more_legend, 0.95))
    for ax, plot, letter in zip(axes, panels, "abcdefgh", strict=False):
        plot(r.run, ax=ax, letter=letter)
    return fig


def _page_of(section: int) -> str:
    return f"docs/derivations/attention_kernels.md, section {section}"


def curve(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Values alone: the loss and its exact prediction, their deviation, and the eigenvalues that decide both.

    Parameters
    ----------
    run : Trajectory
        Of task "regression" with V trained.
    fig : Figure, optional
        Figure or subfigure to fill.

    Raises
    ------
    Inconclusive
        For a run of another kind, as all figures do.
    """
    text = "Training the values alone is linear"
    return _page(of_values(run), fig, text, (plot_value_loss, plot_value_deviation, plot_eigenvalues), columns=3, section=3)


def bounds(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Queries, keys and values together: loss, least eigenvalue, gradient and path against their bounds.

    Parameters
    ----------
    run : Trajectory
        Of task "regression" with V and Q or K trained.
    fig
        As in `curve`.
    """
    r = of_all(run)
    text = "Training queries, keys and values together"
    return _page(r, fig, text, (plot_loss_bound, plot_lambda, plot_gradient_bound, plot_path), columns=2, more=condition(r), section=4)


def basin(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """An example in one dimension: for every kernel the loss over the query, where its starts end, and how their loss falls.

    Parameters
    ----------
    run : Trajectory
        Of task "E3", "E5" or "E6".
    fig
        As in `curve`.
    """
    r = on_a_line(run)
    text = f"{r.setting.task}: the same starts under each kernel, in an example constructed here"
    panels = [partial(plot, kernel=kernel) for plot in (plot_basin, plot_descent) for kernel in r.kernels]
    return _page(r, fig, text, panels, columns=len(r.kernels), section=6)


def examples(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """An example in more dimensions: losses, slopes or the excess over the hull, and how far the queries go.

    Parameters
    ----------
    run : Trajectory
        Of task "E1", "E2" or "E4".
    fig
        As in `curve`.
    """
    r = in_space(run)
    text = f"{r.setting.task}: {STORIES[r.setting.task]}, in an example constructed here"
    return _page(r, fig, text, (plot_losses, plot_excess, plot_query_norms), columns=3, section=6)


STORIES = {
    "E1": "all values are equal", "E2": "a target outside the hull of the values", "E4": "one token",
}


def pairs(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Queries alone: loss, floor and predicted rate of every kernel, and the size of the queries.

    Parameters
    ----------
    run : Trajectory
        Of task "regression" with Q trained.
    fig
        As in `curve`.
    """
    text = "Training the queries alone"
    return _page(of_queries(run), fig, text, (plot_pair_loss, plot_rate, plot_pair_motion), columns=3, section=5)


def landscape(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """The loss around the last weights along two random directions, one slice a kernel with the same colours, and the loss on the way.

    Parameters
    ----------
    run : Trajectory
        Of the classifier with `surface` recorded.
    fig
        As in `curve`.
    """
    r = of_classes(run)
    levels(r)  # raises where no surface was recorded
    count = len(r.kernels)
    fig = plotting.new_figure(2.0 + 3.7 * (count + 1), 5.25) if fig is None else fig
    stage = f", which began after {r.setting.pretrained} steps with softmax" if r.setting.pretrained else ""
    plotting.headline(fig, f"The loss around the weights at the end of training{stage}", details(r, _page_of(7)))
    widths = [1.0] * (count + 1) + [0.05]
    axes = plotting.grid(fig, 1, count + 2, top=1.35, bottom=1.3, right=0.6, between=(1.6, 0.75), width_ratios=widths)
    plot_training_loss(run, ax=axes[0], letter="a")
    for ax, kernel, letter in zip(axes[1:], r.kernels, "bcd", strict=False):
        plot_slice(run, kernel=kernel, ax=ax, letter=letter)
    draw_scale(fig, axes[-1], r)
    return fig


def learning(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """The classifier's losses and accuracies against steps.

    Parameters
    ----------
    run : Trajectory
        Of the classifier.
    fig
        As in `curve`.
    """
    r = of_classes(run)
    text = f"Learning a synthetic task, {r.setting.task}, at the same rate under each kernel"
    return _page(r, fig, text, (plot_training_loss, plot_test_loss, plot_accuracy), columns=3, section=7)


FIGURES: Mapping[str, Callable[..., Figure]] = {
    "curve": curve, "bounds": bounds, "basin": basin, "examples": examples, "pairs": pairs, "landscape": landscape, "learning": learning,
}
"""Figures by name, each a function of a run."""

MAIN_FIGURES = tuple(FIGURES)
"""Figures that tell the story of a run: each run has those that are about its kind."""
