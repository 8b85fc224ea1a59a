"""Drift and gauge of the linear head: closed forms against enumeration, chance and runs, each with the case in which there is none."""

from itertools import product

import numpy as np
import pytest
from scipy.special import erf, erfc
from scipy.stats import binom

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.systems.gradient_heterogeneity.head import theory
from dynsim.systems.gradient_heterogeneity.head.model import linear_head
from dynsim.systems.gradient_heterogeneity.head.rule import ProjectedSign
from dynsim.systems.gradient_heterogeneity.head.setting import Head
from dynsim.systems.gradient_heterogeneity.head.theory import (
    centred,
    drift,
    drift_norm,
    measured_drift,
    momentum_drift,
    skewness_drift,
)

from ...helpers import Quadratic, gap

CASES = [(100, 8), (100, 32), (10, 32), (4, 8), (2, 5)]


def signs_of_counts(C, n, repeats, steps, seed=0):
    """Draw n/C minus the count of one class, shape (repeats, steps)."""
    return n / C - np.random.default_rng(seed).binomial(n, 1.0 / C, (repeats, steps))


@pytest.mark.parametrize(("C", "n"), CASES)
def test_drift_against_chance(C, n):
    signs = np.sign(signs_of_counts(C, n, 20_000, 1))
    assert abs(signs.mean() - drift(C, n)) < 4.0 / np.sqrt(20_000)  # four standard deviations of a mean of signs


def test_drift_at_its_limits():
    assert drift(100, 32) == pytest.approx(2.0 * 0.99**32 - 1.0, abs=1e-14)
    assert drift(2, 7) == pytest.approx(0.0, abs=1e-14)  # a fair coin has no skew
    assert drift(10**6, 1) == pytest.approx(1.0, abs=1e-5)
    for C, samples in ((100, 20), (3, 4)):
        assert drift(C, C * samples, samples=samples) == 0.0  # the control: all samples, each class has its share
        assert drift(C, 1, samples=samples) == pytest.approx(drift(C, 1), abs=1e-14)  # one sample is one sample
    for arguments, words in (((1, 3), "C=1"), ((3, 0), "n=0"), ((3, 10, 3), "at most C \\* samples = 9")):
        with pytest.raises(ValueError, match=words):
            drift(*arguments)


@pytest.mark.parametrize(("C", "n", "beta"), [(3, 2, 0.6), (5, 2, 0.9), (7, 1, 0.95)])
def test_momentum_drift_is_the_sum_over_all_counts(C, n, beta):
    found, epsilon = momentum_drift(C, n, beta, 6), theory._smoothing(C, n)
    chance = binom(n, 1.0 / C).pmf(np.arange(n + 1))
    for t in range(1, 7):
        counts = np.array(list(product(range(n + 1), repeat=t)))
        weights = chance[counts].prod(axis=1)
        sums = (n / C - counts) @ beta ** np.arange(t)
        sums[np.abs(sums) < 1e-12] = 0.0
        assert abs(found[t - 1] - weights @ erf(sums / epsilon / np.sqrt(2.0))) < 3e-9, t  # 2e-9 lost in the tails
        cost = weights @ np.where(sums, erfc(np.abs(sums) / epsilon / np.sqrt(2.0)), 0.0)
        assert abs(found[t - 1] - weights @ np.sign(sums)) < cost + 3e-9 < 5e-3, t


@pytest.mark.parametrize(("C", "n"), [*CASES, (100, 101), (1000, 32), (50, 50)])
def test_momentum_drift_without_momentum_is_the_drift(C, n):
    # 3e-9: the tails; 6e-7: twice the chance that the smoothing crosses five of its standard deviations
    assert np.abs(momentum_drift(C, n, 0.0, 3) - drift(C, n)).max() < 6e-7


@pytest.mark.parametrize(("C", "n", "beta"), [(100, 8, 0.9), (100, 32, 0.9), (1000, 32, 0.9), (10, 32, 0.5)])
def test_momentum_drift_against_chance(C, n, beta):
    repeats, steps = 10_000, 40
    found = momentum_drift(C, n, beta, steps)
    mean = np.zeros(repeats)
    for t, batch in enumerate(signs_of_counts(C, n, repeats, steps, seed=1).T):
        mean = beta * mean + batch
        if t in (0, 3, 15, 39):
            assert abs(np.sign(mean).mean() - found[t]) < 4.0 / np.sqrt(repeats), t


