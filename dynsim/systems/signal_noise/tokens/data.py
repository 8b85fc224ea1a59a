r"""Samples of L general tokens: user arrays, and the paper's law with more than one noise token.

The generalisation is ours. Li et al. (arXiv 2410.04870, Definition 2.1) have two tokens, :math:`[y\mu, \xi]`; `draw_tokens` has one
signal token and L - 1 independent noise tokens, :math:`[y\mu, \xi_2, \dots, \xi_L]`, each noise token as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ....recording import available_memory
from ..data import Setting, as_array, streams
from ..reduction import Groups, group_tokens

__all__ = ["TokenData", "draw_tokens", "initial_weights", "token_data"]


@dataclass(frozen=True, eq=False)
class TokenData:
    """Labelled samples of L tokens each.

    Parameters
    ----------
    X : ndarray, shape (n, L, d)
        Samples of L >= 2 tokens.
    y : ndarray, shape (n,)
        Labels, -1.0 or +1.0.
    """

    X: NDArray
    y: NDArray

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.X.shape[0]

    @property
    def length(self) -> int:
        """Tokens of a sample, L."""
        return self.X.shape[1]

    @property
    def d(self) -> int:
        """Dimension of a token."""
        return self.X.shape[2]

    @property
    def stacked(self) -> NDArray:
        """All tokens, sample by sample, shape (n L, d)."""
        return self.X.reshape(-1, self.d)

    @cached_property
    def columns(self) -> NDArray:
        """Coordinates at which some token is not 0, ascending, shape (U,)."""
        return np.flatnonzero(self.stacked.any(axis=0))

    @cached_property
    def groups(self) -> Groups:
        """These coordinates, grouped by proportionality."""
        return group_tokens(sparse.csc_array(self.stacked[:, self.columns])).compact


def token_data(X: Any, y: Any, names: tuple[str, str] = ("X", "y"), shape: tuple[Any, ...] = (None, None, None)) -> TokenData:
    """Check tokens (n, L, d), L >= 2, and labels (n,); `names` are those of the arguments, `shape` what is known of the first.

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, L < 2, or labels other than -1 and +1.
    """
    known = "" if shape[1] is None else f" with L = {shape[1]}, d = {shape[2]} as in X"
    X = as_array(names[0], X, shape, f"(n, L, d){known}")
    if X.shape[1] < 2:
        raise ValueError(f"{names[0]} has shape {X.shape}: samples need L >= 2 tokens, or the attention has no choice")
    y = as_array(names[1], y, (len(X),), f"(n,) with n = {len(X)} as in {names[0]}")
    if not np.isin(y, (-1.0, 1.0)).all():
        wrong = y[~np.isin(y, (-1.0, 1.0))][0]
        raise ValueError(f"{names[1]} contains {wrong:g}: every label must be -1 or +1")
    return TokenData(np.ascontiguousarray(X), y)


def draw_tokens(setting: Setting, length: int, seed: int) -> tuple[NDArray, NDArray]:
    r"""Draw samples :math:`[y\mu, \xi_2, \dots, \xi_L]`: one signal token and L - 1 independent noise tokens, a generalisation of ours.

    With ``length=2`` the tokens of ``signal_noise.dense(setting, seed)``, number by number. The arrays are dense: n L d numbers.

    Parameters
    ----------
    setting : Setting
        Of which n, d, s, sigma_p, mu_norm and disjoint (all noise tokens of all samples) are used.
    length : int
        Tokens of a sample L, >= 2.
    seed : int
        Another seed gives fresh samples of the same law.

    Returns
    -------
    X : ndarray, shape (n, L, d)
        Samples, the signal first.
    y : ndarray, shape (n,)
        Labels, -1.0 or +1.0.

    Raises
    ------
    ValueError
        For L < 2, or ``disjoint=True`` with more noise than coordinates.
    MemoryError
        If n L d numbers do not fit.
    """
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 2:
        raise ValueError(f"length={length!r} must be an integer >= 2: one signal token and at least one noise token")
    n, d, s, noises = setting.n, setting.d, setting.s, setting.n * (int(length) - 1)
    if setting.disjoint and noises * s > d - 1:
        raise ValueError(
            f"disjoint=True needs n * (length - 1) * s <= d - 1, but {noises} noise tokens of s={s} need {noises * s} of {d - 1} "
            f"coordinates: raise d to {noises * s + 1} or set disjoint=False"
        )
    size = 8.0 * n * length * d
    if 2 * size > available_memory():  # from_tokens keeps a copy
        raise MemoryError(
            f"n={n} samples of length={length} tokens with d={d} need {2 * size / 2**30:.1f} GiB as dense arrays: lower d, n or length"
        )
    rng = np.random.default_rng(streams(seed)["data"])
    y = rng.choice([-1.0, 1.0], size=n)
    if setting.disjoint:
        supports = 1 + rng.choice(d - 1, size=noises * s, replace=False).reshape(noises, s)
    else:
        supports = np.stack([1 + rng.choice(d - 1, size=s, replace=False) for _ in range(noises)])
    X = np.zeros((n, length, d))
    X[:, 0, 0] = y * setting.mu_norm
    xi = setting.sigma_p * rng.standard_normal((noises, s))
    np.put_along_axis(X[:, 1:], supports.reshape(n, -1, s), xi.reshape(n, -1, s), axis=2)
    return X, y


def initial_weights(d: int, m_k: int, m_v: int, sigma_0: float, seed: int) -> dict[str, NDArray]:
    """Draw weights with independent entries N(0, sigma_0^2), as `from_tokens` takes them.

    Parameters
    ----------
    d : int
        Dimension of a token, >= 2.
    m_k, m_v : int
        Rows of W_Q and W_K, and of each value matrix; >= 1.
    sigma_0 : float
        Standard deviation of an entry, >= 0.
    seed : int
        >= 0; its stream is not that of the samples.

    Returns
    -------
    dict of str to ndarray
        W_Q, W_K (m_k, d), W_V_pos, W_V_neg (m_v, d).

    Raises
    ------
    ValueError
        For d < 2, other sizes below 1, or sigma_0 that is negative or not finite.
    """
    checked = Setting(d=d, s=1, m_k=m_k, m_v=m_v, sigma_0=sigma_0)
    rng = np.random.default_rng(streams(seed)["weights_inside"])
    rows = {"W_Q": checked.m_k, "W_K": checked.m_k, "W_V_pos": checked.m_v, "W_V_neg": checked.m_v}
    return {name: checked.sigma_0 * rng.standard_normal((m, checked.d)) for name, m in rows.items()}
