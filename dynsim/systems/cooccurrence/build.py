"""Systems from a seed or from bags of one's own: with all weights, with the last layer collapsed, and in inner products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...optimizers import as_optimizer
from ...system import Inexact
from .data import SPECIAL, Bags, Setting, as_bags, draw_bags, draw_fresh, streams
from .initial import draw_weights, initial_bounds, unseen_columns
from .model import BagTransformer, Fresh, forces
from .observables import NEURONS, OBSERVABLES, PROJECTED
from .reduction import GramFlow, inner_products

__all__ = ["ENGINES", "best", "dense", "from_bags", "gram", "lumped", "neurons", "restricted"]

FRESH = 1200
"""Fresh samples that the test loss is the mean of."""
UNSEEN = 300
"""Different tokens among the random ones of the fresh samples that training never saw."""

KIND = {"linear": "linear", "flow": "linear", "sign": "sign"}
"""How the neurons move for each kind of rule that lumps."""


def _full(bags: Bags, weights: Mapping[str, NDArray], setting: Setting | None, seed: int | None) -> BagTransformer:
    """Return the model itself, with the constants that claims and figures need.

    `neuron_rates` are the velocities of a_j w_j . W_V[c] that equation (33) is the mean of, a_j times those of equation (19).
    """
    system = BagTransformer(bags, weights, attention=setting is None or setting.attention, observables={**PROJECTED, **NEURONS})
    start = system.layout.views(system.start)
    cache = system.forward(start)
    forces(bags, cache, system.m)
    W, a = weights["W"], weights["a"]
    force = system.value_force(start, cache)
    rates = np.multiply.outer(a * (W @ system.u0), cache.z) + np.multiply.outer(a**2, force)  # a_j <w_j, u> z + a_j^2 Gamma z
    constants = {
        "head": np.array(system.head), "rho_0": np.array(system.u0 @ system.u0), "F_0": np.array(np.abs(cache.F).max()),
        "m": np.array(float(system.m)), "m1": np.array(float(len(a))), "n": np.array(float(bags.n)), "L": np.array(float(bags.L)),
        "d": np.array(float(bags.d)), "signs": np.array(float(np.all(np.abs(a) == 1.0))),
        "all_different": np.array(float(bags.all_different)), "shares": np.bincount(bags.kinds, minlength=5)[1:] / bags.n,
        "labels": np.array(float(np.all(bags.y == np.where(bags.kinds == 1, 1, -1)))),
        "scores_0": system.scores_at_start, "softmax_0": np.array(np.abs(cache.p - 1.0 / bags.L).max()),
        "G_random_0": np.array(np.abs(cache.G[SPECIAL:]).max(initial=0.0)),
        "neuron_rates": rates[:, :SPECIAL], "neuron_random_rate": np.array(np.abs(rates[:, SPECIAL:]).max(initial=0.0)),
    }
    if setting is not None and setting.init == "normal" and setting.output == "signs":
        constants["initial_bounds"] = initial_bounds(setting, bags, weights, cache.p, cache.F)
    about = {"system": "cooccurrence", "engine": "dense", "setting": None if setting is None else setting.to_dict(), "seed": seed}
    return replace(system, constants=constants, provenance=about)


def _fresh(setting: Setting, bags: Bags, seed: int) -> dict[str, Fresh]:
    """Return test samples: kinds with their probabilities, random tokens uniform on the training set's vocabulary, or on others."""
    rng = np.random.default_rng(streams(seed)["test"])
    width = (0, setting.m)
    seen = draw_fresh(setting, FRESH, bags.d, rng)
    unseen = draw_fresh(setting, FRESH, SPECIAL + UNSEEN, rng)
    shifted = np.where(unseen.tokens < SPECIAL, unseen.tokens, unseen.tokens - SPECIAL + bags.d)
    nothing = {name: np.empty(width) for name in ("W_V", "W_K", "W_Q")}
    return {
        "seen": Fresh(Bags(seen.tokens, seen.y, bags.d), nothing),
        "unseen": Fresh(Bags(shifted, unseen.y, bags.d + UNSEEN), unseen_columns(setting, bags.d, UNSEEN, seed)),
    }


