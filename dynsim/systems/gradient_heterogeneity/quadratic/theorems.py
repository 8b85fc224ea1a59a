r"""The complexity theorems T1 and T2: their step rules, and runs that compare every step with what is guaranteed.

T1, gradient steps: :math:`\eta_t = \min(1/\Lambda_G, (\rho\|g_t\|_2)^{-1/2})` decreases the loss by at least
:math:`\eta_t \|g_t\|_2^2 / c`.  T2, sign steps: :math:`\eta_t = \min\big(\|g_t\|_1/(P\Lambda_P), (\|g_t\|_1/(\rho P^{3/2}))^{1/2}\big)`
decreases it by at least :math:`\eta_t \|g_t\|_1 / c`.  Assumed: (A3) the Hessian is within delta_D <= Lambda/3 of its diagonal
blocks in norm, and Lambda bounds the weighted complexity at every iterate. c = 6; 3 where rho or delta_D
is 0, and 2 where both are. Derived here, in docs/derivations/gradient_heterogeneity.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ....naming import unknown_name
from ....optimizers import Kind
from ....settings import check_number
from ....simulate import iterate
from ..inequality import gradient_weighted, size_weighted
from .logistic import require_known_curvature
from .theory import block_squares, complexity_bound

__all__ = ["STEPPERS", "TheoremGD", "TheoremRun", "TheoremSign", "theorem_run"]


def _check(rule: Any) -> None:
    for name, positive in (("Lambda", True), ("rho", False), ("lr", True)):
        check_number(rule, name, positive=positive)


@dataclass(frozen=True)
class TheoremGD:
    r"""Gradient descent with the step of T1, :math:`\eta_t = \min(1/\Lambda_G, (\rho \|g_t\|_2)^{-1/2})`, equation (7).

    Made anew at every iterate with its own Lambda_G, and rho = 0, it makes the steps of equation (15).

    Parameters
    ----------
    Lambda : float
        Bound on Lambda_G over the iterates, > 0.
    rho : float
        Lipschitz constant of the Hessian, >= 0.
    lr : float
        Factor of the theorem's step, > 0; 1.0 is the theorem.
    """

    Lambda: float
    rho: float = 0.0
    lr: float = 1.0
    kind: ClassVar[Kind] = "global"
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        _check(self)

    def size(self, gradient: NDArray) -> NDArray:
        """Return what the theorem bounds, the norm of the gradient, shape (*replicates)."""
        return np.linalg.norm(gradient, axis=-1)

    def eta(self, gradient: NDArray) -> NDArray:
        """Return the theorem's step at a gradient (*replicates, P), without the factor; shape (*replicates)."""
        curved = self.rho * self.size(gradient)
        return np.minimum(1.0 / self.Lambda, np.divide(1.0, curved, out=np.full(np.shape(curved), np.inf), where=curved > 0) ** 0.5)

    def guaranteed(self, gradient: NDArray, constant: float) -> NDArray:
        """Return the decrease of the loss that the theorem guarantees at least, eta |g|^2 / constant."""
        return self.eta(gradient) * np.square(self.size(gradient)) / constant

    def init(self, params: NDArray, scale: NDArray | float) -> dict[str, NDArray]:
        """Return the state: there is none."""
        return {}

    def step(self, params: NDArray, grad: NDArray, state: dict[str, NDArray], step: int, scale: NDArray | float) -> None:
        """Move `params` in place."""
        params -= (self.lr * self.eta(grad))[..., None] * grad


