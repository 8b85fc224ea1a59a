"""The window without a screen: sliders and buttons by events of the mouse, what is painted against a fresh drawing, files."""

import gc

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backend_bases import MouseEvent, TimerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dynsim import Experiment
from dynsim.explore import Control, Scene, View, explore
from dynsim.explore.window import Explorer
from dynsim.systems import signal_noise

START = signal_noise.experiment("tiny")
"""disjoint, d = 32, n = 3: noise tokens of at most ten coordinates."""


def one_line(figure):
    """Draw the state as the height of a line."""
    line = figure.add_subplot().plot([0.0, 1.0], [0.0, 0.0])[0]

    def update(state):
        line.set_ydata([0.0, state])
        line.axes.set_ylim(0.0, 2.0 * state)
        return [line, line.axes.yaxis]

    return Scene(update)


def small(compute=lambda experiment: experiment.setting.s * experiment.optimizer.lr, arrange=one_line, folder=".", draw=True):
    """Open a window of two sliders that computes next to nothing."""
    controls = (Control("s", "coordinates", 2, 30, 4, step=1), Control("lr", "rate", 0.001, 0.1, 0.01, log=True))
    figure = Figure(figsize=(6.0, 3.0), dpi=80)
    FigureCanvasAgg(figure)
    window = Explorer(View("small", controls, START.vary, compute, arrange), figure, "small", folder)
    if draw:
        figure.canvas.draw()
    return window


def pixels(window):
    return np.asarray(window.figure.canvas.buffer_rgba()).copy()


def press(figure, ax, share=0.5, kinds=("button_press_event", "button_release_event")):
    """Send events of the left button at a share of the width of axes."""
    x, y = ax.transAxes.transform((share, 0.5))
    for kind in kinds:
        MouseEvent(kind, figure.canvas, x, y, button=1)._process()


def axes_of(figure, label):
    """Return the axes of the slider or button that is called so."""
    return next(ax for ax in figure.axes if label in [text.get_text() for text in ax.texts])


def test_a_drag_of_the_mouse_is_a_value():
    window = small()
    press(window.figure, axes_of(window.figure, "rate"), 0.75, ("button_press_event", "motion_notify_event", "button_release_event"))
    assert window.values == {"s": 4, "lr": pytest.approx(10**-1.5, rel=0.02)} and window.values["lr"] == round(window.values["lr"], 4)
    assert window.experiment.optimizer.lr == window.values["lr"] and window.state == 4 * window.values["lr"]
    assert f"{window.values['lr']:.6g}" in [text.get_text() for text in axes_of(window.figure, "rate").texts]
    press(window.figure, axes_of(window.figure, "Back to the start"))
    assert window.values == window.view.start and window.state == 4 * 0.01


def test_what_is_painted_over_an_older_picture_is_what_is_drawn_from_nothing():
    window = small()
    for name, value in (("s", 5), ("lr", 0.05), ("s", 10)):
        before = pixels(window)
        window.set(name, value)
        painted = pixels(window)
        assert (painted != before).any()
        window.figure.canvas.draw()
        assert (pixels(window) == painted).all()


def test_values_set_in_python_are_exact():
    window = small()
    window.set("lr", 0.0123456)
    assert window.values["lr"] == window.experiment.optimizer.lr == 0.0123456
    with pytest.raises(ValueError, match="unknown slider 'lrr': did you mean 'lr'"):
        window.set("lrr", 0.01)
    with pytest.raises(ValueError, match="s=2.5 must be a multiple of 1: take 2"):
        window.set("s", 2.5)


def test_a_setting_that_is_refused_is_told_and_the_picture_stays():
    window = small()
    before, state = pixels(window), window.state
    window.set("s", 20)
    assert window.message.startswith("Not possible with s=20: disjoint=True needs n * s <= d - 1") and "raise d to 61" in window.message
    assert window.values == window.view.start and window.state is state
    painted, view = pixels(window), slice(0, int(0.6 * window.figure.bbox.height))
    assert (painted[view] == before[view]).all() and (painted != before).any()
    window.set("s", 3)
    assert window.message == "" and window.values == {"s": 3, "lr": 0.01}


@pytest.mark.parametrize("error", [FloatingPointError("lost"), ValueError("lost"), MemoryError("lost")])
def test_what_goes_wrong_in_the_computation_is_told(error):
    def compute(experiment):
        if experiment.setting.s > 5:
            raise error
        return 1.0

    window = small(compute)
    window.set("s", 6)
    assert window.message == "Not possible with s=6: lost. The picture is still that of the setting before." and window.values["s"] == 4


