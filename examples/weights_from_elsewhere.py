"""
Weights from elsewhere
======================

A model made with another library goes in as plain arrays, in the orientation of ``torch.nn.Linear.weight``. Here the other library is a few
lines of NumPy. Three things are shown: the loss of the arrays is the loss of that model, to rounding; ``lump`` reduces it exactly to fewer
numbers; and ``lift`` brings full weight matrices back, whose loss in the other library lies on the same curve.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import SignGD, simulate
from dynsim.plotting import COLOURS, line, panel
from dynsim.systems import signal_noise

RULE = SignGD(lr=1e-3)


def elsewhere(seed: int = 0, d: int = 100, n: int = 6) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return data and weights of a model that knows nothing of dynsim: sample i is the pair of tokens (y_i mu, xi_i)."""
    rng = np.random.default_rng(seed)
    sparse = (rng.random((n, d)) < 0.1) & (np.arange(d) > 0)  # noise has few coordinates, and none of the signal's
    data = {"mu": np.eye(d)[0], "xi": rng.normal(size=(n, d)) * sparse, "y": np.array([1.0, -1.0] * (n // 2))}
    shapes = {"W_Q": (8, d), "W_K": (8, d), "W_V_pos": (4, d), "W_V_neg": (4, d)}
    return data, {name: 0.05 * rng.normal(size=shape) for name, shape in shapes.items()}


def loss_elsewhere(data: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> float:
    """Return the mean logistic loss of that model: its own code."""
    y = data["y"]
    tokens = np.stack([y[:, None] * data["mu"], data["xi"]], axis=1)  # (sample, token, coordinate)
    scores = np.exp((tokens @ weights["W_Q"].T) @ (tokens @ weights["W_K"].T).swapaxes(1, 2))  # (sample, query, key)
    attention = scores / scores.sum(axis=2, keepdims=True)
    outputs = (attention @ tokens @ (weights["W_V_pos"] - weights["W_V_neg"]).mean(axis=0)).sum(axis=1)
    return float(np.log1p(np.exp(-y * outputs)).mean())


def compute(steps: int = 120, every: int = 20) -> tuple[np.ndarray, dict[int, float], tuple[int, int]]:
    """Return the loss at every step, that of lifted weights computed elsewhere at some steps, and the size of both models."""
    data, weights = elsewhere()
    dense = signal_noise.from_arrays(**data, **weights)
    lumped = dense.lump(SignGD)
    loss, elsewhere_too = simulate(lumped, RULE, steps=steps, record=["train_loss"])["train_loss"], {0: loss_elsewhere(data, weights)}
    for step in range(every, steps + 1, every):
        final = simulate(lumped, RULE, steps=step, record=[]).final
        elsewhere_too[step] = loss_elsewhere(data, dense.lift(lumped, final))
    return loss, elsewhere_too, (dense.layout.size, lumped.layout.size)


def draw(found: tuple[np.ndarray, dict[int, float], tuple[int, int]]) -> plt.Figure:
    """Draw the loss of the lumped run, and that of lifted weights."""
    loss, elsewhere_too, _ = found
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    with panel(ax, "The same model here and elsewhere"):
        line(ax, np.arange(len(loss)), loss, COLOURS["blue"], "lumped run, dynsim")
        ax.plot(*zip(*elsewhere_too.items(), strict=True), "o", color=COLOURS["vermillion"], label="lifted weights, elsewhere", zorder=4)
        ax.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    return figure


def main() -> None:
    """Print the losses side by side, and draw."""
    loss, elsewhere_too, (dense, lumped) = found = compute()
    print(f"{dense} numbers reduced to {lumped}")
    for step, value in elsewhere_too.items():
        print(f"step {step:3d}: loss {loss[step]:.12f} here, {value:.12f} elsewhere")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
