"""Presets: labelled as ours, runnable, of every example one, and stable at their rates."""

import numpy as np
import pytest

from dynsim import Experiment
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.queries.jacobian import token_jacobians
from dynsim.systems.attention_kernels.settings import EXAMPLES

from .helpers import state

CLASSES = [name for name, e in ak.PRESETS.items() if isinstance(e.setting, ak.Classification)]
OTHERS = [name for name in ak.PRESETS if name not in CLASSES]


@pytest.mark.parametrize("name", ak.PRESETS)
def test_a_preset_is_labelled_and_survives_a_round_trip(name, tmp_path):
    e = ak.experiment(name)
    assert e.origin == "derived" and e.note and e.system == "attention_kernels" and ak.preset(name) == e.setting
    assert Experiment.from_dict(e.to_dict()) == e
    path = tmp_path / "experiment.toml"
    path.write_text(e.to_toml(), encoding="utf-8")
    assert Experiment.from_toml(path) == e
    assert set(e.record) <= set(ak.OBSERVABLES) and {"signgd", "adam"} <= set(e.rates)


def test_every_example_has_one_and_unknown_names_are_refused():
    tasks = [e.setting.task for e in ak.PRESETS.values()]
    assert all(tasks.count(task) == 1 for task in EXAMPLES) and ak.DEFAULT_PRESET in ak.PRESETS
    for name in OTHERS:
        setting = ak.preset(name)
        if isinstance(setting, ak.Example):
            made = ak.CONSTRUCTIONS[setting.task]
            assert (setting.y, setting.low, setting.high) == (made.y, made.low, made.high)
    for f in (ak.preset, ak.experiment):
        with pytest.raises(ValueError, match="did you mean 'stuck'"):
            f("stuk")


@pytest.mark.parametrize("name", OTHERS)
def test_a_preset_begins_as_it_says(name):
    """Two steps: it runs, records what it asks for, and does not go up at its rate."""
    e = ak.experiment(name).replace(steps=2)
    run = e.run()
    assert run.success and run.provenance["origin"] == "derived" and run.provenance["note"] == e.note and set(run.arrays) == set(e.record)
    assert run.provenance["engine"] == ("queries" if isinstance(e.setting, ak.Example) or e.setting.trained == "Q" else "dense")


def falls(loss):
    """True if the mean over starts does not end above its beginning, to rounding, for any kernel."""
    return bool((loss[-1].mean(-1) <= loss[0].mean(-1) * (1 + 1e-12)).all())


def sharpness(name):
    """Return the largest eigenvalue of the Gauss-Newton matrix at the start, over kernels: a rate above 2 over it goes up."""
    system = ak.experiment(name).build()
    if isinstance(system, ak.QueryModel):
        many = [token_jacobians(system, *state(system), i) for i in range(len(system.kernels))]
        return max(np.linalg.norm(J, 2, axis=(-2, -1)).max() ** 2 for J in many) / system.N
    return system.constants["gram_eigenvalues"].max()


@pytest.mark.parametrize("name", ["value_only", "value_floor", "all_parameters", "sufficient", "pair_floor", "pair_lazy"])
def test_rates_are_below_the_edge_of_stability(name):
    """Of those presets in which features, or the Jacobian, hardly move; the examples in one dimension leap and land."""
    assert ak.experiment(name).optimizer.lr * sharpness(name) < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_preset_runs_to_its_end_and_its_loss_falls(name):
    e = ak.experiment(name)
    run = e.replace(record=("train_loss",), every=e.steps // 10).run()
    assert run.success and falls(run["train_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_a_classifier_runs_to_its_end_and_learns(name):
    e = ak.experiment(name)
    run = e.replace(record={"train_loss": e.steps, "full_loss": e.steps, "test_accuracy": e.steps}).run()
    assert run.success and falls(run["full_loss"])
