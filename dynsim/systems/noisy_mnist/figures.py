"""Figures of noisy MNIST: test loss against SNR, early stopping, attention as images. Importing this imports Matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ... import plotting
from ...check import check
from ...claims import Inconclusive, Verdict, from_evidence
from ...plotting import COLOURS
from ...scaling import mean_interval
from ...sweep import Table
from ...trajectory import Trajectory
from .attention import Attended, attended, trained_run
from .claims import CLAIMS, CLEAN, NAMES, NOISY, RULES, SWEEP_CLAIMS, curves, texts_of
from .data import CONSTRUCTIONS, SIDE
from .measures import LEVELS, TRAINED, column

__all__ = [
    "FIGURES", "MAIN_FIGURES", "STUDY_FIGURES", "attention", "attention_of_rules", "course", "plot_against_snr", "plot_course",
    "plot_stopping", "snr", "stopping",
]

Evidence = Mapping[str, Any]

RULE_COLOURS = {"signgd": COLOURS["blue"], "adam": COLOURS["vermillion"], "gd": COLOURS["green"]}
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
"""Styles that tell apart rules of one name with different options, of which these are the first four."""
LEVEL_COLOURS = dict(zip(LEVELS, (COLOURS["sky"], COLOURS["purple"], COLOURS["orange"], COLOURS["ink"]), strict=True))
SAMPLES = (("train", 1.0), ("train", -1.0), ("test", 1.0), ("test", -1.0))
"""Samples whose attention is shown: the first of each kind and label."""
TOKENS = {"token": ("image", "noise"), "border": ("upper", "lower")}
"""Names of the two tokens."""
LONG = {"token": "image and noise are a token each", "border": "noise in the border, tokens are the image's halves"}


def _verdicts(evidence: Evidence, *ids: str) -> tuple[Verdict, ...]:
    return check(evidence, [SWEEP_CLAIMS[id] for id in ids]).verdicts


def _tables(evidence: Evidence) -> list[str]:
    found = [name for name in CONSTRUCTIONS if name in evidence]
    if not found:
        raise Inconclusive(f"the evidence has none of the sweeps {', '.join(CONSTRUCTIONS)}")
    return found


def _rules(table: Table) -> list[str]:
    """Return the compared rules that a table has, as texts with their options."""
    found = [text for rule in RULES for text in texts_of(table, rule)]
    if not found:
        raise Inconclusive(f"the sweep has none of the rules {', '.join(RULES)}")
    return found


def _label(table: Table, text: str) -> str:
    """Return the name of a rule, with its options where they tell it from another of that name."""
    rule, _, options = text.partition(":")
    return f"{NAMES.get(rule, rule)}{f' {options}' if options and len(texts_of(table, rule)) > 1 else ''}"


def _details(table: Table) -> str:
    e = table.experiment
    texts = [str(text) for text in dict.fromkeys(table["optimizer"].tolist())]
    rates = ", ".join(f"{text} {e.rule(text).lr:g}" for text in texts)
    s, seeds = e.setting, len(np.unique(table["seed"]))
    return (
        f"{s.positive} against {s.negative}, n = {s.n}, s = {s.s}, m_k = {s.m_k}, learning rates: {rates}; "
        + (f"{seeds} seeds, bands: 95 % t-intervals of the mean" if seeds > 1 else "one seed")
    )


def _band(ax: Axes, x: NDArray, values: NDArray, colour: str, label: str, style: Any = "-") -> None:
    """Draw the mean over seeds, where every seed has a number, and with several seeds its 95 % interval."""
    known = np.isfinite(values).all(axis=0)
    if not known.any():
        ax.plot([], [], color=colour, linestyle=style, label=f"{label} (not reached)")
        return
    plotting.line(ax, x[known], values[:, known].mean(axis=0), colour, label, marker="o", markersize=3, linestyle=style)
    if len(values) > 1:
        low, high = mean_interval(values[:, known])
        ax.fill_between(x[known], low, high, color=colour, alpha=0.18, linewidth=0)


def _snr_axis(ax: Axes, snr: NDArray) -> None:
    ax.set_xscale("log")
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if snr.min() <= tick * 1.001 and tick <= snr.max() * 1.001]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("SNR: norm of the image over norm of the noise (log; right is cleaner)")


def plot_against_snr(evidence: Evidence, entry: str, quantity: str, *, ax: Axes | None = None) -> Axes:
    """Draw test loss or test error of trained models against SNR, a band a rule.

    Parameters
    ----------
    evidence : mapping of str to Table
    entry : {"token", "border"}
    quantity : {"test_loss", "test_error"}
    ax : Axes, optional
    """
    name = {"test_loss": "test loss", "test_error": "test error"}[quantity]
    ids = [f"mnist_{entry}_{part}" for part in ("signgd_above_gd", "adam_above_gd", "agreement")] if quantity == "test_loss" else []
    with plotting.panel(ax, f"{name}: {LONG[entry]}", _verdicts(evidence, *ids), legend_columns=5) as ax:
        table = from_evidence(evidence, entry)
        for text in _rules(table):
            snr, values = curves(table, text, column(quantity, TRAINED))
            rule = text.partition(":")[0]
            style = LINES[texts_of(table, rule).index(text) % len(LINES)]
            _band(ax, snr, values, RULE_COLOURS[rule], _label(table, text), style)
        _snr_axis(ax, snr)
        plotting.theory(ax, [snr.min(), snr.max()], [np.log(2.0) if quantity == "test_loss" else 0.5] * 2, "guessing")
        if ids:
            mark: dict[str, Any] = {"color": COLOURS["grey"], "linestyle": (0, (1, 2)), "linewidth": 1.0, "zorder": 0}
            ax.axvline(NOISY, label="SNRs of the claims", **mark)
            ax.axvline(CLEAN, **mark)
        ax.set_ylim(bottom=0.0)
        ax.set_ylabel(f"{name} at training loss {TRAINED:g}")
    return ax


def plot_stopping(evidence: Evidence, entry: str, text: str, *, ax: Axes | None = None) -> Axes:
    """Draw the test loss of one rule against SNR, stopped at each level of the training loss.

    Parameters
    ----------
    evidence : mapping of str to Table
    entry : {"token", "border"}
    text : str
        A rule as in the sweep, with its options: SignGD, Adam or GD.
    ax : Axes, optional
    """
    rule = text.partition(":")[0]
    verdicts = _verdicts(evidence, f"mnist_{entry}_{rule}_monotone", f"mnist_{entry}_{rule}_monotone_stopped")
    name = _label(evidence[entry], text) if entry in evidence else NAMES[rule]
    with plotting.panel(ax, f"{name}, construction '{entry}'", verdicts) as ax:
        table = from_evidence(evidence, entry)
        for level in LEVELS:
            snr, values = curves(table, text, column("test_loss", level))
            _band(ax, snr, values, LEVEL_COLOURS[level], f"training loss {level:g}")
        _snr_axis(ax, snr)
        ax.set_xlabel("SNR (log; right is cleaner)")
        ax.set_ylim(bottom=0.0)
        ax.set_ylabel("test loss when stopped")
    return ax


def snr(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Test loss and test error against SNR for each rule, a row a construction.

    Parameters
    ----------
    evidence : mapping of str to Table
        What ``STUDIES["snr"].run()`` returns.
    fig : Figure, optional
        Figure or subfigure to fill.
    """
    entries = _tables(evidence)
    fig = plotting.new_figure(9.8, 0.9 + 3.9 * len(entries)) if fig is None else fig
    plotting.headline(fig, "Noisy MNIST: what each rule generalises, in the spirit of Fig. 2d of Li et al. (arXiv 2410.04870)",
                      f"constructions and settings chosen here; {_details(evidence[entries[0]])}")
    axes = plotting.grid(fig, len(entries), 2, top=1.3, between=(1.8, 0.95))
    for row, entry in enumerate(entries):
        for ax, quantity in zip(axes[2 * row : 2 * row + 2], ("test_loss", "test_error"), strict=True):
            plot_against_snr(evidence, entry, quantity, ax=ax)
    return fig


