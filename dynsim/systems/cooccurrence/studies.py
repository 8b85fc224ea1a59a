"""Sweeps that together are the evidence for what no single run can show."""

from __future__ import annotations

from ...optimizers import GradientFlow
from ...study import Plan, Study
from .measures import SWEEP_MEASURES
from .presets import experiment

__all__ = ["STUDIES"]

_QUICK = experiment("quick").replace(optimizer=GradientFlow())  # exponents need fewer digits than conserved numbers
_ABLATED = _QUICK.replace(setting=_QUICK.setting.replace(n=240, m1=32), until=1e4 / 256)

STUDIES = {
    "scaling": Study(
        "Exponents in the width, initial weights, attention held, number of samples",
        {
            "sweep": Plan(_QUICK, {"m": [64, 128, 256, 512, 1024]}, 64, SWEEP_MEASURES, "the width, over a factor of 16"),
            "c0": Plan(_QUICK, {"c0": [0.01, 0.03, 0.1, 0.3]}, 4, SWEEP_MEASURES, "the scale of the initial outputs"),
            "attention": Plan(_ABLATED, {"attention": [True, False], "until": [_ABLATED.until]}, 3, ("train_loss@end",),
                              "keys and queries trained, and held at their start"),
            "n": Plan(_QUICK, {"n": [60, 120, 240, 600, 1200]}, 3, SWEEP_MEASURES, "the number of samples, at L = 5"),
        },
    ),
}
"""Studies by name."""
