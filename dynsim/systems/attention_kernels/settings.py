"""Settings: attention on random data, the constructed examples, and the classifier; each says which task it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ... import draws
from ...settings import Tasked, check_choice, check_flags, check_number, check_whole
from .kernels import kernels_of
from .queries.constructions import CONSTRUCTIONS

__all__ = ["CLASSIFICATIONS", "EXAMPLES", "Classification", "Example", "Regression", "Setting", "streams"]

EXAMPLES = tuple(CONSTRUCTIONS)
"""Constructed examples with one query."""
CLASSIFICATIONS = ("text", "path")
"""Synthetic classification tasks."""
LETTERS = "QKVO"


class Setting(Tasked):
    """What all settings of this system share; `Regression`, `Example` and `Classification` are the settings."""

    kernel: str

    def _check_shared(self) -> None:
        self._check_task()
        if not isinstance(self.kernel, str):
            raise ValueError(f"kernel={self.kernel!r} must be a text such as 'softmax+gaussian'")
        kernels_of(self.kernel)


@dataclass(frozen=True)
class Regression(Setting):
    r"""One layer of attention on random tokens, squared loss :math:`f = \frac{1}{2N} \sum_i \|MH(X_i) - Y_i\|^2`.

    Parameters
    ----------
    task : {"regression"}
    kernel : str
        Kernels that are trained from the same start, joined by "+": "softmax", "gaussian", "row_gaussian".
    trained : str
        Which of W_Q, W_K, W_V, W_O are trained, as letters of "QKVO"; the others keep their initial weights.
    N, n, D : int
        Samples, tokens of a sample, dimension of a token; >= 1.
    d, H, d_o : int
        Dimension of a head, heads, outputs of a token; >= 1.
    tokens : {"normal", "orthonormal"}
        Entries N(0, 1/D), so that tokens have norm near 1; or the first N n unit vectors, which needs D >= N n.
    targets : {"normal", "teacher"}
        Entries N(0, 1); or the outputs of a teacher with the same kernel, whose trained blocks are drawn anew.
    pooled : bool
        True: one target for the mean of a sample's outputs; False: one for each token.
    qk_scale, v_scale : float
        Standard deviation of the initial entries of W_Q and W_K, and of W_V; >= 0. With 1 queries, keys and values have entries of order 1.
    o_scale : float
        Size a of W_O, > 0: its entries are N(0, a^2 / (H d)).
    tied : bool
        Start with W_K = W_Q.
    paired : bool
        The second half of the heads are copies of the first with -W_O, so that the output is 0 at the start; needs an even H.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("regression",)

    task: str = "regression"
    kernel: str = "softmax+gaussian"
    trained: str = "V"
    N: int = 4
    n: int = 5
    D: int = 24
    d: int = 6
    H: int = 2
    d_o: int = 1
    tokens: str = "normal"
    targets: str = "normal"
    pooled: bool = False
    qk_scale: float = 1.0
    v_scale: float = 1.0
    o_scale: float = 1.0
    tied: bool = False
    paired: bool = False

    def __post_init__(self) -> None:
        self._check_shared()
        for name in ("N", "n", "D", "d", "H", "d_o"):
            check_whole(self, name, 1)
        for name, positive in (("qk_scale", False), ("v_scale", False), ("o_scale", True)):
            check_number(self, name, positive=positive)
        check_choice(self, "tokens", ("normal", "orthonormal"))
        check_choice(self, "targets", ("normal", "teacher"))
        check_flags(self, "pooled", "tied", "paired")
        letters = self.trained if isinstance(self.trained, str) else ""
        if not letters or not set(letters) <= set(LETTERS) or len(set(letters)) < len(letters):
            raise ValueError(f"trained={self.trained!r} must be letters of {LETTERS!r}, each once, such as 'V' or 'QKV'")
        object.__setattr__(self, "trained", "".join(letter for letter in LETTERS if letter in letters))
        if self.tokens == "orthonormal" and self.N * self.n > self.D:
            raise ValueError(f"tokens='orthonormal' needs D >= N n = {self.N * self.n}, not D={self.D}: raise D or lower N or n")
        if self.paired and self.H % 2:
            raise ValueError(f"paired=True needs an even number of heads, not H={self.H}")


