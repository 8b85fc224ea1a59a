"""The transformer against PyTorch's automatic differentiation: the peer that the benchmarks race against computes the same."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, simulate
from dynsim.systems.gradient_heterogeneity.transformer.build import transformer
from dynsim.systems.gradient_heterogeneity.transformer.setting import NORMS, Transformer

from ...benchmarks import peers
from ...helpers import gap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of importing PyTorch are not ours
    torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # arrays this small only wait for other threads

ROUNDING = 1e-12
"""Sums of up to some thousand terms of order 1, and their differences, in another order."""


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_losses_and_gradients_agree(norm, layers, biases):
    system = transformer(Transformer(norm=norm, layers=layers, biases=biases, weight_scale=0.5, samples=4), 1)
    rng = np.random.default_rng(0)
    system = replace(system, start=system.start + 0.1 * rng.standard_normal(system.layout.size))  # biases and gains count, too
    loss, gradient = peers.transformer_gap(system)
    assert loss < ROUNDING and gradient < ROUNDING


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("norm", NORMS)
def test_products_with_the_hessian_agree(norm, layers):
    system = transformer(Transformer(norm=norm, layers=layers, weight_scale=0.5, samples=4), 1)
    rng = np.random.default_rng(0)
    start, v = system.start + 0.1 * rng.standard_normal(system.layout.size), rng.standard_normal(system.layout.size)
    system = replace(system, start=start)
    assert peers.transformer_product_gap(system, v) < 10 * ROUNDING  # twice as many operations, which cancel more
    found = np.concatenate([part.numpy().ravel() for part in peers.torch_transformer_gradient(system)()])
    ours, views = np.empty_like(start), system.layout.views(start)
    system.backward(views, system.forward(views, system.batch(0)), system.layout.views(ours))
    assert gap(ours, found) < ROUNDING


RULES = (Adam(1e-2), Adam(1e-2, 0.5, 0.9, 1e-3), GradientDescent(0.1), GradientDescent(0.03, momentum=0.9))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_runs_agree(rule):
    system = transformer(Transformer(samples=4), 1)
    ours = simulate(system, rule, steps=30)["train_loss"]
    theirs = peers.torch_transformer_steps(system, rule, 30)["train_loss"]
    assert np.ptp(ours) > 0.3 and np.abs(ours / theirs - 1).max() < 1e-9  # rounding, over 30 steps of a rule that divides by small numbers
