"""What claims and figures read off a recorded run: quantities of one kernel, and what the run is of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...claims import Inconclusive
from ...run_claims import together
from ...trajectory import Trajectory
from .settings import Regression, Setting

__all__ = ["Reading", "reading"]


class Reading:
    """A run by kernels.

    Parameters
    ----------
    run : Trajectory
        Of this system.
    """

    def __init__(self, run: Trajectory) -> None:
        self.run = run

    @cached_property
    def setting(self) -> Any:
        """The setting that the run was made from."""
        found = self.run.provenance.get("setting")
        if found is None:
            raise Inconclusive("the run is of arrays, not of a setting")
        return Setting.from_dict(found)

    @cached_property
    def task(self) -> str:
        """Task of the setting; "arrays" of a run of arrays, which is one of regression on data that nothing is known about."""
        return "arrays" if self.run.provenance.get("setting") is None else self.setting.task

    @cached_property
    def trained(self) -> str:
        """Which of W_Q, W_K, W_V, W_O a run of regression trains, of a setting or of arrays, as letters of "QKVO"; else empty."""
        if self.task == "arrays":
            return str(self.run.provenance.get("trained", ""))
        return self.setting.trained if isinstance(self.setting, Regression) else ""

    @property
    def at(self) -> NDArray:
        """Recorded steps, or times of a flow, shape (T,)."""
        return self.run.at

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels, in the order of the first axis after time."""
        return tuple(self.run.provenance.get("axis_labels", {}).get("kernel", ()))

    def index(self, kernel: str) -> int:
        """Return the position of a kernel; Inconclusive if the run is of other kernels."""
        if kernel not in self.kernels:
            raise Inconclusive(f"the run has no {kernel}: it is of {', '.join(self.kernels)}")
        return self.kernels.index(kernel)

    def of(self, name: str, kernel: str) -> NDArray:
        """Return a recorded quantity of one kernel, (T, starts, ...)."""
        return self[name][:, self.index(kernel)]

    def __getitem__(self, name: str) -> NDArray:
        """Return a recorded quantity, (T, kernels, starts, ...); Inconclusive if it was not recorded."""
        if name not in self.run:
            raise Inconclusive(f"{name} not recorded: add it to record=")
        return self.run[name]

    def together(self, *names: str) -> tuple[NDArray, ...]:
        """Return the steps or times at which all of these were recorded, the start first, and the quantities there; see `run_claims`."""
        return together(self.run, *names)

    def constant(self, name: str) -> NDArray:
        """Return what the system noted at its start; Inconclusive if it did not."""
        if name not in self.run.constants:
            raise Inconclusive(f"the run has no {name}: it is noted for other settings or forms of the system")
        return self.run.constants[name]

    @cached_property
    def lr(self) -> float | None:
        """Learning rate of gradient descent without momentum; None for gradient flow."""
        rule = self.run.provenance.get("optimizer", {})
        if rule.get("rule") == "flow":
            return None
        if rule.get("rule") != "gd" or rule.get("momentum") or not isinstance(rule.get("lr"), (int, float)):
            raise Inconclusive("the theory is about gradient descent at a constant rate without momentum, or gradient flow")
        return float(rule["lr"])

    @property
    def end(self) -> str:
        """Where the record ends."""
        return f"{self.run.clock} {self.at[-1]:g}"

    @property
    def on(self) -> str:
        """What would settle what has not settled: more steps, unless the run could not go on."""
        return "run on" if self.run.success else self.run.message

    def every_step(self, *names: str) -> None:
        """Raise Inconclusive unless these quantities were recorded at every step from the start."""
        for name in names:
            self[name]
            steps = self.run.steps(name)
            if self.run.clock != "step" or steps[0] != 0 or np.any(np.diff(steps) != 1):
                raise Inconclusive(f"{name} was not recorded at every step from the start: set every=1")


def reading(evidence: Any) -> Reading:
    """Return the reading of a run, or of the evidence entry "run"."""
    return Reading(evidence["run"] if isinstance(evidence, Mapping) else evidence)
