"""Claims by name: about one run, by what is trained, and about sweeps."""

from __future__ import annotations

from . import basins, examples, joint, queries, sweeps, value

__all__ = ["CLAIMS", "SWEEP_CLAIMS"]

CLAIMS = {claim.id: claim for part in (value, joint, queries, examples, basins) for claim in part.CLAIMS}
"""Claims about a run by name."""

SWEEP_CLAIMS = {claim.id: claim for claim in sweeps.CLAIMS}
"""Claims about sweeps by name."""
