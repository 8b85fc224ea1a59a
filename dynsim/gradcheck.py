r"""Check a hand-derived gradient against a derivative of the loss that uses the forward pass only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .system import System, passes

__all__ = ["GradientCheck", "gradcheck"]

WHOLE = "all blocks"
"""Name under which directions across the whole parameter vector are reported."""

TOLERANCE = {"complex-step": 1e-13, "central": 1e-6}
"""What a correct gradient reaches: complex steps have rounding error only, central differences lose a third of the digits."""


@dataclass(frozen=True)
class GradientCheck:
    """How far a hand-derived gradient is from the derivative of the loss; prints as a table.

    Parameters
    ----------
    errors : mapping of str to float
        Worst error of each block of the layout, and of "all blocks", on the norm scale of `gradcheck`.
    method : str
        "complex-step" or "central".
    directions : int
        Random directions tried per block.
    tolerance : float
        What a correct gradient reaches with this method.
    """

    errors: Mapping[str, float]
    method: str
    directions: int
    tolerance: float

    @property
    def worst(self) -> float:
        """The largest error of all blocks."""
        return float(np.max(list(self.errors.values())))  # unlike max(), keeps a NaN

    @property
    def passed(self) -> bool:
        """True if every error is within the tolerance; False also if one is not a number."""
        return all(error <= self.tolerance for error in self.errors.values())

    def __str__(self) -> str:
        width = max(map(len, self.errors))
        lines = [f"gradient against {self.method}, {self.directions} random directions a block, tolerance {self.tolerance:g}:"]
        for name, error in self.errors.items():
            lines.append(f"  {name:{width}s}  {error:8.1e}  {'ok' if error <= self.tolerance else 'WRONG'}")
        return "\n".join(lines)


def gradcheck(
    system: System,
    params: NDArray | None = None,
    *,
    rng: np.random.Generator | int = 0,
    method: Literal["complex-step", "central"] = "complex-step",
    directions: int = 4,
) -> GradientCheck:
    r"""Compare a system's `backward` with derivatives of its `forward` along random directions.

    For a random unit direction u, once inside each block of the layout and once across all of them, the
    error is measured on the scale that bounds both numbers (Cauchy-Schwarz),

    .. math:: \frac{|\langle g, u\rangle - L'(p; u)|}{\|g\|\,\|u\|},\qquad
              L'(p; u) = \mathrm{Im}\,L(p + \mathrm{i} h u) / h,\quad h = 10^{-30}.

    The complex step subtracts nothing, so it is exact to rounding (Squire and Trapp, SIAM Rev. 40, 1998);
    it needs a forward pass that is analytic and accepts complex parameters. A direction of ones would be a
    poor test: a softmax has derivative 0 along it, whatever the gradient.

    Parameters
    ----------
    system : System
        Dense or reduced, with or without replicates. Its step scale plays no part.
    params : ndarray, shape (*replicates, P), optional
        Where to check; default `system.start`.
    rng : Generator or int, default 0
        Source of the directions, or its seed.
    method : {"complex-step", "central"}
        "central" takes :math:`(L(p + hu) - L(p - hu)) / 2h` for a forward pass that is real only;
        right to about 1e-9 instead of 1e-15.
    directions : int, default 4
        Directions tried per block, >= 1.

    Returns
    -------
    GradientCheck
        Prints as a table, one line a block; `passed` is true where every error is within 1e-13, or 1e-6 of central differences. Where
        gradient and derivative are both exactly 0 the error is 0.

    Raises
    ------
    ValueError
        For an unknown method, fewer than one direction, or parameters that do not fit the layout.

    Examples
    --------
    >>> from dynsim import gradcheck
    >>> from dynsim.systems import signal_noise
    >>> check = gradcheck(signal_noise.dense(signal_noise.preset("tiny"), seed=0))
    >>> check.passed
    True
    >>> list(check.errors)
    ['W_QK', 'W_V', 'all blocks']
    """
    if method not in TOLERANCE:
        raise ValueError(f"method={method!r} must be one of {', '.join(TOLERANCE)}")
    if isinstance(directions, bool) or not isinstance(directions, (int, np.integer)) or directions < 1:
        raise ValueError(f"directions={directions!r} must be an integer >= 1")
    rng = np.random.default_rng(rng)
    point = np.array(system.start if params is None else params, dtype=float)
    if point.shape[-1:] != (system.layout.size,):
        raise ValueError(f"params has shape {point.shape}; its last axis must be {system.layout.size} long for this system")
    gradient = passes(system, point)[1]
    slopes = {"complex-step": _complex_step, "central": _central_difference}[method]
    errors = {}
    for name, part in {**system.layout.slices, WHOLE: slice(None)}.items():
        errors[name] = float(np.max([_error(system, point, gradient, part, rng, slopes) for _ in range(directions)]))
    return GradientCheck(errors, method, int(directions), TOLERANCE[method])


def _error(system: System, point: NDArray, gradient: NDArray, part: slice, rng: np.random.Generator, slopes: Any) -> float:
    """Return the worst error over replicates along one random unit direction inside `part`."""
    u = np.zeros_like(point)
    u[..., part] = rng.standard_normal(u[..., part].shape)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    slope = slopes(system, point, u)
    gap = np.abs(np.vecdot(gradient, u) - slope)
    size = np.maximum(np.linalg.norm(gradient[..., part], axis=-1), np.abs(slope))  # so that a gradient of 0 can be wrong, too
    error = np.divide(gap, size, out=np.where(np.isfinite(gap), gap, np.nan), where=size > 0)
    return float(np.max(error))


def _complex_step(system: System, point: NDArray, u: NDArray, h: float = 1e-30) -> NDArray:
    return system.forward(system.layout.views(point + 1j * h * u)).loss.imag / h


def _central_difference(system: System, point: NDArray, u: NDArray) -> NDArray:
    h = np.cbrt(np.finfo(float).eps) * max(1.0, float(np.abs(point).max()))
    above, below = (system.forward(system.layout.views(point + step * u)).loss for step in (h, -h))
    return (above - below) / (2.0 * h)
