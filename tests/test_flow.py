"""Gradient flow against closed forms: what is recorded when, how runs end and go on, from Python, in files, sweeps and commands."""

import json
import signal
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import integrate
from scipy.linalg import expm

from dynsim import GradientDescent, Interrupted, SignGD, iterate, load, simulate, sweep
from dynsim.experiment import Experiment
from dynsim.flow import velocity_of
from dynsim.layout import Layout
from dynsim.measures import At, First, Series
from dynsim.optimizers import METHODS, GradientFlow
from dynsim.recording import log_times
from dynsim.simulate import LossBelow
from dynsim.system import Inexact, Observable
from dynsim.systems import cooccurrence, signal_noise

from .helpers import Quadratic, gap, same_bits

TIGHT = GradientFlow(rtol=1e-11, atol=1e-13)
"""Global errors below stay under 1e-9: some thirty steps on systems that contract, each with an error of about 1e-11."""


@pytest.fixture(autouse=True)
def pythons_own_ctrl_c():
    """Where the suite runs in the background, Ctrl-C is ignored from birth: put Python's handler back for the test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def solution(system, times):
    """The closed form of gradient flow in a quadratic well, (times, parameters)."""
    rate = system.curvature * np.broadcast_to(system.step_scale, system.start.shape)
    return system.target + (system.start - system.target) * np.exp(-np.outer(times, rate))


def loss_of(system, times):
    return (0.5 * system.curvature * (solution(system, times) - system.target) ** 2).sum(-1)


def inner(flat):
    """Block b of rows of parameters."""
    return Quadratic.layout.views(np.ascontiguousarray(flat)).b


@dataclass(frozen=True, eq=False)
class Moving:
    """A flow that is no gradient: a velocity and a loss, both given."""

    start: np.ndarray
    rate: Any
    cost: Any
    step_scale: Any = 1.0
    exact_for: frozenset = frozenset({"flow"})
    alternative: str = "It only flows."
    constants: Any = field(default_factory=dict)
    provenance: Any = field(default_factory=lambda: {"system": "moving"})
    observables = {
        "train_loss": Observable(lambda p, c: c.loss, (), "loss", "L"), "p": Observable(lambda p, c: p.p, ("entry",), "parameters", "p"),
    }

    @property
    def layout(self):
        return Layout({"p": self.start.shape})

    def forward(self, params):
        return SimpleNamespace(loss=self.cost(params.p))

    def velocity(self, params, cache, out):
        out.p[...] = self.rate(params.p)

    def backward(self, params, cache, out, *, signs=False):
        raise Inexact(self.alternative)


def one(rate, cost, start=1.0):
    return Moving(np.array([start]), rate, lambda p: cost(p[0]))


DECAY = one(lambda p: -p, lambda p: p)  # p = loss = e^-t

# -- the solution ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "step scale"])
def test_exponentials_of_the_quadratic_well(scaled):
    scale = np.random.default_rng(5).uniform(0.5, 3.0, Quadratic.layout.size) if scaled else 1.0
    system, times = Quadratic.random(step_scale=scale), np.linspace(0.0, 4.0, 41)
    run = simulate(system, TIGHT, until=4.0, at=times)
    assert gap(run["inner"], inner(solution(system, times))) < 1e-9
    assert gap(run["train_loss"], loss_of(system, times)) < 1e-9
    assert gap(run.final, solution(system, [4.0])[0]) < 1e-9
    assert (run.status, run.success, run.last_step, run.clock, run.ended_at) == ("finished", True, 4.0, "time", -1)
    assert run.provenance["optimizer"]["rule"] == "flow" and run.provenance["until"] == 4.0 and run.optimizer_state == {}
    # negative control: rates 0.1 % faster are told apart
    assert gap(run["inner"], inner(solution(replace(system, curvature=1.001 * system.curvature), times))) > 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_every_solver_answers_to_its_tolerance(method):
    """At 200 times, most of them between the solver's steps; ten times the tolerance is what the order of the worst, BDF, loses."""
    system, times = Quadratic.random(), np.linspace(0.0, 3.0, 200)
    want, errors = inner(solution(system, times)), {}
    for rtol in (1e-5, 1e-8):
        run = simulate(system, GradientFlow(rtol, 1e-3 * rtol, method), until=3.0, at=times, record=["inner"])
        errors[rtol] = gap(run["inner"], want)
        assert errors[rtol] < 10.0 * rtol, errors
    assert errors[1e-8] < errors[1e-5] / 10.0, "the tolerance is what decides"


