"""Sign descent whose updates have no mean over the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from numpy.typing import NDArray

from ....layout import Layout
from ....optimizers import Kind, Rate, SignGD, State

__all__ = ["ProjectedSign"]


@dataclass(frozen=True)
class ProjectedSign:
    r"""Sign descent on a linear head, projected on the weights and biases whose sum over the classes does not change.

    .. math:: \theta_c \leftarrow \theta_c - \eta\Big(\mathrm{sgn}(m_c) - \frac1C\sum_{c'} \mathrm{sgn}(m_{c'})\Big), \qquad
              \theta_c = (v_c, b_c)

    It takes out of `SignGD` the movement to which the loss is blind, and nothing else: the centred V and b of both rules are the same at
    every step, equation (60). Derived here; the paper has no such rule.

    Parameters
    ----------
    lr : float, array or callable
        Learning rate, as in `SignGD`.
    C, d : int
        Classes and features of the head.
    momentum : float, default 0.0
        beta in [0, 1).

    Raises
    ------
    ValueError
        On construction as `SignGD` does; at the start of a run unless the parameters are C (d + 1) numbers.
    """

    lr: Rate
    C: int
    d: int
    momentum: float = 0.0
    kind: ClassVar[Kind] = "global"
    needs: ClassVar[Literal["signs", "gradient"]] = "gradient"

    def __post_init__(self) -> None:
        SignGD(self.lr, self.momentum)
        for name, low in (("C", 2), ("d", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name}={value!r} must be an integer >= {low}")

    def init(self, params: NDArray, scale: NDArray | float) -> State:
        """Return the state of `SignGD`, for parameters that can be those of a head."""
        if params.shape[-1] != self.C * (self.d + 1):
            raise ValueError(
                f"ProjectedSign(C={self.C}, d={self.d}) moves a linear head of C (d + 1) = {self.C * (self.d + 1)} parameters, "
                f"but this system has {params.shape[-1]}: take the head's own C and d, or SignGD for another system"
            )
        return SignGD(self.lr, self.momentum).init(params, scale)

    def step(self, params: NDArray, grad: NDArray, state: State, step: int, scale: NDArray | float) -> None:
        """Move `params` in place."""
        moved = -params
        SignGD(self.lr, self.momentum).step(params, grad, state, step, scale)
        moved += params
        layout = Layout({"V": (self.C, self.d), "b": (self.C, 1)})
        at, by = layout.views(params), layout.views(moved)
        at.V -= by.V.mean(axis=-2, keepdims=True)
        at.b -= by.b.mean(axis=-2, keepdims=True)
