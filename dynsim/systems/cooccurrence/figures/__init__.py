"""Figures of a run and the panels they are made of. Importing this imports Matplotlib."""

from .attention import plot_attention_displacements, plot_random_scores, plot_score, plot_softmax, plot_value_displacements
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
from .pages import FIGURES, MAIN_FIGURES, attention, balancing, conserved, figure1, margins_and_G, phase_one, test_loss
from .study import STUDY_FIGURES, scaling

__all__ = [
    "FIGURES",
    "MAIN_FIGURES",
    "STUDY_FIGURES",
    "attention",
    "balancing",
    "conserved",
    "figure1",
    "margins_and_G",
    "phase_one",
    "scaling",
    "test_loss",
    "plot_G",
    "plot_attention_displacements",
    "plot_identities",
    "plot_invariants",
    "plot_kind_loss",
    "plot_margins",
    "plot_random_scores",
    "plot_ratio",
    "plot_s2_s3",
    "plot_score",
    "plot_scores",
    "plot_softmax",
    "plot_sum_ratio",
    "plot_sums",
    "plot_test_error",
    "plot_test_loss",
    "plot_value_displacements",
]
