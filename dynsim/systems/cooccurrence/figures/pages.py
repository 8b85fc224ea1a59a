"""Figures of a run, made of the panels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import plotting
from ....trajectory import Trajectory
from ..data import SPECIAL
from ..reading import reading
from .attention import plot_attention_displacements, plot_random_scores, plot_score, plot_softmax, plot_value_displacements
from .drawing import details
from .dynamics import (
    plot_G,
    plot_kind_loss,
    plot_margins,
    plot_ratio,
    plot_s2_s3,
    plot_scores,
    plot_sum_ratio,
    plot_sums,
    plot_test_error,
    plot_test_loss,
)
from .exact import plot_identities, plot_invariants

__all__ = ["FIGURES", "MAIN_FIGURES", "attention", "balancing", "conserved", "figure1", "margins_and_G", "phase_one", "test_loss"]


def _page(
    run: Trajectory, fig: Any, size: tuple[float, float], text: str, panels: tuple[Callable[..., Axes], ...], *, unit: bool = False,
    **room: Any,
) -> Any:
    """Fill a figure with panels (a), (b), ... row by row, under a headline."""
    r = reading(run)
    fig = plotting.new_figure(*size) if fig is None else fig
    plotting.headline(fig, text, details(run, r, unit=unit))
    axes = plotting.grid(fig, len(panels) // 2, 2, **{"top": 1.45, "bottom": 1.2, "between": (1.9, 0.95), **room})
    for ax, plot, letter in zip(axes, panels, "abcd", strict=False):
        plot(run, ax=ax, letter=letter)
    return fig


def figure1(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """The two panels of the paper's Figure 1: scores of special tokens, and the loss of the four kinds.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    text = "Two phases, after Figure 1 of Yang et al. (arXiv 2410.09605)"
    return _page(run, fig, (9.2, 5.1), text, (plot_scores, plot_kind_loss), unit=True)


def margins_and_G(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """G of the special tokens and the margins of the four kinds, against the parameter-free flow.

    Parameters
    ----------
    run, fig
        As in `figure1`.
    """
    return _page(run, fig, (9.2, 5.1), "What the model learns without attention moving: G and margins", (plot_G, plot_margins))


def balancing(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Ratios of gradients that lock: the automatic balancing of Lemmas 4.3 to 4.5.

    Parameters
    ----------
    run, fig
        As in `figure1`.
    """
    text = "Automatic balancing of gradients (Lemmas 4.3 to 4.5)"
    return _page(run, fig, (9.2, 8.8), text, (plot_ratio, plot_sum_ratio, plot_sums, plot_s2_s3))


def attention(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Displacements of all nine scores of special tokens, of those with random tokens, and of the softmax outputs.

    Parameters
    ----------
    run, fig
        As in `figure1`.
    """
    r = reading(run)
    fig = plotting.new_figure(13.2, 8.4) if fig is None else fig
    plotting.headline(fig, "What attention learns (Theorem 3.3)", details(run, r, unit=True))
    left, right = fig.subfigures(1, 2, width_ratios=(8.6, 4.6), squeeze=False)[0]
    nine = plotting.grid(left, SPECIAL, SPECIAL, top=1.1, bottom=0.8, left=0.9, between=(0.72, 0.75), right=0.1)
    for i, ax in enumerate(nine):
        key, query = divmod(i, SPECIAL)
        plot_score(run, key=key, query=query, ax=ax, labels=i == len(nine) - 2)
    for plot, ax in zip((plot_random_scores, plot_softmax), plotting.grid(right, 2, 1, top=1.3, between=(1.9, 0.95)), strict=True):
        plot(run, ax=ax)
    return fig


def conserved(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Drift of the conserved numbers and residuals of the identities.

    Parameters
    ----------
    run, fig
        As in `figure1`.
    """
    return _page(run, fig, (9.2, 5.2), "What is exact", (plot_invariants, plot_identities), bottom=1.3, top=1.7)


def phase_one(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Displacements against the bounds that the paper proves up to T1.

    Parameters
    ----------
    run, fig
        As in `figure1`.
    """
    text = "Phase 1 leaves all but G near its start (Theorem E.28)"
    return _page(run, fig, (9.2, 5.2), text, (plot_value_displacements, plot_attention_displacements), bottom=1.3)


def test_loss(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Training loss, and loss and errors on fresh samples.

    Parameters
    ----------
    run, fig
        As in `figure1`.
    """
    return _page(run, fig, (9.2, 5.1), "Loss on training samples and on fresh ones (Theorem 3.3)", (plot_test_loss, plot_test_error))


FIGURES: Mapping[str, Callable[[Trajectory], Figure]] = {
    "figure1": figure1, "margins_and_G": margins_and_G, "balancing": balancing, "attention": attention, "conserved": conserved,
    "phase_one": phase_one, "test_loss": test_loss,
}
"""Figures by name, each a function of a run."""

MAIN_FIGURES = ("figure1", "margins_and_G", "balancing")
"""Figures that tell the story of a run."""
