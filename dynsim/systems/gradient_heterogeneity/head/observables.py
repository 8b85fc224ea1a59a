"""Quantities of the linear head by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....system import Observable
from .theory import centred, gauge_share

__all__ = ["OBSERVABLES"]


def _norm(a: NDArray, axes: int) -> NDArray:
    return np.sqrt(np.sum(a * a, axis=tuple(range(-axes, 0))))


def _evaluated(params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
    return cache.system.evaluated(params, cache)


def _of(of: Any, doc: str, symbol: str, **options: Any) -> Observable:
    return Observable(of, (), doc, symbol, **options)


OBSERVABLES: Mapping[str, Observable] = {
    "train_loss": _of(lambda p, c: _evaluated(p, c).loss, "mean cross-entropy of all training samples", "L", costly=True),
    "accuracy": _of(lambda p, c: _evaluated(p, c).right, "share of all training samples whose label has the largest logit", r"\mathrm{acc}",
                    costly=True),
    "batch_loss": _of(lambda p, c: c.loss, "mean cross-entropy of the samples of the next step", r"L_\mathcal{B}", default=False),
    "V_norm": _of(lambda p, c: _norm(p.V, 2), "Frobenius norm of the weights", r"\Vert V\Vert_F"),
    "V_centred_norm": _of(lambda p, c: _norm(centred(p.V), 2), "norm of the weights without their mean over the classes, "
                          "the part that tells classes apart", r"\Vert V - \mathbf{1}\bar v^\top\Vert_F"),
    "b_norm": _of(lambda p, c: _norm(p.b, 1), "norm of the biases", r"\Vert b\Vert"),
    "gauge_share": _of(lambda p, c: gauge_share(p.V), "share of the squared norm of the weights that the loss is blind to: their mean over "
                       "the classes, repeated in every row", r"C\Vert\bar v\Vert^2/\Vert V\Vert_F^2"),
    "mean_bias": _of(lambda p, c: np.mean(p.b, axis=-1), "mean of the biases over the classes; over minus the sum of the rates it is the "
                     "mean sign of their updates", r"\bar b"),
}
"""Quantities a run can record."""
