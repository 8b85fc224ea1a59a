"""Tables as text that other programs take: CSV, HTML, and LaTeX in the style of the booktabs package."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

__all__ = ["csv_text", "html_text", "latex_text"]

WIDE = 40
"""Characters from which on a text column breaks its lines."""

SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", **{character: "\\" + character for character in "_%&#${}"},
}
"""Characters that mean or print something else in LaTeX's default font, and what prints them."""


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return a table as CSV: a head, then a line a row; missing cells (None, NaN) are empty, floats keep every digit.

    Parameters
    ----------
    columns : sequence of str
        Their names, which are the head.
    rows : iterable of sequences
        A cell for each column; what is no number is written as str() writes it.

    Raises
    ------
    ValueError
        If a row has another number of cells than there are columns.

    Examples
    --------
    >>> csv_text(["name", "step"], [("turn", 138), ("end, if any", float("nan"))])
    'name,step\nturn,138\n"end, if any",\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([None if _missing(cell) else cell for cell in row] for row in _checked(columns, rows))
    return out.getvalue()


def html_text(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    r"""Return a table as HTML, for notebooks.

    Floats have six significant digits, missing cells (None, NaN) are empty. All text is escaped, and a text of several lines keeps them.

    Parameters
    ----------
    columns : sequence of str
        Their names, which are the head.
    rows : iterable of sequences
        A cell for each column; what is no float is written as str() writes it.
    caption : str
        Stands above the table; default "", nothing.

    Raises
    ------
    ValueError
        If a row has another number of cells than there are columns.

    Examples
    --------
    >>> html_text(["ends where", "s"], [("s < 0.1", 0.1 / 3)])
    '<table><thead><tr><th>ends where</th><th>s</th></tr></thead><tbody><tr><td>s &lt; 0.1</td><td>0.0333333</td></tr></tbody></table>'
    """
    def cell(value: Any) -> str:
        short = _is_number(value) and not isinstance(value, Integral)
        text = "" if _missing(value) else f"{float(value):.6g}" if short else html.escape(str(value))
        return f"<td><pre>{text}</pre></td>" if "\n" in text else f"<td>{text}</td>"

    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in _checked(columns, rows))
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def latex_text(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", label: str = "") -> str:
    r"""Return a table as LaTeX: a `tabular` with the rules of the booktabs package, which the document must load.

    Numbers have four significant digits and stand to the right (integers have all their digits), missing cells (None, NaN)
    are dashes, and columns of long texts break their lines. No character of a text, caption included, acts as a command;
    those beyond ASCII pass as they are.

    Parameters
    ----------
    columns : sequence of str
        Their names, which are the head.
    rows : iterable of sequences
        A cell for each column; what is no number is written as str() writes it.
    caption, label : str, optional
        With a caption the tabular stands in a `table`, and `label` is what ``\ref`` calls it.

    Raises
    ------
    ValueError
        If a row has another number of cells than there are columns; for a label without a caption, which would refer to
        the section around it, or with characters other than letters, digits and ``:._-+/``.

    Examples
    --------
    >>> print(latex_text(["claim", "deviation"], [("key_turn", 1.23456e-5), ("never", None)]))
    \begin{tabular}{lr}
    \toprule
    claim & deviation \\
    \midrule
    key\_turn & $1.235 \times 10^{-5}$ \\
    never & -- \\
    \bottomrule
    \end{tabular}
    """
    if label and not caption:
        raise ValueError(f"label={label!r} needs a caption: without one \\ref gives the number of the section")
    if not re.fullmatch(r"[A-Za-z0-9:._+/-]*", label):
        raise ValueError(f"label={label!r} may have letters, digits and :._-+/ only")
    body = _checked(columns, rows)
    lines = [
        rf"\begin{{tabular}}{{{_alignment(body, len(columns))}}}", r"\toprule", _line(columns), r"\midrule",
        *(_line(row) for row in body), r"\bottomrule", r"\end{tabular}",
    ]
    if caption:
        named = [rf"\label{{{label}}}"] if label else []
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_text(caption)}}}", *named, *lines, r"\end{table}"]
    return "\n".join(lines) + "\n"


def _checked(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    table = [list(row) for row in rows]
    for number, row in enumerate(table):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} cells, but there are {len(columns)} columns: {', '.join(columns)}")
    return table


def _missing(cell: Any) -> bool:
    return cell is None or (_is_number(cell) and math.isnan(cell))


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Real) and not isinstance(cell, bool)


def _alignment(rows: list[list[Any]], width: int) -> str:
    """Return the columns' kinds: numbers to the right, long texts in paragraphs that share 0.3 of the line."""
    columns = [[row[k] for row in rows] for k in range(width)]
    kinds = [
        "r" if any(_is_number(c) and not _missing(c) for c in column)
        else "p" if any(isinstance(c, str) and len(c) > WIDE for c in column) else "l"
        for column in columns
    ]
    share = rf"p{{{0.3 / max(kinds.count('p'), 1):.2f}\linewidth}}"
    return "".join(share if kind == "p" else kind for kind in kinds)


def _line(row: Sequence[Any]) -> str:
    return " & ".join(_cell(cell) for cell in row) + r" \\"


def _cell(cell: Any) -> str:
    if _missing(cell):
        return "--"
    return _number(cell) if _is_number(cell) else _text(str(cell))


def _number(x: Real) -> str:
    if isinstance(x, Integral):
        return f"${int(x)}$" if x < 0 else str(int(x))
    value = float(x)
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    digits, _, power = f"{value:.4g}".partition("e")
    if power:
        return rf"${digits} \times 10^{{{int(power)}}}$"
    return f"${digits}$" if value < 0 else digits


def _text(text: str) -> str:
    escaped = "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))
    escaped = re.sub("-(?=-)", "-{}", escaped)  # two hyphens would join to a dash, which means a missing cell here
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped  # after \\ these would be its arguments
