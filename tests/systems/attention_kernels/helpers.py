"""Attention by loops over samples, heads and tokens, and again as one formula that autograd differentiates; random weights."""

import autograd
import autograd.numpy as anp
import numpy as np

from dynsim.systems.attention_kernels.attention import BLOCKS

KERNELS = ("softmax", "gaussian", "row_gaussian")
ALL = "+".join(KERNELS)

ROUNDING = 1e-12
"""Sums of at most some hundred terms of moderate size, of which a few cancel by a digit or two."""


def looped(X, W, kernel, c):
    """Return MH(X), shape (N, n, d_o), number by number."""
    H, d, d_o = W["W_O"].shape
    out = np.zeros((*X.shape[:2], d_o))
    for i, tokens in enumerate(X):
        for h in range(H):
            q, k, v = ([W[name][:, h].T @ token for token in tokens] for name in ("W_Q", "W_K", "W_V"))
            for a in range(len(tokens)):
                if kernel == "softmax":
                    s = [np.exp(q[a] @ key / c) for key in k]
                else:
                    s = [np.exp(-((q[a] - key) ** 2).sum() / (2.0 * c)) for key in k]
                total = 1.0 if kernel == "gaussian" else sum(s)
                for b in range(len(tokens)):
                    out[i, a] += s[b] / total * (W["W_O"][h].T @ v[b])
    return out


def formula(X, W, kernel, c):
    """Return MH(X) in the operations that autograd knows."""
    q, k, v = (anp.einsum("ajx,xhd->ahjd", X, W[name]) for name in ("W_Q", "W_K", "W_V"))
    L = anp.einsum("ahjd,ahkd->ahjk", q, k) / c
    if kernel != "softmax":
        L = -anp.sum((q[:, :, :, None] - k[:, :, None]) ** 2, axis=-1) / (2.0 * c)
    E = anp.exp(L)
    S = E if kernel == "gaussian" else E / anp.sum(E, axis=-1, keepdims=True)
    return anp.einsum("ahjk,ahkd,hdo->ajo", S, v, W["W_O"])


def gradient(X, Y, U, W, kernel, c):
    """Return the gradients of f = |U MH(X) - Y|^2 / 2N by block, by automatic differentiation of the formula."""
    def loss(W):
        return 0.5 * anp.sum((anp.matmul(U, formula(X, W, kernel, c)) - Y) ** 2) / len(X)

    return autograd.grad(loss)({name: W[name] for name in BLOCKS})


def random_weights(rng, D, H, d, d_o, *, lead=(), scale=1.0):
    """Normal entries such that logits, values and outputs of tokens of norm 1 are of order 1."""
    W = {name: scale * rng.standard_normal((*lead, D, H, d)) for name in BLOCKS[:3]}
    return {**W, "W_O": rng.standard_normal((*lead, H, d, d_o)) / np.sqrt(H * d)}


def random_tokens(rng, N, n, D):
    return rng.standard_normal((N, n, D)) / np.sqrt(D)


def elsewhere(system, seed=1):
    """Return random parameters as large as the initial ones, so that no structure of the start helps."""
    start = system.start
    return np.random.default_rng(seed).standard_normal(start.shape) * max(1.0, float(np.std(start)))


def state(system, params=None):
    """Return the views of a parameter vector, by default the start's, and the cache there."""
    views = system.layout.views((system.start if params is None else params).copy())
    return views, system.forward(views)


def slope(system, params=None):
    """Return the gradient as a flat vector."""
    views, cache = state(system, params)
    out = np.full(system.layout.size, np.nan)
    system.backward(views, cache, system.layout.views(out))
    return out


def alone(system, params, kernel, start):
    """Return the parameters of one kernel and start, as a flat vector."""
    views = system.layout.views(params)
    parts = []
    for name in system.layout.shapes:
        index = [slice(None)] * getattr(views, name).ndim
        for axis, which in zip(system.member_axes(name), (kernel, start), strict=False):
            index[axis] = which
        parts.append(getattr(views, name)[tuple(index)].ravel())
    return np.concatenate(parts)

