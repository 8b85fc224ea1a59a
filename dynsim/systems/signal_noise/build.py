"""Systems from a seed or from arrays: dense, restricted and lumped forms of one and the same run.

Projections on the feature coordinates are drawn first; dense weights are completed from separate streams,
w = z + kappa (u - <z, kappa>) / |kappa|^2, so that every form of a seed starts from the same weights and
the lumped form never allocates d numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...layout import Layout
from ...recording import available_memory
from ...system import Inexact
from .data import Data, Setting, as_array, data_from_arrays, draw_data, draw_fresh, streams
from .features import Features
from .fresh import TestTokens, draw_inside, draw_outside, meeting
from .model import TwoTokenTransformer, lumped_model, row_model
from .reduction import Groups, group_columns, lumping_kind

__all__ = ["batches", "best", "dense", "from_arrays", "lumped", "restricted"]

N_TEST = 1000
"""Fresh samples on which test loss and test error are measured."""

WIDTH = 16
"""Seeds that `batches` runs together are padded to a multiple of so many shared features."""


@dataclass(frozen=True)
class _Draw:
    """Everything a seed determines, drawn on demand; the same numbers whatever system asks."""

    setting: Setting
    seed: int

    @cached_property
    def data(self) -> Data:
        return draw_data(self.setting, self.seed)

    @cached_property
    def groups(self) -> Groups:
        return group_columns(self.data)

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(streams(self.seed)[purpose])

    @cached_property
    def projections(self) -> tuple[NDArray, NDArray]:
        """Initial projections on the groups, equation (17): of W_Q and W_K, (2, G, m_k), and of v, (G,)."""
        s, rng = self.setting, self.rng("projections")
        root = np.sqrt(self.groups.l2_squared)
        u = s.sigma_0 * root[:, None] * rng.standard_normal((2, len(root), s.m_k))
        return u, s.sigma_0 * np.sqrt(2.0 / s.m_v) * root * rng.standard_normal(len(root))

    def inside(self) -> tuple[NDArray, NDArray]:
        """Initial weights on the trained coordinates: (2, U, m_k) and (2, m_v, U), conditioned on the projections."""
        s, rng = self.setting, self.rng("weights_inside")
        U = len(self.data.columns)
        u, v = self.projections
        W_QK = self.groups.condition(s.sigma_0 * rng.standard_normal((2, U, s.m_k)), u)
        W_V = s.sigma_0 * rng.standard_normal((2, s.m_v, U))
        z = W_V[0].mean(0) - W_V[1].mean(0)
        shift = self.groups.condition(z[:, None], v[:, None])[:, 0] - z
        W_V[0] += shift / 2
        W_V[1] -= shift / 2
        return W_QK, W_V

    def provenance(self, engine: str) -> dict[str, Any]:
        return {"system": "signal_noise", "engine": engine, "setting": self.setting.to_dict(), "seed": self.seed}

    def fresh(self) -> tuple[NDArray, sparse.csc_array]:
        """Fresh samples: the coordinates they meet and the tokens on these."""
        return draw_fresh(self.setting, N_TEST, self.rng("test"))

    @property
    def row_stds(self) -> NDArray:
        """Standard deviation of an initial weight in each row of W_Q and W_K and in v, shape (2 m_k + 1,)."""
        s = self.setting
        return np.append(np.full(2 * s.m_k, s.sigma_0), s.sigma_0 * np.sqrt(2.0 / s.m_v))

    def dense_test(self) -> TestTokens:
        columns, tokens = self.fresh()
        H = np.zeros((N_TEST, self.setting.d))
        H[:, columns] = tokens.toarray()
        return TestTokens(H, 0.0, 0.0)

    def restricted_test(self) -> TestTokens:
        columns, tokens = self.fresh()
        hit, at = meeting(columns, self.data.columns)
        H = np.zeros((N_TEST, len(self.data.columns)))
        H[:, at] = tokens[:, hit].toarray()
        return self._with_offsets(H, draw_outside(tokens[:, ~hit], self.row_stds, self.rng("test_weights")))

    def lumped_test(self, kind: str) -> TestTokens:
        columns, tokens = self.fresh()
        hit, at = meeting(columns, self.data.columns)
        groups, std, rng = self.groups, self.row_stds, self.rng("test_weights")
        u, v = self.projections
        start = np.concatenate([u[0], u[1], v[:, None]], axis=1)
        group, coef = groups.group[at], groups.coef[at]
        moves = sparse.csr_array((groups.displacement(kind)[at], (np.arange(len(at)), group)), shape=(len(at), groups.features.size))
        H = (tokens[:, hit] @ moves).toarray()
        base = draw_outside(tokens[:, ~hit], std, rng) + draw_inside(tokens[:, hit], group, coef, groups.l2_squared, start, std, rng)
        return self._with_offsets(H, base - H @ start)

    def _with_offsets(self, H: NDArray, offset: NDArray) -> TestTokens:
        m = self.setting.m_k
        return TestTokens(H, np.stack([offset[:, :m], offset[:, m:-1]]), offset[:, -1])


def _check_memory(what: str, numbers: float, fix: str) -> None:
    if 8 * numbers > available_memory():
        raise MemoryError(f"{what} needs {8 * numbers / 2**30:.1f} GiB, of which {available_memory() / 2**30:.1f} GiB are free: {fix}")


def dense(setting: Setting, seed: int = 0) -> TwoTokenTransformer:
    """Draw the model itself: all d coordinates of every weight matrix.

    Parameters
    ----------
    setting : Setting
        The law of data and weights.
    seed : int
        >= 0. Determines data, weights and test data, by separate streams; the same run as `lumped` with this seed.

    Raises
    ------
    MemoryError
        If d is too large to hold; the lumped system does not allocate d numbers.
    """
    draw = _Draw(_checked(setting), seed)
    numbers = 8 * (setting.m_k + setting.m_v) * setting.d  # two matrices each: start, parameters, gradient, step
    _check_memory(f"a dense system with d={setting.d}", numbers, "use signal_noise.lumped(setting, rule, seed=...)")
    rng = draw.rng("weights_outside")
    W_QK = setting.sigma_0 * rng.standard_normal((2, setting.d, setting.m_k))
    W_V = setting.sigma_0 * rng.standard_normal((2, setting.m_v, setting.d))
    W_QK[:, draw.data.columns], W_V[:, :, draw.data.columns] = draw.inside()
    return row_model(draw.data, W_QK, W_V, draw.provenance("dense"), draw.dense_test)


def restricted(setting: Setting, seed: int = 0) -> TwoTokenTransformer:
    """Draw the model on the union of supports only: exact for every rule that acts per coordinate, in memory free of d.

    Parameters
    ----------
    setting : Setting
        The law of data and weights.
    seed : int
        >= 0; the same run as `dense` and `lumped` with this seed.
    """
    draw = _Draw(_checked(setting), seed)
    return row_model(draw.data, *draw.inside(), draw.provenance("restricted"), draw.restricted_test)


def lumped(setting: Setting, optimizer: Any, seed: int | Sequence[int] = 0) -> TwoTokenTransformer:
    """Draw the exact reduction for a rule, in time and memory free of d and s.

    Parameters
    ----------
    setting : Setting
        The law of data and weights.
    optimizer : Optimizer or type
        A rule of kind "sign" or "linear"; a class stands for its instance at default hyper-parameters.
    seed : int or sequence of int
        >= 0. A sequence makes one system with a leading axis of replicates. Where supports overlap, replicates have different
        numbers of shared features; they are padded to the largest. Rounding may then depend on which seeds are there:
        `batches` avoids that.

    Raises
    ------
    Inexact
        For a rule that does not lump; names the alternative.
    """
    kind = lumping_kind(optimizer)
    _checked(setting)
    if not isinstance(seed, Iterable):
        draw = _Draw(setting, seed)
        u, v = draw.projections
        test = partial(draw.lumped_test, kind)
        return lumped_model(draw.data, draw.groups, u, v, kind, setting.m_k, setting.m_v, draw.provenance("lumped"), test)
    return _stack([lumped(setting, optimizer, seed=one) for one in seed])


def _checked(setting: Setting) -> Setting:
    if not isinstance(setting, Setting):
        raise TypeError(f"setting={setting!r} must be a signal_noise.Setting: try signal_noise.preset('figure3')")
    return setting


def _stack(systems: Sequence[TwoTokenTransformer], width: int | None = None) -> TwoTokenTransformer:
    """Join lumped systems of several seeds along a leading axis of replicates.

    Seeds have different numbers of shared features: all are padded to `width` of them (default: the largest number)
    with features that start at 0, never move and occur in no token.
    """
    if not systems:
        raise ValueError("seed=[] is empty: give at least one seed")
    first, mixed = systems[0], None
    n_tokens, own = first.features.n_tokens, first.features.own
    width = max(s.features.size for s in systems) - own if width is None else width
    layout = Layout({"W_QK": (2, own + width, first.m_k), "v": (own + width,)})
    start, step_scale = np.zeros((2, len(systems), layout.size))
    for source, target in (("start", start), ("step_scale", step_scale)):
        blocks = layout.views(target)
        for i, system in enumerate(systems):
            theirs, size = system.layout.views(getattr(system, source)), system.features.size
            blocks.W_QK[i, :, :size], blocks.v[i, :size] = theirs.W_QK, theirs.v
    if width:
        mixed = np.zeros((len(systems), n_tokens, width))
        for i, system in enumerate(systems):
            if system.features.mixed is not None:
                mixed[i, :, : system.features.size - own] = system.features.mixed
    shared = ("m_k", "m_v")
    constants = {name: (a if name in shared else np.stack([s.constants[name] for s in systems])) for name, a in first.constants.items()}
    provenance = {
        **first.provenance, "seed": [s.provenance["seed"] for s in systems],
        "replicated_constants": [name for name in constants if name not in shared],
    }
    return replace(
        first, data=tuple(s.data for s in systems), features=Features(n_tokens, own, mixed), start=start, step_scale=step_scale,
        constants=constants, provenance=provenance, draw_test=tuple(s.draw_test for s in systems),
    )


def best(setting: Setting, optimizer: Any, seed: int = 0) -> TwoTokenTransformer:
    """Draw the smallest system that is exact for the rule: lumped where the rule lumps, else restricted.

    Parameters
    ----------
    setting : Setting
        The law of data and weights.
    optimizer : Optimizer or type
        Any rule that acts per coordinate; a class stands for its instance at default hyper-parameters.
    seed : int
        >= 0; the run is the same in every form.
    """
    try:
        lumping_kind(optimizer)
    except Inexact:
        return restricted(setting, seed=seed)
    return lumped(setting, optimizer, seed=seed)


def batches(setting: Setting, optimizer: Any, seeds: Sequence[int]) -> list[tuple[list[int], TwoTokenTransformer]]:
    """Split seeds into systems that run together, so that no bit of a seed's run depends on which other seeds are there.

    A product's rounding may depend on its width, so the width a seed is padded to is fixed by the seed alone: its number
    of shared features, rounded up to a multiple of `WIDTH`. Seeds of equal width run together.

    Parameters
    ----------
    setting : Setting
        The law of data and weights.
    optimizer : Optimizer or type
        A class stands for its instance at default hyper-parameters.
    seeds : sequence of int
        May repeat; none give no systems.

    Returns
    -------
    list of (positions, system)
        Positions into `seeds`, and the smallest system exact for the rule. If the rule lumps it has a leading axis of
        replicates, one for each position, also where there is only one; if it does not, it is one seed's, without that axis.

    Examples
    --------
    >>> from dynsim import SignGD
    >>> from dynsim.systems import signal_noise
    >>> found = signal_noise.batches(signal_noise.preset("figure3"), SignGD, seeds=range(6))
    >>> [(positions, system.features.size) for positions, system in found]  # one feature for each of 21 tokens, and 32 or 48 shared
    [([2, 5], 53), ([0, 1, 3, 4], 69)]
    """
    try:
        lumping_kind(optimizer)
    except Inexact:
        return [([i], best(setting, optimizer, seed=seed)) for i, seed in enumerate(seeds)]
    systems = [lumped(setting, optimizer, seed=seed) for seed in seeds]
    together: dict[int, list[int]] = {}
    for i, system in enumerate(systems):
        width = system.features.size - system.features.own
        together.setdefault(-(-width // WIDTH) * WIDTH, []).append(i)
    return [(positions, _stack([systems[i] for i in positions], width)) for width, positions in sorted(together.items())]


# -- user arrays, and changing the representation of a dense system ------------------------------------------------------


def from_arrays(*, mu: Any, xi: Any, y: Any, W_Q: Any, W_K: Any, W_V_pos: Any, W_V_neg: Any) -> TwoTokenTransformer:
    """Build the dense system from arrays of yours, for example the weights of a PyTorch run.

    Parameters
    ----------
    mu : array_like, shape (d,)
        Signal, in any direction.
    xi : array_like, shape (n, d)
        Noise tokens, in any directions; sample i is the pair of tokens (y_i mu, xi_i).
    y : array_like, shape (n,)
        Labels, -1 or +1.
    W_Q, W_K : array_like, shape (m_k, d)
        Query and key matrix.
    W_V_pos, W_V_neg : array_like, shape (m_v, d)
        Value matrices of the outputs F_{+1} and F_{-1}. In the orientation of `torch.nn.Linear.weight`.

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, or labels other than -1 and +1.
    """
    data = data_from_arrays(mu, xi, y)
    d = data.d
    W_Q = as_array("W_Q", W_Q, (None, d), f"(m_k, d) with d = {d} as in mu")
    W_K = as_array("W_K", W_K, W_Q.shape, f"{W_Q.shape} as W_Q")
    W_V_pos = as_array("W_V_pos", W_V_pos, (None, d), f"(m_v, d) with d = {d} as in mu")
    W_V_neg = as_array("W_V_neg", W_V_neg, W_V_pos.shape, f"{W_V_pos.shape} as W_V_pos")
    W_QK, W_V = np.stack([W_Q.T, W_K.T]), np.stack([W_V_pos, W_V_neg])
    return row_model(data, W_QK, W_V, {"system": "signal_noise", "engine": "dense", "setting": None, "seed": None})
