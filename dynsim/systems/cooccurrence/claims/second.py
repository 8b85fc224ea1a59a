"""Phase 2, from T1 to the horizon: the loss falls as 1/t, forces balance, scores and value products drift with fixed signs."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close
from .. import predictions
from ..predictions import MARGIN, rho_growth
from ..reading import ORDER, SAND, Reading, left, reading
from ..universal import limits
from .assumptions import (
    BALANCED,
    CONDITION_1,
    CONSTANT_RHO,
    DIFFERENT,
    INACTIVE,
    LATE,
    MANY,
    MOST_RANDOM,
    SMALL,
    SURVIVES,
    TRAINED,
    WIDE_ATTENTION,
    broken,
)
from .measuring import ENTRIES, at_tau, between, every_time, logs, normal, signs, worst

__all__ = ["CLAIMS", "SIGNALS", "star"]

UNIVERSAL = "docs/derivations/cooccurrence.md, section 6"
SCORES = "docs/derivations/cooccurrence.md, section 7"
SIGNALS = {name: predictions.SIGNALS[pair] for name, pair in ENTRIES.items() if pair in predictions.SIGNALS}
"""Scores of Theorems 3.2 and 3.3 by the paper's numbers, key first, and the signs they move with."""
CROSS = {"12": 1, "13": -1, "23": -1}
"""Products of different values, and the signs they move with."""
SUMS = ("G1", "G2", "-G3", "G1 + G2 + G3", "-(G1 + G3)", "-(G2 + G3)")
COMBINATIONS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, -1], [1, 1, 1], [-1, 0, -1], [0, -1, -1]], dtype=float)


def _extreme(r: Reading, values: NDArray, form: Callable[..., Measured], level: float, *, low: bool = False, unit: str = "") -> Measured:
    """Return the form of the largest (or smallest) of the values at the recorded times of Phase 2, (T,)."""
    rows = np.flatnonzero(r.phase_two)
    row = int(rows[values[rows].argmin() if low else values[rows].argmax()])
    return form(values[row], level, at_tau(r, row), unit)


def _largest(name: str, bound: Callable[[Reading], float], scale: Callable[[Reading], float], unit: str) -> Callable[[Any], Measured]:
    """Return how a quantity compares with its bound: the largest of it in Phase 2, in units of `scale`."""

    def measure(evidence: Any) -> Measured:
        r = reading(evidence)
        tau, values = r.seldom(name)
        later = np.flatnonzero(tau >= r.tau_T1)
        if not len(later):
            raise Inconclusive(f"{name} was not recorded after T1")
        if values.ndim > 1:
            values = np.abs(values).reshape(len(values), -1).max(axis=1)
        row = later[values[later].argmax()]
        return at_most(values[row] / scale(r), bound(r), f"tau = {tau[row]:.4g}", unit)

    return measure


def _signs(name: str, wanted: dict[str, int]) -> Callable[[Any], Measured]:
    def measure(evidence: Any) -> Measured:
        r = reading(evidence)
        return signs(r, name, wanted, r.phase_two)

    return measure


def _six(evidence: Any) -> Measured:
    """The six signs of G that follow late from its direction, equation (38)."""
    r = reading(evidence)
    rows = np.flatnonzero(r.phase_two)
    values = r["G"][rows] @ COMBINATIONS.T
    row, which = np.unravel_index(values.argmin(), values.shape)
    return at_least(values[row, which], MARGIN, f"{at_tau(r, int(rows[row]))}, {SUMS[which]}")


def _imbalance(evidence: Any) -> Measured:
    """How far s_2 is from s_3; that the distance shrinks is equation (53)."""
    r = reading(evidence)
    s = r["kind_pull"]
    return _extreme(r, np.abs(s[:, 1] - s[:, 2]) / s[:, 1:3].min(axis=1), at_most, 0.1)


def _common_sum(evidence: Any) -> Measured:
    r = reading(evidence)
    s = r["kind_pull"]
    return _extreme(r, (s[:, 1:].sum(axis=1) - s[:, 0]) / s.sum(axis=1), at_least, 0.1, low=True, unit="of sum g")


