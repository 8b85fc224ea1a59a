"""What a measure is, and the run that it watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..experiment import Experiment
from ..naming import unknown_name
from ..simulate import State
from ..system import Observable, System, forward_at
from ..trajectory import Trajectory

__all__ = ["Column", "Computed", "Measure", "Watch", "Watched", "require_kind"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    doc : str
        What it means, in a sentence.
    kind : {"number", "word", "numbers"}
        Whether a cell holds a number, a word, or a list of numbers. Default "number".
    """

    doc: str
    kind: Literal["number", "word", "numbers"] = "number"


class Watch(Protocol):
    """The live counterpart of a measure: it sees every state of one run of one or more replicates.

    `settled` tells, for each replicate, that nothing it will see can change its result: a run ends when
    every measure is settled. Once settled, a replicate's result must not depend on what is seen later.
    """

    @property
    def settled(self) -> NDArray | bool:
        """Replicates whose result is final: bool, one for all or of shape (R,)."""

    def see(self, state: State) -> None:
        """Take note of a state; states come in the order of the run, the start first.

        Parameters
        ----------
        state : State
            Live: copy what is kept.
        """

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        """Return the value of each column, when the run is over.

        Parameters
        ----------
        run : Trajectory
            With the quantities of the measure's `record`.

        Returns
        -------
        mapping of str to ndarray
            Column to numbers or words, of shape (R,), or () in a run without replicates; lists of numbers have one axis more.
        """


class Measure(Protocol):
    """What to read off a run. A measure of your own is a frozen dataclass (its repr describes it) with these members.

    It may have one more, `kinds`, if it is of some of a system's kinds of settings only: their types (see `require_kind`).
    """

    @property
    def columns(self) -> Mapping[str, Column]:
        """Name of each column it yields, and what that means."""

    @property
    def record(self) -> tuple[str, ...]:
        """Quantities that `Watch.result` finds in the run, at a bounded number of steps; mostly empty."""

    def watch(self, watched: Watched) -> Watch:
        """Return the live counterpart for one run.

        Parameters
        ----------
        watched : Watched
            The run, with its experiment and its system.
        """


def require_kind(measure: Measure, experiment: Experiment) -> None:
    """Refuse an experiment whose setting is not of a kind that the measure is of; nothing that a sweep varies changes it.

    Parameters
    ----------
    measure : Measure
        One without `kinds` is of all.
    experiment : Experiment
        What is to be measured.

    Raises
    ------
    ValueError
        Naming the kinds of setting that the measure is of.
    """
    kinds: tuple[type, ...] = getattr(measure, "kinds", ())
    if kinds and not isinstance(experiment.setting, kinds):
        raise ValueError(f"measure {measure!r} is of settings of kind {', '.join(kind.__name__ for kind in kinds)}, "
                         f"not {type(experiment.setting).__name__}: start from a preset of that kind")


class Computed:
    """Watch of numbers that are made of the finished run.

    Parameters
    ----------
    read : callable
        Maps the run to the numbers, by name of the column.
    settled : bool, default True
        False if they need the run to its horizon: it then does not end when all else is measured.
    """

    def __init__(self, read: Callable[[Trajectory], Mapping[str, Any]], *, settled: bool = True) -> None:
        self.read, self.settled = read, settled

    def see(self, state: State) -> None:
        """Do nothing."""

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        """Return the numbers as arrays, shape () each, or lists of numbers."""
        return {name: np.asarray(value) for name, value in self.read(run).items()}


class Watched:
    """A run that is watched.

    Parameters
    ----------
    experiment : Experiment
        With the number of steps of this run.
    system : System
        The system that is run, with or without replicates.

    Attributes
    ----------
    watches : dict
        Measure to its watch, in the order in which they see a state.
    lost_at : ndarray, shape replicates
        Step at which the loss stopped being finite before everything was settled; -1 where it did not.
    """

    def __init__(self, experiment: Experiment, system: System) -> None:
        self.experiment, self.system = experiment, system
        self.watches: dict[Measure, Watch] = {}
        self.lost_at = np.full(self.lead, -1)
        self._settled: Any = np.zeros(self.lead, dtype=bool)
        self._alone: dict[int, list[Any]] = {}

    @property
    def lead(self) -> tuple[int, ...]:
        """Shape of the replicates: () or (R,)."""
        return np.shape(self.system.start)[:-1]

    def watch(self, measure: Measure) -> Watch:
        """Return the watch of a measure: one for all that ask for it, before them in the order.

        Parameters
        ----------
        measure : Measure
            Equal measures have one watch.

        Raises
        ------
        ValueError
            If the measure is of another kind of setting, or of a quantity that the system does not have.
        """
        if measure not in self.watches:
            require_kind(measure, self.experiment)
            made = measure.watch(self)
            self.watches[measure] = made
        return self.watches[measure]

    def scalar(self, quantity: str) -> Observable:
        """Return an observable that is one number a replicate.

        Parameters
        ----------
        quantity : str
            Its name.

        Raises
        ------
        ValueError
            If the system does not have it, naming the nearest one, or if it has axes.
        """
        if quantity not in self.system.observables:
            raise ValueError(unknown_name("recorded quantity", quantity, self.system.observables))
        observable = self.system.observables[quantity]
        if observable.dims:
            scalars = [name for name, o in self.system.observables.items() if not o.dims]
            axes = ", ".join(observable.dims)
            raise ValueError(f"{quantity} has axes ({axes}): a measure needs one number a run, of: {', '.join(scalars)}")
        return observable

    def alone(self, state: State, index: int) -> tuple[SimpleNamespace, SimpleNamespace]:
        """Return views and cache of one replicate: for what is too expensive to read for all when one needs it.

        Parameters
        ----------
        state : State
            The live state of all replicates.
        index : int
            Number of the replicate, from 0; without replicates it does not matter.
        """
        if not self.lead:
            return state.views, state.cache
        if index not in self._alone:
            self._alone[index] = [self.system.replicates(slice(index, index + 1)), -1, None]
        kept = self._alone[index]
        if kept[1] != state.step:
            views = kept[0].layout.views(np.ascontiguousarray(state.params[index : index + 1]))
            kept[1:] = state.step, (views, forward_at(kept[0], views, state.step))
        return kept[2]

    def see(self, state: State) -> NDArray | bool:
        """Show every watch the state; return which replicates are settled for all of them.

        Parameters
        ----------
        state : State
            States come in the order of the run.
        """
        lost = ~(np.isfinite(state.cache.loss) | self._settled)
        if lost.any():
            self.lost_at[lost & (self.lost_at < 0)] = state.step
        settled: Any = True
        for watch in self.watches.values():
            watch.see(state)
            settled = settled & watch.settled
        self._settled = settled
        return settled
