"""Presets: labelled as ours, buildable, recordable, with rates for every rule; what the transformers among them start and train with."""

import numpy as np
import pytest

from dynsim.optimizers import Adam, ClipNorm, LinearDecay, SignGD
from dynsim.systems import gradient_heterogeneity as gh
from dynsim.systems.gradient_heterogeneity.presets import SMALL, trained
from dynsim.systems.gradient_heterogeneity.studies import RULES

from ...helpers import gap, same_bits

KINDS = {"gradient_path": gh.Quadratic, "sign_path": gh.Quadratic, "logistic": gh.Logistic, "post_ln": gh.Transformer,
         "pre_ln": gh.Transformer, "fresh_head": gh.Transformer, "sign_drift": gh.Head, "momentum_drift": gh.Head}


def cheap(name):
    """Return a preset without the thousand steps of pre-training."""
    e = gh.experiment(name)
    return e.vary({"pretrained": 2}) if getattr(e.setting, "pretrained", 0) else e


@pytest.mark.parametrize("name", gh.PRESETS)
def test_a_preset_is_ours_builds_and_begins(name):
    e = cheap(name).replace(steps=2)
    assert type(e.setting) is KINDS[name] and e.origin == "derived" and e.note and e.system == "gradient_heterogeneity"
    system = e.build()
    assert set(e.record) <= set(system.observables) <= set(gh.OBSERVABLES)
    run = e.run()
    assert run.success and run.provenance["engine"] == "dense" and set(run.arrays) == set(e.record) and run.provenance["note"] == e.note
    assert e.setting == gh.preset(name).replace(**({"pretrained": 2} if name == "fresh_head" else {}))


@pytest.mark.parametrize("name", gh.PRESETS)
@pytest.mark.parametrize("rule", [*RULES, "rmsprop"])
def test_every_rule_has_a_rate_at_every_preset(name, rule):
    e = cheap(name)
    own = e.vary({"optimizer": rule}).optimizer
    lr = own.lr(int(e.steps) // 10) if callable(own.lr) else own.lr
    assert 0.0 < lr <= 1.0


def test_unknown_names_are_refused():
    assert set(KINDS) == set(gh.PRESETS) and gh.DEFAULT_PRESET in gh.PRESETS
    for give in (gh.experiment, gh.preset):
        with pytest.raises(ValueError, match="did you mean 'pre_ln'"):
            give("preln")


def test_pairs_of_presets_differ_in_one_thing():
    post, pre, fresh = (gh.experiment(name) for name in ("post_ln", "pre_ln", "fresh_head"))
    assert post.replace(setting=pre.setting, note=pre.note) == pre and pre.setting == post.setting.replace(norm="pre")
    starts = [e.build() for e in (post, pre)]
    for name in starts[0].layout.shapes:
        assert same_bits(*(getattr(s.layout.views(s.start), name) for s in starts)), name
    gradient, sign = (gh.experiment(name) for name in ("gradient_path", "sign_path"))
    assert gradient.setting == sign.setting and isinstance(sign.optimizer, SignGD)
    assert gradient.optimizer.lr == pytest.approx(1.0 / gradient.build().constants["curvature_max"], rel=1e-12)
    plain, momentum = (gh.experiment(name) for name in ("sign_drift", "momentum_drift"))
    assert momentum.vary({"momentum": 0.0}).replace(note=plain.note) == plain and momentum.optimizer.momentum == 0.9
    assert fresh.setting.task == "before" and fresh.setting.pretrained >= 500 and fresh.setting.head_scale > 0.0


def test_the_small_start_is_a_fifth_of_the_usual_one():
    """But for the embedding, which is a fiftieth, so that normalisation is what sets the scale of the stream."""
    usual, small = (gh.dense(setting, 3) for setting in (gh.Transformer(), SMALL))
    for name in usual.layout.shapes:
        one, other = (getattr(s.layout.views(s.start), name) for s in (usual, small))
        if name in ("embedding", "positions"):
            assert gap(other, 0.02 * one) < 1e-12
        elif one.ndim == 2:
            assert gap(other, 0.2 * one) < 0.02, name  # the head's scale is written with two digits
            assert np.std(other) > 0.0
        else:
            assert same_bits(one, other), name


def test_how_transformers_are_trained():
    e = trained(SMALL, 1500, "why")
    assert e.optimizer == ClipNorm(Adam(LinearDecay(3e-3, 1500, warmup=150)), 1.0) and (e.steps, e.note) == (1500, "why")
    rates = [e.optimizer.lr(step) for step in (0, 149, 150, 1499)]
    assert rates == pytest.approx([3e-3 / 150, 3e-3, 3e-3, 3e-3 / 1350]) and max(map(e.optimizer.lr, range(1500))) == pytest.approx(3e-3)
    assert {"fixed_loss", "train_accuracy", "block_grad_norms"} <= set(e.record)
    for name in ("post_ln", "pre_ln", "fresh_head"):
        preset = gh.experiment(name)
        assert preset == trained(preset.setting, preset.steps, preset.note)
