"""Exercises: each accepts its worked solution, rejects its typical slip and garbage, and stands on the page as in the registry."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

import dynsim.exercises as package
from dynsim.exercises import EXERCISES, check, exercises, hint

ROOT = Path(__file__).parents[1]
STATEMENTS, SOLUTIONS = ROOT / "docs/exercises.md", ROOT / "docs/exercises-solutions.md"
EACH = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))


def listing() -> str:
    """Return all statements and hints as Markdown."""
    lines = []
    for page in dict.fromkeys(exercise.page for exercise in EXERCISES.values()):
        title = (ROOT / f"docs/derivations/{page}.md").read_text().partition("\n")[0].removeprefix("# ")
        lines += [f"## {title}", "", f"On [{page}](derivations/{page}.md), whose equation numbers these are.", ""]
        for at in exercises(page):
            asked = f"Answer: `{at.signature}`, returns {at.answer}." if at.signature else f"Answer: {at.answer}."
            lines += [f"**{at.id}. {at.title}.** {at.statement}", "", asked, "",
                      "<details><summary>Hint</summary>", "", at.hint, "", "</details>", ""]
    return "\n".join(lines).rstrip()


def test_page_shows_the_registry():
    shown = STATEMENTS.read_text().partition("<!-- exercises -->\n")[2].partition("\n<!-- /exercises -->")[0]
    assert shown == listing(), "docs/exercises.md is out of date; put this between its marks:\n" + listing()


def test_every_derivation_page_leads_to_its_exercises():
    for page in (ROOT / "docs/derivations").glob("*.md"):
        assert "](../exercises.md#" in page.read_text(), page.name


@pytest.fixture(scope="module")
def solutions():
    """Answers of the page of solutions, by exercise: what it gives to `check` first."""
    found, names = {}, {}

    def keep(id, answer):
        found.setdefault(id, answer)
        return check(id, answer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "check", keep)
        for example in doctest.DocTestParser().get_examples(SOLUTIONS.read_text()):
            exec(example.source, names)
    return found


def test_there_are_five_a_page():
    pages = sorted(path.stem for path in (ROOT / "docs/derivations").glob("*.md"))
    assert list(EXERCISES) == [at.id for at in exercises()]
    assert sorted(EXERCISES) == [f"{page}.{number}" for page in pages for number in range(1, 6)]


@EACH
def test_solution_is_right(exercise, solutions):
    outcome = check(exercise.id, solutions[exercise.id])
    assert outcome and outcome.right, outcome


@EACH
def test_typical_slip_is_rejected(exercise):
    outcome = check(exercise.id, exercise.wrong)
    assert not outcome
    assert outcome.message


@EACH
def test_garbage_is_an_error_that_names_what_is_expected(exercise):
    for garbage in (None, "0.5", object(), {}, True, 1j, [[1.0], [1.0, 2.0]]):
        with pytest.raises(TypeError, match=exercise.id):
            check(exercise.id, garbage)
        if exercise.signature:
            with pytest.raises(TypeError, match="what the function returns"):
                check(exercise.id, lambda *args, garbage=garbage: garbage)


@EACH
def test_other_kinds_of_answers(exercise):
    if exercise.signature:
        with pytest.raises(TypeError, match="by position"):
            check(exercise.id, lambda: 0.0)
        with pytest.raises(TypeError, match="asks for a function"):
            check(exercise.id, 1.0)
        assert "shape" in check(exercise.id, lambda *args: np.zeros((1, 1, 1))).message
        assert not check(exercise.id, lambda *args: 0.0)
    else:
        with pytest.raises(TypeError, match="is a function"):
            check(exercise.id, lambda: 0.0)
        assert "shape" in check(exercise.id, np.zeros((1, 1, 1))).message


@EACH
def test_mistakes_of_sign_and_factor_are_named(exercise, solutions):
    if not exercise.signature or exercise.id == "gradient_heterogeneity.5":
        return
    answer = solutions[exercise.id]
    assert "sign" in check(exercise.id, lambda *args: -np.asarray(answer(*args))).message
    assert "a constant factor" in check(exercise.id, lambda *args: 2.0 * np.asarray(answer(*args))).message
    assert "not finite" in check(exercise.id, lambda *args: np.nan * np.asarray(answer(*args))).message
    assert "three digits" in check(exercise.id, lambda *args: 1.0001 * np.asarray(answer(*args))).message


def test_a_factor_that_differs_between_inputs_and_wrong_signs_are_named(solutions):
    answer = solutions["signal_noise.3"]
    assert "depends on the input" in check("signal_noise.3", lambda *args: len(args[2]) * answer(*args)).message
    assert "the sign and a constant factor" in check("signal_noise.3", lambda *args: -0.5 * answer(*args)).message
    assert "some signs are wrong" in check("signal_noise.3", lambda *args: abs(answer(*args))).message


def test_a_transposed_answer_is_named(solutions):
    rectangular, square = solutions["signal_noise.3"], solutions["gradient_heterogeneity.4"]
    assert "transpose" in check("signal_noise.3", lambda *args: rectangular(*args).T).message
    assert "transpose" in check("gradient_heterogeneity.4", lambda *args: square(*args).T).message


def test_a_bound_may_be_broken_or_loose(solutions):
    right = solutions["gradient_heterogeneity.5"]
    assert "broken" in check("gradient_heterogeneity.5", lambda *args: 0.9 * right(*args)).message
    assert "tighter" in check("gradient_heterogeneity.5", lambda *args: 1.1 * right(*args)).message


def test_an_answer_may_overwrite_its_inputs(solutions):
    def greedy(A, theta):
        found = solutions["gradient_heterogeneity.2"](A, theta)
        A[:], theta[:] = 0.0, 0.0
        return found

    assert check("gradient_heterogeneity.2", greedy)


def test_an_error_of_the_answer_says_where_it_was_called():
    with pytest.raises(ZeroDivisionError) as caught:
        check("adam.3", lambda R, beta2: 1 / 0)
    assert "while checking adam.3, step(R, beta2)" in caught.value.__notes__[0]


def test_unknown_names_are_refused_with_the_nearest():
    for call in (check, lambda id, _: hint(id)):
        with pytest.raises(ValueError, match=r"unknown exercise 'signal_noise\.9': did you mean 'signal_noise\.\d'"):
            call("signal_noise.9", 1.0)
    with pytest.raises(ValueError, match="unknown page 'geometri': did you mean 'geometry'"):
        exercises("geometri")
    assert hint("adam.1") == EXERCISES["adam.1"].hint
