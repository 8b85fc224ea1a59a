"""Panels of loss, margins and G, and of balancing: each one function ``plot_x(run, *, ax=None, letter="") -> Axes``.

What is drawn was recorded, or is read off the record by `reading`; black dashed is the parameter-free flow at this n and L. Where
something was not recorded the panel says so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....plotting import COLOURS, bound, line, panel_title, predicted
from ....trajectory import Trajectory
from ..predictions import MARGIN
from ..reading import SAND, Reading, left, reading, right
from ..universal import limits
from .drawing import (
    FREE,
    KINDS,
    LIMIT,
    NARROW,
    PAIRS,
    TOKENS,
    WIDE,
    dashed,
    in_units,
    log_values,
    place,
    positive,
    series,
    subscript,
    theory_values,
    time_frame,
    verdicts_on,
    view,
)

# -- figure 1 of the paper -------------------------------------------------------------------------------------------------


def plot_scores(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Scores of a target's query on the other target and on the common token: displacements in U where U is known, else the scores.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Letter of the panel.
    """
    r = reading(run)
    scaled = in_units(r)
    verdicts = verdicts_on(run, "theorem_3_2_scores", "theorem_3_3_size" if scaled else "theorem_3_3_signs")
    with plotting.panel(ax, panel_title(letter, "Targets attend to each other, less to the common token"), verdicts) as ax:
        axis = view(r)
        scores = r["score_change"][axis.rows] / r.unit if scaled else r["scores"][axis.rows]
        symbol = "C" if scaled else "S"
        for i, (key, query, colour) in enumerate(PAIRS):
            name = rf"${symbol}_{{{subscript(key, query)}}}$"
            line(ax, axis.x, scores[:, key, query], colour, name, linewidth=NARROW if i % 2 else WIDE)
        Phi = theory_values(r, "Phi") if scaled else None
        dashed(ax, r, None if Phi is None else 2.0 * Phi[:, [1, 2], [0, 0]], r"predicted, $2\Phi(\tau)$")
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        label = "score change  $C_{ij} / U$, key $i$, query $j$" if scaled else r"score  $S_{ij} = \mu_i^\top W_K^\top W_Q \mu_j$"
        time_frame(ax, r, label)
    return ax


def plot_kind_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Training loss, overall and of the four kinds of samples.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "theorem_3_1_ends", "theorem_3_1_loss")
    with plotting.panel(ax, panel_title(letter, "Loss of kinds 2 and 3 rises before it falls"), verdicts) as ax:
        axis = view(r)
        kinds = r["kind_loss"][axis.rows]
        line(ax, axis.x, r["train_loss"][axis.rows], COLOURS["ink"], "training loss, overall", linewidth=WIDE)
        for i, (colour, label) in enumerate(KINDS):
            line(ax, axis.x, kinds[:, i], colour, label, linewidth=WIDE if i == 1 else NARROW if i == 2 else 1.6)
        dashed(ax, r, theory_values(r, "kind_loss"))
        ax.set_ylim(bottom=0.0)
        time_frame(ax, r, "loss")
    return ax


# -- margins, G, balancing -------------------------------------------------------------------------------------------------


def plot_G(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The head on the values of the two targets and of the common token.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "universal_G", "theorem_3_2_G")
    with plotting.panel(ax, panel_title(letter, "G follows one curve without parameters"), verdicts) as ax:
        axis = view(r)
        G = r["G"][axis.rows]
        for token, colour, label in TOKENS:
            line(ax, axis.x, G[:, token], colour, rf"$G_{token + 1}$, {label}", linewidth=(WIDE, NARROW, 1.6)[token])
        dashed(ax, r, theory_values(r, "G"))
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        time_frame(ax, r, r"$G(\mu) = a^\top W W_V\,\mu$")
    return ax


