"""The marker task: a sequence's class is that of the token beside its marker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .setting import Transformer

__all__ = ["FIRST", "MARKER", "Sequences", "draw_sequences"]

FIRST, MARKER = 0, 1
"""The token that every sequence begins with, which the head reads, and the marker; the others have classes."""
PLAIN = 2


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences and their classes.

    Attributes
    ----------
    tokens : ndarray of int, shape (B, length)
    y : ndarray of int, shape (B,)
    """

    tokens: NDArray
    y: NDArray

    def __getitem__(self, index: NDArray | slice) -> Sequences:
        return Sequences(self.tokens[index], self.y[index])


def draw_sequences(setting: Transformer, count: int, rng: np.random.Generator) -> Sequences:
    """Draw sequences: `FIRST`, then random tokens with one marker that has a neighbour on each side; the class is (token - 2) mod classes.

    The neighbours' classes are uniform, then the tokens are within their class: a guess costs log(classes) whatever the vocabulary, and
    both tasks see the same sequences.
    """
    tokens = rng.integers(PLAIN, setting.vocab, (count, setting.length))
    tokens[:, 0] = FIRST
    place, rows = rng.integers(2, setting.length - 1, count), np.arange(count)
    beside = rng.integers(0, setting.classes, (2, count))  # classes before and after the marker
    members = (setting.vocab - PLAIN - 1 - beside) // setting.classes + 1
    neighbours = PLAIN + beside + setting.classes * rng.integers(0, members)
    tokens[rows, place] = MARKER
    tokens[rows, place - 1], tokens[rows, place + 1] = neighbours
    return Sequences(tokens, beside[1 if setting.task == "after" else 0])
