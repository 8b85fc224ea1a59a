"""Figures: functions of a run."""

from dynsim.check import check

from .claims import CLAIMS, closed_form


def plot_product(run, *, ax=None):
    """Draw u v over time, and the logistic curve."""
    from dynsim.plotting import COLOURS, line, panel, theory  # here, because a run without figures needs no Matplotlib

    with panel(ax, "in-context learning sets in after a plateau", check(run, CLAIMS).verdicts) as ax:
        ax.set(xlabel=run.clock, ylabel="u v")
        r = closed_form({"run": run})
        line(ax, r.t, r.product, COLOURS["blue"], "simulation")
        theory(ax, r.t, r.logistic, "closed form")
    return ax


FIGURES, MAIN_FIGURES = {"product": lambda run: plot_product(run).figure}, ("product",)
