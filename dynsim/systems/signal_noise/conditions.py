"""What a stage of training is over at: conditions on one state or on a whole record, with any leading axes.

Shapes: pairs (..., row, sample); signals (..., row); value noise and softmax outputs (..., sample); value signal (...).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...numerics import LOWEST, logistic, softplus

__all__ = ["SETTLED", "agree", "aligned", "initial_size", "log_c1", "settled", "value_ahead", "vote"]

SETTLED = 0.9
"""Stage III ends when in this fraction of rows the query signal follows the vote and the key signal opposes it."""


def initial_size(query_noise: NDArray, key_noise: NDArray) -> NDArray:
    """Return the root mean square of query and key noise over all pairs."""
    return np.sqrt((key_noise**2).mean((-1, -2)) / 2 + (query_noise**2).mean((-1, -2)) / 2)


def value_ahead(A: NDArray, B: NDArray) -> NDArray:
    """Tell whether mean value noise exceeds mean value signal in every sample: Stage I is over."""
    return np.all(A[..., None] < B, axis=-1)


def aligned(query_noise: NDArray, key_noise: NDArray) -> NDArray:
    """Return the fraction of pairs whose query and key noise agree in sign; two zeros do not. Stage II is over when it is 1."""
    return (np.sign(query_noise) * np.sign(key_noise) > 0).mean((-1, -2))


def log_c1(
    A: NDArray, B: NDArray, s_11: NDArray, s_21: NDArray, q: NDArray, k: NDArray, key_noise: NDArray, *, logit_scale: float = 1.0
) -> tuple[NDArray, NDArray]:
    """Return sign and logarithm of c1_i, equation (8), each (..., sample); the logarithm of 0 is -1e300.

    `logit_scale` multiplies the logits; as a factor common to all c1_i it is left out of the result.
    """
    z_1 = logit_scale * (q[..., None, :] @ (k[..., :, None] - key_noise))[..., 0, :]
    log_l = -softplus((s_11 + s_21) * A[..., None] + (2.0 - s_11 - s_21) * B)
    D = B - A[..., None]
    with np.errstate(divide="ignore"):
        return np.sign(D), np.maximum(log_l + logistic(z_1).log_pq + np.log(np.abs(D)), LOWEST)


def vote(sign: NDArray, log_c1: NDArray, k: NDArray, key_noise: NDArray) -> NDArray:
    """Return the weighted vote of the key noise, sgn sum_i c1_i (ka_ri - k_r), shape (..., row): how q_r moves, equation (28)."""
    weight = sign * np.exp(log_c1 - log_c1.max(-1, keepdims=True))
    return np.sign((key_noise * weight[..., None, :]).sum(-1) - k * weight.sum(-1)[..., None])


def settled(q: NDArray, k: NDArray, vote: NDArray) -> NDArray:
    """Return the fraction of rows whose query signal has the sign of the vote and key signal the opposite; Stage III ends at 0.9."""
    return ((np.sign(q) == vote) & (np.sign(k) == -vote)).mean(-1)


def agree(noise: NDArray, q: NDArray) -> NDArray:
    """Return the fraction of pairs whose noise has the sign of its row's query signal."""
    return (np.sign(noise) * np.sign(q)[..., None] > 0).mean((-1, -2))
