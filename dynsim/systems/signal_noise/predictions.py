r"""Closed-form numbers of the theory, without simulating.

All are derived here (docs/derivations/signal_noise.md, section 4) for SignGD on disjoint supports, with
:math:`a_i = |\xi_i|_1` the l1 norm of a noise token. Times are in steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...predicting import Condition, number, predictions_text
from .data import Setting

__all__ = [
    "Condition", "Predictions", "attention_time", "key_turn", "logit_slope", "loss_bounds", "minority", "predict", "regime",
    "stage_one_end", "value_lines",
]

EPS = 0.01
"""Training loss at which T is read."""
LEVELS = (0.3, 0.1, 0.03, 0.01)
"""Training losses at which the bounds of T are checked."""
SMALL = 0.1
"""What counts as a small softmax output."""


def key_turn(a: NDArray | float, mu: NDArray | float, m_k: int, lr: float) -> Any:
    r"""Step at which key noise against its row's majority turns, equation (32).

    .. math:: T_{key} = \sqrt{\log(4 a/\|\mu\|)\,/\,m_k}\;/\;(\eta a)

    The balance of equation (31), with the sizes of equation (29) in it. NaN where 4 a <= |mu|: the two forces are never equal.
    """
    ratio = np.log(4.0 * np.asarray(a, dtype=float) / mu)
    return np.sqrt(np.where(ratio > 0, ratio, np.nan) / m_k) / (lr * np.asarray(a, dtype=float))


def minority(n: int) -> float:
    """Expected fraction of samples whose key noise opposes the majority of its row, E min(k, n - k) / n, k ~ Bin(n, 1/2): equation (35).

    >>> round(minority(1), 3), round(minority(3), 3)
    (0.0, 0.25)
    """
    nu = n // 2 + 1
    return 0.5 - nu * comb(n, nu) / 2**n / n  # De Moivre: E |k - n/2| = nu C(n, nu) / 2^n


def attention_time(a: float, mu: float, m_k: int, n: int, lr: float, level: float = SMALL) -> float:
    r"""First step at which the mean softmax output of the signal on itself falls below `level`: equation (36) with rho = 1.

    .. math:: T_{attn} = f T_{key} + \sqrt{(f T_{key})^2 + \mathrm{logit}(1 - \ell)\,/\,(m_k \|\mu\| a \eta^2)}

    with f the `minority` fraction and l the level; log 9 for l = 0.1. There the logit of equation (34), less its last term, passes that
    of the level.
    """
    shift = minority(n) * float(key_turn(a, mu, m_k, lr))
    return float(shift + np.hypot(shift, np.sqrt(np.log(1.0 / level - 1.0) / (m_k * mu * a)) / lr))


def stage_one_end(A: float, B: NDArray, a: NDArray, mu: float, lr: float) -> float:
    r"""First step with B_i > A for all samples, from the initial values, equation (23); infinite where |mu| >= a_i and B_i <= A.

    .. math:: \max_{i:\,A(0) \ge B_i(0)}\;\lfloor (A(0) - B_i(0)) / (2 \eta (a_i - \|\mu\|)) \rfloor + 1
    """
    gap, speed = A - np.asarray(B), 2.0 * lr * (np.asarray(a) - mu)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(gap < 0, 0.0, np.where(speed > 0, np.floor(gap / speed) + 1.0, np.inf))
    return float(np.max(steps))


def value_lines(A: float, B: NDArray, a: NDArray, mu: float, lr: float, elapsed: NDArray) -> tuple[NDArray, NDArray]:
    """Mean value signal (T,) and noise (T, n) as straight lines from their values at the first of the steps `elapsed`: equation (18)."""
    return A + 2.0 * lr * mu * elapsed, B + 2.0 * lr * np.multiply.outer(elapsed, a)


def logit_slope(a: NDArray | float, m_k: int, lr: float) -> Any:
    """Slope of the logit of s_21 against t^2 before the key turn, -m_k (lr a)^2: equation (30), from the sizes of equation (29)."""
    return -m_k * (lr * np.asarray(a)) ** 2


def loss_bounds(A: NDArray, B: NDArray) -> tuple[NDArray, NDArray]:
    """Lower and upper bound of the training loss from mean value signal (T,) and noise (T, n), equation (37).

    The margin is at most 2 max(A, B_i), and at least A + B_i where s_11 + s_21 <= 1 and B_i >= A.
    """
    low = np.logaddexp(0.0, -2.0 * np.maximum(A[:, None], B)).mean(1)
    return low, np.logaddexp(0.0, -(A[:, None] + B)).mean(1)


def regime(kappa: float, T_key: float, T_attn: float, sigma_0: float, lr: float) -> dict[str, Condition]:
    """Regime of validity: initial noise small against the clock, but many steps of it.

    That kappa must be large rests on equation (27): a share 0.28 / kappa of the pairs swaps signs instead of aligning.
    """
    residue = sigma_0 / (lr * T_attn) if T_attn > 0 else np.nan
    return {
        "kappa_2": Condition("kappa >= 2: initial noise is at least two steps (key turn)", kappa, bool(kappa >= 2)),
        "kappa_10": Condition("kappa >= 10: initial noise is many steps (Stages II and IV)", kappa, bool(kappa >= 10)),
        "kappa_small": Condition("T_key / kappa >= 5: noise leaves its start well before the key turn", T_key / kappa if kappa else np.inf,
                                 bool(T_key >= 5 * kappa)),
        "scaling": Condition("sigma_0 / (lr T_attn) <= 0.02: start forgotten at T_attn (its constant and exponents)", residue,
                             bool(residue <= 0.02)),
        "steps": Condition("T_key >= 5 steps: the clock is resolved", T_key, bool(T_key >= 5)),
    }


@dataclass(frozen=True)
class Predictions:
    """Closed-form numbers for a setting and a learning rate; times in steps. `str` explains each.

    Parameters
    ----------
    lr, snr, a, kappa, shared : float
        Of the setting: learning rate, signal-to-noise ratio, typical norm, initial noise in steps, shared coordinates.
    T_stage_one : float
        Typical end of Stage I, equation (23) with the Gaussians of equation (17); infinite where a <= mu_norm.
    T_key, T_query, T_agree : float
        `key_turn` at the typical norm, twice and four times that: of equation (33) the leading order. NaN where 4 a <= mu_norm.
    T_attn : float
        `attention_time` at the typical norm.
    T_loss_low, T_loss_high : float
        When the bounds of `loss_bounds` reach the loss, far from the start.
    conditions : tuple of Condition
        What the theory asks of the setting, and whether it is met.
    """

    lr: float = number("learning rate eta")
    snr: float = number("signal-to-noise ratio |mu| / (sigma_p sqrt(s))")
    a: float = number("typical l1 norm of a noise token, sigma_p s sqrt(2/pi)")
    kappa: float = number("initial noise counted in steps, sigma_0 sigma_p sqrt(s) / (lr a)")
    shared: float = number("expected number of coordinates in two or more supports")
    T_stage_one: float = number("typical end of Stage I: the largest of n Gaussian gaps over its closing speed")
    T_key: float = number("key noise against its row's majority turns")
    T_query: float = number("query noise turns, 2 T_key")
    T_agree: float = number("a typical turned query noise is back at zero, 4 T_key")
    T_attn: float = number(f"mean softmax output of the signal on itself falls below {SMALL}")
    T_loss_low: float = number(f"training loss falls below {EPS} no earlier")
    T_loss_high: float = number(f"training loss falls below {EPS} no later")
    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return predictions_text(self, "predictions (derived here; times in steps)")


def predict(setting: Setting, *, lr: float) -> Predictions:
    r"""Return every closed-form number of a setting under SignGD without simulating.

    Parameters
    ----------
    setting : Setting
        The law of data and weights; nothing is drawn from it.
    lr : float
        Learning rate eta > 0.

    Raises
    ------
    ValueError
        If lr is not finite and > 0.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> theory = predict(signal_noise.preset("figure3"), lr=5e-5)
    >>> round(theory.T_key), round(theory.T_query)
    (138, 276)
    """
    if not (np.isfinite(lr) and lr > 0):
        raise ValueError(f"lr={lr!r} must be finite and > 0")
    s, mu = setting, setting.mu_norm
    a = s.sigma_p * s.s * np.sqrt(2.0 / np.pi)
    noise = s.sigma_0 * s.sigma_p * np.sqrt(s.s)
    kappa = noise / (lr * a)
    T_key = float(key_turn(a, mu, s.m_k, lr))
    T_attn = attention_time(a, mu, s.m_k, s.n, lr)
    gap = np.sqrt(2.0 / s.m_v) * s.sigma_0 * np.hypot(mu, s.sigma_p * np.sqrt(s.s))
    largest = gap * np.sqrt(2.0 * np.log(max(s.n, 2)))
    p = s.s / (s.d - 1)
    none, one = (1 - p) ** s.n, s.n * p * (1 - p) ** (s.n - 1)
    log_eps = -np.log(np.expm1(EPS))
    width = s.s * s.n**2 / np.sqrt(s.d)
    conditions = (
        *regime(kappa, T_key, T_attn, s.sigma_0, lr).values(),
        Condition("supports pairwise disjoint (else equalities become two-sided bounds); expected shared coordinates", 
                  0.0 if s.disjoint else (s.d - 1) * (1 - none - one), s.disjoint),
        Condition("|mu| < a: value noise overtakes value signal (Stage I ends)", mu / a, bool(mu < a)),
        Condition("s n^2 / sqrt(d) of order 1 (the paper's s = Theta(sqrt(d)/n^2)); read here as within [0.1, 10]", width,
                  bool(0.1 <= width <= 10)),
    )
    return Predictions(
        lr=float(lr), snr=mu / (s.sigma_p * np.sqrt(s.s)), a=a, kappa=kappa, shared=conditions[5].value,
        T_stage_one=float(largest / (2 * lr * (a - mu))) if a > mu else np.inf,
        T_key=T_key, T_query=2 * T_key, T_agree=4 * T_key, T_attn=T_attn,
        T_loss_low=log_eps / (4 * lr * max(a, mu)), T_loss_high=log_eps / (2 * lr * (a + mu)), conditions=conditions,
    )