def test_skewness_is_the_limit_of_many_samples_and_slow_means():
    exact = [momentum_drift(C, n, beta, int(4 / (1 - beta)))[-1] for C, n, beta in ((100, 32, 0.9), (100, 3200, 0.9), (1000, 32, 0.9))]
    close, closer, far = (skewness_drift(*case) / e - 1.0 for case, e in zip(((100, 32, 0.9), (100, 3200, 0.9), (1000, 32, 0.9)),
                                                                              exact, strict=True))
    assert abs(closer) < 1e-3 and abs(close) < 0.02  # next terms of Edgeworth's series are of relative order 1 - beta over n/C
    assert far < -0.2  # the control: n/C = 0.032 is below 1 - beta = 0.1, where the sum is far from normal
    assert skewness_drift(2, 9, 0.9) == 0.0


@pytest.mark.parametrize(("C", "n", "beta"), [(100, 32, 0.9), (20, 8, 0.8), (10, 32, 0.5), (50, 50, 0.0)])
def test_momentum_drift_ends_early_where_nothing_more_changes(C, n, beta, monkeypatch):
    steps = max(20, int(30 / (1 - beta)))
    early = momentum_drift(C, n, beta, 100_000)  # without an early end these would take minutes
    assert np.ptp(early[steps:]) == 0.0
    monkeypatch.setattr(theory, "SETTLED", 0.0)
    full = momentum_drift(C, n, beta, steps)
    assert np.abs(early[:steps] - full).max() < 1e-9
    if beta:
        monkeypatch.setattr(theory, "SETTLED", 1.0)  # the control: an end that comes too early is seen
        assert np.abs(momentum_drift(C, n, beta, steps) - full).max() > 1e-9


def test_biases_drift_as_the_counts_say_and_not_in_full_batch():
    setting = Head(C=60, d=3, samples=5, batch=16, init=0.0)
    for beta in (0.0, 0.9):
        drifts = []
        for seed in range(6):
            system = linear_head(setting, seed=seed)
            run = simulate(system, SignGD(1e-7, momentum=beta), steps=60, record=("mean_bias",), at=[])
            drifts.append(measured_drift(run["mean_bias"], run.at, 1e-7)[-1])
        # the spread between seeds gives the standard deviation of their mean; five of it, for six seeds estimate it roughly
        assert abs(np.mean(drifts) - momentum_drift(60, 16, beta, 60).mean()) < 5.0 * np.std(drifts, ddof=1) / np.sqrt(6)
    assert float(system.constants["drift"]) == drift(60, 16) > 0.5
    first = []
    for seed in range(6):  # the control: every class has its share of the batch, only the initial weights tell classes apart
        system = linear_head(setting.replace(batch=0, init=0.01), seed=seed)
        run = simulate(system, SignGD(1e-7), steps=1, record=("mean_bias",))
        first.append(measured_drift(run["mean_bias"], run.at, 1e-7)[-1])
    assert float(system.constants["drift"]) == 0.0
    assert abs(np.mean(first)) < 4.0 / np.sqrt(6 * 60)  # signs of 360 classes, as good as independent


def test_shuffled_batches_have_the_hypergeometric_drift():
    setting = Head(C=6, d=2, samples=4, batch=10, batches="shuffled", init=0.0)
    expected = drift(6, 10, samples=4)
    assert abs(expected - drift(6, 10)) > 0.04  # else the test could not tell
    signs = []
    for seed in range(40):
        system = linear_head(setting, seed=seed)
        for step in range(0, 40, 2):  # one batch of each epoch: those of one epoch depend on each other
            signs.append(np.sign(10 / 6 - np.bincount(system.data.y[system.batch(step)], minlength=6)).mean())
    assert float(system.constants["drift"]) == expected
    assert abs(np.mean(signs) - expected) < 4.0 * np.std(signs) / np.sqrt(len(signs))


def test_measured_drift_is_the_mean_sign_also_with_rates_that_change():
    system = linear_head(Head(C=9, d=4, samples=5, batch=3))
    rule = SignGD(lambda step: 1e-3 / (1 + step))
    run = simulate(system, rule, steps=8, record=("mean_bias",), at=[2, 5])
    signs, p = [], system.start.copy()
    for step in range(8):
        views, out = system.layout.views(p), system.layout.views(np.empty_like(p))
        system.backward(views, system.forward(views, system.batch(step)), out)
        signs.append(np.sign(out.b).mean())
        views.V -= rule.lr(step) * np.sign(out.V)
        views.b -= rule.lr(step) * np.sign(out.b)
    weights = 1.0 / (1 + np.arange(8))
    expected = [np.average(signs[:t], weights=weights[:t]) for t in (2, 5, 8)]
    assert gap(measured_drift(run["mean_bias"], run.at, rule.lr), expected) < 1e-12
    rates = np.array([1e-3, 1e-2])
    run = simulate(linear_head(Head(C=9, d=4, samples=5, batch=3), replicates=2), SignGD(rates), steps=4, record=("mean_bias",))
    assert measured_drift(run["mean_bias"], run.at, rates).shape == (4, 2)


