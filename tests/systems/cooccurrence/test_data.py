"""Samples and initial weights: counts, laws, streams, and every way to ask for what there is not."""

from dataclasses import fields

import numpy as np
import pytest

from dynsim.systems import cooccurrence as co
from dynsim.systems.cooccurrence.data import HELD, KINDS, as_bags, draw_bags, draw_fresh, streams
from dynsim.systems.cooccurrence.initial import BOUNDS, DELTA, draw_weights, initial_bounds, unseen_columns

from ...helpers import same_bits

SETTING = co.Setting(n=12, L=5, m=6, m1=4)

# -- samples ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, L", [(6, 3), (12, 5), (60, 4), (600, 5)])
def test_the_training_set_of_assumption_2_3(n, L):
    """Exact counts of kinds, and no random token twice: this takes 3 + n (L - 7/3) tokens."""
    bags = draw_bags(co.Setting(n=n, L=L), seed=3)
    assert bags.tokens.shape == (n, L) == (bags.n, bags.L) and bags.d == 3 + n * (3 * L - 7) // 3 == 3 + n * L - n * 7 // 3
    assert np.bincount(bags.kinds, minlength=5).tolist() == [0, n // 2, n // 6, n // 6, n // 6]
    np.testing.assert_array_equal(bags.y, np.where(bags.kinds == 1, 1.0, -1.0))
    random = bags.tokens[bags.tokens >= 3]
    assert sorted(random) == list(range(3, bags.d)) and bags.all_different
    np.testing.assert_array_equal(bags.present, np.arange(bags.d))
    per_sample = (bags.tokens >= 3).sum(1)
    for kind, count in {1: L - 3, 2: L - 2, 3: L - 2, 4: L - 1}.items():
        assert (per_sample[bags.kinds == kind] == count).all()
    for kind, held in HELD.items():
        for token in range(3):
            counts = (bags.tokens[bags.kinds == kind] == token).sum(1)
            assert (counts == int(token in held)).all()


def test_a_small_vocabulary_repeats_tokens():
    bags = draw_bags(co.Setting(n=60, L=5, vocabulary=64), seed=0)
    assert bags.d == 64 and bags.tokens.max() < 64 and not bags.all_different
    assert np.bincount(bags.kinds, minlength=5).tolist() == [0, 30, 10, 10, 10]
    small = bags.restrict()
    assert small.d == len(bags.present) < 64 and (bags.present[small.tokens] == bags.tokens).all() and (small.kinds == bags.kinds).all()
    assert list(bags.present[:3]) == [0, 1, 2]


def test_the_law_of_definition_2_1():
    """Kinds with probabilities 1/2, 1/6, 1/6, 1/6 and random tokens uniform: each count within five standard deviations."""
    setting = co.Setting(n=30_000, L=4, vocabulary=13, balanced=False)
    fresh = draw_fresh(setting, 30_000, 13, np.random.default_rng(5))
    for bags in (draw_bags(setting, seed=1), fresh):
        found, shares = np.bincount(bags.kinds, minlength=5), np.array([0, 3, 1, 1, 1]) / 6
        assert found[0] == 0 and (np.abs(found - 30_000 * shares) <= 5 * np.sqrt(30_000 * shares)).all()
        random = bags.tokens[bags.tokens >= 3]
        counts = np.bincount(random, minlength=13)[3:]
        assert (np.abs(counts - len(random) / 10) < 5 * np.sqrt(len(random) / 10)).all()
        first, second = bags.tokens[bags.kinds == 4][:, 2:].T  # the last two of three: independent
        assert abs((first == second).mean() - 0.1) < 5 * np.sqrt(0.09 / len(first))
    assert len(np.unique(np.bincount(draw_bags(setting.replace(n=31), 0).kinds))) > 1, "any n where kinds are drawn"


def test_kinds_go_by_the_tokens_and_not_by_the_label():
    tokens = [[0, 1, 2, 3], [0, 2, 3, 4], [1, 2, 5, 6], [2, 7, 8, 9], [0, 1, 3, 4], [2, 2, 3, 4], [0, 0, 1, 2], [3, 4, 5, 6]]
    for y in (np.ones(8), -np.ones(8)):
        assert as_bags(tokens, y).kinds.tolist() == [1, 2, 3, 4, 0, 0, 0, 0]
    assert as_bags([[5, 3, 2, 1], [9, 9, 0, 2]], [1, -1]).kinds.tolist() == [3, 2], "whatever the order"


def test_bags_of_ones_own():
    bags = as_bags([[0, 4, 4], [2, 2, 2]], [1, -1])
    assert bags.d == 5 and bags.tokens.dtype == np.int64 and bags.y.dtype == float and not bags.all_different
    assert bags.present.tolist() == [0, 1, 2, 4] and bags.restrict().tokens.tolist() == [[0, 3, 3], [2, 2, 2]]
    assert as_bags([[0]], [1.0]).d == 3, "the special tokens are always there"


@pytest.mark.parametrize(
    ("tokens", "y", "says"),
    [
        ([0, 1, 2], [1], "tokens has shape"), ([[0.0, 1.0]], [1], "tokens has shape .* type float64"), ([[-1, 2]], [1], "integers >= 0"),
        (np.empty((0, 3), dtype=int), [], "tokens has shape"), (np.empty((2, 0), dtype=int), [1, 1], "tokens has shape"),
        ([["a", "b"]], [1], "tokens has shape"), ([[True, False]], [1], "tokens has shape"),
        ([[0, 1]], [1, -1], r"y has shape \(2,\).*n = 1"), ([[0, 1]], [[1]], "y has shape"), ([[0, 1]], [0], "must be -1 or [+]1"),
        ([[0, 1]], [np.nan], "must be -1 or"), ([[0, 1]], ["+"], "must be -1 or"), ([[0, 1]], [True], "must be -1 or"),
    ],
)
def test_bad_bags(tokens, y, says):
    with pytest.raises(ValueError, match=says):
        as_bags(tokens, y)


# -- settings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n": 5}, "n=5 must be"), ({"n": 6.5}, "n=6.5"), ({"n": True}, "n=True"),
        ({"n": 8}, r"n=8 must be a multiple of 6.*take 6, or balanced"),
        ({"n": 9999}, "take 9996|take 10002"), ({"L": 2}, "L=2"), ({"L": "5"}, "L='5'"), ({"m": 0}, "m=0"), ({"m1": 0}, "m1=0"),
        ({"m1": np.nan}, "m1=nan"), ({"vocabulary": -1}, "vocabulary=-1"), ({"vocabulary": 3}, "vocabulary=3 must be 0 .*or at least 4"),
        ({"vocabulary": 1}, "vocabulary=1"), ({"balanced": 1}, "balanced=1 must be True or False"), ({"attention": "no"}, "attention='no'"),
        ({"init": "kaiming"}, "unknown init 'kaiming'.*did you mean 'kaiming_"),
        ({"output": "sign"}, "unknown output 'sign': did you mean 'signs'"),
        ({"output": "kaiming"}, "output='kaiming' needs init="),
        ({"c0": 0.0}, "c0=0.0"), ({"c0": -1.0}, "c0=-1.0"),
        ({"c1": np.inf}, "c1=inf"), ({"c1": "big"}, "c1='big'"), ({"c0": np.nan}, "c0=nan"),
        ({"N": 3}, "unknown setting field 'N'. Valid: n, L"),
    ],
)
def test_bad_settings_name_field_value_and_fix(changes, says):
    with pytest.raises(ValueError, match=says):
        SETTING.replace(**changes)


