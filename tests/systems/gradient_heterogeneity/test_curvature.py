"""Products with the Hessian and norms of its blocks, against matrices that are known and derivatives that need no backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dynsim import SignGD
from dynsim.layout import Layout
from dynsim.system import Inexact
from dynsim.systems import attention_kernels, cooccurrence, signal_noise
from dynsim.systems.gradient_heterogeneity.curvature import DENSE, TOLERANCE, hessian, hvp, norm_and_largest
from dynsim.systems.gradient_heterogeneity.head.model import linear_head
from dynsim.systems.gradient_heterogeneity.head.setting import Head
from dynsim.systems.gradient_heterogeneity.quadratic.logistic import logistic
from dynsim.systems.gradient_heterogeneity.quadratic.model import quadratic
from dynsim.systems.gradient_heterogeneity.quadratic.setting import Logistic, Quadratic
from dynsim.systems.gradient_heterogeneity.transformer.build import transformer
from dynsim.systems.gradient_heterogeneity.transformer.setting import Transformer


@dataclass(frozen=True, eq=False)
class Bowl:
    """L = p' H p / 2 for any symmetric H, its parameters in blocks: gradient H p, Hessian H."""

    H: np.ndarray
    start: np.ndarray
    sizes: tuple[int, ...]
    provenance: Any = field(default_factory=lambda: {"system": "bowl"})

    @property
    def layout(self) -> Layout:
        return Layout({f"b{i}": (size,) for i, size in enumerate(self.sizes)})

    def _flat(self, params: SimpleNamespace) -> np.ndarray:
        return np.concatenate([getattr(params, name) for name in self.layout.shapes], axis=-1)

    def forward(self, params: SimpleNamespace) -> SimpleNamespace:
        p = self._flat(params)
        return SimpleNamespace(loss=0.5 * np.einsum("...i,...i->...", p @ self.H, p), pull=p @ self.H)

    def backward(self, params: SimpleNamespace, cache: SimpleNamespace, out: SimpleNamespace, *, signs: bool = False) -> None:
        for name, where in self.layout.slices.items():
            getattr(out, name)[...] = cache.pull[..., where]


class Real(Bowl):
    """The same with a buffer that drops imaginary parts."""

    def backward(self, params: Any, cache: Any, out: Any, *, signs: bool = False) -> None:
        buffer = np.empty(cache.pull.shape)
        buffer[...] = cache.pull
        super().backward(params, SimpleNamespace(pull=buffer), out)


class Conjugate(Bowl):
    """The same with a conjugate, of which nothing warns."""

    def backward(self, params: Any, cache: Any, out: Any, *, signs: bool = False) -> None:
        super().backward(params, SimpleNamespace(pull=np.conj(cache.pull)), out)


class Analytic(Bowl):
    """The same with products of its own, which `backward` could not give: it does not accept complex parameters."""

    def backward(self, params: Any, cache: Any, out: Any, *, signs: bool = False) -> None:
        super().backward(params, SimpleNamespace(pull=cache.pull.astype(float)), out)

    def hessian_vector(self, params: Any, cache: Any, v: Any, out: Any) -> None:
        super().backward(params, SimpleNamespace(pull=self._flat(v) @ self.H), out)


def symmetric(eigenvalues: Any, rng: np.random.Generator) -> np.ndarray:
    """Return a matrix with these eigenvalues, in a random frame."""
    frame = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))[0]
    return (frame * np.asarray(eigenvalues)) @ frame.T


def bowl(kind: type[Bowl] = Bowl, sizes: tuple[int, ...] = (3, 4), seed: int = 0) -> Bowl:
    rng = np.random.default_rng(seed)
    P = sum(sizes)
    return kind(symmetric(rng.standard_normal(P), rng), rng.standard_normal(P), sizes)


SIGNAL = signal_noise.Setting(n=3, d=20, s=4, m_k=2, m_v=2, sigma_0=0.3)
BAGS = cooccurrence.Setting(n=12, L=5, m=4, m1=2, c0=0.3)
LAYER = attention_kernels.Regression(trained="QKVO", N=2, n=3, D=4, d=2, H=2)
WORDS = attention_kernels.Classification(batch=0, pretrain_batch=8, samples=12, test=2, D=4, d=2, H=1, hidden=4)
SMALL = Transformer(d=4, heads=2, width=6, layers=1, samples=6, vocab=6, classes=3, length=5, batch=2)
SYSTEMS = {
    "signal_noise": lambda: signal_noise.dense(SIGNAL, seed=1),
    "signal_noise lumped": lambda: signal_noise.lumped(SIGNAL, SignGD, seed=1),
    "cooccurrence": lambda: cooccurrence.dense(BAGS, seed=1),
    "attention_kernels": lambda: attention_kernels.dense(LAYER, seed=1),
    "queries": lambda: attention_kernels.queries(attention_kernels.Example(task="E3", starts=4), seed=1),
    "classifier": lambda: attention_kernels.dense(WORDS, seed=1),
    "quadratic": lambda: quadratic(Quadratic(blocks=4, size=3, inner=5.0, rotated="all"), seed=1),
    "logistic": lambda: logistic(Logistic(), seed=1),
    "head": lambda: linear_head(Head(C=5, d=4, samples=3, batch=4), seed=1),
    "transformer": lambda: transformer(SMALL, seed=1),
}
METHOD = dict.fromkeys(SYSTEMS, "complex-step") | dict.fromkeys(("signal_noise", "signal_noise lumped", "cooccurrence"), "central")
METHOD["transformer"] = "analytic"


