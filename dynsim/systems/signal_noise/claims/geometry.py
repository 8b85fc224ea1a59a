"""Claims about the study that tells data noise from the update rule: same data and weights, three rules, noise from large to none.

Equation numbers are those of docs/derivations/geometry.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....claims import Assumption, Claim, Inconclusive, Measured, Source
from ....scaling import fit_power_law, mean_interval
from ....sweep import Table, changed
from ..data import draw_data
from ..geometry import cleaner, fresh_error, ratio_bounds

__all__ = ["CLAIMS", "ERROR", "LEVEL", "MEASURED", "RULES", "Ratios", "mean_errors", "noise_at", "ratios"]

SIGNGD, ADAM, GD = RULES = ("signgd", "adam:0.9,eps=0", "gd")
"""Rules as the study compares them: at the preset's rate, gradient descent at its own."""

LEVEL = "train_loss<0.05"
"""When rules are compared: at equal training loss."""

SIGNAL, NOISE, TEST = (f"{name}@{LEVEL}" for name in ("mean_value_signal", "mean_value_noise_mean", "test_error"))
MEASURED = (LEVEL, SIGNAL, NOISE, TEST, f"test_loss@{LEVEL}", f"softmax_11_mean@{LEVEL}")
"""What the study measures."""

ERROR = 0.1
"""Test error at which the noise that two rules may have is compared."""

FROZEN = ("undecided", "signal")
"""Sweeps in which attention stays undecided."""

Evidence = Mapping[str, Any]


class Ratios(NamedTuple):
    """Mean value signal over mean value noise at one point: one number a seed, and between what it should lie."""

    point: dict[str, Any]
    kind: str
    value: NDArray
    low: NDArray
    high: NDArray


@contextmanager
def _or_inconclusive() -> Iterator[None]:
    """Let what is missing, rows or a prediction, decide nothing: the error says what."""
    try:
        yield
    except ValueError as reason:
        raise Inconclusive(str(reason)) from None


def _reached(table: Table, **values: Any) -> Table:
    """Return the rows with some values, of which there must be some and all must have come to the training loss."""
    with _or_inconclusive():
        found = table.where(**values)
    if not found.cells:
        raise Inconclusive(f"no row has {' and '.join(f'{name}={value!r}' for name, value in values.items())}")
    missing = int(np.isnan(found[LEVEL]).sum())
    if missing:
        raise Inconclusive(f"{missing} of {found.cells} runs do not reach {LEVEL}{': ' + found.errors[0] if found.errors else ''}")
    return found


def ratios(table: Table, rule: str) -> Iterator[Ratios]:
    """Yield mean value signal over mean value noise, with `ratio_bounds` of each seed's own data, at all points of a rule."""
    for point, rows in _reached(table, optimizer=rule).points():
        varied = table.experiment.vary(point)
        kind = varied.optimizer.kind
        bounds = [ratio_bounds(kind, draw_data(varied.setting, int(seed)).norms()) for seed in rows["seed"]]
        low, high = np.array(bounds).T
        yield Ratios(point, kind, rows[SIGNAL] / rows[NOISE], low, high)


def mean_errors(table: Table, rule: str, name: str) -> tuple[NDArray, NDArray]:
    """Return the values of a variable in ascending order, and a rule's test error at equal training loss, mean over seeds."""
    part = _reached(table, optimizer=rule)
    values = np.unique(part[name])
    return values, np.array([part.where(**{name: value})[TEST].mean() for value in values])


def noise_at(table: Table, rule: str, error: float = ERROR) -> float:
    """Return the smallest noise level at which a rule's mean test error is `error`, interpolated in the logarithm of the noise."""
    sigma_p, errors = mean_errors(table, rule, "sigma_p")
    above = np.flatnonzero(errors >= error)
    if not len(above) or above[0] == 0:
        raise Inconclusive(f"{rule}: the test error does not pass {error:g} between the noise levels of the sweep")
    i = above[0]
    share = (error - errors[i - 1]) / (errors[i] - errors[i - 1])
    return float(sigma_p[i - 1] * (sigma_p[i] / sigma_p[i - 1]) ** share)


def _at(point: Mapping[str, Any]) -> str:
    shown = {name: value if isinstance(value, str) else format(value, "g") for name, value in point.items() if name != "steps"}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


