"""Measures: numbers read off a run while it goes on, in memory of the size of its state and not of its length.

A measure is a frozen value that describes what to read; `watch` makes the live counterpart for one run. A
sweep makes a row of a table out of what its measures return.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .check import check
from .claims import VERDICTS
from .experiment import Experiment
from .naming import unknown_name
from .registry import system_module
from .simulate import State
from .system import Observable, System
from .trajectory import Trajectory

__all__ = ["At", "Column", "First", "Measure", "Verdicts", "Watch", "Watched", "as_measures", "bounded_steps"]

COMPARE: Mapping[str, Callable[[Any, float], Any]] = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}

DENSE = 125
"""Steps recorded one by one at the start of a run whose record is bounded; later ones lie 1/DENSE of the step apart."""
SELDOM = 24
"""Times that quantities on fresh samples are recorded in such a run."""


@dataclass(frozen=True)
class Column:
    """A column of a table: what it means, and whether a cell holds a number, a word or a list of numbers."""

    doc: str
    kind: Literal["number", "word", "numbers"] = "number"


class Watch(Protocol):
    """The live counterpart of a measure: it sees every state of one run of one or more replicates.

    `settled` tells, for each replicate, that nothing it will see can change its result: a run ends when
    every measure is settled. Once settled, a replicate's result must not depend on what is seen later.
    """

    @property
    def settled(self) -> NDArray | bool: ...
    def see(self, state: State) -> None: ...
    def result(self, run: Trajectory) -> Mapping[str, NDArray]: ...


class Measure(Protocol):
    """What to read off a run. A measure of your own is a frozen dataclass (its repr describes it) with these members.

    - `columns`: name of each column it yields, and its `Column`;
    - `record`: quantities that `Watch.result` finds in the run, at a bounded number of steps; mostly empty;
    - `watch(watched)`: the live counterpart for one run.
    """

    @property
    def columns(self) -> Mapping[str, Column]: ...
    @property
    def record(self) -> tuple[str, ...]: ...
    def watch(self, watched: Watched) -> Watch: ...


class Watched:
    """A run that is watched.

    Attributes
    ----------
    experiment : Experiment
        With the number of steps of this run.
    system : System
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
        """Return the watch of a measure: one for all that ask for it, before them in the order."""
        if measure not in self.watches:
            made = measure.watch(self)
            self.watches[measure] = made
        return self.watches[measure]

    def scalar(self, quantity: str) -> Observable:
        """Return an observable that is one number a replicate; a ValueError says what else is wrong with it."""
        if quantity not in self.system.observables:
            raise ValueError(unknown_name("recorded quantity", quantity, self.system.observables))
        observable = self.system.observables[quantity]
        if observable.dims:
            scalars = [name for name, o in self.system.observables.items() if not o.dims]
            axes = ", ".join(observable.dims)
            raise ValueError(f"{quantity} has axes ({axes}): a measure needs one number a run, of: {', '.join(scalars)}")
        return observable

    def alone(self, state: State, index: int) -> tuple[SimpleNamespace, SimpleNamespace]:
        """Return views and cache of one replicate: for what is too expensive to read for all when one needs it."""
        if not self.lead:
            return state.views, state.cache
        if index not in self._alone:
            self._alone[index] = [self.system.replicates(slice(index, index + 1)), -1, None]
        kept = self._alone[index]
        if kept[1] != state.step:
            views = kept[0].layout.views(np.ascontiguousarray(state.params[index : index + 1]))
            kept[1:] = state.step, (views, kept[0].forward(views))
        return kept[2]

    def see(self, state: State) -> NDArray | bool:
        """Show every watch the state; return which replicates are settled for all of them."""
        lost = ~(np.isfinite(state.cache.loss) | self._settled)
        if lost.any():
            self.lost_at[lost & (self.lost_at < 0)] = state.step
        settled: Any = True
        for watch in self.watches.values():
            watch.see(state)
            settled = settled & watch.settled
        self._settled = settled
        return settled


