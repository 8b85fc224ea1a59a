"""The Jacobian of layer normalisation: against the layer itself, its rank, its bound, its scale."""

import numpy as np
import pytest

from dynsim.systems.gradient_heterogeneity.transformer.jacobian import norm_bound, normalisation_jacobian, null_directions
from dynsim.systems.gradient_heterogeneity.transformer.layers import normalise, normalise_pullback

from ...helpers import gap

D = 7
RNG = np.random.default_rng(0)
X, GAIN, SHIFT = RNG.standard_normal((5, D)) * 3.0 + 2.0, RNG.uniform(0.5, 2.0, D), RNG.standard_normal(D)
J = normalisation_jacobian(X, GAIN)


def test_it_is_the_derivative_of_the_layer():
    w = {"gain": GAIN, "shift": SHIFT}
    for j in range(D):
        moved = X + 1e-30j * np.eye(D)[j]
        assert gap(normalise(moved, w)[0].imag / 1e-30, J[..., j]) < 1e-13
    y_b = RNG.standard_normal(X.shape)
    _, tape = normalise(X, w)
    pulled = normalise_pullback(y_b, tape, w, {"gain": np.empty(D), "shift": np.empty(D)})
    assert gap(pulled, np.einsum("ni,nij->nj", y_b, J)) < 1e-13


def test_rank_and_null_directions():
    assert (np.linalg.matrix_rank(J) == D - 2).all()
    nulls = null_directions(X)
    assert gap(np.einsum("nai,nbi->nab", nulls, nulls), np.broadcast_to(np.eye(2), (5, 2, 2))) < 1e-14
    assert np.abs(np.einsum("nij,naj->nai", J, nulls)).max() < 1e-14 * np.abs(J).max() * D
    assert np.abs(np.einsum("nij,nj->ni", J, X[::-1])).max() > 0.01 * np.abs(J).max(), "negative control: any other direction"
    gone = GAIN * (np.arange(D) > 2)
    assert (np.linalg.matrix_rank(normalisation_jacobian(X, gone)) == D - 3).all(), "negative control: three gains are 0"


def test_bound():
    norms = np.linalg.norm(J, 2, axis=(-2, -1))
    assert (norms <= norm_bound(X, GAIN) * (1 + 1e-14)).all()
    equal = np.linalg.norm(normalisation_jacobian(X, -1.5), 2, axis=(-2, -1))
    assert gap(equal, norm_bound(X, -1.5)) < 1e-14, "reached where gains are equal"
    assert (equal > 0.99 * norm_bound(X, 1.5)).all() and (norms > GAIN.min() / X.std(axis=1)).all()


def test_scale():
    for c in (0.02, 50.0):
        assert gap(normalisation_jacobian(c * X, GAIN), J / c) < 1e-13
        assert gap(norm_bound(c * X, GAIN), norm_bound(X, GAIN) / c) < 1e-13
    assert gap(normalisation_jacobian(X + 3.0, GAIN), J) < 1e-13, "nor does a shift matter"


@pytest.mark.parametrize("x", [np.ones(5), np.array([1.0, 2.0])])
def test_tokens_without_a_jacobian(x):
    with pytest.raises(ValueError, match="not all equal"):
        normalisation_jacobian(x)
