"""The model written out with one-hot tokens and dense matrices, in a dozen lines; random weights and bags."""

from types import SimpleNamespace

import autograd
import autograd.numpy as anp
import numpy as np

from dynsim.systems.cooccurrence.data import as_bags

BLOCKS = ("W", "W_V", "W_K", "W_Q")


def definition(weights, tokens, y):
    """Return p (n, key, query), G (d,), F (n,) and the loss by section 2.2 of arXiv 2410.09605; complex weights are welcome."""
    W, W_V, W_K, W_Q, a = (weights[name] for name in (*BLOCKS, "a"))
    X = anp.eye(len(W_V))[tokens]  # (n, position, token)
    scores = anp.matmul(anp.matmul(X, anp.dot(W_K, W_Q.T)), anp.swapaxes(X, 1, 2))  # (n, key, query)
    e = anp.exp(scores / anp.sqrt(W_V.shape[1]))
    p = e / anp.sum(e, axis=1, keepdims=True)
    G = anp.dot(W_V, anp.dot(W.T, a))
    F = anp.sum(anp.matmul(X, G)[:, :, None] * p, axis=(1, 2))
    return SimpleNamespace(p=p, G=G, F=F, loss=anp.mean(anp.log1p(anp.exp(-y * F))))


def gradient(weights, tokens, y):
    """Return the gradient of that loss by automatic differentiation, by block."""
    trained = {name: weights[name] for name in BLOCKS}
    return autograd.grad(lambda trained: definition({**trained, "a": weights["a"]}, tokens, y).loss)(trained)


def random_weights(rng, d, m=4, m1=3, *, scale=0.7, signs=True):
    weights = {name: scale * rng.standard_normal((m1 if name == "W" else d, m)) for name in BLOCKS}
    return {**weights, "a": rng.choice([-1.0, 1.0], m1) if signs else rng.standard_normal(m1)}


def random_bags(rng, n, L, d):
    """Bags of any tokens at all: repeated within a bag, labels that mean nothing, the last token there once for sure."""
    tokens, y = rng.integers(0, d, (n, L)), rng.choice([-1, 1], n)
    tokens[0, -1] = d - 1
    return as_bags(tokens, y)


def flat(system, blocks):
    """Return a parameter vector with these blocks, zero elsewhere."""
    params = np.zeros(system.layout.size)
    views = system.layout.views(params)
    for name, value in blocks.items():
        getattr(views, name)[...] = value
    return params
