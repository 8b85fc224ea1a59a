"""The update loop: what is recorded when, how runs end, and that nothing depends on how they are cut up."""

import importlib
import signal
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from dynsim import GradientDescent, GradientFlow, Interrupted, SignGD, iterate, simulate
from dynsim.layout import Layout
from dynsim.measures import Watched
from dynsim.system import Inexact, Observable, forward_at
from dynsim.systems import signal_noise

from .helpers import RULES, Quadratic, assert_same_bits, same_bits

ENGINE = importlib.import_module("dynsim.simulate")  # the name `dynsim.simulate` is the function


@pytest.fixture(autouse=True)
def pythons_own_ctrl_c():
    """Where the suite runs in the background, Ctrl-C is ignored from birth: put Python's handler back for the test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
DISJOINT = signal_noise.Setting(n=4, d=100, s=5, m_k=6, m_v=3, sigma_0=0.02, disjoint=True)
SEEDS = list(range(7))


def batch(rule, **changes):
    return signal_noise.lumped(DISJOINT.replace(**changes), rule, seed=SEEDS)


# -- what is recorded, and when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "options", "want"),
    [
        (4, {}, [0, 1, 2, 3, 4]), (0, {}, [0]), (0, {"every": 5}, [0]), (10, {"every": 4}, [0, 4, 8, 10]),
        (10, {"every": 99}, [0, 10]), (10, {"at": [3]}, [0, 3, 10]), (10, {"at": []}, [0, 10]),
        (10, {"at": [7, 2, 2, 10]}, [0, 2, 7, 10]), (6, {"at": np.arange(0, 7, 3)}, [0, 3, 6]),
    ],
)
def test_recorded_steps_are_those_of_the_full_record(steps, options, want):
    system, rule = Quadratic.random(), GradientDescent(0.1, momentum=0.5)
    full, run = simulate(system, rule, steps=steps), simulate(system, rule, steps=steps, **options)
    np.testing.assert_array_equal(run.at, want)
    for name in full.arrays:
        assert same_bits(run[name], full[name][want]), name
    assert same_bits(run.final, full.final) and run.last_step == steps and run.status == "finished"


@pytest.mark.parametrize("replicates", [(), (3,)])
def test_shapes_dims_and_the_swapped_quantity(replicates):
    system = Quadratic.random(replicates=replicates)
    run = simulate(system, SignGD(0.1), steps=5)
    assert list(run.arrays) == ["train_loss", "inner", "turned"], "the defaults, in the system's order"
    lead = ("replicate",) * len(replicates)
    for name, dims, shape in (("train_loss", (), ()), ("inner", ("row", "column"), (2, 4)), ("turned", ("column", "row"), (4, 2))):
        assert run.dims[name] == ("step", *lead, *dims)
        assert run[name].shape == (6, *replicates, *shape)
    np.testing.assert_array_equal(run["turned"], np.swapaxes(run["inner"], -1, -2))
    np.testing.assert_array_equal(run["inner"][-1], system.layout.views(run.final).b)
    chosen = simulate(system, SignGD(0.1), steps=5, record=["slope"])
    assert list(chosen.arrays) == ["slope"] and chosen["slope"].shape == (6, *replicates, 2, 4)


def test_default_names_of_the_transformer():
    run = simulate(signal_noise.lumped(DISJOINT, SignGD, seed=0), SignGD(1e-3), steps=3)
    n, m = DISJOINT.n, DISJOINT.m_k
    want = {
        "mean_value_signal": (), "mean_value_noise": (n,), "query_signal": (m,), "key_signal": (m,), "query_noise": (m, n),
        "key_noise": (m, n), "softmax_11": (n,), "softmax_21": (n,), "train_loss": (),
    }
    assert {name: a.shape for name, a in run.arrays.items()} == {name: (4, *shape) for name, shape in want.items()}


def test_iterate_and_a_hand_written_loop_are_the_same_run():
    system, rule = Quadratic.random(), GradientDescent(0.1)
    run = simulate(system, rule, steps=6)
    p = system.start.copy()
    for state in iterate(system, rule):
        assert same_bits(state.params, p) and same_bits(state.views.b, run["inner"][state.step])
        assert state.cache.loss == run["train_loss"][state.step]
        if state.step == 6:
            break
        p -= 0.1 * system.gradient(p)
    assert same_bits(system.start, Quadratic.random().start), "the system's own start is never written to"


def test_memory_is_refused_before_the_run_begins(monkeypatch):
    system = Quadratic.random()
    needed = 8 * 11 * (1 + 8 + 8)
    assert simulate(system, SignGD(0.1), steps=10, max_bytes=needed).success
    with pytest.raises(MemoryError, match=r"train_loss, inner, turned at 11 steps needs .* GiB .*every=10.*record="):
        simulate(system, SignGD(0.1), steps=10, max_bytes=needed - 1)
    monkeypatch.setattr("dynsim.recording.available_memory", lambda: 1e6)
    with pytest.raises(MemoryError, match="fewer replicates"):
        simulate(Quadratic.random(replicates=(1000,)), SignGD(0.1), steps=10**5)
    monkeypatch.setattr("dynsim.recording.available_memory", lambda: 1e6)
    with pytest.raises(MemoryError, match="fewer steps"):
        simulate(system, SignGD(0.1), steps=10**12)  # not even the step numbers fit
    assert simulate(system, SignGD(0.1), steps=10**3, every=100).success


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": -1}, "steps=-1 must be an integer >= 0"), ({"steps": 1.5}, "steps=1.5 must"),
        ({"steps": True}, "steps=True"), ({"steps": None}, "steps=None"),
        ({"every": 0}, "every=0 must be an integer >= 1"), ({"every": 2.0}, "every=2.0"), ({"at": [3, 11]}, r"at=.*integers in \[0, 10\]"),
        ({"at": [-1]}, "at="), ({"at": [0.5]}, "at="), ({"record": ["key_noice"]}, "did you mean 'key_noise'"),
        ({"record": ["train_los"]}, "unknown recorded quantity 'train_los': did you mean 'train_loss'.*Valid:"),
        ({"start": np.zeros(3)}, r"start has shape \(3,\); it must have shape \(\d+,\)"),
    ],
)
def test_bad_arguments(options, says):
    system = signal_noise.lumped(DISJOINT, SignGD, seed=0)
    with pytest.raises(ValueError, match=says):
        simulate(system, SignGD(0.1), **{"steps": 10, **options})


def test_start_from_parameters_of_ones_own():
    system = Quadratic.random()
    mine = np.random.default_rng(9).standard_normal(system.layout.size)
    kept = mine.copy()
    run = simulate(system, SignGD(0.1), steps=5, start=mine)
    assert same_bits(run.final, simulate(replace(system, start=mine), SignGD(0.1), steps=5).final)
    assert same_bits(mine, kept)
    assert not same_bits(run.final, simulate(system, SignGD(0.1), steps=5).final)


@pytest.mark.parametrize("made_for", RULES)
@pytest.mark.parametrize("used", RULES)
def test_rules_a_reduction_is_not_exact_for_are_refused(made_for, used):
    """The table of who may run what, over all rules; the message names reason and alternative."""
    served = {"sign": {"sign", "coordinatewise"}, "linear": {"linear", "coordinatewise"}, "coordinatewise": {"coordinatewise"}}
    if RULES[made_for].kind == "coordinatewise":
        with pytest.raises(Inexact, match=r"does not lump.*restricted"):
            signal_noise.lumped(DISJOINT, RULES[made_for], seed=0)
        return
    system = signal_noise.lumped(DISJOINT, RULES[made_for], seed=0)
    if RULES[made_for].kind in served[RULES[used].kind]:
        assert simulate(system, RULES[used], steps=1).success
    else:
        with pytest.raises(Inexact, match=rf"kind '{RULES[used].kind}'.*exact only for rules of kind {RULES[made_for].kind}.*restricted"):
            simulate(system, RULES[used], steps=1)


# -- how a run ends --------------------------------------------------------------------------------------------------------


def test_stop_ends_the_run_and_records_the_step_it_ended_at():
    run = simulate(Quadratic.random(), SignGD(0.1), steps=50, every=10, stop=lambda state: state.step == 23)
    assert (run.status, run.success, run.last_step, int(run.ended_at)) == ("stopped", True, 23, 23)
    np.testing.assert_array_equal(run.at, [0, 10, 20, 23])
    np.testing.assert_array_equal(run["inner"][-1], Quadratic.layout.views(run.final).b)
    assert "step 23" in run.message
    immediately = simulate(Quadratic.random(), SignGD(0.1), steps=50, stop=lambda state: True)
    assert immediately.last_step == 0 and len(immediately.at) == 1


def test_stop_of_each_replicate():
    system = Quadratic.random(replicates=(5,))
    levels = np.array([1.0, 0.5, 0.2, 0.1, 1e-9])
    run = simulate(system, GradientDescent(0.1), steps=40, stop=lambda state: state.cache.loss < levels)
    loss = run["train_loss"]
    for i, level in enumerate(levels):
        alone = simulate(system.replicates(i), GradientDescent(0.1), steps=40)["train_loss"]
        reached = np.flatnonzero(alone < level)
        assert run.ended_at[i] == (reached[0] if len(reached) else -1)
        end = run.ended_at[i] if len(reached) else 40
        assert same_bits(loss[: end + 1, i], alone[: end + 1])
    assert run.status == "stopped"


def assert_no_nan(run):
    for name, a in run.arrays.items():
        assert np.isfinite(a).all(), name


def test_divergence_of_a_single_run():
    system = Quadratic.random()
    run = simulate(system, GradientDescent(1e3), steps=500)
    assert (run.status, run.success) == ("diverged", False)
    assert 0 < run.ended_at < 500 and "smaller lr" in run.message and f"step {run.ended_at}" in run.message
    assert_no_nan(run)
    kept = len(run.at)
    assert kept == run.ended_at, "every step before the divergence is kept"
    finite = simulate(system, GradientDescent(1e3), steps=kept - 1)
    for name in run.arrays:
        assert same_bits(run[name], finite[name])


@pytest.mark.parametrize("name", RULES)
def test_absurd_rate_diverges_with_a_named_quantity_and_no_nan(name):
    rule = replace(RULES[name], lr=1e160)
    system = signal_noise.best(DISJOINT, rule, seed=0)
    run = simulate(system, rule, steps=20)
    assert run.status == "diverged", run.message
    assert any(quantity in run.message for quantity in system.observables)
    assert_no_nan(run)
    assert len(run.at) >= 1 and run.at[0] == 0


def test_a_diverging_replicate_does_not_end_the_others():
    rates = np.full(len(SEEDS), 1e-3)
    rates[[2, 5]] = 1e160
    system = batch(SignGD)
    run = simulate(system, SignGD(rates), steps=30)
    assert run.status == "diverged" and "2 of 7 replicates" in run.message
    good = simulate(system, SignGD(1e-3), steps=30)
    for i in range(len(SEEDS)):
        if i in (2, 5):
            assert run.ended_at[i] == 1
            assert np.isfinite(run["key_noise"][0, i]).all() and np.isnan(run["key_noise"][1:, i]).all()
        else:
            assert run.ended_at[i] == -1
            assert same_bits(run.replicate(i)["key_noise"], good.replicate(i)["key_noise"])
            assert same_bits(run.final[i], good.final[i])


# -- interruption ----------------------------------------------------------------------------------------------------------


def raise_error(_signal=None):
    raise KeyboardInterrupt


def raise_signal():
    signal.raise_signal(signal.SIGINT)


def interrupt_after(calls, how):
    count = [0]

    def progress(done, total):
        count[0] += 1
        if count[0] == calls:
            how()

    return progress


@pytest.mark.parametrize("how", [raise_error, raise_signal], ids=["KeyboardInterrupt", "SIGINT"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_interrupted_single_run_keeps_everything_and_can_go_on(rule, how):
    system = Quadratic.random()
    with pytest.raises(Interrupted) as caught:
        simulate(system, rule, steps=100, progress=interrupt_after(3, how))
    part, whole = caught.value.trajectory, simulate(system, rule, steps=100)
    assert part.status == "interrupted" and not part.success and isinstance(caught.value, KeyboardInterrupt)
    assert 0 < part.last_step < 100 and str(part.last_step) in part.message
    np.testing.assert_array_equal(part.at, np.arange(part.last_step + 1))
    for name in part.arrays:
        assert same_bits(part[name], whole[name][: part.last_step + 1])
    rest = simulate(system, rule, steps=100 - part.last_step, start=part)
    assert same_bits(rest.final, whole.final)


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 6])
def test_interrupted_run_with_replicates_shows_no_unwritten_memory(calls, monkeypatch):
    monkeypatch.setattr(ENGINE, "CHUNK", 3)
    poison = np.empty

    def filled(*args, **kwargs):  # np.empty returns whatever was there: make it something that cannot be missed
        array = poison(*args, **kwargs)
        if array.dtype == float:
            array.fill(12345.0)
        return array

    system = batch(SignGD)
    whole = simulate(system, SignGD(1e-3), steps=40)
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", filled)
        with pytest.raises(Interrupted) as caught:
            simulate(system, SignGD(1e-3), steps=40, progress=interrupt_after(calls, raise_error))
    part = caught.value.trajectory
    assert part.status == "interrupted"
    for name, a in part.arrays.items():
        want = whole[name][: len(part.at)]
        known = ~np.isnan(a)
        np.testing.assert_array_equal(a[known], want[known], err_msg=name)
    if calls > 1:
        assert np.isfinite(part["train_loss"][: min(len(part.at), 16 * (calls - 1)), 0]).all() and len(part.at) > 1


@dataclass(frozen=True)
class InterruptedHalfway(GradientDescent):
    """A rule during whose update, half done, the user presses Ctrl-C `presses` times."""

    at: int = 6
    presses: int = 1

    def step(self, params, grad, state, step, scale):
        half = params.shape[-1] // 2
        params[..., :half] -= self.lr * grad[..., :half]
        for _ in range(self.presses if step == self.at else 0):
            signal.raise_signal(signal.SIGINT)
        params[..., half:] -= self.lr * grad[..., half:]


def test_ctrl_c_in_the_middle_of_an_update_completes_it():
    system, before = Quadratic.random(), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        simulate(system, InterruptedHalfway(0.125), steps=20)
    part = caught.value.trajectory
    whole = simulate(system, GradientDescent(0.125), steps=20)
    assert part.last_step == 7 and signal.getsignal(signal.SIGINT) is before
    np.testing.assert_array_equal(part["inner"], whole["inner"][:8])
    np.testing.assert_array_equal(part["inner"][-1], Quadratic.layout.views(part.final).b)
    assert same_bits(simulate(system, GradientDescent(0.125), steps=13, start=part).final, whole.final)


def test_a_second_ctrl_c_is_immediate():
    with pytest.raises(Interrupted) as caught:
        simulate(Quadratic.random(), InterruptedHalfway(0.125, presses=2), steps=20)
    assert caught.value.trajectory.last_step == 6


def test_replicates_cut_at_different_steps_cannot_go_on(monkeypatch):
    monkeypatch.setattr(ENGINE, "CHUNK", 3)
    system = batch(SignGD)
    with pytest.raises(Interrupted) as caught:
        simulate(system, SignGD(1e-3), steps=40, progress=interrupt_after(6, raise_error))
    part = caught.value.trajectory
    np.testing.assert_array_equal(part.ended_at, [-1, -1, -1, 16, 16, 16, 0])
    np.testing.assert_array_equal(part.final[6], system.start[6])
    with pytest.raises(ValueError, match="different steps.*run it again"):
        simulate(system, SignGD(1e-3), steps=4, start=part)


# -- going on, and cutting up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_going_on_is_bitwise_the_undisturbed_run(rule):
    setting = DISJOINT.replace(disjoint=False, d=30)
    system = signal_noise.best(setting, rule, seed=3)
    whole = simulate(system, rule, steps=60)
    first = simulate(system, rule, steps=23)
    second = simulate(system, rule, steps=37, start=first)
    np.testing.assert_array_equal(second.at, np.arange(23, 61))
    assert_same_bits(second, whole, other_rows=slice(23, None))
    if rule.needs == "gradient" and first.optimizer_state:
        forgetful = replace(first, optimizer_state={name: np.zeros_like(a) for name, a in first.optimizer_state.items()})
        if rule != RULES["Adam without memory"]:
            assert not same_bits(simulate(system, rule, steps=37, start=forgetful).final, whole.final), "the memory matters"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("replicates", [(), (20,)])
def test_going_on_with_a_schedule_and_replicates(rule, replicates):
    scheduled = replace(rule, lr=lambda step: rule.lr / (1.0 + step))
    system = Quadratic.random(replicates=replicates)
    whole, first = simulate(system, scheduled, steps=40), simulate(system, scheduled, steps=11)
    assert_same_bits(simulate(system, scheduled, steps=29, start=first), whole, other_rows=slice(11, None))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_results_do_not_depend_on_the_chunk_size(rule, monkeypatch):
    system = batch(rule) if rule.kind != "coordinatewise" else Quadratic.random(replicates=(7,))
    runs = {}
    for size in (1, 3, 16):
        monkeypatch.setattr(ENGINE, "CHUNK", size)
        runs[size] = simulate(system, rule, steps=50)
    for size in (1, 3):
        assert_same_bits(runs[size], runs[16])


@pytest.mark.parametrize("size", [1, 36, 4221, 11457, 10**6])
@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 256, 1000])
def test_chunks_cover_the_replicates_and_fit_the_cache(count, size):
    chunks = ENGINE.chunks(count, size)
    assert [i for part in chunks for i in range(part.start, part.stop)] == list(range(count))
    lengths = [part.stop - part.start for part in chunks]
    assert len(set(lengths[:-1])) <= 1 and lengths[-1] <= lengths[0] <= ENGINE.CHUNK
    assert lengths[0] <= 4 or lengths[0] * size <= ENGINE.CHUNK_NUMBERS
    assert lengths[0] > min(ENGINE.CHUNK, ENGINE.CHUNK_NUMBERS // size, count) // 2, "no shorter than need be"


def test_endings_do_not_depend_on_the_chunk_size(monkeypatch):
    """Replicates that stop or diverge at different steps, next to others that run to the end."""
    system = Quadratic.random(replicates=(7,))
    rates = np.array([0.1, 0.2, 1e3, 1e-4, 0.1, 0.3, 0.05])
    runs = {}
    for size in (1, 3, 16):
        monkeypatch.setattr(ENGINE, "CHUNK", size)
        runs[size] = simulate(system, GradientDescent(rates, momentum=0.5), steps=150, stop=lambda state: state.cache.loss < 0.1)
    for size in (1, 3):
        assert_same_bits(runs[size], runs[16])
        np.testing.assert_array_equal(runs[size].ended_at, runs[16].ended_at)
        assert (runs[size].status, runs[size].message) == (runs[16].status, runs[16].message)
    run = runs[16]
    assert len(set(run.ended_at)) >= 4 and (run.ended_at == -1).any()
    stopped = (run.ended_at >= 0) & (np.arange(7) != 2)
    for i in np.flatnonzero(stopped):
        np.testing.assert_array_equal(run["inner"][run.ended_at[i], i], Quadratic.layout.views(run.final).b[i])
        assert np.isnan(run["inner"][run.ended_at[i] + 1 :, i]).all()


@pytest.mark.parametrize("name", ["SignGD", "sign momentum", "GD", "heavy ball", "Adam(eps=0)"])
def test_a_row_of_a_batch_is_the_single_run_of_that_seed(name):
    rule = RULES[name]
    together = simulate(batch(rule), rule, steps=80, record=list(signal_noise.lumped(DISJOINT, rule, seed=0).observables))
    for i, seed in enumerate(SEEDS):
        alone = simulate(signal_noise.lumped(DISJOINT, rule, seed=seed), rule, steps=80, record=list(together.arrays))
        row = together.replicate(i)
        for quantity in alone.arrays:
            assert row.dims[quantity] == alone.dims[quantity]
            np.testing.assert_array_equal(row[quantity], alone[quantity], err_msg=quantity)
        assert same_bits(row.final, alone.final)
        assert set(row.constants) == set(alone.constants)
        for constant in alone.constants:
            np.testing.assert_array_equal(row.constants[constant], alone.constants[constant])
        assert row.provenance == alone.provenance
    other = simulate(signal_noise.lumped(DISJOINT, rule, seed=99), rule, steps=80)
    assert not np.array_equal(other["key_noise"], together.replicate(0)["key_noise"])


@pytest.mark.parametrize("replicates", [(), (3,)])
def test_a_quantity_may_be_recorded_less_often_than_the_others(replicates):
    system, rule = Quadratic.random(replicates=replicates), SignGD(0.1)
    full = simulate(system, rule, steps=10)
    run = simulate(system, rule, steps=10, record={"train_loss": 1, "inner": 4, "turned": 3}, every=2)
    np.testing.assert_array_equal(run.at, [0, 2, 4, 6, 8, 10])
    for name, want in (("train_loss", [0, 2, 4, 6, 8, 10]), ("inner", [0, 4, 8, 10]), ("turned", [0, 6, 10])):
        np.testing.assert_array_equal(run.steps(name), want)
        assert same_bits(run[name], full[name][want]), name
    on = simulate(system, rule, steps=5, record={"inner": 4, "train_loss": 1}, start=run)
    np.testing.assert_array_equal(on.steps("inner"), [10, 14, 15])


def test_a_run_that_stops_early_records_its_last_step_of_every_quantity():
    run = simulate(Quadratic.random(), SignGD(0.1), steps=100, record={"train_loss": 1, "inner": 50}, stop=lambda state: state.step == 7)
    np.testing.assert_array_equal(run.steps("inner"), [0, 7])
    np.testing.assert_array_equal(run["inner"][-1], Quadratic.random().layout.views(run.final).b)


def test_memory_counts_what_is_recorded_seldom_as_seldom():
    needed = 8 * (11 + 8 * 3)
    assert simulate(Quadratic.random(), SignGD(0.1), steps=10, record={"train_loss": 1, "inner": 5}, max_bytes=needed).success
    with pytest.raises(MemoryError):
        simulate(Quadratic.random(), SignGD(0.1), steps=10, record={"train_loss": 1, "inner": 5}, max_bytes=needed - 1)


@pytest.mark.parametrize("spacing", [0, -1, 2.5, True, "3"])
def test_a_bad_spacing_names_the_quantity(spacing):
    with pytest.raises(ValueError, match=r"record\['train_loss'\]"):
        simulate(Quadratic.random(), SignGD(0.1), steps=3, record={"train_loss": spacing})


def test_going_on_needs_the_same_system_the_same_memory_and_one_step():
    system, rule = Quadratic.random(), GradientDescent(0.1)
    run = simulate(system, rule, steps=3)
    with pytest.raises(ValueError, match="remembers"):
        simulate(system, GradientDescent(0.1, momentum=0.5), steps=3, start=run)
    with pytest.raises(ValueError, match="another system"):
        simulate(system, rule, steps=3, start=replace(run, provenance={**run.provenance, "seed": 7}))
    many = Quadratic.random(replicates=(2,))
    uneven = simulate(many, rule, steps=6, stop=lambda state: np.array([state.step == 2, False]))
    with pytest.raises(ValueError, match="different steps"):
        simulate(many, rule, steps=3, start=uneven)


def test_a_class_a_string_and_a_start_that_is_not_finite_are_refused():
    system = Quadratic.random()
    with pytest.raises(TypeError, match="SignGD is a class"):
        simulate(system, SignGD, steps=1)
    with pytest.raises(ValueError, match="sequence of names"):
        simulate(system, SignGD(0.1), steps=1, record="train_loss")
    with pytest.raises(ValueError, match="not finite"):
        simulate(system, SignGD(0.1), steps=1, start=np.full_like(system.start, np.nan))


# -- mini-batches ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Averaging:
    """Points that pull at a parameter, some of them at a step: the smallest system with mini-batches. `size` 0 takes all."""

    points: np.ndarray
    size: int
    start: np.ndarray
    step_scale: float = 1.0
    exact_for: frozenset = frozenset({"any"})
    alternative: str = ""

    layout = Layout({"a": (3,)})
    observables = {"train_loss": Observable(lambda p, c: c.loss, (), "loss of the step's points", "L")}
    constants: ClassVar = {}
    provenance: ClassVar = {"system": "averaging"}

    def batch(self, step):
        return np.random.default_rng([5, step]).integers(0, len(self.points), self.size) if self.size else None

    def forward(self, params, batch=None):
        offset = params.a[..., None, :] - self.points[slice(None) if batch is None else batch]
        return SimpleNamespace(loss=0.5 * (offset**2).sum(-1).mean(-1), offset=offset)

    def backward(self, params, cache, out, *, signs=False):
        out.a[...] = cache.offset.mean(-2)

    def replicates(self, index):
        return replace(self, start=self.start[index])


def averaging(size, replicates=()):
    rng = np.random.default_rng(1)
    return Averaging(rng.standard_normal((12, 3)), size, rng.standard_normal((*replicates, 3)))


@pytest.mark.parametrize("replicates", [(), (7,)])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_going_on_with_mini_batches_is_bitwise_the_undisturbed_run(rule, replicates):
    system = averaging(4, replicates)
    whole = simulate(system, rule, steps=30)
    for cut in (0, 1, 17):
        first = simulate(system, rule, steps=cut)
        assert_same_bits(simulate(system, rule, steps=30 - cut, start=first), whole, other_rows=slice(cut, None))
    assert same_bits(simulate(system, rule, steps=30, at=[]).final, whole.final), "whatever is recorded"
    again = simulate(system, rule, steps=13, start=simulate(system, rule, steps=17).final)
    assert not same_bits(again.final, whole.final), "control: from parameters alone the batches begin anew"


def test_the_update_at_a_step_sees_the_batch_of_that_step():
    """A loop by hand; the recorded loss at a step is that of the points its update will see."""
    system = averaging(4)
    run, p = simulate(system, GradientDescent(0.3), steps=10), system.start.copy()
    for step in range(10):
        offset = p - system.points[system.batch(step)]
        assert run["train_loss"][step] == 0.5 * (offset**2).sum(-1).mean()
        p -= 0.3 * offset.mean(0)
    assert same_bits(p, run.final)
    for state in iterate(system, GradientDescent(0.3), start=simulate(system, GradientDescent(0.3), steps=4)):
        assert state.cache.loss == run["train_loss"][state.step]
        if state.step == 10:
            break


def test_no_batch_is_all_samples_as_in_a_system_without_batches():
    class Whole:
        """The same system to `simulate`, but for `batch`."""

        def __init__(self, system):
            for name in ("layout", "observables", "constants", "provenance", "step_scale", "exact_for", "alternative", "start", "backward"):
                setattr(self, name, getattr(system, name))
            self.forward = lambda params: system.forward(params)

    system = averaging(0)
    assert not hasattr(Whole(system), "batch")
    for rule in RULES.values():
        assert_same_bits(simulate(system, rule, steps=20), simulate(Whole(system), rule, steps=20))
    sampled = averaging(4)
    flows = [simulate(s, GradientFlow(), until=2.0, at=[1.0]) for s in (system, Whole(system))]
    assert_same_bits(*flows)
    with pytest.raises(Inexact, match="no steps to take mini-batches at"):
        simulate(sampled, GradientFlow(), until=2.0)
    mean = system.points.mean(0)
    np.testing.assert_allclose(flows[0].final, mean + np.exp(-2.0) * (system.start - mean), atol=1e-6)


def test_the_forward_pass_of_a_step_is_of_its_batch():
    system, plain = averaging(4), Quadratic.random()
    views = system.layout.views(system.start)
    for step in (0, 7):
        assert forward_at(system, views, step).loss == system.forward(views, system.batch(step)).loss != system.forward(views).loss
    assert forward_at(averaging(0), views, 7).loss == system.forward(views).loss
    views = plain.layout.views(plain.start)
    assert forward_at(plain, views, 7).loss == plain.forward(views).loss, "without batches a step does not matter"


def test_a_replicate_that_is_watched_alone_sees_the_batch_of_the_step():
    system = averaging(4, (5,))
    watched = Watched(None, system)
    for state in iterate(system, GradientDescent(0.3)):
        for i in (0, 3):
            views, cache = watched.alone(state, i)
            assert cache.loss.shape == (1,) and cache.loss[0] == state.cache.loss[i] and same_bits(views.a[0], state.views.a[i])
        if state.step == 4:
            break


# -- quantities that say their shape ---------------------------------------------------------------------------------------


class Counted:
    """The block b of `Quadratic` and its transpose, and how often they were read; `known` says whether the shape is told."""

    def __init__(self, replicates=(), known=True):
        self.reads = 0
        shape = (lambda c: c.pull.b.shape) if known else None
        observables = {
            "train_loss": Quadratic.observables["train_loss"],
            "b": Observable(self.read, ("row", "column"), "block b", "b", shape=shape),
            "turned": Observable(self.read, ("column", "row"), "turned", "b^T", view=lambda b: np.swapaxes(b, -1, -2), shape=shape),
            "part": Observable(self.read, ("column",), "its first row", "b_1", view=lambda b: b[..., 0, :], default=False, shape=shape),
        }
        self.system = Quadratic.random(replicates=replicates)
        object.__setattr__(self.system, "observables", observables)

    def read(self, params, cache):
        self.reads += 1
        return params.b


@pytest.mark.parametrize("record", [None, ["part"], {"b": 3, "train_loss": 1}], ids=str)
@pytest.mark.parametrize("replicates", [(), (3,)])
def test_a_quantity_that_says_its_shape_is_read_at_the_recorded_steps_only(replicates, record):
    told, asked = Counted(replicates), Counted(replicates, known=False)
    if replicates:  # a copy of the dataclass has the observables of the class
        for one in (told, asked):
            object.__setattr__(one.system, "replicates", lambda index, one=one: one.system)
    run, other = (simulate(one.system, SignGD(0.1), steps=6, every=2, record=record) for one in (told, asked))
    assert_same_bits(run, other)
    assert run.dims == other.dims
    rows = 2 if isinstance(record, dict) else 4  # steps 0, 2, 4, 6; of them the multiples of 3
    assert told.reads == rows and asked.reads == rows + 1, "once more to learn its shape"


def test_memory_is_refused_by_the_shape_that_is_told():
    one = Counted()
    with pytest.raises(MemoryError, match="b at 11 steps"):
        simulate(one.system, SignGD(0.1), steps=10, record=["b"], max_bytes=8 * 11 * 8 - 1)
    assert one.reads == 0
    assert simulate(one.system, SignGD(0.1), steps=10, record=["b"], max_bytes=8 * 11 * 8).success
