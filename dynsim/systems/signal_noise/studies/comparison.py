"""The same data and weights under several update rules: the comparison of Fig. 2, and a fair choice of learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....experiment import Experiment
from ....measures import At, Series, Underflow
from ....study import Plan, Study
from ....sweep import Table
from ..measures import MEASURES
from ..predictions import EPS

__all__ = ["LEAST", "LONGER", "RULES", "comparison", "fair_comparison", "fair_rates", "rate_search"]

RULES = ("signgd", "adam:0.9", "adam:0.5", "adam:0.0", "gd")
"""Rules of the paper's Fig. 2."""

LOSSES, TESTS = 180, 45
"""Recorded training losses, and test losses and errors, over the experiment's steps, about."""

LONGER = 3
"""Times the experiment's steps that a linear rule gets: at its rate it comes down to the sign rules' final loss later."""

LEAST = 100
"""Fewest steps to the target that a fair rate may take: at a huge rate gradient descent gets there in one."""

LADDER = tuple(2.0**k for k in range(-3, 7))
"""Rates of the search, as multiples of the experiment's rate for the rule."""

SHOWN = 300
"""Recorded steps of the runs that figures and stage tables show, about."""


def comparison(
    experiment: Experiment, optimizers: Sequence[str] = RULES, *, seeds: int = 5, rates: Mapping[str, float] | None = None
) -> Study:
    """Return the study that runs one experiment under several rules: for each seed the same data, weights and test samples.

    Parameters
    ----------
    experiment : Experiment
        Setting, steps, and the rate of each rule (`Experiment.rule`).
    optimizers : sequence of str
        Rules as texts, for example "adam:0.9,eps=0".
    seeds : int, default 5
    rates : mapping of str to float, optional
        Rates of some of these texts, for example those of `fair_rates`; the others keep the experiment's.

    Returns
    -------
    Study
        Its plan "rules" makes a table with a row a rule and seed; its runs, recorded in full, are those of the experiment's own seed.

    Raises
    ------
    ValueError
        For an unknown rule, no rule, or one that is given twice.
    """
    if not optimizers:
        raise ValueError(f"optimizers=[] is empty: give rules, for example {','.join(RULES)}")
    points: list[dict[str, Any]] = []
    for text in optimizers:
        rule = experiment.rule(text)
        if any(point["optimizer"] == text for point in points):
            raise ValueError(f"optimizers: {text!r} is given twice")
        lr = rule.lr if rates is None or text not in rates else float(rates[text])
        steps = experiment.steps * (LONGER if rule.kind == "linear" else 1)
        points.append({"optimizer": text, "lr": lr, "steps": steps})
    loss_every, test_every = (max(1, experiment.steps // count) for count in (LOSSES, TESTS))
    measures = (
        Series("train_loss", loss_every, "train_loss"), *(Series(name, test_every, name) for name in ("test_loss", "test_error")),
        *(At(name, experiment.steps) for name in ("train_loss", "test_loss", "test_error")),
        *MEASURES["crossed"], *MEASURES["stages"], Underflow(),
    )
    every = max(1, experiment.steps // SHOWN)
    shown = {
        point["optimizer"]: experiment.vary({**point, "steps": experiment.steps}).replace(every=every, closely=SHOWN // 5)
        for point in points
    }
    doc = f"each rule for {experiment.steps} steps, linear ones for {LONGER} times as many"
    return Study(
        "Update rules side by side: the same data, weights and test samples", {"rules": Plan(experiment, points, seeds, measures, doc)},
        shown,
    )


def rate_search(experiment: Experiment, optimizers: Sequence[str] = RULES, *, target: float = EPS, seeds: int = 3) -> Plan:
    """Return the sweep from which `fair_rates` chooses: each rule at rates a factor 2 apart, until the training loss is `target`."""
    points = [
        {"optimizer": text, "lr": float(f"{experiment.rule(text).lr * factor:.6g}"), "steps": LONGER * experiment.steps}
        for text in optimizers for factor in LADDER
    ]
    return Plan(experiment, points, seeds, (f"reached=train_loss<={target:g}",), f"steps to a training loss of {target:g} at each rate")


def fair_rates(table: Table, least: int = LEAST) -> dict[str, tuple[float, float]]:
    """Choose each rule's learning rate on training loss alone.

    Of the rates searched, the one whose median number of steps to the target, over seeds, is smallest, among those that need at
    least `least` steps; a seed that does not get there, or diverges, counts as infinitely many.

    Parameters
    ----------
    table : Table
        What `rate_search` makes.
    least : int
        Fewest median steps to the target.

    Returns
    -------
    dict of str to (float, float)
        Rule, as a text, to its rate and the median number of steps.

    Raises
    ------
    ValueError
        If no rate of a rule gets there in `least` steps or more.
    """
    best: dict[str, tuple[float, float]] = {}
    for point, rows in table.points():
        median = float(np.median(np.where(np.isfinite(rows["reached"]), rows["reached"], np.inf)))
        if least <= median < best.get(point["optimizer"], (0.0, np.inf))[1]:
            best[point["optimizer"]] = (float(point["lr"]), median)
    for text in np.unique(table["optimizer"]).tolist():
        if text not in best:
            raise ValueError(f"no rate of {text} takes the training loss to the target in {least} steps or more: choose another target")
    return best


def fair_comparison(experiment: Experiment, optimizers: Sequence[str], table: Table, *, seeds: int = 5) -> Study:
    """Return the comparison at the rates of `fair_rates`, over as many steps as the first rule takes to the target.

    Signs of noise are then classified at 0.7 T_key of each rule's rate: the experiment's own step of classification was for its own rate.

    Parameters
    ----------
    experiment, optimizers, seeds
        As in `comparison`.
    table : Table
        What `rate_search` makes.
    """
    chosen = fair_rates(table)
    options = {name: value for name, value in experiment.options.items() if name != "classify_at"}
    shorter = experiment.replace(steps=int(np.ceil(chosen[optimizers[0]][1])), options=options)
    return comparison(shorter, optimizers, seeds=seeds, rates={text: lr for text, (lr, _) in chosen.items()})
