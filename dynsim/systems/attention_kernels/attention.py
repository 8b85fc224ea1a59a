r"""One layer of multi-head attention and its hand-derived pullback, side by side.

.. math:: MH(X) = \sum_h S_h V_h W^O_h, \qquad Q_h = X W^Q_h,\; K_h = X W^K_h,\; V_h = X W^V_h,\; S_h = \kappa(Q_h, K_h)
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...products import laid_out_as, products
from .kernels import Kernel

__all__ = ["BLOCKS", "attend", "attend_pullback"]

BLOCKS = ("W_Q", "W_K", "W_V", "W_O")
"""Weights of a layer; W_Q, W_K, W_V of shape (D, H, d), W_O of shape (H, d, d_o)."""


def _project(X: NDArray, W: NDArray) -> NDArray:
    """Multiply tokens (*s, B, n, D) by weights (*s, D, H, d) of all heads at once; returns (*s, B, H, n, d)."""
    B, n, D = X.shape[-3:]
    H, d = W.shape[-2:]
    rows = X.reshape(*X.shape[:-3], B * n, D) @ W.reshape(*W.shape[:-3], D, H * d)
    return rows.reshape(*rows.shape[:-2], B, n, H, d).swapaxes(-2, -3)


def _rows(heads: NDArray) -> NDArray:
    """Return (*s, B, H, n, d) as rows of all heads, (*s, B n, H d)."""
    *s, B, H, n, d = heads.shape
    return heads.swapaxes(-2, -3).reshape(*s, B * n, H * d)


def attend(X: NDArray, W: Mapping[str, NDArray], kernel: Kernel, c: float) -> SimpleNamespace:
    """Apply one layer, equation (1).

    Parameters
    ----------
    X : ndarray, shape (*s, B, n, D)
        Tokens of B samples; leading axes, if any, are those of the weights.
    W : mapping of str to ndarray
        `BLOCKS`, with leading axes (*s).
    kernel : Kernel
        Makes S of queries and keys.
    c : float
        Scale of the logits.

    Returns
    -------
    SimpleNamespace
        `out`, shape (*s, B, n, d_o), and what the pullback needs: X, W, Q, K, V (*s, B, H, n, d), S (*s, B, H, n, n), Z (*s, B n, H d).
    """
    Q, K, V = (_project(X, W[name]) for name in ("W_Q", "W_K", "W_V"))
    S = kernel.value(Q, K, c)
    Z = _rows(laid_out_as(V, S, V))
    W_O = W["W_O"]
    out = Z @ W_O.reshape(*W_O.shape[:-3], -1, W_O.shape[-1])
    out = out.reshape(*out.shape[:-2], *X.shape[-3:-1], W_O.shape[-1])
    return SimpleNamespace(out=out, X=X, W=W, Q=Q, K=K, V=V, S=S, Z=Z, kernel=kernel, c=c)


def attend_pullback(R: NDArray, tape: Any, wanted: Container[str]) -> dict[str, NDArray]:
    """Return the gradients of a layer, equations (5) and (9); between them stands the kernel's own pullback.

    Parameters
    ----------
    R : ndarray, shape (*s, B, n, d_o)
        Gradient with respect to the layer's output.
    tape : SimpleNamespace
        What `attend` returned.
    wanted : container of str
        Of `BLOCKS` and "X".

    Returns
    -------
    dict of str to ndarray
        Gradients of the shapes of `BLOCKS` and of X, for what is wanted.
    """
    W, found = tape.W, {}
    W_O, heads = W["W_O"], tape.V.shape
    rows = R.reshape(*R.shape[:-3], -1, R.shape[-1])
    if "W_O" in wanted:
        found["W_O"] = (tape.Z.swapaxes(-1, -2) @ rows).reshape(*rows.shape[:-2], *W_O.shape[-3:])
    if not any(name in wanted for name in ("W_Q", "W_K", "W_V", "X")):
        return found
    *s, B, H, n, d = heads
    dZ = rows @ W_O.reshape(*W_O.shape[:-3], -1, W_O.shape[-1]).swapaxes(-1, -2)
    dZ = dZ.reshape(*s, B, n, H, d).swapaxes(-2, -3)
    grads = {}
    if "W_V" in wanted or "X" in wanted:
        grads["W_V"] = _rows(laid_out_as(dZ, tape.S.swapaxes(-1, -2), dZ))
    if "W_Q" in wanted or "W_K" in wanted or "X" in wanted:
        dS = products(dZ, tape.V)
        dQ, dK = tape.kernel.pullback(dS, tape.S, tape.Q, tape.K, tape.c, "W_K" in wanted or "X" in wanted)
        grads["W_Q"] = _rows(dQ)
        if dK is not None:
            grads["W_K"] = _rows(dK)
    X = tape.X.reshape(*tape.X.shape[:-3], B * n, -1)
    for name, rows_of in grads.items():
        if name in wanted:
            found[name] = (X.swapaxes(-1, -2) @ rows_of).reshape(*s, X.shape[-1], H, d)
    if "X" in wanted:
        dX = sum(rows_of @ W[name].reshape(*W[name].shape[:-3], -1, H * d).swapaxes(-1, -2) for name, rows_of in grads.items())
        found["X"] = np.asarray(dX).reshape(*s, B, n, -1)
    return found
