"""What sweeps read off runs is what the runs say; sweeps over kernels, seeds, sizes and rates, each cell by itself."""

import numpy as np
import pytest

from dynsim import Adam, Experiment, GradientDescent, sweep
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.classifier.landscape import interior_minima, roughness
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.measures import MEASURES, START, SWEEP_MEASURES, Mean, Slices, Slopes, Start
from dynsim.systems.attention_kernels.regression.bounds import GAUSSIAN_SLOPE, kernel_slopes
from dynsim.systems.attention_kernels.regression.gram import loss_floor
from dynsim.systems.attention_kernels.settings import streams

BOTH = ["softmax", "gaussian"]
VALUES = Experiment(
    "attention_kernels", ak.Regression(kernel="softmax", N=2, n=3, D=4, d=2), GradientDescent(0.5), 20, record=("train_loss",),
)
QUERIES = VALUES.replace(
    setting=ak.Regression(kernel="softmax", N=1, n=2, D=2, d=4, d_o=2, trained="Q", tokens="orthonormal", paired=True), record=None,
)
CLASSES = VALUES.replace(
    setting=ak.Classification(kernel="softmax", D=4, d=2, hidden=3, samples=8, test=4, batch=3, pretrain_batch=2),
    optimizer=GradientDescent(0.1), steps=4,
)


def run(experiment, over=None, *, seeds=1, measure=None):
    table = sweep(experiment, over, seeds=seeds, measure=measure, workers=1)
    assert table.errors == []
    return table


def test_names():
    assert set(MEASURES) >= {"outcome", "start", "slopes", "classes", "slices"} and SWEEP_MEASURES == ("outcome",)
    for measures in MEASURES.values():
        for measure in measures:
            assert measure.columns and all(column.doc for column in measure.columns.values())
    assert ak.MEASURES is MEASURES


def test_a_sweep_over_kernels_and_seeds_is_made_of_single_runs():
    """Each cell is the run of its own kernel and seed, bit for bit; a mean over kernels is refused."""
    table = run(VALUES, {"kernel": BOTH}, seeds=3)
    assert len(table["seed"]) == 6 and set(table["kernel"]) == set(BOTH)
    columns = (table[name] for name in ("kernel", "seed", "train_loss", "loss_start", "grad_norm"))
    for kernel, seed, last, first, norm in zip(*columns, strict=True):
        single = VALUES.replace(setting=VALUES.setting.replace(kernel=kernel), seed=int(seed), record=("train_loss", "grad_norm")).run()
        loss = single["train_loss"]
        assert last == loss[-1].mean() and first == loss[0].mean() and norm == single["grad_norm"][-1].mean()
    (error,) = sweep(VALUES, {"kernel": ["softmax+gaussian"]}, workers=1).errors
    assert "would be a mean over 2 kernels: take one a run, over kernel=softmax,gaussian" in error


def test_a_share_of_starts():
    experiment = VALUES.replace(setting=ak.Example("E5", "softmax", starts=9, low=-4, high=2), optimizer=GradientDescent(1.0), steps=300)
    shares = [Mean("train_loss", 1e-6, "share"), Mean("train_loss", 1.0, "all")]
    measures = [*shares, Mean("query_norm"), Mean("query_norm", name="first", first=True)]
    table = run(experiment, measure=measures)
    final, norms = (experiment.replace(record=(name,)).run()[name] for name in ("train_loss", "query_norm"))
    assert table["share"][0] == (final[-1] < 1e-6).mean() and 0.2 < table["share"][0] < 0.8 and table["all"][0] == 1.0
    assert table["query_norm"][0] == norms[-1].mean() and table["first"][0] == norms[0].mean() != norms[-1].mean()
    assert run(experiment, measure=measures[:1]).columns.keys() == {"seed", "share", "steps", "error"}


def test_sweeps_over_rates_rules_and_sizes():
    table = run(VALUES, {"lr": [0.1, 0.5], "D": [2, 6]})
    assert len(table["train_loss"]) == 4 and (table["train_loss"][table["lr"] == 0.5] < table["train_loss"][table["lr"] == 0.1]).all()
    rules = run(VALUES.replace(rates={"adam": 0.01}), {"optimizer": ["gd", "adam"]})
    want = [VALUES.replace(optimizer=rule).run()["train_loss"][-1].mean() for rule in (GradientDescent(0.5), Adam(0.01))]
    assert rules["train_loss"].tolist() == want


