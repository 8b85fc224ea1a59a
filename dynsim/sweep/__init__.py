"""Sweeps: an experiment at many points and for many seeds, over any executor, with rows that are on disk as they finish."""

from .design import Grid, Points, Sampled, geometric
from .engine import SweepError, SweepInterrupted, sweep
from .folder import SweepFolderError
from .table import Table, changed, join, load_table

__all__ = [
    "Grid", "Points", "Sampled", "SweepError", "SweepFolderError", "SweepInterrupted", "Table", "changed", "geometric", "join",
    "load_table", "sweep",
]
