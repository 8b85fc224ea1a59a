"""
A drift that the loss does not see
==================================

A linear head for 300 classes, trained on batches of 32 samples. Most classes are absent from a batch, and pushing a logit down is all that
can be done for an absent class. Gradient descent would push each a little; a sign update pushes all of them by a full step, so that the
mean of all biases drifts down, though softmax does not see a common shift of all logits. The speed of the drift is predicted. Averaging
gradients over steps before the sign is taken, with momentum 0.9, removes most of it.
"""

import matplotlib.pyplot as plt

from dynsim import Trajectory
from dynsim.plotting import legend
from dynsim.systems import gradient_heterogeneity
from dynsim.systems.gradient_heterogeneity.figures.drift_panels import plot_mean_bias

PRESETS = {"signs": "sign_drift", "signs of a running mean": "momentum_drift"}


def compute() -> dict[str, Trajectory]:
    """Run the head under sign updates without and with momentum."""
    return {name: gradient_heterogeneity.experiment(preset).run() for name, preset in PRESETS.items()}


# %%
# The prediction is made for the start, while all classes are equally likely: then a class's bias goes up only if the class is in the batch.


def draw(runs: dict[str, Trajectory]) -> plt.Figure:
    """Draw the mean bias over the steps, and its predicted drift."""
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.4), sharey=True, layout="constrained")
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        plot_mean_bias(run, ax=ax)
        ax.set_title(f"Mean bias, {name}", loc="left", fontsize=9, pad=30)
        legend(ax, 1)
    return figure


def main() -> None:
    """Print the drifts, and draw."""
    runs = compute()
    for name, run in runs.items():
        print(f"{name:24s} mean bias {run['mean_bias'][-1]:+.4f} after {run.at[-1]} steps, training loss {run['train_loss'][-1]:.3f}")
    draw(runs)
    plt.show()


if __name__ == "__main__":
    main()
