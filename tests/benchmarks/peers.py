r"""The same run written the way one would write it without dynsim: eager PyTorch with autograd, and jitted JAX.

All take the weights of a dense dynsim system, so that the recorded numbers can be compared. Samples are pairs of
tokens (y mu, xi), one batched product a layer; sign gradient descent on the gradient that automatic differentiation
returns; the nine default quantities are read off the forward pass before every update, as dynsim does. Each function
maps (system, lr, steps) to a dict of name to array (steps + 1, ...), axes in dynsim's order. `torch_tokens` is the peer of systems on
general tokens: it takes the rule and records the training loss.

`torch_bags` and what follows are the peers of systems on bags of tokens: the model as its paper writes it, all weights as
matrices, tokens as indices.

`torch_attention`, `torch_queries` and `torch_classifier` are the peers of attention kernels: functions from weights to the loss of one
kernel. `torch_attention_steps`, `torch_queries_steps` and `torch_classifier_steps` run them.

`torch_transformer` is the peer of the small transformer of gradient heterogeneity; `torch_transformer_steps` runs it,
`torch_transformer_gradient` and `torch_transformer_product` form its gradient and a product with its Hessian.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynsim import Adam

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


def torch_bags(system: Any, *, all_scores: bool, as_written: bool = False) -> Callable[..., Any]:
    """Return the loss of W (m1, m), W_V, W_K, W_Q (d, m), torch tensors.

    `as_written` is the model as its paper writes it: keys, queries and values of each sample's tokens, attention, two layers. Otherwise
    it is written for speed, a^T W before its products with tokens: `all_scores` multiplies all keys with all queries and reads each
    sample's scores off, for small vocabularies; without, each sample's keys and queries are gathered.
    """
    import torch

    (n, L), d, m = system.bags.tokens.shape, system.bags.d, system.m
    tokens, y, a = torch.from_numpy(system.bags.tokens), torch.from_numpy(system.bags.y), torch.from_numpy(system.initial["a"])
    flat, pairs = tokens.ravel(), tokens[:, :, None] * d + tokens[:, None, :]

    def loss(W: Any, W_V: Any, W_K: Any, W_Q: Any) -> Any:
        if as_written:
            keys, queries, values = (torch.nn.functional.embedding(tokens, w) for w in (W_K, W_Q, W_V))
            attended = torch.softmax(queries @ keys.mT / m**0.5, dim=-1) @ values
            return torch.nn.functional.softplus(-y * ((attended @ W.T) @ a).sum(1)).mean()
        if all_scores:
            scores = (W_K @ W_Q.T).ravel()[pairs]
        else:
            scores = W_K.index_select(0, flat).view(n, L, m) @ W_Q.index_select(0, flat).view(n, L, m).mT
        p = torch.softmax(scores / m**0.5, dim=1)
        F = (p.sum(2) * (W_V @ (a @ W))[tokens]).sum(1)
        return torch.nn.functional.softplus(-y * F).mean()

    return loss


def torch_rate(
    system: Any, *, all_scores: bool, as_written: bool = False,
) -> tuple[Callable[..., NDArray], Callable[[NDArray], float], NDArray]:
    """Return the right-hand side of gradient flow by autograd, a function of (time, params), the loss of params, and the initial params."""
    import torch

    loss = torch_bags(system, all_scores=all_scores, as_written=as_written)
    initial = [system.initial[name] for name in ("W", "W_V", "W_K", "W_Q")]
    ends = np.cumsum([w.size for w in initial])

    def weights(params: NDArray) -> list[Any]:
        flat = torch.from_numpy(params)
        return [flat[end - w.size : end].view(w.shape) for w, end in zip(initial, ends, strict=True)]

    def rate(_time: float, params: NDArray) -> NDArray:
        leaves = [w.requires_grad_() for w in weights(params)]
        grads = torch.autograd.grad(loss(*leaves), leaves)
        return torch.cat([g.ravel() for g in grads]).neg_().numpy()

    def value(params: NDArray) -> float:
        with torch.no_grad():
            return float(loss(*weights(params)))

    return rate, value, np.concatenate([w.ravel() for w in initial])


def torch_flow(system: Any, rule: Any, at: NDArray, *, as_written: bool = False) -> dict[str, NDArray]:
    """Integrate gradient flow by scipy's solver step by step, and read the loss at the times `at`, the first of which is 0."""
    from scipy import integrate

    rate, value, start = torch_rate(system, all_scores=False, as_written=as_written)
    solver = getattr(integrate, rule.method)(rate, 0.0, start, at[-1], rtol=rule.rtol, atol=rule.atol)
    losses = [value(start)]
    while solver.status == "running":
        solver.step()
        if len(losses) < len(at) and at[len(losses)] <= solver.t:
            inside = solver.dense_output()
            while len(losses) < len(at) and at[len(losses)] <= solver.t:
                losses.append(value(inside(at[len(losses)])))
    return {"train_loss": np.array(losses), "evaluations": np.array(solver.nfev)}


