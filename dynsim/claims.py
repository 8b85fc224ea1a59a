"""Claims about runs and the verdicts on them."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from .plain import plain
from .tabular import csv_text, latex_text

__all__ = [
    "AnotherKind", "Assumption", "Claim", "Inconclusive", "Measured", "Report", "Source", "VERDICTS", "Verdict", "from_evidence", "judge",
]

VERDICTS = ("violated", "inconclusive", "not applicable", "holds")
"""In the order of a report: what needs attention comes first."""

SCHEMA = 1
"""Version of the JSON form of a report."""

Evidence = Mapping[str, Any]


class Inconclusive(Exception):
    """The evidence lacks what a claim needs, or the event lies past the horizon; the message says which."""


def from_evidence(evidence: Evidence, name: str) -> Any:
    """Return an entry of the evidence; Inconclusive, which empties the panel of a figure, where it lacks it."""
    if name not in evidence:
        raise Inconclusive(f"the evidence has no {name!r}")
    return evidence[name]


class AnotherKind(Inconclusive):
    """What a claim or figure is about is another kind of run than this one."""


@dataclass(frozen=True)
class Source:
    """Whose statement a claim is.

    Parameters
    ----------
    kind : {"paper", "derived", "ours"}
        "paper": a statement of the paper, in the wording of its title or caption; how it is checked is
        dynsim's reading. "derived": derived in dynsim's documentation. "ours": stated here and checked, but not derived.
    where : str
        Lemma, theorem or equation number, or the section of the documentation.
    """

    kind: Literal["paper", "derived", "ours"]
    where: str

    def __str__(self) -> str:
        return f"{'derived here' if self.kind == 'derived' else self.kind}: {self.where}"


@dataclass(frozen=True)
class Measured:
    """The number a claim is decided on.

    Parameters
    ----------
    value, predicted : float
        What was measured, and what the claim says it is (or bounds it by).
    deviation, tolerance : float
        The claim holds if deviation <= tolerance; both in the same units, tolerance > 0.
    where : str
        Step, sample and row at which the deviation is largest, or where the value was read.
    unit : str
        Unit of value and prediction.
    """

    value: float
    predicted: float
    deviation: float
    tolerance: float
    where: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise ValueError(f"tolerance={self.tolerance!r} must be > 0: for an exact claim take one for rounding, such as 1e-12")


@dataclass(frozen=True)
class Assumption:
    """A condition of a claim: `met(evidence)` is true where the claim is meant to hold."""

    text: str
    met: Callable[[Evidence], bool]


@dataclass(frozen=True)
class Claim:
    """A statement that a run can support or refute.

    Parameters
    ----------
    id : str
        Short name, unique within a system.
    statement : str
        One sentence.
    measure : callable
        Maps the evidence to a `Measured`; raises `Inconclusive` when it cannot be decided.
    source : Source
        Whose statement it is; default a claim of the user's own.
    latex : str
        The formula.
    needs : mapping of str to sequence of str
        Evidence entry to the recorded names it reads; default those of one run are not checked.
    assumes : sequence of Assumption
        Where one is unmet the verdict is "not applicable" and the measured number is still shown.
    control : callable, optional
        Negative control: turns evidence for which the claim holds into evidence for which it must not.

    Examples
    --------
    A claim of one's own, on a run from `simulate`:

    >>> from dynsim import SignGD, check, simulate
    >>> from dynsim.systems import signal_noise
    >>> run = simulate(signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=0), SignGD(1e-3), steps=40)
    >>> def final_loss(evidence):
    ...     loss = float(evidence["run"]["train_loss"][-1])
    ...     return Measured(value=loss, predicted=0.8, deviation=loss, tolerance=0.8, where="last step")
    >>> mine = Claim("loss_small", "the training loss ends below 0.8", final_loss, needs={"run": ["train_loss"]})
    >>> check(run, [mine]).verdicts[0].verdict
    'holds'
    """

    id: str
    statement: str
    measure: Callable[[Evidence], Measured]
    source: Source = Source("ours", "the user's own")
    latex: str = ""
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    assumes: Sequence[Assumption] = ()
    control: Callable[[Evidence], Evidence] | None = None


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about one claim.

    Attributes
    ----------
    verdict : str
        "violated", "inconclusive", "not applicable" (an assumption is unmet, whether there is a number or not) or "holds".
    margin : float
        (tolerance - deviation) / tolerance: positive when the measured number is within tolerance; NaN where there is no number.
    unmet : tuple of str
        Assumptions that are not met.
    note : str
        Why there is no number.
    """

    id: str
    statement: str
    source: str
    verdict: str
    value: float = math.nan
    predicted: float = math.nan
    deviation: float = math.nan
    tolerance: float = math.nan
    margin: float = math.nan
    where: str = ""
    unit: str = ""
    unmet: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        if self.note or math.isnan(self.value):
            numbers = self.note or "no number"
        else:
            unit = f" {self.unit}" if self.unit else ""
            numbers = (
                f"measured {self.value:.6g}{unit}, predicted {self.predicted:.6g}{unit}; deviation {self.deviation:.3g}, "
                f"tolerance {self.tolerance:.3g}, margin {self.margin:+.3g}" + (f"; at {self.where}" if self.where else "")
            )
        unmet = f"\n      unmet: {'; '.join(self.unmet)}" if self.unmet else ""
        return f"{self.verdict:14s} {self.id}: {self.statement}\n      {numbers}{unmet}\n      {self.source}"


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    """Return the verdict on one claim.

    A claim whose assumption is unmet is "not applicable", with the number it would have been decided on, if there is one.
    """
    undecided = Verdict(claim.id, claim.statement, str(claim.source), "inconclusive")
    for entry, names in claim.needs.items():
        if entry not in evidence:
            return replace(undecided, note=f"the evidence has no entry {entry!r}")
        missing = [name for name in names if name not in evidence[entry]]
        if missing:
            unmet = tuple(assumption.text for assumption in claim.assumes if _known_unmet(assumption, evidence))
            note = f"{', '.join(missing)} not recorded: add to record="
            return replace(undecided, verdict="not applicable" if unmet else "inconclusive", note="" if unmet else note, unmet=unmet)
    unmet = ()
    try:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what is not finite is told below
            unmet = tuple(assumption.text for assumption in claim.assumes if not assumption.met(evidence))
            m = claim.measure(evidence)
    except Inconclusive as reason:
        return replace(undecided, verdict="not applicable" if unmet else "inconclusive", note=str(reason), unmet=unmet)
    except ArithmeticError as error:
        return replace(undecided, note=f"the run's numbers leave the range of float64 ({error})", unmet=unmet)
    deviation, tolerance = float(m.deviation), float(m.tolerance)
    if not math.isfinite(deviation):
        return replace(undecided, note=f"the measured number is not finite ({m.value})", unmet=unmet)
    return replace(
        undecided, verdict="not applicable" if unmet else "holds" if deviation <= tolerance else "violated",
        value=float(m.value), predicted=float(m.predicted), deviation=deviation, tolerance=tolerance,
        margin=(tolerance - deviation) / tolerance, where=m.where, unit=m.unit, unmet=unmet,
    )