def plot_margins(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Mean margin of each kind of sample and the smallest margin of all, whose last passage of 1/4 ends Phase 1.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "universal_T1_by_kind", "theorem_3_1_margins")
    with plotting.panel(ax, panel_title(letter, "All margins become positive and stay so"), verdicts) as ax:
        axis = view(r)
        kinds, least = r["kind_margin"][axis.rows], r["min_margin"][axis.rows]
        for i, (colour, label) in enumerate(KINDS):
            line(ax, axis.x, kinds[:, i], colour, label, linewidth=WIDE if i == 1 else NARROW if i == 2 else 1.6)
        line(ax, axis.x, least, COLOURS["ink"], "smallest of all", linewidth=0.9)
        curves = theory_values(r, "kind_margin")
        dashed(ax, r, curves)
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        ax.set_yscale("asinh", linear_width=0.5)  # what happens around 0 and 1/4 would not be seen on a linear axis
        ax.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        ax.set_ylim(*_span(kinds, least))
        ax.axhline(MARGIN, label=f"{MARGIN:g}, ends Phase 1 (chosen here)", **LIMIT)
        if curves is not None:
            predicted(ax, place(r, r.theory_tau_T1), r"$T_1$ predicted" if axis.log else "$T_1$ predicted, step", until=axis.ends[1])
        time_frame(ax, r, "margin  $y F$ (asinh scale)")
    return ax


_TICKS = (-100, -30, -10, -3, -1, -0.3, 0, 0.3, 1, 3, 10, 30, 100)


def _span(*margins: NDArray) -> tuple[float, float]:
    """Return the ends of an axis of margins."""
    seen = np.concatenate([np.ravel(m) for m in margins])
    seen = np.append(seen[np.isfinite(seen)], [-0.1, 0.4])
    return 1.2 * float(seen.min()), 1.2 * float(seen.max())


def plot_ratio(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """-G3' against the larger of G1' and G2', in the window of Lemmas 4.3 and 4.5.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    title = r"$-G_3'$ outpaces the larger of $G_1'$, $G_2'$"
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, "lemma_4_3_left", "lemma_4_5_left", "balance_end")) as ax:
        larger, both = _targets(r)
        window = np.full(len(both), 1.0 + SAND), (1.0 - SAND) * both / larger
        _ratio(ax, r, left, window, r"3/2, $n = \infty$")
        ax.set_ylim(0.0, 2.0)
        time_frame(ax, r, r"$-G_3' / \max(G_1', G_2')$")
    return ax


def plot_sum_ratio(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """-G3' against the sum of G1' and G2', in the window of Lemmas 4.3 and 4.5.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    title = "$-G_3'$ stays below the sum $G_1' + G_2'$"
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, "lemma_4_3_right", "lemma_4_5_right", "universal_T05")) as ax:
        larger, both = _targets(r)
        window = (1.0 + SAND) * larger / both, np.full(len(both), 1.0 - SAND)
        _ratio(ax, r, right, window, r"3/4, $n = \infty$", share=0.5)
        ax.set_ylim(0.0, 1.0)
        time_frame(ax, r, "$-G_3' / (G_1' + G_2')$")
    return ax


def _targets(r: Reading) -> tuple[NDArray, NDArray]:
    """Return the larger of G1', G2' and their sum at the rows that are drawn."""
    rate = r["G_rate"][view(r).rows]
    return np.abs(rate[:, :2]).max(axis=1), rate[:, :2].sum(axis=1)


def _ratio(
    ax: Axes, r: Reading, ratio: Callable[[NDArray], NDArray], window: tuple[NDArray, NDArray], infinite: str, share: float = 1.0
) -> None:
    """Draw a ratio of velocities of G, the window it should lie in, the parameter-free flow and the late limits."""
    axis = view(r)
    bound(ax, axis.x, *window, f"Lemma 4.3, $C = {SAND:g}$ (chosen here)")
    line(ax, axis.x, ratio(r["G_rate"][axis.rows]), COLOURS["blue"], "simulation")
    G = theory_values(r, "G_rate")
    dashed(ax, r, None if G is None else ratio(G)[:, None])
    _limits(ax, r, "-G3'/G1'", infinite, COLOURS["ink"], share)


def _limits(ax: Axes, r: Reading, name: str, infinite: str, colour: str, share: float = 1.0) -> None:
    """Mark the late limit at this n, where kind 4 is inactive, and lighter the one for n to infinity."""
    n, L = r.constant("n"), int(r.constant("L"))
    here = limits(n, L)
    if r.array("all_different") and here["inactive"]:
        ax.axhline(share * here[name], label=f"limit at this $n$, {share * here[name]:.3f}", **{**LIMIT, "color": colour})
    ax.axhline(share * limits(np.inf, L)[name], label=infinite, **{**LIMIT, "color": COLOURS["grey"], "alpha": 0.7})


