"""The sweep: cells over an executor, rows to disk as they finish, and the same call goes on where it was stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..experiment import Experiment
from ..measures import Measure, as_measures, require_kind
from ..naming import unknown_name
from ..optimizers import has_schedule
from ..plain import plain
from ..progress import Meter, Progress, as_progress
from ..registry import system_module, system_names
from .cells import Row, run_cells
from .design import Design, as_design
from .folder import SweepFolder
from .table import Table, assemble, load_table

__all__ = ["SweepError", "SweepInterrupted", "cores", "sweep"]

TOGETHER = 32
"""Most seeds of a task: enough to gain from running together, few enough to spread and to lose."""

Task = tuple[int, dict[str, Any], list[int], list[int]]  # point, its values, seeds, cells


class SweepError(RuntimeError):
    """A sweep could not go on; what had finished is kept, and the message says how to go on."""


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a sweep.

    Parameters
    ----------
    message : str
        How many cells had finished and, where they are in a folder, how to go on.
    table : Table
        The rows that had finished; kept as an attribute of this name.
    """

    def __init__(self, message: str, table: Table) -> None:
        super().__init__(message)
        self.table = table


def sweep(
    setting: Any,
    over: Any = None,
    *,
    seeds: int | Iterable[int] = 1,
    measure: str | Measure | Iterable[str | Measure] | None = None,
    optimizer: Any = None,
    steps: float | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    out: str | os.PathLike | None = None,
    retry: bool = False,
    progress: bool | Progress | None = None,
) -> Table:
    """Run an experiment at many points, for many seeds, and return what was measured as a table.

    A cell is a point and a seed. Its row depends on these two only, bit for bit: not on the other cells, nor on where or in which
    order it was run. Seeds of a point run together on a leading axis; points are spread over processes.

    Parameters
    ----------
    setting : Experiment or setting
        What is varied: a preset's experiment, or a system's setting together with `optimizer`.
    over : mapping of str to sequence, sequence of mappings, or design
        A grid of values, a list of points, or a design such as `Sampled`. Variables are fields of the setting, fields of
        the rule ("lr", "momentum"), "steps" or "until", "target_loss" and "optimizer" (rules by name).
    seeds : int or iterable of int, default 1
        A number stands for 0, 1, ..., seeds - 1. The same seeds at every point.
    measure : str, Measure or iterable of these
        What to read off each run, a column each: ``"train_loss<0.05"`` (first step), ``"test_loss@end"``, a claim's id (its verdict), or
        a measure such as `dynsim.At`; see `dynsim.measures.as_measures`. Default those of the system.
    optimizer : Optimizer, optional
        The rule; default the experiment's.
    steps : int or float, optional
        Horizon, steps or the time of a flow. Default: as long as the system says its predictions need at each point, else the
        experiment's own. A run ends earlier when everything is measured.
    executor : concurrent.futures.Executor, optional
        Where points run, for example ``dask.distributed.Client(...).get_executor()``. Default a pool of processes.
    workers : int, optional
        Processes of the default pool, >= 1; default the number of cores. 1 runs everything in this process.
    out : path, optional
        Folder in which every row is on disk as soon as it is finished. The same call with the same folder goes on where it
        was stopped. Without it nothing is written.
    retry : bool, default False
        Run cells again whose row in `out` is an error.
    progress : bool or callable, optional
        True draws a meter on stderr; a callable receives (done, total) cells.

    Returns
    -------
    Table
        A row a cell, in the order of the points, seeds fastest; a run that failed has its error in the column "error", and NaN where
        something did not happen within the horizon.

    Raises
    ------
    ValueError, TypeError
        For a variable, measure or argument that does not exist, or a measure of another kind of settings. A point whose values are
        out of range is a row with an error.
    SweepFolderError
        If `out` holds something else or another sweep (the difference is shown), or another process writes it.
    SweepError
        If rows cannot be written or workers keep dying.
    SweepInterrupted
        On Ctrl-C; carries the table so far.

    Notes
    -----
    The default pool starts fresh processes, which import the main script: guard it with ``if __name__ == "__main__":``, or pass
    ``workers=1``.

    Examples
    --------
    >>> from dynsim import sweep
    >>> from dynsim.systems import signal_noise
    >>> table = sweep(signal_noise.experiment("tiny"), {"m_k": [2, 4]}, seeds=3, measure="train_loss<0.6", workers=1)
    >>> table["train_loss<0.6"].shape
    (6,)
    >>> print(table)  # one row a point: the mean over seeds
    m_k  seeds  train_loss<0.6
      2      3               2
      4      3               2
    """
    experiment = _experiment(setting, optimizer)
    design, measures, seeds = as_design(over), as_measures(measure, experiment.system), _seeds(seeds)
    _check_names(experiment, design, measures)
    for one in measures:
        require_kind(one, experiment)
    if steps is not None and experiment.flows:
        experiment = experiment.reaching(steps)  # checks it
    for name, value in (("steps", None if experiment.flows else steps), ("workers", workers)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
            raise ValueError(f"{name}={value!r} must be an integer >= 1")
    if executor is not None and workers is not None:
        raise ValueError(f"workers={workers} is for the default pool of processes: the executor given has workers of its own")
    description = _description(experiment, design, seeds, measures, steps)
    out = None if out is None else Path(out).expanduser().absolute()
    cells = len(design) * len(seeds)
    job = partial(run_cells, experiment, measures, steps)
    meter = Meter("cells") if progress is True else as_progress(progress)
    if out is None:
        kept: list[Row] = []
        done = bytearray(cells)
        _run(job, design, seeds, done, kept.extend, executor, workers, meter, lambda: assemble(description, kept, design), "")
        return assemble(description, kept, design)
    with SweepFolder(out, description, cells, retry=retry) as folder:
        again = "the same sweep into the same folder goes on from here"
        _run(job, design, seeds, folder.done, folder.append, executor, workers, meter, lambda: load_table(out), again)
    return load_table(out)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _experiment(setting: Any, optimizer: Any) -> Experiment:
    if isinstance(setting, Experiment):
        return setting if optimizer is None else setting.replace(optimizer=optimizer)
    for name in system_names():
        if isinstance(setting, system_module(name).Setting):
            if optimizer is None:
                raise ValueError("optimizer=None: a setting alone does not say which rule runs; pass optimizer=SignGD(lr=...)")
            return Experiment(system=name, setting=setting, optimizer=optimizer, steps=1000)
    raise TypeError(f"setting={setting!r} must be an Experiment, such as signal_noise.experiment('theory'), or a system's Setting")


def _check_names(experiment: Experiment, design: Design, measures: Sequence[Measure]) -> None:
    """Raise a ValueError for a variable that does not exist, and for columns whose names are taken."""
    for name in design.names:
        if name not in experiment.variables:
            raise ValueError(unknown_name("variable", name, experiment.variables))
    taken = {"cell", "crc", "error", "seed", "steps", *design.names}
    for name in (name for measure in measures for name in measure.columns):
        if name in taken:
            raise ValueError(f"measure: the column name {name!r} is taken: name it otherwise, as in mine=train_loss<0.1")


def _seeds(given: int | Iterable[int]) -> list[int]:
    seeds = range(int(given)) if isinstance(given, (int, np.integer)) and not isinstance(given, bool) else given
    whole = isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes))
    chosen = [
        int(seed) if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed < 2**63 else -1
        for seed in (seeds if whole else ())  # type: ignore[union-attr]
    ]
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds={given!r} must be a number >= 1, or different integers in [0, 2**63)")
    return chosen