def test_a_velocity_of_its_own_is_used_instead_of_the_gradient():
    """A spiral has no potential: the matrix exponential is its solution."""
    turn = np.array([[-0.3, 2.0, 0.0], [-2.0, -0.3, 0.1], [0.0, 0.0, -1.0]])
    system = Moving(np.array([1.0, -0.5, 2.0]), lambda p: turn @ p, lambda p: 0.5 * p @ p)
    run = simulate(system, TIGHT, until=5.0, at=np.linspace(0, 5, 51))
    want = np.array([expm(t * turn) @ system.start for t in run.at])
    assert gap(run["p"], want) < 1e-9 and gap(run["train_loss"], 0.5 * (want**2).sum(1)) < 1e-9
    assert gap(run["p"], np.array([expm(-t * turn) @ system.start for t in run.at])) > 0.1  # negative control: the other sense


def test_the_velocity_of_a_gradient_system():
    scale = np.arange(1.0, 12.0)
    system, layout = Quadratic.random(step_scale=scale), Quadratic.layout
    out, params = np.empty(layout.size), layout.views(system.start)
    velocity_of(system)(params, system.forward(params), layout.views(out))
    np.testing.assert_array_equal(out, -scale * system.gradient(system.start))


def test_small_steps_tend_to_the_flow_at_first_order():
    system = Quadratic.random()
    want = solution(system, [2.0])[0]
    errors = [np.abs(simulate(system, GradientDescent(lr), steps=round(2.0 / lr), at=[]).final - want).max() for lr in (0.02, 0.01, 0.005)]
    ratios = np.divide(errors[:-1], errors[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.05)  # the next order is lr * curvature <= 0.04


# -- what is recorded, and when --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "want"),
    [
        ([], [0, 2]), ([0.5], [0, 0.5, 2]), ([2.0, 0.25, 0.25, 0], [0, 0.25, 2]), (np.array([1, 2]), [0, 1, 2]),
        ((1e-300, 1.5), [0, 1e-300, 1.5, 2]),
    ],
)
def test_times_asked_for_and_the_first_and_the_last(at, want):
    system = Quadratic.random()
    run = simulate(system, TIGHT, until=2, at=at)
    np.testing.assert_array_equal(run.at, want)
    assert run.at.dtype == float and same_bits(run["inner"][0], inner(system.start))
    assert gap(run["inner"], inner(solution(system, want))) < 1e-9
    np.testing.assert_array_equal(run["inner"][-1], inner(run.final))
    np.testing.assert_array_equal(run["turned"], np.swapaxes(run["inner"], 1, 2))
    assert run.dims["turned"] == ("time", "column", "row") and run.dims["train_loss"] == ("time",)


def test_what_is_recorded_does_not_change_the_run():
    system = Quadratic.random()
    finals = [simulate(system, GradientFlow(), until=2.0, at=at).final for at in ([], np.linspace(0, 2, 77), None)]
    assert same_bits(finals[0], finals[1]) and same_bits(finals[0], finals[2])


def test_default_times_have_a_constant_ratio():
    run = simulate(Quadratic.random(), GradientFlow(), until=7.0)
    assert same_bits(run.at, log_times(7.0)) and len(run.at) == 241 and run.at[0] == 0.0 and run.at[-1] == 7.0
    ratios = run.at[2:] / run.at[1:-1]
    np.testing.assert_allclose(ratios, 10.0 ** (6.0 / 239.0), rtol=1e-12)


