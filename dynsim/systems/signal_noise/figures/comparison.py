"""Figures of update rules side by side: after Fig. 2 of the paper, and at equal training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .... import plotting
from ....claims import Verdict, from_evidence
from ....optimizers import describe
from ....plotting import COLOURS
from ....sweep import Table
from ....trajectory import Trajectory
from ..claims.comparison import WINDOW, Course, courses, is_adam, is_signgd, slopes
from ..reading import reading
from .drawing import SIGNAL, STEP, draw_noise, finite, sweep_verdicts, time_frame, view

__all__ = ["COMPARISON_FIGURES", "equal_loss", "plot_courses", "plot_noise_and_signals", "plot_slopes", "rules"]

Evidence = Mapping[str, Any]

RULE_COLOURS = ("blue", "vermillion", "orange", "purple", "green", "indigo", "brown", "wine")
"""Colours of the rules, in their order in the table."""


def _coloured(table: Table) -> list[tuple[Course, str]]:
    return [(course, COLOURS[RULE_COLOURS[i % len(RULE_COLOURS)]]) for i, course in enumerate(courses(table))]


def _label(course: Course) -> str:
    return f"{course.text}, lr {course.rule.lr:g}"


def _style(course: Course) -> Any:
    """Broken lines for the Adams but the first of them: they lie on top of one another."""
    return {0.5: (0, (5, 2)), 0.0: (0, (2, 2))}.get(getattr(course.rule, "beta1", 1.0), "solid")


def _band(ax: Axes, x: NDArray, y: NDArray, colour: str, course: Course) -> None:
    """Draw the mean over seeds, and the range of the seeds as a band."""
    plotting.line(ax, x, y.mean(axis=0), colour, _label(course), linewidth=1.4, linestyle=_style(course))
    if len(y) > 1:
        ax.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.18, linewidth=0)


def plot_noise_and_signals(run: Trajectory, title: str, verdicts: tuple[Verdict, ...] = (), *, ax: Axes | None = None) -> Axes:
    """Draw query noise by its sign when signs are classified, with and against its row, and the size of the signals.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    title : str
    verdicts : tuple of Verdict
    ax : Axes, optional
    """
    with plotting.panel(ax, title, verdicts) as ax:
        r = reading(run)
        rows, until = view(r, None)
        draw_noise(ax, r, "query_noise", rows)
        for name, style in (("query_signal", "solid"), ("key_signal", (0, (3, 1)))):
            size = np.abs(finite(r[name][rows])).mean(axis=1)
            plotting.line(ax, r.at[rows], size, SIGNAL, f"mean |{name.replace('_', ' ')}|", linewidth=1.3, linestyle=style)
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        time_frame(ax, run, until, r"query noise $\langle w_{Q,r}, y_i\xi_i\rangle$, signals")
    return ax


def plot_courses(evidence: Evidence, name: str, title: str, verdicts: tuple[Verdict, ...] = (), *, ax: Axes | None = None) -> Axes:
    """Draw a recorded course of every rule: mean over seeds, and their range.

    Parameters
    ----------
    evidence : mapping
        Entry "rules": the table of a comparison.
    name : {"train_loss", "test_loss", "test_error"}
    title : str
    verdicts : tuple of Verdict
    ax : Axes, optional
    """
    with plotting.panel(ax, title, verdicts) as ax:
        table = from_evidence(evidence, "rules")
        for course, colour in _coloured(table):
            steps, values = course.series(name)
            kept = steps <= table.experiment.steps
            _band(ax, steps[kept], values[:, kept], colour, course)
        if name == "train_loss":
            plotting.log_axis(ax)
        elif name == "test_loss":
            ax.axhline(np.log(2.0), color=COLOURS["grey"], linewidth=0.8, linestyle=(0, (1, 2)), label=r"$\log 2$: no knowledge")
        else:
            ax.set_ylim(0.0, None)
        ax.set_xlim(0, table.experiment.steps)
        ax.set_xlabel(STEP)
        ax.set_ylabel(name.replace("_", " ") + (" (log)" if name == "train_loss" else ""))
    return ax


def plot_slopes(evidence: Evidence, *, ax: Axes | None = None) -> Axes:
    """Draw the local decay rate of the training loss, -d log L / dt over 50 steps: level where the log loss is straight.

    Parameters
    ----------
    evidence : mapping
        Entry "rules": the table of a comparison.
    ax : Axes, optional
    """
    verdicts = sweep_verdicts(evidence, "signgd_loss_straight", "adam_loss_bends")
    with plotting.panel(ax, "(d) Local slope of the log loss", verdicts) as ax:
        table = from_evidence(evidence, "rules")
        for course, colour in _coloured(table):
            steps, loss = course.series("train_loss")
            kept = steps <= table.experiment.steps
            _band(ax, *slopes(steps[kept], loss[:, kept]), colour, course)
        ax.set_xlim(0, table.experiment.steps)
        ax.set_ylim(0.0, None)
        ax.set_xlabel(STEP)
        ax.set_ylabel(rf"$-\Delta \log L / \Delta t$ over {WINDOW} steps")
    return ax


def _headline(fig: Any, table: Table, text: str) -> None:
    seeds = np.unique(table["seed"])
    setting = table.experiment.setting.to_dict()
    numbers = ", ".join(f"{name}={value:g}" for name, value in setting.items() if not isinstance(value, bool))
    origin = {"reconstructed": "reconstruction: ", "quoted": "the authors' setting: "}.get(table.experiment.origin, "")
    plotting.headline(fig, text, f"{origin}{numbers}; {len(seeds)} seeds: mean and range")


def rules(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """After Fig. 2 of the paper: noise and signals under SignGD and Adam, training loss with its local slope, test loss and error.

    Parameters
    ----------
    evidence : mapping
        Entry "rules": the table of a comparison; the other entries are runs under SignGD and Adam, recorded in full.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(12.2, 8.6) if fig is None else fig
    table = from_evidence(evidence, "rules")
    _headline(fig, table, "Update rules on the same data, after Fig. 2 of Li et al. (arXiv 2410.04870)")
    ax = plotting.grid(fig, 2, 3, bottom=1.15, between=(1.95, 0.95))
    panels = (("a", is_signgd, "signgd_query_noise_crosses"), ("b", is_adam, "adam_query_noise_stays"))
    for at, (letter, which, claim) in zip(ax, panels, strict=False):
        found = _run_of(evidence, table, which)
        if found is None:
            plotting.note(at, f"no run of {(which.__doc__ or '').rstrip('.')}")
            continue
        course, run = found
        title = f"({letter}) Noise and signals, {_label(course)}, seed {run.provenance.get('seed')}"
        plot_noise_and_signals(run, title, sweep_verdicts(evidence, claim), ax=at)
    plot_courses(evidence, "train_loss", "(c) Training loss", sweep_verdicts(evidence, "adam_losses_coincide"), ax=ax[2])
    plot_slopes(evidence, ax=ax[3])
    plot_courses(evidence, "test_loss", "(e) Test loss", ax=ax[4])
    plot_courses(evidence, "test_error", "(f) Test error", sweep_verdicts(evidence, "gd_generalises_in_every_seed"), ax=ax[5])
    return fig