# -- gauge -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_conserves_the_sums_over_classes_and_sign_rules_do_not(momentum):
    system = linear_head(Head(C=40, d=6, samples=4, batch=8, init=0.3))
    before = system.layout.views(system.start)
    sums = {}
    for rule in (GradientDescent(0.3, momentum=momentum), SignGD(1e-2, momentum=momentum), Adam(1e-2)):
        run = simulate(system, rule, steps=60, record=("V_norm",), at=[])
        after = system.layout.views(run.final)
        assert np.linalg.norm(after.V - before.V) > 1.0
        sums[type(rule).__name__] = max(np.abs((after.V - before.V).sum(axis=0)).max(), abs((after.b - before.b).sum()))
    assert sums["GradientDescent"] < 1e-12  # 60 roundings of 40 numbers of order 1
    assert sums["SignGD"] > 0.5 and sums["Adam"] > 0.1


def test_loss_and_gradients_are_blind_to_a_vector_added_to_all_rows():
    system = linear_head(Head(C=12, d=5, samples=3, batch=0, init=0.5))
    rng = np.random.default_rng(0)

    def outcome(flat):
        views, out = system.layout.views(flat), system.layout.views(np.empty_like(flat))
        cache = system.forward(views)
        system.backward(views, cache, out)
        return [cache.loss, out.V, out.b, system.feature_gradient(views, cache)]

    moved, turned = system.start.copy(), system.start.copy()
    views = system.layout.views(moved)
    views.V += 3.0 * rng.standard_normal(5)
    views.b += 7.0
    system.layout.views(turned).V += 3.0 * rng.standard_normal((12, 5))  # the control: another vector for every row
    for here, there, elsewhere in zip(outcome(system.start.copy()), outcome(moved), outcome(turned), strict=True):
        assert gap(here, there) < 1e-12  # logits of order 30 lose two digits
        assert gap(here, elsewhere) > 1e-2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_projected_and_plain_sign_descent_differ_by_what_the_loss_does_not_see(momentum):
    system = linear_head(Head(C=50, d=6, samples=4, batch=8))
    rates = lambda step: 1e-2 * (1.0 - step / 80)  # noqa: E731
    plain = simulate(system, SignGD(rates, momentum=momentum), steps=80)
    projected = simulate(system, ProjectedSign(rates, C=50, d=6, momentum=momentum), steps=80)
    for name in ("train_loss", "accuracy", "V_centred_norm"):
        assert gap(plain[name], projected[name]) < 1e-12, name
    one, other = system.layout.views(plain.final), system.layout.views(projected.final)
    assert gap(centred(one.V), centred(other.V)) < 1e-12 and gap(one.b - one.b.mean(), other.b - other.b.mean()) < 1e-12
    assert abs(projected["mean_bias"][-1]) < 1e-14 < 0.01 < abs(plain["mean_bias"][-1])
    assert projected["V_norm"][-1] < plain["V_norm"][-1]
    if not momentum:
        assert plain["gauge_share"][-1] > 0.8 > 0.01 > projected["gauge_share"][-1]


def test_projected_rule_takes_replicates_and_refuses_what_is_no_head():
    setting = Head(C=10, d=4, samples=3, batch=5)
    rates = np.array([1e-3, 1e-2])
    together = simulate(linear_head(setting, replicates=2), ProjectedSign(rates, C=10, d=4, momentum=0.5), steps=6)
    for i, lr in enumerate(rates):
        alone = simulate(linear_head(setting), ProjectedSign(float(lr), C=10, d=4, momentum=0.5), steps=6)
        assert gap(together.final[i], alone.final) < 1e-12
    with pytest.raises(ValueError, match="C \\(d \\+ 1\\) = 50 parameters, but this system has 11"):
        simulate(Quadratic.random(), ProjectedSign(1e-3, C=10, d=4), steps=1)
    for changes, words in (({"lr": 0.0}, "lr"), ({"C": 1}, "C=1"), ({"d": 2.0}, "d=2.0"), ({"momentum": 1.0}, "momentum")):
        with pytest.raises(ValueError, match=words):
            ProjectedSign(**{"lr": 1e-3, "C": 10, "d": 4, **changes})


def test_norm_of_a_head_whose_rows_all_drift():
    # all features equal to their shared mean: every row's gradient has the signs of the bias's, so that V drifts as b does
    setting = Head(C=80, d=9, samples=4, batch=8, spread=0.0, noise=0.0, init=0.0)
    run = simulate(linear_head(setting), SignGD(1e-6), steps=50, record=("V_norm", "gauge_share", "mean_bias"), at=[])
    D = measured_drift(run["mean_bias"], run.at, 1e-6)[-1]
    gauge = run["V_norm"][-1] * np.sqrt(run["gauge_share"][-1])
    assert gap(gauge, drift_norm(80, 9, 1e-6, 50, D)) < 1e-9
