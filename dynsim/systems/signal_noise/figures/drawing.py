"""What the panels share: colours, verdicts, time axes, bundles of lines, the theory's curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .... import plotting
from ....check import check
from ....claims import Inconclusive, Verdict
from ....plotting import COLOURS, bundle, stage_bands
from ....trajectory import Trajectory
from ..claims import CLAIMS, SWEEP_CLAIMS
from ..observables import OBSERVABLES
from ..reading import Reading, reading
from ..stages import StageTable, stage_table

# One colour has one meaning within a figure. Hue is the sign at the step of classification; the light shade of a hue is
# what opposes its row: noise against its row's query signal, key signal.
POSITIVE, POSITIVE_OPPOSED = COLOURS["blue"], COLOURS["sky"]
NEGATIVE, NEGATIVE_OPPOSED = COLOURS["vermillion"], COLOURS["orange"]
MIXED = COLOURS["purple"]
SIGNAL, NOISE = COLOURS["green"], COLOURS["indigo"]
QUERY, KEY = COLOURS["wine"], COLOURS["purple"]
TRAIN, TEST, ERROR = COLOURS["wine"], COLOURS["brown"], COLOURS["purple"]
STEP = "step $t$"


def single(run: Trajectory) -> Reading:
    """Return the reading of a run; a run with replicates is refused with the fix."""
    if run.final.ndim > 1:
        raise ValueError("this run has replicates: plot one of them, run.replicate(0)")
    return reading(run)


def verdicts_on(run: Trajectory, *claims: str) -> tuple[Verdict, ...]:
    """Return the verdicts on some claims, for a title."""
    return check(run, [CLAIMS[claim] for claim in claims]).verdicts


def sweep_verdicts(evidence: Mapping[str, Any], *ids: str) -> tuple[Verdict, ...]:
    """Return the verdicts on some claims about sweeps, for a title."""
    return check(evidence, [SWEEP_CLAIMS[id] for id in ids]).verdicts


def once(r: Reading, key: str, f: Callable[[], Any]) -> Any:
    """Return f(), computed once for a reading: several panels of a figure ask for the same."""
    kept = r.__dict__.setdefault("_figures", {})
    if key not in kept:
        kept[key] = f()
    return kept[key]


def known_stages(run: Trajectory) -> StageTable | None:
    """Return the stage table, or None where the record does not tell the stages."""
    def table() -> StageTable | None:
        try:
            return stage_table(run)
        except Inconclusive:
            return None

    return once(reading(run), "stages", table)


def turn_of(r: Reading, name: str) -> float:
    """Return the median turn, NaN where there is none."""
    return once(r, f"turn of {name}", lambda: number(lambda: r.turn(name)))


def number(f: Callable[[], float | None]) -> float:
    """Return a measured step, NaN where it was not reached."""
    try:
        step = f()
    except Inconclusive:
        return np.nan
    return np.nan if step is None else float(step)


def view(r: Reading, until: float | None) -> tuple[NDArray, float]:
    """Rows to draw, at most as many as can be seen, and the end of the view."""
    until = float(r.at[-1]) if until is None else min(float(until), float(r.at[-1]))
    rows = np.arange(min(int(np.searchsorted(r.at, until)) + 1, len(r.at)))  # one more, where `until` was not recorded
    return rows[plotting.some(len(rows), plotting.POINTS)], until


def early_end(r: Reading) -> float:
    """End of the view for Stages I to III: alignment is predicted to be complete by 0.8 T_key."""
    ends = [number(lambda: 0.8 * r.T_key if r.is_signgd else np.nan), 1.2 * number(lambda: r.T_two), 1.1 * number(lambda: r.T_three)]
    ends = [end for end in ends if np.isfinite(end)]
    least = float(r.at[min(5, len(r.at) - 1)])
    return min(max(*ends, least), float(r.at[-1])) if ends else float(r.at[-1])


def flips_seen(r: Reading) -> float:
    """End of the view in which mixed pairs can be seen to flip."""
    last = number(lambda: float(r.flips.max())) if r.is_signgd else np.nan
    return max(1.3 * last, float(r.at[min(5, len(r.at) - 1)])) if np.isfinite(last) else early_end(r)


def time_frame(ax: Axes, run: Trajectory, until: float, ylabel: str, *, xlabel: bool = True, stage_names: bool = True) -> None:
    """Stage bands, the view and the labels that every panel over time has."""
    since = float(run.at[0])
    until = until if until > since else since + 1.0
    table = known_stages(run)
    if table is not None:
        bands = [(s.number, s.first, np.inf if s.end is None else s.end) for s in table.stages if s.first is not None]
        stage_bands(ax, bands, since=since, until=until, label=stage_names)
    ax.set_xlim(since, until)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))
    ax.set_ylabel(ylabel)
    if xlabel:
        ax.set_xlabel(STEP)


def axis_label(name: str) -> str:
    """Return the axis label of a recorded quantity: its plain name and its symbol."""
    return f"{name.replace('_', ' ')}  ${OBSERVABLES[name].symbol}$"


def finite(x: NDArray) -> NDArray:
    """NaN in place of what is not finite, which autoscaling cannot show."""
    return np.where(np.isfinite(x), x, np.nan)


def by_sign(sign: NDArray) -> tuple[tuple[NDArray, str, str, str], ...]:
    """Two groups by sign, with their name, deep and light colour."""
    return (sign > 0, "positive", POSITIVE, POSITIVE_OPPOSED), (sign < 0, "negative", NEGATIVE, NEGATIVE_OPPOSED)


def draw_noise(ax: Axes, r: Reading, name: str, rows: NDArray) -> None:
    """Draw key or query noise by its sign when signs are classified, with and against its row's query signal."""
    t, x = r.at[rows], finite(r[name][rows])
    sign, against = np.sign(r[name][r.row(r.classify_at)]), r.against
    for group, which, deep, light in by_sign(sign):
        bundle(ax, t, x[:, group & ~against], deep, f"{which}, with its row")
        bundle(ax, t, x[:, group & against], light, f"{which}, against")
    if (sign == 0).any():
        bundle(ax, t, x[:, sign == 0], COLOURS["grey"], "zero")


def draw_signals(ax: Axes, r: Reading, rows: NDArray) -> None:
    """Draw query and key signal of the rows by the sign of their query signal when signs are classified."""
    t, q, k = r.at[rows], finite(r["query_signal"][rows]), finite(r["key_signal"][rows])
    sign = np.sign(r["query_signal"][r.row(r.classify_at)])
    for group, which, deep, light in by_sign(sign):
        bundle(ax, t, q[:, group], deep, f"query, {which} rows", width=2.6)  # the key signal of the other rows lies on top of it
        bundle(ax, t, k[:, group], light, f"key, {which} rows", width=1.2)
    if (sign == 0).any():
        bundle(ax, t, q[:, sign == 0], COLOURS["grey"], "query, zero")


def draw_softmax(ax: Axes, r: Reading, rows: NDArray) -> None:
    """Draw both softmax outputs."""
    for name, colour, label in (("softmax_21", NOISE, "$s_{21}$, noise token"), ("softmax_11", SIGNAL, "$s_{11}$, signal token")):
        bundle(ax, r.at[rows], r[name][rows], colour, label)