def stopping(evidence: Evidence, *, fig: Figure | None = None) -> Figure:
    """Test loss against SNR when training is stopped at each of four training losses: a row a construction, a column a rule.

    Parameters
    ----------
    evidence : mapping of str to Table
    fig : Figure, optional
    """
    entries = _tables(evidence)
    rules = _rules(evidence[entries[0]])
    fig = plotting.new_figure(1.2 + 3.6 * len(rules), 0.9 + 3.9 * len(entries)) if fig is None else fig
    plotting.headline(fig, "Noisy MNIST: is the test loss monotone in the SNR, trained out and stopped early?",
                      f"constructions and settings chosen here; {_details(evidence[entries[0]])}")
    axes = plotting.grid(fig, len(entries), len(rules), top=1.3, between=(1.8, 0.85))
    for row, entry in enumerate(entries):
        of_row = axes[len(rules) * row : len(rules) * (row + 1)]
        for ax, text in zip(of_row, rules, strict=True):
            plot_stopping(evidence, entry, text, ax=ax)
        top = max(ax.get_ylim()[1] for ax in of_row)
        for ax in of_row:
            ax.set_ylim(0.0, top)
    return fig


# -- attention as images ------------------------------------------------------------------------------------------------


def _picture(ax: Axes, token: NDArray, title: str, size: float) -> None:
    """Draw a token as an image, red above 0 and blue below, with full colour at `size` and beyond."""
    ax.imshow(token.reshape(SIDE, SIDE), cmap="RdBu_r", vmin=-size, vmax=size, interpolation="nearest")
    ax.set_title(title, fontsize=plotting.SMALL, pad=3.0)
    ax.set_xticks([])
    ax.set_yticks([])


