"""Does T_attn really scale as m_k^(-1/2)? Only because the paper's logits are not divided by sqrt(m_k).

Theorem 3.2 is about attention without the factor 1/sqrt(m_k) that transformers usually have. With it the logits grow m_k^(1/2) times
more slowly in m_k, and the exponent is -1/4. The same fit on both shows what a wrong exponent looks like.

    python examples/scaled_logits.py
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dynsim import SignGD, simulate
from dynsim.measures import First, Watched
from dynsim.scaling import PowerLaw, fit_power_law
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


def compute(m_k=(12, 24, 48, 96, 192), seeds: int = 8, lr: float = 2e-6) -> dict[str, PowerLaw]:
    """Return the fitted law of each variant."""
    laws = {}
    for variant in VARIANTS:
        times = np.concatenate([t_attn(variant, rows, seeds, lr) for rows in m_k])
        table = {"m_k": np.repeat(m_k, seeds), "seed": np.tile(np.arange(seeds), len(m_k)), "t_attn": times}
        laws[variant.name] = fit_power_law(table, "t_attn", "m_k", theory={"m_k": variant.exponent})
    return laws


if __name__ == "__main__":
    for name, law in compute().items():
        print(f"{name}\n{law}\n")