# -- mean value signal over mean value noise ------------------------------------------------------------------------------------


def _worst(found: Iterator[Ratios], deviation: Callable[[Ratios], float], tolerance: float, what: str) -> Measured:
    """Return the point with the largest deviation, in units of the prediction."""
    at = max(found, key=deviation)
    where = f"{_at(at.point)}, the worst point; {what}"
    return Measured(float(at.value.mean()), float(at.low.mean()), max(0.0, deviation(at)), tolerance, where)


def _both(evidence: Evidence, rule: str) -> Iterator[Ratios]:
    for entry in FROZEN:
        yield from ratios(evidence[entry], rule)


def _each(at: Ratios) -> float:
    return float(np.abs(at.value / at.low - 1.0).max())


def _mean(at: Ratios) -> float:
    return abs(float((at.value / at.low).mean()) - 1.0)


def _outside(at: Ratios) -> float:
    return float(np.maximum(at.low / at.value - 1.0, at.value / at.high - 1.0).max())


def _sign_ratio(evidence: Evidence) -> Measured:
    """Measure how far SignGD's ratio is from equation (2)."""
    return _worst(_both(evidence, SIGNGD), _each, 1e-9, "worst seed")


def _adam_ratio(evidence: Evidence) -> Measured:
    """Measure how far Adam's ratio is from equation (3)."""
    return _worst(_both(evidence, ADAM), _each, 0.1, "worst seed")


def _gd_ratio(evidence: Evidence) -> Measured:
    """Measure how far gradient descent's ratio is outside of equation (6)."""
    return _worst(_both(evidence, GD), _outside, 1e-9, "worst seed, outside its bounds")


def _sign_ratio_complete(evidence: Evidence) -> Measured:
    return _worst(ratios(evidence["complete"], SIGNGD), _mean, 0.05, "mean over seeds")


def _adam_freezes(evidence: Evidence) -> Measured:
    """Measure the power of the noise in Adam's ratio, against that of equation (10)."""
    table = _reached(evidence["complete"], optimizer=ADAM)
    noisy = table.rows(_l1(table) > 2)
    columns = {"sigma_p": noisy["sigma_p"], "seed": noisy["seed"], "ratio": noisy[SIGNAL] / noisy[NOISE]}
    with _or_inconclusive():  # one noise level only
        found = fit_power_law(columns, "ratio", "sigma_p")["sigma_p"]
    if not np.isfinite([found.low, found.high]).all():
        raise Inconclusive("one seed: give several, for an interval")
    where = f"95 % interval [{found.low:.3f}, {found.high:.3f}], factor {found.factor:.3g}, where a > 2 |mu|"
    return Measured(found.value, -0.5, max(abs(found.low + 0.5), abs(found.high + 0.5)), 0.1, where)


def _l1(table: Table) -> NDArray:
    """Typical l1 norm of a noise token over that of the signal, row by row."""
    at = table.experiment.setting
    return table["sigma_p"] * at.s * np.sqrt(2.0 / np.pi) / at.mu_norm


# -- test error -----------------------------------------------------------------------------------------------------------------


def _fresh_error(evidence: Evidence) -> Measured:
    worst = Measured(np.nan, np.nan, -1.0, 0.03)
    for entry in FROZEN:
        for rule in RULES:
            for point, rows in _reached(evidence[entry], optimizer=rule).points():
                varied = evidence[entry].experiment.vary(point)
                with _or_inconclusive():
                    measured, predicted = float(rows[TEST].mean()), fresh_error(varied.optimizer.kind, varied.setting)
                if abs(measured - predicted) > worst.deviation:
                    worst = Measured(measured, predicted, abs(measured - predicted), 0.03, f"{_at(point)}, the worst point")
    return worst


def _cleaner(entry: str, evidence: Evidence) -> Measured:
    table = evidence[entry]
    sign, linear = noise_at(table, SIGNGD), noise_at(table, GD)
    with _or_inconclusive():
        predicted = cleaner(table.experiment.setting, ERROR)
    where = f"test error {ERROR:g} at sigma_p = {sign:.3g} (SignGD) and {linear:.3g} (GD)"
    return Measured(linear / sign, predicted, abs(linear / sign / predicted - 1.0), 0.2, where, "times")


