"""From options to an experiment: what ``--preset``, ``--set``, ``--optimizer`` and their like mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..experiment import Experiment
from ..optimizers import OPTIMIZERS, changed_rule, describe, has_rate
from ..registry import system_module, system_names
from ..summary import horizon_text, literal_text, rule_text

__all__ = ["chosen_experiment", "experiment_options", "literal", "setting_options", "whole"]


def setting_options(parser: argparse.ArgumentParser, *, rule: bool = True) -> None:
    """Add the options that choose a setting and, unless not `rule`, a rule."""
    parser.add_argument("--preset", metavar="NAME", help="named experiment to start from (dynsim list presets)")
    parser.add_argument("--config", metavar="FILE.toml", help="experiment to start from, as a run folder's experiment.toml")
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], dest="fields", help="change a field of the setting; may be repeated"
    )
    if rule:
        parser.add_argument(
            "--optimizer", metavar="RULE",
            help=f"{', '.join(OPTIMIZERS)}; hyper-parameters in order, lr left out, or by name: adam:0.9 or adam:beta1=0.9,eps=0",
        )
        parser.add_argument("--lr", type=_number, help="learning rate (default: the experiment's for that rule)")


def experiment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose an experiment."""
    setting_options(parser)
    parser.add_argument("--steps", type=whole, help="updates to make")
    parser.add_argument("--until", type=_number, help="time to integrate, with the rule flow")
    parser.add_argument("--target-loss", type=_number, help="training loss at which the run ends before its horizon")
    parser.add_argument("--seed", type=whole, help="seed of data, weights and test data")
    parser.add_argument("--record", metavar="NAME[:EVERY],...", action="append",
                        help="quantities to record, each at every step that is recorded or at multiples of EVERY; may be repeated")
    parser.add_argument("--every", type=whole, help="record every so many steps")
    parser.add_argument("--closely", type=whole, help="record each of the first steps besides")
    parser.add_argument("--points", type=whole, help="times at which a flow is recorded, with a constant ratio")
    parser.add_argument(
        "--engine", default="auto", metavar="auto|dense|lumped|restricted|...",
        help="form of the system; auto: the smallest that is exact for the rule; some systems have more forms",
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def whole(text: str) -> int:
    """Return the whole number that an option gives; 1e4 is one."""
    value = literal(text)
    if isinstance(value, float) and value.is_integer():  # 1e4 is a natural way to write it
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return value


def literal(text: str) -> Any:
    """Return an int, float or bool where the text is one, else the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _assignment(text: str, example: str) -> tuple[str, Any]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise ValueError(f"{text!r} must read FIELD=VALUE, for example {example}")
    return name, literal(value)


def chosen_experiment(args: argparse.Namespace, system: str | None) -> tuple[Experiment, str]:
    """Return the experiment that the arguments describe, and what to call it.

    Raises
    ------
    ValueError
        For an unknown preset, field, rule or value, naming the nearest valid one or the range.
    """
    if args.config is not None:
        if args.preset is not None:
            raise ValueError("give --preset or --config, not both")
        try:
            start = Experiment.from_toml(args.config)
        except (TypeError, AttributeError, KeyError) as error:  # a value of the wrong type somewhere in the file
            raise ValueError(f"{args.config} describes no experiment: {error}") from None
        except ValueError as error:
            raise ValueError(f"{args.config}: {error}") from None
        if system is not None and system != start.system:
            system_module(system)
            raise ValueError(f"{args.config} is an experiment of {start.system}, not of {system}")
        title = str(args.config)
    else:
        if system is None:
            raise ValueError(f"name a SYSTEM ({', '.join(system_names())}) or give --config FILE.toml")
        module = system_module(system)
        preset = args.preset or getattr(module, "DEFAULT_PRESET", None)
        if preset is None:
            raise ValueError(f"give --preset NAME ({', '.join(getattr(module, 'PRESETS', {}))}) or --config FILE.toml")
        start, title = module.experiment(preset), f"preset {preset}"
    changed = start
    if args.fields:
        fields = dict(_assignment(text, f"--set {next(iter(start.setting.to_dict()))}=3") for text in args.fields)
        changed = changed.replace(setting=start.setting.replace(**fields))
    given = ("steps", "until", "target_loss", "seed", "every", "closely", "points")
    parts = {name: getattr(args, name) for name in given if getattr(args, name, None) is not None}
    if getattr(args, "optimizer", None) is not None:
        parts["optimizer"] = _rule(start, args.optimizer, args.lr)
    elif getattr(args, "lr", None) is not None:
        if start.flows:
            raise ValueError(f"--lr {args.lr:g}: gradient flow has no learning rate; --optimizer gd --lr {args.lr:g} takes steps")
        parts["optimizer"] = changed_rule(start.optimizer, {"lr": args.lr})
    changed = changed.replace(**{**_horizon(args, start, parts), **parts})
    if getattr(args, "record", None) is not None:
        changed = changed.replace(record=_record([part.strip() for text in args.record for part in text.split(",") if part.strip()]))
    return changed.said_to_be_changed(f"{title[0].upper()}{title[1:]}, changed", _changes(start, changed)), title


def _horizon(args: argparse.Namespace, start: Experiment, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what takes the start's own horizon away, where the rule is changed from steps to gradient flow or back."""
    flows = not has_rate(parts.get("optimizer", start.optimizer))
    if flows == start.flows:
        return {}
    if not hasattr(args, "until"):  # a command that runs nothing
        return {"steps": None, "until": 1.0} if flows else {"until": None, "steps": 0}
    if ("until" if flows else "steps") not in parts:
        name = "flow" if flows else describe(parts["optimizer"])["rule"]
        raise ValueError(f"--optimizer {name} {'integrates a time: give --until' if flows else 'takes steps: give --steps'}")
    return {"steps": None} if flows else {"until": None}


def _rule(start: Experiment, text: str, lr: float | None) -> Any:
    """Return the rule of ``--optimizer`` and ``--lr``."""
    if lr is None:
        return start.rule(text)
    if "lr" in (part.partition("=")[0].strip() for part in text.partition(":")[2].split(",")):
        raise ValueError(f"--optimizer {text!r}: lr is given twice")
    rule = start.rule(text, lr)
    if not has_rate(rule):
        raise ValueError(f"--lr {lr:g}: gradient flow has no learning rate")
    return rule


def _record(parts: Sequence[str]) -> dict[str, int] | tuple[str, ...]:
    """Read NAME or NAME:EVERY."""
    record = {}
    for part in parts:
        name, _, every = part.partition(":")
        try:
            record[name] = int(every) if every else 1
        except ValueError:
            raise ValueError(f"--record {part}: {every!r} must be an integer >= 1, as in --record train_loss,test_loss:50") from None
    return record if any(every != 1 for every in record.values()) else tuple(record)


def _changes(start: Experiment, changed: Experiment) -> list[str]:
    """Return what is no longer the start's."""
    old, new = start.setting.to_dict(), changed.setting.to_dict()
    what = [f"{key}={literal_text(new[key])}" for key in new if new[key] != old[key]]
    if describe(start.optimizer) != describe(changed.optimizer):
        what.append(rule_text(describe(changed.optimizer)))
    if start.horizon != changed.horizon:
        what.append(horizon_text(changed))
    elif start.target_loss != changed.target_loss:
        what.append(f"target loss {changed.target_loss:g}")
    return what
