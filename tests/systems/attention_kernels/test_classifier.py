"""The classifier by loops over samples and tokens; gradients, mini-batches, evaluation, the first stage of training."""

from dataclasses import replace
from types import SimpleNamespace

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from dynsim import Adam, GradientDescent, iterate, load, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.classifier.data import draw_tokens
from dynsim.systems.attention_kernels.classifier.model import layer_blocks
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.settings import streams

from ...helpers import assert_same_bits, gap, same_bits
from .helpers import ALL, ROUNDING, alone, formula, looped, slope, state
from .test_model import spoiled

SMALL = ak.Classification(kernel=ALL, D=5, d=3, H=2, hidden=6, samples=10, test=7, batch=0, pretrain_batch=4)
FORMS = {
    f"{layers} layers, {'residual' if residual else 'no residual'}, {trained}":
    SMALL.replace(layers=layers, residual=residual, trained=trained)
    for layers in (1, 2) for residual in (True, False) for trained in ("all", "attention")
}


def perturbed(system, seed=1, scale=0.3):
    """Return parameters near the start: biases are 0 there, which would hide what belongs to them."""
    return system.start + scale * np.random.default_rng(seed).standard_normal(system.layout.size)


def layer_weights(w, layer):
    return {block: w[name] for block, name in layer_blocks(layer).items()}


def by_loops(w, kernel, setting, tokens, y, c):
    """Return mean cross-entropy and share of right classes, sample by sample."""
    losses, right = [], []
    for sentence, label in zip(tokens, y, strict=True):
        x = np.array([w["embedding"][word] + w["positions"][at] for at, word in enumerate(sentence)])
        for layer in range(setting.layers):
            out = looped(x[None], layer_weights(w, layer), kernel, c)[0]
            x = x + out if setting.residual else out
        hidden = [max(value, 0.0) for value in x.mean(axis=0) @ w["W_1"] + w["b_1"]]
        z = hidden @ w["W_2"] + w["b_2"]
        losses.append(np.log(np.exp(z).sum()) - z[label])
        right.append(z.argmax() == label)
    return np.mean(losses), np.mean(right)


def by_formula(w, kernel, setting, tokens, y, c):
    x = anp.matmul(anp.eye(len(w["embedding"]))[tokens], w["embedding"]) + w["positions"]
    for layer in range(setting.layers):
        out = formula(x, layer_weights(w, layer), kernel, c)
        x = x + out if setting.residual else out
    z = anp.dot(anp.maximum(anp.dot(anp.mean(x, axis=1), w["W_1"]) + w["b_1"], 0.0), w["W_2"]) + w["b_2"]
    return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - z[anp.arange(len(y)), y])


@pytest.mark.parametrize("form", FORMS)
def test_loss_and_gradient_are_those_of_the_definition(form):
    setting = FORMS[form].replace(samples=4)
    system = ak.dense(setting, 2)
    params = perturbed(system)
    views, cache = state(system, params)
    found = system.layout.views(slope(system, params))
    trained = set(system.layout.shapes)
    assert trained == set(system.weights) if setting.trained == "all" else all(name[:3] in ("W_Q", "W_K", "W_V", "W_O") for name in trained)
    assert len(trained) == (6 if setting.trained == "all" else 0) + 4 * setting.layers
    for i, kernel in enumerate(KERNELS):
        w = system.blocks(views, i)
        loss, _ = by_loops(w, kernel, setting, system.train.tokens, system.train.y, np.sqrt(3.0))
        assert cache.losses[i, 0] == pytest.approx(loss, rel=ROUNDING)
        want = autograd.grad(lambda w: by_formula(w, kernel, setting, system.train.tokens, system.train.y, np.sqrt(3.0)))(w)  # noqa: B023
        size = max(np.abs(want[name]).max() for name in trained)
        for name in trained:
            assert np.abs(getattr(found, name)[i] - want[name]).max() < ROUNDING * size, (kernel, name)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_against_complex_steps(form):
    for kernel in KERNELS:
        system = ak.dense(FORMS[form].replace(kernel=kernel), 2)
        check = gradcheck(system, perturbed(system), directions=1)
        assert check.worst < ROUNDING, f"{kernel}\n{check}"
    check = gradcheck(replace(system, kernels=(spoiled(KERNELS[kernel]),)), perturbed(system), directions=1)
    assert not check.passed and check.errors["W_V_1"] < ROUNDING or system.layers == 2, "negative control"


