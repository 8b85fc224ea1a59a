r"""The flow in its inner products: exactly closed, without a matrix of weights, whatever the width.

With :math:`\rho = |u|^2`, G = W_V u and the (d, d) inner products :math:`\Gamma` (values), S (scores, row = key), KK and QQ,

.. math::
    \dot\rho = 2 |a|^2 z \cdot G,\quad \dot G = \rho z + |a|^2 \Gamma z,\quad \dot\Gamma = z G^\top + G z^\top, \\
    \dot S = B\,QQ + KK\,B,\quad \dot{KK} = B S^\top + S B^\top,\quad \dot{QQ} = B^\top S + S^\top B,

and z and B depend on S and G only (docs/derivations/cooccurrence.md, section 4; S, KK, QQ are Lemma C.4 of arXiv 2410.09605, Gamma is
C.3, G is Definition E.18; that neurons can be summed is derived here). With `neurons`, as in the paper's appendix C, rho and G are replaced
by :math:`x_{jc} = w_j \cdot W_V[c]` and the products of neurons:

.. math::
    \dot x_{jc} = r_j z_c + a_j (\Gamma z)_c,\quad r_j = \textstyle\sum_i a_i \langle w_i, w_j\rangle,\quad
    \tfrac{d}{dt}\langle w_i, w_j\rangle = a_j\,x_i \cdot z + a_i\,x_j \cdot z.

These are no gradients in their own coordinates, so only gradient flow is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...layout import Layout
from ...system import Inexact, Observable, described
from .data import SPECIAL, Bags
from .model import attend, forces, with_outputs

__all__ = ["GramFlow", "inner_products"]

PRODUCTS = ("value", "score", "key", "query")


def inner_products(weights: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return the variables of both systems from weights W (m1, m), W_V, W_K, W_Q (d, m) and a (m1,)."""
    W, V, K, Q, a = (weights[name] for name in ("W", "W_V", "W_K", "W_Q", "a"))
    u = W.T @ a
    return {
        "rho": np.array([u @ u]), "G": V @ u, "x": W @ V.T, "products": W @ W.T, "value": V @ V.T, "score": K @ Q.T, "key": K @ K.T,
        "query": Q @ Q.T,
    }


