"""Links equations with the functions that implement them, both ways, and numbers in the text with equations.

What implements what is read from docstrings (`equations.py`); nothing is written down a second time:

- below every numbered equation of a derivation page stands what implements it;
- "equation (7)" in a docstring, and "(7)" on a derivation page or among exercises, lead to the equation;
- links to parts of the repository that are no pages of the site lead to the pages made of them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from equations import CITED, TAG, equations, implemented, page_of
from equations import pages as derivations
from reference import home
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

NUMBER = re.compile(r"\((T?\d+)\)")
MADE_OF = {r"(?:\.\./)+README\.md": "/index.md", r"(?:\.\./)+examples": "/gallery/index.rst", r"(?:\.\./)+dynsim": "/api/index.rst"}
"""Where the site has what the repository has as a file or folder."""


def anchor(number: str) -> str:
    """Return the name of an equation's place on its page."""
    return f"equation-{number.lower()}"


def derivation(docname: str) -> str | None:
    """Return the name of a derivation page; None for other pages."""
    folder, _, name = docname.rpartition("/")
    return name if folder == "derivations" else None


@cache
def _numbers() -> dict[str, set[str]]:
    return {page: set(equations(page)) for page in derivations()}


def _implementation(page: str, number_list: list[str]) -> nodes.paragraph | None:
    """Return the line that says what implements some equations."""
    places = {full: place.name for number in number_list for place in implemented().get((page, number), ()) if (full := home(place))}
    if not places:
        return None
    line = nodes.paragraph("", "Implemented by ", classes=["implemented"])
    for count, (full, name) in enumerate(sorted(places.items())):
        reference = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=full, refexplicit=True, refwarn=True)
        reference += nodes.literal("", name, classes=["xref", "py"])
        line += [nodes.Text(", " if count else ""), reference]
    return line


def place_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Give every tagged formula a place to link to, and say below it what implements it."""
    page = derivation(app.env.docname)
    for block in list(doctree.findall(nodes.math_block)) if page else ():
        found = TAG.findall(block.astext())
        if found and r"\\" in block.astext():  # Sphinx would put lines into "split", where MathJax allows no number
            block["no-wrap"] = block["nowrap"] = True
            block.children = [nodes.Text(rf"\[{block.astext()}\]")]
        at = block.parent.index(block)
        line = _implementation(str(page), found)
        if line is not None:
            block.parent.insert(at + 1, line)
        for number in found:
            target = nodes.target("", "", ids=[anchor(number)])
            doctree.note_explicit_target(target)
            block.parent.insert(at, target)


class LinkNumbers(SphinxPostTransform):
    """Turn numbers of equations into links."""

    default_priority = 5  # before references are resolved

    def run(self, **kwargs: Any) -> None:
        """Go through all text that is neither code, formula, link nor title."""
        docname = self.env.docname
        reads_all = derivation(docname) is not None or docname.startswith("exercises")
        closed = nodes.literal | nodes.literal_block | nodes.math | nodes.math_block | nodes.reference | nodes.title
        for text in list(self.document.findall(nodes.Text)):
            if isinstance(text.parent, closed):
                continue
            around = derivation(docname) or self._page_around(text, docname)
            found = self._all(text, around) if reads_all else self._said(text, around)
            pieces = list(self._pieces(text, docname, found))
            if len(pieces) > 1:
                text.parent.replace(text, pieces)

    def _all(self, text: str, page: str | None) -> Iterator[tuple[re.Match[str], str]]:
        """Yield every number in parentheses that is one of an equation, with its page."""
        for found in NUMBER.finditer(text):
            if page and found[1] in _numbers()[page]:
                yield found, page

    def _said(self, text: str, page: str | None) -> Iterator[tuple[re.Match[str], str]]:
        """Yield numbers that follow the word "equation"."""
        for said in CITED.finditer(text):
            for found in NUMBER.finditer(text, said.start(1), said.end(1)):
                of = said[2] or page
                if of and found[1] in _numbers().get(of, ()):
                    yield found, of

    def _pieces(self, text: str, docname: str, found: Iterator[tuple[re.Match[str], str]]) -> Iterator[nodes.Node]:
        at, here = 0, self.app.builder.get_relative_uri
        for number, page in found:
            uri = here(docname, f"derivations/{page}") if docname != f"derivations/{page}" else ""
            yield nodes.Text(text[at : number.start()])
            yield nodes.reference("", number[0], internal=True, refuri=f"{uri}#{anchor(number[1])}", classes=["equation"])
            at = number.end()
        yield nodes.Text(text[at:])

    def _page_around(self, text: nodes.Text, docname: str) -> str | None:
        """Return the derivation page a text is about: that of the code it documents, or the one its section of exercises names."""
        node: Any = text
        while node is not None:
            if isinstance(node, addnodes.desc):
                signature = next(iter(node.findall(addnodes.desc_signature)))
                return _page_of_code(signature.get("module"), signature.get("fullname", ""))
            if isinstance(node, nodes.section) and docname.startswith("exercises"):
                own = [child for child in node.children if isinstance(child, nodes.paragraph)]
                named = [page for text in own for page in re.findall(r"derivations/(\w+)", str(text))]
                if named:
                    return named[0]
            node = node.parent
        return None


def _page_of_code(module: str | None, name: str) -> str | None:
    """Return the derivation page that the docstrings of some code refer to."""
    thing = getattr(importlib.import_module(module), name.partition(".")[0], None) if module else None
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return None
    return page_of(Path(inspect.getfile(thing)))


def to_the_site(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead links to files of the repository to the pages made of them."""
    for path, page in MADE_OF.items():
        source[0] = re.sub(rf"\]\({path}\)", f"]({page})", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all of it."""
    app.connect("source-read", to_the_site)
    app.connect("doctree-read", place_equations)
    app.add_post_transform(LinkNumbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
