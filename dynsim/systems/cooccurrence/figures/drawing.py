"""What the panels share: colours, verdicts, the clock as an axis, phases as bands, the parameter-free flow beside a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .... import plotting
from ....check import check
from ....claims import Inconclusive, Verdict
from ....plotting import COLOURS, theory
from ....trajectory import Trajectory
from ..claims import CLAIMS
from ..data import COMMON, TARGET_1, TARGET_2
from ..reading import Reading

# One colour has one meaning within a figure. The two targets, the kinds that hold one of them, and the scores that mirror each other lie
# nearly on top of each other: the second of a pair is drawn thin over the first.
TOKENS = ((TARGET_1, COLOURS["indigo"], "target 1"), (TARGET_2, COLOURS["purple"], "target 2"), (COMMON, COLOURS["wine"], "common"))
KINDS = ((COLOURS["blue"], "kind 1, both targets"), (COLOURS["vermillion"], "kind 2, target 1"), (COLOURS["orange"], "kind 3, target 2"),
         (COLOURS["green"], "kind 4, neither"))
PAIRS = ((TARGET_1, TARGET_2, COLOURS["indigo"]), (TARGET_2, TARGET_1, COLOURS["purple"]), (COMMON, TARGET_1, COLOURS["wine"]),
         (COMMON, TARGET_2, COLOURS["brown"]))
"""Key and query of the scores that Theorems 3.2 and 3.3 speak about."""
WIDE, NARROW = 2.6, 1.1
"""Widths of the first and the second of a pair."""
LIMIT: dict[str, Any] = {"color": COLOURS["grey"], "linewidth": 0.9, "linestyle": (0, (1, 1.5)), "zorder": 1.5}
"""Style of levels: limits for n to infinity, and levels that were chosen."""
FREE = "parameter-free flow"
EARLIEST = 0.01
"""Clock from which on flows are drawn: nothing has moved before."""


def verdicts_on(run: Trajectory, *claims: str) -> tuple[Verdict, ...]:
    """Return the verdicts on some claims, for a title."""
    return check(run, [CLAIMS[claim] for claim in claims]).verdicts


def subscript(key: int, query: int) -> str:
    """Return the indices of a score as the paper counts tokens, from 1."""
    return f"{key + 1}{query + 1}"


# -- the axis --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """The horizontal axis of a run: the clock tau of a flow, logarithmic, or the steps of a rule.

    Attributes
    ----------
    rows : ndarray of int
        Recorded times that are drawn: without tau = 0, which a logarithmic axis lacks, and what is before `EARLIEST`.
    clock : ndarray, shape (T,)
        Place of every recorded time on the axis.
    log : bool
    """

    rows: NDArray
    clock: NDArray
    log: bool

    @property
    def x(self) -> NDArray:
        """Places of the rows that are drawn."""
        return self.clock[self.rows]

    @property
    def ends(self) -> tuple[float, float]:
        """First and last place on the axis, apart even where there is one only."""
        first, last = float(self.x[0]), float(self.x[-1])
        return first, last if last > first else first + 1.0


def view(r: Reading) -> View:
    """Return the axis of a run."""
    if not r.is_flow:
        rows = plotting.some(len(r.at), plotting.POINTS)
        return View(rows, r.at.astype(float), log=False)
    rows = np.flatnonzero((r.tau > 0) & (r.tau >= min(EARLIEST, 0.1 * r.tau[-1])))
    if not len(rows):
        raise Inconclusive("nothing was recorded after the start")
    return View(rows[plotting.some(len(rows), plotting.POINTS)], r.tau, log=True)


def series(r: Reading, name: str) -> tuple[NDArray, NDArray]:
    """Return places on the axis and values of a quantity that may be recorded at fewer times than the rest."""
    axis = view(r)
    if name not in r.run:
        raise Inconclusive(f"{name} not recorded: add it to record=")
    x = axis.clock[np.searchsorted(r.at, r.run.steps(name))]
    seen = x >= axis.x[0]
    return x[seen], r.run[name][seen]


def positive(y: NDArray) -> NDArray:
    """NaN in place of what a logarithmic axis cannot show."""
    return np.where(np.isfinite(y) & (y > 0), y, np.nan)


def log_values(ax: Axes) -> None:
    """Make the y axis logarithmic if there is anything on it."""
    if any(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in ax.lines):
        plotting.log_axis(ax)


def time_frame(ax: Axes, r: Reading, ylabel: str, *, xlabel: bool = True, names: bool = True) -> None:
    """Phases as bands, the view and the labels that every panel over time has."""
    axis = view(r)
    since, until = axis.ends
    if axis.log:
        ax.set_xscale("log")
    else:
        narrow = ax.bbox.width < 2.5 * ax.figure.dpi
        ax.xaxis.set_major_locator(MaxNLocator(nbins=3 if narrow else 6, steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.set_xlim(since, until)
    plotting.stage_bands(ax, phases(r), since=since, until=until, label=names)
    if axis.log:
        plotting.log_axis(ax, "x")
        ax.set_xlim(since, until)
    ax.set_ylabel(ylabel)
    if xlabel:
        ax.set_xlabel(r"clock $\tau = \int \rho\,dt$" if axis.log else "epoch (step $t$)")


def phases(r: Reading) -> list[tuple[str, float, float]]:
    """Return the phases on the axis: name, first, end; none where the record does not tell them."""
    if "min_margin" not in r.run or "min_margin" in r.run.sparser:
        return []
    try:
        T1 = r.tau_T1 if r.is_flow else r.T1
    except Inconclusive:
        return [("Phase 1", -np.inf, np.inf)]
    try:
        failed = r.T2[0]
    except Inconclusive:
        failed = np.inf
    T2 = float(view(r).clock[np.searchsorted(r.at, failed)]) if np.isfinite(failed) else np.inf
    return [("Phase 1", -np.inf, T1), ("Phase 2", T1, T2), ("past $T_2$", T2, np.inf)]


# -- the theory ------------------------------------------------------------------------------------------------------------


def without_theory(r: Reading) -> str:
    """Return why there is no parameter-free flow beside a run, empty where there is one."""
    try:
        r.theory_at("G", r.tau)
    except Inconclusive as reason:
        return str(reason)
    return ""


def theory_values(r: Reading, name: str) -> NDArray | None:
    """Return a quantity of the parameter-free flow at the rows that are drawn, None where there is none for this run."""
    return None if without_theory(r) else r.theory_at(name, r.tau[view(r).rows])


def dashed(ax: Axes, r: Reading, values: NDArray | None, label: str = FREE) -> None:
    """Draw curves (T, K) of the parameter-free flow, if there are any, with one legend entry."""
    for i, curve in enumerate([] if values is None else values.T):
        theory(ax, view(r).x, curve, label if i == 0 else "")


def place(r: Reading, tau: float) -> float:
    """Return where on the axis a clock is; infinite past the record."""
    if r.is_flow:
        return tau
    return float(np.interp(tau, r.tau, r.at)) if tau <= r.tau[-1] else np.inf


def in_units(r: Reading) -> bool:
    """True if scores are drawn as displacements in U, which is known for Condition 1's initial weights."""
    try:
        return r.setting.init == "normal" and bool(np.isfinite(r.unit))
    except Inconclusive:
        return False


