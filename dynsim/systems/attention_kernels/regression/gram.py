r"""Training the values alone is linear: the Gram matrix of the attention features, its rank, and the exact residuals.

With :math:`B_h = \mathrm{blockdiag}(S_{1h}, \ldots, S_{Nh}) X`, read out by U, and r the residuals O - Y stacked with the output index
outside and the token inside,

.. math:: G = \frac1N \sum_h ({W^O_h}^\top W^O_h) \otimes (B_h B_h^\top), \qquad r_{t+1} = (I - \eta G)\, r_t

exactly (docs/derivations/attention_kernels.md, section 3). G = A A^T / N with A = [R_h^T (x) B_h] over heads, where W^O_h = Q_h R_h;
its eigenvalues are the squared singular values of A over N, small ones included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spectrum", "features", "least_eigenvalue", "loss_floor", "predicted_loss", "rank_rule", "spectrum"]

LARGEST = 3000
"""Most residuals whose spectrum is taken: it takes cubic time."""


def features(tape: Any, U: NDArray) -> NDArray:
    """Return the factor A of N G, equation (10), shape (starts, d_o N m, H min(d, d_o) D), of a layer's tape and read-outs (m, n)."""
    W_O = tape.W["W_O"]
    *s, H, d, d_o = W_O.shape
    heads = np.asarray(np.linalg.qr(W_O, mode="r")).swapaxes(-1, -2)  # (*s, H, d_o, min(d, d_o)); W^T W = R^T R
    B = U @ (tape.S @ tape.X[..., :, None, :, :])  # (*s, N, H, m, D)
    B = B.swapaxes(-3, -4)
    B = B.reshape(*B.shape[:-3], -1, B.shape[-1])  # (*s, H, N m, D)
    A = np.einsum("...hok,...hid->...oihkd", heads, B)
    return A.reshape(*s, d_o * B.shape[-2], -1)


def _stacked(R: NDArray) -> NDArray:
    """Return residuals (starts, N, m, d_o) with the output index outside, (starts, d_o N m)."""
    return np.moveaxis(R, -1, -3).reshape(*R.shape[:-3], -1)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of G at a state, and the residuals there in its eigenvectors.

    Attributes
    ----------
    eigenvalues : ndarray, shape (starts, d_o N m)
        Descending, >= 0.
    squares : ndarray, same shape
        Squared components of the residuals r = O - Y.
    rank : ndarray of int, shape (starts,)
        Singular values of A above max(A.shape) eps times the largest.
    """

    eigenvalues: NDArray
    squares: NDArray
    rank: NDArray


def spectrum(model: Any, cache: SimpleNamespace, kernel: int) -> Spectrum:
    """Return the spectrum of one kernel's Gram matrix G, equation (10), at a state of an `AttentionModel`.

    Raises
    ------
    ValueError
        For more than 3,000 residuals.
    """
    N = model.N
    r = _stacked(N * cache.residuals[kernel])
    if r.shape[-1] > LARGEST:
        raise ValueError(f"N n d_o = {r.shape[-1]} residuals: the spectrum of G is taken of at most {LARGEST}")
    A = features(cache.tapes[kernel], model.samples.U)
    vectors, singular, _ = np.linalg.svd(A, full_matrices=A.shape[-1] < A.shape[-2])  # all left vectors, and no more
    values = np.zeros(r.shape)
    values[..., : singular.shape[-1]] = singular**2 / N
    rank = (singular > max(A.shape[-2:]) * np.finfo(float).eps * singular[..., :1]).sum(axis=-1)
    return Spectrum(values, np.einsum("...ri,...r->...i", vectors, r) ** 2, rank)


def least_eigenvalue(model: Any, cache: SimpleNamespace, kernel: int) -> NDArray:
    r"""Return Lambda, the least eigenvalue of N G, shape (starts,); equation (17) bounds it below where tokens are independent."""
    A = features(cache.tapes[kernel], model.samples.U)
    rows, columns = A.shape[-2:]
    if columns < rows:
        return np.zeros(A.shape[:-2])
    return np.linalg.svd(A, compute_uv=False)[..., -1] ** 2


def predicted_loss(eigenvalues: NDArray, squares: NDArray, N: int, at: NDArray, lr: float | None) -> NDArray:
    r"""Return the loss of value-only training, equation (11).

    Gradient descent: :math:`f_t = \frac{1}{2N} \sum_i c_i^2 (1 - \eta\lambda_i)^{2t}`; gradient flow, `lr` None:
    :math:`f_t = \frac{1}{2N} \sum_i c_i^2 e^{-2\lambda_i t}`.

    Parameters
    ----------
    eigenvalues, squares : ndarray, shape (*axes, r)
        As in `Spectrum`.
    N : int
    at : ndarray, shape (T,)
        Steps, or times of a flow.
    lr : float or None
        Learning rate of gradient descent without momentum; None for gradient flow.

    Returns
    -------
    ndarray, shape (T, *axes)
    """
    t = np.asarray(at, dtype=float).reshape(-1, *(1,) * eigenvalues.ndim)
    if lr is None:
        decay = np.exp(-2.0 * eigenvalues * t)
    else:
        with np.errstate(under="ignore", over="ignore"):
            decay = ((1.0 - lr * eigenvalues) ** 2) ** t
    return (squares * decay).sum(axis=-1) / (2.0 * N)


def loss_floor(eigenvalues: NDArray, squares: NDArray, rank: NDArray, N: int) -> NDArray:
    r"""Return :math:`f_\infty = \|\Pi_{\ker G}\, r_0\|^2 / 2N`, shape (*axes), equation (12), from a `Spectrum`'s numbers."""
    outside = np.arange(eigenvalues.shape[-1]) >= np.asarray(rank)[..., None]
    return np.where(outside, squares, 0.0).sum(axis=-1) / (2.0 * N)


def rank_rule(setting: Mapping[str, Any]) -> int:
    """Return the largest rank that G can have: H min(D, N m) min(d, d_o), at most N m d_o, equation (13); a pair counts as one head.

    For one output that is min(H D, N m), equation (14), and attained by almost all tokens and weights if n > 1 or the kernel is the
    Gaussian, else equation (15); H D >= N m is then necessary for every target to be fitted. With more outputs than d the rank may stay
    below, of two heads by equation (16).

    >>> rank_rule({"H": 2, "D": 6, "d": 4, "d_o": 1, "N": 4, "n": 5, "pooled": False})
    12
    """
    heads = setting["H"] // 2 if setting.get("paired") else setting["H"]
    rows = setting["N"] * (1 if setting["pooled"] else setting["n"])
    return min(heads * min(setting["D"], rows) * min(setting["d"], setting["d_o"]), rows * setting["d_o"])