@dataclass(frozen=True)
class First:
    """First step at which a scalar quantity passes a level: NaN if it does not within the horizon.

    Parameters
    ----------
    quantity : str
        A scalar observable.
    compare : {"<=", "<", ">=", ">"}
    level : float
    name : str
        Name of the column; default the condition itself.
    """

    quantity: str
    compare: str
    level: float
    name: str = ""
    record: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.compare not in COMPARE:
            raise ValueError(f"compare={self.compare!r} must be one of {', '.join(COMPARE)}")
        if not np.isfinite(self.level):
            raise ValueError(f"level={self.level!r} must be finite")

    @property
    def columns(self) -> Mapping[str, Column]:
        """One column, in steps."""
        condition = f"{self.quantity}{self.compare}{self.level:g}"
        return {self.name or condition: Column(f"first step with {condition}; NaN: not within the horizon")}

    def watch(self, watched: Watched) -> FirstWatch:
        """Return the live counterpart."""
        return FirstWatch(self, watched.scalar(self.quantity), watched.lead)


class FirstWatch:
    """Live counterpart of `First`."""

    def __init__(self, measure: First, observable: Observable, lead: tuple[int, ...]) -> None:
        self.measure, self.observable, self.compare = measure, observable, COMPARE[measure.compare]
        self.step = np.full(lead, np.nan)
        self.settled = np.zeros(lead, dtype=bool)
        self.new = self.settled
        self._over = False

    def see(self, state: State) -> None:
        """Note the replicates that pass the level at this state: they are `new`."""
        if self._over:
            return
        passed = self.compare(self.observable.read(state.views, state.cache), self.measure.level)
        self.new = passed & ~self.settled
        if self.new.any():
            self.step[self.new] = state.step
            self.settled = self.settled | self.new
        elif self.settled.all():
            self._over = True

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        """Return the steps."""
        return {name: self.step for name in self.measure.columns}


@dataclass(frozen=True)
class At:
    """A scalar quantity at a chosen step: NaN if the step lies past the horizon or the event does not happen.

    Parameters
    ----------
    quantity : str
        A scalar observable.
    when : int, str or First
        A step; "end"; an event; or a multiple of a time that the system predicts, such as "0.8*T_key".
    name : str
        Name of the column; default ``quantity@when``.
    """

    quantity: str
    when: int | str | First
    name: str = ""
    record: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if isinstance(self.when, str) and self.when != "end" and _TIME.fullmatch(self.when) is None:
            raise ValueError(f"when={self.when!r} must be a step, 'end', a First, or a multiple of a predicted time such as '0.8*T_key'")
        if isinstance(self.when, int) and self.when < 0:
            raise ValueError(f"when={self.when!r} must be a step >= 0")

    @property
    def columns(self) -> Mapping[str, Column]:
        """One column, in the unit of the quantity."""
        when = next(iter(self.when.columns)) if isinstance(self.when, First) else str(self.when).replace("*", "")
        return {self.name or f"{self.quantity}@{when}": Column(f"{self.quantity} at {when}")}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        observable, name = watched.scalar(self.quantity), next(iter(self.columns))
        if isinstance(self.when, First):
            return _AtEvent(name, observable, watched, watched.watch(self.when))
        return _AtStep(name, observable, watched.lead, self._step(watched))

    def _step(self, watched: Watched) -> float:
        if isinstance(self.when, int):
            return float(self.when)
        if self.when == "end":
            return float(watched.experiment.steps)
        found = _TIME.fullmatch(str(self.when))
        assert found is not None
        module = system_module(watched.experiment.system)
        if not hasattr(module, "predict"):
            raise ValueError(f"when={self.when!r}: {watched.experiment.system} predicts no times; give a step")
        theory = module.predict(watched.experiment.setting, lr=watched.experiment.optimizer.lr)
        if not hasattr(theory, found[2]):
            raise ValueError(unknown_name("predicted time", found[2], [name for name in vars(theory) if name.startswith("T_")]))
        return float(np.round(float(found[1] or 1) * getattr(theory, found[2])))


_TIME = re.compile(r"([0-9.]*)\*?(T_\w+)")


