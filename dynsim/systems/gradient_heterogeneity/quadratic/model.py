"""Quadratics in blocks: forward and gradient, exact block norms, Gaussian noise that is a function of the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....draws import child
from ....layout import Layout
from ....system import Observable, described
from ..inequality import size_weighted
from ..settings import streams
from .data import draw_quadratic
from .observables import quantities
from .setting import Quadratic
from .theory import noise_weighted

__all__ = ["BlockLayout", "BlockQuadratic", "block_curvature", "block_layout", "indexed_seeds", "joined", "quadratic", "repeated", "write"]


class BlockLayout(Layout):
    """A layout whose views have the whole vector beside its blocks, as `flat`: these models act on all blocks in one call."""

    def views(self, flat: NDArray) -> SimpleNamespace:
        """Return the named views of `flat`, shape (*lead, P), and itself."""
        found = super().views(flat)
        found.flat = flat
        return found


def block_layout(sizes: Sequence[int]) -> BlockLayout:
    """Return the layout with one block "block_01", "block_02", ... for each size."""
    width = max(2, len(str(len(sizes))))
    return BlockLayout({f"block_{i + 1:0{width}d}": (size,) for i, size in enumerate(sizes)})


def joined(params: SimpleNamespace, layout: Layout) -> NDArray:
    """Return all parameters as one array, shape (*replicates, P), from views with or without it."""
    if hasattr(params, "flat"):
        return params.flat
    return np.concatenate([getattr(params, name) for name in layout.shapes], axis=-1)


def write(gradient: NDArray, out: SimpleNamespace, layout: Layout) -> None:
    """Copy a gradient, shape (*replicates, P), into views with or without the whole of it."""
    if hasattr(out, "flat"):
        np.copyto(out.flat, gradient)
        return
    for name, part in layout.slices.items():
        getattr(out, name)[...] = gradient[..., part]


def block_curvature(H: NDArray, sizes: Sequence[int]) -> SimpleNamespace:
    """Return `h`, the spectral norms of diagonal blocks, (*lead, B), and `delta_D`, that of all the rest, (*lead); H is (*lead, P, P)."""
    rest, h, first = H.copy(), [], 0
    for size in sizes:
        part = slice(first, first + size)
        h.append(_norm_2(H[..., part, part]))
        rest[..., part, part] = 0.0
        first += size
    return SimpleNamespace(h=np.stack(h, axis=-1), delta_D=_norm_2(rest))


def indexed_seeds(provenance: Mapping[str, Any], index: Any) -> dict[str, Any]:
    """Return the provenance of some replicates: their seeds."""
    seeds = provenance.get("seed")
    if not isinstance(seeds, list):
        return dict(provenance)
    picked = np.arange(len(seeds))[index]
    return {**provenance, "seed": [seeds[i] for i in picked] if picked.ndim else seeds[picked]}


def _norm_2(symmetric: NDArray) -> NDArray:
    return np.abs(np.linalg.eigvalsh(symmetric)).max(axis=-1)


@dataclass(frozen=True, eq=False)
class BlockQuadratic:
    r"""A quadratic :math:`L = \frac12 \theta^T H \theta`, its Hessian a diagonal, blocks, or one matrix.

    Parameters
    ----------
    sizes : tuple of int
        Parameters of each block.
    start : ndarray, shape (*replicates, P)
        Initial parameters; replicates run side by side.
    diagonal : ndarray, shape (P,) or (*replicates, P), optional
        The Hessian if it is diagonal.
    matrices : tuple of ndarray, each (n, n) or (*replicates, n, n)
        Else its symmetric blocks of consecutive parameters: one for each of `sizes`, or one of all P.
    noise_sd : ndarray, shape (P,) or (*replicates, P), or 0.0
        Standard deviation of the Gaussian noise of each gradient entry. The loss is without noise.
    noise_streams : tuple of SeedSequence
        One for each replicate, or one; needed if there is noise.
    provenance : mapping
        Name of the system, setting and seed, JSON-ready; saved with every run.
    step_scale, exact_for, alternative : float, frozenset of str, str
        What `System` asks for. The defaults are those of a model itself: 1.0, every kind of rule, and nothing to use instead.
    """

    sizes: tuple[int, ...]
    start: NDArray
    diagonal: NDArray | None = None
    matrices: tuple[NDArray, ...] = ()
    noise_sd: NDArray | float = 0.0
    noise_streams: tuple[np.random.SeedSequence, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""
    rho = 0.0
    """Lipschitz constant of the Hessian, which does not change."""
    loss_floor = 0.0
    """Least value of the loss."""

    def __post_init__(self) -> None:
        P = sum(self.sizes)
        if self.start.shape[-1:] != (P,):
            raise ValueError(f"start has shape {self.start.shape}; its last axis must be sum(sizes) = {P} long")
        if (self.diagonal is None) == (not self.matrices):
            raise ValueError("give the Hessian either as diagonal= or as matrices=")
        if self.diagonal is not None and self.diagonal.shape[-1:] != (P,):
            raise ValueError(f"diagonal has shape {self.diagonal.shape}; its last axis must be sum(sizes) = {P} long")
        found = tuple(matrix.shape[-1] for matrix in self.matrices)
        if self.matrices and found not in (self.sizes, (P,)):
            raise ValueError(f"matrices have sizes {found}; they must be those of the blocks, {self.sizes}, or one matrix of size {P}")
        if self.noisy and len(self.noise_streams) != (len(self.start) if self.start.ndim > 1 else 1):
            raise ValueError(f"noise_streams has {len(self.noise_streams)} entries; noise needs one for each replicate")

    @cached_property
    def layout(self) -> Layout:
        """One block of parameters for each block of the Hessian."""
        return block_layout(self.sizes)

    @cached_property
    def noisy(self) -> bool:
        """True if gradients have noise."""
        return bool(np.any(self.noise_sd))

    @cached_property
    def observables(self) -> Mapping[str, Observable]:
        """Quantities by name."""
        return quantities(noisy=self.noisy)

    def times(self, x: NDArray) -> NDArray:
        """Return H x, shape (*replicates, P).

        Parameters
        ----------
        x : ndarray, shape (*replicates, P)
            Vectors, real or complex.
        """
        if self.diagonal is not None:
            return self.diagonal * x
        parts, first = [], 0
        for matrix in self.matrices:
            part = x[..., first : first + matrix.shape[-1]]
            parts.append(part @ matrix if matrix.ndim == 2 else (part[..., None, :] @ matrix)[..., 0, :])
            first += matrix.shape[-1]
        return np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    __repr__ = described

    def forward(self, params: SimpleNamespace, noise: NDArray | None = None) -> SimpleNamespace:
        """Return `loss`, the `gradient` without noise, and the `noise` of the step."""
        theta = joined(params, self.layout)
        gradient = self.times(theta)
        loss = 0.5 * np.einsum("...i,...i->...", theta, gradient)  # no conjugation: the complex step goes through it
        return SimpleNamespace(loss=loss, gradient=gradient, noise=noise, system=self)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient, with the noise of the step, into the views `out`."""
        write(cache.gradient if cache.noise is None else cache.gradient + cache.noise, out, self.layout)

    def batch(self, step: int) -> NDArray | None:
        """Return the noise of a step, shape (*replicates, P); None if there is none. It depends on replicate and step alone.

        Parameters
        ----------
        step : int
            Of the run, >= 0.
        """
        if not self.noisy:
            return None
        P = self.layout.size
        drawn = [np.random.default_rng(child(stream, step)).standard_normal(P) for stream in self.noise_streams]
        return self.noise_sd * (np.stack(drawn) if self.start.ndim > 1 else drawn[0])

    def curvature(self, cache: SimpleNamespace | None = None) -> SimpleNamespace:
        """Return `h`, shape (B,) or (*replicates, B), and `delta_D`: they are the same everywhere.

        Parameters
        ----------
        cache : SimpleNamespace, optional
            Of a forward pass, as `LogisticBlocks.curvature` needs it; here it makes no difference.
        """
        return self._curvature

    @cached_property
    def _curvature(self) -> SimpleNamespace:
        if self.diagonal is not None:
            h = np.maximum.reduceat(np.abs(self.diagonal), np.cumsum([0, *self.sizes[:-1]]), axis=-1)
            return SimpleNamespace(h=h, delta_D=np.zeros(h.shape[:-1]))
        if len(self.matrices) == len(self.sizes):
            h = np.stack([_norm_2(matrix) for matrix in self.matrices], axis=-1)
            return SimpleNamespace(h=h, delta_D=np.zeros(h.shape[:-1]))
        return block_curvature(self.matrices[0], self.sizes)

    @cached_property
    def curvature_max(self) -> NDArray:
        """Spectral norm of the whole Hessian, shape () or replicates."""
        if len(self.matrices) == 1:
            return _norm_2(self.matrices[0])
        return self.curvature().h.max(axis=-1)

    @cached_property
    def constants(self) -> Mapping[str, NDArray]:
        """Block sizes and norms, Lambda_P, and the constants of the theorems; the noise's, where there is noise."""
        at = self.curvature()
        found = {
            "sizes": np.array(self.sizes), "h": at.h, "delta_D": at.delta_D, "Lambda_P": size_weighted(self.sizes, at.h),
            "curvature_max": self.curvature_max, "rho": np.array(self.rho), "loss_floor": np.array(self.loss_floor),
        }
        if self.noisy:
            sd = np.asarray(self.noise_sd)
            found |= {
                "noise_2": np.linalg.norm(sd, axis=-1), "noise_1": sd.sum(axis=-1), "Lambda_sigma": noise_weighted(sd, self.sizes, at.h),
            }
        return {name: np.asarray(value) for name, value in found.items()}

    def replicates(self, index: Any) -> BlockQuadratic:
        """Return the same system with the leading axis of replicates indexed."""
        if self.start.ndim < 2:
            raise ValueError("this system has no replicates axis")
        sd = self.noise_sd
        picked: Any = np.arange(len(self.start))[index]
        return replace(
            self, start=self.start[index], noise_sd=sd[index] if isinstance(sd, np.ndarray) and sd.ndim > 1 else sd,
            diagonal=self.diagonal[index] if self.diagonal is not None and self.diagonal.ndim > 1 else self.diagonal,
            matrices=tuple(matrix[index] if matrix.ndim > 2 else matrix for matrix in self.matrices),
            noise_streams=tuple(self.noise_streams[i] for i in np.atleast_1d(picked)) if self.noise_streams else (),
            provenance=indexed_seeds(self.provenance, index),
        )


