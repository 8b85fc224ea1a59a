"""Figures of power laws: what is drawn where, theory beside it, what was left out, nothing overlapping."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from dynsim import scaling
from dynsim.plotting import save
from dynsim.scaling import fit_power_law, plot_scaling, scaling_figure
from tests.scaling.tables import grid
from tests.test_plotting import collisions

LR = np.array([1e-5, 2e-5, 4e-5, 8e-5, 1.6e-4, 3.2e-4])
M_K = np.array([10, 20, 40, 80, 160])


def sweep(seeds=6, horizon=None, **values):
    """Return a noisy table of T = 0.03 / lr / sqrt(m_k), with the cells beyond the horizon not reached."""
    rng = np.random.default_rng(0)
    table = grid(seeds, **values)
    size = len(table["seed"])
    y = 0.03 / table["lr"] / np.sqrt(table.get("m_k", 1.0))
    table["T"] = y * np.exp(0.1 * rng.standard_normal(seeds)[table["seed"]] + 0.05 * rng.standard_normal(size))
    table["error"] = np.full(size, "", dtype=object)
    if horizon:
        table["steps"] = np.full(size, horizon)
        table["T"] = np.where(table["T"] > horizon, np.nan, table["T"])
    return table


def drawn(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata())]


def test_figures_are_imported_on_first_use_only():
    code = (
        "import sys, dynsim.scaling as s\nassert not [m for m in sys.modules if m.startswith('matplotlib')]\n"
        "s.plot_scaling, s.scaling_figure\nassert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'plot_nothing'"):
        _ = scaling.plot_nothing


def test_dots_law_theory_and_title():
    table = sweep(lr=LR)
    law = fit_power_law(table, "T", "lr", theory={"lr": -1})
    ax = plot_scaling(table, "T", "lr", theory={"lr": -1})
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "log", "lr", "T")
    log_y = np.log(table["T"]).reshape(len(LR), -1)
    dots = drawn(ax, "mean and range of 6 seeds")
    np.testing.assert_allclose(dots.get_ydata(), np.exp(log_y.mean(axis=1)))
    bars = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(bars, np.exp(np.stack([log_y.min(axis=1), log_y.max(axis=1)], axis=1)))
    solid, (theory,) = drawn(ax, "fitted law"), dashed(ax)
    assert solid.get_linestyle() == "-" and theory.get_color() == "black"
    np.testing.assert_allclose(np.diff(np.log(solid.get_ydata())) / np.diff(np.log(solid.get_xdata())), law["lr"].value)
    np.testing.assert_allclose(np.diff(np.log(theory.get_ydata())) / np.diff(np.log(theory.get_xdata())), -1.0)
    # both go through the centre of the points
    for line in (solid, theory):
        at = np.interp(np.log(LR).mean(), np.log(line.get_xdata()), np.log(line.get_ydata()))
        assert at == pytest.approx(log_y.mean(), abs=1e-12)
    title = ax.get_title(loc="left")
    e = law["lr"]
    assert f"p = {e.value:.3f}, 95 % [{e.low:.3f}, {e.high:.3f}]" in title and "theory: p = -1" in title
    assert [text.get_text() for text in ax.get_xticklabels()] == [f"{x:.3g}" for x in LR]
    assert collisions(ax.figure) == []


def test_no_theory_no_dashes():
    ax = plot_scaling(sweep(lr=LR), "T", "lr")
    assert not dashed(ax) and "theory" not in ax.get_title(loc="left")


def test_theory_kept_in_the_law_is_drawn_unless_another_is_given():
    table = sweep(lr=LR)
    law = fit_power_law(table, "T", "lr", theory={"lr": -1})
    assert "theory: p = -1" in plot_scaling(table, "T", "lr", law=law).get_title(loc="left")
    assert "theory: p = -2" in plot_scaling(table, "T", "lr", law=law, theory={"lr": -2}).get_title(loc="left")


def test_points_not_reached_are_open_triangles_at_the_horizon():
    table = sweep(lr=LR, horizon=2000)
    ax = plot_scaling(table, "T", "lr")
    triangle = drawn(ax, "not reached (1 point)")
    assert triangle.get_marker() == "^" and triangle.get_markerfacecolor() == "none"
    assert (triangle.get_xdata()[0], triangle.get_ydata()[0]) == (1e-5, 2000.0)
    assert ax.get_ylim()[1] > 2000 and ax.get_xlim()[0] < 1e-5
    assert len(drawn(ax, "mean and range of 6 seeds").get_xdata()) == len(LR) - 1
    assert collisions(ax.figure) == []


def test_without_a_horizon_the_triangle_is_at_the_upper_edge():
    table = sweep(lr=LR, horizon=2000)
    del table["steps"]
    ax = plot_scaling(table, "T", "lr")
    triangle = drawn(ax, "not reached (1 point)")
    assert triangle.get_ydata()[0] == 0.97 and triangle.get_transform() == ax.get_xaxis_transform()


def test_failed_points_are_told():
    table = sweep(lr=LR)
    table["error"][0] = "boom"
    labels = [text.get_text() for text in plot_scaling(table, "T", "lr").get_legend().get_texts()]
    assert "failed (1 point), not drawn" in labels


def test_other_variables_separate_the_lines():
    table = sweep(lr=LR, m_k=M_K)
    law = fit_power_law(table, "T", ("lr", "m_k"), theory={"lr": -1, "m_k": -0.5})
    ax = plot_scaling(table, "T", ("m_k", "lr"), law=law)
    assert ax.get_xlabel() == "m_k" and len(dashed(ax)) == 6
    colours = {drawn(ax, f"lr={lr:g}").get_color() for lr in LR}
    assert len(colours) == 6 and collisions(ax.figure) == []
    one = plot_scaling(table, "T", "lr", law=law, label="mine")
    assert len(drawn(one, "mine, m_k=10").get_xdata()) == len(LR) and len(dashed(one)) == 5


def test_at_most_six_lines_are_drawn_and_that_is_told():
    table = sweep(seeds=2, lr=LR, m_k=np.arange(1, 10))
    ax = plot_scaling(table, "T", ("lr", "m_k"))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sum(label.startswith("m_k=") for label in labels) == 6 and "6 of 9 lines drawn" in labels
    assert "m_k=1" in labels and "m_k=9" in labels and collisions(ax.figure) == []


def test_a_panel_without_a_fit_says_why():
    ax = plot_scaling({"lr": [1.0, 2.0], "seed": [0, 0], "T": [np.nan, 3.0], "steps": [900, 900]}, "T", "lr")
    assert not ax.lines and "only one value of lr" in ax.texts[0].get_text().replace("\n", " ") and collisions(ax.figure) == []


def test_over_must_be_in_the_law():
    table = sweep(lr=LR, m_k=M_K[:1])
    with pytest.raises(ValueError, match="over='m_k' must name variables of the law: lr"):
        plot_scaling(table, "T", "m_k", law=fit_power_law(table, "T", "lr"))


@pytest.mark.parametrize("seeds", [pytest.param(1, marks=pytest.mark.slow), 6])
@pytest.mark.parametrize("names", [("lr",), ("lr", "m_k"), ("lr", "m_k", "s")])
def test_figure_has_a_column_a_variable(names, seeds, tmp_path):
    values = {"lr": LR, "m_k": M_K, "s": np.array([3.0, 9.0])}
    table = sweep(seeds=seeds, horizon=900, **{name: values[name] for name in names})
    table["error"][-1] = "boom"
    law = fit_power_law(table, "T", names, theory={"lr": -1})
    figure = scaling_figure(table, "T", law)
    assert isinstance(figure, Figure) and len(figure.axes) == 2 * len(names)
    assert collisions(figure) == []
    for above, below, name in zip(figure.axes[: len(names)], figure.axes[len(names) :], names, strict=True):
        assert below.get_xlabel() == name and above.get_xlim() == below.get_xlim()
        slopes = drawn(below, "between neighbours")
        np.testing.assert_allclose(slopes.get_ydata(), [s.value for s in law.local[name]])
        assert bool(dashed(below)) == (name == "lr")
    save(figure, tmp_path / "law.png")


def test_intervals_of_local_slopes_are_drawn():
    table = sweep(lr=LR)
    law = fit_power_law(table, "T", "lr")
    below = scaling_figure(table, "T", law).axes[1]
    (bars,) = [c for c in below.collections if len(c.get_segments()) == 5 and np.ptp(c.get_segments()[0][:, 0]) == 0]
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[s.low, s.high] for s in law.local["lr"]])


def test_unbounded_intervals_and_designs_without_lines_can_be_drawn():
    table = sweep(seeds=2, lr=LR)
    figure = scaling_figure(table, "T", fit_power_law(table, "T", "lr", method="bootstrap"))
    assert collisions(figure) == []
    table["m_k"] = np.repeat([3.0, 1.0, 8.0, 2.0, 9.0, 5.0], 2)
    figure = scaling_figure(table, "T", fit_power_law(table, "T", ("lr", "m_k")))
    assert "no two points differ in lr alone" in figure.axes[2].texts[0].get_text() and collisions(figure) == []
