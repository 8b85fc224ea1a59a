"""Value layer and Stage I: exact straight lines, the first transition, the bounds that replace equalities under overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ..reading import Reading, reading
from .assumptions import APART, DISJOINT, KAPPA_2, NOISY, SIGNGD, STARTED, broken

__all__ = ["CLAIMS"]

PAGE = "docs/derivations/signal_noise.md, section 4"


def _value_signal_linear(evidence: Any) -> Measured:
    r = reading(evidence)
    A, line = r["mean_value_signal"], r.value_lines[0]
    deviation = np.abs(A - line) / (np.abs(A[0]) + 2.0 * r.lr * r.mu * np.maximum(r.elapsed, 1))
    t = int(np.argmax(deviation))
    return Measured(A[t], line[t], deviation[t], 1e-12, f"step {r.at[t]}")


def _value_noise_linear(evidence: Any) -> Measured:
    r = reading(evidence)
    B, line = r["mean_value_noise"], r.value_lines[1]
    deviation = np.abs(B - line) / (np.abs(B[0]) + 2.0 * r.lr * r.a * np.maximum(r.elapsed, 1)[:, None])
    t, i = np.unravel_index(np.argmax(deviation), deviation.shape)
    return Measured(B[t, i], line[t, i], deviation[t, i], 1e-12, f"step {r.at[t]}, sample {i}")


def _outside(moves: NDArray, low: NDArray, high: NDArray) -> NDArray:
    """How far |moves| leave [low, high], relative to high; a rounding error of 1e-12 is inside."""
    return np.maximum(low - moves, moves - high) / high


def _value_noise_bounds(evidence: Any) -> Measured:
    r = reading(evidence)
    rows = r.step_where("mean_value_noise")
    moves = (r["mean_value_noise"][rows + 1] - r["mean_value_noise"][rows]) / (2.0 * r.lr)
    private = r.constant("noise_private_l1")
    return _bound(r, rows, moves[:, None, :], 2.0 * private - r.a, "value noise")


def _noise_bounds(evidence: Any) -> Measured:
    r = reading(evidence)
    rows = r.step_where("key_noise")
    low = np.maximum(2.0 * r.constant("noise_private_l1") - r.a, 0.0)  # private minus shared part; a size is never below 0
    worst = Measured(0.0, 0.0, -np.inf, 1e-9)
    for name in ("query_noise", "key_noise"):
        x = r[name]
        for part in np.array_split(rows, max(1, len(rows) // 64)):  # in parts: the differences are as large as the record
            m = _bound(r, part, np.abs(x[part + 1] - x[part]) / r.lr, low, name.replace("_", " "))
            worst = max(worst, m, key=lambda x: x.deviation)
    return worst


def _bound(r: Reading, rows: NDArray, moves: NDArray, low: NDArray, name: str) -> Measured:
    """Measure how far moves (T, rows, n), in units of one step, leave [low, a], the bounds of equation (22)."""
    outside = _outside(moves, low, r.a)
    t, k, i = np.unravel_index(np.argmax(outside), outside.shape)
    move = moves[t, k, i]
    bound = r.a[i] if move > r.a[i] else low[i]
    return Measured(move, bound, max(outside[t, k, i], 0.0), 1e-9, f"{name}, step {r.at[rows[t]]}, row {k}, sample {i}", "of lr")


def _stage_one(evidence: Any) -> Measured:
    r = reading(evidence)
    predicted = r.stage_one_predicted
    if r.T_one is None:
        if np.isfinite(predicted) and predicted > r.at[-1]:
            raise Inconclusive(f"Stage I is predicted to end at step {predicted:.0f}, past the horizon of {r.at[-1]} steps")
        late = 0.0 if np.isinf(predicted) else float(r.at[-1]) + 1.0 - predicted
        return Measured(np.inf if np.isinf(predicted) else float(r.at[-1]), predicted, late, 0.5, "Stage I does not end")
    spacing = int(np.diff(r.at).max(initial=1))
    if spacing > 1 and r.T_one > predicted:
        predicted = float(r.at[np.searchsorted(r.at, predicted)])  # the first recorded step at which it can be seen
    return Measured(r.T_one, predicted, abs(r.T_one - predicted), 0.5, "first step with B_i > A for all samples", "steps")


def _key_noise_still(evidence: Any) -> Measured:
    r = reading(evidence)
    if r.T_one is None:
        raise Inconclusive("Stage I does not end within the horizon")
    if r.T_one not in (0, 1) and r.T_one - 1 not in r.at:
        raise Inconclusive(f"Stage I ends between two recorded steps, at or before step {r.T_one}: record with every=1")
    moved = r["key_noise"][r.row(r.T_one)] - r.initial("key_noise")
    ratio = float(np.sqrt((moved**2).mean()) / r.initial_noise) if r.initial_noise else np.inf
    return Measured(ratio, 1.0, ratio, 1.0, f"step {r.T_one}, the end of Stage I", "of the initial root mean square")


def _noise_outgrows_signal(evidence: Any) -> Measured:
    r = reading(evidence)
    if len(r.at) < 2:
        raise Inconclusive("the horizon is 0 steps")
    grown = r["mean_value_noise"][-1] - r["mean_value_noise"][0]
    ratio = grown / (r["mean_value_signal"][-1] - r["mean_value_signal"][0])
    predicted = r.a / r.mu
    i = int(np.argmax(np.abs(ratio / predicted - 1.0)))
    return Measured(ratio[i], predicted[i], abs(ratio[i] / predicted[i] - 1.0), 1e-9, f"sample {i}, over the whole run")


CLAIMS = (
    Claim(
        "value_signal_linear", "mean value signal is a straight line, A(t) = A(0) + 2 lr |mu| t", _value_signal_linear,
        Source("derived", PAGE), r"A(t) = A(0) + 2\eta\|\mu\|t", {"run": ["mean_value_signal", "mean_value_noise"]}, (SIGNGD, APART),
        broken(mean_value_signal=lambda r: r["mean_value_signal"] + 1e-6 * r.lr * r.at),
    ),
    Claim(
        "value_noise_linear", "mean value noise is a straight line, B_i(t) = B_i(0) + 2 lr a_i t", _value_noise_linear,
        Source("derived", PAGE), r"B_i(t) = B_i(0) + 2\eta a_i t", {"run": ["mean_value_signal", "mean_value_noise"]}, (SIGNGD, DISJOINT),
        broken(mean_value_noise=lambda r: r["mean_value_noise"] + 1e-6 * r.lr * r.at[:, None]),
    ),
    Claim(
        "value_noise_bounds", "every step moves mean value noise up by between 2 lr (|private_i|_1 - |shared_i|_1) and 2 lr a_i",
        _value_noise_bounds, Source("derived", PAGE), r"2\eta(|\xi_i^{priv}|_1 - |\xi_i^{shared}|_1) \le \Delta B_i \le 2\eta a_i",
        {"run": ["mean_value_noise"]}, (SIGNGD,),
        broken(mean_value_noise=lambda r: r["mean_value_noise"] * 1.5 + r.lr * r.a * r.at[:, None]),
    ),
    Claim(
        "noise_bounds", "every step moves query and key noise by between lr (|private_i|_1 - |shared_i|_1) and lr a_i in size",
        _noise_bounds, Source("derived", PAGE), r"\eta(|\xi_i^{priv}|_1 - |\xi_i^{shared}|_1) \le |\Delta| \le \eta a_i",
        {"run": ["query_noise", "key_noise"]}, (SIGNGD, STARTED),
        broken(key_noise=lambda r: 1.001 * r["key_noise"] * (1 + 1e-3 * r.at[:, None, None])),
    ),
    Claim(
        "stage_one_end", "Stage I ends, mean value noise exceeding mean value signal in every sample, at the step computed from the start",
        _stage_one, Source("derived", PAGE), r"\max_i \lfloor (A(0)-B_i(0)) / (2\eta(a_i-\|\mu\|)) \rfloor + 1",
        {"run": ["mean_value_signal", "mean_value_noise"]}, (SIGNGD, DISJOINT, APART),
        broken(mean_value_noise=lambda r: np.concatenate([r["mean_value_noise"][:1], r["mean_value_noise"][1:] - 1e3 * r.lr * r.a])),
    ),
    Claim(
        "lemma_4_1_value_noise", "mean value noise outgrows mean value signal by the factor a_i / |mu|", _noise_outgrows_signal,
        Source("paper", "Lemma 4.1 (title and captions); factor derived here"), r"\Delta B_i / \Delta A = a_i / \|\mu\|",
        {"run": ["mean_value_signal", "mean_value_noise"]}, (SIGNGD, DISJOINT, APART, NOISY),
        broken(mean_value_noise=lambda r: r["mean_value_noise"] * 0.9),
    ),
    Claim(
        "lemma_4_1_key_noise_still", "while mean value noise becomes linear, key noise stays near its initial value: it moves by less than "
        "its own initial size in Stage I", _key_noise_still,
        Source("paper", "Lemma 4.1 (title and captions); threshold chosen here"),
        r"\|\kappa(T_1)-\kappa(0)\|_{rms} \le \|\kappa(0)\|_{rms}",
        {"run": ["mean_value_signal", "mean_value_noise", "key_noise", "query_noise"]}, (SIGNGD, NOISY, KAPPA_2),
        broken(key_noise=lambda r: r["key_noise"] * (1.0 + r.at[:, None, None])),
    ),
)
