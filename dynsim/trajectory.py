"""The record of a run: arrays by name, how it ended, where it came from; saved and loaded bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .naming import unknown_name
from .recording import clock_of
from .tabular import html_text
from .trajectory_files import TrajectoryError, labelled, read_file, write_file

__all__ = ["SCHEMA", "Trajectory", "TrajectoryError", "load"]

SCHEMA = 1
"""Version of the file layout; raised when a reader of the old layout would misread the new one."""

STATUSES = ("finished", "stopped", "diverged", "interrupted", "failed")
"""How a run can end."""

_GROUPS = ("arrays", "constants", "optimizer_state", "sparser")
"""Fields that map names to arrays."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a run recorded, by name, with how it ended and all that is needed to save it, check it and go on with it.

    `dynsim.simulate` and `dynsim.load` return one; ``run["key_noise"]`` is the recorded array, and a KeyError names the nearest one
    there is. Shapes below: T recorded steps, P parameters; ``replicates`` is (R,) for R runs side by side and () for a single one.

    Parameters
    ----------
    at : ndarray of int or float, shape (T,)
        Steps at which the quantities were recorded; 0 is the start, before any update. Of a flow, times.
    arrays : mapping of str to ndarray
        Recorded quantities, each (T, *replicates, *axes). ``run["key_noise"]`` is short for
        ``run.arrays["key_noise"]``.
    dims : mapping of str to tuple of str
        Names of each array's axes, "step" or "time" first.
    constants : mapping of str to ndarray
        Numbers of the system that claims and figures need.
    status : str
        "finished", "stopped" (by `stop`), "diverged", "interrupted" or "failed" (the solver of a flow gave up).
    message : str
        The same in a sentence.
    ended_at : ndarray of int or float, shape replicates
        Step or time at which a replicate stopped, diverged, failed or was interrupted; -1 if it ran to the end.
    underflow_at : ndarray of int, shape replicates
        First step at which an entry of the gradient underflowed and was used as a number; -1 if none.
    final : ndarray, shape (*replicates, P)
        Parameters after the last step.
    optimizer_state : mapping of str to ndarray
        With `final` and `last_step` enough to go on: ``simulate(..., start=run)``.
    last_step : int or float
        Number of updates made; of a flow, the time reached.
    provenance : mapping
        System, setting, seed, optimizer and what else describes the run, JSON-ready; default empty.
    versions : mapping of str to str
        Of dynsim and NumPy; default empty.
    sparser : mapping of str to ndarray of int
        Steps of the quantities that were recorded at fewer steps than `at`, see `steps`; default none.

    Examples
    --------
    >>> from dynsim import SignGD, simulate
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0)
    >>> run = simulate(system, SignGD(lr=0.01), steps=40, record={"train_loss": 1, "test_loss": 20})
    >>> run
    Trajectory: finished, ran 40 steps
      train_loss               (step)                       (41,)
      test_loss                (step)                       (3,)
    >>> run.steps("test_loss").tolist(), run.success
    ([0, 20, 40], True)
    >>> simulate(system, SignGD(lr=0.01), steps=60, start=run).last_step  # goes on
    100
    """

    at: NDArray
    arrays: Mapping[str, NDArray]
    dims: Mapping[str, tuple[str, ...]]
    constants: Mapping[str, NDArray]
    status: str
    message: str
    ended_at: NDArray
    underflow_at: NDArray
    final: NDArray
    optimizer_state: Mapping[str, NDArray]
    last_step: Any  # int, or float of a flow
    provenance: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    sparser: Mapping[str, NDArray] = field(default_factory=dict)

    def steps(self, name: str) -> NDArray:
        """Return the steps or times at which a quantity was recorded: `at`, or fewer where `record` asked for fewer.

        Parameters
        ----------
        name : str
            A recorded quantity.

        Returns
        -------
        ndarray of int or float, shape (T,)
            As long as the quantity's first axis.

        Raises
        ------
        KeyError
            If it was not recorded, naming the nearest one that was.
        """
        self[name]
        return self.sparser.get(name, self.at)

    @property
    def clock(self) -> str:
        """What `at` counts: "step", or "time" for a flow."""
        return clock_of(self.at)

    @property
    def success(self) -> bool:
        """True when the run reached its horizon or its stopping rule."""
        return self.status in ("finished", "stopped")

    def __getitem__(self, name: str) -> NDArray:
        """Return a recorded quantity; a KeyError names the nearest recorded one."""
        try:
            return self.arrays[name]
        except KeyError:
            raise KeyError(unknown_name("recorded quantity", name, self.arrays)) from None

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __repr__(self) -> str:
        shapes = "\n".join(f"  {name:24s} {'(' + ', '.join(self.dims[name]) + ')':28s} {a.shape}" for name, a in self.arrays.items())
        return f"Trajectory: {self.status}, {self.message}\n{shapes}"

    def _repr_html_(self) -> str:
        rows = ((name, ", ".join(self.dims[name]), a.shape) for name, a in self.arrays.items())
        return html_text(("quantity", "axes", "shape"), rows, caption=f"Trajectory: {self.status}, {self.message}")

    def replicate(self, index: int) -> Trajectory:
        """Return one replicate's run, without the leading axis.

        Constants whose first axis is as long as the number of replicates and which the system marked
        as replicated (``provenance["replicated_constants"]``) are indexed too.

        Parameters
        ----------
        index : int
            Number of the replicate, from 0.

        Raises
        ------
        ValueError
            If the run has no axis of replicates.
        IndexError
            If there is no replicate of that number.
        """
        if self.final.ndim != 2:
            raise ValueError("this run has no replicates axis")
        replicated = self.provenance.get("replicated_constants", ())
        provenance = {key: value for key, value in self.provenance.items() if key != "replicated_constants"}
        if isinstance(provenance.get("seed"), (list, tuple)):
            provenance["seed"] = provenance["seed"][index]
        rule = provenance.get("optimizer", {})
        if isinstance(rule.get("lr"), (list, tuple)):
            provenance["optimizer"] = {**rule, "lr": rule["lr"][index]}
        return replace(
            self,
            arrays={name: a[:, index] for name, a in self.arrays.items()},
            dims={name: tuple(d for d in dims if d != "replicate") for name, dims in self.dims.items()},
            constants={name: (a[index] if name in replicated else a) for name, a in self.constants.items()},
            ended_at=self.ended_at[index],
            underflow_at=self.underflow_at[index],
            final=self.final[index],
            optimizer_state={name: a[index] for name, a in self.optimizer_state.items()},
            provenance=provenance,
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Write the run to a file: NetCDF-3 with named axes, or .npz; nothing is pickled.

        The file appears whole or not at all. `dynsim.load` returns either bit for bit.

        Parameters
        ----------
        path : str or path
            NetCDF if it ends in .nc, else .npz; a file that is there is replaced.

        Returns
        -------
        path
            The file.

        Raises
        ------
        ValueError
            For .nc: if a quantity takes 2 GiB or more, or axes of one name differ in length; .npz has no such limits.
        """
        path = Path(path)
        write_file(path, *self._parts())
        return path

    def to_xarray(self) -> Any:
        """Return the run as an `xarray.Dataset`: the variables and named axes of the .nc file, with their own types.

        Coordinates are "step", the steps of what was recorded at fewer of them ("step_test_loss"), "seed" along
        "replicate", and the labels that the system gives axes (``provenance["axis_labels"]``). Attributes are `status`,
        `message` and `provenance`, the last as JSON. Quantities are not copied: writing to them writes to the run.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError("to_xarray needs xarray: pip install 'dynsim[xarray]'") from error
        header, data = self._parts()
        variables, _, coordinates = labelled(header, data)
        return xarray.Dataset(
            {name: variable for name, variable in variables.items() if name not in coordinates},
            coords={name: variables[name] for name in coordinates},
            attrs={"status": self.status, "message": self.message, "provenance": json.dumps(header["provenance"])},
        )

    def _parts(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what a file holds: a JSON-ready header, and arrays by key."""
        header = {
            "schema": SCHEMA,
            "dims": {name: list(dims) for name, dims in self.dims.items()},
            "status": self.status,
            "message": self.message,
            "last_step": self.last_step,
            "provenance": dict(self.provenance),
            "versions": dict(self.versions),
        }
        data = {"at": self.at, "ended_at": self.ended_at, "underflow_at": self.underflow_at, "final": self.final}
        for group in _GROUPS:
            data.update({f"{group}/{name}": a for name, a in getattr(self, group).items()})
        return header, {key: np.asarray(a) for key, a in data.items()}


