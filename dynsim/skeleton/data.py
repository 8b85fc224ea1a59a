"""Prompts of N labelled tokens and a query: labels y_i = <w, x_i>, with a task vector w ~ N(0, I/d) of each prompt's own."""

from dataclasses import asdict, dataclass

import numpy as np

from dynsim.settings import build_setting, check_number, check_whole, replaced


@dataclass(frozen=True)
class Setting:
    """Size of the task, and where training starts.

    Parameters
    ----------
    d, N, B : int
        Dimension of the tokens, labelled tokens of a prompt, number of prompts; >= 1.
    start : float
        Value at which both weights start, > 0.
    """

    d: int = 8
    N: int = 32
    B: int = 1000
    start: float = 0.05

    def __post_init__(self):
        for name in ("d", "N", "B"):
            check_whole(self, name, 1)
        check_number(self, "start", positive=True)

    def replace(self, **changes):
        """Return a copy with some fields changed; a ValueError names the nearest valid field."""
        return replaced(self, changes)

    def to_dict(self):
        """Return the fields as plain data, for files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Build a setting from plain data; a ValueError names the nearest valid field."""
        return build_setting(cls, values)


def draw(setting, seed):
    """Return s = mean_i y_i <x_i, x_q> and the label y = <w, x_q> of the query, each of shape (B,)."""
    rng, d = np.random.default_rng(seed), setting.d
    w, query = rng.normal(size=(2, setting.B, d)) * np.array([d**-0.5, 1.0])[:, None, None]
    x = rng.normal(size=(setting.B, setting.N, d))
    return np.vecdot(np.einsum("bnd,bd,bne->be", x, w, x, optimize=True) / setting.N, query), np.vecdot(w, query)
