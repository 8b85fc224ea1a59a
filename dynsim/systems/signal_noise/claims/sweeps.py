"""Claims about sweeps: the exponents of Theorem 3.2, the constant, and how often all of it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....scaling import PowerLaw, fit_power_law, wilson_interval
from ....sweep import Table, changed
from ..predictions import EPS, LEVELS

__all__ = ["CLAIMS", "EXPONENTS", "THEOREM", "fitted"]

EXPONENTS: Mapping[str, Mapping[str, float]] = {
    "t_attn": {"lr": -1.0, "m_k": -0.5, "sigma_p": -0.5, "s": -0.5, "mu_norm": -0.5, "n": 0.0},
    "t_loss": {"lr": -1.0, "m_k": 0.0, "sigma_p": -1.0, "s": -1.0, "mu_norm": 0.0, "n": 0.0},
}
"""Exponents of T_attn (first step with mean softmax_11 < 0.1) and T (training loss <= 0.01) in Theorem 3.2.

The theorem bounds both times from above, T_attn up to logarithms; that the bounds are tight is the reading here.
"""

TOLERANCE = {"t_attn": 0.03, "t_loss": 0.1}
"""How far the interval of an exponent may reach from the theorem's; T has corrections of order |mu|/a and from attention's own shift."""

SEVERAL = 4.0
"""Factor that a variable must span before an exponent is judged."""

THEOREM = ("theorem_3_2_loss", "theorem_3_2_attention", "theorem_3_2_test_loss")
"""The parts of Theorem 3.2 that one run shows: small loss at T, attention on noise at T_attn, test loss of order 1."""

SYMBOLS = {"lr": r"\eta", "m_k": "m_k", "sigma_p": r"\sigma_p", "s": "s", "mu_norm": r"\|\mu\|", "n": "n"}


def fitted(table: Table, quantity: str, name: str, **options: Any) -> PowerLaw:
    """Fit the exponent of one variable: along its arm where the points are a star, else together with all others."""
    try:
        return fit_power_law(table.arm(name), quantity, **options)
    except ValueError as reason:  # the table has no such law to fit: times of 0, points that repeat
        raise Inconclusive(str(reason)) from None


def _exponent(quantity: str, name: str, evidence: Any) -> Measured:
    theory, tolerance = EXPONENTS[quantity][name], TOLERANCE[quantity]
    law = fitted(evidence["sweep"], quantity, name)
    found = law[name]
    if found.factor < SEVERAL:
        raise Inconclusive(f"{name} spans a factor of {found.factor:.3g} only: give it {SEVERAL:g} or more")
    if not np.isfinite([found.low, found.high]).all():
        raise Inconclusive(f"{quantity} ~ {name}^{found.value:.4f} from one seed: give several, for an interval")
    left = f"; {len(law.censored) + len(law.failed)} points left out" if law.censored or law.failed else ""
    where = f"95 % interval [{found.low:.4f}, {found.high:.4f}], factor {found.factor:.3g}, {law.seeds} seeds{left}"
    if quantity == "t_attn":
        where += f"; largest sigma_0 / (lr T_attn) {np.nanmax(evidence['sweep'].arm(name)['residue']):.3g}"
    return Measured(found.value, theory, max(abs(found.low - theory), abs(found.high - theory)), tolerance, where)


def _in_regime(name: str, evidence: Any) -> bool:
    table = evidence["sweep"].arm(name)
    ran = table["error"] == ""
    return bool((table["residue"][ran] <= 0.02).all() and (table["T_key"][ran] >= 5).all())


def _noisy(name: str, evidence: Any) -> bool:
    """|mu| below the typical l1 norm of a noise token at every point."""
    table = evidence["sweep"].arm(name)
    base = table.experiment.setting.to_dict()
    sigma_p, s, mu = (table[key] if key in table else base[key] for key in ("sigma_p", "s", "mu_norm"))
    return bool(np.all(mu < sigma_p * s * np.sqrt(2.0 / np.pi)))


def _is_signgd(evidence: Any) -> bool:
    for table in (table for table in evidence.values() if isinstance(table, Table)):
        rule = table.about["experiment"]["optimizer"]
        rules = table.get("optimizer", np.array([rule["rule"]]))
        momenta = table.get("momentum", np.array([rule.get("momentum", 0.0)]))
        if set(rules.tolist()) != {"signgd"} or np.any(momenta != 0.0):
            return False
    return True


SIGNGD = Assumption("SignGD without momentum at a constant rate", _is_signgd)


def _regime(name: str, quantity: str) -> tuple[Assumption, ...]:
    if quantity == "t_attn":
        text = "start forgotten and clock resolved at every point (sigma_0 / (lr T_attn) <= 0.02, T_key >= 5)"
        return SIGNGD, Assumption(text, partial(_in_regime, name))
    return SIGNGD, Assumption("|mu| < a at every point", partial(_noisy, name))


def _bent(quantity: str, name: str, power: float) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a negative control: the same sweep, the measured times multiplied by a power of the variable."""

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        table = evidence["sweep"]
        bent = {**table.columns, quantity: table[quantity] * np.asarray(table[name], dtype=float) ** power}
        return {**evidence, "sweep": Table(bent, table.axes, table.about, table.docs)}

    return control


