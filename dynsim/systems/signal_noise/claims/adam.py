"""Claims about the study of Adam's memory: query noise turns below a threshold in beta2, and is frozen above it.

Derivation: docs/derivations/adam.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....sweep import Table, changed
from ..adam import followed_below, threshold
from ..predictions import predict

__all__ = ["CLAIMS", "MEASURED", "MEMORIES", "half_crossed", "pooled", "predicted"]

MEASURED = ("crossed", "clock", "train_loss@end", "test_error@end")
"""What the study measures."""

SAME = ("crossed", *MEASURED[2:])
"""What Adam without memory must have in common with SignGD."""

MEMORIES: Mapping[str, float] = {"adam, beta2 = 0.999": 0.999, "adam, beta2 = 0.5": 0.5}
"""Runs that the figure shows, and their beta2: far on either side of the threshold."""

TOLERANCE = 0.1
"""How far the logarithm of the threshold may be from its prediction, relatively: terms of order |mu|/a times T/T_key are dropped."""

FROZEN, FOLLOWED, RISE = 0.02, 0.05, 0.01
"""Share that may cross where noise is frozen, that may be missing where it follows SignGD, and that a longer memory may add."""

PAGE = "docs/derivations/adam.md"

Evidence = Mapping[str, Any]


def pooled(table: Table) -> tuple[Any, Any]:
    """Return the values of beta2, ascending, and the share of all seeds' pairs against their row that has crossed at each."""
    ran = table.rows((table["error"] == "") & (table["crossable"] > 0))
    beta2 = np.unique(ran["beta2"])
    if not len(beta2):
        raise Inconclusive(f"no run has a pair against its row{': ' + table.errors[0] if table.errors else ''}")
    parts = [ran.where(beta2=b) for b in beta2]
    return beta2, np.array([np.average(part["crossed"], weights=part["crossable"]) for part in parts])


def half_crossed(table: Table) -> float:
    """Return the beta2 at which half of the pairs have crossed, linear in log(1 / beta2) between the two values around it."""
    found, side, ends = _half(table)
    if side:
        raise Inconclusive(ends)
    return found


def _half(table: Table) -> tuple[float, int, str]:
    """Return the beta2 of one half, 0 and ""; or the end of the grid past which it lies, -1 (below) or 1 (above), and the ends."""
    beta2, share = pooled(table.rows(table["beta2"] > 0))  # 0 has no place on the axis of log(1 / beta2)
    below = np.flatnonzero(share < 0.5)
    j = int(below[0]) if len(below) else len(beta2)
    if 0 < j < len(beta2):
        return float(np.exp(np.interp(-0.5, -share[j - 1 : j + 1], np.log(beta2[j - 1 : j + 1])))), 0, ""
    ends = (f"the share crossed does not pass 1/2 between two values of beta2 > 0: from {beta2[0]:g} to {beta2[-1]:g} it goes from "
            f"{share[0]:.3f} to {share[-1]:.3f}")
    return (float(beta2[-1]), 1, ends) if j else (float(beta2[0]), -1, ends)


def predicted(table: Table, which: Callable[..., Any] = threshold) -> float:
    """Return a predicted beta2, `threshold` or `followed_below`, for runs at one setting and rate: mean over their own clocks."""
    s = table.experiment.setting
    typical = s.sigma_p * s.s * np.sqrt(2.0 / np.pi)
    place = float(np.mean(np.log(which(table["T_key"][table["error"] == ""], typical, s.mu_norm, s.n))))
    if not np.isfinite(place):
        raise Inconclusive(f"no beta2 is predicted: T_key is not positive and finite in every run, or 4 a <= |mu| (a = {typical:g})")
    return float(np.exp(place))


class Half(NamedTuple):
    """Measured and predicted half, and how far apart their logarithms are relatively: at least, where a side is named."""

    value: float
    predicted: float
    distance: float
    side: str

    def __str__(self) -> str:
        return f"{self.side}{self.value:.4f} against {self.predicted:.4f}"


def _compare(table: Table) -> Half:
    """Compare the half with its prediction; past the grid it is decided only if even the grid's end is too far from the prediction."""
    found, side, ends = _half(table)
    theory = predicted(table)
    excess = float(np.log(found) / np.log(theory) - 1.0)  # falls as beta2 grows: above the grid it is still lower, below it still higher
    distance = -side * excess if side else abs(excess)
    if side and distance <= TOLERANCE:
        raise Inconclusive(f"{ends}; predicted {theory:.4f}: the grid does not reach past the tolerance of {TOLERANCE:.0%}")
    return Half(found, theory, distance, ("", "above ", "below ")[side])


