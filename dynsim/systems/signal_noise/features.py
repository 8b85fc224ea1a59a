r"""Tokens as combinations of feature coordinates: the linear map that dense and lumped systems share.

Parameters are stored feature-major: a weight matrix W of the paper, shape (m, d), is kept as its
projections on D features, shape (D, m). Token j is :math:`\sum_f X_{jf} e_f`, so a forward pass needs
:math:`X W` and a gradient :math:`X^\top T`. For the dense model the features are the d coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
    mixed : ndarray, shape (n_tokens, F) or None
        The other columns.
    """

    n_tokens: int
    own: int
    mixed: NDArray | None

    @property
    def size(self) -> int:
        """Number of features D."""
        return self.own + (0 if self.mixed is None else self.mixed.shape[1])

    @cached_property
    def magnitudes(self) -> Features:
        """The same map with |X|: sums of magnitudes of terms."""
        return Features(self.n_tokens, self.own, None if self.mixed is None else np.abs(self.mixed))

    @cached_property
    def _met(self) -> slice | NDArray:
        """Features of the mixed columns that some token meets: the others are 0 in every token."""
        assert self.mixed is not None
        met = self.mixed.any(axis=0)
        return slice(self.own, None) if met.all() else self.own + np.flatnonzero(met)

    @cached_property
    def _matrix(self) -> NDArray:
        """The mixed columns that some token meets, shape (n_tokens, F_met)."""
        assert self.mixed is not None
        return self.mixed if isinstance(self._met, slice) else np.ascontiguousarray(self.mixed[:, self._met - self.own])

    @cached_property
    def _members(self) -> tuple[NDArray, ...]:
        """Non-zero entries of `_matrix.T` row by row: token, position in the flat array, value; first of each row, row of each."""
        columns, tokens = np.nonzero(self._matrix.T)
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        return tokens, columns * self.n_tokens + tokens, self._matrix[tokens, columns], starts, columns

    def project(self, W: NDArray) -> NDArray:
        """Return X W for W of shape (..., D, m): shape (..., n_tokens, m)."""
        if self.mixed is None:
            return W
        P = self._matrix @ W[..., self._met, :]
        if self.own:
            P += W[..., : self.own, :]
        return P

    def project_vector(self, v: NDArray) -> NDArray:
        """Return X v for v of shape (..., D): shape (..., n_tokens)."""
        if self.mixed is None:
            return v
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
            of_T = of_t = self._matrix.T
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

    def _scaled(self, log_scale: NDArray) -> NDArray:
        """Return X^T of the mixed columns with entries scaled as `pull` says, shape (..., 3, F_met, n_tokens)."""
        tokens, entries, values, starts, row = self._members
        logs = log_scale.take(tokens, axis=-1)
        logs -= np.maximum.reduceat(logs, starts, axis=-1).take(row, axis=-1)
        weights = np.zeros(log_scale.shape[:-1] + (self._matrix.size,))
        weights[..., entries] = values * np.exp(logs)
        return weights.reshape(log_scale.shape[:-1] + self._matrix.shape[::-1])
