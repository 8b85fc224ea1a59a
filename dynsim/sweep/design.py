"""Designs: which points of the space of settings a sweep visits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Design", "Grid", "Points", "Sampled", "as_design", "geometric", "plain_value"]


class Design(Protocol):
    """Points in a fixed order: their number, each as a mapping of variable to value, and a JSON-ready description."""

    @property
    def names(self) -> tuple[str, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    def describe(self) -> dict[str, Any]: ...


def _checked(name: str, value: Any) -> Any:
    """Return a value of a variable as plain Python; a ValueError if it is no finite number, word or truth value."""
    value = plain_value(value)
    if not isinstance(value, (int, float, str)) or isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"over[{name!r}] has {value!r}: values must be finite numbers, words (rules by name) or True and False")
    return value


def plain_value(value: Any) -> Any:
    """Return a NumPy scalar as the Python number it stands for, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Grid:
    """Every combination of values; the last variable changes fastest. Points are formed when asked for, never all at once.

    Parameters
    ----------
    axes : mapping of str to sequence
        Variable to its values, at least one and all different: finite numbers, words or truth values.

    Raises
    ------
    ValueError
        For a variable without a value or with one twice, or a value that is none of these.

    Examples
    --------
    >>> grid = Grid({"m_k": [25, 50], "lr": [1e-6, 2e-6, 4e-6]})
    >>> len(grid), grid[4]
    (6, {'m_k': 50, 'lr': 2e-06})
    """

    axes: Mapping[str, Sequence[Any]]

    def __post_init__(self) -> None:
        checked = {}
        for name, values in self.axes.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)) or not len(values):
                raise ValueError(f"over[{name!r}]={values!r} must be a sequence of at least one value, for example [{values!r}]")
            checked[name] = tuple(_checked(name, v) for v in values)
            if len(set(checked[name])) < len(checked[name]):
                raise ValueError(f"over[{name!r}]={list(checked[name])} names a value twice: give each once")
        object.__setattr__(self, "axes", checked)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(self.axes)

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.axes.values())

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        places = np.unravel_index(index, [len(values) for values in self.axes.values()]) if self.axes else ()
        return {name: values[int(place)] for (name, values), place in zip(self.axes.items(), places, strict=True)}

    def describe(self) -> dict[str, Any]:
        """Return kind and axes."""
        return {"kind": "grid", "axes": {name: list(values) for name, values in self.axes.items()}}


@dataclass(frozen=True)
class Points:
    """An explicit list of points.

    Parameters
    ----------
    points : sequence of mapping of str to value
        At least one, all different, each giving the same variables a value: a finite number, a word or a truth value.

    Raises
    ------
    ValueError
        If there is no point, one comes twice, one has other variables, or a value is none of these.

    Examples
    --------
    >>> len(Points([{"m_k": 25, "lr": 1e-6}, {"m_k": 50, "lr": 2e-6}]))
    2
    """

    points: Sequence[Mapping[str, Any]]

    def __post_init__(self) -> None:
        checked = tuple({name: _checked(name, v) for name, v in point.items()} for point in self.points)
        if not checked:
            raise ValueError("over=[] has no point: give at least one")
        for number, point in enumerate(checked):
            if set(point) != set(checked[0]):
                raise ValueError(f"point {number} of over has the variables {sorted(point)}, point 0 has {sorted(checked[0])}: "
                                 "give every point the same ones")
        if len({tuple(sorted(point.items())) for point in checked}) < len(checked):
            raise ValueError("over has a point twice: give each once")
        object.__setattr__(self, "points", checked)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(self.points[0])

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(self.points[index])

    def describe(self) -> dict[str, Any]:
        """Return kind and points."""
        return {"kind": "list", "points": [dict(point) for point in self.points]}


METHODS = {"latin_hypercube": "LatinHypercube", "sobol": "Sobol", "halton": "Halton"}
"""Name to class of `scipy.stats.qmc`."""


