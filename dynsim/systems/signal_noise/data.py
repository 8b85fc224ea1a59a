r"""Sparse signal-noise data: settings, training samples, fresh test samples.

One data point is a pair of tokens and a label, :math:`X = [y\mu, \xi]`, y uniform on {-1, +1},
:math:`\mu = (\|\mu\|, 0, \dots, 0)`, and :math:`\xi` has s coordinates drawn without replacement from
{2..d}, each N(0, sigma_p^2) (Li et al., arXiv 2410.04870, Definition 2.1). Only coordinates inside some
support are stored, so d can be 1e12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ... import draws
from ...settings import build_setting, check_number, check_whole, replaced

__all__ = ["Data", "Setting", "as_array", "data_from_arrays", "draw_data", "draw_fresh", "streams"]


@dataclass(frozen=True)
class Setting:
    r"""The law of the data and of the initial weights.

    Parameters
    ----------
    n : int
        Training samples, >= 1.
    d : int
        Dimension of a token, >= 2.
    s : int
        Non-zero coordinates of a noise token, in [1, d - 1]; s = d - 1 is the dense variant.
    sigma_p : float
        Standard deviation of a noise coordinate, > 0.
    mu_norm : float
        Norm of the signal mu, > 0.
    m_k, m_v : int
        Rows of W_Q and W_K, and of each value matrix; >= 1.
    sigma_0 : float
        Standard deviation of the initial weights, >= 0.
    disjoint : bool
        Draw the training supports pairwise disjoint; needs n s <= d - 1.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    n: int = 20
    d: int = 2000
    s: int = 20
    sigma_p: float = 2.0
    mu_norm: float = 1.0
    m_k: int = 100
    m_v: int = 20
    sigma_0: float = 3e-3
    disjoint: bool = False

    def __post_init__(self) -> None:
        for name, low in (("n", 1), ("d", 2), ("s", 1), ("m_k", 1), ("m_v", 1)):
            check_whole(self, name, low)
        for name in ("sigma_p", "mu_norm", "sigma_0"):
            check_number(self, name, positive=name != "sigma_0")
        if not isinstance(self.disjoint, (bool, np.bool_)):
            raise ValueError(f"disjoint={self.disjoint!r} must be True or False")
        object.__setattr__(self, "disjoint", bool(self.disjoint))
        if self.d > 2**62:
            raise ValueError(f"d={self.d} must be at most 2**62")
        if self.s > self.d - 1:
            raise ValueError(f"s={self.s} must be at most d - 1 = {self.d - 1}: one coordinate belongs to the signal; lower s or raise d")
        if self.disjoint and self.n * self.s > self.d - 1:
            raise ValueError(
                f"disjoint=True needs n * s <= d - 1, but n={self.n}, s={self.s} need {self.n * self.s} of {self.d - 1} coordinates: "
                f"raise d to {self.n * self.s + 1} or set disjoint=False"
            )

    def replace(self, **changes: Any) -> Setting:
        """Return a copy with some fields changed; unknown names are refused with the nearest valid one.

        Parameters
        ----------
        **changes : int, float or bool
            New values by field name, in the ranges of the class.
        """
        return replaced(self, changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Setting:
        """Build a setting from a mapping; unknown keys are errors naming the nearest valid key.

        Parameters
        ----------
        values : mapping of str to int, float or bool
            Fields, as `to_dict` returns them; those left out keep their defaults.
        """
        return build_setting(cls, values)


@dataclass(frozen=True, eq=False)
class Data:
    r"""Training samples, stored on the union of their supports: the tokens of equation (1).

    Parameters
    ----------
    d : int
        Dimension of a token, >= 2.
    y : ndarray, shape (n,)
        Labels, -1.0 or +1.0.
    columns : ndarray of int, shape (U,)
        Coordinates (from 0) at which mu or some noise token is not 0, ascending.
    tokens : scipy.sparse.csc_array, shape (n + 1, U)
        Row 0 is mu, row i is :math:`y_i \xi_i`, on those coordinates.
    setting : Setting or None
        The law it was drawn from; None for user arrays.
    """

    d: int
    y: NDArray
    columns: NDArray
    tokens: sparse.csc_array
    setting: Setting | None

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.y)

    @cached_property
    def members(self) -> NDArray:
        """Number of tokens (mu included) that are not 0 at each column, shape (U,)."""
        return np.diff(self.tokens.indptr)

    @property
    def shared(self) -> int:
        """Coordinates that two or more tokens share."""
        return int((self.members > 1).sum())

    def dense_tokens(self) -> NDArray:
        """Return mu and all y_i xi_i as one array, shape (n + 1, d)."""
        dense = np.zeros((self.n + 1, self.d))
        dense[:, self.columns] = self.tokens.toarray()
        return dense

    @property
    def mu(self) -> NDArray:
        """The signal, shape (d,)."""
        return self.dense_tokens()[0]

    @property
    def xi(self) -> NDArray:
        """The noise tokens, shape (n, d)."""
        return self.dense_tokens()[1:] * self.y[:, None]

    def norms(self) -> dict[str, NDArray]:
        """Return the constants of the theory: l1 and l2 norms of mu and of each noise token, and of their private parts."""
        rows, magnitude = self.tokens.indices, np.abs(self.tokens.data)

        def total(entries: NDArray) -> NDArray:
            return np.bincount(rows, entries, self.n + 1)

        private = total(magnitude * np.repeat(self.members == 1, self.members))
        l1, l2 = total(magnitude), np.sqrt(total(magnitude * magnitude))
        return {
            "mu_l1": l1[0], "mu_l2": l2[0], "noise_l1": l1[1:], "noise_l2": l2[1:],
            "mu_private_l1": private[0], "noise_private_l1": private[1:],
        }


