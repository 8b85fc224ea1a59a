r"""The limit of wide networks and small initial weights: a parameter-free flow of four margins, derived here.

For m to infinity with F(0) = 0, attention stays uniform, samples of one kind stay alike, and in the clock :math:`d\tau = \rho\,dt` nothing
is left of the setting but n and L, through the memory of random tokens that occur once each
(docs/derivations/cooccurrence.md, section 6). With :math:`s_k = w_k / (1 + e^{f_k})`, w = (1/2, 1/6, 1/6, 1/6):

.. math::
    f_1' &= 3 s_1 - 2 s_2 - 2 s_3 - s_4 + e_1 s_1, & G_1' &= s_1 - s_2, \\
    f_2' &= -2 s_1 + 2 s_2 + s_3 + s_4 + e_2 s_2,   & G_2' &= s_1 - s_3, \\
    f_3' &= -2 s_1 + s_2 + 2 s_3 + s_4 + e_2 s_3,   & G_3' &= s_1 - s_2 - s_3 - s_4, \\
    f_4' &= -s_1 + s_2 + s_3 + s_4 + e_4 s_4,

:math:`e_1 = 2(L-3)/n`, :math:`e_2 = 6(L-2)/n`, :math:`e_4 = 6(L-1)/n`, all 0 for n to infinity. To leading order scores move by
:math:`2 U \Phi_{cb}`, :math:`\Phi_{cb}' = \beta_{cb} = \sum_{k \ni c, b} s_k (y_k G_c - f_k / L)`, summed over the kinds that hold both
tokens, and :math:`U = \sigma_0^2 \sqrt m / (L \sigma_1^2 m m_1)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...layout import Layout
from ...optimizers import GradientFlow
from ...recording import log_times
from ...simulate import simulate
from ...system import Inexact, Observable, described
from ...trajectory import Trajectory
from .data import HELD, KINDS, SHARES, SPECIAL

__all__ = ["UniversalFlow", "kernel", "late_shares", "limits", "universal"]

WEIGHTS = np.array([SHARES[kind] for kind in KINDS]) / sum(SHARES.values())
LABELS = np.array([1.0, -1.0, -1.0, -1.0])
MEMBERS = np.array([[token in HELD[kind] for token in range(SPECIAL)] for kind in KINDS], dtype=float)
"""Which special tokens each kind of sample holds, (4, 3)."""


def memory(n: float, L: int) -> NDArray:
    """Return e_k of equation (30), (4,): what each kind's margin gains from its random tokens per unit of its s; 0 for n to infinity."""
    random = L - MEMBERS.sum(axis=1)
    return random / (n * WEIGHTS)


@dataclass(frozen=True, eq=False)
class UniversalFlow:
    """The four margins, the head on the special tokens and the integrals that scores follow; its time is the clock tau.

    Logistic regression on bags of words, equation (28), where the samples of a kind are alike: equations (29) to (31).

    Parameters
    ----------
    n : float
        Training samples, >= 1; infinite for the limit.
    L : int
        Tokens of a sample, >= 3.
    """

    n: float = np.inf
    L: int = 5

    layout = Layout({"f": (4,), "G": (SPECIAL,), "Phi": (SPECIAL, SPECIAL)})
    step_scale: NDArray | float = field(default=1.0, init=False)
    exact_for: frozenset[str] = field(default=frozenset({"flow"}), init=False)
    alternative: str = field(default="It is the limit of gradient flow: use dense or lumped for rules with steps.", init=False)

    def __post_init__(self) -> None:
        if not self.n >= 1:
            raise ValueError(f"n={self.n!r} must be >= 1, or infinite")
        if isinstance(self.L, bool) or not isinstance(self.L, (int, np.integer)) or self.L < SPECIAL:
            raise ValueError(f"L={self.L!r} must be an integer >= {SPECIAL}")

    @cached_property
    def start(self) -> NDArray:
        """All are 0 at first; there the velocity is that of equation (32)."""
        return np.zeros(self.layout.size)

    @cached_property
    def constants(self) -> Mapping[str, NDArray]:
        """The numbers n and L."""
        return {"n": np.array(float(self.n)), "L": np.array(float(self.L))}

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """What the run is a run of."""
        return {"system": "cooccurrence", "engine": "universal", "n": str(self.n), "L": int(self.L)}

    __repr__ = described

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        """Return `s` (4,) of equation (29) and the loss."""
        loss = np.logaddexp(0.0, -params.f)
        return SimpleNamespace(s=WEIGHTS * np.exp(-params.f - loss), kind_loss=loss, loss=WEIGHTS @ loss)

    def velocity(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace) -> None:
        """Write the right-hand side into `out`: equations (29) and (31), and for Phi beta of equations (43) and (44).

        Parameters
        ----------
        params : SimpleNamespace
            Blocks of a parameter vector by name, `layout.views` of it.
        cache : SimpleNamespace
            What `forward` returned for these parameters.
        out : SimpleNamespace
            Blocks of the velocity, written to.
        """
        s = cache.s
        out.G[...] = (LABELS * s) @ MEMBERS
        out.f[...] = LABELS * (MEMBERS @ out.G) + memory(self.n, self.L) * s
        together = MEMBERS[:, :, None] * MEMBERS[:, None, :]
        out.Phi[...] = np.tensordot(LABELS * s, together, 1) * params.G[:, None] - np.tensordot(s * params.f, together, 1) / self.L

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        """Refuse: there is no gradient.

        Raises
        ------
        Inexact
            Always.
        """
        raise Inexact(self.alternative)

    def replicates(self, index: Any) -> UniversalFlow:
        """Refuse: a system is a single run."""
        raise ValueError("the universal flow is a single run without a leading axis of replicates")

    def _G_rate(self, params: SimpleNamespace, cache: SimpleNamespace) -> NDArray:
        return (LABELS * cache.s) @ MEMBERS

    @cached_property
    def observables(self) -> Mapping[str, Observable]:
        """Those quantities of the model that are left in the limit, and Phi."""
        return {
            "train_loss": Observable(lambda p, c: c.loss, (), "mean training loss", "L"),
            "kind_loss": Observable(lambda p, c: c.kind_loss, ("kind",), "training loss of each kind of sample", "L_k"),
            "kind_margin": Observable(lambda p, c: p.f, ("kind",), "margin of each kind", "f_k"),
            "kind_pull": Observable(lambda p, c: c.s, ("kind",), "sum over a kind of g, divided by n", "s_k"),
            "min_margin": Observable(lambda p, c: p.f.min(), (), "smallest margin", r"\min_k f_k"),
            "G": Observable(lambda p, c: p.G, ("token",), "head on the value of each special token", r"G(\mu)"),
            "G_rate": Observable(self._G_rate, ("token",), "velocity of G in the clock tau", "G'"),
            "Phi": Observable(lambda p, c: p.Phi, ("key", "query"), "integral of beta: a score moves by 2 U Phi", r"\Phi_{cb}"),
        }


