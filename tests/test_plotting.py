"""The shared visual language: what is drawn how, where titles and legends go, files that come out the same twice."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from dynsim import plotting
from dynsim.claims import VERDICTS, Inconclusive, Verdict
from dynsim.plotting import COLOURS


def verdict(sort: str = "holds", name: str = "some_claim") -> Verdict:
    return Verdict(name, "a statement", "paper", sort)


def texts_of(figure: Figure) -> list[Text | Legend]:
    """Texts that are drawn: titles, labels, tick labels in view, annotations, and each legend as one."""
    found: list[Text | Legend] = []

    def walk(artist: Any) -> None:
        if not artist.get_visible():
            return
        if isinstance(artist, Axis):
            if not artist.axes.axison:
                return
            low, high = sorted(artist.get_view_interval())
            ticks = [tick for tick in (*artist.get_major_ticks(), *artist.get_minor_ticks()) if low <= tick.get_loc() <= high]
            children = [artist.label, artist.get_offset_text(), *ticks]
        else:
            children = [] if isinstance(artist, Legend) else artist.get_children()
        if isinstance(artist, Legend) or isinstance(artist, Text) and artist.get_text().strip():
            found.append(artist)
        for child in children:
            walk(child)

    walk(figure)
    return found


def collisions(figure: Figure) -> list[str]:
    """Pairs of texts whose boxes meet, and texts that leave the figure."""
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    boxes = []
    for artist in texts_of(figure):
        name = "legend" if isinstance(artist, Legend) else artist.get_text()
        box = artist.get_window_extent(renderer)
        boxes.append((name, box.x0 + 0.5, box.y0 + 0.5, box.x1 - 0.5, box.y1 - 0.5))
    bad = []
    for i, (name, x0, y0, x1, y1) in enumerate(boxes):
        if x0 < 0 or y0 < 0 or x1 > figure.bbox.width or y1 > figure.bbox.height:
            bad.append(f"{name!r} leaves the figure")
        bad += [f"{name!r} meets {other!r}" for other, u0, v0, u1, v1 in boxes[:i] if x0 < u1 and u0 < x1 and y0 < v1 and v0 < y1]
    return bad


def test_importing_dynsim_does_not_import_matplotlib():
    code = "import sys, dynsim\nfrom dynsim.systems import signal_noise\nassert not [m for m in sys.modules if m.startswith('matplotlib')]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plotting_does_not_import_pyplot():
    code = "import sys\nfrom dynsim.systems.signal_noise import figures\nassert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_palette_is_distinct():
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert all(to_hex(colour).upper() == colour.upper() for colour in COLOURS.values())


# Machado, Oliveira and Fernandes (2009), severity 1: what linear RGB becomes without one of the three kinds of cones
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


APART = 12.0
"""Least distance of two lines: six times what is just seen."""


def linear(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b*, in which a distance of 2 is just seen side by side."""
    white = XYZ @ np.ones(3)
    x = XYZ @ np.clip(rgb, 0.0, 1.0) / white
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def least_distance(colours, vision):
    seen = [lab(np.array(VISION[vision]) @ linear(colour)) for colour in colours]
    return min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("vision", VISION)
def test_lines_stay_apart_whatever_the_colour_vision(vision):
    lines = [colour for name, colour in COLOURS.items() if name not in ("band", "bound", "grey")]
    assert least_distance(lines, vision) > APART


def test_vermillion_and_olive_would_not():
    pair = [COLOURS["vermillion"], "#8A8A1F"]
    assert least_distance(pair, "normal") > 4 * APART and least_distance(pair, "protanopia") < APART


def test_text_is_readable_on_white():
    for colour in (*plotting.VERDICT_COLOURS.values(), COLOURS["ink"], COLOURS["grey"]):
        assert 1.05 / (XYZ[1] @ linear(colour) + 0.05) > 4.5  # contrast, as WCAG 2 asks of small text


