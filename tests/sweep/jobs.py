"""What the tests of sweeps send to other processes: a module of its own, since these import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dynsim.measures import Column


@dataclass(frozen=True)
class Deadly:
    """A measure that kills the process that runs it: always, for one seed, or the first time only (then it leaves a file)."""

    mark: str = ""
    seed: int = -1
    record: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, Column]] = {"alive": Column("1 where it survived")}

    def watch(self, watched: Any) -> Any:
        seeds = watched.system.provenance["seed"]
        victim = watched.experiment.setting.m_k == 3 and (self.seed < 0 or self.seed in seeds)
        if victim and not (self.mark and Path(self.mark).exists()):
            if self.mark:
                Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return _Alive(watched.lead)


def cannot_start() -> None:
    """What a worker does that fails while it starts."""
    os._exit(3)


class _Alive:
    settled = True

    def __init__(self, lead: tuple[int, ...]) -> None:
        self.lead = lead

    def see(self, state: Any) -> None:
        pass

    def result(self, run: Any) -> Mapping[str, Any]:
        return {"alive": np.ones(self.lead)}