def _known_unmet(assumption: Assumption, evidence: Evidence) -> bool:
    """Tell whether an assumption is unmet, as far as incomplete evidence shows it."""
    try:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return not assumption.met(evidence)
    except (Inconclusive, KeyError, ArithmeticError):
        return False


@dataclass(frozen=True)
class Report:
    """Verdicts of one check: violated and inconclusive first.

    Attributes
    ----------
    verdicts : tuple of Verdict
    about : mapping
        Provenance of the evidence, JSON-ready.
    """

    verdicts: tuple[Verdict, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, id: str) -> Verdict:
        for verdict in self.verdicts:
            if verdict.id == id:
                return verdict
        raise KeyError(f"no claim {id!r}; checked: {', '.join(v.id for v in self.verdicts)}")

    @property
    def counts(self) -> dict[str, int]:
        """Number of verdicts of each sort."""
        return {sort: sum(v.verdict == sort for v in self.verdicts) for sort in VERDICTS}

    @property
    def ok(self) -> bool:
        """True if no claim is violated."""
        return self.counts["violated"] == 0

    def text(self, *, full: bool = False) -> str:
        """Return the report as text; unless `full`, claims that hold take a line each, those that do not apply and have no number one."""
        lines = [", ".join(f"{count} {sort}" for sort, count in self.counts.items() if count) or "no claims checked"]
        aside = []
        for v in self._ordered():
            if not full and v.verdict == "not applicable" and math.isnan(v.value):
                aside.append(v.id)
            elif not full and v.verdict == "holds":
                lines.append(f"  holds          {v.id}  (margin {v.margin:+.2f}, tolerance {v.tolerance:.3g}; {v.source})")
            else:
                lines.append("  " + str(v))
        if aside:
            lines.append(f"  not applicable {len(aside)} claims that have no number here: {', '.join(aside)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(v.verdict)}</td><td>{html.escape(v.id)}</td><td>{html.escape(v.statement)}</td>"
            f"<td>{v.value:.5g}</td><td>{v.predicted:.5g}</td><td>{v.margin:+.3g}</td><td>{html.escape(v.where or v.note)}</td>"
            f"<td>{html.escape(v.source)}</td></tr>"
            for v in self._ordered()
        )
        head = "".join(f"<th>{h}</th>" for h in ("verdict", "claim", "statement", "measured", "predicted", "margin", "where", "whose"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data; numbers that are not finite become None."""
        return plain({
            "schema": SCHEMA, "kind": "dynsim report", "about": dict(self.about), "counts": self.counts,
            "verdicts": [asdict(v) for v in self.verdicts],
        })

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """Return the report as CSV text, a line a claim in the report's order; what is undecided is an empty cell."""
        columns = (
            "verdict", "claim", "statement", "measured", "predicted", "deviation", "tolerance", "margin", "unit", "where", "unmet", "note",
            "whose",
        )
        return csv_text(columns, (
            (v.verdict, v.id, v.statement, v.value, v.predicted, v.deviation, v.tolerance, v.margin, v.unit, v.where, "; ".join(v.unmet),
             v.note, v.source) for v in self._ordered()
        ))

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return the report as a LaTeX table, a line a claim in the report's order; see `dynsim.tabular.latex_text`."""
        columns = ("verdict", "claim", "measured", "predicted", "tolerance", "margin", "whose")
        rows = ((v.verdict, v.id, v.value, v.predicted, v.tolerance, v.margin, v.source) for v in self._ordered())
        return latex_text(columns, rows, caption, label)

    def _ordered(self) -> list[Verdict]:
        """Return the verdicts with what needs attention first."""
        return [v for sort in VERDICTS for v in self.verdicts if v.verdict == sort]
