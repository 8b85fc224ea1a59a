"""Systems from seeds and from bags of one's own: leaving out absent tokens is exact, and errors say what to give."""

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.optimizers import GradientFlow
from dynsim.registry import system_module
from dynsim.system import Inexact
from dynsim.systems import cooccurrence as co
from dynsim.systems.cooccurrence.build import _restrict

from ...helpers import RULES, gap
from .helpers import definition, random_weights

SMALL = co.Setting(n=12, L=4, m=6, m1=5, c0=1.5, vocabulary=60)
FIELDS = ["train_loss", "rho", "G", "scores", "random_score_change", "test_loss_seen", "test_loss_unseen", "test_error_seen"]


@pytest.mark.parametrize("name", [*RULES, "flow"])
def test_absent_tokens_never_move_and_leaving_them_out_is_exact(name):
    rule = RULES.get(name, GradientFlow())
    options = {"until": 5.0} if name == "flow" else {"steps": 60}
    dense, small = co.dense(SMALL, seed=1), co.restricted(SMALL, seed=1)
    present = dense.bags.present
    assert len(present) == small.bags.d < dense.bags.d == 60
    runs = [simulate(system, rule, record=FIELDS, at=[], **options) for system in (dense, small)]
    moved, kept = dense.layout.views(runs[0].final), small.layout.views(runs[1].final)
    absent = np.setdiff1d(np.arange(60), present)
    size = 1e-6 if name == "flow" else 1e-11  # a flow's tolerance is a mean over all entries, of which there are more or fewer
    for block in ("W_V", "W_K", "W_Q"):
        assert (getattr(moved, block)[absent] == 0.0).all() and getattr(moved, block)[present].any(axis=1).all()
        assert gap(getattr(moved, block)[present], getattr(kept, block)) < size, block
    for quantity in FIELDS:
        assert gap(runs[0][quantity], runs[1][quantity]) < 10 * size, quantity


def test_fresh_samples_have_their_own_tokens():
    dense, small = co.dense(SMALL, seed=1), co.restricted(SMALL, seed=1)
    seen, unseen = dense.fresh["seen"].bags, dense.fresh["unseen"].bags
    assert seen.n == unseen.n == 1200 and seen.d == 60 and not np.isin(unseen.tokens[unseen.tokens >= 3], np.arange(60)).any()
    assert 290 < len(np.unique(unseen.tokens[unseen.tokens >= 3])) <= 300 and np.isin(seen.tokens, np.arange(60)).all()
    for bags in (seen, unseen):
        assert (np.bincount(bags.kinds, minlength=5)[1:] > 100).all() and (bags.y == np.where(bags.kinds == 1, 1, -1)).all()
    for name in ("seen", "unseen"):  # the same samples, with the same weights, whatever the numbers of the tokens
        losses = []
        for system in (dense, small):
            fresh = system.fresh[name]
            weights = {**system.initial, **{w: np.concatenate([system.initial[w], fresh.extra[w]]) for w in ("W_V", "W_K", "W_Q")}}
            losses.append(definition(weights, fresh.bags.tokens[:20], fresh.bags.y[:20]).F)
        assert gap(*losses) < 1e-13
    other = co.dense(SMALL, seed=2).fresh["seen"].bags
    assert not np.array_equal(other.tokens, seen.tokens)


@pytest.mark.parametrize("name", [*RULES, "flow"])
def test_the_smallest_system_that_is_exact(name):
    rule = RULES.get(name, GradientFlow())
    system = co.best(SMALL, rule, seed=3)
    want = "restricted" if rule.kind == "coordinatewise" else "lumped"
    assert system.provenance["engine"] == want and system.bags.d < 60
    assert simulate(system, rule, **({"until": 0.1, "at": []} if name == "flow" else {"steps": 1})).success
    assert set(system.observables) == set(co.OBSERVABLES)


def test_what_is_exact_for_what():
    with pytest.raises(Inexact, match="use restricted or dense"):
        co.lumped(SMALL, Adam(0.1))
    assert co.lumped(SMALL, GradientDescent).exact_for == {"linear", "flow"} == co.lumped(SMALL, GradientFlow).exact_for
    assert co.lumped(SMALL, SignGD).exact_for == {"sign"} and co.dense(SMALL).exact_for == {"any"}
    for build in (co.dense, co.restricted, lambda setting: co.lumped(setting, SignGD)):
        with pytest.raises(ValueError, match="single run.*seeds one by one"):
            build(SMALL).replicates(0)


def test_engines_by_name():
    assert dict(co.ENGINES) == {"gram": co.gram, "neurons": co.neurons}
    experiment = co.experiment("tiny").replace(setting=co.Setting(n=6, L=3, m=4, m1=2), until=1.0, points=3, record=("train_loss",))
    runs = {engine: experiment.run(engine=engine) for engine in ("dense", "restricted", "lumped", "gram", "neurons")}
    for engine, run in runs.items():
        assert run.provenance["engine"] == engine and gap(run["train_loss"], runs["dense"]["train_loss"]) < 1e-7
    with pytest.raises(ValueError, match="did you mean 'gram'"):
        experiment.run(engine="gra")
    assert system_module("cooccurrence") is co


