"""Runs are saved and loaded bit for bit in both formats, and what is no run is refused without unpickling anything."""

import json
import os
import pickle
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import xarray
from scipy.io import netcdf_file

from dynsim import Adam, GradientDescent, Interrupted, SignGD, Trajectory, TrajectoryError, check, load, simulate
from dynsim.netcdf import read_netcdf, write_netcdf
from dynsim.optimizers import GradientFlow
from dynsim.system import Observable
from dynsim.systems import signal_noise
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


def assert_same_run(run, back):
    """Fail unless two runs are the same in every field: bits, types, names and their order."""
    assert_same_bits(run, back)
    for group in ("arrays", "constants", "optimizer_state", "sparser"):
        assert list(getattr(run, group)) == list(getattr(back, group)), group
        for name, a in getattr(run, group).items():
            assert same_bits(a, getattr(back, group)[name]), name
    for name in ("at", "ended_at", "underflow_at"):
        assert same_bits(getattr(run, name), getattr(back, name)), name
    for name in ("dims", "status", "message", "last_step", "provenance", "versions", "success"):
        assert getattr(run, name) == getattr(back, name), name


@pytest.mark.parametrize("suffix", [".npz", ".nc", ".NC", ".data", ""])
def test_bit_for_bit(run, suffix, tmp_path):
    if suffix.lower() == ".nc":  # "row" may have one length only
        run = replace(run, dims={**run.dims, "planted": ("planted",)})
    path = run.save(tmp_path / f"run{suffix}")
    assert path.read_bytes()[:3] == (b"CDF" if suffix.lower() == ".nc" else b"PK\x03")
    back = load(path)
    assert_same_run(run, back)
    assert np.signbit(back["planted"][0]) and back["planted"][1] > 0
    assert os.listdir(tmp_path) == [path.name], "no partial file is left behind"


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_the_first_bytes_say_which_format_it_is(suffix, tmp_path):
    run = simulate(Quadratic.random(), SignGD(0.1), steps=3)
    path = run.save(tmp_path / f"run{suffix}")
    assert_same_run(run, load(path.rename(tmp_path / "run.other")))


def setting(**changes):
    return signal_noise.preset("tiny").replace(**changes)


def interrupted():
    def stop(state):
        if state.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as pressed:
        simulate(signal_noise.lumped(setting(), SignGD, seed=0), SignGD(1e-3), steps=40, stop=stop)
    return pressed.value.trajectory


def arrays_of_the_user():
    rng = np.random.default_rng(3)
    system = signal_noise.from_arrays(
        mu=np.eye(8)[0], xi=rng.normal(size=(2, 8)), y=np.array([1.0, -1.0]),
        **{name: rng.normal(size=(3, 8)) / 3 for name in ("W_Q", "W_K", "W_V_pos", "W_V_neg")},
    )
    return simulate(system, Adam(1e-3), steps=6)


SPARSE = {"train_loss": 1, "test_loss": 20, "test_error": 20, "key_noise": 7}
RUNS = {
    "single": lambda: signal_noise.experiment("tiny").run(),
    "replicates": lambda: simulate(signal_noise.lumped(setting(disjoint=True), SignGD, seed=range(3)), SignGD(1e-3), steps=25),
    "sparse": lambda: simulate(signal_noise.lumped(setting(), SignGD, seed=0), SignGD(1e-3), steps=45, record=SPARSE),
    "sparse replicates": lambda: simulate(
        signal_noise.lumped(setting(disjoint=True), SignGD, seed=range(2)), SignGD(1e-3), steps=45, record=SPARSE),
    "rule with memory": lambda: simulate(signal_noise.dense(setting(), seed=1), Adam(1e-3), steps=5),
    "diverged": lambda: simulate(Quadratic.random(), GradientDescent(1e200), steps=9),
    "diverged replicates": lambda: simulate(Quadratic.random(replicates=(2,)), GradientDescent(np.array([0.1, 1e200])), steps=9),
    "diverged, some quantities seldom": lambda: simulate(
        Quadratic.random(), GradientDescent(1e200), steps=9, record={"train_loss": 1, "inner": 5}),
    "flow": lambda: simulate(Quadratic.random(), GradientFlow(), until=1.0, record={"train_loss": 1, "inner": 7}),
    "interrupted": interrupted,
    "empty": lambda: simulate(
        Quadratic.random(), SignGD(0.1), steps=3, start=np.full(11, 1e200), record={"train_loss": 1, "inner": 2}),
    "empty replicates": lambda: nothing(simulate(Quadratic.random(replicates=(2,)), Adam(0.1), steps=3)),
    "nothing recorded": lambda: simulate(Quadratic.random(), SignGD(0.1), steps=3, record=[]),
    "arrays of the user": arrays_of_the_user,
}


