"""Measures: what they read online is what the recorded run says; expressions; memory that does not grow with the run."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from dynsim import Adam, At, First, SignGD, Verdicts, check, simulate, sweep
from dynsim.measures import Column, Computed, Series, Watched, as_measures, bounded_steps
from dynsim.systems import gradient_heterogeneity, signal_noise
from dynsim.systems.signal_noise.predictions import LEVELS, loss_bounds
from dynsim.systems.signal_noise.reading import reading

CASES = {
    "tiny": (signal_noise.experiment("tiny").replace(steps=120), range(4)),
    "figure3_disjoint": (signal_noise.experiment("figure3_disjoint"), range(3)),
    "figure3": (signal_noise.experiment("figure3"), range(2)),
}


def observe(experiment, measures, seeds):
    """Return the columns of measures, seed by seed."""
    table = sweep(experiment, seeds=seeds, measure=measures, steps=experiment.steps, workers=1)
    assert table.errors == []
    return [table.rows(table["seed"] == seed) for seed in seeds]


def recorded(experiment, seeds):
    names = tuple(name for name, o in signal_noise.OBSERVABLES.items() if o.default)
    for seed in seeds:
        yield experiment.replace(seed=seed, record=names, every=1).run()


def same(measured, expected):
    return (np.isnan(measured) and (expected is None or np.isnan(expected))) or measured == expected


@pytest.mark.parametrize("case", CASES)
def test_stages_and_passages_are_those_of_the_recorded_run(case):
    experiment, seeds = CASES[case]
    rows = observe(experiment, ["stages", "t_attn", "t_loss", "t_softmax_21", "train_loss>=0.7"], seeds)
    for row, run in zip(rows, recorded(experiment, seeds), strict=True):
        r = reading(run)
        for name, expected in (
            ("t_one", r.T_one), ("t_two", r.T_two), ("t_three", r.T_three), ("t_four", r.T_four), ("t_attn", r.T_small),
            ("t_loss", r.first(run["train_loss"] <= 0.01)), ("t_softmax_21", r.first(run["softmax_21"].mean(1) < 0.1)),
            ("train_loss>=0.7", r.first(run["train_loss"] >= 0.7)),
        ):  # fmt: skip
            assert same(row[name][0], expected), (name, row[name][0], expected)


@pytest.mark.parametrize("case", ["figure3_disjoint", "figure3"])
def test_turns_are_those_of_the_recorded_run(case):
    experiment, seeds = CASES[case]
    for options in ({}, {"classify_at": 100}):
        chosen = experiment.replace(options=options)
        for row, run in zip(observe(chosen, ["turns"], seeds), recorded(chosen, seeds), strict=True):
            r = reading(run)
            assert row["key_turn"][0] == r.turn("key_noise") and row["query_turn"][0] == r.turn("query_noise")
            x, at = run["key_noise"], r.at
            turn = at[np.argmax(x * np.sign(x[r.row(r.classify_at)]), axis=0)]
            turn = np.where(r.against & (turn >= r.T_two), turn.astype(float), np.nan)
            assert np.array_equal(row["key_turns"][0], np.nanmedian(turn, axis=0))


@pytest.mark.parametrize("case", CASES)
def test_the_clock_is_that_of_the_recorded_run(case):
    experiment, seeds = CASES[case]
    for row, run in zip(observe(experiment, ["clock"], seeds), recorded(experiment, seeds), strict=True):
        r = reading(run)
        assert [row[name][0] for name in ("T_key", "T_attn", "kappa")] == pytest.approx([r.T_key, r.T_attn, r.kappa], rel=1e-13)
        assert row["residue"][0] == pytest.approx(r.regime["scaling"].value, rel=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_the_sandwich_is_that_of_the_recorded_run(case):
    experiment, seeds = CASES[case]
    for row, run in zip(observe(experiment, ["sandwich"], seeds), recorded(experiment, seeds), strict=True):
        r = reading(run)
        low, high = loss_bounds(run["mean_value_signal"], run["mean_value_noise"])
        for eps in LEVELS:
            for name, x in (("", run["train_loss"]), ("_low", low), ("_high", high)):
                assert same(row[f"t_loss{name}_{eps:g}"][0], r.first(x <= eps)), (name, eps)


def test_a_violated_sandwich_is_counted():
    from dynsim.systems.signal_noise.measures import Sandwich

    class State:
        step = 0

        class cache:
            A, B = np.array([5.0]), np.full((1, 2), 6.0).reshape(2)
            s = type("s", (), {"p": np.zeros((2, 2))})
            loss = np.array(0.5)  # far above its upper bound

    watch = Sandwich().watch(type("W", (), {"lead": ()}))
    watch.see(State)
    assert watch.result(None)["sandwich_violations"] == len(LEVELS)


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] if case == "figure3_disjoint" else []) for case in CASES])
def test_values_at_steps_and_events_are_those_of_the_recorded_run(case):
    experiment, seeds = CASES[case]
    T_key = signal_noise.predict(experiment.setting, lr=experiment.optimizer.lr).T_key
    columns = ["train_loss@0", "train_loss@7", "train_loss@end", "softmax_11_mean@T_key", "key_agreement@0.5*T_key",
        "test_loss@train_loss<0.65"]
    rows = observe(experiment, columns, seeds)
    extra = ("train_loss", "softmax_11_mean", "key_agreement", "test_loss")
    for row, seed in zip(rows, seeds, strict=True):
        run = experiment.replace(seed=seed, record=extra, every=1, closely=0).run()
        event = int(np.flatnonzero(run["train_loss"] < 0.65)[0])
        for name, expected in (
            ("train_loss@0", run["train_loss"][0]), ("train_loss@7", run["train_loss"][7]), ("train_loss@end", run["train_loss"][-1]),
            ("softmax_11_mean@T_key", run["softmax_11_mean"][round(T_key)]),
            ("key_agreement@0.5T_key", run["key_agreement"][round(0.5 * T_key)]), ("test_loss@train_loss<0.65", run["test_loss"][event]),
        ):  # fmt: skip
            assert row[name][0] == pytest.approx(expected, rel=1e-10), name


def test_verdicts_are_those_of_the_run_on_the_same_record():
    experiment = CASES["figure3_disjoint"][0]
    claims = ("stage_one_end", "lemma_4_6_key_turn", "attention_time", "theorem_3_2_test_loss", "value_noise_linear")
    for row, seed in zip(observe(experiment, list(claims), range(3)), range(3), strict=True):
        record = dict.fromkeys(Verdicts("signal_noise", claims).record, 1) | {"test_loss": 900 // 24}
        system = signal_noise.lumped(experiment.setting, SignGD, seed=seed)
        run = simulate(system, experiment.optimizer, steps=900, record=record, at=bounded_steps(900))
        report = check(experiment.signed(run))
        for id in claims:
            assert row[id][0] == report[id].verdict
            assert row[f"{id}.margin"][0] == pytest.approx(report[id].margin, rel=1e-9, abs=1e-9, nan_ok=True)


def test_verdicts_agree_with_those_of_the_full_record():
    """The bounded record decides nothing otherwise than the preset's own record does, where it decides."""
    experiment = CASES["figure3_disjoint"][0]
    for row, seed in zip(observe(experiment, ["verdicts"], range(3)), range(3), strict=True):
        report = check(experiment.replace(seed=seed).run())
        decided = {"holds", "violated"}
        differ = [v.id for v in report.verdicts if v.verdict in decided and row[v.id][0] in decided and row[v.id][0] != v.verdict]
        assert differ == []
        undecided = [v.id for v in report.verdicts if v.verdict in decided and row[v.id][0] == "inconclusive"]
        assert len(undecided) <= 2, undecided


