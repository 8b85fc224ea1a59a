"""The command ``dynsim report``: a run as one HTML page."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..files import whole_file
from ..registry import is_system, system_names
from ..report import FIGURES, Pictures, figure_names, page, pictures
from ..simulate import Interrupted
from ..summary import summarise
from ..system import Inexact
from ..trajectory import Trajectory, load
from .arguments import chosen_experiment, experiment_options
from .console import FINISHED, INCOMPLETE, INTERRUPTED, VIOLATED, Out, end_line, meter_for, print_json
from .sweeping import Command

__all__ = ["report_command", "saved_run"]


def report_command(command: Command) -> None:
    """Add the command."""
    report = command("report", _report, "write a run, simulated or saved, as one self-contained HTML page to send to a colleague")
    report.add_argument("target", metavar="RUN_FOLDER|FILE|SYSTEM", nargs="?", help="run folder, trajectory (.npz, .nc), or a system")
    report.add_argument("--html", metavar="FILE", required=True, help="page to write")
    report.add_argument("--overwrite", action="store_true", help="replace FILE")
    report.add_argument("--figures", choices=FIGURES, default="main", help="figures to put in (default: main)")
    report.add_argument("--strict", action="store_true", help="exit with status 1 if a claim is violated")
    report.add_argument("--quiet", action="store_true", help="print errors only (and the JSON document, with --json)")
    experiment_options(report)


def saved_run(args: argparse.Namespace, *others: str) -> Path | None:
    """Return the file of the saved run that ``args.target`` names, or None where it is a system or nothing.

    Parameters
    ----------
    args : Namespace
        Of a command that has the options which choose an experiment.
    *others : str
        Further options of the command that do not go with a saved run.

    Raises
    ------
    ValueError
        If the target is none of these, a folder without a run, or a saved run with options that would change it.
    """
    if args.target is None:
        return None
    saved = Path(args.target).expanduser()
    if saved.is_dir() and (not is_system(args.target) or (saved / "trajectory.npz").exists() and not args.preset):
        saved = saved / "trajectory.npz"
        if not saved.exists():
            if (saved.parent / "sweep.json").exists():
                raise ValueError(f"{args.target} is the folder of a sweep: dynsim scaling {args.target} judges its claims")
            if (saved.parent / "study.json").exists():
                raise ValueError(f"{args.target} is the folder of a study: its verdicts are in report.csv; the command that made it judges "
                                 "it again without running anything twice")
            raise ValueError(f"{args.target} holds no trajectory.npz: give a run folder that dynsim run --out wrote")
    elif not saved.is_file():
        if not is_system(args.target):
            raise ValueError(f"{args.target!r} is no run folder, no file and no system; systems: {', '.join(system_names())}")
        return None
    options = ("preset", "config", "optimizer", "lr", "steps", "until", "target_loss", "seed", "record", "every", "closely", "points")
    given = [name for name in (*options, *others) if getattr(args, name) is not None]
    if given or args.fields:
        raise ValueError(f"--{(given or ['set'])[0].replace('_', '-')} does not go with a saved run: it is taken as it was simulated")
    return saved


def _report(args: argparse.Namespace) -> int:
    path, say = _writable(args.html, args.overwrite), Out(args.json or args.quiet)
    run, title, interrupted = _chosen_run(args)
    if run.message and not run.success:
        print(f"dynsim: {run.message}", file=sys.stderr, flush=True)
    summary, drawn = summarise(run), Pictures()
    if not interrupted:
        try:
            drawn = pictures(run, figure_names(run.provenance["system"], args.figures), meter_for("figures", args))
        except KeyboardInterrupt:
            interrupted = True
            print("dynsim: interrupted while drawing: the page has no figures", file=sys.stderr)
    with whole_file(path) as partial:
        partial.write_text(page(summary, drawn, title), encoding="utf-8")
    for sentence in drawn.failed:
        print(f"dynsim: {sentence}", file=sys.stderr)
    counts = ", ".join(f"{count} {sort}" for sort, count in summary.report.counts.items() if count)
    say("\n".join(drawn.skipped) or None)
    say(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB): {counts or 'no claims checked'}; figures: {', '.join(drawn.svg) or 'none'}")
    if args.json:
        print_json({"kind": "dynsim html report", "file": str(path), "title": title, "status": run.status, "message": run.message,
                    "counts": summary.report.counts, "figures": list(drawn.svg), "skipped": list(drawn.skipped),
                    "failed": list(drawn.failed)})
    if interrupted:
        return INTERRUPTED
    if not run.success or drawn.failed:
        return INCOMPLETE
    return VIOLATED if args.strict and not summary.report.ok else FINISHED


def _chosen_run(args: argparse.Namespace) -> tuple[Trajectory, str, bool]:
    """Return the run, what to call it, and whether it was interrupted just now."""
    saved = saved_run(args)
    if saved is not None:  # by its own name: where it lies on this machine is nothing for the page
        return load(saved), (saved.parent if saved.name == "trajectory.npz" else saved).absolute().name, False
    experiment, title = chosen_experiment(args, args.target)
    title = title if args.config is None else Path(args.config).name
    meter = meter_for("points" if experiment.flows else "steps", args)
    try:
        return experiment.run(engine=args.engine, progress=meter), title, False
    except Interrupted as stopped:
        end_line(meter)
        return stopped.trajectory, title, True
    except Inexact as error:
        end_line(meter)
        raise ValueError(f"{error} On the command line: --engine auto takes the smallest exact system") from None


def _writable(name: Any, overwrite: bool) -> Path:
    """Return the path of the page; refusals come before there is anything to lose."""
    path = Path(name).expanduser()
    if path.is_dir():
        raise ValueError(f"--html {name} is a folder: give a file, such as {path / 'report.html'}")
    if path.exists() and not overwrite:
        raise ValueError(f"--html {name} exists: pass --overwrite to replace it, or give another file")
    if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise ValueError(f"--html {name}: there is no folder {path.absolute().parent} that can be written to: make it or give another file")
    return path
