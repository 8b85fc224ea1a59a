"""The small transformer as a system: forward, backward and Hessian-vector product side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....draws import Epochs, child
from ....layout import Layout
from ....system import Observable, described
from .data import Sequences, draw_sequences
from .layers import (
    attend,
    attend_pullback,
    attend_pullback_tangent,
    attend_tangent,
    linear,
    linear_pullback,
    linear_pullback_tangent,
    linear_tangent,
    normalise,
    normalise_pullback,
    normalise_pullback_tangent,
    normalise_tangent,
    perceptron,
    perceptron_pullback,
    perceptron_pullback_tangent,
    perceptron_tangent,
)
from .setting import Transformer

__all__ = ["TransformerModel", "block_shapes", "branches"]

EVALUATED = 256
"""Sequences of the fixed set that are evaluated together."""


@dataclass(frozen=True)
class Branch:
    """One of the two branches of a layer: what it computes and its blocks, short name (as in `layers`) to name in the layout."""

    names: Mapping[str, str]
    apply: Callable[..., tuple[NDArray, Any]]
    tangent: Callable[..., tuple[NDArray, Any]]
    pullback: Callable[..., NDArray]
    pullback_tangent: Callable[..., NDArray]

    def weights(self, views: SimpleNamespace) -> dict[str, NDArray]:
        """Return the branch's blocks by short name."""
        found = vars(views)
        return {short: found[name] for short, name in self.names.items()}


def block_shapes(setting: Transformer) -> dict[str, tuple[int, ...]]:
    """Return the blocks of the parameter vector and their shapes, a tensor each, from the embedding to the head.

    >>> list(block_shapes(Transformer(layers=1, biases=False)))
    ['embedding', 'positions', 'W_Q_1', 'W_K_1', 'W_V_1', 'W_O_1', 'gain_1_1', 'W_1_1', 'W_2_1', 'gain_1_2', 'head']
    """
    d, width = setting.d, setting.width
    shapes: dict[str, tuple[int, ...]] = {"embedding": (setting.vocab, d), "positions": (setting.length, d)}
    for layer in range(1, setting.layers + 1):
        shapes |= {f"W_{letter}_{layer}": (d, d) for letter in "QKVO"}
        shapes |= {f"b_{letter}_{layer}": (d,) for letter in "QVO"}
        shapes |= {f"gain_{layer}_1": (d,), f"shift_{layer}_1": (d,)}
        shapes |= {f"W_1_{layer}": (d, width), f"b_1_{layer}": (width,), f"W_2_{layer}": (width, d), f"b_2_{layer}": (d,)}
        shapes |= {f"gain_{layer}_2": (d,), f"shift_{layer}_2": (d,)}
    shapes |= {"gain_final": (d,), "shift_final": (d,), "head": (d, setting.classes), "b_head": (setting.classes,)}
    final = setting.norm == "pre" and setting.final_norm
    return {name: shape for name, shape in shapes.items() if not (
        (not setting.biases and name.startswith(("b_", "shift_")))
        or (setting.norm == "none" and name.startswith(("gain_", "shift_")))
        or (not final and name.endswith("_final"))
    )}


def branches(setting: Transformer) -> tuple[Branch, ...]:
    """Return the branches from the first layer's attention to the last one's ReLU network."""
    shapes, found = block_shapes(setting), []
    for layer in range(1, setting.layers + 1):
        for number, parts, letters in (
            (1, (attend, attend_tangent, attend_pullback, attend_pullback_tangent), "QKVO"),
            (2, (perceptron, perceptron_tangent, perceptron_pullback, perceptron_pullback_tangent), "12"),
        ):
            names = {f"{kind}_{letter}": f"{kind}_{letter}_{layer}" for letter in letters for kind in "Wb"}
            names |= {"gain": f"gain_{layer}_{number}", "shift": f"shift_{layer}_{number}"}
            found.append(Branch({short: name for short, name in names.items() if name in shapes}, *parts))
    return tuple(found)


_FINAL = {"gain": "gain_final", "shift": "shift_final"}
_HEAD = {"W_head": "head", "b_head": "b_head"}


