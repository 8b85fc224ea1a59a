"""The reductions are exact: reduced and dense runs agree in every recorded quantity, start, feature and weight."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, GradientFlow, SignGD, simulate
from dynsim.optimizers import OPTIMIZERS, has_rate
from dynsim.system import Inexact
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.data import data_from_arrays, draw_data
from dynsim.systems.signal_noise.reduction import group_columns

from ...helpers import LUMPING_RULES, RULES, gap, same_bits, with_lr
from .helpers import NINE, random_arrays, random_setting, run_nine, weights_of

STEPS = 400
TOLERANCE = 1e-10


def rate_for(rule, setting):
    """Scale the rule's rate so that 400 steps lead through the first stages whatever the setting."""
    a = 0.8 * setting.sigma_p * setting.s
    return with_lr(rule, 1.0 / a if rule.kind != "linear" else 4.0 / (setting.sigma_p**2 * setting.s))


def assert_same_run(run, other, steps=STEPS):
    assert run.status == other.status == "finished" and run.last_step == steps
    assert run["ties"].sum() == other["ties"].sum() == 0, "the setting is not in general position"
    for name in NINE:
        assert gap(run[name], other[name]) < TOLERANCE, (name, gap(run[name], other[name]))


def moved(run):
    """How far the value layer and the attention went, to be sure that something happened."""
    return gap(run["mean_value_noise"][0], run["mean_value_noise"][-1]), gap(run["key_noise"][0], run["key_noise"][-1])


# -- lumped equals dense ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
@pytest.mark.parametrize("name", LUMPING_RULES)
@pytest.mark.parametrize("draw", range(3))
def test_lumped_equals_dense(name, disjoint, draw):
    """Thirty settings with every field drawn: the nine quantities, and the weights lifted back, to 1e-10 over 400 steps."""
    number = 100 * list(LUMPING_RULES).index(name) + draw
    setting = random_setting(number, disjoint=disjoint)
    rule = rate_for(LUMPING_RULES[name], setting)
    dense, lumped = signal_noise.dense(setting, seed=number), signal_noise.lumped(setting, rule, seed=number)
    assert (lumped.data.shared == 0) == disjoint
    run, reduced = run_nine(dense, rule, STEPS), run_nine(lumped, rule, STEPS)
    assert_same_run(reduced, run)
    assert min(moved(run)) > 1e-3
    lifted, final = dense.lift(lumped, reduced.final), weights_of(dense, run.final)
    for matrix, want in final.items():
        if matrix.startswith("W_V"):
            continue
        assert gap(lifted[matrix], want) < TOLERANCE, matrix
    assert gap(lifted["W_V_pos"], final["W_V_pos"]) < TOLERANCE and gap(lifted["W_V_neg"], final["W_V_neg"]) < TOLERANCE


@pytest.mark.parametrize("name", LUMPING_RULES)
@pytest.mark.parametrize("seed", [1, 2])
def test_lumped_equals_dense_for_arrays_of_ones_own(name, seed):
    """A signal in a generic direction that meets the noise, a duplicate sample and a multiple of one."""
    rule = with_lr(LUMPING_RULES[name], 0.5)
    arrays = random_arrays(seed, n=6, d=60, m_k=7, scale=0.15, dense=0.15)
    dense = signal_noise.from_arrays(**arrays)
    lumped = dense.lump(rule)
    assert lumped.features.size < len(dense.data.columns)
    run, reduced = run_nine(dense, rule, STEPS), run_nine(lumped, rule, STEPS)
    assert_same_run(reduced, run)
    assert min(moved(run)) > 1e-3
    lifted, final = dense.lift(lumped, reduced.final), weights_of(dense, run.final)
    for matrix in final:
        assert gap(lifted[matrix], final[matrix]) < TOLERANCE, matrix
    # lifted weights are a system of their own: the same run again from its end
    again = signal_noise.from_arrays(**{key: arrays[key] for key in ("mu", "xi", "y")}, **lifted)
    assert gap(simulate(again, rule, steps=0)["key_noise"][0], run["key_noise"][-1]) < TOLERANCE


@pytest.mark.parametrize("name", LUMPING_RULES)
def test_a_wrong_step_scale_is_noticed(name):
    """Negative control: the key signal's scale off by 1e-6 fails the comparison that the true one passes."""
    setting = random_setting(3, disjoint=False)
    rule = rate_for(LUMPING_RULES[name], setting)
    dense, lumped = signal_noise.dense(setting, seed=3), signal_noise.lumped(setting, rule, seed=3)
    scale = lumped.step_scale.copy()
    lumped.layout.views(scale).W_QK[1, 0] *= 1 + 1e-6
    run = run_nine(dense, rule, 50)
    assert_same_run(run_nine(lumped, rule, 50), run, steps=50)
    with pytest.raises(AssertionError, match="key_noise|query_signal|query_noise|key_signal|softmax|mean_value"):
        assert_same_run(run_nine(replace(lumped, step_scale=scale), rule, 50), run, steps=50)


