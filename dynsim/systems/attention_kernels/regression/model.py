"""One attention layer with squared loss: forward and hand-derived backward side by side, several kernels from the same start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....layout import Layout
from ....system import Observable, described
from ..attention import BLOCKS, attend, attend_pullback
from ..kernels import Kernel, alike
from .data import Samples

__all__ = ["AttentionModel"]


@dataclass(frozen=True, eq=False)
class AttentionModel:
    r"""Attention on N samples, :math:`f = \frac{1}{2N}\sum_i \|U\,MH(X_i) - Y_i\|^2`, equation (2), once for every kernel and start.

    Kernels and starts do not meet: the loss that is differentiated is the sum over them, so that every rule that acts per coordinate
    moves each as if it were alone.

    Parameters
    ----------
    samples : Samples
        Tokens, targets and read-outs.
    kernels : tuple of Kernel
        Trained side by side from the same start.
    weights : mapping of str to ndarray
        Initial `BLOCKS`, shapes (starts, D, H, d) and (starts, H, d, d_o).
    trained : tuple of str
        Blocks that are parameters; the others keep their initial weights.
    c : float
        Scale of the logits, > 0.
    observables, constants, provenance
        As every `System` has them; `build` fills them in.
    step_scale, exact_for, alternative
        As every `System` has them; this is the model itself, exact for every rule.
    """

    samples: Samples
    kernels: tuple[Kernel, ...]
    weights: Mapping[str, NDArray]
    trained: tuple[str, ...]
    c: float
    observables: Mapping[str, Observable] = field(default_factory=dict)
    constants: Mapping[str, NDArray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    step_scale: float = 1.0
    exact_for: frozenset[str] = frozenset({"any"})
    alternative: str = ""

    @cached_property
    def layout(self) -> Layout:
        """Trained blocks, each of shape (kernels, starts, *block)."""
        return Layout({name: (len(self.kernels), *self.weights[name].shape) for name in self.trained})

    @cached_property
    def start(self) -> NDArray:
        """Initial weights of the trained blocks, the same for all kernels, shape (P,)."""
        return alike(self.layout, self.weights)

    @property
    def N(self) -> int:
        """Number of samples."""
        return len(self.samples.X)

    def member_axes(self, block: str) -> tuple[int, ...]:
        """Return the axes of kernels and starts in a block's parameters.

        Parameters
        ----------
        block : str
            A name of `layout`; these axes come first in all of them.
        """
        return (0, 1)

    def blocks(self, params: SimpleNamespace, kernel: int) -> dict[str, NDArray]:
        """Return all four blocks of one kernel, trained or not, each with the leading axis of starts.

        Parameters
        ----------
        params : SimpleNamespace
            Views of the parameters, as `layout` names them.
        kernel : int
            Place in `kernels`.
        """
        return {name: getattr(params, name)[kernel] if name in self.trained else self.weights[name] for name in BLOCKS}

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return `loss`, `losses` (kernels, starts), and a kernel's tape and residual R = (O - Y) / N, each a list over kernels."""
        X, Y, U = self.samples.X, self.samples.Y, self.samples.U
        tapes, residuals, losses = [], [], []
        for i, kernel in enumerate(self.kernels):
            tape = attend(X, self.blocks(params, i), kernel, self.c)
            R = self._read_out(tape.out, U) - Y[i]
            losses.append(np.einsum("...aij,...aij->...", R, R))  # no conjugation: the complex step goes through it
            R *= 1.0 / self.N
            tapes.append(tape)
            residuals.append(R)
        f = np.stack(losses)
        f *= 0.5 / self.N
        return SimpleNamespace(loss=f.sum(), losses=f, tapes=tapes, residuals=residuals, system=self)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Write the gradient of the summed loss into the views `out`."""
        U = self.samples.U
        for i in range(len(self.kernels)):
            found = attend_pullback(self._read_out(cache.residuals[i], U.T), cache.tapes[i], self.trained)
            for name in self.trained:
                getattr(out, name)[i] = found[name]

    @cached_property
    def _token_level(self) -> bool:
        """True if every token is read out as it is: then a product is saved."""
        U = self.samples.U
        return U.shape[0] == U.shape[1] and bool(np.array_equal(U, np.eye(len(U))))

    def _read_out(self, out: NDArray, U: NDArray) -> NDArray:
        return out if self._token_level else U @ out

    def replicates(self, index: Any) -> AttentionModel:
        """Raise: kernels and starts are axes of the parameters, not replicates."""
        raise ValueError("this system has no replicates axis: kernels and starts are axes of its parameters")
