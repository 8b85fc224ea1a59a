"""Block quadratics: gradients, constants against dense matrices, runs against closed forms, noise that is a function of the step."""

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, SignGD, load, simulate
from dynsim.gradcheck import gradcheck
from dynsim.optimizers import LinearDecay
from dynsim.systems.gradient_heterogeneity.quadratic.data import block_sizes, draw_quadratic, haar
from dynsim.systems.gradient_heterogeneity.quadratic.model import BlockQuadratic, quadratic, repeated
from dynsim.systems.gradient_heterogeneity.quadratic.observables import OBSERVABLES
from dynsim.systems.gradient_heterogeneity.quadratic.setting import Quadratic
from dynsim.systems.gradient_heterogeneity.settings import Setting

from ...helpers import assert_same_bits, gap, same_bits

UNEVEN = Quadratic(blocks=4, size=2, size_max=5, curvature="lognormal", inner=3.0)
SETTINGS = {rotated: UNEVEN.replace(rotated=rotated) for rotated in ("no", "blocks", "all")}
RULES = {"GD": GradientDescent(0.05), "heavy ball": GradientDescent(0.02, momentum=0.9), "SignGD": SignGD(1e-2), "Adam": Adam(1e-2)}


def dense(system):
    """Return the Hessian as one matrix, column by column from `times`; of a system without replicates."""
    return np.stack([system.times(unit) for unit in np.eye(system.layout.size)])


def bare(diagonal, start, sizes=None):
    """Return a diagonal quadratic of given numbers."""
    diagonal, start = np.asarray(diagonal, dtype=float), np.asarray(start, dtype=float)
    return BlockQuadratic(tuple(sizes or (1,) * len(start)), start, diagonal)


# -- gradients and constants -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, [3, 4, 5]], ids=["one", "replicates"])
@pytest.mark.parametrize("case", SETTINGS)
def test_gradient_against_complex_steps(case, seed):
    system = quadratic(SETTINGS[case], seed)
    assert system.start.shape == (*np.shape(seed), 14)
    check = gradcheck(system)
    assert check.worst < 1e-14, check


def test_a_wrong_gradient_fails():
    """Negative control: an asymmetric matrix has the gradient of its symmetric part."""
    rng = np.random.default_rng(0)
    system = BlockQuadratic((4,), rng.standard_normal(4), matrices=(rng.standard_normal((4, 4)),))
    assert not gradcheck(system).passed


@pytest.mark.parametrize("case", SETTINGS)
def test_constants_against_dense_matrices(case):
    """Block norms, what is beside the blocks, the largest curvature; eigenvalues do not change by a rotation."""
    system = quadratic(SETTINGS[case], 1)
    H, sizes, first = dense(system), system.sizes, 0
    assert sizes == block_sizes(UNEVEN) == (2, 3, 4, 5)
    rest = H.copy()
    for h, size in zip(system.constants["h"], sizes, strict=True):
        part = slice(first, first := first + size)
        assert h == pytest.approx(np.linalg.norm(H[part, part], 2), rel=1e-12)
        rest[part, part] = 0.0
    delta_D = float(system.constants["delta_D"])
    assert delta_D == pytest.approx(np.linalg.norm(rest, 2), rel=1e-12) and (delta_D > 0) == (case == "all")
    assert float(system.constants["curvature_max"]) == pytest.approx(np.linalg.norm(H, 2), rel=1e-12)
    plain = quadratic(SETTINGS["no"], 1)
    assert gap(np.linalg.eigvalsh(H), np.sort(plain.diagonal)) < 1e-13
    if case != "all":
        assert gap(system.constants["h"], plain.constants["h"]) < 1e-13
    assert float(system.constants["Lambda_P"]) == pytest.approx(np.repeat(system.constants["h"], sizes).mean(), rel=1e-14)


def test_curvatures_and_starts_are_those_that_the_setting_says():
    made = Quadratic(k=100.0, blocks=5, size=4000)
    h = np.geomspace(0.1, 10.0, 5)
    for initial, a in (("equal_loss", -0.5), ("equal_distance", 0.0), ("equal_curvature", 0.5)):
        system = quadratic(made.replace(initial=initial), 0)
        squares = np.square(system.start).reshape(5, -1).mean(axis=1)
        # 4,000 squares of normal numbers: their mean is right to 2.2 %, four deviations are 9 %
        np.testing.assert_allclose(squares, h ** (2 * a), rtol=0.09)
        np.testing.assert_allclose(system.constants["h"], np.ones(5) if initial == "equal_curvature" else h, rtol=1e-13)
    wide = np.log(quadratic(Quadratic(blocks=4000, size=1, curvature="lognormal", h_sd=0.7), 0).constants["h"])
    assert abs(wide.std() - 0.7) < 0.035 and abs(wide.mean()) < 0.05