def _transition(entry: str, evidence: Evidence) -> Measured:
    table = evidence[entry]
    half = _compare(table)
    where = f"half of the pairs{f', {half.side}the whole grid' if half.side else ''}, {len(np.unique(table['seed']))} seeds"
    return Measured(half.value, half.predicted, half.distance, TOLERANCE, where, "beta2")


def _paces(evidence: Evidence) -> Measured:
    """Judge the worst point; a point that cannot be decided hides no violation at another."""
    table, found, undecided = evidence["pace"], {}, []
    for lr, m_k in sorted(set(zip(table["lr"].tolist(), table["m_k"].tolist(), strict=True))):
        place = f"lr = {lr:g}, m_k = {m_k}"
        try:
            found[place] = _compare(table.where(lr=lr).where(m_k=m_k))
        except Inconclusive as reason:
            undecided.append(f"{place}: {reason}")
    worst = max(found, key=lambda place: found[place].distance, default=None)
    if worst is None or (undecided and found[worst].distance <= TOLERANCE):
        raise Inconclusive("; ".join(undecided) or "the sweep has no point")
    text = "; ".join([*(f"{place}: {half}" for place, half in found.items()), *undecided])
    half = found[worst]
    return Measured(half.value, half.predicted, half.distance, TOLERANCE, f"{worst}, the worst of {text}", "beta2")


def _same_as_signgd(evidence: Evidence) -> Measured:
    adam, sign = evidence["beta2"].rows(evidence["beta2"]["beta2"] == 0.0), evidence["signgd"]
    seeds = np.intersect1d(adam["seed"], sign["seed"])
    if not len(seeds) or (adam["error"] != "").any() or (sign["error"] != "").any():
        raise Inconclusive("the sweeps have no seed in common at beta2 = 0, or runs that failed")
    gaps = {
        name: np.abs(adam[name][np.isin(adam["seed"], seeds)] - sign[name][np.isin(sign["seed"], seeds)]).max()
        for name in SAME
    }
    worst = max(gaps, key=lambda name: gaps[name] if np.isfinite(gaps[name]) else np.inf)
    return Measured(float(gaps[worst]), 0.0, float(gaps[worst]), 1e-300, f"{worst}, {len(seeds)} seeds")


def _follows(evidence: Evidence) -> Measured:
    beta2, share = pooled(evidence["beta2"])
    limit = predicted(evidence["beta2"], followed_below)
    low = (beta2 > 0) & (beta2 <= limit)
    if beta2[0] != 0.0 or not low.any():
        raise Inconclusive(f"beta2 = 0 and a value up to {limit:.3f} are needed")
    j = int(np.argmin(np.where(low, share, np.inf)))
    missing = float(share[0] - share[j])
    return Measured(float(share[j]), float(share[0]), missing, FOLLOWED, f"beta2 = {beta2[j]:g}, of those up to {limit:.3f}")


def _frozen(evidence: Evidence) -> Measured:
    beta2, share = pooled(evidence["beta2"])
    if beta2[-1] < 0.999:
        raise Inconclusive(f"the largest beta2 is {beta2[-1]:g}: Adam's default 0.999 is needed")
    return Measured(float(share[-1]), 0.0, float(share[-1]), FROZEN, f"beta2 = {beta2[-1]:g}", "of the pairs")


def _falls(evidence: Evidence) -> Measured:
    beta2, share = pooled(evidence["beta2"])
    if len(share) < 2:
        raise Inconclusive("one value of beta2 only")
    j = int(np.argmax(np.diff(share)))
    rise = float(np.diff(share)[j])
    return Measured(rise, 0.0, rise, RISE, f"largest rise, from beta2 = {beta2[j]:g} to {beta2[j + 1]:g}")


def _second_moment_only(evidence: Evidence) -> bool:
    rules = [table.about["experiment"]["optimizer"] for table in evidence.values() if isinstance(table, Table) and "beta2" in table.axes]
    return all((rule["rule"], rule.get("beta1"), rule.get("eps")) == ("adam", 0.0, 0.0) for rule in rules)


