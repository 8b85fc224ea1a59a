"""Signs of the gradient on general tokens that survive where softmax products underflow float64.

The products p_a p_b of attention weights span thousands of orders of magnitude. A sign update asks for no more than signs, and each
entry of the gradient may be multiplied by a positive factor of its own: so each token's row is formed relative to its largest
product, and rows are brought to a common scale only where they meet in a feature. Derivation: docs/derivations/general_tokens.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....numerics import LOWEST
from ..features import Features

__all__ = ["pull_signs", "relative_coefficients"]

BAND = 300.0
"""Features whose largest log scales differ by less are multiplied together: e^-300 times e^-300 is still a float64."""


def relative_coefficients(
    log_p: NDArray, log_l: NDArray, Q: NDArray, V: NDArray, V_a_minus_b: NDArray, y: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Return dL/dz with a positive factor taken out of each row of dL/dQ, then of dL/dK, and the logarithms of these factors.

    The rows are those of equations (T5) and (T6), the factors those of equation (T9), times l.

    The largest product p_a p_b with V_a != V_b is found without forming all: the key top with the largest p belongs to it, for a = top
    together with the runner-up, the largest p among keys of another value than top's, and for other a it is p_a p_top. Blank tokens
    (0 in every coordinate) make such exclusions necessary: their values are equal, and their queries, 0, pass nothing on to a key.

    Parameters
    ----------
    log_p : ndarray, shape (n, L, L)
    log_l, y : ndarray, shape (n,)
    Q : ndarray, shape (n, L, m_k)
    V, V_a_minus_b : ndarray, shape (n, L) and (n, L, L)

    Returns
    -------
    of_query, of_key : ndarray, shape (n, L, L)
    log_scale : ndarray, shape (3, n L)
        Rows of dL/dQ, of dL/dK, and dL/dV, of which -y is left; -1e300 where all of a row is 0.
    """
    top = np.argmax(log_p, axis=-1)[..., None]
    log_top = np.take_along_axis(log_p, top, axis=-1)
    as_top = V[:, None, :] == np.take_along_axis(V[:, None, :], top, axis=-1)
    log_second = np.where(as_top, LOWEST, log_p).max(-1, keepdims=True)
    log_other = np.where(as_top, log_second, log_top)  # largest log p_b with V_b != V_a
    log_pair = np.maximum(log_p + log_other, LOWEST)
    # sum_b p_b (V_a - V_b) relative to the largest p_b in it; where V_b = V_a the weight does not matter and is kept finite
    by_top = np.matmul(np.exp(log_p - log_top), V_a_minus_b.swapaxes(-1, -2))
    by_second = np.matmul(np.exp(np.minimum(log_p - log_second, 0.0)), V_a_minus_b.swapaxes(-1, -2))
    differences = np.where(as_top, by_second, by_top)
    differences *= -y[:, None, None]
    row = log_pair.max(-1, keepdims=True)
    column = np.where(Q.any(-1, keepdims=True), log_pair, LOWEST).max(-2, keepdims=True)
    log_scale = np.empty((3, *V.shape))
    np.add(log_l[:, None], row[..., 0], out=log_scale[0])
    np.add(log_l[:, None], column[:, 0, :], out=log_scale[1])
    np.add(log_l[:, None], np.logaddexp.reduce(log_p, axis=-2), out=log_scale[2])
    of_query, of_key = np.exp(log_pair - row), np.exp(np.minimum(log_pair - column, 0.0))
    of_query *= differences
    of_key *= differences
    return of_query, of_key, log_scale.reshape(3, -1)


def pull_signs(X: Features, T: NDArray, t: NDArray, out: NDArray, out_vector: NDArray, log_scale: NDArray) -> None:
    """Write X^T T into `out` and X^T t into `out_vector`, each entry up to a positive factor of its own.

    Like ``X.pull(T, t, out, out_vector, log_scale)``, but made for features that many tokens share: one plain product
    wherever no two log scales differ by more than the range of float64, else one for each band of features.
    """
    top = log_scale.max(-1)
    live = np.where(log_scale > LOWEST / 2, log_scale, top[:, None])
    if (live.min(-1) > top - 2 * BAND).all():
        weights = np.exp(log_scale - top[:, None])
        T *= weights[:2, :, None]
        X.pull(T, t * weights[2], out, out_vector)
        return
    if X.own:
        out_vector[: X.own] = t
    if X.mixed is None:
        return
    _pull_banded(X.mixed, T[0], out[0, X.own :], log_scale[0])
    _pull_banded(X.mixed, T[1], out[1, X.own :], log_scale[1])
    _pull_banded(X.mixed, t[:, None], out_vector[X.own :, None], log_scale[2])


def _pull_banded(mixed: NDArray, T: NDArray, out: NDArray, log_scale: NDArray) -> None:
    """Write mixed^T (exp(log_scale) T) into `out`, each row up to a positive factor.

    Features are taken together in bands by the largest log scale of their tokens; within a band that of its largest is taken out.
    """
    largest = np.where(mixed != 0.0, log_scale[:, None], LOWEST).max(0)
    met = largest > LOWEST / 2
    out[~met] = 0.0
    if not met.any():
        return
    band = np.full(len(met), -1)
    band[met] = (largest.max() - largest[met]) / BAND
    for b in np.unique(band[met]):
        columns = band == b
        weights = np.exp(np.minimum(log_scale - largest[columns].max(), 0.0))  # tokens above are in none of these features
        out[columns] = mixed[:, columns].T @ (weights[:, None] * T)
