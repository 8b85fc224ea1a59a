"""Figures of the studies: what is drawn is what the tables have, verdicts are told, and no table breaks them."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import numpy as np
import pytest

from dynsim import Table, check, plotting
from dynsim.claims import Inconclusive
from dynsim.scaling import mean_interval
from dynsim.systems import attention_kernels
from dynsim.systems.attention_kernels import STUDIES, SWEEP_CLAIMS
from dynsim.systems.attention_kernels.figures import STUDY_FIGURES, study_panels
from dynsim.systems.attention_kernels.figures.drawing import KERNEL_COLOURS
from dynsim.systems.attention_kernels.regression.bounds import GAUSSIAN_SLOPE
from tests.test_plotting import collisions

BOTH = ("softmax", "gaussian")
SOFTMAX, GAUSSIAN = (KERNEL_COLOURS[name] for name in BOTH)


def table(study, entry, points, *, seeds=4, **measured):
    """A sweep over a list of points; a measured column is a function of the columns."""
    rows = [{**point, "seed": seed} for point in points for seed in range(seeds)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    numbers = {name: np.asarray(make(columns), dtype=float) for name, make in measured.items()}
    about = {"experiment": STUDIES[study].plans[entry].experiment.to_dict(), "design": {"kind": "list", "points": points}}
    rest = {"steps": np.full(len(rows), 300.0), "error": np.full(len(rows), "")}
    return Table({**rest, **columns, **numbers}, tuple(points[0]), about)


def grid(**axes):
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def gaussian(c):
    return c["kernel"] == "gaussian"


def wiggle(c, size=0.05):
    """A factor or summand by seed that pairs of kernels share, and a smaller one that they do not."""
    return size * (c["seed"] - 1.5) + 0.1 * size * (-1.0) ** c["seed"] * gaussian(c)


def _condition(c):
    s = c["qk_scale"].astype(float)
    return np.where((s > 1.0) & ~c["tied"], 1e-30, 1e-3 * np.minimum(s, 1.0) ** 4) * np.exp(wiggle(c)) * (1 + gaussian(c))


def _rule(c):
    return np.minimum(c["H"] * c["D"], 20)


SIZES = [{"H": 16, "n": 2, "d_o": 4}, {"H": 1, "n": 2, "d_o": 4}, {"H": 16, "n": 4, "d_o": 1}, {"H": 16, "n": 4, "d_o": 4}]
AT_SIZES = [{**size, "kernel": kernel} for size in SIZES for kernel in BOTH]


def _random(c):
    """Three sizes at which a kernel is ahead by a factor of 3, one at which both fit."""
    behind = np.where((c["n"] == 4) & (c["d_o"] == 4), gaussian(c), ~gaussian(c))
    return np.where(c["d_o"] == 1, 1e-12, np.where(behind, 0.3, 0.1)) * np.exp(wiggle(c))


def _accuracy(c):
    """Softmax learns best at 0.3 and the Gaussian at 0.1, ahead early and level later."""
    off = np.abs(np.log(c["lr"] / np.where(gaussian(c), 0.1, 0.3)))
    return np.where((c["steps"] == 300) & ~gaussian(c), 0.7, 0.82) - 0.1 * off + 0.1 * wiggle(c)


@pytest.fixture(scope="module")
def evidence():
    path = {"full_loss": lambda c: 0.5 + c["lr"], "test_accuracy": lambda c: 0.75 - 10 * c["lr"] + 0.1 * wiggle(c)}
    return {
        "value": {
            "rank": table("value", "rank", grid(H=[1, 2], D=[3, 10, 20], kernel=BOTH), rank=_rule, rank_rule=_rule,
                          floor=lambda c: (c["H"] * c["D"] < 20) * (1.0 + wiggle(c))),
            "scale": table("value", "scale", grid(qk_scale=[0.0, 0.01, 0.1, 1.0, 10.0], tied=[False, True], kernel=BOTH),
                           condition=_condition),
            "slopes": table("value", "slopes", grid(qk_scale=[0.3, 1.0, 3.0], kernel=BOTH),
                            slope=lambda c: 0.1 * c["qk_scale"] ** np.where(gaussian(c), -1.0, 1.0) * np.exp(wiggle(c))),
            "threshold": table("value", "threshold", grid(D=[5, 10, 24], kernel=BOTH), loss_start=lambda c: 3.0 + 0 * c["D"],
                               train_loss=lambda c: np.where(c["seed"] == 0, 0.0, 10.0 ** -(20.0 + c["seed"]))),
        },
        "queries": {
            "jacobian": table("queries", "jacobian", [{"n": n, "kernel": kernel} for n in (1, 2, 4) for kernel in BOTH],
                              jacobian_rank=lambda c: c["n"] - ~gaussian(c)),
            "floor": table("queries", "floor", grid(v_scale=[4.0, 16.0], kernel=BOTH), pair_floor=lambda c: 1.0 + 0.1 * c["seed"],
                           train_loss=lambda c: (1.0 + 0.1 * c["seed"]) * np.where(gaussian(c), 1e-9 ** c["seed"] / 2, 1.0)),
            "random": table("queries", "random", AT_SIZES, train_loss=_random, loss_start=lambda c: 5.0 + 0 * c["H"]),
            "teacher": table("queries", "teacher", AT_SIZES, loss_start=lambda c: 1.0 + 0 * c["H"],
                             train_loss=lambda c: np.where(gaussian(c) & (c["H"] == 1) & (c["seed"] == 0), 0.5, 1e-5)),
        },
        "text": {"text": table("text", "text", grid(kernel=BOTH, lr=[0.05, 0.1, 0.3], steps=[300, 900]), test_accuracy=_accuracy,
                               full_loss=lambda c: 1.0 - _accuracy(c))},
        "path": {"path": table("path", "path", grid(kernel=BOTH, lr=[2e-3, 5e-3]), **path),
                 "one_layer": table("path", "one_layer", grid(kernel=BOTH, steps=[900, 3000]),
                                    test_accuracy=lambda c: 0.52 + 2e-5 * c["steps"] + 0.1 * wiggle(c))},
        "landscape": {"landscape": table("landscape", "landscape", grid(kernel=BOTH),
                                         roughness=lambda c: 0.02 / (1 + gaussian(c)) * np.exp(wiggle(c)),
                                         train_loss=lambda c: 0.4 - 0.1 * gaussian(c) + wiggle(c),
                                         minima=lambda c: 2.0 + c["seed"] - gaussian(c))},
    }


def figure_of(evidence, study):
    return STUDY_FIGURES[study][study](evidence)


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def dots(ax, colour, marker="."):
    return [line for line in ax.lines if line.get_marker() == marker and line.get_color() == colour and len(line.get_xdata())]


def heights(ax, colour, marker="."):
    return np.sort(np.concatenate([[], *(line.get_ydata() for line in dots(ax, colour, marker))]))


def solid(ax, colour):
    """The one line of a kernel's means."""
    (line,) = [line for line in ax.lines if line.get_color() == colour and line.get_linestyle() == "-"]
    return line