def test_a_spacing_counts_recorded_times():
    system, times = Quadratic.random(), np.linspace(0.0, 1.0, 11)
    full = simulate(system, GradientFlow(), until=1.0, at=times)
    run = simulate(system, GradientFlow(), until=1.0, at=times, record={"train_loss": 1, "inner": 4, "turned": 3, "slope": 100})
    for name, rows in (("train_loss", range(11)), ("inner", [0, 4, 8, 10]), ("turned", [0, 3, 6, 9, 10])):
        np.testing.assert_array_equal(run.steps(name), times[list(rows)])
        assert same_bits(run[name], full[name][list(rows)]), name
    np.testing.assert_array_equal(run.steps("slope"), [0.0, 1.0])
    on = simulate(system, GradientFlow(), until=1.0, at=[0.5], record={"train_loss": 1, "inner": 2}, start=run)
    np.testing.assert_array_equal(on.at, [1.0, 1.5, 2.0])
    np.testing.assert_array_equal(on.steps("inner"), [1.0, 2.0])


def test_memory_is_refused_before_the_run_begins():
    needed = 8 * 11 * (1 + 8 + 8)
    options = {"until": 1.0, "at": np.linspace(0, 1, 11)}
    assert simulate(Quadratic.random(), GradientFlow(), **options, max_bytes=needed).success
    with pytest.raises(MemoryError, match="inner"):
        simulate(Quadratic.random(), GradientFlow(), **options, max_bytes=needed - 1)


def test_progress_goes_from_nothing_to_all():
    calls = []
    simulate(Quadratic.random(), GradientFlow(), until=1.0, at=np.linspace(0, 1, 9), progress=lambda *call: calls.append(call))
    assert calls[-1] == (9, 9) and [done for done, _ in calls] == sorted(done for done, _ in calls) and {total for _, total in calls} == {9}


# -- how a run ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [[], np.linspace(0, 20, 9)], ids=["nothing between", "recorded times"])
@pytest.mark.parametrize("level", [0.5, 1e-3, 1e-8])
def test_the_time_of_a_loss_is_located(level, at):
    """The loss of one rate is e^-2t of its start: its logarithm is known, and the solver's tolerance is 1e-11."""
    system = replace(Quadratic.random(), curvature=np.ones(11))
    want = np.log(loss_of(system, [0.0])[0] / level) / 2.0
    run = simulate(system, GradientFlow(1e-12, 1e-16), until=20.0, at=at, stop=LossBelow(level))
    assert (run.status, run.success) == ("stopped", True) and abs(run.last_step - want) < 1e-9 * want
    assert run.at[-1] == run.last_step == run.ended_at and f"time {want:.4g}"[:9] in run.message
    np.testing.assert_array_equal(run.at[:-1], [t for t in np.union1d(at, 0.0) if t < want])
    assert gap(run["train_loss"][-1], level) < 1e-9
    np.testing.assert_array_equal(run["inner"][-1], inner(run.final))


@pytest.mark.parametrize("method", METHODS)
def test_a_level_that_a_solver_meets_at_the_end_of_a_step(method):
    """There its interpolation is off by rounding, so that no sign changes within the step."""
    system = Quadratic.random()
    solver = getattr(integrate, method)(lambda _, p: -system.gradient(p), 0.0, system.start.copy(), 3.0, rtol=1e-4, atol=1e-8)
    ends = []
    while solver.status == "running":  # to its end: older versions of LSODA do one thing at a time
        solver.step()
        ends.append((solver.t, float(system.forward(system.layout.views(solver.y)).loss)))
    for end, level in ends:
        run = simulate(system, GradientFlow(1e-4, 1e-8, method), until=3.0, at=[], stop=LossBelow(level))
        assert run.success and abs(run.last_step - end) < 1e-3 * end  # BDF's interpolation moves by its tolerance


def test_a_loss_that_is_low_enough_at_once_or_never():
    run = simulate(DECAY, GradientFlow(), until=3.0, stop=LossBelow(1.0))
    assert (run.status, run.last_step, run.at.tolist()) == ("stopped", 0.0, [0.0])
    run = simulate(DECAY, GradientFlow(), until=3.0, stop=LossBelow(1e-9))
    assert (run.status, run.last_step) == ("finished", 3.0)


