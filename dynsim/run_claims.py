"""What claims about one run are made of: quantities recorded at the same steps, kinds of runs, and controls that break a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .claims import Assumption, Inconclusive
from .trajectory import Trajectory

__all__ = ["Control", "altered", "broken", "given", "together"]

Control = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def together(run: Trajectory, *names: str) -> tuple[NDArray, ...]:
    """Return the steps or times at which all of these were recorded, the start first, and the quantities there.

    Parameters
    ----------
    run : Trajectory
        A run, with or without replicates.
    *names : str
        Its recorded quantities.

    Returns
    -------
    tuple of ndarray
        Steps, shape (T,), and then each quantity, T entries along its first axis.

    Raises
    ------
    Inconclusive
        If one was not recorded, if the record does not begin at the start or if it has nothing but the start.
    """
    steps = run.at
    for name in names:
        if name not in run:
            raise Inconclusive(f"{name} not recorded: add it to record=")
        steps = np.intersect1d(steps, run.steps(name))
    if len(steps) < 2 or steps[0] != 0:
        raise Inconclusive(f"{', '.join(names)} must be recorded at the start and later, at the same steps")
    return steps, *(run[name][np.searchsorted(run.steps(name), steps)] for name in names)


def given(kind: Assumption, *further: Assumption) -> tuple[Assumption, ...]:
    """Return a kind of runs and further conditions on these, which are not asked of runs of other kinds.

    Parameters
    ----------
    kind : Assumption
        Met by runs of the kind.
    *further : Assumption
        Looked at where `kind` is met; of other runs they would have no meaning.
    """

    def of_kind(condition: Assumption) -> Assumption:
        return Assumption(condition.text, lambda e: not kind.met(e) or condition.met(e))

    return (kind, *(of_kind(condition) for condition in further))


def broken(reading: Callable[[Any], Any], /, **changes: Callable[[Any], NDArray]) -> Control:
    """Return a negative control: the same run with some recorded quantities replaced by wrong ones, made of its reading.

    Parameters
    ----------
    reading : callable
        Maps the evidence to whatever the changes need, as the claim itself reads it.
    **changes : callable
        Recorded quantity to what makes the wrong one of the reading, of the same shape; one that was not recorded is left out.
    """

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        run, r = evidence["run"], reading(evidence)
        wrong = {name: change(r) for name, change in changes.items() if name in run}
        return {**evidence, "run": replace(run, arrays={**run.arrays, **wrong})}

    return control


def altered(reading: Callable[[Any], Any], /, **changes: Callable[[Any], Any]) -> Control:
    """Return a negative control: the same run with some numbers noted at its start replaced by wrong ones, made of its reading.

    Parameters
    ----------
    reading : callable
        Maps the evidence to whatever the changes need, as the claim itself reads it.
    **changes : callable
        Name among the run's constants to what makes the wrong one of the reading.
    """

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        run, r = evidence["run"], reading(evidence)
        wrong = {name: np.asarray(change(r)) for name, change in changes.items() if name in run.constants}
        return {**evidence, "run": replace(run, constants={**run.constants, **wrong})}

    return control
