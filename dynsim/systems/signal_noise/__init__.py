"""Two-layer transformer on sparse signal-noise data under sign gradient descent.

Equation numbers in these modules are those of docs/derivations/signal_noise.md, unless a module names another page.
"""

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
from .stages import stage_table, stages_beside
from .studies import RULES, STUDIES, comparison, fair_comparison, fair_rates, rate_search
from .tokens import TOKEN_OBSERVABLES, TokenTransformer, draw_tokens, from_tokens, initial_weights

__all__ = [
    "CLAIMS", "EXPONENTS", "MEASURES", "OBSERVABLES", "PRESETS", "RULES", "STUDIES", "SWEEP_CLAIMS", "SWEEP_MEASURES", "TOKEN_OBSERVABLES",
    "Data", "Predictions", "Setting", "TokenTransformer", "TwoTokenTransformer", "batches", "best", "comparison", "dense",
    "draw_tokens", "experiment", "fair_comparison", "fair_rates", "from_arrays", "from_tokens", "horizon", "initial_weights", "lumped",
    "predict", "preset", "rate_search", "restricted", "stage_table", "stages_beside",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only; likewise what is built on sweeps."""
    for module, names in {"figures": ("FIGURES", "MAIN_FIGURES", "STUDY_FIGURES"), "diagrams": ("DIAGRAMS",)}.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
