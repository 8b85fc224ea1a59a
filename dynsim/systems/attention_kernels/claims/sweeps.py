"""Claims about sweeps: ranks, conditions, thresholds, slopes, floors of pairs; random data, sentences, paths and landscapes as statistics.

Statistics compare kernels over seeds, pair by pair: of one seed both kernels have the same tokens, targets and initial weights. A
claim that a mean difference is above 0 holds where its 95 % t-interval lies above 0, is violated where it lies below, and is
inconclusive else. None of them says that one kernel is better: each names the size and the task it speaks of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....scaling import mean_chance, mean_interval
from ....sweep import Table, changed
from ..regression.bounds import GAUSSIAN_SLOPE

__all__ = ["CLAIMS"]

BOTH = ("softmax", "gaussian")
PAGE, DERIVATION = "docs/attention_kernels.md", "docs/derivations/attention_kernels.md"
LEVEL = 0.025
"""One-sided level of a test: that of a 95 % interval."""
ABOVE_CHANCE = 0.6
"""Accuracy on synthetic Pathfinder that counts as more than chance; chosen before the study was run."""
SOLVED = 1e-6
"""Loss against that at the start at which a fit counts as one."""
FELL = 1e-2
"""Loss against that at the start below which a run with teacher targets counts as on its way to 0."""


def _complete(rows: Table, *quantities: str, kernels: Sequence[str] = BOTH) -> Table:
    """Return rows that can decide: some of each kernel, and none that failed; Inconclusive where they are others."""
    missing = [kernel for kernel in kernels if not (rows["kernel"] == kernel).any()]
    if missing or not rows.cells:
        raise Inconclusive(f"the sweep has no runs{' of ' if missing else ''}{' and '.join(missing)} here")
    lost = int((~np.isfinite([rows[name] for name in quantities])).any(axis=0).sum())
    if lost:
        raise Inconclusive(f"{lost} of {rows.cells} runs failed or lack {' or '.join(quantities)}")
    return rows


def _exactly(entry: str, column: str, predicted: str, evidence: Any) -> Measured:
    """Every row has the predicted integer."""
    table = _complete(evidence[entry], column, predicted)
    wrong = table[column] != table[predicted]
    where = f"all {table.cells} runs"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        where = f"row {row}: {table[column][row]:g}, predicted {table[predicted][row]:g}"
    return Measured(float(wrong.sum()), 0.0, float(wrong.sum()), 0.5, where, "of the runs")


def _floor_where_short(evidence: Any) -> Measured:
    """The floor is 0 exactly where there are as many features as targets."""
    table = _complete(evidence["rank"], "floor", kernels=())
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
    table = evidence["scale"]
    found = _complete(table.rows(table["qk_scale"] == 0.0), "condition", kernels=())["condition"]
    return Measured(float(found.max()), 0.0, float(found.max()), 1e-14, f"{len(found)} runs", "least over largest eigenvalue")


def _fourth_power(evidence: Any) -> Measured:
    """The condition rises with the fourth power of the scale between the two smallest scales above 0."""
    table, found = _complete(evidence["scale"], "condition"), {}
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
    s = evidence["scale"].experiment.setting
    return bool(2 <= s.n <= s.H * s.d + 1)


def _tied_survives(evidence: Any) -> Measured:
    table = _complete(evidence["scale"], "condition")
    factors = {}
    for kernel in BOTH:
        (scales, tied), (_, apart) = (_by_scale(table, kernel, flag) for flag in (True, False))
        factors[kernel] = float(tied[-1] / max(apart[-1], 1e-300))
    kernel = min(factors, key=lambda name: factors[name])
    where = f"scale {scales[-1]:g}; " + ", ".join(f"{name}: {factor:.3g}" for name, factor in factors.items())
    return Measured(factors[kernel], 1e3, 1e3 / max(factors[kernel], 1e-300), 1.0, where, "times the condition")


def _slope_bounded(evidence: Any) -> Measured:
    table = evidence["slopes"]
    found = _complete(table.rows(table["kernel"] == "gaussian"), "slope", kernels=("gaussian",))
    bound = GAUSSIAN_SLOPE * table.experiment.setting.d ** -0.25
    largest = float(found["slope"].max())
    return Measured(largest, bound, largest / bound, 1.0, f"{found.cells} draws of weights at scales up to {found['qk_scale'].max():g}")


def _slopes(table: Table, kernel: str) -> tuple[NDArray, NDArray]:
    rows = _complete(table.rows(table["kernel"] == kernel), "slope", kernels=(kernel,))
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
    enough = _complete(table.rows(np.asarray(table["D"]) * s.H >= s.N * s.n), "train_loss", "loss_start", kernels=())
    share = enough["train_loss"] / enough["loss_start"]
    worst = int(np.argmax(share))
    where = f"D = {enough['D'][worst]:g}, {enough['kernel'][worst]}, seed {enough['seed'][worst]}; {enough.cells} runs"
    return Measured(float(share[worst]), SOLVED, float(share[worst]), SOLVED, where, "of the loss at the start")


def _jacobian_rank(evidence: Any) -> Measured:
    table = _complete(evidence["jacobian"], "jacobian_rank")
    n = np.asarray(table["n"], dtype=float)
    predicted = np.where(table["kernel"] == "gaussian", n, n - 1.0)
    wrong = int((table["jacobian_rank"] != predicted).sum())
    where = f"{table.cells} runs at n = d_o = {', '.join(f'{v:g}' for v in np.unique(n))}"
    return Measured(float(wrong), 0.0, float(wrong), 0.5, where, "runs")


def _above_floor(evidence: Any) -> Measured:
    table = evidence["floor"]
    soft = _complete(table.rows(table["kernel"] == "softmax"), "train_loss", "pair_floor", kernels=("softmax",))
    below = (soft["pair_floor"] - soft["train_loss"]) / soft["pair_floor"]
    return Measured(float(below.max()), 0.0, float(below.max()), 1e-9, f"{soft.cells} runs of softmax", "of the floor below it")


def _at_floor(evidence: Any) -> Measured:
    table = evidence["floor"]
    large = (table["kernel"] == "softmax") & (np.asarray(table["v_scale"]) >= 16.0)
    soft = _complete(table.rows(large), "train_loss", "pair_floor", kernels=("softmax",))
    above = soft["train_loss"] / soft["pair_floor"] - 1.0
    worst = int(np.argmax(above))
    return Measured(float(above[worst]), 0.0, float(above[worst]), 1e-3, f"v_scale {soft['v_scale'][worst]:g}, seed {soft['seed'][worst]}",
                    "of the floor above it")


def _gaussian_below(evidence: Any) -> Measured:
    table = evidence["floor"]
    loss = _paired(table.rows(np.asarray(table["v_scale"]) >= 16.0), "train_loss", ("v_scale", "seed"))
    share = loss["gaussian"] / loss["softmax"]
    return Measured(float(share.max()), 1.0, float(share.max()), 1.0 - 1e-9, f"{len(share)} pairs of runs", "of softmax's loss")


def _paired(rows: Table, quantity: str, keys: tuple[str, ...] = ("seed",)) -> dict[str, NDArray]:
    """Return a column by kernel; equal places are a pair, with the same values in the key columns."""
    _complete(rows, quantity)
    found, places = {}, {}
    for kernel in BOTH:
        own = rows.rows(rows["kernel"] == kernel)
        order = np.lexsort([own[key] for key in reversed(keys)])
        found[kernel] = np.asarray(own[quantity], dtype=float)[order]
        places[kernel] = np.stack([own[key][order] for key in keys], axis=1)
    if not np.array_equal(places["softmax"], places["gaussian"]):
        raise Inconclusive("the kernels were not run with the same seeds: differences are of pairs of runs")
    if len(np.unique(places["softmax"], axis=0)) < len(places["softmax"]):
        raise Inconclusive(f"the sweep has several runs of one {' and '.join(keys)} here: it varies more than that")
    return found


def _three(count: int) -> None:
    if count < 3:
        raise Inconclusive(f"{count} seeds: a mean over seeds needs three or more")


def _at_size(table: Table, size: dict[str, int]) -> Table:
    keep = np.ones(table.cells, dtype=bool)
    for name, value in size.items():
        keep &= np.asarray(table[name]) == value
    if not keep.any():
        raise Inconclusive(f"the sweep has no {', '.join(f'{k} = {v}' for k, v in size.items())}")
    return table.rows(keep)


def _ahead(rows: Table, quantity: str, better: str, worse: str, *, more: bool, where: str, log: bool = False) -> Measured:
    """Judge that one kernel is ahead of the other in a quantity, in the mean over seeds of the paired difference."""
    pairs = _paired(rows, quantity)
    values = [pairs[kernel] for kernel in (better, worse)]
    _three(len(values[0]))
    a, b = (np.log10(np.maximum(v, 1e-300)) for v in values) if log else values
    ahead = (a - b) * (1.0 if more else -1.0)
    low, high = (float(end) for end in mean_interval(ahead))
    text = f"{where}; mean difference{' of log10' if log else ''} over {len(ahead)} seeds {ahead.mean():.3g} [{low:.3g}, {high:.3g}]; "
    text += f"medians {np.median(values[0]):.3g} ({better}), {np.median(values[1]):.3g} ({worse})"
    return _decided(ahead, text)


def _decided(values: NDArray, text: str, level: float = 0.0, among: int = 1) -> Measured:
    """Judge that the mean of values, the best `among` so many, is above a level: inconclusive where its interval contains the level."""
    p, enough = mean_chance(values - level), LEVEL / among
    if p > enough and mean_chance(level - values) > enough:
        raise Inconclusive(f"{text}: the interval contains {level:g}")
    return Measured(p, enough, p, enough, text, "one-sided p-value")


def _random(size: dict[str, int], better: str, worse: str, evidence: Any) -> Measured:
    rows = _at_size(evidence["random"], size)
    where = f"H = {size['H']}, n = {size['n']}, d_o = {size['d_o']}"
    return _ahead(rows, "train_loss", better, worse, more=False, where=where, log=True)


def _random_solved(evidence: Any) -> Measured:
    rows = _complete(_at_size(evidence["random"], {"H": 16, "n": 4, "d_o": 1}), "train_loss", "loss_start")
    share = rows["train_loss"] / rows["loss_start"]
    medians = {kernel: float(np.median(share[rows["kernel"] == kernel])) for kernel in np.unique(rows["kernel"])}
    worst = max(medians.values())
    where = ", ".join(f"{name}: {value:.2g}" for name, value in medians.items())
    return Measured(worst, 0.0, worst, 1e-4, where, "median loss over that at the start")


def _teacher(evidence: Any) -> Measured:
    table = _complete(evidence["teacher"], "train_loss", "loss_start")
    fell = table["train_loss"] < FELL * table["loss_start"]
    shares = {str(kernel): float(fell[table["kernel"] == kernel].mean()) for kernel in np.unique(table["kernel"])}
    least = min(shares.values())
    return Measured(least, 1.0, 1.0 - least, 0.2, ", ".join(f"{name}: {share:.0%}" for name, share in shares.items()), "of the runs")


def _budget(table: Table, steps: int) -> Table:
    rows = table.rows(np.asarray(table["steps"]) == steps)
    if not rows.cells:
        raise Inconclusive(f"the sweep has no runs of {steps} steps")
    return rows


def tuned(rows: Table, kernel: str) -> tuple[float, Table]:
    """Return the rate at which a kernel's mean loss on the training samples is lowest, and its runs there."""
    own = rows.rows(rows["kernel"] == kernel)
    rates = np.unique(own["lr"])
    means = np.array([np.mean(own.where(lr=rate)["full_loss"]) for rate in rates])  # NaN where a run failed: not the best rate
    if not np.isfinite(means).any():
        raise Inconclusive(f"no rate of the sweep trains {kernel} in every seed")
    best = float(rates[int(np.nanargmin(means))])
    return best, own.where(lr=best)


