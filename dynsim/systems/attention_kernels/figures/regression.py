"""Panels of the regression: values alone against their exact prediction, and all parameters against their bounds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .... import plotting
from ....axes import drawn, log_values, step_axis
from ....claims import Inconclusive
from ....plotting import LEVEL, line, panel_title, theory
from ....trajectory import Trajectory
from ..reading import Reading
from ..regression.bounds import loss_bound, path_bound, sufficient_loss_bound
from ..regression.gram import loss_floor, predicted_loss
from .drawing import LIMIT, curves, kernels, positive, reading, series, verdicts_on, without


def of_values(run: Trajectory) -> Reading:
    """Return the reading of a run that trains the values alone."""
    return reading(run, about="regression with V trained alone", where=lambda s: s.task == "regression" and s.trained == "V")


def of_all(run: Trajectory) -> Reading:
    """Return the reading of a run that trains the values and queries or keys."""
    return reading(
        run, about="regression with V and Q or K trained", where=lambda s: s.task == "regression" and "V" in s.trained and s.trained != "V",
    )


# -- values alone ------------------------------------------------------------------------------------------------------


def _spectrum(r: Reading, kernel: str) -> tuple[NDArray, NDArray, NDArray]:
    """Return eigenvalues of G, squared residuals in its eigenvectors, both (starts, r), and its rank (starts,)."""
    i = r.index(kernel)
    return r.constant("gram_eigenvalues")[i], r.constant("residual_squares")[i], r.constant("rank")[i]


def _predicted(r: Reading, kernel: str, t: NDArray) -> NDArray:
    values, squares, _ = _spectrum(r, kernel)
    return predicted_loss(values, squares, int(r.constant("N")), t, r.lr)


def plot_value_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Training loss of every kernel, its prediction from the start alone, and the floor that is left.

    Parameters
    ----------
    run : Trajectory
        Of task "regression" with V trained.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    r = of_values(run)
    verdicts = verdicts_on(run, "value_floor", "value_rate")
    with plotting.panel(ax, panel_title(letter, "Loss, and its prediction at the start"), verdicts, legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t, log=True)
            values, squares, rank = _spectrum(r, kernel)
            floor = float(np.mean(loss_floor(values, squares, rank, int(r.constant("N")))))
            left = f"; {floor:.3g} stays for ever" if floor > 0 else "; floor 0"
            curves(ax, r, t[rows], positive(loss[rows]), colour, f"{title}, $H D$ = {_features(r)}{left}", linewidth=2.4)
            if floor > 0:
                ax.axhline(floor, **LEVEL)
        label = "predicted from $G$ and the first residuals"
        try:
            for kernel, *_ in kernels(r):
                theory(ax, t[rows], positive(_predicted(r, kernel, t[rows]).mean(axis=1)), label)
                label = ""
        except Inconclusive as reason:
            without(ax, "prediction", reason)
        log_values(ax)
        step_axis(ax, r.run, "training loss $f$", log=True)
    return ax


def _features(r: Reading) -> str:
    s = r.setting
    return f"{s.H * s.D} for {s.N * (1 if s.pooled else s.n) * s.d_o} targets"


def plot_value_deviation(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Relative deviation of the loss from its prediction.

    Parameters
    ----------
    run, ax, letter
        As in `plot_value_loss`.
    """
    r = of_values(run)
    with plotting.panel(ax, panel_title(letter, "Deviation from the prediction"), verdicts_on(run, "value_curve"), legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t, log=True)
            dashed = _predicted(r, kernel, t[rows])
            with np.errstate(divide="ignore", invalid="ignore"):
                off = np.abs(loss[rows] / dashed - 1.0)
            curves(ax, r, t[rows], positive(off), colour, f"{title}, at most {np.nanmax(off, initial=0.0):.1e}", linewidth=0.9)
        log_values(ax)
        step_axis(ax, r.run, r"$|f / f_{predicted} - 1|$", log=True)
    return ax


