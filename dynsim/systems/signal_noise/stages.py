"""The four stages of a run and the marks inside Stage IV, by stated definitions.

The paper names the stages; where they begin and end in a finite run is defined here. Every definition is
a condition on recorded quantities, so a stage that does not occur is reported as missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...claims import Inconclusive
from ...tabular import csv_text, html_text, latex_text
from .predictions import EPS, SMALL, loss_bounds
from .reading import Reading, reading

__all__ = ["Mark", "Stage", "StageTable", "stage_table", "stages_beside"]

TRACKED = {
    "mean_value_signal": lambda r, t: r["mean_value_signal"][t],
    "mean of mean_value_noise": lambda r, t: r["mean_value_noise"][t].mean(),
    "rms query_noise": lambda r, t: np.sqrt((r["query_noise"][t] ** 2).mean()),
    "rms key_noise": lambda r, t: np.sqrt((r["key_noise"][t] ** 2).mean()),
    "pairs aligned": lambda r, t: r.aligned[t],
    "mean |query_signal|": lambda r, t: np.abs(r["query_signal"][t]).mean(),
    "mean |key_signal|": lambda r, t: np.abs(r["key_signal"][t]).mean(),
    "mean softmax_11": lambda r, t: r["softmax_11"][t].mean(),
    "mean softmax_21": lambda r, t: r["softmax_21"][t].mean(),
    "train_loss": lambda r, t: r["train_loss"][t],
}
"""Numbers shown just before and after a transition."""


@dataclass(frozen=True)
class Stage:
    """One stage: steps first..last, what ended it, and the numbers around its end.

    Attributes
    ----------
    number, name, lemma : str
    definition : str
        The condition that ends the stage.
    first, end : int or None
        First step of the stage and first step after it; None where it does not occur or does not end within the horizon.
    predicted : float
        Predicted `end`; NaN where the theory gives none.
    prediction : str
        Where that number comes from.
    before, after : dict of str to float
        Tracked numbers at the recorded steps just before and at `end`.
    """

    number: str
    name: str
    lemma: str
    definition: str
    first: int | None
    end: int | None
    predicted: float
    prediction: str
    before: dict[str, float]
    after: dict[str, float]

    @property
    def empty(self) -> bool:
        """True if the stage begins and ends at the same step."""
        return self.first is not None and self.first == self.end


@dataclass(frozen=True)
class Mark:
    """An event inside the stages: measured and predicted step."""

    name: str
    measured: float
    predicted: float
    prediction: str
    note: str = ""


@dataclass(frozen=True)
class StageTable:
    """The stages and marks of one run.

    Attributes
    ----------
    stages : tuple of Stage
    marks : tuple of Mark
    horizon : int
        Last recorded step.
    """

    stages: tuple[Stage, ...]
    marks: tuple[Mark, ...]
    horizon: int

    def __getitem__(self, number: str) -> Stage:
        return next(stage for stage in self.stages if stage.number == number)

    def __str__(self) -> str:
        lines = ["stage                     first    last   predicted end   ended by"]
        for s in self.stages:
            first = "-" if s.first is None else str(s.first)
            last = "-" if s.first is None else "empty" if s.empty else f"> {self.horizon}" if s.end is None else str(s.end - 1)
            predicted = f"{s.predicted:.0f}" if np.isfinite(s.predicted) else "never" if np.isposinf(s.predicted) else "-"
            lines.append(f"{s.number:>3s} {s.name:20s} {first:>6s} {last:>7s} {predicted:>15s}   {s.definition}")
        lines.append("mark                         measured   predicted   from")
        for m in self.marks:
            measured = f"{m.measured:.0f}" if np.isfinite(m.measured) else "-"
            predicted = f"{m.predicted:.0f}" if np.isfinite(m.predicted) else "-"
            lines.append(f"    {m.name:24s} {measured:>8s} {predicted:>11s}   {m.prediction}{'; ' + m.note if m.note else ''}")
        ended = [s for s in self.stages if s.end is not None]
        if ended:
            lines.append("just before / after the end of" + "".join(f"{'Stage ' + s.number + f' ({s.end})':>24s}" for s in ended))
            for name in ended[0].before:
                cells = "".join(f"{f'{s.before[name]:.4g} / {s.after[name]:.4g}':>24s}" for s in ended)
                lines.append(f"    {name:26s}{cells}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_text(COLUMNS, self.rows())

    def rows(self) -> list[tuple[Any, ...]]:
        """Return stages and marks as rows of `COLUMNS`; empty cells are empty strings."""
        def cell(x: Any) -> Any:
            return "" if x is None or (isinstance(x, float) and np.isnan(x)) else x

        rows = []
        for s in self.stages:
            numbers = [cell(float(side[name]) if side else None) for name in TRACKED for side in (s.before, s.after)]
            rows.append(("stage", s.number, s.name, cell(s.first), cell(None if s.end is None else s.end - 1), cell(s.predicted),
                         s.prediction, s.definition, s.lemma, *numbers))
        for m in self.marks:
            rows.append(("mark", "", m.name, cell(m.measured), cell(m.measured), cell(m.predicted), m.prediction, m.note, "",
                         *[""] * (2 * len(TRACKED))))
        return rows

    def to_csv(self) -> str:
        """Return the table as CSV text."""
        return csv_text(COLUMNS, self.rows())

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return stages and marks as a LaTeX table: steps, predicted ends, definitions; see `dynsim.tabular.latex_text`.

        Of a mark, the step is in the column "first".
        """
        rows: list[tuple[Any, ...]] = []
        for s in self.stages:
            last = None if s.first is None else "empty" if s.empty else f"> {self.horizon}" if s.end is None else s.end - 1
            rows.append((s.number, s.name, s.first, last, s.predicted, s.definition))
        rows.extend(("", m.name, m.measured, None, m.predicted, "") for m in self.marks)
        return latex_text(("stage", "name", "first", "last", "predicted end", "ended by"), rows, caption, label)