def quadratic(setting: Quadratic, seed: int | Iterable[int] = 0) -> BlockQuadratic:
    """Return the quadratic of a setting; several seeds are replicates.

    Parameters
    ----------
    setting : Quadratic
    seed : int or sequence of int
        Determines block norms, start, rotation and noise, by separate streams.

    Raises
    ------
    TypeError, ValueError
        For another setting, a seed that is not an integer >= 0, or no seed at all.

    Examples
    --------
    >>> system = quadratic(Quadratic(k=1.0), seed=0)
    >>> system.layout.size, float(system.constants["Lambda_P"])
    (128, 1.0)
    """
    if not isinstance(setting, Quadratic):
        raise TypeError(f"setting={setting!r} must be a Quadratic")
    several = isinstance(seed, Iterable)
    seeds = list(seed) if isinstance(seed, Iterable) else [seed]
    if not seeds:
        raise ValueError("seed=[] is empty: give at least one seed")
    drawn = [draw_quadratic(setting, one) for one in seeds]

    def stacked(arrays: list[NDArray]) -> NDArray:
        """Join what differs between seeds; what is the same for all stays one array."""
        if not several:
            return arrays[0]
        return arrays[0] if all(np.array_equal(array, arrays[0]) for array in arrays) else np.stack(arrays)

    first = drawn[0]
    diagonal = None if first.diagonal is None else stacked([one.diagonal for one in drawn if one.diagonal is not None])
    matrices = tuple(stacked([one.matrices[i] for one in drawn]) for i in range(len(first.matrices)))
    noise_sd = stacked([one.noise_sd for one in drawn])
    provenance: dict[str, Any] = {
        "system": "gradient_heterogeneity", "engine": "dense", "setting": setting.to_dict(), "seed": seeds if several else seeds[0],
    }
    system = BlockQuadratic(
        first.sizes, np.stack([one.start for one in drawn]) if several else first.start, diagonal, matrices, noise_sd,
        tuple(streams(one)["noise"] for one in seeds) if setting.noise else (), provenance,
    )
    if several:
        axes = {"h": 1, "sizes": 1}
        provenance["replicated_constants"] = [name for name, value in system.constants.items() if value.ndim > axes.get(name, 0)]
    return system


def repeated(system: Any, count: int) -> Any:
    """Return a system whose replicates are `count` copies of each of a system's replicates, side by side, or of the system itself.

    Copies have the same start and noise of their own. Used to run rates side by side.
    """
    single = system.start.ndim == 1
    index = np.zeros(count, dtype=int) if single else np.repeat(np.arange(len(system.start)), count)
    seed = system.provenance.get("seed")
    wide = replace(system, start=system.start[None], provenance={**system.provenance, "seed": [seed]}) if single else system
    copies = wide.replicates(index)
    if getattr(copies, "noise_streams", ()):
        apart = tuple(child(stream, i % count) for i, stream in enumerate(copies.noise_streams))
        copies = replace(copies, noise_streams=apart)
    return copies
