r"""Why query noise never turns under Adam: what the memory of its rule makes of a gradient that decays faster and faster.

Pure functions on `query_gradient` recorded at every step. Derived here (docs/derivations/adam.md, whose equation numbers these
are); roots of second moments are kept as logarithms, because the gradient they divide spans hundreds of orders of magnitude.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...numerics import LOWEST
from .predictions import minority

__all__ = ["edge_rate", "followed_below", "gradient_ratio", "log_root", "steps_made", "threshold"]


def log_root(gradient: NDArray, beta2: float) -> NDArray:
    r"""Logarithm of the root of Adam's bias-corrected second moment, by a recursion that cannot underflow.

    .. math:: \log v_t = \log(\beta_2 v_{t-1} + (1-\beta_2) g_t^2), \qquad
              \tfrac12 \log \hat v_t = \tfrac12 \left(\log v_t - \log(1-\beta_2^{t+1})\right)

    Parameters
    ----------
    gradient : ndarray, shape (T, ...)
        Gradient g_t at consecutive steps from step 0 on.
    beta2 : float
        In [0, 1).

    Returns
    -------
    ndarray, shape (T, ...)
        At most -5e299 where every gradient so far was exactly 0.

    Raises
    ------
    ValueError
        If beta2 lies outside its range.
    """
    _check("beta2", beta2)
    log_square = 2.0 * _log(gradient)
    log_old, log_new = (np.log(beta2) if beta2 else LOWEST), np.log1p(-beta2)
    log_v = np.empty_like(log_square)
    log_v[0] = log_new + log_square[0]
    for t in range(1, len(log_v)):
        log_v[t] = np.logaddexp(log_old + log_v[t - 1], log_new + log_square[t]) if beta2 else log_square[t]
    bias = np.log1p(-np.power(beta2, np.arange(1, len(log_v) + 1)))
    return 0.5 * (log_v - bias.reshape(-1, *(1,) * (log_v.ndim - 1)))


def gradient_ratio(gradient: NDArray, beta2: float) -> NDArray:
    """Size of the gradient over the root of Adam's second moment: the step in units of the rate if beta1 = 0, shape (T, ...).

    For a gradient that falls evenly this comes to equation (4). 1 for SignGD (beta2 = 0), at most 1 / sqrt(1 - beta2), and near 0 where
    noise is frozen.
    """
    return np.exp(np.minimum(_log(gradient) - log_root(gradient, beta2), 700.0)) * (gradient != 0)


def steps_made(gradient: NDArray, beta1: float, beta2: float) -> NDArray:
    r"""Adam's own steps with eps = 0, in units of the rate: minus first moment over root of second, both bias-corrected.

    .. math:: -\hat m_t / \sqrt{\hat v_t}

    Parameters
    ----------
    gradient : ndarray, shape (T, ...)
        At consecutive steps from step 0 on.
    beta1, beta2 : float
        In [0, 1).

    Returns
    -------
    ndarray, shape (T, ...)
        On disjoint supports query noise moves by this times lr |xi_i|_1. Without bound where beta1 > sqrt(beta2).
    """
    _check("beta1", beta1)
    root = log_root(gradient, beta2)
    size = np.sign(gradient) * gradient_ratio(gradient, beta2)
    moment = np.empty_like(size)
    moment[0] = (1.0 - beta1) * size[0]
    for t in range(1, len(size)):  # the moment in units of the present root, which the past one may exceed beyond all range
        shrunk = np.exp(np.minimum(root[t - 1] - root[t], 700.0)) if beta1 else 0.0
        with np.errstate(over="ignore"):
            moment[t] = beta1 * shrunk * moment[t - 1] + (1.0 - beta1) * size[t]
    bias = 1.0 - np.power(beta1, np.arange(1, len(size) + 1))
    return -moment / bias.reshape(-1, *(1,) * (size.ndim - 1))


def edge_rate(beta2: float) -> float:
    r"""Rate of decay per step beyond which a gradient outruns its own second moment, equation (3): log(1 / beta2) / 2.

    >>> round(edge_rate(0.999), 5)
    0.0005
    """
    _check("beta2", beta2)
    return float(-0.5 * np.log(beta2)) if beta2 else np.inf


def threshold(T_key: NDArray | float, a: NDArray | float, mu: NDArray | float, n: int) -> Any:
    r"""Largest beta2 at which query noise against its row still comes back to zero, beta1 = 0, equation (8).

    .. math:: \beta_2^* = \exp\left(-8 (1-f)\, \log(4a/\|\mu\|) \,/\, T_{key}\right)
                        = \exp\left(-8 (1-f)\, \eta a \sqrt{m_k \log(4a/\|\mu\|)}\right)

    with f the expected minority of n fair coins. Rests on the decay of equations (5) to (7). Heuristic: for disjoint supports, |mu| much
    smaller than a, a horizon of some 6 T_key.

    Parameters
    ----------
    T_key : float or ndarray
        Predicted key turn, `predictions.key_turn`.
    a, mu : float or ndarray
        l1 norms of a noise token and of the signal; they matter through log(4 a / mu) only, once T_key is known.
    n : int
        Samples.

    Returns
    -------
    float or ndarray
        In (0, 1). NaN where there is no key turn to speak of: 4 a <= mu, mu = 0, or T_key not positive and finite.

    Examples
    --------
    >>> round(float(threshold(138.0, 32.0, 1.0, 20)), 2)
    0.85
    """
    return np.exp(-8.0 * (1.0 - minority(n)) * _pace(T_key, a, mu))


def followed_below(T_key: NDArray | float, a: NDArray | float, mu: NDArray | float, n: int) -> Any:
    r"""Value of beta2 below which query noise keeps up with SignGD until it is back at zero, beta1 = 0, equation (9).

    .. math:: \exp\left(-2 (8 - 6f) \log(4a/\|\mu\|) \,/\, T_{key}\right)

    There the decay of equation (5), query noise moving at full speed, meets the edge. Parameters and range as in `threshold`, and heuristic
    like it.
    """
    return np.exp(-2.0 * (8.0 - 6.0 * minority(n)) * _pace(T_key, a, mu))


def _pace(T_key: NDArray | float, a: NDArray | float, mu: NDArray | float) -> NDArray:
    """p = log(4 a / mu) / T_key, equation (2): positive and finite, or NaN."""
    turn = np.asarray(T_key, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.log(4.0 * np.asarray(a, dtype=float) / mu) / turn
    return np.where((turn > 0) & (p > 0) & (p < np.inf), p, np.nan)


def _log(gradient: NDArray) -> NDArray:
    """log |g|, and a finite number that stands for it where g is 0."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(np.abs(np.asarray(gradient, dtype=float))), 0.5 * LOWEST)


def _check(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value!r} must lie in [0, 1)")