def plot_sums(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The sum of g against the force on the common token and on the targets.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "lemma_4_5_common", "lemma_4_5_targets", "lemma_4_5_limits")
    with plotting.panel(ax, panel_title(letter, "All g shrink together"), verdicts) as ax:
        axis = view(r)
        drawn = (
            (lambda s: s[:, 1] + s[:, 2] + s[:, 3] - s[:, 0], "green", r"$\sum g/(s_2 + s_3 + s_4 - s_1)$", "sum g/(s2+s3+s4-s1)", "17/3"),
            (lambda s: s[:, 0] - s[:, 1], "purple", r"$\sum g/(s_1 - s_2)$", "sum g/(s1-s2)", "17/2"),
        )
        pulls, free = r["kind_pull"][axis.rows], theory_values(r, "kind_pull")
        for i, (of, colour, label, limit, infinite) in enumerate(drawn):
            line(ax, axis.x, positive(_quotient(pulls, of)), COLOURS[colour], label)
            dashed(ax, r, None if free is None else positive(_quotient(free, of))[:, None], "" if i else FREE)
            _limits(ax, r, limit, rf"{infinite}, $n = \infty$", COLOURS[colour])
        ax.set_ylim(0.0, 15.0)
        time_frame(ax, r, r"ratio of sums")
    return ax


def _quotient(s: NDArray, of: Callable[[NDArray], NDArray]) -> NDArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return s.sum(axis=1) / of(s)


def plot_s2_s3(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """How far the sums of g of the kinds with one target are apart.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    title = "Kinds 2 and 3 stay balanced"
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, "lemma_4_4", "e_21_imbalance")) as ax:
        axis = view(r)
        s = r["kind_pull"][axis.rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.abs(s[:, 1] - s[:, 2]) / s[:, 1:3].min(axis=1)
        line(ax, axis.x, positive(apart), COLOURS["blue"], "simulation (0 in the limit)")
        ax.axhline(0.1, label="0.1, Lemma 4.4's C (chosen here)", **LIMIT)
        log_values(ax)
        time_frame(ax, r, r"$|s_2 - s_3| / \min(s_2, s_3)$")
    return ax


# -- loss on fresh samples -------------------------------------------------------------------------------------------------

TESTS = (("seen", COLOURS["blue"], "seen random tokens"), ("unseen", COLOURS["vermillion"], "unseen random tokens"))


def plot_test_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Training loss, and loss on fresh samples with random tokens that training saw, and with others.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "theorem_3_3_train_loss", "theorem_3_3_test_loss", "loss_clock")
    with plotting.panel(ax, panel_title(letter, "Training and test loss become small"), verdicts) as ax:
        axis = view(r)
        line(ax, axis.x, positive(r["train_loss"][axis.rows]), COLOURS["ink"], "training loss")
        for name, colour, label in TESTS:
            if f"test_loss_{name}" in run:
                x, y = series(r, f"test_loss_{name}")
                line(ax, x, positive(y), colour, f"test loss, {label}", linewidth=WIDE if name == "seen" else NARROW)
        free = theory_values(r, "train_loss")
        dashed(ax, r, None if free is None else free[:, None], "training loss, parameter-free flow")
        ax.axhline(1.0 / r.constant("m"), label="$1/m$", **LIMIT)
        log_values(ax)
        time_frame(ax, r, "loss")
    return ax


def plot_test_error(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Share of errors on fresh samples with random tokens that training saw, and with others.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "theorem_3_3_accuracy")
    with plotting.panel(ax, panel_title(letter, "Fresh samples are told apart"), verdicts) as ax:
        for name, colour, label in TESTS:
            x, y = series(r, f"test_error_{name}")
            line(ax, x, y, colour, label, linewidth=WIDE if name == "seen" else NARROW)
        ax.set_ylim(-0.02, max(0.55, 1.05 * ax.dataLim.y1))
        time_frame(ax, r, "share of errors on fresh samples")
    return ax
