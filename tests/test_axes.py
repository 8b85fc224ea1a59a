"""Axes of panels: what leaves a logarithmic view, where ticks are, which rows are drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dynsim import plotting
from dynsim.axes import LARGEST, drawn, log_values, power, step_axis, ticks


def run_of(at):
    return SimpleNamespace(at=at, clock="step" if at.dtype.kind == "i" else "time")


def axes_of(y):
    ax = plotting.new_axes()
    ax.plot(np.arange(len(y)), y)
    return ax


def test_nothing_positive_leaves_the_axis_linear():
    ax = axes_of(np.array([0.0, -1.0, np.nan]))
    log_values(ax)
    assert ax.get_yscale() == "linear"


def test_what_is_too_small_or_too_large_leaves_the_view():
    ax = axes_of(np.array([1e-30, 1e-3, 1e200]))
    log_values(ax, smallest=1e-12)
    assert ax.get_yscale() == "log" and ax.get_ylim() == (1e-12, LARGEST)


def test_a_narrow_view_has_two_powers_to_label():
    ax = axes_of(np.array([0.7, 8.0]))
    log_values(ax)
    assert ax.get_ylim() == pytest.approx((0.1, 10.0))


def test_marks_at_an_edge_are_no_values_and_collections_are():
    ax = axes_of(np.array([1.0, 100.0]))
    ax.plot([0.5], [0.985], "^", transform=ax.get_xaxis_transform())
    ax.fill_between([0.0, 1.0], [1e-9, 1e-9], [1e-6, 1e-6])
    log_values(ax, smallest=1e-7)
    assert ax.get_ylim()[0] == 1e-7
    only = plotting.new_axes()
    only.plot([0.5], [0.985], "^", transform=only.get_xaxis_transform())
    log_values(only)
    assert only.get_yscale() == "linear"


def test_rows_drawn_are_spread_as_the_axis_and_have_both_ends():
    t = np.arange(100_000)
    for log in (False, True):
        rows = drawn(t, log=log)
        assert rows[0] == 0 and rows[-1] == len(t) - 1 and (np.diff(rows) > 0).all() and len(rows) <= plotting.POINTS + 1
    assert (drawn(t, log=True) < 100).sum() > 50 > (drawn(t) < 100).sum()
    assert list(drawn(t[:7], log=True)) == list(range(7))


def test_a_logarithmic_axis_of_steps_has_step_zero():
    ax = axes_of(np.ones(3))
    step_axis(ax, run_of(np.array([0, 10, 20, 1000])), "loss", log=True)
    assert ax.get_xscale() == "symlog" and list(ax.xaxis.get_major_locator()()) == pytest.approx([0.0, 10.0, 100.0, 1000.0])
    assert ax.get_xlim() == (0.0, 1000.0) and ax.get_xlabel() == "step $t$" and ax.get_ylabel() == "loss"


def test_times_and_single_records():
    ax = axes_of(np.ones(3))
    step_axis(ax, run_of(np.array([0.0])), "loss", log=True)
    assert ax.get_xscale() == "linear" and ax.get_xlim() == (0.0, 1.0) and ax.get_xlabel() == "time $t$"


def test_ticks_are_at_the_values_and_powers_are_written_as_such():
    ax = axes_of(np.ones(3))
    ticks(ax, np.array([2.0, 0.5, 2.0]))
    assert list(ax.xaxis.get_major_locator()()) == [0.5, 2.0] and ax.xaxis.get_major_formatter()(0.5, 0) == "0.5"
    assert power(1e-12) == "10^{-12}" and power(0.0) == "0"
