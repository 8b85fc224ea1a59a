"""Sweeps that together are the evidence for what no single run can show: comparisons of rules, placements, depths and sizes.

The studies "quadratic", "layernorm" and "head" are the main ones. "rates", "finetuning" and "many_classes" take minutes: they tune every
rule's rate, go deeper, and look at more sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...optimizers import LinearDecay, SignGD
from ...study import Plan, Study
from .head.setting import Head
from .measures import Target, Theorems
from .presets import SMALL, experiment, trained
from .quadratic import targets
from .quadratic.setting import Logistic, Quadratic
from .transformer.setting import Transformer

__all__ = ["HEAD_RATES", "NORMS", "RATES", "RULES", "STARTS", "STUDIES", "TRIED"]

RULES = tuple(targets.RULES)
"""Five rules, as texts: gradient descent and sign descent without and with momentum 0.9, and Adam."""
NORMS = ("post", "pre")
STARTS = ("equal_loss", "equal_distance", "equal_curvature")

_PATH, _POST, _PRE = experiment("gradient_path"), experiment("post_ln"), experiment("pre_ln")
_START, _MADE = _PATH.replace(steps=0), _POST.replace(steps=0)


def _blocks(setting: Any) -> Any:
    return _START.replace(setting=setting)


_LOGNORMAL = Quadratic(blocks=12, size=4, size_max=23, curvature="lognormal", rotated="blocks")
_NOISY = Quadratic(k=100.0, noise=1.0)
_STARTS = (
    {"embedding_scale": 1.0, "weight_scale": 1.0, "head_scale": 0.0}, {"embedding_scale": 0.02, "weight_scale": 0.2, "head_scale": 0.07},
)
"""Usual and small initial weights."""
_TINY = Transformer(layers=1, d=8, heads=2, width=16, samples=64)

TRIED: Mapping[str, tuple[float, ...]] = {
    "gd": (0.1, 0.3, 1.0, 3.0), "gd:0.9": (0.01, 0.03, 0.1, 0.3, 1.0), "signgd": (1e-3, 3e-3, 1e-2, 3e-2),
    "signgd:0.9": (3e-4, 1e-3, 3e-3, 1e-2), "rmsprop": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
"""Rates of the transformer's rules that the study "rates" tries."""
RATES: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "post": {"gd": (0.3,), "gd:0.9": (0.03,), "signgd": (1e-2,), "signgd:0.9": (3e-3,), "rmsprop": (1e-2,), "adam": (3e-3,)},
    "pre": {"gd": (0.3,), "gd:0.9": (0.1,), "signgd": (1e-2,), "signgd:0.9": (3e-3,), "rmsprop": (1e-2,), "adam": (1e-3,)},
}
"""Those whose mean final loss over three seeds was least in the study "rates" from the small start, by placement."""


def _trained(rates: Mapping[str, tuple[float, ...]], norms: tuple[str, ...] = NORMS, **values: Any) -> list[dict[str, Any]]:
    """Return points: each placement, every rule at each of its rates."""
    return [{"norm": norm, "optimizer": rule, "lr": lr, **values} for norm in norms for rule, found in rates.items() for lr in found]


def _counts(*counts: tuple[int, int], momentum: tuple[float, ...]) -> list[dict[str, Any]]:
    return [{"C": C, "batch": n, "momentum": beta} for C, n in counts for beta in momentum]


_SIGN = experiment("sign_drift")
_DRIFT = _SIGN.replace(setting=Head())
_LONG = _SIGN.replace(optimizer=SignGD(LinearDecay(3e-3, 1500)), steps=1500)
_NOISY_LABELS = _SIGN.replace(setting=Head(C=300, spread=0.5, label_noise=0.1), optimizer=SignGD(LinearDecay(1e-3, 800)), steps=800)

_FINE_TUNED = experiment("fresh_head").replace(steps=0)

HEAD_RATES: Mapping[str, tuple[float, ...]] = {
    "gd": (1.0, 3.0, 10.0), "gd:0.9": (0.1, 0.3, 1.0), "signgd": (1e-2, 3e-2, 1e-1), "signgd:0.9": (3e-3, 1e-2, 3e-2),
    "rmsprop": (1e-2, 3e-2, 1e-1), "adam": (1e-2, 3e-2, 1e-1),
}
"""Rates tried for the head with noisy labels."""
BATCH_RATES = {"signgd": (1e-2, 3e-2, 1e-1, 3e-1), "signgd:0.9": (1e-2, 3e-2, 1e-1, 3e-1)}
"""Those tried in large batches."""


def _heads(*settings: dict[str, Any], rates: Mapping[str, tuple[float, ...]] = HEAD_RATES) -> list[dict[str, Any]]:
    """Return points: every setting under every rule at each of its rates."""
    return [{**setting, "optimizer": rule, "lr": lr} for setting in settings for rule, found in rates.items() for lr in found]


