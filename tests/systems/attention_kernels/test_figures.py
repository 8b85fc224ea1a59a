"""Figures of a run: what is drawn is what was recorded or follows on paper, runs of other kinds are refused, and no run breaks them."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dynsim import Adam, GradientDescent, GradientFlow, check, plotting, simulate
from dynsim.claims import Inconclusive
from dynsim.systems import attention_kernels, cooccurrence
from dynsim.systems.attention_kernels import Classification, Example, Regression, figures
from dynsim.systems.attention_kernels.claims import CLAIMS
from dynsim.systems.attention_kernels.classifier.landscape import coordinates, interior_minima, roughness
from dynsim.systems.attention_kernels.figures import FIGURES, MAIN_FIGURES
from dynsim.systems.attention_kernels.figures.classifier import levels
from dynsim.systems.attention_kernels.figures.drawing import KERNEL_COLOURS
from dynsim.systems.attention_kernels.figures.examples import AWAY, FATES, MOVING, STUCK, ZERO, fates
from dynsim.systems.attention_kernels.queries.constructions import CONSTRUCTIONS
from dynsim.systems.attention_kernels.queries.examples import landscape, sphere
from dynsim.systems.attention_kernels.reading import reading
from dynsim.systems.attention_kernels.regression.bounds import path_bound
from dynsim.systems.attention_kernels.regression.gram import loss_floor, predicted_loss
from tests.test_plotting import collisions

ALL = "softmax+gaussian+row_gaussian"
PANELS = [getattr(figures, name) for name in figures.__all__ if name.startswith("plot_")]
_JOINT = ("train_loss", "grad_norm", "value_grad_norm", "Lambda")
_QUERY = ("train_loss", "grad_norm", "query_norm", "curvature")
_CLASSES = ("train_loss", "full_loss", "test_loss", "train_accuracy", "test_accuracy", "surface")

SETTINGS = {
    "values": (Regression(N=2, n=2, D=3, d=2, H=1), 1.0, 40, ("train_loss",)),
    "joint": (Regression(trained="QKV", N=2, n=2, D=6, d=2, H=1, v_scale=0.0, o_scale=3.0), 0.01, 30, _JOINT),
    "E5": (Example(starts=9), 1.0, 60, _QUERY),
    "E3": (Example(task="E3", starts=7, low=-4.0, high=4.0, y=0.2), 1.0, 60, _QUERY),
    "E6": (Example(task="E6", starts=5, low=-1.5, high=1.5, y=0.8), 1.0, 60, _QUERY),
    "E1": (Example(task="E1", starts=3, low=-2.0, high=2.0, y=0.5), 1.0, 40, _QUERY),
    "E2": (Example(task="E2", starts=3, low=-2.0, high=2.0, y=1.8), 1.0, 40, _QUERY),
    "E4": (Example(task="E4", starts=3, low=-2.0, high=2.0, y=0.5), 1.0, 40, _QUERY),
    "pairs": (
        Regression(trained="Q", tokens="orthonormal", N=1, n=2, D=2, d=4, H=2, d_o=2, paired=True, v_scale=16.0), 0.01, 60, _QUERY[:3],
    ),
    "classes": (Classification(D=4, d=2, H=1, hidden=4, samples=12, test=8, batch=5, pretrain_batch=5), 0.1, 6, _CLASSES),
}
"""Setting, rate, steps and record of a small run of each kind."""
OF = {
    "curve": ("values",), "bounds": ("joint",), "basin": ("E5", "E3", "E6"), "examples": ("E1", "E2", "E4"), "pairs": ("pairs",),
    "landscape": ("classes",), "learning": ("classes",),
}
"""Kinds of runs that each figure is about."""
FIRST = [(name, kinds[0]) for name, kinds in OF.items()]
DRAWN = [pytest.param(name, kind, marks=() if (name, kind) in FIRST else pytest.mark.slow) for name, kinds in OF.items() for kind in kinds]


def made(kind, *, kernel="softmax+gaussian", rule=None, steps=None, record=None, **options):
    setting, lr, horizon, names = SETTINGS[kind]
    rule = GradientDescent(lr) if rule is None else rule
    if "until" not in options:
        options["steps"] = horizon if steps is None else steps
    system = attention_kernels.best(setting.replace(kernel=kernel), rule, seed=0)
    return simulate(system, rule, record=names if record is None else record, **options)


@pytest.fixture(scope="module")
def run():
    """Small runs by kind and kernels, made once."""
    kept = {}

    def get(kind, kernel="softmax+gaussian"):
        if (kind, kernel) not in kept:
            kept[kind, kernel] = made(kind, kernel=kernel)
        return kept[kind, kernel]

    return get


def count_axes(name, kernels):
    return {"basin": 2 * kernels, "landscape": kernels + 2, "bounds": 4}.get(name, 3)


def panels_of(figure):
    """Axes but the colour bar."""
    return [ax for ax in figure.axes if ax.get_title(loc="left") != "loss"]


def labelled(ax, start):
    """The line whose legend entry starts so."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return found


