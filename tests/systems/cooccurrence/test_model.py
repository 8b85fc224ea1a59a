"""Forward pass and gradients against complex steps and autograd of the definition; the collapsed layer under every rule that lumps."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.gradcheck import gradcheck
from dynsim.optimizers import GradientFlow
from dynsim.system import Inexact
from dynsim.systems import cooccurrence as co
from dynsim.systems.cooccurrence.build import _lump

from ...helpers import LUMPING_RULES, gap
from .helpers import BLOCKS, definition, gradient, random_bags, random_weights

EXACT = 1e-12
"""Rounding: some hundred terms of moderate size each."""

CASES = {"few tokens, many repeated": (9, 6, 7), "many tokens": (4, 4, 40), "bags of one token": (5, 1, 6), "three tokens": (6, 5, 3)}
"""Samples, length and vocabulary."""


def systems(case, seed=0, signs=True):
    """Return the model at random weights in each of its forms: dense, and collapsed for gradients and for signs."""
    rng = np.random.default_rng(seed)
    bags = random_bags(rng, *CASES[case])
    dense = co.from_bags(bags.tokens, bags.y, weights=random_weights(rng, bags.d, signs=signs))
    return {"dense": dense, "linear": _lump(dense, GradientFlow), "sign": _lump(dense, SignGD)}


def elsewhere(system, seed=1):
    """Return random displacements as large as the weights."""
    return 0.5 * np.random.default_rng(seed).standard_normal(system.layout.size)


def branch(system, few):
    """Return the system with the way its scores are computed chosen by hand."""
    other = replace(system)
    vars(other)["few"] = few
    return other


def derivative(system, params):
    out, views = np.empty(system.layout.size), system.layout.views(params)
    system.backward(views, system.forward(views), system.layout.views(out))
    return system.layout.views(out)


# -- forward pass and gradient ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_loss_is_the_definition(case):
    for name, system in systems(case, signs=False).items():
        params = elsewhere(system)
        want = definition(system.weights(params), system.bags.tokens, system.bags.y)
        for few in (True, False):
            cache = branch(system, few).forward(system.layout.views(params))
            for quantity in ("p", "G", "F", "loss"):
                assert gap(getattr(cache, quantity), getattr(want, quantity)) < EXACT, (name, few, quantity)
            np.testing.assert_allclose(cache.g, 1.0 / (1.0 + np.exp(system.bags.y * want.F)), rtol=1e-12)
    other = {**system.weights(params), "W_K": system.weights(params)["W_Q"], "W_Q": system.weights(params)["W_K"]}
    moved = definition(other, system.bags.tokens, system.bags.y).loss  # negative control: keys and queries exchanged
    assert abs(moved - want.loss) > 1e-6 or case == "bags of one token"


@pytest.mark.parametrize("few", [True, False], ids=["all scores", "each sample's scores"])
@pytest.mark.parametrize("case", CASES)
def test_gradient_against_complex_steps(case, few):
    for name, system in systems(case, signs=False).items():
        check = gradcheck(branch(system, few), elsewhere(system))
        assert check.worst < EXACT, f"{name}\n{check}"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_gradient_against_autograd_of_the_definition(case, seed):
    for name, system in systems(case, seed, signs=False).items():
        params = elsewhere(system, seed + 7)
        found, want = derivative(system, params), gradient(system.weights(params), system.bags.tokens, system.bags.y)
        size = max(np.abs(part).max() for part in want.values())  # bags of one token do not move keys at all
        for block in BLOCKS[1:]:
            assert np.abs(getattr(found, block) - want[block]).max() < EXACT * size, (name, block)
        if name == "dense":
            assert gap(found.W, want["W"]) < EXACT
        else:  # the loss depends on u = W^T a, so that W's gradient is a times u's
            assert gap(np.multiply.outer(system.initial["a"], found.u), want["W"]) < EXACT
        assert found.tau == 0.0


@dataclass(frozen=True, eq=False)
class Spoiled:
    """A system whose gradient of one block is wrong by a part in 1e6."""

    system: Any
    block: str

    @property
    def layout(self):
        return self.system.layout

    def forward(self, params):
        return self.system.forward(params)

    def backward(self, params, cache, out, *, signs=False):
        self.system.backward(params, cache, out)
        getattr(out, self.block)[...] *= 1.0 + 1e-6


@pytest.mark.parametrize("block", [*BLOCKS, "u"])
def test_a_spoiled_gradient_is_caught(block):
    system = systems("few tokens, many repeated")["linear" if block == "u" else "dense"]
    check = gradcheck(Spoiled(system, block), elsewhere(system))
    assert not check.passed and check.errors[block] > 1e-8
    assert all(error < EXACT for name, error in check.errors.items() if name not in (block, "all blocks"))


def test_both_ways_to_the_scores_agree_and_the_vocabulary_chooses():
    for case, few in (("few tokens, many repeated", True), ("many tokens", False)):
        for system in systems(case).values():
            assert system.few == few
            params = elsewhere(system)
            one, other = (derivative(branch(system, way), params) for way in (True, False))
            for name in system.layout.shapes:
                assert gap(getattr(one, name), getattr(other, name)) < EXACT


def test_the_velocity_is_the_scaled_gradient_and_the_clock():
    for name, system in systems("many tokens", signs=False).items():
        params, out = elsewhere(system), np.empty(system.layout.size)
        views = system.layout.views(params)
        cache = system.forward(views)
        system.velocity(views, cache, system.layout.views(out))
        moved, slope = system.layout.views(out), derivative(system, params)
        a = system.initial["a"]
        first = "W" if name == "dense" else "u"
        assert gap(getattr(moved, first), -(1.0 if name == "dense" else a @ a) * getattr(slope, first)) < EXACT
        for block in BLOCKS[1:]:
            assert gap(getattr(moved, block), -getattr(slope, block)) < EXACT
        u = system.weights(params)["W"].T @ a
        assert gap(moved.tau[0], u @ u) < EXACT
        step = {"dense": 1.0, "linear": a @ a, "sign": np.abs(a).sum()}[name]  # signs flow like gradients, but step otherwise
        np.testing.assert_array_equal(np.unique(np.broadcast_to(system.step_scale, params.shape)), np.unique([1.0, step]))


def test_columns_of_B_sum_to_zero():
    """What attention gives to one key it takes from the others."""
    for case in CASES:
        system = systems(case)["dense"]
        cache = system.forward(system.layout.views(elsewhere(system)))
        co.model.forces(system.bags, cache, system.m)
        assert np.abs(cache.b.sum(axis=1)).max() < 1e-13 * max(np.abs(cache.b).max(), 1e-300)


def test_held_attention_moves_no_key_and_no_query():
    setting = co.Setting(n=6, L=4, m=5, m1=3, c0=1.0, attention=False)
    for system, rule in ((co.dense(setting), SignGD(1e-2)), (co.lumped(setting, GradientDescent), GradientDescent(0.1)),
                         (co.lumped(setting, GradientFlow), GradientFlow())):
        options = {"at": [], "record": ["softmax_change", "score_change", "value_change"]}
        options |= {"until": 3.0} if rule == GradientFlow() else {"steps": 20}
        run = simulate(system, rule, **options)
        now = system.weights(run.final)
        for name in ("W_K", "W_Q"):
            np.testing.assert_array_equal(now[name], system.initial[name])
        assert run["softmax_change"].max() == 0.0 and (run["score_change"] == 0.0).all() and run["value_change"].any()
        free = replace(system, attention=True)
        assert simulate(free, rule, **options)["softmax_change"][-1] > 0.0


def test_tiny_displacements_keep_their_digits():
    """Scores of size one that move by 1e-12: subtracting them would leave four digits."""
    system = systems("few tokens, many repeated")["dense"]
    params = 1e-12 * elsewhere(system)
    views = system.layout.views(params)
    for name, (left, right) in {"score": ("W_K", "W_Q"), "value": ("W_V", "W_V"), "key": ("W_K", "W_K"), "query": ("W_Q", "W_Q")}.items():
        A, B = (system.initial[block].astype(np.longdouble) for block in (left, right))
        dA, dB = (getattr(views, block).astype(np.longdouble) for block in (left, right))
        want = (dA @ B.T + A @ dB.T + dA @ dB.T).astype(float)
        assert gap(system.change(name, views), want) < 1e-14
        assert gap(system.change(name, views, 3), want[:3, :3]) < 1e-14
        now = (system.initial[left] + getattr(views, left)) @ (system.initial[right] + getattr(views, right)).T
        assert gap(now - system.initial[left] @ system.initial[right].T, want) > 1e-6


# -- the collapsed layer ---------------------------------------------------------------------------------------------------

SETTINGS = {
    "signs": co.Setting(n=6, L=4, m=6, m1=5, c0=1.5),
    "small vocabulary": co.Setting(n=12, L=5, m=6, m1=5, c0=1.5, vocabulary=9),
    "kaiming output": co.Setting(n=12, L=5, m=6, m1=5, vocabulary=9, init="kaiming_uniform", output="kaiming"),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", LUMPING_RULES)
def test_lumped_runs_are_dense_runs(name, setting):
    """To rounding, which 150 steps multiply by some hundreds; signs have no ties here, so that none is decided by rounding."""
    rule = LUMPING_RULES[name]
    dense, lumped = co.dense(setting, seed=1), co.lumped(setting, rule, seed=1)
    runs = {"dense": simulate(dense, rule, steps=150, at=[]), "lumped": simulate(lumped, rule, steps=150, at=[])}
    want, found = dense.weights(runs["dense"].final), lumped.weights(runs["lumped"].final)
    present = dense.bags.present
    for block in BLOCKS:
        rows = slice(None) if block == "W" else present
        assert gap(want[block], dense.initial[block]) > 1e-3, "it moves"
        assert gap(found[block], want[block][rows]) < 1e-11, block
    change = want["W"] - dense.initial["W"]
    values = np.linalg.svd(change, compute_uv=False)
    assert values[1] < 1e-13 * values[0], "W moves by one product of two vectors"
    assert lumped.layout.size < dense.layout.size and "u" in lumped.layout.shapes


@pytest.mark.parametrize("rule", [SignGD(1e-3), Adam(1e-3, eps=0.0)], ids=["SignGD", "Adam(eps=0)"])
def test_a_rule_of_signs_lumped_for_gradients_is_another_model(rule):
    """The negative control of the last layer's shape: with a that are no signs, a and sgn(a) differ."""
    setting = SETTINGS["kaiming output"]
    dense, wrong = co.dense(setting, seed=1), co.lumped(setting, GradientDescent, seed=1)
    with pytest.raises(Inexact, match="exact only for rules of kind flow, linear.*use dense"):
        simulate(wrong, rule, steps=1)
    forced = replace(wrong, exact_for=frozenset({"any"}))
    finals = [s.weights(simulate(s, rule, steps=50, at=[]).final)["W"] for s in (dense, forced)]
    assert gap(*finals) > 1e-3


