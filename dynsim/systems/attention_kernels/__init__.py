"""Softmax against Gaussian attention kernels under gradient descent, derived in docs/derivations/attention_kernels.md."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .build import ENGINES, best, dense, from_arrays, queries
from .claims import CLAIMS, SWEEP_CLAIMS
from .classifier.model import Classifier
from .measures import MEASURES, SWEEP_MEASURES
from .observables import OBSERVABLES
from .presets import DEFAULT_PRESET, PRESETS, experiment, preset
from .queries.constructions import CONSTRUCTIONS
from .queries.examples import landscape
from .queries.model import QueryModel
from .regression.model import AttentionModel
from .settings import Classification, Example, Regression, Setting
from .studies import STUDIES

__all__ = [
    "CLAIMS", "CONSTRUCTIONS", "DEFAULT_PRESET", "ENGINES", "MEASURES", "OBSERVABLES", "PRESETS", "STUDIES", "SWEEP_CLAIMS",
    "SWEEP_MEASURES", "AttentionModel", "Classification", "Classifier", "Example", "QueryModel", "Regression", "Setting", "best", "dense",
    "experiment", "from_arrays", "landscape", "preset", "queries",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("FIGURES", "MAIN_FIGURES", "STUDY_FIGURES"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