def test_languages_of_simulation_theory_and_marks():
    ax = plotting.new_axes()
    t = np.arange(5)
    assert plotting.line(ax, t, t, COLOURS["blue"]).get_linestyle() == "-"
    drawn = plotting.theory(ax, t, 2 * t)
    assert drawn.get_linestyle() == "--" and drawn.get_color() == "black"
    np.testing.assert_array_equal(drawn.get_ydata(), 2 * t)
    plotting.predicted(ax, 3.2, "T", until=4)
    plotting.measured(ax, 2.0, "T", until=4)
    solid = ax.lines[-1]
    assert ax.lines[-2].get_linestyle() == "--" and ax.lines[-2].get_xdata()[0] == 3.2 and ax.lines[-2].get_label() == "T 3"
    assert solid.get_linestyle() == "-" and solid.get_xdata()[0] == 2.0
    band = plotting.bound(ax, t, t - 1.0, t + 1.0)
    assert to_hex(band.get_facecolor()[0]) == COLOURS["bound"].lower()


@pytest.mark.parametrize(("step", "label"), [(9.0, "T 9 (past view)"), (np.inf, "T never (past view)")])
def test_marks_past_the_view_are_told_in_the_legend_only(step, label):
    ax = plotting.new_axes()
    plotting.predicted(ax, step, "T", until=4)
    assert [drawn.get_label() for drawn in ax.lines] == [label] and not len(ax.lines[0].get_xdata())


def test_a_step_that_is_not_known_has_no_mark():
    ax = plotting.new_axes()
    plotting.measured(ax, np.nan, "T", until=4)
    assert not ax.lines


def test_bundle_draws_a_sample_and_the_median_of_all():
    ax, rng = plotting.new_axes(), np.random.default_rng(0)
    t, lines = np.arange(50), rng.standard_normal((50, 301))
    thin = plotting.bundle(ax, t, lines, COLOURS["blue"], "group")
    assert len(thin.get_segments()) == plotting.THIN and thin.get_rasterized()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.median(lines, axis=1))
    assert ax.lines[0].get_label() == "group (301)"
    low, high = ax.get_ylim()
    drawn = np.array([segment[:, 1] for segment in thin.get_segments()])
    assert low <= drawn.min() and drawn.max() <= high
    assert {tuple(segment) for segment in drawn} <= {tuple(column) for column in lines.T}


def test_bundle_of_nothing_keeps_its_entry():
    ax = plotting.new_axes()
    plotting.bundle(ax, np.arange(3), np.empty((3, 0)), COLOURS["blue"], "group")
    assert ax.lines[0].get_label() == "group (none)"


def test_one_point_is_a_dot():
    assert plotting.line(plotting.new_axes(), [0], [1.0], "k").get_marker() == "o"


@pytest.mark.parametrize(("total", "most", "expected"), [(3, 5, [0, 1, 2]), (5, 3, [0, 2, 4]), (0, 4, []), (1, 4, [0])])
def test_some(total, most, expected):
    assert plotting.some(total, most).tolist() == expected


def test_stage_bands_at_their_steps():
    ax = plotting.new_axes()
    plotting.stage_bands(ax, [("I", 0, 10), ("II", 10, 10), ("III", 10, 60), ("IV", 60, np.inf)], until=100)
    ax.set_xlim(0, 100)
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches]
    assert spans == [(0, 10), (10, 60), (60, 100)]
    assert [text.get_text() for text in ax.texts] == ["I", "III", "IV"]
    assert [drawn.get_xdata()[0] for drawn in ax.lines] == [10, 60]
    assert len({patch.get_facecolor() for patch in ax.patches[:2]}) == 2, "neighbours differ"


def test_stage_names_that_would_meet_are_left_out():
    ax = plotting.new_axes()
    plotting.stage_bands(ax, [("I", 0, 1), ("II", 1, 2), ("III", 2, 1000)], until=1000)
    assert [text.get_text() for text in ax.texts] == ["I", "III"]


@pytest.mark.parametrize("sort", VERDICTS)
def test_title_carries_the_verdict(sort):
    with plotting.panel(None, "a statement", [verdict(sort)]) as ax:
        plotting.line(ax, [0, 1], [0, 1], "k", "x")
    assert ax.get_title(loc="left") == "a statement"
    assert [text.get_text() for text in ax.texts] == [f"some_claim: {sort}"]
    assert ax.texts[0].get_color() == plotting.VERDICT_COLOURS[sort]
    assert ax.get_legend() is not None and not collisions(ax.figure)


