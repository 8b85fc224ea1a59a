"""
How much must Adam forget?
==========================

Under SignGD query noise that opposes its row's query signal comes back and changes sign. Under Adam it does so only if ``beta2``, the
memory of its second moment, is below a threshold, which is predicted in closed form: with a longer memory the gradient falls faster than
the root of its own second moment can follow, and the steps die out. The figure shows the share of such noise that did change sign.
"""

import matplotlib.pyplot as plt

from dynsim import sweep
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.adam import threshold


def compute(beta2=(0.0, 0.5, 0.8, 0.85, 0.9, 0.99, 0.999), seeds: int = 4) -> tuple[float, dict[float, float]]:
    """Return the predicted threshold, and for each beta2 the share of opposed query noise that changed sign by step 900."""
    experiment = signal_noise.experiment("figure3_disjoint")
    theory = signal_noise.predict(experiment.setting, lr=experiment.optimizer.lr)
    rules = {f"adam:0,{value:g},0": value for value in beta2}  # beta1, beta2, eps
    table = sweep(experiment, {"optimizer": list(rules)}, seeds=seeds, measure="crossed", steps=900, workers=1)
    shares = {value: float(table.where(optimizer=rule)["crossed"].mean()) for rule, value in rules.items()}
    return float(threshold(theory.T_key, theory.a, experiment.setting.mu_norm, experiment.setting.n)), shares


def draw(found: tuple[float, dict[float, float]]) -> plt.Figure:
    """Draw the shares over the memory 1 / (1 - beta2), and the threshold."""
    star, shares = found
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    with panel(ax, "Query noise turns only if Adam forgets fast enough"):
        line(ax, [1 / (1 - b) for b in shares], list(shares.values()), COLOURS["indigo"], "simulated", marker="o", markersize=4)
        ax.axvline(1 / (1 - star), color="black", linestyle=(0, (4, 2)), linewidth=1.1, label=rf"predicted half, $\beta_2$ = {star:.3f}")
        ax.axhline(0.5, **LEVEL)
        ax.set(xscale="log", xlabel=r"memory of the second moment, $1/(1-\beta_2)$ steps", ylabel="share that changed sign")
    return figure


def main() -> None:
    """Print the threshold and a line a beta2, and draw."""
    star, shares = found = compute()
    print(f"predicted: half of the noise crosses at beta2 = {star:.3f}")
    for value, share in shares.items():
        print(f"  beta2 = {value:<5g}  {share:6.1%} crossed")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
