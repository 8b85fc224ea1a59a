"""
From runs to an exponent
========================

A theorem says how times scale. Here: the time :math:`T_{attn}` at which attention leaves the signal is proportional to
:math:`1/(\\eta\\sqrt{m_k})`, with the learning rate :math:`\\eta` and :math:`m_k` rows of the query and key matrices. A sweep runs an
experiment at many points for the same seeds; a fit reads the exponents off, with 95 % intervals over seeds. Such a law is asymptotic: the
exponent of :math:`m_k` comes out as -0.497, and its interval is so narrow that -1/2 is just outside, which the report says.
"""

import matplotlib.pyplot as plt

from dynsim import Table, sweep
from dynsim.plotting import legend
from dynsim.scaling import PowerLaw, fit_power_law
from dynsim.scaling.figures import plot_scaling
from dynsim.systems import signal_noise

THEORY = {"lr": -1.0, "m_k": -0.5}


def compute(lr=(2e-6, 4e-6, 8e-6), m_k=(25, 50, 100), seeds: int = 6) -> tuple[Table, PowerLaw]:
    """Run every combination at d = 10^8, and fit both exponents at once."""
    table = sweep(signal_noise.experiment("theory"), {"lr": list(lr), "m_k": list(m_k)}, seeds=seeds, measure="t_attn", workers=1)
    return table, fit_power_law(table, "t_attn", theory=THEORY)


# %%
# A dot is a point of the sweep, averaged over seeds. Solid is the fitted law, dashed a line of the theorem's slope: it says how times
# scale, and leaves open by which factor.


def draw(found: tuple[Table, PowerLaw]) -> plt.Figure:
    """Draw the times over each variable, a line for each value of the other."""
    table, law = found
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.8), sharey=True, layout="constrained")
    for ax, name in zip(axes, THEORY, strict=True):
        plot_scaling(table, "t_attn", name, law=law, ax=ax)
        legend(ax, 1)
    return figure


def main() -> None:
    """Print the law, and draw."""
    table, law = found = compute()
    print(law)
    print(f"{table.cells} runs")
    draw(found)
    plt.show()


if __name__ == "__main__":
    main()
