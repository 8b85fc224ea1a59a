"""Figures of a run and the panels they are made of. Importing this imports Matplotlib."""

from .classifier import plot_accuracy, plot_slice, plot_test_loss, plot_training_loss
from .examples import plot_basin, plot_descent, plot_excess, plot_losses, plot_query_norms
from .pages import FIGURES, MAIN_FIGURES, basin, bounds, curve, examples, landscape, learning, pairs
from .pairs import plot_pair_loss, plot_pair_motion, plot_rate
from .regression import (
    plot_eigenvalues,
    plot_gradient_bound,
    plot_lambda,
    plot_loss_bound,
    plot_path,
    plot_value_deviation,
    plot_value_loss,
)
from .study import STUDY_FIGURES, landscape_study, path_study, queries_study, text_study, value_study

__all__ = [
    "FIGURES",
    "MAIN_FIGURES",
    "STUDY_FIGURES",
    "basin",
    "bounds",
    "curve",
    "examples",
    "landscape",
    "landscape_study",
    "learning",
    "pairs",
    "path_study",
    "plot_accuracy",
    "plot_basin",
    "plot_descent",
    "plot_eigenvalues",
    "plot_excess",
    "plot_gradient_bound",
    "plot_lambda",
    "plot_loss_bound",
    "plot_losses",
    "plot_pair_loss",
    "plot_pair_motion",
    "plot_path",
    "plot_query_norms",
    "plot_rate",
    "plot_slice",
    "plot_test_loss",
    "plot_training_loss",
    "plot_value_deviation",
    "plot_value_loss",
    "queries_study",
    "text_study",
    "value_study",
]
