"""Sweeps: a cell depends on its own point and seed, whatever runs it; every accident costs at most what was under way."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, SweepError, SweepInterrupted, load_table, sweep
from dynsim.measures import First
from dynsim.sweep import Points, Sampled, SweepFolderError, engine
from dynsim.sweep.folder import read_rows
from dynsim.systems import attention_kernels, signal_noise

from ..helpers import same_bits
from .jobs import Deadly, cannot_start

TINY = signal_noise.experiment("tiny")
OVERLAPPING = TINY.replace(setting=TINY.setting.replace(disjoint=False, d=24))
MEASURES = ["train_loss<0.6", "softmax_21_mean@end", "test_loss@end", "test_error@20", "turns", "stages", "stage_one_end", "clock"]


def assert_same_table(table, other, rows=slice(None), other_rows=slice(None)):
    """Fail unless the rows agree to the last bit; lists of numbers may be filled up further."""
    assert set(table) == set(other)
    for name in table:
        a, b = table[name][rows], other[name][other_rows]
        if a.dtype.kind == "U":
            assert a.tolist() == b.tolist(), name
        else:
            assert same_bits(a, b), name


class Backwards(Executor):
    """An executor that finishes its four tasks in the reverse of the order in which they came, with time between them."""

    def __init__(self):
        self.waiting = []

    def submit(self, fn, /, *args):
        future = Future()
        self.waiting.append((future, fn, args))
        if len(self.waiting) == 4:
            threading.Thread(target=self.finish).start()
        return future

    def finish(self):
        for future, fn, args in reversed(self.waiting):
            future.set_result(fn(*args))
            time.sleep(0.1)


@pytest.mark.parametrize("experiment", [TINY, OVERLAPPING, TINY.replace(optimizer=Adam(0.01))],
    ids=["disjoint", "overlapping", "not lumped"])
def test_a_cell_is_the_same_to_the_bit_alone_batched_and_in_any_executor(experiment):
    over = {"m_k": [2, 5], "s": [4, 5]}
    table = sweep(experiment, over, seeds=5, measure=MEASURES, workers=1)
    assert table.cells == 20 and not table.errors
    with ThreadPoolExecutor(2) as threads:
        assert_same_table(sweep(experiment, over, seeds=5, measure=MEASURES, executor=threads), table)
    for cell in (0, 7, 19):
        alone = sweep(experiment, [{name: table[name][cell] for name in over}], seeds=[int(table["seed"][cell])], measure=MEASURES,
            workers=1)
        assert_same_table(alone, table, slice(0, 1), slice(cell, cell + 1))


def test_the_order_in_which_cells_finish_does_not_show(tmp_path):
    over = {"m_k": [2, 3, 4, 5]}
    table = sweep(TINY, over, seeds=2, measure="train_loss@end", workers=1)
    assert_same_table(sweep(TINY, over, seeds=2, measure="train_loss@end", executor=Backwards(), out=tmp_path), table)
    assert [row["cell"] for row in read_rows(tmp_path)] == [6, 7, 4, 5, 2, 3, 0, 1]


def test_the_default_pool_of_processes(tmp_path):
    over = {"m_k": [2, 3, 4], "lr": [0.01, 0.02]}
    done = []
    table = sweep(TINY, over, seeds=2, measure=MEASURES, workers=2, out=tmp_path, progress=lambda *call: done.append(call))
    assert_same_table(table, sweep(TINY, over, seeds=2, measure=MEASURES, workers=1))
    assert_same_table(load_table(tmp_path), table)
    assert done[0] == (0, 12) and done[-1] == (12, 12) and [d for d, _ in done] == sorted(d for d, _ in done)


def test_the_same_call_goes_on_and_another_is_refused(tmp_path):
    over = {"m_k": [2, 3]}
    whole = sweep(TINY, over, seeds=3, measure="train_loss@end", workers=1, out=tmp_path)
    lines = (tmp_path / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_bytes(lines[4] + lines[1])
    calls = []
    again = sweep(TINY, over, seeds=3, measure="train_loss@end", workers=1, out=tmp_path, progress=lambda *c: calls.append(c))
    assert_same_table(again, whole)
    assert calls[0] == (2, 6)
    for changed in (
        {"seeds": 4}, {"measure": "train_loss@20"}, {"steps": 30}, {"over": {"m_k": [2, 4]}}, {"setting": TINY.vary({"sigma_p": 1.0})},
        {"setting": TINY.vary({"lr": 0.02})},
    ):
        call = {"setting": TINY, "over": over, "seeds": 3, "measure": "train_loss@end", **changed}
        with pytest.raises(SweepFolderError, match="holds another sweep: .* in the folder, .* now"):
            sweep(**call, workers=1, out=tmp_path)
    assert_same_table(sweep(TINY, over, seeds=3, measure="train_loss@end", workers=1, out=tmp_path), whole)


def test_a_point_out_of_range_is_a_row_with_its_error_and_the_rest_goes_on(tmp_path):
    table = sweep(TINY, {"s": [4, 400, 6]}, seeds=2, measure="train_loss@end", workers=1, out=tmp_path)
    assert np.isfinite(table["train_loss@end"]).tolist() == [True, True, False, False, True, True]
    assert len(table.errors) == 2 and "s=400, seed=0: ValueError: s=400 must be at most d - 1" in table.errors[0]
    size = (tmp_path / "rows.jsonl").stat().st_size
    sweep(TINY, {"s": [4, 400, 6]}, seeds=2, measure="train_loss@end", workers=1, out=tmp_path)
    assert (tmp_path / "rows.jsonl").stat().st_size == size  # an error is a result
    sweep(TINY, {"s": [4, 400, 6]}, seeds=2, measure="train_loss@end", workers=1, out=tmp_path, retry=True)
    assert (tmp_path / "rows.jsonl").stat().st_size > size


def test_a_cell_that_diverges_is_a_row_with_its_error_and_its_neighbours_are_not_touched():
    start = TINY.replace(optimizer=GradientDescent(0.1))
    over, measure = {"lr": [0.1, 1e200]}, ["train_loss@end", "softmax_11_mean@20"]
    table = sweep(start, over, seeds=3, measure=measure, workers=1)
    bad = table["lr"] == 1e200
    assert (table["error"][bad] != "").all() and (table["error"][~bad] == "").all()
    assert "stopped being finite at step" in table["error"][bad][0]
    assert np.isnan(table["train_loss@end"][bad]).all() and np.isfinite(table["train_loss@end"][~bad]).all()


def test_what_was_measured_before_a_divergence_that_comes_later_counts():
    measure = First("train_loss", ">", 0.0, "at_once")
    table = sweep(TINY.replace(optimizer=GradientDescent(1e200)), seeds=2, measure=measure, workers=1)
    assert table.errors == [] and table["at_once"].tolist() == [0.0, 0.0]


def test_a_measure_that_draws_draws_by_the_seed_of_its_cell():
    experiment = attention_kernels.experiment("value_only").replace(steps=0).vary({"kernel": "softmax"})
    together = sweep(experiment, seeds=3, measure="slopes", workers=1)["slope"]
    alone = [sweep(experiment, seeds=[seed], measure="slopes", workers=1)["slope"][0] for seed in range(3)]
    assert same_bits(together, np.array(alone)) and len(set(alone)) == 3


def test_horizons():
    predicted = signal_noise.horizon(TINY.setting, TINY.optimizer)
    assert sweep(TINY, seeds=1, workers=1)["steps"].tolist() == [predicted]
    assert sweep(TINY, seeds=1, steps=7, workers=1)["steps"].tolist() == [7]
    assert sweep(TINY, {"steps": [5, 9]}, measure="train_loss@end", seeds=1, workers=1)["steps"].tolist() == [5, 9]
    gd = TINY.replace(optimizer=GradientDescent(0.1))
    assert sweep(gd, seeds=1, measure="train_loss@end", workers=1)["steps"].tolist() == [TINY.steps]


def test_rules_can_be_varied():
    table = sweep(TINY, {"optimizer": ["signgd", "gd", "adam"]}, seeds=1, measure="train_loss@end", steps=30, workers=1)
    single = TINY.replace(optimizer=Adam(0.01), steps=30).run()
    assert table["train_loss@end"][2] == pytest.approx(single["train_loss"][-1], rel=1e-12)
    assert len(set(table["train_loss@end"])) == 3


def test_a_setting_with_a_rule_will_do():
    table = sweep(TINY.setting, {"m_k": [2, 4]}, optimizer=SignGD(0.01), seeds=2, measure="train_loss@end", workers=1)
    assert_same_table(table, sweep(TINY, {"m_k": [2, 4]}, seeds=2, measure="train_loss@end", workers=1))


def test_a_sampled_design_runs():
    table = sweep(TINY, Sampled({"sigma_p": (1.0, 4.0), "m_k": (2, 8)}, 5), seeds=2, measure="train_loss@end", workers=1)
    assert table.cells == 10 and not table.errors and len(set(table["sigma_p"])) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"over": {"m_kk": [1]}}, "did you mean 'm_k'"),
        ({"seeds": 0}, "seeds=0"), ({"seeds": [1, 1]}, "different integers"), ({"seeds": [-1]}, "integers in"),
            ({"seeds": [0.5]}, "integers in"),
        ({"seeds": True}, "seeds=True"), ({"seeds": None}, "seeds=None"), ({"seeds": [2**63]}, "integers in"),
            ({"seeds": "12"}, "seeds='12'"),
        ({"over": {"sigma_p": [1.0, np.inf]}}, "over\\['sigma_p'\\] has inf"), ({"over": {"lr": [[1, 2]]}}, "finite numbers, words"),
        ({"over": [{"m_k": 2}, {"m_k": 2}]}, "point twice"), ({"measure": "train_loss@T_keyy"}, "did you mean 'T_key'"),
        ({"measure": "key_noise<3"}, "one number a sample"), ({"measure": "error=train_loss<0.6"}, "'error' is taken"),
        ({"measure": "m_k=train_loss<0.6", "over": {"m_k": [2]}}, "'m_k' is taken"),
        ({"optimizer": SignGD(lambda step: 0.01)}, "must be one number"),
            ({"optimizer": SignGD(np.array([0.1, 0.2]))}, "must be one number"),
        ({"steps": 0}, "steps=0"), ({"workers": 0}, "workers=0"), ({"steps": True}, "steps=True"),
        ({"measure": "train_los<0.1"}, "did you mean 'train_loss'"), ({"measure": []}, "at least one"),
        ({"workers": 2, "executor": ThreadPoolExecutor(1)}, "workers of its own"),
        ({"setting": TINY.setting}, "optimizer=None"),
    ],
)  # fmt: skip
def test_bad_arguments_say_what_is_wrong(arguments, says):
    with pytest.raises(ValueError, match=says):
        sweep(**{"setting": TINY, "measure": "train_loss@end", **arguments})


def test_turns_do_not_depend_on_the_other_seeds_where_a_run_ends_early():
    """Pairs of one seed are classified at a step past the horizon, those of the others before it."""
    slow = TINY.replace(optimizer=SignGD(0.001))
    together = sweep(slow, seeds=12, measure="turns", steps=102, workers=1)
    assert np.isnan(together["key_turn"]).any() and np.isfinite(together["key_turn"]).any()
    for seed in range(12):
        alone = sweep(slow, seeds=[seed], measure="turns", steps=102, workers=1)
        assert_same_table(alone, together, slice(None), slice(seed, seed + 1))


def test_a_horizon_that_is_varied_stays_with_a_point_that_fails():
    table = sweep(TINY, [{"steps": 10, "m_k": 2}, {"steps": 20, "m_k": -2}], measure="train_loss@end", workers=1)
    assert table["steps"].tolist() == [10, 20] and len(table.errors) == 1


def test_numpy_numbers_are_numbers(tmp_path):
    start = TINY.replace(steps=np.int64(50), options={"classify_at": np.int64(5)})
    design = Sampled({"sigma_p": (1.0, 2.0)}, np.int64(2), seed=np.int64(3))
    table = sweep(start, design, seeds=np.int64(2), measure=[First("train_loss", "<", np.float64(0.6))], workers=1, out=tmp_path)
    again = sweep(start, design, seeds=2, measure="train_loss<0.6", workers=1, out=tmp_path)  # described alike
    assert_same_table(again, table)


def test_a_note_is_no_other_sweep(tmp_path):
    sweep(TINY, measure="train_loss@end", workers=1, out=tmp_path)
    before = (tmp_path / "rows.jsonl").read_bytes()
    sweep(TINY.replace(note="told otherwise", origin="derived"), measure="train_loss@end", workers=1, out=tmp_path)
    assert (tmp_path / "rows.jsonl").read_bytes() == before  # gone on with, and nothing left to run


def test_a_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    table = sweep(TINY, measure="train_loss@end", workers=1, out="~/sweep")
    assert_same_table(load_table("~/sweep"), table)
    assert (tmp_path / "sweep" / "rows.jsonl").exists()


def test_foreign_arguments():
    with pytest.raises(TypeError, match="must be an Experiment"):
        sweep(3)
    with pytest.raises(TypeError, match="is no measure"):
        sweep(TINY, measure=3)


# -- accidents ------------------------------------------------------------------------------------------------------------


class Interrupting(Executor):
    """An executor in which Ctrl-C arrives while the third task runs."""

    def __init__(self):
        self.count = 0

    def submit(self, fn, /, *args):
        self.count += 1
        future = Future()
        if self.count == 3:
            raise KeyboardInterrupt
        future.set_result(fn(*args))
        return future


@pytest.fixture
def ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kept", [True, False], ids=["on disk", "in memory"])
def test_ctrl_c_keeps_what_had_finished(tmp_path, kept, ctrl_c):
    calls = []

    def interrupt(done, total):
        calls.append(done)
        if done == 4:
            signal.raise_signal(signal.SIGINT)

    out = {"out": tmp_path} if kept else {}
    arguments = {"over": {"m_k": [2, 3, 4]}, "seeds": 2, "measure": "train_loss@end", "workers": 1, **out}
    with pytest.raises(SweepInterrupted, match="4 of 6 cells are kept" + (".*goes on from here" if kept else "")) as stopped:
        sweep(TINY, **arguments, progress=interrupt)
    whole = sweep(TINY, **arguments)
    assert_same_table(stopped.value.table, whole, other_rows=slice(0, 4))


def test_a_full_disk_stops_the_sweep_with_what_had_finished(tmp_path, monkeypatch):
    from dynsim.sweep import folder

    real, left = folder.os.write, [900]

    def disk(file, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        left[0] -= len(data)
        return real(file, data)

    monkeypatch.setattr(folder.os, "write", disk)
    arguments = {"over": {"m_k": list(range(2, 12))}, "seeds": 2, "measure": "train_loss@end", "workers": 1, "out": tmp_path}
    with pytest.raises(SweepError, match=r"No space left on device\): \d+ of 20 cells are kept; the same sweep"):
        sweep(TINY, **arguments)
    monkeypatch.undo()
    part = load_table(tmp_path)
    assert 0 < part.cells < 20
    assert_same_table(sweep(TINY, **arguments), sweep(TINY, arguments["over"], seeds=2, measure="train_loss@end", workers=1))


def test_a_worker_that_is_killed_costs_nothing(tmp_path):
    over = Points([{"m_k": m} for m in (2, 3, 4, 5)])
    table = sweep(TINY, over, seeds=2, measure=[Deadly(str(tmp_path / "mark")), "train_loss@end"], workers=2)
    assert (tmp_path / "mark").exists() and table.errors == []
    plain = sweep(TINY, over, seeds=2, measure="train_loss@end", workers=1)
    assert same_bits(table["train_loss@end"], plain["train_loss@end"])


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_a_row_with_its_error():
    table = sweep(TINY, {"m_k": [2, 3, 4, 5]}, seeds=2, measure=Deadly(), workers=2)
    assert [line.split(":")[0] for line in table.errors] == ["m_k=3, seed=0", "m_k=3, seed=1"]
    assert "died twice" in table.errors[0] and np.isfinite(table["alive"]).sum() == 6


@pytest.mark.slow
def test_a_seed_that_kills_its_worker_takes_no_other_with_it():
    table = sweep(TINY, {"m_k": [2, 3]}, seeds=range(8), measure=Deadly(seed=5), workers=2)
    assert [line.split(":")[0] for line in table.errors] == ["m_k=3, seed=5"]


SCRIPT = """
from dynsim import sweep
from dynsim.systems import attention_kernels, signal_noise
{extra}
if __name__ == "__main__":
    sweep(signal_noise.experiment("tiny"), {{"m_k": [2, 3]}}, measure={measure}, workers=2)
