"""Update rules against reference loops written out by hand, and at their limits."""

from types import SimpleNamespace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.optimizers import (
    METHODS,
    OPTIMIZERS,
    ClipNorm,
    GradientFlow,
    LinearDecay,
    RMSprop,
    as_optimizer,
    changed_rule,
    describe,
    from_description,
    from_text,
    has_rate,
    rule_fields,
    rule_names,
)
from dynsim.system import Inexact
from dynsim.systems import signal_noise

from .helpers import RULES, Quadratic, gap, same_bits

STEPS = 60
RATED = [name for name, rule in OPTIMIZERS.items() if has_rate(rule)]
"""Rules with steps; gradient flow has none and is tested in test_flow.py."""


def rate(lr, step):
    return lr(step) if callable(lr) else lr


def reference_gd(p, gradient, rule, scale):
    velocity = 0.0
    for step in range(STEPS):
        velocity = rule.momentum * velocity + gradient(p)
        p = p - rate(rule.lr, step) * scale * velocity
    return p


def reference_sign(p, gradient, rule, scale):
    mean = 0.0
    for step in range(STEPS):
        mean = rule.momentum * mean + (1 - rule.momentum) * gradient(p)
        p = p - rate(rule.lr, step) * scale * np.sign(mean)
    return p


def reference_adam(p, gradient, rule, scale):
    m = v = 0.0
    for step in range(STEPS):
        g = gradient(p)
        m = rule.beta1 * m + (1 - rule.beta1) * g
        v = rule.beta2 * v + (1 - rule.beta2) * g**2
        m_hat, v_hat = m / (1 - rule.beta1 ** (step + 1)), v / (1 - rule.beta2 ** (step + 1))
        p = p - rate(rule.lr, step) * scale * m_hat / (np.sqrt(v_hat) + rule.eps)
    return p


def reference_rmsprop(p, gradient, rule, scale):
    v = 0.0
    for step in range(STEPS):
        g = gradient(p)
        v = rule.alpha * v + (1 - rule.alpha) * g**2
        p = p - rate(rule.lr, step) * scale * g / (np.sqrt(v) + rule.eps)
    return p


REFERENCES = {"signgd": reference_sign, "gd": reference_gd, "adam": reference_adam, "rmsprop": reference_rmsprop}


def test_every_registered_rule_has_a_reference_loop():
    assert set(REFERENCES) == set(RATED) and set(OPTIMIZERS) - set(RATED) == {"flow"}


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "step scale"])
@pytest.mark.parametrize("lr", [0.03, lambda step: 0.1 / (1 + step)], ids=["constant", "decaying"])
@pytest.mark.parametrize("name", RATED)
def test_against_the_reference_loop(name, lr, scaled):
    variants = {
        "signgd": [{}, {"momentum": 0.7}], "gd": [{}, {"momentum": 0.7}], "adam": [{}, {"eps": 0.0}, {"beta1": 0.3, "beta2": 0.4}],
        "rmsprop": [{}, {"eps": 0.0}, {"alpha": 0.5}],
    }
    for options in variants[name]:
        rule = OPTIMIZERS[name](lr, **options)
        scale = np.random.default_rng(5).uniform(0.5, 3.0, Quadratic.layout.size) if scaled else 1.0
        system = Quadratic.random(step_scale=scale)
        final = simulate(system, rule, steps=STEPS).final
        want = REFERENCES[name](system.start, system.gradient, rule, scale)
        assert gap(final, want) < 1e-10, (rule, gap(final, want))  # Adam near a minimum amplifies rounding
        # negative control: the same loop with steps 0.1 % longer is told apart
        assert gap(final, REFERENCES[name](system.start, system.gradient, rule, 1.001 * np.asarray(scale))) > 1e-8


@pytest.mark.parametrize("cls", [GradientDescent, SignGD])
def test_momentum_zero_is_the_plain_rule_to_the_bit(cls):
    system = Quadratic.random()
    plain, zero = (simulate(system, rule, steps=50) for rule in (cls(0.02), cls(0.02, momentum=0.0)))
    assert same_bits(plain.final, zero.final) and zero.optimizer_state == {}
    assert not same_bits(plain.final, simulate(system, cls(0.02, momentum=0.5), steps=50).final)


