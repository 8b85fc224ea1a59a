"""Claims about sweeps: exponents in the width, what the initial weights do, what attention adds, how many samples it takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....scaling import PowerLaw, fit_power_law
from ....sweep import Table, changed
from ..universal import limits

__all__ = ["CLAIMS", "EXPONENTS"]

EXPONENTS: Mapping[str, Mapping[str, float]] = {
    "T1": {"m": -1.0, "c1": -2.0}, "dGamma_T1": {"m": -1.0}, "dKK_T1": {"m": -2.0}, "dQQ_T1": {"m": -2.0}, "dS_T1": {"m": -1.5},
    "dW_T1": {"m": -1.0}, "C_signal": {"m": -1.5, "c0": 2.0, "c1": -2.0}, "dp_late": {"m": -2.0}, "rho_growth": {"m": -2.0},
}
"""Exponents in the width and in the scales of the initial weights.

Those of Theorem 3.1 / E.28 (T1 and the displacements at T1) are upper bounds, that of C_signal is Theorem 3.3's; those of the softmax
displacement and of the growth of rho are derived here.
"""

TOLERANCE = {"T1": 0.02, "dGamma_T1": 0.02, "dKK_T1": 0.05, "dQQ_T1": 0.05, "C_signal": 0.08}
"""How far an exponent in m may be from the theory's; fixed before the sweeps were run."""
LAST_PAIR = ("C_signal",)
"""Quantities judged between the two largest widths: where m is small, the growth of rho bends them."""
SEVERAL, POINTS, SEEDS = 8.0, 4, 3
"""Factor that the width must span, and how many widths and seeds there must be, before an exponent is judged."""


def _fitted(table: Table, quantity: str, name: str = "m") -> PowerLaw:
    try:
        return fit_power_law(table.arm(name), quantity)
    except ValueError as reason:  # the table has no such law to fit
        raise Inconclusive(str(reason)) from None


def _estimate(table: Table, quantity: str) -> tuple[float, float, float, str]:
    """Exponent in m with its 95 % interval, and what it was read from."""
    law = _fitted(table, quantity)
    found, local = law["m"], law.local["m"]
    if found.factor < SEVERAL or found.values < POINTS or law.seeds < SEEDS:
        raise Inconclusive(f"m takes {found.values} values over a factor of {found.factor:.3g} in {law.seeds} seeds: give it {POINTS} "
                           f"values, a factor of {SEVERAL:g} and {SEEDS} seeds or more")
    last = local[-1]
    text = (f"fit over m = {local[0].low_x:g} to {last.high_x:g}: {found.value:.4f} [{found.low:.4f}, {found.high:.4f}]; "
            f"last pair: {last.value:.4f} [{last.low:.4f}, {last.high:.4f}]; {law.seeds} seeds")
    chosen: Any = last if quantity in LAST_PAIR else found
    return float(chosen.value), float(chosen.low), float(chosen.high), text


def _exponent(quantity: str, evidence: Any) -> Measured:
    value, low, high, text = _estimate(evidence["sweep"], quantity)
    theory, tolerance = EXPONENTS[quantity]["m"], TOLERANCE[quantity]
    inside = theory - tolerance <= low and high <= theory + tolerance
    apart = high < theory - tolerance or low > theory + tolerance
    if not inside and not apart:
        raise Inconclusive(f"{text}: the interval reaches beyond {theory:g} +- {tolerance:g} on one side at least; run more seeds")
    return Measured(value, theory, max(abs(low - theory), abs(high - theory)), tolerance, text)


def _bounded(quantity: str, evidence: Any) -> Measured:
    """The exponent is at most the bound's: the whole interval, up to a tolerance for logarithms."""
    value, low, high, text = _estimate(evidence["sweep"], quantity)
    bound = EXPONENTS[quantity]["m"]
    if low <= bound + 0.1 < high:
        raise Inconclusive(f"{text}: the interval contains the bound {bound:g} + 0.1; run more seeds")
    return Measured(value, bound, high - bound, 0.1, text)


