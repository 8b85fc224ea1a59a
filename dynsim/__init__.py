"""dynsim: how transformers train, solved on paper and checked by simulation."""

from ._version import __version__
from .check import check
from .claims import Claim, Measured, Report
from .experiment import Experiment
from .gradcheck import gradcheck
from .layout import Layout
from .optimizers import Adam, GradientDescent, SignGD
from .simulate import Interrupted, iterate, simulate
from .system import Inexact
from .trajectory import Trajectory, TrajectoryError, load

__all__ = [
    "Adam", "Claim", "Experiment", "GradientDescent", "Inexact", "Interrupted", "Layout", "Measured", "Report", "SignGD", "Trajectory",
    "TrajectoryError", "__version__", "check", "gradcheck", "iterate", "load", "simulate",
]
