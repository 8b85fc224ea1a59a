"""The end of the run: what attention has learned, and the loss (Theorem 3.3)."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close
from ..build import FRESH
from ..predictions import crossing, unit
from ..reading import Reading, reading
from .assumptions import BALANCED, CONDITION_1, CONSTANT_RHO, DIFFERENT, LATE, LONG, MANY, SMALL, TRAINED, WIDE_ATTENTION, broken
from .measuring import ENTRIES, at_tau, logs, normal, positive, worst
from .second import SIGNALS

__all__ = ["CLAIMS"]

SCORES = "docs/derivations/cooccurrence.md, section 7"
UNIVERSAL = "docs/derivations/cooccurrence.md, section 6"
OTHERS = ("11", "13", "22", "23", "33")
"""Scores whose late sign the theorem does not mention; all rise."""
HORIZON = 34.0
"""T* in units of m on the clock: twice the derived 17 m by which the loss is 1/m. The paper says poly(m); chosen here."""


def _signals(C: NDArray) -> NDArray:
    """The four displacements, in the directions claimed."""
    return np.array([sign * C[ENTRIES[entry]] for entry, sign in SIGNALS.items()])


def _signs(evidence: Any) -> Measured:
    r = reading(evidence)
    _after_phase_one(r)
    C = _signals(r["score_change"][-1])
    return positive(C.min() / np.abs(C).mean(), f"{at_tau(r, -1)}, C_{list(SIGNALS)[C.argmin()]}", "of their mean size")


def _after_phase_one(r: Reading) -> None:
    """Raise `Inconclusive` unless the run goes past T1."""
    r.phase_two  # noqa: B018


def _size(evidence: Any) -> Measured:
    """Displacements over equation (45), with this run's own rho_0."""
    r = reading(evidence)
    normal(r)
    C, Phi = r["score_change"][-1], r.theory_at("Phi", float(r.tau[-1]))
    return worst(close, {
        f"{at_tau(r, -1)}, C_{entry}": (C[ENTRIES[entry]] / (2.0 * r.unit * Phi[ENTRIES[entry]]), 1.0, 0.1) for entry in SIGNALS
    })


def _last(r: Reading, name: str) -> tuple[int, float]:
    """Last recorded value of a quantity that may be recorded seldom, and its row among all recorded times."""
    return int(np.searchsorted(r.at, r.run.steps(name)[-1])), float(r.seldom(name)[1][-1])


def _random(evidence: Any) -> Measured:
    r = reading(evidence)
    s = normal(r)
    row, C = _last(r, "random_score_change")
    return at_most(C / (unit(s) * (1.0 / r.constant("n") + s.L / sqrt(s.m))), logs(r), at_tau(r, row), "of U (1/n + L/sqrt(m))")


def _random_share(evidence: Any) -> Measured:
    r = reading(evidence)
    row, C = _last(r, "random_score_change")
    bound = 1.0 / r.constant("n") + r.constant("L") / sqrt(r.constant("m"))
    return at_most(C / _signals(r["score_change"][row]).mean() / bound, 1.0, at_tau(r, row), "of 1/n + L/sqrt(m)")


def _separation(evidence: Any) -> Measured:
    r = reading(evidence)
    row, C = _last(r, "random_score_change")
    return at_least(_signals(r["score_change"][row]).min() / C, 2.0, at_tau(r, row))


def _others(evidence: Any) -> Measured:
    """The late signs of beta_11 (for L > 3) and beta_33 in equation (46)."""
    r = reading(evidence)
    C = np.array([r["score_change"][-1][ENTRIES[entry]] for entry in OTHERS])
    return positive(C.min() / np.abs(C).mean(), f"{at_tau(r, -1)}, C_{OTHERS[C.argmin()]}", "of their mean size")


