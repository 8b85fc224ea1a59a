"""Panels: each one function ``plot_x(run, *, ax=None) -> Axes``.

What is drawn was recorded, or is read off the record by `reading` and `stage_table`. Where something was not
recorded the panel says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ... import plotting
from ...check import check
from ...claims import Inconclusive, Verdict
from ...plotting import COLOURS, bound, bundle, chosen, line, measured, predicted, stage_bands, theory
from ...trajectory import Trajectory
from .claims import CLAIMS
from .observables import OBSERVABLES
from .predictions import EPS, SMALL, loss_bounds
from .reading import SETTLED, Reading, reading
from .stages import StageTable, stage_table

__all__ = [
    "plot_agreement", "plot_alignment", "plot_clock", "plot_initial_groups", "plot_noise", "plot_progress", "plot_signals",
    "plot_softmax", "plot_test_loss", "plot_train_loss", "plot_turns", "plot_value",
]

# One colour has one meaning within a figure. Hue is the sign at the step of classification; the light shade of a hue is
# what opposes its row: noise against its row's query signal, key signal.
POSITIVE, POSITIVE_OPPOSED = COLOURS["blue"], COLOURS["sky"]
NEGATIVE, NEGATIVE_OPPOSED = COLOURS["vermillion"], COLOURS["orange"]
MIXED = COLOURS["purple"]
SIGNAL, NOISE = COLOURS["green"], COLOURS["indigo"]
QUERY, KEY = COLOURS["wine"], COLOURS["purple"]
TRAIN, TEST, ERROR = COLOURS["wine"], COLOURS["olive"], COLOURS["purple"]
STEP = "step $t$"


# -- what the panels share ----------------------------------------------------------------------------------------


def single(run: Trajectory) -> Reading:
    if run.final.ndim > 1:
        raise ValueError("this run has replicates: plot one of them, run.replicate(0)")
    return reading(run)


def _verdicts(run: Trajectory, *claims: str) -> tuple[Verdict, ...]:
    return check(run, [CLAIMS[claim] for claim in claims]).verdicts


def _once(r: Reading, key: str, f: Callable[[], Any]) -> Any:
    """Return f(), computed once for a reading: several panels of a figure ask for the same."""
    kept = r.__dict__.setdefault("_figures", {})
    if key not in kept:
        kept[key] = f()
    return kept[key]


def known_stages(run: Trajectory) -> StageTable | None:
    """Return the stage table, or None where the record does not tell the stages."""
    def table() -> StageTable | None:
        try:
            return stage_table(run)
        except Inconclusive:
            return None

    return _once(reading(run), "stages", table)


def _turn(r: Reading, name: str) -> float:
    """Return the median turn, NaN where there is none."""
    return _once(r, f"turn of {name}", lambda: _number(lambda: r.turn(name)))


def _number(f: Callable[[], float | None]) -> float:
    """Return a measured step, NaN where it was not reached."""
    try:
        step = f()
    except Inconclusive:
        return np.nan
    return np.nan if step is None else float(step)


def view(r: Reading, until: float | None) -> tuple[NDArray, float]:
    """Rows to draw, at most as many as can be seen, and the end of the view."""
    until = float(r.at[-1]) if until is None else min(float(until), float(r.at[-1]))
    rows = np.arange(min(int(np.searchsorted(r.at, until)) + 1, len(r.at)))  # one more, where `until` was not recorded
    return rows[plotting.some(len(rows), plotting.POINTS)], until


def early_end(r: Reading) -> float:
    """End of the view for Stages I to III: alignment is predicted to be complete by 0.8 T_key."""
    ends = [_number(lambda: 0.8 * r.T_key if r.is_signgd else np.nan), 1.2 * _number(lambda: r.T_two), 1.1 * _number(lambda: r.T_three)]
    ends = [end for end in ends if np.isfinite(end)]
    least = float(r.at[min(5, len(r.at) - 1)])
    return min(max(*ends, least), float(r.at[-1])) if ends else float(r.at[-1])


def _flips_seen(r: Reading) -> float:
    """End of the view in which mixed pairs can be seen to flip."""
    last = _number(lambda: float(r.flips.max())) if r.is_signgd else np.nan
    return max(1.3 * last, float(r.at[min(5, len(r.at) - 1)])) if np.isfinite(last) else early_end(r)


def time_frame(ax: Axes, run: Trajectory, until: float, ylabel: str, *, xlabel: bool = True, stage_names: bool = True) -> None:
    """Stage bands, the view and the labels that every panel over time has."""
    since = float(run.at[0])
    until = until if until > since else since + 1.0
    table = known_stages(run)
    if table is not None:
        bands = [(s.number, s.first, np.inf if s.end is None else s.end) for s in table.stages if s.first is not None]
        stage_bands(ax, bands, since=since, until=until, label=stage_names)
    ax.set_xlim(since, until)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.set_ylabel(ylabel)
    if xlabel:
        ax.set_xlabel(STEP)


def _label(name: str) -> str:
    return f"{name.replace('_', ' ')}  ${OBSERVABLES[name].symbol}$"


def _title(letter: str, text: str) -> str:
    return f"({letter}) {text}" if letter else text


def finite(x: NDArray) -> NDArray:
    """NaN in place of what is not finite, which autoscaling cannot show."""
    return np.where(np.isfinite(x), x, np.nan)


def _by_sign(sign: NDArray) -> tuple[tuple[NDArray, str, str, str], ...]:
    """Two groups by sign, with their name, deep and light colour."""
    return (sign > 0, "positive", POSITIVE, POSITIVE_OPPOSED), (sign < 0, "negative", NEGATIVE, NEGATIVE_OPPOSED)


def draw_noise(ax: Axes, r: Reading, name: str, rows: NDArray) -> None:
    """Draw key or query noise by its sign when signs are classified, with and against its row's query signal."""
    t, x = r.at[rows], finite(r[name][rows])
    sign, against = np.sign(r[name][r.row(r.classify_at)]), r.against
    for group, which, deep, light in _by_sign(sign):
        bundle(ax, t, x[:, group & ~against], deep, f"{which}, with its row")
        bundle(ax, t, x[:, group & against], light, f"{which}, against")
    if (sign == 0).any():
        bundle(ax, t, x[:, sign == 0], COLOURS["grey"], "zero")


