"""Writes the pages of the API reference: one for each package and each module at the top of dynsim, from what they offer in `__all__`.

A function or class is documented once, where a reader finds it first: in `dynsim`, then in its packages, then in their modules. Functions
that implement a numbered equation and are offered nowhere are added to the page of their package, so that the equation has something to
lead to.

Docstrings are plain text, in which ``|x|`` and ``(*n, d)`` mean themselves; here they are escaped, as markup would read them otherwise.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any

from equations import Place, implemented

import dynsim

PARTS = {"dynsim": "What is imported most", "dynsim.systems": "Systems", "": "Rooms"}
"""Parts of the reference in their order, by what the names in them begin with, and their headings."""


@cache
def units() -> tuple[str, ...]:
    """Return the packages and top-level modules that offer names: dynsim, the systems, the rest."""
    names = [m.name for m in pkgutil.walk_packages(dynsim.__path__, "dynsim.") if m.ispkg or m.name.count(".") == 1]
    public = [name for name in names if "._" not in name and getattr(importlib.import_module(name), "__all__", ())]
    return ("dynsim", *sorted(public, key=lambda name: (not name.startswith("dynsim.systems"), name.count("."), name)))


def _thing(full: str) -> Any:
    """Return what a full name means, a module's own function before a module of that name."""
    module, _, name = full.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _is_code(thing: Any) -> bool:
    return inspect.isroutine(thing) or (inspect.isclass(thing) and not isinstance(thing, GenericAlias))


@cache
def offered() -> Mapping[str, list[str]]:
    """Return, by unit, the full names documented there. Data are documented where their unit is."""
    seen: set[int] = set()
    found: dict[str, list[str]] = {}
    for unit in units():
        for name in importlib.import_module(unit).__all__:
            thing = _thing(f"{unit}.{name}")
            if not name.startswith("_") and id(thing) not in seen and not inspect.ismodule(thing):
                found.setdefault(unit, []).append(f"{unit}.{name}")
                seen.add(id(thing))
    return found


@cache
def homes() -> Mapping[int, str]:
    """Return the full name under which each function and class is documented, by its identity."""
    return {id(_thing(full)): full for names in offered().values() for full in names if _is_code(_thing(full))}


def home(place: Place) -> str | None:
    """Return the full name under which a docstring is documented; None for a module's, and for what only a function's body has."""
    head, _, tail = place.name.partition(".")
    thing = getattr(importlib.import_module(place.module), head, None) if head else None
    if thing is None:
        return None
    full = homes().get(id(thing), f"{place.module}.{head}")
    return f"{full}.{tail}" if tail and inspect.isclass(thing) and not tail.startswith("_") and "." not in tail else full


@cache
def further() -> Mapping[str, list[str]]:
    """Return, by unit, full names of functions and classes that implement equations and are offered nowhere."""
    found: dict[str, list[str]] = {}
    for place in sorted({place for places in implemented().values() for place in places}):
        full = home(place)
        name = f"{place.module}.{place.name.partition('.')[0]}"
        if full is not None and id(_thing(name)) not in homes():
            unit = next(u for u in sorted(offered(), key=len, reverse=True) if f"{place.module}.".startswith(f"{u}."))
            names = found.setdefault(unit, [])
            if name not in names:
                names.append(name)
    return found


def _directive(full: str) -> str:
    thing, path = _thing(full), "::".join(full.rpartition(".")[::2])  # the module explicitly: a function may have its name
    if isinstance(thing, GenericAlias | UnionType):
        return f".. py:type:: {full}\n\n   ``{thing}``\n"
    if not _is_code(thing):
        return f".. autodata:: {path}\n   :no-value:\n"
    return f".. autoclass:: {path}\n   :members:\n" if inspect.isclass(thing) else f".. autofunction:: {path}\n"


