"""Phase 1, up to the time T1 from which on all margins are 1/4: only the head on values moves, targets first, then the common token."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close
from ..predictions import MARGIN, PHASE_ONE_BOUNDS, crossing
from ..reading import SAND, Reading, left, reading, right
from .assumptions import BALANCED, CONDITION_1, DIFFERENT, FROM_START, MANY, SMALL, SURVIVES, WIDE, broken
from .measuring import at_tau, between, logs, normal, positive, worst

__all__ = ["CLAIMS"]

UNIVERSAL = "docs/derivations/cooccurrence.md, section 6"
TOKENS = ("G1", "G2", "G3")
LONGEST = 100.0
"""Clock by which Phase 1 has to be over: the paper's T1 = O~(1/m) says O~(1) on the clock and no number; chosen here."""
LOW_LOSS = 0.1
"""Lower end of the Theta(1) of the loss at T1; the paper names no number, chosen here."""


def _ends(evidence: Any) -> Measured:
    r = reading(evidence)
    end = crossing(r.tau, r["min_margin"], MARGIN)
    if np.isfinite(end):
        return at_most(end, LONGEST, f"T1 = {r.T1:.4g} {r.unit_of_time}".strip(), "tau")
    if r.tau[-1] <= LONGEST:
        raise Inconclusive(f"the smallest margin is {r['min_margin'][-1]:.3g} at the horizon, tau = {r.tau[-1]:.4g}")
    return at_most(r.tau[-1], LONGEST, f"the smallest margin is still {r['min_margin'][-1]:.3g}", "tau")


def _by_kind(evidence: Any) -> Measured:
    r = reading(evidence)
    found = crossing(r.tau, r["kind_margin"].min(axis=1), MARGIN)
    if np.isnan(found):
        raise Inconclusive(f"the mean margin of a kind is below {MARGIN} at the horizon")
    return close(found, r.theory_tau_T1, 0.1, "mean margins of the kinds", "tau")


def _G_at_T1(evidence: Any) -> Measured:
    r = reading(evidence)
    G = r.at_T1("G") * [1.0, 1.0, -1.0]
    return at_least(G.min(), MARGIN, f"tau = {r.tau_T1:.4g}, {('G1', 'G2', '-G3')[G.argmin()]}")


def _margins_stay(evidence: Any) -> Measured:
    r = reading(evidence)
    margins = r["min_margin"]
    reached = np.flatnonzero(margins >= MARGIN)
    if not len(reached):
        raise Inconclusive(f"the smallest margin never reaches {MARGIN}")
    row = reached[0] + int(margins[reached[0]:].argmin())
    return positive(margins[row] / MARGIN, at_tau(r, row), f"times {MARGIN}")


def _loss_at_T1(evidence: Any) -> Measured:
    r = reading(evidence)
    return between(float(r.at_T1("train_loss")), LOW_LOSS, log(2.0), f"tau = {r.tau_T1:.4g}")


def _universal_G(evidence: Any) -> Measured:
    r = reading(evidence)
    if r.tau[-1] < 40.0:
        raise Inconclusive(f"the clock ends at tau = {r.tau[-1]:.4g}, before 40")
    tolerance = max(0.1, r.constant("F_0"))
    return worst(
        lambda value, predicted, where: close(value, predicted, tolerance, where, relative=False),
        {f"tau = {tau:g}, {name}": (value, predicted) for tau in (10.0, 20.0, 40.0)
         for name, value, predicted in zip(TOKENS, r.at_tau("G", tau), r.theory_at("G", tau), strict=True)},
    )


def _size(name: str, size: Callable[[Reading], float]) -> Callable[[Any], Measured]:
    """Return how a displacement at T1 compares with its bound without logarithms."""

    def measure(evidence: Any) -> Measured:
        r = reading(evidence)
        return at_most(float(r.at_T1(name)) / size(r), logs(r), f"tau = {r.tau_T1:.4g}", "of the bound without logarithms")

    return measure


