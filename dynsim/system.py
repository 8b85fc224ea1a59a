"""The System protocol: what `simulate` asks of a model, dense or reduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .layout import Layout

__all__ = ["Inexact", "Observable", "System", "described", "forward_at", "passes", "require_exact"]


@dataclass(frozen=True)
class Observable:
    """A quantity that a run can record.

    Parameters
    ----------
    of : callable
        Maps (params views, forward cache) to an array of shape (*replicates, *axes). It reads the
        cache and never runs a forward pass of its own.
    dims : tuple of str
        Names of the trailing axes of what `view` returns; () for one number a replicate.
    doc : str
        One line for tables.
    symbol : str
        LaTeX, for axis labels and the symbol table.
    default : bool, default True
        Recorded when the user names nothing.
    view : callable
        Maps what `of` returned, with any leading axes, to the quantity: a slice or a transposition, never
        a copy. Quantities that are views of the same `of` are copied and stored together.
    costly : bool
        Reading it costs as much as many steps: recorded seldom where nobody says how often.
    shape : callable, optional
        Maps a forward cache to the shape of what `of` returns, where reading the quantity only to learn its shape would take long.
    """

    of: Callable[[SimpleNamespace, SimpleNamespace], NDArray]
    dims: tuple[str, ...]
    doc: str
    symbol: str
    default: bool = True
    view: Callable[[NDArray], NDArray] = field(default=lambda stored: stored)
    costly: bool = False
    shape: Callable[[SimpleNamespace], tuple[int, ...]] | None = None

    def read(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        """Return the quantity at a live state, shape (*replicates, *axes).

        Parameters
        ----------
        params, cache : SimpleNamespace
            Named views on the parameters, and the result of the forward pass there.
        """
        return self.view(self.of(params, cache))


class System(Protocol):
    """A model with its data: parameters, loss, hand-derived gradient, observables.

    Checklist for implementers (`dynsim.systems.signal_noise` is the example to read):

    1. `layout`: blocks of the flat parameter vector, P numbers; `start`: shape (*replicates, P), never written to.
    2. `step_scale`: 1.0 for the model itself; for a reduced system an array broadcasting to `start`:
       one step moves a coordinate by `lr * step_scale * direction`.
    3. `exact_for`: kinds of rule (see `dynsim.optimizers.Kind`) for which the system is the model
       itself or an exact reduction of it; "any" for the model itself. `alternative` says in words what
       to use for the others.
    4. `forward(params)` returns a cache with at least `loss`, shape (*replicates,).
    5. `backward(params, cache, out, signs)` writes dloss/dparams into the views `out`. With
       `signs=True` each entry may be multiplied by a positive factor of its own. A cache field
       `underflow` (bool array over replicates), if there is one, tells that an entry was lost.
    6. `observables`: name to `Observable`; `constants`: arrays that claims and figures need, saved
       with every run; `provenance`: JSON-ready dict naming the system, its setting and seed, and if it likes, under "axis_labels",
       what the places of an axis of its quantities are called, by the axis.
    7. `replicates(index)`: the same system with the leading axis of replicates indexed.
    8. Optional: `velocity(params, cache, out)` writes d params/dt of gradient flow into the views `out`. A reduced flow that is no
       gradient in its own coordinates has this instead of `backward`; with neither override it is -step_scale * gradient.
    9. Optional: `batch(step)` returns the samples that the update at a step sees; `forward` then takes them as a second argument, or none
       for all samples. It is a function of the step alone, so that a run that is gone on with sees what one in one piece does.
    """

    layout: Layout
    start: NDArray
    step_scale: NDArray | float
    exact_for: frozenset[str]
    alternative: str
    observables: Mapping[str, Observable]
    constants: Mapping[str, NDArray]
    provenance: Mapping[str, Any]

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return the loss and what else backward pass and observables read.

        Parameters
        ----------
        params : SimpleNamespace
            Named views on the parameters, each of shape (*replicates, *block).

        Returns
        -------
        SimpleNamespace
            The cache: at least `loss`, shape (*replicates,).
        """

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the loss.

        Parameters
        ----------
        params, cache : SimpleNamespace
            What `forward` was given, and what it returned.
        out : SimpleNamespace
            Named views to write every entry of the gradient to, shaped as those of the parameters.
        signs : bool, default False
            True if only the signs are needed: each entry may then be multiplied by a positive factor of its own.
        """

    def replicates(self, index: Any) -> System:
        """Return the same system with the leading axis of replicates indexed.

        Parameters
        ----------
        index : int, slice or ndarray
            As NumPy takes it.
        """


def described(system: Any) -> str:
    """Return what a system is in one line: its class, how it was built, and its blocks of parameters with their shapes.

    Systems take this as their ``__repr__``: the one that a dataclass makes shows all arrays of the data.

    Parameters
    ----------
    system : System
        Any; of more than six blocks the first six are named.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    TwoTokenTransformer(signal_noise, dense, seed 0; W_QK (2, 32, 4), W_V (2, 2, 32))
    """
    about = [str(system.provenance[name]) for name in ("system", "engine") if name in system.provenance]
    about += [f"seed {system.provenance['seed']}"] if system.provenance.get("seed") is not None else []
    about += [f"{count} replicates" for count in system.start.shape[:-1]]
    blocks = [f"{name} {tuple(shape)}" for name, shape in system.layout.shapes.items()]
    blocks[6:] = [f"{len(blocks) - 6} more"] if len(blocks) > 6 else []
    return f"{type(system).__name__}({', '.join(about)}; {', '.join(blocks)})"


def forward_at(system: Any, params: SimpleNamespace, step: Any) -> SimpleNamespace:
    """Return the cache of the forward pass that a step sees: of its batch, where the system has batches.

    Parameters
    ----------
    system : System
        With or without a `batch` of its own.
    params : SimpleNamespace
        Named views on the parameters.
    step : int
        Updates made before, from 0; without batches nothing depends on it.
    """
    batch = getattr(system, "batch", None)
    return system.forward(params) if batch is None else system.forward(params, batch(step))


def passes(system: Any, point: NDArray) -> tuple[SimpleNamespace, NDArray]:
    """Return the cache of a forward pass on all samples, and the gradient.

    Parameters
    ----------
    system : System
        With a `backward`.
    point : ndarray, shape (*replicates, P)
        The parameters, real or complex, which are left as they are.

    Returns
    -------
    cache : SimpleNamespace
        What `forward` returned.
    gradient : ndarray, shape (*replicates, P)
        What `backward` wrote; NaN in entries that it did not write to.
    """
    views, gradient = system.layout.views(point), np.full_like(point, np.nan)  # an entry that backward forgets must not pass as 0
    cache = system.forward(views)
    system.backward(views, cache, system.layout.views(gradient))
    return cache, gradient


class Inexact(ValueError):
    """A rule was asked of a reduced system that is not an exact reduction for it; the message names the alternative."""


_SERVED_BY = {
    "sign": {"sign", "coordinatewise", "any"},
    "linear": {"linear", "coordinatewise", "any"},
    "coordinatewise": {"coordinatewise", "any"},
    "global": {"any"},
    "flow": {"flow", "linear", "coordinatewise", "any"},
}


def require_exact(system: System, optimizer: Any) -> None:
    """Raise `Inexact` unless a system is exact for a rule.

    Parameters
    ----------
    system : System
        Dense or reduced; its `exact_for` and whether it has mini-batches decide.
    optimizer : Optimizer or GradientFlow
        The rule, of which `kind` is read.

    Raises
    ------
    Inexact
        With the reason and the alternative. A flow is refused too where a system takes mini-batches.
    """
    batch = getattr(system, "batch", None)
    if optimizer.kind == "flow" and batch is not None and batch(0) is not None:
        raise Inexact("gradient flow has no steps to take mini-batches at: take all samples (batch=0), or a rule with steps")
    if _SERVED_BY[optimizer.kind] & system.exact_for:
        return
    served = ", ".join(sorted(system.exact_for))
    raise Inexact(
        f"{optimizer!r} is a rule of kind {optimizer.kind!r}, but this system is exact only for rules of kind {served}. "
        f"{system.alternative}"
    )
