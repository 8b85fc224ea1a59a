"""Logistic regression in blocks: near block-diagonal Hessians with known Lipschitz constant, and the minimum by Newton's method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....layout import Layout
from ....numerics import logistic as sigmoid
from ....system import Observable, described
from ..inequality import size_weighted
from .data import draw_samples
from .model import BlockQuadratic, block_curvature, block_layout, indexed_seeds, joined, write
from .observables import quantities
from .setting import Logistic

__all__ = ["LogisticBlocks", "logistic", "require_known_curvature"]

STEEPEST = 1.0 / (6.0 * np.sqrt(3.0))
r"""Largest slope of :math:`\sigma(z)(1 - \sigma(z))`."""

NEWTON_STEPS = 50


@dataclass(frozen=True, eq=False)
class LogisticBlocks:
    r"""Logistic regression :math:`L = \frac1n \sum_i \log(1 + e^{-a_i^T \theta})` on signed features :math:`a_i = y_i x_i`.

    Parameters
    ----------
    A : ndarray, shape (n, P)
        Signed features, shared by all replicates.
    sizes : tuple of int
        Features of each block.
    start : ndarray, shape (*replicates, P)
        Initial parameters; replicates run side by side.
    provenance : mapping
        Name of the system, setting and seed, JSON-ready; saved with every run.
    step_scale, exact_for, alternative : float, frozenset of str, str
        What `System` asks for. The defaults are those of a model itself: 1.0, every kind of rule, and nothing to use instead.
    """

    A: NDArray
    sizes: tuple[int, ...]
    start: NDArray
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""
    noisy = False

    @cached_property
    def layout(self) -> Layout:
        """One block of parameters for each block of features."""
        return block_layout(self.sizes)

    @cached_property
    def observables(self) -> Mapping[str, Observable]:
        """Quantities by name."""
        return quantities(costly=True)

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return `loss`, the `gradient`, and `weights` p (1 - p) of the samples, shape (*replicates, n); equation (25)."""
        theta = joined(params, self.layout)
        at = sigmoid(theta @ self.A.T)
        n = len(self.A)
        return SimpleNamespace(loss=at.softplus_neg.mean(axis=-1), gradient=(at.q @ self.A) * (-1.0 / n), weights=at.p * at.q, system=self)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient into the views `out`."""
        write(cache.gradient, out, self.layout)

    def hessian(self, cache: SimpleNamespace) -> NDArray:
        r"""Return the Hessian :math:`\frac1n \sum_i p_i (1 - p_i)\, a_i a_i^T`, shape (*replicates, P, P); equation (25).

        Parameters
        ----------
        cache : SimpleNamespace
            Of `forward` at the parameters in question.
        """
        return (self.A.T * cache.weights[..., None, :]) @ self.A * (1.0 / len(self.A))

    def curvature(self, cache: SimpleNamespace) -> SimpleNamespace:
        """Return `h`, (*replicates, B), and `delta_D`, (*replicates,), of the Hessian at a state; computed once a forward pass.

        Parameters
        ----------
        cache : SimpleNamespace
            Of `forward` at that state.
        """
        if not hasattr(cache, "curvature"):
            cache.curvature = block_curvature(self.hessian(cache), self.sizes)
        return cache.curvature

    @cached_property
    def rho(self) -> float:
        r"""Lipschitz constant of the Hessian, equation (26): :math:`\frac1{6\sqrt3} \lambda_{max}(\frac1n \sum_i \|a_i\| a_i a_i^T)`."""
        sizes = np.linalg.norm(self.A, axis=1)
        return float(STEEPEST * np.linalg.eigvalsh((self.A.T * sizes) @ self.A / len(self.A))[-1])

    @cached_property
    def loss_floor(self) -> float:
        """Least value of the loss, by Newton's method from 0 with halved steps.

        Raises
        ------
        ValueError
            If the data are separable, which has no minimum, or it does not converge.
        """
        one = replace(self, start=np.zeros(self.layout.size))
        theta, loss = one.start, np.inf
        for _ in range(NEWTON_STEPS):
            cache = one.forward(self.layout.views(theta))
            if (self.A @ theta).min() > 0.0:
                raise ValueError("the data are separable, so the loss has no minimum: lower teacher or raise samples")
            if np.linalg.norm(cache.gradient) <= 1e-12 * np.linalg.norm(self.A, axis=1).mean():
                return float(cache.loss)
            loss, direction, step = cache.loss, np.linalg.solve(one.hessian(cache), cache.gradient), 1.0
            while step > 1e-9 and one.forward(self.layout.views(theta - step * direction)).loss > loss:
                step *= 0.5
            theta = theta - step * direction
        raise ValueError(f"{NEWTON_STEPS} Newton steps do not find the minimum of the loss: lower teacher or raise samples")

    @cached_property
    def curvature_max(self) -> float:
        r"""Bound on the norm of the Hessian everywhere: a quarter of the norm of :math:`\frac1n A^T A`."""
        return float(0.25 * np.linalg.norm(self.A, 2) ** 2 / len(self.A))

    @cached_property
    def constants(self) -> Mapping[str, NDArray]:
        """Block sizes; block norms, Lambda_P and delta_D at 0, where the first two are largest by equation (27); rho and the least loss."""
        origin = replace(self, start=np.zeros(self.layout.size))
        at = origin.curvature(origin.forward(self.layout.views(origin.start)))
        found = {
            "sizes": np.array(self.sizes), "h": at.h, "delta_D": at.delta_D, "Lambda_P": size_weighted(self.sizes, at.h),
            "curvature_max": self.curvature_max, "rho": self.rho, "loss_floor": self.loss_floor,
        }
        return {name: np.asarray(value) for name, value in found.items()}

    def replicates(self, index: Any) -> LogisticBlocks:
        """Return the same system with the leading axis of replicates indexed."""
        if self.start.ndim < 2:
            raise ValueError("this system has no replicates axis: model.repeated makes one")
        return replace(self, start=self.start[index], provenance=indexed_seeds(self.provenance, index))


def require_known_curvature(system: Any) -> None:
    """Raise a TypeError unless a system is one of this room, whose block norms, Lipschitz constant and least loss are known."""
    if not isinstance(system, (BlockQuadratic, LogisticBlocks)):
        raise TypeError(f"system is a {type(system).__name__}: it must be a BlockQuadratic or LogisticBlocks, whose curvature and least "
                        "loss are known, as dense(Quadratic()) is")


def logistic(setting: Logistic, seed: int = 0) -> LogisticBlocks:
    """Return the logistic regression of a setting, at 0.

    Parameters
    ----------
    setting : Logistic
    seed : int
        Determines features and labels. Seeds have samples of their own, so they are no replicates.

    Raises
    ------
    TypeError, ValueError
        For another setting, or a seed that is not an integer >= 0.

    Examples
    --------
    >>> system = logistic(Logistic(samples=200, scale=0.0), seed=0)
    >>> system.constants["h"].round(12)
    array([0.25, 0.25, 0.25, 0.25, 0.25, 0.25])
    """
    if not isinstance(setting, Logistic):
        raise TypeError(f"setting={setting!r} must be a Logistic")
    provenance = {"system": "gradient_heterogeneity", "engine": "dense", "setting": setting.to_dict(), "seed": seed}
    P = setting.blocks * setting.size
    return LogisticBlocks(draw_samples(setting, seed), (setting.size,) * setting.blocks, np.zeros(P), provenance)
