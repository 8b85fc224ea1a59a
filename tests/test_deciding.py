"""Forms in which claims are decided: where they hold, and what their margins are."""

from __future__ import annotations

import numpy as np
import pytest

from dynsim.claims import Inconclusive
from dynsim.deciding import at_least, at_most, best_rate, close, complete, mean_above, over_seeds, worst
from dynsim.sweep import Table


def margin(m):
    return (m.tolerance - m.deviation) / m.tolerance


@pytest.mark.parametrize(("form", "holds", "size"), [
    (at_most(1.0, 4.0), True, 0.75), (at_most(5.0, 4.0), False, -0.25), (at_least(3.0, 2.0), True, 0.5), (at_least(1.0, 2.0), False, -0.5),
    (close(1.05, 1.0, 0.1), True, 0.5), (close(-1.2, -1.0, 0.1), False, -1.0), (close(3.0, 2.0, 0.5, relative=False), False, -1.0),
])
def test_margin_follows_from_the_form(form, holds, size):
    assert (form.deviation <= form.tolerance) == holds
    assert margin(form) == pytest.approx(size)


def test_where_and_unit_are_kept():
    assert close(1.0, 1.0, 0.1, "step 3", "steps").where == "step 3"
    assert at_most(1.0, 2.0, unit="x").unit == "x" and at_least(1.0, 2.0, "here").where == "here"


def test_the_worst_of_several_numbers_is_the_one_that_is_not_finite():
    nan = at_most(np.nan, 1.0)
    assert worst(at_most(5.0, 1.0), nan) is nan
    far = at_most(5.0, 1.0)
    assert worst(at_most(7.0, 2.0), far) is far


SPREAD = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize(("mean", "sort"), [(2.0, "holds"), (-2.0, "violated"), (0.1, "inconclusive")])
def test_a_mean_over_seeds_is_above_a_level_below_it_or_not_to_be_told(mean, sort):
    if sort == "inconclusive":
        with pytest.raises(Inconclusive, match="here: the interval contains 3"):
            mean_above(SPREAD + 3.0 + mean, "here", 3.0)
    else:
        found = mean_above(SPREAD + 3.0 + mean, "here", 3.0)
        assert (found.deviation <= found.tolerance) == (sort == "holds") and found.where == "here"


def test_the_best_of_several_has_a_smaller_level():
    assert mean_above(SPREAD + 1.0, "here").tolerance == 0.025 == 4 * mean_above(SPREAD + 2.0, "here", among=4).tolerance
    with pytest.raises(Inconclusive, match="contains 0"):
        mean_above(SPREAD + 1.0, "here", among=10)


def test_two_seeds_have_no_interval():
    with pytest.raises(Inconclusive, match="2 seeds"):
        over_seeds(np.array([1.0, 2.0]))


def rows(**columns):
    seeds = np.arange(len(columns["lr"]))
    return Table({"seed": seeds, **{name: np.asarray(values) for name, values in columns.items()}}, ("lr",), {})


def test_rows_that_failed_or_are_none_decide_nothing():
    t = rows(lr=[0.1, 1.0], loss=[1.0, np.nan])
    assert complete(t.where(lr=0.1), "loss").cells == 1
    with pytest.raises(Inconclusive, match="1 of 2 runs failed or lack loss"):
        complete(t, "loss")
    with pytest.raises(Inconclusive, match="no runs"):
        complete(t.rows(np.array([False, False])), "loss")


def test_a_rate_at_which_a_seed_failed_is_not_the_best():
    t = rows(lr=[0.1, 0.1, 1.0, 1.0, 2.0, 2.0], loss=[3.0, 1.0, 0.0, np.nan, 0.0, np.inf])
    assert best_rate(t, "loss") == 0.1
    with pytest.raises(Inconclusive, match="finite loss in every seed: gd"):
        best_rate(t.rows(np.asarray(t["lr"]) >= 1.0), "loss", "gd")
