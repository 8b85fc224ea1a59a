r"""Training the queries alone: each query moves by itself, among fixed keys with fixed values.

With orthonormal tokens a query is a row of W_Q, so this is `AttentionModel` with W_Q trained, exactly, for every rule that acts per
coordinate; the D rows of W_Q that are no token, and queries that are not read out, never move and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....layout import Layout
from ....products import products
from ....system import Observable, described
from ..kernels import Kernel, alike

__all__ = ["QueryModel"]


@dataclass(frozen=True, eq=False)
class QueryModel:
    r"""Queries against fixed keys, :math:`o_k = \sum_h \sum_j S^h_{kj} \hat v^h_j`, :math:`f = \frac{1}{2N} \sum_k \|o_k - Y_k\|^2`.

    Equation (2) as a function of the queries; the outputs that can be reached are those of equation (32).

    Parameters
    ----------
    queries : ndarray, shape (N, H, starts, m, d)
        Initial queries: m of each of N samples, in H heads, from each start.
    keys : ndarray, shape (N, H, n, d)
        K of every token; they do not move.
    values : ndarray, shape (N, H, n, d_o)
        The products W_O^T V of every token.
    targets : ndarray, shape (kernels, N, m, d_o)
        Y of every query, one set a kernel: teachers have a kernel.
    kernels : tuple of Kernel
        Trained side by side from the same start.
    c : float
        Scale of the logits, > 0.
    observables, constants, provenance
        As every `System` has them; `build` fills them in.
    step_scale, exact_for, alternative
        As every `System` has them; exact for rules that act per coordinate, which move each query by itself.
    """

    queries: NDArray
    keys: NDArray
    values: NDArray
    targets: NDArray
    kernels: tuple[Kernel, ...]
    c: float
    observables: Mapping[str, Observable] = field(default_factory=dict)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"sign", "linear", "coordinatewise", "flow"})
    alternative: str = "It is the model with orthonormal tokens and W_Q trained, row by row: use dense."

    @cached_property
    def layout(self) -> Layout:
        """One block, `q`, of shape (kernels, N, H, starts, m, d): queries of all starts meet the same keys in one product."""
        return Layout({"q": (len(self.kernels), *self.queries.shape)})

    @cached_property
    def start(self) -> NDArray:
        """Initial queries, the same for all kernels, shape (P,)."""
        return alike(self.layout, {"q": self.queries})

    @property
    def N(self) -> int:
        """Number of samples."""
        return len(self.keys)

    def member_axes(self, block: str) -> tuple[int, ...]:
        """Return the axes of kernels and starts in a block's parameters.

        Parameters
        ----------
        block : str
            The name `q`.
        """
        return (0, 3)

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return `loss`, `losses` (kernels, starts), and S and residual R = (O - Y) / N, each a list over kernels."""
        N, H, starts, m, d = self.queries.shape
        similarities, residuals, losses = [], [], []
        for i, kernel in enumerate(self.kernels):
            S = kernel.value(params.q[i].reshape(N, H, starts * m, d), self.keys, self.c)
            O = (S @ self.values).sum(axis=1).reshape(N, starts, m, -1)
            R = O - self.targets[i][:, None]
            losses.append(np.einsum("asij,asij->s", R, R))
            R *= 1.0 / N
            similarities.append(S)
            residuals.append(R)
        f = np.stack(losses)
        f *= 0.5 / N
        return SimpleNamespace(loss=f.sum(), losses=f, S=similarities, residuals=residuals, system=self)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the summed loss into the view `out.q`."""
        N, H, starts, m, d = self.queries.shape
        for i, kernel in enumerate(self.kernels):
            S = cache.S[i]
            dS = products(cache.residuals[i].reshape(N, 1, starts * m, -1), self.values)
            dQ, _ = kernel.pullback(dS, S, params.q[i].reshape(N, H, starts * m, d), self.keys, self.c, keys=False)
            out.q[i] = dQ.reshape(N, H, starts, m, d)

    def outputs(self, cache: SimpleNamespace) -> NDArray:
        """Return the outputs o, shape (kernels, N, starts, m, d_o).

        Parameters
        ----------
        cache : SimpleNamespace
            What `forward` returned.
        """
        return np.stack([self.N * R + Y[:, None] for R, Y in zip(cache.residuals, self.targets, strict=True)])

    def replicates(self, index: Any) -> QueryModel:
        """Raise: kernels and starts are axes of the parameters, not replicates."""
        raise ValueError("this system has no replicates axis: kernels and starts are axes of its parameters")
