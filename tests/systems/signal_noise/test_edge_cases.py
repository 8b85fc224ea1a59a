"""The corners of the setting: one sample, one coordinate, dense noise, no noise in the weights, nothing to do, too much of it."""

import numpy as np
import pytest

from dynsim import SignGD, iterate, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.observables import OBSERVABLES

from ...helpers import LUMPING_RULES, RULES, gap
from .helpers import NINE, gradient_of, random_arrays, run_nine

BASE = signal_noise.Setting(n=4, d=60, s=5, m_k=5, m_v=3, sigma_0=0.02)
CORNERS = {
    "one sample": BASE.replace(n=1),
    "one coordinate": BASE.replace(s=1),
    "one coordinate, disjoint": BASE.replace(s=1, disjoint=True),
    "dense noise": BASE.replace(d=12, s=11),
    "dense noise of one sample, disjoint": BASE.replace(n=1, d=12, s=11, disjoint=True),
    "signal longer than the noise": BASE.replace(mu_norm=100.0),
    "one row": BASE.replace(m_k=1, m_v=1),
    "smallest of all": signal_noise.Setting(n=1, d=2, s=1, m_k=1, m_v=1),
    "disjoint supports that just fit": BASE.replace(d=21, disjoint=True),
    "large weights": BASE.replace(sigma_0=3.0),
}


def everything(system, rule, steps=60):
    return simulate(system, rule, steps=steps, record=list(system.observables))


def assert_finite(run):
    for name, a in run.arrays.items():
        assert np.isfinite(a).all(), name


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("corner", CORNERS)
def test_every_rule_runs_in_every_corner_and_the_reduction_is_exact(corner, rule):
    dense = signal_noise.dense(CORNERS[corner], seed=1)
    reduced = dense.lump(rule) if rule.kind != "coordinatewise" else dense.restrict()
    run, small = everything(dense, rule), everything(reduced, rule)
    assert run.status == "finished" and set(run.arrays) == set(OBSERVABLES)
    assert_finite(run)
    if run["ties"].sum() + small["ties"].sum() == 0:
        for name in NINE:
            assert gap(small[name], run[name]) < 1e-10, name
    else:
        assert CORNERS[corner].m_k == 1 or corner == "large weights", "only the corners with one row may tie"


@pytest.mark.parametrize("corner", CORNERS)
def test_gradients_in_every_corner(corner):
    for system in (signal_noise.dense(CORNERS[corner], seed=2), signal_noise.lumped(CORNERS[corner], SignGD, seed=2)):
        assert gradcheck(system).worst < 1e-13, str(gradcheck(system))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("form", [signal_noise.dense, signal_noise.restricted, signal_noise.best])
def test_zero_weights_stay_exactly_zero(form, rule):
    """sgn(0) = 0: no rounding may start W_Q or W_K, while the value layer learns."""
    setting = BASE.replace(sigma_0=0.0)
    system = form(setting, rule, seed=0) if form is signal_noise.best else form(setting, seed=0)
    run = everything(system, rule, steps=100)
    assert not system.layout.views(run.final).W_QK.any()
    for name in ("query_signal", "key_signal", "query_noise", "key_noise", "logit_11", "logit_21", "ties"):
        assert (run[name] == 0).all(), name
    assert (run["softmax_11"] == 0.5).all() and (run["softmax_21"] == 0.5).all()
    assert run["train_loss"][0] == pytest.approx(np.log(2), rel=1e-15) and run["train_loss"][-1] < run["train_loss"][0]
    assert run.underflow_at == -1, "an exact zero is no underflow"


def test_zero_weights_warn_about_nothing_outside_simulate():
    """log 0 is met on purpose; `iterate` and gradient checks must not pass a NumPy warning on to the user."""
    setting = BASE.replace(sigma_0=0.0)
    for system in (signal_noise.dense(setting, seed=0), signal_noise.lumped(setting, SignGD, seed=0)):
        for signs in (False, True):
            assert np.isfinite(gradient_of(system, signs=signs)).all()
        for state in iterate(system, SignGD(1e-3)):
            if state.step == 3:
                break
        assert np.isfinite(state.cache.loss)


@pytest.mark.parametrize("form", ["dense", "lumped", "restricted"])
def test_horizon_zero(form):
    system = signal_noise.lumped(BASE, SignGD, seed=0) if form == "lumped" else getattr(signal_noise, form)(BASE, seed=0)
    rule = SignGD(1e-3)
    run = simulate(system, rule, steps=0)
    np.testing.assert_array_equal(run.at, [0])
    np.testing.assert_array_equal(run.final, system.start)
    assert run.status == "finished" and run.last_step == 0 and all(len(a) == 1 for a in run.arrays.values())