class _AtStep:
    """A quantity at one step, of all replicates together."""

    def __init__(self, name: str, observable: Observable, lead: tuple[int, ...], step: float) -> None:
        self.name, self.observable, self.step = name, observable, step
        self.value = np.full(lead, np.nan)
        self.settled = not np.isfinite(step)

    def see(self, state: State) -> None:
        if state.step == self.step:
            self.value[...] = self.observable.read(state.views, state.cache)
            self.settled = True

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        return {self.name: self.value}


class _AtEvent:
    """A quantity at an event, of each replicate on its own."""

    def __init__(self, name: str, observable: Observable, watched: Watched, event: Any) -> None:
        self.name, self.observable, self.watched, self.event = name, observable, watched, event
        self.value = np.full(watched.lead, np.nan)
        self.seen = np.zeros(watched.lead, dtype=bool)

    @property
    def settled(self) -> NDArray:
        return self.event.settled & self.seen

    def see(self, state: State) -> None:
        new = self.event.settled & ~self.seen
        if new.any():
            for index in np.flatnonzero(new):
                views, cache = self.watched.alone(state, int(index))
                self.value.reshape(-1)[index] = np.ravel(self.observable.read(views, cache))[0]
            self.seen = self.seen | new

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        return {self.name: self.value}


@dataclass(frozen=True)
class Verdicts:
    """The verdict of each claim, and its margin, on a record of the run at a bounded number of steps.

    The steps are `bounded_steps`: one by one at first, then 1/125 of the step apart, so that a run of any length takes some 100 kB a
    thousand numbers of state. A claim that needs more than that comes back inconclusive, as on any other coarse record.

    Parameters
    ----------
    system : str
    claims : tuple of str
        Their ids; empty for all of the system.
    """

    system: str
    claims: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = system_module(self.system).CLAIMS
        for id in self.claims:
            if id not in known:
                raise ValueError(unknown_name("claim", id, known))

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The claims themselves, by id."""
        known = system_module(self.system).CLAIMS
        return {id: known[id] for id in self.claims or known}

    @property
    def columns(self) -> Mapping[str, Column]:
        """Two columns a claim."""
        found: dict[str, Column] = {}
        for id, claim in self.chosen.items():
            found[id] = Column(f"verdict: {claim.statement}", "word")
            found[f"{id}.margin"] = Column(f"margin of {id}, (tolerance - deviation) / tolerance")
        return found

    @property
    def record(self) -> tuple[str, ...]:
        """The quantities that the claims read."""
        return tuple(dict.fromkeys(name for claim in self.chosen.values() for name in claim.needs.get("run", ())))

    def watch(self, watched: Watched) -> _VerdictsWatch:
        """Return the live counterpart."""
        return _VerdictsWatch(self)


class _VerdictsWatch:
    settled = False

    def __init__(self, measure: Verdicts) -> None:
        self.measure = measure

    def see(self, state: State) -> None:
        """Do nothing: the record of the run is judged at its end."""

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        runs = [run.replicate(i) for i in range(len(run.final))] if run.final.ndim == 2 else [run]
        reports = [check(one, self.measure.chosen) for one in runs]
        found: dict[str, NDArray] = {}
        for id in self.measure.chosen:
            verdicts = [report[id] for report in reports]
            found[id] = np.array([v.verdict for v in verdicts], dtype=f"U{max(map(len, VERDICTS))}")
            found[f"{id}.margin"] = np.array([v.margin for v in verdicts])
        return found if run.final.ndim == 2 else {name: a[0] for name, a in found.items()}


def bounded_steps(steps: int) -> NDArray:
    """Return steps to record: 0 to 125 one by one, then 1/125 of the step apart, and 24 evenly spaced ones.

    >>> len(bounded_steps(1000)), len(bounded_steps(100_000))
    (401, 984)
    """
    dense = np.arange(min(DENSE, steps) + 1)
    count = int(np.log(max(steps / DENSE, 1.0)) * DENSE) + 1
    sparse = np.round(np.geomspace(DENSE, steps, count)) if steps > DENSE else np.empty(0)
    return np.unique(np.concatenate([dense, sparse, np.arange(0, steps + 1, seldom(steps)), [steps]])).astype(np.int64)


def seldom(steps: int) -> int:
    """Return the spacing of quantities on fresh samples in a bounded record."""
    return max(1, steps // SELDOM)


_CONDITION = re.compile(r"([A-Za-z]\w*)\s*(<=|<|>=|>)\s*([-+.\deE]+)")


def as_measures(items: str | Measure | Iterable[str | Measure] | None, system: str) -> tuple[Measure, ...]:
    """Return measures for names and expressions; measures stay as they are.

    Parameters
    ----------
    items : str, Measure, or iterable of these, or None
        A name of the system's `MEASURES`; an id of its claims (its verdict), "verdicts" for all of them; ``quantity<level`` (first step,
        also <=, >, >=); ``quantity@when`` with a step, "end", ``0.8*T_key``, or the name or expression of an event. ``name=...`` before
        an expression names its column. None for the system's default measures.
    system : str
        Name of the system.

    Raises
    ------
    ValueError
        For an unknown name or an expression that cannot be read.

    Examples
    --------
    >>> for measure in as_measures(["t_attn", "train_loss<0.05", "late=test_loss@t_attn"], "signal_noise"):
    ...     print(*measure.columns)
    t_attn
    train_loss<0.05
    late
    """
    module = system_module(system)
    if items is None:
        items = getattr(module, "SWEEP_MEASURES", ())
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = [items]
    found: list[Measure] = []
    claims: list[str] = []
    for item in items:
        if not isinstance(item, str):
            if not all(hasattr(item, member) for member in ("columns", "record", "watch")):
                raise TypeError(f"measure={item!r} is no measure: it needs columns, record and watch (see dynsim.measures.Measure)")
            found.append(item)
        elif item.strip() == "verdicts":
            claims.extend(module.CLAIMS)
        elif item.strip() in getattr(module, "CLAIMS", {}):
            claims.append(item.strip())
        else:
            found.extend(_read(item.strip(), module))
    if claims:
        found.append(Verdicts(system, tuple(dict.fromkeys(claims))))
    found = list(dict.fromkeys(found))
    names = [name for measure in found for name in measure.columns]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two measures have a column {name!r}: name one of them, as in mine={name}")
    if not found:
        raise ValueError(f"measure=[]: give at least one, for example {', '.join(getattr(module, 'MEASURES', {}) or ['train_loss@end'])}")
    return tuple(found)


def _read(text: str, module: Any) -> Sequence[Measure]:
    """Read one name or expression."""
    named: Mapping[str, Sequence[Measure]] = getattr(module, "MEASURES", {})
    if text in named:
        return named[text]
    name, equals, rest = text.partition("=")
    if equals and not name.endswith(("<", ">")) and name.strip().isidentifier():
        measures = _read(rest.strip(), module)
        if len(measures) != 1 or not hasattr(measures[0], "name"):
            raise ValueError(f"{text!r}: only a single number can be named")
        return [replace(measures[0], name=name.strip())]  # type: ignore[type-var]
    condition = _CONDITION.fullmatch(text)
    if condition is not None:
        _known(condition[1], module)
        return [First(condition[1], condition[2], _float(text, condition[3]))]
    quantity, at, when = (part.strip() for part in text.partition("@"))
    if at and quantity:
        _known(quantity, module)
        if when.isdigit():
            return [At(quantity, int(when))]
        if when == "end" or _TIME.fullmatch(when):
            return [At(quantity, when)]
        events = _read(when, module)
        if len(events) != 1 or not isinstance(events[0], First):
            raise ValueError(f"{text!r}: {when!r} is no step, event or predicted time")
        return [At(quantity, events[0])]
    hint = "an expression such as train_loss<0.05 or test_loss@900, a claim, or one of its measures"
    raise ValueError(f"{unknown_name('measure', text, named)}; or give {hint}")


def _float(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is no number") from None


def _known(quantity: str, module: Any) -> None:
    observables = getattr(module, "OBSERVABLES", None)
    if observables is not None and quantity not in observables:
        raise ValueError(unknown_name("quantity", quantity, observables))
