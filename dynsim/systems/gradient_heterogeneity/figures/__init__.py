"""Figures of a run and of studies, and the panels of the former. Importing this imports Matplotlib."""

from .block_panels import plot_block_gradients, plot_inequality, plot_profile
from .drift_panels import plot_gauge_share, plot_mean_bias, plot_norms
from .learning_panels import plot_accuracy, plot_gradient_norm, plot_losses
from .pages import FIGURES, MAIN_FIGURES, blocks, drift, learning, path
from .path_panels import plot_complexities, plot_path_loss, plot_ratio
from .study import STUDY_FIGURES, bounds, finetuning, head, many_classes, placement, rates, target, training

__all__ = [
    "FIGURES", "MAIN_FIGURES", "STUDY_FIGURES", "blocks", "bounds", "drift", "finetuning", "head", "learning", "many_classes", "path",
    "placement", "plot_accuracy", "plot_block_gradients", "plot_complexities", "plot_gauge_share", "plot_gradient_norm", "plot_inequality",
    "plot_losses", "plot_mean_bias", "plot_norms", "plot_path_loss", "plot_profile", "plot_ratio", "rates", "target", "training",
]
