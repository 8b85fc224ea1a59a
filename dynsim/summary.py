"""What dynsim says about a run: predictions, stages, verdicts; as text and as JSON."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .check import check
from .claims import Inconclusive, Report
from .experiment import Experiment
from .optimizers import describe
from .plain import plain
from .registry import system_module
from .trajectory import Trajectory

__all__ = ["SCHEMA", "Summary", "experiment_text", "horizon_text", "literal_text", "predictions", "rule_text", "summarise", "wrap"]

SCHEMA = 1
"""Version of the JSON form of a summary."""


def predictions(system: str, setting: Any, optimizer: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the closed-form numbers of a setting, and a remark about them.

    Parameters
    ----------
    system : str
        Name of the system, as the registry has it.
    setting : mapping or object
        The setting or its fields; None if the system has no law, as with a user's arrays.
    optimizer : mapping
        The rule, as `dynsim.optimizers.describe` tells it.

    Returns
    -------
    (object or None, str)
        None where the system has no theory of this setting; the remark says why, or what to mind. Empty where it has none at all.
    """
    module = system_module(system)
    if not hasattr(module, "predict"):
        return None, ""
    if setting is None:
        return None, "no predictions: the data were given as arrays, not drawn from a setting"
    if optimizer.get("rule") != "flow" and not isinstance(optimizer.get("lr"), (int, float)):
        return None, "no predictions: they need one constant learning rate"
    if isinstance(setting, Mapping):
        setting = module.Setting.from_dict(setting)
    theory = {json.dumps(_without_tuning(describe(e.optimizer))) for e in getattr(module, "PRESETS", {}).values()}
    remark, lr = "", optimizer.get("lr")
    if lr is None and json.dumps({"rule": "flow"}) not in theory:
        return None, f"no predictions: those of {system} are for rules with a learning rate"
    if theory and json.dumps(_without_tuning(optimizer)) not in theory:
        rules = " or ".join(sorted({rule_text(json.loads(text)) for text in theory}))
        shown = "" if lr is None else f"they are shown at lr={lr:g} and "
        remark = f"these predictions are for {rules}; {shown}do not speak of {rule_text(optimizer)}"
    try:
        return module.predict(setting, lr=None if lr is None else float(lr)), remark
    except ArithmeticError as error:
        return None, f"no predictions: the numbers of this setting are out of range ({error})"


