r"""The same run written the way one would write it without dynsim: eager PyTorch with autograd, and jitted JAX.

All take the weights of a dense dynsim system, so that the recorded numbers can be compared. Samples are pairs of
tokens (y mu, xi), one batched product a layer; sign gradient descent on the gradient that automatic differentiation
returns; the nine default quantities are read off the forward pass before every update, as dynsim does. Each function
maps (system, lr, steps) to a dict of name to array (steps + 1, ...), axes in dynsim's order. `torch_tokens` is the peer of systems on
general tokens: it takes the rule and records the training loss.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "mean_value_signal", "mean_value_noise", "query_signal", "key_signal", "query_noise", "key_noise",
    "softmax_11", "softmax_21", "train_loss",
)  # fmt: skip


def _arrays(system: Any) -> tuple[NDArray, NDArray, list[NDArray]]:
    """Return tokens X (n, 2, d), labels (n,) and the weights W_Q, W_K (m_k, d), W_V_pos, W_V_neg (m_v, d)."""
    data, blocks = system.data, system.layout.views(system.start)
    X = np.stack([data.y[:, None] * data.mu, data.xi], axis=1)
    return X, data.y, [np.array(w, order="C") for w in (blocks.W_QK[0].T, blocks.W_QK[1].T, blocks.W_V[0], blocks.W_V[1])]


def _quantities(y: Any, Q: Any, K: Any, V: Any, p: Any, loss: Any) -> tuple[Any, ...]:
    """Return the nine quantities in the order of `NAMES`; Q, K: (n, 2, m_k), V: (n, 2) mean values, p: (n, 2, 2)."""
    return (
        y[0] * V[0, 0], y * V[:, 1], y[0] * Q[0, 0], y[0] * K[0, 0], (y[:, None] * Q[:, 1]).T, (y[:, None] * K[:, 1]).T,
        p[:, 0, 0], p[:, 1, 0], loss,
    )  # fmt: skip


def _torch_arrays(system: Any) -> tuple[Any, ...]:
    import torch

    X, y, weights = _arrays(system)
    return torch.from_numpy(X), torch.from_numpy(y), [torch.from_numpy(w).requires_grad_() for w in weights]


def torch_straightforward(system: Any, lr: float, steps: int) -> dict[str, NDArray]:
    """Run eager PyTorch, float64, written for reading: one einsum for each formula, ``w -= lr * sign(grad)``."""
    import torch

    X, y, weights = _torch_arrays(system)
    W_Q, W_K, W_V_pos, W_V_neg = weights
    record: list[tuple[Any, ...]] = []
    for step in range(steps + 1):
        Q, K = torch.einsum("ild,rd->ilr", X, W_Q), torch.einsum("ild,rd->ilr", X, W_K)
        p = torch.softmax(torch.einsum("ilr,iar->ila", Q, K), dim=-1)
        V_pos, V_neg = torch.einsum("iad,rd->iar", X, W_V_pos), torch.einsum("iad,rd->iar", X, W_V_neg)
        f = torch.einsum("ila,iar->ir", p, V_pos).mean(-1) - torch.einsum("ila,iar->ir", p, V_neg).mean(-1)
        loss = torch.nn.functional.softplus(-y * f).mean()
        with torch.no_grad():
            record.append(tuple(a.clone() for a in _quantities(y, Q, K, V_pos.mean(-1) - V_neg.mean(-1), p, loss)))
        if step < steps:
            for w in weights:
                w.grad = None
            loss.backward()
            with torch.no_grad():
                for w in weights:
                    w -= lr * torch.sign(w.grad)
    return {name: torch.stack([row[i] for row in record]).numpy() for i, name in enumerate(NAMES)}


def torch_tuned(system: Any, lr: float, steps: int) -> dict[str, NDArray]:
    """Run eager PyTorch, float64, written for speed: plain products, values averaged first, in-place update and record."""
    import torch

    X, y, weights = _torch_arrays(system)
    W_Q, W_K, W_V_pos, W_V_neg = weights
    n, m_k = len(y), len(W_Q)
    shapes = ((), (n,), (m_k,), (m_k,), (m_k, n), (m_k, n), (n,), (n,), ())
    record = {name: torch.empty((steps + 1, *shape), dtype=torch.float64) for name, shape in zip(NAMES, shapes, strict=True)}
    for step in range(steps + 1):
        Q, K = X @ W_Q.T, X @ W_K.T
        p = torch.softmax(Q @ K.mT, dim=-1)
        V = (X @ W_V_pos.T).mean(-1) - (X @ W_V_neg.T).mean(-1)
        loss = torch.nn.functional.softplus(-y * (p @ V[:, :, None]).sum((1, 2))).mean()
        with torch.no_grad():
            for buffer, value in zip(record.values(), _quantities(y, Q, K, V, p, loss), strict=True):
                buffer[step] = value
        if step < steps:
            loss.backward()
            with torch.no_grad():
                for w in weights:
                    w.sub_(w.grad.sign_(), alpha=lr)
                    w.grad = None
    return {name: a.numpy() for name, a in record.items()}


def torch_tokens(system: Any, rule: Any, steps: int) -> dict[str, NDArray]:
    """Run eager PyTorch, float64, on samples of general tokens, written for speed like `torch_tuned`; SignGD or gradient descent."""
    import torch

    blocks, signs = system.layout.views(system.start), type(rule).__name__ == "SignGD"
    X, y = torch.from_numpy(system.data.X), torch.from_numpy(system.data.y)
    matrices = (blocks.W_QK[0].T, blocks.W_QK[1].T, blocks.W_V[0], blocks.W_V[1])
    weights = [torch.from_numpy(np.array(w, order="C")).requires_grad_() for w in matrices]
    W_Q, W_K, W_V_pos, W_V_neg = weights
    losses = torch.empty(steps + 1, dtype=torch.float64)
    for step in range(steps + 1):
        p = torch.softmax((X @ W_Q.T) @ (X @ W_K.T).mT, dim=-1)
        V = (X @ W_V_pos.T).mean(-1) - (X @ W_V_neg.T).mean(-1)
        loss = torch.nn.functional.softplus(-y * (p @ V[:, :, None]).sum((1, 2))).mean()
        losses[step] = loss.detach()
        if step < steps:
            loss.backward()
            with torch.no_grad():
                for w in weights:
                    w.sub_(w.grad.sign_() if signs else w.grad, alpha=rule.lr)
                    w.grad = None
    return {"train_loss": losses.numpy()}


@functools.cache
def _jax_run(steps: int) -> Any:
    import jax
    import jax.numpy as jnp

    def loss_of(weights: Any, X: Any, y: Any) -> Any:
        W_Q, W_K, W_V_pos, W_V_neg = weights
        Q, K = X @ W_Q.T, X @ W_K.T
        p = jax.nn.softmax(Q @ K.mT, axis=-1)
        V = (X @ W_V_pos.T).mean(-1) - (X @ W_V_neg.T).mean(-1)
        loss = jax.nn.softplus(-y * (p @ V[:, :, None]).sum((1, 2))).mean()
        return loss, _quantities(y, Q, K, V, p, loss)

    def run(weights: Any, X: Any, y: Any, lr: float) -> Any:
        def step(weights: Any, _: Any) -> Any:
            (_, values), grads = jax.value_and_grad(loss_of, has_aux=True)(weights, X, y)
            return [w - lr * jnp.sign(g) for w, g in zip(weights, grads, strict=True)], values

        return jax.lax.scan(step, weights, None, length=steps + 1)[1]

    return jax.jit(run)


def jax_jitted(system: Any, lr: float, steps: int) -> dict[str, NDArray]:
    """Run JAX, float64, the whole run as one compiled `scan`; only the first call of a length pays for the compilation."""
    import jax

    jax.config.update("jax_enable_x64", True)
    X, y, weights = _arrays(system)
    return {name: np.asarray(a) for name, a in zip(NAMES, _jax_run(steps)(weights, X, y, lr), strict=True)}