def test_adam_without_memory_is_signgd_to_the_bit():
    setting = signal_noise.Setting(n=5, d=60, s=6, m_k=8, m_v=4, sigma_0=0.02)
    for system in (Quadratic.random(replicates=(3,)), signal_noise.lumped(setting, SignGD, seed=0), signal_noise.dense(setting, seed=0)):
        runs = {rule: simulate(system, rule, steps=200) for rule in (SignGD(3e-3), Adam(3e-3, beta1=0.0, beta2=0.0, eps=0.0))}
        sign, adam = runs.values()
        assert (adam.underflow_at == -1).all() and same_bits(sign.final, adam.final)
        assert not same_bits(sign.final, simulate(system, Adam(3e-3, beta1=0.0, beta2=0.1, eps=0.0), steps=200).final)


def one_step(rule, grad, scale=1.0):
    params = np.zeros(len(grad))
    rule.step(params, np.array(grad, dtype=float), rule.init(params, scale), 0, scale)
    return params


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_zero_gradient_does_not_move(rule):
    moved = one_step(rule, [0.0, -0.0, 1.0, -2.0])
    np.testing.assert_array_equal(moved[:2], 0.0)
    assert moved[2] < 0 < moved[3]


@pytest.mark.parametrize("rule", [SignGD(0.5), SignGD(0.5, momentum=0.9)], ids=["SignGD", "sign momentum"])
def test_entries_of_step_scale_zero_stay_whatever_their_gradient(rule):
    """They do not make the other entries move where those have gradient zero, and no NaN comes in through them."""
    scale = np.array([0.0, 0.0, 0.0, 1.0, 2.0, 1.0])
    for zero in (0.0, -0.0, 3.0, np.inf, np.nan):
        moved = one_step(rule, [zero, 0.0, -1.0, 0.0, 4.0, -1.0], scale)
        np.testing.assert_array_equal(moved, [0.0, 0.0, 0.0, 0.0, -1.0, 0.5])
        moved = one_step(rule, [zero, 0.0, -1.0, 1.0, 4.0, -1.0], scale)  # every entry that can move does
        np.testing.assert_array_equal(moved, [0.0, 0.0, 0.0, -0.5, -1.0, 0.5])


def test_zeros_of_padding_do_not_cost_the_masked_update():
    """A batch of overlapping seeds has them in every step; the flags below choose the update without a mask when all are set."""
    params, grad, scale = np.zeros(4), np.array([0.0, 1.0, -1.0, 0.0]), np.array([0.0, 1.0, 1.0, 0.0])
    rule = SignGD(0.5)
    state = rule.init(params, scale)
    rule.step(params, grad.copy(), state, 0, scale)
    assert state["_moving"].all()
    rule.step(params, np.array([0.0, 0.0, -1.0, 0.0]), state, 1, scale)
    assert state["_moving"].tolist() == [True, False, True, True]


def test_sign_of_the_smallest_float_counts():
    tiny = np.nextafter(0.0, 1.0)
    np.testing.assert_array_equal(one_step(SignGD(0.5), [tiny, -tiny, 0.0]), [-0.5, 0.5, 0.0])


def test_adam_keeps_the_root_of_the_second_moment():
    """g^2 underflows at 1e-200, the root does not: Adam(eps=0) still takes a full step."""
    np.testing.assert_allclose(one_step(Adam(0.5, eps=0.0), [1e-200, -1e-300]), [-0.5, 0.5], rtol=1e-12)
    assert (1e-200**2, np.hypot(0.0, 1e-200)) == (0.0, 1e-200)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_array_of_rates_equals_looping_over_them(rule):
    rates = np.array([0.5, 1.0, 3.0])
    system = Quadratic.random(replicates=(3,))
    together = simulate(system, type(rule)(**{**vars(rule), "lr": rule.lr * rates}), steps=40)
    scheduled = simulate(system, type(rule)(**{**vars(rule), "lr": lambda step: rule.lr * rates}), steps=40)
    assert same_bits(together.final, scheduled.final)
    for i, factor in enumerate(rates):
        alone = simulate(system.replicates(i), type(rule)(**{**vars(rule), "lr": rule.lr * factor}), steps=40)
        assert same_bits(together.final[i], alone.final)


