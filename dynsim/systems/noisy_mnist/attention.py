"""Attention of a run on its training and test samples, at its last step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...claims import Inconclusive
from ...optimizers import from_description
from ...simulate import simulate
from ...sweep import Table
from ...trajectory import Trajectory
from ..signal_noise.tokens import from_tokens
from .build import dense
from .data import Samples, Setting, draw_samples
from .measures import TRAINED, column

__all__ = ["Attended", "attended", "trained_run"]


@dataclass(frozen=True, eq=False)
class Attended:
    """Samples of one kind with the attention of a trained model on their tokens.

    Attributes
    ----------
    samples : Samples
    attention : ndarray, shape (N, 2, 2)
        Sample, query token, key token; each row sums to 1.
    """

    samples: Samples
    attention: NDArray


def attended(run: Trajectory) -> dict[str, Attended]:
    """Return attention at the last step of a run on its training samples, "train", and on its test samples, "test".

    Parameters
    ----------
    run : Trajectory
        Of this system, from a setting and a seed.
    """
    about = run.provenance
    setting, seed = Setting.from_dict(about["setting"]), int(about["seed"])
    whole = dense(setting, seed)
    weights: dict[str, Any] = {
        "dense": lambda: _weights(whole, run.final), "restricted": lambda: whole.lift(whole.restrict(), run.final),
        "lumped": lambda: whole.lift(whole.lump(from_description(about["optimizer"])), run.final),
    }[about["engine"]]()
    found = {}
    for name, samples in zip(("train", "test"), draw_samples(setting, seed), strict=True):
        system = from_tokens(samples.X, samples.y, **weights)
        views = system.layout.views(system.start.copy())
        found[name] = Attended(samples, system.observables["attention"].read(views, system.forward(views)))
    return found


def _weights(system: Any, params: NDArray) -> dict[str, NDArray]:
    views = system.layout.views(np.ascontiguousarray(params))
    return {"W_Q": views.W_QK[0].T, "W_K": views.W_QK[1].T, "W_V_pos": views.W_V[0], "W_V_neg": views.W_V[1]}


def trained_run(table: Table, optimizer: str, snr: float, seed: int) -> Trajectory:
    """Run one cell of a sweep over SNR and rule again, up to the step at which its training loss is small enough.

    Parameters
    ----------
    table : Table
    optimizer : str
        As in the table.
    snr : float
    seed : int

    Raises
    ------
    Inconclusive
        If that run failed or did not come that far.
    """
    step = table.where(optimizer=optimizer, snr=snr, seed=seed)[column("steps", TRAINED)]
    if len(step) != 1 or not np.isfinite(step[0]):
        raise Inconclusive(f"the run of {optimizer} at SNR {snr:g}, seed {seed}, did not reach training loss {TRAINED:g}")
    experiment = table.experiment.vary({"optimizer": optimizer, "snr": snr}).replace(seed=seed, steps=int(step[0]))
    run = simulate(experiment.build(), experiment.optimizer, steps=experiment.steps, record=("train_loss",), at=[])
    return experiment.signed(run)
