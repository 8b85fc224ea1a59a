"""The page of a run: whole, escaped, without network, and shown by a browser as it is meant to be."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import matplotlib.figure
import numpy as np
import pytest

from dynsim import SignGD, simulate
from dynsim.claims import Inconclusive, Report, Verdict
from dynsim.registry import SYSTEMS, system_module
from dynsim.report import Pictures, html_report, page, pictures
from dynsim.report.figures import inline_svg
from dynsim.summary import Summary, rule_text, summarise
from dynsim.systems import signal_noise

VOID = {"meta", "link", "br"}
"""Elements of HTML without an end tag that a page has."""

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


class Page(HTMLParser):
    """A page as a parser sees it: fails unless every element ends where it should."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"not ended: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice: {attrs}"
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def tiny():
    return signal_noise.experiment("tiny").run()


@pytest.fixture(scope="module")
def text(tiny):
    return html_report(tiny, title="preset tiny")


def words(text):
    return " ".join(str(text).split())


# -- content ---------------------------------------------------------------------------------------------------------


def test_everything_about_the_run_is_on_the_page(tiny, text):
    parsed, summary = Page(text), summarise(tiny)
    assert len(parsed.all("h1")) == 1 and "signal_noise, preset tiny" in parsed.text
    assert words(SYSTEMS["signal_noise"]) in parsed.text and "https://arxiv.org/abs/2410.04870" in {a["href"] for a in parsed.all("a")}
    for said in (
        tiny.provenance["note"], "reconstructed", "Training samples, >= 1.", rule_text(tiny.provenance["optimizer"]), "lumped",
        "finished: ran 40 steps", "0 gradient entries", "sign alignment", "just before and after the end of", str(summary.predictions),
        *tiny.versions.values(),
    ):
        assert words(said) in parsed.text, said
    for name, value in tiny.provenance["setting"].items():
        shown = str(value).lower() if isinstance(value, bool) else f"{value:g}"
        assert re.search(rf'<td class="id">{name}</td><td class="number">{re.escape(shown)}</td><td>\w', text), name
    about = json.loads(unescape(re.search(r"<pre>(\{.*?\})</pre>", text, re.DOTALL)[1]))
    assert about["provenance"]["setting"] == tiny.provenance["setting"]


def test_every_verdict_is_in_the_table_with_all_its_digits_for_sorting(tiny, text):
    rows = dict(re.findall(r'<tr id="claim-([^"]+)">(.*?)</tr>', text, re.DOTALL))
    verdicts = summarise(tiny).report.verdicts
    assert list(rows) == [v.id for sort in ("violated", "inconclusive", "not applicable", "holds") for v in verdicts if v.verdict == sort]
    for v in verdicts:
        shown = words(Page(f"<table><tr>{rows[v.id]}</tr></table>").text)
        for said in (v.verdict, v.id, v.statement, v.where, v.note, v.unit, v.source, *v.unmet):
            assert words(said) in shown, (v.id, said)
        for name in ("value", "predicted", "deviation", "tolerance", "margin"):
            number = getattr(v, name)
            assert number != number or f'data-number="{number!r}"' in rows[v.id]


def test_it_is_the_same_each_time_and_loads_nothing(tiny, text):
    assert html_report(tiny, "none") == html_report(tiny, "none") and pictures(tiny, ["loss"]).svg["loss"] in text
    parsed = Page(text)
    for tag, attrs in parsed.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            value = attrs.get(name, "")
            plain_link = tag == "a" and value.startswith("https://arxiv.org/abs/")
            assert not value or plain_link or value.startswith(("#", "data:")), (tag, value[:80])
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"https://arxiv.org/abs/2410.04870"}
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in next(m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy")


def test_figures_have_names_and_texts_and_no_id_is_there_twice(text):
    parsed = Page(text)
    assert_ids_are_unique(parsed, text)
    shown = [svg["aria-label"] for svg in parsed.all("svg")]
    assert len(shown) == len(signal_noise.MAIN_FIGURES)
    assert shown[1] == "Training loss between its bounds, and loss and error on fresh samples."
    for svg in parsed.all("svg"):
        assert svg["role"] == "img" and svg["viewbox"] and svg["aria-describedby"] in parsed.ids
    assert "Attention leaves the signal token" in parsed.text and "metadata" not in {tag for tag, _ in parsed.elements}


def assert_ids_are_unique(parsed, text):
    twice = sorted({name for name in parsed.ids if parsed.ids.count(name) > 1})
    assert twice == []
    used = {found for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text) for found in pair if found}
    assert used and used <= set(parsed.ids)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_figure_has_a_sentence(system):
    for name, draw in system_module(system).FIGURES.items():
        assert (draw.__doc__ or "").strip(), f"{system}.{name} has no docstring: it is what a reader who does not see the figure is told"


def test_texts_are_escaped(tiny):
    evil = '<script>alert("x")</script> & <b a=\'1\'>'
    about = {**tiny.provenance, "note": evil, "engine": evil, "optimizer": {**tiny.provenance["optimizer"], evil: 1.0}, "seed": evil}
    run = replace(tiny, provenance=about, message=evil, versions={evil: evil})
    verdict = Verdict(evil, evil, evil, "violated", 1.0, 2.0, 3.0, 1.0, -2.0, evil, evil, (evil,), evil)
    picture = inline_svg(matplotlib.figure.Figure(figsize=(1, 1)), "one", evil)
    text = page(Summary(run, evil, None, Report((verdict,)), (evil,)), Pictures({"one": picture}, {"one": evil}, (evil,), (evil,)), evil)
    parsed = Page(text)
    assert "<script>alert" not in text and "<b a=" not in text and text.count(escape(evil)) > 15
    assert len(parsed.all("script")) == 1 and parsed.text.count(words(evil)) > 12
    with pytest.raises(ValueError, match=r"name='a\"b' is to be part of an id"):
        inline_svg(matplotlib.figure.Figure(), 'a"b', "")


