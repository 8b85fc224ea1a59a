r"""One attention layer and a linear two-layer head on bags of tokens: forward pass and gradients, derived by hand.

With the rows of the token-major matrices W_V, W_K, W_Q (d, m) belonging to the tokens, W (m1, m), a (m1,) and, for query l and key k of a
sample with tokens c_1, ..., c_L and label y,

.. math::
    u = W^\top a,\quad G(c) = u \cdot W_V[c],\quad S(c, b) = W_K[c] \cdot W_Q[b],\quad
    p_{kl} = \mathrm{softmax}_k\,S(c_k, c_l)/\sqrt m, \\
    F = \sum_l \bar G_l,\quad \bar G_l = \sum_k p_{kl} G(c_k),\qquad
    L = \frac1n \sum_i \log(1 + e^{-y_i F_i}),\quad g_i = 1/(1 + e^{y_i F_i})

(arXiv 2410.09605, section 2.2), minus the gradients are

.. math::
    z[c] = \tfrac1n \sum_i g_i y_i \sum_{k:\,c_k = c} \sum_l p_{kl},\quad
    B[c, b] = \tfrac{1}{n\sqrt m} \sum_i g_i y_i \sum_{k:\,c_k = c} \sum_{l:\,c_l = b} p_{kl}\,(G(c_k) - \bar G_l), \\
    -\partial_W = a\,(W_V^\top z)^\top,\quad -\partial_{W_V} = z u^\top,\quad -\partial_{W_K} = B W_Q,\quad -\partial_{W_Q} = B^\top W_K

(docs/derivations/cooccurrence.md, equations (5) to (8)). Parameters are **displacements** from the initial weights: softmax outputs
move by 1e-7, and no digit of what moves them is lost. The last layer is linear, so W moves by a times one vector and the whole of it can be
collapsed into u, which learns |a|^2 times faster: the same class, with `u` in place of `W`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...layout import Layout
from ...numerics import logistic
from ...system import Observable, described
from .data import SPECIAL, Bags

__all__ = ["BagTransformer", "Fresh", "attend", "forces", "with_outputs"]

GATHERED = 2**17
"""Most numbers that are gathered by token at a time: more would not stay in the cache until they are multiplied."""


def attend(bags: Bags, scores: NDArray, G: NDArray, m: int) -> SimpleNamespace:
    """Return softmax outputs, outputs F and loss of bags from scores (n, key, query) and G (d,): equations (2) to (4), analytic in both.

    Returns
    -------
    SimpleNamespace
        `p` (n, key, query), `G_keys` (n, key), `G_bar` (n, query), `F`, `margin`, `g` (n,), `loss` ().
    """
    x = scores / np.sqrt(m)
    x -= x.real.max(axis=1, keepdims=True)
    p = np.exp(x, out=x)
    p /= p.sum(axis=1, keepdims=True)
    G_keys = G[bags.tokens]
    G_bar = np.matmul(G_keys[:, None, :], p)[:, 0, :]
    F = G_bar.sum(axis=1)
    margin = bags.y * F
    at = logistic(margin)
    return SimpleNamespace(p=p, G=G, G_keys=G_keys, G_bar=G_bar, F=F, margin=margin, g=at.q, loss=at.softplus_neg.mean())


def forces(bags: Bags, cache: SimpleNamespace, m: int) -> None:
    """Add `z` (d,) and `b`, the terms of B by sample (n, key, query), to a cache, unless they are there: equations (5) and (7).

    `b` is minus the derivative of the loss by each score, equations (9) and (10).
    """
    if hasattr(cache, "z"):
        return
    pull = cache.g * bags.y / bags.n
    cache.z = np.bincount(bags.tokens.ravel(), (pull[:, None] * cache.p.sum(axis=2)).ravel(), bags.d)
    cache.b = cache.G_keys[:, :, None] - cache.G_bar[:, None, :]
    cache.b *= cache.p
    cache.b *= (pull / np.sqrt(m))[:, None, None]


@dataclass(frozen=True, eq=False)
class Fresh:
    """Test samples; tokens beyond the vocabulary of the training set have the initial weights `extra`, W_V, W_K, W_Q (d', m), for ever."""

    bags: Bags
    extra: Mapping[str, NDArray]


@dataclass(frozen=True, eq=False)
class BagTransformer:
    """The model on its training samples, with all neurons (`W`) or with the last layer collapsed into one vector (`u`).

    Parameters
    ----------
    bags : Bags
        Training samples.
    initial : mapping of str to ndarray
        Initial weights: W (m1, m), W_V, W_K, W_Q (d, m), and the last layer a (m1,).
    neurons : ndarray, shape (m1,), or None
        How far each neuron moves for a unit of the collapsed vector: W = W(0) + neurons b^T. a for rules that are linear in the gradient,
        sgn(a) for rules of signs, equations (11) and (12). None: W itself is a parameter.
    attention : bool
        False holds keys and queries at their initial weights: another model, for comparison.
    exact_for : frozenset of str
        Kinds of rules that train it as they train the model with all its weights; "any" for the model itself.
    alternative : str
        What to use for other rules: the end of the message that refuses them.
    fresh : mapping of str to Fresh
        Test samples: "seen" with random tokens of the training set, "unseen" with others.
    observables, constants, provenance : mapping
        See `dynsim.system.System`.
    """

    bags: Bags
    initial: Mapping[str, NDArray]
    neurons: NDArray | None = None
    attention: bool = True
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""
    fresh: Mapping[str, Fresh] = field(default_factory=dict)
    observables: Mapping[str, Observable] = field(default_factory=dict)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    # -- shapes ------------------------------------------------------------------------------------------------------------

    @property
    def m(self) -> int:
        """Width."""
        return self.initial["W"].shape[1]

    @cached_property
    def layout(self) -> Layout:
        """W (m1, m) or u (m,), then W_V, W_K, W_Q (d, m), and the clock tau (1,), which flows advance and the loss does not read."""
        first = {"W": self.initial["W"].shape} if self.neurons is None else {"u": (self.m,)}
        return Layout({**first, **dict.fromkeys(("W_V", "W_K", "W_Q"), (self.bags.d, self.m)), "tau": (1,)})

    @cached_property
    def start(self) -> NDArray:
        """Displacements are 0 at first."""
        return np.zeros(self.layout.size)

    @property
    def speed(self) -> float:
        """How much faster u learns than a weight: the sum of a_j neurons_j, |a|^2 of equation (11) or |a|_1 of equation (12)."""
        return 1.0 if self.neurons is None else float(self.initial["a"] @ self.neurons)

    @cached_property
    def step_scale(self) -> NDArray | float:
        """1, but `speed` for the collapsed vector."""
        if self.neurons is None:
            return 1.0
        scale = np.ones(self.layout.size)
        scale[self.layout.slices["u"]] = self.speed
        return scale

    @cached_property
    def u0(self) -> NDArray:
        """W(0)^T a, shape (m,)."""
        return self.initial["W"].T @ self.initial["a"]

    @cached_property
    def few(self) -> bool:
        """True if all d^2 scores cost less than those of each sample's own tokens."""
        return self.bags.d**2 <= 4 * self.bags.n * self.bags.L**2

    @cached_property
    def _pairs(self) -> NDArray:
        """Index into a flat (d, d) matrix of each sample's (key, query)."""
        tokens = self.bags.tokens
        return (tokens[:, :, None] * self.bags.d + tokens[:, None, :]).ravel()

    @cached_property
    def _sparsity(self) -> tuple[NDArray, NDArray, NDArray]:
        """Where B is not zero: columns and starts of rows, as a sparse matrix has them, and the place there of each of `_pairs`."""
        d = self.bags.d
        occupied, places = np.unique(self._pairs, return_inverse=True)
        return occupied % d, np.searchsorted(occupied, d * np.arange(d + 1)), places

    # -- weights -----------------------------------------------------------------------------------------------------------

    def u(self, params: SimpleNamespace) -> NDArray:
        """Return the head as one vector, u = W^T a of equation (4), shape (m,).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        """
        return self.u0 + (params.W.T @ self.initial["a"] if self.neurons is None else params.u)

    def W_change(self, params: SimpleNamespace) -> NDArray:
        """Return the displacement of W, shape (m1, m).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        """
        return params.W if self.neurons is None else np.multiply.outer(self.neurons, params.u / self.speed)

    def weights(self, params: NDArray) -> dict[str, NDArray]:
        """Return the weights of a parameter vector, in the shapes of `initial`.

        Parameters
        ----------
        params : ndarray
            A parameter vector, such as `start` or `Trajectory.final`.
        """
        views = self.layout.views(np.asarray(params))
        moved = {name: self.initial[name] + getattr(views, name) for name in ("W_V", "W_K", "W_Q")}
        return {"W": self.initial["W"] + self.W_change(views), **moved, "a": self.initial["a"]}

    def _scores(self, keys: NDArray, queries: NDArray) -> NDArray:
        """Return the scores of each sample's own tokens, (n, key, query), from W_K and W_Q (d, m)."""
        tokens = self.bags.tokens
        n, L = tokens.shape
        if self.few:
            return (keys @ queries.T).ravel()[self._pairs].reshape(n, L, L)
        scores = np.empty((n, L, L), dtype=keys.dtype)
        for first in range(0, n, step := max(1, GATHERED // (L * self.m))):
            some = tokens[first : first + step]
            np.matmul(keys.take(some, axis=0), queries.take(some, axis=0).swapaxes(1, 2), out=scores[first : first + step])
        return scores

    # -- forward and gradient ------------------------------------------------------------------------------------------------

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return the cache: what `attend` returns, u, and W_K and W_Q as `keys` and `queries`; equations (2) to (4)."""
        u = self.u(params)
        G = self.initial["W_V"] @ u + params.W_V @ u
        keys, queries = self.initial["W_K"] + params.W_K, self.initial["W_Q"] + params.W_Q
        cache = attend(self.bags, self._scores(keys, queries), G, self.m)
        cache.u, cache.keys, cache.queries, cache.system = u, keys, queries, self
        return cache

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the loss, equations (5) to (8), into `out`.

        It underflows nowhere that matters, so `signs` makes no difference.
        """
        self._write(params, cache, out, -1.0, 1.0)
        out.tau[...] = 0.0

    def velocity(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace) -> None:
        """Write the velocity of gradient flow into `out`: minus the gradient, |a|^2 times that for u, and d tau/dt = rho.

        In that clock rho^2 grows by equation (27).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        out : SimpleNamespace
            Blocks of the velocity, written to.
        """
        self._write(params, cache, out, 1.0, self.head)
        out.tau[...] = cache.u @ cache.u

    def _write(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, sign: float, speed: float) -> None:
        forces(self.bags, cache, self.m)
        z, b, u = sign * cache.z, sign * cache.b, cache.u
        h = z @ self.initial["W_V"] + z @ params.W_V
        if self.neurons is None:
            np.multiply.outer(self.initial["a"], h, out=out.W)
        else:
            np.multiply(speed, h, out=out.u)
        np.multiply.outer(z, u, out=out.W_V)
        if not self.attention:
            out.W_K[...] = out.W_Q[...] = 0.0
        elif self.few:
            B = np.bincount(self._pairs, b.ravel(), self.bags.d**2).reshape(self.bags.d, self.bags.d)
            np.matmul(B, cache.queries, out=out.W_K)
            np.matmul(B.T, cache.keys, out=out.W_Q)
        else:
            columns, rows, places = self._sparsity
            B = sparse.csr_array((np.bincount(places, b.ravel(), len(columns)), columns, rows), shape=(self.bags.d, self.bags.d))
            out.W_K[...] = B @ cache.queries
            out.W_Q[...] = B.T @ cache.keys

    def replicates(self, index: Any) -> BagTransformer:
        """Refuse: a system is a single run."""
        raise ValueError("a system of bags is a single run without a leading axis of replicates: run seeds one by one")

    # -- what the theory speaks about ----------------------------------------------------------------------------------------

    @cached_property
    def p0(self) -> NDArray:
        """Softmax outputs at the start, (n, key, query)."""
        return self.forward(self.layout.views(self.start)).p

    def pair(self, name: str, params: SimpleNamespace) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Return W_a, dW_a, W_b, dW_b of a matrix of inner products W_a W_b^T: initial weights and displacements, (d, m) each.

        Parameters
        ----------
        name : {"value", "score", "key", "query"}
            The matrix: Gamma, S, KK or QQ.
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        """
        left, right = {"value": ("W_V", "W_V"), "score": ("W_K", "W_Q"), "key": ("W_K", "W_K"), "query": ("W_Q", "W_Q")}[name]
        return self.initial[left], getattr(params, left), self.initial[right], getattr(params, right)

    def change(self, name: str, params: SimpleNamespace, count: int | None = None) -> NDArray:
        """Return how far inner products have moved from the start, without subtracting; those of the first `count` tokens, or all.

        Parameters
        ----------
        name : {"value", "score", "key", "query"}
            The matrix: Gamma, S, KK or QQ.
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        count : int, optional
            How many tokens, special ones first. Default all.
        """
        A, dA, B, dB = (x[:count] for x in self.pair(name, params))
        if name != "score":
            half = dA @ (A + 0.5 * dA).T
            return half + half.T
        return dA @ (B + dB).T + A @ dB.T

    @cached_property
    def scores_at_start(self) -> NDArray:
        """Scores of the special tokens at the start, (3, 3)."""
        return self.initial["W_K"][:SPECIAL] @ self.initial["W_Q"][:SPECIAL].T

    @property
    def head(self) -> float:
        """|a|^2, the number of neurons where a is signs."""
        return float(self.initial["a"] @ self.initial["a"])

    def products_change(self, params: SimpleNamespace) -> NDArray:
        """Return how far <w_i, w_j> have moved, (m1, m1).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        """
        W, dW = self.initial["W"], self.W_change(params)
        cross = W @ dW.T
        return cross + cross.T + dW @ dW.T

    def neuron_values_change(self, params: SimpleNamespace, tokens: slice) -> NDArray:
        """Return how far w_j . W_V[c] have moved, (m1, tokens).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        tokens : slice
            Which tokens c.
        """
        V, dV = self.initial["W_V"][tokens], params.W_V[tokens]
        return self.W_change(params) @ (V + dV).T + self.initial["W"] @ dV.T

    def motion(self, params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
        """Return time derivatives in gradient flow, all by the product rule on the weights; kept in the cache.

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.

        Returns
        -------
        SimpleNamespace
            `rho` (), `G` (d,), `value`, `score` (3, 3) for the special tokens, `p` (n, key, query), `F` (n,), `G_from_p` (n,): the part of
            F's velocity that comes from p; `energy`: the squared norm of the weights' velocity, that of W included, the left side of
            equation (26).
        """
        if hasattr(cache, "motion"):
            return cache.motion
        out = self.layout.views(np.empty(self.layout.size))
        self.velocity(params, cache, out)
        a, three = self.initial["a"], slice(None, SPECIAL)
        du = out.W.T @ a if self.neurons is None else out.u
        V, K, Q = self.initial["W_V"] + params.W_V, cache.keys, cache.queries
        dG = out.W_V @ cache.u + V @ du
        value = out.W_V[three] @ V[three].T
        dscores = self._scores(out.W_K, Q) + self._scores(K, out.W_Q)
        head_energy = float(du @ du) / self.head  # of W, which moves by a du^T / |a|^2
        cache.motion = with_outputs(cache, dscores / np.sqrt(self.m), dG, self.bags, SimpleNamespace(
            rho=2.0 * float(cache.u @ du), G=dG, value=value + value.T, score=out.W_K[three] @ Q[three].T + K[three] @ out.W_Q[three].T,
            energy=head_energy + sum(float(np.vdot(x, x)) for x in (out.W_V, out.W_K, out.W_Q)),
        ))
        return cache.motion

    def fresh_cache(self, name: str, params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
        """Return what `attend` returns on fresh samples; kept in the cache.

        Parameters
        ----------
        name : {"seen", "unseen"}
            Which of `fresh`.
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        key = f"fresh_{name}"
        if not hasattr(cache, key):
            fresh = self.fresh[name]
            used, places = np.unique(fresh.bags.tokens, return_inverse=True)
            known, new = used[used < self.bags.d], used[used >= self.bags.d] - self.bags.d
            V, K, Q = (
                np.concatenate([self.initial[w][known] + getattr(params, w)[known], fresh.extra[w][new]]) for w in ("W_V", "W_K", "W_Q")
            )
            bags = Bags(places.reshape(fresh.bags.tokens.shape), fresh.bags.y, len(used))
            scores = np.matmul(K[bags.tokens], Q[bags.tokens].swapaxes(1, 2))
            setattr(cache, key, attend(bags, scores, V @ cache.u, self.m))
        return getattr(cache, key)

    def value_force(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        """Return Gamma z of equation (14), shape (d,), Gamma the inner products of the value layer.

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        h = cache.z @ self.initial["W_V"] + cache.z @ params.W_V
        return self.initial["W_V"] @ h + params.W_V @ h

    def rho(self, params: SimpleNamespace, cache: SimpleNamespace) -> float:
        """Return |u|^2.

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        return float(cache.u @ cache.u)

    def invariants(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        """Return the five conserved numbers of `observables.INVARIANTS`, as traces of powers of D_V and D: equations (22) and (23).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        """
        V, K, Q = (self.initial[name] + getattr(params, name) for name in ("W_V", "W_K", "W_Q"))
        D_V = np.multiply.outer(cache.u, cache.u) - self.head * (V.T @ V)
        D = K.T @ K - Q.T @ Q
        return np.array([np.trace(D_V), np.vdot(D_V, D_V), np.trace(D), np.vdot(D, D), np.vdot(D @ D, D)])

    @cached_property
    def invariants_at_start(self) -> NDArray:
        """Those numbers at the start."""
        start = self.layout.views(self.start)
        return self.invariants(start, self.forward(start))

    @cached_property
    def invariant_scale(self) -> NDArray:
        """Sizes of the terms that the five numbers are differences of, at the start."""
        V, K, Q = (self.initial[name] for name in ("W_V", "W_K", "W_Q"))
        head = self.head
        rho, values = float(self.u0 @ self.u0), head * float(np.vdot(V, V))
        KK, QQ = K.T @ K, Q.T @ Q
        keys, queries = np.trace(KK), np.trace(QQ)
        return np.array([
            rho + values, rho**2 + float(np.sum((head * (V.T @ V)) ** 2)), keys + queries, np.vdot(KK, KK) + np.vdot(QQ, QQ),
            np.vdot(KK @ KK, KK) + np.vdot(QQ @ QQ, QQ),
        ])


def with_outputs(cache: SimpleNamespace, dx: NDArray, dG: NDArray, bags: Bags, motion: SimpleNamespace) -> SimpleNamespace:
    """Add the velocity of softmax outputs and of F to a motion, from that of the logits dx (n, key, query) and of G: equation (9)."""
    p = cache.p
    motion.p = p * (dx - (p * dx).sum(axis=1, keepdims=True))
    motion.G_from_p = (cache.G_keys[:, :, None] * motion.p).sum(axis=(1, 2))
    motion.F = motion.G_from_p + (p.sum(axis=2) * dG[bags.tokens]).sum(axis=1)
    return motion
