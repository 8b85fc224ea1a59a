"""Windows with sliders: change a number and watch what follows from it.

A system says in the `explored.py` of its folder what there is to explore, `EXPLORED`; see `Explored` and `View`.
"""

from .opening import explore
from .view import Control, Explored, Scene, View, explorable, explored

__all__ = ["Control", "Explored", "Scene", "View", "explorable", "explore", "explored"]
