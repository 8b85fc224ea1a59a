"""The quantities of the theory, read from the forward pass's cache."""

from __future__ import annotations

from collections.abc import Mapping

from ...system import Observable
from .fresh import test_output

__all__ = ["OBSERVABLES"]

OBSERVABLES: Mapping[str, Observable] = {
    "mean_value_signal": Observable(lambda p, c: c.A[..., 0], (), "mean value signal <v, mu>", r"\langle v, \mu\rangle"),
    "mean_value_noise": Observable(lambda p, c: c.B, ("sample",), "mean value noise <v, y_i xi_i>", r"\langle v, y_i\xi_i\rangle"),
    "query_signal": Observable(lambda p, c: c.q, ("row",), "query signal <w_Q, mu>", r"\langle w_{Q,r}, \mu\rangle"),
    "key_signal": Observable(lambda p, c: c.k, ("row",), "key signal <w_K, mu>", r"\langle w_{K,r}, \mu\rangle"),
    "query_noise": Observable(lambda p, c: c.th, ("row", "sample"), "query noise <w_Q, y_i xi_i>", r"\langle w_{Q,r}, y_i\xi_i\rangle", swap=True),
    "key_noise": Observable(lambda p, c: c.ka, ("row", "sample"), "key noise <w_K, y_i xi_i>", r"\langle w_{K,r}, y_i\xi_i\rangle", swap=True),
    "softmax_11": Observable(lambda p, c: c.s.p[..., 0, :], ("sample",), "attention of the signal token on the signal token", r"s_{i,11}"),
    "softmax_21": Observable(lambda p, c: c.s.p[..., 1, :], ("sample",), "attention of the noise token on the signal token", r"s_{i,21}"),
    "train_loss": Observable(lambda p, c: c.loss, (), "training loss", r"L"),
    "train_error": Observable(lambda p, c: (c.margin <= 0).mean(-1), (), "training error", r"\mathrm{err}", default=False),
    "softmax_11_mean": Observable(lambda p, c: c.s.p[..., 0, :].mean(-1), (), "mean over samples of softmax_11", r"\bar s_{11}", default=False),
    "softmax_21_mean": Observable(lambda p, c: c.s.p[..., 1, :].mean(-1), (), "mean over samples of softmax_21", r"\bar s_{21}", default=False),
    "mean_value_noise_mean": Observable(lambda p, c: c.B.mean(-1), (), "mean over samples of mean_value_noise", r"\overline{\langle v, y_i\xi_i\rangle}", default=False),
    "alignment": Observable(lambda p, c: ((c.th > 0) == (c.ka > 0)).mean((-1, -2)), (), "fraction of pairs whose query and key noise agree in sign", r"\mathrm{align}", default=False),
    "logit_11": Observable(lambda p, c: c.z[..., 0, :], ("sample",), "logit of softmax_11", r"\mathrm{logit}\,s_{i,11}", default=False),
    "logit_21": Observable(lambda p, c: c.z[..., 1, :], ("sample",), "logit of softmax_21", r"\mathrm{logit}\,s_{i,21}", default=False),
    "ties": Observable(lambda p, c: c.system.ties(p, c), (), "gradient entries below 1e-13 of the sum of their terms' magnitudes", r"\#\mathrm{ties}", default=False),
    "test_loss": Observable(lambda p, c: test_output(p, c)[0], (), "loss on fresh samples", r"L_\mathrm{test}", default=False),
    "test_error": Observable(lambda p, c: test_output(p, c)[1], (), "error on fresh samples", r"\mathrm{err}_\mathrm{test}", default=False),
}
"""Name to observable. The first nine are the paper's; `s_12 = 1 - s_11` and `s_22 = 1 - s_21` are not kept twice."""
