"""
Which kernel gets stuck, and from where?
========================================

One query, a few fixed keys, one target: the loss is a curve over the query, its minima can be listed, and its barriers part the starts.
Three examples: in E5 softmax has a strict local minimum, in E3 it runs away to infinity, and in E6 it is the Gaussian that gets stuck.
Each is trained with softmax, the Gaussian, and the Gaussian with its rows normalised: is it the shape of the kernel that helps, or the
missing normalisation? In E3 the latter, in E5 the former.
"""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from dynsim import simulate
from dynsim.plotting import COLOURS, panel
from dynsim.systems import attention_kernels
from dynsim.systems.attention_kernels import landscape

KERNELS = {"softmax": ("softmax", "vermillion"), "gaussian": ("Gaussian", "blue"), "row_gaussian": ("Gaussian, rows normalised", "green")}


class Share(NamedTuple):
    """An example, a kernel, and the share of starts that reach loss 0: by the barriers, and simulated."""

    example: str
    kernel: str
    predicted: float
    simulated: float


def compute(starts: int = 61, steps: int = 10_000) -> list[Share]:
    """Return the shares of three examples and three kernels."""
    found = []
    for preset in ("runaway", "stuck", "reverse"):
        experiment = attention_kernels.experiment(preset)
        setting = experiment.setting.replace(kernel="+".join(KERNELS), starts=starts)
        run = simulate(attention_kernels.queries(setting), experiment.optimizer, steps=steps, record=["train_loss"], at=[])
        q = np.linspace(setting.low, setting.high, starts)
        for i, kernel in enumerate(KERNELS):
            predicted = landscape(setting.task, kernel).reaches_zero(q)
            found.append(Share(setting.task, kernel, float(predicted.mean()), float((run["train_loss"][-1, i] < 1e-12).mean())))
    return found


def draw(found: list[Share]) -> plt.Figure:
    """Draw the simulated shares as bars, and those by the barriers as dashed lines across them."""
    figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
    with panel(ax, "Starts from which gradient descent reaches zero loss"):
        for i, (kernel, (title, colour)) in enumerate(KERNELS.items()):
            mine = [share for share in found if share.kernel == kernel]
            x = np.arange(len(mine)) + 0.27 * (i - 1)
            ax.bar(x, [share.simulated for share in mine], width=0.25, color=COLOURS[colour], label=title)
            ax.hlines([share.predicted for share in mine], x - 0.13, x + 0.13, colors="black", linestyles="dashed", zorder=4,
                      label="" if i else "told by the barriers")
        ax.set_xticks(range(3), ["E3: softmax runs away", "E5: softmax is stuck", "E6: Gaussian is stuck"])
        ax.set(xlabel="example", ylabel="share of starts", ylim=(0, 1.08))
    return figure


def main() -> None:
    """Print a line an example and kernel, and draw."""
    found = compute()
    print("example   kernel         reach loss 0: by the barriers   simulated")
    for share in found:
        print(f"{share.example:9s} {share.kernel:14s} {share.predicted:28.1%} {share.simulated:11.1%}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