def _headed(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def pages() -> Iterator[tuple[str, str]]:
    """Yield name and text of every page of the reference."""
    taken = {full for names in offered().values() for full in names}
    for unit, names in offered().items():
        also = "   :no-index:\n" if unit in taken else ""  # dynsim.simulate is a function; the module of that name stands behind it
        lines = [*_headed(unit, "="), f".. automodule:: {unit}\n   :no-members:\n{also}", *map(_directive, names)]
        if unit in further():
            lines += [*_headed("Behind these: what implements equations", "-"), *map(_directive, further()[unit])]
        yield unit, "\n".join(lines)
    text = "Every name that a package, or a module at the top of dynsim, offers: once, where it is found first."
    lines = [*_headed("API reference", "="), text, ""]
    left = list(offered())
    for start, title in PARTS.items():
        here = [unit for unit in left if unit == start or unit.startswith(f"{start}." if start and start != "dynsim" else "dynsim.")]
        here = ["dynsim"] if start == "dynsim" else here
        left = [unit for unit in left if unit not in here]
        lines += [f".. toctree::\n   :caption: {title}\n   :maxdepth: 1\n", *(f"   {unit}" for unit in here), ""]
    yield "index", "\n".join(lines)


def write(folder: Path) -> None:
    """Write the pages that have changed, and delete those of units that are gone."""
    folder.mkdir(exist_ok=True)
    texts = {folder / f"{name}.rst": text for name, text in pages()}
    for path in set(folder.glob("*.rst")) - set(texts):
        path.unlink()
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


KEPT = re.compile(r"(``.+?``|:\w+:`.+?`|`[^`]+`|\*\*\w[^*]*\*\*|(?<!\*)\*\w[\w ]*\*(?!\*))")
"""What markup is meant to read in a docstring: literals, roles, names, and words that are stressed."""


VARIADIC = re.compile(r"(\s*\*{1,2}\w+(?=$| :))?")
"""A parameter ``*args`` or ``**options`` at the head of its description, which numpydoc escapes."""

MARKUP = re.compile(r"[*|]|(?<=\w)_(?=[\s,.;:)]|$)")
"""What would be read as markup outside these."""


def plain_lines(lines: list[str]) -> list[str]:
    """Return lines of a docstring with stars, bars and trailing underscores escaped that are no markup.

    >>> plain_lines(["|x| of shape (*n, d), ``a*b``", ">>> 2 * 3", "*args"])
    ['\\\\|x\\\\| of shape (\\\\*n, d), ``a*b``', '>>> 2 * 3', '*args']
    """
    found, literal, indent = [], False, 0
    for line in lines:
        here = len(line) - len(line.lstrip())
        if literal and line.strip() and here <= indent:
            literal = False
        doctest = line.lstrip().startswith((">>>", "..."))
        if not literal and not doctest:
            name = VARIADIC.match(line)[0]  # type: ignore[index]  # it matches always
            parts = KEPT.split(line[len(name):])
            line = name + "".join(part if number % 2 else MARKUP.sub(r"\\\g<0>", part) for number, part in enumerate(parts))
        if line.rstrip().endswith("::"):
            literal, indent = True, here
        found.append(line)
    return found


def as_plain_text(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let a docstring's text mean itself."""
    lines[:] = plain_lines(lines)


def back_to_where_it_is(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Lead "[docs]" beside source code to where a name is documented: viewcode knows one place for a whole module."""
    if not pagename.startswith("_modules/dynsim"):
        return
    module = pagename.removeprefix("_modules/").replace("/", ".")

    units_of = {name: unit for of in (offered(), further()) for unit, names in of.items() for name in names}

    def link(found: re.Match[str]) -> str:
        full = str(home(Place(module, found[2])))
        unit = units_of.get(full) or units_of.get(full.rpartition(".")[0])  # a method is where its class is
        return f"{found[1]}{app.builder.get_relative_uri(pagename, f'api/{unit}')}#{full}\"" if unit else found[0]

    context["body"] = re.sub(r'(id="([\w.]+)">\s*<a class="viewcode-back" href=")[^"]*"', link, context["body"])


def setup(app: Any) -> dict[str, bool]:
    """Write the reference before pages are read, and read docstrings as text."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "api"))
    app.connect("html-page-context", back_to_where_it_is)
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)  # before numpydoc, which makes markup of sections
    return {"parallel_read_safe": True, "parallel_write_safe": True}
