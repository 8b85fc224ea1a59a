"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["partial_of", "whole_file"]


def partial_of(path: Path) -> Path:
    """Return where a file is written before it takes its place.

    Parameters
    ----------
    path : Path
        Its place; the other is beside it, with ".partial" after the name.
    """
    return path.with_name(path.name + ".partial")


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path to write to; what was written there replaces `path` in one move, or is removed if writing failed.

    Parameters
    ----------
    path : str or path
        The file to write, in a folder that exists. A file that is there already stays as it was until the move.

    Raises
    ------
    OSError
        If nothing was written, or the folder does not take it.
    """
    path = Path(path)
    partial = partial_of(path)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # before the move: otherwise a power cut may leave an empty file under the final name
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
