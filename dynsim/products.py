"""Products of many small matrices, in memory orders that keep the vectors of what follows long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["laid_out_as", "products"]


def products(A: NDArray, B: NDArray) -> NDArray:
    """Multiply rows by rows, A B^T, shape (..., n, m).

    Columns, keys of an attention layer, are the outermost axis in memory: maxima and sums over the few entries of a row then run along
    vectors as long as there are rows, where numpy is some ten times faster than along the rows themselves.

    Parameters
    ----------
    A : ndarray, shape (..., n, d)
        Queries of an attention layer; real or complex.
    B : ndarray, shape (..., m, d)
        Keys; the leading axes are broadcast against those of A.
    """
    lead = A.shape[:-2] if A.ndim == B.ndim and A.shape[:-2] == B.shape[:-2] else np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    L = np.empty((B.shape[-2], *lead, A.shape[-2]), np.result_type(A, B))
    L = L.transpose(*range(1, L.ndim), 0)
    multiply = np.multiply if A.shape[-1] == 1 else np.matmul  # one term: BLAS would be slower
    return multiply(A, B.swapaxes(-1, -2), out=L)


def laid_out_as(C: NDArray, A: NDArray, B: NDArray) -> NDArray:
    """Return the product A B with the shape of C, and its order of axes in memory: heads side by side stay so, without a copy.

    Parameters
    ----------
    C : ndarray, shape (..., n, m)
        An array laid out as the result is to be; its values are not read. The result is complex if A or B is.
    A : ndarray, shape (..., n, d)
        The left factors.
    B : ndarray, shape (..., d, m)
        The right factors.

    Raises
    ------
    ValueError
        If the product has another shape than C.
    """
    return np.matmul(A, B, out=np.empty_like(C, np.result_type(A, B)))
