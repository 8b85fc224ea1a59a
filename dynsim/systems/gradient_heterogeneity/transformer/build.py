"""Transformers from a seed, and on the weights of a run with a fresh head."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....layout import Layout
from ....optimizers import Adam, LinearDecay
from ....simulate import simulate
from ....trajectory import Trajectory
from ..settings import Setting, streams
from .data import draw_sequences
from .model import TransformerModel, block_shapes
from .observables import OBSERVABLES
from .setting import Transformer

__all__ = ["HEAD", "initial_weights", "transformer", "with_fresh_head"]

HEAD = ("head", "b_head")
"""Blocks of the head."""
OTHER = {"after": "before", "before": "after"}
"""The task that a task's pre-training is on."""


def transformer(setting: Transformer, seed: int = 0, *, start: NDArray | None = None) -> TransformerModel:
    """Draw a transformer and its sequences.

    Parameters
    ----------
    setting : Transformer
    seed : int
        Determines fixed set, the steps' sequences, weights, embedding and head, by separate streams. Placements of normalisation share
        them all, and a deeper transformer begins with the layers of a shallower one.
    start : ndarray, shape (*replicates, P), optional
        Initial weights instead of those of the seed.
    """
    if start is not None:
        return _model(setting, seed, np.asarray(start, dtype=float), {"start": "given"})
    if setting.pretrained:
        return with_fresh_head(_pretraining(setting, seed), setting, seed)
    return _model(setting, seed, Layout(block_shapes(setting)).pack(**initial_weights(setting, seed)), {})


def _model(
    setting: Transformer, seed: int, start: NDArray, about: dict[str, Any], constants: Mapping[str, NDArray] | None = None,
) -> TransformerModel:
    source = streams(seed)
    sizes = [prod(shape) for shape in block_shapes(setting).values()]
    return TransformerModel(
        setting, draw_sequences(setting, setting.samples, np.random.default_rng(source["data"])), start, source["batches"],
        observables=OBSERVABLES, constants={"block_sizes": np.array(sizes, dtype=float), **(constants or {})},
        provenance={"system": "gradient_heterogeneity", "engine": "dense", "setting": setting.to_dict(), "seed": int(seed), **about},
    )


def _pretraining(setting: Transformer, seed: int) -> Trajectory:
    """Return the run of Adam on the other task, on sequences and from weights that nothing else of the seed shares."""
    first = setting.replace(task=OTHER[setting.task], head_scale=0.0, pretrained=0)
    system: Any = transformer(first, int(streams(seed)["start"].generate_state(1)[0]))
    steps = setting.pretrained
    rule = Adam(LinearDecay(setting.pretrain_lr, steps, warmup=steps // 10))
    run = simulate(system, rule, steps=steps, record=("fixed_loss", "train_accuracy"), at=[])
    if run.status == "diverged":
        raise ValueError(f"pretrain_lr={setting.pretrain_lr:g}: pre-training diverged at step {run.last_step}; lower it")
    return run


def initial_weights(setting: Transformer, seed: int) -> dict[str, NDArray]:
    """Draw initial weights, every matrix normal; gains are 1, biases and shifts 0."""
    source = streams(seed)
    embedding, head = (np.random.default_rng(source[name]) for name in ("embedding", "head"))
    layers = [np.random.default_rng(child) for child in source["weights"].spawn(setting.layers)]
    weights: dict[str, NDArray] = {}
    for name, shape in block_shapes(setting).items():
        if name in ("embedding", "positions"):
            weights[name] = setting.embedding_scale * embedding.standard_normal(shape)
        elif name == "head":
            weights[name] = (setting.head_scale or setting.d**-0.5) * head.standard_normal(shape)
        elif len(shape) == 2:
            he = (2.0 if name.startswith("W_1_") else 1.0) / shape[0]
            variance = he if setting.init == "he" else 2.0 / sum(shape)
            weights[name] = setting.weight_scale * np.sqrt(variance) * layers[int(name.rsplit("_", 1)[1]) - 1].standard_normal(shape)
        else:
            weights[name] = np.full(shape, 1.0 if name.startswith("gain") else 0.0)
    return weights


def with_fresh_head(run: Trajectory, setting: Transformer, seed: int = 0) -> TransformerModel:
    """Return a transformer that starts from a run's final weights, but for the head, which is drawn anew: the start of fine-tuning.

    Parameters
    ----------
    run : Trajectory
        Of a `TransformerModel`, of any task, with or without replicates.
    setting : Transformer
        Of the new system: its task, the scale of its head, its batches. Its architecture must be the run's.
    seed : int
        Of the new head, which all replicates share, and of the new sequences.

    Raises
    ------
    ValueError
        If the run is not one of a transformer, or of another architecture: says which field differs.
    """
    theirs = run.provenance.get("setting", {})
    if theirs.get("task") not in Transformer.TASKS or run.provenance.get("system") != "gradient_heterogeneity":
        raise ValueError("run is not one of a transformer: its provenance names "
                         f"system {run.provenance.get('system')!r}, task {theirs.get('task')!r}")
    for name in ("vocab", "length", "d", "heads", "width", "layers", "norm", "final_norm", "biases"):
        if theirs[name] != getattr(setting, name):
            raise ValueError(f"{name}={getattr(setting, name)!r} of the setting is {theirs[name]!r} in the run: weights would not fit")
    old = Layout(block_shapes(Setting.from_dict(theirs))).views(np.ascontiguousarray(run.final))
    lead, drawn = run.final.shape[:-1], initial_weights(setting, seed)
    weights = {name: np.broadcast_to(drawn[name], (*lead, *drawn[name].shape)) if name in HEAD else getattr(old, name) for name in drawn}
    start = Layout(block_shapes(setting)).pack(**weights)
    found = {f"pretrained_{name}": run[name][-1] for name in ("fixed_loss", "train_accuracy") if name in run}
    return _model(setting, seed, start, {"pretrained": {**run.provenance, "last_step": int(run.last_step)}}, found)
