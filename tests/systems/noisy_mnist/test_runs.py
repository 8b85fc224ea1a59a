"""Runs on the real images: engines agree, a sweep stops where it says, attention is recovered from the last step."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, check, simulate
from dynsim.gradcheck import gradcheck
from dynsim.system import Inexact
from dynsim.systems import noisy_mnist
from dynsim.systems.noisy_mnist.attention import attended, trained_run
from dynsim.systems.noisy_mnist.data import CONSTRUCTIONS
from dynsim.systems.noisy_mnist.measures import LEVELS, column
from tests.helpers import gap

TINY = noisy_mnist.Setting(n=6, m_k=3, m_v=2, sigma_0=0.02)


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
@pytest.mark.parametrize("rule", [SignGD(1e-3), GradientDescent(1.0), Adam(1e-3)], ids=["signgd", "gd", "adam"])
def test_reduced_systems_are_the_same_run(rule, construction):
    setting = TINY.replace(construction=construction)
    record = {"train_loss": 1, "attention": 1, "value_tokens": 1, "test_loss": 15}
    runs = [simulate(system, rule, steps=15, record=record)
            for system in (noisy_mnist.dense(setting, 2), noisy_mnist.best(setting, rule, 2), noisy_mnist.restricted(setting, 2))]
    smallest = "restricted" if rule.kind == "coordinatewise" else "lumped"
    assert [run.provenance["engine"] for run in runs] == ["dense", smallest, "restricted"]
    for run in runs[1:]:
        assert max(gap(run[name], runs[0][name]) for name in record) < 1e-11  # rounding of sums over 784 pixels, 15 steps
    other = simulate(noisy_mnist.best(setting, rule, 3), rule, steps=15, record=record)
    assert gap(other["train_loss"], runs[0]["train_loss"]) > 1e-6  # another seed is another run


def test_adam_does_not_lump():
    with pytest.raises(Inexact):
        noisy_mnist.lumped(TINY, Adam(1e-3))


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_the_gradient_on_images_passes_the_check(construction):
    assert gradcheck(noisy_mnist.lumped(TINY.replace(construction=construction), SignGD)).passed


def test_a_run_says_what_it_is_of():
    about = noisy_mnist.dense(TINY, 4).provenance
    assert (about["system"], about["setting"], about["seed"]) == ("noisy_mnist", TINY.to_dict(), 4)


@pytest.mark.parametrize("engine", ["lumped", "restricted", "dense"])
def test_attention_at_the_end_is_recovered(small, engine):
    run = small.replace(steps=30, record=("attention",)).run(engine=engine)
    found = attended(run)
    assert gap(found["train"].attention, run["attention"][-1]) < 1e-10  # the lift rounds weights of size 0.1 once
    assert found["test"].attention.shape == (980, 2, 2)
    assert gap(found["train"].attention, run["attention"][0]) > 0.01


def test_claims_about_a_run_hold_and_their_controls_do_not(small):
    run = small.run()
    report = check(run)
    assert {v.id: v.verdict for v in report.verdicts} == dict.fromkeys(noisy_mnist.CLAIMS, "holds"), report
    assert {v.verdict for v in check(run, control=True).verdicts} == {"violated"}
    assert {v.verdict for v in check(small.replace(steps=3).run()).verdicts} == {"inconclusive"}
    border = check(small.vary({"construction": "border"}).run())["mnist_attention_on_noise"]
    assert border.verdict == "not applicable" and border.unmet == ("construction 'token', SNR at most 0.2",)


def courses(count=200):
    """Return courses of a training loss by name, and the verdicts they deserve."""
    t, noise = np.linspace(0.0, 1.0, count), np.random.default_rng(0).standard_normal(count)
    plateau = 0.3 + 0.39 * np.exp(-50.0 * t)
    return {
        "plateau": (plateau, "violated"), "noisy plateau": (plateau + 1e-4 * noise, "violated"),
        "low plateau": (0.011 + 0.68 * np.exp(-50.0 * t), "violated"), "rising again": (0.1 + np.abs(t - 0.5), "violated"),
        "constant": (np.full(count, 0.69), "violated"),
        "late": (0.69 / (1.0 + 50.0 * t), "inconclusive"), "too slow a start": (0.69 - 1e-9 * t, "inconclusive"),
        "down from a peak": (0.69 + t * (1.0 - t), "inconclusive"), "two records": (np.array([0.69, 0.6]), "inconclusive"),
        "one record": (np.array([0.69]), "inconclusive"), "one record, trained": (np.array([0.009]), "holds"),
    }


@pytest.mark.parametrize("name", courses())
def test_only_a_loss_that_has_stopped_falling_is_not_trained(small, name):
    run = small.replace(steps=2, record=("train_loss",)).run()
    loss, expected = courses()[name]
    verdict = check(replace(run, arrays={**run.arrays, "train_loss": loss}), [noisy_mnist.CLAIMS["mnist_trained"]]).verdicts[0]
    assert verdict.verdict == expected, verdict


@pytest.mark.parametrize("name", noisy_mnist.PRESETS)
def test_a_note_stays_true_whatever_is_set(name):
    note = noisy_mnist.experiment(name).note.replace("Fig. 2d", "")
    assert not any(character.isdigit() for character in note) and not any(construction in note for construction in CONSTRUCTIONS)


def test_a_sweep_reads_runs_where_their_training_loss_gets_small(table, small):
    assert table.cells == 6 and not table.errors
    row = table.where(optimizer="gd", snr=2.0)
    steps = [int(row[column("steps", level)][0]) for level in LEVELS]
    gd = small.vary({"optimizer": "gd", "snr": 2.0})
    assert gd.optimizer == GradientDescent(10.0)  # its own rate, not SignGD's
    record = ("train_loss", "test_loss", "test_error")
    run = simulate(gd.build(), gd.optimizer, steps=steps[-1], record=record, at=[*steps, *(step - 1 for step in steps)])
    for level, step in zip(LEVELS, steps, strict=True):
        at = int(np.flatnonzero(run.at == step)[0])
        assert run["train_loss"][at] <= level < run["train_loss"][at - 1]
        for name in ("test_loss", "test_error"):
            assert row[column(name, level)][0] == run[name][at]


def test_a_run_of_a_cell_ends_where_it_was_trained(table):
    run = trained_run(table, "adam", 0.2, 0)
    assert run["train_loss"][-1] <= LEVELS[-1] and run.last_step == table.where(optimizer="adam", snr=0.2, seed=0)[column("steps", 0.01)][0]


def test_what_is_not_reached_is_nan(small):
    found = noisy_mnist.snr_study(small, (), optimizers=["signgd"], seeds=1, steps=3, constructions=["token"]).run(workers=1)["token"]
    assert not found.errors and (found["steps"] == 3).all()
    assert np.isnan(found[column("steps", 0.01)]).all() and np.isnan(found[column("test_loss", 0.01)]).all()


def test_the_study_adds_the_snrs_that_claims_speak_of_and_says_its_rates(small):
    study = noisy_mnist.snr_study(small, [0.5, 0.2], optimizers=["gd:lr=0.5", "signgd"], seeds=3)
    assert set(study.plans) == set(CONSTRUCTIONS)
    for name, plan in study.plans.items():
        assert plan.over["snr"] == [0.2, 0.5, 2.0] and plan.seeds == 3 and plan.experiment.setting.construction == name
        assert "gd:lr=0.5 at lr=0.5, signgd at lr=0.001" in plan.doc and "n = 20" in plan.doc
    with pytest.raises(ValueError, match="did you mean"):
        noisy_mnist.snr_study(small, [0.5], optimizers=["sgnd"])
    with pytest.raises(ValueError, match=r"constructions=\[\] must name at least one, for example constructions=\['token', 'border'\]"):
        noisy_mnist.snr_study(small, constructions=[])
    with pytest.raises(ValueError, match=r"optimizers=\[\] must name at least one"):
        noisy_mnist.snr_study(small, optimizers=iter(()))
    with pytest.raises(ValueError, match="snr=-1.0 must be a finite number > 0"):
        noisy_mnist.snr_study(small, [0.5, -1.0])
    with pytest.raises(ValueError, match="did you mean 'border'"):
        noisy_mnist.snr_study(small, constructions=["borders"])


def test_a_construction_alone_is_not_held_to_the_bounds_of_others(small):
    everywhere = small.replace(setting=small.setting.replace(s=784))
    study = noisy_mnist.snr_study(everywhere, snr=[0.5], optimizers=["gd"], steps=7, constructions=["token"])
    assert list(study.plans) == ["token"] and study.plans["token"].experiment.steps == 7
    with pytest.raises(ValueError, match="s=784 must be at most 384"):
        noisy_mnist.snr_study(everywhere)


@pytest.mark.parametrize("snr", [1e-6, 1e6])
def test_the_ends_of_the_range_of_snr_run(small, snr):
    for rule in ("signgd", "adam", "gd"):
        run = small.replace(record=("train_loss", "test_loss")).vary({"snr": snr, "optimizer": rule, "steps": 5}).run()
        assert run.success and np.isfinite(run["test_loss"]).all(), (rule, run.message)
        assert rule == "gd" or run["train_loss"][-1] < run["train_loss"][0]  # GD's rate is far too large for the least SNR


@pytest.mark.slow
def test_three_against_seven_as_the_page_says():
    study = noisy_mnist.snr_study(noisy_mnist.experiment("mnist"), (), constructions=["token"])
    report = check(study.run())
    expected = ("mnist_token_signgd_above_gd", "mnist_token_adam_above_gd", "mnist_token_agreement")
    assert [report[id].verdict for id in expected] == ["holds"] * 3, report


def frozen(system):
    """Return the system with query and key weights that stay at their start."""
    scale = system.step_scale.copy()
    system.layout.views(scale).W_QK[...] = 0.0
    return replace(system, step_scale=scale)


@pytest.mark.slow
def test_attention_makes_more_than_half_of_the_difference_between_signgd_and_gd():
    experiment = noisy_mnist.experiment("mnist")

    def losses(change):
        found = []
        for rule in (experiment.rule("signgd"), experiment.rule("gd")):
            of_rule = []
            for seed in range(5):
                system = change(noisy_mnist.best(experiment.setting, rule, seed))
                run = simulate(system, rule, steps=2000, record=("test_loss",), at=[], stop=lambda state: state.cache.loss <= 0.01)
                of_rule.append(run["test_loss"][-1])
            found.append(of_rule)
        return np.subtract(*found)

    still, free = losses(frozen), losses(lambda system: system)
    assert still.min() > 0.0 and np.mean(still) < 0.5 * np.mean(free), (still, free)
