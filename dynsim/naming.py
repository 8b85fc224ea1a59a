"""Error messages for unknown names: say which valid one is nearest."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["unknown_name"]


def unknown_name(what: str, name: object, valid: Iterable[str]) -> str:
    """Return an error message that names the nearest valid name.

    Parameters
    ----------
    what : str
        What is named, as the message calls it.
    name : object
        The unknown name, as it was given.
    valid : iterable of str
        All that would have been right, in the order of the message; one that is not similar enough is not proposed.

    Examples
    --------
    >>> unknown_name("preset", "figur3", ["figure1", "figure3"])
    "unknown preset 'figur3': did you mean 'figure3'? Valid: figure1, figure3"
    """
    choices = list(valid)
    near = get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else "."
    return f"unknown {what} {name!r}{hint} Valid: {', '.join(choices)}"
