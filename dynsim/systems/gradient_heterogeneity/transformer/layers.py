r"""What a layer is made of; each part with its tangent, its pullback and the pullback's tangent, hand-derived, in the same order of lines.

A dot marks a derivative along a direction (`x_t` in code, t for tangent), a bar one of the loss (`x_b`), both the Hessian's part (`x_bt`):
the pullback is linear in bars, and its tangent is the product rule applied to it line by line.

Tokens are rows (*s, N, d), N = n B, those of the first place of all B sequences first, so that what only the first token needs is a slice.
Leading axes (*s), if any, are replicates, of weights too. Weights multiply from the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....products import laid_out_as, products

__all__ = [
    "attend", "attend_pullback", "attend_pullback_tangent", "attend_tangent", "linear", "linear_pullback", "linear_pullback_tangent",
    "linear_tangent", "normalise", "normalise_pullback", "normalise_pullback_tangent", "normalise_tangent", "perceptron",
    "perceptron_pullback", "perceptron_pullback_tangent", "perceptron_tangent",
]

Weights = Mapping[str, NDArray]
"""A part's weights, or what is to be written for each of them, by short name; biases may be missing."""


def _T(a: NDArray) -> NDArray:
    return a.swapaxes(-1, -2)


def _sums(a: NDArray, b: NDArray) -> NDArray:
    """Inner products of rows, without conjugation so that complex-step differentiation works, (..., 1)."""
    return np.einsum("...i,...i->...", a, b)[..., None]


def _total(a: NDArray, out: NDArray) -> None:
    """Write the sum of rows."""
    np.matmul(np.ones(a.shape[-2]), a, out=out)


# -- linear maps: y = x W + b ------------------------------------------------------------------------------------------


def linear(x: NDArray, w: Weights, name: str) -> NDArray:
    """Return x W, plus b where there is one; `name` says which weights, "Q" for "W_Q" and "b_Q"."""
    y = x @ w[f"W_{name}"]
    if f"b_{name}" in w:
        y += w[f"b_{name}"][..., None, :]
    return y


def linear_tangent(x: NDArray, x_t: NDArray, w: Weights, w_t: Weights, name: str) -> NDArray:
    r"""Return :math:`\dot y`."""
    y_t = x_t @ w[f"W_{name}"]
    y_t += x @ w_t[f"W_{name}"]
    if f"b_{name}" in w:
        y_t += w_t[f"b_{name}"][..., None, :]
    return y_t


def linear_pullback(y_b: NDArray, x: NDArray, w: Weights, g: Weights, name: str) -> NDArray:
    r"""Write the gradients of W and b, return :math:`\bar x`; equation (42)."""
    np.matmul(_T(x), y_b, out=g[f"W_{name}"])
    if f"b_{name}" in w:
        _total(y_b, g[f"b_{name}"])
    return y_b @ _T(w[f"W_{name}"])


def linear_pullback_tangent(
    y_b: NDArray, y_bt: NDArray, x: NDArray, x_t: NDArray, w: Weights, w_t: Weights, g_t: Weights, name: str
) -> NDArray:
    r"""Write the Hessian's part of W and b, return :math:`\dot{\bar x}`; equation (47)."""
    np.matmul(_T(x), y_bt, out=g_t[f"W_{name}"])
    g_t[f"W_{name}"][...] += _T(x_t) @ y_b
    if f"b_{name}" in w:
        _total(y_bt, g_t[f"b_{name}"])
    x_bt = y_bt @ _T(w[f"W_{name}"])
    x_bt += y_b @ _T(w_t[f"W_{name}"])
    return x_bt


# -- layer normalisation: h = (x - mean) / s, y = gain h + shift -------------------------------------------------------


def _centred(x: NDArray) -> NDArray:
    return x - (x @ np.full(x.shape[-1], 1.0 / x.shape[-1]))[..., None]


