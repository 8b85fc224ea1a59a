"""The window: sliders, the two buttons, a line for messages, and the redrawing of what moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backend_bases import TimerBase
from matplotlib.figure import Figure
from matplotlib.widgets import Button, Slider

from ..experiment import Experiment
from ..plotting import COLOURS, LABEL, TICK, VERDICT_COLOURS, save
from .view import Control, View

__all__ = ["HEIGHT", "WIDTH", "Explorer"]

WIDTH, HEIGHT = 12.0, 8.2
"""Size of the window in inches: 1200 by 820 dots on a screen of 100 dots an inch."""
ROW, MARGIN = 0.27, 0.62
"""Height of a row of sliders, and of what is below them, in inches."""
WAIT = 10
"""Milliseconds between a motion of a slider and the new picture, in which further motions can arrive: only the last one counts."""


class Explorer:
    """An open window: it holds figure and sliders alive, and is what Python changes and asks.

    Parameters
    ----------
    view : View
    figure : Figure
        Empty.
    name : str
        How the files that are saved begin.
    folder : path
        Where the button Save writes.

    Attributes
    ----------
    view : View
    figure : Figure
    experiment : Experiment
        What the picture shows.
    state : object
        What was computed for it: of signal_noise, the run.
    message : str
        What the line at the bottom says; "" if nothing.
    saved : list of Path
        Files that were written.
    """

    def __init__(self, view: View, figure: Figure, name: str = "explored", folder: str | Path = ".") -> None:
        self.view, self.figure, self.name, self.folder, self.message = view, figure, name, Path(folder), ""
        self.saved: list[Path] = []
        self.experiment = view.experiment(view.start)  # a start that cannot be computed is an error, not a message: there is no picture yet
        self.state = self._computed(self.experiment)
        self._wanted, self._shown = view.start, view.start
        rows = -(-len(view.controls) // 2)
        below = min(0.5, (MARGIN + ROW * rows) / figure.get_figheight())
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.0 - below, below))
        top, bottom = parts
        self._scene = view.arrange(top)
        self._sliders, self._buttons, self._status = _panel(bottom, view.controls, rows)
        for control in view.controls:
            self._sliders[control.name].on_changed(partial(self._slid, control.name))
        self._buttons["Save"].on_clicked(lambda _event: self._save_clicked())
        self._buttons["Back to the start"].on_clicked(lambda _event: self._start_clicked())
        self._bare: Any = None  # the picture without what moves
        self._seen: Any = None  # how ticks and sliders look, and the picture with them: see _draw_moving
        self._slow: list[tuple[Any, ...]] = []
        self._moving = self._updated(self.state)
        # a function and no method: Matplotlib holds methods weakly, and this window must live as long as its figure
        figure.canvas.mpl_connect("draw_event", lambda _event: self._drawn())
        self._timer = figure.canvas.new_timer(interval=WAIT)
        self._timer.single_shot = True
        self._timer.add_callback(self._redraw)
        self._waiting = False

    @property
    def values(self) -> dict[str, Any]:
        """Values of the picture, by name of slider."""
        return dict(self._shown)

    def set(self, name: str, value: Any) -> None:
        """Move a slider and redraw at once.

        A value that does not go with the others leaves the picture as it is, and `message` says why, as it does in the window. The slider
        stays where it was put, so the value is shown as soon as the others are changed so that it goes with them.

        Raises
        ------
        ValueError
            For an unknown slider, naming the nearest valid one, or a value that is none of its values.
        """
        self._place({name: self.view.control(name).checked(value)})
        self._redraw()

    def save(self, folder: str | Path | None = None) -> tuple[Path, Path]:
        """Write setting and picture, and return the paths of the TOML and the PNG file; nothing is overwritten, files are numbered.

        ``dynsim run --config FILE.toml`` runs what the window shows, ``dynsim explore --config FILE.toml`` opens it there again.
        """
        folder = self.folder if folder is None else Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while (setting := folder / f"{self.name}-{number}.toml").exists() or setting.with_suffix(".png").exists():
            number += 1
        with setting.open("x", encoding="utf-8") as file:
            changes = [f"{name}={value:g}" for name, value in self._shown.items() if value != self.view.start[name]]
            file.write(self.experiment.said_to_be_changed("Changed in a window", changes).to_toml())
        self._say("")
        save(self.figure, setting.with_suffix(".png"))
        self.saved += [setting, setting.with_suffix(".png")]
        self._say(f"Saved {setting} and {setting.with_suffix('.png').name}.")
        self._paint()
        return setting, setting.with_suffix(".png")

    # -- events --------------------------------------------------------------------------------------------------------

    def _slid(self, name: str, place: float) -> None:
        """Note where a slider was dragged to; the picture follows when the events at hand are dealt with."""
        self._wanted = {**self._wanted, name: self.view.control(name).value(place)}
        self._write_value(name)
        self._soon()

    def _soon(self) -> None:
        if type(self._timer) is TimerBase:  # a figure without a window: nothing would ever call back
            self._redraw()
        elif not self._waiting:
            self._waiting = True
            self._timer.start()

    def _save_clicked(self) -> None:
        try:
            self.save()
        except OSError as error:
            self._say(f"Not saved: {error.filename}: {error.strerror}. dynsim explore --save FOLDER takes another folder.", refused=True)
            self._paint()

    def _start_clicked(self) -> None:
        self._place(self.view.start)
        self._soon()

    def _place(self, values: Mapping[str, Any]) -> None:
        """Move sliders without an answer to each."""
        for name, value in values.items():
            slider = self._sliders[name]
            slider.eventson = False
            slider.set_val(self.view.control(name).place(value))
            slider.eventson = True
            self._wanted = {**self._wanted, name: value}  # as it was given: the place is rounded
            self._write_value(name)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def _computed(self, experiment: Experiment) -> Any:
        with np.errstate(all="ignore"):  # extreme settings give inf and NaN, which the picture shows as gaps
            return self.view.compute(experiment)

    def _updated(self, state: Any) -> list[Any]:
        """Make the artists show a state, and return all that move but what is slow, in the order in which they are drawn."""
        with np.errstate(all="ignore"):
            moving = list(self._scene.update(state))
        knobs = [(slider.poly, *slider.ax.lines, slider.valtext) for slider in self._sliders.values()]
        self._slow = [*((artist,) for artist in moving if isinstance(artist, Axis)), *knobs]
        rest = [*(artist for artist in moving if not isinstance(artist, Axis)), self._status]
        for artist in (*rest, *chain(*self._slow)):
            artist.set_animated(True)
        panels = list(dict.fromkeys(artist.axes for artist in rest))
        return sorted(rest, key=lambda artist: (panels.index(artist.axes), artist.get_zorder()))  # as Matplotlib draws them

    def _redraw(self) -> None:
        """Compute what the sliders say and paint it; where that is refused, keep the picture and say why."""
        self._waiting = False
        if self._wanted != self._shown or self.message:
            try:
                experiment = self.view.experiment(self._wanted)
                state = self._computed(experiment)
                moving = self._updated(state)
            except (ValueError, ArithmeticError, MemoryError) as refusal:
                told = ", ".join(f"{name}={value:g}" for name, value in self._wanted.items() if value != self._shown[name])
                why = " ".join(str(refusal).split()).rstrip(".")
                self._say(f"Not possible with {told}: {why}. The picture is still that of the setting before.", refused=True)
                self._moving = self._updated(self.state)  # where the update was refused, some artists may show the new state already
            else:
                self.experiment, self.state, self._shown, self._moving = experiment, state, self._wanted, moving
                self._say("")
        self._paint()

    def _say(self, message: str, *, refused: bool = False) -> None:
        self.message = message
        self._status.set_color(VERDICT_COLOURS["violated" if refused else "inconclusive"])
        self._status.set_text(fill(message, 150))

    def _write_value(self, name: str) -> None:
        self._sliders[name].valtext.set_text(f"{self._wanted[name]:.6g}")

    def _drawn(self) -> None:
        """Keep what does not move, just drawn, as it is on the screen, and draw what moves over it."""
        canvas: Any = self.figure.canvas
        if not canvas.is_saving() and hasattr(canvas, "copy_from_bbox"):
            self._bare, self._seen = canvas.copy_from_bbox(self.figure.bbox), None
            self._draw_moving()

    def _draw_moving(self) -> None:
        """Draw what moves over the rest. Ticks and sliders take longer than all of it: each is drawn anew only where it has changed."""
        canvas: Any = self.figure.canvas

        def drawn(groups: Iterable[Any], over: Any) -> Any:
            canvas.restore_region(over)
            for artist in chain(*groups):
                self.figure.draw_artist(artist)
            return canvas.copy_from_bbox(self.figure.bbox)

        looks = [_look(group) for group in self._slow]
        if self._seen is None:
            self._seen = looks, drawn(self._slow, self._bare), [], None
        changed = [group for group, now, before in zip(self._slow, looks, self._seen[0], strict=True) if now != before]
        if changed:
            _, _, lively, still = self._seen  # what changed at the last time that anything new did, and the picture without it
            if not set(changed) <= set(lively):
                lively, still = changed, drawn([group for group in self._slow if group not in changed], self._bare)
            self._seen = looks, drawn(lively, still), lively, still
        canvas.restore_region(self._seen[1])
        for artist in self._moving:
            self.figure.draw_artist(artist)

    def _paint(self) -> None:
        canvas: Any = self.figure.canvas
        if not hasattr(canvas, "copy_from_bbox"):
            canvas.draw_idle()  # of a kind that cannot keep a picture
        elif self._bare is not None:  # else it was never drawn, and the first drawing will be up to date
            self._draw_moving()
            canvas.blit(self.figure.bbox)


def _look(group: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return on what the looks of the ticks of an axis, or of a slider, depend."""
    first, last = group[0], group[-1]
    return tuple(first.get_view_interval()) if isinstance(first, Axis) else (*first.get_extents().bounds, last.get_text())


