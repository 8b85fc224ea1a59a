"""Training the queries alone: the rank of the token Jacobian, the floor of pairs of softmax heads, and the rate of lazy pairs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close, worst
from ....run_claims import given
from ..queries.jacobian import rank_bound
from ..reading import Reading
from .assumptions import DESCENT, about_regression, altered, assuming, broken, reading_about, trains
from .measuring import largest, rows_sum_to_one

__all__ = ["CLAIMS"]

SECTION = "docs/derivations/attention_kernels.md, section 5"
PAGE = Source("derived", SECTION)
SOLVED, STILL = 1e-12, 1e-8
"""Loss that counts as 0, and gradient below which a run has stopped: targets are of order 1."""
FALLEN, VANISHED = 1e-4, 1e-20
"""Shares of the loss at the start: the slowest mode is alone below the first, and rounding begins below the second."""


def _bounds(r: Reading) -> NDArray:
    """Largest rank of J of each of the run's kernels; heads of a pair count once, for their queries are the same at the start."""
    H, n, d = r.constant("keys").shape[1:]
    distinct = H // 2 if r.task == "regression" and r.setting.paired else H
    return np.array([rank_bound(kernel, distinct, n, d, r.constant("values").shape[-1]) for kernel in r.kernels])


def _below_shape(r: Reading) -> bool:
    """Whether the bound on the rank is, for some kernel, less than that of every matrix of the shape of J."""
    keys, values = r.constant("keys"), r.constant("values")
    return bool(_bounds(r).min() < min(keys.shape[1] * keys.shape[3], values.shape[-1]))


def _rank(evidence: Any) -> Measured:
    """The rank of the token Jacobian at the start against equation (31)."""
    r = reading_about(QUERIES, evidence)
    ranks, bounds = r.constant("jacobian_rank").max(axis=(1, 2, 3)), _bounds(r)
    kernel = int(np.argmax(ranks - bounds))
    return Measured(ranks[kernel], float(bounds[kernel]), ranks[kernel] - bounds[kernel], 0.5, r.kernels[kernel], "dimensions")


def _generic_rank(evidence: Any) -> Measured:
    """Whether the rank of every token Jacobian at the start attains equation (31)."""
    r = reading_about(QUERIES_ALONE, evidence)
    ranks, bounds = r.constant("jacobian_rank"), _bounds(r)
    return worst(*(
        worst(*(close(rank, bound, 0.5, name, "dimensions", relative=False) for rank in (of.min(), of.max())))
        for of, bound, name in zip(ranks, bounds, r.kernels, strict=True)
    ))


def _slope(r: Reading) -> NDArray:
    """Least singular value of all token Jacobians of a kernel and start; 0 where rounding may be 1e-10 of it or more."""
    least = r.constant("jacobian_least").min(axis=(2, 3))
    return np.where(least > 1e-6 * np.abs(r.constant("values")).max() / float(r.constant("c")), least, 0.0)


def _bound(evidence: Any) -> Measured:
    """The squared gradient at the start against equation (33), tokens orthonormal."""
    r = reading_about(QUERIES_ALONE, evidence)
    _, f, norm = r.together("train_loss", "grad_norm")
    bound = 2.0 * _slope(r) ** 2 * f[0] / float(r.constant("N"))
    if not (bound > 0).any():
        raise Inconclusive("the Jacobian of some query is rank deficient for every kernel: the bound is 0")
    ratio = np.where(bound > 0, norm[0] ** 2 / bound, np.inf)
    at, where = largest(-ratio[None], r, r.at[:1])
    return at_least(ratio[at[1:]], 1.0 - 1e-9, where, "of the bound")


def _of_normalised(r: Reading) -> tuple[NDArray, NDArray, tuple[str, ...]]:
    names = rows_sum_to_one(r)
    steps, f = r.together("train_loss")
    return steps, f[:, [r.index(name) for name in names]], names


def _has_floor(r: Reading) -> bool:
    """Whether the floor is more than rounding."""
    return bool((r.constant("pair_floor") > 1e-9 * r["train_loss"][0]).all())


def _positive_floor(r: Reading) -> float:
    if not _has_floor(r):
        raise Inconclusive("all targets lie in the span of the differences of values: the floor is 0")
    return float(r.constant("pair_floor"))


def _floor(evidence: Any) -> Measured:
    """The least loss of pairs against equation (35)."""
    r = reading_about(PAIRS, evidence)
    floor = _positive_floor(r)
    steps, f, names = _of_normalised(r)
    at, where = largest(-f, r, steps, names)
    return at_least(f[at] / floor, 1.0 - 1e-12, where, "of the floor")


def _reaches_floor(evidence: Any) -> Measured:
    """The last loss of pairs against equation (35), which is attained where equation (36) allows it."""
    r = reading_about(PAIRS, evidence)
    floor = _positive_floor(r)
    steps, f, names = _of_normalised(r)
    above = f[-1:] / floor - 1.0
    at, where = largest(np.abs(above), r, steps[-1:], names)
    if above[at] > 1e-3:
        _has_stopped(r, names[at[1]])
    return Measured(1.0 + above[at], 1.0, abs(above[at]), 1e-3, where, "of the floor")


