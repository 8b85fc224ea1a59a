"""Figures: drawn from the evidence, with the verdicts they show; attention as images with its numbers."""

import numpy as np
import pytest

from dynsim import check
from dynsim.claims import Inconclusive
from dynsim.sweep import Table
from dynsim.systems import noisy_mnist
from dynsim.systems.noisy_mnist import figures
from dynsim.systems.noisy_mnist.attention import attended, trained_run
from tests.systems.noisy_mnist.test_sweep_claims import obeying


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_test_loss_and_early_stopping_with_their_verdicts():
    evidence = {name: obeying(name) for name in ("token", "border")}
    ids = {"snr": [], "stopping": []}
    for id in (v.id for v in check(evidence).verdicts):
        ids["stopping" if "monotone" in id else "snr"].append(id)
    for name, draw in (("snr", figures.snr), ("stopping", figures.stopping)):
        figure = draw(evidence)
        shown = words(figure)
        assert all(f"{id}: holds" in shown for id in ids[name]) and len(figure.axes) == (4 if name == "snr" else 6)
        assert "n = 100" in shown and "gd:lr=5 5" in shown  # the number of samples and every rate


def test_a_line_is_the_mean_over_seeds_and_a_band_its_interval():
    table = obeying("token")
    ax = figures.plot_against_snr({"token": table}, "token", "test_error")
    line = next(line for line in ax.get_lines() if line.get_label() == "GD")
    of_gd = table.where(optimizer="gd:lr=5", snr=0.5)["test_error@train_loss<=0.01"]
    assert line.get_ydata()[2] == pytest.approx(of_gd.mean()) and len(ax.collections) == 3


def test_rules_that_did_not_run_are_left_out():
    table = obeying("token")
    evidence = {"token": table.rows(table["optimizer"] != "adam")}
    assert len(figures.stopping(evidence).axes) == 2
    ax = figures.plot_against_snr(evidence, "token", "test_loss")
    assert [line.get_label() for line in ax.get_lines()][:2] == ["SignGD", "GD"]
    assert "mnist_token_adam_above_gd: inconclusive" in words(ax.figure)


def test_two_rates_of_a_rule_are_two_curves():
    table = obeying("token")
    adam = np.where(table["optimizer"] == "adam", "gd", table["optimizer"])
    evidence = {"token": Table({**table.columns, "optimizer": adam}, table.axes, table.about)}
    ax = figures.plot_against_snr(evidence, "token", "test_loss")
    lines = {line.get_label(): line for line in ax.get_lines()[:3]}
    assert set(lines) == {"SignGD", "GD", "GD lr=5"} and lines["GD"].get_linestyle() != lines["GD lr=5"].get_linestyle()
    of_gd = table.where(optimizer="adam", snr=0.5)["test_loss@train_loss<=0.01"]
    assert lines["GD"].get_ydata()[2] == pytest.approx(of_gd.mean())
    stopping = figures.stopping(evidence)
    assert len(stopping.axes) == 3 and all(len(ax.get_lines()) == 4 for ax in stopping.axes)
    assert "GD lr=5, construction 'token'" in words(stopping)


def test_one_seed_has_no_band():
    evidence = {"token": obeying("token", seeds=1)}
    figure = figures.snr(evidence)
    assert "one seed" in words(figure) and "interval" not in words(figure).partition("\nSNR")[0] and not figure.axes[1].collections
    assert "5 seeds, bands: 95 % t-intervals" in words(figures.snr({"token": obeying("token")}))


def test_nothing_to_draw_is_said(table):
    with pytest.raises(Inconclusive, match="none of the sweeps"):
        figures.snr({"sweep": table})
    assert "no 'border'" in words(figures.plot_against_snr({"token": table}, "border", "test_error").figure)


def test_attention_of_each_rule_with_its_numbers(table):
    shown = words(figures.STUDY_FIGURES["snr"]["attention_token"]({"token": table}))
    for text, name in (("signgd", "SignGD"), ("adam", "Adam"), ("gd", "GD")):
        run = trained_run(table, text, 0.2, 0)
        p = attended(run)["train"].attention
        assert f"{name}, step {run.last_step}" in shown
        assert f"training {p[:, 0, 0].mean():.2f}, {p[:, 1, 0].mean():.2f}" in shown
    assert "test sample, a 7, y = -1" in shown and "on noise" in shown


def test_figures_of_a_run(small):
    run = small.run()
    for name, draw in noisy_mnist.FIGURES.items():
        figure = draw(run)
        assert "seed 0" in words(figure), name
    p = attended(run)["test"].attention[0]
    assert f"{p[0, 0]:.2f}" in words(figure) and np.allclose(p.sum(-1), 1.0)
    bare = small.replace(steps=2, record=("train_loss",)).run()
    assert "test_loss not recorded" in words(figures.course(bare))