def torch_solve_ivp(system: Any, rule: Any, at: NDArray, *, as_written: bool = False) -> dict[str, NDArray]:
    """Do the same by one call of `solve_ivp`, which keeps the parameters at all these times."""
    from scipy.integrate import solve_ivp

    rate, value, start = torch_rate(system, all_scores=False, as_written=as_written)
    solved = solve_ivp(rate, (0.0, at[-1]), start, method=rule.method, t_eval=at, rtol=rule.rtol, atol=rule.atol)
    return {"train_loss": np.array([value(params) for params in np.ascontiguousarray(solved.y.T)]), "evaluations": np.array(solved.nfev)}


def torch_bags_steps(system: Any, lr: float, steps: int, *, all_scores: bool) -> dict[str, NDArray]:
    """Run gradient descent in eager PyTorch and record the loss before every update and at the end."""
    import torch

    loss = torch_bags(system, all_scores=all_scores)
    weights = [torch.from_numpy(system.initial[name].copy()).requires_grad_() for name in ("W", "W_V", "W_K", "W_Q")]
    losses = torch.empty(steps + 1, dtype=torch.float64)
    for step in range(steps + 1):
        now = loss(*weights)
        losses[step] = now.detach()
        if step < steps:
            grads = torch.autograd.grad(now, weights)
            with torch.no_grad():
                for w, g in zip(weights, grads, strict=True):
                    w.sub_(g, alpha=lr)
    return {"train_loss": losses.numpy()}


def _leaves(weights: dict[str, NDArray]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.array(w, order="C")).requires_grad_() for name, w in weights.items()}


def _descend(loss: Any, leaves: dict[str, Any], lr: float) -> None:
    import torch

    loss.backward()
    with torch.no_grad():
        for w in leaves.values():
            if w.grad is not None:
                w.sub_(w.grad, alpha=lr)
                w.grad = None


def _similarities(kernel: str, Q: Any, K: Any, c: float) -> Any:
    import torch

    if kernel == "softmax":
        return torch.softmax(Q @ K.mT / c, dim=-1)
    logits = (Q @ K.mT - 0.5 * Q.square().sum(-1)[..., :, None] - 0.5 * K.square().sum(-1)[..., None, :]) / c
    return torch.exp(logits) if kernel == "gaussian" else torch.softmax(logits, dim=-1)


ATTENTION = ("einsum", "matmul", "fused")
"""Ways to write a layer: one `einsum` a formula; batched products; PyTorch's own scaled_dot_product_attention, which is softmax only."""


def torch_attention(system: Any, kernel: int, form: str) -> Callable[..., Any]:
    """Return the loss of W_Q, W_K, W_V (D, H, d), W_O (H, d, d_o), torch tensors, of a kernel of an `AttentionModel`, a target a token."""
    import torch

    X, Y = torch.from_numpy(system.samples.X), torch.from_numpy(system.samples.Y[kernel])
    name, c, (N, n, _) = system.kernels[kernel].name, system.c, system.samples.X.shape

    def loss(W_Q: Any, W_K: Any, W_V: Any, W_O: Any) -> Any:
        if form == "einsum":
            Q, K, V = (torch.einsum("ikD,Dhr->ihkr", X, w) for w in (W_Q, W_K, W_V))
            out = torch.einsum("ihkj,ihjr,hro->iko", _similarities(name, Q, K, c), V, W_O)
        else:
            H, d, d_o = W_O.shape
            Q, K, V = ((X @ w.view(-1, H * d)).view(N, n, H, d).transpose(1, 2) for w in (W_Q, W_K, W_V))
            if form == "fused":
                heads = torch.nn.functional.scaled_dot_product_attention(Q, K, V, scale=1.0 / c)
            else:
                heads = _similarities(name, Q, K, c) @ V
            out = heads.transpose(1, 2).reshape(N, n, H * d) @ W_O.view(H * d, d_o)
        return (out - Y).square().sum() / (2 * N)

    return loss


