"""Claims about a run of the word co-occurrence model, in the order of its phases, and about sweeps."""

from __future__ import annotations

from . import attention, exact, first, second, start, sweeps
from .sweeps import EXPONENTS

__all__ = ["CLAIMS", "EXPONENTS", "SWEEP_CLAIMS"]

CLAIMS = {claim.id: claim for part in (exact, start, first, second, attention) for claim in part.CLAIMS}
"""Claims about a run by name."""

SWEEP_CLAIMS = {claim.id: claim for claim in sweeps.CLAIMS}
"""Claims about sweeps by name."""
