"""Tables of what there is: systems, presets, claims, measures, studies, phase diagrams; as data and as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..explore import explorable
from ..optimizers import describe
from ..plain import plain
from ..registry import system_module, system_names, system_title
from ..summary import horizon_text, literal_text, rule_text, wrap

__all__ = ["TABLES", "table_text"]

Rows = list[dict[str, Any]]


def systems() -> Rows:
    """Return name and title of every system, and whether `dynsim explore` opens it."""
    windows = explorable()
    return [{"name": name, "title": system_title(name), "explore": name in windows} for name in system_names()]


def presets() -> Rows:
    """Return every preset, with where it comes from."""
    return [
        {"system": system, "name": name, "origin": e.origin, "note": e.note, "optimizer": plain(describe(e.optimizer)),
         "horizon": horizon_text(e), "setting": plain(e.setting)}
        for system in system_names() for name, e in getattr(system_module(system), "PRESETS", {}).items()
    ]


def claims() -> Rows:
    """Return every claim, with what it is about, whose statement it is and what it assumes."""
    return [
        {"system": system, "id": c.id, "about": about, "statement": c.statement, "latex": c.latex, "source": str(c.source),
         "assumes": [a.text for a in c.assumes]}
        for system in system_names() for about, registry in (("run", "CLAIMS"), ("sweep", "SWEEP_CLAIMS"))
        for c in getattr(system_module(system), registry, {}).values()
    ]


def measures() -> Rows:
    """Return every measure that a sweep can name, with its columns."""
    return [
        {"system": system, "name": name, "columns": {column: c.doc for measure in found for column, c in measure.columns.items()}}
        for system in system_names() for name, found in getattr(system_module(system), "MEASURES", {}).items()
    ]


def diagrams() -> Rows:
    """Return every built-in phase diagram."""
    return [
        {"system": system, "name": name, "doc": diagram.doc}
        for system in system_names() for name, diagram in getattr(system_module(system), "DIAGRAMS", {}).items()
    ]


def studies() -> Rows:
    """Return every study, with its sweeps."""
    return [
        {"system": system, "name": name, "title": study.title, "sweeps": {entry: plan.doc for entry, plan in study.plans.items()}}
        for system in system_names() for name, study in getattr(system_module(system), "STUDIES", {}).items()
    ]


TABLES: Mapping[str, Callable[[], Rows]] = {
    "systems": systems, "presets": presets, "claims": claims, "measures": measures, "studies": studies, "diagrams": diagrams,
}
"""Tables by name, each a function that returns its rows."""


def table_text(name: str, width: int) -> str:
    """Return a table as text."""
    lines = [name]
    for row in TABLES[name]():
        lines.extend(_TEXTS[name](row, width))
    return "\n".join(lines)


def _system(row: dict[str, Any], width: int) -> list[str]:
    return [f"  {row['name']:18s} {row['title']}{'; dynsim explore opens it' if row['explore'] else ''}"]


def _preset(row: dict[str, Any], width: int) -> list[str]:
    numbers = " ".join(f"{key}={literal_text(value)}" for key, value in row["setting"].items())
    head = f"  {row['system']} {row['name']:18s} {row['origin']:15s} {rule_text(row['optimizer'])}, {row['horizon']}"
    return [head, *wrap(numbers, width, " " * 6), *wrap(row["note"], width, " " * 6)]


def _claim(row: dict[str, Any], width: int) -> list[str]:
    where = f"where {'; '.join(row['assumes'])}" if row["assumes"] else ""
    about = "" if row["about"] == "run" else f"about a {row['about']}; "
    return [f"  {row['id']:30s} {about}{row['source']}", *wrap(row["statement"], width, " " * 6), *wrap(where, width, " " * 6)]


def _measure(row: dict[str, Any], width: int) -> list[str]:
    return [f"  {row['name']}", *(line for name, doc in row["columns"].items() for line in wrap(f"{name}: {doc}", width, " " * 6))]


def _study(row: dict[str, Any], width: int) -> list[str]:
    sweeps = (line for entry, doc in row["sweeps"].items() for line in wrap(f"{entry}: {doc}", width, " " * 6))
    return [f"  {row['system']} {row['name']:18s} {row['title']}", *sweeps]


def _diagram(row: dict[str, Any], width: int) -> list[str]:
    return [f"  {row['name']}", *wrap(row["doc"], width, " " * 6)]


_TEXTS = {"systems": _system, "presets": _preset, "claims": _claim, "measures": _measure, "studies": _study, "diagrams": _diagram}