def normalise(x: NDArray, w: Weights) -> tuple[NDArray, Any]:
    """Return rows of mean 0 and variance 1, times "gain", plus "shift", and the tape; rows must not be constant."""
    h = _centred(x)
    inv = 1.0 / np.sqrt(_sums(h, h) / x.shape[-1])
    h *= inv
    y = h * w["gain"][..., None, :]
    if "shift" in w:
        y += w["shift"][..., None, :]
    return y, SimpleNamespace(h=h, inv=inv)


def normalise_tangent(x_t: NDArray, tape: Any, w: Weights, w_t: Weights) -> tuple[NDArray, Any]:
    r"""Return :math:`\dot y` and the tape of tangents, :math:`\dot h = (\dot x - \overline{\dot x} - h\,\overline{h \dot x}) / s`.

    The first part of equation (48).
    """
    along = _sums(tape.h, x_t) / x_t.shape[-1]
    h_t = _centred(x_t)
    h_t -= tape.h * along
    h_t *= tape.inv
    y_t = h_t * w["gain"][..., None, :]
    y_t += tape.h * w_t["gain"][..., None, :]
    if "shift" in w:
        y_t += w_t["shift"][..., None, :]
    return y_t, SimpleNamespace(h=h_t, log_inv=-along * tape.inv)


def normalise_pullback(y_b: NDArray, tape: Any, w: Weights, g: Weights) -> NDArray:
    r"""Write the gradients of gain and shift, return :math:`\bar x = (\bar h - \overline{\bar h} - h\,\overline{h \bar h}) / s`.

    Equation (43).
    """
    np.einsum("...ni,...ni->...i", y_b, tape.h, out=g["gain"])
    if "shift" in w:
        _total(y_b, g["shift"])
    h_b = y_b * w["gain"][..., None, :]
    along = _sums(tape.h, h_b) / y_b.shape[-1]
    s_x_b = _centred(h_b)
    s_x_b -= tape.h * along
    tape.y_b, tape.h_b, tape.along, tape.s_x_b = y_b, h_b, along, s_x_b
    return s_x_b * tape.inv


def normalise_pullback_tangent(y_bt: NDArray, tape: Any, tape_t: Any, w: Weights, w_t: Weights, g_t: Weights) -> NDArray:
    r"""Write the Hessian's part of gain and shift, return :math:`\dot{\bar x}`; equation (48)."""
    np.einsum("...ni,...ni->...i", y_bt, tape.h, out=g_t["gain"])
    g_t["gain"][...] += np.einsum("...ni,...ni->...i", tape.y_b, tape_t.h)
    if "shift" in w:
        _total(y_bt, g_t["shift"])
    h_bt = y_bt * w["gain"][..., None, :]
    h_bt += tape.y_b * w_t["gain"][..., None, :]
    along_t = (_sums(tape_t.h, tape.h_b) + _sums(tape.h, h_bt)) / y_bt.shape[-1]
    x_bt = _centred(h_bt)
    x_bt -= tape.h * along_t
    x_bt -= tape_t.h * tape.along
    x_bt += tape_t.log_inv * tape.s_x_b
    x_bt *= tape.inv
    return x_bt


# -- attention: S = softmax(Q K^T / sqrt k), y = (S V) W_O + b_O, per head ---------------------------------------------


