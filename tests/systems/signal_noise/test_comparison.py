"""Update rules side by side: claims and their controls on real runs, fair rates, figures, stage tables next to each other."""

import numpy as np
import pytest

from dynsim import check
from dynsim.claims import Inconclusive
from dynsim.sweep import Table
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.claims import comparison as claims
from dynsim.systems.signal_noise.crossing import crossed_share

FIGURE3 = signal_noise.experiment("figure3")
RULES = ["signgd", "adam:0.9,eps=0", "adam:0.0,eps=0", "adam:0,0,0", "gd"]


@pytest.fixture(scope="module")
def study():
    return signal_noise.comparison(FIGURE3, RULES, seeds=2)


@pytest.fixture(scope="module")
def evidence(study):
    return study.run(workers=1)


def test_every_claim_holds_at_figure_3_and_none_on_its_control(evidence):
    report = check(evidence)
    assert {v.id for v in report.verdicts} == {claim.id for claim in claims.CLAIMS}
    assert report.counts == {"holds": len(claims.CLAIMS), "violated": 0, "inconclusive": 0, "not applicable": 0}, str(report)
    controls = check(evidence, claims.CLAIMS, control=True)
    assert len(controls.verdicts) == len(claims.CLAIMS) and controls.counts["violated"] == len(claims.CLAIMS), str(controls)


def test_rules_that_are_not_compared_are_named(evidence):
    table = evidence["rules"]
    report = check({"rules": table.rows(table["optimizer"] == "signgd")})
    assert "not compared: Adam with beta2 >= 0.99 (adam:0.9)" in report["adam_loss_bends"].note
    assert report["adam_losses_coincide"].verdict == report["gd_generalises_on_average"].verdict == "inconclusive"
    assert report["signgd_loss_straight"].verdict == "holds"
    one = check({"rules": table.rows(np.isin(table["optimizer"], RULES[:2]))})
    assert "differ in beta1 alone" in one["adam_losses_coincide"].note


def test_the_same_data_and_weights_under_every_rule(study, evidence):
    table = evidence["rules"]
    first = [table.where(optimizer=rule)["train_loss"][:, 0] for rule in RULES]
    assert all(loss == pytest.approx(first[0], rel=1e-13) for loss in first[1:])
    assert [e.seed for e in study.shown.values()] == [FIGURE3.seed] * len(RULES)
    run = study.shown["signgd"].replace(record=("train_loss",)).run()
    course = claims.courses(table, claims.is_signgd)[0]
    steps, loss = course.series("train_loss")
    shared = np.isin(run.at, steps)
    assert run["train_loss"][shared] == pytest.approx(loss[0][np.isin(steps, run.at)], rel=1e-9)  # the batch is padded: other bits


def test_slopes_of_a_known_course():
    steps = np.arange(0, 901, 5)
    loss = np.stack([0.7 * np.exp(-0.006 * steps), 1.0 / (1.0 + steps)])
    at, rates = claims.slopes(steps, loss)
    assert at[0] == 25 and at[-1] == 875 and rates[0] == pytest.approx(0.006)
    assert rates[1] == pytest.approx(np.log((1 + at + 25) / (1 + at - 25)) / 50)


def test_a_rate_of_ones_own_leaves_claims_about_the_preset_rate_aside():
    study = signal_noise.comparison(signal_noise.experiment("tiny"), ["signgd", "gd"], seeds=1, rates={"signgd": 0.02})
    point = study.plans["rules"].over[0]
    assert point["lr"] == 0.02 and study.plans["rules"].over[1]["lr"] == 0.1 and study.plans["rules"].over[1]["steps"] == 120
    report = check(study.run(workers=1))
    assert report["signgd_loss_straight"].verdict == "not applicable"


def test_bad_rules_are_named():
    for rules, message in (([], "is empty"), (["signgd", "signgd"], "given twice"), (["sgd"], "did you mean"), (["adam:2"], "beta1=2.0")):
        with pytest.raises(ValueError, match=message):
            signal_noise.comparison(FIGURE3, rules)


# -- fair rates --------------------------------------------------------------------------------------------------------------------


def searched(*rows):
    """Return a table of rates: (rule, rate, steps to the target of three seeds)."""
    columns = {
        "optimizer": np.repeat([row[0] for row in rows], 3), "lr": np.repeat([float(row[1]) for row in rows], 3),
        "seed": np.tile([0, 1, 2], len(rows)), "reached": np.array([x for row in rows for x in row[2]], dtype=float),
        "error": np.full(3 * len(rows), ""),
    }
    return Table(columns, ("optimizer", "lr"))


def test_a_fair_rate_is_the_fastest_that_is_not_one_giant_step():
    slow, good, giant, lost = (400, 380, 420), (120, 90, 150), (1, 1, 2), (50, np.nan, np.nan)
    table = searched(("gd", 0.1, slow), ("gd", 0.4, good), ("gd", 30, giant), ("signgd", 1, slow), ("signgd", 2, lost))
    assert signal_noise.fair_rates(table) == {"gd": (0.4, 120.0), "signgd": (1.0, 400.0)}
    assert signal_noise.fair_rates(table, least=1)["gd"] == (30.0, 1.0)
    with pytest.raises(ValueError, match="no rate of gd takes the training loss to the target in 500 steps or more"):
        signal_noise.fair_rates(table, least=500)


