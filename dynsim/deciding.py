"""Forms in which claims are decided: a bound, a level, a prediction with a tolerance; the margin follows from the form."""

from __future__ import annotations

from .claims import Measured

__all__ = ["at_least", "at_most", "close"]


def at_most(value: float, bound: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of value <= bound, for a bound > 0: the margin is 1 - value / bound.

    >>> m = at_most(0.5, 2.0)
    >>> m.deviation <= m.tolerance
    True
    """
    return Measured(float(value), float(bound), float(value), float(bound), where, unit)


def at_least(value: float, level: float, where: str = "", unit: str = "") -> Measured:
    """Return the form of value >= level, for a level > 0: the margin is value / level - 1."""
    return Measured(float(value), float(level), 2.0 - float(value) / level, 1.0, where, unit)


def close(value: float, predicted: float, tolerance: float, where: str = "", unit: str = "", *, relative: bool = True) -> Measured:
    """Return the form of value = predicted within a tolerance, relative to the prediction or absolute."""
    off = abs(float(value) - float(predicted))
    return Measured(float(value), float(predicted), off / abs(float(predicted)) if relative else off, tolerance, where, unit)
