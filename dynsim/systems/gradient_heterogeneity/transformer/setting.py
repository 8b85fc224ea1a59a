"""The setting of the small transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....settings import check_choice, check_flags, check_number, check_whole
from ..settings import Setting

__all__ = ["INITS", "NORMS", "Transformer"]

NORMS = ("post", "pre", "none")
"""Where layer normalisation stands: after a branch and its skip are added, before the branch, nowhere."""
INITS = ("he", "xavier")


@dataclass(frozen=True)
class Transformer(Setting):
    r"""A classifier of token sequences by the first token: embedding and positions, layers of attention and a ReLU network, linear head.

    .. math:: \text{post: } x' = LN(x + F(x)), \qquad \text{pre: } x' = x + F(LN(x)), \qquad \text{none: } x' = x + F(x).

    The architecture and its sizes are ours, small enough for seconds; the task is too (see `data`). Keys have no bias: a softmax does not
    see a shift of its row, so by equation (46) the gradient of such a bias is exactly 0, and a sign rule would walk at random on its
    rounding.

    Parameters
    ----------
    task : {"after", "before"}
        The class is that of the token after the marker, or before it.
    vocab : int
        Tokens, >= classes + 2: the first token of a sequence, the marker, and those that have a class.
    length : int
        Tokens of a sequence, >= 4.
    classes : int
        >= 2.
    d, heads, width, layers : int
        Dimension of tokens, heads (which must divide it), width of the ReLU network, layers; >= 1.
    norm : {"post", "pre", "none"}
        Placement of layer normalisation, which has no epsilon: its theory is exact.
    final_norm : bool
        With norm="pre": normalise once more before the head.
    biases : bool
        Biases of queries, values, outputs and of the ReLU network, shifts of normalisations, bias of the head; all 0 at first.
    init : {"he", "xavier"}
        Entries of weight matrices are normal. "he": variance 2 / fan_in for W_1, whose outputs are rectified, 1 / fan_in for the others, so
        that all of them keep the scale of tokens; "xavier": 2 / (fan_in + fan_out).
    embedding_scale : float
        Standard deviation of the entries of embedding and positions, > 0.
    weight_scale : float
        Factor, > 0, on the standard deviation of weight matrices of layers.
    head_scale : float
        Standard deviation of the entries of the head; 0 stands for 1 / sqrt(d).
    samples : int
        Sequences of the fixed set, >= 1.
    fresh : bool
        True: a step sees sequences that no step has seen; the fixed set is for measures. False: it takes them from the fixed set.
    batch : int
        Sequences of a step, >= 1; 0 for the whole fixed set.
    pretrained : int
        If > 0, the start is that of fine-tuning: all weights were trained on the other task for so many steps of Adam, and the head is a
        fresh one of scale `head_scale`.
    pretrain_lr : float
        Peak of the rate of those steps, > 0; it rises over the first tenth of them and falls in a straight line to 0.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("after", "before")

    task: str = "after"
    vocab: int = 20
    length: int = 9
    classes: int = 8
    d: int = 32
    heads: int = 4
    width: int = 64
    layers: int = 2
    norm: str = "post"
    final_norm: bool = True
    biases: bool = True
    init: str = "he"
    embedding_scale: float = 1.0
    weight_scale: float = 1.0
    head_scale: float = 0.0
    samples: int = 512
    fresh: bool = True
    batch: int = 32
    pretrained: int = 0
    pretrain_lr: float = 1e-3

    def __post_init__(self) -> None:
        self._check_task()
        for name, low in (("vocab", 4), ("length", 4), ("classes", 2), ("d", 1), ("heads", 1), ("width", 1), ("layers", 1), ("samples", 1),
                          ("batch", 0), ("pretrained", 0)):
            check_whole(self, name, low)
        check_choice(self, "norm", NORMS)
        check_choice(self, "init", INITS)
        check_flags(self, "final_norm", "biases", "fresh")
        for name, positive in (("embedding_scale", True), ("weight_scale", True), ("head_scale", False), ("pretrain_lr", True)):
            check_number(self, name, positive=positive)
        if self.vocab < self.classes + 2:
            raise ValueError(f"vocab={self.vocab} must be at least classes + 2 = {self.classes + 2}: every class needs a token")
        if self.d % self.heads:
            raise ValueError(f"heads={self.heads} must divide d={self.d}")
        if self.norm != "none" and self.d < 3:
            raise ValueError(f"d={self.d} must be at least 3 with norm={self.norm!r}: normalisation leaves d - 2 directions")
        if self.fresh and not self.batch:
            raise ValueError("batch=0 takes the whole fixed set, which fresh=True does not train on: set fresh=False, or a batch >= 1")
        if not self.fresh and self.batch > self.samples:
            raise ValueError(f"batch={self.batch} must be at most samples={self.samples}")