def _text_same_rate(evidence: Any) -> Measured:
    rows = _budget(evidence["text"], 300)
    same = rows.rows(np.asarray(rows["lr"]) == 0.1)
    return _ahead(same, "test_accuracy", "gaussian", "softmax", more=True, where="300 steps, lr = 0.1 for both")


def _text_tuned(steps: int, evidence: Any) -> Measured:
    rows = _budget(evidence["text"], steps)
    chosen = {kernel: tuned(rows, kernel) for kernel in ("gaussian", "softmax")}
    keep = np.zeros(rows.cells, dtype=bool)
    for kernel, (rate, _) in chosen.items():
        keep |= (rows["kernel"] == kernel) & (np.asarray(rows["lr"]) == rate)
    where = f"{steps} steps, lr = {chosen['gaussian'][0]:g} (gaussian), {chosen['softmax'][0]:g} (softmax)"
    return _ahead(rows.rows(keep), "test_accuracy", "gaussian", "softmax", more=True, where=where)


def _path_leaves_chance(evidence: Any) -> Measured:
    """One-sided t test that the accuracy of the better kernel is above `ABOVE_CHANCE`."""
    found = {}
    for kernel in BOTH:
        rate, runs = tuned(evidence["path"], kernel)
        accuracy = np.asarray(_complete(runs, "test_accuracy", kernels=(kernel,))["test_accuracy"], dtype=float)
        _three(len(accuracy))
        found[kernel] = (accuracy, f"{kernel} {accuracy.mean():.3f} (lr = {rate:g})")
    best, _ = max(found.values(), key=lambda item: float(item[0].mean()))
    text = f"{', '.join(text for _, text in found.values())}; {len(best)} seeds"
    return _decided(best, text, ABOVE_CHANCE, among=len(found))