@dataclass(frozen=True)
class TheoremSign:
    r"""Sign descent with the step of T2, :math:`\eta_t = \min\big(\|g_t\|_1/(P\Lambda_P), (\|g_t\|_1/(\rho P^{3/2}))^{1/2}\big)`.

    Equation (8); with rho = 0 the step is that of equation (11).

    Parameters
    ----------
    Lambda : float
        Bound on Lambda_P over the iterates, > 0.
    rho : float
        Lipschitz constant of the Hessian, >= 0.
    lr : float
        Factor of the theorem's step, > 0; 1.0 is the theorem.
    """

    Lambda: float
    rho: float = 0.0
    lr: float = 1.0
    kind: ClassVar[Kind] = "global"
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        _check(self)

    def size(self, gradient: NDArray) -> NDArray:
        """Return what the theorem bounds, the 1-norm of the gradient over sqrt(P), shape (*replicates)."""
        return np.abs(gradient).sum(axis=-1) / np.sqrt(gradient.shape[-1])

    def eta(self, gradient: NDArray) -> NDArray:
        """Return the theorem's step at a gradient (*replicates, P), without the factor; shape (*replicates)."""
        size, P = self.size(gradient), gradient.shape[-1]
        step = size / (np.sqrt(P) * self.Lambda)
        return np.minimum(step, np.sqrt(size / (self.rho * P))) if self.rho else step

    def guaranteed(self, gradient: NDArray, constant: float) -> NDArray:
        """Return the decrease of the loss that the theorem guarantees at least, eta |g|_1 / constant."""
        return self.eta(gradient) * self.size(gradient) * (np.sqrt(gradient.shape[-1]) / constant)

    def init(self, params: NDArray, scale: NDArray | float) -> dict[str, NDArray]:
        """Return the state: there is none."""
        return {}

    def step(self, params: NDArray, grad: NDArray, state: dict[str, NDArray], step: int, scale: NDArray | float) -> None:
        """Move `params` in place."""
        params -= (self.lr * self.eta(grad))[..., None] * np.sign(grad)


STEPPERS: dict[str, Any] = {"gradient": TheoremGD, "sign": TheoremSign}
"""The theorems' rules by the step they take: T1 and T2."""


@dataclass(frozen=True, eq=False)
class TheoremRun:
    """A run of a theorem's rule up to the first gradient of size eps, or its failure to get there; T steps. Equations (7) to (9).

    Attributes
    ----------
    rule : TheoremGD or TheoremSign
    eps : float
        Size of the gradient at which the run ends: its norm for T1, its 1-norm over sqrt(P) for T2.
    constant : float
        c: 6 in general, 3 where rho or delta_D is 0, 2 where both are.
    reached : bool
        True if the gradient became that small.
    Delta : float
        Loss at the start above its minimum.
    loss, size, grad_norm, grad_norm_1, Lambda_G, Lambda_P, delta_D : ndarray, shape (T + 1,)
        At every iterate; `size` is what the theorem bounds.
    guaranteed : ndarray, shape (T,)
        Decrease that the theorem guarantees at each step.
    """

    rule: Any
    eps: float
    constant: float
    reached: bool
    Delta: float
    loss: NDArray
    size: NDArray
    grad_norm: NDArray
    grad_norm_1: NDArray
    Lambda_G: NDArray
    Lambda_P: NDArray
    delta_D: NDArray
    guaranteed: NDArray

    @property
    def steps(self) -> int:
        """Steps made."""
        return len(self.guaranteed)

    @property
    def actual(self) -> NDArray:
        """Decrease of the loss in each step, shape (T,)."""
        return -np.diff(self.loss)

    @property
    def ratio(self) -> NDArray:
        """Actual over guaranteed decrease, shape (T,); the theorem says at least 1, which rests on equation (6)."""
        return self.actual / self.guaranteed

    @property
    def bound(self) -> float:
        """Bound on the number of steps."""
        return complexity_bound(self.Delta, self.rule.Lambda, self.eps, rho=self.rule.rho, constant=self.constant)

    @property
    def complexity(self) -> NDArray:
        """The weighted complexity that the rule's Lambda must bound, at every iterate, shape (T + 1,)."""
        return self.Lambda_G if isinstance(self.rule, TheoremGD) else self.Lambda_P

    @property
    def covered(self) -> bool:
        """True if Lambda bounded the weighted complexity at every iterate from which a step was made."""
        return bool(np.all(self.complexity[: self.steps] <= self.rule.Lambda * (1.0 + 1e-12)))

    @property
    def near_block_diagonal(self) -> bool:
        """True if A3 held there: delta_D <= Lambda/3."""
        return bool(np.all(self.delta_D[: self.steps] <= self.rule.Lambda / 3.0 * (1.0 + 1e-12)))

    @property
    def small_target(self) -> bool:
        """True if A4 held: eps <= Lambda^2 / rho."""
        return bool(self.eps * self.rule.rho <= self.rule.Lambda**2)


