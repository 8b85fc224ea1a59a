"""How wide must a network be to follow the limit of infinite width?

For wide networks and small initial weights the flow of the word co-occurrence model is one curve without parameters. Attention follows
it late: scores should move by 2 U Phi, with no free constant. Narrow networks do not, because their head grows on the way: from which
width on does the prediction hold to a tenth?

    python examples/how_wide_is_infinite.py
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynsim import sweep
from dynsim.systems import cooccurrence


class Width(NamedTuple):
    """A width, how much the head grew, and displaced scores over their prediction: medians over seeds."""

    m: int
    growth: float
    share: float


def compute(widths=(64, 128, 256, 512), seeds: int = 3, n: int = 120) -> list[Width]:
    """Return what the late clock shows at each width."""
    quick = cooccurrence.experiment("quick").vary({"n": n})
    table = sweep(quick, {"m": list(widths)}, seeds=seeds, workers=1)
    return [
        Width(point["m"], float(np.median(rows["rho_growth"])), float(np.median(rows["C_share"]))) for point, rows in table.points()
    ]


def main() -> None:
    """Print a line a width."""
    print("    m   growth of rho   C / (2 U Phi)")
    for width in compute():
        print(f"{width.m:5d} {width.growth:15.1%} {width.share:15.3f}")


if __name__ == "__main__":
    main()
