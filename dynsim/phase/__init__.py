"""Phase diagrams: verdicts, or numbers, over two variables of a sweep."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .diagram import Axis, Diagram, PhaseDiagram, phase_diagram

__all__ = ["Axis", "Diagram", "PhaseDiagram", "phase_diagram"]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("phase_figure", "plot_phase"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
