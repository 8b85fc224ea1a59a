"""Claims about sweeps over settings: ranks, conditions, slopes, the threshold, ranks of Jacobians, floors of pairs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....sweep import Table, changed
from ..regression.bounds import GAUSSIAN_SLOPE
from .rows import BOTH, DERIVATION, PAGE, complete, paired, swapped

__all__ = ["CLAIMS", "SOLVED"]

SOLVED = 1e-6
"""Loss against that at the start at which a fit counts as one."""


def _exactly(entry: str, column: str, predicted: str, evidence: Any) -> Measured:
    """Every row has the predicted integer."""
    table = complete(evidence[entry], column, predicted)
    wrong = table[column] != table[predicted]
    where = f"all {table.cells} runs"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        where = f"row {row}: {table[column][row]:g}, predicted {table[predicted][row]:g}"
    return Measured(float(wrong.sum()), 0.0, float(wrong.sum()), 0.5, where, "of the runs")


def _floor_where_short(evidence: Any) -> Measured:
    """The floor is 0 exactly where there are as many features as targets: equation (14) with one output, taken as attained."""
    table = complete(evidence["rank"], "floor", kernels=())
    s = table.experiment.setting
    enough = np.asarray(table["H"]) * np.asarray(table["D"]) >= s.N * s.n
    if enough.all() or not enough.any():
        raise Inconclusive("the sweep needs settings with H D >= N n and without")
    zero = table["floor"] < 1e-20
    wrong = int((zero != enough).sum())
    where = f"{int(enough.sum())} runs with H D >= N n, {int((~enough).sum())} without"
    return Measured(float(wrong), 0.0, float(wrong), 0.5, where, "runs")


def _by_scale(table: Table, kernel: str, tied: bool) -> tuple[NDArray, NDArray]:
    """Condition against the scale of queries and keys: scales (K,), geometric means over seeds (K,), 0 where one is 0."""
    scales = np.unique(table["qk_scale"])
    here = (table["kernel"] == kernel) & (table["tied"] == tied)
    rows = [table["condition"][here & (table["qk_scale"] == scale)] for scale in scales]
    if any(len(found) == 0 for found in rows):
        raise Inconclusive(f"the sweep lacks some scales of {kernel}, tied={str(tied).lower()}")
    with np.errstate(divide="ignore"):
        return scales, np.array([np.exp(np.mean(np.log(found))) for found in rows])


def _zero_scale(evidence: Any) -> Measured:
    """The condition at scale 0 is 0: equation (18), W_Q = W_K = 0."""
    table = evidence["scale"]
    found = complete(table.rows(table["qk_scale"] == 0.0), "condition", kernels=())["condition"]
    return Measured(float(found.max()), 0.0, float(found.max()), 1e-14, f"{len(found)} runs", "least over largest eigenvalue")


def _fourth_power(evidence: Any) -> Measured:
    """The condition rises with the fourth power of the scale, equation (19) at p = 1, between the two smallest scales above 0."""
    table, found = complete(evidence["scale"], "condition"), {}
    if (np.unique(table["qk_scale"]) > 0).sum() < 2:
        raise Inconclusive("the sweep has fewer than two scales above 0")
    for kernel in BOTH:
        scales, condition = _by_scale(table, kernel, False)
        first, second = np.flatnonzero(scales > 0)[:2]
        found[kernel] = float(np.log(condition[second] / condition[first]) / np.log(scales[second] / scales[first]))
    kernel = max(found, key=lambda name: abs(found[name] - 4.0))
    powers = ", ".join(f"{name}: {value:.4f}" for name, value in found.items())
    where = f"between scales {scales[first]:g} and {scales[second]:g}; {powers}"
    return Measured(found[kernel], 4.0, abs(found[kernel] - 4.0), 0.05, where, "power")


def _few_tokens(evidence: Any) -> bool:
    """Whether equation (20) gives both kernels the fourth power."""
    s = evidence["scale"].experiment.setting
    return bool(2 <= s.n <= s.H * s.d + 1)


def _tied_survives(evidence: Any) -> Measured:
    table = complete(evidence["scale"], "condition")
    factors = {}
    for kernel in BOTH:
        (scales, tied), (_, apart) = (_by_scale(table, kernel, flag) for flag in (True, False))
        factors[kernel] = float(tied[-1] / max(apart[-1], 1e-300))
    kernel = min(factors, key=lambda name: factors[name])
    where = f"scale {scales[-1]:g}; " + ", ".join(f"{name}: {factor:.3g}" for name, factor in factors.items())
    return Measured(factors[kernel], 1e3, 1e3 / max(factors[kernel], 1e-300), 1.0, where, "times the condition")


def _slope_bounded(evidence: Any) -> Measured:
    """The Gaussian's steepest similarity against the constant of equation (22)."""
    table = evidence["slopes"]
    found = complete(table.rows(table["kernel"] == "gaussian"), "slope", kernels=("gaussian",))
    bound = GAUSSIAN_SLOPE * table.experiment.setting.d ** -0.25
    largest = float(found["slope"].max())
    return Measured(largest, bound, largest / bound, 1.0, f"{found.cells} draws of weights at scales up to {found['qk_scale'].max():g}")


