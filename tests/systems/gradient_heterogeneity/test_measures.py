"""What sweeps read off runs is what the functions say that the measures wrap, seed by seed; what is of another task is refused."""

import sys

import numpy as np
import pytest

from dynsim import Experiment, GradientDescent, SignGD, simulate, sweep
from dynsim.measures import Column, Watched
from dynsim.optimizers import LinearDecay
from dynsim.sweep import engine
from dynsim.systems import gradient_heterogeneity as gh
from dynsim.systems.gradient_heterogeneity.head.rule import ProjectedSign
from dynsim.systems.gradient_heterogeneity.head.theory import drift, drift_norm, momentum_drift
from dynsim.systems.gradient_heterogeneity.measures import (
    LAWS,
    MEASURES,
    SWEEP_MEASURES,
    Drift,
    FineTuning,
    LogNormal,
    Noise,
    OfBlocks,
    Projected,
    Target,
    Theorems,
)
from dynsim.systems.gradient_heterogeneity.quadratic.model import repeated
from dynsim.systems.gradient_heterogeneity.quadratic.targets import horizons, steps_to_target
from dynsim.systems.gradient_heterogeneity.quadratic.theorems import theorem_run
from dynsim.systems.gradient_heterogeneity.quadratic.theory import law, sampled_law
from dynsim.systems.gradient_heterogeneity.settings import streams

from ...helpers import gap

START = Experiment(
    "gradient_heterogeneity", gh.Quadratic(blocks=3, size=2, size_max=4, inner=5.0, k=50.0, rotated="blocks"), GradientDescent(0.05), 0,
    record=("train_loss",), rates={"signgd": 0.1, "adam": 0.1},
)
LOGISTIC = START.replace(setting=gh.Logistic(blocks=2, size=2, samples=40))
WORDS = START.replace(
    setting=gh.Transformer(vocab=6, length=4, classes=2, d=4, heads=2, width=3, layers=1, samples=5, batch=2, norm="pre"),
)
HEAD = START.replace(setting=gh.Head(C=12, d=3, samples=4, batch=5), optimizer=SignGD(LinearDecay(1e-3, 40)), steps=20)
KINDS = {"quadratic": START, "logistic": LOGISTIC, "transformer": WORDS, "head": HEAD}
LIGHT = (
    OfBlocks(), OfBlocks("matrices"), OfBlocks("body", off_diagonal=True, prefix="x_"), FineTuning(), Target(most=4), Theorems(eps=0.5),
    LogNormal(blocks=40, size=3), Noise(steps=3, repeats=2), Drift(), Projected(),
)
"""One of every class, that run in no time."""


def read(experiment, measure, over=None, *, seeds=1):
    table = sweep(experiment, over, seeds=seeds, measure=measure, workers=1)
    assert table.errors == []
    return table


def error(experiment, measure):
    """Return the error of the only row."""
    (found,) = sweep(experiment, measure=measure, workers=1).errors
    return str(found)


def built(experiment, seed=0):
    return experiment.replace(seed=seed).build()


# -- what all of them are --------------------------------------------------------------------------------------------------


def test_names():
    assert set(SWEEP_MEASURES) <= set(MEASURES) and gh.MEASURES is MEASURES and gh.SWEEP_MEASURES is SWEEP_MEASURES
    for name, measures in MEASURES.items():
        columns = [column for measure in measures for column in measure.columns]
        assert columns and len(set(columns)) == len(columns), name
    of = {type(measure) for measures in MEASURES.values() for measure in measures}
    assert {type(measure) for measure in LIGHT} <= of, "every class has a name"


@pytest.mark.parametrize("measure", [*LIGHT, *dict.fromkeys(measure for measures in MEASURES.values() for measure in measures)], ids=repr)
def test_a_measure_describes_itself(measure):
    """Its repr stands in a sweep's folder: the same in every process, and enough to make the measure again."""
    assert " at 0x" not in repr(measure)
    assert eval(repr(measure), {**vars(sys.modules[type(measure).__module__])}) == measure
    assert measure.columns and all(isinstance(column, Column) and column.doc for column in measure.columns.values())


@pytest.mark.parametrize("measure", LIGHT, ids=lambda measure: type(measure).__name__)
def test_columns_are_the_keys_of_what_is_read(measure):
    of = {FineTuning: WORDS, OfBlocks: WORDS, Drift: HEAD, Projected: HEAD, Noise: START.vary({"noise": 0.1})}
    table = read(of.get(type(measure), START), measure)
    assert set(table.measured) == set(measure.columns)
    for name, column in measure.columns.items():
        assert table[name].shape == ((1,) if column.kind == "number" else (1, len(LAWS))), name