def details(run: Trajectory, r: Reading, *, unit: bool = False) -> str:
    """Return from which numbers a figure was made: setting, rule, seed, U, time, and what is missing."""
    about: dict[str, Any] = dict(run.provenance)
    setting, rule = about.get("setting") or {}, about.get("optimizer") or {}
    keys = ("n", "L", "m", "m1", *(("c0", "c1") if setting.get("init") == "normal" else ()))
    told = [f"{key}={setting[key]:g}" for key in keys if key in setting]
    if setting.get("vocabulary"):
        told.append(f"d={setting['vocabulary']}")
    if setting and setting["init"] != "normal":
        told.append(setting["init"])
    lr = rule.get("lr")
    told.append(f"{rule.get('rule', 'rule')}" + (f"(lr={lr:g})" if isinstance(lr, float) else ""))
    if isinstance(about.get("seed"), int):
        told.append(f"seed {about['seed']}")
    if unit and in_units(r):
        told.append(rf"$U = \sigma_0^2 \sqrt{{m}} / (L \rho_0)$ = {r.unit:.3g}")
    if r.is_flow and "tau" in run:
        told.append(rf"$\tau$ = {r.tau[-1]:.3g} is time t = {r.at[-1]:.3g}")
    origin = "reconstruction: " if about.get("origin") == "reconstructed" else ""
    missing = without_theory(r)
    lines = [origin + ", ".join(told)]
    if missing:
        lines.append(missing)
    if not run.success:
        lines.append(run.message)
    return "\n".join(lines)
