"""One point of a sweep: its cells, a seed each, as rows of plain numbers and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..experiment import Experiment
from ..measures import Measure, Watched, bounded_steps, seldom
from ..recording import Recorder
from ..registry import system_module
from ..simulate import CHUNK, chunks
from ..system import System

__all__ = ["Row", "run_cells"]

Row = dict[str, Any]

RECORD_BYTES = 256 * 2**20
"""Memory for the records of the replicates that run together, where a measure asks for a record."""


def run_cells(
    experiment: Experiment, measures: Sequence[Measure], steps: float | None, changes: Mapping[str, Any], seeds: Sequence[int]
) -> list[Row]:
    """Run one point for some seeds and return a row each, in the order of the seeds.

    A row depends on its own point and seed only, bit for bit: not on the other seeds, nor on the process.

    Parameters
    ----------
    experiment : Experiment
    measures : sequence of Measure
    steps : int, float or None
        Horizon, steps or the time of a flow; None for what the system says is long enough at this point (`horizon`), else the
        experiment's own.
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
        if not {"steps", "until"} & set(changes):
            varied = varied.reaching(_horizon(varied) if steps is None else steps)
        rows = _together(varied, measures, seeds)
    except Exception as error:  # a failing point is a row with its error; the sweep goes on
        if len(seeds) > 1:  # perhaps only one of them fails
            return [row for seed in seeds for row in run_cells(experiment, measures, steps, changes, [seed])]
        return [{"error": f"{type(error).__name__}: {error}", "steps": 0}]
    return rows


def _horizon(experiment: Experiment) -> float:
    """Return what the system says is long enough, or else the experiment's horizon."""
    predicted = getattr(system_module(experiment.system), "horizon", None)
    found = None if predicted is None else predicted(experiment.setting, experiment.optimizer)
    return experiment.horizon if found is None else found


def _together(experiment: Experiment, measures: Sequence[Measure], seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = [{} for _ in seeds]
    record = tuple(dict.fromkeys(name for measure in measures for name in measure.record))
    for positions, system in _systems(experiment, seeds):
        of = experiment.replace(seed=int(seeds[positions[0]])) if len(positions) == 1 else experiment  # measures may draw by the seed
        for part in _parts(system, of, record):
            chosen = positions if part is ... else positions[part]
            one = system if part is ... else system.replicates(part)
            for position, row in zip(chosen, _measured(of, one, measures, record), strict=True):
                rows[position] = row
    return rows


def _systems(experiment: Experiment, seeds: Sequence[int]) -> Iterable[tuple[list[int], System]]:
    """Yield systems that carry the seeds: batches where the system makes them, else one by one."""
    module = system_module(experiment.system)
    together = experiment.optimizer.kind not in ("coordinatewise", "flow")  # lump nowhere: large systems; choose steps of their own
    if hasattr(module, "batches") and together:
        yield from module.batches(experiment.setting, experiment.optimizer, list(seeds))
        return
    for position, seed in enumerate(seeds):
        yield [position], experiment.replace(seed=int(seed)).build()


def _parts(system: System, experiment: Experiment, record: tuple[str, ...]) -> list[Any]:
    """Return slices of the replicates that run together: few enough for cache and memory. The result does not depend on them."""
    if np.ndim(system.start) == 1:
        return [...]
    together = CHUNK
    if record:
        one = Recorder(system.replicates(slice(0, 1)), _seldom(system, record, experiment), _at(experiment, record), None)
        size = sum(store.array.nbytes for store in one.stores)
        together = int(np.clip(RECORD_BYTES // max(size, 1), 1, CHUNK))
    return list(chunks(len(system.start), system.layout.size, together))  # watches see one chunk


def _at(experiment: Experiment, record: tuple[str, ...]) -> NDArray:
    """Return the steps to record, none without a record, or the times of a flow, at which it is watched too."""
    if experiment.flows:
        return experiment.recorded_at
    return bounded_steps(experiment.steps) if record else np.empty(0, dtype=np.int64)


def _seldom(system: System, record: tuple[str, ...], experiment: Experiment) -> dict[str, int]:
    """Return the spacing of each quantity, wide where it is costly; claims say themselves what they miss."""
    spacing = seldom(experiment.points if experiment.flows else experiment.steps)
    return {name: spacing if system.observables[name].costly else 1 for name in record if name in system.observables}


def _measured(experiment: Experiment, system: System, measures: Sequence[Measure], record: tuple[str, ...]) -> list[Row]:
    """Run one system with its watches and return a row a replicate."""
    watched = Watched(experiment, system)
    watches = [watched.watch(measure) for measure in measures]
    options = {"record": _seldom(system, record, experiment), "at": _at(experiment, record), "stop": watched.see}
    run = experiment.signed(experiment.simulated(system, **options))
    if run.status == "failed":
        return [{"error": run.message, "steps": experiment.horizon}]
    columns: dict[str, Any] = {}
    if (watched.lost_at < 0).any():
        for watch in watches:
            columns.update(watch.result(run))
    rows: list[Row] = []
    for i, lost_at in enumerate(watched.lost_at.reshape(-1)):
        if lost_at >= 0:
            rows.append({"error": f"the loss stopped being finite at step {lost_at}: try a smaller lr", "steps": experiment.horizon})
        else:
            values = {name: _plain(a[i] if watched.lead else a) for name, a in columns.items()}
            rows.append({"error": "", "steps": experiment.horizon, **values})
    return rows


def _plain(value: Any) -> Any:
    """Return an entry of a result as a Python number, word or list of numbers."""
    value = np.asarray(value)
    return value.tolist() if value.ndim else value.item()