def test_rotations_are_orthogonal_and_uniform():
    """The mean of Haar matrices is 0: of 400 of size 3, entries of deviation 0.58 leave 0.03, and QR without signs would leave 0.4."""
    rng = np.random.default_rng(0)
    drawn = np.array([haar(3, rng) for _ in range(400)])
    assert gap(drawn @ np.swapaxes(drawn, 1, 2), np.broadcast_to(np.eye(3), drawn.shape)) < 1e-14
    assert np.abs(drawn.mean(axis=0)).max() < 0.12


def test_streams_are_apart():
    """Start, norms and rotation have streams of their own."""
    one, other = (draw_quadratic(UNEVEN.replace(rotated=rotated), 7) for rotated in ("no", "all"))
    assert np.linalg.norm(one.start) == pytest.approx(np.linalg.norm(other.start), rel=1e-14)
    assert 0.5 * one.start @ (one.diagonal * one.start) == pytest.approx(0.5 * other.start @ other.matrices[0] @ other.start, rel=1e-13)
    spread = draw_quadratic(UNEVEN.replace(h_sd=0.0, initial="equal_distance"), 7)
    assert same_bits(spread.start, draw_quadratic(UNEVEN.replace(initial="equal_distance"), 7).start)


# -- runs against closed forms ---------------------------------------------------------------------------------------------

H_3, THETA_3 = np.array([0.5, 2.0, 7.0]), np.array([1.0, -2.0, 0.7])


def test_gradient_descent_in_closed_form():
    rates = LinearDecay(0.2, 30)
    run = simulate(bare(H_3, THETA_3), GradientDescent(rates), steps=30, record=["train_loss"])
    path = np.cumprod([np.ones(3)] + [1.0 - 0.2 * (1.0 - t / 30) * H_3 for t in range(30)], axis=0) * THETA_3
    assert gap(run.final, path[-1]) < 1e-13 and gap(run["train_loss"], 0.5 * (H_3 * path**2).sum(axis=1)) < 1e-13


def test_heavy_ball_in_closed_form():
    """(theta, velocity) moves by a 2 x 2 matrix for each coordinate."""
    lr, beta = 0.05, 0.9
    run = simulate(bare(H_3, THETA_3), GradientDescent(lr, momentum=beta), steps=25)
    for h, at, found in zip(H_3, THETA_3, run.final, strict=True):
        step = np.array([[1.0 - lr * h, -lr * beta], [h, beta]])
        assert found == pytest.approx((np.linalg.matrix_power(step, 25) @ [at, 0.0])[0], rel=1e-12)


def test_sign_descent_in_closed_form():
    """The distance falls by the rate until it is within one, then alternates between the two sides: with rates of 1/8 exactly."""
    run = simulate(bare(H_3, [1.0, -2.0, 0.6875]), SignGD(0.125), steps=21)
    assert same_bits(run.final, np.array([0.0, 0.0, 0.0625]))  # 0 stays, the third alternates


def test_observables_against_their_definitions():
    for case, setting in SETTINGS.items():
        system = quadratic(setting.replace(noise=0.3), [0, 1])
        cache = system.forward(system.layout.views(system.start))
        for i in range(2):
            one = quadratic(setting, i)
            g, h = dense(one) @ one.start, one.constants["h"]
            squares = np.array([(part**2).sum() for part in np.split(g, np.cumsum(one.sizes)[:-1])])
            wanted = {
                "train_loss": 0.5 * one.start @ g, "grad_norm": np.sqrt(g @ g), "grad_norm_1": np.abs(g).sum(),
                "phi": np.abs(g).sum() ** 2 / (14 * (g @ g)), "Lambda_G": squares @ h / squares.sum(),
                "Lambda_P": np.array(one.sizes) @ h / 14,
            }
            for name, value in wanted.items():
                assert system.observables[name].read(None, cache)[i] == pytest.approx(value, rel=1e-12), (case, name)
    assert set(OBSERVABLES) == set(system.observables) and "sign_progress" not in quadratic(UNEVEN, 0).observables


def test_at_the_minimum_ratios_are_no_numbers():
    system = bare(H_3, np.zeros(3))
    run = simulate(system, GradientDescent(0.1), steps=1)
    assert np.isnan(run["Lambda_G"]).all() and np.isnan(run["phi"]).all() and not run["grad_norm"].any()


# -- replicates, noise, files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("case", SETTINGS)
def test_replicates_are_single_runs(case, noise):
    """To the bit on a diagonal; a product's rounding depends on how many rows it has."""
    setting = SETTINGS[case].replace(noise=noise)
    for rule in RULES.values():
        many = simulate(quadratic(setting, [5, 6]), rule, steps=12)
        for i, seed in enumerate((5, 6)):
            one, part = simulate(quadratic(setting, seed), rule, steps=12), many.replicate(i)
            assert part.provenance["seed"] == seed and set(part.constants) == set(one.constants)
            assert all(np.shape(part.constants[name]) == np.shape(one.constants[name]) for name in one.constants)
            if case == "no" and rule.kind == "linear":
                assert same_bits(part.final, one.final)
            assert gap(part.final, one.final) < 1e-11
            assert all(gap(part[name], one[name]) < 1e-11 for name in one.arrays)


