"""Sliders and their values, and where views are found."""

import math

import numpy as np
import pytest

from dynsim.explore import Control, explorable, explore, explored
from dynsim.registry import SYSTEMS, system_module

LOG = Control("lr", "rate", 1e-5, 1e-3, 1e-4, log=True)


def test_a_slider_holds_its_start_and_its_ends():
    wide = Control("s", "s", 5, 50, start=200, log=True, step=1)
    assert wide.high == 200 and wide.value(wide.place(200)) == 200 and wide.value(wide.place(5)) == 5
    for control in (LOG, wide, Control("y", "y", -0.5, 1.5, 0.6), Control("n", "n", 6, 60, 12, step=6)):
        for place in (control.place(control.low), control.place(control.high)):
            assert control.low <= control.value(place) <= control.high


def test_ends_are_rounded_and_numbers_of_numpy_are_numbers():
    assert Control("lr", "rate", 2e-6 / 10, 2e-6 * 10, 2e-6, log=True).high == 2e-5 != 2e-6 * 10
    assert Control("m", "m", 8, 8192, 64, log=True, step=1).checked(np.int64(8192)) == 8192
    assert type(LOG.checked(np.float64(1e-4))) is float


def test_values_can_be_written_down():
    assert LOG.value(math.log10(3.14159e-4)) == 3.14e-4
    assert Control("y", "y", -0.5, 1.5, 0.6).value(0.123456) == 0.12
    assert [Control("n", "n", 6, 60, 12, step=6).value(x) for x in (6.0, 9.1, 60.0)] == [6, 12, 60]
    assert isinstance(Control("n", "n", 6, 60, 12, step=6).value(9.1), int)


@pytest.mark.parametrize(("control", "value", "said"), [
    (LOG, 1.0, r"lr=1.0 must be a number in \[1e-05, 0.001\]"), (LOG, True, "lr=True"), (LOG, "fast", "lr='fast'"),
    (LOG, math.nan, "lr=nan"),
    (Control("n", "n", 6, 60, 12, step=6), 13, "n=13 must be a multiple of 6: take 12"),
])
def test_values_that_are_none_of_the_sliders_are_refused(control, value, said):
    with pytest.raises(ValueError, match=said):
        control.checked(value)


@pytest.mark.parametrize("ends", [(2.0, 2.0, 2.0, False), (0.0, 2.0, 1.0, True)])
def test_sliders_that_cannot_be_are_refused(ends):
    low, high, start, log = ends
    with pytest.raises(ValueError, match="slider x: low="):
        Control("x", "x", low, high, start, log=log)


def test_what_there_is_to_explore():
    assert set(explorable()) <= set(SYSTEMS) and {"signal_noise", "cooccurrence", "attention_kernels"} <= set(explorable())
    for system in explorable():
        for entry in explored(system).values():
            assert entry.preset in system_module(system).PRESETS and entry.title
            names = [control.name for control in entry.view(system_module(system).experiment(entry.preset)).controls]
            assert len(set(names)) == len(names)


@pytest.mark.parametrize(("arguments", "said"), [
    (("noisy_mnist",), "noisy_mnist has nothing to explore; signal_noise, cooccurrence, attention_kernels have"),
    (("signal_nois",), "did you mean 'signal_noise'"),
    (("signal_noise", "stage"), "unknown view 'stage': did you mean 'stages'"),
    (("signal_noise", None, "figure33"), "did you mean 'figure3'"),
    (("cooccurrence", None, "paper"), "optimizer=.* must be gradient flow"),
    (("attention_kernels", None, "text"), "task='text' is no example with one query"),
])
def test_what_there_is_not_is_refused(arguments, said):
    system, view, start = (*arguments, None, None)[:3]
    with pytest.raises(ValueError, match=said):
        explore(system, view, start=start)


def test_a_start_of_another_system_or_rule_is_refused():
    other = system_module("cooccurrence").experiment("tiny")
    with pytest.raises(ValueError, match="an experiment of cooccurrence, not of signal_noise"):
        explore("signal_noise", start=other)
    adam = system_module("signal_noise").experiment("tiny").vary({"optimizer": "adam"})
    with pytest.raises(ValueError, match="under SignGD without momentum"):
        explore("signal_noise", start=adam)
