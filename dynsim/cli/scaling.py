"""The command ``dynsim scaling``: power laws of a sweep beside the theorem's exponents."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..check import check
from ..claims import Inconclusive, Report
from ..registry import system_module
from ..scaling import PowerLaw, fit_power_law
from ..sweep import Table, load_table
from .console import FINISHED, INCOMPLETE, VIOLATED, Failures, Out, print_json
from .sweeping import Command, names_of

__all__ = ["laws_of", "scaling_command"]


def scaling_command(command: Command) -> None:
    """Add the command."""
    scaling = command("scaling", _scaling, "fit power laws to a sweep, with intervals over seeds, next to the theorem's exponents")
    scaling.add_argument("sweep", metavar="DIR|FILE.nc", help="folder of a sweep, or its table")
    scaling.add_argument("--quantity", metavar="NAME,...", help="measured columns (default: all that the theory has exponents for)")
    scaling.add_argument("--over", metavar="NAME,...", help="variables to fit (default: all that were varied)")
    scaling.add_argument("--level", type=float, default=0.95, help="confidence of the intervals (default: 0.95)")
    scaling.add_argument("--method", choices=("t", "bootstrap"), default="t", help="intervals: Student's t or studentised bootstrap")
    scaling.add_argument("--figures", choices=("none", "main"), default="main", help="figures to draw into DIR/figures (default: main)")
    scaling.add_argument("--strict", action="store_true", help="exit with status 1 if a claim is violated")


def _scaling(args: argparse.Namespace) -> int:
    table, say = load_table(args.sweep), Out(args.json)
    theory: Mapping[str, Mapping[str, float]] = _theory(table)
    quantities = (names_of([args.quantity]) or []) if args.quantity else [name for name in theory if name in table]
    if not quantities:
        raise ValueError(f"give --quantity: one of {', '.join(table.measured)}")
    for quantity in quantities:
        if quantity not in table.measured:
            raise ValueError(f"--quantity {quantity}: the sweep measured {', '.join(table.measured)}")
    if not table.axes:
        raise ValueError(f"{args.sweep} varies nothing: there is nothing to fit a power law to")
    names = (names_of([args.over]) or []) if args.over else [name for name in table.axes if table[name].dtype.kind in "if"]
    for name in names:
        if name not in table.axes:
            raise ValueError(f"--over {name}: the sweep varies {', '.join(table.axes)}")
    laws: dict[str, list[PowerLaw]] = {}
    try:
        for quantity in quantities:
            laws[quantity] = laws_of(table, quantity, names, theory.get(quantity), args.level, args.method)
    except Inconclusive as reason:
        raise ValueError(f"no power law can be fitted: {reason}") from None
    report = _scaling_report(table, quantities)
    for fits in laws.values():
        say("\n\n".join(str(law) for law in fits))
    say(report.text(full=True) if report.verdicts else "no exponents of the theory to compare with")
    failures = Failures()
    if args.figures != "none" and not Path(args.sweep).is_dir():
        say("no figures: they are drawn into the folder of a sweep")
    elif args.figures != "none":
        _draw_laws(Path(args.sweep), table, laws, theory, failures, say)
    for failure in failures:
        print(f"dynsim: {failure}", file=sys.stderr)
    if args.json:
        print_json({"kind": "dynsim scaling", "about": dict(table.about), "laws": [law.to_dict() for fits in laws.values() for law in fits],
                    "report": report.to_dict()})
    return INCOMPLETE if failures else VIOLATED if args.strict and not report.ok else FINISHED


def _theory(table: Table) -> Mapping[str, Mapping[str, float]]:
    """Return the exponents that the table's system states, by quantity and variable."""
    system = table.about.get("experiment", {}).get("system")
    return getattr(system_module(system), "EXPONENTS", {}) if system else {}


def laws_of(
    table: Table, quantity: str, names: Sequence[str], theory: Mapping[str, float] | None, level: float = 0.95, method: Any = "t"
) -> list[PowerLaw]:
    """Fit all variables together on a grid, and one after the other on a star of points."""
    together = all(table.arm(name) is table for name in names)
    groups = [names] if together else [[name] for name in names if len(set(table[name].tolist())) > 1]
    return [
        fit_power_law(table if together else table.arm(group[0]), quantity, group, level=level, method=method,
                      theory={name: theory[name] for name in group if name in theory} if theory else None)
        for group in groups
    ]


def _scaling_report(table: Table, quantities: list[str]) -> Report:
    """Judge the claims about these quantities."""
    system = table.about.get("experiment", {}).get("system")
    known = getattr(system_module(system), "SWEEP_CLAIMS", {}) if system else {}
    chosen = [c for c in known.values() if set(c.needs) == {"sweep"} and set(quantities) & set(c.needs["sweep"])
              and all(name in table for name in c.needs["sweep"])]
    return check({"sweep": table}, chosen)


def _draw_laws(folder: Path, table: Table, laws: Mapping[str, list[PowerLaw]], theory: Any, failures: Failures, say: Out) -> None:
    from ..plotting import save
    from ..scaling import scaling_figure

    drawn = []
    (folder / "figures").mkdir(exist_ok=True)
    for quantity, fits in laws.items():
        for law in fits:
            over = [exponent.name for exponent in law.exponents]
            name = "scaling_" + re.sub(r"[^\w.@-]+", "_", quantity) + (f"_{over[0]}" if len(fits) > 1 else "")
            with failures:
                figure = scaling_figure(table.arm(over[0]) if len(fits) > 1 else table, quantity, law)
                for kind in ("png", "svg"):
                    save(figure, folder / "figures" / f"{name}.{kind}", kind=kind)
                drawn.append(name)
    say(f"drew {', '.join(f'{name}.png' for name in drawn)} and the same as .svg into {folder}/figures" if drawn else None)
