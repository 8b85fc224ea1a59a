"""Update rules side by side: claims and their controls on real runs, fair rates, figures, stage tables next to each other."""

import numpy as np
import pytest

from dynsim import GradientDescent, check
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
    for id in ("adam_losses_coincide", "gd_generalises_on_average"):
        assert report[id].verdict in ("inconclusive", "not applicable") and np.isnan(report[id].margin) and report[id].note
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


def test_claims_about_figure_3_are_not_judged_elsewhere(evidence):
    study = signal_noise.comparison(signal_noise.experiment("tiny").replace(steps=120), ["signgd", "gd"], seeds=1, rates={"signgd": 0.02})
    point = study.plans["rules"].over[0]
    assert point["lr"] == 0.02 and study.plans["rules"].over[1]["lr"] == 0.1 and study.plans["rules"].over[1]["steps"] == 360
    assert check(study.run(workers=1))["signgd_loss_straight"].verdict == "not applicable"
    table = evidence["rules"]
    slower = {**table.columns, "lr": np.where(table["optimizer"] == "signgd", 1e-4, table["lr"])}
    report = check({"rules": Table(slower, table.axes, table.about, table.docs)})
    assert report["signgd_loss_straight"].verdict == "not applicable" and report["adam_loss_bends"].verdict == "holds"


def broken(table, name, rule, seed, value):
    """Return evidence with the numbers of one rule and seed replaced."""
    column = np.array(table[name], dtype=object if name == "error" else None)
    column[(table["optimizer"] == rule) & (table["seed"] == seed)] = value
    return {"rules": Table({**table.columns, name: column.astype(str) if name == "error" else column}, table.axes, table.about, table.docs)}


@pytest.mark.parametrize("claim", [c.id for c in claims.CLAIMS if c.id != "adam_is_signgd_in_the_limit"])
def test_a_seed_that_is_lost_leaves_claims_about_every_seed_open(claim, evidence):
    """A run that failed, or numbers that are not finite, are told by name: nothing holds on what is left."""
    table = evidence["rules"]
    rule = "adam:0.0,eps=0" if "adam" in claim else "signgd" if "signgd" in claim else "gd"
    column = "crossed" if "query_noise" in claim else "train_loss"
    failed = check(broken(table, "error", rule, 1, "killed"))[claim]
    assert failed.verdict == "inconclusive" and f"{rule} failed in, or lacks, seeds 1" in failed.note
    verdict = check(broken(table, column, rule, 1, np.nan))[claim]
    assert verdict.verdict == "inconclusive", (verdict.verdict, verdict.where)


def test_seeds_without_opposed_noise_carry_no_weight(evidence):
    table = evidence["rules"]
    none = broken(table, "crossable", "signgd", 1, 0.0)["rules"]
    one = broken(none, "crossed", "signgd", 1, np.nan)
    assert check(one)["signgd_query_noise_crosses"].value == table.where(optimizer="signgd", seed=0)["crossed"][0]
    no = broken(broken(none, "crossed", "signgd", 1, np.nan)["rules"], "crossable", "signgd", 0, 0.0)
    assert "no query noise is against its row" in check(no)["signgd_query_noise_crosses"].note


def test_the_limit_is_judged_after_the_start_and_before_underflow(evidence):
    early = check(broken(evidence["rules"], "underflow", "adam:0,0,0", 1, 20.0))["adam_is_signgd_in_the_limit"]
    assert early.verdict == "inconclusive" and "fewer than 10 recorded losses" in early.note


def test_every_pair_of_rates_is_judged(evidence):
    table = evidence["rules"]
    slow = table.rows(table["optimizer"] == "gd")
    changes = {"optimizer": np.full(slow.cells, "gd:lr=0.03"), "lr": np.full(slow.cells, 0.03), "train_loss": slow["train_loss"] + 0.01}
    slow = {**slow.columns, **changes}
    for order in (0, 1):
        parts = [table.columns, slow][:: 1 - 2 * order]
        both = Table({name: np.concatenate([part[name] for part in parts]) for name in table.columns}, table.axes, table.about, table.docs)
        assert "gd:lr=0.03 does not reach" in check({"rules": both})["gd_generalises_on_average"].note