def attention_weights(system: Any) -> dict[str, NDArray]:
    """Return the initial weights of an `AttentionModel` with one start."""
    return {name: system.weights[name][0] for name in ("W_Q", "W_K", "W_V", "W_O")}


def torch_attention_steps(system: Any, lr: float, steps: int, form: str) -> dict[str, NDArray]:
    """Run gradient descent on all four blocks, one kernel after the other; losses (steps + 1, kernels)."""
    import torch

    losses = torch.empty((steps + 1, len(system.kernels)), dtype=torch.float64)
    for kernel in range(len(system.kernels)):
        loss, leaves = torch_attention(system, kernel, form), _leaves(attention_weights(system))
        for step in range(steps + 1):
            now = loss(**leaves)
            losses[step, kernel] = now.detach()
            if step < steps:
                _descend(now, leaves, lr)
    return {"train_loss": losses.numpy()}


def torch_queries(system: Any, kernel: int) -> Callable[[Any], Any]:
    """Return the loss of queries (starts, d), a torch tensor, of one kernel of an example with one query: the sum over starts."""
    import torch

    keys, values = torch.from_numpy(system.keys[0, 0]), torch.from_numpy(system.values[0, 0, :, 0])
    name, c, y = system.kernels[kernel].name, system.c, float(system.targets[kernel, 0, 0, 0])
    return lambda q: 0.5 * (_similarities(name, q, keys, c) @ values - y).square().sum()


def torch_queries_steps(system: Any, lr: float, steps: int, starts: slice) -> NDArray:
    """Run gradient descent of some of the starts together, one kernel after the other; return the queries, (kernels, starts, d)."""
    found = []
    for kernel in range(len(system.kernels)):
        loss, leaves = torch_queries(system, kernel), _leaves({"q": system.queries[0, 0, starts, 0]})
        for _ in range(steps):
            _descend(loss(**leaves), leaves, lr)
        found.append(leaves["q"].detach().numpy())
    return np.stack(found)


def torch_classifier(system: Any, kernel: int) -> Callable[..., Any]:
    """Return the loss of tokens (B, n), classes (B,) and all weights of one kernel of a `Classifier`, torch tensors."""
    import torch

    name, c = system.kernels[kernel].name, system.c

    def loss(tokens: Any, y: Any, w: dict[str, Any]) -> Any:
        x = torch.nn.functional.embedding(tokens, w["embedding"]) + w["positions"]
        B, n, D = x.shape
        for layer in range(1, system.layers + 1):
            H, d, _ = w[f"W_O_{layer}"].shape
            Q, K, V = ((x @ w[f"{block}_{layer}"].view(D, H * d)).view(B, n, H, d).transpose(1, 2) for block in ("W_Q", "W_K", "W_V"))
            out = (_similarities(name, Q, K, c) @ V).transpose(1, 2).reshape(B, n, H * d) @ w[f"W_O_{layer}"].view(H * d, D)
            x = x + out if system.residual else out
        hidden = torch.relu(torch.addmm(w["b_1"], x.mean(1), w["W_1"]))
        return torch.nn.functional.cross_entropy(torch.addmm(w["b_2"], hidden, w["W_2"]), y)

    return loss


def torch_classifier_steps(system: Any, lr: float, steps: int) -> dict[str, NDArray]:
    """Run gradient descent on the mini-batches that dynsim takes, all weights, one kernel after the other; losses (steps + 1, kernels)."""
    import torch

    tokens, y = torch.from_numpy(system.train.tokens), torch.from_numpy(system.train.y)
    losses = torch.empty((steps + 1, len(system.kernels)), dtype=torch.float64)
    for kernel in range(len(system.kernels)):
        loss, leaves = torch_classifier(system, kernel), _leaves(dict(system.weights))
        for step in range(steps + 1):
            batch = torch.from_numpy(system.batch(step))
            now = loss(tokens[batch], y[batch], leaves)
            losses[step, kernel] = now.detach()
            if step < steps:
                _descend(now, leaves, lr)
    return {"train_loss": losses.numpy()}


