"""The files of a run folder: trajectory, report, stage table, experiment and figures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ..experiment import Experiment
from ..progress import Progress
from ..report import draw_each, figure_names
from ..summary import Summary
from ..trajectory import Trajectory
from .runfolder import RunFolder

__all__ = ["planned_files", "write_figures", "write_summary", "write_trajectory"]

def planned_files(system: str, which: str = "main") -> list[str]:
    """Return every file that a run folder of this system may get."""
    figures = [f"figures/{name}.{kind}" for name in figure_names(system, which) for kind in ("png", "svg")]
    return ["trajectory.npz", "experiment.toml", "report.json", "stages.csv", *figures]


def write_summary(folder: RunFolder, summary: Summary, experiment: Experiment | None = None) -> None:
    """Write report, stage table and experiment beside the trajectory of a run."""
    folder.write_text("report.json", summary.report.to_json() + "\n")
    if summary.stages is not None:
        folder.write_text("stages.csv", summary.stages.to_csv())
    if experiment is not None:
        folder.write_text("experiment.toml", experiment.to_toml())


def write_trajectory(folder: RunFolder, run: Trajectory) -> None:
    """Write a run into its folder."""
    folder.write("trajectory.npz", run.save)


def write_figures(
    folder: RunFolder, run: Trajectory, names: Iterable[str], progress: Progress | None = None
) -> tuple[list[str], list[str]]:
    """Draw figures of a run into its folder, as PNG and SVG.

    A figure that fails takes none of the others with it.

    Returns
    -------
    skipped, failed : list of str
        One sentence a figure that the run has no data for, and a figure that went wrong.
    """
    def keep(name: str, figure: Any) -> None:
        from ..plotting import save  # with it Matplotlib, which a run without figures does not need

        for kind in ("png", "svg"):
            folder.write(f"figures/{name}.{kind}", partial(save, figure, kind=kind))

    return draw_each(run, names, keep, progress)