STUDIES = {
    "quadratic": Study(
        "Steps to a target against heterogeneity: five rules with tuned rates, theorems and bounds, noise, and a rotation",
        {
            "target": Plan(_START, {"initial": STARTS, "k": [1.0, 10.0, 100.0, 1000.0, 10_000.0], "optimizer": RULES}, 3,
                           ("target", "start"),
                           "blocks of equal loss, of equal distance, and of equal curvature with the same gradients"),
            "rotation": Plan(_START, {"rotated": ["no", "all"], "optimizer": ["gd", "signgd", "adam"]}, 3, (Target(doubling=True),),
                             "the same quadratic on its axes and turned"),
            "theorems": Plan(_blocks(_LOGNORMAL), {"h_sd": [0.0, 0.5, 1.0, 1.5], "inner": [1.0, 10.0]}, 2, ("theorems",),
                             "T1 and T2 step by step on quadratics of 12 blocks"),
            "logistic": Plan(_blocks(Logistic()), {"scale": [0.0, 1.0, 1.5]}, 1, (Theorems(eps=0.05),), "the same on logistic regression"),
            "noise": Plan(_blocks(_NOISY), {"noise": [0.5, 1.0], "noise_kind": ["even", "hessian"]}, 1, ("noise",),
                          "S1 and S2 in the mean over 20 repeats"),
            "law": Plan(_START, {}, 3, ("law",), "R of log-normal blocks against its law"),
        },
        {"gradient_path": _PATH, "sign_path": experiment("sign_path")},
    ),
    "layernorm": Study(
        "Post-LN against pre-LN: block gradient norms over depth, curvature from a small start, training",
        {
            "depth": Plan(_MADE.replace(setting=Transformer(samples=128)),
                          {"norm": NORMS, "layers": [2, 6, 12], "init": ["he", "xavier"]}, 8, ("matrices",),
                          "gradients of weight matrices at usual random weights"),
            "flat": Plan(_MADE.replace(setting=Transformer(samples=128, weight_scale=0.2)), {"norm": NORMS, "layers": [2, 6, 12]}, 4,
                         ("matrices",), "the same with weights a fifth as large and embeddings as before"),
            "small": Plan(_MADE.replace(setting=SMALL.replace(samples=64)), {"norm": NORMS}, 3, ("start",),
                          "all blocks and their curvature where embeddings are small as well"),
            "training": Plan(_POST, [point for norm in NORMS for point in _trained(RATES[norm], (norm,))], 3, ("learning",),
                             "six rules from the small start, at rates tuned before"),
            "block_diagonal": Plan(_MADE.replace(setting=_TINY), [{"norm": norm, **start} for norm in NORMS for start in _STARTS], 3,
                                   ("block_diagonal",), "the whole Hessian of a tiny transformer"),
        },
        {"post_ln": _POST, "pre_ln": _PRE},
    ),
    "head": Study(
        "Many classes: drift of the linear head with and without momentum, what the loss does not see, and tuned losses",
        {
            "drift": Plan(_DRIFT, _counts((100, 8), (100, 32), (300, 32), (1000, 32), (100, 128), (10, 32), momentum=(0.0, 0.9, 0.99)), 3,
                          ("drift", "head"), "200 steps of constant rate"),
            "controls": Plan(_LONG, _counts((300, 32), momentum=(0.0, 0.9)), 2, ("head", "projected"),
                             "a long run, and the same with the mean over the classes taken out of every update"),
            "noisy_labels": Plan(_NOISY_LABELS, _heads({}), 2, ("head",), "noisy labels, 300 classes, three rates a rule"),
        },
    ),
    "rates": Study(
        "Transformers under six rules at several rates: small start, usual start, more layers",
        {
            "tuned": Plan(_POST, _trained(TRIED), 3, ("learning",), "from the small start, 1,500 steps"),
            "good_start": Plan(trained(Transformer(), 800), _trained(TRIED), 3, ("learning",), "from usual weights, 800 steps"),
            "deep": Plan(trained(Transformer(layers=6), 300), _trained(TRIED), 3, ("learning",),
                         "six layers from usual weights, 300 steps"),
            "no_biases": Plan(_POST, _trained({rule: TRIED[rule] for rule in ("gd", "gd:0.9", "signgd", "adam")}, ("post",), biases=False),
                              3, ("learning",), "post-LN from the small start, without biases"),
        },
    ),
    "finetuning": Study(
        "Gradients at the start of fine-tuning: over depth, before and after pre-training, with and without the head",
        {
            "stages": Plan(_FINE_TUNED, {"norm": NORMS, "layers": [2, 4, 8], "pretrained": [0, 1000]}, 8, ("matrices", "finetuning"),
                           "weight matrices, and all blocks, before and after 1,000 steps of pre-training"),
            "body": Plan(_FINE_TUNED.replace(setting=_FINE_TUNED.setting.replace(samples=64)), {"norm": NORMS, "layers": [2, 4]}, 3,
                         ("body",),
                         "all blocks but the head with their curvature, after pre-training"),
        },
    ),
    "many_classes": Study(
        "Heads under rules with tuned rates: few and many classes, large batches, and features without a shared mean",
        {
            "classes": Plan(_NOISY_LABELS, _heads({"C": 2}, {"C": 10}, {"C": 100}), 3, ("head",), "noisy labels, 2, 10 and 100 classes"),
            "batches": Plan(_NOISY_LABELS, _heads({"C": 100, "batch": 512}, {"C": 300, "batch": 1024}, rates=BATCH_RATES), 2,
                            ("head",), "the same in large batches"),
            "large_batch": Plan(_LONG, [{"batch": 512, "common": 1.0}, {"batch": 0, "common": 1.0}, {"batch": 32, "common": 0.0}], 1,
                                ("drift", "head"), "sign descent in large and full batches, and without a mean that classes share"),
        },
    ),
}
"""Studies by name."""
