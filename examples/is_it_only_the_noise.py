"""
Is it only the noise?
=====================

Do sign rules fail to generalise because the data are noisy, or because of the rule? Same data, same weights, three rules, ever less
noise. At one noise level gradient descent generalises where SignGD and Adam do not: the rule matters. For each rule less noise is better:
the noise matters, too. SignGD needs about 7 times less of it than gradient descent, as the geometry of its steps predicts: they are
measured by sums of magnitudes, those of gradient descent by sums of squares. Adam keeps failing until noise tokens are weaker than the
signal even in the sum of magnitudes (1/16 here), because its signal stops growing when attention leaves it.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import sweep
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.geometry import cleaner

RULES = ("signgd", "adam:0.9,eps=0", "gd")
COLUMN = "test_error@train_loss<0.05"


def compute(noise=(4.0, 2.0, 1.0, 0.5, 0.25, 1 / 32), seeds: int = 2) -> dict[float, np.ndarray]:
    """Return the mean test error at training loss 0.05 by noise level, one number a rule."""
    points = [{"sigma_p": sigma_p, "optimizer": rule, "steps": 40_000} for sigma_p in noise for rule in RULES]
    table = sweep(signal_noise.experiment("figure3_disjoint"), points, seeds=seeds, measure=COLUMN, workers=1)
    return {s: np.array([table.where(sigma_p=s, optimizer=rule)[COLUMN].mean() for rule in RULES]) for s in noise}


# %%
# Every run is stopped at the same training loss, so that rules are compared at the same fit and not at the same step.


def draw(found: dict[float, np.ndarray]) -> plt.Figure:
    """Draw the test error over the noise, a line a rule."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    with panel(ax, "The rule decides how much noise is too much"):
        for i, (title, colour) in enumerate((("SignGD", "green"), ("Adam", "indigo"), ("gradient descent", "orange"))):
            line(ax, list(found), [errors[i] for errors in found.values()], COLOURS[colour], title, marker="o", markersize=4)
        ax.axhline(0.5, label="guessing", **LEVEL)
        ax.set_xscale("log", base=2)
        ax.set(xlabel=r"size of a noise coordinate, $\sigma_p$ ($\|\mu\| = 1$)", ylabel="test error at training loss 0.05")
    return figure


def main() -> None:
    """Print a line a noise level and the prediction, and draw."""
    found = compute()
    print("test error at training loss 0.05\n sigma_p" + "".join(f"{rule:>18s}" for rule in RULES))
    for sigma_p, errors in found.items():
        print(f"{sigma_p:8g}" + "".join(f"{error:18.3f}" for error in errors))
    factor = cleaner(signal_noise.preset("figure3_disjoint"), 0.1)
    print(f"predicted for test error 0.1: SignGD needs {factor:.1f} times less noise than gradient descent")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
