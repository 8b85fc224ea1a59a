"""The command ``dynsim theorem``: every sweep that a theorem needs, checked, as one report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from ..check import check
from ..claims import Inconclusive, Report
from ..plain import plain
from ..registry import SYSTEMS, system_module
from ..scaling import PowerLaw
from ..sweep import SweepError, SweepInterrupted, Table
from ..tabular import csv_text, latex_text
from .console import FINISHED, INCOMPLETE, VIOLATED, Failures, Out, meter_for, print_json, width
from .runfolder import RunFolder, goes_on
from .scaling import laws_of
from .summary import wrap
from .sweeping import Command, chosen_executor, chosen_seeds, run_options, table_text, told

__all__ = ["theorem_command"]

FILES = ("study.json", "report.json", "report.csv", "report.tex", "exponents.csv", "exponents.tex")
"""Files of a theorem's folder besides figures and sweeps."""


def theorem_command(command: Command) -> None:
    """Add the command."""
    theorem = command("theorem", _theorem, "make every sweep a theorem needs, check it, and write a report with figures")
    theorem.add_argument("system", metavar="SYSTEM", help=f"one of: {', '.join(SYSTEMS)}")
    theorem.add_argument("--out", metavar="DIR", help="folder to write; the same command goes on where it was stopped")
    theorem.add_argument("--figures", choices=("none", "main"), default="main", help="figures to draw into DIR/figures (default: main)")
    theorem.add_argument("--full", action="store_true", help="tell claims that hold in full as well")
    theorem.add_argument("--strict", action="store_true", help="exit with status 1 if a claim is violated")
    run_options(theorem, "each sweep's own number")


def _theorem(args: argparse.Namespace) -> int:
    study = getattr(system_module(args.system), "STUDIES", {}).get("theorem")
    if study is None:
        raise ValueError(f"{args.system} has no theorem that sweeps could show; systems: {', '.join(SYSTEMS)}")
    say, failures = Out(args.json or args.quiet), Failures()
    folder = None
    if args.out is not None:
        folder = RunFolder(args.out, overwrite=goes_on(args.out, "sweeps"), planned=FILES)
        folder.claim()
    say(f"{study.title}: {len(study.plans)} sweeps")
    for name, plan in study.plans.items():
        say("\n".join(wrap(f"{name}: {plan.doc}", width(), "  ")))
    try:
        tables = study.run(
            out=None if folder is None else folder.path / "sweeps", seeds=chosen_seeds(args.seeds), executor=chosen_executor(args),
            workers=args.workers, retry=args.retry, progress=lambda name: meter_for(f"{name}: cells", args),
        )
    except (SweepInterrupted, SweepError) as stopped:
        return told(stopped)
    report = check(tables)
    laws = _theorem_laws(args.system, tables.get("sweep"))
    for name, table in tables.items():
        say(f"\n{name}\n{table_text(table)}")
    say("\n" + _exponents_text(laws))
    say("\n" + report.text(full=args.full))
    if folder is not None:
        _write_theorem(folder, args, tables, report, laws, failures)
        say(f"wrote {folder.path}: {', '.join(folder.files)}")
    for failure in failures:
        print(f"dynsim: {failure}", file=sys.stderr)
    if args.json:
        print_json({"kind": "dynsim theorem", "title": study.title, "report": report.to_dict(), "laws": [law.to_dict() for law in laws],
                    "folder": args.out})
    errors = any(table.errors for table in tables.values())
    return INCOMPLETE if failures or errors else VIOLATED if args.strict and not report.ok else FINISHED


def _study_json(system: str, tables: Mapping[str, Table]) -> str:
    """Return what each sweep was for and what was run, as it was run."""
    study = system_module(system).STUDIES["theorem"]
    sweeps = {name: {"doc": study.plans[name].doc, **table.about} for name, table in tables.items()}
    return json.dumps(plain({"kind": "dynsim study", "system": system, "title": study.title, "sweeps": sweeps}), indent=1) + "\n"


def _theorem_laws(system: str, table: Table | None) -> list[PowerLaw]:
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


def _write_theorem(
    folder: RunFolder, args: argparse.Namespace, tables: Mapping[str, Table], report: Report, laws: list[PowerLaw], failures: Failures
) -> None:
    rows = _exponent_rows(laws)
    for name, text in (
        ("study.json", _study_json(args.system, tables)), ("report.json", report.to_json() + "\n"),
        ("report.csv", report.to_csv()), ("report.tex", report.to_latex()),
        ("exponents.csv", csv_text(EXPONENT_COLUMNS, rows)), ("exponents.tex", latex_text(EXPONENT_COLUMNS, rows)),
    ):
        with failures:
            folder.write_text(name, text)
    for name, table in tables.items():
        for kind in ("csv", "nc"):
            with failures:
                table.save(folder.path / "sweeps" / name / f"table.{kind}")
    if args.figures == "none":
        return
    from ..plotting import save

    for name, draw in getattr(system_module(args.system), "STUDY_FIGURES", {}).get("theorem", {}).items():
        with failures:
            try:
                figure = draw(tables)
            except Inconclusive as reason:
                failures.append(f"figure {name} not drawn: {reason}")
                continue
            for kind in ("png", "svg"):
                folder.write(f"figures/{name}.{kind}", partial(save, figure, kind=kind))
