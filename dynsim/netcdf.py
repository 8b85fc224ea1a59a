"""Named arrays in a NetCDF-3 file: written whole or not at all, with a checksum, and read back by any NetCDF program.

The format is NetCDF-3 with 64-bit offsets, through `scipy.io.netcdf_file`. It knows four-byte integers, floats and
characters, and no fixed dimension of length 0, so integers, strings and empty arrays are encoded as `write_netcdf` says.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import whole_file

__all__ = ["MAGIC", "Variable", "read_netcdf", "write_netcdf"]

Variable = tuple[tuple[str, ...], NDArray, Mapping[str, Any]]
"""Names of the axes, the array, attributes."""

MAGIC = b"CDF"
"""First bytes of a NetCDF-3 file."""

CHECKSUM, EMPTY = "dynsim_crc32", "dynsim_empty"
"""Global attributes that `write_netcdf` adds: checksum of the content; what has no element and so no place in the file."""

ENCODING = "_Encoding"
"""Attribute that marks characters as a string; xarray's convention."""

LARGEST = 2**31 - 4
"""Bytes of the largest variable that scipy can write: its size is a signed four-byte integer, padded to four."""

INT32 = np.iinfo(np.int32)


def write_netcdf(path: str | os.PathLike, variables: Mapping[str, Variable], attributes: Mapping[str, str | int | float]) -> Path:
    """Write named arrays with named axes to `path`; the file appears whole or not at all.

    Parameters
    ----------
    path : str or path
        The file, by convention with the ending .nc; one that is there already is replaced.
    variables : mapping of str to (dims, array, attributes)
        Floats of up to eight bytes become float64, every bit kept. Booleans and integers become int32; an array with
        an integer beyond int32 becomes float64 if that holds each of its integers exactly. Strings become UTF-8
        characters along one more axis. Arrays without elements are listed in the global attribute "dynsim_empty",
        because a dimension of length 0 means something else in NetCDF-3.
    attributes : mapping of str to str, int or float
        Global attributes. A checksum is added as "dynsim_crc32".

    Returns
    -------
    Path
        Where the file is: `path` as it was given.

    Raises
    ------
    ValueError
        For arrays of other types, axes of one name and different lengths, bad names, a variable of 2 GiB or more.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_netcdf(folder + "/a.nc", {"loss": (("step",), np.array([0.7, 0.1]), {"units": "nat"})}, {"title": "two steps"})
    ...     variables, attributes = read_netcdf(path)
    >>> variables["loss"]
    (('step',), array([0.7, 0.1]), {'units': 'nat'})
    >>> attributes
    {'title': 'two steps'}
    """
    from scipy.io import netcdf_file  # here, because it takes long and few runs are saved this way

    lengths = _lengths(variables)
    encoded, empty = {}, {}
    for name, (dims, array, own) in variables.items():
        a = np.asarray(array)
        stored, marks = _encoded(name, a)
        _check_attributes(f"variable {name!r}", own)
        if a.size == 0:
            empty[name] = {"dims": list(dims), "shape": list(a.shape), "dtype": "<U1" if a.dtype.kind == "U" else stored.dtype.str,
                           "attributes": _plain(own)}
            continue
        axes = dims
        if a.dtype.kind == "U":
            axes = (*dims, f"string{stored.shape[-1]}")
            if lengths.setdefault(axes[-1], (stored.shape[-1], name))[0] != stored.shape[-1]:
                raise ValueError(f"dimension {axes[-1]!r} is taken by {lengths[axes[-1]][1]!r}, but the strings of {name!r} need it")
        if stored.nbytes > LARGEST:
            raise ValueError(
                f"variable {name!r} takes {stored.nbytes / 2**30:.2f} GiB, but a variable of this format takes less than 2 GiB: "
                "keep fewer entries, or save a run as .npz"
            )
        encoded[name] = (axes, stored, {**own, **marks})
    _check_attributes("the file", attributes)
    with whole_file(path) as partial, netcdf_file(partial, "w", version=2) as file:
        for dim in dict.fromkeys(dim for dims, _, _ in encoded.values() for dim in dims):
            file.createDimension(dim, lengths[dim][0])
        for name, (dims, a, own) in encoded.items():
            variable = file.createVariable(name, a.dtype, dims)
            variable.data[...] = a  # netcdf_variable's own assignment fails for a scalar
            for key, value in own.items():
                _set(variable, key, value, f"attribute {key!r} of variable {name!r}")
        for key, value in attributes.items():
            _set(file, key, value, f"attribute {key!r}")
        if empty:
            setattr(file, EMPTY, json.dumps(empty))
        setattr(file, CHECKSUM, _checksum(file))
    return Path(path)


