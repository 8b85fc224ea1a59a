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
    """Ctrl-C in the middle of a run.

    Parameters
    ----------
    trajectory : Trajectory
        Everything recorded so far, with status "interrupted"; kept as an attribute of this name. ``simulate(..., start=trajectory)``
        goes on from it.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        super().__init__(trajectory.message)
        self.trajectory = trajectory


@dataclass
class State:
    """A live state of a run: its arrays are overwritten by the next step, so copy what you keep.

    Parameters
    ----------
    step : int or float
        Updates made so far; in a flow, the time.
    params : ndarray, shape (*replicates, P)
        The flat vector of all parameters.
    views : SimpleNamespace
        Named views on `params`.
    cache : SimpleNamespace
        Result of the forward pass at `params`.
    optimizer_state : dict of str to ndarray
        The rule's memory, as its `init` made it; names that begin with an underscore are buffers.
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
    """A stopping rule for `simulate`: the loss is at most a level.

    In a flow the time at which the loss gets there is located between the recorded ones.

    Parameters
    ----------
    level : float
        Training loss to stop at, finite and > 0.
    besides : callable, optional
        Another stopping rule, which maps the live state to a truth value, or to one a replicate: the run ends when either says so.

    Raises
    ------
    ValueError
        If the level is not a finite number > 0.

    Examples
    --------
    >>> from dynsim import LossBelow, SignGD, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0)
    >>> run = simulate(system, SignGD(lr=0.01), steps=1000, stop=LossBelow(0.1))
    >>> run.status, bool(run["train_loss"][-1] <= 0.1 < run["train_loss"][-2])
    ('stopped', True)
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
        """Return a number that falls through 0 where the loss reaches the level: loss / level - 1.

        Parameters
        ----------
        cache : SimpleNamespace
            Result of the forward pass of a system without replicates.
        """
        return float(cache.loss) / self.level - 1.0


def given_start(start: NDArray | Trajectory | None, system: System) -> NDArray | None:
    """Return the parameters to start from, None for the system's own.

    Parameters
    ----------
    start : ndarray, Trajectory or None
        As `dynsim.simulate` takes it; of a run, its last parameters.
    system : System
        Its start has the shape they must have.

    Raises
    ------
    ValueError
        If they have another shape, or an entry that is not finite.
    """
    given = start.final if isinstance(start, Trajectory) else start
    if given is not None and np.shape(given) != np.shape(system.start):
        raise ValueError(f"start has shape {np.shape(given)}; it must have shape {np.shape(system.start)} for this system")
    if given is not None and not np.isfinite(given).all():
        raise ValueError("start has entries that are not finite")
    return given


def check_continues(start: Trajectory, system: System, optimizer: Any) -> None:
    """Raise a ValueError unless a run can be gone on with.

    Parameters
    ----------
    start : Trajectory
        The run.
    system : System
        The system to go on with: by its provenance the one that the run is of.
    optimizer : Optimizer or GradientFlow
        The rule to go on with, which must have the same memory; its rate may be another.

    Raises
    ------
    ValueError
        If the run is of another system, its replicates are at different steps, it counts time where the rule counts steps, or its rule
        remembers other arrays.
    """
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
