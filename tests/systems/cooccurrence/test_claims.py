"""Every claim of the registry: decided, controlled, attributed; and broken by wrong data, wrong weights and wrong gradients."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from dynsim import GradientDescent, GradientFlow, check, deciding, simulate
from dynsim.recording import log_times
from dynsim.systems import cooccurrence
from dynsim.systems.cooccurrence import CLAIMS, OBSERVABLES, Setting, universal
from dynsim.systems.cooccurrence.claims import measuring
from dynsim.systems.cooccurrence.claims.assumptions import SURVIVES
from dynsim.systems.cooccurrence.claims.second import star
from dynsim.systems.cooccurrence.model import BagTransformer

SETTING = Setting(n=66, L=4, m=128, m1=4)
"""The smallest at which the conditions on n, m and m1 are met; m is too small for the constants of attention."""
BASE = cooccurrence.experiment("quick").replace(setting=SETTING, until=2e3 / SETTING.m, points=80, seed=2)
WIDE = cooccurrence.experiment("quick").replace(setting=Setting(n=66, L=4, m=512, m1=8), until=3e3 / 512, points=80)
"""Wide enough for the constants of attention."""
STEPS = cooccurrence.experiment("paper").replace(
    setting=Setting(n=24, L=5, m=32, m1=8, vocabulary=30, init="kaiming_uniform", output="kaiming"), steps=400, every=20,
    record=dict.fromkeys(OBSERVABLES, 20),
)
"""Steps, repeated random tokens and another law of weights, as in the preset "paper"."""

FAIL_SMALL = {
    "d_8_level": "needs c0 c1 of some 0.003",
    "theorem_3_2_G": "a margin of training holds what is remembered of random tokens: special ones give less than 1/4 at T1",
    "f_1_random_output": "that memory grows as log tau: only n to infinity bounds it by 1",
    "theorem_3_3_random": "random scores grow as log(tau)^2 like the others: more logarithms than those of m",
    "theorem_3_3_test_loss": "a fresh sample has no memory: the losses part as a power of tau",
}
"""What fails on BASE, WIDE and "quick" alike, and why: each is a statement about larger n or smaller c0."""
APART = ("lemma_4_7_leading", "theorem_3_3_size", "theorem_3_3_separation", "other_scores")
"""Not applicable where m is too small against L."""


@cache
def run(name: str):
    chosen = {"base": BASE, "wide": WIDE, "steps": STEPS}.get(name) or cooccurrence.experiment(name)
    return chosen.run()


@cache
def verdicts(name: str, control: bool = False):
    return {v.id: v for v in check(run(name), control=control).verdicts}


@pytest.mark.parametrize("name", CLAIMS)
def test_claim_holds_where_its_conditions_do_and_its_control_does_not(name):
    verdict, broken = verdicts("base")[name], verdicts("base", control=True)[name]
    if name in (*APART, "contraction"):
        assert verdict.verdict == "not applicable" and np.isfinite(verdict.value), str(verdict)
        assert broken.deviation > broken.tolerance, str(broken)
        return
    assert verdict.verdict == ("violated" if name in FAIL_SMALL else "holds"), str(verdict)
    assert broken.verdict == "violated", str(broken)
    assert verdict.verdict == "violated" or verdict.margin >= 0


@pytest.mark.parametrize("name", ["base", "tiny", "steps"])
def test_no_control_passes(name):
    assert [str(v) for v in verdicts(name, control=True).values() if v.verdict == "holds"] == []


@pytest.mark.parametrize("name", CLAIMS)
def test_claim_says_whose_it_is_what_it_needs_and_has_a_formula(name):
    claim = CLAIMS[name]
    assert claim.id == name and claim.statement and claim.latex and claim.control
    assert claim.source.kind in ("paper", "derived")
    assert all(quantity in OBSERVABLES for quantity in claim.needs.get("run", ()))
    if claim.source.kind == "derived":
        assert "docs/derivations/cooccurrence.md, section" in claim.source.where


def test_levels_and_constants_of_statements_without_any_are_marked_as_chosen_here():
    exact = ("zG_identity", "eq_4_velocity_of_G", "gamma_identity", "eq_5_rho_grows", "theorem_3_2_scores", "theorem_3_2_gamma",
             "corollary_4_6", "theorem_3_3_signs", "theorem_3_3_accuracy", "d_8_level")  # equations, signs and a printed number
    unmarked = [id for id, c in CLAIMS.items() if c.source.kind == "paper" and "here" not in c.source.where and id not in exact]
    assert unmarked == []


def test_paper_like_run_is_judged_without_its_conditions():
    found = verdicts("steps")
    exact = ("columns_of_B", "zG_identity", "eq_4_velocity_of_G", "gamma_identity", "energy", "softmax_scale")
    assert all(found[id].verdict == "holds" for id in exact)
    assert found["conserved"].verdict == "not applicable" and found["conserved"].deviation > 1e-9
    others = [v for id, v in found.items() if "Condition 1" in " ".join(v.unmet)]
    assert len(others) > 60 and {v.verdict for v in others} == {"not applicable"}


def test_what_was_not_recorded_is_named():
    lean = cooccurrence.experiment("tiny").replace(record=("train_loss",), until=0.1).run()
    report = check(lean)
    assert "kind_margin not recorded" in report["universal_T1_by_kind"].note
    assert report["columns_of_B"].verdict == "inconclusive" and "identities" in report["columns_of_B"].note


def test_what_lies_past_the_horizon_is_inconclusive():
    report = check(BASE.replace(until=0.05, points=20).run())
    assert report["theorem_3_1_ends"].verdict == report["theorem_3_2_scores"].verdict == "inconclusive"
    assert report["lemma_4_1_scale"].verdict == "holds"


def test_verdict_says_where():
    broken = dataclasses.replace(run("base"), arrays=dict(run("base").arrays))
    rates = broken.arrays["score_rate"].copy()
    rates[70, 2, 1] *= -1.0
    broken.arrays["score_rate"] = rates
    v = check(broken)["theorem_3_2_scores"]
    assert v.verdict == "violated" and v.where == f"first at tau = {broken['tau'][70]:.4g}: 32"


# -- broken by simulation ----------------------------------------------------------------------------------------------------


def simulated(setting, y=None, seed=2, rule=None, tau=2e3, weights=None):
    """Run the model on the setting's bags with other labels or weights, as if they were the setting's."""
    drawn = cooccurrence.dense(setting, seed)
    system = cooccurrence.from_bags(drawn.bags.tokens, drawn.bags.y if y is None else y(drawn.bags), weights=weights or drawn.initial)
    system = dataclasses.replace(system, provenance={**system.provenance, "setting": setting.to_dict()})
    names = [name for name in OBSERVABLES if not name.startswith("test_")]
    until = tau / setting.m
    return simulate(system, rule or BASE.optimizer, until=until, at=log_times(until, points=60), record=names)


SMALLER = Setting(n=36, L=4, m=64, m1=4)


def test_swapped_labels_are_seen():
    """The flow is the same with G turned over, so what speaks of signs of G fails and what speaks of margins holds."""
    report = check(simulated(SMALLER, lambda bags: -bags.y))
    for id in (
        "lemma_4_1_mean", "lemma_4_1_scale", "lemma_4_1_all_positive", "lemma_4_3_left", "lemma_4_3_right",
        "lemma_4_5_left", "lemma_4_5_right", "lemma_4_5_G_ratio", "theorem_3_1_G", "theorem_3_2_G", "universal_G",
    ):
        assert report[id].verdict == "violated", str(report[id])
    for id in ("theorem_3_1_ends", "theorem_3_2_scores", "f_1_order", "conserved", "energy"):
        assert report[id].verdict == "holds", str(report[id])


WRONG_LABELS = {
    "either target": (
        lambda bags: np.where(bags.kinds == 4, -1, 1),
        ("lemma_4_1_scale", "lemma_4_2_small", "label_balance", "theorem_3_2_scores", "gamma_33_grows", "f_1_order", "theorem_3_3_signs"),
    ),
    "target 1": (
        lambda bags: np.where(np.isin(bags.kinds, (1, 2)), 1, -1),
        ("theorem_3_2_scores", "theorem_3_2_gamma", "corollary_4_6", "lemma_4_4", "lemma_4_5_G_ratio", "lemma_4_5_targets", "f_7_targets"),
    ),
    "at random": (
        lambda bags: np.random.default_rng(0).choice([-1, 1], bags.n),
        ("theorem_3_2_scores", "corollary_4_6", "lemma_4_5_common", "lemma_4_5_left", "lemma_4_7_lower", "e_2_random", "balance_end"),
    ),
}
"""Positive where ..., and claims that must notice."""


@pytest.mark.parametrize("rule", WRONG_LABELS)
def test_wrong_labels_are_seen(rule):
    label, ids = WRONG_LABELS[rule]
    report = check(simulated(SMALLER, label))
    for id in ids:
        assert report[id].verdict == "violated", str(report[id])
    assert report["conserved"].verdict == report["eq_4_velocity_of_G"].verdict == "holds"


def test_few_samples_lose_the_left_inequality():
    report = check(cooccurrence.experiment("tiny").replace(setting=Setting(n=12, L=5, m=64, m1=4), until=300.0 / 64).run())
    for id in ("lemma_4_3_left", "lemma_4_5_left"):
        v = report[id]
        assert v.verdict == "not applicable" and v.value < 1.1 and v.unmet == (SURVIVES.text,), str(v)


def test_wrong_initial_scale_is_seen():
    drawn = cooccurrence.dense(SMALLER, 2)
    report = check(simulated(SMALLER, tau=1.0, weights={**drawn.initial, "W": 2.0 * drawn.initial["W"]}))
    assert report["lemma_4_1_scale"].verdict == report["lemma_4_1_not_one_third"].verdict == "violated"
    assert report["eq_4_velocity_of_G"].verdict == "holds"


def test_loose_solver_is_seen():
    report = check(simulated(SMALLER, rule=GradientFlow(rtol=1e-3, atol=1e-5), tau=300.0))
    assert report["conserved"].verdict == "violated" and report["eq_4_velocity_of_G"].verdict == "holds"


@pytest.mark.parametrize("seed", range(3))
def test_constant_of_lemma_4_1_needs_small_outputs(seed):
    """|g - 1/2| <= F_0/4 on 2/3 of the samples moves 1/6 by a share F_0 at most: 3 % is certain only where F_0 is below it."""
    v = {}
    for c0 in (0.1, 0.003):
        setting = Setting(n=66, L=4, m=512, m1=16, c0=c0)
        system = cooccurrence.lumped(setting, GradientFlow, seed)
        run = simulate(system, GradientFlow(), until=1e-6, at=[0.0, 1e-6], record=["train_loss"])
        v[c0] = check(run)["lemma_4_1_mean"]
        assert v[c0].deviation < run.constants["F_0"] + 1e-3, str(v[c0])  # 1e-3: Gamma z against rho z / m1
    assert v[0.003].verdict == "holds", str(v[0.003])
    assert v[0.003].deviation < v[0.1].deviation


def test_steps_are_not_the_flow():
    run = cooccurrence.experiment("tiny").replace(optimizer=GradientDescent(0.05), until=None, steps=200, every=10).run()
    v = check(run)["conserved"]
    assert v.verdict == "not applicable" and v.deviation > 1e-6


def test_wrong_gradient_is_seen(monkeypatch):
    write = BagTransformer._write

    def wrong(self, params, cache, out, sign, speed):
        write(self, params, cache, out, sign, speed)
        out.W_V *= 1.001

    monkeypatch.setattr(BagTransformer, "_write", wrong)
    report = check(cooccurrence.experiment("tiny").replace(until=2.0, points=10).run())
    for id in ("eq_4_velocity_of_G", "gamma_identity", "energy", "conserved"):
        assert report[id].verdict == "violated", str(report[id])
    assert report["columns_of_B"].verdict == "holds"


def test_frozen_attention_is_another_model():
    found = check(cooccurrence.experiment("tiny").replace(setting=SETTING.replace(attention=False), until=0.5).run())
    for id in ("theorem_3_2_scores", "theorem_3_3_signs", "theorem_3_3_size", "lemma_4_7_leading"):
        assert found[id].verdict != "holds"
    assert found["theorem_3_1_ends"].verdict == "holds" and found["energy"].verdict == "holds"


# -- the forms ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form, args, inside, outside", [
    (deciding.at_most, (2.0,), 1.5, 2.5), (deciding.at_least, (0.25,), 0.3, 0.2), (deciding.at_least, (0.25,), 30.0, -3.0),
    (measuring.positive, (), 0.1, -0.1), (measuring.between, (0.1, 0.7), 0.69, 0.71), (deciding.close, (2.0, 0.1), 2.1, 2.3),
])
def test_forms_decide_at_their_levels(form, args, inside, outside):
    good, bad = form(inside, *args), form(outside, *args)
    assert good.deviation <= good.tolerance and bad.deviation > bad.tolerance


def test_margins_of_bounds_are_relative_to_the_bound():
    high, low = deciding.at_most(1.5, 2.0), deciding.at_least(0.3, 0.25)
    assert np.isclose((high.tolerance - high.deviation) / high.tolerance, 1 - 1.5 / 2.0)
    assert np.isclose((low.tolerance - low.deviation) / low.tolerance, 0.3 / 0.25 - 1)


def test_R_moves_towards_its_star_in_the_limit_of_many_samples_only():
    def share(n):
        flow = universal(n, 5, 3e4)
        R, R_star = star(flow["kind_pull"], np.array([3, 1, 1, 1]) / 6)
        late = flow.at > 4
        return (np.sign(np.gradient(R, flow.at)) == np.sign(R_star - R))[late].mean(), R_star[late]

    toward, R_star = share(np.inf)
    assert toward == 1.0 and 1.5 < R_star.min() < R_star.max() < 1.532
    assert share(600)[0] < 0.4


# -- larger ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_default_preset():
    found = verdicts("quick")
    expected = {**FAIL_SMALL, "lemma_4_1_mean": "g is 1/2 only up to F_0/4, and F_0 = 0.26"}
    assert {id for id, v in found.items() if v.verdict == "violated"} == set(expected)
    assert {id for id, v in found.items() if v.verdict == "not applicable"} == {*APART, "contraction"}
    assert [id for id, v in verdicts("quick", control=True).items() if v.verdict == "holds"] == []


@pytest.mark.slow
def test_constants_of_attention_at_a_width_that_resolves_them():
    found = verdicts("wide")
    expected = {**FAIL_SMALL, "lemma_4_7_leading": "10.3 % against 10 %: keys' and queries' norms scatter by sqrt(2/m) = 6 %"}
    assert {id for id, v in found.items() if v.verdict == "violated"} == set(expected)
    assert all(verdicts("wide", control=True)[id].verdict == "violated" for id in APART)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_theory_preset(seed):
    """The numbers of a run at the size that the paper's conditions ask for.

    The constant 1/6 of Lemma 4.1 is there within 3 % on seed 0 only (5.0 % and 3.1 % on the others): outputs at the start move it, by a
    share F_0 at most, and F_0 is 0.3. See `test_constant_of_lemma_4_1_needs_small_outputs`.
    """
    r = cooccurrence.experiment("theory").replace(seed=seed).run()
    found = {v.id: v for v in check(r).verdicts}
    rates, setting = r.constants["neuron_rates"][:, :2], cooccurrence.preset("theory")
    rho_0 = float(r.constants["rho_0"])
    per_neuron = rates.mean() / ((setting.sigma_0**2 + setting.sigma_1**2) * setting.m) / (rho_0 / (setting.c1**2 * setting.m))
    assert abs(6 * per_neuron - 1) < (0.03 if seed == 0 else float(r.constants["F_0"]))
    assert abs(-r["G_rate"][-1, 2] / r["G_rate"][-1, :2].max() - 1.4745) < 0.01
    for id in ("theorem_3_2_scores", "theorem_3_2_gamma", "corollary_4_6", "gamma_33_grows", "f_1_order", "theorem_3_3_signs"):
        assert found[id].verdict == "holds" and found[id].value > 0, str(found[id])
    assert found["theorem_3_3_size"].verdict == "holds", str(found["theorem_3_3_size"])