def test_copies_share_the_start_and_not_the_noise():
    system = repeated(quadratic(UNEVEN.replace(noise=1.0), [0, 1]), 3)
    assert system.start.shape == (6, 14) and system.provenance["seed"] == [0, 0, 0, 1, 1, 1]
    assert same_bits(system.start[0], system.start[2]) and not same_bits(system.start[0], system.start[3])
    noise = system.batch(4)
    assert len(np.unique(noise[:, 0])) == 6 and same_bits(noise, system.batch(4)) and not np.any(noise == system.batch(5))
    assert same_bits(system.replicates(slice(2, 5)).batch(4), noise[2:5])
    alone = repeated(quadratic(UNEVEN, 8), 2)
    assert alone.start.shape == (2, 14) and alone.batch(0) is None and alone.diagonal.ndim == 1 and alone.provenance["seed"] == [8, 8]


def test_noise_is_unbiased_and_as_large_as_the_setting_says():
    """20,000 numbers: a mean is right to 0.7 %, a mean square to 1 %; four deviations."""
    system = repeated(quadratic(Quadratic(blocks=2, size=500, k=16.0, noise=0.5, noise_kind="hessian"), 0), 20)
    noise = system.batch(0)
    sd = 0.5 * np.repeat([16.0**-0.25, 16.0**0.25], 500)
    assert abs((noise / sd).mean()) < 0.03 and abs(np.square(noise / sd).mean() - 1.0) < 0.04
    c = system.constants
    assert float(c["noise_1"]) == pytest.approx(sd.sum()) and float(c["noise_2"]) == pytest.approx(np.linalg.norm(sd))
    assert float(c["Lambda_sigma"]) == pytest.approx((0.25**2 + 4.0**2) / 4.25)


def test_a_noisy_run_that_goes_on_is_the_undisturbed_run():
    system = quadratic(UNEVEN.replace(noise=0.1), 1)
    whole, first = (simulate(system, RULES["Adam"], steps=steps) for steps in (9, 4))
    assert_same_bits(simulate(system, RULES["Adam"], steps=5, start=first), whole, other_rows=slice(4, None))
    quiet = simulate(quadratic(UNEVEN, 1), RULES["Adam"], steps=9)
    assert gap(quiet.final, whole.final) > 1e-4, "negative control: noise is felt"


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_files(tmp_path, suffix):
    run = simulate(quadratic(UNEVEN, [0, 1]), GradientDescent(0.1), steps=3)
    again = load(run.save(tmp_path / f"run{suffix}"))
    assert_same_bits(again, run)
    assert all(same_bits(again.constants[name], value) for name, value in run.constants.items())


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"k": 0.5}, "k=0.5 must be a finite number >= 1"), ({"inner": -3}, "inner=-3 must be .*>= 1"), ({"blocks": 0}, "blocks=0"),
    ({"size": 1.5}, "size=1.5"),
    ({"noise": -1.0}, "noise=-1.0"), ({"rotated": "al"}, "did you mean 'all'"), ({"initial": "loss"}, "initial"),
    ({"initial": "equal_curvature"}, "inner=3 must be 1"), ({"task": "logistic"}, "task"), ({"curvatur": "even"}, "curvature"),
], ids=str)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        UNEVEN.replace(**changes)


def test_bad_systems_are_refused():
    with pytest.raises(ValueError, match="at least one seed"):
        quadratic(UNEVEN, [])
    with pytest.raises(ValueError, match="seed=-1"):
        quadratic(UNEVEN, -1)
    with pytest.raises(TypeError, match="must be a Quadratic"):
        quadratic({"task": "quadratic"}, 0)
    with pytest.raises(ValueError, match="no replicates axis"):
        quadratic(UNEVEN, 0).replicates(0)
    start = np.ones(3)
    for options, message in (
        ({}, "either as diagonal= or as matrices="), ({"diagonal": start, "matrices": (np.eye(3),)}, "either"),
        ({"diagonal": np.ones(2)}, "diagonal has shape"), ({"matrices": (np.eye(2), np.eye(1))}, "those of the blocks"),
        ({"diagonal": start, "noise_sd": 1.0}, "noise_streams"),
    ):
        with pytest.raises(ValueError, match=message):
            BlockQuadratic((1, 2), start, **options)
    with pytest.raises(ValueError, match="sum\\(sizes\\) = 4"):
        BlockQuadratic((1, 3), start, start)


def test_settings_round_trip():
    assert Setting.from_dict(UNEVEN.to_dict()) == UNEVEN
