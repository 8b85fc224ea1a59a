"""Exercises on docs/derivations/gradient_heterogeneity.md: weighted curvatures, a gradient, a threshold, a Jacobian, a bound."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from scipy.optimize import brentq

from ..optimizers import LinearDecay, SignGD
from ..simulate import simulate
from ..systems.gradient_heterogeneity.inequality import complexity
from ..systems.gradient_heterogeneity.quadratic.logistic import LogisticBlocks
from ..systems.gradient_heterogeneity.quadratic.model import BlockQuadratic
from ..systems.gradient_heterogeneity.quadratic.theory import law
from ..systems.gradient_heterogeneity.transformer.jacobian import normalisation_jacobian
from .judging import Between, Exercise, Posed

__all__ = ["EXERCISES"]


def _ratio(rng: Generator) -> Posed:
    blocks = int(rng.integers(3, 7))
    squares, sizes, h = rng.exponential(size=blocks), rng.integers(1, 30, size=blocks), rng.exponential(size=blocks)
    return Posed((squares, sizes, h), complexity(sizes, squares, h).ratio)


def _logistic(rng: Generator) -> Posed:
    A, theta = rng.normal(size=(int(rng.integers(5, 9)), 3)), rng.normal(size=3)
    system = LogisticBlocks(A, (3,), theta)
    return Posed((A, theta), system.forward(system.layout.views(theta)).gradient)


def _threshold(rng: Generator) -> Posed:
    return Posed((), brentq(lambda square: law(2.0, np.sqrt(square)).R - 1.0, 0.0, 5.0, xtol=1e-14))


def _jacobian(rng: Generator) -> Posed:
    d = int(rng.integers(4, 8))
    x, gain = rng.normal(size=d) + rng.normal(), rng.uniform(0.5, 2.0, d)
    return Posed((x, gain), normalisation_jacobian(x, gain))


def _sign_descent(rng: Generator) -> Posed:
    P, T, peak = 200, int(rng.integers(10, 25)), float(rng.uniform(0.05, 0.2))
    theta = rng.uniform(-0.7, 0.7, P) * peak * (T + 1)
    system: Any = BlockQuadratic((P,), theta, diagonal=rng.uniform(0.5, 5.0, P))
    low = np.abs(simulate(system, SignGD(LinearDecay(peak, steps=T)), steps=T, record=[]).final)
    # beyond reach the end is known exactly; within reach some start comes as close to the last step as one likes
    return Posed((theta, peak, T), Between(low * (1 - 1e-9) - 1e-12, np.maximum(low, peak / T) * (1 + 1e-9) + 1e-12))


EXERCISES = (
    Exercise(
        "gradient_heterogeneity.1", "Two weighted means of curvature",
        r"Blocks have squared gradient norms $\Vert g_b\Vert^2$, sizes $P_b$ and curvatures $h_b$ (arrays over blocks). Compute "
        r"$\Lambda_G/\Lambda_P$ of (1).",
        "Both are weighted means of the same curvatures: the weights are in the table of section 1.",
        "ratio(squares, sizes, h)", "a number", _ratio, lambda squares, sizes, h: (squares @ h / squares.sum()) / h.mean(),
    ),
    Exercise(
        "gradient_heterogeneity.2", "The gradient of logistic regression",
        r"For $L = \frac1n \sum_i \ln(1 + e^{-a_i^\top\theta})$ derive the gradient. $A$ (n, P) has the rows $a_i$, $\theta$ is (P,).",
        "The derivative of $\\ln(1 + e^{-z})$ is minus one minus the logistic function of z: see (25).",
        "gradient(A, theta)", "an array (P,)", _logistic, lambda A, theta: A.T @ (1 / (1 + np.exp(A @ theta))) / len(A),
    ),
    Exercise(
        "gradient_heterogeneity.3", "Heterogeneity from which on a sign step gains more",
        r"Let $\log \hat g$ be normal with variance $\sigma^2$ over parameters and the curvature the *square* of the gradient, $h = \hat "
        r"g^2$; entries within blocks are normal. From which $\sigma^2$ on is $R$ of (2) above 1, in the limit of many blocks?",
        "Equation (3) with a = 2. That R grows does not mean that it is above 1.",
        "", "a number", _threshold, np.log(np.pi / 2),
    ),
    Exercise(
        "gradient_heterogeneity.4", "The Jacobian of layer normalisation",
        r"Write the Jacobian of $LN(x) = \gamma \circ (x - \bar x)/s + \beta$ at one token x (d,), with the gains $\gamma$ (d,); s is "
        r"the standard deviation with 1/d, without epsilon. The entry (i, j) is that of output i and input j.",
        r"$d\bar x$ and $ds$ are both linear in $dx$; see (35). What does the Jacobian do to the vector of ones?",
        "jacobian(x, gain)", "an array (d, d)", _jacobian, 
        lambda x, gain: gain[:, None] * (np.eye(len(x)) - 1 / len(x)) / x.std(),
    ),
    Exercise(
        "gradient_heterogeneity.5", "Where sign descent can end",
        r"Sign descent with rates $\eta_0 (1 - t/T)$, $t = 0, \dots, T - 1$, on a diagonal quadratic. For each coordinate of $\theta_0$ "
        r"(an array) bound $|\theta_T|$, whatever the curvatures are: by what it is exactly if the coordinate is out of reach, and by "
        r"the least number that bounds all those within reach.",
        r"A coordinate that comes within reach of the remaining rates ends within the last rate. One that does not goes straight on: the "
        r"rates add up to what? See (22).",
        "bound(theta, peak, T)", "an array like theta", _sign_descent,
        lambda theta, peak, T: np.maximum(0.0, np.abs(theta) - peak * (T + 1) / 2),
    ),
)