def test_a_fair_comparison_ends_when_the_first_rule_is_there():
    study = signal_noise.fair_comparison(FIGURE3, ["gd", "signgd"], searched(("gd", 0.4, (120, 130, 140)), ("signgd", 1e-4, (200,) * 3)))
    plan = study.plans["rules"]
    assert [(p["optimizer"], p["lr"], p["steps"]) for p in plan.over] == [("gd", 0.4, 390), ("signgd", 1e-4, 130)]
    assert "classify_at" not in plan.experiment.options and study.shown["signgd"].steps == 130


def test_the_search_covers_a_factor_of_512_around_the_experiments_rates():
    plan = signal_noise.rate_search(FIGURE3, ["signgd", "gd"], target=0.05)
    rates = {rule: [p["lr"] for p in plan.over if p["optimizer"] == rule] for rule in ("signgd", "gd")}
    assert rates["gd"] == pytest.approx([0.1 * 2.0**k for k in range(-3, 7)]) and rates["signgd"][3] == 5e-5
    assert plan.measure == ("reached=train_loss<=0.05",)


# -- query noise that crosses -------------------------------------------------------------------------------------------------------


def test_crossed_pairs_are_counted_on_rows_that_keep_their_sign():
    first = np.array([[1.0, -1.0, -2.0], [1.0, -1.0, 0.0], [1.0, 1.0, 1.0]])
    last = np.array([[1.0, 3.0, -0.1], [-1.0, -1.0, 5.0], [-1.0, -1.0, -1.0]])
    share, pairs = crossed_share(first, last, np.array([1.0, -1.0, -1.0]), np.array([True, True, False]))
    assert pairs == 3 and share == pytest.approx(2 / 3)  # of two against row 0 one crossed, of one against row 1 one
    share, pairs = crossed_share(first, last, np.array([0.0, 0.0, 0.0]), np.ones(3, dtype=bool))
    assert pairs == 0 and np.isnan(share)


# -- stage tables and figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(study):
    return {label: study.shown[label].run() for label in ("signgd", "adam:0.9,eps=0")}


def test_stage_tables_next_to_each_other(runs):
    columns, rows = signal_noise.stages_beside(runs)
    assert columns == ("event", "signgd", "adam:0.9,eps=0") and len(rows) == 8
    cells = {row[0]: row[1:] for row in rows}
    assert cells["train_loss <= 0.01"][1] == "> 900" and 800 < cells["train_loss <= 0.01"][0] < 900
    assert cells["end of Stage I, mean value noise"][0] == signal_noise.stage_table(runs["signgd"])["I"].end
    bare = FIGURE3.replace(record=("train_loss",), steps=5).run()
    assert signal_noise.stages_beside({"bare": bare}) == (("event", "bare"), [])
    assert signal_noise.stages_beside({"bare": bare, **runs})[1][0][1] == "not recorded"


def shown(figure):
    figure.canvas.draw()
    return [t.get_text() for t in figure.texts] + [t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title, ax._left_title)]


def test_figures_carry_verdicts_and_rates(evidence, runs):
    drawn = {name: shown(draw({**evidence, **runs})) for name, draw in signal_noise.STUDY_FIGURES["comparison"].items()}
    assert set(drawn) == {"rules", "equal_loss"}
    assert "(a) Noise and signals, signgd, lr 5e-05" in drawn["rules"] and "adam_query_noise_stays: holds" in drawn["rules"]
    assert sum(text.endswith(": holds") for text in drawn["rules"]) == 6 and "gd_generalises_on_average: holds" in drawn["equal_loss"]


def test_a_figure_without_runs_says_so(evidence):
    texts = shown(signal_noise.STUDY_FIGURES["comparison"]["rules"](evidence))
    assert sum("no run of" in text for text in texts) == 2
    with pytest.raises(Inconclusive, match="no table 'rules'"):
        signal_noise.STUDY_FIGURES["comparison"]["rules"]({})


# -- what the comparison is held to -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_twenty_seeds_of_figure_3():
    rules = ["signgd", "adam:0.9", "adam:0.5", "adam:0.0", "adam:0,0,0", "adam:0,0.5,0", "gd", "gd:lr=0.3"]
    evidence = signal_noise.comparison(FIGURE3, rules, seeds=20).run()
    table = evidence["rules"]
    assert table.errors == []
    report = check(evidence)
    assert report.counts["holds"] == len(claims.CLAIMS), report.text(full=True)
    control = table.where(optimizer="adam:0,0.5,0")["crossed"]  # a short memory of the gradient's size, and the noise turns
    assert control.min() > 0.9 and control.mean() > 0.94
    other = check({"rules": table.rows(table["optimizer"] != "gd")})  # gradient descent at three times the rate
    assert other["gd_generalises_in_every_seed"].verdict == other["gd_generalises_on_average"].verdict == "holds"
    assert np.isfinite(table["train_loss"][table["steps"] == 900][:, :181]).all()