def load(path: str | os.PathLike) -> Trajectory:
    """Read a run that `Trajectory.save` wrote, .npz or NetCDF; every array comes back bit for bit.

    Parameters
    ----------
    path : str or path
        The file; its first bytes say which format it is, not its name.

    Returns
    -------
    Trajectory
        As it was saved: ``check(load(path))`` equals ``check(run)``, and ``simulate(..., start=load(path))`` goes on.

    Raises
    ------
    TrajectoryError
        If the file is missing, damaged, foreign, or of another schema version.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from dynsim import load
    >>> from dynsim.systems import signal_noise
    >>> run = signal_noise.experiment("tiny").run()
    >>> with TemporaryDirectory() as folder:
    ...     again = load(run.save(Path(folder) / "run.nc"))
    >>> bool((again["key_noise"] == run["key_noise"]).all()), again.provenance["seed"]
    (True, 0)
    """
    path = Path(path)
    header, data = read_file(path)
    if header.get("schema") != SCHEMA:
        raise TrajectoryError(f"{path} has schema {header.get('schema')}; this version of dynsim reads schema {SCHEMA}")

    def group(prefix: str) -> dict[str, NDArray]:
        return {name.split("/", 1)[1]: a for name, a in data.items() if name.startswith(prefix + "/")}

    try:
        run = Trajectory(
            at=data["at"],
            **{name: group(name) for name in _GROUPS},
            dims={name: tuple(dims) for name, dims in header["dims"].items()},
            status=header["status"],
            message=header["message"],
            ended_at=data["ended_at"],
            underflow_at=data["underflow_at"],
            final=data["final"],
            last_step=header["last_step"],
            provenance=header["provenance"],
            versions=header["versions"],
        )
    except KeyError as error:
        raise TrajectoryError(f"{path} is damaged: {error} is missing") from error
    except (AttributeError, TypeError) as error:
        raise TrajectoryError(f"{path} is damaged: its header has fields of the wrong type ({error})") from error
    for fault in _faults(run):
        raise TrajectoryError(f"{path} is damaged: {fault}")
    return run


def _faults(run: Trajectory) -> Iterator[str]:
    """Yield what is wrong with a record: arrays that do not belong together, fields of the wrong kind."""
    if run.at.ndim != 1 or run.at.dtype.kind not in "iuf" or not (np.diff(run.at) > 0).all():
        yield "its steps or times are not ascending numbers"
    if set(run.dims) != set(run.arrays):
        yield "the names of arrays and of their dims differ"
    for name, a in run.arrays.items():
        if a.ndim != len(run.dims[name]) or len(a) != len(run.steps(name)) or a.dtype.kind != "f":
            yield f"{name} has shape {a.shape} and type {a.dtype}, which its steps and dims do not allow"
    if run.status not in STATUSES or not isinstance(run.last_step, (int, float)) or not isinstance(run.provenance, dict):
        yield "its header has fields of the wrong kind"
