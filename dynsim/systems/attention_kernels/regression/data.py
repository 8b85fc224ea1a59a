"""Random tokens, targets and initial weights of one attention layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..attention import BLOCKS, attend
from ..kernels import Kernel, kernels_of
from ..settings import Regression, streams

__all__ = ["Samples", "draw_samples", "draw_weights", "outputs"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Tokens and targets.

    Attributes
    ----------
    X : ndarray, shape (N, n, D)
    Y : ndarray, shape (k, N, m, d_o)
        Targets, one set a kernel: teachers have a kernel. m is the number of read-outs of a sample.
    U : ndarray, shape (m, n)
        Read-outs: a sample's outputs are U MH(X). The identity for token-level targets, one row 1/n for pooled ones.
    """

    X: NDArray
    Y: NDArray
    U: NDArray


def draw_weights(setting: Regression, seed: int) -> dict[str, NDArray]:
    """Draw the initial weights, the same for all kernels; shapes (D, H, d) of W_Q, W_K, W_V and (H, d, d_o) of W_O."""
    return _weights(setting, {name: np.random.default_rng(streams(seed)[name]) for name in BLOCKS})


def _weights(setting: Regression, rngs: Mapping[str, np.random.Generator]) -> dict[str, NDArray]:
    D, H, d, d_o = setting.D, setting.H, setting.d, setting.d_o
    distinct = H // 2 if setting.paired else H
    W = {
        "W_Q": setting.qk_scale * rngs["W_Q"].standard_normal((D, distinct, d)),
        "W_K": setting.qk_scale * rngs["W_K"].standard_normal((D, distinct, d)),
        "W_V": setting.v_scale * rngs["W_V"].standard_normal((D, distinct, d)),
        "W_O": setting.o_scale / np.sqrt(H * d) * rngs["W_O"].standard_normal((distinct, d, d_o)),
    }
    if setting.tied:
        W["W_K"] = W["W_Q"].copy()
    if setting.paired:
        W = {name: np.concatenate([w, -w if name == "W_O" else w], axis=0 if name == "W_O" else 1) for name, w in W.items()}
    return W


def outputs(X: NDArray, U: NDArray, W: Mapping[str, NDArray], kernel: Kernel) -> NDArray:
    """Return U MH(X), shape (N, m, d_o)."""
    return U @ attend(X, W, kernel, float(np.sqrt(W["W_Q"].shape[-1]))).out


def draw_samples(setting: Regression, seed: int) -> Samples:
    """Draw tokens and targets."""
    N, n, D = setting.N, setting.n, setting.D
    source = streams(seed)
    if setting.tokens == "orthonormal":
        X = np.eye(N * n, D).reshape(N, n, D)
    else:
        X = np.random.default_rng(source["tokens"]).standard_normal((N, n, D)) / np.sqrt(D)
    U = np.full((1, n), 1.0 / n) if setting.pooled else np.eye(n)
    kernels = kernels_of(setting.kernel)
    if setting.targets == "normal":
        Y = np.random.default_rng(source["targets"]).standard_normal((N, len(U), setting.d_o))
        return Samples(X, np.broadcast_to(Y, (len(kernels), *Y.shape)).copy(), U)
    rng = np.random.default_rng(source["teacher"])
    redrawn = _weights(setting.replace(paired=False), dict.fromkeys(BLOCKS, rng))  # pairs would make a teacher whose output is 0
    teacher = {**draw_weights(setting, seed), **{name: redrawn[name] for name in BLOCKS if name[-1] in setting.trained}}
    return Samples(X, np.stack([outputs(X, U, teacher, kernel) for kernel in kernels]), U)