def _description(
    experiment: Experiment, design: Design, seeds: Sequence[int], measures: Sequence[Measure], steps: float | None
) -> dict[str, Any]:
    """Return what the sweep is, JSON-ready: everything a row depends on, and nothing else."""
    rate = getattr(experiment.optimizer, "lr", 1.0)
    one = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not one and not has_schedule(experiment.optimizer):
        raise ValueError(f"lr={rate!r} must be one number or a LinearDecay: a function or an array cannot be told apart from another one "
                         "when a sweep is gone on with; vary the rate with over={'lr': [...]}")
    described = {k: v for k, v in experiment.to_dict().items() if k not in ("seed", "record", "every", "closely")}
    columns = {name: {"kind": c.kind, "doc": c.doc} for m in measures for name, c in m.columns.items()}
    return {
        "dynsim": __version__, "experiment": plain(described), "design": plain(design.describe()), "seeds": list(seeds),
        "measures": [repr(m) for m in measures], "columns": columns, "steps": steps if steps is None or experiment.flows else int(steps),
    }


def _tasks(design: Design, seeds: Sequence[int], done: bytearray, together: int) -> Iterator[Task]:
    """Yield what is left to do, a point and some seeds at a time; nothing is held for what lies ahead."""
    for point in range(len(design)):
        first = point * len(seeds)
        left = [k for k in range(len(seeds)) if not done[first + k]]
        for start in range(0, len(left), together):
            part = left[start : start + together]
            yield point, design[point], [seeds[k] for k in part], [first + k for k in part]