def _in_window(entry: str, evidence: Evidence) -> bool:
    """|mu| <= a / 30 and a horizon between 6 and 7 T_key at every point."""
    table = evidence[entry]
    for point, rows in table.points():
        one = table.experiment.vary(point)
        theory = predict(one.setting, lr=one.optimizer.lr)
        short, long = 6.0 * theory.T_key, 7.0 * theory.T_key
        if one.setting.mu_norm > theory.a / 30.0 or np.any((rows["steps"] < short) | (rows["steps"] > long)):
            return False
    return True


SECOND = Assumption("Adam with beta1 = 0 and eps = 0", _second_moment_only)


def _window(entry: str) -> tuple[Assumption, ...]:
    text = "|mu| <= a / 30, horizon between 6 and 7 T_key: key noise itself has not slowed down"
    return SECOND, Assumption(text, partial(_in_window, entry))


def _derived(section: str) -> Source:
    return Source("derived", f"{PAGE}, {section}")


MEASURED_ONLY = Source("ours", f"{PAGE}, Measured")


CROSSED = ("beta2", "crossed", "crossable", "T_key")

CLAIMS = (
    Claim(
        "adam_without_memory_is_signgd", "at beta2 = 0 every number of every seed is SignGD's, exactly", _same_as_signgd,
        _derived("section 2"), r"\hat m/\sqrt{\hat v} = g/|g|", {"beta2": ("beta2", *SAME), "signgd": SAME},
        (SECOND,), changed("beta2", **{"train_loss@end": lambda t: t["train_loss@end"] * (1.0 + 1e-15)}),
    ),
    Claim(
        "adam_transition", f"half of the pairs against their row cross at the predicted beta2: its logarithm within {TOLERANCE:.0%}",
        partial(_transition, "beta2"), _derived("section 4"), r"\beta_2^* = e^{-8(1-f)\,m_k(\eta a)^2 T_{key}}", {"beta2": CROSSED},
        _window("beta2"), changed("beta2", beta2=lambda t: t["beta2"] ** 1.3),
    ),
    Claim(
        "adam_transition_overlap", f"the same with overlapping supports, for which it was not derived: within {TOLERANCE:.0%}",
        partial(_transition, "beta2_overlap"), MEASURED_ONLY, r"\beta_2^* = e^{-8(1-f)\,m_k(\eta a)^2 T_{key}}",
        {"beta2_overlap": CROSSED}, _window("beta2_overlap"), changed("beta2_overlap", beta2=lambda t: t["beta2"] ** 1.3),
    ),
    Claim(
        "adam_transition_pace", f"log(1 / beta2*) is proportional to lr sqrt(m_k): within {TOLERANCE:.0%} of the prediction at every point",
        _paces, _derived("section 4"), r"\log(1/\beta_2^*) = 8(1-f)\,\eta a\sqrt{m_k\log(4a/\|\mu\|)}",
        {"pace": (*CROSSED, "lr", "m_k")}, _window("pace"), changed("pace", beta2=lambda t: t["beta2"] ** (t["lr"] / 5e-5) ** 0.2),
    ),
    Claim(
        "adam_follows_signgd", f"up to beta2 = exp(-2 (8 - 6f) m_k (lr a)^2 T_key) no more than {FOLLOWED:.0%} of the pairs are missing",
        _follows, _derived("section 4"), r"\beta_2 \le e^{-2(8-6f)\,m_k(\eta a)^2 T_{key}}", {"beta2": CROSSED}, _window("beta2"),
        changed("beta2", crossed=lambda t: np.where(t["beta2"] > 0, 0.9 * t["crossed"], t["crossed"])),
    ),
    Claim(
        "adam_freezes_query_noise", f"at Adam's default beta2 = 0.999 at most {FROZEN:.0%} of the pairs cross", _frozen,
        _derived("section 3"), r"\beta_2 = 0.999 \gg \beta_2^*", {"beta2": CROSSED}, _window("beta2"),
        changed("beta2", crossed=lambda t: np.maximum(t["crossed"], 0.05)),
    ),
    Claim(
        "adam_share_falls_with_memory", f"the share of pairs that cross does not rise with beta2 (by more than {RISE:g} at a time)",
        _falls, MEASURED_ONLY, r"\beta_2 \uparrow\ \Rightarrow\ \mathrm{crossed} \downarrow", {"beta2": CROSSED}, (SECOND,),
        changed("beta2", crossed=lambda t: np.where(t["beta2"] == 0.5, 0.9 * t["crossed"], t["crossed"])),
    ),
)
"""Claims about the study, all about Adam whose only memory is the second moment."""