def _random_neurons(evidence: Any) -> Measured:
    r = reading(evidence)
    ratio = float(r.at_T1("neuron_random_change") / r.at_T1("neuron_values_change"))
    return at_most(ratio / (1.0 / r.constant("n") + 1.0 / sqrt(r.constant("m"))), logs(r), f"tau = {r.tau_T1:.4g}",
                   "of 1/n + 1/sqrt(m)")


def _last(r: Reading) -> int:
    """Last recorded time of Phase 1."""
    return int(np.flatnonzero(r.phase_one)[-1])


def _holds_from(r: Reading, inside: NDArray) -> str:
    rows = r.phase_one
    start = crossing(r.tau[rows], inside[rows], 0.0)
    return at_tau(r, _last(r)) + (f", holds from tau = {start:.4g} on" if np.isfinite(start) else "")


def _left(evidence: Any) -> Measured:
    r = reading(evidence)
    ratio = r.ratio
    return at_least(ratio[_last(r)], 1.0 + SAND, _holds_from(r, ratio - (1.0 + SAND)))


def _right(evidence: Any) -> Measured:
    r = reading(evidence)
    ratio = r.sum_ratio
    return at_most(ratio[_last(r)], 1.0 - SAND, _holds_from(r, (1.0 - SAND) - ratio))


def _T05(evidence: Any) -> Measured:
    r = reading(evidence)
    rows = r.theory.at <= r.theory_tau_T1
    rate = r.theory["G_rate"][rows]
    predicted = crossing(r.theory.at[rows], np.minimum(left(rate) - (1.0 + SAND), (1.0 - SAND) - right(rate)), 0.0)
    if np.isnan(predicted):
        raise Inconclusive("the parameter-free flow has no such time before its T1")
    return close(r.tau_T05, predicted, 0.5, "", "tau", relative=False)


def _rate(evidence: Any) -> Measured:
    r = reading(evidence)
    s = normal(r)
    rows = np.flatnonzero(r.phase_one & (r.tau >= r.tau_T05))
    if not len(rows):
        raise Inconclusive("no recorded time between T_0.5 and T1")
    slowest = r["G_rate"][rows, :2].min(axis=1) / ((s.sigma_0**2 + s.sigma_1**2) * s.m * s.m1)
    return at_least(slowest.min(), 0.02, at_tau(r, rows[slowest.argmin()]), "(sigma_0^2 + sigma_1^2) m m1")


def _imbalance(evidence: Any) -> Measured:
    r = reading(evidence)
    s, rows = r["kind_pull"], np.flatnonzero(r.phase_one)
    apart = np.abs(s[rows, 1] - s[rows, 2]) / (0.25 * r.constant("F_0"))
    return at_most(apart.max(), 1.0, at_tau(r, rows[apart.argmax()]), "of F_0/4")


def _random_values(evidence: Any) -> Measured:
    r = reading(evidence)
    s = normal(r)
    return at_most(float(r.at_T1("G_random")) / (s.sigma_0 * s.sigma_1 * sqrt(s.m * s.m1)), log(s.m), f"tau = {r.tau_T1:.4g}",
                   "sigma_0 sigma_1 sqrt(m m1)")


def _rho(evidence: Any) -> Measured:
    r = reading(evidence)
    s = normal(r)
    ratio = float(r.at_T1("rho")) / (s.sigma_1**2 * s.m * s.m1)
    return Measured(ratio, 1.0, abs(log2(ratio)), 1.0, f"tau = {r.tau_T1:.4g}", "sigma_1^2 m m1")


def _moved(id: str, name: str, what: str, latex: str, where: str = "Theorem 3.1 = E.28") -> Claim:
    says, bound = PHASE_ONE_BOUNDS[name]

    def size(r: Reading) -> float:
        return bound(r.constant("m"), r.constant("L"))

    return Claim(
        id, f"at T1 {what} have moved by no more than {says}, times log(m)^2", _size(name, size),
        Source("paper", f"{where}; log(m)^2 for the hidden logarithms chosen here"), latex, {"run": ("min_margin", name)}, (CONDITION_1,),
        broken(**{name: lambda r: r.seldom(name)[1] + 2.0 * logs(r) * size(r)}),
    )


