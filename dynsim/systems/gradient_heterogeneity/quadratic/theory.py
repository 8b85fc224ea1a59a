r"""Weighted complexities, the law of log-normal blocks, bounds on the steps to a small gradient, and bounds under noise.

Derived here, in docs/derivations/gradient_heterogeneity.md: the names :math:`\Lambda_G, \Lambda_P` follow Tomihari and Sato, arXiv
2502.00213, as recalled; the formulas, constants and proofs are a derivation of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ....settings import check_whole
from ..inequality import density, gradient_weighted, size_weighted

__all__ = [
    "Law", "block_squares", "complexity_bound", "law", "noise_weighted", "sampled_law", "sgd_bound", "sgd_rate", "sign_bound", "sign_rate",
]

Sizes = Sequence[int] | NDArray

_ALLOWED: Mapping[str, Callable[[NDArray], NDArray]] = {
    "finite": np.isfinite, "finite and >= 0": lambda x: np.isfinite(x) & (x >= 0), "finite and > 0": lambda x: np.isfinite(x) & (x > 0),
}


def _check(allowed: str, **given: Any) -> None:
    """Raise a ValueError that names the first of these numbers, or arrays of numbers, that is out of range."""
    for name, value in given.items():
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "fiu" or not _ALLOWED[allowed](numbers).all():
            raise ValueError(f"{name}={value!r} must be {allowed}")


def block_squares(gradient: NDArray, sizes: Sizes) -> NDArray:
    """Return the squared norm of each block of a gradient, shape (*lead, B), from (*lead, P)."""
    return np.add.reduceat(np.square(gradient), np.cumsum([0, *sizes[:-1]]), axis=-1)


@dataclass(frozen=True)
class Law:
    """The one-step comparison of sign descent with gradient descent at one point.

    Attributes
    ----------
    ratio : float
        Lambda_G / Lambda_P.
    phi : float
        Density of the gradient, |g|_1^2 / (P |g|_2^2).
    """

    ratio: float
    phi: float

    @property
    def R(self) -> float:
        """Best guaranteed decrease of a sign step over that of a gradient step, phi Lambda_G / Lambda_P, equation (2)."""
        return self.phi * self.ratio


def law(a: float, s: float) -> Law:
    r"""Return the law of blocks whose gradients are log-normal and whose curvature is a power of them, in the limit of many blocks.

    .. math:: \Lambda_G/\Lambda_P = e^{2 a s^2}, \qquad \varphi = \tfrac2\pi e^{-s^2}, \qquad R = \tfrac2\pi e^{s^2 (2a - 1)}

    for log ghat normal with deviation s, h = ghat^a and Gaussian entries within blocks: sign steps gain from heterogeneity if a > 1/2.
    Derived here, equation (3).

    Parameters
    ----------
    a : float
        Power of the gradient that the curvature is.
    s : float
        Standard deviation of log ghat, >= 0.

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.

    Examples
    --------
    >>> round(law(1.0, 1.0).R, 2), round(law(0.5, 1.0).R, 3)
    (1.73, 0.637)
    """
    _check("finite", a=a)
    _check("finite and >= 0", s=s)
    return Law(float(np.exp(2.0 * a * s * s)), float(2.0 / np.pi * np.exp(-s * s)))


def sampled_law(a: float, s: float, *, blocks: int, size: int, rng: np.random.Generator) -> Law:
    """Return what `law` predicts by equation (3), of blocks that are drawn.

    One block's ghat comes from each of as many quantiles of equal probability: the law's means have heavy tails, by equation (5), which
    independent draws meet two to three times as unevenly. For s = 1 and a = 1, 200,000 blocks still leave an error of some 3 %.

    Parameters
    ----------
    a, s : float
        As in `law`.
    blocks, size : int
        Blocks, and parameters of each; >= 1.
    rng : numpy.random.Generator
        Of the quantiles and of the entries within blocks.

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.
    """
    _check("finite", a=a)
    _check("finite and >= 0", s=s)
    counts = SimpleNamespace(blocks=blocks, size=size)
    for name in vars(counts):
        check_whole(counts, name, 1)
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng={rng!r} must be a numpy.random.Generator, for example np.random.default_rng(0)")
    blocks, size = counts.blocks, counts.size
    quantiles = (np.arange(blocks) + rng.random(blocks)) / blocks
    ghat = np.exp(s * ndtri(quantiles))[:, None]
    g = (ghat * rng.standard_normal((blocks, size))).ravel()
    h, sizes = ghat[:, 0] ** a, np.full(blocks, size)
    ratio = gradient_weighted(block_squares(g, sizes), h) / size_weighted(sizes, h)
    return Law(float(ratio), density(g))


def complexity_bound(Delta: float, Lambda: float, eps: float, *, rho: float, constant: float) -> float:
    r"""Return the bound on the steps to a gradient of size eps, of T1 (Lambda_G) and T2 (Lambda_P), equations (7) to (9).

    .. math:: T_\epsilon \leq c\, \Delta \max(\Lambda/\epsilon^2,\ \rho^{1/2}/\epsilon^{3/2}),

    c = 6; 3 if the Hessian is constant or block-diagonal, 2 if it is both. The first term is the larger if
    :math:`\epsilon \leq \Lambda^2/\rho` (A4). With eps times the root of the least density on the path it is equation (13), the bound on
    sign steps to a 2-norm of eps.

    Parameters
    ----------
    Delta : float
        Loss at the start above its minimum, >= 0.
    Lambda : float
        Supremum of the weighted complexity over the iterates, > 0, at least 3 delta_D if c = 6.
    eps : float
        Gradient norm to reach, > 0; for T2, 1-norm over sqrt(P).
    rho : float
        Lipschitz constant of the Hessian, >= 0.
    constant : float
        c > 0.

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.
    """
    _check("finite and >= 0", Delta=Delta, rho=rho)
    _check("finite and > 0", Lambda=Lambda, eps=eps, constant=constant)
    return float(constant * Delta * max(Lambda / eps**2, np.sqrt(rho) / eps**1.5))


# -- bounds under noise: block-smooth losses, unbiased gradients; derived here -------------------------------------------------


def noise_weighted(noise_sd: NDArray, sizes: Sizes, h: NDArray) -> NDArray:
    r"""Return the mean curvature weighted by the noise, :math:`\Lambda_\sigma = \sum_b \sigma_b^2 h_b / \sigma^2`; 0 without noise."""
    squares = block_squares(noise_sd, sizes)
    return np.where(squares.any(axis=-1), gradient_weighted(squares, h), 0.0)[()]


def sgd_rate(eps: float, *, Lambda_G: float, Lambda_sigma: float, sigma: float) -> float:
    r"""Return the rate of S1 for a target, :math:`\min(1/\Lambda_G,\ \epsilon^2 / (2 \Lambda_\sigma \sigma^2))`.

    With it :math:`T = 4 \Delta \max(\Lambda_G/\epsilon^2, 2 \Lambda_\sigma \sigma^2/\epsilon^4)` steps suffice for a mean of
    :math:`\|g\|^2` of at most eps^2. Derived here, equation (29).

    Parameters
    ----------
    eps : float
        Root of the mean of :math:`\|g\|^2` to reach, > 0.
    Lambda_G : float
        Bound on the weighted complexity over the iterates, > 0.
    Lambda_sigma : float
        Block curvatures weighted by the noise, >= 0; see `noise_weighted`.
    sigma : float
        Root of the noise's mean squared norm, >= 0.

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.
    """
    _check("finite and > 0", eps=eps, Lambda_G=Lambda_G)
    _check("finite and >= 0", Lambda_sigma=Lambda_sigma, sigma=sigma)
    noise = 2.0 * Lambda_sigma * sigma**2
    return float(min(1.0 / Lambda_G, eps**2 / noise if noise > 0 else np.inf))


def sgd_bound(Delta: NDArray | float, *, lr: float, steps: int, Lambda_sigma: NDArray | float, sigma: NDArray | float) -> NDArray:
    r"""Return the bound of S1 on the mean of E|g_t|^2 over the first steps, for :math:`\eta \leq 1/\Lambda_G` at every iterate.

    .. math:: \frac1T \sum_{t<T} E\|g_t\|^2 \leq \frac{2\Delta}{\eta T} + \eta\, \Lambda_\sigma \sigma^2

    Derived here, equation (29). The curvatures in it are those of block-smoothness: norms of diagonal blocks where the Hessian is
    block-diagonal, and up to B times these, for B blocks, where it is positive semidefinite only, equation (28).

    Parameters
    ----------
    Delta : float or ndarray, shape replicates
        Loss at the start above its minimum, >= 0.
    lr : float
        Constant rate eta > 0; that it is at most 1/Lambda_G is for the caller to see to.
    steps : int
        T >= 1.
    Lambda_sigma, sigma : float or ndarray, shape replicates
        As in `sgd_rate`, >= 0.

    Returns
    -------
    ndarray, shape () or replicates

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.
    """
    _check("finite and >= 0", Delta=Delta, Lambda_sigma=Lambda_sigma, sigma=sigma)
    _check("finite and > 0", lr=lr, steps=steps)
    return 2.0 * np.asarray(Delta) / (lr * steps) + lr * np.asarray(Lambda_sigma) * np.square(sigma)


def sign_rate(Delta: float, *, P: int, Lambda_P: float, steps: int) -> float:
    r"""Return the constant rate of S2, :math:`\eta = \sqrt{2\Delta / (P \Lambda_P T)}`; derived here, equations (10) and (30).

    Parameters
    ----------
    Delta : float
        Loss at the start above its minimum, >= 0.
    P : int
        Parameters, >= 1.
    Lambda_P : float
        Block curvatures weighted by sizes, > 0.
    steps : int
        T >= 1.

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.
    """
    _check("finite and >= 0", Delta=Delta)
    _check("finite and > 0", P=P, Lambda_P=Lambda_P, steps=steps)
    return float(np.sqrt(2.0 * Delta / (P * Lambda_P * steps)))


def sign_bound(Delta: NDArray | float, *, P: int, Lambda_P: NDArray | float, steps: int, noise_1: NDArray | float = 0.0) -> NDArray:
    r"""Return the bound of S2 on the mean of E|g_t|_1 over the first steps, at the rate `sign_rate`.

    .. math:: \frac1T \sum_{t<T} E\|g_t\|_1 \leq \sqrt{2 \Delta P \Lambda_P / T} + |s|_1

    Derived here, equation (30). The floor is that of noise with any law (Cantelli's inequality); normal noise leaves 0.34 of it, by
    equation (31). The same without it (``noise_1=0``) bounds the mean of `sign_progress` under Gaussian noise, and, without noise, the
    mean of the 1-norm itself, equation (10).

    Parameters
    ----------
    Delta, Lambda_P : float or ndarray, shape replicates
    P, steps : int
        As in `sign_rate`.
    noise_1 : float or ndarray, shape replicates
        Sum of the noise's standard deviations, >= 0.

    Raises
    ------
    ValueError
        For a value out of range, naming argument, value and range.
    """
    _check("finite and >= 0", Delta=Delta, noise_1=noise_1)
    _check("finite and > 0", P=P, Lambda_P=Lambda_P, steps=steps)
    return np.sqrt(2.0 * np.asarray(Delta) * P * np.asarray(Lambda_P) / steps) + np.asarray(noise_1)
