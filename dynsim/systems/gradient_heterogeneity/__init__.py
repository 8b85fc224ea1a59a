"""Gradient heterogeneity: why sign updates beat gradient descent, and when they do not.

Measures for any system (`measure`), and the systems of the theory: block quadratics, logistic regression, a small transformer and a
linear head, all made by `dense`. Not in the registry: presets, claims and figures are yet to come.
"""

from __future__ import annotations

from .blocks import cut_blocks
from .build import best, dense
from .curvature import hessian, hvp
from .head.model import LinearHead
from .head.setting import Head
from .heterogeneity import Block, Heterogeneity, measure
from .quadratic.logistic import LogisticBlocks
from .quadratic.model import BlockQuadratic
from .quadratic.setting import Logistic, Quadratic
from .settings import Setting
from .transformer.build import with_fresh_head
from .transformer.model import TransformerModel
from .transformer.setting import Transformer

__all__ = [
    "Block", "BlockQuadratic", "Head", "Heterogeneity", "LinearHead", "Logistic", "LogisticBlocks", "Quadratic", "Setting", "Transformer",
    "TransformerModel", "best", "cut_blocks", "dense", "hessian", "hvp", "measure", "with_fresh_head",
]
