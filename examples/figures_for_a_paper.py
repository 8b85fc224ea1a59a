"""
A figure for a paper, from a saved run
======================================

A run is saved once and drawn many times. The file holds everything that was recorded and where it came from; loaded again it is the same
run bit for bit, so that it gives the same verdicts and the same figures. Every panel of dynsim draws into axes of your own: choose the
width of your column, the fonts of your text, and write a PDF.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from dynsim import Trajectory, check, load
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.figures import plot_noise

COLUMN = 3.35  # inches: one of two columns
TEXT = {"font.family": "serif", "mathtext.fontset": "cm"}


def compute(folder: str | Path | None = None) -> tuple[Trajectory, Trajectory]:
    """Run, save, load; return the run and what was loaded."""
    run = signal_noise.experiment("figure3").run()
    with tempfile.TemporaryDirectory() as temporary:
        path = run.save(Path(folder or temporary) / "run.npz")
        return run, load(path)


# %%
# The fonts are set inside ``rc_context``, so that nothing else changes. A panel is an ordinary Matplotlib ``Axes``: what you do not like
# can be changed afterwards, here its title and the size of its numbers.


def draw(found: tuple[Trajectory, Trajectory], pdf: str | Path | None = None) -> plt.Figure:
    """Draw the key noise of what was loaded at the width of a column; write the PDF if a path is given."""
    with plt.rc_context(TEXT):
        figure, ax = plt.subplots(figsize=(COLUMN, 2.9), layout="constrained", dpi=200)
        plot_noise(found[1], "key_noise", ax=ax)
        for text in list(ax.texts):
            if text.get_gid() != "stage":  # the verdicts: a caption says them better
                text.remove()
        ax.set_title("Key noise turns and changes sign", loc="left", fontsize=9, pad=12)
        ax.tick_params(labelsize=8)
        if pdf is not None:
            figure.savefig(pdf)
    return figure


def main() -> None:
    """Print what a saved run is good for, and draw."""
    run, again = found = compute()
    same = all(np.array_equal(run[name], again[name]) for name in run.arrays)
    print(f"recorded arrays: {len(run.arrays)}; loaded again, bit for bit the same: {same}")
    print(f"the same verdicts from the file: {check(run).counts == check(again).counts}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key_noise.pdf"
        draw(found, path)
        print(f"{path.name}: {path.stat().st_size // 1024} kB, {COLUMN} inches wide")
    plt.show()


if __name__ == "__main__":
    main()
