"""One forward and one backward step, number by number, each with its equation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .flow import velocity_of
from .layout import Layout
from .optimizers import GradientFlow, as_optimizer
from .running import given_start
from .simulate import iterate
from .system import Inexact, System, forward_at, require_exact
from .tabular import html_text
from .trajectory import Trajectory

__all__ = ["Entry", "Explanation", "Glossary", "Row", "explain", "glossary_of"]

WIDTH = 100
"""Characters of a line."""

CELL = 10
"""Characters of a number and the space before it."""

LINES = 8
"""Most lines of one array: the others are left out of the text, and said to be."""


@dataclass(frozen=True)
class Entry:
    """What a number of the forward pass, or a block of parameters, is called on paper.

    Parameters
    ----------
    symbol : str
        The letter of the derivation page, in plain characters.
    words : str
        What it is.
    equation : str
        Number on the page, the n of its ``tag{n}``; empty where it has none.
    part : tuple of int
        Index of the part of the array this is about; empty for the whole.
    """

    symbol: str
    words: str
    equation: str = ""
    part: tuple[int, ...] = ()


@dataclass(frozen=True)
class Glossary:
    """What a model's numbers are called: an entry of `EXPLAINED` in the `explained.py` of its folder, under the model's class.

    Parameters
    ----------
    page : str
        Name of the derivation page in docs/derivations/.
    cache, blocks : mapping of str to Entry or tuple of Entry
        Entries of the forward cache, and blocks of parameters. What is inside an entry has a dot, "s.p", "tapes.0.Q"; names may have the
        wildcard ``*``, and the first that fits counts. Several entries are parts of one array; none, (), means that the numbers stand under
        other names, or are the parameters.
    on_the_way : callable, optional
        Maps a cache to numbers by name that the backward pass makes on its way and does not keep, by the functions that make them there.
    """

    page: str
    cache: Mapping[str, Entry | tuple[Entry, ...]] = field(default_factory=dict)
    blocks: Mapping[str, Entry | tuple[Entry, ...]] = field(default_factory=dict)
    on_the_way: Callable[[SimpleNamespace], Mapping[str, NDArray]] | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """One array of an explanation.

    Parameters
    ----------
    group : str
        "forward", "backward" (what the backward pass makes on its way), "gradient", "velocity" or "change".
    symbol, name, words, equation : str
        On paper, in the code, what it is, and the number of its equation, "" if there is none.
    values : ndarray
        A copy.
    """

    group: str
    symbol: str
    name: str
    words: str
    equation: str
    values: NDArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.values.shape


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """A step, row by row; shows itself as text, and as a table in notebooks.

    Parameters
    ----------
    model : str
        Class of the system.
    step : int
        Updates made before.
    rule : str
        What makes the step, "" if there is none.
    page : str
        Derivation page that the equation numbers refer to, "" if there is none.
    rows : tuple of Row
        In the order in which they are computed.
    """

    model: str
    step: int
    rule: str
    page: str
    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> NDArray:
        """Return the values of the first row of this symbol or name in the code."""
        for row in self.rows:
            if name in (row.symbol, row.name):
                return row.values
        raise KeyError(f"no row {name!r}; there are {', '.join(dict.fromkeys(row.symbol or row.name for row in self.rows))}")

    @property
    def title(self) -> str:
        """What is explained, in a line."""
        return f"{self.model}, step {self.step}" + (f"; equation numbers are those of docs/derivations/{self.page}.md" if self.page else "")

    def _heads(self) -> dict[str, str]:
        return {
            "forward": "forward", "backward": "backward, on the way", "gradient": "gradient",
            "velocity": f"velocity under {self.rule}" if self.rule else "velocity", "change": f"what {self.rule} changes",
        }

    def __repr__(self) -> str:
        shown = [(f"({row.equation})" if row.equation else "", row.symbol, row.name, row.words) for row in self.rows]
        widths = [max((len(cells[k]) for cells in shown), default=0) for k in range(4)]
        lines, group = [self.title], ""
        for row, cells in zip(self.rows, shown, strict=True):
            if row.group != group:
                group = row.group
                lines.append(self._heads()[group])
            left = " " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            columns = row.shape[-1] if row.shape else 1
            room = (WIDTH - len(left)) // CELL
            if columns <= room:
                numbers = _lines(row.values, room)
                lines.extend([left + numbers[0], *(" " * len(left) + line for line in numbers[1:])])
            else:
                lines.append(left.rstrip())
                lines.extend(" " * 8 + line for line in _lines(row.values, (WIDTH - 8) // CELL))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heads = self._heads()
        return html_text(
            ("", "equation", "symbol", "in the code", "what it is", "shape", "values"),
            (
                (heads[row.group], row.equation, row.symbol, row.name, row.words, str(row.shape),
                 "\n".join(_lines(row.values, (WIDTH - 8) // CELL))) for row in self.rows
            ),
            caption=self.title,
        )


def explain(system: System, step: int = 0, optimizer: Any = None, params: NDArray | None = None) -> Explanation:
    """Show one forward and one backward step with every intermediate value and the number of its equation.

    The numbers are those of the system's own forward and backward pass, the change that of the rule's own update: nothing is derived or
    approximated here. Numbers that the glossary of the system does not name are listed without an equation; of what else a cache holds
    (kernels, samples) nothing is listed.

    Parameters
    ----------
    system : System
        Without replicates. ``signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0)`` fits on a screen.
    step : int
        Updates to make before, >= 0; they need a rule.
    optimizer : Optimizer or GradientFlow, optional
        The rule, whose update of each block of parameters is shown too; of a flow, the velocity.
    params : ndarray, shape (P,), optional
        Where to begin; default the start of the system.

    Returns
    -------
    Explanation
        Shows itself as text and in notebooks as a table; ``shown["s_11"]`` is the array of that symbol, or of that name in the code.

    Raises
    ------
    ValueError
        For a step that is not an integer >= 0, a step > 0 without a rule with steps, parameters of another shape, or a system with
        replicates.
    TypeError
        For a rule that is given as a class, or a run in the place of parameters.
    Inexact
        If the system is a reduction that is not exact for the rule.

    Examples
    --------
    >>> from dynsim import SignGD, explain
    >>> from dynsim.systems import signal_noise
    >>> tiny = signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0)
    >>> shown = explain(tiny, step=10, optimizer=SignGD(0.01))
    >>> [row.equation for row in shown.rows if row.symbol == "s_11"], shown["s_11"].shape
    (['5'], (3,))
    """
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 0:
        raise ValueError(f"step={step!r} must be an integer >= 0")
    if isinstance(params, Trajectory):
        raise TypeError("params is a run: pass its parameters, params=run.final, or explain(system, step, optimizer) from the start")
    if np.ndim(system.start) > 1:
        raise ValueError("this system has replicates: explain one of them, system.replicates(0)")
    if isinstance(optimizer, type):
        raise TypeError(f"optimizer={optimizer.__name__} is a class: pass an instance, for example {optimizer.__name__}(lr=0.01)")
    flows = isinstance(optimizer, GradientFlow)
    if step and (optimizer is None or flows):
        raise ValueError(f"step={step} needs a rule with steps to get there, for example optimizer=SignGD(0.01); without one "
                         "give the parameters, params=run.final")
    start = given_start(params, system)
    glossary = glossary_of(system) or Glossary("")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        if optimizer is None or flows:
            if flows:
                require_exact(system, optimizer)
            flat = np.array(system.start if start is None else start, dtype=float)
            views = system.layout.views(flat)
            rows = _passes(system, views, forward_at(system, views, 0), glossary, flows)
        else:
            states = iterate(system, as_optimizer(optimizer), start=start)
            state = next(state for state in states if state.step == step)
            rows = _passes(system, state.views, state.cache, glossary, False)
            before = state.params.copy()
            next(states)
            change = state.params - before
            rows += list(_of_blocks("change", "Delta {}", system.layout, change, glossary, words=False))
    rule = "" if optimizer is None else repr(optimizer)
    return Explanation(type(system).__name__, int(step), rule, glossary.page, tuple(rows))


def glossary_of(system: Any) -> Glossary | None:
    """Return what a system's numbers are called, from the `explained.py` of the folder its class is in; None if there is none.

    Parameters
    ----------
    system : System
        Of any class: that class is looked up in the `EXPLAINED` of the nearest folder that has an `explained.py`.
    """
    package = type(system).__module__
    while "." in package:
        package = package.rpartition(".")[0]
        if find_spec(f"{package}.explained") is not None:
            return import_module(f"{package}.explained").EXPLAINED.get(type(system))
    return None


def _passes(system: Any, params: SimpleNamespace, cache: SimpleNamespace, glossary: Glossary, flows: bool) -> list[Row]:
    """Return the rows of a forward pass that is made, and of the backward pass or velocity, which is made here."""
    layout, seen = system.layout, set()
    rows = []
    for name, value in _leaves(vars(cache)):
        seen.add(name)
        rows += _named("forward", name, value, glossary.cache)
    gradient = None
    flat = np.full(layout.size, np.nan)
    try:
        system.backward(params, cache, layout.views(flat))
        gradient = list(_of_blocks("gradient", "dL/d{}", layout, flat, glossary))
    except Inexact:  # a reduced flow is no gradient in its own coordinates: its velocity is what there is
        flows = True
    velocity: list[Row] = []
    if flows:
        velocity_of(system)(params, cache, layout.views(flat))
        velocity = list(_of_blocks("velocity", "d{}/dt", layout, flat, glossary, words=gradient is None))
    later = {name: value for name, value in _leaves(vars(cache)) if name not in seen}
    if glossary.on_the_way is not None:
        later |= glossary.on_the_way(cache)
    for name, value in later.items():
        rows += _named("backward", name, value, glossary.cache)
    return rows + (gradient or []) + velocity


def _leaves(found: Any, path: str = "") -> Iterator[tuple[str, NDArray]]:
    """Yield the arrays and numbers inside namespaces, mappings and lists, by dotted name."""
    if isinstance(found, SimpleNamespace):
        found = vars(found)
    if isinstance(found, (list, tuple)):
        found = dict(enumerate(found))
    if isinstance(found, Mapping):
        for name, value in found.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    elif isinstance(found, (np.ndarray, np.generic, int, float)) and np.asarray(found).dtype.kind in "biufc":
        yield path, np.array(found)


def _entries(name: str, known: Mapping[str, Entry | tuple[Entry, ...]]) -> tuple[Entry, ...]:
    """Return what is known of a name, in its parts; one without symbol and equation if nothing is."""
    for pattern, entry in known.items():
        if fnmatchcase(name, pattern):
            return entry if isinstance(entry, tuple) else (entry,)
    return (Entry("", ""),)


def _in_code(name: str, part: tuple[int, ...]) -> str:
    """Return a dotted name as Python writes it."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", name) + (f"[{', '.join(map(str, part))}]" if part else "")


