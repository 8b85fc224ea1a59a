"""The command ``dynsim phase``: verdicts and quantities over two variables, built-in or from a sweep of one's own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..phase import PhaseDiagram, phase_diagram
from ..registry import SYSTEMS, is_system, system_module
from ..summary import wrap
from ..sweep import SweepError, SweepInterrupted, Table, load_table
from .console import FINISHED, INCOMPLETE, Failures, Out, meter_for, print_json, width
from .runfolder import RunFolder, goes_on
from .sweeping import Command, chosen_executor, chosen_seeds, names_of, run_options, told

__all__ = ["phase_command"]


def phase_command(command: Command) -> None:
    """Add the command."""
    phase = command("phase", _phase, "show verdicts and quantities over two variables: where lemmas begin to hold, where memorisation ends")
    phase.add_argument("source", metavar="SYSTEM|DIR", help=f"one of: {', '.join(SYSTEMS)}; or the folder of a sweep")
    phase.add_argument("diagram", metavar="NAME", nargs="?", help="built-in diagram of the system (dynsim list diagrams)")
    phase.add_argument("--x", metavar="NAME", help="with DIR: variable along the horizontal axis (default: the first that was varied)")
    phase.add_argument("--y", metavar="NAME", help="with DIR: variable along the vertical axis (default: the second)")
    phase.add_argument("--quantity", metavar="NAME,...", help="with DIR: measured columns (default: all verdicts, else all numbers)")
    phase.add_argument("--out", metavar="DIR", help="with SYSTEM: folder to write; the same command goes on where it was stopped")
    run_options(phase, "the diagram's own number")


def _phase(args: argparse.Namespace) -> int:
    if not is_system(args.source):
        return _of_sweep(args)
    diagrams: Mapping[str, Any] = getattr(system_module(args.source), "DIAGRAMS", {})
    if not diagrams:
        raise ValueError(f"{args.source} has no built-in diagram; give the folder of a sweep: dynsim phase DIR --x NAME --y NAME")
    if args.diagram is None:
        raise ValueError(f"name a diagram: {', '.join(diagrams)} (dynsim list diagrams tells what they show)")
    if args.diagram not in diagrams:
        raise ValueError(f"{args.source} has no diagram {args.diagram!r}; it has: {', '.join(diagrams)}")
    for name in ("x", "y", "quantity"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} is for the folder of a sweep; the diagram {args.diagram} has axes of its own")
    chosen, say = diagrams[args.diagram], Out(args.json or args.quiet)
    folder = None
    if args.out is not None:
        planned = [f"{args.diagram}.{kind}" for kind in ("json", "png", "svg")]
        folder = RunFolder(args.out, overwrite=goes_on(args.out, "sweep"), replaceable=False, planned=planned)
        folder.claim()
    say("\n".join(wrap(chosen.doc, width())))
    try:
        table = chosen.table(
            out=None if folder is None else folder.path / "sweep", workers=args.workers, executor=chosen_executor(args), retry=args.retry,
            progress=meter_for("cells", args), **({} if args.seeds is None else {"seeds": chosen_seeds(args.seeds)}),
        )
    except (SweepInterrupted, SweepError) as stopped:
        return told(stopped)
    return _show(args, say, table, chosen.of(table), folder, args.diagram, chosen.doc)


def _of_sweep(args: argparse.Namespace) -> int:
    if args.diagram is not None or args.out is not None or args.seeds is not None:
        raise ValueError(f"{args.source!r} is no system ({', '.join(SYSTEMS)}): with a sweep's folder give --x, --y and --quantity only")
    table = load_table(args.source)
    names = [name for name in table.axes if table[name].dtype.kind in "if"]
    if len(names) < 2 and (args.x is None or args.y is None):
        raise ValueError(f"{args.source} varies {', '.join(table.axes) or 'nothing'}: a phase diagram needs two variables that are numbers")
    x, y = args.x or names[0], args.y or next(name for name in names if name != (args.x or names[0]))
    words = [name for name in table.measured if table[name].dtype.kind == "U"]
    quantities = names_of([args.quantity]) if args.quantity else words or [n for n in table.measured if table[n].ndim == 1]
    assert quantities is not None
    found = {quantity: phase_diagram(table, x, y, quantity) for quantity in quantities}
    folder = RunFolder(Path(args.source) / "phase", overwrite=True, planned=[f"phase.{kind}" for kind in ("json", "png", "svg")])
    return _show(args, Out(args.json or args.quiet), table, found, folder, "phase", f"{args.source}: {', '.join(quantities)}")


def _show(
    args: argparse.Namespace, say: Out, table: Table, found: Mapping[str, PhaseDiagram], folder: RunFolder | None, name: str, title: str
) -> int:
    """Print the diagrams, and write data and figure."""
    failures = Failures()
    document = {"kind": "dynsim phase", "title": title, "diagrams": {key: diagram.to_dict() for key, diagram in found.items()}}
    if any(diagram.kind == "verdict" for diagram in found.values()):
        say("3/4: 3 of 4 decided seeds are within tolerance; !: not applicable in most (an assumption is unmet); -: no seed decided")
    for diagram in found.values():
        say(f"\n{diagram}")
    if folder is not None:
        from ..phase import phase_figure
        from ..plotting import save

        with failures:
            figure = phase_figure(found, title)
            for kind in ("png", "svg"):
                folder.write(f"{name}.{kind}", partial(save, figure, kind=kind))
        with failures:
            folder.write_text(f"{name}.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
        say(f"wrote {folder.path}: {', '.join(folder.files)}")
    else:
        say("wrote nothing (--out DIR keeps rows, data and figure)")
    for line in [*failures, *(f"failed: {error}" for error in table.errors[:5])]:
        print(f"dynsim: {line}", file=sys.stderr)
    if args.json:
        print_json(document)
    return INCOMPLETE if failures or table.errors else FINISHED
