"""Studies: their plans can be made, their measures yield what claims read, and small versions of them run."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest

from dynsim.measures import as_measures
from dynsim.optimizers import describe
from dynsim.sweep.design import as_design
from dynsim.systems import gradient_heterogeneity as gh
from dynsim.systems.gradient_heterogeneity.measures import LogNormal, Noise
from dynsim.systems.gradient_heterogeneity.studies import HEAD_RATES, NORMS, RATES, RULES, STARTS, TRIED

PLANS = {f"{name}.{entry}": plan for name, study in gh.STUDIES.items() for entry, plan in study.plans.items()}


def points(plan):
    design = as_design(plan.over)
    return [design[i] for i in range(len(design))]


def measured(plan):
    """Return the columns that the measures of a plan yield."""
    return [column for measure in as_measures(plan.measure, "gradient_heterogeneity") for column in measure.columns]


def own(experiment):
    """Return what an experiment has under the names of its variables; of a rate with a schedule its peak."""
    rule = describe(experiment.optimizer)
    lr = rule["lr"]["peak"] if isinstance(rule["lr"], dict) else rule["lr"]
    return {**rule, **experiment.setting.to_dict(), "lr": lr, "steps": experiment.steps}


# -- as they are planned ---------------------------------------------------------------------------------------------------


def test_studies_are_described():
    for name, study in gh.STUDIES.items():
        assert study.title and study.plans and name not in gh.PRESETS, "one command takes the names of both"
        assert all(plan.doc and plan.seeds >= 1 and plan.experiment.system == "gradient_heterogeneity" for plan in study.plans.values())
        assert all(gh.PRESETS[label] == experiment for label, experiment in study.shown.items())


def test_entries_of_one_name_are_told_apart():
    """Claims name entries, not studies: those of one name in two studies measure different things."""
    for name, plan in PLANS.items():
        for other, beside in PLANS.items():
            if name != other and name.split(".")[1] == other.split(".")[1]:
                assert not set(measured(plan)) & set(measured(beside)), (name, other)


@pytest.mark.parametrize("name", PLANS)
def test_the_experiment_can_be_varied_to_every_point(name):
    plan = PLANS[name]
    every = points(plan)
    assert len({tuple(point.items()) for point in every}) == len(every), "none twice"
    for point in every:
        assert set(point) <= set(plan.experiment.variables) and set(point) == set(every[0])
        varied = plan.experiment.vary(point)
        rest = {key: value for key, value in point.items() if key != "optimizer"}
        assert {key: own(varied)[key] for key in rest} == rest
        if "optimizer" in point:
            rule, _, momentum = point["optimizer"].partition(":")
            assert own(varied)["rule"] == rule and own(varied).get("momentum", 0.0) == float(momentum or 0.0)
        assert ("clip" in own(varied)) == ("clip" in own(plan.experiment) and point.get("optimizer") != "signgd"), "clips as the plan does"
        assert ("peak" in str(describe(varied.optimizer)["lr"])) == ("peak" in str(describe(plan.experiment.optimizer)["lr"]))


@pytest.mark.parametrize("name", PLANS)
def test_columns_have_one_meaning_each(name):
    plan = PLANS[name]
    columns = measured(plan)
    assert columns and len(set(columns)) == len(columns)
    assert not set(columns) & {*plan.experiment.variables, "seed", "error"}, "those of what is varied"


def test_every_claim_finds_its_columns():
    for claim in gh.SWEEP_CLAIMS.values():
        for entry, names in claim.needs.items():
            plans = [plan for name, plan in PLANS.items() if name.split(".")[1] == entry]
            assert any(set(names) <= {*measured(plan), *points(plan)[0], "seed", "steps"} for plan in plans), (claim.id, entry)


def test_rules_and_rates():
    assert set(TRIED) == {*RULES, "rmsprop"} >= set(HEAD_RATES)
    for tried in (*TRIED.values(), *HEAD_RATES.values()):
        steps = np.array(tried[1:]) / np.array(tried[:-1])
        assert len(tried) >= 3 and (steps > 2.0).all() and (steps < 4.0).all(), "a factor of about three apart"
    for norm in NORMS:
        assert set(RATES[norm]) == set(TRIED) and all(set(rates) <= set(TRIED[rule]) for rule, rates in RATES[norm].items())
        found = {(p["optimizer"], p["lr"]) for p in points(PLANS["layernorm.training"]) if p["norm"] == norm}
        assert found == {(rule, lr) for rule, rates in RATES[norm].items() for lr in rates}
    target = points(PLANS["quadratic.target"])
    assert {(p["optimizer"], p["initial"]) for p in target} == {(rule, initial) for rule in RULES for initial in STARTS}
    for name in ("rates.tuned", "rates.good_start", "rates.deep"):
        every = points(PLANS[name])
        post, pre = ({(p["optimizer"], p["lr"]) for p in every if p["norm"] == norm} for norm in NORMS)
        assert post == pre == {(rule, lr) for rule, rates in TRIED.items() for lr in rates} and len(every) == 2 * len(post), name


def test_starts_without_steps_where_nothing_is_trained():
    trains = {name for name, plan in PLANS.items() if plan.experiment.steps}
    studies = {"rates", "many_classes", "head"}
    assert trains == {name for name in PLANS if name.split(".")[0] in studies} | {"layernorm.training"}


# -- small versions --------------------------------------------------------------------------------------------------------

AT_MOST = {
    "blocks": 3, "size": 2, "size_max": 3, "vocab": 6, "length": 4, "classes": 2, "d": 4, "heads": 2, "width": 3, "layers": 1,
    "samples": 16, "batch": 3, "pretrained": 2, "C": 6, "k": 30.0, "eps": 0.5, "most": 4, "repeats": 2, "steps": 3,
}
"""Largest values of fields of settings and of measures; a transformer of these sizes has some 170 parameters."""


def small(value):
    """Return a setting, or a measure, whose sizes are at most those above; a law needs more blocks, data with a minimum more samples."""
    most = AT_MOST | {LogNormal: {"blocks": 100}, gh.Logistic: {"samples": 300}}.get(type(value), {})
    own = {field.name: getattr(value, field.name) for field in fields(value)}
    return replace(value, **{name: min(x, most[name]) for name, x in own.items() if name in most and not isinstance(x, str)})


def ends(plan):
    """Return the first and the last point of a plan, with small values; one if that makes them the same."""
    found = [{name: min(x, AT_MOST.get(name, x)) if not isinstance(x, str) else x for name, x in points(plan)[i].items()} for i in (0, -1)]
    return found[: 1 + (found[0] != found[1])]


@cache
def tiny(name):
    """Return a study with small settings, a point or two, and few steps."""
    plans = {}
    for entry, plan in gh.STUDIES[name].plans.items():
        experiment = plan.experiment.replace(setting=small(plan.experiment.setting), steps=min(plan.experiment.steps, 3))
        measures = tuple(
            small(measure) if type(measure).__module__.startswith("dynsim.systems") else measure
            for measure in as_measures(plan.measure, "gradient_heterogeneity")
        )
        plans[entry] = replace(plan, experiment=experiment, over=ends(plan), seeds=1, measure=measures)
    return replace(gh.STUDIES[name], plans=plans)


MAY_BE_MISSING = {"drift_predicted", "norm_predicted", "steps_to_target", "factor", "edge", "correlation", "R_exact", "pretrained_loss",
                  "pretrained_accuracy"}
"""Numbers that do not exist at some points, or need more steps than a small version has; those with a prefix too."""


@pytest.mark.parametrize("name", gh.STUDIES)
def test_a_small_version_runs(name):
    study = tiny(name)
    evidence = study.run(workers=1)
    assert list(evidence) == list(gh.STUDIES[name].plans)
    for entry, table in evidence.items():
        plan = gh.STUDIES[name].plans[entry]
        assert table.errors == [] and table.cells == len(ends(plan)) and set(table.measured) == set(measured(plan)), entry
        assert set(points(plan)[0]) <= set(table.columns)
        for column in table.measured:
            bare = column.removeprefix("all_").removeprefix("body_").removeprefix("T1_").removeprefix("T2_")
            if bare not in MAY_BE_MISSING | {"steps"}:
                assert np.isfinite(table[column]).all(), (entry, column)
    whole = study.run(workers=1, done=evidence)
    assert all(whole[entry] is table for entry, table in evidence.items()), "what is done is not done again"


def test_small_versions_keep_what_matters():
    noise = tiny("quadratic").plans["noise"]
    assert noise.experiment.setting.noise > 0 and Noise(steps=3, repeats=2) in noise.measure
    assert {point["norm"] for point in ends(PLANS["finetuning.stages"])} == set(NORMS)
    assert {point["pretrained"] for point in ends(PLANS["finetuning.stages"])} == {0, 2}
