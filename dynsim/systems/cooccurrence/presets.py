"""Named experiments: ours for the theory, and a reconstruction of the paper's experiment."""

from __future__ import annotations

from typing import Any

from ...experiment import Experiment, by_name
from ...optimizers import GradientDescent, GradientFlow
from .data import Setting
from .observables import OBSERVABLES

__all__ = ["DEFAULT_PRESET", "PRESETS", "experiment", "preset"]

RARELY = 8
"""Costly quantities are recorded at every so many of the recorded times."""

_RECORD = {name: RARELY if o.costly else 1 for name, o in OBSERVABLES.items()}


RULE = GradientFlow(rtol=1e-10, atol=1e-14)
"""Tolerances at which the conserved numbers drift by less than 1e-10."""


def _flow(setting: Setting, tau: float, note: str, **changes: Any) -> Experiment:
    """Return an experiment of gradient flow to tau = c1^2 m t, which is the clock as long as rho stays near its start."""
    return Experiment(
        system="cooccurrence", setting=setting, optimizer=RULE, until=tau / (setting.c1**2 * setting.m), record=_RECORD,
        origin="derived", note=note, rates={"gd": 0.01}, **changes,
    )


_QUICK = Setting(n=120, L=5, m=256, m1=16)

PRESETS = {
    "quick": _flow(
        _QUICK, 3e3, "The theory at a size that takes seconds: both phases are there; n is too small for random tokens not to matter.",
    ),
    "theory": _flow(
        Setting(n=600, L=5, m=512, m1=32), 3e4,
        "Towards the paper's conditions: n >> L, m >> m1, small initial weights. Its conditions have no constants; these are chosen here.",
    ),
    "near_minimum": _flow(
        _QUICK, 4e6, "quick until the training loss is 1/m^2, the reading here of the paper's 1/poly(m).", target_loss=1.0 / _QUICK.m**2,
    ),
    "tiny": _flow(
        Setting(n=12, L=5, m=16, m1=4, c0=0.3), 300.0, "For teaching: twelve bags, four neurons; every number fits on a screen.", points=60,
    ),
    "paper": Experiment(
        system="cooccurrence", optimizer=GradientDescent(0.01), steps=30_000, every=25, rates={"gd": 0.01},
        record={name: 25 * RARELY * 5 if o.costly else 25 for name, o in OBSERVABLES.items()},
        setting=Setting(n=60, L=5, m=128, m1=256, vocabulary=64, init="kaiming_uniform", output="kaiming"), origin="reconstructed",
        note="The experiment of Figure 1: sizes, rate and steps are the paper's. It says Kaiming initialisation and no more; that all "
        "layers, the last one included, are uniform in +-1/sqrt(fan-in) and the last one is not trained is inferred here from the figure.",
    ),
}
"""Experiments by name."""

DEFAULT_PRESET = "quick"
"""What the command line runs when no preset is named."""

experiment, preset = by_name(PRESETS)
