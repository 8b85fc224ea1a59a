"""Studies under the command that runs presets: dynsim run SYSTEM --preset STUDY."""

import json
from argparse import Namespace
from dataclasses import replace

import pytest

from dynsim.cli.study import ALONE, is_study
from dynsim.optimizers import GradientDescent
from dynsim.registry import SYSTEMS, system_module
from dynsim.study import Plan, Study
from dynsim.systems import gradient_heterogeneity as gh

RUN = ["run", "gradient_heterogeneity", "--preset"]
START = gh.experiment("gradient_path").replace(
    setting=gh.Quadratic(blocks=2, size=2, k=4.0), optimizer=GradientDescent(0.1), steps=0, record=("train_loss",),
)


@pytest.fixture
def few(monkeypatch):
    """A study of two small sweeps and a run, which the system has for the length of a test."""
    plans = {
        "curves": Plan(START, {"k": [1.0, 4.0]}, 2, ("start",), "curvatures of two blocks"),
        "ends": Plan(START.replace(steps=3), {"lr": [0.1]}, 1, ("outcome",), "where three steps lead"),
    }
    study = Study("Two blocks, side by side", plans, {"path": START.replace(steps=3)})
    monkeypatch.setitem(gh.STUDIES, "few", study)
    return study


def test_a_study_is_made_where_a_preset_is_asked_for(dynsim, few, tmp_path):
    status, out, err = dynsim(*RUN, "few", "--seeds", "1", "--workers", "1", "--figures", "none", "--out", tmp_path / "s")
    assert (status, err) == (0, "")
    assert "Two blocks, side by side: 2 sweeps, 1 runs" in out and "curves: curvatures of two blocks" in out and "ends\n" in out
    files = {path.relative_to(tmp_path / "s").as_posix() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    assert files >= {"study.json", "report.json", "report.csv", "report.tex", "sweeps/curves/table.csv", "sweeps/ends/rows.jsonl"}
    about = json.loads((tmp_path / "s" / "study.json").read_text())
    assert (about["name"], about["system"]) == ("few", "gradient_heterogeneity")
    assert set(about["sweeps"]) == {"curves", "ends"} and set(about["runs"]) == {"path"}
    rows = (tmp_path / "s" / "sweeps" / "curves" / "rows.jsonl").read_bytes()
    status, out, _ = dynsim(*RUN, "few", "--seeds", "1", "--workers", "1", "--figures", "none", "--out", tmp_path / "s", "--json")
    assert status == 0 and json.loads(out)["kind"] == "dynsim few", "the same command goes on"
    assert (tmp_path / "s" / "sweeps" / "curves" / "rows.jsonl").read_bytes() == rows
    status, _, err = dynsim(*RUN, "gradient_path", "--out", tmp_path / "s", "--figures", "none")
    assert status == 2 and str(tmp_path / "s") in err, "a run does not go where a study is"


def test_it_is_the_study_of_that_name(dynsim, few, tmp_path):
    options = ["--workers", "1", "--figures", "none", "--quiet"]
    assert dynsim(*RUN, "few", *options, "--out", tmp_path / "run")[0] == 0
    assert dynsim("study", "gradient_heterogeneity", "few", *options, "--out", tmp_path / "study")[0] == 0
    for file in ("study.json", "report.json", "sweeps/curves/table.csv", "sweeps/ends/table.csv"):
        assert (tmp_path / "run" / file).read_text() == (tmp_path / "study" / file).read_text(), file
    rows = (tmp_path / "run" / "sweeps" / "curves" / "rows.jsonl").read_text().splitlines()
    assert len(rows) == 2 * few.plans["curves"].seeds, "its own number of seeds where none is given"


def test_strictness_and_errors_are_those_of_a_study(dynsim, few, monkeypatch):
    broken = replace(few, plans={"ends": replace(few.plans["ends"], over=[{"lr": 0.1}, {"lr": -1.0}])}, shown={})
    monkeypatch.setitem(gh.STUDIES, "few", broken)
    status, out, _ = dynsim(*RUN, "few", "--workers", "1", "--strict")
    assert status == 3 and "lr=-1" in out


OPTIONS = {
    "optimizer": "gd", "lr": "0.1", "steps": "3", "until": "1", "target_loss": "0.1", "seed": "1", "record": "train_loss", "every": "2",
    "closely": "2", "points": "9", "snr": "1", "optimizers": "gd", "set": "k=3", "engine": "dense", "overwrite": None,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_one_run_do_not_go_with_a_study(name, dynsim, few):
    flag = f"--{name.replace('_', '-')}"
    status, out, err = dynsim(*RUN, "few", "--workers", "1", flag, *([OPTIONS[name]] if OPTIONS[name] else []))
    assert status == 2 and out == "" and err.count("\n") == 1
    assert f"{flag} does not go with 'few', which is a study of many runs" in err and "dynsim list studies" in err


def test_every_option_of_one_run_is_tried():
    assert set(ALONE) - {"config"} <= set(OPTIONS)


def test_a_file_and_a_study_do_not_go_together(dynsim, few, tmp_path):
    (tmp_path / "e.toml").write_text(START.to_toml(), encoding="utf-8")
    status, _, err = dynsim(*RUN, "few", "--config", tmp_path / "e.toml")
    assert status == 2 and "give --preset or --config, not both" in err


@pytest.mark.parametrize("given, near", [("layernrm", "layernorm"), ("gradient_pth", "gradient_path"), ("pre_l", "pre_ln")])
def test_unknown_names_are_compared_with_presets_and_studies(given, near, dynsim):
    status, _, err = dynsim(*RUN, given)
    assert status == 2 and f"unknown preset {given!r}: did you mean {near!r}?" in err and "layernorm" in err and "sign_path" in err


def test_a_preset_is_still_a_run(dynsim):
    status, out, err = dynsim(*RUN, "gradient_path", "--steps", "2", "--record", "train_loss")
    assert status == 0, err
    assert "preset gradient_path" in out and "study" not in out.split("\n")[0]


def test_a_name_of_both_is_the_preset():
    both = [(system, name) for system in SYSTEMS for name in getattr(system_module(system), "STUDIES", {})
            if name in getattr(system_module(system), "PRESETS", {})]
    assert ("attention_kernels", "text") in both
    for system, name in both:
        assert not is_study(Namespace(system=system, preset=name, config=None)), (system, name)
    assert is_study(Namespace(system="attention_kernels", preset="queries", config=None))
