"""Stage IV: fast decay of the noise-signal softmax, the two turns, the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....claims import Claim, Inconclusive, Measured, Source
from ..predictions import SMALL, key_turn, logit_slope
from ..reading import Reading, reading
from .assumptions import DISJOINT, KAPPA_2, KAPPA_10, KAPPA_SMALL, NOISY, RESOLVED, SCALING, SIGNGD, broken

__all__ = ["CLAIMS"]

PAGE = "docs/derivations/signal_noise.md, section 4"
NOISE = ("query_noise", "key_noise")
SIGNALS = (*NOISE, "query_signal", "key_signal")
VALUE = ("mean_value_signal", "mean_value_noise")
SOFTMAX = ("softmax_11", "softmax_21")
LATE = (SIGNGD, NOISY, KAPPA_10, KAPPA_SMALL, RESOLVED)


def _relative(value: float, predicted: float, tolerance: float, where: str, unit: str = "steps") -> Measured:
    return Measured(value, predicted, abs(value / predicted - 1.0), tolerance, where, unit)


def _key_turn(evidence: Any) -> Measured:
    r = reading(evidence)
    return _relative(r.turn("key_noise"), r.T_key, 0.10, f"median of {len(r.turns('key_noise'))} pairs against their row")


def _query_turn(evidence: Any) -> Measured:
    """Compare the ratio of the two turns with 2, the leading order of equation (33)."""
    r = reading(evidence)
    return _relative(r.turn("query_noise") / r.turn("key_noise"), 2.0, 0.08, "ratio of the medians", "")


def _fit(r: Reading, i: int) -> tuple[float, float]:
    """Slope and R^2 of the logit of s_21 of sample i against t^2, on [0.1, 1] T_key."""
    T = float(key_turn(r.a[i], r.mu, r.m_k, r.lr))
    window = np.flatnonzero((r.at >= 0.1 * T) & (r.at <= T))
    if len(window) < 5 or r.at[-1] < T:
        raise Inconclusive(f"fewer than 5 recorded steps in [0.1, 1] T_key = [{0.1 * T:.0f}, {T:.0f}]")
    # the logit itself, equation (6): the recorded s_21 has lost its digits long before it underflows
    th, a = r["query_noise"][window, :, i], r["key_signal"][window] - r["key_noise"][window, :, i]
    z, x = (th * a).sum(1), r.at[window].astype(float) ** 2
    if not z.any():
        raise Inconclusive("the logit of s_21 stays at 0")
    slope, offset = np.polyfit(x, z, 1)
    residual = z - (slope * x + offset)
    return float(slope), float(1.0 - residual.var() / z.var())


def _fits(r: Reading) -> tuple[np.ndarray, np.ndarray]:
    slopes, R2 = np.array([_fit(r, i) for i in range(r.n)]).T
    return slopes, R2


def _logit_slope(evidence: Any) -> Measured:
    r = reading(evidence)
    slope, _ = _fits(r)
    ratio = float(np.median(slope / logit_slope(r.a, r.m_k, r.lr)))
    return Measured(ratio, 1.0, abs(ratio - 1.0), 0.12, "median over samples, steps in [0.1, 1] T_key", "of -m_k (lr a_i)^2")


def _logit_straight(evidence: Any) -> Measured:
    r = reading(evidence)
    R2 = float(np.median(_fits(r)[1]))
    return Measured(R2, 1.0, 1.0 - R2, 1e-3, "median over samples, steps in [0.1, 1] T_key")


def _s11_near_half(evidence: Any) -> Measured:
    r = reading(evidence)
    t = r.row(r.turn("key_noise"))
    s = float(r["softmax_11"][t].mean())
    return Measured(s, 0.5, 0.5 - s, 0.05, f"step {r.at[t]}, the key turn")


def _s21_small(evidence: Any) -> Measured:
    r = reading(evidence)
    t = r.row(r.T_key)
    s = float(r["softmax_21"][t].mean())
    return Measured(s, 0.0, s, SMALL, f"step {r.at[t]} = T_key")


def _key_agrees(evidence: Any) -> Measured:
    return _agree(reading(evidence), "key_noise", 4.0)


def _query_agrees(evidence: Any) -> Measured:
    return _agree(reading(evidence), "query_noise", 6.0)


def _agree(r: Reading, name: str, by: float) -> Measured:
    """All pairs agree with their row's query signal by some multiple of T_key."""
    t = r.row(by * r.T_key)
    fraction = float(r.agree(name)[t])
    return Measured(fraction, 1.0, 1.0 - fraction, 0.02, f"step {r.at[t]} = {by:g} T_key", "of the pairs")


def _end(evidence: Any) -> Measured:
    r = reading(evidence)
    due = max(8.0 * r.T_key, 1.2 * r.T_attn)
    if r.T_four is not None and r.T_four <= due:
        return Measured(r.T_four, due, r.T_four / due, 1.0, "first step at which all of it holds, against the time allowed", "steps")
    t = r.row(due)
    both = min(float(r.agree(name)[t]) for name in NOISE)
    largest = max(float(r[name][t].mean()) for name in SOFTMAX)
    deviation = max((1.0 - both) / 0.01, largest / SMALL)
    return Measured(both, 1.0, deviation, 1.0, f"step {r.at[t]}; larger mean softmax output {largest:.3g}", "of the pairs agree")


def _attention_time(evidence: Any) -> Measured:
    r = reading(evidence)
    if r.T_small is None:
        raise Inconclusive(f"mean s_11 stays above {SMALL} within the horizon of {r.at[-1]} steps; T_attn is predicted at {r.T_attn:.0f}")
    return _relative(r.resolved(r.T_small, 0.01), r.T_attn, 0.03, f"first step with mean s_11 < {SMALL}")


