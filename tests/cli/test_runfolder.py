"""Run folders: written whole, rewritten exactly, and nothing of the user's touched."""

import json
import os

import pytest

from dynsim.cli import runfolder
from dynsim.cli.runfolder import MANIFEST, FolderError, RunFolder, read_manifest


def contents(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def filled(path, **files):
    folder = RunFolder(path)
    for name, text in files.items():
        folder.write_text(name.replace("__", "/").replace("_", "."), text)
    return folder


def test_lists_exactly_what_it_wrote(tmp_path):
    folder = filled(tmp_path / "deep" / "run", a_txt="1", figures__b_svg="2")
    assert read_manifest(folder.path) == ["a.txt", "figures/b.svg"] == folder.files
    manifest = json.loads((folder.path / MANIFEST).read_text())
    assert (manifest["kind"], manifest["schema"]) == ("dynsim run folder", 1)
    assert set(contents(folder.path)) == {MANIFEST, "a.txt", "figures/b.svg"}


def test_a_run_is_not_replaced_unasked(tmp_path):
    filled(tmp_path, a_txt="1")
    before = contents(tmp_path)
    with pytest.raises(FolderError, match=r"already holds a run: pass --overwrite"):
        RunFolder(tmp_path)
    assert contents(tmp_path) == before


def test_overwrite_replaces_what_dynsim_wrote_and_keeps_the_rest(tmp_path):
    filled(tmp_path, a_txt="old", b_txt="old", figures__one_svg="old", figures__two_svg="old", extra__x_csv="old")
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "figures" / "sketch.svg").write_text("mine")
    folder = RunFolder(tmp_path, overwrite=True, planned=["a.txt", "figures/one.svg"])
    folder.write_text("a.txt", "new")
    folder.write_text("figures/one.svg", "new")
    found = contents(tmp_path)
    assert found.pop(MANIFEST) and read_manifest(tmp_path) == ["a.txt", "figures/one.svg"]
    assert found == {"a.txt": "new", "figures/one.svg": "new", "notes.md": "mine", "figures/sketch.svg": "mine"}
    assert not (tmp_path / "extra").exists()


def test_the_old_run_stays_until_the_new_one_has_something(tmp_path):
    filled(tmp_path, a_txt="old", b_txt="old")
    before = contents(tmp_path)
    folder = RunFolder(tmp_path, overwrite=True)
    assert contents(tmp_path) == before
    with pytest.raises(RuntimeError):
        folder.write("a.txt", lambda path: (_ for _ in ()).throw(RuntimeError("no")))
    folder.abandon()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused_whatever_is_asked(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FolderError, match="no run folder of dynsim.*choose a new or an empty folder"):
        RunFolder(tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {"thesis.tex": "years of work"}


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "damaged"), ("[]", "no list of dynsim's files"), ('{"kind": "other"}', "no list of dynsim's files"),
        ('{"kind": "dynsim run folder", "schema": 99, "files": []}', "schema 99"),
        ('{"kind": "dynsim run folder", "schema": 1}', "damaged"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": ["../precious.txt"]}', "inside the folder"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": ["/etc/passwd"]}', "inside the folder"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": ["a/../../b"]}', "inside the folder"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": ["C:\\\\x"]}', "inside the folder"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": ["dynsim.json"]}', "inside the folder"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": [""]}', "inside the folder"),
        ('{"kind": "dynsim run folder", "schema": 1, "files": [3]}', "inside the folder"),
    ],
)
def test_a_list_that_is_not_to_be_trusted_is_refused(tmp_path, text, reason):
    inside = tmp_path / "run"
    inside.mkdir()
    (inside / MANIFEST).write_text(text)
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(FolderError, match=reason):
        RunFolder(inside, overwrite=True)
    assert (tmp_path / "precious.txt").exists() and (inside / MANIFEST).read_text() == text


def test_binary_rubbish_as_a_list(tmp_path):
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FolderError, match="damaged"):
        RunFolder(tmp_path, overwrite=True)


def test_a_file_of_the_users_in_the_way_is_a_refusal_before_the_work(tmp_path):
    filled(tmp_path, a_txt="1")
    (tmp_path / "stages.csv").write_text("mine")
    with pytest.raises(FolderError, match=r"stages\.csv was not written by dynsim"):
        RunFolder(tmp_path, overwrite=True, planned=["a.txt", "stages.csv"])
    folder = RunFolder(tmp_path, overwrite=True)
    with pytest.raises(FolderError, match=r"stages\.csv was not written by dynsim"):
        folder.write_text("stages.csv", "theirs")
    assert (tmp_path / "stages.csv").read_text() == "mine" and (tmp_path / "a.txt").read_text() == "1"


def test_a_file_in_the_way_of_a_subfolder(tmp_path):
    filled(tmp_path, a_txt="1")
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(FolderError, match="in the way"):
        RunFolder(tmp_path, overwrite=True, planned=["figures/b.svg"])


def test_out_of_reach(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/dev/null/x"):
        with pytest.raises(FolderError, match="file or lies below one"):
            RunFolder(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is out of the superuser's reach")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        for path in (tmp_path, tmp_path / "new"):
            with pytest.raises(FolderError, match="cannot be written to"):
                RunFolder(path)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_turns_out_unwritable_is_not_left_behind(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runfolder.tempfile, "TemporaryFile", refuse)
    with pytest.raises(FolderError, match="cannot be written to .Permission denied."):
        RunFolder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_abandoned_folders_leave_no_trace_and_used_ones_stay(tmp_path):
    RunFolder(tmp_path / "a" / "b").abandon()
    assert list(tmp_path.iterdir()) == []
    folder = RunFolder(tmp_path / "a" / "b")
    folder.write_text("x.txt", "1")
    folder.abandon()
    assert (folder.path / "x.txt").exists()
    empty = tmp_path / "mine"
    empty.mkdir()
    RunFolder(empty).abandon()
    assert empty.exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_a_file_appears_whole_or_not_at_all(tmp_path, error):
    def half(path):
        path.write_text("half")
        raise error

    folder = filled(tmp_path, a_txt="1")
    with pytest.raises(type(error)):
        folder.write("b.txt", half)
    assert set(contents(tmp_path)) == {MANIFEST, "a.txt"} and read_manifest(tmp_path) == ["a.txt"]
    with pytest.raises(type(error)):
        folder.write("a.txt", half)
    assert (tmp_path / "a.txt").read_text() == "1" and read_manifest(tmp_path) == ["a.txt"]


def test_a_first_file_that_fails_leaves_a_folder_that_can_be_used_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(OSError):
        folder.write("a.txt", lambda path: (_ for _ in ()).throw(OSError("full")))
    folder.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_between_two_files_can_be_overwritten(tmp_path):
    filled(tmp_path, a_txt="1", b_txt="1")
    (tmp_path / "b.txt").unlink()  # on the list, never appeared
    (tmp_path / "b.txt.partial").write_text("ha")
    RunFolder(tmp_path, overwrite=True).write_text("a.txt", "2")
    assert set(contents(tmp_path)) == {MANIFEST, "a.txt"}


def test_no_list_no_run(tmp_path):
    with pytest.raises(FolderError, match="it has no dynsim.json"):
        read_manifest(tmp_path)


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/run").path == tmp_path / "run"
