"""What the numbers of a step are called on the derivation page, for `dynsim.explain`."""

from __future__ import annotations

from ...explain import Entry, Glossary
from .head.model import LinearHead
from .quadratic.logistic import LogisticBlocks
from .quadratic.model import BlockQuadratic
from .transformer.model import TransformerModel

__all__ = ["EXPLAINED"]

PAGE = "gradient_heterogeneity"

_BRANCH = {
    "Q": Entry("Q", "queries x W_Q + b_Q", "41"), "K": Entry("K", "keys x W_K", "41"), "V": Entry("V", "values x W_V + b_V", "41"),
    "S": Entry("S", "attention", "41"), "Z": Entry("S V", "heads side by side", "41"), "x": Entry("x", "what goes into the branch", "41"),
    "B": Entry("B", "sequences", "40"), "H": Entry("", "heads"), "kept": Entry("", "rows that go on"),
    "c": Entry("1/sqrt(d_h)", "scale of the logits", "41"), "a": Entry("max(a, 0)", "ReLU layer", "41"),
    "on": Entry("1[a > 0]", "which of it are on", "45"), "y_b": Entry("bar y", "of the branch's output", "42"),
    "Z_b": Entry("bar Z", "of S V", "44"), "V_b": Entry("bar V", "of values", "44"), "E": Entry("E", "bar S less its mean", "44"),
    "L_b": Entry("bar A", "of logits, scaled", "44"), "Q_b": Entry("bar Q", "of queries", "44"), "K_b": Entry("bar K", "of keys", "44"),
    "a_b": Entry("bar a", "of the ReLU layer", "45"),
}
"""A branch's tape: of the forward pass and, with a bar, of the backward pass."""

_NORM = {
    "h": Entry("x^", "normalised rows", "43"), "inv": Entry("1/s", "of each row", "43"), "y_b": Entry("bar y", "of the output", "43"),
    "h_b": Entry("bar x^", "of normalised rows", "43"), "along": Entry("<x^ bar x^>", "mean of a row", "43"),
    "s_x_b": Entry("s bar x", "of the input, times s", "43"),
}
"""The tape of a layer normalisation."""

EXPLAINED = {
    BlockQuadratic: Glossary(
        page=PAGE,
        cache={
            "loss": Entry("L", "theta^T H theta / 2"), "gradient": Entry("g", "H theta"), "noise": Entry("", "of this step's gradient"),
        },
        blocks={"block_*": Entry("", "a block of g")},
    ),
    LogisticBlocks: Glossary(
        page=PAGE,
        cache={
            "loss": Entry("L", "mean logistic loss"), "gradient": Entry("g", "-sum (1 - p_i) a_i / n", "25"),
            "weights": Entry("p (1 - p)", "weights of samples in H", "25"),
        },
        blocks={"block_*": Entry("", "a block of g", "25")},
    ),
    TransformerModel: Glossary(
        page=PAGE,
        cache={
            "loss": Entry("L", "mean cross-entropy", "40"), "log_p": Entry("log p", "of each class", "40"),
            "p": Entry("p", "softmax(z)", "40"),
            "z_b": Entry("bar z", "(p - onehot(y)) / B", "42"), "x": Entry("x_0", "what the head reads", "40"),
            "words": Entry("t_ik", "tokens, by place", "40"), "head.*": (), "final.1.*": (), "tapes.*.2.*": (),
            **{f"tapes.*.0.{name}": entry for name, entry in _BRANCH.items()},
            **{f"{path}.{name}": entry for path in ("tapes.*.1", "final.0") for name, entry in _NORM.items()},
        },
        blocks={
            "W_*": Entry("", "x^T bar y", "42"), "b_*": Entry("", "sum of bar y", "42"), "head": Entry("", "x_0^T bar z", "42"),
            "gain_*": Entry("", "sum of bar y x^", "43"), "shift_*": Entry("", "sum of bar y", "43"),
            "embedding": Entry("Emb", "sum of bar x by token", "45"), "positions": Entry("P", "sum of bar x by place", "45"),
        },
    ),
    LinearHead: Glossary(
        page=PAGE,
        cache={
            "loss": Entry("L", "mean cross-entropy"), "log_p": Entry("log p_ic", "of each class"),
            "h": Entry("h_i", "features of the batch"), "y": Entry("y_i", "classes of the batch"),
            "full": Entry("", "are they all samples?"),
        },
        blocks={"V": Entry("v_c", "sum (p - onehot) h / n", "50"), "b": Entry("b_c", "(sum p - n_c) / n", "50")},
    ),
}
"""Glossaries by the model's class."""
