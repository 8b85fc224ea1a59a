"""The constructed examples as a whole: which starts reach loss 0, and the strict local minima that keep others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....deciding import at_least, close, worst
from ....run_claims import Control, given
from ..queries.constructions import CONSTRUCTIONS
from ..queries.examples import outputs_at
from ..queries.outcomes import APART, LINES, STILL, landscape_of, outcomes, starts_of
from ..reading import Reading
from .assumptions import DESCENT, OWN_TARGET, about_examples, assuming, broken, is_descent, reading_about, trains

__all__ = ["CLAIMS"]

SECTION = "docs/derivations/attention_kernels.md, section 6"
PAGE = Source("derived", SECTION)
CURVED = 1e-3
"""Curvature from which on a minimum counts as strict: on paper it is 0.1 or more."""

LINE = about_examples(*LINES)


# -- outcomes of all starts --------------------------------------------------------------------------------------------


def _basins(kernel: str, evidence: Any) -> Measured:
    """The share of starts that reach loss 0 against basins on paper; of presets equations (48), (50) and (51)."""
    r = reading_about(LINE, evidence)
    found, predicted = outcomes(r, kernel), landscape_of(r, kernel).reaches_zero(starts_of(r))
    wrong = (found.solved & ~predicted) | (found.elsewhere & predicted)
    left = int(found.open.sum())
    if left > 0.01 * len(wrong) and not wrong.any():
        raise Inconclusive(f"{left} of {len(wrong)} starts have not settled by {r.end}: {r.on}")
    where = f"{len(wrong)} starts, {left} of them not settled by {r.end}"
    if wrong.any():
        where += f"; first wrong from q = {starts_of(r)[np.argmax(wrong)]:.4g}"
    unit = "of the starts reach 0 (deviation: share wrong)"
    return Measured(float(found.solved.mean()), float(predicted.mean()), float(wrong.mean()), 0.5 / len(wrong), where, unit)


def _all_solved(kernel: str, kind: Assumption, evidence: Any) -> Measured:
    r = reading_about(kind, evidence)
    found = outcomes(r, kernel)
    if found.open.any() and not found.elsewhere.any():
        raise Inconclusive(f"{int(found.open.sum())} of {len(found.open)} starts have not settled by {r.end}: {r.on}")
    share = float(found.solved.mean())
    return Measured(share, 1.0, 1.0 - share, 0.5 / len(found.open), f"{len(found.open)} starts, {r.end}", "of the starts reach 0")


def _ending(kernel: str, solved: Callable[[Reading], Any]) -> Control:
    """Return a negative control: all starts of a kernel have stopped, at loss 0 where `solved` says so and at 0.1 elsewhere."""

    def ended(name: str, r: Reading) -> NDArray:
        wrong = np.array(r[name])
        wrong[-1, r.index(kernel)] = np.where(solved(r), 0.0, 0.1) if name == "train_loss" else 0.0
        return wrong

    return broken(train_loss=partial(ended, "train_loss"), grad_norm=partial(ended, "grad_norm"))


def _not_predicted(kernel: str, r: Reading) -> NDArray:
    reading_about(LINE, r.run)
    return ~landscape_of(r, kernel).reaches_zero(starts_of(r))


# -- strict local minima -------------------------------------------------------------------------------------------------


def _minimum(kernel: str, kind: Assumption, evidence: Any) -> Measured:
    r = reading_about(kind, evidence)
    steps, f, gradient, curvature = r.together("train_loss", "grad_norm", "curvature")
    if steps[-1] != r.run.steps("train_loss")[-1]:
        raise Inconclusive("curvature was not recorded at the end")
    steep = gradient[0, r.index(kernel)] >= STILL  # on a barrier, or far out, a gradient is small that has not fallen
    f, gradient, curvature = (a[-1, r.index(kernel)] for a in (f, gradient, curvature))
    stopped = steep & (gradient < STILL) & (f > APART)
    minima = landscape_of(r, kernel).minima
    if not stopped.any() or not len(minima):
        raise Inconclusive(f"no start of {kernel} has stopped at a positive loss by {r.end}")
    levels = 0.5 * (outputs_at(r.task, kernel, minima[:, None]) - r.setting.y) ** 2
    nearest = levels[np.argmin(np.abs(f[stopped][:, None] - levels), axis=1)]
    far = int(np.argmax(np.abs(f[stopped] - nearest)))
    where = f"{int(stopped.sum())} of {len(f)} starts have stopped, gradients up to {gradient[stopped].max():.2g}"
    least = float(curvature[stopped].min())
    return worst(
        close(f[stopped][far], nearest[far], 1e-5, f"{where}; curvature {least:.4g}", "loss", relative=False),
        at_least(least, CURVED, where, "least curvature"),
    )


def _second(kernel: str, kind: Assumption, evidence: Any) -> Measured:
    r = reading_about(kind, evidence)
    found = outcomes(r, kernel)
    if not (found.elsewhere & ~found.running).any():
        raise Inconclusive(f"no start of {kernel} has stopped at a positive loss by {r.end}")
    _, f, gradient = r.together("train_loss", "grad_norm")
    last = f[-1, r.index(kernel)]
    best = int(np.argmin(last))
    if last[best] > 1e-20 and gradient[-1, r.index(kernel), best] > 1e-12:
        raise Inconclusive(f"the least loss is {last[best]:.3g} at {r.end}, and still falling: {r.on}")
    return Measured(last[best], 0.0, last[best], 1e-20, f"start {best} of {len(last)}, {r.end}", "loss")


def _lifted(r: Reading) -> NDArray:
    """Losses that are 1e-4 too high."""
    return r["train_loss"] + 1e-4


# -- assumptions -----------------------------------------------------------------------------------------------------------


def _steepest(r: Reading, kernel: str) -> float:
    """Largest second derivative of the loss of an example in one dimension, where queries are."""
    farthest = max(abs(r.setting.low), abs(r.setting.high), 6.0)
    q = np.linspace(-farthest, farthest, 4001)
    o = outputs_at(r.task, kernel, q[:, None].astype(complex) + 1e-30j)
    return float(np.gradient((o.real - r.setting.y) * o.imag / 1e-30, q).max())


def _is_orderly(kernel: str, r: Reading) -> bool:
    """Whether no step carries a query past its neighbours: then gradient descent ends where gradient flow does."""
    return not is_descent(r) or r.lr is None or r.lr * _steepest(r, kernel) <= 1.0  # that it is no descent is told by DESCENT


def _orderly(kernel: str) -> Assumption:
    return assuming("lr times the largest second derivative of the loss is at most 1: steps keep queries in order",
                    partial(_is_orderly, kernel))


def _top(task: str) -> float:
    """Largest output of the Gaussian kernel on a grid over the box of the keys, which by equation (40) holds every maximum."""
    keys = CONSTRUCTIONS[task].keys
    sides = [np.linspace(low, high, 101) for low, high in zip(keys.min(axis=0), keys.max(axis=0), strict=True)]
    return float(outputs_at(task, "gaussian", np.stack(np.meshgrid(*sides), axis=-1)).max())


def _within_reach(r: Reading) -> bool:
    """Whether the target lies where equation (41) says that it is reached."""
    made = CONSTRUCTIONS[r.task]
    return 0.0 < r.setting.y < _top(r.task) and made.low <= r.setting.low and r.setting.high <= made.high


def _up_to_one(r: Reading) -> bool:
    return not is_descent(r) or r.lr is None or r.lr <= 1.0


def _has_way(kernel: str) -> Assumption:
    return assuming("a start lies in the basin of a solution", lambda r: landscape_of(r, kernel).reaches_zero(starts_of(r)).any())


REACHED = assuming("the target is below the largest output of the Gaussian kernel, starts in the range of the construction", _within_reach)
RATE = assuming("lr at most 1", _up_to_one)
RATE_OR_ORDER = assuming("lr at most 1, or at most 1 over the largest second derivative of the loss",
                         lambda r: _up_to_one(r) or _is_orderly("gaussian", r))
FOUND = Source("ours", f"{SECTION}: derived for gradient flow; that rates up to 1, where steps may jump, do it too is found in runs")

_ENDS, _CURVED = {"run": ("train_loss", "grad_norm", "query_norm")}, {"run": ("train_loss", "grad_norm", "curvature")}


def _minimum_claims(kernel: str, task: str, ids: tuple[str, str], statement: str) -> tuple[Claim, ...]:
    kind = about_examples(task)
    own = (OWN_TARGET, DESCENT, trains(kernel), _orderly(kernel))
    return (
        Claim(
            ids[0], f"{statement}: where the gradient has fallen below 1e-8 at a positive loss, the loss is that of the minimum "
            f"on paper (to 1e-5) and the curvature is positive (at least {CURVED:g})", partial(_minimum, kernel, kind), PAGE,
            r"f'(q^*) = 0,\ f(q^*) > 0,\ f''(q^*) > 0", _CURVED, given(kind, *own), broken(train_loss=_lifted),
        ),
        Claim(
            ids[1], f"from another start of the same run the loss of the same kernel in {task} ends below 1e-20",
            partial(_second, kernel, kind), PAGE, r"\min f = 0", _ENDS, given(kind, *own, _has_way(kernel)),
            broken(train_loss=lambda r: r["train_loss"] + 1e-13),
        ),
    )


def _solves(id: str, where: str, kernel: str, name: str, tasks: tuple[str, ...], source: Source, *own: Assumption) -> Claim:
    kind = about_examples(*tasks)
    return Claim(id, f"every start of {name} ends below 1e-12 in {where}", partial(_all_solved, kernel, kind), source, r"f_\infty = 0",
                 _ENDS, given(kind, DESCENT, trains(kernel), *own), _ending(kernel, lambda r: False))


CLAIMS = (
    *(
        Claim(
            f"basins_{kernel}", f"every start of {name} that has settled, 99 % of them or more, ends at loss 0, or elsewhere, as the "
            "basins on paper say", partial(_basins, kernel), PAGE, r"q_0 \in \mathrm{basin}(q^*)", _ENDS,
            given(LINE, DESCENT, trains(kernel), _orderly(kernel)), _ending(kernel, partial(_not_predicted, kernel)),
        )
        for kernel, name in (("softmax", "softmax"), ("gaussian", "the Gaussian kernel"), ("row_gaussian", "the row-normalised Gaussian"))
    ),
    *_minimum_claims("softmax", "E5", ("strict_minimum", "second_start"), "softmax has a strict local minimum in E5"),
    *_minimum_claims("gaussian", "E6", ("reverse_minimum", "reverse_second_start"), "the Gaussian kernel has a strict local minimum in E6"),
    _solves("gaussian_solves", "the examples in several dimensions", "gaussian", "the Gaussian kernel", ("E1", "E2", "E4"), FOUND,
            REACHED, RATE),
    _solves("gaussian_everywhere", "E3 and E5", "gaussian", "the Gaussian kernel", ("E3", "E5"), FOUND, OWN_TARGET, RATE_OR_ORDER),
    _solves("row_gaussian_everywhere", "E5", "row_gaussian", "the row-normalised Gaussian", ("E5",), PAGE, OWN_TARGET,
            _orderly("row_gaussian")),
    _solves("reverse_softmax", "E6", "softmax", "softmax", ("E6",), PAGE, OWN_TARGET, _orderly("softmax")),
)
