"""Scalar functions that keep their digits, and signs that survive underflow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST", "logistic", "softplus"]

LOWEST = -1e300  # stands for log(0): finite, so that differences of two of them stay 0 and not NaN


def _split(z: NDArray) -> tuple[NDArray, NDArray]:
    """Return min(z, 0) and max(z, 0); for complex input by the real part, so that complex-step differentiation works."""
    if z.dtype.kind == "c":
        return np.where(z.real < 0, z, 0.0), np.where(z.real < 0, 0.0, z)
    return np.minimum(z, 0.0), np.maximum(z, 0.0)


def softplus(z: NDArray) -> NDArray:
    """Return log(1 + e^z) without overflow or cancellation.

    Parameters
    ----------
    z : ndarray, shape (...,)
        Logits, real or complex (for complex-step differentiation).

    Examples
    --------
    >>> softplus(np.array([-800.0, 0.0, 80.0])).round(6)
    array([ 0.      ,  0.693147, 80.      ])
    """
    z = np.asarray(z)
    if z.dtype.kind != "c":
        return np.logaddexp(0.0, z)
    below, above = _split(z)
    return above + np.log1p(np.exp(below - above))


def logistic(z: NDArray) -> SimpleNamespace:
    r"""Return the logistic function, its complement and the logarithm of their product.

    With :math:`e = e^{-|z|}` the smaller of :math:`\sigma(z)`, :math:`1 - \sigma(z)` is
    :math:`e/(1+e)`, formed without subtraction, and

    .. math:: \log \sigma(z)(1 - \sigma(z)) = -(|z| + 2 \log(1 + e)),

    which stays finite where the product itself underflows float64 (:math:`|z| > 745`).

    Parameters
    ----------
    z : ndarray, shape (...,)
        Logits, real or complex (for complex-step differentiation).

    Returns
    -------
    SimpleNamespace
        `p` the value, `q` = 1 - p, `log_pq` = log(p q), `softplus_neg` = log(1 + e^{-z}); all of z's shape.

    Examples
    --------
    >>> at = logistic(np.array([-1000.0, 0.0]))
    >>> at.p
    array([0. , 0.5])
    >>> at.log_pq.round(6)
    array([-1000.      ,    -1.386294])
    """
    below, above = _split(z)
    up, down = np.exp(below), np.exp(-above)
    e = up * down  # exp(-|z|): one of the factors is 1
    larger = 1.0 / (1.0 + e)
    log1p = np.log1p(e)
    return SimpleNamespace(p=up * larger, q=down * larger, log_pq=below - above - (log1p + log1p), softplus_neg=log1p - below)