@pytest.mark.parametrize("lr", [np.array([0.1, 0.2]), lambda step: np.array([0.1, 0.2])], ids=["array", "callable"])
def test_an_array_of_rates_must_match_the_replicates(lr):
    for system in (Quadratic.random(replicates=(3,)), Quadratic.random()):
        with pytest.raises(ValueError, match=r"lr has shape \(2,\).*replicates' shape"):
            simulate(system, SignGD(lr), steps=3)


@pytest.mark.parametrize("lr", [0.0, -1.0, np.nan, np.inf, "fast", True, None, np.array([0.1, -0.1]), np.array([0.1, np.nan])])
@pytest.mark.parametrize("name", RATED)
def test_bad_rates_are_refused(name, lr):
    with pytest.raises(ValueError, match="lr=.*finite and > 0"):
        OPTIMIZERS[name](lr)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 0.0])
def test_a_schedule_is_checked_when_it_is_used(bad):
    rule = SignGD(lambda step: 0.1 if step < 3 else bad)
    assert simulate(Quadratic.random(), rule, steps=3).success
    with pytest.raises(ValueError, match="lr="):
        simulate(Quadratic.random(), rule, steps=4)


@pytest.mark.parametrize(
    ("cls", "field", "bad", "range_"),
    [
        (cls, field, bad, r"must lie in \[0, 1\)")
        for cls, field in ((SignGD, "momentum"), (GradientDescent, "momentum"), (Adam, "beta1"), (Adam, "beta2"))
        for bad in (-0.1, 1.0, 2.0, np.nan, "x")
    ]
    + [(Adam, "eps", bad, "finite and >= 0") for bad in (-1e-8, np.nan, np.inf, "x")],
)
def test_bad_hyper_parameters_name_field_value_and_range(cls, field, bad, range_):
    with pytest.raises(ValueError, match=f"{field}={bad!r}.*{range_}"):
        cls(0.1, **{field: bad})


@pytest.mark.parametrize("rule", [*RULES.values(), GradientFlow(), GradientFlow(1e-6, 1e-9, "Radau")], ids=str)
def test_describe_and_back(rule):
    assert from_description(describe(rule)) == rule


# -- gradient flow as a rule -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("flow", GradientFlow()), ("flow:1e-6", GradientFlow(1e-6)), ("flow:1e-6,1e-9", GradientFlow(1e-6, 1e-9)),
        ("flow:1e-6,method=Radau", GradientFlow(1e-6, method="Radau")),
        ("flow:method=RK23,atol=1e-5", GradientFlow(atol=1e-5, method="RK23")),
    ],
)
def test_a_flow_from_text_takes_no_rate(text, rule):
    assert from_text(text, lr=0.1) == rule == from_text(text, lr=lambda name: pytest.fail(f"asked for a rate of {name}"))
    assert rule_names(f"gd,{text},signgd") == ["gd", text, "signgd"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flow:lr=0.1", "unknown flow field 'lr'"), ("flow:1,2,RK45,4", "too many numbers"), ("flow:rtol=x", "rtol='x' is no number"),
        ("flow:method=RK4", "unknown method 'RK4': did you mean 'RK45'"), ("flow:rtol=1e-6,rtol=1e-5", "rtol is given twice"),
        ("flo", "did you mean 'flow'"),
    ],
)
def test_a_bad_text_of_a_flow(text, says):
    with pytest.raises(ValueError, match=says):
        from_text(text, lr=0.1)


@pytest.mark.parametrize("bad", [0.0, -1e-8, 1.0, 2.0, np.nan, np.inf, "x", True, None])
@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_bad_tolerances_name_field_value_and_range(name, bad):
    with pytest.raises(ValueError, match=f"{name}={bad!r} must be a number.*{name}=1e-8"):
        GradientFlow(**{name: bad})


