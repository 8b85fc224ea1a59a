"""
When do sign updates win?
=========================

Steps that gradient descent and sign descent need to bring the loss of a quadratic to a thousandth, each at its best rate for that many
steps, the rate falling to 0. The parameters come in blocks, the curvatures of which spread over a factor :math:`k`. Blocks start with
equal loss, so that sharp blocks have the large gradients. At a spread of 100 gradient descent needs 256 times the steps it needs without
any, and signs twice. Then two changes after which signs win nothing or little: the same gradients on equal curvatures, and the quadratic
turned so that no parameter belongs to a block.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim.plotting import COLOURS, panel
from dynsim.systems.gradient_heterogeneity import Quadratic, dense, measure
from dynsim.systems.gradient_heterogeneity.quadratic.targets import RULES, horizons, steps_to_target

MOST = 512
CASES = {
    "equal loss, k = 1": Quadratic(k=1.0),
    "equal loss, k = 10": Quadratic(k=10.0),
    "equal loss, k = 100": Quadratic(k=100.0),
    "equal curvature, same gradients": Quadratic(k=100.0, initial="equal_curvature"),
    "equal loss, k = 100, turned": Quadratic(k=100.0, rotated="all"),
}


def steps(setting: Quadratic, rule: str) -> int:
    """Return the smallest horizon at which some rate brings the loss to a thousandth; -1 if none up to MOST does."""
    return int(steps_to_target(dense(setting, seed=0), RULES[rule], tried=horizons(MOST)).steps)


def compute() -> dict[str, tuple[float, int, int]]:
    """Return for each case the ratio of weighted curvatures and the steps of gradient descent and of sign descent."""
    ratios = {name: measure(dense(setting, seed=0), method="central").complexity.ratio for name, setting in CASES.items()}
    return {name: (ratios[name], steps(setting, "gd"), steps(setting, "signgd")) for name, setting in CASES.items()}


# %%
# The first number printed is the mean curvature of the blocks weighted by squared gradients, over that weighted by their sizes. It is
# above 1 where large gradients and large curvature meet, which is where signs win.


def draw(found: dict[str, tuple[float, int, int]]) -> plt.Figure:
    """Draw the steps of both rules, a pair of bars a case."""
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    with panel(ax, "Steps until the loss is a thousandth of what it was"):
        for i, (title, colour) in enumerate((("gradient descent", "orange"), ("SignGD", "green")), start=1):
            bars = ax.barh(np.arange(len(found)) + 0.4 * (i - 1.5), [case[i] for case in found.values()], 0.38, color=COLOURS[colour],
                           label=title)
            ax.bar_label(bars, padding=2, fontsize=8)
        ax.set_yticks(range(len(found)), found)
        ax.invert_yaxis()
        ax.set(xscale="log", xlabel="steps", xlim=(0.7, MOST))
    return figure


def main() -> None:
    """Print a line a case, and draw."""
    found = compute()
    print(f"{'':34s} {'Lambda_G / Lambda_P':>20s} {'GD':>6s} {'SignGD':>7s}")
    for name, (ratio, gd, sign) in found.items():
        print(f"{name:34s} {ratio:20.2f} {gd:6d} {sign:7d}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