def _levels(table: Table) -> tuple[float, float]:
    """Return the least and the most noise of a sweep."""
    if not table.cells:
        raise Inconclusive("the sweep has no row")
    return float(table["sigma_p"].min()), float(table["sigma_p"].max())


def _noise_removed(evidence: Evidence) -> Measured:
    table = evidence["complete"]
    least, _ = _levels(table)
    errors = {rule: float(_reached(table, optimizer=rule, sigma_p=least)[TEST].mean()) for rule in RULES}
    worst = max(errors, key=lambda rule: errors[rule])
    return Measured(errors[worst], 0.0, errors[worst], 0.01, f"{worst} at sigma_p = {least:g}, the worst rule")


def _paired(pairs: Mapping[str, tuple[Table, Table]]) -> Measured:
    """Judge that every first has the larger test error, by the 95 % interval of the mean difference, seed by seed.

    The deviation is the half-width in units of the mean where the interval lies above 0, and 2 less its upper end where it lies at or
    below 0. An interval with 0 inside decides nothing, but hides no other pair that does.
    """
    worst, wide = Measured(np.nan, 0.0, -1.0, 1.0), []
    for name, (first, second) in pairs.items():
        if not np.array_equal(first["seed"], second["seed"]):
            raise Inconclusive(f"{name}: the seeds are not the same")
        with _or_inconclusive():
            low, high = mean_interval(first[TEST] - second[TEST])
        if not np.isfinite([low, high]).all():
            raise Inconclusive("one seed: give several, for an interval")
        where = f"{name}: 95 % interval [{low:.3f}, {high:.3f}], {first.cells} seeds"
        if low <= 0 < high:
            wide.append(where)
            continue
        deviation = (high - low) / (high + low) if low > 0 else 2.0 - high
        if deviation > worst.deviation:
            worst = Measured(0.5 * (low + high), 0.0, deviation, 1.0, f"{where}; the closest", "difference of test errors")
    if wide and worst.deviation <= worst.tolerance:
        raise Inconclusive(f"0 lies inside the interval: {'; '.join(wide)}; more seeds narrow it")
    return worst


def _rule_matters(evidence: Evidence) -> Measured:
    table = evidence["complete"]
    noise = table.experiment.setting.sigma_p
    runs = {rule: _reached(table, optimizer=rule, sigma_p=noise) for rule in RULES}
    return _paired({f"{rule} less gd at sigma_p = {noise:g}": (runs[rule], runs[GD]) for rule in (SIGNGD, ADAM)})


def _noise_matters(evidence: Evidence) -> Measured:
    table = evidence["complete"]
    least, most = _levels(table)
    if least == most:
        raise Inconclusive(f"one noise level only, sigma_p = {least:g}")
    ends = {rule: tuple(_reached(table, optimizer=rule, sigma_p=noise) for noise in (most, least)) for rule in RULES}
    return _paired({f"{rule}, sigma_p {most:g} less {least:g}": (loud, quiet) for rule, (loud, quiet) in ends.items()})


def _adam_like_sign(evidence: Evidence) -> Measured:
    table = evidence["complete"]
    noise = table.experiment.setting.sigma_p
    sign, adam, linear = (float(_reached(table, optimizer=rule, sigma_p=noise)[TEST].mean()) for rule in RULES)
    share = abs(adam - sign) / max(abs(adam - linear), 1e-9)
    return Measured(share, 0.0, share, 0.5, f"test errors at sigma_p = {noise:g}: {sign:.3f}, {adam:.3f}, {linear:.3f} (SignGD, Adam, GD)",
                    "of Adam's distance from gradient descent")


# -- claims ---------------------------------------------------------------------------------------------------------------------


def _is_disjoint(evidence: Evidence) -> bool:
    return all(evidence[entry].experiment.setting.disjoint for entry in (*FROZEN, "complete") if entry in evidence)


def _is_undecided(evidence: Evidence) -> bool:
    return all(evidence[entry].experiment.setting.sigma_0 == 0.0 for entry in FROZEN if entry in evidence)


def _noise_is_nothing(evidence: Evidence) -> bool:
    return bool(np.any(_l1(evidence["complete"]) < 0.1))


