"""Gradients against complex steps and against autograd of the definition; signs against decimal arithmetic."""

from decimal import Decimal, localcontext

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from dynsim import GradientDescent, SignGD, simulate
from dynsim.gradcheck import gradcheck
from dynsim.systems import signal_noise
from dynsim.systems.signal_noise.model import TwoTokenTransformer
from dynsim.systems.signal_noise.observables import OBSERVABLES
from dynsim.systems.signal_noise.reduction import group_columns

from ...helpers import RULES, gap
from .helpers import NINE, as_form, definition, gradient_of, random_arrays, random_setting, weights_of

SEEDS = range(4)


def forms(arrays):
    """Every representation of one system."""
    dense = signal_noise.from_arrays(**arrays)
    return {"dense": dense, "restricted": dense.restrict(), "sign": dense.lump(SignGD), "linear": dense.lump(GradientDescent)}


# -- the forward pass ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_is_the_definition(seed):
    arrays = random_arrays(seed)
    tokens = {name: arrays[name] for name in ("mu", "xi", "y")}
    weights = {name: arrays[name] for name in ("W_Q", "W_K", "W_V_pos", "W_V_neg")}
    want = definition(**weights, **tokens)
    for name, system in forms(arrays).items():
        assert abs(system.forward(system.layout.views(system.start)).loss - want) < 1e-14 * (1 + want), name
    # negative control: the definition with keys and queries exchanged is another model
    assert abs(definition(**{**weights, "W_Q": weights["W_K"], "W_K": weights["W_Q"]}, **tokens) - want) > 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_every_observable_is_what_it_says(seed):
    """Read off the dense weights by the definitions in the symbol table."""
    arrays = random_arrays(seed)
    y, mu, W_Q, W_K = arrays["y"], arrays["mu"], arrays["W_Q"], arrays["W_K"]
    noise = y[:, None] * arrays["xi"]
    v = arrays["W_V_pos"].mean(0) - arrays["W_V_neg"].mean(0)
    q, k, th, ka = W_Q @ mu, W_K @ mu, W_Q @ noise.T, W_K @ noise.T
    logit_11, logit_21 = q @ (k[:, None] - ka), (th * (k[:, None] - ka)).sum(0)
    s_11, s_21 = 1 / (1 + np.exp(-logit_11)), 1 / (1 + np.exp(-logit_21))
    margin = (s_11 + s_21) * (v @ mu) + (2 - s_11 - s_21) * (noise @ v)
    c2 = (noise @ v - v @ mu) * s_21 * (1 - s_21) / (1 + np.exp(margin)) / len(y)
    want = {
        "query_gradient": c2 * (k[:, None] - ka),
        "mean_value_signal": v @ mu, "mean_value_noise": noise @ v, "query_signal": q, "key_signal": k, "query_noise": th,
        "key_noise": ka, "softmax_11": s_11, "softmax_21": s_21, "train_loss": np.log1p(np.exp(-margin)).mean(),
        "train_error": (margin <= 0).mean(),
        "softmax_11_mean": s_11.mean(), "softmax_21_mean": s_21.mean(), "mean_value_noise_mean": (noise @ v).mean(),
        "alignment": (np.sign(th) == np.sign(ka)).mean(), "logit_11": logit_11, "logit_21": logit_21, "ties": 0.0,
        "key_agreement": (np.sign(ka) == np.sign(q)[:, None]).mean(), "query_agreement": (np.sign(th) == np.sign(q)[:, None]).mean(),
    }
    for name, system in forms(arrays).items():
        assert set(system.observables) <= set(OBSERVABLES)
        run = simulate(system, GradientDescent(1.0) if name == "linear" else SignGD(1.0), steps=0, record=list(system.observables))
        for quantity in system.observables:
            assert gap(run[quantity][0], want[quantity]) < 1e-13, (name, quantity)


def test_every_observable_has_a_description():
    assert set(NINE) <= set(OBSERVABLES)
    for name, observable in OBSERVABLES.items():
        assert observable.doc and observable.symbol, name
        assert observable.default == (name in NINE)


# -- gradients -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "restricted", "sign", "linear"])
@pytest.mark.parametrize("seed", SEEDS)
def test_complex_step(seed, form):
    system = forms(random_arrays(seed))[form]
    check = gradcheck(system, rng=seed, directions=6)
    assert set(check.errors) == {*system.layout.shapes, "all blocks"} and check.worst < 1e-13, str(check)
    assert gradcheck(system, rng=seed, method="central").passed


