"""Run folders: what dynsim writes about a run, and a manifest that tells its files from the user's.

A run folder holds ``dynsim.json``, the list of exactly the files that dynsim wrote into it. A folder can be
written again: the listed files are replaced or removed, every other file stays. A folder that holds
something and no such list is not dynsim's, and is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from .._version import __version__
from ..files import partial_of, whole_file

__all__ = ["FolderError", "MANIFEST", "RunFolder", "goes_on"]

MANIFEST = "dynsim.json"
"""Name of the list of files."""

KIND = "dynsim run folder"
SCHEMA = 1
"""Version of the list's layout."""


class FolderError(ValueError):
    """A folder cannot be written: not dynsim's, already a run's, or out of reach."""


class RunFolder:
    """A folder that dynsim may write into; refusals come from the constructor, before there is anything to lose.

    Parameters
    ----------
    path : path
        Created, with its parents, if it does not exist.
    overwrite : bool
        Replace the run that the folder holds. Nothing of the old run is removed before the first file of the
        new one is in place.
    replaceable : bool
        Whether the command has an option to overwrite: a refusal names it.
    planned : iterable of str
        Files that will be written, relative to the folder: a file of the user's in their place is a refusal now
        and not when the work is done.

    Raises
    ------
    FolderError
        Naming the folder and the way out.
    """

    def __init__(self, path: str | os.PathLike, *, overwrite: bool = False, replaceable: bool = True, planned: Iterable[str] = ()) -> None:
        self.path = Path(path).expanduser()
        self._replaceable = replaceable
        self.files: list[str] = []
        self._old = self._claimed(overwrite)
        for name in planned:
            self._refuse_foreign(name)
        self._created = self._create()

    def _claimed(self, overwrite: bool) -> set[str]:
        """Return the files of the run that the folder already holds."""
        try:
            inside = sorted(os.listdir(self.path))
        except FileNotFoundError:
            return set()
        except NotADirectoryError:
            raise FolderError(f"{self.path} is a file or lies below one: give a folder") from None
        except OSError as error:
            raise FolderError(f"{self.path} cannot be read ({error.strerror}): choose another folder") from None
        if not inside:
            return set()
        if MANIFEST not in inside:
            raise FolderError(
                f"{self.path} is not empty and no run folder of dynsim (it has no {MANIFEST}), so it is left alone: choose a new or an "
                "empty folder"
            )
        files = read_manifest(self.path)
        if not overwrite:
            way = "pass --overwrite to replace it (only files that dynsim wrote), or " if self._replaceable else ""
            raise FolderError(f"{self.path} already holds a run: {way}choose another folder")
        return set(files)

    def _refuse_foreign(self, name: str) -> None:
        """Raise if something that dynsim did not write stands where a file is to go."""
        target = self.path / name
        if name not in self._old and name not in self.files and os.path.lexists(target):
            raise FolderError(f"{target} was not written by dynsim and would be replaced: move it away or choose another folder")
        for parent in PurePosixPath(name).parents[:-1]:
            if os.path.lexists(self.path / parent) and not (self.path / parent).is_dir():
                raise FolderError(f"{self.path / parent} is in the way of a folder of that name: move it away or choose another folder")

    def _create(self) -> list[Path]:
        """Create the folder, prove that it can be written to, and return the folders made, innermost first."""
        missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            self._created = missing
            self.abandon()
            raise FolderError(f"{self.path} cannot be written to ({error.strerror}): choose another folder") from None
        return missing

    def claim(self) -> None:
        """Mark the folder as dynsim's before the first file is written; what an old run left stays until then."""
        self._list({*self._old, *self.files})

    def abandon(self) -> None:
        """Remove the folders made for a run of which nothing was written; otherwise do nothing."""
        if not self.files:
            for folder in self._created:
                try:
                    folder.rmdir()
                except OSError:  # not made, or in use by now
                    return

    def write(self, name: str, writer: Callable[[Path], object]) -> Path:
        """Write one file: it appears whole or not at all, and is on the list before it appears.

        Parameters
        ----------
        name : str
            Relative to the folder, with forward slashes.
        writer : callable
            Writes the file to the path it is given.

        Returns
        -------
        Path

        Raises
        ------
        FolderError
            If something that dynsim did not write stands in its place.
        OSError
            If it cannot be written; everything written before stays.
        """
        self._refuse_foreign(name)
        target = self.path / name
        self._list({*self._old, *self.files, name})
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target) as partial:
                writer(partial)
        except BaseException:
            if self.files or self._old:
                self._list({*self._old, *self.files})
            else:
                (self.path / MANIFEST).unlink(missing_ok=True)
            raise
        if name not in self.files:
            self.files.append(name)
        if self._old:
            self._remove_old()
        return target

    def write_text(self, name: str, text: str) -> Path:
        """Write one file of text, UTF-8."""
        return self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def _list(self, files: set[str]) -> None:
        manifest = {"kind": KIND, "schema": SCHEMA, "dynsim": __version__, "files": sorted(files)}
        text = json.dumps(manifest, indent=1) + "\n"
        with whole_file(self.path / MANIFEST) as partial:
            partial.write_text(text, encoding="utf-8")

    def _remove_old(self) -> None:
        """Remove what the old run left, now that the new one has begun: figures of another run would mislead."""
        for name in self._old - set(self.files):
            for path in (self.path / name, partial_of(self.path / name)):
                path.unlink(missing_ok=True)
        for folder in sorted({str(parent) for name in self._old for parent in PurePosixPath(name).parents[:-1]}, reverse=True):
            with contextlib.suppress(OSError):  # the user keeps something there
                (self.path / folder).rmdir()
        self._old = set()
        self._list(set(self.files))


def goes_on(path: str | os.PathLike, folder: str) -> bool:
    """Tell whether a folder is one of dynsim's that a command with sweeps below `folder` may go on with: no run's."""
    path = Path(path).expanduser()
    if not (path / MANIFEST).exists():
        return False
    return (path / folder).is_dir() or not read_manifest(path)


def read_manifest(path: str | os.PathLike) -> list[str]:
    """Return the files that dynsim wrote into a run folder, relative to it.

    Raises
    ------
    FolderError
        If the list is missing, damaged, of another schema version, or names files outside the folder.
    """
    manifest = Path(path) / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FolderError(f"{path} is no run folder of dynsim: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise FolderError(f"{manifest} is damaged ({error}): choose another folder") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise FolderError(f"{manifest} is no list of dynsim's files: choose another folder")
    if content.get("schema") != SCHEMA:
        raise FolderError(f"{manifest} has schema {content.get('schema')!r}, not {SCHEMA} as this version of dynsim: choose another folder")
    files = content.get("files")
    if not isinstance(files, list) or not all(isinstance(name, str) and _inside(name) for name in files):
        raise FolderError(f"{manifest} is damaged: its files must be names inside the folder; choose another folder")
    return files


def _inside(name: str) -> bool:
    """True for a plain relative name: what is listed may be removed, so nothing outside the folder may be."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and ".." not in path.parts and not {"\\", ":"} & set(name)
    return bool(path.parts) and plain and name != MANIFEST
