"""Tables as CSV, HTML and LaTeX: nothing is lost, nothing acts as a command."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynsim.tabular import csv_text, html_text, latex_text

NASTY = r"""_ % & # $ { } ~ ^ \ < > | " ' ` -- --- \end{document} [x] \\ $a_b^c$ %"""


def assert_well_formed(latex: str, columns: int) -> None:
    """Fail unless braces, environments and math close, every row has its cells, and no special character stands alone."""
    bare = re.sub(r"\\[\\_%&#${}]", "", latex)  # escaped characters and line ends
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert re.findall(r"\\begin\{(\w+)\}", bare) == re.findall(r"\\end\{(\w+)\}", bare)[::-1]
    assert not re.search(r"[%#<>|]", bare)
    for line in latex.splitlines():
        if line.endswith(r" \\"):
            cells = re.split(r"(?<!\\)&", line[:-3])
            assert len(cells) == columns
            for cell in cells:
                outside = re.sub(r"\\.", "", cell)
                assert outside.count("$") in (0, 2)
                assert not re.search(r"[_^~]", re.sub(r"\$[^$]*\$", "", outside))


def compiles(latex: str, folder) -> None:
    """Typeset a table with pdflatex, or fail with its complaint."""
    text = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + latex + "\\end{document}\n"
    (folder / "table.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace", timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]


ROWS = [
    (NASTY, -1.2e-5, 138, None), ("*", math.nan, -3, "text"), ("[1cm]", math.inf, 2**60, ""), ("", -math.inf, True, "two\nlines"),
    ("plain", 0.0, np.int64(7), np.float64(12345.678)), ("long " * 20, np.float32(0.5), None, -0.25),
]


def test_well_formed():
    for caption, label in (("", ""), (NASTY, ""), ("100 % of a_b", "tab:a_b-1")):
        assert_well_formed(latex_text(["a_b", "[", "50 %", "d"], ROWS, caption, label), 4)


@pytest.mark.parametrize("wrong", ["a & b & c", "a_b & c", "{ & b", "50% & b", "$x & b", r"\begin{a} & b", "< & b"])
def test_the_check_of_these_tests_can_fail(wrong):
    assert_well_formed(r"a & b \\", 2)
    with pytest.raises(AssertionError):
        assert_well_formed(wrong + r" \\", 2)


@given(st.lists(st.tuples(st.text(st.characters(max_codepoint=126)), st.floats(), st.integers()), max_size=5))
def test_any_table_is_well_formed(rows):
    assert_well_formed(latex_text(["text", "float", "integer"], rows), 3)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here; the structure is checked above")
def test_latex_typesets_it(tmp_path):
    compiles(latex_text(["a_b", "[", "50 %", "d"], ROWS) + latex_text(["[x", "*"], [], NASTY, "tab:a_b-1"), tmp_path)
    with pytest.raises(AssertionError):
        compiles("a_b", tmp_path)


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (1.2e-5, r"$1.2 \times 10^{-5}$"), (-1.2e-5, r"$-1.2 \times 10^{-5}$"), (0.123456, "0.1235"), (138.0, "138"), (0.0, "0"),
        (12345.6, r"$1.235 \times 10^{4}$"), (9999.6, r"$1 \times 10^{4}$"), (-0.5, "$-0.5$"), (12345678, "12345678"), (-7, "$-7$"),
        (np.float32(0.25), "0.25"), (np.int64(12345), "12345"), (np.array([0.5])[0], "0.5"), (math.nan, "--"), (np.float64("nan"), "--"),
        (None, "--"), (math.inf, r"$\infty$"), (-math.inf, r"$-\infty$"), (1e308, r"$1 \times 10^{308}$"),
        (5e-324, r"$4.941 \times 10^{-324}$"),
        (True, "True"), (np.True_, "True"), ("", ""), ("--", "-{}-"), ("---", "-{}-{}-"), ("a  b\n c", "a b c"),
        ("T_key", r"T\_key"), ("100 %", r"100 \%"), ("a & b", r"a \& b"), ("#1", r"\#1"), ("$x$", r"\$x\$"), ("{a}", r"\{a\}"),
        ("~", r"\textasciitilde{}"), ("^", r"\textasciicircum{}"), ("\\", r"\textbackslash{}"),
        ("a<b>c|d", r"a\textless{}b\textgreater{}c\textbar{}d"),
        ("[0, 1]", "{[}0, 1]"), ("*", "{*}"), ("é", "é"),
    ],
)
def test_cells(number, printed):
    assert latex_text(["x"], [(number,)]).splitlines()[4] == printed + r" \\"


