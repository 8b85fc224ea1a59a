"""Measures: numbers read off a run while it goes on, in memory of the size of its state and not of its length.

A measure is a frozen value that describes what to read; `watch` makes the live counterpart for one run. A
sweep makes a row of a table out of what its measures return.
"""

from .expressions import as_measures
from .kinds import At, First, Series, Underflow, Verdicts, bounded_steps, seldom
from .watching import Column, Computed, Measure, Watch, Watched, require_kind

__all__ = [
    "At", "Column", "Computed", "First", "Measure", "Series", "Underflow", "Verdicts", "Watch", "Watched", "as_measures", "bounded_steps",
    "require_kind", "seldom",
]
