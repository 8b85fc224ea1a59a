"""Claims by name: about one run, by room, and about sweeps."""

from __future__ import annotations

from . import classes, heads, paths, placements, quadratics, rates, theorems, transformers

__all__ = ["CLAIMS", "SWEEP_CLAIMS"]

CLAIMS = {claim.id: claim for part in (paths, heads, transformers) for claim in part.CLAIMS}
"""Claims about a run by name."""

SWEEP_CLAIMS = {claim.id: claim for part in (quadratics, theorems, placements, rates, classes) for claim in part.CLAIMS}
"""Claims about sweeps by name."""