@dataclass(frozen=True, eq=False)
class TransformerModel:
    r"""Mean cross-entropy of a small transformer on sequences; see `Transformer` for the architecture.

    Parameters
    ----------
    setting : Transformer
        Task, architecture and batches.
    fixed : Sequences
        The fixed set: what `forward` takes without a batch, and what measures see.
    start : ndarray, shape (*replicates, P)
        Initial weights; replicates see the same sequences.
    batch_seed : SeedSequence
        Of the sequences that steps see.
    observables, constants : mapping
        Quantities that a run can record, and arrays that are saved with it, by name.
    provenance : mapping
        Name of the system, setting and seed, JSON-ready; saved with every run.
    step_scale, exact_for, alternative : float, frozenset of str, str
        What `System` asks for. The defaults are those of a model itself: 1.0, every kind of rule, and nothing to use instead.
    """

    setting: Transformer
    fixed: Sequences
    start: NDArray
    batch_seed: np.random.SeedSequence
    observables: Mapping[str, Observable] = field(default_factory=dict)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""

    @cached_property
    def layout(self) -> Layout:
        """A block for each tensor."""
        return Layout(block_shapes(self.setting))

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """Two a layer."""
        return branches(self.setting)

    def replicates(self, index: Any) -> TransformerModel:
        """Return the system with some of the starts."""
        return replace(self, start=self.start[index])

    # -- what steps see ------------------------------------------------------------------------------------------------

    def batch(self, step: int) -> Sequences | None:
        """Return the sequences of a step: new ones, or some of the fixed set by `Epochs`; None for all of it.

        Parameters
        ----------
        step : int
            Of the run, >= 0.
        """
        setting = self.setting
        if setting.fresh:
            return draw_sequences(setting, setting.batch, np.random.default_rng(child(self.batch_seed, step)))
        if not setting.batch:
            return None
        return self.fixed[self._epochs.batch(step)]

    @cached_property
    def _epochs(self) -> Epochs:
        return Epochs(self.setting.samples, self.setting.batch, self.batch_seed)

    # -- loss, gradient, curvature -------------------------------------------------------------------------------------

    __repr__ = described

    def forward(self, params: SimpleNamespace, batch: Sequences | None = None) -> SimpleNamespace:
        """Return `loss`, shape (*replicates,), logarithms of probabilities, `log_p` (*replicates, B, classes), and what the gradient needs.

        Equation (40), and the placements of normalisation of equation (37). In the last layer only the first token's row goes on: the
        head reads no other, so the rest would be computed for nothing.
        """
        setting, seen = self.setting, self.fixed if batch is None else batch
        B, n = seen.tokens.shape
        words = seen.tokens.T.ravel()
        x = np.take(params.embedding, words, axis=-2)
        by_place = x.reshape(*x.shape[:-2], n, B, setting.d)
        by_place += params.positions[..., :, None, :]
        tapes = []
        for i, branch in enumerate(self.branches):
            w, norm, kept = branch.weights(params), None, B if i >= len(self.branches) - 2 else n * B
            h = x
            if setting.norm == "pre":
                h, norm = normalise(x, w)
            y, tape = branch.apply(h, w, B, setting.heads, kept) if branch.apply is attend else branch.apply(h, w)
            y += x[..., :kept, :]
            if setting.norm == "post":
                y, norm = normalise(y, w)
            tapes.append((tape, norm, w))
            x = y
        final = None
        if "gain_final" in self.layout.shapes:
            w = self._some(params, _FINAL)
            x, tape = normalise(x, w)
            final = (tape, w)
        head = self._some(params, _HEAD)
        z = linear(x, head, "head")
        z -= z.real.max(axis=-1, keepdims=True)
        z -= np.log(np.exp(z).sum(axis=-1, keepdims=True))
        rows = np.arange(B)
        return SimpleNamespace(
            loss=-z[..., rows, seen.y].mean(axis=-1), log_p=z, seen=seen, words=words, tapes=tapes, final=final, head=head, x=x,
            system=self,
        )

    def _some(self, views: SimpleNamespace, names: Mapping[str, str]) -> dict[str, NDArray]:
        return {short: getattr(views, name) for short, name in names.items() if name in self.layout.shapes}

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the loss into the views `out`: equations (42) to (45), part by part."""
        B, n = cache.seen.tokens.shape
        cache.p = np.exp(cache.log_p)
        z_b = cache.p.copy()
        z_b[..., np.arange(B), cache.seen.y] -= 1.0
        z_b *= 1.0 / B
        x_b = linear_pullback(z_b, cache.x, cache.head, self._some(out, _HEAD), "head")
        if cache.final is not None:
            tape, w = cache.final
            x_b = normalise_pullback(x_b, tape, w, self._some(out, _FINAL))
        for branch, (tape, norm, w) in zip(reversed(self.branches), reversed(cache.tapes), strict=True):
            g = branch.weights(out)
            y_b = normalise_pullback(x_b, norm, w, g) if self.setting.norm == "post" else x_b
            x_b = branch.pullback(y_b, tape, w, g)
            if self.setting.norm == "pre":
                x_b = normalise_pullback(x_b, norm, w, g)
            x_b[..., : y_b.shape[-2], :] += y_b
        cache.z_b = z_b
        self._spread(x_b, cache, out)

    def _spread(self, x_b: NDArray, cache: SimpleNamespace, out: SimpleNamespace) -> None:
        """Write what tokens and places get of rows (*replicates, n B, d), equation (45)."""
        B, n = cache.seen.tokens.shape
        one_hot = (cache.words == np.arange(self.setting.vocab)[:, None]).astype(float)  # one product beats adding rows one by one
        np.matmul(one_hot, x_b, out=out.embedding)
        x_b.reshape(*x_b.shape[:-2], n, B, -1).sum(axis=-2, out=out.positions)

    def hessian_vector(self, params: SimpleNamespace, cache: SimpleNamespace, v: SimpleNamespace, out: SimpleNamespace) -> None:
        r"""Write the product of the Hessian with a direction into the views `out`: the derivative of `backward` along `v`.

        Tangents go through the forward pass and then with the bars through the backward pass, equations (47) to (49); what both left in
        the cache is used again: the product costs less than two gradients.

        Parameters
        ----------
        params : SimpleNamespace
            Views (*replicates, *shape) of the parameters.
        cache : SimpleNamespace
            Of `forward` at these parameters; if `backward` has not used it yet, that is done first.
        v : SimpleNamespace
            Views of the direction, real, with the leading axes of `params`.
        out : SimpleNamespace
            Views that are written.
        """
        if not hasattr(cache, "z_b"):
            self.backward(params, cache, self.layout.views(np.empty((*np.shape(cache.loss), self.layout.size), dtype=cache.log_p.dtype)))
        setting, (B, n) = self.setting, cache.seen.tokens.shape
        x_t = np.take(v.embedding, cache.words, axis=-2)
        by_place = x_t.reshape(*x_t.shape[:-2], n, B, setting.d)
        by_place += v.positions[..., :, None, :]
        tapes_t, directions = [], [branch.weights(v) for branch in self.branches]
        for branch, w_t, (tape, norm, w) in zip(self.branches, directions, cache.tapes, strict=True):
            h_t, norm_t = x_t, None
            if setting.norm == "pre":
                h_t, norm_t = normalise_tangent(x_t, norm, w, w_t)
            y_t, tape_t = branch.tangent(h_t, tape, w, w_t)
            y_t += x_t[..., : y_t.shape[-2], :]
            if setting.norm == "post":
                y_t, norm_t = normalise_tangent(y_t, norm, w, w_t)
            tapes_t.append((tape_t, norm_t))
            x_t = y_t
        if cache.final is not None:
            final, w = cache.final
            final_direction = self._some(v, _FINAL)
            x_t, final_t = normalise_tangent(x_t, final, w, final_direction)
        head_t = self._some(v, _HEAD)
        z_t = linear_tangent(cache.x, x_t, cache.head, head_t, "head")

        z_bt = z_t - np.einsum("...i,...i->...", cache.p, z_t)[..., None]
        z_bt *= cache.p
        z_bt *= 1.0 / B
        x_bt = linear_pullback_tangent(cache.z_b, z_bt, cache.x, x_t, cache.head, head_t, self._some(out, _HEAD), "head")
        if cache.final is not None:
            x_bt = normalise_pullback_tangent(x_bt, final, final_t, w, final_direction, self._some(out, _FINAL))
        for branch, w_t, (tape, norm, w), (tape_t, norm_t) in zip(
            reversed(self.branches), reversed(directions), reversed(cache.tapes), reversed(tapes_t), strict=True
        ):
            g_t = branch.weights(out)
            y_bt = normalise_pullback_tangent(x_bt, norm, norm_t, w, w_t, g_t) if setting.norm == "post" else x_bt
            x_bt = branch.pullback_tangent(y_bt, tape, tape_t, w, w_t, g_t)
            if setting.norm == "pre":
                x_bt = normalise_pullback_tangent(x_bt, norm, norm_t, w, w_t, g_t)
            x_bt[..., : y_bt.shape[-2], :] += y_bt
        self._spread(x_bt, cache, out)

    # -- evaluation ----------------------------------------------------------------------------------------------------

    def evaluated(self, params: SimpleNamespace, cache: SimpleNamespace) -> SimpleNamespace:
        """Return `loss` and `right` (share of right classes), shape (*replicates,), on the fixed set; computed once a forward pass.

        Parameters
        ----------
        params : SimpleNamespace
            Views (*replicates, *shape) of the parameters.
        cache : SimpleNamespace
            Of `forward` at these parameters, on whichever sequences; keeps what is returned.
        """
        if not hasattr(cache, "on_fixed"):
            count, total = len(self.fixed.y), np.zeros((2, *np.shape(cache.loss)))
            for first in range(0, count, EVALUATED):
                part = self.fixed[first : first + EVALUATED]
                at = self.forward(params, part)
                total += np.array([at.loss, np.mean(at.log_p.argmax(axis=-1) == part.y, axis=-1)]) * (len(part.y) / count)
            cache.on_fixed = SimpleNamespace(loss=total[0], right=total[1])
        return cache.on_fixed
