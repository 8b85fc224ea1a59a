"""A step number by number: what is shown is what the system and the rule do, with equations that exist."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dynsim import Adam, ClipNorm, GradientDescent, GradientFlow, SignGD, explain, iterate, simulate
from dynsim.explain import Entry, Explanation, Row, glossary_of
from dynsim.gradcheck import gradcheck
from dynsim.registry import SYSTEMS
from dynsim.systems import attention_kernels, cooccurrence, gradient_heterogeneity, signal_noise

PAGES = Path(__file__).parents[1] / "docs/derivations"
TINY = signal_noise.preset("tiny")
BAGS = cooccurrence.preset("tiny")
TOKENS, LABELS = signal_noise.draw_tokens(signal_noise.Setting(n=3, d=12, s=3), length=3, seed=0)
SENTENCES = attention_kernels.Classification(samples=8, test=8, batch=4, D=4, d=2, hidden=3)
WORDS = gradient_heterogeneity.Transformer(layers=2, d=4, width=6, heads=2)

SMALL = {
    "two tokens": lambda: signal_noise.dense(TINY),
    "two tokens lumped": lambda: signal_noise.lumped(TINY, SignGD),
    "two tokens overlapping": lambda: signal_noise.restricted(signal_noise.Setting(n=3, d=12, s=4, m_k=4, m_v=2)),
    "general tokens": lambda: signal_noise.from_tokens(TOKENS, LABELS, **signal_noise.initial_weights(12, 4, 2, 0.1, 0)),
    "general tokens lumped": lambda: SMALL["general tokens"]().lump(SignGD),
    "bags": lambda: cooccurrence.dense(BAGS),
    "bags collapsed": lambda: cooccurrence.lumped(BAGS, GradientFlow()),
    "inner products": lambda: cooccurrence.gram(BAGS),
    "inner products by neuron": lambda: cooccurrence.neurons(BAGS),
    "universal": lambda: cooccurrence.UniversalFlow(60),
    "attention": lambda: attention_kernels.dense(attention_kernels.Regression(trained="QKVO", N=2, n=2, D=3, d=2, H=2)),
    "queries": lambda: attention_kernels.queries(attention_kernels.Example(task="E5", starts=3)),
    "classifier": lambda: attention_kernels.dense(SENTENCES),
    "quadratic": lambda: gradient_heterogeneity.dense(gradient_heterogeneity.Quadratic(noise=0.1)),
    "logistic": lambda: gradient_heterogeneity.dense(gradient_heterogeneity.Logistic()),
    "transformer": lambda: gradient_heterogeneity.dense(WORDS),
    "transformer pre": lambda: gradient_heterogeneity.dense(WORDS.replace(norm="pre")),
    "head": lambda: gradient_heterogeneity.dense(gradient_heterogeneity.Head(C=3)),
}
"""A small system of every class that has a glossary, and of its forms."""


@pytest.fixture(scope="module", params=SMALL, ids=lambda name: name.replace(" ", "_"))
def system(request):
    return SMALL[request.param]()


@pytest.fixture(scope="module")
def tiny():
    return signal_noise.lumped(TINY, SignGD, seed=0)


def rule_of(system):
    return SignGD(0.01) if system.exact_for == {"sign"} else GradientDescent(0.01)


def entries_of(glossary):
    for known in (glossary.cache, glossary.blocks):
        for entry in known.values():
            yield from entry if isinstance(entry, tuple) else (entry,)


def test_every_glossary_is_tried():
    folders = [name for name in SYSTEMS if find_spec(f"dynsim.systems.{name}.explained")]
    assert set(SYSTEMS) - set(folders) == {"noisy_mnist"}  # whose model is one of signal_noise
    models = [set(import_module(f"dynsim.systems.{name}.explained").EXPLAINED) for name in folders]
    assert set.union(*models) == {type(make()) for make in SMALL.values()}


def test_every_equation_is_on_its_page(system):
    glossary = glossary_of(system)
    tags = set(re.findall(r"\\tag\{(\w+)\}", (PAGES / f"{glossary.page}.md").read_text()))
    named = {entry.equation for entry in entries_of(glossary)} - {""}
    assert named <= tags, f"{glossary.page}.md has no equation {sorted(named - tags)}"


def test_every_number_has_a_name(system):
    """What a model adds to its cache is to be named in its glossary; until then it is listed without."""
    assert not [row.name for row in explain(system).rows if not (row.words or row.symbol)]


def test_every_name_is_of_something():
    """A glossary names nothing that no form of its model has."""
    shown: dict = {}
    for make in SMALL.values():
        system = make()
        shown.setdefault(glossary_of(system).page, set()).update((row.symbol, row.words) for row in explain(system).rows)
    for make in SMALL.values():
        glossary = glossary_of(make())
        words = {words for _, words in shown[glossary.page]}
        assert {entry.words for entry in entries_of(glossary)} <= words
        symbols = {symbol for symbol, _ in shown[glossary.page]}
        assert {entry.symbol for known in glossary.cache.values() for entry in ((known,) if isinstance(known, Entry) else known)} <= symbols


def test_gradient_and_change_are_those_of_the_run(system):
    if not system.exact_for & {"any", "sign", "coordinatewise", "linear"}:
        pytest.skip("gradient flow alone")
    rule = rule_of(system)
    step = 2
    shown = explain(system, step, rule)
    states = iterate(system, rule)
    state = next(state for state in states if state.step == step)
    before = state.params.copy()
    gradient = np.empty_like(before)
    system.backward(state.views, state.cache, system.layout.views(gradient))
    assert shown["loss"] == state.cache.loss
    next(states)
    for group, flat in (("gradient", gradient), ("change", state.params - before)):
        parts = [row.values.ravel() for row in shown.rows if row.group == group]
        np.testing.assert_array_equal(np.concatenate(parts), flat)
    assert np.array_equal(simulate(system, rule, steps=step + 1).final, state.params)  # to look does not disturb


def test_text_keeps_to_its_width_and_html_is_balanced(system):
    shown = explain(system)
    assert str(shown).count("\n") > 5 and max(map(len, str(shown).splitlines())) <= 100
    parser = Balanced()
    parser.feed(shown._repr_html_())
    assert not parser.open and parser.rows == len(shown.rows) + 1


class Balanced(HTMLParser):
    """Counts rows, and raises where an element ends that is not the last begun."""

    def __init__(self):
        super().__init__()
        self.open, self.rows = [], 0

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_tiny_fits_on_a_screen(tiny):
    lines = str(explain(tiny, 3, SignGD(0.01))).splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) <= 60


def test_numbers_of_tiny_follow_from_each_other(tiny):
    """The shown numbers put into the equations they are shown with."""
    e = explain(tiny, 5, SignGD(0.01))
    np.testing.assert_allclose(e["z_1i"], (e["k_r"] - e["kappa_ir"]) @ e["q_r"], rtol=1e-12)
    np.testing.assert_allclose(e["s_21"], 1 / (1 + np.exp(-e["z_2i"])), rtol=1e-12)
    np.testing.assert_allclose(e["y_i f_i"], (e["s_11"] + e["s_21"]) * e["A"] + (e["s_12"] + e["s_22"]) * e["B_i"], rtol=1e-12)
    np.testing.assert_allclose(e["l_i"], 1 / (1 + np.exp(e["y_i f_i"])) / 3, rtol=1e-12)
    np.testing.assert_allclose(e["c_2i"], e["l_i"] * e["s_21"] * e["s_22"] * (e["B_i"] - e["A"]), rtol=1e-12)
    np.testing.assert_allclose(e["dL/dW_Q"][0], e["c_1i"] @ e["k - kappa"], rtol=1e-12)
    assert np.array_equal(np.sign(e["Delta v"]), -np.sign(e["dL/dv"]))


def test_a_gradient_that_gradcheck_refutes_is_shown_as_it_is(tiny):
    """Control: nothing is derived beside the system, so a wrong gradient of the system is seen here too."""
    class Wrong(type(tiny)):
        def backward(self, params, cache, out, *, signs=False):
            super().backward(params, cache, out, signs=signs)
            out.v *= 2.0

    wrong = Wrong(**{name: getattr(tiny, name) for name in type(tiny).__dataclass_fields__})
    assert not gradcheck(wrong).passed
    assert np.array_equal(explain(wrong)["dL/dv"], 2.0 * explain(tiny)["dL/dv"])


def test_unknown_models_are_listed_without_numbers(tiny):
    class Mine(type(tiny)):
        pass

    shown = explain(Mine(**{name: getattr(tiny, name) for name in type(tiny).__dataclass_fields__}))
    assert shown.page == "" and {row.equation for row in shown.rows} == {""} and shown["s.p"].shape == (2, 3)


def test_a_glossary_outside_the_package_is_found(tmp_path, monkeypatch):
    """Also from a room inside the folder, and not of another class."""
    room = tmp_path / "my_paper_of_one" / "room"
    room.mkdir(parents=True)
    for folder in (room, room.parent):
        (folder / "__init__.py").touch()
    (room / "model.py").write_text("class Mine: pass\nclass Other: pass\n")
    (room.parent / "explained.py").write_text(
        "from dynsim.explain import Glossary\nfrom .room.model import Mine\nEXPLAINED = {Mine: Glossary('mine')}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = import_module("my_paper_of_one.room.model")
    assert glossary_of(model.Mine()).page == "mine" and glossary_of(model.Other()) is None


def test_flows_show_their_velocity():
    shown = explain(cooccurrence.gram(BAGS))
    velocity = {row.symbol: row.equation for row in shown.rows if row.group == "velocity"}
    assert velocity["drho/dt"] == "13" and not [row for row in shown.rows if row.group == "gradient"]
    bags = cooccurrence.lumped(BAGS, GradientFlow())
    shown = explain(bags, optimizer=GradientFlow())
    np.testing.assert_allclose(shown["du/dt"], -bags.speed * shown["dL/du"], rtol=1e-12)


def test_any_rule(tiny):
    dense = signal_noise.dense(TINY)
    for rule in (Adam(0.01), ClipNorm(GradientDescent(0.1), 1e-3), SignGD(0.01, momentum=0.5)):
        assert explain(dense, 1, rule).rule == repr(rule)
    later = explain(tiny, params=simulate(tiny, SignGD(0.01), steps=4).final)
    assert later["loss"] == explain(tiny, 4, SignGD(0.01))["loss"]


def test_errors_say_what_to_do(tiny):
    for call, message in (
        (lambda: explain(tiny, -1, SignGD(0.1)), "step=-1 must be an integer >= 0"),
        (lambda: explain(tiny, 1.0, SignGD(0.1)), "step=1.0 must be"),
        (lambda: explain(tiny, 3), "step=3 needs a rule"),
        (lambda: explain(tiny, params=np.zeros(3)), "start has shape"),
        (lambda: explain(signal_noise.lumped(TINY, SignGD, seed=range(2))), "system.replicates"),
        (lambda: explain(tiny, 0, GradientDescent(0.1)), "exact only for rules of kind"),
        (lambda: explain(cooccurrence.dense(BAGS), 2, GradientFlow()), "needs a rule with steps"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="is a class"):
        explain(tiny, 0, SignGD)
    with pytest.raises(TypeError, match="run.final"):
        explain(tiny, params=simulate(tiny, SignGD(0.1), steps=1))
    with pytest.raises(KeyError, match="there are v, q_r"):
        explain(tiny)["nothing"]


def test_long_and_empty_arrays_say_so():
    assert "... of shape (32, 4)" in str(explain(signal_noise.dense(TINY)))
    rows = (Row("forward", "x", "x", "", "", np.empty((2, 0))), Row("forward", "y", "y", "", "", np.array([-1.234e-100, -0.0])))
    text = str(Explanation("Mine", 0, "", "", rows))
    assert "empty, of shape (2, 0)" in text and " -1.2e-100         0" in text


def test_html_of_runs_and_stage_tables_is_escaped(tiny):
    run = simulate(tiny, SignGD(0.01), steps=40)
    for shown, rows in ((run, len(run.arrays)), (signal_noise.stage_table(run), 8)):
        parser = Balanced()
        text = shown._repr_html_()
        parser.feed(text)
        assert not parser.open and parser.rows == rows + 1
    assert "s_21 &lt; 0.1" in text and "B_i &gt; A" in text
    flow = cooccurrence.experiment("tiny").run()
    parser = Balanced()
    parser.feed(cooccurrence.stage_table(flow)._repr_html_())
    assert not parser.open and parser.rows == len(cooccurrence.stage_table(flow).rows()) + 1
