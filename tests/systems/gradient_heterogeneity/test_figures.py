"""Figures of a run: what is drawn is what was recorded or follows on paper, runs of other kinds are refused, and no run breaks them."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from dynsim import Adam, ClipNorm, GradientDescent, GradientFlow, LinearDecay, RMSprop, SignGD, check, plotting, simulate
from dynsim.claims import AnotherKind, Inconclusive
from dynsim.systems import cooccurrence, gradient_heterogeneity
from dynsim.systems.gradient_heterogeneity import Head, Logistic, Quadratic, Transformer, figures
from dynsim.systems.gradient_heterogeneity.claims import CLAIMS
from dynsim.systems.gradient_heterogeneity.figures import (
    FIGURES,
    MAIN_FIGURES,
    block_panels,
    drawing,
    drift_panels,
    learning_panels,
    path_panels,
)
from dynsim.systems.gradient_heterogeneity.head.theory import drift, drift_norm, momentum_drift
from dynsim.systems.gradient_heterogeneity.inequality import gini
from tests.test_plotting import collisions

_PATH = ("train_loss", "grad_norm", "grad_norm_1", "phi", "Lambda_G", "Lambda_P")
_HEAD = ("train_loss", "batch_loss", "accuracy", "V_norm", "V_centred_norm", "b_norm", "gauge_share", "mean_bias")
_LEARNING = ("train_loss", "fixed_loss", "train_accuracy", "grad_norm", "block_grad_norms")
_TINY = Transformer(layers=1, d=8, heads=2, width=8, samples=16, batch=4)

KINDS = {
    "quadratic": (Quadratic(blocks=4, size=3), GradientDescent(1000.0**-0.5), 20, _PATH),
    "logistic": (Logistic(blocks=2, size=2, samples=50), SignGD(0.02), 8, _PATH),
    "transformer": (_TINY, Adam(1e-2), 6, _LEARNING),
    "head": (Head(C=40, d=5, samples=4, batch=8), SignGD(1e-3), 12, _HEAD),
}
"""Setting, rule, steps and record of a small run of each kind."""
OF = {"path": ("quadratic", "logistic"), "blocks": ("transformer",), "learning": ("transformer", "head"), "drift": ("head",)}
"""Kinds of runs that each figure is about."""
PANELS = [getattr(figures, name) for name in figures.__all__ if name.startswith("plot_")]


def made(kind, rule=None, *, setting=None, steps=None, record=None, **options):
    own, default, horizon, names = KINDS[kind]
    system = gradient_heterogeneity.dense(own if setting is None else setting, 0)
    if "until" not in options:
        options["steps"] = horizon if steps is None else steps
    return simulate(system, default if rule is None else rule, record=names if record is None else record, **options)


@pytest.fixture(scope="module")
def run():
    """Small runs by kind, made once."""
    return {kind: made(kind) for kind in KINDS}


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
    assert gradient_heterogeneity.FIGURES is FIGURES and gradient_heterogeneity.MAIN_FIGURES is MAIN_FIGURES
    assert {name for name in vars(figures) if name.startswith("plot_")} == {plot.__name__ for plot in PANELS}
    assert all(inspect.signature(plot).parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY for plot in PANELS)


DRAWN = [pytest.param(name, kind, marks=pytest.mark.slow if i else ()) for name, kinds in OF.items() for i, kind in enumerate(kinds)]


@pytest.mark.parametrize(("name", "kind"), DRAWN)
def test_axes_titles_and_labels(name, kind, run):
    figure = FIGURES[name](run[kind])
    assert not collisions(figure)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left").startswith("(")]
    assert len(panels) == (2 if (name, kind) == ("learning", "head") else 3)
    assert all(ax.get_xlabel() and (ax.lines or ax.collections) for ax in panels)
    assert f"task {run[kind].provenance['setting']['task']}" in words(figure) and "seed 0" in words(figure)


@pytest.mark.parametrize("name", OF)
def test_runs_of_other_kinds_are_refused(name, run):
    for kind in set(KINDS) - set(OF[name]):
        with pytest.raises(AnotherKind, match="it is about"):
            FIGURES[name](run[kind])


def test_runs_of_other_systems_of_arrays_and_of_replicates_are_refused(run):
    other = simulate(cooccurrence.dense(cooccurrence.preset("tiny"), seed=0), GradientDescent(0.1), steps=0)
    arrays = dataclasses.replace(run["quadratic"], provenance={"system": "gradient_heterogeneity"})
    several = simulate(gradient_heterogeneity.dense(Quadratic(blocks=2), [0, 1]), GradientDescent(0.01), steps=2)
    for wrong, match in ((other, "of system 'cooccurrence'"), (arrays, "of arrays"), (several, "replicate")):
        with pytest.raises(Inconclusive, match=match):
            FIGURES["path"](wrong)
    assert FIGURES["path"](several.replicate(1)).axes


def test_every_claim_is_asked_on_some_panel(run, monkeypatch):
    asked = set()
    for module in (block_panels, drift_panels, learning_panels, path_panels):
        monkeypatch.setattr(module, "verdicts_on", lambda run, *ids: asked.update(ids) or ())
    for name, kinds in OF.items():
        FIGURES[name](run[kinds[0]])
    assert asked == set(CLAIMS)


def test_verdicts_are_told_but_for_claims_about_other_runs(run):
    kept = run["quadratic"]
    told = words(FIGURES["path"](kept))
    assert f"gradient_descends: {check(kept, [CLAIMS['gradient_descends']])['gradient_descends'].verdict}" in told
    assert "sign_descends" not in told
    assert drawing.verdicts_on(kept, "no_such_claim") == ()


def test_a_figure_fills_the_figure_it_is_given(run):
    one, other = Figure(figsize=(26, 8)).subfigures(1, 2)
    assert FIGURES["path"](run["quadratic"], fig=other) is other
    assert len(other.axes) == 3 and not one.axes


# -- one look for every rule -------------------------------------------------------------------------------------------


def test_every_rule_has_its_name_and_momentum_keeps_the_hue():
    titles = {
        "gd": "GD", "gd:0.9": "GD + momentum 0.9", "signgd": "SignGD", "signgd:0.9": "Signum 0.9", "signgd:momentum=0.99": "Signum 0.99",
        "adam": "Adam", "adam:0.5": "Adam", "rmsprop": "RMSprop", "flow": "gradient flow",
    }
    assert {text: drawing.look_of_text(text).title for text in titles} == titles
    for kind in ("gd", "signgd"):
        plain, momentum = drawing.look(kind), drawing.look(kind, 0.9)
        assert plain.colour == momentum.colour and plain.stroke["linestyle"] == "-" != momentum.stroke["linestyle"]
        assert momentum.dot["markerfacecolor"] == "white" and plain.dot["markerfacecolor"] == plain.colour
    colours = [*drawing.HUES.values(), *(colour for _, colour in drawing.PLACEMENTS.values())]
    assert len(set(colours)) == len(colours) and set(colours) <= set(plotting.COLOURS.values())


@pytest.mark.parametrize(("rule", "hue", "title"), [
    (GradientDescent(0.01, momentum=0.9), "gd", "GD + momentum 0.9 at rate 0.01"),
    (ClipNorm(RMSprop(LinearDecay(1e-3, 3))), "rmsprop", "RMSprop at a rate falling from 0.001"),
])
def test_a_run_has_the_hue_of_its_rule(rule, hue, title):
    kept = made("quadratic", rule, steps=3)
    assert to_hex(labelled(figures.plot_path_loss(kept), "loss").get_color()) == drawing.HUES[hue].lower()
    assert title in words(FIGURES["path"](kept))


# -- paths -------------------------------------------------------------------------------------------------------------


def test_the_path_draws_what_was_recorded(run):
    kept = run["quadratic"]
    G, P, phi = kept["Lambda_G"], kept["Lambda_P"], kept["phi"]
    loss, curvature, ratio = (plot(kept) for plot in (figures.plot_path_loss, figures.plot_complexities, figures.plot_ratio))
    np.testing.assert_array_equal(labelled(loss, "loss").get_ydata(), kept["train_loss"])
    np.testing.assert_array_equal(labelled(loss, "gradient").get_ydata(), kept["grad_norm"])
    for line, expected in (
        (labelled(curvature, r"$\Lambda_G$"), G), (labelled(curvature, r"$\Lambda_P$"), P), (labelled(ratio, r"$\Lambda_G"), G / P),
        (labelled(ratio, "density"), phi), (labelled(ratio, "$R"), phi * G / P),
    ):
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert labelled(curvature, "largest").get_ydata()[0] == kept.constants["h"].max()
    assert not [line for line in figures.plot_complexities(run["logistic"]).lines if str(line.get_label()).startswith("largest")]


def test_quantities_at_different_steps_are_divided_where_both_are():
    seldom = made("quadratic", record={"Lambda_G": 4, "Lambda_P": 6, "train_loss": 1})
    line = labelled(figures.plot_ratio(seldom), r"$\Lambda_G")
    np.testing.assert_array_equal(line.get_xdata(), [0, 12, 20])  # the last step is always recorded
    assert "phi" not in seldom


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_blocks_are_rows_with_their_names_from_the_embedding_down(run):
    kept = run["transformer"]
    rms = kept["block_grad_norms"] / np.sqrt(kept.constants["block_sizes"])
    names = list(gradient_heterogeneity.dense(_TINY, 0).layout.shapes)
    heat, profile = figures.plot_block_gradients(kept), figures.plot_profile(kept)
    for ax in (heat, profile):
        assert [text.get_text() for text in ax.get_yticklabels()] == [block_panels.readable(name) for name in names]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]
    np.testing.assert_array_equal(np.asarray(heat.collections[0].get_array()), rms.T)
    for step, row in ((0, 0), (6, -1)):
        np.testing.assert_array_equal(labelled(profile, f"step {step}").get_xdata(), rms[row])
    unequal = figures.plot_inequality(kept)
    np.testing.assert_array_equal(labelled(unequal, "Gini").get_ydata(), [gini(row) for row in rms])
    (right,) = [ax for ax in unequal.figure.axes if ax is not unequal]
    np.testing.assert_allclose(right.lines[0].get_ydata(), rms.max(axis=1) / rms.min(axis=1), rtol=1e-14)


def test_a_block_without_gradient_is_left_out(run):
    kept = run["transformer"]
    norms = kept["block_grad_norms"].copy()
    norms[:, 3] = 0.0
    silent = dataclasses.replace(kept, arrays={**kept.arrays, "block_grad_norms": norms})
    assert np.isnan(labelled(figures.plot_profile(silent), "step 0").get_xdata()).nonzero()[0] == [3]
    left = np.delete(norms[0] / np.sqrt(kept.constants["block_sizes"]), 3)
    assert labelled(figures.plot_inequality(silent), "Gini").get_ydata()[0] == gini(left)


def test_many_blocks_have_some_of_their_names():
    deep = made("transformer", setting=_TINY.replace(layers=4), steps=1)
    ax = figures.plot_profile(deep)
    assert len(ax.get_yticks()) <= block_panels.ROWS < deep["block_grad_norms"].shape[-1]


def test_blocks_need_their_record():
    with pytest.raises(Inconclusive, match="block_grad_norms not recorded"):
        FIGURES["blocks"](made("transformer", record=("train_loss",), steps=1))


# -- learning ----------------------------------------------------------------------------------------------------------


def test_learning_draws_what_was_recorded(run):
    net, head = run["transformer"], run["head"]
    losses, accuracy, gradient = FIGURES["learning"](net).axes
    for ax, start, name in ((losses, "batches of 4", "train_loss"), (losses, "16 fixed", "fixed_loss"), (accuracy, "16", "train_accuracy"),
                            (gradient, "$", "grad_norm")):
        np.testing.assert_array_equal(labelled(ax, start).get_ydata(), net[name])
    losses, accuracy = FIGURES["learning"](head).axes
    for ax, start, name in ((losses, "batches of 8", "batch_loss"), (losses, "all", "train_loss"), (accuracy, "all", "accuracy")):
        np.testing.assert_array_equal(labelled(ax, start).get_ydata(), head[name])
    assert labelled(losses, "chance").get_ydata()[0] == np.log(40) and labelled(accuracy, "chance").get_ydata()[0] == 1 / 40
    bare = FIGURES["learning"](made("transformer", record=("train_loss",), steps=2))
    assert "train_accuracy not recorded" in words(bare) and bare.axes[0].lines


# -- drift -------------------------------------------------------------------------------------------------------------


def test_the_drift_is_drawn_on_its_prediction(run):
    kept = run["head"]
    bias, norms = figures.plot_mean_bias(kept), figures.plot_norms(kept)
    np.testing.assert_array_equal(labelled(bias, "SignGD").get_ydata(), kept["mean_bias"])
    (law,) = dashed(bias)
    D = drift(40, 8)
    np.testing.assert_allclose(law.get_ydata(), -1e-3 * D * np.arange(13), rtol=1e-12, atol=1e-18)
    assert f"mean $D$ {D:.3f}" in law.get_label()
    (grown,) = dashed(norms)
    assert grown.get_ydata()[-1] == pytest.approx(drift_norm(40, 5, 1e-3, 12, D), rel=1e-12)
    np.testing.assert_array_equal(labelled(norms, "without").get_ydata(), kept["V_centred_norm"])
    np.testing.assert_array_equal(labelled(figures.plot_gauge_share(kept), "SignGD").get_ydata(), kept["gauge_share"])


def test_the_drift_with_momentum_and_a_falling_rate():
    kept = made("head", SignGD(LinearDecay(1e-3, 12), momentum=0.9))
    (law,) = dashed(figures.plot_mean_bias(kept))
    rates = 1e-3 * (1.0 - np.arange(12) / 12)
    np.testing.assert_allclose(law.get_ydata(), -np.append(0.0, np.cumsum(rates * momentum_drift(40, 8, 0.9, 12))), rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize(("rule", "told"), [
    (GradientDescent(0.1), "gradients of all classes add up to 0"),
    (GradientDescent(0.1, momentum=0.9), "gradients of all classes add up to 0"),
    (Adam(1e-3), "no prediction: there is no theory of the drift of this rule"),
])
def test_the_drift_of_other_rules(rule, told):
    kept = made("head", rule, steps=3)
    figure = FIGURES["drift"](kept)
    assert told in words(figure)
    assert all((line.get_ydata() == kept["mean_bias"][0]).all() for line in dashed(figure.axes[0]))
    assert not dashed(figure.axes[2])


def test_there_is_no_prediction_with_momentum_for_shuffled_batches():
    kept = made("head", SignGD(1e-3, momentum=0.9), setting=KINDS["head"][0].replace(batches="shuffled"), steps=3)
    assert "but for iid batches" in words(FIGURES["drift"](kept)) and not dashed(FIGURES["drift"](kept).axes[0])


# -- no run breaks them ------------------------------------------------------------------------------------------------

CASES = {
    "no step": {"steps": 0},
    "one step": {"steps": 1},
    "loss only": {"steps": 2, "record": ("train_loss",)},
    "diverging": {"rule": GradientDescent(1e9, momentum=0.9), "steps": 30},
    "a flow": {"rule": GradientFlow(), "until": 0.1, "at": np.linspace(0.0, 0.1, 3)},
}


@pytest.mark.slow  # placing ticks where there is hardly any data is what can go wrong in drawing, and takes time
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")  # of the run that diverges
def test_every_figure_of_every_run_can_be_drawn(case):
    for name, kind in [(name, kind) for name, kinds in OF.items() for kind in kinds]:
        setting = KINDS[kind][0]
        if case == "a flow":  # which has no batches
            setting = setting.replace(**{"transformer": {"fresh": False, "batch": 0}, "head": {"batch": 0}}.get(kind, {}))
        kept = made(kind, setting=setting, **CASES[case])
        try:
            figure = FIGURES[name](kept)
        except Inconclusive as reason:
            assert name == "blocks" and "block_grad_norms" in str(reason)
        else:
            figure.draw(figure.canvas.get_renderer())
