"""What is drawn by which seed: a stream for every purpose, one for every step, and an order of the samples for every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Epochs", "child", "streams"]


def streams(seed: int, purposes: Sequence[str]) -> dict[str, np.random.SeedSequence]:
    """Return independent random streams of a seed by purpose, so that changing one use leaves the others alone.

    Parameters
    ----------
    seed : int
        The seed, >= 0.
    purposes : sequence of str
        Names of the streams. A stream depends on its place among them, so a new purpose is added at the end.

    Raises
    ------
    ValueError
        If the seed is not an integer >= 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed={seed!r} must be an integer >= 0")
    return dict(zip(purposes, np.random.SeedSequence(int(seed)).spawn(len(purposes)), strict=True))


def child(seed: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """Return a child of a seed by its number, whichever were spawned before: what a step draws depends on the step alone.

    Parameters
    ----------
    seed : SeedSequence
        The seed, which is left as it is.
    number : int
        Of the child, >= 0: the one that ``seed.spawn`` makes as its first is number 0.

    Examples
    --------
    >>> seed = np.random.SeedSequence(7)
    >>> bool((child(seed, 1).generate_state(2) == seed.spawn(2)[1].generate_state(2)).all())
    True
    """
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, int(number)))


@dataclass(frozen=True, eq=False)
class Epochs:
    """Mini-batches: an epoch takes each at most once, in an order of its own, and leaves out those that fill no last batch.

    Parameters
    ----------
    count : int
        Samples.
    size : int
        Samples of a step, 1 <= size <= count.
    seed : SeedSequence
        Of the orders.
    """

    count: int
    size: int
    seed: np.random.SeedSequence

    def batch(self, step: int) -> NDArray:
        """Return the samples of a step, shape (size,): numbers in [0, count), each at most once.

        Parameters
        ----------
        step : int
            Updates made before, from 0; an epoch takes count // size of them.
        """
        epoch, place = divmod(step, self.count // self.size)
        if self._order.get("epoch") != epoch:
            self._order.update(epoch=epoch, order=np.random.default_rng(child(self.seed, epoch)).permutation(self.count))
        return self._order["order"][place * self.size : (place + 1) * self.size]

    @cached_property
    def _order(self) -> dict[str, Any]:
        """The order of the present epoch, kept because all its steps need it."""
        return {}