@pytest.mark.parametrize(("made_for", "used"), [(SignGD(1e-3), GradientDescent(1e-3)), (GradientDescent(1e-3), SignGD(1e-3))])
def test_the_scale_of_the_other_kind_is_wrong(made_for, used):
    """Negative control: forced through, a rule on the other kind's reduction is another run; refused, it says why."""
    setting = random_setting(4, disjoint=True)
    lumped = signal_noise.lumped(setting, made_for, seed=0)
    with pytest.raises(Inexact):
        simulate(lumped, used, steps=1)
    forced = run_nine(replace(lumped, exact_for=frozenset({"any"})), used, 50)
    with pytest.raises(AssertionError):
        assert_same_run(forced, run_nine(signal_noise.dense(setting, seed=0), used, 50), steps=50)


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
@pytest.mark.parametrize("name", RULES)
def test_restricted_equals_dense(name, disjoint):
    setting = random_setting(7, disjoint=disjoint)
    rule = rate_for(RULES[name], setting)
    dense = signal_noise.dense(setting, seed=2)
    run = run_nine(dense, rule, STEPS)
    for restricted in (signal_noise.restricted(setting, seed=2), dense.restrict()):
        reduced = run_nine(restricted, rule, STEPS)
        assert_same_run(reduced, run)
        lifted, final = dense.lift(restricted, reduced.final), weights_of(dense, run.final)
        for matrix in final:
            assert gap(lifted[matrix], final[matrix]) < TOLERANCE, matrix


def test_adam_with_eps_is_not_adam_without():
    """Negative control of the refusal: lumping Adam(eps=1e-8) would be wrong, and visibly so."""
    setting = random_setting(7, disjoint=True)
    rule = Adam(1e-3, eps=1e-3)
    forced = replace(signal_noise.lumped(setting, Adam(1e-3, eps=0.0), seed=2), exact_for=frozenset({"any"}))
    with pytest.raises(AssertionError):
        assert_same_run(run_nine(forced, rule, 100), run_nine(signal_noise.dense(setting, seed=2), rule, 100), steps=100)


# -- one seed, one run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
@pytest.mark.parametrize("rule", LUMPING_RULES.values(), ids=LUMPING_RULES)
@pytest.mark.parametrize("seed", range(3))
def test_drawn_lumped_equals_lumping_the_drawn_dense_system(rule, disjoint, seed):
    setting = random_setting(seed, disjoint=disjoint)
    drawn, reduced = signal_noise.lumped(setting, rule, seed=seed), signal_noise.dense(setting, seed=seed).lump(rule)
    assert gap(drawn.start, reduced.start) < 1e-12
    assert same_bits(drawn.step_scale, reduced.step_scale) and drawn.exact_for == reduced.exact_for == {rule.kind}
    assert drawn.features.own == reduced.features.own
    mixed = [np.empty(0) if system.features.mixed is None else system.features.mixed for system in (drawn, reduced)]
    assert gap(*mixed) < 1e-12
    assert set(drawn.constants) == set(reduced.constants)
    assert all(gap(drawn.constants[name], reduced.constants[name]) < 1e-12 for name in drawn.constants)
    assert drawn.provenance == reduced.provenance
    other = signal_noise.lumped(setting, rule, seed=seed + 1)
    assert other.start.shape != drawn.start.shape or gap(other.start, drawn.start) > 1e-3


def test_restricting_the_drawn_dense_system_is_the_drawn_restricted_one():
    setting = random_setting(5, disjoint=False)
    drawn, reduced = signal_noise.restricted(setting, seed=5), signal_noise.dense(setting, seed=5).restrict()
    assert same_bits(drawn.start, reduced.start) and drawn.provenance == reduced.provenance
    assert drawn.exact_for == reduced.exact_for == {"coordinatewise"}


def test_a_class_stands_for_its_instance():
    setting = random_setting(1, disjoint=False)
    for rule in (SignGD, GradientDescent):
        assert same_bits(signal_noise.lumped(setting, rule, seed=0).step_scale, signal_noise.lumped(setting, rule(0.3), seed=0).step_scale)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_best_is_lumped_where_the_rule_lumps(name):
    rule = OPTIMIZERS[name](1e-3)
    system = signal_noise.best(random_setting(1, disjoint=True), rule, seed=0)
    assert system.provenance["engine"] == ("lumped" if rule.kind in ("sign", "linear", "flow") else "restricted")
    assert simulate(system, rule, **({"steps": 2} if has_rate(rule) else {"until": 2e-3})).success


def test_gradient_flow_of_the_lumped_system_is_that_of_the_dense_one():
    setting, rule = random_setting(2, disjoint=True), GradientFlow(rtol=1e-10, atol=1e-13)
    systems = signal_noise.dense(setting, seed=0), signal_noise.lumped(setting, rule, seed=0)
    runs = [simulate(system, rule, until=1.0) for system in systems]
    for name in NINE:
        assert gap(runs[0][name], runs[1][name]) < 1e-8, name


