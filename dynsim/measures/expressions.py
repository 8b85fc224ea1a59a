"""Measures by name and by expression, as the command line and `sweep` take them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ..naming import unknown_name
from ..registry import system_module
from .kinds import TIME, At, First, Series, Underflow, Verdicts
from .watching import Measure

__all__ = ["as_measures"]

_CONDITION = re.compile(r"([A-Za-z]\w*)\s*(<=|<|>=|>)\s*([-+.\deE]+)")


def as_measures(items: str | Measure | Iterable[str | Measure] | None, system: str) -> tuple[Measure, ...]:
    """Return measures for names and expressions; measures stay as they are.

    Parameters
    ----------
    items : str, Measure, or iterable of these, or None
        A name of the system's `MEASURES`; an id of its claims (its verdict), "verdicts" for all of them; "underflow"; ``quantity<level``
        (first step, also <=, >, >=); ``quantity@when`` with a step, "end", ``0.8*T_key``, the name or expression of an event, or
        ``every5`` for the whole course. ``name=...`` before an expression names its column. None for the system's default measures.
    system : str
        Name of the system.

    Raises
    ------
    ValueError
        For an unknown name or an expression that cannot be read.

    Examples
    --------
    >>> for measure in as_measures(["t_attn", "train_loss<0.05", "late=test_loss@t_attn"], "signal_noise"):
    ...     print(*measure.columns)
    t_attn
    train_loss<0.05
    late
    """
    module = system_module(system)
    if items is None:
        items = getattr(module, "SWEEP_MEASURES", ())
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = [items]
    found: list[Measure] = []
    claims: list[str] = []
    for item in items:
        if not isinstance(item, str):
            if not all(hasattr(item, member) for member in ("columns", "record", "watch")):
                raise TypeError(f"measure={item!r} is no measure: it needs columns, record and watch (see dynsim.measures.Measure)")
            found.append(item)
        elif item.strip() == "verdicts":
            claims.extend(module.CLAIMS)
        elif item.strip() in getattr(module, "CLAIMS", {}):
            claims.append(item.strip())
        else:
            found.extend(_read(item.strip(), module))
    if claims:
        found.append(Verdicts(system, tuple(dict.fromkeys(claims))))
    found = list(dict.fromkeys(found))
    names = [name for measure in found for name in measure.columns]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two measures have a column {name!r}: name one of them, as in mine={name}")
    if not found:
        raise ValueError(f"measure=[]: give at least one, for example {', '.join(getattr(module, 'MEASURES', {}) or ['train_loss@end'])}")
    return tuple(found)


def _read(text: str, module: Any) -> Sequence[Measure]:
    """Read one name or expression."""
    named: Mapping[str, Sequence[Measure]] = getattr(module, "MEASURES", {})
    if text in named:
        return named[text]
    if text == "underflow":
        return [Underflow()]
    name, equals, rest = text.partition("=")
    if equals and not name.endswith(("<", ">")) and name.strip().isidentifier():
        measures = _read(rest.strip(), module)
        if len(measures) != 1 or not hasattr(measures[0], "name"):
            raise ValueError(f"{text!r}: only a single number can be named")
        return [replace(measures[0], name=name.strip())]  # type: ignore[type-var]
    condition = _CONDITION.fullmatch(text)
    if condition is not None:
        _known(condition[1], module)
        return [First(condition[1], condition[2], _float(text, condition[3]))]
    quantity, at, when = (part.strip() for part in text.partition("@"))
    if at and quantity:
        _known(quantity, module)
        if when.isdigit():
            return [At(quantity, int(when))]
        if when == "end":
            return [At(quantity, when)]
        if when.startswith("every") and when[5:].isdigit():
            return [Series(quantity, int(when[5:]))]
        if (time := TIME.fullmatch(when)) is not None:
            times = [f.name for f in fields(module.Predictions) if f.name.startswith("T_")] if hasattr(module, "Predictions") else []
            if time[2] not in times:
                raise ValueError(unknown_name("predicted time", time[2], times))
            return [At(quantity, when)]
        events = _read(when, module)
        if len(events) != 1 or not isinstance(events[0], First):
            raise ValueError(f"{text!r}: {when!r} is no step, event or predicted time")
        return [At(quantity, events[0])]
    hint = "an expression such as train_loss<0.05 or test_loss@900, a claim, or one of its measures"
    raise ValueError(f"{unknown_name('measure', text, named)}; or give {hint}")


def _float(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is no number") from None


def _known(quantity: str, module: Any) -> None:
    observables = getattr(module, "OBSERVABLES", None)
    if observables is None:
        return
    scalars = [name for name, o in observables.items() if not o.dims]
    if quantity in observables and quantity not in scalars:
        axis = observables[quantity].dims[-1]
        raise ValueError(f"{quantity} is one number a {axis}: a measure needs one number a run, of: {', '.join(scalars)}")
    if quantity not in observables:
        raise ValueError(unknown_name("quantity", quantity, scalars))
