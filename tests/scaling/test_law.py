"""The report of a fit, as text, data and table."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from dynsim.scaling import fit_power_law
from tests.scaling.tables import LR, M_K, grid, noisy


def test_report_shows_theory_beside_the_fit():
    table = grid(3, lr=[1.0, 2.0, 4.0])
    table["T"] = 8.0 / table["lr"] * np.array([1.0, 1.25, 0.8])[table["seed"]] * np.where(
        (table["seed"] == 1) & (table["lr"] == 4.0), 1.1, 1.0)
    text = str(fit_power_law(table, "T", "lr", theory={"lr": -1}))
    lines = text.splitlines()
    # the slopes are -1, -1 + log(1.1) / (2 log 2) and -1: mean -0.97708, standard error 0.02292, t_2 = 4.3027
    assert lines[0] == "T ~ lr^-0.977   (95 % intervals: Student t over 3 seeds)"
    assert lines[2].split() == ["lr", "-0.9771", "[-1.0757,", "-0.8785]", "-1", "inside", "3", "values,", "factor", "4"]
    assert "3 points, 3 seeds, 9 cells" in text and "local slopes in lr (theory -1)" in text and "1 .. 2" in text
    outside = fit_power_law(table, "T", "lr", theory={"lr": -2})
    assert outside["lr"].inside is False and " -2  outside" in str(outside)
    with pytest.raises(KeyError, match="no exponent of 'm_k'; fitted: lr"):
        outside["m_k"]


def test_report_as_data():
    table = noisy(lr=LR, m_k=M_K)
    table["T"][0] = np.nan
    law = fit_power_law(table, "T", ("lr", "m_k"), theory={"m_k": 0})
    data = json.loads(json.dumps(law.to_dict(), allow_nan=False))
    assert data["kind"] == "dynsim power law" and data["schema"] == 1
    assert data["exponents"][1] == {"name": "m_k", "value": law["m_k"].value, "low": law["m_k"].low, "high": law["m_k"].high,
                                    "theory": 0.0, "values": 3, "factor": 8.0}
    assert data["exponents"][0]["theory"] is None and data["censored"][0]["horizon"] is None
    assert [s["low_x"] for s in data["local"]["lr"]] == [1e-4, 2e-4, 5e-4]
    rows = list(csv.DictReader(io.StringIO(law.to_csv())))
    assert [row["kind"] for row in rows] == ["exponent"] * 2 + ["prefactor"] + ["local slope"] * 5 + ["not reached"]
    assert float(rows[1]["value"]) == law["m_k"].value and rows[0]["theory"] == "" and rows[1]["theory"] == "0.0"
    assert law._repr_html_().count("<tr>") == 1 + len(rows) and "Student t over 8 seeds" in law._repr_html_()


def test_html_escapes_names():
    table = {**noisy(lr=LR)}
    table["<b>"] = table.pop("lr")
    assert "<b>" not in fit_power_law(table, "T", "<b>")._repr_html_()