# -- what may be missing ---------------------------------------------------------------------------------------------


def test_a_figure_without_data_and_one_that_fails_are_told(tiny, monkeypatch):
    def lacking(run):
        raise Inconclusive("train_loss not recorded")

    def broken(run):
        raise ZeroDivisionError("a < b")

    def drawn(run):
        """One <point>."""
        figure = matplotlib.figure.Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1], label="x")
        return figure

    monkeypatch.setattr(signal_noise, "FIGURES", {"lacking": lacking, "broken": broken, "drawn": drawn}, raising=False)
    found = pictures(tiny, ("lacking", "broken", "drawn"))
    assert found.skipped == ("figure lacking not drawn: train_loss not recorded",)
    assert found.failed == ("figure broken failed: ZeroDivisionError: a < b",)
    assert list(found.svg) == ["drawn"] and 'aria-label="One &lt;point&gt;."' in found.svg["drawn"]
    shown = Page(page(summarise(tiny), found)).text
    assert "Figure lacking not drawn: train_loss not recorded." in shown and "a < b" in shown


def test_arrays_without_a_setting_and_a_run_that_came_to_nothing(tiny):
    system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    about = {key: value for key, value in system.provenance.items() if key != "setting"} | {"setting": None}
    run = simulate(replace(system, provenance=about), SignGD(0.01), steps=2)
    shown = Page(html_report(run, "none")).text
    assert "given as arrays" in shown and "not said: the run was not made from an experiment" in shown and "Figures" not in shown
    lost = replace(tiny, at=tiny.at[:0], arrays={name: a[:0] for name, a in tiny.arrays.items()}, status="interrupted", message="nothing")
    assert "interrupted: nothing" in Page(html_report(lost, "none")).text


def test_wrong_choices_are_refused(tiny):
    with pytest.raises(ValueError, match="choice of figures 'most'"):
        html_report(tiny, "most")
    with pytest.raises(ValueError, match="replicates"):
        html_report(replace(tiny, final=np.stack([tiny.final, tiny.final])), "none")


# -- in a browser ----------------------------------------------------------------------------------------------------

PROBE = """
<!DOCTYPE html><html><body><iframe id="page" style="width:{width}px;height:900px;border:0" srcdoc="{text}"></iframe><pre id="found"></pre>
<script>
document.getElementById("page").addEventListener("load", function () {{
  var page = this.contentDocument, found = {{}}, table = page.getElementById("verdicts");
  var box = function (e) {{ var r = e.getBoundingClientRect(); return [r.width, r.height]; }};
  found.figures = Array.from(page.querySelectorAll("figure svg")).map(function (svg) {{
    var shapes = Array.from(svg.querySelectorAll("path, use")).filter(function (e) {{ return box(e)[0] > 0; }});
    return {{size: box(svg), shapes: shapes.length}};
  }});
  found.across = page.documentElement.scrollWidth;
  found.buttons = table.querySelectorAll("th button").length;
  var head = table.querySelectorAll("th")[{column}], button = head.querySelector("button");
  button.focus();
  found.focused = page.activeElement === button;
  var order = function () {{ return Array.from(table.tBodies[0].rows).map(function (row) {{ return row.id; }}); }};
  button.click();
  found.up = [head.getAttribute("aria-sort"), order()];
  button.click();
  found.down = [head.getAttribute("aria-sort"), order()];
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script></body></html>
"""


def browse(tmp_path, text):
    """Return the document as a browser left it, and what it wrote to its console."""
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("system, preset", [("signal_noise", "tiny"), ("cooccurrence", "tiny")])
def test_a_browser_shows_every_figure_and_sorts(tmp_path, system, preset):
    run = system_module(system).experiment(preset).run()
    text = html_report(run, "all")
    assert_ids_are_unique(Page(text), text)
    dom, complaints = browse(tmp_path, text)
    assert complaints == [] and dom.count("<button") == 9
    foreign = '<script>x()</script><img src="https://example.invalid/x.png"></body>'  # the control: neither run nor loaded, and told
    _, complaints = browse(tmp_path, text.replace("</body>", foreign))
    assert len(complaints) == 2 and all("Content Security Policy" in line for line in complaints)
    margins = {f"claim-{v.id}": v.margin for v in summarise(run).report.verdicts}
    known = sorted(m for m in margins.values() if m == m)
    for width in (390, 1300):
        dom, complaints = browse(tmp_path, PROBE.format(width=width, column=6, text=escape(text)))
        assert complaints == []
        found = json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)[1]))
        assert found["across"] <= width, "the page must not scroll sideways as a whole"
        assert len(found["figures"]) == text.count("<figure") > 0 and found["focused"] and found["buttons"] == 9
        for figure in found["figures"]:
            assert min(figure["size"]) > 200 and figure["shapes"] > 20
        for (state, ids), name, order in zip((found["up"], found["down"]), ("ascending", "descending"), (known, known[::-1]), strict=True):
            assert state == name and [margins[i] for i in ids[:len(known)]] == order and set(ids) == set(margins)
