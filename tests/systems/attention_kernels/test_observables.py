"""Every quantity recomputed by brute force; axes that are what their names say."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.observables import gradient

from ...helpers import gap
from .helpers import ALL, alone, elsewhere, slope, state
from .test_gram import naive_gram
from .test_model import with_starts

REGRESSION = ak.Regression(N=2, n=3, D=8, d=4, H=2, d_o=2, trained="QKVO", kernel=ALL)
SYSTEMS = {
    "regression": lambda: ak.dense(REGRESSION, 1), "values": lambda: ak.dense(REGRESSION.replace(trained="V"), 1),
    "example": lambda: ak.dense(ak.Example(kernel=ALL, starts=4), 1), "queries": lambda: ak.queries(ak.Example("E2", ALL, 4), 1),
    "tokens": lambda: ak.queries(ak.Regression(N=2, n=2, D=4, d=2, d_o=2, trained="Q", tokens="orthonormal", kernel=ALL), 1),
    "classifier": lambda: ak.dense(ak.Classification(kernel=ALL, D=4, d=2, hidden=3, samples=5, test=3, batch=2, pretrain_batch=1), 1),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_all_quantities_have_the_axes_they_say(name):
    system = SYSTEMS[name]()
    views, cache = state(system)
    starts = cache.losses.shape[1]
    for quantity, o in system.observables.items():
        value = o.read(views, cache)
        assert value.shape[:2] == (3, starts) and np.isfinite(value).all(), quantity
        assert o.dims[:2] == ("kernel", "start") and len(o.dims) == value.ndim, quantity
        assert o.doc and o.symbol and ak.OBSERVABLES[quantity].dims == o.dims and ak.OBSERVABLES[quantity].doc == o.doc


def test_which_form_has_what():
    assert set(SYSTEMS["regression"]().observables) == {"train_loss", "grad_norm", "value_grad_norm", "query_norm", "Lambda"}
    queries_only = ak.dense(REGRESSION.replace(trained="QK"), 1).observables
    assert "value_grad_norm" not in queries_only and {"Lambda", "query_norm"} <= set(queries_only)
    assert set(SYSTEMS["example"]().observables) == {"train_loss", "grad_norm", "query_norm"}
    assert set(SYSTEMS["queries"]().observables) == {"train_loss", "grad_norm", "query", "query_norm", "curvature"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_norm_of_the_gradient_is_that_of_each_kernel_and_start(name):
    system = SYSTEMS[name]()
    params = elsewhere(system)
    views, cache = state(system, params)
    flat = slope(system, params)
    found = system.observables["grad_norm"].read(views, cache)
    for i in range(3):
        for start in range(found.shape[1]):
            assert found[i, start] == pytest.approx(np.linalg.norm(alone(system, flat, i, start)), rel=1e-13)
    assert gradient(views, cache) is gradient(views, cache), "computed once a forward pass"
    assert np.sqrt((found**2).sum()) == pytest.approx(np.linalg.norm(flat), rel=1e-13)


def test_values_and_Lambda_from_several_starts():
    several = with_starts(REGRESSION, 3)
    system = replace(several, observables=ak.dense(REGRESSION).observables)
    views, cache = state(system)
    flat = system.layout.views(slope(system))
    norms, Lambda = (system.observables[name].read(views, cache) for name in ("value_grad_norm", "Lambda"))
    for i in range(3):
        for start in range(3):
            assert norms[i, start] == pytest.approx(np.linalg.norm(flat.W_V[i, start]), rel=1e-13)
            values = np.linalg.eigvalsh(naive_gram(system, i, start)) * system.N
            assert Lambda[i, start] == pytest.approx(values[0], rel=1e-9, abs=1e-13 * values[-1])


def test_Lambda_follows_the_weights():
    """It is that of the state, with W_O trained, too."""
    system = ak.dense(REGRESSION, 1)
    views, cache = state(system)
    first = system.observables["Lambda"].read(views, cache)
    views.W_O[...] *= 2.0
    assert gap(system.observables["Lambda"].read(views, system.forward(views)), 4.0 * first) < 1e-10
    views.W_Q[...] = 0.0
    assert system.observables["Lambda"].read(views, system.forward(views)).max() < 1e-20, "rows that are all alike"


def test_queries_and_their_norm():
    system = SYSTEMS["tokens"]()
    views, cache = state(system, elsewhere(system))
    q, norm = (system.observables[name].read(views, cache) for name in ("query", "query_norm"))
    assert q.shape == (3, 1, 2, 2, 2, 2)
    for kernel, start, sample, head, token in np.ndindex(3, 1, 2, 2, 2):
        assert np.array_equal(q[kernel, start, sample, head, token], views.q[kernel, sample, head, start, token])
    np.testing.assert_allclose(norm, np.sqrt((q**2).sum(axis=(2, 3, 4, 5))), rtol=1e-14)


def test_the_loss_of_a_mini_batch_and_of_all():
    system = SYSTEMS["classifier"]()
    views = system.layout.views(system.start.copy())
    few, every = system.forward(views, system.batch(0)), system.forward(views)
    read = {name: system.observables[name].read for name in ("train_loss", "full_loss")}
    assert gap(read["full_loss"](views, few), read["train_loss"](views, every)) < 1e-13
    assert gap(read["train_loss"](views, few), read["full_loss"](views, few)) > 1e-4