def _softmax_scale(evidence: Any) -> Measured:
    """The scale of equation (48): a factor 1/sqrt(m) between scores and softmax outputs, here as a bound that holds without 1/L."""
    r = reading(evidence)
    rows = np.searchsorted(r.at, r.run.steps("largest_score_change"))
    dS, dp = r.seldom("largest_score_change")[1], r["softmax_change"][rows]
    later = dS > 0
    if not later.any():
        raise Inconclusive("no score has moved")
    ratio = dp[later] * 2.0 * sqrt(r.constant("m")) / dS[later]
    return at_most(ratio.max(), 1.0, at_tau(r, rows[later][ratio.argmax()]), "max |dS| / (2 sqrt(m))")


def _train_loss(evidence: Any) -> Measured:
    r = reading(evidence)
    m, loss, due = r.constant("m"), r["train_loss"], HORIZON * r.constant("m")
    reached = crossing(r.tau, -loss, -1.0 / m)
    if np.isfinite(reached):
        return at_most(reached / m, HORIZON, f"loss 1/m = {1 / m:.3g} at tau = {reached:.4g}", "m")
    if r.tau[-1] < due:
        raise Inconclusive(f"the loss is {loss[-1]:.3g} at the horizon, tau = {r.tau[-1]:.4g}; 1/m = {1 / m:.3g} is due by tau = {due:.4g}")
    return at_most(r.tau[-1] / m, HORIZON, f"the loss is still {loss[-1]:.3g}", "m")


def _test_loss(evidence: Any) -> Measured:
    r = reading(evidence)
    found = {}
    for name in ("seen", "unseen"):
        row, loss = _last(r, f"test_loss_{name}")
        found[f"{at_tau(r, row)}, {name} random tokens"] = (loss / r["train_loss"][row], 4.0)
    return worst(at_most, found)


def _accuracy(evidence: Any) -> Measured:
    r = reading(evidence)
    found = {}
    for name in ("seen", "unseen"):
        row, error = _last(r, f"test_error_{name}")
        found[f"{at_tau(r, row)}, {name} random tokens"] = (error, 0.0, 0.5 / FRESH)
    return max((Measured(e, p, e - p, t, where) for where, (e, p, t) in found.items()), key=lambda m: m.deviation)


def _clock(evidence: Any) -> Measured:
    """The loss times tau, whose limit is equation (35)."""
    r = reading(evidence)
    tau = r.tau[-1:]
    return close((tau * r["train_loss"][-1:])[0], (tau * r.theory_at("train_loss", tau))[0], 0.05, at_tau(r, -1))


_LIMIT = (CONDITION_1, BALANCED, DIFFERENT)