@lru_cache(maxsize=32)
def universal(n: float = np.inf, L: int = 5, tau: float = 3e4) -> Trajectory:
    """Integrate the limit to a time tau, at 0 and at 100 times a decade from tau = 0.01 on; kept, so treat it as read-only.

    Parameters
    ----------
    n : float
        Training samples, >= 1; default infinite, the limit.
    L : int, default 5
        Tokens of a sample, >= 3.
    tau : float, default 3e4
        Last time of the clock tau, > 0.01.

    Examples
    --------
    >>> run = universal()
    >>> first = run.at[run["min_margin"] >= 0.25][0]        # all margins are 1/4
    >>> bool(23 < first < 25)
    True
    """
    decades = np.log10(tau / 0.01)
    times = log_times(float(tau), points=max(2, int(100 * decades)), decades=decades)
    system: Any = UniversalFlow(n, L)
    return simulate(system, GradientFlow(rtol=1e-11, atol=1e-13), until=float(tau), at=times)


def kernel(n: float, L: int) -> NDArray:
    """Return K of equation (31), (4, 4): f' = K s; the scalar products of bags with their labels, and the memory of random tokens."""
    bags = LABELS[:, None] * MEMBERS
    return bags @ bags.T + np.diag(memory(n, L))


def late_shares(n: float, L: int) -> NDArray:
    r"""Return the shares of the kinds in sum g for tau to infinity, (4,): 0 for kinds that become inactive.

    All active margins then grow alike, so the shares solve :math:`\min \lambda^\top K \lambda`, :math:`\lambda \geq 0`,
    :math:`\sum \lambda = 1`, and :math:`1/(L \tau)` goes to that minimum: equation (35). That the flow goes there rests on equation (34).
    """
    K, best, least = kernel(n, L), np.full(4, 0.25), np.inf
    for size in range(1, 5):
        for active in combinations(range(4), size):
            inside = np.ix_(active, active)
            if np.linalg.matrix_rank(K[inside]) < size:
                continue
            shares = np.zeros(4)
            shares[list(active)] = np.linalg.solve(K[inside], np.ones(size))
            shares /= shares.sum()
            if (shares >= 0).all() and (value := shares @ K @ shares) < least:
                best, least = shares, value
    return best


def limits(n: float = np.inf, L: int = 5) -> dict[str, float]:
    r"""Return late-time limits of the parameter-free flow, from `late_shares`: equations (36) and (40) to (42).

    While kind 4 is inactive, equation (37), they are functions of kappa = s1/s2 = (7 + e2)/(5 + e1) and of e2, equation (36).

    Parameters
    ----------
    n : float
        Training samples, >= 1; infinite for the limit.
    L : int
        Tokens of a sample, >= 3.

    Returns
    -------
    dict of str to float
        `s1/s2`, `-G3'/G1'`, `1/(loss tau)`, `sum g/(s2+s3+s4-s1)`, `sum g/(s1-s2)`; `inactive`, 1 if kind 4 becomes inactive; `random`, the
        share of the squared norm of z on random tokens.

    Examples
    --------
    >>> found = limits()
    >>> [round(found[name], 4) for name in ("s1/s2", "-G3'/G1'", "sum g/(s1-s2)")]
    [1.4, 1.5, 8.5]
    """
    s = late_shares(n, L)
    G1, _, G3 = (LABELS * s) @ MEMBERS
    special = float(np.sum(((LABELS * s) @ MEMBERS) ** 2))
    random = float(memory(n, L) @ s**2)  # each of the n w_k samples of a kind has its own random tokens, each with force s_k / (n w_k)
    with np.errstate(divide="ignore"):
        found = {
            "s1/s2": np.divide(s[0], s[1]), "-G3'/G1'": np.divide(-G3, G1), "1/(loss tau)": s @ kernel(n, L) @ s,
            "sum g/(s2+s3+s4-s1)": np.divide(1.0, -G3), "sum g/(s1-s2)": np.divide(1.0, G1), "inactive": s[3] == 0.0,
            "random": random / (special + random),
        }
    return {name: float(value) for name, value in found.items()}