def nothing(run):
    """Return the run as it is when not a single row could be recorded."""
    assert len(run.at)
    return replace(run, at=run.at[:0], arrays={name: a[:0] for name, a in run.arrays.items()})


@pytest.mark.parametrize("kind", RUNS)
def test_real_runs_come_back_bit_for_bit(kind, tmp_path):
    run = RUNS[kind]()
    for name in ("run.npz", "run.nc"):
        assert_same_run(run, load(run.save(tmp_path / name)))


def test_these_runs_are_what_they_are_called():
    """Otherwise the test above would say less than it seems to."""
    runs = {kind: make() for kind, make in RUNS.items()}
    assert runs["replicates"].final.ndim == 2 and runs["sparse"].sparser and runs["sparse replicates"].sparser
    assert runs["rule with memory"].optimizer_state and runs["arrays of the user"].provenance["system"] == "signal_noise"
    assert all(runs[kind].status == "diverged" for kind in runs if kind.startswith("diverged"))
    assert runs["interrupted"].status == "interrupted"
    assert np.isnan(runs["diverged replicates"]["train_loss"]).any()
    assert all(len(a) == 0 for kind in ("empty", "empty replicates") for a in runs[kind].arrays.values())
    assert runs["empty"].status == "diverged" and len(runs["empty"].at) == 0


@pytest.mark.parametrize("kind", ["single", "sparse", "interrupted", "arrays of the user"])
def test_a_loaded_run_gets_the_same_report(kind, tmp_path):
    run = RUNS[kind]()
    report = check(run).to_json()
    for name in ("run.npz", "run.nc"):
        assert check(load(run.save(tmp_path / name))).to_json() == report


def test_axes_have_names(tmp_path):
    run = RUNS["sparse replicates"]()
    variables, attributes = read_netcdf(run.save(tmp_path / "run.nc"))
    assert variables["train_loss"][0] == ("step", "replicate")
    assert variables["test_loss"][0] == variables["test_error"][0] == ("step_test_loss", "replicate"), "equal steps share their axis"
    assert variables["key_noise"][0] == ("step_key_noise", "replicate", "row", "sample")
    for name in ("test_loss", "test_error", "key_noise", "train_loss"):
        np.testing.assert_array_equal(variables[variables[name][0][0]][1], run.steps(name))
    assert "step_test_error" not in variables
    assert variables["noise_l1"][0] == ("replicate", "noise_l1_1") and variables["m_k"][0] == ()
    assert variables["final"][0] == ("replicate", "parameter") and variables["ended_at"][0] == ("replicate",)
    np.testing.assert_array_equal(variables["seed"][1], [0, 1])
    header = json.loads(attributes["dynsim"])
    assert header["status"] == "finished" and header["provenance"]["seed"] == [0, 1] and header["dtypes"]["at"] == run.at.dtype.str
    momentum = read_netcdf(RUNS["rule with memory"]().save(tmp_path / "adam.nc"))[0]
    assert momentum["optimizer_state_mean"][0] == momentum["final"][0] == ("parameter",)


@pytest.mark.parametrize("kind", [kind for kind in RUNS if not kind.startswith("empty")])
def test_xarray_reads_the_file_that_to_xarray_describes(kind, tmp_path):
    run = RUNS[kind]()
    ours = run.to_xarray()
    with xarray.open_dataset(run.save(tmp_path / "run.nc"), engine="scipy") as theirs:
        assert set(ours.variables) == set(theirs.variables) and set(ours.coords) == set(theirs.coords)
        for name, variable in ours.variables.items():
            assert variable.dims == theirs[name].dims
            assert same_bits(theirs[name].values.astype(variable.dtype), variable.values), name
    assert all(same_bits(ours[name].values, a) for name, a in run.arrays.items())
    assert ours[run.clock].dtype == run.at.dtype and ours.attrs["status"] == run.status and ours.attrs["message"] == run.message
    assert json.loads(ours.attrs["provenance"]) == json.loads(json.dumps(dict(run.provenance)))


