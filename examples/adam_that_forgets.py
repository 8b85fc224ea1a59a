"""Why Adam's query noise never turns: its second moment remembers gradients that are long gone.

Under SignGD query noise that opposes its row's query signal comes back and changes sign. Under Adam it does so only if beta2 is below
a threshold, predicted in closed form: the gradient falls faster than the root of its own second moment can follow.
"""

from __future__ import annotations

from dynsim import sweep
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.adam import threshold


def compute(beta2: tuple[float, ...] = (0.0, 0.5, 0.8, 0.9, 0.999), seeds: int = 4) -> tuple[float, dict[float, float]]:
    """Return the predicted threshold, and for each beta2 the share of opposed query noise that changed sign by step 900."""
    experiment = signal_noise.experiment("figure3_disjoint")
    theory = signal_noise.predict(experiment.setting, lr=experiment.optimizer.lr)
    rules = {f"adam:0,{value:g},0": value for value in beta2}  # beta1, beta2, eps
    table = sweep(experiment, {"optimizer": list(rules)}, seeds=seeds, measure="crossed", steps=900, workers=1)
    shares = {value: float(table.where(optimizer=rule)["crossed"].mean()) for rule, value in rules.items()}
    return float(threshold(theory.T_key, theory.a, experiment.setting.mu_norm, experiment.setting.n)), shares


if __name__ == "__main__":
    star, shares = compute()
    print(f"predicted: half of the noise crosses at beta2 = {star:.3f}")
    for value, share in shares.items():
        print(f"  beta2 = {value:<5g}  {share:6.1%} crossed")
