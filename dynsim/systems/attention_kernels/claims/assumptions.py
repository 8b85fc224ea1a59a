"""Assumptions that several claims share, and the ways their negative controls break a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Inconclusive
from ..queries.examples import CONSTRUCTIONS
from ..reading import Reading, reading
from ..settings import Example, Regression

__all__ = [
    "Control", "DESCENT", "NORMAL_TARGETS", "ONE_OUTPUT", "OWN_TARGET", "about_examples", "about_regression", "also", "altered",
    "broken", "is_descent", "trains",
]

Control = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def is_descent(r: Reading) -> bool:
    """Whether a run is of gradient descent at a constant rate without momentum, or of gradient flow."""
    try:
        r.lr  # noqa: B018
    except Inconclusive:
        return False
    return True


def about_regression(text: str, met: Callable[[Reading], Any] = lambda r: True) -> Assumption:
    """Return an assumption that only runs of random data can meet; `met` is not asked of others."""
    return Assumption(text, lambda e: isinstance(reading(e).setting, Regression) and bool(met(reading(e))))


def also(text: str, met: Callable[[Reading], Any]) -> Assumption:
    """Return a further condition on runs of random data; of other runs, which miss the first condition already, it is not asked."""
    return Assumption(text, lambda e: not isinstance(reading(e).setting, Regression) or bool(met(reading(e))))


def about_examples(tasks: tuple[str, ...], text: str = "", met: Callable[[Reading], Any] = lambda r: True) -> Assumption:
    """Return an assumption that only runs of these examples can meet; `met` is not asked of others."""

    def is_met(evidence: Any) -> bool:
        r = reading(evidence)
        return isinstance(r.setting, Example) and r.setting.task in tasks and bool(met(r))

    return Assumption(text or f"task {' or '.join(tasks)}", is_met)


def trains(*kernels: str) -> Assumption:
    """Return the assumption that a run is of one of these kernels."""
    return Assumption(f"the run is of {' or '.join(kernels)}", lambda e: bool(set(kernels) & set(reading(e).kernels)))


def _own(r: Reading) -> bool:
    made = CONSTRUCTIONS[r.setting.task]
    return r.setting.y == made.y and made.low <= r.setting.low and r.setting.high <= made.high


DESCENT = Assumption("gradient descent at a constant rate without momentum, or gradient flow", lambda e: is_descent(reading(e)))
ONE_OUTPUT = also(
    "one output, no pairs of heads, 2 <= n <= H d + 1, 0.1 <= qk_scale <= 3: similarities are neither equal nor one-hot",
    lambda r: r.setting.d_o == 1 and not r.setting.paired and 2 <= r.setting.n <= r.setting.H * r.setting.d + 1
    and 0.1 <= r.setting.qk_scale <= 3.0,
)
NORMAL_TARGETS = also("normal targets: those of a teacher can be fitted", lambda r: r.setting.targets == "normal")
OWN_TARGET = Assumption(
    "target and range of starts are those of the construction", lambda e: not isinstance(reading(e).setting, Example) or _own(reading(e))
)


def broken(**changes: Callable[[Reading], NDArray]) -> Control:
    """Return a negative control: the same run with some recorded quantities replaced by wrong ones."""

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        run, r = evidence["run"], reading(evidence)
        wrong = {name: change(r) for name, change in changes.items() if name in run}
        return {**evidence, "run": dataclasses.replace(run, arrays={**run.arrays, **wrong})}

    return control


def altered(**changes: Callable[[Reading], Any]) -> Control:
    """Return a negative control: the same run with some numbers noted at its start replaced by wrong ones."""

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        run, r = evidence["run"], reading(evidence)
        wrong = {name: np.asarray(change(r)) for name, change in changes.items() if name in run.constants}
        return {**evidence, "run": dataclasses.replace(run, constants={**run.constants, **wrong})}

    return control
