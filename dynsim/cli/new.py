"""A system of one's own: the command ``dynsim new``."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import sys
from importlib.resources import files
from pathlib import Path

from ..registry import system_names
from .console import FINISHED, Out, print_json
from .sweeping import Command

__all__ = ["new_command", "write_project"]

SKELETON = "dynsim.skeleton"
"""The package whose modules are copied as they are: a system that runs, also where it is."""
NAMED = {"pyproject.toml.txt": "pyproject.toml", "test.py.txt": "tests/test_{name}.py"}
"""Files beside them in which the name of the new system stands, and where they go."""
PLACEHOLDER = "my_paper"
"""What it is called in those."""


def new_command(command: Command) -> None:
    """Add the command."""
    new = command("new", _new,
                  "write a system of your own that runs, to be changed: an installable project with model, claim, figure and test")
    new.add_argument("name", metavar="NAME", help="name of the system and of its Python package, such as my_paper")
    new.add_argument("--out", metavar="DIR", help="folder to write, which must be empty or not exist (default: NAME)")


def _new(args: argparse.Namespace) -> int:
    folder = Path(args.name if args.out is None else args.out).expanduser()
    written = write_project(args.name, folder)
    if args.json:
        print_json({"kind": "dynsim new", "name": args.name, "folder": str(folder), "files": list(written)})
    else:
        Out()(f"wrote {folder}: {', '.join(written)}\n"
              f"next: pip install -e {_argument(folder)} && dynsim run {args.name} && pytest {folder}")
    return FINISHED


def write_project(name: str, folder: Path) -> tuple[str, ...]:
    """Write the project of a new system, and return its files.

    Parameters
    ----------
    name : str
        Name of the system and its package; no installed system or module has it yet.
    folder : Path
        Must be empty or not exist: nothing is overwritten.

    Raises
    ------
    ValueError
        For a name that will not do or is taken, or a folder with something in it.
    """
    _check_name(name)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder; nothing is overwritten: give another --out DIR")
    texts = {}
    for source in files(SKELETON).iterdir():
        if source.name in NAMED:
            texts[NAMED[source.name].format(name=name)] = source.read_text(encoding="utf-8").replace(PLACEHOLDER, name)
        elif source.name.endswith(".py"):
            texts[f"{name}/{source.name}"] = source.read_text(encoding="utf-8")
    for path, text in sorted(texts.items()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with open(folder / path, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return tuple(sorted(texts))


def _check_name(name: str) -> None:
    """Raise a ValueError unless a new package can have this name."""
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name) or name != name.lower() or name.strip("_") != name:
        raise ValueError(f"name={name!r} must be a Python name in lower case that begins and ends with a letter or digit, such as my_paper")
    if name in system_names():
        raise ValueError(f"name={name!r} is taken: there is a system of that name (dynsim list systems); choose another")
    if name == "tests" or name in sys.stdlib_module_names or _importable(name):
        raise ValueError(f"name={name!r} is taken: Python imports another module of that name; choose another")


def _importable(name: str) -> bool:
    """Tell whether there is a module of that name; a mere folder, which imports as an empty one, is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _argument(folder: Path) -> str:
    """Return a folder as pip takes it for one: a bare word would be a package of an index."""
    return str(folder) if folder.is_absolute() or folder.parts[:1] == ("..",) else f"./{folder}"
