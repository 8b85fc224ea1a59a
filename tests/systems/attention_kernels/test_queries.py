"""Queries alone are the model itself: where tokens are orthonormal and only W_Q is trained, for every rule that acts per coordinate."""

from dataclasses import replace

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, GradientFlow, SignGD, load, simulate
from dynsim.gradcheck import gradcheck
from dynsim.system import Inexact
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.observables import hessians

from ...helpers import assert_same_bits, gap, same_bits
from .helpers import ALL, elsewhere, slope, state
from .test_model import spoiled

ORTHONORMAL = ak.Regression(trained="Q", tokens="orthonormal", N=2, n=3, D=8, d=3, H=2, d_o=2, kernel=ALL)
SETTINGS = {
    "tokens": ORTHONORMAL, "pairs": ORTHONORMAL.replace(paired=True, H=4, v_scale=3.0), "teacher": ORTHONORMAL.replace(targets="teacher"),
    **{task: ak.Example(task, ALL, starts=5, low=-2.0, high=2.5, y=0.4) for task in ak.CONSTRUCTIONS},
}
RULES = {
    "GD": GradientDescent(0.3), "heavy ball": GradientDescent(0.05, momentum=0.9), "SignGD": SignGD(1e-2), "Adam": Adam(1e-2),
}


def rows(dense, params):
    """Return W_Q of the model as queries (kernels, N, H, starts, m, d), and what is left of it."""
    W = dense.layout.views(params).W_Q  # (kernels, starts, D, H, d)
    N, n, _ = dense.samples.X.shape
    m = len(dense.samples.U)
    tokens = W[:, :, : N * n].reshape(*W.shape[:2], N, n, *W.shape[3:])[:, :, :, :m]
    return tokens.transpose(0, 2, 4, 1, 3, 5)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("case", SETTINGS)
def test_queries_alone_are_the_model_step_by_step(case, name):
    """To rounding, which 25 steps multiply little. SignGD and Adam go by signs: softmax gradients that are 0 on paper (E1, E4)
    are rounding there, whose signs mean nothing, so those are left out."""
    rule, setting = RULES[name], SETTINGS[case]
    if name in ("SignGD", "Adam") and case in ("E1", "E4"):
        setting = setting.replace(kernel="gaussian")
    dense, small = ak.dense(setting, 1), ak.queries(setting, 1)
    record = ["train_loss", "grad_norm"]
    runs = [simulate(system, rule, steps=25, record=record) for system in (dense, small)]
    for quantity in record:
        assert gap(*(run[quantity] for run in runs)) < 1e-11, quantity
    found = small.layout.views(runs[1].final).q
    assert gap(rows(dense, runs[0].final), found) < 1e-11
    assert gap(found, small.layout.views(small.start).q) > 1e-3, "they move"
    assert np.array_equal(runs[1].constants["N"], dense.constants["N"])


@pytest.mark.parametrize("case", ["tokens", "E3", "E5"])
def test_flows_agree_to_their_tolerance(case):
    setting = SETTINGS[case]
    runs = [simulate(system, GradientFlow(1e-10, 1e-12), until=3.0, at=[1.0], record=["train_loss"])
            for system in (ak.dense(setting, 1), ak.queries(setting, 1))]
    assert gap(runs[0]["train_loss"], runs[1]["train_loss"]) < 1e-8 and gap(runs[0]["train_loss"][0], runs[0]["train_loss"][-1]) > 1e-2


def test_what_is_no_token_never_moves():
    """Rows of W_Q beyond N n, and of tokens that are not read out: the reason that they may be left out."""
    for case in ("tokens", "E5"):
        dense = ak.dense(SETTINGS[case], 1)
        run = simulate(dense, SignGD(1e-2), steps=5, at=[])
        moved = dense.layout.views(run.final).W_Q != dense.layout.views(dense.start).W_Q
        N, n, _ = dense.samples.X.shape
        assert not moved[:, :, N * n :].any() and moved[:, :, 0].any()
        if case == "E5":
            assert not moved[:, :, 1:].any()
    normal = ak.dense(ORTHONORMAL.replace(tokens="normal"), 1)  # negative control
    run = simulate(normal, SignGD(1e-2), steps=5, at=[])
    assert (normal.layout.views(run.final).W_Q != normal.layout.views(normal.start).W_Q)[:, :, 6:].all()


@pytest.mark.parametrize("case", SETTINGS)
def test_gradients_against_complex_steps(case):
    """Kernel by kernel and block by block; one token's softmax has no gradient at all, which is exact."""
    for kernel in KERNELS:
        system = ak.queries(SETTINGS[case].replace(kernel=kernel), 2)
        params = elsewhere(system)
        if case in ("E1", "E4") and kernel != "gaussian":
            assert np.abs(slope(system, params)).max() < 1e-15
            continue
        check = gradcheck(system, params)
        assert check.worst < 1e-12, f"{kernel}\n{check}"
        assert not gradcheck(replace(system, kernels=(spoiled(KERNELS[kernel]),)), params).passed, "negative control"