def test_bounded_steps_are_bounded():
    for steps in (0, 1, 5, 125, 126, 900, 10_000, 10**7):
        at = bounded_steps(steps)
        assert at[0] == 0 and at[-1] == steps and (np.diff(at) > 0).all()
        assert (np.diff(at) <= 1 + at[1:] / 125).all()
    assert len(bounded_steps(10**7)) < 2000


# -- expressions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train_loss<0.05", First("train_loss", "<", 0.05)), ("train_loss <= 1e-3", First("train_loss", "<=", 1e-3)),
        ("mine=train_loss>=2", First("train_loss", ">=", 2.0, "mine")), ("test_loss@900", At("test_loss", 900)),
        ("test_loss@end", At("test_loss", "end")), ("alignment@0.8*T_key", At("alignment", "0.8*T_key")),
        ("alignment@0.8T_key", At("alignment", "0.8T_key")), ("alignment@T_attn", At("alignment", "T_attn")),
        ("test_loss@t_attn", At("test_loss", First("softmax_11_mean", "<", 0.1, "t_attn"))),
        ("late=test_loss@train_loss<0.1", At("test_loss", First("train_loss", "<", 0.1), "late")),
        ("t_attn", First("softmax_11_mean", "<", 0.1, "t_attn")), ("stage_one_end", Verdicts("signal_noise", ("stage_one_end",))),
    ],
)  # fmt: skip
def test_expressions(text, expected):
    assert as_measures(text, "signal_noise") == (expected,)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ("t_attm", "did you mean 't_attn'"), ("train_los<1", "did you mean 'train_loss'"), ("train_loss<1e", "is no number"),
        ("train_loss@soon", "unknown measure 'soon'"), ("train_loss@stages", "no step, event or predicted time"),
        (["train_loss@5", "train_loss@ 5", "x=train_loss@5", "x=train_loss@6"], "two measures have a column 'x'"), ([], "at least one"),
        ("mine=stages", "only a single number"), ("mine=sandwich", "only a single number"),
    ],
)
def test_expressions_that_cannot_be_read(items, says):
    with pytest.raises(ValueError, match=says):
        as_measures(items, "signal_noise")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: First("train_loss", "=", 1.0), "compare='='"), (lambda: First("train_loss", "<", np.nan), "level=nan"),
        (lambda: At("train_loss", -1), "when=-1"), (lambda: At("train_loss", "soon"), "when='soon'"),
        (lambda: Verdicts("signal_noise", ("lemma_9",)), "unknown claim"),
    ],
)
def test_bad_measures_say_what_is_wrong(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_quantities_with_axes_and_unknown_times_are_refused():
    experiment = signal_noise.experiment("tiny")
    watched = Watched(experiment, experiment.build())
    with pytest.raises(ValueError, match=r"softmax_11 has axes \(sample\): a measure needs one number a run"):
        First("softmax_11", "<", 0.1).watch(watched)
    with pytest.raises(ValueError, match="unknown recorded quantity 'loss'"):
        First("loss", "<", 0.1).watch(watched)
    with pytest.raises(ValueError, match="unknown predicted time 'T_ke': did you mean 'T_key'"):
        At("train_loss", "T_ke").watch(watched)


def test_measures_of_every_system_are_described():
    for name, measures in signal_noise.MEASURES.items():
        for measure in measures:
            assert measure.columns and all(isinstance(c, Column) and c.doc for c in measure.columns.values()), name
            assert eval(repr(measure), {**vars(sys.modules[type(measure).__module__])}) == measure  # its repr describes it


@dataclass(frozen=True)
class Largest:
    """A measure of one's own: the largest training loss of a run."""

    record: ClassVar = ()
    columns: ClassVar = {"largest": Column("largest training loss")}

    def watch(self, watched):
        return _Largest(watched.lead)


class _Largest:
    settled = False

    def __init__(self, lead):
        self.value = np.full(lead, -np.inf)

    def see(self, state):
        np.maximum(self.value, state.cache.loss, out=self.value)

    def result(self, run):
        return {"largest": self.value}


def test_a_measure_of_ones_own():
    experiment = signal_noise.experiment("tiny")
    (row,) = observe(experiment, [Largest()], [3])
    assert row["largest"][0] == pytest.approx(experiment.replace(seed=3).run()["train_loss"].max(), rel=1e-13)


ONE_BY_ONE = gradient_heterogeneity.experiment("gradient_path")
"""Of a system whose seeds do not run together."""


@dataclass(frozen=True)
class Ended:
    """A measure of one's own that is computed at the end: the step at which the run ended."""

    settled: bool
    name: str = "ended"
    record: ClassVar = ()

    @property
    def columns(self):
        return {self.name: Column("last step")}

    def watch(self, watched):
        return Computed(lambda run: {self.name: run.last_step}, settled=self.settled)


@pytest.mark.parametrize("settled, beside, ended", [
    (True, [], 0), (False, [], 40), (True, ["train_loss@7"], 7), (False, ["train_loss@7"], 40), (True, ["train_loss@end"], 40),
])
def test_what_is_computed_ends_a_run_unless_it_needs_its_steps(settled, beside, ended):
    """Settled from the beginning it lets a run end with what else is measured; not settled it keeps it going to the horizon."""
    experiment = ONE_BY_ONE.replace(steps=40)
    (row,) = observe(experiment, [Ended(settled), *beside], [1])
    assert row["ended"][0] == ended and row["steps"][0] == experiment.steps == 40
    (row,) = observe(experiment, [Ended(True), Ended(False, "whole")], [1])
    assert row["ended"][0] == row["whole"][0] == 40


def test_computed_numbers_are_arrays_by_name():
    experiment = signal_noise.experiment("tiny")
    watch = Computed(lambda run: {"one": run.last_step, "many": [1.0, 2.0], "none": np.nan})
    watch.see(None)
    found = watch.result(experiment.replace(steps=3).run())
    assert watch.settled is True and Computed(dict, settled=False).settled is False
    assert [found[name].shape for name in ("one", "many", "none")] == [(), (2,), ()] and found["one"] == 3 and np.isnan(found["none"])


@dataclass(frozen=True)
class SeedOf:
    """A measure of one's own that draws: the seed it would draw from."""

    record: ClassVar = ()
    columns: ClassVar = {"drawn_from": Column("seed")}

    def watch(self, watched):
        return Computed(lambda run: {"drawn_from": watched.experiment.seed})


def test_a_measure_draws_from_the_seed_of_its_own_row():
    """Where seeds run one by one; systems that carry many at once have their seeds in their provenance."""
    table = sweep(ONE_BY_ONE.replace(steps=0), seeds=[3, 5], measure=SeedOf(), workers=1)
    assert table.errors == [] and table["drawn_from"].tolist() == [3, 5]


MEMORY = """
import tracemalloc
from dynsim import sweep
from dynsim.systems import signal_noise
start = signal_noise.experiment("tiny").vary({"lr": 1e-5})
measure = ["train_loss<0.001", "turns", "stages", "sandwich", "test_loss@end"]
sweep(start, seeds=2, measure=measure, steps=10, workers=1)
for steps in (300, 6000):
    tracemalloc.start()
    sweep(start, seeds=2, measure=measure, steps=steps, workers=1)
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_steps():
    out = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout.split()
    short, long = map(int, out)
    assert long < 1.05 * short + 20_000


@pytest.mark.parametrize("case", ["tiny", "figure3"])
def test_a_course_is_that_of_the_recorded_run(case):
    experiment, seeds = CASES[case]
    rows = observe(experiment.replace(steps=57), ["train_loss@every10", "late=test_loss@every25", "underflow"], seeds)
    for row, run in zip(rows, (experiment.replace(steps=57, seed=s, record=("train_loss", "test_loss")).run() for s in seeds), strict=True):
        assert row["train_loss@every10"].shape == (1, 6)
        assert row["train_loss@every10"][0] == pytest.approx(run["train_loss"][:57:10], rel=1e-13)
        assert row["late"][0] == pytest.approx(run["test_loss"][[0, 25, 50]], rel=1e-12) and np.isnan(row["underflow"][0])


def test_the_first_underflow_is_a_column():
    experiment = signal_noise.experiment("figure3_disjoint").replace(optimizer=Adam(4e-4, 0.0, 0.0, 0.0), steps=600)
    row = sweep(experiment, measure="underflow", steps=600, workers=1)
    run = experiment.replace(record=("train_loss",)).run()
    assert run.underflow_at > 0 and row["underflow"][0] == run.underflow_at


def test_a_course_needs_a_spacing():
    with pytest.raises(ValueError, match="every=0 must be an integer >= 1"):
        Series("train_loss", 0)
    with pytest.raises(ValueError, match="one number a run"):
        as_measures("key_noise@every5", "signal_noise")