def joined(ax):
    """What each seed has under softmax and under the Gaussian, column by column."""
    return [line.get_ydata() for line in ax.lines if line.get_color() == plotting.COLOURS["bound"]]


def ring(ax, colour):
    (line,) = [line for line in ax.lines if line.get_marker() == "o" and line.get_markeredgecolor() == colour]
    return float(line.get_xdata()[0]), float(line.get_ydata()[0])


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == "black"]


def quiet(monkeypatch):
    """No verdicts: the drawing alone; what the claims say about such tables is tested with the claims."""
    monkeypatch.setattr(study_panels, "verdicts", lambda *_: ())


# -- the pages ---------------------------------------------------------------------------------------------------------


def test_every_study_has_a_figure():
    assert set(STUDY_FIGURES) == set(STUDIES) and attention_kernels.STUDY_FIGURES is STUDY_FIGURES
    for figures in STUDY_FIGURES.values():
        (draw,) = figures.values()
        assert inspect.signature(draw).parameters["fig"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("study", STUDIES)
def test_every_claim_about_the_study_is_told_with_its_verdict(study, evidence):
    figure = figure_of(evidence[study], study)
    assert not collisions(figure)
    told, own = words(figure), [claim for claim in SWEEP_CLAIMS.values() if set(claim.needs) <= set(evidence[study])]
    assert own
    for claim in own:
        assert f"{claim.id}: {check(evidence[study], [claim])[claim.id].verdict}" in told
    assert told.count(": holds") > 0 and ": violated" not in told
    for ax in figure.axes:
        assert ax.get_title(loc="left").startswith("(") and ax.get_ylabel() and (ax.get_xlabel() or len(ax.get_xticklabels()) == 2)


def test_a_violated_claim_is_told_so(evidence):
    claim = SWEEP_CLAIMS["landscape_gaussian_lower"]
    assert f"{claim.id}: violated" in words(figure_of(claim.control(evidence["landscape"]), "landscape"))


@pytest.mark.parametrize("study", STUDIES)
def test_missing_entries_are_said_where_they_would_be_drawn(study, evidence):
    for entry in list(evidence[study])[:1] if len(evidence[study]) > 1 else ():
        figure = figure_of({name: t for name, t in evidence[study].items() if name != entry}, study)
        assert f"the evidence has no '{entry}'" in words(figure).replace("\n", " ") and any(ax.lines for ax in figure.axes)
    with pytest.raises(Inconclusive, match="no runs of"):
        figure_of({}, study)
    with pytest.raises(Inconclusive, match="no runs of"):
        figure_of({name: t.rows(t["seed"] < 0) for name, t in evidence[study].items()}, study)


def _without_measured(t):
    return dataclasses.replace(t, columns={name: a for name, a in t.columns.items() if name not in t.measured})


def _a_third_failed(t):
    failed = np.arange(t.cells) % 3 == 0
    return dataclasses.replace(t, columns={name: np.where(failed, np.nan, a) if name in t.measured else a for name, a in t.columns.items()})


def _all_failed(t):
    return dataclasses.replace(t, columns={name: np.full(t.cells, np.nan) if name in t.measured else a for name, a in t.columns.items()})


CUTS = {
    "softmax alone": lambda t: t.rows(t["kernel"] == "softmax"), "gaussian alone": lambda t: t.rows(t["kernel"] == "gaussian"),
    "one seed": lambda t: t.rows(t["seed"] == 0), "one run": lambda t: t.rows(np.arange(t.cells) == 0),
    "stopped": lambda t: t.rows(np.arange(t.cells) < 0.6 * t.cells),
    "other seeds": lambda t: t.rows((t["seed"] < 2) == (t["kernel"] == "softmax")),
    "no columns": _without_measured, "a third failed": _a_third_failed, "all failed": _all_failed,
}


@pytest.mark.parametrize("cut", ["softmax alone", "no columns", "a third failed"])
def test_no_table_breaks_a_figure(cut, evidence, monkeypatch):
    quiet(monkeypatch)
    for study, tables in evidence.items():
        figure = figure_of({entry: CUTS[cut](t) for entry, t in tables.items()}, study)
        assert all(ax.lines or ax.texts for ax in figure.axes)
        if cut == "no columns":
            assert words(figure).replace("\n", " ").count("has no column") == len(figure.axes)
        if cut == "softmax alone":
            assert not any(dots(ax, GAUSSIAN) for ax in figure.axes)


@pytest.mark.slow  # placing ticks where there is hardly any data is what can go wrong in drawing, and takes time
@pytest.mark.parametrize("cut", CUTS)
def test_figures_of_cut_tables_can_be_drawn(cut, evidence, monkeypatch):
    quiet(monkeypatch)
    for study, tables in evidence.items():
        assert not collisions(figure_of({entry: CUTS[cut](t) for entry, t in tables.items()}, study))


def test_a_third_kernel_has_its_colour(evidence, monkeypatch):
    quiet(monkeypatch)
    t = evidence["value"]["slopes"]
    three = dataclasses.replace(t, columns={**t.columns, "kernel": np.where(t["seed"] == 0, "row_gaussian", t["kernel"])})
    ax = study_panels.plot_slopes({"slopes": three})
    assert {line.get_color() for line in ax.lines if line.get_marker() == "."} == set(KERNEL_COLOURS.values())


# -- panels of values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_condition_with_the_fourth_power_on_it(tied, evidence):
    t = evidence["value"]["scale"]
    ax = study_panels.plot_condition(evidence["value"], tied=tied)
    for kernel, colour, law in zip(BOTH, (SOFTMAX, GAUSSIAN), dashed(ax), strict=True):
        rows = t.where(kernel=kernel, tied=tied)
        rows = rows.rows(rows["qk_scale"] > 0)
        line = solid(ax, colour)
        expected = [np.exp(np.mean(np.log(rows.where(qk_scale=s)["condition"]))) for s in (0.01, 0.1, 1.0, 10.0)]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-13)
        np.testing.assert_allclose(law.get_ydata(), expected[0] * (law.get_xdata() / 0.01) ** 4, rtol=1e-13)
        seen = heights(ax, colour)
        np.testing.assert_array_equal(seen[np.isfinite(seen)], np.sort(rows["condition"][rows["condition"] > 1e-20]))
        assert len(heights(ax, colour, "v")) == (0 if tied else 4)  # of the largest scale, 1e-30


