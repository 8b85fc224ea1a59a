"""How many steps each rule needs to a target when its rate is tuned for every horizon: rates and seeds run side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....optimizers import LinearDecay, as_optimizer, changed_rule, from_text
from ....simulate import simulate
from .logistic import require_known_curvature
from .model import repeated

__all__ = ["FACTORS", "HIGHEST", "RULES", "StepsToTarget", "final_losses", "horizons", "rate_unit", "steps_to_target"]

RULES: Mapping[str, Any] = {text: from_text(text, lr=1.0) for text in ("gd", "gd:0.9", "signgd", "signgd:0.9", "adam")}
"""The five rules by the texts that name them everywhere; their rates do not matter."""

FACTORS = np.geomspace(2.0**-4, 2.0**4, 25)
"""Rates tried, in units of the scale on which a rule's rates live; see `rate_unit`."""


def horizons(most: float) -> list[int]:
    """Return the horizons 1, 2, 3, 4, 6, 8, 11, 16, ..., powers of sqrt(2) rounded, up to `most`; a ValueError unless it is >= 1.

    >>> horizons(32)
    [1, 2, 3, 4, 6, 8, 11, 16, 23, 32]
    """
    if not 1 <= most < np.inf:
        raise ValueError(f"most={most!r} must be a finite number >= 1: the shortest horizon is one step")
    return sorted({round(2.0 ** (i / 2)) for i in range(int(2 * np.log2(most) + 1e-9) + 1)})


def rate_unit(system: Any, rule: Any, steps: int) -> NDArray:
    """Return the scale of a rule's rates, shape () or replicates.

    Linear rules: 1 over the largest curvature, twice which is where they become unstable. The others move a coordinate by about
    the rate in a step: the rate whose path, decay included, is as long as the way of the farthest coordinate, by equations (22) and (23).

    Parameters
    ----------
    system : BlockQuadratic or LogisticBlocks
    rule : Optimizer
    steps : int
        Horizon, >= 1.

    Raises
    ------
    TypeError
        For another system, or no rule.
    """
    require_known_curvature(system)
    if as_optimizer(rule).kind == "linear":
        return 1.0 / np.broadcast_to(system.curvature_max, system.start.shape[:-1])
    return 2.0 * np.abs(system.start).max(axis=-1) / (steps + 1)


HIGHEST = 1e6
"""A run whose loss rises above so many times that at the start counts as diverged.

A rate above 2 over the largest curvature blows sharp coordinates up, and brings them back when it has decayed. On the axes of a
diagonal Hessian arithmetic survives that whatever the size: with k = 1000, twice that rate and 1,024 steps, a rise by 4e287 and
an end at 5e-4. Turned by a rotation, on paper the same run, rounding errors leave it at 4e253. Limits from 1e3 to 1e6 give the same steps
to the target, for k = 100 and 1000.
"""


def final_losses(
    system: Any, rule: Any, steps: int, factors: Sequence[float] | NDArray = FACTORS, *, highest: float = HIGHEST,
) -> NDArray:
    """Return the loss after a run with `LinearDecay` over that at the start, for every rate; shape (*replicates, rates).

    Above the minimum, both. A run that diverges counts as infinite; how far one rises that comes back is equation (20). All rates and
    replicates run together, except where replicates have matrices of their own: those runs would wait for the memory, so each
    replicate's rates run together.

    Parameters
    ----------
    system : BlockQuadratic or LogisticBlocks
    rule : Optimizer
        Whose rate is replaced, as those of `RULES`.
    steps : int
        Horizon, >= 1.
    factors : sequence of float
        Rates over `rate_unit`.
    highest : float
        See `HIGHEST`.
    """
    lead = system.start.shape[:-1]
    if lead and any(matrix.ndim > 2 for matrix in getattr(system, "matrices", ())):
        return np.stack([final_losses(system.replicates(i), rule, steps, factors, highest=highest) for i in range(lead[0])])
    rates = np.multiply.outer(rate_unit(system, rule, steps), np.asarray(factors, dtype=float))
    side_by_side = repeated(system, len(factors))
    peaks, decay = rates.ravel(), LinearDecay(1.0, steps)  # itself it has one peak, as files need it
    decaying = changed_rule(as_optimizer(rule), {"lr": lambda step: peaks * decay(step)})
    run = simulate(side_by_side, decaying, steps=steps, record=["train_loss"])
    above = run["train_loss"] - system.loss_floor
    tame = above.max(axis=0) <= highest * above[0]  # false for the NaN of a run that ended early
    return np.where(tame, above[-1] / above[0], np.inf).reshape(*lead, len(factors))


@dataclass(frozen=True, eq=False)
class StepsToTarget:
    """The smallest horizon at which some rate reaches the target.

    Attributes
    ----------
    rule : Optimizer
    steps : ndarray of int, shape () or replicates
        That horizon; -1 if none of those tried is enough.
    factor : ndarray, shape () or replicates
        The best rate at that horizon over `rate_unit`; NaN if none.
    edge : ndarray of bool, shape () or replicates
        True where it is the smallest or the largest rate tried: then more rates should be tried.
    """

    rule: Any
    steps: NDArray
    factor: NDArray
    edge: NDArray


def steps_to_target(
    system: Any, rule: Any, *, target: float = 1e-3, tried: Sequence[int] | None = None, factors: Sequence[float] | NDArray = FACTORS,
    highest: float = HIGHEST,
) -> StepsToTarget:
    """Return the smallest horizon at which some rate brings the loss to `target` times that at the start, the rate decaying to 0.

    Horizons are tried in rising order, each with all rates and replicates side by side, until every replicate is there. How the steps of
    sign descent grow with curvature is a property of this decay too, equation (24).

    Parameters
    ----------
    system : BlockQuadratic or LogisticBlocks
        Without noise.
    rule : Optimizer
        Whose rate is replaced, as those of `RULES`.
    target : float
        In (0, 1).
    tried : sequence of int, optional
        Horizons, rising; default `horizons(4096)`.
    factors : sequence of float
        Rates over `rate_unit`, rising.
    highest : float
        See `HIGHEST`.

    Raises
    ------
    TypeError, ValueError
        For a system of another room, or no rule; for a target out of range, a system with noise.

    Examples
    --------
    >>> from dynsim.systems.gradient_heterogeneity.quadratic.model import quadratic
    >>> from dynsim.systems.gradient_heterogeneity.quadratic.setting import Quadratic
    >>> int(steps_to_target(quadratic(Quadratic(k=1.0)), RULES["gd"]).steps) < 8
    True
    """
    require_known_curvature(system)
    if not 0.0 < target < 1.0:
        raise ValueError(f"target={target!r} must lie in (0, 1): it is relative to the loss at the start")
    if system.noisy:
        raise ValueError("the steps to a target are those of runs without noise: set noise=0")
    lead, factors = system.start.shape[:-1], np.asarray(factors, dtype=float)
    found, best = np.full(lead, -1), np.full(lead, -1)
    for steps in horizons(4096) if tried is None else tried:
        losses = final_losses(system, rule, steps, factors, highest=highest)
        new = (losses.min(axis=-1) <= target) & (found < 0)
        found = np.where(new, steps, found)
        best = np.where(new, losses.argmin(axis=-1), best)
        if (found >= 0).all():
            break
    return StepsToTarget(
        rule, found, np.where(best >= 0, factors[best], np.nan), (best == 0) | (best == len(factors) - 1),
    )