def dashed(ax):
    """Curves of the theory."""
    return [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == "black"]


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


# -- which figure of which run -----------------------------------------------------------------------------------------


def test_figures_and_their_main_ones_are_registered():
    assert set(OF) == set(FIGURES) and set(MAIN_FIGURES) <= set(FIGURES)
    assert attention_kernels.FIGURES is FIGURES and attention_kernels.MAIN_FIGURES is MAIN_FIGURES
    assert {name for name in vars(figures) if name.startswith("plot_")} == {plot.__name__ for plot in PANELS}
    assert all(inspect.signature(plot).parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY for plot in PANELS)


@pytest.mark.parametrize(("name", "kind"), DRAWN)
def test_axes_titles_and_labels(name, kind, run):
    for kernel in (ALL, "gaussian") if (name, kind) not in FIRST else ("gaussian",):
        figure = FIGURES[name](run(kind, kernel))
        assert isinstance(figure, Figure) and len(figure.axes) == count_axes(name, kernel.count("+") + 1)
        for ax in panels_of(figure):
            assert ax.axison and ax.get_title(loc="left") and ax.get_ylabel() and ax.get_xlabel()
            title = ax.get_title(loc="left")
            assert title.startswith("(") and all(line.count("$") % 2 == 0 for line in title.splitlines())


@pytest.mark.parametrize("name", FIGURES)
def test_runs_of_other_kinds_are_refused(name, run):
    for kind in set(SETTINGS) - set(OF[name]):
        with pytest.raises(Inconclusive, match=r"it is about .*; the run is of task"):
            FIGURES[name](run(kind))


def test_other_systems_arrays_and_missing_slices_are_refused(run):
    other = cooccurrence.experiment("tiny").replace(steps=None)
    foreign = dataclasses.replace(run("values"), provenance={"system": other.system})
    ours = dataclasses.replace(run("values"), provenance={"system": "attention_kernels", "setting": None})
    for draw in FIGURES.values():
        with pytest.raises(Inconclusive, match="not attention_kernels"):
            draw(foreign)
        with pytest.raises(Inconclusive, match="of arrays"):
            draw(ours)
    with pytest.raises(Inconclusive, match="surface not recorded"):
        figures.landscape(made("classes", record=("train_loss",), steps=2))


@pytest.mark.parametrize(("name", "kind"), [("basin", "E5"), ("bounds", "joint")])
def test_no_texts_meet(name, kind, run):
    assert collisions(FIGURES[name](run(kind))) == []


@pytest.mark.slow  # drawing logarithmic axes takes time
@pytest.mark.parametrize(("name", "kind"), DRAWN)
def test_no_texts_meet_in_any_figure(name, kind, run):
    for kernel in ("softmax", "softmax+gaussian", ALL):
        assert collisions(FIGURES[name](run(kind, kernel))) == []


@pytest.mark.parametrize(("name", "kind"), DRAWN)
def test_verdicts_are_those_of_the_report(name, kind, run):
    shown = [text.get_text() for ax in FIGURES[name](run(kind)).axes for text in ax.texts]
    matches = [match for text in shown if (match := re.fullmatch(r"(\w+): (holds|violated|not applicable|inconclusive)", text))]
    report = check(run(kind), [CLAIMS[match[1]] for match in matches])
    assert all(report[match[1]].verdict == match[2] for match in matches)
    assert matches or kind == "classes"


