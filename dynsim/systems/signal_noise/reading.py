"""What the theory reads off a recorded run: its constants, clock, stages and turns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...claims import Inconclusive
from ...trajectory import Trajectory
from . import conditions
from .conditions import SETTLED
from .predictions import SMALL, Condition, attention_time, key_turn, regime, stage_one_end, value_lines

__all__ = ["Reading"]


class Reading:
    """Quantities that claims, stage tables and figures share, computed once a run.

    Parameters
    ----------
    run : Trajectory
        A single run (no replicates) of this system.

    Notes
    -----
    A property raises `Inconclusive` when what it reads was not recorded.
    """

    def __init__(self, run: Trajectory) -> None:
        self.run = run

    def __getitem__(self, name: str) -> NDArray:
        """Return a recorded quantity."""
        if name not in self.run:
            raise Inconclusive(f"{name} not recorded: add it to record=")
        if name in self.run.sparser:
            raise Inconclusive(f"{name} was recorded at fewer steps than the rest: record it at every recorded step")
        return self.run[name]

    def constant(self, name: str) -> NDArray:
        """Return a constant of the run."""
        if name not in self.run.constants:
            raise Inconclusive(f"the run lacks the constant {name}")
        return self.run.constants[name]

    @property
    def _rule(self) -> Mapping[str, Any]:
        rule = self.run.provenance.get("optimizer")
        return rule if isinstance(rule, Mapping) else {}

    def initial(self, name: str) -> NDArray:
        """Return a quantity at step 0; Inconclusive if the run goes on from another one and the start is not in it."""
        if self.at[0] != 0:
            raise Inconclusive(f"the run is recorded from step {self.at[0]} on: statements about its start cannot be decided")
        return self[name][0]

    # -- constants ----------------------------------------------------------------------------------------------

    @property
    def at(self) -> NDArray:
        """Recorded steps, shape (T,)."""
        return self.run.at

    @cached_property
    def elapsed(self) -> NDArray:
        """Steps since the first recorded one, shape (T,)."""
        return self.at - self.at[0]

    @cached_property
    def is_signgd(self) -> bool:
        """SignGD without momentum at one constant rate."""
        rule = self._rule
        return rule.get("rule") == "signgd" and not rule.get("momentum") and isinstance(rule.get("lr"), (int, float))

    @cached_property
    def lr(self) -> float:
        """Learning rate eta."""
        lr = self._rule.get("lr")
        if not isinstance(lr, (int, float)):
            raise Inconclusive("the run does not have one constant learning rate")
        return float(lr)

    @cached_property
    def a(self) -> NDArray:
        """l1 norms a_i = |xi_i|_1, shape (n,)."""
        return self.constant("noise_l1")

    @cached_property
    def mu(self) -> float:
        """l1 norm of the signal; its norm where it lies along one coordinate, as in the paper."""
        return float(self.constant("mu_l1"))

    @cached_property
    def m_k(self) -> int:
        """Rows of W_Q."""
        return int(self.constant("m_k"))

    @cached_property
    def n(self) -> int:
        """Training samples."""
        return len(self.a)

    @cached_property
    def disjoint(self) -> bool:
        """No coordinate belongs to two tokens."""
        return int(self.constant("shared")) == 0

    @cached_property
    def signal_apart(self) -> bool:
        """No noise token meets the signal's coordinates."""
        return bool(self.constant("mu_l1") == self.constant("mu_private_l1"))

    @cached_property
    def initial_noise(self) -> float:
        """Root mean square of the initial key and query noise."""
        return float(conditions.initial_size(self.initial("query_noise"), self.initial("key_noise")))

    # -- clock --------------------------------------------------------------------------------------------------

    @cached_property
    def T_key(self) -> float:
        """Median over samples of the predicted key turn."""
        return float(np.median(key_turn(self.a, self.mu, self.m_k, self.lr)))

    @cached_property
    def T_attn(self) -> float:
        """Predicted step at which the mean of s_11 falls below 0.1, with the mean of a_i."""
        return attention_time(float(self.a.mean()), self.mu, self.m_k, self.n, self.lr)

    @cached_property
    def kappa(self) -> float:
        """Initial noise counted in steps."""
        return self.initial_noise / (self.lr * float(self.a.mean()))

    @cached_property
    def regime(self) -> dict[str, Condition]:
        """Regime of validity, from the run's own numbers."""
        sigma_0 = self.initial_noise / float(np.sqrt((self.constant("noise_l2") ** 2).mean()))
        return regime(self.kappa, self.T_key, self.T_attn, sigma_0, self.lr)

    @cached_property
    def flips(self) -> NDArray:
        """Predicted step at which a pair of opposite initial signs comes to agree, shape (m_k, n); 0 for the others.

        For x = th + q and y = ka - k, equation (24), |x| - |y| is conserved, equation (25); the smaller of the two crosses zero after
        min(|x|, |y|) / (lr a_i) steps, and the steps tau_i until B_i > A, in which both grow, count twice: equation (26).
        """
        x = self.initial("query_noise") + self.initial("query_signal")[:, None]
        y = self.initial("key_noise") - self.initial("key_signal")[:, None]
        gap = self.initial("mean_value_signal") - self.initial("mean_value_noise")
        with np.errstate(divide="ignore", invalid="ignore"):
            tau = np.where(gap > 0, gap / (2.0 * self.lr * (self.a - self.mu)), 0.0)
        opposite = np.sign(x) != np.sign(y)
        return np.where(opposite, np.minimum(np.abs(x), np.abs(y)) / (self.lr * self.a) + 2.0 * np.maximum(tau, 0.0), 0.0)

    # -- events -------------------------------------------------------------------------------------------------

    def first(self, condition: NDArray, since: int | None = 0) -> int | None:
        """Return the first recorded step >= since at which `condition` (T,) is true, or None."""
        if since is None:
            return None
        found = np.flatnonzero(condition & (self.at >= since))
        return int(self.at[found[0]]) if len(found) else None

    def row(self, step: float) -> int:
        """Return the index of the recorded step nearest to `step`; Inconclusive if it lies past the horizon or too far from all."""
        if not np.isfinite(step) or step > self.at[-1]:
            raise Inconclusive(f"step {step:.0f} lies past the horizon of {self.at[-1]} steps")
        row = int(np.argmin(np.abs(self.at - step)))
        if abs(self.at[row] - step) > max(1.0, 0.02 * step):
            raise Inconclusive(f"step {step:.0f} was not recorded, nor one near it: record more often")
        return row

    def resolved(self, step: float, within: float) -> float:
        """Return `step`, an event seen at a recorded step; Inconclusive if the record is too coarse to place it `within` this fraction."""
        row = int(np.searchsorted(self.at, step))
        gap = int(self.at[row] - self.at[row - 1]) if 0 < row < len(self.at) else 0
        if gap > max(1.0, within * step):
            raise Inconclusive(f"step {step:.0f} is known only to {gap} steps: record more often")
        return step

    @cached_property
    def value_lines(self) -> tuple[NDArray, NDArray]:
        """Predicted straight lines of mean value signal (T,) and noise (T, n), equation (18), from the first recorded step."""
        A, B = self["mean_value_signal"], self["mean_value_noise"]
        return value_lines(float(A[0]), B[0], self.a, self.mu, self.lr, self.elapsed)

    @cached_property
    def stage_one_predicted(self) -> float:
        """Exact end of Stage I on disjoint supports, from the initial values, equation (23)."""
        return stage_one_end(float(self.initial("mean_value_signal")), self.initial("mean_value_noise"), self.a, self.mu, self.lr)

    @cached_property
    def T_one(self) -> int | None:
        """Stage I ends: mean value noise of every sample exceeds mean value signal."""
        self.initial("mean_value_noise")
        return self.first(conditions.value_ahead(self["mean_value_signal"], self["mean_value_noise"]))

    @cached_property
    def aligned(self) -> NDArray:
        """Fraction of pairs (row, sample) whose query and key noise agree in sign, shape (T,); two zeros do not."""
        return conditions.aligned(self["query_noise"], self["key_noise"])

    @cached_property
    def T_two(self) -> int | None:
        """Stage II ends: query and key noise agree in sign in every pair."""
        return self.first(self.aligned == 1.0, self.T_one)

    @cached_property
    def log_c1(self) -> tuple[NDArray, NDArray]:
        """Sign and logarithm of c1_i, equation (8), from recorded quantities, each (T, n); the logarithm of 0 is -1e300."""
        names = ("mean_value_signal", "mean_value_noise", "softmax_11", "softmax_21", "query_signal", "key_signal", "key_noise")
        scale = float(self.run.provenance.get("logit_scale", 1.0))
        return conditions.log_c1(*(self[name] for name in names), logit_scale=scale)

    @cached_property
    def vote(self) -> NDArray:
        """Weighted vote of the key noise, sgn sum_i c1_i (ka_ri - k_r), shape (T, m_k)."""
        return conditions.vote(*self.log_c1, self["key_signal"], self["key_noise"])

    @cached_property
    def settled(self) -> NDArray:
        """Fraction of rows whose query signal has the sign of the vote and key signal the opposite, shape (T,)."""
        return conditions.settled(self["query_signal"], self["key_signal"], self.vote)

    @cached_property
    def T_three(self) -> int | None:
        """Stage III ends: in nine rows of ten the query signal follows the vote and the key signal opposes it."""
        return self.first(self.settled >= SETTLED, self.T_two)

    def agree(self, name: str) -> NDArray:
        """Fraction of pairs whose noise (`key_noise` or `query_noise`) has the sign of its row's query signal, shape (T,)."""
        return conditions.agree(self[name], self["query_signal"])

    @cached_property
    def T_four(self) -> int | None:
        """Stage IV ends: all noise agrees with its row's query signal and both softmax outputs are small on average."""
        small = (self["softmax_11"].mean(1) < SMALL) & (self["softmax_21"].mean(1) < SMALL)
        return self.first((self.agree("key_noise") == 1) & (self.agree("query_noise") == 1) & small, self.T_three)

    @cached_property
    def T_small(self) -> int | None:
        """First recorded step with mean s_11 < 0.1."""
        return self.first(self["softmax_11"].mean(1) < SMALL)

    @cached_property
    def classify_at(self) -> int:
        """Step t_c at which noise signs are classified: the experiment's, else 0.7 T_key."""
        chosen = dict(self.run.provenance.get("options", {})).get("classify_at")
        return int(chosen) if chosen is not None else int(round(0.7 * self.T_key)) if np.isfinite(self.T_key) else 0

    @cached_property
    def against(self) -> NDArray:
        """Pairs whose key noise at t_c opposes their row's query signal, bool (m_k, n)."""
        t = self.row(self.classify_at)
        return np.sign(self["key_noise"][t]) == -np.sign(self["query_signal"][t])[:, None]

    def turns(self, name: str) -> NDArray:
        """Turn of every pair against its row's query signal: the step at which sgn(x(t_c)) x(t) is largest.

        Turns before Stage III are dropped. Shape (number of such turns,).
        """
        x = self[name]
        sign = np.sign(x[self.row(self.classify_at)])
        turn = self.at[np.argmax(x * sign, axis=0)][self.against]
        kept = turn[turn >= (self.T_two if self.T_two is not None else 0)]
        if not len(kept):
            raise Inconclusive("no pair opposes its row's query signal: nothing to turn")
        return kept

    def turn(self, name: str) -> float:
        """Median turn; Inconclusive if it lies past the horizon."""
        turn = float(np.median(self.turns(name)))
        if turn >= self.at[-1]:
            raise Inconclusive(f"half of the pairs have not turned within the horizon of {self.at[-1]} steps")
        return self.resolved(turn, 0.03)

    def step_where(self, name: str) -> NDArray:
        """Rows t of `name` that are followed by the very next step, for statements about single steps."""
        rows = np.flatnonzero(np.diff(self.at) == 1)
        if not len(rows):
            raise Inconclusive(f"{name} was not recorded at two consecutive steps: record with every=1")
        return rows


def reading(evidence: Any) -> Reading:
    """Return the reading of an evidence's run, or of a run; computed once for each run."""
    run = evidence if isinstance(evidence, Trajectory) else evidence["run"]
    if "_reading" not in run.__dict__:
        run.__dict__["_reading"] = Reading(run)  # a cache on the frozen value: the same run always reads the same
    return run.__dict__["_reading"]
