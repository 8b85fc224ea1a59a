"""Claims about one run of a transformer: whether it learns, and where its gradient is at the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most
from ....optimizers import describe
from ....run_claims import given
from ..presets import SMALL, experiment
from ..transformer.build import HEAD
from ..transformer.model import block_shapes
from ..transformer.setting import Transformer
from .reading import Reading, assuming, broken, reading_about
from .rows import HEAD_SHARE, LEARNED, PAGE

__all__ = ["CLAIMS"]

BEFORE_NORM = ("embedding", "positions", "W_V_1", "W_O_1", "b_V_1", "b_O_1")
"""Blocks that add up to what the first normalisation of post-LN divides by its scale."""


def _learned(evidence: Any) -> Measured:
    r = reading_about(SMALL_START, evidence)
    return at_most(r.run["fixed_loss"][-1], LEARNED, f"step {r.run.steps('fixed_loss')[-1]}", "cross-entropy on the fixed set")


def _squares(r: Reading) -> NDArray:
    """Squared norms of the blocks of the gradient at the start, (blocks,)."""
    if r.run.steps("block_grad_norms")[0] != 0:
        raise Inconclusive("block_grad_norms must be recorded at the start")
    return np.square(r.run["block_grad_norms"][0])


def _share(names: Sequence[str], r: Reading) -> float:
    squares = _squares(r)
    return float(squares[np.isin(list(block_shapes(r.setting)), names)].sum() / squares.sum())


def _before_norm(evidence: Any) -> Measured:
    """The share of the blocks whose gradient a small scale amplifies, for linear branches by equation (39)."""
    r = reading_about(SMALL_POST, evidence)
    return at_least(_share(BEFORE_NORM, r), 0.5, "step 0, the step's own sequences", "of |g|^2")


def _head(evidence: Any) -> Measured:
    r = reading_about(FINE_TUNED, evidence)
    return at_least(_share(HEAD, r), HEAD_SHARE, "step 0, the step's own sequences", "of |g|^2")


def _all_equal(r: Reading) -> NDArray:
    """The same norm for every block, at all steps."""
    return np.ones_like(r.run["block_grad_norms"])


def _small(r: Reading) -> bool:
    s = r.setting
    return isinstance(s, Transformer) and s.norm != "none" and s.replace(norm="post", samples=SMALL.samples) == SMALL


SMALL_START = assuming("a transformer that starts small, of the presets post_ln and pre_ln", _small)
SMALL_POST = assuming("post-LN from such a start", lambda r: _small(r) and r.setting.norm == "post")
FINE_TUNED = assuming("fine-tuning: a fresh head of scale 0.02 on pre-trained weights",
                 lambda r: isinstance(r.setting, Transformer) and r.setting.pretrained and r.setting.head_scale == 0.02)
_PRESET = describe(experiment("post_ln").optimizer), experiment("post_ln").steps, experiment("post_ln").seed
AS_TRAINED = assuming(
    "rule, rate, steps and seed are those of these presets: of other seeds some do not learn",
    lambda r: (r.rule, r.run.last_step, r.run.provenance["seed"]) == _PRESET,
)

CLAIMS = (
    Claim(
        "learned", f"Adam at the presets' rate, seed 0 alone: the transformer gets from a small start to a loss below {LEARNED:g}, in "
        "either placement; with seed 2 it does not in post-LN, with 1 and 2 not in pre-LN", _learned, Source("ours", PAGE),
        r"L_{fixed} < 0.05", {"run": ("fixed_loss",)}, given(SMALL_START, AS_TRAINED),
        broken(fixed_loss=lambda r: np.full(r.run["fixed_loss"].shape, r.run["fixed_loss"][0])),
    ),
    Claim(
        "gradient_before_first_norm", "post-LN from a small start: more than half of the squared gradient is in the blocks that add up to "
        "what the first normalisation divides by its scale", _before_norm, Source("ours", PAGE),
        r"\sum_{b\,\mathrm{before\ LN}} \|g_b\|^2 > \tfrac12\|g\|^2", {"run": ("block_grad_norms",)}, (SMALL_POST,),
        broken(block_grad_norms=_all_equal),
    ),
    Claim(
        "fresh_head_takes_gradient", f"at the start of fine-tuning the fresh head has more than {HEAD_SHARE:.0%} of the squared gradient",
        _head, Source("ours", PAGE), r"\|g_{head}\|^2 > 0.75\,\|g\|^2", {"run": ("block_grad_norms",)}, (FINE_TUNED,),
        broken(block_grad_norms=_all_equal),
    ),
)
"""Claims about transformers."""
