"""Studies: their plans can be made, their measures yield what claims read, and small versions of them run and are judged."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import check
from dynsim.sweep.design import as_design
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.studies import RANDOM

from ...helpers import same_bits

PLANS = {entry: (name, plan) for name, study in ak.STUDIES.items() for entry, plan in study.plans.items()}
BOTH = ("softmax", "gaussian")


def points(plan):
    design = as_design(plan.over)
    return [design[i] for i in range(len(design))]


def columns(plan):
    return {name for key in plan.measure for measure in ak.MEASURES[key] for name in measure.columns}


# -- as they are planned ---------------------------------------------------------------------------------------------------


def test_entries_have_one_study_each():
    assert len(PLANS) == sum(len(study.plans) for study in ak.STUDIES.values())
    for study in ak.STUDIES.values():
        assert study.title and all(plan.doc for plan in study.plans.values())


@pytest.mark.parametrize("entry", PLANS)
def test_the_experiment_can_be_varied_to_every_point(entry):
    plan = PLANS[entry][1]
    for point in points(plan):
        assert set(point) <= set(plan.experiment.variables)
        varied = plan.experiment.vary(point)
        own = {**varied.setting.to_dict(), "lr": varied.optimizer.lr, "steps": varied.steps}
        assert {name: own[name] for name in point} == point
        assert varied.setting.kernel in BOTH, "one kernel a run: a measure is a mean over kernels"


@pytest.mark.parametrize("entry", PLANS)
def test_both_kernels_are_run_at_the_same_points(entry):
    """But for the rates of sentences, which each kernel has of its own, as many of each and 0.1 among both."""
    every = points(PLANS[entry][1])
    at = {kernel: [{**point, "kernel": None} for point in every if point["kernel"] == kernel] for kernel in BOTH}
    if entry == "text":
        assert all(0.1 in {point["lr"] for point in own} and len(own) == 10 for own in at.values())
        return
    assert at["softmax"] == at["gaussian"] and len(at["softmax"]) * 2 == len(every)


def test_every_claim_finds_its_columns_in_one_study():
    for claim in ak.SWEEP_CLAIMS.values():
        assert len(claim.needs) == 1, "evidence of one sweep"
        for entry, names in claim.needs.items():
            plan = PLANS[entry][1]
            assert set(names) <= columns(plan) | set(points(plan)[0]) | {"seed", "steps"}, claim.id
    read = {name for claim in ak.SWEEP_CLAIMS.values() for name in claim.needs}
    assert read == set(PLANS), "no sweep is made for nothing"


@pytest.mark.parametrize("entry", PLANS)
def test_means_over_seeds_have_seeds_enough(entry):
    """Intervals need three; exact statements are made of three draws or more."""
    assert PLANS[entry][1].seeds >= 3


def test_targets_and_floors_are_of_the_settings_that_claims_speak_of():
    rank = PLANS["rank"][1]
    assert rank.experiment.setting.N * rank.experiment.setting.n == 20 and len(points(rank)) == 12 * len(BOTH)
    for entry in ("random", "teacher"):
        plan = PLANS[entry][1]
        for point in points(plan):
            s = plan.experiment.vary(point).setting
            assert (s.N, s.d, s.D, s.trained, s.tokens) == (4, 8, 4 * s.n, "Q", "orthonormal")
            assert s.targets == {"random": "normal", "teacher": "teacher"}[entry]
        assert [dict(t) for t in {tuple((k, p[k]) for k in ("H", "n", "d_o")): None for p in points(plan)}] == list(RANDOM)
    threshold = PLANS["threshold"][1].experiment.setting
    found = [threshold.H * D / (threshold.N * threshold.n) for D in (5, 10, 24)]
    assert found == [0.5, 1.0, 2.4] and threshold.trained == "QKV"
    for point in points(PLANS["floor"][1]):
        s = PLANS["floor"][1].experiment.vary(point).setting
        assert s.paired and s.d_o == s.n and point["lr"] * point["v_scale"] ** 2 == pytest.approx(5.12)
    for point in points(PLANS["jacobian"][1]):
        s = PLANS["jacobian"][1].experiment.vary(point).setting
        assert s.H == 1 and s.d_o == s.n <= s.d
    assert [PLANS[entry][1].experiment.setting.layers for entry in ("path", "one_layer")] == [2, 1]


def test_kernels_of_a_seed_start_alike():
    """What makes a pair of a pair of runs."""
    for entry in ("random", "floor", "text", "landscape"):
        experiment, changes = PLANS[entry][1].experiment.replace(seed=3), TINY[entry][0]
        starts = [experiment.vary({**changes, "kernel": kernel}).build().start for kernel in BOTH]
        assert same_bits(*starts), entry


# -- small versions --------------------------------------------------------------------------------------------------------

CLASSES = {"D": 4, "d": 2, "hidden": 3, "samples": 6, "test": 4, "batch": 2}
TINY = {
    "rank": ({}, [{"H": 2, "D": 3}, {"H": 2, "D": 20}]),
    "scale": ({"n": 3}, [{"qk_scale": 0.01, "tied": False}, {"qk_scale": 1.0, "tied": True}]),
    "slopes": ({"n": 2, "D": 3}, [{"qk_scale": 0.3}]), "threshold": ({"N": 2, "n": 2, "d": 2}, [{"D": 1}, {"D": 4}]),
    "jacobian": ({}, [{"N": 1, "n": n, "d_o": n, "D": n, "H": 1} for n in (1, 3)]), "floor": ({}, [{"v_scale": 16.0, "lr": 0.02}]),
    "random": ({}, [{"H": 1, "n": 2, "d_o": 4, "D": 8}, {"H": 16, "n": 4, "d_o": 1, "D": 16}]),
    "teacher": ({}, [{"H": 1, "n": 2, "d_o": 4, "D": 8}]), "text": (CLASSES, [{"lr": 0.1, "steps": 3}, {"lr": 1e9, "steps": 9}]),
    "path": ({**CLASSES, "grid": 4}, [{"lr": 2e-3}]), "one_layer": ({**CLASSES, "grid": 4}, [{"steps": 2}, {"steps": 3}]),
    "landscape": ({**CLASSES, "samples": 3, "batch": 0, "pretrained": 2, "pretrain_batch": 2}, [{}]),
}
"""Changes of the setting, and points, of which every one is run with both kernels."""


def tiny(name):
    """Return a study with small settings, a point or two, and few steps."""
    plans = {}
    for entry, plan in ak.STUDIES[name].plans.items():
        changes, few = TINY[entry]
        experiment = plan.experiment.replace(setting=plan.experiment.setting.replace(**changes), steps=min(plan.experiment.steps, 4))
        over = [{**point, "kernel": kernel} for point in few for kernel in BOTH]
        assert set(over[0]) == set(points(plan)[0]), "the variables of the plan"
        plans[entry] = replace(plan, experiment=experiment, over=over, seeds=2)
    return replace(ak.STUDIES[name], plans=plans)


EXACT = {"rank_in_every_setting", "floor_exactly_where_short", "gaussian_slope_bounded", "jacobian_ranks", "pairs_never_below_floor"}
"""Claims that small versions decide: they hold whatever the size and the horizon."""


@pytest.mark.parametrize("name", ak.STUDIES)
def test_a_small_version_runs_and_is_judged(name):
    evidence = tiny(name).run(workers=1)
    assert set(evidence) == set(ak.STUDIES[name].plans)
    for entry, table in evidence.items():
        plan = ak.STUDIES[name].plans[entry]
        assert table.cells == 4 * len(TINY[entry][1]) and set(table.measured) == columns(plan)
        failed = table["error"] != ""
        assert failed.any() == (entry == "text") and (not failed.any() or table["lr"][failed].min() == 1e9), table.errors
        read = {column for claim in ak.SWEEP_CLAIMS.values() for column in claim.needs.get(entry, ()) if column in columns(plan)}
        for column in read:
            assert np.isfinite(table[column][~failed]).all() and np.isnan(table[column][failed]).all(), column
    for control in (False, True):
        report = check(evidence, control=control)
        about = {claim.id for claim in ak.SWEEP_CLAIMS.values() if set(claim.needs) <= set(evidence)}
        assert {v.id for v in report.verdicts} == about
    verdicts = {v.id: v.verdict for v in check(evidence).verdicts}
    assert {id: verdicts[id] for id in EXACT & set(verdicts)} == dict.fromkeys(EXACT & set(verdicts), "holds")


def test_only_small_versions_are_exempt():
    assert set(TINY) == set(PLANS) and set(ak.SWEEP_CLAIMS) >= EXACT


def test_a_part_of_a_study_is_judged_by_its_own_claims():
    study = tiny("queries")
    table = study.plans["jacobian"].run(workers=1)
    report = check({"jacobian": table})
    assert [v.id for v in report.verdicts] == ["jacobian_ranks"] and report["jacobian_ranks"].verdict == "holds"
    whole = study.run(workers=1, done={"jacobian": table})
    assert whole["jacobian"] is table and set(whole) == set(study.plans)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["rank", "scale", "slopes", "jacobian"])
def test_sweeps_of_starts_as_they_are_planned(entry):
    """Those without steps take seconds: every claim about them holds, and none on its control."""
    evidence = {entry: PLANS[entry][1].run(workers=1)}
    report, controls = check(evidence), check(evidence, control=True)
    assert report.counts["holds"] == len(report.verdicts) > 0, str(report)
    assert controls.counts["violated"] == len(controls.verdicts) == len(report.verdicts), str(controls)
