"""
One step, every number
======================

A model so small that its numbers fit on a screen: three samples, four rows. ``explain`` makes one forward and one backward pass and one
update, and prints every number in between beside its symbol and the number of its equation. The figure shows what is special about a sign
update: on the left entries of the gradient of the query weights differ by a factor of 70; the update on the right knows only its signs.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import SignGD, explain
from dynsim.explain import Explanation
from dynsim.systems import signal_noise


def compute() -> Explanation:
    """Explain the first step of the smallest preset."""
    system = signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0)
    return explain(system, step=0, optimizer=SignGD(lr=0.01))


# %%
# Each column is a row of the query matrix. Its 32 coordinates fall into four groups, on which samples cannot tell coordinates apart: the
# signal, and the noise of each sample. One number stands for a group: the weight's inner product with that token. A step of 0.01 in every
# coordinate changes it by 0.01 times the sum of the token's magnitudes, which is why the noise tokens' numbers move further.


def draw(shown: Explanation) -> plt.Figure:
    """Draw gradient and update of the query weights, a square an entry."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, values, title in zip(axes, (shown["dL/dW_Q"], shown["Delta W_Q"]), ("gradient", "what SignGD changes"), strict=True):
        most = np.abs(values).max()
        ax.imshow(values, cmap="PuOr", vmin=-1.6 * most, vmax=1.6 * most, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            ax.text(j, i, f"{value:+.1e}", ha="center", va="center", fontsize=8)
        ax.set(title=title, xlabel="row of the query matrix", xticks=range(values.shape[1]))
        ax.set_yticks(range(len(values)), ["signal", *(f"noise of sample {i}" for i in range(len(values) - 1))])
    axes[1].set_yticks([])
    return figure


def main() -> None:
    """Print the explanation, and draw."""
    shown = compute()
    print(shown)
    draw(shown)
    plt.show()


if __name__ == "__main__":
    main()