COLUMNS = (
    "kind", "number", "name", "first", "last", "predicted_end", "prediction", "ended_by", "lemma",
    *(f"{name} {side}" for name in TRACKED for side in ("before", "after")),
)
"""Column names of the stage table."""


def _or_nan(f: Any) -> tuple[float, str]:
    try:
        return float(f()), ""
    except Inconclusive as reason:
        return np.nan, str(reason)


def _around(r: Reading, end: int | None) -> tuple[dict[str, float], dict[str, float]]:
    if end is None:
        return {}, {}
    after = int(np.searchsorted(r.at, end))
    before = max(after - 1, 0)
    return tuple({name: float(f(r, t)) for name, f in TRACKED.items()} for t in (before, after))  # type: ignore[return-value]


def _predictions(r: Reading) -> Sequence[tuple[float, str]]:
    """Predicted ends of the four stages; each from the state at which the stage begins."""
    if not r.is_signgd:
        return [(np.nan, "predictions are for SignGD at a constant rate")] * 4
    one = r.stage_one_predicted
    two = float(r.flips.max())
    three = np.nan
    if r.T_two is not None:
        t = r.row(r.T_two)
        q, k, vote = r["query_signal"][t], r["key_signal"][t], r.vote[t]
        wait = np.maximum(np.where(np.sign(q) == vote, 0.0, np.abs(q)), np.where(np.sign(k) == -vote, 0.0, np.abs(k)))
        three = r.T_two + float(np.quantile(wait, 0.9)) / (r.lr * r.mu)
    return [
        (one, "exact on disjoint supports"),
        (two, "last flip of a pair with opposite initial signs"),
        (three, "crossing times of the signals against the vote at the end of Stage II, nine rows of ten"),
        (max(4 * r.T_key, r.T_attn), "max(4 T_key, T_attn), for the median pair: the last pair is later"),
    ]


def stage_table(run: Any) -> StageTable:
    """Recognise the stages of a run.

    Parameters
    ----------
    run : Trajectory
        A single run of this system with the nine default quantities recorded.

    Returns
    -------
    StageTable
        Four stages, those that do not occur with `first` None, and four marks.

    Raises
    ------
    Inconclusive
        If a quantity the definitions need was not recorded.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> table = stage_table(signal_noise.experiment("tiny").run())
    >>> [stage.number for stage in table.stages]
    ['I', 'II', 'III', 'IV']
    """
    r = reading(run)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # predictions that do not exist are NaN, and said so
        return _table(r)


