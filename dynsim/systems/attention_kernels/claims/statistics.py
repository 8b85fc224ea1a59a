"""Claims that compare kernels over seeds: random and teacher targets, sentences, paths, landscapes.

Kernels are compared pair by pair: of one seed both kernels have the same tokens, targets and initial weights. A
claim that a mean difference is above 0 holds where its 95 % t-interval lies above 0, is violated where it lies below, and is
inconclusive else. None of them says that one kernel is better: each names the size and the task it speaks of.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import best_rate, mean_above, over_seeds, three
from ....sweep import Table, changed
from .rows import BOTH, PAGE, complete, paired, swapped

__all__ = ["ABOVE_CHANCE", "CLAIMS", "FELL", "tuned"]

ABOVE_CHANCE = 0.6
"""Accuracy on synthetic Pathfinder that counts as more than chance; chosen before the study was run."""
FELL = 1e-2
"""Loss against that at the start below which a run with teacher targets counts as on its way to 0."""


def _at_size(table: Table, size: dict[str, int]) -> Table:
    keep = np.ones(table.cells, dtype=bool)
    for name, value in size.items():
        keep &= np.asarray(table[name]) == value
    if not keep.any():
        raise Inconclusive(f"the sweep has no {', '.join(f'{k} = {v}' for k, v in size.items())}")
    return table.rows(keep)


def _ahead(rows: Table, quantity: str, better: str, worse: str, *, more: bool, where: str, log: bool = False) -> Measured:
    """Judge that one kernel is ahead of the other in a quantity, in the mean over seeds of the paired difference."""
    pairs = paired(rows, quantity)
    values = [pairs[kernel] for kernel in (better, worse)]
    a, b = (np.log10(np.maximum(v, 1e-300)) for v in values) if log else values
    ahead = (a - b) * (1.0 if more else -1.0)
    text = f"{where}; mean difference{' of log10' if log else ''} {over_seeds(ahead)}; "
    text += f"medians {np.median(values[0]):.3g} ({better}), {np.median(values[1]):.3g} ({worse})"
    return mean_above(ahead, text)


def _random(size: dict[str, int], better: str, worse: str, evidence: Any) -> Measured:
    rows = _at_size(evidence["random"], size)
    where = f"H = {size['H']}, n = {size['n']}, d_o = {size['d_o']}"
    return _ahead(rows, "train_loss", better, worse, more=False, where=where, log=True)


def _random_solved(evidence: Any) -> Measured:
    rows = complete(_at_size(evidence["random"], {"H": 16, "n": 4, "d_o": 1}), "train_loss", "loss_start")
    share = rows["train_loss"] / rows["loss_start"]
    medians = {kernel: float(np.median(share[rows["kernel"] == kernel])) for kernel in np.unique(rows["kernel"])}
    worst = max(medians.values())
    where = ", ".join(f"{name}: {value:.2g}" for name, value in medians.items())
    return Measured(worst, 0.0, worst, 1e-4, where, "median loss over that at the start")


def _teacher(evidence: Any) -> Measured:
    table = complete(evidence["teacher"], "train_loss", "loss_start")
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
    rate = best_rate(own, "full_loss", kernel)
    return rate, own.where(lr=rate)


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
        accuracy = np.asarray(complete(runs, "test_accuracy", kernels=(kernel,))["test_accuracy"], dtype=float)
        three(len(accuracy))
        found[kernel] = (accuracy, f"{kernel} {accuracy.mean():.3f} (lr = {rate:g})")
    best, _ = max(found.values(), key=lambda item: float(item[0].mean()))
    text = f"{', '.join(text for _, text in found.values())}; {len(best)} seeds"
    return mean_above(best, text, ABOVE_CHANCE, among=len(found))


def _path_one_layer(evidence: Any) -> Measured:
    rows = complete(_budget(evidence["one_layer"], 900), "test_accuracy")
    accuracies = {kernel: rows["test_accuracy"][rows["kernel"] == kernel] for kernel in BOTH}
    three(min(len(accuracy) for accuracy in accuracies.values()))
    means = {kernel: float(accuracy.mean()) for kernel, accuracy in accuracies.items()}
    most = max(means.values())
    return Measured(most, ABOVE_CHANCE, most, ABOVE_CHANCE, ", ".join(f"{name}: {mean:.3f}" for name, mean in means.items()))


def _landscape_loss(evidence: Any) -> Measured:
    return _ahead(evidence["landscape"], "train_loss", "gaussian", "softmax", more=False, where="end of stage two")


def _landscape_smoother(evidence: Any) -> Measured:
    return _ahead(evidence["landscape"], "roughness", "gaussian", "softmax", more=False, where="slices at the end of stage two", log=True)


def _landscape_minima(evidence: Any) -> Measured:
    pairs = paired(evidence["landscape"], "minima")
    three(len(pairs["softmax"]))
    means = {kernel: float(minima.mean()) for kernel, minima in pairs.items()}
    more = means["gaussian"] - means["softmax"]
    return Measured(means["gaussian"], means["softmax"], more, 1e-9, f"{len(pairs['softmax'])} seeds", "interior minima, mean over seeds")


OURS = Source("ours", f"{PAGE}, Statistics: conditional on task, size, rate and seeds")

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"random_{better}_ahead_H{size['H']}_n{size['n']}_o{size['d_o']}",
            f"on random targets, only W_Q trained, N = 4, d = 8, H = {size['H']}, n = {size['n']}, d_o = {size['d_o']}: {better} ends "
            "lower in the mean of the logarithm over seeds",
            partial(_random, size, better, worse), OURS, "", {"random": ("train_loss", "kernel", "H", "n", "d_o")}, (),
            swapped("random"),
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
        _text_same_rate, OURS, "", {"text": ("test_accuracy", "kernel", "lr", "steps")}, (), swapped("text"),
    ),
    *(
        Claim(
            f"text_gaussian_ahead_tuned_{steps}",
            f"synthetic sentences, {steps} steps, each kernel at its own best rate: the Gaussian's test accuracy is higher in the mean "
            "over seeds",
            partial(_text_tuned, steps), OURS, "", {"text": ("test_accuracy", "full_loss", "kernel", "lr", "steps")}, (),
            swapped("text"),
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
        _landscape_loss, Source("ours", f"{PAGE}, Landscapes"), "", {"landscape": ("train_loss", "kernel")}, (), swapped("landscape"),
    ),
    Claim(
        "landscape_gaussian_smoother",
        "synthetic sentences, two stages: slices of the Gaussian have smaller second differences in the mean over seeds",
        _landscape_smoother, Source("paper", "as summarised: the Gaussian's landscape is smoother; task and measure chosen here"),
        "", {"landscape": ("roughness", "kernel")}, (), swapped("landscape"),
    ),
    Claim(
        "landscape_not_more_minima",
        "synthetic sentences, two stages: slices of the Gaussian have no more interior minima in the mean over seeds",
        _landscape_minima, Source("ours", f"{PAGE}, Landscapes"), "", {"landscape": ("minima", "kernel")}, (),
        changed("landscape", minima=lambda t: np.where(t["kernel"] == "gaussian", t["minima"] + 9.0, t["minima"])),
    ),
)
"""Claims that compare kernels over seeds."""
