"""Named views on one flat parameter vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Name the blocks of a flat parameter vector and give their shapes.

    Optimizers work on the flat vector; systems write formulas with the named views. Both are the
    same memory, so nothing is copied in either direction.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Block name to block shape, in the order of the flat vector.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim import Layout
    >>> layout = Layout({"W": (2, 3), "b": (2,)})
    >>> flat = np.arange(8.0)
    >>> layout.views(flat).W
    array([[0., 1., 2.],
           [3., 4., 5.]])
    >>> layout.views(flat).b[0] = -1.0   # writes through
    >>> float(flat[6])
    -1.0
    """

    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Block name to its slice of the flat vector."""
        slices, start = {}, 0
        for name, shape in self.shapes.items():
            slices[name] = slice(start, start + prod(shape))
            start += prod(shape)
        return slices

    @cached_property
    def size(self) -> int:
        """Length P of the flat vector."""
        return sum(prod(shape) for shape in self.shapes.values())

    def views(self, flat: NDArray) -> SimpleNamespace:
        """Return the blocks of a flat vector by name; writing to them writes to the vector.

        Parameters
        ----------
        flat : ndarray, shape (*lead, P)
            Contiguous along its last axis.

        Returns
        -------
        SimpleNamespace
            An attribute a block, each a view of shape (*lead, *block).

        Raises
        ------
        ValueError
            If the last axis is not P long, or a view would have to be a copy.
        """
        if flat.shape[-1:] != (self.size,):
            raise ValueError(f"flat has shape {flat.shape}; its last axis must be {self.size} long")
        if flat.strides[-1] != flat.itemsize:
            raise ValueError("flat must be contiguous along its last axis: pass np.ascontiguousarray(flat)")
        lead = flat.shape[:-1]
        return SimpleNamespace(
            **{name: flat[..., self.slices[name]].reshape(lead + tuple(shape)) for name, shape in self.shapes.items()}
        )

    def pack(self, **blocks: NDArray) -> NDArray:
        """Copy named blocks into one new flat vector, shape (*lead, P).

        Parameters
        ----------
        **blocks : ndarray, shape (*lead, *block)
            Each block of the layout by its name, with the same leading axes.

        Raises
        ------
        ValueError
            If a block is missing, unknown, or of the wrong shape.
        """
        if set(blocks) != set(self.shapes):
            raise ValueError(f"blocks {sorted(blocks)} do not match the layout's {sorted(self.shapes)}")
        parts = []
        for name, shape in self.shapes.items():
            block = np.asarray(blocks[name])
            lead = block.shape[: block.ndim - len(shape)]
            if block.shape != lead + tuple(shape):
                raise ValueError(f"block {name} has shape {block.shape}; it must end in {tuple(shape)}")
            parts.append(block.reshape(lead + (-1,)))
        return np.concatenate(parts, axis=-1)
