"""Gradient flow: the velocity of a system through scipy's solvers, step by step, read at chosen times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import __version__ as scipy_version

from ._version import __version__
from .optimizers import GradientFlow, describe
from .progress import Progress
from .recording import Record, Recorder, recorded_times
from .running import Interrupted, State, check_continues, ctrl_c_between_steps, given_start
from .system import System
from .trajectory import Trajectory

__all__ = ["FlowFailed", "flow_states", "run_flow", "velocity_of"]

Velocity = Callable[[SimpleNamespace, SimpleNamespace, SimpleNamespace], None]


class FlowFailed(ArithmeticError):
    """The solver gave up; the message says why."""


def velocity_of(system: System) -> Velocity:
    """Return the velocity of a system's gradient flow: its own, or else -step_scale times its gradient.

    Parameters
    ----------
    system : System
        With a `velocity` of its own or a `backward`.

    Returns
    -------
    callable
        Called with named views on the parameters, the cache of a forward pass there, and views `out` to write d params/dt to.
    """
    own: Velocity | None = getattr(system, "velocity", None)
    if own is not None:
        return own
    scale = system.layout.views(np.array(np.broadcast_to(system.step_scale, (system.layout.size,)), dtype=float))

    def velocity(params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace) -> None:
        system.backward(params, cache, out)
        for name in system.layout.shapes:
            block = getattr(out, name)
            block *= getattr(scale, name)
            np.negative(block, out=block)

    return velocity


def flow_states(
    system: System, rule: GradientFlow, start: NDArray, until: float, at: NDArray,
    crossing: Callable[[SimpleNamespace], float] | None = None, pressed: Sequence[int] = (),
) -> Iterator[tuple[float, NDArray, bool]]:
    """Yield (time, params, last) at the times `at` in order, as `scipy.integrate.solve_ivp` would return them, without keeping them.

    Parameters
    ----------
    system : System
        Without replicates: the solver chooses its steps for a single run.
    rule : GradientFlow
        Solver and tolerances.
    start : ndarray, shape (P,)
        Parameters at time 0.
    until : float
        Time to integrate, from 0; > 0.
    at : ndarray, shape (T,)
        Ascending times in [0, until]; the first is 0.
    crossing : callable, optional
        Maps a forward cache to a number. Where it first falls to 0 or below at the end of a solver's step, the time in that step at which
        it is 0 is located, yielded, and is the last.
    pressed : sequence
        Ctrl-C ends the flow after a solver's step if this is not empty.

    Raises
    ------
    KeyboardInterrupt
        If `pressed` is not empty.
    FlowFailed
        If the solver cannot go on, or the velocity stops being finite.
    """
    from scipy import integrate  # here, because it takes long and only flows need it
    from scipy.optimize import brentq

    from .dop853 import LeanDOP853

    layout, velocity = system.layout, velocity_of(system)

    def into(_time: float, params: NDArray, out: NDArray) -> None:
        views = layout.views(params)
        velocity(views, system.forward(views), layout.views(out))

    def rate(time: float, params: NDArray) -> NDArray:
        out = np.empty(len(params))
        into(time, np.ascontiguousarray(params), out)  # Radau and BDF pass columns of a matrix
        return out

    def below(params: NDArray) -> float:
        assert crossing is not None
        return crossing(system.forward(layout.views(params)))

    yield 0.0, start, crossing is not None and below(start) <= 0.0
    row = 1
    if row == len(at):
        return
    tolerances = {"rtol": rule.rtol, "atol": rule.atol}
    if rule.method == "DOP853":
        solver: Any = LeanDOP853(into, 0.0, start, until, **tolerances)
    else:
        solver = getattr(integrate, rule.method)(rate, 0.0, start, until, **tolerances)
    while solver.status == "running":
        try:
            message = solver.step()
        except (ValueError, ArithmeticError) as error:  # implicit solvers raise where a velocity is not finite
            raise FlowFailed(str(error)) from None
        if pressed:
            raise KeyboardInterrupt
        stuck = solver.t == solver.t_old  # LSODA says so in no other way, and would go on for ever
        if solver.status == "failed" or stuck or not np.isfinite(solver.y).all():
            raise FlowFailed(message or ("its steps have shrunk to nothing" if stuck else "the parameters are not finite"))
        dense, end, last = None, solver.t, False
        if crossing is not None and below(solver.y) <= 0.0:
            dense, last = solver.dense_output(), True
            if below(dense(solver.t_old)) <= 0.0:  # a solver's interpolation meets its steps to rounding only
                end = np.nextafter(solver.t_old, solver.t)
            elif below(dense(solver.t)) < 0.0:
                end = brentq(lambda time, inside: below(inside(time)), solver.t_old, solver.t, (dense,), xtol=1e-12 * solver.t, rtol=1e-12)
        passed = at[row : np.searchsorted(at, end, side="right")]
        row += len(passed)
        for time, params in zip(passed, _inside(solver, passed), strict=True):
            yield float(time), params, last and time == end
        if last:
            assert dense is not None
            yield float(end), dense(end), True
            return


def _inside(solver: Any, times: NDArray) -> Iterator[NDArray]:
    """Yield the parameters at times within the solver's last step, its end included."""
    within = times[times < solver.t]
    if len(within):
        yield from solver.inside(within) if hasattr(solver, "inside") else map(solver.dense_output(), within)
    if len(within) < len(times):
        yield solver.y