def test_panel_without_data_says_why():
    with plotting.panel(None, "a statement", [verdict("inconclusive")]) as ax:
        plotting.line(ax, [0, 1], [0, 1], "k", "x")
        raise Inconclusive("key_noise not recorded")
    assert not ax.lines and "key_noise not recorded" in [text.get_text() for text in ax.texts]
    assert ax.get_title(loc="left") == "a statement" and not collisions(ax.figure)


def test_panel_lets_other_errors_through():
    with pytest.raises(ZeroDivisionError), plotting.panel(None, "a statement"):
        raise ZeroDivisionError


def test_legend_is_below_the_data():
    with plotting.panel(None, "a statement") as ax:
        plotting.line(ax, [0, 1], [0, 1], "k", "x")
    renderer = ax.figure.canvas.get_renderer()
    assert ax.get_legend().get_window_extent(renderer).y1 < ax.bbox.y0


def test_all_zero_is_shown_as_zero():
    with plotting.panel(None, "a statement") as ax:
        plotting.line(ax, [0, 1], [1e-300, 0.0], "k", "x")
        ax.set_ylim(-1e-17, 1e-17)
    assert ax.get_ylim() == (-1.0, 1.0)


@pytest.mark.parametrize("which", ["x", "y"])
def test_log_axis_spans_powers_of_ten(which):
    ax = plotting.new_axes()
    ax.plot([0.2, 0.5], [0.2, 0.5])
    plotting.log_axis(ax, which)
    assert getattr(ax, f"get_{which}scale")() == "log"
    np.testing.assert_allclose(getattr(ax, f"get_{which}lim")(), (0.1, 1.0))


def test_grid_panels_are_equally_large_and_in_order():
    axes = plotting.grid(plotting.new_figure(9, 8), 2, 3)
    assert len(axes) == 6
    sizes = np.array([ax.bbox.size for ax in axes])
    np.testing.assert_allclose(sizes, sizes[[0] * 6])
    corners = [(round(-ax.bbox.y0), round(ax.bbox.x0)) for ax in axes]
    assert corners == sorted(corners)


@pytest.mark.parametrize("size", [(1.0, 1.0), (2.0, 9.0)])
def test_grid_fits_small_figures(size):
    axes = plotting.grid(plotting.new_figure(*size), 2, 3)
    assert all(ax.bbox.width > 0 and ax.bbox.height > 0 for ax in axes)


def test_grid_in_a_subfigure():
    left, right = Figure(figsize=(12, 5)).subfigures(1, 2)
    (ax,) = plotting.grid(right, 1, 1)
    plotting.headline(right, "title", "details")
    assert right.bbox.x0 < ax.bbox.x0 and ax.bbox.x1 < right.bbox.x1
    assert not left.axes


def test_saving_twice_gives_the_same_bytes(tmp_path):
    def draw():
        with plotting.panel(None, "a $T_\\mathrm{key}$", [verdict()]) as ax:
            plotting.bundle(ax, np.arange(9), np.random.default_rng(0).standard_normal((9, 70)), COLOURS["blue"], "group")
        return ax.figure

    before = dict(rcParams)
    for kind in ("png", "svg", "pdf"):
        plotting.save(draw(), tmp_path / f"one.{kind}")
        plotting.save(draw(), tmp_path / "two.v1", kind=kind)
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / "two.v1").read_bytes()
    assert b"/CreationDate" not in (tmp_path / "one.pdf").read_bytes()  # which is to the second
    assert dict(rcParams) == before


def test_small_files_keep_the_palette(tmp_path):
    from PIL import Image

    ax = plotting.new_axes()
    for i, colour in enumerate(COLOURS.values()):
        ax.axhspan(i, i + 1, color=colour)
    path = tmp_path / "palette.png"
    plotting.save(ax.figure, path)
    plotting.fewer_colours(path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in COLOURS.values():
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(pixels - rgb).max(1).min() <= 4


def test_the_collision_check_sees_collisions():
    with plotting.panel(None, "a statement") as ax:
        plotting.line(ax, [0, 1], [0, 1], "k", "x")
    ax.annotate("on the title", (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", annotation_clip=False)
    ax.annotate("outside", (1, 0), (30, 0), xycoords="axes fraction", textcoords="offset points", annotation_clip=False)
    found = " ".join(collisions(ax.figure))
    assert "meets" in found and "leaves the figure" in found