def _target_sum(evidence: Any) -> Measured:
    r = reading(evidence)
    s = r["kind_pull"]
    return _extreme(r, (s[:, 0] - s[:, 1:3].max(axis=1)) / s.sum(axis=1), at_least, 1.0 / 15.0, low=True, unit="of sum g")


def _limits(evidence: Any) -> Measured:
    """The last two of equation (36)."""
    r = reading(evidence)
    s = r["kind_pull"][-1]
    expected = limits(r.constant("n"), int(r.constant("L")))
    found = {"sum g/(s2+s3+s4-s1)": s.sum() / (s[1:].sum() - s[0]), "sum g/(s1-s2)": s.sum() / (s[0] - s[1])}
    return worst(close, {f"{at_tau(r, -1)}, {name}": (value, expected[name], 0.01) for name, value in found.items()})


def _left(evidence: Any) -> Measured:
    r = reading(evidence)
    return _extreme(r, r.ratio, at_least, 1.0 + SAND, low=True)


def _right(evidence: Any) -> Measured:
    r = reading(evidence)
    return _extreme(r, r.sum_ratio, at_most, 1.0 - SAND)


def _rates_alike(evidence: Any) -> Measured:
    r = reading(evidence)
    rate = r["G_rate"][:, :2]
    return _extreme(r, rate.min(axis=1) / np.abs(rate).max(axis=1), at_least, 0.5, low=True)


def _balance(evidence: Any) -> Measured:
    r = reading(evidence)
    predicted = left(r.theory_at("G_rate", r.tau[-1:]))[0]
    return close(r.ratio[-1], predicted, 0.01, at_tau(r, -1), relative=False)


def _rho_grows(evidence: Any) -> Measured:
    """The sign of equation (27) where all samples are correct."""
    r = reading(evidence)
    grows = np.diff(r["rho"], prepend=-np.inf) > 0
    rows = r.phase_two.copy()
    rows[np.flatnonzero(rows)[0]] = False  # the step before it is Phase 1's
    return every_time(r, {"rho": grows}, rows)


def _order(evidence: Any) -> Measured:
    r = reading(evidence)
    return every_time(r, r.order, r.phase_two)


def _head_ratio(evidence: Any) -> Measured:
    r = reading(evidence)
    G = r["G"][-1]
    ratio = min(G[1] / G[0], G[0] / G[1])
    return at_least(ratio, 0.5, at_tau(r, -1))


def _common_ratio(evidence: Any) -> Measured:
    """The direction of G, equation (38), which is reached in log tau, equation (39)."""
    r = reading(evidence)
    G = r["G"][-1]
    return worst(close, {f"{at_tau(r, -1)}, -{name}/G3": (-x / G[2], 2.0 / 3.0, 0.25) for name, x in zip(("G1", "G2"), G, strict=False)})


def _slope(tau: Any, loss: NDArray, tau_1: float, loss_1: Any) -> NDArray:
    """How fast 1/loss has grown since T1."""
    return (1.0 / loss - 1.0 / loss_1) / (tau - tau_1)


def _slope_of(r: Reading, rows: Any) -> NDArray:
    return _slope(r.tau[rows], r["train_loss"][rows], r.tau_T1, float(r.at_T1("train_loss")))


def _slope_end(evidence: Any) -> Measured:
    r = reading(evidence)
    tau_1, tau = r.theory_tau_T1, r.tau[r.phase_two]
    loss_1, loss = np.split(r.theory_at("train_loss", [tau_1, tau[-1]]), 2)
    return close(_slope_of(r, [-1])[0], float(_slope(tau[-1], loss, tau_1, loss_1)[0]), 0.1, at_tau(r, -1), "1/tau")


def _slope_bounds(evidence: Any) -> Measured:
    r = reading(evidence)
    rows = np.flatnonzero(r.phase_two & (r.tau > 2.0 * r.tau_T1))
    slope = _slope_of(r, rows)
    if not len(rows):
        raise Inconclusive(f"no recorded time after 2 tau_T1 = {2.0 * r.tau_T1:.4g}")
    row = int(np.abs(slope - 0.11).argmax())
    return between(slope[row], 0.02, 0.2, at_tau(r, int(rows[row])), "1/tau")