CLAIMS = (
    Claim(
        "theorem_3_3_signs", "at the end attention between the targets has risen and that of targets to the common token has fallen",
        _signs, Source("paper", "Theorem 3.3"), r"C_{12}, C_{21} > 0 > C_{31}, C_{32}", {"run": ("min_margin", "score_change")},
        (CONDITION_1, TRAINED), broken(score_change=lambda r: -r["score_change"]),
    ),
    Claim(
        "theorem_3_3_size", "at the end these scores have moved by 2 U Phi (within 10 %)", _size,
        Source("paper", "Theorem 3.3 (order of size); prefactor 2 Phi derived here"), r"C_{cb} = 2U\Phi_{cb}(\tau)",
        {"run": ("score_change",)}, (*_LIMIT, TRAINED, WIDE_ATTENTION, LATE, CONSTANT_RHO),
        broken(score_change=lambda r: 1.3 * r["score_change"]),
    ),
    Claim(
        "theorem_3_3_random", "at the end scores with random tokens have moved by at most U (1/n + L/sqrt(m)), times log(m)^2", _random,
        Source("paper", "Theorem 3.3; log(m)^2 for the hidden logarithms chosen here"), r"|C_{\nu\cdot}| \le \tilde O(U(1/n + L/\sqrt m))",
        {"run": ("random_score_change",)}, (CONDITION_1, TRAINED),
        broken(random_score_change=lambda r: 1e3 * r.seldom("random_score_change")[1]),
    ),
    Claim(
        "theorem_3_3_random_share", "at the end no score with a random token has moved by more than 1/n + L/sqrt(m) of the mean of "
        "the four: the same bound without the log^2 T* that both sizes hide", _random_share,
        Source("paper", "Theorem 3.3 (ratio of its two sizes); constant 1 is the reading here"),
        r"\max|C_{\nu\cdot}| \le (1/n + L/\sqrt m)\,\overline{|C_{\mu\mu'}|}",
        {"run": ("score_change", "random_score_change")}, (CONDITION_1, TRAINED, LATE),
        broken(random_score_change=lambda r: 10.0 * r.seldom("random_score_change")[1]),
    ),
    Claim(
        "theorem_3_3_separation", "at the end the four scores have moved at least twice as far as any with a random token", _separation,
        Source("paper", "Theorem 3.3 (separation of sizes); factor 2 is the reading here"), r"\min|C_{\mu\mu'}| \ge 2\max|C_{\nu\cdot}|",
        {"run": ("score_change", "random_score_change")}, (CONDITION_1, TRAINED, WIDE_ATTENTION, MANY, LATE),
        broken(random_score_change=lambda r: 10.0 * r.seldom("random_score_change")[1]),
    ),
    Claim(
        "theorem_3_3_train_loss", f"the training loss reaches 1/m by tau = {HORIZON:g} m", _train_loss,
        Source("paper", f"Theorem 3.3; 1/m by {HORIZON:g} m is the reading here of 1/poly(m) at T* = poly(m)"), r"L(T^*) \le 1/m",
        {"run": ("train_loss",)}, (CONDITION_1, SMALL),
        broken(train_loss=lambda r: np.maximum(r["train_loss"], 0.1), tau=lambda r: 1e4 * r.tau),
    ),
    Claim(
        "theorem_3_3_test_loss", "at the end test losses, with random tokens seen in training or not, are at most 4 times that of training",
        _test_loss, Source("paper", "Theorem 3.3; factor 4 is the reading here"), r"L_{test}(T^*) \le 4L(T^*)",
        {"run": ("train_loss", "test_loss_seen", "test_loss_unseen")}, (CONDITION_1, MANY),
        broken(test_loss_unseen=lambda r: 1.0 + r.seldom("test_loss_unseen")[1]),
    ),
    Claim(
        "theorem_3_3_accuracy", "at the end no test sample is wrong", _accuracy, Source("paper", "Theorem 3.3 (small test loss)"),
        r"P(yF \le 0) = 0", {"run": ("test_error_seen", "test_error_unseen")}, (CONDITION_1, MANY, LATE),
        broken(test_error_unseen=lambda r: 0.01 + r.seldom("test_error_unseen")[1]),
    ),
    Claim(
        "loss_clock", "at the end loss times tau is that of the parameter-free flow (within 5 %); 17 in its limit", _clock,
        Source("derived", UNIVERSAL), r"L\,\tau \to 17", {"run": ("train_loss",)}, (*_LIMIT, LATE, CONSTANT_RHO),
        broken(train_loss=lambda r: 2.0 * r["train_loss"]),
    ),
    Claim(
        "other_scores", "at the end scores of targets on themselves and on the common token, and of the common token on itself, have risen",
        _others, Source("derived", SCORES), r"C_{11}, C_{22}, C_{13}, C_{23}, C_{33} > 0", {"run": ("score_change",)},
        (*_LIMIT, TRAINED, WIDE_ATTENTION, LATE, LONG), broken(score_change=lambda r: -r["score_change"]),
    ),
    Claim(
        "softmax_scale", "softmax outputs move by at most max |dS| / (2 sqrt(m)), so by 1/m where scores move by 1/sqrt(m)", _softmax_scale,
        Source("derived", f"{SCORES}; Lemma F.17 prints 1/sqrt(m) where its proof has 1/m"), r"|\Delta p| \le |\Delta S|_\infty/(2\sqrt m)",
        {"run": ("softmax_change", "largest_score_change")}, (), broken(softmax_change=lambda r: 100.0 * r["softmax_change"]),
    ),
)
