"""
The four stages of sign gradient descent
========================================

The main figure: 900 steps of sign gradient descent on a transformer of two layers, whose samples are a signal token and a noise token.
First the value layer learns the noise (I). Then what queries and keys make of each noise token comes to agree in sign (II), and what they
make of the signal follows the majority of these signs (III). Last, attention leaves the signal: key noise turns and changes sign, and query
noise does so twice as late (IV). Both turns are predicted in closed form.
"""

import matplotlib.pyplot as plt

from dynsim import Trajectory, check
from dynsim.plotting import grid
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.figures import plot_noise, plot_softmax, plot_value


def compute() -> Trajectory:
    """Run the preset of the main figure."""
    return signal_noise.experiment("figure3").run()


# %%
# What is drawn
# -------------
#
# Thin lines are rows and samples, the thick line of a group is its median, and black dashed is theory. Bands are the stages as they were
# recognised in this run. Every title names the claims that the panel shows, and how they came out.


def draw(run: Trajectory) -> plt.Figure:
    """Draw value noise, key noise, query noise and attention."""
    figure = plt.figure(figsize=(9.6, 8.2))
    axes = grid(figure, 2, 2, top=0.8)
    plot_value(run, ax=axes[0], letter="a")
    plot_noise(run, "key_noise", ax=axes[1], letter="b")
    plot_noise(run, "query_noise", ax=axes[2], letter="c")
    plot_softmax(run, ax=axes[3], letter="d")
    return figure


# %%
# What is printed
# ---------------
#
# The stages, with predictions that know the noise tokens that were drawn; the two turns as predicted from the setting alone, before any
# are drawn; and how the claims came out.


def main() -> None:
    """Print stages, predicted turns and verdicts, and draw."""
    run = compute()
    print(signal_noise.stage_table(run))
    theory = signal_noise.predict(signal_noise.preset("figure3"), lr=5e-5)
    print(f"\nfrom the setting alone: key noise turns at step {theory.T_key:.0f}, query noise at step {theory.T_query:.0f}")
    report = check(run)
    print(", ".join(f"{count} {verdict}" for verdict, count in report.counts.items()))
    draw(run)
    plt.show()


if __name__ == "__main__":
    main()
