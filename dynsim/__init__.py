"""dynsim: how transformers train, solved on paper and checked by simulation."""

from ._version import __version__
from .check import check
from .claims import Claim, Measured, Report
from .experiment import Experiment
from .explain import explain
from .explore import explore
from .gradcheck import gradcheck
from .layout import Layout
from .measures import At, First, Verdicts
from .optimizers import Adam, ClipNorm, GradientDescent, GradientFlow, LinearDecay, RMSprop, SignGD
from .report import html_report
from .simulate import Interrupted, LossBelow, iterate, simulate
from .sweep import Sampled, SweepError, SweepFolderError, SweepInterrupted, Table, load_table, sweep
from .system import Inexact
from .trajectory import Trajectory, TrajectoryError, load

__all__ = [
    "Adam", "At", "Claim", "ClipNorm", "Experiment", "First", "GradientDescent", "GradientFlow", "Inexact", "Interrupted", "Layout",
    "LinearDecay", "LossBelow", "Measured", "RMSprop", "Report", "Sampled", "SignGD", "SweepError", "SweepFolderError", "SweepInterrupted",
    "Table", "Trajectory", "TrajectoryError", "Verdicts", "__version__", "check", "explain", "explore", "gradcheck", "html_report",
    "iterate", "load", "load_table", "simulate", "sweep",
]
