"""Blocks of a system's parameters as places in its flat vector: tensors, or pieces of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...naming import unknown_name

__all__ = ["block_places", "cut_blocks"]


def cut_blocks(
    system: Any,
    axes: Mapping[str, tuple[int, ...]] | Callable[[str], tuple[int, ...]] | None = None,
    *,
    only: tuple[int, ...] | None = None,
    leave_out: tuple[str, ...] = (),
) -> dict[str, NDArray]:
    """Return blocks for `measure`: the tensors of a system's layout, cut along some of their axes.

    Parameters
    ----------
    system : System
        Whose layout has the tensors; with or without replicates.
    axes : mapping or function of str to tuple of int, optional
        Axes of a tensor along which each index is a block of its own, such as heads; a tensor that a mapping does not name stays whole.
        Default the system's `member_axes`, along which models lie side by side that do not meet (kernels, starts), if it has them.
    only : tuple of int, optional
        Keep this index along the axes that are cut: one of several models. Names then stay those of the tensors.
    leave_out : tuple of str
        Tensors that are not measured, such as the head, or a clock.

    Returns
    -------
    dict of str to ndarray
        Places in the flat vector by name, such as "W_V[0,3]".

    Raises
    ------
    ValueError
        For a tensor or an axis that the layout does not have, an index out of range, or if no block is left.

    Examples
    --------
    >>> from dynsim.systems import attention_kernels
    >>> system = attention_kernels.dense(attention_kernels.Regression(trained="QV", N=1, n=2, D=2, d=2, H=2))
    >>> list(cut_blocks(system))
    ['W_Q[0,0]', 'W_Q[1,0]', 'W_V[0,0]', 'W_V[1,0]']
    >>> cut_blocks(system, only=(1, 0))["W_V"]
    array([24, 25, 26, 27, 28, 29, 30, 31])
    """
    shapes, slices = system.layout.shapes, system.layout.slices
    if axes is None:
        axes = getattr(system, "member_axes", {})
    for name in (*leave_out, *(axes if isinstance(axes, Mapping) else ())):
        if name not in shapes:
            raise ValueError(unknown_name("block", name, shapes))
    found = {}
    for name, shape in shapes.items():
        if name in leave_out:
            continue
        cut = tuple(axes.get(name, ()) if isinstance(axes, Mapping) else axes(name))
        if any(not -len(shape) <= axis < len(shape) for axis in cut) or len({axis % len(shape) for axis in cut}) < len(cut):
            raise ValueError(f"axes={cut} of {name}, of shape {tuple(shape)}, must be different ones of its {len(shape)} axes")
        places = np.arange(slices[name].start, slices[name].stop).reshape(shape)
        places = np.moveaxis(places, cut, range(len(cut)))
        lead = places.shape[: len(cut)]
        if only is not None and cut:
            if len(only) != len(cut) or any(not 0 <= i < n for i, n in zip(only, lead, strict=True)):
                raise ValueError(f"only={only} must be an index into the axes of {name} that are cut, of lengths {lead}")
            found[name] = places[only].ravel()
        else:
            found.update({name + (f"[{','.join(map(str, i))}]" if cut else ""): places[i].ravel() for i in np.ndindex(*lead)})
    if not found:
        raise ValueError(f"leave_out={leave_out} leaves no block: the layout has {', '.join(shapes)}")
    return found


def block_places(system: Any, blocks: Mapping[str, Any] | None) -> dict[str, NDArray]:
    """Return the places of each block as arrays of int, disjoint and not empty."""
    size = system.layout.size
    owner = np.full(size, -1)
    found: dict[str, NDArray] = {}
    given = system.layout.slices if blocks is None else blocks
    if not given:
        raise ValueError("blocks is empty: name at least one")
    for number, (name, index) in enumerate(given.items()):
        try:
            places = np.arange(size)[index if isinstance(index, slice) else np.asarray(index)].ravel()
        except IndexError as error:
            raise ValueError(f"blocks[{name!r}] must be a slice, or integers in [0, {size}): {error}") from error
        if not len(places):
            raise ValueError(f"blocks[{name!r}] is empty: it needs at least one of the {size} parameters")
        taken = owner[places]
        if (taken >= 0).any():
            raise ValueError(f"blocks[{name!r}] shares parameters with {list(found)[taken.max()]!r}: blocks must be disjoint")
        owner[places] = number
        if (owner == number).sum() < len(places):
            raise ValueError(f"blocks[{name!r}] names a parameter twice")
        found[str(name)] = places
    return found
