"""Studies of this system by name: sweeps that together are the evidence for claims that no single run can show."""

from __future__ import annotations

from collections.abc import Mapping

from ....study import Study
from . import theorem

__all__ = ["STUDIES"]

STUDIES: Mapping[str, Study] = {"theorem": theorem.STUDY}
"""Studies by name."""
