"""Two-layer transformer on sparse signal-noise data under sign gradient descent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .build import best, dense, from_arrays, lumped, restricted
from .claims import CLAIMS
from .data import Data, Setting
from .model import TwoTokenTransformer
from .predictions import Predictions, predict
from .presets import PRESETS, experiment, preset
from .stages import stage_table

__all__ = [
    "CLAIMS", "PRESETS", "Data", "Predictions", "Setting", "TwoTokenTransformer", "best", "dense", "experiment", "from_arrays", "lumped",
    "predict", "preset", "restricted", "stage_table",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("FIGURES", "MAIN_FIGURES"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
