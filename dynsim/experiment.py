"""Experiments: everything a run needs, as one frozen value; what a preset is and what a TOML file holds."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .naming import unknown_name
from .optimizers import (
    OPTIMIZERS,
    SIGN_LIKE,
    ClipNorm,
    as_optimizer,
    changed_rule,
    describe,
    from_description,
    from_text,
    has_rate,
    has_schedule,
    rule_fields,
)
from .progress import Progress
from .recording import log_times, recorded_steps
from .registry import system_module
from .settings import check_number
from .simulate import Interrupted, LossBelow, simulate
from .trajectory import Trajectory

__all__ = ["Experiment", "by_name"]

ORIGINS = ("quoted", "derived", "reconstructed")
"""Whose numbers an experiment has: the authors', ours, or a reconstruction of what the authors did not publish."""


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, as one frozen value: system, setting, rule, horizon, seed, and what to record.

    A preset is one of these; `to_toml` writes it to a file and `from_toml` reads it back. The same experiment gives the same run, bit
    for bit, on the same machine.

    Parameters
    ----------
    system : str
        Name of the system, as `dynsim.registry.system_module` takes it.
    setting : object
        The system's frozen setting.
    optimizer : Optimizer or GradientFlow
        The rule.
    steps : int
        Updates to make, >= 0; for every rule but gradient flow.
    until : float
        Time to integrate gradient flow, > 0; for this rule only.
    target_loss : float, optional
        Training loss, > 0, at which the run ends before its horizon; default none.
    seed : int, default 0
        Of data, weights and test data, which have separate streams; >= 0.
    record : tuple of str, mapping of str to int, or None
        Recorded quantities; a mapping gives each a spacing of its own; None, the default, for the system's default ones.
    every : int, default 1
        Record every so many steps, >= 1.
    closely : int, default 0
        Record each of the first `closely` steps besides.
    points : int, default 240
        Times at which a flow is recorded, >= 2, over the last `dynsim.recording.DECADES` decades before `until` with a constant ratio.
    origin : {"quoted", "derived", "reconstructed"}
        Whose numbers these are: the authors', ours, or a reconstruction of what the authors did not publish. Default "derived".
    note : str
        What the numbers are for; default "".
    options : mapping
        Further numbers that claims and figures of the system read, JSON-ready; default none.
    rates : mapping of str to float
        Learning rates of other rules by name ("gd"), where this experiment's own would not do: see `rule`. Default none.

    Raises
    ------
    ValueError
        For a number out of range, naming the allowed one; `steps` for gradient flow, or `until` for another rule; an unknown origin or
        rule name.

    Examples
    --------
    >>> from dynsim import Experiment, SignGD
    >>> from dynsim.systems import signal_noise
    >>> mine = Experiment("signal_noise", signal_noise.preset("tiny"), SignGD(lr=0.01), steps=20, record=("train_loss",))
    >>> mine.run()["train_loss"].shape  # steps 0 to 20
    (21,)
    >>> mine.vary({"lr": 0.02, "m_k": 8}).optimizer
    SignGD(lr=0.02, momentum=0.0)
    >>> Experiment.from_dict(mine.to_dict()) == mine
    True
    >>> preset = signal_noise.experiment("figure3")
    >>> preset.steps, preset.optimizer
    (900, SignGD(lr=5e-05, momentum=0.0))
    """

    system: str
    setting: Any
    optimizer: Any
    steps: int = None  # type: ignore[assignment]  # None for gradient flow alone, until for all others: the constructor sees to it
    until: float = None  # type: ignore[assignment]
    target_loss: float | None = None
    seed: int = 0
    record: tuple[str, ...] | Mapping[str, int] | None = None
    every: int = 1
    closely: int = 0
    points: int = 240
    origin: Literal["quoted", "derived", "reconstructed"] = "derived"
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        flows = not has_rate(as_optimizer(self.optimizer))
        needed, other = ("until", "steps") if flows else ("steps", "until")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            given = {name: getattr(self, name) for name in ("steps", "until") if getattr(self, name) is not None}
            raise ValueError(f"{self.optimizer!r} needs {needed}= and no {other}=, not {given or 'neither'}: gradient flow has a time to "
                             "integrate, the other rules have steps")
        for name, low in (("steps", 0), ("seed", 0), ("every", 1), ("closely", 0), ("points", 2)):
            if name == "steps" and flows:
                continue
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
                raise ValueError(f"{name}={value!r} must be an integer >= {low}")
        if self.origin not in ORIGINS:
            raise ValueError(unknown_name("origin", self.origin, ORIGINS))
        if isinstance(self.record, str):
            raise ValueError(f"record={self.record!r} must be a sequence of names, such as [{self.record!r}]")
        for name in ("until", "target_loss"):
            if getattr(self, name) is not None:
                check_number(self, name, positive=True)
        for name, lr in self.rates.items():
            if name not in OPTIMIZERS:
                raise ValueError(unknown_name("rule in rates", name, OPTIMIZERS))
            if not has_rate(OPTIMIZERS[name]):
                raise ValueError(f"rates: {name} has no learning rate")
            OPTIMIZERS[name](lr=lr)

    @property
    def flows(self) -> bool:
        """True if the rule is gradient flow: then the horizon is a time."""
        return not has_rate(self.optimizer)

    @property
    def horizon(self) -> int | float:
        """Steps to make, or time to integrate."""
        return self.until if self.flows else self.steps

    def reaching(self, horizon: float) -> Experiment:
        """Return a copy with another horizon.

        Parameters
        ----------
        horizon : int or float
            Steps, >= 0, or the time of a flow, > 0.
        """
        return self.replace(until=float(horizon)) if self.flows else self.replace(steps=int(horizon))

    def rule(self, text: str, lr: float | None = None) -> Any:
        """Return the rule that a text describes, at this experiment's rate for it unless the text says otherwise.

        Where the experiment's own rate has a schedule, or its gradient is clipped, so is the other's: its rate is the schedule's peak.
        The rate is that of the experiment's own rule if it is of the same name; else the one in `rates`; else, of SignGD, Adam and
        RMSprop, whose steps are as long as their rates, the first known one of the others'.

        Parameters
        ----------
        text : str
            As `dynsim.optimizers.from_text` takes it.
        lr : float, optional
            Rate, or peak, where the text names none; default as above.

        Raises
        ------
        ValueError
            If there is no rate for it.

        Examples
        --------
        >>> from dynsim.systems import signal_noise
        >>> experiment = signal_noise.experiment("figure3")
        >>> experiment.rule("adam:0.9"), experiment.rule("gd")
        (Adam(lr=5e-05, beta1=0.9, beta2=0.999, eps=1e-08), GradientDescent(lr=0.1, momentum=0.0))
        """
        rule = from_text(text, self._rate if lr is None else lr)
        own = self.optimizer
        if has_schedule(own) and has_rate(rule) and not has_schedule(rule):
            rule = changed_rule(rule, {"lr": dataclasses.replace(own.lr, peak=float(rule.lr))})
        clips = isinstance(own, ClipNorm) and has_rate(rule) and rule.needs == "gradient"  # signs are the same either way
        return ClipNorm(rule, own.max_norm) if clips else rule

    def _rate(self, name: str) -> Any:
        known = {**self.rates, **({} if self.flows else {describe(self.optimizer)["rule"]: self.optimizer.lr})}
        for other in (name, *(SIGN_LIKE if name in SIGN_LIKE else ())):
            if other in known:
                return known[other]
        raise ValueError(f"{name} has no learning rate here: give one, as in {name}:lr=0.1 (known: {', '.join(known) or 'none'})")

    def replace(self, **changes: Any) -> Experiment:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes
            Field of the experiment to its new value; fields of setting and rule are changed by `vary`.

        Raises
        ------
        TypeError
            For a name that is no field.
        ValueError
            For a value out of range.
        """
        return dataclasses.replace(self, **changes)

    def said_to_be_changed(self, said: str, what: Sequence[str]) -> Experiment:
        """Return a copy whose note begins with what was changed: quoted numbers become derived ones, a reconstruction remains one.

        Parameters
        ----------
        said : str
            What was changed, or where: "Preset tiny, changed".
        what : sequence of str
            The changes, "s=5"; none leaves the experiment as it is.

        Examples
        --------
        >>> from dynsim.systems import signal_noise
        >>> signal_noise.experiment("tiny").vary({"s": 5}).said_to_be_changed("Preset tiny, changed", ["s=5"]).note[:27]
        'Preset tiny, changed: s=5. '
        """
        if not what:
            return self
        origin: Any = "derived" if self.origin == "quoted" else self.origin
        return self.replace(note=f"{said}: {', '.join(what)}. {self.note}".strip(), origin=origin)

    @property
    def variables(self) -> dict[str, str]:
        """What `vary` takes: each name, and whether it is of the "setting", the "optimizer" or the "experiment" itself."""
        of_rule = rule_fields(self.optimizer)
        found = dict.fromkeys(("until" if self.flows else "steps", "target_loss", "optimizer"), "experiment")
        return found | dict.fromkeys(of_rule, "optimizer") | dict.fromkeys(self.setting.to_dict(), "setting")

    def vary(self, changes: Mapping[str, Any]) -> Experiment:
        """Return a copy with fields of the setting, of the rule, or of the run changed.

        Parameters
        ----------
        changes : mapping of str to value
            Any of `variables`: fields of the setting and of the rule ("lr"), "steps" or "until", "target_loss", and "optimizer", the rule
            itself or a text (see `rule`).

        Raises
        ------
        ValueError
            For an unknown name, naming the nearest valid one, a value out of range, or a field that the new rule does not have.

        Examples
        --------
        >>> from dynsim.systems import signal_noise
        >>> changed = signal_noise.experiment("theory").vary({"m_k": 25, "lr": 1e-6})
        >>> changed.setting.m_k, changed.optimizer.lr
        (25, 1e-06)
        """
        known = self.variables
        for name in changes:
            if name not in known:
                raise ValueError(unknown_name("variable", name, known))
        parts: dict[str, dict[str, Any]] = {part: {} for part in ("setting", "optimizer", "experiment")}
        for name, value in changes.items():
            parts[known[name]][name] = value
        varied = self.replace(setting=self.setting.replace(**parts["setting"])) if parts["setting"] else self
        if "optimizer" in parts["experiment"]:
            rule = parts["experiment"].pop("optimizer")
            parts["experiment"]["optimizer"] = self.rule(rule) if isinstance(rule, str) else rule
        varied = varied.replace(**parts["experiment"])
        fields = rule_fields(varied.optimizer)
        for name in parts["optimizer"]:
            if name not in fields:  # of the rule there was before
                raise ValueError(f"{name}={changes[name]!r} does not go with optimizer={changes['optimizer']!r}, which has "
                                 f"{', '.join(fields)}: leave one of the two out")
        return varied.replace(optimizer=changed_rule(varied.optimizer, parts["optimizer"])) if parts["optimizer"] else varied

    @property
    def recorded_at(self) -> NDArray:
        """Steps, or times of a flow, at which the run is recorded; the first and the last are always among them."""
        if self.flows:
            return log_times(self.horizon, self.points)
        steps = int(self.horizon)
        return np.union1d(recorded_steps(steps, self.every, None), np.arange(min(self.closely, steps) + 1))

    def build(self, engine: str = "auto") -> Any:
        """Return the system with the data and weights of the seed.

        Parameters
        ----------
        engine : str, default "auto"
            "auto": the smallest form that is exact for the rule. "dense": the model itself. Or what the system has of "restricted",
            "lumped" and its `ENGINES`.

        Returns
        -------
        System
            For `dynsim.simulate`, `dynsim.gradcheck` and `dynsim.explain`.

        Raises
        ------
        ValueError
            For a form that the system does not have, naming the nearest valid one.
        Inexact
            For "lumped", if the system does not lump for the rule.
        """
        module = system_module(self.system)
        of_rule = {"auto": module.best, **({"lumped": module.lumped} if hasattr(module, "lumped") else {})}
        others = {name: getattr(module, name) for name in ("restricted", "dense") if hasattr(module, name)} | getattr(module, "ENGINES", {})
        builders: dict[str, Any] = {
            **{name: partial(make, self.setting, self.optimizer, seed=self.seed) for name, make in of_rule.items()},
            **{name: partial(make, self.setting, seed=self.seed) for name, make in others.items()},
        }
        if engine not in builders:
            raise ValueError(unknown_name("engine", engine, builders))
        return builders[engine]()

    def run(self, *, engine: str = "auto", progress: bool | Progress | None = None) -> Trajectory:
        """Simulate the experiment.

        Quantities of the system that the form of it does not have are not recorded: they are not in the trajectory.

        Parameters
        ----------
        engine : str, default "auto"
            Form of the system, see `build`.
        progress : bool or callable, optional
            True draws a meter on stderr; a callable receives (done, total).

        Returns
        -------
        Trajectory
            Its provenance has the experiment's origin, note and options.

        Raises
        ------
        ValueError
            For an unknown engine or quantity, or where the form of the system has nothing of what is to be recorded.
        Interrupted
            On Ctrl-C; its trajectory holds everything recorded so far.
        """
        try:
            system = self.build(engine)
            run = self.simulated(system, record=self._recorded_by(system), at=self.recorded_at, progress=progress)
        except Interrupted as stopped:
            raise Interrupted(self.signed(stopped.trajectory)) from None
        return self.signed(run)

    def _recorded_by(self, system: Any) -> Any:
        """Return what to record of a form of the system: not all forms have all of its quantities, and claims say what they miss.

        A ValueError where that leaves nothing.
        """
        known = getattr(system_module(self.system), "OBSERVABLES", {})
        missing = {name for name in self.record or () if name in known and name not in system.observables}
        if self.record is None or not missing:
            return self.record
        left = tuple(name for name in self.record if name not in missing)
        if not left:
            raise ValueError(f"record={', '.join(dict.fromkeys(self.record))}: not a quantity of this form of {self.system}, which has "
                             f"{', '.join(system.observables)}")
        return {name: self.record[name] for name in left} if isinstance(self.record, Mapping) else left

    def simulated(self, system: Any, **options: Any) -> Trajectory:
        """Return a run of a system under this experiment's rule to its horizon or target loss.

        Parameters
        ----------
        system : System
            For example a form of the experiment's own, from `build`.
        **options
            As `dynsim.simulate` takes them, `record` and `at` included: rule and horizon are the experiment's, what to record is not.
        """
        horizon = {"until": self.until} if self.flows else {"steps": self.steps}
        if self.target_loss is not None:
            options["stop"] = LossBelow(self.target_loss, options.get("stop"))
        return simulate(system, self.optimizer, **horizon, **options)

    def signed(self, run: Trajectory) -> Trajectory:
        """Return a run of this experiment whose provenance says so.

        Parameters
        ----------
        run : Trajectory
            Is not changed.

        Returns
        -------
        Trajectory
            With origin, note, spacing of the record and options in its provenance.
        """
        about = {"origin": self.origin, "note": self.note, "every": self.every, "closely": self.closely, "options": dict(self.options)}
        return dataclasses.replace(run, provenance={**run.provenance, **about})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` turns back into the experiment."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["setting"] = self.setting.to_dict()
        plain["optimizer"] = describe(self.optimizer)
        if self.record is not None:
            plain["record"] = dict(self.record) if isinstance(self.record, Mapping) else list(self.record)
        plain["options"], plain["rates"] = dict(self.options), dict(self.rates)
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Experiment:
        """Build an experiment from plain data, as `to_dict` returns it.

        Parameters
        ----------
        values : mapping
            Fields by name; "setting" and "optimizer" are mappings themselves. Fields that have a default may be left out.

        Raises
        ------
        ValueError
            For an unknown key, naming the nearest valid one, a missing one, or a value out of range.
        """
        valid = [f.name for f in fields(cls)]
        for key in values:
            if key not in valid:
                raise ValueError(unknown_name("experiment field", key, valid))
        flows = dict(values.get("optimizer") or {}).get("rule") == "flow"
        for key in ("system", "setting", "optimizer", "until" if flows else "steps"):
            if key not in values:
                raise ValueError(f"the experiment lacks {key!r}")
        plain = dict(values)
        plain["setting"] = system_module(plain["system"]).Setting.from_dict(plain["setting"])
        plain["optimizer"] = from_description(plain["optimizer"])
        if isinstance(plain.get("record"), list):
            plain["record"] = tuple(plain["record"])
        return cls(**plain)

    @classmethod
    def from_toml(cls, path: str | os.PathLike) -> Experiment:
        """Read an experiment from a TOML file, with tables [setting] and [optimizer].

        Parameters
        ----------
        path : str or path
            The file, in UTF-8.

        Raises
        ------
        ValueError
            If the file is no TOML, or for what it says, as `from_dict`.
        OSError
            If it cannot be read.
        """
        try:
            return cls.from_dict(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is no TOML file: {error}") from None

    def to_toml(self) -> str:
        """Return the experiment as TOML text, which `from_toml` reads; fields that are None are left out."""
        tables, lines = [], []
        for key, value in self.to_dict().items():
            if isinstance(value, dict):
                tables.append(f"\n[{key}]\n" + "".join(f"{_toml(k)} = {_toml(v)}\n" for k, v in value.items()))
            elif value is not None:
                lines.append(f"{key} = {_toml(value)}\n")
        return "".join(lines) + "".join(tables)


def by_name(presets: Mapping[str, Experiment]) -> tuple[Callable[[str], Experiment], Callable[[str], Any]]:
    """Return the two functions by which a system gives out its presets: the experiment of a name, and its setting.

    Parameters
    ----------
    presets : mapping of str to Experiment
        The presets of a system; both functions refuse a name that is not among them and name the nearest.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> experiment, preset = by_name(signal_noise.PRESETS)
    >>> experiment("figure3").steps, preset("figure3").replace(disjoint=True).n
    (900, 20)
    """

    def experiment(name: str) -> Experiment:
        """Return a preset experiment: setting, rule, horizon, seed and record.

        Parameters
        ----------
        name : str
            A key of the system's `PRESETS`.

        Raises
        ------
        ValueError
            For an unknown name; the nearest valid one is named.
        """
        if name not in presets:
            raise ValueError(unknown_name("preset", name, presets))
        return presets[name]

    def preset(name: str) -> Any:
        """Return the setting of a preset experiment.

        Parameters
        ----------
        name : str
            A key of the system's `PRESETS`.

        Raises
        ------
        ValueError
            For an unknown name; the nearest valid one is named.
        """
        return experiment(name).setting

    return experiment, preset


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, np.generic):
        return _toml(value.item())
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON string, but for DEL, is a TOML basic string
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    raise ValueError(f"{value!r} cannot be written as TOML")
