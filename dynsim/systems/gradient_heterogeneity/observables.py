"""Quantities of all kinds of this system's models, by name."""

from __future__ import annotations

from collections.abc import Mapping

from ...system import Observable
from .head import observables as head
from .quadratic import observables as quadratic
from .transformer import observables as transformer

__all__ = ["OBSERVABLES"]

OBSERVABLES: Mapping[str, Observable] = {**quadratic.OBSERVABLES, **transformer.OBSERVABLES, **head.OBSERVABLES}
"""Quantities by name; a model has those of its own kind, whose room says what exactly its loss and gradient are of."""
