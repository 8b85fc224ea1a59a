"""The tables of docs/claims.md: every claim of every system, with what became of it at the presets and in the studies.

Verdicts and margins are kept in docs/verdicts.json; statements, sources and what is read come from the registry.

    python docs/_ext/verdicts.py presets [SYSTEM...]     # run every preset, as `dynsim run` does, and keep its verdicts: some 4 minutes
    python docs/_ext/verdicts.py study FOLDER...         # keep those of studies that `dynsim study` or `dynsim compare` have written
    python docs/_ext/verdicts.py page                    # write the tables again
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from marks import put

from dynsim.claims import VERDICTS, Claim
from dynsim.plain import plain
from dynsim.registry import SYSTEMS, system_module
from dynsim.sweep.design import as_design

DOCS = Path(__file__).resolve().parents[1]
KEPT, PAGE = DOCS / "verdicts.json", DOCS / "claims.md"

Kept = dict[str, dict[str, dict[str, list[Any]]]]
"""System, preset or study, claim: verdict and margin."""

MARKS = {"claims": "CLAIMS", "sweep claims": "SWEEP_CLAIMS"}
"""What stands between which marks of the page."""

OTHERWISE = {"CLAIMS": "no number at any preset", "SWEEP_CLAIMS": "not judged in the studies kept here"}
"""What is said of a claim that has no verdict."""

COMMANDS = ("comparison",)
"""Studies that a command of its own makes: ``dynsim compare signal_noise --preset figure3 --optimizers ...``, as the README has it."""


SECTION = re.compile(r"docs/(\S+?\.md)(?:, (section \d+))?")
"""A page, and where on it, as sources of claims name them."""


def _linked(at: re.Match[str]) -> str:
    """Return a page, and where on it, as a link to the heading."""
    name = Path(at[1]).stem
    if at[2] is None:
        return f"[{name}]({at[1]})"
    heading = re.search(rf"^## ({at[2].removeprefix('section ')}\. .*)$", (DOCS / at[1]).read_text(), re.M)
    slug = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-") if heading else ""
    return f"[{name}, {at[2]}]({at[1]}#{slug})"


def kept() -> Kept:
    """Return the verdicts that are kept."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def verdicts_of(report: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return verdict and margin, to two digits, of the claims of a report.

    What is not applicable and has no number is about another kind of run and left out. What could not be decided is a result: its margin
    is None.
    """
    found = {}
    for v in report["verdicts"]:
        if v["margin"] is not None or v["verdict"] == "inconclusive":
            found[v["id"]] = [v["verdict"], None if v["margin"] is None else float(f"{v['margin']:.2g}")]
    return found


def of_preset(system: str, preset: str) -> dict[str, list[Any]]:
    """Return the verdicts on a preset, run as a user runs it."""
    with tempfile.TemporaryDirectory() as folder:
        command = f"-m dynsim run {system} --preset {preset} --figures none --quiet --out"
        subprocess.run([sys.executable, *command.split(), f"{folder}/run"], check=True)
        return verdicts_of(json.loads(Path(folder, "run", "report.json").read_text()))


def of_study(folder: Path) -> tuple[str, str, dict[str, list[Any]]]:
    """Return system, name and verdicts of a study's folder; the name says so if it was made with other seeds than the study's own.

    Raises
    ------
    ValueError
        If the folder holds no study, or one of another design than the study of that name.
    """
    if not (folder / "study.json").exists():
        raise ValueError(f"{folder} holds no study: dynsim study SYSTEM STUDY --out {folder} makes one")
    about = json.loads((folder / "study.json").read_text())
    name, plans = about["name"], {}
    if name in system_module(about["system"]).STUDIES:
        plans = system_module(about["system"]).STUDIES[name].plans
    elif name not in COMMANDS:
        raise ValueError(f"{folder} is of {name!r}, which is no study of {about['system']}; nor is it one of {', '.join(COMMANDS)}")
    few = set()
    for entry, plan in plans.items():
        made = about["sweeps"][entry]
        if made["design"] != plain(as_design(plan.over).describe()):
            raise ValueError(f"{folder}: the points of {entry!r} are not those of the study {name!r}: make it by dynsim study")
        few |= {len(made["seeds"])} if len(made["seeds"]) != plan.seeds else set()
    seeds = f" ({min(few)} seeds)" if few else ""
    return about["system"], f"study {name}{seeds}", verdicts_of(json.loads((folder / "report.json").read_text()))


def keep(found: Iterable[tuple[str, str, dict[str, list[Any]]]]) -> None:
    """Put verdicts into the file, a preset or study at a time."""
    for system, name, verdicts in found:
        every = kept()
        every.setdefault(system, {})[name] = verdicts
        text = json.dumps({s: every[s] for s in SYSTEMS if s in every}, indent=1)
        KEPT.write_text(re.sub(r"\[\s+(.*?),\s+(.*?)\s+\]", r"[\1, \2]", text) + "\n")  # a claim a line


def outcome(claim: str, of: Mapping[str, Mapping[str, list[Any]]], *, otherwise: str) -> str:
    """Return what became of a claim: verdict, where, and margin; violated ones first.

    >>> outcome("a", {"p": {"a": ["holds", 0.5]}, "q": {"a": ["inconclusive", None]}}, otherwise="-")
    'inconclusive: `q`; holds: `p` +0.5'
    >>> outcome("b", {"p": {"a": ["holds", 0.5]}}, otherwise="-")
    '-'
    """
    parts = []
    for verdict in VERDICTS:
        found = {name: of[name][claim][1] for name in of if claim in of[name] and of[name][claim][0] == verdict}
        if found:
            where = ", ".join(f"`{name}`" + ("" if margin is None else f" {margin:+.2g}") for name, margin in found.items())
            parts.append(f"{'**violated**' if verdict == 'violated' else verdict}: {where}")
    return "; ".join(parts) or otherwise


def reads(claim: Claim) -> str:
    """Return what a claim is read from: recorded quantities of a run, columns of a table."""
    return "; ".join(f"{entry}: {', '.join(f'`{name}`' for name in names)}" if names else entry for entry, names in claim.needs.items())


def table(registry: str) -> str:
    """Return the tables of a registry of claims as Markdown, a heading and a table a system."""
    every, lines = kept(), []
    for system in SYSTEMS:
        claims = getattr(system_module(system), registry, {}).values()
        if not claims:
            continue
        lines += [f"### `{system}`", "", "| claim | whose | where it is meant to hold | read from | verdict, margin |"]
        lines.append("|---|---|---|---|---|")
        for c in claims:
            where = "; ".join(a.text for a in c.assumes)
            became = outcome(c.id, every.get(system, {}), otherwise=OTHERWISE[registry])
            source = SECTION.sub(_linked, str(c.source))
            cells = (f"`{c.id}`: {c.statement}", source, where, reads(c), became)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def write_page() -> None:
    """Put the tables between their marks."""
    for mark, registry in MARKS.items():
        put(PAGE, mark, table(registry))


def main() -> None:
    """Do what the command line says."""
    what, *names = sys.argv[1:] or ["page"]
    if what not in ("presets", "study", "page"):
        raise SystemExit(f"{what!r} is not one of presets, study, page: see the top of {Path(__file__).name}")
    if what == "presets":
        keep((system, preset, of_preset(system, preset)) for system in names or SYSTEMS for preset in system_module(system).PRESETS)
    elif what == "study":
        keep([of_study(Path(name)) for name in names])
    write_page()


if __name__ == "__main__":
    main()