def test_a_rule_besides_is_asked_at_the_recorded_times():
    def late(state):
        return state.step >= 0.55

    at = np.linspace(0, 3, 31)
    first = simulate(DECAY, TIGHT, until=3.0, at=at, stop=LossBelow(np.exp(-0.55), besides=late))
    assert abs(first.last_step - 0.55) < 1e-9 and abs(first.at[-1] - 0.55) < 1e-9
    besides = simulate(DECAY, TIGHT, until=3.0, at=at, stop=LossBelow(1e-9, besides=late))
    assert besides.last_step == at[6] == besides.at[-1]
    alone = simulate(DECAY, TIGHT, until=3.0, at=at, stop=late)
    assert alone.last_step == besides.last_step and same_bits(alone["p"], besides["p"])


def test_the_state_a_stopping_rule_sees():
    seen = []
    simulate(DECAY, TIGHT, until=1.0, at=[0.5], stop=lambda state: seen.append((state.step, *state.params, float(state.cache.loss))))
    np.testing.assert_allclose(seen, [[t, np.exp(-t), np.exp(-t)] for t in (0.0, 0.5, 1.0)], rtol=1e-9)


def test_a_loss_to_stop_at_for_rules_with_steps():
    system, rule = Quadratic.random(), GradientDescent(0.1)
    loss = simulate(system, rule, steps=60)["train_loss"]
    level = float(0.5 * (loss[20] + loss[21]))
    run = simulate(system, rule, steps=60, at=[], stop=LossBelow(level))
    assert (run.status, run.last_step) == ("stopped", 21) and run.at.tolist() == [0, 21]
    assert simulate(system, rule, steps=60, stop=LossBelow(float(loss[21]))).last_step == 21, "at most, not less than"
    assert simulate(system, rule, steps=60, stop=LossBelow(level, besides=lambda state: state.step == 7)).last_step == 7
    many = Quadratic.random(replicates=(4,))
    levels = simulate(many, rule, steps=60)["train_loss"]
    run = simulate(many, rule, steps=60, stop=LossBelow(level, besides=lambda state: np.array([False, state.step == 3, False, False])))
    want = [int(np.argmax(levels[:, i] <= level)) for i in range(4)]
    assert run.ended_at.tolist() == [want[0], min(3, want[1]), want[2], want[3]]


@pytest.mark.parametrize("level", [0, -1.0, np.nan, np.inf, True, "0.1", None])
def test_bad_levels_are_refused(level):
    with pytest.raises(ValueError, match=r"level=.*finite number > 0"):
        LossBelow(level)


@pytest.mark.parametrize("method", METHODS)
def test_a_velocity_that_blows_up_keeps_what_was_recorded(method):
    """dp/dt = p^2 from 1 is 1/(1 - t): no solver passes t = 1, one of them without saying so."""
    run = simulate(one(lambda p: p**2, lambda p: 1.0 / p), GradientFlow(method=method), until=3.0, at=np.linspace(0, 3, 31))
    assert (run.status, run.success) == ("failed", False) and "gave up" in run.message and method in run.message
    assert 0.85 < run.last_step <= 1.0 and run.ended_at == run.last_step == run.at[-1]
    early = run.at < 0.85
    assert early.sum() == 9 and gap(run["p"][early, 0], 1.0 / (1.0 - run.at[early])) < 1e-6
    assert np.isfinite(run["p"]).all() and np.isfinite(run.final).all()


def test_a_velocity_that_is_not_a_number():
    run = simulate(one(lambda p: np.where(p < 0.5, np.nan, -1.0), lambda p: p), GradientFlow(), until=3.0, at=np.linspace(0, 3, 31))
    assert run.status == "failed" and 0.3 < run.last_step <= 0.5 and np.isfinite(run["p"]).all()


def test_a_loss_that_is_not_finite():
    run = simulate(one(lambda p: np.ones(1), lambda p: np.sqrt(1.0 - p), 0.0), GradientFlow(), until=3.0, at=np.linspace(0, 3, 31))
    assert (run.status, run.success) == ("diverged", False) and "train_loss" in run.message
    assert 0.85 < run.last_step <= 1.0 and np.isfinite(run["train_loss"]).all() and len(run.at) == len(run["p"])
    at_once = simulate(one(lambda p: p, lambda p: np.nan * p), GradientFlow(), until=3.0)
    assert at_once.status == "diverged" and len(at_once.at) == 0


