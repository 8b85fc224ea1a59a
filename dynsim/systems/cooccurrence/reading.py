"""What the theory reads off a recorded run: its clock, the two phases, ratios, and the parameter-free flow beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ...claims import Inconclusive
from ...trajectory import Trajectory
from .data import Setting
from .predictions import MARGIN, Predictions, crossing, predict, unit
from .universal import universal

__all__ = ["ORDER", "SAND", "Reading", "left", "reading", "right"]

ORDER = ("s4 <= min(s2, s3)", "max(s2, s3) <= s1", "s1 <= s2 + s3 + s4", "1/2 <= s2/s3 <= 2", f"all margins >= {MARGIN}")
"""The conditions of Definition F.1 that are inequalities without hidden constants; Phase 2 lasts until one of them fails."""

SAND = 0.1
"""C of Lemmas 4.3 and 4.5: (1 + C) max(G1', G2') <= -G3' <= (1 - C)(G1' + G2'). The paper names no number; chosen here."""


FARTHEST = 1e12
"""Clock up to which the parameter-free flow is followed beside a run."""


def left(rate: NDArray) -> NDArray:
    """Return -G3' against the faster target, with its sign, (T,): >= 1 + C is the left inequality of Lemmas 4.3 and 4.5."""
    return -rate[:, 2] / np.abs(rate[:, :2]).max(axis=1)


def right(rate: NDArray) -> NDArray:
    """Return -G3' against G1' + G2', (T,), above 1 where these fall: <= 1 - C is the right inequality."""
    both = rate[:, :2].sum(axis=1)
    return 1.0 + (-rate[:, 2] - both) / np.abs(both)


