r"""Exact lumping: group the proportional columns of the stacked token matrix.

Coordinate c of a weight row w has gradient :math:`\sum_j X_{jc} G_j`. If a group of columns is
:math:`X_{\cdot c} = \kappa_c\, x`, all its coordinates have gradient :math:`\kappa_c\,\langle x, G\rangle`, so

- the tokens see the group only through :math:`u = \sum_c \kappa_c w_c`;
- a rule of degree 0 moves u by :math:`|\kappa|_1` times the step of the scalar gradient :math:`\langle x, G\rangle`;
- a rule of degree 1 moves it by :math:`|\kappa|_2^2` times that step.

Private blocks, a signal in any direction, duplicate samples: all the same operation. Coordinates outside
every token never move. The value layer acts through v alone, which moves by 2 steps (degree 0) or
2 / m_v steps (degree 1). Derivation: docs/derivations/signal_noise.md, section 3, equations (12) to (15).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...optimizers import as_optimizer
from ...system import Inexact
from .data import Data
from .features import Features

__all__ = ["Groups", "group_columns", "group_tokens", "lumping_kind"]


@dataclass(frozen=True, eq=False)
class Groups:
    """The columns of a token matrix, grouped by proportionality: column c is kappa_c times its group's, equation (12).

    Attributes
    ----------
    features : Features
        One feature of its own per token (its private columns), then one per group that mixes tokens.
    group, coef : ndarray, shape (U,)
        Group of each column and its coefficient kappa_c.
    """

    features: Features
    group: NDArray
    coef: NDArray

    @cached_property
    def l1(self) -> NDArray:
        """|kappa|_1 of each group, shape (G,)."""
        return np.bincount(self.group, np.abs(self.coef), self.features.size)

    @cached_property
    def l2_squared(self) -> NDArray:
        """|kappa|_2^2 of each group, shape (G,)."""
        return np.bincount(self.group, self.coef**2, self.features.size)

    def scale(self, kind: str) -> NDArray:
        """How far one step of size 1 moves each feature under a rule of this kind, shape (G,): equations (13) and (14)."""
        return self.l1 if kind == "sign" else self.l2_squared

    def displacement(self, kind: str) -> NDArray:
        """How far a coordinate moves when its feature moves by 1, shape (U,): equation (16)."""
        move = np.sign(self.coef) if kind == "sign" else self.coef
        return move / self.scale(kind)[self.group]

    @cached_property
    def compact(self) -> Groups:
        """The same groups without those that have no column, if that empties most of the identity block, else as they are.

        The block costs no arithmetic as long as it is whole: it goes where most tokens have no private column (images).
        """
        used = np.bincount(self.group, minlength=self.features.size) > 0
        own, n_tokens, mixed = used[: self.features.own], self.features.n_tokens, self.features.mixed
        if mixed is None or 2 * own.sum() >= len(own):
            return self
        columns = np.hstack([np.eye(n_tokens)[:, own], mixed])
        return Groups(Features(n_tokens, 0, columns), (np.cumsum(used) - 1)[self.group], self.coef)

    def move(self, kind: str, W_QK: NDArray, W_V: NDArray, du: NDArray, dv: NDArray) -> None:
        """Move weights W_QK (2, U, m_k) and W_V (2, m_v, U) in place as their features moved: by du (2, G, m_k) and dv (G,)."""
        share = self.displacement(kind)
        W_QK += share[:, None] * du[:, self.group]
        shift = share * dv[self.group] / 2
        W_V[0] += shift
        W_V[1] -= shift

    def project(self, w: NDArray) -> NDArray:
        """Return u = sum_c kappa_c w_c, equation (12), for w of shape (..., U, m): shape (..., G, m)."""
        sums = sparse.csr_array((self.coef, (self.group, np.arange(len(self.coef)))), shape=(self.features.size, len(self.coef)))
        blocks = [sums @ block for block in w.reshape(-1, *w.shape[-2:])]
        return np.stack(blocks).reshape(*w.shape[:-2], self.features.size, w.shape[-1])

    def condition(self, z: NDArray, u: NDArray) -> NDArray:
        """Turn white noise z (..., U, m) into weights with projections u (..., G, m): z + kappa (u - <z, kappa>) / |kappa|^2."""
        size = self.l2_squared[:, None]
        gap = np.divide(u - self.project(z), size, out=np.zeros_like(u), where=size > 0)
        return z + self.coef[:, None] * gap[..., self.group, :]


def group_columns(data: Data) -> Groups:
    """Group the columns of mu and the y_i xi_i that are proportional."""
    return group_tokens(data.tokens)


def group_tokens(tokens: sparse.csc_array) -> Groups:
    """Group the columns of a token matrix (n_tokens, U), none of them 0, that are proportional (to 13 digits)."""
    n_tokens, count = tokens.shape
    group = np.empty(count, dtype=np.int64)
    coef = np.empty(count)
    first = tokens.indptr[:-1]
    private = np.diff(tokens.indptr) == 1
    group[private] = tokens.indices[first[private]]
    coef[private] = tokens.data[first[private]]
    mixed = None
    if not private.all():
        columns = tokens[:, ~private].toarray()
        lead = np.argmax(np.abs(columns), axis=0)
        factor = columns[lead, np.arange(columns.shape[1])]
        _, representative, member = np.unique((columns / factor).round(13), axis=1, return_index=True, return_inverse=True)
        order = np.argsort(representative)  # by first occurrence: the groups do not depend on how unique sorts
        group[~private] = n_tokens + np.argsort(order)[member.ravel()]
        coef[~private] = factor
        mixed = np.ascontiguousarray((columns / factor)[:, representative[order]])
    return Groups(Features(n_tokens, n_tokens, mixed), group, coef)


def lumping_kind(optimizer: Any) -> str:
    """Return how a rule lumps, "sign" or "linear" (gradient flow too); raise `Inexact` with the alternative for the others."""
    optimizer = as_optimizer(optimizer)
    kind = "linear" if optimizer.kind == "flow" else optimizer.kind
    if kind not in ("sign", "linear"):
        raise Inexact(
            f"{optimizer!r} does not lump: its step is neither unchanged nor multiplied by c when a coordinate's gradient is. Use "
            "signal_noise.restricted(setting, seed=...), which is exact for every rule that acts per coordinate, or eps=0 for Adam."
        )
    return kind
