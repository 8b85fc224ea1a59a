"""Measures of any system: first passages, values at steps and events, verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..check import check
from ..claims import VERDICTS
from ..naming import unknown_name
from ..registry import system_module
from ..simulate import State
from ..system import Observable
from ..trajectory import Trajectory
from .watching import Column, Watched

__all__ = ["TIME", "At", "First", "Series", "Underflow", "Verdicts", "bounded_steps", "seldom"]

COMPARE: Mapping[str, Callable[[Any, float], Any]] = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}

DENSE = 125
"""Steps recorded one by one at the start of a run whose record is bounded; later ones lie 1/DENSE of the step apart."""
SELDOM = 24
"""Times that quantities on fresh samples are recorded in such a run."""


@dataclass(frozen=True)
class First:
    """First step at which a scalar quantity passes a level, of a flow the first recorded time: NaN if it does not within the horizon.

    Parameters
    ----------
    quantity : str
        A scalar observable.
    compare : {"<=", "<", ">=", ">"}
        How the quantity is compared with the level.
    level : float
        Finite, in the unit of the quantity.
    name : str
        Name of the column; default the condition itself.

    Raises
    ------
    ValueError
        For another comparison, or a level that is not finite.

    Examples
    --------
    >>> from dynsim import First, sweep
    >>> from dynsim.systems import signal_noise
    >>> measure = First("train_loss", "<", 0.3, name="t_fit")
    >>> sweep(signal_noise.experiment("tiny"), seeds=2, measure=measure, workers=1)["t_fit"].tolist()
    [8.0, 8.0]
    """

    quantity: str
    compare: str
    level: float
    name: str = ""
    record: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.compare not in COMPARE:
            raise ValueError(f"compare={self.compare!r} must be one of {', '.join(COMPARE)}")
        if not isinstance(self.level, (int, float, np.integer, np.floating)) or not np.isfinite(self.level):
            raise ValueError(f"level={self.level!r} must be a finite number")
        object.__setattr__(self, "level", float(self.level))

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
        A step, >= 0; "end"; an event; or a multiple of a time that the system predicts, such as "0.8*T_key".
    name : str
        Name of the column; default ``quantity@when``.

    Raises
    ------
    ValueError
        For a `when` that is none of these.

    Examples
    --------
    >>> from dynsim import At, First, sweep
    >>> from dynsim.systems import signal_noise
    >>> measures = [At("train_loss", 0), At("train_loss", First("train_loss", "<", 0.5), name="just_below")]
    >>> table = sweep(signal_noise.experiment("tiny"), seeds=2, measure=measures, workers=1)
    >>> bool((table["just_below"] < 0.5).all()), bool((table["train_loss@0"] > 0.5).all())
    (True, True)
    """

    quantity: str
    when: int | str | First
    name: str = ""
    record: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if isinstance(self.when, str) and self.when != "end" and TIME.fullmatch(self.when) is None:
            raise ValueError(f"when={self.when!r} must be a step, 'end', a First, or a multiple of a predicted time such as '0.8*T_key'")
        if isinstance(self.when, np.integer):
            object.__setattr__(self, "when", int(self.when))
        if not isinstance(self.when, (str, First)) and (not isinstance(self.when, int) or isinstance(self.when, bool) or self.when < 0):
            raise ValueError(f"when={self.when!r} must be a step >= 0, 'end', a First, or a multiple of a predicted time")

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
            return float(watched.experiment.horizon)
        found = TIME.fullmatch(str(self.when))
        assert found is not None
        module = system_module(watched.experiment.system)
        if not hasattr(module, "predict"):
            raise ValueError(f"when={self.when!r}: {watched.experiment.system} predicts no times; give a step")
        if watched.experiment.flows:
            raise ValueError(f"when={self.when!r}: predicted times are for rules with steps; give 'end' or a First")
        theory = module.predict(watched.experiment.setting, lr=watched.experiment.optimizer.lr)
        if not hasattr(theory, found[2]):
            raise ValueError(unknown_name("predicted time", found[2], [name for name in vars(theory) if name.startswith("T_")]))
        return float(np.round(float(found[1] or 1) * getattr(theory, found[2])))


