"""A run as one HTML page that can be sent to a colleague: no other file, no network, readable on a phone and on paper."""

from .figures import FIGURES, Pictures, draw_each, figure_names, pictures
from .page import html_report, page

__all__ = ["FIGURES", "Pictures", "draw_each", "figure_names", "html_report", "page", "pictures"]
