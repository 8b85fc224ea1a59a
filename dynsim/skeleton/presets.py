"""Named experiments, and what a sweep measures when nothing is asked for."""

from dynsim.experiment import Experiment, by_name
from dynsim.optimizers import GradientFlow

from .data import Setting

PRESETS = {"plateau": Experiment(__package__, Setting(), GradientFlow(rtol=1e-10, atol=1e-13), until=6.0, note="a plateau, then a drop")}
DEFAULT_PRESET, SWEEP_MEASURES = "plateau", ("train_loss@end", "logistic")
experiment, preset = by_name(PRESETS)
