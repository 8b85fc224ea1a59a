"""The feature map with its identity block left out is the full matrix product, values and signs."""

import numpy as np
import pytest

from dynsim.systems.signal_noise.features import Features

from ...helpers import gap

N_TOKENS, MIXED, M = 5, 6, 3


def features(kind, seed=0):
    """Return the map and the full matrix X that it stands for."""
    rng = np.random.default_rng(seed)
    mixed = np.where(rng.random((N_TOKENS, MIXED)) < 0.6, rng.standard_normal((N_TOKENS, MIXED)), 0.0)
    mixed[rng.integers(N_TOKENS, size=MIXED), np.arange(MIXED)] = 1.0
    if kind == "dense":  # coordinates that no token touches are part of the dense model
        mixed[:, 2] = 0.0
        return Features(N_TOKENS, 0, mixed), mixed
    if kind == "own":
        return Features(N_TOKENS, N_TOKENS, None), np.eye(N_TOKENS)
    return Features(N_TOKENS, N_TOKENS, mixed), np.hstack([np.eye(N_TOKENS), mixed])


KINDS = ["dense", "own", "both"]
LEADS = [(), (4,)]


def pulled(map_, T, t, log_scale=None):
    """Return X^T T and X^T t as the map computes them, into arrays whose every entry must be written."""
    out, out_vector = np.full((*T.shape[:-2], map_.size, M), np.nan), np.full((*t.shape[:-1], map_.size), np.nan)
    rows = map_.token_rows(out)
    rows[...] = T
    map_.pull(rows, t, out, out_vector, log_scale)
    return out, out_vector


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_project_and_pull_are_products_with_the_full_matrix(kind, lead):
    map_, X = features(kind)
    rng = np.random.default_rng(1)
    assert map_.size == X.shape[1]
    W, T = rng.standard_normal((*lead, 2, map_.size, M)), rng.standard_normal((*lead, 2, N_TOKENS, M))
    v, t = rng.standard_normal((*lead, map_.size)), rng.standard_normal((*lead, N_TOKENS))
    assert gap(map_.project(W), X @ W) < 1e-14 and gap(map_.project_vector(v), v @ X.T) < 1e-14
    out, out_vector = pulled(map_, T, t)
    assert gap(out, X.T @ T) < 1e-14 and gap(out_vector, t @ X) < 1e-14
    # the pull is the adjoint of the projection: <X W, T> = <W, X^T T>
    assert gap((map_.project(W) * T).sum((-1, -2)), (W * out).sum((-1, -2))) < 1e-13
    assert gap(map_.magnitudes.project(np.abs(W)), np.abs(X) @ np.abs(W)) < 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_complex_parameters_pass_through(kind):
    map_, X = features(kind)
    W = np.random.default_rng(2).standard_normal((map_.size, M)) * (1 + 2j)
    np.testing.assert_allclose(map_.project(W), X @ W, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(map_.project_vector(W[:, 0]), X @ W[:, 0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lead", LEADS)
def test_log_scales_change_entries_by_positive_factors_only(kind, lead):
    map_, X = features(kind)
    rng = np.random.default_rng(3)
    T, t = rng.standard_normal((*lead, 2, N_TOKENS, M)), rng.standard_normal((*lead, N_TOKENS))
    logs = rng.uniform(-30, 5, (*lead, 3, N_TOKENS))
    out, out_vector = pulled(map_, T, t, logs)
    want, want_vector = X.T @ (np.exp(logs[..., :2, :])[..., None] * T), (np.exp(logs[..., 2, :]) * t) @ X
    np.testing.assert_array_equal(np.sign(out), np.sign(want))
    np.testing.assert_array_equal(np.sign(out_vector), np.sign(want_vector))
    ratio = np.divide(out, want, out=np.ones_like(out), where=want != 0)
    assert (ratio > 0).all() and np.allclose(ratio[..., 0], ratio[..., 1], rtol=1e-9), "one factor per feature, whatever the row"


def test_log_scales_keep_signs_that_products_lose():
    """Two tokens meet in one feature at scales e^-1000 and e^-1001: the first decides, and both products are 0."""
    map_ = Features(2, 0, np.array([[1.0], [1.0]]))
    T, t = np.tile([[1.0], [-2.0]], (2, 1, M)), np.array([1.0, -2.0])
    for logs, want in (((-1000.0, -1001.0), 1.0 - 2.0 / np.e), ((-1000.0, -1000.0), -1.0), ((-1001.0, -1000.0), 1.0 / np.e - 2.0)):
        out, out_vector = pulled(map_, T, t, np.tile(logs, (3, 1)))
        np.testing.assert_allclose(out, want, rtol=1e-12)
        np.testing.assert_allclose(out_vector, want, rtol=1e-12)
        assert np.exp(logs).sum() == 0.0
