"""The transformer on general tokens: its definition, gradients, signs, exact reductions, and the two-token model inside it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, simulate
from dynsim.gradcheck import gradcheck
from dynsim.system import Inexact
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.tokens.signs import BAND

from ...helpers import LUMPING_RULES, gap, same_bits
from .helpers import gradient_of, random_setting, weights_of

LENGTHS = (2, 3, 4, 5)
NAMES = ("value_tokens", "query_tokens", "key_tokens", "attention", "train_loss", "train_error", "test_loss", "test_error", "ties")


def token_arrays(seed, length, *, n=4, d=9, m_k=3, m_v=2, scale=0.6, density=0.6):
    """Draw what `from_tokens` takes: sparse tokens that meet, one coordinate in no token, proportional columns, a blank token."""
    rng = np.random.default_rng([seed, length])
    X = np.where(rng.random((n, length, d)) < density, rng.standard_normal((n, length, d)), 0.0)
    X[:, :, 0] = 0.0
    X[:, :, 2] = -1.5 * X[:, :, 1]
    if length > 2:
        X[0, 1] = 0.0
    shapes = {"W_Q": (m_k, d), "W_K": (m_k, d), "W_V_pos": (m_v, d), "W_V_neg": (m_v, d)}
    weights = {name: scale * rng.standard_normal(shape) for name, shape in shapes.items()}
    return {"X": X, "y": rng.choice([-1.0, 1.0], n), **weights}


def fresh(seed, length, d, t=7):
    rng = np.random.default_rng([seed, length, 1])
    return rng.standard_normal((t, length, d)), rng.choice([-1.0, 1.0], t)


def definition(X, y, W_Q, W_K, W_V_pos, W_V_neg, logit_scale=1.0):
    """Return the margins of samples sample by sample and token by token, as the model is defined."""
    margins = []
    for tokens, label in zip(X, y, strict=True):
        output = 0.0
        for query in tokens:
            scores = logit_scale * (tokens @ W_K.T) @ (W_Q @ query)
            p = np.exp(scores - scores.max())
            context = tokens.T @ (p / p.sum())
            output += (W_V_pos @ context).mean() - (W_V_neg @ context).mean()
        margins.append(label * output)
    return np.array(margins)


@pytest.mark.parametrize("length", LENGTHS)
def test_losses_and_errors_are_the_definition(length):
    """Of dense, restricted and lumped systems, on training and on test samples, with scaled logits."""
    arrays, test = token_arrays(0, length), fresh(0, length, 9)
    dense = replace(signal_noise.from_tokens(**arrays, test=test), logit_scale=0.7)
    weights = {name: w for name, w in arrays.items() if name.startswith("W")}
    for form in (dense, dense.restrict(), dense.lump(SignGD), dense.lump(GradientDescent)):
        run = simulate(form, SignGD(1.0) if "sign" in form.exact_for else GradientDescent(1.0), steps=0, record=NAMES)
        for name, samples in (("train", (arrays["X"], arrays["y"])), ("test", test)):
            margin = definition(*samples, **weights, logit_scale=0.7)
            assert run[f"{name}_loss"][0] == pytest.approx(np.logaddexp(0.0, -margin).mean(), rel=1e-13)
            assert run[f"{name}_error"][0] == (margin <= 0).mean()


def test_observables_are_what_they_say():
    arrays = token_arrays(1, 3)
    system = signal_noise.from_tokens(**arrays, test=fresh(1, 3, 9))
    run = simulate(system, SignGD(0.1), steps=0, record=NAMES)
    X, v = arrays["X"], arrays["W_V_pos"].mean(0) - arrays["W_V_neg"].mean(0)
    Q, K = X @ arrays["W_Q"].T, X @ arrays["W_K"].T
    p = np.exp(Q @ K.swapaxes(1, 2))
    assert gap(run["value_tokens"][0], X @ v) < 1e-14
    assert gap(run["query_tokens"][0], np.moveaxis(Q, -1, 0)) < 1e-14 and gap(run["key_tokens"][0], np.moveaxis(K, -1, 0)) < 1e-14
    assert gap(run["attention"][0], p / p.sum(-1, keepdims=True)) < 1e-14
    assert run.dims["query_tokens"] == run.dims["key_tokens"] == ("step", "row", "sample", "token")
    assert run.dims["value_tokens"] == ("step", "sample", "token") and run.dims["attention"] == ("step", "sample", "query", "key")
    assert set(system.observables) == set(NAMES), "an observable that no test reads"
    assert all(o.doc and o.symbol for o in system.observables.values())
    assert not {"test_loss", "test_error"} & set(signal_noise.from_tokens(**arrays).observables)


# -- gradients ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_complex_step(length):
    """Random directions in every block of every form; rounding only."""
    dense = replace(signal_noise.from_tokens(**token_arrays(2, length)), logit_scale=0.8)
    for form in (dense, dense.restrict(), dense.lump(SignGD), dense.lump(GradientDescent)):
        check = gradcheck(form, rng=length)
        assert check.worst < 1e-13, str(check)


@pytest.mark.parametrize("block", ["W_QK", "W_V"])
def test_complex_step_catches_a_wrong_term(block):
    """Negative control: one entry off by a thousandth of the gradient's size."""

    class Spoilt(signal_noise.TokenTransformer):
        def backward(self, params, cache, out, *, signs=False):
            super().backward(params, cache, out, signs=signs)
            spoilt = getattr(out, block)
            spoilt[0, 1, 0] += 1e-3 * np.abs(spoilt).max()

    system = signal_noise.from_tokens(**token_arrays(2, 3))
    spoilt = Spoilt(**{name: getattr(system, name) for name in system.__dataclass_fields__})
    assert gradcheck(spoilt).errors[block] > 1e-6


