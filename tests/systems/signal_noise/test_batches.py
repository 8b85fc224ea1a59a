"""Seeds that run together: replicates with overlapping supports, and batches whose seeds do not know of each other."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.build import WIDTH, batches
from dynsim.systems.signal_noise.fresh import _block

from ...helpers import LUMPING_RULES, gap, same_bits
from .helpers import NINE, random_setting

SMALL = signal_noise.Setting(n=6, d=60, s=8, m_k=7, m_v=3, sigma_0=0.02)
SEEDS = range(5)
RECORD = [*NINE, "ties", "test_loss", "test_error"]


def widths(setting, seeds=SEEDS):
    """Number of shared features of each seed."""
    return [signal_noise.lumped(setting, SignGD, seed).features.size - setting.n - 1 for seed in seeds]


# -- replicates with overlapping supports ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", LUMPING_RULES.values(), ids=LUMPING_RULES)
@pytest.mark.parametrize("draw", [None, pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow)],
                         ids=["small", "first draw", "second draw"])
def test_a_replicate_is_the_single_run_of_its_seed(draw, rule):
    setting = SMALL if draw is None else random_setting(draw, disjoint=False)
    assert len(set(widths(setting))) > 1, "some replicate is padded"
    system = signal_noise.lumped(setting, rule, seed=SEEDS)
    run = simulate(system, rule, steps=300, record=RECORD)
    compared = 0
    for i, seed in enumerate(SEEDS):
        single = signal_noise.lumped(setting, rule, seed=seed)
        alone, row = simulate(single, rule, steps=300, record=RECORD), run.replicate(i)
        assert gap(row["ties"][0], alone["ties"][0]) == 0.0
        if alone["ties"].any() or row["ties"].any():
            continue
        compared += 1
        for name in RECORD:
            assert gap(row[name], alone[name]) < 1e-12, name
        ours, theirs, size = system.layout.views(row.final), single.layout.views(alone.final), single.features.size
        assert gap(ours.W_QK[:, :size], theirs.W_QK) < 1e-12 and gap(ours.v[:size], theirs.v) < 1e-12
        assert not ours.W_QK[:, size:].any() and not ours.v[size:].any(), "padding never moves"
        assert row.provenance == alone.provenance
        for name, constant in alone.constants.items():
            np.testing.assert_array_equal(row.constants[name], constant)
        assert gap(row["key_noise"], run.replicate(i - 1)["key_noise"]) > 1e-3, "negative control: the seeds differ"
    assert compared >= 3


def test_a_batch_need_not_have_shared_features_in_every_replicate():
    setting = SMALL.replace(n=3, d=80, s=4)
    some = widths(setting, range(8))
    assert 0 in some and max(some) > 0
    rule = SignGD(1e-3)
    run = simulate(signal_noise.lumped(setting, rule, range(8)), rule, steps=100)
    none = [i for i, width in enumerate(some) if width == 0]
    part = simulate(signal_noise.lumped(setting, rule, range(8)).replicates(slice(none[0], none[0] + 1)), rule, steps=100)
    for i in none:
        alone = simulate(signal_noise.lumped(setting, rule, i), rule, steps=100)
        assert all(gap(run[name][:, i], alone[name]) < 1e-12 for name in NINE)
    assert all(same_bits(part[name][:, 0], run[name][:, none[0]]) for name in NINE)


def test_gradients_of_a_padded_batch():
    system = signal_noise.lumped(SMALL, SignGD, seed=SEEDS)
    point = 0.5 * np.random.default_rng(0).standard_normal(system.start.shape)
    assert gradcheck(system, point).worst < 1e-13
    for index in (slice(1, 3), 4):
        assert gradcheck(system.replicates(index), point[index]).worst < 1e-13


def test_replicates_of_a_padded_batch():
    rule = SignGD(1e-3)
    system = signal_noise.lumped(SMALL, rule, seed=SEEDS)
    run = simulate(system, rule, steps=60, record=RECORD)
    part, one = simulate(system.replicates(slice(1, 4)), rule, steps=60, record=RECORD), system.replicates(2)
    for name in RECORD:
        assert same_bits(part[name], run[name][:, 1:4]), name
        assert gap(simulate(one, rule, steps=60, record=[name])[name], run[name][:, 2]) < 1e-12, name
    assert one.features.size == system.features.size == one.test.H.shape[-1]


def test_padding_makes_no_ties():
    system = signal_noise.lumped(SMALL, SignGD, seed=SEEDS)
    run = simulate(system, SignGD(1e-3), steps=20, record=["ties"])
    assert (run["ties"] == 0).all()
    views, grad = system.layout.views(np.array(system.start)), np.empty_like(system.start)
    system.backward(views, system.forward(views), system.layout.views(grad))
    wide = max(widths(SMALL))
    assert [(row == 0).sum() for row in grad] == [(2 * SMALL.m_k + 1) * (wide - width) for width in widths(SMALL)], "zeros there are"


def test_zero_weights_stay_exactly_zero_in_a_padded_batch():
    """sgn(0) = 0 holds where the padding hides no zero."""
    for rule in LUMPING_RULES.values():
        system = signal_noise.lumped(SMALL.replace(sigma_0=0.0), rule, seed=SEEDS)
        final = system.layout.views(simulate(system, rule, steps=50).final)
        assert not final.W_QK.any() and final.v.any()


@pytest.mark.parametrize("name", LUMPING_RULES)
def test_an_absurd_rate_moves_no_padding(name):
    rule = type(LUMPING_RULES[name])(**{**vars(LUMPING_RULES[name]), "lr": 1e200})
    system = signal_noise.lumped(SMALL, rule, seed=SEEDS)
    run = simulate(system, rule, steps=20)
    final = system.layout.views(run.final)
    for i, width in enumerate(widths(SMALL)):
        own = SMALL.n + 1 + width
        assert not final.W_QK[i, :, own:].any() and not final.v[i, own:].any()
        assert run.replicate(i).ended_at == simulate(signal_noise.lumped(SMALL, rule, seed=i), rule, steps=20).ended_at


# -- batches ---------------------------------------------------------------------------------------------------------------


def results(setting, rule, seeds, steps=40):
    """Final parameters, softmax outputs, training and test loss and error of each seed, as its batch has them."""
    record = {"softmax_11": 1, "softmax_21": 1, "train_loss": 1, "test_loss": steps, "test_error": steps}
    found = {}
    for positions, system in batches(setting, rule, seeds):
        run = simulate(system, rule, steps=steps, record=record)
        for i, position in enumerate(positions):
            found[seeds[position]] = [run.final[i], *(run[name][:, i] for name in record)]
    return found


FIGURE3 = signal_noise.preset("figure3")
CASES = {
    "overlapping": (FIGURE3, SignGD(5e-5)), "overlapping, gradient descent": (FIGURE3, GradientDescent(0.1)),
    "disjoint": (FIGURE3.replace(disjoint=True), SignGD(5e-5)),
}


@pytest.mark.parametrize("case", ["overlapping", *(pytest.param(name, marks=pytest.mark.slow) for name in list(CASES)[1:])])
def test_no_bit_of_a_seed_depends_on_the_others(case):
    setting, rule = CASES[case]
    seeds = list(range(20))
    together, reverse = results(setting, rule, seeds), results(setting, rule, seeds[::-2])
    assert sorted(together) == seeds
    for seed in seeds:
        (alone,) = results(setting, rule, [seed]).values()
        assert all(same_bits(a, b) for a, b in zip(alone, together[seed], strict=True)), seed
        if seed in reverse:
            assert all(same_bits(a, b) for a, b in zip(alone, reverse[seed], strict=True)), seed
    assert not same_bits(together[0][1], together[1][1])


def test_the_width_of_a_seed_is_its_own():
    for setting in (SMALL, FIGURE3, FIGURE3.replace(disjoint=True)):
        seeds = [7, 3, 11, 3, 0, 5]
        own = dict(zip(seeds, widths(setting, seeds), strict=True))
        found = batches(setting, SignGD, seeds)
        assert sorted(sum((positions for positions, _ in found), [])) == list(range(len(seeds)))
        for positions, system in found:
            width = system.features.size - setting.n - 1
            assert system.start.shape == (len(positions), system.layout.size) and width % WIDTH == 0
            assert all(width - WIDTH < own[seeds[i]] <= width for i in positions)
            assert system.provenance["seed"] == [seeds[i] for i in positions]
        assert len({system.features.size for _, system in found}) == len(found), "seeds of equal width run together"
    assert batches(SMALL, SignGD, []) == []
    ((positions, system),) = batches(SMALL, SignGD, [4])
    assert positions == [0] and system.start.ndim == 2, "one seed has the leading axis, too"


def test_rules_that_do_not_lump_run_seed_by_seed():
    rule = Adam(1e-3)
    found = batches(SMALL, rule, [3, 1])
    assert [positions for positions, _ in found] == [[0], [1]] and all(system.start.ndim == 1 for _, system in found)
    for (_, system), seed in zip(found, [3, 1], strict=True):
        assert same_bits(simulate(system, rule, steps=5).final, simulate(signal_noise.best(SMALL, rule, seed), rule, steps=5).final)


def digests():
    """A digest of every result of some seeds of every case, for a process of its own."""
    return {case: [sha256(a.tobytes()).hexdigest() for row in results(*CASES[case], range(4)).values() for a in row] for case in CASES}


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_blas_threads():
    """Read when NumPy is imported, hence processes of their own."""
    found = []
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
        code = f"import json; from {__name__} import digests; print(json.dumps(digests()))"
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] and set(found[0]) == set(CASES)


@pytest.mark.parametrize("size", [8, 21, 64, 96, 160])
@pytest.mark.parametrize("m_k", [4, 100, 400])
def test_products_with_fresh_tokens_are_small_enough_for_one_thread(size, m_k):
    block = _block(1000, size, m_k)
    assert 1000 % block == 0 and block * size * m_k <= 4 * 65536 and block * max(size, m_k) < 4 * 2304
    assert _block(1000, 2000, 100) == 1000, "a dense model's products are not cut"
    assert _block(1, size, m_k) == 1


def test_cutting_the_fresh_tokens_changes_nothing_but_rounding(monkeypatch):
    system = signal_noise.lumped(SMALL, SignGD, seed=SEEDS)
    losses = []
    for block in (1000, 8):
        monkeypatch.setattr("dynsim.systems.signal_noise.fresh._block", lambda *_, block=block: block)
        run = simulate(system, SignGD(1e-3), steps=50, record=["test_loss", "test_error"], every=25)
        losses.append(SimpleNamespace(**run.arrays))
    assert gap(losses[0].test_loss, losses[1].test_loss) < 1e-14 and (losses[0].test_error == losses[1].test_error).all()
