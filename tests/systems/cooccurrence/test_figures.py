"""Figures of a run: what the lines are, where bands and marks stand, and that no run breaks them."""

from __future__ import annotations

import dataclasses
import inspect
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from dynsim import Adam, GradientDescent, GradientFlow, check, plotting, simulate
from dynsim.claims import Inconclusive
from dynsim.systems import cooccurrence
from dynsim.systems.cooccurrence import figures
from dynsim.systems.cooccurrence.claims import CLAIMS
from dynsim.systems.cooccurrence.data import KINDS
from dynsim.systems.cooccurrence.figures import FIGURES, MAIN_FIGURES
from dynsim.systems.cooccurrence.figures.drawing import EARLIEST
from dynsim.systems.cooccurrence.observables import IDENTITIES, INVARIANTS
from dynsim.systems.cooccurrence.reading import left, reading, right
from dynsim.systems.cooccurrence.universal import limits
from tests.test_plotting import collisions

AXES = {"figure1": 2, "margins_and_G": 2, "balancing": 4, "attention": 11, "conserved": 2, "phase_one": 2, "test_loss": 2}
PANELS = [getattr(figures, name) for name in figures.__all__ if name.startswith("plot_")]
TINY = cooccurrence.experiment("tiny")
SMALL = TINY.setting.replace(m=8)


def steps(rule=None, setting=SMALL, *, steps=12, **options):
    rule = GradientDescent(0.05) if rule is None else rule
    return simulate(cooccurrence.best(setting, rule, seed=0), rule, steps=steps, **options)


def flow(system, until=2.0, **options):
    return simulate(system, GradientFlow(), until=until, **{"at": np.linspace(0.0, until, 12), **options})


@pytest.fixture(scope="module")
def tiny():
    return TINY.run()


@pytest.fixture(scope="module")
def paper():
    """The experiment of Figure 1 for fewer epochs at a higher rate, with its init and vocabulary."""
    experiment = cooccurrence.experiment("paper")
    setting = experiment.setting.replace(n=12, m=16, m1=8, vocabulary=12)
    record = dict.fromkeys(experiment.record, 5)
    return experiment.replace(setting=setting, optimizer=GradientDescent(0.5), steps=100, every=5, record=record).run()


def labelled(ax, start):
    """The line whose legend entry starts so."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return found


def dashed(ax):
    """Curves of the theory."""
    return [line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata()) > 2]


def told(ax):
    return " ".join(text.get_text().replace("\n", " ") for text in ax.texts)


def drawn(run):
    """Rows and places of a flow's axis."""
    rows = np.flatnonzero(run["tau"] >= EARLIEST)
    return rows, run["tau"][rows]


# -- what is drawn ------------------------------------------------------------------------------------------------


def test_figures_and_their_main_ones_are_registered():
    assert set(AXES) == set(FIGURES) and set(MAIN_FIGURES) <= set(FIGURES)
    assert cooccurrence.FIGURES is FIGURES and cooccurrence.MAIN_FIGURES is MAIN_FIGURES
    assert {name for name in vars(figures) if name.startswith("plot_")} == {plot.__name__ for plot in PANELS}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_titles_and_labels(name, tiny, paper):
    for run, clock in ((tiny, "clock"), (paper, "epoch")):
        figure = FIGURES[name](run)
        assert isinstance(figure, Figure) and len(figure.axes) == AXES[name]
        for ax in figure.axes:
            assert ax.axison and ax.get_title(loc="left") and ax.get_ylabel()
            assert ax.get_xlabel().startswith(clock) or name == "attention"
            assert ax.get_xscale() == ("log" if run is tiny else "linear")
        assert any("reconstruction" in text.get_text() for text in figure.texts) == (run is paper)


@pytest.mark.parametrize("name", ["figure1", "attention"])
def test_no_texts_meet(name, paper):
    assert collisions(FIGURES[name](paper)) == []


@pytest.mark.slow  # drawing logarithmic axes takes time
@pytest.mark.parametrize("name", FIGURES)
def test_no_texts_meet_in_any_figure(name, tiny, paper):
    assert collisions(FIGURES[name](tiny)) == collisions(FIGURES[name](paper)) == []


@pytest.mark.parametrize("name", FIGURES)
def test_verdicts_are_those_of_the_report(name, tiny, paper):
    for run in (tiny, paper):
        shown = [text.get_text() for ax in FIGURES[name](run).axes for text in ax.texts]
        matches = [re.fullmatch(r"(\w+): (holds|violated|not applicable|inconclusive)", text) for text in shown]
        matches = [match for match in matches if match]
        report = check(run, [CLAIMS[match[1]] for match in matches])
        assert matches and all(report[match[1]].verdict == match[2] for match in matches)


