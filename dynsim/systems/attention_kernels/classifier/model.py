"""The classifier: embedding, positions, attention, mean over tokens, ReLU layer, cross-entropy; forward and backward side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....draws import Epochs
from ....layout import Layout
from ....system import Observable, described
from ..attention import BLOCKS, attend, attend_pullback
from ..kernels import Kernel, alike
from .data import Sentences

__all__ = ["Classifier", "layer_blocks"]

EVALUATED = 256
"""Samples that are evaluated together."""


def layer_blocks(layer: int) -> dict[str, str]:
    """Return the names of a layer's parameters by block.

    >>> layer_blocks(0)["W_Q"]
    'W_Q_1'
    """
    return {block: f"{block}_{layer + 1}" for block in BLOCKS}


@dataclass(frozen=True, eq=False)
class Classifier:
    r"""Classes of token sequences: embedding, attention, ReLU layer, mean cross-entropy, equation (52); once for every kernel.

    In symbols :math:`x^0 = E_{token} + P`, :math:`x^{l} = x^{l-1} + MH_l(x^{l-1})`,
    :math:`z = W_2^\top \mathrm{ReLU}(W_1^\top \bar x + b_1) + b_2`.

    Parameters
    ----------
    train, test : Sentences
        Samples that are trained on, and samples that are not.
    kernels : tuple of Kernel
        Trained side by side from the same start.
    weights : mapping of str to ndarray
        Initial weights of one kernel: "embedding" (V, D), "positions" (n, D), "W_Q_1" (D, H, d) and so on for each layer, with W_O of shape
        (H, d, D), "W_1" (D, hidden), "b_1", "W_2" (hidden, 2), "b_2".
    trained : tuple of str
        Blocks that are parameters.
    layers : int
        Layers of attention, 1 or 2.
    residual : bool
        Add the input of a layer to its output.
    c : float
        Scale of the logits, > 0.
    batch_size : int
        Samples of a step; 0 for all.
    batch_seed : SeedSequence
        Of the order in which samples are taken.
    observables, constants, provenance
        As every `System` has them; `build` fills them in.
    step_scale, exact_for, alternative
        As every `System` has them; this is the model itself, exact for every rule.
    """

    train: Sentences
    test: Sentences
    kernels: tuple[Kernel, ...]
    weights: Mapping[str, NDArray]
    trained: tuple[str, ...]
    layers: int
    residual: bool
    c: float
    batch_size: int
    batch_seed: np.random.SeedSequence
    observables: Mapping[str, Observable] = field(default_factory=dict)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""

    @cached_property
    def layout(self) -> Layout:
        """Trained blocks, each of shape (kernels, *block)."""
        return Layout({name: (len(self.kernels), *self.weights[name].shape) for name in self.trained})

    @cached_property
    def start(self) -> NDArray:
        """Initial weights of the trained blocks, the same for all kernels, shape (P,)."""
        return alike(self.layout, self.weights)

    def member_axes(self, block: str) -> tuple[int, ...]:
        """Return the axis of kernels in a block's parameters.

        Parameters
        ----------
        block : str
            A name of `layout`; this axis comes first in all of them.
        """
        return (0,)

    def batch(self, step: int) -> NDArray | None:
        """Return the samples of a step, by `Epochs`; None for all of them.

        Parameters
        ----------
        step : int
            Number of the update, from 0.
        """
        return self._epochs.batch(step) if self.batch_size else None

    @cached_property
    def _epochs(self) -> Epochs:
        return Epochs(len(self.train.y), self.batch_size, self.batch_seed)

    def blocks(self, params: SimpleNamespace, kernel: int) -> dict[str, NDArray]:
        """Return all weights of one kernel, trained or not.

        Parameters
        ----------
        params : SimpleNamespace
            Views of the parameters, as `layout` names them.
        kernel : int
            Place in `kernels`.
        """
        return {name: getattr(params, name)[kernel] if name in self.trained else w for name, w in self.weights.items()}

    __repr__ = described

    def forward(self, params: SimpleNamespace, batch: NDArray | None = None) -> SimpleNamespace:
        """Return `loss`, `losses` (kernels, 1) on a batch, and a kernel's tape, a list over kernels."""
        chosen = slice(None) if batch is None else batch
        tokens, y = self.train.tokens[chosen], self.train.y[chosen]
        tapes = [self.outcome(self.blocks(params, i), kernel, tokens, y) for i, kernel in enumerate(self.kernels)]
        losses = np.array([[tape.loss] for tape in tapes])
        return SimpleNamespace(loss=losses.sum(), losses=losses, tapes=tapes, system=self)

    def outcome(self, w: Mapping[str, NDArray], kernel: Kernel, tokens: NDArray, y: NDArray) -> SimpleNamespace:
        """Return mean `loss`, the tape of one kernel on some samples, and in it the logarithms of probabilities, `log_p` (B, 2).

        Line by line equation (52).

        Parameters
        ----------
        w : mapping of str to ndarray
            All weights, as `blocks` returns them, real or complex.
        kernel : Kernel
            Of all layers.
        tokens : ndarray of int, shape (B, n)
            Words of the samples.
        y : ndarray of int, shape (B,)
            Their classes, 0 or 1.
        """
        x = w["embedding"][tokens] + w["positions"]
        layers = []
        for layer in range(self.layers):
            tape = attend(x, {block: w[name] for block, name in layer_blocks(layer).items()}, kernel, self.c)
            x = x + tape.out if self.residual else tape.out
            layers.append(tape)
        m = x.mean(axis=-2)
        a = m @ w["W_1"] + w["b_1"]
        r = np.where(a.real > 0, a, 0.0)
        z = r @ w["W_2"] + w["b_2"]
        z = z - z.real.max(axis=-1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
        rows = np.arange(len(y))
        return SimpleNamespace(
            loss=-log_p[rows, y].mean(), tokens=tokens, y=y, w=w, layers=layers, m=m, r=r, log_p=log_p,
        )

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the summed loss into the views `out`."""
        for i in range(len(self.kernels)):
            found = self._pullback(cache.tapes[i])
            for name in self.trained:
                getattr(out, name)[i] = found[name]

    def _pullback(self, tape: Any) -> dict[str, NDArray]:
        """Return the gradients of one kernel, equation (53), through the layers by equations (5) to (9)."""
        w, y, found = tape.w, tape.y, {}
        B, n = tape.tokens.shape
        dz = np.exp(tape.log_p)
        dz[np.arange(B), y] -= 1.0
        dz *= 1.0 / B
        found["W_2"], found["b_2"] = tape.r.swapaxes(-1, -2) @ dz, dz.sum(axis=-2)
        da = np.where(tape.r != 0, dz @ w["W_2"].swapaxes(-1, -2), 0.0)
        found["W_1"], found["b_1"] = tape.m.swapaxes(-1, -2) @ da, da.sum(axis=-2)
        dx = np.broadcast_to((da @ w["W_1"].swapaxes(-1, -2))[:, None, :] / n, (B, n, tape.m.shape[-1]))
        below = {"X"} if "embedding" in self.trained else set()
        for layer in reversed(range(self.layers)):
            names = layer_blocks(layer)
            wanted = {block for block, name in names.items() if name in self.trained} | (below if layer == 0 else {"X"})
            of_layer = attend_pullback(dx, tape.layers[layer], wanted)
            found.update({names[block]: g for block, g in of_layer.items() if block != "X"})
            if "X" in of_layer:
                dx = of_layer["X"] + dx if self.residual else of_layer["X"]
        if "embedding" in self.trained:
            found["positions"] = dx.sum(axis=0)
            found["embedding"] = _scatter(tape.tokens, dx, len(w["embedding"]))
        return found

    def evaluated(self, cache: SimpleNamespace, which: str) -> SimpleNamespace:
        """Return `loss` and `right`, shapes (kernels, 1), on all "train" or "test" samples; computed once a forward pass.

        Parameters
        ----------
        cache : SimpleNamespace
            What `forward` returned; the result is kept in it.
        which : {"train", "test"}
            Which samples.
        """
        found = cache.__dict__.setdefault("evaluated", {})
        if which not in found:
            samples: Sentences = getattr(self, which)
            total = np.zeros((2, len(self.kernels), 1))
            for i, kernel in enumerate(self.kernels):
                for first in range(0, len(samples.y), EVALUATED):
                    part = slice(first, first + EVALUATED)
                    at = self.outcome(cache.tapes[i].w, kernel, samples.tokens[part], samples.y[part])
                    total[:, i, 0] += np.array([at.loss, np.mean(at.log_p.argmax(axis=-1) == at.y)]) * len(samples.y[part])
            total /= len(samples.y)
            found[which] = SimpleNamespace(loss=total[0], right=total[1])
        return found[which]

    def replicates(self, index: Any) -> Classifier:
        """Raise: kernels are an axis of the parameters, not replicates."""
        raise ValueError("this system has no replicates axis: kernels are an axis of its parameters")


def _scatter(tokens: NDArray, dx: NDArray, words: int) -> NDArray:
    """Sum rows (B, n, D) of the tokens (B, n) that are the same word: (words, D)."""
    flat = dx.reshape(-1, dx.shape[-1])
    one_hot = (tokens.ravel() == np.arange(words)[:, None]).astype(float)  # words are few: one product beats adding rows one by one
    return one_hot @ flat
