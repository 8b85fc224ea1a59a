"""The command ``dynsim sweep``, and what the commands built on sweeps share."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..claims import VERDICTS
from ..experiment import Experiment
from ..measures import as_measures
from ..optimizers import describe, rule_names
from ..registry import SYSTEMS, system_module
from ..summary import horizon_text, literal_text, rule_text, wrap
from ..sweep import Points, Sampled, SweepError, SweepInterrupted, Table, geometric, sweep
from ..sweep.design import Design, as_design
from .arguments import chosen_experiment, literal, setting_options, whole
from .console import FINISHED, INCOMPLETE, INTERRUPTED, Failures, Out, complain, meter_for, print_json, width

__all__ = ["Command", "axis_values", "chosen_executor", "chosen_seeds", "names_of", "run_options", "sweep_command", "table_text", "told"]

SHOWN = 40
"""Points of a sweep that are printed; the rest is in the table."""

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def sweep_command(command: Command) -> None:
    """Add the command."""
    add = command("sweep", _sweep, "run an experiment at many points and for many seeds, and keep a table that can be gone on with")
    add.add_argument("system", metavar="SYSTEM", nargs="?", help=f"one of: {', '.join(SYSTEMS)} (with --config as the file says)")
    setting_options(add)
    add.add_argument("--over", metavar="NAME=VALUES", action="append", default=[],
                     help="values of a variable, as 25,50,100 or LOW:HIGH:COUNT with a constant ratio; several make a grid")
    add.add_argument("--points", metavar="FILE.csv", dest="list_of_points",
                     help="a list of points instead of a grid: a column a variable, a row a point")
    add.add_argument("--sample", metavar="COUNT", type=whole,
                     help="draw a Latin hypercube of so many points instead of a grid; --over then gives ranges, NAME=LOW:HIGH")
    add.add_argument("--measure", metavar="NAME,...", action="append",
                     help="what to measure: names, expressions such as train_loss<0.05 or test_loss@900, or claims (dynsim list measures)")
    add.add_argument("--steps", type=whole, help="horizon of every run (default: as long as the predictions need)")
    add.add_argument("--until", type=float, help="the same in time, with the rule flow")
    add.add_argument("--out", metavar="DIR", help="folder of the sweep; the same command goes on where it was stopped")
    run_options(add, "1, or as many as the system says its claims need")


def run_options(parser: argparse.ArgumentParser, seeds: str) -> None:
    """Add the options that say which seeds run, and where."""
    parser.add_argument("--seeds", metavar="COUNT|S1,S2,...", help=f"seeds at every point: 0, 1, ..., or these (default: {seeds})")
    parser.add_argument("--workers", type=whole, help="processes (default: one a core; 1 stays in this one)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster instead, for example tcp://127.0.0.1:8786")
    parser.add_argument("--retry", action="store_true", help="run cells again whose row is an error")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


# -- sweep -------------------------------------------------------------------------------------------------------------


def _sweep(args: argparse.Namespace) -> int:
    experiment, title = chosen_experiment(args, args.system)
    say = Out(args.json or args.quiet)
    design, measures, seeds = as_design(_over(args)), as_measures(names_of(args.measure), experiment.system), chosen_seeds(args.seeds)
    executor = chosen_executor(args)
    horizon = args.steps if args.until is None else args.until
    say(_head(experiment, title, horizon, design))
    try:
        table = sweep(
            experiment, design, seeds=_seeds_of(experiment) if seeds is None else seeds, measure=measures, steps=horizon, out=args.out,
            workers=args.workers, executor=executor, retry=args.retry, progress=meter_for("cells", args),
        )
    except (SweepInterrupted, SweepError) as stopped:
        return told(stopped)
    failures, files = Failures(), []
    if args.out is not None:
        for name in ("table.csv", "table.nc"):
            with failures:
                files.append(table.save(Path(args.out).expanduser() / name).name)
    say(table_text(table))
    say("wrote nothing (--out DIR keeps the rows)" if args.out is None else f"wrote {args.out}: sweep.json, rows.jsonl, {', '.join(files)}")
    for failure in failures:
        print(f"dynsim: {failure}", file=sys.stderr)
    if args.json:
        names, rows = table.summary()
        print_json({"kind": "dynsim sweep", "about": dict(table.about), "cells": table.cells, "errors": table.errors, "columns": names,
                    "points": rows, "folder": args.out})
    return INCOMPLETE if failures or table.errors else FINISHED


def _seeds_of(experiment: Experiment) -> int:
    """Return how many seeds a point has when nothing is asked for."""
    return getattr(system_module(experiment.system), "SWEEP_SEEDS", 1)


def _head(experiment: Experiment, title: str, steps: float | None, design: Design) -> str:
    """Say what is varied and what is not."""
    fixed = " ".join(f"{name}={literal_text(v)}" for name, v in experiment.setting.to_dict().items() if name not in design.names)
    predicted = hasattr(system_module(experiment.system), "horizon")
    own = experiment if steps is None else experiment.reaching(steps)
    horizon = "horizon as the predictions need at each point" if steps is None and predicted else horizon_text(own)
    return "\n".join([
        f"{experiment.system}, {title}: {len(design)} points over {', '.join(design.names) or 'nothing'}; {horizon}",
        *wrap(f"{rule_text(describe(experiment.optimizer))}; {fixed}", width(), "  "),
    ])


def told(stopped: BaseException) -> int:
    """Say on stderr why a sweep stopped, and return the exit status."""
    if isinstance(stopped, KeyboardInterrupt):
        print(f"\ndynsim: {stopped}", file=sys.stderr)
        return INTERRUPTED
    complain(stopped)
    return INCOMPLETE


def table_text(table: Table) -> str:
    """Return the points of a sweep, the first of them where they are many, and what failed."""
    words = [name for name in table.measured if table[name].dtype.kind == "U"]
    aside = {*words, *(f"{name}.margin" for name in words)}
    numbers = replace(table, columns={name: a for name, a in table.columns.items() if name not in aside})
    lines = str(numbers).split("\n")
    head = f"{len(lines) - 1} points, {table.cells} cells; means over seeds, - where no seed has a number"
    shown = lines[: SHOWN + 1] + ([f"... and {len(lines) - 1 - SHOWN} more points"] if len(lines) - 1 > SHOWN else [])
    if words:
        shown.append("verdicts over all cells, and the smallest margin")
        shown.extend(f"  {name:32s} {_counted(table, name)}" for name in words)
    errors = [f"failed: {line}" for line in table.errors[:5]] + ([f"... and {len(table.errors) - 5} more"] if len(table.errors) > 5 else [])
    return "\n".join([head, *shown, *errors])


def _counted(table: Table, name: str) -> str:
    counts = ", ".join(f"{int((table[name] == word).sum())} {word}" for word in VERDICTS if (table[name] == word).any())
    margin = table[f"{name}.margin"] if f"{name}.margin" in table else np.empty(0)
    return counts + (f"  ({np.nanmin(margin):+.3g})" if np.isfinite(margin).any() else "")


def _over(args: argparse.Namespace) -> Any:
    """Return the design that the options describe."""
    if args.list_of_points is not None:
        if args.over or args.sample is not None:
            raise ValueError("give --points, or --over (with --sample or without), not both")
        with open(args.list_of_points, encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a mark
            reader = csv.DictReader(file)
            rows, names = list(reader), list(reader.fieldnames or ())
        if not rows or len(set(names)) < len(names) or any(None in row or None in row.values() for row in rows):
            raise ValueError(f"--points {args.list_of_points} must have a line of different variables, then as many values a point")
        return Points([{name.strip(): literal(value.strip()) for name, value in row.items()} for row in rows])
    axes: dict[str, Any] = {}
    for text in args.over:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not (name and equals and values):
            raise ValueError(f"--over {text!r} must read NAME=VALUES, for example --over m_k=25,50,100 or --over lr=1e-6:1.6e-5:5")
        if name in axes:
            raise ValueError(f"--over {name} is given twice: give all its values at once")
        axes[name] = _range(text, values) if args.sample is not None else axis_values(name, text, values)
    if args.sample is None:
        return axes
    if not axes:
        raise ValueError(f"--sample {args.sample} needs ranges, for example --over sigma_p=0.5:8")
    return Sampled(axes, args.sample)


def axis_values(name: str, text: str, values: str) -> tuple[Any, ...]:
    """Return the values of a variable that the option `text` gives: rules, a list, or LOW:HIGH:COUNT with a constant ratio."""
    if name == "optimizer":
        return tuple(rule_names(values))
    parts = values.split(":")
    if len(parts) == 1:
        return tuple(literal(value.strip()) for value in values.split(",") if value.strip())
    if len(parts) != 3:
        raise ValueError(f"--over {text!r}: a range must read LOW:HIGH:COUNT, for example lr=1e-6:1.6e-5:5")
    low, high, count = (literal(part.strip()) for part in parts)
    if not all(isinstance(value, (int, float)) for value in (low, high)) or not isinstance(count, int):
        raise ValueError(f"--over {text!r}: LOW and HIGH must be numbers, COUNT a whole number")
    return geometric(low, high, count)


def _range(text: str, values: str) -> tuple[Any, ...]:
    ends = tuple(literal(part.strip()) for part in values.split(":"))
    if len(ends) != 2 or not all(isinstance(end, (int, float)) for end in ends):
        raise ValueError(f"--over {text!r}: with --sample a range must read LOW:HIGH, for example sigma_p=0.5:8")
    return ends


def names_of(given: list[str] | None) -> list[str] | None:
    """Return the names in options that take several, separated by commas."""
    return None if given is None else [name.strip() for text in given for name in text.split(",") if name.strip()]


def chosen_seeds(text: str | None) -> Any:
    """Return a number of seeds, or the seeds themselves; None where none were given."""
    if text is None:
        return None
    numbers = [literal(part.strip()) for part in text.split(",") if part.strip()]
    wrong = not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers)
    if not numbers or wrong or ("," not in text and numbers[0] < 1):
        raise ValueError(f"--seeds {text!r} must be a number of seeds >= 1, or seeds >= 0 separated by commas")
    return numbers[0] if len(numbers) == 1 and "," not in text else numbers


def chosen_executor(args: argparse.Namespace) -> Executor | None:
    """Return the executor of a Dask cluster, None where none was asked for."""
    if args.scheduler is None:
        return None
    if args.workers is not None:
        raise ValueError(f"give --workers or --scheduler, not both: the cluster at {args.scheduler} has workers of its own")
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("--scheduler needs Dask: pip install 'dynsim[dask]'") from None
    try:
        return Client(args.scheduler, timeout="10s").get_executor()
    except (OSError, ValueError) as error:
        raise ValueError(f"--scheduler {args.scheduler}: no Dask scheduler answers there ({error})") from None
