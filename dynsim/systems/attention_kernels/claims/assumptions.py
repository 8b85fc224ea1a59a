"""Assumptions that several claims share, and the ways their negative controls break a run.

The first assumption of a claim says what kind of run it is about: the task, what is trained, whether heads are pairs. On a run of another
kind its measure raises `AnotherKind`, so that no number of it is told; where a size, a rate or a start is unmet the number stays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .... import run_claims
from ....claims import AnotherKind, Assumption, Inconclusive
from ..queries.constructions import CONSTRUCTIONS
from ..reading import Reading, reading

__all__ = [
    "DESCENT", "NORMAL_TARGETS", "ONE_OUTPUT", "OWN_TARGET", "about_examples", "about_regression", "altered", "assuming",
    "broken", "is_descent", "reading_about", "trains",
]

def is_descent(r: Reading) -> bool:
    """Whether a run is of gradient descent at a constant rate without momentum, or of gradient flow."""
    try:
        r.lr  # noqa: B018
    except Inconclusive:
        return False
    return True


def assuming(text: str, met: Callable[[Reading], Any]) -> Assumption:
    """Return an assumption on a run's reading."""
    return Assumption(text, lambda e: bool(met(reading(e))))


def about_regression(text: str, met: Callable[[Reading], Any]) -> Assumption:
    """Return the kind of runs of regression, on random data or arrays, for which `met` is true; it is not asked of others."""
    return assuming(text, lambda r: r.trained and met(r))


def about_examples(*tasks: str) -> Assumption:
    """Return the kind of runs of these examples."""
    return assuming(f"task {' or '.join(tasks)}", lambda r: r.task in tasks)


def reading_about(kind: Assumption, evidence: Any) -> Reading:
    """Return the reading of a run of a kind; of another, raise AnotherKind."""
    r = reading(evidence)
    if not kind.met(evidence):
        trained = f", {r.trained} trained" if r.trained else ""
        raise AnotherKind(f"it is about other runs, {kind.text}; this one is of task {r.task!r}{trained}")
    return r


def trains(*kernels: str) -> Assumption:
    """Return the assumption that a run is of one of these kernels."""
    return assuming(f"the run is of {' or '.join(kernels)}", lambda r: set(kernels) & set(r.kernels))


def _own_target(r: Reading) -> bool:
    made = CONSTRUCTIONS[r.task]
    return r.setting.y == made.y and made.low <= r.setting.low and r.setting.high <= made.high


DESCENT = assuming("gradient descent at a constant rate without momentum, or gradient flow", is_descent)
ONE_OUTPUT = assuming(
    "one output, no pairs of heads, 2 <= n <= H d + 1, 0.1 <= qk_scale <= 3: similarities are neither equal nor one-hot",
    lambda r: r.setting.d_o == 1 and not r.setting.paired and 2 <= r.setting.n <= r.setting.H * r.setting.d + 1
    and 0.1 <= r.setting.qk_scale <= 3.0,
)
NORMAL_TARGETS = assuming("normal targets: those of a teacher can be fitted", lambda r: r.setting.targets == "normal")
OWN_TARGET = assuming("target and range of starts are those of the construction", _own_target)

broken, altered = partial(run_claims.broken, reading), partial(run_claims.altered, reading)
"""Negative controls: the same run with some recorded quantities, or numbers noted at its start, replaced by wrong ones."""
