"""Claims about sweeps: they hold on tables that obey them, fail on broken ones, and are decided on the real theorem (slow)."""

import math
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from dynsim import check, sweep
from dynsim.claims import Inconclusive
from dynsim.registry import SYSTEMS
from dynsim.scaling import fit_power_law
from dynsim.sweep import Table
from dynsim.sweep.table import assemble
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.claims import sweeps
from dynsim.systems.signal_noise.claims.sweeps import THEOREM, fitted
from dynsim.systems.signal_noise.predictions import LEVELS
from dynsim.systems.signal_noise.studies.theorem import star

PLANS = signal_noise.STUDIES["theorem"].plans


def obeying(name, seeds=6):
    """Return the table of a plan as the theory would have it: closed forms, and a little noise from seed to seed."""
    plan, rng = PLANS[name], np.random.default_rng(1)
    about = {"experiment": plan.experiment.to_dict(), "design": {"kind": "list", "points": plan.over}, "seeds": list(range(seeds)),
        "columns": {}}
    empty = assemble(about, [{"cell": cell, "error": "", "steps": 9} for cell in range(len(plan.over) * seeds)])
    columns = dict(empty.columns)
    for cell in range(empty.cells):
        one = plan.experiment.vary({key: columns[key][cell].item() for key in empty.axes})
        theory = signal_noise.predict(one.setting, lr=one.optimizer.lr)
        noise, s = 1 + 0.002 * rng.standard_normal(), one.setting
        T = noise / (one.optimizer.lr * s.sigma_p * s.s) * (s.m_k / 100) ** (-4.0 / s.s)
        row = {
            "t_attn": theory.T_attn * noise, "T_attn": theory.T_attn, "T_key": theory.T_key, "kappa": theory.kappa,
            "residue": s.sigma_0 / (one.optimizer.lr * theory.T_attn), "t_loss": 4 * T, "sandwich_violations": 0.0,
            "test_loss@t_loss": math.log(2) * noise, "test_error@t_loss": 0.1,
        }  # fmt: skip
        for eps in LEVELS:
            row |= {f"t_loss_{eps:g}": -T * math.log(eps), f"t_loss_low_{eps:g}": -0.8 * T * math.log(eps),
                    f"t_loss_high_{eps:g}": -1.6 * T * math.log(eps)}  # fmt: skip
        for key, value in row.items():
            columns.setdefault(key, np.empty(empty.cells))[cell] = value
    for id in THEOREM:
        columns[id] = np.full(empty.cells, "holds")
    return Table(columns, empty.axes, about)


@pytest.fixture(scope="module")
def evidence():
    return {name: obeying(name, 32 if name == "path" else 6) for name in PLANS}


def test_all_claims_hold_on_evidence_that_obeys_them_and_none_on_its_control(evidence):
    report = check(evidence)
    assert {v.id for v in report.verdicts} == {claim.id for claim in sweeps.CLAIMS}
    assert {v.id: v.verdict for v in report.verdicts if v.verdict != "holds"} == {}
    controls = check(evidence, control=True)
    assert {v.id for v in controls.verdicts} == {claim.id for claim in sweeps.CLAIMS}  # every claim has one
    assert {v.id: v.verdict for v in controls.verdicts if v.verdict != "violated"} == {}


def test_claims_without_evidence_are_left_out(evidence):
    report = check({"sweep": evidence["sweep"]})
    assert {"theorem_3_2_probability", "t_loss_exponents_sharpen"}.isdisjoint(v.id for v in report.verdicts) and len(report.verdicts) == 15
    run = signal_noise.experiment("tiny").run()
    both = check({"run": run, "sweep": evidence["sweep"]})
    assert len(both.verdicts) == 15 + len(signal_noise.CLAIMS)


def changed(table, **columns):
    return Table({**table.columns, **columns}, table.axes, table.about)


