"""The share of query noise that crosses: online it is what the recorded arrays say, replicate by replicate."""

import numpy as np
import pytest

from dynsim import Adam, SignGD, simulate, sweep
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.crossing import crossed_share
from dynsim.systems.signal_noise.predictions import key_turn

NAMES = ("query_noise", "query_signal")
LR = 1e-4
SMALL = signal_noise.experiment("figure3_disjoint").replace(
    setting=signal_noise.Setting(n=6, d=400, s=20, m_k=25, m_v=4, sigma_0=6e-3, disjoint=True), steps=700, options={}, record=NAMES,
)


def from_record(run, t):
    q, th = run["query_signal"], run["query_noise"]
    return crossed_share(th[t], th[-1], q[t], (np.sign(q[t:]) == np.sign(q[t])).all(0))


@pytest.mark.parametrize("options", [{}, {"classify_at": 150}], ids=["0.7 T_key", "chosen"])
@pytest.mark.parametrize("beta2", [0.8, 0.999])
def test_online_is_what_the_record_says(options, beta2):
    one = SMALL.replace(optimizer=Adam(LR, beta1=0.0, beta2=beta2, eps=0.0), options=options)
    table = sweep(one, seeds=2, measure="crossed", steps=one.steps, workers=1)
    assert table.errors == [] and (table["crossable"] > 20).all()
    for seed in range(2):
        run = one.replace(seed=seed).run()
        T_key = np.median(key_turn(run.constants["noise_l1"], 1.0, 25, LR))
        share, pairs = from_record(run, options.get("classify_at", round(0.7 * T_key)))
        assert (table["crossed"][seed], table["crossable"][seed]) == (share, pairs)
    if beta2 < 0.9:  # control: where noise crosses, the end matters
        assert (table["crossed"] > 0.1).all()
        assert not np.array_equal(table["crossed"], sweep(one, seeds=2, measure="crossed", steps=500, workers=1)["crossed"])


def test_by_hand():
    first = np.array([[1.0, -2.0, -1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    last = np.array([[-1.0, 0.5, 0.0, 5.0], [-1.0, -1.0, -1.0, -1.0]])
    share, pairs = crossed_share(first, last, np.array([1.0, -1.0]), np.array([True, False]))
    assert (share, pairs) == (0.5, 2)  # of the first row two oppose: one came over, one stands at 0; the second row does not count
    share, pairs = crossed_share(first, last, np.array([0.0, 0.0]), np.array([True, True]))
    assert np.isnan(share) and pairs == 0  # a signal of 0 has no side


def test_replicates_at_once_are_those_alone():
    system = signal_noise.lumped(SMALL.setting, SignGD, seed=range(3))
    runs = simulate(system, SignGD(LR), steps=300, record=NAMES)
    each = [from_record(runs.replicate(i), 100) for i in range(3)]
    q, th = (np.stack([runs.replicate(i)[name] for i in range(3)], axis=1) for name in ("query_signal", "query_noise"))
    share, pairs = crossed_share(th[100], th[-1], q[100], (np.sign(q[100:]) == np.sign(q[100])).all(0))
    assert [(s, p) for s, p in zip(share, pairs, strict=True)] == each


def test_a_run_that_ends_before_signs_are_classified_has_no_share():
    table = sweep(SMALL.replace(options={"classify_at": 50}), seeds=2, measure="crossed", steps=40, workers=1)
    assert np.isnan(table["crossed"]).all() and (table["crossable"] == 0).all()