def test_all_starts_and_kernels_have_their_own_loss():
    system = ak.queries(SETTINGS["E5"], 0)
    _, cache = state(system)
    assert cache.losses.shape == (3, 5) and cache.loss == pytest.approx(cache.losses.sum(), rel=1e-15)
    q = np.linspace(-2.0, 2.5, 5)
    made = ak.CONSTRUCTIONS["E5"]
    for i, kernel in enumerate(KERNELS):
        for s in range(5):
            similar = KERNELS[kernel].value(np.array([[q[s]]]), made.keys, 1.0)
            assert cache.losses[i, s] == pytest.approx(0.5 * (similar[0] @ made.values - 0.4) ** 2, rel=1e-13)
    np.testing.assert_allclose(0.5 * (system.outputs(cache)[:, 0, :, 0, 0] - 0.4) ** 2, cache.losses, rtol=1e-12)
    assert system.member_axes("q") == (0, 3) and system.layout.shapes == {"q": (3, 1, 1, 5, 1, 1)}


def test_hessians_against_differences_of_the_gradient():
    """Central differences of the gradient: right to some 1e-9 of the largest second derivative."""
    system = ak.queries(SETTINGS["E2"], 3)
    params = elsewhere(system)
    views, _ = state(system, params)
    h = 1e-5
    for kernel in range(3):
        H = hessians(system, views, kernel)
        assert H.shape == (5, 2, 2) and gap(H, np.swapaxes(H, 1, 2)) < 1e-13
        for i in range(2):
            u = np.zeros_like(params)
            system.layout.views(u).q[kernel, ..., i] = h
            change = system.layout.views((slope(system, params + u) - slope(system, params - u)) / (2 * h)).q[kernel, 0, 0, :, 0]
            assert np.abs(change - H[:, i]).max() < 1e-8 * np.abs(H).max()


def test_curvature_is_the_least_eigenvalue():
    system = ak.queries(ORTHONORMAL.replace(N=1, D=3), 3)
    views, cache = state(system)
    found = system.observables["curvature"].read(views, cache)
    assert found.shape == (3, 1)
    for kernel in range(3):
        H = hessians(system, views, kernel)[0]
        assert H.shape == (18, 18) and found[kernel, 0] == pytest.approx(np.linalg.eigvalsh(H)[0], rel=1e-12)
        blocks = H.reshape(2, 3, 3, 2, 3, 3)  # head, token, dimension
        for a in range(3):
            for b in range(3):
                if a != b:
                    assert not blocks[:, a, :, :, b].any(), "queries of other tokens do not meet"


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"tokens": "normal"}, {"trained": "QK"}, {"trained": "V"}, {"pooled": True}], ids=str)
def test_queries_that_do_not_move_by_themselves_are_refused(changes):
    setting = ORTHONORMAL.replace(**changes)
    with pytest.raises(Inexact, match="use dense"):
        ak.queries(setting)
    assert isinstance(ak.best(setting, GradientDescent(0.1)), ak.AttentionModel)
    assert isinstance(ak.best(ORTHONORMAL, GradientDescent(0.1)), ak.QueryModel)
    with pytest.raises(Inexact, match="use dense"):
        ak.queries(ak.Classification())


# -- runs ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_a_run_that_goes_on_is_the_undisturbed_run(name):
    system = ak.queries(SETTINGS["E5"], 1)
    record = ["train_loss", "query", "query_norm", "curvature"]
    whole, first = (simulate(system, RULES[name], steps=steps, record=record) for steps in (12, 5))
    assert_same_bits(simulate(system, RULES[name], steps=7, record=record, start=first), whole, other_rows=slice(5, None))


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_files(tmp_path, suffix):
    run = simulate(ak.queries(SETTINGS["pairs"], 1), GradientDescent(0.1), steps=3, record=["train_loss", "query"])
    assert run["query"].shape == (4, 3, 1, 2, 4, 3, 3)
    assert run.dims["query"] == ("step", "kernel", "start", "sample", "head", "token", "dimension")
    again = load(run.save(tmp_path / f"run{suffix}"))
    assert_same_bits(again, run)
    assert all(same_bits(again.constants[name], np.asarray(value)) for name, value in run.constants.items())
    assert {"N", "jacobian_rank", "jacobian_least", "keys", "values", "targets", "c", "pair_floor"} == set(again.constants)
