"""
A claim of your own, and its negative control
=============================================

A claim is a sentence, a function that measures it, and a tolerance. This one is ours: by the time the training loss is half of what it was,
the noise token pays hardly any attention to the signal token, less than a tenth. It holds here. That alone says little: would the check
notice if it were wrong? Its *negative control* takes the same run and replaces the record of attention by one in which attention never
moved, as if values alone had been trained; there the claim must fail, and it does.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from dynsim import Claim, Measured, Report, Trajectory, check
from dynsim.plotting import COLOURS, LEVEL, line, panel
from dynsim.systems import signal_noise

MOST = 0.1


def attention_when_loss_is_halved(evidence) -> Measured:
    """Measure attention of the noise token on the signal token, a mean over samples, where the loss is first halved."""
    run = evidence["run"]
    step = int(np.argmax(run["train_loss"] <= run["train_loss"][0] / 2))
    found = float(run["softmax_21"][step].mean())
    return Measured(value=found, predicted=0.0, deviation=found, tolerance=MOST, where=f"step {step}")


def held(evidence):
    """Return the evidence with attention held at its start: the negative control."""
    run = evidence["run"]
    still = np.broadcast_to(run["softmax_21"][0], run["softmax_21"].shape)
    return {**evidence, "run": replace(run, arrays={**run.arrays, "softmax_21": still})}


MINE = Claim(
    "attention_first", f"when the loss is halved, s_21 is below {MOST}", attention_when_loss_is_halved,
    needs={"run": ["train_loss", "softmax_21"]}, control=held,
)


def compute() -> tuple[Trajectory, Report, Report]:
    """Return a run, the verdict on it and the verdict on its negative control."""
    run = signal_noise.experiment("figure3").run()
    return run, check(run, [MINE]), check(run, [MINE], control=True)


def draw(found: tuple[Trajectory, Report, Report]) -> plt.Figure:
    """Draw attention against the loss, of the run and of its control."""
    run, *_ = found
    figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
    with panel(ax, "When the loss is halved, has attention left?"):
        for arrays, colour, label in ((run, "blue", "the run"), (held({"run": run})["run"], "orange", "negative control")):
            line(ax, run["train_loss"] / run["train_loss"][0], arrays["softmax_21"].mean(axis=1), COLOURS[colour], label)
        ax.plot(0.5, MOST, "v", color="black", label="at one half: below this holds")
        ax.axhline(MOST, **LEVEL)
        ax.set(xlabel="training loss over its first value (it falls with time)", ylabel=r"mean attention of noise on signal, $s_{21}$")
        ax.invert_xaxis()
    return figure


def main() -> None:
    """Print both verdicts, and draw."""
    run, report, control = found = compute()
    for name, verdict in (("the run", report["attention_first"]), ("its control", control["attention_first"])):
        print(f"{name}: {verdict.verdict}, {verdict.value:.3f} at {verdict.where}, margin {verdict.margin:+.2f}")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