def bilinear(system: Any, point: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
    """Return u' H v from the forward pass alone: the exact slope along u (complex step), differenced along v to fourth order."""
    def slope(t: float) -> float:
        return system.forward(system.layout.views(point + t * v + 1e-30j * u)).loss.imag / 1e-30

    h = 1e-5  # rounding 1e-11 of the slope; wider, a ReLU of the classifier switches in between
    return (8.0 * (slope(h) - slope(-h)) - (slope(2 * h) - slope(-2 * h))) / (12.0 * h)


@pytest.mark.parametrize("kind, method, tolerance", [
    (Bowl, "complex-step", 1e-14), (Analytic, "analytic", 1e-14), (Real, "central", 1e-9), (Conjugate, "central", 1e-9),
])
def test_products_are_those_of_the_known_matrix_by_the_best_method_that_a_system_allows(kind, method, tolerance):
    system = bowl(kind)
    v = np.random.default_rng(1).standard_normal(system.layout.size)
    at = hessian(system)
    assert at.method == method
    assert bool(at.reason) == (method == "central")
    np.testing.assert_allclose(at.product(v), system.H @ v, atol=tolerance * np.linalg.norm(v), rtol=0)
    np.testing.assert_allclose(hvp(system, None, v), at.product(v), atol=1e-15)
    block = at.dense(np.arange(3, 7))
    np.testing.assert_allclose(block, system.H[3:, 3:], atol=tolerance * 10, rtol=0)
    np.testing.assert_array_equal(block, block.T)  # not only to the rounding of products
    np.testing.assert_array_equal(at.gradient, at.cache.pull)
    np.testing.assert_array_equal(at.product(np.zeros_like(v)), 0.0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_products_agree_with_second_derivatives_of_the_loss_that_no_backward_pass_enters(name):
    system = SYSTEMS[name]()
    at = hessian(system, rng=2)
    assert at.method == METHOD[name]
    rng = np.random.default_rng(3)
    for _ in range(3):
        u, v = (x / np.linalg.norm(x) for x in rng.standard_normal((2, system.layout.size)))
        Hv = at.product(v)
        # differences are right to 1e-11 of the slope, central products to 1e-9 of |H|: of products in random directions some 1e-8
        assert abs(u @ Hv - bilinear(system, at.point, u, v)) < 1e-7 * np.linalg.norm(Hv)
        assert abs(v @ at.product(u) - u @ Hv) < (1e-7 if at.method == "central" else 1e-12) * np.linalg.norm(Hv)


@pytest.mark.parametrize("name, other, tolerance", [
    ("attention_kernels", "central", 1e-7), ("queries", "central", 1e-7), ("head", "central", 1e-7), ("transformer", "complex-step", 1e-13),
])
def test_methods_agree(name, other, tolerance):
    system = SYSTEMS[name]()
    best, next_best = hessian(system), hessian(system, method=other)
    v = np.random.default_rng(4).standard_normal(system.layout.size)
    gap = np.linalg.norm(best.product(v) - next_best.product(v)) / np.linalg.norm(best.product(v))
    assert best.method == METHOD[name] != other
    assert 0.0 < gap < tolerance  # 0 would mean that both are the same method


@dataclass(frozen=True, eq=False)
class Switch(Bowl):
    """The same with a gradient that jumps where a parameter has moved by `moved`."""

    moved: float = 0.0

    def backward(self, params: Any, cache: Any, out: Any, *, signs: bool = False) -> None:
        super().backward(params, cache, out)
        out.b0[...] += (params.b0 - self.start[:3]).real > self.moved


def test_a_jump_within_a_central_difference_does_not_discredit_the_complex_step():
    system = bowl(Switch)
    assert hessian(replace(system, moved=1e-6)).method == "complex-step"
    assert hessian(replace(system, moved=1e-10)).method == "central"  # so close nothing tells a jump from a wrong derivative


def test_mini_batches_play_no_part():
    whole, batched = (attention_kernels.dense(WORDS.replace(batch=batch), seed=1) for batch in (0, 5))
    v = np.random.default_rng(5).standard_normal(whole.layout.size)
    np.testing.assert_array_equal(hvp(whole, None, v), hvp(batched, None, v))


# -- norms of blocks ---------------------------------------------------------------------------------------------------


SPECTRA = {
    "positive": np.linspace(0.0, 3.0, 100) ** 2, "outermost negative": np.append(np.linspace(0.0, 1.0, 99), -4.0),
    "none positive": -np.linspace(0.5, 2.0, 100), "as far on both sides": np.linspace(-2.0, 2.0, 100), "zero": np.zeros(100),
    "rank one": np.append(np.zeros(99), 5.0), "negative rank one": np.append(np.zeros(99), -5.0), "one number": np.full(100, 0.3),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_iterated_norms_are_those_of_the_known_spectrum(name):
    eigenvalues = SPECTRA[name]
    rng = np.random.default_rng(6)
    H = np.eye(110)
    H[5:105, 5:105] = symmetric(eigenvalues, rng)
    H[:5, 5:105] = rng.standard_normal((5, 100))  # outside the block: it must not be seen
    H[5:105, :5] = H[:5, 5:105].T
    system = Bowl(H, rng.standard_normal(110), (5, 100, 5))
    assert len(eigenvalues) > DENSE
    norm, largest = hessian(system).extremes(np.arange(5, 105), rng)
    tolerance = 2.0 * TOLERANCE * np.abs(eigenvalues).max() + 1e-15
    assert abs(norm - np.abs(eigenvalues).max()) <= tolerance
    assert abs(largest - eigenvalues.max()) <= 2.0 * tolerance


def test_formed_and_iterated_norms_agree(monkeypatch):
    system = SYSTEMS["attention_kernels"]()
    at, index = hessian(system), np.arange(system.layout.size)
    formed = norm_and_largest(at.dense(index))
    monkeypatch.setattr("dynsim.systems.gradient_heterogeneity.curvature.DENSE", 1)
    iterated = at.extremes(index, np.random.default_rng(7))
    np.testing.assert_allclose(iterated, formed, rtol=10 * TOLERANCE)


def test_a_norm_that_does_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr("dynsim.systems.gradient_heterogeneity.curvature.ITERATIONS", 1)
    rng = np.random.default_rng(8)
    system = Bowl(symmetric(np.linspace(1.0, 1.0001, 300), rng), rng.standard_normal(300), (300,))
    with pytest.raises(RuntimeError, match="300 parameters did not converge"):
        hessian(system).extremes(np.arange(300), rng)


# -- errors ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_measured_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="method='secant' must be one of auto"):
        hessian(bowl(), method="secant")
    with pytest.raises(ValueError, match="needs a system with a hessian_vector"):
        hessian(bowl(), method="analytic")
    with pytest.raises(ValueError, match="does not accept complex parameters; use 'central'"):
        hessian(bowl(Real), method="complex-step")
    with pytest.raises(ValueError, match="conjugate or take absolute values; use 'central'"):
        hessian(bowl(Conjugate), method="complex-step")
    with pytest.raises(ValueError, match=r"params has shape \(3,\).*length 7"):
        hessian(bowl(), np.zeros(3))
    with pytest.raises(ValueError, match="type complex128"):
        hessian(bowl(), np.zeros(7, dtype=complex))
    with pytest.raises(ValueError, match=r"v has shape \(2,\)"):
        hvp(bowl(), None, np.zeros(2))
    with pytest.raises(ValueError, match="must be one finite number"):
        hessian(bowl(), np.full(7, np.nan))
    runs = Bowl(np.eye(7), np.zeros((5, 7)), (3, 4))
    with pytest.raises(ValueError, match=r"start of shape \(5, 7\).*replicates\(i\)"):
        hessian(runs)
    with pytest.raises(Inexact):
        hessian(cooccurrence.gram(BAGS, seed=1))


def test_an_entry_that_backward_forgets_is_an_error():
    class Forgets(Bowl):
        def backward(self, params: Any, cache: Any, out: Any, *, signs: bool = False) -> None:
            out.b0[...] = 0.0

    with pytest.raises(ValueError, match="4 entries of the gradient"):
        hessian(bowl(Forgets))


def test_a_product_that_is_not_finite_is_an_error():
    class Steep(Bowl):
        def hessian_vector(self, params: Any, cache: Any, v: Any, out: Any) -> None:
            out.b0[...], out.b1[...] = np.inf, 0.0

    with pytest.raises(FloatingPointError, match="not finite"):
        hvp(bowl(Steep), None, np.ones(7))
