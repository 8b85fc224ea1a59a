"""Panels of the gradients of a transformer's blocks: over training, first and last, and how unequal they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from .... import plotting
from ....axes import log_values, step_axis
from ....claims import Inconclusive
from ....plotting import COLOURS, panel_title
from ....trajectory import Trajectory
from ..inequality import gini
from ..transformer.model import block_shapes
from ..transformer.setting import Transformer
from .drawing import draw, recorded, setting_of, verdicts_on

ROWS = 40
"""Most rows of blocks that have a label."""
SHADES = "cividis"
"""Colours of gradients: they rise in lightness alike for all viewers."""


def of_transformer(run: Trajectory) -> Any:
    """Return the setting of a transformer's run."""
    return setting_of(run, Transformer, about="the transformer")


def rms_of_blocks(run: Trajectory) -> tuple[list[str], NDArray, NDArray]:
    """Return names of the blocks, recorded steps, and ghat, shape (T, B): NaN where a gradient is 0."""
    names = list(block_shapes(of_transformer(run)))
    t, norms = recorded(run, "block_grad_norms")
    sizes = run.constants.get("block_sizes")
    if sizes is None or norms.shape[-1] != len(names):
        raise Inconclusive("the run does not know the sizes of its blocks")
    rms = norms / np.sqrt(sizes)
    return names, t, np.where(np.isfinite(rms) & (rms > 0), rms, np.nan)


def readable(name: str) -> str:
    """Return a block's name as a row of a small table has it: what it is, then the layer.

    >>> readable("W_Q_2"), readable("b_1_2"), readable("gain_2_1"), readable("gain_final"), readable("embedding")
    ('W_Q, 2', 'b_1, 2', 'gain 1, 2', 'gain final', 'embedding')
    """
    kind, *rest = name.split("_")
    if len(rest) < 2:
        return " ".join((kind, *rest))
    return f"{kind}_{rest[0]}, {rest[1]}" if kind in ("W", "b") else f"{kind} {rest[1]}, {rest[0]}"


def name_rows(ax: Axes, names: list[str]) -> None:
    """Label the y axis with the names of blocks from the top down; with every other one and so on where there are many."""
    every = -(-len(names) // ROWS)
    rows = np.arange(0, len(names), max(1, every))
    ax.set_yticks(rows, [readable(names[row]) for row in rows])
    ax.set_ylim(len(names) - 0.5, -0.5)


def small_rows(ax: Axes, count: int) -> None:
    """Make the labels of so many rows of blocks fit."""
    ax.tick_params(axis="y", labelsize=plotting.TICK if count <= 20 else 5.8, length=2)


def _levels(rms: NDArray) -> LogNorm:
    low, high = np.nanmin(rms), np.nanmax(rms)
    return LogNorm(low, high if high > low else 2.0 * low)


def plot_block_gradients(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Root-mean-square gradient entry of every block, from the embedding at the top to the head, against steps, as shades.

    Parameters
    ----------
    run : Trajectory
        Of the transformer with `block_grad_norms` recorded.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    names: list[str] = []
    with plotting.panel(ax, panel_title(letter, "Gradients of the blocks"), legend_columns=0) as ax:
        names, t, rms = rms_of_blocks(run)
        if not np.isfinite(rms).any():
            raise Inconclusive("all gradients are 0")
        edges = np.concatenate([[t[0] - 0.5], 0.5 * (t[1:] + t[:-1]), [t[-1] + 0.5]]) if len(t) > 1 else np.array([t[0] - 0.5, t[0] + 0.5])
        ax.pcolormesh(edges, np.arange(len(names) + 1) - 0.5, rms.T, norm=_levels(rms), cmap=SHADES, rasterized=True)
        ax.set_facecolor(COLOURS["bound"])
        name_rows(ax, names)
        ax.set_xlabel("step $t$")
        ax.set_xlim(edges[0], edges[-1])
    small_rows(ax, len(names))
    return ax


def draw_scale(figure: Any, ax: Axes, run: Trajectory) -> None:
    """Draw the colour bar of `plot_block_gradients` into axes of its own."""
    figure.colorbar(ScalarMappable(_levels(rms_of_blocks(run)[2]), SHADES), cax=ax)
    ax.minorticks_off()
    ax.yaxis.set_ticks_position("left")  # the names of the next panel's rows are to the right
    ax.tick_params(labelsize=plotting.TICK, length=3)
    ax.set_title(r"$\hat g_b$", fontsize=plotting.LABEL, loc="left")


def plot_profile(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Root-mean-square gradient entry of every block at the first and at the last record.

    Parameters
    ----------
    run, ax, letter
        As in `plot_block_gradients`.
    """
    names: list[str] = []
    found = verdicts_on(run, "gradient_before_first_norm", "fresh_head_takes_gradient")
    with plotting.panel(ax, panel_title(letter, "First and last profile"), found) as ax:
        names, t, rms = rms_of_blocks(run)
        rows = np.arange(len(names))
        style: dict[str, Any] = {"linewidth": 0.9, "marker": "o", "markersize": 3.6}
        ax.plot(rms[0], rows, color=COLOURS["wine"], label=f"step {t[0]:g}", **style)
        if len(t) > 1:
            ax.plot(rms[-1], rows, color=COLOURS["sky"], label=f"step {t[-1]:g}", **style)
        name_rows(ax, names)
        ax.set_xlabel(r"$\hat g_b$, root mean square entry of the gradient", labelpad=1.0)
        if np.isfinite(rms).any():
            plotting.log_axis(ax, "x")
        ax.grid(axis="y", color=COLOURS["band"], linewidth=0.6)
        ax.set_axisbelow(True)
    small_rows(ax, len(names))
    return ax


def plot_inequality(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Gini coefficient of the blocks' gradients against steps, and their largest over their smallest.

    Parameters
    ----------
    run, ax, letter
        As in `plot_block_gradients`.
    """
    with plotting.panel(ax, panel_title(letter, "How unequal the blocks are"), legend_columns=1) as ax:
        _, t, rms = rms_of_blocks(run)
        draw(ax, t, np.array([gini(row[np.isfinite(row)]) for row in rms]), COLOURS["ink"], r"Gini coefficient of $\hat g_b$, left axis")
        step_axis(ax, run, "Gini coefficient")
        ax.set_ylim(0.0, 1.0)
        with np.errstate(invalid="ignore"):
            spread = np.nanmax(rms, axis=1, initial=-np.inf) / np.nanmin(rms, axis=1, initial=np.inf)
        right = ax.twinx()
        plotting.line(right, t, spread, COLOURS["purple"], linewidth=1.2)
        ax.plot([], [], color=COLOURS["purple"], linewidth=1.2, label="largest over smallest, right axis")
        right.set_ylabel(r"$\max_b \hat g_b / \min_b \hat g_b$", fontsize=plotting.LABEL)
        right.tick_params(labelsize=plotting.TICK, length=3)
        right.spines[["top", "left"]].set_visible(False)
        log_values(right)
    ax.spines["right"].set_visible(False)
    return ax
