"""Everything that the API reference shows is documented as numpydoc asks, with the methods and properties of its classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

import pytest
from reference import homes, offered

from dynsim.measures import Measure, Watch
from dynsim.optimizers import Optimizer
from dynsim.settings import Tasked
from dynsim.system import System

numpydoc = pytest.importorskip("numpydoc.validate")

LEFT_OUT = {
    "GL01": "a docstring begins on the line of its quotes",
    "ES01": "one line is enough where it says all",
    "SA01": "pages say what belongs together",
    "EX01": "examples stand on the pages, and where they say more than words",
    "RT01": "the first line says what is returned, its annotation which type",
    "PR04": "the annotation says which type, and mypy checks it",
    "YD01": "the same, for generators",
    "SS05": "the first line of a figure is its caption, which may begin with a plural",
}
"""Checks of numpydoc that are not made, and why."""

PROTOCOLS = (System, Optimizer, Measure, Watch, Tasked)
CONTRACT = {name for protocol in PROTOCOLS for name in vars(protocol) if not name.startswith("_")}
"""Methods whose parameters are documented once, by the protocol that classes fulfil."""

MEMBERS = (property, cached_property, classmethod, staticmethod)


class Docstring(numpydoc.Validator):
    """A docstring as numpydoc reads it, without the source beside it: six times as fast, and only RT01 and comments to numpydoc need it."""

    source_file_name = source_file_def_line = None
    method_returns_something = False

    def __init__(self, obj_name: Any) -> None:
        super().__init__(numpydoc.get_doc_object(obj_name))  # the thing itself: dynsim.sweep by name is a package, and a function


def documented(unit: str) -> Iterator[tuple[str, Any, bool]]:
    """Yield name and thing of all code on a page of the reference, and whether its parameters are documented by a protocol."""
    for full in (name for name in offered()[unit] if name in homes().values()):
        thing = resolve_name(":".join(full.rpartition(".")[::2]))
        yield full, thing, thing in PROTOCOLS  # which nobody constructs
        if inspect.isclass(thing):
            for name, own in vars(thing).items():
                method = inspect.isfunction(own) and own.__name__ != "<lambda>"  # that is the default of a field
                if not name.startswith("_") and (method or isinstance(own, MEMBERS)):
                    yield f"{full}.{name}", getattr(thing, name), name in CONTRACT and thing not in PROTOCOLS


def complaints(name: str, thing: Any, by_protocol: bool = False) -> list[str]:
    """Return what numpydoc has to say about a docstring, but for what is left out."""
    fine = LEFT_OUT.keys() | ({"PR01"} if by_protocol else set())
    return [f"{name}: {code} {text}" for code, text in numpydoc.validate(thing, Docstring)["errors"] if code not in fine]


@pytest.mark.parametrize("unit", offered())
def test_what_the_reference_shows_is_documented(unit):
    found = [complaint for shown in documented(unit) for complaint in complaints(*shown)]
    assert not found, "\n".join(found)


def test_protocols_are_in_the_reference():
    """Else nothing would document the parameters that methods of other classes leave to them."""
    shown = [thing for unit in offered() for _, thing, _ in documented(unit)]
    assert all(protocol in shown for protocol in PROTOCOLS)


def test_an_undocumented_parameter_is_found():
    assert any(" PR01 " in complaint for complaint in complaints("complaints", complaints))
    assert not any(" PR01 " in complaint for complaint in complaints("complaints", complaints, by_protocol=True))


def test_what_is_left_out_is_a_check_of_numpydoc():
    assert set(LEFT_OUT) <= set(numpydoc.ERROR_MSGS)
