"""Quantities of a transformer that a run can record."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from ....system import Observable

__all__ = ["OBSERVABLES"]


def _block_norms(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    """Norms of the blocks of the gradient on the step's sequences, (*replicates, blocks), computed once a forward pass."""
    if not hasattr(cache, "block_norms"):
        layout = cache.system.layout
        flat = np.empty((*np.shape(cache.loss), layout.size), dtype=cache.log_p.dtype)
        cache.system.backward(params, cache, layout.views(flat))
        squares = np.add.reduceat(flat * flat, [part.start for part in layout.slices.values()], axis=-1)
        cache.block_norms = np.sqrt(squares)
    return cache.block_norms


def _norm(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    norms = _block_norms(params, cache)
    return np.sqrt(np.sum(norms * norms, axis=-1))


OBSERVABLES: Mapping[str, Observable] = {
    "train_loss": Observable(lambda p, c: c.loss, (), "cross-entropy on the step's sequences", "L"),
    "fixed_loss": Observable(lambda p, c: c.system.evaluated(p, c).loss, (), "cross-entropy on the fixed set", r"L_{fixed}",
                             default=False, costly=True),
    "train_accuracy": Observable(lambda p, c: c.system.evaluated(p, c).right, (), "share of the fixed set's sequences of the right class",
                                 "acc", default=False, costly=True),
    "grad_norm": Observable(_norm, (), "norm of the gradient on the step's sequences", r"\Vert g\Vert", default=False),
    "block_grad_norms": Observable(_block_norms, ("block",), "norms of its blocks, in the order of the layout", r"\Vert g_b\Vert",
                                   default=False),
}
"""Quantities by name. Norms of the gradient cost a backward pass."""
