"""Closed forms at their limits and against simulation; the clock of Fig. 3."""

from __future__ import annotations

import numpy as np
import pytest

from dynsim import SignGD, simulate
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.predictions import attention_time, key_turn, loss_bounds, minority, predict, stage_one_end
from dynsim.systems.signal_noise.reading import Reading

SIGNALS = ["query_noise", "key_noise", "query_signal", "key_signal", "mean_value_signal", "mean_value_noise", "softmax_11", "softmax_21"]


def test_key_turn_scales_as_stated():
    T = key_turn(32.0, 1.0, 100, 5e-5)
    assert key_turn(32.0, 1.0, 100, 1e-4) == pytest.approx(T / 2)
    assert key_turn(32.0, 1.0, 400, 5e-5) == pytest.approx(T / 2)
    assert np.isnan(key_turn(0.2, 1.0, 100, 5e-5))  # 4 a < |mu|


def test_minority_by_enumeration_and_in_the_limit():
    for n in (1, 2, 3, 5, 8):
        votes = np.array(np.meshgrid(*[[0, 1]] * n)).reshape(n, -1).sum(0)
        assert minority(n) == pytest.approx(np.minimum(votes, n - votes).mean() / n)
    assert minority(100_000) == pytest.approx(0.5 - 0.5 * np.sqrt(2 / (np.pi * 100_000)), abs=1e-5)


def test_attention_time_without_minority_is_the_pure_square_root():
    assert attention_time(32.0, 1.0, 100, 1, 5e-5) == pytest.approx(np.sqrt(np.log(9) / (100 * 32 * 25e-10)))


def test_stage_one_end_at_its_limits():
    a = np.array([3.0, 5.0])
    assert stage_one_end(0.0, np.array([1.0, 2.0]), a, 1.0, 0.1) == 0  # over before it began
    assert stage_one_end(1.0, np.array([0.0, 2.0]), a, 1.0, 0.1) == 3  # gap 1, speed 0.4: 2.5 rounded up
    assert stage_one_end(1.0, np.array([0.0, 0.0]), a, 4.0, 0.1) == np.inf


def test_loss_bounds_bracket_the_loss_of_every_attention():
    rng = np.random.default_rng(1)
    A, B = np.array([0.5]), rng.uniform(0.5, 3.0, (1, 6))
    low, high = loss_bounds(A, B)
    for _ in range(200):
        s11 = rng.uniform(0, 1, 6)
        s21 = rng.uniform(0, 1 - s11)
        margin = (s11 + s21) * A[0] + (2 - s11 - s21) * B[0]
        assert low[0] <= np.logaddexp(0, -margin).mean() <= high[0]
    margin = 2 * A[0] * np.ones(6)  # s_11 + s_21 = 2 violates the condition of the upper bound
    assert np.logaddexp(0, -margin).mean() > high[0]


def test_predict_agrees_with_a_run_and_states_its_conditions():
    theory = predict(signal_noise.preset("figure3"), lr=5e-5)
    assert theory.T_query == 2 * theory.T_key and theory.T_agree == 4 * theory.T_key
    assert theory.snr == pytest.approx(1 / (2 * np.sqrt(20)))
    assert "T_key" in str(theory) and "missed" in str(theory)
    measured = [int(signal_noise.dense(signal_noise.preset("figure3"), seed=s).constants["shared"]) for s in range(5)]
    assert abs(np.mean(measured) - theory.shared) < 4  # about one standard error of five draws is 2
    disjoint = predict(signal_noise.preset("theory"), lr=2e-6)
    assert disjoint.shared == 0
    assert [c.met for c in disjoint.conditions] == [True, False, True, True, True, True, True, True]
    assert predict(signal_noise.preset("figure3").replace(mu_norm=1e4), lr=5e-5).T_stage_one == np.inf


@pytest.mark.parametrize("lr", [0.0, -1.0, np.nan, np.inf])
def test_predict_refuses_a_bad_rate(lr):
    with pytest.raises(ValueError, match="lr="):
        predict(signal_noise.preset("tiny"), lr=lr)


@pytest.mark.parametrize("disjoint", [pytest.param(False, marks=pytest.mark.slow), True])
def test_clock_of_figure_3(disjoint):
    """Medians over 20 seeds within 10 % of 150 and 300; s_11 above 0.45 at the key turn in every seed."""
    setting = signal_noise.preset("figure3").replace(disjoint=disjoint)
    key, query = [], []
    for seed in range(20):
        r = Reading(simulate(signal_noise.lumped(setting, SignGD, seed=seed), SignGD(5e-5), steps=900, record=SIGNALS))
        key.append(r.turn("key_noise"))
        query.append(r.turn("query_noise"))
        assert r["softmax_11"][r.row(key[-1])].mean() > 0.45
        if disjoint:
            assert r.T_one == r.stage_one_predicted
            assert abs(key[-1] / r.T_key - 1) < 0.10
    assert abs(np.median(key) / 150 - 1) < 0.10
    assert abs(np.median(query) / 300 - 1) < 0.10
    assert abs(np.median(key) / 250 - 1) > 0.10  # the tolerance would tell another clock


@pytest.mark.slow
def test_attention_time_and_sandwich_hold_over_the_theory_regime():
    """T_attn with its constant within 3 %, and no violation of the sandwich, over factors of 16 in m_k, s, sigma_p and |mu|."""
    base = signal_noise.preset("theory")
    from dynsim import check

    changes = [{}, {"m_k": 25}, {"m_k": 400}, {"s": 50}, {"s": 800}, {"sigma_p": 0.5}, {"sigma_p": 8.0}, {"mu_norm": 0.5}, {"mu_norm": 8.0}]
    for change in changes:
        setting = base.replace(**change)
        theory = predict(setting, lr=2e-6)
        steps = int(1.3 * max(theory.T_attn, theory.T_loss_high))
        for seed in range(3):
            run = simulate(
                signal_noise.lumped(setting, SignGD, seed=seed), SignGD(2e-6), steps=steps, every=max(1, steps // 2000),
                record=["softmax_11", "softmax_21", "mean_value_signal", "mean_value_noise", "train_loss", "query_noise", "key_noise"],
            )
            report = check(run)
            assert report["loss_sandwich"].verdict == "holds", (change, seed)
            assert report["attention_time"].verdict in ("holds", "not applicable"), (change, seed, str(report["attention_time"]))
