"""Systems from a seed or from arrays of one's own: the model, queries alone, the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...optimizers import GradientDescent
from ...simulate import Interrupted, simulate
from ...system import Inexact
from .attention import BLOCKS
from .classifier.data import draw_tokens, vocabulary_and_length
from .classifier.landscape import surface
from .classifier.model import Classifier, layer_blocks
from .kernels import kernels_of
from .observables import QUERIES, REGRESSION, classifier_observables
from .queries.constructions import CONSTRUCTIONS
from .queries.examples import initial_queries
from .queries.jacobian import pair_floor, token_jacobians
from .queries.model import QueryModel
from .regression.bounds import sufficient
from .regression.data import Samples, draw_samples, draw_weights
from .regression.gram import LARGEST, rank_rule, spectrum
from .regression.model import AttentionModel
from .settings import Classification, Example, Regression, Setting, streams

__all__ = ["ENGINES", "best", "dense", "from_arrays", "queries"]


def dense(setting: Setting, seed: int = 0) -> Any:
    """Draw the model itself, exact for every rule: `AttentionModel`, or `Classifier`.

    Parameters
    ----------
    setting : Regression, Example or Classification
        Says which model, its sizes and its data.
    seed : int
        Determines tokens, targets, each block of weights, starts and batches, by separate streams.
    """
    make: Any = {Regression: _regression, Example: _example, Classification: _classifier}[type(setting)]
    return make(setting, seed)


def queries(setting: Setting, seed: int = 0) -> QueryModel:
    """Draw queries alone: exact where tokens are orthonormal and only W_Q is trained, for every rule that acts per coordinate.

    Parameters
    ----------
    setting : Example or Regression
        Of the latter, tokens="orthonormal", trained="Q" and pooled=False.
    seed : int
        As in `dense`: the same seed gives the same weights, tokens and targets.

    Raises
    ------
    Inexact
        For any other setting; names the alternative.
    """
    if isinstance(setting, Example):
        made = CONSTRUCTIONS[setting.task]
        q = initial_queries(setting, seed)[None, None, :, None, :]
        targets = np.full((len(kernels_of(setting.kernel)), 1, 1, 1), setting.y)
        return _queries(setting, seed, q, made.keys[None, None], made.values[None, None, :, None], targets, made.c)
    if not isinstance(setting, Regression) or setting.tokens != "orthonormal" or setting.trained != "Q":
        raise Inexact("queries move by themselves only where tokens='orthonormal' and trained='Q': use dense.")
    W, samples = draw_weights(setting, seed), draw_samples(setting, seed)
    if setting.pooled:
        raise Inexact("pooled=True: a sample's queries share a target and do not move by themselves: use dense.")
    q, k, v = (np.einsum("and,dhi->ahni", samples.X, W[name]) for name in ("W_Q", "W_K", "W_V"))
    values = np.einsum("ahni,hio->ahno", v, W["W_O"])
    return _queries(setting, seed, q[:, :, None], k, values, samples.Y, float(np.sqrt(setting.d)))


def _queries(setting: Any, seed: int, q: NDArray, k: NDArray, v: NDArray, targets: NDArray, c: float) -> QueryModel:
    system = QueryModel(q, k, v, targets, kernels_of(setting.kernel), c, observables=QUERIES, provenance=_about(setting, seed, "queries"))
    params = system.layout.views(system.start.copy())
    cache = system.forward(params)
    many = [token_jacobians(system, params, cache, i) for i in range(len(system.kernels))]
    singular = np.stack([np.linalg.svd(J, compute_uv=False) for J in many])  # (kernels, N, starts, m, min(d_o, H d))
    d_o, Hd = many[0].shape[-2:]
    ranks = (singular > max(d_o, Hd) * np.finfo(float).eps * singular[..., :1]).sum(axis=-1)
    least = singular[..., -1] if d_o <= Hd else np.zeros(singular.shape[:-1])
    constants = {
        "N": np.array(float(system.N)), "jacobian_rank": np.moveaxis(ranks, 1, 2).astype(float),
        "jacobian_least": np.moveaxis(least, 1, 2), "keys": k, "values": v, "targets": targets, "c": np.array(c),
    }
    if isinstance(setting, Regression) and setting.paired and setting.targets == "normal":  # teachers have a floor a kernel
        constants["pair_floor"] = np.array(pair_floor(v[:, : v.shape[1] // 2], targets[0]))
    return replace(system, constants=constants)


def best(setting: Setting, optimizer: Any, seed: int = 0) -> Any:
    """Draw the smallest system that is exact for the rule: queries alone where they move alone, else the model itself.

    Parameters
    ----------
    setting : Regression, Example or Classification
        As in `dense`.
    optimizer : Optimizer
        Not looked at: queries that move by themselves do so under every rule that acts per coordinate, and `simulate` refuses others.
    seed : int
        As in `dense`.
    """
    try:
        return queries(setting, seed)
    except Inexact:
        return dense(setting, seed)


ENGINES = {"queries": queries}
"""Forms of the system besides the model itself."""


def from_arrays(
    X: Any, Y: Any, weights: Mapping[str, Any], *, kernel: str = "softmax+gaussian", trained: str = "V", pooled: bool = False,
    c: float | None = None,
) -> AttentionModel:
    """Build the model on tokens, targets and weights of one's own.

    Parameters
    ----------
    X : array, shape (N, n, D)
        Tokens, finite.
    Y : array, shape (N, n, d_o), or (N, 1, d_o) if pooled
        Targets, finite, the same for all kernels.
    weights : mapping of str to array
        W_Q, W_K, W_V, shape (D, H, d), and W_O (H, d, d_o).
    kernel, trained, pooled
        As in `Regression`.
    c : float, optional
        Scale of the logits, > 0; default the root of d.

    Raises
    ------
    ValueError
        For arrays of shapes that do not belong together.
    """
    X, Y = _numbers("X", X), _numbers("Y", Y)
    W = {name: _numbers(name, w) for name, w in weights.items()}
    if set(W) != set(BLOCKS):
        raise ValueError(f"weights has {sorted(W)}; it must have {', '.join(BLOCKS)}")
    if X.ndim != 3 or W["W_O"].ndim != 3:
        raise ValueError(f"X has shape {X.shape}, W_O {W['W_O'].shape}; they must be (N, n, D) and (H, d, d_o)")
    (N, n, D), (H, d, d_o) = X.shape, W["W_O"].shape
    wanted = {"Y": (Y, (N, 1 if pooled else n, d_o)), **{name: (W[name], (D, H, d)) for name in BLOCKS[:3]}}
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; with X {X.shape} and W_O {W['W_O'].shape} it must be {shape}")
    if not all(np.isfinite(array).all() for array in (X, Y, *W.values())):
        raise ValueError("X, Y and weights must be finite")
    if c is not None and not (isinstance(c, (int, float, np.integer, np.floating)) and 0 < c < np.inf):
        raise ValueError(f"c={c!r}, the scale of the logits, must be a finite number > 0")
    law = Regression(kernel=kernel, trained=trained, N=N, n=n, D=D, d=d, H=H, d_o=d_o, pooled=pooled)
    kernels = kernels_of(kernel)
    U = np.full((1, n), 1.0 / n) if pooled else np.eye(n)
    samples = Samples(X, np.broadcast_to(Y, (len(kernels), *Y.shape)).copy(), U)
    about = {
        "system": "attention_kernels", "engine": "dense", "setting": None, "seed": None,
        "axis_labels": {"kernel": [one.name for one in kernels]}, "trained": law.trained,
    }
    return _attention(law, samples, W, float(np.sqrt(d)) if c is None else float(c), about)


def _numbers(name: str, values: Any) -> NDArray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers, not {values!r:.60}") from None


def _about(setting: Setting, seed: int, engine: str) -> dict[str, Any]:
    about = {"system": "attention_kernels", "engine": engine, "setting": setting.to_dict(), "seed": seed}
    return about | {"axis_labels": {"kernel": [kernel.name for kernel in kernels_of(setting.kernel)]}}


# -- the model ---------------------------------------------------------------------------------------------------------


def _regression(setting: Regression, seed: int) -> AttentionModel:
    c = float(np.sqrt(setting.d))
    model = _attention(setting, draw_samples(setting, seed), draw_weights(setting, seed), c, _about(setting, seed, "dense"))
    try:
        return replace(model, constants={**model.constants, **queries(setting, seed).constants})
    except Inexact:  # queries do not move by themselves: there are no such numbers
        return model


def _attention(setting: Regression, samples: Samples, W: Mapping[str, NDArray], c: float, about: Mapping[str, Any]) -> AttentionModel:
    trained = tuple(name for name in BLOCKS if name[-1] in setting.trained)
    about_block = {"value_grad_norm": "W_V", "query_norm": "W_Q"}
    known = {name: o for name, o in REGRESSION.items() if about_block.get(name, trained[0]) in trained}
    model = AttentionModel(
        samples, kernels_of(setting.kernel), {name: w[None] for name, w in W.items()}, trained, c, known, provenance=about,
    )
    return replace(model, constants=_linear_constants(model, setting))


def _linear_constants(model: AttentionModel, setting: Regression) -> dict[str, NDArray]:
    """Return the spectrum of the Gram matrix at the start of every kernel, and the sides of the sufficient condition."""
    _, N, m, d_o = model.samples.Y.shape
    constants = {"N": np.array(float(N)), "rank_rule": np.array(float(rank_rule(setting.to_dict())))}
    if N * m * d_o > LARGEST:
        return constants
    cache = model.forward(model.layout.views(model.start.copy()))
    found = [spectrum(model, cache, i) for i in range(len(model.kernels))]
    constants.update(
        gram_eigenvalues=np.stack([s.eigenvalues for s in found]), residual_squares=np.stack([s.squares for s in found]),
        rank=np.stack([s.rank for s in found]).astype(float), loss_0=cache.losses,
    )
    for i, kernel in enumerate(model.kernels):
        if kernel.name == "gaussian":
            with np.errstate(divide="ignore", invalid="ignore"):
                sides = sufficient(model, cache.losses[i], N * found[i].eigenvalues[:, -1])
            constants.update(sufficient_left=sides.left, sufficient_right=sides.right)
    return constants


def _example(setting: Example, seed: int) -> AttentionModel:
    """Return an example as the model: tokens are unit vectors, keys and values rows of W_K and W_V; the first token asks."""
    made = CONSTRUCTIONS[setting.task]
    n, d = made.keys.shape
    starts, kernels = setting.starts, kernels_of(setting.kernel)
    W = {
        "W_Q": np.zeros((starts, n, 1, d)), "W_K": np.broadcast_to(made.keys[:, None], (starts, n, 1, d)),
        "W_V": np.zeros((starts, n, 1, d)), "W_O": np.zeros((starts, 1, d, 1)),
    }
    W["W_Q"][:, 0, 0] = initial_queries(setting, seed)
    W["W_V"][..., 0, 0], W["W_O"][..., 0, 0] = made.values, 1.0
    U = np.eye(1, n)
    samples = Samples(np.eye(n)[None], np.full((len(kernels), 1, 1, 1), setting.y), U)
    shared = {name: o for name, o in REGRESSION.items() if name in ("train_loss", "grad_norm", "query_norm")}
    return AttentionModel(samples, kernels, W, ("W_Q",), made.c, shared, queries(setting, seed).constants, _about(setting, seed, "dense"))


# -- the classifier ----------------------------------------------------------------------------------------------------


def _classifier_weights(setting: Classification, seed: int) -> dict[str, NDArray]:
    words, length = vocabulary_and_length(setting)
    D, H, d, hidden = setting.D, setting.H, setting.d, setting.hidden
    source = streams(seed)
    rng = {name: np.random.default_rng(source[name]) for name in (*BLOCKS, "embedding", "head")}
    W = {
        "embedding": setting.token_scale * rng["embedding"].standard_normal((words, D)),
        "positions": setting.token_scale * rng["embedding"].standard_normal((length, D)),
    }
    for layer in range(setting.layers):
        names = layer_blocks(layer)
        for block in BLOCKS[:3]:
            W[names[block]] = rng[block].standard_normal((D, H, d)) / np.sqrt(D)
        W[names["W_O"]] = rng["W_O"].standard_normal((H, d, D)) / np.sqrt(H * d)
    W["W_1"], W["b_1"] = rng["head"].standard_normal((D, hidden)) * np.sqrt(2.0 / D), np.zeros(hidden)
    W["W_2"], W["b_2"] = rng["head"].standard_normal((hidden, 2)) / np.sqrt(hidden), np.zeros(2)
    return W


def _classifier(setting: Classification, seed: int) -> Classifier:
    train, test = draw_tokens(setting, seed)
    source = streams(seed)
    W = _classifier_weights(setting, seed)
    attention = tuple(name for layer in range(setting.layers) for name in layer_blocks(layer).values())
    model = Classifier(
        train, test, kernels_of(setting.kernel), W, tuple(W) if setting.trained == "all" else attention, setting.layers, setting.residual,
        float(np.sqrt(setting.d)), setting.batch, source["batches"],
        observables=classifier_observables(lambda p, c: surface(c.system, c, source["directions"])),
        constants={"N": np.array(float(setting.samples))}, provenance=_about(setting, seed, "dense"),
    )
    return replace(model, weights=_pretrained(model, setting)) if setting.pretrained else model


def _pretrained(model: Classifier, setting: Classification) -> dict[str, NDArray]:
    """Return the weights after the first stage: stochastic gradient descent with softmax on all parameters."""
    first: Any = replace(
        model, kernels=kernels_of("softmax"), trained=tuple(model.weights), batch_size=setting.pretrain_batch,
    )
    try:
        run = simulate(first, GradientDescent(setting.pretrain_lr), steps=setting.pretrained, record=("train_loss",), at=[])
    except Interrupted as stopped:  # its trajectory is one of the first stage, not of the run that was asked for
        raise KeyboardInterrupt(f"interrupted in the first stage, after step {stopped.trajectory.last_step}") from None
    views = first.layout.views(run.final)
    return {name: getattr(views, name)[0] for name in model.weights}