def test_tolerances_below_what_floats_hold_are_refused_where_they_are_relative():
    with pytest.raises(ValueError, match=r"rtol=1e-14 must be a number in \[1e-13, 1\)"):
        GradientFlow(rtol=1e-14)
    assert GradientFlow(rtol=1e-13, atol=1e-300).atol == 1e-300  # absolute ones depend on the unit


@pytest.mark.parametrize("bad", ["dop853", "", None, 5])
def test_unknown_solvers_are_refused(bad):
    with pytest.raises(ValueError, match="unknown method"):
        GradientFlow(method=bad)


def test_what_a_flow_is():
    assert [GradientFlow(method=method).method for method in METHODS] == list(METHODS)
    assert (GradientFlow().kind, GradientFlow().needs, has_rate(GradientFlow)) == ("flow", "gradient", False)
    assert all(has_rate(rule) for rule in RULES.values())
    assert as_optimizer(GradientFlow) == GradientFlow()
    for description, says in (({"rule": "flow", "lr": 0.1}, "unknown flow field 'lr'"), ({"rule": "gd"}, "lacks lr")):
        with pytest.raises(ValueError, match=says):
            from_description(description)


def test_describe_of_rates_that_are_no_numbers():
    back = from_description(describe(SignGD(np.array([0.1, 0.2]))))
    np.testing.assert_array_equal(back.lr, [0.1, 0.2])

    def warm_up(step):
        return 0.1

    assert "warm_up" in describe(SignGD(warm_up))["lr"]


def test_unknown_names_get_the_nearest_valid_one():
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        from_description({"rule": "adamm", "lr": 0.1})
    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        from_description({"rule": "gd", "lr": 0.1, "momentun": 0.5})


def test_as_optimizer():
    assert as_optimizer(Adam).eps == 1e-8 and as_optimizer(SignGD(0.5)).lr == 0.5
    for no_rule in ("signgd", 3, object()):
        with pytest.raises(TypeError, match="no update rule; try SignGD"):
            as_optimizer(no_rule)
    with pytest.raises(TypeError, match="For a rule of your own .* it lacks needs, step"):
        as_optimizer(SimpleNamespace(lr=0.1, kind="sign", init=dict, update=dict))


@pytest.mark.parametrize(
    ("rule", "kind", "needs"),
    [
        (SignGD(1.0), "sign", "signs"), (SignGD(1.0, momentum=0.1), "sign", "gradient"),
        (GradientDescent(1.0), "linear", "gradient"), (GradientDescent(1.0, momentum=0.1), "linear", "gradient"),
        (Adam(1.0), "coordinatewise", "gradient"), (Adam(1.0, eps=0.0), "sign", "gradient"),
    ],
)
def test_kinds_hold(rule, kind, needs):
    """Multiply the gradient by c: a sign rule does not notice, a linear one moves c times as far, the others neither."""
    assert (rule.kind, rule.needs) == (kind, needs)
    grad = np.random.default_rng(3).standard_normal(50) * 1e-8
    once, twice = one_step(rule, grad), one_step(rule, 2.0 * grad)
    degree = {"sign": 1.0, "linear": 2.0}
    for name, factor in degree.items():
        assert np.allclose(twice, factor * once, rtol=1e-12, atol=0) == (name == kind)


# -- clipping and schedules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inner", [GradientDescent(0.05), GradientDescent(0.05, momentum=0.7), SignGD(0.01, momentum=0.7), Adam(0.01), RMSprop(0.01)],
)
@pytest.mark.parametrize("replicates", [(), (3,)])
def test_clipping_scales_the_gradient_of_each_replicate_down_to_the_norm(inner, replicates):
    system, clipped = Quadratic.random(replicates=replicates), ClipNorm(inner, max_norm=0.5)
    p, memory = np.array(system.start), inner.init(system.start, 1.0)
    for step in range(20):
        g = system.gradient(p)
        norm = np.linalg.norm(g, axis=-1, keepdims=True)
        g = np.where(norm > 0.5, g * (0.5 / norm), g)
        inner.step(p, g, memory, step, 1.0)
    assert gap(simulate(system, clipped, steps=20).final, p) < 1e-12
    far = simulate(system, ClipNorm(inner, max_norm=1e9), steps=20).final
    assert same_bits(far, simulate(system, inner, steps=20).final), "a norm that is never reached changes nothing"