def _slopes(table: Table, kernel: str) -> tuple[NDArray, NDArray]:
    rows = complete(table.rows(table["kernel"] == kernel), "slope", kernels=(kernel,))
    scales = np.unique(rows["qk_scale"])
    if len(scales) < 3:
        raise Inconclusive("the sweep has fewer than three scales")
    return scales, np.array([rows.where(qk_scale=scale)["slope"].mean() for scale in scales])


def _slope_trend(kernel: str, sign: int, evidence: Any) -> Measured:
    scales, means = _slopes(evidence["slopes"], kernel)
    ratio = float(np.exp(-sign * np.diff(np.log(means))).max())
    text = ", ".join(f"{scale:g}: {mean:.3g}" for scale, mean in zip(scales, means, strict=True))
    return Measured(ratio, 1.0, ratio, 1.0 - 1e-9, f"means over seeds at scales {text}", "largest ratio of neighbours, against the claim")


def _threshold(evidence: Any) -> Measured:
    table = evidence["threshold"]
    s = table.experiment.setting
    enough = complete(table.rows(np.asarray(table["D"]) * s.H >= s.N * s.n), "train_loss", "loss_start", kernels=())
    share = enough["train_loss"] / enough["loss_start"]
    worst = int(np.argmax(share))
    where = f"D = {enough['D'][worst]:g}, {enough['kernel'][worst]}, seed {enough['seed'][worst]}; {enough.cells} runs"
    return Measured(float(share[worst]), SOLVED, float(share[worst]), SOLVED, where, "of the loss at the start")


def _jacobian_rank(evidence: Any) -> Measured:
    """Ranks of token Jacobians against equation (31)."""
    table = complete(evidence["jacobian"], "jacobian_rank")
    n = np.asarray(table["n"], dtype=float)
    predicted = np.where(table["kernel"] == "gaussian", n, n - 1.0)
    wrong = int((table["jacobian_rank"] != predicted).sum())
    where = f"{table.cells} runs at n = d_o = {', '.join(f'{v:g}' for v in np.unique(n))}"
    return Measured(float(wrong), 0.0, float(wrong), 0.5, where, "runs")


def _above_floor(evidence: Any) -> Measured:
    """Last losses of softmax against equation (35)."""
    table = evidence["floor"]
    soft = complete(table.rows(table["kernel"] == "softmax"), "train_loss", "pair_floor", kernels=("softmax",))
    below = (soft["pair_floor"] - soft["train_loss"]) / soft["pair_floor"]
    return Measured(float(below.max()), 0.0, float(below.max()), 1e-9, f"{soft.cells} runs of softmax", "of the floor below it")


def _at_floor(evidence: Any) -> Measured:
    table = evidence["floor"]
    large = (table["kernel"] == "softmax") & (np.asarray(table["v_scale"]) >= 16.0)
    soft = complete(table.rows(large), "train_loss", "pair_floor", kernels=("softmax",))
    above = soft["train_loss"] / soft["pair_floor"] - 1.0
    worst = int(np.argmax(above))
    return Measured(float(above[worst]), 0.0, float(above[worst]), 1e-3, f"v_scale {soft['v_scale'][worst]:g}, seed {soft['seed'][worst]}",
                    "of the floor above it")


def _gaussian_below(evidence: Any) -> Measured:
    table = evidence["floor"]
    loss = paired(table.rows(np.asarray(table["v_scale"]) >= 16.0), "train_loss", ("v_scale", "seed"))
    share = loss["gaussian"] / loss["softmax"]
    return Measured(float(share.max()), 1.0, float(share.max()), 1.0 - 1e-9, f"{len(share)} pairs of runs", "of softmax's loss")


def _d_o_one(entry: str, evidence: Any) -> bool:
    return bool(evidence[entry].experiment.setting.d_o == 1)


ONE_OUTPUT = Assumption("d_o = 1", partial(_d_o_one, "rank"))


