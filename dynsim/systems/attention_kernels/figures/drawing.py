"""What the panels share: a colour for every kernel, verdicts, steps or time as an axis, which runs a figure is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .... import plotting
from ....check import check
from ....claims import AnotherKind, Inconclusive, Verdict
from ....plotting import COLOURS, panel_title
from ....trajectory import Trajectory
from ..claims import CLAIMS
from ..kernels import KERNELS
from ..reading import Reading
from ..reading import reading as read

KERNEL_COLOURS = {"softmax": COLOURS["vermillion"], "gaussian": COLOURS["blue"], "row_gaussian": COLOURS["green"]}
"""The colour of a kernel in every figure."""
LIMIT: dict[str, Any] = {"linewidth": 1.1, "linestyle": (0, (1, 1.2)), "zorder": 3.5}
"""Style of a bound in the colour of its kernel, where two kernels have two of them."""
SMALLEST = 1e-20
"""Losses below leave the view: they are 0 up to rounding."""


def verdicts_on(run: Trajectory, *claims: str) -> tuple[Verdict, ...]:
    """Return the verdicts on those of some claims that there are, for a title."""
    return check(run, [CLAIMS[claim] for claim in claims if claim in CLAIMS]).verdicts


def kernel_title(letter: str, kernel: str, text: str, *, width: int = 50) -> str:
    """Return the title of a panel of one kernel with its letter, in two lines where it is wider than so many characters."""
    title = panel_title(letter, f"{KERNELS[kernel].title}: {text}")
    return title if len(title) <= width else title.replace(": ", ":\n", 1)


def reading(run: Trajectory, *, about: str, where: Callable[[Any], bool]) -> Reading:
    """Return a run's reading if its setting is one that a figure is about.

    Raises
    ------
    Inconclusive
        If it is not, the run is of another system or of arrays, or nothing was recorded.
    """
    if run.provenance.get("system") != "attention_kernels":
        raise Inconclusive(f"the run is of system {run.provenance.get('system')!r}, not attention_kernels")
    r = read(run)
    if not where(r.setting):
        raise AnotherKind(f"it is about {about}; the run is of task {r.setting.task!r}{_trained(r.setting)}")
    if not len(r.at):
        raise Inconclusive("nothing was recorded")
    return r


def _trained(setting: Any) -> str:
    return f" with {setting.trained} trained" if setting.task == "regression" else ""


def kernels(r: Reading) -> Iterator[tuple[str, str, str]]:
    """Yield name, title and colour of every kernel of a run."""
    for name in r.kernels:
        yield name, KERNELS[name].title, KERNEL_COLOURS[name]


# -- the axis of steps -------------------------------------------------------------------------------------------------


def series(r: Reading, name: str, kernel: str) -> tuple[NDArray, NDArray]:
    """Return times and values (T, starts) of a quantity, which may be recorded at fewer times than the rest."""
    values = r.of(name, kernel)
    return r.run.steps(name).astype(float), values


def curves(ax: Axes, r: Reading, x: NDArray, y: NDArray, colour: str, label: str = "", **style: Any) -> None:
    """Draw values (T, starts): a line, or thin lines and their median where there are several starts."""
    if y.shape[1] == 1:
        plotting.line(ax, x, y[:, 0], colour, label, **style)
    else:
        plotting.bundle(ax, x, y, colour, label)


def without(ax: Axes, what: str, reason: Inconclusive) -> None:
    """Say in the legend why a panel lacks its theory."""
    ax.plot([], [], " ", label=fill(f"no {what}: {reason}", 56))


def positive(y: NDArray) -> NDArray:
    """NaN in place of what a logarithmic axis cannot show."""
    y = np.asarray(y, dtype=float)
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


# -- from which numbers ------------------------------------------------------------------------------------------------


def details(r: Reading, *more: str) -> str:
    """Return from which numbers a figure was made: setting, rule, seed, horizon, and how the run ended."""
    setting, about = r.setting.to_dict(), r.run.provenance
    keys = {
        "regression": ("trained", "N", "n", "D", "d", "H", "d_o", "tokens", "targets", "qk_scale", "v_scale", "o_scale", "tied", "paired"),
        "text": ("layers", "D", "d", "H", "hidden", "trained", "samples", "batch", "pretrained"),
        "path": ("layers", "D", "d", "H", "hidden", "trained", "samples", "batch", "pretrained", "grid"),
    }.get(setting["task"], ("starts", "low", "high", "y"))
    plain = {"tokens": "normal", "targets": "normal", "qk_scale": 1.0, "v_scale": 1.0, "o_scale": 1.0, "tied": False, "paired": False,
             "pretrained": 0}
    told = [f"task {setting['task']}"]
    told += [_told(key, setting[key]) for key in keys if not (key in plain and setting[key] == plain[key])]
    rule = about.get("optimizer") or {}
    lr = rule.get("lr")
    told.append(f"{rule.get('rule', 'rule')}" + (f"(lr={lr:g})" if isinstance(lr, (int, float)) else ""))
    if isinstance(about.get("seed"), int):
        told.append(f"seed {about['seed']}")
    lines = [", ".join(told), *more]
    if not r.run.success:
        lines.append(r.run.message)
    return "\n".join(line for line in lines if line)


def _told(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"not {key}"
    return f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
