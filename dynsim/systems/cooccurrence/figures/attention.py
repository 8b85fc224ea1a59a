"""Panels of attention and of the motion of all weights: each one function ``plot_x(run, *, ax=None) -> Axes``."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from .... import plotting
from ....claims import Inconclusive
from ....plotting import COLOURS, bound, line, panel_title, theory
from ....trajectory import Trajectory
from ..data import COMMON
from ..predictions import PHASE_ONE_BOUNDS
from ..reading import Reading, reading
from .drawing import (
    LIMIT,
    PAIRS,
    TOKENS,
    WIDE,
    dashed,
    in_units,
    log_values,
    positive,
    series,
    subscript,
    theory_values,
    time_frame,
    verdicts_on,
    view,
)


def plot_score(run: Trajectory, *, key: int = 1, query: int = 0, ax: Axes | None = None, labels: bool = True) -> Axes:
    """Displacement of the score of one pair of special tokens against its prediction.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.
    key, query : int
        Tokens: 0 and 1 the targets, 2 the common one.
    ax : Axes, optional
        Default: axes of a new figure.
    labels : bool
        Label the axes and draw a legend.
    """
    r = reading(run)
    title = rf"$C_{{{subscript(key, query)}}}$: key {TOKENS[key][2]}, query {TOKENS[query][2]}"
    with plotting.panel(ax, title, legend_columns=2 if labels else 0) as ax:
        axis, scaled = view(r), in_units(r)
        change = r["score_change"][axis.rows, key, query] / (r.unit if scaled else 1.0)
        line(ax, axis.x, change, COLOURS["blue"], "simulation")
        Phi = theory_values(r, "Phi") if scaled else None
        dashed(ax, r, None if Phi is None else 2.0 * Phi[:, key, query, None], r"predicted, $2\Phi_{ij}(\tau)$")
        ax.axhline(0.0, color=COLOURS["grey"], linewidth=0.6, zorder=1.5)
        time_frame(ax, r, "$C_{ij} / U$" if scaled else "$C_{ij}$", xlabel=labels, names=key == 0)
    return ax


def plot_random_scores(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The largest displacement of a score with a random token, beside the four of Theorem 3.3.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "theorem_3_3_random", "theorem_3_3_separation")
    with plotting.panel(ax, panel_title(letter, "Scores with random tokens move less"), verdicts, legend_columns=1) as ax:
        scaled = in_units(r)
        U = r.unit if scaled else 1.0
        x, change = series(r, "score_change")
        four = np.stack([change[:, key, query] * (-1.0 if key == COMMON else 1.0) for key, query, _ in PAIRS], axis=1) / U
        line(ax, x, positive(four.min(axis=1)), COLOURS["blue"], "smallest of the four of Theorem 3.3, in its direction")
        x, random = series(r, "random_score_change")
        line(ax, x, positive(random / U), COLOURS["vermillion"], "largest with a random token")
        if scaled:
            level = 1.0 / r.constant("n") + r.constant("L") / np.sqrt(r.constant("m"))
            room = np.log(r.constant("m")) ** 2
            bound(ax, view(r).ends, level, room * level, r"$1/n + L/\sqrt{m}$, bound without logs, to $\log^2 m$ times it (chosen here)")
        log_values(ax)
        time_frame(ax, r, "$|C_{ij}| / U$" if scaled else "$|C_{ij}|$")
    return ax


def plot_softmax(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The largest displacement of a softmax output.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "softmax_scale", "f_1_softmax")
    with plotting.panel(ax, panel_title(letter, "Attention itself hardly moves"), verdicts, legend_columns=1) as ax:
        x, change = series(r, "softmax_change")
        line(ax, x, positive(change), COLOURS["blue"], "largest change of a softmax output")
        if "largest_score_change" in run:
            x, scores = series(r, "largest_score_change")
            theory(ax, x, positive(scores / (2.0 * np.sqrt(r.constant("m")))), r"$\max|C| / (2\sqrt{m})$, first-order bound")
        ax.axhline(r.constant("L") ** -2, label="$1/L^2$, Definition F.1 without its constant", **LIMIT)
        log_values(ax)
        time_frame(ax, r, r"$\max |p - p(0)|$")
    return ax


# -- Phase 1: what stays near its start ------------------------------------------------------------------------------------


def _against(ax: Axes, r: Reading, drawn: tuple[tuple[str, str, str, float, str], ...]) -> None:
    """Draw displacements divided by their bounds without logs, and the room that the logs leave."""
    m = r.constant("m")
    missing = [name for name, *_ in drawn if name not in r.run]
    if len(missing) == len(drawn):
        raise Inconclusive(f"{', '.join(missing)} not recorded: add one of them to record=")
    for name, colour, label, level, formula in drawn:
        if name in missing:
            continue
        x, y = series(r, name)
        width = WIDE if name == "largest_score_change" else 1.6  # softmax outputs follow scores, and lie on top of them
        line(ax, x, positive(y / level), COLOURS[colour], f"{label}, bound {formula} = {level:.1e}", linewidth=width)
    bound(ax, view(r).ends, 1.0, np.log(m) ** 2, r"1 to $\log^2 m$: what $\tilde O$ may hide (chosen here)")
    log_values(ax)
    time_frame(ax, r, "displacement / bound without logs")


def _bounds(r: Reading) -> dict[str, float]:
    """Return the bounds of displacements at T1, without logarithms."""
    return {name: bound(r.constant("m"), r.constant("L")) for name, (_, bound) in PHASE_ONE_BOUNDS.items()}


def plot_value_displacements(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Displacements of neurons and of the value layer against their bounds up to T1, and beyond.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "e_28_neurons", "e_28_values")
    with plotting.panel(ax, panel_title(letter, "Neurons and values up to $T_1$, and after"), verdicts, legend_columns=1) as ax:
        size = _bounds(r)
        _against(ax, r, (
            ("neuron_products_change", "blue", r"$\langle w_i, w_j\rangle$", size["neuron_products_change"], "$1/m$"),
            ("largest_value_change", "vermillion", r"$\langle W_V\mu, W_V\nu\rangle$", size["largest_value_change"], "$1/m$"),
            ("neuron_values_change", "green", r"$w_j^\top W_V\mu$", 1.0 / r.constant("m1"), "$1/m_1$ (Def. E.2)"),
        ))
    return ax


def plot_attention_displacements(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Displacements of scores, keys, queries and softmax outputs against their bounds up to T1, and beyond.

    Parameters
    ----------
    run, ax, letter
        As in `plot_scores`.
    """
    r = reading(run)
    verdicts = verdicts_on(run, "e_28_scores", "e_28_keys", "e_28_queries", "e_25_softmax")
    with plotting.panel(ax, panel_title(letter, "Attention up to $T_1$, and after"), verdicts, legend_columns=1) as ax:
        size = _bounds(r)
        _against(ax, r, (
            ("largest_score_change", "blue", "scores", size["largest_score_change"], r"$m^{-3/2}(1/L + m^{-1/2})$"),
            ("largest_key_change", "purple", "keys", size["largest_key_change"], "$m^{-2}$"),
            ("largest_query_change", "orange", "queries", size["largest_query_change"], "$m^{-2}$"),
            ("softmax_change", "green", "softmax", size["softmax_change"], r"$m^{-2}(1/L + m^{-1/2})/L$"),
        ))
    return ax
