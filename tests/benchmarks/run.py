# ruff: noqa: E402  (threads must be set before NumPy and PyTorch are imported)
"""Race dynsim against the same run in PyTorch and JAX, side by side on two cores, and print the ratios.

    python tests/benchmarks/run.py [--rounds 9] [--quick] [--system NAME] [--markdown FILE]

Nothing is asserted about time; the script fails if a peer computes other numbers than dynsim. The contestants of a race
take turns, and the ratio is that of their fastest rounds: on a shared machine a busy moment costs a peer with
two threads more than dynsim with one, so that means or medians would flatter dynsim. The ratio of the medians
stands beside it. Peers that are not installed are skipped: ``pip install '.[bench]'``.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when NumPy and PyTorch are imported
    os.environ.setdefault(_variable, "2")
if hasattr(os, "sched_setaffinity") and __name__ == "__main__":  # JAX takes every core it is given
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])

import argparse
import importlib.util
import itertools
import platform
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import compiled
import numpy as np
import peers

from dynsim import Adam, GradientDescent, SignGD, simulate, sweep
from dynsim.flow import velocity_of
from dynsim.optimizers import GradientFlow, LinearDecay, changed_rule
from dynsim.recording import log_times
from dynsim.systems import attention_kernels, cooccurrence, gradient_heterogeneity, signal_noise
from dynsim.systems.gradient_heterogeneity.quadratic import targets
from dynsim.systems.gradient_heterogeneity.quadratic.model import quadratic

RULE = SignGD(5e-5)
FIGURE3 = signal_noise.preset("figure3")
MEANS = ("train_loss", "mean_value_signal", "softmax_11_mean", "softmax_21_mean")
TOLERANCE = 1e-9
HEAD = ("race", "dynsim, us a step and run", "against, us", "ratio", "of medians", "wanted")
LINE = "{:34s} {:26s} {:30s} {:>7s} {:>10s} {:>8s}"


@dataclass(frozen=True)
class Contestant:
    """A run of `steps` updates of `runs` systems at once."""

    name: str
    run: Callable[[], Any]
    steps: int
    runs: int = 1


@dataclass(frozen=True)
class Row:
    """One line of the table: microseconds a step and run in every round, of dynsim and of the other."""

    race: str
    ours: str
    against: str
    our_times: np.ndarray
    their_times: np.ndarray
    wanted: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Race, names with their fastest times, ratio of the fastest and of the median rounds, what is wanted."""
        best, middle = (f"{of(self.their_times) / of(self.our_times):.3g}" for of in (np.min, np.median))
        return (
            self.race, f"{self.ours} {self.our_times.min():.1f}", f"{self.against} {self.their_times.min():.1f}", best, middle, self.wanted
        )  # fmt: skip


def race(contestants: list[Contestant], rounds: int) -> dict[str, np.ndarray]:
    """Return microseconds a step and run of every contestant in every round; they take turns."""
    for c in contestants:  # compilation, first touch of memory, imports
        c.run()
    times: dict[str, list[float]] = {c.name: [] for c in contestants}
    for _ in range(rounds):
        for c in contestants:
            began = time.perf_counter()
            c.run()
            times[c.name].append((time.perf_counter() - began) / (c.steps * c.runs) * 1e6)
    return {name: np.array(values) for name, values in times.items()}


def rows(title: str, contestants: list[Contestant], rounds: int, wanted: dict[str, str]) -> list[Row]:
    """Race the first contestant against each of the others."""
    times = race(contestants, rounds)
    ours, *others = contestants
    result = [Row(title, ours.name, other.name, times[ours.name], times[other.name], wanted.get(other.name, "")) for other in others]
    for row in result:
        print(LINE.format(*row.cells), flush=True)
    return result


def same_numbers(system: Any, installed: dict[str, Callable[..., Any]], steps: int = 20) -> None:
    """Raise unless lumped run, dense run and all peers record the same nine quantities from the same weights."""
    ours = simulate(system, RULE, steps=steps)
    candidates = {name: peer(system, RULE.lr, steps) for name, peer in installed.items()}
    candidates["lumped"] = simulate(system.lump(RULE), RULE, steps=steps)
    for name, theirs in candidates.items():
        for quantity in peers.NAMES:
            gap = np.abs(ours[quantity] - theirs[quantity]).max() / np.abs(ours[quantity]).max()
            if not gap < TOLERANCE:
                raise SystemExit(f"{name} computes another {quantity} than dynsim (relative gap {gap:.1e} after {steps} steps): no race")


