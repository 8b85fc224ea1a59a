"""Studies of this system by name: sweeps that together are the evidence for claims that no single run can show."""

from __future__ import annotations

from collections.abc import Mapping

from ....study import Study
from . import beta2, geometry, theorem
from .comparison import RULES, comparison, fair_comparison, fair_rates, rate_search

__all__ = ["RULES", "STUDIES", "comparison", "fair_comparison", "fair_rates", "rate_search"]

STUDIES: Mapping[str, Study] = {"theorem": theorem.STUDY, "geometry": geometry.STUDY, "beta2": beta2.STUDY}
"""Studies by name."""
