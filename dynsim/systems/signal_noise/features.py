r"""Tokens as combinations of feature coordinates: the linear map that dense and lumped systems share.

Parameters are stored feature-major: a weight matrix W of the paper, shape (m, d), is kept as its
projections on D features, shape (D, m). Token j is :math:`\sum_f X_{jf} e_f`, so a forward pass needs
:math:`X W` and a gradient :math:`X^\top T`. For the dense model the features are the d coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Features"]


@dataclass(frozen=True, eq=False)
class Features:
    """The feature matrix X = [I | mixed], shape (n_tokens, D), with the identity block left out of the arithmetic.

    Parameters
    ----------
    n_tokens : int
        Rows of X: the signal and the n noise tokens.
    own : int
        Columns of the identity block: n_tokens if every token has a feature of its own, else 0.
    mixed : ndarray, shape (n_tokens, F) or (replicates, n_tokens, F), or None
        The other columns; with a leading axis each replicate has its own, padded to F with columns of 0.
    """

    n_tokens: int
    own: int
    mixed: NDArray | None

    @property
    def size(self) -> int:
        """Number of features D."""
        return self.own + (0 if self.mixed is None else self.mixed.shape[-1])

    @property
    def batched(self) -> bool:
        """True if each replicate has columns of its own."""
        return self.mixed is not None and self.mixed.ndim > 2

    @cached_property
    def magnitudes(self) -> Features:
        """The same map with |X|: sums of magnitudes of terms."""
        return Features(self.n_tokens, self.own, None if self.mixed is None else np.abs(self.mixed))

    def replicates(self, index: Any) -> Features:
        """Return the map of some replicates (a slice or an integer); one that all of them share is returned as it is."""
        return Features(self.n_tokens, self.own, self.mixed[index]) if self.mixed is not None and self.batched else self

    @cached_property
    def _met(self) -> slice | NDArray:
        """Features of the mixed columns to compute with: all, but for coordinates of a dense model that no token meets."""
        assert self.mixed is not None
        met = self.mixed.any(axis=0) if self.own == 0 and not self.batched else np.array(True)
        return slice(self.own, None) if met.all() else self.own + np.flatnonzero(met)

    @cached_property
    def _matrix(self) -> NDArray:
        """The mixed columns to compute with, shape (..., n_tokens, F_met)."""
        assert self.mixed is not None
        return self.mixed if isinstance(self._met, slice) else np.ascontiguousarray(self.mixed[:, self._met - self.own])

    @cached_property
    def _for_both(self) -> NDArray:
        """The same, to be multiplied with W_Q and W_K side by side: shape (n_tokens, F_met) or (replicates, 1, n_tokens, F_met)."""
        return self._matrix[:, None] if self.batched else self._matrix

    @cached_property
    def _padding(self) -> list[tuple[Any, Any]]:
        """Where the gradients of features that pad a replicate lie: one index into `out` and one into `out_vector` a replicate."""
        matrices = self._matrix.reshape(-1, *self._matrix.shape[-2:])
        width = matrices.shape[-1]
        used = np.where(matrices.any(axis=-2), np.arange(1, width + 1), 0).max(axis=-1, initial=0)
        tails = [(i, slice(self.own + int(first), None)) for i, first in enumerate(used) if first < width]
        if not self.batched:
            return [((..., tail, slice(None)), (..., tail)) for _, tail in tails]
        return [((i, ..., tail, slice(None)), (i, tail)) for i, tail in tails]

    @cached_property
    def _members(self) -> tuple[NDArray, ...]:
        """Non-zero entries of X^T, replicate by replicate and row by row, each for the three log scales of a token, shape (3, N).

        Position in the log scales, position in the scaled matrices, value (N,), first entry of each row, row of each entry.
        """
        matrices = self._matrix.reshape(-1, *self._matrix.shape[-2:])
        replicate, feature, token = np.nonzero(matrices.swapaxes(-1, -2))
        width, kind = matrices.shape[-1], np.arange(3)[:, None]
        starts = np.flatnonzero(np.diff(replicate * width + feature, prepend=-1))
        row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(feature)))
        block, values = 3 * replicate + kind, matrices[replicate, token, feature]
        return block * self.n_tokens + token, (block * width + feature) * self.n_tokens + token, values, starts, row

    def project(self, W: NDArray) -> NDArray:
        """Return X W for W of shape (..., 2, D, m): shape (..., 2, n_tokens, m)."""
        if self.mixed is None:
            return W
        P = self._for_both @ W[..., self._met, :]
        if self.own:
            P += W[..., : self.own, :]
        return P

    def project_vector(self, v: NDArray) -> NDArray:
        """Return X v for v of shape (..., D): shape (..., n_tokens)."""
        if self.mixed is None:
            return v
        if self.batched:
            V = (self._matrix @ v[..., self._met, None])[..., 0]
        else:
            V = v[..., self._met] @ self._matrix.T
        if self.own:
            V += v[..., : self.own]
        return V

    def token_rows(self, out: NDArray) -> NDArray:
        """Return where to write T, shape (..., n_tokens, m), before ``pull(T, ..., out)``: inside `out` if every token owns a feature."""
        return out[..., : self.own, :] if self.own else np.empty(out.shape[:-2] + (self.n_tokens, out.shape[-1]))

    def pull(self, T: NDArray, t: NDArray, out: NDArray, out_vector: NDArray, log_scale: NDArray | None = None) -> None:
        """Write X^T T into `out` and X^T t into `out_vector`.

        Parameters
        ----------
        T : ndarray, shape (..., 2, n_tokens, m)
            Made by `token_rows`.
        t : ndarray, shape (..., n_tokens)
        out, out_vector : ndarray, shape (..., 2, D, m) and (..., D)
        log_scale : ndarray, shape (..., 3, n_tokens), optional
            The rows of T[0], T[1] and t stand for ``exp(log_scale)`` times themselves, and each entry of the
            results may be multiplied by a positive factor of its own: a feature subtracts the largest log
            scale among the tokens that meet in it, so that its sign is right where the value underflows.
        """
        if self.own:
            out_vector[..., : self.own] = t
        if self.mixed is None:
            return
        if log_scale is None:
            of_T, of_t = self._for_both.swapaxes(-1, -2), self._matrix.swapaxes(-1, -2)
        else:
            weights = self._scaled(log_scale)
            of_T, of_t = weights[..., :2, :, :], weights[..., 2, :, :]
        if isinstance(self._met, slice):
            np.matmul(of_T, T, out=out[..., self._met, :])
        else:
            out[..., self.own :, :] = 0.0
            out[..., self._met, :] = of_T @ T
            out_vector[..., self.own :] = 0.0
        out_vector[..., self._met] = (of_t @ t[..., None])[..., 0]
        if log_scale is None:
            for matrix, vector in self._padding:  # 0 already, unless T overflowed: 0 inf is NaN, and a step of NaN times 0 is one
                out[matrix] = 0.0
                out_vector[vector] = 0.0

    def _scaled(self, log_scale: NDArray) -> NDArray:
        """Return X^T of the mixed columns with entries scaled as `pull` says, shape (..., 3, F_met, n_tokens).

        One flat list of the entries that are not 0, over all replicates: exponentials of the others are never formed.
        """
        places, entries, values, starts, row = self._members
        lead = log_scale.shape[: log_scale.ndim - self._matrix.ndim]  # axes that share one matrix
        logs = log_scale.reshape(*lead, -1).take(places, axis=-1)
        logs -= np.maximum.reduceat(logs, starts, axis=-1).take(row, axis=-1)
        weights = np.zeros((*lead, 3 * self._matrix.size))
        weights[..., entries] = values * np.exp(logs)
        return weights.reshape(*log_scale.shape[:-1], *self._matrix.shape[:-3:-1])