def draw_signals(ax: Axes, r: Reading, rows: NDArray) -> None:
    """Draw query and key signal of the rows by the sign of their query signal when signs are classified."""
    t, q, k = r.at[rows], finite(r["query_signal"][rows]), finite(r["key_signal"][rows])
    sign = np.sign(r["query_signal"][r.row(r.classify_at)])
    for group, which, deep, light in _by_sign(sign):
        bundle(ax, t, q[:, group], deep, f"query, {which} rows", width=2.6)  # the key signal of the other rows lies on top of it
        bundle(ax, t, k[:, group], light, f"key, {which} rows", width=1.2)
    if (sign == 0).any():
        bundle(ax, t, q[:, sign == 0], COLOURS["grey"], "query, zero")


def draw_softmax(ax: Axes, r: Reading, rows: NDArray) -> None:
    """Draw both softmax outputs."""
    for name, colour, label in (("softmax_21", NOISE, "$s_{21}$, noise token"), ("softmax_11", SIGNAL, "$s_{11}$, signal token")):
        bundle(ax, r.at[rows], r[name][rows], colour, label)


# The theory's curves, as the claims value_signal_linear, value_noise_linear and lemma_4_5_logit_slope state them.


def _value_lines(r: Reading, t: NDArray) -> tuple[NDArray, NDArray]:
    since = t - r.at[0]
    return r["mean_value_signal"][0] + 2.0 * r.lr * r.mu * since, r["mean_value_noise"][0] + 2.0 * r.lr * np.multiply.outer(since, r.a)


def _logit_21(r: Reading, t: NDArray) -> NDArray:
    return -r.m_k * (r.lr * float(np.median(r.a)) * t) ** 2


