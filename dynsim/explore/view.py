"""What a window with sliders shows, as data: the sliders, what is computed from them, how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from numbers import Real
from typing import Any

from ..experiment import Experiment
from ..naming import unknown_name
from ..registry import system_module, system_names

__all__ = ["Control", "Explored", "Scene", "View", "explorable", "explored"]

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Control:
    """One slider.

    Parameters
    ----------
    name : str
        What the value is called in the code.
    label : str
        What stands beside the slider.
    low, high : float
        Ends of the slider, which are rounded to three digits unless values are multiples of `step`.
    start : float
        Where it stands at first. An end that leaves it out is moved to it.
    log : bool
        Equal distances on the slider are equal ratios; low > 0.
    step : float, optional
        Values are multiples of it: 1 for whole numbers. Default all numbers.

    Raises
    ------
    ValueError
        If low is not below high, or not positive where `log` is true.

    Examples
    --------
    >>> rate = Control("lr", "learning rate", 1e-5, 1e-3, start=1e-4, log=True)
    >>> rate.place(1e-4), rate.value(-3.5)          # places on the slider are powers of ten
    (-4.0, 0.000316)
    >>> Control("n", "samples", 6, 60, start=12, step=6).value(31.0)
    30
    """

    name: str
    label: str
    low: float
    high: float
    start: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        low, high = (end if self.step is not None else float(f"{end:.3g}") for end in (self.low, self.high))
        object.__setattr__(self, "low", min(low, self.start))
        object.__setattr__(self, "high", max(high, self.start))
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"slider {self.name}: low={self.low:g} must be below high={self.high:g}{' and > 0' if self.log else ''}")

    def place(self, value: float) -> float:
        """Return where on the slider a value is.

        Parameters
        ----------
        value : float
            One of the slider's.

        Returns
        -------
        float
            The value itself, or its power of ten.
        """
        return math.log10(value) if self.log else float(value)

    def value(self, place: float) -> Any:
        """Return the value at a place of the slider.

        Parameters
        ----------
        place : float
            As `place` returns it.

        Returns
        -------
        int or float
            A multiple of `step`, else a number of three digits, which can be written down.
        """
        found = 10.0**place if self.log else place
        if self.step is not None:
            lowest, highest = math.ceil(self.low / self.step), math.floor(self.high / self.step)
            return min(max(round(found / self.step), lowest), highest) * self.step
        digits = 2 - math.floor(math.log10(abs(found) if self.log else max(abs(self.low), abs(self.high))))
        return min(max(round(found, digits), self.low), self.high)

    def checked(self, value: Any) -> Any:
        """Return a value that is given in numbers.

        Parameters
        ----------
        value : real number
            What is asked for; NumPy's numbers are numbers.

        Raises
        ------
        ValueError
            If it is none of the slider's.
        """
        if isinstance(value, bool) or not isinstance(value, Real) or not self.low <= float(value) <= self.high:
            raise ValueError(f"{self.name}={value!r} must be a number in [{self.low:g}, {self.high:g}], the ends of its slider")
        if self.step is None:
            return float(value)
        nearest = self.step * round(float(value) / self.step)
        if value != nearest:
            raise ValueError(f"{self.name}={value!r} must be a multiple of {self.step:g}: take {nearest:g}")
        return nearest


@dataclass(frozen=True, eq=False)
class Scene:
    """What a view has put into its figure.

    Parameters
    ----------
    update : callable
        Takes what `View.compute` returned and changes the artists; returns those that it changes, in any order and always the same axes'
        ticks (``ax.xaxis``). All others are drawn once. It may remove artists and make new ones. Artists belong to axes, not to the figure.
    """

    update: Callable[[Any], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class View:
    """What one window shows.

    Parameters
    ----------
    title : str
        What is shown, in a line.
    controls : tuple of Control
        The sliders, in two columns.
    experiment : callable
        Maps values by name of control to the `Experiment` that they mean; it is what the button Save writes. Raises a ValueError for values
        that do not go together, which the window shows.
    compute : callable
        Maps that experiment to what is drawn.
    arrange : callable
        Takes an empty figure or subfigure, puts axes into it and returns its `Scene`.
    """

    title: str
    controls: tuple[Control, ...]
    experiment: Callable[[Values], Experiment]
    compute: Callable[[Experiment], Any]
    arrange: Callable[[Any], Scene]

    @property
    def start(self) -> dict[str, Any]:
        """Values at which the window opens."""
        return {control.name: control.start for control in self.controls}

    def control(self, name: str) -> Control:
        """Return a control by name.

        Parameters
        ----------
        name : str
            Its name in the code.

        Raises
        ------
        ValueError
            For an unknown one, naming the nearest.
        """
        known = {control.name: control for control in self.controls}
        if name not in known:
            raise ValueError(unknown_name("slider", name, known))
        return known[name]


@dataclass(frozen=True, eq=False)
class Explored:
    """One entry of a system's `EXPLORED`.

    Parameters
    ----------
    title : str
        What there is to see, in a line.
    preset : str
        Experiment of the system that the window opens with, unless another is given.
    view : callable
        Maps an experiment to its `View`; raises a ValueError for one that the view is not about.
    """

    title: str
    preset: str
    view: Callable[[Experiment], View]


def explorable() -> tuple[str, ...]:
    """Return the systems that have something to explore.

    >>> "signal_noise" in explorable()
    True
    """
    return tuple(name for name in system_names() if _room(name) is not None)


def explored(system: str) -> Mapping[str, Explored]:
    """Return what there is to explore of a system, by name; the first is shown when none is named.

    Parameters
    ----------
    system : str
        One of `explorable()`.

    Raises
    ------
    ValueError
        For an unknown system, or one that has nothing to explore.
    """
    room = _room(system)
    if room is None:
        raise ValueError(f"{system} has nothing to explore; {', '.join(explorable())} have")
    return import_module(room).EXPLORED


def _room(system: str) -> str | None:
    room = f"{system_module(system).__name__}.explored"
    return room if find_spec(room) is not None else None
