"""The command that writes a system of one's own: it runs as it is written, its own test passes, and nothing is overwritten."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from dynsim.cli.new import write_project

from ..test_registry import install

ROOT = Path(__file__).parents[2]
ROOMS = ("__init__", "claims", "data", "figures", "model", "presets")
FILES = [*(f"my_paper/{room}.py" for room in ROOMS), "pyproject.toml", "tests/test_my_paper.py"]


def test_it_writes_a_project(dynsim, tmp_path):
    folder = tmp_path / "deep" / "project"
    status, out, err = dynsim("new", "my_paper", "--out", folder)
    assert (status, err) == (0, "") and f"pip install -e {folder} && dynsim run my_paper && pytest {folder}" in out
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == FILES
    about = tomllib.loads((folder / "pyproject.toml").read_text())
    assert about["project"]["entry-points"] == {"dynsim.systems": {"my_paper": "my_paper"}}
    assert about["tool"]["setuptools"]["packages"] == ["my_paper"]


def test_every_name_in_it_is_the_given_one(dynsim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = dynsim("new", "gamma2", "--json")
    document = json.loads(out)
    assert status == 0 and document["folder"] == "gamma2" and "tests/test_gamma2.py" in document["files"]
    for path in document["files"]:
        text = (tmp_path / "gamma2" / path).read_text()
        assert "my_paper" not in text and "dynsim.skeleton" not in text
        if path.endswith(".py"):
            compile(text, path, "exec")


@pytest.mark.parametrize("name", ["", "my-paper", "2nd", "class", "My", "é", "a.b", "../up", "_paper", "__init__", "a b"])
def test_a_name_must_be_a_module_name(dynsim, tmp_path, name):
    status, out, err = dynsim("new", "--out", tmp_path / "x", "--", name)
    assert (status, out) == (2, "") and f"name={name!r} must be a Python name" in err and not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["signal_noise", "numpy", "dynsim", "json", "tests"])
def test_a_name_must_be_free(dynsim, tmp_path, name):
    status, _, err = dynsim("new", name, "--out", tmp_path / "x")
    assert status == 2 and f"name={name!r} is taken" in err and not (tmp_path / "x").exists()


def test_nothing_is_overwritten(dynsim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_paper").mkdir()  # empty: may be used
    assert dynsim("new", "my_paper")[0] == 0
    mine = tmp_path / "my_paper" / "my_paper" / "model.py"
    mine.write_text("# mine")
    (tmp_path / "file").write_text("mine, too")
    for folder in ("my_paper", "file"):
        status, _, err = dynsim("new", "my_paper", "--out", folder)
        assert status == 2 and f"{folder} exists and is not an empty folder; nothing is overwritten: give another --out DIR" in err
    assert mine.read_text() == "# mine" and (tmp_path / "file").read_text() == "mine, too"


@pytest.mark.slow
def test_installed_in_a_fresh_environment_it_runs_and_passes_its_test(tmp_path):
    """What the command tells to do next, by the letter, from the folder above: pip needs its index."""
    venv.create(tmp_path / "env", with_pip=True)
    programs = next(p for p in (tmp_path / "env" / "bin", tmp_path / "env" / "Scripts") if p.exists())
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    python, command = str(programs / "python"), str(programs / "dynsim")
    source = tmp_path / "source"  # a copy: setuptools would leave its build in the checkout, and take up what is there from before
    shutil.copytree(ROOT / "dynsim", source / "dynsim", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "LICENSE", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    run(python, "-m", "pip", "install", "--quiet", f"{source}[test]")
    run(command, "new", "my_paper")
    run(python, "-m", "pip", "install", "--quiet", "-e", "./my_paper")
    assert "1 holds" in run(command, "run", "my_paper", "--out", "runs/mine")
    assert (tmp_path / "runs" / "mine" / "figures" / "product.svg").exists()
    assert "my_paper plateau" in run(command, "list", "presets")
    assert "2 holds" in run(command, "sweep", "my_paper", "--over", "N=8,16", "--workers", "2")  # worker processes find it, too
    assert "2 passed" in run(str(programs / "pytest"), "my_paper")
    assert "1 holds" in run(python, "-m", "dynsim", "run", "my_paper")  # here the folder of the same name comes first on the path


def test_its_own_test_passes_as_it_is_written(tmp_path, monkeypatch):
    """Without pip: the folder on the path, and beside it the metadata that pip would write."""
    write_project("own_paper", tmp_path)
    install(tmp_path, monkeypatch, {"own_paper": "own_paper"})
    done = {}
    try:
        exec(compile((tmp_path / "tests" / "test_own_paper.py").read_text(), "test_own_paper.py", "exec"), done)
        done["test_dynsim_finds_it_by_name"]()
        done["test_preset"]("plateau")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "own_paper"]:
            del sys.modules[name]
