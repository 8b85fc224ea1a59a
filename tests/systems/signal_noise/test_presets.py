"""Presets: complete, labelled as reconstructions, runnable."""

from __future__ import annotations

import pytest

from dynsim import Experiment
from dynsim.systems import signal_noise


@pytest.mark.parametrize("name", signal_noise.PRESETS)
def test_preset_is_labelled_and_survives_a_round_trip(name):
    e = signal_noise.experiment(name)
    assert e.origin == "reconstructed" and e.note
    assert signal_noise.preset(name) == e.setting
    assert Experiment.from_dict(e.to_dict()) == e


@pytest.mark.parametrize("name", signal_noise.PRESETS)
def test_preset_runs_without_ties_and_says_what_it_is(name):
    run = signal_noise.experiment(name).run()
    assert run.success and run["ties"].sum() == 0
    assert run.provenance["origin"] == "reconstructed" and run.provenance["engine"] == "lumped"


def test_unknown_preset_names_the_nearest():
    for f in (signal_noise.preset, signal_noise.experiment):
        with pytest.raises(ValueError, match="did you mean 'figure3'"):
            f("figur3")


def test_theory_preset_meets_the_papers_size():
    setting = signal_noise.preset("theory")
    assert setting.n == 20 and setting.d >= 1e8 and setting.disjoint


def test_tiny_fits_on_a_screen():
    e = signal_noise.experiment("tiny")
    assert (e.setting.n, e.setting.m_k, e.steps) == (3, 4, 40)