def test_outside_the_regime_exponents_are_not_applicable_and_the_number_is_shown(evidence):
    table = evidence["sweep"]
    far = changed(table, residue=np.where(table["m_k"] == 12, 0.021, table["residue"]))
    report = check({"sweep": far})
    verdict = report["t_attn_exponent_m_k"]
    assert verdict.verdict == "not applicable" and verdict.value == pytest.approx(-0.5, abs=0.03) and "0.021" in verdict.where
    assert report["t_attn_exponent_lr"].verdict == "holds"  # that arm has no such point
    assert report["t_attn_constant"].verdict == "holds"  # points outside are not its points
    blunt = changed(table, T_key=np.full(table.cells, 4.0))
    assert check({"sweep": blunt})["t_attn_constant"].verdict == "inconclusive"
    strong = changed(table, mu_norm=table["mu_norm"] * 1000.0)
    assert check({"sweep": strong})["t_loss_exponent_mu_norm"].verdict == "not applicable"


def test_a_narrow_range_or_one_seed_decides_nothing(evidence):
    table = evidence["sweep"]
    narrow = table.rows((table["lr"] == 2e-6) | (table["lr"] == 4e-6))
    assert "factor of 2 only" in check({"sweep": narrow})["t_attn_exponent_lr"].note
    single = table.rows(table["seed"] == 0)
    assert "one seed" in check({"sweep": single})["t_attn_exponent_lr"].note


def test_one_violated_sandwich_in_all_runs_violates_the_claim(evidence):
    table = evidence["sweep"]
    once = np.zeros(table.cells)
    once[7] = 1.0
    assert check({"sweep": changed(table, sandwich_violations=once)})["t_loss_sandwich"].verdict == "violated"


def test_the_probability_is_undecided_where_its_interval_contains_the_bound(evidence):
    path = evidence["path"]
    few = path.rows(path["seed"] < 4)  # 4 of 4: the Wilson interval begins at 0.51
    assert "contains the bound" in check({"path": few})["theorem_3_2_probability"].note
    failing = changed(path, theorem_3_2_attention=np.where(path["n"] == 70, "violated", "holds"))
    verdict = check({"path": failing})["theorem_3_2_probability"]
    assert verdict.verdict == "violated" and verdict.value == 0 and "n = 70: 0/32" in verdict.where


def test_no_run_is_no_evidence(evidence):
    table = evidence["sweep"]
    nothing = {name: np.full(table.cells, np.nan) for name in table if name.startswith("t_loss_") or name == "sandwich_violations"}
    failed = changed(table, error=np.full(table.cells, "ValueError: no"), **nothing)
    assert "no run reaches any" in check({"sweep": failed})["t_loss_sandwich"].note


def test_runs_that_failed_count_against_the_probability(evidence):
    path = evidence["path"]
    error = np.where((path["n"] == 40) & (path["seed"] < 20), "died", "")
    failed = changed(path, error=error, **{id: np.where(error == "", "holds", "") for id in THEOREM})
    verdict = check({"path": failed})["theorem_3_2_probability"]
    assert verdict.verdict == "violated" and "n = 40: 12/32" in verdict.where


def test_rules_that_are_varied_are_outside_the_theorem_too(evidence):
    table = evidence["sweep"]
    columns = {**table.columns, "momentum": np.where(table["seed"] == 0, 0.5, 0.0)}
    mixed = Table(columns, (*table.axes, "momentum"), table.about)
    assert {v.verdict for v in check({"sweep": mixed}).verdicts} <= {"not applicable", "inconclusive"}


def test_a_table_without_a_law_is_inconclusive(evidence):
    table = evidence["sweep"]
    assert "logarithm" in check({"sweep": changed(table, t_loss=np.zeros(table.cells))})["t_loss_exponent_lr"].note


def test_other_rules_are_outside_the_theorem(evidence):
    table = evidence["sweep"]
    rule = {"rule": "gd", "lr": 2e-6, "momentum": 0.0}
    other = Table(table.columns, table.axes, {**table.about, "experiment": {**table.about["experiment"], "optimizer": rule}})
    assert {v.verdict for v in check({"sweep": other}).verdicts} == {"not applicable"}


def shown(figure):
    """Return every text of a drawn figure."""
    figure.canvas.draw()
    return [t.get_text() for t in figure.texts] + [t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title, ax._left_title)]


def test_figures_of_the_study_carry_verdicts(evidence):
    figures = {name: shown(draw(evidence)) for name, draw in signal_noise.STUDY_FIGURES["theorem"].items()}
    assert set(figures) == {"t_attn", "t_loss", "asymptotics"}
    for quantity in ("t_attn", "t_loss"):
        assert sum(f"{quantity}_exponent_" in text and "holds" in text for text in figures[quantity]) == 6
    assert sum(text.endswith(": holds") for text in figures["asymptotics"]) == 5
    broken = changed(evidence["sweep"], t_attn=evidence["sweep"]["t_attn"] * evidence["sweep"]["m_k"] ** 0.25)
    texts = shown(signal_noise.STUDY_FIGURES["theorem"]["t_attn"]({"sweep": broken}))
    assert any("t_attn_exponent_m_k: violated" in text for text in texts)