TIME = re.compile(r"([0-9]*\.?[0-9]*)\*?(T_\w+)")


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
class Series:
    """A scalar quantity over the whole run, as a list of numbers: at step 0 and at every multiple of `every`.

    Parameters
    ----------
    quantity : str
        A scalar observable.
    every : int
        Spacing in steps, >= 1. A row of the table gets ``steps // every + 1`` numbers.
    name : str
        Name of the column; default ``quantity@every`` with the spacing.
    """

    quantity: str
    every: int
    name: str = ""
    record: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, (int, np.integer)) or self.every < 1:
            raise ValueError(f"every={self.every!r} must be an integer >= 1")
        object.__setattr__(self, "every", int(self.every))

    @property
    def columns(self) -> Mapping[str, Column]:
        """One column of lists."""
        doc = f"{self.quantity} at step 0 and every {self.every} steps"
        return {self.name or f"{self.quantity}@every{self.every}": Column(doc, "numbers")}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        if watched.experiment.flows:
            raise ValueError(f"{next(iter(self.columns))} is read at steps, which gradient flow does not have")
        return _SeriesWatch(self, watched)


class _SeriesWatch:
    def __init__(self, measure: Series, watched: Watched) -> None:
        self.measure, self.observable, self.steps = measure, watched.scalar(measure.quantity), watched.experiment.steps
        self.values = np.full((*watched.lead, self.steps // measure.every + 1), np.nan)
        self.settled = False

    def see(self, state: State) -> None:
        if state.step % self.measure.every == 0 and not self.settled:
            self.values[..., state.step // self.measure.every] = self.observable.read(state.views, state.cache)
        self.settled = self.settled or state.step >= self.steps

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        return {name: self.values for name in self.measure.columns}


@dataclass(frozen=True)
class Underflow:
    """First step at which an entry of the gradient was lost to underflow; NaN where none was while the run was measured.

    Rules that need signs alone lose none: their signs are formed from logarithms.
    """

    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {"underflow": Column("first step with a gradient entry lost to underflow; NaN: none")}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        return _UnderflowWatch(watched.experiment.horizon)


class _UnderflowWatch:
    def __init__(self, horizon: float) -> None:
        self.horizon, self.settled = horizon, False

    def see(self, state: State) -> None:
        self.settled = self.settled or state.step >= self.horizon

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        return {name: np.where(run.underflow_at < 0, np.nan, run.underflow_at) for name in Underflow.columns}


@dataclass(frozen=True)
class Verdicts:
    """The verdict of each claim, and its margin, on a record of the run at a bounded number of steps.

    The steps are `bounded_steps`: one by one at first, then 1/125 of the step apart. Their number grows with the logarithm of the
    horizon (600 at 6,000 steps), and with it the memory: 5 MB a run of the theory preset. A claim that needs more than
    that comes back inconclusive, as on any other coarse record.

    Parameters
    ----------
    system : str
        Name of the system, as `dynsim.registry.system_module` takes it.
    claims : tuple of str
        Their ids; empty, the default, for all of the system.

    Raises
    ------
    ValueError
        For an unknown system or claim, naming the nearest valid one.

    Examples
    --------
    >>> from dynsim import Verdicts, sweep
    >>> from dynsim.systems import signal_noise
    >>> judged = Verdicts("signal_noise", claims=("noise_bounds",))
    >>> sweep(signal_noise.experiment("tiny"), seeds=2, measure=judged, workers=1)["noise_bounds"].tolist()
    ['holds', 'holds']
    """

    system: str
    claims: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = system_module(self.system).CLAIMS
        object.__setattr__(self, "claims", tuple(self.claims))
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

    Parameters
    ----------
    steps : int
        Horizon, >= 0.

    Returns
    -------
    ndarray of int
        Ascending, with 0 and `steps`; as many as some 125 log(steps / 125) beyond the first.

    Examples
    --------
    >>> len(bounded_steps(1000)), len(bounded_steps(100_000))
    (401, 984)
    """
    dense = np.arange(min(DENSE, steps) + 1)
    count = int(np.log(max(steps / DENSE, 1.0)) * DENSE) + 1
    sparse = np.round(np.geomspace(DENSE, steps, count)) if steps > DENSE else np.empty(0)
    return np.unique(np.concatenate([dense, sparse, np.arange(0, steps + 1, seldom(steps)), [steps]])).astype(np.int64)


def seldom(steps: int) -> int:
    """Return the spacing, in steps, of quantities on fresh samples in a bounded record: 1/24 of the horizon, at least 1.

    Parameters
    ----------
    steps : int
        Horizon, >= 0; of a flow, its recorded times.
    """
    return max(1, steps // SELDOM)
