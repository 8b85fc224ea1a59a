"""The constructed examples: where softmax stands still, runs away or is stuck, where the Gaussian is, and which starts solve them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....deciding import at_least, close
from ..queries.examples import CONSTRUCTIONS, Landscape, initial_queries, landscape, outputs_at, sphere
from ..reading import Reading, reading
from ..settings import Example
from .assumptions import DESCENT, OWN_TARGET, Control, about_examples, broken, is_descent, trains
from .measuring import largest, rows_sum_to_one, worst

__all__ = ["CLAIMS", "Outcomes", "outcomes"]

PAGE = Source("derived", "docs/derivations/attention_kernels.md, section 6")
SOLVED, STILL, APART = 1e-12, 1e-8, 1e-6
"""Loss below which a start has reached 0; gradient below which it has stopped; loss above which that is elsewhere than at 0."""
LINES = ("E3", "E5", "E6")
"""Examples in one dimension."""
LATE = 5000.0
"""lr t gap^2 from which on corrections of order log(t) / t to the laws of what runs away are below 1 %."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of the starts of one kernel, bool (starts,) each; neither: on the way at the end of the record, or flat at the start.

    Attributes
    ----------
    solved : ndarray
        The loss ends below 1e-12.
    running : ndarray
        Moving away, farther out than any solution by 1, with a loss that is not near 0.
    elsewhere : ndarray
        That, or stopped: the gradient ends below 1e-8 and the loss above 1e-6.
    """

    solved: NDArray
    running: NDArray
    elsewhere: NDArray

    @property
    def open(self) -> NDArray:
        """Starts of which the record does not tell."""
        return ~(self.solved | self.elsewhere)


def outcomes(r: Reading, kernel: str) -> Outcomes:
    """Read off the record what became of every start of an example; Inconclusive if the record lacks it."""
    _, f, gradient, size = r.together("train_loss", "grad_norm", "query_norm")
    f, gradient, size = (a[:, r.index(kernel)] for a in (f, gradient, size))
    solved = f[-1] < SOLVED
    apart = (f[-1] > APART) & ~((gradient[0] < STILL) & (f[0] > APART))
    running = apart & (gradient[-1] >= STILL) & (size[-1] > size[len(size) // 2])
    if r.setting.task not in LINES:
        running = np.zeros_like(running)
    elif running.any():
        running &= size[-1] > np.abs(_landscape(r, kernel).zeros).max(initial=0.0) + 1.0
    return Outcomes(solved, running, running | (apart & (gradient[-1] < STILL)))


def _landscape(r: Reading, kernel: str) -> Landscape:
    return landscape(r.setting.task, kernel, r.setting.y)


def _example(r: Reading, *tasks: str) -> None:
    """Raise Inconclusive unless a run is of one of these examples."""
    if not isinstance(r.setting, Example) or r.setting.task not in tasks:
        raise Inconclusive(f"the run is not of {', '.join(tasks)}")


def _starts(r: Reading) -> NDArray:
    return initial_queries(r.setting, int(r.run.provenance["seed"]))[:, 0]


def _end(r: Reading) -> str:
    return f"{r.run.clock} {r.at[-1]:g}"


# -- outcomes of all starts --------------------------------------------------------------------------------------------


def _basins(kernel: str, evidence: Any) -> Measured:
    r = reading(evidence)
    _example(r, *LINES)
    found, predicted = outcomes(r, kernel), _landscape(r, kernel).reaches_zero(_starts(r))
    wrong = (found.solved & ~predicted) | (found.elsewhere & predicted)
    left = int(found.open.sum())
    if left > 0.01 * len(wrong) and not wrong.any():
        raise Inconclusive(f"{left} of {len(wrong)} starts have not settled by {_end(r)}: run on")
    where = f"{len(wrong)} starts, {left} of them not settled by {_end(r)}"
    if wrong.any():
        where += f"; first wrong from q = {_starts(r)[np.argmax(wrong)]:.4g}"
    unit = "of the starts reach 0 (deviation: share wrong)"
    return Measured(float(found.solved.mean()), float(predicted.mean()), float(wrong.mean()), 0.5 / len(wrong), where, unit)


def _all_solved(kernel: str, tasks: tuple[str, ...], evidence: Any) -> Measured:
    r = reading(evidence)
    _example(r, *tasks)
    found = outcomes(r, kernel)
    if found.open.any() and not found.elsewhere.any():
        raise Inconclusive(f"{int(found.open.sum())} of {len(found.open)} starts have not settled by {_end(r)}: run on")
    share = float(found.solved.mean())
    return Measured(share, 1.0, 1.0 - share, 0.5 / len(found.open), f"{len(found.open)} starts, {_end(r)}", "of the starts reach 0")


def _ending(kernel: str, solved: Callable[[Reading], Any]) -> Control:
    """Return a negative control: all starts of a kernel have stopped, at loss 0 where `solved` says so and at 0.1 elsewhere."""

    def ended(name: str, r: Reading) -> NDArray:
        wrong = np.array(r[name])
        wrong[-1, r.index(kernel)] = np.where(solved(r), 0.0, 0.1) if name == "train_loss" else 0.0
        return wrong

    return broken(train_loss=partial(ended, "train_loss"), grad_norm=partial(ended, "grad_norm"))


def _not_predicted(kernel: str, r: Reading) -> NDArray:
    _example(r, *LINES)
    return ~_landscape(r, kernel).reaches_zero(_starts(r))


# -- what does not depend on the query: E1, E4 ---------------------------------------------------------------------------


def _flat(evidence: Any) -> Measured:
    r = reading(evidence)
    _example(r, "E1", "E4")
    steps, f, gradient = r.together("train_loss", "grad_norm")
    names = rows_sum_to_one(r)
    rows = [r.index(name) for name in names]
    loss = 0.5 * (r.setting.y - CONSTRUCTIONS[r.setting.task].values[0]) ** 2
    at, where = largest(gradient[:, rows], r, steps, names)
    moved, there = largest(np.abs(f[:, rows] - loss), r, steps, names)
    return worst(
        Measured(gradient[:, rows][at], 0.0, gradient[:, rows][at], 1e-14, where, "norm of the gradient"),
        Measured(f[:, rows][moved], loss, abs(f[:, rows][moved] - loss), 1e-14, there, "loss"),
    )


def _top(task: str) -> float:
    """Largest output of the Gaussian kernel on a grid over the box of the keys, which holds every maximum."""
    keys = CONSTRUCTIONS[task].keys
    sides = [np.linspace(low, high, 101) for low, high in zip(keys.min(axis=0), keys.max(axis=0), strict=True)]
    return float(outputs_at(task, "gaussian", np.stack(np.meshgrid(*sides), axis=-1)).max())


def _within_reach(r: Reading) -> bool:
    made = CONSTRUCTIONS[r.setting.task]
    return 0.0 < r.setting.y < _top(r.setting.task) and made.low <= r.setting.low and r.setting.high <= made.high


def _contraction(evidence: Any) -> Measured:
    r = reading(evidence)
    radius, J = _sphere(r)
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
    """Radius and slope of the sphere on which one key meets its target."""
    _example(r, "E4")
    made = CONSTRUCTIONS["E4"]
    if not 0.0 < r.setting.y < made.values[0]:
        raise Inconclusive(f"y={r.setting.y:g} is not between 0 and the value: there is no sphere")
    return sphere(float(made.values[0]), r.setting.y, made.c)


def _radius(evidence: Any) -> Measured:
    r = reading(evidence)
    radius, _ = _sphere(r)
    if not outcomes(r, "gaussian").solved.all():
        raise Inconclusive(f"some start has not reached loss 0 by {_end(r)}: run on")
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
    _example(r, "E2")
    made = CONSTRUCTIONS["E2"]
    best = int(made.values.argmax())
    gap = r.setting.y - float(made.values[best])
    if gap <= 0.0:
        raise Inconclusive(f"y={r.setting.y:g} is not above all values")
    distances = np.linalg.norm(made.keys - made.keys[best], axis=1)
    side = float(np.min(distances[distances > 0]))
    return gap, 0.5 * gap**2, made.values[best] - made.values[np.isclose(distances, side)], side


def _hull_floor(evidence: Any) -> Measured:
    r = reading(evidence)
    _, floor, _, _ = _hull(r)
    steps, f = r.together("train_loss")
    names = rows_sum_to_one(r)
    of = f[:, [r.index(name) for name in names]]
    at, where = largest(-of, r, steps, names)
    return at_least(of[at] / floor, 1.0 - 1e-12, where, "of (y - max v)^2 / 2")


def _late(r: Reading, steps: NDArray, gap: float) -> float:
    """Return lr t at the last of the steps; Inconclusive if that is too early for the laws."""
    time = _lr_or_one(r) * float(steps[-1])
    if time * gap**2 < LATE:
        raise Inconclusive(f"lr t (y - max v)^2 = {time * gap**2:.4g} at the horizon; the laws are read from {LATE:g} on")
    return time


def _hull_law(quantity: str, evidence: Any) -> Measured:
    r = reading(evidence)
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
    r = reading(evidence)
    _example(r, "E3")
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
    where = f"{int(running.sum())} of {len(running)} starts run, {_end(r)}"
    excess = f - 0.5 * gap**2
    return worst(
        close(np.median(excess), 1.0 / (distance**2 * time), 0.05, where, "median loss above its limit"),
        close(np.median(size), np.log(gap * drop * distance**2 * time) / distance, 0.02, where, "median query"),
        at_least(f.min() / (0.5 * gap**2), 1.0 - 1e-12, where, "least loss, of its limit"),
    )


# -- strict local minima: E5, E6 -------------------------------------------------------------------------------------------


def _minimum(kernel: str, evidence: Any) -> Measured:
    r = reading(evidence)
    _example(r, *LINES)
    steps, f, gradient, curvature = r.together("train_loss", "grad_norm", "curvature")
    if steps[-1] != r.run.steps("train_loss")[-1]:
        raise Inconclusive("curvature was not recorded at the end")
    f, gradient, curvature = (a[-1, r.index(kernel)] for a in (f, gradient, curvature))
    stopped = (gradient < STILL) & (f > APART)
    minima = _landscape(r, kernel).minima
    if not stopped.any() or not len(minima):
        raise Inconclusive(f"no start of {kernel} has stopped at a positive loss by {_end(r)}")
    levels = 0.5 * (outputs_at(r.setting.task, kernel, minima[:, None]) - r.setting.y) ** 2
    nearest = levels[np.argmin(np.abs(f[stopped][:, None] - levels), axis=1)]
    far = int(np.argmax(np.abs(f[stopped] - nearest)))
    where = f"{int(stopped.sum())} of {len(f)} starts have stopped, gradients up to {gradient[stopped].max():.2g}"
    least = float(curvature[stopped].min())
    return worst(
        close(f[stopped][far], nearest[far], 1e-5, f"{where}; curvature {least:.4g}", "loss", relative=False),
        Measured(least, 0.0, -least, 1e-300, where, "least curvature, which must be positive"),
    )


def _second(kernel: str, evidence: Any) -> Measured:
    r = reading(evidence)
    _example(r, *LINES)
    found = outcomes(r, kernel)
    if not (found.elsewhere & ~found.running).any():
        raise Inconclusive(f"no start of {kernel} has stopped at a positive loss by {_end(r)}")
    _, f, gradient = r.together("train_loss", "grad_norm")
    last = f[-1, r.index(kernel)]
    best = int(np.argmin(last))
    if last[best] > 1e-20 and gradient[-1, r.index(kernel), best] > 1e-12:
        raise Inconclusive(f"the least loss is {last[best]:.3g} at {_end(r)}, and still falling: run on")
    return Measured(last[best], 0.0, last[best], 1e-20, f"start {best} of {len(last)}, {_end(r)}", "loss")


def _lifted(r: Reading) -> NDArray:
    """Losses that are 1e-4 too high."""
    return r["train_loss"] + 1e-4


# -- assumptions -----------------------------------------------------------------------------------------------------------


def _orderly(kernel: str) -> Assumption:
    """Steps that keep queries in order stay in their basin: then gradient descent ends where gradient flow does."""

    def met(evidence: Any) -> bool:
        r = reading(evidence)
        if not isinstance(r.setting, Example) or r.setting.task not in LINES or kernel not in r.kernels or not is_descent(r):
            return True  # another condition is missed already
        return r.lr is None or r.lr * _steepest(r, kernel) <= 1.0

    return Assumption("lr times the largest second derivative of the loss is at most 1: steps keep queries in order", met)


def _steepest(r: Reading, kernel: str) -> float:
    """Largest second derivative of the loss, where queries are."""
    farthest = max(abs(r.setting.low), abs(r.setting.high), 6.0)
    q = np.linspace(-farthest, farthest, 4001)
    o = outputs_at(r.setting.task, kernel, q[:, None].astype(complex) + 1e-30j)
    return float(np.gradient((o.real - r.setting.y) * o.imag / 1e-30, q).max())


LINE = about_examples(LINES, "an example in one dimension")
CONSTANT = about_examples(("E1", "E4"), "all values are equal: E1, or the single token of E4")
REACHED = about_examples(
    ("E1", "E2", "E4"), "E1, E2 or E4, the target below the largest output of the Gaussian kernel, starts in their range", _within_reach,
)
OUTSIDE = about_examples(("E2",), "E2, the target above all values", lambda r: r.setting.y > CONSTRUCTIONS["E2"].values.max())
ONE_KEY = about_examples(("E4",), "E4, the target between 0 and the value", lambda r: 0.0 < r.setting.y < CONSTRUCTIONS["E4"].values[0])
RUNS = about_examples(("E3",), "E3, the target below the value of the last key", lambda r: r.setting.y < CONSTRUCTIONS["E3"].values[-1])
SOFTMAX, GAUSSIAN, ROW_GAUSSIAN = trains("softmax"), trains("gaussian"), trains("row_gaussian")
NORMALISED = trains("softmax", "row_gaussian")
_KERNELS = {"softmax": SOFTMAX, "gaussian": GAUSSIAN, "row_gaussian": ROW_GAUSSIAN}

_LOSS, _ENDS = {"run": ("train_loss",)}, {"run": ("train_loss", "grad_norm", "query_norm")}
_CURVED = {"run": ("train_loss", "grad_norm", "curvature")}


def _minimum_claims(kernel: str, task: str, ids: tuple[str, str], statement: str) -> tuple[Claim, ...]:
    own = (about_examples((task,)), OWN_TARGET, _KERNELS[kernel])
    return (
        Claim(
            ids[0], f"{statement}: where the gradient has fallen below 1e-8 at a positive loss, the loss is that of the minimum "
            "on paper (to 1e-5) and the curvature is positive", partial(_minimum, kernel), PAGE,
            r"f'(q^*) = 0,\ f(q^*) > 0,\ f''(q^*) > 0", _CURVED, own, broken(train_loss=_lifted),
        ),
        Claim(
            ids[1], f"from another start of the same run the loss of the same kernel in {task} ends below 1e-20", partial(_second, kernel),
            PAGE, r"\min f = 0", _ENDS, own, broken(train_loss=lambda r: r["train_loss"] + 1e-13),
        ),
    )


def _solves(id: str, statement: str, kernel: str, tasks: tuple[str, ...], *own: Assumption) -> Claim:
    return Claim(id, statement, partial(_all_solved, kernel, tasks), PAGE, r"f_\infty = 0", _ENDS, (*own, _KERNELS[kernel]),
                 _ending(kernel, lambda r: False))


CLAIMS = (
    Claim(
        "equal_values_flat", "where all values are equal, the loss of kernels whose rows sum to 1 does not depend on the query: the "
        "gradient is 0 and the loss stays what it is (to 1e-14)", _flat, PAGE, r"o \equiv v,\quad \nabla f \equiv 0",
        {"run": ("train_loss", "grad_norm")}, (CONSTANT, NORMALISED), broken(grad_norm=lambda r: r["grad_norm"] + 1e-9),
    ),
    _solves("gaussian_solves", "every start of the Gaussian kernel ends below 1e-12 in the examples in several dimensions", "gaussian",
            ("E1", "E2", "E4"), REACHED),
    Claim(
        "hull_floor", "with the target above all values, the loss of kernels whose rows sum to 1 stays above that of the largest value "
        "(1e-12 relative)", _hull_floor, PAGE, r"f_t \geq \frac12 (y - \max v)^2", _LOSS, (OUTSIDE, NORMALISED),
        broken(train_loss=lambda r: 0.5 * r["train_loss"]),
    ),
    *(
        Claim(
            id, f"with the target above all values, from every start, {statement} (within 1 % once lr t (y - max v)^2 >= {LATE:g})",
            partial(_hull_law, quantity), PAGE, latex, {"run": (quantity,)}, (OUTSIDE, DESCENT, NORMALISED), broken(**{quantity: wrong}),
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
        r"f_t - \frac12(v - y)^2 \sim \frac{1}{\eta t}", _ENDS, (RUNS, DESCENT, SOFTMAX),
        broken(train_loss=lambda r: 1.01 * r["train_loss"]),
    ),
    Claim(
        "sphere", "every start of the Gaussian kernel with one key ends at the distance sqrt(2 c ln(v / y)) from it (1e-5 relative)",
        _radius, PAGE, r"\|q_\infty - k\|^2 = 2c\ln(v/y)", _ENDS, (ONE_KEY, GAUSSIAN), broken(query_norm=lambda r: 1.001 * r["query_norm"]),
    ),
    Claim(
        "contraction", "there the loss of the Gaussian kernel with one key contracts by (1 - lr J^2)^2 a step (1e-6 relative; read at "
        "losses between 1e-18 and 1e-14)", _contraction, PAGE,
        r"f_{t+1}/f_t \to (1 - \eta J^2)^2,\quad J = y\,r/c", _LOSS, (ONE_KEY, DESCENT, GAUSSIAN),
        broken(train_loss=lambda r: r["train_loss"] ** 1.01),
    ),
    *(
        Claim(
            f"basins_{kernel}", f"every start of {name} ends at loss 0, or elsewhere, as the basins on paper say", partial(_basins, kernel),
            PAGE, r"q_0 \in \mathrm{basin}(q^*)", _ENDS, (LINE, DESCENT, _KERNELS[kernel], _orderly(kernel)),
            _ending(kernel, partial(_not_predicted, kernel)),
        )
        for kernel, name in (("softmax", "softmax"), ("gaussian", "the Gaussian kernel"), ("row_gaussian", "the row-normalised Gaussian"))
    ),
    *_minimum_claims("softmax", "E5", ("strict_minimum", "second_start"), "softmax has a strict local minimum in E5"),
    *_minimum_claims("gaussian", "E6", ("reverse_minimum", "reverse_second_start"), "the Gaussian kernel has a strict local minimum in E6"),
    _solves("gaussian_everywhere", "every start of the Gaussian kernel ends below 1e-12 in E3 and E5", "gaussian", ("E3", "E5"),
            about_examples(("E3", "E5")), OWN_TARGET),
    _solves("row_gaussian_everywhere", "every start of the row-normalised Gaussian ends below 1e-12 in E5", "row_gaussian", ("E5",),
            about_examples(("E5",)), OWN_TARGET),
    _solves("reverse_softmax", "every start of softmax ends below 1e-12 in E6", "softmax", ("E6",), about_examples(("E6",)), OWN_TARGET),
)
