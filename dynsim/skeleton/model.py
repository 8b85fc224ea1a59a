"""One layer of linear attention with key-query matrix u I and value v: f = (v/N) sum_i y_i <x_i, u x_q> = u v s.

With p = u v, a = mean(s^2), b = mean(s y) over the prompts, the loss is L = mean((f - y)^2) / 2 = (a p^2 - 2 b p + mean(y^2)) / 2:

    (1)  dL/du = (a p - b) v,  dL/dv = (a p - b) u
    (2)  along gradient flow (u^2 - v^2)' = -2 (a p - b) (u v - v u) = 0, so u = v stays so
    (3)  then p' = u' v + u v' = (b - a p) (v^2 + u^2) = 2 p (b - a p), which is logistic:
         p(t) = P / (1 + (P / p(0) - 1) exp(-2 b t)) with P = b / a
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from dynsim.layout import Layout
from dynsim.system import Observable

from .data import draw


@dataclass(frozen=True, eq=False)
class LinearAttention:
    """The model on its prompts; leading axes of the parameters are replicates."""

    s: np.ndarray  # (B,)
    y: np.ndarray  # (B,)
    start: np.ndarray  # (*replicates, 2)
    constants: dict
    provenance: dict
    layout = Layout({"u": (1,), "v": (1,)})
    step_scale, exact_for, alternative = 1.0, frozenset({"any"}), ""
    observables = {
        "train_loss": Observable(lambda params, cache: cache.loss, (), "training loss", "L"),
        "product": Observable(lambda params, cache: (params.u * params.v)[..., 0], (), "product of the weights", "u v"),
        "balance": Observable(lambda params, cache: (params.u**2 - params.v**2)[..., 0], (), "what gradient flow conserves", "u^2 - v^2"),
    }

    def forward(self, params):
        residual = params.u * params.v * self.s - self.y
        return SimpleNamespace(residual=residual, loss=np.mean(residual**2, axis=-1) / 2)

    def backward(self, params, cache, out, *, signs=False):
        slope = np.mean(cache.residual * self.s, axis=-1, keepdims=True)  # a p - b
        out.u[...] = slope * params.v
        out.v[...] = slope * params.u

    def replicates(self, index):
        return replace(self, start=self.start[index])


def dense(setting, seed=0):
    """Draw the model on the prompts of a seed.

    Parameters
    ----------
    setting : Setting
        Size of the task, and where training starts.
    seed : int
        Of the prompts, >= 0; another one draws others.
    """
    s, y = draw(setting, seed)
    about = {"system": __package__, "engine": "dense", "setting": setting.to_dict(), "seed": seed}
    return LinearAttention(s, y, np.full(2, setting.start), {"a": np.mean(s**2), "b": np.mean(s * y)}, about)


def best(setting, optimizer, seed=0):
    """Return the smallest system that is exact for a rule: here there is one only.

    Parameters
    ----------
    setting : Setting
        Size of the task, and where training starts.
    optimizer : Optimizer or GradientFlow
        The rule.
    seed : int
        Of the prompts, >= 0.
    """
    return dense(setting, seed)