def _split(rows: NDArray, B: int, H: int) -> NDArray:
    """Return rows (*s, n B, H k) as heads (*s, B, H, n, k), a view."""
    *s, N, D = rows.shape
    return np.moveaxis(rows.reshape(*s, N // B, B, H, D // H), -4, -2)


def _joined(heads: NDArray) -> NDArray:
    """Undo `_split`, a view where memory is in the order of rows."""
    *s, B, H, n, k = heads.shape
    return np.moveaxis(heads, -2, -4).reshape(*s, n * B, H * k)


def _paired(a: NDArray, b: NDArray) -> NDArray:
    """Put the entries of two arrays of heads side by side: one product of such pairs is a sum of two products."""
    return np.concatenate([a, b], axis=-1)


def attend(x: NDArray, w: Weights, B: int, H: int, kept: int) -> tuple[NDArray, Any]:
    """Return what all tokens of a sequence tell its first tokens, (*s, kept, d), and the tape; equation (41).

    Parameters
    ----------
    x : ndarray, shape (*s, n B, d)
    w : mapping of str to ndarray
        W_Q, W_K, W_V, W_O, shape (*s, d, d), and biases b_Q, b_V, b_O, shape (*s, d), or none.
    B, H : int
        Sequences and heads.
    kept : int
        Rows whose outputs are wanted: n B, or B for those of the first token only.
    """
    Q = _split(linear(x[..., :kept, :], w, "Q"), B, H)
    K = _split(linear(x, w, "K"), B, H)
    V = _split(linear(x, w, "V"), B, H)
    c = 1.0 / np.sqrt(Q.shape[-1])
    S = products(Q, K)
    S *= c
    S -= S.real.max(axis=-1, keepdims=True)
    np.exp(S, out=S)
    S /= S.sum(axis=-1, keepdims=True)
    Z = _joined(laid_out_as(Q, S, V))
    return linear(Z, w, "O"), SimpleNamespace(x=x, Q=Q, K=K, V=V, S=S, Z=Z, c=c, B=B, H=H, kept=kept)


def attend_tangent(x_t: NDArray, tape: Any, w: Weights, w_t: Weights) -> tuple[NDArray, Any]:
    r"""Return :math:`\dot y` and the tape of tangents, :math:`\dot S` by equation (49)."""
    B, H, kept, S = tape.B, tape.H, tape.kept, tape.S
    Q_t = _split(linear_tangent(tape.x[..., :kept, :], x_t[..., :kept, :], w, w_t, "Q"), B, H)
    K_t = _split(linear_tangent(tape.x, x_t, w, w_t, "K"), B, H)
    V_t = _split(linear_tangent(tape.x, x_t, w, w_t, "V"), B, H)
    S_t = products(_paired(Q_t, tape.Q), _paired(tape.K, K_t))
    S_t *= tape.c
    S_t -= _sums(S_t, S)
    S_t *= S
    Z_t = laid_out_as(tape.Q, S_t, tape.V)
    Z_t += laid_out_as(tape.Q, S, V_t)
    Z_t = _joined(Z_t)
    return linear_tangent(tape.Z, Z_t, w, w_t, "O"), SimpleNamespace(x=x_t, Q=Q_t, K=K_t, V=V_t, S=S_t, Z=Z_t)


def attend_pullback(y_b: NDArray, tape: Any, w: Weights, g: Weights) -> NDArray:
    r"""Write the gradients of the weights, return :math:`\bar x`; equation (44)."""
    B, H, kept, S = tape.B, tape.H, tape.kept, tape.S
    Z_b = _split(linear_pullback(y_b, tape.Z, w, g, "O"), B, H)
    V_b = _joined(laid_out_as(tape.V, _T(S), Z_b))
    E = products(Z_b, tape.V)
    E -= _sums(E, S)
    L_b = S * E
    L_b *= tape.c
    Q_b = _joined(laid_out_as(tape.Q, L_b, tape.K))
    K_b = _joined(laid_out_as(tape.K, _T(L_b), tape.Q))
    x_b = linear_pullback(V_b, tape.x, w, g, "V")
    x_b += linear_pullback(K_b, tape.x, w, g, "K")
    x_b[..., :kept, :] += linear_pullback(Q_b, tape.x[..., :kept, :], w, g, "Q")
    tape.y_b, tape.Z_b, tape.V_b, tape.E, tape.L_b, tape.Q_b, tape.K_b = y_b, Z_b, V_b, E, L_b, Q_b, K_b
    return x_b


def attend_pullback_tangent(y_bt: NDArray, tape: Any, tape_t: Any, w: Weights, w_t: Weights, g_t: Weights) -> NDArray:
    r"""Write the Hessian's part of the weights, return :math:`\dot{\bar x}`; equation (49)."""
    B, H, kept, S = tape.B, tape.H, tape.kept, tape.S
    Z_bt = _split(linear_pullback_tangent(tape.y_b, y_bt, tape.Z, tape_t.Z, w, w_t, g_t, "O"), B, H)
    V_bt = laid_out_as(tape.V, _T(tape_t.S), tape.Z_b)
    V_bt += laid_out_as(tape.V, _T(S), Z_bt)
    V_bt = _joined(V_bt)
    E_t = products(_paired(Z_bt, tape.Z_b), _paired(tape.V, tape_t.V))
    E_t -= _sums(E_t, S)
    E_t -= _sums(tape.E, tape_t.S)  # E has its own sum with S taken off, which S_t, summing to 0, does not see
    L_bt = S * E_t
    L_bt += tape_t.S * tape.E
    L_bt *= tape.c
    Q_bt = laid_out_as(tape.Q, L_bt, tape.K)
    Q_bt += laid_out_as(tape.Q, tape.L_b, tape_t.K)
    Q_bt = _joined(Q_bt)
    K_bt = laid_out_as(tape.K, _T(L_bt), tape.Q)
    K_bt += laid_out_as(tape.K, _T(tape.L_b), tape_t.Q)
    K_bt = _joined(K_bt)
    x_bt = linear_pullback_tangent(tape.V_b, V_bt, tape.x, tape_t.x, w, w_t, g_t, "V")
    x_bt += linear_pullback_tangent(tape.K_b, K_bt, tape.x, tape_t.x, w, w_t, g_t, "K")
    x_bt[..., :kept, :] += linear_pullback_tangent(
        tape.Q_b, Q_bt, tape.x[..., :kept, :], tape_t.x[..., :kept, :], w, w_t, g_t, "Q"
    )
    return x_bt


# -- ReLU network: y = max(x W_1 + b_1, 0) W_2 + b_2 -------------------------------------------------------------------


def perceptron(x: NDArray, w: Weights) -> tuple[NDArray, Any]:
    """Return the output of the ReLU network with weights W_1, W_2 and biases b_1, b_2 or none, and the tape; equation (41)."""
    a = linear(x, w, "1")
    on = a.real > 0
    a *= on
    return linear(a, w, "2"), SimpleNamespace(x=x, a=a, on=on)


def perceptron_tangent(x_t: NDArray, tape: Any, w: Weights, w_t: Weights) -> tuple[NDArray, Any]:
    r"""Return :math:`\dot y` and the tape of tangents; the kinks count for nothing."""
    a_t = linear_tangent(tape.x, x_t, w, w_t, "1")
    a_t *= tape.on
    return linear_tangent(tape.a, a_t, w, w_t, "2"), SimpleNamespace(x=x_t, a=a_t)


def perceptron_pullback(y_b: NDArray, tape: Any, w: Weights, g: Weights) -> NDArray:
    r"""Write the gradients of the weights, return :math:`\bar x`; equation (45)."""
    a_b = linear_pullback(y_b, tape.a, w, g, "2")
    a_b *= tape.on
    tape.y_b, tape.a_b = y_b, a_b
    return linear_pullback(a_b, tape.x, w, g, "1")


def perceptron_pullback_tangent(y_bt: NDArray, tape: Any, tape_t: Any, w: Weights, w_t: Weights, g_t: Weights) -> NDArray:
    r"""Write the Hessian's part of the weights, return :math:`\dot{\bar x}`; equation (49)."""
    a_bt = linear_pullback_tangent(tape.y_b, y_bt, tape.a, tape_t.a, w, w_t, g_t, "2")
    a_bt *= tape.on
    return linear_pullback_tangent(tape.a_b, a_bt, tape.x, tape_t.x, w, w_t, g_t, "1")
