"""Runs are saved and loaded bit for bit, and what is no run is refused without unpickling anything."""

import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, SignGD, Trajectory, TrajectoryError, load, simulate
from dynsim.trajectory import SCHEMA

from .helpers import Quadratic, assert_same_bits, same_bits


def awkward(run):
    """Plant values that careless writers lose: -0.0, the smallest float, NaN with a payload, infinities."""
    planted = np.array([-0.0, np.nextafter(0.0, 1.0), -1e-320, np.inf, -np.inf, np.pi, 1e308, 0.1])
    payload = np.array([0x7FF8DEADBEEF0001], dtype=np.uint64).view(float)
    return replace(
        run, arrays={**run.arrays, "planted": planted}, dims={**run.dims, "planted": ("row",)},
        constants={"nan": payload, "whole": np.arange(3)},
    )


@pytest.fixture(params=[(), (3,)], ids=["single", "replicates"])
def run(request):
    system = Quadratic.random(replicates=request.param, provenance={"system": "quadratic", "seed": [1, 2], "note": "µ ≥ 0"})
    return awkward(simulate(system, Adam(0.01), steps=7, record=["train_loss", "inner", "turned"]))


def test_bit_for_bit(run, tmp_path):
    path = run.save(tmp_path / "run.npz")
    back = load(path)
    assert_same_bits(run, back)
    for group in ("constants", "arrays"):
        assert all(same_bits(getattr(run, group)[name], getattr(back, group)[name]) for name in getattr(run, group))
    for name in ("at", "ended_at", "underflow_at"):
        assert same_bits(getattr(run, name), getattr(back, name)), name
    for name in ("dims", "status", "message", "last_step", "provenance", "versions", "success"):
        assert getattr(run, name) == getattr(back, name), name
    assert np.signbit(back["planted"][0]) and back["planted"][1] > 0
    assert os.listdir(tmp_path) == ["run.npz"], "no partial file is left behind"


def test_a_loaded_run_can_go_on(tmp_path):
    system, rule = Quadratic.random(), Adam(0.01)
    first = load(simulate(system, rule, steps=20).save(tmp_path / "run.npz"))
    assert same_bits(simulate(system, rule, steps=15, start=first).final, simulate(system, rule, steps=35).final)


def test_saving_replaces_whole_files_only(run, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    run.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 1, 100, 0.3, 0.7, 0.99, -1])
def test_truncated_file(run, tmp_path, kept):
    path = run.save(tmp_path / "run.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(TrajectoryError, match="run.npz"):
        load(path)


def test_flipped_bit(run, tmp_path):
    path = run.save(tmp_path / "run.npz")
    whole = bytearray(path.read_bytes())
    where = whole.find(run.final.tobytes())
    assert where > 0
    whole[where + 3] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(TrajectoryError, match="damaged"):
        load(path)


class Bomb:
    """Unpickling this would be noticed."""

    def __reduce__(self):
        return os.mkdir, (os.environ["DYNSIM_TEST_BOMB"],)


def header(**changes):
    full = {"schema": SCHEMA, "dims": {}, "status": "finished", "message": "", "last_step": 0, "provenance": {}, "versions": {}}
    return {"dynsim": np.array(json.dumps({**full, **changes}))}


def write_zip(path, name, content):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, content)


