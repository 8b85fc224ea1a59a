"""Claims about update rules side by side, on the table of `studies.comparison`: one row a rule and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....optimizers import Adam, GradientDescent, SignGD
from ....sweep import Table, changed
from ..presets import experiment

__all__ = ["CLAIMS", "Course", "courses", "is_adam", "is_gd", "is_signgd", "judged", "slopes", "spacing"]

PAGE = "docs/comparison.md"
FIGURE = "Fig. 2 (Adam behaves like SignGD, its loss curve bends; caption, as read here); numbers chosen here"
WINDOW = 50
"""Steps over which a local slope of the log loss is taken."""


FIGURE3 = experiment("figure3")
"""What the statements about curves and query noise are about: its setting, with disjoint supports or without, its rate and its steps."""
LOSSES = 180
"""Recorded training losses over the experiment's steps, about."""
SPACINGS = (1, 2, 5, 10, 25, 50)
"""Spacings of recorded training losses: they divide the steps over which local slopes are taken."""


def spacing(name: str, steps: int) -> int:
    """Return the steps between recorded numbers in a comparison over `steps`: test losses and errors at every fourth training loss."""
    of_loss = max(every for every in SPACINGS if every <= max(1, steps // LOSSES))
    return of_loss if name == "train_loss" else 4 * of_loss


@dataclass(frozen=True)
class Course:
    """What one rule did in every seed of a comparison.

    Attributes
    ----------
    text : str
        The rule as it was given.
    rule : Optimizer
    rows : Table
        Its rows, in the order of the seeds.
    """

    text: str
    rule: Any
    rows: Table

    def series(self, name: str) -> tuple[NDArray, NDArray]:
        """Return the steps, shape (T,), and the values, shape (seeds, T), of a recorded course, up to the rule's own horizon."""
        every = spacing(name, self.rows.experiment.steps)
        count = int(self.rows["steps"].max()) // every + 1
        return every * np.arange(count), self.rows[name][:, :count]


def courses(table: Table, which: Callable[[Any], bool] | None = None) -> list[Course]:
    """Return the courses of the rules that fit (default: all), in the order of the table; rows that failed are left out.

    Raises
    ------
    Inconclusive
        If there is none.
    """
    here, ran = table.experiment, table.rows(table["error"] == "")
    found = []
    for point, rows in ran.points():
        rule = here.vary({key: value for key, value in point.items() if key in ("optimizer", "lr")}).optimizer
        if which is None or which(rule):
            found.append(Course(point["optimizer"], rule, rows.rows(np.argsort(rows["seed"]))))
    if not found:
        raise Inconclusive(f"not compared: {'any rule' if which is None else (which.__doc__ or '').rstrip('.')}")
    return found


def judged(table: Table, which: Callable[[Any], bool], *names: str) -> list[Course]:
    """Return the courses that a claim about every seed is decided on: those at figure3's rate, if there are any.

    Raises
    ------
    Inconclusive
        If there is none, if one of them lacks a seed of the table, or if a recorded number of theirs is not finite.
    """
    found = courses(table, which)
    found = [course for course in found if course.rule.lr == FIGURE3.optimizer.lr] or found
    seeds = np.unique(table["seed"])
    for course in found:
        lost = np.setdiff1d(seeds, course.rows["seed"])
        if len(lost):
            raise Inconclusive(f"{course.text} failed in, or lacks, seeds {', '.join(map(str, lost))}: a claim about every seed needs all")
        for name in names:
            good = np.isfinite(course.series(name)[1]).all(axis=1)
            if not good.all():
                raise Inconclusive(f"{name} of {course.text} is not finite throughout in seed {course.rows['seed'][np.argmin(good)]}")
    return found


def is_signgd(rule: Any) -> bool:
    """SignGD without momentum (signgd)."""
    return isinstance(rule, SignGD) and not rule.momentum


def is_adam(rule: Any) -> bool:
    """Adam with beta2 >= 0.99 (adam:0.9)."""
    return isinstance(rule, Adam) and rule.beta2 >= 0.99


def is_gd(rule: Any) -> bool:
    """Gradient descent without momentum (gd)."""
    return isinstance(rule, GradientDescent) and not rule.momentum


def _horizon(table: Table) -> int:
    return int(table.experiment.steps)


def slopes(steps: NDArray, loss: NDArray, window: int = WINDOW) -> tuple[NDArray, NDArray]:
    """Return the decay rate of the loss, -d log L / dt over `window` steps, in its middle: steps (T,) and rates (seeds, T).

    Raises
    ------
    Inconclusive
        If the course is too short to have two such windows.
    """
    if len(steps) < 2 or steps[-1] < 2 * window:
        raise Inconclusive(f"the runs are {int(steps[-1])} steps long: a local slope over {window} steps needs twice as many")
    apart, rest = divmod(window, int(steps[1] - steps[0]))
    if rest:
        raise Inconclusive(f"losses recorded every {int(steps[1] - steps[0])} steps have no two that are {window} steps apart")
    logs = np.log(loss)
    return (steps[apart:] + steps[:-apart]) / 2, (logs[:, :-apart] - logs[:, apart:]) / (steps[apart:] - steps[:-apart])


def _row(steps: NDArray, step: int) -> int:
    """Return the row of the last recorded step up to `step`."""
    return int(np.searchsorted(steps, step, side="right")) - 1


def _mean_rate(steps: NDArray, loss: NDArray, first: int, last: int) -> NDArray:
    i, j = _row(steps, first), _row(steps, last)
    return (np.log(loss[:, i]) - np.log(loss[:, j])) / (steps[j] - steps[i])


def _late_over_middle(course: Course, horizon: int) -> NDArray:
    """Mean decay rate over the last third of the run against the middle third, shape (seeds,)."""
    steps, loss = course.series("train_loss")
    third = horizon // 3
    return _mean_rate(steps, loss, 2 * third, horizon) / _mean_rate(steps, loss, third, 2 * third)


def _last_over_steepest(course: Course, horizon: int) -> NDArray:
    """Decay rate over the last 50 steps against the steepest 50 steps, shape (seeds,)."""
    steps, loss = course.series("train_loss")
    kept = steps <= horizon
    rates = slopes(steps[kept], loss[:, kept])[1]
    return rates[:, -1] / rates.max(axis=1)


def _worst(found: list[tuple[Course, NDArray]], far: Callable[[NDArray], NDArray]) -> tuple[float, str]:
    """Return the value farthest out over rules and seeds, and where it is."""
    for course, values in found:
        if not np.isfinite(values).all():
            seed = course.rows["seed"][np.argmin(np.isfinite(values))]
            raise Inconclusive(f"the slopes of {course.text} in seed {seed} have no ratio: its loss stands still or is 0")
    course, values = max(found, key=lambda item: float(np.max(far(item[1]))))
    i = int(np.argmax(far(values)))
    means = ", ".join(f"{c.text} {v.mean():.3g}" for c, v in found)
    return float(values[i]), f"{course.text}, seed {course.rows['seed'][i]}; means over {len(values)} seeds: {means}"


def _straight(evidence: Any) -> Measured:
    table = evidence["rules"]
    value, where = _worst([(c, _late_over_middle(c, _horizon(table))) for c in judged(table, is_signgd, "train_loss")],
                          lambda x: np.abs(x - 1.0))
    return Measured(value, 1.0, abs(value - 1.0), 0.1, where, "of the slope before")


def _keeps_slope(evidence: Any) -> Measured:
    table = evidence["rules"]
    found = [(c, _last_over_steepest(c, _horizon(table))) for c in judged(table, is_signgd, "train_loss")]
    value, where = _worst(found, lambda x: -x)
    return Measured(value, 1.0, 1.0 - value, 0.2, where, "of the steepest slope")


def _bends(measure: Callable[[Course, int], NDArray], most: float, unit: str, evidence: Any) -> Measured:
    table = evidence["rules"]
    value, where = _worst([(c, measure(c, _horizon(table))) for c in judged(table, is_adam, "train_loss")], lambda x: x)
    return Measured(value, most, value, most, where, unit)


def _adams_coincide(evidence: Any) -> Measured:
    groups: dict[tuple[float, float, float], list[Course]] = {}
    for course in judged(evidence["rules"], is_adam, "train_loss"):
        groups.setdefault((course.rule.lr, course.rule.beta2, course.rule.eps), []).append(course)
    same = [found for found in groups.values() if len({course.rule.beta1 for course in found}) > 1]
    if not same:
        raise Inconclusive("fewer than two Adam rules that differ in beta1 alone: give adam:0.9,adam:0.5,adam:0.0")
    worst, where = -1.0, ""
    for found in same:
        steps = found[0].series("train_loss")[0]
        losses = np.stack([course.series("train_loss")[1] for course in found])
        if not (losses > 0).all():
            raise Inconclusive("a training loss is 0: there is no ratio of losses")
        spread = losses.max(axis=0) / losses.min(axis=0) - 1.0
        seed, t = np.unravel_index(np.argmax(spread), spread.shape)
        if spread[seed, t] > worst:
            worst = float(spread[seed, t])
            where = f"seed {found[0].rows['seed'][seed]}, step {steps[t]}, of {', '.join(c.text for c in found)}; {len(spread)} seeds"
    return Measured(worst, 0.0, worst, 0.1, where, "of the smaller loss")


def _crossed(which: Callable[[Any], bool], evidence: Any, *, least: float | None = None, most: float | None = None) -> Measured:
    pooled: dict[str, tuple[float, NDArray]] = {}
    for course in judged(evidence["rules"], which):
        pairs = course.rows["crossable"]
        some = pairs > 0
        if not some.any():
            raise Inconclusive(f"{course.text}: no query noise is against its row at the step of classification, or the run ends before")
        share = course.rows["crossed"][some]
        if not np.isfinite(share).all():
            raise Inconclusive(f"crossed of {course.text} is not known in seed {course.rows['seed'][some][np.argmin(np.isfinite(share))]}")
        pooled[course.text] = float(np.average(share, weights=pairs[some])), share
    text, (value, share) = (min if least is not None else max)(pooled.items(), key=lambda item: item[1][0])
    where = f"{text}, all pairs of {len(share)} seeds; seeds {share.min():.3f} to {share.max():.3f}"
    if least is not None:
        return Measured(value, least, 1.0 - value, 1.0 - least, where, "of the pairs")
    assert most is not None
    return Measured(value, most, value, most, where, "of the pairs")


def _test_errors(table: Table, sign: Course, descent: Course) -> tuple[NDArray, NDArray]:
    """Return test errors of SignGD at the experiment's last step, and of gradient descent at the same training loss, each (seeds,)."""
    horizon = _horizon(table)
    steps, loss = sign.series("train_loss")
    target = loss[:, _row(steps, horizon)]
    steps, loss = descent.series("train_loss")
    there = loss <= target[:, None]
    if not there.any(axis=1).all():
        which = ", ".join(str(s) for s in descent.rows["seed"][~there.any(axis=1)])
        raise Inconclusive(f"{descent.text} does not reach {sign.text}'s final training loss within {steps[-1]} steps in seeds {which}")
    at, errors = descent.series("test_error")
    row = np.minimum(np.searchsorted(at, steps[np.argmax(there, axis=1)]), len(at) - 1)
    sign_at, sign_errors = sign.series("test_error")
    return sign_errors[:, _row(sign_at, horizon)], errors[np.arange(len(errors)), row]


def _generalises(over: Callable[[NDArray], Any], most: float, evidence: Any) -> Measured:
    table, names = evidence["rules"], ("train_loss", "test_error")
    found = []
    for sign in judged(table, is_signgd, *names):
        for descent in judged(table, is_gd, *names):
            of_sign, of_descent = _test_errors(table, sign, descent)
            if not of_sign.all():
                raise Inconclusive(f"{sign.text} makes no mistake on the test set in some seed: there is no ratio of errors")
            ratio = of_descent / of_sign
            where = (f"{descent.text} at the final training loss of {sign.text}; {len(ratio)} seeds, test errors {of_descent.mean():.3f} "
                     f"against {of_sign.mean():.3f}, largest ratio in seed {sign.rows['seed'][np.argmax(ratio)]}")
            found.append((float(over(ratio)), where))
    value, where = max(found)
    return Measured(value, most, value, most, where, "of the test error of SignGD")


def _is_limit(rule: Any) -> bool:
    """Adam with beta1 = beta2 = eps = 0 (adam:0,0,0)."""
    return isinstance(rule, Adam) and rule.beta1 == rule.beta2 == rule.eps == 0.0


FEWEST = 10
"""Recorded losses of a seed, after the first step, on which equality to the bit is worth saying."""


def _limit(evidence: Any) -> Measured:
    table = evidence["rules"]
    limit, sign = courses(table, _is_limit)[0], courses(table, is_signgd)[0]
    if limit.rule.lr != sign.rule.lr or not np.array_equal(limit.rows["seed"], sign.rows["seed"]):
        raise Inconclusive("SignGD and Adam with beta1 = beta2 = eps = 0 have different rates or seeds")
    steps, ours = limit.series("train_loss")
    theirs = sign.series("train_loss")[1]
    until = np.where(np.isfinite(limit.rows["underflow"]), limit.rows["underflow"], np.inf)
    compared = (steps > 0) & (steps <= until[:, None]) & np.isfinite(ours) & np.isfinite(theirs)
    if compared.sum(axis=1).min() < FEWEST:
        raise Inconclusive(f"in some seed fewer than {FEWEST} recorded losses come before the first underflow (step {until.min():.0f})")
    differ = float(((ours != theirs) & compared).sum())
    first = "no gradient entry underflows" if np.isinf(until).all() else f"first underflow at step {int(until.min())}"
    where = f"{int(compared.sum())} losses after the start, {len(ours)} seeds; {first}"
    return Measured(differ, 0.0, differ, 0.5, where, "losses that differ")


def _with(which: Callable[[Any], bool], name: str, change: Callable[[NDArray], NDArray]) -> Callable[[Any], Any]:
    """Return a negative control: the same table with one column changed in the rows of some rules."""

    def column(table: Table) -> NDArray:
        picked = {course.text for course in courses(table, which)}
        out = np.array(table[name])
        rows = np.isin(table["optimizer"], list(picked))
        out[rows] = change(out[rows])
        return out

    return changed("rules", **{name: column})


def _bent(loss: NDArray) -> NDArray:
    """Losses whose logarithm is the square root of what it was: a straight line bends."""
    return np.exp(-np.sqrt(np.maximum(-np.log(loss), 0.0)))


def _straightened(loss: NDArray) -> NDArray:
    """Losses whose logarithm is straight."""
    steps = np.arange(loss.shape[1])
    return np.where(np.isfinite(loss), 0.7 * np.exp(-4.0 * steps / steps[-1]), np.nan)


def _late(loss: NDArray) -> NDArray:
    """Losses that differ in their last digits once the run has begun."""
    return np.concatenate([loss[:, :2], loss[:, 2:] * (1.0 + 1e-15)], axis=1)


def _at_figure3(which: Callable[[Any], bool]) -> Assumption:
    """The rules in question run as in the preset that the statement is about."""

    def met(evidence: Mapping[str, Any]) -> bool:
        table = evidence["rules"]
        try:
            found = courses(table, which)
        except Inconclusive:
            return False
        here = table.experiment
        same = {**here.setting.to_dict(), "disjoint": None} == {**FIGURE3.setting.to_dict(), "disjoint": None}
        return same and here.steps == FIGURE3.steps and any(course.rule.lr == FIGURE3.optimizer.lr for course in found)

    return Assumption(f"{(which.__doc__ or '').rstrip('.')} at the setting, the rate and the steps of figure3", met)


LOSS, CROSSED = {"rules": ("train_loss",)}, {"rules": ("crossed", "crossable")}

CLAIMS = (
    Claim(
        "adam_losses_coincide", "Adam's training losses for several beta1 are within 10 % of one another over the whole run",
        _adams_coincide, Source("paper", FIGURE), r"L_{\beta_1} \approx L_{\beta_1'}", LOSS, (_at_figure3(is_adam),),
        _with(lambda rule: is_adam(rule) and rule.beta1 == 0.0, "train_loss", lambda loss: 1.2 * loss),
    ),
    Claim(
        "signgd_loss_straight", "SignGD's log loss is straight: its mean slope over the last third of the run is within 10 % of that over "
        "the middle third, in every seed", _straight, Source("paper", FIGURE), r"\log L \propto -t", LOSS, (_at_figure3(is_signgd),),
        _with(is_signgd, "train_loss", _bent),
    ),
    Claim(
        "signgd_loss_keeps_slope", "the last 50 steps of SignGD's log loss have at least 0.8 of its steepest slope, in every seed",
        _keeps_slope, Source("ours", PAGE), "", LOSS, (_at_figure3(is_signgd),), _with(is_signgd, "train_loss", _bent),
    ),
    Claim(
        "adam_loss_bends", "Adam's log loss bends: its mean slope over the last third of the run is below 0.7 of that over the middle "
        "third, in every seed and for every beta1", partial(_bends, _late_over_middle, 0.7, "of the slope before"), Source("paper", FIGURE),
        r"\log L \text{ sublinear}", LOSS, (_at_figure3(is_adam),), _with(is_adam, "train_loss", _straightened),
    ),
    Claim(
        "adam_loss_slows", "the last 50 steps of Adam's log loss have less than half of its steepest slope, in every seed and for every "
        "beta1",
        partial(_bends, _last_over_steepest, 0.5, "of the steepest slope"), Source("ours", PAGE), "", LOSS, (_at_figure3(is_adam),),
        _with(is_adam, "train_loss", _straightened),
    ),
    Claim(
        "signgd_query_noise_crosses", "under SignGD at least 95 % of query noise against its row has changed sign by the end",
        partial(_crossed, is_signgd, least=0.95), Source("paper", "Lemma 4.7 (title) and Fig. 2; share and classification chosen here"), "",
        CROSSED, (_at_figure3(is_signgd),), _with(is_signgd, "crossed", lambda share: 0.9 * share),
    ),
    Claim(
        "adam_query_noise_stays", "under Adam (beta2 >= 0.99) at most 2 % of query noise against its row has changed sign by the end",
        partial(_crossed, is_adam, most=0.02), Source("paper", "Fig. 2 (negative query noise does not turn under Adam); share chosen here"),
        "", CROSSED, (_at_figure3(is_adam),), _with(is_adam, "crossed", lambda share: 1.0 - share),
    ),
    Claim(
        "gd_generalises_in_every_seed", "stopped at SignGD's final training loss, gradient descent has at most 0.35 of its test error, in "
        "every seed", partial(_generalises, np.max, 0.35),
        Source("paper", "Fig. 2 (GD generalises on the same data; ratio chosen here)"), "",
        {"rules": ("train_loss", "test_error")}, (), _with(is_gd, "test_error", lambda error: error + 0.2),
    ),
    Claim(
        "gd_generalises_on_average", "the same ratio of test errors is at most 0.25 on average over seeds",
        partial(_generalises, np.mean, 0.25), Source("paper", "Fig. 2 (GD generalises on the same data; ratio chosen here)"), "",
        {"rules": ("train_loss", "test_error")}, (), _with(is_gd, "test_error", lambda error: error + 0.2),
    ),
    Claim(
        "adam_is_signgd_in_the_limit", "Adam with beta1 = beta2 = eps = 0 has SignGD's training losses to the bit until a gradient entry "
        "underflows", _limit, Source("derived", "docs/derivations/adam.md"), r"\beta_1 = \beta_2 = \epsilon = 0",
        {"rules": ("train_loss", "underflow")}, (), _with(_is_limit, "train_loss", _late),
    ),
)
"""Claims about rules side by side."""
