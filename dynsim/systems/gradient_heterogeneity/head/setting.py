"""The setting of the linear head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....settings import check_choice, check_number, check_whole
from ..settings import Setting

__all__ = ["BATCHES", "Head"]

BATCHES = ("iid", "shuffled")
"""How mini-batches are drawn."""


@dataclass(frozen=True)
class Head(Setting):
    r"""A linear head :math:`z = V h + b` with softmax cross-entropy on fixed features, as many samples of each class.

    The features are :math:`h_i = \mu + m_{y_i} + \xi_i`: a mean that all classes share, a mean of each class, and noise. They stand in for
    those of a pre-trained network; their law and all sizes are ours, not the paper's.

    Parameters
    ----------
    task : {"head"}
    C : int
        Classes, >= 2.
    d : int
        Dimension of the features, >= 1.
    samples : int
        Training samples of each class, >= 1.
    common : float
        Size of every coordinate of the shared mean mu, whose signs are random, >= 0.
    spread, noise : float
        Standard deviations of the coordinates of the class means m_c and of the noise xi, >= 0.
    label_noise : float
        Share in [0, 1) of the samples whose labels are shuffled among themselves, so that classes stay equally frequent; about one in C
        of them keeps its label.
    batch : int
        Samples of a step, 0 for all.
    batches : {"iid", "shuffled"}
        "iid": every step draws its samples uniformly with replacement; "shuffled": an epoch takes each at most once, in its own order.
    init : float
        Standard deviation of the initial entries of V, >= 0; b starts at 0.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.

    Examples
    --------
    >>> Head(C=300).replace(batch=0).batch
    0
    """

    TASKS: ClassVar[tuple[str, ...]] = ("head",)

    task: str = "head"
    C: int = 100
    d: int = 64
    samples: int = 20
    common: float = 1.0
    spread: float = 1.0
    noise: float = 1.0
    label_noise: float = 0.0
    batch: int = 32
    batches: str = "iid"
    init: float = 0.01

    def __post_init__(self) -> None:
        self._check_task()
        for name, low in (("C", 2), ("d", 1), ("samples", 1), ("batch", 0)):
            check_whole(self, name, low)
        for name in ("common", "spread", "noise", "label_noise", "init"):
            check_number(self, name, positive=False)
        check_choice(self, "batches", BATCHES)
        if self.label_noise >= 1:
            raise ValueError(f"label_noise={self.label_noise:g} must be in [0, 1)")
        if self.batches == "shuffled" and self.batch > self.C * self.samples:
            raise ValueError(
                f"batch={self.batch} must be at most C * samples = {self.C * self.samples} with batches='shuffled': lower it, or 0 for all"
            )
