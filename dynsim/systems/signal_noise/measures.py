"""What a sweep can read off a run of this system while it goes on; times are in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...measures import At, Column, First, Measure, Watched
from ...simulate import State
from ...trajectory import Trajectory
from . import conditions
from .conditions import SETTLED
from .crossing import Crossing, classified_at
from .data import Setting
from .predictions import EPS, LEVELS, SMALL, attention_time, key_turn, loss_bounds, predict

__all__ = ["MEASURES", "SWEEP_MEASURES", "Clock", "Sandwich", "Stages", "Turns", "horizon"]


def horizon(setting: Setting, optimizer: Any) -> int | None:
    """Return a number of steps by which all that the theory speaks of is over, None for rules that it does not speak of.

    The largest of 8.5 T_key, 1.5 T_attn and 1.25 times the upper bound of T, with their closed forms.

    Parameters
    ----------
    setting : Setting
        The law of data and weights.
    optimizer : Optimizer
        A rule; the theory speaks of sign rules without momentum, at one constant rate.
    """
    lr = optimizer.lr
    if optimizer.kind != "sign" or getattr(optimizer, "momentum", 0.0) or not isinstance(lr, (int, float)):
        return None
    theory = predict(setting, lr=lr)
    times = np.array([8.5 * theory.T_key, 1.5 * theory.T_attn, 1.25 * theory.T_loss_high])
    return int(np.ceil(times.max())) + 10 if np.isfinite(times).all() else None


@dataclass(frozen=True)
class Clock:
    """The clock of a run from its own constants: T_key, T_attn, kappa, and how much of the start is left at T_attn."""

    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {
        "T_key": Column("predicted key turn, median over samples"),
        "T_attn": Column(f"predicted first step with mean softmax_11 < {SMALL}"),
        "kappa": Column("initial noise counted in steps"),
        "residue": Column("sigma_0 / (lr T_attn): how much of the initial weights is left at T_attn"),
    }

    def watch(self, watched: Watched) -> _ClockWatch:
        """Return the live counterpart."""
        return _ClockWatch(watched)


class _ClockWatch:
    settled = False

    def __init__(self, watched: Watched) -> None:
        self.system, self.lr, self.lead = watched.system, watched.experiment.optimizer.lr, watched.lead
        self.found: dict[str, NDArray] = {}

    def see(self, state: State) -> None:
        if self.settled:
            return
        self.settled = True
        c = state.cache
        a, l2, mu = (np.asarray(self.system.constants[name]) for name in ("noise_l1", "noise_l2", "mu_l1"))
        n, m_k = a.shape[-1], int(self.system.constants["m_k"])
        a, l2, mu = a.reshape(-1, n), l2.reshape(-1, n), mu.reshape(-1)
        noise = conditions.initial_size(_pairs(c.th), _pairs(c.ka)).reshape(-1)
        T_attn = np.array([attention_time(float(mean), float(m), m_k, n, self.lr) for mean, m in zip(a.mean(-1), mu, strict=True)])
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {
                "T_key": np.median(key_turn(a, mu[:, None], m_k, self.lr), axis=-1), "T_attn": T_attn,
                "kappa": noise / (self.lr * a.mean(-1)), "residue": noise / np.sqrt((l2**2).mean(-1)) / (self.lr * T_attn),
            }
        self.found = {name: x.reshape(self.lead) for name, x in found.items()}

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        return self.found


def _pairs(noise: NDArray) -> NDArray:
    """View noise stored as (..., sample, row) as (..., row, sample)."""
    return np.swapaxes(noise, -1, -2)


@dataclass(frozen=True)
class Stages:
    """The last steps of Stages I to IV, as `stage_table` defines them on a run recorded at every step, plus one."""

    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {
        "t_one": Column("Stage I ends: first step with B_i > A in every sample"),
        "t_two": Column("Stage II ends: first step since then with query and key noise of one sign in every pair"),
        "t_three": Column("Stage III ends: first step since then with nine rows of ten settled"),
        "t_four": Column("Stage IV ends: first step since then with all noise agreeing and both mean softmax outputs small"),
    }

    def watch(self, watched: Watched) -> StagesWatch:
        """Return the live counterpart."""
        return StagesWatch(watched.lead)


class StagesWatch:
    """Live counterpart of `Stages`."""

    def __init__(self, lead: tuple[int, ...]) -> None:
        self.ends = np.full((4, *lead), np.nan)
        self.stage = np.zeros(lead, dtype=int)

    @property
    def settled(self) -> NDArray:
        """All four stages are over."""
        return self.stage == 4

    def see(self, state: State) -> None:
        """Note the stages that are over at this state, one after the other."""
        for number, over in enumerate((_one, _two, _three, _four)):
            here = self.stage == number
            if here.any() and (new := here & over(state.cache)).any():
                self.ends[number, ...][new] = state.step
                self.stage = self.stage + new

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        """Return the four ends."""
        return dict(zip(Stages.columns, self.ends, strict=True))


def _one(c: Any) -> NDArray:
    return conditions.value_ahead(c.A[..., 0], c.B)


def _two(c: Any) -> NDArray:
    return conditions.aligned(c.th, c.ka) == 1.0


def _three(c: Any) -> NDArray:
    ka = _pairs(c.ka)
    softmax = c.s.p[..., 0, :], c.s.p[..., 1, :]
    sign, log_c1 = conditions.log_c1(c.A[..., 0], c.B, *softmax, c.q, c.k, ka, logit_scale=c.system.logit_scale)
    return conditions.settled(c.q, c.k, conditions.vote(sign, log_c1, c.k, ka)) >= SETTLED


def _four(c: Any) -> NDArray:
    small = (c.s.p.mean(-1) < SMALL).all(-1)
    return small & (conditions.agree(_pairs(c.ka), c.q) == 1.0) & (conditions.agree(_pairs(c.th), c.q) == 1.0)


@dataclass(frozen=True)
class Turns:
    """When key and query noise against their row's query signal turn: medians over pairs, and over the pairs of each sample.

    The turn of a pair is the step at which sgn(x(t_c)) x(t) is largest, over the whole run; pairs are classified at
    t_c, the experiment's `classify_at` or 0.7 T_key; turns before the end of Stage II are dropped. NaN where no pair is left
    or half of them have not turned within the horizon.
    """

    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {
        "key_turn": Column("turn of key noise against its row, median over pairs"),
        "query_turn": Column("turn of query noise against its row, median over pairs"),
        "key_turns": Column("turn of key noise against its row, median over the pairs of each sample", "numbers"),
        "query_turns": Column("turn of query noise against its row, median over the pairs of each sample", "numbers"),
    }

    def watch(self, watched: Watched) -> _TurnsWatch:
        """Return the live counterpart."""
        return _TurnsWatch(watched)


class _Peak:
    """Running maximum of sgn(x(t_c)) x(t) and its step, for pairs whose sign is known from t_c on only."""

    def __init__(self) -> None:
        self.high: Any = None
        self.low: Any = None
        self.high_at: Any = None
        self.low_at: Any = None
        self.sign: Any = None

    def see(self, x: NDArray, step: int) -> None:
        if self.high is None:
            self.high, self.low = x.copy(), x.copy()
            self.high_at, self.low_at = np.full(x.shape, step), np.full(x.shape, step)
            return
        signed = x if self.low is not None else x * self.sign
        higher = signed > self.high
        np.copyto(self.high, signed, where=higher)
        self.high_at[higher] = step
        if self.low is not None:
            lower = x < self.low
            np.copyto(self.low, x, where=lower)
            self.low_at[lower] = step

    def classify(self, sign: NDArray) -> None:
        """Keep the extremum on the side of the sign; a sign of 0 peaks at the first step, as the maximum of zeros does."""
        self.sign = sign
        self.high = np.where(sign > 0, self.high, np.where(sign < 0, -self.low, 0.0))
        self.high_at = np.where(sign > 0, self.high_at, np.where(sign < 0, self.low_at, 0))
        self.low = self.low_at = None


class _TurnsWatch:
    settled = False

    def __init__(self, watched: Watched) -> None:
        self.classify_at, self.stages, self.steps = classified_at(watched), watched.watch(Stages()), watched.experiment.steps
        self.peaks = {"key": _Peak(), "query": _Peak()}
        self.signs: dict[str, NDArray] = {}

    def see(self, state: State) -> None:
        c = state.cache
        noise = {"key": c.ka, "query": c.th}
        for name, peak in self.peaks.items():
            peak.see(noise[name], state.step)
        if state.step <= self.classify_at.max():
            now = self.classify_at == state.step
            for name, x in (*noise.items(), ("signal", c.q)):
                sign = self.signs.setdefault(name, np.zeros(x.shape))
                sign[now] = np.sign(x[now])
            if state.step == self.classify_at.max():  # from here on one extremum is enough
                for name, peak in self.peaks.items():
                    peak.classify(self.signs[name])

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        lead, n = self.classify_at.shape, self.signs["key"].shape[-2]
        found = {name: np.full(lead if name.endswith("turn") else (*lead, n), np.nan) for name in Turns.columns}
        for name, peak in self.peaks.items():
            if peak.low is not None:  # the run ended before the last replicate was classified
                peak.classify(self.signs[name])
        against = self.signs["key"] == -self.signs["signal"][..., None, :]
        since = np.nan_to_num(np.asarray(self.stages.ends[1]))  # type: ignore[attr-defined]
        for index in np.ndindex(lead):
            if self.classify_at[index] > self.steps:  # and this one never was
                continue
            for name, peak in self.peaks.items():
                at = np.where(against[index] & (peak.high_at[index] >= since[index]), peak.high_at[index].astype(float), np.nan)
                found[f"{name}_turn"][index] = self._median(at.ravel())
                found[f"{name}_turns"][index] = [self._median(row) for row in at]
        return found

    def _median(self, at: NDArray) -> float:
        at = at[np.isfinite(at)]
        turn = float(np.median(at)) if len(at) else np.nan
        return np.nan if turn >= self.steps else turn


@dataclass(frozen=True)
class Sandwich:
    """First step with training loss <= eps, and its two bounds from mean value signal and noise, for several eps."""

    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {
        **{f"t_loss_{eps:g}": Column(f"first step with training loss <= {eps:g}") for eps in LEVELS},
        **{f"t_loss_low_{eps:g}": Column(f"lower bound: first step with mean log(1 + exp(-2 max(A, B_i))) <= {eps:g}") for eps in LEVELS},
        **{f"t_loss_high_{eps:g}": Column(f"upper bound: first step with mean log(1 + exp(-(A + B_i))) <= {eps:g}") for eps in LEVELS},
        "sandwich_violations": Column("levels at which T is below its lower bound, or above its upper bound where that applies"),
    }

    def watch(self, watched: Watched) -> _SandwichWatch:
        """Return the live counterpart."""
        return _SandwichWatch(watched.lead)


class _SandwichWatch:
    def __init__(self, lead: tuple[int, ...]) -> None:
        self.step = np.full((3, len(LEVELS), *lead), np.nan)  # T, lower bound, upper bound
        self.usable = np.zeros((len(LEVELS), *lead), dtype=bool)
        self.level = np.reshape(LEVELS, (-1, *(1,) * len(lead)))

    @property
    def settled(self) -> NDArray:
        return np.isfinite(self.step).all((0, 1))

    def see(self, state: State) -> None:
        c = state.cache
        low, high = loss_bounds(c.A[..., 0].reshape(-1), c.B.reshape(-1, c.B.shape[-1]))
        shape = np.shape(c.loss)
        passed = np.stack([np.asarray(x).reshape(shape) <= self.level for x in (c.loss, low, high)])
        new = passed & np.isnan(self.step)
        if new.any():
            self.step[new] = state.step
            self.usable |= new[2] & ((c.s.p.sum(-2) <= 1.0) & (c.B >= c.A)).all(-1)

    def result(self, run: Trajectory) -> Mapping[str, NDArray]:
        T, low, high = (np.where(np.isnan(x), np.inf, x) for x in self.step)
        below = np.isfinite(T) & (low > T)
        above = self.usable & (high < T)
        numbers = [x for kind in self.step for x in kind]
        return dict(zip(Sandwich.columns, [*numbers, (below | above).sum(0).astype(float)], strict=True))


T_ATTN, T_LOSS = First("softmax_11_mean", "<", SMALL, "t_attn"), First("train_loss", "<=", EPS, "t_loss")

MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "t_attn": (T_ATTN,),
    "t_softmax_21": (First("softmax_21_mean", "<", SMALL, "t_softmax_21"),),
    "t_loss": (T_LOSS,),
    "clock": (Clock(),),
    "stages": (Stages(),),
    "turns": (Turns(),),
    "crossed": (Crossing(),),
    "sandwich": (Sandwich(),),
    "alignment": (
        At("alignment", "0.8*T_key", "alignment@0.8T_key"), At("key_agreement", "4*T_key", "key_agreement@4T_key"),
        At("query_agreement", "6*T_key", "query_agreement@6T_key"),
    ),
    "attention": tuple(At(f"softmax_{kind}_mean", T_ATTN, f"softmax_{kind}@t_attn") for kind in ("11", "21")),
    "test": tuple(At(f"test_{kind}", T_LOSS, f"test_{kind}@t_loss") for kind in ("loss", "error")),
}
"""Measures by name; expressions over scalar observables and ids of claims come besides (see `dynsim.measures.as_measures`)."""

SWEEP_MEASURES = ("t_attn", "t_loss", "clock")
"""What a sweep measures when nothing is asked for."""