def _rho_growth(evidence: Any) -> Measured:
    r = reading(evidence)
    rho_0 = r.constant("rho_0")
    return close(r["rho"][-1] / rho_0, rho_growth(r.constant("m1"), rho_0, float(r.tau[-1])), 0.02, at_tau(r, -1), "rho_0")


def _random_rate(evidence: Any) -> Measured:
    r = reading(evidence)
    s, n = normal(r), r.constant("n")
    bound = s.sigma_1**2 * s.m * s.m1 / n + s.m1 * (s.L * (s.sigma_0**2 * sqrt(s.m) + 1.0 / s.m) + s.sigma_0**2 * s.m)
    return _extreme(r, r["G_random_rate"] / (r["train_loss"] * bound), at_most, logs(r), unit="of the bound without logarithms")


def _signed(r: Reading) -> NDArray:
    """Velocities of the four scores, in the direction claimed and in units of loss sigma_0^2 sqrt(m) / L, (T, 4)."""
    s, rate = normal(r), r["score_rate"]
    signed = np.stack([sign * rate[:, *ENTRIES[entry]] for entry, sign in SIGNALS.items()], axis=1)
    return signed * sqrt(s.m) * s.L / (r["train_loss"][:, None] * s.sigma_0**2 * s.m)


def _score_rate_low(evidence: Any) -> Measured:
    r = reading(evidence)
    return _extreme(r, _signed(r).min(axis=1), at_least, 0.1, low=True)


def _score_rate_high(evidence: Any) -> Measured:
    r = reading(evidence)
    return _extreme(r, _signed(r).max(axis=1), at_most, logs(r))


def _score_leading(evidence: Any) -> Measured:
    """The first of equation (43)."""
    r = reading(evidence)
    s = normal(r)
    force, rate = 2.0 * s.sigma_0**2 * s.m * r["B"][-1], r["score_rate"][-1]
    return worst(close, {f"{at_tau(r, -1)}, S_{entry}": (rate[ENTRIES[entry]] / force[ENTRIES[entry]], 1.0, 0.1) for entry in SIGNALS})


def star(pull: NDArray, share: NDArray) -> tuple[NDArray, NDArray]:
    """Return R and the R* it is drawn to, (T,) each, from pulls of the kinds s_k (T, 4) and the kinds' shares (4,).

    R = (s2 + s3 + s4 - s1)/(s1 - s2); R* is the positive root of equation (50), equation (51), with the kinds' mean g_k = s_k / w_k
    (arXiv 2410.09605, proof of F.6).
    """
    s1, s2, s3, s4 = pull.T
    H1, H2, H3, H4 = (-pull * (1.0 - pull / share)).T
    q = (s1 - s3) / (s1 - s2)
    a, b, c = H1 + H2, H3 + H4 - q * H1, -H2 - q * H3 - (1.0 + q) * H1
    return (s2 + s3 + s4 - s1) / (s1 - s2), -b / (2.0 * a) + np.sqrt(b**2 / (4.0 * a**2) - c / a)


def _contraction(evidence: Any) -> Measured:
    """How often R moves towards R*: always for n to infinity, not late at finite n, because of equation (52)."""
    r = reading(evidence)
    R, R_star = star(r["kind_pull"], r.array("shares"))
    rows = r.phase_two
    toward = np.sign(np.gradient(R, r.tau)) == np.sign(R_star - R)
    return at_least(toward[rows].mean(), 0.8, f"{rows.sum()} recorded times", "of the times")


_BOTH = {"run": ("min_margin", "G_rate")}
_PULLS = {"run": ("min_margin", "kind_pull")}
_LIMIT = (CONDITION_1, BALANCED, DIFFERENT)


def _flipped(name: str, entry: str) -> Any:
    """Return a control that turns an entry's sign at the last recorded time."""

    def flip(r: Reading) -> NDArray:
        values = r[name].copy()
        values[-1, *ENTRIES[entry]] *= -1.0
        return values

    return broken(**{name: flip})


