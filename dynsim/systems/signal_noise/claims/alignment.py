"""Stages II and III: sign alignment of query and key noise, majority vote of the signals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ..reading import Reading, reading
from .assumptions import APART, KAPPA_10, KAPPA_SMALL, NOISY, SIGNGD, broken

__all__ = ["CLAIMS"]

PAGE = "docs/derivations/signal_noise.md, section 4"
NOISE = ("query_noise", "key_noise")
PAIRS = {"run": NOISE}
SIGNALS = {"run": (*NOISE, "query_signal", "key_signal")}
STAGES = {"run": (*NOISE, "mean_value_signal", "mean_value_noise")}
EARLY = (SIGNGD, NOISY, KAPPA_10, KAPPA_SMALL)


def _end_of_alignment(r: Reading) -> int:
    """Row of the recorded step nearest to 0.8 T_key, by when alignment is predicted to be complete."""
    return r.row(0.8 * r.T_key)


def _fraction(value: float, least: float, where: str) -> Measured:
    """A fraction that must be at least `least`: deviation is the missing part, tolerance 1 - least."""
    return Measured(value, least, 1.0 - value, 1.0 - least, where)


def _sign_rule(r: Reading, th: NDArray, ka: NDArray) -> float:
    aligned = np.sign(r["key_noise"][_end_of_alignment(r)])
    return float((np.where(np.abs(th) > np.abs(ka), np.sign(th), np.sign(ka)) == aligned).mean())


def _larger_decides(evidence: Any) -> Measured:
    r = reading(evidence)
    return _fraction(_sign_rule(r, r.initial("query_noise"), r.initial("key_noise")), 0.93, f"step {r.at[_end_of_alignment(r)]}")


def _larger_decides_refined(evidence: Any) -> Measured:
    """Measure how often the larger of |x| and |y| of equation (24) decides the sign, as it must by equation (25)."""
    r = reading(evidence)
    th = r.initial("query_noise") + r.initial("query_signal")[:, None]
    ka = r.initial("key_noise") - r.initial("key_signal")[:, None]
    return _fraction(_sign_rule(r, th, ka), 0.96, f"step {r.at[_end_of_alignment(r)]}")


def _aligned_in_time(evidence: Any) -> Measured:
    r = reading(evidence)
    t = r.row(float(r.flips.max()))
    return _fraction(float(r.aligned[t]), 0.97, f"step {r.at[t]}, the last predicted flip")


def _alignment_complete(evidence: Any) -> Measured:
    r = reading(evidence)
    t = _end_of_alignment(r)
    best = float(r.aligned[: t + 1].max())
    return Measured(best, 1.0, 1.0 - best, 0.5 / r["key_noise"][0].size, f"best until step {r.at[t]} = 0.8 T_key")


def _need_stage_two(r: Reading) -> int:
    if r.T_two is None:
        raise Inconclusive("Stage II does not end within the horizon")
    return r.row(r.resolved(r.T_two, 0.1))


def _half_positive(evidence: Any) -> Measured:
    r = reading(evidence)
    t = _need_stage_two(r)
    pairs = r["key_noise"][t].size
    if pairs < 50:
        raise Inconclusive(f"{pairs} pairs are too few to tell a fraction from one half")
    positive = float((r["key_noise"][t] > 0).mean())
    spread = 1.5 / np.sqrt(pairs)  # three standard deviations of as many fair coins
    return Measured(positive, 0.5, abs(positive - 0.5), max(0.1, spread), f"step {r.at[t]}, the end of Stage II", "of the pairs")


def _left_initial_scale(evidence: Any) -> Measured:
    r = reading(evidence)
    t = _need_stage_two(r)
    if not r.initial_noise:
        raise Inconclusive("the initial noise is 0: there is no scale to leave")
    growth = float(np.sqrt((r["key_noise"][t] ** 2).mean()) / r.initial_noise)
    return Measured(growth, 2.0, 1.0 / growth, 0.5, f"step {r.at[t]}, the end of Stage II", "times its initial root mean square")


def _weighted_vote(evidence: Any) -> Measured:
    """Measure how often an increment of the query signal is not that of equation (28)."""
    r = reading(evidence)
    rows = r.step_where("query_signal")
    moved, vote = np.sign(np.diff(r["query_signal"], axis=0)[rows]), r.vote[rows]
    wrong = moved != vote
    t, k = np.unravel_index(np.argmax(wrong), wrong.shape)
    where = f"step {r.at[rows[t]]}, row {k}" if wrong.any() else "every step and row"
    return Measured(float((~wrong).mean()), 1.0, float(wrong.mean()), 1e-6, where, "of steps and rows")


def _against_vote(r: Reading, signal: str, noise: str, sign: int) -> Measured:
    t = _end_of_alignment(r)
    votes = np.sign(np.sign(r[noise][t]).sum(1))
    decided = votes != 0
    if not decided.any():
        raise Inconclusive("every row is tied")
    right = float((np.sign(r[signal][t]) == sign * votes)[decided].mean())
    return _fraction(right, 0.8, f"step {r.at[t]}; {int(decided.sum())} rows with a majority")


def _query_follows(evidence: Any) -> Measured:
    return _against_vote(reading(evidence), "query_signal", "key_noise", 1)


def _key_opposes(evidence: Any) -> Measured:
    return _against_vote(reading(evidence), "key_signal", "query_noise", -1)


def _softmax_near_half(evidence: Any) -> Measured:
    r = reading(evidence)
    t = _need_stage_two(r)
    both = np.concatenate([r["softmax_11"][t], r["softmax_21"][t]])
    worst = float(both[np.argmax(np.abs(both - 0.5))])
    return Measured(worst, 0.5, abs(worst - 0.5), 0.25, f"step {r.at[t]}, the end of Stage II")


CLAIMS = (
    Claim(
        "lemma_4_2_sign_rule", "the sign on which query and key noise of a pair agree is that of the larger of the two at the start "
        "(in 93 % of pairs)", _larger_decides, Source("paper", "Lemma 4.2 (title); rule and level derived here"),
        r"\mathrm{sgn} = \mathrm{sgn}\,\mathrm{argmax}(|\theta|,|\kappa|)", PAIRS, EARLY,
        broken(key_noise=lambda r: np.concatenate([-r["key_noise"][:1], r["key_noise"][1:]])),
    ),
    Claim(
        "sign_rule_refined", "counting the signals in, the larger of |th + q| and |ka - k| decides (in 96 % of pairs)",
        _larger_decides_refined, Source("derived", PAGE), r"\max(|\theta+q|,|\kappa-k|)", SIGNALS, EARLY,
        broken(key_noise=lambda r: np.concatenate([-r["key_noise"][:1], r["key_noise"][1:]])),
    ),
    Claim(
        "lemma_4_2_alignment",
        "97 % of pairs agree in sign when the last of them is predicted to flip, max min(|th + q|, |ka - k|) / (lr a_i) + 2 tau_i",
        _aligned_in_time, Source("paper", "Lemma 4.2 (title); time and level derived here"),
        r"\max \min(|\theta+q|,|\kappa-k|)/(\eta a_i) + 2\tau_i",
        {"run": (*SIGNALS["run"], *STAGES["run"][2:])}, EARLY,
        broken(query_noise=lambda r: r["query_noise"] * np.where(r.at > 0, -1, 1)[:, None, None]),
    ),
    Claim(
        "lemma_4_3_alignment_complete", "all pairs agree in sign by 0.8 T_key", _alignment_complete,
        Source("paper", "Lemma 4.3 (title: end of Stage II); content is the reading here, time derived here"),
        r"\mathrm{align}(t) = 1,\ t \le 0.8\,T_{key}", PAIRS, EARLY,
        broken(query_noise=lambda r: np.concatenate([r["query_noise"][:, :1] * -np.sign(r["query_noise"][:, :1] * r["key_noise"][:, :1]),
                                                     r["query_noise"][:, 1:]], axis=1)),
    ),
    Claim(
        "lemma_4_3_half_positive", "at the end of Stage II positive and negative noise are each about half", _half_positive,
        Source("paper", "Lemma 4.3 (title: end of Stage II); content and level are the reading here"),
        r"\#\{\kappa>0\} \approx 1/2", STAGES, (SIGNGD, NOISY),
        broken(key_noise=lambda r: np.abs(r["key_noise"]), query_noise=lambda r: np.abs(r["query_noise"])),
    ),
    Claim(
        "lemma_4_3_scale", "at the end of Stage II noise has left its initial scale: it has at least doubled", _left_initial_scale,
        Source("paper", "Lemma 4.3 (title: end of Stage II); content and factor are the reading here"),
        r"\|\kappa(T_2)\|_{rms} \ge 2\|\kappa(0)\|_{rms}", STAGES, EARLY,
        broken(key_noise=lambda r: r["key_noise"] / (1 + r.at[:, None, None])),
    ),
    Claim(
        "weighted_vote", "every step moves the query signal of a row by the sign of sum_i c1_i (ka_ri - k_r)", _weighted_vote,
        Source("derived", PAGE), r"\Delta q_r = \eta\|\mu\|\,\mathrm{sgn}\sum_i c_{1,i}(\kappa_{ri}-k_r)",
        {"run": ("query_signal", "key_signal", "key_noise", "mean_value_signal", "mean_value_noise", "softmax_11", "softmax_21")},
        (SIGNGD, APART), broken(query_signal=lambda r: np.concatenate([-r["query_signal"][:, :1], r["query_signal"][:, 1:]], axis=1)),
    ),
    Claim(
        "lemma_4_4_query_vote",
        "the query signal of a row follows the majority of its key noise (in 80 % of rows with a majority, at 0.8 T_key)",
        _query_follows, Source("paper", "Lemma 4.4 (title: Stage III); content and level are the reading here"),
        r"\mathrm{sgn}\,q_r = \mathrm{sgn}\sum_i \mathrm{sgn}\,\kappa_{ri}",
        SIGNALS, EARLY, broken(query_signal=lambda r: -r["query_signal"]),
    ),
    Claim(
        "lemma_4_4_key_vote",
        "the key signal of a row takes the opposite of its query noise's vote (in 80 % of rows with a majority, at 0.8 T_key)",
        _key_opposes, Source("paper", "Lemma 4.4 (title: Stage III); content and level are the reading here"),
        r"\mathrm{sgn}\,k_r = -\mathrm{sgn}\sum_i \mathrm{sgn}\,\theta_{ri}",
        SIGNALS, EARLY, broken(key_signal=lambda r: -r["key_signal"]),
    ),
    Claim(
        "lemma_4_4_softmax_half", "softmax outputs are near 1/2 when Stage III begins: between 1/4 and 3/4", _softmax_near_half,
        Source("paper", "Lemma 4.4 (title: Stage III); content and level are the reading here"), r"|s - 1/2| \le 1/4",
        {"run": (*STAGES["run"], "softmax_11", "softmax_21")}, EARLY,
        broken(softmax_21=lambda r: r["softmax_21"] ** 4),
    ),
)
