"""Claims about sweeps: the theorems step by step, bounds under noise, and the law of log-normal blocks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import close, complete
from ....sweep import Table, changed
from .rows import PAGE, derived, least, most, named, ours, pick

__all__ = ["CLAIMS"]


def _covered(entry: str, theorem: str, evidence: Any) -> Table:
    """Return the rows at whose every iterate the theorem's assumptions held."""
    table = complete(evidence[entry], f"{theorem}_assumed")
    covered = table.rows(table[f"{theorem}_assumed"] == 1.0)
    if not covered.cells:
        raise Inconclusive(f"in no run did the assumptions of {theorem} hold")
    return covered


def _bound(entry: str, theorem: str, evidence: Any) -> Measured:
    """The numbers of steps in equations (7) and (8)."""
    rows = complete(_covered(entry, theorem, evidence), f"{theorem}_steps", f"{theorem}_bound")
    return most(rows[f"{theorem}_steps"] / rows[f"{theorem}_bound"], 1.0, rows, "of the bound")


def _decrease(entry: str, evidence: Any) -> Measured:
    """The decrease of every step in equations (7) and (8)."""
    columns = ("T1_decrease", "T2_decrease")
    found = [(complete(_covered(entry, name[:2], evidence), name), name) for name in columns]
    rows, name = min(found, key=lambda item: item[0][item[1]].min())
    return least(rows[name], 1.0 - 1e-9, rows, f"of the decrease guaranteed ({name[:2]})")


def _assumed(entry: str, evidence: Any) -> Measured:
    table = complete(evidence[entry], "T1_assumed", "T2_assumed")
    failed = int(((table["T1_assumed"] != 1.0) | (table["T2_assumed"] != 1.0)).sum())
    return Measured(float(failed), 0.0, float(failed), 0.5, f"{table.cells} runs", "runs in which an assumption failed at some iterate")


def _isotropic(evidence: Any) -> Measured:
    rows = complete(pick(evidence["theorems"], inner=1.0), "T2_decrease")
    row = int(np.argmax(np.abs(rows["T2_decrease"] - 1.0)))
    where = f"{named(rows, row)}; {rows.cells} runs"
    return close(rows["T2_decrease"][row], 1.0, 1e-9, where, "of the decrease guaranteed, least over steps")


def _noise(mean: str, bound: str, evidence: Any) -> Measured:
    """The bounds of equations (29) and (30)."""
    rows = complete(evidence["noise"], mean, bound)
    return most(rows[mean] / rows[bound], 1.0, rows, "of the bound, mean over steps and repeats")


def _above_silent(mean: str, silent: str, evidence: Any) -> Measured:
    rows = complete(evidence["noise"], mean, silent)
    return least(rows[mean] / rows[silent], 1.0, rows, "of the bound without noise, mean over steps and repeats")


def _law(unit: bool, evidence: Any) -> Measured:
    """R of equation (3)."""
    table = complete(evidence["law"], "seed")
    a, s, R, predicted = (np.asarray(table[name]) for name in ("law_a", "law_s", "law_R", "law_predicted"))
    here = (s == 1.0) & (a <= 1.0) if unit else s <= 0.5
    if not here.any() or not np.isfinite(R[here] / predicted[here]).all():
        raise Inconclusive("the sweep has no draws at such a and s, or some that failed")
    off = np.where(here, np.abs(R / predicted - 1.0), -1.0)
    at = np.unravel_index(np.argmax(off), off.shape)
    return close(R[at], predicted[at], 0.05, f"a = {a[at]:g}, s = {s[at]:g}; {int(here.sum())} draws", "R")


CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"{entry}_{theorem}", f"{text}: the steps of {rule} to a small gradient are within the bound of {theorem} wherever its "
            "assumptions hold", partial(_bound, entry, theorem), derived(section), rf"T \leq {c}\,\Delta\,\{symbol}/\epsilon^2",
            {entry: (f"{theorem}_steps", f"{theorem}_bound", f"{theorem}_assumed")}, (),
            changed(entry, **{f"{theorem}_bound": lambda t, name=f"{theorem}_steps": 0.5 * t[name]}),
        )
        for entry, text, section, c in (("theorems", "quadratics in blocks", 2, 2), ("logistic", "logistic regression", 3, 6))
        for theorem, rule, symbol in (("T1", "gradient descent", "Lambda_G"), ("T2", "sign descent", "Lambda_P"))
    ),
    *(
        Claim(
            f"{entry}_decrease", f"{text}: every step of both theorems' rules lowers the loss at least as much as guaranteed",
            partial(_decrease, entry), derived(section), "", {entry: ("T1_decrease", "T2_decrease", "T1_assumed", "T2_assumed")}, (),
            changed(entry, T2_decrease=lambda t: 0.99 * t["T2_decrease"] / t["T2_decrease"].max()),
        )
        for entry, text, section in (("theorems", "quadratics in blocks", 2), ("logistic", "logistic regression", 3))
    ),
    *(
        Claim(
            f"{entry}_assumptions", f"{text}; Lambda is raised until it bounds what the path meets and A3 holds, so that these two hold "
            "by construction", partial(_assumed, entry), source, r"\epsilon \leq \Lambda^2/\rho",
            {entry: ("T1_assumed", "T2_assumed")}, (), changed(entry, T1_assumed=lambda t: np.zeros(t.cells)),
        )
        for entry, text, source in (
            ("theorems", "quadratics in blocks: rho = 0, so that every target is small enough for the theorems (A4), as it must be",
             derived(2)),
            ("logistic", "logistic regression: the target is small enough for the theorems (A4) in every run", Source("ours", PAGE)),
        )
    ),
    Claim(
        "theorems_isotropic_exact", "isotropic blocks: some step of sign descent lowers the loss by exactly what T2 guarantees (1e-9), and "
        "none by less", _isotropic, derived(2), r"s^\top H s = P\Lambda_P", {"theorems": ("T2_decrease", "inner")}, (),
        changed("theorems", T2_decrease=lambda t: 1.01 * t["T2_decrease"]),
    ),
    *(
        Claim(
            f"noise_{id}", text, partial(_noise, mean, bound), derived(4), latex, {"noise": (mean, bound)}, (),
            changed("noise", **{mean: lambda t, name=bound: 1.1 * t[name]}),
        )
        for id, mean, bound, text, latex in (
            ("S1", "S1_mean", "S1_bound", "noisy gradient descent at rate 1 / max h: the mean of |g|^2 is within S1",
             r"\overline{\|g\|^2} \leq 2\Delta/(\eta T) + \eta\Lambda_\sigma\sigma^2"),
            ("S2", "S2_mean", "S2_bound", "noisy sign descent at the rate of S2: the mean of |g|_1 is within S2",
             r"\overline{\|g\|_1} \leq \sqrt{2\Delta P\Lambda_P/T} + \|s\|_1"),
            ("progress", "S2_progress", "S2_silent", "noisy sign descent: the mean of the progress that a noisy sign expects is within S2 "
             "without its noise term", r"\overline{\sum_i |g_i|\,\mathrm{erf}(|g_i|/\sqrt2 s_i)} \leq \sqrt{2\Delta P\Lambda_P/T}"),
        )
    ),
    *(
        Claim(
            f"noise_{id}_needed", f"{text} is above the bound without its noise term, so that this term is needed",
            partial(_above_silent, f"{id}_mean", f"{id}_silent"), ours(4), "", {"noise": (f"{id}_mean", f"{id}_silent")}, (),
            changed("noise", **{f"{id}_mean": lambda t, name=f"{id}_silent": 0.9 * t[name]}),
        )
        for id, text in (
            ("S1", "noisy gradient descent at rate 1 / max h: the mean of |g|^2"),
            ("S2", "noisy sign descent at the rate of S2: the mean of |g|_1"),
        )
    ),
    *(
        Claim(
            f"law_{id}", f"R of 200,000 log-normal blocks, one from each of as many quantiles, is (2/pi) exp(s^2 (2a - 1)) to 5 % "
            f"for {text}", partial(_law, unit), ours(2), r"R = \tfrac2\pi e^{s^2(2a-1)}",
            {"law": ("law_a", "law_s", "law_R", "law_predicted")}, (),
            changed("law", law_predicted=lambda t: t["law_predicted"] * np.exp(0.1 + t["law_s"] ** 2)),
        )
        for id, unit, text in (("small_spread", False, "s <= 0.5"), ("unit_spread", True, "s = 1, a <= 1, where a sample's tails count"))
    ),
)
"""Claims about theorems, bounds and the law."""