def test_every_field_is_checked():
    for field in fields(co.Setting):
        with pytest.raises(ValueError, match=field.name):
            SETTING.replace(**{field.name: None})
    assert co.Setting.from_dict(SETTING.to_dict()) == SETTING
    assert SETTING.replace(n=7, balanced=False).n == 7


def test_scales():
    setting = co.Setting(L=5, m=40, m1=16, c0=0.3, c1=2.0)
    assert setting.sigma_0 == pytest.approx(0.3 / np.sqrt(200)) and setting.sigma_1 == pytest.approx(0.5)
    for name in ("sigma_0", "sigma_1"):
        with pytest.raises(ValueError, match=f"{name} is a number of init='normal'"):
            getattr(setting.replace(init="kaiming_uniform"), name)


# -- streams ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None, [0, 1]])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="seed=.*integer >= 0"):
        streams(seed)
    with pytest.raises(ValueError, match="seed="):
        co.dense(SETTING, seed=seed)


def test_streams_are_independent():
    """What one purpose draws, and how much, changes no other; a seed is a seed."""
    draws = {name: np.random.default_rng(stream).standard_normal(8) for name, stream in streams(0).items()}
    assert len(np.unique(np.concatenate(list(draws.values())))) == 8 * len(draws) == 64
    one, again, other = (draw_weights(SETTING, 20, seed) for seed in (0, np.int64(0), 1))
    assert all(same_bits(one[name], again[name]) and not same_bits(one[name], other[name]) for name in one)
    longer = draw_weights(SETTING.replace(L=9, n=600), 20, 0)
    assert same_bits(longer["W"], one["W"]) and same_bits(longer["a"], one["a"])
    np.testing.assert_allclose(longer["W_V"] * np.sqrt(9), one["W_V"] * np.sqrt(5), rtol=1e-14)  # sigma_0 has L in it
    more = draw_weights(SETTING, 25, 0)
    assert all(same_bits(more[name][:20], one[name]) for name in ("W_V", "W_K", "W_Q")), "further tokens come after"
    assert same_bits(draw_weights(SETTING.replace(m1=9), 20, 0)["W_K"], one["W_K"])
    wide = SETTING.replace(vocabulary=30)
    assert same_bits(draw_bags(wide, 4).tokens, draw_bags(wide.replace(m=60, c0=1.0), 4).tokens)
    assert not same_bits(draw_bags(wide, 4).tokens, draw_bags(wide, 5).tokens)
    assert not np.isin(unseen_columns(SETTING, 20, 300, 0)["W_V"], one["W_V"]).any()


