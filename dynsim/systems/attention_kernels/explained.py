"""What the numbers of a step are called on the derivation page, for `dynsim.explain`."""

from __future__ import annotations

from ...explain import Entry, Glossary
from .classifier.model import Classifier
from .queries.model import QueryModel
from .regression.model import AttentionModel

__all__ = ["EXPLAINED"]


def _layer(path: str) -> dict[str, Entry | tuple[Entry, ...]]:
    """Return what the tape of a layer holds, under its name in the cache."""
    return {
        f"{path}.out": Entry("MH(X)", "output of the layer", "1"),
        f"{path}.X": Entry("X", "tokens"),
        f"{path}.W.*": (),
        f"{path}.Q": Entry("Q_h", "queries X W_Q", "1"),
        f"{path}.K": Entry("K_h", "keys X W_K", "1"),
        f"{path}.V": Entry("V_h", "values X W_V", "1"),
        f"{path}.S": Entry("S_h", "the kernel's matrix", "3"),
        f"{path}.Z": Entry("Z", "S V, heads side by side", "5"),
        f"{path}.c": Entry("c", "scale of the logits", "3"),
    }


_BLOCKS = {
    "W_Q*": Entry("W_Q", "sum X^T dQ", "9"), "W_K*": Entry("W_K", "sum X^T dK", "9"), "W_V*": Entry("W_V", "sum X^T dV", "5"),
    "W_O*": Entry("W_O", "sum Z^T R", "5"),
}

EXPLAINED = {
    AttentionModel: Glossary(
        page="attention_kernels",
        cache={
            **_layer("tapes.*"), "residuals.*": Entry("R_i", "(output - target) / N"), "losses": Entry("f", "by kernel and start", "2"),
            "loss": Entry("sum f", "over kernels and starts", "2"),
        },
        blocks=_BLOCKS,
    ),
    QueryModel: Glossary(
        page="attention_kernels",
        cache={
            "S.*": Entry("S_h", "the kernel's matrix", "3"), "residuals.*": Entry("R_i", "(output - target) / N"),
            "losses": Entry("f", "by kernel and start", "2"), "loss": Entry("sum f", "over kernels and starts", "2"),
        },
        blocks={"q": Entry("q_k", "J_k^T R_k", "30")},
    ),
    Classifier: Glossary(
        page="attention_kernels",
        cache={
            **_layer("tapes.*.layers.*"), "tapes.*.w.*": (), "tapes.*.tokens": Entry("t_k", "words of the batch", "52"),
            "tapes.*.y": Entry("y_i", "classes of the batch", "52"), "tapes.*.m": Entry("m", "mean over tokens", "52"),
            "tapes.*.r": Entry("u", "ReLU layer", "52"), "tapes.*.log_p": Entry("log p", "of each class", "52"),
            "tapes.*.loss": Entry("f", "mean cross-entropy", "52"), "losses": Entry("f", "by kernel", "52"),
            "loss": Entry("sum f", "over kernels", "52"),
        },
        blocks={
            **_BLOCKS, "W_1": Entry("W_1", "m^T da", "53"), "W_2": Entry("W_2", "u^T dz", "53"), "b_1": Entry("b_1", "sum of da"),
            "b_2": Entry("b_2", "sum of dz"), "positions": Entry("P", "sum of dx over samples"),
            "embedding": Entry("Emb", "sum of dx by word"),
        },
    ),
}
"""Glossaries by the model's class."""