@pytest.mark.parametrize("plot", PANELS, ids=lambda plot: plot.__name__)
def test_panel_draws_where_it_is_told(plot, tiny):
    ax = plotting.new_axes()
    assert plot(tiny, ax=ax) is ax and ax.get_title(loc="left") and ax.lines
    assert len(ax.figure.axes) == 1
    parameters = inspect.signature(plot).parameters
    assert parameters["ax"].default is None and parameters["ax"].kind is inspect.Parameter.KEYWORD_ONLY
    if "letter" in parameters:
        assert plot(tiny, letter="x").get_title(loc="left").startswith("(x) ")


@pytest.mark.parametrize("name", ["figure1", "attention"])
def test_figure_fills_the_figure_it_is_given(name, tiny):
    whole = Figure(figsize=(26, 8))
    one, other = whole.subfigures(1, 2)
    assert FIGURES[name](tiny, fig=other) is other
    assert len(other.axes) + sum(len(part.axes) for part in other.subfigs) == AXES[name] and not one.axes


def test_scores_are_displacements_in_units_beside_their_prediction(tiny):
    ax, r, (rows, tau) = figures.plot_scores(tiny), reading(tiny), drawn(tiny)
    for pair, (key, query) in {"12": (0, 1), "21": (1, 0), "31": (2, 0), "32": (2, 1)}.items():
        found = labelled(ax, f"$C_{{{pair}}}$")
        np.testing.assert_array_equal(found.get_xdata(), tau)
        np.testing.assert_array_equal(found.get_ydata(), tiny["score_change"][rows, key, query] / r.unit)
    target, common = dashed(ax)
    np.testing.assert_array_equal(target.get_ydata(), 2 * r.theory_at("Phi", tau)[:, 1, 0])
    np.testing.assert_array_equal(common.get_ydata(), 2 * r.theory_at("Phi", tau)[:, 2, 0])


def test_scores_of_the_papers_experiment_are_drawn_themselves_over_epochs(paper):
    ax = figures.plot_scores(paper)
    np.testing.assert_array_equal(labelled(ax, "$S_{31}$").get_ydata(), paper["scores"][:, 2, 0])
    np.testing.assert_array_equal(labelled(ax, "$S_{31}$").get_xdata(), paper.at)
    assert not dashed(ax)


def test_losses_margins_and_G_are_the_recorded_ones(tiny):
    (rows, tau), r = drawn(tiny), reading(tiny)
    loss, margins, G = figures.plot_kind_loss(tiny), figures.plot_margins(tiny), figures.plot_G(tiny)
    np.testing.assert_array_equal(labelled(loss, "training loss").get_ydata(), tiny["train_loss"][rows])
    np.testing.assert_array_equal(labelled(margins, "smallest of all").get_ydata(), tiny["min_margin"][rows])
    for i, kind in enumerate(KINDS):
        np.testing.assert_array_equal(labelled(loss, f"kind {kind}").get_ydata(), tiny["kind_loss"][rows, i])
        np.testing.assert_array_equal(labelled(margins, f"kind {kind}").get_ydata(), tiny["kind_margin"][rows, i])
    for token in range(3):
        np.testing.assert_array_equal(labelled(G, f"$G_{token + 1}$").get_ydata(), tiny["G"][rows, token])
    for ax, name, count in ((loss, "kind_loss", 4), (margins, "kind_margin", 4), (G, "G", 3)):
        assert len(dashed(ax)) == count
        for i, curve in enumerate(dashed(ax)):
            np.testing.assert_array_equal(curve.get_ydata(), r.theory_at(name, tau)[:, i])


def test_steps_have_the_parameter_free_flow_at_their_clock():
    run = steps()
    r, ax = reading(run), figures.plot_G(run)
    np.testing.assert_array_equal(dashed(ax)[2].get_xdata(), run.at)
    np.testing.assert_array_equal(dashed(ax)[2].get_ydata(), r.theory_at("G", r.tau)[:, 2])
    assert r.tau[-1] > 0 == run["tau"][-1]  # the recorded clock is that of flows


def test_balancing_draws_the_quantities_of_the_claims(tiny):
    rows, tau = drawn(tiny)
    r, rate, s = reading(tiny), tiny["G_rate"][rows], tiny["kind_pull"][rows]
    for plot, ratio in ((figures.plot_ratio, left), (figures.plot_sum_ratio, right)):
        ax = plot(tiny)
        np.testing.assert_array_equal(labelled(ax, "simulation").get_ydata(), ratio(rate))
        np.testing.assert_allclose(dashed(ax)[0].get_ydata(), ratio(r.theory_at("G_rate", tau)), rtol=1e-14)
    targets = labelled(figures.plot_sums(tiny), r"$\sum g/(s_1 - s_2)$").get_ydata()
    np.testing.assert_array_equal(targets, s.sum(axis=1) / (s[:, 0] - s[:, 1]))
    apart = labelled(figures.plot_s2_s3(tiny), "simulation").get_ydata()
    np.testing.assert_array_equal(apart, np.abs(s[:, 1] - s[:, 2]) / s[:, 1:3].min(axis=1))


