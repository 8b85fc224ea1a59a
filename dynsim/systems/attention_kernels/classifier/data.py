"""Synthetic classification tasks: sentences with polarity and a negator, and paths on a grid with distractors.

The paper's tasks are IMDb reviews and Long Range Arena's Pathfinder; these stand in for them at a size that takes seconds, and are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from ..settings import Classification, streams

__all__ = ["LENGTH", "VOCABULARY", "Sentences", "draw_tokens", "vocabulary_and_length"]

LENGTH = 16
"""Tokens of a sentence."""
VOCABULARY = 24
"""Words: 0 to 3 positive, 4 to 7 negative, 8 the negator, the rest neutral."""
POLAR, POLARITIES, NEGATOR = 4, 3, 8
NEAREST = 4
"""Steps between the endpoints of a path, at least."""


@dataclass(frozen=True, eq=False)
class Sentences:
    """Samples as words.

    Attributes
    ----------
    tokens : ndarray of int, shape (N, n)
    y : ndarray of int, shape (N,)
        Class, 0 or 1.
    """

    tokens: NDArray
    y: NDArray


def vocabulary_and_length(setting: Classification) -> tuple[int, int]:
    """Return the number of words and the tokens of a sample."""
    return (VOCABULARY, LENGTH) if setting.task == "text" else (3, setting.grid**2)


def draw_tokens(setting: Classification, seed: int) -> tuple[Sentences, Sentences]:
    """Draw training and test samples."""
    draw = {"text": _text, "path": _path}[setting.task]
    source = streams(seed)
    return (draw(setting, setting.samples, np.random.default_rng(source["tokens"])),
            draw(setting, setting.test, np.random.default_rng(source["test"])))


def _text(setting: Classification, count: int, rng: np.random.Generator) -> Sentences:
    """Sentences of neutral words with three polar ones; a negator before a polar word turns it.

    What a polar word says, turned or not, is the class, but with probability `flipped` the other one.
    """
    tokens = rng.integers(NEGATOR + 1, VOCABULARY, (count, LENGTH))
    y = rng.integers(0, 2, count)
    for i in range(count):
        # polar words at places that leave room for a negator before each
        places = np.sort(rng.permutation(LENGTH // 2)[:POLARITIES]) * 2 + 1
        for place in places:
            meant = y[i] if rng.random() >= setting.flipped else 1 - y[i]
            turned = rng.random() < 0.5
            word = meant ^ turned
            tokens[i, place] = rng.integers(POLAR) + (0 if word else POLAR)
            if turned:
                tokens[i, place - 1] = NEGATOR
    return Sentences(tokens, y)


def _path(setting: Classification, count: int, rng: np.random.Generator) -> Sentences:
    """Grids with two endpoints; class 1 where a path of switched-on cells joins them, class 0 where one cell of the path is missing.

    Words: 0 a cell that is off, 1 on, 2 an endpoint. The path is a monotone lattice path between endpoints at least `NEAREST` steps apart.
    Distractors lie off the path; a missing cell is made up for by one more of them, so that the number of cells that are on tells nothing;
    they are drawn again where they would join the endpoints.
    """
    g = setting.grid
    cells = np.stack(np.divmod(np.arange(g * g), g), axis=1)
    pairs = np.argwhere(np.abs(cells[:, None] - cells[None]).sum(axis=2) >= NEAREST)
    ends = cells[pairs[rng.integers(len(pairs), size=count)]]  # (count, 2, 2)
    y = rng.integers(0, 2, count)
    grids = np.zeros((count, g, g), dtype=np.int64)
    for grid, (first, last), joined in zip(grids, ends, y, strict=True):
        path = _lattice_path(first, last, rng)
        grid[tuple(path.T)] = 1
        forbidden = grid.copy()  # the path, its missing cell too
        if not joined:
            grid[tuple(path[rng.integers(1, len(path) - 1)])] = 0
        grid[tuple(first)] = grid[tuple(last)] = 2
        free = np.argwhere(forbidden == 0)
        drawn = min(setting.distractors + (not joined), len(free))
        while True:
            added = free[rng.permutation(len(free))[:drawn]]
            grid[tuple(added.T)] = 1
            if joined or not _joined(grid, first, last):
                break
            grid[tuple(added.T)] = 0
    return Sentences(grids.reshape(count, g * g), y)


def _lattice_path(first: NDArray, last: NDArray, rng: np.random.Generator) -> NDArray:
    """Return the cells of a random monotone path, both ends included, shape (steps + 1, 2)."""
    across = last - first
    moves = rng.permutation(np.repeat([0, 1], np.abs(across)))
    steps = np.zeros((len(moves) + 1, 2), dtype=np.int64)
    steps[np.arange(1, len(moves) + 1), moves] = np.sign(across)[moves]
    return first + np.cumsum(steps, axis=0)


def _joined(grid: NDArray, first: NDArray, last: NDArray) -> bool:
    """Tell whether cells that are on join two of them, side by side."""
    groups, _ = label(grid > 0)
    return bool(groups[tuple(first)] == groups[tuple(last)])
