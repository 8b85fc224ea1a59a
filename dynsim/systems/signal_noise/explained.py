"""What the numbers of a step are called on the derivation pages, for `dynsim.explain`."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from ...explain import Entry, Glossary
from .model import TwoTokenTransformer, _coefficients, _log_coefficients
from .tokens.model import TokenTransformer, _log_slope

__all__ = ["EXPLAINED"]


def _slopes(cache: SimpleNamespace) -> Mapping[str, NDArray]:
    """Return the scalars that carry the gradient, as `backward` makes them."""
    log_l, log_c, sign = _log_coefficients(cache)
    c = _coefficients(log_c, sign)
    return {"l": np.exp(log_l), "c1": c["query_mu"], "c2": c["query"]}


def _token_slopes(cache: SimpleNamespace) -> Mapping[str, NDArray]:
    """Return minus the derivative of the loss by each margin, as `backward` makes it."""
    return {"l": np.exp(_log_slope(cache))}


EXPLAINED = {
    TwoTokenTransformer: Glossary(
        page="signal_noise",
        cache={
            "v": Entry("v", "mean value vector", "4"),
            "V": (),  # A and B
            "P": (),  # q and theta, k and kappa
            "A": Entry("A", "value signal <v, mu>", "4"),
            "B": Entry("B_i", "value noise <v,y xi>", "4"),
            "q": Entry("q_r", "query signal <w, mu>", "4"),
            "th": Entry("theta_ir", "query noise <w,y xi>", "4"),
            "k": Entry("k_r", "key signal <w, mu>", "4"),
            "ka": Entry("kappa_ir", "key noise <w, y xi>", "4"),
            "a": Entry("k - kappa", "difference of keys", "5"),
            "z": (Entry("z_1i", "logit, signal query", "5", (0,)), Entry("z_2i", "logit, noise query", "6", (1,))),
            "s.p": (Entry("s_11", "signal sees signal", "5", (0,)), Entry("s_21", "noise sees signal", "6", (1,))),
            "s.q": (Entry("s_12", "signal sees noise", "6", (0,)), Entry("s_22", "noise sees noise", "6", (1,))),
            "s.log_pq": (Entry("log s11 s12", "without underflow", "8", (0,)), Entry("log s21 s22", "the same", "8", (1,))),
            "s.softplus_neg": (Entry("-log s_11", "", "5", (0,)), Entry("-log s_21", "", "6", (1,))),
            "margin": Entry("y_i f_i", "margin", "7"),
            "losses": Entry("L_i", "loss of a sample", "3"),
            "loss": Entry("L", "loss, their mean", "3"),
            "underflow": Entry("", "was a number lost?"),
            "l": Entry("l_i", "-dL/dmargin_i", "8"),
            "c1": Entry("c_1i", "dL/dz_1i", "8"),
            "c2": Entry("c_2i", "dL/dz_2i", "8"),
        },
        blocks={
            "W_QK": (Entry("W_Q", "by feature and row", "10", (0,)), Entry("W_K", "by feature and row", "11", (1,))),
            "W_V": (Entry("W_V,+1", "by row and feature", "9", (0,)), Entry("W_V,-1", "by row and feature", "9", (1,))),
            "v": Entry("v", "by feature", "9"),
        },
        on_the_way=_slopes,
    ),
    TokenTransformer: Glossary(
        page="general_tokens",
        cache={
            "v": Entry("v", "mean value vector"),
            "P": (Entry("Q_il", "queries of all tokens", "", (0,)), Entry("K_ia", "keys of all tokens", "", (1,))),
            "V": Entry("V_ia", "values of all tokens"),
            "z": Entry("z_i,la", "logits, query by key", "T1"),
            "p": Entry("p_i,la", "attention, query by key", "T2"),
            "log_p": Entry("log p_i,la", "its logarithm", "T2"),
            "margin": Entry("margin_i", "y_i f(X_i)", "T3"),
            "losses": Entry("L_i", "loss of a sample", "T3"),
            "loss": Entry("L", "loss, their mean", "T3"),
            "underflow": Entry("", "was a number lost?"),
            "l": Entry("l_i", "-dL/dmargin_i"),
        },
        blocks={
            "W_QK": (Entry("W_Q", "by feature and row", "T8", (0,)), Entry("W_K", "by feature and row", "T8", (1,))),
            "W_V": (Entry("W_V,+1", "by row and feature", "T8", (0,)), Entry("W_V,-1", "by row and feature", "T8", (1,))),
            "v": Entry("v", "by feature", "T8"),
        },
        on_the_way=_token_slopes,
    ),
}
"""Glossaries by the model's class."""
