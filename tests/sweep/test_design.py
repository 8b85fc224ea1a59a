"""Designs: grids, lists, samples; the same points from the same description."""

import json

import numpy as np
import pytest

from dynsim.sweep import Grid, Points, Sampled, geometric
from dynsim.sweep.design import as_design
from dynsim.sweep.table import design_of

DESIGNS = {
    "grid": Grid({"m_k": [25, 50], "lr": np.array([1e-6, 2e-6, 4e-6])}),
    "empty grid": Grid({}),
    "list": Points([{"n": 10, "d": 10**12}, {"n": 20, "d": 4}]),
    "latin": Sampled({"s": (50, 800), "sigma_p": (0.5, 8.0), "x": (-1.0, 1.0)}, 7, seed=3),
    "sobol": Sampled({"s": (50, 800), "sigma_p": (0.5, 8.0)}, 8, method="sobol"),
    "halton": Sampled({"s": (50, 800)}, 5, method="halton"),
    "random": Sampled({"s": (50, 800)}, 5, method="random"),
}


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_design_comes_back_from_its_description(design):
    again = design_of({"design": json.loads(json.dumps(design.describe()))})
    assert len(again) == len(design) and again.names == design.names
    assert [again[k] for k in range(len(again))] == [design[k] for k in range(len(design))]
    for k in range(len(design)):
        assert set(design[k]) == set(design.names)
        assert not any(isinstance(value, np.generic) for value in design[k].values())


def test_a_grid_has_every_combination_once_and_the_last_variable_changes_fastest():
    grid = DESIGNS["grid"]
    assert [tuple(grid[k].values()) for k in range(6)] == [(m, lr) for m in (25, 50) for lr in (1e-6, 2e-6, 4e-6)]
    with pytest.raises(IndexError):
        grid[6]


def test_a_large_grid_is_not_held_in_memory():
    grid = Grid({f"x{i}": range(100) for i in range(6)})
    assert len(grid) == 10**12 and grid[10**12 - 1] == {f"x{i}": 99 for i in range(6)}


def test_a_latin_hypercube_has_one_point_in_every_slice_of_the_logarithm():
    design = Sampled({"a": (1.0, 100.0), "b": (-2.0, 2.0)}, 16, seed=1)
    points = [design[k] for k in range(16)]
    for values, low, high in ((np.log([p["a"] for p in points]), 0.0, np.log(100.0)), (np.array([p["b"] for p in points]), -2.0, 2.0)):
        assert sorted(np.floor(16 * (values - low) / (high - low)).astype(int)) == list(range(16))
    integers = Sampled({"s": (50, 800)}, 9)
    assert all(isinstance(integers[k]["s"], int) and 50 <= integers[k]["s"] <= 800 for k in range(9))


def test_seeds_of_samples_matter():
    assert Sampled({"a": (1.0, 2.0)}, 3, seed=0)[0] != Sampled({"a": (1.0, 2.0)}, 3, seed=1)[0]


def test_geometric_values():
    assert geometric(25, 400, 5) == (25, 50, 100, 200, 400)
    assert geometric(1e-6, 1.6e-5, 5) == (1e-06, 2e-06, 4e-06, 8e-06, 1.6e-05)
    for bad in ((0, 1, 3), (2, 1, 3), (1, 2, 1)):
        with pytest.raises(ValueError, match="LOW:HIGH:COUNT"):
            geometric(*bad)


def test_what_over_can_be():
    assert as_design(None).names == ()
    assert isinstance(as_design({"n": [1, 2]}), Grid)
    assert isinstance(as_design([{"n": 1}]), Points)
    assert as_design(DESIGNS["latin"]) is DESIGNS["latin"]
    with pytest.raises(TypeError, match="must be a mapping"):
        as_design(3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Grid({"n": []}), "at least one value"),
        (lambda: Grid({"n": 3}), r"for example \[3\]"),
        (lambda: Grid({"n": "12"}), "must be a sequence"),
        (lambda: Grid({"n": [1, 1]}), "twice"),
        (lambda: Points([]), "no point"),
        (lambda: Points([{"n": 1}, {"m_k": 1}]), "point 1"),
        (lambda: Sampled({}, 3), "empty"),
        (lambda: Sampled({"n": (2, 1)}, 3), "low < high"),
        (lambda: Sampled({"n": (1, np.inf)}, 3), "low < high"),
        (lambda: Sampled({"n": (1, 2)}, 0), "points=0"),
        (lambda: Sampled({"n": (1, 2)}, 3, method="guess"), "method='guess'"),
    ],
)
def test_bad_designs_say_what_is_wrong(make, says):
    with pytest.raises(ValueError, match=says):
        make()
