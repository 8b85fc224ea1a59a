"""Claims, verdicts and reports, independent of any system."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import pytest

from dynsim.claims import VERDICTS, Assumption, Claim, Inconclusive, Measured, Report, Source, judge


def claim(deviation: float, *, tolerance: float = 1.0, assumes=(), needs=None) -> Claim:
    return Claim("c", "a statement", lambda e: Measured(3.0, 2.0, deviation, tolerance, "step 7"), assumes=assumes, needs=needs or {})


@pytest.mark.parametrize(("deviation", "verdict", "margin"), [(0.0, "holds", 1.0), (1.0, "holds", 0.0), (1.5, "violated", -0.5)])
def test_verdict_and_margin_follow_the_deviation(deviation, verdict, margin):
    v = judge(claim(deviation), {})
    assert (v.verdict, v.margin, v.where) == (verdict, margin, "step 7")


def test_an_unmet_assumption_is_named_and_the_number_still_shown():
    v = judge(claim(5.0, assumes=(Assumption("met", lambda e: True), Assumption("small d", lambda e: False))), {})
    assert v.verdict == "not applicable"
    assert v.unmet == ("small d",)
    assert v.value == 3.0 and v.margin == -4.0
    assert "measured 3" in str(v) and "unmet: small d" in str(v)


def test_missing_evidence_is_inconclusive_and_says_what_to_record():
    v = judge(claim(0.0, needs={"run": ["train_loss", "test_loss"]}), {"run": {"train_loss": 1}})
    assert v.verdict == "inconclusive" and "test_loss" in v.note and "record" in v.note
    assert judge(claim(0.0, needs={"sweep": ["x"]}), {"run": {}}).verdict == "inconclusive"


def not_there(e):
    return e["run"]["steps"] > 3


def past_the_horizon(e):
    raise Inconclusive("past the horizon")


def by_zero(e):
    return 1 / e["run"]["zero"] > 0


def test_what_is_known_not_to_apply_does_not_apply_whatever_was_not_recorded():
    """Nobody is asked to record a quantity for a claim that says nothing of the run."""
    met, unmet = Assumption("n > 2", lambda e: e["run"]["n"] > 2), Assumption("n < 5", lambda e: e["run"]["n"] < 5)
    v = judge(claim(0.0, assumes=(met, unmet), needs={"run": ["test_loss"]}), {"run": {"n": 7}})
    assert (v.verdict, v.unmet, v.note) == ("not applicable", ("n < 5",), "") and math.isnan(v.value) and math.isnan(v.margin)
    assert "no number" in str(v) and "unmet: n < 5" in str(v) and "nan" not in str(v)
    both = (unmet, Assumption("n < 6", lambda e: e["run"]["n"] < 6))
    assert judge(claim(0.0, assumes=both, needs={"run": ["x"]}), {"run": {"n": 7}}).unmet == ("n < 5", "n < 6")


@pytest.mark.parametrize("unknown", [not_there, past_the_horizon, by_zero])
def test_an_assumption_that_cannot_be_told_is_not_known_to_be_unmet(unknown):
    evidence = {"run": {"n": 7, "zero": 0}}
    v = judge(claim(0.0, assumes=(Assumption("unknown", unknown),), needs={"run": ["test_loss"]}), evidence)
    assert (v.verdict, v.unmet) == ("inconclusive", ()) and "test_loss not recorded" in v.note
    v = judge(claim(0.0, assumes=(Assumption("unknown", unknown), Assumption("n < 5", lambda e: False)), needs={"run": ["x"]}), evidence)
    assert (v.verdict, v.unmet) == ("not applicable", ("n < 5",)), "what is known suffices"


def test_met_assumptions_ask_for_the_record_and_an_entry_that_is_missing_is_missing():
    met, unmet = Assumption("met", lambda e: True), Assumption("unmet", lambda e: False)
    v = judge(claim(0.0, assumes=(met,), needs={"run": ["test_loss"]}), {"run": {}})
    assert v.verdict == "inconclusive" and v.unmet == () and "record" in v.note
    v = judge(claim(0.0, assumes=(unmet,), needs={"sweep": ["x"]}), {"run": {}})
    assert v.verdict == "inconclusive" and "no entry 'sweep'" in v.note


def test_a_measure_may_say_that_it_cannot_decide():
    def measure(e):
        raise Inconclusive("past the horizon")

    v = judge(Claim("c", "s", measure), {})
    assert v.verdict == "inconclusive" and v.note == "past the horizon" and math.isnan(v.margin)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_decides_nothing(bad):
    assert judge(claim(bad), {}).verdict == "inconclusive"


@pytest.fixture
def report():
    claims = {
        "good": claim(0.5), "bad": claim(2.0), "unmet": claim(0.5, assumes=(Assumption("large n", lambda e: False),)),
        "open": Claim("c", "s", lambda e: (_ for _ in ()).throw(Inconclusive("no data"))),
    }
    return Report(tuple(judge(Claim(**{**vars(c), "id": name}), {}) for name, c in claims.items()), {"seed": 3})


def test_report_puts_first_what_needs_attention(report):
    text = str(report)
    lines = ("  violated       bad", "  inconclusive   open", "  not applicable unmet", "  holds          good")
    order = [text.index(line) for line in lines]
    assert order == sorted(order)
    assert text.splitlines()[0] == "1 violated, 1 inconclusive, 1 not applicable, 1 holds"
    assert not report.ok
    assert len(report.text(full=True)) > len(text)


def test_report_survives_json_without_nan(report):
    data = json.loads(report.to_json())
    assert data["schema"] == 1 and data["about"] == {"seed": 3}
    assert data["counts"] == dict.fromkeys(VERDICTS, 1)
    assert data["verdicts"][3]["margin"] is None  # inconclusive: NaN is no JSON


def test_report_as_csv_has_every_claim_and_number(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["claim"] for row in rows] == ["bad", "open", "unmet", "good"], "what needs attention first"
    for row in rows:
        v = report[row["claim"]]
        texts = {"verdict": v.verdict, "statement": v.statement, "where": v.where, "note": v.note, "whose": v.source}
        assert {column: row[column] for column in texts} == texts
        for column, number in (("measured", v.value), ("predicted", v.predicted), ("deviation", v.deviation), ("margin", v.margin)):
            assert row[column] == "" if math.isnan(number) else float(row[column]) == number
    assert rows[1]["margin"] == "" and rows[1]["note"] == "no data" and rows[2]["unmet"] == "large n"


def test_report_in_a_notebook(report):
    head, *rows = report._repr_html_().split("<tr>")[1:]
    assert re.findall("<th>(.*?)</th>", head) == ["verdict", "claim", "statement", "measured", "predicted", "margin", "where", "whose"]
    cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
    assert [row[:2] for row in cells] == [["violated", "bad"], ["inconclusive", "open"], ["not applicable", "unmet"], ["holds", "good"]]
    assert cells[0][3:6] == ["3", "2", "-1"] and cells[1][3:7] == ["", "", "", "no data"], "no number is an empty cell"


def test_report_as_latex(report):
    lines = report.to_latex("All claims.", "tab:claims").splitlines()
    assert lines[2:4] == [r"\caption{All claims.}", r"\label{tab:claims}"] and lines[4].startswith(r"\begin{tabular}{llrrrrl}")
    assert lines[6] == r"verdict & claim & measured & predicted & tolerance & margin & whose \\"
    assert lines[8] == r"violated & bad & 3 & 2 & 1 & $-1$ & ours: the user's own \\"
    assert lines[9] == r"inconclusive & open & -- & -- & -- & -- & ours: the user's own \\"
    assert len(lines) == 8 + len(report.verdicts) + 3
    assert Report(()).to_latex().count("\n") == 6 and Report(()).to_csv().count("\n") == 1


def test_report_is_indexed_by_claim(report):
    assert report["bad"].verdict == "violated"
    with pytest.raises(KeyError, match="good, bad"):
        report["nothing"]


def test_source_says_whose_it_is():
    assert str(Source("paper", "Lemma 1")) == "paper: Lemma 1"
    assert str(Source("derived", "page")) == "derived here: page"
