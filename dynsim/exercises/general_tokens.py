"""Exercises on docs/derivations/general_tokens.md: the gradient on any number of tokens, and digits that survive."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..systems.signal_noise import from_tokens
from ..systems.signal_noise.tokens.signs import relative_coefficients
from .judging import Exercise, Posed

__all__ = ["EXERCISES"]


def _gradient(X: NDArray, y: NDArray, W_Q: NDArray, W_K: NDArray, v: NDArray) -> tuple[Any, Any]:
    """Return forward pass and gradient of the package's model; v is the one row of W_{V,+1}, and W_{V,-1} is 0."""
    system = from_tokens(X, y, W_Q=W_Q, W_K=W_K, W_V_pos=v[None], W_V_neg=np.zeros((1, len(v))))
    params, out = system.layout.views(system.start), system.layout.views(np.zeros_like(system.start))
    cache = system.forward(params)
    system.backward(params, cache, out)
    return cache, out


def _one_sample(rng: Generator, scale: float = 1.0) -> tuple[NDArray, NDArray, float, Any, Any]:
    """Return logits, values and label of one sample whose tokens and keys are unit vectors: rows of W_Q hold the logits."""
    L = int(rng.integers(3, 6))
    z, V, y = scale * rng.normal(size=(L, L)), rng.normal(size=L), float(rng.choice([-1.0, 1.0]))
    return z, V, y, *_gradient(np.eye(L)[None], np.array([y]), z.T, np.eye(L), V)


def _values(rng: Generator) -> Posed:
    _, V, y, cache, out = _one_sample(rng)
    return Posed((cache.p[0], V, y), out.W_V[0, 0])


def _scores(rng: Generator) -> Posed:
    _, V, y, cache, out = _one_sample(rng)
    return Posed((cache.p[0], V, y), out.W_QK[0])


def _sharp(rng: Generator) -> Posed:
    """Take the coefficients that the signs are made of: each has all its digits, which the gradient of the first key has not."""
    z, V, y, c, _ = _one_sample(rng, scale=25.0)
    log_l = -np.logaddexp(0.0, y * (c.p[0] @ V).sum())
    found = relative_coefficients(c.log_p, log_l[None], np.ones((*z.shape[:1], 1))[None], V[None], (V[:, None] - V)[None], np.array([y]))
    return Posed((z, V, y), found[0][0] * np.exp(found[2][0])[:, None])


def _softmax(z: NDArray) -> NDArray:
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def _cancelled(z: NDArray, V: NDArray, y: float) -> NDArray:
    """Subtract the mean value, which has rounded to the value of the favourite token."""
    p = _softmax(z)
    mean = p @ V
    return -y / (1 + np.exp(y * mean.sum())) * p * (V - mean[:, None])


def _keys(rng: Generator) -> Posed:
    n, L, d, m_k = int(rng.integers(3, 5)), int(rng.integers(3, 5)), 6, 2
    X, y = rng.normal(size=(n, L, d)), rng.permutation(np.resize([-1.0, 1.0], n))
    W_Q, W_K, v = rng.normal(size=(m_k, d)) / 2, rng.normal(size=(m_k, d)) / 2, rng.normal(size=d)
    return Posed((X, y, W_Q, W_K, v), _gradient(X, y, W_Q, W_K, v)[1].W_QK[1].T)


def _other_way_round(X: NDArray, y: NDArray, W_Q: NDArray, W_K: NDArray, v: NDArray) -> Any:
    """Sum over keys where the sum is over queries."""
    Q, V = X @ W_Q.T, X @ v
    p = _softmax(Q @ (X @ W_K.T).swapaxes(1, 2))
    mean = (p @ V[..., None])[..., 0]
    l = 1 / (1 + np.exp(y * mean.sum(axis=1))) / len(y)
    dz = (-y * l)[:, None, None] * p * (V[:, None] - mean[..., None])
    return np.einsum("iar,iad->rd", dz @ Q, X)


def _log_scales(rng: Generator) -> Posed:
    L = int(rng.integers(4, 7))
    z, V = 300.0 * rng.normal(size=(L, L)), rng.integers(0, 3, size=L).astype(float)
    V[:3] = 0.0, 1.0, 1.0  # some values are equal, but not all
    z[0, 1:3] += 2000.0  # the two likeliest keys of query 0 are of equal value
    log_p = z - np.logaddexp.reduce(z, axis=-1)[:, None]
    found = relative_coefficients(log_p[None], np.zeros(1), np.ones((1, L, 1)), V[None], (V[:, None] - V)[None], np.ones(1))[2]
    return Posed((log_p, V), found[0])


EXERCISES = (
    Exercise(
        "general_tokens.1", "The gradient of the values",
        r"One sample ($n = 1$) with attention $p$ (query, key), values $V$ (L,) and label $y = \pm1$. What is $\partial L/\partial V_a$ "
        r"for every token?",
        r"(T3) is linear in $V$; $\ell = \sigma(-\mathrm{margin})$ here, and (T7).",
        "value_gradient(p, V, y)", "an array (L,)", _values,
        lambda p, V, y: -y / (1 + np.exp(y * (p @ V).sum())) * p.sum(axis=1),
    ),
    Exercise(
        "general_tokens.2", "The gradient of the scores",
        r"The same sample. What is $\partial L/\partial z_{la}$, rows for queries?",
        r"The Jacobian of a softmax, stated above (T4). The rows of the answer sum to zero.",
        "score_gradient(p, V, y)", "an array (L, L)", _scores,
        lambda p, V, y: -y / (1 + np.exp(y * (p @ V).sum())) * p * V,
    ),
    Exercise(
        "general_tokens.3", "The same where attention is sharp",
        r"One sample with scores $z$ (query, key) so far apart that some weights are below rounding. Compute $\partial L/\partial "
        r"z_{la}$ with *every entry* right to seven digits, however small it is.",
        r"The second form of (T4): differences $V_a - V_b$ first. Take the largest score of a row out before exponentiating.",
        "score_gradient(z, V, y)", "an array (L, L)", _sharp, _cancelled, rtol=1e-7, atol=0.0,
    ),
    Exercise(
        "general_tokens.4", "The gradient of the keys, by hand",
        r"Derive $\partial L/\partial W_K$ for samples $X$ (n, L, d) with labels $y$ (n,), weights $W_Q$, $W_K$ ($m_k$, d), $v$ (d,) and "
        r"the factor $c = 1$.",
        r"(T4), (T6) and (T8). Key $a$ is compared with every query $l$: over which index of $\partial L/\partial z_{la}$ is the sum?",
        "key_gradient(X, y, W_Q, W_K, v)", "an array (m_k, d)", _keys, _other_way_round,
    ),
    Exercise(
        "general_tokens.5", "What to take out of a row",
        r"For the signs of a gradient a row of (T5) may be divided by its largest product of attention weights. Find its logarithm "
        r"$M_l$, (T9), for every query, from $\log p$ (query, key) and values $V$ (L,), some of which are equal.",
        r"Only pairs of keys with *different* values count. Which two keys make the largest product?",
        "log_scales(log_p, V)", "an array (L,)", _log_scales, lambda log_p, V: np.sort(log_p, axis=1)[:, -2:].sum(axis=1),
    ),
)