def _steps_are_small(evidence: Evidence) -> bool:
    """The map from one step's value noise to the next is increasing, so that their order is kept: equation (6)."""
    for entry in FROZEN:
        table = evidence[entry]
        for point, rows in table.points():
            if point["optimizer"] == GD:
                varied = table.experiment.vary(point)
                at = varied.setting
                largest = max(float((draw_data(at, int(seed)).norms()["noise_l2"] ** 2).max()) for seed in rows["seed"])
                if varied.optimizer.lr * largest / (2 * at.m_v * at.n) > 1.0:
                    return False
    return True


DISJOINT = Assumption("pairwise disjoint supports", _is_disjoint)
UNDECIDED = Assumption("initial weights are 0: softmax outputs stay 1/2", _is_undecided)
QUIET = Assumption("noise is nothing at the smallest noise level: a < |mu| / 10", _noise_is_nothing)
SMALL_STEPS = Assumption("2 lr max|xi_i|^2 / m_v <= 4n: gradient descent keeps the order of value noise", _steps_are_small)


def _louder(factor: float, *entries: str) -> Callable[[Evidence], Evidence]:
    """Return a negative control: the mean value signal multiplied by a factor."""

    def control(evidence: Evidence) -> Evidence:
        for entry in entries:
            evidence = changed(entry, **{SIGNAL: lambda table: factor * table[SIGNAL]})(evidence)
        return evidence

    return control


def _swapped(*entries: str) -> Callable[[Evidence], Evidence]:
    """Return a negative control: SignGD's and gradient descent's results under each other's name."""

    def swap(table: Table) -> NDArray:
        rule = table["optimizer"]
        return np.where(rule == SIGNGD, GD, np.where(rule == GD, SIGNGD, rule))

    def control(evidence: Evidence) -> Evidence:
        for entry in entries:
            evidence = changed(entry, optimizer=swap)(evidence)
        return evidence

    return control


def _flat(table: Table) -> NDArray:
    """Test errors as if noise did not matter: each rule's at the largest noise level, everywhere."""
    most = table["sigma_p"].max()
    errors = {rule: table.where(optimizer=rule, sigma_p=most)[TEST].mean() for rule in RULES}
    return np.array([errors[rule] for rule in table["optimizer"]])


PAGE = "docs/derivations/geometry.md"


def _derived(number: str) -> Source:
    return Source("derived", f"{PAGE}, {number}")


NEEDS = ("optimizer", LEVEL, SIGNAL, NOISE)
TESTED = ("optimizer", LEVEL, TEST)
OURS = Source("ours", f"{PAGE}, section 4")
CLEANER = "Experiments (titles, reviews: Adam and SignGD need cleaner data than GD, noise is not the only cause); comparison chosen here"
LIKE_SIGN = "Fig. 2 (caption: Adam behaves like SignGD); comparison and factor chosen here"

