r"""Initial weights, and how they compare with the paper's bounds at initialisation (arXiv 2410.09605, appendices D and E.5).

With probability at least 1 - delta each, and :math:`\beta(x) = \sqrt{(4/m)\log(x/\delta)} + (4/m)\log(x/\delta)`. D.5 as printed misses a
factor sqrt(2), which its own argument (a union bound over Gaussian tails) has: both forms are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Bags, Setting, streams

__all__ = ["BOUNDS", "DELTA", "draw_weights", "initial_bounds", "unseen_columns"]

DELTA = 0.01
"""Probability of failure that the bounds are taken at."""

BOUNDS = ("D.1", "D.3", "D.4", "D.5 printed", "D.5 corrected", "D.6", "D.8", "E.5")
"""What the entries of `initial_bounds` belong to."""


def _law(setting: Setting, fan_in: int, sigma: Any) -> Any:
    """Return a function (rng, shape) -> entries of one layer."""
    if setting.init == "kaiming_uniform":
        return lambda rng, shape: rng.uniform(-1.0, 1.0, shape) / np.sqrt(fan_in)
    scale = np.sqrt(2.0 / fan_in) if setting.init == "kaiming_normal" else sigma()
    return lambda rng, shape: scale * rng.standard_normal(shape)


def draw_weights(setting: Setting, d: int, seed: int) -> dict[str, NDArray]:
    """Draw W (m1, m), W_V, W_K, W_Q (d, m) and a (m1,), each from a stream of its own.

    The fan-in of W_V, W_K and W_Q is d, that of W is m, that of the last layer m1.
    """
    rng = {name: np.random.default_rng(stream) for name, stream in streams(seed).items()}
    m, m1 = setting.m, setting.m1
    token = _law(setting, d, lambda: setting.sigma_0)
    weights = {"W": _law(setting, m, lambda: setting.sigma_1)(rng["W"], (m1, m))}
    weights |= {name: token(rng[name], (d, m)) for name in ("W_V", "W_K", "W_Q")}
    signs = setting.output == "signs"
    weights["a"] = rng["output"].choice([-1.0, 1.0], m1) if signs else _law(setting, m1, None)(rng["output"], m1)
    return weights


def unseen_columns(setting: Setting, d: int, count: int, seed: int) -> dict[str, NDArray]:
    """Draw the initial W_V, W_K, W_Q (count, m) of tokens that do not occur in training."""
    rng = np.random.default_rng(streams(seed)["unseen"])
    token = _law(setting, d, lambda: setting.sigma_0)
    return {name: token(rng, (count, setting.m)) for name in ("W_V", "W_K", "W_Q")}


def initial_bounds(setting: Setting, bags: Bags, weights: Mapping[str, NDArray], p: NDArray, F: NDArray) -> NDArray:
    """Return observed / bound of each of `BOUNDS` at the start.

    Parameters
    ----------
    setting : Setting
        With init="normal", output="signs".
    bags : Bags
    weights : mapping of str to ndarray
        As `draw_weights` returns them.
    p : ndarray, shape (n, key, query)
        Softmax outputs.
    F : ndarray, shape (n,)
        Outputs.
    """
    n, L, d, m, m1, s0, s1 = bags.n, bags.L, bags.d, setting.m, setting.m1, setting.sigma_0, setting.sigma_1
    W, V, K, Q, a = (weights[name] for name in ("W", "W_V", "W_K", "W_Q", "a"))

    def beta(x: float) -> float:
        return float(np.sqrt(4.0 / m * np.log(x / DELTA)) + 4.0 / m * np.log(x / DELTA))

    def off_diagonal(A: NDArray) -> float:
        return float(np.abs(A - np.diag(np.diag(A))).max(initial=0.0))

    products, values = W @ W.T, W @ V.T
    sums = W @ (W.T @ a) - a * np.diag(products)  # over the other neurons
    attended = np.matmul(p.swapaxes(1, 2), V[bags.tokens]).reshape(-1, m)  # (n L, m)
    pulled = float(np.abs(attended @ W.T).max()) / (s0 * s1 * np.sqrt(m / L))
    norms = max(
        float(np.abs((A * A).sum(1) / (s * s * m) - 1.0).max()) / beta(x)
        for A, s, x in ((V, s0, 2 * d), (K, s0, 2 * d), (Q, s0, 2 * d), (W, s1, 2 * m1**2))
    )
    pairs = max(float(np.abs(K @ Q.T).max()), *(off_diagonal(A @ A.T) for A in (V, K, Q))) / (s0 * s0 * m * beta(2 * d))
    neurons = max(off_diagonal(products) / (s1 * s1 * m * beta(2 * m1**2)), float(np.abs(values).max()) / (s0 * s1 * m * beta(2 * m1 * d)))
    return np.array([
        pairs,
        max(neurons, norms),
        float(np.abs((attended**2).sum(1) / (s0 * s0 * m / L) - 1.0).max()) / beta(2 * n * L),
        pulled / np.sqrt(np.log(m1 * n * L / DELTA)),
        pulled / np.sqrt(2.0 * np.log(2 * m1 * n * L / DELTA)),
        abs((a > 0).mean() - 0.5) / np.sqrt(2.0 * np.log(4.0 / DELTA) / m1),
        float(np.abs(F).max()) / (2.0 * s0 * s1 * np.sqrt(2.0 * L * m * m1 * np.log(2 * L * n / DELTA))),
        float(np.abs(sums).max()) / (s1 * s1 * np.sqrt(m1) * m * beta(2 * m1**2) * np.sqrt(np.log(4 * m1 / DELTA))),
    ])
