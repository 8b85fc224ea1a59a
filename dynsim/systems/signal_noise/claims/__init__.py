"""Claims about the two-layer transformer: about a single run, by stage, and about sweeps."""

from __future__ import annotations

from . import adam, alignment, attention, comparison, geometry, sweeps, theorem, value
from .sweeps import EXPONENTS

__all__ = ["CLAIMS", "EXPONENTS", "SWEEP_CLAIMS"]

CLAIMS = {claim.id: claim for part in (value, alignment, attention, theorem) for claim in part.CLAIMS}
"""Claims about a run by name, in the order of the stages."""

SWEEP_CLAIMS = {claim.id: claim for part in (sweeps, comparison, geometry, adam) for claim in part.CLAIMS}
"""Claims about sweeps by name."""
