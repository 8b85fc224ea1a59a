"""The progress meter: silent on short work, one line on long work."""

import io

import pytest

from dynsim import SignGD, progress, simulate
from dynsim.progress import Meter, as_progress

from .helpers import Quadratic


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_silent_when_the_work_is_short(clock):
    stream = io.StringIO()
    meter = Meter(stream=stream, delay=1.0)
    for done in range(11):
        clock[0] += 0.05
        meter(done, 10)
    assert stream.getvalue() == ""


def test_draws_after_the_delay_at_most_ten_times_a_second_and_ends_the_line(clock):
    stream = io.StringIO()
    meter = Meter("seeds", stream, delay=1.0)
    for done in range(1, 1001):
        clock[0] += 0.01
        meter(done, 1000)
    text = stream.getvalue()
    lines = text.split("\r")[1:]
    assert 80 <= len(lines) <= 95  # nine seconds after the delay, every 0.1 s
    assert text.endswith("\n") and text.count("\n") == 1
    assert "seeds 1000/1000 [" + "=" * 24 + "] 100/s, 0:00 left" in lines[-1]
    middle = next(line for line in lines if int(line.split()[1].split("/")[0]) >= 500)
    assert "[" + "=" * 12 + " " * 12 + "]" in middle and "0:0" in middle


def test_nothing_to_do_is_no_division_by_zero(clock):
    stream = io.StringIO()
    meter = Meter(stream=stream, delay=0.0)
    clock[0] += 1.0
    meter(0, 10)
    meter(0, 0)
    assert stream.getvalue().endswith("\n")


def test_as_progress():
    assert isinstance(as_progress(True), Meter)
    assert as_progress(False) is None and as_progress(None) is None
    assert as_progress(print) is print


@pytest.mark.parametrize("replicates", [(), (40,)])
@pytest.mark.parametrize("steps", [0, 1, 50])
def test_calls_during_a_run_rise_to_the_total(steps, replicates):
    calls = []
    simulate(Quadratic.random(replicates=replicates), SignGD(0.1), steps=steps, progress=lambda *call: calls.append(call))
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done) and len(set(totals)) == 1
    assert done[-1] == totals[-1]


def test_meter_goes_to_stderr(capsys):
    simulate(Quadratic.random(), SignGD(0.1), steps=3, progress=Meter(delay=-1.0))
    captured = capsys.readouterr()
    assert captured.out == "" and "steps 3/3" in captured.err
