"""Test loss against SNR as a study: every SNR, every rule, every seed, at both constructions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from ...experiment import Experiment
from ...study import Plan, Study
from .claims import CLEAN, NOISY, RULES
from .data import CONSTRUCTIONS
from .measures import SWEEP_MEASURES, TRAINED
from .presets import experiment as preset_experiment

__all__ = ["CAP", "SNR", "STUDIES", "snr_study"]

CAP = 5000
"""Steps after which a run is given up; it ends earlier, as soon as the training loss is small enough."""
SNR = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
"""Signal-to-noise ratios of the study as it stands."""


def snr_study(
    experiment: Experiment, snr: Iterable[float] = SNR, optimizers: Iterable[str] = RULES, seeds: int = 5, *,
    steps: int = CAP, constructions: Iterable[str] | None = None, fixed: Iterable[str] = (),
) -> Study:
    """Return the study of test loss against SNR: a grid of SNR and rule, trained to training loss 0.01, a sweep a construction.

    Parameters
    ----------
    experiment : Experiment
        Of this system; its setting but for SNR and construction, the rate of its rule and its `rates` of others.
    snr : iterable of float
        The two SNRs that claims speak of, 0.2 and 2, are added if they are missing.
    optimizers : iterable of str
        Rules as texts, see `Experiment.rule`; at least one.
    seeds : int, default 5
        Seeds of each point, >= 1.
    steps : int, default 5000
        Steps after which a run is given up: what it did not reach is NaN.
    constructions : iterable of str
        Names of the sweeps, at least one; the other constructions do not restrict the setting. Default all, or the setting's own if
        `fixed` names it.
    fixed : iterable of str
        Fields of the setting that were chosen and are to stay.

    Returns
    -------
    Study
        With a sweep a construction, "token" and "border"; nothing is run yet.

    Raises
    ------
    ValueError
        For an SNR out of range, an unknown rule or construction, or none of them.

    Examples
    --------
    >>> study = snr_study(preset_experiment("mnist"), snr=[0.1, 1.0], seeds=2)
    >>> list(study.plans), study.plans["token"].over["snr"]
    (['token', 'border'], [0.1, 0.2, 1.0, 2.0])
    """
    levels = sorted({*(experiment.setting.replace(snr=value).snr for value in snr), NOISY, CLEAN})
    if constructions is None:
        constructions = (experiment.setting.construction,) if "construction" in fixed else CONSTRUCTIONS
    rules, names = list(optimizers), list(constructions)
    for argument, given, valid in (("optimizers", rules, RULES), ("constructions", names, CONSTRUCTIONS)):
        if not given:
            raise ValueError(f"{argument}=[] must name at least one, for example {argument}={list(valid)}: leave it out for all of these")
    rates = ", ".join(f"{rule} at lr={experiment.rule(rule).lr:g}" for rule in rules)
    plans = {}
    for name in names:
        setting = experiment.setting.replace(construction=name)
        what = {"token": "image and noise a token each", "border": "noise in the border of the image, its halves the tokens"}[name]
        doc = (
            f"{what}: {setting.positive} against {setting.negative}, n = {setting.n}, s = {setting.s}, {rates}; each run until the "
            f"training loss is {TRAINED:g}, at most {steps} steps"
        )
        over = {"snr": levels, "optimizer": rules}
        plans[name] = Plan(experiment.replace(setting=setting, steps=steps), over, seeds, SWEEP_MEASURES, doc)
    return Study("Test loss against SNR on noisy MNIST, in the spirit of Fig. 2d of Li et al., arXiv 2410.04870", plans)


_PAIRS = [
    {"positive": positive, "negative": negative, "snr": snr, "optimizer": rule}
    for positive, negative in combinations(range(10), 2) for snr in (NOISY, CLEAN) for rule in RULES
]

STUDIES: Mapping[str, Study] = {
    "snr": snr_study(preset_experiment("mnist")),
    "pairs": Study(
        "Noisy MNIST, every pair of digits",
        {"pairs": Plan(preset_experiment("mnist").replace(steps=CAP), _PAIRS, 5, SWEEP_MEASURES,
                       f"all 45 pairs of digits at SNR {NOISY:g} and {CLEAN:g}; image and noise a token each")},
    ),
}
"""Studies by name."""