# -- panels of Fig. 1 ---------------------------------------------------------------------------------------------


def plot_value(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage I: mean value noise and mean value signal against their exact straight lines.

    Parameters
    ----------
    run : Trajectory
    ax : Axes, optional
    until : float, optional
        Last step shown; default three times the end of Stage I.
    letter : str
        Letter of the panel.
    """
    r = single(run)
    verdicts = _verdicts(run, "value_signal_linear", "value_noise_linear")
    with plotting.panel(ax, _title(letter, "Mean value noise outgrows mean value signal"), verdicts) as ax:
        A, B = r["mean_value_signal"], r["mean_value_noise"]
        table = known_stages(run)
        end = _number(lambda: r.T_one)
        known = r.stage_one_predicted if r.is_signgd else np.nan
        if until is None:
            ends = [x for x in (end, known) if np.isfinite(x)]
            until = max(3.0 * max(ends, default=0.0), float(r.at[min(8, len(r.at) - 1)])) if ends else None
        rows, until = view(r, until)
        t = r.at[rows]
        bundle(ax, t, B[rows], NOISE, "noise $B_i$")
        line(ax, t, A[rows], SIGNAL, "signal $A$")
        if r.is_signgd:
            predicted_A, predicted_B = _value_lines(r, t)
            if r.signal_apart:
                theory(ax, t, predicted_A)
            label = "exact line" if r.disjoint else "line if disjoint"
            theory(ax, t, np.median(predicted_B, axis=1), f"{label}, of $A$ and median $B_i$")
            predicted(ax, known, "Stage I ends, predicted", until=until)
        if table is not None:
            measured(ax, end, "measured", until=until)
        time_frame(ax, run, until, f"mean value  ${OBSERVABLES['mean_value_signal'].symbol}$, ${OBSERVABLES['mean_value_noise'].symbol}$")
    return ax


def plot_initial_groups(
    run: Trajectory, name: str = "query_noise", *, ax: Axes | None = None, until: float | None = None, letter: str = ""
) -> Axes:
    """Stage II: query or key noise of the pairs by their initial signs: both positive, both negative, mixed.

    The mixed pairs have two medians, by the sign of the larger of the two at the start, which decides.

    Parameters
    ----------
    run : Trajectory
    name : {"query_noise", "key_noise"}
    ax, until, letter
        As in `plot_value`; the default view ends shortly after the predicted last flip of a mixed pair.
    """
    r = single(run)
    query = name == "query_noise"
    verdicts = _verdicts(run, *(("lemma_4_2_sign_rule", "sign_rule_refined") if query else ("lemma_4_2_alignment", "lemma_4_3_scale")))
    with plotting.panel(ax, _title(letter, f"{name.replace('_', ' ').capitalize()}, by initial signs of the pair"), verdicts) as ax:
        th, ka = r["query_noise"][0], r["key_noise"][0]
        rows, until = view(r, _flips_seen(r) if until is None else until)
        t, x = r.at[rows], finite(r[name][rows])
        positive, negative = (th > 0) & (ka > 0), (th < 0) & (ka < 0)
        mixed = th * ka < 0
        larger_positive = np.where(np.abs(th) > np.abs(ka), th, ka) > 0
        bundle(ax, t, x[:, positive], POSITIVE, "both positive")
        bundle(ax, t, x[:, negative], NEGATIVE, "both negative")
        bundle(ax, t, x[:, mixed], MIXED, "mixed, by the larger", median=False)
        for group in (mixed & larger_positive, mixed & ~larger_positive):
            if group.any():
                line(ax, t, np.median(x[:, group], axis=1), MIXED)
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        time_frame(ax, run, until, _label(name))
    return ax


def plot_alignment(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage II: fraction of pairs whose query and key noise agree in sign, with its predicted and measured end.

    Parameters
    ----------
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view ends with Stage III.
    """
    r = single(run)
    verdicts = _verdicts(run, "lemma_4_3_alignment_complete", "lemma_4_3_half_positive")
    with plotting.panel(ax, _title(letter, "Query and key noise come to agree in sign"), verdicts) as ax:
        rows, until = view(r, early_end(r) if until is None else until)
        t = r.at[rows]
        line(ax, t, r.aligned[rows], COLOURS["ink"], "pairs aligned")
        line(ax, t, (r["key_noise"][rows] > 0).mean((1, 2)), POSITIVE, "key noise positive", linewidth=1.1)
        table = known_stages(run)
        if table is not None:
            predicted(ax, table["II"].predicted, "last flip, predicted", until=until)
            measured(ax, np.nan if table["II"].end is None else table["II"].end, "Stage II ends, measured", until=until)
        ax.set_ylim(0.0, 1.04)
        time_frame(ax, run, until, "fraction of pairs")
    return ax


def plot_signals(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage III and after: query and key signal of the rows, by the sign of the row's query signal when signs are classified.

    Parameters
    ----------
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    verdicts = _verdicts(run, "lemma_4_4_query_vote", "lemma_4_4_key_vote")
    with plotting.panel(ax, _title(letter, "Query signal follows the vote, key opposes"), verdicts) as ax:
        rows, until = view(r, until)
        draw_signals(ax, r, rows)
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        chosen(ax, r.classify_at, "rows classified at", until=until)
        time_frame(ax, run, until, r"query, key signal  $\langle w_{\cdot,r}, \mu\rangle$")
    return ax


def plot_softmax(
    run: Trajectory, *, ax: Axes | None = None, until: float | None = None, log: bool = False, title: str | None = None,
    claims: tuple[str, ...] | None = None, letter: str = "",
) -> Axes:
    """Attention of both tokens on the signal token, with the predicted decay of s_21.

    Parameters
    ----------
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    log : bool
        Logarithmic axis, on which the predicted decay of s_21 is a parabola, up to the key turn; default a linear axis with T_attn.
    title : str, optional
    claims : tuple of str, optional
        Claims named below the title; default those on what the axis shows.
    """
    r = single(run)
    if title is None:
        title = "Noise token: attention decays fast" if log else "Attention leaves the signal token"
    if claims is None:
        claims = ("lemma_4_5_logit_slope", "lemma_4_5_s21_small") if log else ("lemma_4_5_s11_near_half", "attention_time")
    with plotting.panel(ax, _title(letter, title), _verdicts(run, *claims)) as ax:
        s11, s21 = r["softmax_11"], r["softmax_21"]
        rows, until = view(r, until)
        t = r.at[rows]
        draw_softmax(ax, r, rows)
        if r.is_signgd:
            decay = t[t <= r.T_key]
            if len(decay) > 1:
                theory(ax, decay, np.exp(-np.logaddexp(0.0, -_logit_21(r, decay))), r"logit $s_{21} = -m_k(\eta a t)^2$")
        if log:
            if r.is_signgd:
                predicted(ax, r.T_key, r"$T_\mathrm{key}$ predicted", until=until)
            measured(ax, _turn(r, "key_noise"), "key noise turns, measured", until=until)
            plotting.log_axis(ax)
            ax.set_ylim(top=min(ax.get_ylim()[1], 2.0))
        else:
            whole = until == r.at[-1]
            if r.is_signgd and (whole or r.T_attn <= until):
                predicted(ax, r.T_attn, r"$T_\mathrm{attn}$ predicted", until=until)
            if whole:
                measured(ax, _number(lambda: r.T_small), rf"mean $s_{{11}} < {SMALL}$ at", until=until)
            largest = finite(np.stack([s11[rows], s21[rows]]))
            ax.set_ylim(0.0, max(0.62, 1.05 * float(np.nanmax(largest, initial=0.0))))
        time_frame(ax, run, until, "softmax output  $s_{i,11}$, $s_{i,21}$" + (" (log)" if log else ""))
    return ax


# -- panels of Fig. 3 ---------------------------------------------------------------------------------------------


def plot_noise(run: Trajectory, name: str = "key_noise", *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage IV: key or query noise by its sign when signs are classified, with and against its row's query signal, and its turn.

    Parameters
    ----------
    run : Trajectory
    name : {"key_noise", "query_noise"}
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    key = name == "key_noise"
    clock = r"$T_\mathrm{key}$" if key else r"$2\,T_\mathrm{key}$"
    claims = ("lemma_4_6_key_turn", "lemma_4_6_key_agrees") if key else ("lemma_4_7_query_turn", "lemma_4_7_query_agrees")
    title = f"{'Key' if key else 'Query'} noise against its row turns at {clock}"
    with plotting.panel(ax, _title(letter, title), _verdicts(run, *claims)) as ax:
        rows, until = view(r, until)
        draw_noise(ax, r, name, rows)
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        if r.is_signgd:
            predicted(ax, r.T_key if key else 2.0 * r.T_key, f"{clock} predicted", until=until)
        measured(ax, _turn(r, name), "median turn, measured", until=until)
        chosen(ax, r.classify_at, "signs classified at", until=until)
        time_frame(ax, run, until, _label(name))
    return ax


def plot_agreement(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage IV: fraction of pairs whose key or query noise agrees in sign with its row's query signal.

    Parameters
    ----------
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    verdicts = _verdicts(run, "lemma_4_8_end", "theorem_3_2_attention")
    with plotting.panel(ax, _title(letter, "All noise comes to agree with its row"), verdicts) as ax:
        rows, until = view(r, until)
        for name, colour, width in (("key_noise", KEY, 2.6), ("query_noise", QUERY, 1.2)):
            line(ax, r.at[rows], r.agree(name)[rows], colour, name.replace("_", " "), linewidth=width)
        table = known_stages(run)
        if table is not None:
            predicted(ax, table["IV"].predicted, "predicted end", until=until)
            measured(ax, np.nan if table["IV"].end is None else table["IV"].end, "measured end", until=until)
        ax.set_ylim(0.0, 1.04)
        time_frame(ax, run, until, "fraction of pairs with sgn $q_r$")
    return ax


# -- loss ---------------------------------------------------------------------------------------------------------


def plot_train_loss(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Training loss on a logarithmic axis between its bounds from mean value signal and noise.

    The upper bound is drawn where its conditions hold: s_11 + s_21 <= 1 and B_i >= A for all samples.

    Parameters
    ----------
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    verdicts = _verdicts(run, "theorem_3_2_loss", "loss_sandwich")
    with plotting.panel(ax, _title(letter, "The training loss falls between its bounds"), verdicts) as ax:
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
        measured(ax, _number(lambda: r.first(loss <= EPS)), f"loss $\\leq {EPS}$ at", until=until)
        if np.any(loss[rows] > 0):
            plotting.log_axis(ax)
        time_frame(ax, run, until, "training loss  $L$ (log)")
    return ax


def plot_test_loss(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Loss and error on fresh samples, against log 2 and 1/2, which guessing gives.

    Parameters
    ----------
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    with plotting.panel(ax, _title(letter, "The test loss stays of order 1"), _verdicts(run, "theorem_3_2_test_loss")) as ax:
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
    run : Trajectory
    ax, letter
        As in `plot_value`.
    """
    r = single(run)
    verdicts = _verdicts(run, "stage_one_end", "attention_time")
    ax = plotting.new_axes(6.6, 4.0, left=1.4, right=1.7) if ax is None else ax
    with plotting.panel(ax, _title(letter, "Transitions: measured against predicted"), verdicts, legend_columns=4) as ax:
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
    run : Trajectory
    ax, letter
        As in `plot_value`.
    """
    r = single(run)
    verdicts = _verdicts(run, "lemma_4_6_key_turn", "lemma_4_7_query_turn")
    with plotting.panel(ax, _title(letter, "When the pairs against their row turn"), verdicts) as ax:
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
    run : Trajectory
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    ax = plotting.new_axes(7.4, 4.0) if ax is None else ax
    with plotting.panel(ax, _title(letter, "What ends each stage"), legend_columns=3) as ax:
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