def _constant(evidence: Any) -> Measured:
    worst = Measured(np.nan, 1.0, -1.0, 0.03)
    for point, rows in evidence["sweep"].points():
        ratio = rows["t_attn"] / rows["T_attn"]
        inside = (rows["residue"] <= 0.02) & (rows["T_key"] >= 5) & (rows["kappa"] >= 2) & np.isfinite(ratio)
        if not inside.all():
            continue  # outside the regime the formula claims nothing
        mean = float(ratio.mean())
        if abs(mean - 1.0) > worst.deviation:
            where = ", ".join(f"{k}={v:g}" for k, v in point.items() if isinstance(v, (int, float)))
            worst = Measured(mean, 1.0, abs(mean - 1.0), 0.03, f"mean over {len(ratio)} seeds at {where}, the worst point of the regime")
    if worst.deviation < 0:
        raise Inconclusive("no point of the sweep lies in the regime with every seed measured (residue <= 0.02, T_key >= 5, kappa >= 2)")
    return worst


def _sandwich(evidence: Any) -> Measured:
    table = evidence["sweep"]
    runs = int((table["error"] == "").sum())
    if not any(np.isfinite(table[f"t_loss_{eps:g}"]).any() for eps in LEVELS):
        raise Inconclusive(f"no run reaches any of the levels{': ' + table.errors[0] if table.errors else ''}")
    violations = float(np.nansum(table["sandwich_violations"]))
    return Measured(violations, 0.0, violations, 0.5, f"{runs} runs, levels {', '.join(f'{eps:g}' for eps in LEVELS)}", "violations")


def _log_eps(evidence: Any) -> Measured:
    table = evidence["sweep"]
    times = np.stack([table[f"t_loss_{eps:g}"] for eps in LEVELS], axis=1)
    base = _at_base(table) & np.isfinite(times).all(1)
    if base.sum() < 2:
        raise Inconclusive("fewer than two runs at the experiment's own setting reach every level")
    law = fit_power_law({
        "log_1_eps": np.tile(-np.log(LEVELS), int(base.sum())), "seed": np.repeat(table["seed"][base], len(LEVELS)),
        "t_loss": times[base].ravel(),
    }, "t_loss", "log_1_eps")
    found = law["log_1_eps"]
    where = f"95 % interval [{found.low:.4f}, {found.high:.4f}], eps from {max(LEVELS):g} to {min(LEVELS):g}, {law.seeds} seeds"
    return Measured(found.value, 1.0, max(abs(found.low - 1.0), abs(found.high - 1.0)), 0.1, where)


