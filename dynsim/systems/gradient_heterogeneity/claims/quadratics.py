"""Claims about sweeps over quadratics: steps to a target, a rotation; and the identity of the weighted complexities, of all models."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Claim, Inconclusive, Measured, Source
from ....deciding import at_least, at_most, close, complete
from ....sweep import Table, changed
from .rows import PAGE, derived, named, ours, pick

__all__ = ["CLAIMS"]

K = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


def _steps(table: Table, initial: str, rule: str, ks: tuple[float, ...]) -> NDArray:
    """Return the median over seeds of the steps to the target for each k; Inconclusive where a best rate was the last one tried."""
    rows = complete(pick(table, initial=initial, optimizer=rule, k=ks), "steps_to_target")
    edges = int((rows["edge"] != 0).sum())
    if edges:
        raise Inconclusive(f"{edges} of {rows.cells} best rates are the smallest or the largest tried: try more")
    return np.array([np.median(rows["steps_to_target"][rows["k"] == k]) for k in ks])


def _text(steps: NDArray, ks: tuple[float, ...]) -> str:
    return "medians over seeds " + ", ".join(f"{count:g} at k = {k:g}" for k, count in zip(ks, steps, strict=True))


def _growth(initial: str, least_growth: bool, evidence: Any) -> Measured:
    """Compare the growth of gradient descent's steps from k = 100 to 1000 with 8.

    Of order k, tenfold, by equations (18) and (21) from equal loss; slower, by equation (19), from equal distance.
    """
    ks = K[2:4]
    steps = _steps(evidence["target"], initial, "gd", ks)
    form = at_least if least_growth else at_most
    return form(steps[1] / steps[0], 8.0, _text(steps, ks), "times the steps, for one decade of k")


def _slow(rule: str, evidence: Any) -> Measured:
    """A level above 10^(1/4): by equation (23) the steps of sign descent grow by no more for a decade of large k."""
    steps = _steps(evidence["target"], "equal_loss", rule, K)
    return at_most((steps[1:] / steps[:-1]).max(), 2.2, _text(steps, K), "times the steps, most for one decade of k")


def _flat(evidence: Any) -> Measured:
    steps = _steps(evidence["target"], "equal_curvature", "gd", K)
    return close(steps.max(), 1.0, 1e-9, _text(steps, K), "steps, most over k")


def _inside(evidence: Any) -> Measured:
    table = evidence["target"]
    reached = table.rows(np.isfinite(table["steps_to_target"]))
    edges = int((complete(reached, "edge")["edge"] != 0).sum())
    where = f"{reached.cells} of {table.cells} runs reach the target"
    return Measured(float(edges), 0.0, float(edges), 0.5, where, "best rates that are the smallest or largest tried")


def _identity(entry: str, prefix: str, evidence: Any) -> Measured:
    """Equation (1)."""
    rows = complete(evidence[entry], f"{prefix}ratio", f"{prefix}ratio_by_identity")
    off = np.abs(rows[f"{prefix}ratio_by_identity"] / rows[f"{prefix}ratio"] - 1.0)
    row = int(np.argmax(off))
    by_identity, ratio = (float(rows[f"{prefix}{name}"][row]) for name in ("ratio_by_identity", "ratio"))
    return close(by_identity, ratio, 1e-12, f"{named(rows, row)}; {rows.cells} runs")


def _rotation(rule: str, evidence: Any) -> tuple[NDArray, str]:
    """Return steps after the rotation over those before, of each seed, and what they are."""
    rows = complete(pick(evidence["rotation"], optimizer=rule, rotated=("no", "all")), "steps_to_target")
    (axes, turned) = (pick(rows, rotated=name) for name in ("no", "all"))
    seeds = np.unique(rows["seed"])
    found = [[pick(part, seed=seed)["steps_to_target"][0] for seed in seeds] for part in (axes, turned)]
    text = f"medians over {len(seeds)} seeds {np.median(found[0]):g} on the axes, {np.median(found[1]):g} turned"
    return np.array(found[1]) / np.array(found[0]), text


def _unchanged(evidence: Any) -> Measured:
    """The first half of equation (32), by the number of steps."""
    ratio, text = _rotation("gd", evidence)
    return close(ratio[np.argmax(np.abs(ratio - 1.0))], 1.0, 1e-9, text, "times the steps, the seed that differs most")


def _worse(rule: str, level: float, evidence: Any) -> Measured:
    """What the end of the advantage that equation (34) speaks of costs over a whole run."""
    ratio, text = _rotation(rule, evidence)
    return at_least(ratio.min(), level, text, "times the steps, the seed that differs least")


_TARGET = {"target": ("steps_to_target", "edge", "initial", "k", "optimizer")}


def _with_k(initial: str, power: float, rules: tuple[str, ...]) -> Any:
    """Negative control: steps that grow with a power of k."""
    def steps(table: Table) -> NDArray:
        here = (table["initial"] == initial) & np.isin(table["optimizer"], rules)
        return np.where(here, 10.0 * np.asarray(table["k"]) ** power, table["steps_to_target"])

    return changed("target", steps_to_target=steps)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "target_gradient_grows", "16 blocks of equal loss: the steps that gradient descent at its best rate needs to 1e-3 of the loss grow "
        "8 times or more from k = 100 to 1000", partial(_growth, "equal_loss", True), ours(2), r"T \sim k", _TARGET, (),
        _with_k("equal_loss", 0.25, ("gd",)),
    ),
    Claim(
        "target_equal_distance_milder", "16 blocks at equal distance, whose gradients spread more: those steps grow less than 8 times",
        partial(_growth, "equal_distance", False), ours(2), "", _TARGET, (), _with_k("equal_distance", 1.0, ("gd",)),
    ),
    *(
        Claim(
            f"target_{name}_grows_slowly", f"16 blocks of equal loss: {text}'s steps at its best rate grow at most 2.2 times for each "
            "decade of k from 1 to 1e4", partial(_slow, rule), ours(2), r"T \sim k^{1/4}", _TARGET, (), _with_k("equal_loss", 0.5, (rule,)),
        )
        for name, rule, text in (("sign", "signgd", "sign descent"), ("adam", "adam", "Adam"))
    ),
    Claim(
        "target_equal_curvature_flat", "with the same gradients on blocks of equal curvature gradient descent needs one step for every k: "
        "the Hessian is the identity, and the rate 1 is among those tried; unequal gradients alone do no harm", _flat, derived(2),
        r"H = I:\ \theta_0 - g_0 = 0", _TARGET, (), _with_k("equal_curvature", 0.5, ("gd",)),
    ),
    Claim(
        "target_best_rate_inside", "no best rate of the five rules is the smallest or the largest of the 25 tried", _inside,
        Source("ours", PAGE), "", {"target": ("steps_to_target", "edge")}, (), changed("target", edge=lambda t: np.ones(t.cells)),
    ),
    *(
        Claim(
            f"identity_{entry}", f"Lambda_G / Lambda_P is 1 + CV(ghat^2) CV(h) corr(ghat^2, h) (1e-12), {text}",
            partial(_identity, entry, prefix), derived(1), r"\Lambda_G/\Lambda_P = 1 + CV(\hat g^2)\,CV(h)\,corr_P(\hat g^2, h)",
            {entry: (f"{prefix}ratio", f"{prefix}ratio_by_identity")}, (),
            changed(entry, **{f"{prefix}ratio": lambda t, name=f"{prefix}ratio": 1.0001 * t[name]}),
        )
        for entry, prefix, text in (
            ("target", "", "on quadratics"), ("small", "", "on transformers that start small"),
            ("block_diagonal", "", "on tiny transformers"), ("body", "body_", "on pre-trained transformers without their heads"),
        )
    ),
    Claim(
        "rotation_gradient_unchanged", "turning a quadratic changes none of gradient descent's steps to the target", _unchanged, derived(5),
        "", {"rotation": ("steps_to_target", "rotated", "optimizer")}, (),
        changed("rotation", steps_to_target=lambda t: t["steps_to_target"] * np.where(t["rotated"] == "all", 2.0, 1.0)),
    ),
    *(
        Claim(
            f"rotation_{name}_slower", text, partial(_worse, rule, level), ours(5), "",
            {"rotation": ("steps_to_target", "rotated", "optimizer")}, (),
            changed("rotation", steps_to_target=lambda t: np.full(t.cells, 64.0)),
        )
        for name, rule, level, text in (
            ("sign", "signgd", 10.0, "turning it costs sign descent ten times its steps or more: its advantage belongs to the axes"),
            ("adam", "adam", 4.0, "turning it costs Adam four times its steps or more, a level of ours: so does Adam's"),
        )
    ),
)
"""Claims about steps to a target, rotations and the identity."""
