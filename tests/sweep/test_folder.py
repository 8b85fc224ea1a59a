"""The folder of a sweep: what is on disk survives, what is damaged counts as not there, one process writes."""

import json
import math
import os
import subprocess
import sys

import pytest

from dynsim.sweep.folder import ROWS, SweepFolder, SweepFolderError, differences, read_description, read_rows

ABOUT = {"design": {"kind": "grid", "axes": {"n": [1, 2]}}, "seeds": [0, 1], "steps": None}


def row(cell, **values):
    return {"cell": cell, "error": "", "steps": 5, **values}


def test_rows_come_back_bit_for_bit(tmp_path):
    values = {"a": 0.1 + 0.2, "b": 1e-308, "c": 5e-324, "word": 'holds "so"\n', "list": [1.5, math.inf, -0.0], "big": 2**60 + 1}
    with SweepFolder(tmp_path / "x", ABOUT, 4) as folder:
        folder.append([row(2, **values), row(0, a=math.inf, b=-math.inf, c=math.nan)])
        assert list(folder.done) == [1, 0, 1, 0]
    first, second = read_rows(tmp_path / "x")
    assert {k: first[k] for k in values if k != "list"} == {k: v for k, v in values.items() if k != "list"}
    assert [float(v) for v in first["list"]] == values["list"] and math.copysign(1, first["list"][2]) == -1
    assert (float(second["a"]), float(second["b"]), second["c"]) == (math.inf, -math.inf, None)
    for line in (tmp_path / "x" / ROWS).read_text().splitlines():
        json.loads(line)  # plain JSON lines for any other reader


def test_a_folder_is_gone_on_with(tmp_path):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(1)])
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        assert list(folder.done) == [0, 1, 0, 0] and folder.damaged == 0
        folder.append([row(3)])
    assert [r["cell"] for r in read_rows(tmp_path)] == [1, 3]


def test_errors_are_run_again_on_request_only(tmp_path):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(0), {"cell": 1, "error": "ValueError: no", "steps": 0}])
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        assert list(folder.done) == [1, 1, 0, 0]
    with SweepFolder(tmp_path, ABOUT, 4, retry=True) as folder:
        assert list(folder.done) == [1, 0, 0, 0]
        folder.append([row(1)])
    with SweepFolder(tmp_path, ABOUT, 4, retry=True) as folder:
        assert list(folder.done) == [1, 1, 0, 0]


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
def test_a_last_row_that_was_cut_short_is_run_again_and_does_not_stand_in_the_way(tmp_path, cut):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(0, a=1.0), row(1, a=2.0)])
    whole = (tmp_path / ROWS).read_bytes()
    (tmp_path / ROWS).write_bytes(whole[:-cut])
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        assert list(folder.done) == [1, 0, 0, 0] and folder.damaged == 1
        folder.append([row(1, a=2.0)])
    assert (tmp_path / ROWS).read_bytes() == whole


def test_any_damaged_byte_of_the_last_row_is_noticed(tmp_path):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(0, a=1.0), row(1, a=2.25)])
    whole = (tmp_path / ROWS).read_bytes()
    start = whole.index(b"\n") + 1
    for place in range(start, len(whole)):
        for flip in (1, 128):
            (tmp_path / ROWS).write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            rows = list(read_rows(tmp_path))
            assert [r["cell"] for r in rows] == [0], place


def test_a_damaged_row_in_the_middle_takes_no_other_with_it(tmp_path):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(0), row(1), row(2)])
    lines = (tmp_path / ROWS).read_bytes().splitlines(keepends=True)
    (tmp_path / ROWS).write_bytes(lines[0] + lines[1].replace(b"1", b"7", 1) + lines[2])
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        assert list(folder.done) == [1, 0, 1, 0] and folder.damaged == 1
        folder.append([row(1)])
    assert sorted(r["cell"] for r in read_rows(tmp_path)) == [0, 1, 2]


def test_another_sweep_is_refused_with_the_difference(tmp_path):
    with SweepFolder(tmp_path, ABOUT, 4):
        pass
    other = {**ABOUT, "seeds": [0, 1, 2], "design": {"kind": "grid", "axes": {"n": [1, 4]}}}
    with pytest.raises(SweepFolderError, match=r"design.axes.n: \[1, 2\] in the folder, \[1, 4\] now; seeds: \[0, 1\] in the folder"):
        SweepFolder(tmp_path, other, 6)
    SweepFolder(tmp_path, ABOUT, 4).close()  # the refusal left it as it was