def test_a_kernel_has_one_colour_in_every_panel(run):
    assert len(set(KERNEL_COLOURS.values())) == 3 and not set(KERNEL_COLOURS.values()) & set(FATES.values())
    for plot, kind in (
        (figures.plot_value_loss, "values"), (figures.plot_gradient_bound, "joint"), (figures.plot_losses, "E1"),
        (figures.plot_rate, "pairs"), (figures.plot_accuracy, "classes"),
    ):
        ax = plot(run(kind, ALL))
        for start, kernel in (("softmax", "softmax"), ("Gaussian", "gaussian"), ("row-normalised", "row_gaussian")):
            of_it = [line for line in ax.lines if str(line.get_label()).startswith(start)]
            assert of_it and all(to_hex(line.get_color()) == KERNEL_COLOURS[kernel].lower() for line in of_it)


def test_figure_fills_the_figure_it_is_given(run):
    one, other = Figure(figsize=(26, 8)).subfigures(1, 2)
    assert figures.learning(run("classes"), fig=other) is other
    assert len(other.axes) == 3 and not one.axes


# -- values alone ------------------------------------------------------------------------------------------------------


def test_loss_prediction_and_floor(run):
    values = run("values")
    c, ax = values.constants, figures.plot_value_loss(values)
    predicted = predicted_loss(c["gram_eigenvalues"], c["residual_squares"], 2, values.at, 1.0)[..., 0]
    floor = loss_floor(c["gram_eigenvalues"], c["residual_squares"], c["rank"], 2)[:, 0]
    assert (c["rank"] == 3).all() and (floor > 0).all()
    for i, name in enumerate(("softmax", "Gaussian")):
        line = labelled(ax, name)
        np.testing.assert_array_equal(line.get_ydata(), values["train_loss"][:, i, 0])
        assert f"{floor[i]:.3g} stays" in line.get_label() and "= 3 for 4 targets" in line.get_label()
        np.testing.assert_array_equal(dashed(ax)[i].get_ydata(), predicted[:, i])
        assert any(np.allclose(level.get_ydata(), floor[i], rtol=1e-12) for level in ax.lines)
    off = figures.plot_value_deviation(values)
    expected = np.abs(values["train_loss"][:, 0, 0] / predicted[:, 0] - 1.0)
    np.testing.assert_array_equal(np.nan_to_num(labelled(off, "softmax").get_ydata()), expected)
    eigenvalues = figures.plot_eigenvalues(values)
    found = labelled(eigenvalues, "Gaussian").get_ydata()
    np.testing.assert_array_equal(found[:3], c["gram_eigenvalues"][1, 0, :3])
    assert np.isnan(found[3]) and labelled(eigenvalues, "generic rank").get_xdata()[0] == 3


def test_a_deviation_is_seen(run):
    values = run("values")
    wrong = dataclasses.replace(values, arrays={**values.arrays, "train_loss": 1.5 * values["train_loss"]})
    assert np.nanmin(labelled(figures.plot_value_deviation(wrong), "softmax").get_ydata()) > 0.49


def test_no_prediction_for_other_rules():
    adam = made("values", rule=Adam(1e-2), steps=3)
    ax = figures.plot_value_loss(adam)
    assert not dashed(ax) and "no prediction: the theory is about gradient descent" in words(ax.figure).replace("\n", " ")
    assert "the theory is about" in words(figures.plot_value_deviation(adam).figure)


def test_a_flow_has_its_own_prediction():
    flow = made("values", rule=GradientFlow(rtol=1e-9, atol=1e-12), until=2.0, at=np.linspace(0.0, 2.0, 5))
    ax = figures.plot_value_loss(flow)
    np.testing.assert_allclose(dashed(ax)[0].get_ydata(), labelled(ax, "softmax").get_ydata(), rtol=1e-6)  # the flow's own accuracy
    assert ax.get_xlabel() == "time $t$"


# -- all parameters ----------------------------------------------------------------------------------------------------


