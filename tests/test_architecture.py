"""The directions of imports that docs/architecture.md states are those of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dynsim"
PAGE = (ROOT / "docs/architecture.md").read_text()


def table(mark: str) -> list[list[list[str]]]:
    """Return the names in code type of each cell of each row between two marks of the page."""
    body = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", PAGE, re.S).group(1)
    return [[re.findall(r"`([\w.]+)`", cell) for cell in row.split("|")[1:-1]] for row in body.splitlines()[2:]]


STOREYS = [row[1] for row in table("storeys")]
PLACE = {room: (storey, place) for storey, rooms in enumerate(STOREYS) for place, room in enumerate(rooms)}
IMPORTED_BY = {row[0][0]: set(row[1]) for row in table("rooms")}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """Return the room a module stands in: a top-level name, or a system's folder."""
    parts = module.split(".")
    return parts[0] if len(parts) == 1 else ".".join(parts[1:3]) if parts[1] == "systems" else parts[1]


def imports(source: str, package: str) -> Iterator[str]:
    """Yield the full names that a module imports from dynsim, wherever in it, but for what only a type checker reads."""
    tree = ast.parse(source)
    guarded = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    unseen = {inner for node in guarded for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "dynsim")
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*around, *([node.module] if node.module else [])])
            if name.split(".")[0] == "dynsim":
                yield from ([f"{name}.{alias.name}" for alias in node.names] if node.module is None else [name])


SOURCES = {
    module_of(path): (path.read_text(), module_of(path) if path.name == "__init__.py" else module_of(path.parent / "__init__.py"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
ARROWS = {(module, target) for module, (source, package) in SOURCES.items() for target in imports(source, package)}


def wrong_between_rooms(arrows) -> list[str]:
    """Return the arrows that do not lead to a lower storey, or to the left."""
    return [f"{a} imports {b}" for a, b in sorted(arrows) if room_of(a) != room_of(b) and not PLACE[room_of(b)] < PLACE[room_of(a)]]


def inner_room(module: str) -> str:
    """Return the room of a module within its system's folder; empty for the folder itself."""
    return module.split(".")[3] if module.count(".") > 2 else ""


def wrong_within_systems(arrows) -> list[str]:
    """Return the arrows within a system's folder to a room that the page does not let them see."""
    return [
        f"{a} imports {b}" for a, b in sorted(arrows)
        if room_of(a) == room_of(b) and a.startswith("dynsim.systems.") and inner_room(a) not in ("", inner_room(b))
        and inner_room(b) in IMPORTED_BY and inner_room(a) not in IMPORTED_BY[inner_room(b)]
    ]


def test_every_room_has_a_place_and_every_place_a_room():
    assert sorted(PLACE) == sorted({room_of(module) for module in SOURCES})


def test_imports_go_down_or_to_the_left():
    assert len(ARROWS) > 500 and not wrong_between_rooms(ARROWS)


def test_rooms_within_a_system_are_imported_by_those_that_may():
    assert not wrong_within_systems(ARROWS)


@pytest.mark.parametrize("arrow", [
    ("dynsim.claims", "dynsim.plotting"), ("dynsim.sweep.engine", "dynsim.systems.signal_noise.model"),
    ("dynsim.systems.cooccurrence.model", "dynsim.cli"), ("dynsim.layout", "dynsim.registry"),
])
def test_an_arrow_upwards_or_to_the_right_is_found(arrow):
    assert wrong_between_rooms({arrow}) and not wrong_between_rooms({arrow[::-1]})


@pytest.mark.parametrize(("room", "hidden"), [("model", "claims"), ("claims.first", "figures.pages"), ("observables", "presets")])
def test_an_arrow_to_a_hidden_room_is_found(room, hidden):
    assert wrong_within_systems({(f"dynsim.systems.cooccurrence.{room}", f"dynsim.systems.cooccurrence.{hidden}")})


def test_imports_are_read_as_python_reads_them():
    source = "import dynsim.claims, numpy\nfrom . import a\nfrom ..b import c\nfrom ...d.e import f\ndef g():\n    from .h import i\n"
    assert list(imports(source, "dynsim.x.y")) == ["dynsim.claims", "dynsim.x.y.a", "dynsim.x.b", "dynsim.d.e", "dynsim.x.y.h"]
