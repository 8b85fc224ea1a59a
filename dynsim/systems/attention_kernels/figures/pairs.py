"""Panels of queries trained alone: the floor of softmax, and the rate that the Jacobian at the start gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....axes import drawn, log_values, step_axis
from ....claims import Inconclusive
from ....plotting import LEVEL, panel_title, theory
from ....trajectory import Trajectory
from ..reading import Reading
from .drawing import SMALLEST, curves, kernels, positive, reading, series, verdicts_on, without

RATE_FROM = 1e-18
"""Losses below this have no rate: they are rounding."""


def of_queries(run: Trajectory) -> Reading:
    """Return the reading of a regression that trains the queries alone."""
    return reading(run, about="regression with Q trained alone", where=lambda s: s.task == "regression" and s.trained == "Q")


def _rates(r: Reading) -> Iterator[tuple[str, float]]:
    r"""Yield every kernel whose Jacobian has full rank at the start, and the decay of ln f a step that it predicts.

    It is :math:`-2 \ln(1 - \eta\mu)` with :math:`\mu = \min_k \sigma_{min}(J_k)^2 / N`; of a flow :math:`2\mu`.
    """
    least, N = r.constant("jacobian_least"), float(r.constant("N"))
    for kernel in r.kernels:
        mu = float(least[r.index(kernel)].min()) ** 2 / N
        if mu > 1e-12:
            shrunk = 0.0 if r.lr is None else 1.0 - r.lr * mu
            yield kernel, 2.0 * mu if r.lr is None else -2.0 * np.log(shrunk) if shrunk > 0 else np.nan


def _anchored(t: NDArray, loss: NDArray) -> int:
    """Return the row at which a predicted slope is attached: the last one above rounding."""
    above = np.flatnonzero(loss > RATE_FROM)
    return int(above[-1]) if len(above) else 0


def plot_pair_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss of every kernel, the floor of antisymmetric pairs whose rows sum to 1, and predicted slopes.

    Parameters
    ----------
    run : Trajectory
        Of task "regression" with Q trained.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    r = of_queries(run)
    verdicts = verdicts_on(run, "softmax_floor", "softmax_reaches_floor", "gaussian_no_floor")
    with plotting.panel(ax, panel_title(letter, "Loss with only the queries trained"), verdicts, legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t)
            curves(ax, r, t[rows], np.maximum(loss[rows], 0.01 * SMALLEST), colour, f"{title}, {loss[-1].mean():.3g} at the end")
        floor = float(r.run.constants.get("pair_floor", 0.0))
        if floor > 1e-12 and set(r.kernels) - {"gaussian"}:
            ax.axhline(floor, label=f"floor {floor:.4g} where rows sum to 1", **LEVEL)
        try:
            label = "slope predicted at the start, through the end"
            for kernel, rate in _rates(r):
                t, loss = series(r, "train_loss", kernel)
                middle = loss.mean(axis=1)
                at = _anchored(t, middle)
                with np.errstate(over="ignore"):
                    dashed = middle[at] * np.exp(-rate * (t[: at + 1] - t[at]))
                seen = np.where(dashed <= 3.0 * middle.max(), dashed, np.nan)
                few = drawn(t[: at + 1])
                theory(ax, t[few], positive(seen[few]), label)
                label = ""
        except Inconclusive as reason:
            without(ax, "rate", reason)
        log_values(ax, smallest=SMALLEST)
        step_axis(ax, r.run, "training loss $f$")
    return ax


def plot_rate(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """How fast the logarithm of the loss falls, against the predicted rate.

    Parameters
    ----------
    run, ax, letter
        As in `plot_pair_loss`.
    """
    r = of_queries(run)
    verdicts = verdicts_on(run, "lazy_rate_softmax", "lazy_rate_gaussian")
    with plotting.panel(ax, panel_title(letter, "Rate, and the Jacobian's at the start"), verdicts, legend_columns=1) as ax:
        predicted = dict(_rates(r))
        for kernel, title, colour in kernels(r):
            rank = int(r.constant("jacobian_rank")[r.index(kernel)].min())
            if kernel not in predicted:
                ax.plot([], [], color=colour, label=f"{title}: Jacobian of rank {rank} only, no rate")
                continue
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t)
            if len(rows) < 2:
                raise Inconclusive("one recorded time has no rate")
            found, middle = loss[rows].mean(axis=1), 0.5 * (t[rows][1:] + t[rows][:-1])
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = -np.diff(np.log(found)) / np.diff(t[rows])
            rate = np.where(found[1:] > RATE_FROM, rate, np.nan)
            curves(ax, r, middle, positive(rate)[:, None], colour, f"{title}, Jacobian of rank {rank}")
        label = r"predicted, $-2 \ln(1 - \eta\mu)$" if r.lr else r"predicted, $2\mu$"
        for rate in predicted.values():
            theory(ax, [r.at[0], r.at[-1]], [rate, rate], label)
            label = ""
        log_values(ax)
        step_axis(ax, r.run, r"$-\Delta \ln f / \Delta t$")
    return ax


def plot_pair_motion(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Change of the norm of all queries, relative to the start: small in the lazy regime.

    Parameters
    ----------
    run, ax, letter
        As in `plot_pair_loss`.
    """
    r = of_queries(run)
    with plotting.panel(ax, panel_title(letter, "Size of the queries"), legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, norm = series(r, "query_norm", kernel)
            rows = drawn(t)
            change = norm / norm[0] - 1.0
            curves(ax, r, t[rows], change[rows], colour, f"{title}, {change[-1].mean():+.1e} at the end")
        ax.ticklabel_format(axis="y", scilimits=(-3, 4), useOffset=False)
        step_axis(ax, r.run, r"$\Vert q_t\Vert / \Vert q_0\Vert - 1$")
    return ax
