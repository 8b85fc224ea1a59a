"""Gradient flow of a shallow transformer on word co-occurrence: two targets, a common token, random tokens.

docs/derivations/cooccurrence.md derives it; numbers of equations in docstrings are of that page.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .build import ENGINES, best, dense, from_bags, gram, lumped, neurons, restricted
from .claims import CLAIMS, EXPONENTS, SWEEP_CLAIMS
from .data import Bags, Setting
from .measures import MEASURES, SWEEP_MEASURES, SWEEP_SEEDS, horizon
from .model import BagTransformer
from .observables import OBSERVABLES
from .predictions import Predictions, predict
from .presets import DEFAULT_PRESET, PRESETS, experiment, preset
from .reduction import GramFlow
from .stages import PhaseTable, stage_table
from .studies import STUDIES
from .universal import UniversalFlow, limits, universal

__all__ = [
    "CLAIMS", "DEFAULT_PRESET", "ENGINES", "EXPONENTS", "MEASURES", "OBSERVABLES", "PRESETS", "STUDIES", "SWEEP_CLAIMS", "SWEEP_MEASURES",
    "SWEEP_SEEDS", "BagTransformer", "Bags", "GramFlow", "PhaseTable", "Predictions", "Setting", "UniversalFlow", "best", "dense",
    "experiment", "from_bags", "gram", "horizon", "limits", "lumped", "neurons", "predict", "preset", "restricted", "stage_table",
    "universal",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("FIGURES", "MAIN_FIGURES", "STUDY_FIGURES"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
