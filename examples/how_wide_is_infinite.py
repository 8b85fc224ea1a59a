"""
How wide must a network be to follow the limit of infinite width?
=================================================================

For wide networks and small initial weights the flow of the word co-occurrence model is one curve without parameters. Attention follows it
late: scores should move by :math:`2 U \\Phi`, where :math:`\\Phi` comes from that curve and :math:`U` from the setting, with no free
constant. Narrow networks do not obey, because the size :math:`\\rho` of their head grows on the way. From which width :math:`m` on does
the prediction hold to a tenth? Here from 256 on.
"""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from dynsim import sweep
from dynsim.plotting import COLOURS, bound, line, panel
from dynsim.systems import cooccurrence


class Width(NamedTuple):
    """A width, how much the head grew, and displaced scores over their prediction: medians over seeds."""

    m: int
    growth: float
    share: float


def compute(widths=(64, 128, 256, 512), seeds: int = 2, n: int = 60) -> list[Width]:
    """Return what is left of the prediction at each width."""
    quick = cooccurrence.experiment("quick").vary({"n": n})
    table = sweep(quick, {"m": list(widths)}, seeds=seeds, workers=1)
    return [
        Width(point["m"], float(np.median(rows["rho_growth"])), float(np.median(rows["C_share"]))) for point, rows in table.points()
    ]


def draw(found: list[Width]) -> plt.Figure:
    """Draw displaced scores over their prediction, and the growth of the head, over the width."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    m = [width.m for width in found]
    with panel(ax, "Scores come to move as the limit says"):
        bound(ax, m, 0.9, 1.1, "within a tenth of the prediction")
        line(ax, m, [width.share for width in found], COLOURS["blue"], r"score change over $2 U \Phi$", marker="o", markersize=4)
        line(ax, m, [width.growth for width in found], COLOURS["vermillion"], r"growth of $\rho$", marker="s", markersize=4)
        ax.set_xscale("log", base=2)
        ax.set_xticks(m, [str(width) for width in m])
        ax.set(xlabel="width $m$", ylabel="ratio", ylim=(0, None))
    return figure


def main() -> None:
    """Print a line a width, and draw."""
    found = compute()
    print("    m   growth of rho   C / (2 U Phi)")
    for width in found:
        print(f"{width.m:5d} {width.growth:15.1%} {width.share:15.3f}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
