"""
A flow without parameters
=========================

A shallow transformer learns whether two target words occur together. In the limit of wide networks and small initial weights its training
is one curve: width, initial weights and draws drop out, and only the number of samples :math:`n` and of words in each, :math:`L`, are left.
The clock of that curve is :math:`\\tau = \\int \\rho\\,dt`, where :math:`\\rho` is the size of the network's head. Two networks of
different width, drawn from different seeds, are laid over it here: the wide one follows it, the narrow one drifts off late.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import Trajectory
from dynsim.plotting import COLOURS, line, log_axis, panel, theory
from dynsim.systems import cooccurrence

NAMES = ("target 1", "target 2", "common word")


def compute(widths: tuple[int, ...] = (64, 256), n: int = 60) -> tuple[Trajectory, dict[int, Trajectory]]:
    """Return the parameter-free flow, and the flow of a network of each width."""
    networks = {m: cooccurrence.experiment("quick").vary({"n": n, "m": m}).replace(seed=m).run() for m in widths}
    return cooccurrence.universal(n, 5), networks


# %%
# :math:`G` is what the head makes of the value of a word: positive speaks for "together", negative against. Each target alone speaks for
# it, and the common word, which all samples have, speaks against it: only both targets together outweigh that.


def draw(found: tuple[Trajectory, dict[int, Trajectory]]) -> plt.Figure:
    """Draw the head on the three special words over the clock, one panel a width."""
    limit, networks = found
    figure, axes = plt.subplots(1, len(networks), figsize=(9, 4.2), sharey=True, layout="constrained", squeeze=False)
    for ax, (m, run) in zip(axes[0], networks.items(), strict=True):
        with panel(ax, f"width {m}"):
            for i, (name, colour) in enumerate(zip(NAMES, ("indigo", "purple", "wine"), strict=True)):
                seen = run["tau"] > 0.1
                line(ax, run["tau"][seen], run["G"][seen, i], COLOURS[colour], name, linewidth=(3.0, 1.4, 1.6)[i])
                shown = (limit.at > 0.1) & (limit.at < run["tau"][-1])
                theory(ax, limit.at[shown], limit["G"][shown, i], "" if i else "without parameters")
            log_axis(ax, "x")
            ax.set(xlabel=r"clock $\tau$", ylabel="$G$ of the word")
    return figure


def main() -> None:
    """Print G at the end beside the limit, and draw."""
    limit, networks = found = compute()
    for m, run in networks.items():
        expected = [np.interp(run["tau"][-1], limit.at, limit["G"][:, i]) for i in range(3)]
        print(f"m = {m:3d}, clock {run['tau'][-1]:.0f}: G = {np.round(run['G'][-1], 2)}, without parameters {np.round(expected, 2)}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
