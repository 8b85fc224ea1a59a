"""Exercises on docs/derivations/adam.md: what the memory of Adam makes of a gradient that falls."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator

from ..optimizers import SignGD
from ..simulate import simulate
from ..systems.signal_noise import from_arrays
from ..systems.signal_noise.adam import edge_rate, gradient_ratio, steps_made, threshold
from ..systems.signal_noise.predictions import key_turn, minority
from .judging import Exercise, Posed
from .signal_noise import random_arrays

__all__ = ["EXERCISES"]


def _edge(rng: Generator) -> Posed:
    return Posed((), edge_rate(0.99))


def _gradient(rng: Generator) -> Posed:
    system: Any = from_arrays(**random_arrays(rng))
    c = system.forward(system.layout.views(system.start))
    gradient = simulate(system, SignGD(1e-3), steps=1, record=["query_gradient"])["query_gradient"][0]
    l = 1 / (1 + np.exp(c.margin)) / len(c.margin)
    return Posed((l, c.s.p[1], c.B - c.A[0], c.k, c.ka.T), gradient)


def _even_decay(rng: Generator) -> Posed:
    beta2 = float(rng.uniform(0.3, 0.8))
    R = float(rng.uniform(0.1, 0.8)) * edge_rate(beta2)
    return Posed((R, beta2), gradient_ratio(np.exp(-R * np.arange(1000)), beta2)[-1])


def _collapse(rng: Generator) -> Posed:
    T, k, beta1, beta2 = int(rng.integers(3, 12)), int(rng.integers(1, 8)), float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.3, 0.99))
    return Posed((T, k, beta1, beta2), steps_made(np.repeat([1.0, 0.0], [T, k]), beta1, beta2)[-1])


def _threshold(rng: Generator) -> Posed:
    a, mu, lr = float(rng.uniform(20, 60)), float(rng.uniform(0.5, 1.5)), float(10 ** rng.uniform(-5, -4))
    m_k, n = int(rng.integers(20, 200)), int(rng.integers(3, 40))
    return Posed((a, mu, m_k, n, lr), float(threshold(key_turn(a, mu, m_k, lr), a, mu, n)))


EXERCISES = (
    Exercise(
        "adam.1", "What outruns the second moment",
        r"At $\beta_2 = 0.99$, faster than at which rate per step (natural logarithm) must a gradient fall to outrun the root of its "
        r"second moment?",
        "By what factor does the root of the second moment fall in a step if no new gradient is added?",
        "", "a number", _edge, -np.log(0.99),
    ),
    Exercise(
        "adam.2", "The gradient of query noise",
        r"Write $g_{ri} = \partial L/\partial\theta_{ri}$ of (1) from $\ell_i$, $s_{i,21}$, $D_i$ (arrays over samples), $k_r$ ($m_k$,) "
        r"and $\kappa_{ri}$ ($m_k$, n).",
        r"$z_{2,i} = \sum_r \theta_{ri} (k_r - \kappa_{ri})$, and $c_{2,i} = \partial L/\partial z_{2,i}$.",
        "gradient(l, s_21, D, k, kappa)", "an array (m_k, n)", _gradient,
        lambda l, s_21, D, k, kappa: l * s_21 * (1 - s_21) * D * (kappa - k[:, None]),
    ),
    Exercise(
        "adam.3", "A gradient that falls evenly",
        r"A gradient has been falling at the rate $R$ per step, $|g_t| = e^{-Rt}$, for a long time; $\beta_1 = \epsilon = 0$ and "
        r"$\beta_2 e^{2R} < 1$. How long are Adam's steps, in units of the rate?",
        r"$v_t = (1 - \beta_2) \sum_j \beta_2^j g_{t-j}^2$ is a geometric series in $\beta_2 e^{2R}$; see (4).",
        "step(R, beta2)", "a number", _even_decay, lambda R, beta2: np.sqrt(1 - beta2 * np.exp(2 * R)),
    ),
    Exercise(
        "adam.4", "After the collapse",
        r"A gradient is 1 for $T$ steps from the first on, then exactly 0. What is Adam's update of the parameter in units of the rate, "
        r"with its sign and with both bias corrections, $\epsilon = 0$, at the $k$-th of the steps with gradient 0? (Section 5: it may "
        r"grow.)",
        r"Each moment is known in closed form: $m = (1 - \beta_1^T) \beta_1^k$. How many gradients have been seen?",
        "update(T, k, beta1, beta2)", "a number", _collapse,
        lambda T, k, beta1, beta2: -(1 - beta1**T) * beta1**k / np.sqrt((1 - beta2**T) * beta2**k),
    ),
    Exercise(
        "adam.5", "The beta2 above which query noise never comes back",
        r"Predict $\beta_2^*$ of (8) from $a$, $|\mu|$, $m_k$, $n$ and the rate.",
        r"At zero, $R_0 = 4(1 - f)p$ by (7); compare with the edge (3), which has a factor $\frac12$. $p$ is in (2); $f$ is (35) of the "
        r"page on two tokens.",
        "threshold(a, mu, m_k, n, lr)", "a number", _threshold,
        lambda a, mu, m_k, n, lr: np.exp(-4 * (1 - minority(n)) * lr * a * np.sqrt(m_k * np.log(4 * a / mu))),
    ),
)