def _attained(section: int) -> Source:
    return Source("ours", f"{DERIVATION}, section {section}: the bound is derived, that it is attained is measured")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "rank_in_every_setting", "the Gram matrix of values has rank min(H D, N n) in every setting and with both kernels",
        partial(_exactly, "rank", "rank", "rank_rule"), _attained(3), r"\mathrm{rank}\, G = \min(HD, Nn)",
        {"rank": ("rank", "rank_rule", "H", "D", "kernel")}, (ONE_OUTPUT,),
        changed("rank", rank=lambda t: t["rank"] - (np.asarray(t["D"]) == 3)),
    ),
    Claim(
        "floor_exactly_where_short", "training W_V alone leaves a floor exactly where H D < N n", _floor_where_short,
        _attained(3), r"f_\infty = 0 \iff HD \ge Nn", {"rank": ("floor", "H", "D")}, (ONE_OUTPUT,),
        changed("rank", floor=lambda t: np.where(np.asarray(t["D"]) == 3, 0.0, t["floor"])),
    ),
    Claim(
        "zero_queries_are_singular", "without queries and keys (scale 0) the Gram matrix is singular: token-level targets cannot be fitted",
        _zero_scale, Source("derived", f"{DERIVATION}, section 3"), r"\lambda_{min}(G) = 0", {"scale": ("condition", "qk_scale")}, (),
        changed("scale", condition=lambda t: t["condition"] + 1e-9),
    ),
    Claim(
        "condition_rises_with_fourth_power",
        "least over largest eigenvalue of the Gram matrix rises with the fourth power of a small scale of queries and keys", _fourth_power,
        _attained(3), r"\lambda_{min}/\lambda_{max} \propto s^4",
        {"scale": ("condition", "qk_scale", "tied", "kernel")}, (Assumption("2 <= n <= H d + 1", _few_tokens),),
        changed("scale", condition=lambda t: t["condition"] * np.asarray(t["qk_scale"], dtype=float) ** 0.5),
    ),
    Claim(
        "tied_queries_survive_large_scale",
        "at the largest scale of queries and keys tying them keeps the condition more than 1000 times better, with both kernels",
        _tied_survives, Source("ours", f"{PAGE}, Values alone"), r"W^Q = W^K", {"scale": ("condition", "qk_scale", "tied", "kernel")}, (),
        changed("scale", condition=lambda t: np.full(t.cells, 1e-3)),
    ),
    Claim(
        "gaussian_slope_bounded", "no similarity of the Gaussian kernel is steeper than exp(-1/2) d^(-1/4), whatever the weights",
        _slope_bounded, Source("derived", f"{DERIVATION}, section 4"), r"\|dS\|_F \le e^{-1/2} d^{-1/4} \|d(q - k)\|_F",
        {"slopes": ("slope", "kernel", "qk_scale")}, (),
        changed("slopes", slope=lambda t: 10.0 * t["slope"]),
    ),
    Claim(
        "gaussian_slope_falls", "the Gaussian's steepest similarity falls as queries and keys grow", partial(_slope_trend, "gaussian", -1),
        Source("ours", f"{PAGE}, All parameters"), "", {"slopes": ("slope", "kernel", "qk_scale")}, (), swapped("slopes"),
    ),
    Claim(
        "softmax_slope_grows", "softmax's steepest similarity grows with queries and keys", partial(_slope_trend, "softmax", 1),
        Source("ours", f"{PAGE}, All parameters"), "", {"slopes": ("slope", "kernel", "qk_scale")}, (), swapped("slopes"),
    ),
    Claim(
        "threshold_fits", "with H D >= N n, W_Q, W_K and W_V trained, every run falls below 1e-6 of its loss at the start", _threshold,
        Source("ours", f"{PAGE}, All parameters"), r"f_T < 10^{-6} f_0", {"threshold": ("train_loss", "loss_start", "D")}, (),
        changed("threshold", train_loss=lambda t: np.maximum(t["train_loss"], 1e-3)),
    ),
    Claim(
        "jacobian_ranks",
        "with one head and as many outputs as tokens, the token Jacobian has rank n - 1 with softmax and n with the Gaussian",
        _jacobian_rank, _attained(5), r"\mathrm{rank}\, J_k = n - 1, n",
        {"jacobian": ("jacobian_rank", "n", "kernel")}, (), swapped("jacobian"),
    ),
    Claim(
        "pairs_never_below_floor", "no pair of softmax heads comes below its floor, at any scale of the values", _above_floor,
        Source("derived", f"{DERIVATION}, section 5"), r"f \ge f_{min}", {"floor": ("train_loss", "pair_floor", "kernel")}, (),
        changed("floor", pair_floor=lambda t: 2.0 * t["train_loss"]),
    ),
    Claim(
        "pairs_reach_floor", "with values of scale 16 or more every pair of softmax heads ends within 0.1 % of its floor", _at_floor,
        Source("ours", f"{PAGE}, Queries alone"), r"f_T \le 1.001 f_{min}",
        {"floor": ("train_loss", "pair_floor", "kernel", "v_scale")}, (),
        changed("floor", pair_floor=lambda t: 0.9 * t["pair_floor"]),
    ),
    Claim(
        "gaussian_pairs_below_softmax", "with values of scale 16 or more the Gaussian ends below softmax in every pair of runs",
        _gaussian_below, Source("ours", f"{PAGE}, Queries alone"), r"f_T^{gauss} < f_T^{soft}",
        {"floor": ("train_loss", "kernel", "v_scale")}, (), swapped("floor"),
    ),
)
"""Claims about sweeps over settings."""