def test_a_lumped_system_never_allocates_d_numbers(monkeypatch):
    """At d = 10^12 anything of size d would fail; the dense form is refused before it is tried."""
    setting = signal_noise.Setting(n=5, d=10**12, s=1000, m_k=10, m_v=4, disjoint=True)
    run = simulate(signal_noise.lumped(setting, SignGD, seed=0), SignGD(1e-6), steps=5, record=["train_loss", "test_loss"])
    assert np.isfinite(run["test_loss"]).all()
    with pytest.raises(MemoryError, match=r"d=1000000000000 needs .* GiB.*signal_noise.lumped"):
        signal_noise.dense(setting, seed=0)


def test_the_run_does_not_depend_on_d():
    """With disjoint supports d only says where the blocks lie: the law of the start has no d in it."""
    small, large = (signal_noise.Setting(n=5, d=d, s=10, m_k=10, m_v=4, disjoint=True) for d in (60, 10**10))
    sizes = [signal_noise.lumped(setting, SignGD, seed=0).start.shape for setting in (small, large)]
    assert sizes[0] == sizes[1]


# -- grouping --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_the_proportional_columns(seed):
    arrays = random_arrays(seed, n=6, d=30)
    data = data_from_arrays(arrays["mu"], arrays["xi"], arrays["y"])
    groups, tokens = group_columns(data), data.tokens.toarray()
    features = np.hstack([np.eye(data.n + 1), np.zeros((data.n + 1, 0)) if groups.features.mixed is None else groups.features.mixed])
    np.testing.assert_allclose(features[:, groups.group] * groups.coef, tokens, rtol=0, atol=1e-13)
    used = np.unique(groups.group)
    directions = features[:, used] / np.linalg.norm(features[:, used], axis=0)
    cosines = np.abs(directions.T @ directions) - np.eye(len(used))
    assert cosines.max() < 1 - 1e-9, "no two groups are proportional to each other"


def test_duplicates_and_multiples_share_one_feature():
    """Two samples on the same coordinates in proportion: one feature holds both, and their private ones stay empty."""
    xi = np.zeros((3, 12))
    xi[0, 2:6] = [1.0, -2.0, 0.5, 3.0]
    xi[1], xi[2, 7:9] = -1.5 * xi[0], [1.0, 2.0]
    mu = np.eye(12)[0]
    data = data_from_arrays(mu, xi, np.ones(3))
    groups = group_columns(data)
    assert groups.features.size == 4 + 1
    mixed = groups.features.mixed[:, 0]
    assert mixed[1] / mixed[2] == pytest.approx(-1 / 1.5) and mixed[0] == mixed[3] == 0
    np.testing.assert_array_equal(groups.l1[[1, 2]], 0.0)
    assert groups.l1[4] * np.abs(mixed[1]) == pytest.approx(6.5) and groups.l2_squared[4] * mixed[2] ** 2 == pytest.approx(1.5**2 * 14.25)


@pytest.mark.parametrize("seed", range(3))
def test_conditioning_reaches_the_projections(seed):
    data = draw_data(random_setting(seed, disjoint=False), seed)
    groups, rng = group_columns(data), np.random.default_rng(seed)
    z, u = rng.standard_normal((2, len(groups.coef), 4)), rng.standard_normal((2, groups.features.size, 4))
    u *= (groups.l2_squared > 0)[:, None]
    w = groups.condition(z, u)
    assert gap(groups.project(w), u) < 1e-12
    # conditioned noise differs from the noise along each group's coefficients only: orthogonal parts are left alone
    change = w - z
    for g in range(groups.features.size):
        inside = groups.group == g
        if inside.sum() > 1:
            assert np.linalg.matrix_rank(change[0][inside], tol=1e-9) == 1


def test_lift_of_the_start_is_the_dense_start():
    for disjoint in (False, True):
        setting = random_setting(2, disjoint=disjoint)
        dense = signal_noise.dense(setting, seed=1)
        for reduced in (dense.lump(SignGD), dense.lump(GradientDescent), dense.restrict()):
            lifted = dense.lift(reduced, reduced.start)
            assert all(gap(lifted[name], want) < 1e-14 for name, want in weights_of(dense).items())


def lumped_of(number, *, disjoint=True, seed=0):
    return signal_noise.lumped(random_setting(number, disjoint=disjoint), SignGD, seed=seed)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda dense: dense.lump(SignGD).lump(SignGD), ValueError, "needs a dense system.*from_arrays"),
        (lambda dense: dense.restrict().restrict(), ValueError, "needs a dense system"),
        (lambda dense: dense.lump(Adam), Inexact, r"does not lump.*restricted.*eps=0"),
        (lambda dense: dense.lift(lumped_of(9), lumped_of(9).start), ValueError, "its data are others"),
        (lambda dense: dense.lump("signgd"), TypeError, "no update rule"),
        (lambda dense: signal_noise.lumped({"n": 3}, SignGD, seed=0), TypeError, "must be a signal_noise.Setting"),
        (lambda dense: lumped_of(0, seed=[]), ValueError, "seed=.*at least one"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call(signal_noise.dense(random_setting(0, disjoint=False), seed=0))
