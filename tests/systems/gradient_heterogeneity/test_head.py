"""The linear head: gradient, batches, replicates, data, observables, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, load, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems.gradient_heterogeneity.head.data import draw_labelled
from dynsim.systems.gradient_heterogeneity.head.model import linear_head
from dynsim.systems.gradient_heterogeneity.head.setting import Head
from dynsim.systems.gradient_heterogeneity.head.theory import absence, centred, gauge_share
from dynsim.systems.gradient_heterogeneity.settings import Setting

from ...helpers import RULES, assert_same_bits, gap, same_bits

SMALL = Head(C=7, d=5, samples=6, batch=4, init=0.4)
ROUNDING = 1e-14
"""Sums of some hundred terms of order 1."""


def elsewhere(system, seed=1):
    """Random parameters with biases that are not 0."""
    return system.start + np.random.default_rng(seed).standard_normal(system.start.shape)


def at(system, flat, step=None):
    """Return views, cache and gradient views, on the batch of a step or on all samples."""
    views = system.layout.views(flat)
    cache = system.forward(views, None if step is None else system.batch(step))
    out = system.layout.views(np.full_like(flat, np.nan))
    system.backward(views, cache, out)
    return views, cache, out


class OnBatch:
    """A system whose forward pass always sees the batch of one step, for the gradient check."""

    def __init__(self, system, step):
        self.system, self.chosen = system, system.batch(step)
        self.layout, self.start, self.backward = system.layout, system.start, system.backward

    def forward(self, params):
        return self.system.forward(params, self.chosen)


@pytest.mark.parametrize("replicates", [None, 3])
@pytest.mark.parametrize("step", [None, 5])
def test_gradient_is_that_of_the_forward_pass(replicates, step):
    system = linear_head(SMALL, seed=2, replicates=replicates)
    checked = system if step is None else OnBatch(system, step)
    assert gradcheck(checked, elsewhere(system)).passed


def test_gradient_check_sees_a_wrong_label():
    system = linear_head(SMALL, seed=2)

    class Wrong(OnBatch):
        def forward(self, params):
            cache = super().forward(params)
            cache.y = (cache.y + 1) % 7
            return cache

    assert not gradcheck(Wrong(system, 5), elsewhere(system)).passed


def test_loss_and_gradient_are_the_sums_of_the_definition():
    system = linear_head(SMALL, seed=3)
    p, cache, out = at(system, elsewhere(system), step=1)
    h, y = system.data.h[system.batch(1)], system.data.y[system.batch(1)]
    loss, V, b, back = 0.0, np.zeros((7, 5)), np.zeros(7), []
    for features, label in zip(h, y, strict=True):
        odds = np.exp(p.V @ features + p.b)
        probability = odds / odds.sum()
        loss -= np.log(probability[label]) / len(y)
        error = probability - np.eye(7)[label]
        V += np.outer(error, features) / len(y)
        b += error / len(y)
        back.append(p.V.T @ error / len(y))
    assert gap(cache.loss, loss) < ROUNDING
    assert gap(out.V, V) < ROUNDING and gap(out.b, b) < ROUNDING
    assert gap(system.feature_gradient(p, cache), back) < ROUNDING


def test_an_absent_class_is_pushed_away_from_every_feature_of_the_batch():
    system = linear_head(SMALL.replace(C=30), seed=0, replicates=2)
    p, cache, out = at(system, elsewhere(system), step=0)
    found = absence(cache)
    assert found.absent.sum() == 30 - len(set(cache.y)) >= 26
    assert (found.weights > 0).all() and (out.b[:, found.absent] > 0).all()
    assert gap(out.b[:, found.absent], found.weights.sum(axis=-2)) < ROUNDING
    assert gap(out.V[:, found.absent], np.einsum("rnc,nd->rcd", found.weights, cache.h)) < ROUNDING
    # the control: a present class, here with a probability below its share of the batch, is pushed the other way
    _, _, at_start = at(system, np.zeros_like(system.start), step=0)
    assert (at_start.b[:, ~found.absent] < 0).all()


def test_confident_labels_keep_the_signs_of_the_rows_together():
    system = linear_head(Head(C=2, d=3, samples=4, batch=0), seed=0)
    views = system.layout.views(np.zeros(8))
    views.b[:] = 50.0, -50.0  # 1 - p is 0 in floating point for class 0
    cache = system.forward(views, np.flatnonzero(system.data.y == 0))
    out = system.layout.views(np.empty(8))
    system.backward(views, cache, out)
    assert -1e-40 < out.b[0] < 0.0 and out.b[1] == -out.b[0]
    assert same_bits(out.V[0], -out.V[1]) and out.V.all()


@pytest.mark.parametrize("kind", ["iid", "shuffled"])
def test_batches_are_functions_of_the_step(kind):
    setting = SMALL.replace(batches=kind)
    system, again = linear_head(setting, seed=1), linear_head(setting, seed=1)
    forwards = [system.batch(step) for step in range(25)]
    for step in reversed(range(25)):
        assert same_bits(again.batch(step), forwards[step])
    assert any(not np.array_equal(linear_head(setting, seed=2).batch(s), forwards[s]) for s in range(2))
    epoch = np.concatenate(forwards[:10])  # 42 samples make 10 batches of 4, two samples are left out
    assert (len(set(epoch)) == 40) == (kind == "shuffled")


def test_all_samples_are_one_batch():
    system = linear_head(SMALL.replace(batch=0))
    assert system.batch(3) is None
    assert system.forward(system.layout.views(system.start.copy())).log_p.shape == (42, 7)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_replicates_are_the_runs_of_their_rates(rule):
    rates = np.array([1.0, 3.0]) * rule.lr
    together = simulate(linear_head(SMALL, replicates=2), replace(rule, lr=rates), steps=12)
    for i, lr in enumerate(rates):
        alone = simulate(linear_head(SMALL), replace(rule, lr=lr), steps=12)
        for name in alone.arrays:
            assert gap(together[name][:, i], alone[name]) < 1e-12, name  # matrix products of another shape round differently


def test_a_run_that_is_gone_on_with_is_the_run_in_one_piece(tmp_path):
    system = linear_head(SMALL.replace(batches="shuffled"))
    rule = SignGD(1e-2, momentum=0.9)
    whole = simulate(system, rule, steps=20)
    simulate(system, rule, steps=9).save(tmp_path / "half.npz")
    rest = simulate(system, rule, steps=11, start=load(tmp_path / "half.npz"))
    assert_same_bits(rest, whole, other_rows=slice(9, None))


def test_observables_are_what_they_say():
    system = linear_head(SMALL, seed=4, replicates=2)
    flat = elsewhere(system)
    p, cache, _ = at(system, flat, step=0)
    _, full, _ = at(system, flat)
    read = {name: o.read(p, cache) for name, o in system.observables.items()}
    assert gap(read["train_loss"], full.loss) < ROUNDING and gap(read["batch_loss"], cache.loss) == 0.0
    assert gap(read["accuracy"], (full.log_p.argmax(-1) == system.data.y).mean(-1)) < ROUNDING
    mean = p.V.mean(axis=1)
    assert gap(read["V_norm"] ** 2, read["V_centred_norm"] ** 2 + 7 * (mean**2).sum(-1)) < ROUNDING
    assert gap(read["gauge_share"], 1.0 - (read["V_centred_norm"] / read["V_norm"]) ** 2) < ROUNDING
    assert gap(read["b_norm"], np.linalg.norm(p.b, axis=-1)) < ROUNDING and gap(read["mean_bias"], p.b.mean(-1)) < ROUNDING
    assert float(gauge_share(np.zeros((3, 2)))) == 0.0
    for name, o in system.observables.items():  # all samples as the batch, and in pieces, are the same
        assert gap(o.read(p, full), read[name]) < ROUNDING or name == "batch_loss", name


def test_the_loss_in_pieces(monkeypatch):
    system = linear_head(SMALL, seed=4)
    p, cache, _ = at(system, elsewhere(system), step=0)
    whole = system.evaluated(p, cache)
    monkeypatch.setattr("dynsim.systems.gradient_heterogeneity.head.model.EVALUATED", 7 * 5)
    pieces = system.evaluated(p, system.forward(p, system.batch(0)))
    assert gap(pieces.loss, whole.loss) < ROUNDING and gap(pieces.right, whole.right) < ROUNDING


def test_data_are_balanced_and_streams_independent():
    setting = Head(C=10, d=3, samples=30)
    clean, noisy = draw_labelled(setting, 5), draw_labelled(setting.replace(label_noise=0.2), 5)
    assert (np.bincount(noisy.y) == 30).all() and same_bits(clean.h, noisy.h)
    assert 40 < (clean.y != noisy.y).sum() <= 60  # of 60 shuffled labels about one in ten stays; 20 would be nine standard deviations off
    parts = [draw_labelled(Head(C=10, d=3, samples=30, **{name: 0.0 for name in ("common", "spread", "noise") if name != kept}), 5).h
             for kept in ("common", "spread", "noise")]
    assert gap(sum(parts), clean.h) < ROUNDING
    assert same_bits(linear_head(setting, 5).start, linear_head(setting.replace(noise=9.0), 5).start)


def test_learning_reaches_all_labels():
    for rule in (GradientDescent(0.5), SignGD(0.01, momentum=0.9), Adam(0.05)):
        run = simulate(linear_head(Head(C=5, d=10, samples=6, batch=10)), rule, steps=150, at=[])
        assert run["accuracy"][-1] == 1.0 and run["train_loss"][-1] < 0.2 * run["train_loss"][0]


def test_settings_and_arguments_are_checked():
    assert Setting.from_dict(SMALL.to_dict()) == SMALL
    for changes, words in (
        ({"C": 1}, "C=1 must be an integer >= 2"), ({"batch": -1}, "batch=-1"),
        ({"label_noise": 1.0}, r"label_noise=1 must be in \[0, 1\)"), ({"noise": -0.1}, "noise=-0.1"),
        ({"batches": "idd"}, "iid"),
        ({"batches": "shuffled", "batch": 43}, "at most C \\* samples = 42"),
        ({"width": 3}, "width"), ({"task": "quadratic"}, "task"),
    ):
        with pytest.raises(ValueError, match=words):
            SMALL.replace(**changes)
    assert SMALL.replace(batch=43).batch == 43  # with replacement a batch may be larger than the data
    for replicates in (0, 1.5, True):
        with pytest.raises(ValueError, match="replicates"):
            linear_head(SMALL, replicates=replicates)
    with pytest.raises(ValueError, match="seed"):
        linear_head(SMALL, seed=-1)


def test_centred_rows_add_up_to_nothing():
    V = np.random.default_rng(0).standard_normal((2, 6, 3))
    assert np.abs(centred(V).sum(axis=1)).max() < ROUNDING
