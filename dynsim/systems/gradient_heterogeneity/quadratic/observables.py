"""Quantities of both models, by name: what enters the theorems."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from ....system import Observable
from ..inequality import density, gradient_weighted, size_weighted
from .theory import block_squares

__all__ = ["OBSERVABLES", "quantities", "sign_progress"]


def _norm(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    return np.linalg.norm(cache.gradient, axis=-1)


def _norm_1(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    return np.abs(cache.gradient).sum(axis=-1)


def _Lambda_G(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    sizes = cache.system.sizes
    return gradient_weighted(block_squares(cache.gradient, sizes), cache.system.curvature(cache).h)


def _Lambda_P(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    found = size_weighted(cache.system.sizes, cache.system.curvature(cache).h)
    return np.broadcast_to(found, cache.loss.shape)


def sign_progress(gradient: NDArray, noise_sd: NDArray) -> NDArray:
    r"""Return the progress that the noisy sign expects, :math:`\sum_i |g_i|\,\mathrm{erf}\big(|g_i| / (\sqrt2 s_i)\big)`, shape (*lead).

    Equation (30) bounds its mean over the steps. For Gaussian noise, by equation (31),
    :math:`1 - 2 P[\text{wrong sign}] = \mathrm{erf}(|g_i|/(\sqrt2 s_i))`; without noise it is the 1-norm.

    Parameters
    ----------
    gradient : ndarray, shape (*lead, P)
        The gradient without noise.
    noise_sd : ndarray, broadcasts to it
        s_i >= 0.
    """
    size = np.abs(gradient)
    noise_sd = np.broadcast_to(noise_sd, size.shape)
    ratio = np.divide(size, np.sqrt(2.0) * noise_sd, out=np.full(size.shape, np.inf), where=noise_sd > 0)
    return (size * erf(ratio)).sum(axis=-1)


def _progress(params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
    return sign_progress(cache.gradient, cache.system.noise_sd)


def quantities(*, noisy: bool = False, costly: bool = False) -> dict[str, Observable]:
    """Return the quantities of a model; `costly` if its curvature changes from step to step."""
    found = {
        "train_loss": Observable(lambda p, c: c.loss, (), "loss", "L"),
        "grad_norm": Observable(_norm, (), "norm of the gradient, without noise", r"\Vert g\Vert_2"),
        "grad_norm_1": Observable(_norm_1, (), "1-norm of the gradient, without noise", r"\Vert g\Vert_1"),
        "phi": Observable(lambda p, c: density(c.gradient), (),
                          "density of the gradient: squared 1-norm over P times squared norm; not a number where it is 0", r"\varphi"),
        "Lambda_G": Observable(_Lambda_G, (), "block norms of the Hessian weighted by squared gradients; not a number where these are 0",
                               r"\Lambda_G", costly=costly),
        "Lambda_P": Observable(_Lambda_P, (), "block norms of the Hessian weighted by sizes", r"\Lambda_P", costly=costly),
    }
    if noisy:
        found["sign_progress"] = Observable(
            _progress, (), "progress that the noisy sign expects: sum of sizes times the error function of size / (sqrt(2) s_i)",
            r"\sum_i \vert g_i\vert\, \mathrm{erf}_i")
    return found


OBSERVABLES: Mapping[str, Observable] = quantities(noisy=True)
"""All quantities by name; "sign_progress" only where there is noise."""