def found_peers() -> dict[str, Callable[..., Any]]:
    """Return the installed peers by name; say which are missing."""
    found: dict[str, Callable[..., Any]] = {}
    for package, functions in (("torch", (peers.torch_straightforward, peers.torch_tuned)), ("jax", (peers.jax_jitted,))):
        if importlib.util.find_spec(package) is None:
            print(f"skipped: {package} is not installed; pip install '.[bench]' installs the peers")
        else:
            found.update({function.__name__.replace("_", " "): function for function in functions})
    return found


def race_of_sweeps(setting: Any, runs: int, steps: int, rounds: int) -> list[Row]:
    """Race a sweep, and a batch with and without building it, against the compiled loop, which starts from arrays already drawn.

    All note the first step with a small softmax and the loss at the end. No product is so large that BLAS would share it out:
    all use one thread.
    """
    if importlib.util.find_spec("numba") is None:
        print("skipped: numba is not installed; pip install '.[bench]' installs the peers")
        return []
    system = signal_noise.lumped(setting, RULE, seed=range(runs))
    if not (apart := compiled.gap(system.replicates(slice(0, 16)), RULE, 300)) < TOLERANCE:
        raise SystemExit(f"the compiled loop computes another run than dynsim (relative gap {apart:.1e} after 300 steps): no race")
    start, name = compiled.arrays(system, RULE.lr), "compiled loop (numba)"

    def build_and_run() -> None:
        compiled.dynsim_batch(signal_noise.lumped(setting, RULE, seed=range(runs)), RULE, steps)

    def measured() -> None:
        sweep(setting, optimizer=RULE, seeds=runs, measure=("t_attn", "train_loss@end"), steps=steps, workers=1)

    times = race(
        [
            Contestant("sweep, one process", measured, steps, runs),
            Contestant("built and run", build_and_run, steps, runs),
            Contestant("run", lambda: compiled.dynsim_batch(system, RULE, steps), steps, runs),
            Contestant(name, lambda: compiled.compiled_loop(start, steps), steps, runs),
        ],
        rounds,
    )  # fmt: skip
    ours = [key for key in times if key != name]
    result = [Row(f"{runs} runs of {steps} steps", key, name, times[key], times[name], "> 1/4") for key in ours]
    for row in result:
        print(LINE.format(*row.cells), flush=True)
    seconds = {key: values.min() * 1e-6 * steps * 10_000 for key, values in times.items()}
    print(f"10,000 runs of {steps} steps would take: " + ", ".join(f"{key} {value:.0f} s" for key, value in seconds.items()))
    return result


