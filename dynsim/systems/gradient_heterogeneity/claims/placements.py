"""Claims about sweeps that compare post-LN with pre-LN: gradients over depth, curvature from a small start, fine-tuning.

A claim that one placement is ahead holds where the 95 % t-interval of the paired difference over seeds lies above 0, is violated where it
lies below, and is inconclusive else. A claim about the size of a difference is about its mean over seeds; the interval is told beside it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most
from ....scaling import mean_interval
from ....sweep import Table, changed
from .rows import HEAD_SHARE, PAGE, above, complete, highest, least, most, paired, pick

__all__ = ["CLAIMS"]

INITS = ("he", "xavier")


def _difference(rows: Table, quantity: str) -> NDArray:
    """Return post minus pre, a number a seed."""
    post, pre = paired(rows, quantity, "norm", ("post", "pre"))
    return post - pre


def _told(values: NDArray, where: str) -> str:
    if len(values) < 2:
        return f"{where}: one seed"
    low, high = (float(end) for end in mean_interval(values))
    return f"{where}: mean over {len(values)} seeds {values.mean():.3g} [{low:.3g}, {high:.3g}]"


def _by_init(evidence: Any, layers: int, quantity: str) -> list[tuple[str, NDArray]]:
    rows = pick(evidence["depth"], layers=layers, init=INITS)
    return [(init, _difference(pick(rows, init=init), quantity)) for init in INITS]


def _even(layers: int, evidence: Any) -> Measured:
    """|mean difference of Gini| < 0.05 for both starts."""
    found = _by_init(evidence, layers, "gini")
    return highest([at_most(abs(values.mean()), 0.05, _told(values, init), "difference of Gini") for init, values in found])


def _order(layers: int, evidence: Any) -> Measured:
    return highest([above(values, init) for init, values in _by_init(evidence, layers, "gini")])


def _gap(layers: int, level: float, evidence: Any) -> Measured:
    found = _by_init(evidence, layers, "gini")
    return highest([at_least(values.mean(), level, _told(values, init), "difference of Gini") for init, values in found])


def _range(layers: int, evidence: Any) -> Measured:
    """The geometric mean over seeds of the ratio of max/min."""
    found = []
    for init in INITS:
        post, pre = paired(pick(evidence["depth"], layers=layers, init=init), "max_over_min", "norm", ("post", "pre"))
        ratio = np.log10(post / pre)
        found.append(at_least(10.0 ** ratio.mean(), 10.0, _told(ratio, f"{init}, log10"), "times, geometric mean over seeds"))
    return highest(found)


def _values_above(evidence: Any) -> Measured:
    rows = complete(evidence["depth"], "value_over_query")
    return least(rows["value_over_query"], 1.0, rows, "mean ghat of W_V, W_O over that of W_Q, W_K")


def _flat(evidence: Any) -> Measured:
    table, found = complete(evidence["flat"], "gini"), []
    for layers in np.unique(table["layers"]):
        values = _difference(pick(table, layers=layers), "gini")
        found.append(at_most(abs(values.mean()), 0.01, _told(values, f"{layers} layers"), "difference of Gini"))
    return highest(found)


def _small(quantity: str, evidence: Any) -> Measured:
    return above(_difference(evidence["small"], quantity), f"{quantity}, post minus pre")


def _below_one(entry: str, quantity: str, evidence: Any) -> Measured:
    rows = complete(pick(evidence[entry], norm=("post", "pre")), quantity)
    return most(rows[quantity], 1.0, rows, "phi Lambda_G / Lambda_P")


def _not_block_diagonal(evidence: Any) -> Measured:
    rows = complete(evidence["block_diagonal"], "delta_D", "Lambda_G", "Lambda_P")
    return least(3.0 * rows["delta_D"] / np.maximum(rows["Lambda_G"], rows["Lambda_P"]), 1.0, rows, "times what is assumed at most")


def _stage(layers: int, evidence: Any) -> Measured:
    rows = pick(evidence["stages"], layers=layers, pretrained=1000)
    accuracy = complete(rows, "gini", "pretrained_accuracy")["pretrained_accuracy"].min()
    if accuracy < 0.5:
        raise Inconclusive(f"pre-training came to an accuracy of {accuracy:.2f} in one run: it is not fine-tuning of a trained model")
    return above(_difference(rows, "gini"), f"least accuracy of pre-training {accuracy:.2f}; Gini, post minus pre")


def _head_share(evidence: Any) -> Measured:
    rows = complete(pick(evidence["stages"], pretrained=1000), "head_share")
    return least(rows["head_share"], HEAD_SHARE, rows, "of |g|^2")


def _swapped(entry: str) -> Any:
    """Negative control: the placements change names."""
    return changed(entry, norm=lambda t: np.where(np.asarray(t["norm"]) == "post", "pre", "post"))


def _shifted(entry: str, by: float) -> Any:
    """Negative control: Gini coefficients of post-LN that are larger."""
    return changed(entry, gini=lambda t: t["gini"] + by * (np.asarray(t["norm"]) == "post"))


OURS = Source("ours", f"{PAGE}: conditional on architecture, size and start")
_DEPTH = {"depth": ("gini", "norm", "layers", "init")}
_WEIGHTS = "gradients of weight matrices at usual random weights"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "depth_even_L2", f"{_WEIGHTS}, 2 layers: the mean Gini coefficients of post-LN and pre-LN differ by less than 0.05, from He and "
        "Xavier starts", partial(_even, 2), OURS, "", _DEPTH, (), _shifted("depth", 0.3),
    ),
    *(
        Claim(
            f"depth_order_L{layers}", f"{_WEIGHTS}, {layers} layers: they are more unequal in post-LN, from He and from Xavier starts",
            partial(_order, layers), OURS, "", _DEPTH, (), _swapped("depth"),
        )
        for layers in (6, 12)
    ),
    *(
        Claim(
            f"depth_gap_L{layers}", f"{_WEIGHTS}, {layers} layers: the mean Gini coefficient of post-LN is larger by {level:g} or more, "
            "from both starts", partial(_gap, layers, level), OURS, "", _DEPTH, (), _swapped("depth"),
        )
        for layers, level in ((6, 0.05), (12, 0.08))
    ),
    Claim(
        "depth_range_L12", f"{_WEIGHTS}, 12 layers: the largest over the smallest is ten times as large in post-LN or more, from both "
        "starts", partial(_range, 12), OURS, "", {"depth": ("max_over_min", "norm", "layers", "init")}, (), _swapped("depth"),
    ),
    Claim(
        "depth_values_above_queries", f"{_WEIGHTS}: in every run those of values and outputs are larger than those of queries and keys",
        _values_above, OURS, "", {"depth": ("value_over_query",)}, (),
        changed("depth", value_over_query=lambda t: 1.0 / t["value_over_query"]),
    ),
    Claim(
        "flat_no_order", "weights a fifth as large and embeddings as before: the mean Gini coefficients of both placements differ by less "
        "than 0.01 at every depth", _flat, OURS, "", {"flat": ("gini", "norm", "layers")}, (), _shifted("flat", 0.05),
    ),
    *(
        Claim(
            f"small_{quantity}", f"embeddings and weights small, 2 layers: {text} is larger in post-LN", partial(_small, quantity), OURS,
            "", {"small": (quantity, "norm")}, (), _swapped("small"),
        )
        for quantity, text in (
            ("gini", "the Gini coefficient of block gradients"), ("ratio", "Lambda_G / Lambda_P"),
            ("correlation", "the correlation of log gradients with log curvatures"),
        )
    ),
    *(
        Claim(
            f"{entry}_R_below_1", f"{text}: R is below 1 in every run, so that the best guaranteed first step is gradient descent's; it "
            "does not say which rule trains better", partial(_below_one, entry, quantity), OURS, r"\varphi\,\Lambda_G/\Lambda_P < 1",
            {entry: (quantity, "norm")}, (), changed(entry, **{quantity: lambda t: np.full(t.cells, 1.2)}),
        )
        for entry, quantity, text in (("small", "R", "a small start, all blocks"), ("body", "body_R", "pre-trained, without the head"))
    ),
    Claim(
        "block_diagonal_fails", "tiny transformers are not near block-diagonal: delta_D is above a third of Lambda_G and of Lambda_P in "
        "every run, which T1 and T2 with block norms do not allow", _not_block_diagonal, OURS, r"\delta_D > \Lambda/3",
        {"block_diagonal": ("delta_D", "Lambda_G", "Lambda_P")}, (), changed("block_diagonal", delta_D=lambda t: 0.3 * t["Lambda_P"]),
    ),
    *(
        Claim(
            f"stages_post_higher_L{layers}", f"after pre-training, {layers} layers: gradients of weight matrices are more unequal in "
            "post-LN", partial(_stage, layers), OURS, "", {"stages": ("gini", "pretrained_accuracy", "norm", "layers", "pretrained")}, (),
            _swapped("stages"),
        )
        for layers in (2, 4, 8)
    ),
    Claim(
        "stages_head_share", f"at the start of fine-tuning the fresh head has {HEAD_SHARE:.0%} of the squared gradient or more in every "
        "run: measures are told with and without it", _head_share, OURS, "", {"stages": ("head_share", "pretrained")}, (),
        changed("stages", head_share=lambda t: 0.5 * t["head_share"]),
    ),
)
"""Claims about placements."""
