"""Steps to a target for gradient descent and sign descent as blocks grow unlike each other, and what a rotation does to it.

Every rule's rate is tuned at every horizon and decays to 0. Blocks start with equal loss, so that sharp blocks have the large gradients;
then the same gradients are put on equal curvatures, and last the quadratic is turned so that no parameter belongs to a block.

    python examples/when_signs_win.py
"""

from __future__ import annotations

from dynsim.systems.gradient_heterogeneity import Quadratic, dense, measure
from dynsim.systems.gradient_heterogeneity.quadratic.targets import RULES, horizons, steps_to_target

MOST = 512
CASES = {
    "equal loss, k = 1": Quadratic(k=1.0),
    "equal loss, k = 10": Quadratic(k=10.0),
    "equal loss, k = 100": Quadratic(k=100.0),
    "equal curvature, same gradients": Quadratic(k=100.0, initial="equal_curvature"),
    "equal loss, k = 100, turned": Quadratic(k=100.0, rotated="all"),
}


def steps(setting: Quadratic, rule: str) -> int:
    """Return the smallest horizon at which some rate brings the loss to a thousandth; -1 if none up to MOST does."""
    return int(steps_to_target(dense(setting, seed=0), RULES[rule], tried=horizons(MOST)).steps)


def compute() -> dict[str, tuple[float, int, int]]:
    """Return for each case the ratio of weighted curvatures and the steps of gradient descent and of sign descent."""
    ratios = {name: measure(dense(setting, seed=0), method="central").complexity.ratio for name, setting in CASES.items()}
    return {name: (ratios[name], steps(setting, "gd"), steps(setting, "signgd")) for name, setting in CASES.items()}


def main() -> None:
    """Print a line a case."""
    print(f"{'':34s} {'Lambda_G / Lambda_P':>20s} {'GD':>6s} {'SignGD':>7s}")
    for name, (ratio, gd, sign) in compute().items():
        print(f"{name:34s} {ratio:20.2f} {gd:6d} {sign:7d}")


if __name__ == "__main__":
    main()