# -- signs -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_signs_are_those_of_the_values_where_values_survive(length):
    """Many rows, so that some sums nearly cancel and a slightly wrong weight would turn a sign."""
    dense = signal_noise.from_tokens(**token_arrays(3, length, m_k=500, scale=0.06))
    for form in (dense, dense.restrict(), dense.lump(SignGD)):
        values, signs = gradient_of(form), gradient_of(form, signs=True)
        np.testing.assert_array_equal(np.sign(signs), np.sign(values))
        assert (values != 0).mean() > 0.3


def decimal_gradient(X, y, W_Q, W_K, W_V_pos, W_V_neg):
    """Return the gradients of W_Q, W_K and v in decimal arithmetic whose exponents do not end at -308; floats enter exactly."""
    exact = np.vectorize(lambda x: Decimal(float(x)), otypes=[object])
    X, W_Q, W_K = map(exact, (X, W_Q, W_K))
    v = exact(W_V_pos).sum(0) / len(W_V_pos) - exact(W_V_neg).sum(0) / len(W_V_neg)
    of_Q, of_K, of_v = W_Q * 0, W_K * 0, v * 0
    for tokens, label in zip(X, map(int, y), strict=True):
        V, attention = tokens @ v, []
        for query in tokens:
            scores = (tokens @ W_K.T) @ (W_Q @ query)
            p = np.array([(z - scores.max()).exp() for z in scores], dtype=object)
            attention.append(p / p.sum())
        margin = label * sum(p @ V for p in attention)
        of_output = -label / (1 + margin.exp()) / len(y)
        for query, p in zip(tokens, attention, strict=True):
            of_v = of_v + of_output * (p @ tokens)
            of_z = np.array([p[a] * sum(p * (V[a] - V)) for a in range(len(p))], dtype=object) * of_output
            of_Q = of_Q + np.outer(W_K @ (tokens.T @ of_z), query)
            of_K = of_K + np.outer(W_Q @ query, tokens.T @ of_z)
    return of_Q, of_K, of_v


def extreme_arrays(case, seed, length):
    """Logits in the thousands, all margins in the thousands, or tokens of such different size that the log scales of features do, too."""
    arrays = token_arrays(seed, length, n=3, d=30 if case == "margins" else 9)
    if case in ("logits", "bands"):
        arrays["W_Q"], arrays["W_K"] = 60.0 * arrays["W_Q"], 60.0 * arrays["W_K"]
    if case == "margins":  # every token's value is about 2000 y: every l_i underflows
        stacked, wanted = arrays["X"].reshape(-1, 30), np.repeat(arrays["y"], length) * np.linspace(1900, 2300, 3 * length)
        arrays["W_V_pos"] = arrays["W_V_pos"] + np.linalg.lstsq(stacked, wanted, rcond=None)[0]
    if case == "bands":  # a block of coordinates to each sample, and one that all share
        blocks = np.zeros((3, 1, 9), dtype=bool)
        for i in range(3):
            blocks[i, 0, [1, 2, 3 + 2 * i, 4 + 2 * i]] = True
        arrays["X"] = np.where(blocks, arrays["X"], 0.0)
        arrays["X"][:, :, 1] += 1e-3 * np.arange(1, 3 * length + 1).reshape(3, length)  # where tokens of a sample agree W_K has a tie
    return arrays


