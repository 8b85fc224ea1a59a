"""The two file formats of a run: .npz, and NetCDF-3 with every axis named. Both keep a header and arrays by key.

Keys are "at", "final", "ended_at", "underflow_at" and "group/name": "arrays/key_noise", "constants/noise_l1", ...
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import whole_file
from .netcdf import MAGIC, Variable, read_netcdf, write_netcdf
from .recording import clock_of

__all__ = ["TrajectoryError", "labelled", "read_file", "write_file"]

HEADER = "dynsim"
"""Array (.npz) or global attribute (.nc) that holds the header as JSON."""


class TrajectoryError(ValueError):
    """A file is no dynsim trajectory, is damaged, or has another schema version."""


def write_file(path: Path, header: Mapping[str, Any], data: Mapping[str, NDArray]) -> None:
    """Write header and arrays whole or not at all: as NetCDF-3 if the path ends in .nc, else as .npz.

    Parameters
    ----------
    path : Path
        The file; one that is there already is replaced.
    header : mapping
        JSON-ready; of "dims" and "provenance" NetCDF takes the names of axes.
    data : mapping of str to ndarray
        Arrays by key.

    Raises
    ------
    ValueError
        For an array that NetCDF cannot hold.
    OSError
        If the folder does not take the file.
    """
    if path.suffix.lower() == ".nc":
        variables, names, coordinates = labelled(header, data)
        own = {"variables": names, "dtypes": {key: data[key].dtype.str for key in names}}
        attributes = {HEADER: json.dumps({**header, **own})}
        if extra := [name for name in coordinates if name not in variables[name][0]]:
            attributes["coordinates"] = " ".join(extra)  # the convention for coordinates that are not named like their axis
        write_netcdf(path, variables, attributes)
        return
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez(file, **{HEADER: np.array(json.dumps(header))}, **data)  # type: ignore[arg-type]


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """Return header and arrays by key; the first bytes of the file say which format it is.

    Parameters
    ----------
    path : Path
        The file, whatever its ending.

    Raises
    ------
    TrajectoryError
        If the file is missing, damaged or foreign.
    """
    try:
        with open(path, "rb") as stream:
            start = stream.read(len(MAGIC))
        header, data = (_read_nc if start == MAGIC else _read_npz)(path)
    except FileNotFoundError:
        raise TrajectoryError(f"{path} does not exist") from None
    except TrajectoryError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise TrajectoryError(f"{path} is damaged or no dynsim trajectory ({error})") from error
    return header, data


def _read_npz(path: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:  # np.load leaks a path it cannot read
        header = _header(path, str(file[HEADER]) if HEADER in file else None)
        return header, {name: file[name] for name in file.files if name != HEADER}


def _read_nc(path: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    variables, attributes = read_netcdf(path)
    header = _header(path, attributes.get(HEADER))
    names, dtypes = header.pop("variables"), header.pop("dtypes")
    data = {}
    for key, name in names.items():
        dtype = np.dtype(dtypes[key])
        if dtype.kind not in "biufU":
            raise TrajectoryError(f"{path} is damaged: {key} has type {dtype}")
        data[key] = variables[name][1].astype(dtype, copy=False)
    return header, data


def _header(path: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        raise TrajectoryError(f"{path} is no dynsim trajectory: it has no dynsim header")
    header = json.loads(text)
    if not isinstance(header, dict):
        raise TrajectoryError(f"{path} is damaged: its header is no mapping")
    return header


def labelled(header: Mapping[str, Any], data: Mapping[str, NDArray]) -> tuple[dict[str, Variable], dict[str, str], list[str]]:
    """Name every array of a run and each of its axes, so that labelled-array tools can work with them.

    Recorded quantities keep their name and dims. What was recorded at fewer steps gets a step axis of its own, such as
    "step_test_loss", shared where the steps are equal. Axes that nobody named are called after their array and
    number: "noise_l1_0". A name that is taken, or that is no plain identifier, is changed a little.

    Parameters
    ----------
    header : mapping
        That of a run: "dims" names the axes of every recorded quantity; "provenance" has the seeds, labels of axes, and which constants
        differ between replicates.
    data : mapping of str to ndarray
        Arrays by key.

    Returns
    -------
    variables : dict of str to (dims, array, attributes)
        By name: the names of the axes, the array itself without a copy, and what is said about it.
    names : dict of str to str
        Key of `data` to name of variable.
    coordinates : list of str
        Variables that number or name the places of an axis: steps, the seeds of replicates, and what the system calls them
        (``provenance["axis_labels"]``, a mapping of axes to strings).
    """
    recorded = header["dims"]
    unique = _unique_names()
    axes: dict[Any, str] = {}

    def axis(dim: Any, wish: str) -> str:
        """Return the name of an axis: the same for the same `dim`."""
        if dim not in axes:
            axes[dim] = unique(wish)
        return axes[dim]

    clock = clock_of(data["at"])
    meaning = {"step": "updates made", "time": "time of the flow"}[clock]
    step, replicate = axis(clock, clock), axis("replicate", "replicate")
    for dim in (dim for dims in recorded.values() for dim in dims):
        axis(dim, dim)
    variables: dict[str, Variable] = {step: ((step,), data["at"], {"long_name": meaning})}
    names = {"at": step}
    for key in (key for key in data if key.startswith("sparser/")):
        known = (name for name in variables if np.array_equal(variables[name][1], data[key]))
        names[key] = next(known, "") or unique(f"{clock}_" + key.split("/", 1)[1])
        variables.setdefault(names[key], ((names[key],), data[key], {"long_name": meaning}))
    coordinates = list(variables)
    seeds = header["provenance"].get("seed")
    replicates = data["ended_at"].ndim
    if replicates and _fit_int32(seeds, len(data["ended_at"])):
        coordinates.append(unique("seed"))
        variables[coordinates[-1]] = ((replicate,), np.array(seeds), {})
    lengths = {dim: n for name, dims in recorded.items() for dim, n in zip(dims, data[f"arrays/{name}"].shape, strict=True)}
    for dim, labels in header["provenance"].get("axis_labels", {}).items():
        if lengths.get(dim) == len(labels) and axes[dim] not in variables:
            coordinates.append(axes[dim])
            variables[axes[dim]] = ((axes[dim],), np.array(labels, dtype=str), {})
    replicated = header["provenance"].get("replicated_constants", ())
    for key, a in data.items():
        if key in names:
            continue
        group, own = key.split("/", 1) if "/" in key else ("", key)
        names[key] = name = unique(f"{group}_{own}" if group == "optimizer_state" else own)
        if group == "arrays":
            dims = [axis((dim, i) if (i := recorded[own][:k].count(dim)) else dim, f"{dim}_{i + 1}") for k, dim in enumerate(recorded[own])]
            if recorded[own][:1] == [clock]:
                dims[0] = names.get(f"sparser/{own}", step)
        elif group in ("", "optimizer_state") and a.shape[:replicates] == data["ended_at"].shape and a.ndim - replicates <= 1:
            parameters = [axis(("length", n), "parameter") for n in a.shape[replicates:]]
            dims = [replicate] * replicates + parameters
        else:
            leading = bool(replicates) and own in replicated
            dims = [replicate if leading and k == 0 else unique(f"{name}_{k}") for k in range(a.ndim)]
        variables[name] = (tuple(dims), a, {"group": group} if group else {})
    return variables, names, coordinates


def _fit_int32(seeds: Any, count: int) -> bool:
    return isinstance(seeds, (list, tuple)) and len(seeds) == count and all(type(s) is int and 0 <= s < 2**31 for s in seeds)


def _unique_names() -> Callable[[str], str]:
    """Return a function that turns a wish into a plain identifier, and into another one each time it is called."""
    taken: set[str] = set()

    def unique(wish: str) -> str:
        name = re.sub(r"\W", "_", wish, flags=re.ASCII) or "_"
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    return unique
