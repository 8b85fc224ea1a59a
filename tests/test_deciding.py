"""Forms in which claims are decided: where they hold, and what their margins are."""

from __future__ import annotations

import pytest

from dynsim.deciding import at_least, at_most, close


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
