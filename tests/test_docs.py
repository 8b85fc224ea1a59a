"""Documents that must not drift: the claims table, the README's commands, words that do not belong here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import drawing
import pytest
import verdicts
from marks import shown

from dynsim.registry import SYSTEMS, system_module

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(("mark", "registry"), verdicts.MARKS.items())
def test_claims_page_shows_the_registry(mark, registry):
    assert shown(verdicts.PAGE, mark) == verdicts.table(registry), "docs/claims.md is out of date: run python docs/_ext/verdicts.py"


def test_kept_verdicts_are_of_claims_and_presets_that_there_are():
    for system, found in verdicts.kept().items():
        module = system_module(system)
        assert set(module.PRESETS) == {name for name in found if not name.startswith("study ")}
        studies = {re.match(r"study (\w+)", name)[1] for name in found if name.startswith("study ")} - set(verdicts.COMMANDS)
        assert studies == set(module.STUDIES) - {"pairs"}, system  # which has no claims
        for name, of in found.items():
            assert set(of) <= set(module.SWEEP_CLAIMS if name.startswith("study ") else module.CLAIMS), name


@pytest.mark.slow
def test_a_study_has_the_verdicts_that_the_page_shows(tmp_path):
    command = f"-m dynsim study gradient_heterogeneity quadratic --figures none --quiet --out {tmp_path}/study"
    subprocess.run([sys.executable, *command.split()], check=True)
    system, name, found = verdicts.of_study(tmp_path / "study")
    assert {id: verdict for id, (verdict, _) in found.items()} == {id: v for id, (v, _) in verdicts.kept()[system][name].items()}


def test_what_was_not_decided_is_told_and_another_kind_of_run_is_not():
    report = {"verdicts": [{"id": "a", "verdict": "inconclusive", "margin": None}, {"id": "b", "verdict": "not applicable", "margin": None},
                           {"id": "c", "verdict": "violated", "margin": -0.123456}]}
    found = verdicts.verdicts_of(report)
    assert found == {"a": ["inconclusive", None], "c": ["violated", -0.12]}
    assert [verdicts.outcome(id, {"p": found}, otherwise="-") for id in "abc"] == ["inconclusive: `p`", "-", "**violated**: `p` -0.12"]


def test_a_study_of_another_design_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no study"):
        verdicts.of_study(tmp_path)
    about = {"system": "attention_kernels", "name": "value"}
    (tmp_path / "report.json").write_text('{"verdicts": []}')
    sweeps = {entry: {"design": verdicts.plain(verdicts.as_design(plan.over).describe()), "seeds": list(range(plan.seeds))}
              for entry, plan in system_module("attention_kernels").STUDIES["value"].plans.items()}
    (tmp_path / "study.json").write_text(json.dumps({**about, "sweeps": sweeps}))
    assert verdicts.of_study(tmp_path) == ("attention_kernels", "study value", {})
    entry = next(iter(sweeps))
    (tmp_path / "study.json").write_text(json.dumps({**about, "sweeps": {**sweeps, entry: {**sweeps[entry], "seeds": [0]}}}))
    assert verdicts.of_study(tmp_path)[1] == "study value (1 seeds)"
    (tmp_path / "study.json").write_text(json.dumps({**about, "sweeps": {**sweeps, entry: {"design": {}, "seeds": [0]}}}))
    with pytest.raises(ValueError, match="not those of the study 'value'"):
        verdicts.of_study(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("system", "preset"), [(system, preset) for system in SYSTEMS for preset in system_module(system).PRESETS])
def test_presets_have_the_verdicts_that_the_page_shows(system, preset):
    fresh, kept = ({id: verdict for id, (verdict, _) in found.items()}
                   for found in (verdicts.of_preset(system, preset), verdicts.kept()[system][preset]))
    assert fresh == kept


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_has_the_two_commands_alone_on_their_lines():
    commands = re.findall(r"^    (pip install .*)$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) == 2
    assert "dynsim run signal_noise --preset figure3" in commands[0] and commands[1].endswith("pytest")


def test_every_preset_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in system_module("signal_noise").PRESETS)


def test_page_of_figures_says_what_draws_each():
    assert shown(drawing.PAGE, "figures") == drawing.table(), "docs/figures.md is out of date: run python docs/_ext/drawing.py"
    assert sorted({*drawing.FIGURES, *drawing.WINDOWS}) == sorted(path.stem for path in drawing.FOLDER.glob("*.png"))


IMAGES = [(page, text, target) for page in PAGES for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", page.read_text())]


def test_every_figure_is_shown_and_described_in_words():
    assert {Path(target).stem for *_, target in IMAGES} == {*drawing.FIGURES, *drawing.WINDOWS}
    for page, text, target in IMAGES:
        assert len(text.split()) >= 6, f"{page.name}: the text for those who cannot see {target} is {text!r}"
