"""Power-law fits: exact on exact laws, exponents whose intervals cover, local slopes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from dynsim.scaling import fit_power_law, mean_interval
from tests.scaling.noise import POINTS, SEEDS, covers, log_y_of, slopes_of
from tests.scaling.tables import LR, M_K, SPARSITY, grid, noisy, without

# -- exactness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["t", "bootstrap"])
@pytest.mark.parametrize("names", [("lr",), ("lr", "m_k"), ("lr", "m_k", "s")])
def test_laws_without_noise_come_back(names, method):
    beta = {"lr": -1.0, "m_k": -0.5, "s": 1.75}
    seeds = 8  # fewer leave the bootstrap unbounded
    table = grid(seeds, **{name: x for name, x in {"lr": LR, "m_k": M_K, "s": SPARSITY}.items() if name in names})
    factors = np.array([2.0, 3.0, 7.0, 5.0, 11.0, 13.0, 17.0, 19.0])  # seeds differ by a factor only
    scale, prefactor = factors[table["seed"]], factors.prod() ** (1 / seeds)
    table["T"] = scale * np.prod([table[name] ** beta[name] for name in names], axis=0)
    law = fit_power_law(table, "T", names, theory=beta if len(names) == 3 else {"lr": -1}, method=method)
    for name in names:
        exponent = law[name]
        assert abs(exponent.value - beta[name]) < 1e-12 and abs(exponent.low - beta[name]) < 1e-12
        assert exponent.inside in (True, None)
        x = np.unique(table[name])
        assert exponent.values == len(x) and exponent.factor == pytest.approx(x[-1] / x[0])
        assert [(s.low_x, s.high_x) for s in law.local[name]] == list(pairwise(x.tolist()))
        assert all(abs(s.value - beta[name]) < 1e-12 for s in law.local[name])
        assert {s.lines for s in law.local[name]} == {law.points // len(x)}
    assert law.prefactor == pytest.approx(prefactor, rel=1e-12) and law.prefactor_low < law.prefactor < law.prefactor_high
    assert law.seeds == seeds and law.cells == seeds * law.points and abs(law.worst.residual) < 1e-12
    np.testing.assert_allclose(law.predict({name: table[name] for name in names}) * scale / prefactor, table["T"], rtol=1e-11)


def test_mean_over_seeds_is_least_squares_on_all_cells():
    table = noisy(lr=LR, m_k=M_K)
    law = fit_power_law(table, "T", ("lr", "m_k"))
    design = np.column_stack([np.ones(len(table["T"])), np.log(table["lr"]), np.log(table["m_k"])])
    log_y = np.log(table["T"])
    pooled = np.linalg.lstsq(design, log_y, rcond=None)[0]
    np.testing.assert_allclose([law.log_prefactor, law["lr"].value, law["m_k"].value], pooled, rtol=0, atol=1e-11)
    residual = log_y - design @ pooled
    assert law.r_squared == pytest.approx(1 - residual.var() / log_y.var(), abs=1e-12)
    means = residual.reshape(-1, 8).mean(axis=1)
    assert law.worst.residual == pytest.approx(means[np.abs(means).argmax()], abs=1e-10)
    assert law.worst.x == {"lr": table["lr"][8 * np.abs(means).argmax()], "m_k": table["m_k"][8 * np.abs(means).argmax()]}


def test_order_of_rows_does_not_matter():
    table = noisy(lr=LR, m_k=M_K)
    order = np.random.default_rng(1).permutation(len(table["T"]))
    shuffled = {name: column[order] for name, column in table.items()}
    assert fit_power_law(shuffled, "T", ("lr", "m_k")) == fit_power_law(table, "T", ("lr", "m_k"))


def test_quantity_that_does_not_vary_has_no_r_squared():
    table = {**grid(2, lr=LR), "T": np.full(8, 7.0)}
    law = fit_power_law(table, "T", "lr")
    assert math.isnan(law.r_squared) and abs(law["lr"].value) < 1e-12


# -- intervals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "method"), [
    ("normal", "t"), pytest.param("normal", "bootstrap", marks=pytest.mark.slow), ("exponential", "t"),
])
def test_intervals_cover_the_exponent(noise, method):
    """The fourth case needs more fits: it is in test_intervals, and the next test carries it over to fits."""
    log_y = log_y_of(noise, np.random.default_rng(20), 1000)
    columns = grid(SEEDS, x=POINTS)
    laws = [
        fit_power_law({**columns, "T": np.exp(log_y[i]).ravel()}, "T", "x", method=method, rng=i) for i in range(len(log_y))
    ]
    covered = covers([law["x"].low for law in laws], [law["x"].high for law in laws])
    assert 0.93 <= covered <= 0.97, covered


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_interval_of_the_exponent_is_that_of_the_mean_of_the_slopes_of_the_seeds(method):
    log_y = log_y_of("exponential", np.random.default_rng(25), 20)
    columns = grid(SEEDS, x=POINTS)
    slopes = slopes_of(log_y)
    for i in range(len(log_y)):
        exponent = fit_power_law({**columns, "T": np.exp(log_y[i]).ravel()}, "T", "x", method=method, rng=i)["x"]
        expected = mean_interval(slopes[:, i], method=method, rng=i)
        np.testing.assert_allclose([exponent.low, exponent.high], expected, rtol=0, atol=1e-12)
        other = "t" if method == "bootstrap" else "bootstrap"
        assert abs(exponent.low - mean_interval(slopes[:, i], method=other, rng=i)[0]) > 1e-6


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_one_seed_has_no_interval_and_says_so(method):
    table = noisy(seeds=1, lr=LR)
    law = fit_power_law(table, "T", "lr", theory={"lr": -1}, method=method)
    assert math.isnan(law["lr"].low) and math.isnan(law["lr"].high) and math.isnan(law.prefactor_low)
    assert law["lr"].inside is None and "one seed: no intervals" in str(law)
    assert law.to_dict()["exponents"][0]["low"] is None


# -- local slopes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_local_slopes_of_a_law_with_a_bend_converge(method):
    x = np.array([1.0, 2.0, 4.0, 8.0, 64.0])
    table = grid(4, x=x, m=[3.0, 5.0])
    table["T"] = (1.0 + table["seed"]) * table["m"] * (1.0 / table["x"] + 1.0 / table["x"] ** 2)
    law = fit_power_law(table, "T", ("x", "m"), method=method)
    y = (x + 1.0) / x**2
    by_hand = [math.log(y[k + 1] / y[k]) / math.log(x[k + 1] / x[k]) for k in range(4)]
    assert by_hand[0] == pytest.approx(math.log2(0.375))
    np.testing.assert_allclose([s.value for s in law.local["x"]], by_hand, rtol=0, atol=1e-12)
    distance = np.abs(np.array(by_hand) + 1.0)
    assert (np.diff(distance) < 0).all() and law["x"].value < -1.1
    assert [s.lines for s in law.local["x"]] == [2] * 4 and [s.lines for s in law.local["m"]] == [5]


def test_a_design_without_lines_has_no_local_slopes():
    table = grid(2, i=np.arange(4))
    table["a"], table["b"] = np.array([1.0, 2.0, 3.0, 4.0])[table["i"]], np.array([5.0, 1.0, 2.0, 9.0])[table["i"]]
    table["T"] = table["a"] ** 2 / table["b"]
    law = fit_power_law(table, "T", ("a", "b"))
    assert law.local == {"a": (), "b": ()} and law["a"].value == pytest.approx(2.0, abs=1e-12)
    assert "no local slopes in a" in str(law)


def test_local_slopes_beside_a_hole():
    table = {**noisy(seeds=3, lr=LR, m=[1.0, 2.0])}
    hole = np.flatnonzero((table["lr"] == 2e-4) & (table["m"] == 1.0))
    law = fit_power_law(without(table, hole), "T", ("lr", "m"))
    assert [(s.low_x, s.high_x, s.lines) for s in law.local["lr"]] == [(1e-4, 2e-4, 1), (2e-4, 5e-4, 1), (5e-4, 1e-3, 2)]


# -- arguments ----------------------------------------------------------------------------------------------------


def test_theory_of_a_variable_that_is_not_fitted():
    with pytest.raises(ValueError, match="theory names m_k, not among the fitted variables lr"):
        fit_power_law(noisy(lr=LR), "T", "lr", theory={"m_k": -0.5})
