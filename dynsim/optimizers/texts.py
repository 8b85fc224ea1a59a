"""Rules as plain data and as texts, for files and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from dataclasses import fields as dataclass_fields
from typing import Any

import numpy as np

from ..naming import unknown_name
from .rules import METHODS, Adam, ClipNorm, GradientDescent, GradientFlow, RMSprop, SignGD
from .schedules import SCHEDULES

__all__ = [
    "OPTIMIZERS", "SIGN_LIKE", "as_optimizer", "changed_rule", "describe", "from_description", "from_text", "has_rate", "has_schedule",
    "rule_fields", "rule_names",
]

OPTIMIZERS: Mapping[str, type] = {
    "signgd": SignGD, "gd": GradientDescent, "adam": Adam, "rmsprop": RMSprop, "flow": GradientFlow,
}
"""Rules by the name used on the command line and in files."""


def has_rate(rule: Any) -> bool:
    """Tell whether a rule has a learning rate: all but gradient flow, which has a time instead of steps.

    Parameters
    ----------
    rule : Optimizer or GradientFlow, or a class of these
        The rule.

    Examples
    --------
    >>> has_rate(SignGD), has_rate(GradientFlow())
    (True, False)
    """
    return rule.kind != "flow"


def as_optimizer(rule: Any) -> Any:
    """Return a rule; a class stands for its instance at default hyper-parameters.

    Parameters
    ----------
    rule : Optimizer or GradientFlow, or a class of these
        Of a class the rate is 1.0: it stands for a kind of rule, whose rate does not matter.

    Raises
    ------
    TypeError
        For what is no update rule.

    Examples
    --------
    >>> as_optimizer(SignGD).kind
    'sign'
    """
    if isinstance(rule, type) and hasattr(rule, "kind"):
        rule = rule(lr=1.0) if has_rate(rule) else rule()
    if not isinstance(rule, GradientFlow):
        missing = [member for member in ("lr", "kind", "needs", "init", "step") if not hasattr(rule, member)]
        if missing:
            raise TypeError(f"optimizer={rule!r} is no update rule; try SignGD(lr=5e-5), GradientDescent(lr=0.1) or Adam(lr=5e-5). For a "
                            f"rule of your own (help(dynsim.optimizers.Optimizer)) it lacks {', '.join(missing)}")
    return rule


def describe(optimizer: Any) -> dict[str, Any]:
    """Return a plain dict that `from_description` turns back into the rule.

    Parameters
    ----------
    optimizer : Optimizer or GradientFlow
        A rate that is a function of the step is told by its name only, which cannot be turned back.

    Returns
    -------
    dict
        JSON-ready: "rule", its name, and its hyper-parameters; an array of rates is a list, a schedule a dict.

    Examples
    --------
    >>> describe(SignGD(5e-5))
    {'rule': 'signgd', 'lr': 5e-05, 'momentum': 0.0}
    >>> describe(ClipNorm(GradientDescent(0.1), max_norm=2.0))
    {'rule': 'gd', 'lr': 0.1, 'momentum': 0.0, 'clip': 2.0}
    """
    if isinstance(optimizer, ClipNorm):
        return {**describe(optimizer.optimizer), "clip": optimizer.max_norm}
    name = next((name for name, cls in OPTIMIZERS.items() if type(optimizer) is cls), type(optimizer).__name__)
    fields = {name: getattr(optimizer, name) for name in rule_fields(optimizer)}
    for key, value in fields.items():
        schedule = next((title for title, cls in SCHEDULES.items() if type(value) is cls), None)
        if schedule is not None:
            fields[key] = {"schedule": schedule, **asdict(value)}
        elif isinstance(value, (np.ndarray, np.generic)):
            fields[key] = value.tolist()
        elif callable(value):
            fields[key] = f"function {getattr(value, '__name__', '?')}"
    return {"rule": name, **fields}


def has_schedule(rule: Any) -> bool:
    """Tell whether the rate of a rule is a schedule that can be written to a file, such as `LinearDecay`.

    Parameters
    ----------
    rule : Optimizer or GradientFlow
        The rule.
    """
    return type(getattr(rule, "lr", None)) in SCHEDULES.values()


def rule_fields(rule: Any) -> list[str]:
    """Return the names of what `changed_rule` takes: the rule's hyper-parameters, and "clip" where its gradient is clipped.

    Parameters
    ----------
    rule : Optimizer or GradientFlow
        The rule; of one that is no dataclass, "lr" alone is known.

    Examples
    --------
    >>> rule_fields(ClipNorm(SignGD(0.1, momentum=0.9)))
    ['lr', 'momentum', 'clip']
    """
    if isinstance(rule, ClipNorm):
        return [*rule_fields(rule.optimizer), "clip"]
    return [f.name for f in dataclass_fields(rule)] if hasattr(rule, "__dataclass_fields__") else ["lr"]


def changed_rule(rule: Any, changes: Mapping[str, Any]) -> Any:
    """Return a rule with some of its `rule_fields` changed.

    Parameters
    ----------
    rule : Optimizer or GradientFlow
        Is not changed.
    changes : mapping of str to value
        New values; a number as the rate of a rule with a schedule is its new peak.

    Raises
    ------
    TypeError
        For a name that is none of its fields.
    ValueError
        For a value out of range.

    Examples
    --------
    >>> from dynsim.optimizers import LinearDecay
    >>> changed_rule(ClipNorm(GradientDescent(LinearDecay(0.1, 100))), {"lr": 0.3, "clip": 2.0})
    ClipNorm(optimizer=GradientDescent(lr=LinearDecay(peak=0.3, steps=100, warmup=0), momentum=0.0), max_norm=2.0)
    """
    given = dict(changes)
    if isinstance(rule, ClipNorm):
        clip = given.pop("clip", rule.max_norm)
        return ClipNorm(changed_rule(rule.optimizer, given), clip)
    lr = given.get("lr")
    if has_schedule(rule) and isinstance(lr, (int, float, np.integer, np.floating)):
        given["lr"] = replace(rule.lr, peak=float(lr))
    return replace(rule, **given)


def from_description(description: Mapping[str, Any]) -> Any:
    """Return the rule that `describe` described.

    Parameters
    ----------
    description : mapping
        "rule", its name, and its hyper-parameters; "clip" for a norm to which the gradient is clipped.

    Raises
    ------
    ValueError
        If the rule or one of its fields is unknown, naming the nearest valid one, its rate is missing, or a value is out of range.

    Examples
    --------
    >>> from_description({"rule": "gd", "lr": 0.1, "clip": 2.0})
    ClipNorm(optimizer=GradientDescent(lr=0.1, momentum=0.0), max_norm=2.0)
    """
    fields = dict(description)
    clip = fields.pop("clip", None)
    if clip is not None:
        return ClipNorm(from_description(fields), clip)
    name = fields.pop("rule", "")
    if name not in OPTIMIZERS:
        raise ValueError(unknown_name("optimizer", name, OPTIMIZERS))
    valid = [f.name for f in dataclass_fields(OPTIMIZERS[name])]
    for key in fields:
        if key not in valid:
            raise ValueError(unknown_name(f"{name} field", key, valid))
    if "lr" in valid and "lr" not in fields:
        raise ValueError(f"the optimizer {name} lacks lr, its learning rate")
    if isinstance(fields.get("lr"), list):
        fields["lr"] = np.asarray(fields["lr"])
    elif isinstance(fields.get("lr"), Mapping):
        fields["lr"] = _schedule(fields["lr"])
    return OPTIMIZERS[name](**fields)


def _schedule(description: Mapping[str, Any]) -> Any:
    values = dict(description)
    name = values.pop("schedule", "")
    if name not in SCHEDULES:
        raise ValueError(unknown_name("schedule", str(name), SCHEDULES))
    valid = [f.name for f in dataclass_fields(SCHEDULES[name])]
    for key in values:
        if key not in valid:
            raise ValueError(unknown_name(f"{name} schedule field", key, valid))
    return SCHEDULES[name](**values)


SIGN_LIKE = ("signgd", "adam", "rmsprop")
"""Rules whose step is about as long as their rate, whatever the size of the gradient: one's rate is a sensible one for the other."""


