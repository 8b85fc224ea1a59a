"""SignGD, Adam and gradient descent on the same data: who bends, who generalises.

All three fit the training data. Adam's log loss bends where SignGD's stays straight, because its steps on the query noise die out;
gradient descent, stopped at the same training loss, makes a fraction of the mistakes on fresh samples.
"""

from __future__ import annotations

from dynsim import Report, check
from dynsim.sweep import Table
from dynsim.systems import signal_noise

RULES = ("signgd", "adam:0.9,eps=0", "gd")


def compute(seeds: int = 3) -> tuple[Table, Report]:
    """Compare the rules at the figure-3 preset: the table, a row a rule and seed, and the verdicts on it."""
    study = signal_noise.comparison(signal_noise.experiment("figure3"), RULES, seeds=seeds)
    evidence = study.run(workers=1)
    return evidence["rules"], check(evidence)


if __name__ == "__main__":
    table, report = compute()
    for rule in RULES:
        rows = table.where(optimizer=rule)
        loss, error, crossed = (rows[name].mean() for name in ("train_loss@900", "test_error@900", "crossed"))
        print(f"{rule:15s} at step 900: training loss {loss:.4f}, test error {error:.3f}, query noise that crossed {crossed:.1%}")
    print(report)