def _losses_at_the_start(system: Any, form: str) -> tuple[list[Any], list[dict[str, Any]], tuple[Any, ...]]:
    """Return the peers' losses of all kernels, the tensors they are of, and what `forward` takes besides parameters."""
    import torch

    kernels = range(len(system.kernels))
    if hasattr(system, "queries"):
        leaves = [_leaves({"q": system.queries[0, 0, :, 0]}) for _ in kernels]
        return [torch_queries(system, i)(**leaves[i]) for i in kernels], leaves, ()
    if hasattr(system, "train"):
        leaves, batch = [_leaves(dict(system.weights)) for _ in kernels], system.batch(0)
        tokens, y = torch.from_numpy(system.train.tokens[batch]), torch.from_numpy(system.train.y[batch])
        return [torch_classifier(system, i)(tokens, y, leaves[i]) for i in kernels], leaves, (batch,)
    leaves = [_leaves(attention_weights(system)) for _ in kernels]
    return [torch_attention(system, i, form)(**leaves[i]) for i in kernels], leaves, ()


def attention_gap(system: Any, form: str = "matmul") -> float:
    """Return the largest relative difference between dynsim and a peer in any kernel's loss or any block's gradient, at the start."""
    params = np.array(system.start)
    views, out = system.layout.views(params), system.layout.views(np.empty_like(params))
    losses, leaves, batch = _losses_at_the_start(system, form)
    cache = system.forward(views, *batch)
    system.backward(views, cache, out)
    gaps = []
    for i, (loss, weights) in enumerate(zip(losses, leaves, strict=True)):
        loss.backward()
        gaps.append(abs(float(loss.detach()) / float(cache.losses[i].sum()) - 1.0))
        for name in system.layout.shapes:
            ours, theirs = getattr(out, name)[i].ravel(), weights[name].grad.numpy().ravel()
            gaps.append(float(np.abs(ours - theirs).max() / np.abs(ours).max()))
    return max(gaps)


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


# -- the small transformer of gradient heterogeneity -------------------------------------------------------------------


