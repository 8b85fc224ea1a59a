"""What a sweep reads off a run: test loss and error when the training loss first reaches each of some levels."""

from __future__ import annotations

from collections.abc import Mapping

from ...measures import At, First, Measure

__all__ = ["LEVELS", "MEASURES", "SWEEP_MEASURES", "TRAINED", "column"]

LEVELS = (0.3, 0.1, 0.03, 0.01)
"""Training losses at which a run is looked at; the last, `TRAINED`, ends it, the others stop it early."""
TRAINED = LEVELS[-1]
"""Training loss at which a run counts as trained."""


def _reached(level: float) -> First:
    return First("train_loss", "<=", level)


def column(quantity: str, level: float) -> str:
    """Return the column of a quantity at the first step with training loss at most `level`; "steps" is that step.

    >>> column("test_loss", 0.1)
    'test_loss@train_loss<=0.1'
    """
    reached = _reached(level)
    return next(iter((reached if quantity == "steps" else At(quantity, reached)).columns))


MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "reached": tuple(_reached(level) for level in LEVELS),
    "test_loss": tuple(At("test_loss", _reached(level)) for level in LEVELS),
    "test_error": tuple(At("test_error", _reached(level)) for level in LEVELS),
}
"""Measures by name: steps to each training loss, and test loss and test error there."""

SWEEP_MEASURES = tuple(MEASURES)
"""Measures when nothing is asked for."""
