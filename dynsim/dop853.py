"""scipy's DOP853 for long vectors: the same coefficients, steps and interpolation, with products in place of temporaries.

A step of order 8 combines up to sixteen vectors of the length of the parameters, and for long ones these combinations cost more than the
velocities. Here each is one product into memory that is there already, and all times that lie within a step are interpolated by one
product. The steps are scipy's, but for rounding: the tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

__all__ = ["LeanDOP853"]

TOGETHER = 2**24
"""Bytes of interpolated parameters that are formed together."""

SAFETY, SLOWEST, FASTEST = 0.9, 0.2, 10.0
"""Step control, as in scipy: factor on the optimal step, and how much a step may shrink or grow."""


class LeanDOP853(DOP853):
    """Explicit Runge-Kutta method of order 8 by Dormand and Prince, with `scipy.integrate.DOP853`'s error estimate and interpolation.

    Parameters
    ----------
    into : callable
        Called with (t, y, out): writes dy/dt into `out`, shape (n,).
    t0, y0, t_bound, **options
        As `scipy.integrate.DOP853` takes them.
    """

    t: float  # the parent's, which has no annotations
    h_abs: float
    y: NDArray
    f: NDArray
    K_extended: NDArray

    def __init__(self, into: Callable[[float, NDArray, NDArray], None], t0: float, y0: NDArray, t_bound: float, **options: Any) -> None:
        def fun(t: float, y: NDArray) -> NDArray:
            out = np.empty_like(y)
            into(t, y, out)
            return out

        super().__init__(fun, t0, y0, t_bound, **options)
        self._into = into
        self._rows = np.empty((1 + len(self.K_extended), self.n))  # y, then the stages: a combination is one product
        self.K_extended = self._rows[1:]
        self.K = self.K_extended[: self.n_stages + 1]
        self._stage = np.empty(self.n)
        self._errors = np.empty((2, self.n))

    def _evaluate(self, stage: int, t: float, y: NDArray) -> None:
        self._into(t, y, self.K_extended[stage])
        self.nfev += 1

    def _combine(self, weights: NDArray, out: NDArray) -> NDArray:
        """Write y + weights @ K into `out`, y that at the start of the step and K the first stages."""
        return np.dot(np.append(1.0, weights), self._rows[: 1 + len(weights)], out=out)

    def _error_norm(self, h: float, y_new: NDArray) -> float:
        """Return the norm of the error estimates of order 5 and 3 against the tolerances."""
        errors, scale = self._errors, np.abs(y_new, out=self._stage)
        np.dot(np.stack([self.E5, self.E3]), self.K, out=errors)
        np.maximum(scale, np.abs(self.y), out=scale)
        scale *= self.rtol
        scale += self.atol
        errors /= scale
        fifth, third = np.vecdot(errors, errors)
        return float(abs(h) * fifth / np.sqrt((fifth + 0.01 * third) * self.n)) if fifth or third else 0.0

    def _step_impl(self) -> tuple[bool, str | None]:
        t, smallest = self.t, 10.0 * abs(np.nextafter(self.t, self.direction * np.inf) - self.t)
        h_abs = float(np.clip(self.h_abs, smallest, self.max_step))
        self._rows[0], self.K[0] = self.y, self.f
        rejected = False
        while True:
            if not h_abs >= smallest:
                return False, self.TOO_SMALL_STEP
            t_new = t + h_abs * self.direction
            if self.direction * (t_new - self.t_bound) > 0:
                t_new = self.t_bound
            h = t_new - t
            h_abs = abs(h)
            for s in range(1, self.n_stages):
                self._evaluate(s, t + self.C[s] * h, self._combine(h * self.A[s, :s], self._stage))
            y_new = self._combine(h * self.B, np.empty(self.n))
            self._evaluate(self.n_stages, t + h, y_new)
            error = self._error_norm(h, y_new)
            factor = FASTEST if error == 0 else SAFETY * error**self.error_exponent
            if error < 1:
                factor = min(FASTEST, factor)
                h_next = h_abs * (min(1.0, factor) if rejected else factor)
                break
            h_abs *= max(SLOWEST, factor) if np.isfinite(error) else SLOWEST
            rejected = True
        self.h_previous, self.y_old, self.t, self.y, self.f, self.h_abs = h, self.y, t_new, y_new, self.K[-1], h_next
        return True, None

    def inside(self, times: NDArray) -> Iterator[NDArray]:
        """Yield the interpolated y at times within the last step, several formed together.

        Parameters
        ----------
        times : ndarray, shape (T,)
            Times between the last two that the solver reached, in any order; one vector of shape (n,) is yielded for each.
        """
        h = self.h_previous
        for s, (a, c) in enumerate(zip(self.A_EXTRA, self.C_EXTRA, strict=True), start=self.n_stages + 1):
            self._evaluate(s, self.t_old + c * h, self._combine(h * a[:s], self._stage))
        x = (np.asarray(times, dtype=float) - self.t_old) / h
        powers = np.cumprod([1.0 - x if power % 2 else x for power in range(7)], axis=0).T  # x, x (1 - x), x^2 (1 - x), ...
        weights = powers[:, 3:] @ self.D  # of the stages; the first three powers have the step itself and the velocities at its ends
        weights[:, : self.n_stages] += np.multiply.outer(powers[:, 0] - powers[:, 1] + 2.0 * powers[:, 2], self.B)
        weights[:, 0] += powers[:, 1] - powers[:, 2]
        weights[:, self.n_stages] -= powers[:, 2]
        weights = np.column_stack([np.ones(len(x)), h * weights])
        count = max(1, TOGETHER // (8 * self.n))
        for first in range(0, len(x), count):
            yield from weights[first : first + count] @ self._rows