@pytest.mark.parametrize("length", (2, 3, 4))
@pytest.mark.parametrize("case", ["logits", "margins", "bands"])
def test_signs_against_decimal_arithmetic(case, length):
    """Most values are lost in float64, no sign is: dense, restricted and lumped, with blank tokens among them."""
    lost, spread = 0, 0.0
    for seed in range(3):
        arrays = extreme_arrays(case, seed, length)
        dense = signal_noise.from_tokens(**arrays)
        with localcontext() as context:
            context.prec, context.Emin, context.Emax = 80, -(10**8), 10**8
            of_Q, of_K, of_v = (np.sign(part).astype(float) for part in decimal_gradient(**arrays))
        for form in (dense, dense.restrict()):
            columns = slice(None) if form is dense else dense.data.columns
            signs = {name: np.sign(part) for name, part in weights_of(form, gradient_of(form, signs=True)).items()}
            np.testing.assert_array_equal(signs["W_Q"], of_Q[:, columns])
            np.testing.assert_array_equal(signs["W_K"], of_K[:, columns])
            np.testing.assert_array_equal(signs["W_V_pos"], np.broadcast_to(of_v[columns], signs["W_V_pos"].shape))
            np.testing.assert_array_equal(signs["W_V_neg"], -signs["W_V_pos"])
            plain = weights_of(form, gradient_of(form))
            lost += sum((np.sign(plain[name]) != signs[name]).sum() for name in signs)
        groups, lumped = dense.data.groups, dense.lump(SignGD)
        views = lumped.layout.views(np.sign(gradient_of(lumped, signs=True)))
        for block, want in enumerate((of_Q, of_K)):
            np.testing.assert_array_equal(views.W_QK[block][groups.group].T * np.sign(groups.coef), want[:, dense.data.columns])
        np.testing.assert_array_equal(views.v[groups.group] * np.sign(groups.coef), of_v[dense.data.columns])
        views = dense.layout.views(dense.start)
        log_p = dense.forward(views).log_p
        spread = max(spread, -log_p.min())
    assert lost > 0, "negative control: plain float64 products lose signs at this size"
    assert spread > 2 * BAND or case == "margins", "the bands were not needed"


def test_underflow_is_noted_where_values_count():
    """A rule with memory needs the values: the run tells the first step at which one was lost; memoryless signs lose none."""
    arrays = extreme_arrays("logits", 0, 3)
    system, mild = signal_noise.from_tokens(**arrays), signal_noise.from_tokens(**token_arrays(0, 3))
    for rule in (SignGD(1e-4, momentum=0.5), Adam(1e-4), GradientDescent(1e-4)):
        assert simulate(system, rule, steps=2).underflow_at == 0
        assert simulate(mild, rule, steps=2).underflow_at == -1
    assert simulate(system, SignGD(1e-4), steps=2).underflow_at == -1


def test_sgn_of_zero_is_zero():
    """With all weights 0 the attention has no gradient, and the run of W_Q and W_K stays exactly at 0."""
    arrays = token_arrays(4, 3)
    zero = {name: np.zeros_like(a) if name.startswith("W") else a for name, a in arrays.items()}
    for form in (signal_noise.from_tokens(**zero), signal_noise.from_tokens(**zero).lump(SignGD)):
        run = simulate(form, SignGD(0.01), steps=10)
        assert not run["query_tokens"].any() and not run["key_tokens"].any() and run["value_tokens"][-1].any()


def test_a_coordinate_on_which_tokens_agree_is_a_tie_of_the_keys():
    """Attention compares the keys of a sample: what they have in common drops out, in exact arithmetic."""
    arrays = token_arrays(6, 3)
    dense = signal_noise.from_tokens(**arrays)
    assert simulate(dense, SignGD(0.1), steps=0, record=["ties"])["ties"][0] == 0
    arrays["X"][:, :, 0] = 1.0
    dense, rows = signal_noise.from_tokens(**arrays), len(arrays["W_K"])
    assert simulate(dense, SignGD(0.1), steps=0, record=["ties"])["ties"][0] == rows
    assert np.abs(weights_of(dense, gradient_of(dense))["W_K"][:, 0]).max() < 1e-16


