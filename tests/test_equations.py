"""Every numbered equation of the derivation pages has an executed check and a docstring that names it."""

from __future__ import annotations

import equations
import pytest

PAGES = pytest.mark.parametrize("page", equations.pages())


@PAGES
def test_numbers_are_those_of_a_page(page):
    letter = "T" if page == "general_tokens" else ""
    assert equations.equations(page) == [f"{letter}{number}" for number in range(1, len(equations.equations(page)) + 1)]


@PAGES
def test_every_equation_is_checked_by_an_example(page):
    found = equations.checked(page)
    assert sorted(found) == sorted(equations.equations(page))
    silent = [number for number, examples in found.items() if not examples]
    assert not silent, f"{page}: what is marked as a check of {silent} expects nothing"


@PAGES
def test_every_equation_is_named_by_a_docstring(page):
    found = equations.implemented()
    missing = [number for number in equations.equations(page) if not any(place.name for place in found.get((page, number), ()))]
    assert not missing, f"{page}: no function or class names {missing}"


def test_docstrings_name_equations_that_there_are():
    wrong = [f"({number}) of {page}: {', '.join(map(str, places))}" for (page, number), places in equations.implemented().items()
             if page not in equations.pages() or number not in equations.equations(page)]
    assert not wrong


def test_an_example_without_a_result_checks_nothing(tmp_path, monkeypatch):
    page = "$$x = 1 \\tag{1}$$\n\n```python\n>>> # checks (1)\n>>> x = 1\n\n```\n\n$$y = 2 \\tag{2}$$\n\n```python\n>>> 1 + 1\n2\n\n```\n"
    (tmp_path / "short.md").write_text(page)
    monkeypatch.setattr(equations, "DERIVATIONS", tmp_path)
    assert equations.equations("short") == ["1", "2"]
    assert equations.checked("short") == {"1": []}
