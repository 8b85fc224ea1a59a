"""Features and labels of the linear head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..settings import streams
from .setting import Head

__all__ = ["Labelled", "draw_labelled"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples of classes.

    Attributes
    ----------
    h : ndarray, shape (N, d)
        Features.
    y : ndarray of int, shape (N,)
        Class, in [0, C).
    C : int
        Number of classes.
    """

    h: NDArray
    y: NDArray
    C: int


def draw_labelled(setting: Head, seed: int) -> Labelled:
    r"""Draw :math:`h_i = \mu + m_{y_i} + \xi_i`, class by class, then shuffle the labels of a share of the samples among themselves.

    Shared mean and class means, noise, and labels have streams of their own: changing one scale leaves the other draws alone.
    """
    source = streams(seed)
    means, noise, labels = (np.random.default_rng(source[name]) for name in ("targets", "data", "noise"))
    y = np.repeat(np.arange(setting.C), setting.samples)
    mu = setting.common * means.choice([-1.0, 1.0], setting.d)
    h = mu + setting.spread * means.standard_normal((setting.C, setting.d))[y] + setting.noise * noise.standard_normal((len(y), setting.d))
    shuffled = labels.permutation(len(y))[: round(setting.label_noise * len(y))]
    y[shuffled] = y[labels.permutation(shuffled)]
    return Labelled(h, y, setting.C)
