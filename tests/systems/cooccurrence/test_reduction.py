"""The closed systems of inner products against the matrices they are products of."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.optimizers import GradientFlow
from dynsim.system import Inexact
from dynsim.systems import cooccurrence as co
from dynsim.systems.cooccurrence.reduction import GramFlow, inner_products

from ...helpers import gap
from .helpers import BLOCKS, flat, random_bags, random_weights

SUMMED = ("rho", "G", "value", "score", "key", "query")
EACH = ("x", "products", "value", "score", "key", "query")


def random_system(seed, *, signs):
    """Return the model with random weights, on random bags of a small vocabulary."""
    rng = np.random.default_rng(seed)
    bags = random_bags(rng, 9, 5, 8)
    return co.from_bags(bags.tokens, bags.y, weights=random_weights(rng, bags.d, signs=signs))


def velocities(system, params):
    out, views = np.empty(system.layout.size), system.layout.views(params)
    system.velocity(views, system.forward(views), system.layout.views(out))
    return system.layout.views(out)


def product_rule(w, v):
    """Return the velocities of all inner products at weights w that move with v; a is fixed."""
    a, u, du = w["a"], w["W"].T @ w["a"], v.W.T @ w["a"]

    def both(left, right):
        return getattr(v, left) @ w[right].T + w[left] @ getattr(v, right).T

    return {
        "rho": np.array([2.0 * u @ du]), "G": v.W_V @ u + w["W_V"] @ du, "x": both("W", "W_V"), "products": both("W", "W"),
        "value": both("W_V", "W_V"), "score": both("W_K", "W_Q"), "key": both("W_K", "W_K"), "query": both("W_Q", "W_Q"),
    }, a


@pytest.mark.parametrize("displaced", [False, True], ids=["at the start", "elsewhere"])
@pytest.mark.parametrize("signs", [True, False], ids=["signs", "any output layer"])
@pytest.mark.parametrize("names", [SUMMED, EACH], ids=["summed", "each neuron"])
def test_right_hand_sides_are_the_product_rule_on_the_matrices(names, signs, displaced):
    """To 1e-13 of the largest entry: sums of at most some hundred terms."""
    for seed in range(3):
        dense = random_system(seed, signs=signs)
        params = 0.5 * np.random.default_rng(seed + 50).standard_normal(dense.layout.size) * displaced
        now = dense.weights(params)
        want, a = product_rule(now, velocities(dense, params))
        first, then = inner_products(dense.initial), inner_products(now)
        system = GramFlow(dense.bags, dense.m, a, first, names == EACH)
        moved = flat(system, {name: then[name] - first[name] for name in names})
        found = velocities(system, moved)
        for name in names:
            assert gap(getattr(found, name), want[name]) < 1e-13, name
        assert gap(found.tau, then["rho"]) < 1e-13
        # negative control: another point has another velocity
        assert gap(velocities(system, moved + 0.01).score, want["score"]) > 1e-4


# -- four levels of one flow -----------------------------------------------------------------------------------------------

CLOSED = co.Setting(n=24, L=5, m=40, m1=16, c0=0.15 * np.sqrt(200.0), c1=1.0)  # sigma_0 = .15, sigma_1 = .25
ENDS = [0.0, 1.0, 30.0, 200.0]


def simulate_levels():
    """Return runs of all four levels to t = 200, where rho has more than doubled: rtol 1e-11, a hundred times below what is compared."""
    systems = {"dense": co.dense(CLOSED), "lumped": co.lumped(CLOSED, GradientFlow), "gram": co.gram(CLOSED), "neurons": co.neurons(CLOSED)}
    rule = GradientFlow(1e-11, 1e-13)
    return {name: (s, simulate(s, rule, until=200.0, at=ENDS, record=list(s.observables))) for name, s in systems.items()}


def products_of(system, run):
    """Return every inner product at the end of a run."""
    if hasattr(system, "weights"):
        return inner_products(system.weights(run.final))
    views = system.layout.views(run.final)
    found = {name: system.initial[name] + getattr(views, name) for name in system.layout.shapes if name != "tau"}
    if system.neurons:
        found |= {"rho": system.a @ found["products"] @ system.a, "G": system.a @ found["x"]}
    return found


def four_levels_agree(levels):
    """To 1e-9 of the size of each: errors of 1e-11 a step over some hundred steps of a flow that settles."""
    assert CLOSED.sigma_0 == pytest.approx(0.15) and CLOSED.sigma_1 == 0.25 and levels["dense"][0].bags.d == 67
    want = products_of(*levels["dense"])
    start = inner_products(levels["dense"][0].initial)
    for name, (system, run) in levels.items():
        found = products_of(system, run)
        for quantity in set(found) & set(want):
            assert gap(np.squeeze(found[quantity]), np.squeeze(want[quantity])) < 1e-9, (name, quantity)
            assert gap(want[quantity], start[quantity]) > 1e-3, "it moves"
    assert set(products_of(*levels["neurons"])) == {*SUMMED, *EACH}


def they_have_the_same_quantities(levels):
    """What is a difference of 1e-9 at most in the parameters is no more in them: rates on the scale of what they are rates of."""
    _, dense = levels["dense"]
    for name, (system, run) in levels.items():
        for quantity in set(system.observables) - {"identities", "invariants"}:
            assert gap(run[quantity], dense[quantity][: len(run[quantity])]) < 1e-8, (name, quantity)


def identities_and_conserved_numbers(levels):
    """Identities hold to rounding, 1e-12 of their terms; conserved numbers to the solver's error, 1e-10 of theirs."""
    for name, (_, run) in levels.items():
        assert np.abs(run["identities"]).max() < 1e-12, name
        assert np.abs(run["invariants"]).max() < 1e-10 and (run["invariants"][0] == 0.0).all(), name
    coarse = simulate(levels["lumped"][0], GradientFlow(1e-3, 1e-3), until=200.0, at=[], record=["invariants"])
    assert np.abs(coarse["invariants"][-1]).max() > 1e-6, "negative control: a coarse solver is seen"
    steps = simulate(levels["lumped"][0], GradientDescent(0.05), steps=100, at=[], record=["invariants"])
    assert np.abs(steps["invariants"][-1]).max() > 1e-6, "negative control: gradient descent conserves nothing"


