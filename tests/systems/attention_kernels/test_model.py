"""The model: loss and gradients of every set of trained blocks, kernels and starts that do not meet, runs that go on, files."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, GradientFlow, SignGD, load, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.attention import BLOCKS
from dynsim.systems.attention_kernels.kernels import KERNELS, Kernel

from ...helpers import assert_same_bits, gap, same_bits
from .helpers import ALL, ROUNDING, alone, elsewhere, gradient, looped, random_weights, slope, state

SUBSETS = ["".join(letters) for size in range(1, 5) for letters in combinations("QKVO", size)]
SMALL = ak.Regression(N=3, n=3, D=4, d=2, H=2, d_o=2, kernel=ALL)
READ_OUTS = {
    "token-level": SMALL, "pooled": SMALL.replace(pooled=True), "one token": SMALL.replace(n=1), "scalar": SMALL.replace(d_o=1, H=1),
}


def with_starts(setting, starts, seed=0):
    """Return the model from several starts at once, as the examples have them."""
    model, rng = ak.dense(setting, seed), np.random.default_rng(seed + 50)
    weights = random_weights(rng, setting.D, setting.H, setting.d, setting.d_o, lead=(starts,))
    return replace(model, weights=weights, observables={name: model.observables[name] for name in ("train_loss", "grad_norm")})


def weights_of(model, params, kernel, start):
    views = model.layout.views(params)
    return {name: w[start] for name, w in model.blocks(views, kernel).items()}


# -- loss and gradient -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", READ_OUTS)
def test_loss_and_gradient_are_those_of_the_definition(case):
    """The loss by loops, the gradient by autograd of the formula, for three kernels from two starts each."""
    model = with_starts(READ_OUTS[case].replace(trained="QKVO"), 2)
    params = elsewhere(model)
    _, cache = state(model, params)
    found, s = model.layout.views(slope(model, params)), model.samples
    assert cache.losses.shape == (3, 2) and cache.loss == pytest.approx(cache.losses.sum(), rel=1e-15)
    for i, kernel in enumerate(KERNELS):
        for start in range(2):
            W = weights_of(model, params, i, start)
            want = ((s.U @ looped(s.X, W, kernel, model.c) - s.Y[i]) ** 2).sum() / (2.0 * len(s.X))
            assert cache.losses[i, start] == pytest.approx(want, rel=ROUNDING)
            wanted = gradient(s.X, s.Y[i], s.U, W, kernel, model.c)
            size = max(np.abs(g).max() for g in wanted.values())
            for name in BLOCKS:
                assert np.abs(getattr(found, name)[i, start] - wanted[name]).max() < ROUNDING * size, (kernel, name)


@pytest.mark.parametrize("case", READ_OUTS)
@pytest.mark.parametrize("trained", SUBSETS)
def test_gradient_of_every_set_of_trained_blocks(trained, case):
    """Complex steps, which have rounding error only, kernel by kernel: a large gradient of one must not hide that of another."""
    for kernel in KERNELS:
        setting = READ_OUTS[case].replace(trained=trained, kernel=kernel)
        model = with_starts(setting, 2) if trained in ("Q", "QKV", "QKVO") else ak.dense(setting, 3)
        assert list(model.layout.shapes) == [name for name in BLOCKS if name[-1] in trained]
        params = elsewhere(model)
        if case == "one token" and kernel != "gaussian":  # its row is 1 whatever it asks: both gradients are rounding, or 0
            moved = model.layout.views(slope(model, params))
            assert all(np.abs(getattr(moved, name)).max() < 1e-15 for name in model.layout.shapes if name in ("W_Q", "W_K"))
            errors = {name: e for name, e in gradcheck(model, params, directions=1).errors.items() if name not in ("W_Q", "W_K")}
            assert all(e < ROUNDING for e in errors.values()) or set(trained) <= {"Q", "K"}, (kernel, errors)
        else:
            check = gradcheck(model, params, directions=1)
            assert check.worst < ROUNDING, f"{kernel}\n{check}"


def spoiled(kernel):
    """Return a kernel whose pullback takes the scale of the logits one hundredth too large."""
    def pullback(dS, S, Q, K, c, keys=True):
        return kernel.pullback(dS, S, Q, K, 1.01 * c, keys)

    return Kernel(kernel.name, kernel.title, kernel.value, pullback)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_wrong_scale_in_the_pullback_is_caught(kernel):
    model = ak.dense(SMALL.replace(trained="QKVO", kernel=kernel), 0)
    params = elsewhere(model)
    assert gradcheck(model, params).passed
    check = gradcheck(replace(model, kernels=(spoiled(KERNELS[kernel]),)), params)
    assert not check.passed and min(check.errors["W_Q"], check.errors["W_K"]) > 1e-4
    assert max(check.errors["W_V"], check.errors["W_O"]) < ROUNDING, "only queries and keys meet the scale on the way back"


def test_a_wrong_read_out_is_caught():
    """Pooled targets with the token-level pullback: the transposed read-out is no formality."""
    model = ak.dense(SMALL.replace(trained="V", pooled=True, n=2, N=2), 0)
    wrong = replace(model, samples=replace(model.samples, U=np.array([[0.25, 0.75]])))
    assert gradcheck(wrong, elsewhere(wrong)).passed
    assert gap(slope(model, elsewhere(model)), slope(wrong, elsewhere(wrong))) > 1e-3


def test_frozen_blocks_keep_their_initial_weights():
    setting = SMALL.replace(trained="V")
    model = ak.dense(setting, 0)
    run = simulate(model, GradientDescent(0.1), steps=5, at=[])
    views = model.layout.views(run.final)
    assert [name for name in BLOCKS if hasattr(views, name)] == ["W_V"] and set(model.layout.shapes) == {"W_V"}
    for i in range(3):
        now = model.blocks(views, i)
        assert all(now[name] is model.weights[name] for name in BLOCKS if name != "W_V") and not same_bits(now["W_V"], model.weights["W_V"])


# -- kernels and starts are as if alone ------------------------------------------------------------------------------------

RULES = {"GD": GradientDescent(0.2), "heavy ball": GradientDescent(0.05, momentum=0.9), "SignGD": SignGD(1e-2), "Adam": Adam(1e-2)}


@pytest.mark.parametrize("name", RULES)
def test_each_kernel_and_start_moves_as_if_alone(name):
    """To rounding: products of other shapes add up in another order. No rule's steps amplify it a thousandfold in 30 steps."""
    model = with_starts(SMALL.replace(trained="QKVO"), 2)
    run = simulate(model, RULES[name], steps=30)
    assert run["train_loss"].shape == run["grad_norm"].shape == (31, 3, 2) and run.dims["train_loss"] == ("step", "kernel", "start")
    for i, kernel in enumerate(KERNELS):
        for start in range(2):
            one = replace(
                model, kernels=(KERNELS[kernel],), weights={b: w[start : start + 1] for b, w in model.weights.items()},
                samples=replace(model.samples, Y=model.samples.Y[i : i + 1]),
            )
            single = simulate(one, RULES[name], steps=30)
            assert gap(single.final, alone(model, run.final, i, start)) < 1e-11
            for quantity in ("train_loss", "grad_norm"):
                assert gap(single[quantity][:, 0, 0], run[quantity][:, i, start]) < 1e-10
    assert gap(alone(model, run.final, 0, 0), alone(model, run.final, 1, 0)) > 1e-3, "they do differ"


