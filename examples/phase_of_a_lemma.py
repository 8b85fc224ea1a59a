"""
Where in a plane does a lemma hold?
===================================

The map of a lemma: over the size of the initial weights, measured in steps, and the number of samples, in how many seeds is it within
tolerance? Lemma 4.4, as read here, says that softmax outputs are near 1/2 when Stage III begins. It is asymptotic: it holds where initial
weights are small, and with more samples they must be smaller.
"""

import matplotlib.pyplot as plt

from dynsim import sweep
from dynsim.phase import Axis, PhaseDiagram, phase_diagram
from dynsim.phase.figures import plot_phase
from dynsim.systems import signal_noise

CLAIM = "lemma_4_4_softmax_half"
START = Axis("sigma_0/lr", r"initial weights in steps, $\sigma_0 / \eta$", ("sigma_0",), lambda point: point["sigma_0"] / point["lr"])
SAMPLES = Axis("n", "training samples, $n$")


def compute(sigma_0=(1e-3, 2e-3, 4e-3, 8e-3), n=(5, 10, 20, 40), seeds: int = 4) -> PhaseDiagram:
    """Judge the lemma in every seed at every point of the plane."""
    start = signal_noise.experiment("figure3_disjoint").replace(options={})
    table = sweep(start, {"sigma_0": list(sigma_0), "n": list(n)}, seeds=seeds, measure=CLAIM, workers=1)
    return phase_diagram(table, START, SAMPLES, CLAIM)


# %%
# Numbers in a cell: seeds within tolerance, of those in which it could be measured. The line is where half of them are. Hatched: in most
# seeds an assumption of the lemma is unmet, and the number is shown all the same. In the text the same is marked by an exclamation mark.


def draw(diagram: PhaseDiagram) -> plt.Figure:
    """Draw the map."""
    figure, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
    plot_phase(diagram, ax=ax)
    return figure


def main() -> None:
    """Print the map as text, and draw."""
    diagram = compute()
    print(diagram)
    draw(diagram)
    plt.show()


if __name__ == "__main__":
    main()
