"""The small transformer by loops over sequences and tokens; gradients, Hessian-vector products, batches, replicates, fresh heads."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dynsim import Adam, Experiment, GradientDescent, load, simulate
from dynsim.gradcheck import gradcheck
from dynsim.optimizers import LinearDecay
from dynsim.systems.gradient_heterogeneity.settings import Setting
from dynsim.systems.gradient_heterogeneity.transformer.build import initial_weights, transformer, with_fresh_head
from dynsim.systems.gradient_heterogeneity.transformer.data import FIRST, MARKER, draw_sequences
from dynsim.systems.gradient_heterogeneity.transformer.model import block_shapes
from dynsim.systems.gradient_heterogeneity.transformer.setting import NORMS, Transformer

from ...helpers import gap, same_bits

SMALL = Transformer(vocab=11, length=6, classes=3, d=6, heads=2, width=7, samples=9, batch=4, fresh=False)
FORMS = {
    f"{norm}, {layers} layers{'' if biases else ', no biases'}":
    SMALL.replace(norm=norm, layers=layers, biases=biases, weight_scale=0.5 if norm == "none" else 1.0)  # without, streams grow
    for norm in NORMS for layers in (1, 2, 3) for biases in (True, False)
}
FORMS["pre without final norm"] = SMALL.replace(norm="pre", final_norm=False)
ROUNDING = 1e-12
"""Sums of some thousand terms of order 1, through up to six branches."""


def perturbed(system, seed=1, scale=0.3):
    """Return parameters near the start: biases are 0 and gains 1 there, which would hide what belongs to them."""
    return system.start + scale * np.random.default_rng(seed).standard_normal(system.start.shape)


def slope(system, params, batch=None):
    out = np.full(params.shape, np.nan, dtype=params.dtype)
    views = system.layout.views(params)
    system.backward(views, system.forward(views, batch), system.layout.views(out))
    return out


def curvature_along(system, params, v, batch=None):
    out, views = np.full(params.shape, np.nan), system.layout.views(params)
    system.hessian_vector(views, system.forward(views, batch), system.layout.views(v), system.layout.views(out))
    return out


def normalised(x, w, name):
    h = (x - x.mean()) / x.std()
    return w[f"gain_{name}"] * h + w.get(f"shift_{name}", 0.0)


def logits_by_loops(w, setting, tokens, b_K=0.0):
    """Return the logits of one sequence, token by token and head by head, all tokens through all layers."""
    x = [w["embedding"][word] + w["positions"][at] for at, word in enumerate(tokens)]
    k = setting.d // setting.heads

    def attended(h, layer):
        q, v = ([t @ w[f"W_{c}_{layer}"] + w.get(f"b_{c}_{layer}", 0.0) for t in h] for c in "QV")
        keys = [t @ w[f"W_K_{layer}"] + b_K for t in h]
        out = []
        for one in q:
            told = np.zeros(setting.d)
            for head in range(setting.heads):
                part = slice(head * k, head * k + k)
                e = np.exp([one[part] @ key[part] / np.sqrt(k) for key in keys])
                told[part] = sum(share * value[part] for share, value in zip(e / e.sum(), v, strict=True))
            out.append(told @ w[f"W_O_{layer}"] + w.get(f"b_O_{layer}", 0.0))
        return out

    def bent(h, layer):
        hidden = (np.maximum(t @ w[f"W_1_{layer}"] + w.get(f"b_1_{layer}", 0.0), 0.0) for t in h)
        return [t @ w[f"W_2_{layer}"] + w.get(f"b_2_{layer}", 0.0) for t in hidden]

    for layer in range(1, setting.layers + 1):
        for number, branch in ((1, attended), (2, bent)):
            name = f"{layer}_{number}"
            h = [normalised(t, w, name) for t in x] if setting.norm == "pre" else x
            x = [t + f for t, f in zip(x, branch(h, layer), strict=True)]
            x = [normalised(t, w, name) for t in x] if setting.norm == "post" else x
    first = normalised(x[0], w, "final") if "gain_final" in w else x[0]
    return first @ w["head"] + w.get("b_head", 0.0)


def loss_by_loops(w, setting, sequences, **options):
    """Return mean cross-entropy and share of right classes."""
    z = np.array([logits_by_loops(w, setting, tokens, **options) for tokens in sequences.tokens])
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(z)), sequences.y].mean(), np.mean(z.argmax(axis=1) == sequences.y)


# -- the model -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_is_that_of_the_definition(form):
    system = transformer(FORMS[form], 2)
    params = perturbed(system)
    views = system.layout.views(params)
    for batch in (None, system.batch(1)):
        want, _ = loss_by_loops(vars(views), system.setting, system.fixed if batch is None else batch)
        assert system.forward(views, batch).loss == pytest.approx(want, rel=ROUNDING)
    moved = params.copy()
    moved[system.layout.slices["W_1_1"]] *= 1 + 1e-6  # negative control
    assert abs(system.forward(system.layout.views(moved)).loss / system.forward(views).loss - 1) > 100 * ROUNDING


@pytest.mark.parametrize("form", FORMS)
def test_gradients_against_complex_steps(form):
    system = transformer(FORMS[form], 2)
    for params in (system.start, perturbed(system)):
        check = gradcheck(system, params, directions=1)
        assert check.worst < ROUNDING, f"\n{check}"


def test_a_wrong_gradient_is_seen():
    system = transformer(SMALL, 2)

    def wrong(params, cache, out, signs=False):
        system.backward(params, cache, out)
        out.gain_1_1[...] *= 1 + 1e-6

    spoiled = SimpleNamespace(layout=system.layout, start=system.start, forward=system.forward, backward=wrong)
    check = gradcheck(spoiled, directions=1)
    assert not check.passed and check.errors["gain_1_1"] > 1e-9 > ROUNDING > check.errors["W_Q_1"]


@pytest.mark.parametrize("form", FORMS)
def test_hessian_times_vector_against_complex_steps_of_the_gradient(form):
    """The step is inside the window in which no ReLU switches, as any step of 1e-30 is; the Hessian is symmetric."""
    system = transformer(FORMS[form], 2)
    rng, params = np.random.default_rng(0), perturbed(system)
    u, v = rng.standard_normal((2, system.layout.size))
    found = curvature_along(system, params, v)
    assert gap(found, slope(system, params + 1e-30j * v).imag / 1e-30) < ROUNDING
    for name, part in system.layout.slices.items():  # block by block: a small one must not hide behind the largest
        only = np.zeros_like(v)
        only[part] = v[part]
        one, want = curvature_along(system, params, only)[part], slope(system, params + 1e-30j * only)[part].imag / 1e-30
        assert np.abs(one - want).max() < ROUNDING * max(np.abs(want).max(), np.abs(found).max()), name
    assert u @ found == pytest.approx(v @ curvature_along(system, params, u), rel=1e-11, abs=1e-11 * np.linalg.norm(found))
    assert gap(found, curvature_along(system, params + 1e-6 * v, v)) > 100 * ROUNDING, "negative control"


def test_hessian_times_vector_uses_the_cache_and_leaves_it_as_it_was():
    system = transformer(SMALL.replace(norm="pre"), 2)
    V, params, v = system.layout.views, perturbed(system), np.random.default_rng(3).standard_normal((2, system.layout.size))
    cache, gradient, outs = system.forward(V(params)), np.empty_like(params), np.empty((3, system.layout.size))
    system.backward(V(params), cache, V(gradient))
    for direction, out in zip((v[0], v[1], v[0]), outs, strict=True):
        system.hessian_vector(V(params), cache, V(direction), V(out))
    assert same_bits(outs[0], outs[2]) and same_bits(outs[0], curvature_along(system, params, v[0]))
    again = np.empty_like(params)
    system.backward(V(params), cache, V(again))
    assert same_bits(again, gradient)


@pytest.mark.parametrize("norm", NORMS)
def test_replicates_move_as_if_alone(norm):
    setting = SMALL.replace(norm=norm, final_norm=norm != "pre")
    one = transformer(setting, 2)
    starts = np.stack([perturbed(one, seed) for seed in range(3)])
    many = transformer(setting, 2, start=starts)
    assert many.provenance == {**one.provenance, "start": "given"}
    v = np.random.default_rng(0).standard_normal(starts.shape)
    gradients, curved = slope(many, starts, one.batch(0)), curvature_along(many, starts, v, one.batch(0))
    for i in range(3):
        assert gap(gradients[i], slope(one, starts[i], one.batch(0))) < ROUNDING
        assert gap(curved[i], curvature_along(one, starts[i], v[i], one.batch(0))) < ROUNDING
    rates, record = np.array([1e-3, 3e-3, 1e-2]), ["train_loss", "fixed_loss", "train_accuracy", "grad_norm", "block_grad_norms"]
    run = simulate(many, Adam(rates), steps=5, record=record)
    assert run["block_grad_norms"].shape == (6, 3, len(one.layout.shapes)) and run["train_accuracy"].shape == (6, 3)
    alone = simulate(many.replicates(1), Adam(rates[1]), steps=5, record=record)
    for name in record:
        assert gap(run[name][:, 1], alone[name]) < 1e-10, name
    assert gradcheck(many, directions=1).worst < ROUNDING


def test_a_bias_of_keys_would_have_no_gradient():
    system = transformer(SMALL, 2)
    w = vars(system.layout.views(perturbed(system)))
    shift = 10.0 * np.random.default_rng(0).standard_normal(SMALL.d)
    plain, moved = (loss_by_loops(w, SMALL, system.fixed, b_K=b)[0] for b in (0.0, shift))
    assert moved == pytest.approx(plain, rel=1e-11)
    assert not any(name.startswith("b_K") for name in system.layout.shapes)


def test_large_weights_do_not_overflow_and_a_diverging_run_says_so():
    system = transformer(SMALL.replace(norm="none"), 2)
    big = system.layout.views(system.start * 1e3)
    assert np.isfinite(system.forward(big).loss) and system.forward(big).loss > 1e3
    run = simulate(system, GradientDescent(1e6), steps=40)
    assert run.status == "diverged" and np.isfinite(run["train_loss"]).all()


# -- blocks and initial weights --------------------------------------------------------------------------------------------


def test_blocks():
    every = set(block_shapes(SMALL.replace(norm="pre", layers=1)))
    gone = {
        "post": {"gain_final", "shift_final"},
        "none": {name for name in every if name.startswith(("gain", "shift"))},
    }
    for norm, missing in gone.items():
        assert every - set(block_shapes(SMALL.replace(norm=norm, layers=1))) == missing
    bare = set(block_shapes(SMALL.replace(norm="pre", layers=1, biases=False)))
    assert every - bare == {"b_Q_1", "b_V_1", "b_O_1", "b_1_1", "b_2_1", "shift_1_1", "shift_1_2", "shift_final", "b_head"}
    system = transformer(SMALL, 0)
    assert system.constants["block_sizes"].tolist() == [np.prod(shape) for shape in system.layout.shapes.values()]
    assert system.constants["block_sizes"].sum() == system.layout.size


def test_scales_of_initial_weights():
    """Standard deviations of thousands of entries, to 5 %, three times the error of the smallest block."""
    setting = Transformer(d=60, heads=6, width=120, vocab=50, length=50, classes=48, embedding_scale=0.02, weight_scale=0.2)
    for init, variances in (("he", (1 / 60, 2 / 60, 1 / 120)), ("xavier", (2 / 120, 2 / 180, 2 / 180))):
        w = initial_weights(setting.replace(init=init), 3)
        for name, variance in zip(("W_Q_1", "W_1_2", "W_2_1"), variances, strict=True):
            assert w[name].std() == pytest.approx(0.2 * np.sqrt(variance), rel=0.05)
        assert w["embedding"].std() == pytest.approx(0.02, rel=0.05) and w["positions"].std() == pytest.approx(0.02, rel=0.05)
        assert w["head"].std() == pytest.approx(60**-0.5, rel=0.05)
    assert initial_weights(setting.replace(head_scale=0.3), 3)["head"].std() == pytest.approx(0.3, rel=0.05)
    assert (w["gain_1_1"] == 1).all() and not w["b_1_1"].any() and not w["shift_2_2"].any()


def test_streams():
    base = initial_weights(SMALL, 4)
    for change, moved in (({"norm": "none"}, set()), ({"layers": 4}, set()), ({"biases": False}, set()), ({"samples": 20}, set()),
                          ({"task": "before"}, set()), ({"classes": 4}, {"head"}), ({"embedding_scale": 0.1}, {"embedding", "positions"}),
                          ({"head_scale": 0.1}, {"head"})):
        other = initial_weights(SMALL.replace(**change), 4)
        assert {name for name in base.keys() & other.keys() if not same_bits(base[name], other[name]) and name != "b_head"} == moved, change
    assert not same_bits(base["W_Q_1"], base["W_Q_2"])
    a, b = transformer(SMALL, 4), transformer(SMALL.replace(task="before", norm="pre"), 4)
    assert same_bits(a.fixed.tokens, b.fixed.tokens) and not same_bits(a.fixed.y, b.fixed.y)


# -- sequences -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", Transformer.TASKS)
def test_the_class_is_that_of_the_token_beside_the_marker(task):
    for setting in (Transformer(task=task), SMALL.replace(task=task)):
        seen = draw_sequences(setting, 4000, np.random.default_rng(0))
        for tokens, y in zip(seen.tokens[:200], seen.y, strict=False):
            (place,) = np.flatnonzero(tokens == MARKER)
            assert 2 <= place <= setting.length - 2 and tokens[0] == FIRST and FIRST not in tokens[1:]
            assert (tokens[place + (1 if task == "after" else -1)] - 2) % setting.classes == y
        assert set(np.unique(seen.tokens)) == set(range(setting.vocab))
        share = 1 / setting.classes
        assert np.abs(np.bincount(seen.y) / 4000 - share).max() < 4 * np.sqrt(share * (1 - share) / 4000)


def test_batches_are_a_function_of_the_step():
    system = transformer(SMALL.replace(batch=3, samples=10), 2)
    known = {tuple(tokens): i for i, tokens in enumerate(system.fixed.tokens)}
    epochs = [[known[tuple(t)] for step in range(3 * e, 3 * e + 3) for t in system.batch(step).tokens] for e in range(3)]
    assert all(len(set(taken)) == 9 for taken in epochs) and len(set(map(tuple, epochs))) == 3
    other = transformer(SMALL.replace(batch=3, samples=10), 2)
    for step in (7, 0, 4):  # in whatever order they are asked for
        assert same_bits(other.batch(step).tokens, system.batch(step).tokens) and same_bits(other.batch(step).y, system.batch(step).y)
    fresh = transformer(SMALL.replace(fresh=True), 2)
    assert same_bits(fresh.batch(5).tokens, fresh.batch(5).tokens) and not same_bits(fresh.batch(5).tokens, fresh.batch(6).tokens)
    assert transformer(SMALL.replace(batch=0), 2).batch(3) is None
    run = simulate(fresh, Adam(1e-3), steps=6)
    half = simulate(fresh, Adam(1e-3), steps=3)
    assert same_bits(simulate(fresh, Adam(1e-3), steps=3, start=half).final, run.final)


# -- what is measured ------------------------------------------------------------------------------------------------------


def test_observables_by_definition(monkeypatch):
    system = transformer(SMALL, 2)
    params = perturbed(system, scale=1.0)
    views, gradient = system.layout.views(params), slope(system, params, system.batch(0))
    loss, right = loss_by_loops(vars(views), SMALL, system.fixed)
    for together in (256, 4):
        monkeypatch.setattr("dynsim.systems.gradient_heterogeneity.transformer.model.EVALUATED", together)
        cache = system.forward(views, system.batch(0))
        read = {name: observable.read(views, cache) for name, observable in system.observables.items()}
        assert read["fixed_loss"] == pytest.approx(loss, rel=ROUNDING) and read["train_accuracy"] == pytest.approx(right)
        assert read["grad_norm"] == pytest.approx(np.linalg.norm(gradient), rel=ROUNDING)
        want = [np.linalg.norm(gradient[part]) for part in system.layout.slices.values()]
        assert read["block_grad_norms"] == pytest.approx(want, rel=ROUNDING)
    assert 0 < right < 1


@pytest.mark.parametrize("norm", NORMS)
def test_it_learns(norm):
    """A sanity check of task and model together: most of 60 sequences of three classes are learnt by heart."""
    setting = SMALL.replace(norm=norm, samples=60, batch=0, d=12, width=24, layers=1)
    run = simulate(transformer(setting, 0), Adam(2e-2), steps=120, record=["train_loss", "train_accuracy"], at=[])
    assert run["train_loss"][-1] < 0.3 * run["train_loss"][0] and run["train_accuracy"][-1] > 0.8


# -- fine-tuning -----------------------------------------------------------------------------------------------------------


def test_a_fresh_head_on_the_weights_of_a_run():
    first = transformer(SMALL, 2)
    run = simulate(first, Adam(1e-2), steps=5)
    setting = SMALL.replace(task="before", head_scale=0.02, samples=12)
    system = with_fresh_head(run, setting, seed=7)
    start, trained = system.layout.views(system.start), first.layout.views(run.final)
    for name in first.layout.shapes:
        assert same_bits(getattr(start, name), getattr(trained, name)) == (name not in ("head", "b_head")), name
    assert same_bits(start.head, initial_weights(setting, 7)["head"]) and not start.b_head.any()
    assert same_bits(system.fixed.y, transformer(setting, 7).fixed.y)
    assert system.provenance["pretrained"]["seed"] == 2 and system.provenance["pretrained"]["last_step"] == 5
    wide = with_fresh_head(run, setting.replace(classes=5), seed=7)
    assert wide.layout.views(wide.start).head.shape == (6, 5)
    many = simulate(replace(first, start=np.stack([first.start, perturbed(first)])), Adam(1e-2), steps=2)
    assert same_bits(with_fresh_head(many, setting, seed=7).replicates(1).start[: 11 * 6], many.final[1, : 11 * 6])
    tuned = simulate(system, Adam(1e-2), steps=2)
    assert tuned.status == "finished"
    with pytest.raises(ValueError, match="norm='pre' of the setting is 'post' in the run"):
        with_fresh_head(run, SMALL.replace(norm="pre"))
    with pytest.raises(ValueError, match="not one of a transformer"):
        with_fresh_head(replace(run, provenance={"system": "signal_noise"}), SMALL)


FINE = SMALL.replace(task="before", head_scale=0.05, pretrained=12, samples=20)


def test_pretraining_moves_the_start_and_leaves_a_fresh_head():
    plain, tuned = transformer(FINE.replace(pretrained=0), 3), transformer(FINE, 3)
    assert tuned.layout.shapes == plain.layout.shapes and same_bits(tuned.fixed.tokens, plain.fixed.tokens)
    assert same_bits(tuned.batch(2).tokens, plain.batch(2).tokens) and same_bits(tuned.fixed.y, plain.fixed.y)
    one, other = (system.layout.views(system.start) for system in (plain, tuned))
    for name in plain.layout.shapes:
        assert same_bits(getattr(one, name), getattr(other, name)) == (name in ("head", "b_head")), name
    assert not other.b_head.any() and other.b_O_1.any(), "fresh, and trained"
    wide = transformer(FINE.replace(head_scale=0.5), 3)
    assert gap(wide.layout.views(wide.start).head, 10.0 * other.head) < 1e-12
    assert same_bits(wide.start[: wide.layout.slices["head"].start], tuned.start[: wide.layout.slices["head"].start])
    run = simulate(tuned, Adam(1e-3), steps=2)
    assert run.status == "finished" and run.provenance["pretrained"] == tuned.provenance["pretrained"]


@pytest.mark.parametrize("change", [{}, {"norm": "pre"}, {"task": "after", "pretrain_lr": 3e-3}, {"fresh": True, "batch": 5}], ids=str)
def test_the_body_is_that_of_a_run_on_the_other_task(change):
    """Weights, sequences and rule written out here; the run begins with a head of the usual scale, whatever that of the fresh one."""
    setting = FINE.replace(**change)
    system, other = transformer(setting, 3), "before" if setting.task == "after" else "after"
    about = system.provenance["pretrained"]
    first = transformer(setting.replace(task=other, head_scale=0.0, pretrained=0), about["seed"])
    assert about["setting"] == first.setting.to_dict() and about["last_step"] == 12 and system.provenance["setting"] == setting.to_dict()
    run = simulate(first, Adam(LinearDecay(setting.pretrain_lr, 12, warmup=1)), steps=12, record=["fixed_loss", "train_accuracy"])
    body = slice(0, system.layout.slices["head"].start)
    assert same_bits(system.start[body], run.final[body]) and not same_bits(run.final[body], first.start[body])
    found = system.constants
    assert found["pretrained_fixed_loss"] == run["fixed_loss"][-1] and found["pretrained_train_accuracy"] == run["train_accuracy"][-1]
    assert "pretrained_fixed_loss" not in transformer(setting.replace(pretrained=0), 3).constants
    assert same_bits(transformer(setting, 3).start, system.start)


def test_placements_are_pretrained_alike_and_seeds_are_not():
    seeds = {(norm, seed): transformer(FINE.replace(norm=norm, pretrained=1), seed).provenance["pretrained"]["seed"]
             for norm in ("post", "pre") for seed in (0, 1, 2)}
    assert all(seeds["post", seed] == seeds["pre", seed] for seed in (0, 1, 2))
    assert len(set(seeds.values())) == 3 and not set(seeds.values()) & {0, 1, 2}, "sequences and weights that no seed in use has"
    starts = [transformer(FINE, seed).start for seed in (0, 1)]
    assert not same_bits(*starts)


def test_a_pretrained_run_can_be_kept(tmp_path):
    experiment = Experiment("gradient_heterogeneity", FINE, Adam(1e-3), 2, record=("train_loss",))
    json.dumps(experiment.build().provenance, allow_nan=False)
    run = experiment.run()
    run.save(tmp_path / "run.npz")
    again = load(tmp_path / "run.npz")
    assert again.provenance == run.provenance and same_bits(again["train_loss"], run["train_loss"])
    assert again.constants["pretrained_fixed_loss"] == run.constants["pretrained_fixed_loss"]


def test_pretraining_that_diverges_says_which_rate_to_lower():
    with pytest.raises(ValueError, match=r"pretrain_lr=1e\+200: pre-training diverged at step \d+; lower it"):
        transformer(FINE.replace(norm="none", pretrain_lr=1e200), 3)


# -- settings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change, message", [
    ({"task": "beside"}, "unknown task 'beside'"), ({"norm": "Post"}, "'post'"), ({"init": "kaiming"}, "init"),
    ({"heads": 4}, "must divide d=6"), ({"d": 2, "heads": 1}, "at least 3"), ({"vocab": 4}, "every class needs a token"),
    ({"batch": 10}, "at most samples=9"),
    ({"fresh": True, "batch": 0}, "set fresh=False"), ({"embedding_scale": 0}, "embedding_scale=0"), ({"biases": 1}, "true or false"),
    ({"length": 3}, "length=3"), ({"head_scale": -1.0}, "head_scale=-1.0"),
    ({"pretrained": -1}, "pretrained=-1"), ({"pretrain_lr": 0.0}, "pretrain_lr=0"),
])
def test_bad_settings_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        SMALL.replace(**change)


def test_settings_round_trip():
    assert Setting.from_dict(SMALL.to_dict()) == SMALL
    assert transformer(SMALL, 0).provenance["setting"] == SMALL.to_dict()