@pytest.mark.parametrize("disjoint", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_complex_step_of_drawn_systems_far_from_the_start(seed, disjoint):
    setting = random_setting(seed, disjoint=disjoint)
    rng = np.random.default_rng(seed)
    dense, lumped = signal_noise.dense(setting, seed=seed), signal_noise.lumped(setting, SignGD, seed=seed)
    for system in (dense, lumped, signal_noise.restricted(setting, seed=seed)):
        check = gradcheck(system, 0.5 * rng.standard_normal(system.start.shape), rng=rng)
        assert check.worst < 1e-13, str(check)


def test_complex_step_of_a_batch():
    system = signal_noise.lumped(random_setting(1, disjoint=True), SignGD, seed=[0, 1, 2])
    assert gradcheck(system, 0.5 * np.random.default_rng(0).standard_normal(system.start.shape)).worst < 1e-13


@pytest.mark.parametrize("block", ["W_QK", "W_V"])
def test_complex_step_catches_a_wrong_term(block):
    class Wrong(TwoTokenTransformer):
        def backward(self, params, cache, out, *, signs=False):
            super().backward(params, cache, out, signs=signs)
            getattr(out, block)[1] *= -1.0 if block == "W_V" else 1.0 + 1e-9

    check = gradcheck(as_form(signal_noise.from_arrays(**random_arrays(0)), Wrong))
    assert check.errors[block] > 1e-11 and not check.passed


@pytest.mark.parametrize("seed", SEEDS)
def test_autograd_of_the_definition(seed):
    """An oracle that shares nothing with the package: reverse mode through the token-by-token model."""
    arrays = random_arrays(seed)
    tokens = {name: arrays.pop(name) for name in ("mu", "xi", "y")}
    oracle = autograd.grad(lambda w: definition(**w, **tokens, np=anp))(arrays)
    system = signal_noise.from_arrays(**arrays, **tokens)
    mine = weights_of(system, gradient_of(system))
    for name in arrays:
        assert np.abs(oracle[name]).max() > 1e-3, "the point is not degenerate"
        assert gap(mine[name], oracle[name]) < 1e-12, name
    # a reduced gradient, spread over the coordinates of each group, is the dense one
    groups, columns = group_columns(system.data), system.data.columns
    for rule in (SignGD, GradientDescent):
        lumped = system.lump(rule)
        views = lumped.layout.views(gradient_of(lumped))
        for block, name in enumerate(("W_Q", "W_K")):
            assert gap(views.W_QK[block][groups.group].T * groups.coef, oracle[name][:, columns]) < 1e-12
        assert gap(np.tile(views.v[groups.group] * groups.coef / system.m_v, (system.m_v, 1)), oracle["W_V_pos"][:, columns]) < 1e-12
    outside = np.setdiff1d(np.arange(system.data.d), columns)
    assert all((oracle[name][:, outside] == 0).all() for name in arrays)
    wrong = autograd.grad(lambda w: definition(**w, **{**tokens, "y": -tokens["y"]}, np=anp))(arrays)
    assert gap(mine["W_Q"], wrong["W_Q"]) > 1e-3


# -- signs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["dense", "restricted", "sign"])
@pytest.mark.parametrize("seed", SEEDS)
def test_signs_are_those_of_the_values_where_values_survive(seed, form):
    # many rows, so that some sums nearly cancel and a slightly wrong weight would turn a sign
    arrays = random_arrays(seed, m_k=1000)
    arrays["W_Q"], arrays["W_K"] = 0.1 * arrays["W_Q"], 0.1 * arrays["W_K"]
    system = forms(arrays)[form]
    values, signs = gradient_of(system), gradient_of(system, signs=True)
    np.testing.assert_array_equal(np.sign(signs), np.sign(values))
    assert (values != 0).mean() > 0.3


def decimal_gradient(W_Q, W_K, W_V_pos, W_V_neg, *, mu, xi, y):
    """Return the gradients of W_Q, W_K and v in decimal arithmetic whose exponents do not end at -308.

    General two-token form: dL/dz for the softmax of each token, chained by hand; floats enter exactly.
    """
    exact = np.vectorize(lambda x: Decimal(float(x)), otypes=[object])
    W_Q, W_K, mu, xi = map(exact, (W_Q, W_K, mu, xi))
    v = exact(W_V_pos).sum(0) / len(W_V_pos) - exact(W_V_neg).sum(0) / len(W_V_neg)
    of_Q, of_K, of_v = W_Q * 0, W_K * 0, v * 0

    def sigmoid(z):
        return 1 / (1 + (-z).exp()) if z > 0 else z.exp() / (1 + z.exp())

    for label, noise in zip(map(int, y), xi, strict=True):
        X = (label * mu, noise)
        logits = [(W_Q @ x) @ (W_K @ (X[0] - X[1])) for x in X]
        p = [(sigmoid(z), sigmoid(-z)) for z in logits]
        output = sum(p_l[0] * (v @ X[0]) + p_l[1] * (v @ X[1]) for p_l in p)
        of_output = -label * sigmoid(-label * output) / len(y)
        for x, (one, other) in zip(X, p, strict=True):
            of_v = of_v + of_output * (one * X[0] + other * X[1])
            of_z = of_output * one * other * (v @ (X[0] - X[1]))
            of_Q = of_Q + of_z * np.outer(W_K @ (X[0] - X[1]), x)
            of_K = of_K + of_z * np.outer(W_Q @ x, X[0] - X[1])
    return of_Q, of_K, of_v


def extreme_arrays(seed, *, logits, margins):
    """Weights for which logits, or all margins, are in the thousands."""
    arrays = random_arrays(seed, n=3 if margins else 4, d=9, m_k=3, m_v=2, dense=0.6)
    if logits:
        arrays["W_Q"], arrays["W_K"] = 60.0 * arrays["W_Q"], 60.0 * arrays["W_K"]
    if margins:  # every token projects on v at about 2000: every l_i underflows
        tokens = np.vstack([arrays["mu"], arrays["y"][:, None] * arrays["xi"]])
        v = np.linalg.lstsq(tokens, np.array([2000.0, 2100.0, 2200.0, 1900.0]), rcond=None)[0]
        arrays["W_V_pos"] = arrays["W_V_pos"] + v
    return arrays


@pytest.mark.parametrize(("logits", "margins"), [(True, False), (False, True), (True, True)], ids=["logits", "margins", "both"])
@pytest.mark.parametrize("seed", SEEDS)
def test_signs_against_decimal_arithmetic(seed, logits, margins):
    """Logits and margins in the thousands: most values are lost in float64, no sign is."""
    arrays = extreme_arrays(seed, logits=logits, margins=margins)
    system = signal_noise.from_arrays(**arrays)
    with localcontext() as context:
        context.prec = 80
        context.Emin, context.Emax = -(10**8), 10**8
        exact = [np.sign(part).astype(float) for part in decimal_gradient(**arrays)]
    tokens = {"dense": system, "restricted": system.restrict()}
    lost = 0
    for name, form in tokens.items():
        columns = np.arange(system.data.d) if name == "dense" else system.data.columns
        signs = {key: np.sign(part) for key, part in weights_of(form, gradient_of(form, signs=True)).items()}
        np.testing.assert_array_equal(signs["W_Q"], exact[0][:, columns], err_msg=f"{name} W_Q")
        np.testing.assert_array_equal(signs["W_K"], exact[1][:, columns], err_msg=f"{name} W_K")
        for row in signs["W_V_pos"]:
            np.testing.assert_array_equal(row, exact[2][columns], err_msg=f"{name} W_V_pos")
        for row in signs["W_V_neg"]:
            np.testing.assert_array_equal(row, -exact[2][columns], err_msg=f"{name} W_V_neg")
        plain = weights_of(form, gradient_of(form))
        lost += sum((np.sign(plain[key]) != signs[key]).sum() for key in signs)
    groups, lumped = group_columns(system.data), system.lump(SignGD)
    views = lumped.layout.views(np.sign(gradient_of(lumped, signs=True)))
    for block in (0, 1):
        spread = views.W_QK[block][groups.group].T * np.sign(groups.coef)
        np.testing.assert_array_equal(spread, exact[block][:, system.data.columns], err_msg="lumped")
    np.testing.assert_array_equal(views.v[groups.group] * np.sign(groups.coef), exact[2][system.data.columns], err_msg="lumped v")
    assert lost > 0, "negative control: plain float64 products lose signs at this size"


# -- beyond underflow ------------------------------------------------------------------------------------------------------


class NaiveForm(TwoTokenTransformer):
    """The gradient in the private coordinates of disjoint supports, with s(1 - s) multiplied out by `product`."""

    def backward(self, params, cache, out, *, signs=False):
        assert self.features.mixed is None
        P, V = params.W_QK, params.v
        q, th, a = P[0, 0], P[0, 1:], P[1, 0] - P[1, 1:]
        z = np.stack([a @ q, (a * th).sum(1)])
        s, product = self.product(z)
        margin = s.sum(0) * V[0] + (2 - s.sum(0)) * V[1:]
        l = 1 / (1 + np.exp(margin)) / self.n
        c = l * product * (V[1:] - V[0])
        out.W_QK[0, 0], out.W_QK[0, 1:] = c[0] @ a, c[1][:, None] * a
        push = c[0][:, None] * q + c[1][:, None] * th
        out.W_QK[1, 0], out.W_QK[1, 1:] = push.sum(0), -push
        out.v[0], out.v[1:] = -(l * s.sum(0)).sum(), -l * (2 - s.sum(0))


class TanhForm(NaiveForm):
    @staticmethod
    def product(z):
        s = 0.5 * (1.0 + np.tanh(0.5 * z))
        return s, s * (1.0 - s)


class PlainForm(NaiveForm):
    @staticmethod
    def product(z):
        e = np.exp(-np.abs(z))
        larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
        return np.where(z > 0, larger, smaller), larger * smaller


LONG = {"steps": 2500, "record": ["query_signal", "query_noise", "logit_21", "ties"]}
LR = 1e-4


def long_run(setting, form=None):
    system = signal_noise.lumped(setting, SignGD, seed=0)
    return simulate(system if form is None else as_form(system, form), SignGD(LR), **LONG)


def agreement(run):
    """Fraction of pairs whose query noise has the sign of its row's query signal, at each step."""
    return (np.sign(run["query_noise"]) == np.sign(run["query_signal"])[..., None]).mean((1, 2))


def growth(run, last=500):
    """Growth of |query noise| in each of the last steps, in units of lr |xi_i|_1."""
    return np.diff(np.abs(run["query_noise"][-last - 1 :]), axis=0) / (LR * run.constants["noise_l1"])


@pytest.fixture(scope="module")
def disjoint_setting():
    return signal_noise.preset("figure3").replace(disjoint=True)


@pytest.fixture(scope="module")
def exact_run(disjoint_setting):
    return long_run(disjoint_setting)


def test_naive_forms_are_the_right_gradient_where_nothing_underflows(disjoint_setting):
    """So that what fails below is their arithmetic and nothing else."""
    system = signal_noise.lumped(disjoint_setting, SignGD, seed=0)
    point = system.start + 0.05 * np.random.default_rng(0).standard_normal(system.start.shape)
    for form in (TanhForm, PlainForm):
        assert gap(gradient_of(as_form(system, form), point), gradient_of(system, point)) < 1e-9


def test_query_noise_aligns_and_keeps_growing_beyond_underflow(exact_run):
    assert (agreement(exact_run)[500:] == 1.0).all() and agreement(exact_run)[200] < 0.7
    assert exact_run["logit_21"][-500:].max() < -745, "no float64 holds s_21 here"
    # |query noise| is about 10, so one step of 3e-3 is known to 1e-15 * 10 / 3e-3
    assert np.abs(growth(exact_run) - 1.0).max() < 1e-11
    assert exact_run["ties"].sum() == 0


def test_a_tanh_sigmoid_freezes_query_noise(disjoint_setting, exact_run):
    run = long_run(disjoint_setting, TanhForm)
    assert 0.60 < agreement(run)[-1] < 0.72, agreement(run)[-1]
    assert (growth(run) == 0.0).all()
    assert gap(run["query_noise"][:100], exact_run["query_noise"][:100]) < 1e-10, "it goes wrong only once s_21 is small"


def test_a_plain_product_aligns_but_stops_growing(disjoint_setting, exact_run):
    run = long_run(disjoint_setting, PlainForm)
    assert agreement(run)[-1] == 1.0
    assert (growth(run) == 0.0).all()
    frozen = np.argmax((run["logit_21"] < -745).all(1))
    before = np.argmax((run["logit_21"] < -700).any(1))
    assert 0 < before < frozen < 2000
    assert gap(run["query_noise"][:before], exact_run["query_noise"][:before]) < 1e-10


def test_overlapping_supports_grow_within_the_two_sided_bound():
    run = long_run(signal_noise.preset("figure3"))
    assert run.constants["shared"] > 10 and run["logit_21"][-500:].max() < -745
    l1, private = run.constants["noise_l1"], run.constants["noise_private_l1"]
    step = growth(run)
    lowest = (private - (l1 - private)) / l1
    assert (step >= lowest - 1e-11).all() and (step <= 1 + 1e-11).all()
    assert step.min() < 0.95, "the bound is not the disjoint equality in disguise"
    assert (agreement(run)[-500:] == 1.0).all()


def test_sign_momentum_notes_the_first_underflow(disjoint_setting):
    rule = SignGD(LR, momentum=0.5)
    system = signal_noise.lumped(disjoint_setting, rule, seed=0)
    run = simulate(system, rule, steps=1200, record=["logit_21"])
    smallest, first = run["logit_21"].min(1), int(run.underflow_at)
    # the smallest coefficient is s(1 - s) times l D / n: its logarithm is a few below the logit's
    assert 0 < first < 1200 and -710 < smallest[first] < -695
    assert simulate(system, rule, steps=first).underflow_at == -1
    assert simulate(system, rule, steps=first + 1).underflow_at == first
    assert simulate(system, rule, steps=5, start=run).underflow_at == first, "kept when the run goes on"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_that_needs_values_notes_underflow(rule):
    for logits, at_once in ((True, 0), (False, -1)):
        system = signal_noise.from_arrays(**extreme_arrays(0, logits=logits, margins=False))
        run = simulate(system, rule, steps=1)
        assert run.underflow_at == (at_once if rule.needs == "gradient" else -1)


def test_each_replicate_notes_its_own_underflow(disjoint_setting):
    rule = SignGD(np.array([LR, LR / 100, 2 * LR]), momentum=0.5)
    run = simulate(signal_noise.lumped(disjoint_setting, SignGD, seed=[0, 1, 2]), rule, steps=800, record=["train_loss"])
    assert run.underflow_at[1] == -1 and 0 < run.underflow_at[2] < run.underflow_at[0]


def test_memoryless_sign_rules_do_not_underflow(exact_run):
    assert exact_run.underflow_at == -1


# -- ties ------------------------------------------------------------------------------------------------------------------


def test_a_constructed_tie_is_counted():
    """Two samples whose pushes on the signal's query row cancel exactly."""
    arrays = random_arrays(0, n=2, d=6, m_k=1, m_v=1)
    arrays["mu"] = np.array([1.0, 0, 0, 0, 0, 0])
    arrays["xi"] = np.array([[0, 1.0, 0, 0, 0, 0], [0, 0, 1.0, 0, 0, 0]])
    arrays["y"] = np.ones(2)
    arrays["W_K"] = np.array([[0.0, 0.3, -0.3, 0, 0, 0]])
    arrays["W_Q"] = np.array([[0.0, 0.2, -0.2, 0, 0, 0]])
    arrays["W_V_pos"], arrays["W_V_neg"] = np.array([[0.1, 0.4, 0.4, 0, 0, 0]]), np.zeros((1, 6))
    system = signal_noise.from_arrays(**arrays)
    for form in (system, system.restrict(), system.lump(SignGD)):
        assert simulate(form, SignGD(1.0), steps=0, record=["ties"])["ties"][0] >= 1
    arrays["W_K"][0, 2] *= 1.001
    system = signal_noise.from_arrays(**arrays)
    assert simulate(system, SignGD(1.0), steps=0, record=["ties"])["ties"][0] == 0


def test_a_tie_of_the_value_layer_is_counted():
    """Two samples that are mirror images on a shared coordinate pull v there in opposite directions, equally hard."""
    xi = np.array([[0.0, 1.0, 0.5, 0.0], [0.0, -1.0, 0.0, 0.5]])
    for shift, ties in ((0.0, 1), (0.1, 0)):
        xi[1, 1] = -1.0 + shift
        zero = {name: np.zeros((2, 4)) for name in ("W_Q", "W_K", "W_V_pos", "W_V_neg")}
        system = signal_noise.from_arrays(mu=[1.0, 0.0, 0.0, 0.0], xi=xi, y=[1, 1], **zero).lump(SignGD)
        assert simulate(system, SignGD(0.1), steps=0, record=["ties"])["ties"][0] == ties