def _named(group: str, name: str, value: NDArray, known: Mapping[str, Entry | tuple[Entry, ...]]) -> list[Row]:
    return [
        Row(group, entry.symbol, _in_code(name, entry.part), entry.words, entry.equation, np.array(value[entry.part]))
        for entry in _entries(name, known)
    ]


def _of_blocks(
    group: str, symbol: str, layout: Layout, flat: NDArray, glossary: Glossary, words: bool = True
) -> Iterator[Row]:
    """Yield a row for each part of each block; `words` says whether words and equations, which are about derivatives, belong to them."""
    views = layout.views(flat)
    for name in layout.shapes:
        for entry in _entries(name, glossary.blocks):
            code = _in_code(name, entry.part)
            yield Row(
                group, symbol.format(entry.symbol or code), code, entry.words if words else "", entry.equation if words else "",
                np.array(getattr(views, name)[entry.part]),
            )


def _lines(values: NDArray, room: int) -> list[str]:
    """Return an array as lines of at most `room` numbers, one a row of its last axis; what is left out is said."""
    if not values.size:
        return [f"  empty, of shape {values.shape}"]
    rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
    lines = []
    for row in rows[:LINES]:
        shown = row if len(row) <= room else row[: room - 1]
        lines.append("".join(f"{_number(x):>{CELL}s}" for x in shown) + ("" if len(shown) == len(row) else " ..."))
    if len(rows) > LINES or len(rows[0]) > room:
        lines.append(f"  ... of shape {values.shape}")
    return lines


def _number(x: Any) -> str:
    if isinstance(x, (np.bool_, np.integer)):
        return str(x)
    texts = [f"{x + 0.0:.{digits}g}" for digits in (4, 3, 2)]  # + 0.0: no minus before a 0
    return next((text for text in texts if len(text) < CELL), texts[-1])
