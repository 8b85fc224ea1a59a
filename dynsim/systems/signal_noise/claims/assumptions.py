"""Assumptions that several claims share, and the ways their negative controls break a run."""

from __future__ import annotations

from functools import partial

import numpy as np

from .... import run_claims
from ....claims import Assumption
from ..reading import reading

__all__ = [
    "APART", "DISJOINT", "KAPPA_10", "KAPPA_2", "KAPPA_SMALL", "MOSTLY_PRIVATE", "NOISY", "RESOLVED", "SCALING", "SIGNGD", "STARTED",
    "broken",
]

SIGNGD = Assumption("SignGD without momentum at a constant rate", lambda e: reading(e).is_signgd)
DISJOINT = Assumption("pairwise disjoint supports", lambda e: reading(e).disjoint)
APART = Assumption("a signal whose coordinates no noise token meets", lambda e: reading(e).signal_apart)
STARTED = Assumption(
    "noise is not zero at first, so that no gradient is",
    lambda e: any(np.any(reading(e)[name][0]) for name in ("key_noise", "query_noise")),
)
MOSTLY_PRIVATE = Assumption(
    "each noise token has more on private than on shared coordinates",
    lambda e: bool(np.all(2 * reading(e).constant("noise_private_l1") > reading(e).a)),
)
NOISY = Assumption("|mu| < min a_i: noise moves faster than the signal", lambda e: bool(reading(e).mu < reading(e).a.min()))


def _regime(name: str, text: str) -> Assumption:
    return Assumption(text, lambda e: reading(e).is_signgd and reading(e).regime[name].met)


KAPPA_2 = _regime("kappa_2", "initial noise is at least 2 steps (kappa >= 2)")
KAPPA_10 = _regime("kappa_10", "initial noise is at least 10 steps (kappa >= 10)")
KAPPA_SMALL = _regime("kappa_small", "initial noise is small against the clock (T_key >= 5 kappa)")
SCALING = _regime("scaling", "initial weights are forgotten at T_attn (sigma_0 / (lr T_attn) <= 0.02)")
RESOLVED = _regime("steps", "the clock is resolved (T_key >= 5 steps)")

broken = partial(run_claims.broken, reading)
"""Negative control: the same run with some recorded quantities replaced by wrong ones."""
