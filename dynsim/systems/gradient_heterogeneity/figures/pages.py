"""Figures of a run, made of the panels; each is about runs of one kind and says so of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....trajectory import Trajectory
from .block_panels import ROWS, draw_scale, plot_block_gradients, plot_inequality, plot_profile, rms_of_blocks
from .drawing import details
from .drift_panels import of_head, plot_gauge_share, plot_mean_bias, plot_norms
from .learning_panels import of_learning, plot_accuracy, plot_gradient_norm, plot_losses
from .path_panels import of_path, plot_complexities, plot_path_loss, plot_ratio

__all__ = ["FIGURES", "MAIN_FIGURES", "blocks", "drift", "learning", "path"]

PAGE = "docs/derivations/gradient_heterogeneity.md"
Panel = Callable[..., Axes]


def _page(run: Trajectory, fig: Any, text: str, panels: Sequence[Panel], section: str = "") -> Any:
    """Fill a figure with panels (a), (b), ... in a row, under a headline."""
    fig = plotting.new_figure(max(6.4, 0.95 + 4.1 * len(panels)), 5.2) if fig is None else fig
    plotting.headline(fig, text, details(run) + (f"\n{PAGE}, section {section}" if section else ""))
    axes = plotting.grid(fig, 1, len(panels), top=1.5, bottom=1.35)
    for ax, plot, letter in zip(axes, panels, "abc", strict=False):
        plot(run, ax=ax, letter=letter)
    return fig


def path(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """The path of a rule on blocks whose curvature is known: loss, weighted curvatures, and what one step of each promises.

    Parameters
    ----------
    run : Trajectory
        Of task "quadratic" or "logistic".
    fig : Figure, optional
        Figure or subfigure to fill.

    Raises
    ------
    Inconclusive
        For a run of another kind, as all figures do.
    """
    setting = of_path(run)
    text = "Blocks of different curvature: which curvature the gradient meets along the path"
    section = "2" if setting.task == "quadratic" else "3"
    return _page(run, fig, text, (plot_path_loss, plot_complexities, plot_ratio), section)


def blocks(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Gradients of a transformer's blocks over training: all of them, the first and last profile, and how unequal they are.

    Parameters
    ----------
    run : Trajectory
        Of the transformer with `block_grad_norms` recorded.
    fig
        As in `path`.
    """
    names = rms_of_blocks(run)[0]
    height = 3.2 + max(2.6, 0.125 * min(len(names), ROWS))
    fig = plotting.new_figure(13.6, height) if fig is None else fig
    plotting.headline(fig, "Gradients of the blocks of a transformer over training", f"{details(run)}\n{PAGE}, section 7")
    options = {"width_ratios": [1.0, 0.03, 0.95, 0.95]}
    axes = plotting.grid(fig, 1, 4, left=0.95, right=0.85, top=1.5, bottom=1.1, between=(1.6, 0.8), **options)
    plot_block_gradients(run, ax=axes[0], letter="a")
    draw_scale(fig, axes[1], run)
    plot_profile(run, ax=axes[2], letter="b")
    plot_inequality(run, ax=axes[3], letter="c")
    return fig


def learning(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Losses and accuracy of a transformer or a head against steps.

    Parameters
    ----------
    run : Trajectory
        Of the transformer or the head.
    fig
        As in `path`.
    """
    setting = of_learning(run)
    if setting.task == "head":
        return _page(run, fig, f"Learning {setting.C} classes with a linear head", (plot_losses, plot_accuracy))
    text = f"Learning the class of the token {setting.task} the marker"
    return _page(run, fig, text, (plot_losses, plot_accuracy, plot_gradient_norm))


def drift(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """The drift of a linear head: mean bias, the share of the weights that the loss does not see, and norms, beside theory.

    Parameters
    ----------
    run : Trajectory
        Of the head.
    fig
        As in `path`.
    """
    setting = of_head(run)
    text = f"A linear head for {setting.C} classes: where the updates carry it that the loss does not see"
    return _page(run, fig, text, (plot_mean_bias, plot_gauge_share, plot_norms), "8")


FIGURES: Mapping[str, Callable[..., Figure]] = {"path": path, "blocks": blocks, "learning": learning, "drift": drift}
"""Figures by name, each a function of a run."""

MAIN_FIGURES = tuple(FIGURES)
"""Figures that tell the story of a run: each run has those that are about its kind."""
