"""Systems from seeds and from arrays of one's own: what they note of themselves, and errors that say what to give."""

import numpy as np
import pytest

from dynsim import GradientDescent, SignGD, simulate
from dynsim.registry import system_module
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.regression.data import draw_samples, draw_weights

from ...helpers import assert_same_bits, gap, same_bits
from .helpers import ALL, looped, state

SMALL = ak.Regression(N=2, n=3, D=4, d=2, H=2, d_o=2, trained="QKV", kernel=ALL)
CLASSES = ak.Classification(samples=6, test=3, batch=2, pretrain_batch=2, D=4, d=2, hidden=3)
QUERIES = ak.Regression(N=2, n=2, D=5, d=2, H=2, d_o=2, trained="Q", tokens="orthonormal")

FORMS = {
    "regression": (ak.dense, SMALL, ak.AttentionModel), "example": (ak.dense, ak.Example(starts=3), ak.AttentionModel),
    "classifier": (ak.dense, CLASSES, ak.Classifier), "queries": (ak.queries, QUERIES, ak.QueryModel),
    "queries of an example": (ak.queries, ak.Example("E2", starts=3), ak.QueryModel),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_say_what_they_are(form):
    build, setting, kind = FORMS[form]
    system = build(setting, 4)
    assert type(system) is kind
    engine = "queries" if kind is ak.QueryModel else "dense"
    about = {
        "system": "attention_kernels", "engine": engine, "setting": setting.to_dict(), "seed": 4,
        "axis_labels": {"kernel": setting.kernel.split("+")},
    }
    assert system.provenance == about and ak.Setting.from_dict(about["setting"]) == setting
    assert same_bits(build(setting, 4).start, system.start) and not same_bits(build(setting, 5).start, system.start) or form == "example"
    assert set(system.observables) <= set(ak.OBSERVABLES) and {"train_loss", "grad_norm"} <= set(system.observables)
    assert all(isinstance(value, np.ndarray) and value.dtype == float for value in system.constants.values())
    kernels = len(setting.kernel.split("+"))
    run = simulate(system, GradientDescent(0.1), steps=2)
    assert run.success and run["train_loss"].shape[:2] == (3, kernels) == run["grad_norm"].shape[:2]
    start = system.layout.views(system.start.copy())
    for name in system.layout.shapes:
        block = np.moveaxis(getattr(start, name), system.member_axes(name), range(len(system.member_axes(name))))
        assert block.shape[0] == kernels and all(same_bits(one, block[0]) for one in block), "kernels start from the same weights"


@pytest.mark.parametrize("build", [ak.dense, ak.queries])
@pytest.mark.parametrize("seed", [-1, 0.5, True])
def test_bad_seeds(build, seed):
    with pytest.raises(ValueError, match="must be an integer >= 0"):
        build(QUERIES, seed)


def test_the_smallest_system_that_is_exact():
    for setting, kind in ((SMALL, ak.AttentionModel), (QUERIES, ak.QueryModel), (ak.Example(), ak.QueryModel), (CLASSES, ak.Classifier)):
        assert type(ak.best(setting, SignGD(0.1), seed=1)) is kind


def test_engines_by_name():
    assert dict(ak.ENGINES) == {"queries": ak.queries} and system_module("attention_kernels") is ak
    experiment = ak.experiment("runaway").replace(setting=ak.Example("E3", starts=3, low=-2, high=2, y=0.2), steps=5)
    runs = {engine: experiment.run(engine=engine) for engine in ("auto", "queries", "dense")}
    assert_same_bits(runs["auto"], runs["queries"])
    assert runs["dense"].provenance["engine"] == "dense" and gap(runs["dense"]["train_loss"], runs["auto"]["train_loss"]) < 1e-12
    assert "query" in runs["auto"] and "query" not in runs["dense"], "not all forms have all quantities"
    with pytest.raises(ValueError, match="unknown engine 'lumped'.*Valid: auto, dense, queries"):
        experiment.run(engine="lumped")


# -- arrays of one's own ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [False, True])
def test_arrays_of_a_seed_are_the_system_of_the_seed(pooled):
    setting = SMALL.replace(pooled=pooled)
    samples, W = draw_samples(setting, 3), draw_weights(setting, 3)
    system = ak.from_arrays(samples.X.tolist(), samples.Y[0], W, kernel=ALL, trained="VQK", pooled=pooled)
    drawn = ak.dense(setting, 3)
    run = simulate(system, GradientDescent(0.1), steps=10)
    assert_same_bits(run, simulate(drawn, GradientDescent(0.1), steps=10))
    about = {"system": "attention_kernels", "engine": "dense", "setting": None, "seed": None}
    assert system.provenance == {**about, "axis_labels": {"kernel": setting.kernel.split("+")}, "trained": setting.trained}
    assert set(system.constants) == set(drawn.constants)
    assert all(np.array_equal(system.constants[name], value) for name, value in drawn.constants.items())


def test_the_scale_of_logits_is_a_choice():
    samples, W = draw_samples(SMALL, 3), draw_weights(SMALL, 3)
    system = ak.from_arrays(samples.X, samples.Y[0], W, kernel=ALL, c=1)
    _, cache = state(system)
    for i, kernel in enumerate(ALL.split("+")):
        want = ((looped(samples.X, W, kernel, 1.0) - samples.Y[0]) ** 2).sum() / 4.0
        assert cache.losses[i, 0] == pytest.approx(want, rel=1e-12)
    assert ak.from_arrays(samples.X, samples.Y[0], W).c == np.sqrt(2.0)


def arrays(**changes):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 2))
    W = {name: rng.standard_normal((4, 2, 5)) for name in ("W_Q", "W_K", "W_V")} | {"W_O": rng.standard_normal((2, 5, 2))}
    given = {"X": X, "Y": Y, **W} | changes
    return given.pop("X"), given.pop("Y"), {name: w for name, w in given.items() if w is not None}


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({"W_K": None}, {}, r"weights has \['W_O', 'W_Q', 'W_V'\]; it must have W_Q, W_K, W_V, W_O"),
        ({"b": np.ones(2)}, {}, "weights has .*'b'"),
        ({"X": np.ones((3, 4))}, {}, r"X has shape \(3, 4\).*must be \(N, n, D\)"), ({"W_O": np.ones((10, 2))}, {}, r"W_O \(10, 2\)"),
        ({"W_Q": np.ones((4, 2, 6))}, {}, r"W_Q has shape \(4, 2, 6\); with X .* it must be \(4, 2, 5\)"),
        ({"Y": np.ones((2, 3))}, {}, r"Y has shape \(2, 3\).*must be \(2, 3, 2\)"),
        ({}, {"pooled": True}, r"Y has shape.*must be \(2, 1, 2\)"),
        ({"X": np.full((2, 3, 4), np.nan)}, {}, "must be finite"), ({"W_V": np.full((4, 2, 5), np.inf)}, {}, "must be finite"),
        ({}, {"c": 0.0}, "c=0.0.*> 0"), ({}, {"c": float("nan")}, "c=nan"), ({}, {"kernel": "relu"}, "unknown kernel 'relu'"),
        ({}, {"trained": "W"}, "trained='W'"),
    ],
)
def test_arrays_that_do_not_belong_together(changes, options, says):
    X, Y, weights = arrays(**changes)
    with pytest.raises(ValueError, match=says):
        ak.from_arrays(X, Y, weights, **options)
    X, Y, weights = arrays()
    assert simulate(ak.from_arrays(X, Y, weights), GradientDescent(1e-3), steps=1).success
