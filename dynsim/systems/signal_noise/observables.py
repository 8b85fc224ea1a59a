"""The quantities of the theory, read from the forward pass's cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...system import Observable
from .conditions import agree, aligned
from .fresh import test_output

__all__ = ["OBSERVABLES"]



def _projections(p: Any, c: Any) -> NDArray:
    """Projections of W_Q and W_K on the tokens, shape (..., 2, n + 1, m_k)."""
    return c.P


def _values(p: Any, c: Any) -> NDArray:
    """Projections of v on the tokens, shape (..., n + 1)."""
    return c.V


def _softmax(p: Any, c: Any) -> NDArray:
    """Softmax outputs s_11 and s_21, shape (..., 2, n)."""
    return c.s.p


def _logits(p: Any, c: Any) -> NDArray:
    """Logits of s_11 and s_21, shape (..., 2, n)."""
    return c.z


def _pairs(block: int) -> Callable[[NDArray], NDArray]:
    """View the noise of W_Q (0) or W_K (1) as (..., row, sample): it is stored sample by sample."""
    return lambda P: np.swapaxes(P[..., block, 1:, :], -1, -2)


OBSERVABLES: Mapping[str, Observable] = {
    "mean_value_signal": Observable(
        _values, (), "mean value signal <v, mu>", r"\langle v, \mu\rangle", view=lambda V: V[..., 0]),
    "mean_value_noise": Observable(
        _values, ("sample",), "mean value noise <v, y_i xi_i>", r"\langle v, y_i\xi_i\rangle", view=lambda V: V[..., 1:]),
    "query_signal": Observable(
        _projections, ("row",), "query signal <w_Q, mu>", r"\langle w_{Q,r}, \mu\rangle", view=lambda P: P[..., 0, 0, :]),
    "key_signal": Observable(
        _projections, ("row",), "key signal <w_K, mu>", r"\langle w_{K,r}, \mu\rangle", view=lambda P: P[..., 1, 0, :]),
    "query_noise": Observable(
        _projections, ("row", "sample"), "query noise <w_Q, y_i xi_i>", r"\langle w_{Q,r}, y_i\xi_i\rangle", view=_pairs(0)),
    "key_noise": Observable(
        _projections, ("row", "sample"), "key noise <w_K, y_i xi_i>", r"\langle w_{K,r}, y_i\xi_i\rangle", view=_pairs(1)),
    "softmax_11": Observable(
        _softmax, ("sample",), "attention of the signal token on the signal token", "s_{i,11}", view=lambda s: s[..., 0, :]),
    "softmax_21": Observable(
        _softmax, ("sample",), "attention of the noise token on the signal token", "s_{i,21}", view=lambda s: s[..., 1, :]),
    "train_loss": Observable(lambda p, c: c.loss, (), "training loss", "L"),
    "train_error": Observable(lambda p, c: (c.margin <= 0).mean(-1), (), "training error", r"\mathrm{err}", default=False),
    "softmax_11_mean": Observable(
        lambda p, c: c.s.p[..., 0, :].mean(-1), (), "mean over samples of softmax_11", r"\bar s_{11}", default=False),
    "softmax_21_mean": Observable(
        lambda p, c: c.s.p[..., 1, :].mean(-1), (), "mean over samples of softmax_21", r"\bar s_{21}", default=False),
    "mean_value_noise_mean": Observable(
        lambda p, c: c.B.mean(-1), (), "mean over samples of mean_value_noise", r"\overline{\langle v, y_i\xi_i\rangle}", default=False),
    "alignment": Observable(
        lambda p, c: aligned(c.th, c.ka), (), "fraction of pairs whose query and key noise agree in sign",
        r"\mathrm{align}", default=False),
    "key_agreement": Observable(
        lambda p, c: agree(np.swapaxes(c.ka, -1, -2), c.q), (), "fraction of pairs whose key noise has the sign of its row's query signal",
        r"\mathrm{agree}_K", default=False),
    "query_agreement": Observable(
        lambda p, c: agree(np.swapaxes(c.th, -1, -2), c.q), (),
        "fraction of pairs whose query noise has the sign of its row's query signal", r"\mathrm{agree}_Q", default=False),
    "logit_11": Observable(_logits, ("sample",), "logit of softmax_11", r"\mathrm{logit}\,s_{i,11}", False, lambda z: z[..., 0, :]),
    "logit_21": Observable(_logits, ("sample",), "logit of softmax_21", r"\mathrm{logit}\,s_{i,21}", False, lambda z: z[..., 1, :]),
    "query_gradient": Observable(
        lambda p, c: c.system.query_gradient(c), ("row", "sample"),
        "derivative of the loss by query noise, c2_i (k_r - ka_ri); descent moves against it",
        r"\partial L/\partial\langle w_{Q,r}, y_i\xi_i\rangle", default=False),
    "ties": Observable(
        lambda p, c: c.system.ties(p, c), (), "gradient entries below 1e-13 of the sum of their terms' magnitudes", r"\#\mathrm{ties}",
        default=False),
    "test_loss": Observable(
        lambda p, c: test_output(p, c)[0], (), "loss on fresh samples", r"L_\mathrm{test}", default=False, costly=True),
    "test_error": Observable(
        lambda p, c: test_output(p, c)[1], (), "error on fresh samples", r"\mathrm{err}_\mathrm{test}", default=False, costly=True),
}
"""Name to observable. The first nine are the paper's; `s_12 = 1 - s_11` and `s_22 = 1 - s_21` are not kept twice."""
