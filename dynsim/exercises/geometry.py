"""Exercises on docs/derivations/geometry.md: what a rule learns in its own norm, and what that does on fresh samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtr

from ..optimizers import GradientDescent
from ..simulate import simulate
from ..systems.signal_noise import Setting, from_arrays
from ..systems.signal_noise.geometry import fresh_error, margin_over_spread, ratio_bounds
from .judging import Exercise, Posed

__all__ = ["EXERCISES"]


def _at_zero(rng: Generator) -> tuple[Any, NDArray, NDArray, int]:
    """Return a system with disjoint tokens and all weights 0, its signal, its noise and m_v."""
    n, s, m_v = int(rng.integers(3, 6)), int(rng.integers(2, 5)), int(rng.integers(2, 6))
    d = 2 + n * s
    mu, xi = np.zeros(d), np.zeros((n, d))
    mu[:2] = rng.normal(size=2)
    for i in range(n):
        xi[i, 2 + i * s: 2 + (i + 1) * s] = rng.normal(size=s) * rng.uniform(0.5, 2)
    zeros = {name: np.zeros((rows, d)) for name, rows in (("W_Q", 2), ("W_K", 2), ("W_V_pos", m_v), ("W_V_neg", m_v))}
    return from_arrays(mu=mu, xi=xi, y=np.resize([1.0, -1.0], n), **zeros), mu, xi, m_v


def _sign_ratio(rng: Generator) -> Posed:
    system, mu, xi, _ = _at_zero(rng)
    return Posed((mu, xi), ratio_bounds("sign", system.data.norms())[0])


def _first_step(rng: Generator) -> Posed:
    system, mu, xi, m_v = _at_zero(rng)
    lr = float(rng.uniform(0.05, 0.2))
    run = simulate(system, GradientDescent(lr), steps=1, record=["mean_value_signal", "mean_value_noise"])
    return Posed((mu, xi, m_v, lr), np.array([run["mean_value_signal"][1], *run["mean_value_noise"][1]]))


def _bounds(rng: Generator) -> Posed:
    system, mu, xi, _ = _at_zero(rng)
    return Posed((mu, xi), np.array(ratio_bounds("linear", system.data.norms())))


def _law(rng: Generator) -> Setting:
    n, s = int(rng.integers(5, 30)), int(rng.integers(10, 30))
    sigma_p, mu_norm = float(rng.uniform(0.3, 3)), float(rng.uniform(0.5, 2))
    return Setting(n=n, s=s, d=n * s + int(rng.integers(200, 2000)), sigma_p=sigma_p, mu_norm=mu_norm, disjoint=True)


def _spread(rng: Generator) -> Posed:
    at = _law(rng)
    return Posed((at.mu_norm, at.sigma_p, at.n, at.s, at.d), np.array([margin_over_spread(kind, at) for kind in ("sign", "linear")]))


def _error(rng: Generator) -> Posed:
    at = _law(rng)
    return Posed((at.mu_norm, at.sigma_p, at.n, at.s, at.d), fresh_error("sign", at))


EXERCISES = (
    Exercise(
        "geometry.1", "What signs learn of the signal",
        r"SignGD on disjoint supports, from a value layer at zero. What is $A/\bar B$, the mean value signal over the mean over samples "
        r"of mean value noise, after any number of steps, for $\mu$ (d,) and $\xi$ (n, d)?",
        "All directions in (1) are 1 at every step.",
        "ratio(mu, xi)", "a number", _sign_ratio,
        lambda mu, xi: np.linalg.norm(mu) / np.linalg.norm(xi, axis=1).mean(),
    ),
    Exercise(
        "geometry.2", "One step of gradient descent",
        r"All weights are zero, supports are disjoint. What are $A$ and the $B_i$ after one step of gradient descent, for $\mu$ (d,), "
        r"$\xi$ (n, d), $m_v$ and the rate?",
        r"Equation (1) with $S_i = 1$. What is $\ell_i$ at margin zero? It holds a $1/n$.",
        "first_step(mu, xi, m_v, lr)", "an array (n + 1,): A, then the B_i", _first_step,
        lambda mu, xi, m_v, lr: lr / m_v / len(xi) * np.array([mu @ mu, *(xi**2).sum(axis=1)]),
    ),
    Exercise(
        "geometry.3", "Between two means",
        r"For gradient descent, attention undecided and a value layer from zero, $A/\bar B$ lies between two numbers, (6), whatever the "
        r"loss weights do. Give both, the smaller one first, for $\mu$ (d,) and $\xi$ (n, d).",
        r"$A/\|\mu\|^2 = \sum_i B_i/b_i$ by (5). At one end all $B_i/b_i$ are equal, at the other all $B_i$.",
        "bounds(mu, xi)", "an array (2,)", _bounds,
        lambda mu, xi: (mu @ mu) * np.array([1 / (xi**2).sum(axis=1).mean(), (1 / (xi**2).sum(axis=1)).mean()]),
    ),
    Exercise(
        "geometry.4", "Signal over spread on a fresh sample",
        r"Predict $A/\mathrm{sd}\,B_{\mathrm{new}}$ of (7) for sign and for linear rules, at the mean number of trained coordinates that "
        r"a fresh token meets. Tokens have $s$ noise coordinates of standard deviation $\sigma_p$ out of $d - 1$; there are $n$, on "
        r"disjoint supports.",
        r"A fresh coordinate is trained with probability $ns/(d - 1)$.",
        "signal_over_spread(mu, sigma_p, n, s, d)", "an array (2,): sign, linear", _spread,
        lambda mu, sigma_p, n, s, d: np.array([mu / sigma_p, (mu / sigma_p) ** 2]) / np.sqrt(n * s**2 / (d - 1)),
    ),
    Exercise(
        "geometry.5", "The test error of a sign rule",
        r"The same law. Predict the test error (8) of a sign rule, averaged over the number $K$ of trained coordinates that a fresh "
        r"token meets. A token that meets none is never wrong.",
        "K is hypergeometric: s draws without replacement from d - 1 coordinates of which ns are trained. `scipy.stats.hypergeom`, or "
        "binomials.",
        "test_error(mu, sigma_p, n, s, d)", "a number", _error,
        lambda mu, sigma_p, n, s, d: float(ndtr(-mu / sigma_p / np.sqrt(n * s**2 / (d - 1)))),
    ),
)
