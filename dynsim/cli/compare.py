"""Several update rules side by side: the command ``dynsim compare``, and ``dynsim run`` over signal-to-noise ratios, rules and seeds."""

from __future__ import annotations

import argparse
from typing import Any

from ..optimizers import rule_names
from ..registry import SYSTEMS, system_module
from ..sweep import SweepError, SweepInterrupted
from .arguments import chosen_experiment, setting_options, whole
from .console import Out, meter_for
from .study import make_study, study_folder, study_options
from .sweeping import Command, axis_values, chosen_executor, chosen_seeds, told

__all__ = ["compare_command", "grid_options", "grid_study", "is_grid"]

GRID = ("snr", "optimizers", "seeds")
"""Options of ``dynsim run`` that ask for a grid of runs."""


def compare_command(command: Command) -> None:
    """Add the command ``compare``."""
    compare = command("compare", _compare, "run one experiment under several update rules: the same data, weights and test samples")
    compare.add_argument("system", metavar="SYSTEM", nargs="?", help=f"one of: {', '.join(SYSTEMS)} (with --config as the file says)")
    setting_options(compare, rule=False)
    compare.add_argument("--steps", type=whole, help="updates to make")
    compare.add_argument("--optimizers", metavar="RULE,RULE,...", help="rules, as in signgd,adam:0.9,adam:0.5,eps=0,gd:lr=0.2 "
                         "(default: those of the paper's figure)")
    compare.add_argument("--fair", nargs="?", const=True, type=float, metavar="LOSS",
                         help="first choose each rule's learning rate: of rates a factor 2 apart, the one that takes the training loss to "
                         "LOSS soonest, but in 100 steps or more (default LOSS: 0.01)")
    study_options(compare, "5")


def _compare(args: argparse.Namespace) -> int:
    experiment, title = chosen_experiment(args, args.system)
    module = system_module(experiment.system)
    if not hasattr(module, "comparison"):
        raise ValueError(f"{experiment.system} has no comparison of rules; " + (
            f"dynsim run {experiment.system} --snr ... --optimizers ... compares them" if hasattr(module, "snr_study") else
            "dynsim sweep --over optimizer=... runs several"))
    rules = module.RULES if args.optimizers is None else rule_names(args.optimizers)
    say, done = Out(args.json or args.quiet), {}
    study = module.comparison(experiment, rules)  # before anything is written: bad rules are told at once
    search = None if args.fair is None else module.rate_search(experiment, rules, **({} if args.fair is True else {"target": args.fair}))
    folder = study_folder("comparison", args)
    say(f"{experiment.system}, {title}: {experiment.origin}")
    if search is not None:
        try:
            done["rates"] = search.run(
                seeds=chosen_seeds(args.seeds), out=None if folder is None else folder.path / "sweeps" / "rates",
                executor=chosen_executor(args), workers=args.workers, retry=args.retry, progress=meter_for("rates: cells", args),
            )
        except (SweepInterrupted, SweepError) as stopped:
            return told(stopped)
        study = module.fair_comparison(experiment, rules, search, done["rates"])
        edges = study.about["at_the_end_of_the_range"]
        say(f"the best rate is at the end of the range searched: {', '.join(edges)}" if edges else None)
    say("learning rates: " + ", ".join(f"{label} {e.optimizer.lr:g}" for label, e in study.shown.items()))
    return make_study("comparison", study, args, folder, done)


# -- dynsim run over a grid ---------------------------------------------------------------------------------------------------------


def grid_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dynsim run`` that make a grid of runs."""
    grid = parser.add_argument_group("grid of runs", "for systems on real data: rows, report and figures go to DIR, and the same command "
                                     "goes on where it was stopped")
    grid.add_argument("--snr", metavar="VALUES", help="signal-to-noise ratios, as 0.1,0.5,1 or LOW:HIGH:COUNT with a constant ratio")
    grid.add_argument("--optimizers", metavar="RULE,RULE,...", help="update rules, as in signgd,adam:0.9,gd:lr=0.2")
    grid.add_argument("--seeds", metavar="COUNT|S1,S2,...", help="seeds at every point: 0, 1, ..., or these")
    grid.add_argument("--workers", type=whole, help="processes (default: one a core; 1 stays in this one)")
    parser.set_defaults(scheduler=None, retry=False)


def is_grid(args: argparse.Namespace) -> bool:
    """Tell whether the arguments of ``dynsim run`` ask for a grid of runs."""
    return any(getattr(args, name) is not None for name in GRID)


def grid_study(args: argparse.Namespace) -> int:
    """Make the study that the options describe."""
    experiment, title = chosen_experiment(args, args.system)
    module = system_module(experiment.system)
    if not hasattr(module, "snr_study"):
        given = next(name for name in GRID if getattr(args, name) is not None)
        raise ValueError(f"--{given}: {experiment.system} has no grid of runs; dynsim compare runs several rules, dynsim sweep several "
                         "seeds and values")
    for name in ("optimizer", "lr", "seed", "record", "every", "closely"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} does not go with a grid of runs: give --optimizers RULE:lr=RATE, --seeds")
    chosen: dict[str, Any] = {}
    if args.snr is not None:
        chosen["snr"] = axis_values("snr", f"--snr {args.snr}", args.snr)
    if args.optimizers is not None:
        chosen["optimizers"] = rule_names(args.optimizers)
    if args.steps is not None:
        chosen["steps"] = args.steps
    own = experiment.setting.to_dict() if args.preset or args.config else [text.partition("=")[0].strip() for text in args.fields]
    chosen["fixed"] = tuple(own)  # what was chosen is not varied
    study = module.snr_study(experiment, **chosen)
    experiment.build()  # what all cells would fail of, an extra that is not installed, is told once and before anything is written
    folder = study_folder("snr", args)
    Out(args.json or args.quiet)(f"{experiment.system}, {title}: {experiment.origin}; {experiment.note}")
    return make_study("snr", study, args, folder)
