"""Losses and gradients against PyTorch's automatic differentiation: the peers that the benchmarks race against compute the same."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from dynsim import GradientDescent, simulate
from dynsim.systems.attention_kernels import dense, queries
from dynsim.systems.attention_kernels.settings import Classification, Example, Regression

from ...benchmarks import peers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of importing PyTorch are not ours
    torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # arrays this small only wait for other threads

ALL = "softmax+gaussian+row_gaussian"
LAYER = Regression(kernel=ALL, trained="QKVO", d_o=3)
ROUNDING = 1e-12
"""Sums of up to some thousand terms of order 1, and their differences, in another order."""


def systems():
    """Every form of the system, by name, with the form of the peer."""
    made = {f"layer, {form}": (dense(LAYER, seed=1), form) for form in ("einsum", "matmul")}
    made["layer, fused"] = (dense(LAYER.replace(kernel="softmax"), seed=1), "fused")
    made["one trained block"] = (dense(LAYER.replace(trained="K"), seed=1), "matmul")
    made.update({task: (queries(Example(kernel=ALL, task=task, starts=7, low=-2.0, high=2.0, y=0.3), seed=1), "") for task in ("E2", "E5")})
    for layers in (1, 2):
        setting = Classification(kernel=ALL, layers=layers, residual=layers == 1, samples=40, test=10)
        made[f"classifier, {layers} layers"] = (dense(setting, seed=1), "")
    return made


SYSTEMS = systems()


@pytest.mark.parametrize("name", SYSTEMS)
def test_losses_and_gradients_agree(name):
    system, form = SYSTEMS[name]
    assert peers.attention_gap(system, form) < ROUNDING
    # negative control: a scale of the logits that is wrong by a part in a million
    cache = system.forward(system.layout.views(np.array(system.start)), *([system.batch(0)] if hasattr(system, "batch") else []))
    wrong = replace(system, c=system.c * (1 + 1e-6))
    other = wrong.forward(system.layout.views(np.array(system.start)), *([system.batch(0)] if hasattr(system, "batch") else []))
    assert np.abs(other.losses / cache.losses - 1).max() > 100 * ROUNDING


@pytest.mark.parametrize("form", ["einsum", "matmul"])
def test_gradient_descent_on_a_layer_agrees(form):
    system = dense(LAYER, seed=1)
    ours = simulate(system, GradientDescent(0.05), steps=50, record=["train_loss"])["train_loss"][..., 0]
    theirs = peers.torch_attention_steps(system, 0.05, 50, form)["train_loss"]
    assert ours[-1].max() < 0.5 * ours[0].min()  # it moves
    assert np.abs(ours / theirs - 1).max() < 1e-11  # rounding, over 50 steps


def test_one_start_at_a_time_is_all_together():
    system = queries(Example(starts=5), seed=0)
    run = simulate(system, GradientDescent(1.0), steps=50, record=["train_loss"])
    together = system.layout.views(run.final).q[:, 0, 0, :, 0]
    alone = np.concatenate([peers.torch_queries_steps(system, 1.0, 50, slice(i, i + 1)) for i in range(5)], axis=1)
    assert np.abs(together - system.queries[0, 0, :, 0]).max() > 0.1 and np.abs(together - alone).max() < 1e-12


def test_mini_batches_agree():
    system = dense(Classification(kernel=ALL, samples=40, test=10, batch=8), seed=1)
    ours = simulate(system, GradientDescent(0.1), steps=20, record=["train_loss"])["train_loss"][..., 0]
    theirs = peers.torch_classifier_steps(system, 0.1, 20)["train_loss"]
    assert np.abs(ours / theirs - 1).max() < 1e-11 and np.ptp(ours) > 0.1
