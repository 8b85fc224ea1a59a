"""The command line: arguments in, public functions called, text, JSON and files out."""

from .commands import main

__all__ = ["main"]
