"""The systems, one folder a paper: dynsim's own, and those of other packages."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType

from .naming import unknown_name

__all__ = ["GROUP", "NEEDED", "SYSTEMS", "installed_systems", "is_system", "system_module", "system_names", "system_title"]

SYSTEMS = {
    "signal_noise": "Two-layer transformer on sparse signal-noise data under sign gradient descent (Li et al., arXiv 2410.04870)",
    "cooccurrence": "Gradient flow of a shallow transformer on word co-occurrence (Yang et al., arXiv 2410.09605)",
    "attention_kernels": "Softmax against Gaussian attention kernels under gradient descent (after Song et al., arXiv 2411.07538)",
    "gradient_heterogeneity":
        "Why sign updates beat gradient descent, and when they do not (after Tomihari & Sato, arXiv 2502.00213)",
    "noisy_mnist": "The same transformer on two digits of MNIST with noise (after Fig. 2d of Li et al., arXiv 2410.04870)",
}
"""dynsim's own systems by name: the registry line a new paper adds."""

GROUP = "dynsim.systems"
"""Group of entry points by which an installed package names its systems."""

NEEDED = ("Setting", "best", "dense", "CLAIMS", "PRESETS", "preset", "experiment")
"""What every system's folder exports."""


def installed_systems() -> dict[str, str]:
    """Return the systems of other installed packages: name to module, as their entry points say.

    Raises
    ------
    ValueError
        If two packages give different modules under one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            packages = f"{_package(other)} and {_package(entry)}"
            raise ValueError(f"two installed packages, {packages}, have a system {entry.name!r}: uninstall one")
    return {name: entry.value for name, entry in found.items() if name not in SYSTEMS}


def system_names() -> tuple[str, ...]:
    """Return the names of dynsim's own systems and of those of other installed packages."""
    return (*SYSTEMS, *installed_systems())


def system_title(name: str) -> str:
    """Return what a system is, in one sentence: the registry line, or the first line of another package's docstring.

    Parameters
    ----------
    name : str
        As `system_module` takes it.

    Raises
    ------
    ValueError
        For a name that there is not, naming the nearest valid one.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    return next(iter((system_module(name).__doc__ or "").strip().splitlines()), "")


def system_module(name: str) -> ModuleType:
    """Return the folder of a system.

    Parameters
    ----------
    name : str
        One of dynsim's own, `SYSTEMS`; else what an installed package calls it (an entry point in `GROUP`); else, with a dot, the
        path of a module. Nothing is looked for in the current directory.

    Raises
    ------
    ValueError
        For a name that there is not, naming the nearest valid one, or a module that is no system, naming what it lacks.
    ImportError
        If a system of another package cannot be imported.

    Examples
    --------
    >>> system_module("cooccurrence").__name__
    'dynsim.systems.cooccurrence'
    >>> system_module("dynsim.skeleton").DEFAULT_PRESET  # what dynsim new copies
    'plateau'
    """
    path = _path(name)
    if path is None:
        raise ValueError(unknown_name("system", name, system_names()))
    if name in SYSTEMS:
        return import_module(path)
    try:
        module = import_module(path)
    except Exception as error:  # whatever another package does when it is imported
        raise ImportError(f"system {name!r}: its module {path} cannot be imported ({type(error).__name__}: {error})") from error
    if lacking := [needed for needed in NEEDED if not hasattr(module, needed)]:
        raise ValueError(f"{name!r} is no system: the module {path} lacks {', '.join(lacking)}; dynsim new NAME writes one that has all")
    return module


def is_system(name: str) -> bool:
    """Tell whether `system_module` knows where to look for a system of that name.

    Parameters
    ----------
    name : str
        As `system_module` takes it; nothing is imported but the packages before a dot.
    """
    return _path(name) is not None


def _path(name: str) -> str | None:
    """Return the dotted path of a system's module, None if there is none."""
    if name in SYSTEMS:
        return f"dynsim.systems.{name}"
    return installed_systems().get(name) or (name if _is_module(name) else None)


def _is_module(path: str) -> bool:
    """Tell whether a text with a dot is the path of a module; a file name such as run.npz is none."""
    if "." not in path or not all(part.isidentifier() for part in path.split(".")):
        return False
    try:
        return find_spec(path) is not None
    except ImportError:  # the package before the dot
        return False


def _package(entry: EntryPoint) -> str:
    return "?" if entry.dist is None else entry.dist.name
