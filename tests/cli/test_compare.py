"""The commands that run several rules or a study by name."""

import csv
import json

import pytest

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
    status, _, err = dynsim(*COMPARE, "--optimizers", "gd", "--steps", "1", "--fair", "--figures", "none")
    assert status == 2 and "choose another target" in err


BAD = {
    "unknown rule": ([*COMPARE, "--optimizers", "signgd,adamw"], "unknown optimizer 'adamw'"),
    "no rule": ([*COMPARE, "--optimizers", ","], "is empty"),
    "twice": ([*COMPARE, "--optimizers", "gd,gd"], "given twice"),
    "seeds": ([*COMPARE, "--seeds", "0"], "--seeds '0'"),
    "no preset": (["compare", "signal_noise"], "give --preset NAME"),
    "a grid of a system that has none": (["run", "signal_noise", "--preset", "tiny", "--snr", "1"], "has no grid of runs"),
    "unknown study": (["study", "signal_noise", "theorm"], "did you mean 'theorem'"),
}


@pytest.mark.parametrize("argv, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line(argv, message, dynsim):
    status, _, err = dynsim(*argv)
    assert status == 2 and message in err and err.count("\n") == 1


def test_studies_are_listed(dynsim):
    status, out, _ = dynsim("list", "studies")
    assert status == 0 and "signal_noise theorem" in out and "growing_d: test loss" in out


def test_rules_are_values_of_a_sweep(dynsim):
    status, out, err = dynsim("sweep", "signal_noise", "--preset", "tiny", "--over", "optimizer=signgd,adam:0.9,eps=0,gd", "--measure",
                              "train_loss@end,course=train_loss@every10,underflow", "--steps", "40", "--workers", "1")
    assert status == 0, err
    assert "adam:0.9,eps=0" in out