# -- interruption, and going on --------------------------------------------------------------------------------------------


def raise_error():
    raise KeyboardInterrupt


def raise_signal():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("how", [raise_error, raise_signal], ids=["KeyboardInterrupt", "SIGINT"])
def test_ctrl_c_keeps_what_was_recorded_and_the_run_can_go_on(how):
    system, at, before = Quadratic.random(), np.linspace(0, 2, 21), signal.getsignal(signal.SIGINT)

    def press(done, total):
        if done == 8:
            how()

    with pytest.raises(Interrupted) as caught:
        simulate(system, TIGHT, until=2.0, at=at, progress=press)
    part, whole = caught.value.trajectory, simulate(system, TIGHT, until=2.0, at=at)
    assert part.status == "interrupted" and not part.success and f"time {at[7]:g}" in part.message
    assert part.last_step == part.ended_at == part.at[-1] == at[7] and signal.getsignal(signal.SIGINT) is before
    for name in whole.arrays:
        assert same_bits(part[name], whole[name][:8]), name
    rest = simulate(system, TIGHT, until=2.0 - part.last_step, start=part)
    assert rest.at[-1] == 2.0 and gap(rest.final, solution(system, [2.0])[0]) < 1e-9


def test_a_second_ctrl_c_is_immediate():
    """The velocity is where a user who waits presses."""
    calls = []

    def pressing(p):
        calls.append(0)
        if len(calls) in (20, 21):
            raise_signal()
        return -p

    with pytest.raises(Interrupted) as caught:
        simulate(replace(DECAY, rate=pressing), GradientFlow(), until=50.0, at=[])
    assert len(calls) == 21 and caught.value.trajectory.at.tolist() == [0.0]


def test_time_goes_on():
    system = Quadratic.random()
    first = simulate(system, TIGHT, until=0.75, at=[0.5])
    second = simulate(system, TIGHT, until=1.25, at=[0.25], start=first)
    assert second.at.tolist() == [0.75, 1.0, 2.0] and second.last_step == 2.0 and second.status == "finished"
    assert gap(second["inner"], inner(solution(system, second.at))) < 1e-9
    assert same_bits(second["inner"][0], first["inner"][-1])
    stopped = simulate(system, TIGHT, until=9.0, start=first, stop=lambda state: state.step >= 2.0, at=[1.0, 1.25, 1.5])
    assert stopped.last_step == 2.0 == stopped.ended_at and stopped.at.tolist() == [0.75, 1.75, 2.0]
    level = float(loss_of(system, [1.5])[0])
    located = simulate(system, TIGHT, until=9.0, start=first, stop=LossBelow(level))
    assert abs(located.last_step - 1.5) < 1e-8


def test_a_start_of_ones_own_begins_at_time_zero():
    system = Quadratic.random()
    mine = np.random.default_rng(9).standard_normal(system.layout.size)
    kept = mine.copy()
    run = simulate(system, TIGHT, until=1.0, start=mine)
    assert run.at[0] == 0.0 and same_bits(mine, kept) and gap(run.final, solution(replace(system, start=mine), [1.0])[0]) < 1e-9
    assert same_bits(system.start, Quadratic.random().start), "the system's own start is never written to"
    again = simulate(system, TIGHT, until=1.0, start=run.final)
    assert again.at[0] == 0.0 and same_bits(again["inner"][0], run["inner"][-1])