def race_of_workers(setting: Any, cells: int, steps: int, rounds: int) -> list[Row]:
    """Race a sweep over two processes, their start included, against the same sweep in one."""
    def run(workers: int) -> None:
        points = {"lr": [RULE.lr * (1.0 + k / 100) for k in range(cells // 32)]}
        sweep(setting, points, optimizer=RULE, seeds=32, measure=("t_attn", "train_loss@end"), steps=steps, workers=workers)

    return rows(
        f"sweep of {cells} cells",
        [Contestant("two workers", lambda: run(2), steps, cells), Contestant("one process", lambda: run(1), steps, cells)],
        rounds, {"one process": "1.7"},
    )  # fmt: skip


def race_of_overlapping_seeds(setting: Any, runs: int, steps: int, rounds: int) -> list[Row]:
    """Race seeds with overlapping supports, padded and run together, against the same seeds one by one."""
    together = signal_noise.build.batches(setting, RULE, range(runs))
    alone = [signal_noise.lumped(setting, RULE, seed=seed) for seed in range(runs)]
    record = {"record": MEANS, "steps": steps}
    return rows(
        f"overlapping, {runs} seeds",
        [
            Contestant("batches", lambda: [simulate(system, RULE, **record) for _, system in together], steps, runs),
            Contestant("one by one", lambda: [simulate(system, RULE, **record) for system in alone], steps, runs),
        ],
        rounds, {"one by one": "> 1"},
    )  # fmt: skip


def race_of_tokens(n: int, m_k: int, rule: Any, steps: int, rounds: int) -> list[Row]:
    """Race the dense engine on samples of two general tokens in 784 dimensions, the size of images, against PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return []
    X, y = signal_noise.draw_tokens(signal_noise.Setting(n=n, d=784, s=783), 2, seed=0)
    system = signal_noise.from_tokens(X, y, **signal_noise.initial_weights(784, m_k, 20, 3e-3, seed=0))
    ours, theirs = simulate(system, rule, steps=20, record=["train_loss"]), peers.torch_tokens(system, rule, 20)
    gap = np.abs(ours["train_loss"] / theirs["train_loss"] - 1).max()
    if not gap < TOLERANCE:
        raise SystemExit(f"torch tokens computes another train_loss than dynsim (relative gap {gap:.1e}): no race")
    return rows(
        f"tokens, n = {n}, m_k = {m_k}, {type(rule).__name__}",
        [
            Contestant("dense", lambda: simulate(system, rule, steps=steps, record=["train_loss"]), steps),
            Contestant("torch tokens", lambda: peers.torch_tokens(system, rule, steps), steps),
        ],
        rounds, {"torch tokens": "> 1"},
    )  # fmt: skip


def evaluation(system: Any) -> Callable[[], Any]:
    """Return a function that forms the right-hand side of a system's gradient flow at its start."""
    params, out = (system.layout.views(x) for x in (np.array(system.start), np.empty(system.layout.size)))
    velocity = velocity_of(system)
    return lambda: velocity(params, system.forward(params), out)


def same_flow(system: Any) -> None:
    """Raise unless autograd returns the gradient of every weight, in both forms of the scores, as dynsim does."""
    out = np.empty(system.layout.size)
    views = system.layout.views(np.array(system.start))
    system.velocity(views, system.forward(views), system.layout.views(out))
    for all_scores in (False, True):
        rate, _, start = peers.torch_rate(system, all_scores=all_scores)
        theirs = rate(0.0, start)
        for name, block in system.layout.slices.items():
            if name != "tau" and not (gap := np.abs(out[block] - theirs[block]).max() / np.abs(out[block]).max()) < TOLERANCE:
                raise SystemExit(f"autograd returns another gradient of {name} than dynsim (relative gap {gap:.1e}): no race")


def race_of_flows(setting: Any, tau: float, rounds: int) -> list[Row]:
    """Race right-hand sides, then whole flows with the loss at 241 times, against autograd in the same solver with the same tolerances."""
    rule, until = GradientFlow(), tau / (setting.c1**2 * setting.m)
    at = np.unique(log_times(until))
    lumped, whole = cooccurrence.lumped(setting, rule), cooccurrence.restricted(setting)
    same_flow(whole)
    ours = simulate(lumped, rule, until=until, record=["train_loss"])["train_loss"]
    for as_written in (False, True):
        gap = np.abs(peers.torch_flow(whole, rule, at, as_written=as_written)["train_loss"] / ours - 1).max()
        if not gap < 1e-6:  # errors of the solver: autograd's state is the weights, whose tolerance is not that of displacements
            raise SystemExit(f"the flow by autograd has another loss than dynsim's (relative gap {gap:.1e}): no race")
    rate, _, start = peers.torch_rate(whole, all_scores=False)
    name = f"n = {setting.n}, m = {setting.m}"
    once, many = evaluation(lumped), max(3, 2000 // setting.n)

    def repeated(one: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: [one() for _ in range(many)] and None

    return rows(
        f"right-hand side, {name}",
        [Contestant("lumped", repeated(once), many), Contestant("autograd", repeated(lambda: rate(0.0, start)), many)],
        3 * rounds, {"autograd": "3"},
    ) + rows(
        f"whole flow, {name}",
        [
            Contestant("lumped", lambda: simulate(lumped, rule, until=until, record=["train_loss"]), 1),
            Contestant("autograd as the paper writes it, solve_ivp", lambda: peers.torch_solve_ivp(whole, rule, at, as_written=True), 1),
            Contestant("the same, solver's steps", lambda: peers.torch_flow(whole, rule, at, as_written=True), 1),
            Contestant("autograd with a^T W first, solve_ivp", lambda: peers.torch_solve_ivp(whole, rule, at), 1),
            Contestant("the same, the solver's steps", lambda: peers.torch_flow(whole, rule, at), 1),
        ],
        max(3, rounds // 2), {"autograd as the paper writes it, solve_ivp": "3"},
    )  # fmt: skip


def race_of_gram(setting: Any, tau: float, rounds: int) -> list[Row]:
    """Race the closed system of inner products against the matrices they are made of, in the same solver with the same tolerances."""
    rule, until = GradientFlow(), tau / (setting.c1**2 * setting.m)
    systems = {"gram": cooccurrence.gram(setting), "dense": cooccurrence.dense(setting), "lumped": cooccurrence.lumped(setting, rule)}

    def run(system: Any) -> Any:
        return simulate(system, rule, until=until, record=["train_loss"])

    closed, whole = (run(systems[name])["train_loss"] for name in ("gram", "dense"))
    if not (gap := np.abs(closed / whole - 1).max()) < 1e-6:
        raise SystemExit(f"inner products have another loss than the matrices (relative gap {gap:.1e}): no race")
    contestants = [Contestant(name, lambda system=system: run(system), 1) for name, system in systems.items()]
    return rows(f"whole flow, d = {systems['gram'].bags.d}, m = {setting.m}", contestants, max(3, rounds // 2), {"dense": "5"})


def race_of_bags(steps: int, rounds: int) -> list[Row]:
    """Race steps of gradient descent at the sizes of the paper's experiment against PyTorch with autograd."""
    experiment = cooccurrence.experiment("paper")
    rule, setting = experiment.optimizer, experiment.setting
    lumped, whole = cooccurrence.lumped(setting, rule), cooccurrence.restricted(setting)
    ours = simulate(lumped, rule, steps=20, record=["train_loss"])["train_loss"]
    contestants = [Contestant("lumped", lambda: simulate(lumped, rule, steps=steps, record=["train_loss"]), steps)]
    for name, all_scores in (("autograd, all scores", True), ("autograd, own scores", False)):
        theirs = peers.torch_bags_steps(whole, rule.lr, 20, all_scores=all_scores)["train_loss"]
        if not (gap := np.abs(ours / theirs - 1).max()) < TOLERANCE:
            raise SystemExit(f"{name} computes another loss than dynsim (relative gap {gap:.1e} after 20 steps): no race")
        contestants.append(
            Contestant(name, lambda all_scores=all_scores: peers.torch_bags_steps(whole, rule.lr, steps, all_scores=all_scores), steps)
        )
    return rows("GD, the paper's sizes", contestants, rounds, {})


def cost_of_evaluations(rounds: int) -> None:
    """Print the time of a right-hand side of the lumped system against n, and against the vocabulary that tokens are drawn from."""
    base = cooccurrence.preset("quick")
    settings = [base.replace(n=n) for n in (120, 240, 600, 1200)]
    settings += [base.replace(vocabulary=d) for d in (80, 160, 400, 1000, 4000, 20_000)]
    systems = [cooccurrence.lumped(setting, GradientFlow) for setting in settings]
    times = race([Contestant(str(i), evaluation(system), 1) for i, system in enumerate(systems)], 30 * rounds)
    print(f"{'n':>6s} {'vocabulary':>14s} {'tokens that occur':>18s} {'us':>8s} {'us / n':>8s}   a right-hand side, L = 5, m = 256")
    for i, (setting, system) in enumerate(zip(settings, systems, strict=True)):
        best = times[str(i)].min()
        print(f"{setting.n:6d} {setting.vocabulary or 'all different':>14} {system.bags.d:18d} {best:8.0f} {best / setting.n:8.2f}")


def races_of_cooccurrence(steps: int, rounds: int) -> list[Row]:
    """Run the races on bags of tokens; PyTorch's are left out where it is not installed."""
    table: list[Row] = []
    if importlib.util.find_spec("torch") is not None:
        table += race_of_flows(cooccurrence.preset("quick"), 3e3, rounds)
        table += race_of_bags(steps, rounds)
    table += race_of_gram(cooccurrence.Setting(n=24, L=5, m=2048, m1=16), 1e3, rounds)
    cost_of_evaluations(rounds)
    return table


def agree(system: Any, name: str, form: str = "") -> None:
    """Raise unless autograd returns every kernel's loss and the gradient of every block as dynsim does."""
    if not (gap := peers.attention_gap(system, form)) < 1e-12:
        raise SystemExit(f"{name}: autograd returns another loss or gradient than dynsim (relative gap {gap:.1e}): no race")


def with_threads(threads: int, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return the function with PyTorch's number of threads set before each call."""
    import torch

    def threaded() -> Any:
        torch.set_num_threads(threads)
        return run()

    return threaded


def race_of_basins(steps: int, sample: int, rounds: int) -> list[Row]:
    """Race the basin map of the example E5, all starts and both kernels in one run, against PyTorch start by start and all starts together.

    One start costs what any other does: PyTorch runs a start a round, another one each time, of a sample, and through all steps.
    """
    experiment = attention_kernels.experiment("stuck")
    lr, system = experiment.optimizer.lr, attention_kernels.queries(experiment.setting, seed=experiment.seed)
    agree(system, "E5")
    count, few = experiment.setting.starts, max(1, steps // 100)
    run = simulate(system, experiment.optimizer, steps=steps, record=["train_loss", "grad_norm"], every=steps)
    ends, record = system.layout.views(run.final).q[:, 0, 0, :, 0], {"record": ["train_loss"], "every": 300}
    chosen = [slice(i, i + 1) for i in np.linspace(0, count - 1, sample).round().astype(int)]
    for one in chosen:
        if not (gap := np.abs(peers.torch_queries_steps(system, lr, steps, one) - ends[:, one]).max()) < TOLERANCE:
            raise SystemExit(f"E5, start {one.start}: PyTorch ends elsewhere (gap {gap:.1e} after {steps} steps): no race")
    loss, slope = run["train_loss"][-1], run["grad_norm"][-1].max()
    shares = ", ".join(f"{kernel.name} {(f < 1e-20).mean():.2%}" for kernel, f in zip(system.kernels, loss, strict=True))
    print(f"E5 after {steps} steps from {count} starts: loss 0 from {shares}; largest gradient {slope:.1e}")
    turns = itertools.cycle(chosen)
    everything = slice(0, count)
    result = rows(
        f"E5, {count} starts, {steps} steps",
        [
            Contestant("one run", lambda: simulate(system, experiment.optimizer, steps=steps, **record), steps, count),
            Contestant("torch, start by start", with_threads(1, lambda: peers.torch_queries_steps(system, lr, steps, next(turns))), steps),
            Contestant("torch, all together", with_threads(1, lambda: peers.torch_queries_steps(system, lr, few, everything)), few, count),
        ],
        rounds, {"torch, start by start": "50"},
    )  # fmt: skip
    whole = {row.against: row.their_times.min() * 1e-6 * steps * count for row in result}
    ours = result[0].our_times.min() * 1e-6 * steps * count
    print(f"the whole map: one run {ours:.1f} s; extrapolated " + ", ".join(f"{name} {value:.0f} s" for name, value in whole.items()))
    return result


def race_of_layers(kernel: str, d_o: int, steps: int, rounds: int) -> list[Row]:
    """Race gradient descent on all four blocks of a layer against PyTorch, in every form, with one thread and with those it is given."""
    import torch

    setting = attention_kernels.Regression(kernel=kernel, trained="QKVO", N=32, n=16, D=64, H=2, d=32, d_o=d_o)
    system, rule, given = attention_kernels.dense(setting, seed=0), GradientDescent(0.1), torch.get_num_threads()
    contestants = [Contestant("dense", lambda: simulate(system, rule, steps=steps, record=["train_loss"]), steps)]
    for form in peers.ATTENTION:
        if form == "fused" and kernel != "softmax":
            continue
        agree(system, f"{kernel}, {form}", form)
        for threads in sorted({1, given}):
            run = with_threads(threads, lambda form=form: peers.torch_attention_steps(system, rule.lr, steps, form))
            contestants.append(Contestant(f"torch {form}, {threads} thread{'s' * (threads > 1)}", run, steps))
    result = rows(f"layer, {kernel}, d_o = {d_o}", contestants, rounds, {c.name: ">= 1" for c in contestants})
    torch.set_num_threads(given)
    return result


def race_of_classifiers(steps: int, rounds: int) -> list[Row]:
    """Race mini-batch steps of the classifier, both kernels, all parameters, against PyTorch."""
    import torch

    experiment = attention_kernels.experiment("text")
    system, rule, given = attention_kernels.dense(experiment.setting, seed=0), experiment.optimizer, torch.get_num_threads()
    agree(system, "text")
    contestants = [Contestant("dense", lambda: simulate(system, rule, steps=steps, record=["train_loss"]), steps)]
    for threads in sorted({1, given}):
        run = with_threads(threads, lambda: peers.torch_classifier_steps(system, rule.lr, steps))
        contestants.append(Contestant(f"torch, {threads} thread{'s' * (threads > 1)}", run, steps))
    result = rows("text, batches of 32, both kernels", contestants, rounds, {})
    torch.set_num_threads(given)
    return result


def races_of_attention_kernels(steps: int, rounds: int, *, quick: bool) -> list[Row]:
    """Run the races on attention kernels; all of them are against PyTorch."""
    if importlib.util.find_spec("torch") is None:
        print("skipped: torch is not installed; pip install '.[bench]' installs the peers")
        return []
    table: list[Row] = []
    for kernel in ("softmax", "gaussian"):
        for d_o in (1, 64):
            table += race_of_layers(kernel, d_o, steps, rounds)
    table += race_of_classifiers(steps, rounds)
    table += race_of_basins(3_000 if quick else attention_kernels.experiment("stuck").steps, 3, max(3, rounds // 3))
    return table


# -- gradient heterogeneity ------------------------------------------------------------------------------------------------


def stirred(system: Any) -> Any:
    """Return the system at a start where gains are not 1 nor biases 0, so that the comparison is about these, too."""
    rng = np.random.default_rng(0)
    return replace(system, start=system.start + 0.1 * rng.standard_normal(system.layout.size))


def race_of_transformers(norm: str, steps: int, rounds: int) -> list[Row]:
    """Race training steps of the small transformer, each on new sequences that both draw alike, against PyTorch."""
    import torch

    setting = gradient_heterogeneity.Transformer(norm=norm)
    system, given = gradient_heterogeneity.dense(setting, seed=0), torch.get_num_threads()
    if not (gap := max(peers.transformer_gap(stirred(system)))) < 1e-12:
        raise SystemExit(f"transformer, {norm}: autograd returns another loss or gradient than dynsim (relative gap {gap:.1e}): no race")
    table: list[Row] = []
    for rule, forms in ((Adam(1e-3), (False, True)), (GradientDescent(0.1), (False,))):
        ours = simulate(system, rule, steps=20, record=["train_loss"])["train_loss"]
        contestants = [Contestant("dense", lambda rule=rule: simulate(system, rule, steps=steps, record=["train_loss"]), steps)]
        for fused, threads in itertools.product(forms, sorted({1, given})):
            name = f"torch{' fused' * fused}, {threads} thread{'s' * (threads > 1)}"
            theirs = peers.torch_transformer_steps(system, rule, 20, fused=fused)["train_loss"]
            if not (gap := np.abs(ours / theirs - 1).max()) < TOLERANCE:
                raise SystemExit(f"transformer, {norm}: {name} computes another loss than dynsim (relative gap {gap:.1e}): no race")
            run = with_threads(threads, lambda rule=rule, fused=fused: peers.torch_transformer_steps(system, rule, steps, fused=fused))
            contestants.append(Contestant(name, run, steps))
        title = f"transformer, {norm}, {'Adam' if isinstance(rule, Adam) else 'GD'}"
        table += rows(title, contestants, rounds, {c.name: ">= 1" for c in contestants})
    torch.set_num_threads(given)
    return table


def race_of_products(norm: str, many: int, rounds: int) -> list[Row]:
    """Race a product with the Hessian, from the parameters and from a gradient's cache, against a gradient and a double backward pass."""
    import torch

    setting = gradient_heterogeneity.Transformer(norm=norm)
    system, given = stirred(gradient_heterogeneity.dense(setting, seed=0)), torch.get_num_threads()
    v = np.random.default_rng(1).standard_normal(system.layout.size)
    if not (gap := peers.transformer_product_gap(system, v)) < 1e-11:  # a gradient's bound and a digit: products cancel more
        raise SystemExit(f"transformer, {norm}: autograd returns another product than dynsim (relative gap {gap:.1e}): no race")
    params, out, along = (system.layout.views(x) for x in (np.array(system.start), np.empty(system.layout.size), v))
    batch = system.batch(0)

    def gradient() -> Any:
        cache = system.forward(params, batch)
        system.backward(params, cache, out)
        return cache

    cache = gradient()
    ways = {
        "product": lambda: system.hessian_vector(params, system.forward(params, batch), along, out),
        "gradient": gradient,
        "product from the cache": lambda: system.hessian_vector(params, cache, along, out),
        "torch gradient, 1 thread": with_threads(1, peers.torch_transformer_gradient(system)),
        "torch product, 1 thread": with_threads(1, peers.torch_transformer_product(system, v)),
    }

    def repeated(one: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: [one() for _ in range(many)] and None

    contestants = [Contestant(name, repeated(one), many) for name, one in ways.items()]
    result = rows(f"Hessian times vector, {norm}", contestants, rounds, {"gradient": ">= 1/3", "torch product, 1 thread": ">= 1"})
    torch.set_num_threads(given)
    return result


def race_of_rates(seeds: int, rounds: int) -> list[Row]:
    """Race a search for the best rate: all rates and seeds side by side, a horizon after the other, against one by one."""
    setting, tried = gradient_heterogeneity.Quadratic(k=100.0), targets.horizons(64)
    together = quadratic(setting, range(seeds))
    alone = [gradient_heterogeneity.dense(setting, seed) for seed in range(seeds)]
    table: list[Row] = []
    for name in ("gd", "signgd", "adam"):
        rule = targets.RULES[name]

        def one_by_one(rule: Any = rule) -> np.ndarray:
            losses = np.empty((len(tried), seeds, len(targets.FACTORS)))
            for (h, steps), (s, system) in itertools.product(enumerate(tried), enumerate(alone)):
                for f, rate in enumerate(targets.rate_unit(system, rule, steps) * targets.FACTORS):
                    decaying = changed_rule(rule, {"lr": LinearDecay(float(rate), steps)})
                    loss = simulate(system, decaying, steps=steps, record=["train_loss"])["train_loss"]
                    losses[h, s, f] = loss[-1] / loss[0] if loss.max() <= targets.HIGHEST * loss[0] else np.inf
            return losses

        def side_by_side(rule: Any = rule) -> np.ndarray:
            return np.array([targets.final_losses(together, rule, steps) for steps in tried])

        ours, theirs = side_by_side(), one_by_one()
        finite = np.isfinite(ours)
        if not ((finite == np.isfinite(theirs)).all() and np.abs(ours[finite] / theirs[finite] - 1).max() < TOLERANCE):
            raise SystemExit(f"quadratic, {name}: side by side and one by one end elsewhere: no race")
        runs = ours.size
        title = f"{len(targets.FACTORS)} x {len(tried)} x {seeds} quadratics, {name}"
        contestants = [Contestant("side by side", side_by_side, 1, runs), Contestant("one by one", one_by_one, 1, runs)]
        table += rows(title, contestants, rounds, {"one by one": "20"})
    return table


def races_of_gradient_heterogeneity(steps: int, rounds: int, *, quick: bool) -> list[Row]:
    """Run the races on transformers and on quadratics; PyTorch's are left out where it is not installed."""
    table: list[Row] = []
    if importlib.util.find_spec("torch") is None:
        print("skipped: torch is not installed; pip install '.[bench]' installs the peers")
    else:
        for norm in ("post", "pre"):
            table += race_of_transformers(norm, steps, rounds)
            table += race_of_products(norm, max(10, steps // 3), rounds)
    return table + race_of_rates(2 if quick else 8, max(3, rounds // 3))


def peak(setting: Any, steps: int) -> int:
    """Return the peak of memory in bytes of building and running a lumped system."""
    tracemalloc.start()
    simulate(signal_noise.lumped(setting, RULE, seed=0), RULE, steps=steps)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def races_of_signal_noise(few: int, many: int, rounds: int, *, quick: bool) -> list[Row]:
    """Run the races on tokens of signal and noise: `few` steps of dense systems and peers, `many` of lumped ones."""
    installed = found_peers()
    table: list[Row] = []

    def contestants(system: Any, steps: int) -> list[Contestant]:
        return [Contestant(name, lambda peer=peer: peer(system, RULE.lr, steps), steps) for name, peer in installed.items()]

    for d, wanted in ((2000, "30"),) if quick else ((2000, "30"), (20000, "300")):
        setting = FIGURE3.replace(d=d)
        dense, lumped = signal_noise.dense(setting, seed=0), signal_noise.lumped(setting, RULE, seed=0)
        same_numbers(dense, installed)
        mine = Contestant("lumped", lambda lumped=lumped: simulate(lumped, RULE, steps=many), many)
        others = contestants(dense, few if d == 2000 else few // 3)
        table += rows(f"overlapping, d = {d}", [mine, *others], rounds, {"torch straightforward": wanted})
        if d == 2000:
            mine = Contestant("dense", lambda dense=dense: simulate(dense, RULE, steps=few), few)
            table += rows("dense engine, d = 2000", [mine, *others], rounds, {name: "1" for name in installed})

    disjoint = FIGURE3.replace(disjoint=True)
    one = signal_noise.lumped(disjoint, RULE, seed=0)
    if installed:
        batch, dense = signal_noise.lumped(disjoint, RULE, seed=range(256)), signal_noise.dense(disjoint, seed=0)
        mine = Contestant("batch of 256", lambda: simulate(batch, RULE, steps=many // 3, record=MEANS), many // 3, 256)
        table += rows("disjoint, a run of many", [mine, *contestants(dense, few)], rounds, {"torch straightforward": "130"})
        mine = Contestant("lumped", lambda: simulate(one, RULE, steps=many), many)
        table += rows("disjoint, one run", [mine, *contestants(dense, few)], rounds, {})

    for n, m_k in ((100, 20), (100, 50), (200, 20), (200, 50)):
        for rule in (RULE, GradientDescent(0.01)):
            table += race_of_tokens(n, m_k, rule, few // 3, rounds)

    table += race_of_sweeps(disjoint, 256, many, rounds)
    table += race_of_workers(disjoint, 256 if quick else 1024, many, max(3, rounds // 3))
    table += race_of_overlapping_seeds(FIGURE3, 64, many // 9, rounds)

    huge = disjoint.replace(d=1e8)
    large = signal_noise.lumped(huge, RULE, seed=0)
    table += rows(
        "disjoint, d = 1e8 against d = 2000",
        [
            Contestant("d = 1e8", lambda: simulate(large, RULE, steps=many), many),
            Contestant("d = 2000", lambda: simulate(one, RULE, steps=many), many),
        ],
        2 * rounds, {"d = 2000": "> 1/1.3"},
    )  # fmt: skip
    print(f"peak memory of building and running 100 steps: d = 2000 {peak(disjoint, 100)} bytes, d = 1e8 {peak(huge, 100)} bytes")
    return table


RACES: dict[str, Callable[[int, int, int, bool], list[Row]]] = {
    "signal_noise": lambda few, many, rounds, quick: races_of_signal_noise(few, many, rounds, quick=quick),
    "cooccurrence": lambda few, many, rounds, quick: races_of_cooccurrence(few, rounds),
    "attention_kernels": lambda few, many, rounds, quick: races_of_attention_kernels(few, rounds, quick=quick),
    "gradient_heterogeneity": lambda few, many, rounds, quick: races_of_gradient_heterogeneity(few, rounds, quick=quick),
}
"""The races of every system, functions of (few steps, many steps, rounds, quick)."""


def main() -> None:
    """Run the races."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="a third of the steps, without d = 20000")
    parser.add_argument("--system", choices=tuple(RACES), help="only the races of one system")
    parser.add_argument("--markdown", metavar="FILE", help="also write the table in Markdown")
    args = parser.parse_args()
    few, many = (50, 300) if args.quick else (150, 900)
    versions = ", ".join(f"{p} {version(p)}" for p in ("numpy", "torch", "jax") if importlib.util.find_spec(p))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    about = f"Python {platform.python_version()}, {versions}; {cores} cores, float64"
    print(about)
    print(LINE.format(*HEAD))
    table: list[Row] = []
    for name, races in RACES.items():
        if args.system in (None, name):
            table += races(few, many, args.rounds, args.quick)
    if args.markdown:
        with open(args.markdown, "w", encoding="utf-8") as file:
            file.write(f"{about}\n\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}\n")
            file.writelines(f"| {' | '.join(row.cells)} |\n" for row in table)


if __name__ == "__main__":
    main()