def test_a_mini_batch_is_the_loss_of_its_samples():
    system = ak.dense(SMALL.replace(batch=4), 2)
    views = system.layout.views(perturbed(system))
    chosen = np.array([7, 0, 3, 2])
    cache = system.forward(views, chosen)
    for i, kernel in enumerate(KERNELS):
        want, _ = by_loops(system.blocks(views, i), kernel, SMALL, system.train.tokens[chosen], system.train.y[chosen], np.sqrt(3.0))
        assert cache.losses[i, 0] == pytest.approx(want, rel=ROUNDING)
    halves, whole = [], slope(system, system.start)
    for part in (np.arange(5), np.arange(5, 10)):
        at = system.layout.views(system.start.copy())
        out = np.empty(system.layout.size)
        system.backward(at, system.forward(at, part), system.layout.views(out))
        halves.append(out)
    assert gap(np.mean(halves, axis=0), whole) < 1e-13


def test_batches_are_a_function_of_the_step():
    system = ak.dense(SMALL.replace(batch=3, samples=10), 2)
    epochs = [np.concatenate([system.batch(step) for step in range(3 * e, 3 * e + 3)]) for e in range(4)]
    for taken in epochs:
        assert len(taken) == len(set(taken)) == 9 and set(taken) <= set(range(10)), "each sample once at most; one is left over"
    assert len({tuple(taken) for taken in epochs}) == 4 and len({*range(10)} - set.union(*map(set, epochs))) == 0
    fresh = ak.dense(SMALL.replace(batch=3, samples=10), 2)
    for step in (11, 0, 5, 11, 2):  # in whatever order they are asked for
        assert np.array_equal(fresh.batch(step), epochs[step // 3][3 * (step % 3) : 3 * (step % 3) + 3])
    other = ak.dense(SMALL.replace(batch=3, samples=10), 3)
    assert not np.array_equal(np.concatenate([other.batch(step) for step in range(3)]), epochs[0])
    assert ak.dense(SMALL, 2).batch(5) is None
    all_at_once = ak.dense(SMALL.replace(batch=10), 2)
    assert sorted(all_at_once.batch(0)) == list(range(10))


@pytest.mark.parametrize("rule", [GradientDescent(0.2), Adam(1e-2)], ids=["GD", "Adam"])
def test_runs_with_mini_batches_go_on_bit_for_bit(rule, tmp_path):
    """Whether from memory or from a file, and across epochs."""
    setting = SMALL.replace(batch=3, kernel="softmax+gaussian")
    record = {"train_loss": 1, "grad_norm": 1, "full_loss": 5, "test_accuracy": 5}
    whole = simulate(ak.dense(setting, 1), rule, steps=20, record=record)
    first = simulate(ak.dense(setting, 1), rule, steps=10, record=record)
    want = {name: whole[name][10:] if record[name] == 1 else whole[name][2:] for name in record}
    for again in (first, load(first.save(tmp_path / "run.npz")), load(first.save(tmp_path / "run.nc"))):
        second = simulate(ak.dense(setting, 1), rule, steps=10, record=record, start=again)
        assert all(same_bits(second[name], want[name]) for name in record) and same_bits(second.final, whole.final)
    shifted = simulate(ak.dense(setting, 1), rule, steps=10, record=record, start=first.final)  # control: from parameters alone
    assert not same_bits(shifted.final, whole.final), "the batches of step 0 once more"


def test_batch_zero_is_full_gradient_descent():
    """Against a loop by hand over the gradient of all samples; a batch of all samples is the same to rounding."""
    system = ak.dense(SMALL, 1)
    run = simulate(system, GradientDescent(0.2), steps=8)
    params = system.start.copy()
    for step in range(8):
        assert same_bits(run["train_loss"][step], state(system, params)[1].losses)
        params -= 0.2 * slope(system, params)
    assert gap(params, run.final) < 1e-15
    shuffled = simulate(ak.dense(SMALL.replace(batch=10), 1), GradientDescent(0.2), steps=8)
    assert gap(shuffled.final, run.final) < 1e-12 and gap(shuffled["train_loss"], run["train_loss"]) < 1e-12
    few = simulate(ak.dense(SMALL.replace(batch=5), 1), GradientDescent(0.2), steps=8)
    assert gap(few.final, run.final) > 1e-3, "negative control"


@pytest.mark.parametrize("rule", [GradientDescent(0.2), Adam(1e-2)], ids=["GD", "Adam"])
def test_each_kernel_moves_as_if_alone(rule):
    setting = SMALL.replace(batch=4, layers=2)
    system, record = ak.dense(setting, 1), ["train_loss", "grad_norm", "full_loss", "test_loss"]
    run = simulate(system, rule, steps=12, record=record)
    assert run["train_loss"].shape == (13, 3, 1) and run.dims["grad_norm"] == ("step", "kernel", "start")
    for i, kernel in enumerate(KERNELS):
        single = simulate(ak.dense(setting.replace(kernel=kernel), 1), rule, steps=12, record=record)
        assert gap(single.final, alone(system, run.final, i, 0)) < 1e-11
        for name in run.arrays:
            assert gap(single[name][:, 0], run[name][:, i]) < 1e-10, name


# -- evaluation ------------------------------------------------------------------------------------------------------------


def test_losses_and_accuracies_of_all_samples(monkeypatch):
    """By loops; whatever the batch of the step, and however many samples are evaluated together."""
    system = ak.dense(SMALL.replace(batch=3), 2)
    views = system.layout.views(perturbed(system, scale=1.0))
    sets = {("full_loss", "train_accuracy"): system.train, ("test_loss", "test_accuracy"): system.test}
    want = {names: [by_loops(system.blocks(views, i), kernel, SMALL, s.tokens, s.y, np.sqrt(3.0)) for i, kernel in enumerate(KERNELS)]
            for names, s in sets.items()}
    for together in (256, 4):
        monkeypatch.setattr("dynsim.systems.attention_kernels.classifier.model.EVALUATED", together)
        cache = system.forward(views, system.batch(0))
        read = {name: o.read(views, cache) for name, o in system.observables.items() if name not in ("surface", "grad_norm")}
        assert all(value.shape == (3, 1) for value in read.values())
        for names in sets:
            for i in range(3):
                assert [read[name][i, 0] for name in names] == pytest.approx(want[names][i], rel=ROUNDING)
        assert system.evaluated(cache, "train") is system.evaluated(cache, "train")


def test_large_outputs_do_not_overflow():
    system = ak.dense(SMALL.replace(kernel="softmax"), 2)
    params = system.start.copy()
    system.layout.views(params).W_2[...] *= 1e6
    _, cache = state(system, params)
    assert 1e3 < cache.loss < 1e8 and np.isfinite(slope(system, params)).all()


def test_it_learns_sentences():
    """A sanity check of task and model together: 40 sentences are learnt by heart by both kernels."""
    system = ak.dense(ak.Classification(D=8, d=4, samples=40, test=2, batch=0, hidden=16, flipped=0.0), 0)
    run = simulate(system, Adam(2e-2), steps=90, record=["train_loss", "train_accuracy"], at=[])
    assert (run["train_loss"][-1] < 0.3 * run["train_loss"][0]).all() and (run["train_accuracy"][-1] > 0.9).all()


# -- two stages ------------------------------------------------------------------------------------------------------------


def test_the_first_stage_is_stochastic_gradient_descent_with_softmax():
    setting = SMALL.replace(pretrained=9, pretrain_lr=0.2, kernel="gaussian+softmax", trained="attention", batch=0)
    second = ak.dense(setting, 3)
    first = ak.dense(setting.replace(pretrained=0, kernel="softmax", trained="all", batch=4), 3)
    for s in iterate(first, GradientDescent(0.2)):
        if s.step == 9:
            break
    for name in second.weights:
        assert same_bits(second.weights[name], getattr(s.views, name)[0]), name
    assert set(second.layout.shapes) == {f"{block}_1" for block in ("W_Q", "W_K", "W_V", "W_O")}
    start = second.layout.views(second.start.copy())
    for name in second.layout.shapes:
        assert all(same_bits(one, second.weights[name]) for one in getattr(start, name)), "all kernels go on from the same weights"
    plain = ak.dense(setting.replace(pretrained=0), 3)
    assert same_bits(plain.train.tokens, second.train.tokens) and not same_bits(plain.weights["W_1"], second.weights["W_1"])
    run = simulate(second, GradientDescent(0.2), steps=2, at=[])
    assert_same_bits(run, simulate(ak.dense(setting, 3), GradientDescent(0.2), steps=2, at=[]))


def test_streams_of_the_classifier():
    base = ak.dense(SMALL, 4)
    for change, moved in (({"layers": 2}, set()), ({"H": 3}, {"W_Q_1", "W_K_1", "W_V_1", "W_O_1"}), ({"hidden": 7}, {"W_1", "b_1", "W_2"}),
                          ({"kernel": "gaussian"}, set()), ({"trained": "attention"}, set()), ({"residual": False}, set())):
        other = ak.dense(SMALL.replace(**change), 4)
        changed = {name for name, w in base.weights.items() if not same_bits(w, other.weights[name])}
        assert changed == moved, change
        assert same_bits(other.train.tokens, base.train.tokens) and same_bits(other.test.tokens, base.test.tokens)
    train, test = draw_tokens(SMALL, 4)
    assert same_bits(train.y, base.train.y) and same_bits(test.tokens, base.test.tokens)
    assert base.batch_seed.spawn_key == streams(4)["batches"].spawn_key and isinstance(state(base)[0], SimpleNamespace)
    assert not base.weights["b_1"].any() and not base.weights["b_2"].any()