def streams(seed: int, setting: Setting | None = None) -> dict[str, np.random.SeedSequence]:
    """Return independent random streams of a seed by purpose; ValueError for a seed that is no integer >= 0."""
    return draws.streams(seed, ("data", "projections", "weights_inside", "weights_outside", "test", "test_weights"))


def _pack(d: int, y: NDArray, rows: NDArray, coordinates: NDArray, values: NDArray, setting: Setting | None) -> Data:
    columns, index = np.unique(coordinates, return_inverse=True)
    tokens = sparse.csc_array((values, (rows, index.ravel())), shape=(len(y) + 1, len(columns)))
    tokens.sort_indices()
    return Data(d, y, columns, tokens, setting)


def _labels(rng: np.random.Generator, n: int) -> NDArray:
    return rng.choice([-1.0, 1.0], size=n)


def draw_data(setting: Setting, seed: int) -> Data:
    """Draw the training samples of a setting, in time and memory free of d."""
    rng = np.random.default_rng(streams(seed)["data"])
    n, d, s = setting.n, setting.d, setting.s
    y = _labels(rng, n)
    if setting.disjoint:
        supports = 1 + rng.choice(d - 1, size=n * s, replace=False).reshape(n, s)
    else:
        supports = np.stack([1 + rng.choice(d - 1, size=s, replace=False) for _ in range(n)])
    xi = setting.sigma_p * rng.standard_normal((n, s))
    rows = np.concatenate([[0], np.repeat(np.arange(1, n + 1), s)])
    coordinates = np.concatenate([[0], supports.ravel()])
    values = np.concatenate([[setting.mu_norm], (y[:, None] * xi).ravel()])
    return _pack(d, y, rows, coordinates, values, setting)


def draw_fresh(setting: Setting, count: int, rng: np.random.Generator) -> tuple[NDArray, sparse.csc_array]:
    """Draw fresh samples of the law: coordinates (V,) that occur, and tokens y xi on them, csc (count, V).

    The support of a fresh point is uniform over all coordinates but the signal's, with `disjoint` too.
    """
    y = _labels(rng, count)
    supports = np.stack([1 + rng.choice(setting.d - 1, size=setting.s, replace=False) for _ in range(count)])
    values = y[:, None] * setting.sigma_p * rng.standard_normal((count, setting.s))
    columns, index = np.unique(supports, return_inverse=True)
    rows = np.repeat(np.arange(count), setting.s)
    return columns, sparse.csc_array((values.ravel(), (rows, index.ravel())), shape=(count, len(columns)))


def as_array(name: str, value: Any, shape: Sequence[Any], says: str) -> NDArray:
    """Return `value` as a float array of `shape` (None: any length), or raise an error that names it."""
    try:
        array = np.array(value)  # a copy: later changes by the caller must not reach the system
        if array.dtype.kind == "c":
            raise TypeError("complex entries")
        array = array.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, shape {says} ({error})") from None
    if array.ndim != len(shape) or any(want is not None and have != want for have, want in zip(array.shape, shape, strict=True)):
        raise ValueError(f"{name} has shape {array.shape}; it must have shape {says}")
    if 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}: it must not be empty")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} has {array[where]} at {where}: every entry must be finite")
    return array


def data_from_arrays(mu: Any, xi: Any, y: Any) -> Data:
    """Build data from a signal (d,), noise tokens (n, d) and labels (n,) in any directions.

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, labels other than -1 and +1, or a signal that is 0.
    """
    mu = as_array("mu", mu, (None,), "(d,)")
    xi = as_array("xi", xi, (None, len(mu)), f"(n, d) with d = {len(mu)} as in mu")
    y = as_array("y", y, (len(xi),), f"(n,) with n = {len(xi)} as in xi")
    if not np.isin(y, (-1.0, 1.0)).all():
        wrong = y[~np.isin(y, (-1.0, 1.0))][0]
        raise ValueError(f"y contains {wrong:g}: every label must be -1 or +1")
    if not mu.any():
        raise ValueError("mu is zero: the signal needs at least one non-zero entry")
    stacked = np.vstack([mu, y[:, None] * xi])
    rows, coordinates = np.nonzero(stacked)
    return _pack(len(mu), y, rows, coordinates, stacked[rows, coordinates], None)
