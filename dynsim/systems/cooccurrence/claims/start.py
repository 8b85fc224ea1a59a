"""At the start: what pulls neurons, and the paper's bounds on initial inner products."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Measured, Source
from ....deciding import at_most, close
from ..data import COMMON
from ..initial import BOUNDS, DELTA
from ..reading import Reading, reading
from .assumptions import BALANCED, CONDITION_1, FROM_START, SMALL, WIDE, altered, broken
from .measuring import normal, positive, worst

__all__ = ["CLAIMS"]

PAGE = "docs/derivations/cooccurrence.md, section 3"
TARGETS = ("target 1", "target 2")


def _rates(r: Reading) -> NDArray:
    """Velocities of a_j w_j . W_V[c] for the two targets, (m1, 2)."""
    return r.array("neuron_rates")[:, :COMMON]


def _means(r: Reading) -> dict[str, float]:
    return dict(zip(TARGETS, _rates(r).mean(axis=0).tolist(), strict=True))


def _variance(r: Reading) -> float:
    """(sigma_0^2 + sigma_1^2) m."""
    s = normal(r)
    return (s.sigma_0**2 + s.sigma_1**2) * s.m


def _mean(evidence: Any) -> Measured:
    """Equation (33), with this run's own rho_0."""
    r = reading(evidence)
    s = normal(r)
    predicted = (r.constant("rho_0") / r.constant("m1") + s.sigma_0**2 * s.m) / 6.0
    return worst(close, {where: (mean, predicted, 0.03) for where, mean in _means(r).items()})


def _scale(evidence: Any) -> Measured:
    """Equation (33)."""
    r = reading(evidence)
    tolerance = 3.0 * sqrt(2.0 / r.constant("m")) + 0.03
    return worst(close, {where: (mean / _variance(r), 1.0 / 6.0, tolerance) for where, mean in _means(r).items()})


def _not_one_third(evidence: Any) -> Measured:
    r = reading(evidence)
    x = {where: mean / _variance(r) for where, mean in _means(r).items()}
    return worst(at_most, {f"{where}, {y:.4g}": (abs(y - 1 / 6) / abs(y - 1 / 3), 1.0) for where, y in x.items()})


def _all_positive(evidence: Any) -> Measured:
    r = reading(evidence)
    rates = _rates(r)
    j, c = np.unravel_index(rates.argmin(), rates.shape)
    return positive(rates[j, c] / abs(rates[:, c].mean()), f"neuron {j}, {TARGETS[c]}", "of the mean")


def _spread(evidence: Any) -> Measured:
    r = reading(evidence)
    rates = _rates(r)
    ratio = rates.std(axis=0) / np.abs(rates.mean(axis=0)) / sqrt(r.constant("m1") / r.constant("m"))
    return max((Measured(x, 1.0, abs(np.log2(x)), 1.0, where) for where, x in zip(TARGETS, ratio, strict=True)), key=lambda m: m.deviation)


def _common_bound(evidence: Any) -> Measured:
    r = reading(evidence)
    s, rates = normal(r), np.abs(r.array("neuron_rates")[:, COMMON])
    bound = s.sigma_1**2 * sqrt(s.m * s.m1) + s.sigma_0**2 * sqrt(s.m * s.L) + _variance(r) * r.constant("F_0")
    return at_most(rates.max() / bound, 1.0, f"neuron {rates.argmax()}", "of the bound")


def _common_small(evidence: Any) -> Measured:
    r = reading(evidence)
    rates = np.abs(r.array("neuron_rates")[:, COMMON])
    return at_most(rates.max() / min(abs(x) for x in _means(r).values()), 0.25, f"neuron {rates.argmax()}", "of the targets' mean")


def _random(evidence: Any) -> Measured:
    r = reading(evidence)
    s = normal(r)
    bound = _variance(r) / r.constant("n") + s.sigma_0**2 * s.L * sqrt(s.m)
    return at_most(r.constant("neuron_random_rate") / bound, 1.0, "largest over neurons and random tokens", "of the bound")


def _bound(name: str) -> Any:
    entry = BOUNDS.index(name)
    return lambda evidence: at_most(reading(evidence).array("initial_bounds")[entry], 1.0, "the start", "of the bound")


def _softmax(evidence: Any) -> Measured:
    r = reading(evidence)
    m = r.constant("m")
    return at_most(r.constant("softmax_0") * r.constant("L") * m, log(m) ** 2, "the start", "of 1/(L m)")


def _G(evidence: Any) -> Measured:
    r = reading(evidence)
    s = normal(r)
    G = max(r.constant("G_random_0"), float(np.abs(r["G"][0]).max()))
    return at_most(G / (s.sigma_0 * s.sigma_1 * sqrt(s.m * s.m1)), log(s.m), "largest over tokens", "sigma_0 sigma_1 sqrt(m m1)")


