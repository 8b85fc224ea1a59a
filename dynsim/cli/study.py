"""Commands that make a study: every sweep that its claims need, checked, as one report with tables and figures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..check import check
from ..claims import Inconclusive, Report
from ..naming import unknown_name
from ..plain import plain
from ..registry import SYSTEMS, system_module, system_names
from ..scaling import PowerLaw
from ..simulate import Interrupted
from ..study import Study
from ..summary import wrap
from ..sweep import SweepError, SweepInterrupted, Table
from ..tabular import csv_text, latex_text
from ..trajectory import Trajectory
from .console import FINISHED, INCOMPLETE, INTERRUPTED, VIOLATED, Failures, Out, meter_for, print_json, width
from .runfolder import FolderError, RunFolder, goes_on
from .scaling import laws_of
from .sweeping import Command, chosen_executor, chosen_seeds, run_options, table_text, told

__all__ = ["is_study", "make_study", "run_study", "study_commands", "study_folder", "study_options"]

FILES = ("study.json", "report.json", "report.csv", "report.tex")
"""Files of every study's folder besides figures and sweeps."""


def study_commands(command: Command) -> None:
    """Add the commands ``theorem`` and ``study``."""
    theorem = command("theorem", partial(_study, "theorem"), "make every sweep a theorem needs, check it, and write a report with figures")
    theorem.add_argument("system", metavar="SYSTEM", help=f"one of: {', '.join(SYSTEMS)}")
    study_options(theorem, "each sweep's own number")
    study = command("study", partial(_study, None), "make a study by name (dynsim list studies), check it, and write a report with figures")
    study.add_argument("system", metavar="SYSTEM", help=f"one of: {', '.join(SYSTEMS)}")
    study.add_argument("name", metavar="STUDY", help="name of the study")
    study_options(study, "each sweep's own number")


def study_options(parser: argparse.ArgumentParser, seeds: str) -> None:
    """Add the options that every study takes."""
    parser.add_argument("--out", metavar="DIR", help="folder to write; the same command goes on where it was stopped")
    parser.add_argument("--figures", choices=("none", "main"), default="main", help="figures to draw into DIR/figures (default: main)")
    parser.add_argument("--full", action="store_true", help="tell claims that hold in full as well")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a claim is violated")
    run_options(parser, seeds)


def _study(name: str | None, args: argparse.Namespace) -> int:
    studies = getattr(system_module(args.system), "STUDIES", {})
    if name is not None and name not in studies:
        have = [system for system in system_names() if name in getattr(system_module(system), "STUDIES", {})]
        raise ValueError(f"{args.system} has no {name} that sweeps could show; there is one of {', '.join(have)}")
    name = args.name if name is None else name
    if name not in studies:
        raise ValueError(unknown_name("study", name, studies))
    return make_study(name, studies[name], args, study_folder(name, args))


ALONE = ("config", "optimizer", "lr", "steps", "until", "target_loss", "seed", "record", "every", "closely", "points", "snr", "optimizers")
"""Options of ``dynsim run`` that one run takes and a study does not."""


def is_study(args: argparse.Namespace) -> bool:
    """Tell whether the preset of ``dynsim run`` is a study: a comparison that takes more than one run.

    Raises
    ------
    ValueError
        If it is neither a preset nor a study of the system; names the nearest of both.
    """
    if args.system is None or args.preset is None or args.config is not None:
        return False
    module = system_module(args.system)
    presets, studies = getattr(module, "PRESETS", {}), getattr(module, "STUDIES", {})
    if args.preset not in presets and args.preset not in studies:
        raise ValueError(unknown_name("preset", args.preset, {**presets, **studies}))
    return args.preset not in presets


def run_study(args: argparse.Namespace) -> int:
    """Make the study that ``dynsim run SYSTEM --preset NAME`` names."""
    given = [name for name in ALONE if getattr(args, name) is not None] + (["set"] if args.fields else [])
    given += [name for name, value in (("engine", args.engine != "auto"), ("overwrite", args.overwrite)) if value]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} does not go with {args.preset!r}, which is a study of many runs: dynsim list "
                         "studies tells what it varies, dynsim sweep varies what you like")
    return _study(args.preset, args)