def test_one_sample_needs_no_vote():
    """n = 1: every row's query signal follows its single sample, and loss falls."""
    run = simulate(signal_noise.lumped(BASE.replace(n=1), SignGD, seed=0), SignGD(1e-3), steps=500)
    assert run["key_noise"].shape == (501, BASE.m_k, 1) and run["train_loss"][-1] < 0.1 * run["train_loss"][0]


def test_dense_noise_lumps_to_the_same_size():
    """s = d - 1: every coordinate is shared, nothing lumps but the signal, and the reduction says so by its size."""
    setting = BASE.replace(d=12, s=11)
    system = signal_noise.lumped(setting, SignGD, seed=0)
    assert system.data.shared == 11 and system.features.size == 11 + 1 + setting.n
    one = signal_noise.lumped(setting.replace(n=1), SignGD, seed=0)
    assert one.data.shared == 0 and one.features.size == 2


def test_a_signal_longer_than_every_noise_token_never_leaves_stage_one():
    run = simulate(signal_noise.lumped(BASE.replace(mu_norm=100.0, disjoint=True), SignGD, seed=0), SignGD(1e-4), steps=300)
    assert run.constants["mu_l1"] > run.constants["noise_l1"].max()
    lead = run["mean_value_signal"][:, None] - run["mean_value_noise"]
    assert (np.diff(lead, axis=0) > 0).all() and (lead[50:] > 0).all()


@pytest.mark.parametrize("lr", [1.0, 1e3, 1e8])
@pytest.mark.parametrize("name", ["SignGD", "GD", "Adam(eps=0)"])
def test_a_rate_that_overshoots_everything_gives_numbers_or_says_diverged(name, lr):
    rule = type(LUMPING_RULES[name])(**{**vars(LUMPING_RULES[name]), "lr": lr})
    run = everything(signal_noise.lumped(BASE, rule, seed=0), rule, steps=20)
    assert run.status in ("finished", "diverged")
    for name_, a in run.arrays.items():
        assert np.isfinite(a).all(), name_
    if name == "SignGD":
        assert run.status == "finished" and len(run.at) == 21


@pytest.mark.parametrize("rule", LUMPING_RULES.values(), ids=LUMPING_RULES)
def test_duplicate_samples_stay_equal(rule):
    arrays = random_arrays(3, n=4, d=30, m_k=5, scale=0.1, dense=0.2)
    arrays["xi"][1], arrays["y"][1] = arrays["xi"][0], arrays["y"][0]
    dense = signal_noise.from_arrays(**arrays)
    for system in (dense, dense.lump(rule), dense.restrict()):
        run = run_nine(system, rule, 200)
        for name in ("query_noise", "key_noise"):
            assert gap(run[name][:, :, 0], run[name][:, :, 1]) < 1e-12
        assert gap(run["mean_value_noise"][:, 0], run["mean_value_noise"][:, 1]) < 1e-12
        assert gap(run["query_noise"][:, :, 0], run["query_noise"][:, :, 2]) > 1e-2, "other samples go their own way"


@pytest.mark.parametrize("label", [-1.0, 1.0])
@pytest.mark.parametrize("rule", LUMPING_RULES.values(), ids=LUMPING_RULES)
def test_all_labels_equal(rule, label):
    arrays = random_arrays(4, n=5, d=40, m_k=5, scale=0.1, dense=0.15)
    arrays["y"] = np.full(5, label)
    dense = signal_noise.from_arrays(**arrays)
    run, small = run_nine(dense, rule, 200), run_nine(dense.lump(rule), rule, 200)
    assert run["ties"].sum() == 0 and run["train_loss"][-1] < run["train_loss"][0]
    for name in NINE:
        assert gap(small[name], run[name]) < 1e-10, name


def test_flipping_label_and_noise_together_changes_nothing():
    """The model sees y mu and y xi only: the symmetry that lets the label drop out of every formula."""
    arrays = random_arrays(5, n=5)
    flipped = {**arrays, "y": -arrays["y"], "xi": -arrays["xi"]}
    runs = [run_nine(signal_noise.from_arrays(**a), SignGD(1e-2), 50) for a in (arrays, flipped)]
    for name in NINE:
        np.testing.assert_array_equal(runs[0][name], runs[1][name])
    only_label = run_nine(signal_noise.from_arrays(**{**arrays, "y": -arrays["y"]}), SignGD(1e-2), 50)
    assert gap(only_label["train_loss"], runs[0]["train_loss"]) > 1e-3


def test_a_zero_noise_token_is_allowed():
    arrays = random_arrays(6, n=3)
    arrays["xi"][1] = 0.0
    dense = signal_noise.from_arrays(**arrays)
    run, small = run_nine(dense, SignGD(1e-2), 50), run_nine(dense.lump(SignGD), SignGD(1e-2), 50)
    for name in NINE:
        assert gap(small[name], run[name]) < 1e-10, name
    assert (run["key_noise"][:, :, 1] == 0).all()
