"""Claims about noisy MNIST: about one run, and about sweeps over SNR with several rules.

Differences over seeds are paired: of one seed, all rules train on the same images with the same weights, and all SNRs on the same
images with noise of the same direction. A claim that a mean difference is above 0 is decided by the one-sided p-value of the paired t
test, at 0.025: the claim holds exactly where the 95 % t-interval of the difference lies above 0, and is inconclusive where that contains 0.
A claim that mean differences are at most so large holds where all their t-intervals lie within that bound, is violated where one lies
wholly beyond it, and is inconclusive else: a wide interval shows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...claims import Assumption, Claim, Inconclusive, Measured, Source
from ...run_claims import Control
from ...scaling import mean_chance, mean_interval
from ...sweep import Table, changed
from .data import CONSTRUCTIONS
from .measures import LEVELS, TRAINED, column

__all__ = ["CLAIMS", "CLEAN", "NOISY", "RULES", "SWEEP_CLAIMS", "curves", "rises", "texts_of"]

NOISY = 0.2
"""SNR at which rules are compared: noise of five times the image's norm."""
CLEAN = 2.0
"""SNR at which rules should agree: noise of half the image's norm."""
AGREE = 0.06
"""Test losses closer than this agree."""
RISE = TRAINED
"""A rise of the test loss up to this counts as none: it is no larger than the training loss that a trained run has left."""
RULES = ("signgd", "adam", "gd")
"""Rules that are compared, by name."""
NAMES = {"signgd": "SignGD", "adam": "Adam", "gd": "GD"}
LEVEL = 0.025
"""One-sided level of a test: that of a 95 % interval."""

PAGE = "docs/noisy_mnist.md"


# -- one run ------------------------------------------------------------------------------------------------------------


def _trained_row(evidence: Any, name: str) -> int:
    """Return the row of a quantity recorded first after the training loss has reached its level."""
    run = evidence["run"]
    reached = np.flatnonzero(run["train_loss"] <= TRAINED)
    if not len(reached):
        raise Inconclusive(f"the training loss stays above {TRAINED:g} within the horizon of {run.at[-1]} steps")
    row = int(np.searchsorted(run.steps(name), run.steps("train_loss")[reached[0]]))
    if row == len(run.steps(name)):
        raise Inconclusive(f"{name} was not recorded once the training loss had reached {TRAINED:g}")
    return row


def _trained(evidence: Any) -> Measured:
    """Judge the smallest training loss; above the level, only a loss that has stopped falling counts against the claim.

    It still falls if its mean over the last tenth of the record lies below that over the tenth before by more than 1 % of what
    is left, or of what it has fallen so far if that is less: the second keeps a slow start apart from a plateau.
    """
    loss = evidence["run"]["train_loss"]
    least, where = float(loss.min()), f"{len(loss)} recorded steps"
    if least > TRAINED:
        if len(loss) < 2:
            raise Inconclusive(f"one recorded training loss, {least:.3g}, does not show whether it still falls: record more steps")
        tenth = max(1, len(loss) // 10)
        before, last = float(loss[-2 * tenth : -tenth].mean()), float(loss[-tenth:].mean())
        if before - last > 0.01 * min(last, abs(float(loss[0]) - last)):
            raise Inconclusive(f"the training loss is still falling at the end, {loss[-1]:.3g}: raise steps")
        where += f"; mean over the last tenth of them {last:.4g}, over the tenth before {before:.4g}"
    return Measured(least, TRAINED, least, TRAINED, where)


def _attention_on_noise(evidence: Any) -> Measured:
    run = evidence["run"]
    row = _trained_row(evidence, "attention")
    of_image, of_noise = run["attention"][row, :, :, 0].mean(axis=0)
    where = f"step {run.steps('attention')[row]}, attention on the image, mean over training samples: {of_image:.3f}, {of_noise:.3f}"
    return Measured(float(max(of_image, of_noise)), 0.5, float(max(of_image, of_noise)), 0.5, where)


def _is(name: str, evidence: Any) -> bool:
    return evidence["run"].provenance["optimizer"]["rule"] == name


def _noisy_tokens(evidence: Any) -> bool:
    setting = evidence["run"].provenance["setting"]
    return setting["construction"] == "token" and setting["snr"] <= NOISY


def _broken(name: str, change: Callable[[NDArray], NDArray]) -> Control:
    """Return a negative control: the run with one quantity replaced by a wrong one."""

    def control(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        run = evidence["run"]
        return {**evidence, "run": replace(run, arrays={**run.arrays, name: change(run[name])})}

    return control


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "mnist_trained", f"the training loss reaches {TRAINED:g}", _trained, Source("ours", PAGE), r"\min_t L(t) \le 0.01",
            {"run": ("train_loss",)}, control=_broken("train_loss", lambda loss: np.maximum(loss, 0.5 * loss[0])),
        ),
        Claim(
            "mnist_attention_on_noise",
            f"when the training loss is {TRAINED:g}, image and noise token both attend to the noise by more than half, mean over samples",
            _attention_on_noise, Source("ours", f"{PAGE}, after Theorem 3.2 (softmax outputs on the signal o(1))"),
            r"\bar p_{11}, \bar p_{21} < 1/2", {"run": ("train_loss", "attention")},
            (Assumption("SignGD", partial(_is, "signgd")), Assumption(f"construction 'token', SNR at most {NOISY:g}", _noisy_tokens)),
            _broken("attention", lambda p: 1.0 - p),
        ),
    )
}
"""Claims about one run by name."""


