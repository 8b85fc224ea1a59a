"""What several test modules share: rules, a small system with a known solution, comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from dynsim import Adam, GradientDescent, SignGD
from dynsim.layout import Layout
from dynsim.system import Observable

LUMPING_RULES = {
    "SignGD": SignGD(1e-3),
    "sign momentum": SignGD(1e-3, momentum=0.9),
    "GD": GradientDescent(0.1),
    "heavy ball": GradientDescent(0.02, momentum=0.9),
    "Adam(eps=0)": Adam(1e-3, eps=0.0),
}
"""Rules that lump, at rates that take moderate settings through their first stages in 400 steps."""

RULES = {**LUMPING_RULES, "Adam": Adam(1e-3), "Adam without memory": Adam(1e-3, beta1=0.0, beta2=0.0)}


def with_lr(rule: Any, factor: float) -> Any:
    """Return the rule at another rate."""
    return replace(rule, lr=rule.lr * factor)


def gap(a: Any, b: Any) -> float:
    """Return the largest difference on the scale of the largest entry; NaN counts as infinite."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    size = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    difference = np.abs(a - b).max(initial=0.0)
    return float(np.inf if np.isnan(difference) else difference / size if size else 0.0)


def same_bits(a: Any, b: Any) -> bool:
    """True if two arrays have the same type, shape and bytes (-0.0 is not 0.0, NaN is NaN)."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same_bits(run: Any, other: Any, *, rows: slice = slice(None), other_rows: slice = slice(None)) -> None:
    """Fail unless two runs recorded the same bits and ended in the same state."""
    assert set(run.arrays) == set(other.arrays)
    for name in run.arrays:
        assert same_bits(run[name][rows], other[name][other_rows]), name
    assert same_bits(run.final, other.final)
    assert run.last_step == other.last_step
    assert set(run.optimizer_state) == set(other.optimizer_state)
    for name in run.optimizer_state:
        assert same_bits(run.optimizer_state[name], other.optimizer_state[name]), name


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Two blocks in a quadratic well: the smallest system with more than one block, and every step of it known.

    `error` spoils the gradient of one block by that relative amount: the negative control of the gradient checks.
    """

    start: np.ndarray
    curvature: np.ndarray
    target: np.ndarray
    error: Mapping[str, float] = field(default_factory=dict)
    step_scale: Any = 1.0
    exact_for: frozenset = frozenset({"any"})
    alternative: str = "Use another system."
    constants: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"system": "quadratic"})

    layout = Layout({"a": (3,), "b": (2, 4)})
    observables = {
        "train_loss": Observable(lambda p, c: c.loss, (), "loss", "L"),
        "inner": Observable(lambda p, c: p.b, ("row", "column"), "block b", "b"),
        "turned": Observable(lambda p, c: p.b, ("column", "row"), "block b, turned", "b^T", view=lambda b: np.swapaxes(b, -1, -2)),
        "slope": Observable(lambda p, c: c.pull.b, ("row", "column"), "force on block b", "g_b", default=False),
    }

    @classmethod
    def random(cls, seed: int = 0, replicates: tuple[int, ...] = (), **changes: Any) -> Quadratic:
        rng = np.random.default_rng(seed)
        size = cls.layout.size
        return cls(rng.standard_normal((*replicates, size)), rng.uniform(0.5, 2.0, size), rng.standard_normal(size), **changes)

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        curvature, target = self.layout.views(self.curvature), self.layout.views(self.target)
        offset = SimpleNamespace(a=params.a - target.a, b=params.b - target.b)
        pull = SimpleNamespace(a=curvature.a * offset.a, b=curvature.b * offset.b)
        return SimpleNamespace(loss=0.5 * ((pull.a * offset.a).sum(-1) + (pull.b * offset.b).sum((-1, -2))), pull=pull)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        for name in self.layout.shapes:
            getattr(out, name)[...] = getattr(cache.pull, name) * (1.0 + self.error.get(name, 0.0))

    def replicates(self, index: Any) -> Quadratic:
        return replace(self, start=self.start[index])

    def gradient(self, flat: np.ndarray) -> np.ndarray:
        """The gradient of the flat vector, for hand-written loops."""
        return self.curvature * (flat - self.target)