def _level(evidence: Any) -> Measured:
    return at_most(reading(evidence).constant("F_0"), 0.01, "the start")


def _label_balance(evidence: Any) -> Measured:
    """|g - 1/2| <= F/4, labels sum to 0, and what queries give the common token sums to 1 within L softmax_0."""
    r = reading(evidence)
    slack = r.constant("L") * r.constant("softmax_0")
    return at_most(abs(r["z"][0, COMMON]), 0.25 * r.constant("F_0") * (1.0 + slack) + 0.5 * slack, "the start")


def _initial(name: str, statement: str, latex: str, source: Source | None = None) -> Claim:
    entry = BOUNDS.index(name)

    def wrong(r: Reading) -> NDArray:
        bounds = r.array("initial_bounds").copy()
        bounds[entry] = 2.0
        return bounds

    return Claim(
        name.lower().replace(".", "_").replace(" ", "_"), statement, _bound(name),
        source or Source("paper", f"Lemma {name}; constants as in its proof, delta = {DELTA} chosen here"), latex, {}, (CONDITION_1,),
        altered(initial_bounds=wrong),
    )


_RATES_3 = (CONDITION_1, BALANCED, SMALL)

CLAIMS = (
    Claim(
        "lemma_4_1_mean", "at the start a_j w_j . W_V[target] moves at (rho_0/m1 + sigma_0^2 m)/6 on average over neurons (within 3 %)",
        _mean, Source("paper", "Lemma 4.1 = E.4; constant 1/6 derived here"),
        r"\overline{a_j\dot x_{j\mu}} = \tfrac16(\rho_0/m_1 + \sigma_0^2m)", {}, _RATES_3,
        altered(neuron_rates=lambda r: 2.0 * r.array("neuron_rates")),
    ),
    Claim(
        "lemma_4_1_scale", "at the start a_j w_j . W_V[target] moves at (sigma_0^2 + sigma_1^2) m / 6 on average over neurons "
        "(within 3 sqrt(2/m) + 0.03, three standard deviations of rho_0 and the outputs' share)", _scale,
        Source("paper", "Lemma 4.1 = E.4; constant 1/6 derived here"), r"\overline{a_j\dot x_{j\mu}} = \tfrac16(\sigma_0^2+\sigma_1^2)m",
        {}, _RATES_3, altered(neuron_rates=lambda r: 10.0 * r.array("neuron_rates")),
    ),
    Claim(
        "lemma_4_1_not_one_third", "that constant is nearer to 1/6 than to 1/3, which the proof of Lemma E.4 prints", _not_one_third,
        Source("derived", PAGE), r"\tfrac12(\tfrac12 - \tfrac16) = \tfrac16", {}, _RATES_3,
        altered(neuron_rates=lambda r: 2.0 * r.array("neuron_rates")),
    ),
    Claim(
        "lemma_4_1_all_positive", "at the start every neuron is pulled towards both targets", _all_positive,
        Source("paper", "Lemma 4.1 = E.4; m >= 4 m1 is the reading here"), r"a_j\dot x_{j\mu} > 0", {},
        (CONDITION_1, BALANCED, SMALL, WIDE), altered(neuron_rates=lambda r: -r.array("neuron_rates")),
    ),
    Claim(
        "lemma_4_1_spread", "over neurons that velocity varies by sqrt(m1/m) of its mean (within a factor 2)", _spread,
        Source("derived", PAGE), r"\mathrm{sd}_j/\mathrm{mean}_j \approx \sqrt{m_1/m}", {}, _RATES_3,
        altered(neuron_rates=lambda r: r.array("neuron_rates") + 4.0 * np.abs(r.array("neuron_rates").mean(axis=0))),
    ),
    Claim(
        "lemma_4_2_bound", "at the start a_j w_j . W_V[common] moves no faster than "
        "sigma_1^2 sqrt(m m1) + sigma_0^2 sqrt(m L) + (sigma_0^2 + sigma_1^2) m F_0", _common_bound,
        Source("paper", "Lemma 4.2 = E.16; constant 1 without logarithms is the reading here"),
        r"|\dot x_{j3}| \le \sigma_1^2\sqrt{mm_1} + \sigma_0^2\sqrt{mL} + (\sigma_0^2+\sigma_1^2)mF_0", {}, (CONDITION_1, BALANCED),
        altered(neuron_rates=lambda r: 1e3 * np.abs(r.array("neuron_rates")).max() + r.array("neuron_rates")),
    ),
    Claim(
        "lemma_4_2_small", "at the start no neuron is pulled to the common token by more than a quarter of the pull to the targets",
        _common_small, Source("paper", "Lemma 4.2; level 1/4 chosen here"), r"\max_j|\dot x_{j3}| \le \tfrac14\,\overline{|\dot x_{j\mu}|}",
        {}, (CONDITION_1, BALANCED, SMALL), altered(neuron_rates=lambda r: r.array("neuron_rates")[:, [0, 1, 1]]),
    ),
    Claim(
        "e_6_random", "at the start w_j . W_V[random] moves no faster than (sigma_0^2 + sigma_1^2) m/n + sigma_0^2 L sqrt(m)", _random,
        Source("paper", "Lemmas E.6 and E.15; constant 1 without logarithms is the reading here"),
        r"|\dot x_{j\nu}| \le (\sigma_0^2+\sigma_1^2)m/n + \sigma_0^2L\sqrt m", {}, (CONDITION_1, BALANCED),
        altered(neuron_random_rate=lambda r: np.abs(r.array("neuron_rates")).max()),
    ),
    _initial("D.1", "inner products of different keys, queries and values are at most sigma_0^2 m beta(2d)",
             r"|\langle W_K\mu, W_Q\nu\rangle| \le \sigma_0^2m\,\beta(2d)"),
    _initial("D.3", "inner products of neurons, of neurons with values, and squared norms are within their bounds",
             r"|\langle w_i, w_j\rangle| \le \sigma_1^2m\,\beta(2m_1^2)"),
    _initial("D.4", "squared norms of attended values are sigma_0^2 m / L within beta(2 n L)",
             r"\|Vp_l\|^2 = (\sigma_0^2m/L)(1 \pm \beta(2nL))"),
    _initial("D.5 printed", "neurons on attended values are at most sigma_0 sigma_1 sqrt((m/L) log(m1 n L/delta)), as printed",
             r"|w_j^\top Vp_l| \le \sigma_0\sigma_1\sqrt{(m/L)\log(m_1nL/\delta)}"),
    _initial("D.5 corrected", "neurons on attended values are at most sigma_0 sigma_1 sqrt((m/L) 2 log(2 m1 n L/delta))",
             r"|w_j^\top Vp_l| \le \sigma_0\sigma_1\sqrt{(m/L)\,2\log(2m_1nL/\delta)}", Source("derived", PAGE)),
    _initial("D.6", "as many signs are + as -, within sqrt(2 log(4/delta)/m1)",
             r"|S_{\pm1}|/m_1 = \tfrac12 \pm \sqrt{2\log(4/\delta)/m_1}"),
    _initial("D.8", "outputs are at most 2 sigma_0 sigma_1 sqrt(2 L m m1 log(2 L n/delta))",
             r"|F(0)| \le 2\sigma_0\sigma_1\sqrt{2Lmm_1\log(2Ln/\delta)}"),
    _initial("E.5", "the other neurons' sum on a neuron is at most sigma_1^2 sqrt(m1) m beta(2 m1^2) sqrt(log(4 m1/delta))",
             r"|\sum_{i\ne j}a_i\langle w_i, w_j\rangle| \le \sigma_1^2\sqrt{m_1}m\,\beta(2m_1^2)\sqrt{\log(4m_1/\delta)}"),
    Claim(
        "d_2", "softmax outputs are 1/L at the start, within log(m)^2 / (L m)", _softmax,
        Source("paper", "Lemma D.2; log(m)^2 for the hidden logarithms chosen here"), r"p = 1/L \pm \tilde O(1/(Lm))", {}, (CONDITION_1,),
        altered(softmax_0=lambda r: 0.5),
    ),
    Claim(
        "d_7", "the head on values is at most sigma_0 sigma_1 sqrt(m m1) log(m) at the start", _G,
        Source("paper", "Lemma D.7; log(m) for the hidden logarithms chosen here"), r"|G(\mu)| \le \tilde O(\sigma_0\sigma_1\sqrt{mm_1})",
        {"run": ("G",)}, (CONDITION_1, FROM_START), altered(G_random_0=lambda r: 100.0 * r.constant("G_random_0")),
    ),
    Claim(
        "d_8_level", "outputs are at most 0.01 at the start", _level, Source("paper", "Lemma D.8, its last inequality"),
        r"|F(0)| \le 0.01", {}, (CONDITION_1,), altered(F_0=lambda r: 1.0),
    ),
    Claim(
        "label_balance", "balanced labels leave the common token no force at the start but that of the outputs: |z_3| <= F_0/4, up to "
        "what attention is not uniform", _label_balance, Source("derived", PAGE), r"|z_3(0)| \le \tfrac14 F_0", {"run": ("z",)},
        (BALANCED, FROM_START), broken(z=lambda r: r["z"] + r.constant("F_0") + r.constant("L") * r.constant("softmax_0")),
    ),
)
