"""The constructed examples in which softmax stands still or runs away, and how the Gaussian meets one key: E1 to E4."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, close, worst
from ....run_claims import given
from ..queries.constructions import CONSTRUCTIONS
from ..queries.examples import sphere
from ..queries.outcomes import outcomes
from ..reading import Reading
from .assumptions import DESCENT, about_examples, assuming, broken, reading_about, trains
from .measuring import largest, rows_sum_to_one

__all__ = ["CLAIMS"]

PAGE = Source("derived", "docs/derivations/attention_kernels.md, section 6")
LATE = 5000.0
"""lr t gap^2 from which on corrections of order log(t) / t to the laws of what runs away are below 1 %."""

EQUAL, OUTSIDE, ONE_KEY, RUNS = about_examples("E1", "E4"), about_examples("E2"), about_examples("E4"), about_examples("E3")


# -- what does not depend on the query: E1, E4 ---------------------------------------------------------------------------


def _flat(evidence: Any) -> Measured:
    r = reading_about(EQUAL, evidence)
    steps, f, gradient = r.together("train_loss", "grad_norm")
    names = rows_sum_to_one(r)
    rows = [r.index(name) for name in names]
    loss = 0.5 * (r.setting.y - CONSTRUCTIONS[r.task].values[0]) ** 2
    at, where = largest(gradient[:, rows], r, steps, names)
    moved, there = largest(np.abs(f[:, rows] - loss), r, steps, names)
    return worst(
        Measured(gradient[:, rows][at], 0.0, gradient[:, rows][at], 1e-14, where, "norm of the gradient"),
        Measured(f[:, rows][moved], loss, abs(f[:, rows][moved] - loss), 1e-14, there, "loss"),
    )


def _contraction(evidence: Any) -> Measured:
    """The ratio of losses of neighbouring steps against equation (42)."""
    r = reading_about(ONE_KEY, evidence)
    _, J = _sphere(r)
    if r.lr is None:
        raise Inconclusive("the ratio is one of steps: a flow's solver is not accurate enough at losses this small")
    steps, f = r.together("train_loss")
    of, found = f[:, r.index("gaussian")], []
    predicted = (1.0 - r.lr * J**2) ** 2
    for start in range(of.shape[1]):
        rows = np.flatnonzero((of[:, start] > 1e-18) & (of[:, start] < 1e-14))
        if len(rows) >= 2 and np.all(np.diff(of[rows, start]) < 0):
            first, last = rows[0], rows[-1]
            ratio = (of[last, start] / of[first, start]) ** (1.0 / (steps[last] - steps[first]))
            found.append(close(ratio, predicted, 1e-6, f"start {start}, steps {steps[first]:g} to {steps[last]:g}", "a step"))
    if not found:
        raise Inconclusive("no start has two recorded steps at losses between 1e-18 and 1e-14, where the ratio is read")
    return worst(*found)


def _sphere(r: Reading) -> tuple[float, float]:
    """Radius and slope of the sphere on which one key meets its target, equation (42)."""
    made = CONSTRUCTIONS["E4"]
    if not 0.0 < r.setting.y < made.values[0]:
        raise Inconclusive(f"y={r.setting.y:g} is not between 0 and the value: there is no sphere")
    return sphere(float(made.values[0]), r.setting.y, made.c)


def _radius(evidence: Any) -> Measured:
    r = reading_about(ONE_KEY, evidence)
    radius, _ = _sphere(r)
    if not outcomes(r, "gaussian").solved.all():
        raise Inconclusive(f"some start has not reached loss 0 by {r.end}: {r.on}")
    _, size = r.together("query_norm")
    last = size[-1:, [r.index("gaussian")]]
    at, where = largest(np.abs(last - radius), r, r.at[-1:], ("gaussian",))
    return close(last[at], radius, 1e-5, where)


# -- what runs away: E2, E3 ----------------------------------------------------------------------------------------------


def _lr_or_one(r: Reading) -> float:
    """The learning rate; 1 for gradient flow, whose times count as they are."""
    return 1.0 if r.lr is None else r.lr


def _hull(r: Reading) -> tuple[float, float, NDArray, float]:
    """Gap between target and largest value, loss there, how far the values at the neighbouring corners lie below, side of the square."""
    made = CONSTRUCTIONS["E2"]
    best = int(made.values.argmax())
    gap = r.setting.y - float(made.values[best])
    if gap <= 0.0:
        raise Inconclusive(f"y={r.setting.y:g} is not above all values")
    distances = np.linalg.norm(made.keys - made.keys[best], axis=1)
    side = float(np.min(distances[distances > 0]))
    return gap, 0.5 * gap**2, made.values[best] - made.values[np.isclose(distances, side)], side


def _hull_floor(evidence: Any) -> Measured:
    """The least loss against that of the largest value: by equation (32) the output is no larger, in E2 by equation (45)."""
    r = reading_about(OUTSIDE, evidence)
    _, floor, _, _ = _hull(r)
    steps, f = r.together("train_loss")
    names = rows_sum_to_one(r)
    of = f[:, [r.index(name) for name in names]]
    at, where = largest(-of, r, steps, names)
    return at_least(of[at] / floor, 1.0 - 1e-12, where, "of (y - max v)^2 / 2")


def _late(r: Reading, steps: NDArray, gap: float) -> float:
    """Return lr t at the last of the steps; Inconclusive if that is too early for the laws, by the corrections of equation (47)."""
    time = _lr_or_one(r) * float(steps[-1])
    if time * gap**2 < LATE:
        raise Inconclusive(f"lr t (y - max v)^2 = {time * gap**2:.4g} at the horizon; the laws are read from {LATE:g} on")
    return time


def _hull_law(quantity: str, evidence: Any) -> Measured:
    """Loss, gradient or query at the last step against equation (46)."""
    r = reading_about(OUTSIDE, evidence)
    gap, floor, drops, side = _hull(r)
    steps, recorded = r.together(quantity)
    names = rows_sum_to_one(r)
    time, last = _late(r, steps, gap), recorded[-1:, [r.index(name) for name in names]]
    law = {
        "train_loss": len(drops) / (side**2 * time),
        "grad_norm": np.sqrt(len(drops)) / (side * time),
        "query_norm": np.linalg.norm(np.log(drops * gap * side**2 * time) / side),
    }[quantity]
    measured = last - floor if quantity == "train_loss" else last
    at, where = largest(np.abs(measured - law), r, steps[-1:], names)
    return close(measured[at], law, 0.01, where)


def _runaway(evidence: Any) -> Measured:
    r = reading_about(RUNS, evidence)
    made = CONSTRUCTIONS["E3"]
    last, before = np.argsort(made.keys[:, 0])[[-1, -2]]
    gap, drop = float(made.values[last]) - r.setting.y, float(made.values[before] - made.values[last])
    distance = float(made.keys[last, 0] - made.keys[before, 0])
    running = outcomes(r, "softmax").running
    if gap <= 0.0 or not running.any():
        raise Inconclusive("no start runs away")
    steps, f, size = (a if i == 0 else a[-1, r.index("softmax")][running] for i, a in enumerate(r.together("train_loss", "query_norm")))
    time = _lr_or_one(r) * float(steps[-1])
    if time * gap**2 < LATE / 20.0:
        raise Inconclusive(f"lr t (v - y)^2 = {time * gap**2:.4g} at the horizon; the law is read from {LATE / 20.0:g} on")
    where = f"{int(running.sum())} of {len(running)} starts run, {r.end}"
    excess = f - 0.5 * gap**2
    return worst(
        close(np.median(excess), 1.0 / (distance**2 * time), 0.05, where, "median loss above its limit"),
        close(np.median(size), np.log(gap * drop * distance**2 * time) / distance, 0.02, where, "median query"),
        at_least(f.min() / (0.5 * gap**2), 1.0 - 1e-12, where, "least loss, of its limit"),
    )


# -- the claims ------------------------------------------------------------------------------------------------------------


ABOVE = assuming("the target is above all values", lambda r: r.setting.y > CONSTRUCTIONS["E2"].values.max())
BETWEEN = assuming("the target is between 0 and the value", lambda r: 0.0 < r.setting.y < CONSTRUCTIONS["E4"].values[0])
BELOW_LAST = assuming("the target is below the value of the last key", lambda r: r.setting.y < CONSTRUCTIONS["E3"].values[-1])
SOFTMAX, GAUSSIAN, NORMALISED = trains("softmax"), trains("gaussian"), trains("softmax", "row_gaussian")

_LOSS, _ENDS = {"run": ("train_loss",)}, {"run": ("train_loss", "grad_norm", "query_norm")}

CLAIMS = (
    Claim(
        "equal_values_flat", "where all values are equal, the loss of kernels whose rows sum to 1 does not depend on the query: the "
        "gradient is 0 and the loss stays what it is (to 1e-14)", _flat, PAGE, r"o \equiv v,\quad \nabla f \equiv 0",
        {"run": ("train_loss", "grad_norm")}, given(EQUAL, NORMALISED), broken(grad_norm=lambda r: r["grad_norm"] + 1e-9),
    ),
    Claim(
        "hull_floor", "with the target above all values, the loss of kernels whose rows sum to 1 stays above that of the largest value "
        "(1e-12 relative)", _hull_floor, PAGE, r"f_t \geq \frac12 (y - \max v)^2", _LOSS, given(OUTSIDE, ABOVE, NORMALISED),
        broken(train_loss=lambda r: 0.5 * r["train_loss"]),
    ),
    *(
        Claim(
            id, f"with the target above all values, from every start, {statement} (within 1 % once lr t (y - max v)^2 >= {LATE:g})",
            partial(_hull_law, quantity), PAGE, latex, {"run": (quantity,)}, given(OUTSIDE, ABOVE, DESCENT, NORMALISED),
            broken(**{quantity: wrong}),
        )
        for id, quantity, statement, latex, wrong in (
            ("hull_excess", "train_loss", "the loss above that falls as 2 / (side^2 lr t)",
             r"f_t - \frac12(y - \max v)^2 \sim \frac{2}{\ell^2\eta t}", lambda r: 1.001 * r["train_loss"]),
            ("hull_gradient", "grad_norm", "the gradient falls as sqrt(2) / (side lr t)", r"\|\nabla f\| \sim \frac{\sqrt2}{\ell\,\eta t}",
             lambda r: 1.05 * r["grad_norm"]),
            ("hull_query", "query_norm", "the query runs away as the logarithm of t",
             r"\ell q_i \sim \ln(\delta_i (y - \max v)\,\ell^2\,\eta t)", lambda r: 1.05 * r["query_norm"]),
        )
    ),
    Claim(
        "runaway", "of the starts that run away the median loss tends to (v - y)^2 / 2, v the value of the last key, as 1 / (lr t) (within "
        "5 %), the median query grows as the logarithm of t (within 2 %), and no loss comes below the limit", _runaway, PAGE,
        r"f_t - \frac12(v - y)^2 \sim \frac{1}{\eta t}", _ENDS, given(RUNS, BELOW_LAST, DESCENT, SOFTMAX),
        broken(train_loss=lambda r: 1.01 * r["train_loss"]),
    ),
    Claim(
        "sphere", "every start of the Gaussian kernel with one key ends at the distance sqrt(2 c ln(v / y)) from it (1e-5 relative)",
        _radius, PAGE, r"\|q_\infty - k\|^2 = 2c\ln(v/y)", _ENDS, given(ONE_KEY, BETWEEN, GAUSSIAN),
        broken(query_norm=lambda r: 1.001 * r["query_norm"]),
    ),
    Claim(
        "contraction", "there the loss of the Gaussian kernel with one key contracts by (1 - lr J^2)^2 a step (1e-6 relative; read at "
        "losses between 1e-18 and 1e-14)", _contraction, PAGE,
        r"f_{t+1}/f_t \to (1 - \eta J^2)^2,\quad J = y\,r/c", _LOSS, given(ONE_KEY, BETWEEN, DESCENT, GAUSSIAN),
        broken(train_loss=lambda r: r["train_loss"] ** 1.01),
    ),
)
