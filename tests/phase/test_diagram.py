"""Phase diagrams as data: hand-made tables with every answer known."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from dynsim.phase import Axis, Diagram, PhaseDiagram, phase_diagram
from dynsim.sweep import Table, sweep
from dynsim.systems import signal_noise

H, V, N, U = "holds", "violated", "not applicable", "inconclusive"


def table(rows, *, axes=("x", "y"), docs=None, drop=()):
    """Table of rows (x, y, seed, verdict, margin, number, error)."""
    names = (*axes, "seed", "claim", "claim.margin", "number", "error")
    columns = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True) if name not in drop}
    columns["steps"] = np.full(len(rows), 10)
    return Table(columns, axes, {}, docs or {})


def hand_made(**options):
    """Two by three points, two seeds; (4, 1) has one seed, (4, 2) none."""
    return table([
        (2.0, 1, 0, V, -1.0, 1.0, ""), (2.0, 1, 1, V, -3.0, 3.0, ""),
        (1.0, 1, 0, N, 0.5, np.nan, ""), (1.0, 1, 1, N, -0.5, 7.0, ""),
        (4.0, 1, 0, H, 0.0, 5.0, ""),
        (1.0, 2, 0, U, np.nan, np.nan, ""), (1.0, 2, 1, U, np.nan, np.nan, ""),
        (2.0, 2, 0, H, 1.0, 2.0, ""), (2.0, 2, 1, "", np.nan, np.nan, "ValueError: no"),
    ], **options)


def of_fractions(x, y, values):
    """Diagram with these values, and nothing else of interest."""
    values = np.array(values, dtype=float)
    counts = {name: np.ones(values.shape, dtype=int) for name in ("seeds", "known", "good", "errors")}
    return PhaseDiagram("q", "verdict", "x", "y", np.array(x, dtype=float), np.array(y, dtype=float), values, values, values, counts)


# -- the data -----------------------------------------------------------------------------------------------------


def test_verdicts_with_margins():
    d = phase_diagram(hand_made(docs={"claim": "verdict: it is so"}), "x", "y", "claim")
    assert (d.kind, d.x_name, d.y_name, d.doc, d.x_label) == ("verdict", "x", "y", "verdict: it is so", "x")
    assert d.x.tolist() == [1.0, 2.0, 4.0] and d.y.tolist() == [1.0, 2.0]  # ascending, whatever the order of the rows
    np.testing.assert_array_equal(d.values, [[0.5, 0.0, 1.0], [np.nan, 1.0, np.nan]])  # a margin of 0 is within tolerance
    np.testing.assert_array_equal(d.applicable, [[0.0, 1.0, 1.0], [1.0, 1.0, np.nan]])
    np.testing.assert_allclose(d.spread, [[np.sqrt(0.5), np.sqrt(2.0), np.nan], [np.nan] * 3])
    assert d.counts["seeds"].tolist() == [[2, 2, 1], [2, 1, 0]]
    assert d.counts["known"].tolist() == [[2, 2, 1], [0, 1, 0]]
    assert d.counts["good"].tolist() == [[1, 0, 1], [0, 1, 0]]
    assert d.counts["errors"].tolist() == [[0, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(d.fractions[H], [[0.0, 0.0, 1.0], [0.0, 1.0, np.nan]])
    np.testing.assert_array_equal(d.fractions[N], [[1.0, 0.0, 0.0], [0.0, 0.0, np.nan]])
    assert d.mostly(N).tolist() == [[True, False, False], [False] * 3]
    assert d.mostly(U).tolist() == [[False] * 3, [True, False, False]]
    with pytest.raises(ValueError, match="inconclusive"):
        d.mostly("inconclusiv")


def test_most_of_what_is_decided():
    rows = [(1.0, 1, 0, U, np.nan, 0.0, ""), (1.0, 1, 1, N, 1.0, 0.0, ""), (2.0, 1, 0, H, 1.0, 0.0, ""), (2.0, 1, 1, N, 1.0, 0.0, "")]
    d = phase_diagram(table(rows), "x", "y", "claim")
    assert d.mostly(N).tolist() == [[True, False]] and not d.mostly(U).any()


def test_verdicts_without_margins():
    d = phase_diagram(hand_made(drop=("claim.margin",)), "x", "y", "claim")
    np.testing.assert_array_equal(d.values, [[0.0, 0.0, 1.0], [0.0, 1.0, np.nan]])
    assert np.isnan(d.spread).all()


def test_numbers():
    d = phase_diagram(hand_made(), "x", "y", "number")
    assert d.kind == "number" and d.fractions == {} and not d.mostly(N).any()
    np.testing.assert_array_equal(d.values, [[7.0, 2.0, 5.0], [np.nan, 2.0, np.nan]])
    np.testing.assert_allclose(d.spread, [[np.nan, np.sqrt(2.0), np.nan], [np.nan] * 3])
    assert d.counts["known"].tolist() == [[1, 2, 1], [0, 1, 0]]
    np.testing.assert_array_equal(d.applicable, [[1.0, 1.0, 1.0], [1.0, 1.0, np.nan]])


def test_an_error_counts_apart_whatever_else_the_row_holds():
    d = phase_diagram(table([(1.0, 1, 0, H, 1.0, 1.0, "ValueError: no"), (1.0, 1, 1, V, -1.0, 3.0, "")]), "x", "y", "number")
    assert d.values.tolist() == [[3.0]] and d.counts["errors"].tolist() == [[1]] and d.counts["seeds"].tolist() == [[1]]


def test_rows_in_any_order():
    rows, order = hand_made(), np.random.default_rng(0).permutation(9)
    for quantity in ("claim", "number"):
        assert phase_diagram(rows.rows(order), "x", "y", quantity).to_dict() == phase_diagram(rows, "x", "y", quantity).to_dict()


def test_other_variables_must_have_one_value():
    rows = [(1.0, 1, s, 0, H, 1.0, 1.0, "") for s in (5, 6)]
    with pytest.raises(ValueError, match=r"s has 2 values, such as 5 and 6.*table\.where\(s=5\)"):
        phase_diagram(table(rows, axes=("x", "y", "s")), "x", "y", "claim")
    d = phase_diagram(table(rows, axes=("x", "y", "s")).where(s=5), "x", "y", "claim")
    assert d.counts["seeds"].tolist() == [[1]]


def test_wrong_arguments():
    rows = hand_made()
    for arguments, message in (
        (("z", "y", "claim"), "varied variable 'z'"), (("x", "x", "claim"), "must be different"), (("x", "y", "clam"), "claim"),
        (("x", "y", "error"), "measured column"), (("x", "y", "seed"), "measured column"),
    ):
        with pytest.raises(ValueError, match=message):
            phase_diagram(rows, *arguments)
    with pytest.raises(ValueError, match="no rows"):
        phase_diagram(rows.rows(np.zeros(9, dtype=bool)), "x", "y", "claim")
    words = Table({**rows.columns, "claim": np.where(rows["claim"] == V, "maybe", rows["claim"])}, rows.axes)
    with pytest.raises(ValueError, match="'maybe'"):
        phase_diagram(words, "x", "y", "claim")
    lists = Table({**rows.columns, "number": np.zeros((9, 2))}, rows.axes)
    with pytest.raises(ValueError, match="2 numbers a cell"):
        phase_diagram(lists, "x", "y", "number")
    named = Table({**rows.columns, "x": np.array(["a", "b", "c"])[np.arange(9) % 3]}, rows.axes)
    with pytest.raises(ValueError, match="'a'.*needs numbers"):
        phase_diagram(named, "x", "y", "number")


# -- derived axes -------------------------------------------------------------------------------------------------


def test_an_axis_made_of_several_variables():
    ratios = (0.1, 0.3, 0.7)
    rows = [(r * y * 1.1, y, 0, H, 1.0, r, "") for y in (3, 7) for r in ratios]
    ratio = Axis("x/y", "ratio", ("x", "y"), lambda p: p["x"] / (p["y"] * 1.1))
    d = phase_diagram(table(rows), ratio, "y", "number")
    assert d.x.tolist() == list(ratios) and (d.x_name, d.x_label, d.y_label) == ("x/y", "ratio", "y")  # rounding does not split columns
    assert d.values.tolist() == [list(ratios)] * 2
    assert phase_diagram(table(rows), "x", "y", "number").values.shape == (2, 6)


def test_two_points_on_one_place_are_refused():
    rows = [(x, 1, 0, H, 1.0, 1.0, "") for x in (1.0, 2.0)]
    with pytest.raises(ValueError, match=r"same place of half and y: \(x=1\.0, y=1\) and \(x=2\.0, y=1\)"):
        phase_diagram(table(rows), Axis("half", of=("x",), value=lambda p: p["x"] // 4), "y", "number")


def test_an_axis_of_the_experiments_own_numbers():
    run = sweep(signal_noise.experiment("tiny"), {"sigma_0": [0.01, 0.02], "m_k": [2, 4]}, seeds=1, measure="t_loss", workers=1)
    start = Axis("start", of=("sigma_0",), value=lambda p: p["sigma_0"] / p["lr"])
    assert phase_diagram(run, start, "m_k", "t_loss").x.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="start needs 'lr'"):
        phase_diagram(Table(run.columns, run.axes), start, "m_k", "t_loss")  # a table that names no experiment


def test_wrong_axes():
    with pytest.raises(ValueError, match="needs value="):
        Axis("ratio", of=("x", "y"))
    with pytest.raises(ValueError, match="sequence of names"):
        Axis("ratio", of="x", value=lambda p: p["x"])
    with pytest.raises(ValueError, match="not finite"):
        phase_diagram(hand_made(), Axis("x", value=lambda p: np.inf), "y", "number")


# -- where it begins to hold --------------------------------------------------------------------------------------


def test_boundary_is_interpolated_in_the_logarithm():
    d = of_fractions([1, 10, 100], [1, 2, 3], [[0, 0.25, 0.75], [0, 1, 0], [0, 0.4, 0.4]])
    np.testing.assert_allclose(d.boundary(), [10 * np.sqrt(10), np.sqrt(10), np.nan])
    np.testing.assert_allclose(d.boundary(0.25), [10.0, 10**0.25, 10 ** (0.25 / 0.4)])
    np.testing.assert_allclose(d.boundary(descending=True), [100.0, 10 * np.sqrt(10), np.nan])


def test_boundary_is_linear_where_x_is_not_positive():
    np.testing.assert_allclose(of_fractions([0, 10], [1], [[0, 1]]).boundary(), [5.0])


def test_boundary_at_the_edge_and_next_to_the_unknown():
    d = of_fractions([1, 2, 4], [1, 2, 3, 4], [[1, 1, 0], [0, np.nan, 1], [np.nan, 0.5, 1], [np.nan] * 3])
    np.testing.assert_array_equal(d.boundary(), [1.0, 4.0, 2.0, np.nan])
    with pytest.raises(ValueError, match="must be finite"):
        d.boundary(np.nan)


def test_the_level_itself_is_reached():
    np.testing.assert_allclose(of_fractions([1, 10, 100], [1], [[0, 0.5, 0.5]]).boundary(), [10.0])


def test_what_few_seeds_say_is_no_boundary():
    rows = [(x, 1, seed, H if good else V, 1.0 if good else -1.0, 0.0, "") for x, good in ((1.0, False), (10.0, True)) for seed in range(3)]
    assert phase_diagram(table(rows), "x", "y", "claim").boundary().tolist() == pytest.approx([np.sqrt(10)])
    undecided = [(*row[:3], U, np.nan, 0.0, "") if row[0] == 1.0 and row[2] > 0 else row for row in rows]
    assert phase_diagram(table(undecided), "x", "y", "claim").boundary().tolist() == [10.0]


# -- out ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", ["claim", "number"])
def test_json_and_csv(quantity):
    d = phase_diagram(hand_made(), "x", "y", quantity)
    told = json.loads(d.to_json())
    assert told == d.to_dict() and told["x"] == {"name": "x", "label": "x", "values": [1.0, 2.0, 4.0]}
    np.testing.assert_array_equal(np.array(told["values"], dtype=float), d.values)
    assert told["counts"]["errors"] == [[0, 0, 0], [0, 1, 0]]
    lines = list(csv.DictReader(io.StringIO(d.to_csv())))
    assert len(lines) == 6 and lines[5][quantity] == "" and lines[5]["seeds"] == "0"
    back = np.array([float(line[quantity] or "nan") for line in lines]).reshape(2, 3)
    np.testing.assert_array_equal(back, d.values)
    assert [line["x"] for line in lines[:3]] == ["1.0", "2.0", "4.0"]


# -- diagrams that run --------------------------------------------------------------------------------------------


def tiny(**changes):
    """Diagram of four points and two measures."""
    values = {
        "name": "tiny", "doc": "a test", "experiment": signal_noise.experiment("tiny"), "x": Axis("lr"), "y": Axis("m_k"),
        "over": {"lr": [0.01, 0.02], "m_k": [2, 4]}, "shown": ("value_signal_linear", "train_loss@5"), "seeds": 2, "steps": 8,
    }
    return Diagram(**{**values, **changes})


def test_a_diagram_runs(tmp_path):
    found = tiny().run(workers=1, out=tmp_path / "run")
    assert list(found) == ["value_signal_linear", "train_loss@5"]
    assert found["value_signal_linear"].values.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert found["train_loss@5"].counts["known"].tolist() == [[2, 2], [2, 2]]
    assert (np.diff(found["train_loss@5"].values, axis=1) < 0).all()  # twice the rate: further down after five steps
    again = tiny().run(workers=1, over={"lr": [0.01], "m_k": [2, 4]}, seeds=1)
    assert again["train_loss@5"].values.shape == (2, 1)


def test_a_diagram_names_what_it_does_not_vary():
    with pytest.raises(ValueError, match="diagram 'tiny'.*sigma_0"):
        tiny(x=Axis("sigma_0"))
