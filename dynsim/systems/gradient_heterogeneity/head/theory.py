r"""Why sign updates of a softmax head with many classes drift, where to, and what momentum does about it.

For :math:`z = Vh + b`, cross-entropy and a batch of n samples, n_c of them of class c, :math:`\partial L/\partial b_c =
\frac1n\sum_i p_{ic} - n_c/n`. The abstract of the paper's first version (arXiv 2502.00213v1) says that momentum keeps the head from
growing too much in tasks with many classes. Its statement and proof are not known to us; everything below is derived here, in
docs/derivations/gradient_heterogeneity.md.

- Absence (`absence`): the bias of a class that the batch lacks is pushed down by every sample, and its row by a positive combination of the
  features. With C >> n most classes are absent, and the sign makes their pushes of size p ~ 1/C as large as the rare corrections.
- Drift (`drift`): while p = 1/C, the mean sign of a bias gradient over iid batches is D = P[n_c < n/C] - P[n_c > n/C], not 0.
- Gauge (`centred`, `gauge_share`): the gradients of all classes add up to 0, so that gradient descent conserves the sums over the classes;
  their signs do not add up to 0. Loss and gradients are blind to a vector added to all rows: nothing opposes the drift.
- Momentum (`momentum_drift`, `skewness_drift`): the sign of a running mean over some 1/(1-beta) batches drifts less.
- What the sign rule does to the centred V and b is the same whether the mean over the classes is taken out of its updates or not
  (`dynsim.systems.gradient_heterogeneity.head.rule.ProjectedSign`), since the gradient depends on the centred part alone.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

__all__ = [
    "absence", "centred", "drift", "drift_norm", "gauge_share", "measured_drift", "momentum_drift", "skewness_drift",
]

LOST = 1e-9
"""Probability outside the interval on which `momentum_drift` resolves a sum."""
SETTLED = 1e-12
"""Change of the logarithm of a characteristic function, by one more batch, that ends the product in `momentum_drift`."""
SMOOTHING = 0.01
"""Largest standard deviation of the normal number added to a sum in `momentum_drift`, over that of one batch's count."""


