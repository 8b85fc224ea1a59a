"""The same data and weights under several update rules: the comparison of Fig. 2, and a fair choice of learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....experiment import Experiment
from ....measures import At, Series, Underflow
from ....study import Plan, Study
from ....sweep import Table
from ..claims.comparison import spacing
from ..measures import MEASURES
from ..predictions import EPS, predict

__all__ = ["LEAST", "LONGER", "RULES", "comparison", "fair_comparison", "fair_rates", "rate_search"]

RULES = ("signgd", "adam:0.9", "adam:0.5", "adam:0.0", "gd")
"""Rules of the paper's Fig. 2."""

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
        Seeds 0, 1, ... of each rule, >= 1.
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
    if experiment.steps < 2:
        raise ValueError(f"steps={experiment.steps} must be at least 2: a comparison is about courses")
    points: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for text in optimizers:
        rule = experiment.rule(text)
        if rates is not None and text in rates:
            rule = replace(rule, lr=float(rates[text]))
        same = seen.setdefault(repr(rule), text)
        if same != text or any(point["optimizer"] == text for point in points):
            raise ValueError(f"optimizers: {text!r} is given twice" if same == text else f"optimizers: {same!r} and {text!r} are one rule")
        points.append({"optimizer": text, "lr": rule.lr, "steps": experiment.steps * (LONGER if rule.kind == "linear" else 1)})
    experiment = _classified(experiment, points)
    names = ("train_loss", "test_loss", "test_error")
    measures = (
        *(Series(name, spacing(name, experiment.steps), name) for name in names), *(At(name, experiment.steps) for name in names),
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


def _classified(experiment: Experiment, points: Sequence[Mapping[str, Any]]) -> Experiment:
    """Return the experiment with one step at which signs are classified under all rules: its own, or 0.7 T_key of the first sign rule."""
    if "classify_at" in experiment.options:
        return experiment
    for point in points:
        if experiment.rule(point["optimizer"]).kind != "linear":
            T_key = predict(experiment.setting, lr=point["lr"]).T_key
            if np.isfinite(T_key):
                return experiment.replace(options={**experiment.options, "classify_at": round(0.7 * T_key)})
    return experiment


def rate_search(experiment: Experiment, optimizers: Sequence[str] = RULES, *, target: float = EPS, seeds: int = 5) -> Plan:
    """Return the sweep from which `fair_rates` chooses: each rule at rates a factor 2 apart, until the training loss is `target`.

    Parameters
    ----------
    experiment : Experiment
        Setting, steps (a run makes three times as many at most), and the rates around which is searched.
    optimizers : sequence of str
        Rules as texts, without a rate.
    target : float
        Training loss, > 0.
    seeds : int
        Seeds 0, 1, ... at each rate, >= 1.

    Raises
    ------
    ValueError
        For a target that is not a finite number > 0, or a rule whose text names a rate.
    """
    if not (np.isfinite(target) and target > 0):
        raise ValueError(f"target={target!r} must be a finite training loss > 0, for example {EPS:g}")
    for text in optimizers:
        if "lr=" in text:
            raise ValueError(f"optimizers: {text!r} names a rate, and rates are what is searched for: leave it out")
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
    found: dict[str, list[tuple[float, float]]] = {}
    for point, rows in table.points():
        median = float(np.median(np.where(np.isfinite(rows["reached"]), rows["reached"], np.inf)))
        found.setdefault(point["optimizer"], []).append((median, float(point["lr"])))
    chosen = {}
    for text, rates in found.items():
        fair = [(median, lr) for median, lr in rates if least <= median < np.inf]
        if not fair:
            reached = np.isfinite([median for median, _ in rates]).any()
            why = "every rate that gets there takes fewer: take a lower target" if reached else (
                "no rate gets there: take a higher target, or more steps")
            raise ValueError(f"{text} does not take the training loss to the target in {least} steps or more; {why}")
        median, lr = min(fair)
        chosen[text] = lr, median
    return chosen


def fair_comparison(experiment: Experiment, optimizers: Sequence[str], search: Plan, table: Table, *, seeds: int = 5) -> Study:
    """Return the comparison at the rates of `fair_rates`, over as many steps as the first rule takes to the target.

    Signs of noise are then classified at 0.7 T_key of the first sign rule's rate: the experiment's own step was for its own rate.

    Parameters
    ----------
    experiment, optimizers
        As in `comparison`.
    search : Plan
        What `rate_search` returns; the study lists it, so that its table is kept and told with the rest.
    table : Table
        What `search` makes.
    seeds : int, default 5
        As in `comparison`.
    """
    chosen = fair_rates(table)
    options = {name: value for name, value in experiment.options.items() if name != "classify_at"}
    shorter = experiment.replace(steps=int(np.ceil(chosen[optimizers[0]][1])), options=options)
    study = comparison(shorter, optimizers, seeds=seeds, rates={text: lr for text, (lr, _) in chosen.items()})
    searched = {text: table.where(optimizer=text)["lr"] for text in chosen}
    edges = [text for text, (lr, _) in chosen.items() if lr in (searched[text].min(), searched[text].max())]
    about = {"rates": {text: {"lr": lr, "median_steps": median} for text, (lr, median) in chosen.items()}, "least_steps": LEAST,
             "search": search.doc, "at_the_end_of_the_range": edges}
    return replace(study, plans={"rates": search, **study.plans}, about=about)