def plot_eigenvalues(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Eigenvalues of the Gram matrix of the attention features; those that are 0 are not on a logarithmic axis.

    Parameters
    ----------
    run, ax, letter
        As in `plot_value_loss`.
    """
    r = of_values(run)
    verdicts = verdicts_on(run, "value_rank", "value_zero_floor")
    with plotting.panel(ax, panel_title(letter, "Eigenvalues of $G$"), verdicts, legend_columns=1) as ax:
        for place, (kernel, title, colour) in enumerate(kernels(r)):
            values, _, rank = _spectrum(r, kernel)
            first, of = values[0], int(rank[0])
            seen = np.where(np.arange(len(first)) < of, first, np.nan)
            least, text = first[of - 1] if of else np.nan, f"{title}, rank {of} of {len(first)}"
            text += f", least / largest {least / first[0]:.1e}" if of else ""
            line(ax, np.arange(1, len(first) + 1), positive(seen), colour, text, linewidth=0.9, marker="osD"[place], markersize=4)
        plotting.predicted(ax, float(r.constant("rank_rule")), "generic rank", until=np.inf)
        log_values(ax)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
        ax.set(xlabel="eigenvalue number, largest first", ylabel="eigenvalue of $G$", xlim=(0.5, len(first) + 0.5))
    return ax


# -- all parameters ----------------------------------------------------------------------------------------------------


def condition(r: Reading) -> str:
    """Return whether the sufficient condition of the Gaussian kernel holds at the start, in words; empty for other kernels."""
    if "sufficient_left" not in r.run.constants or "gaussian" not in r.kernels or "O" in r.setting.trained:
        return ""
    left, right = float(r.constant("sufficient_left").max()), float(r.constant("sufficient_right").min())
    if left <= right:
        return f"sufficient condition (Gaussian kernel): met, {left:.3g} $\\leq$ {right:.3g}"
    panels = "(a), (b) and (d)" if r.run.clock == "time" else "(b) and (d)"
    return f"sufficient condition (Gaussian kernel): not met, {left:.3g} > {right:.3g}: {panels} need not hold"


def plot_loss_bound(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Training loss below the bound that the least eigenvalue gives: of steps the one of each, of a flow that of the sufficient condition.

    Parameters
    ----------
    run : Trajectory
        Of task "regression" with V and Q or K trained.
    ax, letter
        As in `plot_value_loss`.
    """
    r = of_all(run)
    verdicts = verdicts_on(run, "loss_bound", "sufficient_loss")
    with plotting.panel(ax, panel_title(letter, "Loss, and its bound"), verdicts, legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, loss = series(r, "train_loss", kernel)
            rows = drawn(t)
            curves(ax, r, t[rows], positive(loss[rows]), colour, title)
        try:
            label = r"$f_0\, e^{-\Lambda_0 t / 2N}$, sufficient condition" if r.lr is None else r"$f_0 \prod_{s<t} (1 - \eta\Lambda_s / N)$"
            for kernel, _, colour in kernels(r):
                at, bounded = _bound(r, kernel)
                few = drawn(at)
                ax.plot(at[few], positive(bounded[few, 0]), color=colour, label=label or None, **LIMIT)
                label = ""
        except Inconclusive as reason:
            without(ax, "bound", reason)
        log_values(ax)
        step_axis(ax, r.run, "training loss $f$")
    return ax


def _bound(r: Reading, kernel: str) -> tuple[NDArray, NDArray]:
    """Return times and the bound on the loss there, (T, starts): of steps that of claim loss_bound, of a flow that of sufficient_loss."""
    if r.lr is not None:
        r.every_step("train_loss", "Lambda")
    t, f, Lambda = r.together("train_loss", "Lambda")
    i, N = r.index(kernel), float(r.constant("N"))
    with np.errstate(over="ignore", invalid="ignore"):  # of a run that diverges
        if r.lr is None:
            return t, sufficient_loss_bound(f[0, i], Lambda[0, i], N, t[:, None], None)
        return t, loss_bound(f[0, i], Lambda[:, i], N, r.lr)


def plot_lambda(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The least eigenvalue over that of the start, against the quarter that the argument needs.

    Parameters
    ----------
    run, ax, letter
        As in `plot_loss_bound`.
    """
    r = of_all(run)
    verdicts = verdicts_on(run, "lambda_stays", "sufficient_lambda")
    with plotting.panel(ax, panel_title(letter, r"$\Lambda$, and a quarter of its start"), verdicts, legend_columns=1) as ax:
        for kernel, title, colour in kernels(r):
            t, Lambda = series(r, "Lambda", kernel)
            rows = drawn(t)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = Lambda / Lambda[0]
            if not np.isfinite(ratio).all():
                raise Inconclusive("Lambda is 0 at the start: there are fewer features than targets")
            curves(ax, r, t[rows], ratio[rows], colour, f"{title}, least {ratio.min():.4f}")
        plotting.bound(ax, [r.at[0], max(r.at[-1], r.at[0] + 1)], 0.0, 0.25, r"below $\frac{1}{4}$")
        ax.set_ylim(0.0, max(1.15, ax.get_ylim()[1]))
        step_axis(ax, r.run, r"$\Lambda_t / \Lambda_0$")
    return ax


def plot_gradient_bound(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """The squared gradient over its lower bound, which the loss and the least eigenvalue give at every step.

    Parameters
    ----------
    run, ax, letter
        As in `plot_loss_bound`.
    """
    r = of_all(run)
    title = r"Gradient squared, over its bound $2 \Lambda_t f_t / N$"
    with plotting.panel(ax, panel_title(letter, title), verdicts_on(run, "pl_bound"), legend_columns=1) as ax:
        N = float(r.constant("N"))
        for kernel, title, colour in kernels(r):
            for name, width, of in (("grad_norm", 1.6, "all"), ("value_grad_norm", 0.8, r"$W_V$ alone")):
                if name not in r.run:
                    continue
                t, ratio = _ratio(r, name, kernel, N)
                rows = drawn(t)
                curves(ax, r, t[rows], positive(ratio[rows]), colour, f"{title}, {of}: least {np.nanmin(ratio):.3g}", linewidth=width)
        if not ax.lines and not ax.collections:
            raise Inconclusive("grad_norm not recorded: add it to record=")
        log_values(ax)
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, 0.1), max(high, 10.0))
        plotting.bound(ax, [r.at[0], max(r.at[-1], r.at[0] + 1)], ax.get_ylim()[0], 1.0, "below the bound")
        step_axis(ax, r.run, r"$\Vert\nabla f\Vert^2 \, N / (2 \Lambda_t f_t)$")
    return ax


def _ratio(r: Reading, name: str, kernel: str, N: float) -> tuple[NDArray, NDArray]:
    """Return times at which all three were recorded, and the squared gradient over its bound, (T, starts)."""
    t, *found = r.together(name, "train_loss", "Lambda")
    g, f, Lambda = (values[:, r.index(kernel)] for values in found)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = g**2 * N / (2.0 * Lambda * f)
    if not np.isfinite(ratio).any():
        raise Inconclusive("Lambda or the loss is 0: the bound says nothing")
    return t.astype(float), np.where(np.isfinite(ratio), ratio, np.nan)


def plot_path(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Length of the path of all parameters, against the bound that holds where the least eigenvalue stays above a quarter.

    Parameters
    ----------
    run, ax, letter
        As in `plot_loss_bound`.
    """
    r = of_all(run)
    verdicts = verdicts_on(run, "path_length", "sufficient_path")
    with plotting.panel(ax, panel_title(letter, "Length of the path, and its bound"), verdicts, legend_columns=1) as ax:
        r.every_step("grad_norm")
        if r.lr is None:
            raise Inconclusive("the path is summed over steps of gradient descent")
        limits = {}
        for kernel, title, colour in kernels(r):
            t, norm = series(r, "grad_norm", kernel)
            path = r.lr * np.concatenate([np.zeros_like(norm[:1]), np.cumsum(norm[:-1], axis=0)])
            rows = drawn(t)
            curves(ax, r, t[rows], path[rows], colour, f"{title}, {path[-1].mean():.3g} in all")
            if "Lambda" in r.run:
                limit = float(path_bound(r.of("train_loss", kernel)[0], r.of("Lambda", kernel)[0], int(r.constant("N"))).mean())
                if np.isfinite(limit):
                    limits[colour] = limit
        label = r"bound $\sqrt{8 N f_0 / \Lambda_0}$"
        for colour, limit in limits.items():
            ax.axhline(limit, color=colour, label=label or None, **LIMIT)
            label = ""
        ax.set_ylim(0.0, 1.08 * ax.get_ylim()[1])
        step_axis(ax, r.run, r"path length $\sum \eta\, \Vert\nabla f\Vert$")
    return ax