def test_slopes_and_the_bound_of_the_gaussian(evidence):
    t = evidence["value"]["slopes"]
    ax = study_panels.plot_slopes(evidence["value"])
    for kernel, colour in zip(BOTH, (SOFTMAX, GAUSSIAN), strict=True):
        rows = t.where(kernel=kernel)
        means = [rows.where(qk_scale=s)["slope"].mean() for s in (0.3, 1.0, 3.0)]
        np.testing.assert_allclose(solid(ax, colour).get_ydata(), means, rtol=1e-13)
        np.testing.assert_array_equal(heights(ax, colour), np.sort(rows["slope"]))
    (bound,) = [line for line in ax.lines if str(line.get_label()).startswith("bound")]
    assert bound.get_ydata()[0] == GAUSSIAN_SLOPE * t.experiment.setting.d**-0.25


def test_rank_and_floor_and_threshold(evidence):
    own = evidence["value"]
    rank, floor, threshold = (getattr(study_panels, f"plot_{name}")(own) for name in ("rank", "floor", "threshold"))
    for kernel, colour in zip(BOTH, (SOFTMAX, GAUSSIAN), strict=True):
        np.testing.assert_array_equal(heights(rank, colour), np.sort(own["rank"].where(kernel=kernel)["rank"]))
        np.testing.assert_array_equal(heights(floor, colour), np.sort(own["rank"].where(kernel=kernel)["floor"]))
        np.testing.assert_allclose(solid(floor, colour).get_xdata(), [0.15, 0.3, 0.5, 1.0, 2.0], rtol=1e-13)  # H D / 20 targets
        seen = heights(threshold, colour)
        np.testing.assert_allclose(seen[np.isfinite(seen)], np.repeat([1e-23, 1e-22, 1e-21], 3) / 3.0, rtol=1e-12)
        assert len(heights(threshold, colour, "v")) == 3  # losses that are 0
    np.testing.assert_allclose(threshold.get_xticks(), [0.5, 1.0, 2.4], rtol=1e-13)  # H = 2