def test_steps_and_times_do_not_go_on_with_each_other():
    system = Quadratic.random()
    flow, steps = simulate(system, GradientFlow(), until=1.0), simulate(system, GradientDescent(0.1), steps=3)
    with pytest.raises(ValueError, match="recorded in steps.*start=run.final"):
        simulate(system, GradientFlow(), until=1.0, start=steps)
    with pytest.raises(ValueError, match="recorded in times.*start=run.final"):
        simulate(system, GradientDescent(0.1), steps=3, start=flow)
    with pytest.raises(ValueError, match="another system"):
        simulate(system, GradientFlow(), until=1.0, start=replace(flow, provenance={**flow.provenance, "seed": 7}))


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 5}, "steps is for rules with steps.*until="), ({"steps": 5, "until": None}, "steps is for rules"),
        ({"every": 2}, "every is for rules with steps"), ({"until": None}, "until=None: gradient flow needs a finite time > 0"),
        ({"until": 0.0}, "until=0.0"), ({"until": -1}, "until=-1"), ({"until": np.inf}, "until=inf"), ({"until": np.nan}, "until=nan"),
        ({"until": True}, "until=True"), ({"until": "1"}, "until='1'"),
        ({"at": [-0.1]}, r"at=\[-0.1\]: the times to record must lie in \[0, 1\]"), ({"at": [0.5, 1.5]}, "at="), ({"at": [np.nan]}, "at="),
        ({"record": ["inne"]}, "did you mean 'inner'"), ({"record": {"inner": 0}}, r"record\['inner'\]"),
        ({"start": np.zeros(3)}, r"start has shape \(3,\)"), ({"start": np.full(11, np.nan)}, "not finite"),
    ],
)
def test_bad_arguments(options, says):
    with pytest.raises(ValueError, match=says):
        simulate(Quadratic.random(), GradientFlow(), **{"until": 1.0, **options})


def test_what_does_not_flow():
    with pytest.raises(ValueError, match="until=1.0 is for gradient flow"):
        simulate(Quadratic.random(), SignGD(0.1), steps=3, until=1.0)
    with pytest.raises(ValueError, match="single run.*replicates"):
        simulate(Quadratic.random(replicates=(2,)), GradientFlow(), until=1.0)
    with pytest.raises(TypeError, match="GradientFlow is a class"):
        simulate(Quadratic.random(), GradientFlow, until=1.0)
    with pytest.raises(TypeError, match="no steps to iterate over"):
        next(iterate(Quadratic.random(), GradientFlow()))


@pytest.mark.parametrize("kind", ["sign", "linear", "coordinatewise", "flow", "any"])
def test_systems_a_flow_is_exact_for(kind):
    """The direction of a sign is no gradient; a reduction for a rule linear in the gradient is one for its limit."""
    system = Quadratic.random(exact_for=frozenset({kind}))
    if kind == "sign":
        with pytest.raises(Inexact, match=r"kind 'flow'.*exact only for rules of kind sign. Use another system"):
            simulate(system, GradientFlow(), until=1.0)
    else:
        assert simulate(system, GradientFlow(), until=1.0).success
    for rule in (SignGD(0.1), GradientDescent(0.1)):
        with pytest.raises(Inexact, match="exact only for rules of kind flow"):
            simulate(Quadratic.random(exact_for=frozenset({"flow"})), rule, steps=1)


# -- files -----------------------------------------------------------------------------------------------------------------


def flows():
    system = Quadratic.random(provenance={"system": "quadratic", "seed": 3})
    yield simulate(system, GradientFlow(), until=1.0, record={"train_loss": 1, "inner": 7})
    yield simulate(system, GradientFlow(), until=9.0, at=[0.5], stop=LossBelow(0.3))
    yield simulate(one(lambda p: p**2, lambda p: 1.0 / p), GradientFlow(), until=3.0)
    yield simulate(one(lambda p: p, lambda p: np.nan * p), GradientFlow(), until=3.0)


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_files_keep_every_bit(suffix, tmp_path):
    for number, run in enumerate(flows()):
        back = load(run.save(tmp_path / f"{number}{suffix}"))
        for group in ("arrays", "constants", "sparser", "optimizer_state"):
            assert list(getattr(run, group)) == list(getattr(back, group))
            assert all(same_bits(a, getattr(back, group)[name]) for name, a in getattr(run, group).items()), group
        for name in ("at", "ended_at", "underflow_at", "final"):
            assert same_bits(getattr(run, name), getattr(back, name)), name
        for name in ("dims", "status", "message", "last_step", "provenance", "versions", "clock", "success"):
            assert getattr(run, name) == getattr(back, name), name
    assert {run.status for run in flows()} == {"finished", "stopped", "failed", "diverged"}


