"""Claims by name: about one run, by what is trained, and about sweeps."""

from __future__ import annotations

from . import basins, examples, joint, queries, statistics, sweeps, value

__all__ = ["CLAIMS", "SWEEP_CLAIMS"]

CLAIMS = {claim.id: claim for part in (value, joint, queries, examples, basins) for claim in part.CLAIMS}
"""Claims about a run by name."""

SWEEP_CLAIMS = {claim.id: claim for part in (sweeps, statistics) for claim in part.CLAIMS}
"""Claims about sweeps by name."""
