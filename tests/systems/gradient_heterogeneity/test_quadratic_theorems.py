"""T1 and T2 step by step, S1 and S2 under noise, the law of log-normal blocks; and what breaks each of them."""

import numpy as np
import pytest

from dynsim import GradientDescent, SignGD, simulate
from dynsim.system import Inexact
from dynsim.systems import signal_noise
from dynsim.systems.gradient_heterogeneity.build import dense
from dynsim.systems.gradient_heterogeneity.head.setting import Head
from dynsim.systems.gradient_heterogeneity.inequality import complexity, gradient_weighted, size_weighted
from dynsim.systems.gradient_heterogeneity.quadratic.logistic import logistic
from dynsim.systems.gradient_heterogeneity.quadratic.model import BlockQuadratic, quadratic, repeated
from dynsim.systems.gradient_heterogeneity.quadratic.observables import sign_progress
from dynsim.systems.gradient_heterogeneity.quadratic.setting import Logistic, Quadratic
from dynsim.systems.gradient_heterogeneity.quadratic.theorems import STEPPERS, TheoremGD, TheoremSign, theorem_run
from dynsim.systems.gradient_heterogeneity.quadratic.theory import (
    block_squares,
    complexity_bound,
    law,
    noise_weighted,
    sampled_law,
    sgd_bound,
    sgd_rate,
    sign_bound,
    sign_rate,
)

ISOTROPIC = Quadratic(blocks=12, size=4, size_max=23, curvature="lognormal", h_sd=1.0, initial="equal_distance")
ROUNDING = 1e-12  # a decrease is a difference of losses up to 2,500 times as large

SYSTEMS = {
    "isotropic": lambda: quadratic(ISOTROPIC, 1),
    "conditioned": lambda: quadratic(ISOTROPIC.replace(inner=10.0, rotated="blocks"), 1),
    "no blocks": lambda: quadratic(ISOTROPIC.replace(rotated="all", h_sd=0.5), 1),
    "logistic": lambda: logistic(Logistic(samples=300), 0),
}


@pytest.mark.parametrize("step", STEPPERS)
@pytest.mark.parametrize("case", SYSTEMS)
def test_every_step_decreases_as_guaranteed_and_the_bound_holds(case, step):
    run = theorem_run(SYSTEMS[case](), step, eps=0.05)
    assert run.reached and run.covered and run.near_block_diagonal and run.small_target
    assert run.ratio.min() >= 1.0 - ROUNDING and run.constant == {"no blocks": 3.0, "logistic": 6.0}.get(case, 2.0)
    assert 0 < run.steps <= run.bound and run.size[-1] <= run.eps < run.size[-2]
    measure = run.grad_norm if step == "gradient" else run.grad_norm_1 / np.sqrt(SYSTEMS[case]().layout.size)
    np.testing.assert_allclose(run.size, measure, rtol=1e-13)


@pytest.mark.parametrize("step", STEPPERS)
def test_isotropic_blocks_are_the_worst_case(step):
    """The guaranteed decrease is the actual one, exactly: for signs at every step, for gradients where Lambda_G is largest."""
    run = theorem_run(SYSTEMS["isotropic"](), step)
    at = slice(None) if step == "sign" else [int(run.Lambda_G[:-1].argmax())]
    np.testing.assert_allclose(run.ratio[at], 1.0, rtol=ROUNDING)


@pytest.mark.parametrize("step", STEPPERS)
def test_longer_steps_than_the_theorem_allows_break_the_guarantee(step):
    """Negative controls: twice the step, and a Lambda that is too small, which the run says itself."""
    system = SYSTEMS["isotropic"]()
    proper = theorem_run(system, step).rule.Lambda
    twice, small = theorem_run(system, step, Lambda=proper, factor=2.0, most=20), theorem_run(system, step, Lambda=0.4 * proper, most=20)
    assert twice.ratio[0] < 0.5 and small.ratio[0] < 0.5 and not small.covered


