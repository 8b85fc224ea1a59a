"""The page: what was run, whose numbers these are, how it ended, verdicts, figures, provenance."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from .._version import __version__
from ..claims import VERDICTS, Report, Verdict
from ..naming import unknown_name
from ..plain import plain
from ..registry import system_module, system_title
from ..summary import Summary, literal_text, rule_text, stage_rows, summarise
from ..trajectory import Trajectory
from .figures import FIGURES, Pictures, figure_names, pictures
from .style import SCRIPT, stylesheet

__all__ = ["html_report", "page"]

ORIGINS = {
    "quoted": "quoted: the authors' own numbers",
    "derived": "derived: numbers chosen by dynsim's authors or the user, not the paper's",
    "reconstructed": "reconstructed: a reconstruction of what the paper's authors did not publish",
}
"""What the origin of an experiment means."""

VERDICT_MEANINGS = {
    "violated": "the measured number is out of tolerance",
    "inconclusive": "a quantity was not recorded, or the event lies past the horizon",
    "not applicable": "an assumption of the claim is unmet; the measured number is shown all the same, if there is one",
    "holds": "the measured number is within tolerance",
}
WHOSE_MEANINGS = {
    "paper": "a statement of the paper; how it is checked is dynsim's reading",
    "derived here": "derived in dynsim's documentation",
    "ours": "stated and checked by dynsim or the user, but not derived",
}
COLUMNS = ("verdict", "claim", "measured", "predicted", "deviation", "tolerance", "margin", "where", "whose")
"""Of the table of verdicts."""


def html_report(run: Trajectory, figures: str = "main", *, title: str = "") -> str:
    """Return everything about a run as one HTML page: no other file, no network, the same run gives the same text.

    The page has the system and its paper, the setting with its origin, how the run ended, stages, verdicts in a table that
    can be sorted, figures as SVG with texts for those who do not see them, and the provenance. It forbids itself to load anything.

    Parameters
    ----------
    run : Trajectory
        A single run of a system in the registry, simulated or loaded.
    figures : {"none", "main", "all"}
        Figures to draw; one that the run has no data for is told in a sentence. Default "main".
    title : str
        What to call the run, after the name of its system; default "", nothing.

    Returns
    -------
    str
        Write it as UTF-8.

    Raises
    ------
    ValueError
        If the run has replicates or does not say which system it is of, or for an unknown choice of figures.

    Examples
    --------
    >>> from dynsim import html_report
    >>> from dynsim.systems import signal_noise
    >>> text = html_report(signal_noise.experiment("tiny").run(), figures="none", title="preset tiny")
    >>> text[:15], "<h1>signal_noise, preset tiny</h1>" in text
    ('<!DOCTYPE html>', True)
    """
    if figures not in FIGURES:
        raise ValueError(unknown_name("choice of figures", str(figures), FIGURES))
    summary = summarise(run)
    return page(summary, pictures(run, figure_names(run.provenance["system"], figures)), title)


def page(summary: Summary, drawn: Pictures, title: str = "") -> str:
    """Return the page of a run whose verdicts and figures are there already; see `html_report`.

    Parameters
    ----------
    summary : Summary
        Of `dynsim.summary.summarise`.
    drawn : Pictures
        Of `pictures`.
    title : str
        What to call the run, after the name of its system; default "", nothing.
    """
    from ..plotting import VERDICT_COLOURS

    system = summary.run.provenance["system"]
    name = f"{system}, {title}" if title else str(system)
    # nothing is loaded and no other script runs, even if a text of the run got past the escaping
    allowed = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_digest(SCRIPT)}'; base-uri 'none'"
    parts = (
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{allowed}; form-action \'none\'">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="dynsim {escape(__version__)}">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(name)}</title>",
        f"<style>{stylesheet(VERDICT_COLOURS)}</style>",
        "</head>",
        "<body>",
        "<header>",
        f"<h1>{escape(name)}</h1>",
        f"<p>{_linked(system_title(system))}</p>",
        _counts(summary.report),
        "</header>",
        "<main>",
        _setting(summary),
        _run(summary),
        _stages(summary.stages),
        _verdicts(summary.report),
        _figures(drawn),
        _provenance(summary),
        "</main>",
        f"<footer>Written by dynsim {escape(__version__)}; simulated with "
        f"{escape(', '.join(f'{key} {value}' for key, value in summary.run.versions.items()) or 'unknown versions')}.</footer>",
        f"<script>{SCRIPT}</script>",
        "</body>",
        "</html>",
        "",
    )
    return "\n".join(part for part in parts if part) + "\n"


# -- sections ------------------------------------------------------------------------------------------------------


def _counts(report: Report) -> str:
    items = (f"<li>{count} {_badge(sort)}</li>" for sort, count in report.counts.items() if count)
    return f'<ul class="counts">{"".join(items)}</ul>' if report.verdicts else "<p>No claims were checked.</p>"


def _setting(summary: Summary) -> str:
    about = summary.run.provenance
    origin, setting = about.get("origin"), about.get("setting")
    lines = [
        f"<p>Whose numbers: {escape(ORIGINS.get(str(origin), 'not said: the run was not made from an experiment'))}.</p>",
        f"<p>{_linked(str(about['note']))}</p>" if about.get("note") else "",
    ]
    if setting is None:
        lines.append("<p>The data were given as arrays, not drawn from a setting.</p>")
    else:
        known = _meanings(system_module(about["system"]), setting)
        rows = ((f'<td class="id">{escape(key)}</td>', f'<td class="number">{escape(literal_text(value))}</td>',
                 f"<td>{escape(known.get(key, ''))}</td>") for key, value in plain(setting).items())
        lines.append(_table(("field", "value", "meaning"), rows))
    return _section("Setting", *lines)


def _run(summary: Summary) -> str:
    run, about = summary.run, summary.run.provenance
    rows = [("ended", f"{run.status}: {run.message}")]
    if about.get("optimizer"):
        rows.append(("rule", rule_text(about["optimizer"])))
    rows += [(name, str(about[name])) for name in ("steps", "until", "seed", "engine") if about.get(name) is not None]
    if run.clock == "step":  # a flow takes no signs, and floats by the solver's tolerances
        first = int(np.max(run.underflow_at, initial=-1))
        rows.append(("ties", "not recorded" if summary.ties is None else f"{int(summary.ties)} gradient entries too close to 0 for a sign"))
        rows.append(("underflow", "no gradient entry" if first < 0 else f"a gradient entry at step {first}"))
    cells = ((f'<th scope="row">{escape(name)}</th>', f"<td>{escape(text)}</td>") for name, text in rows)
    lines = [_table((), cells), *(f"<p>{_linked(remark)}</p>" for remark in summary.remarks)]
    if summary.predictions is not None:
        lines.append(_folded("Closed-form numbers of this setting", str(summary.predictions)))
    return _section("Run", *lines)


def _stages(table: Any) -> str:
    """Show a stage table without its empty columns; numbers before and after each transition stand in a table of their own."""
    if table is None:
        return ""
    columns = [list(row) for row in stage_rows(table)[:1]]
    rows = [dict(zip(columns[0], cells, strict=True)) for cells in table.rows()]
    shown = {column: None for row in rows for column, cell in row.items() if cell not in ("", None)}
    tracked = [name.removesuffix(" before") for name in shown if name.endswith(" before")]
    around = {f"{name} {side}" for name in tracked for side in ("before", "after")}
    names = [column for column in shown if column not in around]
    lines = [_table([name.replace("_", " ") for name in names], ([_cell(row[name]) for name in names] for row in rows))]
    ended = [row for row in rows if tracked and row[f"{tracked[0]} before"] != ""]
    if ended:
        ends = (" ".join(str(row[key]) for key in ("number", "name") if row.get(key)) for row in ended)
        heads = ("just before and after the end of", *ends)
        lines.append(_table(heads, ([
            f'<th scope="row">{escape(name)}</th>',
            *(f'<td class="number together">{_number(row[f"{name} before"])} → {_number(row[f"{name} after"])}</td>' for row in ended),
        ] for name in tracked)))
    return _section("Stages", *lines)


def _verdicts(report: Report) -> str:
    if not report.verdicts:
        return ""
    ordered = (v for sort in VERDICTS for v in report.verdicts if v.verdict == sort)  # what needs attention comes first
    body = "\n".join(_verdict_row(v) for v in ordered)
    heads = "".join(f'<th scope="col"{_class("number" if 2 <= k <= 6 else "")}>{name}</th>' for k, name in enumerate(COLUMNS))
    meanings = "".join(f"<li>{_badge(sort)}: {text}</li>" for sort, text in VERDICT_MEANINGS.items())
    whose = "; ".join(f"<b>{name}</b>: {text}" for name, text in WHOSE_MEANINGS.items())
    return _section(
        "Verdicts",
        f"<ul>{meanings}</ul>",
        f"<p>A claim holds if its deviation is at most its tolerance; margin = (tolerance − deviation) / tolerance. Whose: {whose}.</p>",
        '<div class="scroll" tabindex="0" role="group" aria-label="table of verdicts">',
        f'<table id="verdicts"><caption>{len(report.verdicts)} claims; what needs attention comes first.</caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>",
    )


def _verdict_row(v: Verdict) -> str:
    unit = f' <span class="quiet">{escape(v.unit)}</span>' if v.unit else ""
    where = (v.where, v.note, f"unmet: {'; '.join(v.unmet)}" if v.unmet else "")
    cells = [
        f'<td data-label="verdict" data-number="{VERDICTS.index(v.verdict)}">{_badge(v.verdict)}</td>',
        f'<td data-label="claim"><div><span class="id">{escape(v.id)}</span><br>{_linked(v.statement)}</div></td>',
        *(_measured(name, getattr(v, "value" if name == "measured" else name), unit if name in ("measured", "predicted") else "")
          for name in COLUMNS[2:7]),
        f'<td data-label="where">{_lines(text for text in where if text)}</td>',
        f'<td data-label="whose" class="whose">{_linked(v.source)}</td>',
    ]
    return f'<tr id="claim-{escape(v.id)}">{"".join(cells)}</tr>'


def _measured(name: str, value: float, unit: str) -> str:
    """Return a cell of a number, empty where there is none; the script sorts by all its digits."""
    if math.isnan(value):
        return f'<td data-label="{name}" class="number"></td>'
    exact = repr(float(value)).replace("inf", "Infinity")  # as the script reads it
    return f'<td data-label="{name}" class="number" data-number="{exact}"><span>{_number(value)}{unit}</span></td>'


def _figures(drawn: Pictures) -> str:
    shown = (
        f'<figure id="figure-{escape(name)}"><figcaption><b>{escape(name)}</b>: {_linked(drawn.captions[name])}</figcaption>\n'
        f'<div class="scroll" tabindex="0" role="group" aria-label="figure {escape(name)}">{svg}</div></figure>'
        for name, svg in drawn.svg.items()
    )
    told = [f"<p>{escape(sentence[:1].upper() + sentence[1:])}.</p>" for sentence in (*drawn.skipped, *drawn.failed)]
    return _section("Figures", *shown, *told) if drawn.svg or told else ""


def _provenance(summary: Summary) -> str:
    run = summary.run
    about = {"provenance": run.provenance, "versions": dict(run.versions), "status": run.status, "message": run.message,
             "last_step": run.last_step, "underflow_at": run.underflow_at}
    return _section("Provenance", _folded("As JSON", json.dumps(plain(about), indent=1, ensure_ascii=False)))


# -- parts ---------------------------------------------------------------------------------------------------------


def _section(title: str, *parts: str) -> str:
    name = title.lower()
    inside = "\n".join(part for part in parts if part)
    return f'<section aria-labelledby="section-{name}">\n<h2 id="section-{name}">{title}</h2>\n{inside}\n</section>'


def _table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are markup already, in a box that scrolls where the window is narrow."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    wide = _class("wide" if len(heads) > 5 else "")
    return f'<div class="scroll"><table{wide}>{f"<thead><tr>{head}</tr></thead>" if head else ""}\n<tbody>\n{body}\n</tbody></table></div>'


def _cell(value: Any) -> str:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return f'<td class="number">{_number(value)}</td>' if number else f"<td>{escape('' if value is None else str(value))}</td>"


def _number(value: float) -> str:
    """Return a number with five digits, and a dash where there is none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return str(value) if isinstance(value, (int, np.integer)) else f"{value:.5g}".replace("-", "−")


def _badge(verdict: str) -> str:
    return f'<span class="verdict {verdict.replace(" ", "-")}">{verdict}</span>'


def _lines(texts: Iterable[str]) -> str:
    """Return texts as lines of a cell; no text, no element, so that an empty cell is empty."""
    inside = "<br>".join(escape(text) for text in texts)
    return f"<span>{inside}</span>" if inside else ""


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n<pre>{escape(text)}</pre></details>"


def _linked(text: str) -> str:
    """Return a text as markup in which papers on arXiv are links."""
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', escape(text))


def _digest(script: str) -> str:
    return b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _meanings(module: Any, setting: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields of a setting mean, from the docstring of its class."""
    doc = inspect.getdoc(type(module.Setting.from_dict(setting))) if hasattr(module, "Setting") else None
    found: dict[str, str] = {}
    for names, kind, text in re.findall(r"^(\w+(?:, \w+)*) : (.*)((?:\n {4}.*)*)", doc or "", re.MULTILINE):
        words = re.sub(r"(?::math:)?`([^`]*)`", r"\1", " ".join((text or kind).split()))
        found |= dict.fromkeys(names.split(", "), words)
    return found