def torch_transformer(system: Any) -> Callable[..., Any]:
    """Return the loss of tokens (B, n), classes (B,) and all blocks of a `TransformerModel`, torch tensors, in PyTorch's own functions."""
    import torch

    setting, functional = system.setting, torch.nn.functional
    H, d = setting.heads, setting.d

    def linear(x: Any, w: dict[str, Any], name: str) -> Any:
        return functional.linear(x, w[f"W_{name}"].T, w.get(f"b_{name}"))

    def normalise(x: Any, w: dict[str, Any], name: str) -> Any:
        return functional.layer_norm(x, (d,), w[f"gain_{name}"], w.get(f"shift_{name}"), 0.0)

    def attend(x: Any, w: dict[str, Any], layer: int, kept: int) -> Any:
        B, n, _ = x.shape
        Q = linear(x[:, :kept], w, f"Q_{layer}").view(B, kept, H, d // H).transpose(1, 2)
        K, V = (linear(x, w, f"{letter}_{layer}").view(B, n, H, d // H).transpose(1, 2) for letter in "KV")
        heads = torch.softmax(Q @ K.mT * (d // H) ** -0.5, dim=-1) @ V
        return linear(heads.transpose(1, 2).reshape(B, kept, d), w, f"O_{layer}")

    def perceptron(x: Any, w: dict[str, Any], layer: int, _: int) -> Any:
        return linear(torch.relu(linear(x, w, f"1_{layer}")), w, f"2_{layer}")

    def loss(tokens: Any, y: Any, w: dict[str, Any]) -> Any:
        x = functional.embedding(tokens, w["embedding"]) + w["positions"]
        for layer in range(1, setting.layers + 1):
            kept = 1 if layer == setting.layers else x.shape[1]  # the head reads the first token only, here as in dynsim
            for number, branch in ((1, attend), (2, perceptron)):
                name = f"{layer}_{number}"
                y_ = x[:, :kept] + branch(normalise(x, w, name) if setting.norm == "pre" else x, w, layer, kept)
                x = normalise(y_, w, name) if setting.norm == "post" else y_
        x = x[:, 0]
        if "gain_final" in w:
            x = normalise(x, w, "final")
        return functional.cross_entropy(functional.linear(x, w["head"].T, w.get("b_head")), y)

    return loss


def _transformer_leaves(system: Any) -> dict[str, Any]:
    return _leaves(vars(system.layout.views(np.array(system.start))))


def transformer_gap(system: Any) -> tuple[float, float]:
    """Return the relative difference between dynsim and the peer in the loss, and the largest in a block's gradient, at the start."""
    import torch

    params, batch, leaves = np.array(system.start), system.batch(0), _transformer_leaves(system)
    views, out = system.layout.views(params), system.layout.views(np.empty_like(params))
    cache = system.forward(views, batch)
    system.backward(views, cache, out)
    loss = torch_transformer(system)(torch.from_numpy(batch.tokens), torch.from_numpy(batch.y), leaves)
    loss.backward()
    gaps = []
    for name in system.layout.shapes:
        ours, theirs = getattr(out, name), leaves[name].grad.numpy()
        gaps.append(float(np.abs(ours - theirs).max() / np.abs(ours).max()))
    return abs(float(loss.detach()) / float(cache.loss) - 1.0), max(gaps)


def torch_transformer_steps(system: Any, rule: Any, steps: int, *, fused: bool = False) -> dict[str, NDArray]:
    """Run torch.optim.Adam, by default its loop over lists of tensors ("foreach"), or SGD on the sequences that dynsim takes."""
    import torch

    loss, leaves = torch_transformer(system), _transformer_leaves(system)
    form = {"fused": fused, "foreach": not fused}
    if isinstance(rule, Adam):
        optimizer: Any = torch.optim.Adam(leaves.values(), lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.eps, **form)
    else:
        optimizer = torch.optim.SGD(leaves.values(), lr=rule.lr, momentum=rule.momentum, **form)
    losses = torch.empty(steps + 1, dtype=torch.float64)
    for step in range(steps + 1):
        batch = system.batch(step)
        now = loss(torch.from_numpy(batch.tokens), torch.from_numpy(batch.y), leaves)
        losses[step] = now.detach()
        if step < steps:
            optimizer.zero_grad()
            now.backward()
            optimizer.step()
    return {"train_loss": losses.numpy()}


def torch_transformer_gradient(system: Any) -> Callable[[], list[Any]]:
    """Return a function that forms the gradient on the first step's sequences, a tensor a block."""
    import torch

    loss, leaves, batch = torch_transformer(system), _transformer_leaves(system), system.batch(0)
    tokens, y, blocks = torch.from_numpy(batch.tokens), torch.from_numpy(batch.y), list(leaves.values())
    return lambda: list(torch.autograd.grad(loss(tokens, y, leaves), blocks))


def torch_transformer_product(system: Any, v: NDArray) -> Callable[[], list[Any]]:
    """Return a function that multiplies a direction (P,) by the Hessian there: the gradient, and backward once more through it."""
    import torch

    loss, leaves, batch = torch_transformer(system), _transformer_leaves(system), system.batch(0)
    tokens, y, blocks = torch.from_numpy(batch.tokens), torch.from_numpy(batch.y), list(leaves.values())
    along = [torch.from_numpy(np.array(part)) for part in vars(system.layout.views(v)).values()]

    def product() -> list[Any]:
        slope = torch.autograd.grad(loss(tokens, y, leaves), blocks, create_graph=True)
        return list(torch.autograd.grad(slope, blocks, along))

    return product


def transformer_product_gap(system: Any, v: NDArray) -> float:
    """Return the largest difference of dynsim's and the peer's product in a block, relative to the largest entry of the block."""
    views, out = system.layout.views(np.array(system.start)), system.layout.views(np.empty(system.layout.size))
    system.hessian_vector(views, system.forward(views, system.batch(0)), system.layout.views(v), out)
    pairs = zip(vars(out).values(), (part.numpy() for part in torch_transformer_product(system, v)()), strict=True)
    return max(float(np.abs(ours - theirs).max() / np.abs(ours).max()) for ours, theirs in pairs)