def test_a_sample_more_often_counts_as_often():
    """f is a mean over samples: twice the same samples is the same loss and the same gradient."""
    model = ak.dense(SMALL.replace(trained="QKVO"), 0)
    s = model.samples
    doubled = replace(model, samples=replace(s, X=np.concatenate([s.X, s.X]), Y=np.concatenate([s.Y, s.Y], axis=1)))
    params = elsewhere(model)
    assert gap(state(model, params)[1].losses, state(doubled, params)[1].losses) < 1e-14
    assert gap(slope(model, params), slope(doubled, params)) < 1e-13


def test_no_replicates_axis():
    classes = ak.Classification(samples=4, test=2, batch=0, pretrain_batch=1)
    for system in (ak.dense(SMALL), ak.queries(ak.Example(starts=2)), ak.dense(classes)):
        with pytest.raises(ValueError, match="no replicates axis: kernels.* of its parameters"):
            system.replicates(0)


# -- runs ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_a_run_that_goes_on_is_the_undisturbed_run(name):
    model = ak.dense(SMALL.replace(trained="QKV"), 1)
    record = ["train_loss", "grad_norm", "value_grad_norm", "Lambda"]
    whole = simulate(model, RULES[name], steps=20, record=record)
    first = simulate(model, RULES[name], steps=7, record=record)
    assert_same_bits(simulate(model, RULES[name], steps=13, record=record, start=first), whole, other_rows=slice(7, None))


def test_small_steps_tend_to_the_flow():
    """At first order in the rate, in all blocks."""
    model = ak.dense(SMALL.replace(trained="QKVO"), 0)
    want = simulate(model, GradientFlow(1e-11, 1e-13), until=1.0, record=["train_loss"], at=[]).final
    finals = [simulate(model, GradientDescent(lr), steps=round(1 / lr), record=["train_loss"], at=[]).final for lr in (0.02, 0.01, 0.005)]
    gaps = [np.abs(final - want).max() for final in finals]
    assert gaps[0] > 1e-4 and np.abs(np.divide(gaps[:-1], gaps[1:]) - 2.0).max() < 0.15, gaps


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_runs_are_saved_with_kernels_starts_and_constants(tmp_path, suffix):
    run = simulate(ak.dense(SMALL.replace(trained="QKV"), 1), Adam(1e-2), steps=3)
    assert {"gram_eigenvalues", "residual_squares", "rank", "rank_rule", "N", "loss_0"} <= set(run.constants)
    again = load(run.save(tmp_path / f"run{suffix}"))
    assert_same_bits(again, run)
    assert set(again.constants) == set(run.constants)
    for name, value in run.constants.items():
        assert same_bits(again.constants[name], np.asarray(value)), name
    assert again.dims == run.dims and ak.Setting.from_dict(again.provenance["setting"]) == SMALL.replace(trained="QKV")
    more = simulate(ak.dense(SMALL.replace(trained="QKV"), 1), Adam(1e-2), steps=2, start=again)
    assert_same_bits(more, simulate(ak.dense(SMALL.replace(trained="QKV"), 1), Adam(1e-2), steps=5), other_rows=slice(3, None))
