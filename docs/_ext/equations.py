"""Which numbered equation of a derivation page is implemented where, and which example checks it.

Three conventions, all plain text that a reader meets in the source:

- a page numbers an equation with ``\\tag{7}``;
- an example that checks equations says so in its first line, ``>>> # checks (7), (9) to (11)``;
- a docstring says "equation (7)", "equations (7), (9) to (11)"; these are of the page ``docs/derivations/NAME.md`` that the docstring
  names right after them, else of the first such page named by the docstring of its module, or of the package around it.

    python docs/_ext/equations.py [PAGE]      # lists what has no example and what no docstring names
"""

from __future__ import annotations

import ast
import doctest
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DERIVATIONS = ROOT / "docs" / "derivations"

TAG = re.compile(r"\\tag\{(T?\d+)\}")
LIST = r"\(T?\d+\)(?:(?:,\s+and\s+|,\s+|\s+and\s+|\s+to\s+)\(T?\d+\))*"
"""One number in parentheses or several: (1), (2) to (4) and (7)."""
PAGE = re.compile(r"docs/derivations/(\w+)\.md")
CITED = re.compile(rf"[Ee]quations?\s+({LIST})(?:\s+of\s+{PAGE.pattern})?")
CHECKS = re.compile(rf"^\s*>>> # checks ({LIST})\s*$", re.M)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


class Place(NamedTuple):
    """A docstring that names an equation."""

    module: str
    name: str
    """Qualified name within the module; empty for the module itself."""

    def __str__(self) -> str:
        return ".".join(filter(None, self))


def numbers(text: str) -> list[str]:
    """Return the numbers in a list such as "(1), (3) to (5)".

    >>> numbers("(1), (3) to (5) and (T2)")
    ['1', '3', '4', '5', 'T2']
    """
    found: list[str] = []
    for joint, number in re.findall(r"(to)?\s*\((T?\d+)\)", text):
        if joint:
            letter, first, last = number[: -len(number.lstrip("T"))], int(found[-1].lstrip("T")), int(number.lstrip("T"))
            found += [f"{letter}{n}" for n in range(first + 1, last + 1)]
        else:
            found.append(number)
    return found


def pages() -> list[str]:
    """Return the names of the derivation pages."""
    return sorted(path.stem for path in DERIVATIONS.glob("*.md"))


def equations(page: str) -> list[str]:
    """Return the numbers of a page's equations, in its order."""
    return TAG.findall((DERIVATIONS / f"{page}.md").read_text())


def checked(page: str) -> dict[str, list[doctest.Example]]:
    """Return the examples that say they check an equation, by its number: those of the block, with an expected result."""
    found: dict[str, list[doctest.Example]] = {}
    for block in BLOCK.findall((DERIVATIONS / f"{page}.md").read_text()):
        results = [example for example in doctest.DocTestParser().get_examples(block) if example.want]
        for mark in CHECKS.findall(block):
            for number in numbers(mark):
                found.setdefault(number, []).extend(results)
    return found


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield qualified name and docstring of a module and of all functions and classes in it."""
    below: list[tuple[str, ast.AST]] = [("", tree)]
    while below:
        name, node = below.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield name, ast.get_docstring(node) or ""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                below.append((f"{name}.{child.name}".lstrip("."), child))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def page_of(path: Path) -> str | None:
    """Return the page that a module's docstrings refer to: named by its own docstring, or by that of a package around it."""
    for place in (path, *(parent / "__init__.py" for parent in path.parents if ROOT in parent.parents)):
        named = PAGE.search(ast.get_docstring(_tree(place)) or "") if place.exists() else None
        if named:
            return named[1]
    return None


def cited(text: str, page: str | None) -> Iterator[tuple[str, str]]:
    """Yield page and number of every equation that a docstring names.

    >>> list(cited("The gradient, equations (10) and (11); equation (3) of docs/derivations/adam.md.", "signal_noise"))
    [('signal_noise', '10'), ('signal_noise', '11'), ('adam', '3')]
    """
    for found in CITED.finditer(text):
        for number in numbers(found[1]):
            if found[2] or page:
                yield found[2] or str(page), number


@cache
def implemented() -> Mapping[tuple[str, str], list[Place]]:
    """Return, by page and number, the docstrings in dynsim that name an equation."""
    found: dict[tuple[str, str], list[Place]] = {}
    for path in sorted((ROOT / "dynsim").rglob("*.py")):
        if {"exercises", "skeleton"} & set(path.parts):
            continue
        for name, text in _docstrings(_tree(path)):
            for equation in dict.fromkeys(cited(text, page_of(path))):
                found.setdefault(equation, []).append(Place(_module(path), name))
    return found


def main() -> None:
    """List what is missing."""
    if unknown := set(sys.argv[1:]) - set(pages()):
        raise SystemExit(f"no page {', '.join(sorted(unknown))}: there are {', '.join(pages())}")
    places = implemented()
    for page in sys.argv[1:] or pages():
        every, examples = equations(page), checked(page)
        print(f"{page}: {len(every)} equations")
        print("  no example:  ", ", ".join(n for n in every if n not in examples) or "-")
        print("  no docstring:", ", ".join(n for n in every if not any(p.name for p in places.get((page, n), ()))) or "-")
    known = {page: equations(page) for page in pages()}
    for (page, number), where in places.items():
        if number not in known.get(page, ()):
            print(f"unknown equation ({number}) of {page}: named by {', '.join(map(str, where))}")


if __name__ == "__main__":
    main()
