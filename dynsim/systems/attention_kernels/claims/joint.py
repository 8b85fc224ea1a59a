"""Training values together with queries or keys: bounds at every state, and what the sufficient condition makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most
from ....run_claims import given
from ..reading import Reading
from ..regression.bounds import VANISHED, loss_bound, path_bound, sufficient_loss_bound
from .assumptions import DESCENT, about_regression, assuming, broken, is_descent, reading_about
from .measuring import largest

__all__ = ["CLAIMS"]

SECTION = "docs/derivations/attention_kernels.md, section 4"
PAGE = Source("derived", SECTION)
MEASURED = Source("ours", f"{SECTION}: found in runs; derived under the sufficient condition, for gradient flow or small enough steps")
SUFFICES = Source("derived", f"{SECTION}, for gradient flow; that lr <= 1 / (2 lambda_max(G)) is near enough to it is found in runs")


def _N(r: Reading) -> float:
    return float(r.constant("N"))


def _bound(evidence: Any) -> Measured:
    """Squared gradients against both bounds of equation (21)."""
    r = reading_about(VALUES, evidence)
    steps, f, Lambda, of_all, of_values = r.together("train_loss", "Lambda", "grad_norm", "value_grad_norm")
    told = (f > VANISHED * f[0]) & (Lambda > 0)
    if not told.any():
        raise Inconclusive("Lambda is 0 at all recorded steps: the bound says nothing")
    found = []
    for ratio, unit in ((of_all**2 / of_values**2, "of the values' part"), (of_values**2 * _N(r) / (2.0 * Lambda * f), "of the bound")):
        low = np.where(told, ratio, np.inf)
        at, where = largest(-low, r, steps)
        found.append(at_least(low[at], 1.0 - 1e-9, where, unit))
    part, whole = found
    return whole if part.deviation <= part.tolerance else part  # where only W_V moves, as at W_V = 0, the part is the whole


def _loss(evidence: Any) -> Measured:
    """The loss against the product of the factors in equation (29)."""
    r = reading_about(JOINT, evidence)
    r.every_step("train_loss", "Lambda")
    steps, f, Lambda = r.together("train_loss", "Lambda")
    return _under(r, steps, f, loss_bound(f[0], Lambda, _N(r), _lr(r)))


def _under(r: Reading, steps: NDArray, f: NDArray, bound: NDArray) -> Measured:
    """Loss against its bound, both (T, kernels, starts), at all steps after the start."""
    share = f[1:] / bound[1:]
    at, where = largest(share, r, steps[1:])
    return at_most(share[at], 1.0, where, "of the bound")


def _lr(r: Reading) -> float:
    if r.lr is None:
        raise Inconclusive("the bound is one of steps, not of gradient flow")
    return r.lr


def _path(evidence: Any) -> Measured:
    """The length of the path against equation (29) with rho in place of rho / zeta."""
    r = reading_about(JOINT, evidence)
    r.every_step("grad_norm")
    r.together("grad_norm", "train_loss", "Lambda")
    f_0, Lambda_0 = r["train_loss"][0], _first_Lambda(r)
    length = _lr(r) * r["grad_norm"][:-1].sum(axis=0)  # the last gradient belongs to a step that was not made
    share = length / path_bound(f_0, Lambda_0, int(_N(r)))
    at, where = largest(share[None], r, r.at[-1:])
    return at_most(share[at[1:]], 1.0, where, "of sqrt(8 N f_0 / Lambda_0)")


def _first_Lambda(r: Reading) -> NDArray:
    Lambda_0 = r["Lambda"][0]
    if not (Lambda_0 > 0).all():
        raise Inconclusive("Lambda is 0 at the start: the bound says nothing")
    return Lambda_0


def _stays(evidence: Any) -> Measured:
    """Lambda against a quarter of its start, equations (26) and (29)."""
    r = reading_about(JOINT, evidence)
    steps, Lambda = r.together("Lambda")
    share = Lambda / _first_Lambda(r)
    at, where = largest(-share, r, steps)
    return at_least(share[at], 0.25, where, "of Lambda at the start")


def _sufficient_loss(evidence: Any) -> Measured:
    """The loss against the rate of equation (29), of a flow of equation (26)."""
    r = reading_about(JOINT, evidence)
    steps, f, _ = r.together("train_loss", "Lambda")
    return _under(r, steps, f, sufficient_loss_bound(f[0], _first_Lambda(r), _N(r), steps[:, None, None], r.lr))


def _sufficient(r: Reading) -> bool:
    """Whether equation (25) holds at the start."""
    c = r.run.constants
    return r.kernels == ("gaussian",) and "sufficient_left" in c and bool((c["sufficient_left"] <= c["sufficient_right"]).all())


VALUES = about_regression("W_V is trained", lambda r: "V" in r.trained)
JOINT = about_regression("W_V is trained with W_Q or W_K, W_O is not", lambda r: r.trained in ("QV", "KV", "QKV"))
SMALL_STEPS = assuming("lr at most 1 / (2 lambda_max(G)) at the start",
                       lambda r: not is_descent(r) or 2.0 * (r.lr or 0.0) * r.constant("gram_eigenvalues").max() <= 1.0)
LAZY = assuming("o_scale >= 10 and H D above the number of targets of an output: values hardly have to move", lambda r: (
    r.setting.o_scale >= 10.0 and r.setting.N * (1 if r.setting.pooled else r.setting.n) < r.setting.H * r.setting.D
))
SUFFICIENT = assuming("the run is of the Gaussian kernel alone and the sufficient condition holds at its start", _sufficient)

_FALLING = {"run": ("train_loss", "Lambda")}


def _stalled(r: Reading) -> NDArray:
    return np.broadcast_to(1.01 * r["train_loss"][:1], r["train_loss"].shape)


def _sinking(r: Reading) -> NDArray:
    sunk = np.array(r["Lambda"])
    sunk[-1] = 0.2 * sunk[0]
    return sunk


def _longer(r: Reading) -> NDArray:
    """Gradients that make a path 10 % too long for the bound."""
    bound = path_bound(r["train_loss"][0], _first_Lambda(r), int(_N(r)))
    return r["grad_norm"] * (1.1 * bound / (_lr(r) * r["grad_norm"][:-1].sum(axis=0)))


CLAIMS = (
    Claim(
        "pl_bound", "at every recorded step the squared gradient is at least its part with respect to W_V, and that at least "
        "2 Lambda f / N (1e-9 relative; while the loss is above 1e-20 of its start)", _bound, PAGE,
        r"\|\nabla f\|^2 \geq \|\nabla_{W^V} f\|^2 \geq \frac{2\Lambda_t}{N} f_t",
        {"run": ("train_loss", "Lambda", "grad_norm", "value_grad_norm")}, given(VALUES),
        broken(value_grad_norm=lambda r: 1e-3 * r["value_grad_norm"]),
    ),
    Claim(
        "loss_bound", "the loss is at most its start times the product of 1 - lr Lambda / N over the steps made (down to 1e-20 of it)",
        _loss, MEASURED,
        r"f_t \leq f_0 \prod_{s<t} (1 - \eta\Lambda_s/N)", _FALLING, given(JOINT, DESCENT, SMALL_STEPS), broken(train_loss=_stalled),
    ),
    Claim(
        "path_length", "the path of all weights is at most sqrt(8 N f_0 / Lambda_0) long", _path, MEASURED,
        r"\sum_t \eta\|\nabla f_t\| \leq \sqrt{8Nf_0/\Lambda_0}", {"run": ("train_loss", "Lambda", "grad_norm")},
        given(JOINT, DESCENT, SMALL_STEPS, LAZY), broken(grad_norm=_longer),
    ),
    Claim(
        "lambda_stays", "Lambda never falls below a quarter of its start", _stays, MEASURED, r"\Lambda_t \geq \Lambda_0/4",
        {"run": ("Lambda",)}, given(JOINT, DESCENT, SMALL_STEPS, LAZY), broken(Lambda=_sinking),
    ),
    Claim(
        "sufficient_lambda", "where the sufficient condition holds, Lambda never falls below a quarter of its start", _stays, SUFFICES,
        r"\Lambda_t \geq \Lambda_0/4", {"run": ("Lambda",)}, given(JOINT, DESCENT, SMALL_STEPS, SUFFICIENT), broken(Lambda=_sinking),
    ),
    Claim(
        "sufficient_loss", "where the sufficient condition holds, the loss is at most f_0 (1 - lr Lambda_0 / 4N)^t, of a flow "
        "f_0 exp(-Lambda_0 t / 2N) (down to 1e-20 of f_0)", _sufficient_loss, SUFFICES,
        r"f_t \leq f_0\,(1 - \eta\Lambda_0/4N)^t", _FALLING, given(JOINT, DESCENT, SMALL_STEPS, SUFFICIENT),
        broken(train_loss=_stalled),
    ),
    Claim(
        "sufficient_path", "where the sufficient condition holds, the path of all weights is at most sqrt(8 N f_0 / Lambda_0) long", _path,
        SUFFICES, r"\sum_t \eta\|\nabla f_t\| \leq \sqrt{8Nf_0/\Lambda_0}", {"run": ("train_loss", "Lambda", "grad_norm")},
        given(JOINT, DESCENT, SMALL_STEPS, SUFFICIENT), broken(grad_norm=_longer),
    ),
)
