"""Update rules: stateless descriptions; their arrays live in the state that `init` returns. Gradient flow, their limit, is one more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..naming import unknown_name

__all__ = ["METHODS", "Adam", "ClipNorm", "GradientDescent", "GradientFlow", "Kind", "Optimizer", "RMSprop", "Rate", "SignGD", "State"]

Rate = float | NDArray | Callable[[int], Any]
State = dict[str, NDArray]

Kind = Literal["sign", "linear", "coordinatewise", "global", "flow"]
"""How a rule answers when the gradient of one coordinate is multiplied by c, positive or negative.

sign: the step is multiplied by sgn(c).  linear: the step is multiplied by c.
coordinatewise: neither, but each coordinate still moves on its own.
global: a coordinate's step depends on the gradient of the others, so no reduced system is exact for it.
flow: no steps at all, the velocity is minus the gradient.
"""


class Optimizer(Protocol):
    """What `simulate` asks of an update rule.

    A rule of your own is a frozen dataclass with these members:

    `lr`, a float, an array over replicates, or a function of the step returning either, and those below.
    """

    lr: Rate

    @property
    def kind(self) -> Kind:
        """How the rule answers when the gradient of one coordinate is scaled: decides for which reduced systems it is exact, see `Kind`."""

    @property
    def needs(self) -> Literal["signs", "gradient"]:
        """What the rule reads: "signs" if only the sign of each entry of the gradient matters (no memory), else "gradient"."""

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the arrays of the rule's memory, by name; of a name that begins with an underscore, a buffer.

        Parameters
        ----------
        params : ndarray, shape (*replicates, P)
            Parameters before the first step.
        scale : float or ndarray
            Step scale of the system, 1.0 or an array that broadcasts to `params`.
        """

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move the parameters in place: a coordinate by lr * scale * direction.

        Parameters
        ----------
        params : ndarray, shape (*replicates, P)
            Parameters, which are moved.
        grad : ndarray, shape (*replicates, P)
            Gradient of the loss, or with `needs` "signs" what has its signs; may be overwritten.
        state : dict of str to ndarray
            What `init` returned, which is updated.
        step : int
            Updates made before, from 0.
        scale : float or ndarray
            As for `init`.
        """


def _check_lr(lr: Rate) -> None:
    if callable(lr):
        return
    values = np.asarray(lr)
    if values.dtype.kind not in "fiu" or not np.all(np.isfinite(values)) or not np.all(values > 0):
        raise ValueError(f"lr={lr!r}: the learning rate must be finite and > 0 (for example lr=5e-5)")


def _check_fraction(name: str, value: float) -> None:
    if not (isinstance(value, (int, float)) and 0 <= value < 1):
        raise ValueError(f"{name}={value!r} must lie in [0, 1)")


def _check_eps(eps: float) -> None:
    if not (isinstance(eps, (int, float)) and 0 <= eps < np.inf):
        raise ValueError(f"eps={eps!r} must be finite and >= 0")


def _rate(lr: Rate, step: int, *, of: NDArray) -> Any:
    """Return the learning rate at `step`, shaped to multiply an array shaped like `of`, (*replicates, P)."""
    if callable(lr):
        lr = lr(step)
        _check_lr(lr)
    rate = np.asarray(lr, dtype=float)
    if rate.ndim == 0:
        return float(rate)
    if rate.shape != of.shape[:-1]:
        raise ValueError(f"lr has shape {rate.shape}; an array of rates must have the replicates' shape {of.shape[:-1]}")
    return rate[..., None]


def _stride(lr: Rate, step: int, scale: NDArray | float, of: NDArray) -> NDArray:
    """Return lr * scale, one number or at full size: a partly broadcast operand would cost time in every step."""
    stride = np.asarray(_rate(lr, step, of=of) * scale)
    return np.broadcast_to(stride, of.shape).copy() if stride.ndim else stride


def _move(params: NDArray, direction: NDArray, rate: Any, scale: NDArray | float) -> None:
    """Subtract rate * scale * direction; `direction` is overwritten."""
    direction *= rate
    if np.ndim(scale) or scale != 1.0:
        direction *= scale
    params -= direction


_SIGN_BIT = np.int64(-(2**63))
_TINY = 5e-324  # the smallest float64: 0 / 0 is 0 with it


def _move_by_sign(params: NDArray, direction: NDArray, stride: NDArray, moving: NDArray, still: NDArray) -> None:
    """Subtract stride * sgn(direction), sgn(0) = 0, for stride >= 0; `direction` is overwritten, `moving` (bool) is a buffer.

    `still` tells where the stride is 0, or is empty if it is 0 nowhere: such an entry stays whatever its direction, so that
    zeros there (features that pad a replicate) need no care.

    The sign bit of the direction is joined to the stride by two integer operations: `np.sign` branches on
    every entry, which costs most where signs are fresh, and `np.copysign` takes one entry at a time.
    """
    all_move = np.not_equal(direction, 0.0, out=moving).all()
    if not all_move and still.size:
        all_move = np.logical_or(moving, still, out=moving).all()
    bits = direction.view(np.int64)
    np.bitwise_and(bits, _SIGN_BIT, out=bits)
    np.bitwise_or(bits, stride.view(np.int64), out=bits)
    np.subtract(params, direction, out=params, where=True if all_move else moving)


@dataclass(frozen=True)
class GradientDescent:
    r"""Gradient descent, with `momentum` > 0 the heavy ball (Polyak 1964).

    .. math:: m \leftarrow \beta m + g, \qquad p \leftarrow p - \eta m

    with p the parameters, g the gradient of the loss there, and m = 0 at first. At a constant rate each step is then
    :math:`-\eta g` plus :math:`\beta` times the step before, which is Polyak's form.

    Parameters
    ----------
    lr : float, array or callable
        Learning rate eta > 0; an array runs over replicates, a callable maps the step to either.
    momentum : float, default 0.0
        The factor beta of the velocity m, in [0, 1).

    Raises
    ------
    ValueError
        For a hyper-parameter out of range, naming the allowed one.

    Examples
    --------
    >>> from dynsim import GradientDescent, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> run = simulate(system, GradientDescent(lr=0.1), steps=200)
    >>> heavy = simulate(system, GradientDescent(lr=0.1, momentum=0.9), steps=200)
    >>> [round(float(loss), 4) for loss in (run["train_loss"][0], run["train_loss"][-1], heavy["train_loss"][-1])]
    [0.7139, 0.0107, 0.0002]
    """

    lr: Rate
    momentum: float = 0.0
    kind: ClassVar[Kind] = "linear"
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        _check_lr(self.lr)
        _check_fraction("momentum", self.momentum)

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the state: the velocity m = 0 if there is momentum, else nothing."""
        return {"velocity": np.zeros_like(params)} if self.momentum else {}

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move `params` in place: see `Optimizer.step`."""
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += grad
            np.copyto(grad, velocity)
        _move(params, grad, _rate(self.lr, step, of=params), scale)


@dataclass(frozen=True)
class SignGD:
    r"""Sign gradient descent, with `momentum` > 0 sign momentum (signSGD and Signum of Bernstein et al., arXiv 1802.04434).

    .. math:: m \leftarrow \beta m + (1 - \beta) g, \qquad p \leftarrow p - \eta\,\mathrm{sgn}(m),
              \qquad \mathrm{sgn}(0) = 0

    with p the parameters, g the gradient of the loss there, and m = 0 at first.

    Parameters
    ----------
    lr : float, array or callable
        Learning rate eta > 0; an array runs over replicates, a callable maps the step to either.
    momentum : float, default 0.0
        The factor beta of the running mean m, in [0, 1).

    Raises
    ------
    ValueError
        For a hyper-parameter out of range, naming the allowed one.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim import SignGD, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> run = simulate(system, SignGD(lr=0.01), steps=1)
    >>> print(np.unique(np.abs(run.final - system.start).round(9)))  # lr, or 0 where the gradient is 0
    [0.   0.01]
    """

    lr: Rate
    momentum: float = 0.0
    kind: ClassVar[Kind] = "sign"

    def __post_init__(self) -> None:
        _check_lr(self.lr)
        _check_fraction("momentum", self.momentum)

    @property
    def needs(self) -> Literal["signs", "gradient"]:
        """Signs are enough without momentum; a running mean compares gradients of different steps."""
        return "gradient" if self.momentum else "signs"

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the state: with momentum, the running mean of the gradient, 0 at first."""
        return {"mean": np.zeros_like(params)} if self.momentum else {}

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move `params` in place: see `Optimizer.step`."""
        if "_stride" not in state or callable(self.lr):
            state["_stride"] = _stride(self.lr, step, scale, params)
            state["_moving"] = np.empty(params.shape, dtype=bool)
            still = state["_stride"] == 0.0
            state["_still"] = still if still.any() else np.empty(0, dtype=bool)
        if self.momentum:
            mean = state["mean"]
            mean *= self.momentum
            grad *= 1.0 - self.momentum
            mean += grad
            np.copyto(grad, mean)
        _move_by_sign(params, grad, state["_stride"], state["_moving"], state["_still"])


def _hypot(root: NDArray, other: NDArray) -> None:
    """Replace root >= 0 by sqrt(root^2 + other^2) over the whole range of float64; `other` is overwritten.

    The larger of the two is taken out of the root, so that no square leaves the range. These are ten passes that the
    processor takes several entries at a time: twice to five times as fast as `np.hypot`, which takes them one by one.
    """
    np.abs(other, out=other)
    smaller = np.minimum(root, other)
    np.maximum(root, other, out=root)
    np.divide(smaller, np.maximum(root, _TINY, out=other), out=smaller)
    smaller *= smaller
    smaller += 1.0
    np.sqrt(smaller, out=smaller)
    root *= smaller


def _average_squares(root: NDArray, grad: NDArray, beta: float) -> None:
    """Replace root = sqrt(v) by that of beta v + (1 - beta) grad^2."""
    root *= np.sqrt(beta)
    _hypot(root, np.sqrt(1.0 - beta) * grad)


def _divisor(root: NDArray, eps: float, out: NDArray | None = None) -> NDArray:
    """Return root + eps, in `out` if given; where that is 0, because no gradient was anything else, 1."""
    if eps:
        return np.add(root, eps, out=out)
    return root if root.all() else np.where(root == 0.0, 1.0, root)


@dataclass(frozen=True)
class Adam:
    r"""Adam (Kingma and Ba, arXiv 1412.6980) with bias correction; `eps` = 0 is allowed and makes it exact on lumped systems.

    .. math:: m \leftarrow \beta_1 m + (1-\beta_1) g,\quad v \leftarrow \beta_2 v + (1-\beta_2) g^2,\quad
              p \leftarrow p - \eta\,\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}

    with p the parameters, g the gradient of the loss there, t = 1 at the first update, and m = v = 0 before it.

    The state keeps :math:`\sqrt v`, updated without squares, so that gradients down to 1e-308 (instead of
    1e-154) count. With eps = 0 a coordinate whose gradients were all exactly 0 does not move (0/0 := 0).

    Parameters
    ----------
    lr : float, array or callable
        Learning rate eta > 0; an array runs over replicates, a callable maps the step to either.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay rates of the two moments m and v, in [0, 1).
    eps : float, default 1e-8
        Added to the root of the bias-corrected second moment; >= 0.

    Raises
    ------
    ValueError
        For a hyper-parameter out of range, naming the allowed one.

    Examples
    --------
    >>> from dynsim import Adam, SignGD, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> first, sign = (simulate(system, rule, steps=1).final for rule in (Adam(lr=0.01, eps=0.0), SignGD(lr=0.01)))
    >>> print(abs(first - sign).max() < 1e-15)  # its first step is a sign step
    True
    """

    lr: Rate
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        _check_lr(self.lr)
        _check_fraction("beta1", self.beta1)
        _check_fraction("beta2", self.beta2)
        _check_eps(self.eps)

    @property
    def kind(self) -> Kind:
        """The kind "sign" for eps = 0: a gradient twice as large then makes the same step. Else "coordinatewise"."""
        return "sign" if self.eps == 0 else "coordinatewise"

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the state: first moment and root of the second, both 0."""
        return {"mean": np.zeros_like(params), "root": np.zeros_like(params)}

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move `params` in place: see `Optimizer.step`."""
        mean, root = state["mean"], state["root"]
        _average_squares(root, grad, self.beta2)
        mean *= self.beta1
        grad *= 1.0 - self.beta1
        mean += grad
        # both bias corrections are one number and go into the rate, which saves a pass
        corrected = np.sqrt(1.0 - self.beta2 ** (step + 1))
        np.divide(mean, _divisor(root, self.eps * corrected, grad), out=grad)
        _move(params, grad, _rate(self.lr, step, of=params) * (corrected / (1.0 - self.beta1 ** (step + 1))), scale)


@dataclass(frozen=True)
class RMSprop:
    r"""RMSprop (after a lecture of Tieleman and Hinton, 2012), without momentum, centring or bias correction.

    .. math:: v \leftarrow \alpha v + (1-\alpha) g^2,\quad p \leftarrow p - \eta\,\frac{g}{\sqrt v + \epsilon}

    with p the parameters, g the gradient of the loss there, and v = 0 at first.

    As `Adam` the state keeps :math:`\sqrt v`; with eps = 0 a coordinate whose gradients were all exactly 0 does not move.

    Parameters
    ----------
    lr : float, array or callable
        Learning rate eta > 0; an array runs over replicates, a callable maps the step to either.
    alpha : float, default 0.99
        Decay rate of the second moment v, in [0, 1).
    eps : float, default 1e-8
        Added to the root; >= 0.

    Raises
    ------
    ValueError
        For a hyper-parameter out of range, naming the allowed one.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim import RMSprop, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> run = simulate(system, RMSprop(lr=0.01, eps=0.0), steps=1)
    >>> print(np.unique(np.abs(run.final - system.start).round(9)))  # the first step is lr / sqrt(1 - alpha) long
    [0.  0.1]
    """

    lr: Rate
    alpha: float = 0.99
    eps: float = 1e-8
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        _check_lr(self.lr)
        _check_fraction("alpha", self.alpha)
        _check_eps(self.eps)

    @property
    def kind(self) -> Kind:
        """The kind "sign" for eps = 0: a gradient twice as large then makes the same step. Else "coordinatewise"."""
        return "sign" if self.eps == 0 else "coordinatewise"

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the state: the root of the second moment, 0."""
        return {"root": np.zeros_like(params)}

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move `params` in place: see `Optimizer.step`."""
        root = state["root"]
        _average_squares(root, grad, self.alpha)
        grad /= _divisor(root, self.eps)
        _move(params, grad, _rate(self.lr, step, of=params), scale)


@dataclass(frozen=True)
class ClipNorm:
    r"""Another rule on the gradient g scaled down to a norm: :math:`g \leftarrow g \min(1, c / \|g\|)`, over all parameters of a replicate.

    After Pascanu, Mikolov and Bengio, arXiv 1211.5063. No reduced system is exact for it: the norm is that of the whole gradient.

    Parameters
    ----------
    optimizer : Optimizer
        The rule; not `GradientFlow`, nor SignGD without momentum, which reads signs alone.
    max_norm : float, default 1.0
        The norm c, finite and > 0.

    Raises
    ------
    ValueError
        For a rule that cannot be clipped, or a norm out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim import ClipNorm, GradientDescent, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> run = simulate(system, ClipNorm(GradientDescent(lr=0.1), max_norm=0.01), steps=1)
    >>> print(round(np.linalg.norm(run.final - system.start), 6))  # lr * max_norm: the gradient was larger
    0.001
    """

    optimizer: Any
    max_norm: float = 1.0
    kind: ClassVar[Kind] = "global"
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, ClipNorm) or getattr(self.optimizer, "needs", "signs") == "signs" or self.optimizer.kind == "flow":
            raise ValueError(f"optimizer={self.optimizer!r} cannot be clipped: it must have steps, and read the size of the gradient")
        if not (isinstance(self.max_norm, (int, float)) and 0 < self.max_norm < np.inf):
            raise ValueError(f"max_norm={self.max_norm!r} must be a finite number > 0")

    @property
    def lr(self) -> Rate:
        """Rate of the rule inside."""
        return self.optimizer.lr

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the state of the rule inside."""
        return self.optimizer.init(params, scale)

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move `params` in place: see `Optimizer.step`."""
        norm = np.linalg.norm(grad, axis=-1, keepdims=True)
        grad *= self.max_norm / np.maximum(norm, self.max_norm)
        self.optimizer.step(params, grad, state, step, scale)


METHODS = ("DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA")
"""Solvers of `GradientFlow`, by scipy's names."""