def _without_tuning(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule without what the theory does not depend on: learning rate and solver."""
    return {"rule": "flow"} if optimizer["rule"] == "flow" else {**optimizer, "lr": None}


def rule_text(optimizer: Mapping[str, Any]) -> str:
    """Return a rule in one line, without its learning rate if that is None.

    Parameters
    ----------
    optimizer : mapping
        The rule, as `dynsim.optimizers.describe` tells it; momentum 0 is not written.

    Examples
    --------
    >>> rule_text({"rule": "signgd", "lr": None, "momentum": 0.0})
    'signgd'
    """
    silent = {"rule": optimizer["rule"], "lr": None, "momentum": 0.0}
    fields = {key: value for key, value in optimizer.items() if key not in silent or value != silent[key]}
    inside = ", ".join(f"{key}={_value_text(value)}" for key, value in fields.items())
    return f"{optimizer['rule']}({inside})" if inside else str(optimizer["rule"])


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):  # a schedule of rates
        return f"{value['schedule']}({', '.join(f'{key}={_value_text(v)}' for key, v in value.items() if key != 'schedule')})"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def literal_text(value: Any) -> str:
    """Return a field of a setting as ``--set`` takes it.

    Parameters
    ----------
    value : str, bool, int or float
        Its value; numbers are written to ten digits.
    """
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:.10g}"


def experiment_text(experiment: Experiment, title: str = "", width: int = 100) -> str:
    """Return what an experiment is, where it comes from and what its numbers mean, without running it.

    Parameters
    ----------
    experiment : Experiment
        A preset, or one of a user's own.
    title : str
        Stands beside the system in the first line; default "", nothing.
    width : int, default 100
        Characters of a line of running text.
    """
    setting = plain(experiment.setting)
    numbers = " ".join(f"{key}={literal_text(value)}" for key, value in setting.items())
    rule = describe(experiment.optimizer)
    every = f", recorded every {experiment.every} steps" if experiment.every != 1 else ""
    if experiment.flows:
        every = f", recorded at {experiment.points} times"
    elif every and experiment.closely:
        every += f" and at each of the first {experiment.closely}"
    theory, remark = predictions(experiment.system, experiment.setting, rule)
    lines = [
        f"{experiment.system}{', ' + title if title else ''}: {experiment.origin}",
        *wrap(experiment.note, width),
        "setting",
        *wrap(numbers, width),
        *wrap(f"{rule_text(rule)}, {horizon_text(experiment)}{every}, seed {experiment.seed}", width),
    ]
    if theory is not None:
        lines.append(str(theory))
    lines.extend(wrap(remark, width))
    return "\n".join(lines)


def horizon_text(experiment: Experiment) -> str:
    """Return how long an experiment runs.

    Parameters
    ----------
    experiment : Experiment
        Of steps or of a flow, with or without a training loss at which it ends.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> horizon_text(signal_noise.experiment("tiny"))
    '40 steps'
    """
    end = "" if experiment.target_loss is None else f" or to training loss {experiment.target_loss:g}"
    return (f"to time {experiment.until:.5g}" if experiment.flows else f"{experiment.steps} steps") + end


def wrap(text: str, width: int, indent: str = "  ") -> list[str]:
    """Return text as indented lines; none for an empty text.

    Parameters
    ----------
    text : str
        The text, broken at spaces, never at hyphens.
    width : int
        Most characters of a line, its indent included; a word that is longer is broken.
    indent : str
        What every line begins with; default two spaces.
    """
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


@dataclass(frozen=True)
class Summary:
    """Everything that is said about one run.

    Parameters
    ----------
    run : Trajectory
        The run.
    predictions : object or None
        Closed-form numbers of its setting; None where the system has no theory of it.
    stages : object or None
        Stage table; None if it could not be made.
    report : Report
        Verdicts on all claims of the system.
    remarks : tuple of str
        Why something is missing; default nothing is.
    """

    run: Trajectory
    predictions: Any
    stages: Any
    report: Report
    remarks: tuple[str, ...] = field(default_factory=tuple)

    def text(self, *, full: bool = False) -> str:
        """Return how the run ended, its stage table and its report.

        Parameters
        ----------
        full : bool, default False
            Write out every verdict, as `Report.text` does; else claims that hold take a line each.
        """
        lines = ["run", f"  {self.run.status}: {self.run.message}", *(f"  {line}" for line in self._measured())]
        lines.extend(f"  {remark}" for remark in self.remarks)
        if self.stages is not None:
            lines.extend(["stages", *(f"  {line}" for line in str(self.stages).splitlines())])
        text = self.report.text(full=full)
        return "\n".join([*lines, "report", *(f"  {line}" for line in text.splitlines())])

    def _measured(self) -> list[str]:
        run, lines = self.run, []
        if "engine" in run.provenance:
            lines.append(f"engine {run.provenance['engine']}")
        for name, predicted in (plain(self.predictions) or {}).items():
            value = run.constants.get(name)
            if value is not None and np.ndim(value) == 0:
                lines.append(f"{name}: {float(value):g} in this run's data, {predicted:.4g} expected")
        if run.clock == "time":
            return lines  # a flow takes no signs, and floats by the solver's tolerances
        ties = f"{int(self.ties)} ties" if self.ties is not None else "ties not recorded"
        underflow = int(np.max(run.underflow_at))
        lost = "no gradient entry lost to underflow" if underflow < 0 else f"a gradient entry was lost to underflow at step {underflow}"
        return [*lines, f"{ties}; {lost}"]

    @property
    def ties(self) -> float | None:
        """Gradient entries too close to 0 for their sign to be trusted, over all recorded steps; None if not recorded."""
        return float(np.nansum(self.run["ties"])) if "ties" in self.run else None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-ready data; numbers that are not finite become None."""
        run = self.run
        return {
            "schema": SCHEMA, "kind": "dynsim summary", "status": run.status, "message": run.message, "last_step": plain(run.last_step),
            "provenance": plain(run.provenance), "versions": dict(run.versions), "ties": plain(self.ties),
            "underflow_at": plain(run.underflow_at), "predictions": plain(self.predictions),
            "stages": None if self.stages is None else stage_rows(self.stages), "report": self.report.to_dict(),
            "remarks": list(self.remarks),
        }


def stage_rows(table: Any) -> list[dict[str, Any]]:
    """Return a stage table as one dict a row, as in its CSV; empty cells are None."""
    columns = next(csv.reader(io.StringIO(table.to_csv())))
    return [{c: None if cell == "" else plain(cell) for c, cell in zip(columns, row, strict=True)} for row in table.rows()]


def summarise(run: Trajectory) -> Summary:
    """Return predictions, stages and verdicts of a run.

    Parameters
    ----------
    run : Trajectory
        A single run whose provenance names its system, as those of `simulate` and of experiments do.

    Raises
    ------
    ValueError
        If the run has replicates or does not say which system it is of.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> summary = summarise(signal_noise.experiment("tiny").run())
    >>> summary.report.counts["violated"]
    0
    """
    about = run.provenance
    report = check(run)
    theory, remark = predictions(about["system"], about.get("setting"), about.get("optimizer", {}))
    remarks = [remark] if remark else []
    stages, make = None, getattr(system_module(about["system"]), "stage_table", None)
    if make is not None and len(run.at):
        try:
            stages = make(run)
        except Inconclusive as reason:
            remarks.append(f"no stage table: {reason}")
    return Summary(run, theory, stages, report, tuple(remarks))
