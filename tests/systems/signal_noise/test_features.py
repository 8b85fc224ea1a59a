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


# -- a map of its own for each replicate -----------------------------------------------------------------------------------


def padded(widths=(6, 0, 3)):
    """Return a map padded to six mixed columns, and the maps of its replicates without padding."""
    alone = []
    for seed, width in enumerate(widths):
        one, _ = features("both", seed)
        alone.append(Features(N_TOKENS, N_TOKENS, one.mixed[:, :width] if width else None))
    mixed = np.zeros((len(widths), N_TOKENS, MIXED))
    for i, (one, width) in enumerate(zip(alone, widths, strict=True)):
        mixed[i, :, :width] = one.mixed if width else 0.0
    return Features(N_TOKENS, N_TOKENS, mixed), alone


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "log scales"])
def test_a_padded_map_is_each_replicates_own_map(scaled):
    map_, alone = padded()
    rng = np.random.default_rng(4)
    W, v = rng.standard_normal((3, 2, map_.size, M)), rng.standard_normal((3, map_.size))
    T, t = rng.standard_normal((3, 2, N_TOKENS, M)), rng.standard_normal((3, N_TOKENS))
    logs = rng.uniform(-900, 5, (3, 3, N_TOKENS)) if scaled else None
    out, out_vector = pulled(map_, T, t, logs)
    for i, one in enumerate(alone):
        assert gap(map_.project(W)[i], one.project(W[i, :, : one.size])) < 1e-14
        assert gap(map_.project_vector(v)[i], one.project_vector(v[i, : one.size])) < 1e-14
        want, want_vector = pulled(one, T[i], t[i], None if logs is None else logs[i])
        assert gap(out[i, :, : one.size], want) < 1e-14 and gap(out_vector[i, : one.size], want_vector) < 1e-14
        assert not out[i, :, one.size :].any() and not out_vector[i, one.size :].any(), "padding has gradient 0"
    # negative control: the maps of the replicates do differ
    assert gap(map_.project(W)[0], map_.project(W[::-1])[0]) > 1e-3 and gap(out[0], out[2]) > 1e-3


@pytest.mark.parametrize("index", [1, slice(0, 2), slice(2, 3), slice(1, 2)])
def test_replicates_of_a_padded_map(index):
    map_, _ = padded()
    rng = np.random.default_rng(5)
    W, v = rng.standard_normal((3, 2, map_.size, M)), rng.standard_normal((3, map_.size))
    T, t, logs = rng.standard_normal((3, 2, N_TOKENS, M)), rng.standard_normal((3, N_TOKENS)), rng.uniform(-9, 5, (3, 3, N_TOKENS))
    part = map_.replicates(index)
    assert part.size == map_.size and gap(part.magnitudes.project(W[index]), map_.magnitudes.project(W)[index]) < 1e-14
    assert gap(part.project(W[index]), map_.project(W)[index]) < 1e-14
    assert gap(part.project_vector(v[index]), map_.project_vector(v)[index]) < 1e-14
    for scales in (None, logs):
        ours, theirs = pulled(part, T[index], t[index], None if scales is None else scales[index]), pulled(map_, T, t, scales)
        assert all(gap(a, b[index]) < 1e-14 for a, b in zip(ours, theirs, strict=True))
    shared, _ = features("both")
    assert shared.replicates(index) is shared, "one map for all replicates stays"


@pytest.mark.parametrize("index", [slice(None), 2])
def test_padding_stays_zero_where_gradients_overflow(index):
    map_ = padded()[0].replicates(index)
    lead = (3,) if index == slice(None) else ()
    T, t = np.ones((*lead, 2, N_TOKENS, M)), np.ones((*lead, N_TOKENS))
    T[..., 0, :], t[..., 0] = np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        out, out_vector = pulled(map_, T, t)
        assert np.isnan(map_.mixed.swapaxes(-1, -2)[..., -1, :] @ T[..., 0, :, 0][..., None]).any(), "the product alone would be NaN"
    first = N_TOKENS + 3  # of the padding of the last replicate
    assert not out[..., first:, :][(-1,) if lead else ...].any() and not out_vector[..., first:][(-1,) if lead else ...].any()
    assert not np.isfinite(out).all()
