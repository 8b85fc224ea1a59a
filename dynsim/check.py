"""Check evidence against the claims of its system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .claims import Claim, Inconclusive, Report, Verdict, judge
from .registry import system_module
from .trajectory import Trajectory

__all__ = ["check"]


def check(
    evidence: Trajectory | Mapping[str, Any], claims: Mapping[str, Claim] | Iterable[Claim] | Claim | None = None, *, control: bool = False
) -> Report:
    """Judge claims on a run, or on tables of sweeps.

    Parameters
    ----------
    evidence : Trajectory or mapping
        ``check(run)`` is short for ``check({"run": run})``; tables of sweeps are entries too, ``check({"sweep": table})``. Runs of
        other names, which figures show beside tables, are not judged.
    claims : iterable or mapping of Claim, or one, optional
        Default: all claims of the run's system, and those about sweeps that the tables have the columns for.
    control : bool, default False
        Judge each claim on its negative control instead: evidence broken on purpose, on which a check
        worth its name does not come back with "holds". Claims without a control are left out.

    Returns
    -------
    Report
        A verdict a claim: "holds", "violated", "not applicable" or "inconclusive". A claim whose quantities were not recorded, or whose
        event lies past the horizon, raises nothing: its verdict is "inconclusive", and its note says what is missing.

    Raises
    ------
    ValueError
        If the run has replicates (check ``run.replicate(i)``), or if no claims are given and the evidence does not say which system it
        is of.

    Examples
    --------
    >>> from dynsim import check
    >>> from dynsim.systems import signal_noise
    >>> run = signal_noise.experiment("tiny").run()
    >>> report = check(run)
    >>> report.ok, report["noise_bounds"].verdict, report["weighted_vote"].source
    (True, 'holds', 'derived here: docs/derivations/signal_noise.md, section 4')
    >>> check(run, signal_noise.CLAIMS["noise_bounds"], control=True)["noise_bounds"].verdict  # on a run broken on purpose
    'violated'
    """
    if isinstance(evidence, Trajectory):
        evidence = {"run": evidence}
    run = evidence.get("run")
    if run is not None and run.final.ndim > 1:
        raise ValueError("this run has replicates: check one of them, check(run.replicate(0))")
    about = dict(run.provenance) if run is not None else {name: dict(table.about) for name, table in _tables(evidence).items()}
    if claims is None:
        claims = _own_claims(evidence)
    chosen = _as_list(claims)
    if run is not None and not len(run.at):
        note = f"nothing was recorded before the run ended ({run.message})"
        return Report(tuple(_undecided(c, note) for c in chosen), about)
    if control:
        return Report(tuple(_judge_control(c, evidence) for c in chosen if c.control is not None), about)
    return Report(tuple(judge(claim, evidence) for claim in chosen), about)


def _own_claims(evidence: Mapping[str, Any]) -> list[Claim]:
    """Return the claims that the evidence's own system has about it."""
    run = evidence.get("run")
    tables = _tables(evidence)
    systems = {e.provenance.get("system") for e in (run,) if e is not None}
    systems |= {table.about.get("experiment", {}).get("system") for table in tables.values()}
    if len(systems) != 1 or None in systems:
        raise ValueError("the evidence does not say which system it is of: pass claims=[...]")
    module = system_module(systems.pop())
    found = list(module.CLAIMS.values()) if run is not None else []
    for claim in getattr(module, "SWEEP_CLAIMS", {}).values() if tables else ():
        if all(entry in evidence and all(name in evidence[entry] for name in names) for entry, names in claim.needs.items()):
            found.append(claim)
    return found


def _tables(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables among the evidence; runs besides "run" are what figures show beside them."""
    return {name: entry for name, entry in evidence.items() if not isinstance(entry, Trajectory)}


def _undecided(claim: Claim, note: str) -> Verdict:
    return Verdict(claim.id, claim.statement, str(claim.source), "inconclusive", note=note)


def _judge_control(claim: Claim, evidence: Mapping[str, Any]) -> Verdict:
    """Judge a claim on evidence broken on purpose; Inconclusive where the evidence lacks what the break needs."""
    assert claim.control is not None
    try:
        return judge(claim, claim.control(evidence))
    except Inconclusive as reason:
        return _undecided(claim, str(reason))


def _as_list(claims: Mapping[str, Claim] | Iterable[Claim] | Claim) -> list[Claim]:
    if isinstance(claims, Claim):
        return [claims]
    return list(claims.values() if isinstance(claims, Mapping) else claims)
