"""
Two thousand numbers as fifty-seven
===================================

Coordinates that all samples see alike move in proportion for ever, so one number can stand for a whole block of them. That is exact and not
an approximation: the same run in all 2000 coordinates and in 57 differs by rounding only, under each of three rules. And what a step costs
no longer depends on the dimension :math:`d`: the reduced model has the same size at :math:`d = 10^8`.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.plotting import COLOURS, line, panel
from dynsim.systems import signal_noise

RULES = {"SignGD": SignGD(lr=5e-5), "Adam, eps = 0": Adam(lr=5e-5, eps=0.0), "gradient descent": GradientDescent(lr=0.1)}


def compute(steps: int = 300, dimensions=(10**3, 10**4, 10**5, 10**6, 10**8)) -> tuple[dict[str, np.ndarray], dict[int, tuple[int, int]]]:
    """Return the largest relative deviation at every step, by rule; and how many numbers are dense and lumped weights, by dimension."""
    setting = signal_noise.preset("figure3")
    deviations = {}
    for name, rule in RULES.items():
        forms = signal_noise.dense(setting, seed=0), signal_noise.lumped(setting, rule, seed=0)
        dense, lumped = (simulate(form, rule, steps=steps, record=["key_noise"])["key_noise"] for form in forms)
        deviations[name] = np.abs(dense - lumped).max(axis=(1, 2)) / np.abs(dense).max(axis=(1, 2))
    sizes = {}
    for d in dimensions:
        far = signal_noise.preset("figure3_disjoint").replace(d=d)
        sizes[d] = 2 * d * (far.m_k + far.m_v), signal_noise.lumped(far, SignGD, seed=0).layout.size
    return deviations, sizes


# %%
# Here a lumped row has 57 numbers because supports of the noise tokens overlap. Where they are disjoint, as in the right panel, it has 21:
# one for the signal and one for each of the 20 samples. Of the value matrices only their mean row matters.


def draw(found: tuple[dict[str, np.ndarray], dict[int, tuple[int, int]]]) -> plt.Figure:
    """Draw the deviations over the steps, and the sizes over the dimension."""
    deviations, sizes = found
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    with panel(left, "Dense against lumped: rounding"), panel(right, "Numbers in the model"):
        for (name, deviation), colour in zip(deviations.items(), ("green", "indigo", "orange"), strict=True):
            line(left, np.arange(len(deviation)), np.maximum(deviation, 1e-17), COLOURS[colour], name, linewidth=1.0)
        left.set(yscale="log", ylim=(1e-17, 1e-10), xlabel="step", ylabel="relative deviation of key noise")
        for i, (name, colour, marker) in enumerate((("dense", "vermillion", "s"), ("lumped", "blue", "o"))):
            line(right, list(sizes), [size[i] for size in sizes.values()], COLOURS[colour], name, marker=marker, markersize=5)
        right.set(xscale="log", yscale="log", xlabel="dimension $d$", ylabel="numbers")
    return figure


def main() -> None:
    """Print deviations and sizes, and draw."""
    deviations, sizes = found = compute()
    for name, deviation in deviations.items():
        print(f"{name:17s} dense and lumped differ by at most {deviation.max():.1e}")
    for d, (dense, lumped) in sizes.items():
        print(f"d = {d:>11,}: dense {dense:>14,} numbers, lumped {lumped:,}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
