"""Which kernel gets stuck, and from where?

One query, a few fixed keys, one target: the loss is a curve, its minima can be listed and its barriers part the starts. Three examples:
one where softmax has a strict local minimum (E5), one where it runs away (E3), one where it is the Gaussian that gets stuck (E6). Each with
softmax, the Gaussian, and the Gaussian with its rows normalised: is it the shape of the kernel that helps, or the missing normalisation?

    python examples/which_kernel_gets_stuck.py
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dynsim import simulate
from dynsim.systems import attention_kernels
from dynsim.systems.attention_kernels import landscape


class Share(NamedTuple):
    """An example, a kernel, and the share of starts that reach loss 0: by the barriers, and simulated."""

    example: str
    kernel: str
    predicted: float
    simulated: float


def compute(starts: int = 121, steps: int = 30_000) -> list[Share]:
    """Return the shares of three examples and three kernels."""
    found = []
    for preset in ("runaway", "stuck", "reverse"):
        experiment = attention_kernels.experiment(preset)
        setting = experiment.setting.replace(kernel="softmax+gaussian+row_gaussian", starts=starts)
        run = simulate(attention_kernels.queries(setting), experiment.optimizer, steps=steps, record=["train_loss"], at=[])
        q = np.linspace(setting.low, setting.high, starts)
        for i, kernel in enumerate(setting.kernel.split("+")):
            predicted = landscape(setting.task, kernel).reaches_zero(q)
            found.append(Share(setting.task, kernel, float(predicted.mean()), float((run["train_loss"][-1, i] < 1e-12).mean())))
    return found


def main() -> None:
    """Print a line an example and kernel."""
    print("example   kernel         reach loss 0: by the barriers   simulated")
    for share in compute():
        print(f"{share.example:9s} {share.kernel:14s} {share.predicted:28.1%} {share.simulated:11.1%}")


if __name__ == "__main__":
    main()
