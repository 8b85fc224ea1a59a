"""More than one noise token: the paper's model on samples of a signal and two independent noise tokens.

Sign gradient descent memorises noise with three tokens as with two: attention leaves the signal token. The data are a
generalisation of ours.
"""

from __future__ import annotations

import numpy as np

from dynsim import SignGD, simulate
from dynsim.systems import signal_noise


def compute(length: int = 3, steps: int = 900, seed: int = 0) -> dict[str, float]:
    """Train on samples of `length` tokens; return attention on the signal at first and at last, training loss and test error."""
    setting = signal_noise.preset("figure3")
    X, y = signal_noise.draw_tokens(setting, length, seed)
    weights = signal_noise.initial_weights(setting.d, setting.m_k, setting.m_v, setting.sigma_0, seed)
    fresh = signal_noise.draw_tokens(setting.replace(n=500), length, seed + 1)
    system = signal_noise.from_tokens(X, y, **weights, test=fresh).lump(SignGD)
    run = simulate(system, SignGD(5e-5), steps=steps, record={"attention": steps, "train_loss": 1, "test_error": steps})
    on_signal = run["attention"][..., 0].mean(axis=(1, 2))  # step, sample, query, key
    return {"features": system.features.size, "at first": on_signal[0], "at last": on_signal[-1],
            "training loss": run["train_loss"][-1], "test error": run["test_error"][-1]}


if __name__ == "__main__":
    for length in (2, 3, 4):
        found = compute(length)
        print(f"{length} tokens: " + ", ".join(f"{name} {np.round(value, 3)}" for name, value in found.items()))
