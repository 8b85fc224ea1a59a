"""Values as JSON has them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return JSON-ready data; numbers that are not finite become None.

    Parameters
    ----------
    value : object
        Dataclasses and mappings become dicts with str as keys, tuples and arrays lists, NumPy's numbers Python's; within them the same.
        All else is returned as it is, and JSON may refuse it.

    Examples
    --------
    >>> plain({"a": np.arange(2), "b": float("nan")})
    {'a': [0, 1], 'b': None}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