def test_a_study_figure_says_what_is_missing(evidence):
    texts = shown(signal_noise.STUDY_FIGURES["theorem"]["asymptotics"]({"sweep": evidence["sweep"]}))
    assert sum("has no 'path'" in text for text in texts) == 1
    with pytest.raises(Inconclusive, match="no 'sweep'"):
        signal_noise.STUDY_FIGURES["theorem"]["t_attn"]({})


def test_a_star_has_its_centre_once():
    points = star({"a": 1, "b": 2}, {"a": (1, 2, 4), "b": (1, 2)})
    assert points == [{"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 4, "b": 2}, {"a": 1, "b": 1}]


def test_plans_describe_points_that_exist():
    for plan in PLANS.values():
        for point in plan.over:
            plan.experiment.vary(point)
        assert plan.doc and plan.seeds >= 8
    for point in PLANS["path"].over:
        assert point["s"] == math.isqrt(point["d"]) / point["n"] ** 2
    assert max(point["d"] for point in PLANS["growing_d"].over) == 10**12


def test_the_study_runs_and_resumes(tmp_path):
    study = signal_noise.STUDIES["theorem"]
    small = replace(study, plans={"sweep": replace(PLANS["sweep"], over=[{"m_k": 100}, {"m_k": 25}, {"m_k": 12}], measure=("t_loss",))})
    tables = small.run(out=tmp_path, seeds=2, workers=1)
    assert tables["sweep"].cells == 6
    again = small.run(out=tmp_path, seeds=2, workers=1)
    assert np.array_equal(again["sweep"]["t_loss"], tables["sweep"]["t_loss"])


# -- the real thing --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_theorem_3_2():
    """Everything the theorem says, at the theory preset and along the paper's path; 400 runs behind the exponents."""
    tables = signal_noise.STUDIES["theorem"].run()
    assert all(table.errors == [] for table in tables.values())
    report = check(tables)
    assert {v.id: (v.verdict, v.margin) for v in report.verdicts if v.verdict != "holds"} == {}
    assert tables["sweep"].cells == 400 and np.nansum(tables["sweep"]["sandwich_violations"]) == 0
    for name, theory in signal_noise.EXPONENTS["t_attn"].items():
        found = fitted(tables["sweep"], "t_attn", name)[name]
        assert found.factor >= 16 and theory - 0.03 <= found.low <= found.high <= theory + 0.03, name


@pytest.fixture
def scaled(monkeypatch):
    """A system like this one but with its logits divided by sqrt(m_k), as most transformers have them."""
    module = types.ModuleType("dynsim.systems.scaled")
    vars(module).update({name: getattr(signal_noise, name) for name in signal_noise.__all__})
    module.batches = lambda setting, rule, seeds: [
        (where, replace(system, logit_scale=setting.m_k**-0.5)) for where, system in signal_noise.batches(setting, rule, seeds)
    ]
    module.horizon = lambda setting, rule: 2 * int(setting.m_k**0.25 * signal_noise.horizon(setting, rule))
    monkeypatch.setitem(sys.modules, "dynsim.systems.scaled", module)
    monkeypatch.setitem(SYSTEMS, "scaled", "control")


@pytest.mark.slow
def test_a_wrong_exponent_is_caught(scaled):
    """Negative control: with 1/sqrt(m_k) in the logits the same code reports -1/4, and the claim of -1/2 is violated."""
    start = signal_noise.experiment("theory").replace(system="scaled")
    table = sweep(start, {"m_k": (12, 25, 50, 100, 192)}, seeds=16, measure=("t_attn", "clock"), workers=1)
    found = fit_power_law(table, "t_attn")["m_k"]
    assert abs(found.value + 0.25) < 0.01 and -0.26 < found.low < found.high < -0.24
    verdict = check({"sweep": table})["t_attn_exponent_m_k"]
    assert verdict.verdict == "violated" and verdict.margin < -5
