"""The table of a sweep: a row a cell, columns by name."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..experiment import Experiment
from ..files import whole_file
from ..naming import unknown_name
from ..netcdf import read_netcdf, write_netcdf
from ..optimizers import describe
from ..tabular import csv_text, latex_text
from .design import Design, Points, Sampled, as_design, plain_value
from .folder import read_description, read_rows

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["Table", "changed", "design_of", "load_table"]


@dataclass(frozen=True, eq=False)
class Table(Mapping[str, NDArray]):
    """What a sweep measured: columns of equal length, a row a cell; a cell is a point of the design and a seed.

    A mapping of column name to array, as `sweep` and `load_table` return it; prints as a table with a row a point.

    Parameters
    ----------
    columns : mapping of str to ndarray
        The varied variables, ``seed``, what was measured (NaN: it did not happen within the horizon), ``steps`` (the horizon) and
        ``error`` ("" for a cell that ran). Of shape (cells,), or (cells, k) for one number a sample, filled up with NaN.
    axes : tuple of str
        The varied variables.
    about : mapping
        What the sweep is, JSON-ready: experiment, design, seeds, measures. Default empty, for a table made by hand: methods that need the
        experiment then raise a KeyError.
    docs : mapping of str to str
        What a column means; default empty.

    Examples
    --------
    >>> from dynsim import sweep
    >>> from dynsim.systems import signal_noise
    >>> table = sweep(signal_noise.experiment("tiny"), {"m_k": [2, 4]}, seeds=3, measure="train_loss@end", workers=1)
    >>> table.cells, list(table)
    (6, ['m_k', 'seed', 'train_loss@end', 'steps', 'error'])
    >>> table["m_k"].tolist(), table["seed"].tolist()
    ([2, 2, 2, 4, 4, 4], [0, 1, 2, 0, 1, 2])
    >>> table.where(m_k=4)["train_loss@end"].shape
    (3,)
    """

    columns: Mapping[str, NDArray]
    axes: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    docs: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray:
        """Return a column; a KeyError names the nearest one."""
        try:
            return self.columns[name]
        except KeyError:
            raise KeyError(unknown_name("column", name, self.columns)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """Number of columns, as of any mapping; `cells` is the number of rows."""
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def cells(self) -> int:
        """Number of rows."""
        return len(self.columns["seed"])

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the measured columns."""
        return tuple(name for name in self.columns if name not in (*self.axes, "seed", "steps", "error"))

    @property
    def experiment(self) -> Experiment:
        """The experiment whose variables were varied."""
        return Experiment.from_dict(self.about["experiment"])

    def rows(self, which: NDArray) -> Table:
        """Return the table with some of its rows.

        Parameters
        ----------
        which : ndarray of bool, shape (cells,), or of int
            A mask, or row numbers in the order wanted.
        """
        return Table({name: a[which] for name, a in self.columns.items()}, self.axes, self.about, self.docs)

    def where(self, **values: Any) -> Table:
        """Return the rows at which columns have these values.

        Parameters
        ----------
        **values
            Column to the value it must have; all must be met.

        Raises
        ------
        ValueError
            If no row has them, naming the values there are.
        KeyError
            For a column that there is not, naming the nearest one.
        """
        keep = np.ones(self.cells, dtype=bool)
        for name, value in values.items():
            same = self[name] == value
            if not same.any():
                raise ValueError(f"no row has {name}={value!r}; there are {', '.join(str(v) for v in np.unique(self[name])[:12])}")
            keep &= same
        return self.rows(keep)

    def along(self, *names: str) -> Table:
        """Return the rows at which every other variable has the experiment's own value: one arm of a star of points.

        Parameters
        ----------
        *names : str
            The variables that may vary; they are the axes of the table returned.

        Raises
        ------
        KeyError
            For a column that there is not, naming the nearest one.
        """
        keep = np.ones(self.cells, dtype=bool)
        base = base_values(self.experiment)
        for name in self.axes:
            if name not in names:
                keep &= self[name] == base[name]
        for name in names:
            self[name]
        found = self.rows(keep)
        return Table({n: a for n, a in found.columns.items() if n not in self.axes or n in names}, tuple(names), self.about, self.docs)

    def arm(self, name: str) -> Table:
        """Return the rows that tell about one variable: its arm where the points are a list around the experiment, else all.

        Parameters
        ----------
        name : str
            A varied variable.
        """
        return self.along(name) if self.about.get("design", {}).get("kind") == "list" and len(self.axes) > 1 else self

    def points(self) -> Iterator[tuple[dict[str, Any], Table]]:
        """Yield each point of the design, as variable to value, with its rows."""
        if not self.cells:
            return
        keys = np.stack([np.unique(self[name], return_inverse=True)[1].ravel() for name in self.axes] or [np.zeros(self.cells, dtype=int)])
        _, first, member = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        for number in np.argsort(first):
            rows = np.flatnonzero(member.ravel() == number)
            yield {name: plain_value(self[name][rows[0]]) for name in self.axes}, self.rows(rows)

    @property
    def errors(self) -> list[str]:
        """One line a cell that failed: where, and why."""
        bad = np.flatnonzero(self["error"] != "")
        return [", ".join(f"{n}={_short(self[n][i])}" for n in (*self.axes, "seed")) + f": {self['error'][i]}" for i in bad]

    # -- out -------------------------------------------------------------------------------------------------------

    def to_numpy(self) -> NDArray:
        """Return the rows as one structured array."""
        kinds = [(name, a.dtype, a.shape[1:]) for name, a in self.columns.items()]
        out = np.empty(self.cells, dtype=kinds)
        for name, a in self.columns.items():
            out[name] = a
        return out

    def _flat(self) -> dict[str, NDArray]:
        """Columns of one number each: a list of numbers becomes ``name[0]``, ``name[1]``, ..."""
        found: dict[str, NDArray] = {}
        for name, a in self.columns.items():
            found.update({name: a} if a.ndim == 1 else {f"{name}[{i}]": a[:, i] for i in range(a.shape[1])})
        return found

    def to_csv(self) -> str:
        """Return the table as CSV text; numbers round-trip, NaN is an empty cell."""
        flat = self._flat()
        rows = zip(*([_blank(v) for v in a.tolist()] for a in flat.values()), strict=True)
        return csv_text(list(flat), rows)

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return a LaTeX table of the points: for each measured number the mean over seeds, for each word how often it occurs.

        Parameters
        ----------
        caption : str
            With one, the tabular stands in a `table`; default "", a bare tabular.
        label : str
            What ``\\ref`` calls the table; needs a caption. Default none.

        Raises
        ------
        ValueError
            For a label without a caption, or with characters other than letters, digits and ``:._-+/``.
        """
        names, rows = self.summary()
        return latex_text(names, rows, caption=caption, label=label)

    def summary(self) -> tuple[list[str], list[list[Any]]]:
        """Return columns and rows of a table with one row a point: means over the seeds that have a number, counts of words."""
        numbers = [name for name in self.measured if self[name].ndim == 1 and self[name].dtype.kind == "f"]
        words = [name for name in self.measured if self[name].dtype.kind == "U"]
        rows = []
        for point, part in self.points():
            cells: list[Any] = [*point.values(), part.cells]
            for name in numbers:
                known = part[name][np.isfinite(part[name])]
                cells.append(float(known.mean()) if len(known) else math.nan)
            for name in words:
                cells.append(", ".join(f"{n} {word}" for word, n in zip(*np.unique(part[name], return_counts=True), strict=True) if word))
            cells.append(int((part["error"] != "").sum()))
            rows.append(cells)
        return [*self.axes, "seeds", *numbers, *words, "errors"], rows

    def __str__(self) -> str:
        names, rows = self.summary()
        cells = [names, *[[_short(c) for c in row] for row in rows]]
        if not self.cells or not self["error"].astype(bool).any():
            cells = [row[:-1] for row in cells]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in cells)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a DataFrame, a row a cell.

        Raises
        ------
        ImportError
            If pandas is not installed: ``pip install 'dynsim[pandas]'``.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas needs pandas: pip install 'dynsim[pandas]'") from None
        frame = pandas.DataFrame(self._flat())
        frame.attrs["dynsim"] = json.dumps(dict(self.about))
        return frame

    def to_xarray(self) -> xarray.Dataset:
        """Return the table as a Dataset: with an axis for each variable and one for the seed where the points are a full grid.

        Otherwise along one axis ``cell``.

        Raises
        ------
        ImportError
            If xarray is not installed: ``pip install 'dynsim[xarray]'``.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'dynsim[xarray]'") from None
        attributes = {"dynsim": json.dumps(dict(self.about))}
        keys = (*self.axes, "seed")
        values, place = zip(*(np.unique(self[name], return_inverse=True) for name in keys), strict=True)
        shape = tuple(len(v) for v in values)
        full = self.cells == math.prod(shape) and len(np.unique(np.ravel_multi_index([p.ravel() for p in place], shape))) == self.cells
        variables: dict[str, Any] = {}
        for name, a in self.columns.items():
            doc = {"long_name": self.docs[name]} if name in self.docs else {}
            trailing = () if a.ndim == 1 else (f"{name}_item",)
            if not full:
                variables[name] = (("cell", *trailing), a, doc)
            elif name not in keys:
                gridded = np.empty((*shape, *a.shape[1:]), dtype=a.dtype)
                gridded[tuple(p.ravel() for p in place)] = a
                variables[name] = ((*keys, *trailing), gridded, doc)
        coords = dict(zip(keys, values, strict=True)) if full else {}
        return xarray.Dataset(variables, coords, attributes)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the table as NetCDF, CSV or LaTeX, whole or not at all; `load_table` reads the first of these back.

        Parameters
        ----------
        path : str or path
            Its suffix says which: .nc, .csv or .tex. A file that is there is replaced.

        Returns
        -------
        path
            The file.

        Raises
        ------
        ValueError
            For another suffix.
        """
        path = Path(path).expanduser()
        if path.suffix == ".nc":
            variables = {name: (("cell",) if a.ndim == 1 else ("cell", f"{name}_item"), a,
                                {"long_name": self.docs[name]} if name in self.docs else {}) for name, a in self.columns.items()}
            header = {"kind": "dynsim table", "axes": list(self.axes), "about": dict(self.about), "docs": dict(self.docs),
                      "types": {name: a.dtype.str for name, a in self.columns.items()}}
            write_netcdf(path, variables, {"dynsim": json.dumps(header)})
        elif path.suffix in (".csv", ".tex"):
            with whole_file(path) as partial:
                partial.write_text(self.to_csv() if path.suffix == ".csv" else self.to_latex(), encoding="utf-8")
        else:
            raise ValueError(f"path={str(path)!r} must end in .nc (NetCDF), .csv or .tex (LaTeX)")
        return path


def changed(entry: str, **changes: Callable[[Table], Any]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a negative control for a claim about sweeps: the evidence with columns of one table replaced by wrong ones.

    Parameters
    ----------
    entry : str
        Entry of the evidence.
    **changes : callable
        Name of a column, and what makes the wrong one of the table.
    """

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        table = evidence[entry]
        columns = {**table.columns, **{name: change(table) for name, change in changes.items()}}
        return {**evidence, entry: Table(columns, table.axes, table.about, table.docs)}

    return control


