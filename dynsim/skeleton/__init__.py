"""In-context regression by one layer of linear attention, trained by gradient flow (logistic, in closed form)."""

from .claims import CLAIMS
from .data import Setting
from .figures import FIGURES, MAIN_FIGURES
from .model import best, dense
from .presets import DEFAULT_PRESET, PRESETS, SWEEP_MEASURES, experiment, preset

__all__ = ["CLAIMS", "DEFAULT_PRESET", "FIGURES", "MAIN_FIGURES", "PRESETS", "SWEEP_MEASURES", "Setting"]
__all__ += ["best", "dense", "experiment", "preset"]
