"""Claims about sweeps that compare post-LN with pre-LN: gradients over depth, curvature from a small start, fine-tuning.

A claim about a difference between the placements is judged by the 95 % t-interval of the mean over seeds of paired differences: it holds
where the whole interval is on the claim's side of its level, is violated where all of it is on the other, and is inconclusive else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import complete, worst
from ....sweep import Table, changed
from .rows import HEAD_SHARE, PAGE, above, least, most, paired, pick

__all__ = ["CLAIMS"]

INITS = ("he", "xavier")


def _difference(rows: Table, quantity: str) -> NDArray:
    """Return post minus pre, a number a seed."""
    post, pre = paired(rows, quantity, "norm", ("post", "pre"))
    return post - pre


def _times(rows: Table, quantity: str) -> NDArray:
    """Return the base-10 logarithm of post over pre, a number a seed."""
    post, pre = paired(rows, quantity, "norm", ("post", "pre"))
    return np.log10(post / pre)


def _within(values: NDArray, where: str, bound: float) -> Measured:
    """Judge that a mean over seeds is between -bound and bound: its 95 % t-interval must be."""
    return worst(above(values, f"{where}, post minus pre", -bound), above(-values, f"{where}, pre minus post", -bound))


def _by_init(evidence: Any, layers: int, quantity: str) -> list[tuple[str, NDArray]]:
    rows = pick(evidence["depth"], layers=layers, init=INITS)
    return [(init, _difference(pick(rows, init=init), quantity)) for init in INITS]


def _even(layers: int, evidence: Any) -> Measured:
    """|mean difference of Gini| < 0.05 for both starts."""
    return worst(*(_within(values, init, 0.05) for init, values in _by_init(evidence, layers, "gini")))


def _gap(layers: int, level: float, evidence: Any) -> Measured:
    return worst(*(above(values, init, level) for init, values in _by_init(evidence, layers, "gini")))


def _range(layers: int, evidence: Any) -> Measured:
    """The geometric mean over seeds of the ratio of max/min."""
    rows = pick(evidence["depth"], layers=layers, init=INITS)
    return worst(*(above(_times(pick(rows, init=init), "max_over_min"), f"{init}, log10", 1.0) for init in INITS))


def _values_above(evidence: Any) -> Measured:
    rows = complete(evidence["depth"], "value_over_query")
    return least(rows["value_over_query"], 1.0, rows, "mean ghat of W_V, W_O over that of W_Q, W_K")


def _flat(evidence: Any) -> Measured:
    table, found = complete(evidence["flat"], "gini"), []
    for layers in np.unique(table["layers"]):
        found.append(_within(_difference(pick(table, layers=layers), "gini"), f"{layers} layers", 0.01))
    return worst(*found)


def _small(quantity: str, evidence: Any) -> Measured:
    return above(_difference(evidence["small"], quantity), f"{quantity}, post minus pre")


def _below_one(entry: str, quantity: str, evidence: Any) -> Measured:
    rows = complete(pick(evidence[entry], norm=("post", "pre")), quantity)
    return most(rows[quantity], 1.0, rows, "phi Lambda_G / Lambda_P")


def _exact_above_one(evidence: Any) -> Measured:
    rows = complete(pick(evidence["small"], norm=("post", "pre")), "R_exact")
    return least(rows["R_exact"], 1.0, rows, "phi (g'Hg/|g|^2) / (s'Hs/P)")


def _not_block_diagonal(evidence: Any) -> Measured:
    rows = complete(evidence["block_diagonal"], "delta_D", "Lambda_G", "Lambda_P")
    return least(3.0 * rows["delta_D"] / np.maximum(rows["Lambda_G"], rows["Lambda_P"]), 1.0, rows, "times what is assumed at most")


def _stage(quantity: str, compare: Callable[[Table, str], NDArray], text: str, layers: int, evidence: Any) -> Measured:
    rows = pick(evidence["stages"], layers=layers, pretrained=1000)
    accuracy = complete(rows, quantity, "pretrained_accuracy")["pretrained_accuracy"].min()
    if accuracy < 0.5:
        raise Inconclusive(f"pre-training came to an accuracy of {accuracy:.2f} in one run: it is not fine-tuning of a trained model")
    return above(compare(rows, quantity), f"least accuracy of pre-training {accuracy:.2f}; {text}")


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
_STAGES = ("pretrained_accuracy", "norm", "layers", "pretrained")
_WEIGHTS = "gradients of weight matrices at usual random weights"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "depth_even_L2", f"{_WEIGHTS}, 2 layers: the mean Gini coefficients of post-LN and pre-LN differ by less than 0.05, from He and "
        "from Xavier starts; pre-LN's are the larger, though not beyond chance", partial(_even, 2), OURS, "",
        _DEPTH, (), _shifted("depth", 0.3),
    ),
    *(
        Claim(
            f"depth_order_L{layers}", f"{_WEIGHTS}, {layers} layers: they are more unequal in post-LN, from He and from Xavier starts",
            partial(_gap, layers, 0.0), OURS, "", _DEPTH, (), _swapped("depth"),
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
        "depth_range_L12", f"{_WEIGHTS}, 12 layers: the largest over the smallest is ten times as large in post-LN or more, in the "
        "geometric mean over seeds, from both starts", partial(_range, 12), OURS, "",
        {"depth": ("max_over_min", "norm", "layers", "init")}, (), _swapped("depth"),
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
            f"{entry}_R_below_1", f"{text}: R, which takes block-diagonality for granted, is below 1 in every run; it does not say which "
            "rule trains better, nor which makes the better first step", partial(_below_one, entry, quantity), OURS,
            r"\varphi\,\Lambda_G/\Lambda_P < 1", {entry: (quantity, "norm")}, (),
            changed(entry, **{quantity: lambda t: np.full(t.cells, 1.2)}),
        )
        for entry, quantity, text in (("small", "R", "a small start, all blocks"), ("body", "body_R", "pre-trained, without the head"))
    ),
    Claim(
        "small_R_exact_above_1", "a small start, all blocks: R_exact, with the curvatures along gradient and signs themselves, is above 1 "
        "in every run: the order of the best first steps is not R's", _exact_above_one, OURS,
        r"\varphi\,\frac{g^\top Hg/\|g\|^2}{s^\top Hs/P} > 1", {"small": ("R_exact", "norm")}, (),
        changed("small", R_exact=lambda t: np.full(t.cells, 0.8)),
    ),
    Claim(
        "block_diagonal_fails", "tiny transformers are not near block-diagonal: delta_D is above a third of Lambda_G and of Lambda_P in "
        "every run, which T1 and T2 with block norms do not allow", _not_block_diagonal, OURS, r"\delta_D > \Lambda/3",
        {"block_diagonal": ("delta_D", "Lambda_G", "Lambda_P")}, (), changed("block_diagonal", delta_D=lambda t: 0.3 * t["Lambda_P"]),
    ),
    *(
        Claim(
            f"stages_post_higher_L{layers}", f"after pre-training, {layers} layers: gradients of weight matrices are more unequal in "
            "post-LN", partial(_stage, "gini", _difference, "Gini, post minus pre", layers), OURS, "", {"stages": ("gini", *_STAGES)}, (),
            _swapped("stages"),
        )
        for layers in (2, 4, 8)
    ),
    *(
        Claim(
            f"stages_{id}_L8", f"after pre-training, 8 layers: {text} is larger in post-LN, in the geometric mean over seeds",
            partial(_stage, quantity, _times, f"log10 of {words}, post over pre", 8), OURS, "", {"stages": (quantity, *_STAGES)}, (),
            _swapped("stages"),
        )
        for id, quantity, text, words in (
            ("range", "max_over_min", "the largest over the smallest gradient of a weight matrix", "max/min"),
            ("values", "value_over_query", "the mean gradient of values and outputs over that of queries and keys", "values over queries"),
        )
    ),
    Claim(
        "stages_head_share", f"at the start of fine-tuning the fresh head has {HEAD_SHARE:.0%} of the squared gradient or more in every "
        "run: measures are told with and without it", _head_share, OURS, "", {"stages": ("head_share", "pretrained")}, (),
        changed("stages", head_share=lambda t: 0.5 * t["head_share"]),
    ),
)
"""Claims about placements."""
