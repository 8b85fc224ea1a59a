"""The linear head: forward and hand-derived backward side by side, mini-batches as a function of the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....draws import Epochs, child
from ....layout import Layout
from ....system import Observable, described
from ..settings import streams
from .data import Labelled, draw_labelled
from .observables import OBSERVABLES
from .setting import Head
from .theory import drift

__all__ = ["LinearHead", "linear_head"]

EVALUATED = 2**20
"""Logits that are evaluated together."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    r"""Softmax cross-entropy of :math:`z_i = V h_i + b`, the mean over samples.

    .. math:: \frac{\partial L}{\partial v_c} = \frac1n \sum_i (p_{ic} - 1[y_i = c])\, h_i, \qquad
              \frac{\partial L}{\partial b_c} = \frac1n \sum_i p_{ic} - \frac{n_c}{n}

    The gradient is equation (50).

    Parameters
    ----------
    data : Labelled
        Features h (N, d) and classes y (N,) of all samples.
    start : ndarray, shape (*replicates, C (d + 1))
        Initial V, then b. All replicates see the same samples and batches.
    batch_size : int
        Samples of a step; 0 for all.
    batches : {"iid", "shuffled"}
        See `Head`.
    batch_seed : SeedSequence
        Of the samples of the steps.
    observables, constants : mapping
        Quantities that a run can record, and arrays that are saved with it, by name.
    provenance : mapping
        Name of the system, setting and seed, JSON-ready; saved with every run.
    step_scale, exact_for, alternative : float, frozenset of str, str
        What `System` asks for. The defaults are those of a model itself: 1.0, every kind of rule, and nothing to use instead.
    """

    data: Labelled
    start: NDArray
    batch_size: int
    batches: str
    batch_seed: np.random.SeedSequence
    observables: Mapping[str, Observable] = field(default_factory=lambda: OBSERVABLES)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""

    @cached_property
    def layout(self) -> Layout:
        """Weights V (C, d) and biases b (C,)."""
        return Layout({"V": (self.data.C, self.data.h.shape[1]), "b": (self.data.C,)})

    def batch(self, step: int) -> NDArray | None:
        """Return the samples of a step, None for all of them; shuffled ones by `Epochs`.

        Both kinds, with their means and variances, are in equation (61).

        Parameters
        ----------
        step : int
            Of the run, >= 0.

        Returns
        -------
        ndarray of int, shape (batch_size,), or None
            Places in [0, N).
        """
        if not self.batch_size:
            return None
        if self.batches == "iid":
            return np.random.default_rng(child(self.batch_seed, step)).integers(len(self.data.y), size=self.batch_size)
        return self._epochs.batch(step)

    @cached_property
    def _epochs(self) -> Epochs:
        return Epochs(len(self.data.y), self.batch_size, self.batch_seed)

    __repr__ = described

    def forward(self, params: SimpleNamespace, batch: NDArray | None = None) -> SimpleNamespace:
        """Return `loss` (*replicates,), and `log_p` (*replicates, n, C), `h` (n, d), `y` (n,) of a batch, by default of all samples."""
        h, y = (self.data.h, self.data.y) if batch is None else (self.data.h[batch], self.data.y[batch])
        log_p = _log_softmax(_logits(params, h))
        return SimpleNamespace(loss=-log_p[..., np.arange(len(y)), y].mean(axis=-1), log_p=log_p, h=h, y=y, full=batch is None, system=self)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the loss into the views `out`."""
        dz = logit_gradient(cache)
        np.matmul(dz.swapaxes(-1, -2), cache.h, out=out.V)
        np.sum(dz, axis=-2, out=out.b)

    def feature_gradient(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        r"""Return what the head sends back to the features, :math:`\frac1n\sum_c (p_{ic} - 1[y_i=c]) v_c`, shape (*replicates, n, d).

        The last part of equation (56).

        Parameters
        ----------
        params : SimpleNamespace
            Views V (*replicates, C, d) and b (*replicates, C).
        cache : SimpleNamespace
            Of `forward` at these parameters.
        """
        return logit_gradient(cache) @ params.V

    def evaluated(self, params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
        """Return `loss` and `right`, shapes (*replicates,), on all samples; computed once a forward pass.

        Parameters
        ----------
        params : SimpleNamespace
            Views V (*replicates, C, d) and b (*replicates, C).
        cache : SimpleNamespace
            Of `forward` at these parameters, on whichever samples; keeps what is returned.
        """
        if not hasattr(cache, "evaluated"):
            h, y = self.data.h, self.data.y
            total = np.zeros((2, *cache.loss.shape))
            together = max(1, EVALUATED // (self.data.C * max(1, cache.loss.size)))
            for first in range(0, len(y), len(y) if cache.full else together):
                part = slice(first, None if cache.full else first + together)
                log_p = cache.log_p if cache.full else _log_softmax(_logits(params, h[part]))
                total[0] -= log_p[..., np.arange(len(y[part])), y[part]].sum(axis=-1)
                total[1] += (log_p.argmax(axis=-1) == y[part]).sum(axis=-1)
            cache.evaluated = SimpleNamespace(loss=total[0] / len(y), right=total[1] / len(y))
        return cache.evaluated

    def replicates(self, index: Any) -> LinearHead:
        """Return the same system with the leading axis of the start indexed."""
        return replace(self, start=self.start[index])


def _logits(params: SimpleNamespace, h: NDArray) -> NDArray:
    return h @ params.V.swapaxes(-1, -2) + params.b[..., None, :]


def _log_softmax(z: NDArray) -> NDArray:
    z = z - z.real.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def logit_gradient(cache: SimpleNamespace) -> NDArray:
    r"""Return :math:`(p_{ic} - 1[y_i = c]) / n`, shape (*replicates, n, C), of which equation (50) makes the gradient.

    The entry of the label is minus the sum of the others: 1 - p is 0 in floating point where p rounds to 1, and then signs of the rows
    would no longer belong together.
    """
    dz = np.exp(cache.log_p)
    rows = np.arange(len(cache.y))
    dz[..., rows, cache.y] = 0.0
    dz[..., rows, cache.y] = -dz.sum(axis=-1)
    dz *= 1.0 / len(cache.y)
    return dz


def linear_head(setting: Head, seed: int = 0, replicates: int | None = None) -> LinearHead:
    """Draw features, labels and initial weights of a setting, with `replicates` as many copies of the start (for an array of rates).

    Raises
    ------
    ValueError
        For a seed that is no integer >= 0 or fewer than one replicate.

    Examples
    --------
    >>> linear_head(Head(C=5, d=3), replicates=2).start.shape
    (2, 20)
    """
    if replicates is not None and (isinstance(replicates, bool) or not isinstance(replicates, (int, np.integer)) or replicates < 1):
        raise ValueError(f"replicates={replicates!r} must be an integer >= 1, or None for no such axis")
    source = streams(seed)
    data = draw_labelled(setting, seed)
    V = setting.init * np.random.default_rng(source["head"]).standard_normal((setting.C, setting.d))
    start = np.concatenate([V.ravel(), np.zeros(setting.C)])
    n = setting.batch or len(data.y)
    without = setting.samples if setting.batches == "shuffled" or not setting.batch else None
    return LinearHead(
        data, start if replicates is None else np.tile(start, (replicates, 1)), setting.batch, setting.batches, source["batches"],
        constants={"C": np.array(float(setting.C)), "d": np.array(float(setting.d)), "n": np.array(float(n)),
                   "drift": np.array(drift(setting.C, n, samples=without))},
        provenance={"system": "gradient_heterogeneity", "engine": "dense", "setting": setting.to_dict(), "seed": int(seed)},
    )
