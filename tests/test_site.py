"""What writes the site: every public name is documented once, everything an equation leads to is documented, broken links are found."""

from __future__ import annotations

import collections

import equations
import links
import pytest
import reference

import dynsim


def test_every_name_of_the_front_page_is_documented_first():
    assert reference.units()[0] == "dynsim"
    assert set(reference.offered()["dynsim"]) == {f"dynsim.{name}" for name in dynsim.__all__ if not name.startswith("_")}


def test_a_function_or_class_is_documented_once():
    named = [full for names in (*reference.offered().values(), *reference.further().values()) for full in names]
    assert not [full for full, count in collections.Counter(named).items() if count > 1]
    code = [id(reference._thing(full)) for full in named if reference._is_code(reference._thing(full))]
    assert len(code) == len(set(code)) > 400


def test_what_implements_an_equation_is_documented():
    named = {full for names in (*reference.offered().values(), *reference.further().values()) for full in names}
    for places in equations.implemented().values():
        for place in places:
            full = reference.home(place)
            assert full is None or full in named or full.rpartition(".")[0] in named, place


def test_every_unit_has_a_page_and_stands_in_the_list():
    pages = dict(reference.pages())
    listed = {line.strip() for line in pages.pop("index").splitlines() if line.startswith("   dynsim")}
    assert listed == set(pages) == set(reference.offered())


@pytest.mark.parametrize(("text", "escaped"), [
    ("norm |x|", r"norm \|x\|"), ("shape (*n, d)", r"shape (\*n, d)"), ("``*n`` and `W_Q`", "``*n`` and `W_Q`"),
    ("a *stressed* word", "a *stressed* word"),
    ("**options : Any", "**options : Any"), (">>> 2 ** 3", ">>> 2 ** 3"), ("x_, y", r"x\_, y"), (":math:`a_b*c`", ":math:`a_b*c`"),
])
def test_docstrings_mean_themselves(text, escaped):
    assert reference.plain_lines([text]) == [escaped]


def test_literal_blocks_are_left_alone():
    lines = ["as follows::", "", "    a * b | c", "", "then |x|"]
    assert reference.plain_lines(lines) == [*lines[:-1], r"then \|x\|"]


def test_broken_links_and_wordless_pictures_are_found(tmp_path):
    inside, outside = '<a href="b.html#there"></a><a href="#here"></a>', '<a href="https://arxiv.org"></a>'
    (tmp_path / "a.html").write_text(f'<p id="here">{inside}{outside}<img src="p.png" alt="p">')
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    (tmp_path / "p.png").write_bytes(b"")
    assert links.broken(tmp_path) == []
    (tmp_path / "b.html").write_text('<a href="c.html"></a><img src="p.png">')
    assert [line.partition(": ")[2] for line in sorted(links.broken(tmp_path))] == [
        "b.html#there: no such place", "c.html: no such file", "p.png: no words for those who cannot see it"]
    (tmp_path / "b.html").write_text(r'<p id="there">\[\begin{split}a \\ b \tag{1}\end{split}\]')
    assert links.broken(tmp_path) == ["b.html: 1 numbered formulas in split, which MathJax refuses"]
    (tmp_path / "b.html").write_text(r'<p id="there">\[\begin{split}a \\ b\end{split}\] and \[c \tag{1}\]')
    assert links.broken(tmp_path) == []
    with pytest.raises(ValueError, match="build the site first"):
        links.broken(tmp_path / "empty")
