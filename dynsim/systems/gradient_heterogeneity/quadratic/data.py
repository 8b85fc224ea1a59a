"""Hessians, starts and samples that a seed determines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..settings import streams
from .setting import Logistic, Quadratic

__all__ = ["Drawn", "block_sizes", "draw_quadratic", "draw_samples", "haar"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a seed determines of a quadratic.

    Attributes
    ----------
    sizes : tuple of int
    diagonal : ndarray, shape (P,), or None
        The Hessian, if it is diagonal.
    matrices : tuple of ndarray, each (n, n)
        Else its blocks, or one matrix of all parameters.
    start : ndarray, shape (P,)
    noise_sd : ndarray, shape (P,)
        Standard deviation of the noise of each gradient entry.
    """

    sizes: tuple[int, ...]
    diagonal: NDArray | None
    matrices: tuple[NDArray, ...]
    start: NDArray
    noise_sd: NDArray


def block_sizes(setting: Quadratic) -> tuple[int, ...]:
    """Return the number of parameters of each block."""
    return tuple(np.linspace(setting.size, setting.size_max or setting.size, setting.blocks).round().astype(int).tolist())


def haar(n: int, rng: np.random.Generator) -> NDArray:
    """Draw an orthogonal matrix (n, n), uniformly: QR of a normal matrix with the signs that make R's diagonal positive."""
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    return Q * np.sign(np.diagonal(R))


def draw_quadratic(setting: Quadratic, seed: int) -> Drawn:
    """Draw Hessian, start and noise level; norms, start and rotation have streams of their own.

    A rotation U takes the start theta to U theta and the Hessian H to U H U^T, as in equation (32).
    """
    rng = {name: np.random.default_rng(stream) for name, stream in streams(seed).items()}
    sizes, B = block_sizes(setting), setting.blocks
    if setting.curvature == "even":
        log_h = np.log(setting.k) * (np.linspace(-0.5, 0.5, B) if B > 1 else np.zeros(1))
    else:
        log_h = setting.h_sd * rng["data"].standard_normal(B)
    h = np.repeat(np.exp(log_h), sizes)
    within = np.concatenate([np.geomspace(1.0, 1.0 / setting.inner, size) if size > 1 else np.ones(1) for size in sizes])
    z = rng["start"].standard_normal(sum(sizes))
    theta = z * {"equal_loss": h**-0.5, "equal_distance": np.ones_like(h), "equal_curvature": h**0.5}[setting.initial]
    eigenvalues = np.ones_like(h) if setting.initial == "equal_curvature" else h * within
    noise_sd = setting.noise * (np.sqrt(h) if setting.noise_kind == "hessian" else np.ones_like(h))
    if setting.rotated == "no":
        return Drawn(sizes, eigenvalues, (), theta, noise_sd)
    matrices, starts, first = [], [], 0
    for size in sizes if setting.rotated == "blocks" else (sum(sizes),):
        U, part = haar(size, rng["rotation"]), slice(first, first + size)
        matrices.append((U * eigenvalues[part]) @ U.T)
        starts.append(U @ theta[part])
        first += size
    return Drawn(sizes, None, tuple(matrices), np.concatenate(starts), noise_sd)


def draw_samples(setting: Logistic, seed: int) -> NDArray:
    """Draw the signed features y_i x_i, shape (n, P), whose second moment is diagonal up to rounding."""
    rng = {name: np.random.default_rng(stream) for name, stream in streams(seed).items()}
    n, P = setting.samples, setting.blocks * setting.size
    U = np.linalg.qr(rng["data"].standard_normal((n, P)))[0] * np.sqrt(n)
    w = rng["targets"].standard_normal(P)
    margin = U @ (setting.teacher * w / np.linalg.norm(w))
    y = np.where(rng["targets"].random(n) * (1.0 + np.exp(-margin)) < 1.0, 1.0, -1.0)
    spread = np.linspace(-1.0, 1.0, setting.blocks) if setting.blocks > 1 else np.zeros(1)
    return y[:, None] * U * np.exp(setting.scale * np.repeat(spread, setting.size))