def from_text(text: str, lr: float | Callable[[str], Any]) -> Any:
    """Return the rule that a text describes: its name, then hyper-parameters in order, lr left out, or by name.

    Parameters
    ----------
    text : str
        For example "signgd", "adam:0.9", "adam:beta1=0.9,eps=0" or "gd:lr=0.1".
    lr : float or callable
        Learning rate where the text names none and the rule has one; a callable maps the rule's name to it.

    Raises
    ------
    ValueError
        For an unknown rule or hyper-parameter, naming the nearest valid one, a number without a name after one with a name, or a
        value out of range.

    Examples
    --------
    >>> from_text("adam:0.5,eps=0", lr=1e-3)
    Adam(lr=0.001, beta1=0.5, beta2=0.999, eps=0.0)
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if name not in OPTIMIZERS:
        raise ValueError(unknown_name("optimizer", name, OPTIMIZERS))
    valid = [f.name for f in dataclass_fields(OPTIMIZERS[name])]
    chosen: dict[str, Any] = {}
    named = False
    rated = "lr" in valid
    for position, part in enumerate(rest.split(",") if colon else (), start=int(rated)):  # in order, after lr
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            if not key:
                raise ValueError(f"optimizer {text!r} has nothing between two commas or at its end; {name} takes {', '.join(valid)}")
            if named:
                raise ValueError(f"optimizer {text!r}: numbers without a name come first, as in adam:0.9,eps=0")
            if position >= len(valid):
                raise ValueError(f"optimizer {text!r} has too many numbers; {name} takes {', '.join(valid)}")
            key, value = valid[position], key
        named = named or bool(equals)
        if key not in valid:
            raise ValueError(unknown_name(f"{name} field", key, valid))
        if key in chosen:
            raise ValueError(f"optimizer {text!r}: {key} is given twice")
        if key == "method":
            chosen[key] = value
            continue
        try:
            chosen[key] = float(value)
        except ValueError:
            raise ValueError(f"optimizer {text!r}: {key}={value!r} is no number") from None
    if rated and "lr" not in chosen:
        chosen["lr"] = lr(name) if callable(lr) else lr
    return OPTIMIZERS[name](**chosen)


def rule_names(text: str) -> list[str]:
    """Split a list of rules at its commas, but for those before a number or a ``name=value``, which belong to the rule before.

    Parameters
    ----------
    text : str
        Rules as `from_text` takes them, with commas between them.

    Raises
    ------
    ValueError
        For a hyper-parameter after a rule that has no colon.

    Examples
    --------
    >>> rule_names("signgd,adam:0.9,eps=0,gd")
    ['signgd', 'adam:0.9,eps=0', 'gd']
    """
    found: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if found and _is_hyper_parameter(part):
            if ":" not in found[-1]:
                raise ValueError(f"{part!r} after {found[-1]!r} is no rule: hyper-parameters follow a colon, as in {found[-1]}:{part}")
            found[-1] += f",{part}"
        elif part:
            found.append(part)
    return found


def _is_hyper_parameter(part: str) -> bool:
    """Tell a number or ``name=value`` from a rule."""
    if "=" in part.partition(":")[0] or part in METHODS:
        return True
    try:
        float(part)
    except ValueError:
        return False
    return True
