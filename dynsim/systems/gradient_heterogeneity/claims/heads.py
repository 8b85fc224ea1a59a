"""Claims about one run of a linear head: drift of the biases, what the loss does not see, and what gradients conserve."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close
from ....run_claims import given
from ..head.theory import drift_norm, measured_drift, momentum_drift
from .reading import Reading, altered, assuming, broken, reading_about
from .rows import DERIVATION, FULL_GAUGE, NO_GAUGE, OFF_DRIFT, OFF_MOMENTUM, PAGE, derived

__all__ = ["CLAIMS"]


def _drift(r: Reading) -> float:
    """Mean sign of the bias updates over the run."""
    steps, bias = r.together("mean_bias")
    return float(measured_drift(bias, steps, lambda step: r.rates[step])[-1])


def _plain_drift(evidence: Any) -> Measured:
    """Equation (52) over a run: that the drift outlives probabilities of 1/C rests on equation (53)."""
    r = reading_about(PLAIN, evidence)
    return close(_drift(r), float(r.constant("drift")), OFF_DRIFT, f"to {r.end}", "mean sign", relative=False)


def _momentum_drift(evidence: Any) -> Measured:
    r = reading_about(WITH_MOMENTUM, evidence)
    predicted = momentum_drift(r.setting.C, r.setting.batch, r.momentum, int(r.run.at[-1])).mean()
    return close(_drift(r), predicted, OFF_MOMENTUM, f"to {r.end}", "mean sign", relative=False)


def _cut(evidence: Any) -> Measured:
    r = reading_about(WITH_MOMENTUM, evidence)
    return at_most(_drift(r) / float(r.constant("drift")), 0.4, f"to {r.end}", "of the drift that signs without momentum have")


def _gauge(kind: Any, large: bool, evidence: Any) -> Measured:
    r = reading_about(kind, evidence)
    share, where = r.run["gauge_share"][-1], r.end
    return at_least(share, FULL_GAUGE, where, "of |V|^2") if large else at_most(share, NO_GAUGE, where, "of |V|^2")


def _conserved(evidence: Any) -> Measured:
    """What equation (56) says of gradients: those of all classes add up to 0."""
    r = reading_about(GRADIENTS, evidence)
    steps, bias = r.together("mean_bias")
    off = np.abs(bias - bias[0]) / (1.0 + np.max(r.run["b_norm"]))
    row = int(np.argmax(off))
    return Measured(bias[row], bias[0], off[row], 1e-12, f"{r.run.clock} {steps[row]:g}", "(deviation in units of 1 + max |b|)")


def _norm(evidence: Any) -> Measured:
    """Equation (55) with the drift of the biases for that of the rows."""
    r = reading_about(PLAIN, evidence)
    _, whole, centred = r.together("V_norm", "V_centred_norm")
    gauge = np.sqrt(whole[-1] ** 2 - centred[-1] ** 2)
    rates = r.rates[: int(r.run.at[-1])]
    predicted = drift_norm(r.setting.C, r.setting.d, float(rates.mean()), len(rates), float(r.constant("drift")))
    if not len(rates) or predicted <= 0.0:
        raise Inconclusive("the prediction is 0: no step was made, or signs do not drift")
    return close(gauge, predicted, 0.1, r.end, "norm of the part of V that all classes share")


def _of_signs(momentum: bool) -> Any:
    return lambda r: r.task == "head" and r.follows("signgd", momentum=True) and bool(r.momentum) == momentum


PLAIN = assuming("signs without momentum on a linear head", _of_signs(False))
WITH_MOMENTUM = assuming("signs with momentum on a linear head", _of_signs(True))
GRADIENTS = assuming(
    "gradient descent, whatever its momentum, rate and clipping, or gradient flow, on a linear head",
    lambda r: r.task == "head" and r.rule.get("rule") in ("gd", "flow"),
)
RANDOM = assuming("independent batches", lambda r: r.setting.batch and r.setting.batches == "iid")
ABSENT = assuming("C >= 3 n: a batch lacks most classes", lambda r: 3 * r.setting.batch <= r.setting.C)
MOST_ABSENT = assuming("C >= 9 n", lambda r: 9 * r.setting.batch <= r.setting.C)
MANY_SAMPLES = assuming("n >= 8: the signs of the features of a batch are those of their shared mean", lambda r: r.setting.batch >= 8)
NOT_TOO_RARE = assuming("C <= 30 n: a class is rarely absent for longer than momentum lasts", lambda r: 30 * r.setting.batch >= r.setting.C)
NOT_ALL_ABSENT = assuming("n >= 32 and C <= 10 n", lambda r: r.setting.batch >= 32 and r.setting.batch >= 0.1 * r.setting.C)
MUCH = assuming("momentum of 0.9 or more", lambda r: r.momentum >= 0.9)
EARLY = assuming(
    "weights of at most 0.01 at the start, at least 100 steps, rates that add up to 0.1 to 0.2: later the head has learned",
    lambda r: r.setting.init <= 0.01 and len(r.rates) >= 100 and 0.099 <= r.rates.sum() <= 0.201,
)
FEATURES = assuming(
    "features of 64 dimensions whose shared mean, class means and noise are of the same size",
    lambda r: r.setting.d == 64 and r.setting.common == r.setting.spread == r.setting.noise == 1.0,
)

APPROXIMATE = Source("ours", f"{PAGE}; the prediction is derived in {DERIVATION}, section 8, its tolerance is not")

CLAIMS = (
    Claim(
        "drift_as_predicted", f"signs without momentum: the mean sign of the bias updates is that of probabilities 1/C, to {OFF_DRIFT:g}",
        _plain_drift, APPROXIMATE, r"(\bar b_0 - \bar b_T)/\sum_t\eta_t = 1 - 2P[n_c > n/C] - P[n_c = n/C]", {"run": ("mean_bias",)},
        given(PLAIN, RANDOM, ABSENT, EARLY, FEATURES), altered(drift=lambda r: r.constant("drift") - 0.05),
    ),
    Claim(
        "momentum_drift_near", f"signs with momentum: the same, to {OFF_MOMENTUM:g}, a tolerance chosen after the runs: rare corrections "
        "move probabilities away from 1/C, and 100 classes in batches of 32 drift 43 % more than predicted", _momentum_drift, APPROXIMATE,
        r"(\bar b_0 - \bar b_T)/\sum_t\eta_t = \frac1T\sum_t E\,\mathrm{sgn}\,S_t", {"run": ("mean_bias",)},
        given(WITH_MOMENTUM, RANDOM, ABSENT, EARLY, FEATURES, MUCH, NOT_ALL_ABSENT),
        broken(mean_bias=lambda r: -r.constant("drift") * np.concatenate([[0.0], np.cumsum(r.rates)])[r.run.steps("mean_bias")]),
    ),
    Claim(
        "momentum_cuts_drift", "momentum of 0.9 or more cuts the drift of the biases 2.5 times or more", _cut, Source("ours", PAGE),
        r"D_\beta \leq D / 2.5", {"run": ("mean_bias",)}, given(WITH_MOMENTUM, RANDOM, ABSENT, EARLY, FEATURES, MUCH, NOT_TOO_RARE),
        broken(mean_bias=lambda r: 10.0 * r.run["mean_bias"]),
    ),
    Claim(
        "gauge_share_large", f"signs without momentum: more than {FULL_GAUGE:g} of the squared weights is a vector that all classes share, "
        "to which the loss is blind", partial(_gauge, PLAIN, True), Source("ours", PAGE), r"C\|\bar v\|^2/\|V\|_F^2 > 0.9",
        {"run": ("gauge_share",)}, given(PLAIN, RANDOM, ABSENT, EARLY, FEATURES, MANY_SAMPLES),
        broken(gauge_share=lambda r: 0.9 * r.run["gauge_share"]),
    ),
    Claim(
        "gauge_share_small", f"signs with momentum of 0.9 or more: less than {NO_GAUGE:g} of the squared weights is such a vector",
        partial(_gauge, WITH_MOMENTUM, False), Source("ours", PAGE), r"C\|\bar v\|^2/\|V\|_F^2 < 0.3", {"run": ("gauge_share",)},
        given(WITH_MOMENTUM, RANDOM, ABSENT, EARLY, FEATURES, MUCH, NOT_ALL_ABSENT),
        broken(gauge_share=lambda r: 0.3 + r.run["gauge_share"]),
    ),
    Claim(
        "sums_conserved_by_gradient", "gradient descent and gradient flow leave the mean of the biases where it is (1e-12)", _conserved,
        derived(8), r"\sum_c \partial L/\partial b_c = 0", {"run": ("mean_bias", "b_norm")}, (GRADIENTS,),
        broken(mean_bias=lambda r: r.run["mean_bias"] + 1e-6 * r.run.steps("mean_bias")),
    ),
    Claim(
        "head_norm_is_drift", "signs without momentum, C >= 9 n: the part of V that all classes share has the norm of weights that all "
        "drift as the biases do, to 10 %", _norm, APPROXIMATE, r"\sqrt{C}\,\|\bar v\| = \sqrt{Cd}\, D \sum_t\eta_t",
        {"run": ("V_norm", "V_centred_norm")}, given(PLAIN, RANDOM, MOST_ABSENT, EARLY, FEATURES, MANY_SAMPLES),
        broken(V_norm=lambda r: 1.5 * r.run["V_norm"]),
    ),
)
"""Claims about heads."""
