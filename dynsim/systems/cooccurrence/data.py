r"""Bags of tokens with two targets, a common token and random tokens: settings, training samples, fresh samples.

A sample is a bag of L tokens of a vocabulary of d orthonormal ones: the common token occurs once, each of the two targets at most once,
random tokens fill the rest. Its label is +1 where both targets occur, else -1 (Yang, Kailkhura, Wang and Liang, arXiv 2410.09605,
Definition 2.1). There are no positions, so a token is an index and nothing of length d is stored.

====  =========================  =====  ==========  =============
kind  contains                   label  population  random tokens
====  =========================  =====  ==========  =============
1     target 1, target 2, common  +1    1/2         L - 3
2     target 1, common            -1    1/6         L - 2
3     target 2, common            -1    1/6         L - 2
4     common                      -1    1/6         L - 1
====  =========================  =====  ==========  =============
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import draws
from ...naming import unknown_name
from ...settings import build_setting, check_number, check_whole, replaced

__all__ = ["COMMON", "INITS", "KINDS", "OUTPUTS", "SPECIAL", "Bags", "Setting", "as_bags", "draw_bags", "draw_fresh", "streams"]

TARGET_1, TARGET_2, COMMON = 0, 1, 2
"""Indices of the three special tokens; random tokens follow."""
SPECIAL = 3
"""Number of special tokens."""
HELD = {1: (TARGET_1, TARGET_2, COMMON), 2: (TARGET_1, COMMON), 3: (TARGET_2, COMMON), 4: (COMMON,)}
"""Special tokens of each kind of sample."""
KINDS = tuple(HELD)
SHARES = {1: 3, 2: 1, 3: 1, 4: 1}
"""Samples of each kind among six."""
INITS = ("normal", "kaiming_uniform", "kaiming_normal")
OUTPUTS = ("signs", "kaiming")


@dataclass(frozen=True)
class Setting:
    r"""The law of the data and of the initial weights.

    Parameters
    ----------
    n : int
        Training samples, >= 6; with `balanced` a multiple of 6.
    L : int
        Tokens of a sample, >= 3.
    m : int
        Width of attention and of the value layer, >= 1.
    m1 : int
        Neurons of the last layer, >= 1.
    vocabulary : int
        Number d of tokens, 0 or >= 4: random tokens are drawn uniformly from the d - 3 that are not special. 0: all random tokens of the
        training set are different (Assumption 2.3), which takes d = 3 + n (L - 7/3).
    balanced : bool
        Exactly n/2, n/6, n/6, n/6 samples of the four kinds (Assumption 2.3); otherwise kinds are drawn with these probabilities.
    init : {"normal", "kaiming_uniform", "kaiming_normal"}
        "normal": entries of W are N(0, c1^2 / m1), those of W_V, W_K, W_Q N(0, c0^2 / (L m)) (Condition 1, made concrete here).
        Kaiming: U(-b, b) with b = 1/sqrt(fan_in), or N(0, 2/fan_in).
    c0, c1 : float
        Scales of "normal", > 0; the other two do not read them.
    output : {"signs", "kaiming"}
        The last layer a, never trained: signs -1, +1 (the paper), or drawn as `init` says.
    attention : bool
        False holds keys and queries at their initial weights: another model, that tells what attention adds.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    n: int = 600
    L: int = 5
    m: int = 512
    m1: int = 32
    vocabulary: int = 0
    balanced: bool = True
    init: str = "normal"
    c0: float = 0.1
    c1: float = 1.0
    output: str = "signs"
    attention: bool = True

    def __post_init__(self) -> None:
        for name, low in (("n", 6), ("L", SPECIAL), ("m", 1), ("m1", 1), ("vocabulary", 0)):
            check_whole(self, name, low)
        for name in ("c0", "c1"):
            check_number(self, name, positive=True)
        for name in ("balanced", "attention"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False")
            object.__setattr__(self, name, bool(getattr(self, name)))
        for name, known in (("init", INITS), ("output", OUTPUTS)):
            if getattr(self, name) not in known:
                raise ValueError(unknown_name(name, getattr(self, name), known))
        if self.balanced and self.n % 6:
            raise ValueError(f"n={self.n} must be a multiple of 6, for n/2, n/6, n/6, n/6 samples of the four kinds: take "
                             f"{max(6, 6 * round(self.n / 6))}, or balanced=False")
        if 0 < self.vocabulary <= SPECIAL:
            raise ValueError(f"vocabulary={self.vocabulary} must be 0 (all random tokens different) or at least {SPECIAL + 1}: three "
                             "tokens are special")
        if self.output == "kaiming" and self.init == "normal":
            raise ValueError("output='kaiming' needs init='kaiming_uniform' or 'kaiming_normal': 'normal' says nothing of a")

    @property
    def sigma_0(self) -> float:
        """Standard deviation of the initial entries of W_V, W_K and W_Q (of all three, where the three have one law)."""
        if self.init == "normal":
            return self.c0 / np.sqrt(self.L * self.m)
        raise ValueError(f"init={self.init!r} draws by fan-in: sigma_0 is a number of init='normal'")

    @property
    def sigma_1(self) -> float:
        """Standard deviation of the initial entries of W."""
        if self.init == "normal":
            return self.c1 / np.sqrt(self.m1)
        raise ValueError(f"init={self.init!r} draws by fan-in: sigma_1 is a number of init='normal'")

    def replace(self, **changes: Any) -> Setting:
        """Return a copy with some fields changed; unknown names are refused with the nearest valid one.

        Parameters
        ----------
        **changes : object
            New values by the names of fields.
        """
        return replaced(self, changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Setting:
        """Build a setting from a mapping; unknown keys are errors naming the nearest valid key.

        Parameters
        ----------
        values : mapping of str to object
            Fields by name, as `to_dict` returns them; those left out have their defaults.
        """
        return build_setting(cls, values)


@dataclass(frozen=True, eq=False)
class Bags:
    """Samples as bags of token indices.

    Parameters
    ----------
    tokens : ndarray of int, shape (n, L)
        0 and 1 are the targets, 2 is the common token.
    y : ndarray, shape (n,)
        Labels, -1.0 or +1.0.
    d : int
        Size of the vocabulary.
    """

    tokens: NDArray
    y: NDArray
    d: int

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.tokens.shape[0]

    @property
    def L(self) -> int:
        """Tokens of a sample."""
        return self.tokens.shape[1]

    @cached_property
    def kinds(self) -> NDArray:
        """Kind of each sample by the special tokens it holds, 1 to 4 (the label plays no part); 0 for any other bag. Shape (n,)."""
        counts = np.stack([(self.tokens == token).sum(1) for token in range(SPECIAL)], axis=1)
        found = np.zeros(self.n, dtype=int)
        for kind, held in HELD.items():
            found[(counts == [int(token in held) for token in range(SPECIAL)]).all(1)] = kind
        return found

    @cached_property
    def present(self) -> NDArray:
        """Tokens that occur, ascending, the three special ones always among them. Shape (T,)."""
        return np.union1d(np.arange(SPECIAL), self.tokens)

    @property
    def all_different(self) -> bool:
        """True if no random token occurs twice (Assumption 2.3)."""
        random = self.tokens[self.tokens >= SPECIAL]
        return len(np.unique(random)) == len(random)

    def restrict(self) -> Bags:
        """Return the same samples on the vocabulary of the tokens that occur."""
        return Bags(np.searchsorted(self.present, self.tokens), self.y, len(self.present))


def streams(seed: int) -> dict[str, np.random.SeedSequence]:
    """Return independent random streams of a seed by purpose; ValueError for a seed that is no integer >= 0."""
    return draws.streams(seed, ("data", "W", "W_V", "W_K", "W_Q", "output", "test", "unseen"))


def _kinds(setting: Setting, count: int, rng: np.random.Generator, *, balanced: bool) -> NDArray:
    shares = np.array([SHARES[kind] for kind in KINDS])
    if balanced:
        return np.repeat(KINDS, shares * (count // shares.sum()))
    return rng.choice(KINDS, size=count, p=shares / shares.sum())


def _fill(kinds: NDArray, L: int, random: Any) -> tuple[NDArray, NDArray]:
    """Return tokens (n, L) and labels (n,) of samples of given kinds; `random(count)` gives the random tokens."""
    tokens = np.empty((len(kinds), L), dtype=np.int64)
    for kind, held in HELD.items():
        rows = np.flatnonzero(kinds == kind)
        tokens[rows, : len(held)] = held
        tokens[rows, len(held):] = random(len(rows) * (L - len(held))).reshape(len(rows), L - len(held))
    return tokens, np.where(kinds == 1, 1.0, -1.0)


def draw_bags(setting: Setting, seed: int) -> Bags:
    """Draw the training samples of a setting: special tokens first in each bag, kinds in order where they are balanced.

    Order means nothing to the model: there are no positions. With vocabulary=0 and balanced kinds, d is that of equation (1).
    """
    rng = np.random.default_rng(streams(seed)["data"])
    kinds = _kinds(setting, setting.n, rng, balanced=setting.balanced)
    if setting.vocabulary:
        tokens, y = _fill(kinds, setting.L, lambda count: rng.integers(SPECIAL, setting.vocabulary, size=count))
        return Bags(tokens, y, setting.vocabulary)
    used = [SPECIAL]

    def next_ones(count: int) -> NDArray:
        used.append(used[-1] + count)
        return np.arange(used[-2], used[-1])

    tokens, y = _fill(kinds, setting.L, next_ones)
    return Bags(tokens, y, used[-1])


def draw_fresh(setting: Setting, count: int, d: int, rng: np.random.Generator) -> Bags:
    """Draw fresh samples (Definition 2.1): random tokens uniform on {3, ..., d - 1}, kinds with their probabilities."""
    kinds = _kinds(setting, count, rng, balanced=False)
    tokens, y = _fill(kinds, setting.L, lambda total: rng.integers(SPECIAL, d, size=total))
    return Bags(tokens, y, d)


def as_bags(tokens: Any, y: Any) -> Bags:
    """Build bags from token indices (n, L) and labels (n,) of one's own.

    Raises
    ------
    ValueError
        For wrong shapes, indices that are no integers >= 0, or labels other than -1 and +1.
    """
    tokens, y = np.array(tokens), np.array(y)
    if tokens.ndim != 2 or 0 in tokens.shape or tokens.dtype.kind not in "iu" or tokens.min() < 0:
        raise ValueError(f"tokens has shape {tokens.shape} and type {tokens.dtype}: it must be integers >= 0 of shape (n, L), indices of "
                         "tokens: 0 and 1 the targets, 2 the common token")
    if y.shape != tokens.shape[:1]:
        raise ValueError(f"y has shape {y.shape}; it must have shape (n,) with n = {len(tokens)} as in tokens")
    if y.dtype.kind not in "iuf" or not np.isin(y, (-1, 1)).all():
        raise ValueError(f"y={y!r}: every label must be -1 or +1")
    return Bags(tokens.astype(np.int64), y.astype(float), max(SPECIAL, int(tokens.max()) + 1))
