"""Numbers that say how unequal the gradients and curvatures of blocks are, from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Complexity", "Spread", "complexity", "density", "gini", "gradient_weighted", "log_correlation", "size_weighted", "spread",
]

NAN = float("nan")


@dataclass(frozen=True)
class Spread:
    """How unequal positive numbers of the blocks are.

    Attributes
    ----------
    gini : float
        `gini` of all blocks, in [0, 1 - 1/B].
    max_over_min, log_std : float
        Largest over smallest, and standard deviation of the logarithm, of the blocks that are not negligible.
    cv : float
        Coefficient of variation over parameters, that is with weights P_b / P, of all blocks: of ghat^2 for gradients, of h for
        curvatures, as they stand in equation (1).
    """

    gini: float = NAN
    max_over_min: float = NAN
    log_std: float = NAN
    cv: float = NAN


@dataclass(frozen=True)
class Complexity:
    """Weighted curvatures of blocks: `Lambda_G` by squared gradient norms, `Lambda_P` by sizes, and how equation (1) relates them.

    Attributes
    ----------
    Lambda_G, Lambda_P : float
    ratio : float
        Lambda_G / Lambda_P, from their definitions.
    ratio_by_identity : float
        1 + CV(ghat^2) CV(h) corr_P(ghat^2, h), equation (1).
    cv_squares, cv_curvatures, corr_P : float
        Its factors; the correlation is NaN where one of the others is 0.
    """

    Lambda_G: float = NAN
    Lambda_P: float = NAN
    ratio: float = NAN
    ratio_by_identity: float = NAN
    cv_squares: float = NAN
    cv_curvatures: float = NAN
    corr_P: float = NAN


def gini(values: NDArray) -> float:
    r"""Return the Gini coefficient :math:`\sum_i (2i - n - 1)\, x_{(i)} / (n \sum_i x_i)` of numbers >= 0; NaN if all are 0.

    0 if all are equal, 1 - 1/n if all but one are 0.

    >>> gini(np.array([1.0, 1.0, 1.0])), gini(np.array([0.0, 0.0, 0.0, 5.0]))
    (0.0, 0.75)
    """
    x = np.sort(values)
    n, total = len(x), x.sum()
    return float((2.0 * np.arange(1, n + 1) - n - 1.0) @ x / (n * total)) if total > 0.0 else NAN


def density(gradient: NDArray) -> Any:
    r"""Return :math:`\varphi = |g|_1^2 / (P |g|_2^2)` of gradients (*lead, P), in [1/P, 1]: the share of entries that are large.

    Independent normal entries have 2/pi + (1 - 2/pi)/P in the mean, equation (4), and so has any gradient in the mean over rotations of its
    axes, equation (33). NaN for a gradient of 0.

    >>> density(np.array([[3.0, 0.0, 0.0, 0.0], [1.0, -1.0, 1.0, 1.0]]))
    array([0.25, 1.  ])
    """
    size = np.abs(gradient)
    top = size.max(axis=-1, keepdims=True)
    size = size / np.where(top > 0.0, top, 1.0)  # squares of tiny entries would underflow
    return _share(size.sum(axis=-1) ** 2, size.shape[-1] * np.square(size).sum(axis=-1))


def gradient_weighted(squares: NDArray, curvatures: NDArray) -> Any:
    r"""Return :math:`\Lambda_G = \sum_b \frac{|g_b|^2}{|g|^2} h_b`, shape (*lead), NaN for a gradient of 0.

    Parameters
    ----------
    squares : ndarray, shape (*lead, B)
        |g_b|^2, up to a common factor.
    curvatures : ndarray, shape (*lead, B) or (B,)
        h_b >= 0.
    """
    return _share((squares * curvatures).sum(axis=-1), squares.sum(axis=-1))


def size_weighted(sizes: Sequence[int] | NDArray, curvatures: NDArray) -> Any:
    r"""Return :math:`\Lambda_P = \sum_b \frac{P_b}{P} h_b`, shape (*lead), of sizes (B,) and curvatures (*lead, B)."""
    return (np.asarray(sizes) * curvatures).sum(axis=-1) / np.sum(sizes)


def _share(part: NDArray, whole: NDArray) -> Any:
    return np.divide(part, whole, out=np.full(np.shape(part), NAN), where=whole > 0.0)[()]


def complexity(sizes: NDArray, squares: NDArray, curvatures: NDArray) -> Complexity:
    r"""Return curvatures of blocks weighted by their gradients and by their sizes, and equation (1) between the two.

    Parameters
    ----------
    sizes : ndarray, shape (B,)
        P_b.
    squares : ndarray, shape (B,)
        |g_b|^2, up to a common factor; all 0 gives NaN for what depends on them.
    curvatures : ndarray, shape (B,)
        h_b >= 0.

    Examples
    --------
    >>> at = complexity(np.array([1, 1]), np.array([4.0, 1.0]), np.array([3.0, 1.0]))
    >>> at.Lambda_G, at.Lambda_P, at.ratio
    (2.6, 2.0, 1.3)
    """
    weights, mean_squares = sizes / sizes.sum(), squares / sizes
    Lambda_G, Lambda_P = float(gradient_weighted(squares, curvatures)), float(size_weighted(sizes, curvatures))
    mean_square = float(weights @ mean_squares)
    off_square, off_curvature = mean_squares - mean_square, curvatures - Lambda_P
    sd_square, sd_curvature = float(np.sqrt(weights @ off_square**2)), float(np.sqrt(weights @ off_curvature**2))
    cv_squares = sd_square / mean_square if mean_square > 0.0 else NAN
    cv_curvatures = sd_curvature / Lambda_P if Lambda_P > 0.0 else NAN
    both = sd_square * sd_curvature
    corr_P = float(weights @ (off_square * off_curvature)) / both if both > 0.0 else NAN
    excess = cv_squares * cv_curvatures
    return Complexity(
        Lambda_G, Lambda_P, Lambda_G / Lambda_P if Lambda_P > 0.0 else NAN, 1.0 + (excess * corr_P if both > 0.0 else excess),
        cv_squares, cv_curvatures, corr_P,
    )


def spread(values: NDArray, kept: NDArray, cv: float) -> Spread:
    """Return how unequal numbers of the blocks are: ratio and logarithms of those `kept`, beside a `cv` that is known; NaN if none is."""
    some = values[kept]
    if not len(some):
        return Spread()
    return Spread(gini(values), float(some.max() / some.min()), float(np.log(some).std()), cv)


def log_correlation(rms: NDArray, h: NDArray, kept: NDArray) -> float:
    """Return Pearson's correlation of (log ghat_b, log h_b) over the blocks `kept`.

    NaN for fewer than three, of which two would always lie on a line, or where one of the two numbers is the same in all.
    """
    if kept.sum() < 3:
        return NAN
    x, y = (np.log(values[kept]) for values in (rms, h))
    x, y = x - x.mean(), y - y.mean()
    both = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / both) if both > 0.0 else NAN