CLAIMS = (
    Claim(
        "lemma_4_5_logit_slope", "the logit of the noise-signal softmax output falls as -m_k (lr a_i t)^2 until T_key", _logit_slope,
        Source("paper", "Lemma 4.5 (title: fast decay); rate derived here"), r"\mathrm{logit}\,s_{21,i}(t) \approx -m_k(\eta a_i t)^2",
        {"run": ("query_noise", "key_noise", "key_signal")}, LATE, broken(query_noise=lambda r: 1.3 * r["query_noise"]),
    ),
    Claim(
        "logit_straight_in_t2", "that logit is a straight line in t^2 (R^2 at least 0.999)", _logit_straight, Source("derived", PAGE),
        r"R^2 \ge 0.999", {"run": ("query_noise", "key_noise", "key_signal")}, LATE,
        broken(query_noise=lambda r: r["query_noise"] * (r.at / r.T_key)[:, None, None] ** 2),
    ),
    Claim(
        "lemma_4_5_s21_small", "the noise-signal softmax output is small at T_key", _s21_small,
        Source("paper", "Lemma 4.5 (title); level 0.1 chosen here"), r"s_{21}(T_{key}) < 0.1", {"run": ("softmax_21",)},
        (SIGNGD, NOISY, KAPPA_2, RESOLVED), broken(softmax_21=lambda r: 1.0 - r["softmax_21"]),
    ),
    Claim(
        "lemma_4_5_s11_near_half", "when key noise turns, the signal-signal softmax output is still near 1/2: above 0.45 on average",
        _s11_near_half, Source("paper", "Lemma 4.5 (title) and caption of Fig. 3; level derived here"), r"s_{11} > 0.45",
        {"run": (*SIGNALS, *VALUE, *SOFTMAX)}, LATE, broken(softmax_11=lambda r: 0.9 * r["softmax_11"]),
    ),
    Claim(
        "lemma_4_6_key_turn", "key noise against its row's query signal turns at T_key (median within 10 %)", _key_turn,
        Source("paper", "Lemma 4.6 (title); time derived here"), r"T_{key,i} = \sqrt{\log(4a_i/\|\mu\|)/m_k}\,/\,(\eta a_i)",
        {"run": (*SIGNALS, *VALUE)}, (SIGNGD, NOISY, KAPPA_2, KAPPA_SMALL, RESOLVED),
        broken(key_noise=lambda r: r["key_noise"][np.minimum(np.arange(len(r.at)) * 2, len(r.at) - 1)]),
    ),
    Claim(
        "lemma_4_6_key_agrees", "after its turn key noise comes to agree in sign with its row's query signal (98 % of pairs by 4 T_key)",
        _key_agrees, Source("paper", "Lemma 4.6 (title); agreement afterwards, time and level are the reading here"),
        r"\mathrm{sgn}\,\kappa_{ri} = \mathrm{sgn}\,q_r",
        {"run": ("key_noise", "query_signal")}, (SIGNGD, NOISY, KAPPA_2, KAPPA_SMALL, RESOLVED, DISJOINT),
        broken(key_noise=lambda r: r["key_noise"] * np.where(np.arange(r.m_k) % 4 == 0, -1, 1)[:, None]),
    ),
    Claim(
        "lemma_4_7_query_turn", "query noise against its row's query signal turns twice as late as key noise", _query_turn,
        Source("paper", "Lemma 4.7 (title); factor derived here"), r"T_{query} = 2\,T_{key}", {"run": (*SIGNALS, *VALUE)}, LATE,
        broken(query_noise=lambda r: r["query_noise"][np.minimum(np.arange(len(r.at)) * 2, len(r.at) - 1)]),
    ),
    Claim(
        "lemma_4_7_query_agrees",
        "after its turn query noise comes to agree in sign with its row's query signal (98 % of pairs by 6 T_key)",
        _query_agrees, Source("paper", "Lemma 4.7 (title); agreement afterwards, time and level are the reading here"),
        r"\mathrm{sgn}\,\theta_{ri} = \mathrm{sgn}\,q_r",
        {"run": ("query_noise", "query_signal")}, (SIGNGD, NOISY, KAPPA_2, KAPPA_SMALL, RESOLVED, DISJOINT),
        broken(query_noise=lambda r: r["query_noise"] * np.where(np.arange(r.m_k) % 4 == 0, -1, 1)[:, None]),
    ),
    Claim(
        "lemma_4_8_end",
        "at the end of Stage IV 99 % of all noise agrees with its row's query signal and both softmax outputs are below 0.1 on average",
        _end, Source("paper", "Lemma 4.8 (title); content, levels and time (max of 8 T_key, 1.2 T_attn) are the reading here"),
        r"\mathrm{sgn}\,\theta = \mathrm{sgn}\,\kappa = \mathrm{sgn}\,q,\ s_{11}, s_{21} < 0.1",
        {"run": (*SIGNALS, *VALUE, *SOFTMAX)}, (SIGNGD, NOISY, KAPPA_2, KAPPA_SMALL, RESOLVED),
        broken(softmax_11=lambda r: np.sqrt(np.maximum(r["softmax_11"], 0.04)), query_noise=lambda r: -r["query_noise"]),
    ),
    Claim(
        "attention_time", "the mean softmax output of the signal on itself falls below 0.1 at T_attn, constant included (within 3 %)",
        _attention_time, Source("derived", PAGE), r"T_{attn} = fT_{key} + \sqrt{(fT_{key})^2 + \log 9/(m_k\|\mu\|a\eta^2)}",
        {"run": ("softmax_11", *NOISE)}, (SIGNGD, NOISY, KAPPA_2, SCALING, RESOLVED), broken(softmax_11=lambda r: r["softmax_11"] * 0.8),
    ),
)