def _matrix(ax: Axes, p: NDArray, names: tuple[str, str], *, rows: bool) -> None:
    """Draw a 2 x 2 attention matrix, query by key, with its numbers."""
    ax.imshow(p, cmap="Greys", vmin=0.0, vmax=1.25, interpolation="nearest")
    for (query, key), value in np.ndenumerate(p):
        ax.text(key, query, f"{value:.2f}", ha="center", va="center", fontsize=plotting.TICK, color="white" if value > 0.7 else "black")
    ax.set_xticks([0, 1], [f"on {name}" for name in names], fontsize=plotting.SMALL)
    ax.set_yticks([0, 1], [f"of {name}" for name in names] if rows else ["", ""], fontsize=plotting.SMALL)
    ax.tick_params(length=0)


def _attention(fig: Any, found: Mapping[str, Mapping[str, Attended]], construction: str, digits: Mapping[float, int]) -> None:
    """Fill a figure: a column a sample, its tokens on top, then a row of attention matrices for each rule."""
    width, height = fig.bbox.width / fig.dpi, fig.bbox.height / fig.dpi
    left, top, bottom, pictures = 2.0, 0.95, 0.1, 1.35
    across, down = (width - left - 0.15) / len(SAMPLES), (height - top - bottom - pictures) / len(found)
    tokens, first = TOKENS[construction], next(iter(found.values()))
    half, side = 0.5 * across - 0.12, min(down - 0.4, across - 0.55)

    def axes(x: float, y: float, w: float, h: float) -> Axes:
        return fig.add_axes((x / width, 1.0 - (y + h) / height, w / width, h / height))

    for number, (kind, label) in enumerate(SAMPLES):
        samples = first[kind].samples
        which = int(np.flatnonzero(samples.y == label)[0])
        x = left + number * across
        text = f"{'training' if kind == 'train' else 'test'} sample, a {digits[label]}, y = {label:+.0f}"
        fig.text((x + 0.5 * across - 0.06) / width, 1.0 - (top - 0.06) / height, text, fontsize=plotting.TICK, ha="center", va="bottom")
        for token, name in enumerate(tokens):
            shown = samples.X[which, token]
            size = np.abs(shown if construction == "token" else samples.clean[which]).max()
            _picture(axes(x + token * (half + 0.06), top + 0.2, half, half), shown, name, size)
        for row, attention in enumerate(found.values()):
            place = axes(x + 0.5 * (across - side) - 0.06, top + pictures + row * down, side, side)
            _matrix(place, attention[kind].attention[which], tokens, rows=number == 0)
    for row, (name, attention) in enumerate(found.items()):
        means = [f"mean on {tokens[0]}", f"(of {tokens[0]}, of {tokens[1]})"]
        for kind, text in (("train", "training"), ("test", "test")):
            of_first, of_second = attention[kind].attention[:, :, 0].mean(axis=0)
            means.append(f"{text} {of_first:.2f}, {of_second:.2f}")
        y = 1.0 - (top + pictures + row * down) / height
        fig.text(0.12 / width, y, name, fontsize=plotting.TITLE, ha="left", va="top")
        fig.text(0.12 / width, y - 0.22 / height, "\n".join(means), fontsize=plotting.SMALL, ha="left", va="top", color=COLOURS["grey"])