def test_a_loaded_flow_goes_on(tmp_path):
    system = Quadratic.random()
    first = simulate(system, TIGHT, until=0.75)
    loaded = load(first.save(tmp_path / "run.nc"))
    runs = [simulate(system, TIGHT, until=0.5, start=start) for start in (first, loaded)]
    assert same_bits(runs[0].final, runs[1].final) and same_bits(runs[0].at, runs[1].at) and runs[1].last_step == 1.25


def test_labelled_arrays_have_times():
    pytest.importorskip("xarray")
    run = simulate(Quadratic.random(), GradientFlow(), until=2.0, at=np.linspace(0, 2, 21), record={"train_loss": 1, "inner": 8})
    data = run.to_xarray()
    assert data["train_loss"].dims == ("time",) and data["inner"].dims == ("time_inner", "row", "column")
    assert same_bits(data["time"].values, run.at) and data["time_inner"].values.tolist() == run.steps("inner").tolist()
    assert data["time"].attrs["long_name"] == "time of the flow" and data.attrs["status"] == "finished"
    assert float(data["train_loss"].sel(time=0.5, method="nearest")) == run["train_loss"][5]


# -- experiments -----------------------------------------------------------------------------------------------------------

TINY = cooccurrence.experiment("tiny").replace(
    setting=cooccurrence.Setting(n=6, L=3, m=5, m1=2), until=30.0, points=20, record=("train_loss", "min_margin", "tau"),
)
STEPPED = signal_noise.experiment("tiny")


def test_an_experiment_of_a_flow_survives_files(tmp_path):
    path = tmp_path / "experiment.toml"
    for experiment in (TINY, TINY.replace(target_loss=0.5, optimizer=GradientFlow(1e-6, 1e-9, "LSODA")), STEPPED.replace(target_loss=0.1)):
        path.write_text(experiment.to_toml(), encoding="utf-8")
        assert Experiment.from_toml(path) == experiment
        assert Experiment.from_dict(json.loads(json.dumps(experiment.to_dict()))) == experiment
        assert ("until" in path.read_text()) == experiment.flows != ("steps" in path.read_text())
    run = TINY.run()
    assert same_bits(run.at, log_times(30.0, 20)) and run.provenance["until"] == 30.0 and run.provenance["engine"] == "lumped"
    path.write_text(TINY.to_toml(), encoding="utf-8")
    assert same_bits(Experiment.from_toml(path).run()["train_loss"], run["train_loss"])


@pytest.mark.parametrize(
    ("start", "changes", "says"),
    [
        (TINY, {"steps": 5}, r"GradientFlow\(.* needs until= and no steps="), (TINY, {"until": None}, "needs until=.*neither"),
        (TINY, {"until": None, "steps": 5}, "needs until="), (TINY, {"until": 0.0}, "until=0.0"), (TINY, {"until": np.inf}, "until=inf"),
        (TINY, {"until": "x"}, "until='x'"), (TINY, {"target_loss": 0.0}, "target_loss=0.0"),
        (TINY, {"target_loss": np.nan}, "target_loss=nan"),
        (TINY, {"points": 1}, "points=1 must be an integer >= 2"), (TINY, {"points": 2.5}, "points=2.5"),
        (TINY, {"optimizer": SignGD(0.1)}, r"SignGD\(.* needs steps= and no until="),
        (STEPPED, {"until": 1.0}, "needs steps= and no until="),
        (STEPPED, {"steps": None}, "needs steps=.*neither"), (STEPPED, {"optimizer": GradientFlow()}, "needs until= and no steps="),
        (TINY, {"rates": {"flow": 0.1}}, "rates: flow has no learning rate"),
    ],
)
def test_horizons_that_do_not_fit_the_rule(start, changes, says):
    with pytest.raises(ValueError, match=says):
        start.replace(**changes)


