"""Settings of the room where all constants are known: quadratics in blocks, and logistic regression in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....settings import check_choice, check_number, check_whole
from ..settings import Setting

__all__ = ["Logistic", "Quadratic"]


@dataclass(frozen=True)
class Quadratic(Setting):
    r"""A quadratic :math:`L = \frac12 \theta^T H \theta` whose Hessian has B diagonal blocks of spectral norm h_b.

    The start is drawn in the eigenbasis of H as :math:`\theta = c_b z` with standard normal z and a scale c_b for each block;
    a rotation turns Hessian and start together, so that the loss of gradient descent does not change.

    Parameters
    ----------
    task : {"quadratic"}
    blocks : int
        B >= 1.
    size, size_max : int
        Parameters of the first and the last block, evenly spaced between; >= 1. `size_max` = 0 means `size`.
    curvature : {"even", "lognormal"}
        How h_b varies over blocks: evenly spaced logarithms in :math:`[k^{-1/2}, k^{1/2}]`, or log h_b normal with deviation `h_sd`.
    k : float
        Largest over smallest h_b if "even"; >= 1.
    h_sd : float
        Standard deviation of log h_b if "lognormal"; >= 0.
    inner : float
        Condition number within a block, >= 1: its eigenvalues are evenly spaced in logarithm from h_b down to h_b / inner.
    initial : {"equal_loss", "equal_distance", "equal_curvature"}
        c_b = h_b^{-1/2}, so that all blocks have the same loss and h_b goes with the square of the block's gradient;
        c_b = 1, so that h_b goes with the gradient; or all h_b replaced by 1 with the gradients of "equal_loss", c_b = h_b^{1/2}.
    rotated : {"no", "blocks", "all"}
        Axes: those of the parameters; turned within each block; turned all together, which leaves no blocks. Haar rotations.
    noise : float
        Standard deviation of the Gaussian noise added to each gradient entry, >= 0; times h_b^{1/2} if `noise_kind` is "hessian".
    noise_kind : {"even", "hessian"}

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("quadratic",)

    task: str = "quadratic"
    blocks: int = 16
    size: int = 8
    size_max: int = 0
    curvature: str = "even"
    k: float = 1000.0
    h_sd: float = 1.0
    inner: float = 1.0
    initial: str = "equal_loss"
    rotated: str = "no"
    noise: float = 0.0
    noise_kind: str = "even"

    def __post_init__(self) -> None:
        self._check_task()
        for name, low in (("blocks", 1), ("size", 1), ("size_max", 0)):
            check_whole(self, name, low)
        for name, least in (("k", 1.0), ("h_sd", 0.0), ("inner", 1.0), ("noise", 0.0)):
            check_number(self, name, low=least)
        check_choice(self, "curvature", ("even", "lognormal"))
        check_choice(self, "initial", ("equal_loss", "equal_distance", "equal_curvature"))
        check_choice(self, "rotated", ("no", "blocks", "all"))
        check_choice(self, "noise_kind", ("even", "hessian"))
        if self.initial == "equal_curvature" and self.inner > 1:
            raise ValueError(f"inner={self.inner:g} must be 1 with initial='equal_curvature', whose Hessian is the identity")


@dataclass(frozen=True)
class Logistic(Setting):
    r"""Logistic regression, :math:`L = \frac1n \sum_i \log(1 + e^{-y_i x_i^T \theta})`, whose features come in blocks of different scale.

    The features are whitened exactly and then the b-th block is multiplied by :math:`e^{s c_b}`, c_b evenly spaced in [-1, 1], so that
    :math:`\frac1n X^T X` is diagonal. Labels are drawn from a logistic model that does not know the scales.

    Parameters
    ----------
    task : {"logistic"}
    blocks, size : int
        Blocks and features of each; >= 1.
    samples : int
        Number n of samples, > blocks * size.
    scale : float
        Exponent s of the features' scales, >= 0. The block norms at the start spread by e^{4s}, see equation (27).
    teacher : float
        Norm of the labels' weights on whitened features, >= 0: large values make the data separable, which has no minimum.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("logistic",)

    task: str = "logistic"
    blocks: int = 6
    size: int = 4
    samples: int = 3000
    scale: float = 1.0
    teacher: float = 2.0

    def __post_init__(self) -> None:
        self._check_task()
        for name in ("blocks", "size", "samples"):
            check_whole(self, name, 1)
        for name in ("scale", "teacher"):
            check_number(self, name, positive=False)
        if self.samples <= self.blocks * self.size:
            raise ValueError(f"samples={self.samples} must be more than blocks * size = {self.blocks * self.size} to be whitened")
