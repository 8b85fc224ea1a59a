"""Softplus and the logistic function against 500-digit arithmetic, far into both tails."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from dynsim.numerics import LOWEST, logistic, softplus

POINTS = [0.0, 1e-300, 1e-9, 0.5, 1.0, 3.7, 36.9, 37.1, 400.0, 744.0, 746.0, 5000.0]
POINTS = np.array(sorted({sign * z for z in POINTS for sign in (1, -1)}))


def exact(z):
    """Return p, 1 - p, log p(1 - p), log(1 + e^-z), log(1 + e^z) in decimal arithmetic."""
    with localcontext() as context:
        context.prec = 500  # 1 + e^-744 must differ from 1
        z = Decimal(float(z))
        up, down = z.exp(), (-z).exp()
        p, q = 1 / (1 + down), down / (1 + down) if z > 0 else 1 / (1 + up)
        return p, q, p.ln() + q.ln(), (1 + down).ln(), (1 + up).ln()


@pytest.mark.parametrize("z", POINTS)
def test_every_digit_against_decimal_arithmetic(z):
    p, q, log_pq, softplus_neg, softplus_pos = map(float, exact(z))
    at = logistic(np.array(z))
    for got, want in ((at.p, p), (at.q, q), (at.log_pq, log_pq), (at.softplus_neg, softplus_neg), (softplus(z), softplus_pos)):
        # below the smallest normal number a result has only the digits that are left
        assert float(got) == pytest.approx(want, rel=5e-16, abs=1e-322), (z, got, want)


def test_log_of_the_product_stays_finite_where_the_product_is_lost():
    at = logistic(np.array([-5000.0, 5000.0]))
    np.testing.assert_array_equal(at.p * at.q, 0.0)
    np.testing.assert_allclose(at.log_pq, -5000.0, rtol=1e-15)
    # negative control: the form through a hyperbolic tangent is already 0 at 38
    naive = 0.5 * (1.0 + np.tanh(-38.0 / 2))
    assert naive * (1.0 - naive) == 0.0 and logistic(np.array(-38.0)).log_pq > -40.0


@pytest.mark.parametrize("z", POINTS[np.abs(POINTS) < 700])
def test_complex_step_derivatives(z):
    h = 1e-30
    at, complex_at = logistic(np.array(z)), logistic(np.array(z + 1j * h))
    product = float(at.p * at.q)
    derivatives = {"p": product, "q": -product, "log_pq": float(at.q - at.p), "softplus_neg": -float(at.q)}
    for name, want in derivatives.items():
        if name == "log_pq" and z == 0.0:
            continue  # |z| has no derivative at 0 along this branch; no forward pass uses log_pq
        assert getattr(complex_at, name).imag / h == pytest.approx(want, rel=1e-14, abs=1e-300 if name != "log_pq" else 1e-15), name
    assert softplus(np.array(z + 1j * h)).imag / h == pytest.approx(float(at.p), rel=1e-14)


def test_lowest_stands_for_log_of_zero():
    assert np.exp(LOWEST) == 0.0 and LOWEST - LOWEST == 0.0 and np.isfinite(LOWEST + LOWEST)
