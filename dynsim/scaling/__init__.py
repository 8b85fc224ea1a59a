"""Power laws fitted to sweeps, with intervals over seeds, local slopes, and what had to be left out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .fit import fit_power_law
from .intervals import mean_chance, mean_interval, wilson_interval
from .law import Exponent, LeftOut, LocalSlope, PowerLaw, Worst

__all__ = ["Exponent", "LeftOut", "LocalSlope", "PowerLaw", "Worst", "fit_power_law", "mean_chance", "mean_interval", "wilson_interval"]


def __getattr__(name: str) -> Any:
    """Import the figures, and with them Matplotlib, on first use only."""
    if name in ("plot_scaling", "scaling_figure"):
        return getattr(import_module(f"{__name__}.figures"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
