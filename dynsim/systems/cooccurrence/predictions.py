r"""Numbers of the theory without simulating the model: the parameter-free flow, and the scales that turn its clock into time.

All are derived here (docs/derivations/cooccurrence.md, sections 6 and 7): leading order for wide networks, small initial weights, uniform
attention and random tokens that occur once each. Scores move by :math:`2 U \Phi(\tau)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from ...predicting import Condition, number, predictions_text
from .data import Setting
from .universal import limits, universal

__all__ = ["MARGIN", "PHASE_ONE_BOUNDS", "SIGNALS", "Predictions", "crossing", "expected_rho", "predict", "unit"]

MARGIN = 0.25
"""Margin at which all samples count as correct: Phase 1 ends when the last of them passes it. The paper names no number; chosen here."""

SIGNALS: Mapping[tuple[int, int], int] = {(0, 1): 1, (1, 0): 1, (2, 0): -1, (2, 1): -1}
"""Scores of Theorems 3.2 and 3.3, (key, query), and the signs they move with: targets on each other, the common token on each target."""

FAR = 3e4
"""Clock tau at which late numbers are shown."""


def crossing(x: NDArray, y: NDArray, level: float) -> float:
    """Return the x from which on y stays at or above a level, linearly between points; NaN if it is below at the end.

    >>> crossing(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 2.0]), 1.0)
    1.5
    """
    below = np.flatnonzero(~(y >= level))
    if not len(below):
        return float(x[0])
    i = below[-1]
    if i + 1 == len(x):
        return float("nan")
    return float(x[i] + (x[i + 1] - x[i]) * (level - y[i]) / (y[i + 1] - y[i]))


def expected_rho(setting: Setting) -> float:
    """Return E |W^T a|^2 at the start: m m1 var(w) var(a)."""
    s = setting
    if s.init == "normal":
        return s.m * s.c1**2
    gain = 1.0 / 3.0 if s.init == "kaiming_uniform" else 2.0
    return gain * (gain if s.output == "kaiming" else s.m1)


def unit(setting: Setting) -> float:
    r"""Return :math:`U = \sigma_0^2 \sqrt m / (L \sigma_1^2 m m_1)`, the unit of the scores' displacements: equation (45)."""
    return setting.sigma_0**2 * np.sqrt(setting.m) / (setting.L * setting.sigma_1**2 * setting.m * setting.m1)


PHASE_ONE_BOUNDS: Mapping[str, tuple[str, Callable[[float, float], float]]] = {
    "neuron_products_change": ("1/m", lambda m, L: 1.0 / m),
    "largest_value_change": ("1/m", lambda m, L: 1.0 / m),
    "largest_score_change": ("m^(-3/2) (1/L + m^(-1/2))", lambda m, L: m**-1.5 * (1.0 / L + m**-0.5)),
    "largest_key_change": ("1/m^2", lambda m, L: m**-2.0),
    "largest_query_change": ("1/m^2", lambda m, L: m**-2.0),
    "softmax_change": ("(1/(L m^2)) (1/L + m^(-1/2))", lambda m, L: m**-2.0 * (1.0 / L + m**-0.5) / L),
}
"""Bounds of displacements at T1 without logarithms, by quantity: in words, and of m and L (Theorem E.28; softmax outputs Lemma E.25)."""


@dataclass(frozen=True)
class Predictions:
    """Numbers of the theory for a setting; `str` explains each. Those of the clock are for tau, the integral of rho over time.

    Parameters
    ----------
    rho_0, tau_T05, tau_T1, T1, loss_T1, neuron_rate : float
        The start and Phase 1; rho_0 is an expectation, `neuron_rate` is equation (33), the rest is read off `universal`.
    ratio, sum_common, sum_target, loss_tau : float
        Late, from `limits`: equation (36), and equation (40) where kind 4 is active.
    U, C21, C31 : float
        Scores, by equation (45) with Phi of `universal`; equation (47) is its late form.
    rho_growth, random_share : float
        Late, equations (49) and (42).
    conditions : tuple of Condition
        What the theory asks of the setting, and whether it is met.
    """

    rho_0: float = number("expected squared norm of the head at the start")
    tau_T05: float = number("clock from which on -G3' >= 1.1 max(G1', G2')")
    tau_T1: float = number(f"clock at which all margins are {MARGIN}: the end of Phase 1")
    T1: float = number("the same in time, tau_T1 / rho_0")
    loss_T1: float = number("training loss there")
    neuron_rate: float = number("mean velocity of a_j w_j . W_V[target] at the start, (sigma_0^2 + sigma_1^2) m / 6")
    ratio: float = number("late -G3' / G1'")
    sum_common: float = number("late sum g / (s2 + s3 + s4 - s1)")
    sum_target: float = number("late sum g / (s1 - s2)")
    loss_tau: float = number("late training loss times tau")
    U: float = number("unit of the scores' displacements, sigma_0^2 sqrt(m) / (L sigma_1^2 m m1)")
    C21: float = number(f"displacement of the score of key target 2, query target 1, at tau = {FAR:g}")
    C31: float = number(f"displacement of the score of key common, query target 1, at tau = {FAR:g}")
    rho_growth: float = number(f"rho / rho_0 at tau = {FAR:g}")
    random_share: float = number("late share of |z|^2 on random tokens")
    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return predictions_text(self, "predictions (derived here; leading order for wide networks and small initial weights)")


