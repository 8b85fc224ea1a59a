"""Sweeps, power laws, the theorem and phase diagrams from the command line."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from dynsim import load_table, sweep
from dynsim.cli import main
from dynsim.sweep import geometric
from dynsim.systems import signal_noise

from ..sweep.test_engine import assert_same_table

TINY = signal_noise.experiment("tiny")
SWEEP = ["sweep", "signal_noise", "--preset", "tiny", "--workers", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps") / "s"
    argv = [*SWEEP, "--over", "m_k=2,4,8,16", "--over", "lr=0.005:0.02:3", "--seeds", "3", "--measure", "train_loss<0.6,clock", "--out",
        out]
    assert main([str(a) for a in argv]) == 0
    return out


def test_a_sweep_is_that_of_python_and_is_written_as_csv_and_netcdf(folder):
    over = {"m_k": [2, 4, 8, 16], "lr": geometric(0.005, 0.02, 3)}
    table = sweep(TINY, over, seeds=3, measure=["train_loss<0.6", "clock"], workers=1)
    assert_same_table(load_table(folder), table)
    assert_same_table(load_table(folder / "table.nc"), table)
    with open(folder / "table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 36


def test_what_a_sweep_prints(dynsim, folder):
    status, out, err = dynsim(*SWEEP, "--over", "m_k=2,4,8,16", "--over", "lr=0.005:0.02:3", "--seeds", "3", "--measure",
        "train_loss<0.6,clock",
                              "--out", folder)
    assert status == 0 and err == ""
    assert "12 points, 36 cells" in out and "train_loss<0.6" in out and "table.csv, table.nc" in out


def test_json_has_the_points(dynsim):
    status, out, _ = dynsim(*SWEEP, "--over", "m_k=2,4", "--seeds", "5,7", "--measure", "train_loss@end", "--steps", "9", "--json")
    document = json.loads(out)
    assert status == 0 and document["kind"] == "dynsim sweep" and document["cells"] == 4 and document["about"]["seeds"] == [5, 7]
    assert document["columns"] == ["m_k", "seeds", "train_loss@end", "errors"] and len(document["points"]) == 2


def test_a_measure_of_another_kind_of_settings_is_bad_input(dynsim, tmp_path):
    status, _, err = dynsim("sweep", "gradient_heterogeneity", "--preset", "gradient_path", "--measure", "drift", "--out", tmp_path / "s")
    assert status == 2 and "of settings of kind Head, not Quadratic" in err and not (tmp_path / "s").exists()


def test_points_from_a_file_and_from_a_sample(dynsim, tmp_path):
    (tmp_path / "points.csv").write_text("m_k, sigma_p\n2, 1.5\n4,2\n")
    status, out, _ = dynsim(*SWEEP, "--points", tmp_path / "points.csv", "--measure", "train_loss@end", "--out", tmp_path / "a")
    assert status == 0
    table = load_table(tmp_path / "a")
    assert table["m_k"].tolist() == [2, 4] and table["sigma_p"].tolist() == [1.5, 2.0]
    status, *_ = dynsim(*SWEEP, "--over", "sigma_p=0.5:8", "--over", "m_k=2:9", "--sample", "6", "--measure", "train_loss@end", "--out",
        tmp_path / "b")
    assert status == 0 and load_table(tmp_path / "b").cells == 6


def test_failing_cells_are_told_and_change_the_exit_status(dynsim):
    status, out, _ = dynsim(*SWEEP, "--over", "s=4,400", "--measure", "train_loss@end")
    assert status == 3 and "failed: s=400, seed=0: ValueError: s=400 must be at most" in out


def test_another_sweep_in_the_folder_is_refused(dynsim, folder):
    status, out, err = dynsim(*SWEEP, "--over", "m_k=2,4", "--out", folder)
    assert status == 2 and "holds another sweep: design.axes.m_k: [2, 4, 8, 16] in the folder, [2, 4] now" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--over", "m_k"], "NAME=VALUES"), (["--over", "m_k=1:2"], "LOW:HIGH:COUNT"), (["--over", "m_k=a:b:3"], "must be numbers"),
        (["--over", "m_kk=2"], "did you mean 'm_k'"), (["--over", "m_k=2", "--over", "m_k=4"], "given twice"),
        (["--sample", "5"], "needs ranges"), (["--sample", "5", "--over", "m_k=2,4"], "LOW:HIGH"), (["--seeds", "x"], "--seeds 'x'"),
        (["--seeds", "0"], "--seeds '0'"), (["--seeds", "1.5"], "--seeds '1.5'"), (["--measure", "t_atn"], "did you mean 't_attn'"),
            (["--points", "nowhere.csv"], "nowhere.csv"),
        (["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "not both"), (["--workers", "0"], "workers=0"),
        (["--over", "m_k=2", "--points", "x.csv"], "not both"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(dynsim, argv, says):
    status, _, err = dynsim("sweep", "signal_noise", "--preset", "tiny", *argv)
    assert status == 2 and says in err and err.count("\n") == 1


def test_points_that_are_no_table(dynsim, tmp_path):
    (tmp_path / "bad.csv").write_text("m_k,s\n2\n")
    status, _, err = dynsim(*SWEEP, "--points", tmp_path / "bad.csv")
    assert status == 2 and "a line of different variables" in err


def test_a_scheduler_that_does_not_answer(dynsim, monkeypatch):
    pytest.importorskip("distributed")
    import distributed

    def silent(*args, **options):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", silent)
    status, _, err = dynsim("sweep", "signal_noise", "--preset", "tiny", "--scheduler", "tcp://127.0.0.1:1")
    assert status == 2 and "no Dask scheduler answers there" in err


# -- scaling -------------------------------------------------------------------------------------------------------------


def test_scaling_prints_laws_and_draws_them(dynsim, folder):
    status, out, err = dynsim("scaling", folder, "--quantity", "train_loss<0.6")
    assert status == 0, err
    assert "train_loss<0.6 ~ m_k^" in out and "local slopes in lr" in out and "no exponents of the theory" in out
    assert len(list((folder / "figures").glob("scaling_train_loss*.png"))) == 1


@pytest.mark.slow
def test_scaling_of_theory_quantities_comes_with_verdicts(dynsim, tmp_path):
    argv = ["sweep", "signal_noise", "--preset", "theory", "--workers", "1", "--quiet", "--over", "lr=2e-6,4e-6,8e-6", "--over",
        "m_k=12,25",
            "--seeds", "2", "--out", tmp_path / "s"]  # fmt: skip
    assert dynsim(*argv)[0] == 0
    status, out, _ = dynsim("scaling", tmp_path / "s", "--figures", "none")
    assert status == 0 and "t_attn_exponent_lr" in out and "t_loss_exponent_m_k" in out and "spans a factor of 2.08 only" in out
    assert not (tmp_path / "s" / "figures").exists()
    status, out, _ = dynsim("scaling", tmp_path / "s", "--quantity", "t_attn", "--json", "--figures", "none", "--method", "bootstrap")
    document = json.loads(out)
    assert document["kind"] == "dynsim scaling" and document["laws"][0]["quantity"] == "t_attn"
    assert {v["id"] for v in document["report"]["verdicts"]} == {"t_attn_exponent_lr", "t_attn_exponent_m_k", "t_attn_constant"}


def test_strict_scaling_has_the_status_of_a_violated_claim(dynsim, tmp_path):
    table = sweep(TINY, {"lr": [0.0025, 0.005, 0.01]}, seeds=3, measure=["t_loss"], steps=500, workers=1)
    steep = {**table.columns, "t_loss": table["lr"] ** -2.0 * (1 + 1e-3 * table["seed"])}
    replace(table, columns=steep).save(tmp_path / "steep.nc")
    status, out, _ = dynsim("scaling", tmp_path / "steep.nc", "--strict")
    assert status == 1 and "violated       t_loss_exponent_lr" in out
    assert dynsim("scaling", tmp_path / "steep.nc")[0] == 0


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--quantity", "t_atn"], "the sweep measured train_loss<0.6, T_key"), (["--quantity", "kappa", "--over", "n"], "varies m_k, lr"),
        ([], "give --quantity"), (["--quantity", "T_key", "--level", "2"], "level"),
    ],
)
def test_bad_scaling_input_is_one_line(dynsim, folder, argv, says):
    status, _, err = dynsim("scaling", folder, *argv)
    assert status == 2 and says in err and err.count("\n") == 1


def test_scaling_without_a_fit(dynsim, tmp_path):
    assert dynsim(*SWEEP, "--over", "m_k=2,4", "--measure", "train_loss<1e-9", "--steps", "5", "--out", tmp_path, "--quiet")[0] == 0
    status, _, err = dynsim("scaling", tmp_path, "--quantity", "train_loss<1e-09")
    assert status == 2 and "no power law can be fitted" in err
    assert dynsim("scaling", tmp_path / "nothing")[0] == 2


# -- theorem and phase diagrams ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_theorem(monkeypatch):
    """The study with a few cheap points, so that the command itself can be tried."""
    study = signal_noise.STUDIES["theorem"]
    base = {"s": 20, "m_k": 8, "lr": 4e-5}
    points = {"sweep": [base, {**base, "lr": 8e-5}, {**base, "m_k": 32}], "growing_d": [{**base, "d": 10**4}, {**base, "d": 10**6}]}
    plans = {name: replace(study.plans[name], experiment=study.plans[name].experiment.vary(base), over=over) for name,
        over in points.items()}
    monkeypatch.setitem(signal_noise.STUDIES, "theorem", replace(study, plans=plans))


@pytest.mark.slow
def test_the_theorem_as_one_command_that_goes_on_where_it_was_stopped(dynsim, tmp_path, small_theorem):
    status, out, err = dynsim("theorem", "signal_noise", "--out", tmp_path / "t", "--seeds", "2", "--workers", "1", "--figures", "none")
    assert status == 0, err
    assert "t_loss_sandwich" in out and "growing_d: test loss" in out
    names = {path.name for path in (tmp_path / "t").iterdir()}
    assert names >= {"study.json", "report.json", "report.csv", "report.tex", "exponents.csv", "sweeps", "dynsim.json"}
    before = (tmp_path / "t" / "sweeps" / "sweep" / "rows.jsonl").read_bytes()
    status, out, err = dynsim("theorem", "signal_noise", "--out", tmp_path / "t", "--seeds", "2", "--workers", "1", "--json")
    assert status in (0, 3)  # figures of so few points may be impossible: they are told
    assert json.loads(out)["kind"] == "dynsim theorem"
    assert (tmp_path / "t" / "sweeps" / "sweep" / "rows.jsonl").read_bytes() == before
    status, _, err = dynsim("theorem", "signal_noise", "--out", tmp_path / "t", "--seeds", "3", "--workers", "1")
    assert status == 2 and "seeds: [0, 1] in the folder, [0, 1, 2] now" in err


@pytest.mark.slow
def test_a_refused_theorem_leaves_the_finished_report_alone(dynsim, tmp_path, small_theorem):
    arguments = ("theorem", "signal_noise", "--out", tmp_path / "t", "--workers", "1", "--figures", "none")
    assert dynsim(*arguments, "--seeds", "2")[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "t").iterdir() if path.is_file()}
    assert dynsim(*arguments, "--seeds", "3")[0] == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "t").iterdir() if path.is_file()} == before
    assert dynsim(*arguments, "--seeds", "0")[0] == 2


def test_a_run_folder_is_not_taken_for_a_theorem(dynsim, tmp_path):
    assert dynsim("run", "signal_noise", "--preset", "tiny", "--out", tmp_path / "r", "--figures", "none", "--quiet")[0] == 0
    for command in (("theorem", "signal_noise"), ("phase", "signal_noise", "value")):
        status, _, err = dynsim(*command, "--out", tmp_path / "r")
        assert status == 2 and "already holds a run" in err
    assert (tmp_path / "r" / "trajectory.npz").exists()


def test_check_of_a_sweep_points_to_scaling(dynsim, folder):
    status, _, err = dynsim("check", folder)
    assert status == 2 and "dynsim scaling" in err


def test_verdicts_are_counted(dynsim):
    status, out, _ = dynsim(*SWEEP, "--over", "m_k=2,4", "--seeds", "2", "--measure", "verdicts")
    assert status == 0 and "stage_one_end" in out and "4 holds" in out and max(map(len, out.splitlines())) < 160


def test_a_theorem_folder_that_is_not_ours(dynsim, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    status, _, err = dynsim("theorem", "signal_noise", "--out", tmp_path)
    assert status == 2 and "left alone" in err


def test_a_phase_diagram_of_ones_own_sweep(dynsim, tmp_path):
    measure = "stage_one_end,train_loss@end"
    assert dynsim(*SWEEP, "--over", "m_k=2,4", "--over", "s=4,6", "--seeds", "2", "--measure", measure, "--out", tmp_path / "s",
        "--quiet")[0] == 0
    status, out, _ = dynsim("phase", tmp_path / "s", "--quantity", "stage_one_end,train_loss@end")
    assert status == 0 and "stage_one_end: Stage I ends" in out and "2/2" in out and "s / m_k" in out
    assert {p.name for p in (tmp_path / "s" / "phase").iterdir()} >= {"phase.png", "phase.svg", "phase.json"}
    status, out, _ = dynsim("phase", tmp_path / "s", "--x", "s", "--y", "m_k", "--json")
    diagram = json.loads(out)["diagrams"]["stage_one_end"]
    assert status == 0 and np.shape(diagram["values"]) == (2, 2)


@pytest.mark.slow
def test_a_built_in_phase_diagram(dynsim, tmp_path, monkeypatch):
    whole = signal_noise.DIAGRAMS["value"]
    small = replace(whole, over={name: values[:2] for name, values in whole.over.items()}, seeds=1) if hasattr(whole.over,
        "items") else replace(
        whole, over=list(whole.over)[:4], seeds=1)
    monkeypatch.setitem(signal_noise.DIAGRAMS, "value", small)
    status, out, err = dynsim("phase", "signal_noise", "value", "--out", tmp_path / "p", "--workers", "1")
    assert status == 0, err
    assert {p.name for p in (tmp_path / "p").iterdir()} >= {"value.png", "value.json", "sweep"}
    assert dynsim("phase", "signal_noise", "value", "--out", tmp_path / "p", "--workers", "1")[0] == 0


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["signal_noise"], "name a diagram: value"), (["signal_noise", "walue"], "no diagram 'walue'"),
        (["signal_noise", "value", "--x", "m_k"], "--x is for the folder of a sweep"), (["nowhere"], "nowhere is no sweep"),
        (["nowhere", "value"], "is no system"),
    ],
)
def test_bad_phase_input_is_one_line(dynsim, argv, says):
    status, _, err = dynsim("phase", *argv)
    assert status == 2 and says in err and err.count("\n") == 1


@pytest.mark.parametrize("table", ["measures", "diagrams", "claims"])
def test_lists(dynsim, table):
    status, out, _ = dynsim("list", table)
    assert status == 0 and {"measures": "t_attn", "diagrams": "memorisation", "claims": "t_attn_exponent_m_k"}[table] in out
    assert json.loads(dynsim("list", table, "--json")[1])[table]
