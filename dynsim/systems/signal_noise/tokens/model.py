r"""The two-layer transformer on L general tokens a sample: forward pass beside the hand-derived gradient.

.. math::
    p_{il} = \mathrm{softmax}_a \langle W_K x_{ia}, W_Q x_{il} \rangle,\quad
    F_j(X_i) = \frac{1}{m_v} \sum_l 1^\top W_{V,j} X_i\, p_{il},\quad
    f = F_{+1} - F_{-1},\quad
    L = \frac1n \sum_i \log(1 + e^{-y_i f(X_i)})

The model of Li et al. (arXiv 2410.04870, section 2) for data without the structure y mu, xi of its section 2: every token is
arbitrary and there may be more than two, a generalisation of ours. The gradients are derived in
docs/derivations/general_tokens.md; equation numbers (T1), (T2), ... refer to that page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....layout import Layout
from ....numerics import softplus
from ....system import Observable, described
from ..data import as_array
from ..features import Features
from ..fresh import TestTokens, rewrite_test
from ..model import near_zero, said_scale
from ..reduction import lumping_kind
from .data import TokenData, token_data
from .signs import pull_signs, relative_coefficients

__all__ = ["TOKEN_OBSERVABLES", "TokenTransformer", "from_tokens"]

LOST = math.exp(-708.0)  # products below this lose digits or vanish in float64


@dataclass(frozen=True, eq=False)
class TokenTransformer:
    r"""The model in feature coordinates: dense, restricted and lumped systems are instances of it.

    Parameters
    ----------
    data : TokenData
        The training samples.
    features : Features
        How the n L tokens, sample by sample, are made of the D features.
    start : ndarray, shape (P,)
        Initial parameters, in the blocks of `TwoTokenTransformer`: `W_QK` (2, D, m_k) and `W_V` (2, m_v, D) or `v` (D,).
    m_k, m_v, value_rows
        As in `TwoTokenTransformer`.
    step_scale, exact_for, alternative, constants, provenance
        See `dynsim.system.System`.
    fresh_labels : ndarray, shape (t,), or None
        Labels of the test samples.
    draw_test : callable or None
        Returns the t L test tokens on first use.
    logit_scale : float, default 1.0
        As in `TwoTokenTransformer`; the factor c of equation (T1).
    """

    data: TokenData
    features: Features
    start: NDArray
    m_k: int
    m_v: int
    value_rows: bool
    step_scale: NDArray | float
    exact_for: frozenset[str]
    alternative: str
    constants: Mapping[str, NDArray]
    provenance: Mapping[str, Any]
    fresh_labels: NDArray | None = None
    draw_test: Callable[[], TestTokens] | None = field(default=None, repr=False)
    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", said_scale(self.provenance, self.logit_scale))

    @cached_property
    def layout(self) -> Layout:
        """Blocks of the flat parameter vector."""
        D = self.features.size
        value = {"W_V": (2, self.m_v, D)} if self.value_rows else {"v": (D,)}
        return Layout({"W_QK": (2, D, self.m_k), **value})

    @property
    def n(self) -> int:
        """Number of training samples."""
        return self.data.n

    @cached_property
    def observables(self) -> Mapping[str, Observable]:
        """The quantities a run can record; those on test data only where there is some."""
        if self.draw_test is None:
            return {name: o for name, o in TOKEN_OBSERVABLES.items() if not name.startswith("test_")}
        return TOKEN_OBSERVABLES

    @cached_property
    def test(self) -> TestTokens:
        """Test tokens in feature coordinates, made on first use."""
        if self.draw_test is None:
            raise ValueError("this system has no test samples: give from_tokens(..., test=(X_test, y_test))")
        return self.draw_test()

    def replicates(self, index: Any) -> TokenTransformer:
        """Raise a ValueError: a system on general tokens is a single run."""
        raise ValueError("this system has no replicates: run one system after the other")

    # -- other representations of a dense system ------------------------------------------------------------------

    def lump(self, optimizer: Any) -> TokenTransformer:
        """Reduce a dense system exactly for a rule: project its weights on the groups of proportional columns.

        Parameters
        ----------
        optimizer : Optimizer or type
            A rule of kind "sign" or "linear"; a class stands for its instance at default hyper-parameters.

        Raises
        ------
        Inexact
            For a rule that does not lump; names the alternative.
        ValueError
            If this is not a dense system.
        """
        kind = lumping_kind(optimizer)
        blocks, groups, columns = self._dense_blocks(), self.data.groups, self.data.columns
        u, v = groups.project(blocks.W_QK[:, columns]), groups.project(_mean_value(blocks.W_V)[columns, None])[:, 0]
        scale = groups.scale(kind)
        weight = np.zeros((self.data.d, groups.features.size))
        weight[columns, groups.group] = groups.displacement(kind)
        layout = Layout({"W_QK": u.shape, "v": v.shape})
        rows = np.broadcast_to(scale[:, None], u.shape)
        other = "linear (GradientDescent)" if kind == "sign" else "sign (SignGD, Adam with eps=0)"
        return replace(
            self, features=groups.features, start=layout.pack(W_QK=u, v=v), value_rows=False, exact_for=frozenset({kind}),
            step_scale=layout.pack(W_QK=rows, v=(2.0 if kind == "sign" else 2.0 / self.m_v) * scale),
            alternative=f"It was lumped for rules of kind {kind}; for kind {other} lump the dense system with that rule, for any other "
            "rule restrict it: system.restrict().",
            provenance={**self.provenance, "engine": "lumped"}, draw_test=self._reduced_test(weight, u, v),
        )

    def restrict(self) -> TokenTransformer:
        """Drop the coordinates at which every token is 0 of a dense system, exact for every rule that acts per coordinate."""
        blocks, columns = self._dense_blocks(), self.data.columns
        W_QK, W_V = blocks.W_QK[:, columns], blocks.W_V[:, :, columns]
        kept = np.zeros((self.data.d, len(columns)))
        kept[columns, np.arange(len(columns))] = 1.0
        return replace(
            self, features=Features(self.n * self.data.length, 0, np.ascontiguousarray(self.data.stacked[:, columns])),
            start=Layout({"W_QK": W_QK.shape, "W_V": W_V.shape}).pack(W_QK=W_QK, W_V=W_V), exact_for=frozenset({"coordinatewise"}),
            provenance={**self.provenance, "engine": "restricted"}, draw_test=self._reduced_test(kept, W_QK, _mean_value(W_V)),
        )

    def lift(self, reduced: TokenTransformer, params: NDArray) -> dict[str, NDArray]:
        """Recover the dense weights of a lumped or restricted run.

        Parameters
        ----------
        reduced : TokenTransformer
            A reduction of this dense system.
        params : ndarray, shape (P,)
            Parameters of the reduced system, for example ``run.final``.

        Returns
        -------
        dict of str to ndarray
            W_Q, W_K (m_k, d), W_V_pos, W_V_neg (m_v, d), as `from_tokens` takes them.
        """
        blocks, columns = self._dense_blocks(), self.data.columns
        if reduced.data is not self.data and not np.array_equal(reduced.data.X, self.data.X):
            raise ValueError("reduced is no reduction of this dense system: its tokens are others")
        W_QK, W_V = blocks.W_QK.copy(), blocks.W_V.copy()
        now = reduced.layout.views(np.ascontiguousarray(params))
        if reduced.value_rows:
            W_QK[:, columns], W_V[:, :, columns] = now.W_QK, now.W_V
        else:
            began, (kind,) = reduced.layout.views(reduced.start), reduced.exact_for
            inside_QK, inside_V = W_QK[:, columns], W_V[:, :, columns]
            self.data.groups.move(kind, inside_QK, inside_V, now.W_QK - began.W_QK, now.v - began.v)
            W_QK[:, columns], W_V[:, :, columns] = inside_QK, inside_V
        return {"W_Q": W_QK[0].T.copy(), "W_K": W_QK[1].T.copy(), "W_V_pos": W_V[0], "W_V_neg": W_V[1]}

    def _dense_blocks(self) -> SimpleNamespace:
        if not self.value_rows or self.features.size != self.data.d:
            raise ValueError("this needs a dense system: one that from_tokens made")
        return self.layout.views(self.start)

    def _reduced_test(self, weight: NDArray, u: NDArray, v: NDArray) -> Callable[[], TestTokens] | None:
        return None if self.draw_test is None else partial(rewrite_test, self, weight, u, v)

    # -- forward and backward, line by line in the same order ---------------------------------------------------

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return loss and intermediate values.

        Shapes: v (D,); P (2, n, L, m_k); V (n, L); z, log_p, p (n, L, L), query before key; margin, losses (n,); loss ().
        """
        shape = self.data.X.shape[:2]
        v = _mean_value(params.W_V) if self.value_rows else params.v
        P = self.features.project(params.W_QK).reshape(2, *shape, self.m_k)
        V = self.features.project_vector(v).reshape(shape)
        z, log_p, p, margin = _attend(P, V, self.data.y, self.logit_scale)
        losses = softplus(-margin)
        return SimpleNamespace(
            system=self, v=v, P=P, V=V, z=z, log_p=log_p, p=p, margin=margin, losses=losses, loss=np.add.reduce(losses) / self.n,
        )

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write dL/dparams, equations (T4) to (T8), into the views `out`; with `signs`, up to a positive factor per entry."""
        c, X = cache, self.features
        (Q, K), log_l, V_a_minus_b = c.P, _log_slope(c), c.V[:, :, None] - c.V[:, None, :]
        if signs:
            of_query, of_key, log_scale = relative_coefficients(c.log_p, log_l, Q, c.V, V_a_minus_b, self.data.y)
            t = np.repeat(-self.data.y, self.data.length)
        else:
            # dL/dz_la = -y l p_la (V_a - Vbar_l) with V_a - Vbar_l = sum_b p_lb (V_a - V_b)                    (T4)
            yl = self.data.y * np.exp(log_l)
            dz = np.matmul(c.p, V_a_minus_b.swapaxes(-1, -2))
            dz *= c.p
            dz *= -yl[:, None, None] * self.logit_scale
            c.underflow = ((np.abs(dz) < LOST) & V_a_minus_b.any(-1)[:, None, :]).any()
            of_query = of_key = dz
            # dL/dV_a = -y l sum_l p_la                                                                          (T7)
            t = (-yl[:, None] * np.add.reduce(c.p, axis=-2)).ravel()
        T = _token_gradients(of_query, of_key, Q, K[:, 1:] - K[:, :1], X.token_rows(out.W_QK))
        g = np.empty(c.v.shape) if self.value_rows else out.v
        if signs:
            pull_signs(X, T, t, out.W_QK, g, log_scale)
        else:
            X.pull(T, t, out.W_QK, g)
        if self.value_rows:
            # dL/dW_{V,j} = (j / m_v) 1 (dL/dv)^T
            g /= self.m_v
            out.W_V[0] = g
            np.negative(g, out=g)
            out.W_V[1] = g

    def ties(self, params: SimpleNamespace, cache: SimpleNamespace) -> float:
        """Count gradient entries of W_Q, W_K and v below 1e-13 of the sum of their terms' magnitudes; see `TwoTokenTransformer.ties`.

        Parameters
        ----------
        params : SimpleNamespace
            Views of the parameters, as `forward` takes them.
        cache : SimpleNamespace
            What `forward` returned for them.
        """
        c, X = cache, self.features
        (Q, K), log_l, V_a_minus_b = c.P, _log_slope(c), c.V[:, :, None] - c.V[:, None, :]
        of_query, of_key, log_scale = relative_coefficients(c.log_p, log_l, Q, c.V, V_a_minus_b, self.data.y)
        entry, size, entry_v, size_v = np.empty_like(params.W_QK), np.empty_like(params.W_QK), np.empty_like(c.v), np.empty_like(c.v)
        t = np.repeat(-self.data.y, self.data.length)
        T = _token_gradients(of_query, of_key, Q, K[:, 1:] - K[:, :1], X.token_rows(entry))
        pull_signs(X, T, t, entry, entry_v, log_scale)
        Q, K = np.abs(c.P)
        T = _token_gradients(np.abs(of_query), np.abs(of_key), Q, K[:, 1:] + K[:, :1], X.token_rows(size))
        pull_signs(X.magnitudes, T, np.abs(t), size, size_v, log_scale)
        return float(near_zero(entry, size).sum() + near_zero(entry_v, size_v).sum())


def _log_slope(c: SimpleNamespace) -> NDArray:
    """Return log l_i, l_i = sigmoid(-margin_i) / n, shape (n,)."""
    return -math.log(c.system.n) - (c.losses + c.margin)


def _token_gradients(of_query: NDArray, of_key: NDArray, Q: NDArray, a: NDArray, T: NDArray) -> NDArray:
    """Write each token's row of dL/dQ and dL/dK into T, shape (2, n L, m_k), from its coefficients, Q and a = K_a - K_1 for a > 1.

    Equations (T5) and (T6).
    """
    T_query, T_key = T.reshape(2, *Q.shape)
    # dL/dQ_l = sum_a dL/dz_la (K_a - K_1): the coefficients of a query sum to 0                                (T5)
    np.matmul(of_query[..., 1:], a, out=T_query)
    # dL/dK_a = sum_l dL/dz_la Q_l                                                                              (T6)
    np.matmul(of_key.swapaxes(-1, -2), Q, out=T_key)
    return T


def _mean_value(W_V: NDArray) -> NDArray:
    """Return v, the mean of the rows of W_{V,+1} minus that of W_{V,-1}, on which alone f depends."""
    return W_V[0].mean(0) - W_V[1].mean(0)


def _attend(P: NDArray, V: NDArray, y: NDArray, logit_scale: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return logits, log p, p, shape (n, L, L), and margins (n,) from projections P (2, n, L, m_k) and mean values V (n, L).

    Equations (T1) to (T3).
    """
    Q, K = P
    z = np.matmul(Q, K.swapaxes(-1, -2))  # (T1)
    if logit_scale != 1.0:
        z *= logit_scale
    log_p = z - z.real.max(-1, keepdims=True)
    p = np.exp(log_p)
    total = np.add.reduce(p, axis=-1, keepdims=True)
    log_p -= np.log(total)
    p /= total  # (T2)
    margin = y * (np.add.reduce(p, axis=-2) * V).sum(-1)  # (T3)
    return z, log_p, p, margin


