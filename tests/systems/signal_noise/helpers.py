"""What the tests of this system share: random settings and arrays, and the model written from its definition."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from dynsim import simulate
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.model import TwoTokenTransformer
from dynsim.systems.signal_noise.observables import OBSERVABLES

NINE = (
    "mean_value_signal", "mean_value_noise", "query_signal", "key_signal", "query_noise", "key_noise", "softmax_11", "softmax_21",
    "train_loss",
)


def random_setting(seed: int, *, disjoint: bool) -> signal_noise.Setting:
    """Draw every field of a setting, of moderate size; some supports meet unless `disjoint`."""
    rng = np.random.default_rng([seed, disjoint])
    n, s = int(rng.integers(2, 9)), int(rng.integers(2, 13))
    d = int(n * s + 1 + rng.integers(0, 60)) if disjoint else int(rng.integers(max(s + 2, n * s // 3), max(s + 3, n * s)))
    return signal_noise.Setting(
        n=n, d=d, s=s, sigma_p=float(rng.uniform(0.5, 3.0)), mu_norm=float(rng.uniform(0.5, 2.0)), m_k=int(rng.integers(3, 25)),
        m_v=int(rng.integers(1, 9)), sigma_0=float(10 ** rng.uniform(-2.5, -1)), disjoint=disjoint,
    )


def random_arrays(
    seed: int, *, n: int = 5, d: int = 24, m_k: int = 4, m_v: int = 3, scale: float = 0.6, dense: float = 0.4
) -> dict[str, Any]:
    """Draw what `from_arrays` takes: mu in a generic direction, sparse noise that overlaps it, a duplicate and a multiple."""
    rng = np.random.default_rng(seed)
    mu = np.where(rng.random(d) < dense, rng.standard_normal(d), 0.0)
    mu[0] = 1.0
    xi = np.where(rng.random((n, d)) < dense, rng.standard_normal((n, d)), 0.0)
    xi[:, 0] = rng.standard_normal(n)
    if n >= 4:
        xi[1], xi[3] = xi[0], -2.5 * xi[2]
    weights = {"W_Q": (m_k, d), "W_K": (m_k, d), "W_V_pos": (m_v, d), "W_V_neg": (m_v, d)}
    return {
        "mu": mu, "xi": xi, "y": rng.choice([-1.0, 1.0], n),
        **{name: scale * rng.standard_normal(shape) for name, shape in weights.items()},
    }


def definition(W_Q: Any, W_K: Any, W_V_pos: Any, W_V_neg: Any, *, mu: Any, xi: Any, y: Any, np: Any = np) -> Any:
    """Return the training loss token by token, as the model is defined: softmax over two tokens, value rows, labels.

    None of the package's closed forms is used. `np` may be autograd's wrapper.
    """
    loss = 0.0
    for i in range(len(y)):
        X = np.stack([y[i] * mu, xi[i]], axis=1)
        output = 0.0
        for token in range(2):
            scores = np.dot(np.dot(W_K, X).T, np.dot(W_Q, X[:, token]))
            weights = np.exp(scores - np.max(scores))
            p = weights / np.sum(weights)
            context = np.dot(X, p)
            output = output + np.sum(np.dot(W_V_pos, context)) / len(W_V_pos) - np.sum(np.dot(W_V_neg, context)) / len(W_V_neg)
        loss = loss + np.logaddexp(0.0, -y[i] * output)
    return loss / len(y)


def weights_of(system: Any, params: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return the weight matrices of a dense or restricted system in the paper's orientation."""
    views = system.layout.views(system.start if params is None else params)
    return {"W_Q": views.W_QK[0].T, "W_K": views.W_QK[1].T, "W_V_pos": views.W_V[0], "W_V_neg": views.W_V[1]}


def gradient_of(system: Any, params: np.ndarray | None = None, *, signs: bool = False) -> np.ndarray:
    """Return the hand-derived gradient as a flat vector."""
    params = np.array(system.start if params is None else params)
    views, flat = system.layout.views(params), np.full_like(params, np.nan)
    system.backward(views, system.forward(views), system.layout.views(flat), signs=signs)
    return flat


def as_form(system: TwoTokenTransformer, form: type[TwoTokenTransformer]) -> TwoTokenTransformer:
    """Return the same system as an instance of a subclass, for wrong and naive gradients."""
    return form(**{field.name: getattr(system, field.name) for field in fields(TwoTokenTransformer)})


def run_nine(system: Any, rule: Any, steps: int) -> Any:
    """Run and record the paper's nine quantities and the ties."""
    return simulate(system, rule, steps=steps, record=[*NINE, "ties"])


assert tuple(name for name, o in OBSERVABLES.items() if o.default) == NINE
