"""Update rules, schedules of their rates, and both as texts."""

from .rules import METHODS, Adam, ClipNorm, GradientDescent, GradientFlow, Kind, Optimizer, Rate, RMSprop, SignGD, State
from .schedules import LinearDecay
from .texts import (
    OPTIMIZERS,
    SIGN_LIKE,
    as_optimizer,
    changed_rule,
    describe,
    from_description,
    from_text,
    has_rate,
    has_schedule,
    rule_fields,
    rule_names,
)

__all__ = [
    "METHODS",
    "OPTIMIZERS",
    "SIGN_LIKE",
    "Adam",
    "ClipNorm",
    "GradientDescent",
    "GradientFlow",
    "Kind",
    "LinearDecay",
    "Optimizer",
    "RMSprop",
    "Rate",
    "SignGD",
    "State",
    "as_optimizer",
    "changed_rule",
    "describe",
    "from_description",
    "from_text",
    "has_rate",
    "has_schedule",
    "rule_fields",
    "rule_names",
]
