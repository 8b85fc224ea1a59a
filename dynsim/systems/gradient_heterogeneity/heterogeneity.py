r"""How unequal gradients and curvatures are across the blocks of a system's parameters, and what first-order bounds make of it.

Parameters are cut into blocks of sizes :math:`P_b`; :math:`g_b` is a block's gradient, :math:`H_b` its diagonal block of the Hessian, and

.. math:: \hat g_b = |g_b|_2 / \sqrt{P_b},\quad h_b = |H_b|_2,\quad
    \Lambda_G = \sum_b \frac{|g_b|^2}{|g|^2} h_b,\quad \Lambda_P = \sum_b \frac{P_b}{P} h_b,\quad
    \varphi = \frac{|g|_1^2}{P |g|_2^2}.

The last three limit what a step of gradient descent, or of sign descent, is guaranteed to gain. With averages over parameters, that is
over blocks with weights :math:`P_b / P`,

.. math:: \Lambda_G = \Lambda_P\,(1 + CV(\hat g^2)\, CV(h)\, corr_P(\hat g^2, h)),                                     \qquad (1)

.. math:: R = \varphi\, \Lambda_G / \Lambda_P,                                                                          \qquad (2)

so that neither unequal gradients nor unequal curvatures alone make a difference. R is the ratio of the best guaranteed decreases of one
step of sign descent and one of gradient descent from the same point; without the blocks it is

.. math:: R_{exact} = \varphi\, \frac{g^\top H g / |g|^2}{s^\top H s / P},\quad s = \mathrm{sgn}(g).

What is whose: that gradient norms and curvatures differ across blocks together, and that this is what sign updates stand and gradient
descent does not, is Tomihari and Sato's (arXiv 2502.00213). Their full text was not available to us: which norm and which statistic they
tabulate we do not know, all formulas here are derived or chosen here, and (1) is an identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...naming import unknown_name
from ...plain import plain
from ...tabular import csv_text, latex_text
from .blocks import block_places, cut_blocks
from .curvature import METHODS, TOLERANCE, Hessian, hessian, norm_and_largest
from .inequality import NAN, Complexity, Spread, complexity, density, log_correlation, spread

__all__ = ["LARGEST", "Block", "Heterogeneity", "cut_blocks", "measure"]

LARGEST = 2000
"""Most parameters of which the whole Hessian is formed."""

COLUMNS = ("block", "size", "norm", "rms", "curvature", "largest")
"""Of the table of blocks: name, P_b, |g_b|, ghat_b, h_b, and the largest eigenvalue of H_b."""


@dataclass(frozen=True)
class Block:
    """What is measured of a block.

    Parameters
    ----------
    name : str
        Of the tensor, or of the piece of it, such as "W_V[0,3]".
    size : int
        Number P_b of its parameters, >= 1.
    norm : float
        Norm |g_b| of its gradient.
    rms : float
        Root-mean-square entry of its gradient, ghat_b = |g_b| / sqrt(P_b).
    curvature : float
        Spectral norm h_b of its diagonal block of the Hessian; NaN if not asked for.
    largest : float
        Largest eigenvalue of that block, <= 0 if none is positive. It differs from `curvature` where the outermost one is negative.
    """

    name: str
    size: int
    norm: float
    rms: float
    curvature: float = NAN
    largest: float = NAN


@dataclass(frozen=True)
class Heterogeneity:
    r"""Heterogeneity of gradients and curvatures at a point; made by `measure`, prints as a table.

    Numbers that do not exist are NaN: everything relative to the gradient where that is 0, R_exact where one of its curvatures is not
    positive, all of curvature where it was not asked for.

    Parameters
    ----------
    blocks : tuple of Block
        What is measured of each block, in the order in which blocks were named.
    gradient, hessian : Spread
        Of ghat_b, and of h_b.
    correlation : float
        Pearson correlation of (log ghat_b, log h_b) over the blocks in which neither is negligible; NaN for fewer than three.
    complexity : Complexity
        Lambda_G, Lambda_P and their ratio.
    phi : float
        Density of the gradient, in [1/P, 1]; 2/pi for independent Gaussian entries.
    R : float
        Best guaranteed gain of a sign step over that of a gradient step, equation (2).
    R_exact : float
        The same without the blocks, the second half of equation (2).
    along_gradient, along_signs : float
        :math:`g^\top H g / |g|^2` and :math:`s^\top H s / P`, either may be negative.
    delta_D : float
        Distance from block-diagonality, :math:`|H - H_D|_2`; NaN if not asked for.
    size, of : int
        Parameters measured, P, and all of the system.
    negligible : tuple of str
        Blocks with a gradient of, or next to, 0.
    method : str
        How Hessian-vector products were formed (`dynsim.systems.gradient_heterogeneity.curvature.METHODS`); empty if there were none.
    provenance : mapping
        Of the system.
    """

    blocks: tuple[Block, ...]
    gradient: Spread
    hessian: Spread
    correlation: float
    complexity: Complexity
    phi: float
    R: float
    R_exact: float
    along_gradient: float
    along_signs: float
    delta_D: float
    size: int
    of: int
    negligible: tuple[str, ...]
    method: str
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Block:
        found = {block.name: block for block in self.blocks}
        if name not in found:
            raise KeyError(unknown_name("block", name, found))
        return found[name]

    def __str__(self) -> str:
        c, about = self.complexity, self.provenance
        width = max(14, *(len(block.name) for block in self.blocks))
        where = " ".join(str(about[key]) for key in ("system", "engine") if key in about)
        lines = [f"gradient heterogeneity{f' of {where}' if where else ''}: {len(self.blocks)} blocks, {self.size} of {self.of} parameters"]
        lines.append(f"{'block':{width}s} {'P_b':>9s} {'|g_b|':>10s} {'ghat_b':>10s} {'h_b':>10s} {'largest':>10s}")
        lines.extend(
            f"{b.name:{width}s} {b.size:9d} {' '.join(map(_number, (b.norm, b.rms, b.curvature, b.largest)))}" for b in self.blocks
        )
        lines.append(f"{'':{width}s} {'Gini':>10s} {'max/min':>10s} {'std of log':>10s} {'CV':>10s}")
        for name, s in (("of ghat", self.gradient), ("of h", self.hessian)):
            lines.append(f"{name:{width}s} {' '.join(map(_number, (s.gini, s.max_over_min, s.log_std, s.cv)))}")
        numbers = {
            "correlation of (log ghat, log h)": self.correlation, "Lambda_G": c.Lambda_G, "Lambda_P": c.Lambda_P,
            "Lambda_G / Lambda_P": c.ratio, "the same by identity (1)": c.ratio_by_identity, "phi": self.phi,
            "R = phi Lambda_G / Lambda_P": self.R, "R_exact": self.R_exact, "g'Hg / |g|^2": self.along_gradient,
            "s'Hs / P": self.along_signs, "delta_D = |H - H_D|": self.delta_D,
        }
        lines.extend(f"{name:33s} {_number(value)}" for name, value in numbers.items() if not np.isnan(value))
        if self.negligible:
            lines.append(f"no gradient in: {', '.join(self.negligible)}")
        if self.method:
            lines.append(f"Hessian-vector products: {self.method}, {METHODS[self.method]}; iterated norms to {TOLERANCE:g}")
        return "\n".join(lines)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the blocks as rows of `COLUMNS`."""
        return [(b.name, b.size, b.norm, b.rms, b.curvature, b.largest) for b in self.blocks]

    def scalars(self) -> dict[str, float]:
        """Return all numbers that are not of a block by flat names, such as "gradient_gini": a row of a table over systems or steps."""
        spreads = {f"{name}_{key}": value for name in ("gradient", "hessian") for key, value in vars(getattr(self, name)).items()}
        names = ("correlation", "phi", "R", "R_exact", "along_gradient", "along_signs", "delta_D")
        weighted = {name: value for name, value in vars(self.complexity).items() if not name.startswith("cv_")}  # those are the spreads' cv
        return {**spreads, **weighted, **{name: getattr(self, name) for name in names}}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers that do not exist are None."""
        return plain(self)

    def to_csv(self) -> str:
        """Return the table of blocks as CSV text."""
        return csv_text(COLUMNS, self.rows())

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return the table of blocks as LaTeX.

        Parameters
        ----------
        caption, label : str, optional
            As `dynsim.tabular.latex_text` takes them: with a caption the tabular stands in a `table`, which a label names.
        """
        return latex_text(COLUMNS, self.rows(), caption, label)