def test_lambda_grows_until_it_covers_the_path():
    """Gradients sit in the flat blocks at first: at 1/Lambda_G(0) the sharp one blows up, so the supremum is found in rounds."""
    h = np.array([0.1, 1.0, 10.0])
    system = BlockQuadratic((1, 1, 1), np.array([10.0, 1.0, 1e-3]), h)
    run = theorem_run(system, "gradient")
    assert run.covered and run.reached and run.steps <= run.bound and run.ratio.min() >= 1.0 - ROUNDING
    assert 2.0 * run.Lambda_G[0] < run.rule.Lambda <= 10.0 * 1.05
    early = theorem_run(system, "gradient", Lambda=float(run.Lambda_G[0]), most=200)
    assert not early.covered and early.ratio.min() < 0.0, "negative control: the first Lambda_G is no supremum"


def test_rho_shortens_steps():
    g = np.array([3.0, -4.0])
    assert float(TheoremGD(2.0).eta(g)) == 0.5 and float(TheoremGD(2.0, rho=20.0).eta(g)) == pytest.approx(0.1)
    assert float(TheoremSign(2.0).eta(g)) == pytest.approx(7.0 / 4.0)
    assert float(TheoremSign(2.0, rho=20.0).eta(g)) == pytest.approx(np.sqrt(7.0 / (20.0 * 2.0**1.5)))
    assert float(TheoremGD(2.0, rho=1.0).eta(np.zeros(2))) == 0.5 and not TheoremSign(2.0, rho=1.0).eta(np.zeros(2))
    assert float(TheoremGD(2.0, rho=20.0).guaranteed(g, 6.0)) == pytest.approx(2.5 / 6.0)
    assert float(TheoremSign(2.0).guaranteed(g, 2.0)) == pytest.approx(7.0 / 4.0 * 7.0 / 2.0)


def test_the_bound_without_a4():
    assert complexity_bound(2.0, 3.0, 0.1, rho=0.0, constant=2.0) == pytest.approx(1200.0)
    assert complexity_bound(2.0, 3.0, 0.1, rho=90.0, constant=6.0) == pytest.approx(12.0 * 300.0), "A4 holds with equality"
    assert complexity_bound(2.0, 3.0, 0.1, rho=9000.0, constant=6.0) == pytest.approx(12.0 * 3000.0)


@pytest.mark.parametrize("rule", STEPPERS.values())
def test_rules_run_in_simulate(rule):
    """Replicates are single runs, and reduced systems are refused."""
    system = quadratic(ISOTROPIC.replace(h_sd=0.3), [0, 1])
    many = simulate(system, rule(5.0), steps=6)
    for i in range(2):
        one = simulate(quadratic(ISOTROPIC.replace(h_sd=0.3), i), rule(5.0), steps=6)
        np.testing.assert_allclose(many.final[i], one.final, rtol=1e-12, atol=1e-14)
        assert one["train_loss"][-1] < one["train_loss"][0]
    lumped = signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0)
    with pytest.raises(Inexact):
        simulate(lumped, rule(5.0), steps=1)


@pytest.mark.parametrize(("options", "message"), [
    ({"Lambda": 0.0}, "Lambda=0.0"), ({"Lambda": 1.0, "rho": -1.0}, "rho=-1.0"), ({"Lambda": 1.0, "lr": np.array([1.0, 2.0])}, "lr="),
], ids=str)
def test_bad_rules_are_refused(options, message):
    for rule in STEPPERS.values():
        with pytest.raises(ValueError, match=message):
            rule(**options)