WRONG = {
    "matrices": ("quadratic", "logistic", "head"), "body": ("quadratic", "logistic", "head"),
    "finetuning": ("quadratic", "logistic", "head"), "target": ("logistic", "transformer", "head"),
    "noise": ("logistic", "transformer", "head"), "theorems": ("transformer", "head"),
    "drift": ("quadratic", "logistic", "transformer"), "projected": ("quadratic", "logistic", "transformer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_measure_of_another_kind_is_refused_before_anything_runs(name, monkeypatch):
    monkeypatch.setattr(engine, "run_cells", lambda *_: pytest.fail("a cell ran"))
    for kind in WRONG[name]:
        made = type(KINDS[kind].setting).__name__
        with pytest.raises(ValueError, match=rf"measure {type(MEASURES[name][0]).__name__}\(.*is of settings of kind .*not {made}: start"):
            sweep(KINDS[kind], {"optimizer": ["signgd", "gd"]}, measure=name, workers=1)
    with pytest.raises(ValueError, match=f"not {made}"):
        Watched(KINDS[kind], built(KINDS[kind])).watch(MEASURES[name][0])


def test_what_else_is_refused():
    assert "measure 'noise' needs noise > 0" in error(START, "noise")
    assert "without noise" in error(START.vary({"noise": 1.0}), "target")
    with pytest.raises(ValueError, match="unknown blocks 'matrix': did you mean 'matrices'"):
        OfBlocks("matrix")
    for name in ("drift", "projected"):
        assert f"measure {name!r} is of sign rules" in error(HEAD.replace(optimizer=GradientDescent(0.1)), name)


# -- heterogeneity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_every_kind_and_seed(kind):
    """On the start and on all samples, whatever the batch of a step; with a prefix, side by side."""
    experiment = KINDS[kind].replace(steps=0)
    table = read(experiment, [OfBlocks(off_diagonal=True), OfBlocks(curvature=False, prefix="only_")], seeds=2)
    for i in range(2):
        found = gh.measure(built(experiment, i), off_diagonal=True)
        want = {**found.scalars(), "gini": found.gradient.gini, "max_over_min": found.gradient.max_over_min}
        for name in OfBlocks(off_diagonal=True).columns:
            np.testing.assert_equal(table[name][i], want[name], name)
        assert table["only_gini"][i] == found.gradient.gini and table["only_max_over_min"][i] == found.gradient.max_over_min
        assert found.delta_D > 0 or kind == "quadratic", "the control: a number that is 0 for quadratics in blocks only"
    assert table["gini"][0] != table["gini"][1] and not {"only_R", "only_delta_D"} & set(table.measured)
    assert "delta_D" not in read(experiment, OfBlocks()).measured


def test_the_body_and_the_matrices_of_a_transformer():
    table, system = read(WORDS, [OfBlocks(), OfBlocks("body", prefix="body_"), OfBlocks("matrices", prefix="m_")]), built(WORDS)
    shapes = system.layout.shapes
    weights = [f"W_{letter}_1" for letter in ("Q", "K", "V", "O", "1", "2")]
    chosen = {"body_": [name for name in shapes if name not in ("head", "b_head")], "m_": weights, "": list(shapes)}
    for prefix, names in chosen.items():
        found = gh.measure(system, blocks={name: system.layout.slices[name] for name in shapes if name in names})
        assert len(found.blocks) == len(names)
        for name in ("ratio", "R", "phi", "correlation", "along_signs"):
            assert table[prefix + name][0] == pytest.approx(found.scalars()[name], rel=1e-6), (prefix, name)  # iterated norms
        assert table[f"{prefix}gini"][0] == pytest.approx(found.gradient.gini, rel=1e-12)
        assert table[f"{prefix}max_over_min"][0] == pytest.approx(found.gradient.max_over_min, rel=1e-12)
    assert len({table[f"{prefix}gini"][0] for prefix in chosen}) == 3, "they are of different blocks"
    of = gh.measure(system, curvature=False)
    rms = {letter: of[f"W_{letter}_1"].rms for letter in "QKVO"}
    assert table["m_value_over_query"][0] == pytest.approx((rms["V"] + rms["O"]) / (rms["Q"] + rms["K"]), rel=1e-12)
    assert "value_over_query" not in table.measured


def test_what_fine_tuning_starts_from():
    experiment = WORDS.vary({"pretrained": 3, "head_scale": 0.5, "task": "before"})
    table = read(experiment, FineTuning(), {"pretrained": [0, 3]}, seeds=2)
    for i in range(4):
        system = built(experiment.vary({"pretrained": int(table["pretrained"][i])}), int(table["seed"][i]))
        p, out = system.layout.views(system.start.copy()), system.layout.views(np.empty(system.layout.size))
        system.backward(p, system.forward(p), out)
        squares = {name: np.sum(np.square(getattr(out, name))) for name in system.layout.shapes}
        share = (squares["head"] + squares["b_head"]) / sum(squares.values())
        assert table["head_share"][i] == pytest.approx(share, rel=1e-12) and 0.0 < share < 1.0
        told = [table["pretrained_loss"][i], table["pretrained_accuracy"][i]]
        if table["pretrained"][i]:
            assert told == [system.constants["pretrained_fixed_loss"], system.constants["pretrained_train_accuracy"]]
            assert told[0] > 0.0 and told[1] in np.arange(6) / 5
        else:
            assert np.isnan(told).all()


# -- quadratics and logistic regression ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["gd", "signgd:0.9"])
@pytest.mark.parametrize("doubling", [False, True])
def test_steps_to_a_target(rule, doubling):
    experiment = START.vary({"optimizer": rule})
    tried = [1, 2, 4, 8, 16, 32] if doubling else horizons(32)
    table = read(experiment, Target(target=0.05, most=32, doubling=doubling), seeds=2)
    for i in range(2):
        found = steps_to_target(built(experiment, i), experiment.optimizer, target=0.05, tried=tried)
        assert [table[name][i] for name in ("steps_to_target", "factor", "edge")] == [found.steps, found.factor, found.edge]
        assert 1 < found.steps <= 32
    few = read(experiment, Target(target=0.05, most=2, doubling=doubling))
    assert np.isnan([few["steps_to_target"][0], few["factor"][0]]).all(), "not reached"


@pytest.mark.parametrize("experiment", [START, LOGISTIC], ids=lambda experiment: experiment.setting.task)
def test_runs_of_the_theorems(experiment):
    table, system = read(experiment, [Theorems(eps=0.3)]), built(experiment)
    for name, step in (("T1", "gradient"), ("T2", "sign")):
        made = theorem_run(system, step, eps=0.3)
        assert table[f"{name}_steps"][0] == made.steps <= made.bound == table[f"{name}_bound"][0]
        assert table[f"{name}_decrease"][0] == (made.actual / made.guaranteed).min()
        assert table[f"{name}_assumed"][0] == 1.0 == float(made.covered and made.near_block_diagonal and made.small_target)


def test_twice_the_step_of_a_theorem_decreases_less():
    """With isotropic blocks of equal h, f times T2's step decreases the loss by f (2 - f) of what is guaranteed, T1's by as much."""
    even = START.vary({"inner": 1.0, "k": 1.0, "rotated": "no"})
    for factor in (1.0, 1.75):
        table = read(even, [Theorems(eps=0.3, factor=factor)])
        assert [table[f"{name}_decrease"][0] for name in ("T1", "T2")] == pytest.approx([factor * (2.0 - factor)] * 2, rel=1e-9)


def test_the_law_of_log_normal_blocks():
    table = read(START, LogNormal(blocks=300, size=5), seeds=2)
    for i in range(2):
        rng = np.random.default_rng(streams(i)["data"])
        want = [sampled_law(a, s, blocks=300, size=5, rng=rng).R for a, s in LAWS]
        assert table["law_R"][i].tolist() == want
        assert np.array([table["law_a"][i], table["law_s"][i]]).T.tolist() == [list(at) for at in LAWS]
        assert table["law_predicted"][i].tolist() == [law(a, s).R for a, s in LAWS]
    assert gap(table["law_R"][0], table["law_R"][1]) > 1e-3 and (2.0, 1.0) not in LAWS and len(set(LAWS)) == 14
    a, s = table["law_a"][0], table["law_s"][0]
    assert gap(table["law_predicted"][0], 2.0 / np.pi * np.exp(s**2 * (2.0 * a - 1.0))) < 1e-14


@pytest.mark.parametrize("kind", ["even", "hessian"])
def test_means_of_noisy_runs_and_their_bounds(kind):
    """Run by run, against the formulas of S1 and S2 as they are on paper."""
    experiment = START.vary({"noise": 0.3, "noise_kind": kind, "inner": 1.0})
    table, system = read(experiment, Noise(steps=6, repeats=3)), built(experiment)
    values = {name: table[name][0] for name in Noise.columns}
    copies, h = repeated(system, 3), np.asarray(system.curvature(system.forward(system.layout.views(system.start))).h)
    sizes, P = np.array(system.sizes), system.layout.size
    Delta = float(system.forward(system.layout.views(system.start)).loss)
    Lambda_P = float(sizes @ h / P)
    lr, sign_lr = 1.0 / h.max(), np.sqrt(2.0 * Delta / (P * Lambda_P * 6))
    one_by_one = [copies.replicates(i) for i in range(3)]
    gradients = [simulate(copy, GradientDescent(lr), steps=6, record=["grad_norm"])["grad_norm"][:6] for copy in one_by_one]
    signs = [simulate(copy, SignGD(sign_lr), steps=6, record=["grad_norm_1", "sign_progress"]) for copy in one_by_one]
    assert np.ptp([norms[-1] for norms in gradients]) > 0, "the repeats have noise of their own"
    sd = 0.3 * np.ones(P) if kind == "even" else 0.3 * np.sqrt(np.repeat(h, sizes))
    noise_term = lr * float(np.repeat(h, sizes) @ sd**2)  # eta Lambda_sigma sigma^2
    want = {
        "S1_mean": np.mean(np.square(gradients)), "S1_bound": 2.0 * Delta / (lr * 6) + noise_term, "S1_silent": 2.0 * Delta / (lr * 6),
        "S2_mean": np.mean([run["grad_norm_1"][:6] for run in signs]),
        "S2_bound": np.sqrt(2.0 * Delta * P * Lambda_P / 6) + sd.sum(),
        "S2_progress": np.mean([run["sign_progress"][:6] for run in signs]), "S2_silent": np.sqrt(2.0 * Delta * P * Lambda_P / 6),
    }
    assert values == pytest.approx(want, rel=1e-12)


# -- heads -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_drift_of_the_biases(momentum):
    table = read(HEAD.vary({"momentum": momentum}), Drift(), {"C": [6, 12]}, seeds=2)
    rates = [HEAD.optimizer.lr(step) for step in range(20)]
    for i in range(4):
        C = int(table["C"][i])
        run = HEAD.vary({"momentum": momentum, "C": C}).replace(seed=int(table["seed"][i]), record=("mean_bias",)).run()
        assert table["drift"][i] == pytest.approx(-(run["mean_bias"][-1] - run["mean_bias"][0]) / sum(rates), rel=1e-12)
        expected = momentum_drift(C, 5, 0.9, 20).mean() if momentum else drift(C, 5)
        assert table["drift_predicted"][i] == pytest.approx(expected, rel=1e-12)
        assert table["norm_predicted"][i] == pytest.approx(drift_norm(C, 3, np.mean(rates), 20, expected), rel=1e-12)


def test_drifts_that_are_and_that_are_not_predicted():
    """Shuffled batches are hypergeometric, full ones have no drift; with momentum neither is known."""
    batches = [{"batches": "shuffled", "batch": 5}, {"batches": "iid", "batch": 0}]
    plain, momentum = (read(HEAD.vary({"momentum": beta}), Drift(), batches)["drift_predicted"] for beta in (0.0, 0.9))
    assert plain.tolist() == [drift(12, 5, samples=4), 0.0] and np.isnan(momentum).all()
    constant = HEAD.replace(optimizer=SignGD(1e-3), steps=7)
    table = read(constant, [Drift(), "train_loss@3"])
    assert table["norm_predicted"][0] == pytest.approx(drift_norm(12, 3, 1e-3, 7, drift(12, 5)), rel=1e-12)
    run = constant.replace(record=("mean_bias",)).run()
    want = -(run["mean_bias"][-1] - run["mean_bias"][0]) / 7e-3
    assert table["drift"][0] == pytest.approx(want, rel=1e-12), "over the whole run, whatever else is settled earlier"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_projected_run(momentum):
    experiment = HEAD.vary({"momentum": momentum, "batch": 8})
    table, system = read(experiment, [Projected(), *MEASURES["head"]]), built(experiment)
    rule = ProjectedSign(experiment.optimizer.lr, C=12, d=3, momentum=momentum)
    run = simulate(system, rule, steps=20, record=["train_loss", "accuracy", "V_norm"])
    for short, name in (("loss", "train_loss"), ("accuracy", "accuracy"), ("V_norm", "V_norm")):
        assert table[f"projected_{short}"][0] == run[name][-1]
    assert table["projected_loss"][0] == pytest.approx(table["train_loss"][0], rel=1e-12), "the loss does not see the mean over classes"
    assert table["projected_accuracy"][0] == table["accuracy"][0] and table["projected_V_norm"][0] != table["V_norm"][0]


# -- ends of runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, kind", [("outcome", "logistic"), ("learning", "transformer"), ("head", "head")])
def test_numbers_of_the_end_are_those_of_a_recorded_run(name, kind):
    experiment = KINDS[kind].replace(steps=4)
    columns = tuple(column for measure in MEASURES[name] for column in measure.columns)
    table, run = read(experiment, name), experiment.replace(record=columns).run()
    for column in columns:
        assert table[column][0] == run[column][-1], column