def read_netcdf(path: str | os.PathLike) -> tuple[dict[str, Variable], dict[str, Any]]:
    """Read a NetCDF-3 file: variables as (dims, array, attributes), and its global attributes.

    Arrays are in memory and in native byte order; characters along a last axis come back as strings, and arrays
    without elements come back too. A file by another program need have no checksum.

    Parameters
    ----------
    path : str or path
        The file; its first bytes decide what it is, not its ending.

    Raises
    ------
    ValueError
        If the file is no NetCDF-3 file, is damaged, or its content does not match its checksum.
    OSError
        If it cannot be opened.
    """
    from scipy.io import netcdf_file

    path = Path(path)
    with open(path, "rb") as stream:
        start = stream.read(4)
        if start[:3] != MAGIC or start[3:] not in (b"\1", b"\2"):
            newer = start == b"\x89HDF" or start[:3] == MAGIC
            hint = ", but a newer kind: convert it with `nccopy -k 64-bit-offset`" if newer else ""
            raise ValueError(f"{path} is no NetCDF-3 file{hint}")
        stream.seek(0)
        try:
            file = netcdf_file(stream, "r", mmap=False)
            checksum = _text(file._attributes.get(CHECKSUM, ""))
            if checksum and checksum != _checksum(file):
                raise ValueError("its content does not match its checksum: damaged, or changed by another program")
            variables = {name: _decoded(file.variables.pop(name)) for name in list(file.variables)}  # one copy at a time
            attributes = _decoded_attributes(file._attributes)
            for name, e in json.loads(attributes.pop(EMPTY, "{}")).items():
                variables[name] = (tuple(e["dims"]), np.empty(e["shape"], np.dtype(e["dtype"]).newbyteorder("=")), e["attributes"])
        except Exception as error:  # scipy's reader meets damaged bytes with whatever comes up
            raise ValueError(f"{path} is damaged or no NetCDF-3 file ({error or type(error).__name__})") from error
    attributes.pop(CHECKSUM, None)
    return variables, attributes


def _lengths(variables: Mapping[str, Variable]) -> dict[str, tuple[int, str]]:
    """Return the length of every dimension and a variable that has it, with all names checked."""
    lengths: dict[str, tuple[int, str]] = {}
    for name, (dims, array, _) in variables.items():
        shape = np.shape(array)
        _check_name("variable", name)
        if len(dims) != len(shape):
            raise ValueError(f"variable {name!r} has shape {shape} but the dims {tuple(dims)!r}: name each axis once")
        for dim, length in zip(dims, shape, strict=True):
            _check_name("dimension", dim)
            known, first = lengths.setdefault(dim, (length, name))
            if known != length:
                raise ValueError(f"dimension {dim!r} has length {known} in {first!r} and {length} in {name!r}: rename one of them")
    return lengths


def _check_name(what: str, name: Any) -> None:
    good = isinstance(name, str) and name and name.isascii() and name.isprintable() and "/" not in name and name == name.strip()
    if not good or not (name[0].isalnum() or name[0] == "_"):
        raise ValueError(f"{what} {name!r} is no NetCDF-3 name: letters, digits and _ are safe")