def stages_beside(runs: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the stage tables of several runs next to each other.

    Parameters
    ----------
    runs : mapping of str to Trajectory
        For example one data set under several rules.

    Returns
    -------
    columns : tuple of str
        "event" and the names of the runs.
    rows : list of tuple
        The end of each stage (the first step after it) and each mark, in steps; "> horizon" where it does not happen, "undecided" where
        a mark has no meaning in that run, "diverged" in a run that did, "not recorded" where the record does not tell.
    """
    tables: dict[str, StageTable | None] = {}
    lost = {name for name, run in runs.items() if run.status == "diverged"}
    for name, run in runs.items():
        try:
            tables[name] = stage_table(run)
        except Inconclusive:
            tables[name] = None
    known = next((table for table in tables.values() if table is not None), None)
    if known is None:
        return ("event", *runs), []

    def step(value: float | None, why: str, name: str, horizon: int) -> Any:
        if value is not None and not np.isnan(value):
            return int(value)
        return "diverged" if name in lost else f"> {horizon}" if not why or "horizon" in why else "undecided"

    rows: list[tuple[Any, ...]] = []
    for i, stage in enumerate(known.stages):
        ends = (step(t.stages[i].end, "", name, t.horizon) if t is not None else "not recorded" for name, t in tables.items())
        rows.append((f"end of Stage {stage.number}, {stage.name}", *ends))
    for i, mark in enumerate(known.marks):
        ends = (
            step(t.marks[i].measured, t.marks[i].note, name, t.horizon) if t is not None else "not recorded" for name, t in tables.items()
        )
        rows.append((mark.name, *ends))
    return ("event", *runs), rows


def _table(r: Reading) -> StageTable:
    ends = (r.T_one, r.T_two, r.T_three, r.T_four)
    starts = (0, *ends[:3])
    names = (
        ("I", "mean value noise", "Lemma 4.1", "B_i > A in every sample"),
        ("II", "sign alignment", "Lemmas 4.2, 4.3", "query and key noise agree in sign in every pair"),
        ("III", "majority vote", "Lemma 4.4", "in 9 rows of 10 the query signal follows the key noise's vote, the key signal opposes"),
        ("IV", "turns and decay", "Lemmas 4.5-4.8", "all noise agrees with its row's query signal, mean s_11 and s_21 < 0.1"),
    )
    stages = tuple(
        Stage(*name, first, end, *prediction, *_around(r, end))
        for name, first, end, prediction in zip(names, starts, ends, _predictions(r), strict=True)
    )
    known = r.is_signgd
    marks = (
        _mark("key noise turns", lambda: r.turn("key_noise"), r.T_key if known else np.nan, "T_key (median)"),
        _mark("query noise turns", lambda: r.turn("query_noise"), 2 * r.T_key if known else np.nan, "2 T_key (median)"),
        _mark(f"mean softmax_11 < {SMALL}", lambda: np.nan if r.T_small is None else r.T_small, r.T_attn if known else np.nan, "T_attn"),
        _mark(f"train_loss <= {EPS}", lambda: _time(r, r["train_loss"] <= EPS), np.nan, _sandwich(r)),
    )
    return StageTable(stages, marks, int(r.at[-1]))


def _mark(name: str, measured: Any, predicted: float, prediction: str) -> Mark:
    value, note = _or_nan(measured)
    return Mark(name, value, float(predicted), prediction, note)


def _time(r: Reading, condition: Any) -> float:
    found = r.first(condition)
    return np.nan if found is None else float(found)


def _sandwich(r: Reading) -> str:
    """The bounds of T, equation (37), as recorded steps."""
    low, high = (_time(r, x <= EPS) for x in loss_bounds(r["mean_value_signal"], r["mean_value_noise"]))
    return f"bounds {low:.0f} .. {'past the horizon' if np.isnan(high) else f'{high:.0f}'}".replace("nan", "past the horizon")