def test_bad_rules_are_named():
    for rules, message in (
        ([], "is empty"), (["signgd", "signgd"], "given twice"), (["adam", "adam:0.9"], "'adam' and 'adam:0.9' are one rule"),
        (["sgd"], "did you mean"), (["adam:2"], "beta1=2.0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            signal_noise.comparison(FIGURE3, rules)
    with pytest.raises(ValueError, match="steps=1 must be at least 2"):
        signal_noise.comparison(FIGURE3.replace(steps=1), ["gd"])


@pytest.mark.parametrize("steps", [405, 900, 1000, 2000, 6000])
def test_losses_are_recorded_so_that_slopes_span_fifty_steps_and_errors_meet_losses(steps):
    measures = signal_noise.comparison(FIGURE3.replace(steps=steps), ["gd"]).plans["rules"].measure
    loss, error = measures[0].every, measures[2].every
    assert 50 % loss == 0 and error % loss == 0 and steps / loss >= 180
    assert claims.slopes(np.arange(0, steps, loss), np.ones((1, len(range(0, steps, loss)))))[1].shape[1] > 0
    with pytest.raises(Inconclusive, match="50 steps apart"):
        claims.slopes(np.arange(0, 900, 22), np.ones((1, 41)))


def test_signs_are_classified_at_one_step_for_all_rules():
    study = signal_noise.comparison(signal_noise.experiment("theory"), ["gd", "signgd"])
    T_key = signal_noise.predict(signal_noise.preset("theory"), lr=2e-6).T_key
    assert {e.options["classify_at"] for e in study.shown.values()} == {round(0.7 * T_key)}


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
    with pytest.raises(ValueError, match="gd does not .* in 500 steps or more; every rate that gets there"):
        signal_noise.fair_rates(table, least=500)
    with pytest.raises(ValueError, match="signgd does not .* no rate gets there"):
        signal_noise.fair_rates(searched(("signgd", 2, lost)))


def test_a_fair_comparison_ends_when_the_first_rule_is_there():
    gd, sign = (("gd", 0.4, (120, 130, 140)), ("gd", 0.2, (220, 230, 240))), (("signgd", 1e-4, (200,) * 3), ("signgd", 5e-5, (300,) * 3))
    table = searched(*gd, *sign)
    search = signal_noise.rate_search(FIGURE3, ["gd", "signgd"])
    study = signal_noise.fair_comparison(FIGURE3, ["gd", "signgd"], search, table)
    plan = study.plans["rules"]
    assert [(p["optimizer"], p["lr"], p["steps"]) for p in plan.over] == [("gd", 0.4, 390), ("signgd", 1e-4, 130)]
    T_key = signal_noise.predict(FIGURE3.setting, lr=1e-4).T_key
    assert plan.experiment.options["classify_at"] == round(0.7 * T_key) and study.shown["signgd"].steps == 130
    assert study.plans["rates"] is search and study.about["rates"]["gd"] == {"lr": 0.4, "median_steps": 130.0}
    assert study.about["at_the_end_of_the_range"] == ["gd", "signgd"]
    assert list(study.run(workers=1, done={"rates": table, "rules": table})) == ["rates", "rules"]  # nothing is made twice


@pytest.mark.parametrize("options, message", [
    ({"target": 0.0}, "target=0.0 must be a finite training loss > 0"), ({"target": np.nan}, "target=nan"),
    ({"optimizers": ["gd:lr=0.2"]}, "names a rate"),
])
def test_bad_searches_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        signal_noise.rate_search(FIGURE3, **options)


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
    lost = signal_noise.experiment("tiny").replace(optimizer=GradientDescent(1e300)).run()
    calm = signal_noise.experiment("tiny").replace(steps=60, options={"classify_at": 59}).run()
    _, cells = signal_noise.stages_beside({"lost": lost, "calm": calm})
    assert "diverged" in {row[1] for row in cells} and all(isinstance(row[2], int | str) for row in cells)
    bare = FIGURE3.replace(record=("train_loss",), steps=5).run()
    assert signal_noise.stages_beside({"bare": bare}) == (("event", "bare"), [])
    assert signal_noise.stages_beside({"bare": bare, **runs})[1][0][1] == "not recorded"


def shown(figure):
    figure.canvas.draw()
    return [t.get_text() for t in figure.texts] + [t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title, ax._left_title)]


def test_figures_carry_verdicts_and_rates(evidence, runs):
    drawn = {name: shown(draw({**evidence, **runs})) for name, draw in signal_noise.STUDY_FIGURES["comparison"].items()}
    assert set(drawn) == {"rules", "equal_loss"}
    assert "(a) Noise and signals, signgd, lr 5e-05, seed 0" in drawn["rules"] and "adam_query_noise_stays: holds" in drawn["rules"]
    assert sum(text.endswith(": holds") for text in drawn["rules"]) == 6 and "gd_generalises_on_average: holds" in drawn["equal_loss"]


def test_a_figure_without_runs_says_so(evidence):
    texts = shown(signal_noise.STUDY_FIGURES["comparison"]["rules"](evidence))
    assert sum("no run of" in text for text in texts) == 2
    with pytest.raises(Inconclusive, match="no 'rules'"):
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
