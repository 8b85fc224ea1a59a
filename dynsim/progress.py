"""A one-line progress meter for work longer than about two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

__all__ = ["Meter", "Progress", "as_progress"]

Progress = Callable[[int, int], None]
"""Called now and then with (done, total); called with done == total at the end."""


class Meter:
    """Draw ``label 450/900 [=====     ] 12000/s, 0:03 left`` on a stream, once the work has lasted a while.

    Parameters
    ----------
    label : str, default "steps"
        What is counted.
    stream : text file, optional
        Where to draw; default stderr.
    delay : float, default 1.0
        Seconds that pass before the first line is drawn: work that is over by then draws nothing.
    """

    def __init__(self, label: str = "steps", stream: TextIO | None = None, delay: float = 1.0) -> None:
        self.label, self.stream, self.delay = label, stream or sys.stderr, delay
        self.began = time.monotonic()
        self.drawn = 0.0
        self.before: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Redraw at most ten times a second; finish the line at the end. Rate and time left count from the first call's `done`."""
        now = time.monotonic()
        if self.before is None:
            self.before = done if done < total else 0
        elapsed = now - self.began
        if done >= total:
            if self.drawn:
                self._draw(done, total, elapsed, end="\n")
                self.drawn = 0.0
        elif elapsed > self.delay and now - self.drawn > 0.1:
            self._draw(done, total, elapsed, end="")
            self.drawn = now

    def _draw(self, done: int, total: int, elapsed: float, end: str) -> None:
        filled = 24 * done // max(total, 1)
        rate = (done - (self.before or 0)) / max(elapsed, 1e-9)
        left = int((total - done) / rate) if rate else 0
        bar = "=" * filled + " " * (24 - filled)
        self.stream.write(f"\r{self.label} {done}/{total} [{bar}] {rate:.0f}/s, {left // 60}:{left % 60:02d} left {end}")
        self.stream.flush()


def as_progress(progress: bool | Progress | None) -> Progress | None:
    """Return a meter for True, nothing for False or None, and a callable as it is.

    Parameters
    ----------
    progress : bool, callable or None
        As `dynsim.simulate` takes it; a callable receives (done, total).
    """
    if progress is True:
        return Meter()
    return progress or None