def test_xarray_selects_by_step_and_averages_over_replicates():
    run = RUNS["sparse replicates"]()
    data = run.to_xarray()
    assert set(data.coords) == {"step", "step_test_loss", "step_key_noise", "seed"}
    np.testing.assert_array_equal(data["train_loss"].mean("replicate"), run["train_loss"].mean(1))
    np.testing.assert_array_equal(data["key_noise"].sel(step_key_noise=14, replicate=1), run["key_noise"][2, 1])
    assert all(np.shares_memory(data[name].values, run[name]) for name in run.arrays), "as to_xarray's docstring says"
    assert set(RUNS["empty"]().to_xarray().sizes) >= {"step", "row", "column"}


def test_xarray_selects_by_the_labels_of_an_axis(tmp_path):
    labels = {"row": ["upper", "lower µ"], "column": ["too", "few"], "step": list("0123"), "unknown": ["x"]}
    run = simulate(Quadratic.random(provenance={"axis_labels": labels}), SignGD(0.1), steps=3)
    with xarray.open_dataset(run.save(tmp_path / "run.nc"), engine="scipy") as opened:
        for data in (run.to_xarray(), opened):
            assert set(data.coords) == {"step", "row"}, "a label for each place, and steps number theirs themselves"
            np.testing.assert_array_equal(data["turned"].sel(row="lower µ", step=2), run["turned"][2, :, 1])
    assert_same_run(run, load(tmp_path / "run.nc"))


def test_without_xarray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"pip install 'dynsim\[xarray\]'"):
        simulate(Quadratic.random(), SignGD(0.1), steps=1).to_xarray()


class Clumsy(Quadratic):
    """Names that collide with one another, with axes and with the rules of the format."""

    observables = {
        "step": Observable(lambda p, c: c.loss, (), "", ""), "row": Observable(lambda p, c: p.b, ("row", "column"), "", ""),
        "b/µ (1)": Observable(lambda p, c: p.b @ np.swapaxes(p.b, -1, -2), ("row", "row"), "", ""),
        "square": Observable(lambda p, c: p.b @ np.swapaxes(p.b, -1, -2), ("row", "row"), "", ""),
        "final": Observable(lambda p, c: p.a, ("seed",), "", ""), "step_seldom": Observable(lambda p, c: p.a, ("parameter",), "", ""),
        "seldom": Observable(lambda p, c: c.loss, (), "", ""),
    }


@pytest.mark.parametrize("replicates", [(), (2,)])
def test_clumsy_names_come_back_too(replicates, tmp_path):
    constants = {
        "final": np.array(["µ", "long word"]), "final_": np.array([True, False]), "a/b": np.arange(3, dtype=np.uint8), "0": np.float32(0.1),
        "row": np.array(2**40), "none": np.empty((0, 2), dtype=">i8"), "big": np.arange(3.0, dtype=">f8"),
    }
    provenance = {"system": "clumsy", "seed": [5, 6] if replicates else 5, "replicated_constants": ["final", "final_"]}
    system = Clumsy.random(replicates=replicates, constants=constants, provenance=provenance)
    run = simulate(system, Adam(0.1), steps=6, record={name: 3 if name == "seldom" else 1 for name in Clumsy.observables})
    assert_same_run(run, load(run.save(tmp_path / "run.npz")))
    assert_same_run(run, load(run.save(tmp_path / "run.nc")))
    variables, _ = read_netcdf(tmp_path / "run.nc")
    assert variables["square"][0] == variables["b____1_"][0] == ("step", *("replicate",) * len(replicates), "row", "row_2")
    assert set(run.to_xarray().variables) == set(variables)
    with xarray.open_dataset(tmp_path / "run.nc", engine="scipy") as data:
        assert set(data.variables) == set(variables) - {"none"}


