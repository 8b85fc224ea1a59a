r"""The lumped update with disjoint supports written as one compiled loop over runs and steps: the peer of a batch.

Sign gradient descent in float64 with the arithmetic of `dynsim.systems.signal_noise.model`: coefficients by their logarithms, so
that signs survive where values underflow, and sgn(0) = 0. It records what a sweep would want and no more: the first step at which
the mean of s_11 over the samples is below 0.1, and the training loss at the end. One thread. The compiler may sum dot products in
any order, as BLAS does; nothing else is relaxed.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

BELOW = 0.1
"""The step is noted at which the mean of s_11 first lies below this."""


@functools.cache
def _compiled() -> Any:
    """Compile on first use, and keep it for this process."""
    import numba

    jit = numba.njit(error_model="numpy")

    @numba.njit(error_model="numpy", fastmath={"reassoc", "contract"})
    def dot(x, y):  # type: ignore[no-untyped-def]
        total = 0.0
        for r in range(len(x)):
            total += x[r] * y[r]
        return total

    @jit
    def move(x, gradient, stride):  # type: ignore[no-untyped-def]
        for r in range(len(x)):
            x[r] -= stride * ((1.0 if gradient[r] > 0.0 else 0.0) - (1.0 if gradient[r] < 0.0 else 0.0))

    @jit
    def run(Q, K, v, stride_QK, stride_v, steps, below):  # type: ignore[no-untyped-def]
        runs, tokens, m_k = Q.shape
        n = tokens - 1
        log_n = math.log(n)
        first, final_loss = np.full(runs, -1), np.empty(runs)
        a = np.empty((n, m_k))
        g, of_q, of_k = np.empty(m_k), np.empty(m_k), np.empty(m_k)
        log_c1, log_c2, top, sign = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        for i in range(runs):
            q, k = Q[i, 0], K[i, 0]
            for step in range(steps + 1):
                loss, mean = 0.0, 0.0
                top_1 = top_all = -np.inf
                for j in range(n):
                    th, ka, a_j = Q[i, j + 1], K[i, j + 1], a[j]
                    for r in range(m_k):
                        a_j[r] = k[r] - ka[r]
                    z1, z2 = dot(a_j, q), dot(th, a_j)
                    e1, e2 = math.exp(-abs(z1)), math.exp(-abs(z2))
                    larger1, larger2 = 1.0 / (1.0 + e1), 1.0 / (1.0 + e2)
                    p1, q1 = (larger1, e1 * larger1) if z1 > 0 else (e1 * larger1, larger1)
                    p2, q2 = (larger2, e2 * larger2) if z2 > 0 else (e2 * larger2, larger2)
                    A, B = v[i, 0], v[i, j + 1]
                    margin = (p1 + p2) * A + (q1 + q2) * B
                    one_loss = math.log1p(math.exp(-abs(margin))) - min(margin, 0.0)
                    loss += one_loss
                    mean += p1
                    log_lD = math.log(max(abs(B - A), 5e-324)) - log_n - (one_loss + margin)
                    log_c1[j] = log_lD - abs(z1) - 2.0 * math.log1p(e1)
                    log_c2[j] = log_lD - abs(z2) - 2.0 * math.log1p(e2)
                    top[j] = max(log_c1[j], log_c2[j])
                    top_1, top_all = max(top_1, log_c1[j]), max(top_all, top[j])
                    sign[j] = np.sign(B - A)
                if first[i] < 0 and mean / n < below:
                    first[i] = step
                if step == steps:
                    final_loss[i] = loss / n
                    break
                of_q[:] = 0.0
                of_k[:] = 0.0
                for j in range(n):
                    th, ka, a_j = Q[i, j + 1], K[i, j + 1], a[j]
                    s = sign[j]
                    w = s * math.exp(log_c1[j] - top_1)
                    gap = log_c1[j] - log_c2[j]
                    small = math.exp(-abs(gap))
                    c1, c2 = (s, s * small) if gap > 0 else (s * small, s)
                    w_k = math.exp(top[j] - top_all)
                    for r in range(m_k):
                        push = c1 * q[r] + c2 * th[r]
                        of_q[r] += w * a_j[r]
                        of_k[r] += w_k * push
                        g[r] = -push
                    move(ka, g, stride_QK[i, 1, j + 1])
                    for r in range(m_k):
                        g[r] = s * a_j[r]
                    move(th, g, stride_QK[i, 0, j + 1])
                move(q, of_q, stride_QK[i, 0, 0])
                move(k, of_k, stride_QK[i, 1, 0])
                for j in range(tokens):
                    v[i, j] += stride_v[i, j]
        return first, final_loss

    return run


def arrays(system: Any, lr: float) -> tuple[NDArray, ...]:
    """Return contiguous copies of what the loop starts from: Q, K (runs, n + 1, m_k), v (runs, n + 1) and the strides."""
    start, scale = system.layout.views(system.start), system.layout.views(system.step_scale)
    return start.W_QK[:, 0].copy(), start.W_QK[:, 1].copy(), start.v.copy(), lr * scale.W_QK[..., 0], lr * scale.v


def compiled_loop(start: tuple[NDArray, ...], steps: int) -> tuple[tuple[NDArray, ...], NDArray, NDArray]:
    """Run every run from what `arrays` returned; return Q, K, v at the end, first step with mean s_11 < `BELOW` (-1: none), loss."""
    Q, K, v = (a.copy() for a in start[:3])
    first, loss = _compiled()(Q, K, v, *start[3:], steps, BELOW)
    return (Q, K, v), first, loss


def dynsim_batch(system: Any, rule: Any, steps: int) -> tuple[Any, NDArray, NDArray]:
    """Run the same with dynsim; return the trajectory, the first step with mean s_11 < `BELOW` (-1: none), loss."""
    from dynsim import simulate

    run = simulate(system, rule, steps=steps, record={"softmax_11_mean": 1, "train_loss": max(steps, 1)})
    below = run["softmax_11_mean"] < BELOW
    return run, np.where(below.any(axis=0), below.argmax(axis=0), -1), run["train_loss"][-1]


def gap(system: Any, rule: Any, steps: int) -> float:
    """Return the largest relative difference between the two after some steps; infinite if they note different steps."""
    run, first, loss = dynsim_batch(system, rule, steps)
    ends, their_first, their_loss = compiled_loop(arrays(system, rule.lr), steps)
    views = system.layout.views(run.final)
    pairs = zip((views.W_QK[:, 0], views.W_QK[:, 1], views.v, loss), (*ends, their_loss), strict=True)
    worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    return worst if (first == their_first).all() else math.inf
