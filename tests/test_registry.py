"""Systems of other packages: found by entry point or path, by every command and in worker processes; and every way they can be wrong."""

import sys

import pytest

from dynsim import sweep
from dynsim.cli.new import write_project
from dynsim.registry import GROUP, NEEDED, SYSTEMS, installed_systems, is_system, system_module, system_names, system_title


def install(folder, monkeypatch, modules, package="somebody"):
    """Put a folder on the path with the metadata that pip writes for a package with these systems (name to module)."""
    about = folder / f"{package}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(f"{name} = {module}\n" for name, module in modules.items()))
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def their_paper(tmp_path, monkeypatch):
    """A system of another package, installed."""
    write_project("their_paper", tmp_path)
    install(tmp_path, monkeypatch, {"their_paper": "their_paper"})
    yield "their_paper"
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_paper"]:
        del sys.modules[name]


def test_a_system_of_another_package_is_found(their_paper):
    assert their_paper not in SYSTEMS and installed_systems()[their_paper] == "their_paper"
    assert system_names() == (*SYSTEMS, *installed_systems()) and is_system(their_paper)
    assert system_module(their_paper).experiment("plateau").system == their_paper
    assert system_title(their_paper).startswith("In-context regression") and system_title("signal_noise") == SYSTEMS["signal_noise"]


def test_the_list_has_it(their_paper, capsys):
    from dynsim.cli import main

    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert f"{their_paper}        In-context" in out and f"{their_paper} plateau" in out and "u v follows the logistic curve" in out


@pytest.mark.slow
def test_worker_processes_find_it(their_paper):
    start = system_module(their_paper).experiment("plateau")
    there, here = (sweep(start, {"N": [8, 16, 32]}, workers=workers) for workers in (2, 1))
    assert list(there["logistic"]) == ["holds"] * 3 and (there["train_loss@end"] == here["train_loss@end"]).all()


def test_a_path_is_a_system_and_a_file_name_is_none():
    assert system_module("dynsim.skeleton").experiment("plateau").build().provenance["system"] == "dynsim.skeleton"
    for name in ("run.npz", "dynsim.nothing", "figure3.toml", "dynsim", "..", "dynsim..skeleton", "os", ""):
        assert not is_system(name)
    with pytest.raises(ValueError, match="unknown system 'signal_nois': did you mean 'signal_noise'"):
        system_module("signal_nois")


def test_what_is_no_system_says_what_it_lacks():
    with pytest.raises(ValueError, match="'os.path' is no system: the module os.path lacks Setting, best, .*dynsim new"):
        system_module("os.path")
    assert all(hasattr(system_module(name), needed) for name in SYSTEMS for needed in NEEDED)


def test_a_broken_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_paper.py").write_text("1 / 0\n")
    install(tmp_path, monkeypatch, {"broken_paper": "broken_paper", "absent_paper": "no_module_of_this_name"})
    with pytest.raises(ImportError, match="system 'broken_paper': .* cannot be imported .ZeroDivisionError: division by zero"):
        system_module("broken_paper")
    with pytest.raises(ImportError, match="system 'absent_paper': its module no_module_of_this_name cannot be imported"):
        system_module("absent_paper")


def test_one_name_has_one_system(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, {"signal_noise": "os", "contested": "a.b"}, package="somebody")
    assert system_module("signal_noise").__name__ == "dynsim.systems.signal_noise"  # nobody takes the place of a system of dynsim's
    install(tmp_path, monkeypatch, {"contested": "a.b"}, package="same")
    assert installed_systems()["contested"] == "a.b"
    install(tmp_path, monkeypatch, {"contested": "c.d"}, package="another")
    with pytest.raises(ValueError, match="two installed packages, .*another.*have a system 'contested': uninstall one"):
        system_module("contested")
