"""What steps draw: a stream of random numbers for every step, and an order of the samples for every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Epochs", "child"]


def child(seed: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """Return a child of a seed by its number, whichever were spawned before: what a step draws depends on the step alone.

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
        """Return the samples of a step, shape (size,)."""
        epoch, place = divmod(step, self.count // self.size)
        if self._order.get("epoch") != epoch:
            self._order.update(epoch=epoch, order=np.random.default_rng(child(self.seed, epoch)).permutation(self.count))
        return self._order["order"][place * self.size : (place + 1) * self.size]

    @cached_property
    def _order(self) -> dict[str, Any]:
        """The order of the present epoch, kept because all its steps need it."""
        return {}
