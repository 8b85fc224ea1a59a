"""Studies: sweeps that together are the evidence for claims that no single run can show, and runs that figures show beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .experiment import Experiment
from .progress import Meter
from .sweep import Table, sweep

__all__ = ["Plan", "Study"]


@dataclass(frozen=True)
class Plan:
    """A sweep that is yet to be made.

    Parameters
    ----------
    experiment : Experiment
        What is varied.
    over : mapping, sequence of mappings, or design
        Points, as `dynsim.sweep` takes them.
    seeds : int
        Seeds of each point, >= 1.
    measure : tuple of str or Measure
        What to read off each run.
    doc : str
        What it is for, in a sentence.
    """

    experiment: Experiment
    over: Any
    seeds: int
    measure: tuple[Any, ...]
    doc: str

    def run(self, *, seeds: int | None = None, **options: Any) -> Table:
        """Make the sweep and return its table.

        Parameters
        ----------
        seeds : int, optional
            Seeds of each point; default the plan's own number.
        **options
            Of `dynsim.sweep`, such as ``workers=1`` or ``out="sweeps/mine"``.
        """
        return sweep(self.experiment, self.over, seeds=self.seeds if seeds is None else seeds, measure=self.measure, **options)


@dataclass(frozen=True)
class Study:
    """Named sweeps; what `run` returns is evidence for ``check``.

    Parameters
    ----------
    title : str
        What it shows, a line.
    plans : mapping of str to Plan
        Evidence entry to the sweep that it is.
    shown : mapping of str to Experiment
        Name to a single run, recorded in full, that figures and stage tables show.
    about : mapping
        What else should be kept with it, JSON-ready: how rates were chosen, for example.
    """

    title: str
    plans: Mapping[str, Plan] = field(default_factory=dict)
    shown: Mapping[str, Experiment] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self, *, out: str | os.PathLike | None = None, seeds: int | None = None, executor: Executor | None = None,
        workers: int | None = None, retry: bool = False, progress: Callable[[str], Any] | bool | None = None,
        done: Mapping[str, Table] | None = None,
    ) -> dict[str, Table]:
        """Make all sweeps, one after the other.

        Parameters
        ----------
        out : path, optional
            Folder that gets a sweep's folder for each; the same call goes on where it was stopped.
        seeds : int, optional
            Seeds at every point; default each plan's own number.
        executor, workers, retry
            See `sweep`.
        progress : bool or callable, optional
            True draws a meter a sweep on stderr; a callable maps the name of a sweep to what `sweep` takes.
        done : mapping of str to Table, optional
            Sweeps that were made already.

        Returns
        -------
        dict of str to Table
            By evidence entry, in the order of the plans.
        """
        tables = {}
        for name, plan in self.plans.items():
            if done is not None and name in done:
                tables[name] = done[name]
                continue
            meter = progress(name) if callable(progress) else Meter(f"{name}: cells") if progress else None
            tables[name] = plan.run(
                seeds=seeds, out=None if out is None else Path(out) / name, executor=executor, workers=workers, retry=retry, progress=meter
            )
        return tables
