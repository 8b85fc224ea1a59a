"""Figures of the studies: what is drawn is what the tables have, verdicts are told, and no table breaks them."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, Table, check, plotting, simulate
from dynsim.claims import Inconclusive
from dynsim.systems import gradient_heterogeneity
from dynsim.systems.gradient_heterogeneity import STUDIES, SWEEP_CLAIMS, Quadratic, Transformer
from dynsim.systems.gradient_heterogeneity.figures import STUDY_FIGURES, study_head, study_quadratic, study_transformer
from dynsim.systems.gradient_heterogeneity.figures.drawing import HUES, PLACEMENTS
from dynsim.systems.gradient_heterogeneity.figures.study_drawing import at_best_rate
from dynsim.systems.gradient_heterogeneity.measures import LAWS
from dynsim.systems.gradient_heterogeneity.quadratic.theory import law
from tests.test_plotting import collisions

RULES = ("gd", "gd:0.9", "signgd", "signgd:0.9", "rmsprop", "adam")
NORMS = ("post", "pre")
POST, PRE = (PLACEMENTS[norm][1] for norm in NORMS)


def table(study, entry, points, *, seeds=2, **measured):
    """A sweep over a list of points; a measured column is a function of the columns."""
    rows = [{**point, "seed": seed} for point in points for seed in range(seeds)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    numbers = {name: np.asarray(make(columns), dtype=float) for name, make in measured.items()}
    about = {"experiment": STUDIES[study].plans[entry].experiment.to_dict(), "design": {"kind": "list", "points": points}}
    rest = {"steps": np.full(len(rows), 300.0), "error": np.full(len(rows), "")}
    return Table({**rest, **columns, **numbers}, tuple(points[0]), about)


def grid(**axes):
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def wiggle(c, size=0.05):
    """A factor by seed."""
    return 1.0 + size * (c["seed"] - 0.5)


def post(c):
    return c["norm"] == "post"


def of(value):
    return lambda c: value * wiggle(c)


def _steps(c):
    """GD goes with k from a start of equal loss, and does not get there at the largest; sign descent goes with its fourth root."""
    k = np.where(c["initial"] == "equal_loss", c["k"], 1.0)
    found = np.select([c["optimizer"] == "gd", c["optimizer"] == "signgd"], [2.0 * k, 8.0 * k**0.25], 64.0) * (1.0 + 0.5 * c["seed"])
    return np.where(found > 1e4, np.nan, found)


def _law(name):
    values = {"a": [a for a, _ in LAWS], "s": [s for _, s in LAWS], "predicted": [law(*at).R for at in LAWS],
              "R": [law(*at).R * (1.01 + 0.02 * (at[1] == 1)) for at in LAWS]}[name]
    return lambda c: np.tile(values, (len(c["seed"]), 1))


CURVED = {
    "gini": lambda c: np.where(post(c), 0.8, 0.6) * wiggle(c), "correlation": lambda c: np.where(post(c), 0.9, -0.2) * wiggle(c),
    "ratio": lambda c: np.where(post(c), 15.0, 3.0) * wiggle(c), "ratio_by_identity": lambda c: np.where(post(c), 15.0, 3.0) * wiggle(c),
    "phi": lambda c: np.where(post(c), 0.01, 0.2) * wiggle(c), "R": lambda c: np.where(post(c), 0.15, 0.6) * wiggle(c),
}


def _loss(c):
    """The best rate of every rule is 0.1, one rate diverges, and pre-LN is solved by sign descent."""
    off = np.abs(np.log10(c["lr"] / 0.1))
    solved = ~post(c) & (c["optimizer"] == "signgd")
    found = np.where(np.char.startswith(c["optimizer"], "gd"), 1.9, 0.01) * (1.0 + off) * wiggle(c)
    return np.where((c["lr"] == 1.0) & (c["optimizer"] == "adam"), np.nan, np.where(solved, 1e-15, found))


def _depth(power):
    return lambda c: (0.1 + 0.02 * c["layers"] * (1 + post(c))) ** power * wiggle(c)


def _head_loss(c):
    return np.where(c["optimizer"] == "signgd", 3.0, 0.5) * (1.0 + np.abs(np.log(c["lr"] / 0.1))) * np.log(c.get("C", 300)) / 5 * wiggle(c)


def _gauge(c):
    return np.where(c["momentum"] == 0, 0.95, 0.1) * wiggle(c)


@pytest.fixture(scope="module")
def evidence():
    starts, sizes = ("equal_loss", "equal_distance", "equal_curvature"), [(100, 32), (300, 32), (10, 0)]
    rates = grid(norm=NORMS, optimizer=RULES, lr=[0.01, 0.1, 1.0])
    theorems = {f"{T}_{name}": of(value) for T in ("T1", "T2") for name, value in
                (("steps", 50.0), ("bound", 5000.0), ("decrease", 1.2), ("assumed", 1.0))}
    drift = [{"C": C, "batch": n, "momentum": beta} for C, n in sizes for beta in (0.0, 0.9, 0.99)]
    quick = {"steps": 5, "record": ("train_loss", "Lambda_G", "Lambda_P", "phi", "grad_norm", "grad_norm_1")}
    paths = gradient_heterogeneity.dense(Quadratic(), 0)
    tiny = Transformer(layers=1, d=8, heads=2, width=8, samples=16, batch=4)
    shown = {
        f"{norm}_ln": simulate(gradient_heterogeneity.dense(tiny.replace(norm=norm), 0), Adam(1e-2), steps=4,
                               record=("train_loss", "fixed_loss", "block_grad_norms")) for norm in NORMS
    }
    return {
        "quadratic": {
            "target": table("quadratic", "target", grid(initial=starts, k=[1.0, 100.0, 10_000.0], optimizer=RULES[:4] + ("adam",)),
                            steps_to_target=_steps, edge=lambda c: c["k"] < 0, ratio=lambda c: c["k"] ** 0.2 * wiggle(c),
                            ratio_by_identity=lambda c: c["k"] ** 0.2 * wiggle(c), R=lambda c: 0.6 * c["k"] ** 0.05 * wiggle(c)),
            "rotation": table("quadratic", "rotation", grid(rotated=["no", "all"], optimizer=["gd", "signgd", "adam"]),
                              steps_to_target=lambda c: np.where((c["rotated"] == "all") & (c["optimizer"] != "gd"), 2048.0, 32.0)),
            "theorems": table("quadratic", "theorems", grid(h_sd=[0.0, 1.0], inner=[1.0, 10.0]), **theorems),
            "logistic": table("quadratic", "logistic", grid(scale=[0.0, 1.5]), **theorems),
            "noise": table("quadratic", "noise", grid(noise=[0.5, 1.0], noise_kind=["even", "hessian"]), S1_mean=of(9.0), S1_bound=of(14.0),
                           S1_silent=of(6.0), S2_mean=of(20.0), S2_bound=of(90.0), S2_progress=of(10.0), S2_silent=of(14.0)),
            "law": table("quadratic", "law", [{}], **{f"law_{name}": _law(name) for name in ("a", "s", "R", "predicted")}),
            "gradient_path": simulate(paths, GradientDescent(0.03), **quick), "sign_path": simulate(paths, SignGD(0.3), **quick),
        },
        "layernorm": {
            "depth": table("layernorm", "depth", grid(norm=NORMS, layers=[2, 6, 12], init=["he", "xavier"]), gini=_depth(1),
                           max_over_min=lambda c: 10.0 ** (1 + 0.2 * c["layers"] * post(c)) * wiggle(c), value_over_query=of(3.0)),
            "flat": table("layernorm", "flat", grid(norm=NORMS, layers=[2, 6, 12]), gini=of(0.5), max_over_min=of(50.0),
                          value_over_query=of(20.0)),
            "small": table("layernorm", "small", grid(norm=NORMS), **CURVED),
            "training": table("layernorm", "training", grid(norm=NORMS, optimizer=RULES, lr=[0.1]), fixed_loss=_loss),
            "block_diagonal": table("layernorm", "block_diagonal", [
                {"norm": norm, "embedding_scale": e, "weight_scale": w} for norm in NORMS for e, w in ((1.0, 1.0), (0.02, 0.2))],
                delta_D=of(20.0), Lambda_G=of(4.0), Lambda_P=of(2.0), ratio=of(2.0), ratio_by_identity=of(2.0)),
            **shown,
        },
        "head": {
            "drift": table("head", "drift", drift, drift=_gauge, drift_predicted=lambda c: np.where(c["momentum"] == 0, 0.94, 0.11),
                           gauge_share=_gauge, V_norm=lambda c: 10.0 + c["C"] / 20.0 * (1.0 - c["momentum"]), V_centred_norm=of(8.0),
                           norm_predicted=of(12.0)),
            "controls": table("head", "controls", grid(momentum=[0.0, 0.9]), train_loss=lambda c: 2.0 * (1e-4 ** (c["momentum"] > 0)),
                              projected_loss=lambda c: 2.0 * (1e-4 ** (c["momentum"] > 0)), V_norm=of(200.0), projected_V_norm=of(10.0),
                              V_centred_norm=of(10.0), accuracy=of(1.0), projected_accuracy=of(1.0)),
            "noisy_labels": table("head", "noisy_labels", grid(optimizer=RULES, lr=[0.01, 0.1, 1.0]), train_loss=_head_loss),
        },
        "rates": {entry: table("rates", entry, rates, fixed_loss=_loss) for entry in ("tuned", "no_biases", "good_start", "deep")},
        "finetuning": {
            "stages": table("finetuning", "stages", grid(norm=NORMS, layers=[2, 4, 8], pretrained=[0, 1000]), gini=_depth(1),
                            max_over_min=_depth(-1), value_over_query=of(4.0), head_share=of(0.8),
                            pretrained_accuracy=lambda c: np.where(c["pretrained"] == 0, np.nan, 0.95)),
            "body": table("finetuning", "body", grid(norm=NORMS, layers=[2, 4]), **{f"body_{name}": make for name, make in CURVED.items()}),
        },
        "many_classes": {
            "classes": table("many_classes", "classes", grid(C=[2, 10, 100], optimizer=RULES, lr=[0.01, 0.1, 1.0]), train_loss=_head_loss),
            "batches": table("many_classes", "batches", [
                {"C": C, "batch": n, "optimizer": rule, "lr": lr} for C, n in ((100, 512), (300, 1024)) for rule in ("signgd", "signgd:0.9")
                for lr in (0.01, 0.1, 1.0)], train_loss=_head_loss),
            "large_batch": table("many_classes", "large_batch", [{"batch": n, "common": m} for n, m in ((512, 1.0), (0, 1.0), (32, 0.0))],
                                 drift=of(0.4), drift_predicted=of(0.5), gauge_share=of(0.3), train_loss=of(0.1)),
        },
    }


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def sweeps(tables):
    return {name: found for name, found in tables.items() if isinstance(found, Table)}


def heights(ax, colour, marker="o", *, face=None):
    """What dots of a colour show, filled ones or, with another face, open ones."""
    lines = [line for line in ax.lines if line.get_marker() == marker and line.get_color() == colour and len(line.get_xdata())
             and line.get_linestyle() == "None" and line.get_markersize() < 6 and line.get_markerfacecolor() == (face or colour)]
    return np.sort(np.concatenate([[], *(line.get_ydata() for line in lines)]))


def stroke(ax, colour, style="-"):
    """The one line of the middles of seeds."""
    (line,) = [line for line in ax.lines if line.get_color() == colour and line.get_linestyle() == style and len(line.get_xdata()) > 1
               and line.get_linewidth() == 1.5]
    return line


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == "black" and len(line.get_xdata())]


@pytest.fixture
def quiet(monkeypatch):
    """No verdicts: the drawing alone; what the claims say about such tables is tested with the claims."""
    for module in (study_quadratic, study_transformer, study_head):
        monkeypatch.setattr(module, "verdicts", lambda *_: ())


# -- the pages ---------------------------------------------------------------------------------------------------------


def test_every_study_has_figures():
    assert set(STUDY_FIGURES) == set(STUDIES) and gradient_heterogeneity.STUDY_FIGURES is STUDY_FIGURES
    for figures in STUDY_FIGURES.values():
        assert all(inspect.signature(draw).parameters["fig"].kind is inspect.Parameter.KEYWORD_ONLY for draw in figures.values())


def test_every_claim_is_asked_on_some_panel_and_panels_have_labels(evidence, monkeypatch):
    asked = set()
    for module in (study_quadratic, study_transformer, study_head):
        monkeypatch.setattr(module, "verdicts", lambda evidence, *ids: asked.update(ids) or ())
    for study, figures in STUDY_FIGURES.items():
        for draw in figures.values():
            for ax in draw(evidence[study]).axes:
                assert ax.get_title(loc="left").startswith("(") and ax.get_xlabel()
                assert ax.get_ylabel() or len(ax.get_yticklabels()) > 5  # blocks have names
    assert asked == set(SWEEP_CLAIMS)


def test_verdicts_are_told(evidence):
    told = words(STUDY_FIGURES["quadratic"]["target"](evidence["quadratic"]))
    own = [claim for claim in SWEEP_CLAIMS.values() if set(claim.needs) <= {"target", "rotation"}]
    assert own
    for claim in own:
        assert f"{claim.id}: {check(evidence['quadratic'], [claim])[claim.id].verdict}" in told


@pytest.mark.parametrize("study", [study if study == "rates" else pytest.param(study, marks=pytest.mark.slow) for study in STUDIES])
def test_no_text_meets_another(study, evidence):
    for draw in STUDY_FIGURES[study].values():
        assert not collisions(draw(evidence[study]))


@pytest.mark.parametrize("study", [study if study == "layernorm" else pytest.param(study, marks=pytest.mark.slow) for study in STUDIES])
def test_missing_entries_are_said_where_they_would_be_drawn(study, evidence, quiet):
    for draw in STUDY_FIGURES[study].values():
        with pytest.raises(Inconclusive, match="no runs of"):
            draw({name: found for name, found in evidence[study].items() if not isinstance(found, Table)})
        with pytest.raises(Inconclusive, match="no runs of"):
            draw({name: t.rows(t["seed"] < 0) for name, t in sweeps(evidence[study]).items()})
    for entry in list(sweeps(evidence[study]))[:1]:
        drawn = []
        for draw in STUDY_FIGURES[study].values():
            try:
                drawn.append(words(draw({name: t for name, t in sweeps(evidence[study]).items() if name != entry})).replace("\n", " "))
            except Inconclusive:  # a figure of this entry alone
                continue
        if drawn:
            assert any(f"the evidence has no '{entry}'" in told for told in drawn)
    if study == "layernorm":
        assert "no runs 'post_ln'" in words(STUDY_FIGURES[study]["placement"](sweeps(evidence[study]))).replace("\n", " ")


def _without_measured(t):
    return dataclasses.replace(t, columns={name: a for name, a in t.columns.items() if name not in t.measured})


def _failed(t, which):
    failed = {name: np.where(which.reshape((-1,) + (1,) * (a.ndim - 1)), np.nan, a) for name, a in t.columns.items() if name in t.measured}
    return dataclasses.replace(t, columns={**t.columns, **failed})


CUTS = {
    "one seed": lambda t: t.rows(t["seed"] == 0), "one run": lambda t: t.rows(np.arange(t.cells) == 0),
    "stopped": lambda t: t.rows(np.arange(t.cells) < 0.6 * t.cells), "no columns": _without_measured,
    "a third failed": lambda t: _failed(t, np.arange(t.cells) % 3 == 0), "all failed": lambda t: _failed(t, np.full(t.cells, True)),
}


@pytest.mark.parametrize("study", [study if study == "layernorm" else pytest.param(study, marks=pytest.mark.slow) for study in STUDIES])
def test_a_table_without_its_columns_is_told(study, evidence, quiet):
    for draw in STUDY_FIGURES[study].values():
        figure = draw({entry: CUTS["no columns"](t) for entry, t in sweeps(evidence[study]).items()})
        assert words(figure).replace("\n", " ").count("has no column") >= len(figure.axes) - 1  # one panel is of runs alone


@pytest.mark.slow  # placing ticks where there is hardly any data is what can go wrong in drawing, and takes time
@pytest.mark.parametrize("cut", CUTS)
def test_figures_of_cut_tables_can_be_drawn(cut, evidence, quiet):
    for study, tables in evidence.items():
        for draw in STUDY_FIGURES[study].values():
            assert not collisions(draw({entry: CUTS[cut](t) for entry, t in sweeps(tables).items()}))


# -- panels of quadratics ----------------------------------------------------------------------------------------------


def test_steps_against_k_with_medians_and_what_is_not_reached(evidence, quiet):
    t = evidence["quadratic"]["target"].where(initial="equal_loss")
    ax = study_quadratic.plot_steps(evidence["quadratic"])
    line = stroke(ax, HUES["gd"])
    np.testing.assert_array_equal(line.get_xdata(), [1.0, 100.0, 10_000.0])
    np.testing.assert_array_equal(line.get_ydata(), [2.5, 250.0, np.nan])  # medians of 2 and 3; the largest is not reached
    np.testing.assert_array_equal(heights(ax, HUES["gd"]), [2.0, 3.0, 200.0, 300.0])
    assert sum(len(mark.get_xdata()) for mark in ax.lines if mark.get_marker() == "^" and mark.get_color() == HUES["gd"]) == 2
    np.testing.assert_array_equal(heights(ax, HUES["signgd"]), np.sort(t.where(optimizer="signgd")["steps_to_target"]))
    np.testing.assert_array_equal(heights(ax, HUES["signgd"], face="white"), np.sort(t.where(optimizer="signgd:0.9")["steps_to_target"]))
    grey = [line for line in ax.lines if line.get_color() == plotting.COLOURS["grey"] and len(line.get_xdata()) == 2]
    slopes = sorted(float(np.diff(np.log(line.get_ydata()))[0] / np.diff(np.log(line.get_xdata()))[0]) for line in grey)
    np.testing.assert_allclose(slopes, [0.25, 1.0], rtol=1e-12)
    other = study_quadratic.plot_steps(evidence["quadratic"], initial="equal_curvature")
    assert not [line for line in other.lines if line.get_color() == plotting.COLOURS["grey"]]


def test_best_rates_at_the_edge_are_told(evidence, quiet):
    t = evidence["quadratic"]["target"]
    one = (t["k"] == 1.0) & (t["optimizer"] == "gd") & (t["seed"] == 0)
    edge = dataclasses.replace(t, columns={**t.columns, "edge": one.astype(float)})
    edge = {"target": edge.where(initial="equal_loss")}
    assert "1 best rates at the edge" in words(study_quadratic.plot_steps(edge).figure)


def test_rotation_has_a_bar_for_every_rule_and_factor_above(evidence, quiet):
    ax = study_quadratic.plot_rotation(evidence["quadratic"])
    tops = [bar.get_y() + bar.get_height() for bar in ax.patches if np.isfinite(bar.get_height())]
    np.testing.assert_allclose(tops, [32, 32, 32, 2048, 32, 2048], rtol=1e-13)
    assert [text.get_text() for text in ax.texts] == ["× 1", "× 64", "× 64"]


def test_paths_start_ratios_and_bounds(evidence, quiet):
    own = evidence["quadratic"]
    paths = study_quadratic.plot_paths(own)
    for run, hue in ((own["gradient_path"], "gd"), (own["sign_path"], "signgd")):
        (line,) = [line for line in paths.lines if line.get_color() == HUES[hue]]
        np.testing.assert_array_equal(line.get_ydata(), run["Lambda_G"] / run["Lambda_P"])
    start = study_quadratic.plot_start_ratio(own)
    rows = own["target"].where(optimizer="gd", initial="equal_distance")
    np.testing.assert_array_equal(heights(start, study_quadratic.START_COLOURS["equal_distance"]), np.sort(rows["ratio"]))
    steps = study_quadratic.plot_step_bounds(own)
    found = [line for line in steps.lines if line.get_color() == HUES["gd"]]
    np.testing.assert_array_equal(found[0].get_xdata(), own["theorems"]["T1_bound"])
    np.testing.assert_array_equal(found[1].get_ydata(), own["logistic"]["T1_steps"])
    (equal,) = dashed(steps)
    np.testing.assert_array_equal(equal.get_xdata(), equal.get_ydata())
    alone = study_quadratic.plot_decrease({"logistic": own["logistic"]})
    np.testing.assert_array_equal(alone.lines[1].get_ydata(), own["logistic"]["T2_decrease"])


def test_law_and_noise(evidence, quiet):
    own = evidence["quadratic"]
    ax = study_quadratic.plot_law(own)
    told = words(ax.figure)
    assert "$s = 0.5$: at most 1 % off" in told and "$s = 1$: at most 3 % off" in told
    for line in dashed(ax):
        assert any(np.allclose(line.get_ydata(), [law(a, s).R for a in line.get_xdata()], rtol=1e-13) for s in (0.0, 0.5, 1.0))
    noise = study_quadratic.plot_noise(own)
    sign = [line for line in noise.lines if line.get_color() == HUES["signgd"]]
    np.testing.assert_array_equal(sign[0].get_xdata(), own["noise"]["S2_bound"])
    np.testing.assert_array_equal(sign[1].get_ydata(), own["noise"]["S2_progress"])


# -- panels of transformers --------------------------------------------------------------------------------------------


def test_gradients_over_depth_by_placement_and_init(evidence, quiet):
    t = evidence["layernorm"]["depth"]
    inits = (("he", "He"), ("xavier", "Xavier"))
    ax = study_transformer.plot_depth(evidence["layernorm"], split="init", words=inits)
    wide = study_transformer.plot_depth(evidence["layernorm"], quantity="max_over_min", split="init", words=inits)
    for norm, colour in zip(NORMS, (POST, PRE), strict=True):
        np.testing.assert_array_equal(heights(ax, colour), np.sort(t.where(norm=norm, init="he")["gini"]))
        np.testing.assert_array_equal(heights(ax, colour, face="white"), np.sort(t.where(norm=norm, init="xavier")["gini"]))
        means = [t.where(norm=norm, init="he", layers=layers)["gini"].mean() for layers in (2, 6, 12)]
        np.testing.assert_allclose(stroke(ax, colour).get_ydata(), means, rtol=1e-13)
        rows = [t.where(norm=norm, init="xavier", layers=layers)["max_over_min"] for layers in (2, 6, 12)]
        np.testing.assert_allclose(stroke(wide, colour, "--").get_ydata(), [np.exp(np.log(row).mean()) for row in rows], rtol=1e-13)
    assert wide.get_yscale() == "log" and list(ax.get_xticks()) == [2, 6, 12]


def test_scalars_of_a_start_and_what_is_outside_the_blocks(evidence, quiet):
    t = evidence["layernorm"]["small"]
    ax = study_transformer.plot_scalars(evidence["layernorm"])
    expected = np.sort(np.concatenate([t.where(norm="pre")[name] for name in study_transformer.SCALARS if name != "correlation"]))
    np.testing.assert_array_equal(heights(ax, PRE), expected)  # its correlation is negative
    assert "below $10^{-3}$" in words(ax.figure)
    off = study_transformer.plot_off_diagonal(evidence["layernorm"])
    assert (heights(off, POST) == 5.0).all() and (heights(off, POST, face="white") == 10.0).all()
    assert labelled_level(off, "the theorems assume") == 1 / 3


def labelled_level(ax, start):
    (line,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return line.get_ydata()[0]


def test_profile_at_the_start_of_both_placements(evidence, quiet):
    run = evidence["layernorm"]["post_ln"]
    ax = study_transformer.plot_start_profile(evidence["layernorm"])
    (line,) = [line for line in ax.lines if line.get_color() == POST]
    rms = (run["block_grad_norms"][0] / np.sqrt(run.constants["block_sizes"])).tolist()
    assert set(line.get_xdata().tolist()) <= set(rms) and len(line.get_xdata()) == len(ax.get_yticks()) == 9
    curves = study_transformer.plot_curves(evidence["layernorm"])
    assert any(np.array_equal(line.get_ydata(), run["fixed_loss"]) for line in curves.lines if line.get_color() == POST)


def test_final_losses_are_those_at_the_best_rate(evidence, quiet):
    t = evidence["rates"]["tuned"]
    best, rate = at_best_rate(t.where(norm="post", optimizer="gd"), "fixed_loss")
    assert rate == 0.1 and best.cells == 2
    ax = study_transformer.plot_final_losses(evidence["rates"], "tuned")
    expected = np.concatenate([t.where(norm="post", optimizer=rule, lr=0.1)["fixed_loss"] for rule in RULES])
    np.testing.assert_array_equal(heights(ax, POST), np.sort(expected))
    assert "below $10^{-6}$" in words(ax.figure)  # sign descent solves pre-LN
    assert labelled_level(ax, "chance") == np.log(8)
    rates = study_transformer.plot_losses_by_rate(evidence["rates"], "tuned", "post")
    rings = {line.get_markeredgecolor(): float(line.get_xdata()[0]) for line in rates.lines
             if line.get_markersize() == 10 and len(line.get_xdata())}
    assert set(rings) == set(HUES.values()) and set(rings.values()) == {0.1}
    assert "diverged" in words(rates.figure)


def test_a_rate_at_which_a_seed_failed_is_not_the_best():
    t = table("rates", "tuned", grid(norm=["post"], optimizer=["gd"], lr=[0.1, 1.0]),
              fixed_loss=lambda c: np.where(c["lr"] == 1.0, np.where(c["seed"] == 0, 0.1, np.nan), 1.0))
    assert at_best_rate(t, "fixed_loss")[1] == 0.1
    with pytest.raises(Inconclusive, match="no rate of the sweep"):
        at_best_rate(t.where(lr=1.0), "fixed_loss")


# -- panels of heads ---------------------------------------------------------------------------------------------------


def test_drift_beside_its_prediction_from_most_classes_a_sample_down(evidence, quiet):
    t = evidence["head"]["drift"]
    ax = study_head.plot_drift(evidence["head"])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["300, 32", "100, 32", "10, all"]
    np.testing.assert_array_equal(heights(ax, HUES["signgd"]), np.sort(t.where(momentum=0.0)["drift"]))
    np.testing.assert_array_equal(heights(ax, HUES["signgd"], face="white"), np.sort(t.where(momentum=0.9)["drift"]))
    np.testing.assert_array_equal(heights(ax, HUES["signgd"], "s", face="white"), np.sort(t.where(momentum=0.99)["drift"]))
    levels = [line.get_ydata()[0] for line in ax.lines if line.get_color() == "black" and len(line.get_xdata())]
    np.testing.assert_allclose(levels, [0.94, 0.11, 0.11] * 3, rtol=1e-13)
    share = study_head.plot_gauge_shares(evidence["head"])
    np.testing.assert_array_equal(heights(share, HUES["signgd"]), np.sort(t.where(momentum=0.0)["gauge_share"]))
    norms = study_head.plot_head_norms(evidence["head"])
    spans = [line.get_ydata() for line in norms.lines if len(line.get_xdata()) == 2 and line.get_color() == HUES["signgd"]]
    assert all(low == pytest.approx(8.0) and high >= 10.0 for low, high in spans) and len(spans) == 9


def test_projected_twins_and_rates_of_the_head(evidence, quiet):
    ax = study_head.plot_projected(evidence["head"])
    own = heights(ax, HUES["signgd"])
    np.testing.assert_array_equal(own, heights(ax, plotting.COLOURS["ink"], "D", face="white"))
    tuned = study_head.plot_tuned(evidence["head"])
    t = evidence["head"]["noisy_labels"].where(optimizer="signgd")
    means = [t.where(lr=lr)["train_loss"].mean() for lr in (0.01, 0.1, 1.0)]
    np.testing.assert_allclose(stroke(tuned, HUES["signgd"]).get_ydata(), means, rtol=1e-13)
    assert labelled_level(tuned, "chance") == np.log(300)


def test_more_sizes_of_the_head(evidence, quiet):
    t = evidence["many_classes"]["classes"]
    ax = study_head.plot_best_losses(evidence["many_classes"], "classes")
    np.testing.assert_array_equal(heights(ax, HUES["adam"]), np.sort(t.where(optimizer="adam", lr=0.1)["train_loss"]))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["2, 32", "10, 32", "100, 32"]
    conditions = study_head.plot_conditions(evidence["many_classes"])
    assert [text.get_text() for text in conditions.get_xticklabels()] == ["n = 512", "all samples", "n = 32\nno shared mean"]
    np.testing.assert_array_equal(heights(conditions, HUES["signgd"]), np.sort(evidence["many_classes"]["large_batch"]["drift"]))
