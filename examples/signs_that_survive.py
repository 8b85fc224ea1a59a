"""
Signs that survive underflow
============================

Sign gradient descent needs the sign of a gradient and nothing else. Attention soon makes these gradients smaller than any float64, about
:math:`10^{-324}`, and then their computed value is 0, which has no sign: weights that should move by a full step at every step stand still.
dynsim gets the signs from logarithms. For comparison the same run with signs of the computed gradient: that is what Adam does without any
memory (``beta1 = beta2 = eps = 0``). Both runs agree to the bit, until one of them freezes.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import Adam, SignGD, Trajectory, simulate
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.systems import signal_noise

LR = 1e-4
RULES = {"signs from logarithms": SignGD(LR), "signs of the float64 gradient": Adam(LR, beta1=0.0, beta2=0.0, eps=0.0)}


def compute(steps: int = 2500) -> dict[str, Trajectory]:
    """Return the run with signs from logarithms, and that with signs of the gradient in float64."""
    setting = signal_noise.preset("figure3_disjoint")
    return {
        name: simulate(signal_noise.lumped(setting, rule, seed=1), rule, steps=steps, record=["query_noise", "logit_21"])
        for name, rule in RULES.items()
    }


# %%
# Theory says that late query noise moves by the same amount at every step, for ever: the straight line on the left. On the right is what
# the gradient of query noise is proportional to: the attention :math:`s_{21}`, which is :math:`e^z` for a very negative score :math:`z`.


def draw(runs: dict[str, Trajectory]) -> plt.Figure:
    """Draw the size of query noise, and the attention that its gradient is proportional to."""
    figure, (noise, attention) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    with panel(noise, "Size of query noise, median", legend_columns=1), panel(attention, "Attention of noise on signal"):
        for (name, run), colour, style in zip(runs.items(), ("blue", "vermillion"), ("-", (0, (5, 2))), strict=True):
            line(noise, run.at, np.median(np.abs(run["query_noise"]), axis=(1, 2)), COLOURS[colour], name, linestyle=style)
        exact = next(iter(runs.values()))
        line(attention, exact.at, np.median(exact["logit_21"], axis=1) / np.log(10), COLOURS["blue"], "median sample")
        attention.axhline(-324, label="smallest float64", **LEVEL)
        noise.set(xlabel="step", ylabel=r"$|\theta|$")
        attention.set(xlabel="step", ylabel=r"$\log_{10} s_{21}$")
    return figure


def main() -> None:
    """Print when a gradient was lost and how far query noise came, and draw."""
    runs = compute()
    for name, run in runs.items():
        lost = f"entries lost from step {run.underflow_at} on" if run.underflow_at >= 0 else "no entry lost"
        print(f"{name:30s} {lost}; median size of query noise at the end {np.median(np.abs(run['query_noise'][-1])):.2f}")
    draw(runs)
    plt.show()


if __name__ == "__main__":
    main()
