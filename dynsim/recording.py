"""What a run keeps: named quantities at chosen steps or times, in memory reserved before the run begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .naming import unknown_name
from .system import System, forward_at

__all__ = ["Record", "Recorder", "available_memory", "clock_of", "log_times", "recorded_steps", "recorded_times"]

Record = Sequence[str] | Mapping[str, int] | None
"""Quantities by name, or name to how seldom it is recorded; None for those that the system marks as default."""


def available_memory() -> float:
    """Return 80 % of the free physical memory in bytes, or 4 GiB where the system does not tell."""
    try:
        return 0.8 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4.0 * 2**30


def recorded_steps(steps: int, every: int, at: Sequence[float] | NDArray | None) -> NDArray:
    """Return the steps to record, ascending: those asked for, the first and the last.

    Parameters
    ----------
    steps : int
        Updates of the run, >= 0.
    every : int
        Record every so many steps, >= 1; not looked at where `at` is given.
    at : sequence of int, or None
        The steps to record instead, in [0, steps], in any order.

    Raises
    ------
    ValueError, MemoryError
        For steps outside [0, steps], `every` below 1, or more steps than memory can number.
    """
    if at is not None:
        chosen = np.unique(np.asarray(at))
        if chosen.size and (chosen.dtype.kind not in "iu" or chosen[0] < 0 or chosen[-1] > steps):
            raise ValueError(f"at={at!r}: the steps to record must be integers in [0, {steps}]")
    else:
        _check_every("every", every)
        if 8.0 * (steps // every) > available_memory():
            raise MemoryError(f"recording {steps // every + 1} steps does not fit into memory: record fewer steps (every={steps // 1000})")
        chosen = np.arange(0, steps + 1, every)
    return np.union1d(chosen, [0, steps]).astype(np.int64)


def recorded_times(until: float, at: Sequence[float] | NDArray | None) -> NDArray:
    """Return the times of a flow to record, ascending: those asked for, the first and the last; default `log_times` over six decades.

    Parameters
    ----------
    until : float
        Last time of the flow, > 0.
    at : sequence of float, or None
        The times to record, in [0, until], in any order.

    Raises
    ------
    ValueError
        For times outside [0, until].
    """
    chosen = log_times(until) if at is None else np.unique(np.asarray(at, dtype=float))
    if chosen.size and not (np.isfinite(chosen).all() and chosen[0] >= 0 and chosen[-1] <= until):
        raise ValueError(f"at={at!r}: the times to record must lie in [0, {until:g}]")
    return np.union1d(chosen, [0.0, until])


DECADES = 6.0
"""How far before its end the recorded times of a flow begin."""


def log_times(until: float, points: int = 240, decades: float = DECADES) -> NDArray:
    """Return 0 and `points` times over the last decades before `until`, with a constant ratio.

    Parameters
    ----------
    until : float
        The last time, > 0.
    points : int, default 240
        Number of times besides 0, >= 1.
    decades : float, default 6.0
        The first of them is until / 10^decades; > 0.

    Examples
    --------
    >>> log_times(100.0, points=3, decades=2.0)
    array([  0.,   1.,  10., 100.])
    """
    times = until * np.logspace(-decades, 0.0, points)
    times[-1] = until
    return np.concatenate([[0.0], times])


def _check_every(name: str, every: Any) -> None:
    if not isinstance(every, (int, np.integer)) or isinstance(every, bool) or every < 1:
        raise ValueError(f"{name}={every!r} must be an integer >= 1")


class Recorder:
    """Preallocated arrays for the chosen quantities at the chosen steps.

    Parameters
    ----------
    system : System
        The system whose quantities are read; one forward pass is made at its start, to learn their shapes.
    record : Record
        A mapping gives names a spacing of their own: recorded at those of the steps `at` that are
        multiples of it (of times, at every so many), at the first and at the last.
    at : ndarray of int or float, shape (T,)
        Steps, or times, to record.
    limit : float or None
        Bytes the arrays may take; default what is free.

    Raises
    ------
    ValueError
        For an unknown name or a bad spacing.
    MemoryError
        If the arrays do not fit, with the size and the way out.
    """

    def __init__(self, system: System, record: Record, at: NDArray, limit: float | None) -> None:
        self.at = at
        if isinstance(record, str):
            raise ValueError(f"record={record!r} must be a sequence of names, such as [{record!r}]")
        if record is None:
            record = [name for name, o in system.observables.items() if o.default]
        for name in record:
            if name not in system.observables:
                raise ValueError(unknown_name("recorded quantity", name, system.observables))
        self.observables = {name: system.observables[name] for name in record}
        self.kept = {name: np.ones(len(at), dtype=bool) for name in record}
        self.clock = clock_of(at)
        count = at if self.clock == "step" else np.arange(len(at))
        if isinstance(record, Mapping):
            for name, every in record.items():
                _check_every(f"record[{name!r}]", every)
                self.kept[name] = count % every == 0
                self.kept[name][[0, -1]] = True
        self.lead = np.shape(system.start)[:-1]
        self.stores = self._stores(system)
        numbers = sum(int(s.kept.sum()) * int(np.prod(self.lead + s.shape)) for s in self.stores)
        available = available_memory() if limit is None else float(limit)
        if 8.0 * numbers > available:
            raise MemoryError(
                f"recording {', '.join(record)} at {len(at)} steps needs {8 * numbers / 2**30:.2f} GiB and {available / 2**30:.2f} GiB are "
                "available: record fewer steps (every=10), fewer quantities (record=['train_loss']) or run fewer replicates"
            )
        for store in self.stores:
            store.array = np.empty((int(store.kept.sum()), *self.lead, *store.shape))
        self._always = [(store.array, store.of) for store in self.stores if store.kept.all()]
        self._seldom = [store for store in self.stores if not store.kept.all()]

    def _stores(self, system: System) -> list[_Store]:
        """Choose what to store: together where several quantities are views of one array and fill it, else each by itself."""
        one = system.replicates(slice(0, 1)) if self.lead else system
        views = one.layout.views(np.ascontiguousarray(one.start))
        groups: dict[Any, list[str]] = {}
        for name, observable in self.observables.items():
            groups.setdefault((observable.of, self.kept[name].tobytes()), []).append(name)
        stores = []
        with np.errstate(all="ignore"):  # only the shapes matter here
            cache = forward_at(one, views, 0)
            for (of, _), names in groups.items():
                shape = self.observables[names[0]].shape
                whole = np.asarray(of(views, cache)) if shape is None else np.zeros(shape(cache))
                parts = {name: self.observables[name].view(whole) for name in names}
                if sum(part.size for part in parts.values()) >= whole.size:
                    together = {name: self.observables[name].view for name in names}
                    stores.append(_Store(of, together, self.kept[names[0]], whole.shape[len(self.lead):]))
                else:
                    stores.extend(
                        _Store(self.observables[name].read, {name: _as_it_is}, self.kept[name], part.shape[len(self.lead):])
                        for name, part in parts.items()
                    )
        return stores

    def write(self, row: int, state: Any, part: Any) -> None:
        """Record the present state of one chunk of replicates.

        Parameters
        ----------
        row : int
            Number of the recorded step, from 0.
        state : State
            The live state, of which copies are kept.
        part : slice or Ellipsis
            The replicates of the chunk; ``...`` for all, or for a single run.
        """
        views, cache = state.views, state.cache
        if part is ...:
            for array, of in self._always:  # the common case, and the one where an index less can be felt
                array[row] = of(views, cache)
        else:
            for array, of in self._always:
                array[row, part] = of(views, cache)
        for store in self._seldom:
            if store.kept[row]:
                store.array[store.place(row), part] = store.of(views, cache)

    def write_last(self, row: int, step: float, state: Any) -> None:
        """Record the state at which a single run ended early, whether its step was due or not.

        Parameters
        ----------
        row : int
            Number of the recorded step, from 0; it is the last.
        step : int or float
            The step, or in a flow the time, at which the run ended.
        state : State
            The live state there, of which copies are kept.
        """
        self.at[row:] = step
        for store in self._seldom:
            store.kept[row] = True
        self.write(row, state, ...)

    def blank(self, row: int, part: Any, over: NDArray) -> None:
        """Write NaN for the replicates of a chunk that are over.

        Parameters
        ----------
        row : int
            Number of the recorded step, from 0.
        part : slice
            The replicates of the chunk.
        over : ndarray of bool, shape (replicates of the chunk,)
            Those whose run has ended.
        """
        for store in self.stores:
            if store.kept[row]:
                store.array[store.place(row)][part][over] = np.nan

    def fill(self, row: int, part: Any) -> None:
        """Write NaN where nothing was recorded, because the run ended early.

        Parameters
        ----------
        row : int
            Number of the first recorded step without values, from 0.
        part : slice
            The replicates to write it for.
        """
        for store in self.stores:
            store.array[store.place(row):, part] = np.nan

    def arrays(self, rows: int) -> tuple[dict[str, NDArray], dict[str, tuple[str, ...]], dict[str, NDArray]]:
        """Return what was recorded: arrays, their dims, and the steps of those recorded seldom.

        Parameters
        ----------
        rows : int
            Number of recorded steps to return, the first so many.

        Returns
        -------
        arrays : dict of str to ndarray
            By quantity, shape (steps, *replicates, *axes).
        dims : dict of str to tuple of str
            Names of the axes of each.
        sparser : dict of str to ndarray
            Of quantities with a spacing of their own, the steps or times of their first axis.
        """
        views = {name: view(store.array[: store.place(rows)]) for store in self.stores for name, view in store.views.items()}
        arrays = {name: views[name] for name in self.observables}
        dims = {name: (self.clock, *("replicate",) * len(self.lead), *o.dims) for name, o in self.observables.items()}
        sparser = {name: self.at[:rows][store.kept[:rows]] for store in self._seldom for name in store.views}
        return arrays, dims, sparser


@dataclass
class _Store:
    """One preallocated array: what fills it, the quantities that are views of it, the recorded steps it keeps."""

    of: Callable[[Any, Any], NDArray]
    views: dict[str, Callable[[NDArray], NDArray]]
    kept: NDArray
    shape: tuple[int, ...]
    array: NDArray = field(default_factory=lambda: np.empty(0))

    def place(self, row: int) -> int:
        """Return how many of the recorded steps before number `row` this array keeps."""
        return int(self.kept[:row].sum())


def clock_of(at: NDArray) -> str:
    """Return what numbers the rows of a record: "step" for integers, "time" for the times of a flow.

    Parameters
    ----------
    at : ndarray of int or float, shape (T,)
        The recorded steps or times: their type decides, not their values.
    """
    return "time" if at.dtype.kind == "f" else "step"


def _as_it_is(stored: NDArray) -> NDArray:
    return stored