@dataclass(frozen=True, eq=False)
class GramFlow:
    """The closed system of inner products, equations (13) to (21); parameters are displacements from their initial values.

    Parameters
    ----------
    bags : Bags
        Training samples.
    m : int
        Width, which the scores are scaled by.
    a : ndarray, shape (m1,)
        Last layer.
    initial : mapping of str to ndarray
        What `inner_products` returns at the start.
    neurons : bool
        Follow each neuron, x (m1, d) and products (m1, m1), instead of their sums rho and G (d,).
    observables, constants, provenance : mapping
        See `dynsim.system.System`.
    """

    bags: Bags
    m: int
    a: NDArray
    initial: Mapping[str, NDArray]
    neurons: bool = False
    observables: Mapping[str, Observable] = field(default_factory=dict)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    step_scale = 1.0
    exact_for = frozenset({"flow"})
    alternative = "Inner products are no gradient system: use dense or lumped for rules with steps."

    @cached_property
    def layout(self) -> Layout:
        """Blocks rho (1,), G (d,), or x (m1, d), products (m1, m1); then value, score, key, query (d, d), and the clock tau (1,)."""
        names = (*(("x", "products") if self.neurons else ("rho", "G")), *PRODUCTS)
        return Layout({**{name: self.initial[name].shape for name in names}, "tau": (1,)})

    @cached_property
    def start(self) -> NDArray:
        """Displacements are 0 at first."""
        return np.zeros(self.layout.size)

    @cached_property
    def _pairs(self) -> NDArray:
        tokens = self.bags.tokens
        return (tokens[:, :, None] * self.bags.d + tokens[:, None, :]).ravel()

    @property
    def head(self) -> float:
        """|a|^2, the number of neurons where a is signs."""
        return float(self.a @ self.a)

    def _now(self, name: str, params: SimpleNamespace) -> NDArray:
        return self.initial[name] + getattr(params, name)

    def _force_on_scores(self, cache: SimpleNamespace) -> NDArray:
        """Return B, (d, d)."""
        d = self.bags.d
        return np.bincount(self._pairs, cache.b.ravel(), d**2).reshape(d, d)

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return what `attend` returns, and `score` (d, d)."""
        G = self.a @ self._now("x", params) if self.neurons else self._now("G", params)
        score = self._now("score", params)
        n, L = self.bags.tokens.shape
        cache = attend(self.bags, score.ravel()[self._pairs].reshape(n, L, L), G, self.m)
        cache.score, cache.system = score, self
        return cache

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Refuse: there is no gradient.

        Raises
        ------
        Inexact
            Always.
        """
        raise Inexact(self.alternative)

    def velocity(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace) -> None:
        """Write the right-hand side of equations (13) to (18) into `out`, and d tau/dt = rho.

        With `neurons` equations (19) and (21) take the place of (13) and (14); summed with a, (21) is equation (20).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        out : SimpleNamespace
            Blocks of the velocity, written to.
        """
        forces(self.bags, cache, self.m)
        z, G, B = cache.z, cache.G, self._force_on_scores(cache)
        S, KK, QQ = cache.score, self._now("key", params), self._now("query", params)
        force, rho = self.value_force(params, cache), self.rho(params, cache)
        if self.neurons:
            pulled = self._now("x", params) @ z
            out.x[...] = np.multiply.outer(self._now("products", params) @ self.a, z) + np.multiply.outer(self.a, force)
            out.products[...] = np.multiply.outer(pulled, self.a) + np.multiply.outer(self.a, pulled)
        else:
            out.rho[...] = 2.0 * self.head * (z @ G)
            out.G[...] = rho * z + self.head * force
        value = np.multiply.outer(z, G)
        np.add(value, value.T, out=out.value)
        np.matmul(B, QQ, out=out.score)
        out.score[...] += KK @ B
        key, query = B @ S.T, B.T @ S
        np.add(key, key.T, out=out.key)
        np.add(query, query.T, out=out.query)
        out.tau[...] = rho

    def replicates(self, index: Any) -> GramFlow:
        """Refuse: a system is a single run."""
        raise ValueError("a system of bags is a single run without a leading axis of replicates: run seeds one by one")

    # -- what the theory speaks about: the same questions as of `BagTransformer` ---------------------------------------------

    @cached_property
    def p0(self) -> NDArray:
        """Softmax outputs at the start, (n, key, query)."""
        return self.forward(self.layout.views(self.start)).p

    @cached_property
    def scores_at_start(self) -> NDArray:
        """Scores of the special tokens at the start, (3, 3)."""
        return self.initial["score"][:SPECIAL, :SPECIAL]

    def change(self, name: str, params: SimpleNamespace, count: int | None = None) -> NDArray:
        """Return how far inner products have moved; those of the first `count` tokens, or all.

        Parameters
        ----------
        name : {"value", "score", "key", "query"}
            The matrix: Gamma, S, KK or QQ.
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        count : int, optional
            How many tokens, special ones first. Default all.
        """
        return getattr(params, name)[:count, :count]

    def rho(self, params: SimpleNamespace, cache: SimpleNamespace) -> float:
        """Return |u|^2.

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        return float(self.a @ self._now("products", params) @ self.a if self.neurons else self._now("rho", params)[0])

    def value_force(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        """Return Gamma z, shape (d,).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        return self._now("value", params) @ cache.z

    def products_change(self, params: SimpleNamespace) -> NDArray:
        """Return how far <w_i, w_j> have moved, (m1, m1).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        """
        return params.products

    def neuron_values_change(self, params: SimpleNamespace, tokens: slice) -> NDArray:
        """Return how far w_j . W_V[c] have moved, (m1, tokens).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        tokens : slice
            Which tokens c.
        """
        return params.x[:, tokens]

    def motion(self, params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
        """Return time derivatives as `BagTransformer.motion` does; `energy` by the quadratic forms of equation (26).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        if hasattr(cache, "motion"):
            return cache.motion
        out = self.layout.views(np.empty(self.layout.size))
        self.velocity(params, cache, out)
        z, tokens, B = cache.z, self.bags.tokens, self._force_on_scores(cache)
        dG = self.a @ out.x if self.neurons else out.G.copy()
        dx = out.score[tokens[:, :, None], tokens[:, None, :]] / np.sqrt(self.m)
        KK, QQ = self._now("key", params), self._now("query", params)
        energy = (
            self.head * float(z @ self.value_force(params, cache)) + self.rho(params, cache) * float(z @ z)
            + float(np.vdot(B, KK @ B) + np.vdot(B, B @ QQ))
        )
        drho = float(self.a @ out.products @ self.a if self.neurons else out.rho[0])
        three = slice(None, SPECIAL)
        cache.motion = with_outputs(cache, dx, dG, self.bags, SimpleNamespace(
            rho=drho, G=dG, value=out.value[three, three], score=out.score[three, three], energy=energy,
        ))
        return cache.motion

    def invariants(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        """Return the five conserved numbers of `observables.INVARIANTS`, in inner products: equation (23).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        V, S, KK, QQ = (self._now(name, params) for name in PRODUCTS)
        rho, G = self.rho(params, cache), cache.G
        return np.array([
            rho - self.head * np.trace(V), rho**2 - 2.0 * self.head * float(G @ G) + self.head**2 * np.vdot(V, V),
            np.trace(KK) - np.trace(QQ),
            np.vdot(KK, KK) - 2.0 * np.vdot(S, S) + np.vdot(QQ, QQ),
            np.vdot(KK @ KK, KK) - 3.0 * np.vdot(KK @ S, S) + 3.0 * np.vdot(S @ QQ, S) - np.vdot(QQ @ QQ, QQ),
        ])

    @cached_property
    def invariants_at_start(self) -> NDArray:
        """Those numbers at the start."""
        start = self.layout.views(self.start)
        return self.invariants(start, self.forward(start))

    @cached_property
    def invariant_scale(self) -> NDArray:
        """Sizes of the terms that the five numbers are differences of, at the start."""
        V, KK, QQ = (self.initial[name] for name in ("value", "key", "query"))
        rho = float(self.initial["rho"][0])
        return np.array([
            rho + self.head * np.trace(V), rho**2 + self.head**2 * np.vdot(V, V), np.trace(KK) + np.trace(QQ),
            np.vdot(KK, KK) + np.vdot(QQ, QQ), np.vdot(KK @ KK, KK) + np.vdot(QQ @ QQ, QQ),
        ])
