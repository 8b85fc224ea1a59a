"""Fresh test points and starts drawn in reduced coordinates follow the same law as the dense ones."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse, stats

from dynsim import SignGD, simulate
from dynsim.numerics import logistic
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.fresh import TestTokens, draw_inside, draw_outside

from ...helpers import LUMPING_RULES, gap
from .helpers import random_setting

RECORD = ["test_loss", "test_error"]
SMALL = signal_noise.Setting(n=5, d=120, s=8, sigma_p=1.5, m_k=6, m_v=3, sigma_0=0.1)
RULE = SignGD(2e-3)


LEVEL = 1e-3
"""Chance of a false alarm of each test of a law; the seeds are fixed, so a test that passes keeps passing."""


def follows_normal(values):
    return stats.kstest(values, "norm").pvalue > LEVEL


def same_law(values, others):
    return stats.ks_2samp(values, others).pvalue > LEVEL


# -- one seed --------------------------------------------------------------------------------------------------------------


def test_test_loss_is_the_loss_of_fresh_samples():
    """Recomputed from the weights with all d coordinates, sample by sample."""
    system = signal_noise.dense(SMALL, seed=0)
    run = simulate(system, RULE, steps=30, record=RECORD, at=[30])
    weights = system.layout.views(run.final)
    v, mu, fresh = weights.W_V[0].mean(0) - weights.W_V[1].mean(0), system.data.mu, system.test.H
    margins = []
    for token in fresh:
        q, k = mu @ weights.W_QK[0], mu @ weights.W_QK[1]
        difference = k - token @ weights.W_QK[1]
        s = [1 / (1 + np.exp(-(query @ difference))) for query in (q, token @ weights.W_QK[0])]
        margins.append(sum(s) * (v @ mu) + (2 - sum(s)) * (v @ token))
    margins = np.array(margins)
    assert gap(run["test_loss"][-1], np.log1p(np.exp(-margins)).mean()) < 1e-12
    assert run["test_error"][-1] == (margins <= 0).mean() and 0 < run["test_error"][-1] < 1


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
@pytest.mark.parametrize("name", LUMPING_RULES)
def test_lumping_a_dense_system_keeps_its_fresh_points(name, disjoint):
    rule = LUMPING_RULES[name]
    dense = signal_noise.dense(random_setting(11, disjoint=disjoint), seed=1)
    run, reduced = (simulate(system, rule, steps=200, every=50, record=RECORD) for system in (dense, dense.lump(rule)))
    assert gap(reduced["test_loss"], run["test_loss"]) < 1e-12
    np.testing.assert_array_equal(reduced["test_error"], run["test_error"])
    assert gap(run["test_loss"][0], run["test_loss"][-1]) > 1e-4


def test_fresh_points_are_part_of_the_seed_and_no_part_of_the_training():
    setting = SMALL.replace(disjoint=True)
    first, again = (simulate(signal_noise.lumped(setting, SignGD, seed=3), RULE, steps=5, record=RECORD) for _ in range(2))
    np.testing.assert_array_equal(first["test_loss"], again["test_loss"])
    system = signal_noise.lumped(setting, SignGD, seed=3)
    with_test = simulate(system, RULE, steps=5, record=["train_loss", "test_loss"])
    without = simulate(signal_noise.lumped(setting, SignGD, seed=3), RULE, steps=5, record=["train_loss"])
    np.testing.assert_array_equal(with_test["train_loss"], without["train_loss"])


def test_no_law_no_test_loss():
    arrays = {"mu": np.eye(4)[0], "xi": np.eye(4)[1:3], "y": [1, -1], "W_Q": np.ones((1, 4)), "W_K": np.ones((1, 4))}
    system = signal_noise.from_arrays(**arrays, W_V_pos=np.ones((1, 4)), W_V_neg=np.zeros((1, 4)))
    for form in (system, system.lump(SignGD)):
        with pytest.raises(ValueError, match="unknown recorded quantity 'test_loss'"):
            simulate(form, RULE, steps=1, record=["test_loss"])


# -- the law, moment by moment ---------------------------------------------------------------------------------------------

COPIES = 40_000


def moments_match(samples, mean, covariance):
    """True if mean and covariance of samples (t, COPIES) lie within five standard errors of a Gaussian's."""
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) + 1e-12
    off_mean = np.abs(samples.mean(1) - mean) / np.sqrt((np.diag(covariance) + 1e-12) / COPIES)
    off_covariance = np.abs(np.cov(samples) - covariance) / (spread / np.sqrt(COPIES))
    return off_mean.max() < 5 and off_covariance.max() < 5


