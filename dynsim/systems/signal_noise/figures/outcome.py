"""Panels of what came of a run: losses, the clock, turns, progress through the stages."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....claims import Inconclusive
from ....plotting import COLOURS, bound, line, measured, panel_title, predicted, theory
from ....trajectory import Trajectory
from ..conditions import SETTLED
from ..predictions import EPS, SMALL, loss_bounds
from .drawing import ERROR, KEY, NOISE, QUERY, STEP, TEST, TRAIN, known_stages, number, single, time_frame, verdicts_on, view

# -- loss ---------------------------------------------------------------------------------------------------------


def plot_train_loss(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Training loss on a logarithmic axis between its bounds from mean value signal and noise.

    The bounds are those of equation (37); the upper one is drawn where its conditions hold: s_11 + s_21 <= 1 and B_i >= A for all samples.

    Parameters
    ----------
    run, ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    verdicts = verdicts_on(run, "theorem_3_2_loss", "loss_sandwich")
    with plotting.panel(ax, panel_title(letter, "The training loss falls between its bounds"), verdicts) as ax:
        loss = r["train_loss"]
        rows, until = view(r, until)
        t = r.at[rows]
        try:
            low, high = (x[rows] for x in loss_bounds(r["mean_value_signal"], r["mean_value_noise"]))
            holds = ((r["softmax_11"] + r["softmax_21"] <= 1.0) & (r["mean_value_noise"] >= r["mean_value_signal"][:, None])).all(1)[rows]
            bound(ax, t, low, np.where(holds, high, np.nan), "between the bounds")
            theory(ax, t, low, "lower bound", linewidth=0.9)
            theory(ax, t, np.where(holds, high, np.nan), "upper bound", linewidth=0.9, linestyle=(0, (1, 1.5)))
        except Inconclusive:
            pass  # the loss is worth drawing without its bounds
        line(ax, t, np.where(loss[rows] > 0, loss[rows], np.nan), TRAIN, "training loss")
        measured(ax, number(lambda: r.first(loss <= EPS)), f"loss $\\leq {EPS}$ at", until=until)
        if np.any(loss[rows] > 0):
            plotting.log_axis(ax)
        time_frame(ax, run, until, "training loss  $L$ (log)")
    return ax


def plot_test_loss(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Loss and error on fresh samples, against log 2 and 1/2, which guessing gives.

    Parameters
    ----------
    run, ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    with plotting.panel(ax, panel_title(letter, "The test loss stays of order 1"), verdicts_on(run, "theorem_3_2_test_loss")) as ax:
        until = float(r.at[-1]) if until is None else min(float(until), float(r.at[-1]))
        if "test_loss" not in run and "test_error" not in run:
            raise Inconclusive("test_loss and test_error not recorded: add them to record=")
        for name, colour, label in (("test_loss", TEST, "test loss"), ("test_error", ERROR, "test error")):
            if name in run:
                at = run.steps(name)
                rows = np.flatnonzero(at <= until)
                rows = rows[plotting.some(len(rows), plotting.POINTS)]
                few = len(rows) <= 50
                line(ax, at[rows], run[name][rows], colour, label, marker="o" if few else "", markersize=3)
        ax.axhline(np.log(2.0), label="guessing: log 2, error 1/2", color="black", linestyle=(0, (4, 2)), linewidth=1.1, zorder=4)
        if "test_error" in run:
            ax.axhline(0.5, color="black", linestyle=(0, (4, 2)), linewidth=1.1, zorder=4)
        ax.set_ylim(0.0, 1.08 * ax.get_ylim()[1])
        time_frame(ax, run, until, "loss, fraction of errors")
    return ax


# -- stages and clock ---------------------------------------------------------------------------------------------


def _transitions(run: Trajectory) -> list[tuple[str, float, float, tuple[float, float]]]:
    """Name, measured step, predicted step and bounds (or NaN) of every transition, in the order of the clock."""
    r, table = single(run), known_stages(run)
    if table is None:
        raise Inconclusive("the stages are not told by what was recorded: record the nine default quantities")
    none = (np.nan, np.nan)
    found = [(f"Stage {s.number} ends", np.nan if s.end is None else float(s.end), s.predicted, none) for s in table.stages]
    for mark in table.marks:
        bounds = none
        if mark.name.startswith("train_loss") and r.is_signgd:
            low, high = (r.first(x <= EPS) for x in loss_bounds(r["mean_value_signal"], r["mean_value_noise"]))
            bounds = (np.nan if low is None else float(low), np.nan if high is None else float(high))
        name = mark.name.replace("softmax_11", "$s_{11}$").replace("train_loss <=", r"training loss $\leq$")
        found.append((name, mark.measured, mark.predicted, bounds))
    order = (0, 1, 2, 4, 5, 6, 7, 3)  # Stage IV ends last
    return [found[i] for i in order]


def plot_clock(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Measured and predicted step of every transition, with their ratio.

    Parameters
    ----------
    run, ax, letter
        As in `plot_value`.
    """
    r = single(run)
    verdicts = verdicts_on(run, "stage_one_end", "attention_time")
    ax = plotting.new_axes(6.6, 4.0, left=1.4, right=1.7) if ax is None else ax
    with plotting.panel(ax, panel_title(letter, "Transitions: measured against predicted"), verdicts, legend_columns=4) as ax:
        rows = _transitions(run)
        shown = [x for _, m, p, b in rows for x in (m, p, *b) if np.isfinite(x)] + [float(r.at[-1])]
        last = max(max(shown), 1.0)
        for y, (_, seen, told, (low, high)) in enumerate(rows):
            if np.isfinite(low):
                stop = high if np.isfinite(high) else 2.0 * last
                ax.plot([low, stop], [y, y], color=COLOURS["bound"], linewidth=7, solid_capstyle="butt", zorder=1)
            if np.isfinite(told):
                ax.plot(told, y, marker="D", markersize=7, markerfacecolor="none", markeredgecolor="black", linestyle="none", zorder=4)
            if np.isfinite(seen):
                ax.plot(seen, y, marker="o", markersize=5, color=COLOURS["blue"], linestyle="none", zorder=3)
            said = f"{seen:.0f}" if np.isfinite(seen) else f"not by {r.at[-1]}"
            if np.isfinite(told):
                said += f" / {told:.0f}" + (f" = {seen / told:.2f}" if np.isfinite(seen) and told > 0 else "")
            elif np.isfinite(low):
                said += f" in {low:.0f} .. " + (f"{high:.0f}" if np.isfinite(high) else f"> {r.at[-1]}")
            elif np.isposinf(told):
                said += " / never"
            else:
                said += " / -"
            ax.annotate(said, (1.0, y), (6, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", fontsize=plotting.TICK,
                        va="center", annotation_clip=False)
        ax.axvline(float(r.at[-1]), color=COLOURS["grey"], linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.5)
        ax.plot([], [], marker="o", markersize=5, color=COLOURS["blue"], linestyle="none", label="measured")
        ax.plot([], [], marker="D", markersize=7, markerfacecolor="none", markeredgecolor="black", linestyle="none", label="predicted")
        ax.plot([], [], color=COLOURS["grey"], linewidth=0.8, linestyle=(0, (1, 2)), label="horizon")
        if any(np.isfinite(low) for *_, (low, _high) in rows):
            ax.plot([], [], color=COLOURS["bound"], linewidth=7, label="bounds")
        ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        least = min(shown)
        if least > 0:
            ax.set_xlim(0.6 * least, 1.6 * last)
            plotting.log_axis(ax, "x", decades=2)
        else:
            ax.set_xscale("symlog", linthresh=1.0)
            ax.set_xlim(-0.1, 1.6 * last)
        ax.annotate("measured / predicted", (1.0, 1.0), (6, 3), xycoords="axes fraction", textcoords="offset points",
                    fontsize=plotting.SMALL, color=COLOURS["grey"], va="bottom", annotation_clip=False)
        ax.set_xlabel(STEP + " (log)")
    return ax


def plot_turns(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Turns of all pairs against their row, as histograms, with the predicted medians.

    Parameters
    ----------
    run, ax, letter
        As in `plot_value`.
    """
    r = single(run)
    verdicts = verdicts_on(run, "lemma_4_6_key_turn", "lemma_4_7_query_turn")
    with plotting.panel(ax, panel_title(letter, "When the pairs against their row turn"), verdicts) as ax:
        last = float(r.at[-1])
        turns = {name: r.turns(name) for name in ("key_noise", "query_noise")}
        latest = max(float(turn[turn < last].max(initial=0.0)) for turn in turns.values())
        if latest == 0.0:
            raise Inconclusive(f"no pair has turned within the horizon of {last:.0f} steps")
        until = min(last, 1.25 * max(latest, 2.0 * r.T_key if r.is_signgd else 0.0))
        bins = np.linspace(0.0, until, 61)
        for (name, turn), colour in zip(turns.items(), (KEY, QUERY), strict=True):
            turned = turn[turn < last]
            label = f"{name.replace('_', ' ')} ({len(turned)} of {len(turn)} turned)"
            ax.hist(
                turned, bins=bins.tolist(), histtype="stepfilled", color=(colour, 0.35), edgecolor=colour, linewidth=1.0, label=label,
                zorder=3,
            )
        if r.is_signgd:
            predicted(ax, r.T_key, r"$T_\mathrm{key}$ predicted", until=until)
            predicted(ax, 2.0 * r.T_key, r"$2\,T_\mathrm{key}$ predicted", until=until)
        time_frame(ax, run, until, "pairs")
    return ax


def plot_progress(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """The conditions that end the stages, each as a fraction of what it asks for.

    Parameters
    ----------
    run, ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    ax = plotting.new_axes(7.4, 4.0) if ax is None else ax
    with plotting.panel(ax, panel_title(letter, "What ends each stage"), legend_columns=3) as ax:
        rows, until = view(r, until)
        t = r.at[rows]
        overtaken = (r["mean_value_noise"] > r["mean_value_signal"][:, None]).mean(1)
        curves = (
            (overtaken, NOISE, "I: samples with $B_i > A$, to 1"),
            (r.aligned, COLOURS["ink"], "II: pairs aligned, to 1"),
            (r.settled, COLOURS["green"], f"III: rows following the vote, to {SETTLED}"),
            (r.agree("key_noise"), KEY, "IV: key noise with its row, to 1"),
            (r.agree("query_noise"), QUERY, "IV: query noise with its row, to 1"),
            (r["softmax_11"].mean(1), COLOURS["sky"], f"IV: mean $s_{{11}}$, below {SMALL}"),
        )
        for y, colour, label in curves:
            line(ax, t, y[rows], colour, label, linewidth=1.3)
        ax.set_ylim(0.0, 1.04)
        time_frame(ax, run, until, "fraction")
    return ax