def conserved_matrices(levels):
    """uu^T - |a|^2 V^T V, W^T W - V^T V where a is signs, K^T K - Q^T Q: all (m, m)."""
    system, run = levels["dense"]
    first, last = system.initial, system.weights(run.final)

    def conserved(w):
        u = w["W"].T @ w["a"]
        return {
            "head": np.outer(u, u) - system.head * (w["W_V"].T @ w["W_V"]), "neurons": w["W"].T @ w["W"] - w["W_V"].T @ w["W_V"],
            "attention": w["W_K"].T @ w["W_K"] - w["W_Q"].T @ w["W_Q"],
        }

    for name, matrix in conserved(first).items():
        assert gap(conserved(last)[name], matrix) < 1e-9, name
    assert gap(last["W"].T @ last["W"], first["W"].T @ first["W"]) > 1e-2, "it moves"


def neurons_move_along_one_direction(levels):
    for name in ("dense", "lumped"):
        system, run = levels[name]
        change = system.weights(run.final)["W"] - system.initial["W"]
        values = np.linalg.svd(change, compute_uv=False)
        assert values[1] < 1e-12 * values[0]
        np.testing.assert_allclose(change / system.initial["a"][:, None], np.broadcast_to(change[0] / system.initial["a"][0], change.shape),
                                   atol=1e-12 * np.abs(change).max())


def test_four_levels_of_one_flow():
    """One test, for the four runs take seconds."""
    levels = simulate_levels()
    for check in (four_levels_agree, they_have_the_same_quantities, identities_and_conserved_numbers, conserved_matrices,
                  neurons_move_along_one_direction):
        check(levels)


def test_the_count_of_variables():
    system = co.gram(CLOSED)
    d, m1 = 67, 16
    assert system.layout.size == 1 + d + 4 * d * d + 1  # three of the four matrices are symmetric; one clock
    assert co.neurons(CLOSED).layout.size == m1 * d + m1**2 + 4 * d * d + 1
    assert co.gram(CLOSED.replace(m=400, c0=1.0)).layout.size == system.layout.size, "whatever the width"


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [GradientDescent(0.1), SignGD(0.1), Adam(0.1), Adam(0.1, eps=0.0)], ids=str)
def test_inner_products_have_no_steps(rule):
    setting = co.Setting(n=6, L=3, m=4, m1=2)
    for system in (co.gram(setting), co.neurons(setting)):
        with pytest.raises(Inexact, match="no gradient system: use dense or lumped"):
            simulate(system, rule, steps=1)
        with pytest.raises(Inexact, match="no gradient system"):
            simulate(replace_exact(system), rule, steps=1)  # nor where nobody asks before


def replace_exact(system):
    vars(free := replace(system))["exact_for"] = frozenset({"any"})
    return free


def test_inner_products_are_a_single_run_of_trained_attention():
    setting = co.Setting(n=6, L=3, m=4, m1=2)
    for build in (co.gram, co.neurons):
        with pytest.raises(ValueError, match="attention=False.*use dense or lumped"):
            build(setting.replace(attention=False))
        with pytest.raises(ValueError, match="single run"):
            build(setting).replicates(0)


def test_all_blocks_are_there():
    first = inner_products(random_weights(np.random.default_rng(0), 5, 4, 3))
    shapes = {name: np.shape(a) for name, a in first.items()}
    square = dict.fromkeys(("value", "score", "key", "query"), (5, 5))
    assert shapes == {"rho": (1,), "G": (5,), "x": (3, 5), "products": (3, 3), **square} and len(BLOCKS) == 4