def dense(setting: Setting, seed: int = 0) -> BagTransformer:
    """Draw the model with all its weights: exact for every rule.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights.
    seed : int
        Determines training samples, weights and test samples, by separate streams; >= 0.
    """
    bags = draw_bags(setting, seed)
    system = _full(bags, draw_weights(setting, bags.d, seed), setting, seed)
    return replace(system, fresh=_fresh(setting, bags, seed), observables=OBSERVABLES)


def restricted(setting: Setting, seed: int = 0) -> BagTransformer:
    """Draw the model on the tokens that occur, for no other token's weights ever move: exact for every rule that acts per coordinate.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights.
    seed : int
        As for `dense`, whose weights and samples these are.
    """
    return _restrict(dense(setting, seed))


def _restrict(system: BagTransformer) -> BagTransformer:
    present = system.bags.present
    rows = {name: system.initial[name][present] for name in ("W_V", "W_K", "W_Q")}
    about = {**system.provenance, "engine": "restricted"}
    kinds = frozenset({"sign", "linear", "coordinatewise", "flow"})
    small = replace(
        system, bags=system.bags.restrict(), initial={**system.initial, **rows}, exact_for=kinds, provenance=about, fresh={},
        alternative="Tokens that do not occur are left out: use dense.",
    )
    return replace(small, fresh={name: _restricted_fresh(fresh, system, present) for name, fresh in system.fresh.items()})


def _restricted_fresh(fresh: Fresh, system: BagTransformer, present: NDArray) -> Fresh:
    """Return test samples on the tokens that occur in training; weights of the others, which never move, go with them."""
    d, absent = system.bags.d, np.setdiff1d(np.arange(system.bags.d), present)
    place = np.empty(fresh.bags.d, dtype=np.int64)
    place[present] = np.arange(len(present))
    place[absent] = len(present) + np.arange(len(absent))
    place[d:] = d + np.arange(fresh.bags.d - d)
    extra = {name: np.concatenate([system.initial[name][absent], fresh.extra[name]]) for name in fresh.extra}
    return Fresh(Bags(place[fresh.bags.tokens], fresh.bags.y, fresh.bags.d), extra)


def lumped(setting: Setting, optimizer: Any, seed: int = 0) -> BagTransformer:
    """Draw the model with the last layer collapsed into u = W^T a, on the tokens that occur.

    Exact because W moves by a b^T (rules linear in the gradient, gradient flow) or sgn(a) b^T (rules of signs): equations (11) and (12).

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights.
    optimizer : Optimizer or type
        The rule that will train the system, or its class: one of signs, one linear in the gradient, or gradient flow.
    seed : int
        As for `dense`, whose weights and samples these are.

    Raises
    ------
    Inexact
        For a rule that does not lump; names the alternative.
    """
    return _lump(restricted(setting, seed), optimizer)


def _lump(system: BagTransformer, optimizer: Any) -> BagTransformer:
    rule = as_optimizer(optimizer)
    if rule.kind not in KIND:
        raise Inexact(f"{rule!r} is a rule of kind {rule.kind!r}, whose neurons do not move alike: use restricted or dense")
    kind, a = KIND[rule.kind], system.initial["a"]
    about = {**system.provenance, "engine": "lumped"}
    return replace(
        system, neurons=a if kind == "linear" else np.sign(a), exact_for=frozenset({kind, "flow"} if kind == "linear" else {kind}),
        provenance=about, alternative="Neurons move alike for the kind of rule it was made for: lump again for this rule, or use dense.",
    )


