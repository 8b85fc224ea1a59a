"""Faults that really happen: processes killed, the disk full, Ctrl-C, a worker of a cluster gone; then the same command again."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynsim import load_table, sweep
from dynsim.sweep.folder import ROWS
from dynsim.systems import signal_noise

from .test_engine import assert_same_table

START = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from dynsim.cli import main; sys.exit(main())"
OPTIONS = ["--preset", "tiny", "--over", "m_k=2:100:40", "--over", "lr=0.01,0.02", "--seeds", "4", "--measure", "train_loss@end,turns",
           "--steps", "300"]  # fmt: skip

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def command(out, *more):
    return [sys.executable, "-c", START, "sweep", "signal_noise", *OPTIONS, "--out", str(out), "--quiet", *more]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "sweep"
    subprocess.run(command(out, "--workers", "1"), check=True)
    return load_table(out)


def rows(out):
    file = Path(out) / ROWS
    return file.read_bytes().count(b"\n") if file.exists() else 0


def children(pid):
    """Return the processes below one, by /proc."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill_at_random(out, times, workers):
    """Start the sweep and kill it with -9, again and again; return how many rows there were after each."""
    rng, seen = random.Random(times), []
    while len(seen) < times:
        process = subprocess.Popen(command(out, "--workers", str(workers)))
        before, most = rows(out), rng.randrange(1, 12)
        deadline = time.monotonic() + rng.uniform(0.3, 4.0)  # before the first row as well as in the middle
        while process.poll() is None and rows(out) < before + most and time.monotonic() < deadline:
            time.sleep(0.002)
        below = children(process.pid) if Path("/proc/self/stat").exists() else []
        process.kill()
        process.wait()
        seen.append(rows(out))
        patience = time.monotonic() + 10
        while any(alive(pid) for pid in below):  # a killed sweep leaves no process behind
            assert time.monotonic() < patience, "workers outlive the sweep"
            time.sleep(0.02)
    return seen


def finish(out, undisturbed, *more):
    subprocess.run(command(out, *more), check=True)
    assert_same_table(load_table(out), undisturbed)


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path, undisturbed):
    kill_at_random(tmp_path / "s", 3, 1)
    finish(tmp_path / "s", undisturbed, "--workers", "1")


@pytest.mark.slow
@linux
def test_killed_twenty_times_at_random_moments(tmp_path, undisturbed):
    seen = kill_at_random(tmp_path / "s", 20, 2)
    assert seen[-1] < undisturbed.cells  # the last kill came before the end
    assert len(set(seen)) > 5  # and they came between different rows
    finish(tmp_path / "s", undisturbed, "--workers", "2")


@pytest.mark.slow
def test_a_second_process_on_one_folder_is_refused(tmp_path, undisturbed):
    out = tmp_path / "s"
    first = subprocess.Popen(command(out, "--workers", "1"))
    while rows(out) == 0:
        time.sleep(0.01)
    second = subprocess.run(command(out, "--workers", "1"), capture_output=True, text=True)
    running = first.poll() is None
    assert first.wait() == 0
    assert_same_table(load_table(out), undisturbed)
    assert running, "the first sweep ended too early for this test"
    assert second.returncode == 2 and f"written by another process (process {first.pid} on" in second.stderr