def test_window_of_lemma_4_3_is_its_two_inequalities(tiny):
    """Inside the shaded window both inequalities hold, on either axis; outside one of them fails."""
    rows, _ = drawn(tiny)
    common = np.linspace(0.0, 3.0, len(tiny.at))  # through the window and out of it
    tiny = dataclasses.replace(tiny, arrays={**tiny.arrays, "G_rate": np.stack([1.0 + 0 * common, 0.9 + 0 * common, -common], axis=1)})
    rate = tiny["G_rate"][rows]
    both = (left(rate) >= 1.1) & (right(rate) <= 0.9)
    assert 0 < both.sum() < len(both) and not both[0] and not both[-1]
    for plot, ratio in ((figures.plot_ratio, left), (figures.plot_sum_ratio, right)):
        (window,) = [artist for artist in plot(tiny).collections if "Lemma 4.3" in str(artist.get_label())]
        corners = window.get_paths()[0].vertices[1:-1]
        low, high = corners[: len(rows), 1], corners[len(rows) + 1 :, 1][::-1]
        np.testing.assert_array_equal((ratio(rate) >= low) & (ratio(rate) <= high[: len(rows)]), both)


def test_limits_are_drawn_where_they_exist(tiny):
    assert not limits(12, 5)["inactive"]
    assert not any("at this $n$" in str(line.get_label()) for line in figures.plot_ratio(tiny).lines)
    more = dataclasses.replace(tiny, constants={**tiny.constants, "n": np.array(60.0)})
    (level,) = set(labelled(figures.plot_ratio(more), "limit at this $n$").get_ydata())
    assert level == limits(60, 5)["-G3'/G1'"]
    late = ((figures.plot_sum_ratio, "3/4", 0.75), (figures.plot_sums, "17/3", 17 / 3), (figures.plot_sums, "17/2", 8.5))
    for plot, label, value in late:
        assert labelled(plot(tiny), label).get_ydata()[0] == pytest.approx(value, rel=1e-14)


def test_all_nine_scores_are_key_first(tiny):
    rows, _ = drawn(tiny)
    axes = figures.attention(tiny).axes[:9]
    for i, ax in enumerate(axes):
        key, query = divmod(i, 3)
        assert ax.get_title(loc="left").startswith(f"$C_{{{key + 1}{query + 1}}}$")
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), tiny["score_change"][rows, key, query] / reading(tiny).unit)


@pytest.mark.parametrize(("plot", "claim", "name", "label"), [
    (figures.plot_value_displacements, "e_28_neurons", "neuron_products_change", r"$\langle w_i"),
    (figures.plot_value_displacements, "e_28_values", "largest_value_change", r"$\langle W_V"),
    (figures.plot_attention_displacements, "e_28_scores", "largest_score_change", "scores"),
    (figures.plot_attention_displacements, "e_28_keys", "largest_key_change", "keys"),
    (figures.plot_attention_displacements, "e_28_queries", "largest_query_change", "queries"),
    (figures.plot_attention_displacements, "e_25_softmax", "softmax_change", "softmax"),
])
def test_displacements_are_divided_by_the_bounds_of_the_claims(tiny, plot, claim, name, label):
    """The claim's number is the same ratio at T1."""
    found, r = labelled(plot(tiny), label), reading(tiny)
    tau, values = r.seldom(name)
    seen = tau >= found.get_xdata()[0]
    np.testing.assert_array_equal(found.get_xdata(), tau[seen])
    bound = r.at_T1(name) / CLAIMS[claim].measure({"run": tiny}).value
    np.testing.assert_allclose(found.get_ydata(), values[seen] / bound, rtol=1e-12)


def test_rare_quantities_are_drawn_at_their_own_times(tiny):
    tau = np.interp(tiny.steps("test_loss_seen"), tiny.at, tiny["tau"])
    found = labelled(figures.plot_test_loss(tiny), "test loss, seen")
    np.testing.assert_allclose(found.get_xdata(), tau[tau >= EARLIEST], rtol=1e-12)
    np.testing.assert_array_equal(found.get_ydata(), tiny["test_loss_seen"][tau >= EARLIEST])
    assert 1 < len(found.get_xdata()) < len(tiny.at)


def test_exact_panels_draw_every_entry(tiny):
    for plot, names in ((figures.plot_invariants, INVARIANTS), (figures.plot_identities, IDENTITIES)):
        assert len([line for line in plot(tiny).lines if not str(line.get_label()).startswith("_")]) == len(names)