def _number(x: float) -> str:
    return f"{'-' if np.isnan(x) else format(x, '.4g'):>10s}"


def measure(
    system: Any,
    params: NDArray | None = None,
    *,
    blocks: Mapping[str, Any] | None = None,
    curvature: bool = True,
    off_diagonal: bool = False,
    method: str = "auto",
    rng: np.random.Generator | int = 0,
    negligible: float = 1e-13,
) -> Heterogeneity:
    r"""Measure how unequal gradients and curvatures are across blocks of a system's parameters, on all of its samples.

    Parameters
    ----------
    system : System
        A single run. Of a reduced system the loss is measured as a function of its own coordinates, which are not the model's.
    params : ndarray, shape (P,), optional
        Where, for example ``run.final``; default `system.start`.
    blocks : mapping of str to slice or array of int, optional
        Places of each block's parameters in the flat vector; disjoint. They need not be all: the others are held fixed, and P, g, H are
        of those that are named, so that a model is measured with and without its head. Default the tensors of the layout;
        `cut_blocks` cuts these further, or keeps some.
    curvature : bool
        False measures gradients alone, at the cost of one.
    off_diagonal : bool
        Form the whole Hessian of the blocks, at a product a parameter, and measure delta_D.
    method : {"auto", "analytic", "complex-step", "central"}
        How Hessian-vector products are formed; see `dynsim.systems.gradient_heterogeneity.curvature.hessian`.
    rng : Generator or int, default 0
        Of random vectors that checks and iterations begin with.
    negligible : float, in [0, 1)
        A block whose ghat is at most this fraction of the largest counts as one without gradient: ratios and logarithms leave it out, and
        the table says so. A parameter that the loss does not depend on, as the bias of keys, has a gradient of rounding errors.

    Returns
    -------
    Heterogeneity
        Numbers of each block, how unequal they are, and the weighted curvatures of equations (1) and (2).

    Raises
    ------
    ValueError
        For replicates, parameters or blocks that do not fit, a gradient that is not finite, `off_diagonal` with more than `LARGEST`
        parameters.
    RuntimeError
        If a block's spectral norm does not converge.

    Examples
    --------
    >>> from dynsim.systems import signal_noise
    >>> system = signal_noise.dense(signal_noise.preset("tiny"), seed=0)
    >>> found = measure(system, blocks=cut_blocks(system, {"W_QK": (0,)}), curvature=False)
    >>> [block.name for block in found.blocks]
    ['W_QK[0]', 'W_QK[1]', 'W_V']
    >>> bool(found["W_V"].rms > 10 * found["W_QK[0]"].rms)
    True
    """
    if not (isinstance(negligible, (int, float, np.number)) and 0.0 <= negligible < 1.0):
        raise ValueError(f"negligible={negligible!r} must be a number in [0, 1)")
    places = block_places(system, blocks)
    index = np.concatenate(list(places.values()))
    if off_diagonal and len(index) > LARGEST:
        raise ValueError(
            f"off_diagonal=True forms a Hessian of {len(index)} x {len(index)}, the most are {LARGEST}: name fewer blocks, "
            "take a smaller setting, or read along_gradient and along_signs, which need no blocks"
        )
    measured = curvature or off_diagonal
    at = hessian(system, params, method=method if measured else "central", rng=rng)  # "central" compares no methods beforehand
    random = np.random.default_rng(rng)
    g = at.gradient[index]
    top = np.abs(g).max()
    unit = g / top if top > 0.0 else g  # squares of tiny gradients would underflow
    ends = np.cumsum([len(of) for of in places.values()])
    parts = np.split(unit, ends[:-1])
    sizes, squares = np.diff(ends, prepend=0), np.array([part @ part for part in parts])
    norms = top * np.sqrt(squares)
    rms = norms / np.sqrt(sizes)
    kept = rms > negligible * rms.max()

    h, largest, delta_D = np.full(len(parts), NAN), np.full(len(parts), NAN), NAN
    if off_diagonal:
        whole = at.dense(index)
        cuts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        found = [norm_and_largest(whole[cut, cut]) for cut in cuts]
        for cut in cuts:
            whole[cut, cut] = 0.0
        delta_D = norm_and_largest(whole)[0]
    elif curvature:
        found = [at.extremes(of, random) for of in places.values()]
    if measured:
        h, largest = np.array(found).T
    weighted = complexity(sizes, squares, h)
    phi = float(density(g))
    along_gradient = _along(at, index, unit) / float(unit @ unit) if measured and top > 0.0 else NAN
    along_signs = _along(at, index, np.sign(g)) / len(index) if measured and top > 0.0 else NAN
    R_exact = phi * along_gradient / along_signs if along_gradient > 0.0 and along_signs > 0.0 else NAN
    bent = h > negligible * h.max()
    rows = zip(places, sizes.tolist(), norms.tolist(), rms.tolist(), h.tolist(), largest.tolist(), strict=True)
    return Heterogeneity(
        blocks=tuple(Block(*row) for row in rows), gradient=spread(rms, kept, weighted.cv_squares),
        hessian=spread(h, bent, weighted.cv_curvatures), correlation=log_correlation(rms, h, kept & bent), complexity=weighted, phi=phi,
        R=phi * weighted.ratio, R_exact=R_exact, along_gradient=along_gradient, along_signs=along_signs, delta_D=delta_D, size=len(index),
        of=system.layout.size, negligible=tuple(name for name, counts in zip(places, kept, strict=True) if not counts),
        method=at.method if measured else "", provenance=dict(system.provenance),
    )


def _along(at: Hessian, index: NDArray, direction: NDArray) -> float:
    """Return v'Hv for v = `direction` at these places and 0 elsewhere."""
    v = np.zeros_like(at.point)
    v[index] = direction
    return float(v @ at.product(v))
