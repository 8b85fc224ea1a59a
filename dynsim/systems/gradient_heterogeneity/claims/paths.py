"""Claims about one run on a quadratic or a logistic regression: what every step does, and the path of Lambda_G / Lambda_P."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most
from ....run_claims import given
from .reading import Reading, assuming, broken, reading_about
from .rows import DERIVATION, PAGE, derived, ours

__all__ = ["CLAIMS"]

ROUNDING = 1e-14
"""Rounding of a loss, a mean over thousands of samples, relative to it."""
BY = 100
"""Step by which Lambda_G is to have fallen."""


def _below_largest(evidence: Any) -> Measured:
    """The second half of equation (14): the largest block norm covers every run."""
    r = reading_about(BLOCKS, evidence)
    share = r.run["Lambda_G"] / r.constant("h").max()
    if not np.isfinite(share).any():
        raise Inconclusive("Lambda_G is nowhere a number: gradients are 0 or have overflowed")
    row = int(np.nanargmax(share))
    return at_most(share[row], 1.0 + 1e-12, f"{r.run.clock} {r.run.steps('Lambda_G')[row]:g}", "of the largest block norm")


def _gradient_descends(evidence: Any) -> Measured:
    """Equation (6) for u = lr g, with one bound, 1 / lr, on all curvature in place of H and rho."""
    r = reading_about(DESCENT, evidence)
    f, g = r.every_step("train_loss", "grad_norm")
    promised = 0.5 * r.rates[: len(g) - 1] * np.square(g[:-1])
    share = (f[:-1] - f[1:] + ROUNDING * f[:-1])[promised > 0.0] / promised[promised > 0.0]
    if not len(share):
        raise Inconclusive("the gradient is 0 from the start")
    row = int(np.argmin(share))
    return at_least(share[row], 1.0 - 1e-9, f"step {np.flatnonzero(promised > 0.0)[row]}", "of the decrease promised")


def _sign_descends(evidence: Any) -> Measured:
    """Equation (6) for u = lr s, with rho = delta_D = 0."""
    r = reading_about(SIGNS, evidence)
    f, g = r.every_step("train_loss", "grad_norm_1")
    rates = r.rates[: len(g) - 1]
    down, up = rates * g[:-1], 0.5 * np.square(rates) * _P_Lambda(r)
    excess = (f[1:] - f[:-1] + down - up) / (f[:-1] + down + up)
    row = int(np.argmax(excess))
    return Measured(excess[row], 0.0, excess[row], 1e-12, f"step {row}", "of loss, first and second order together")


def _sign_floor(evidence: Any) -> Measured:
    """Equation (12) as an inequality, which holds from the start."""
    r = reading_about(ON_AXES, evidence)
    (g,) = r.every_step("grad_norm_1")
    share = (g[:-1] + g[1:]) / (r.rates[: len(g) - 1] * _P_Lambda(r))
    row = int(np.argmin(share))
    return at_least(share[row], 1.0 - 1e-9, f"steps {row} and {row + 1}", "of lr P Lambda_P")


def _P_Lambda(r: Reading) -> float:
    return float(r.constant("sizes").sum() * r.constant("Lambda_P"))


def _ratio(r: Reading) -> tuple[NDArray, NDArray]:
    steps, weighted, size_weighted = r.together("Lambda_G", "Lambda_P")
    known = np.isfinite(weighted)  # not where the gradient is 0
    return steps[known], weighted[known] / size_weighted[known]


def _gradient_ratio(evidence: Any) -> Measured:
    """A level below which equations (16) and (17) take Lambda_G / Lambda_P."""
    r = reading_about(EQUAL_LOSS_DESCENT, evidence)
    steps, ratio = _ratio(r)
    late = steps >= BY
    if not late.any():
        raise Inconclusive(f"the record ends at {r.end}, before step {BY}")
    row = int(np.argmax(np.where(late, ratio, -np.inf)))
    return at_most(ratio[row], 0.1, f"step {steps[row]}; {ratio[0]:.3g} at the start", "Lambda_G / Lambda_P")


def _sign_ratio(evidence: Any) -> Measured:
    r = reading_about(EQUAL_LOSS_SIGNS, evidence)
    steps, ratio = _ratio(r)
    row = int(np.argmin(ratio))
    return at_least(ratio[row], 2.0, f"step {steps[row]}; up to {r.end}", "Lambda_G / Lambda_P")


def _has_blocks(r: Reading) -> bool:
    return {"h", "Lambda_P", "sizes", "curvature_max"} <= set(r.run.constants)


def _silent(r: Reading) -> bool:
    return _has_blocks(r) and "noise_2" not in r.run.constants


def _equal_loss(r: Reading) -> bool:
    s = r.setting
    return r.task == "quadratic" and (s.initial, s.curvature, s.inner, s.noise) == ("equal_loss", "even", 1.0, 0.0) and s.rotated != "all"


def _all_rates(met: Any) -> Any:
    """Return a condition on all rates; false where they are not known."""

    def holds(r: Reading) -> bool:
        try:
            return bool(met(r, r.rates))
        except Inconclusive:
            return False

    return holds


BLOCKS = assuming("a quadratic or logistic regression in blocks", _has_blocks)
DESCENT = assuming(
    "gradient descent without momentum, clipping or noise on a quadratic or logistic regression",
    lambda r: _silent(r) and r.follows("gd"),
)
SIGNS = assuming(
    "sign descent without momentum or noise on a quadratic whose Hessian is block-diagonal",
    lambda r: _silent(r) and r.follows("signgd") and not (r.constant("delta_D").any() or r.constant("rho").any()),
)
ON_AXES = assuming(
    "signs, with momentum or without, on a quadratic whose Hessian is a multiple of the identity in every block",
    lambda r: r.task == "quadratic" and r.follows("signgd", momentum=True) and r.setting.inner == 1.0 and r.setting.rotated != "all",
)
EQUAL_LOSS_DESCENT = assuming(
    "gradient descent without momentum on isotropic blocks of equal loss, without noise", lambda r: _equal_loss(r) and r.follows("gd")
)
EQUAL_LOSS_SIGNS = assuming(
    "sign descent without momentum on isotropic blocks of equal loss, without noise", lambda r: _equal_loss(r) and r.follows("signgd")
)
STABLE = assuming("rates of at most 1 / max h, h of the whole Hessian",
                  _all_rates(lambda r, rates: (rates * r.constant("curvature_max")).max(initial=0.0) <= 1.0 + 1e-12))
ONE_OVER_H = assuming("every rate within 1 % of 1 / max h",
                      _all_rates(lambda r, rates: np.abs(rates * r.constant("curvature_max") - 1.0).max(initial=0.0) <= 0.01))
SPREAD = assuming("1e3 <= k <= 1e6, four blocks or more of eight parameters or more",
                  lambda r: 1e3 <= r.setting.k <= 1e6 and r.setting.blocks >= 4 and r.setting.size >= 8)
AS_TUNED = assuming(
    "16 blocks of 8, k = 1000, 64 steps, the rate falling in a straight line from 0.35 to 0",
    lambda r: (r.setting.blocks, r.setting.size, r.setting.k) == (16, 8, 1e3) and isinstance(r.rule["lr"], dict)
    and r.rule["lr"]["steps"] == 64 and not r.rule["lr"]["warmup"] and r.rule["lr"]["peak"] == 0.35,
)


def _reversed(r: Reading) -> NDArray:
    """The losses of the run from its end to its start."""
    return r.run["train_loss"][::-1].copy()


CLAIMS = (
    Claim(
        "weighted_below_largest", "Lambda_G is at no recorded step above the largest block norm of the Hessian, of a logistic regression "
        "that at 0", _below_largest, derived(1), r"\Lambda_G \leq \max_b h_b", {"run": ("Lambda_G",)}, (BLOCKS,),
        broken(Lambda_G=lambda r: np.full(r.run["Lambda_G"].shape, 1.01 * r.constant("h").max())),
    ),
    Claim(
        "gradient_descends", "every step of gradient descent at a rate of at most 1 / max h lowers the loss at least by lr |g|^2 / 2",
        _gradient_descends, derived(2), r"L_{t+1} \leq L_t - \tfrac\eta2\|g_t\|^2", {"run": ("train_loss", "grad_norm")},
        given(DESCENT, STABLE), broken(train_loss=_reversed),
    ),
    Claim(
        "sign_descends", "every step of sign descent changes the loss at most by -lr |g|_1 + lr^2 P Lambda_P / 2 (1e-12)", _sign_descends,
        derived(2), r"L_{t+1} \leq L_t - \eta\|g_t\|_1 + \tfrac{\eta^2}2 P\Lambda_P", {"run": ("train_loss", "grad_norm_1")},
        (SIGNS,), broken(train_loss=_reversed),
    ),
    Claim(
        "sign_floor", "sign steps cannot settle: the 1-norms of two successive gradients add up to lr P Lambda_P or more, whatever the "
        "momentum", _sign_floor, Source("derived", f"{DERIVATION}, section 2, (12): not both ends of a step of lr are within lr / 2 of 0"),
        r"\|g_t\|_1 + \|g_{t+1}\|_1 \geq \eta_t P\Lambda_P", {"run": ("grad_norm_1",)}, (ON_AXES,),
        broken(grad_norm_1=lambda r: np.zeros_like(r.run["grad_norm_1"])),
    ),
    Claim(
        "gradient_ratio_falls", f"gradient descent at rate 1 / max h on blocks of equal loss: Lambda_G / Lambda_P is below 0.1 from step "
        f"{BY} on", _gradient_ratio, ours(2),
        r"\Lambda_G(\theta_t)/\Lambda_P < 0.1,\ t \geq 100", {"run": ("Lambda_G", "Lambda_P")},
        given(EQUAL_LOSS_DESCENT, ONE_OVER_H, SPREAD),
        broken(Lambda_G=lambda r: np.full(r.run["Lambda_G"].shape, r.run["Lambda_G"][0])),
    ),
    Claim(
        "sign_ratio_stays", "sign descent on blocks of equal loss, its rate tuned for 64 steps: Lambda_G / Lambda_P is above 2 at every "
        "recorded step to the horizon; at half that rate and over longer horizons it falls below, and at a peak of 0.6 in one of 60 draws",
        _sign_ratio, Source("ours", PAGE), r"\Lambda_G(\theta_t)/\Lambda_P > 2", {"run": ("Lambda_G", "Lambda_P")},
        given(EQUAL_LOSS_SIGNS, AS_TUNED),
        broken(Lambda_G=lambda r: r.run["Lambda_G"] / (1.0 + r.run.steps("Lambda_G"))),
    ),
)
"""Claims about paths."""
