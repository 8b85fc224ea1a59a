"""Sweeps that together are the evidence for what no single run can show."""

from __future__ import annotations

from ...optimizers import GradientDescent
from ...study import Plan, Study
from .presets import experiment
from .settings import Regression

__all__ = ["RANDOM", "STUDIES"]

BOTH = ["softmax", "gaussian"]

_VALUE, _JOINT, _PAIR = experiment("value_only"), experiment("all_parameters"), experiment("pair_floor")
_START = _VALUE.replace(steps=0)
_QUERIES = _VALUE.replace(setting=Regression(trained="Q", tokens="orthonormal", d=8), optimizer=GradientDescent(1.0), steps=5000)

RANDOM = ({"H": 16, "n": 2, "d_o": 4}, {"H": 1, "n": 2, "d_o": 4}, {"H": 16, "n": 4, "d_o": 1}, {"H": 16, "n": 4, "d_o": 4})
"""Sizes at which kernels are compared on random data with only W_Q trained; N = 4, d = 8, D = N n."""

_AT_SIZES = [{**size, "D": 4 * size["n"], "kernel": kernel} for size in RANDOM for kernel in BOTH]
_AT_SCALES = [{"v_scale": scale, "lr": 5.12 / scale**2, "kernel": kernel} for scale in (4.0, 16.0, 64.0) for kernel in BOTH]
_RATES = [
    {"kernel": kernel, "lr": lr, "steps": steps} for steps in (300, 900)
    for kernel, rates in (("softmax", (0.1, 0.2, 0.3, 0.5, 0.7)), ("gaussian", (0.03, 0.05, 0.1, 0.2, 0.3))) for lr in rates
]
_TEXT, _PATH = experiment("text"), experiment("path")
_CLASSES = ("classes",)

STUDIES = {
    "value": Study(
        "Training W_V alone or W_Q, W_K, W_V together: rank, condition, threshold, slopes of the kernels",
        {
            "rank": Plan(_START, {"H": [1, 2, 4], "D": [3, 5, 8, 20], "kernel": BOTH}, 3, ("start",), "12 settings with N n = 20 targets"),
            "scale": Plan(_START, {"qk_scale": [0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0], "tied": [False, True], "kernel": BOTH}, 5,
                          ("start",), "the scale of the initial queries and keys, drawn apart and tied"),
            "slopes": Plan(_START, {"qk_scale": [0.3, 1.0, 3.0, 10.0], "kernel": BOTH}, 5, ("slopes",),
                           "steepest similarity among random weights and directions"),
            "threshold": Plan(_JOINT.replace(setting=_JOINT.setting.replace(o_scale=1.0), optimizer=GradientDescent(0.5), steps=20_000),
                              {"D": [5, 10, 24], "kernel": BOTH}, 5, ("start", "outcome"),
                              "H D / N n = 0.5, 1 and 2.4 with W_Q, W_K, W_V trained, W_O not enlarged"),
        },
    ),
    "queries": Study(
        "Training W_Q alone: rank of the token Jacobian, floors of pairs, random and teacher targets",
        {
            "jacobian": Plan(_QUERIES.replace(steps=0),
                             [{"N": 1, "n": n, "d_o": n, "D": n, "H": 1, "kernel": kernel} for n in (1, 2, 3, 5) for kernel in BOTH], 5,
                             ("start",), "as many outputs as tokens, one head"),
            "floor": Plan(_PAIR, _AT_SCALES, 8, ("start", "outcome"),
                          "antisymmetric pairs of heads with as many outputs as tokens, at three scales, lr with 1/v_scale^2"),
            "random": Plan(_QUERIES, _AT_SIZES, 9, ("outcome",), "random targets at four sizes"),
            "teacher": Plan(_QUERIES.replace(setting=_QUERIES.setting.replace(targets="teacher")), _AT_SIZES, 9, ("outcome",),
                            "targets of a teacher with the same kernel, at the same sizes"),
        },
    ),
    "text": Study(
        "Synthetic sentences: accuracy of both kernels over rates",
        {"text": Plan(_TEXT, _RATES, 5, _CLASSES,
                      "five rates, two budgets; the best rate of each kernel is chosen by its training loss")},
    ),
    "path": Study(
        "Synthetic Pathfinder: accuracy of both kernels, one and two layers",
        {
            "path": Plan(_PATH, {"kernel": BOTH, "lr": [2e-3, 5e-3]}, 5, _CLASSES, "two layers, two rates; the best rate of each kernel is "
                         "chosen by its training loss"),
            "one_layer": Plan(_PATH.replace(setting=_PATH.setting.replace(layers=1)), {"kernel": BOTH, "steps": [900, 3000]}, 5, _CLASSES,
                              "one layer, lr = 0.002, two budgets"),
        },
    ),
    "landscape": Study(
        "The loss around two-stage weights",
        {"landscape": Plan(experiment("landscape"), {"kernel": BOTH}, 5, ("outcome", "slices"),
                           "stage two with either kernel from the same first stage")},
    ),
}
"""Studies by name."""
