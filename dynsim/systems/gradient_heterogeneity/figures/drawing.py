"""What the panels share: a look for every rule and placement, verdicts, steps as an axis, which runs a figure is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....axes import drawn
from ....check import check
from ....claims import AnotherKind, Inconclusive, Verdict
from ....plotting import COLOURS
from ....trajectory import Trajectory
from ..claims import CLAIMS
from ..settings import Setting

PLACEMENTS = {"post": ("post-LN", COLOURS["vermillion"]), "pre": ("pre-LN", COLOURS["blue"]), "none": ("no LN", COLOURS["brown"])}
"""Title and colour of each placement of layer normalisation in every figure."""
HUES = {
    "gd": COLOURS["orange"], "signgd": COLOURS["green"], "adam": COLOURS["indigo"], "rmsprop": COLOURS["purple"],
}
"""The hue of a rule in every figure, with and without momentum."""
GRADIENT, SIGN = HUES["gd"], HUES["signgd"]
"""What the theory says of gradient steps and of sign steps has the hue of the rule."""
TITLES = {"adam": "Adam", "rmsprop": "RMSprop", "flow": "gradient flow"}


# -- rules -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How a rule is named and drawn: momentum keeps the hue, with dashed lines and open markers.

    Attributes
    ----------
    title : str
    colour : str
    momentum : bool
    """

    title: str
    colour: str
    momentum: bool = False

    @property
    def stroke(self) -> dict[str, Any]:
        """Options of a line."""
        return {"color": self.colour, "linewidth": 1.5, "linestyle": (0, (4, 1.5)) if self.momentum else "-"}

    @property
    def dot(self) -> dict[str, Any]:
        """Options of markers."""
        return {
            "color": self.colour, "linestyle": "none", "marker": "o", "markersize": 4.2, "markeredgewidth": 1.1,
            "markeredgecolor": self.colour, "markerfacecolor": "white" if self.momentum else self.colour,
        }


def look(kind: str, momentum: float = 0.0) -> Look:
    """Return the look of a rule by its name in texts and files.

    >>> look("signgd", 0.9).title, look("gd").title
    ('Signum 0.9', 'GD')
    """
    colour = HUES.get(kind, COLOURS["grey"])
    if kind == "gd":
        return Look(f"GD + momentum {momentum:g}" if momentum else "GD", colour, bool(momentum))
    if kind == "signgd":
        return Look(f"Signum {momentum:g}" if momentum else "SignGD", colour, bool(momentum))
    return Look(TITLES.get(kind, kind), colour)


def look_of_text(text: str) -> Look:
    """Return the look of a rule that a text describes, as "gd:0.9"."""
    kind, _, rest = str(text).partition(":")
    first = rest.split(",")[0].removeprefix("momentum=")
    return look(kind, float(first) if first and kind in ("gd", "signgd") else 0.0)


def look_of_run(run: Trajectory) -> Look:
    """Return the look of a run's rule."""
    rule = run.provenance.get("optimizer") or {}
    return look(str(rule.get("rule", "rule")), float(rule.get("momentum") or 0.0))


# -- which run ---------------------------------------------------------------------------------------------------------


def verdicts_on(run: Trajectory, *claims: str) -> tuple[Verdict, ...]:
    """Return the verdicts on those of some claims that there are and that have a number or a say about this run, for a title."""
    found = check(run, [CLAIMS[claim] for claim in claims if claim in CLAIMS]).verdicts
    return tuple(verdict for verdict in found if verdict.verdict != "not applicable" or np.isfinite(verdict.value))


