"""
Where does a lemma begin to hold?
=================================

Lemma 4.4 says, as read here, that softmax outputs are still near 1/2 when Stage III begins. It is asymptotic: alignment, which takes
about :math:`3\\kappa` steps, must end long before the attention of the noise token decays, at :math:`T_{key}`. Smaller initial weights,
of size :math:`\\sigma_0`, make :math:`\\kappa` smaller. At the figure-3 numbers :math:`T_{key}` is only :math:`8\\kappa` and the claim
fails in most seeds; it holds in nearly all once :math:`T_{key}` is about :math:`12\\kappa`.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import SignGD, check, simulate
from dynsim.plotting import COLOURS, LEVEL, panel
from dynsim.systems import signal_noise

CLAIM = signal_noise.CLAIMS["lemma_4_4_softmax_half"]


def compute(sigmas=(4e-3, 3e-3, 2.5e-3, 2e-3, 1.5e-3, 1e-3), seeds: int = 20) -> list[tuple[float, float, np.ndarray]]:
    """Return rows (sigma_0, T_key / kappa, the claim's margin in every seed)."""
    rows = []
    for sigma_0 in sigmas:
        setting = signal_noise.preset("figure3_disjoint").replace(sigma_0=sigma_0)
        margins = []
        for seed in range(seeds):
            run = simulate(signal_noise.lumped(setting, SignGD, seed=seed), SignGD(5e-5), steps=200)
            margins.append(check(run, [CLAIM]).verdicts[0].margin)  # shown even where an assumption is unmet
        theory = signal_noise.predict(setting, lr=5e-5)
        rows.append((sigma_0, theory.T_key / theory.kappa, np.array(margins)))
    return rows


# %%
# A margin of 1 is a perfect 1/2, and 0 is the edge of the tolerance: below it the claim does not hold.


def draw(rows: list[tuple[float, float, np.ndarray]]) -> plt.Figure:
    """Draw the margins of all seeds over the ratio of the two times."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    with panel(ax, "The lemma holds once alignment ends long before attention decays"):
        for i, (_, ratio, margins) in enumerate(rows):
            ax.plot(np.full(len(margins), ratio), margins, "o", markersize=3, color=COLOURS["sky"], label="" if i else "a seed")
            ax.plot(ratio, np.median(margins), "D", markersize=6, color=COLOURS["blue"], label="" if i else "median")
        ax.axhline(0, label="edge of the tolerance", **LEVEL)
        ax.set(xlabel=r"$T_{key} / \kappa$", ylabel="margin of lemma_4_4_softmax_half")
    return figure


def main() -> None:
    """Print a line a size, and draw."""
    rows = compute()
    print(f"sigma_0   T_key / kappa   seeds of {len(rows[0][2])}   median margin")
    for sigma_0, ratio, margins in rows:
        print(f"{sigma_0:7g} {ratio:15.1f} {np.sum(margins >= 0):13d} {np.median(margins):15.2f}")
    draw(rows)
    plt.show()


if __name__ == "__main__":
    main()
