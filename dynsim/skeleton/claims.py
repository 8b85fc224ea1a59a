"""What the run is held against: the closed form, and a control on which it must fail."""

from types import SimpleNamespace

import numpy as np

from dynsim.claims import Assumption, Claim, Measured, Source
from dynsim.run_claims import broken, together


def closed_form(evidence):
    """Return times t, the product u v, what (3) says it is, and what it were if the values alone were trained."""
    run = evidence["run"]
    t, product = together(run, "product")
    a, b, p = run.constants["a"], run.constants["b"], product[0]
    logistic = b / a / (1 + (b / a / p - 1) * np.exp(-2 * b * t))
    return SimpleNamespace(t=t, product=product, logistic=logistic, values_only=b / a + (p - b / a) * np.exp(-a * p * t))


def deviation(evidence):
    """Return where u v is farthest from (3), on the scale of its largest value."""
    r = closed_form(evidence)
    gap = np.abs(r.product - r.logistic) / np.max(np.abs(r.logistic))
    i = np.argmax(gap)
    return Measured(r.product[i], r.logistic[i], deviation=gap[i], tolerance=1e-6, where=f"{evidence['run'].clock} {r.t[i]:.3g}")


CLAIMS = {
    "logistic": Claim(
        "logistic", "u v follows the logistic curve", deviation, Source("derived", "model.py (3)"), needs={"run": ["product", "balance"]},
        assumes=[Assumption("gradient flow", lambda evidence: evidence["run"].clock == "time"),
                 Assumption("u = v at the start", lambda evidence: abs(evidence["run"]["balance"][0]) < 1e-12)],
        control=broken(closed_form, product=lambda r: r.values_only),
    ),
}
