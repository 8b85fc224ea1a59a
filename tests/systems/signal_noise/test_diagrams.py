"""The built-in phase diagrams."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynsim.measures import as_measures
from dynsim.phase import phase_figure
from dynsim.sweep.design import as_design
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.diagrams import DIAGRAMS

NAMES = tuple(DIAGRAMS)


def corners(diagram, count):
    """Points of the diagram's own at which x and y take `count` values each, extreme ones among them."""
    design = as_design(diagram.over)
    points = [design[k] for k in range(len(design))]
    base = {**diagram.experiment.setting.to_dict(), "lr": diagram.experiment.optimizer.lr}
    place = np.array([[float(f"{_at(axis, {**base, **p}):.9g}") for axis in (diagram.x, diagram.y)] for p in points])
    kept = [np.unique(column)[np.linspace(0, len(np.unique(column)) - 1, count).astype(int)] for column in place.T]
    return [p for p, (x, y) in zip(points, place, strict=True) if x in kept[0] and y in kept[1]]


def _at(axis, point):
    return point[axis.name] if axis.value is None else axis.value(point)


def test_every_group_of_lemmas_has_one():
    shown = {quantity for diagram in DIAGRAMS.values() for quantity in diagram.shown}
    of_paper = {id for id, claim in signal_noise.CLAIMS.items() if claim.source.kind == "paper"}
    assert of_paper <= shown, of_paper - shown
    assert set(DIAGRAMS) == {"value", "alignment", "vote", "turns", "memorisation"}


@pytest.mark.parametrize("name", NAMES)
def test_description(name):
    d = DIAGRAMS[name]
    assert d.name == name and d.doc.endswith(".") and ("paper" in d.doc or "derived" in d.doc) and d.x.label and d.y.label
    columns = [column for measure in as_measures(d.measure or d.shown, d.experiment.system) for column in measure.columns]
    assert set(d.shown) <= set(columns)
    design = as_design(d.over)
    assert set(design.names) <= set(d.experiment.variables)
    for k in range(len(design)):
        setting = d.experiment.vary(design[k]).setting  # every point is a valid one
        assert setting.n * setting.s < setting.d


@pytest.mark.parametrize("name", NAMES)
def test_points_fill_a_grid(name):
    d, design = DIAGRAMS[name], as_design(DIAGRAMS[name].over)
    base = {**d.experiment.setting.to_dict(), "lr": d.experiment.optimizer.lr}
    xs, ys = ({float(f"{_at(axis, {**base, **design[k]}):.9g}") for k in range(len(design))} for axis in (d.x, d.y))
    assert len(xs) * len(ys) == len(design) and 20 <= len(design) <= 40


def test_derived_axes_are_what_the_predictions_say():
    setting = signal_noise.preset("figure3").replace(s=17, mu_norm=3.0)
    theory = signal_noise.predict(setting, lr=5e-5)
    for name, expected in (("value", 3.0 / theory.a), ("memorisation", theory.snr)):
        assert math.isclose(DIAGRAMS[name].x.value(setting.to_dict()), expected, rel_tol=1e-12)


def test_a_tiny_version_runs():
    d = DIAGRAMS["turns"]
    found = d.run(over={"m_k": [4, 8], "sigma_0": [3e-3, 6e-3]}, seeds=1, steps=60, workers=1)
    assert tuple(found) == d.shown
    for diagram in found.values():
        assert diagram.values.shape == (2, 2) and diagram.x.tolist() == [60.0, 120.0] and diagram.y.tolist() == [4.0, 8.0]
        assert (diagram.counts["errors"] == 0).all() and (diagram.counts["seeds"] == 1).all()
    phase_figure(found, d.doc).canvas.draw()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_corners_of_every_diagram_run(name):
    d = DIAGRAMS[name]
    found = d.run(over=corners(d, 2), seeds=1, workers=1)
    assert tuple(found) == d.shown
    for diagram in found.values():
        assert diagram.values.shape == (2, 2) and (diagram.counts["errors"] == 0).all() and (diagram.counts["seeds"] == 1).all()
    phase_figure(found, d.doc).canvas.draw()


@pytest.mark.slow
def test_softmax_near_half_needs_small_initial_weights():
    d = DIAGRAMS["vote"]
    found = d.run(over={"n": [20, 40], "sigma_0": [1e-3, 3e-3, 9e-3]}, seeds=8, workers=1)
    held = found["lemma_4_4_softmax_half"]
    assert (held.values[:, 0] >= 0.75).all() and (held.values[:, 2] == 0).all()
    assert (found["lemma_4_4_query_vote"].values[:, 0] == 1).all()
    edge = held.boundary(descending=True)
    assert (edge > 20).all() and (edge < 180).all() and held.applicable[:, 0].max() == 0
