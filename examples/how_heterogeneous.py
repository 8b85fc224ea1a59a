"""
How heterogeneous are the gradients of a model?
===============================================

Blocks of parameters differ in the size of their gradients and in their curvature. Weighted by gradients, curvature bounds the iterations
of gradient descent; weighted by the sizes of the blocks, those of sign updates. The two differ only where gradients *and* curvature differ
between blocks, and together: then their ratio is above 1. Measured here for every model of this project at its initial weights.

The transformers are small ones, to be quick; the size is an argument, ``python examples/how_heterogeneous.py 32 512`` has width 32 and
512 samples and takes minutes.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from dynsim.plotting import COLOURS, LEVEL, panel
from dynsim.systems import attention_kernels, cooccurrence, signal_noise
from dynsim.systems.gradient_heterogeneity import Heterogeneity, Transformer, cut_blocks, dense, measure


def compute(d: int = 16, samples: int = 64) -> dict[str, Heterogeneity]:
    """Return the measures of every model; `d` and `samples` are those of the transformers."""
    bags = cooccurrence.dense(cooccurrence.preset("tiny"))
    found = {
        "signal_noise": measure(signal_noise.dense(signal_noise.preset("tiny"), seed=0)),
        "cooccurrence": measure(bags, blocks=cut_blocks(bags, leave_out=("tau",))),  # the clock is no weight
    }
    attention = attention_kernels.dense(attention_kernels.Regression(trained="QKVO"))
    for number, kernel in enumerate(attention.kernels):
        found[f"attention, {kernel.title}"] = measure(attention, blocks=cut_blocks(attention, only=(number, 0)))
    for norm in ("post", "pre", "none"):
        found[f"transformer, {norm}"] = measure(dense(Transformer(norm=norm, d=d, samples=samples)))
    return found


# %%
# The bounds of one step favour sign updates where :math:`R`, the ratio times the density :math:`\phi` of the gradient, is above 1. They
# look at blocks only: ``R_exact`` takes the curvature along the gradient and along its signs as they are.


def draw(found: dict[str, Heterogeneity]) -> plt.Figure:
    """Draw the ratio of weighted curvatures and R of every model."""
    figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
    shown = {"ratio": (r"$\Lambda_G/\Lambda_P$: curvature weighted by gradients over weighted by sizes", "blue"), "R": ("R", "green")}
    with panel(ax, "Do large gradients and large curvature meet?", legend_columns=1):
        for i, (name, (label, colour)) in enumerate(shown.items()):
            values = np.array([m.scalars()[name] for m in found.values()])
            ax.barh(np.arange(len(found)) + 0.4 * (i - 0.5), values - 1, 0.38, left=1, color=COLOURS[colour], label=label)
        ax.axvline(1, **LEVEL)
        ax.set_yticks(range(len(found)), found)
        ax.invert_yaxis()
        ax.set(xscale="log", xlabel="ratio")
    return figure


def main(d: int | str = 16, samples: int | str = 64) -> None:
    """Print a line a model, and draw."""
    found = compute(int(d), int(samples))
    print("model                  Gini g  max/min g  Gini h  Lambda_G  Lambda_P  ratio    phi      R  R_exact")
    for name, m in found.items():
        s = m.scalars()
        print(f"{name:22s} {s['gradient_gini']:6.3f} {s['gradient_max_over_min']:10.3g} {s['hessian_gini']:7.3f} {s['Lambda_G']:9.3g} "
              f"{s['Lambda_P']:9.3g} {s['ratio']:6.2f} {s['phi']:6.3f} {s['R']:6.2f} {s['R_exact']:8.2f}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main(*sys.argv[1:3] if "__file__" in globals() else ())  # in a notebook the arguments are not ours