class Reading:
    """Quantities that claims, phase table and figures share, computed once a run.

    Parameters
    ----------
    run : Trajectory
        A single run of this system.

    Notes
    -----
    A property raises `Inconclusive` when what it reads was not recorded, or lies past the horizon.
    """

    def __init__(self, run: Trajectory) -> None:
        self.run = run

    def __getitem__(self, name: str) -> NDArray:
        """Return a quantity recorded at every recorded time."""
        if name not in self.run:
            raise Inconclusive(f"{name} not recorded: add it to record=")
        if name in self.run.sparser:
            raise Inconclusive(f"{name} was recorded at fewer times than the rest: record it at every recorded one")
        return self.run[name]

    def seldom(self, name: str) -> tuple[NDArray, NDArray]:
        """Return the clock tau and the values of a quantity that may be recorded at fewer times than the rest."""
        if name not in self.run:
            raise Inconclusive(f"{name} not recorded: add it to record=")
        rows = np.searchsorted(self.at, self.run.steps(name))
        return self.tau[rows], self.run[name]

    def constant(self, name: str) -> float:
        """Return a number that the system noted at its start."""
        return float(self.array(name))

    def array(self, name: str) -> NDArray:
        """Return an array that the system noted at its start."""
        if name not in self.run.constants:
            raise Inconclusive(f"the run lacks the constant {name}")
        return self.run.constants[name]

    # -- what it is a run of ---------------------------------------------------------------------------------------------

    @property
    def at(self) -> NDArray:
        """Recorded times of a flow, or steps, shape (T,)."""
        return self.run.at

    @cached_property
    def lr(self) -> float:
        """Time that passes in a step: the rate of gradient descent without momentum, 1 for a flow."""
        rule = self.run.provenance.get("optimizer", {})
        if rule.get("rule") == "flow":
            return 1.0
        if rule.get("rule") != "gd" or rule.get("momentum") or not isinstance(rule.get("lr"), (int, float)):
            raise Inconclusive("the theory is about gradient flow, or gradient descent at a constant rate as its approximation")
        return float(rule["lr"])

    @cached_property
    def is_flow(self) -> bool:
        """Gradient flow itself."""
        return self.run.provenance.get("optimizer", {}).get("rule") == "flow"

    @cached_property
    def setting(self) -> Setting:
        """The law that data and weights were drawn from."""
        found = self.run.provenance.get("setting")
        if found is None:
            raise Inconclusive("the data were given as bags, not drawn from a setting")
        return Setting.from_dict(found)

    @cached_property
    def from_start(self) -> bool:
        """True if the start of the flow is in the record."""
        return bool(self.at[0] == 0)

    @property
    def unit_of_time(self) -> str:
        """What `at` counts."""
        return "" if self.is_flow else "steps"

    @cached_property
    def tau(self) -> NDArray:
        """Clock: the integral of rho over time since the start, shape (T,). With steps, by the trapezoidal rule over recorded ones."""
        if self.is_flow:
            return self["tau"]
        if not self.from_start:
            raise Inconclusive("the run goes on from another one: its clock tau is not known")
        rho = self["rho"]
        pieces = 0.5 * (rho[1:] + rho[:-1]) * np.diff(self.at) * self.lr
        return np.concatenate([[0.0], np.cumsum(pieces)])

    # -- phases ----------------------------------------------------------------------------------------------------------

    @cached_property
    def tau_T1(self) -> float:
        """Clock at the end of Phase 1, from which on every margin is at least `MARGIN`."""
        return self._end_of_phase_one(self.tau)

    @cached_property
    def T1(self) -> float:
        """The same in time, or steps."""
        return self._end_of_phase_one(self.at.astype(float))

    def _end_of_phase_one(self, clock: NDArray) -> float:
        found = crossing(clock, self["min_margin"], MARGIN)
        if np.isnan(found):
            raise Inconclusive(f"the smallest margin ends at {self['min_margin'][-1]:.3g}, below {MARGIN}: Phase 1 lasts past the horizon")
        return found

    @cached_property
    def phase_one(self) -> NDArray:
        """Recorded times up to T1, bool (T,)."""
        return self.at <= self.T1

    @cached_property
    def phase_two(self) -> NDArray:
        """Recorded times from T1 on, bool (T,): Phase 2 up to the horizon."""
        rows = self.at >= self.T1
        if rows.sum() < 3:
            raise Inconclusive("fewer than three recorded times after T1")
        return rows

    @cached_property
    def order(self) -> dict[str, NDArray]:
        """Whether each of `ORDER` holds at each recorded time, bool (T,)."""
        s1, s2, s3, s4 = self["kind_pull"].T
        low, high = np.minimum(s2, s3), np.maximum(s2, s3)
        return dict(zip(ORDER, (s4 <= low, high <= s1, s1 <= s2 + s3 + s4, (s2 <= 2 * s3) & (s3 <= 2 * s2), self["min_margin"] >= MARGIN),
                        strict=True))

    @cached_property
    def T2(self) -> tuple[float, str]:
        """First recorded time after T1 at which one of `ORDER` fails, and which; infinite and "" if none does."""
        rows = np.flatnonzero(self.phase_two)
        for row in rows:
            failed = [name for name, holds in self.order.items() if not holds[row]]
            if failed:
                return float(self.at[row]), failed[0]
        return float("inf"), ""

    @cached_property
    def ratio(self) -> NDArray:
        """-G3' / max(G1', G2'), see `left`, shape (T,)."""
        return left(self["G_rate"])

    @cached_property
    def sum_ratio(self) -> NDArray:
        """-G3' / (G1' + G2'), see `right`, shape (T,)."""
        return right(self["G_rate"])

    @cached_property
    def tau_T05(self) -> float:
        """Clock from which on, up to T1, the sandwich of Lemma 4.3 holds with C = `SAND`."""
        rows = self.phase_one
        inside = np.minimum(self.ratio - (1.0 + SAND), (1.0 - SAND) - self.sum_ratio)[rows]
        found = crossing(self.tau[rows], inside, 0.0)
        if np.isnan(found):
            raise Inconclusive(f"the sandwich of Lemma 4.3 with C = {SAND} does not hold at T1")
        return found

    # -- values between recorded times -------------------------------------------------------------------------------------

    def at_tau(self, name: str, tau: float) -> NDArray:
        """Return a quantity at a clock, by monotone cubic interpolation in log tau (of its logarithm where it is positive)."""
        clock, values = self.seldom(name)
        return _between(clock, values, tau)

    def at_T1(self, name: str) -> NDArray:
        """Return a quantity at the end of Phase 1."""
        return self.at_tau(name, self.tau_T1)

    # -- theory ----------------------------------------------------------------------------------------------------------

    @cached_property
    def theory(self) -> Trajectory:
        """The parameter-free flow at this n and L, at least to the end of the run's clock."""
        if not self.array("all_different"):
            raise Inconclusive("some random token occurs twice: the parameter-free flow is for random tokens that occur once each")
        last = max(float(self.tau[-1]), 100.0)
        if not last <= FARTHEST:
            raise Inconclusive(f"the clock reaches {last:.3g}: the parameter-free flow is followed to {FARTHEST:g}")
        return universal(self.constant("n"), int(self.constant("L")), float(10.0 ** np.ceil(np.log10(last) + 1e-9)))

    @property
    def theory_tau_T1(self) -> float:
        """Clock at which the parameter-free flow ends Phase 1."""
        return crossing(self.theory.at, self.theory["min_margin"], MARGIN)

    def theory_at(self, name: str, tau: Any) -> NDArray:
        """Return a quantity of the parameter-free flow at a clock, or at several."""
        values = self.theory[name]
        flat = values.reshape(len(values), -1)
        found = PchipInterpolator(self.theory.at, flat, axis=0)(np.asarray(tau, dtype=float))
        return found.reshape((*np.shape(tau), *values.shape[1:]))

    @cached_property
    def predicted(self) -> Predictions:
        """Numbers of the theory for the setting."""
        return predict(self.setting)

    @cached_property
    def unit(self) -> float:
        """U with the squared norm of the head at this run's own start in place of its expectation."""
        return unit(self.setting) * self.predicted.rho_0 / self.constant("rho_0")


def _between(clock: NDArray, values: NDArray, tau: float) -> NDArray:
    if not clock[0] <= tau <= clock[-1]:
        raise Inconclusive(f"tau = {tau:g} lies outside the recorded [{clock[0]:g}, {clock[-1]:g}]")
    later = clock > 0
    if tau <= 0 or later.sum() < 2 or tau < clock[later][0]:
        return np.apply_along_axis(lambda y: np.interp(tau, clock, y), 0, values)
    if (values[later] > 0).all():  # displacements grow as powers of tau
        return np.exp(PchipInterpolator(np.log(clock[later]), np.log(values[later]), axis=0)(np.log(tau)))
    return PchipInterpolator(np.log(clock[later]), values[later], axis=0)(np.log(tau))


def reading(evidence: Any) -> Reading:
    """Return the reading of a run, or of the evidence entry "run"."""
    run = evidence["run"] if isinstance(evidence, Mapping) else evidence
    if run.final.ndim > 1 or run.provenance.get("engine") == "universal":
        raise Inconclusive("claims and phases are about a single run of the model")
    return Reading(run)
