"""
Check what you derived on paper
===============================

Stage I ends when the value layer likes every noise token better than the signal: when every :math:`D_i`, value of noise minus value of
signal, is positive. When is that? Each exercise of the documentation is such a question, and ``check`` compares an answer with the package
on random inputs. The first attempt here forgets that both value matrices move, the second is right. Then theory meets simulation: the step
predicted from the weights at the start, and the step in the run, for many draws.
"""

import matplotlib.pyplot as plt
import numpy as np

from dynsim import SignGD, simulate
from dynsim.exercises import check
from dynsim.plotting import COLOURS, panel, theory
from dynsim.systems import signal_noise


def first_attempt(D, a, mu, lr):
    """Return the end of Stage I if D_i grew by lr (a_i - |mu|) a step."""
    return np.where(D > 0, 0, np.floor(-D / (lr * (a - mu))) + 1).max(axis=1)


def second_attempt(D, a, mu, lr):
    """Return the end of Stage I: the two value matrices move by opposite signs, so D_i grows by twice that."""
    return np.where(D > 0, 0, np.floor(-D / (2 * lr * (a - mu))) + 1).max(axis=1)


def compute(seeds: int = 60, lr: float = 2e-6) -> tuple[list[str], np.ndarray]:
    """Return what `check` says about both attempts, and pairs (predicted, simulated) of the last sample's step, a row a seed."""
    said = [str(check("signal_noise.4", attempt)) for attempt in (first_attempt, second_attempt)]
    system = signal_noise.lumped(signal_noise.preset("figure3_disjoint"), SignGD, seed=range(seeds))
    run = simulate(system, SignGD(lr), steps=600, record=["mean_value_signal", "mean_value_noise"])
    D = run["mean_value_noise"] - run["mean_value_signal"][..., None]  # (step, seed, sample)
    simulated = np.argmax((D > 0).all(axis=-1), axis=0)
    a, mu = system.constants["noise_l1"], system.constants["mu_l1"][:, None]
    return said, np.stack([second_attempt(D[0], a, mu, lr), simulated], axis=1)


# %%
# The learning rate is a twentyfifth of the usual one: Stage I then takes some hundred steps, and a formula that is off by a few would show.


def draw(found: tuple[list[str], np.ndarray]) -> plt.Figure:
    """Draw simulated over predicted steps, a dot a seed."""
    _, pairs = found
    figure, ax = plt.subplots(figsize=(5.4, 4.8), layout="constrained")
    with panel(ax, "End of Stage I, from the weights at the start"):
        ax.plot(*pairs.T, "o", markersize=4, color=COLOURS["blue"], label="a draw of data and weights")
        theory(ax, [pairs.min(), pairs.max()], [pairs.min(), pairs.max()], "equal")
        ax.set(xlabel="predicted step", ylabel="step in the simulation", aspect="equal")
    return figure


def main() -> None:
    """Print what is said about both attempts and how far predictions are off, and draw."""
    said, pairs = found = compute()
    print("\n".join(said))
    print(f"predicted and simulated steps of {len(pairs)} draws differ by at most {np.abs(np.diff(pairs)).max():.0f}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
