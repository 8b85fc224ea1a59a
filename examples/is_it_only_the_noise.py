"""Is it only the noise that keeps sign rules from generalising? Same data, same weights, three rules, ever less noise.

At one noise level gradient descent generalises where SignGD and Adam do not: the rule matters. For each rule less noise is better: the
noise matters, too. SignGD needs about 7 times less of it than gradient descent, as its l1 geometry predicts. Adam keeps failing until
noise tokens are weaker than the signal even in the l1 norm (sigma_p of 1/16 here), because its signal stops when attention leaves it.

    python examples/is_it_only_the_noise.py
"""

from __future__ import annotations

import numpy as np

from dynsim import sweep
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.geometry import cleaner

RULES = ("signgd", "adam:0.9,eps=0", "gd")
COLUMN = "test_error@train_loss<0.05"


def compute(noise=(4.0, 2.0, 1.0, 0.5, 0.25, 1 / 32), seeds: int = 4) -> dict[float, np.ndarray]:
    """Return the mean test error at training loss 0.05 by noise level, one number a rule."""
    points = [{"sigma_p": sigma_p, "optimizer": rule, "steps": 40_000} for sigma_p in noise for rule in RULES]
    table = sweep(signal_noise.experiment("figure3_disjoint"), points, seeds=seeds, measure=COLUMN, workers=1)
    return {s: np.array([table.where(sigma_p=s, optimizer=rule)[COLUMN].mean() for rule in RULES]) for s in noise}


if __name__ == "__main__":
    print("test error at training loss 0.05\n sigma_p" + "".join(f"{rule:>18s}" for rule in RULES))
    for sigma_p, errors in compute().items():
        print(f"{sigma_p:8g}" + "".join(f"{error:18.3f}" for error in errors))
    factor = cleaner(signal_noise.preset("figure3_disjoint"), 0.1)
    print(f"predicted for test error 0.1: SignGD needs {factor:.1f} times less noise than gradient descent")
