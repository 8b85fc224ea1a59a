"""Exercises on docs/derivations/signal_noise.md: margin, lumping, a gradient, two clocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..numerics import logistic
from ..optimizers import GradientDescent, SignGD
from ..systems.signal_noise import from_arrays
from ..systems.signal_noise.predictions import attention_time, stage_one_end
from .judging import Exercise, Posed

__all__ = ["EXERCISES", "random_arrays"]


def random_arrays(rng: Generator) -> dict[str, NDArray]:
    """Return a small random model, as `from_arrays` takes it; samples, rows and coordinates are of different numbers."""
    n, d, m_k = int(rng.integers(4, 6)), int(rng.integers(8, 12)), int(rng.integers(2, 4))
    return {
        "mu": rng.normal(size=d), "xi": rng.normal(size=(n, d)), "y": rng.permutation(np.resize([-1.0, 1.0], n)),
        "W_Q": rng.normal(size=(m_k, d)) / 3, "W_K": rng.normal(size=(m_k, d)) / 3,
        "W_V_pos": rng.normal(size=(1, d)), "W_V_neg": np.zeros((1, d)),
    }


def _margin(rng: Generator) -> Posed:
    system = from_arrays(**random_arrays(rng))
    c = system.forward(system.layout.views(system.start))
    return Posed((c.s.p[0], c.s.p[1], float(c.A[0]), c.B), c.margin)


def _scales(rng: Generator) -> Posed:
    k, m_v = int(rng.integers(3, 8)), int(rng.integers(2, 9))
    x = rng.normal(size=k)
    xi = np.zeros((2, 2 * k + 1))
    xi[0, 1: k + 1], xi[1, k + 1:] = x, rng.normal(size=k)
    zeros = {name: np.zeros((rows, 2 * k + 1)) for name, rows in (("W_Q", 2), ("W_K", 2), ("W_V_pos", m_v), ("W_V_neg", m_v))}
    system = from_arrays(mu=np.eye(2 * k + 1)[0], xi=xi, y=np.ones(2), **zeros)
    scales = [lumped.layout.views(np.asarray(lumped.step_scale)) for lumped in (system.lump(SignGD), system.lump(GradientDescent))]
    return Posed((x, m_v), np.array([[at.W_QK[0, 1, 0] for at in scales], [at.v[1] for at in scales]]))


def _gradient(rng: Generator) -> Posed:
    arrays = random_arrays(rng)
    system = from_arrays(**arrays)
    params, out = system.layout.views(system.start), system.layout.views(np.zeros_like(system.start))
    system.backward(params, system.forward(params), out)
    given = (*(arrays[name] for name in ("mu", "xi", "y", "W_Q", "W_K")), arrays["W_V_pos"][0])
    return Posed(given, out.W_QK[0].T)


def _gradient_of_the_sum(mu: NDArray, xi: NDArray, y: NDArray, W_Q: NDArray, W_K: NDArray, v: NDArray) -> Any:
    """Forget that the loss is a mean over samples."""
    noise = y[:, None] * xi
    A, B, q, th, keys = v @ mu, noise @ v, W_Q @ mu, noise @ W_Q.T, W_K @ mu - noise @ W_K.T
    s_11, s_21 = logistic(keys @ q).p, logistic((keys * th).sum(axis=1)).p
    l = logistic((s_11 + s_21) * A + (2 - s_11 - s_21) * B).q
    c_1, c_2 = l * s_11 * (1 - s_11) * (B - A), l * s_21 * (1 - s_21) * (B - A)
    return np.outer(keys.T @ c_1, mu) + (keys.T * c_2) @ noise


def _stage_one(rng: Generator) -> Posed:
    n, lr, mu = int(rng.integers(3, 6)), float(rng.uniform(0.01, 0.05)), float(rng.uniform(0.5, 1.5))
    a, D = mu + rng.uniform(0.5, 3.0, n), rng.normal(size=(4, n))
    D[-1] = 0.0  # a value layer that starts at zero
    return Posed((D, a, mu, lr), np.array([stage_one_end(0.0, row, a, mu, lr) for row in D]))


def _attention(rng: Generator) -> Posed:
    a, mu, lr = float(rng.uniform(20, 60)), float(rng.uniform(0.5, 2)), float(10 ** rng.uniform(-5, -4))
    m_k, n = int(rng.integers(20, 200)), int(rng.integers(3, 40))
    return Posed((a, mu, m_k, n, lr), attention_time(a, mu, m_k, n, lr))


EXERCISES = (
    Exercise(
        "signal_noise.1", "The margin",
        r"Two queries distribute their attention over a signal and a noise token, equation (2). Given the softmax outputs $s_{i,11}$ and "
        r"$s_{i,21}$ (arrays over samples), $A$ (a number) and $B_i$ (an array) of (4), what is the margin $y_i f(X_i)$ of every sample?",
        "The weights of a query add up to 1. There are two queries.",
        "margin(s_11, s_21, A, B)", "an array (n,)", _margin, lambda s_11, s_21, A, B: s_11 * A + (1 - s_11) * B,
    ),
    Exercise(
        "signal_noise.2", "How fast a lumped number moves",
        r"A noise token has the entries $x_c$ (an array) on coordinates that no other token shares. Lumping, section 3, replaces these "
        r"coordinates by one number $u$ for a row of $W_Q$, and by one number for $v$, the difference of the two mean value rows. By "
        r"what multiple of the rate times the direction $\delta$ does each move? Rows of the answer: $u$, then $v$; columns: sign-type "
        r"rules, linear rules. $m_v$ is the number of rows of each value matrix.",
        r"Equation (12): coordinate $c$ has the gradient $\kappa_c g$ and enters $u$ with the weight $\kappa_c$. For $v$ see the text "
        r"above (15).",
        "step_scales(x, m_v)", "an array (2, 2)", _scales,
        lambda x, m_v: np.outer([1.0, 2.0], [np.abs(x).sum(), (x**2).sum()]),
    ),
    Exercise(
        "signal_noise.3", "The gradient of the queries, by hand",
        r"Derive $\partial L / \partial W_Q$ of the loss (3) and write it as a function of $\mu$ (d,), $\xi$ (n, d), labels $y$ (n,), "
        r"$W_Q$ and $W_K$ ($m_k$, d) and $v$ (d,), without derivatives by differences.",
        r"Equations (5) and (6) for the logits, (7) for the margin. $\partial L/\partial z_{1,i}$ and $\partial L/\partial z_{2,i}$ are "
        r"in (8); what are $\partial z_{1,i}/\partial w_{Q,r}$ and $\partial z_{2,i}/\partial w_{Q,r}$?",
        "gradient(mu, xi, y, W_Q, W_K, v)", "an array (m_k, d)", _gradient, _gradient_of_the_sum,
    ),
    Exercise(
        "signal_noise.4", "When Stage I ends",
        r"Under SignGD on disjoint supports $D_i = B_i - A$ moves as (18) says. Given $D_i(0)$ (runs, n), $a_i = |\xi_i|_1$ (n,), "
        r"$|\mu|_1 < a_i$ (a number) and the rate, at which step is $D_i > 0$ for all samples for the first time? One answer for each "
        r"run.",
        "Strictly above zero. In the last run the value layer starts at zero.",
        "stage_one(D, a, mu, lr)", "an array (runs,)", _stage_one,
        lambda D, a, mu, lr: np.ceil(np.maximum(-D, 0.0) / (2 * lr * (a - mu))).max(axis=1),
    ),
    Exercise(
        "signal_noise.5", "When attention has memorised the noise",
        r"Predict the step at which the mean softmax output of the signal on itself falls below 0.1 under SignGD, from $a$, $|\mu|$, "
        r"$m_k$, $n$ and the rate. Take (34) without its last term, the one in $q_r k_r$. You need the key turn (32) and the minority "
        r"(35) on the way.",
        r"$s_{11} = 0.1$ is $z_1 = -\log 9$, a quadratic equation in $t$. The minority is a sum over a binomial law, close to but not "
        r"equal to 1/2.",
        "attention_time(a, mu, m_k, n, lr)", "a number", _attention,
        lambda a, mu, m_k, n, lr: np.sqrt(np.log(9) / (m_k * mu * a)) / lr,
    ),
)
