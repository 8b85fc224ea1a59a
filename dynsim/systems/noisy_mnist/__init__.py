"""Two digits of MNIST with noise, learnt by the two-layer transformer of signal_noise."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..signal_noise.tokens import TOKEN_OBSERVABLES as OBSERVABLES
from .build import best, dense, lumped, restricted
from .claims import CLAIMS, SWEEP_CLAIMS
from .data import Samples, Setting, draw_samples, mnist
from .measures import MEASURES, SWEEP_MEASURES
from .presets import DEFAULT_PRESET, PRESETS, experiment, preset
from .studies import STUDIES, snr_study

__all__ = [
    "CLAIMS", "DEFAULT_PRESET", "MEASURES", "OBSERVABLES", "PRESETS", "STUDIES", "SWEEP_CLAIMS", "SWEEP_MEASURES", "Samples",
    "Setting", "best", "dense", "draw_samples", "experiment", "lumped", "mnist", "preset", "restricted", "snr_study",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("FIGURES", "MAIN_FIGURES", "STUDY_FIGURES"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
