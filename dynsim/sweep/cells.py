"""One point of a sweep: its cells, a seed each, as rows of plain numbers and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..experiment import Experiment
from ..measures import Measure, Watched, bounded_steps, seldom
from ..recording import Recorder
from ..registry import system_module
from ..simulate import CHUNK, chunks, simulate
from ..system import System

__all__ = ["Row", "run_cells"]

Row = dict[str, Any]

RECORD_BYTES = 256 * 2**20
"""Memory for the records of the replicates that run together, where a measure asks for a record."""


def run_cells(
    experiment: Experiment, measures: Sequence[Measure], steps: int | None, changes: Mapping[str, Any], seeds: Sequence[int]
) -> list[Row]:
    """Run one point for some seeds and return a row each, in the order of the seeds.

    A row depends on its own point and seed only, bit for bit: not on the other seeds, nor on the process.

    Parameters
    ----------
    experiment : Experiment
    measures : sequence of Measure
    steps : int or None
        Horizon; None for what the system says is long enough at this point (`horizon`), else the experiment's steps.
    changes : mapping of str to value
        See `Experiment.vary`.
    seeds : sequence of int
        They run together where the system can carry them.

    Returns
    -------
    list of dict
        ``error`` ("" if there is none), ``steps`` (the horizon) and, where there is no error, the measures' columns. Nothing but Ctrl-C
        is raised: what goes wrong in a cell is its `error`.
    """
    try:
        varied = experiment.vary(changes)
        if "steps" not in changes:
            varied = varied.replace(steps=_horizon(varied) if steps is None else steps)
        rows = _together(varied, measures, seeds)
    except Exception as error:  # a failing point is a row with its error; the sweep goes on
        if len(seeds) > 1:  # perhaps only one of them fails
            return [row for seed in seeds for row in run_cells(experiment, measures, steps, changes, [seed])]
        return [{"error": f"{type(error).__name__}: {error}", "steps": 0}]
    return rows


def _horizon(experiment: Experiment) -> int:
    """Return what the system says is long enough, or else the experiment's steps."""
    predicted = getattr(system_module(experiment.system), "horizon", None)
    found = None if predicted is None else predicted(experiment.setting, experiment.optimizer)
    return experiment.steps if found is None else int(found)


def _together(experiment: Experiment, measures: Sequence[Measure], seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = [{} for _ in seeds]
    record = tuple(dict.fromkeys(name for measure in measures for name in measure.record))
    for positions, system in _systems(experiment, seeds):
        for part in _parts(system, experiment.steps, record):
            chosen = positions if part is ... else positions[part]
            one = system if part is ... else system.replicates(part)
            for position, row in zip(chosen, _measured(experiment, one, measures, record), strict=True):
                rows[position] = row
    return rows


def _systems(experiment: Experiment, seeds: Sequence[int]) -> Iterable[tuple[list[int], System]]:
    """Yield systems that carry the seeds: batches where the system makes them, else one by one."""
    module = system_module(experiment.system)
    if hasattr(module, "batches") and experiment.optimizer.kind != "coordinatewise":  # those lump nowhere: large systems, one at a time
        yield from module.batches(experiment.setting, experiment.optimizer, list(seeds))
        return
    for position, seed in enumerate(seeds):
        yield [position], experiment.replace(seed=int(seed)).build()


def _parts(system: System, steps: int, record: tuple[str, ...]) -> list[Any]:
    """Return slices of the replicates that run together: few enough for cache and memory. The result does not depend on them."""
    if np.ndim(system.start) == 1:
        return [...]
    together = CHUNK
    if record:
        at = bounded_steps(steps)
        one = Recorder(system.replicates(slice(0, 1)), _seldom(system, record, steps), at, None)
        size = sum(store.array.nbytes for store in one.stores)
        together = int(np.clip(RECORD_BYTES // max(size, 1), 1, CHUNK))
    return list(chunks(len(system.start), system.layout.size, together))  # watches see one chunk


def _seldom(system: System, record: tuple[str, ...], steps: int) -> dict[str, int]:
    """Return the spacing of each quantity, wide where it is costly; claims say themselves what they miss."""
    return {name: seldom(steps) if system.observables[name].costly else 1 for name in record if name in system.observables}


def _measured(experiment: Experiment, system: System, measures: Sequence[Measure], record: tuple[str, ...]) -> list[Row]:
    """Run one system with its watches and return a row a replicate."""
    watched = Watched(experiment, system)
    watches = [watched.watch(measure) for measure in measures]
    run = simulate(
        system, experiment.optimizer, steps=experiment.steps, record=_seldom(system, record, experiment.steps),
        at=bounded_steps(experiment.steps) if record else [], stop=watched.see,
    )
    run = experiment.signed(run)
    columns: dict[str, Any] = {}
    if (watched.lost_at < 0).any():
        for watch in watches:
            columns.update(watch.result(run))
    rows: list[Row] = []
    for i, lost_at in enumerate(watched.lost_at.reshape(-1)):
        if lost_at >= 0:
            rows.append({"error": f"the loss stopped being finite at step {lost_at}: try a smaller lr", "steps": experiment.steps})
        else:
            values = {name: _plain(a[i] if watched.lead else a) for name, a in columns.items()}
            rows.append({"error": "", "steps": experiment.steps, **values})
    return rows


def _plain(value: Any) -> Any:
    """Return an entry of a result as a Python number, word or list of numbers."""
    value = np.asarray(value)
    return value.tolist() if value.ndim else value.item()
