"""One layer against loops over samples, heads and tokens; its gradients against complex steps and autograd."""

from itertools import combinations

import numpy as np
import pytest

from dynsim.systems.attention_kernels.attention import BLOCKS, attend, attend_pullback
from dynsim.systems.attention_kernels.kernels import KERNELS

from ...helpers import gap, same_bits
from .helpers import ROUNDING, gradient, looped, random_tokens, random_weights

CASES = {"two heads": (3, 4, 5, 2, 3, 2), "one token": (2, 1, 4, 2, 2, 1), "wide": (1, 3, 2, 3, 5, 6), "one of each": (1, 1, 1, 1, 1, 1)}
"""Samples, tokens, dimension, heads, dimension of a head, outputs."""

WANTED = [subset for size in range(1, 6) for subset in combinations((*BLOCKS, "X"), size)]


def drawn(case, seed=0, lead=()):
    N, n, D, H, d, d_o = CASES[case]
    rng = np.random.default_rng(seed)
    return random_tokens(rng, N, n, D), random_weights(rng, D, H, d, d_o, lead=lead), rng.standard_normal((*lead, N, n, d_o))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_the_layer_is_the_definition(case, name):
    X, W, _ = drawn(case)
    want = looped(X, W, name, 1.4)
    assert gap(attend(X, W, KERNELS[name], 1.4).out, want) < ROUNDING
    exchanged = {**W, "W_Q": W["W_K"], "W_K": W["W_Q"]}  # negative control
    assert gap(attend(X, exchanged, KERNELS[name], 1.4).out, want) > 1e-4 or CASES[case][1] == 1


def test_starts_and_samples_do_not_meet():
    X, W, R = drawn("two heads", lead=(3,))
    for name, kernel in KERNELS.items():
        tape = attend(X, W, kernel, 1.2)
        assert tape.out.shape == (3, 3, 4, 2) and tape.S.shape == (3, 3, 2, 4, 4)
        pulled = attend_pullback(R, tape, BLOCKS)
        for i in range(3):
            one = {block: w[i] for block, w in W.items()}
            assert gap(tape.out[i], looped(X, one, name, 1.2)) < ROUNDING
            single = attend_pullback(R[i], attend(X, one, kernel, 1.2), BLOCKS)
            assert all(gap(pulled[block][i], single[block]) < ROUNDING for block in BLOCKS)
    shuffled = np.array([2, 0, 1])
    one = {block: w[0] for block, w in W.items()}
    for kernel in KERNELS.values():
        assert gap(attend(X[shuffled], one, kernel, 1.2).out, attend(X, one, kernel, 1.2).out[shuffled]) < 1e-14
        order = np.array([3, 1, 0, 2])  # nor have tokens an order
        assert gap(attend(X[:, order], one, kernel, 1.2).out, attend(X, one, kernel, 1.2).out[:, order]) < 1e-14


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_pullback_of_random_cotangents_against_complex_steps(case, name):
    """<R, d MH> along random directions in each block and in the tokens."""
    h, kernel = 1e-30, KERNELS[name]
    X, W, R = drawn(case, seed=3)
    tape = attend(X, W, kernel, 1.4)
    pulled = attend_pullback(R, tape, (*BLOCKS, "X"))
    rng = np.random.default_rng(5)
    for block, at in {**W, "X": X}.items():
        for _ in range(3):
            u = rng.standard_normal(at.shape)
            moved = attend(X + 1j * h * u, W, kernel, 1.4) if block == "X" else attend(X, {**W, block: at + 1j * h * u}, kernel, 1.4)
            want = (R * moved.out.imag / h).sum()
            size = np.linalg.norm(pulled[block]) * np.linalg.norm(u)
            assert abs((pulled[block] * u).sum() - want) <= 1e-13 * size + 1e-15 * np.abs(R).sum(), block


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_against_autograd_of_the_formula(name):
    for case in CASES:
        X, W, Y = drawn(case, seed=1)
        tape = attend(X, W, KERNELS[name], 1.4)
        found = attend_pullback((tape.out - Y) / len(X), tape, BLOCKS)
        want = gradient(X, Y, np.eye(X.shape[1]), W, name, 1.4)
        size = max(np.abs(g).max() for g in want.values())  # one token's softmax moves neither queries nor keys
        for block in BLOCKS:
            assert found[block].shape == W[block].shape and np.abs(found[block] - want[block]).max() < ROUNDING * size, (case, block)


def test_what_is_wanted_is_what_comes_and_does_not_depend_on_the_rest():
    X, W, R = drawn("two heads")
    for kernel in KERNELS.values():
        tape = attend(X, W, kernel, 1.0)
        kept = {name: getattr(tape, name).copy() for name in ("out", "Q", "K", "V", "S", "Z")}
        every = attend_pullback(R, tape, (*BLOCKS, "X"))
        for wanted in WANTED:
            found = attend_pullback(R, tape, wanted)
            assert set(found) == set(wanted)
            assert all(same_bits(found[name], every[name]) for name in wanted), wanted
        assert all(same_bits(getattr(tape, name), a) for name, a in kept.items()), "a tape may be pulled back more than once"
        assert attend_pullback(R, tape, ()) == {}
