r"""What signal a rule has learned when the loss is small, in the rule's own geometry: l1 for sign rules, l2 for linear ones.

All is derived here (docs/derivations/geometry.md) for disjoint supports, softmax outputs of 1/2 and a value layer that starts at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...naming import unknown_name
from .data import Setting

__all__ = ["cleaner", "fresh_error", "margin_over_spread", "noise_allowed", "ratio_bounds", "value_ratio"]

KINDS = ("sign", "linear")
"""Kinds of rules that the derivation covers: SignGD and Adam with eps = 0, gradient descent (see `dynsim.optimizers.Kind`)."""

RARE = 1e-12
"""Chances below this are left out."""

STRATA = (np.arange(400) + 0.5) / 400
"""Levels at which an average over a distribution is taken: its quantiles at these, with equal weights."""


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(unknown_name("kind of rule", kind, KINDS))


def value_ratio(kind: str, setting: Setting) -> float:
    r"""Return the typical mean value signal over mean value noise, equations (2) and (6).

    .. math:: \frac{\|\mu\|}{\sigma_p s \sqrt{2/\pi}} \ \text{(sign)}, \qquad \frac{n \|\mu\|^2}{\sigma_p^2 s} \ \text{(linear)}

    Parameters
    ----------
    kind : {"sign", "linear"}
    setting : Setting

    Raises
    ------
    ValueError
        For another kind of rule.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> setting = signal_noise.preset("figure3_disjoint")
    >>> round(value_ratio("sign", setting), 4), value_ratio("linear", setting)
    (0.0313, 0.25)
    """
    _check_kind(kind)
    at = setting
    if kind == "sign":
        return float(at.mu_norm / (at.sigma_p * at.s * np.sqrt(2.0 / np.pi)))
    return at.n * at.mu_norm**2 / (at.sigma_p**2 * at.s)


def ratio_bounds(kind: str, norms: Mapping[str, Any]) -> tuple[float, float]:
    r"""Return the least and the largest mean value signal over mean value noise, given the norms of the tokens.

    A sign rule's is one number, equation (2), the l1 norm of the signal over the mean l1 norm of the noise tokens; Adam's with eps = 0 is
    about that, equation (3). A linear rule's, equation (6), lies between n times the squared l2 norm of the signal over the arithmetic
    and over the harmonic mean of those of the noise tokens. Rests on the steps of equations (1) and (4), and on their sum, equation (5).

    Parameters
    ----------
    kind : {"sign", "linear"}
    norms : mapping
        As `Data.norms` returns them: ``mu_l1``, ``mu_l2``, and ``noise_l1``, ``noise_l2`` of shape (n,).

    Raises
    ------
    ValueError
        For another kind of rule.

    Examples
    --------
    >>> norms = {"mu_l1": 1.0, "mu_l2": 1.0, "noise_l1": np.array([1.0, 3.0]), "noise_l2": np.array([1.0, 2.0])}
    >>> ratio_bounds("sign", norms), ratio_bounds("linear", norms)
    ((0.5, 0.5), (0.8, 1.25))
    """
    _check_kind(kind)
    if kind == "sign":
        ratio = float(norms["mu_l1"] / np.mean(norms["noise_l1"]))
        return ratio, ratio
    squares = np.asarray(norms["noise_l2"]) ** 2
    signal = float(norms["mu_l2"]) ** 2
    return signal * len(squares) / float(squares.mean()), signal * float((1.0 / squares).sum())


def _met_law(setting: Setting) -> tuple[NDArray, NDArray]:
    """Return the numbers of trained coordinates that a fresh token may meet, and their chances: the hypergeometric law.

    From the ratios of neighbouring chances: scipy's takes minutes at d = 10^12 and has three digits there.
    """
    trained, untrained, s = setting.n * setting.s, setting.d - 1 - setting.n * setting.s, setting.s
    K = np.arange(max(0, s - untrained), s + 1)
    k = K[:-1].astype(float)
    log = np.concatenate([[0.0], np.cumsum(np.log((s - k) * (trained - k)) - np.log((k + 1.0) * (untrained - s + k + 1.0)))])
    chance = np.exp(log - log.max())
    return K, chance / chance.sum()


def _met(setting: Setting) -> float:
    """Mean number of trained coordinates that a fresh token meets."""
    return setting.n * setting.s**2 / (setting.d - 1)


def margin_over_spread(kind: str, setting: Setting) -> float:
    r"""Return the mean value signal over the standard deviation of a fresh token's value noise, at the mean number K of met coordinates.

    This is equation (7).

    .. math:: \frac{\|\mu\|}{\sigma_p \sqrt K} \ \text{(sign)}, \qquad \frac{n \|\mu\|^2}{\sigma_p^2 \sqrt K} \ \text{(linear)},
              \qquad K = \frac{n s^2}{d - 1}

    Parameters
    ----------
    kind : {"sign", "linear"}
    setting : Setting

    Raises
    ------
    ValueError
        For another kind of rule.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> setting = signal_noise.preset("figure3_disjoint")
    >>> round(margin_over_spread("sign", setting), 2), round(margin_over_spread("linear", setting), 2)
    (0.25, 2.5)
    """
    _check_kind(kind)
    clean = setting.mu_norm / setting.sigma_p
    return float((clean if kind == "sign" else setting.n * clean**2) / np.sqrt(_met(setting)))


def fresh_error(kind: str, setting: Setting) -> float:
    r"""Return the predicted test error, equation (8): the chance that a fresh token's value noise outweighs the mean value signal.

    A fresh support meets K trained coordinates, K hypergeometric. There the value layer has entries of one size (sign) or
    proportional to the training noise (linear), so that, with R^2 a chi-squared number of K degrees of freedom,

    .. math:: \mathbb E\, \Phi\!\left(-\frac{\|\mu\|}{\sigma_p \sqrt K}\right) \ \text{(sign)}, \qquad
              \mathbb E\, \Phi\!\left(-\frac{n \|\mu\|^2}{\sigma_p^2 R}\right) \ \text{(linear)}.

    The second takes all noise tokens as equally well learned.

    Parameters
    ----------
    kind : {"sign", "linear"}
    setting : Setting
        With disjoint supports.

    Raises
    ------
    ValueError
        For another kind of rule, or supports that may overlap.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> setting = signal_noise.preset("figure3_disjoint")
    >>> round(fresh_error("sign", setting), 2), round(fresh_error("linear", setting), 3)
    (0.39, 0.013)
    """
    _check_kind(kind)
    if not setting.disjoint:
        raise ValueError("disjoint=False: the prediction is for disjoint training supports; set disjoint=True")
    from scipy.special import gammaincinv, ndtr  # here: slow to import, and every start of the command line would pay

    K, chance = _met_law(setting)
    counts = (K > 0) & (chance > RARE)  # a token that meets none has margin A > 0
    K, chance = K[counts], chance[counts]
    clean = setting.mu_norm / setting.sigma_p
    if kind == "sign":
        wrong: NDArray = ndtr(-clean / np.sqrt(K))
    else:
        R = np.sqrt(2.0 * gammaincinv(0.5 * K[:, None], STRATA))  # quantiles of the chi-squared law
        wrong = ndtr(-setting.n * clean**2 / R).mean(axis=1)
    return float(chance @ wrong)


def noise_allowed(kind: str, setting: Setting, error: float) -> float:
    """Return the noise level sigma_p at which the predicted test error is `error`, all else as in the setting.

    Parameters
    ----------
    kind : {"sign", "linear"}
    setting : Setting
        With disjoint supports; its own sigma_p does not matter.
    error : float
        In (0, e), e half the chance that a fresh token meets a trained coordinate at all.

    Raises
    ------
    ValueError
        For another kind of rule, supports that may overlap, or an error that no noise level gives.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> setting = signal_noise.preset("figure3_disjoint")
    >>> round(noise_allowed("sign", setting, 0.1), 2), round(noise_allowed("linear", setting, 0.1), 2)
    (0.4, 2.91)
    """
    low, high = 1e-6 * setting.mu_norm, 1e6 * setting.mu_norm
    most = fresh_error(kind, setting.replace(sigma_p=high))
    if not 0.0 < error < most:
        raise ValueError(f"error={error!r} must be in (0, {most:.4g}): no noise level gives another test error here")
    from scipy.optimize import brentq  # here: as above

    found = brentq(lambda x: fresh_error(kind, setting.replace(sigma_p=np.exp(x))) - error, np.log(low), np.log(high), xtol=1e-10)
    return float(np.exp(found))


def cleaner(setting: Setting, error: float) -> float:
    r"""Return how many times less noise a sign rule may have than a linear one, for the same test error.

    About :math:`\sqrt{n t \sqrt K}`, equation (9), where t is the margin over the spread that this error needs (see `margin_over_spread`).

    Parameters
    ----------
    setting : Setting
        With disjoint supports; its own sigma_p does not matter.
    error : float
        Test error, in the range of `noise_allowed`.

    Raises
    ------
    ValueError
        See `noise_allowed`.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> round(cleaner(signal_noise.preset("figure3_disjoint"), 0.1), 1)
    7.3
    """
    return noise_allowed("linear", setting, error) / noise_allowed("sign", setting, error)
