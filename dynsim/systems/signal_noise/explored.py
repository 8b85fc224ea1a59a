"""The four stages in a window with sliders: a whole run and every predicted step, anew at each motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ... import plotting
from ...experiment import Experiment
from ...explore import Control, Explored, Scene, View
from ...explore.moving import axis_of, bands, bundle, conditions, few_ticks, rounded, rows, view_of
from ...optimizers import SignGD
from ...plotting import COLOURS, line
from ...trajectory import Trajectory
from .figures.drawing import NEGATIVE, NEGATIVE_OPPOSED, NOISE, POSITIVE, POSITIVE_OPPOSED, SIGNAL, STEP, known_stages
from .observables import OBSERVABLES
from .predictions import SMALL, Predictions, predict
from .reading import Reading, reading

__all__ = ["EXPLORED", "Stages"]

RECORD = tuple(name for name, o in OBSERVABLES.items() if o.default)
RECORDED = 300
"""Steps that are recorded of a run, evenly spaced: two or three dots of the screen lie between two of them."""
CLOSELY = 36
"""Of so many such spaces at the start every step is recorded, so that early stages end where they end."""
MOST_STEPS = 3000
"""Longest run that the slider offers."""
MOST, PER_SECOND = 2e8, 1e8
"""Most parameters times steps of a run, and how many of them a computer makes in a second, roughly; figure3 has 1e7."""
CLOCK = (("Stage I", "I"), ("Stage II", "II"), ("Stage III", "III"), ("key turn", 0), ("query turn", 1),
         (f"$s_{{11}} < {SMALL}$", 2), ("Stage IV", "IV"))
"""Transitions in their order: ends of stages by number, marks by place in the stage table."""


@dataclass(frozen=True, eq=False)
class Stages:
    """What is drawn: a run, and what is predicted for its setting without it."""

    run: Trajectory
    theory: Predictions


def _view(experiment: Experiment) -> View:
    """Return the view that starts from an experiment of SignGD without momentum."""
    rule, setting = experiment.optimizer, experiment.setting
    if not isinstance(rule, SignGD) or rule.momentum or not isinstance(rule.lr, float):
        raise ValueError(f"the stages are explored under SignGD without momentum at one rate, not under {rule!r}")
    lr = rule.lr
    controls = (
        Control("s", "coordinates of a noise token, $s$", 2, 100, setting.s, log=True, step=1),
        Control("sigma_p", r"size of the noise, $\sigma_p$", 0.1, 10.0, setting.sigma_p, log=True),
        Control("m_k", "rows of $W_Q$ and $W_K$, $m_k$", 4, 400, setting.m_k, log=True, step=1),
        Control("sigma_0", r"size of initial weights, $\sigma_0$", setting.sigma_0 / 30 or 1e-5, setting.sigma_0 * 30 or 1e-1,
                setting.sigma_0, log=setting.sigma_0 > 0),
        Control("lr", r"learning rate, $\eta$", lr / 10, lr * 10, lr, log=True),
        Control("steps", "steps shown", 20, MOST_STEPS, max(experiment.steps, 1), log=True, step=1),
        Control("n", "training samples, $n$", 2, 40, setting.n, step=1),
        Control("seed", "seed of data and weights", 0, 20, experiment.seed, step=1),
    )

    def varied(values: Mapping[str, Any]) -> Experiment:
        return experiment.vary({name: value for name, value in values.items() if name != "seed"}).replace(seed=values["seed"])

    return View("The four stages of sign gradient descent", controls, varied, _computed, _arrange)


def _computed(experiment: Experiment) -> Stages:
    numbers = experiment.steps * experiment.build().layout.size
    if numbers > MOST:
        raise ValueError(f"{experiment.steps} steps of this size take about {numbers / PER_SECOND:.0f} s, too long for a window: take "
                         "fewer, or lower m_k, n or s; dynsim run has no limit")
    theory = predict(experiment.setting, lr=experiment.optimizer.lr)
    every = max(1, -(-experiment.steps // RECORDED))
    turn = theory.T_key
    classify = min(0.7 * turn, experiment.steps) // every * every if np.isfinite(turn) else 0  # a step that is recorded
    options = {**experiment.options, "classify_at": int(classify)}
    run = experiment.replace(record=RECORD, every=every, closely=CLOSELY * every, options=options).run()  # for the screen alone
    if not run.success:
        raise ValueError(run.message)
    return Stages(run, theory)


def _arrange(figure: Any) -> Scene:
    plotting.headline(figure, "The four stages of sign gradient descent",
                      "Solid: simulated. Black dashed, diamonds: predicted without simulating. Bands: stages as they are measured.")
    ax = plotting.grid(figure, 2, 3, left=0.75, right=0.95, top=0.85, bottom=1.45, between=(1.12, 0.85))
    titles = ("Mean value of noise and signal", "Key noise, by sign and row", "Query noise, by sign and row",
              "Query and key signal", "Attention on the signal token", "The clock: measured / predicted")
    labels = ("mean value  $A$, $B_i$", _symbol("key_noise"), _symbol("query_noise"), r"$\langle w_{\cdot,r}, \mu\rangle$",
              "softmax  $s_{i,11}$, $s_{i,21}$", "")
    for axes, title, label in zip(ax, titles, labels, strict=True):
        axes.set_title(title, loc="left", fontsize=plotting.TITLE, pad=12.0)
        axes.set(xlabel=STEP, ylabel=label)
    parts = (_value(ax[0]), _noise(ax[1], "key_noise"), _noise(ax[2], "query_noise"), _signals(ax[3]), _softmax(ax[4]), _clock(ax[5]))
    for axes in ax:
        plotting.frame(axes)
        few_ticks(axes)
        plotting.legend(axes)
    told = conditions(figure, 4)

    def update(found: Stages) -> list[Any]:
        r = reading(found.run)
        return [artist for part in parts for artist in part(r)] + told(found.theory.conditions)

    return Scene(update)


Part = Callable[[Reading], list[Any]]
"""A panel: what it draws for a reading."""


def _symbol(name: str) -> str:
    return f"{name.replace('_', ' ')}  ${OBSERVABLES[name].symbol}$"


def _stages(r: Reading) -> list[tuple[str, float, float]]:
    """Return name, first step and end of each stage, for bands."""
    table = known_stages(r.run)
    return [] if table is None else [(s.number, s.first, np.inf if s.end is None else s.end) for s in table.stages if s.first is not None]


def _value(ax: Axes) -> Part:
    noise, signal = bundle(ax, NOISE, "noise $B_i$"), line(ax, [], [], SIGNAL, "signal $A$")
    marked = bands(ax)

    def update(r: Reading) -> list[Any]:
        end = r.stage_one_predicted
        until = min(rounded(max(3.0 * end, 8.0)), float(r.at[-1])) if np.isfinite(end) else float(r.at[-1])
        seen = rows(int(np.searchsorted(r.at, until, "right")))
        t, A, B = r.at[seen], r["mean_value_signal"][seen], r["mean_value_noise"][seen]
        noise_lines = noise(t, B)
        signal.set_data(t, A)
        ax.set(xlim=(0.0, until), ylim=view_of(A, B))
        return [*marked(_stages(r), [end], until=until), *noise_lines, signal, *axis_of(ax, x=True)]

    return update


def _noise(ax: Axes, name: str) -> Part:
    groups = [bundle(ax, colour, label) for colour, label in (
        (POSITIVE, "positive, with its row"), (POSITIVE_OPPOSED, "positive, against"),
        (NEGATIVE, "negative, with its row"), (NEGATIVE_OPPOSED, "negative, against"))]
    marked, turns = bands(ax), 1.0 if name == "key_noise" else 2.0

    def update(r: Reading) -> list[Any]:
        seen, until = rows(len(r.at)), float(r.at[-1])
        positive, against = r[name][r.row(r.classify_at)] > 0, r.against
        x, t, opposite = r[name][seen], r.at[seen], ~positive
        which = (positive & ~against, positive & against, opposite & ~against, opposite & against)
        drawn = [artist for group, pairs in zip(groups, which, strict=True) for artist in group(t, x[:, pairs])]
        ax.set(xlim=(0.0, until), ylim=view_of(x))
        return [*marked(_stages(r), [turns * r.T_key], until=until, named=turns == 1.0), *drawn, *axis_of(ax, x=True)]

    return update


def _signals(ax: Axes) -> Part:
    groups = [bundle(ax, colour, label, width=width) for colour, label, width in (
        (POSITIVE, "query, positive rows", 2.6), (NEGATIVE_OPPOSED, "key, negative rows", 1.2),
        (NEGATIVE, "query, negative rows", 2.6), (POSITIVE_OPPOSED, "key, positive rows", 1.2))]
    marked = bands(ax)

    def update(r: Reading) -> list[Any]:
        seen, until = rows(len(r.at)), float(r.at[-1])
        t, q, k = r.at[seen], r["query_signal"][seen], r["key_signal"][seen]
        positive = r["query_signal"][r.row(r.classify_at)] > 0
        shown = (q[:, positive], k[:, ~positive], q[:, ~positive], k[:, positive])
        drawn = [artist for group, lines in zip(groups, shown, strict=True) for artist in group(t, lines)]
        ax.set(xlim=(0.0, until), ylim=view_of(q, k))
        return [*marked(_stages(r), [], until=until, named=False), *drawn, *axis_of(ax, x=True)]

    return update


def _softmax(ax: Axes) -> Part:
    noise, signal = bundle(ax, NOISE, "$s_{21}$, noise token"), bundle(ax, SIGNAL, "$s_{11}$, signal token")
    marked = bands(ax)

    def update(r: Reading) -> list[Any]:
        seen, until = rows(len(r.at)), float(r.at[-1])
        s_11, s_21 = r["softmax_11"][seen], r["softmax_21"][seen]
        drawn = noise(r.at[seen], s_21) + signal(r.at[seen], s_11)
        ax.set(xlim=(0.0, until), ylim=(0.0, max(0.62, 1.05 * float(np.nanmax([s_11, s_21], initial=0.0)))))
        return [*marked(_stages(r), [r.T_attn], until=until), *drawn, *axis_of(ax, x=True)]

    return update


def _clock(ax: Axes) -> Part:
    places = np.arange(len(CLOCK))
    style: dict[str, Any] = {"linestyle": "none", "zorder": 4}
    told = ax.plot([], [], marker="D", markersize=6, markerfacecolor="none", markeredgecolor="black", label="predicted", **style)[0]
    seen = ax.plot([], [], marker="o", markersize=4.5, color=COLOURS["blue"], label="measured, at recorded steps", **style)[0]
    across = ax.get_yaxis_transform()
    words = [ax.text(1.03, y, "", transform=across, fontsize=plotting.TICK, va="center") for y in range(len(CLOCK))]
    end = ax.axvline(1.0, color=COLOURS["grey"], linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.5)
    ax.set_yticks(places, [name for name, _ in CLOCK])
    ax.set_ylim(len(CLOCK) - 0.5, -0.5)
    ax.set_xscale("log")

    def update(r: Reading) -> list[Any]:
        table, last = known_stages(r.run), float(r.at[-1])
        assert table is not None  # everything that stages are read off is recorded
        pairs = []
        for _, which in CLOCK:
            if isinstance(which, str):
                last_step = table[which].end
                pairs.append((np.nan if last_step is None else float(last_step), table[which].predicted))
            else:
                pairs.append((table.marks[which].measured, table.marks[which].predicted))
        steps = np.array(pairs)
        seen.set_data(steps[:, 0], places)
        told.set_data(steps[:, 1], places)
        end.set_xdata([last, last])
        for word, (measured, expected) in zip(words, steps, strict=True):
            first = f"{measured:.0f}" if np.isfinite(measured) else f"> {last:.0f}"
            second = f"{expected:.0f}" if np.isfinite(expected) else "never" if expected == np.inf else "-"
            word.set_text(f"{first} / {second}")
        late = steps[np.isfinite(steps)]
        ax.set_xlim(1.0, rounded(max(late.max(initial=last), 10.0)))
        return [end, told, seen, *words, *axis_of(ax, x=True, y=False)]

    return update


EXPLORED = {"stages": Explored("the four stages of sign gradient descent, and how the predicted steps follow them", "figure3", _view)}
"""What there is to explore, by name."""