def setting_of(run: Trajectory, *kinds: type, about: str) -> Any:
    """Return a run's setting if it is one that a figure is about.

    Raises
    ------
    Inconclusive
        If it is not, the run is of another system, of arrays or of replicates, or nothing was recorded.
    """
    found = run.provenance
    if found.get("system") != "gradient_heterogeneity":
        raise Inconclusive(f"the run is of system {found.get('system')!r}, not gradient_heterogeneity")
    if found.get("setting") is None:
        raise Inconclusive("the run is of arrays, not of a setting")
    setting = Setting.from_dict(found["setting"])
    if not isinstance(setting, kinds):
        raise AnotherKind(f"it is about {about}; the run is of task {setting.task!r}")
    if run.final.ndim > 1:
        raise Inconclusive(f"the run has {len(run.final)} replicates: draw one of them, run.replicate(i)")
    if not len(run.at):
        raise Inconclusive("nothing was recorded")
    return setting


def recorded(run: Trajectory, name: str) -> tuple[NDArray, NDArray]:
    """Return steps and values (T, ...) of a quantity; Inconclusive if it was not recorded."""
    if name not in run:
        raise Inconclusive(f"{name} not recorded: add it to record=")
    return run.steps(name).astype(float), np.asarray(run[name], dtype=float)


def together(run: Trajectory, *names: str) -> tuple[NDArray, ...]:
    """Return the steps at which all of these were recorded, and the quantities there."""
    found = {name: recorded(run, name) for name in names}
    steps = run.at.astype(float)
    for t, _ in found.values():
        steps = np.intersect1d(steps, t)
    return steps, *(values[np.searchsorted(t, steps)] for t, values in found.values())


# -- axes --------------------------------------------------------------------------------------------------------------


def draw(ax: Axes, t: NDArray, y: NDArray, colour: str, label: str = "", *, log: bool = False, **style: Any) -> None:
    """Draw some thousand points of a recorded quantity, spread as a linear or logarithmic axis of steps spreads them."""
    rows = drawn(t, log=log)
    plotting.line(ax, t[rows], y[rows], colour, label, **style)


# -- from which numbers ------------------------------------------------------------------------------------------------

_TOLD: Mapping[str, Iterable[str]] = {
    "quadratic": ("blocks", "size", "size_max", "curvature", "k", "inner", "initial", "rotated", "noise"),
    "logistic": ("blocks", "size", "samples", "scale", "teacher"),
    "head": ("C", "d", "batch", "batches", "samples", "common", "spread", "noise", "label_noise"),
}
_TRANSFORMER = ("norm", "layers", "d", "heads", "width", "embedding_scale", "weight_scale", "head_scale", "biases", "pretrained", "batch")
_PLAIN = {"size_max": 0, "curvature": "even", "inner": 1.0, "rotated": "no", "batches": "iid", "label_noise": 0.0, "pretrained": 0}
"""Values that go without saying."""


def details(run: Trajectory) -> str:
    """Return from which numbers a figure was made: setting, rule, seed, and how the run ended if it did not finish."""
    setting, about = Setting.from_dict(run.provenance["setting"]).to_dict(), run.provenance
    task = setting["task"]
    plain = {**_PLAIN, "noise": 0.0} if task == "quadratic" else _PLAIN
    told = [f"task {task}"]
    told += [_told(key, setting[key]) for key in _TOLD.get(task, _TRANSFORMER) if not (key in plain and setting[key] == plain[key])]
    told.append(look_of_run(run).title + _rate(about.get("optimizer") or {}))
    if isinstance(about.get("seed"), int):
        told.append(f"seed {about['seed']}")
    if not run.success:
        told.append(run.message)
    middle = len(told) // 2 + 1
    return ", ".join(told) if len(", ".join(told)) < 130 else ", ".join(told[:middle]) + ",\n" + ", ".join(told[middle:])


def _told(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"no {key}"
    return f"{key} = {value:g}" if isinstance(value, (int, float)) else f"{key} = {value}".replace("_", " ")


def _rate(rule: Mapping[str, Any]) -> str:
    lr = rule.get("lr")
    if isinstance(lr, Mapping):
        return f" at a rate falling from {lr.get('peak', float('nan')):g}"
    return f" at rate {lr:.3g}" if isinstance(lr, (int, float)) else ""
