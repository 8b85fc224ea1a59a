"""Training the values alone: the loss at every step, the rank that decides what can be fitted, and the loss that stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close, worst
from ....run_claims import given
from ..attention import attend
from ..build import dense
from ..kernels import KERNELS
from ..reading import Reading
from ..regression.gram import loss_floor, predicted_loss
from .assumptions import DESCENT, NORMAL_TARGETS, ONE_OUTPUT, about_regression, altered, assuming, broken, is_descent, reading_about
from .measuring import largest

__all__ = ["CLAIMS"]

SECTION = "docs/derivations/attention_kernels.md, section 3"
PAGE = Source("derived", SECTION)
ATTAINED = Source("ours", f"{SECTION}: the bound is derived, that it is attained is measured")
ROUNDING = 1e-10
"""Share of the loss at the start below which losses count as this: residuals are 1e-5 of their size there, with 1e-11 of rounding."""
LARGEST = 10_000_000
"""Most numbers of a least-squares problem that is solved beside the run."""


def _spectrum(r: Reading) -> tuple[NDArray, NDArray]:
    return r.constant("gram_eigenvalues"), r.constant("residual_squares")


def _curve(evidence: Any) -> Measured:
    """The loss at recorded steps against equation (11)."""
    r = reading_about(VALUES_ALONE, evidence)
    steps, f = r.together("train_loss")
    predicted = predicted_loss(*_spectrum(r), int(r.constant("N")), steps, r.lr)
    off = np.abs(f - predicted) / np.maximum(predicted, ROUNDING * f[0])
    at, where = largest(off, r, steps)
    tolerance = 1e-10 if r.lr is not None else 1e3 * r.run.provenance["optimizer"]["rtol"]
    return Measured(float(f[at]), float(predicted[at]), float(off[at]), tolerance, where)


def _rank(evidence: Any) -> Measured:
    """The rank of G at the start against equation (14) for one output, taken as attained."""
    r = reading_about(RANDOM, evidence)
    rank, rule = r.constant("rank")[:, 0], float(r.constant("rank_rule"))
    kernel = int(np.argmax(np.abs(rank - rule)))
    return close(rank[kernel], rule, 0.5, r.kernels[kernel], "dimensions", relative=False)


def _floors(r: Reading) -> NDArray:
    return loss_floor(*_spectrum(r), r.constant("rank"), int(r.constant("N")))


def _above_floor(evidence: Any) -> Measured:
    """The least loss against the floor of equation (12)."""
    r = reading_about(VALUES_ALONE, evidence)
    steps, f = r.together("train_loss")
    floor = _floors(r)
    if not (floor > 0).all():
        raise Inconclusive("all targets can be fitted: the floor is 0")
    at, where = largest(floor / f, r, steps)
    return at_least(f[at] / floor[at[1:]], 1.0 - 1e-10, where, "of the floor")


def _fitted_floor(r: Reading, kernel: int) -> float:
    """Fit the values of the run's own data by least squares, one column for every entry of W_V; no Gram matrix is made.

    What is left is the floor of equation (12).
    """
    model = dense(r.setting, int(r.run.provenance["seed"]))
    W, samples = {name: w[0] for name, w in model.weights.items()}, model.samples
    units = np.eye(W["W_V"].size).reshape(-1, *W["W_V"].shape)
    if len(units) * samples.Y[kernel].size > LARGEST:
        raise Inconclusive(f"{len(units)} weights for {samples.Y[kernel].size} targets: a fit is made of at most {LARGEST:.0e} numbers")
    out = samples.U @ attend(samples.X, {**W, "W_V": units}, KERNELS[r.kernels[kernel]], model.c).out
    Phi, Y = out.reshape(len(units), -1).T, samples.Y[kernel].ravel()
    w = np.linalg.lstsq(Phi, Y, rcond=None)[0]
    return float(((Phi @ w - Y) ** 2).sum() / (2.0 * model.N))


def _fit(evidence: Any) -> Measured:
    r = reading_about(VALUES_ALONE, evidence)
    floor, f_0 = _floors(r)[:, 0], r.constant("loss_0")[:, 0]
    fitted = np.array([_fitted_floor(r, kernel) for kernel in range(len(r.kernels))])
    off = np.abs(floor - fitted) / f_0
    kernel = int(np.argmax(off))
    unit = "(deviation in units of the loss at the start)"
    return Measured(floor[kernel], fitted[kernel], float(off[kernel]), 1e-10, r.kernels[kernel], unit)


def _zero_floor(evidence: Any) -> Measured:
    """Where the floor of equation (12) is 0, against equation (14) taken as attained: where H D is at least the number of targets."""
    r = reading_about(VALUES_ALONE, evidence)
    s, share = r.setting, _floors(r)[:, 0] / r.constant("loss_0")[:, 0]
    targets = s.N * (1 if s.pooled else s.n)
    unit = f"of the loss at the start; H D = {s.H * s.D}, {targets} targets"
    if targets <= s.H * s.D:
        return worst(*(at_most(x, 1e-12, name, unit) for x, name in zip(share, r.kernels, strict=True)))
    return worst(*(at_least(x, 1e-6, name, unit) for x, name in zip(share, r.kernels, strict=True)))


def _one_fewer(r: Reading) -> NDArray:
    """Ranks that make of a floor of 0 a positive one, and the reverse."""
    rank, full = r.constant("rank"), r.constant("gram_eigenvalues").shape[-1]
    return np.where(rank == full, rank - 1, full)


def _rate(evidence: Any) -> Measured:
    """The loss against the rate of equation (12)."""
    r = reading_about(VALUES_ALONE, evidence)
    steps, f = r.together("train_loss")
    least = r.constant("gram_eigenvalues")[..., -1]
    t = steps[1:, None, None]
    factor = np.exp(-2.0 * least * t) if r.lr is None else (1.0 - r.lr * least) ** (2.0 * t)
    share = f[1:] / (f[0] * (factor + ROUNDING))
    at, where = largest(share, r, steps[1:])
    return at_most(share[at], 1.0 + 1e-9, where, "of the bound")


def _missing(r: Reading) -> NDArray:
    """How many dimensions of the residuals G does not reach, of every kernel."""
    return np.asarray(r.constant("gram_eigenvalues").shape[-1] - r.constant("rank"))


RANDOM = about_regression("random data, not queries alone", lambda r: "rank" in r.run.constants or r.trained != "Q")
VALUES_ALONE = about_regression("only W_V is trained", lambda r: r.trained == "V")
FLOOR = assuming("fewer dimensions than targets, which are not a teacher's: the floor is above 1e-10 of the loss at the start",
                 lambda r: (_floors(r) > ROUNDING * r.constant("loss_0")).all())
FULL = assuming("the least eigenvalue of G is positive", lambda r: (_missing(r) == 0).all())
SMALL_STEPS = assuming("lr times the largest eigenvalue of G is at most 1",
                       lambda r: not is_descent(r) or (r.lr or 0.0) * r.constant("gram_eigenvalues").max() <= 1.0)

CLAIMS = (
    Claim(
        "value_curve", "with W_V alone trained the loss is at every recorded step what the spectrum of G at the start predicts (to 1e-10, "
        "of a flow to 1e3 rtol, of the prediction or of 1e-10 of the loss at the start, whichever is larger)", _curve, PAGE,
        r"f_t = \frac{1}{2N}\|(I-\eta G)^t r_0\|^2", {"run": ("train_loss",)}, given(VALUES_ALONE, DESCENT),
        altered(gram_eigenvalues=lambda r: 1.001 * r.constant("gram_eigenvalues") + 1e-4),
    ),
    Claim(
        "value_rank", "the rank of G at the start is the smaller of H D and the number of targets, for every kernel", _rank, ATTAINED,
        r"\mathrm{rank}\,G = \min(HD, Nn)", {}, given(RANDOM, ONE_OUTPUT), altered(rank=lambda r: r.constant("rank") - 1),
    ),
    Claim(
        "value_floor", "with W_V alone trained the loss never comes below the part of the residuals in the kernel of G (1e-10 relative)",
        _above_floor, PAGE, r"f_t \geq \|\Pi_{\ker G}\,r_0\|^2/2N", {"run": ("train_loss",)}, given(VALUES_ALONE, FLOOR),
        broken(train_loss=lambda r: np.minimum(r["train_loss"], 0.9 * _floors(r))),
    ),
    Claim(
        "value_floor_fit", "the part of the residuals in the kernel of G is what a least-squares fit of the values to the same data leaves "
        "(1e-10 of the loss at the start)", _fit, PAGE, r"\|\Pi_{\ker G}\,r_0\|^2 = \min_{W^V} \|O - Y\|^2", {}, (VALUES_ALONE,),
        altered(rank=lambda r: 0 * r.constant("rank")),
    ),
    Claim(
        "value_zero_floor", "training W_V alone leaves no loss exactly where H D is at least the number of targets", _zero_floor, ATTAINED,
        r"f_\infty = 0 \iff HD \geq Nn", {}, given(VALUES_ALONE, ONE_OUTPUT, NORMAL_TARGETS), altered(rank=_one_fewer),
    ),
    Claim(
        "value_rate", "with W_V alone trained the loss falls at least by (1 - lr lambda_min)^2 a step (down to 1e-10 of its start)",
        _rate, PAGE, r"f_t \leq (1 - \eta\lambda_{min})^{2t} f_0", {"run": ("train_loss",)},
        given(VALUES_ALONE, DESCENT, FULL, SMALL_STEPS),
        broken(train_loss=lambda r: np.broadcast_to(1.01 * r["train_loss"][:1], r["train_loss"].shape)),
    ),
)