def test_shape_of_the_table():
    rows = [("a", 1.5, "words " * 10, None), ("b", None, "", None)]
    assert latex_text(["claim", "x", "note", "never"], rows, "A caption", "tab:a").splitlines() == [
        r"\begin{table}", r"\centering", r"\caption{A caption}", r"\label{tab:a}", r"\begin{tabular}{lrp{0.30\linewidth}l}", r"\toprule",
        r"claim & x & note & never \\", r"\midrule", r"a & 1.5 & " + "words " * 10 + r"& -- \\", r"b & -- &  & -- \\", r"\bottomrule",
        r"\end{tabular}", r"\end{table}",
    ]
    nothing = [r"\begin{tabular}{l}", r"\toprule", r"a \\", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    assert latex_text(["a"], []).splitlines() == nothing


@pytest.mark.parametrize("label", ["tab 1", "tab}", "a%b", "a\\b", "ä"])
def test_bad_labels(label):
    with pytest.raises(ValueError, match="letters, digits"):
        latex_text(["a"], [], "caption", label)
    with pytest.raises(ValueError, match="needs a caption"):
        latex_text(["a"], [], label="tab:a")


@pytest.mark.parametrize("write", [csv_text, html_text, latex_text])
def test_ragged_rows_are_refused(write):
    with pytest.raises(ValueError, match="row 1 has 1 cells, but there are 2 columns: a, b"):
        write(["a", "b"], [(1, 2), (3,)])


def test_csv_keeps_every_digit_and_leaves_missing_cells_empty():
    values = (0.1, 1 / 3, 5e-324, -0.0, np.float64(2) / 3, math.inf, 2**60, np.int64(-3))
    rows = list(csv.reader(io.StringIO(csv_text([f"c{k}" for k in range(len(values))], [values]))))
    assert [float(cell) for cell in rows[1]] == [float(v) for v in values] and rows[1][3] == "-0.0"
    assert csv_text(["a", "b", "c"], [(None, math.nan, ""), (np.float32("nan"), True, 0)]) == "a,b,c\n,,\n,True,0\n"


@pytest.mark.parametrize(
    ("cell", "printed"),
    [
        (1 / 3, "0.333333"), (np.float32(0.5), "0.5"), (37.0, "37"), (-1.2e-100, "-1.2e-100"), (math.inf, "inf"),
        (None, ""), (math.nan, ""), (np.float64("nan"), ""), ("", ""), (2**60, str(2**60)), (np.int64(1234567), "1234567"), (True, "True"),
        ("<b>a & b</b>", "&lt;b&gt;a &amp; b&lt;/b&gt;"), ("a\nb", "<pre>a\nb</pre>"),
    ],
)
def test_html_cells(cell, printed):
    text = html_text(["<x>"], [(cell,)], caption="a < b")
    head = "<caption>a &lt; b</caption><thead><tr><th>&lt;x&gt;</th></tr></thead>"
    assert text == f"<table>{head}<tbody><tr><td>{printed}</td></tr></tbody></table>"


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"))


@given(st.lists(st.tuples(TEXT, st.floats(allow_nan=False)), max_size=5))
def test_csv_reads_back(rows):
    back = list(csv.reader(io.StringIO(csv_text(["text", "number"], rows))))
    assert back[0] == ["text", "number"] and [(text, float(number)) for text, number in back[1:]] == rows
