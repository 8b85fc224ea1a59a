"""The figures that stand in these pages: which command draws each. The rest are drawn by the gallery's scripts while the site is built.

    python docs/_ext/drawing.py NAME...    # draw them again, each into docs/figures/NAME.png
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from marks import put

from dynsim.plotting import fewer_colours, new_figure, save

DOCS = Path(__file__).resolve().parents[1]
FOLDER, PAGE = DOCS / "figures", DOCS / "figures.md"


class Drawn(NamedTuple):
    """What draws a figure."""

    command: str
    """After ``dynsim``, and before ``--out``."""
    figure: str
    """What the command calls it."""


def _named(command: str, prefix: str, names: Mapping[str, str]) -> dict[str, Drawn]:
    return {f"{prefix}{name}": Drawn(command, figure) for name, figure in names.items()}


RUN, STUDY = "run {} --preset {}", "study {} {}"
HETEROGENEITY = "gradient_heterogeneity"
COMPARE = "compare signal_noise --preset figure3 --optimizers signgd,adam:0.9,adam:0.5,adam:0.0,gd"

FIGURES: Mapping[str, Drawn] = {
    **_named(RUN.format("signal_noise", "figure3") + " --figures all", "", {"figure3": "figure3", "clock": "clock"}),
    **_named(COMPARE, "", {"comparison": "rules", "equal_loss": "equal_loss"}),
    **_named(STUDY.format("signal_noise", "beta2"), "", {"adam": "memory"}),
    **_named(STUDY.format("signal_noise", "geometry"), "", {"geometry": "geometry"}),
    **_named("theorem signal_noise", "theorem_", {"t_attn": "t_attn", "asymptotics": "asymptotics"}),
    **_named("phase signal_noise alignment", "phase_", {"alignment": "alignment"}),
    **_named("run noisy_mnist --snr 0.05:2:8 --optimizers signgd,adam,gd --seeds 5", "mnist_",
             {"snr": "snr", "stopping": "stopping", "attention_token": "attention_token"}),
    **_named(RUN.format("cooccurrence", "theory") + " --figures all", "cooccurrence_",
             {"theory": "figure1", "margins_and_G": "margins_and_G", "balancing": "balancing", "attention": "attention"}),
    **_named(RUN.format("cooccurrence", "paper"), "cooccurrence_", {"paper": "figure1"}),
    **_named(STUDY.format("cooccurrence", "scaling"), "cooccurrence_", {"scaling": "scaling"}),
    **_named(RUN.format("attention_kernels", "value_only"), "attention_kernels_", {"value_only": "curve"}),
    **_named(RUN.format("attention_kernels", "stuck"), "attention_kernels_", {"stuck": "basin"}),
    **_named(RUN.format("attention_kernels", "reverse"), "attention_kernels_", {"reverse": "basin"}),
    **_named(RUN.format("attention_kernels", "landscape"), "attention_kernels_", {"landscape": "landscape"}),
    **_named(STUDY.format("attention_kernels", "queries"), "attention_kernels_", {"queries": "queries"}),
    **_named(STUDY.format("attention_kernels", "text"), "attention_kernels_", {"text": "text"}),
    **_named(RUN.format(HETEROGENEITY, "quadratic"), f"{HETEROGENEITY}_", {"quadratic": "target", "bounds": "bounds"}),
    **_named(RUN.format(HETEROGENEITY, "layernorm"), f"{HETEROGENEITY}_", {"placement": "placement", "training": "training"}),
    **{f"{HETEROGENEITY}_{name}": Drawn(STUDY.format(HETEROGENEITY, name), name)
       for name in ("head", "rates", "finetuning", "many_classes")},
}
"""Every file in docs/figures that a run or study draws, by its name."""


def _window() -> Any:
    """Return the window with sliders after one of them has been moved."""
    from dynsim import explore
    from dynsim.explore.window import HEIGHT, WIDTH

    window = explore("signal_noise", figure=new_figure(WIDTH, HEIGHT))
    window.set("s", 40)
    return window.figure


WINDOWS: Mapping[str, tuple[str, Callable[[], Any]]] = {"explore": ("dynsim explore signal_noise --set s=40", _window)}
"""Files that show a window: what opens it, and a function that draws it without a screen."""


def table() -> str:
    """Return the table of the page as Markdown."""
    told = {name: f"`dynsim {drawn.command} --out DIR`: `figures/{drawn.figure}.png`" for name, drawn in FIGURES.items()}
    told |= {name: f"`{command}`, drawn without a screen" for name, (command, _) in WINDOWS.items()}
    rows = [f"| [`{name}`](figures/{name}.png) | {told[name]} |" for name in sorted(told)]
    return "\n".join(["| figure | command |", "|---|---|", *rows])


def draw(names: list[str]) -> None:
    """Run the commands of some figures, each once, and copy what they drew."""
    for name in set(names) & set(WINDOWS):
        save(WINDOWS[name][1](), FOLDER / f"{name}.png", dpi=100)
        fewer_colours(FOLDER / f"{name}.png")
    names = [name for name in names if name not in WINDOWS]
    commands = {FIGURES[name].command for name in names}
    for command in sorted(commands):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "dynsim", *command.split(), "--out", f"{folder}/out"], check=True)
            for name in names:
                if FIGURES[name].command == command:
                    shutil.copy(Path(folder, "out", "figures", f"{FIGURES[name].figure}.png"), FOLDER / f"{name}.png")
                    fewer_colours(FOLDER / f"{name}.png")


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - {*FIGURES, *WINDOWS}:
        raise SystemExit(f"no figure {', '.join(sorted(unknown))}: the names are those of docs/figures.md")
    draw(sys.argv[1:])
    put(PAGE, "figures", table())
