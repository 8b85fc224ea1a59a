"""Open a window: which view, and where its sliders stand at first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..experiment import Experiment
from ..naming import unknown_name
from ..registry import system_module
from .view import View, explored

if TYPE_CHECKING:  # Matplotlib is imported to draw only
    from matplotlib.figure import Figure

    from .window import Explorer

__all__ = ["chosen_view", "explore"]


def explore(
    system: str = "signal_noise", view: str | None = None, *, start: Experiment | str | None = None, figure: Figure | None = None,
    folder: str | Path = ".",
) -> Explorer:
    """Open a window with sliders, in which a system's equations answer at once.

    Parameters
    ----------
    system : str
        One of `explorable()`.
    view : str, optional
        One of the names in `explored(system)`; default the first that is about the start, or the first where none is given.
    start : Experiment or str, optional
        Where the sliders stand at first: the name of a preset, or an experiment of the system, such as one read from a file that the button
        Save wrote. Default the view's own.
    figure : Figure, optional
        An empty figure to use. Default a new one of pyplot, so that ``plt.show()`` shows it: nothing is shown here.
    folder : path
        Where the button Save writes.

    Returns
    -------
    Explorer
        With ``.set(name, value)``, ``.values`` and ``.save()``.

    Raises
    ------
    ValueError
        For an unknown system, view or preset, or a start that the view is not about.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> window = explore("signal_noise", start="tiny", figure=Figure())
    >>> window.set("lr", 0.02)
    >>> window.values["lr"], len(window.state.run.at)
    (0.02, 41)
    """
    name, made = chosen_view(system, view, start)
    from .window import Explorer

    return Explorer(made, _new_figure() if figure is None else figure, f"{system}-{name}", folder)


def chosen_view(system: str, view: str | None, start: Experiment | str | None) -> tuple[str, View]:
    """Return the name of the view that `explore` shows, and the view."""
    entries = explored(system)
    if view is not None and view not in entries:
        raise ValueError(unknown_name("view", view, entries))
    experiment = system_module(system).experiment(start) if isinstance(start, str) else start
    if experiment is not None and experiment.system != system:
        raise ValueError(f"start is an experiment of {experiment.system}, not of {system}: explore({experiment.system!r}, start=...)")
    refusals = []
    for name in (view,) if view is not None else entries:
        entry = entries[name]
        try:
            return name, entry.view(system_module(system).experiment(entry.preset) if experiment is None else experiment)
        except ValueError as refusal:
            refusals.append(str(refusal))
    raise ValueError("; ".join(refusals))


def _new_figure() -> Any:
    from matplotlib import pyplot  # alone knows the windows of this screen, browser or notebook

    from .window import HEIGHT, WIDTH

    return pyplot.figure(figsize=(WIDTH, HEIGHT))
