"""
More than one noise token
=========================

The paper's samples have two tokens, a signal and a noise token. Here samples have two or three noise tokens, independent of each other.
Sign gradient descent memorises the noise all the same: attention, at first equal shares, leaves the signal token, the training loss
vanishes and fresh samples are answered little better than by guessing. The data are a generalisation of this project's.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import SignGD, simulate
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.systems import signal_noise


def compute(lengths: tuple[int, ...] = (2, 3, 4), steps: int = 900, seed: int = 0) -> dict[int, dict[str, np.ndarray]]:
    """Train on samples of so many tokens; return the attention on the signal over the steps, the losses and the test error."""
    setting = signal_noise.preset("figure3")
    found = {}
    for length in lengths:
        X, y = signal_noise.draw_tokens(setting, length, seed)
        weights = signal_noise.initial_weights(setting.d, setting.m_k, setting.m_v, setting.sigma_0, seed)
        fresh = signal_noise.draw_tokens(setting.replace(n=500), length, seed + 1)
        system = signal_noise.from_tokens(X, y, **weights, test=fresh).lump(SignGD)
        run = simulate(system, SignGD(5e-5), steps=steps, record={"attention": 20, "train_loss": 1, "test_error": steps})
        found[length] = {
            "features": system.features.size, "step": run.at[::20], "loss": run["train_loss"], "error": run["test_error"][-1],
            "attention": run["attention"][..., 0].mean(axis=(1, 2)),  # (step, sample, query, key): how much of it goes to the signal
        }
    return found


# %%
# The model with many tokens is reduced exactly as that with two: ``features`` is how many numbers stand for the 2000 coordinates of a row.


def draw(found: dict[int, dict[str, np.ndarray]]) -> plt.Figure:
    """Draw the mean attention on the signal token over the steps."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    with panel(ax, "Attention leaves the signal, however many noise tokens", legend_columns=3):
        for (length, result), colour in zip(found.items(), ("blue", "vermillion", "green"), strict=False):
            line(ax, result["step"], result["attention"], COLOURS[colour], f"{length} tokens")
            ax.axhline(1 / length, **LEVEL)
        ax.set(xlabel="step", ylabel="mean attention on the signal token", ylim=(0, None))
    return figure


def main() -> None:
    """Print a line a length, and draw."""
    found = compute()
    for length, r in found.items():
        first, last = r["attention"][[0, -1]]
        print(f"{length} tokens: features {r['features']}, attention on the signal {first:.3f} at first, {last:.3f} at last, "
              f"training loss {r['loss'][-1]:.3f}, test error {r['error']:.3f}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