def test_bad_runs_are_refused():
    system = SYSTEMS["isotropic"]()
    for wrong, options, message in (
        (system, {"step": "sgn"}, "did you mean 'sign'"), (system, {"eps": 1.0}, "eps=1.0"), (repeated(system, 2), {}, "replicates"),
        (quadratic(ISOTROPIC.replace(noise=0.1), 0), {}, "noise=0"), (BlockQuadratic((1,), np.zeros(1), np.ones(1)), {}, "gradient is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            theorem_run(wrong, **{"step": "sign", **options})
    with pytest.raises(TypeError, match="system is a LinearHead: it must be a BlockQuadratic or LogisticBlocks"):
        theorem_run(dense(Head(C=3)), "sign")


@pytest.mark.parametrize("step", STEPPERS)
def test_a_run_that_diverges_is_told_unless_lambda_is_given(step):
    """Three times the theorem's step, which is that of the sharpest block: every path overshoots."""
    system = quadratic(ISOTROPIC.replace(blocks=4, size_max=4), 1)
    with pytest.raises(ValueError, match="the run diverges within .*factor=3 times the theorem's is too long"):
        theorem_run(system, step, factor=3.0)
    proper = theorem_run(system, step)
    assert proper.reached
    run = theorem_run(system, step, Lambda=proper.rule.Lambda, factor=3.0)
    assert not run.reached and not np.isfinite(run.loss[-1])


def test_a_gradient_of_zero_is_no_divergence():
    """One gradient step on equal curvatures ends in the minimum, where no complexity is defined."""
    run = theorem_run(BlockQuadratic((1, 1), np.ones(2), np.ones(2)), "gradient")
    assert run.reached and run.steps == 1 and np.isnan(run.Lambda_G[-1])


# -- the law of log-normal blocks, and the identity ------------------------------------------------------------------------


def test_weighted_complexities_are_those_of_the_identity():
    rng = np.random.default_rng(1)
    sizes, squares, h = rng.integers(1, 50, 9), rng.lognormal(0, 2, (4, 9)), rng.lognormal(0, 1.5, (4, 9))
    Lambda_G, Lambda_P = gradient_weighted(squares, h), size_weighted(sizes, h)
    for i in range(4):
        assert Lambda_G[i] / Lambda_P[i] == pytest.approx(complexity(sizes, squares[i], h[i]).ratio_by_identity, rel=1e-12)
    g = rng.standard_normal((3, int(sizes.sum())))
    np.testing.assert_allclose(block_squares(g, sizes).sum(axis=-1), (g**2).sum(axis=-1), rtol=1e-13)


@pytest.mark.parametrize(("a", "s"), [(0.5, 0.0), (-1.0, 0.5), (2.0, 0.5), (0.0, 1.0), (-1.0, 1.0)])
def test_the_law_within_five_percent(a, s):
    """100,000 blocks of 16. Left out are a = 1 and 2 at s = 1: their means have tails that this many blocks do not fill."""
    found, predicted = sampled_law(a, s, blocks=100_000, size=16, rng=np.random.default_rng(0)), law(a, s)
    np.testing.assert_allclose([found.R, found.ratio, found.phi], [predicted.R, predicted.ratio, predicted.phi], rtol=0.05)
    if s:
        assert law(a + 0.5, s).R > 1.2 * found.R, "negative control: another power"


def test_signs_gain_from_heterogeneity_above_the_square_root():
    R = np.array([[law(a, s).R for s in (0.0, 0.5, 1.0)] for a in (0.25, 0.5, 1.0)])
    assert (np.diff(R[0]) < 0).all() and np.ptp(R[1]) < 1e-15 and (np.diff(R[2]) > 0).all()


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda: law(1.0, -1.0), "s=-1.0 must be finite and >= 0"), (lambda: law(np.nan, 1.0), "a=nan must be finite"),
    (lambda: sampled_law(1.0, 1.0, blocks=0, size=2, rng=np.random.default_rng(0)), "blocks=0 must be an integer >= 1"),
    (lambda: sampled_law(1.0, 1.0, blocks=2, size=1.5, rng=np.random.default_rng(0)), "size=1.5 must be an integer >= 1"),
    (lambda: sampled_law(1.0, -1.0, blocks=2, size=2, rng=np.random.default_rng(0)), "s=-1.0 must be"),
    (lambda: sampled_law(1.0, 1.0, blocks=2, size=2, rng=0), "rng=0 must be a numpy.random.Generator"),
    (lambda: complexity_bound(1.0, 0.0, 0.1, rho=0.0, constant=2.0), "Lambda=0.0 must be finite and > 0"),
    (lambda: complexity_bound(1.0, 1.0, 0.1, rho=-1.0, constant=2.0), "rho=-1.0 must be finite and >= 0"),
    (lambda: sgd_rate(-1.0, Lambda_G=1.0, Lambda_sigma=0.0, sigma=0.0), "eps=-1.0 must be finite and > 0"),
    (lambda: sgd_rate(1.0, Lambda_G=0.0, Lambda_sigma=0.0, sigma=0.0), "Lambda_G=0.0 must be"),
    (lambda: sgd_bound(1.0, lr=0.1, steps=0, Lambda_sigma=0.0, sigma=0.0), "steps=0 must be finite and > 0"),
    (lambda: sgd_bound(np.array([1.0, -1.0]), lr=0.1, steps=2, Lambda_sigma=0.0, sigma=0.0), "Delta=.* must be finite and >= 0"),
    (lambda: sign_rate(1.0, P=0, Lambda_P=1.0, steps=2), "P=0 must be finite and > 0"),
    (lambda: sign_rate(1.0, P=2, Lambda_P="1", steps=2), "Lambda_P='1' must be"),
    (lambda: sign_bound(1.0, P=2, Lambda_P=1.0, steps=2, noise_1=-1.0), "noise_1=-1.0 must be"),
])
def test_arguments_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# -- bounds under noise ----------------------------------------------------------------------------------------------------

