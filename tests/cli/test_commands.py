"""The command line: what a user types, reads and finds on disk; and every way to get it wrong."""

import json
import os
import re
import signal
import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest

from dynsim import SignGD, __version__, check, load, simulate
from dynsim.claims import Inconclusive
from dynsim.cli import main, writing
from dynsim.cli.runfolder import MANIFEST
from dynsim.registry import SYSTEMS, system_module
from dynsim.systems import signal_noise

TINY = ["signal_noise", "--preset", "tiny"]
FLOW = ["cooccurrence", "--preset", "tiny", "--set", "n=6", "--set", "L=3", "--set", "m=5", "--set", "m1=2"]
HEAD = ["gradient_heterogeneity", "--preset", "sign_drift", "--set", "C=3", "--steps", "1"]
DATA = {"trajectory.npz", "experiment.toml", "report.json", "stages.csv"}

START = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from dynsim.cli import main; sys.exit(main())"
"""The command as a process; in a background job Ctrl-C would be ignored from the start."""


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(signal_noise, "FIGURES", {}, raising=False)
    monkeypatch.setattr(signal_noise, "MAIN_FIGURES", (), raising=False)


def fake_figures(monkeypatch, **figures):
    monkeypatch.setattr(signal_noise, "FIGURES", figures, raising=False)
    monkeypatch.setattr(signal_noise, "MAIN_FIGURES", tuple(figures)[:2], raising=False)


def picture(run):
    figure = matplotlib.figure.Figure(figsize=(2, 1))
    figure.subplots().plot(run.at, run["train_loss"])
    return figure