ARRAYS = {"at": np.zeros(1, int), "ended_at": np.array(-1), "underflow_at": np.array(-1), "final": np.zeros(2)}
FOREIGN = {
    "npz of other arrays": lambda path: np.savez(path, a=np.ones(3)),
    "npy": lambda path: np.save(path.with_suffix(".npy"), np.ones(3)) or path.with_suffix(".npy").rename(path),
    "text": lambda path: path.write_text("step,loss\n0,1\n"),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "npz with pickled objects": lambda path: np.savez(path, dynsim=np.array([Bomb()], dtype=object), allow_pickle=True),
    "npz whose arrays are pickled": lambda path: np.savez(path, **header(), **{**ARRAYS, "final": np.array([Bomb()], dtype=object)}),
    "zip": lambda path: write_zip(path, "readme.txt", b"hello"),
    "header no JSON": lambda path: np.savez(path, dynsim=np.array("{")),
    "header a list": lambda path: np.savez(path, dynsim=np.array("[1, 2]")),
    "header a number": lambda path: np.savez(path, dynsim=np.array(1.5)),
    "header without fields": lambda path: np.savez(path, dynsim=np.array(json.dumps({"schema": SCHEMA})), **ARRAYS),
    "dims a list": lambda path: np.savez(path, **header(dims=[1]), **ARRAYS),
    "array missing": lambda path: np.savez(path, **header(), at=np.zeros(1)),
    "schema newer": lambda path: np.savez(path, **header(schema=SCHEMA + 1), **ARRAYS),
    "schema missing": lambda path: np.savez(path, **header(schema=None), **ARRAYS),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file(kind, tmp_path, monkeypatch):
    path, bomb = tmp_path / "foreign.npz", tmp_path / "went_off"
    monkeypatch.setenv("DYNSIM_TEST_BOMB", str(bomb))
    FOREIGN[kind](path)
    with pytest.raises(TrajectoryError, match="foreign.npz") as error:
        load(path)
    assert not bomb.exists(), "a pickle was executed"
    if kind.startswith("schema"):
        assert f"reads schema {SCHEMA}" in str(error.value)


def test_the_minimal_header_of_these_tests_is_a_valid_one(tmp_path):
    """Otherwise the cases above would be refused for another reason than the one they name."""
    np.savez(tmp_path / "minimal.npz", **header(), **ARRAYS)
    assert load(tmp_path / "minimal.npz").status == "finished"


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(TrajectoryError, match="nowhere.npz does not exist"):
        load(tmp_path / "nowhere.npz")
    with pytest.raises(TrajectoryError, match=str(tmp_path)):
        load(tmp_path)


def test_unknown_name_gives_the_nearest():
    run = simulate(Quadratic.random(), SignGD(0.1), steps=1)
    assert "inner" in run and "outer" not in run
    with pytest.raises(KeyError, match="did you mean 'train_loss'"):
        run["trainloss"]


def test_replicate_is_the_single_run():
    system = Quadratic.random(
        replicates=(3,), constants={"own": np.arange(3.0), "common": np.arange(3.0)},
        provenance={"system": "quadratic", "seed": [4, 5, 6], "replicated_constants": ["own"]},
    )
    run = simulate(system, Adam(0.01), steps=5)
    one = run.replicate(1)
    assert isinstance(one, Trajectory)
    assert one["inner"].shape == (6, 2, 4) and one.dims["inner"] == ("step", "row", "column")
    assert same_bits(one.final, run.final[1]) and same_bits(one.optimizer_state["mean"], run.optimizer_state["mean"][1])
    assert one.constants["own"] == 1.0 and one.constants["common"].shape == (3,)
    assert one.provenance["seed"] == 5 and "replicated_constants" not in one.provenance
    with pytest.raises(ValueError, match="no replicates"):
        one.replicate(0)


def test_repr_says_how_it_ended_and_what_is_there():
    text = repr(simulate(Quadratic.random(), SignGD(0.1), steps=4))
    assert "finished" in text and "ran 4 steps" in text and "(step, row, column)" in text and "(5, 2, 4)" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda run: replace(run, arrays={name: a[:-1] for name, a in run.arrays.items()}),
        lambda run: replace(run, at=run.at.astype(str)),
        lambda run: replace(run, at=run.at[::-1].copy()),
        lambda run: replace(run, status="weird"),
        lambda run: replace(run, last_step="x"),
        lambda run: replace(run, dims={name: dims for name, dims in run.dims.items() if name != "train_loss"}),
    ],
)
def test_a_record_that_does_not_belong_together_is_refused(change, tmp_path):
    run = simulate(Quadratic.random(), SignGD(0.1), steps=5)
    load(run.save(tmp_path / "good.npz"))
    with pytest.raises(TrajectoryError, match="is damaged"):
        load(change(run).save(tmp_path / "bad.npz"))


def test_a_replicate_takes_its_own_rate_along():
    run = simulate(Quadratic.random(replicates=(2,)), SignGD(np.array([0.1, 0.2])), steps=3)
    assert run.replicate(1).provenance["optimizer"]["lr"] == 0.2
