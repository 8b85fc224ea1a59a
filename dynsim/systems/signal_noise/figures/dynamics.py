"""Panels of the dynamics, as in Fig. 1 and Fig. 3: each one function ``plot_x(run, *, ax=None) -> Axes``.

What is drawn was recorded, or is read off the record by `reading` and `stage_table`. Where something was not
recorded the panel says so.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....numerics import logistic
from ....plotting import COLOURS, bundle, chosen, line, measured, panel_title, predicted, theory
from ....trajectory import Trajectory
from ..observables import OBSERVABLES
from ..predictions import SMALL, logit_slope
from .drawing import (
    KEY,
    MIXED,
    NEGATIVE,
    NOISE,
    POSITIVE,
    QUERY,
    SIGNAL,
    axis_label,
    draw_noise,
    draw_signals,
    draw_softmax,
    early_end,
    finite,
    flips_seen,
    known_stages,
    number,
    single,
    time_frame,
    turn_of,
    verdicts_on,
    view,
)

# -- panels of Fig. 1 ---------------------------------------------------------------------------------------------


def plot_value(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage I: mean value noise and mean value signal against their exact straight lines.

    Parameters
    ----------
    run : Trajectory
        A single run of this system, with the nine default quantities.
    ax : Axes, optional
        Where to draw; default a new figure's.
    until : float, optional
        Last step shown; default three times the end of Stage I.
    letter : str
        Letter of the panel, put before its title; default none.
    """
    r = single(run)
    verdicts = verdicts_on(run, "value_signal_linear", "value_noise_linear")
    with plotting.panel(ax, panel_title(letter, "Mean value noise outgrows mean value signal"), verdicts) as ax:
        A, B = r["mean_value_signal"], r["mean_value_noise"]
        table = known_stages(run)
        end = number(lambda: r.T_one)
        known = number(lambda: r.stage_one_predicted) if r.is_signgd else np.nan
        if until is None:
            ends = [x for x in (end, known) if np.isfinite(x)]
            until = max(3.0 * max(ends, default=0.0), float(r.at[min(8, len(r.at) - 1)])) if ends else None
        rows, until = view(r, until)
        t = r.at[rows]
        bundle(ax, t, B[rows], NOISE, "noise $B_i$")
        line(ax, t, A[rows], SIGNAL, "signal $A$")
        if r.is_signgd:
            predicted_A, predicted_B = (x[rows] for x in r.value_lines)
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
        As in `plot_value`.
    name : {"query_noise", "key_noise"}
        Which noise.
    ax, until, letter
        As in `plot_value`; the default view ends shortly after the predicted last flip of a mixed pair.
    """
    r = single(run)
    query = name == "query_noise"
    verdicts = verdicts_on(run, *(("lemma_4_2_sign_rule", "sign_rule_refined") if query else ("lemma_4_2_alignment", "lemma_4_3_scale")))
    with plotting.panel(ax, panel_title(letter, f"{name.replace('_', ' ').capitalize()}, by initial signs of the pair"), verdicts) as ax:
        th, ka = r["query_noise"][0], r["key_noise"][0]
        rows, until = view(r, flips_seen(r) if until is None else until)
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
        time_frame(ax, run, until, axis_label(name))
    return ax


def plot_alignment(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage II: fraction of pairs whose query and key noise agree in sign, with its predicted and measured end.

    Parameters
    ----------
    run, ax, until, letter
        As in `plot_value`; the default view ends with Stage III.
    """
    r = single(run)
    verdicts = verdicts_on(run, "lemma_4_3_alignment_complete", "lemma_4_3_half_positive")
    with plotting.panel(ax, panel_title(letter, "Query and key noise come to agree in sign"), verdicts) as ax:
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
    run, ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    verdicts = verdicts_on(run, "lemma_4_4_query_vote", "lemma_4_4_key_vote")
    with plotting.panel(ax, panel_title(letter, "Query signal follows the vote, key opposes"), verdicts) as ax:
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
    run, ax, until
        As in `plot_value`; the default view is the whole run.
    log : bool
        Logarithmic axis, on which the predicted decay of s_21 is a parabola, up to the key turn; default a linear axis with T_attn.
    title : str, optional
        Title of the panel; default what the axis shows.
    claims : tuple of str, optional
        Claims named below the title; default those on what the axis shows.
    letter : str
        As in `plot_value`.
    """
    r = single(run)
    if title is None:
        title = "Noise token: attention decays fast" if log else "Attention leaves the signal token"
    if claims is None:
        claims = ("lemma_4_5_logit_slope", "lemma_4_5_s21_small") if log else ("lemma_4_5_s11_near_half", "attention_time")
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, *claims)) as ax:
        s11, s21 = r["softmax_11"], r["softmax_21"]
        rows, until = view(r, until)
        t = r.at[rows]
        draw_softmax(ax, r, rows)
        if r.is_signgd:
            decay = t[t <= r.T_key]
            if len(decay) > 1:
                logit = logit_slope(float(np.median(r.a)), r.m_k, r.lr) * decay**2
                theory(ax, decay, logistic(logit).p, r"logit $s_{21} = -m_k(\eta a t)^2$")
        if log:
            if r.is_signgd:
                predicted(ax, r.T_key, r"$T_\mathrm{key}$ predicted", until=until)
            measured(ax, turn_of(r, "key_noise"), "key noise turns, measured", until=until)
            plotting.log_axis(ax)
            ax.set_ylim(top=min(ax.get_ylim()[1], 2.0))
        else:
            whole = until == r.at[-1]
            if r.is_signgd and (whole or r.T_attn <= until):
                predicted(ax, r.T_attn, r"$T_\mathrm{attn}$ predicted", until=until)
            if whole:
                measured(ax, number(lambda: r.T_small), rf"mean $s_{{11}} < {SMALL}$ at", until=until)
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
        As in `plot_value`.
    name : {"key_noise", "query_noise"}
        Which noise.
    ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    key = name == "key_noise"
    clock = r"$T_\mathrm{key}$" if key else r"$2\,T_\mathrm{key}$"
    claims = ("lemma_4_6_key_turn", "lemma_4_6_key_agrees") if key else ("lemma_4_7_query_turn", "lemma_4_7_query_agrees")
    title = f"{'Key' if key else 'Query'} noise against its row turns at {clock}"
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, *claims)) as ax:
        rows, until = view(r, until)
        draw_noise(ax, r, name, rows)
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        if r.is_signgd:
            predicted(ax, r.T_key if key else 2.0 * r.T_key, f"{clock} predicted", until=until)
        measured(ax, turn_of(r, name), "median turn, measured", until=until)
        chosen(ax, r.classify_at, "signs classified at", until=until)
        time_frame(ax, run, until, axis_label(name))
    return ax


def plot_agreement(run: Trajectory, *, ax: Axes | None = None, until: float | None = None, letter: str = "") -> Axes:
    """Stage IV: fraction of pairs whose key or query noise agrees in sign with its row's query signal.

    Parameters
    ----------
    run, ax, until, letter
        As in `plot_value`; the default view is the whole run.
    """
    r = single(run)
    verdicts = verdicts_on(run, "lemma_4_8_end", "theorem_3_2_attention")
    with plotting.panel(ax, panel_title(letter, "All noise comes to agree with its row"), verdicts) as ax:
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