def theorem_run(
    system: Any, step: str, *, eps: float = 0.02, Lambda: float | None = None, rho: float | None = None, factor: float = 1.0,
    most: int = 100_000,
) -> TheoremRun:
    """Run the rule of T1 or T2 until the gradient is small, and record what the theorem speaks about at every iterate.

    Parameters
    ----------
    system : BlockQuadratic or LogisticBlocks
        Without replicates or noise.
    step : {"gradient", "sign"}
        T1 or T2.
    eps : float
        Size of the gradient to reach, relative to that at the start in the rule's own measure; in (0, 1).
    Lambda : float, optional
        Bound on the weighted complexity over the iterates. By default it is found: a run that leaves it, or for which it is less
        than 3 delta_D, begins anew with what was met, or 5 % more if that is larger. For gradient steps on a block-diagonal quadratic
        to a small target it ends at half the largest curvature or more, equation (14).
    rho : float, optional
        Lipschitz constant of the Hessian; default the system's.
    factor : float
        Of the theorem's step, > 0.
    most : int
        Steps after which a run gives up.

    Raises
    ------
    TypeError
        For a system of another room.
    ValueError
        For an unknown kind of step, a system with replicates or noise, a number out of range, a start with gradient 0; for a run that
        diverges, as steps of more than twice the theorem's can make it, unless `Lambda` is given: then that run is returned.
    """
    require_known_curvature(system)
    if step not in STEPPERS:
        raise ValueError(unknown_name("step", step, STEPPERS))
    if not 0.0 < eps < 1.0:
        raise ValueError(f"eps={eps!r} must lie in (0, 1): it is relative to the gradient at the start")
    if system.start.ndim > 1 or system.noisy:
        raise ValueError("the theorems are about one run without noise: pass system.replicates(i), and noise=0 in its setting")
    rho = float(system.rho) if rho is None else rho
    cache = system.forward(system.layout.views(system.start))
    at = system.curvature(cache)
    if not cache.gradient.any():
        raise ValueError("the gradient is 0 at the start, so the target is reached: start elsewhere")
    fixed = Lambda is not None
    bound = Lambda if Lambda is not None else _needed(system, step, cache.gradient, at)
    while True:
        run, left = _walk(system, STEPPERS[step](bound, rho, factor), step, eps, most, leave=not fixed)
        numbers = (run.loss[-1], run.size[-1], run.complexity[-1])  # a loss of 1e200 is finite, its squared gradients are not
        if not (fixed or run.reached or np.isfinite(numbers).all()):
            raise ValueError(f"the run diverges within {run.steps} steps: factor={factor:g} times the theorem's is too long for a step, or "
                             "the loss has no minimum; take factor=1, or give Lambda= to see the run as it is")
        if not left:
            return run
        bound = max(1.05 * bound, float(np.nanmax(run.complexity)), 3.0 * float(np.nanmax(run.delta_D)))


def _needed(system: Any, step: str, gradient: NDArray, at: Any) -> float:
    """Return the least Lambda that the theorem allows at a state."""
    if step == "gradient":
        complexity = gradient_weighted(block_squares(gradient, system.sizes), at.h)
    else:
        complexity = size_weighted(system.sizes, at.h)
    return float(max(complexity, 3.0 * at.delta_D))


def _walk(system: Any, rule: Any, step: str, eps: float, most: int, *, leave: bool) -> tuple[TheoremRun, bool]:
    """Run until the gradient is small, or the loss not finite, or, if `leave`, Lambda too small: then True; at most `most` steps."""
    rows: list[tuple[float, ...]] = []
    promises: list[float] = []
    target, reached, left = 0.0, False, False
    with np.errstate(over="ignore", invalid="ignore"):
        for state in iterate(system, rule):
            cache = state.cache
            g, at = cache.gradient, system.curvature(cache)
            size = float(rule.size(g))
            target = target or eps * size
            rows.append((
                float(cache.loss), size, float(np.linalg.norm(g)), float(np.abs(g).sum()),
                float(gradient_weighted(block_squares(g, system.sizes), at.h)), float(size_weighted(system.sizes, at.h)), float(at.delta_D),
            ))
            promises.append(float(rule.guaranteed(g, 1.0)))
            reached = size <= target
            left = leave and not reached and _needed(system, step, g, at) > rule.Lambda * (1.0 + 1e-12)
            if reached or left or not np.isfinite(cache.loss) or state.step == most:
                break
    loss, sizes, grad_norm, grad_norm_1, Lambda_G, Lambda_P, delta_D = np.array(rows).T
    constant = {0: 2.0, 1: 3.0, 2: 6.0}[int(rule.rho > 0.0) + int(delta_D.any())]
    Delta, guaranteed = float(loss[0] - system.loss_floor), np.array(promises[:-1]) / constant
    return TheoremRun(
        rule, target, constant, reached, Delta, loss, sizes, grad_norm, grad_norm_1, Lambda_G, Lambda_P, delta_D, guaranteed,
    ), left