# -- sweeps -------------------------------------------------------------------------------------------------------------


def texts_of(table: Table, rule: str) -> list[str]:
    """Return the rules of a table that have a name, as texts with their options, in the table's order.

    Parameters
    ----------
    table : Table
        With variable "optimizer".
    rule : str
        Name, without options.
    """
    return [text for text in dict.fromkeys(table["optimizer"].tolist()) if text.partition(":")[0] == rule]


def _text(table: Table, rule: str) -> str:
    texts = texts_of(table, rule)
    if len(texts) != 1:
        raise Inconclusive(f"the sweep has {', '.join(texts)} for {rule}: it must have one" if texts else f"the sweep has no {rule}")
    return texts[0]


def curves(table: Table, text: str, quantity: str) -> tuple[NDArray, NDArray]:
    """Return a measured number of one rule against SNR, seed by seed.

    Parameters
    ----------
    table : Table
        With variables "snr" and "optimizer".
    text : str
        A rule as in the table, with its options.
    quantity : str
        Column.

    Returns
    -------
    snr : ndarray, shape (K,)
        Ascending.
    values : ndarray, shape (S, K)
        A row a seed, in ascending order of seeds; NaN where a run failed or did not come that far.

    Raises
    ------
    Inconclusive
        If the table lacks the rule or some of its cells.
    """
    rows = table.rows(table["optimizer"] == text)
    if not rows.cells:
        raise Inconclusive(f"the sweep has no {text}")
    snr, seeds = np.unique(rows["snr"]), np.unique(table["seed"])
    if rows.cells != len(snr) * len(seeds):
        total = len(snr) * len(seeds)
        raise Inconclusive(f"the sweep has {rows.cells} runs of {text}, not {total}: it varies more than SNR and rule, or is not complete")
    values = np.empty((len(seeds), len(snr)))
    values[np.searchsorted(seeds, rows["seed"]), np.searchsorted(snr, rows["snr"])] = rows[quantity]
    return snr, values


def _at(table: Table, rule: str, quantity: str, where: float) -> NDArray:
    """Return the numbers of one rule at one SNR, shape (S,)."""
    snr, values = curves(table, _text(table, rule), quantity)
    if where not in snr:
        raise Inconclusive(f"the sweep has no SNR {where:g}: it has {', '.join(f'{x:g}' for x in snr)}")
    return _known(values[:, snr == where], rule, f"SNR {where:g}")[:, 0]


def _known(values: NDArray, rule: str, where: str) -> NDArray:
    lost = int((~np.isfinite(values)).sum())
    if lost:
        raise Inconclusive(f"{lost} of {values.size} runs of {rule} at {where} failed or did not reach the training loss: raise steps")
    if len(values) < 2:
        raise Inconclusive("one seed gives no interval: run several")
    return values


