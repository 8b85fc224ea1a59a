"""Gradient heterogeneity: why sign updates beat gradient descent, and when they do not.

All of it is derived in docs/derivations/gradient_heterogeneity.md; equation numbers in docstrings are of that page.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .blocks import cut_blocks
from .build import best, dense
from .claims import CLAIMS, SWEEP_CLAIMS
from .curvature import hessian, hvp
from .head.model import LinearHead
from .head.setting import Head
from .heterogeneity import Block, Heterogeneity, measure
from .measures import MEASURES, SWEEP_MEASURES
from .observables import OBSERVABLES
from .presets import DEFAULT_PRESET, PRESETS, experiment, preset
from .quadratic.logistic import LogisticBlocks
from .quadratic.model import BlockQuadratic
from .quadratic.setting import Logistic, Quadratic
from .settings import Setting
from .studies import STUDIES
from .transformer.build import with_fresh_head
from .transformer.model import TransformerModel
from .transformer.setting import Transformer

__all__ = [
    "CLAIMS", "DEFAULT_PRESET", "MEASURES", "OBSERVABLES", "PRESETS", "STUDIES", "SWEEP_CLAIMS", "SWEEP_MEASURES", "Block",
    "BlockQuadratic", "Head", "Heterogeneity", "LinearHead", "Logistic", "LogisticBlocks", "Quadratic", "Setting", "Transformer",
    "TransformerModel", "best", "cut_blocks", "dense", "experiment", "hessian", "hvp", "measure", "preset", "with_fresh_head",
]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("FIGURES", "MAIN_FIGURES", "STUDY_FIGURES"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
