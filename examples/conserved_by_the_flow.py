"""
What gradient flow conserves
============================

Gradient flow is gradient descent with infinitely small steps. On the word co-occurrence model it conserves five numbers, differences
of inner products of the weights, as momentum and energy are conserved in mechanics. They are a check of the integrator: here they drift by
less than :math:`10^{-9}`. Gradient descent with real steps of size ``lr`` breaks them, and breaks them half as much when steps are halved.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import GradientDescent, GradientFlow, Trajectory, simulate
from dynsim.plotting import COLOURS, line, panel
from dynsim.systems import cooccurrence

RATES = (0.02, 0.01, 0.005)


def compute(until: float = 20.0) -> tuple[Trajectory, dict[float, Trajectory]]:
    """Return the flow, closed in inner products, and gradient descent at several rates, all to the same time."""
    setting = cooccurrence.preset("tiny")
    flow = simulate(cooccurrence.gram(setting, seed=0), GradientFlow(rtol=1e-10, atol=1e-14), until=until, record=["G", "invariants"])
    descents = {}
    for lr in RATES:
        system = cooccurrence.lumped(setting, GradientDescent, seed=0)
        descents[lr] = simulate(system, GradientDescent(lr), steps=round(until / lr), record=["G", "invariants"])
    return flow, descents


# %%
# The flow is integrated in a closed system of inner products, which has no weights at all and the same size whatever the width. Descent
# moves the weights themselves. A step ``lr`` of descent takes as long as a time ``lr`` of the flow. The numbers are recorded as changes
# since the start, relative to their size, so that 0 is perfect.


def draw(found: tuple[Trajectory, dict[float, Trajectory]]) -> plt.Figure:
    """Draw the largest drift of the five numbers over time."""
    flow, descents = found
    figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
    with panel(ax, "Drift of what gradient flow conserves"):
        for (lr, run), colour in zip(descents.items(), ("vermillion", "orange", "purple"), strict=True):
            line(ax, lr * run.at[1:], np.abs(run["invariants"][1:]).max(axis=1), COLOURS[colour], f"descent, lr = {lr:g}")
        line(ax, flow.at[1:], np.maximum(np.abs(flow["invariants"][1:]).max(axis=1), 1e-17), COLOURS["blue"], "gradient flow")
        ax.set(yscale="log", xlabel="time, or lr times steps", ylabel="largest drift of the five numbers")
    return figure


def main() -> None:
    """Print the drifts, and draw."""
    flow, descents = found = compute()
    print(f"gradient flow      drift {np.abs(flow['invariants']).max():.1e}")
    for lr, run in descents.items():
        off = np.abs(run["G"][-1] - flow["G"][-1]).max()
        print(f"descent, lr {lr:<6g} drift {np.abs(run['invariants']).max():.1e}, head G at the end off by {off:.1e}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
