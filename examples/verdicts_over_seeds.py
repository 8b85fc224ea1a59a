"""Every claim of the two-layer transformer on a preset, over seeds: how often it holds, and by how much.

    python examples/verdicts_over_seeds.py figure3 20
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np

from dynsim import check
from dynsim.systems import signal_noise


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


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "figure3"
    print(markdown(compute(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else 20)))
