"""Whether query noise against its row changes sign: as a function of recorded arrays, and as a measure of sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...measures import Column, Watched
from ...simulate import State
from ...trajectory import Trajectory
from .predictions import key_turn

__all__ = ["Crossing", "classified_at", "crossed_share"]


def crossed_share(first: NDArray, last: NDArray, signal: NDArray, kept: NDArray) -> tuple[NDArray, NDArray]:
    """Return the share of query noise against its row that has changed sign, and the number of such pairs.

    Parameters
    ----------
    first, last : ndarray, shape (..., m_k, n)
        Query noise when signs are classified, and at the end.
    signal : ndarray, shape (..., m_k)
        Query signal when signs are classified: a pair is against its row if its noise has the other sign.
    kept : ndarray of bool, shape (..., m_k)
        Rows that count: those whose query signal keeps its sign.

    Returns
    -------
    share, pairs : ndarray, shape (...)
        The share is NaN where there are no such pairs.

    Examples
    --------
    >>> th = np.array([[1.0, -2.0, -1.0]])                 # one row, three samples
    >>> print(*crossed_share(th, np.array([[2.0, 0.5, -1.0]]), np.array([1.0]), np.array([True])))
    0.5 2
    """
    against = (np.sign(first) == -np.sign(signal)[..., None]) & (first != 0.0) & kept[..., None]
    pairs = against.sum((-1, -2))
    crossed = (against & (np.sign(last) == -np.sign(first))).sum((-1, -2))
    return np.divide(crossed, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0), pairs


def classified_at(watched: Watched) -> NDArray:
    """Return the step at which signs are classified, of each replicate: the experiment's `classify_at`, or 0.7 T_key of its own data."""
    chosen = watched.experiment.options.get("classify_at")
    if chosen is not None:
        return np.full(watched.lead, int(chosen))
    constants, lr = watched.system.constants, watched.experiment.optimizer.lr
    a, mu = np.asarray(constants["noise_l1"]), np.asarray(constants["mu_l1"])[..., None]
    T_key = np.median(key_turn(a, mu, int(constants["m_k"]), lr), axis=-1)
    return np.asarray(np.where(np.isfinite(T_key), np.round(0.7 * T_key), 0), dtype=int)


@dataclass(frozen=True)
class Crossing:
    """Share of query noise against its row, when signs are classified, that has the other sign at the end of the run.

    Signs are classified at `classified_at`; rows whose query signal changes its
    sign later do not count. NaN if the run ends before, or no pair is against its row.
    """

    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {
        "crossed": Column("share of query noise against its row at the step of classification that has changed sign by the end"),
        "crossable": Column("number of such pairs, on rows whose query signal keeps its sign"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        return _CrossingWatch(watched)


class _CrossingWatch:
    def __init__(self, watched: Watched) -> None:
        self.steps, self.lead, self.settled = watched.experiment.steps, watched.lead, False
        self.classify_at = classified_at(watched)
        self.first: Any = None
        self.signal: Any = None
        self.kept: Any = None
        self.last: Any = None

    def see(self, state: State) -> None:
        if self.settled:
            return
        c, step = state.cache, state.step
        if self.first is None:
            self.first, self.signal, self.kept = np.zeros(c.th.shape), np.zeros(c.q.shape), np.ones(c.q.shape, dtype=bool)
        now = self.classify_at == step
        if now.any():
            self.first[now], self.signal[now] = c.th[now], c.q[now]
        later = self.classify_at < step
        if later.any():
            self.kept[later] &= np.sign(c.q[later]) == np.sign(self.signal[later])
        if step >= self.steps:
            self.last, self.settled = c.th.copy(), True

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        if self.last is None:
            nothing = np.full(self.lead, np.nan)
            return {"crossed": nothing, "crossable": nothing}
        share, pairs = crossed_share(np.swapaxes(self.first, -1, -2), np.swapaxes(self.last, -1, -2), self.signal, self.kept)
        known = self.classify_at <= self.steps
        return {"crossed": np.where(known, share, np.nan), "crossable": np.where(known, pairs, 0).astype(float)}