def _interval(differences: NDArray) -> str:
    low, high = mean_interval(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


LOSS = column("test_loss", TRAINED)


def _above_gd(entry: str, rule: str, evidence: Any) -> Measured:
    difference = _at(evidence[entry], rule, LOSS, NOISY) - _at(evidence[entry], "gd", LOSS, NOISY)
    where = f"SNR {NOISY:g}, {len(difference)} seeds, mean difference {_interval(difference)}"
    if mean_chance(difference) > LEVEL and mean_chance(-difference) > LEVEL:
        raise Inconclusive(f"{where}: the 95 % interval contains 0")
    return Measured(float(difference.mean()), 0.0, mean_chance(difference), LEVEL, f"{where}; deviation and tolerance are p-values")


@dataclass(frozen=True)
class _Found:
    """A mean difference, and the least and the largest size that its interval allows."""

    mean: float
    least: float
    most: float
    text: str


def _at_most(bound: float, found: Sequence[_Found], where: str) -> Measured:
    """Judge whether all differences are at most `bound` in size: by the most they can be, or by the least where that is beyond it."""
    worst = max(found, key=lambda one: one.least)
    if worst.least > bound:
        return Measured(worst.mean, 0.0, worst.least, bound, f"{worst.text}; {where}; the deviation is the interval's nearer end")
    widest = max(found, key=lambda one: one.most)
    if widest.most > bound:
        raise Inconclusive(f"{widest.text}: the interval reaches beyond {bound:g}, but does not lie beyond it; {where}")
    return Measured(widest.mean, 0.0, widest.most, bound, f"{widest.text}; {where}; the deviation is the interval's further end")


def _agreement(entry: str, evidence: Any) -> Measured:
    losses = {rule: _at(evidence[entry], rule, LOSS, CLEAN) for rule in RULES}
    found = []
    for one, other in combinations(RULES, 2):
        difference = losses[one] - losses[other]
        low, high = mean_interval(difference)
        text = f"SNR {CLEAN:g}, {NAMES[one]} - {NAMES[other]} {_interval(difference)}"
        found.append(_Found(float(difference.mean()), max(low, -high, 0.0), max(-low, high), text))
    return _at_most(AGREE, found, f"{len(difference)} seeds")


def rises(snr: NDArray, values: NDArray) -> list[tuple[float, float, NDArray]]:
    """Return for each pair of neighbouring SNRs the lower, the higher, and how much the number rises from one to the other.

    Parameters
    ----------
    snr, values : ndarray, shapes (K,) and (S, K)
        What `curves` returns.

    Returns
    -------
    list of (float, float, ndarray of shape (S,))
    """
    return [(float(a), float(b), rise) for a, b, rise in zip(snr[:-1], snr[1:], np.diff(values, axis=1).T, strict=True)]


def _monotone(entry: str, rule: str, levels: Sequence[float], evidence: Any) -> Measured:
    table = evidence[entry]
    neighbours = []
    for level in levels:
        snr, values = curves(table, _text(table, rule), column("test_loss", level))
        if len(snr) < 2:
            raise Inconclusive("the sweep has one SNR: give several")
        neighbours += [(level, *pair) for pair in rises(snr, _known(values, rule, f"training loss {level:g}"))]
    shared = 1.0 - 2.0 * LEVEL / len(neighbours)
    found = []
    for level, lower, higher, rise in neighbours:
        low, high = mean_interval(rise, shared)
        text = f"SNR {lower:g} to {higher:g} at training loss {level:g}: {rise.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        found.append(_Found(float(rise.mean()), low, high, text))
    falls = sum(one.most < 0.0 for one in found)
    where = f"{len(rise)} seeds, simultaneous 95 % intervals, {falls} of {len(found)} of which lie below 0"
    return _at_most(RISE, found, where)


def _control(entry: str, levels: Sequence[float], change: Callable[[Table, NDArray], NDArray]) -> Control:
    """Return a negative control: the test losses of one table replaced by wrong ones."""
    names = [column("test_loss", level) for level in levels]
    return changed(entry, **{name: partial(lambda name, table: change(table, table[name]), name) for name in names})


def _gd_plus(more: float, table: Table, loss: NDArray) -> NDArray:
    """Return the test loss with that of GD raised."""
    return loss + more * np.char.startswith(table["optimizer"].astype(str), "gd")


def _rising(table: Table, loss: NDArray) -> NDArray:
    """Return a test loss that rises from each SNR to the next."""
    return loss + np.searchsorted(np.unique(table["snr"]), table["snr"])


def _about(entry: str) -> str:
    return f"construction '{entry}'"


AFTER = f"{PAGE}, after Fig. 2d (test loss on noisy MNIST against noise level for the three rules)"

SWEEP_CLAIMS = {
    claim.id: claim
    for entry in CONSTRUCTIONS
    for claim in (
        *(
            Claim(
                f"mnist_{entry}_{rule}_above_gd",
                f"{_about(entry)}: at SNR {NOISY:g} the test loss of {NAMES[rule]} is above that of GD: 95 % interval, paired over seeds",
                partial(_above_gd, entry, rule), Source("ours", AFTER), rf"L_{{test}}^{{{NAMES[rule]}}} > L_{{test}}^{{GD}}",
                {entry: ("snr", "optimizer", LOSS)}, control=_control(entry, (TRAINED,), partial(_gd_plus, 1.0)),
            )
            for rule in ("signgd", "adam")
        ),
        Claim(
            f"mnist_{entry}_agreement",
            f"{_about(entry)}: at SNR {CLEAN:g} the test losses of SignGD, Adam and GD agree: 95 % intervals of their differences "
            f"within {AGREE:g}",
            partial(_agreement, entry), Source("ours", PAGE), rf"|\Delta L_{{test}}| \le {AGREE:g}",
            {entry: ("snr", "optimizer", LOSS)}, control=_control(entry, (TRAINED,), partial(_gd_plus, 2 * AGREE)),
        ),
        *(
            Claim(
                f"mnist_{entry}_{rule}_monotone{suffix}",
                f"{_about(entry)}: the test loss of {NAMES[rule]} {when} nowhere rises with the SNR by more than {RISE:g}: simultaneous "
                "95 % intervals of the rises between neighbours",
                partial(_monotone, entry, rule, levels), Source("ours", PAGE), rf"\Delta L_{{test}} \le {RISE:g}",
                {entry: ("snr", "optimizer", *(column("test_loss", level) for level in levels))},
                control=_control(entry, levels, _rising),
            )
            for rule in RULES
            for suffix, when, levels in (
                ("", f"at training loss {TRAINED:g}", (TRAINED,)),
                ("_stopped", f"stopped early, at training loss {', '.join(f'{level:g}' for level in LEVELS[:-1])},", LEVELS[:-1]),
            )
        ),
    )
}
"""Claims about sweeps by name; the evidence is one table a construction, by its name."""
