"""What runs of every kind share: their live state, how they are stopped, interrupted and gone on with."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .optimizers import has_rate
from .system import System
from .trajectory import Trajectory

__all__ = ["Interrupted", "LossBelow", "State", "check_continues", "ctrl_c_between_steps", "given_start"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a run; `trajectory` holds everything recorded so far."""

    def __init__(self, trajectory: Trajectory) -> None:
        super().__init__(trajectory.message)
        self.trajectory = trajectory


@dataclass
class State:
    """A live state of a run: its arrays are overwritten by the next step, so copy what you keep.

    Attributes
    ----------
    step : int or float
        Updates made so far; in a flow, the time.
    params : ndarray, shape (*replicates, P)
    views : SimpleNamespace
        Named views on `params`.
    cache : SimpleNamespace
        Result of the forward pass at `params`.
    optimizer_state : dict of str to ndarray
    underflow_at : ndarray of int, shape replicates
        First step with an underflowed entry of the gradient; -1 if none so far.
    """

    step: Any  # int, or float in a flow
    params: NDArray
    views: SimpleNamespace
    cache: SimpleNamespace
    optimizer_state: dict[str, NDArray]
    underflow_at: NDArray


@dataclass(frozen=True)
class LossBelow:
    """A stopping rule: the loss is at most `level`, > 0, or the rule `besides` says so.

    In a flow the time at which the loss gets there is located between the recorded ones.
    """

    level: float
    besides: Callable[[State], Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.level, bool) or not isinstance(self.level, (int, float, np.integer, np.floating)) or not 0 < self.level < np.inf:
            raise ValueError(f"level={self.level!r}: the loss to stop at must be a finite number > 0")

    def __call__(self, state: State) -> Any:
        """Tell whether a state is the last."""
        below = state.cache.loss <= self.level
        return below if self.besides is None else below | self.besides(state)

    def crossing(self, cache: SimpleNamespace) -> float:
        """Return a number that falls through 0 where the loss reaches the level."""
        return float(cache.loss) / self.level - 1.0


def given_start(start: NDArray | Trajectory | None, system: System) -> NDArray | None:
    """Return the parameters to start from, None for the system's own; a ValueError says what is wrong with them."""
    given = start.final if isinstance(start, Trajectory) else start
    if given is not None and np.shape(given) != np.shape(system.start):
        raise ValueError(f"start has shape {np.shape(given)}; it must have shape {np.shape(system.start)} for this system")
    if given is not None and not np.isfinite(given).all():
        raise ValueError("start has entries that are not finite")
    return given


def check_continues(start: Trajectory, system: System, optimizer: Any) -> None:
    """Raise a ValueError unless `start` is a run of this system whose replicates are at one step and whose rule had the same memory."""
    fix = "to begin anew from its parameters, pass start=run.final"
    ends = np.where(start.ended_at < 0, start.last_step, start.ended_at)
    if len(np.unique(ends)) > 1:
        raise ValueError(f"start has replicates at different steps, so it cannot be gone on with: run it again; {fix}")
    for name in ("system", "engine", "setting", "seed", "logit_scale"):
        theirs, ours = start.provenance.get(name), system.provenance.get(name)
        if theirs != ours:
            raise ValueError(f"start is a run of another system: its {name} is {theirs!r}, this one's {ours!r}; {fix}")
    made = optimizer.init(np.zeros_like(system.start), system.step_scale) if has_rate(optimizer) else {}
    memory = {name for name in made if not name.startswith("_")}
    if start.clock != ("step" if has_rate(optimizer) else "time"):
        raise ValueError(f"start is recorded in {start.clock}s, which {optimizer!r} does not count; {fix}")
    if memory != set(start.optimizer_state):
        raise ValueError(
            f"start was made by a rule that remembers {sorted(start.optimizer_state) or 'nothing'}, {optimizer!r} remembers "
            f"{sorted(memory) or 'nothing'}; {fix}"
        )


@contextmanager
def ctrl_c_between_steps() -> Iterator[list[int]]:
    """Yield a list that Ctrl-C fills, so that no update is left half made; a handler that is not Python's own stays."""
    pressed: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
