"""Quantities the theory speaks about, by name; all have the axes of kernels and starts first."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...system import Observable
from .classifier.landscape import POINTS
from .regression.gram import least_eigenvalue

__all__ = ["OBSERVABLES", "QUERIES", "REGRESSION", "classifier_observables", "gradient", "hessians"]

AXES = ("kernel", "start")


def gradient(params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
    """Return the gradient at a state as named views, computed once a forward pass."""
    if not hasattr(cache, "gradient"):
        system = cache.system
        flat = np.zeros(system.layout.size, dtype=cache.losses.dtype)
        cache.gradient = system.layout.views(flat)
        system.backward(params, cache, cache.gradient)
    return cache.gradient


def _norm(params: SimpleNamespace, cache: SimpleNamespace, only: str | None = None) -> NDArray:
    """Norm of the gradient, of all blocks or one, shape (kernels, starts)."""
    found = gradient(params, cache)
    squares = []
    for name, shape in cache.system.layout.shapes.items():
        if only is None or name == only:
            axes = tuple(axis for axis in range(len(shape)) if axis not in cache.system.member_axes(name))
            block = getattr(found, name)
            squares.append(np.sum(block * block, axis=axes))
    return np.sqrt(np.sum(squares, axis=0)).reshape(cache.losses.shape)


def _least(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    return np.stack([least_eigenvalue(cache.system, cache, i) for i in range(len(cache.system.kernels))])


def hessians(system: Any, params: SimpleNamespace, kernel: int, h: float = 1e-30) -> NDArray:
    """Return the Hessian of each start's loss with respect to all its queries, shape (starts, P, P), by complex steps of the gradient."""
    shape = params.q.shape
    _, N, H, starts, m, d = shape
    P = N * H * m * d
    found = np.empty((P, starts, P))
    for row, index in enumerate(np.ndindex(N, H, m, d)):
        a, head, j, i = index
        moved = params.q.astype(complex)
        moved[kernel, a, head, :, j, i] += 1j * h
        views = SimpleNamespace(q=moved)
        out = SimpleNamespace(q=np.empty(shape, dtype=complex))
        system.backward(views, system.forward(views), out)
        found[row] = np.moveaxis(out.q[kernel].imag / h, 2, 0).reshape(starts, P)
    return np.moveaxis(found, 0, 1)


def _curvature(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    system = cache.system
    return np.stack([np.linalg.eigvalsh(hessians(system, params, i))[:, 0] for i in range(len(system.kernels))])


def _query_norm(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    return np.sqrt(np.einsum("kahsmd,kahsmd->ks", params.q, params.q))


def _norm_of_tokens(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    """Norm of the queries of all tokens, of the model itself."""
    return np.sqrt(np.stack([np.einsum("sahnd,sahnd->s", tape.Q, tape.Q) for tape in cache.tapes]))


def _query(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    return np.moveaxis(params.q, 3, 1)


def _of(of: Any, doc: str, symbol: str, dims: tuple[str, ...] = AXES, **options: Any) -> Observable:
    return Observable(of, dims, doc, symbol, **options)


_SHARED = {
    "train_loss": _of(lambda p, c: c.losses, "training loss; of mini-batches, that of the step's samples", "f"),
    "grad_norm": _of(_norm, "norm of the gradient with respect to all that is trained", r"\Vert\nabla f\Vert"),
}

REGRESSION: Mapping[str, Observable] = {
    **_SHARED,
    "value_grad_norm": _of(lambda p, c: _norm(p, c, "W_V"), "norm of the gradient with respect to W_V", r"\Vert\nabla_{W^V} f\Vert"),
    "query_norm": _of(_norm_of_tokens, "norm of all queries together", r"\Vert q\Vert"),
    "Lambda": _of(_least, "least eigenvalue of N G, the Gram matrix of the attention features", r"\Lambda"),
}
"""Quantities of `AttentionModel`."""

QUERIES: Mapping[str, Observable] = {
    **_SHARED,
    "query": _of(_query, "queries, of every sample and head", "q", (*AXES, "sample", "head", "token", "dimension"), default=False),
    "query_norm": _of(_query_norm, "norm of all queries together", r"\Vert q\Vert"),
    "curvature": _of(_curvature, "least eigenvalue of the Hessian with respect to the queries", r"\lambda_{min}(\nabla^2 f)",
                     default=False, costly=True),
}
"""Quantities of `QueryModel`."""


def classifier_observables(surface: Any) -> dict[str, Observable]:
    """Return the quantities of `Classifier`; `surface` is the one that needs its directions."""
    return {
        **_SHARED,
        "full_loss": _of(lambda p, c: c.system.evaluated(c, "train").loss, "loss on all training samples", r"f_{train}", costly=True),
        "train_accuracy": _of(lambda p, c: c.system.evaluated(c, "train").right, "share of training samples of the right class",
                              r"acc_{train}", costly=True),
        "test_loss": _of(lambda p, c: c.system.evaluated(c, "test").loss, "loss on the test samples", r"f_{test}", costly=True),
        "test_accuracy": _of(lambda p, c: c.system.evaluated(c, "test").right, "share of test samples of the right class",
                             r"acc_{test}", costly=True),
        "surface": _of(surface, "training loss along two random directions in W_Q and W_K", r"f(\theta + a d_1 + b d_2)",
                       (*AXES, "direction_2", "direction_1"), default=False, costly=True,
                       shape=lambda c: (*c.losses.shape, POINTS, POINTS)),
    }


OBSERVABLES: Mapping[str, Observable] = {**REGRESSION, **QUERIES, **classifier_observables(lambda p, c: None)}
"""All quantities by name; each form of the system has its own of them."""
