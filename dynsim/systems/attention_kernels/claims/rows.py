"""What claims about sweeps share: rows that can decide, and runs of both kernels paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import deciding
from ....claims import Inconclusive
from ....sweep import Table, changed

__all__ = ["BOTH", "DERIVATION", "PAGE", "complete", "paired", "swapped"]

BOTH = ("softmax", "gaussian")
PAGE, DERIVATION = "docs/attention_kernels.md", "docs/derivations/attention_kernels.md"


def complete(rows: Table, *quantities: str, kernels: Sequence[str] = BOTH) -> Table:
    """Return rows that can decide: some of each kernel, and none that failed; Inconclusive where they are others."""
    missing = [kernel for kernel in kernels if not (rows["kernel"] == kernel).any()]
    if missing:
        raise Inconclusive(f"the sweep has no runs of {' and '.join(missing)} here")
    return deciding.complete(rows, *quantities)


def paired(rows: Table, quantity: str, keys: tuple[str, ...] = ("seed",)) -> dict[str, NDArray]:
    """Return a column by kernel; equal places are a pair, with the same values in the key columns."""
    complete(rows, quantity)
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


def swapped(entry: str) -> Any:
    """Negative control: the runs of both kernels change names."""
    return changed(entry, kernel=lambda table: np.where(np.asarray(table["kernel"]) == "softmax", "gaussian", "softmax"))
