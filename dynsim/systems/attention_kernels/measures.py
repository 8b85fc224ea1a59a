"""What a sweep reads off a run: means over kernels and starts at a step, and numbers of the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...measures import Column, Computed, Measure, Watched
from ...simulate import State
from ...trajectory import Trajectory
from .classifier.landscape import interior_minima, roughness
from .kernels import kernels_of
from .regression.bounds import kernel_slopes
from .regression.gram import loss_floor
from .settings import Regression, streams

__all__ = ["MEASURES", "SWEEP_MEASURES", "Mean", "Slices", "Slopes", "Start"]


@dataclass(frozen=True)
class Mean:
    """A quantity at the last or first step, the mean over starts, of a run of one kernel; NaN where the system has no such quantity.

    Parameters
    ----------
    quantity : str
    share_below : float
        If > 0, the share that lies below this instead of the mean.
    name : str
        Name of the column; default the quantity.
    first : bool
        At the first step instead of the last.
    """

    quantity: str
    share_below: float = 0.0
    name: str = ""
    first: bool = False
    record: ClassVar[tuple[str, ...]] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        """One column."""
        what = f"share of starts with {self.quantity} < {self.share_below:g}" if self.share_below else f"mean {self.quantity}"
        return {self.name or self.quantity: Column(f"{what} at the {'first' if self.first else 'last'} step")}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        name, kernels = next(iter(self.columns)), kernels_of(watched.experiment.setting.kernel)
        if len(kernels) > 1:
            raise ValueError(f"measure {name!r} would be a mean over {len(kernels)} kernels: take one a run, over kernel="
                             f"{','.join(kernel.name for kernel in kernels)}")
        return _AtStep(self.quantity, watched, 0.0 if self.first else float(watched.experiment.horizon), lambda found: {
            name: float(np.mean(found < self.share_below if self.share_below else found)),
        }, (name,))


class _AtStep:
    """Numbers that are made of one quantity at one step; NaN where the system has no such quantity, or the run does not come to it."""

    def __init__(
        self, quantity: str, watched: Watched, step: float, numbers: Callable[[NDArray], dict[str, float]], names: Iterable[str]
    ) -> None:
        self.observable = watched.system.observables.get(quantity)
        self.step, self.numbers, self.found = step, numbers, dict.fromkeys(names, np.nan)
        self.settled = self.observable is None

    def see(self, state: State) -> None:
        if not self.settled and state.step == self.step:
            assert self.observable is not None
            self.found.update(self.numbers(self.observable.read(state.views, state.cache)))
            self.settled = True

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        return {name: np.asarray(value) for name, value in self.found.items()}


START = {
    "rank": Column("rank of the Gram matrix at the start, least over kernels and starts"),
    "rank_rule": Column("the largest rank that it can have, min(H D, N n) for one output"),
    "condition": Column("least over largest eigenvalue of the Gram matrix at the start, mean over kernels and starts"),
    "floor": Column("loss that training W_V alone leaves, mean over kernels and starts"),
    "jacobian_rank": Column("rank of the token Jacobian at the start, largest over queries"),
    "pair_floor": Column("loss below which pairs of softmax heads cannot come"),
}


@dataclass(frozen=True)
class Start:
    """Numbers of the start: rank and condition of the Gram matrix, floors, rank of the token Jacobian; NaN where they do not apply."""

    record: ClassVar[tuple[str, ...]] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        """See `START`."""
        return START

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        return Computed(_start)


def _start(run: Trajectory) -> dict[str, float]:
    c, found = run.constants, dict.fromkeys(START, np.nan)
    for name in ("rank_rule", "pair_floor"):
        if name in c:
            found[name] = float(c[name])
    if "rank" in c:
        values, squares, rank, N = c["gram_eigenvalues"], c["residual_squares"], c["rank"], int(c["N"])
        found["rank"], found["condition"] = float(rank.min()), float(np.mean(values[..., -1] / values[..., 0]))
        found["floor"] = float(loss_floor(values, squares, rank, N).mean())
    if "jacobian_rank" in c:
        found["jacobian_rank"] = float(c["jacobian_rank"].max())
    return found


@dataclass(frozen=True)
class Slices:
    """Interior minima and roughness of the loss around the last weights; mean over kernels."""

    record: ClassVar[tuple[str, ...]] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        """Two columns."""
        return {"minima": Column("interior minima of the slice through the last weights"),
                "roughness": Column("root mean square of its second differences")}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        return _AtStep("surface", watched, float(watched.experiment.horizon), lambda surface: {
            "minima": float(np.mean([interior_minima(one[0]) for one in surface])),
            "roughness": float(np.mean([roughness(one[0]) for one in surface])),
        }, self.columns)


@dataclass(frozen=True)
class Slopes:
    """Steepest similarity among random weights of this scale, see `kernel_slopes`; one kernel."""

    directions: int = 400
    record: ClassVar[tuple[str, ...]] = ()

    @property
    def columns(self) -> Mapping[str, Column]:
        """One column."""
        return {"slope": Column("largest |dS| / |d(q - k)| over random weights and directions")}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        setting, seed = watched.experiment.setting, watched.experiment.seed
        if not isinstance(setting, Regression):
            raise ValueError(f"measure 'slopes' is of task 'regression', not {setting.task!r}")

        def read(run: Trajectory) -> dict[str, float]:
            rng = np.random.default_rng(streams(seed)["directions"])
            n, D, d = setting.n, setting.D, setting.d
            slopes = (
                kernel_slopes(setting.qk_scale, kernel=kernel, n=n, D=D, d=d, directions=self.directions, rng=rng)
                for kernel in kernels_of(setting.kernel)
            )
            return {"slope": max(slopes)}

        return Computed(read)


MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "outcome": (Mean("train_loss"), Mean("train_loss", name="loss_start", first=True), Mean("grad_norm")),
    "start": (Start(),),
    "slopes": (Slopes(),),
    "classes": tuple(Mean(name) for name in ("full_loss", "train_accuracy", "test_loss", "test_accuracy")),
    "slices": (Slices(),),
}
"""Measures by name."""

SWEEP_MEASURES = ("outcome",)
"""Measures when nothing is asked for."""
