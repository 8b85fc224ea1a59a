"""Tables of sweeps for the tests of fits."""

from __future__ import annotations

from typing import Any

import numpy as np

LR = np.array([1e-4, 2e-4, 5e-4, 1e-3])
M_K = np.array([10, 20, 80])
SPARSITY = np.array([3.0, 7.0, 30.0])


class Axed(dict):
    """A table that knows its varied fields."""

    axes: tuple[str, ...] = ()


def grid(seeds: int, **values: Any) -> dict[str, np.ndarray]:
    """Return the columns of a full grid, seeds running fastest."""
    columns = np.meshgrid(*values.values(), np.arange(seeds), indexing="ij")
    return {name: column.ravel() for name, column in zip([*values, "seed"], columns, strict=True)}


def noisy(seed: int = 0, seeds: int = 8, **values: Any) -> dict[str, np.ndarray]:
    """Return a grid with T = 3 / x_1 times a factor of the seed and one of the cell."""
    rng = np.random.default_rng(seed)
    table = grid(seeds, **values)
    first = table[next(iter(values))]
    table["T"] = 3.0 / first * np.exp(0.3 * rng.standard_normal(seeds)[table["seed"]] + 0.1 * rng.standard_normal(len(first)))
    return table


def without(table: dict[str, np.ndarray], rows: Any) -> dict[str, np.ndarray]:
    keep = ~np.isin(np.arange(len(table["seed"])), rows)
    return {name: column[keep] for name, column in table.items()}