def _test_output(params: SimpleNamespace, cache: SimpleNamespace) -> tuple[NDArray, NDArray]:
    """Return mean test loss and test error (fraction with y f <= 0); computed once a forward pass."""
    if not hasattr(cache, "test_output"):
        system = cache.system
        test, y = system.test, system.fresh_labels
        P = (test.H @ params.W_QK + test.offset_qk).reshape(2, len(y), -1, system.m_k)
        V = (test.H @ cache.v + test.offset_v).reshape(len(y), -1)
        *_, margin = _attend(P, V, y, system.logit_scale)
        cache.test_output = softplus(-margin).mean(), (margin <= 0).mean()
    return cache.test_output


def from_tokens(
    X: Any, y: Any, *, W_Q: Any, W_K: Any, W_V_pos: Any, W_V_neg: Any, test: tuple[Any, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> TokenTransformer:
    """Build the dense system on samples of L tokens each, every token arbitrary: the model of the paper, its data generalised by us.

    Parameters
    ----------
    X : array_like, shape (n, L, d)
        Samples of L >= 2 tokens.
    y : array_like, shape (n,)
        Labels, -1 or +1.
    W_Q, W_K : array_like, shape (m_k, d)
        Query and key matrix.
    W_V_pos, W_V_neg : array_like, shape (m_v, d)
        Value matrices of the outputs F_{+1} and F_{-1}. In the orientation of `torch.nn.Linear.weight`; see `initial_weights`.
    test : pair of array_like, shapes (t, L, d) and (t,), optional
        Fresh samples and labels, for test_loss and test_error.
    provenance : mapping, optional
        What a run should say of where the arrays came from, JSON-ready. A paper's system names itself here, ``{"system": ...}``, so that
        ``check(run)`` finds its claims; those of signal_noise speak of two tokens and are not about such runs.

    Returns
    -------
    TokenTransformer
        Exact for every rule. ``system.lump(rule)`` and ``system.restrict()`` are exact reductions.

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, L < 2, or labels other than -1 and +1.

    Examples
    --------
    >>> from dynsim import SignGD, simulate
    >>> from dynsim.systems.signal_noise import Setting, draw_tokens, initial_weights
    >>> X, y = draw_tokens(Setting(n=4, d=50, s=5), length=3, seed=0)
    >>> system = from_tokens(X, y, **initial_weights(d=50, m_k=6, m_v=2, sigma_0=0.01, seed=0))
    >>> run = simulate(system.lump(SignGD), SignGD(1e-3), steps=20)
    >>> run["attention"].shape  # step, sample, query, key
    (21, 4, 3, 3)
    """
    data = token_data(X, y)
    d = data.d
    W_Q = as_array("W_Q", W_Q, (None, d), f"(m_k, d) with d = {d} as in X")
    W_K = as_array("W_K", W_K, W_Q.shape, f"{W_Q.shape} as W_Q")
    W_V_pos = as_array("W_V_pos", W_V_pos, (None, d), f"(m_v, d) with d = {d} as in X")
    W_V_neg = as_array("W_V_neg", W_V_neg, W_V_pos.shape, f"{W_V_pos.shape} as W_V_pos")
    W_QK, W_V = np.stack([W_Q.T, W_K.T]), np.stack([W_V_pos, W_V_neg])
    fresh = None if test is None else token_data(*test, names=("X_test", "y_test"), shape=(None, data.length, d))
    m_k, m_v = len(W_Q), len(W_V_pos)
    constants = {
        "y": data.y, "token_l1": np.abs(data.X).sum(-1), "token_l2": np.linalg.norm(data.X, axis=-1),
        "m_k": np.array(m_k), "m_v": np.array(m_v),
    }
    return TokenTransformer(
        data=data, features=Features(data.n * data.length, 0, data.stacked), m_k=m_k, m_v=m_v, value_rows=True, step_scale=1.0,
        start=Layout({"W_QK": W_QK.shape, "W_V": W_V.shape}).pack(W_QK=W_QK, W_V=W_V), exact_for=frozenset({"any"}),
        alternative="Use the dense system instead.", constants=constants,
        provenance={"engine": "dense", **(provenance or {})},
        fresh_labels=None if fresh is None else fresh.y,
        draw_test=None if fresh is None else partial(TestTokens, fresh.stacked, 0.0, 0.0),
    )


def _tokens_of(block: int) -> Callable[[NDArray], NDArray]:
    """View the projections of W_Q (0) or W_K (1) as (..., row, sample, token): they are stored token by token."""
    return lambda P: np.moveaxis(P[..., block, :, :, :], -1, -3)


TOKEN_OBSERVABLES: Mapping[str, Observable] = {
    "value_tokens": Observable(
        lambda p, c: c.V, ("sample", "token"), "mean value of each token <v, x_il>", r"\langle v, x_{il}\rangle"),
    "query_tokens": Observable(
        lambda p, c: c.P, ("row", "sample", "token"), "query of each token <w_Q, x_il>", r"\langle w_{Q,r}, x_{il}\rangle",
        view=_tokens_of(0)),
    "key_tokens": Observable(
        lambda p, c: c.P, ("row", "sample", "token"), "key of each token <w_K, x_il>", r"\langle w_{K,r}, x_{il}\rangle",
        view=_tokens_of(1)),
    "attention": Observable(
        lambda p, c: c.p, ("sample", "query", "key"), "attention of each token on each token", "p_{ila}"),
    "train_loss": Observable(lambda p, c: c.loss, (), "training loss", "L"),
    "train_error": Observable(lambda p, c: (c.margin <= 0).mean(-1), (), "training error", r"\mathrm{err}", default=False),
    "ties": Observable(
        lambda p, c: c.system.ties(p, c), (), "gradient entries below 1e-13 of the sum of their terms' magnitudes", r"\#\mathrm{ties}",
        default=False),
    "test_loss": Observable(
        lambda p, c: _test_output(p, c)[0], (), "loss on test samples", r"L_\mathrm{test}", default=False, costly=True),
    "test_error": Observable(
        lambda p, c: _test_output(p, c)[1], (), "error on test samples", r"\mathrm{err}_\mathrm{test}", default=False, costly=True),
}
"""Name to observable, for systems on general tokens."""
