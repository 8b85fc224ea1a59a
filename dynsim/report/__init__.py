"""A run as one HTML page that can be sent to a colleague: no other file, no network, readable on a phone and on paper."""

from .figures import Pictures, draw_each, pictures
from .page import html_report, page

__all__ = ["Pictures", "draw_each", "html_report", "page", "pictures"]