@pytest.mark.slow
def test_ctrl_c_twice_keeps_the_rows(tmp_path, undisturbed):
    out = tmp_path / "s"
    process = subprocess.Popen(command(out, "--workers", "2"), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while rows(out) < 8:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
    _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "cells are kept; the same sweep" in message and "Traceback" not in message
    assert 8 <= rows(out) < undisturbed.cells
    finish(out, undisturbed, "--workers", "2")


@pytest.mark.slow
@linux
def test_a_full_disk(tmp_path, undisturbed):
    """A limit on the size of files stops a write in the middle, as a full disk does."""
    out = tmp_path / "s"

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    stopped = subprocess.run(command(out, "--workers", "1"), preexec_fn=small_files, capture_output=True, text=True)
    assert stopped.returncode == 3, stopped.stderr
    assert "rows cannot be written (File too large)" in stopped.stderr and "goes on from here" in stopped.stderr
    assert 0 < rows(out) < undisturbed.cells and (out / ROWS).read_bytes().endswith(b"\n")
    finish(out, undisturbed, "--workers", "1")


@pytest.mark.slow
def test_a_corrupted_last_row(tmp_path, undisturbed):
    out = tmp_path / "s"
    subprocess.run(command(out, "--workers", "1"), check=True)
    whole = (out / ROWS).read_bytes()
    (out / ROWS).write_bytes(whole[:-30] + bytes(12) + b"\xff\xfe")
    finish(out, undisturbed, "--workers", "1")


@pytest.mark.slow
def test_one_worker_of_the_pool_is_killed(tmp_path, undisturbed):
    if not Path("/proc/self/stat").exists():
        pytest.skip("reads /proc")
    out = tmp_path / "s"
    process = subprocess.Popen(command(out, "--workers", "2"), stderr=subprocess.PIPE, text=True)
    while rows(out) < 8:
        time.sleep(0.01)
    workers = [pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 0, message
    assert_same_table(load_table(out), undisturbed)


CLUSTER = """
import json, os, signal, sys, threading, time
from distributed import Client, LocalCluster
from dynsim.cli import main

if __name__ == "__main__":
    out, options = sys.argv[1], json.loads(sys.argv[2])
    with LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None) as cluster, Client(cluster) as client:
        victims = client.run(os.getpid)
        def kill():
            rows = os.path.join(out, "rows.jsonl")
            while not os.path.exists(rows) or open(rows, "rb").read().count(b"\\n") < 8:
                time.sleep(0.01)
            os.kill(next(iter(victims.values())), signal.SIGKILL)
            print("killed", flush=True)
        killer = threading.Thread(target=kill)
        killer.start()
        status = main(["sweep", "signal_noise", *options, "--out", out, "--scheduler", cluster.scheduler_address, "--quiet"])
        killer.join()
        workers = set(client.run(os.getpid).values())
        print("status", status, "lost", len(set(victims.values()) - workers))
"""


@pytest.mark.slow
def test_a_worker_of_a_dask_cluster_is_killed(tmp_path, undisturbed):
    pytest.importorskip("distributed")
    (tmp_path / "cluster.py").write_text(CLUSTER)
    run = subprocess.run([sys.executable, tmp_path / "cluster.py", tmp_path / "s", json.dumps(OPTIONS)], capture_output=True, text=True,
        timeout=180)
    assert "killed" in run.stdout and "status 0 lost 1" in run.stdout, run.stdout + run.stderr
    assert_same_table(load_table(tmp_path / "s"), undisturbed)


PEAK = """
import resource, sys
from dynsim import sweep
from dynsim.sweep import Sampled
from dynsim.systems import signal_noise
if __name__ == "__main__":
    start = signal_noise.experiment("tiny")
    sweep(start, Sampled({"sigma_p": (1.0, 4.0)}, int(sys.argv[1])), seeds=1, measure=["train_loss@end", "t_attn", "clock"], steps=3,
          workers=int(sys.argv[2]), out=sys.argv[3])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_points(tmp_path):
    (tmp_path / "peak.py").write_text(PEAK)
    peaks = {}
    for points in (100, 10_000):
        out = subprocess.run([sys.executable, tmp_path / "peak.py", str(points), "1", tmp_path / str(points)], capture_output=True,
            text=True, check=True)
        peaks[points] = int(out.stdout)
    assert peaks[10_000] < 1.15 * peaks[100], peaks  # the table itself is 1 MB


@pytest.mark.slow
def test_a_sweep_by_mpi(tmp_path, undisturbed):
    pytest.importorskip("mpi4py")
    import shutil

    if shutil.which("mpiexec") is None:
        pytest.skip("no MPI")
    (tmp_path / "by_mpi.py").write_text(BY_MPI)
    run = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "3", sys.executable, "-m", "mpi4py.futures", tmp_path / "by_mpi.py"]
    subprocess.run([*run, tmp_path / "s"], check=True, timeout=180)
    assert_same_table(load_table(tmp_path / "s"), undisturbed)


BY_MPI = """
import sys
from mpi4py.futures import MPIPoolExecutor
from dynsim import sweep
from dynsim.sweep import geometric
from dynsim.systems import signal_noise

if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        sweep(signal_noise.experiment("tiny"), {"m_k": geometric(2, 100, 40), "lr": [0.01, 0.02]}, seeds=4,
              measure=["train_loss@end", "turns"], steps=300, executor=executor, out=sys.argv[1])
"""


@pytest.mark.slow
def test_the_commands_of_this_module_describe_the_sweep_in_python(undisturbed):
    from dynsim.sweep import geometric

    start = signal_noise.experiment("tiny")
    table = sweep(start, {"m_k": geometric(2, 100, 40), "lr": [0.01, 0.02]}, seeds=4, measure=["train_loss@end", "turns"], steps=300,
        workers=1)
    assert_same_table(table, undisturbed)
