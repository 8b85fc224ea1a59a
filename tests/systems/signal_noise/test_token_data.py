"""Samples of general tokens: the law of the paper with more than one noise token."""

import numpy as np
import pytest

from dynsim.systems import signal_noise
from dynsim.systems.signal_noise import Setting, draw_tokens, initial_weights

from ...helpers import same_bits


@pytest.mark.parametrize("disjoint", [False, True])
def test_two_tokens_are_those_of_the_dense_system(disjoint):
    setting = Setting(n=5, d=80, s=9, disjoint=disjoint)
    X, y = draw_tokens(setting, 2, seed=3)
    data = signal_noise.dense(setting, seed=3).data
    np.testing.assert_array_equal(y, data.y)
    np.testing.assert_array_equal(X, np.stack([y[:, None] * data.mu, data.xi], axis=1))


@pytest.mark.parametrize("length", (2, 3, 5))
def test_one_signal_token_and_independent_noise(length):
    setting = Setting(n=300, d=40, s=7, sigma_p=1.7, mu_norm=2.5)
    X, y = draw_tokens(setting, length, seed=0)
    assert X.shape == (300, length, 40)
    assert (X[:, 0, 0] == 2.5 * y).all() and not X[:, 0, 1:].any() and not X[:, 1:, 0].any()
    noise = X[:, 1:, 1:]
    assert ((noise != 0).sum(-1) == 7).all()
    values = noise[noise != 0]
    assert abs(values.std() / 1.7 - 1) < 4 / np.sqrt(2 * values.size)  # four standard errors
    for a in range(length - 1):
        for b in range(a):
            products = (noise[:, a] * noise[:, b]).sum(-1)
            assert abs(products.mean()) < 4 * products.std() / np.sqrt(300) and products.std() > 0
    assert not same_bits(X, draw_tokens(setting, length, seed=1)[0]) and same_bits(X, draw_tokens(setting, length, seed=0)[0])


def test_disjoint_means_all_noise_tokens():
    X, _ = draw_tokens(Setting(n=4, d=61, s=5, disjoint=True), 4, seed=0)
    assert ((X != 0).sum((0, 1))[1:] == 1).all()


def test_initial_weights():
    weights = initial_weights(500, 30, 20, 0.02, seed=5)
    assert {name: w.shape for name, w in weights.items()} == {
        "W_Q": (30, 500), "W_K": (30, 500), "W_V_pos": (20, 500), "W_V_neg": (20, 500)}
    assert all(abs(w.std() / 0.02 - 1) < 4 / np.sqrt(2 * w.size) for w in weights.values())
    again = initial_weights(500, 30, 20, 0.02, seed=5)
    assert all(same_bits(weights[name], again[name]) for name in weights) and not same_bits(weights["W_Q"], weights["W_K"])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: draw_tokens(Setting(), 1, 0), ValueError, "length=1 must be an integer >= 2"),
        (lambda: draw_tokens(Setting(), 2.5, 0), ValueError, "length=2.5"),
        (lambda: draw_tokens(Setting(n=4, d=60, s=5, disjoint=True), 4, 0), ValueError, "raise d to 61 or set disjoint=False"),
        (lambda: draw_tokens(Setting(d=10**12), 2, 0), MemoryError, "d=1000000000000 need .* GiB"),
        (lambda: draw_tokens(Setting(), 2, -1), ValueError, "seed=-1"),
        (lambda: initial_weights(10, 0, 2, 0.1, 0), ValueError, "m_k=0"),
        (lambda: initial_weights(10, 1, 2, -0.1, 0), ValueError, "sigma_0=-0.1"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call()
