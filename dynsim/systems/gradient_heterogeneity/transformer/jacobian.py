r"""Facts about the Jacobian of layer normalisation, :math:`LN(x) = \gamma h`, :math:`h = (x - \bar x) / s`, at one token.

.. math:: J(x) = \mathrm{diag}(\gamma)\,\Big(I - \frac{11^\top}{d} - \frac{hh^\top}{d}\Big)\,/\,s

The matrix in brackets projects onto what is orthogonal to 1 and h (which are orthogonal, of squared length d). Hence rank d - 2 where no
gain is 0, :math:`\|J\|_2 \le \max|\gamma| / s`, and :math:`J(cx) = J(x)/c` for c > 0: a stream of small scale is amplified. Standard facts;
post-LN has them on the main path, :math:`J_{layer} = J(x + F(x))\,(I + J_F)`, pre-LN in the branch only,
:math:`J_{layer} = I + J_F\,J(x)`. The proofs are in docs/derivations/gradient_heterogeneity.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["norm_bound", "normalisation_jacobian", "null_directions"]


def _standardised(x: NDArray) -> tuple[NDArray, NDArray]:
    x = np.asarray(x, dtype=float)
    s = x.std(axis=-1, keepdims=True)
    if x.shape[-1] < 3 or not (s > 0).all():
        raise ValueError(f"x has shape {x.shape} and least standard deviation {s.min():g}: tokens need at least 3 entries, not all equal")
    return (x - x.mean(axis=-1, keepdims=True)) / s, s


def normalisation_jacobian(x: NDArray, gain: NDArray | float = 1.0) -> NDArray:
    """Return the Jacobians at tokens x (..., d), shape (..., d, d): the entry (i, j) is that of output i and input j.

    Equation (35); with it the Jacobians of both placements are those of equation (37).

    Raises
    ------
    ValueError
        If a token has fewer than three entries or all of them are equal.
    """
    h, s = _standardised(x)
    d = h.shape[-1]
    inner = np.eye(d) - 1.0 / d - h[..., :, None] * h[..., None, :] / d
    return np.broadcast_to(gain, d)[:, None] * inner / s[..., None]


def null_directions(x: NDArray) -> NDArray:
    """Return the two unit vectors that the Jacobian at tokens x (..., d) maps to 0, shape (..., 2, d): of 1 and of h; equation (35)."""
    h, _ = _standardised(x)
    return np.stack([np.ones_like(h), h], axis=-2) / np.sqrt(h.shape[-1])


def norm_bound(x: NDArray, gain: NDArray | float = 1.0) -> NDArray:
    r"""Return the bound :math:`\max|\gamma| / s` of the spectral norm of the Jacobian at tokens x (..., d), shape (...).

    The upper one of equation (36); equation (38) makes bounds for a whole layer of it.
    """
    _, s = _standardised(x)
    return np.abs(gain).max() / s[..., 0]