def _steeper(quantity: str, by: float) -> Any:
    """Negative control: the quantity multiplied by a power of the width."""
    return changed("sweep", **{quantity: lambda table: table[quantity] * np.asarray(table["m"], dtype=float) ** by})


def _share(evidence: Any) -> Measured:
    table = evidence["sweep"]
    widest = table.rows(table["m"] == table["m"].max())
    share = widest["C_share"][np.isfinite(widest["C_share"])]
    if not len(share):
        raise Inconclusive("no seed at the largest width has displacements to compare with 2 U Phi")
    median = float(np.median(share))
    return Measured(median, 1.0, abs(median - 1.0), 0.1, f"median of {len(share)} seeds at m = {widest['m'][0]:g}")


def _signs(entry: str, evidence: Any) -> Measured:
    table = evidence[entry]
    signs = table["C_signs"][np.isfinite(table["C_signs"])]
    if not len(signs):
        raise Inconclusive("no run reaches the clock at which the displacements are read")
    share = float((signs == 4).mean())
    return Measured(share, 1.0, 1.0 - share, 0.5 / len(signs), f"{len(signs)} runs", "of the runs")


def _imbalance(evidence: Any) -> Measured:
    law = _fitted(evidence["c0"], "imbalance", "c0")
    found = law["c0"]
    if not np.isfinite([found.low, found.high]).all():
        raise Inconclusive(f"imbalance ~ c0^{found.value:.3f} from one seed: give several, for an interval")
    where = f"95 % interval [{found.low:.3f}, {found.high:.3f}], {law.seeds} seeds"
    return Measured(found.value, 1.0, max(abs(found.low - 1.0), abs(found.high - 1.0)), 0.1, where)


def _attention(evidence: Any) -> Measured:
    table = evidence["attention"]
    worst, where = 0.0, ""
    for seed in np.unique(table["seed"]):
        pair = {bool(flag): table.where(seed=seed, attention=flag)["train_loss@end"] for flag in (True, False)}
        gap = float(abs(pair[False][0] / pair[True][0] - 1.0))
        if gap >= worst:
            worst, where = gap, f"seed {seed}: loss {pair[True][0]:.7g} trained, {pair[False][0]:.7g} held"
    return Measured(worst, 0.0, worst, 1e-4, where, "relative difference of the loss")


def _samples(evidence: Any) -> Measured:
    table, texts, worst = evidence["n"], [], 0.0
    for n in np.unique(table["n"]):
        mean = float(np.nanmean(table.where(n=n)["ratio_late"]))
        predicted = limits(float(n), table.experiment.setting.L)["-G3'/G1'"]
        texts.append(f"n = {n:g}: {mean:.4f} ({predicted:.4f})")
        worst = max(worst, abs(mean - predicted))
    return Measured(worst, 0.0, worst, 0.02, "; ".join(texts), "largest deviation of -G3'/max(G1', G2')")


def _widths(evidence: Any) -> bool:
    setting = evidence["sweep"].experiment.setting
    return bool(setting.init == "normal" and setting.output == "signs")


NORMAL = Assumption("init=normal, output=signs", _widths)
STATED = {
    "T1": "Theorem 3.1 (T1 = O~(1/m); that it is tight, and margin 0.25, are the reading here)",
    "dGamma_T1": "Theorem E.28 (upper bound; that it is tight is the reading here)",
    "dKK_T1": "Theorem E.28 (upper bound; that it is tight is the reading here)",
    "dQQ_T1": "Theorem E.28 (upper bound; that it is tight is the reading here)",
    "C_signal": "Theorem 3.3 (first term of its Theta)",
}
SYMBOLS = {
    "T1": "T_1", "dGamma_T1": r"\max|\Delta\Gamma|", "dKK_T1": r"\max|\Delta KK|", "dQQ_T1": r"\max|\Delta QQ|",
    "C_signal": r"\overline{|C|}", "dS_T1": r"\max|\Delta S|", "dW_T1": r"\max|\Delta\langle w_i, w_j\rangle|",
}

