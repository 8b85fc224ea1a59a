"""The folder of a sweep: its description, its rows, and a lock; whatever happens, finished rows stay.

``sweep.json`` says what the sweep is. ``rows.jsonl`` has one line a cell, appended and synced to disk as cells
finish, each with a checksum: a line that was cut short or damaged counts as not there, and its cell is run again.
``lock`` is held by the one process that writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .._version import __version__
from ..files import partial_of, whole_file

__all__ = ["SweepFolder", "SweepFolderError", "differences", "read_description", "read_rows"]

DESCRIPTION, ROWS, LOCK = "sweep.json", "rows.jsonl", "lock"
KIND = "dynsim sweep"
SCHEMA = 1
"""Version of the folder's layout."""
_CRC = ', "crc": "'


class SweepFolderError(ValueError):
    """A folder cannot hold this sweep: not a sweep's, another sweep's, in use, damaged, or out of reach."""


class SweepFolder:
    """A sweep's folder, opened for writing by this process alone until `close`.

    Parameters
    ----------
    path : path
        Created, with its parents, if it does not exist.
    description : mapping
        JSON-ready; what the sweep is.
    cells : int
        Number of cells; rows are numbered from 0.
    retry : bool
        Run cells again whose row is an error.

    Attributes
    ----------
    done : bytearray, shape (cells,)
        1 for every cell that has a row.
    damaged : int
        Lines of `rows.jsonl` that are no rows.

    Raises
    ------
    SweepFolderError
        If the folder holds something else, another sweep, or is being written by another process.
    """

    def __init__(self, path: str | os.PathLike, description: Mapping[str, Any], cells: int, *, retry: bool = False) -> None:
        self.path = Path(path).expanduser()
        self.done = bytearray(cells)
        self._files: dict[str, int] = {}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            inside = set(os.listdir(self.path))
        except OSError as error:
            raise SweepFolderError(f"{self.path} cannot be made or read ({error.strerror}): choose another folder") from None
        if DESCRIPTION not in inside and inside - {LOCK, partial_of(Path(DESCRIPTION)).name}:  # rows without a description are nobody's
            raise SweepFolderError(f"{self.path} is not empty and no sweep (it has no {DESCRIPTION}): choose a new or an empty folder")
        try:
            self._take_lock()
            self._describe(description)
            self._files["rows"] = os.open(self.path / ROWS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            good, self.damaged = 0, 0
            for row, end in _scan(self.path / ROWS):
                if row is None or not 0 <= row["cell"] < cells:
                    self.damaged += 1
                else:
                    self.done[row["cell"]] = not (retry and row["error"])
                    good = end
            os.ftruncate(self._files["rows"], good)  # what follows the last row is a line that was cut short
            _sync_folder(self.path)
        except OSError as error:
            self.close()
            raise SweepFolderError(f"{self.path} cannot be written to ({error.strerror}): choose another folder") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SweepFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; what was appended is on disk."""
        if "lock" in self._files:
            _unlock(self._files["lock"])
        _close(self._files)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows to disk, or none of them: on return they outlive a crash of the machine.

        Raises
        ------
        OSError
            If they cannot be written, for example on a full disk; earlier rows stay readable.
        """
        rows = list(rows)
        left = memoryview(b"".join(_line(row) for row in rows))
        file = self._files["rows"]
        size = os.fstat(file).st_size
        try:
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
        except OSError:  # and not Ctrl-C: rows that were written stay, a line that it cut short counts as not there
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)
            raise
        for row in rows:
            self.done[row["cell"]] = 1

    def _describe(self, description: Mapping[str, Any]) -> None:
        """Write the description, or compare it with the one that is there."""
        ours = json.loads(json.dumps({"kind": KIND, "schema": SCHEMA, "dynsim": __version__, **description}, allow_nan=False))
        target = self.path / DESCRIPTION
        if not target.exists():
            with whole_file(target) as partial_file:
                partial_file.write_text(json.dumps(ours, indent=1), encoding="utf-8")
            return
        theirs = read_description(self.path)
        lines = list(differences(_deciding(theirs), _deciding(ours)))
        if lines:
            shown = "; ".join(lines[:6]) + (f"; and {len(lines) - 6} more" if len(lines) > 6 else "")
            raise SweepFolderError(f"{self.path} holds another sweep: {shown}. Run that one again, or choose another folder")

    def _take_lock(self) -> None:
        """Hold the lock until this process ends, however it ends.

        The system frees it when the process dies. A child that was forked meanwhile closes its copy at once, so that an orphan
        cannot keep the folder locked.
        """
        file = self._files["lock"] = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(file)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise  # the file system has no locks
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() if hasattr(os, "pread") else ""
            _close(self._files)
            raise SweepFolderError(
                f"{self.path} is being written by another process ({holder or 'unknown'}): wait for it, or choose another folder"
            ) from None
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {platform.node()}\n".encode())
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_close, self._files))  # and no unlocking: that would free the parent's lock


