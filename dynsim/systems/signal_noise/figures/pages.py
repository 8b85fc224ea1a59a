"""Figures of a run, made of the panels: the paper's Fig. 1 and Fig. 3 as reconstructed here, the whole horizon, the loss, the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .... import plotting
from ....plotting import COLOURS, bundle, line, theory
from ....trajectory import Trajectory
from ..observables import OBSERVABLES
from ..reading import Reading, reading
from ..stages import Stage
from .drawing import NOISE, SIGNAL, TEST, TRAIN, draw_noise, draw_signals, draw_softmax, early_end, known_stages, single, time_frame, view
from .dynamics import plot_agreement, plot_alignment, plot_initial_groups, plot_noise, plot_signals, plot_softmax, plot_value
from .outcome import plot_clock, plot_progress, plot_test_loss, plot_train_loss, plot_turns

__all__ = ["FIGURES", "MAIN_FIGURES", "clock", "figure1", "figure3", "horizon", "loss", "stages"]

_Strip = Callable[[Axes, Reading, NDArray], None]


def _cell(stage: Stage, name: str) -> str:
    return f"{stage.before[name]:.3g} / {stage.after[name]:.3g}"


def _table(run: Trajectory, ax: Axes) -> None:
    """Tracked numbers just before and after every transition, as a table."""
    ax.set_axis_off()
    table = known_stages(run)
    ended = [s for s in table.stages if s.end is not None] if table is not None else []
    if not ended:
        plotting.note(ax, "no stage ends within the record")
        return
    names = list(ended[0].before)
    cells = [[_cell(s, name) for s in ended] for name in names]
    head = [f"end of Stage {s.number}, step {s.end}" for s in ended]
    grid = ax.table(cells, rowLabels=[name.replace("_", " ") for name in names], colLabels=head, loc="upper center", cellLoc="center")
    grid.auto_set_font_size(False)
    grid.set_fontsize(plotting.TICK)
    for cell in grid.get_celld().values():
        cell.set_linewidth(0.4)
        cell.set_edgecolor(COLOURS["bound"])


# -- figures ------------------------------------------------------------------------------------------------------


def _headline(run: Trajectory, figure: Any, text: str) -> None:
    """Title of a figure: what it is, whose numbers, and the setting."""
    about = run.provenance
    setting, rule = about.get("setting") or {}, about.get("optimizer") or {}
    keys = ("n", "d", "s", "sigma_p", "mu_norm", "m_k", "m_v", "sigma_0")
    numbers = [f"{key}={setting[key]:g}" for key in keys if isinstance(setting.get(key), (int, float))]
    if setting.get("disjoint"):
        numbers.append("disjoint")
    lr = rule.get("lr")
    numbers.append(f"{rule.get('rule', 'rule')}" + (f"(lr={lr:g})" if isinstance(lr, float) else ""))
    if isinstance(about.get("seed"), int):
        numbers.append(f"seed {about['seed']}")
    origin = {"reconstructed": "reconstruction: ", "quoted": "the authors' setting: "}.get(about.get("origin", ""), "")
    ended = "" if run.success else f"\n{run.message}"
    plotting.headline(figure, text, f"{origin}{', '.join(numbers)}{ended}")


def _figure(run: Trajectory, fig: Any, width: float, height: float, text: str) -> Any:
    single(run)
    fig = plotting.new_figure(width, height) if fig is None else fig
    _headline(run, fig, text)
    return fig


def figure1(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Panels of the paper's Fig. 1: Stages I to III up close.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = _figure(run, fig, 11.6, 7.8, "Stages I to III, after Fig. 1 of Li et al. (arXiv 2410.04870)")
    ax = plotting.grid(fig, 2, 3)
    early = early_end(reading(run))
    plot_value(run, ax=ax[0], letter="a")
    plot_initial_groups(run, "query_noise", ax=ax[1], letter="b")
    plot_initial_groups(run, "key_noise", ax=ax[2], letter="b′")
    plot_alignment(run, ax=ax[3], letter="c")
    plot_signals(run, ax=ax[4], until=early, letter="d")
    title, claims = "Softmax outputs start near 1/2", ("lemma_4_4_softmax_half", "lemma_4_5_logit_slope")
    plot_softmax(run, ax=ax[5], until=early, title=title, claims=claims, letter="e")
    return fig


def figure3(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Panels of the paper's Fig. 3: Stage IV, the two turns and the decay of attention on the signal.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = _figure(run, fig, 11.6, 7.8, "Stage IV, after Fig. 3 of Li et al. (arXiv 2410.04870)")
    ax = plotting.grid(fig, 2, 3)
    plot_noise(run, "key_noise", ax=ax[0], letter="a")
    plot_noise(run, "query_noise", ax=ax[1], letter="b")
    plot_signals(run, ax=ax[2], letter="c")
    plot_softmax(run, ax=ax[3], letter="d")
    r = reading(run)
    decay = max(2.0 * r.T_key, float(r.at[min(5, len(r.at) - 1)])) if r.is_signgd and np.isfinite(r.T_key) else None
    plot_softmax(run, ax=ax[4], log=True, until=decay, letter="d′")
    plot_agreement(run, ax=ax[5], letter="e")
    return fig


def loss(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Training loss between its bounds, and loss and error on fresh samples.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = _figure(run, fig, 8.4, 4.4, "Loss")
    ax = plotting.grid(fig, 1, 2)
    plot_train_loss(run, ax=ax[0], letter="a")
    plot_test_loss(run, ax=ax[1], letter="b")
    return fig


def clock(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Measured and predicted steps of all transitions, and the turns of all pairs.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = _figure(run, fig, 10.6, 4.4, "Stage clock")
    ax = plotting.grid(fig, 1, 2, left=1.35, between=(1.75, 2.2))
    plot_clock(run, ax=ax[0], letter="a")
    plot_turns(run, ax=ax[1], letter="b")
    return fig


def stages(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """The conditions that end the stages, and the tracked numbers just before and after every transition.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = _figure(run, fig, 8.6, 6.6, "Stages and transitions")
    ax = plotting.grid(fig, 2, 1, left=1.9, top=0.95, bottom=0.15, between=(0.9, 0.95), height_ratios=(1.2, 1.0))
    plot_progress(run, ax=ax[0])
    _table(run, ax[1])
    return fig


