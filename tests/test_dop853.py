"""The lean solver against scipy's, step by step."""

import numpy as np
import pytest
from scipy.integrate import DOP853

from dynsim.dop853 import LeanDOP853


def pair(rate, y0, until, **tolerances):
    def into(t, y, out):
        out[...] = rate(t, y)

    return DOP853(rate, 0.0, y0, until, **tolerances), LeanDOP853(into, 0.0, y0, until, **tolerances)


def stiff_and_slow(n, seed=0):
    rng = np.random.default_rng(seed)
    decay = rng.uniform(0.1, 30.0, n)
    return (lambda t, y: -decay * y + 0.1 * np.sin(3.0 * t) * y**2), rng.standard_normal(n)


@pytest.mark.parametrize("tolerances", [{"rtol": 1e-4, "atol": 1e-7}, {"rtol": 1e-9, "atol": 1e-12}], ids=["coarse", "fine"])
@pytest.mark.parametrize("n", [1, 300])
def test_takes_scipys_steps(n, tolerances):
    """Error estimates are differences that cancel, so step sizes agree to some 1e-4 of a step, and solutions as the tolerances ask."""
    rate, y0 = stiff_and_slow(n)
    theirs, ours = pair(rate, y0, 2.0, **tolerances)
    while theirs.status == "running":
        theirs.step()
        ours.step()
        assert ours.t == pytest.approx(theirs.t, rel=1e-3) and ours.nfev == theirs.nfev
    assert ours.status == "finished" and ours.t == theirs.t == 2.0
    assert np.abs(ours.y - theirs.y).max() < 10 * tolerances["rtol"]


def test_interpolates_as_scipy_does_between_the_same_ends():
    rate, y0 = stiff_and_slow(50)
    _, ours = pair(rate, y0, 1.0, rtol=1e-6, atol=1e-9)
    for _ in range(4):
        ours.step()
    times = np.linspace(ours.t_old, ours.t, 7)
    found = np.array([y.copy() for y in ours.inside(times)])
    dense = ours.dense_output()  # scipy's own, on the stages of the same step
    assert np.abs(found - [dense(t) for t in times]).max() < 1e-14
    assert np.abs(found[0] - ours.y_old).max() < 1e-15 and np.abs(found[-1] - ours.y).max() < 1e-14


def test_rejected_steps_and_a_singularity():
    def kick(t, y):
        return np.where(t < 0.5, -y, -y + 1e3 * (t - 0.5) ** 2)

    theirs, ours = pair(kick, np.ones(3), 1.0, rtol=1e-8, atol=1e-10, first_step=0.4)
    for solver in (theirs, ours):
        while solver.status == "running":
            solver.step()
    assert ours.status == "finished" and abs(ours.nfev - theirs.nfev) <= 0.1 * theirs.nfev
    assert np.abs(ours.y - theirs.y).max() < 1e-7
    _, ours = pair(lambda t, y: y**2, np.ones(1), 2.0, rtol=1e-8, atol=1e-10)  # y = 1 / (1 - t)
    with np.errstate(all="ignore"):
        while ours.status == "running":
            message = ours.step()
    assert ours.status == "failed" and "step size" in message and ours.t == pytest.approx(1.0, abs=1e-6)
