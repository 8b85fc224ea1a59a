"""What an exercise is, and how an answer is judged: against what the package computes on random inputs, never against a stored solution."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["Between", "Exercise", "Outcome", "Posed", "judge"]

SEEDS = (0, 1)
"""Seeds of the inputs; the number of the exercise is mixed in, so that no two exercises see the same."""

@dataclass(frozen=True)
class Between:
    """What a bound may be: at least `low`, what a simulation reaches, and at most `high`, beyond which it is needlessly loose."""

    low: NDArray
    high: NDArray


@dataclass(frozen=True)
class Posed:
    """Inputs of one draw and what the package makes of them."""

    args: tuple[Any, ...]
    expected: Any


@dataclass(frozen=True)
class Exercise:
    """An exercise on a derivation page; prints as its statement.

    Parameters
    ----------
    id : str
        The page and a number from 1, easy, to 5, hard: ``signal_noise.3``.
    title : str
        A line.
    statement : str
        In Markdown, equation numbers as on the page.
    hint : str
        The first step, in Markdown.
    signature : str
        Of the function that is asked for, as in ``margin(s_11, s_21, A, B)``; its arguments are given by position. Empty if a number or
        an array is asked for.
    answer : str
        What the answer is, or what the function returns, in words.
    pose : callable
        ``pose(rng)``: draws inputs and computes what is right, by the functions of the package.
    wrong : callable, float or ndarray
        An answer with a typical slip. It must be rejected: the negative control of the exercise.
    rtol, atol : float
        Largest deviation, relative to the entry and to the largest entry. An answer that is off by less counts as right.
    draws : int
        Inputs drawn for each seed. Several, because one number alone cannot tell a wrong factor from anything else.
    """

    id: str
    title: str
    statement: str
    hint: str
    signature: str
    answer: str
    pose: Callable[[np.random.Generator], Posed]
    wrong: Any
    rtol: float = 1e-6
    atol: float = 1e-9
    draws: int = 3

    @property
    def page(self) -> str:
        """The derivation page, without its ending."""
        return self.id.rpartition(".")[0]

    @property
    def asks(self) -> str:
        """What is asked for, in words."""
        return f"a function {self.signature} that returns {self.answer}" if self.signature else self.answer

    def check(self, answer: Any) -> Outcome:
        """Judge an answer: see `dynsim.exercises.check`.

        Parameters
        ----------
        answer : callable, float or array_like
            What the statement asks for.

        Returns
        -------
        Outcome
            True in conditions if the answer is right.

        Raises
        ------
        TypeError
            For an answer of another kind than asked for.
        """
        return judge(self, answer)

    def __str__(self) -> str:
        return f"{self.id}. {self.title}\n{self.statement}\nAsked for: {self.asks}."


@dataclass(frozen=True)
class Outcome:
    """Whether an answer is right and, if not, what is wrong with it. True in conditions if right.

    Parameters
    ----------
    id : str
        Of the exercise.
    right : bool
        Whether the answer agrees on all inputs.
    message : str
        What is wrong, without what would be right; or on how much it agrees.
    """

    id: str
    right: bool
    message: str

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        return f"{self.id}: {'right' if self.right else 'not right'}. {self.message}"


def judge(exercise: Exercise, answer: Any) -> Outcome:
    """Judge an answer on all draws of all seeds."""
    given, expected = [], []
    for seed in SEEDS if exercise.signature else SEEDS[:1]:  # a number or an array has no inputs
        rng = np.random.default_rng([crc32(exercise.id.encode()), seed])
        for _ in range(exercise.draws if exercise.signature else 1):
            case = exercise.pose(rng)
            given.append(_given(exercise, answer, case.args))
            expected.append(case.expected)
    wrong = _what_is_wrong(exercise, given, expected)
    inputs = f"on {len(given)} random inputs" if exercise.signature else "with what the package computes"
    return Outcome(exercise.id, not wrong, wrong or f"Agrees {inputs}.")


def _given(exercise: Exercise, answer: Any, args: tuple[Any, ...]) -> NDArray:
    """Return the numbers that an answer stands for, or raise an error that says what was expected."""
    if not exercise.signature:
        if callable(answer):
            raise TypeError(f"answer={answer!r} is a function: {exercise.id} asks for {exercise.answer}")
        return _numbers(exercise, answer, "answer")
    if not callable(answer):
        raise TypeError(f"answer is of type {type(answer).__name__}: {exercise.id} asks for {exercise.asks}")
    try:
        takes = inspect.signature(answer)
    except ValueError:  # some functions of other languages do not tell; calling them does
        takes = None
    try:
        if takes is not None:
            takes.bind(*args)
    except TypeError:
        raise TypeError(f"the function takes {takes}: {exercise.id} asks for {exercise.asks}; the {len(args)} arguments are given by "
                        "position") from None
    try:
        value = answer(*(np.copy(arg) if isinstance(arg, np.ndarray) else arg for arg in args))  # what an answer overwrites is its own
    except Exception as error:
        said = ", ".join(f"array of shape {arg.shape}" if isinstance(arg, np.ndarray) else repr(arg) for arg in args)
        error.add_note(f"while checking {exercise.id}, {exercise.signature}, with {said}")
        raise
    return _numbers(exercise, value, "what the function returns")


def _numbers(exercise: Exercise, value: Any, what: str) -> NDArray:
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        shown = f"of type {type(value).__name__}" if array.dtype.kind != "c" else "complex"
        raise TypeError(f"{what} is {shown}, not real numbers: {exercise.id} asks for {exercise.asks}")
    return array.astype(float)


# -- what is wrong, without saying what would be right -----------------------------------------------------------------


def _what_is_wrong(exercise: Exercise, given: Sequence[NDArray], expected: Sequence[Any]) -> str:
    """Return "" for a right answer, else the first of the slips below that explains all draws."""
    shapes = [np.shape(e.low if isinstance(e, Between) else e) for e in expected]
    for have, want in zip(given, shapes, strict=True):
        if have.shape != want:
            turned = " That is the shape of the transpose." if have.shape == want[::-1] else ""
            return f"The shape is {have.shape}; it must be {want}, {exercise.answer}.{turned}"
    if not all(np.isfinite(have).all() for have in given):
        return "Some entries are not finite."
    if any(isinstance(e, Between) for e in expected):
        return _bound_is_wrong(given, expected)
    pairs = [(have, np.asarray(want, dtype=float)) for have, want in zip(given, expected, strict=True)]

    def close(transform: Callable[[NDArray], NDArray], rtol: float = exercise.rtol, atol: float = exercise.atol) -> bool:
        return all(_close(transform(have), want, rtol, atol).all() for have, want in pairs)

    if close(lambda have: have):
        return ""
    if close(lambda have: -have):
        return "The sign is wrong, everywhere; all else is right."
    if all(have.ndim == 2 and have.shape[0] == have.shape[1] for have, _ in pairs) and close(np.transpose):
        return "This is the transpose."
    return _nearly(exercise, close) or _factor(exercise, pairs) or _signs(exercise, pairs) or _first(exercise, pairs)


def _bound_is_wrong(given: Sequence[NDArray], expected: Sequence[Between]) -> str:
    for number, (have, want) in enumerate(zip(given, expected, strict=True), 1):
        for bad, says in ((have < want.low, "The bound is broken"), (have > want.high, "The bound holds, but a tighter one does too")):
            if bad.any():
                return f"{says}: first {_place(bad)} of input {number}, where yours is {have[bad][0]:.6g}."
    return ""


def _close(have: NDArray, want: NDArray, rtol: float, atol: float) -> NDArray:
    return np.abs(have - want) <= rtol * np.abs(want) + atol * np.abs(want).max(initial=0.0)


def _factor(exercise: Exercise, pairs: Sequence[tuple[NDArray, NDArray]]) -> str:
    """Tell a factor that is the same in all entries of a draw, and whether it is the same in all draws."""
    factors = [float((have * want).sum() / (want * want).sum()) if (want != 0).any() else 0.0 for have, want in pairs]
    explained = (_close(have, f * want, 1e-6, exercise.atol).all() for (have, want), f in zip(pairs, factors, strict=True))
    if not all(factors) or not all(explained):
        return ""
    sign = "the sign and " if all(f < 0 for f in factors) else ""
    if len(pairs) > len(SEEDS) and np.ptp(factors) <= 1e-6 * abs(factors[0]):
        return f"Wrong: {sign}a constant factor, the same on all inputs."
    if all(want.size > 1 for _, want in pairs):
        return f"Wrong: {sign}a factor, the same for all entries; it depends on the input, as a size or a count does."
    return ""


def _signs(exercise: Exercise, pairs: Sequence[tuple[NDArray, NDArray]]) -> str:
    if not all(_close(np.abs(have), np.abs(want), exercise.rtol, exercise.atol).all() for have, want in pairs):
        return ""
    return f"All magnitudes are right, but some signs are wrong: {_first(exercise, pairs)}"


def _nearly(exercise: Exercise, close: Callable[..., bool]) -> str:
    near = close(lambda have: have, 2e-3, exercise.atol)
    return "Nearly: right to about three digits, so a small term is missing or rounded away." if near else ""


def _first(exercise: Exercise, pairs: Sequence[tuple[NDArray, NDArray]]) -> str:
    """Say how many entries are right and where the first wrong one is."""
    right = [_close(have, want, exercise.rtol, exercise.atol) for have, want in pairs]
    number = next(i for i, r in enumerate(right) if not r.all())
    have, bad = pairs[number][0], ~right[number]
    inputs = f" of input {number + 1}" if exercise.signature else ""
    if right[0].size > 1:
        return (
            f"{sum(int(r.sum()) for r in right)} of {sum(r.size for r in right)} entries are right; the first wrong one is "
            f"{_place(bad)}{inputs}, {have[bad][0]:.6g}."
        )
    sides = {bool(h > w) for (h, w), r in zip(pairs, right, strict=True) if not r}
    if not exercise.signature:
        sides = set()  # a lone number could be found by bisection
    side = f" It is too {'large' if sides == {True} else 'small'} wherever it is wrong." if len(sides) == 1 else ""
    return f"Wrong is the number you give{inputs}, {have[()]:.6g}.{side}"


def _place(bad: NDArray) -> str:
    """Return the place of the first entry that is bad."""
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"at {at[0] if len(at) == 1 else at}"
