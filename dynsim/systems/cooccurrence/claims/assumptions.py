"""Assumptions that several claims share, and the ways their negative controls break a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .... import run_claims
from ....claims import Assumption, Inconclusive
from ..data import SHARES, SPECIAL, Setting
from ..predictions import conditions
from ..reading import Reading, reading

__all__ = [
    "BALANCED", "CONDITION_1", "CONSTANT_RHO", "DIFFERENT", "FLOW", "FROM_START", "INACTIVE", "LATE", "LONG", "MANY", "MOST_RANDOM",
    "SMALL", "SURVIVES", "TRAINED", "WIDE", "WIDE_ATTENTION", "altered", "broken",
]


def _condition_1(evidence: Any) -> bool:
    """Whether the law of the weights is that of Condition 1; of weights given without a law, only whether the last layer is signs."""
    r = reading(evidence)
    signs = bool(r.constant("signs"))
    given = r.run.provenance.get("setting") is not None
    return signs and (not given or (r.setting.init == "normal" and r.setting.output == "signs"))


def _sizes(r: Reading) -> Setting:
    """Return a setting of the run's sizes, also where the data were given as bags."""
    n, L = int(r.constant("n")), int(r.constant("L"))
    if L < SPECIAL:
        raise Inconclusive(f"bags of {L} tokens: the theory needs {SPECIAL} or more")
    # fewer than six samples miss the same conditions as six
    return Setting(n=max(n, 6), L=L, m=int(r.constant("m")), m1=int(r.constant("m1")), balanced=False)


def _condition(start: str) -> Assumption:
    """Return one of `predictions.conditions` about sizes as an assumption; `start` is how its text begins."""
    (text,) = (c.text for c in conditions(Setting()) if c.text.startswith(start))
    return Assumption(text, lambda e: next(c.met for c in conditions(_sizes(reading(e))) if c.text == text))


def _balanced(evidence: Any) -> bool:
    shares = reading(evidence).array("shares")
    return bool(np.allclose(shares, np.array(list(SHARES.values())) / sum(SHARES.values()), rtol=0, atol=1e-12))


def _trained(evidence: Any) -> bool:
    r = reading(evidence)
    return r.run.provenance.get("setting") is None or r.setting.attention


def _constant_rho(evidence: Any) -> bool:
    r = reading(evidence)
    return bool(34.0 * r.constant("m1") * np.log(max(r.tau[-1], 1.0)) ** 2 <= 0.5 * r.constant("rho_0") ** 2)


CONDITION_1 = Assumption("normal initial weights, output signs (Condition 1)", _condition_1)
BALANCED = Assumption("n/2, n/6, n/6, n/6 samples of the four kinds (Assumption 2.3)", _balanced)
DIFFERENT = Assumption("all random tokens are different (Assumption 2.3)", lambda e: bool(reading(e).array("all_different")))
FLOW = Assumption("gradient flow, not steps", lambda e: reading(e).is_flow)
FROM_START = Assumption("the record begins at the start", lambda e: reading(e).from_start)
SMALL = Assumption("outputs are at most 1 at the start", lambda e: reading(e).constant("F_0") <= 1.0)
TRAINED = Assumption("keys and queries learn", _trained)
LATE = Assumption("the clock tau reaches 1e3", lambda e: bool(reading(e).tau[-1] >= 1e3))
LONG = Assumption("bags of at least four tokens", lambda e: reading(e).constant("L") >= 4)
WIDE_ATTENTION = Assumption(
    "sqrt(L/m) <= 0.1: scores hardly move one another", lambda e: bool(reading(e).constant("L") <= 0.01 * reading(e).constant("m"))
)
CONSTANT_RHO = Assumption("34 m1 log^2(tau) <= rho_0^2 / 2: the head's norm stays near its start", _constant_rho)
MOST_RANDOM = Assumption("n >= 600: what training remembers through random tokens is small", lambda e: reading(e).constant("n") >= 600)
WIDE = _condition("m >= 4 m1")
MANY = _condition("n >= 4 L^2")
SURVIVES = _condition("n > 3 (L + 1)")
INACTIVE = _condition("kind 4 becomes inactive")

broken, altered = partial(run_claims.broken, reading), partial(run_claims.altered, reading)
"""Negative controls: the same run with some recorded quantities, or numbers noted at its start, replaced by wrong ones."""
