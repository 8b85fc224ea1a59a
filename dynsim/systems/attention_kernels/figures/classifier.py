"""Panels of the classifier: slices of the loss around trained weights, and curves of loss and accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from .... import plotting
from ....axes import drawn, step_axis
from ....claims import Inconclusive
from ....plotting import LEVEL, panel_title
from ....trajectory import Trajectory
from ..classifier.landscape import coordinates, interior_minima, roughness
from ..reading import Reading
from ..settings import CLASSIFICATIONS
from .drawing import curves, kernel_title, kernels, reading, series, verdicts_on

SHADES = "cividis"
"""Colours of a slice: they rise in lightness alike for all viewers."""
STEPS_OF_COLOUR = 24


def of_classes(run: Trajectory) -> Reading:
    """Return the reading of a classifier's run."""
    return reading(run, about="the classifier", where=lambda s: s.task in CLASSIFICATIONS)


# -- slices ------------------------------------------------------------------------------------------------------------


def slices(r: Reading) -> NDArray:
    """Return the last recorded slices of all kernels, (kernels, direction 2, direction 1)."""
    return r["surface"][-1][:, 0]


def levels(r: Reading) -> NDArray:
    """Return the levels that the slices of all kernels are drawn with, evenly spaced in the logarithm."""
    found = slices(r)
    found = found[np.isfinite(found) & (found > 0)]
    if not len(found):
        raise Inconclusive("the slices are not finite")
    low, high = float(found.min()), float(found.max())
    return np.geomspace(low, high if high > 1.001 * low else 1.1 * low, STEPS_OF_COLOUR + 1)


def plot_slice(run: Trajectory, *, kernel: str = "softmax", ax: Axes | None = None, letter: str = "") -> Axes:
    """The loss along two random directions around the last weights of one kernel, with its interior minima.

    Parameters
    ----------
    run : Trajectory
        Of the classifier with `surface` recorded.
    kernel : str
        One of the run's.
    ax : Axes, optional
        Default: axes of a new figure.
    letter : str
        Of the panel.
    """
    r = of_classes(run)
    loss = slices(r)[r.index(kernel)]
    count = interior_minima(loss)
    title = kernel_title(letter, kernel, f"{count} minim{'um' if count == 1 else 'a'}, roughness {roughness(loss):.3g}", width=44)
    with plotting.panel(ax, title, legend_columns=1) as ax:
        at, shades = coordinates(), levels(r)
        ax.contourf(at, at, loss, levels=shades, norm=LogNorm(shades[0], shades[-1]), cmap=SHADES, extend="both")
        ax.contour(at, at, loss, levels=shades[::3], colors="white", linewidths=0.4, alpha=0.6)
        middle, (rows, columns) = len(at) // 2, _minima(loss)
        style: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "black", "markerfacecolor": "white"}
        ax.plot([0.0], [0.0], marker="P", markersize=11, zorder=5, label=f"weights at the end, loss {loss[middle, middle]:.3f}", **style)
        ax.plot(at[columns], at[rows], marker="o", markersize=4.5, zorder=6, label="below all eight neighbours" if count else None, **style)
        ax.set(xlabel="along $d_1$, in norms of the weights", ylabel="along $d_2$", aspect="equal")
    return ax


def _minima(loss: NDArray) -> tuple[NDArray, NDArray]:
    """Return rows and columns of the interior minima."""
    inside = [(i, j) for i in range(1, loss.shape[0] - 1) for j in range(1, loss.shape[1] - 1)
              if interior_minima(loss[i - 1 : i + 2, j - 1 : j + 2])]
    found = np.array(inside, dtype=int).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def draw_scale(figure: Any, ax: Axes, r: Reading) -> None:
    """Draw the colour bar of all slices into axes of its own."""
    shades = levels(r)
    bar = figure.colorbar(ScalarMappable(LogNorm(shades[0], shades[-1]), SHADES), cax=ax)
    bar.set_ticks(shades[::4], labels=[f"{level:.3g}" for level in shades[::4]])
    ax.minorticks_off()
    ax.tick_params(labelsize=plotting.TICK, length=3)
    ax.set_title("loss", fontsize=plotting.LABEL, loc="left")


# -- learning ----------------------------------------------------------------------------------------------------------


def _some_series(ax: Axes, r: Reading, names: tuple[tuple[str, str, dict[str, Any]], ...]) -> None:
    """Draw those of some quantities that were recorded; say which could have been."""
    found = [part for part in names if part[0] in r.run]
    if not found:
        raise Inconclusive(f"{' and '.join(name for name, *_ in names)} not recorded: add it to record=")
    for kernel, title, colour in kernels(r):
        for name, words, style in found:
            t, y = series(r, name, kernel)
            rows = drawn(t)
            curves(ax, r, t[rows], y[rows], colour, f"{title}, {words}{y[-1].mean():.3f} at the end", **style)


def plot_training_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Training loss of every kernel, of mini-batches thin and of all samples thick.

    Parameters
    ----------
    run : Trajectory
        Of the classifier.
    ax, letter
        As in `plot_slice`.
    """
    r = of_classes(run)
    batches = 0 < r.setting.batch < r.setting.samples
    with plotting.panel(ax, panel_title(letter, "Training loss"), verdicts_on(run, "classifier_loss"), legend_columns=1) as ax:
        style = {"linewidth": 0.5, "alpha": 0.55} if batches else {}
        names: tuple[tuple[str, str, dict[str, Any]], ...] = (("train_loss", f"batches of {r.setting.batch}: " if batches else "", style),)
        _some_series(ax, r, (*names, ("full_loss", "all samples: ", {"linewidth": 2.0})) if batches else names)
        step_axis(ax, r.run, "cross-entropy")
    return ax


def plot_test_loss(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Loss of every kernel on the test samples.

    Parameters
    ----------
    run, ax, letter
        As in `plot_training_loss`.
    """
    r = of_classes(run)
    with plotting.panel(ax, panel_title(letter, "Test loss"), legend_columns=1) as ax:
        _some_series(ax, r, (("test_loss", "", {}),))
        ax.axhline(np.log(2.0), label=r"chance, $\ln 2$", **LEVEL)
        step_axis(ax, r.run, "cross-entropy")
    return ax


def plot_accuracy(run: Trajectory, *, ax: Axes | None = None, letter: str = "") -> Axes:
    """Share of samples of the right class, of every kernel.

    Parameters
    ----------
    run, ax, letter
        As in `plot_training_loss`.
    """
    r = of_classes(run)
    with plotting.panel(ax, panel_title(letter, "Accuracy"), legend_columns=1) as ax:
        thin = {"linewidth": 0.7}
        _some_series(ax, r, (("test_accuracy", "test: ", {}), ("train_accuracy", "training: ", thin)))
        ax.axhline(0.5, label="chance", **LEVEL)
        ax.set_ylim(min(0.45, ax.get_ylim()[0]), 1.0)
        step_axis(ax, r.run, "share of the right class")
    return ax
