"""The named views and the flat vector are the same memory, and whatever does not fit is refused."""

import numpy as np
import pytest

from dynsim.layout import Layout

LAYOUT = Layout({"W": (2, 3), "scalar": (), "b": (4,)})


def test_slices_tile_the_flat_vector():
    assert LAYOUT.size == 11
    covered = np.concatenate([np.arange(LAYOUT.size)[part] for part in LAYOUT.slices.values()])
    np.testing.assert_array_equal(covered, np.arange(11))
    assert list(LAYOUT.slices) == ["W", "scalar", "b"]


@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("dtype", [float, complex, np.float32])
def test_views_share_memory_in_both_directions(lead, dtype):
    rng = np.random.default_rng(1)
    flat = rng.standard_normal((*lead, LAYOUT.size)).astype(dtype)
    views = LAYOUT.views(flat)
    for name, shape in LAYOUT.shapes.items():
        view = getattr(views, name)
        assert view.shape == (*lead, *shape) and view.dtype == dtype
        assert np.shares_memory(view, flat)
    views.W[..., 1, 2] = 7.0
    assert (flat[..., 5] == 7.0).all()
    flat[..., 6] = -3.0
    assert (views.scalar == -3.0).all()


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_pack_inverts_views(lead):
    flat = np.random.default_rng(2).standard_normal((*lead, LAYOUT.size))
    packed = LAYOUT.pack(**vars(LAYOUT.views(flat)))
    np.testing.assert_array_equal(packed, flat)
    assert not np.shares_memory(packed, flat)


def test_views_of_rows_of_a_larger_array_still_write_through():
    pool = np.zeros((6, LAYOUT.size))
    LAYOUT.views(pool[::2]).b[...] = 1.0
    assert pool.sum() == 3 * 4 and pool[1::2].sum() == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: LAYOUT.views(np.zeros(10)), r"shape \(10,\).*must be 11 long"),
        (lambda: LAYOUT.views(np.zeros((11, 2))), r"must be 11 long"),
        (lambda: LAYOUT.views(np.zeros(22)[::2]), "contiguous.*ascontiguousarray"),
        (lambda: LAYOUT.views(np.zeros((11, 4)).T), "contiguous"),
        (lambda: LAYOUT.pack(W=np.zeros((2, 3)), b=np.zeros(4)), "do not match"),
        (lambda: LAYOUT.pack(W=np.zeros((2, 3)), b=np.zeros(4), scalar=0.0, other=1.0), "do not match.*other|other.*do not match"),
        (lambda: LAYOUT.pack(W=np.zeros((3, 2)), b=np.zeros(4), scalar=0.0), r"block W has shape \(3, 2\).*\(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