# -- panels of queries -------------------------------------------------------------------------------------------------


def test_ranks_of_the_jacobian_beside_what_is_predicted(evidence):
    ax = study_panels.plot_jacobian_ranks(evidence["queries"])
    full, less = dashed(ax)
    np.testing.assert_array_equal(full.get_ydata(), [1, 2, 4])
    np.testing.assert_array_equal(less.get_ydata(), [0, 1, 3])
    np.testing.assert_array_equal(heights(ax, SOFTMAX), np.repeat([0, 1, 3], 4))
    np.testing.assert_array_equal(heights(ax, GAUSSIAN), np.repeat([1, 2, 4], 4))


def test_pairs_over_their_floor(evidence):
    ax = study_panels.plot_pair_floors(evidence["queries"])
    np.testing.assert_array_equal(heights(ax, SOFTMAX), np.ones(8))
    np.testing.assert_allclose(solid(ax, GAUSSIAN).get_ydata(), 0.25 * (1e-9 + 1e-18), rtol=1e-12)  # half of 1, 1e-9, 1e-18, 1e-27: medians
    assert len(heights(ax, GAUSSIAN, "v")) == 2


def test_random_targets_are_paired_by_seed(evidence):
    ax = study_panels.plot_random(evidence["queries"])
    t = evidence["queries"]["random"]
    texts = [text.get_text() for text in ax.texts if "\n" in text.get_text() or text.get_text() == "both fit"]
    assert texts[2] == "both fit" and [tick.get_text() for tick in ax.get_xticklabels()] == ["16, 2, 4", "1, 2, 4", "16, 4, 1", "16, 4, 4"]
    for at, size in enumerate(SIZES):
        rows = t.rows(np.all([t[name] == value for name, value in size.items()], axis=0))
        a, b = (rows.where(kernel=kernel)["train_loss"] for kernel in BOTH)
        np.testing.assert_allclose(joined(ax)[4 * at : 4 * at + 4], np.maximum(np.stack([a, b], axis=1), 1e-6), rtol=1e-13)
        low, high = mean_interval(np.log10(b / a))
        assert at == 2 or texts[at] == f"{np.mean(np.log10(b / a)):+.2f}\n[{low:.2f}, {high:.2f}]"


def test_pairs_are_of_the_same_seed_whatever_the_order_of_rows(evidence):
    t = evidence["landscape"]["landscape"]
    mixed = t.rows(np.random.default_rng(0).permutation(t.cells)[1:])
    drawn = joined(study_panels.plot_paired_seeds({"landscape": mixed}, "train_loss"))
    value = {(str(kernel), int(seed)): loss for kernel, seed, loss in zip(t["kernel"], t["seed"], t["train_loss"], strict=True)}
    known = [[value["softmax", seed], value["gaussian", seed]] for seed in range(4)]
    assert len(drawn) == 3 and all(list(pair) in known for pair in drawn)


