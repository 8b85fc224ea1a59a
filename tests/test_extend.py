"""The tutorial quotes the skeleton that ``dynsim new`` copies, whole and to the letter; its examples run with the other pages."""

import ast
import doctest
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dynsim import check, simulate, skeleton
from dynsim.optimizers import GradientDescent, GradientFlow

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text(encoding="utf-8")
QUOTED = dict(re.findall(r"^`my_paper/(\w+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.M | re.S))
MODULES = sorted(Path(skeleton.__file__).parent.glob("*.py"))


def code_lines(text):
    """Return how many lines are code: not blank, comment, docstring or import."""
    aside = set()
    for node in ast.walk(ast.parse(text)):
        words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if words or isinstance(node, (ast.Import, ast.ImportFrom)):
            aside.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(i not in aside and bool(line.strip()) and not line.strip().startswith("#") for i, line in lines)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_file_is_quoted_as_it_is(path):
    assert QUOTED[path.name] == path.read_text(encoding="utf-8"), f"docs/extend.md is out of date: put {path} into its block"


def test_nothing_else_is_quoted():
    assert set(QUOTED) == {path.name for path in MODULES}


def test_it_is_under_100_lines():
    tutorial, _, _ = PAGE.partition("## A claim of your own")  # which is no part of what is counted
    examples = "".join(example.source for example in doctest.DocTestParser().get_examples(tutorial))
    assert code_lines("x = 1\n\n# no\nimport os\ndef f():\n    '''No.\n\n    No.'''\n    return x\n") == 3  # the counter itself
    assert sum(map(code_lines, QUOTED.values())) + code_lines(examples) < 100


def test_a_start_that_is_not_balanced_is_no_case_for_the_claim():
    system = skeleton.dense(skeleton.Setting(B=50), seed=3)
    run = simulate(system, GradientFlow(), until=3.0, start=np.array([0.3, 0.1]), record=["product", "balance"])
    verdict = check(run)["logistic"]
    assert verdict.verdict == "not applicable" and verdict.unmet == ("u = v at the start",) and verdict.margin < 0


def test_replicates_run_side_by_side():
    system = skeleton.dense(skeleton.Setting(B=50), seed=3)
    starts = np.array([[0.1, 0.1], [0.2, -0.3]])
    both, alone = (
        simulate(replace(system, start=start), GradientDescent(lr=0.1), steps=30, record=["product"]) for start in (starts, starts[1])
    )
    np.testing.assert_allclose(both["product"][:, 1], alone["product"], rtol=1e-12)


def test_moments_of_the_prompts_are_those_of_the_page():
    setting = skeleton.Setting(d=3, N=5, B=200_000)
    constants = skeleton.dense(setting, seed=0).constants
    assert abs(constants["b"] - 1) < 0.02 and abs(constants["a"] - (1 + 4 / 5)) < 0.05
