"""NetCDF-3 files: what goes in comes out, other programs can read it, and damage is noticed."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from scipy.io import netcdf_file

from dynsim.netcdf import LARGEST, read_netcdf, write_netcdf

from .helpers import same_bits

AWKWARD = np.array([-0.0, np.nextafter(0.0, 1.0), -1e-320, np.inf, -np.inf, np.pi, 1e308, 0.1])
PAYLOAD = np.array([0x7FF8DEADBEEF0001], dtype=np.uint64).view(float)

CASES = {
    "float": (AWKWARD, AWKWARD),
    "NaN with payload": (PAYLOAD, PAYLOAD),
    "big-endian": (AWKWARD.astype(">f8"), AWKWARD),
    "float32": (np.float32([0.1, -0.0, np.inf]), np.float32([0.1, -0.0, np.inf]).astype(float)),
    "not contiguous": (np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2], np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2].copy()),
    "scalar": (np.array(3.5), np.array(3.5)),
    "bool": (np.array([True, False]), np.array([1, 0], dtype=np.int32)),
    "int64": (np.array([[-(2**31), 2**31 - 1]]), np.array([[-(2**31), 2**31 - 1]], dtype=np.int32)),
    "uint8 scalar": (np.uint8(255), np.array(255, dtype=np.int32)),
    "beyond int32": (np.array([2**31, -5]), np.array([2.0**31, -5.0])),
    "largest power in uint64": (np.array([2**63], dtype=np.uint64), np.array([2.0**63])),
    "strings": (np.array([["ab", ""], ["µ ≥ 0", "long one"]]), np.array([["ab", ""], ["µ ≥ 0", "long one"]])),
    "string": (np.array("héllo"), np.array("héllo")),
    "strings all empty": (np.array(["", ""]), np.array(["", ""])),
    "no rows": (np.empty((0, 3)), np.empty((0, 3))),
    "no columns": (np.empty((3, 0), dtype=bool), np.empty((3, 0), dtype=np.int32)),
    "no strings": (np.empty(0, dtype="U7"), np.empty(0, dtype="U1")),
}


def dims_of(a):
    return tuple(f"axis_{k}" for k in range(np.ndim(a)))


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case, tmp_path):
    written, expected = CASES[case]
    attributes = {"long_name": "µ ≥ 0", "scale": 0.1, "count": -3, "blank": ""}
    both = {"other": (("here",), np.ones(2), {}), "a": (dims_of(written), written, attributes)}
    path = write_netcdf(tmp_path / "a.nc", both, {"title": "t"})
    assert path.read_bytes()[:4] == b"CDF\2", "64-bit offsets: the sum of all variables may exceed 2 GiB"
    variables, own = read_netcdf(path)
    dims, a, back = variables["a"]
    assert dims == dims_of(written) and same_bits(a, expected) and a.dtype.isnative
    assert back == attributes and {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in attributes.items()}
    assert own == {"title": "t"} and same_bits(variables["other"][1], np.ones(2))
    assert os.listdir(tmp_path) == ["a.nc"], "no partial file is left behind"


@given(a=nst.arrays(st.sampled_from([np.float64, np.int32, np.bool_]), nst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_round_trip_of_any_array(a, tmp_path_factory):
    path = write_netcdf(tmp_path_factory.getbasetemp() / "any.nc", {"a": (dims_of(a), a, {})}, {})
    dims, back, _ = read_netcdf(path)[0]["a"]
    assert dims == dims_of(a) and same_bits(back, a if a.dtype != bool else a.astype(np.int32))


@pytest.mark.parametrize("case", [name for name, (a, _) in CASES.items() if np.size(a)])
def test_xarray_reads_the_same(case, tmp_path):
    written, expected = CASES[case]
    path = write_netcdf(tmp_path / "a.nc", {"a": (dims_of(written), written, {"long_name": "µ"})}, {"title": "µ ≥ 0"})
    with xarray.open_dataset(path, engine="scipy") as data:
        assert data["a"].dims == dims_of(written) and data.attrs["title"] == "µ ≥ 0" and data["a"].attrs == {"long_name": "µ"}
        values = data["a"].values
        assert same_bits(values.astype(expected.dtype), expected)
        assert values.dtype == (object if expected.dtype.kind == "U" else expected.dtype)


def test_a_file_by_another_program_can_be_read(tmp_path):
    """Without checksum, with a record dimension, short integers and lists as attributes, in the oldest version of the format."""
    with netcdf_file(tmp_path / "theirs.nc", "w", version=1) as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        file.levels = np.array([1.5, 2.5])
        file.createVariable("time", "i4", ("time",))[:] = np.arange(4)
        file.createVariable("short", "i2", ("time", "x"))[:] = np.arange(12).reshape(4, 3)
    variables, attributes = read_netcdf(tmp_path / "theirs.nc")
    assert attributes == {"levels": [1.5, 2.5]}
    assert variables["short"][0] == ("time", "x") and same_bits(variables["short"][1], np.arange(12, dtype=np.int16).reshape(4, 3))
    assert same_bits(variables["time"][1], np.arange(4, dtype=np.int32))


def one(a, dims=None, attributes=None):
    return {"a": (dims_of(a) if dims is None else dims, a, attributes or {})}


REFUSED = {
    "complex": (one(np.ones(2) * 1j), {}, "'a' has type complex128"),
    "object": (one(np.array([None])), {}, "'a' has type object"),
    "complex without elements": (one(np.empty(0, dtype=complex)), {}, "'a' has type complex128"),
    "bytes": (one(np.array([b"x"])), {}, "'a' has type"),
    "date": (one(np.array(["2020-01-01"], dtype="M8[D]")), {}, "'a' has type"),
    "integer that float64 rounds": (one(np.array([0, 2**53 + 1])), {}, "'a' holds 9007199254740993"),
    "largest uint64": (one(np.array([2**64 - 1], dtype=np.uint64)), {}, "'a' holds 18446744073709551615"),
    "lone surrogate": (one(np.array(["\ud800"])), {}, "'a' holds a string that is no Unicode"),
    "2 GiB": (one(np.broadcast_to(1.0, (2**28,))), {}, r"'a' takes 2.00 GiB.*\.npz"),
    "too few dims": (one(np.ones((2, 2)), ("x",)), {}, r"'a' has shape \(2, 2\)"),
    "one name, two lengths": ({"a": (("x",), np.ones(2), {}), "b": (("x",), np.ones(3), {})}, {}, "'x' has length 2 in 'a' and 3 in 'b'"),
    "one name, lengths 0 and 3": ({"a": (("x",), np.ones(0), {}), "b": (("x",), np.ones(3), {})}, {}, "length 0 in 'a' and 3 in 'b'"),
    "one name twice in a variable": (one(np.ones((2, 3)), ("x", "x")), {}, "'x' has length 2 in 'a' and 3 in 'a'"),
    "axis of the strings": ({"b": (("string2",), np.ones(3), {}), "a": ((), np.array("ab"), {})}, {}, "'string2' is taken by 'b'.*'a'"),
    "slash": ({"a/b": ((), np.ones(()), {})}, {}, "variable 'a/b' is no NetCDF-3 name"),
    "no name": ({"": ((), np.ones(()), {})}, {}, "variable '' is no"),
    "dim beyond ASCII": (one(np.ones(2), ("µ",)), {}, "dimension 'µ' is no"),
    "attribute a list": (one(np.ones(2), None, {"u": [1, 2]}), {}, r"'u' of variable 'a' is \[1, 2\]"),
    "attribute too large": (one(np.ones(2)), {"u": 2**31}, "'u' of the file is 2147483648"),
    "attribute that scipy needs": (one(np.ones(2)), {"mode": "fast"}, "'mode' has a name that scipy"),
    "attribute that scipy needs in a variable": (one(np.ones(2), None, {"data": "mine"}), {}, "'data' of variable 'a' has a name"),
    "checksum": (one(np.ones(2)), {"dynsim_crc32": "0"}, "dynsim's own"),
    "NUL at the end": (one(np.ones(2)), {"u": "a\0"}, "'u' of the file ends in a NUL"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_format_cannot_keep_is_refused_by_name(case, tmp_path):
    variables, attributes, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        write_netcdf(tmp_path / "a.nc", variables, attributes)
    assert os.listdir(tmp_path) == []


def test_the_largest_variable_is_what_four_bytes_can_count():
    assert LARGEST < 2**31 <= LARGEST + 8 and LARGEST % 4 == 0


def test_writing_replaces_whole_files_only(tmp_path, monkeypatch):
    path = write_netcdf(tmp_path / "a.nc", one(np.ones(3)), {})
    before = path.read_bytes()
    for where in ("_write_var_data", "_write_numrecs"):
        with monkeypatch.context() as patch:
            patch.setattr(netcdf_file, where, lambda *args: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                write_netcdf(path, one(np.zeros(3)), {})
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.nc"]


def test_the_content_is_on_disk_before_the_file_gets_its_name(tmp_path, monkeypatch):
    done = []
    for name, sizes in (("fsync", lambda args: os.fstat(args[0]).st_size), ("replace", lambda args: os.stat(args[0]).st_size)):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real, sizes=sizes: (done.append((name, sizes(args))), real(*args)))
    path = write_netcdf(tmp_path / "a.nc", one(np.ones(300)), {})
    assert done == [("fsync", path.stat().st_size), ("replace", path.stat().st_size)] and done[0][1] > 2400


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    variables = {
        "loss": (("step",), np.linspace(1, 2, 5), {"units": "nat"}), "flag": (("row",), np.array([True, False, True]), {}),
        "word": (("row",), np.array(["a", "bc", "def"]), {}), "none": (("nothing",), np.empty(0), {}),
    }
    return write_netcdf(tmp_path_factory.mktemp("written") / "a.nc", variables, {"title": "t", "rate": 0.1}).read_bytes()


@pytest.mark.slow
def test_no_single_flipped_bit_goes_unnoticed(written, tmp_path):
    """Every bit of the file in turn. What may change changes no value: padding, sizes told twice, the name of the checksum."""
    path = tmp_path / "a.nc"
    path.write_bytes(written)
    whole, unnoticed = read_netcdf(path), []
    for place in range(8 * len(written)):
        damaged = bytearray(written)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            back = read_netcdf(path)
        except ValueError as error:
            assert "a.nc" in str(error)
        else:
            unnoticed.append(place // 8)
            kept = {key: value for key, value in back[1].items() if key in whole[1]}
            assert repr((back[0], kept)) == repr(whole), f"byte {place // 8} changed what is read and nobody noticed"
            if back[1] != kept:
                assert place // 8 - written.index(b"dynsim_crc32") in range(12), "only the checksum's name may become another one"
    values = written.index(whole[0]["loss"][1].astype(">f8").tobytes())
    assert not set(unnoticed) & set(range(values, values + 40))


def test_no_truncated_file_is_read(written, tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(written)
    read_netcdf(path)
    for kept in range(len(written.rstrip(b"\0"))):
        path.write_bytes(written[:kept])
        with pytest.raises(ValueError, match="a.nc"):
            read_netcdf(path)


def test_a_value_changed_by_another_program_is_noticed(written, tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(written)
    with netcdf_file(path, "a", mmap=False) as file:
        file.variables["loss"][2] = 7.0
    with pytest.raises(ValueError, match="does not match its checksum"):
        read_netcdf(path)


FOREIGN = {
    "empty": b"", "text": b"step,loss\n0,1\n", "NetCDF-4": b"\x89HDF\r\n\x1a\n" + bytes(100), "CDF-5": b"CDF\x05" + bytes(100),
    "magic only": b"CDF\x02", "magic and noise": b"CDF\x01" + bytes(range(256)) * 4, "zip": b"PK\x03\x04" + bytes(50),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file(kind, tmp_path):
    (tmp_path / "a.nc").write_bytes(FOREIGN[kind])
    with pytest.raises(ValueError, match="a.nc is (no NetCDF-3 file|damaged)") as error:
        read_netcdf(tmp_path / "a.nc")
    assert ("newer kind" in str(error.value)) == (kind in ("NetCDF-4", "CDF-5"))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_netcdf(tmp_path / "nowhere.nc")


def test_what_has_no_elements_is_named_for_other_readers(written, tmp_path):
    (tmp_path / "a.nc").write_bytes(written)
    with netcdf_file(tmp_path / "a.nc", mmap=False) as file:
        assert "none" not in file.variables
        assert json.loads(file.dynsim_empty)["none"]["dims"] == ["nothing"]
