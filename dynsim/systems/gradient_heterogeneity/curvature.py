r"""The Hessian of a system's loss without forming it: products with vectors from the hand-derived gradient, and what blocks of it weigh.

.. math:: H v = \mathrm{Im}\,\nabla L(\theta + \mathrm{i} h v) / h,\quad h = 10^{-30}

subtracts nothing, so it is exact to rounding (the complex step of Squire and Trapp, SIAM Rev. 40, 1998, one derivative further). It asks
for a `backward` that accepts complex parameters.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from ...system import passes

__all__ = ["METHODS", "TOLERANCE", "Hessian", "hessian", "hvp"]

METHODS = {
    "analytic": "exact to rounding",
    "complex-step": "exact to rounding",
    "central": "right to about 1e-9 of the norm of the Hessian where the loss is smooth and higher derivatives are of order 1 too",
}
"""How products with the Hessian are formed, and how right they are."""

TOLERANCE = 1e-6
"""Of iterated eigenvalues, relative to the spectral norm of their block."""

DENSE = 64
"""Blocks of so many parameters or fewer are formed; their eigenvalues are exact to rounding of the products."""

ITERATIONS = 1000
"""Most restarts of the iteration; a few are usual."""

TRIES, CLOSE, AGREEMENT = 3, 1e-8, 0.1
"""Before the complex step is trusted it agrees to 0.1 with a difference of gradients along one of three random directions, 1e-8 to each
side. A conjugate or an absolute value in `backward` makes an error of order 1 along all of them. A ReLU that switches between the two
sides makes the difference useless, however right the complex step is: so close that is rare, and rarer three times."""


@dataclass(frozen=True, eq=False)
class Hessian:
    """The Hessian of a system's loss at a point, known by its products with vectors; made by `hessian`.

    Attributes
    ----------
    system : System
    point : ndarray, shape (P,)
    cache : SimpleNamespace
        Of the forward pass on all samples.
    gradient : ndarray, shape (P,)
    method : {"analytic", "complex-step", "central"}
        How products are formed; `METHODS` says how right they are.
    reason : str
        Why it is not a better one, empty for the best.
    """

    system: Any
    point: NDArray
    cache: SimpleNamespace
    gradient: NDArray
    method: str
    reason: str = ""

    def product(self, v: NDArray) -> NDArray:
        """Return H v for a real vector, both of shape (P,).

        Raises
        ------
        ValueError
            If v is not a real vector of that shape.
        FloatingPointError
            If the product is not finite.
        """
        v = np.ascontiguousarray(v)
        if v.shape != self.point.shape or v.dtype.kind not in "fiu":
            raise ValueError(f"v has shape {v.shape} and type {v.dtype}; it must be a real vector of shape {self.point.shape}")
        found = _PRODUCTS[self.method](self, v.astype(float, copy=False))
        if not np.isfinite(found).all():
            raise FloatingPointError(f"a product with the Hessian is not finite (method {self.method!r}): the loss is not smooth here")
        return found

    def dense(self, index: NDArray) -> NDArray:
        """Return the diagonal block of some parameters, shape (len(index), len(index)): a product a parameter, made symmetric."""
        block = np.empty((len(index), len(index)))
        for column, i in enumerate(index):
            unit = np.zeros_like(self.point)
            unit[i] = 1.0
            block[:, column] = self.product(unit)[index]
        return 0.5 * (block + block.T)

    def extremes(self, index: NDArray, rng: np.random.Generator) -> tuple[float, float]:
        """Return the spectral norm of the diagonal block of some parameters, and its largest eigenvalue, <= 0 if none is positive.

        Blocks of at most `DENSE` parameters are formed. Larger ones are iterated (implicitly restarted Lanczos, `scipy`'s `eigsh`) to
        `TOLERANCE` of the spectral norm, from a random vector.

        Raises
        ------
        RuntimeError
            If the iteration does not converge; says what to try.
        """
        if len(index) <= DENSE:
            return norm_and_largest(self.dense(index))
        begin = rng.standard_normal(len(index))
        if not self._restricted(begin, index).any():
            return 0.0, 0.0  # a random vector is orthogonal to what is not zero with probability 0
        outermost = self._outermost(index, begin, 0.0)
        if outermost >= 0.0:
            return outermost, outermost
        # the other end relative to the norm: shifted to be positive, an end near 0 need not converge to digits of its own
        return -outermost, self._outermost(index, begin, -outermost) + outermost

    def _restricted(self, x: NDArray, index: NDArray) -> NDArray:
        v = np.zeros_like(self.point)
        v[index] = x
        return self.product(v)[index]

    def _outermost(self, index: NDArray, begin: NDArray, shift: float) -> float:
        """Return the eigenvalue of largest modulus of a diagonal block plus `shift` times the identity."""
        n = len(index)
        operator = LinearOperator((n, n), matvec=lambda x: self._restricted(x.ravel(), index) + shift * x.ravel(), dtype=float)
        try:
            found = eigsh(operator, k=1, which="LM", v0=begin, tol=TOLERANCE, maxiter=ITERATIONS, return_eigenvectors=False)
        except ArpackNoConvergence as error:
            raise RuntimeError(
                f"the spectral norm of a block of {n} parameters did not converge to {TOLERANCE:g} in {ITERATIONS} restarts: "
                "cut the block into smaller ones, or leave it out of `blocks`"
            ) from error
        return float(found[0])


def hessian(system: Any, params: NDArray | None = None, *, method: str = "auto", rng: np.random.Generator | int = 0) -> Hessian:
    r"""Return the Hessian of a system's loss on all samples, ready to be multiplied with vectors.

    Parameters
    ----------
    system : System
        A single run. If it has `hessian_vector(params, cache, v, out)`, which writes H v into the views `out`, that is used.
    params : ndarray, shape (P,), optional
        Where; default `system.start`.
    method : {"auto", "analytic", "complex-step", "central"}
        "auto" takes the first that works: the system's own `hessian_vector`; the complex step of `backward`, if that accepts complex
        parameters and agrees with differences of gradients; central differences of the gradient,
        :math:`(g(p + hv) - g(p - hv)) / 2h`, with :math:`h = 6\cdot 10^{-6} \\max(1, |p|_\infty) / |v|`.
    rng : Generator or int, default 0
        Of the directions along which the two are compared.

    Raises
    ------
    ValueError
        For an unknown method, one that the system does not allow, replicates, or parameters that do not fit or where loss or gradient are
        not finite.
    Inexact
        From a system that has no gradient; names the alternative.

    Examples
    --------
    >>> from dynsim.systems import attention_kernels
    >>> system = attention_kernels.dense(attention_kernels.Regression(trained="Q", N=1, n=2, D=2, d=2, H=1))
    >>> hessian(system).method
    'complex-step'
    """
    if method not in ("auto", *METHODS):
        raise ValueError(f"method={method!r} must be one of auto, {', '.join(METHODS)}")
    point = _single_point(system, params)
    cache, found = passes(system, point)
    if np.shape(cache.loss) != () or not np.isfinite(cache.loss):
        raise ValueError(f"the loss at these parameters is {cache.loss}; it must be one finite number")
    if not np.isfinite(found).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(found))} entries of the gradient at these parameters are not finite")
    if method == "central":
        return Hessian(system, point, cache, found, method)
    own = callable(getattr(system, "hessian_vector", None))
    if method == "analytic" and not own:
        raise ValueError("method='analytic' needs a system with a hessian_vector of its own: use 'auto'")
    if method == "analytic" or (method == "auto" and own):
        return Hessian(system, point, cache, found, "analytic")
    stepped = Hessian(system, point, cache, found, "complex-step")
    reason = _no_complex_step(stepped, np.random.default_rng(rng))
    if not reason:
        return stepped
    if method == "complex-step":
        raise ValueError(f"method='complex-step': {reason}; use 'central', {METHODS['central']}")
    return Hessian(system, point, cache, found, "central", reason)


def hvp(system: Any, params: NDArray | None, v: NDArray, *, method: str = "auto") -> NDArray:
    """Return the product of the Hessian of a system's loss with a vector, shape (P,); see `hessian`, which many products should share.

    Parameters
    ----------
    system : System
        A single run.
    params : ndarray, shape (P,), or None
        Where; None for `system.start`.
    v : ndarray, shape (P,)
        Real.
    method : {"auto", "analytic", "complex-step", "central"}
        See `hessian`.

    Raises
    ------
    ValueError, Inexact, FloatingPointError
        As `hessian` and `Hessian.product` do.

    Examples
    --------
    >>> from dynsim.systems import attention_kernels
    >>> system = attention_kernels.dense(attention_kernels.Regression(trained="Q", N=1, n=2, D=2, d=2, H=1))
    >>> u, v = np.random.default_rng(0).standard_normal((2, system.layout.size))
    >>> bool(np.isclose(u @ hvp(system, None, v), v @ hvp(system, None, u), rtol=1e-12))
    True
    """
    return hessian(system, params, method=method).product(v)


def norm_and_largest(block: NDArray) -> tuple[float, float]:
    """Return the spectral norm of a symmetric matrix, and its largest eigenvalue."""
    eigenvalues = np.linalg.eigvalsh(block)
    return float(np.abs(eigenvalues).max()), float(eigenvalues[-1])


def _single_point(system: Any, params: NDArray | None) -> NDArray:
    if np.ndim(system.start) != 1:
        raise ValueError(f"the system has replicates, start of shape {np.shape(system.start)}: take one of them, system.replicates(i)")
    given = np.asarray(system.start if params is None else params)
    if given.shape != (system.layout.size,) or given.dtype.kind not in "fiu":
        raise ValueError(f"params has shape {given.shape} and type {given.dtype}; it must be a real vector of length {system.layout.size}")
    return np.array(given, dtype=float)


def _no_complex_step(at: Hessian, rng: np.random.Generator) -> str:
    """Return why the complex step of `backward` cannot be used, or nothing."""
    for _ in range(TRIES):
        v = rng.standard_normal(at.point.shape)
        v /= np.linalg.norm(v)
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # raised where an imaginary part is dropped
            try:
                exact = _complex_step(at, v)
            except (TypeError, np.exceptions.ComplexWarning):
                return "backward does not accept complex parameters"
        near = _difference(at, v, CLOSE)
        rounding = 10.0 * np.finfo(float).eps * np.linalg.norm(at.gradient) / CLOSE
        if np.linalg.norm(exact - near) <= AGREEMENT * np.linalg.norm(near) + rounding:
            return ""
    return "the complex step of backward is not the derivative of the gradient: it may conjugate or take absolute values"


# -- products ----------------------------------------------------------------------------------------------------------


def _analytic(at: Hessian, v: NDArray) -> NDArray:
    views, out = at.system.layout.views, np.full_like(at.point, np.nan)
    at.system.hessian_vector(views(at.point), at.cache, views(v), views(out))
    return out


def _gradient(at: Hessian, point: NDArray) -> NDArray:
    return passes(at.system, point)[1]


def _complex_step(at: Hessian, v: NDArray, h: float = 1e-30) -> NDArray:
    return _gradient(at, at.point + 1j * h * v).imag / h


def _central_difference(at: Hessian, v: NDArray) -> NDArray:
    length = np.linalg.norm(v)
    return length * _difference(at, v / length, float(np.cbrt(np.finfo(float).eps))) if length > 0.0 else np.zeros_like(v)


def _difference(at: Hessian, unit: NDArray, h: float) -> NDArray:
    """Return the difference of gradients along a unit vector, h to each side, relative to the largest parameter where that is above 1."""
    h *= max(1.0, float(np.abs(at.point).max()))
    return (_gradient(at, at.point + h * unit) - _gradient(at, at.point - h * unit)) / (2.0 * h)


_PRODUCTS = {"analytic": _analytic, "complex-step": _complex_step, "central": _central_difference}
