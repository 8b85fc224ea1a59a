r"""Fresh test tokens in feature coordinates: exact for dense and lumped systems.

A fresh token meets the trained coordinates in a random subset; the rest meets weights that never move.
Its projection at any time is therefore affine in the features, :math:`H u(t) + b`, with b random and fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...numerics import logistic

__all__ = ["TestTokens", "draw_inside", "draw_outside", "meeting", "rewrite_test", "test_output"]


@dataclass(frozen=True, eq=False)
class TestTokens:
    """Projections of t fresh tokens y xi as an affine function of the parameters.

    Attributes
    ----------
    H : ndarray, shape (*replicates, t, D)
    offset_qk : ndarray, shape (*replicates, 2, t, m_k), or 0.0
    offset_v : ndarray, shape (*replicates, t), or 0.0
    """

    __test__ = False  # not a test case of the suite

    H: NDArray
    offset_qk: NDArray | float
    offset_v: NDArray | float

    @staticmethod
    def stack(parts: Sequence[TestTokens]) -> TestTokens:
        """Join one replicate each, of equal width, along a new leading axis."""
        return TestTokens(*(np.stack([getattr(p, name) for p in parts]) for name in ("H", "offset_qk", "offset_v")))

    def padded(self, size: int) -> TestTokens:
        """Return the same tokens on `size` features: those that were added do not occur in them."""
        if self.H.shape[-1] == size:
            return self
        H = np.zeros((*self.H.shape[:-1], size))
        H[..., : self.H.shape[-1]] = self.H
        return replace(self, H=H)


def rewrite_test(system: Any, weight: NDArray, u: NDArray, v: NDArray) -> TestTokens:
    """Rewrite a dense system's fresh tokens in reduced features: the offset is what its own initial weights say.

    weight, shape (d, D'), tells how far a coordinate moves when a feature moves by 1; u and v are the
    features' initial values, (2, D', m_k) and (D',).
    """
    X, blocks = system.test.H, system.layout.views(system.start)
    H = X @ weight
    mean_value = blocks.W_V[0].mean(0) - blocks.W_V[1].mean(0)
    return TestTokens(H, X @ blocks.W_QK - H @ u, X @ mean_value - H @ v)


def test_output(params: SimpleNamespace, cache: SimpleNamespace) -> tuple[NDArray, NDArray]:
    """Return mean test loss and test error (fraction with y f <= 0), shapes (*replicates,); computed once a forward pass.

    Equations (3) and (5) to (7) on fresh samples.
    """
    if not hasattr(cache, "test_output"):
        test: Any = cache.system.test
        count, (size, m_k) = test.H.shape[-2], params.W_QK.shape[-2:]
        block = _block(count, size, m_k)
        H = test.H.reshape(*test.H.shape[:-2], -1, block, size)
        P = (H[..., None, :, :, :] @ params.W_QK[..., None, :, :]).reshape(*params.W_QK.shape[:-2], count, m_k) + test.offset_qk
        B = (H @ cache.v[..., None, :, None]).reshape(test.H.shape[:-1]) + test.offset_v
        a = cache.k[..., None, :] - P[..., 1, :, :]
        z_11 = (a.reshape(*H.shape[:-1], m_k) @ cache.q[..., None, :, None]).reshape(B.shape)
        z_21 = np.vecdot(P[..., 0, :, :], a)
        s_11, s_21 = logistic(cache.system.logit_scale * z_11), logistic(cache.system.logit_scale * z_21)
        margin = (s_11.p + s_21.p) * cache.A + (s_11.q + s_21.q) * B
        cache.test_output = logistic(margin).softplus_neg.mean(-1), (margin <= 0).mean(-1)
    return cache.test_output


test_output.__test__ = False  # type: ignore[attr-defined]


def _block(count: int, size: int, m_k: int) -> int:
    """Return how many of `count` fresh tokens to multiply at once: few enough for OpenBLAS to leave a product to one thread.

    The number of threads may change the last bits. OpenBLAS shares out products of matrices of more than 4 * 65536
    multiplications and products with a vector of 4 * 2304. Where not even two tokens stay below (dense systems,
    thousands of rows) all are multiplied at once.
    """
    most = min(4 * 65536 // (size * m_k), (4 * 2304 - 1) // max(size, m_k))
    return next((block for block in range(min(most, count), 1, -1) if count % block == 0), count)


def meeting(columns: NDArray, trained: NDArray) -> tuple[NDArray, NDArray]:
    """Tell which of the fresh tokens' coordinates are trained ones: (V,) bool, and their positions in `trained`."""
    at = np.minimum(np.searchsorted(trained, columns), len(trained) - 1)
    hit = trained[at] == columns
    return hit, at[hit]


def draw_outside(tokens: sparse.csc_array, std: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw the projections of fresh tokens on untouched Gaussian weights, shape (t, rows).

    Exact without one number per coordinate: coordinates met by one token only are lumped into one Gaussian
    a token, those met by several are drawn one by one.

    Parameters
    ----------
    tokens : csc_array, shape (t, V)
        Fresh tokens on untrained coordinates.
    std : ndarray, shape (rows,)
        Standard deviation of the weights of each row.
    """
    together = np.diff(tokens.indptr) > 1
    spread = np.sqrt(np.asarray((tokens[:, ~together] ** 2).sum(axis=1)).ravel())
    alone = spread[:, None] * std * rng.standard_normal((tokens.shape[0], len(std)))
    return alone + tokens[:, together] @ (std * rng.standard_normal((int(together.sum()), len(std))))


def draw_inside(
    tokens: sparse.csc_array, group: NDArray, coef: NDArray, norm2: NDArray, start: NDArray, std: NDArray, rng: np.random.Generator
) -> NDArray:
    """Draw the projections of fresh tokens on trained coordinates, given the initial projections on their groups.

    The Gaussian conditioned on a group's projection u, w = z + coef (u - <z, coef>) / |coef|^2; the rest of
    the group, which no fresh token meets, enters through one number.

    Parameters
    ----------
    tokens : csc_array, shape (t, V)
        Fresh tokens on trained coordinates.
    group, coef : ndarray, shape (V,)
        Group and coefficient of these coordinates.
    norm2 : ndarray, shape (G,)
        Squared norm of each group's coefficients.
    start : ndarray, shape (G, rows)
        Initial projections on the groups.
    std : ndarray, shape (rows,)
        Standard deviation of the weights of each row.

    Returns
    -------
    ndarray, shape (t, rows)
    """
    z = std * rng.standard_normal((len(group), len(std)))
    met = sparse.csr_array((coef, (group, np.arange(len(group)))), shape=(len(norm2), len(group)))
    rest = np.sqrt(np.maximum(norm2 - np.bincount(group, coef * coef, len(norm2)), 0.0))
    total = met @ z + rest[:, None] * std * rng.standard_normal((len(norm2), len(std)))
    gap = np.divide(start - total, norm2[:, None], out=np.zeros_like(total), where=norm2[:, None] > 0)
    return tokens @ (z + coef[:, None] * gap[group])