CLAIMS = (
    *(
        Claim(
            f"{quantity}_exponent_m", f"{quantity} scales as m to the power {EXPONENTS[quantity]['m']:g}"
            f"{' between the two largest widths' if quantity in LAST_PAIR else ''}: the 95 % interval within {TOLERANCE[quantity]:g}",
            partial(_exponent, quantity), Source("paper", STATED[quantity]),
            rf"{SYMBOLS[quantity]} \propto m^{{{EXPONENTS[quantity]['m']:g}}}", {"sweep": (quantity, "m")}, (NORMAL,),
            _steeper(quantity, 0.25),
        )
        for quantity in TOLERANCE
    ),
    *(
        Claim(
            f"{quantity}_exponent_m",
            f"{quantity} shrinks with m as fast as its bound or faster, to the power {EXPONENTS[quantity]['m']:g}",
            partial(_bounded, quantity), Source("paper", "Theorem E.28 (upper bound up to logarithms, for which 0.1 is allowed here)"),
            rf"{SYMBOLS[quantity]} \le O(m^{{{EXPONENTS[quantity]['m']:g}}})", {"sweep": (quantity, "m")}, (NORMAL,),
            _steeper(quantity, 0.5),
        )
        for quantity in ("dS_T1", "dW_T1")
    ),
    Claim(
        "C_share_wide", "at the largest width the four displacements are 2 U Phi, the median over seeds within 10 %", _share,
        Source("derived", "docs/derivations/cooccurrence.md, section 7"), r"C_{cb} = 2 U \Phi_{cb}", {"sweep": ("C_share", "m")},
        (NORMAL,), changed("sweep", C_share=lambda table: 2.0 * table["C_share"]),
    ),
    Claim(
        "C_signs_in_every_run", "C12, C21 > 0 and C31, C32 < 0 in every run", partial(_signs, "sweep"),
        Source("paper", "Theorem 3.3 (signs)"), r"C_{12}, C_{21}, -C_{31}, -C_{32} > 0", {"sweep": ("C_signs", "m")}, (NORMAL,),
        changed("sweep", C_signs=lambda table: np.where(table["seed"] == table["seed"][0], 3.0, table["C_signs"])),
    ),
    Claim(
        "imbalance_exponent_c0",
        "the largest |s2 - s3| / min(s2, s3) of Phase 2 grows in proportion to the scale c0 of the outputs at first: the "
        "whole 95 % interval of the power within 0.1",
        _imbalance, Source("ours", "docs/cooccurrence.md, Initial weights (Lemma 4.4 bounds it by a constant)"),
        r"\max \frac{|s_2 - s_3|}{\min(s_2, s_3)} \propto c_0", {"c0": ("imbalance", "c0")}, (),
        changed("c0", imbalance=lambda table: table["imbalance"] * np.asarray(table["c0"]) ** 0.5),
    ),
    Claim(
        "C_signs_at_every_c0", "the four scores have the claimed signs at every scale of the initial weights", partial(_signs, "c0"),
        Source("paper", "Theorem 3.3 (signs)"), r"C_{12}, C_{21}, -C_{31}, -C_{32} > 0", {"c0": ("C_signs", "c0")}, (),
        changed("c0", C_signs=lambda table: np.where(table["seed"] == table["seed"][0], 3.0, table["C_signs"])),
    ),
    Claim(
        "attention_adds_little", "holding attention at its start changes the loss by less than 1e-4 of it, in every seed", _attention,
        Source("ours", "docs/cooccurrence.md, Attention adds little"), r"|L_{held} / L - 1| < 10^{-4}",
        {"attention": ("train_loss@end", "attention")}, (),
        changed("attention", **{"train_loss@end": lambda table: np.where(table["attention"], 1.0, 1.001) * table["train_loss@end"]}),
    ),
    Claim(
        "ratio_over_n", "the late ratio -G3' / max(G1', G2') follows the parameter-free limit at every n, means over seeds within 0.02",
        _samples, Source("derived", "docs/derivations/cooccurrence.md, section 6"), r"R \to (2 - \kappa)/(\kappa - 1)",
        {"n": ("ratio_late", "n")}, (), changed("n", ratio_late=lambda table: np.full(table.cells, 1.5)),
    ),
)
"""Claims about the sweeps of the study."""
