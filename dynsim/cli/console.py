"""What all commands share: exit statuses, output that outlives its reader, one-line errors, meters."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..plain import plain
from ..progress import Meter
from ..summary import SCHEMA

__all__ = [
    "BAD_INPUT", "EXIT_STATUS", "FINISHED", "Failures", "INCOMPLETE", "INTERRUPTED", "Out", "VIOLATED", "complain", "ctrl_c_waits",
    "end_line", "meter_for", "print_json", "width",
]

FINISHED, VIOLATED, BAD_INPUT, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_STATUS = """\
exit status
  0    the run finished (whatever the verdicts, unless --strict)
  1    with --strict: a claim is violated
  2    bad input: one line on stderr says what and what to do
  3    the run diverged, cells failed, or a file could not be written; everything else was saved
  130  interrupted by Ctrl-C; everything recorded so far was saved
"""


class Out:
    """Standard output that outlives its reader: in ``dynsim run ... | head`` the run still goes on and is saved."""

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent

    def __call__(self, text: str | None) -> None:
        if self.silent or text is None:
            return
        try:
            print(text, flush=True)
        except BrokenPipeError:
            self.silent = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it closes stdout


def complain(message: object) -> None:
    """Print one line on stderr."""
    line = " ".join(str(message).split())
    print(f"dynsim: error: {line}", file=sys.stderr, flush=True)


class Failures(list[str]):
    """Files that could not be written; as a context it notes the failure and lets the rest go on."""

    def __enter__(self) -> Failures:
        return self

    def __exit__(self, kind: Any, error: Any, _traceback: Any) -> bool:
        if isinstance(error, (OSError, ValueError)):
            self.append(f"not written: {error}")
            return True
        return False


@contextmanager
def ctrl_c_waits() -> Iterator[list[int]]:
    """Hold Ctrl-C back until the run is saved, and yield a list that it fills: impatience must not cost the run."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return
    signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def meter_for(label: str, args: argparse.Namespace) -> Meter | None:
    """Return a progress meter where somebody watches: stderr is a terminal and not --quiet."""
    return Meter(label) if sys.stderr.isatty() and not args.quiet else None


def end_line(meter: Meter | None) -> None:
    """End the line of a meter that was left in the middle of it."""
    if meter is not None and meter.drawn:
        print(file=sys.stderr)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    Out()(json.dumps({"schema": SCHEMA, **plain(document)}, indent=1, allow_nan=False))


def width() -> int:
    """Return the number of columns to write."""
    return max(60, min(shutil.get_terminal_size((120, 24)).columns, 140))