def test_a_picture_that_cannot_be_drawn_leaves_the_one_before():
    def fails_late(figure):
        scene = one_line(figure)

        def update(state):
            moving = scene.update(state)
            if state > 1.0:
                raise ValueError("too high")
            return moving

        return Scene(update)

    window = small(lambda experiment: experiment.setting.s / 5.0, fails_late)
    before, experiment = pixels(window), window.experiment
    window.set("s", 6)
    assert window.message.startswith("Not possible with s=6: too high") and window.state == 0.8 and window.experiment is experiment
    view = slice(0, int(0.6 * window.figure.bbox.height))
    assert (pixels(window)[view] == before[view]).all()
    window.set("s", 4)
    assert window.message == "" and (pixels(window)[view] == before[view]).all()


def test_a_start_that_cannot_be_computed_is_an_error():
    def compute(experiment):
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        small(compute)


def test_events_that_come_together_are_answered_once(monkeypatch):
    class Timer(TimerBase):
        started = 0

        def _timer_start(self):
            Timer.started += 1

    monkeypatch.setattr(FigureCanvasAgg, "_timer_cls", Timer)
    computed = []
    window = small(lambda experiment: computed.append(experiment.optimizer.lr) or 1.0)
    for share in (0.6, 0.7, 0.8):
        press(window.figure, axes_of(window.figure, "rate"), share)
    assert Timer.started == 1 and computed == [0.01]             # the picture waits for the events at hand
    window._timer._on_timer()
    assert len(computed) == 2 and window.values["lr"] == computed[1] == pytest.approx(10**-1.4, rel=0.02)
    press(window.figure, axes_of(window.figure, "rate"), 0.5)
    assert Timer.started == 2


def test_the_window_lives_as_long_as_its_figure():
    figure = small().figure                                      # nobody keeps the window
    gc.collect()
    before = np.asarray(figure.canvas.buffer_rgba()).copy()
    press(figure, axes_of(figure, "rate"), 0.9)
    assert (np.asarray(figure.canvas.buffer_rgba()) != before).any()


def test_a_window_that_is_not_drawn_yet_can_be_set():
    window = small(draw=False)
    window.set("s", 7)
    window.figure.canvas.draw()
    later = small()
    later.set("s", 7)
    assert (pixels(window) == pixels(later)).all()


# -- files -----------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_shown(tmp_path):
    window = small(folder=tmp_path / "new" / "folder")
    assert window.save()[0].name == "small-1.toml" and Experiment.from_toml(window.saved[0]) == START
    window.set("s", 7)
    press(window.figure, axes_of(window.figure, "Save"))
    setting, picture = window.saved[2:]
    assert (setting.name, picture.name) == ("small-2.toml", "small-2.png") and str(setting) in window.message.replace("\n", "")
    again = Experiment.from_toml(setting)
    assert again.setting.s == 7 and again.note.startswith("Changed in a window: s=7. For teaching") and again.origin == START.origin
    assert again.replace(note=START.note) == START.vary({"s": 7})
    (tmp_path / "new/folder/small-3.png").write_text("mine")      # nothing of anybody's is overwritten
    assert window.save()[0].name == "small-4.toml" and (tmp_path / "new/folder/small-3.png").read_text() == "mine"


def test_the_saved_picture_has_what_moves(tmp_path):
    def picture(window):
        with Image.open(window.save()[1]) as image:
            return np.asarray(image.convert("RGB"))

    window = small(folder=tmp_path)
    whole = picture(window)
    for artist in (window._moving[0], window._slow[0][0], window._sliders["lr"].valtext):
        artist.set_visible(False)
        assert (whole != picture(window)).any()
        artist.set_visible(True)
    assert (whole == picture(window)).all()                      # without the message of where it was saved


def test_quoted_numbers_that_were_changed_are_not_quoted_any_more(tmp_path):
    quoted = START.replace(origin="quoted")
    view = View("small", (Control("s", "s", 2, 10, 4, step=1),), quoted.vary, lambda experiment: 1.0, one_line)
    figure = Figure()
    window = Explorer(view, figure, folder=tmp_path)
    assert Experiment.from_toml(window.save()[0]).origin == "quoted"
    window.set("s", 5)
    assert Experiment.from_toml(window.save()[0]).origin == "derived"


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    window = small(folder=tmp_path / "file")
    press(window.figure, axes_of(window.figure, "Save"))
    assert window.message.startswith("Not saved:") and "--save" in window.message and window.saved == []


@pytest.mark.slow
def test_pyplot_is_asked_where_no_figure_is_given():
    window = explore("signal_noise", start="tiny")
    assert pyplot.fignum_exists(window.figure.number)
    pyplot.close(window.figure)