def _encoded(name: str, a: NDArray) -> tuple[NDArray, dict[str, str]]:
    """Return an array as the format can keep it, and the attributes that say how."""
    if a.dtype.kind == "f" and a.dtype.itemsize <= 8:
        return a.astype(np.float64, copy=False), {}
    if a.dtype.kind in "biu":
        if a.size == 0 or a.dtype.kind == "b" or (int(a.min()) >= INT32.min and int(a.max()) <= INT32.max):
            return a.astype(np.int32, copy=False), {}
        rounded = a.astype(np.float64)
        for exact, f in zip(a.ravel().tolist(), rounded.ravel().tolist(), strict=True):
            if int(f) != exact:
                raise ValueError(f"variable {name!r} holds {exact}, which neither int32 nor float64 holds exactly: save it as a string")
        return rounded, {}
    if a.dtype.kind == "U":
        try:
            text = np.array([s.encode() for s in a.ravel().tolist()], dtype="S") if a.size else np.empty(0, "S1")
        except UnicodeEncodeError as error:
            raise ValueError(f"variable {name!r} holds a string that is no Unicode text ({error})") from None
        return text.view("S1").reshape(*a.shape, -1 if a.size else 1), {ENCODING: "utf-8"}
    raise ValueError(f"variable {name!r} has type {a.dtype}: NetCDF-3 keeps booleans, integers, floats of up to 8 bytes and strings")


def _check_attributes(owner: str, attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        _check_name(f"attribute of {owner}", key)
        if key in (CHECKSUM, EMPTY, ENCODING):
            raise ValueError(f"attribute {key!r} of {owner} is dynsim's own: choose another name")
        if isinstance(value, str):
            if value.endswith("\0"):
                raise ValueError(f"attribute {key!r} of {owner} ends in a NUL character, which would be lost")
            value.encode()  # a lone surrogate is a ValueError
        elif not isinstance(value, (int, float, np.integer, np.floating)):
            raise ValueError(f"attribute {key!r} of {owner} is {value!r}: it must be a str, int or float")
        elif isinstance(value, (int, np.integer)) and not INT32.min <= value <= INT32.max:
            raise ValueError(f"attribute {key!r} of {owner} is {value!r}: integers must fit into four bytes")


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as JSON keeps them."""
    return {key: value if isinstance(value, str) else int(value) if isinstance(value, (int, np.integer)) else float(value)
            for key, value in attributes.items()}


def _set(target: Any, key: str, value: Any, what: str) -> None:
    """Set an attribute of a file or variable of scipy's, whose own fields are attributes too."""
    if hasattr(target, key):
        raise ValueError(f"{what} has a name that scipy.io.netcdf_file keeps for itself: choose another one")
    if isinstance(value, str):
        value = value.encode()  # as bytes, because scipy writes only ASCII of a str
    elif isinstance(value, (int, np.integer)):
        value = np.int32(value)
    else:
        value = np.float64(value)  # a Python float would be cut to four bytes
    setattr(target, key, value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _checksum(file: Any) -> str:
    """Return the CRC-32 of names, dims, types, values and attributes, in an order that does not depend on the file's."""
    total = 0
    for name in sorted(file.variables):
        v = file.variables[name]
        about = [name, list(v.dimensions), v.data.dtype.newbyteorder(">").str, list(v.data.shape), _decoded_attributes(v._attributes)]
        total = zlib.crc32(json.dumps(about, sort_keys=True).encode(), total)
        total = zlib.crc32(np.ascontiguousarray(v.data, dtype=v.data.dtype.newbyteorder(">")).data, total)
    own = {key: value for key, value in file._attributes.items() if key != CHECKSUM}
    return f"{zlib.crc32(json.dumps(_decoded_attributes(own), sort_keys=True).encode(), total):08x}"


def _decoded_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _text(v) if isinstance(v, (str, bytes)) else np.asarray(v).tolist() for key, v in attributes.items()}


def _decoded(variable: Any) -> Variable:
    """Return dims, array and attributes of a variable of scipy's."""
    data, dims, attributes = variable.data, tuple(variable.dimensions), _decoded_attributes(variable._attributes)
    encoding = attributes.pop(ENCODING, "utf-8")
    if data.dtype.kind != "S":
        return dims, data.astype(data.dtype.newbyteorder("=")), attributes
    if data.ndim:
        data, dims = np.ascontiguousarray(data).view(f"S{data.shape[-1]}")[..., 0], dims[:-1]
    return dims, np.char.decode(data, encoding), attributes
