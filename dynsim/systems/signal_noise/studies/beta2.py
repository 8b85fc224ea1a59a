"""From SignGD to Adam by the memory of the second moment: below which beta2 query noise against its row still turns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....experiment import Experiment
from ....optimizers import Adam
from ....study import Plan, Study
from ..adam import threshold
from ..claims.adam import MEASURED, MEMORIES
from ..predictions import predict
from ..presets import experiment

__all__ = ["STUDY"]

BETA2 = (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999)

AROUND = (0.6, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6)
"""Multiples of the predicted log(1 / beta2) at which the transition is looked for where its place is varied."""


def _without_mean(preset: str, beta2: float = 0.999, **changes: Any) -> Experiment:
    """The preset under Adam whose only memory is the second moment."""
    base = experiment(preset)
    return base.replace(optimizer=Adam(base.optimizer.lr, beta1=0.0, beta2=beta2, eps=0.0), **changes)


def _memories(steps: int = 900) -> list[dict[str, Any]]:
    """Every beta2 with the same horizon: the sweep would choose one by what the theory of SignGD speaks of."""
    return [{"beta2": beta2, "steps": steps} for beta2 in BETA2]


def _paces() -> list[dict[str, Any]]:
    """Points around the predicted transition while lr sqrt(m_k) varies by a factor 8; T_key / kappa and the horizon in T_key stay."""
    base, points = experiment("figure3_disjoint"), []
    for lr, m_k in ((1.25e-5, 100), (2.5e-5, 100), (5e-5, 25), (5e-5, 100), (5e-5, 400), (1e-4, 100)):
        own = base.setting.replace(m_k=m_k, sigma_0=base.setting.sigma_0 * (base.setting.m_k / m_k) ** 0.5)
        theory = predict(own, lr=lr)
        place = np.log(threshold(theory.T_key, theory.a, own.mu_norm, own.n))
        points += [
            {"lr": lr, "m_k": m_k, "sigma_0": own.sigma_0, "steps": round(6.5 * theory.T_key), "beta2": round(float(np.exp(x * place)), 5)}
            for x in AROUND
        ]
    return points


STUDY = Study(
    "From SignGD to Adam: does query noise turn?",
    {
        "beta2": Plan(
            _without_mean("figure3_disjoint"), _memories(), 16, MEASURED,
            "Adam with beta1 = 0, eps = 0: the second moment remembers longer and longer, disjoint supports",
        ),
        "beta2_overlap": Plan(_without_mean("figure3"), _memories(), 16, MEASURED, "the same with overlapping supports"),
        "signgd": Plan(experiment("figure3_disjoint"), [{"steps": 900}], 16, MEASURED, "SignGD on the data and weights of the first sweep"),
        "pace": Plan(
            _without_mean("figure3_disjoint", options={}), _paces(), 8, MEASURED,
            "the transition where lr sqrt(m_k), which its place is predicted from, varies by a factor 8",
        ),
    },
    {name: _without_mean("figure3_disjoint", beta2, record=("query_gradient", "query_noise", "query_signal"))
     for name, beta2 in MEMORIES.items()},
)
"""Sweeps over the memory of Adam's second moment."""
