r"""The token Jacobian: how the output of a query moves with the query, its rank, and what it makes of convergence.

With :math:`\hat v_j = {W^O}^\top V_j` and :math:`\bar o_k = \sum_j S_{kj} \hat v_j` of a head, the head's block of
:math:`J_k = \partial o_k / \partial (q_k^1, \ldots, q_k^H)` is

.. math:: J_k = \frac1c \sum_j S_{kj} (\hat v_j - \bar o_k)\, k_j^\top \;\text{(softmax)}, \qquad
          J_k = -\frac1c \sum_j S_{kj}\, \hat v_j\, (q_k - k_j)^\top \;\text{(Gaussian)}.

Rows of softmax sum to 1, so its rank is at most H (n - 1), that of the Gaussian H n (docs/derivations/attention_kernels.md, section 5).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pair_floor", "rank_bound", "token_jacobians"]


def token_jacobians(model: Any, params: SimpleNamespace, cache: SimpleNamespace, kernel: int) -> NDArray:
    """Return J_k of every query of a `QueryModel`, equation (30), shape (N, starts, m, d_o, H d).

    Parameters
    ----------
    model : QueryModel
        Has the keys and values.
    params, cache
        A state.
    kernel : int
        Which of the model's kernels.
    """
    N, H, starts, m, d = model.queries.shape
    S = cache.S[kernel]  # (N, H, starts m, n)
    v, k, q = model.values, model.keys, params.q[kernel].reshape(N, H, starts * m, d)
    if model.kernels[kernel].name == "gaussian":
        J = np.einsum("ahqj,ahjo,ahjd->ahqod", S, v, k) - (S @ v)[..., None] * q[..., None, :]
    else:  # rows sum to 1; of the row-normalised Gaussian the part of q cancels
        apart = v[:, :, :, None] - v[:, :, None]  # v_j - o = sum_i S_i (v_j - v_i), without cancellation where S is nearly one-hot
        J = np.einsum("ahqj,ahqi,ahjio,ahjd->ahqod", S, S, apart, k, optimize=True)
    J = np.moveaxis(J / model.c, 1, 3)  # (N, starts m, d_o, H, d)
    return J.reshape(N, starts, m, v.shape[-1], H * d)


def rank_bound(kernel: str, H: int, n: int, d: int, d_o: int) -> int:
    """Return the largest rank that J_k can have: H n for the Gaussian kernel, H (n - 1) where rows sum to 1; at most d_o and H d.

    That is equation (31).

    >>> rank_bound("softmax", 1, 3, 8, 3), rank_bound("gaussian", 1, 3, 8, 3)
    (2, 3)
    """
    return min(H * min(n if kernel == "gaussian" else n - 1, d), d_o)


def pair_floor(values: NDArray, targets: NDArray) -> float:
    r"""Return the loss below which antisymmetric pairs of heads with rows that sum to 1 cannot come, equation (35).

    .. math:: f_{min} = \frac{1}{2N} \sum_k \mathrm{dist}(Y_k, \mathrm{span}\{\hat v^h_j - \hat v^h_1\}_{h, j})^2

    It holds whatever the queries: a pair's output is :math:`\sum_j (s_j - s'_j) \hat v_j` with coefficients that sum to 0. It is the
    infimum where the values are large enough for the projections to be reached: the coefficients are bounded, equation (36), and where
    they are not large enough, the infimum is that of equation (37) for two tokens and one pair.

    Parameters
    ----------
    values : ndarray, shape (N, H, n, d_o)
        Of the first half of the heads.
    targets : ndarray, shape (N, m, d_o)
        Y of every query.
    """
    total = 0.0
    for v, Y in zip(values, targets, strict=True):
        span = (v[:, 1:] - v[:, :1]).reshape(-1, v.shape[-1])
        _, singular, rows = np.linalg.svd(span, full_matrices=False)
        rank = int((singular > 1e-12 * singular.max(initial=0.0)).sum())
        inside = Y @ rows[:rank].T @ rows[:rank]
        total += float(((Y - inside) ** 2).sum())
    return total / (2.0 * len(values))