def test_bounds_are_those_on_paper(run):
    joint = run("joint")
    N, lr = 2, 0.01
    f, g, Lambda = (joint[name][:, 1, 0] for name in ("train_loss", "grad_norm", "Lambda"))
    loss, ratio, path, stays = (
        plot(joint) for plot in (figures.plot_loss_bound, figures.plot_gradient_bound, figures.plot_path, figures.plot_lambda)
    )
    np.testing.assert_array_equal(labelled(loss, "Gaussian").get_ydata(), f)
    blue = [line for line in loss.lines if line.get_color() == KERNEL_COLOURS["gaussian"] and line.get_linestyle() != "-"]
    np.testing.assert_allclose(blue[0].get_ydata(), [f[0] * np.prod(1.0 - lr * Lambda[:t] / N) for t in joint.at], rtol=1e-12)
    np.testing.assert_allclose(labelled(ratio, "Gaussian, all").get_ydata(), g**2 * N / (2.0 * Lambda * f), rtol=1e-13)
    np.testing.assert_allclose(labelled(path, "Gaussian").get_ydata(), [lr * g[:i].sum() for i in range(len(g))], rtol=1e-12, atol=1e-300)
    level = [line for line in path.lines if line.get_color() == KERNEL_COLOURS["gaussian"] and line.get_linestyle() != "-"]
    assert level[0].get_ydata()[0] == pytest.approx(path_bound(f[0], Lambda[0], N), rel=1e-13)
    np.testing.assert_array_equal(labelled(stays, "Gaussian").get_ydata(), Lambda / Lambda[0])


def test_the_bound_of_a_flow_is_that_of_the_sufficient_condition():
    flow = made("joint", rule=GradientFlow(rtol=1e-9, atol=1e-12), until=0.3, at=np.linspace(0.0, 0.3, 5))
    ax = figures.plot_loss_bound(flow)
    f, Lambda = (flow[name][0, 1, 0] for name in ("train_loss", "Lambda"))
    line = [line for line in ax.lines if line.get_color() == KERNEL_COLOURS["gaussian"] and line.get_linestyle() != "-"]
    np.testing.assert_allclose(line[0].get_ydata(), f * np.exp(-Lambda * flow.at / 4), rtol=1e-12)  # N = 2
    assert "(a), (b) and (d) need not hold" in words(figures.bounds(flow))


def test_no_bound_where_a_step_is_missing():
    seldom = made("joint", record={name: 10 if name == "Lambda" else 1 for name in _JOINT})
    ax = figures.plot_loss_bound(seldom)
    assert "no bound: Lambda was not recorded at every step" in words(ax.figure).replace("\n", " ")
    assert all(line.get_linestyle() == "-" for line in ax.lines if len(line.get_xdata()))


def test_the_sufficient_condition_is_told_in_words(run):
    joint = run("joint")
    assert "need not hold" in words(figures.bounds(joint))
    met = {**joint.constants, "sufficient_left": np.array([1.0]), "sufficient_right": np.array([2.0])}
    assert "met, 1 $\\leq$ 2" in words(figures.bounds(dataclasses.replace(joint, constants=met)))
    assert "sufficient condition" not in words(figures.bounds(run("joint", "softmax")))


# -- examples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OF["basin"])
def test_landscape_and_starts_of_a_basin(task, run):
    example = run(task)
    for kernel in ("softmax", "gaussian"):
        known, became = landscape(task, kernel), fates(reading(example), kernel)
        ax = figures.plot_basin(example, kernel=kernel)
        share = 100.0 * np.mean(example["train_loss"][-1, reading(example).index(kernel)] < 1e-12)
        assert f"{share:.1f} % of {len(became)} starts" in ax.get_title(loc="left")
        for names, points in ((("zero", "zeros"), known.zeros), (("local minimum", "local minima"), known.minima)):
            marks = [line for line in ax.lines if str(line.get_label()).split(" at ")[0].lstrip("0123456789 ") in names]
            np.testing.assert_array_equal(np.concatenate([[], *(line.get_xdata() for line in marks)]), points)
        strips = {to_hex(lines.get_color()[0]).upper(): len(lines.get_segments()) for lines in ax.collections}
        assert strips == {FATES[fate].upper(): int((became == fate).sum()) for fate in FATES if (became == fate).any()}
        descent = figures.plot_descent(example, kernel=kernel)
        assert len(descent.lines) == len(became)  # fewer starts than lines of an outcome