def _at_base(table: Table) -> Any:
    """Rows at the experiment's own setting and rate."""
    base = {**table.experiment.setting.to_dict(), "lr": table.experiment.optimizer.lr}
    return np.all([table[name] == base[name] for name in table.axes if name in base], axis=0)


def _worst_loss_exponent(table: Table) -> tuple[float, str]:
    deviations = {name: abs(fitted(table, "t_loss", name)[name].value - theory) for name, theory in EXPONENTS["t_loss"].items()
                  if name in table.axes}
    worst = max(deviations, key=lambda name: deviations[name])
    return deviations[worst], worst


def _exponents_sharpen(evidence: Any) -> Measured:
    found = [(evidence[entry].experiment.setting.s, *_worst_loss_exponent(evidence[entry])) for entry in ("sweep", "s_2000", "s_20000")]
    rise = max(after[1] / before[1] for before, after in zip(found, found[1:], strict=False))
    where = ", ".join(f"s = {s}: {deviation:.3f} ({name})" for s, deviation, name in found)
    return Measured(rise, 1.0, rise, 1.0, f"worst deviation at {where}", "of the deviation at the s before, largest")


def _everything_holds(evidence: Any) -> Measured:
    table, found = evidence["path"], []
    for n in np.unique(table["n"]):
        rows = table.where(n=n)
        good = int(np.all([rows[id] == "holds" for id in THEOREM], axis=0).sum())  # a run that failed is none for which it holds
        low, high = wilson_interval(good, rows.cells)
        found.append((int(n), good, rows.cells, low, high, 1.0 - n ** (-1 / 3)))
    text = "; ".join(f"n = {n}: {good}/{total} [{low:.2f}, {high:.2f}] against {bound:.2f}" for n, good, total, low, high, bound in found)
    undecided = [row for row in found if row[3] < row[5] <= row[4]]
    n, good, total, low, high, bound = max(found, key=lambda row: (1.0 - row[1] / row[2]) * row[0] ** (1 / 3))
    if undecided and good / total >= bound:
        raise Inconclusive(f"the 95 % Wilson interval contains the bound: {text}. Run more seeds")
    return Measured(good / total, bound, 1.0 - good / total, 1.0 - bound, f"{text} (95 % Wilson intervals)", "of the seeds")


def _test_loss_flat(evidence: Any) -> Measured:
    table = evidence["growing_d"]
    law = fit_power_law(table.along("d") if "d" not in table.axes else _only(table, "d"), "test_loss@t_loss", "d")
    found = law["d"]
    mean = {int(p["d"]): float(np.nanmean(rows["test_loss@t_loss"])) for p, rows in table.points()}
    where = f"95 % interval [{found.low:.4f}, {found.high:.4f}]; " + ", ".join(f"d = {d:.0e}: {loss:.3f}" for d, loss in mean.items())
    return Measured(found.value, 0.0, max(abs(found.low), abs(found.high)), 0.05, where)


def _only(table: Table, name: str) -> Table:
    """Return the table with one variable: the others follow it along the path."""
    columns = {key: a for key, a in table.columns.items() if key == name or key not in table.axes}
    return Table(columns, (name,), table.about, table.docs)


RATES = "Theorem 3.2 (rates in its upper bounds); that they are tight is the reading here, range, seeds and tolerance chosen here"

