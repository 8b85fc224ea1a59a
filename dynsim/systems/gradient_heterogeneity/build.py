"""Systems from a setting and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .head.model import linear_head
from .head.setting import Head
from .quadratic.logistic import logistic
from .quadratic.model import quadratic
from .quadratic.setting import Logistic, Quadratic
from .settings import Setting
from .transformer.build import transformer
from .transformer.setting import Transformer

__all__ = ["best", "dense"]

MODELS: Mapping[type, Any] = {Quadratic: quadratic, Logistic: logistic, Transformer: transformer, Head: linear_head}
"""What draws the model of each kind of setting."""


def dense(setting: Setting, seed: int = 0) -> Any:
    """Draw the model of a setting: `BlockQuadratic`, `LogisticBlocks`, `TransformerModel` or `LinearHead`, exact for every rule.

    Parameters
    ----------
    setting : Quadratic, Logistic, Transformer or Head
        Which model, and all that a seed does not decide.
    seed : int
        Integer >= 0; determines data, weights and batches, by separate streams.

    Raises
    ------
    TypeError
        For something else than one of these settings.
    """
    if type(setting) not in MODELS:
        raise TypeError(f"setting={setting!r} must be a {', '.join(kind.__name__ for kind in MODELS)}")
    return MODELS[type(setting)](setting, seed)


def best(setting: Setting, optimizer: Any, seed: int = 0) -> Any:
    """Draw the smallest system that is exact for the rule: there is but the model itself.

    Parameters
    ----------
    setting : Quadratic, Logistic, Transformer or Head
        As in `dense`.
    optimizer : Optimizer
        Any rule; it makes no difference here.
    seed : int
        As in `dense`.
    """
    return dense(setting, seed)