def test_fates_are_what_the_record_says(run):
    example = run("E5")
    end = {"train_loss": [0.0, 0.01, 0.02, 0.03], "grad_norm": [0.0, 1e-9, 1e-3, 1e-3], "query_norm": [1.0, 1.0, 9.0, 1.0]}
    arrays = dict(example.arrays)
    for name, values in end.items():
        arrays[name] = np.array(example[name])
        arrays[name][-1, 0, :4] = values
    found = fates(reading(dataclasses.replace(example, arrays=arrays)), "softmax")[:4]
    assert list(found) == [ZERO, STUCK, AWAY, MOVING]


def test_a_basin_without_what_fates_need_still_has_its_landscape():
    ax = figures.plot_basin(made("E5", record=("train_loss",), steps=2))
    assert "not recorded" in ax.get_title(loc="left") and labelled(ax, "zero") and not ax.collections


def test_outside_the_hull_the_excess_is_drawn_beside_the_asymptote(run):
    example, floor = run("E2"), 0.5 * (1.8 - 1.0) ** 2
    ax = figures.plot_excess(example)
    np.testing.assert_allclose(
        labelled(ax, "softmax").get_ydata(), np.median(example["train_loss"][:, 0] - floor, axis=1), rtol=1e-12,
    )
    (law,) = dashed(ax)
    np.testing.assert_allclose(law.get_ydata() * law.get_xdata(), 2.0, rtol=1e-13)  # 2 / (side^2 lr), the side and the rate are 1
    growth = dashed(figures.plot_query_norms(example))[0]
    slope = np.polyfit(np.log(growth.get_xdata()), growth.get_ydata(), 1)[0]
    assert slope == pytest.approx(np.sqrt(2.0), rel=1e-12)
    other = made("E2", rule=GradientDescent(0.25), steps=20)
    (law,) = dashed(figures.plot_excess(other))
    np.testing.assert_allclose(law.get_ydata() * law.get_xdata(), 8.0, rtol=1e-13)


def test_where_softmax_stands_still_and_the_gaussian_goes(run):
    for task in ("E1", "E4"):
        assert "softmax: " in labelled(figures.plot_excess(run(task)), "softmax").get_label()
        assert len(labelled(figures.plot_excess(run(task)), "softmax").get_xdata()) == 0
    (radius,) = dashed(figures.plot_query_norms(run("E4")))
    assert radius.get_ydata()[0] == sphere(1.0, 0.5, CONSTRUCTIONS["E4"].c)[0]


# -- queries alone -----------------------------------------------------------------------------------------------------


def test_floor_and_rate_of_pairs(run):
    pair = run("pairs")
    loss, rate = figures.plot_pair_loss(pair), figures.plot_rate(pair)
    np.testing.assert_array_equal(labelled(loss, "Gaussian").get_ydata(), pair["train_loss"][:, 1, 0])
    assert labelled(loss, "floor").get_ydata()[0] == float(pair.constants["pair_floor"]) > 0
    mu = pair.constants["jacobian_least"][1].min() ** 2
    (level,) = dashed(rate)
    assert level.get_ydata()[0] == pytest.approx(-2.0 * np.log(1.0 - 0.01 * mu), rel=1e-13)
    assert "rank 1 only" in labelled(rate, "softmax").get_label()
    found = labelled(rate, "Gaussian").get_ydata()
    expected = -np.diff(np.log(pair["train_loss"][:, 1, 0]))
    told = np.isfinite(found)
    np.testing.assert_allclose(found[told], expected[told], rtol=1e-12)
    assert told.sum() > 10
    norm = pair["query_norm"][:, 1, 0]
    np.testing.assert_array_equal(labelled(figures.plot_pair_motion(pair), "Gaussian").get_ydata(), norm / norm[0] - 1.0)
    (slope,) = dashed(loss)
    assert -np.polyfit(slope.get_xdata()[-5:], np.log(slope.get_ydata()[-5:]), 1)[0] == pytest.approx(level.get_ydata()[0], rel=1e-9)


# -- the classifier ----------------------------------------------------------------------------------------------------


