"""The command ``dynsim explore``: a window with sliders on this screen, or in a browser."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from ..explore import explore, explored
from ..explore.opening import chosen_view
from .arguments import chosen_experiment, setting_options, whole
from .console import FINISHED, Out, print_json
from .sweeping import Command

__all__ = ["explore_command"]


def explore_command(command: Command) -> None:
    """Add the command."""
    explorer = command("explore", _explore, "open a window with sliders: change a number and watch what follows from it")
    explorer.add_argument("system", metavar="SYSTEM", nargs="?",
                          help="a system that can be explored (dynsim list systems); default signal_noise, with --config as the file says")
    explorer.add_argument("--view", metavar="NAME", help="what to show, where a system has several views")
    explorer.add_argument("--save", metavar="DIR", default=".", help="folder for what the button Save writes (default: the current one)")
    explorer.add_argument("--web", action="store_true", help="in a browser; needs tornado: pip install 'dynsim[explore]'")
    explorer.add_argument("--port", type=whole, default=8988, help="with --web: port to listen at (default: 8988, or one near it)")
    setting_options(explorer)


def _explore(args: argparse.Namespace) -> int:
    from matplotlib import pyplot  # to draw only, as everywhere on the command line

    system, start = args.system or "signal_noise", None
    entries = explored(system)  # a system with nothing to explore is told before anything else
    if any((args.config, args.preset, args.fields, args.optimizer, args.lr is not None)):
        if not (args.config or args.preset):
            args.preset = entries.get(args.view, next(iter(entries.values()))).preset
        start = chosen_experiment(args, args.system if args.config else system)[0]
        system = start.system
    chosen_view(system, args.view, start)  # what is asked for is checked before there is a screen to ask for
    if args.web:
        _use_browser(args.port)
    else:
        _need_screen()
    window = explore(system, args.view, start=start, folder=args.save)
    say = Out(args.json)
    say(f"{window.view.title}. Move the sliders; Save writes setting and picture into {Path(args.save).absolute()}.")
    if args.web:
        say(f"Open {_address()} in a browser on this computer; Ctrl-C here ends it.")
    with redirect_stdout(sys.stderr):  # what Matplotlib says to whoever watches
        pyplot.show(block=True)
    if args.json:
        print_json({"kind": "dynsim explore", "view": window.name, "values": window.values, "experiment": window.experiment.to_dict(),
                    "saved": [str(path) for path in window.saved]})
    return FINISHED


def _need_screen() -> None:
    from matplotlib import pyplot
    from matplotlib.backends.registry import BackendFilter, backend_registry

    if pyplot.get_backend().lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
        raise ValueError("there is no screen, or no toolkit for windows that Matplotlib can use: --web shows the window in a browser; "
                         "on a computer with a screen, pip install PyQt6 gives a toolkit")


def _use_browser(port: int) -> None:
    if not 1 <= port <= 65535:
        raise ValueError(f"--port {port} must be in [1, 65535]")
    try:
        import tornado  # noqa: F401
    except ImportError:
        raise ImportError("--web needs tornado, which is not installed: pip install 'dynsim[explore]'") from None
    import matplotlib

    matplotlib.use("WebAgg")
    matplotlib.rcParams["webagg.port"] = port


def _address() -> str:
    """Begin to listen, and return where."""
    from matplotlib.backends.backend_webagg import WebAggApplication

    application: Any = WebAggApplication
    application.initialize()
    return f"http://{application.address}:{application.port}/"
