r"""Training queries, keys and values together: the constants of the bounds derived here.

At every state :math:`\|\nabla f\|^2 \geq \|\nabla_{W^V} f\|^2 \geq \frac{2\Lambda}{N} f`. The path of gradient flow stays where
:math:`\Lambda \geq \Lambda_0/4` if the sufficient condition holds (docs/derivations/attention_kernels.md, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import Kernel

__all__ = ["GAUSSIAN_SLOPE", "VANISHED", "Sufficient", "kernel_slopes", "loss_bound", "path_bound", "sufficient", "sufficient_loss_bound"]

GAUSSIAN_SLOPE = float(np.exp(-0.5))
r"""Largest slope of :math:`e^{-x^2/2}`: the Gaussian similarity moves by at most :math:`e^{-1/2} c^{-1/2}` per unit of q - k, whatever
the weights; with :math:`c = \sqrt d` that is :math:`e^{-1/2} d^{-1/4}`."""

VANISHED = 1e-20
"""Share of the loss at the start below which gradients are rounding; bounds on the loss allow it."""


def loss_bound(f_0: NDArray, Lambda: NDArray, N: float, lr: float) -> NDArray:
    r"""Return :math:`f_0 \prod_{s<t} (1 - \eta\Lambda_s/N)`, equation (29) of gradient descent, at all steps t.

    Parameters
    ----------
    f_0 : ndarray, shape (...)
        Loss at the start.
    Lambda : ndarray, shape (T, ...)
        Least eigenvalue of N G at steps 0 to T - 1.
    N : float
        Number of samples.
    lr : float

    Returns
    -------
    ndarray, shape (T, ...)
        With `VANISHED` of f_0 added.
    """
    factors = np.concatenate([np.ones_like(Lambda[:1]), 1.0 - lr * Lambda[:-1] / N])
    return f_0 * (np.cumprod(factors, axis=0) + VANISHED)


def sufficient_loss_bound(f_0: NDArray, Lambda_0: NDArray, N: float, t: NDArray, lr: float | None) -> NDArray:
    r"""Return :math:`f_0 (1 - \eta\Lambda_0/4N)^t`, equation (29), or of gradient flow :math:`f_0 e^{-\Lambda_0 t/2N}`, equation (26).

    Parameters
    ----------
    f_0, Lambda_0 : ndarray
        Loss and least eigenvalue of N G at the start.
    N : float
        Number of samples.
    t : ndarray
        Steps or times, which broadcasts against them.
    lr : float or None
        None for gradient flow.

    Returns
    -------
    ndarray
        With `VANISHED` of f_0 added.
    """
    share = np.exp(-Lambda_0 * t / (2.0 * N)) if lr is None else (1.0 - lr * Lambda_0 / (4.0 * N)) ** t
    return f_0 * (share + VANISHED)


def path_bound(f_0: NDArray, Lambda_0: NDArray, N: int) -> NDArray:
    r"""Return :math:`\rho = \sqrt{8 N f_0/\Lambda_0}`, the longest path where :math:`\Lambda \geq \Lambda_0/4`, equations (25) and (26)."""
    return np.sqrt(8.0 * N * np.asarray(f_0) / np.asarray(Lambda_0))


@dataclass(frozen=True)
class Sufficient:
    """The two sides of the sufficient condition for the Gaussian kernel, equation (25); it holds where left <= right.

    Where W_V = 0 at the start, their ratio at o_scale = 1 is the o_scale from which on it holds, equation (27).

    Attributes
    ----------
    left, right : ndarray, shape (starts,)
    """

    left: NDArray
    right: NDArray


def sufficient(model: Any, f_0: NDArray, Lambda_0: NDArray) -> Sufficient:
    r"""Return the sides of the sufficient condition of the Gaussian kernel, equation (25) with the larger C of equation (24).

    .. math:: \omega\, c_K \sqrt{2 n \textstyle\sum_i \|X_i\|^4} \cdot \sqrt{8 N f_0/\Lambda_0} \leq \tfrac12 \sqrt{\Lambda_0},
              \qquad c_K = e^{-1/2} c^{-1/2}, \quad \omega = \max_h \|W^O_h\|.

    Parameters
    ----------
    model : AttentionModel
        Its tokens, output weights and scale of the logits are taken.
    f_0, Lambda_0 : ndarray, shape (starts,)
        Loss and least eigenvalue of N G at the start.

    Notes
    -----
    Softmax has such a condition too, equation (28). It is not computed here: its constant depends on the weights at the start.
    """
    X = model.samples.X
    norms = np.linalg.norm(X, 2, axis=(-2, -1))
    omega = np.linalg.norm(model.weights["W_O"], 2, axis=(-2, -1)).max(axis=-1)
    slope = GAUSSIAN_SLOPE / np.sqrt(model.c)
    left = omega * slope * np.sqrt(2.0 * X.shape[1] * (norms**4).sum()) * path_bound(f_0, Lambda_0, model.N)
    return Sufficient(left, 0.5 * np.sqrt(np.asarray(Lambda_0)))


def kernel_slopes(scale: float, *, kernel: Kernel, n: int, D: int, d: int, directions: int, rng: np.random.Generator) -> float:
    r"""Return the steepest similarities among random weights and directions: the largest |dS|_F / |d(q_k - k_j)|_F.

    For the Gaussian kernel at most `GAUSSIAN_SLOPE` d^{-1/4}, whatever the weights, equation (22); softmax,
    :math:`\|dS\|_F \leq \frac12 \|dL\|_F`, equation (23), has no such constant, because dL grows with the weights. Directional
    derivatives are taken by a complex step, so they are exact.

    Parameters
    ----------
    scale : float
        Standard deviation of the entries of W_Q and W_K, > 0.
    kernel : Kernel
        Whose similarities move.
    n, D, d : int
        Tokens, their dimension (entries N(0, 1/D)), dimension of the head.
    directions : int
        Draws of tokens, weights and direction.
    rng : Generator
        Where they are drawn from.
    """
    h, steepest = 1e-30, 0.0
    for _ in range(directions):
        X = rng.standard_normal((n, D)) / np.sqrt(D)
        W_Q, W_K = (scale * rng.standard_normal((D, d)) for _ in range(2))
        dQ, dK = (X @ rng.standard_normal((D, d)) for _ in range(2))
        dS = kernel.value(X @ W_Q + 1j * h * dQ, X @ W_K + 1j * h * dK, float(np.sqrt(d))).imag / h
        moved = dQ[:, None] - dK[None, :]
        steepest = max(steepest, float(np.linalg.norm(dS) / np.linalg.norm(moved)))
    return steepest
