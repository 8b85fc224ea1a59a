"""The two phases of a run and the events inside them, by stated definitions, beside the parameter-free flow.

The paper proves that the phases exist; where they begin and end in a finite run is defined here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...claims import Inconclusive
from ...tabular import csv_text, html_text, latex_text
from .predictions import MARGIN, crossing
from .reading import SAND, Reading, reading

__all__ = ["Event", "PhaseTable", "stage_table"]

COLUMNS = ("kind", "name", "at", "tau", "predicted_tau", "definition", "lemma")
"""Column names of the phase table."""


@dataclass(frozen=True)
class Event:
    """The end of a phase, or a mark inside one.

    Attributes
    ----------
    kind : {"phase", "mark"}
    name : str
    at : float
        Time, or step, of the event; NaN where it lies past the horizon.
    tau : float
        The same on the clock tau.
    predicted_tau : float
        Clock in the parameter-free flow at this n and L; NaN where it says nothing.
    definition, lemma : str
    """

    kind: str
    name: str
    at: float
    tau: float
    predicted_tau: float
    definition: str
    lemma: str


@dataclass(frozen=True)
class PhaseTable:
    """Ends of phases and marks of one run.

    Parameters
    ----------
    events : tuple of Event
        Phases first.
    horizon : float
        Last recorded time, or step.
    clock : {"time", "step"}
        What `horizon` and `Event.at` count.
    """

    events: tuple[Event, ...]
    horizon: float
    clock: str

    def __getitem__(self, name: str) -> Event:
        return next(event for event in self.events if event.name == name)

    def __str__(self) -> str:
        lines = [f"{'end of':34s} {self.clock:>10s} {'tau':>10s} {'predicted':>10s}   definition (predicted: of the parameter-free flow)"]
        for kind, head in (("phase", ""), ("mark", "mark")):
            if head:
                lines.append(head)
            lines.extend(
                f"    {e.name:30s} {self._number(e.at):>10s} {_number(e.tau):>10s} {_number(e.predicted_tau):>10s}   {e.definition}"
                for e in self.events if e.kind == kind
            )
        return "\n".join(lines)

    def _number(self, at: float) -> str:
        return f"> {self.horizon:.4g}" if np.isnan(at) else _number(at)

    def _repr_html_(self) -> str:
        return html_text(COLUMNS, self.rows())

    def rows(self) -> list[tuple[Any, ...]]:
        """Return events as rows of `COLUMNS`; empty cells are empty strings."""
        return [tuple("" if isinstance(cell, float) and np.isnan(cell) else cell for cell in astuple(event)) for event in self.events]

    def to_csv(self) -> str:
        """Return the table as CSV text."""
        return csv_text(COLUMNS, self.rows())

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return the table as LaTeX; see `dynsim.tabular.latex_text`.

        Parameters
        ----------
        caption : str
            Text of the caption, in LaTeX; none where it is empty.
        label : str
            Name for references; none where it is empty.
        """
        rows = [(e.name, e.at, e.tau, e.predicted_tau, e.definition) for e in self.events]
        return latex_text(("event", self.clock, "tau", "predicted tau", "definition"), rows, caption, label)


def _number(x: float) -> str:
    return f"{x:.4g}" if np.isfinite(x) else "-"


def stage_table(run: Any) -> PhaseTable:
    """Recognise the phases of a run.

    Parameters
    ----------
    run : Trajectory
        A single run of this system with its default quantities recorded.

    Raises
    ------
    Inconclusive
        If a quantity the definitions need was not recorded.

    Examples
    --------
    >>> from dynsim.systems import cooccurrence
    >>> table = stage_table(cooccurrence.experiment("tiny").run())
    >>> [event.name for event in table.events if event.kind == "phase"]
    ['Phase 1', 'Phase 2']
    """
    r = reading(run)
    m = int(r.constant("m"))
    events = [
        _phase_one(r),
        _phase_two(r),
        _mark(r, "wrong kinds are worst", _lowest, "margins of kinds 2 and 3 are lowest", "Lemma 4.1", of=_wrong_kinds),
        _mark(r, "wrong kinds are right again", lambda tau, f: _after_lowest(tau, f, 0.0), "their mean margins cross 0", "Theorem 3.1",
              of=_wrong_kinds),
        _mark(r, "T_0.5", lambda tau, gap: _after_lowest(tau, gap, 0.0), f"from here on -G3' >= {1 + SAND:g} max(G1', G2')", "Lemma 4.3",
              of=_left_gap),
        *(_mark(r, f"margins {level:g}", _stays_above(level), f"all margins >= {level:g}", "Theorem 3.1", of=lambda x: x["min_margin"],
                predicted=lambda x: x["kind_margin"].min(axis=1)) for level in (0.1, 0.5, 1.0)),
        *(_mark(r, name, _stays_below(float(m) ** -power), f"training loss <= {float(m) ** -power:.3g}", "Theorem 3.3",
                of=lambda x: x["train_loss"]) for name, power in (("loss 1/m", 1), ("loss 1/m^2", 2))),
    ]
    return PhaseTable(tuple(events), float(r.at[-1]), r.run.clock)


