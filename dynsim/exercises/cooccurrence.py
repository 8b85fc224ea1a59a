"""Exercises on docs/derivations/cooccurrence.md: a count, a Gram matrix, a force, a closed velocity, a threshold."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..systems.cooccurrence import Setting, from_bags, limits
from ..systems.cooccurrence.data import as_bags, draw_bags
from ..systems.cooccurrence.model import attend, forces
from ..systems.cooccurrence.universal import kernel
from .judging import Exercise, Posed

__all__ = ["EXERCISES"]


def _vocabulary(rng: Generator) -> Posed:
    n, L = 6 * int(rng.integers(1, 20)), int(rng.integers(3, 9))
    return Posed((n, L), draw_bags(Setting(n=n, L=L), seed=0).d)


def _gram(rng: Generator) -> Posed:
    return Posed((), kernel(60, 4))


def _force(rng: Generator) -> Posed:
    n, L, d = int(rng.integers(4, 7)), int(rng.integers(3, 6)), 7
    tokens, y, G = rng.integers(0, d, size=(n, L)), rng.choice([-1.0, 1.0], size=n), rng.normal(size=d)
    tokens[0, 0] = d - 1  # as many tokens as G has entries
    bags = as_bags(tokens, y)
    cache = attend(bags, np.zeros((n, L, L)), G, 1)
    forces(bags, cache, 1)
    return Posed((tokens, y, G), cache.z)


def _without_labels(tokens: NDArray, y: NDArray, G: NDArray) -> NDArray:
    """Forget the labels in front."""
    g = 1 / (1 + np.exp(y * G[tokens].sum(axis=1)))
    return np.bincount(tokens.ravel(), np.repeat(g / len(y), tokens.shape[1]), len(G))


def _velocity(rng: Generator) -> Posed:
    d, m, m1 = 6, int(rng.integers(3, 5)), int(rng.integers(7, 9))
    tokens = np.stack([rng.permutation(d) for _ in range(5)])[:, :4]
    tokens[0, 0] = d - 1
    weights = {name: rng.normal(size=(d, m)) for name in ("W_V", "W_K", "W_Q")} | {"W": rng.normal(size=(m1, m)), "a": rng.normal(size=m1)}
    system = from_bags(tokens, np.array([1.0, -1.0, 1.0, -1.0, 1.0]), weights=weights)
    params, out = system.layout.views(system.start), system.layout.views(np.zeros_like(system.start))
    cache = system.forward(params)
    system.backward(params, cache, out)
    W, W_V, a = weights["W"], weights["W_V"], weights["a"]
    forces(system.bags, cache, m)
    return Posed((W, W_V, a, cache.z), -(out.W_V @ (W.T @ a) + W_V @ (out.W.T @ a)))


@lru_cache(maxsize=8)
def _least(L: int) -> int:
    """Find the least number of samples by trying all."""
    return next(n for n in range(1, 1000) if limits(n, L)["-G3'/G1'"] > 1 - 1e-9)


def _samples(rng: Generator) -> Posed:
    L = int(rng.integers(4, 9))
    return Posed((L,), _least(L))


EXERCISES = (
    Exercise(
        "cooccurrence.1", "How many tokens",
        r"Half of the $n$ samples of $L$ tokens hold both targets and the common token, one sixth each target 1 and the common token, "
        r"target 2 and the common token, and the common token alone. All random tokens differ. How large is the vocabulary?",
        "Three special tokens, and the table of section 1 for the random ones; see (1).",
        "vocabulary(n, L)", "a number", _vocabulary, lambda n, L: 3 + n * (L - 3),
    ),
    Exercise(
        "cooccurrence.2", "Four kinds of samples, one matrix",
        r"In the universal reduction margins of the four kinds move at $f' = Ks$, (31). Find $K$ for $n = 60$ samples of $L = 4$ tokens.",
        r"$K$ is the Gram matrix of the signed bags of words of the kinds; a random token that occurs in one sample only adds to the "
        r"diagonal, (30).",
        "", "an array (4, 4)", _gram, np.array([[3.0, -2, -2, -1], [-2, 2, 1, 1], [-2, 1, 2, 1], [-1, 1, 1, 1]]),
    ),
    Exercise(
        "cooccurrence.3", "The force on the head",
        r"With uniform attention, $p = 1/L$, compute $z$ of (5) from `tokens` (n, L) of indices, which may repeat in a bag, labels $y$ "
        r"(n,) and $G$ (d,).",
        r"$F_i$ is the sum of $G$ over the bag, and $\sum_l p_{kl} = 1$. Each occurrence of a token counts. `np.add.at` adds repeatedly.",
        "force(tokens, y, G)", "an array (d,)", _force,
        _without_labels,
    ),
    Exercise(
        "cooccurrence.4", "How the head moves",
        r"Gradient flow trains both $W$ ($m_1$, m) and $W_V$ (d, m); $G = W_V W^\top a$. Given $W$, $W_V$, the fixed last layer $a$ "
        r"($m_1$,), not necessarily signs, and $z$ (d,), what is $\dot G$?",
        "The product rule with (5) and (6): G moves because each of the two does. Neurons do not move separately; see (14).",
        "velocity(W, W_V, a, z)", "an array (d,)", _velocity, lambda W, W_V, a, z: ((W.T @ a) ** 2).sum() * z,
    ),
    Exercise(
        "cooccurrence.5", "When the sandwich has its lower half",
        r"Late, $R = -G_3'/G_1'$ tends to a limit that depends on $n$ and $L$. For $L > 3$, what is the least number of samples $n$ (any "
        r"whole number) with $R_\infty \ge 1$?",
        "Not (36): at the n in question kind 4 is still active. Its margin grows like the others', which gives (40). Insert (30).",
        "samples(L)", "a number", _samples, lambda L: 6 * (L - 1),
    ),
)
