"""What the closed-form predictions of all systems share: numbers with a meaning, and conditions that are met or missed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["Condition", "number", "predictions_text"]


@dataclass(frozen=True)
class Condition:
    """A condition of the theory, as read here.

    Parameters
    ----------
    text : str
        The condition, with the number that it asks for.
    value : float
        That number in the setting at hand.
    met : bool
        Whether it is as the condition asks.
    """

    text: str
    value: float
    met: bool

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'missed'} {self.text} (here {self.value:.3g})"


def number(means: str) -> Any:
    """Return the field of a frozen class of predictions that holds one number.

    Parameters
    ----------
    means : str
        What the number is, in words: printed beside it.
    """
    return field(metadata={"means": means})


def predictions_text(predictions: Any, head: str) -> str:
    """Return predictions as text: a line a `number`, then `predictions.conditions`.

    Parameters
    ----------
    predictions : dataclass
        With fields made by `number`, and `conditions`, a sequence of `Condition`.
    head : str
        The first line.
    """
    numbers = (f"  {f.name:12s} {getattr(predictions, f.name):<10.6g} {f.metadata['means']}" for f in fields(predictions) if f.metadata)
    return "\n".join([head, *numbers, "conditions", *(f"  {c}" for c in predictions.conditions)])