def _theory(r: Reading) -> Any:
    """Return the parameter-free flow, None where it says nothing about these data."""
    try:
        return r.theory
    except Inconclusive:
        return None


def _phase_one(r: Reading) -> Event:
    theory = _theory(r)
    predicted = np.nan if theory is None else crossing(theory.at, theory["min_margin"], MARGIN)
    try:
        at, tau = r.T1, r.tau_T1
    except Inconclusive:
        at = tau = np.nan
    return Event("phase", "Phase 1", at, tau, predicted, f"all margins >= {MARGIN:g} from here on (T1)", "Theorem 3.1")


def _phase_two(r: Reading) -> Event:
    definition, at, tau = "an ordering of Definition F.1 fails (T2)", np.nan, np.nan
    try:
        end, failed = r.T2
        if failed:
            at, tau, definition = end, float(r.tau[np.searchsorted(r.at, end)]), f"{failed} fails (T2)"
    except Inconclusive:
        pass
    return Event("phase", "Phase 2", at, tau, np.nan, definition, "Theorem 3.2, Def. F.1")


def _mark(
    r: Reading, name: str, event: Callable[[NDArray, NDArray], float], definition: str, lemma: str, *, of: Callable[[Any], NDArray],
    predicted: Callable[[Any], NDArray] | None = None,
) -> Event:
    """Return where `event` happens in the quantity `of` of the run, and of the parameter-free flow."""
    series, theory = of(r), _theory(r)
    tau = event(r.tau, series)
    at = np.nan if np.isnan(tau) else float(np.interp(tau, r.tau, r.at))
    expected = np.nan if theory is None else event(theory.at, (predicted or of)(theory))
    return Event("mark", name, at, tau, expected, definition, lemma)


def _wrong_kinds(x: Any) -> NDArray:
    """Smaller mean margin of kinds 2 and 3, which the growth of G1 and G2 makes wrong at first."""
    return x["kind_margin"][:, 1:3].min(axis=1)


def _left_gap(x: Any) -> NDArray:
    rate = x["G_rate"]
    return -rate[:, 2] - (1.0 + SAND) * rate[:, :2].max(axis=1)


def _lowest(tau: NDArray, f: NDArray) -> float:
    """Where a margin is lowest, by a parabola through the lowest point and its neighbours; NaN at the ends."""
    i = int(np.argmin(f))
    if not 0 < i < len(f) - 1:
        return float("nan")
    (a, b, _), middle = np.polyfit(tau[i - 1 : i + 2] - tau[i], f[i - 1 : i + 2], 2), tau[i]
    return float(middle - b / (2.0 * a)) if a > 0 else float(middle)


def _stays_above(level: float) -> Callable[[NDArray, NDArray], float]:
    return lambda tau, y: crossing(tau, y, level)


def _stays_below(level: float) -> Callable[[NDArray, NDArray], float]:
    return lambda tau, y: crossing(tau, -y, -level)


def _after_lowest(tau: NDArray, y: NDArray, level: float) -> float:
    """First upward crossing of a level after the lowest point."""
    i = int(np.argmin(y))
    above = np.flatnonzero(y[i:] >= level)
    if not len(above) or above[0] == 0:
        return float("nan")
    j = i + int(above[0])
    return float(tau[j - 1] + (tau[j] - tau[j - 1]) * (level - y[j - 1]) / (y[j] - y[j - 1]))
