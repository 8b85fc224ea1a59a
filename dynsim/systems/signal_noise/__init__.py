"""Two-layer transformer on sparse signal-noise data under sign gradient descent."""

from .build import best, dense, from_arrays, lumped, restricted
from .claims import CLAIMS
from .data import Data, Setting
from .model import TwoTokenTransformer
from .predictions import Predictions, predict
from .presets import PRESETS, experiment, preset
from .stages import stage_table

__all__ = [
    "CLAIMS", "PRESETS", "Data", "Predictions", "Setting", "TwoTokenTransformer", "best", "dense", "experiment", "from_arrays", "lumped",
    "predict", "preset", "restricted", "stage_table",
]
