"""
Every claim, over many seeds
============================

One run shows one draw of data and weights. Here every claim of the two-layer transformer is judged on many draws of one preset: how often
does it hold, and by how much? A margin is 1 where a prediction is met exactly, 0 at the edge of the tolerance and negative where the claim
fails. "Not applicable" says that an assumption is unmet; the margin is measured all the same.

Preset and number of seeds are arguments: ``python examples/verdicts_over_seeds.py figure1 20``.
"""

import sys
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

from dynsim import check
from dynsim.plotting import COLOURS, panel
from dynsim.systems import signal_noise

WORDS = {"holds": "green", "violated": "vermillion", "not applicable": "sky", "inconclusive": "bound"}


def compute(preset: str = "figure3", seeds: int = 20, **changes) -> dict[str, tuple[Counter, float, float]]:
    """Return verdict counts and the smallest and median margin of every claim."""
    experiment = signal_noise.experiment(preset).replace(**changes)
    reports = [check(experiment.replace(seed=seed).run()) for seed in range(seeds)]
    table = {}
    for name in signal_noise.CLAIMS:
        margins = np.array([report[name].margin for report in reports])
        known = margins[np.isfinite(margins)]
        spread = (known.min(), np.median(known)) if len(known) else (np.nan, np.nan)
        table[name] = (Counter(report[name].verdict for report in reports), *map(float, spread))
    return table


def markdown(table: dict[str, tuple[Counter, float, float]]) -> str:
    """Return the table as Markdown."""
    lines = ["| claim | verdicts | smallest margin | median margin |", "|---|---|---|---|"]
    for name, (counts, least, median) in table.items():
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        lines.append(f"| `{name}` | {verdicts} | " + " | ".join("" if np.isnan(x) else f"{x:+.2g}" for x in (least, median)) + " |")
    return "\n".join(lines)


def draw(table: dict[str, tuple[Counter, float, float]]) -> plt.Figure:
    """Draw the verdicts of every claim as a bar."""
    figure, ax = plt.subplots(figsize=(7, 6.5), layout="constrained")
    with panel(ax, "Verdicts of every claim, over seeds"):
        done = np.zeros(len(table))
        for word, colour in WORDS.items():
            counts = np.array([counts[word] for counts, *_ in table.values()])
            ax.barh(list(table), counts, left=done, color=COLOURS[colour], label=word)
            done += counts
        ax.invert_yaxis()
        ax.set_xlabel("seeds")
    return figure


def main(preset: str = "figure3", seeds: int | str = 8) -> None:
    """Print the table, and draw."""
    table = compute(preset, int(seeds))
    print(markdown(table))
    draw(table)
    plt.show()


if __name__ == "__main__":
    main(*sys.argv[1:3] if "__file__" in globals() else ())  # in a notebook the arguments are not ours
