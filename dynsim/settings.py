"""What the frozen settings of all systems share: checked fields, and plain data in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np

from .naming import unknown_name

__all__ = ["build_setting", "check_number", "check_whole", "replaced"]

S = TypeVar("S")


def check_whole(setting: Any, name: str, low: int, high: int | None = None) -> None:
    """Make a field of a frozen setting an int in [low, high]; 1e8 is one.

    Raises
    ------
    ValueError
        Naming field, value and range.
    """
    value = getattr(setting, name)
    if isinstance(value, float) and value.is_integer():  # 1e8 is a natural way to write a size
        value = int(value)
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise ValueError(f"{name}={value!r} must be an integer {f'>= {low}' if high is None else f'in [{low}, {high}]'}")
    object.__setattr__(setting, name, int(value))


def check_number(setting: Any, name: str, *, positive: bool) -> None:
    """Make a field of a frozen setting a finite float, > 0 if `positive`, else >= 0.

    Raises
    ------
    ValueError
        Naming field, value and range.
    """
    value = getattr(setting, name)
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(f"{name}={value!r} must be a finite number {'> 0' if positive else '>= 0'}")
    object.__setattr__(setting, name, float(value))


def build_setting(cls: type[S], values: Mapping[str, Any]) -> S:
    """Return a setting from a mapping; an unknown key is a ValueError that names the nearest valid one."""
    valid = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in valid:
            raise ValueError(unknown_name("setting field", key, valid))
    return cls(**values)


def replaced(setting: S, changes: Mapping[str, Any]) -> S:
    """Return a copy of a setting with some fields changed, checked as `build_setting` does."""
    return build_setting(type(setting), {**asdict(setting), **changes})  # type: ignore[call-overload]