def _check(C: int, n: int, beta: float = 0.0) -> None:
    for name, value, low in (("C", C, 2), ("n", n, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise ValueError(f"{name}={value!r} must be an integer >= {low}")
    if not 0 <= beta < 1:
        raise ValueError(f"beta={beta!r} must lie in [0, 1)")


# -- absence ---------------------------------------------------------------------------------------------------------------


def absence(cache: SimpleNamespace) -> SimpleNamespace:
    r"""Return which classes a batch lacks, and the weights with which their rows' gradients combine its features.

    For an absent class :math:`\partial L/\partial b_c = \sum_i w_{ic} > 0` and :math:`\partial L/\partial v_c = \sum_i w_{ic} h_i` with
    :math:`w_{ic} = p_{ic}/n > 0`. Derived here, equation (51).

    Parameters
    ----------
    cache : SimpleNamespace
        Of a forward pass of `LinearHead`.

    Returns
    -------
    SimpleNamespace
        `absent` (C,), true for classes without a sample in the batch; `weights` (*replicates, n, absent classes).
    """
    absent = np.ones(cache.log_p.shape[-1], dtype=bool)
    absent[cache.y] = False
    return SimpleNamespace(absent=absent, weights=np.exp(cache.log_p[..., absent]) / len(cache.y))


# -- gauge -----------------------------------------------------------------------------------------------------------------


def centred(V: NDArray) -> NDArray:
    """Return the weights, shape (..., C, d), without their mean over the classes: all that loss and gradients depend on, equation (56)."""
    return V - V.mean(axis=-2, keepdims=True)


def gauge_share(V: NDArray) -> NDArray:
    r"""Return :math:`C \|\bar v\|^2 / \|V\|_F^2` of weights of shape (..., C, d), 0 for weights that are 0; in [0, 1].

    >>> float(gauge_share(np.array([[1.0, 1.0], [1.0, 1.0]]))), float(gauge_share(np.array([[1.0], [-1.0]])))
    (1.0, 0.0)
    """
    mean = V.mean(axis=-2)
    total = np.sum(V * V, axis=(-2, -1))
    return np.divide(V.shape[-2] * np.sum(mean * mean, axis=-1), total, out=np.zeros_like(total), where=total > 0)


# -- drift -----------------------------------------------------------------------------------------------------------------


def drift(C: int, n: int, samples: int | None = None) -> float:
    r"""Return the mean sign of a bias gradient while all probabilities are 1/C, without momentum.

    .. math:: D = P[n_c < n/C] - P[n_c > n/C] = 1 - 2P[n_c > n/C] - P[n_c = n/C]

    with n_c ~ Bin(n, 1/C) for iid batches of equally frequent classes. For C > n it is :math:`2(1 - 1/C)^n - 1`. The mean bias moves by
    -lr D a step under signs, and in the first step of Adam too, equation (59). Derived here, equation (52).

    Parameters
    ----------
    C, n : int
        Classes, >= 2, and samples of a batch, >= 1.
    samples : int, optional
        Training samples of each class for batches drawn without replacement: then n_c is hypergeometric, and n at most C * samples.

    Examples
    --------
    >>> round(drift(100, 32), 3), round(drift(1000, 32), 3)
    (0.45, 0.937)
    >>> drift(100, 2000, samples=20)  # all samples: each class has its share
    0.0
    """
    _check(C, n)
    if samples is not None and n > C * samples:
        raise ValueError(f"n={n} must be at most C * samples = {C * samples} without replacement")
    law = binom(n, 1.0 / C) if samples is None else hypergeom(C * samples, samples, n)
    share, rest = divmod(n, C)
    return float(1.0 - 2.0 * law.sf(share) - (0.0 if rest else law.pmf(share)))


def drift_norm(C: int, d: int, lr: float, steps: int, mean_sign: float) -> float:
    r"""Return :math:`\eta t \sqrt{Cd}\, D`, the norm of a V whose every entry moved by lr * D a step; derived here.

    Equation (55) with the drift of the biases for that of the rows, D_j = D, which by equation (54) holds where the signs of the features
    are those of their shared mean.

    Parameters
    ----------
    C, d : int
        Classes and features.
    lr : float
        Rate of the sign rule, or the mean of its rates over the steps.
    steps : int
        t >= 0.
    mean_sign : float
        D in [-1, 1], for example `drift` or the last entry of `measured_drift`; the norm has its sign.
    """
    return float(lr * steps * np.sqrt(C * d) * mean_sign)


def measured_drift(mean_bias: NDArray, at: NDArray, lr: Any) -> NDArray:
    """Return the mean sign of the bias updates up to each recorded step: minus the displacement of the mean bias over the sum of the rates.

    Parameters
    ----------
    mean_bias : ndarray, shape (T, *replicates)
        As recorded, the first entry at step 0.
    at : ndarray of int, shape (T,)
        The steps.
    lr : float, array or callable
        The rate of the sign rule, as the rule has it.

    Returns
    -------
    ndarray, shape (T - 1, *replicates)
        In [-1, 1] for a sign rule.
    """
    rates = np.array([lr(step) if callable(lr) else lr for step in range(int(at[-1]))])
    travelled = np.cumsum(rates, axis=0)[np.asarray(at[1:]) - 1]
    return (mean_bias[0] - mean_bias[1:]) / travelled


# -- momentum --------------------------------------------------------------------------------------------------------------


def skewness_drift(C: int, n: int, beta: float) -> float:
    r"""Return the drift of the sign of a running mean from the skewness g of the running mean of counts, for one that is close to normal.

    .. math:: D_\beta \approx \frac{g}{3\sqrt{2\pi}}, \qquad
              g = \frac{1 - 2/C}{\sqrt{(n/C)(1 - 1/C)}}\,\frac{(1-\beta^2)^{3/2}}{1-\beta^3}

    The first term of Edgeworth's series for the median; derived here, equation (57). Meant for n/C >= 1 - beta. In the limit of many
    classes the first factor is :math:`(n/C)^{-1/2}`.

    Parameters
    ----------
    C, n : int
        Classes, >= 2, and samples of a batch, >= 1.
    beta : float
        Momentum in [0, 1).

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.

    Examples
    --------
    >>> round(skewness_drift(100, 32, 0.9), 3)
    0.071
    """
    _check(C, n, beta)
    q = 1.0 / C
    g = (1.0 - 2.0 * q) / np.sqrt(n * q * (1.0 - q)) * (1.0 - beta**2) ** 1.5 / (1.0 - beta**3)
    return float(g / (3.0 * np.sqrt(2.0 * np.pi)))


def _smoothing(C: int, n: int) -> float:
    """Return the standard deviation of the normal number in `momentum_drift`: a hundredth of that of one count, or less.

    Its fivefold does not reach from n/C to the nearest other count, so that the sign of a single batch is what it was.
    """
    rest = min(n % C, C - n % C) / C
    return float(min(SMOOTHING * np.sqrt(n / C * (1.0 - 1.0 / C)), rest / 5.0 if rest else np.inf))


def momentum_drift(C: int, n: int, beta: float, steps: int) -> NDArray:
    r"""Return the mean sign of the running mean of a bias gradient after each of the first steps, while all probabilities are 1/C.

    The running mean at step t has the sign of :math:`S_t = \sum_{k<t} \beta^k (n/C - X_k)` with independent X_k ~ Bin(n, 1/C), whose
    characteristic function is a product. The sign is a square wave wherever :math:`|S_t| < R`, so

    .. math:: E\,\mathrm{sgn}(S_t) = \frac4\pi \sum_{j\ \mathrm{odd}} \frac{\mathrm{Im}\,\varphi_t(\pi j/R)}{j}, \qquad
              \varphi_t(u) = \prod_{k<t} \Big(1 - \tfrac1C + \tfrac1C e^{-\mathrm{i}u\beta^k}\Big)^n e^{\mathrm{i}u\beta^k n/C},

    up to 2 P[|S_t| >= R] <= 2e-9 (Bernstein's inequality gives R). A normal number of standard deviation s, at most a hundredth of that of
    one count, is added to S_t, which makes the series finite; a tie then counts as 0. It costs at most the mean of
    erfc(|S_t| / (sqrt(2) s)): up to 1e-2 at some early steps at which some sum of few counts is nearly 0, and some 1e-4 in the mean over
    200 steps with n/C >= 0.03. Derived here, equation (58), without simulation.

    Batches are iid; shuffled ones make up for each other within an epoch and drift less with momentum. Probabilities are 1/C with small
    weights and few steps at a small rate. Later the rare corrections themselves move them: the probability of a class is above 1/C for a
    while after one.

    Parameters
    ----------
    C, n : int
        Classes, >= 2, and samples of a batch, >= 1.
    beta : float
        Momentum in [0, 1); with 0 every entry is `drift`.
    steps : int
        Steps T, >= 1; after some 3/(1 - beta) of them the value is that of the stationary state.

    Returns
    -------
    ndarray, shape (steps,)
        After update 1, 2, ..., T of a mean that starts at 0.

    Examples
    --------
    >>> momentum_drift(100, 32, 0.9, 200)[[0, 9, 199]].round(3)
    array([0.45 , 0.082, 0.071])
    """
    _check(C, n, beta)
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps={steps!r} must be an integer >= 1")
    q, share = 1.0 / C, n / C
    variance = share * (1.0 - q)
    epsilon = _smoothing(C, n)
    log_lost = np.log(2.0 / LOST)
    R = log_lost / 3.0 + np.sqrt(log_lost**2 / 9.0 + 2.0 * log_lost * variance / (1.0 - beta**2))
    j = np.arange(1.0, 7.5 / epsilon * R / np.pi, 2.0)  # the normal number's characteristic function is 6e-13 at 7.5 / epsilon
    u = np.pi * j / R
    weights = 4.0 / np.pi / j * np.exp(-0.5 * (epsilon * u) ** 2)
    phi, found = np.ones_like(u, dtype=complex), np.empty(steps)
    for t in range(steps):
        v = beta**t * u
        if t and share * v[-1] ** 2 < SETTLED:
            found[t:] = found[t - 1]
            break
        phi *= np.exp(n * np.log1p(q * np.expm1(-1j * v)) + 1j * share * v)
        found[t] = weights @ phi.imag
    return found
