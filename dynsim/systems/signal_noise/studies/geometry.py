"""Is it only the noise? The same data and weights under three rules, noise from large to none, attention undecided and trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....study import Plan, Study
from ..claims.geometry import MEASURED, RULES
from ..presets import experiment

__all__ = ["STUDY"]

HORIZON = 40_000
"""Steps by which every rule has reached the loss at every point; a run ends when it has."""


def _crossed(name: str, values: Iterable[float]) -> list[dict[str, Any]]:
    """Every rule at every value of a variable, all with the same horizon: the system knows one for SignGD only."""
    return [{"optimizer": rule, name: value, "steps": HORIZON} for value in values for rule in RULES]


_COMPLETE = experiment("figure3_disjoint")
_UNDECIDED = _COMPLETE.replace(setting=_COMPLETE.setting.replace(sigma_0=0.0, m_k=1))  # no row ever moves: one is as good as many

STUDY = Study(
    "Is it only the noise? Sign rules and gradient descent on the same data",
    {
        "undecided": Plan(
            _UNDECIDED, _crossed("sigma_p", (8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125)), 16, MEASURED,
            "attention undecided for ever (initial weights 0), noise shrinks: the value layer alone, where the derivation is exact",
        ),
        "signal": Plan(
            _UNDECIDED, _crossed("mu_norm", (0.5, 1.0, 2.0, 4.0, 8.0)), 16, MEASURED,
            "attention undecided, the signal grows at the preset's noise: only |mu| / sigma_p should matter for the test error",
        ),
        "complete": Plan(
            _COMPLETE, _crossed("sigma_p", (8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 1 / 16, 1 / 32, 1 / 1024)), 8, MEASURED,
            "the complete model, noise shrinks until there is none",
        ),
    },
)
"""Sweeps that tell the noise from the rule."""
