"""What a sweep reads off a run: heterogeneity of the start, steps to a target, theorems and bounds, drift of a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...measures import At, Column, Computed, Measure, Watched
from ...optimizers import GradientDescent, SignGD
from ...settings import check_choice
from ...simulate import simulate
from ...trajectory import Trajectory
from .blocks import cut_blocks
from .head.rule import ProjectedSign
from .head.setting import Head
from .head.theory import drift_norm, measured_drift, momentum_drift
from .heterogeneity import measure
from .quadratic.model import repeated
from .quadratic.setting import Logistic, Quadratic
from .quadratic.targets import horizons, steps_to_target
from .quadratic.theorems import theorem_run
from .quadratic.theory import law, sampled_law, sgd_bound, sign_bound, sign_rate
from .settings import streams
from .transformer.build import HEAD
from .transformer.setting import Transformer

__all__ = ["LAWS", "MEASURES", "SWEEP_MEASURES", "Drift", "FineTuning", "LogNormal", "Noise", "OfBlocks", "Projected", "Target", "Theorems"]

NAN = float("nan")


# -- heterogeneity ---------------------------------------------------------------------------------------------------------

SPREAD = {
    "gini": Column("Gini coefficient of ghat over blocks"),
    "max_over_min": Column("largest over smallest ghat"),
}
CURVED = {
    "correlation": Column("Pearson correlation of (log ghat, log h) over blocks"),
    "Lambda_G": Column("block norms of the Hessian weighted by squared gradients"),
    "Lambda_P": Column("block norms of the Hessian weighted by sizes"),
    "ratio": Column("Lambda_G / Lambda_P"),
    "ratio_by_identity": Column("1 + CV(ghat^2) CV(h) corr(ghat^2, h), which is the same"),
    "phi": Column("density of the gradient"),
    "R": Column("phi Lambda_G / Lambda_P"),
    "R_exact": Column("the same with the curvatures along gradient and signs; NaN unless both are positive"),
    "along_gradient": Column("g'Hg / |g|^2"),
    "along_signs": Column("s'Hs / P"),
}


@dataclass(frozen=True)
class OfBlocks:
    """Heterogeneity of gradients, and of curvature, at the start; see `measure`. One column for each number, its name after `prefix`.

    Parameters
    ----------
    blocks : {"all", "body", "matrices"}
        All blocks; of a transformer all but its head, or the weight matrices of its layers alone.
    curvature : bool
        With block norms of the Hessian: Lambda_G, Lambda_P and all that is made of them.
    off_diagonal : bool
        With the distance from block-diagonality, `delta_D`, for which the whole Hessian is formed.
    prefix : str
    """

    blocks: str = "all"
    curvature: bool = True
    off_diagonal: bool = False
    prefix: str = ""
    record: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_choice(self, "blocks", ("all", "body", "matrices"))

    @property
    def kinds(self) -> tuple[type, ...]:
        """Any for all blocks; others are of transformers."""
        return () if self.blocks == "all" else (Transformer,)

    @property
    def columns(self) -> Mapping[str, Column]:
        """See `SPREAD` and `CURVED`."""
        found = {**SPREAD, **(CURVED if self.curvature or self.off_diagonal else {})}
        if self.off_diagonal:
            found["delta_D"] = Column("norm of what the Hessian has outside its diagonal blocks")
        if self.blocks == "matrices":
            found["value_over_query"] = Column("mean ghat of W_V and W_O over that of W_Q and W_K")
        return {self.prefix + name: column for name, column in found.items()}

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        system, places = watched.system, None
        if self.blocks != "all":
            keeps = {"matrices": lambda name: name.startswith("W_"), "body": lambda name: name not in HEAD}[self.blocks]
            places = cut_blocks(system, leave_out=tuple(name for name in system.layout.shapes if not keeps(name)))

        def read(run: Trajectory) -> dict[str, Any]:
            found = measure(system, blocks=places, curvature=self.curvature, off_diagonal=self.off_diagonal)
            numbers: dict[str, Any] = {**found.scalars(), "gini": found.gradient.gini, "max_over_min": found.gradient.max_over_min}
            if self.blocks == "matrices":
                rms = {letters: np.mean([block.rms for block in found.blocks if block.name[2] in letters]) for letters in ("VO", "QK")}
                numbers["value_over_query"] = rms["VO"] / rms["QK"] if rms["QK"] > 0.0 else NAN
            return {name: numbers[name.removeprefix(self.prefix)] for name in self.columns}

        return Computed(read)


@dataclass(frozen=True)
class FineTuning:
    """How far pre-training came, and what share of the squared gradient is the head's at the start."""

    record: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type, ...]] = (Transformer,)
    columns: ClassVar[Mapping[str, Column]] = {
        "pretrained_loss": Column("loss of pre-training on its fixed set at its end; NaN without pre-training"),
        "pretrained_accuracy": Column("its accuracy"),
        "head_share": Column("share of |g|^2 that is the head's at the start"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        system = watched.system

        def read(run: Trajectory) -> dict[str, Any]:
            squares = {block.name: block.norm**2 for block in measure(system, curvature=False).blocks}
            return {
                "pretrained_loss": system.constants.get("pretrained_fixed_loss", NAN),
                "pretrained_accuracy": system.constants.get("pretrained_train_accuracy", NAN),
                "head_share": sum(squares.get(name, 0.0) for name in HEAD) / sum(squares.values()),
            }

        return Computed(read)


# -- quadratics and logistic regression ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Steps that the experiment's rule needs to a target, its rate tuned at every horizon; see `steps_to_target`.

    Parameters
    ----------
    target : float
        Loss to reach, relative to that at the start.
    most : int
        Longest horizon tried.
    doubling : bool
        Horizons that are powers of 2, instead of powers of sqrt(2).
    """

    target: float = 1e-3
    most: int = 4096
    doubling: bool = False
    record: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type, ...]] = (Quadratic,)
    columns: ClassVar[Mapping[str, Column]] = {
        "steps_to_target": Column("smallest horizon at which some rate reaches the target; NaN if none does"),
        "factor": Column("the best rate there over the unit in which rates were tried"),
        "edge": Column("1 if that is the smallest or the largest rate tried"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        tried = [steps for steps in horizons(self.most) if not self.doubling or steps & (steps - 1) == 0]

        def read(run: Trajectory) -> dict[str, Any]:
            found = steps_to_target(watched.system, watched.experiment.optimizer, target=self.target, tried=tried)
            steps = int(found.steps)
            return {"steps_to_target": float(steps) if steps >= 0 else NAN, "factor": float(found.factor), "edge": float(found.edge)}

        return Computed(read)


@dataclass(frozen=True)
class Theorems:
    """Runs of the rules of T1 and T2 to a small gradient, against what is guaranteed; see `theorem_run`.

    Parameters
    ----------
    eps : float
        Size of the gradient to reach, relative to that at the start.
    factor : float
        Of the theorems' steps; 1 is the theorem.
    """

    eps: float = 0.02
    factor: float = 1.0
    record: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type, ...]] = (Quadratic, Logistic)
    columns: ClassVar[Mapping[str, Column]] = {
        f"{name}_{key}": Column(doc) for name, rule in (("T1", "gradient"), ("T2", "sign")) for key, doc in (
            ("steps", f"{rule} steps to a gradient of size eps; NaN if it does not become so small"),
            ("bound", f"bound on these {rule} steps"),
            ("decrease", f"least ratio, over all {rule} steps, of the decrease of the loss and what is guaranteed"),
            ("assumed", "1 if what the theorem assumes held at every iterate"),
        )
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""

        def read(run: Trajectory) -> dict[str, Any]:
            found: dict[str, float] = {}
            for name, step in (("T1", "gradient"), ("T2", "sign")):
                made = theorem_run(watched.system, step, eps=self.eps, factor=self.factor)
                assumed = made.covered and made.near_block_diagonal and made.small_target
                values = (float(made.steps) if made.reached else NAN, made.bound, float(made.ratio.min()), float(assumed))
                found |= {f"{name}_{key}": value for key, value in zip(("steps", "bound", "decrease", "assumed"), values, strict=True)}
            return found

        return Computed(read)


LAWS = tuple((a, s) for a in (-1.0, 0.0, 0.5, 1.0, 2.0) for s in (0.0, 0.5, 1.0) if not (a == 2.0 and s == 1.0))
"""Exponents a and spreads s at which `LogNormal` draws; a = 2 with s = 1 is left out: its mean has too heavy a tail to be sampled."""


@dataclass(frozen=True)
class LogNormal:
    """Drawn blocks against the law of log-normal blocks at `LAWS`; see `sampled_law`.

    Parameters
    ----------
    blocks, size : int
        Blocks, and parameters of each.
    """

    blocks: int = 200_000
    size: int = 16
    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {
        "law_a": Column("h = ghat^a", "numbers"), "law_s": Column("standard deviation of log ghat", "numbers"),
        "law_R": Column("R of the blocks drawn", "numbers"), "law_predicted": Column("(2/pi) exp(s^2 (2a - 1))", "numbers"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        source = streams(watched.experiment.seed)["data"]

        def read(run: Trajectory) -> dict[str, Any]:
            rng = np.random.default_rng(source)
            drawn = [sampled_law(a, s, blocks=self.blocks, size=self.size, rng=rng).R for a, s in LAWS]
            a, s = np.array(LAWS).T
            return {"law_a": a, "law_s": s, "law_R": drawn, "law_predicted": [law(*at).R for at in LAWS]}

        return Computed(read)


@dataclass(frozen=True)
class Noise:
    """Means over repeated noisy runs against the bounds S1 of gradient descent, at rate 1 / max h, and S2 of sign descent.

    Parameters
    ----------
    steps, repeats : int
    """

    steps: int = 200
    repeats: int = 20
    record: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type, ...]] = (Quadratic,)
    columns: ClassVar[Mapping[str, Column]] = {
        "S1_mean": Column("mean of |g_t|^2 over steps and repeats of gradient descent"),
        "S1_bound": Column("its bound"),
        "S1_silent": Column("the bound without its noise term"),
        "S2_mean": Column("mean of |g_t|_1 over steps and repeats of sign descent"),
        "S2_bound": Column("its bound"),
        "S2_progress": Column("mean of the progress that a noisy sign expects, sum of |g_i| erf(|g_i| / (sqrt(2) s_i))"),
        "S2_silent": Column("its bound, which has no noise term"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        system: Any = watched.system
        if not system.noisy:
            raise ValueError("measure 'noise' needs noise > 0 in the setting")

        def read(run: Trajectory) -> dict[str, Any]:
            c, copies = system.constants, repeated(system, self.repeats)
            Delta, P, Lambda_P = float(system.forward(system.layout.views(system.start)).loss), system.layout.size, float(c["Lambda_P"])
            lr = float(1.0 / c["curvature_max"])
            gradients = simulate(copies, GradientDescent(lr), steps=self.steps, record=["grad_norm"])["grad_norm"][:-1]
            rule = SignGD(sign_rate(Delta, P=P, Lambda_P=Lambda_P, steps=self.steps))
            signs = simulate(copies, rule, steps=self.steps, record=["grad_norm_1", "sign_progress"])
            of_gradient: dict[str, Any] = {"lr": lr, "steps": self.steps}
            of_signs: dict[str, Any] = {"P": P, "Lambda_P": Lambda_P, "steps": self.steps}
            return {
                "S1_mean": np.square(gradients).mean(),
                "S1_bound": sgd_bound(Delta, **of_gradient, Lambda_sigma=c["Lambda_sigma"], sigma=c["noise_2"]),
                "S1_silent": sgd_bound(Delta, **of_gradient, Lambda_sigma=0.0, sigma=0.0),
                "S2_mean": signs["grad_norm_1"][:-1].mean(),
                "S2_bound": sign_bound(Delta, **of_signs, noise_1=c["noise_1"]),
                "S2_progress": signs["sign_progress"][:-1].mean(), "S2_silent": sign_bound(Delta, **of_signs),
            }

        return Computed(read)


# -- heads -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """Mean sign of the bias updates of a sign rule over the run, and what the theory of the head says it is."""

    record: ClassVar[tuple[str, ...]] = ("mean_bias",)
    kinds: ClassVar[tuple[type, ...]] = (Head,)
    columns: ClassVar[Mapping[str, Column]] = {
        "drift": Column("mean sign of the bias updates over the run"),
        "drift_predicted": Column("the same while all probabilities are 1/C; NaN for shuffled batches with momentum"),
        "norm_predicted": Column("norm of weights that all drift as the biases do"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        setting, rule = watched.experiment.setting, watched.experiment.optimizer
        if not isinstance(rule, SignGD):
            raise ValueError(f"measure 'drift' is of sign rules, optimizer signgd, not {rule!r}")

        def read(run: Trajectory) -> dict[str, Any]:
            n, steps = int(system.constants["n"]), int(run.at[-1])
            iid = setting.batch and setting.batches == "iid"
            expected = float(system.constants["drift"]) if not rule.momentum else NAN
            if rule.momentum and iid:
                expected = float(momentum_drift(setting.C, n, rule.momentum, steps).mean())
            rates: list[Any] = [rule.lr(step) if callable(rule.lr) else rule.lr for step in range(steps)]
            return {
                "drift": float(measured_drift(run["mean_bias"], run.at, rule.lr)[-1]), "drift_predicted": expected,
                "norm_predicted": drift_norm(setting.C, setting.d, float(np.mean(rates)), steps, expected),
            }

        system = watched.system
        return Computed(read, settled=False)


@dataclass(frozen=True)
class Projected:
    """The run of a sign rule on a head once more, with the mean over the classes taken out of its updates; see `ProjectedSign`."""

    record: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[type, ...]] = (Head,)
    columns: ClassVar[Mapping[str, Column]] = {
        "projected_loss": Column("loss at the last step with projected updates"),
        "projected_accuracy": Column("accuracy at the last step with projected updates"),
        "projected_V_norm": Column("norm of the weights at the last step with projected updates"),
    }

    def watch(self, watched: Watched) -> Any:
        """Return the live counterpart."""
        experiment = watched.experiment
        setting, rule = experiment.setting, experiment.optimizer
        if not isinstance(rule, SignGD):
            raise ValueError(f"measure 'projected' is of sign rules, optimizer signgd, not {rule!r}")

        def read(run: Trajectory) -> dict[str, Any]:
            projected = ProjectedSign(rule.lr, C=setting.C, d=setting.d, momentum=rule.momentum)
            names = {"train_loss": "loss", "accuracy": "accuracy", "V_norm": "V_norm"}
            beside = simulate(watched.system, projected, steps=experiment.steps, record=tuple(names), at=[])
            return {f"projected_{short}": float(beside[name][-1]) for name, short in names.items()}

        return Computed(read)


def _at_end(*names: str) -> tuple[Measure, ...]:
    return tuple(At(name, "end", name) for name in names)


MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "outcome": _at_end("train_loss"),
    "start": (OfBlocks(),),
    "gradients": (OfBlocks(curvature=False),),
    "matrices": (OfBlocks("matrices", curvature=False),),
    "body": (OfBlocks("body", prefix="body_"),),
    "block_diagonal": (OfBlocks(off_diagonal=True),),
    "finetuning": (FineTuning(), OfBlocks(curvature=False, prefix="all_")),
    "target": (Target(),),
    "theorems": (Theorems(),),
    "law": (LogNormal(),),
    "noise": (Noise(),),
    "learning": _at_end("fixed_loss", "train_accuracy"),
    "drift": (Drift(),),
    "projected": (Projected(),),
    "head": _at_end("train_loss", "accuracy", "gauge_share", "V_norm", "V_centred_norm", "b_norm"),
}
"""Measures by name."""

SWEEP_MEASURES = ("outcome",)
"""Measures when nothing is asked for."""
