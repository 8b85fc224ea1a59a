"""Figures of a run and the panels they are made of. Importing this imports Matplotlib."""

from .adam import ADAM_FIGURES, memory
from .comparison import COMPARISON_FIGURES, equal_loss, rules
from .dynamics import plot_agreement, plot_alignment, plot_initial_groups, plot_noise, plot_signals, plot_softmax, plot_value
from .geometry import GEOMETRY_FIGURES
from .outcome import plot_clock, plot_progress, plot_test_loss, plot_train_loss, plot_turns
from .pages import FIGURES, MAIN_FIGURES, clock, figure1, figure3, horizon, loss, stages
from .theorem import THEOREM_FIGURES, asymptotics, exponents

__all__ = [
    "FIGURES",
    "MAIN_FIGURES",
    "STUDY_FIGURES",
    "asymptotics",
    "equal_loss",
    "rules",
    "exponents",
    "clock",
    "figure1",
    "figure3",
    "horizon",
    "loss",
    "memory",
    "stages",
    "plot_agreement",
    "plot_alignment",
    "plot_initial_groups",
    "plot_noise",
    "plot_signals",
    "plot_softmax",
    "plot_value",
    "plot_clock",
    "plot_progress",
    "plot_test_loss",
    "plot_train_loss",
    "plot_turns",
]

STUDY_FIGURES = {"beta2": ADAM_FIGURES, "comparison": COMPARISON_FIGURES, "geometry": GEOMETRY_FIGURES, "theorem": THEOREM_FIGURES}
"""Figures of the studies, by study and name, each a function of the study's evidence."""