@pytest.mark.parametrize("build", [co.dense, co.restricted, co.gram, co.neurons])
def test_constants_and_provenance(build):
    system = build(SMALL, seed=4)
    dense = co.dense(SMALL, seed=4)
    assert system.provenance["seed"] == 4 and system.provenance["setting"] == SMALL.to_dict()
    assert system.provenance["system"] == "cooccurrence"
    assert set(system.constants) == set(dense.constants)
    for name, value in dense.constants.items():
        np.testing.assert_array_equal(system.constants[name], value)
    w, at = dense.initial, definition(dense.initial, dense.bags.tokens, dense.bags.y)
    g = 1 / (1 + np.exp(dense.bags.y * at.F))
    z = np.einsum("i,ikc,ikl->c", g * dense.bags.y, np.eye(60)[dense.bags.tokens], at.p) / 12
    u = w["W"].T @ w["a"]
    rates = np.multiply.outer(w["a"] * (w["W"] @ u), z) + np.multiply.outer(w["a"] ** 2, w["W_V"] @ w["W_V"].T @ z)
    want = {
        "head": 5.0, "rho_0": u @ u, "F_0": np.abs(at.F).max(), "m": 6.0, "m1": 5.0, "n": 12.0, "L": 4.0, "d": 60.0, "signs": 1.0,
        "labels": 1.0, "all_different": 0.0, "shares": [1 / 2, 1 / 6, 1 / 6, 1 / 6], "scores_0": (w["W_K"] @ w["W_Q"].T)[:3, :3],
        "softmax_0": np.abs(at.p - 0.25).max(), "G_random_0": np.abs(at.G[3:]).max(), "neuron_rates": rates[:, :3],
        "neuron_random_rate": np.abs(rates[:, 3:]).max(),
    }
    assert set(want) == set(system.constants) - {"initial_bounds"}
    for name, value in want.items():
        np.testing.assert_allclose(system.constants[name], value, rtol=1e-11, atol=1e-14, err_msg=name)
    assert "initial_bounds" not in build(SMALL.replace(init="kaiming_uniform")).constants


@pytest.mark.parametrize("change", [{}, {"init": "kaiming_uniform", "output": "kaiming"}])
def test_neuron_rates_are_those_of_the_gradient_whatever_the_last_layer(change):
    system = co.dense(SMALL.replace(**change), seed=4)
    start, down = system.layout.views(system.start), system.layout.views(np.zeros(system.layout.size))
    system.backward(start, system.forward(start), down)
    w = system.initial
    rates = -w["a"][:, None] * (down.W @ w["W_V"].T + w["W"] @ down.W_V.T)  # a_j d(w_j . W_V[c])/dt by the product rule
    np.testing.assert_allclose(system.constants["neuron_rates"], rates[:, :3], rtol=1e-10, atol=1e-14)


# -- bags of one's own -----------------------------------------------------------------------------------------------------

TOKENS, LABELS = [[0, 1, 2, 3], [2, 0, 7, 7], [2, 4, 4, 1]], [1, -1, -1]


def test_a_vocabulary_of_ones_own():
    weights = random_weights(np.random.default_rng(0), 8)
    system = co.from_bags(TOKENS, LABELS, weights={name: w.tolist() for name, w in weights.items()})
    assert system.bags.d == 8 and system.provenance["setting"] is None and system.provenance["seed"] is None
    run = simulate(system, GradientDescent(0.1), steps=30)
    want = definition(weights, np.array(TOKENS), np.array(LABELS))
    assert gap(run["train_loss"][0], want.loss) < 1e-13 and run["train_loss"][-1] < run["train_loss"][0]
    views = system.layout.views(run.final)
    assert (views.W_V[[5, 6]] == 0.0).all() and views.W_V[7].all()
    drawn = co.from_bags(TOKENS, LABELS, setting=SMALL, seed=5)
    same, other = co.from_bags(TOKENS, LABELS, setting=SMALL, seed=5), co.from_bags(TOKENS, LABELS, setting=SMALL, seed=6)
    assert np.array_equal(drawn.initial["W"], same.initial["W"]) and not np.array_equal(drawn.initial["W"], other.initial["W"])
    assert drawn.initial["W_V"].shape == (8, 6) and drawn.provenance["seed"] == 5
    assert _restrict(drawn).bags.d == 6
    held = co.from_bags(TOKENS, LABELS, setting=SMALL.replace(attention=False))
    assert not held.attention


GOOD = random_weights(np.random.default_rng(0), 8)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give weights or a setting to draw them for, not neither"), ({"weights": GOOD, "setting": SMALL}, "not both"),
        ({"weights": {name: w for name, w in GOOD.items() if name != "W_K"}}, "must hold W, W_V, W_K, W_Q and a: check W_K"),
        ({"weights": {**GOOD, "W_O": 1.0}}, "check W_O"), ({"weights": {**GOOD, "W": np.ones(4)}}, r"weights\['W'\] has shape \(4,\)"),
        ({"weights": {**GOOD, "W_Q": np.ones((7, 4))}}, r"weights\['W_Q'\] has shape \(7, 4\); it must have shape \(8, 4\)"),
        ({"weights": {**GOOD, "a": np.ones(4)}}, r"weights\['a'\]"), ({"weights": {**GOOD, "a": np.full(3, np.nan)}}, "finite entries"),
    ],
)
def test_bad_weights(options, says):
    with pytest.raises(ValueError, match=says):
        co.from_bags(TOKENS, LABELS, **options)


def test_bad_bags_are_refused_first():
    with pytest.raises(ValueError, match="y has shape"):
        co.from_bags(TOKENS, [1], weights=GOOD)


def test_bags_of_ones_own_have_no_law_to_draw_fresh_ones_from():
    fresh = {f"test_{what}_{whose}" for what in ("loss", "error") for whose in ("seen", "unseen")}
    for system in (co.from_bags(TOKENS, LABELS, weights=GOOD), co.from_bags(TOKENS, LABELS, setting=SMALL)):
        assert set(co.OBSERVABLES) - set(system.observables) == fresh
        assert set(simulate(system, GradientDescent(0.1), steps=1).arrays) == set(system.observables)
        with pytest.raises(ValueError, match="unknown recorded quantity 'test_loss_seen'"):
            simulate(system, GradientDescent(0.1), steps=1, record=["test_loss_seen"])