_LIMIT = (CONDITION_1, BALANCED, DIFFERENT, SMALL, FROM_START)
_PHASE = {"run": ("min_margin", "G_rate")}

CLAIMS = (
    Claim(
        "theorem_3_1_ends", f"Phase 1 ends by tau = {LONGEST:g}: from T1 on all margins are at least {MARGIN}", _ends,
        Source("paper", f"Theorem 3.1; levels {MARGIN} and {LONGEST:g} are the reading here of Omega(1) and T1 = O~(1/m)"),
        r"\tau(T_1) = \tilde O(1)", {"run": ("min_margin",)}, (CONDITION_1, FROM_START),
        broken(min_margin=lambda r: np.full(len(r.at), -1.0), tau=lambda r: r["tau"] + LONGEST * (np.arange(len(r.at)) > 0)),
    ),
    Claim(
        "universal_T1_by_kind", f"the mean margins of all kinds reach {MARGIN} when they do in the parameter-free flow (within 10 %)",
        _by_kind, Source("derived", UNIVERSAL), r"\min_k f_k(\tau) = 1/4", {"run": ("kind_margin",)}, _LIMIT,
        broken(kind_margin=lambda r: 0.7 * r["kind_margin"]),
    ),
    Claim(
        "theorem_3_1_G", f"at T1 the head is at least {MARGIN} on both targets and at most -{MARGIN} on the common token", _G_at_T1,
        Source("paper", f"Theorem 3.1; {MARGIN} is the reading here of Omega(1)"), r"G_1, G_2 \ge \Omega(1),\ G_3 \le -\Omega(1)",
        {"run": ("G", "min_margin")}, (CONDITION_1,), broken(G=lambda r: -r["G"]),
    ),
    Claim(
        "theorem_3_1_margins", f"once all margins have been {MARGIN} no sample is wrong again", _margins_stay,
        Source("paper", f"Theorem 3.1; {MARGIN} is the reading here of Omega(1)"), r"y_iF_i > 0", {"run": ("min_margin",)}, (CONDITION_1,),
        broken(min_margin=lambda r: np.append(r["min_margin"][:-1], -1.0)),
    ),
    Claim(
        "theorem_3_1_loss", f"at T1 the training loss is between {LOW_LOSS} and log 2", _loss_at_T1,
        Source("paper", f"Theorem 3.1; {LOW_LOSS} is the reading here of Theta(1)"), r"L(T_1) = \Theta(1)",
        {"run": ("train_loss", "min_margin")}, (CONDITION_1,), broken(train_loss=lambda r: 0.1 * r["train_loss"]),
    ),
    Claim(
        "universal_G", "the head on the special tokens follows the parameter-free flow at tau = 10, 20, 40 (within max(0.1, F_0))",
        _universal_G, Source("derived", UNIVERSAL), r"G(\tau) = G^\infty_{n,L}(\tau) + O(F_0)", {"run": ("G",)}, _LIMIT,
        broken(G=lambda r: -r["G"]),
    ),
    _moved("e_28_neurons", "neuron_products_change", "inner products of neurons", r"|\Delta\langle w_i, w_j\rangle| \le \tilde O(1/m)"),
    _moved("e_28_values", "largest_value_change", "inner products of values", r"|\Delta\Gamma| \le \tilde O(1/m)"),
    _moved("e_28_scores", "largest_score_change", "scores", r"|\Delta S| \le \tilde O(m^{-3/2}(1/L + m^{-1/2}))"),
    _moved("e_28_keys", "largest_key_change", "inner products of keys", r"|\Delta KK| \le \tilde O(m^{-2})"),
    _moved("e_28_queries", "largest_query_change", "inner products of queries", r"|\Delta QQ| \le \tilde O(m^{-2})"),
    _moved("e_25_softmax", "softmax_change", "softmax outputs", r"|\Delta p| \le \tilde O((1/L + m^{-1/2})/(Lm^2))", "Lemma E.25"),
    Claim(
        "e_2_random", "at T1 neurons on random tokens have moved by no more than 1/n + 1/sqrt(m) of what they have on special ones, "
        "times log(m)^2", _random_neurons, Source("paper", "Definition E.2 (2); log(m)^2 for the hidden constant chosen here"),
        r"|\Delta x_{j\nu}| \le O(R/n + R/\sqrt m)", {"run": ("neuron_random_change", "neuron_values_change", "min_margin")},
        (CONDITION_1,), broken(neuron_values_change=lambda r: 1e-6 * r["neuron_values_change"]),
    ),
    Claim(
        "lemma_4_3_left", f"before T1 the common token overtakes: -G3' >= {1 + SAND:g} max(G1', G2') from some T_0.5 up to T1", _left,
        Source("paper", f"Lemma 4.3 = E.19; C = {SAND} is the reading here"), r"-\dot G_3 \ge (1+C)\max(\dot G_1, \dot G_2)", _PHASE,
        (CONDITION_1, SURVIVES), broken(G_rate=lambda r: r["G_rate"] * [1.0, 1.0, 0.5]),
    ),
    Claim(
        "lemma_4_3_right", f"and -G3' <= {1 - SAND:g} (G1' + G2') from some T_0.5 up to T1", _right,
        Source("paper", f"Lemma 4.3 = E.19; C = {SAND} is the reading here"), r"-\dot G_3 \le (1-C)(\dot G_1 + \dot G_2)", _PHASE,
        (CONDITION_1,), broken(G_rate=lambda r: r["G_rate"] * [1.0, 1.0, 10.0]),
    ),
    Claim(
        "universal_T05", "both start to hold when they do in the parameter-free flow (within 0.5 of tau)", _T05,
        Source("derived", UNIVERSAL), r"\tau(T_{0.5})", _PHASE, (*_LIMIT, SURVIVES),
        broken(G_rate=lambda r: r["G_rate"] * [1.0, 1.0, 0.8]),
    ),
    Claim(
        "lemma_4_3_rate", "from T_0.5 to T1 the head on both targets grows at 0.02 (sigma_0^2 + sigma_1^2) m m1 or faster", _rate,
        Source("paper", "Lemma 4.3; 0.02 is the reading here of Omega(1)"), r"\dot G_1, \dot G_2 \ge \Omega((\sigma_0^2+\sigma_1^2)mm_1)",
        _PHASE, (CONDITION_1,), broken(G_rate=lambda r: 0.01 * r["G_rate"]),
    ),
    Claim(
        "e_21_imbalance", "in Phase 1 kinds 2 and 3 pull alike: |s2 - s3| <= F_0/4", _imbalance,
        Source("paper", "Proposition E.21; 1/4 is the reading here of its O(F)"), r"|s_2 - s_3| \le O(F_0)",
        {"run": ("kind_pull", "min_margin")}, (BALANCED, FROM_START),
        broken(kind_pull=lambda r: r["kind_pull"] + r.constant("F_0") * np.eye(4)[1]),
    ),
    Claim(
        "e_27_random_values", "at T1 the head on random tokens is at most sigma_0 sigma_1 sqrt(m m1) log(m)", _random_values,
        Source("paper", "Lemma E.27; log(m) for the hidden logarithms chosen here"), r"|G(\nu)| \le \tilde O(\sigma_0\sigma_1\sqrt{mm_1})",
        {"run": ("G_random", "min_margin")}, (CONDITION_1, MANY), broken(G_random=lambda r: 100.0 * r["G_random"]),
    ),
    Claim(
        "e_27_rho", "at T1 rho is sigma_1^2 m m1 within a factor 2", _rho,
        Source("paper", "Lemma E.27; factor 2 is the reading here of Theta"),
        r"\rho(T_1) = \Theta(\sigma_1^2mm_1)", {"run": ("rho", "min_margin")}, (CONDITION_1, WIDE), broken(rho=lambda r: 4.0 * r["rho"]),
    ),
)