@dataclass(frozen=True)
class Example(Setting):
    """One query against a few fixed keys with scalar values and one target: the constructed examples.

    Parameters
    ----------
    task : {"E1", "E2", "E3", "E4", "E5", "E6"}
        See `dynsim.systems.attention_kernels.queries.constructions`.
    kernel : str
        As in `Regression`.
    starts : int
        Initial queries, >= 1: evenly spaced in [low, high] where queries are numbers, else drawn uniformly in the box of these sides.
    low, high : float
        Range of starts, low < high, or equal if there is one start; default the example's own.
    y : float
        Target; default the example's own.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    TASKS: ClassVar[tuple[str, ...]] = EXAMPLES

    task: str = "E5"
    kernel: str = "softmax+gaussian"
    starts: int = 2000
    low: float = None  # type: ignore[assignment]  # the constructor fills in the example's own
    high: float = None  # type: ignore[assignment]
    y: float = None  # type: ignore[assignment]

    def replace(self, **changes: Any) -> Any:
        """Return a copy with some fields changed; with another task come its own target and starts, unless they are given.

        Parameters
        ----------
        **changes : Any
            New values by field.
        """
        if changes.get("task", self.task) != self.task:
            changes = {"low": None, "high": None, "y": None, **changes}
        return super().replace(**changes)

    def __post_init__(self) -> None:
        self._check_shared()
        check_whole(self, "starts", 1)
        for name in ("low", "high", "y"):
            value = getattr(self, name)
            if value is None:
                value = getattr(CONSTRUCTIONS[self.task], name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not np.isfinite(value):
                raise ValueError(f"{name}={value!r} must be a finite number")
            object.__setattr__(self, name, float(value))
        if self.low > self.high or (self.low == self.high and self.starts > 1):
            raise ValueError(f"low={self.low:g} must be below high={self.high:g}")


@dataclass(frozen=True)
class Classification(Setting):
    r"""Embedding and positions, one or two layers of attention, mean over tokens, ReLU layer, cross-entropy of two classes.

    Parameters
    ----------
    task : {"text", "path"}
        See `dynsim.systems.attention_kernels.classifier.data`.
    kernel : str
        As in `Regression`.
    layers : int
        1 or 2.
    D, d, H, hidden : int
        Dimension of tokens and of a head, heads, width of the ReLU layer; >= 1.
    residual : bool
        Add the input of a layer to its output.
    token_scale : float
        Standard deviation of the initial entries of embedding and positions, > 0.
    trained : {"all", "attention"}
        All parameters, or those of the attention layers.
    samples, test : int
        Training and test samples, >= 2.
    batch : int
        Samples of a step, >= 1; 0 for all.
    pretrained : int
        Steps of stochastic gradient descent, softmax and all parameters, before the run begins; >= 0.
    pretrain_batch : int
        Samples of such a step, >= 1.
    pretrain_lr : float
        Their learning rate, > 0.
    flipped : float
        Task "text": probability that a polar token has the other polarity, in [0, 0.5].
    grid : int
        Task "path": side of the grid, >= 4.
    distractors : int
        Task "path": cells switched on besides, at most a quarter of all.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    TASKS: ClassVar[tuple[str, ...]] = CLASSIFICATIONS

    task: str = "text"
    kernel: str = "softmax+gaussian"
    layers: int = 1
    D: int = 16
    d: int = 8
    H: int = 2
    hidden: int = 32
    residual: bool = True
    token_scale: float = 0.25
    trained: str = "all"
    samples: int = 1500
    test: int = 600
    batch: int = 32
    pretrained: int = 0
    pretrain_batch: int = 32
    pretrain_lr: float = 0.1
    flipped: float = 0.1
    grid: int = 6
    distractors: int = 4

    def __post_init__(self) -> None:
        self._check_shared()
        check_whole(self, "layers", 1, 2)
        for name, low in (("D", 1), ("d", 1), ("H", 1), ("hidden", 1), ("samples", 2), ("test", 2), ("batch", 0), ("pretrained", 0),
                          ("pretrain_batch", 1), ("grid", 4), ("distractors", 0)):
            check_whole(self, name, low)
        for name, positive in (("token_scale", True), ("pretrain_lr", True), ("flipped", False)):
            check_number(self, name, positive=positive)
        if self.distractors > self.grid**2 // 4:
            raise ValueError(f"distractors={self.distractors} must be at most a quarter of the {self.grid**2} cells: more join the ends")
        if self.flipped > 0.5:
            raise ValueError(f"flipped={self.flipped!r} must lie in [0, 0.5]")
        check_flags(self, "residual")
        check_choice(self, "trained", ("all", "attention"))
        for name in ("batch", "pretrain_batch") if self.pretrained else ("batch",):
            if getattr(self, name) > self.samples:
                raise ValueError(f"{name}={getattr(self, name)} must be at most samples={self.samples}")


def streams(seed: int) -> dict[str, np.random.SeedSequence]:
    """Return independent random streams of a seed by purpose; ValueError for a seed that is no integer >= 0."""
    purposes = ("tokens", "targets", "W_Q", "W_K", "W_V", "W_O", "teacher", "starts", "embedding", "head", "batches", "test", "directions")
    return draws.streams(seed, purposes)