def _path_one_layer(evidence: Any) -> Measured:
    rows = _complete(_budget(evidence["one_layer"], 900), "test_accuracy")
    accuracies = {kernel: rows["test_accuracy"][rows["kernel"] == kernel] for kernel in BOTH}
    _three(min(len(accuracy) for accuracy in accuracies.values()))
    means = {kernel: float(accuracy.mean()) for kernel, accuracy in accuracies.items()}
    most = max(means.values())
    return Measured(most, ABOVE_CHANCE, most, ABOVE_CHANCE, ", ".join(f"{name}: {mean:.3f}" for name, mean in means.items()))


def _landscape_loss(evidence: Any) -> Measured:
    return _ahead(evidence["landscape"], "train_loss", "gaussian", "softmax", more=False, where="end of stage two")


def _landscape_smoother(evidence: Any) -> Measured:
    return _ahead(evidence["landscape"], "roughness", "gaussian", "softmax", more=False, where="slices at the end of stage two", log=True)


def _landscape_minima(evidence: Any) -> Measured:
    pairs = _paired(evidence["landscape"], "minima")
    _three(len(pairs["softmax"]))
    means = {kernel: float(minima.mean()) for kernel, minima in pairs.items()}
    more = means["gaussian"] - means["softmax"]
    return Measured(means["gaussian"], means["softmax"], more, 1e-9, f"{len(pairs['softmax'])} seeds", "interior minima, mean over seeds")


