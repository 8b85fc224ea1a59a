"""What a sweep reads off a run: the end of Phase 1, displacements there and late, and how both compare with the parameter-free flow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...claims import Inconclusive
from ...measures import Column, Measure, Watched
from ...simulate import State
from ...trajectory import Trajectory
from .data import Setting
from .predictions import MARGIN, SIGNALS, expected_rho
from .reading import Reading, reading

__all__ = ["LATE", "MEASURES", "SWEEP_MEASURES", "SWEEP_SEEDS", "horizon"]

LATE = 3e3
"""Clock tau at which late quantities of a sweep are read."""
SWEEP_SEEDS = 3
"""Seeds a point when nothing is asked for: what the median of an exponent needs at least."""

AT_T1 = {
    "dS_T1": "largest_score_change", "dGamma_T1": "largest_value_change", "dKK_T1": "largest_key_change", "dQQ_T1": "largest_query_change",
    "dW_T1": "neuron_products_change", "dp_T1": "softmax_change",
}
"""Columns of the displacements at T1, and the quantities they are read from."""

COLUMNS: Mapping[str, Column] = {
    "rho_0": Column("squared norm of the head at the start"),
    "T1": Column(f"end of Phase 1: time (or step) from which on all margins are >= {MARGIN}; NaN: past the horizon"),
    "tau_T1": Column("the same on the clock tau"),
    "loss_T1": Column("training loss there"),
    **{name: Column(f"{quantity} at T1") for name, quantity in AT_T1.items()},
    "C_signal": Column(f"mean displacement |C| of the four scores of Theorem 3.3 at tau = {LATE:g}"),
    "C_share": Column("mean of these displacements over their predictions 2 U Phi, with the run's own rho_0 in U"),
    "C_signs": Column("how many of the four have the claimed sign"),
    "C_random": Column(f"largest displacement of a score with a random token at tau = {LATE:g}"),
    "dp_late": Column(f"softmax_change at tau = {LATE:g}"),
    "dGamma_late": Column(f"largest_value_change at tau = {LATE:g}"),
    "F_0": Column("largest |F| at the start"),
    "imbalance": Column("largest |s2 - s3| / min(s2, s3) of Phase 2, up to the horizon"),
    "random_share": Column(f"share of |z|^2 on random tokens at tau = {LATE:g}"),
    "rho_growth": Column(f"rho / rho_0 - 1 at tau = {LATE:g}"),
    "ratio_late": Column(f"-G3' / max(G1', G2') at tau = {LATE:g}"),
    "loss_late": Column(f"training loss at tau = {LATE:g}"),
}


@dataclass(frozen=True)
class Phases:
    """Both phases in numbers, read off the run's record."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """See `COLUMNS`."""
        return COLUMNS

    @property
    def record(self) -> tuple[str, ...]:
        """The quantities that are read."""
        return (
            "train_loss", "tau", "rho", "min_margin", "kind_pull", "G_rate", "score_change", "random_share", "random_score_change",
            *AT_T1.values(),
        )

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        return _PhasesWatch()


class _PhasesWatch:
    settled = False

    def see(self, state: State) -> None:
        """Do nothing: the record of the run is read at its end."""

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        r = reading(run)
        found = dict.fromkeys(COLUMNS, np.nan)
        for part in (_at_the_end_of_phase_one, _late):
            with suppress(Inconclusive):  # past the horizon: NaN says so
                found.update(part(r))
        found["rho_0"], found["F_0"] = float(r["rho"][0]), r.constant("F_0")
        return {name: np.asarray(value) for name, value in found.items()}


def _at_the_end_of_phase_one(r: Reading) -> dict[str, float]:
    s = r["kind_pull"][r.phase_two]
    return {
        "imbalance": float((np.abs(s[:, 1] - s[:, 2]) / s[:, 1:3].min(axis=1)).max()),
        "T1": r.T1, "tau_T1": r.tau_T1, "loss_T1": float(r.at_T1("train_loss")),
        **{name: float(r.at_T1(quantity)) for name, quantity in AT_T1.items()},
    }


def _late(r: Reading) -> dict[str, float]:
    C = r.at_tau("score_change", LATE)
    signals, claimed = np.array([C[pair] for pair in SIGNALS]), np.array(list(SIGNALS.values()))
    found = {
        "C_signal": float(np.abs(signals).mean()), "C_signs": float((np.sign(signals) == claimed).sum()),
        "C_random": float(r.at_tau("random_score_change", LATE)), "dp_late": float(r.at_tau("softmax_change", LATE)),
        "dGamma_late": float(r.at_tau("largest_value_change", LATE)), "rho_growth": float(r.at_tau("rho", LATE) / r["rho"][0] - 1.0),
        "loss_late": float(r.at_tau("train_loss", LATE)), "random_share": float(r.at_tau("random_share", LATE)),
    }
    rate = r.at_tau("G_rate", LATE)
    found["ratio_late"] = float(-rate[2] / rate[:2].max())
    with suppress(Inconclusive, ValueError):  # no parameter-free flow for these data, or no unit for this law of weights
        Phi = r.theory_at("Phi", LATE)
        found["C_share"] = float(np.mean([C[pair] / (2.0 * r.unit * Phi[pair]) for pair in SIGNALS]))
    return found


MEASURES: Mapping[str, tuple[Measure, ...]] = {"phases": (Phases(),)}
"""Measures by name."""

SWEEP_MEASURES = tuple(MEASURES)
"""Measures when nothing is asked for."""


def horizon(setting: Setting, optimizer: Any) -> float | None:
    """Return the time of a flow at which the clock tau is a little past `LATE`; None for rules with steps and other laws of weights.

    The clock runs at rho, which scatters by sqrt(2/m) about its expectation and grows: a fifth is added, more where m is small.

    Parameters
    ----------
    setting : Setting
        The law of data and initial weights.
    optimizer : Optimizer
        The rule of the run.
    """
    if optimizer.kind != "flow" or setting.init != "normal":
        return None
    return LATE / expected_rho(setting) * (1.2 + 6.0 / float(np.sqrt(setting.m)))