def run_flow(
    system: System, rule: GradientFlow, steps: Any, until: Any, at: Any, record: Record, every: int, start: Any, stop: Any,
    meter: Progress | None, max_bytes: float | None,
) -> Trajectory:
    """Integrate gradient flow and record it: what `dynsim.simulate` does with a `GradientFlow`.

    Parameters
    ----------
    system, rule, steps, until, at, record, every, start, stop, meter, max_bytes
        As `dynsim.simulate` takes them, where the rule is called `optimizer` and the meter `progress`. A flow has no steps: `steps` must
        be None and `every` 1. The meter is a callable or None.

    Returns
    -------
    Trajectory
        With the clock "time"; its status may also be "failed", where the solver could not go on.

    Raises
    ------
    ValueError
        For steps or a spacing of steps, a time that is not finite and > 0, a system with replicates, a start that does not fit, or a
        quantity that the system does not have.
    MemoryError
        If the record does not fit, with its size and the way out.
    Interrupted
        On Ctrl-C; carries the trajectory so far.
    """
    if steps is not None or every != 1:
        raise ValueError(f"{'steps' if steps is not None else 'every'} is for rules with steps: gradient flow takes until= and times at=")
    number = isinstance(until, (int, float, np.integer, np.floating)) and not isinstance(until, bool)
    if not number or not 0 < until < np.inf:
        raise ValueError(f"until={until!r}: gradient flow needs a finite time > 0")
    if np.ndim(system.start) > 1:
        raise ValueError("a flow is a single run, as its solver chooses steps of its own: run replicates one by one, system.replicates(i)")
    given = given_start(start, system)
    recorder = Recorder(system, record, recorded_times(float(until), at), max_bytes)
    origin = 0.0
    if isinstance(start, Trajectory):
        check_continues(start, system, rule)
        origin = float(start.last_step)
    run = _FlowRun(recorder, system, rule, float(until), origin)
    if given is not None:
        run.final[...] = given
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"), ctrl_c_between_steps() as run.pressed:
        try:
            run.advance(stop, meter)
        except KeyboardInterrupt:
            run.pressed.clear()
            raise Interrupted(run.trajectory("interrupted")) from None
        return run.trajectory()


class _FlowRun:
    """The bookkeeping of one flow: how far it came and how it ended."""

    def __init__(self, recorder: Recorder, system: System, rule: GradientFlow, until: float, origin: float) -> None:
        self.recorder, self.system, self.rule, self.until, self.origin = recorder, system, rule, until, origin
        self.final = np.array(system.start, dtype=float)
        self.rows, self.reached, self.status, self.why = 0, 0.0, "finished", ""
        self.pressed: list[int] = []

    def advance(self, stop: Any, meter: Progress | None) -> None:
        """Integrate to the end, writing every row as its time is passed."""
        at, layout = self.recorder.at, self.system.layout
        crossing = getattr(stop, "crossing", None)
        states = flow_states(self.system, self.rule, self.final.copy(), self.until, at, crossing, self.pressed)
        try:
            for time, params, last in states:
                views = layout.views(params)
                cache = self.system.forward(views)
                if not math.isfinite(cache.loss):
                    self.status, self.why = "diverged", "train_loss stopped being finite"
                    return
                state = State(self.origin + time, params, views, cache, {}, np.array(-1))
                self.reached, self.final[...] = time, params
                if (stop is not None and stop(state)) or last:
                    self.status = "stopped"
                    self.recorder.write_last(self.rows, time, state)
                else:
                    self.recorder.write(self.rows, state, ...)
                self.rows += 1
                if meter is not None:
                    meter(min(self.rows, len(at) - 1), len(at))
                if self.status == "stopped":
                    break
        except FlowFailed as failed:
            self.status, self.why = "failed", str(failed)
        if meter is not None:
            meter(len(at), len(at))

    def trajectory(self, status: str = "") -> Trajectory:
        """Return what was recorded."""
        arrays, dims, sparser = self.recorder.arrays(self.rows)
        status, here = status or self.status, self.origin + self.reached
        message = {
            "finished": f"integrated to time {here:g}",
            "stopped": f"stopped at time {here:g} by the stopping rule",
            "diverged": f"{self.why} after time {here:g}",
            "failed": f"the solver {self.rule.method} gave up after time {here:g} ({self.why}): try other tolerances or another method",
            "interrupted": f"interrupted after time {here:g}",
        }[status]
        return Trajectory(
            at=self.recorder.at[: self.rows] + self.origin, arrays=arrays, dims=dims, constants=dict(self.system.constants), status=status,
            message=message, ended_at=np.array(-1.0 if status == "finished" else here), underflow_at=np.array(-1), final=self.final,
            optimizer_state={}, last_step=here, versions={"dynsim": __version__, "numpy": np.__version__, "scipy": scipy_version},
            provenance={**self.system.provenance, "optimizer": describe(self.rule), "until": self.until},
            sparser={name: times + self.origin for name, times in sparser.items()},
        )
