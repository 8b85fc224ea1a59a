"""What holds exactly in every run: conserved numbers and identities of the closed system."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Measured, Source
from ....deciding import at_most
from ..observables import IDENTITIES, INVARIANTS
from ..reading import reading
from .assumptions import FLOW, broken
from .measuring import at_tau

__all__ = ["CLAIMS"]

PAGE = "docs/derivations/cooccurrence.md, section 5"


def _place(values: NDArray) -> tuple[int, int]:
    """Row and column of the largest of the values, (T, entries)."""
    row, which = np.unravel_index(values.argmax(), values.shape)
    return int(row), int(which)


def _conserved(evidence: Any) -> Measured:
    r = reading(evidence)
    tau, drift = r.seldom("invariants")
    row, which = _place(np.abs(drift))
    return at_most(abs(drift[row, which]), 1e-10, f"tau = {tau[row]:.4g}, {INVARIANTS[which]}", "of its terms")


def _identity(*entries: str, bound: float) -> Any:
    columns = [IDENTITIES.index(entry) for entry in entries]

    def measure(evidence: Any) -> Measured:
        r = reading(evidence)
        residual = r["identities"][:, columns]
        row, which = _place(residual)
        return at_most(residual[row, which], bound, f"{at_tau(r, row)}, {entries[which]}", "of its terms")

    return measure


def _claim(id: str, statement: str, source: Source, latex: str, *entries: str, bound: float = 1e-10) -> Claim:
    off = np.isin(IDENTITIES, entries) * 1e-8
    return Claim(
        id, f"{statement} (to {bound:g} of the size of its terms)", _identity(*entries, bound=bound), source, latex,
        {"run": ("identities",)}, (), broken(identities=lambda r: r["identities"] + off),
    )


CLAIMS = (
    Claim(
        "conserved", "rho - m1 tr Gamma and four more numbers are constant in gradient flow (to 1e-10 of the size of their terms)",
        _conserved, Source("derived", PAGE), r"\rho - m_1\,\mathrm{tr}\,\Gamma = \mathrm{const}", {"run": ("invariants",)}, (FLOW,),
        broken(invariants=lambda r: r.seldom("invariants")[1] + 1e-8 * r.seldom("invariants")[0][:, None]),
    ),
    _claim("columns_of_B", "every column of B, the force on scores, sums to zero", Source("derived", PAGE),
           r"\mathbf 1^\top B = 0", "B columns", bound=1e-13),
    _claim("zG_identity", "rho grows at 2 m1 z.G, and z.G is the mean of g y F", Source("paper", "equation (5) = Lemma F.4"),
           r"\dot\rho = 2 m_1\,z\cdot G = \tfrac{2m_1}{n}\sum_i g_i y_i F_i", "z.G", "rho"),
    _claim("eq_4_velocity_of_G", "the head on values moves at dG/dt = rho z + m1 Gamma z, plus nothing",
           Source("paper", "equation (4) = Definition E.18; equation (4) prints a stray factor a_j1"),
           r"\dot G = \rho z + m_1\Gamma z", "G"),
    _claim("gamma_identity", "inner products of values move at dGamma/dt = z G^T + G z^T", Source("paper", "Lemmas C.3 and F.11"),
           r"\dot\Gamma = zG^\top + Gz^\top", "Gamma"),
    _claim("energy", "the loss falls at the squared norm of the weights' velocity", Source("derived", PAGE),
           r"\dot L = -\|\dot\theta\|^2", "energy"),
)
