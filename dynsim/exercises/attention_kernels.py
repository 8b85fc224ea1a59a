"""Exercises on docs/derivations/attention_kernels.md: two pullbacks, ranks, a sphere of solutions, a floor."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..systems.attention_kernels.kernels import KERNELS
from ..systems.attention_kernels.queries.examples import sphere
from ..systems.attention_kernels.queries.jacobian import pair_floor, rank_bound
from .judging import Exercise, Posed

__all__ = ["EXERCISES"]


def _logits(rng: Generator) -> Posed:
    L, dS = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    softmax, keys = KERNELS["softmax"], np.eye(4)  # keys are the unit vectors: queries are the logits
    S = softmax.value(L, keys, 1.0)
    return Posed((S, dS), softmax.pullback(dS.copy(), S, L, keys, 1.0)[0])


def _ranks(rng: Generator) -> Posed:
    H, n, d, d_o = (int(rng.integers(low, high)) for low, high in ((1, 4), (1, 5), (1, 5), (2, 12)))
    return Posed((H, n, d, d_o), np.array([rank_bound(kernel, H, n, d, d_o) for kernel in ("softmax", "gaussian")]))


def _queries(rng: Generator) -> Posed:
    n, d, c = int(rng.integers(3, 5)), int(rng.integers(5, 7)), float(rng.uniform(1, 3))
    Q, K, dS = rng.normal(size=(n, d)), rng.normal(size=(n, d)), rng.normal(size=(n, n))
    gaussian = KERNELS["gaussian"]
    return Posed((dS, Q, K, c), gaussian.pullback(dS.copy(), gaussian.value(Q, K, c), Q, K, c)[0])


def _without_the_query(dS: NDArray, Q: NDArray, K: NDArray, c: float) -> NDArray:
    """Forget that the distance depends on the query's own length."""
    return dS * KERNELS["gaussian"].value(Q, K, c) @ K / c


def _sphere(rng: Generator) -> Posed:
    V, c = float(rng.uniform(1, 3)), float(rng.uniform(0.5, 2))
    y = float(rng.uniform(0.1, 0.9)) * V
    return Posed((V, y, c), np.array(sphere(V, y, c)))


def _floor(rng: Generator) -> Posed:
    H, n = int(rng.integers(1, 3)), int(rng.integers(2, 4))
    values, targets = rng.normal(size=(H, n, H * n + 3)), rng.normal(size=(4, H * n + 3))
    return Posed((values, targets), pair_floor(values[None], targets[None]))


def _span_of_values(values: NDArray, targets: NDArray) -> float:
    """Take the Gaussian's span, of the values and not of their differences."""
    basis = np.linalg.qr(values.reshape(-1, values.shape[-1]).T)[0]
    return 0.5 * float(((targets - targets @ basis @ basis.T) ** 2).sum())


EXERCISES = (
    Exercise(
        "attention_kernels.1", "Back through a softmax",
        r"Rows of $S$ (n, n) are softmax outputs of rows of logits. Given $S$ and the gradient $dS$ (n, n) of a loss with respect to "
        r"$S$, what is the gradient with respect to the logits?",
        r"A row's Jacobian is $p_j(\delta_{jl} - p_l)$; see (6). Every row of the answer sums to zero.",
        "logit_gradient(S, dS)", "an array (n, n)", _logits, lambda S, dS: S * dS,
    ),
    Exercise(
        "attention_kernels.2", "How many directions queries have",
        r"$J_k$ is the Jacobian of a token's output ($d_o$ numbers) in its queries of all $H$ heads ($d$ numbers each), with $n$ tokens. "
        r"What is the largest rank it can have, for softmax and for the Gaussian kernel?",
        r"Equation (31). What is $\sum_j S_{kj}(\hat v_j - \bar o_k)$ for rows that sum to 1, and what does it cost?",
        "ranks(H, n, d, d_o)", "an array (2,): softmax, Gaussian", _ranks,
        lambda H, n, d, d_o: np.array([min(H * min(n, d), d_o)] * 2), draws=20,
    ),
    Exercise(
        "attention_kernels.3", "Back through a Gaussian",
        r"$S_{kj} = e^{-\|q_k - k_j\|^2/2c}$. Given the gradient $dS$ (n, n) of a loss with respect to $S$, queries $Q$ and keys $K$ (n, "
        r"d) and $c$, what is the gradient with respect to the queries?",
        r"The derivative of the logit in $q_k$ is $(k_j - q_k)/c$; sum over the keys. Compare (7) and (8).",
        "query_gradient(dS, Q, K, c)", "an array (n, d)", _queries, _without_the_query,
    ),
    Exercise(
        "attention_kernels.4", "A sphere of solutions",
        r"One head, all keys at one point, Gaussian kernel: the output is $o = V e^{-\rho^2/2c}$ at the distance $\rho$ of the query "
        r"from the keys. For a target $0 < y < V$, at which distance $r$ is the loss zero, and what is $J = |do/d\rho|$ there, which "
        r"sets the rate (42)?",
        r"Solve $o = y$ for $\rho$. In the derivative, $V e^{-r^2/2c}$ is $y$.",
        "solution(V, y, c)", "an array (2,): r, J", _sphere,
        lambda V, y, c: np.array([np.sqrt(c * np.log(V / y)), y * np.sqrt(c * np.log(V / y)) / c]),
    ),
    Exercise(
        "attention_kernels.5", "A floor under the loss",
        r"Heads come in pairs with opposite $W^O$, rows of attention sum to 1, $N = 1$ sample. `values` (H, n, $d_o$) are the $\hat "
        r"v^h_j$ of the first heads of the $H$ pairs, `targets` (m, $d_o$) the $Y_k$. Below which loss can no choice of queries and keys "
        r"come, equation (35)?",
        r"The output of a pair is $\sum_j (s_j - s'_j) \hat v_j$, and the coefficients sum to zero. Which subspace is that, and how far "
        r"is a target from it? `np.linalg.lstsq` finds the nearest point.",
        "floor(values, targets)", "a number", _floor, _span_of_values,
    ),
)