def conditions(setting: Setting) -> tuple[Condition, ...]:
    """Return the paper's conditions, as read here, for a setting; those on n alone are equations (37), (41) and (42)."""
    s = setting
    share, inactive = s.n / (211.0 * s.L - 474.0), limits(s.n, s.L)["inactive"]
    different = s.vocabulary == 0
    return (
        Condition("m >= 4 m1: the paper's m >> m1", s.m / s.m1, s.m >= 4 * s.m1),
        Condition("m >= 4 L^2: the paper's m >> L^2", s.m / s.L**2, s.m >= 4 * s.L**2),
        Condition("n >= 4 L^2: the paper's n >> L^2", s.n / s.L**2, s.n >= 4 * s.L**2),
        Condition("n / (211 L - 474) >= 1: random tokens carry less than a tenth of the late |z|^2", share, share >= 1),
        Condition("n > 3 (L + 1): the left inequality of Lemma 4.3 survives late", s.n / (3.0 * (s.L + 1)), s.n > 3 * (s.L + 1)),
        Condition("kind 4 becomes inactive, 7 + e2 > (1 + e2)(5 + e1)", inactive, bool(inactive)),
        Condition("all random tokens of the training set are different (Assumption 2.3)", float(different), different),
        Condition("c0 c1 <= 0.1: outputs are small at the start", s.c0 * s.c1, s.init == "normal" and s.c0 * s.c1 <= 0.1),
        Condition("init=normal, output=signs (Condition 1)", float(s.init == "normal"), s.init == "normal" and s.output == "signs"),
    )


def rho_growth(m1: float, rho_0: float, tau: float) -> float:
    r"""Return :math:`\rho / \rho_0` late, from :math:`\rho^2 \approx \rho_0^2 + 34 m_1 \log^2(\tau / 30)`: equation (49)."""
    return float(np.sqrt(1.0 + 34.0 * m1 * max(log(tau / 30.0), 0.0) ** 2 / rho_0**2))


def predict(setting: Setting, *, lr: float | None = None) -> Predictions:
    """Return every number of the theory for a setting without simulating the model.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights; init="normal" for those numbers that have a scale of the weights in them, else NaN.
    lr : float, optional
        Learning rate, > 0, of gradient descent: then T1 is in steps. Default gradient flow, T1 in its time.

    Raises
    ------
    ValueError
        If lr is not finite and > 0.

    Examples
    --------
    >>> from dynsim.systems import cooccurrence
    >>> theory = predict(cooccurrence.preset("theory"))
    >>> round(theory.tau_T1, 1), round(theory.ratio, 4)
    (22.1, 1.4745)
    """
    if lr is not None and not (np.isfinite(lr) and lr > 0):
        raise ValueError(f"lr={lr!r} must be finite and > 0")
    s = setting
    run, late, rho_0 = universal(float(s.n), s.L, FAR), limits(s.n, s.L), expected_rho(s)
    tau_T1 = crossing(run.at, run["min_margin"], MARGIN)
    G_rate = run["G_rate"]
    normal = s.init == "normal"
    U = unit(s) if normal else np.nan
    common = crossing(run.at, -G_rate[:, 2] - 1.1 * G_rate[:, :2].max(axis=1), 0.0)
    return Predictions(
        rho_0=rho_0, tau_T05=common, tau_T1=tau_T1, T1=tau_T1 / rho_0 / (1.0 if lr is None else lr),
        loss_T1=float(np.interp(tau_T1, run.at, run["train_loss"])),
        neuron_rate=(s.sigma_0**2 + s.sigma_1**2) * s.m / 6.0 if normal else np.nan, ratio=late["-G3'/G1'"],
        sum_common=late["sum g/(s2+s3+s4-s1)"], sum_target=late["sum g/(s1-s2)"], loss_tau=1.0 / late["1/(loss tau)"], U=U,
        C21=2.0 * U * run["Phi"][-1, 1, 0], C31=2.0 * U * run["Phi"][-1, 2, 0],
        rho_growth=rho_growth(s.m1 if normal else np.nan, rho_0, FAR), random_share=late["random"], conditions=conditions(s),
    )
