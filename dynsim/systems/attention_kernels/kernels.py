r"""Attention kernels: similarity matrices of queries and keys, each beside its hand-derived pullback.

All three are made of the same exponentials: with :math:`E_{kj} = e^{\langle q_k, k_j\rangle / c}`,

.. math:: S^{soft} = \mathrm{diag}(E 1)^{-1} E, \qquad
          S^{gauss} = \mathrm{diag}(e^{-\|q_k\|^2/2c})\, E\, \mathrm{diag}(e^{-\|k_j\|^2/2c}),

so that for equal queries and keys they have the same rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...layout import Layout
from ...naming import unknown_name
from ...products import laid_out_as, products

__all__ = ["KERNELS", "Kernel", "alike", "kernels_of"]

Pulled = tuple[NDArray, NDArray | None]


@dataclass(frozen=True)
class Kernel:
    """A kernel of equation (3) and its pullback, both functions of queries and keys.

    Attributes
    ----------
    name : str
        As settings name it, a key of `KERNELS`.
    title : str
        As figures write it.
    value : callable
        ``value(Q, K, c)``: queries (..., n, d), keys (..., m, d) and the scale c of the logits, > 0, to S (..., n, m). Real or complex.
    pullback : callable
        ``pullback(dS, S, Q, K, c, keys=True)``: the gradient with respect to S, which is overwritten, to those with respect to Q and K;
        the second is None unless `keys`.
    """

    name: str
    title: str
    value: Callable[[NDArray, NDArray, float], NDArray]
    pullback: Callable[..., Pulled]


def _transposed(a: NDArray) -> NDArray:
    return a.swapaxes(-1, -2)


def _squares(a: NDArray) -> NDArray:
    """Squared norms of rows, without conjugation, so that complex-step differentiation works."""
    return np.einsum("...i,...i->...", a, a, order="C")


# -- logits and their pullbacks ----------------------------------------------------------------------------------------


def _inner(Q: NDArray, K: NDArray, c: float) -> NDArray:
    L = products(Q, K)
    L *= 1.0 / c
    return L


def _inner_pullback(dL: NDArray, Q: NDArray, K: NDArray, c: float, keys: bool) -> Pulled:
    """Gradients of queries and keys from those of inner products, equation (7); dL is overwritten."""
    dL *= 1.0 / c
    return laid_out_as(Q, dL, K), laid_out_as(K, _transposed(dL), Q) if keys else None


def _distance(Q: NDArray, K: NDArray, c: float) -> NDArray:
    """Return -|q - k|^2 / 2c, <= 0; nothing may be subtracted from it before it is exponentiated.

    It is made as in equation (4), of inner products and half the squares of queries and keys.
    """
    L = products(Q, K)
    L -= 0.5 * _squares(Q)[..., :, None]
    L -= 0.5 * _squares(K)[..., None, :]
    np.minimum(L.real, 0.0, out=L.real)  # of long vectors rounding is large, and positive as often as not
    L *= 1.0 / c
    return L


def _distance_pullback(dL: NDArray, Q: NDArray, K: NDArray, c: float, keys: bool) -> Pulled:
    """Gradients of queries and keys from those of distances, equation (8); dL is overwritten."""
    dL *= 1.0 / c
    dQ = laid_out_as(Q, dL, K)
    dQ -= np.einsum("...kj->...k", dL)[..., None] * Q
    if not keys:
        return dQ, None
    dK = laid_out_as(K, _transposed(dL), Q)
    dK -= np.einsum("...kj->...j", dL)[..., None] * K
    return dQ, dK


# -- from logits to similarities ---------------------------------------------------------------------------------------


def _row_softmax(L: NDArray) -> NDArray:
    L -= L.real.max(axis=-1, keepdims=True)
    S = np.exp(L, out=L)
    S /= S.sum(axis=-1, keepdims=True)
    return S


def _row_softmax_pullback(dS: NDArray, S: NDArray) -> NDArray:
    """Gradient of logits from that of rows that sum to 1, equation (6), left; dS is overwritten."""
    dS -= np.einsum("...i,...i->...", dS, S)[..., None]
    dS *= S
    return dS


# -- the kernels -------------------------------------------------------------------------------------------------------


def _softmax(Q: NDArray, K: NDArray, c: float) -> NDArray:
    """First of equation (3)."""
    return _row_softmax(_inner(Q, K, c))


def _softmax_pullback(dS: NDArray, S: NDArray, Q: NDArray, K: NDArray, c: float, keys: bool = True) -> Pulled:
    return _inner_pullback(_row_softmax_pullback(dS, S), Q, K, c, keys)


def _gaussian(Q: NDArray, K: NDArray, c: float) -> NDArray:
    """Second of equation (3)."""
    L = _distance(Q, K, c)
    return np.exp(L, out=L)


def _gaussian_pullback(dS: NDArray, S: NDArray, Q: NDArray, K: NDArray, c: float, keys: bool = True) -> Pulled:
    """Gradients of queries and keys, equations (6) and (8)."""
    dS *= S
    return _distance_pullback(dS, Q, K, c, keys)


def _row_gaussian(Q: NDArray, K: NDArray, c: float) -> NDArray:
    """Third of equation (3)."""
    return _row_softmax(_distance(Q, K, c))


def _row_gaussian_pullback(dS: NDArray, S: NDArray, Q: NDArray, K: NDArray, c: float, keys: bool = True) -> Pulled:
    return _distance_pullback(_row_softmax_pullback(dS, S), Q, K, c, keys)


KERNELS: Mapping[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        Kernel("softmax", "softmax", _softmax, _softmax_pullback),
        Kernel("gaussian", "Gaussian", _gaussian, _gaussian_pullback),
        Kernel("row_gaussian", "row-normalised Gaussian", _row_gaussian, _row_gaussian_pullback),
    )
}
r"""Kernels by name.

softmax, :math:`S = \mathrm{softmax}(QK^\top/c)`; Gaussian, :math:`S_{kj} = e^{-\|q_k - k_j\|^2/2c}`, rows not normalised; and, as an
ablation that is not the paper's, the Gaussian with rows normalised. c is the root of d unless an example says otherwise.
"""


def kernels_of(text: str) -> tuple[Kernel, ...]:
    """Return the kernels that a text names, joined by "+".

    Raises
    ------
    ValueError
        For an unknown kernel, naming the nearest valid one, or one that is named twice.

    Examples
    --------
    >>> [kernel.name for kernel in kernels_of("softmax+gaussian")]
    ['softmax', 'gaussian']
    """
    names = [name.strip() for name in text.split("+")]
    for name in names:
        if name not in KERNELS:
            raise ValueError(unknown_name("kernel", name, KERNELS))
    if len(set(names)) < len(names):
        raise ValueError(f"kernel={text!r} names a kernel twice")
    return tuple(KERNELS[name] for name in names)


def alike(layout: Layout, weights: Mapping[str, NDArray]) -> NDArray:
    """Return the parameters (P,) of a layout with a first axis of kernels in each block, at which all kernels have the same weights."""
    return layout.pack(**{name: np.broadcast_to(weights[name], shape) for name, shape in layout.shapes.items()})
