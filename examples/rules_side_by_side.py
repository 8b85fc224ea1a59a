"""
Three update rules on the same data
===================================

SignGD, Adam and gradient descent train the two-layer transformer on the same samples from the same weights. All three fit the training
data. The logarithm of SignGD's training loss falls along a straight line; Adam's bends, because its steps on the query noise die out.
Gradient descent reaches the same training loss and makes a fraction of the mistakes on fresh samples.
"""

import matplotlib.pyplot as plt

from dynsim import Report, check
from dynsim.sweep import Table
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.figures.comparison import plot_courses

RULES = ("signgd", "adam:0.9,eps=0", "gd")


def compute(seeds: int = 3) -> tuple[Table, Report]:
    """Compare the rules at the figure-3 preset: the table, a row a rule and seed, and the verdicts on it."""
    study = signal_noise.comparison(signal_noise.experiment("figure3"), RULES, seeds=seeds)
    evidence = study.run(workers=1)
    return evidence["rules"], check(evidence)


# %%
# The learning rates are the experiment's own, one a rule. Shares of wrong answers are measured on fresh samples; 0.5 is guessing.


def draw(found: tuple[Table, Report]) -> plt.Figure:
    """Draw training loss and test error over the steps: the mean over seeds, and their range."""
    table, _ = found
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for ax, name, title in zip(axes, ("train_loss", "test_error"), ("All fit the training data", "One generalises"), strict=True):
        plot_courses({"rules": table}, name, title, ax=ax)
    return figure


def main() -> None:
    """Print a line a rule and the verdicts, and draw."""
    table, report = found = compute()
    for rule in RULES:
        rows = table.where(optimizer=rule)
        loss, error, crossed = (rows[name].mean() for name in ("train_loss@900", "test_error@900", "crossed"))
        print(f"{rule:15s} at step 900: training loss {loss:.4f}, test error {error:.3f}, query noise that crossed {crossed:.1%}")
    print(report)
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
