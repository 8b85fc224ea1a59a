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
from dynsim.registry import SYSTEMS, system_module

DOCS = Path(__file__).resolve().parents[1]
KEPT, PAGE = DOCS / "verdicts.json", DOCS / "claims.md"

Kept = dict[str, dict[str, dict[str, list[Any]]]]
"""System, preset or study, claim: verdict and margin."""

MARKS = {"claims": "CLAIMS", "sweep claims": "SWEEP_CLAIMS"}
"""What stands between which marks of the page."""


SECTION = re.compile(r"docs/(\S+?\.md)(?:, (section \d+))?")
"""A page, and where on it, as sources of claims name them."""


def kept() -> Kept:
    """Return the verdicts that are kept."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def verdicts_of(report: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return verdict and margin, to two digits, of every claim of a report that has a number; of the others the verdict says nothing."""
    return {v["id"]: [v["verdict"], float(f"{v['margin']:.2g}")] for v in report["verdicts"] if v["margin"] is not None}


def of_preset(system: str, preset: str) -> dict[str, list[Any]]:
    """Return the verdicts on a preset, run as a user runs it."""
    with tempfile.TemporaryDirectory() as folder:
        command = f"-m dynsim run {system} --preset {preset} --figures none --quiet --out"
        subprocess.run([sys.executable, *command.split(), f"{folder}/run"], check=True)
        return verdicts_of(json.loads(Path(folder, "run", "report.json").read_text()))


def of_study(folder: Path) -> tuple[str, str, dict[str, list[Any]]]:
    """Return system, name and verdicts of a study's folder."""
    about = json.loads((folder / "study.json").read_text())
    return about["system"], f"study {about['name']}", verdicts_of(json.loads((folder / "report.json").read_text()))


def keep(found: Iterable[tuple[str, str, dict[str, list[Any]]]]) -> None:
    """Put verdicts into the file, a preset or study at a time."""
    for system, name, verdicts in found:
        every = kept()
        every.setdefault(system, {})[name] = verdicts
        text = json.dumps({s: every[s] for s in SYSTEMS if s in every}, indent=1)
        KEPT.write_text(re.sub(r"\[\s+(.*?),\s+(.*?)\s+\]", r"[\1, \2]", text) + "\n")  # a claim a line


def outcome(claim: str, of: Mapping[str, Mapping[str, list[Any]]]) -> str:
    """Return what became of a claim: verdict, where, and margin; violated ones first."""
    parts = []
    for verdict in VERDICTS:
        where = [f"`{name}` {of[name][claim][1]:+.2g}" for name in of if claim in of[name] and of[name][claim][0] == verdict]
        if where:
            parts.append(f"{'**violated**' if verdict == 'violated' else verdict}: {', '.join(where)}")
    return "; ".join(parts) or "no number at any preset"


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
            where, became = "; ".join(a.text for a in c.assumes), outcome(c.id, every.get(system, {}))
            source = SECTION.sub(lambda at: f"[{at[2] or Path(at[1]).stem}]({at[1]})", str(c.source))
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
    if what == "presets":
        keep((system, preset, of_preset(system, preset)) for system in names or SYSTEMS for preset in system_module(system).PRESETS)
    elif what == "study":
        keep(of_study(Path(name)) for name in names)
    write_page()


if __name__ == "__main__":
    main()
