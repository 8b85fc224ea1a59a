r"""The two-layer transformer on two tokens: forward pass beside the hand-derived gradient.

.. math::
    p_l = \mathrm{softmax}_a \langle W_K x_a, W_Q x_l \rangle,\quad
    F_j = \frac{1}{m_v} \sum_l 1^\top W_{V,j} X p_l,\quad
    f = F_{+1} - F_{-1},\quad
    L = \frac1n \sum_i \log(1 + e^{-y_i f(X_i)})

(Li et al., arXiv 2410.04870, section 2; W_Q, W_K of shape (m_k, d), W_{V,j} of shape (m_v, d)). The
gradients are derived in docs/derivations/signal_noise.md; equation numbers below refer to that page.
Token 0 is mu, token i is y_i xi_i: with these the label drops out of every formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...layout import Layout
from ...numerics import logistic, softplus
from ...system import described
from .data import Data
from .features import Features
from .fresh import TestTokens, rewrite_test
from .observables import OBSERVABLES
from .reduction import Groups, group_columns, lumping_kind

__all__ = ["TwoTokenTransformer", "lumped_model", "near_zero", "row_model", "said_scale"]

TINY = 5e-324  # the smallest float64


@dataclass(frozen=True, eq=False)
class TwoTokenTransformer:
    r"""The model in feature coordinates: dense, restricted and lumped systems are instances of it.

    Parameters
    ----------
    data : Data or tuple of Data
        The training samples (one entry per replicate).
    features : Features
        How the n + 1 tokens are made of the D features.
    start : ndarray, shape (*replicates, P)
        Initial parameters: block `W_QK` (2, D, m_k) holds W_Q and W_K transposed; the value layer is
        block `W_V` (2, m_v, D), rows of W_{V,+1} and W_{V,-1}, or block `v` (D,),
        v = mean of the rows of W_{V,+1} minus that of W_{V,-1}, on which alone f depends.
    m_k, m_v : int
        Rows of W_Q and of each value matrix, >= 1.
    value_rows : bool
        True if the value layer is kept row by row.
    step_scale, exact_for, alternative, constants, provenance
        See `dynsim.system.System`.
    draw_test : callable, tuple of callables (one per replicate) or None
        Draws the fresh test tokens on first use.
    logit_scale : float, default 1.0
        Factor of the attention logits, > 0. The paper has none; transformers in use have 1 / sqrt(m_k).
    """

    data: Any
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
    draw_test: Any = field(default=None, repr=False)
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
        return self.features.n_tokens - 1

    @cached_property
    def observables(self) -> Mapping[str, Any]:
        """The quantities a run can record; those on test data only where there is a law to draw from."""
        if self.draw_test is None:
            return {name: o for name, o in OBSERVABLES.items() if not name.startswith("test_")}
        return OBSERVABLES

    @cached_property
    def test(self) -> Any:
        """Fresh test tokens, drawn on first use."""
        size = self.features.size
        if isinstance(self.draw_test, tuple):
            return TestTokens.stack([draw().padded(size) for draw in self.draw_test])
        return self.draw_test().padded(size)

    def replicates(self, index: Any) -> TwoTokenTransformer:
        """Return the system with its leading axis of replicates indexed (a slice or an integer)."""
        if self.start.ndim == 1:
            raise ValueError("this system has no replicates")
        own = self.provenance.get("replicated_constants", ())
        return replace(
            self, features=self.features.replicates(index), start=self.start[index],
            step_scale=self.step_scale[index] if isinstance(self.step_scale, np.ndarray) and self.step_scale.ndim == 2 else self.step_scale,
            constants={name: (a[index] if name in own else a) for name, a in self.constants.items()},
            data=self.data[index] if isinstance(self.data, tuple) else self.data,
            draw_test=self.draw_test[index] if isinstance(self.draw_test, tuple) else self.draw_test,
        )

    # -- other representations of a dense system ------------------------------------------------------------------

    def lump(self, optimizer: Any) -> TwoTokenTransformer:
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
        blocks, data, groups = self._dense_blocks(), self.data, group_columns(self.data)
        u = groups.project(blocks.W_QK[:, data.columns])
        mean_value = blocks.W_V[0].mean(0) - blocks.W_V[1].mean(0)
        v = groups.project(mean_value[data.columns, None])[:, 0]
        weight = np.zeros((data.d, groups.features.size))
        weight[data.columns, groups.group] = groups.displacement(kind)
        test = None if self.draw_test is None else partial(rewrite_test, self, weight, u, v)
        reduced = lumped_model(data, groups, u, v, kind, self.m_k, self.m_v, {**self.provenance, "engine": "lumped"}, test)
        return replace(reduced, logit_scale=self.logit_scale)

    def restrict(self) -> TwoTokenTransformer:
        """Keep the union of supports of a dense system, exact for every rule that acts per coordinate."""
        blocks, data = self._dense_blocks(), self.data
        W_QK, W_V = blocks.W_QK[:, data.columns], blocks.W_V[:, :, data.columns]
        kept = np.zeros((data.d, len(data.columns)))
        kept[data.columns, np.arange(len(data.columns))] = 1.0
        v = W_V[0].mean(0) - W_V[1].mean(0)
        test = None if self.draw_test is None else partial(rewrite_test, self, kept, W_QK, v)
        reduced = row_model(data, W_QK, W_V, {**self.provenance, "engine": "restricted"}, test)
        return replace(reduced, logit_scale=self.logit_scale)

    def lift(self, reduced: TwoTokenTransformer, params: NDArray) -> dict[str, NDArray]:
        """Recover the dense weights of a lumped or restricted run; for a lumped one equation (16).

        Parameters
        ----------
        reduced : TwoTokenTransformer
            A reduction of this dense system (same seed, or ``self.lump(rule)``).
        params : ndarray, shape (P,)
            Parameters of the reduced system, for example ``run.final``.

        Returns
        -------
        dict of str to ndarray
            W_Q, W_K (m_k, d), W_V_pos, W_V_neg (m_v, d), as `from_arrays` takes them.
        """
        blocks, columns = self._dense_blocks(), self.data.columns
        W_QK, W_V = blocks.W_QK.copy(), blocks.W_V.copy()
        now = reduced.layout.views(np.ascontiguousarray(params))
        if reduced.value_rows:
            W_QK[:, columns], W_V[:, :, columns] = now.W_QK, now.W_V
        else:
            groups, began = group_columns(self.data), reduced.layout.views(reduced.start)
            same = groups.features.size == reduced.features.size
            if not same or not np.allclose(self.constants["noise_l1"], reduced.constants["noise_l1"], rtol=1e-12):
                raise ValueError("reduced is no reduction of this dense system: its data are others")
            (kind,) = reduced.exact_for
            inside_QK, inside_V = W_QK[:, columns], W_V[:, :, columns]
            groups.move(kind, inside_QK, inside_V, now.W_QK - began.W_QK, now.v - began.v)
            W_QK[:, columns], W_V[:, :, columns] = inside_QK, inside_V
        return {"W_Q": W_QK[0].T.copy(), "W_K": W_QK[1].T.copy(), "W_V_pos": W_V[0], "W_V_neg": W_V[1]}

    def _dense_blocks(self) -> SimpleNamespace:
        if not self.value_rows or self.features.size != self.data.d:
            raise ValueError("this needs a dense system: one that signal_noise.dense or from_arrays made")
        return self.layout.views(self.start)

    # -- forward and backward, line by line in the same order ---------------------------------------------------

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return loss and intermediate values, equations (2) to (7).

        Shapes: v (..., D); P (..., 2, n + 1, m_k); V (..., n + 1); q, k (..., m_k); th, ka, a (..., n, m_k); A (..., 1); B, margin,
        losses (..., n);
        z and the fields of s (..., 2, n); loss (...).
        """
        v = params.W_V[..., 0, :, :].mean(-2) - params.W_V[..., 1, :, :].mean(-2) if self.value_rows else params.v
        P = self.features.project(params.W_QK)  # (..., 2, n + 1, m_k)
        V = self.features.project_vector(v)  # (..., n + 1)
        q, th = P[..., 0, 0, :], P[..., 0, 1:, :]
        k, ka = P[..., 1, 0, :], P[..., 1, 1:, :]
        A, B = V[..., :1], V[..., 1:]
        a = k[..., None, :] - ka
        z = np.empty(a.shape[:-2] + (2, a.shape[-2]), dtype=a.dtype)
        np.matmul(a, q[..., None], out=z[..., 0, :, None])  # (5) logit of the signal token's attention
        np.vecdot(th.conj(), a, out=z[..., 1, :])  # (6) logit of the noise token's attention
        if self.logit_scale != 1.0:
            z *= self.logit_scale
        s = logistic(z)
        margin = (s.p[..., 0, :] + s.p[..., 1, :]) * A + (s.q[..., 0, :] + s.q[..., 1, :]) * B  # (7)
        losses = softplus(-margin)
        return SimpleNamespace(
            system=self, v=v, V=V, P=P, q=q, th=th, k=k, ka=ka, A=A, B=B, a=a, z=z, s=s, margin=margin, losses=losses,
            loss=np.add.reduce(losses, axis=-1) / self.n,
        )

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write dL/dparams, equations (9) to (11), into the views `out`; with `signs`, up to a positive factor per entry."""
        c, X = cache, self.features
        log_l, log_c, sign = _log_coefficients(c)
        t = np.empty(log_l.shape[:-1] + (self.n + 1,))
        if signs:
            coefficients, log_scale = _relative_coefficients(c, log_l, log_c, sign, X.mixed is not None)
            t[...] = -1.0
        else:
            coefficients, log_scale = _coefficients(log_c, sign), None
            c.underflow = ((log_c < -708.0) & (sign != 0.0)[..., None, :]).any((-1, -2))
            # dL/dv = -sum_i l_i [(s_11 + s_21) mu + (s_12 + s_22) y_i xi_i]        (9)
            l = np.exp(log_l)
            t[..., 0] = -np.vecdot(l, c.s.p.sum(-2))
            t[..., 1:] = -l * c.s.q.sum(-2)
        T = _token_gradients(coefficients, c.a, c.P[..., 0, :, :], X.token_rows(out.W_QK))
        g = np.empty(c.v.shape) if self.value_rows else out.v
        X.pull(T, t, out.W_QK, g, log_scale)
        if self.value_rows:
            # dL/dW_{V,j} = (j / m_v) 1 (dL/dv)^T
            g /= self.m_v
            out.W_V[..., 0, :, :] = g[..., None, :]
            out.W_V[..., 1, :, :] = -g[..., None, :]

    def query_gradient(self, cache: SimpleNamespace) -> NDArray:
        """Return the derivative of the loss by query noise, c2_i (k_r - ka_ri), shape (..., m_k, n), in plain float64.

        This is equation (1) of docs/derivations/adam.md.

        Parameters
        ----------
        cache : SimpleNamespace
            What `forward` returned.
        """
        log_l, log_c, sign = _log_coefficients(cache)
        return np.swapaxes(_coefficients(log_c, sign)["query"][..., None] * cache.a, -1, -2)

    def ties(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        """Count gradient entries of W_Q, W_K and v below 1e-13 of the sum of their terms' magnitudes.

        Sign updates are discontinuous there: two exact forms of the same run may part at a tie.

        Parameters
        ----------
        params : SimpleNamespace
            Views of the parameters, as `forward` takes them.
        cache : SimpleNamespace
            What `forward` returned for them.
        """
        c, X = cache, self.features
        coefficients, log_scale = _relative_coefficients(c, *_log_coefficients(c), X.mixed is not None)
        entry, size, entry_v, size_v = np.empty_like(params.W_QK), np.empty_like(params.W_QK), np.empty_like(c.v), np.empty_like(c.v)
        ones = np.ones((*c.margin.shape[:-1], self.n + 1))
        X.pull(_token_gradients(coefficients, c.a, c.P[..., 0, :, :], X.token_rows(entry)), -ones, entry, entry_v, log_scale)
        coefficients = {name: np.abs(x) for name, x in coefficients.items()}
        T = _token_gradients(coefficients, np.abs(c.k)[..., None, :] + np.abs(c.ka), np.abs(c.P[..., 0, :, :]), X.token_rows(size))
        X.magnitudes.pull(np.abs(T, out=T), ones, size, size_v, log_scale)
        return (near_zero(entry, size).sum((-1, -2, -3)) + near_zero(entry_v, size_v).sum(-1)).astype(float)


def said_scale(provenance: Mapping[str, Any], logit_scale: float) -> Mapping[str, Any]:
    """Return the provenance of a model with this factor of the logits: a run of a changed model says so.

    Raises
    ------
    ValueError
        If the factor is not a finite number > 0.
    """
    if not (isinstance(logit_scale, (int, float, np.number)) and 0 < logit_scale < math.inf):
        raise ValueError(f"logit_scale={logit_scale!r} must be a finite number > 0 (1.0, or 1 / sqrt(m_k))")
    rest = {key: value for key, value in provenance.items() if key != "logit_scale"}
    return rest if logit_scale == 1.0 else {**rest, "logit_scale": float(logit_scale)}


def near_zero(entry: NDArray, size: NDArray) -> NDArray:
    """Tell where an entry is lost in the rounding of its terms; where there are no terms nothing is."""
    return (np.abs(entry) < 1e-13 * size) & (size != 0)


def _log_coefficients(c: SimpleNamespace) -> tuple[NDArray, NDArray, NDArray]:
    """Return log l_i, shape (..., n), log |c1_i| and log |c2_i|, shape (..., 2, n), and the sign of both, equation (8)."""
    D = c.B - c.A
    log_l = -math.log(D.shape[-1]) - (c.losses + c.margin)  # l_i = sigmoid(-margin_i) / n
    log_D = np.log(np.maximum(np.abs(D), TINY))  # where D is 0, and with it the sign, any finite number will do
    log_c = (log_l + log_D)[..., None, :] + c.s.log_pq
    if c.system.logit_scale != 1.0:
        log_c += math.log(c.system.logit_scale)
    return log_l, log_c, np.sign(D)


def _coefficients(log_c: NDArray, sign: NDArray) -> dict[str, NDArray]:
    """Return the coefficients of equations (10) and (11), each of shape (..., n)."""
    both = sign[..., None, :] * np.exp(log_c)
    c1, c2 = both[..., 0, :], both[..., 1, :]
    return {"query": c2, "query_mu": c1, "key_q": c1, "key_th": c2, "key_mu": np.ones_like(c1)}


def _relative_coefficients(
    c: SimpleNamespace, log_l: NDArray, log_c: NDArray, sign: NDArray, meet: bool
) -> tuple[dict[str, NDArray], NDArray | None]:
    """Return the coefficients of equations (10) and (11) with a positive factor of their own taken out of each token's row.

    c1_i and c2_i span hundreds of orders of magnitude; within a row only their ratios matter. Rows meet
    only where a feature mixes tokens (`meet`): `Features.pull` then scales them by the logarithms of what
    was taken out, returned last, shape (..., 3, n + 1): rows of dL/dW_Q, of dL/dW_K, and entries of
    dL/dv, equation (9), which are negative, so that -1 is left of each.
    """
    log_c1, log_c2 = log_c[..., 0, :], log_c[..., 1, :]
    log_scale = np.empty((*log_c.shape[:-2], 3, log_c.shape[-1] + 1))
    of_query, of_key, of_v = log_scale[..., 0, :], log_scale[..., 1, :], log_scale[..., 2, :]
    top = np.maximum(log_c1, log_c2, out=of_key[..., 1:])
    np.maximum.reduce(top, axis=-1, out=of_key[..., 0])
    np.maximum.reduce(log_c1, axis=-1, out=of_query[..., 0])
    of_query[..., 1:] = log_c2
    relative = np.empty((*log_c.shape[:-2], 4, log_c.shape[-1]))
    np.subtract(log_c1, of_query[..., :1], out=relative[..., 0, :])
    np.subtract(log_c, top[..., None, :], out=relative[..., 1:3, :])
    np.subtract(top, of_key[..., :1], out=relative[..., 3, :])
    np.exp(relative, out=relative)
    relative[..., :3, :] *= sign[..., None, :]
    coefficients = {
        "query": sign, "query_mu": relative[..., 0, :], "key_q": relative[..., 1, :], "key_th": relative[..., 2, :],
        "key_mu": relative[..., 3, :],
    }
    if meet:
        log_p = -c.s.softplus_neg
        log_q = log_p - c.z
        of_v[..., 0] = np.logaddexp.reduce(log_l + np.logaddexp(log_p[..., 0, :], log_p[..., 1, :]), axis=-1)
        of_v[..., 1:] = log_l + np.logaddexp(log_q[..., 0, :], log_q[..., 1, :])
    return coefficients, log_scale if meet else None


def _token_gradients(c: Mapping[str, NDArray], a: NDArray, Q: NDArray, T: NDArray) -> NDArray:
    """Write the coefficient of each token in dL/dW_Q and dL/dW_K into T, shape (..., 2, n + 1, m_k), equations (10), (11).

    Q, shape (..., n + 1, m_k), holds q and th; a = k - ka has shape (..., n, m_k).
    """
    # dL/dW_Q = sum_i (c1_i mu + c2_i y_i xi_i) a_i        (10)
    np.matmul(c["query_mu"][..., None, :], a, out=T[..., 0, :1, :])
    if a.ndim > 2 and (c["query"] == 1.0).all():  # signs alone, past Stage I: a long copy for each of many runs, not short products
        T[..., 0, 1:, :] = a
    else:
        np.multiply(c["query"][..., None], a, out=T[..., 0, 1:, :])
    # dL/dW_K = sum_i (c1_i q + c2_i th_i) (mu - y_i xi_i) (11), as one matrix that acts on q and th: a third faster for many runs
    n = a.shape[-2]
    C = np.zeros((*a.shape[:-2], n + 1, n + 1))
    C[..., 1:, 0] = -c["key_q"]
    C.reshape(*a.shape[:-2], -1)[..., n + 2 :: n + 2] = -c["key_th"]  # the diagonal but for its first entry
    C[..., :1, :] = -c["key_mu"][..., None, :] @ C[..., 1:, :]
    np.matmul(C, Q, out=T[..., 1, :, :])
    return T


def _constants(data: Data, m_k: int, m_v: int) -> dict[str, NDArray]:
    return {**data.norms(), "y": data.y, "shared": np.array(data.shared), "m_k": np.array(m_k), "m_v": np.array(m_v)}


def row_model(
    data: Data, W_QK: NDArray, W_V: NDArray, provenance: Mapping[str, Any], draw_test: Any = None
) -> TwoTokenTransformer:
    """Return the model with its value layer row by row: dense on d coordinates, restricted on the trained ones.

    Parameters
    ----------
    W_QK : ndarray, shape (2, D, m_k)
        W_Q and W_K transposed; D is d or the number of trained coordinates.
    W_V : ndarray, shape (2, m_v, D)
        Rows of W_{V,+1} and W_{V,-1}.
    """
    D, m_k, m_v = W_QK.shape[1], W_QK.shape[2], W_V.shape[1]
    tokens = data.dense_tokens() if data.d == D else data.tokens.toarray()
    return TwoTokenTransformer(
        data=data, features=Features(data.n + 1, 0, tokens), m_k=m_k, m_v=m_v, value_rows=True, step_scale=1.0,
        start=Layout({"W_QK": W_QK.shape, "W_V": W_V.shape}).pack(W_QK=W_QK, W_V=W_V),
        exact_for=frozenset({"any" if data.d == D else "coordinatewise"}), alternative="Use the dense system instead.",
        constants=_constants(data, m_k, m_v), provenance=provenance, draw_test=draw_test,
    )


def lumped_model(
    data: Data, groups: Groups, u: NDArray, v: NDArray, kind: str, m_k: int, m_v: int, provenance: dict[str, Any], draw_test: Any
) -> TwoTokenTransformer:
    """Return the exact reduction for rules of one kind, with initial projections u, (2, G, m_k), and v, (G,).

    A step moves its features as equations (13) to (15) say; on disjoint supports SignGD makes it the closed system of equations (18) to
    (21).
    """
    layout = Layout({"W_QK": (2, groups.features.size, m_k), "v": (groups.features.size,)})
    scale = groups.scale(kind)
    rows = np.broadcast_to(scale[:, None], (2, len(scale), m_k))
    other = "linear (GradientDescent)" if kind == "sign" else "sign (SignGD, Adam with eps=0)"
    return TwoTokenTransformer(
        data=data, features=groups.features, start=layout.pack(W_QK=u, v=v), m_k=m_k, m_v=m_v, value_rows=False,
        step_scale=layout.pack(W_QK=rows, v=(2.0 if kind == "sign" else 2.0 / m_v) * scale), exact_for=frozenset({kind}),
        alternative=f"It was lumped for rules of kind {kind}; for kind {other} build signal_noise.lumped(setting, rule, seed=...) with "
        "that rule, for any other rule signal_noise.restricted(setting, seed=...).",
        constants=_constants(data, m_k, m_v), provenance=provenance, draw_test=draw_test,
    )
