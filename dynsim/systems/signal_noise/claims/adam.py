"""Claims about the study of Adam's memory: query noise turns below a threshold in beta2, and is frozen above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

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
    beta2, share = pooled(table)
    below = np.flatnonzero(share < 0.5)
    if not len(below) or below[0] == 0 or beta2[below[0] - 1] == 0.0:
        ends = f"it goes from {share[0]:.3f} to {share[-1]:.3f}"
        raise Inconclusive(f"the share crossed does not pass 1/2 between two values of beta2 > 0: {ends}")
    j = int(below[0])
    return float(np.exp(np.interp(-0.5, -share[j - 1 : j + 1], np.log(beta2[j - 1 : j + 1]))))


def predicted(table: Table, which: Callable[..., Any] = threshold) -> float:
    """Return a predicted beta2, `threshold` or `followed_below`, for runs at one setting and rate: mean over their own clocks."""
    s = table.experiment.setting
    typical = s.sigma_p * s.s * np.sqrt(2.0 / np.pi)
    return float(np.exp(np.mean(np.log(which(table["T_key"][table["error"] == ""], typical, s.mu_norm, s.n)))))


def _distance(table: Table) -> tuple[float, float, float]:
    """Return the measured threshold, the predicted one, and how far apart their logarithms are relatively."""
    found, theory = half_crossed(table), predicted(table)
    return found, theory, abs(np.log(found) / np.log(theory) - 1.0)


def _transition(entry: str, evidence: Evidence) -> Measured:
    table = evidence[entry]
    found, theory, distance = _distance(table)
    return Measured(found, theory, distance, TOLERANCE, f"half of the pairs, {len(np.unique(table['seed']))} seeds", "beta2")


def _paces(evidence: Evidence) -> Measured:
    table, found = evidence["pace"], []
    for lr, m_k in sorted(set(zip(table["lr"].tolist(), table["m_k"].tolist(), strict=True))):
        found.append((*_distance(table.where(lr=lr).where(m_k=m_k)), f"lr = {lr:g}, m_k = {m_k}"))
    value, theory, distance, where = max(found, key=lambda one: one[2])
    text = "; ".join(f"{place}: {seen:.4f} against {told:.4f}" for seen, told, _, place in found)
    return Measured(value, theory, distance, TOLERANCE, f"{where}, the worst of {text}", "beta2")


def _same_as_signgd(evidence: Evidence) -> Measured:
    adam, sign = evidence["beta2"].where(beta2=0.0), evidence["signgd"]
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


def _source(section: str) -> Source:
    return Source("derived", f"{PAGE}, {section}")


CROSSED = ("beta2", "crossed", "crossable", "T_key")

CLAIMS = (
    Claim(
        "adam_without_memory_is_signgd", "at beta2 = 0 every number of every seed is SignGD's, exactly", _same_as_signgd,
        _source("section 2"), r"\hat m/\sqrt{\hat v} = g/|g|", {"beta2": ("beta2", *SAME), "signgd": SAME},
        (SECOND,), changed("beta2", **{"train_loss@end": lambda t: t["train_loss@end"] * (1.0 + 1e-15)}),
    ),
    Claim(
        "adam_transition", f"half of the pairs against their row cross at the predicted beta2: its logarithm within {TOLERANCE:.0%}",
        partial(_transition, "beta2"), _source("section 4"), r"\beta_2^* = e^{-8(1-f)\,m_k(\eta a)^2 T_{key}}", {"beta2": CROSSED},
        _window("beta2"), changed("beta2", beta2=lambda t: t["beta2"] ** 1.3),
    ),
    Claim(
        "adam_transition_overlap", f"the same with overlapping supports, for which it was not derived: within {TOLERANCE:.0%}",
        partial(_transition, "beta2_overlap"), _source("section 4"), r"\beta_2^* = e^{-8(1-f)\,m_k(\eta a)^2 T_{key}}",
        {"beta2_overlap": CROSSED}, _window("beta2_overlap"), changed("beta2_overlap", beta2=lambda t: t["beta2"] ** 1.3),
    ),
    Claim(
        "adam_transition_pace", f"log(1 / beta2*) is proportional to lr sqrt(m_k): within {TOLERANCE:.0%} of the prediction at every point",
        _paces, _source("section 4"), r"\log(1/\beta_2^*) = 8(1-f)\,\eta a\sqrt{m_k\log(4a/\|\mu\|)}",
        {"pace": (*CROSSED, "lr", "m_k")}, _window("pace"), changed("pace", beta2=lambda t: t["beta2"] ** (t["lr"] / 5e-5) ** 0.2),
    ),
    Claim(
        "adam_follows_signgd", f"up to beta2 = exp(-2 (8 - 6f) m_k (lr a)^2 T_key) no more than {FOLLOWED:.0%} of the pairs are missing",
        _follows, _source("section 4"), r"\beta_2 \le e^{-2(8-6f)\,m_k(\eta a)^2 T_{key}}", {"beta2": CROSSED}, _window("beta2"),
        changed("beta2", crossed=lambda t: np.where(t["beta2"] > 0, 0.9 * t["crossed"], t["crossed"])),
    ),
    Claim(
        "adam_freezes_query_noise", f"at Adam's default beta2 = 0.999 at most {FROZEN:.0%} of the pairs cross", _frozen,
        _source("section 3"), r"\beta_2 = 0.999 \gg \beta_2^*", {"beta2": CROSSED}, _window("beta2"),
        changed("beta2", crossed=lambda t: np.maximum(t["crossed"], 0.05)),
    ),
    Claim(
        "adam_share_falls_with_memory", f"the share of pairs that cross does not rise with beta2 (by more than {RISE:g} at a time)",
        _falls, _source("section 4"), r"\beta_2 \uparrow\ \Rightarrow\ \mathrm{crossed} \downarrow", {"beta2": CROSSED}, (SECOND,),
        changed("beta2", crossed=lambda t: np.where(t["beta2"] == 0.5, 0.9 * t["crossed"], t["crossed"])),
    ),
)
"""Claims about the study, all about Adam whose only memory is the second moment."""
