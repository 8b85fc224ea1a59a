"""Settings are validated, data follow their law, and a seed is one data set whatever asks for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.data import data_from_arrays, draw_data, draw_fresh, streams

from ...helpers import same_bits
from .helpers import random_arrays, random_setting

SETTING = signal_noise.Setting(n=6, d=300, s=12, sigma_p=1.5, mu_norm=0.7)


# -- settings --------------------------------------------------------------------------------------------------------------

COUNT, POSITIVE, NOT_NEGATIVE = "must be an integer >= {low}", "must be a finite number > 0", "must be a finite number >= 0"
LOWEST = {"n": 1, "d": 2, "s": 1, "m_k": 1, "m_v": 1}
BAD = [
    *((name, bad, COUNT.format(low=low)) for name, low in LOWEST.items() for bad in (low - 1, -3, 2.5, np.nan, "4", None, True)),
    *((name, bad, POSITIVE) for name in ("sigma_p", "mu_norm") for bad in (0, -1.0, np.nan, np.inf, "1", None, True)),
    *(("sigma_0", bad, NOT_NEGATIVE) for bad in (-1e-9, np.nan, -np.inf, "0", None, False)),
    *(("disjoint", bad, "must be True or False") for bad in (1, "yes", None)),
    ("d", 2**62 + 1, r"at most 2\*\*62"),
    ("s", 2000, r"at most d - 1 = 1999.*lower s or raise d"),
]


@pytest.mark.parametrize(("name", "bad", "says"), BAD, ids=str)
def test_every_field_out_of_range_is_refused(name, bad, says):
    shown = repr(bad) if not (name == "d" and isinstance(bad, int) and bad > 10) else str(bad)
    with pytest.raises(ValueError, match=says) as error:
        signal_noise.Setting(**{name: bad})
    assert str(error.value).startswith(f"{name}={shown}"), "the message names field and value"


def test_every_field_is_covered_by_the_table():
    assert {name for name, _, _ in BAD} == set(signal_noise.Setting().to_dict())


def test_disjoint_supports_that_do_not_fit():
    assert signal_noise.Setting(n=20, s=20, d=401, disjoint=True).disjoint
    with pytest.raises(ValueError, match=r"n=20, s=20 need 400 of 399 coordinates: raise d to 401 or set disjoint=False"):
        signal_noise.Setting(n=20, s=20, d=400, disjoint=True)


def test_a_setting_is_frozen_and_round_trips():
    with pytest.raises(AttributeError):
        SETTING.n = 3
    assert signal_noise.Setting.from_dict(SETTING.to_dict()) == SETTING
    assert SETTING.replace(n=9) != SETTING and SETTING.replace(n=9).replace(n=6) == SETTING
    assert signal_noise.Setting(d=1e8, n=np.int64(3)).d == 10**8 and hash(SETTING) == hash(SETTING.replace())
    with pytest.raises(ValueError, match="s=300 must be at most"):
        SETTING.replace(s=300)


@pytest.mark.parametrize(("key", "near"), [("sigmap", "sigma_p"), ("mu", "mu_norm"), ("mk", "m_k"), ("disjoin", "disjoint")])
def test_unknown_fields_name_the_nearest(key, near):
    for call in (lambda: SETTING.replace(**{key: 1}), lambda: signal_noise.Setting.from_dict({key: 1})):
        with pytest.raises(ValueError, match=f"unknown setting field '{key}'") as error:
            call()
        assert f"did you mean '{near}'" in str(error.value) or near in str(error.value)


@given(n=st.integers(1, 6), s=st.integers(1, 8), extra=st.integers(0, 30), seed=st.integers(0, 2**31), disjoint=st.booleans())
def test_shapes_and_supports_of_any_setting(n, s, extra, seed, disjoint):
    d = 1 + n * s + extra if disjoint else 1 + s + extra
    data = draw_data(signal_noise.Setting(n=n, d=d, s=s, disjoint=disjoint), seed)
    tokens = data.dense_tokens()
    assert tokens.shape == (n + 1, d) and set(data.y) <= {-1.0, 1.0}
    np.testing.assert_array_equal(tokens[0], np.eye(d)[0])
    assert ((tokens[1:] != 0).sum(1) == s).all() and (tokens[1:, 0] == 0).all()
    np.testing.assert_array_equal(data.xi, data.y[:, None] * tokens[1:])
    assert (np.diff(data.columns) > 0).all() and (tokens[:, np.setdiff1d(np.arange(d), data.columns)] == 0).all()
    shared = ((tokens != 0).sum(0) > 1).sum()
    assert data.shared == shared and not (disjoint and shared)


def test_norms_are_those_of_the_dense_tokens():
    for seed in range(3):
        arrays = random_arrays(seed)
        for data in (draw_data(SETTING, seed), data_from_arrays(arrays["mu"], arrays["xi"], arrays["y"])):
            tokens, norms = data.dense_tokens(), data.norms()
            private = np.where((tokens != 0).sum(0) == 1, np.abs(tokens), 0.0).sum(1)
            for name, want in {"l1": np.abs(tokens).sum(1), "l2": np.linalg.norm(tokens, axis=1), "private_l1": private}.items():
                np.testing.assert_allclose(norms[f"mu_{name}"], want[0], rtol=1e-14)
                np.testing.assert_allclose(norms[f"noise_{name}"], want[1:], rtol=1e-14)
    assert draw_data(SETTING, 0).norms()["mu_l2"] == SETTING.mu_norm


# -- the law ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("disjoint", "d"), [(False, 401), (True, 401), (True, 801)])
def test_law_of_the_training_data(disjoint, d):
    """Labels, supports and entries follow Definition 2.1; a 10 % wrong standard deviation is told apart."""
    setting = signal_noise.Setting(n=20, d=d, s=20, sigma_p=1.5, disjoint=disjoint)
    draws = [draw_data(setting, seed) for seed in range(30)]
    y = np.concatenate([data.y for data in draws])
    assert stats.binomtest(int((y > 0).sum()), len(y)).pvalue > 1e-3
    values = np.concatenate([data.xi[data.xi != 0] for data in draws]) / setting.sigma_p
    assert stats.kstest(values, "norm").pvalue > 1e-3 > stats.kstest(1.1 * values, "norm").pvalue
    hits = sum((data.xi != 0).sum(0) for data in draws)[1:]
    if disjoint and d == 401:
        np.testing.assert_array_equal(hits, 30)  # 20 x 20 coordinates out of 400: each exactly once a draw
    else:
        assert stats.chisquare(hits).pvalue > 1e-3


def test_law_of_fresh_data():
    setting = signal_noise.Setting(n=4, d=81, s=20, sigma_p=1.5, disjoint=True)
    columns, tokens = draw_fresh(setting, 2000, np.random.default_rng(1))
    dense = np.zeros((2000, setting.d))
    dense[:, columns] = tokens.toarray()
    assert ((dense != 0).sum(1) == setting.s).all() and (dense[:, 0] == 0).all()
    assert stats.kstest(dense[dense != 0] / setting.sigma_p, "norm").pvalue > 1e-3
    assert stats.chisquare((dense != 0).sum(0)[1:]).pvalue > 1e-3


# -- seeds -----------------------------------------------------------------------------------------------------------------


def test_same_seed_same_bits_other_seed_other_data():
    one, again, other = (draw_data(SETTING, seed) for seed in (3, 3, 4))
    assert same_bits(one.dense_tokens(), again.dense_tokens()) and same_bits(one.y, again.y)
    assert not same_bits(one.dense_tokens(), other.dense_tokens())


def test_changing_the_weights_law_leaves_the_data_alone():
    one = draw_data(SETTING, 3)
    for change in ({"m_k": 7}, {"m_v": 3}, {"sigma_0": 0.5}):
        assert same_bits(one.dense_tokens(), draw_data(SETTING.replace(**change), 3).dense_tokens())


def test_streams_are_different():
    firsts = {name: np.random.default_rng(stream).random() for name, stream in streams(0).items()}
    assert len(set(firsts.values())) == len(firsts) and "data" in firsts


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match=f"seed={seed!r} must be an integer >= 0"):
        draw_data(SETTING, seed)


# -- user arrays -----------------------------------------------------------------------------------------------------------


def changed(**changes):
    return {**random_arrays(0, n=5, d=24, m_k=4, m_v=3), **changes}


def spoilt(name, value, where):
    array = random_arrays(0, n=5, d=24, m_k=4, m_v=3)[name].copy()
    array[where] = value
    return {name: array}


PLACES = {"mu": 3, "xi": (1, 2), "y": 0, "W_Q": (0, 0), "W_K": (3, 23), "W_V_pos": (2, 1), "W_V_neg": (0, 5)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        *((spoilt(name, bad, where), rf"{name} has {bad} at .*every entry must be finite")
          for bad in (np.nan, np.inf, -np.inf) for name, where in PLACES.items()),
        ({"mu": np.ones((2, 24))}, r"mu has shape \(2, 24\); it must have shape \(d,\)"),
        ({"mu": np.zeros(24)}, "mu is zero"),
        ({"xi": np.ones(24)}, r"xi has shape \(24,\).*\(n, d\) with d = 24"),
        ({"xi": np.ones((5, 23))}, r"xi has shape \(5, 23\)"),
        ({"xi": np.ones((0, 24)), "y": np.ones(0)}, "must not be empty"),
        ({"y": np.ones(4)}, r"y has shape \(4,\).*n = 5 as in xi"),
        ({"y": np.array([1.0, -1, 0, 1, 1])}, "y contains 0: every label must be -1 or"),
        ({"y": np.array([1.0, 2, 1, 1, 1])}, "y contains 2"),
        ({"W_Q": np.ones((4, 23))}, r"W_Q has shape \(4, 23\).*d = 24"),
        ({"W_K": np.ones((3, 24))}, r"W_K has shape \(3, 24\).*as W_Q"),
        ({"W_V_pos": np.ones(24)}, r"W_V_pos has shape \(24,\)"),
        ({"W_V_neg": np.ones((2, 24))}, r"W_V_neg has shape \(2, 24\).*as W_V_pos"),
        ({"xi": [["a"] * 24] * 5}, "xi must be an array of numbers"),
        ({"xi": [[1.0] * 24, [1.0]]}, "xi must be an array of numbers"),
    ],
)
def test_bad_arrays_name_the_argument(changes, says):
    with pytest.raises(ValueError, match=says):
        signal_noise.from_arrays(**changed(**changes))


def test_good_arrays_are_copied_and_come_back():
    arrays = changed()
    system = signal_noise.from_arrays(**{name: a.tolist() for name, a in arrays.items()})
    np.testing.assert_array_equal(system.data.mu, arrays["mu"])
    np.testing.assert_array_equal(system.data.xi, arrays["xi"])
    before = system.start.copy()
    system = signal_noise.from_arrays(**arrays)
    for a in arrays.values():
        a *= 0.0
    assert same_bits(system.start, before) and system.data.xi.any()


def test_drawn_data_and_user_arrays_are_the_same_kind_of_thing():
    setting = random_setting(0, disjoint=False)
    drawn = draw_data(setting, 0)
    rebuilt = data_from_arrays(drawn.mu, drawn.xi, drawn.y)
    assert same_bits(rebuilt.dense_tokens(), drawn.dense_tokens()) and rebuilt.setting is None
    assert same_bits(rebuilt.columns, drawn.columns)
