"""The update loop: `iterate` yields live states, `simulate` records them; those of a gradient flow too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._version import __version__
from .flow import run_flow
from .optimizers import GradientFlow, as_optimizer, changed_rule, describe, has_schedule
from .progress import Progress, as_progress
from .recording import Record, Recorder, recorded_steps
from .running import Interrupted, LossBelow, State, check_continues, ctrl_c_between_steps, given_start
from .system import System, forward_at, require_exact
from .trajectory import Trajectory

__all__ = ["Interrupted", "LossBelow", "State", "chunks", "iterate", "simulate"]

CHUNK = 64
"""Most replicates that run through all their steps together."""

CHUNK_NUMBERS = 3 * 2**16
"""Most parameters of these replicates, all in all: with fewer the calls cost more than the numbers, with more the cache is too small."""


def iterate(system: System, optimizer: Any, *, start: NDArray | Trajectory | None = None) -> Iterator[State]:
    """Yield the state before any update, then after every update, without end.

    The arrays of a state are overwritten by the next update: copy what you keep. Nothing is recorded; `simulate` does that.

    Parameters
    ----------
    system : System
        The model itself (dense) or a reduction of it.
    optimizer : Optimizer
        A rule with steps that the system is exact for.
    start : ndarray (*replicates, P) or Trajectory, optional
        Parameters to start from, or a run to go on with (its step count and the memory of its rule included); default `system.start`.

    Yields
    ------
    State
        With `step`, `params` and their named `views`, the `cache` of the forward pass, and the rule's memory.

    Raises
    ------
    Inexact
        If the system is a reduction that is not exact for the rule; the message names the alternative.
    TypeError
        For gradient flow, which has no steps.
    ValueError
        If the last axis of `start` is not as long as the system has parameters.

    Examples
    --------
    >>> from dynsim import SignGD, iterate
    >>> from dynsim.systems import signal_noise
    >>> for state in iterate(signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0), SignGD(1e-3)):
    ...     if state.step == 3:
    ...         break
    >>> state.cache.loss.shape
    ()
    """
    optimizer = as_optimizer(optimizer)
    require_exact(system, optimizer)
    first, memory, underflow_at = 0, None, None
    if isinstance(optimizer, GradientFlow):
        raise TypeError("gradient flow has no steps to iterate over: simulate(system, GradientFlow(), until=...) records it")
    if isinstance(start, Trajectory):
        first, memory = start.last_step, {name: a.copy() for name, a in start.optimizer_state.items()}
        underflow_at = np.array(start.underflow_at)
        start = start.final
    params = np.array(system.start if start is None else start, dtype=float)
    layout = system.layout
    if params.shape[-1:] != (layout.size,):
        raise ValueError(f"start has shape {params.shape}; its last axis must be {layout.size} long for this system")
    views = layout.views(params)
    grad = np.zeros_like(params)
    grad_views = layout.views(grad)
    scale = system.step_scale
    if memory is None:
        memory = optimizer.init(params, scale)
    signs = optimizer.needs == "signs"
    if underflow_at is None:
        underflow_at = np.full(params.shape[:-1], -1)
    backward, update = system.backward, optimizer.step
    state = State(first, params, views, forward_at(system, views, first), memory, underflow_at)
    while True:
        yield state
        cache = state.cache
        backward(views, cache, grad_views, signs=signs)
        if not signs and np.any(lost := getattr(cache, "underflow", False)):
            underflow_at[lost & (underflow_at < 0)] = state.step
        update(params, grad, memory, state.step, scale)
        state.step += 1
        state.cache = forward_at(system, views, state.step)


def simulate(
    system: System,
    optimizer: Any,
    *,
    steps: int | None = None,
    until: float | None = None,
    record: Record = None,
    every: int = 1,
    at: Sequence[float] | NDArray | None = None,
    start: NDArray | Trajectory | None = None,
    stop: Callable[[State], Any] | None = None,
    progress: bool | Progress | None = None,
    max_bytes: float | None = None,
) -> Trajectory:
    """Run an update rule on a system and record named quantities.

    The same call gives the same run, bit for bit, on the same machine. Of R replicates (a leading axis of the system's start) each runs
    as if it were alone, to rounding.

    Parameters
    ----------
    system : System
        The model itself (dense) or a reduction of it to fewer numbers; one that is not exact for the rule is refused.
    optimizer : Optimizer or GradientFlow
        For example ``SignGD(lr=5e-5)``.
    steps : int
        Updates to make, >= 0; required by every rule but gradient flow.
    until : float
        Time to integrate, > 0; required by gradient flow, and refused by the other rules.
    record : sequence of str or mapping of str to int, optional
        Quantities by name; default those the system marks as default. A mapping gives each a spacing of its own,
        ``{"train_loss": 1, "test_loss": 50}``: of the recorded steps, the multiples of it, the first and the last.
    every : int, default 1
        Record every so many steps, >= 1, counted from the start of this call. The first and the last step are always recorded. All
        memory is reserved before the run begins.
    at : sequence of int or float, optional
        The steps to record instead. A flow takes times, in [0, until], by default `dynsim.recording.log_times`.
    start : ndarray, shape of the system's start, or Trajectory, optional
        Parameters to start from, or a run to go on with (its steps and the memory of its rule included); default the system's start.
    stop : callable, optional
        Called with the live `State` after every step; true ends the run (of each replicate, if it returns an array). In a flow it is
        called at the recorded times, but for `LossBelow`, whose time is located between them.
    progress : bool or callable, optional
        True draws a meter on stderr; a callable receives (done, total).
    max_bytes : float, optional
        Memory the record may take; default 80 % of what is free.

    Returns
    -------
    Trajectory
        Its `status` says how the run ended. Where the loss stops being finite the run of that replicate
        ends, what was recorded is kept and the message names the quantity. Rows past the end of a replicate
        (and the diverged row itself) are NaN in a run with replicates and absent in a single run.

    Raises
    ------
    Inexact
        If the system is a reduction that is not exact for the rule; the message names the alternative.
    ValueError, TypeError
        For an argument out of range, a quantity that the system does not have, or a rule that is given as a class.
    MemoryError
        If the record does not fit, with its size and the way out.
    Interrupted
        On Ctrl-C; carries the trajectory so far. The step under way is completed first; a second Ctrl-C is immediate.

    Examples
    --------
    >>> from dynsim import SignGD, simulate
    >>> from dynsim.systems import signal_noise
    >>> setting = signal_noise.preset("tiny")
    >>> run = simulate(signal_noise.lumped(setting, SignGD, seed=0), SignGD(1e-3), steps=40)
    >>> run["key_noise"].shape  # step, row, sample
    (41, 4, 3)
    """
    if isinstance(optimizer, type):
        made = f"{optimizer.__name__}({'' if optimizer is GradientFlow else 'lr=...'})"
        raise TypeError(f"optimizer={optimizer.__name__} is a class: pass an instance, {made}")
    optimizer = as_optimizer(optimizer)
    require_exact(system, optimizer)
    if isinstance(optimizer, GradientFlow):
        return run_flow(system, optimizer, steps, until, at, record, every, start, stop, as_progress(progress), max_bytes)
    if until is not None:
        raise ValueError(f"until={until!r} is for gradient flow: {optimizer!r} takes steps=")
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < 0:
        raise ValueError(f"steps={steps!r} must be an integer >= 0")
    lead = np.shape(system.start)[:-1]
    if len(lead) > 1:
        raise ValueError(f"start has {len(lead)} leading axes; replicates are one axis")
    given = given_start(start, system)
    recorder = Recorder(system, record, recorded_steps(steps, every, at), max_bytes)
    origin = int(start.last_step) if isinstance(start, Trajectory) else 0
    if isinstance(start, Trajectory):
        check_continues(start, system, optimizer)
    run = _Run(recorder, system, optimizer, steps, origin, lead)
    if given is not None:
        run.final[...] = given
    meter = as_progress(progress)
    parts = chunks(lead[0], system.layout.size) if lead else [...]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"), ctrl_c_between_steps() as run.pressed:
        try:
            for number, part in enumerate(parts):
                run.advance(part, _part_of_start(start, part), _part_of_rule(optimizer, part, lead), stop, meter, number, len(parts))
        except KeyboardInterrupt:
            run.pressed.clear()  # one more Ctrl-C while the record is put together must not lose it
            raise Interrupted(run.trajectory("interrupted")) from None
        return run.trajectory()


def chunks(count: int, size: int, most: int | None = None) -> list[slice]:
    """Cut replicates into chunks that are run one after another, of equal length but for the last; four are worth it at any size.

    Parameters
    ----------
    count : int
        Number of replicates, >= 0.
    size : int
        Parameters of each, >= 1: the more there are, the shorter the chunks.
    most : int, optional
        Longest chunk allowed, >= 1; default 64.
    """
    most = min(CHUNK if most is None else most, CHUNK, max(4, CHUNK_NUMBERS // size))
    length = -(-count // -(-count // most)) if count else 1
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


def _part_of_start(start: Any, part: Any) -> Any:
    """Return the start (parameters, a run to go on with, or None) cut to this chunk of replicates."""
    if start is None or part is ...:
        return start
    if isinstance(start, Trajectory):
        return replace(
            start, final=start.final[part], optimizer_state={k: a[part] for k, a in start.optimizer_state.items()},
            underflow_at=start.underflow_at[part],
        )
    return start[part]


def _part_of_rule(optimizer: Any, part: Any, lead: tuple[int, ...]) -> Any:
    """Return the rule with its rates cut to this chunk of replicates."""
    lr = optimizer.lr
    if part is ... or np.ndim(lr) == 0 and not callable(lr):
        return optimizer
    if callable(lr):
        return optimizer if has_schedule(optimizer) else changed_rule(
            optimizer, {"lr": lambda step: rate[part] if np.ndim(rate := lr(step)) else rate}
        )
    if np.shape(lr) != lead:
        raise ValueError(f"lr has shape {np.shape(lr)}; an array of rates must have the replicates' shape {lead}")
    return changed_rule(optimizer, {"lr": np.asarray(lr)[part]})


class _Run:
    """The bookkeeping of one `simulate`: where each replicate is and how it ended."""

    def __init__(self, recorder: Recorder, system: System, optimizer: Any, steps: int, origin: int, lead: tuple[int, ...]) -> None:
        self.recorder, self.system, self.optimizer = recorder, system, optimizer
        self.steps, self.origin, self.lead = steps, origin, lead
        self.ended_at = np.full(lead, -1)
        self.underflow_at = np.full(lead, -1)
        self.how = np.zeros(lead, dtype="U8")
        self.blame = ""
        self.final = np.array(np.broadcast_to(system.start, lead + (system.layout.size,)), dtype=float)
        self.memory: dict[str, NDArray] = {}
        self.rows = 0
        self.last = 0
        self.state: State | None = None
        self.part: Any = ...
        self.filled = 0
        self.some_ended = False
        self.pressed: list[int] = []

    def advance(self, part: Any, start: Any, optimizer: Any, stop: Any, meter: Any, number: int, chunks: int) -> None:
        """Run one chunk of replicates through all its steps."""
        system = self.system if part is ... else self.system.replicates(part)
        at, recorder = self.recorder.at, self.recorder
        ended, how = self.ended_at[part], self.how[part]
        self.part, self.state, row, first, complete = part, None, 0, self.origin, False
        over, self.some_ended = False, False
        finite = (lambda loss: np.isfinite(loss).all()) if self.lead else math.isfinite  # a fifth of the time on a scalar
        try:
            for state in iterate(system, optimizer, start=start):
                self.state = state
                done, loss = state.step - first, state.cache.loss
                if not finite(loss) and self._end(~np.isfinite(loss), "diverged"):
                    self.blame = self.blame or self._first_not_finite(state)
                if stop is not None:
                    self._end(stop(state), "stopped")
                if self.some_ended:
                    over = (ended >= 0).all()
                if over and not self.lead and how == "diverged":
                    pass  # a single run ends before the row that is not finite
                elif over and not self.lead:
                    recorder.write_last(row, done, state)
                    row += 1
                elif done == at[row]:
                    recorder.write(row, state, part)
                    if self.some_ended:
                        over_now = (how == "diverged") | (how == "stopped") & (ended < state.step)
                        if self.lead and over_now.any():  # no NaN travels silently: past its end a replicate's rows are all NaN
                            recorder.blank(row, part, over_now)
                    row += 1
                if not self.lead:
                    self.rows = row
                if meter is not None and not done & 15:
                    meter(number * self.steps + done, chunks * self.steps)
                if self.pressed:
                    raise KeyboardInterrupt
                if over or done == self.steps:
                    break
            complete = True
        finally:
            if self.state is not None:
                self._keep(ended < 0)
                if not complete:
                    ended[ended < 0] = self.state.step
            if self.lead:
                recorder.fill(row, part)
                self.rows = len(at) if complete else max(self.rows, row)
                self.filled = part.stop
        if meter is not None:
            meter((number + 1) * self.steps, chunks * self.steps)

    def _end(self, new: Any, how: str) -> bool:
        """Note how replicates of the chunk ended and freeze them there: the others go on. False if none is new."""
        assert self.state is not None
        ended = self.ended_at[self.part]
        new = np.broadcast_to(np.asarray(new, dtype=bool), ended.shape) & (ended < 0)
        if not new.any():
            return False
        self._keep(new)
        ended[new] = self.state.step
        self.how[self.part][new] = how
        self.some_ended = True
        return True

    def _first_not_finite(self, state: State) -> str:
        for name, observable in self.recorder.observables.items():
            if not np.isfinite(observable.read(state.views, state.cache)).all():
                return name
        return "train_loss"

    def _keep(self, which: NDArray) -> None:
        """Take over the present state of some replicates of the chunk."""
        state = self.state
        if state is None or not which.any():
            return
        self.final[self.part][which] = state.params[which]
        self.underflow_at[self.part][which] = state.underflow_at[which]
        for name, a in state.optimizer_state.items():
            if not name.startswith("_"):
                self.memory.setdefault(name, np.zeros(self.final.shape))[self.part][which] = a[which]
        self.last = max(self.last, state.step)

    def trajectory(self, status: str = "") -> Trajectory:
        rows = self.rows
        if self.lead and self.filled < self.lead[0]:
            self.recorder.fill(0, slice(self.filled, None))
            self.ended_at[self.filled :] = self.origin
        arrays, dims, sparser = self.recorder.arrays(rows)
        at = self.recorder.at[:rows] + self.origin
        sparser = {name: steps + self.origin for name, steps in sparser.items()}
        diverged = self.how == "diverged"
        count = "" if not self.lead else f" in {int(diverged.sum())} of {self.lead[0]} replicates"
        if not status:
            status = "diverged" if diverged.any() else "stopped" if (self.how == "stopped").any() else "finished"
        first = int(self.ended_at[self.how != ""].min()) if (self.how != "").any() else -1
        message = {
            "finished": f"ran {self.steps} steps",
            "stopped": f"stopped at step {first} by the stopping rule",
            "diverged": f"{self.blame} stopped being finite at step {first}{count}: try a smaller lr",
            "interrupted": f"interrupted after step {self.last}",
        }[status]
        return Trajectory(
            at=at, arrays=arrays, dims=dims, constants=dict(self.system.constants), status=status, message=message,
            ended_at=self.ended_at, underflow_at=self.underflow_at, final=self.final, optimizer_state=self.memory,
            last_step=self.last, versions={"dynsim": __version__, "numpy": np.__version__},
            provenance={**self.system.provenance, "optimizer": describe(self.optimizer), "steps": self.steps}, sparser=sparser,
        )
