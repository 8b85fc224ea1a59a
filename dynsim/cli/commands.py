"""The command ``dynsim``: argument parsing over public functions, nothing of its own to compute.

Options are called as in Python. Every command takes ``--json`` and then prints one JSON document and nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .._version import __version__
from ..experiment import Experiment
from ..optimizers import describe
from ..registry import SYSTEMS
from ..report import FIGURES, figure_names
from ..simulate import Interrupted
from ..summary import Summary, experiment_text, predictions, rule_text, summarise, wrap
from ..system import Inexact
from ..trajectory import load
from .arguments import chosen_experiment, experiment_options, setting_options
from .compare import compare_command, grid_options, grid_study, is_grid
from .console import (
    BAD_INPUT,
    EXIT_STATUS,
    FINISHED,
    INCOMPLETE,
    INTERRUPTED,
    VIOLATED,
    Failures,
    Out,
    complain,
    ctrl_c_waits,
    end_line,
    meter_for,
    print_json,
    width,
)
from .explore import explore_command
from .listing import TABLES, table_text
from .new import new_command
from .phase import phase_command
from .report import report_command, saved_run
from .runfolder import RunFolder
from .scaling import scaling_command
from .study import is_study, run_study, study_commands
from .sweeping import sweep_command
from .writing import planned_files, write_figures, write_summary, write_trajectory

__all__ = ["main"]

EXAMPLES = """\
examples
  dynsim run signal_noise --preset figure3 --out runs/figure3
  dynsim run signal_noise --preset figure3 --set d=20000 --set disjoint=true --lr 1e-4 --steps 2000
  dynsim run signal_noise --preset tiny --optimizer adam:beta1=0.9,eps=0 --lr 1e-3 --record query_noise,key_noise
  dynsim run --config runs/figure3/experiment.toml --seed 1 --out runs/figure3_seed1
  dynsim check runs/figure3 --full
  dynsim compare signal_noise --preset figure3 --optimizers signgd,adam:0.9,gd --out runs/compare
  dynsim sweep signal_noise --preset theory --over m_k=25,50,100,200 --seeds 16 --out sweeps/m_k
  dynsim scaling sweeps/m_k --quantity t_attn
  dynsim explore signal_noise --web
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with the status of bad input."""
        complain(f"{message} (see {self.prog} --help)")
        raise SystemExit(BAD_INPUT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default those of the process.
    """
    try:
        args = _parser().parse_args(argv)
        with np.errstate(all="ignore"):  # extreme settings give inf and NaN; the report says so, warnings would only repeat it
            return args.command(args)
    except SystemExit as leave:  # argparse: --help, --version, or an error that was told already
        return leave.code if isinstance(leave.code, int) else FINISHED
    except KeyboardInterrupt:
        print("dynsim: interrupted before there was anything to save", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else error)
        return BAD_INPUT
    except (ValueError, MemoryError, ImportError) as error:  # the last: an extra that is not installed
        complain(error)
        return BAD_INPUT


# -- arguments ---------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dynsim", description="How transformers train, solved on paper and checked by simulation.",
        epilog=f"{EXAMPLES}\n{EXIT_STATUS}", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dynsim {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EXIT_STATUS,
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        )
        sub.set_defaults(command=run)
        sub.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
        return sub

    run = command("run", _run, "simulate an experiment, recognise its stages, check every claim, write a run folder")
    run.add_argument("system", metavar="SYSTEM", nargs="?", help=f"one of: {', '.join(SYSTEMS)} (with --config as the file says)")
    experiment_options(run)
    _report_options(run)
    grid_options(run)

    check = command("check", _check, "check a saved run, or an experiment that is simulated first")
    check.add_argument("target", metavar="RUN_FOLDER|FILE|SYSTEM", nargs="?", help="run folder, trajectory (.npz, .nc), or a system")
    experiment_options(check)
    _report_options(check)

    listing = command("list", _list, "show systems, presets, claims, measures, studies and phase diagrams")
    listing.add_argument("what", metavar="TABLE", nargs="?", choices=TABLES, help=f"one of: {', '.join(TABLES)} (default: all)")

    predict = command("predict", _predict, "show the closed-form numbers of a setting and the conditions of the theory, without simulating")
    predict.add_argument("system", metavar="SYSTEM", nargs="?", help=f"one of: {', '.join(SYSTEMS)}")
    setting_options(predict)

    for add in (compare_command, sweep_command, scaling_command, study_commands, phase_command, report_command, explore_command,
                new_command):
        add(command)
    return parser


def _report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="run folder to write; without it nothing is written")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in DIR: exactly the files that dynsim wrote there")
    parser.add_argument("--figures", choices=FIGURES, default="main", help="figures to draw into DIR (default: main)")
    parser.add_argument("--full", action="store_true", help="show claims that hold in full, too")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a claim is violated")
    parser.add_argument("--quiet", action="store_true", help="print errors only (and the JSON document, with --json)")


# -- commands ----------------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace) -> int:
    if is_study(args):
        return run_study(args)
    return grid_study(args) if is_grid(args) else _simulated(args, args.system)


def _simulated(args: argparse.Namespace, system: str | None) -> int:
    experiment, title = chosen_experiment(args, system)
    folder = None
    if args.out is not None:
        folder = RunFolder(args.out, overwrite=args.overwrite, planned=planned_files(experiment.system, args.figures))
    return _simulate(args, experiment, title, folder)


