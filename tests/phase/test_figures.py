"""Figures of phase diagrams: what is drawn where, read back from the axes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.patches import Rectangle

from dynsim import plotting
from dynsim.phase import PhaseDiagram, phase_figure, plot_phase
from dynsim.phase.figures import UNDECIDED, colours

X, Y = np.array([1.0, 10.0, 100.0]), np.array([2.0, 4.0])


def verdicts(**changes):
    """Two by three cells: not applicable, mixed, holds; inconclusive, no seed, holds."""
    counts = {
        "seeds": [[4, 4, 4], [4, 0, 4]], "known": [[4, 4, 4], [1, 0, 4]], "good": [[0, 1, 3], [1, 0, 4]], "errors": [[0] * 3, [0, 4, 0]],
        "holds": [[0, 1, 3], [1, 0, 4]], "violated": [[1, 2, 1], [0, 0, 0]], "not applicable": [[3, 1, 0], [0, 0, 0]],
        "inconclusive": [[0, 0, 0], [3, 0, 0]],
    }
    values = np.array([[0.0, 0.25, 0.75], [1.0, np.nan, 1.0]])
    d = PhaseDiagram(
        "lemma", "verdict", "x", "y", X, Y, values, np.zeros((2, 3)), np.ones((2, 3)), {k: np.array(v) for k, v in counts.items()},
        "first variable", "second variable", "verdict: a statement",
    )
    return dataclasses.replace(d, **changes)


def numbers(values):
    """Number over a plane."""
    values = np.array(values, dtype=float)
    seeds = np.full(values.shape, 2)
    counts = {"seeds": seeds, "known": np.where(np.isnan(values), 0, seeds), "good": seeds, "errors": 0 * seeds}
    return PhaseDiagram("T", "number", "x", "y", X, Y, values, values, np.ones(values.shape), counts, doc="a time")


def cells_of(ax):
    """Values of the coloured cells, NaN where there is no colour."""
    return np.ma.filled(ax.collections[0].get_array().astype(float), np.nan).reshape(2, 3)


def corners(ax, hatch):
    """Lower left corners of hatched, or of grey, rectangles."""
    return [p.get_xy() for p in ax.patches if isinstance(p, Rectangle) and bool(p.get_hatch()) is hatch]


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn(figure):
    """Draw without a warning and return the number of pixels that are not white."""
    figure.canvas.draw()  # warnings are errors in the whole suite
    return int((np.asarray(figure.canvas.buffer_rgba())[..., :3] < 250).any(-1).sum())


def test_cells_marks_and_numbers():
    ax = plot_phase(verdicts())
    assert drawn(ax.figure) > 1000
    np.testing.assert_array_equal(cells_of(ax), [[0.0, 0.25, 0.75], [np.nan, np.nan, 1.0]])  # what is inconclusive has no colour
    low = (1 / np.sqrt(10), 2 / np.sqrt(2))
    np.testing.assert_allclose(corners(ax, True), [low])  # cell (1, 2): not applicable
    np.testing.assert_allclose(corners(ax, False), [(low[0], 2 * np.sqrt(2))])  # cell (1, 4): inconclusive
    assert [t.get_text() for t in ax.texts if "/" in t.get_text()] == ["0/4", "1/4", "3/4", "1/1", "4/4"]
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel() == "first variable" and ax.get_ylabel() == "second variable"
    assert ax.get_title(loc="left") == "lemma" and "a statement" in [t.get_text() for t in ax.texts]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "10", "100"]
    assert len(legend_of(ax)) == 3


def test_edges_lie_midway():
    ax = plot_phase(verdicts())
    np.testing.assert_allclose(ax.get_xlim(), (10**-0.5, 10**2.5))
    even = plot_phase(verdicts(x=np.array([1.0, 2.0, 3.0]), y=np.array([-1.0, 5.0])))
    assert even.get_xscale() == even.get_yscale() == "linear"
    np.testing.assert_allclose((*even.get_xlim(), *even.get_ylim()), (0.5, 3.5, -4.0, 8.0))


def test_the_boundary_is_where_half_of_the_seeds_are():
    ax = plot_phase(verdicts())
    lines = [line.get_xdata() for line in ax.lines if np.isfinite(line.get_xdata()).any()]
    np.testing.assert_allclose(lines, [[10 * np.sqrt(10), np.nan]])  # 4 rises across what is not known: no line there
    everywhere = plot_phase(verdicts(values=np.ones((2, 3))))
    assert not everywhere.lines and not any("half" in text for text in legend_of(everywhere))
    both = plot_phase(verdicts(values=np.array([[0.0, 1.0, 0.0]] * 2)))
    lines = [line.get_xdata() for line in both.lines]
    np.testing.assert_allclose(lines, [[np.sqrt(10), np.nan], [10 * np.sqrt(10)] * 2])  # (1, 4) is inconclusive: nothing rises from it


def test_nothing_to_mark():
    counts = {k: np.where(np.isin(k, ("not applicable", "inconclusive")), 0, v) for k, v in verdicts().counts.items()}
    ax = plot_phase(verdicts(values=np.ones((2, 3)), counts=counts))
    assert not ax.patches and ax.get_legend() is None


def test_numbers_are_written_only_where_they_fit():
    for size, written in ((1.2, False), (3.0, True)):
        ax = plot_phase(verdicts(), ax=plotting.new_axes(size, size))
        assert any("/" in t.get_text() for t in ax.texts) is written


def test_a_number_has_a_scale_of_its_own():
    ax = plot_phase(numbers([[1.0, 2.0, 1000.0], [np.nan, 3.0, 4.0]]))
    assert drawn(ax.figure) > 1000 and isinstance(ax.collections[0].norm, LogNorm) and not ax.lines
    assert [t.get_text() for t in ax.texts if t.get_text() != "a time"] == ["1", "2", "1e+03", "3", "4"]
    assert not isinstance(plot_phase(numbers([[0.0, 1.0, 50.0]] * 2)).collections[0].norm, LogNorm)
    for flat in ([[5.0] * 3] * 2, [[np.nan] * 3] * 2):
        assert drawn(plot_phase(numbers(flat)).figure) > 100


def test_a_mean_over_fewer_seeds_has_a_star():
    d = numbers([[1.0, 2.0, 3.0]] * 2)
    ax = plot_phase(dataclasses.replace(d, counts={**d.counts, "known": np.array([[2, 1, 2], [2, 2, 2]])}))
    assert [t.get_text() for t in ax.texts if t.get_text().endswith("*")] == ["2*"]
    assert legend_of(ax) == ["* some seeds have no such number"]


def test_a_single_cell():
    one = {k: v[:1, :1] for k, v in verdicts().counts.items()}
    d = verdicts(x=X[:1], y=Y[:1], values=np.ones((1, 1)), spread=np.ones((1, 1)), applicable=np.ones((1, 1)), counts=one)
    assert drawn(plot_phase(d).figure) > 1000


SEEN = {  # linear RGB as seen without one kind of cone: Machado, Oliveira and Fernandes (2009), severity 1
    "by most": np.eye(3),
    "without red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "without green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "without blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb, seen):
    """CIE L*a*b* of sRGB colours as somebody sees them."""
    rgb = np.asarray(rgb)
    linear = np.clip(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.array(seen).T, 0.0, 1.0)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


@pytest.mark.parametrize("who", SEEN)
def test_colours_are_told_apart(who):
    shade = lab(colours()(np.linspace(0, 1, 101))[:, :3], SEEN[who])
    assert (np.diff(shade[:, 0]) < 0).all()  # darker and darker: told apart without hue, too

    def nearest(grey):
        return np.linalg.norm(shade - lab(to_rgb(grey), SEEN[who]), axis=1).min()

    assert nearest(UNDECIDED) > 15  # a difference of 2.3 can just be seen
    if who in ("without red", "without green"):
        assert nearest("#BDBDBD") < 2  # what a grey from the middle would be


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (8, 4), (9, 3)])
def test_panels(count, columns):
    figure = phase_figure({str(i): verdicts() for i in range(count)}, "a title " * 30)
    assert drawn(figure) > 1000
    panels = [ax for ax in figure.axes if ax.collections and ax.axison and ax.get_title(loc="left")]
    assert len(panels) == count
    across = len({round(ax.get_position().x0, 6) for ax in panels})
    assert across == columns
    named = [bool(ax.get_ylabel()) for ax in panels]
    assert named == [k % columns == 0 for k in range(count)]  # names stand at the outer sides only
    assert [bool(ax.get_xlabel()) for ax in panels] == [k + columns >= count for k in range(count)]
    bars = [ax for ax in figure.axes if ax.get_ylabel() == "fraction of seeds within tolerance"]
    assert len(bars) == 1 and len(figure.legends) == 1
    assert len({text.get_text() for text in figure.legends[0].get_texts()}) == len(figure.legends[0].get_texts()) == 3
    assert all(ax.get_legend() is None for ax in panels)


def test_texts_stay_inside_the_figure():
    long = verdicts(quantity="a_rather_long_name", doc="verdict: " + "many words that say little " * 12)
    figure = phase_figure([long, numbers([[1.0, 2.0, 3.0]] * 2), long], "what it shows, and whose statement it is, at some length " * 4)
    figure.canvas.draw()
    box = figure.bbox
    for text in (*figure.texts, *(t for ax in figure.axes for t in ax.texts)):
        seen = text.get_window_extent()
        assert seen.x0 >= box.x0 and seen.x1 <= box.x1 and seen.y0 >= box.y0 and seen.y1 <= box.y1, text.get_text()


def test_numbers_alone_need_no_bar_of_fractions():
    figure = phase_figure([numbers([[1.0, 2.0, 3.0]] * 2)])
    assert drawn(figure) > 1000 and not any(ax.get_ylabel().startswith("fraction") for ax in figure.axes)


def test_wrong_diagrams():
    with pytest.raises(ValueError, match="at least one"):
        phase_figure([])
    with pytest.raises(ValueError, match="lemma over x and y; lemma over z and y"):
        phase_figure([verdicts(), verdicts(x_name="z")])