@pytest.mark.parametrize("setting", [VALUES.setting, ak.Example(starts=3), CLASSES.setting], ids=lambda s: type(s).__name__)
def test_a_setting_alone_can_be_swept(setting):
    """Each of the three kinds is a setting of the system: the same sweep as that of an experiment with it."""
    assert isinstance(setting, ak.Setting) and type(setting) is not ak.Setting
    rule = GradientDescent(0.2)
    table = sweep(setting, {"kernel": BOTH}, seeds=2, optimizer=rule, steps=5, workers=1)
    assert table.errors == [] and np.isfinite(table["train_loss"]).all()
    assert table.experiment.system == "attention_kernels" and table.experiment.setting == setting
    whole = run(VALUES.replace(setting=setting, optimizer=rule, steps=5), {"kernel": BOTH}, seeds=2)
    assert all(np.array_equal(table[name], whole[name]) for name in ("train_loss", "loss_start", "grad_norm"))
    with pytest.raises(ValueError, match="pass optimizer="):
        sweep(setting, {"kernel": BOTH}, workers=1)


def test_a_cell_that_cannot_be_names_its_error():
    table = sweep(QUERIES, {"D": [1, 2]}, measure="outcome", workers=1)
    assert len(table.errors) == 1 and "needs D >= N n" in str(table.errors[0])


# -- numbers of the start --------------------------------------------------------------------------------------------------


def test_rank_condition_and_floor_of_the_start():
    table = run(VALUES.replace(steps=0), {"D": [2, 4], "kernel": ["gaussian", "softmax+gaussian"]}, measure="start")
    for D, kernel, *row in zip(table["D"], table["kernel"], *(table[name] for name in START), strict=True):
        c = ak.dense(VALUES.setting.replace(D=int(D), kernel=kernel), 0).constants
        found = dict(zip(START, row, strict=True))
        values = c["gram_eigenvalues"]
        assert found["rank"] == found["rank_rule"] == min(2 * D, 6)
        assert found["condition"] == pytest.approx((values[..., -1] / values[..., 0]).mean(), rel=1e-14, abs=1e-300)
        floor = loss_floor(values, c["residual_squares"], c["rank"], 2).mean()
        assert found["floor"] == floor and (floor > 0) == (D == 2)
        assert np.isnan([found["jacobian_rank"], found["pair_floor"]]).all()


def test_numbers_of_queries():
    table = run(QUERIES, {"kernel": BOTH}, measure=["start", "outcome"])
    c = ak.queries(QUERIES.setting, 0).constants
    assert table["pair_floor"].tolist() == [c["pair_floor"]] * 2 and (table["jacobian_rank"] == [1.0, 2.0]).all()
    assert np.isnan(table["rank"]).all() and np.isnan(table["floor"]).all()


# -- slopes, classes, slices -----------------------------------------------------------------------------------------------


def test_slopes_of_the_kernels():
    table = run(VALUES.replace(steps=0), {"qk_scale": [0.3, 10.0], "kernel": BOTH}, measure=[Slopes(directions=40)])
    for scale, kernel, slope in zip(table["qk_scale"], table["kernel"], table["slope"], strict=True):
        rng = np.random.default_rng(streams(0)["directions"])
        assert slope == kernel_slopes(scale, kernel=KERNELS[kernel], n=3, D=4, d=2, directions=40, rng=rng)
        assert kernel == "softmax" or slope < GAUSSIAN_SLOPE * 2**-0.25
    refused = sweep(QUERIES.replace(setting=ak.Example(starts=2), steps=0), measure="slopes", workers=1)
    assert "measure 'slopes' is of task 'regression', not 'E5'" in str(refused.errors[0])


def test_accuracies_and_losses_of_classes():
    table = run(CLASSES, {"kernel": BOTH}, seeds=2, measure="classes")
    names = ("full_loss", "train_accuracy", "test_loss", "test_accuracy")
    for i in range(4):
        one = CLASSES.replace(setting=CLASSES.setting.replace(kernel=table["kernel"][i]), seed=int(table["seed"][i]), record=names).run()
        assert all(table[name][i] == one[name][-1].mean() for name in names)
    assert np.isnan(run(VALUES, measure="classes")["test_loss"][0]), "no such quantity there"


@pytest.mark.parametrize("besides", [["outcome"], []], ids=str)
def test_minima_and_roughness_of_slices(besides):
    """Of the last weights, whatever else is measured."""
    setting = CLASSES.setting.replace(samples=3, trained="attention", batch=0, kernel="softmax")
    experiment = CLASSES.replace(setting=setting, steps=1, record=("surface",))
    table = run(experiment, measure=[Slices(), *besides])
    found = experiment.run()["surface"]
    assert table["minima"][0] == np.mean([interior_minima(one[0]) for one in found[-1]])
    assert table["roughness"][0] == pytest.approx(np.mean([roughness(one[0]) for one in found[-1]]), rel=1e-14)
    assert table["roughness"][0] != np.mean([roughness(one[0]) for one in found[0]]), "the first weights have another"


def test_what_measures_record():
    assert Slices().record == Start().record == Slopes().record == Mean("train_loss").record == ()
    with pytest.raises(ValueError, match="unknown.*did you mean 'outcome'"):
        run(VALUES, measure="outcom")
