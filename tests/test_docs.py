"""Documents that must not drift: the claims table, the README's commands, words that do not belong here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynsim.registry import SYSTEMS, system_module

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def claims_table(registry: str) -> str:
    """Return the table of all claims of a registry as Markdown."""
    lines = ["| system | claim | statement | whose | where |", "|---|---|---|---|---|"]
    for system in SYSTEMS:
        for c in getattr(system_module(system), registry, {}).values():
            cells = (f"`{system}`", f"`{c.id}`", c.statement, str(c.source), "; ".join(a.text for a in c.assumes))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


@pytest.mark.parametrize(("mark", "registry"), [("claims", "CLAIMS"), ("sweep claims", "SWEEP_CLAIMS")])
def test_claims_page_shows_the_registry(mark, registry):
    page = (ROOT / "docs/claims.md").read_text()
    shown = re.search(rf"<!-- {mark} -->\n(.*?)\n?<!-- /{mark} -->", page, re.S).group(1)
    table = claims_table(registry)
    assert shown == table, "docs/claims.md is out of date; put this table between its marks:\n" + table


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_has_the_two_commands_alone_on_their_lines():
    commands = re.findall(r"^    (pip install .*)$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) == 2
    assert "dynsim run signal_noise --preset figure3" in commands[0] and commands[1].endswith("pytest")


def test_every_preset_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in system_module("signal_noise").PRESETS)