def test_phases_are_bands_and_the_prediction_a_dashed_line(tiny, paper):
    for run, T1 in ((tiny, reading(tiny).tau_T1), (paper, reading(paper).T1)):
        ax = figures.plot_margins(run)
        first, second = ax.patches[:2]
        assert first.get_x() + first.get_width() == pytest.approx(T1) == second.get_x()
        assert [text.get_text() for text in ax.texts if text.get_gid() == "stage"][:2] == ["Phase 1", "Phase 2"]
    mark = labelled(figures.plot_margins(tiny), "$T_1$ predicted")
    event = cooccurrence.stage_table(tiny)["Phase 1"]
    assert mark.get_xdata()[0] == pytest.approx(event.predicted_tau)
    assert not any("predicted" in str(line.get_label()) for line in figures.plot_margins(paper).lines)


# -- no run breaks them -------------------------------------------------------------------------------------------

CASES = {
    "gradient descent": steps,
    "inner products": lambda: flow(cooccurrence.gram(SMALL, seed=0)),
}
MORE = {
    "loss only": lambda: steps(record=["train_loss"]),
    "bags of one's own": lambda: flow(cooccurrence.from_bags([[0, 1, 2, 3], [0, 2, 4, 5]], [1, -1], setting=SMALL)),
    "Adam": lambda: steps(Adam(1e-3)),
    "flow of length 0": lambda: flow(cooccurrence.best(SMALL, GradientFlow(), seed=0), at=[0.0]),
    "from the start to it": lambda: steps(steps=0),
    "diverging": lambda: steps(GradientDescent(1e3)),
    "momentum": lambda: steps(GradientDescent(0.01, momentum=0.9)),
    "three tokens": lambda: flow(cooccurrence.best(SMALL.replace(L=3), GradientFlow(), seed=0)),
    "attention held": lambda: flow(cooccurrence.best(SMALL.replace(attention=False), GradientFlow(), seed=0)),
    "Kaiming": lambda: steps(setting=SMALL.replace(init="kaiming_normal", output="kaiming", vocabulary=9)),
    "inner products and neurons": lambda: flow(cooccurrence.neurons(SMALL, seed=0)),
    "resumed": lambda: steps(start=steps()),
}


@pytest.mark.parametrize("case", CASES)
def test_every_figure_of_every_run(case):
    run = CASES[case]()
    for name, draw in FIGURES.items():
        figure = draw(run)
        assert len(figure.axes) == AXES[name] and all(ax.lines or ax.texts for ax in figure.axes)


@pytest.mark.slow  # placing ticks where there is hardly any data is what can go wrong in drawing, and takes time
@pytest.mark.parametrize("case", {**CASES, **MORE})
def test_every_figure_of_every_run_can_be_drawn(case):
    run = {**CASES, **MORE}[case]()
    for draw in FIGURES.values():
        figure = draw(run)
        figure.draw(figure.canvas.get_renderer())
        assert figure.axes


@pytest.mark.parametrize("plot", PANELS, ids=lambda plot: plot.__name__)
def test_panel_says_what_is_not_recorded(plot):
    ax = plot(steps(record=["rho"], steps=2))
    assert "not recorded" in told(ax) and ax.get_title(loc="left") and not ax.lines


def test_engine_of_inner_products_lacks_neurons_and_fresh_samples():
    run = CASES["inner products"]()
    ax = figures.plot_value_displacements(run)
    assert labelled(ax, r"$\langle W_V") and not any("w_i" in str(line.get_label()) for line in ax.lines)
    assert "test_error_seen not recorded" in told(figures.plot_test_error(run))


@pytest.mark.parametrize("case", ["momentum", "Kaiming", "resumed"])
def test_no_parameter_free_flow_beside_runs_it_is_not_about(case):
    run = MORE[case]()
    assert not dashed(figures.plot_G(run)) and not dashed(figures.plot_scores(run))
    told = " ".join(text.get_text() for text in figures.figure1(run).texts)
    assert re.search("gradient flow, or gradient descent|occurs twice|goes on from another", told)


def test_other_systems_and_replicates_are_refused(tiny):
    with pytest.raises(Inconclusive, match="single run"):
        figures.figure1(reading(tiny).theory)
    with pytest.raises(Inconclusive, match="single run"):
        figures.figure1(dataclasses.replace(tiny, final=np.stack([tiny.final, tiny.final])))


def test_figures_make_small_files(paper, tmp_path):
    for path in (tmp_path / "figure1.png", tmp_path / "figure1.svg"):
        plotting.save(figures.figure1(paper), path)
        assert 10_000 < path.stat().st_size < 400_000