def test_the_same_number_for_every_seed_is_told_so(evidence):
    t = evidence["landscape"]["landscape"]
    ax = study_panels.plot_paired_seeds({"landscape": dataclasses.replace(t, columns={**t.columns, "minima": np.ones(t.cells)})}, "minima")
    assert "no difference" in [text.get_text() for text in ax.texts]
    assert all(tick == round(tick) for tick in ax.get_yticks())


def test_roughness_is_compared_by_its_logarithm(evidence):
    t = evidence["landscape"]["landscape"]
    ratio = np.log10(t.where(kernel="gaussian")["roughness"] / t.where(kernel="softmax")["roughness"])
    low, high = mean_interval(ratio)
    rough = figure_of(evidence["landscape"], "landscape").axes[2]
    assert f"{ratio.mean():+.2f}\n[{low:.2f}, {high:.2f}]" in [text.get_text() for text in rough.texts]
    assert rough.get_yscale() == "log" and rough.get_ylim()[0] < t["roughness"].min()


def test_shares_of_a_teacher(evidence):
    ax = study_panels.plot_teacher(evidence["queries"])
    assert [bar.get_height() for bar in ax.patches] == [100.0, 100.0, 100.0, 100.0, 100.0, 75.0, 100.0, 100.0]
    assert "Gaussian: 94% of all 16 runs" in [text.get_text() for text in ax.get_legend().get_texts()]


# -- panels of the classifier ------------------------------------------------------------------------------------------


def test_accuracies_with_their_mean_and_the_tuned_rate(evidence):
    t = evidence["text"]["text"]
    for steps in (300, 900):
        ax = study_panels.plot_accuracies(evidence["text"], "text", steps=steps)
        for kernel, colour, best in (("softmax", SOFTMAX, 0.3), ("gaussian", GAUSSIAN, 0.1)):
            rows = t.where(kernel=kernel, steps=steps)
            means = [rows.where(lr=lr)["test_accuracy"].mean() for lr in (0.05, 0.1, 0.3)]
            np.testing.assert_allclose(solid(ax, colour).get_ydata(), means, rtol=1e-13)
            np.testing.assert_array_equal(heights(ax, colour), np.sort(rows["test_accuracy"]))
            assert ring(ax, colour) == pytest.approx((best, rows.where(lr=best)["test_accuracy"].mean()), rel=1e-13)


def test_failed_runs_are_counted_and_their_rate_is_not_the_best(evidence):
    t = evidence["text"]["text"]
    failed = (t["kernel"] == "softmax") & (t["lr"] == 0.3) & (t["seed"] == 1)
    broken = dataclasses.replace(t, columns={**t.columns, **{name: np.where(failed, np.nan, t[name]) for name in t.measured}})
    ax = study_panels.plot_accuracies({"text": broken}, "text", steps=300)
    left = t.rows(~failed).where(kernel="softmax", steps=300, lr=0.3)["test_accuracy"]
    assert len(left) == 3 and solid(ax, SOFTMAX).get_ydata()[-1] == pytest.approx(left.mean(), rel=1e-13)
    assert len(heights(ax, SOFTMAX, "x")) == 1 and "softmax: 1 of 12 failed" in words(ax.figure)
    assert ring(ax, SOFTMAX)[0] == 0.1


def test_sentences_at_the_same_rate_and_at_the_best_ones(evidence):
    ax = study_panels.plot_paired_accuracies(evidence["text"])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["300, both 0.1", "300, 0.3 | 0.1", "900, 0.3 | 0.1"]
    t = evidence["text"]["text"].where(steps=300)
    for first, rate in ((0, 0.1), (4, 0.3)):
        expected = [t.where(kernel=kernel, lr=lr)["test_accuracy"] for kernel, lr in (("softmax", rate), ("gaussian", 0.1))]
        np.testing.assert_array_equal(joined(ax)[first : first + 4], np.stack(expected, axis=1))


def test_one_layer_against_the_budget(evidence):
    _, one = figure_of(evidence["path"], "path").axes
    t = evidence["path"]["one_layer"].where(kernel="gaussian")
    means = [t.where(steps=steps)["test_accuracy"].mean() for steps in (900, 3000)]
    np.testing.assert_allclose(solid(one, GAUSSIAN).get_ydata(), means, rtol=1e-13)
    assert one.get_xlabel() == "steps" and "lr = 0.002" in one.get_title(loc="left")
