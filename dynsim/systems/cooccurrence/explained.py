"""What the numbers of a step are called on the derivation page, for `dynsim.explain`."""

from __future__ import annotations

from ...explain import Entry, Glossary
from .model import BagTransformer
from .reduction import GramFlow
from .universal import UniversalFlow

__all__ = ["EXPLAINED"]

_ATTENTION = {
    "p": Entry("p_kl", "attention by sample, key, query", "2"),
    "G": Entry("G(c)", "head on each token's value", "4"),
    "G_keys": Entry("G(c_k)", "the same by sample and key", "4"),
    "G_bar": Entry("Gbar_l", "what each query sees of it", "4"),
    "F": Entry("F_i", "output", "4"),
    "margin": Entry("y_i F_i", "margin", "3"),
    "g": Entry("g_i", "1 / (1 + e^margin)", "3"),
    "loss": Entry("L", "loss", "3"),
    "z": Entry("z", "force on G", "5"),
    "b": Entry("B terms", "force on scores, by sample", "7"),
}
"""What `attend` and `forces` make, in every form of the model."""

_CLOCK = Entry("tau", "the clock, which no loss reads")

EXPLAINED = {
    BagTransformer: Glossary(
        page="cooccurrence",
        cache={
            **_ATTENTION, "u": Entry("u", "W^T a", "4"), "keys": Entry("W_K", "keys by token", "2"),
            "queries": Entry("W_Q", "queries by token", "2"),
        },
        blocks={
            "W": Entry("W", "-a h^T", "5"), "u": Entry("u", "-h", "5"), "W_V": Entry("W_V", "-z u^T", "6"),
            "W_K": Entry("W_K", "-B W_Q", "7"), "W_Q": Entry("W_Q", "-B^T W_K", "8"), "tau": _CLOCK,
        },
    ),
    GramFlow: Glossary(
        page="cooccurrence",
        cache={**_ATTENTION, "score": Entry("S", "scores, key by query", "2")},
        blocks={
            "rho": Entry("rho", "|u|^2", "13"), "G": Entry("G", "W_V u", "14"), "value": Entry("Gamma", "W_V W_V^T", "15"),
            "score": Entry("S", "W_K W_Q^T", "16"), "key": Entry("KK", "W_K W_K^T", "17"), "query": Entry("QQ", "W_Q W_Q^T", "18"),
            "x": Entry("x_jc", "w_j . W_V[c]", "19"), "products": Entry("<w_i,w_j>", "of neurons", "21"), "tau": _CLOCK,
        },
    ),
    UniversalFlow: Glossary(
        page="cooccurrence",
        cache={
            "s": Entry("s_k", "pull of each kind of sample", "29"), "kind_loss": Entry("L_k", "loss of each kind"),
            "loss": Entry("L", "loss"),
        },
        blocks={
            "f": Entry("f_k", "margins, K s", "31"), "G": Entry("G", "on the special tokens", "29"),
            "Phi": Entry("Phi_cb", "what scores follow, beta", "45"),
        },
    ),
}
"""Glossaries by the model's class; blocks of flows are about velocities."""