def _run(
    job: Callable[..., list[Row]], design: Design, seeds: Sequence[int], done: bytearray, keep: Callable[[list[Row]], Any],
    executor: Executor | None, workers: int | None, meter: Progress | None, table: Callable[[], Table], again: str,
) -> None:
    """Run every cell that is not done and keep its row."""
    total = len(done)
    finished = sum(done)
    if meter is not None:
        meter(finished, total)
    count = cores() if workers is None else int(workers)
    if executor is not None:
        count = getattr(executor, "_max_workers", None) or count
    together = min(max((total - finished) // (4 * count), 4), TOGETHER)
    tasks = _tasks(design, seeds, done, together)
    few = sum(1 for _ in zip(range(2), _tasks(design, seeds, done, together), strict=False)) < 2
    run: Callable[..., Any] = _here if count == 1 or few else partial(_over_processes, count)
    if executor is not None:
        run = partial(_over_given, executor)
    hint = f"; {again}" if again else ""
    try:
        for task, rows in run(job, tasks):
            try:
                keep([{"cell": cell, **row} for cell, row in zip(task[3], rows, strict=True)])
            except OSError as error:
                raise SweepError(f"rows cannot be written ({error.strerror or error}): {finished} of {total} cells are kept{hint} "
                                 "when that is mended") from error
            finished += len(rows)
            if meter is not None:
                meter(finished, total)
    except KeyboardInterrupt:
        raise SweepInterrupted(f"interrupted: {finished} of {total} cells are kept{hint}", table()) from None


# -- where tasks run: each yields (task, rows) as they finish ------------------------------------------------------------


def _here(job: Callable[..., list[Row]], tasks: Iterator[Task]) -> Iterator[tuple[Task, list[Row]]]:
    for task in tasks:
        yield task, job(task[1], task[2])


class _Died(Exception):
    """An executor broke; these tasks were under way."""

    def __init__(self, tasks: list[Task], why: BaseException) -> None:
        super().__init__(str(why))
        self.tasks = tasks


def _over_executor(
    executor: Executor, job: Callable[..., list[Row]], tasks: Iterator[Task], pending: dict[Future, Task]
) -> Iterator[tuple[Task, list[Row]]]:
    """Keep an executor busy with a bounded number of tasks, those in `pending`; an exception of a task's own future is its error."""
    ahead = 2 * (getattr(executor, "_max_workers", None) or cores()) + 2
    while True:
        while len(pending) < ahead and (task := next(tasks, None)) is not None:
            try:
                pending[executor.submit(job, task[1], task[2])] = task
            except RuntimeError as error:  # broken, or shut down already
                raise _Died([task, *pending.values()], error) from error
        if not pending:
            return
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            try:
                failure = future.exception()
            except CancelledError as error:
                failure = error
            if isinstance(failure, BrokenExecutor):
                raise _Died(list(pending.values()), failure)
            task = pending.pop(future)
            yield task, future.result() if failure is None else _lost(task, f"{type(failure).__name__}: {failure}")


def _over_given(executor: Executor, job: Callable[..., list[Row]], tasks: Iterator[Task]) -> Iterator[tuple[Task, list[Row]]]:
    pending: dict[Future, Task] = {}
    try:
        yield from _over_executor(executor, job, tasks, pending)
    except _Died as died:
        raise SweepError(f"the executor broke ({died}): what had finished is kept; make a new executor and call again") from died
    finally:
        for future in pending:
            future.cancel()


def _over_processes(count: int, job: Callable[..., list[Row]], tasks: Iterator[Task]) -> Iterator[tuple[Task, list[Row]]]:
    """Run tasks in a pool of fresh processes; when one dies, the tasks under way run again, each alone, to find the one that kills."""
    while True:
        try:
            with _pool(count, job) as pool:
                yield from _over_executor(pool, job, tasks, {})  # the pool itself cancels what is left: who else does races with its thread
            return
        except _Died as died:
            for task in died.tasks:
                yield task, _alone(job, task)


def _alone(job: Callable[..., list[Row]], task: Task) -> list[Row]:
    """Run a task in a process of its own; if that dies too, each half of its seeds, down to the seed that kills."""
    point, values, seeds, cells = task
    with _pool(1, job) as pool:
        try:
            return pool.submit(job, values, seeds).result()
        except BrokenExecutor:
            pass
    if len(seeds) == 1:
        return _lost(task, "the process that ran it died twice: killed, or out of memory")
    halves = (slice(None, len(seeds) // 2), slice(len(seeds) // 2, None))
    return [row for half in halves for row in _alone(job, (point, values, seeds[half], cells[half]))]


def _lost(task: Task, why: str) -> list[Row]:
    return [{"error": why, "steps": 0} for _ in task[2]]


@contextlib.contextmanager
def _pool(count: int, job: Callable[..., list[Row]]) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that have started, one thread of linear algebra each; an exception in the block ends them at once."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and not os.path.exists(script):  # worker processes import it
        raise SweepError("worker processes cannot start: save the script from standard input as a file, or pass workers=1")
    try:
        payload = pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SweepError(f"worker processes cannot be given the measures ({error}): define them in a module, or pass workers=1") from None
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)
    try:
        with _one_thread_each():
            ready = [pool.submit(_readable, payload) for _ in range(count)]  # none is idle yet, so that all processes start now
        try:
            wait(ready)
            if why := ready[0].result():
                raise SweepError(f"workers cannot read the measures ({why}): define them in a module of their own, or pass workers=1")
        except BrokenExecutor:
            raise SweepError(
                'worker processes cannot start: guard the script with if __name__ == "__main__": (they import it), or pass workers=1'
            ) from None
        yield pool
    except BaseException:
        processes = list((getattr(pool, "_processes", None) or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Set the variables that new processes read: workers that share the cores must not each use all of them."""
    names = [n for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if n not in os.environ]
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


def _readable(payload: bytes) -> str:
    """Return why a worker cannot read the job, "" if it can."""
    try:
        pickle.loads(payload)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end when it ends: a killed sweep leaves no processes behind."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