CLAIMS = (
    *(
        Claim(
            f"{quantity}_exponent_{name}",
            f"{text} scales as {name} to the power {theory:g}: the whole 95 % interval within {TOLERANCE[quantity]:g}",
            partial(_exponent, quantity, name), Source("paper", RATES), rf"{symbol} \propto {SYMBOLS[name]}^{{{theory:g}}}",
            {"sweep": (quantity, name, *(("residue", "T_key") if quantity == "t_attn" else ()))}, _regime(name, quantity),
            _bent(quantity, name, 0.25),
        )
        for quantity, text, symbol in (("t_attn", "T_attn", r"T_{attn}"), ("t_loss", f"T (loss {EPS:g})", "T"))
        for name, theory in EXPONENTS[quantity].items()
    ),
    Claim(
        "t_attn_constant", "T_attn agrees with its closed form, constant included, in the regime (mean over seeds within 3 %)",
        _constant, Source("derived", "docs/derivations/signal_noise.md, section 4"),
        r"T_{attn} = fT_{key} + \sqrt{(fT_{key})^2 + \log 9/(m_k\|\mu\|a\eta^2)}",
        {"sweep": ("t_attn", "T_attn", "residue", "T_key", "kappa")}, (SIGNGD,), changed("sweep", t_attn=lambda t: 1.1 * t["t_attn"]),
    ),
    Claim(
        "t_loss_sandwich", "the time of small loss lies between its two bounds in every run", _sandwich,
        Source("derived", "docs/derivations/signal_noise.md, section 4"), r"T_{lo} \le T \le T_{hi}", 
        {"sweep": ("sandwich_violations", *(f"t_loss_{eps:g}" for eps in LEVELS))},
        (SIGNGD,), changed("sweep", sandwich_violations=lambda t: t["sandwich_violations"] + 1.0),
    ),
    Claim(
        "t_loss_exponent_eps", "T grows as log(1/eps): as its first power, the whole 95 % interval within 0.1", _log_eps,
        Source("paper", RATES), r"T \propto \log(1/\epsilon)", {"sweep": tuple(f"t_loss_{eps:g}" for eps in LEVELS)}, (SIGNGD,),
        changed("sweep", **{f"t_loss_{eps:g}": partial(lambda eps, t: t[f"t_loss_{eps:g}"] * np.log(1 / eps), eps) for eps in LEVELS}),
    ),
    Claim(
        "t_loss_exponents_sharpen", "the worst deviation of T's exponents from the theorem's shrinks as s grows (200, 2,000, 20,000)",
        _exponents_sharpen, Source("derived", "docs/sweeps.md, Theorem 3.2"), r"|\hat\beta - \beta| \downarrow",
        {"sweep": ("t_loss",), "s_2000": ("t_loss",), "s_20000": ("t_loss",)}, (SIGNGD,),
        lambda evidence: changed("s_20000", t_loss=lambda t: t["t_loss"] * np.asarray(t["sigma_p"], dtype=float) ** 0.3)(evidence),
    ),
    Claim(
        "theorem_3_2_probability", "loss, attention and test loss are as the theorem says in at least a share 1 - n^(-1/3) of the seeds, "
        "along s = sqrt(d) / n^2", _everything_holds,
        Source("paper", "Theorem 3.2 (probability); parts judged by the claims of that name, path and seeds chosen here"),
        r"P \ge 1 - n^{-1/3}", {"path": ("n", *THEOREM)}, (SIGNGD,),
        changed("path", theorem_3_2_loss=lambda t: np.where(t["seed"] % 2 == 0, "violated", t["theorem_3_2_loss"])),
    ),
    Claim(
        "theorem_3_2_test_loss_flat", f"the test loss at T (loss {EPS:g}) stays of order 1 along s = sqrt(d) / n^2: its exponent "
        "in d is 0, the whole 95 % interval within 0.05", _test_loss_flat,
        Source("paper", "Theorem 3.2 (test loss Theta(1)); path, range and tolerance chosen here"), r"L_{test}(T) = \Theta(1)",
        {"growing_d": ("d", "test_loss@t_loss")}, (SIGNGD,),
        changed("growing_d", **{"test_loss@t_loss": lambda t: t["test_loss@t_loss"] * (t["d"] / 1e8) ** -0.1}),
    ),
)
"""Claims about the sweeps of Theorem 3.2."""