@dataclass(frozen=True)
class Sampled:
    """Points drawn from a box: Latin hypercube, a low-discrepancy sequence (`scipy.stats.qmc`), or independent uniform numbers.

    Parameters
    ----------
    ranges : mapping of str to (low, high)
        Uniform in the logarithm where both ends are > 0, else uniform. A range with two integer ends gives integers.
    points : int
        Number of points, >= 1.
    seed : int, default 0
        Of the design, not of the runs.
    method : {"latin_hypercube", "sobol", "halton", "random"}
        How points are drawn; "random": independently and uniformly. Default "latin_hypercube".

    Raises
    ------
    ValueError
        For an unknown method, fewer than one point, or a range that is not (low, high) with low < high, both finite.

    Examples
    --------
    >>> from dynsim import Sampled
    >>> design = Sampled({"s": (50, 800), "sigma_p": (0.5, 8.0)}, points=4, seed=0)
    >>> len(design), sorted(design[0])
    (4, ['s', 'sigma_p'])
    """

    ranges: Mapping[str, tuple[float, float]]
    points: int
    seed: int = 0
    method: str = "latin_hypercube"

    def __post_init__(self) -> None:
        if self.method not in (*METHODS, "random"):
            raise ValueError(f"method={self.method!r} must be one of {', '.join((*METHODS, 'random'))}")
        if not isinstance(self.points, (int, np.integer)) or self.points < 1:
            raise ValueError(f"points={self.points!r} must be an integer >= 1")
        if not self.ranges:
            raise ValueError("ranges={} is empty: give at least one variable, such as {'sigma_p': (0.5, 8.0)}")
        for name, ends in self.ranges.items():
            if len(ends) != 2 or not np.all(np.isfinite(np.asarray(ends, dtype=float))) or not ends[0] < ends[1]:
                raise ValueError(f"ranges[{name!r}]={ends!r} must be two numbers (low, high) with low < high")
        object.__setattr__(self, "ranges", {name: tuple(plain_value(e) for e in ends) for name, ends in self.ranges.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(self.ranges)

    @cached_property
    def _unit(self) -> NDArray:
        """The points in the unit cube, shape (points, variables)."""
        rng = np.random.default_rng(self.seed)
        if self.method == "random":
            return rng.random((self.points, len(self.ranges)))
        from scipy.stats import qmc  # slow to import, and most sweeps are grids

        return getattr(qmc, METHODS[self.method])(len(self.ranges), seed=rng).random(self.points)

    def __len__(self) -> int:
        return self.points

    def __getitem__(self, index: int) -> dict[str, Any]:
        point = {}
        for (name, (low, high)), u in zip(self.ranges.items(), self._unit[index], strict=True):
            value = float(low * (high / low) ** u) if low > 0 else float(low + (high - low) * u)
            point[name] = round(value) if isinstance(low, int) and isinstance(high, int) else value
        return point

    def describe(self) -> dict[str, Any]:
        """Return kind, ranges, number, seed and method: enough to draw the same points again."""
        return {"kind": "sampled", "ranges": {k: list(v) for k, v in self.ranges.items()}, "points": int(self.points), "seed": self.seed,
                "method": self.method}


def geometric(low: float, high: float, count: int) -> tuple[Any, ...]:
    """Return values with a constant ratio, both ends included.

    Parameters
    ----------
    low, high : int or float
        The ends, 0 < low < high. Where both are integers the values are rounded to integers.
    count : int
        Values, >= 2; fewer come back where rounded ones coincide.

    Raises
    ------
    ValueError
        Unless 0 < low < high and count >= 2.

    Examples
    --------
    >>> geometric(25, 400, 5)
    (25, 50, 100, 200, 400)
    """
    if not (count >= 2 and 0 < low < high):
        raise ValueError(f"{low}:{high}:{count} must read LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT >= 2")
    values = np.geomspace(low, high, count)
    if isinstance(low, int) and isinstance(high, int):
        return tuple(dict.fromkeys(int(v) for v in np.round(values)))
    return tuple(float(f"{v:.12g}") for v in values)


def as_design(over: Any) -> Design:
    """Return the design that `over` stands for: a mapping is a grid, a sequence of mappings a list, a design itself."""
    if over is None:
        return Grid({})
    if isinstance(over, Mapping):
        return Grid(over)
    if isinstance(over, (Grid, Points, Sampled)):
        return over
    if isinstance(over, Iterable) and not isinstance(over, (str, bytes)):
        points = list(over)
        if all(isinstance(point, Mapping) for point in points):
            return Points(points)
    raise TypeError(f"over={over!r} must be a mapping of variable to values, a list of points (mappings), or a design such as Sampled")