def test_ties_are_counted():
    """Two samples that are mirror images on a shared coordinate pull v there in opposite directions, equally hard."""
    X = np.zeros((2, 2, 4))
    X[:, 0, 0], X[0, 1], X[1, 1] = 1.0, [0.0, 1.0, 0.5, 0.0], [0.0, -1.0, 0.0, 0.5]
    zero = {name: np.zeros((2, 4)) for name in ("W_Q", "W_K", "W_V_pos", "W_V_neg")}
    for shift, ties in ((0.0, 1), (0.1, 0)):
        X[1, 1, 1] = -1.0 + shift
        dense = signal_noise.from_tokens(X, [1, 1], **zero)
        for form in (dense, dense.restrict(), dense.lump(SignGD)):
            assert simulate(form, SignGD(0.1), steps=0, record=["ties"])["ties"][0] == ties


# -- the two-token model inside ------------------------------------------------------------------------------------------------


def as_tokens(two):
    """Return the same system on general tokens."""
    X = np.stack([two.data.y[:, None] * two.data.mu, two.data.xi], axis=1)
    return signal_noise.from_tokens(X, two.data.y, **weights_of(two))


@pytest.mark.parametrize("disjoint", [False, True], ids=["overlapping", "disjoint"])
@pytest.mark.parametrize("name", ["SignGD", "GD", "Adam(eps=0)"])
def test_two_tokens_are_the_two_token_model(name, disjoint):
    setting = random_setting(11, disjoint=disjoint)
    rule = replace(LUMPING_RULES[name], lr={"SignGD": 0.01, "GD": 0.2, "Adam(eps=0)": 0.01}[name])
    two = replace(signal_noise.dense(setting, seed=1), logit_scale=0.9)
    ours = replace(as_tokens(two), logit_scale=0.9)
    for one, other in ((two, ours), (two.lump(rule), ours.lump(rule))):
        run = simulate(one, rule, steps=100, record=[*one.observables])
        tokens = simulate(other, rule, steps=100, record=[*other.observables])
        y = two.data.y
        assert run["ties"].sum() == tokens["ties"].sum() == 0, "the setting is not in general position"
        for at, kind in enumerate(("signal", "noise")):
            for observable, want in (("query", "query_tokens"), ("key", "key_tokens"), ("mean_value", "value_tokens")):
                values = tokens[want][..., at] * y
                theirs = run[f"{observable}_{kind}"]
                assert gap(values, theirs if kind == "noise" else np.broadcast_to(theirs[..., None], values.shape)) < 1e-12, observable
        assert gap(tokens["attention"][:, :, 0, 0], run["softmax_11"]) < 1e-12
        assert gap(tokens["attention"][:, :, 1, 0], run["softmax_21"]) < 1e-12
        assert gap(tokens["train_loss"], run["train_loss"]) < 1e-12 and same_bits(tokens["train_error"], run["train_error"])
        assert gap(tokens["attention"][0], tokens["attention"][-1]) > 1e-3


# -- reductions ----------------------------------------------------------------------------------------------------------------


def drawn(length, *, disjoint=False, n=6, s=6, d=60):
    setting = signal_noise.Setting(n=n, d=max(d, n * (length - 1) * s + 1) if disjoint else d, s=s, m_k=8, m_v=3, disjoint=disjoint)
    X, y = signal_noise.draw_tokens(setting, length, seed=length)
    test = signal_noise.draw_tokens(setting.replace(n=9, disjoint=False), length, seed=length + 100)
    return signal_noise.from_tokens(X, y, **signal_noise.initial_weights(setting.d, 8, 3, 0.1, seed=length), test=test)


def assert_same_run(run, other, tolerance=1e-11):
    """Agree to 1e-11 of the largest entry: 150 steps of rounding, more where the attention is sharp."""
    assert run.status == other.status == "finished" and run["ties"].sum() == other["ties"].sum() == 0
    for name in NAMES:
        assert gap(run[name], other[name]) < tolerance, (name, gap(run[name], other[name]))


def run_of(system, rule):
    return simulate(system, rule, steps=150, record=NAMES)


