"""Exercises on the derivation pages: five a page, from easy to hard, with answers that can be checked.

>>> from dynsim.exercises import check, hint
>>> print(check("adam.1", 0.01))
adam.1: not right. Wrong is the number you give, 0.01.
>>> print(hint("adam.1"))
By what factor does the root of the second moment fall in a step if no new gradient is added?

Statements are in docs/exercises.md, worked solutions in docs/exercises-solutions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..naming import unknown_name
from . import adam, attention_kernels, cooccurrence, general_tokens, geometry, gradient_heterogeneity, signal_noise
from .judging import Exercise, Outcome

__all__ = ["EXERCISES", "Exercise", "Outcome", "check", "exercises", "hint"]

EXERCISES: Mapping[str, Exercise] = {
    exercise.id: exercise
    for page in (signal_noise, adam, geometry, general_tokens, cooccurrence, attention_kernels, gradient_heterogeneity)
    for exercise in page.EXERCISES
}
"""All exercises by id, in the order of the pages."""


def exercises(page: str | None = None) -> tuple[Exercise, ...]:
    """Return the exercises of a derivation page, or all; printing one shows its statement.

    Parameters
    ----------
    page : str, optional
        As the file in docs/derivations is called, without its ending.

    Raises
    ------
    ValueError
        For an unknown page, naming the nearest valid one.

    Examples
    --------
    >>> [exercise.title for exercise in exercises("geometry")][:2]
    ['What signs learn of the signal', 'One step of gradient descent']
    >>> print(str(exercises("adam")[0]).splitlines()[-1])
    Asked for: a number.
    """
    pages = dict.fromkeys(exercise.page for exercise in EXERCISES.values())
    if page is not None and page not in pages:
        raise ValueError(unknown_name("page", page, pages))
    return tuple(exercise for exercise in EXERCISES.values() if page in (None, exercise.page))


def check(id: str, answer: Any) -> Outcome:
    """Judge an answer against what the package computes, on random inputs that are the same every time.

    Parameters
    ----------
    id : str
        Of the exercise: its page and a number from 1 to 5, as ``signal_noise.3``.
    answer : callable, float or array_like
        What the statement asks for. A function is called with arguments by position.

    Returns
    -------
    Outcome
        True in conditions if the answer is right; its message says what is wrong, but not what would be right.

    Raises
    ------
    ValueError
        For an unknown id, naming the nearest valid one.
    TypeError
        For an answer of another kind than asked for, a function of another signature, or one that returns no numbers.

    Examples
    --------
    >>> print(check("signal_noise.1", lambda s_11, s_21, A, B: -(s_11 + s_21) * A - (2 - s_11 - s_21) * B))
    signal_noise.1: not right. The sign is wrong, everywhere; all else is right.
    """
    return _found(id).check(answer)


def hint(id: str) -> str:
    """Return the hint of an exercise, in Markdown.

    Parameters
    ----------
    id : str
        Of the exercise: its page and a number from 1 to 5, as ``signal_noise.3``.

    Raises
    ------
    ValueError
        For an unknown id, naming the nearest valid one.
    """
    return _found(id).hint


def _found(id: str) -> Exercise:
    if id not in EXERCISES:
        raise ValueError(unknown_name("exercise", id, EXERCISES))
    return EXERCISES[id]