def attention_of_rules(evidence: Evidence, entry: str = "token", *, snr: float = NOISY, fig: Figure | None = None) -> Figure:
    """Attention of models trained by each rule on the same samples, as images: tokens, and 2 x 2 matrices of query and key.

    Parameters
    ----------
    evidence : mapping of str to Table
        Runs of its smallest seed are made again, up to the step at which they were trained.
    entry : {"token", "border"}
    snr : float
        One of the sweep's.
    fig : Figure, optional

    Raises
    ------
    Inconclusive
        If the run of a rule at this SNR failed or did not reach the training loss.
    """
    table = from_evidence(evidence, entry)
    seed = int(table["seed"].min())
    runs = {}
    for text in dict.fromkeys(table["optimizer"].tolist()):
        run = trained_run(table, text, snr, seed)
        runs[f"{_label(table, text)}, step {run.last_step}"] = attended(run)
    fig = plotting.new_figure(9.6, 2.4 + 1.75 * len(runs)) if fig is None else fig
    setting = table.experiment.setting
    plotting.headline(
        fig, f"Whom tokens attend to at SNR {snr:g}, training loss {TRAINED:g}: {LONG[entry]}",
        f"seed {seed}; rows of a matrix: the token that asks; columns: the token it attends to; red above 0, blue below"
        + (", noise beyond the scale" if entry == "border" else ""),
    )
    _attention(fig, runs, entry, {1.0: setting.positive, -1.0: setting.negative})
    return fig


# -- one run ------------------------------------------------------------------------------------------------------------


def plot_course(run: Trajectory, quantities: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw recorded scalar quantities of a run against the step.

    Parameters
    ----------
    run : Trajectory
    quantities : sequence of str
        Of "train_loss", "test_loss", "train_error", "test_error".
    ax : Axes, optional
    """
    losses = quantities[0].endswith("loss")
    verdicts = check(run, [CLAIMS["mnist_trained"]]).verdicts if losses else ()
    with plotting.panel(ax, "loss" if losses else "error", verdicts) as ax:
        for name in quantities:
            if name not in run:
                raise Inconclusive(f"{name} not recorded: add it to record=")
            colour = COLOURS["blue" if name.startswith("train") else "vermillion"]
            plotting.line(ax, run.steps(name), run[name], colour, name.replace("_", "ing " if name.startswith("train") else " "))
        if losses:
            plotting.log_axis(ax)
        else:
            ax.set_ylim(0.0, 1.0)
        ax.set_xlabel("step")
        ax.set_ylabel("loss (log)" if losses else "error")
    return ax


def course(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Losses and errors of a run on training and test samples.

    Parameters
    ----------
    run : Trajectory
    fig : Figure, optional
    """
    fig = plotting.new_figure(8.6, 4.1) if fig is None else fig
    plotting.headline(fig, "Training and test", _of_run(run))
    for ax, kind in zip(plotting.grid(fig, 1, 2, top=1.3), ("loss", "error"), strict=True):
        plot_course(run, (f"train_{kind}", f"test_{kind}"), ax=ax)
    return fig


def _of_run(run: Trajectory) -> str:
    s, rule = run.provenance["setting"], run.provenance["optimizer"]
    return (
        f"{s['positive']} against {s['negative']}, SNR {s['snr']:g}, n = {s['n']}, {rule['rule']} at lr={rule['lr']:g}, "
        f"seed {run.provenance['seed']}: {LONG[s['construction']]}"
    )


def attention(run: Trajectory, *, fig: Figure | None = None) -> Figure:
    """Attention at the end of a run, as images: tokens of some samples, and 2 x 2 matrices of query and key.

    Parameters
    ----------
    run : Trajectory
    fig : Figure, optional
    """
    fig = plotting.new_figure(9.6, 4.15) if fig is None else fig
    setting = run.provenance["setting"]
    plotting.headline(fig, f"Whom tokens attend to at step {run.last_step}", _of_run(run))
    rule = run.provenance["optimizer"]["rule"]
    found = {NAMES.get(rule, rule): attended(run)}
    _attention(fig, found, setting["construction"], {1.0: setting["positive"], -1.0: setting["negative"]})
    return fig


FIGURES: Mapping[str, Callable[[Trajectory], Figure]] = {"course": course, "attention": attention}
"""Figures by name, each a function of a run."""

MAIN_FIGURES = tuple(FIGURES)
"""Figures that tell the story of a run."""

STUDY_FIGURES: Mapping[str, Mapping[str, Callable[[Evidence], Figure]]] = {
    "snr": {
        "snr": snr, "stopping": stopping,
        **{f"attention_{entry}": partial(attention_of_rules, entry=entry) for entry in CONSTRUCTIONS},
    },
}
"""Figures of the studies, by study and name, each a function of the study's evidence."""
