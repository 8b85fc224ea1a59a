"""The factor of the attention logits: forward pass, gradient, signs, test output and reductions know it."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import GradientDescent, SignGD, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.model import TwoTokenTransformer

from ...helpers import LUMPING_RULES, RULES, gap, same_bits
from .helpers import NINE, as_form, gradient_of, random_arrays, random_setting, run_nine

SCALES = [0.3, 2.5]
SMALL = signal_noise.Setting(n=6, d=60, s=8, m_k=9, m_v=3, sigma_0=0.05)


def scaled(system, scale):
    return replace(system, logit_scale=scale)


def forms(seed, scale):
    """Every representation, drawn and of arrays, also as a padded batch."""
    dense = scaled(signal_noise.from_arrays(**random_arrays(seed)), scale)
    yield from (dense, dense.restrict(), dense.lump(SignGD), dense.lump(GradientDescent))
    setting = random_setting(seed, disjoint=bool(seed % 2))
    for build in (signal_noise.dense, signal_noise.restricted):
        yield scaled(build(setting, seed=seed), scale)
    for rule in (SignGD, GradientDescent):
        yield scaled(signal_noise.lumped(setting, rule, seed=seed), scale)
        yield scaled(signal_noise.lumped(setting, rule, seed=[0, 1, 2]), scale)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(3))
def test_gradients(seed, scale):
    rng = np.random.default_rng(seed)
    for system in forms(seed, scale):
        assert system.logit_scale == scale
        for point in (system.start, 0.5 * rng.standard_normal(system.start.shape)):
            check = gradcheck(system, point, rng=rng)
            assert check.worst < 1e-13, str(check)


def test_a_gradient_that_forgets_the_factor_is_caught():
    class Forgets(TwoTokenTransformer):
        def backward(self, params, cache, out, *, signs=False):
            cache.system = replace(self, logit_scale=1.0)
            TwoTokenTransformer.backward(self, params, cache, out, signs=signs)

    system = scaled(signal_noise.from_arrays(**random_arrays(0)), 1.0 + 1e-9)
    assert gradcheck(system).worst < 1e-13
    assert gradcheck(as_form(system, Forgets)).errors["W_QK"] > 1e-11


@pytest.mark.parametrize("scale", SCALES)
def test_it_is_the_model_with_queries_multiplied(scale):
    """Loss, softmax and test output at (W_Q, W_K) are those of the paper's model at (scale W_Q, W_K), and dL/dW_Q is scale times its."""
    for system in (signal_noise.dense(SMALL, seed=1), signal_noise.lumped(SMALL, SignGD, seed=1)):
        point = system.start + 0.3 * np.random.default_rng(2).standard_normal(system.start.shape)
        other = point.copy()
        system.layout.views(other).W_QK[0] *= scale
        names = ["softmax_11", "softmax_21", "logit_11", "logit_21", "train_loss", "train_error"]
        ours, theirs, plain = (
            simulate(s, SignGD(1.0), steps=0, start=p, record=names)
            for s, p in ((scaled(system, scale), point), (system, other), (system, point))
        )
        assert all(gap(ours[name], theirs[name]) < 1e-13 for name in names)
        assert gap(ours["softmax_21"], plain["softmax_21"]) > 1e-2
        mine, paper = (system.layout.views(gradient_of(s, p)) for s, p in ((scaled(system, scale), point), (system, other)))
        assert gap(mine.W_QK[0], scale * paper.W_QK[0]) < 1e-12 and gap(mine.W_QK[1], paper.W_QK[1]) < 1e-12
    # the test loss of the dense form only: a lumped system's offsets are projections of weights, which would have to be multiplied, too
    dense = signal_noise.dense(SMALL, seed=1)
    point = dense.start + 0.3 * np.random.default_rng(2).standard_normal(dense.start.shape)
    other = point.copy()
    dense.layout.views(other).W_QK[0] *= scale
    pairs = ((scaled(dense, scale), point), (dense, other))
    ours, theirs = (simulate(s, SignGD(1.0), steps=0, start=p, record=["test_loss"])["test_loss"] for s, p in pairs)
    assert gap(ours, theirs) < 1e-13


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_reductions_keep_it_and_stay_exact(rule, scale):
    dense = scaled(signal_noise.dense(SMALL, seed=2), scale)
    reduced = dense.lump(rule) if rule.kind != "coordinatewise" else dense.restrict()
    assert reduced.logit_scale == scale == dense.restrict().logit_scale
    record = [*NINE, "test_loss", "ties"]
    big, small = (simulate(system, rule, steps=150, record=record) for system in (dense, reduced))
    assert big["ties"].sum() == small["ties"].sum() == 0
    for name in record:
        assert gap(small[name], big[name]) < 1e-10, name
    plain = run_nine(signal_noise.dense(SMALL, seed=2), rule, 150)
    assert gap(big["softmax_21"], plain["softmax_21"]) > 1e-3, "negative control: the factor matters"


@pytest.mark.parametrize("rule", LUMPING_RULES.values(), ids=LUMPING_RULES)
def test_batches_keep_it(rule):
    system = scaled(signal_noise.lumped(SMALL, rule, seed=range(3)), 0.3)
    run = run_nine(system, rule, 100)
    for i in range(3):
        alone = run_nine(scaled(signal_noise.lumped(SMALL, rule, seed=i), 0.3), rule, 100)
        assert all(gap(run[name][:, i], alone[name]) < 1e-12 for name in NINE)
    assert system.replicates(1).logit_scale == 0.3


@pytest.mark.parametrize("seed", range(3))
def test_signs_are_those_of_the_values(seed):
    arrays = random_arrays(seed, m_k=1000)
    arrays["W_Q"], arrays["W_K"] = 0.1 * arrays["W_Q"], 0.1 * arrays["W_K"]
    for scale in SCALES:
        for system in (scaled(signal_noise.from_arrays(**arrays), scale), scaled(signal_noise.from_arrays(**arrays), scale).lump(SignGD)):
            np.testing.assert_array_equal(np.sign(gradient_of(system, signs=True)), np.sign(gradient_of(system)))


def test_one_is_the_model_of_the_paper_to_the_bit():
    system = signal_noise.lumped(SMALL, SignGD, seed=0)
    run, same = (simulate(s, SignGD(1e-3), steps=50) for s in (system, scaled(system, 1.0)))
    assert same_bits(run.final, same.final) and "logit_scale" not in run.provenance


def test_a_run_says_which_factor_it_had():
    system = scaled(signal_noise.dense(SMALL, seed=0), 0.3)
    for one in (system, system.lump(SignGD), system.restrict(), replace(system.lump(SignGD), alternative="other")):
        assert one.provenance["logit_scale"] == 0.3
    assert "logit_scale" not in scaled(system, 1.0).provenance


@pytest.mark.parametrize("scale", [0, -1.0, np.inf, np.nan, "0.1", None])
def test_bad_factors_are_refused(scale):
    with pytest.raises(ValueError, match="logit_scale=.* must be a finite number > 0"):
        scaled(signal_noise.lumped(SMALL, SignGD, seed=0), scale)