def test_clipping_is_refused_where_it_has_no_sense():
    for rule in (SignGD(0.1), GradientFlow(), ClipNorm(GradientDescent(0.1))):
        with pytest.raises(ValueError, match="cannot be clipped"):
            ClipNorm(rule)
    for norm in (0.0, -1.0, np.inf, np.nan, "one"):
        with pytest.raises(ValueError, match="max_norm=.*finite number > 0"):
            ClipNorm(GradientDescent(0.1), norm)
    tiny = signal_noise.preset("tiny")
    with pytest.raises(Inexact, match="'global'"):
        simulate(signal_noise.lumped(tiny, GradientDescent, seed=0), ClipNorm(GradientDescent(0.1)), steps=1)
    assert simulate(signal_noise.dense(tiny, seed=0), ClipNorm(GradientDescent(0.1)), steps=1).success


def test_linear_decay_rises_and_falls_in_straight_lines():
    schedule = LinearDecay(0.3, steps=20, warmup=4)
    rates = np.array([schedule(step) for step in range(25)])
    assert np.allclose(np.diff(rates[:4]), 0.3 / 4, rtol=1e-12) and rates[3] == rates[4] == 0.3
    assert np.allclose(np.diff(rates[4:20]), -0.3 / 16, rtol=1e-12) and (rates > 0).all() and (rates[20:] <= 1e-12).all()
    assert LinearDecay(0.3, steps=5)(0) == 0.3
    system = Quadratic.random()
    run = simulate(system, GradientDescent(LinearDecay(0.05, steps=30, warmup=3)), steps=30)
    same = simulate(system, GradientDescent(LinearDecay(0.05, 30, 3).__call__), steps=30)
    assert same_bits(run.final, same.final)


@pytest.mark.parametrize(
    ("field", "value"),
    [("peak", 0.0), ("peak", "x"), ("peak", np.inf), ("steps", 0), ("steps", 2.5), ("warmup", -1), ("warmup", 10)],
)
def test_bad_schedules_name_field_and_range(field, value):
    with pytest.raises(ValueError, match=f"{field}="):
        LinearDecay(**{"peak": 0.1, "steps": 10, "warmup": 2, field: value})


@pytest.mark.parametrize("rule", [
    RMSprop(1e-3, alpha=0.9), GradientDescent(LinearDecay(0.1, 50, 5), momentum=0.9), ClipNorm(Adam(LinearDecay(1e-2, 100)), 2.0),
    ClipNorm(SignGD(0.1, 0.9)),
])
def test_wrapped_rules_and_schedules_are_plain_data(rule):
    assert from_description(describe(rule)) == rule
    experiment = signal_noise.experiment("tiny").replace(optimizer=rule)
    assert type(experiment).from_dict(experiment.to_dict()) == experiment
    assert set(rule_fields(rule)) == set(describe(rule)) - {"rule"}
    louder = changed_rule(rule, {"lr": 0.5})
    assert describe(louder)["lr"] == ({**describe(rule)["lr"], "peak": 0.5} if isinstance(describe(rule)["lr"], dict) else 0.5)
    assert experiment.vary({"lr": 0.5}).optimizer == louder


def test_an_experiment_with_a_schedule_survives_toml(tmp_path):
    experiment = signal_noise.experiment("tiny").replace(optimizer=ClipNorm(Adam(LinearDecay(1e-2, 40, 4)), 1.0))
    path = tmp_path / "experiment.toml"
    path.write_text(experiment.to_toml(), encoding="utf-8")
    assert type(experiment).from_toml(path) == experiment
    assert experiment.run(engine="dense").success


@pytest.mark.parametrize(("description", "says"), [
    ({"rule": "gd", "lr": {"schedule": "linea", "peak": 1.0}}, "unknown schedule 'linea': did you mean 'linear'"),
    ({"rule": "gd", "lr": {"schedule": "linear", "peak": 1.0, "step": 3}}, "unknown linear schedule field 'step': did you mean 'steps'"),
])
def test_unknown_schedules_are_refused(description, says):
    with pytest.raises(ValueError, match=says):
        from_description(description)
