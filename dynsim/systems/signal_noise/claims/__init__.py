"""Claims about a single run of the two-layer transformer, by stage."""

from __future__ import annotations

from . import alignment, attention, theorem, value

__all__ = ["CLAIMS"]

CLAIMS = {claim.id: claim for part in (value, alignment, attention, theorem) for claim in part.CLAIMS}
"""Claims by name, in the order of the stages."""