def _simulate(args: argparse.Namespace, experiment: Experiment, title: str, folder: RunFolder | None) -> int:
    """Simulate, save, check, draw; in this order, so that nothing that goes wrong later costs what was computed."""
    say, meter, failures = Out(args.json or args.quiet), meter_for("points" if experiment.flows else "steps", args), Failures()
    say(experiment_text(experiment, title, width()))
    interrupted, began = False, time.perf_counter()
    try:
        run = experiment.run(engine=args.engine, progress=meter)
    except Interrupted as stopped:
        run, interrupted = stopped.trajectory, True
    except BaseException as error:
        end_line(meter)
        if folder is not None:
            folder.abandon()
        if isinstance(error, Inexact):
            raise ValueError(f"{error} On the command line: --engine auto takes the smallest exact system") from None
        raise
    seconds = time.perf_counter() - began
    with ctrl_c_waits() as pressed:
        if interrupted:
            end_line(meter)
            print(f"dynsim: {run.message}{'' if folder is None else '; saving what was recorded so far'}", file=sys.stderr, flush=True)
        if folder is not None:
            with failures:
                write_trajectory(folder, run)
        summary = summarise(run)
        if folder is not None:
            with failures:
                write_summary(folder, summary, experiment)
    interrupted = interrupted or bool(pressed)
    if args.record is not None and (lost := [name for name in experiment.record or () if name not in run]):
        print(f"dynsim: not recorded: {', '.join(lost)}; no quantity of this form of {experiment.system}", file=sys.stderr)
    say(_engine_text(args.engine, run.provenance, seconds))
    say(summary.text(full=args.full))
    if folder is not None and not interrupted:
        try:
            skipped, failed = write_figures(folder, run, figure_names(experiment.system, args.figures), meter_for("figures", args))
            say("\n".join(skipped) if skipped else None)
            failures.extend(failed)
        except KeyboardInterrupt:
            interrupted = True
            print("dynsim: interrupted while drawing: the figures so far are saved", file=sys.stderr)
    for failure in failures:
        print(f"dynsim: {failure}", file=sys.stderr)
    say(_files_text(folder))
    if args.json:
        print_json(_run_document(summary, folder, title, experiment))
    if interrupted:
        return INTERRUPTED
    if not run.success or failures:
        return INCOMPLETE
    return _verdict(args, summary)


def _engine_text(asked: str, about: Mapping[str, Any], seconds: float) -> str:
    why = f"the smallest system that is exact for {rule_text(about['optimizer'])}" if asked == "auto" else "asked for"
    return f"simulated in {seconds:.1f} s with the {about.get('engine')} engine ({why})"


def _files_text(folder: RunFolder | None) -> str:
    if folder is None:
        return "wrote nothing (--out DIR writes trajectory, report, stage table and figures)"
    total = sum((folder.path / name).stat().st_size for name in folder.files)
    data = [name for name in folder.files if not name.startswith("figures/")]
    names = sorted({Path(name).stem for name in folder.files if name.startswith("figures/")})
    figures = f", figures/{{{','.join(names)}}}.png and .svg" if names else ""
    return f"wrote {folder.path} ({total / 1e6:.1f} MB): {', '.join(data)}{figures}"


def _run_document(summary: Summary, folder: RunFolder | None, title: str, experiment: Experiment | None) -> dict[str, Any]:
    document = {**summary.to_dict(), "title": title}
    if experiment is not None:
        document["experiment"] = experiment.to_dict()
    document["folder"] = None if folder is None else str(folder.path)
    document["files"] = [] if folder is None else list(folder.files)
    return document


def _verdict(args: argparse.Namespace, summary: Summary) -> int:
    return VIOLATED if args.strict and not summary.report.ok else FINISHED


def _check(args: argparse.Namespace) -> int:
    saved = saved_run(args, "out")
    if saved is None:
        return _simulated(args, args.target)
    summary = summarise(load(saved))
    say = Out(args.json or args.quiet)
    say(str(args.target))
    say(summary.text(full=args.full))
    if args.json:
        print_json(_run_document(summary, None, str(args.target), None))
    return INCOMPLETE if summary.run.status in ("diverged", "failed") else _verdict(args, summary)


def _list(args: argparse.Namespace) -> int:
    say, chosen = Out(), tuple(TABLES) if args.what is None else (args.what,)
    if args.json:
        print_json({"kind": "dynsim list", **{name: TABLES[name]() for name in chosen}})
    else:
        say("\n\n".join(table_text(name, width()) for name in chosen))
    return FINISHED


def _predict(args: argparse.Namespace) -> int:
    experiment, title = chosen_experiment(args, args.system)
    theory, remark = predictions(experiment.system, experiment.setting, describe(experiment.optimizer))
    if theory is None and not remark:
        remark = f"{experiment.system} has no closed-form predictions of a setting alone"
    if args.json:
        about = {"experiment": experiment.to_dict(), "predictions": theory, "remark": remark}
        print_json({"kind": "dynsim predictions", **about})
    else:
        Out()("\n".join([f"{experiment.system}, {title}", *([] if theory is None else [str(theory)]), *wrap(remark, width())]))
    return FINISHED
