"""Theorem 3.2, the parts that one run can show, and the sandwich around the time of small loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....claims import Claim, Inconclusive, Measured, Source
from ..predictions import EPS, LEVELS, SMALL, loss_bounds
from ..reading import Reading, reading
from .assumptions import APART, DISJOINT, KAPPA_2, MOSTLY_PRIVATE, NOISY, RESOLVED, SIGNGD, broken

__all__ = ["CLAIMS"]

PAGE = "docs/derivations/signal_noise.md, section 4"
VALUE = ("mean_value_signal", "mean_value_noise")
WITHIN = 1.25
"""Factor on the derived T_attn that stands for the O~ of the theorem."""


def _loss_time(r: Reading, eps: float = EPS) -> int:
    """First recorded step with training loss <= eps."""
    T = r.first(r["train_loss"] <= eps)
    if T is None:
        raise Inconclusive(f"the training loss stays above {eps:g} within the horizon of {r.at[-1]} steps (last {r['train_loss'][-1]:.3g})")
    return T


def _loss_reached(evidence: Any) -> Measured:
    r = reading(evidence)
    low, high = loss_bounds(r["mean_value_signal"], r["mean_value_noise"])
    due = r.first(high <= EPS)
    if due is None and r["train_loss"].min() > EPS:
        raise Inconclusive(f"the loss is due below {EPS:g} after the horizon of {r.at[-1]} steps (last {r['train_loss'][-1]:.3g})")
    lowest = float(r["train_loss"][: r.row(due) + 1].min()) if due is not None else float(r["train_loss"].min())
    T = r.first(r["train_loss"] <= EPS)
    return Measured(lowest, EPS, lowest, EPS, f"loss {EPS:g} first reached at step {T}" if T is not None else "not reached when due")


def _sandwich(evidence: Any) -> Measured:
    r = reading(evidence)
    low, high = loss_bounds(r["mean_value_signal"], r["mean_value_noise"])
    seen, worst, where = 0, 0.0, ""
    for eps in LEVELS:
        T, T_low, T_high = (r.first(x <= eps) for x in (r["train_loss"], low, high))
        if T is not None:
            seen += 1
            if T_low is None or T_low > T:
                worst, where = max(worst, 1.0), f"eps {eps:g}: T = {T} before its lower bound {T_low}"
        if T_high is not None:
            row = r.row(T_high)
            usable = ((r["softmax_11"][row] + r["softmax_21"][row] <= 1.0).all()
                      and (r["mean_value_noise"][row] >= r["mean_value_signal"][row]).all())
            if usable and (T is None or T_high < T):
                worst, where = max(worst, 1.0), f"eps {eps:g}: T = {T} after its upper bound {T_high}"
    if not seen:
        raise Inconclusive(f"no loss level of {LEVELS} is reached within the horizon of {r.at[-1]} steps")
    return Measured(float(worst > 0), 0.0, worst, 0.5, where or f"{seen} of the levels {LEVELS} reached", "violations")


def _attention_memorises(evidence: Any) -> Measured:
    r = reading(evidence)
    if r.T_small is None:
        if r.at[-1] < WITHIN * r.T_attn:
            raise Inconclusive(f"mean s_11 stays above {SMALL} until the horizon of {r.at[-1]} steps; predicted T_attn {r.T_attn:.0f}")
        return Measured(float(r.at[-1]), r.T_attn, 2.0 * WITHIN, WITHIN, f"mean s_11 stays above {SMALL}", "steps")
    t = r.row(r.resolved(r.T_small, 0.05))
    s_21 = float(r["softmax_21"][t].mean())
    deviation = max(r.T_small / r.T_attn, WITHIN * s_21 / SMALL)
    return Measured(r.T_small, r.T_attn, deviation, WITHIN, f"first step with mean s_11 < {SMALL}; mean s_21 is {s_21:.3g} there", "steps")


def _test_loss(evidence: Any) -> Measured:
    r = reading(evidence)
    steps, loss = r.run.steps("test_loss"), r.run["test_loss"]  # recorded at steps of their own
    T = _loss_time(r)
    t = int(np.searchsorted(steps, T))
    if t >= len(steps):
        raise Inconclusive(f"test_loss was not recorded at or after step {T}")
    error = f", test error {r.run['test_error'][t]:.3f}" if "test_error" in r.run else ""
    deviation = abs(float(loss[t]) / np.log(2.0) - 1.0)
    return Measured(float(loss[t]), float(np.log(2.0)), deviation, 0.2, f"step {steps[t]}, training loss below {EPS:g}{error}")


CLAIMS = (
    Claim(
        "theorem_3_2_loss", f"the training loss falls to {EPS:g}, at the latest when the derived upper bound does", _loss_reached,
        Source("paper", "Theorem 3.2 (training loss at most eps at T); eps and time chosen here"), r"L(T) \le \epsilon",
        {"run": (*VALUE, "train_loss")}, (SIGNGD, NOISY), broken(train_loss=lambda r: r["train_loss"] + EPS),
    ),
    Claim(
        "loss_sandwich", "the time of small loss lies between its two bounds from mean value signal and noise", _sandwich,
        Source("derived", PAGE), r"T_{lo} \le T \le T_{hi}", {"run": (*VALUE, "train_loss", "softmax_11", "softmax_21")},
        (SIGNGD, DISJOINT, APART, NOISY), broken(train_loss=lambda r: r["train_loss"] ** 2),
    ),
    Claim(
        "theorem_3_2_attention",
        f"attention memorises noise: both mean softmax outputs on the signal are below {SMALL} no later than {WITHIN} T_attn",
        _attention_memorises, Source("paper", "Theorem 3.2 (softmax outputs o(1) at T_attn); level and factor chosen here"),
        r"s_{11}, s_{21} = o(1)", {"run": ("softmax_11", "softmax_21", "query_noise", "key_noise")},
        (SIGNGD, NOISY, KAPPA_2, RESOLVED, MOSTLY_PRIVATE),
        broken(softmax_21=lambda r: 1.0 - r["softmax_21"]),
    ),
    Claim(
        "theorem_3_2_test_loss", "the test loss stays of order 1: within 20 % of log 2 when the training loss is small", _test_loss,
        Source("paper", "Theorem 3.2 (test loss Theta(1)); closeness to log 2 chosen here"), r"L_{test} = \Theta(1)",
        {"run": ("train_loss", "test_loss", "query_noise", "key_noise")}, (SIGNGD, NOISY, RESOLVED),
        broken(test_loss=lambda r: 0.5 * r.run["test_loss"]),
    ),
)
