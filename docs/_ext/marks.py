"""Parts of pages that are written by a program: what stands between ``<!-- name -->`` and ``<!-- /name -->``."""

from __future__ import annotations

import re
from pathlib import Path


def _between(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {mark} -->\n)(.*?)(\n?<!-- /{mark} -->)", re.S)


def shown(page: Path, mark: str) -> str:
    """Return what a page shows between two marks.

    Raises
    ------
    ValueError
        If the page has no such marks.
    """
    found = _between(mark).search(page.read_text())
    if found is None:
        raise ValueError(f"{page} has no part between <!-- {mark} --> and <!-- /{mark} -->")
    return found[2]


def put(page: Path, mark: str, text: str) -> None:
    """Write a text between two marks of a page."""
    shown(page, mark)
    page.write_text(_between(mark).sub(lambda found: f"<!-- {mark} -->\n{text}\n<!-- /{mark} -->", page.read_text()))