def _close(files: dict[str, int]) -> None:
    while files:
        os.close(files.popitem()[1])


def _lock(file: int) -> None:
    """Lock an open file for this process; raise an OSError if another one holds it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(file: int) -> None:
    with contextlib.suppress(ImportError, OSError):  # closing the file frees it too, unless a child holds a copy
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not every system opens folders
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _line(row: Mapping[str, Any]) -> bytes:
    """Return a row as one line of JSON whose last entry is the checksum of what stands before it."""
    body = json.dumps({name: _encode(value) for name, value in row.items()}, allow_nan=False)[:-1]
    return f'{body}{_CRC}{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def _encode(value: Any) -> Any:
    """Return a value as JSON has it: NaN is null, infinities are words."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return [_encode(v) for v in value] if isinstance(value, list) else value


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the row of a line, None if it is damaged."""
    body, crc, end = line.rpartition(_CRC.encode())
    if not crc or end != f'{zlib.crc32(body):08x}"}}\n'.encode():
        return None
    return json.loads(body + b"}")


def _scan(path: Path) -> Iterator[tuple[dict[str, Any] | None, int]]:
    """Yield every line's row, None for a damaged one, and where the line ends."""
    end = 0
    with open(path, "rb") as file:
        for line in file:
            end += len(line)
            yield _parse(line), end


def read_rows(path: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """Yield the rows of a sweep's folder as they were written; a cell that was run again occurs again."""
    file = Path(path) / ROWS
    if file.exists():
        yield from (row for row, _ in _scan(file) if row is not None)


def read_description(path: str | os.PathLike) -> dict[str, Any]:
    """Return the description of a sweep's folder.

    Raises
    ------
    SweepFolderError
        If the folder is missing, no sweep's, damaged, or of another schema version.
    """
    target = Path(path) / DESCRIPTION
    try:
        found = json.loads(target.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise SweepFolderError(f"{path} is no sweep of dynsim: it has no {DESCRIPTION}") from None
    except (OSError, ValueError) as error:
        raise SweepFolderError(f"{target} is damaged ({error}): choose another folder") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise SweepFolderError(f"{target} does not describe a sweep of dynsim")
    if found.get("schema") != SCHEMA:
        raise SweepFolderError(f"{target} has schema {found.get('schema')!r}; this version of dynsim reads schema {SCHEMA}")
    return found


def _deciding(description: dict[str, Any]) -> dict[str, Any]:
    """Return what rows depend on: columns follow from the measures, a note and an origin are only told."""
    experiment = {k: v for k, v in description.get("experiment", {}).items() if k not in ("note", "origin")}
    return {k: v for k, v in description.items() if k != "columns"} | {"experiment": experiment}


def differences(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Yield where two JSON-ready values differ, as ``name: theirs in the folder, ours now``; of long lists item by item."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in dict.fromkeys((*theirs, *ours)):
            yield from differences(theirs.get(key), ours.get(key), f"{where}.{key}" if where else str(key))
    elif theirs != ours and isinstance(theirs, list) and isinstance(ours, list) and len(_text(theirs) + _text(ours)) > 2 * SHORT:
        if len(theirs) != len(ours):
            yield f"{where}: {len(theirs)} items in the folder, {len(ours)} now"
        for number, (a, b) in enumerate(zip_longest(theirs, ours)):
            yield from differences(a, b, f"{where}[{number}]")
    elif theirs != ours:
        yield f"{where}: {_short(theirs)} in the folder, {_short(ours)} now"


SHORT = 80


def _text(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= SHORT else text[:60] + f"... ({len(text)} characters)"