def test_both_horizons():
    assert (TINY.flows, TINY.horizon, STEPPED.flows, STEPPED.horizon) == (True, 30.0, False, 40)
    assert TINY.reaching(7).until == 7.0 and STEPPED.reaching(7.0).steps == 7
    assert TINY.rule("flow:1e-5") == GradientFlow(1e-5) and TINY.rule("gd") == GradientDescent(0.01)
    with pytest.raises(ValueError, match="signgd has no learning rate here"):
        TINY.rule("signgd")


def test_what_varies_in_a_flow():
    varied = TINY.vary({"until": 3.0, "target_loss": 0.6, "rtol": 1e-6, "m": 7})
    assert (varied.until, varied.target_loss, varied.optimizer.rtol, varied.setting.m) == (3.0, 0.6, 1e-6, 7)
    for experiment, name in ((TINY, "steps"), (TINY, "lr"), (STEPPED, "until")):
        with pytest.raises(ValueError, match=f"unknown variable '{name}'"):
            experiment.vary({name: 3})


def test_a_target_loss_ends_the_run():
    whole = TINY.run()
    level = float(whole["train_loss"][-4:-2].mean())
    run = TINY.replace(target_loss=level).run()
    assert run.status == "stopped" and whole.at[-4] < run.last_step < whole.at[-3] and gap(run["train_loss"][-1], level) < 1e-8
    steps = STEPPED.replace(target_loss=float(STEPPED.run()["train_loss"][25])).run()
    assert (steps.status, steps.last_step) == ("stopped", 25)


def test_the_other_rules_run_the_same_setting():
    gd = TINY.replace(optimizer=GradientDescent(0.02), until=None, steps=1500).run()
    assert gd.clock == "step" and abs(gd["train_loss"][-1] - TINY.run()["train_loss"][-1]) < 1e-3
    assert gd["tau"][-1] == 0.0 < TINY.run()["tau"][-1]


# -- sweeps ----------------------------------------------------------------------------------------------------------------


def test_a_sweep_of_a_flow():
    measures = [First("min_margin", ">=", 0.0, "correct"), At("train_loss", "end"), First("train_loss", "<=", 1e-9, "never"),
                At("tau", First("min_margin", ">=", 0.0))]
    table = sweep(TINY, {"m": [4, 5], "until": [20.0, 30.0]}, seeds=2, measure=measures, workers=1)
    assert table.cells == 8 and not table.errors and table["steps"].tolist() == [20.0, 20.0, 30.0, 30.0] * 2
    for cell in range(8):
        experiment = TINY.vary({"m": int(table["m"][cell]), "until": float(table["until"][cell])}).replace(seed=int(table["seed"][cell]))
        run = experiment.run()
        passed = np.flatnonzero(run["min_margin"] >= 0.0)
        assert table["train_loss@end"][cell] == run["train_loss"][-1] and np.isnan(table["never"][cell])
        want = (run.at[passed[0]], run["tau"][passed[0]]) if len(passed) else (np.nan, np.nan)
        np.testing.assert_array_equal([table["correct"][cell], table["tau@min_margin>=0"][cell]], want)
    assert np.isfinite(table["correct"]).any()


def test_horizons_of_a_sweep():
    predicted = cooccurrence.horizon(TINY.setting, TINY.optimizer)
    assert sweep(TINY, seeds=1, measure="train_loss@end", workers=1)["steps"].tolist() == [predicted]
    assert sweep(TINY, seeds=1, measure="train_loss@end", steps=2.5, workers=1)["steps"].tolist() == [2.5]


def test_a_series_of_a_flow_is_refused():
    table = sweep(TINY, seeds=1, measure=[Series("train_loss", 5)], workers=1)
    assert len(table.errors) == 1 and "is read at steps, which gradient flow does not have" in table.errors[0]


def test_a_solver_that_gives_up_is_a_row_with_its_error(monkeypatch):
    stuck = one(lambda p: p**2, lambda p: 1.0 / p)
    monkeypatch.setattr(cooccurrence, "best", lambda setting, optimizer, seed: replace(stuck, provenance={"seed": seed}))
    table = sweep(TINY, seeds=2, measure=["train_loss@end"], workers=1)
    assert len(table.errors) == 2 and "gave up" in table.errors[0] and np.isnan(table["train_loss@end"]).all()