@dataclass(frozen=True)
class GradientFlow:
    r"""Gradient flow, the limit of gradient descent for lr -> 0 in the time t = lr * step, integrated by scipy's solvers.

    .. math:: \dot p = -\nabla L(p)

    with p the parameters and L the loss. The local error of each entry p of a step is kept near rtol |p| + atol, in the mean square
    over all entries.

    Parameters
    ----------
    rtol, atol : float
        Relative and absolute tolerance, > 0 and < 1; rtol at least 1e-13. Default 1e-8 and 1e-12.
    method : {"DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA"}
        Solver, see `scipy.integrate.solve_ivp`. Default "DOP853".

    Raises
    ------
    ValueError
        For a tolerance out of range or an unknown method.

    Examples
    --------
    >>> from dynsim import GradientDescent, GradientFlow, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> flow = simulate(system, GradientFlow(), until=2.0, record=["train_loss"])
    >>> steps = simulate(system, GradientDescent(lr=0.01), steps=200, record=["train_loss"])
    >>> flow.clock, round(float(flow["train_loss"][-1]), 3), round(float(steps["train_loss"][-1]), 3)
    ('time', 0.113, 0.113)
    """

    rtol: float = 1e-8
    atol: float = 1e-12
    method: str = "DOP853"
    kind: ClassVar[Kind] = "flow"
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        for name, low in (("rtol", 1e-13), ("atol", 0.0)):
            value = getattr(self, name)
            number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
            if not number or not low <= value < 1 or value == 0:
                raise ValueError(f"{name}={value!r} must be a number {'in [1e-13, 1)' if low else '> 0 and < 1'} (for example {name}=1e-8)")
        if self.method not in METHODS:
            raise ValueError(unknown_name("method", self.method, METHODS))
