"""Checks every link within the built site, that its file is there, and in the file its place; pictures and formulas too.

    python docs/_ext/links.py docs/_build
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, the places it has, its pictures without words, and formulas that cannot show their number."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.wordless: list[str] = []
        self.split = len(re.findall(r"\\begin\{split\}(?:(?!\\end\{split\}).)*\\tag\{", text, re.S))
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect links, places and pictures."""
        found = dict(attrs)
        self.places |= {str(found[key]) for key in ("id", "name") if found.get(key)}
        self.links += [str(found[key]) for key in ("href", "src") if found.get(key)]
        if tag == "img" and "alt" not in found:  # empty words are said of decoration
            self.wordless.append(str(found.get("src")))


def broken(site: Path) -> list[str]:
    """Return a line for every link within the site that leads nowhere, every picture without words, and formulas that are not shown.

    Parameters
    ----------
    site : Path
        The folder that sphinx-build has written.

    Raises
    ------
    ValueError
        If it has no pages.
    """
    pages = {path.resolve(): Page(path.read_text()) for path in site.rglob("*.html") if "_static" not in path.parts}
    if not pages:
        raise ValueError(f"{site} has no pages: build the site first, sphinx-build -W docs {site}")
    found = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{where}: {link}: no such file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                found.append(f"{where}: {link}: no such place")
        found += [f"{where}: {page.split} numbered formulas in split, which MathJax refuses"] if page.split else []
        found += [f"{where}: {source}: no words for those who cannot see it" for source in page.wordless]
    return found


def main() -> int:
    """Check the site the command line names."""
    if len(sys.argv) != 2:
        raise SystemExit("which site? python docs/_ext/links.py FOLDER")
    site = Path(sys.argv[1])
    lines = broken(site)
    print("\n".join(lines) or f"all links within {len(list(site.rglob('*.html')))} pages lead somewhere")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
