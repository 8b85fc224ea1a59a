"""
Your own system in thirty lines
===============================

A system is parameters, a loss, its gradient derived by hand, and named quantities. This one fits a product :math:`uv` to 1. No more is
asked for: update rules, gradient flow, many starts at once and the check of the gradient are then there without another line.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

from dynsim import GradientFlow, SignGD, Trajectory, gradcheck, simulate
from dynsim.layout import Layout
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.system import Observable


@dataclass(frozen=True, eq=False)
class Product:
    """Fit u v to 1: L = (u v - 1)^2 / 2."""

    start: np.ndarray  # (*replicates, 2), never written to
    layout = Layout({"u": (1,), "v": (1,)})  # blocks of the flat vector, in its order
    step_scale, exact_for, alternative = 1.0, frozenset({"any"}), ""  # the model itself, not a reduction
    constants, provenance = {}, {"system": "product"}  # saved with every run
    observables = {
        "train_loss": Observable(lambda params, cache: cache.loss, (), "training loss", "L"),
        "weights": Observable(lambda params, cache: np.concatenate([params.u, params.v], axis=-1), ("weight",), "both weights", "u, v"),
    }

    def forward(self, params):
        residual = params.u * params.v - 1.0
        return SimpleNamespace(residual=residual, loss=(residual**2 / 2)[..., 0])

    def backward(self, params, cache, out, *, signs=False):
        out.u[...], out.v[...] = cache.residual * params.v, cache.residual * params.u

    def replicates(self, index):
        return replace(self, start=self.start[index])


# %%
# Flow keeps :math:`u^2 - v^2`, so its paths are hyperbolas; signs keep :math:`u - v`, so theirs are diagonals.


def compute(starts=((2.0, 0.2), (1.8, 0.9), (0.1, 1.9), (0.2, 0.6), (1.2, 0.1))) -> tuple[list[Trajectory], Trajectory]:
    """Return the paths of gradient flow, a run a start, and of sign descent, all starts in one run."""
    flows = [simulate(Product(np.array(start)), GradientFlow(), until=20.0) for start in starts]
    return flows, simulate(Product(np.array(starts)), SignGD(lr=0.01), steps=200)


def draw(found: tuple[list[Trajectory], Trajectory]) -> plt.Figure:
    """Draw the paths in the plane of both weights."""
    flows, signs = found
    figure, ax = plt.subplots(figsize=(5.6, 5), layout="constrained")
    with panel(ax, "From five starts to the solutions u v = 1"):
        for i, flow in enumerate(flows):
            line(ax, *flow["weights"].T, COLOURS["blue"], "" if i else "gradient flow")
            line(ax, *signs["weights"][:, i].T, COLOURS["green"], "" if i else "SignGD", linewidth=1.0)
            ax.plot(*flow["weights"][0], "o", color="black", markersize=4, label="" if i else "start")
        ax.plot(np.linspace(0.42, 2.35), 1 / np.linspace(0.42, 2.35), label="u v = 1", **LEVEL)
        ax.set(xlabel="$u$", ylabel="$v$", aspect="equal")
    return figure


def main() -> None:
    """Print the check of the gradient and where the paths end, and draw."""
    print(gradcheck(Product(np.array([2.0, 0.2]))))
    flows, signs = found = compute()
    for flow, end in zip(flows, signs["weights"][-1], strict=True):
        print(f"from {flow['weights'][0]}: flow ends at {np.round(flow['weights'][-1], 3)}, SignGD at {np.round(end, 3)}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