def _blank(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _short(value: Any) -> str:
    value = plain_value(value)
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.5g}"
    return str(value)


def base_values(experiment: Experiment) -> dict[str, Any]:
    """Return the experiment's own value of every variable."""
    rule = {name: getattr(experiment.optimizer, name) for name, of in experiment.variables.items() if of == "optimizer"}
    own = {"until" if experiment.flows else "steps": experiment.horizon, "target_loss": experiment.target_loss}
    return {**own, "optimizer": describe(experiment.optimizer)["rule"], **rule, **experiment.setting.to_dict()}


def design_of(description: Mapping[str, Any]) -> Design:
    """Return the design that a description was made from."""
    design = description["design"]
    if design["kind"] == "grid":
        return as_design(design["axes"])
    if design["kind"] == "list":
        return Points(design["points"])
    return Sampled({k: tuple(v) for k, v in design["ranges"].items()}, design["points"], design["seed"], design["method"])


def assemble(description: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], design: Design | None = None) -> Table:
    """Return the table of a sweep from its description and rows, in the order of the design whatever order they finished in.

    Cells without a row are left out.
    """
    design = design_of(description) if design is None else design
    seeds, columns = description["seeds"], description["columns"]
    cells = len(design) * len(seeds)
    there = np.zeros(cells, dtype=bool)
    steps, error = np.zeros(cells), np.full(cells, "", dtype=object)
    data: dict[str, Any] = {
        name: [None] * cells if about["kind"] == "numbers" else np.full(cells, "" if about["kind"] == "word" else np.nan,
                                                                        dtype=object if about["kind"] == "word" else float)
        for name, about in columns.items()
    }
    for row in rows:  # a later row of a cell replaces an earlier one
        cell = row["cell"]
        there[cell], steps[cell], error[cell] = True, row.get("steps", 0), row["error"]
        for name, about in columns.items():
            value = row.get(name)
            if about["kind"] == "numbers":
                data[name][cell] = [_number(v) for v in value or ()]
            else:
                data[name][cell] = (value or "") if about["kind"] == "word" else _number(value)
    kept = np.flatnonzero(there)
    found: dict[str, NDArray] = {}
    points = [design[int(k)] for k in np.unique(kept // len(seeds))] if len(kept) else []
    place = np.unique(kept // len(seeds), return_inverse=True)[1] if len(kept) else kept
    for name in design.names:
        found[name] = np.array([point[name] for point in points])[place] if points else np.empty(0)
    found["seed"] = np.asarray(seeds, dtype=np.int64)[kept % len(seeds)]
    for name, about in columns.items():
        if about["kind"] == "numbers":
            lists = [data[name][cell] for cell in kept]
            wide = np.full((len(kept), max(map(len, lists), default=0)), np.nan)
            for line, values in zip(wide, lists, strict=True):
                line[: len(values)] = values
            found[name] = wide
        else:
            found[name] = data[name][kept].astype(str) if about["kind"] == "word" else data[name][kept]
    if "steps" not in found:  # else the horizon is a variable
        flows = description["experiment"]["optimizer"]["rule"] == "flow"
        found["steps"] = steps[kept] if flows else steps[kept].astype(np.int64)
    found["error"] = error[kept].astype(str)
    return Table(found, tuple(design.names), dict(description), {name: about["doc"] for name, about in columns.items()})


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def load_table(path: str | os.PathLike) -> Table:
    """Read the table of a sweep's folder, or of a NetCDF file that `Table.save` wrote.

    A sweep that is not finished gives the rows it has.

    Parameters
    ----------
    path : str or path
        The folder that was `out` of a sweep, or the file.

    Returns
    -------
    Table
        In the order of the design, whatever order the rows finished in.

    Raises
    ------
    SweepFolderError
        If the folder is no sweep's, or does not exist.
    ValueError
        If the file is no table's.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from dynsim import load_table, sweep
    >>> from dynsim.systems import signal_noise
    >>> tiny = signal_noise.experiment("tiny")
    >>> with TemporaryDirectory() as folder:
    ...     table = sweep(tiny, {"m_k": [2, 4]}, seeds=2, measure="train_loss@end", workers=1, out=Path(folder) / "mine")
    ...     again = load_table(Path(folder) / "mine")
    >>> again.cells, bool((again["train_loss@end"] == table["train_loss@end"]).all())
    (4, True)
    """
    path = Path(path).expanduser()
    if not path.is_file():
        description = read_description(path)
        about = {k: v for k, v in description.items() if k not in ("kind", "schema")}
        return assemble(about, read_rows(path))
    variables, attributes = read_netcdf(path)
    try:
        header = json.loads(attributes["dynsim"])
        if header["kind"] != "dynsim table":
            raise KeyError("kind")
        columns = {name: np.asarray(variables[name][1]).astype(kind) for name, kind in header["types"].items()}
        return Table(columns, tuple(header["axes"]), header["about"], header["docs"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no table of dynsim ({error})") from None


def join(tables: Sequence[Table]) -> Table:
    """Return the rows of several tables as one, with the columns that all of them have.

    Parameters
    ----------
    tables : sequence of Table
        At least one; axes of the result are the variables that all of them vary, its description is that of the first.

    Raises
    ------
    ValueError
        If there is no table.
    """
    if not tables:
        raise ValueError("tables=[] is empty: give at least one")
    first = tables[0]
    shared = [name for name in first.columns if all(name in t for t in tables) and len({t[name].shape[1:] for t in tables}) == 1]
    axes = tuple(name for name in first.axes if all(name in t.axes for t in tables))
    return Table({name: np.concatenate([t[name] for t in tables]) for name in shared}, axes, first.about, first.docs)