def _run_of(evidence: Evidence, table: Table, which: Any) -> tuple[Course, Trajectory] | None:
    """Return the first rule of a kind that there is a run of, with the run."""
    for course in courses(table):
        run = evidence.get(course.text)
        if which(course.rule) and isinstance(run, Trajectory) and run.provenance.get("optimizer") == describe(course.rule):
            return course, run
    return None


def equal_loss(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Test error and test loss against training loss: what each rule has learnt by the time it fits equally well.

    Parameters
    ----------
    evidence : mapping
        Entry "rules": the table of a comparison.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = plotting.new_figure(9.2, 5.0) if fig is None else fig
    table = from_evidence(evidence, "rules")
    _headline(fig, table, "At equal training loss")
    verdicts = sweep_verdicts(evidence, "gd_generalises_in_every_seed", "gd_generalises_on_average")
    for ax, name, title in zip(plotting.grid(fig, 1, 2, bottom=1.15), ("test_error", "test_loss"), ("(a) Test error", "(b) Test loss"),
                               strict=True):
        with plotting.panel(ax, title, verdicts if name == "test_error" else ()) as panel:
            for course, colour in _coloured(table):
                steps, loss = course.series("train_loss")
                at, values = course.series(name)
                shared = loss[:, np.searchsorted(steps, at)]  # test errors are recorded at some of the steps of losses
                plotting.line(panel, np.exp(np.log(shared).mean(axis=0)), values.mean(axis=0), colour, _label(course), linewidth=1.4,
                              linestyle=_style(course))
                plotting.line(panel, np.exp(np.log(shared[:, -1:]).mean(axis=0)), values[:, -1:].mean(axis=0), colour)
            panel.set_xscale("log")
            panel.invert_xaxis()
            panel.set_ylim(0.0, None)
            panel.set_xlabel("training loss (log, falling; dots: end of the run)")
            panel.set_ylabel(f"{name.replace('_', ' ')}, mean over seeds")
    return fig


COMPARISON_FIGURES = {"rules": rules, "equal_loss": equal_loss}
"""Figures of a comparison by name, each a function of its evidence."""
