"""Kernels against their common exponentials, pullbacks against complex steps of random cotangents; extreme logits."""

import numpy as np
import pytest

from dynsim.systems.attention_kernels.kernels import KERNELS, Kernel, kernels_of

from ...helpers import gap
from .helpers import ROUNDING

SHAPES = {"one query": ((), 1, 4, 3), "one key": ((), 3, 1, 2), "samples and heads": ((2, 3), 4, 5, 2)}
"""Leading axes, queries, keys, dimension."""


def draw(shape, seed=0, scale=1.0):
    lead, n, m, d = SHAPES[shape]
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((*lead, n, d)), scale * rng.standard_normal((*lead, m, d)), rng.standard_normal((*lead, n, m))


@pytest.mark.parametrize("shape", SHAPES)
def test_all_three_are_made_of_the_same_exponentials(shape):
    Q, K, _ = draw(shape)
    c = 1.7
    E = np.exp(np.einsum("...kd,...jd->...kj", Q, K) / c)
    left, right = (np.exp(-(x**2).sum(-1) / (2.0 * c)) for x in (Q, K))
    want = {"softmax": E / E.sum(-1, keepdims=True), "gaussian": left[..., :, None] * E * right[..., None, :]}
    want["row_gaussian"] = want["gaussian"] / want["gaussian"].sum(-1, keepdims=True)
    for name, kernel in KERNELS.items():
        found = kernel.value(Q, K, c)
        assert gap(found, want[name]) < ROUNDING, name
        assert gap(kernel.value(Q, K, 1.01 * c), want[name]) > 1e-4 or shape == "one key", "negative control: another scale is seen"


def test_the_same_rank_for_the_same_queries_and_keys():
    """Two diagonal factors that are positive change no rank: three distinct keys among six, or queries that are all alike."""
    rng = np.random.default_rng(1)
    Q, K = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    for queries, keys, rank in ((Q, K, 6), (Q, K[[0, 1, 2, 0, 1, 2]], 3), (np.zeros((6, 4)), K, 1), (Q, np.zeros((6, 4)), 1)):
        for name, kernel in KERNELS.items():
            assert np.linalg.matrix_rank(kernel.value(queries, keys, 2.0)) == rank, name


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pullbacks_against_complex_steps(shape, name):
    """d<C, S> along random directions of queries and keys; the complex step has rounding error only."""
    kernel, c, h = KERNELS[name], 1.3, 1e-30
    for seed in range(5):
        Q, K, C = draw(shape, seed, scale=1.5)
        dQ, dK = kernel.pullback(C.copy(), kernel.value(Q, K, c), Q, K, c)
        rng = np.random.default_rng(seed + 100)
        for of_queries, of_keys in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            u, v = of_queries * rng.standard_normal(Q.shape), of_keys * rng.standard_normal(K.shape)
            want = (C * kernel.value(Q + 1j * h * u, K + 1j * h * v, c).imag / h).sum()
            size = np.linalg.norm(dQ) * np.linalg.norm(u) + np.linalg.norm(dK) * np.linalg.norm(v)
            assert abs((dQ * u).sum() + (dK * v).sum() - want) <= 1e-14 * size + 1e-15 * np.abs(C).sum()
        only, nothing = kernel.pullback(C.copy(), kernel.value(Q, K, c), Q, K, c, keys=False)
        assert nothing is None and np.array_equal(only, dQ)
        wrong, _ = kernel.pullback(C.copy(), kernel.value(Q, K, c), Q, K, 1.01 * c)
        assert gap(wrong, dQ) > 1e-3 or not dQ.any(), "negative control"


def test_rows_that_sum_to_one_pull_no_constant_back():
    """Their rows sum to 1 whatever the queries are; the Gaussian's do not."""
    Q, K, _ = draw("samples and heads")
    for name, kernel in KERNELS.items():
        dQ, dK = kernel.pullback(np.ones((2, 3, 4, 5)), kernel.value(Q, K, 1.0), Q, K, 1.0)
        size = max(np.abs(dQ).max(), np.abs(dK).max())
        assert size > 0.1 if name == "gaussian" else size < 1e-14, name


@pytest.mark.parametrize("scale", [1e2, 1e5, 1e150])
def test_huge_logits_do_not_overflow(scale):
    """A logit of 1e300 is legal: softmax is the key with the largest, the Gaussian underflows to 0, and so do the gradients."""
    Q, K, C = draw("samples and heads", scale=scale)
    for name, kernel in KERNELS.items():
        S = kernel.value(Q, K, 1.0)
        assert np.isfinite(S).all() and (S >= 0.0).all() and (S <= 1.0).all()
        if name != "gaussian":
            np.testing.assert_allclose(S.sum(-1), 1.0, rtol=1e-15)
        elif scale > 1e4:
            assert not S.any()
        for pulled in kernel.pullback(C.copy(), S, Q, K, 1.0):
            assert np.isfinite(pulled).all()


def test_underflow_is_where_it_belongs():
    """|q - k|^2 above some 1490 c is 0 in float64; below it the Gaussian keeps its digits, as nothing is subtracted from its logits."""
    K, c = np.zeros((1, 1)), 2.0
    for squared, zero in ((1480.0, False), (1492.0, True)):
        S = KERNELS["gaussian"].value(np.array([[np.sqrt(squared * c)]]), K, c)[0, 0]
        assert (S == 0.0) == zero
    far = np.array([[40.0]])
    assert KERNELS["gaussian"].value(far, K, c)[0, 0] == pytest.approx(np.exp(-400.0), rel=1e-12)
    keys = np.array([[0.0], [1.0]])
    assert not KERNELS["gaussian"].value(np.array([[1e3]]), keys, c).any()
    np.testing.assert_allclose(KERNELS["row_gaussian"].value(np.array([[1e3]]), keys, c), [[0.0, 1.0]], atol=1e-200)


def test_coincident_queries_and_keys_have_similarity_one():
    """To the rounding error of |q|^2: the distance is made of inner products."""
    for scale in (1e-3, 1.0, 1e3):
        Q = scale * np.random.default_rng(0).standard_normal((5, 4))
        S = KERNELS["gaussian"].value(Q, Q, 1.0)
        assert np.abs(np.diag(S) - 1.0).max() <= 1e-15 * max(1.0, 10 * scale**2)
        np.testing.assert_allclose(S, S.T, rtol=1e-9)


def test_kernels_by_name():
    assert list(KERNELS) == ["softmax", "gaussian", "row_gaussian"]
    for name, kernel in KERNELS.items():
        assert isinstance(kernel, Kernel) and kernel.name == name and kernel.title and kernels_of(name) == (kernel,)
    assert [kernel.name for kernel in kernels_of(" gaussian + softmax")] == ["gaussian", "softmax"]
    with pytest.raises(ValueError, match="unknown kernel 'gausian': did you mean 'gaussian'"):
        kernels_of("softmax+gausian")
    with pytest.raises(ValueError, match="names a kernel twice"):
        kernels_of("softmax+softmax")


def test_a_similarity_is_at_most_one_however_long_queries_are():
    """Coincident queries and keys as long as 1e9, whose inner products are known to 100 only."""
    Q = 1e9 * np.random.default_rng(0).standard_normal((50, 4))
    S = KERNELS["gaussian"].value(Q, Q, 1.0)
    assert np.isfinite(S).all() and S.max() <= 1.0