def best(setting: Setting, optimizer: Any, seed: int = 0) -> BagTransformer:
    """Draw the smallest system that is exact for the rule and has every quantity: lumped where the rule lumps, else restricted.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights.
    optimizer : Optimizer or type
        Any rule that acts per coordinate, or its class.
    seed : int
        As for `dense`, whose weights and samples these are.
    """
    system = restricted(setting, seed)
    try:
        return _lump(system, optimizer)
    except Inexact:
        return system


def _closed(setting: Setting, seed: int, *, with_neurons: bool) -> GramFlow:
    if not setting.attention:
        raise ValueError("attention=False: the system of inner products follows trained keys and queries; use dense or lumped")
    system = restricted(setting, seed)
    names = {**PROJECTED, **NEURONS} if with_neurons else PROJECTED
    about = {**system.provenance, "engine": "neurons" if with_neurons else "gram"}
    return GramFlow(
        system.bags, system.m, system.initial["a"], inner_products(system.initial), with_neurons, names, system.constants, about,
    )


def gram(setting: Setting, seed: int = 0) -> GramFlow:
    """Draw the closed system of inner products, 1 + d + d^2 + 3 d (d + 1) / 2 different numbers whatever the width: exact for flow.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights, with attention=True.
    seed : int
        As for `dense`, whose weights and samples these are.
    """
    return _closed(setting, seed, with_neurons=False)


def neurons(setting: Setting, seed: int = 0) -> GramFlow:
    """Draw the paper's own closed system (appendix C), which follows each neuron: exact for flow.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights, with attention=True.
    seed : int
        As for `dense`, whose weights and samples these are.
    """
    return _closed(setting, seed, with_neurons=True)


def from_bags(
    tokens: Any, y: Any, *, weights: Mapping[str, Any] | None = None, setting: Setting | None = None, seed: int = 0
) -> BagTransformer:
    """Build the model on bags of one's own, of any vocabulary.

    Parameters
    ----------
    tokens : array of int, shape (n, L)
        Indices of tokens; 0 and 1 are the targets, 2 is the common token.
    y : array, shape (n,)
        Labels, -1 or +1.
    weights : mapping of str to array, optional
        W (m1, m), W_V, W_K, W_Q (d, m), rows of tokens, and a (m1,). Default drawn for `setting` and `seed`.
    setting : Setting, optional
        Widths and law of the initial weights where none are given; n, L and vocabulary are those of `tokens`.
    seed : int
        Determines the weights, >= 0; not read where they are given.

    Raises
    ------
    ValueError
        For arrays of wrong shapes or kinds, or neither weights nor setting.
    """
    bags = as_bags(tokens, y)
    if (weights is None) == (setting is None):
        raise ValueError(f"give weights or a setting to draw them for, not {'both' if weights is not None else 'neither'}")
    if weights is None:
        assert setting is not None
        return replace(_full(bags, draw_weights(setting.replace(L=bags.L), bags.d, seed), None, seed), attention=setting.attention)
    missing = {"W", "W_V", "W_K", "W_Q", "a"} ^ set(weights)
    if missing:
        raise ValueError(f"weights must hold W, W_V, W_K, W_Q and a: check {', '.join(sorted(missing))}")
    made = {name: np.array(value, dtype=float) for name, value in weights.items()}
    if made["W"].ndim != 2:
        raise ValueError(f"weights['W'] has shape {made['W'].shape}; it must have shape (m1, m)")
    m1, m = made["W"].shape
    shapes = {"W": (m1, m), "a": (m1,), **dict.fromkeys(("W_V", "W_K", "W_Q"), (bags.d, m))}
    for name, shape in shapes.items():
        if made[name].shape != shape or not np.isfinite(made[name]).all():
            raise ValueError(f"weights[{name!r}] has shape {made[name].shape}; it must have shape {shape} and finite entries")
    return _full(bags, made, None, None)


ENGINES: Mapping[str, Any] = {"gram": gram, "neurons": neurons}
"""Further forms of the system by name: functions of a setting and ``seed=``."""
