"""Experiments: presets and files describe runs completely."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest

from dynsim import Adam, Experiment, GradientDescent, Interrupted, SignGD
from dynsim.experiment import by_name
from dynsim.optimizers import ClipNorm, GradientFlow, LinearDecay, RMSprop
from dynsim.registry import SYSTEMS, system_module
from dynsim.systems import signal_noise as sn

PRESETS = [(system, name) for system in SYSTEMS for name in system_module(system).PRESETS]
TINY = sn.experiment("tiny")


def through_toml(experiment, tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text(experiment.to_toml(), encoding="utf-8")
    return Experiment.from_toml(path)


@pytest.mark.parametrize("system, name", PRESETS)
def test_presets_survive_files_and_say_where_they_come_from(system, name, tmp_path):
    experiment = system_module(system).experiment(name)
    assert through_toml(experiment, tmp_path) == experiment
    assert Experiment.from_dict(json.loads(json.dumps(experiment.to_dict()))) == experiment
    assert experiment.origin in ("quoted", "derived", "reconstructed") and experiment.note
    assert system_module(system).preset(name) == experiment.setting
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.steps = 3


def test_presets_are_given_out_by_name():
    presets = {"small": TINY, "other": TINY.replace(setting=TINY.setting.replace(n=5))}
    experiment, preset = by_name(presets)
    assert experiment("small") is TINY and preset("other") is presets["other"].setting
    for give in (experiment, preset):
        with pytest.raises(ValueError, match="unknown preset 'smal': did you mean 'small'"):
            give("smal")
    presets["late"] = TINY
    assert experiment("late") is TINY, "the mapping itself, not a copy"


@pytest.mark.parametrize("rule", [SignGD(1e-3, momentum=0.5), GradientDescent(0.1, momentum=0.9), Adam(1e-3, 0.8, 0.99, 0.0), Adam(2)])
def test_every_rule_survives_files(rule, tmp_path):
    note = 'a "quoted" \\ note\nin two lines, ü'
    experiment = TINY.replace(optimizer=rule, record=None, every=7, note=note, options={"x": 1.5, "flag": True})
    assert through_toml(experiment, tmp_path) == experiment


def test_a_file_gives_the_same_run(tmp_path):
    run, again = TINY.run(), through_toml(TINY, tmp_path).run()
    assert all(np.array_equal(run[name], again[name]) for name in run.arrays)
    assert run.provenance == again.provenance


def test_the_run_knows_what_it_is_a_run_of():
    run = TINY.replace(note="why", seed=3).run()
    about = run.provenance
    assert (about["origin"], about["note"], about["seed"], about["steps"]) == ("reconstructed", "why", 3, 40)
    again = Experiment.from_dict({key: about[key] for key in ("system", "setting", "optimizer", "steps", "seed")}).run()
    assert np.array_equal(again["train_loss"], run["train_loss"])


def test_engines_run_the_same_experiment():
    runs = {engine: TINY.replace(record=None).run(engine=engine) for engine in ("auto", "lumped", "restricted", "dense")}
    assert [run.provenance["engine"] for run in runs.values()] == ["lumped", "lumped", "restricted", "dense"]
    for run in runs.values():
        np.testing.assert_allclose(run["key_noise"], runs["dense"]["key_noise"], atol=1e-10)
    assert TINY.replace(optimizer=Adam(1e-3)).run().provenance["engine"] == "restricted"
    with pytest.raises(ValueError, match="unknown engine 'dens': did you mean 'dense'"):
        TINY.run(engine="dens")


@pytest.mark.parametrize(
    "every, closely, at", [(1, 0, range(11)), (4, 0, [0, 4, 8, 10]), (5, 2, [0, 1, 2, 5, 10]), (50, 0, [0, 10]), (3, 99, range(11))]
)
def test_when_it_records(every, closely, at):
    assert TINY.replace(steps=10, every=every, closely=closely).run().at.tolist() == list(at)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": -1}, "steps=-1"), ({"steps": 1.5}, "steps=1.5"), ({"every": 0}, "every=0"), ({"every": 1.5}, "every=1.5"),
        ({"record": ("train_los",)}, "did you mean 'train_loss'"),
    ],
)
def test_bad_fields_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        TINY.replace(**changes).run()


@pytest.mark.parametrize(
    "text, message",
    [
        ("steps =", "is no TOML file"),
        ("", "lacks 'system'"),
        ('system = "signal_noise"\nsteps = 1\n[setting]', "lacks 'optimizer'"),
        ('system = "signal_nois"\nsteps = 1\n[setting]\n[optimizer]', "did you mean 'signal_noise'"),
        ('system = "signal_noise"\nstepz = 1', "unknown experiment field 'stepz': did you mean 'steps'"),
        ('system = "signal_noise"\nsteps = 1\n[setting]\nsigma = 3\n[optimizer]', "did you mean 'sigma_p'"),
        ('system = "signal_noise"\nsteps = 1\n[setting]\nn = 0\n[optimizer]', "n=0 must be"),
        ('system = "signal_noise"\nsteps = 1\n[setting]\n[optimizer]\nrule = "sgd"\nlr = 1.0', "unknown optimizer 'sgd'"),
        ('system = "signal_noise"\nsteps = 1\n[setting]\n[optimizer]\nrule = "adam"\nlr = 1.0\nbeta = 0.5', "unknown adam field 'beta'"),
        ('system = "signal_noise"\nsteps = 1\n[setting]\n[optimizer]\nrule = "signgd"\nlr = nan', "lr=nan"),
    ],
)
def test_bad_files_are_explained(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Experiment.from_toml(path)


def test_what_toml_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="cannot be written as TOML"):
        TINY.replace(options={"x": object()}).to_toml()


def test_interrupted_runs_know_what_they_are_runs_of():
    calls = []

    def press(done, total):
        calls.append(done)
        if done >= 160 and not [c for c in calls[:-1] if c >= 160]:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with Ctrl-C ignored
    try:
        with pytest.raises(Interrupted) as stopped:
            TINY.replace(steps=10_000).run(progress=press)
    finally:
        signal.signal(signal.SIGINT, before)
    run = stopped.value.trajectory
    assert run.status == "interrupted" and 160 <= run.last_step < 10_000 and run.provenance["origin"] == "reconstructed"
    whole = TINY.replace(steps=run.last_step).run()
    assert np.array_equal(run["key_noise"], whole["key_noise"])


def test_a_form_without_some_quantities_records_the_others():
    tiny = system_module("cooccurrence").experiment("tiny").replace(until=0.1, points=5)
    for record in (tiny.record, tuple(tiny.record), ("G", "neuron_products_change")):
        run = tiny.replace(record=record).run(engine="gram")
        assert "G" in run and "neuron_products_change" not in run and set(run.arrays) < set(record)
    for nothing in (("neuron_products_change",), {"neuron_products_change": 2}):
        with pytest.raises(ValueError, match="record=neuron_products_change: not a quantity of this form of cooccurrence, which has .*G"):
            tiny.replace(record=nothing).run(engine="gram")
    assert not tiny.replace(record=()).run(engine="gram").arrays, "nothing was asked for"
    with pytest.raises(ValueError, match="unknown recorded quantity 'H'"):
        tiny.replace(record=("H",)).run(engine="gram")


# -- rules as texts ----------------------------------------------------------------------------------------------------------

CLIPPED = TINY.replace(optimizer=ClipNorm(Adam(LinearDecay(3e-3, 40, warmup=4), beta1=0.8), 2.0), rates={"gd": 0.3, "rmsprop": 1e-3})


def decayed(peak):
    return LinearDecay(peak, 40, warmup=4)


@pytest.mark.parametrize("text, rule", [
    ("gd", ClipNorm(GradientDescent(decayed(0.3)), 2.0)), ("gd:0.9", ClipNorm(GradientDescent(decayed(0.3), momentum=0.9), 2.0)),
    ("gd:lr=0.5", ClipNorm(GradientDescent(decayed(0.5)), 2.0)), ("adam:0.5,lr=0.01", ClipNorm(Adam(decayed(0.01), 0.5), 2.0)),
    ("adam", ClipNorm(Adam(decayed(3e-3)), 2.0)), ("rmsprop", ClipNorm(RMSprop(decayed(1e-3)), 2.0)),
    ("signgd:0.9", ClipNorm(SignGD(decayed(3e-3), momentum=0.9), 2.0)),
    ("signgd", SignGD(decayed(3e-3))), ("signgd:lr=1", SignGD(decayed(1.0))),
])
def test_another_rule_keeps_schedule_and_clip(text, rule):
    """The rate is the peak; Adam's own is a sign's too; without momentum signs are the same whatever the gradient is clipped to."""
    assert CLIPPED.rule(text) == rule == CLIPPED.vary({"optimizer": text}).optimizer
    free = CLIPPED.replace(optimizer=CLIPPED.optimizer.optimizer).rule(text)
    assert free == (rule.optimizer if isinstance(rule, ClipNorm) else rule), "no clip where there was none"
    plain = TINY.replace(optimizer=ClipNorm(Adam(3e-3)), rates=CLIPPED.rates).rule(text)
    assert plain.lr == rule.lr.peak, "no schedule where there was none"


def test_the_same_rule_keeps_its_rate_and_a_flow_has_neither():
    sign = TINY.replace(optimizer=SignGD(decayed(0.35), momentum=0.5), rates={"signgd": 7.0, "adam": 0.1})
    assert sign.rule("signgd") == SignGD(decayed(0.35)) and sign.rule("signgd:0.5") == sign.optimizer, "not the one in rates"
    assert sign.rule("adam") == Adam(decayed(0.1)) and sign.vary({"optimizer": "adam", "lr": 0.2}).optimizer == Adam(decayed(0.2))
    assert CLIPPED.vary({"optimizer": "gd", "lr": 0.2, "clip": 5.0}).optimizer == ClipNorm(GradientDescent(decayed(0.2)), 5.0)
    for experiment in (sign, CLIPPED):
        assert experiment.rule("flow") == GradientFlow()
    with pytest.raises(ValueError, match="gd has no learning rate here"):
        sign.rule("gd")


@pytest.mark.parametrize("changes, message", [
    ({"optimizer": "signgd", "clip": 3}, "clip=3 does not go with optimizer='signgd', which has lr, momentum: leave one of the two out"),
    ({"optimizer": "gd", "beta1": 0.5}, "beta1=0.5 does not go with optimizer='gd', which has lr, momentum, clip"),
])
def test_a_field_that_only_the_rule_before_had_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CLIPPED.vary(changes)


def test_rules_with_schedule_and_clip_survive_files(tmp_path):
    for text in ("gd:0.9", "signgd", "adam"):
        changed = CLIPPED.vary({"optimizer": text})
        assert through_toml(changed, tmp_path) == changed
