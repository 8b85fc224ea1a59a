"""Claims about sweeps over linear heads: drift, what the loss does not see, and losses at tuned rates."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ....claims import Claim, Measured, Source
from ....deciding import at_least, at_most, complete, worst
from ....sweep import Table, changed
from .rows import DERIVATION, FULL_GAUGE, NO_GAUGE, OFF_DRIFT, OFF_MOMENTUM, PAGE, Best, best, derived, least, most, paired, pick, settled

__all__ = ["CLAIMS"]

BOTH = (0.0, 0.9)
"""Momentum compared."""
EVEN = 0.05
"""Difference of losses that counts as none: a fiftieth of the loss of chance at 10 classes, ln 10 = 2.3. The level is ours."""


def _absent(table: Table, momentum: float, factor: int = 3) -> Table:
    """Return the rows of batches that lack most classes, C >= factor n."""
    return pick(table.rows(np.asarray(table["C"]) >= factor * np.asarray(table["batch"])), momentum=momentum)


def _sizes(table: Table, factor: int = 3) -> list[tuple[int, int]]:
    rows = _absent(table, BOTH[0], factor)
    return sorted(set(zip(rows["C"].tolist(), rows["batch"].tolist(), strict=True)))


def _drift(momentum: float, tolerance: float, evidence: Any) -> Measured:
    return _off_drift(_absent(evidence["drift"], momentum), tolerance)


def _off_drift(rows: Table, tolerance: float) -> Measured:
    off = np.abs(complete(rows, "drift", "drift_predicted")["drift"] - rows["drift_predicted"])
    return most(off, tolerance, rows, "off the prediction")


def _cut(evidence: Any) -> Measured:
    found = []
    for C, n in _sizes(evidence["drift"]):
        plain, cut = paired(pick(evidence["drift"], C=C, batch=n), "drift", "momentum", BOTH)
        found.append(at_least(plain.mean() / cut.mean(), 2.5, f"C = {C}, n = {n}; means over {len(cut)} seeds", "times the drift"))
    return worst(*found)


def _gauge(momentum: float, evidence: Any) -> Measured:
    rows = complete(pick(evidence["drift"], C=(100, 300), batch=32, momentum=momentum), "gauge_share")
    if momentum:
        return most(rows["gauge_share"], NO_GAUGE, rows, "of |V|^2")
    return least(rows["gauge_share"], FULL_GAUGE, rows, "of |V|^2")


def _norm(sizes: tuple[tuple[int, int], ...], momentum: float, form: Any, evidence: Any) -> Measured:
    found = []
    for C, n in sizes:
        plain, other = paired(pick(evidence["drift"], C=C, batch=n), "V_norm", "momentum", (0.0, momentum))
        where = f"C = {C}, n = {n}; means over {len(plain)} seeds {plain.mean():.3g}, {other.mean():.3g}"
        found.append(form(other.mean() / plain.mean(), 1.0, where, "of |V| without momentum"))
    return worst(*found)


def _gauge_norm(evidence: Any) -> Measured:
    rows = complete(_absent(evidence["drift"], 0.0, 9), "V_norm", "gauge_share", "norm_predicted")
    return most(np.abs(np.sqrt(rows["gauge_share"]) * rows["V_norm"] / rows["norm_predicted"] - 1.0), 0.1, rows, "off the prediction")


def _projected(evidence: Any) -> Measured:
    """What follows from equation (60) for loss and accuracy."""
    rows = complete(evidence["controls"], "train_loss", "projected_loss", "accuracy", "projected_accuracy")
    off = np.maximum(np.abs(rows["train_loss"] - rows["projected_loss"]), np.abs(rows["accuracy"] - rows["projected_accuracy"]))
    return most(off, 1e-4, rows, "difference of losses, or of accuracies")


def _centred(evidence: Any) -> Measured:
    plain, momentum = paired(evidence["controls"], "V_centred_norm", "momentum", BOTH)
    where = f"means over {len(plain)} seeds {plain.mean():.3g}, {momentum.mean():.3g}"
    return at_least(momentum.mean() / plain.mean(), 3.0, where, "times")


def _rule(evidence: Any, entry: str, rule: str, **sizes: Any) -> Best:
    return best(evidence[entry], "train_loss", **sizes, optimizer=rule)


def _three_times(entry: str, sizes: dict[str, Any], evidence: Any) -> Measured:
    plain, momentum = (_rule(evidence, entry, rule, **sizes) for rule in ("signgd", "signgd:0.9"))
    decided = at_least(plain.loss / momentum.loss, 3.0, f"{plain.text}; {momentum.text}", "times the loss")
    return settled(decided, high=(plain,), low=(momentum,))


def _few(C: int, evidence: Any) -> Measured:
    plain, momentum = (_rule(evidence, "classes", rule, C=C) for rule in ("signgd", "signgd:0.9"))
    gap = plain.loss - momentum.loss
    decided = Measured(gap, 0.0, gap, EVEN, f"{plain.text}; {momentum.text}", "loss, of signs without momentum minus with")
    return settled(decided, low=(plain,))


def _large_batch(evidence: Any) -> Measured:
    small, large = _rule(evidence, "classes", "signgd", C=100), _rule(evidence, "batches", "signgd", C=100, batch=512)
    decided = at_most(large.loss / small.loss, 1.0 / 3.0, f"{small.text}; {large.text}", "of the loss in batches of 32")
    return settled(decided, high=(small,), low=(large,))


def _full_batch(evidence: Any) -> Measured:
    rows = complete(pick(evidence["large_batch"], batch=0), "gauge_share")
    return most(rows["gauge_share"], 0.05, rows, "of |V|^2")


def _batches_of_512(evidence: Any) -> Measured:
    rows = complete(pick(evidence["large_batch"], batch=512), "gauge_share")
    return least(rows["gauge_share"], 0.5, rows, "of |V|^2")


def _without_mean(evidence: Any) -> Measured:
    rows = pick(evidence["large_batch"], batch=32, common=0.0)
    return _off_drift(rows, OFF_DRIFT)


APPROXIMATE = Source("ours", f"{PAGE}; the prediction is derived in {DERIVATION}, section 8, its tolerance is not")
OURS = Source("ours", f"{PAGE}: conditional on features, sizes, steps and rates")
NORM = Source("ours", f"{PAGE}: that momentum keeps the head small is the abstract's, of version 1; norm and sizes are chosen here")
MANY = ((100, 8), (300, 32), (1000, 32))
_RUNS = "200 steps of 1e-3"
_NOISY = "class means of half size (spread 0.5), 10 % of the labels shuffled"
_BEST = "800 steps, each rule at its best rate"
_SIZE = ("C", "batch", "momentum")
_RATES = ("train_loss", "optimizer", "lr", "gauge_share")


def _signs(entry: str, make: Any) -> Any:
    """Negative control: other losses of signs without momentum."""
    return changed(entry, train_loss=lambda t: np.where(t["optimizer"] == "signgd", make(t["train_loss"]), t["train_loss"]))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "head_drift_as_predicted", f"{_RUNS}, C >= 3 n: without momentum the mean sign of the bias updates is that of probabilities 1/C, "
        f"to {OFF_DRIFT:g} in every run", partial(_drift, 0.0, OFF_DRIFT), APPROXIMATE, r"D = 1 - 2P[n_c > n/C] - P[n_c = n/C]",
        {"drift": ("drift", "drift_predicted", *_SIZE)}, (), changed("drift", drift=lambda t: t["drift"] + 0.05),
    ),
    Claim(
        "head_momentum_drift_near", f"{_RUNS}, C >= 3 n: with momentum 0.9 the same, to {OFF_MOMENTUM:g}, a tolerance chosen after the "
        "runs; 100 classes in batches of 32 drift 43 % more than predicted", partial(_drift, 0.9, OFF_MOMENTUM), APPROXIMATE,
        r"D_\beta = E\,\mathrm{sgn}\,S_t",
        {"drift": ("drift", "drift_predicted", *_SIZE)}, (), changed("drift", drift=lambda t: t["drift"] + 0.1),
    ),
    Claim(
        "head_momentum_cuts_drift", f"{_RUNS}, at every size of the sweep with C >= 3 n: momentum 0.9 cuts the drift 2.5 times or more",
        _cut, OURS, "",
        {"drift": ("drift", *_SIZE)}, (), changed("drift", drift=lambda t: np.full(t.cells, 0.5)),
    ),
    *(
        Claim(
            f"head_gauge_share_{id}", f"{_RUNS}, 100 and 300 classes, batches of 32: {text} of the squared weights is a vector that all "
            "classes share, in every run", partial(_gauge, momentum), OURS, r"C\|\bar v\|^2/\|V\|_F^2",
            {"drift": ("gauge_share", *_SIZE)}, (),
            changed("drift", gauge_share=lambda t: np.full(t.cells, 0.6)),
        )
        for id, momentum, text in (
            ("large", 0.0, f"without momentum more than {FULL_GAUGE:g}"), ("small", 0.9, f"with momentum 0.9 less than {NO_GAUGE:g}"),
        )
    ),
    *(
        Claim(
            f"head_norm_reduced_{id}", f"{_RUNS}, {text}: momentum {momentum:g} makes the norm of the weights smaller",
            partial(_norm, sizes, momentum, at_most), NORM,
            "", {"drift": ("V_norm", *_SIZE)}, (), changed("drift", V_norm=lambda t: 1.0 + np.asarray(t["momentum"], dtype=float)),
        )
        for id, sizes, momentum, text in (
            ("many", MANY, 0.9, "C >= 9 n"), ("many_099", MANY, 0.99, "C >= 9 n"),
            ("C100_n32", ((100, 32),), 0.9, "100 classes, batches of 32"),
        )
    ),
    Claim(
        "head_norm_larger_C100_n32_099", f"{_RUNS}, 100 classes, batches of 32: momentum 0.99 makes the norm of the weights larger",
        partial(_norm, ((100, 32),), 0.99, at_least), OURS, "", {"drift": ("V_norm", *_SIZE)}, (),
        changed("drift", V_norm=lambda t: 2.0 - np.asarray(t["momentum"], dtype=float)),
    ),
    Claim(
        "head_gauge_norm_as_predicted", f"{_RUNS}, C >= 9 n, no momentum: the part of V that all classes share has the norm of weights "
        "that all drift as the biases do, to 10 % in every run", _gauge_norm, APPROXIMATE, r"\sqrt C\,\|\bar v\| = \eta t\sqrt{Cd}\,D",
        {"drift": ("V_norm", "gauge_share", "norm_predicted", *_SIZE)}, (), changed("drift", V_norm=lambda t: 1.5 * t["V_norm"]),
    ),
    Claim(
        "projected_same_loss", "300 classes, 1,500 steps: taking the mean over the classes out of every sign update leaves loss and "
        "accuracy (1e-4)", _projected, derived(8), "", {"controls": ("train_loss", "projected_loss", "accuracy", "projected_accuracy")}, (),
        changed("controls", projected_loss=lambda t: t["projected_loss"] + 1e-3),
    ),
    Claim(
        "centred_part_hardly_grows", "300 classes, 1,500 steps: what tells classes apart, V without its mean, becomes three times as large "
        "or more with momentum 0.9", _centred, OURS, r"\|V - 1\bar v^\top\|_F", {"controls": ("V_centred_norm", "momentum")}, (),
        changed("controls", V_centred_norm=lambda t: np.ones(t.cells)),
    ),
    *(
        Claim(
            f"head_{entry}_sign_worse", f"{text}, {_NOISY}, {_BEST}: the loss of signs without momentum is three times that with 0.9 or "
            "more, in the mean over seeds", partial(_three_times, entry, sizes), OURS, "", {entry: (*_RATES, *sizes)}, (),
            _signs(entry, lambda losses: 0.1 * losses),
        )
        for entry, sizes, text in (
            ("noisy_labels", {}, "300 classes, batches of 32"), ("classes", {"C": 100}, "100 classes, batches of 32"),
            ("batches", {"C": 300, "batch": 1024}, "300 classes, batches of 1,024"),
        )
    ),
    *(
        Claim(
            f"head_few_classes_C{C}", f"{C} classes, {_NOISY}, batches of 32, {_BEST}: signs without momentum end at most {EVEN:g} above "
            f"those with 0.9, in the mean over seeds; chance has ln {C} = {np.log(C):.2g}", partial(_few, C), OURS, "",
            {"classes": (*_RATES, "C")}, (), _signs("classes", lambda losses: 9.0 + losses),
        )
        for C in (2, 10)
    ),
    Claim(
        "head_large_batches_help", f"100 classes, {_NOISY}, {_BEST}: signs without momentum end at a third of the loss or less in batches "
        "of 512, in the mean over seeds", _large_batch, OURS, "", {"classes": (*_RATES, "C"), "batches": (*_RATES, "C", "batch")}, (),
        _signs("batches", lambda losses: 99.0 + losses),
    ),
    Claim(
        "head_full_batch_no_gauge", "300 classes, 1,500 steps of all samples, one seed: less than 0.05 of the squared weights is a vector "
        "that all classes share, though biases drift", _full_batch, OURS, "", {"large_batch": ("gauge_share", "batch")}, (),
        changed("large_batch", gauge_share=lambda t: np.ones(t.cells)),
    ),
    Claim(
        "head_batches_of_512_gauge", "300 classes, 1,500 steps in batches of 512, one seed: half of the squared weights or more is such a "
        "vector; the level is ours", _batches_of_512, OURS, "", {"large_batch": ("gauge_share", "batch")}, (),
        changed("large_batch", gauge_share=lambda t: 0.5 * t["gauge_share"]),
    ),
    Claim(
        "head_drift_without_mean", f"300 classes, 1,500 steps, one seed, features without a shared mean: biases drift as predicted, to "
        f"{OFF_DRIFT:g}", _without_mean, APPROXIMATE, "", {"large_batch": ("drift", "drift_predicted", "batch", "common")}, (),
        changed("large_batch", drift=lambda t: 0.9 * t["drift_predicted"]),
    ),
)
"""Claims about heads."""