CLAIMS = (
    Claim(
        "geometry_sign_ratio", "attention undecided: SignGD's mean value signal over noise is |mu|_1 over the mean |xi_i|_1, in every run",
        _sign_ratio, _derived("equation (2)"), r"A/\bar B = \|\mu\|_1 / \overline{\|\xi_i\|_1}",
        {"undecided": NEEDS, "signal": NEEDS}, (DISJOINT, UNDECIDED), _louder(1.01, "undecided"),
    ),
    Claim(
        "geometry_adam_ratio", "attention undecided: Adam (eps = 0) has SignGD's ratio, in every run within 10 %", _adam_ratio,
        _derived("equation (3)"), r"A/\bar B \approx \|\mu\|_1 / \overline{\|\xi_i\|_1}",
        {"undecided": NEEDS, "signal": NEEDS}, (DISJOINT, UNDECIDED), _louder(1.25, "undecided"),
    ),
    Claim(
        "geometry_gd_ratio", "attention undecided: gradient descent's ratio is n|mu|^2 over a mean of |xi_i|^2, between the harmonic and "
        "the arithmetic one, in every run", _gd_ratio, _derived("equation (6)"),
        r"\frac{n\|\mu\|_2^2}{\overline{\|\xi_i\|_2^2}} \le \frac{A}{\bar B} \le \|\mu\|_2^2 \sum_i \frac{1}{\|\xi_i\|_2^2}",
        {"undecided": NEEDS, "signal": NEEDS}, (DISJOINT, UNDECIDED, SMALL_STEPS), _louder(1.25, "undecided"),
    ),
    Claim(
        "geometry_test_error", "attention undecided: the test error of every rule, at every noise and signal, is the predicted one (mean "
        "over seeds within 0.03)", _fresh_error, _derived("equation (8)"),
        r"\mathbb E\,\Phi(-\|\mu\|/(\sigma_p\sqrt K)), \ \mathbb E\,\Phi(-n\|\mu\|^2/(\sigma_p^2 R))",
        {"undecided": TESTED, "signal": TESTED}, (DISJOINT, UNDECIDED), _swapped("undecided"),
    ),
    Claim(
        "geometry_cleaner", f"attention undecided: for test error {ERROR:g} SignGD needs noise smaller than gradient descent does by the "
        "predicted factor (within 20 %)", partial(_cleaner, "undecided"), _derived("equation (9)"),
        r"\sigma_p^{GD}/\sigma_p^{sign} \approx \sqrt{n t \sqrt K}", {"undecided": TESTED}, (DISJOINT,), _swapped("undecided"),
    ),
    Claim(
        "geometry_sign_ratio_complete", "complete model: SignGD's ratio is the same, whatever attention does (mean over seeds within 5 %)",
        _sign_ratio_complete, _derived("equation (2)"), r"A/\bar B \approx \|\mu\|_1 / \overline{\|\xi_i\|_1}",
        {"complete": NEEDS}, (DISJOINT,), _louder(1.1, "complete"),
    ),
    Claim(
        "geometry_cleaner_complete", f"complete model: the factor between SignGD and gradient descent at test error {ERROR:g} is the same "
        "(within 20 %), although it was derived for undecided attention only", partial(_cleaner, "complete"), OURS,
        r"\sigma_p^{GD}/\sigma_p^{sign} \approx \sqrt{n t \sqrt K}", {"complete": TESTED}, (DISJOINT,), _swapped("complete"),
    ),
    Claim(
        "geometry_adam_freezes", "complete model: Adam's ratio grows as sigma_p to the power -1/2 only, since its signal stops when "
        "attention leaves it: the whole 95 % interval within 0.1", _adam_freezes, _derived("equation (10)"),
        r"A/\bar B \propto \sigma_p^{-1/2}", {"complete": NEEDS}, (DISJOINT,),
        changed("complete", **{SIGNAL: lambda table: table[SIGNAL] * table["sigma_p"] ** -0.5}),
    ),
    Claim(
        "geometry_noise_removed", "complete model: without noise every rule generalises (test error at most 0.01 at the smallest noise)",
        _noise_removed, OURS, r"\mathrm{err}_{test} \to 0", {"complete": TESTED}, (QUIET,), changed("complete", **{TEST: _flat}),
    ),
    Claim(
        "geometry_rule_matters", "complete model: at the preset's noise, on the same data and weights, gradient descent's test error is "
        "below SignGD's and Adam's (paired 95 % intervals)", _rule_matters, Source("paper", CLEANER),
        r"\mathrm{err}_{GD} < \mathrm{err}_{sign}, \mathrm{err}_{Adam}", {"complete": TESTED}, (), _swapped("complete"),
    ),
    Claim(
        "geometry_noise_matters", "complete model: for every rule the test error is larger with the most noise than with the least (paired "
        "95 % intervals)", _noise_matters, OURS,
        r"\mathrm{err}(\max\sigma_p) > \mathrm{err}(\min\sigma_p)", {"complete": TESTED}, (), changed("complete", **{TEST: _flat}),
    ),
    Claim(
        "geometry_adam_like_sign", "complete model: at the preset's noise Adam's test error is nearer to SignGD's than to gradient "
        "descent's, by a factor 2 or more", _adam_like_sign, Source("paper", LIKE_SIGN),
        r"|\mathrm{err}_{Adam} - \mathrm{err}_{sign}| \le \tfrac12 |\mathrm{err}_{Adam} - \mathrm{err}_{GD}|",
        {"complete": TESTED}, (), _swapped("complete"),
    ),
)
"""Claims about the study's three sweeps."""