def sparse_tokens(rng, t, size):
    return np.where(rng.random((t, size)) < 0.4, rng.standard_normal((t, size)), 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_projections_outside_the_trained_coordinates(seed):
    rng = np.random.default_rng(seed)
    tokens = sparse_tokens(rng, 5, 12)
    tokens[1:, :4] = 0.0  # coordinates that one token meets alone
    std = 0.3
    samples = draw_outside(sparse.csc_array(tokens), np.full(COPIES, std), rng)
    covariance = std**2 * tokens @ tokens.T
    assert moments_match(samples, np.zeros(5), covariance)
    assert not moments_match(samples, np.zeros(5), np.diag(np.diag(covariance))), "tokens that meet are correlated"
    assert not moments_match(1.03 * samples, np.zeros(5), covariance)


@pytest.mark.parametrize("seed", range(3))
def test_projections_inside_are_conditioned_on_the_start(seed):
    """Given u = <w, coef> of each group, w is Gaussian with mean coef u / |coef|^2 and covariance I - coef coef^T / |coef|^2."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(3), [2, 3, 4])
    coef_of_all, std = rng.standard_normal(9), 0.3
    norm2 = np.bincount(group, coef_of_all**2)
    met = np.array([0, 1, 2, 4, 5, 8])  # all of the first group, a part of the others
    tokens, coef = sparse_tokens(rng, 4, len(met)), coef_of_all[met]
    u = std * np.sqrt(norm2) * np.array([2.0, -1.0, 0.5])
    samples = draw_inside(
        sparse.csc_array(tokens), group[met], coef, norm2, np.repeat(u[:, None], COPIES, axis=1), np.full(COPIES, std), rng
    )
    mean = tokens @ (coef * (u / norm2)[group[met]])
    along = np.stack([tokens @ np.where(group[met] == g, coef, 0.0) / np.sqrt(norm2[g]) for g in range(3)])
    covariance = std**2 * (tokens @ tokens.T - along.T @ along)
    assert moments_match(samples, mean, covariance)
    assert not moments_match(samples, 0.0 * mean, covariance), "forgetting what the start says is noticed"
    assert not moments_match(samples, mean, std**2 * tokens @ tokens.T), "and so is drawing untouched weights"


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
@pytest.mark.parametrize("start", ["lumped", "restricted"])
def test_initial_test_projections_have_the_law_of_the_dense_model(start, disjoint):
    """Seen from outside: a fresh token's initial query projection is N(0, sigma_0^2 |x|^2)."""
    setting = SMALL.replace(m_k=200, disjoint=disjoint)
    values = []
    for seed in range(4):
        system = signal_noise.lumped(setting, SignGD, seed=seed) if start == "lumped" else signal_noise.restricted(setting, seed=seed)
        test, dense_test = system.test, signal_noise.dense(setting, seed=seed).test
        norms = np.linalg.norm(dense_test.H, axis=1)  # the same fresh tokens: they belong to the seed
        projections = test.H @ system.layout.views(system.start).W_QK[0] + test.offset_qk[0]
        values.append(projections[seed::100] / (setting.sigma_0 * norms[seed::100, None]))
    values = np.concatenate(values).ravel()
    assert follows_normal(values) and not follows_normal(1.1 * values)


# -- the law, run by run ---------------------------------------------------------------------------------------------------


LAW = signal_noise.Setting(n=4, d=300, s=6, sigma_p=1.5, m_k=6, m_v=2, sigma_0=0.2)
SEEDS = 120


def losses_over_seeds(build, first):
    runs = [simulate(build(seed), RULE, steps=200, at=[0, 200], record=["test_loss"]) for seed in range(first, first + SEEDS)]
    return np.array([run["test_loss"] for run in runs]).T


def without_offsets(seed):
    """Negative control: a lumped system that forgets the weights which fresh tokens meet outside the trained coordinates."""
    system = signal_noise.lumped(LAW, SignGD, seed=seed)
    test = system.test
    return replace(system, draw_test=lambda: TestTokens(test.H, 0.0 * test.offset_qk, 0.0 * test.offset_v))


@pytest.mark.slow
def test_test_loss_has_the_same_law_lumped_and_dense():
    """Different seeds on both sides, at the start and after 200 steps."""
    dense = losses_over_seeds(lambda seed: signal_noise.dense(LAW, seed=seed), 0)
    lumped = losses_over_seeds(lambda seed: signal_noise.lumped(LAW, SignGD, seed=seed), 1000)
    restricted = losses_over_seeds(lambda seed: signal_noise.restricted(LAW, seed=seed), 2000)
    wrong = losses_over_seeds(without_offsets, 1000)
    for when in (0, 1):
        for reduced in (lumped, restricted):
            assert same_law(dense[when], reduced[when])
        assert not same_law(dense[when], wrong[when])


# -- the start -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
def test_initial_key_noise_is_gaussian_of_known_scale(disjoint):
    setting = signal_noise.Setting(m_k=10_000, disjoint=disjoint)
    run = simulate(signal_noise.lumped(setting, SignGD, seed=0), RULE, steps=0)
    for name, norm in (("key_noise", run.constants["noise_l2"]), ("query_noise", run.constants["noise_l2"])):
        values = (run[name][0] / (setting.sigma_0 * norm)).ravel()
        assert follows_normal(values) and not follows_normal(1.05 * values), "a 5 % wrong scale is told apart"
    values = run["key_signal"][0] / (setting.sigma_0 * setting.mu_norm)
    assert follows_normal(values) and not follows_normal(1.1 * values)


def test_initial_mean_values_are_gaussian_of_known_scale():
    setting = signal_noise.Setting(n=50, s=20, d=1001, m_v=4, m_k=1, disjoint=True)
    runs = [simulate(signal_noise.lumped(setting, SignGD, seed=seed), RULE, steps=0) for seed in range(200)]
    std = setting.sigma_0 * np.sqrt(2 / setting.m_v)
    values = np.concatenate([run["mean_value_noise"][0] / (std * run.constants["noise_l2"]) for run in runs])
    assert follows_normal(values) and not follows_normal(1.1 * values)


def independent_dense_start(setting, seed):
    """Draw data and weights by Definition 2.1 with no use of the package's drawing: i.i.d. entries through `from_arrays`."""
    rng = np.random.default_rng([seed, 77])
    n, d, s = setting.n, setting.d, setting.s
    xi = np.zeros((n, d))
    for row in xi:
        row[rng.permutation(np.arange(1, d))[:s]] = rng.normal(0.0, setting.sigma_p, s)
    shapes = {"W_Q": (setting.m_k, d), "W_K": (setting.m_k, d), "W_V_pos": (setting.m_v, d), "W_V_neg": (setting.m_v, d)}
    weights = {name: rng.normal(0.0, setting.sigma_0, shape) for name, shape in shapes.items()}
    return signal_noise.from_arrays(mu=setting.mu_norm * np.eye(d)[0], xi=xi, y=rng.choice([-1, 1], n), **weights)


@pytest.mark.slow
def test_lumped_and_independent_dense_starts_run_alike():
    """Key noise at the start and the logit of s_21 at t = 100, one sample a seed so that all numbers are independent."""
    setting, rule, seeds = signal_noise.Setting(n=10, d=600, s=12, m_k=30, m_v=6, sigma_0=5e-3), SignGD(3e-4), range(300)

    def at_0_and_100(build):
        runs = [simulate(build(seed), rule, steps=100, at=[0, 100], record=["logit_21", "key_noise"]) for seed in seeds]
        scale = np.array([setting.sigma_0 * run.constants["noise_l2"][0] for run in runs])
        return np.array([run["key_noise"][0, 0, 0] for run in runs]) / scale, np.array([run["logit_21"][1, 0] for run in runs])

    lumped = at_0_and_100(lambda seed: signal_noise.lumped(setting, rule, seed=seed))
    dense = at_0_and_100(lambda seed: independent_dense_start(setting, seed).lump(rule))
    assert follows_normal(dense[0]) and follows_normal(lumped[0])
    assert same_law(lumped[1], dense[1])
    assert np.median(lumped[1]) < -2, "the run is well inside the fourth stage"
    # the initial scale leaves the logit alone (eight times as large passes); the scale of the noise does not
    wrong = at_0_and_100(lambda seed: signal_noise.lumped(setting.replace(sigma_p=1.25 * setting.sigma_p), rule, seed=seed))
    assert not same_law(wrong[1], dense[1])


def test_the_independent_start_is_run_densely_as_it_is_lumped():
    """What the test above relies on: the logit at t = 100 of one independent start, dense and lumped."""
    setting, rule = signal_noise.Setting(n=10, d=600, s=12, m_k=30, m_v=6, sigma_0=5e-3), SignGD(3e-4)
    dense = independent_dense_start(setting, 0)
    runs = [simulate(system, rule, steps=100, at=[100], record=["logit_21", "ties"]) for system in (dense, dense.lump(rule))]
    assert gap(runs[0]["logit_21"], runs[1]["logit_21"]) < 1e-11 and runs[0]["ties"].sum() == 0


# -- numbers far out -------------------------------------------------------------------------------------------------------


def test_test_loss_of_huge_margins_is_finite():
    system = signal_noise.lumped(SMALL, SignGD, seed=0)
    run = simulate(system, SignGD(10.0), steps=3, record=RECORD)
    assert np.isfinite(run["test_loss"]).all() and run["test_loss"].max() > 10
    assert np.isfinite(logistic(np.array(-1e6)).softplus_neg)