def with_surface(kept, surfaces):
    arrays = {**kept.arrays, "surface": np.broadcast_to(np.array(surfaces)[:, None], kept["surface"].shape).copy()}
    return dataclasses.replace(kept, arrays=arrays)


def test_slices_have_their_minima_their_roughness_and_the_same_levels(run):
    at = coordinates()
    d1, d2 = np.meshgrid(at, at)
    bowl, waves = 0.3 + (d1 - at[14]) ** 2 + d2**2, 2.0 + np.cos(np.pi * d1) + 0.5 * d2**2
    drawn = with_surface(run("classes"), [bowl, waves])
    one, two = figures.plot_slice(drawn, kernel="softmax"), figures.plot_slice(drawn, kernel="gaussian")
    mark = labelled(one, "below all eight")
    assert (mark.get_xdata(), mark.get_ydata()) == ([at[14]], [at[10]])  # to the right: along the first direction
    assert len(labelled(two, "below all eight").get_xdata()) == interior_minima(waves) == 2
    for ax, loss in ((one, bowl), (two, waves)):
        assert f"roughness {roughness(loss):.3g}" in ax.get_title(loc="left")
    np.testing.assert_array_equal(one.collections[0].levels, two.collections[0].levels)
    found = levels(reading(drawn))
    assert found[0] == pytest.approx(min(bowl.min(), waves.min())) and found[-1] == pytest.approx(max(bowl.max(), waves.max()))


def test_learning_draws_what_was_recorded(run):
    classes = run("classes")
    training, test, accuracy = figures.learning(classes).axes
    for ax, start, name in (
        (training, "softmax, batches", "train_loss"), (training, "softmax, all", "full_loss"), (test, "softmax", "test_loss"),
        (accuracy, "softmax, test", "test_accuracy"), (accuracy, "softmax, training", "train_accuracy"),
    ):
        np.testing.assert_array_equal(labelled(ax, start).get_ydata(), classes[name][:, 0, 0])
    bare = figures.learning(made("classes", record=("train_loss",), steps=2))
    assert "test_loss not recorded" in words(bare) and bare.axes[0].lines


# -- no run breaks them ------------------------------------------------------------------------------------------------

CASES = {
    "no step": {"steps": 0},
    "one step": {"steps": 1},
    "loss only": {"steps": 3, "record": ("train_loss",)},
    "momentum": {"steps": 3, "rule": GradientDescent(0.01, momentum=0.9)},
    "diverging": {"rule": GradientDescent(1e6), "steps": 20},
}


@pytest.mark.parametrize("case", [case if case == "loss only" else pytest.param(case, marks=pytest.mark.slow) for case in CASES])
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")  # of the run that diverges
def test_every_figure_of_every_run(case):
    for name, kinds in OF.items():
        kept = made(kinds[0], **CASES[case])
        if name == "landscape" and ("surface" not in kept or not np.isfinite(kept["surface"][-1]).all()):
            continue
        figure = FIGURES[name](kept)
        assert all(ax.lines or ax.texts or ax.collections for ax in figure.axes)


@pytest.mark.slow  # placing ticks where there is hardly any data is what can go wrong in drawing, and takes time
@pytest.mark.parametrize("case", [*CASES, "one start"])
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_every_figure_of_every_run_can_be_drawn(case):
    for name, kind in [(name, kind) for name, kinds in OF.items() for kind in kinds]:
        setting, lr, steps, record = SETTINGS[kind]
        if case == "one start" and not isinstance(setting, Example):
            continue
        if case == "one start":
            rule = GradientDescent(lr)
            kept = simulate(attention_kernels.best(setting.replace(starts=1), rule, seed=0), rule, steps=steps, record=record)
        else:
            kept = made(kind, **CASES[case])
        try:
            figure = FIGURES[name](kept)
        except Inconclusive as reason:
            assert name == "landscape" and re.search("surface|slices", str(reason))
        else:
            figure.draw(figure.canvas.get_renderer())


@pytest.mark.slow
def test_figures_make_small_files(run, tmp_path):
    for path in (tmp_path / "basin.png", tmp_path / "basin.svg"):
        plotting.save(figures.basin(run("E5")), path)
        assert 10_000 < path.stat().st_size < 400_000