# -- initial weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init, output", [("normal", "signs"), ("kaiming_uniform", "kaiming"), ("kaiming_normal", "kaiming"),
                                          ("kaiming_uniform", "signs")])
def test_laws_of_the_initial_weights(init, output):
    """Spread and kurtosis within five standard errors, and bounds of the uniform law."""
    setting = co.Setting(n=6, L=5, m=200, m1=150, init=init, output=output, c0=0.3, c1=2.0)
    d = 120
    weights = draw_weights(setting, d, 0)
    fan_in = {"W": 200, "W_V": d, "W_K": d, "W_Q": d, "a": 150}
    shapes = {"W": (150, 200), "a": (150,), **dict.fromkeys(("W_V", "W_K", "W_Q"), (d, 200))}
    for name, x in weights.items():
        assert x.shape == shapes[name]
        if name == "a" and output == "signs":
            assert set(x) == {-1.0, 1.0} and abs(x.mean()) < 5 / np.sqrt(150)
            continue
        if init == "normal":
            variance = setting.sigma_1**2 if name == "W" else setting.sigma_0**2
        else:
            variance = (1 / 3 if init == "kaiming_uniform" else 2) / fan_in[name]
        fourth = 1.8 if init == "kaiming_uniform" else 3.0
        assert abs((x**2).mean() / variance - 1.0) < 5 * np.sqrt((fourth - 1) / x.size), name
        assert abs(x.mean()) < 5 * np.sqrt(variance / x.size)
        if init == "kaiming_uniform":
            assert np.abs(x).max() < 1 / np.sqrt(fan_in[name]) and np.abs(x).max() > 0.95 / np.sqrt(fan_in[name])
        elif x.size > 1000:
            assert abs((x**4).mean() / variance**2 - 3.0) < 5 * np.sqrt(96 / x.size), name


def test_bounds_at_the_start_against_loops():
    """Each of them by plain loops over tokens, neurons and queries; delta is 1 %."""
    setting = co.Setting(n=6, L=4, m=30, m1=5, c0=0.4, c1=1.2)
    system = co.dense(setting, seed=7)
    w, bags, (n, L, m, m1, d) = system.initial, system.bags, (6, 4, 30, 5, system.bags.d)
    cache = system.forward(system.layout.views(system.start))
    s0, s1 = setting.sigma_0, setting.sigma_1

    def beta(x):
        return np.sqrt(4 / m * np.log(x / DELTA)) + 4 / m * np.log(x / DELTA)

    pairs = [abs(w["W_K"][i] @ w["W_Q"][j]) for i in range(d) for j in range(d)]
    pairs += [abs(w[name][i] @ w[name][j]) for name in ("W_V", "W_K", "W_Q") for i in range(d) for j in range(d) if i != j]
    neurons = [abs(w["W"][i] @ w["W"][j]) / (s1**2 * m * beta(2 * m1**2)) for i in range(m1) for j in range(m1) if i != j]
    neurons += [abs(w["W"][j] @ w["W_V"][i]) / (s0 * s1 * m * beta(2 * m1 * d)) for i in range(d) for j in range(m1)]
    neurons += [abs(row @ row / (s0**2 * m) - 1) / beta(2 * d) for name in ("W_V", "W_K", "W_Q") for row in w[name]]
    neurons += [abs(row @ row / (s1**2 * m) - 1) / beta(2 * m1**2) for row in w["W"]]
    attended = [sum(cache.p[i, k, l] * w["W_V"][bags.tokens[i, k]] for k in range(L)) for i in range(n) for l in range(L)]
    pulled = max(abs(row @ v) for row in w["W"] for v in attended) / (s0 * s1 * np.sqrt(m / L))
    sums = [sum(w["a"][k] * w["W"][j] @ w["W"][k] for k in range(m1) if k != j) for j in range(m1)]
    want = {
        "D.1": max(pairs) / (s0**2 * m * beta(2 * d)), "D.3": max(neurons),
        "D.4": max(abs(v @ v / (s0**2 * m / L) - 1) for v in attended) / beta(2 * n * L),
        "D.5 printed": pulled / np.sqrt(np.log(m1 * n * L / DELTA)), "D.5 corrected": pulled / np.sqrt(2 * np.log(2 * m1 * n * L / DELTA)),
        "D.6": abs((w["a"] > 0).sum() / m1 - 0.5) / np.sqrt(2 * np.log(4 / DELTA) / m1),
        "D.8": np.abs(cache.F).max() / (2 * s0 * s1 * np.sqrt(2 * L * m * m1 * np.log(2 * L * n / DELTA))),
        "E.5": np.abs(sums).max() / (s1**2 * np.sqrt(m1) * m * beta(2 * m1**2) * np.sqrt(np.log(4 * m1 / DELTA))),
    }
    found = initial_bounds(setting, bags, w, cache.p, cache.F)
    assert tuple(want) == BOUNDS
    np.testing.assert_allclose(found, list(want.values()), rtol=1e-11)
    np.testing.assert_array_equal(found, system.constants["initial_bounds"])


def test_kinds_in_order():
    assert KINDS == (1, 2, 3, 4) and HELD[1] == (0, 1, 2)