@pytest.mark.parametrize("length", (2, 3, 4))
@pytest.mark.parametrize("name", ["SignGD", "GD", "Adam(eps=0)"])
def test_lumped_equals_dense(name, length):
    """Every quantity, test loss included, and the weights lifted back."""
    rule = replace(LUMPING_RULES[name], lr={"SignGD": 0.005, "GD": 0.1, "Adam(eps=0)": 0.005}[name])
    dense = drawn(length, disjoint=length == 3)
    lumped = dense.lump(rule)
    assert lumped.features.size < dense.data.d
    run, reduced = run_of(dense, rule), run_of(lumped, rule)
    assert_same_run(reduced, run)
    assert gap(run["attention"][0], run["attention"][-1]) > 1e-2 and gap(run["test_loss"][0], run["test_loss"][-1]) > 1e-3
    lifted, final = dense.lift(lumped, reduced.final), weights_of(dense, run.final)
    assert max(gap(lifted[matrix], final[matrix]) for matrix in final) < 1e-11
    again = signal_noise.from_tokens(dense.data.X, dense.data.y, **lifted)
    assert simulate(again, rule, steps=0)["train_loss"][0] == pytest.approx(run["train_loss"][-1], rel=1e-11)


def test_a_wrong_step_scale_is_noticed():
    """Negative control: the scale of one feature off by 1e-6."""
    dense, rule = drawn(3), SignGD(0.005)
    lumped = dense.lump(rule)
    scale = lumped.step_scale.copy()
    lumped.layout.views(scale).W_QK[1, -1] *= 1 + 1e-6
    with pytest.raises(AssertionError):
        assert_same_run(run_of(replace(lumped, step_scale=scale), rule), run_of(dense, rule))


def test_restricted_equals_dense_for_adam_with_eps():
    dense, rule = drawn(3), Adam(0.005)
    restricted = dense.restrict()
    assert restricted.features.size == len(dense.data.columns) < dense.data.d
    run, reduced = run_of(dense, rule), run_of(restricted, rule)
    assert_same_run(reduced, run)
    lifted, final = dense.lift(restricted, reduced.final), weights_of(dense, run.final)
    assert max(gap(lifted[matrix], final[matrix]) for matrix in final) < 1e-11
    with pytest.raises(Inexact, match="restrict"):
        simulate(dense.lump(SignGD), rule, steps=1)
    forced = replace(dense.lump(SignGD), exact_for=frozenset({"any"}))
    with pytest.raises(AssertionError):
        assert_same_run(run_of(forced, Adam(0.005, eps=1e-3)), run_of(dense, Adam(0.005, eps=1e-3)))


def test_tokens_without_a_private_column_cost_no_feature():
    """Images: every coordinate is met by many tokens, so that there are as many features as coordinates."""
    dense = signal_noise.from_tokens(**token_arrays(5, 4, n=10, density=0.9))
    lumped = dense.lump(SignGD)
    assert len(dense.data.columns) == 8 and lumped.features.size == 7 and lumped.features.own == 0
    sparse = drawn(4, disjoint=True).lump(SignGD)
    assert sparse.features.own == 24 and sparse.features.size == 24 + 1


# -- refusals ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"X": np.ones((4, 9))}, r"X has shape \(4, 9\).*\(n, L, d\)"),
        ({"X": np.ones((4, 1, 9))}, "L >= 2"),
        ({"X": np.full((4, 3, 9), np.nan)}, r"X has nan at \(0, 0, 0\)"),
        ({"y": [1, 0, 1, 1]}, "y contains 0.*-1 or"),
        ({"y": [1, 1]}, r"y has shape \(2,\).*n = 4"),
        ({"W_Q": np.ones((3, 8))}, r"W_Q has shape \(3, 8\).*d = 9 as in X"),
        ({"W_K": np.ones((2, 9))}, "W_K .* as W_Q"),
        ({"W_V_neg": np.ones((5, 9))}, "W_V_neg .* as W_V_pos"),
        ({"test": (np.ones((5, 2, 9)), np.ones(5))}, r"X_test has shape \(5, 2, 9\).*L = 3, d = 9 as in X"),
        ({"test": (np.ones((5, 3, 9)), np.zeros(5))}, "y_test contains 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        signal_noise.from_tokens(**{**token_arrays(0, 3), **change})


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda dense: dense.lump(Adam), Inexact, "does not lump"),
        (lambda dense: dense.lump(SignGD).restrict(), ValueError, "needs a dense system"),
        (lambda dense: dense.lift(drawn(3).lump(SignGD), drawn(3).lump(SignGD).start), ValueError, "its tokens are others"),
        (lambda dense: dense.test, ValueError, "no test samples"),
        (lambda dense: dense.replicates(0), ValueError, "no replicates"),
        (lambda dense: replace(dense, logit_scale=0.0), ValueError, "logit_scale=0.0 must be"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call(signal_noise.from_tokens(**token_arrays(0, 3)))
