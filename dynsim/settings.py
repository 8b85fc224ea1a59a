"""What the frozen settings of all systems share: checked fields, and plain data in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from .naming import unknown_name

__all__ = ["Tasked", "build_setting", "check_choice", "check_flags", "check_number", "check_whole", "replaced"]

S = TypeVar("S")


def check_whole(setting: Any, name: str, low: int, high: int | None = None) -> None:
    """Make a field of a frozen setting an int in [low, high]; 1e8 is one.

    Parameters
    ----------
    setting : dataclass
        The setting, whose field is replaced by the int; called while it is constructed.
    name : str
        The field.
    low : int
        Its least value.
    high : int, optional
        Its largest value; default none.

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


def check_number(setting: Any, name: str, *, positive: bool = False, low: float = 0.0) -> None:
    """Make a field of a frozen setting a finite float >= `low`, or, if `positive`, > 0.

    Parameters
    ----------
    setting : dataclass
        The setting, whose field is replaced by the float; called while it is constructed.
    name : str
        The field.
    positive : bool, default False
        Refuse 0 as well; only with `low` at its default.
    low : float, default 0.0
        Its least value.

    Raises
    ------
    ValueError
        Naming field, value and range.
    """
    value = getattr(setting, name)
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or value < low or (positive and value == 0):
        raise ValueError(f"{name}={value!r} must be a finite number {'> 0' if positive else f'>= {low:g}'}")
    object.__setattr__(setting, name, float(value))


def check_choice(setting: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError unless a field of a setting is one of its choices.

    Parameters
    ----------
    setting : dataclass
        The setting; called while it is constructed.
    name : str
        The field.
    choices : tuple of str
        What it may be.

    Raises
    ------
    ValueError
        Naming the nearest valid choice.
    """
    if getattr(setting, name) not in choices:
        raise ValueError(unknown_name(name, str(getattr(setting, name)), choices))


def check_flags(setting: Any, *names: str) -> None:
    """Raise a ValueError unless these fields are true or false.

    Parameters
    ----------
    setting : dataclass
        The setting; called while it is constructed.
    *names : str
        The fields.

    Raises
    ------
    ValueError
        Naming field and value; 0 and 1 are refused too.
    """
    for name in names:
        if not isinstance(getattr(setting, name), (bool, np.bool_)):
            raise ValueError(f"{name}={getattr(setting, name)!r} must be true or false")


def build_setting(cls: type[S], values: Mapping[str, Any]) -> S:
    """Return a setting of the dataclass `cls` from a mapping.

    Parameters
    ----------
    values : mapping of str to object
        Fields by name; those that are missing take their defaults.

    Raises
    ------
    ValueError
        For an unknown key, naming the nearest valid one, or a value that the setting refuses.
    TypeError
        If a field without a default is missing.
    """
    valid = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in valid:
            raise ValueError(unknown_name("setting field", key, valid))
    return cls(**values)


def replaced(setting: S, changes: Mapping[str, Any]) -> S:
    """Return a copy of a setting with some fields changed, checked as `build_setting` does.

    Parameters
    ----------
    setting : dataclass
        The setting, which is left as it is.
    changes : mapping of str to object
        Field to its new value.

    Raises
    ------
    ValueError
        For an unknown field, naming the nearest valid one, or a value that the setting refuses.
    """
    return build_setting(type(setting), {**asdict(setting), **changes})  # type: ignore[call-overload]


class Tasked:
    """What settings of a system with several kinds of tasks share; each kind is a frozen dataclass of its own fields.

    A system's `Setting` derives from this and its kinds from that; a kind names its tasks in `TASKS`, the field `task` says which it is.
    """

    TASKS: ClassVar[tuple[str, ...]] = ()
    task: str

    def replace(self, **changes: Any) -> Any:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes
            Field to its new value.

        Raises
        ------
        ValueError
            For an unknown field, naming the nearest valid one, or a value out of range.
        """
        return replaced(self, changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` turns back into the setting."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        """Build the setting that a mapping describes.

        Parameters
        ----------
        values : mapping
            Fields by name; "task" says of which kind the setting is, the first kind's where it has none.

        Raises
        ------
        ValueError
            For an unknown task or field, naming the nearest valid one, or a value out of range.
        """
        kinds = {name: kind for kind in cls.__subclasses__() for name in kind.TASKS}
        task = values.get("task", next(iter(kinds)))
        if not isinstance(task, str) or task not in kinds:
            raise ValueError(unknown_name("task", str(task), kinds))
        return build_setting(kinds[task], values)

    def _check_task(self) -> None:
        if self.task not in self.TASKS:
            raise ValueError(f"{unknown_name('task', str(self.task), self.TASKS)}; other tasks have other fields: start from their presets")
