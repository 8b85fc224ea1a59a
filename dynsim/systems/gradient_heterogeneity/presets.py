"""Named experiments. The paper's models are large pre-trained ones, and its settings were not available to us: all of these are ours."""

from __future__ import annotations

from typing import Any

from ...experiment import Experiment, by_name
from ...optimizers import Adam, ClipNorm, GradientDescent, LinearDecay, SignGD
from .head.setting import Head
from .quadratic.setting import Logistic, Quadratic
from .settings import Setting
from .transformer.setting import Transformer

__all__ = ["DEFAULT_PRESET", "PRESETS", "SMALL", "experiment", "preset", "trained"]

SMALL = Transformer(embedding_scale=0.02, weight_scale=0.2, head_scale=0.035)
"""A transformer that starts small: embeddings of 0.02, weights of layers and head a fifth of the usual scale."""

_PATH = ("train_loss", "grad_norm", "grad_norm_1", "phi", "Lambda_G", "Lambda_P")
_LEARNING = {"train_loss": 1, "fixed_loss": 50, "train_accuracy": 50, "grad_norm": 50, "block_grad_norms": 50}


def _ours(setting: Setting, rule: Any, steps: int, record: Any, note: str, rates: dict[str, float], **changes: Any) -> Experiment:
    return Experiment(
        system="gradient_heterogeneity", setting=setting, optimizer=rule, steps=steps, record=record, origin="derived", note=note,
        rates=rates, **changes,
    )


def trained(setting: Transformer, steps: int, note: str = "") -> Experiment:
    """Return the training of a transformer by Adam, with warm-up over a tenth of the steps, linear decay and clipping.

    Parameters
    ----------
    setting : Transformer
    steps : int
        Updates, and horizon of the decay; >= 1.
    note : str
        What the experiment is for.

    Returns
    -------
    Experiment
        With a peak of 3e-3, norms clipped at 1, and rates of the other rules; all of it ours.
    """
    rule = ClipNorm(Adam(LinearDecay(3e-3, steps, warmup=steps // 10)))
    return _ours(setting, rule, steps, _LEARNING, note, {"gd": 0.3, "signgd": 3e-3, "rmsprop": 3e-3}, every=10)


_BLOCKS = {"gd": 1000.0**-0.5, "signgd": 0.35, "adam": 0.35, "rmsprop": 0.35}
_HEAD = {"gd": 0.1, "adam": 1e-3, "rmsprop": 1e-3}
_MANY = Head(C=300)

PRESETS = {
    "gradient_path": _ours(
        Quadratic(), GradientDescent(1000.0**-0.5), 1000, _PATH,
        "Sixteen blocks of equal loss, curvature from k^-1/2 to k^1/2, k = 1000; gradient descent at rate 1 / max h flattens the sharp "
        "blocks first, and with them goes Lambda_G.", _BLOCKS,
    ),
    "sign_path": _ours(
        Quadratic(), SignGD(LinearDecay(0.35, 64)), 64, _PATH,
        "The same blocks under sign descent, its rate falling to 0: large gradients and large curvature stay together.", _BLOCKS,
    ),
    "logistic": _ours(
        Logistic(), GradientDescent(0.5), 300, _PATH,
        "Logistic regression on features in six blocks of different scale: a Hessian that changes and is nearly block-diagonal.",
        {"signgd": 0.02, "adam": 0.02, "rmsprop": 0.02},
    ),
    "post_ln": trained(
        SMALL, 1500, "A transformer of two layers with layer normalisation after every branch, from a small start, under Adam.",
    ),
    "pre_ln": trained(SMALL.replace(norm="pre"), 1500, "The same with layer normalisation before every branch."),
    "fresh_head": trained(
        Transformer(task="before", head_scale=0.02, pretrained=1000), 500,
        "Fine-tuning: trained on the class after the marker, then a fresh head for the class before it.",
    ),
    "sign_drift": _ours(
        _MANY, SignGD(1e-3), 200, {"train_loss": 10, "accuracy": 10, "V_norm": 1, "V_centred_norm": 1, "b_norm": 1, "gauge_share": 1,
                                   "mean_bias": 1},
        "A linear head for 300 classes, batches of 32: most classes are absent from a batch, and signs drift where the loss does not see.",
        _HEAD,
    ),
    "momentum_drift": _ours(
        _MANY, SignGD(1e-3, momentum=0.9), 200, {"train_loss": 10, "accuracy": 10, "V_norm": 1, "V_centred_norm": 1, "b_norm": 1,
                                                 "gauge_share": 1, "mean_bias": 1},
        "The same head with momentum 0.9 before the sign: most of the drift is gone.", _HEAD,
    ),
}
"""Experiments by name; `STUDIES` compare them over rules, placements and sizes."""

DEFAULT_PRESET = "gradient_path"
"""What the command line runs when no preset is named."""

experiment, preset = by_name(PRESETS)
"""Presets by name, as experiments and as settings."""
