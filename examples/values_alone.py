"""
A training curve known before training
======================================

If only the value matrix of an attention layer is trained, the output is linear in what is trained, and gradient descent obeys a linear
recursion. The whole loss curve then follows from one matrix and the first residuals, both known at the start: with eigenvalues
:math:`\\lambda_i` of the matrix, the part of the residual along eigenvector :math:`i` shrinks by :math:`1 - \\eta\\lambda_i` in every step.
Prediction and simulation differ by rounding only, for softmax attention and for Gaussian attention.
"""

import matplotlib.pyplot as plt

from dynsim import Report, Trajectory, check
from dynsim.plotting import grid
from dynsim.systems import attention_kernels
from dynsim.systems.attention_kernels.figures import plot_value_deviation, plot_value_loss

CLAIMS = {name: attention_kernels.CLAIMS[name] for name in ("value_curve", "value_rate")}


def compute() -> tuple[Trajectory, Report]:
    """Train the values of a small layer with either kernel; return the run and the verdicts on its curve and on its rate."""
    run = attention_kernels.experiment("value_only").run()
    return run, check(run, CLAIMS)


# %%
# The smallest eigenvalue decides how fast the loss falls in the end. It is larger for one kernel than for the other in this draw, and that
# is all that "converges faster" means here.


def draw(found: tuple[Trajectory, Report]) -> plt.Figure:
    """Draw the loss with its prediction, and the relative deviation of the two."""
    run, _ = found
    figure = plt.figure(figsize=(9.4, 4.6))
    left, right = grid(figure, 1, 2, top=0.75, bottom=1.2)
    plot_value_loss(run, ax=left)
    plot_value_deviation(run, ax=right)
    return figure


def main() -> None:
    """Print the verdicts, and draw."""
    run, report = found = compute()
    for kernel, loss in zip(("softmax", "Gaussian"), run["train_loss"][-1], strict=True):
        print(f"{kernel}: loss {loss.item():.2e} after {run.at[-1]} steps")
    print(report)
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
