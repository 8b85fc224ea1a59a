"""Quantities the theory speaks about, by name. Each reads the forward pass's cache; all levels share those they have.

`c.system` answers what depends on the level: displacements and starts of inner products, their velocities, the conserved numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...system import Observable
from .data import KINDS, SPECIAL
from .model import forces

__all__ = ["IDENTITIES", "INVARIANTS", "NEURONS", "OBSERVABLES", "PROJECTED"]

IDENTITIES = ("B columns", "z.G", "rho", "G", "Gamma", "energy")
"""What the entries of `identities` compare: columns of B sum to 0; z.G and the mean of g y F; velocities of rho, G and Gamma by the product
rule and by the closed equations; the velocity of the loss by the chain rule and minus the squared norm of the weights' velocity."""

INVARIANTS = ("rho - |a|^2 tr Gamma", "|uu^T - |a|^2 VV^T|^2", "tr(KK - QQ)", "|W_K W_K^T - W_Q W_Q^T|^2", "tr(W_K W_K^T - W_Q W_Q^T)^3")
"""What the entries of `invariants` are, each relative to the size of its terms at the start, minus its value there."""



def _forced(c: Any) -> Any:
    forces(c.system.bags, c, c.system.m)
    return c


def _by_kind(c: Any, x: NDArray, *, mean: bool) -> NDArray:
    """Sum of x over the samples of each kind, divided by n, or their mean (NaN where there is none)."""
    kinds = c.system.bags.kinds
    total = np.bincount(kinds, x, len(KINDS) + 1)[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / (np.bincount(kinds, minlength=len(KINDS) + 1)[1:] if mean else c.system.bags.n)


def _spread(p: Any, c: Any) -> float:
    """Largest ratio of g of two samples of one kind."""
    kinds = c.system.bags.kinds
    ratios = [c.g[kinds == kind].max() / c.g[kinds == kind].min() for kind in KINDS if (kinds == kind).any()]
    return float(max(ratios, default=np.nan))


def _random(x: NDArray) -> float:
    """Largest magnitude of the entries of random tokens."""
    return float(np.abs(x[SPECIAL:]).max(initial=0.0))


def _random_share(p: Any, c: Any) -> float:
    z = _forced(c).z
    return float(np.vdot(z[SPECIAL:], z[SPECIAL:]) / np.vdot(z, z))


def _random_output(p: Any, c: Any) -> float:
    """Largest part of |F| that comes from random tokens."""
    random = c.system.bags.tokens >= SPECIAL
    return float(np.abs((c.p.sum(axis=2) * c.G_keys * random).sum(axis=1)).max())


def _special_force(p: Any, c: Any) -> NDArray:
    """B of the special tokens, (3, 3)."""
    tokens, b = c.system.bags.tokens, _forced(c).b
    inside = (tokens < SPECIAL)[:, :, None] & (tokens < SPECIAL)[:, None, :]
    index = (tokens[:, :, None] * SPECIAL + tokens[:, None, :])[inside]
    return np.bincount(index, b[inside], SPECIAL**2).reshape(SPECIAL, SPECIAL)


def _second_term(p: Any, c: Any) -> float:
    return float(c.system.head * np.abs(c.system.value_force(p, _forced(c))).max() / (c.system.rho(p, c) * c.g.mean()))


def _softmax_term(p: Any, c: Any) -> float:
    return float(np.abs(c.system.motion(p, c).G_from_p).max() / (c.system.rho(p, c) * c.g.mean()))


def _gap(a: Any, b: Any, size: Any) -> float:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(np.abs(a - b).max() / np.max(np.abs(size))) if np.any(size) else float(np.abs(a - b).max())


def _identities(p: Any, c: Any) -> NDArray:
    """Residuals of `IDENTITIES`, each relative to the size of its terms: equations (24), (25), (13) to (15) and (26), in this order."""
    system, bags = c.system, c.system.bags
    motion, z, head = system.motion(p, _forced(c)), c.z, system.head
    columns = np.bincount(bags.tokens.ravel(), c.b.sum(axis=1).ravel(), bags.d)
    sizes = np.bincount(bags.tokens.ravel(), np.abs(c.b).sum(axis=1).ravel(), bags.d)
    zG, gyF = float(z @ c.G), float((c.g * bags.y * c.F).mean())
    force = system.value_force(p, c)
    rate, rho = system.rho(p, c) * z + head * force, 2.0 * head * gyF
    value = np.multiply.outer(z[:SPECIAL], c.G[:SPECIAL])
    dloss = -float((c.g * bags.y * motion.F).mean())
    return np.array([
        _gap(columns, 0.0, sizes), _gap(zG, gyF, (c.g * np.abs(c.F)).mean()),
        _gap(motion.rho, rho, 2.0 * head * (c.g * np.abs(c.F)).mean()),
        _gap(motion.G, rate, rate), _gap(motion.value, value + value.T, value), _gap(dloss, -motion.energy, motion.energy),
    ])


def _invariants(p: Any, c: Any) -> NDArray:
    system = c.system
    return (system.invariants(p, c) - system.invariants_at_start) / system.invariant_scale


def _score_changes(p: Any, c: Any) -> NDArray:
    """Magnitudes of the displacements of all scores, kept in the cache: two quantities read them."""
    if not hasattr(c, "score_changes"):
        c.score_changes = np.abs(c.system.change("score", p))
    return c.score_changes


def _largest_random_score(p: Any, c: Any) -> float:
    """Largest displacement of a score with a random token as key or query, over all pairs."""
    change = _score_changes(p, c)
    return float(max(change[SPECIAL:].max(initial=0.0), change[:, SPECIAL:].max(initial=0.0)))


def _neuron_values(p: Any, c: Any, tokens: slice) -> float:
    """Largest displacement of w_j . W_V[c] over neurons j and tokens c."""
    return float(np.abs(c.system.neuron_values_change(p, tokens)).max(initial=0.0))


def _number(of: Any, doc: str, symbol: str, **options: Any) -> Observable:
    return Observable(of, (), doc, symbol, **options)


def _three(of: Any, doc: str, symbol: str, **options: Any) -> Observable:
    return Observable(of, ("key", "query"), doc, symbol, **options)


PROJECTED: Mapping[str, Observable] = {
    "train_loss": _number(lambda p, c: c.loss, "mean training loss", "L"),
    "tau": _number(lambda p, c: p.tau[0], "clock of a flow, the integral of rho over time (0 in runs with steps)", r"\tau"),
    "rho": _number(lambda p, c: c.system.rho(p, c), "squared norm of the head", r"\rho = \Vert W^\top a\Vert^2"),
    "kind_loss": Observable(lambda p, c: _by_kind(c, np.logaddexp(0.0, -c.margin), mean=True), ("kind",),
                            "mean training loss of each kind of sample", r"L_k"),
    "kind_margin": Observable(lambda p, c: _by_kind(c, c.margin, mean=True), ("kind",), "mean margin y F of each kind", r"f_k"),
    "kind_pull": Observable(lambda p, c: _by_kind(c, c.g, mean=False), ("kind",), "sum over a kind of g, divided by n", r"s_k"),
    "min_margin": _number(lambda p, c: c.margin.min(), "smallest margin y F", r"\min_i y_i F_i"),
    "pull": _number(lambda p, c: c.g.mean(), "mean of g", r"\bar g"),
    "pull_spread": _number(_spread, "largest ratio of g of two samples of one kind", r"\max g_i / g_j"),
    "G": Observable(lambda p, c: c.G[:SPECIAL], ("token",), "head on the value of each special token", r"G(\mu)"),
    "G_random": _number(lambda p, c: _random(c.G), "largest magnitude of G of a random token", r"\max_\nu \vert G(\nu)\vert"),
    "G_rate": Observable(lambda p, c: c.system.motion(p, _forced(c)).G[:SPECIAL], ("token",), "velocity of G", r"\dot G(\mu)"),
    "G_random_rate": _number(lambda p, c: _random(c.system.motion(p, _forced(c)).G), "largest velocity of G of a random token",
                             r"\max_\nu \vert \dot G(\nu)\vert"),
    "z": Observable(lambda p, c: _forced(c).z[:SPECIAL], ("token",), "force on each special token", r"z(\mu)"),
    "random_share": _number(_random_share, "share of the squared norm of z on random tokens", r"\Vert z_R\Vert^2 / \Vert z\Vert^2"),
    "random_output": _number(_random_output, "largest magnitude of the part of F from random tokens", r"\max_i \vert F_i^R\vert"),
    "scores": _three(lambda p, c: c.system.scores_at_start + c.system.change("score", p, SPECIAL), "scores of special tokens", "S_{cb}"),
    "score_change": _three(lambda p, c: c.system.change("score", p, SPECIAL), "their displacement", r"C_{cb}"),
    "score_rate": _three(lambda p, c: c.system.motion(p, _forced(c)).score, "their velocity", r"\dot S_{cb}"),
    "B": _three(_special_force, "force on scores of special tokens", "B_{cb}"),
    "value_change": _three(lambda p, c: c.system.change("value", p, SPECIAL), "displacement of the value layer's inner products",
                           r"\Delta\Gamma_{cb}"),
    "value_rate": _three(lambda p, c: c.system.motion(p, _forced(c)).value, "their velocity", r"\dot\Gamma_{cb}"),
    "softmax_change": _number(lambda p, c: np.abs(c.p - c.system.p0).max(), "largest displacement of a softmax output",
                              r"\max \vert p - p(0)\vert"),
    "second_term": _number(_second_term, "second term of dG/dt against the first",
                           r"\vert a\vert^2 \max\vert \Gamma z\vert / (\rho \bar g)"),
    "softmax_term": _number(_softmax_term, "part of dF/dt from moving softmax outputs",
                            r"\max_i \vert \sum G \dot p\vert / (\rho \bar g)"),
    "identities": Observable(_identities, ("identity",), "relative residuals of the exact identities", r"\epsilon"),
    "random_score_change": _number(_largest_random_score, "largest displacement of a score with a random token", r"\max_R \vert C\vert",
                                   costly=True),
    "largest_score_change": _number(lambda p, c: _score_changes(p, c).max(), "largest displacement of a score",
                                    r"\max \vert C\vert", costly=True),
    "largest_value_change": _number(lambda p, c: np.abs(c.system.change("value", p)).max(), "the same of the value layer's inner products",
                                    r"\max \vert \Delta\Gamma\vert", costly=True),
    "largest_key_change": _number(lambda p, c: np.abs(c.system.change("key", p)).max(), "the same of keys", r"\max \vert \Delta KK\vert",
                                  costly=True),
    "largest_query_change": _number(lambda p, c: np.abs(c.system.change("query", p)).max(), "the same of queries",
                                    r"\max \vert \Delta QQ\vert",
                                    costly=True),
    "invariants": Observable(_invariants, ("invariant",), "relative drift of the conserved numbers",
                             r"\Delta I / \vert I\vert", costly=True),
}
"""Quantities of every level that has scores and values: matrices or their inner products."""

_FRESH = {
    f"test_{what}_{name}": _number(of, f"{words} on fresh samples with {name} random tokens", symbol, costly=True)
    for name in ("seen", "unseen")
    for what, words, symbol, of in (
        ("loss", "mean loss", r"L_{test}", lambda p, c, name=name: c.system.fresh_cache(name, p, c).loss),
        ("error", "share of errors", r"P(yF \leq 0)", lambda p, c, name=name: (c.system.fresh_cache(name, p, c).margin <= 0).mean()),
    )
}

NEURONS: Mapping[str, Observable] = {
    "neuron_products_change": _number(lambda p, c: np.abs(c.system.products_change(p)).max(), "largest displacement of <w_i, w_j>",
                                      r"\max \vert \Delta\langle w_i, w_j\rangle\vert"),
    "neuron_values_change": _number(lambda p, c: _neuron_values(p, c, slice(None, SPECIAL)),
                                    "largest displacement of w_j . W_V[c], special c", r"\max \vert \Delta w_j^\top W_V\mu\vert"),
    "neuron_random_change": _number(lambda p, c: _neuron_values(p, c, slice(SPECIAL, None)), "the same for random tokens",
                                    r"\max_R \vert \Delta w_j^\top W_V\nu\vert", costly=True),
}
"""Quantities of single neurons."""

OBSERVABLES: Mapping[str, Observable] = {**PROJECTED, **NEURONS, **_FRESH}
"""Quantities of the model with its weights."""
