"""What of a table enters a fit: points left out as a whole, seeds not used, errors that say what to do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynsim.claims import Inconclusive
from dynsim.scaling import fit_power_law
from tests.scaling.tables import LR, M_K, Axed, grid, noisy, without

# -- censoring and failing ----------------------------------------------------------------------------------------


def test_censored_and_failed_points_leave_as_a_whole():
    table = noisy(lr=LR, m_k=M_K)
    table["steps"] = np.full(len(table["T"]), 5000)
    table["error"] = np.full(len(table["T"]), "", dtype=object)
    first, second = (np.flatnonzero((table["lr"] == lr) & (table["m_k"] == m)) for lr, m in ((1e-4, 10), (1e-3, 80)))
    expected = fit_power_law(without(table, [*first, *second]), "T", ("lr", "m_k"))
    table["T"][first[:3]] = np.nan
    table["T"][second[1]], table["error"][second[1]] = np.nan, "OverflowError: too large\nmore"
    law = fit_power_law(table, "T", ("lr", "m_k"))
    assert [e.value for e in law.exponents] == [e.value for e in expected.exponents] and law.points == 10 and law.cells == 80
    (censored,), (failed,) = law.censored, law.failed
    assert (censored.x, censored.count, censored.total, censored.horizon) == ({"lr": 1e-4, "m_k": 10.0}, 3, 8, 5000.0)
    assert (failed.x, failed.count, failed.message) == ({"lr": 1e-3, "m_k": 80.0}, 1, "OverflowError: too large")
    assert "lr=0.0001, m_k=10 (3 of 8 seeds not there after 5000 steps)" in str(law)
    assert "lr=0.001, m_k=80 (1 of 8 seeds failed: OverflowError: too large)" in str(law)


def test_a_failed_cell_may_hold_any_number():
    table = noisy(lr=LR)
    table["error"] = np.full(len(table["T"]), "", dtype="<U20")
    table["T"][0], table["error"][0] = -3.0, "it failed"
    law = fit_power_law(table, "T", "lr")
    assert law.points == 3 and law.failed[0].count == 1 and not law.censored


def test_leaving_out_whole_points_is_unbiased_and_keeping_the_fast_seeds_is_not():
    """The mean of 400 fits of T = 100 / x with 8 seeds and a horizon that about half of the seeds reach at the first point."""
    x, beta, fits = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), -1.0, 400
    rng = np.random.default_rng(3)
    columns = grid(8, x=x)
    ours, naive = [], []
    for _ in range(fits):
        log_y = math.log(100.0) + beta * np.log(columns["x"])
        log_y += 0.1 * rng.standard_normal(8)[columns["seed"]] + 0.2 * rng.standard_normal(len(log_y))
        reached = log_y < math.log(100.0)  # the second point lies three standard deviations below the horizon
        table = {**columns, "T": np.where(reached, np.exp(log_y), np.nan)}
        ours.append(fit_power_law(table, "T", "x")["x"].value)
        naive.append(np.polyfit(np.log(columns["x"][reached]), log_y[reached], 1)[0])
    off, error = np.mean(ours) - beta, np.std(ours) / math.sqrt(fits)
    naive_off, naive_error = np.mean(naive) - beta, np.std(naive) / math.sqrt(fits)
    assert abs(off) < 3 * error, (off, error)
    assert naive_off > 10 * naive_error, (naive_off, naive_error)


@pytest.mark.slow
def test_points_close_to_the_horizon_bias_less_than_keeping_the_fast_seeds():
    """The horizon lies 0.3 above the mean log y of the first point, whose noise is 0.22.

    About half of the sweeps keep that point, those without a slow seed.
    """
    x, fits = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), 1000
    rng = np.random.default_rng(3)
    columns = grid(8, x=x)
    ours, naive = [], []
    for _ in range(fits):
        log_y = -np.log(columns["x"]) + 0.1 * rng.standard_normal(8)[columns["seed"]] + 0.2 * rng.standard_normal(len(columns["x"]))
        reached = log_y < 0.3
        ours.append(fit_power_law({**columns, "T": np.where(reached, np.exp(log_y), np.nan)}, "T", "x")["x"].value)
        naive.append(np.polyfit(np.log(columns["x"][reached]), log_y[reached], 1)[0])
    assert abs(np.mean(ours) + 1) < 0.6 * (np.mean(naive) + 1) and np.mean(naive) + 1 > 5 * np.std(naive) / math.sqrt(fits)


def test_seeds_without_rows_are_not_used_and_told():
    table = noisy(lr=LR)
    gone = np.flatnonzero((table["seed"] == 5) & (table["lr"] == 2e-4))
    law = fit_power_law(without(table, gone), "T", "lr")
    expected = fit_power_law(without(table, np.flatnonzero(table["seed"] == 5)), "T", "lr")
    assert law["lr"] == expected["lr"] and (law.seeds, law.seeds_without_rows, law.cells) == (7, 1, 28)
    assert "not used: 1 seeds that have no row" in str(law)


def test_a_seed_without_a_row_at_a_point_left_out_is_used():
    table = noisy(lr=LR)
    table["T"][0] = np.nan  # lr=1e-4, seed 0
    law = fit_power_law(without(table, [3]), "T", "lr")
    assert (law.seeds, law.seeds_without_rows) == (8, 0) and (law.censored[0].count, law.censored[0].total) == (1, 7)


def test_too_little_is_inconclusive():
    table = noisy(lr=LR, m_k=M_K)
    everywhere = {**table, "T": np.full(len(table["T"]), np.nan), "steps": np.full(len(table["T"]), 900)}
    with pytest.raises(Inconclusive, match=r"T: no point is left to fit.*900 steps.*and 6 more"):
        fit_power_law(everywhere, "T", ("lr", "m_k"))
    one = {**table, "T": np.where(table["lr"] < 9e-4, np.nan, table["T"])}
    with pytest.raises(Inconclusive, match=r"only one value of lr is left \(0.001\).*not reached by every seed"):
        fit_power_law(one, "T", ("lr", "m_k"))
    diagonal = {**noisy(lr=LR)}
    diagonal["m_k"] = 7.0 * diagonal["lr"] ** 2
    with pytest.raises(Inconclusive, match="lr and m_k vary together"):
        fit_power_law(diagonal, "T", ("lr", "m_k"))
    two = noisy(lr=LR[:2])
    two["m_k"] = np.where(two["lr"] == LR[0], 1.0, 5.0)
    with pytest.raises(Inconclusive, match="2 points are too few for 2 exponents"):
        fit_power_law(two, "T", ("lr", "m_k"))
    disjoint = {"lr": [1.0, 2.0], "seed": [0, 1], "T": [1.0, 2.0]}
    with pytest.raises(Inconclusive, match="no seed has a row at each of the 2 points"):
        fit_power_law(disjoint, "T", "lr")
    with pytest.raises(Inconclusive, match="no rows"):
        fit_power_law({"lr": [], "seed": [], "T": []}, "T", "lr")


# -- errors -------------------------------------------------------------------------------------------------------


def test_axes_of_the_table_are_the_default_and_are_checked():
    table = Axed(noisy(lr=LR, m_k=M_K))
    table.axes = ("lr", "m_k")
    assert fit_power_law(table, "T") == fit_power_law(dict(table), "T", ("lr", "m_k"))
    with pytest.raises(ValueError, match=r"m_k varies too, over 10, 20, 80: fit over it as well, over=\('lr', 'm_k'\), or select"):
        fit_power_law(table, "T", "lr")
    selected = Axed({name: column[table["m_k"] == 20] for name, column in table.items()})
    selected.axes = table.axes
    assert fit_power_law(selected, "T", "lr").points == 4
    table["rule"] = np.where(table["m_k"] == 20, "Adam", "SignGD")
    table.axes = ("lr", "m_k", "rule")
    with pytest.raises(ValueError, match="rule varies too, over SignGD, Adam"):
        fit_power_law(table, "T", ("lr", "m_k"))
    with pytest.raises(ValueError, match="column 'rule' must hold numbers, not 'SignGD'"):
        fit_power_law(table, "T")


@pytest.mark.parametrize(("column", "value", "says"), [
    ("lr", 0.0, "lr=0 in row 4 must be finite and > 0"), ("lr", -1.0, "lr=-1 in row 4"), ("lr", np.nan, "lr=nan in row 4"),
    ("T", 0.0, r"T=0 at lr=0.0002, seed 0, must be finite and > 0.*1 such cells"), ("T", -2.0, "T=-2 at lr=0.0002, seed 0"),
    ("T", np.inf, "T=inf at lr=0.0002, seed 0"),
])
def test_what_has_no_logarithm(column, value, says):
    table = noisy(seeds=4, lr=LR)
    table[column][4] = value
    with pytest.raises(ValueError, match=says):
        fit_power_law(table, "T", "lr")


@pytest.mark.parametrize(("over", "says"), [
    (None, "over=None needs a table with axes"), ((), "must name one or more"), (("lr", "lr"), "different variables"),
    ("seed", "none of them 'seed'"), ("rate", "no column 'rate'; columns: lr, m_k, seed, T"), ("T", "quantity='T' is also in over"),
    ("lr", r"3 rows of seed 0 at lr=0.0001: another column varies too"),
])
def test_variables_that_do_not_fit_the_table(over, says):
    with pytest.raises(ValueError, match=says):
        fit_power_law(noisy(lr=LR, m_k=M_K), "T", over)


def test_columns_that_do_not_fit_each_other():
    with pytest.raises(ValueError, match=r"'lr' of shape \(2,\) must be 1-D of length 3"):
        fit_power_law({"lr": [1.0, 2.0], "seed": [0, 0, 0], "T": [1.0, 2.0, 3.0]}, "T", "lr")
    with pytest.raises(ValueError, match="no column 'seed'"):
        fit_power_law({"lr": [1.0, 2.0], "T": [1.0, 2.0]}, "T", "lr")