def study_folder(name: str, args: argparse.Namespace) -> RunFolder | None:
    """Return the folder of a study, claimed before anything is computed; None where nothing is to be written.

    Raises
    ------
    ValueError
        If the folder cannot be written or holds another study.
    """
    if args.out is None:
        return None
    held = name
    with suppress(OSError, ValueError, AttributeError):  # no study there, or one that the folder's own list refuses
        held = json.loads((Path(args.out).expanduser() / "study.json").read_text(encoding="utf-8")).get("name", name)
    if held != name:
        raise FolderError(f"{args.out} holds the study {held!r}, not {name!r}: choose another folder")
    folder = RunFolder(args.out, overwrite=goes_on(args.out, "sweeps"), replaceable=False, planned=FILES)
    folder.claim()
    return folder


def make_study(
    name: str, study: Study, args: argparse.Namespace, folder: RunFolder | None, done: Mapping[str, Table] | None = None
) -> int:
    """Make a study's sweeps and runs, check, tell, write; return the exit status.

    Parameters
    ----------
    name : str
        Under which the system has figures for it, ``STUDY_FIGURES[name]``.
    study : Study
    args : Namespace
        With `study_options`.
    folder : RunFolder or None
    done : mapping of str to Table, optional
        Sweeps that were made already.
    """
    say, failures = Out(args.json or args.quiet), Failures()
    count = f"{len(study.plans)} sweep{'s' if len(study.plans) > 1 else ''}" + (f", {len(study.shown)} runs" if study.shown else "")
    say(f"{study.title}: {count}")
    for entry, plan in study.plans.items():
        say("\n".join(wrap(f"{entry}: {plan.doc}", width(), "  ")))
    try:
        tables = study.run(
            out=None if folder is None else folder.path / "sweeps", seeds=chosen_seeds(args.seeds), executor=chosen_executor(args),
            workers=args.workers, retry=args.retry, progress=lambda entry: meter_for(f"{entry}: cells", args), done=done,
        )
        runs = _shown(study, args)
    except (SweepInterrupted, SweepError) as stopped:
        return told(stopped)
    except Interrupted as stopped:
        kept = "nothing is kept (--out DIR keeps sweeps)" if folder is None else "the sweeps are kept; the same command goes on from here"
        print(f"\ndynsim: {stopped}: {kept}", file=sys.stderr)
        return INTERRUPTED
    system = next(iter(study.plans.values())).experiment.system
    made = _Made(name, system, study, tables, runs, check(tables), _laws(system, tables.get("sweep")))
    say(made.text(args.full))
    if folder is not None:
        skipped = made.write(folder, failures, args.figures)
        say("\n".join(skipped) if skipped else None)
        say(f"wrote {folder.path}: {', '.join(folder.files)}")
    for failure in failures:
        print(f"dynsim: {failure}", file=sys.stderr)
    if args.json:
        print_json({"kind": f"dynsim {name}", "title": study.title, "report": made.report.to_dict(),
                    "laws": [law.to_dict() for law in made.laws], "folder": args.out})
    errors = any(table.errors for table in tables.values())
    return INCOMPLETE if failures or errors else VIOLATED if args.strict and not made.report.ok else FINISHED


def _shown(study: Study, args: argparse.Namespace) -> dict[str, Trajectory]:
    """Return the runs that figures and stage tables show, of the first seed; they take seconds, and are not kept."""
    runs: dict[str, Trajectory] = {}
    meter = meter_for("runs", args) if study.shown else None
    seeds = chosen_seeds(args.seeds)
    first = seeds[0] if isinstance(seeds, list) else 0
    for done, (label, experiment) in enumerate(study.shown.items(), start=1):
        runs[label] = experiment.replace(seed=first).run()
        if meter is not None:
            meter(done, len(study.shown))
    return runs


