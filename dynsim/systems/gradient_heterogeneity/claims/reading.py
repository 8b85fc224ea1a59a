"""What claims about one run read off it, the kinds of runs they are about, and the ways their negative controls break a run.

The first assumption of a claim says what kind of run it is about. On a run of another kind its measure raises `AnotherKind`, so that no
number of it is told; where a size, a rate or the start is unmet the number stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import run_claims
from ....claims import AnotherKind, Assumption, Inconclusive
from ....optimizers.schedules import SCHEDULES
from ....run_claims import together
from ....trajectory import Trajectory
from ..settings import Setting

__all__ = ["Reading", "altered", "assuming", "broken", "reading", "reading_about"]

class Reading:
    """A run of this system, of whichever of its rooms."""

    def __init__(self, run: Trajectory) -> None:
        self.run = run

    @cached_property
    def setting(self) -> Any:
        """The setting that the run was made from; None of a system that was put together by hand."""
        found = self.run.provenance.get("setting")
        return None if found is None else Setting.from_dict(found)

    @property
    def task(self) -> str:
        """Task of the setting; empty without one."""
        return "" if self.setting is None else self.setting.task

    @property
    def rule(self) -> Mapping[str, Any]:
        """What the run says about its update rule; empty if nothing."""
        return self.run.provenance.get("optimizer", {})

    @property
    def momentum(self) -> float:
        """Of the rule; 0 if it has none."""
        return float(self.rule.get("momentum", 0.0))

    def follows(self, name: str, *, momentum: bool = False) -> bool:
        """Whether the rule has this name, does not clip, and has no momentum unless that is allowed."""
        return self.rule.get("rule") == name and not self.rule.get("clip") and (momentum or not self.momentum)

    @cached_property
    def rates(self) -> NDArray:
        """Rate of every step made, shape (last step,); Inconclusive if the run does not say it as a number or a schedule."""
        lr, steps = self.rule.get("lr"), int(self.run.last_step)
        if self.run.clock == "step" and isinstance(lr, (int, float)):
            return np.full(steps, float(lr))
        if self.run.clock == "step" and isinstance(lr, Mapping) and lr.get("schedule") in SCHEDULES:
            rate = SCHEDULES[lr["schedule"]](**{name: value for name, value in lr.items() if name != "schedule"})
            return np.array([rate(step) for step in range(steps)])
        raise Inconclusive("the rates of the steps are not known: the rule has none, or a function's")

    def together(self, *names: str) -> tuple[NDArray, ...]:
        """Return the steps at which all of these were recorded, the start first, and the quantities there; see `run_claims`."""
        return together(self.run, *names)

    def every_step(self, *names: str) -> tuple[NDArray, ...]:
        """Return quantities at all steps from the start; Inconclusive if one was not recorded at each."""
        steps, *found = self.together(*names)
        if self.run.clock != "step" or np.any(np.diff(steps) != 1):
            raise Inconclusive(f"{', '.join(names)} must be recorded at every step from the start: set every=1")
        return tuple(found)

    def constant(self, name: str) -> NDArray:
        """Return what the system noted at its start; Inconclusive if it did not."""
        if name not in self.run.constants:
            raise Inconclusive(f"the run has no {name}: its system does not note it")
        return self.run.constants[name]

    @property
    def end(self) -> str:
        """Where the record ends."""
        return f"{self.run.clock} {self.run.at[-1]:g}"


def reading(evidence: Any) -> Reading:
    """Return the reading of the run in the evidence."""
    return Reading(evidence["run"])


def assuming(text: str, met: Callable[[Reading], Any]) -> Assumption:
    """Return an assumption on a run's reading."""
    return Assumption(text, lambda e: bool(met(reading(e))))


def reading_about(kind: Assumption, evidence: Any) -> Reading:
    """Return the reading of a run of a kind; of another, raise AnotherKind."""
    r = reading(evidence)
    if not kind.met(evidence):
        raise AnotherKind(f"it is about other runs, {kind.text}; this one is of {f'task {r.task!r}' if r.task else 'no setting'}")
    return r


broken, altered = partial(run_claims.broken, reading), partial(run_claims.altered, reading)
"""Negative controls: the same run with some recorded quantities, or numbers noted at its start, replaced by wrong ones."""