NOISY = {"even": Quadratic(k=100.0, noise=1.0), "hessian": Quadratic(k=100.0, noise=0.5, noise_kind="hessian")}
STEPS, REPEATS = 200, 10


def measured(setting, rule, name):
    """Return a quantity before each of the steps, (STEPS, REPEATS), and the system without repeats."""
    one = quadratic(setting, 0)
    return simulate(repeated(one, REPEATS), rule, steps=STEPS, record=[name])[name][:-1]


def known(setting):
    """Return the system, its loss at the start and its constants."""
    one = quadratic(setting, 0)
    return one, float(one.forward(one.layout.views(one.start)).loss), one.constants


@pytest.mark.parametrize("case", NOISY)
def test_s1_holds(case):
    one, Delta, c = known(NOISY[case])
    lr = float(1.0 / c["curvature_max"])
    found = np.square(measured(NOISY[case], GradientDescent(lr), "grad_norm")).mean()
    bound = sgd_bound(Delta, lr=lr, steps=STEPS, Lambda_sigma=c["Lambda_sigma"], sigma=c["noise_2"])
    assert 0.5 * bound < found <= bound
    assert found > sgd_bound(Delta, lr=lr, steps=STEPS, Lambda_sigma=0.0, sigma=0.0), "negative control: the noise term is needed"


@pytest.mark.parametrize("case", NOISY)
def test_s2_holds(case):
    one, Delta, c = known(NOISY[case])
    P, Lambda_P = one.layout.size, float(c["Lambda_P"])
    rule = SignGD(sign_rate(Delta, P=P, Lambda_P=Lambda_P, steps=STEPS))
    plain, exact = (measured(NOISY[case], rule, name).mean() for name in ("grad_norm_1", "sign_progress"))
    floorless = sign_bound(Delta, P=P, Lambda_P=Lambda_P, steps=STEPS)
    assert exact <= floorless < plain <= sign_bound(Delta, P=P, Lambda_P=Lambda_P, steps=STEPS, noise_1=c["noise_1"])


def test_the_rate_of_s1_gives_its_number_of_steps():
    """At T = 4 Delta max(Lambda_G / eps^2, 2 Lambda_sigma sigma^2 / eps^4) the bound is at most eps^2."""
    Delta, Lambda_G, Lambda_sigma, sigma = 3.0, 2.0, 1.5, 4.0
    for eps in (0.1, 1.0, 30.0):
        lr = sgd_rate(eps, Lambda_G=Lambda_G, Lambda_sigma=Lambda_sigma, sigma=sigma)
        steps = 4.0 * Delta * max(Lambda_G / eps**2, 2.0 * Lambda_sigma * sigma**2 / eps**4)
        assert lr <= 1.0 / Lambda_G
        assert sgd_bound(Delta, lr=lr, steps=steps, Lambda_sigma=Lambda_sigma, sigma=sigma) <= eps**2 * (1 + 1e-12)
    assert sgd_rate(1.0, Lambda_G=Lambda_G, Lambda_sigma=0.0, sigma=0.0) == 0.5


def test_progress_of_a_noisy_sign():
    """Against the mean over 40,000 noises, right to 0.5 %; and its limits."""
    g, sd = np.array([0.3, -1.0, 2.0]), np.array([1.0, 2.0, 0.0])
    noise = np.random.default_rng(0).standard_normal((40_000, 3)) * sd
    assert sign_progress(g, sd) == pytest.approx((g * np.sign(g + noise)).sum(axis=1).mean(), rel=0.02)
    assert sign_progress(g, np.zeros(3)) == pytest.approx(3.3) and sign_progress(np.zeros(3), sd) == 0.0
    assert noise_weighted(np.zeros(3), (1, 2), np.ones(2)) == 0.0
