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
    def _members(self) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
        """Non-zero entries of `mixed` by column: rows, columns, values, first entry of each column met, its number in that list."""
        columns, rows = np.nonzero(self.mixed.T)
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        lengths = np.diff(np.append(starts, len(columns)))
        return rows, columns, self.mixed[rows, columns], starts, np.repeat(np.arange(len(starts)), lengths)

    def project(self, W: NDArray) -> NDArray:
        """Return X W for W of shape (..., D, m): shape (..., n_tokens, m)."""
        if self.mixed is None:
            return W
        if not self.own:
            return self.mixed @ W
        return self.mixed @ W[..., self.own :, :] + W[..., : self.own, :]

    def project_vector(self, v: NDArray) -> NDArray:
        """Return X v for v of shape (..., D): shape (..., n_tokens)."""
        if self.mixed is None:
            return v
        if not self.own:
            return v @ self.mixed.T
        return v[..., self.own :] @ self.mixed.T + v[..., : self.own]

    def pull(self, T: NDArray, out: NDArray, log_scale: NDArray | None = None) -> None:
        """Write X^T T into `out`, shapes (..., n_tokens, m) and (..., D, m).

        With `log_scale`, shape (..., n_tokens), the rows stand for ``exp(log_scale) * T`` and each entry
        of `out` may be multiplied by a positive factor of its own: a feature subtracts the largest
        log scale among the tokens that meet in it, so that its sign is right where the value underflows.
        """
        if self.own and T is not out[..., : self.own, :]:
            out[..., : self.own, :] = T
        if self.mixed is None:
            return
        weights = self.mixed.T if log_scale is None else self._scaled(log_scale)
        np.matmul(weights, T, out=out[..., self.own :, :])

    def pull_vector(self, t: NDArray, out: NDArray, log_scale: NDArray | None = None) -> None:
        """Write X^T t into `out`, shapes (..., n_tokens) and (..., D); `log_scale` as in `pull`."""
        if self.own:
            out[..., : self.own] = t
        if self.mixed is None:
            return
        if log_scale is None:
            out[..., self.own :] = t @ self.mixed
        else:
            out[..., self.own :] = (self._scaled(log_scale) @ t[..., None])[..., 0]

    def _scaled(self, log_scale: NDArray) -> NDArray:
        rows, columns, values, starts, group = self._members
        logs = log_scale[..., rows]
        logs -= np.maximum.reduceat(logs, starts, axis=-1)[..., group]
        weights = np.zeros(log_scale.shape[:-1] + self.mixed.shape[::-1])
        weights[..., columns, rows] = values * np.exp(logs)
        return weights