def test_what_netcdf_cannot_keep_is_refused_by_name(tmp_path):
    run = simulate(Quadratic.random(), SignGD(0.1), steps=3)
    two_lengths = replace(run, dims={**run.dims, "turned": ("step", "row", "column")})
    with pytest.raises(ValueError, match="'row' has length 2 in 'inner' and 4 in 'turned'"):
        two_lengths.save(tmp_path / "run.nc")
    with pytest.raises(ValueError, match="'phase' has type complex128"):
        replace(run, constants={"phase": np.ones(2) * 1j}).save(tmp_path / "run.nc")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_a_loaded_run_can_go_on(suffix, tmp_path):
    system, rule = Quadratic.random(), Adam(0.01)
    first = load(simulate(system, rule, steps=20).save(tmp_path / f"run{suffix}"))
    assert same_bits(simulate(system, rule, steps=15, start=first).final, simulate(system, rule, steps=35).final)


def test_saving_replaces_whole_files_only(run, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    run.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.npz"]


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
@pytest.mark.parametrize("kept", [0, 1, 3, 100, 0.3, 0.7, 0.99, -1])
def test_truncated_file(suffix, tmp_path, kept):
    path = simulate(Quadratic.random(), SignGD(0.1), steps=7).save(tmp_path / f"run{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(TrajectoryError, match=f"run{suffix}"):
        load(path)


@pytest.mark.parametrize(("suffix", "order"), [(".npz", "<"), (".nc", ">")])
def test_flipped_bit(suffix, order, tmp_path):
    run = simulate(Quadratic.random(), SignGD(0.1), steps=7)
    path = run.save(tmp_path / f"run{suffix}")
    whole = bytearray(path.read_bytes())
    where = whole.find(run.final.astype(f"{order}f8").tobytes())
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


def tampered(change):
    """Return what writes a good run as NetCDF with its header changed; the checksum fits."""
    def write(path):
        variables, attributes = read_netcdf(simulate(Quadratic.random(), SignGD(0.1), steps=2).save(path))
        header = json.loads(attributes["dynsim"])
        change(header)
        write_netcdf(path, variables, {"dynsim": json.dumps(header)})
    return write


def other_netcdf(path):
    with netcdf_file(path, "w", version=2) as file:
        file.createDimension("x", 2)
        file.createVariable("x", "f8", ("x",))[:] = 1.0


FOREIGN_NC = {
    "netcdf by another program": other_netcdf,
    "NetCDF-4": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)),
    "only its magic": lambda path: path.write_bytes(b"CDF\x02"),
    "header no JSON": lambda path: write_netcdf(path, {}, {"dynsim": "{"}),
    "header a list": lambda path: write_netcdf(path, {}, {"dynsim": "[1, 2]"}),
    "header a number": lambda path: write_netcdf(path, {}, {"dynsim": 1.5}),
    "header without fields": lambda path: write_netcdf(path, {}, {"dynsim": json.dumps({"schema": SCHEMA})}),
    "array missing": tampered(lambda header: header["variables"].pop("final")),
    "variable missing": tampered(lambda header: header["variables"].update(final="nowhere")),
    "type that is none": tampered(lambda header: header["dtypes"].update(final="O")),
    "type unknown": tampered(lambda header: header["dtypes"].update(final="<q9")),
    "dims a list": tampered(lambda header: header.update(dims=[1])),
    "status unknown": tampered(lambda header: header.update(status="weird")),
    "schema newer": tampered(lambda header: header.update(schema=SCHEMA + 1)),
}


@pytest.mark.parametrize("kind", FOREIGN_NC)
def test_foreign_netcdf(kind, tmp_path):
    path = tmp_path / "foreign.nc"
    FOREIGN_NC[kind](path)
    with pytest.raises(TrajectoryError, match="foreign.nc") as error:
        load(path)
    if kind.startswith("schema"):
        assert f"reads schema {SCHEMA}" in str(error.value)


def test_tampering_without_a_change_is_a_valid_file(tmp_path):
    tampered(lambda header: None)(tmp_path / "same.nc")
    assert load(tmp_path / "same.nc").status == "finished"


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
