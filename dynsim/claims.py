"""Claims about runs and the verdicts on them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from .plain import plain
from .tabular import csv_text, html_text, latex_text

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
    """Return an entry of the evidence.

    Parameters
    ----------
    evidence : mapping of str to Trajectory or Table
        As `dynsim.check` takes it.
    name : str
        The entry, such as "run".

    Raises
    ------
    Inconclusive
        If there is none: the claim then is inconclusive, and a panel of a figure says so.
    """
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
        Step, sample and row at which the deviation is largest, or where the value was read; default "", said nowhere.
    unit : str
        Unit of value and prediction; default "", a pure number.

    Raises
    ------
    ValueError
        If the tolerance is not > 0.

    Examples
    --------
    >>> from dynsim import Measured
    >>> Measured(value=0.52, predicted=0.5, deviation=0.02, tolerance=0.05, where="step 150").deviation
    0.02
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
    """A condition of a claim.

    Parameters
    ----------
    text : str
        The condition in words, as reports list it where it is unmet.
    met : callable
        Maps the evidence to true where the claim is meant to hold.
    """

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
        The formula; default "", none.
    needs : mapping of str to sequence of str
        Evidence entry, "run" for a run, to the recorded names that the claim reads. Where one is missing the verdict is "inconclusive" and
        names it. Default empty: nothing is looked for before `measure` is called.
    assumes : sequence of Assumption
        Where one is unmet the verdict is "not applicable" and the measured number is still shown; default none.
    control : callable, optional
        Negative control: turns evidence for which the claim holds into evidence for which it must not; default none.

    Examples
    --------
    A claim of one's own, on a run from `simulate`:

    >>> from dynsim import Claim, Measured, SignGD, check, simulate
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

    Parameters
    ----------
    id, statement, source : str
        Those of the claim, the source in words.
    verdict : str
        "violated", "inconclusive", "not applicable" (an assumption is unmet, whether there is a number or not) or "holds".
    value, predicted, deviation, tolerance : float
        As in `Measured`; NaN where there is no number.
    margin : float
        (tolerance - deviation) / tolerance: positive when the measured number is within tolerance; NaN where there is no number.
    where, unit : str
        As in `Measured`.
    unmet : tuple of str
        Assumptions that are not met.
    note : str
        Why there is no number; "" where there is one.
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

    Parameters
    ----------
    claim : Claim
        One of a system's, or one's own.
    evidence : mapping of str to Trajectory or Table
        As `dynsim.check` takes it.

    Returns
    -------
    Verdict
        What the claim's measure cannot decide is "inconclusive", with the reason as its note.
    """
    undecided = Verdict(claim.id, claim.statement, str(claim.source), "inconclusive")
    for entry, names in claim.needs.items():
        if entry not in evidence:
            return replace(undecided, note=f"the evidence has no entry {entry!r}")
        missing = [name for name in names if name not in evidence[entry]]
        if missing:
            unmet = tuple(assumption.text for assumption in claim.assumes if _known_unmet(assumption, evidence))
            note = f"{', '.join(missing)} not recorded: add to record= (on the command line, to --record)"
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
    """What `check` returns: the verdicts on a run, shown with violated and inconclusive ones first, as text and in notebooks.

    ``report["an_id"]`` is the `Verdict` on the claim of that id; a KeyError names the claims that were checked.

    Parameters
    ----------
    verdicts : tuple of Verdict
        One a claim, in the order of the claims.
    about : mapping
        Provenance of the evidence, JSON-ready; default empty.

    Examples
    --------
    >>> from dynsim import check
    >>> from dynsim.systems import signal_noise
    >>> report = check(signal_noise.experiment("tiny").run())
    >>> report.ok, list(report.counts)
    (True, ['violated', 'inconclusive', 'not applicable', 'holds'])
    >>> verdict = report["lemma_4_3_scale"]
    >>> verdict.verdict, verdict.unmet, verdict.where
    ('not applicable', ('initial noise is at least 10 steps (kappa >= 10)',), 'step 14, the end of Stage II')
    >>> round(verdict.value, 1), round(verdict.margin, 2)   # the measured number is there all the same
    (10.9, 0.82)
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
        """Number of verdicts of each sort: "violated", "inconclusive", "not applicable" and "holds", in this order."""
        return {sort: sum(v.verdict == sort for v in self.verdicts) for sort in VERDICTS}

    @property
    def ok(self) -> bool:
        """True if no claim is violated; claims may still be inconclusive or not applicable."""
        return self.counts["violated"] == 0

    def text(self, *, full: bool = False) -> str:
        """Return the report as text, what needs attention first.

        Parameters
        ----------
        full : bool, default False
            Write out every verdict. Else claims that hold take a line each, and those that do not apply and have no number one together.
        """
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
        return html_text(
            ("verdict", "claim", "statement", "measured", "predicted", "margin", "where", "whose"),
            ((v.verdict, v.id, v.statement, v.value, v.predicted, v.margin, v.where or v.note, v.source) for v in self._ordered()),
        )

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
        """Return the report as a LaTeX table, a line a claim in the report's order; see `dynsim.tabular.latex_text`.

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
        columns = ("verdict", "claim", "measured", "predicted", "tolerance", "margin", "whose")
        rows = ((v.verdict, v.id, v.value, v.predicted, v.tolerance, v.margin, v.source) for v in self._ordered())
        return latex_text(columns, rows, caption, label)

    def _ordered(self) -> list[Verdict]:
        """Return the verdicts with what needs attention first."""
        return [v for sort in VERDICTS for v in self.verdicts if v.verdict == sort]