"""
OWN = "from tests.test_measures import Largest\nclass Mine(Largest): pass\n"


@pytest.mark.parametrize(
    ("how", "extra", "measure", "says"),
    [("stdin", "", "'train_loss@end'", "worker processes cannot start: save the script"),
        ("-c", OWN, "Mine()", "workers cannot read the measures")],
)
def test_workers_that_cannot_read_the_script_or_the_measures_are_told(how, extra, measure, says):
    text = SCRIPT.format(extra=extra, measure=measure)
    arguments = {"args": [sys.executable, "-"], "input": text} if how == "stdin" else {"args": [sys.executable, "-c", text]}
    run = subprocess.run(**arguments, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and f"SweepError: {says}" in run.stderr.replace("dynsim.sweep.engine.", "")

def test_workers_that_cannot_start_are_told_apart(monkeypatch):
    monkeypatch.setattr(engine, "_begin_worker", cannot_start)
    with pytest.raises(SweepError, match="if __name__ == "):
        sweep(TINY, {"m_k": [2, 3]}, seeds=1, measure="train_loss@end", workers=2)


def test_an_executor_that_breaks_is_told(tmp_path):
    from concurrent.futures import BrokenExecutor

    class Broken(Executor):
        def submit(self, fn, /, *args):
            raise BrokenExecutor("it fell over")

    with pytest.raises(SweepError, match="it fell over.*what had finished is kept"):
        sweep(TINY, {"m_k": [2, 3]}, measure="train_loss@end", executor=Broken(), out=tmp_path)


def test_an_executor_that_is_shut_down_is_told():
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with pytest.raises(SweepError, match="after shutdown.*make a new executor"):
        sweep(TINY, {"m_k": [2, 3]}, measure="train_loss@end", executor=threads)


def test_a_task_that_is_cancelled_is_its_error():
    class Cancelling(Executor):
        def submit(self, fn, /, *args):
            future = Future()
            if args[0]["m_k"] == 3:
                future.cancel()
                future.set_running_or_notify_cancel()
            else:
                future.set_result(fn(*args))
            return future

    table = sweep(TINY, {"m_k": [2, 3]}, measure="train_loss@end", executor=Cancelling())
    assert len(table.errors) == 1 and "m_k=3, seed=0: CancelledError" in table.errors[0]


def test_a_failure_of_the_executor_for_one_task_is_its_error():
    class Losing(Executor):
        def submit(self, fn, /, *args):
            future = Future()
            if args[0]["m_k"] == 3:
                future.set_exception(RuntimeError("worker lost three times"))
            else:
                future.set_result(fn(*args))
            return future

    table = sweep(TINY, {"m_k": [2, 3, 4]}, measure="train_loss@end", executor=Losing())
    assert table.errors == ["m_k=3, seed=0: RuntimeError: worker lost three times"]
