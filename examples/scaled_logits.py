"""
A wrong exponent, seen by a fit
===============================

Theorem 3.2 is about attention without the factor :math:`1/\\sqrt{m_k}` that transformers usually have (:math:`m_k` is the number of rows of
the key and query matrices). There the time :math:`T_{attn}` at which attention leaves the signal falls like :math:`m_k^{-1/2}`. With the
factor the scores grow more slowly, and :math:`-1/4` follows. The same fit on both models shows that such a difference cannot be missed.
"""

from dataclasses import replace
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from dynsim import SignGD, simulate
from dynsim.measures import First, Watched
from dynsim.plotting import legend
from dynsim.scaling import PowerLaw, fit_power_law
from dynsim.scaling.figures import plot_scaling
from dynsim.systems import signal_noise

T_ATTN = First("softmax_11_mean", "<", 0.1, "t_attn")


class Variant(NamedTuple):
    """A name, how logits scale with m_k, and the exponent that follows for T_attn."""

    name: str
    power: float
    exponent: float


VARIANTS = (Variant("logits as in the paper", 0.0, -0.5), Variant("logits / sqrt(m_k)", -0.5, -0.25))


def t_attn(variant: Variant, m_k: int, seeds: int, lr: float) -> np.ndarray:
    """Return T_attn of several seeds that run together."""
    experiment = signal_noise.experiment("theory").vary({"m_k": m_k, "lr": lr})
    steps = int(2 * m_k ** (-variant.power / 2) * signal_noise.horizon(experiment.setting, experiment.optimizer))
    system = replace(signal_noise.lumped(experiment.setting, SignGD, seed=range(seeds)), logit_scale=float(m_k) ** variant.power)
    watched = Watched(experiment, system)
    watch = watched.watch(T_ATTN)
    simulate(system, experiment.optimizer, steps=steps, record=[], stop=watched.see)
    return watch.result(None)["t_attn"]


def compute(m_k=(24, 48, 96), seeds: int = 4, lr: float = 2e-6) -> dict[str, tuple[dict[str, np.ndarray], PowerLaw]]:
    """Return the times of each variant, a row a width and seed, and the law fitted to them."""
    found = {}
    for variant in VARIANTS:
        times = np.concatenate([t_attn(variant, rows, seeds, lr) for rows in m_k])
        table = {"m_k": np.repeat(m_k, seeds), "seed": np.tile(np.arange(seeds), len(m_k)), "t_attn": times}
        found[variant.name] = table, fit_power_law(table, "t_attn", "m_k", theory={"m_k": variant.exponent})
    return found


def draw(found: dict[str, tuple[dict[str, np.ndarray], PowerLaw]]) -> plt.Figure:
    """Draw the times, the fitted law and the theory's slope of both variants."""
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.4), layout="constrained")
    for ax, (name, (table, law)) in zip(axes, found.items(), strict=True):
        plot_scaling(table, "t_attn", "m_k", law=law, ax=ax)
        ax.set_ylabel(f"T_attn (steps), {name}")
        legend(ax, 1)
    return figure


def main() -> None:
    """Print both laws, and draw."""
    found = compute()
    for name, (_, law) in found.items():
        print(f"{name}\n{law}\n")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