@dataclass
class _Made:
    """What came out of a study, and how it is told and written."""

    name: str
    system: str
    study: Study
    tables: Mapping[str, Table]
    runs: Mapping[str, Trajectory]
    report: Report
    laws: list[PowerLaw]
    beside: tuple[tuple[str, ...], list[tuple[Any, ...]]] | None = field(init=False)

    def __post_init__(self) -> None:
        beside = getattr(system_module(self.system), "stages_beside", None)
        found = beside(self.runs) if beside is not None and self.runs else ((), [])
        self.beside = found if found[1] else None

    def text(self, full: bool) -> str:
        """Return tables, stages of the runs side by side, exponents and report."""
        parts = [f"\n{entry}\n{table_text(table)}" for entry, table in self.tables.items()]
        if self.beside is not None:
            seed = next(iter(self.runs.values())).provenance.get("seed")
            parts.append(f"\nstages at seed {seed}: the first step after each\n" + _aligned(*self.beside))
        if self.laws:
            parts.append("\n" + _exponents_text(self.laws))
        return "\n".join([*parts, "\n" + self.report.text(full=full)])

    def write(self, folder: RunFolder, failures: Failures, figures: str) -> list[str]:
        """Write everything that was told, and figures; return a sentence for each figure that the study has no data for."""
        texts = {
            "study.json": self._json(), "report.json": self.report.to_json() + "\n", "report.csv": self.report.to_csv(),
            "report.tex": self.report.to_latex(),
        }
        for table_name, found in (("exponents", (EXPONENT_COLUMNS, _exponent_rows(self.laws))), ("stages", self.beside or ((), []))):
            if found[1]:
                texts[f"{table_name}.csv"], texts[f"{table_name}.tex"] = csv_text(*found), latex_text(*found)
        for file, text in texts.items():
            with failures:
                folder.write_text(file, text)
        for entry, table in self.tables.items():
            for kind in ("csv", "nc"):
                with failures:
                    table.save(folder.path / "sweeps" / entry / f"table.{kind}")
        return [] if figures == "none" else self._draw(folder, failures)

    def _json(self) -> str:
        """Return what each sweep was for and what was run, as it was run."""
        sweeps = {entry: {"doc": self.study.plans[entry].doc, **table.about} for entry, table in self.tables.items()}
        runs = {label: experiment.to_dict() for label, experiment in self.study.shown.items()}
        about = {"kind": "dynsim study", "name": self.name, "system": self.system, "title": self.study.title, **self.study.about}
        return json.dumps(plain({**about, "sweeps": sweeps, "runs": runs}), indent=1) + "\n"

    def _draw(self, folder: RunFolder, failures: Failures) -> list[str]:
        from ..plotting import save  # with it Matplotlib, which a study without figures does not need

        drawings: Mapping[str, Callable[[Any], Any]] = getattr(system_module(self.system), "STUDY_FIGURES", {}).get(self.name, {})
        skipped = []
        for name, draw in drawings.items():
            with failures:
                try:
                    figure = draw({**self.tables, **self.runs})
                except Inconclusive as reason:
                    skipped.append(f"figure {name} not drawn: {reason}")
                    continue
                for kind in ("png", "svg"):
                    folder.write(f"figures/{name}.{kind}", partial(save, figure, kind=kind))
        return skipped


def _aligned(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return a table as text, its first column to the left."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))) for row in cells
    )


# -- exponents ---------------------------------------------------------------------------------------------------------


def _laws(system: str, table: Table | None) -> list[PowerLaw]:
    """Fit every exponent that the theory states and the sweep has the columns for."""
    found: list[PowerLaw] = []
    for quantity, theory in getattr(system_module(system), "EXPONENTS", {}).items():
        for name in theory:
            if table is not None and name in table.axes and quantity in table:
                with suppress(Inconclusive, ValueError):  # the report says why
                    found += laws_of(table, quantity, [name], theory)
    return found


EXPONENT_COLUMNS = ("quantity", "variable", "theorem", "exponent", "low", "high", "at the end of the range", "factor", "seeds")


def _exponent_rows(laws: list[PowerLaw]) -> list[tuple[Any, ...]]:
    rows = []
    for law in laws:
        for e in law.exponents:
            local = law.local.get(e.name) or ()
            rows.append((law.quantity, e.name, e.theory, e.value, e.low, e.high, local[-1].value if local else None, e.factor, law.seeds))
    return rows


def _exponents_text(laws: list[PowerLaw]) -> str:
    lines = ["quantity  variable   theorem   exponent   95 % interval          at the end of the range"]
    for quantity, name, theory, value, low, high, end, _, _ in _exponent_rows(laws):
        last = "" if end is None else f"{end:+.3f}"
        lines.append(f"{quantity:9s} {name:9s} {theory:+8.2f} {value:+10.4f}   [{low:+.4f}, {high:+.4f}]     {last}")
    return "\n".join(lines)
