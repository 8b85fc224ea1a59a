"""
A gradient by hand, and how to check it
=======================================

All gradients here are derived on paper, and a derivation can be wrong. The derivative along a direction :math:`u`, from the forward pass
alone, tells. The usual way is a difference of two losses: with large steps :math:`h` it is inexact, with small ones rounding takes over,
and half or a third of the digits are lost at best. A step in the *imaginary* direction subtracts nothing:
:math:`\\mathrm{Im}\\,L(p + ihu)/h` is exact to rounding at any small :math:`h`. ``gradcheck`` does that for every system.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import gradcheck
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.systems import signal_noise

STEPS = np.logspace(-16, 0, 49)


def compute(h: np.ndarray = STEPS, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the relative error of each way to differentiate, over the step h, measured against the gradient by hand."""
    system = signal_noise.dense(signal_noise.preset("tiny"), seed=seed)
    p, u = system.start, np.random.default_rng(seed).normal(size=system.start.shape)
    u /= np.linalg.norm(u)

    def loss(params: np.ndarray) -> np.ndarray:
        return system.forward(system.layout.views(params)).loss

    gradient = np.empty_like(p)
    system.backward(system.layout.views(p), system.forward(system.layout.views(p)), system.layout.views(gradient))
    by_hand = gradient @ u
    ways = {
        "forward difference": [(loss(p + step * u) - loss(p)) / step for step in h],
        "central difference": [(loss(p + step * u) - loss(p - step * u)) / (2 * step) for step in h],
        "imaginary step": [loss(p + 1j * step * u).imag / step for step in h],
    }
    return {name: np.abs(np.array(values) / by_hand - 1) for name, values in ways.items()}


# %%
# The forward pass has to accept complex parameters, which costs nothing but care: no absolute values, no conjugates.


def draw(errors: dict[str, np.ndarray]) -> plt.Figure:
    """Draw the errors over the step."""
    figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
    with panel(ax, "Three ways to differentiate a loss without a derivation"):
        for (name, error), colour, marker in zip(errors.items(), ("vermillion", "orange", "blue"), "so^", strict=True):
            line(ax, STEPS, np.maximum(error, 1e-17), COLOURS[colour], name, marker=marker, markersize=3, linewidth=1.0)
        ax.axhline(np.finfo(float).eps, label="rounding of float64", **LEVEL)
        ax.set(xscale="log", yscale="log", xlabel="step $h$", ylabel="relative distance to the gradient by hand", ylim=(1e-17, 10))
    return figure


def main() -> None:
    """Print the best each way can do and the check of the package, and draw."""
    errors = compute()
    for name, error in errors.items():
        print(f"{name:19s} at best {error.min():.0e}, at h = {STEPS[np.argmin(error)]:.0e}")
    print(gradcheck(signal_noise.dense(signal_noise.preset("tiny"), seed=0)))
    draw(errors)
    plt.show()


if __name__ == "__main__":
    main()