def horizon(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """All tracked groups on one time axis with the stages as bands.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    fig = _figure(run, fig, 8.2, 10.0, "The whole run")
    axes = plotting.grid(fig, 6, 1, right=2.0, top=0.95, bottom=0.5, between=(0.4, 0.95), sharex=True)
    for i, (ax, (title, symbols, draw)) in enumerate(zip(axes, _STRIPS, strict=True)):
        _strip(run, ax, title, symbols, draw, first=i == 0, last=i == len(_STRIPS) - 1)
    return fig


def _strip(run: Trajectory, ax: Axes, title: str, symbols: str, draw: _Strip, *, first: bool, last: bool) -> None:
    r = single(run)
    with plotting.panel(ax, title, legend_columns=0) as ax:
        rows, until = view(r, None)
        draw(ax, r, rows)
        if r.is_signgd:
            clock = {r"$T_\mathrm{key}$": r.T_key, r"$2\,T_\mathrm{key}$": 2.0 * r.T_key, r"$T_\mathrm{attn}$": r.T_attn}
            for step in clock.values():
                if step <= until:
                    ax.axvline(step, color="black", linestyle=(0, (4, 2)), linewidth=0.8, zorder=4)
            if first:
                label = "predicted\n" + "\n".join(f"{name} {step:.0f}" for name, step in clock.items())
                theory(ax, [], [], label, linewidth=0.8)
        time_frame(ax, run, until, symbols, xlabel=last, stage_names=first)
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=plotting.SMALL, frameon=False, borderaxespad=0.0)


def _strip_value(ax: Axes, r: Reading, rows: NDArray) -> None:
    bundle(ax, r.at[rows], r["mean_value_noise"][rows], NOISE, "noise $B_i$")
    line(ax, r.at[rows], r["mean_value_signal"][rows], SIGNAL, "signal $A$")


def _strip_loss(ax: Axes, r: Reading, rows: NDArray) -> None:
    train = r["train_loss"][rows]
    line(ax, r.at[rows], np.where(train > 0, train, np.nan), TRAIN, "training loss")
    if "test_loss" in r.run:
        line(ax, r.run.steps("test_loss"), r.run["test_loss"], TEST, "test loss")
    if np.any(train > 0):
        plotting.log_axis(ax)


_STRIPS: tuple[tuple[str, str, _Strip], ...] = (
    ("Mean value", "$B_i$, $A$", _strip_value),
    ("Key noise", f"${OBSERVABLES['key_noise'].symbol}$", lambda ax, r, rows: draw_noise(ax, r, "key_noise", rows)),
    ("Query noise", f"${OBSERVABLES['query_noise'].symbol}$", lambda ax, r, rows: draw_noise(ax, r, "query_noise", rows)),
    ("Query and key signal", r"$\langle w_{\cdot,r}, \mu\rangle$", draw_signals),
    ("Softmax outputs on the signal token", "$s_{i,11}$, $s_{i,21}$", draw_softmax),
    ("Loss", "$L$ (log)", _strip_loss),
)

FIGURES: Mapping[str, Callable[[Trajectory], Figure]] = {
    "figure1": figure1, "figure3": figure3, "horizon": horizon, "loss": loss, "clock": clock, "stages": stages,
}
"""Figures by name, each a function of a run."""

MAIN_FIGURES = ("figure3", "loss")
"""Figures that tell the story of a run, drawn in about two seconds."""
