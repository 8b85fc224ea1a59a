"""Theorem 3.2 as a study: the sweeps behind its exponents, its probability and its test loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ....study import Plan, Study
from ..claims.sweeps import THEOREM
from ..presets import experiment

__all__ = ["STUDY", "star"]

_THEORY = experiment("theory")

ARMS: Mapping[str, tuple[float, ...]] = {
    "lr": (5e-7, 1e-6, 2e-6, 4e-6, 8e-6), "m_k": (12, 25, 50, 100, 192), "sigma_p": (0.25, 0.5, 1.0, 2.0, 4.0),
    "s": (25, 50, 100, 200, 400), "mu_norm": (0.125, 0.25, 0.5, 1.0, 2.0), "n": (5, 10, 20, 40, 80),
}
"""Values of each variable around the theory preset: a factor 16 that stays inside the regime in which exponents are claimed."""


def star(base: Mapping[str, Any], arms: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return the points that change one variable at a time, the base among them once.

    >>> len(star({"m_k": 100, "n": 20}, {"m_k": (50, 100, 200), "n": (10, 20)}))
    4
    """
    points = [dict(base)]
    points.extend({**base, name: value} for name, values in arms.items() for value in values if value != base[name])
    return points


def _sharper(s: int) -> Plan:
    """The exponents of T where noise tokens have s coordinates; the rate is such that T stays at some 2,000 steps."""
    lr = 2e-6 * 200 / s
    centre = _THEORY.replace(setting=_THEORY.setting.replace(s=s), optimizer=replace(_THEORY.optimizer, lr=lr))
    base = {"lr": lr, "m_k": 100, "sigma_p": 2.0, "s": s, "mu_norm": 1.0, "n": 20}
    arms = {name: (value / 4, value, value * 4) if name in ("lr", "sigma_p", "mu_norm") else (value // 4, value, value * 4)
            for name, value in base.items()}
    return Plan(centre, star(base, arms), 8, ("t_loss",), f"exponents of T at s = {s:,}: each variable over a factor 16, one at a time")


def _along_path(n: int, s: int) -> dict[str, Any]:
    """The paper's own path, s = sqrt(d) / n^2, by n and s."""
    return {"n": n, "s": s, "d": (s * n * n) ** 2}


def _growing_d(d: int) -> dict[str, Any]:
    """The same path at n = 20, by d; the rate is such that T stays at some 2,000 steps."""
    s = round(d**0.5 / 400)
    return {"d": d, "s": s, "lr": float(f"{4e-4 / s:.6g}")}


_INDEPENDENT = _THEORY.replace(setting=_THEORY.setting.replace(disjoint=False, d=(200 * 400) ** 2))

STUDY = Study(
    "Theorem 3.2 of Li et al., arXiv 2410.04870",
    {
        "sweep": Plan(
            _THEORY, star({"lr": 2e-6, "m_k": 100, "sigma_p": 2.0, "s": 200, "mu_norm": 1.0, "n": 20}, ARMS), 16,
            ("t_attn", "t_loss", "clock", "attention", "sandwich"),
            "exponents of T_attn and T, constants and bounds: each variable over a factor 16, one at a time",
        ),
        "s_2000": _sharper(2_000),
        "s_20000": _sharper(20_000),
        "path": Plan(
            _INDEPENDENT, [_along_path(n, 200) for n in (10, 20, 40, 70)], 32, THEOREM,
            "how often all of it holds: n grows, s = 200, d = (s n^2)^2 up to 10^12, independent supports",
        ),
        "growing_d": Plan(
            _INDEPENDENT, [_growing_d(10**k) for k in (8, 9, 10, 11, 12)], 16, ("t_loss", "test"),
            "test loss and error at T: d grows to 10^12, s = sqrt(d) / n^2, n = 20, independent supports",
        ),
    },
)
"""Sweeps that together are the evidence for the theorem."""