def test_who_lumps_for_whom():
    setting = SETTINGS["signs"]
    signs, linear = co.lumped(setting, SignGD), co.lumped(setting, GradientDescent)
    for system, rule in ((signs, GradientFlow()), (signs, GradientDescent(0.1)), (linear, SignGD(0.1)), (linear, Adam(0.1)),
                         (signs, Adam(0.1))):
        with pytest.raises(Inexact, match="lump again for this rule, or use dense"):
            simulate(system, rule, **({"until": 1.0} if rule == GradientFlow() else {"steps": 1}))
    assert simulate(linear, GradientFlow(), until=0.1, at=[]).success and simulate(signs, Adam(1e-3, eps=0.0), steps=1).success
    with pytest.raises(Inexact, match="'coordinatewise'.*neurons do not move alike: use restricted or dense"):
        co.lumped(setting, Adam(0.1))
    assert simulate(co.restricted(setting), Adam(0.1), steps=1).success


def test_small_steps_of_gradient_descent_tend_to_the_flow():
    """At first order, in all weights."""
    setting, until = SETTINGS["small vocabulary"], 2.0
    system = co.lumped(setting, GradientFlow)
    want = system.weights(simulate(system, GradientFlow(1e-11, 1e-13), until=until, at=[]).final)
    gaps = []
    for lr in (0.02, 0.01, 0.005):
        found = system.weights(simulate(system, GradientDescent(lr), steps=round(until / lr), at=[]).final)
        gaps.append([np.abs(found[block] - want[block]).max() for block in BLOCKS])
    ratios = np.divide(gaps[:-1], gaps[1:])
    assert (np.abs(ratios - 2.0) < 0.15).all(), ratios