def _scaled(name: str, factor: float) -> Any:
    return broken(**{name: lambda r: factor * r.seldom(name)[1]})


def _bound(
    id: str, name: str, statement: str, latex: str, bound: Callable[[Reading], float], scale: Callable[[Reading], float] = lambda r: 1.0,
    unit: str = "", says: str = "",
) -> Claim:
    return Claim(
        id, f"in Phase 2 {statement}", _largest(name, bound, scale, unit), Source("paper", f"Definition F.1; {says} is the reading here"),
        latex, {"run": ("min_margin", name)}, (CONDITION_1,),
        broken(**{name: lambda r: r.seldom(name)[1] + 2.0 * bound(r) * scale(r)}),
    )


def _moved(name: str, which: str, latex: str) -> Claim:
    return _bound(
        f"f_1_{which}", name, f"inner products of {which} have moved by at most sigma_0^2 sqrt(m) log(m)", latex,
        lambda r: log(r.constant("m")), lambda r: normal(r).sigma_0**2 * sqrt(r.constant("m")), "sigma_0^2 sqrt(m)",
        "log(m) for the hidden logarithms",
    )


CLAIMS = (
    Claim(
        "theorem_3_2_scores", "in Phase 2 scores of targets on each other rise and those of the common token on targets fall, at every "
        "recorded time", _signs("score_rate", SIGNALS), Source("paper", "Theorem 3.2"),
        r"\dot S_{12}, \dot S_{21} > 0 > \dot S_{31}, \dot S_{32}", {"run": ("min_margin", "score_rate")}, (CONDITION_1, TRAINED),
        _flipped("score_rate", "21"),
    ),
    Claim(
        "theorem_3_2_gamma", "in Phase 2 the targets' values turn to each other and away from the common token's, at every recorded time",
        _signs("value_rate", CROSS), Source("paper", "Theorem 3.2"), r"\dot\Gamma_{12} > 0 > \dot\Gamma_{13}, \dot\Gamma_{23}",
        {"run": ("min_margin", "value_rate")}, (CONDITION_1,), _flipped("value_rate", "12"),
    ),
    Claim(
        "corollary_4_6", "in Phase 2 the targets' values also grow, at every recorded time",
        _signs("value_rate", {**CROSS, "11": 1, "22": 1}), Source("paper", "Corollary 4.6 = F.13"),
        r"\dot\Gamma_{11}, \dot\Gamma_{22}, \dot\Gamma_{12} > 0 > \dot\Gamma_{13}, \dot\Gamma_{23}",
        {"run": ("min_margin", "value_rate")}, (CONDITION_1,), _flipped("value_rate", "11"),
    ),
    Claim(
        "gamma_33_grows", "in Phase 2 the common token's value grows, at every recorded time", _signs("value_rate", {"33": 1}),
        Source("derived", UNIVERSAL), r"\dot\Gamma_{33} = 2z_3G_3 > 0", {"run": ("min_margin", "value_rate")}, (CONDITION_1,),
        _flipped("value_rate", "33"),
    ),
    Claim(
        "theorem_3_2_G", f"in Phase 2 G1, G2, -G3, G1+G2+G3, -(G1+G3) and -(G2+G3) are at least {MARGIN}", _six,
        Source("paper", f"Theorem 3.2, which prints the inequality of -G3 the other way round; {MARGIN} is the reading here of Omega(1)"),
        r"G_1, G_2, -G_3, G_1{+}G_2{+}G_3, -(G_1{+}G_3), -(G_2{+}G_3) \ge \Omega(1)", {"run": ("min_margin", "G")}, (CONDITION_1,),
        broken(G=lambda r: -r["G"]),
    ),
    Claim(
        "lemma_4_4", "in Phase 2 kinds 2 and 3 pull alike: |s2 - s3| <= 0.1 min(s2, s3)", _imbalance,
        Source("paper", "Lemma 4.4 = F.5; 0.1 is the reading here of C << 1"), r"|s_2 - s_3| \le C\min(s_2, s_3)", _PULLS,
        (CONDITION_1, BALANCED, SMALL), broken(kind_pull=lambda r: r["kind_pull"] * [1.0, 1.3, 0.7, 1.0]),
    ),
    Claim(
        "lemma_4_5_common", "in Phase 2 s2 + s3 + s4 - s1 is at least a tenth of their sum", _common_sum,
        Source("paper", "Lemma 4.5 = F.6; a tenth is the reading here of O(1)"), r"\sum g/(s_2+s_3+s_4-s_1) = O(1)", _PULLS,
        (CONDITION_1, BALANCED), broken(kind_pull=lambda r: r["kind_pull"] * [2.0, 1.0, 1.0, 1.0]),
    ),
    Claim(
        "lemma_4_5_targets", "in Phase 2 s1 - s2 and s1 - s3 are at least a fifteenth of their sum", _target_sum,
        Source("paper", "Lemma 4.5 = F.6; a fifteenth is the reading here of O(1)"), r"\sum g/(s_1-s_2), \sum g/(s_1-s_3) = O(1)", _PULLS,
        (CONDITION_1, BALANCED), broken(kind_pull=lambda r: r["kind_pull"] * [0.5, 1.0, 1.0, 1.0]),
    ),
    Claim(
        "lemma_4_5_limits", "late these ratios are those of the parameter-free flow's limit (within 1 %)", _limits,
        Source("derived", UNIVERSAL), r"17/3,\ 17/2\ (n = \infty)", {"run": ("kind_pull",)}, (*_LIMIT, LATE, INACTIVE),
        broken(kind_pull=lambda r: r["kind_pull"] * [1.0, 1.0, 1.0, 3.0] + r["kind_pull"][:, :1] * [0, 0.1, 0, 0]),
    ),
    Claim(
        "lemma_4_5_left", f"in Phase 2 -G3' >= {1 + SAND:g} max(G1', G2')", _left,
        Source("paper", f"Lemma 4.5 = F.6; C = {SAND} is the reading here"), r"-\dot G_3 \ge (1+C)\max(\dot G_1, \dot G_2)", _BOTH,
        (CONDITION_1, BALANCED, SURVIVES), broken(G_rate=lambda r: r["G_rate"] * [1.0, 1.0, 0.5]),
    ),
    Claim(
        "lemma_4_5_right", f"in Phase 2 -G3' <= {1 - SAND:g} (G1' + G2')", _right,
        Source("paper", f"Lemma 4.5 = F.6; C = {SAND} is the reading here"), r"-\dot G_3 \le (1-C)(\dot G_1 + \dot G_2)", _BOTH,
        (CONDITION_1, BALANCED), broken(G_rate=lambda r: r["G_rate"] * [1.0, 1.0, 2.0]),
    ),
    Claim(
        "lemma_4_5_G_ratio", "in Phase 2 G1' and G2' are positive and within a factor 2 of each other", _rates_alike,
        Source("paper", "Lemma 4.5 = F.6; factor 2 is the reading here of Theta(1)"), r"\dot G_1/\dot G_2 = \Theta(1)", _BOTH,
        (CONDITION_1, BALANCED), broken(G_rate=lambda r: r["G_rate"] * [1.0, 0.3, 1.0]),
    ),
    Claim(
        "balance_end", "at the end -G3' / max(G1', G2') is that of the parameter-free flow (within 0.01); 3/2 in the limit of many samples",
        _balance, Source("derived", UNIVERSAL), r"-\dot G_3/\dot G_1 \to (2-\kappa)/(\kappa-1)", {"run": ("G_rate",)}, (*_LIMIT, LATE),
        broken(G_rate=lambda r: r["G_rate"] * [1.0, 1.0, 1.1]),
    ),
    Claim(
        "eq_5_rho_grows", "in Phase 2 rho grows at every recorded time", _rho_grows, Source("paper", "equation (5) and Lemma F.4"),
        r"\dot\rho > 0", {"run": ("min_margin", "rho")}, (), broken(rho=lambda r: np.append(r["rho"][:-1], r["rho"][0])),
    ),
    Claim(
        "f_1_order", "in Phase 2 " + ", ".join(ORDER) + " hold to the horizon", _order,
        Source("paper", f"Definition F.1; {MARGIN} is the reading here of its C"),
        r"s_4 \le \min(s_2, s_3) \le \max(s_2, s_3) \le s_1 \le s_2+s_3+s_4", _PULLS, (CONDITION_1, BALANCED),
        broken(kind_pull=lambda r: r["kind_pull"][:, ::-1]),
    ),
    _bound("f_1_second_term", "second_term", "the second term of dG/dt is at most 1/L of the first",
           r"m_1|\Gamma z|_\infty \le \rho\bar g/L", lambda r: 1.0, lambda r: 1.0 / r.constant("L"), "of 1/L", "1/L for o(1/L)"),
    _bound("f_1_softmax_term", "softmax_term", "moving softmax outputs move F by at most a tenth of rho g",
           r"|\sum G\dot p| \le 0.1\,\rho\bar g", lambda r: 0.1, says="0.1 for o(1)"),
    _bound("f_1_softmax", "softmax_change", "softmax outputs have moved by at most 1/L^2", r"|p - p(0)| \le 1/L^2", lambda r: 1.0,
           lambda r: r.constant("L") ** -2, "of 1/L^2", "constant 1"),
    _moved("largest_key_change", "keys", r"|\Delta KK| \le \tilde O(\sigma_0^2\sqrt m)"),
    _moved("largest_query_change", "queries", r"|\Delta QQ| \le \tilde O(\sigma_0^2\sqrt m)"),
    _bound("f_1_rho", "rho", "rho is at most 2 sigma_1^2 m m1", r"\rho \le O(\sigma_1^2mm_1)", lambda r: 2.0,
           lambda r: normal(r).sigma_1**2 * r.constant("m") * r.constant("m1"), "sigma_1^2 m m1", "factor 2"),
    _bound("f_1_head", "G", "the head on special tokens is at most log(m)^2", r"|G| \le O(\log m)", lambda r: log(r.constant("m")),
           lambda r: log(r.constant("m")), "log(m)", "log(m) for the hidden constant"),
    _bound("f_1_random_output", "random_output", "random tokens add at most 1 to an output", r"|F_i^R| \le O(1)", lambda r: 1.0,
           says="constant 1"),
    Claim(
        "f_2_alike", "in Phase 2 the pulls g of two samples of one kind differ at most by a factor 3",
        _largest("pull_spread", lambda r: 3.0, lambda r: 1.0, ""), Source("paper", "Lemma F.2; factor 3 is the reading here of O(1)"),
        r"\max g_i/g_j = O(1)", {"run": ("min_margin", "pull_spread")}, (CONDITION_1,), _scaled("pull_spread", 10.0),
    ),
    Claim(
        "f_7_targets", "at the end G1 and G2 are within a factor 2 of each other", _head_ratio,
        Source("paper", "Lemma F.7; factor 2 is the reading here of Theta(1)"), r"G_1/G_2 = \Theta(1)", {"run": ("G",)},
        (CONDITION_1, BALANCED), broken(G=lambda r: r["G"] * [1.0, 0.2, 1.0]),
    ),
    Claim(
        "f_7_common", "at the end -G1/G3 and -G2/G3 are 2/3, their limit (within 25 %: it is reached in log tau)", _common_ratio,
        Source("paper", "Lemma F.7 (Theta(1)); limit 2/3 derived here"), r"-G_1/G_3 \to 2/3", {"run": ("G",)}, (*_LIMIT, MANY, LATE),
        broken(G=lambda r: r["G"] * [1.0, 1.0, 2.0]),
    ),
    Claim(
        "f_8_slope", "at the end 1/loss has grown since T1 as in the parameter-free flow (within 10 %); slope 1/17 in its limit",
        _slope_end, Source("paper", "Lemma F.8 (Theta(1)); value derived here"), r"\frac{1/L(t) - 1/L(T_1)}{\tau - \tau_1}",
        {"run": ("min_margin", "train_loss")}, (*_LIMIT, LATE, CONSTANT_RHO),
        broken(train_loss=lambda r: r["train_loss"] * np.where(r.tau > r.tau_T1, 0.8, 1.0)),
    ),
    Claim(
        "f_8_bounds", "from 2 tau_T1 on that slope is between 0.02 and 0.2", _slope_bounds,
        Source("paper", "Lemma F.8; levels are the reading here of Theta(1)"), r"1/L = \Theta(\rho_0)(t - T_1) + 1/L(T_1)",
        {"run": ("min_margin", "train_loss")}, (CONDITION_1, BALANCED),
        broken(train_loss=lambda r: r["train_loss"] * np.where(r.tau > r.tau_T1, 0.1, 1.0)),
    ),
    Claim(
        "rho_growth", "at the end rho is sqrt(rho_0^2 + 34 m1 log^2(tau/30)) (within 2 %)", _rho_growth,
        Source("paper", "Lemmas F.9 and F.10 (order of growth); formula derived here"), r"\rho^2 \approx \rho_0^2 + 34m_1\log^2(\tau/30)",
        {"run": ("rho",)}, (*_LIMIT, MANY, LATE, CONSTANT_RHO), broken(rho=lambda r: 1.1 * r["rho"]),
    ),
    Claim(
        "f_14_random", "in Phase 2 the head on random tokens moves no faster than "
        "loss (sigma_1^2 m m1/n + m1 (L (sigma_0^2 sqrt(m) + 1/m) + sigma_0^2 m)), times log(m)^2",
        _random_rate, Source("paper", "Lemmas F.14 and F.15; log(m)^2 for the hidden logarithms chosen here"),
        r"|\dot G(\nu)| \le O(L\sigma_1^2mm_1/n) + \tilde O(Lm_1(\dots))", {"run": ("min_margin", "train_loss", "G_random_rate")},
        (CONDITION_1,), broken(G_random_rate=lambda r: 1e4 * r["G_random_rate"]),
    ),
    Claim(
        "lemma_4_7_lower", "in Phase 2 the four scores move in the claimed directions at 0.1 loss sigma_0^2 sqrt(m)/L or faster",
        _score_rate_low, Source("paper", "Lemma 4.7 = F.16; 0.1 is the reading here of Theta"),
        r"\dot S_{21} = \tfrac{1}{\sqrt m}\tilde\Theta(L\sigma_0^2m)/L", {"run": ("min_margin", "train_loss", "score_rate")},
        (CONDITION_1, TRAINED), broken(score_rate=lambda r: 0.01 * r["score_rate"]),
    ),
    Claim(
        "lemma_4_7_upper", "and no faster than log(m)^2 of it", _score_rate_high,
        Source("paper", "Lemma 4.7 = F.16; log(m)^2 for the hidden logarithms chosen here"),
        r"\dot S_{21} = \tfrac{1}{\sqrt m}\tilde\Theta(L\sigma_0^2m)/L", {"run": ("min_margin", "train_loss", "score_rate")},
        (CONDITION_1, TRAINED), broken(score_rate=lambda r: 100.0 * r["score_rate"]),
    ),
    Claim(
        "lemma_4_7_leading", "at the end the four scores move at 2 sigma_0^2 m B (within 10 %)", _score_leading, Source("derived", SCORES),
        r"\dot S \approx 2\sigma_0^2m\,B", {"run": ("B", "score_rate")}, (CONDITION_1, TRAINED, WIDE_ATTENTION, LATE),
        broken(score_rate=lambda r: 1.5 * r["score_rate"]),
    ),
    Claim(
        "contraction", "in Phase 2 R = (s2+s3+s4-s1)/(s1-s2) moves towards R* (at 80 % of recorded times)", _contraction,
        Source("paper", "proof of Lemma F.6, up to its o(1), which is not small at finite n: docs/derivations/cooccurrence.md, section 8; "
               "R* from the kinds' mean g, and 80 %, are the reading here"),
        r"\mathrm{sgn}\,\dot R = \mathrm{sgn}(R^* - R)", _PULLS, (CONDITION_1, BALANCED, DIFFERENT, MOST_RANDOM),
        broken(kind_pull=lambda r: r["kind_pull"][::-1]),
    ),
)