def _has_stopped(r: Reading, kernel: str) -> None:
    """Raise Inconclusive unless the gradient of a kernel has vanished at the end of the record."""
    steps, f, norm = (a if a.ndim == 1 else a[-1, r.index(kernel)].max() for a in r.together("train_loss", "grad_norm"))
    if norm >= STILL:
        raise Inconclusive(f"the loss of {kernel} is {f:.3g} at {r.end}, and its gradient {norm:.2g}: {r.on}")


def _no_floor(evidence: Any) -> Measured:
    """The last loss of Gaussian pairs: equation (39) takes it to 0 from values as large as v*."""
    r = reading_about(PAIRS, evidence)
    steps, f = r.together("train_loss")
    last = float(f[-1, r.index("gaussian")].max())
    if last > SOLVED:
        _has_stopped(r, "gaussian")
    return at_most(last, SOLVED, f"{r.run.clock} {steps[-1]:g}")


def _mu(r: Reading, kernel: str) -> float:
    """The rate mu of equation (34) at the start, tokens orthonormal."""
    return float(_slope(r)[r.index(kernel)].min()) ** 2 / float(r.constant("N"))


def _rate(kernel: str, tolerance: float, evidence: Any) -> Measured:
    """The rate at which the loss falls against equation (34)."""
    r = reading_about(PAIRS, evidence)
    steps, f = r.together("train_loss")
    share = f[:, r.index(kernel), 0] / f[0, r.index(kernel), 0]
    told = np.flatnonzero(share > VANISHED)
    told = told[len(told) // 2 :]
    if len(told) < 5 or not share[told[-1]] < FALLEN:
        raise Inconclusive(f"the loss is {share[told[-1]]:.3g} of its start at the end: the rate is fitted below {FALLEN:g}: {r.on}")
    fitted = -np.polyfit(steps[told], np.log(share[told]), 1)[0]
    mu = _mu(r, kernel)
    predicted = 2.0 * mu if r.lr is None else -2.0 * np.log(1.0 - r.lr * mu)
    clock = "steps" if r.lr is not None else "times"
    return close(fitted, predicted, tolerance, f"{clock} {steps[told[0]]:g} to {steps[told[-1]]:g}", f"per {clock[:-1]}")


def _lazy(kernel: str) -> tuple[Assumption, ...]:
    """What makes the rate of a kernel that of the Jacobian at the start.

    Queries go at most 2 |r_0| / gamma far, as in the proof of equation (39), and by equation (38) J moves little on so short a way.
    """

    def still(r: Reading) -> bool:
        return kernel not in r.kernels or bool(r["train_loss"][0].max() <= _mu(r, kernel) / 8.0)

    text = "sqrt(2 N f_0) is at most half the least singular value of J: queries hardly have to move (large values, well conditioned)"
    return DESCENT, STEADY, assuming(text, still)


def _largest_coefficients(r: Reading) -> float:
    """Largest sum of magnitudes in a pair of the coefficients, summing to 0, of least norm that make a target's projection.

    Below 2 they can be had, equation (36).
    """
    values, targets = r.constant("values"), r.constant("targets")[0]
    distinct, n = values.shape[1] // 2, values.shape[2]
    sums = np.kron(np.eye(distinct), np.ones((1, n)))
    largest_sum = 0.0
    for v, Y in zip(values[:, :distinct], targets, strict=True):
        apart = (v - v.mean(axis=1, keepdims=True)).reshape(distinct * n, -1)
        delta = np.linalg.lstsq(np.concatenate([apart.T, sums]), np.concatenate([Y.T, np.zeros((distinct, len(Y)))]), rcond=None)[0]
        largest_sum = max(largest_sum, float(np.abs(delta).reshape(distinct, n, -1).sum(axis=1).max()))
    return largest_sum


def _steady(r: Reading) -> bool:
    f = r["train_loss"]
    return bool((np.diff(f, axis=0) <= 1e-9 * f[0]).all())


def _alone(r: Reading) -> bool:
    return r.trained == "Q" and r.setting.tokens == "orthonormal" and not r.setting.pooled


QUERIES_ALONE = about_regression("only W_Q is trained on orthonormal tokens, a target for each", _alone)
QUERIES = assuming(f"{QUERIES_ALONE.text}, or task E4", lambda r: r.task == "E4" or bool(r.trained) and _alone(r))
PAIRS = about_regression("only W_Q is trained, from pairs of heads whose outputs cancel, for normal targets",
                         lambda r: r.trained == "Q" and r.setting.paired and r.setting.targets == "normal")
BINDING = assuming("the bound of some kernel is less than d_o and H d, which bound the rank of every such matrix", _below_shape)
WEIGHTS = assuming("normal weights that are not 0, 0.1 <= qk_scale <= 3",
                   lambda r: r.setting.v_scale > 0 and 0.1 <= r.setting.qk_scale <= 3.0)
STEADY = assuming("the loss never rises from one recorded step to the next: steps are small enough", _steady)
FLOOR = assuming("the floor of pairs is positive", _has_floor)
IN_REACH = assuming(
    "projections of the targets have coefficients that sum to less than 2 in each pair, and d >= n - 1: the floor is attained",
    lambda r: r.setting.d >= r.setting.n - 1 and _largest_coefficients(r) < 2.0,
)
LARGE = assuming("v_scale >= 16", lambda r: r.setting.v_scale >= 16.0)
FULL_RANK = assuming("every Jacobian of the Gaussian kernel has full rank at the start",
                     lambda r: "gaussian" not in r.kernels or _mu(r, "gaussian") > 0.0)
SOFTMAX, GAUSSIAN = trains("softmax"), trains("gaussian")
NORMALISED = trains("softmax", "row_gaussian")


def _higher_floor(r: Reading) -> NDArray:
    return 1.01 * np.asarray(r["train_loss"][-1].max() + r.constant("pair_floor"))


def _faster(r: Reading) -> NDArray:
    return r["train_loss"][0] * (r["train_loss"] / r["train_loss"][0]) ** 1.25


_LOSS, _ENDS = {"run": ("train_loss",)}, {"run": ("train_loss", "grad_norm")}

CLAIMS = (
    Claim(
        "jacobian_rank", "at the start no token Jacobian has more than H (n - 1) dimensions where rows sum to 1, nor more than H n for the "
        "Gaussian kernel (heads of a pair counted once)", _rank, PAGE, r"\mathrm{rank}\,J_k \leq H(n-1)\ \text{or}\ Hn", {},
        given(QUERIES, BINDING),
        altered(jacobian_rank=lambda r: r.constant("jacobian_rank") + 1 + _bounds(r).max()),
    ),
    Claim(
        "jacobian_rank_generic", "of random data every token Jacobian has that many dimensions, or d_o or H d where these are fewer",
        _generic_rank, Source("ours", f"{SECTION}: the bound is derived, that it is attained is measured"),
        r"\mathrm{rank}\,J_k = \min(H(n-1)\ \text{or}\ Hn,\ Hd,\ d_o)", {}, given(QUERIES_ALONE, WEIGHTS),
        altered(jacobian_rank=lambda r: r.constant("jacobian_rank") - 1),
    ),
    Claim(
        "query_bound", "at the start the squared gradient is at least (2/N) c^2 f, c the least singular value of all token Jacobians "
        "(1e-9 relative)", _bound, PAGE, r"\|\nabla_{W^Q} f\|^2 \geq \frac2N c^2 f", {"run": ("train_loss", "grad_norm")},
        given(QUERIES_ALONE),
        altered(jacobian_least=lambda r: 1e3 * r.constant("jacobian_least")),
    ),
    Claim(
        "softmax_floor", "the loss of pairs of heads whose rows sum to 1 never comes below the floor (1e-12 relative)", _floor, PAGE,
        r"f_t \geq \frac1{2N}\sum_k \mathrm{dist}(Y_k, \mathrm{span}\{\hat v_j - \hat v_1\})^2", _LOSS, given(PAIRS, FLOOR, NORMALISED),
        altered(pair_floor=_higher_floor),
    ),
    Claim(
        "softmax_reaches_floor", "the loss of such pairs ends at the floor where it is attained (within 1e-3)", _reaches_floor, PAGE,
        r"f_\infty = f_{min}", _ENDS, given(PAIRS, FLOOR, IN_REACH, DESCENT, STEADY, NORMALISED), altered(pair_floor=_higher_floor),
    ),
    Claim(
        "gaussian_no_floor", "the loss of pairs of Gaussian heads ends below 1e-12: they have no such floor", _no_floor,
        Source("ours", f"{SECTION}: derived for values as large as v*; that v_scale >= 16 is enough is found in runs"), r"f_\infty = 0",
        _ENDS, given(PAIRS, LARGE, DESCENT, STEADY, GAUSSIAN, FULL_RANK),
        broken(train_loss=lambda r: r["train_loss"] + 0.1, grad_norm=lambda r: 0.0 * r["grad_norm"]),
    ),
    *(
        Claim(
            f"lazy_rate_{kernel}", f"the loss of lazy pairs falls at the rate of the {name} Jacobian at the start, -2 ln(1 - lr mu) a "
            f"step, near 2 lr mu, of a flow 2 mu per time (within {tolerance:.0%}; fitted over the later half of the "
            "record in which the loss is above 1e-20 of its start, once below 1e-4)",
            partial(_rate, kernel, tolerance), PAGE, r"f_t \sim (1 - \eta\mu)^{2t}, \quad \mu = c^2/N", _LOSS,
            given(PAIRS, *_lazy(kernel), has), broken(train_loss=_faster),
        )
        for kernel, name, tolerance, has in (("softmax", "softmax", 0.1, SOFTMAX), ("gaussian", "Gaussian", 0.15, GAUSSIAN))
    ),
)
