"""``dynsim report``: what it writes, what it refuses, and with which status it ends."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dynsim import Experiment
from dynsim.claims import Inconclusive
from dynsim.report import html_report
from dynsim.simulate import Interrupted
from dynsim.systems import signal_noise

TINY = ["signal_noise", "--preset", "tiny"]


@pytest.fixture(scope="module")
def tiny():
    return signal_noise.experiment("tiny").run()


@pytest.fixture
def saved(tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    tiny.save(tmp_path / "mine" / "trajectory.npz")
    return tmp_path / "mine"


def test_a_preset_and_its_saved_run_give_the_same_page(dynsim, saved, tiny, tmp_path, monkeypatch):
    page = tmp_path / "out.html"
    status, out, err = dynsim("report", *TINY, "--html", page, "--figures", "none")
    assert (status, err) == (0, "") and f"wrote {page} (" in out and "10 holds; figures: none" in out
    assert page.read_text(encoding="utf-8") == html_report(tiny, "none", title="preset tiny")
    assert not list(tmp_path.glob("*.partial"))
    for target in (saved, saved / "trajectory.npz"):
        status, _, err = dynsim("report", target, "--html", page, "--figures", "none", "--overwrite", "--quiet")
        assert (status, err) == (0, "") and page.read_text(encoding="utf-8") == html_report(tiny, "none", title="mine")
    assert str(tmp_path) not in page.read_text(encoding="utf-8")
    monkeypatch.chdir(saved)
    assert dynsim("report", ".", "--html", "here.html", "--figures", "none")[0] == 0
    assert "<h1>signal_noise, mine</h1>" in (saved / "here.html").read_text(encoding="utf-8")


def test_options_of_the_experiment(dynsim, tmp_path):
    page = tmp_path / "out.html"
    status, out, _ = dynsim("report", *TINY, "--set", "n=2", "--steps", "1e1", "--html", page, "--figures", "none", "--json")
    document, text = json.loads(out), page.read_text(encoding="utf-8")
    assert status == 0 and document["file"] == str(page) and document["kind"] == "dynsim html report"
    assert sum(document["counts"].values()) == len(signal_noise.CLAIMS) and document["figures"] == []
    assert "Preset tiny, changed: n=2, 10 steps." in text and '<td class="id">n</td><td class="number">2</td>' in text
    config = tmp_path / "secret" / "mine.toml"
    config.parent.mkdir()
    config.write_text(signal_noise.experiment("tiny").to_toml(), encoding="utf-8")
    assert dynsim("report", "--config", config, "--html", page, "--figures", "none", "--overwrite", "--quiet")[:2] == (0, "")
    assert "<h1>signal_noise, mine.toml</h1>" in page.read_text(encoding="utf-8")


def test_figures_that_lack_data_or_fail(dynsim, saved, tmp_path, monkeypatch):
    def lacking(run):
        raise Inconclusive("test_loss not recorded")

    def broken(run):
        raise ZeroDivisionError("no")

    monkeypatch.setattr(signal_noise, "FIGURES", {"lacking": lacking, "broken": broken}, raising=False)
    monkeypatch.setattr(signal_noise, "MAIN_FIGURES", ("lacking",), raising=False)
    status, out, err = dynsim("report", saved, "--html", tmp_path / "one.html")
    assert (status, err) == (0, "") and "figure lacking not drawn: test_loss not recorded" in out
    status, out, err = dynsim("report", saved, "--html", tmp_path / "two.html", "--figures", "all")
    assert status == 3 and err == "dynsim: figure broken failed: ZeroDivisionError: no\n"
    assert "ZeroDivisionError" in (tmp_path / "two.html").read_text(encoding="utf-8")


def test_a_violated_claim_is_a_status_on_request(dynsim, tiny, tmp_path):
    replace(tiny, arrays={**tiny.arrays, "mean_value_signal": np.sqrt(tiny["mean_value_signal"])}).save(tmp_path / "broken.npz")
    command = ("report", tmp_path / "broken.npz", "--figures", "none", "--overwrite", "--html", tmp_path / "out.html")
    assert dynsim(*command)[0] == 0
    assert dynsim(*command, "--strict")[0] == 1


def test_ctrl_c_leaves_a_page_of_what_there_is(dynsim, tiny, tmp_path, monkeypatch):
    def stopped(self, **options):
        raise Interrupted(replace(tiny, status="interrupted", message="interrupted at step 5"))

    monkeypatch.setattr(Experiment, "run", stopped)
    status, _, err = dynsim("report", *TINY, "--html", tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert status == 130 and err == "dynsim: interrupted at step 5\n" and "interrupted at step 5" in text and "<figure" not in text


@pytest.mark.parametrize(("given", "words"), [
    ([], "--html"),
    (["--html", "{}"], "is a folder: give a file, such as {}/report.html"),
    (["--html", "{}/mine/trajectory.npz"], "exists: pass --overwrite"),
    (["--html", "{}/nowhere/out.html"], "there is no folder {}/nowhere"),
    (["--html", "{}/out.html", "--seed", "1"], "--seed does not go with a saved run"),
    (["--html", "{}/out.html", "--set", "n=2"], "--set does not go with a saved run"),
])
def test_refusals_come_first_and_name_the_fix(dynsim, saved, tmp_path, given, words):
    status, out, err = dynsim("report", saved, *(text.format(tmp_path) for text in given))
    assert status == 2 and out == "" and words.format(tmp_path) in err and err.startswith("dynsim: error: ")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"] and len(list(saved.iterdir())) == 1


def test_what_is_no_run(dynsim, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").touch()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").touch()
    (tmp_path / "empty").mkdir()
    for target, words in (
        (tmp_path / "sweep", "folder of a sweep"), (tmp_path / "study", "folder of a study"),
        (tmp_path / "empty", "holds no trajectory.npz"), ("signal_nois", "no run folder, no file and no system"),
    ):
        status, _, err = dynsim("report", target, "--html", tmp_path / "out.html")
        assert status == 2 and words in err
    status, _, err = dynsim("report", *TINY, "--optimizer", "adam", "--engine", "lumped", "--html", tmp_path / "out.html")
    assert status == 2 and "--engine auto" in err and not (tmp_path / "out.html").exists()
