"""Every quantity recomputed from the weights by brute force: products, one-hot tokens, complex steps along the flow's velocity."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import SignGD, simulate
from dynsim.optimizers import GradientFlow
from dynsim.systems import cooccurrence as co
from dynsim.systems.cooccurrence.build import _lump
from dynsim.systems.cooccurrence.data import KINDS
from dynsim.systems.cooccurrence.observables import IDENTITIES, INVARIANTS, NEURONS, OBSERVABLES, PROJECTED

from ...helpers import gap
from .helpers import BLOCKS, definition, gradient

ROUNDING = 1e-10
"""Sums of some hundred terms, of which a few cancel by three or four digits."""

SETTING = co.Setting(n=12, L=4, m=6, m1=5, c0=1.5, vocabulary=11)


def largest(x):
    return np.abs(x).max(initial=0.0)


def conserved(w):
    """The five numbers, by the matrices."""
    u, V, K, Q = w["W"].T @ w["a"], w["W_V"], w["W_K"], w["W_Q"]
    head = w["a"] @ w["a"]
    D_V, D = np.outer(u, u) - head * V.T @ V, K.T @ K - Q.T @ Q
    return np.array([np.trace(D_V), (D_V**2).sum(), np.trace(D), (D**2).sum(), np.trace(D @ D @ D)])


def brute(system, w0, w):
    """Return every quantity from the weights at the start and now; the clock and the residuals of identities are not among them."""
    tokens, y, n = system.bags.tokens, system.bags.y, system.bags.n
    a, m, d = w["a"], w["W_V"].shape[1], len(w["W_V"])
    head = a @ a
    at, first, kinds = definition(w, tokens, y), definition(w0, tokens, y), system.bags.kinds
    margin, g, X = y * at.F, 1.0 / (1.0 + np.exp(y * at.F)), np.eye(d)[tokens]
    z = np.einsum("i,ikc,ikl->c", g * y, X, at.p) / n
    G_keys = at.G[tokens]
    pulled = at.p * (G_keys[:, :, None] - np.einsum("ik,ikl->il", G_keys, at.p)[:, None, :])
    B = np.einsum("i,ikc,ikl,ilb->cb", g * y, X, pulled, X) / (n * np.sqrt(m))
    slope = gradient(w, tokens, y)
    h = 1e-30  # the flow's velocity as a complex step
    ahead = {**{name: w[name] - 1j * h * slope[name] for name in BLOCKS}, "a": a}
    soon = definition(ahead, tokens, y)
    G_from_p = np.einsum("ikl,ik->i", soon.p.imag / h, G_keys)
    V, S, KK, QQ, x, ww = (
        lambda w: w["W_V"] @ w["W_V"].T, lambda w: w["W_K"] @ w["W_Q"].T, lambda w: w["W_K"] @ w["W_K"].T, lambda w: w["W_Q"] @ w["W_Q"].T,
        lambda w: w["W"] @ w["W_V"].T, lambda w: w["W"] @ w["W"].T)
    change = {name: of(w) - of(w0) for name, of in (("V", V), ("S", S), ("KK", KK), ("QQ", QQ), ("x", x), ("ww", ww))}
    rho, loss = ((w["W"].T @ a) ** 2).sum(), np.log1p(np.exp(-margin))
    u0 = w0["W"].T @ a
    V0, K0, Q0 = (w0[name].T @ w0[name] for name in ("W_V", "W_K", "W_Q"))
    scale = np.array([
        u0 @ u0 + head * np.trace(V0), (u0 @ u0) ** 2 + head**2 * (V0**2).sum(), np.trace(K0) + np.trace(Q0), (K0**2).sum() + (Q0**2).sum(),
        np.trace(K0 @ K0 @ K0) + np.trace(Q0 @ Q0 @ Q0),
    ])
    special = tokens < 3
    here = [kind for kind in KINDS if (kinds == kind).any()]
    found = {
        "train_loss": at.loss, "rho": rho, "min_margin": margin.min(), "pull": g.mean(),
        "kind_loss": np.array([loss[kinds == kind].mean() for kind in KINDS]),
        "kind_margin": np.array([margin[kinds == kind].mean() for kind in KINDS]),
        "kind_pull": np.array([g[kinds == kind].sum() / n for kind in KINDS]),
        "pull_spread": max(g[kinds == kind].max() / g[kinds == kind].min() for kind in here),
        "G": at.G[:3], "G_random": largest(at.G[3:]), "G_rate": soon.G.imag[:3] / h, "G_random_rate": largest(soon.G.imag[3:] / h),
        "z": z[:3], "random_share": (z[3:] ** 2).sum() / (z**2).sum(),
        "random_output": largest(np.einsum("ikl,ik->i", at.p, np.where(special, 0.0, G_keys))),
        "scores": S(w)[:3, :3], "score_change": change["S"][:3, :3], "score_rate": S(ahead).imag[:3, :3] / h, "B": B[:3, :3],
        "value_change": change["V"][:3, :3], "value_rate": V(ahead).imag[:3, :3] / h, "softmax_change": largest(at.p - first.p),
        "second_term": head * largest(V(w) @ z) / (rho * g.mean()), "softmax_term": largest(G_from_p) / (rho * g.mean()),
        "random_score_change": largest(np.where((np.arange(d) < 3)[:, None] & (np.arange(d) < 3), 0.0, change["S"])),
        "largest_score_change": largest(change["S"]), "largest_value_change": largest(change["V"]),
        "largest_key_change": largest(change["KK"]), "largest_query_change": largest(change["QQ"]),
        "neuron_products_change": largest(change["ww"]), "neuron_values_change": largest(change["x"][:, :3]),
        "neuron_random_change": largest(change["x"][:, 3:]), "invariants": (conserved(w) - conserved(w0)) / scale,
    }
    for name, fresh in system.fresh.items():
        whole = {**w, **{block: np.concatenate([w[block], fresh.extra[block]]) for block in ("W_V", "W_K", "W_Q")}}
        there = definition(whole, fresh.bags.tokens, fresh.bags.y)
        found |= {f"test_loss_{name}": there.loss, f"test_error_{name}": (fresh.bags.y * there.F <= 0).mean()}
    return found


def read(system, params):
    """Return every quantity of a system at a parameter vector."""
    views = system.layout.views(params)
    cache = system.forward(views)
    return {name: o.read(views, cache) for name, o in system.observables.items()}


def few_fresh(system, count=40):
    """Return the system with fewer test samples, for one-hot tokens of six hundred are slow."""
    return replace(system, fresh={
        name: replace(fresh, bags=replace(fresh.bags, tokens=fresh.bags.tokens[:count], y=fresh.bags.y[:count]))
        for name, fresh in system.fresh.items()
    })


def forms():
    dense = few_fresh(co.dense(SETTING, seed=2))
    restricted = few_fresh(co.restricted(SETTING, seed=2))
    kaiming = few_fresh(co.restricted(SETTING.replace(init="kaiming_uniform", output="kaiming"), seed=2))
    return {
        "dense": dense, "restricted": restricted, "lumped": _lump(restricted, GradientFlow), "lumped signs": _lump(restricted, SignGD),
        "kaiming": kaiming, "kaiming lumped": _lump(kaiming, GradientFlow), "kaiming lumped signs": _lump(kaiming, SignGD),
    }


@pytest.mark.parametrize("place", ["late in a flow", "anywhere"])
@pytest.mark.parametrize("form", forms())
def test_every_quantity_is_what_it_says(form, place):
    """In a flow attention and values have moved by a tenth; anywhere, by as much as they are, which no run does."""
    system = forms()[form]
    if place == "anywhere":
        params = 0.3 * np.random.default_rng(5).standard_normal(system.layout.size)
    elif "flow" in system.exact_for or "any" in system.exact_for:
        params = simulate(system, GradientFlow(), until=30.0, at=[], record=["train_loss"]).final
    else:
        params = simulate(system, SignGD(5e-3), steps=40, at=[], record=["train_loss"]).final
    found, want = read(system, params), brute(system, system.initial, system.weights(params))
    assert set(OBSERVABLES) == set(found) == {*want, "tau", "identities"}
    for name, expected in want.items():
        if name == "invariants" and place != "anywhere":
            np.testing.assert_allclose(found[name], expected, rtol=1e-8, atol=1e-14)  # differences of numbers that are nearly equal
        else:
            assert gap(found[name], expected) < ROUNDING, name
    assert found["tau"] == system.layout.views(params).tau[0]
    assert found["identities"].shape == (len(IDENTITIES),) and np.abs(found["identities"]).max() < 1e-12
    assert found["invariants"].shape == (len(INVARIANTS),)
    assert {name for name in found if np.all(found[name] == 0.0)} <= {"test_error_seen", "test_error_unseen", "tau"}, "nothing is idle"


def test_the_start_itself():
    system = co.dense(SETTING)
    found = read(system, system.start)
    moved = {name for name in found if "change" in name} | {"invariants"}
    assert len(moved) == 12 and all(np.all(found[name] == 0.0) for name in moved)


@pytest.mark.parametrize("spoiled", range(len(IDENTITIES)), ids=IDENTITIES)
def test_identities_notice_what_they_are_about(spoiled):
    """The negative control: forces that are wrong by a part in 1e6."""
    system = _lump(co.restricted(SETTING, seed=2), GradientFlow)
    views = system.layout.views(0.3 * np.random.default_rng(5).standard_normal(system.layout.size))
    cache = system.forward(views)
    assert np.abs(OBSERVABLES["identities"].read(views, cache)).max() < 1e-12
    cache = system.forward(views)
    co.model.forces(system.bags, cache, system.m)
    motion = system.motion(views, cache)
    if spoiled == 0:
        cache.b = cache.b + 1e-6 * np.abs(cache.b)
    elif spoiled == 1:
        cache.z = cache.z * (1.0 + 1e-6)
    else:
        name = {2: "rho", 3: "G", 4: "value", 5: "energy"}[spoiled]
        setattr(motion, name, getattr(motion, name) * (1.0 + 1e-6))
    assert np.abs(OBSERVABLES["identities"].read(views, cache))[spoiled] > 1e-8


def test_no_sample_of_a_kind_is_not_a_number_and_no_warning():
    bags = co.Bags(np.array([[0, 1, 2, 3], [2, 3, 4, 5]]), np.array([1.0, -1.0]), 6)
    system = replace(co.dense(co.Setting(n=6, L=4, m=4, m1=2, vocabulary=6)), bags=bags)
    found = read(replace(system, fresh=co.dense(co.Setting(n=6, L=4, m=4, m1=2, vocabulary=6)).fresh), system.start)
    np.testing.assert_array_equal(np.isnan(found["kind_loss"]), [False, True, True, False])
    np.testing.assert_array_equal(found["kind_pull"] == 0.0, [False, True, True, False])


def test_descriptions_and_who_has_what():
    for name, o in OBSERVABLES.items():
        assert o.doc and o.symbol, name
    assert set(co.gram(SETTING).observables) == set(PROJECTED) and set(co.neurons(SETTING).observables) == {*PROJECTED, *NEURONS}
    assert {name for name in OBSERVABLES if OBSERVABLES[name].costly} >= {name for name in OBSERVABLES if name.startswith("test_")}


@pytest.mark.parametrize("build", [co.gram, co.neurons])
def test_closed_systems_read_the_same_anywhere(build):
    """Inner products of weights that no run has, put in by hand."""
    dense = co.restricted(SETTING, seed=2)
    params = 0.3 * np.random.default_rng(5).standard_normal(dense.layout.size)
    now = co.reduction.inner_products(dense.weights(params))
    system = build(SETTING, seed=2)
    moved = np.zeros(system.layout.size)
    views = system.layout.views(moved)
    for name in set(system.layout.shapes) - {"tau"}:
        getattr(views, name)[...] = now[name] - system.initial[name]
    found, want = read(system, moved), read(dense, params)
    for name in set(found) - {"identities", "tau"}:
        assert gap(found[name], want[name]) < ROUNDING, name
    assert np.abs(found["identities"]).max() < 1e-12
