"""The gradient checker passes right gradients and catches wrong ones."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim.gradcheck import TOLERANCE, gradcheck

from .helpers import Quadratic


@pytest.mark.parametrize("replicates", [(), (4,)])
@pytest.mark.parametrize("method", TOLERANCE)
def test_right_gradient_passes_in_every_block(method, replicates):
    check = gradcheck(Quadratic.random(replicates=replicates), rng=1, method=method)
    assert check.passed and check.worst <= TOLERANCE[method]
    assert list(check.errors) == ["a", "b", "all blocks"]


@pytest.mark.parametrize("method", TOLERANCE)
@pytest.mark.parametrize("block", ["a", "b"])
def test_wrong_block_is_named(block, method):
    check = gradcheck(Quadratic.random(error={block: 1e-4}), rng=2, method=method)
    assert not check.passed
    wrong = {name for name, error in check.errors.items() if error > check.tolerance}
    assert wrong == {block, "all blocks"}
    lines = {line.split()[0]: line for line in str(check).splitlines()[1:]}
    assert "WRONG" in lines[block] and "ok" in lines["a" if block == "b" else "b"]


def test_complex_step_sees_an_error_of_1e_11():
    assert not gradcheck(Quadratic.random(error={"b": 1e-11}), rng=3).passed
    assert gradcheck(Quadratic.random(error={"b": 1e-11}), rng=3, method="central").passed


def test_one_wrong_replicate_is_enough():
    system = Quadratic.random(replicates=(3,))

    class OneWrong(Quadratic):
        def backward(self, params, cache, out, *, signs=False):
            super().backward(params, cache, out, signs=signs)
            out.a[1] *= 1.1

    spoilt = OneWrong(**{name: getattr(system, name) for name in ("start", "curvature", "target")})
    assert gradcheck(system).passed and not gradcheck(spoilt).passed


def test_a_gradient_of_zero_where_the_loss_moves_is_wrong_and_at_the_minimum_right():
    system = Quadratic.random(error={"a": -1.0, "b": -1.0})
    assert gradcheck(system).worst == 1.0
    assert gradcheck(replace(system, start=system.target)).worst == 0.0


def test_entries_that_backward_forgets_do_not_pass():
    class Forgets(Quadratic):
        def backward(self, params, cache, out, *, signs=False):
            out.a[...] = cache.pull.a

    system = Quadratic.random()
    check = gradcheck(Forgets(system.start, system.curvature, system.target))
    assert not check.passed and "WRONG" in str(check)


def test_params_rng_and_directions():
    system = Quadratic.random()
    elsewhere = 100.0 * np.ones(system.layout.size)
    assert gradcheck(system, elsewhere, rng=np.random.default_rng(7), directions=1).passed
    assert gradcheck(system, rng=5).errors == gradcheck(system, rng=5).errors
    before = system.start.copy()
    gradcheck(system, method="central")
    np.testing.assert_array_equal(system.start, before)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "exact"}, "method='exact' must be one of complex-step, central"),
        ({"directions": 0}, "directions=0 must be an integer >= 1"),
        ({"directions": 1.5}, "directions=1.5"),
        ({"params": np.zeros(3)}, r"params has shape \(3,\).*must be 11 long"),
    ],
)
def test_bad_arguments(options, says):
    with pytest.raises(ValueError, match=says):
        gradcheck(Quadratic.random(), **options)
