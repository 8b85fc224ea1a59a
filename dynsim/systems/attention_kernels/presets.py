"""Named experiments. The paper's data, sizes and rates were not available to us: all of these are ours."""

from __future__ import annotations

from typing import Any

from ...experiment import Experiment, by_name
from ...optimizers import Adam, GradientDescent
from .settings import Classification, Example, Regression, Setting

__all__ = ["DEFAULT_PRESET", "PRESETS", "experiment", "preset"]


def _ours(setting: Setting, rule: Any, steps: int, record: Any, note: str, **changes: Any) -> Experiment:
    rates = {"signgd": 1e-3, "adam": 1e-3} | changes.pop("rates", {})
    return Experiment(
        system="attention_kernels", setting=setting, optimizer=rule, steps=steps, record=record, origin="derived", note=note, rates=rates,
        **changes,
    )


_VALUES = {"train_loss": 1, "grad_norm": 1, "value_grad_norm": 100, "Lambda": 100}
_ALL = ("train_loss", "grad_norm", "value_grad_norm", "Lambda")


def _example(task: str, note: str, *, starts: int = 121, steps: int = 4000, every: int = 10, lr: float = 1.0) -> Experiment:
    setting = Example(task=task, starts=starts)
    record = {"train_loss": 1, "grad_norm": 1, "query_norm": 1, "query": 1, "curvature": steps}
    return _ours(setting, GradientDescent(lr), steps, record, f"{task}: {note}", every=every, closely=min(every, 100))


_PAIR = Regression(trained="Q", tokens="orthonormal", N=1, n=2, D=2, d=8, H=2, d_o=2, paired=True, v_scale=16.0)

PRESETS = {
    "value_only": _ours(
        Regression(), GradientDescent(1.5), 3000, _VALUES,
        "Only W_V is trained, H D = 48 for 20 targets: the residuals obey a linear recursion, and the loss is predicted at every step.",
    ),
    "value_floor": _ours(
        Regression(D=5), GradientDescent(1.5), 3000, _VALUES, "With H D = 10 < 20 targets a part of the loss stays, and how much is known.",
    ),
    "all_parameters": _ours(
        Regression(trained="QKV", v_scale=0.0, o_scale=10.0), GradientDescent(0.004), 4000, _ALL,
        "W_Q, W_K and W_V are trained from W_V = 0: the gradient is bounded below at every step, and the path is short.",
    ),
    "sufficient": _ours(
        Regression(kernel="gaussian", trained="QKV", v_scale=0.0, o_scale=5000.0, tied=True), GradientDescent(1.7e-8), 4000, _ALL,
        "The Gaussian kernel where the sufficient condition derived here holds: W_O is huge, so that W_V hardly has to move.",
    ),
    "equal_values": _example("E1", "all values are equal; the output of softmax, and its loss, do not depend on the query."),
    "outside_hull": _example("E2", "the target lies above all values; softmax runs after it for ever.", starts=50, steps=20_000, every=20),
    "runaway": _example("E3", "a solution exists, but from the right softmax runs to infinity."),
    "one_token": _example("E4", "one token: softmax is constant, the Gaussian moves to a sphere.", starts=50, steps=2000, every=1),
    "stuck": _example(
        "E5", "softmax in a strict local minimum, Gaussian at loss 0, from the same starts.", starts=2000, steps=30_000, every=300,
    ),
    "reverse": _example("E6", "the reverse: the Gaussian has a local minimum, softmax has none between the starts."),
    "pair_floor": _ours(
        _PAIR, GradientDescent(0.02), 8000, ("train_loss", "grad_norm", "query_norm"),
        "E7: queries of an antisymmetric pair of heads, as many outputs as tokens: softmax has a positive floor. The seed has a well "
        "conditioned Jacobian; with others the Gaussian takes longer.", seed=4, every=10,
    ),
    "pair_lazy": _ours(
        _PAIR.replace(n=3, D=3, v_scale=256.0), GradientDescent(6.5e-6), 20_000, ("train_loss", "grad_norm", "query_norm"),
        "The same with one output fewer than tokens and huge values: both kernels converge, at the rate of the Jacobian at the start.",
        seed=5, every=20,
    ),
    "landscape": _ours(
        Classification(trained="attention", samples=500, batch=0, pretrained=900, pretrain_lr=0.3), GradientDescent(0.1), 300,
        {"train_loss": 10, "grad_norm": 10, "test_accuracy": 50, "surface": 300},
        "Two stages on synthetic sentences: all parameters with softmax, then the attention layer with either kernel; the loss around "
        "both ends.",
        every=10,
    ),
    "text": _ours(
        Classification(), GradientDescent(0.1), 900,
        {"train_loss": 10, "grad_norm": 10, "full_loss": 50, "train_accuracy": 50, "test_loss": 50, "test_accuracy": 50},
        "Synthetic sentences with polarity and a negator, all parameters, mini-batches, the same rate for both kernels.", every=10,
        rates={"adam": 3e-3, "signgd": 1e-3},
    ),
    "path": _ours(
        Classification(task="path", layers=2, D=32, d=16, hidden=64, token_scale=0.5, samples=32_000, test=2000, batch=64),
        Adam(2e-3), 3000,
        {"train_loss": 10, "grad_norm": 10, "test_loss": 250, "test_accuracy": 250},
        "Synthetic Pathfinder: do cells that are on join the two endpoints? Two layers; sizes, rate and steps were searched for so that at "
        "least one kernel leaves chance.", every=10, rates={"gd": 0.1, "signgd": 1e-3},
    ),
}
"""Experiments by name."""

DEFAULT_PRESET = "stuck"
"""What the command line runs when no preset is named."""

experiment, preset = by_name(PRESETS)
