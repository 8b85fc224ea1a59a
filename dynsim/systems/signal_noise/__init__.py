"""Two-layer transformer on sparse signal-noise data under sign gradient descent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .build import batches, best, dense, from_arrays, lumped, restricted
from .claims import CLAIMS, EXPONENTS, SWEEP_CLAIMS
from .data import Data, Setting
from .measures import MEASURES, SWEEP_MEASURES, horizon
from .model import TwoTokenTransformer
from .observables import OBSERVABLES
from .predictions import Predictions, predict
from .presets import PRESETS, experiment, preset
from .stages import stage_table
from .studies import STUDIES

__all__ = [
    "CLAIMS", "EXPONENTS", "MEASURES", "OBSERVABLES", "PRESETS", "STUDIES", "SWEEP_CLAIMS", "SWEEP_MEASURES", "Data", "Predictions",
    "Setting", "TwoTokenTransformer", "batches", "best", "dense", "experiment", "from_arrays", "horizon", "lumped", "predict", "preset",
    "restricted", "stage_table",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only; likewise what is built on sweeps."""
    for module, names in {"figures": ("FIGURES", "MAIN_FIGURES", "STUDY_FIGURES"), "diagrams": ("DIAGRAMS",)}.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