def _swapped(entry: str) -> Any:
    """Negative control: the runs of both kernels change names."""
    return changed(entry, kernel=lambda table: np.where(np.asarray(table["kernel"]) == "softmax", "gaussian", "softmax"))


def _d_o_one(entry: str, evidence: Any) -> bool:
    return bool(evidence[entry].experiment.setting.d_o == 1)


ONE_OUTPUT = Assumption("d_o = 1", partial(_d_o_one, "rank"))


def _attained(section: int) -> Source:
    return Source("ours", f"{DERIVATION}, section {section}: the bound is derived, that it is attained is measured")


OURS = Source("ours", f"{PAGE}, Statistics: conditional on task, size, rate and seeds")

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
        Source("ours", f"{PAGE}, All parameters"), "", {"slopes": ("slope", "kernel", "qk_scale")}, (), _swapped("slopes"),
    ),
    Claim(
        "softmax_slope_grows", "softmax's steepest similarity grows with queries and keys", partial(_slope_trend, "softmax", 1),
        Source("ours", f"{PAGE}, All parameters"), "", {"slopes": ("slope", "kernel", "qk_scale")}, (), _swapped("slopes"),
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
        {"jacobian": ("jacobian_rank", "n", "kernel")}, (), _swapped("jacobian"),
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
        {"floor": ("train_loss", "kernel", "v_scale")}, (), _swapped("floor"),
    ),
    *(
        Claim(
            f"random_{better}_ahead_H{size['H']}_n{size['n']}_o{size['d_o']}",
            f"on random targets, only W_Q trained, N = 4, d = 8, H = {size['H']}, n = {size['n']}, d_o = {size['d_o']}: {better} ends "
            "lower in the mean of the logarithm over seeds",
            partial(_random, size, better, worse), OURS, "", {"random": ("train_loss", "kernel", "H", "n", "d_o")}, (),
            _swapped("random"),
        )
        for size, better, worse in (
            ({"H": 16, "n": 2, "d_o": 4}, "gaussian", "softmax"), ({"H": 1, "n": 2, "d_o": 4}, "gaussian", "softmax"),
            ({"H": 16, "n": 4, "d_o": 4}, "softmax", "gaussian"),
        )
    ),
    Claim(
        "random_both_fit_one_output",
        "on random targets with H = 16, n = 4 and one output both kernels fall below 1e-4 of the loss at the start (median)",
        _random_solved, OURS, "", {"random": ("train_loss", "loss_start", "kernel", "H", "n", "d_o")}, (),
        changed("random", train_loss=lambda t: np.maximum(t["train_loss"], 1e-2 * t["loss_start"])),
    ),
    Claim(
        "teacher_both_fall", "with targets of a teacher at least 80 % of the runs of each kernel fall below 1 % of the loss at the start",
        _teacher, OURS, "", {"teacher": ("train_loss", "loss_start", "kernel")}, (),
        changed("teacher", train_loss=lambda t: np.where(t["kernel"] == "softmax", t["loss_start"], t["train_loss"])),
    ),
    Claim(
        "text_gaussian_ahead_early",
        "synthetic sentences, 300 steps at the same rate 0.1: the Gaussian's test accuracy is higher in the mean over seeds",
        _text_same_rate, OURS, "", {"text": ("test_accuracy", "kernel", "lr", "steps")}, (), _swapped("text"),
    ),
    *(
        Claim(
            f"text_gaussian_ahead_tuned_{steps}",
            f"synthetic sentences, {steps} steps, each kernel at its own best rate: the Gaussian's test accuracy is higher in the mean "
            "over seeds",
            partial(_text_tuned, steps), OURS, "", {"text": ("test_accuracy", "full_loss", "kernel", "lr", "steps")}, (),
            _swapped("text"),
        )
        for steps in (300, 900)
    ),
    Claim(
        "path_leaves_chance",
        f"synthetic Pathfinder, two layers: the kernel with the higher test accuracy, each at its best rate, is above {ABOVE_CHANCE:g} in "
        "the mean over seeds",
        _path_leaves_chance, OURS, "", {"path": ("test_accuracy", "full_loss", "kernel", "lr")}, (),
        changed("path", test_accuracy=lambda t: 0.5 + 0.02 * (np.asarray(t["seed"]) - 2.0)),
    ),
    Claim(
        "path_one_layer_early",
        f"synthetic Pathfinder, one layer, 900 steps: both kernels stay below {ABOVE_CHANCE:g} in the mean over seeds",
        _path_one_layer, OURS, "", {"one_layer": ("test_accuracy", "kernel", "steps")}, (),
        changed("one_layer", test_accuracy=lambda t: np.maximum(t["test_accuracy"], 0.7)),
    ),
    Claim(
        "landscape_gaussian_lower", "synthetic sentences, two stages: the Gaussian ends stage two lower in the mean over seeds",
        _landscape_loss, Source("ours", f"{PAGE}, Landscapes"), "", {"landscape": ("train_loss", "kernel")}, (), _swapped("landscape"),
    ),
    Claim(
        "landscape_gaussian_smoother",
        "synthetic sentences, two stages: slices of the Gaussian have smaller second differences in the mean over seeds",
        _landscape_smoother, Source("paper", "as summarised: the Gaussian's landscape is smoother; task and measure chosen here"),
        "", {"landscape": ("roughness", "kernel")}, (), _swapped("landscape"),
    ),
    Claim(
        "landscape_not_more_minima",
        "synthetic sentences, two stages: slices of the Gaussian have no more interior minima in the mean over seeds",
        _landscape_minima, Source("ours", f"{PAGE}, Landscapes"), "", {"landscape": ("minima", "kernel")}, (),
        changed("landscape", minima=lambda t: np.where(t["kernel"] == "gaussian", t["minima"] + 9.0, t["minima"])),
    ),
)
"""Claims about the sweeps of the studies."""