def test_differences_are_told_where_they_are():
    assert list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": 3}})) == ["a.c: 2 in the folder, nothing now",
        "a.d: nothing in the folder, 3 now"]
    assert list(differences({"a": 1}, {"a": 1.0})) == []


def test_a_folder_that_is_no_sweep_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(SweepFolderError, match="not empty and no sweep"):
        SweepFolder(tmp_path, ABOUT, 4)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepFolderError, match="cannot be made or read"):
        SweepFolder(tmp_path / "file", ABOUT, 4)


def test_rows_without_a_description_are_not_adopted(tmp_path):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(0)])
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(SweepFolderError, match="no sweep"):
        SweepFolder(tmp_path, ABOUT, 4)


def test_long_lists_are_compared_item_by_item():
    theirs = [f"First(quantity='softmax_{i}', level=0.1)" for i in range(5)]
    ours = theirs.copy()
    ours[3] = "First(quantity='softmax_3', level=0.2)"
    assert list(differences({"m": theirs}, {"m": ours})) == [f'm[3]: "{theirs[3]}" in the folder, "{ours[3]}" now']
    assert list(differences({"m": theirs}, {"m": theirs[:4]})) == ["m: 5 items in the folder, 4 now",
        f'm[4]: "{theirs[4]}" in the folder, nothing now']


def test_a_sweep_killed_before_its_first_row_goes_on(tmp_path):
    (tmp_path / "lock").write_text("process 1 on elsewhere\n")
    (tmp_path / "sweep.json.partial").write_text("{")
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        assert not any(folder.done)


@pytest.mark.parametrize(("text", "says"), [("{", "damaged"), ("[]", "does not describe"), ('{"kind": "dynsim sweep", "schema": 99}',
    "schema 99")])
def test_damaged_descriptions(tmp_path, text, says):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(SweepFolderError, match=says):
        read_description(tmp_path)
    with pytest.raises(SweepFolderError, match="no sweep of dynsim"):
        read_description(tmp_path / "nothing")


HOLD = """
import sys
from dynsim.sweep.folder import SweepFolder
folder = SweepFolder(sys.argv[1], {about!r}, 4)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD.format(about=ABOUT), tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SweepFolderError, match=f"written by another process \\(process {holder.pid} on"):
            SweepFolder(tmp_path, ABOUT, 4)
    finally:
        holder.kill()
        holder.communicate()
    SweepFolder(tmp_path, ABOUT, 4).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    (read, write), (ready, say) = os.pipe(), os.pipe()
    holder = os.fork()  # a process that takes the lock, forks a child and dies
    if holder == 0:
        SweepFolder(tmp_path, ABOUT, 4)
        if os.fork() == 0:
            os.write(say, b"x")
            os.read(read, 1)
            os._exit(0)
        os.read(ready, 1)
        os.write(say, b"y")
        os.kill(os.getpid(), 9)
    os.waitpid(holder, 0)
    try:
        assert os.read(ready, 1) == b"y"
        SweepFolder(tmp_path, ABOUT, 4).close()
    finally:
        os.write(write, b"x")
        for end in (read, write, ready, say):
            os.close(end)


def test_a_write_that_fails_leaves_no_half_row(tmp_path, monkeypatch):
    with SweepFolder(tmp_path, ABOUT, 4) as folder:
        folder.append([row(0)])
        size = (tmp_path / ROWS).stat().st_size
        real, calls = os.write, []

        def full_disk(file, data):
            calls.append(1)
            if len(calls) == 1:
                return real(file, bytes(data)[:7])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full_disk)
        with pytest.raises(OSError, match="No space left"):
            folder.append([row(1), row(2)])
        monkeypatch.undo()
        assert (tmp_path / ROWS).stat().st_size == size and list(folder.done) == [1, 0, 0, 0]
        folder.append([row(1)])
    assert [r["cell"] for r in read_rows(tmp_path)] == [0, 1]