def found(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


# -- what it prints and writes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[sys.executable, "-m", "dynsim"], [os.path.join(os.path.dirname(sys.executable), "dynsim")]])
def test_installed_and_as_a_module(command):
    if not os.path.exists(command[0]):
        pytest.skip("dynsim is not installed as a command")
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dynsim {__version__}\n", "")


def test_run_prints_the_whole_story_and_writes_it(dynsim, tmp_path, monkeypatch):
    fake_figures(monkeypatch, loss=picture, again=picture, more=picture)
    status, out, err = dynsim("run", *TINY, "--out", tmp_path / "run")
    assert status == 0 and err == ""
    for part in (
        "preset tiny: reconstructed", "every number fits on a screen", "n=3 d=32", "signgd(lr=0.01), 40 steps, seed 0", "snr", "kappa",
        "conditions", "missed kappa >= 10", "lumped engine (the smallest system that is exact for signgd", "finished: ran 40 steps",
        "shared: 0 in this run's data, 0 expected", "0 ties", "underflow", "mean value noise", "just before / after",
        "inconclusive   ", "holds          value_signal_linear", f"wrote {tmp_path / 'run'}", "trajectory.npz",
        "figures/{again,loss}.png and .svg",
    ):
        assert part in out, part
    report = out[out.index("\nreport\n"):]
    order = [report.find(f"\n    {sort}") for sort in ("violated", "inconclusive", "not applicable", "holds")]
    assert [i for i in order if i >= 0] == sorted(i for i in order if i >= 0)
    figures = {f"figures/{name}.{kind}" for name in ("loss", "again") for kind in ("png", "svg")}
    assert found(tmp_path / "run") == {MANIFEST, *DATA, *figures}
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["schema"] == 1 and len(report["verdicts"]) == len(signal_noise.CLAIMS)
    assert (tmp_path / "run" / "stages.csv").read_text().startswith("kind,number,name,first,last")
    assert (tmp_path / "run" / "figures" / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "<svg" in (tmp_path / "run" / "figures" / "loss.svg").read_text()


def test_the_same_run_gives_the_same_figure_file(dynsim, tmp_path, monkeypatch):
    fake_figures(monkeypatch, loss=picture)
    for name in "ab":
        assert dynsim("run", *TINY, "--out", tmp_path / name, "--quiet") == (0, "", "")
    for kind in ("svg", "png"):
        assert len({(tmp_path / name / "figures" / f"loss.{kind}").read_bytes() for name in "ab"}) == 1


def test_a_folder_checked_again_gives_the_same_report(dynsim, tmp_path):
    _, first, _ = dynsim("run", *TINY, "--out", tmp_path / "run", "--figures", "none")
    story = first[first.index("\nrun\n"):first.index("\nwrote ")]
    for target in (tmp_path / "run", tmp_path / "run" / "trajectory.npz"):
        status, out, err = dynsim("check", target)
        assert (status, err) == (0, "") and out.rstrip("\n").endswith(story)
    assert found(tmp_path / "run") == {MANIFEST, *DATA}
    _, document, _ = dynsim("check", tmp_path / "run", "--json")
    assert json.loads(document)["report"] == json.loads((tmp_path / "run" / "report.json").read_text())
    _, full, _ = dynsim("check", tmp_path / "run", "--full")
    assert "measured" in full[full.index("holds          value_signal_linear"):] and len(full) > len(out)


HEAVY = {"landscape", "path", "fresh_head", "mnist", "mnist_border"}
"""Presets whose set-up takes seconds."""


@pytest.mark.parametrize("system, name", [
    pytest.param(s, n, marks=[pytest.mark.slow] if n in HEAVY else []) for s in SYSTEMS for n in system_module(s).PRESETS
])
def test_every_preset_runs_and_is_written(system, name, dynsim, tmp_path):
    module, short = system_module(system), ["--steps", 5]
    if module.experiment(name).flows:
        short = ["--until", 0.01, "--set", "n=12", "--set", "m=8", "--points", 30]
    status, out, err = dynsim("run", system, "--preset", name, *short, "--out", tmp_path / "run", "--figures", "none")
    assert (status, err) == (0, "") and "changed: " in out and ("5 steps" if short[0] == "--steps" else "to time 0.01") in out
    assert found(tmp_path / "run") == {MANIFEST, *DATA} - (set() if hasattr(module, "stage_table") else {"stages.csv"})


def test_check_without_a_folder_simulates_and_writes_nothing(dynsim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = dynsim("check", *TINY, "--seed", 1)
    assert status == 0 and "seed 1" in out and "wrote nothing" in out and not list(tmp_path.iterdir())
    (tmp_path / "signal_noise").mkdir()  # a folder of the system's name changes nothing
    assert dynsim("check", *TINY)[0] == 0
    dynsim("run", *TINY, "--out", "signal_noise", "--quiet", "--figures", "none")
    assert dynsim("check", *TINY, "--out", "written", "--figures", "none")[0] == 0 and found(tmp_path / "written") == {MANIFEST, *DATA}
    assert "simulated in" in dynsim("check", *TINY)[1] and "simulated in" not in dynsim("check", "signal_noise")[1]


def test_json_is_one_document(dynsim, tmp_path):
    status, out, err = dynsim("run", *TINY, "--json", "--out", tmp_path / "run", "--figures", "none")
    document = json.loads(out)
    assert (status, err, document["schema"], document["kind"]) == (0, "", 1, "dynsim summary")
    assert set(document["files"]) == DATA and document["folder"] == str(tmp_path / "run")
    assert document["provenance"]["engine"] == "lumped" and document["experiment"]["setting"]["n"] == 3
    assert document["predictions"]["T_key"] == pytest.approx(14.1, abs=0.01)
    assert [row["number"] for row in document["stages"][:4]] == ["I", "II", "III", "IV"] and document["stages"][3]["last"] is None
    assert document["report"]["counts"]["holds"] > 0 and document["ties"] == 0
    assert json.loads(dynsim("predict", *TINY, "--json")[1])["predictions"] == document["predictions"]
    listed = json.loads(dynsim("list", "--json")[1])
    assert {row["name"] for row in listed["presets"]} >= set(signal_noise.PRESETS) and len(listed["claims"]) >= len(signal_noise.CLAIMS)


def test_quiet(dynsim, tmp_path):
    assert dynsim("run", *TINY, "--quiet") == (0, "", "")
    assert dynsim("check", *TINY, "--quiet") == (0, "", "")
    assert json.loads(dynsim("run", *TINY, "--quiet", "--json")[1])["status"] == "finished"


def test_list_and_predict(dynsim):
    status, out, _ = dynsim("list")
    assert status == 0
    assert all(name in out for name in (*SYSTEMS, *signal_noise.PRESETS, *signal_noise.CLAIMS, "reconstructed", "Lemma 4.3"))
    assert dynsim("list", "systems")[1].splitlines()[0] == "systems" and "figure3" not in dynsim("list", "systems")[1]
    assert str(signal_noise.predict(signal_noise.preset("figure3"), lr=1e-4)) in dynsim(
        "predict", "signal_noise", "--preset", "figure3", "--lr", "1e-4")[1]
    assert "do not speak of gd" in dynsim("predict", *TINY, "--optimizer", "gd")[1]
    assert "simulated" not in out


@pytest.mark.parametrize("command", ["run", "check", "list", "predict", ""])
def test_help_states_the_exit_status(command, dynsim):
    status, out, _ = dynsim(*filter(None, [command, "--help"]))
    assert status == 0 and "exit status" in out and "130" in out


# -- options -----------------------------------------------------------------------------------------------------------


def described(dynsim, *options):
    status, out, err = dynsim("run", *TINY, "--json", "--steps", 2, *options)
    assert (status, err) == (0, "")
    return json.loads(out)


def test_options_mean_what_they_mean_in_python(dynsim, tmp_path):
    document = described(
        dynsim, "--set", "n=4", "--set", "d=1e6", "--set", "disjoint=false", "--set", "sigma_0=1e-3", "--lr", "1e-4", "--seed", 7,
        "--record", "train_loss,key_noise", "--record", "ties", "--every", 2, "--engine", "restricted",
    )
    experiment = document["experiment"]
    setting = signal_noise.preset("tiny").replace(n=4, d=10**6, disjoint=False, sigma_0=1e-3)
    assert experiment["setting"] == setting.to_dict() and experiment["record"] == ["train_loss", "key_noise", "ties"]
    assert (experiment["seed"], experiment["every"], document["provenance"]["engine"]) == (7, 2, "restricted")
    changes = "n=4, d=1000000, sigma_0=0.001, disjoint=false, signgd(lr=0.0001), 2 steps"
    assert experiment["note"].startswith(f"Preset tiny, changed: {changes}. For teaching")
    main(["run", *TINY, "--set", "n=4", "--steps", "3", "--out", str(tmp_path / "r"), "--quiet", "--figures", "none"])
    run = simulate(signal_noise.lumped(signal_noise.preset("tiny").replace(n=4), SignGD, seed=0), SignGD(0.01), steps=3)
    assert np.array_equal(load(tmp_path / "r" / "trajectory.npz")["key_noise"], run["key_noise"])


@pytest.mark.parametrize(
    "given, rule",
    [
        (["signgd"], {"rule": "signgd", "lr": 0.01, "momentum": 0.0}),
        (["signgd:0.9"], {"rule": "signgd", "lr": 0.01, "momentum": 0.9}),
        (["gd", "--lr", "0.5"], {"rule": "gd", "lr": 0.5, "momentum": 0.0}),
        (["gd:lr=0.25"], {"rule": "gd", "lr": 0.25, "momentum": 0.0}),
        (["adam"], {"rule": "adam", "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
        (["adam:0.8"], {"rule": "adam", "lr": 0.01, "beta1": 0.8, "beta2": 0.999, "eps": 1e-8}),
        (["adam:0.8,eps=0"], {"rule": "adam", "lr": 0.01, "beta1": 0.8, "beta2": 0.999, "eps": 0}),
        (["adam:beta1=0.8,beta2=0.9,eps=0", "--lr", "1e-3"], {"rule": "adam", "lr": 1e-3, "beta1": 0.8, "beta2": 0.9, "eps": 0}),
    ],
)
def test_optimizers(given, rule, dynsim):
    document = described(dynsim, "--optimizer", *given)
    assert document["provenance"]["optimizer"] == rule
    assert document["provenance"]["engine"] == ("restricted" if rule.get("eps") else "lumped")


def test_a_rate_of_ones_own_is_the_peak_of_the_presets_schedule(dynsim):
    small = ("run", "gradient_heterogeneity", "--preset", "sign_path", "--set", "blocks=2", "--set", "size=2", "--steps", 2, "--json")
    rules = []
    for given in (["gd:lr=0.5"], ["gd", "--lr", "0.5"]):
        status, out, _ = dynsim(*small, "--optimizer", *given)
        assert status == 0
        rules.append(json.loads(out)["provenance"]["optimizer"])
    assert rules[0] == rules[1] == {"rule": "gd", "lr": {"schedule": "linear", "peak": 0.5, "steps": 64, "warmup": 0}, "momentum": 0.0}


def test_a_flow_by_its_time_and_its_target(dynsim, tmp_path):
    status, out, err = dynsim("run", *FLOW, "--until", 40, "--target-loss", 0.3, "--points", 30, "--record", "train_loss,tau:5",
                              "--figures", "none", "--out", tmp_path / "run")
    assert (status, err) == (0, "") and "stopped at time" in out and not re.search(r"\bties\b|underflow", out)
    assert "to time 40 or to training loss 0.3, recorded at 30 times" in out
    run = load(tmp_path / "run" / "trajectory.npz")
    assert run.clock == "time" and 0 < run.last_step < 40 and abs(run["train_loss"][-1] - 0.3) < 1e-8 and len(run.at) <= 31
    assert run.provenance["engine"] == "lumped" and run.provenance["until"] == 40.0
    dynsim("run", "--config", tmp_path / "run" / "experiment.toml", "--out", tmp_path / "again", "--figures", "none", "--quiet")
    assert np.array_equal(load(tmp_path / "again" / "trajectory.npz")["train_loss"], run["train_loss"])
    assert dynsim("check", tmp_path / "run")[0] == 0
    for option in (["--until", 3], ["--target-loss", 3], ["--points", 3]):
        assert f"{option[0]} does not go with a saved run" in dynsim("check", tmp_path / "run", *option)[2]


def test_from_steps_to_a_flow_and_back(dynsim):
    options = ["--json", "--record", "train_loss"]
    flow = json.loads(dynsim("run", *TINY, "--optimizer", "flow:rtol=1e-6,method=RK45", "--until", 0.25, *options)[1])
    assert flow["provenance"]["optimizer"] == {"rule": "flow", "rtol": 1e-6, "atol": 1e-12, "method": "RK45"}
    assert flow["provenance"]["until"] == flow["experiment"]["until"] == 0.25 and flow["experiment"]["steps"] is None
    steps = json.loads(dynsim("run", *FLOW, "--optimizer", "gd", "--steps", 7, *options)[1])
    assert steps["provenance"]["optimizer"] == {"rule": "gd", "lr": 0.01, "momentum": 0.0}
    assert steps["provenance"]["steps"] == steps["experiment"]["steps"] == 7 and steps["experiment"]["until"] is None
    other = json.loads(dynsim("run", *FLOW, "--optimizer", "flow:1e-5", *options)[1])  # still a flow: the horizon stays
    assert other["experiment"]["until"] == system_module("cooccurrence").experiment("tiny").until


def test_a_flow_that_diverges_is_reported_saved_and_status_3(dynsim, tmp_path):
    status, out, _ = dynsim("run", *FLOW, "--set", "c0=1e200", "--out", tmp_path / "run", "--figures", "none")
    assert status == 3 and "diverged: " in out and load(tmp_path / "run" / "trajectory.npz").status == "diverged"
    assert dynsim("check", tmp_path / "run")[0] == 3


def test_a_run_folder_holds_what_it_takes_to_run_it_again(dynsim, tmp_path):
    dynsim("run", *TINY, "--optimizer", "adam:eps=0", "--lr", "1e-3", "--set", "n=2", "--out", tmp_path / "a", "--figures", "none")
    dynsim("run", "--config", tmp_path / "a" / "experiment.toml", "--out", tmp_path / "b", "--figures", "none")
    dynsim("run", "signal_noise", "--config", tmp_path / "a" / "experiment.toml", "--seed", 1, "--out", tmp_path / "c", "--figures", "none")
    a, b, c = (load(tmp_path / name / "trajectory.npz") for name in "abc")
    assert np.array_equal(a["key_noise"], b["key_noise"]) and not np.array_equal(a["key_noise"], c["key_noise"])
    assert a.provenance == b.provenance and (tmp_path / "a" / "report.json").read_bytes() == (tmp_path / "b" / "report.json").read_bytes()


def test_what_is_missing_is_said_and_not_invented(dynsim):
    status, out, _ = dynsim("run", *TINY, "--record", "train_loss")
    assert status == 0 and "no stage table" in out and "ties not recorded" in out and "not recorded: add to record=" in out


# -- exit status -------------------------------------------------------------------------------------------------------


def test_strict(dynsim, tmp_path, monkeypatch):
    assert dynsim("run", *TINY, "--strict")[0] == 0
    claim = next(c for c in signal_noise.CLAIMS.values() if c.id == "value_signal_linear")
    broken = {**signal_noise.CLAIMS, claim.id: type(claim)(claim.id, "broken", lambda e: type(claim.measure(e))(1.0, 2.0, 1.0, 0.5))}
    monkeypatch.setattr(signal_noise, "CLAIMS", broken)
    assert dynsim("run", *TINY, "--out", tmp_path / "run", "--figures", "none")[0] == 0
    assert dynsim("run", *TINY, "--strict")[0] == 1
    status, out, err = dynsim("check", tmp_path / "run", "--strict")
    assert status == 1 and "1 violated" in out and err == ""


def test_divergence_is_reported_saved_and_status_3(dynsim, tmp_path):
    wild = ["--lr", "1e153", "--set", "sigma_p=1e3", "--out", tmp_path / "run", "--figures", "none"]
    status, out, _ = dynsim("run", *TINY, *wild)
    assert status == 3 and "diverged: " in out and "try a smaller lr" in out
    assert load(tmp_path / "run" / "trajectory.npz").status == "diverged" and found(tmp_path / "run") >= DATA - {"stages.csv"}
    assert dynsim("check", tmp_path / "run")[0] == 3


def test_divergence_before_the_first_row(dynsim):
    status, out, err = dynsim("run", *TINY, "--set", "sigma_0=1e300")
    assert (status, err) == (3, "") and "nothing was recorded" in out


def test_a_figure_that_fails_costs_nothing_else(dynsim, tmp_path, monkeypatch):
    def broken(run):
        raise RuntimeError("no ink")

    def missing(run):
        raise Inconclusive("ties not recorded")

    fake_figures(monkeypatch, broken=broken, good=picture, missing=missing)
    status, out, err = dynsim("run", *TINY, "--out", tmp_path / "run", "--figures", "all")
    assert status == 3 and "figure broken failed: RuntimeError: no ink" in err and "figure missing not drawn: ties not recorded" in out
    assert found(tmp_path / "run") == {MANIFEST, *DATA, "figures/good.png", "figures/good.svg"}


def test_a_figure_without_data_is_no_failure(dynsim, tmp_path, monkeypatch):
    def missing(run):
        raise Inconclusive("ties not recorded")

    fake_figures(monkeypatch, missing=missing)
    assert dynsim("run", *TINY, "--out", tmp_path / "run", "--quiet") == (0, "", "")


@pytest.mark.slow
def test_the_real_figures_are_drawn(dynsim, tmp_path):
    assert dynsim("run", *TINY, "--out", tmp_path / "run", "--figures", "all", "--quiet") == (0, "", "")
    names = {p.stem for p in (tmp_path / "run" / "figures").glob("*.svg")}
    assert {p.stem for p in (tmp_path / "run" / "figures").glob("*.png")} == names == set(writing.figure_names("signal_noise", "all"))
    assert 0 < len(writing.figure_names("signal_noise", "main")) <= 3  # nobody wants twelve figures from a first command


def test_a_full_disk_costs_nothing_else(dynsim, tmp_path, monkeypatch, no_figures):
    from dynsim.trajectory import Trajectory

    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trajectory, "save", full)
    status, out, err = dynsim("run", *TINY, "--out", tmp_path / "run")
    assert status == 3 and "No space left on device" in err and "report" in out
    assert found(tmp_path / "run") == {MANIFEST, *DATA} - {"trajectory.npz"}


def test_recorded_quantities_that_a_form_does_not_have_are_told(dynsim):
    for options in ([], ["--quiet"]):
        status, _, err = dynsim("run", *HEAD, "--record", "train_loss,phi", *options)
        assert status == 0 and err == "dynsim: not recorded: phi; no quantity of this form of gradient_heterogeneity\n"
    assert dynsim("run", *HEAD, "--record", "train_loss,b_norm:2")[2] == "" == dynsim("run", *HEAD)[2]


BAD = {
    "no command": ([], "required: COMMAND"),
    "unknown command": (["rum"], "invalid choice: 'rum'"),
    "unknown option": (["run", *TINY, "--step", "3"], "--step"),
    "no system": (["run"], "name a SYSTEM"),
    "unknown system": (["run", "signal_nois"], "did you mean 'signal_noise'"),
    "no preset": (["run", "signal_noise"], "give --preset NAME (figure1"),
    "unknown preset": (["run", "signal_noise", "--preset", "figur3"], "did you mean 'figure3'"),
    "unknown field": (["run", *TINY, "--set", "sigmap=2"], "did you mean 'sigma_p'"),
    "no assignment": (["run", *TINY, "--set", "n"], "must read FIELD=VALUE"),
    "empty assignment": (["run", *TINY, "--set", "n="], "must read FIELD=VALUE"),
    "field no number": (["run", *TINY, "--set", "n=three"], "n='three' must be an integer"),
    "field no truth": (["run", *TINY, "--set", "disjoint=maybe"], "must be True or False"),
    "field out of range": (["run", *TINY, "--set", "sigma_p=-1"], "sigma_p=-1"),
    "field not finite": (["run", *TINY, "--set", "mu_norm=nan"], "mu_norm=nan"),
    "support too wide": (["run", *TINY, "--set", "s=40"], "s=40 must be at most"),
    "supports do not fit": (["run", *TINY, "--set", "n=30"], "disjoint=True needs n * s <= d - 1"),
    "unknown optimizer": (["run", *TINY, "--optimizer", "sgd"], "unknown optimizer 'sgd'"),
    "unknown hyper-parameter": (["run", *TINY, "--optimizer", "adam:beta=1"], "unknown adam field 'beta'"),
    "hyper-parameter out of range": (["run", *TINY, "--optimizer", "adam:beta1=1"], "beta1=1.0 must lie in"),
    "hyper-parameter no number": (["run", *TINY, "--optimizer", "adam:x"], "beta1='x'"),
    "too many hyper-parameters": (["run", *TINY, "--optimizer", "gd:0.1,0.2"], "too many numbers"),
    "lr twice": (["run", *TINY, "--optimizer", "gd:lr=1", "--lr", "2"], "lr is given twice"),
    "beta1 twice": (["run", *TINY, "--optimizer", "adam:0.9,beta1=0.8"], "beta1 is given twice"),
    "lr nan": (["run", *TINY, "--lr", "nan"], "lr=nan"),
    "lr inf": (["run", *TINY, "--lr", "inf"], "lr=inf"),
    "lr zero": (["predict", *TINY, "--lr", "0"], "lr=0.0"),
    "lr no number": (["run", *TINY, "--lr", "fast"], "'fast' is no number"),
    "negative steps": (["run", *TINY, "--steps", "-1"], "steps=-1 must be an integer >= 0"),
    "half a step": (["run", *TINY, "--steps", "1.5"], "'1.5' is no whole number"),
    "too many steps": (["run", *TINY, "--steps", "1e13"], "does not fit into memory"),
    "negative seed": (["run", *TINY, "--seed", "-1"], "seed=-1"),
    "every zero": (["run", *TINY, "--every", "0"], "every=0"),
    "flow without a time": (["run", *TINY, "--optimizer", "flow"], "--optimizer flow integrates a time: give --until"),
    "gd without steps": (["run", *FLOW, "--optimizer", "gd"], "--optimizer gd takes steps: give --steps"),
    "rate of a flow": (["run", *FLOW, "--lr", "0.1"], "gradient flow has no learning rate"),
    "rate of a chosen flow": (["run", *TINY, "--optimizer", "flow", "--until", "1", "--lr", "0.1"], "gradient flow has no learning rate"),
    "steps of a flow": (["run", *FLOW, "--steps", "5"], "needs until= and no steps="),
    "time of steps": (["run", *TINY, "--until", "5"], "needs steps= and no until="),
    "time no number": (["run", *FLOW, "--until", "soon"], "'soon' is no number"),
    "time not finite": (["run", *FLOW, "--until", "inf"], "until=inf"),
    "time negative": (["run", *FLOW, "--until", "-1"], "until=-1"),
    "target not positive": (["run", *TINY, "--target-loss", "0"], "target_loss=0.0"),
    "one point": (["run", *FLOW, "--points", "1"], "points=1 must be an integer >= 2"),
    "unknown solver": (["run", *FLOW, "--optimizer", "flow:method=RK4"], "unknown method 'RK4': did you mean 'RK45'"),
    "engine of another rule": (["run", *FLOW, "--optimizer", "gd", "--steps", "2", "--engine", "gram"], "use dense or lumped"),
    "unknown record": (["run", *TINY, "--record", "train_los"], "did you mean 'train_loss'"),
    "record of another form": (["run", *HEAD, "--record", "phi"], "record=phi: not a quantity of this form of gradient_het"),
    "unknown engine": (["run", *TINY, "--engine", "dens"], "did you mean 'dense'"),
    "inexact engine": (["run", *TINY, "--optimizer", "adam", "--engine", "lumped"], "--engine auto"),
    "unknown figures": (["run", *TINY, "--figures", "some"], "invalid choice: 'some'"),
    "preset and config": (["run", *TINY, "--config", "x.toml"], "not both"),
    "no such config": (["run", "--config", "nowhere.toml"], "nowhere.toml: No such file"),
    "no target": (["check"], "name a SYSTEM"),
    "no such target": (["check", "nowhere"], "no run folder, no file and no system"),
    "unknown table": (["list", "claim"], "invalid choice: 'claim'"),
}


@pytest.mark.parametrize("argv, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_on_stderr_and_status_2(argv, message, dynsim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if argv[:1] == ["run"]:
        argv = [*argv, "--out", "run"]
    status, _, err = dynsim(*argv)
    assert status == 2 and message in err and err.startswith("dynsim: error: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text, message",
    [
        ("steps =", "no TOML file"), ("setting = 3\nsystem = 'signal_noise'\nsteps = 1\noptimizer = 3", "describes no experiment"),
        ("system = 'signal_noise'\nsteps = 1\n[setting]\n[optimizer]\nrule = 'signgd'", "lacks lr"),
        ("system = 'signal_noise'\nsteps = 'many'\n[setting]\n[optimizer]\nrule = 'signgd'\nlr = 1.0", "steps='many'"),
        ("system = 'signal_noise'\nsteps = 1\nseed = 'x'\n[setting]\n[optimizer]\nrule = 'signgd'\nlr = 1.0", "seed='x'"),
        ("\x00\x01", "TOML"),
    ],
)
def test_bad_config(text, message, dynsim, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    status, out, err = dynsim("run", "--config", path)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1


def test_config_of_another_system(dynsim, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(signal_noise.experiment("tiny").to_toml())
    assert "did you mean 'signal_noise'" in dynsim("run", "signal_nose", "--config", path)[2]


# -- folders -----------------------------------------------------------------------------------------------------------


def test_rerun_is_refused_then_overwritten_exactly(dynsim, tmp_path, monkeypatch):
    fake_figures(monkeypatch, loss=picture)
    folder = tmp_path / "run"
    dynsim("run", *TINY, "--out", folder)
    before = (folder / "trajectory.npz").read_bytes()
    status, out, err = dynsim("run", *TINY, "--seed", 1, "--out", folder)
    assert (status, out) == (2, "") and "--overwrite" in err and (folder / "trajectory.npz").read_bytes() == before
    (folder / "notes.md").write_text("mine")
    status, _, _ = dynsim("run", *TINY, "--seed", 1, "--out", folder, "--overwrite", "--figures", "none")
    assert status == 0 and found(folder) == {MANIFEST, *DATA, "notes.md"} and load(folder / "trajectory.npz").provenance["seed"] == 1
    assert set(json.loads((folder / MANIFEST).read_text())["files"]) == DATA
    assert dynsim("run", *TINY, "--lr", "nan", "--out", folder, "--overwrite")[0] == 2
    assert dynsim("run", *TINY, "--record", "nope", "--out", folder, "--overwrite")[0] == 2
    assert found(folder) == {MANIFEST, *DATA, "notes.md"}


def test_foreign_and_unwritable_folders_are_refused_before_the_run(dynsim, tmp_path, monkeypatch):
    monkeypatch.setattr("dynsim.experiment.Experiment.run", lambda *_, **__: pytest.fail("simulated for nothing"))
    file = tmp_path / "thesis.tex"
    file.write_text("mine")
    for out, message in ((tmp_path, "no run folder of dynsim"), (file, "is a file"), (file / "below", "is a file")):
        status, printed, err = dynsim("run", *TINY, "--out", out, "--overwrite")
        assert (status, printed) == (2, "") and message in err
    assert found(tmp_path) == {"thesis.tex"}


def test_damaged_and_foreign_trajectories(dynsim, tmp_path):
    run = signal_noise.experiment("tiny").run()
    good = run.save(tmp_path / "good.npz").read_bytes()
    np.savez(tmp_path / "foreign.npz", x=np.arange(3))
    flipped = good[:4000] + b"\xff" * 64 + good[4064:]
    for name, content in {"cut": good[: len(good) // 2], "empty": b"", "text": b"hello", "flipped": flipped}.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
    for name in ("cut", "empty", "text", "flipped", "foreign"):
        status, out, err = dynsim("check", tmp_path / f"{name}.npz")
        assert (status, out) == (2, "") and re.search("damaged|no dynsim trajectory", err) and err.count("\n") == 1
    assert dynsim("check", tmp_path / "good.npz")[0] == 0
    assert "no trajectory.npz" in dynsim("check", tmp_path)[2]
    for option in (["--steps", 3], ["--set", "n=3"], ["--out", tmp_path / "run"]):
        assert f"{option[0]} does not go with a saved run" in dynsim("check", tmp_path / "good.npz", *option)[2]


def test_runs_that_cannot_be_judged_as_one(dynsim, tmp_path):
    several = simulate(signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=[0, 1]), SignGD(0.01), steps=2)
    several.save(tmp_path / "several.npz")
    status, _, err = dynsim("check", tmp_path / "several.npz")
    assert status == 2 and "replicates" in err and "Traceback" not in err


# -- processes ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_recorded(tmp_path):
    pty = pytest.importorskip("pty", reason="no terminals here")
    folder, (ours, theirs) = tmp_path / "run", pty.openpty()
    argv = ["run", *TINY, "--steps", "1_000_000", "--record", "train_loss,key_noise", "--out", str(folder)]
    process = subprocess.Popen([sys.executable, "-c", START, *argv], stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    err = _read_until(ours, "steps [1-9]")  # the meter: a terminal is watching
    process.send_signal(signal.SIGINT)
    err += _read_until(ours, "interrupted after step")
    process.send_signal(signal.SIGINT)  # impatience costs nothing
    out, _ = process.communicate(timeout=60)
    err += _read_until(ours, "no such text")
    os.close(ours)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "/1000000 [" in err and "saving what was recorded so far" in err
    assert "interrupted: " in out and "wrote" in out
    run = load(folder / "trajectory.npz")
    steps = run.last_step
    assert run.status == "interrupted" and 0 < steps < 1_000_000 and run.at.tolist() == list(range(steps + 1))
    whole = simulate(signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0), SignGD(0.01), steps=min(steps, 2000))
    for name in ("train_loss", "key_noise"):
        assert np.array_equal(run[name][: len(whole.at)], whole[name])
    assert found(folder) == {MANIFEST, *DATA} - {"stages.csv"}  # the stages need what was not recorded
    assert json.loads((folder / "report.json").read_text())["verdicts"]
    assert len(check(run).verdicts) == len(signal_noise.CLAIMS)


def _read_until(terminal, pattern):
    """Read a pseudo-terminal until a pattern appears or the other side is gone."""
    seen = ""
    while not re.search(pattern, seen):
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part.decode()
    return seen


def test_ctrl_c_before_and_while_drawing(dynsim, tmp_path, monkeypatch):
    def pressed(run):
        raise KeyboardInterrupt

    fake_figures(monkeypatch, first=picture, second=pressed)
    status, out, err = dynsim("run", *TINY, "--out", tmp_path / "run")
    assert status == 130 and "interrupted while drawing" in err
    assert found(tmp_path / "run") == {MANIFEST, *DATA, "figures/first.png", "figures/first.svg"}
    monkeypatch.setattr(signal_noise, "best", lambda *_, **__: pressed(None))
    status, _, err = dynsim("run", *TINY, "--out", tmp_path / "other")
    assert status == 130 and "before there was anything to save" in err and not (tmp_path / "other").exists()


def test_a_reader_that_leaves_does_not_cost_the_run(tmp_path):
    argv = ["run", *TINY, "--out", str(tmp_path / "run"), "--figures", "none"]
    process = subprocess.Popen([sys.executable, "-c", START, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(timeout=60) == 0
    process.stderr.close()
    assert found(tmp_path / "run") == {MANIFEST, *DATA}


def test_matplotlib_is_imported_only_to_draw(tmp_path):
    folder = str(tmp_path / "run")
    commands = [["run", *TINY], ["run", *TINY, "--out", folder, "--figures", "none"], ["list"], ["predict", *TINY], ["check", folder]]
    code = f"import sys; from dynsim.cli import main; [main(argv) for argv in {commands!r}]; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