def _panel(bottom: Any, controls: tuple[Control, ...], rows: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Put sliders in two columns, below them the buttons and a line for messages, into a subfigure; return all three."""
    height = bottom.bbox.height / bottom.dpi
    sliders, buttons = {}, {}
    for i, control in enumerate(controls):
        column, row = divmod(i, rows)
        ax = bottom.add_axes((0.19 + 0.5 * column, 1.0 - ROW * (row + 0.8) / height, 0.22, 0.6 * ROW / height))
        low, high, start = (control.place(value) for value in (control.low, control.high, control.start))
        slider = Slider(ax, control.label, low, high, valinit=start, color=COLOURS["sky"], initcolor=COLOURS["grey"])
        slider.drawon = False  # the window paints itself, once for many events
        for text, place in ((slider.label, -0.045), (slider.valtext, 1.045)):  # the knob is as wide
            text.set_fontsize(LABEL)
            text.set_x(place)
        slider.valtext.set_text(f"{control.start:.6g}")
        sliders[control.name] = slider
    for i, label in enumerate(("Save", "Back to the start")):
        ax = bottom.add_axes((0.012 + 0.1 * i, 0.12 / height, 0.09, 0.28 / height))
        button = Button(ax, label, color=COLOURS["band"], hovercolor=COLOURS["band"])
        button.label.set_fontsize(LABEL)
        buttons[label] = button
    ax = bottom.add_axes((0.22, 0.05 / height, 0.77, 0.42 / height))
    ax.set_axis_off()
    status = ax.text(0.0, 0.5, "", fontsize=TICK + 0.5, va="center", ha="left", transform=ax.transAxes)
    return sliders, buttons, status
