"""Figures of a run as SVG that can stand inside an HTML page."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ..claims import AnotherKind, Inconclusive
from ..progress import Progress
from ..registry import system_module
from ..trajectory import Trajectory

__all__ = ["FIGURES", "Pictures", "draw_each", "figure_names", "inline_svg", "pictures"]


FIGURES = ("none", "main", "all")
"""How many figures to draw."""


def figure_names(system: str, which: str = "main") -> tuple[str, ...]:
    """Return the names of a system's figures.

    Parameters
    ----------
    system : str
        Name of the system.
    which : {"none", "main", "all"}
        Which of them; for "none" Matplotlib is not imported. Default "main".

    Returns
    -------
    tuple of str
        Keys of the system's `FIGURES`; empty where it has none.
    """
    if which == "none":
        return ()
    module = system_module(system)
    figures = getattr(module, "FIGURES", None) or {}
    return tuple(figures) if which == "all" else tuple(getattr(module, "MAIN_FIGURES", None) or ())


@dataclass(frozen=True)
class Pictures:
    """Figures of one run.

    Parameters
    ----------
    svg : mapping of str to str
        Name to markup.
    captions : mapping of str to str
        Name to the sentence that says what the figure shows.
    skipped, failed : tuple of str
        One sentence a figure that the run has no data for, and a figure that went wrong.
    """

    svg: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def draw_each(
    run: Trajectory, names: Iterable[str], keep: Callable[[str, Any], None], progress: Progress | None = None
) -> tuple[list[str], list[str]]:
    """Draw figures of a run one by one; one that fails takes none of the others with it.

    Parameters
    ----------
    run : Trajectory
        A single run of a system in the registry.
    names : iterable of str
        Names in the `FIGURES` of the run's system.
    keep : callable
        Called with the name and the drawn figure, which is freed afterwards unless it is kept.
    progress : callable, optional
        Called with the number of figures drawn and of all.

    Returns
    -------
    skipped : list of str
        One sentence a figure that the run has no data for.
    failed : list of str
        One sentence a figure that went wrong.
    """
    names = tuple(names)
    skipped: list[str] = []
    failed: list[str] = []
    others: list[str] = []
    if not names:
        return skipped, failed
    figures: Mapping[str, Callable[[Trajectory], Any]] = getattr(system_module(run.provenance["system"]), "FIGURES", {})
    for done, name in enumerate(names):
        if progress is not None:
            progress(done, len(names))
        try:
            keep(name, figures[name](run))
        except AnotherKind:
            others.append(name)
        except Inconclusive as reason:
            skipped.append(f"figure {name} not drawn: {reason}")
        except Exception as error:  # whatever goes wrong in a picture, the numbers are there and the next one is drawn
            failed.append(f"figure {name} failed: {type(error).__name__}: {error}")
    if progress is not None:
        progress(len(names), len(names))
    if others:
        skipped.append(f"figures about other kinds of runs, not drawn: {', '.join(others)}")
    return skipped, failed


def pictures(run: Trajectory, names: Iterable[str], progress: Progress | None = None) -> Pictures:
    """Draw figures of a run as SVG for one page.

    Parameters
    ----------
    run : Trajectory
        A single run of a system in the registry.
    names : iterable of str
        Names in the `FIGURES` of the run's system; none import no Matplotlib.
    progress : callable, optional
        Called with the number of figures drawn and of all.

    Returns
    -------
    Pictures
        What could not be drawn is among `skipped` or `failed`, with the reason: nothing is raised.
    """
    svg: dict[str, str] = {}
    captions: dict[str, str] = {}

    def keep(name: str, figure: Any) -> None:
        caption = _caption(system_module(run.provenance["system"]).FIGURES[name]) or name
        svg[name] = inline_svg(figure, name, caption)
        captions[name] = caption

    skipped, failed = draw_each(run, names, keep, progress)
    return Pictures(svg, captions, tuple(skipped), tuple(failed))


def inline_svg(figure: Any, name: str, label: str) -> str:
    """Return a figure as an SVG element for an HTML page.

    Letters are drawn as outlines, so that the page looks the same everywhere; for readers who do not see them, the
    element is an image with `label` as its name and headline and panel titles as its description.

    Parameters
    ----------
    figure : Figure
    name : str
        Put before every id inside: Matplotlib gives the same ids to all its figures, and the gid of several artists to
        each of them, but a page may have an id once.
    label : str
        What the figure shows, one sentence.

    Raises
    ------
    ValueError
        If the name would not do as an id.
    """
    from ..plotting import save  # with it Matplotlib, which a page without figures does not need

    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(f"name={name!r} is to be part of an id: letters, digits and _.- only")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        save(figure, path, kind="svg")
        text = path.read_text(encoding="utf-8")
    # declaration and metadata name other servers, comments hold the text of labels, and the style would be that of the whole page
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg"):], flags=re.DOTALL)
    head, body = re.fullmatch(r"<svg\b([^>]*)>(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # every SVG has them
    body = re.sub(r"\bxlink:href=", "href=", body)
    seen: Counter[str] = Counter()

    def own_id(match: re.Match[str]) -> str:
        seen[match[1]] += 1
        return f'id="fig-{name}-{match[1]}{f"-{seen[match[1]]}" if seen[match[1]] > 1 else ""}"'

    body = re.sub(r'\bid="([^"]*)"', own_id, re.sub(r'(\bhref="#|url\(#)', rf"\g<1>fig-{name}-", body))
    size = " ".join(re.findall(r'\b(?:width|height|viewBox)="[^"]*"', head))
    about = f'<desc id="fig-{name}--about">{escape(_texts(figure))}</desc>'
    return f'<svg {size} role="img" aria-label="{escape(label)}" aria-describedby="fig-{name}--about">{about}{body.strip()}'


def _caption(figure: Callable[..., Any]) -> str:
    """Return the first paragraph of the docstring of a function that draws a figure."""
    doc = inspect.getdoc(figure) if inspect.isroutine(figure) else None  # any other callable would tell about its class
    return " ".join((doc or "").partition("\n\n")[0].split())


def _texts(figure: Any) -> str:
    """Return headlines and panel titles of a figure, formulas without their markup."""
    parts = [text.get_text() for part in (figure, *figure.subfigs) for text in part.texts]
    parts += [axes.get_title(loc=where) for axes in figure.axes for where in ("left", "center", "right")]
    plain = re.sub(r"\\(?:mathrm|mathbf|text)\{([^}]*)\}", r"\1", "; ".join(" ".join(part.split()) for part in parts if part))
    return plain.replace("\\,", " ").replace("$", "")
