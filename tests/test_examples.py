"""Every example runs, small, shows what its text says, and draws its figure."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
import numpy as np
import order
import pytest

EXAMPLES = {path.stem: path for path in sorted((Path(__file__).parents[1] / "examples").glob("*.py"))}

SMALL = {
    "a_claim_of_your_own": {},
    "adam_that_forgets": {"beta2": (0.5, 0.999), "seeds": 1},
    "check_your_derivation": {"seeds": 8},
    "classes_that_drift": {},
    "conserved_by_the_flow": {"until": 4.0},
    "exact_lumping": {"steps": 60, "dimensions": (10**3, 10**8)},
    "figures_for_a_paper": {},
    "flow_without_parameters": {"widths": (32, 128), "n": 24},
    "four_stages": {},
    "gradient_by_hand": {},
    "how_heterogeneous": {"d": 4, "samples": 16},
    "how_wide_is_infinite": {"widths": (32, 128), "seeds": 1, "n": 24},
    "is_it_only_the_noise": {"noise": (2.0, 0.5), "seeds": 1},
    "noisy_digits": {"snr": (0.2,), "seeds": 1},
    "one_step": {},
    "phase_of_a_lemma": {"sigma_0": (1e-3, 8e-3), "n": (10, 40), "seeds": 2},
    "power_law": {"lr": (8e-6, 16e-6), "m_k": (25, 50), "seeds": 2},
    "rules_side_by_side": {"seeds": 1},
    "scaled_logits": {"m_k": (12, 48), "seeds": 2, "lr": 1.6e-5},
    "signs_that_survive": {"steps": 1500},
    "three_tokens": {"lengths": (3,), "steps": 600},
    "values_alone": {},
    "verdicts_over_seeds": {"preset": "tiny", "seeds": 2},
    "weights_from_elsewhere": {"steps": 60, "every": 30},
    "when_signs_win": {},
    "where_a_lemma_begins": {"sigmas": (4e-3, 1e-3), "seeds": 4},
    "which_kernel_gets_stuck": {"starts": 13, "steps": 2500},
    "your_own_system": {},
}
"""Arguments with which an example takes a moment."""

SLOW = {
    "how_heterogeneous", "how_wide_is_infinite", "is_it_only_the_noise", "noisy_digits", "phase_of_a_lemma", "rules_side_by_side",
    "scaled_logits", "verdicts_over_seeds", "which_kernel_gets_stuck",
}


def listed(names) -> list:
    """Return the names as parameters of a test, the slow ones marked."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


@cache
def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def found(name: str):
    """Return what the example computes with small arguments: once, for the figure and for the test of its content."""
    return example(name).compute(**SMALL[name])


# -- all of them ---------------------------------------------------------------------------------------------------


def test_every_example_has_its_place_in_the_gallery():
    assert sorted(order.EXAMPLES) == sorted(EXAMPLES)
    with pytest.raises(ValueError, match="examples/new.py has no place"):
        order.InOrder("examples")("new.py")


@pytest.mark.parametrize("name", EXAMPLES)
def test_form(name):
    """A title, some sentences, 30 to 80 lines, the three functions, and nothing that runs on import."""
    lines = EXAMPLES[name].read_text(encoding="utf-8").splitlines()
    _, title, rule, blank, *text = example(name).__doc__.splitlines()
    assert len(title) > 10 and rule == "=" * len(title) and not blank and len(text) >= 2, "a title, underlined, and a text"
    assert 30 <= len(lines) <= 80
    assert lines[-2] == 'if __name__ == "__main__":' and lines[-1].startswith("    main(")
    assert all(callable(getattr(example(name), part)) for part in ("compute", "draw", "main"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in order.EXAMPLES[:7] else [pytest.mark.slow]) for name in EXAMPLES])
def test_draws_a_figure_and_prints_numbers(name, monkeypatch, capsys):
    module, result = example(name), found(name)
    monkeypatch.setattr(module, "compute", lambda *_, **__: result)
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")
    try:
        module.main()
        assert any(character.isdigit() for character in capsys.readouterr().out)
        (number,) = plt.get_fignums()
        figure = plt.figure(number)
        figure.canvas.draw()
        for ax in figure.axes:
            named = any(character.isalpha() for tick in ax.get_yticklabels() for character in tick.get_text())
            assert ax.get_xlabel() and (ax.get_ylabel() or named or not len(ax.get_yticks())), "axes without a label"
            assert ax.has_data()
    finally:
        plt.close("all")


def test_becomes_a_notebook(tmp_path):
    """As the gallery makes it: it begins with the title, and its last cell runs the example."""
    convert = pytest.importorskip("sphinx_gallery.notebook").python_to_jupyter_cli
    for name, path in EXAMPLES.items():
        script = tmp_path / path.name
        script.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        convert([str(script)])
        cells = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
        assert cells[0]["cell_type"] == "markdown" and "".join(cells[0]["source"]).lstrip().startswith("# ")
        codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        for code in codes:
            compile(code, name, "exec")
        assert codes[-1].rstrip().splitlines()[-2] == 'if __name__ == "__main__":'


def test_every_example_is_run_small():
    assert set(SMALL) == set(EXAMPLES)


# -- what each says ------------------------------------------------------------------------------------------------


def test_four_stages_with_two_turns_one_twice_as_late():
    from dynsim.systems import signal_noise

    run = found("four_stages")
    stages = signal_noise.stage_table(run).stages
    assert [stage.number for stage in stages] == ["I", "II", "III", "IV"]
    assert stages[0].end < stages[1].end < stages[2].end
    theory = signal_noise.predict(signal_noise.preset("figure3"), lr=5e-5)
    assert theory.T_query == 2 * theory.T_key
    assert run["softmax_21"][0].mean() > 0.45 and run["softmax_11"][-1].mean() < 0.05


def test_one_step_moves_by_the_sign_alone():
    shown = found("one_step")
    gradient, change = shown["dL/dW_Q"], shown["Delta W_Q"]
    assert np.array_equal(np.sign(change), -np.sign(gradient))
    assert 65 < np.abs(gradient).max() / np.abs(gradient).min() < 75
    assert np.ptp(np.abs(change), axis=1).max() < 1e-15, "one size for each token"


def test_a_claim_of_your_own_holds_and_its_control_does_not():
    _, report, control = found("a_claim_of_your_own")
    assert report["attention_first"].verdict == "holds" and control["attention_first"].verdict == "violated"


def test_check_your_derivation_tells_right_from_wrong():
    (wrong, right), pairs = found("check_your_derivation")
    assert "not right" in wrong and "not" not in right
    assert np.array_equal(*pairs.T) and pairs.min() > 40


def test_gradient_by_hand_is_exact_and_differences_are_not():
    errors = found("gradient_by_hand")
    small = example("gradient_by_hand").STEPS < 1e-7
    assert errors["imaginary step"][small].max() < 1e-14
    assert errors["forward difference"].min() > 1e-9 > errors["central difference"].min() > 1e-13


def test_exact_lumping_differs_by_rounding_and_does_not_grow_with_the_dimension():
    from dynsim import SignGD
    from dynsim.systems import signal_noise

    deviations, sizes = found("exact_lumping")
    assert all(deviation.max() < 1e-12 for deviation in deviations.values())
    (small, least), (large, most) = sizes.values()
    assert large == 10**5 * small and least == most
    assert signal_noise.lumped(signal_noise.preset("figure3"), SignGD, seed=0).layout.size == 57 * (2 * 100 + 1)


def test_signs_survive_where_the_gradient_is_lost():
    logarithms, gradient = found("signs_that_survive").values()
    assert logarithms.underflow_at < 0 < gradient.underflow_at
    before, after = slice(0, gradient.underflow_at), slice(-100, None)
    assert np.array_equal(logarithms["query_noise"][before], gradient["query_noise"][before])
    assert np.ptp(gradient["query_noise"][after], axis=0).max() == 0 < np.ptp(logarithms["query_noise"][after], axis=0).min()


def test_where_a_lemma_begins_fails_for_large_and_holds_for_small_initial_weights():
    (_, far, large), (_, near, small) = found("where_a_lemma_begins")
    assert far < near and large.max() < 0 < small.min()


@pytest.mark.slow
def test_phase_of_a_lemma_ends_at_large_initial_weights():
    diagram = found("phase_of_a_lemma")
    assert diagram.values[:, 0].min() == 1.0 and diagram.values[:, 1].max() == 0.0


def test_power_law_finds_the_exponents():
    table, law = found("power_law")
    assert table.cells == 8
    assert abs(law["lr"].value + 1) < 0.01 and abs(law["m_k"].value + 0.5) < 0.01


def test_scaled_logits_change_the_exponent():
    (_, paper), (_, usual) = found("scaled_logits").values()
    assert abs(paper["m_k"].value + 0.5) < 0.01 and abs(usual["m_k"].value + 0.25) < 0.01


def test_verdicts_over_seeds_counts_every_claim():
    table = found("verdicts_over_seeds")
    assert all(sum(counts.values()) == 2 for counts, *_ in table.values())
    assert set().union(*(counts for counts, *_ in table.values())) <= set(example("verdicts_over_seeds").WORDS), "drawn"
    assert example("verdicts_over_seeds").markdown(table).count("\n") == len(table) + 1


@pytest.mark.slow
def test_rules_side_by_side_bend_and_generalise():
    table, report = found("rules_side_by_side")
    assert report["adam_loss_bends"].verdict == report["signgd_loss_straight"].verdict == "holds"
    assert table.where(optimizer="gd")["test_error@900"][0] < 0.3 * table.where(optimizer="signgd")["test_error@900"][0]


@pytest.mark.slow
def test_is_it_only_the_noise_or_the_rule():
    noisy, cleaner = found("is_it_only_the_noise").values()
    assert noisy[2] < 0.1 and noisy[:2].min() > 0.3, "gradient descent generalises, sign rules do not"
    assert (cleaner < noisy).all() and cleaner[0] < noisy[0] / 2 and cleaner[1] > 0.4, "less noise helps, Adam hardly"


def test_adam_that_forgets_lets_query_noise_turn():
    star, shares = found("adam_that_forgets")
    assert 0.5 < star < 0.999 and shares[0.5] > 0.9 and shares[0.999] < 0.05


def test_attention_leaves_the_signal_among_three_tokens():
    (result,) = found("three_tokens").values()
    assert result["attention"][0] > 0.3 and result["attention"][-1] < 0.05 and result["loss"][-1] < 0.1 and result["error"] > 0.3


@pytest.mark.slow
def test_digits_in_noise_are_learnt_by_gradient_descent():
    losses = found("noisy_digits")
    assert losses[0.2, "gd"] < losses[0.2, "signgd"] - 0.1 and losses[0.2, "gd"] < losses[0.2, "adam"] - 0.1


def test_flow_conserves_what_descent_does_not():
    flow, descents = found("conserved_by_the_flow")
    assert np.abs(flow["invariants"]).max() < 1e-9
    coarse, middle, fine = (np.abs(run["invariants"]).max() for run in descents.values())
    assert coarse / middle == pytest.approx(2, rel=0.1) and middle / fine == pytest.approx(2, rel=0.1)


def test_flow_without_parameters_is_followed_by_the_wide_network():
    limit, networks = found("flow_without_parameters")
    off = []
    for run in networks.values():
        expected = [np.interp(run["tau"][-1], limit.at, G) for G in limit["G"].T]
        off.append(np.abs(run["G"][-1] / expected - 1).max())
        assert run["G"][-1, :2].min() > 0 > run["G"][-1, 2] and run["G"][-1].sum() > 0, "both targets outweigh the common word"
        assert run["G"][-1, [0, 2]].sum() < 0, "one does not"
    assert off[1] < 0.05 < off[0]


@pytest.mark.slow
def test_how_wide_is_infinite_approaches_the_limit_with_the_width():
    narrow, wide = found("how_wide_is_infinite")
    assert narrow.growth > 2 * wide.growth > 0
    assert abs(wide.share - 1) < abs(narrow.share - 1)


@pytest.mark.slow
def test_which_kernel_gets_stuck_is_told_by_the_barriers():
    shares = {(share.example, share.kernel): share for share in found("which_kernel_gets_stuck")}
    assert shares["E6", "gaussian"].predicted < 1.0 == shares["E6", "softmax"].predicted == shares["E5", "gaussian"].predicted
    for name in ("E3", "E6"):  # E5 has starts on a plateau, which take longer
        for kernel in ("softmax", "gaussian", "row_gaussian"):
            assert shares[name, kernel].simulated == shares[name, kernel].predicted
    assert shares["E5", "softmax"].simulated <= shares["E5", "softmax"].predicted < 0.6


def test_values_alone_are_predicted():
    _, report = found("values_alone")
    assert report["value_curve"].verdict == report["value_rate"].verdict == "holds"


def test_signs_win_where_blocks_differ_along_the_axes():
    even, some, many, flat, turned = found("when_signs_win").values()
    assert even[0] == pytest.approx(1.0) == flat[0] and 1.0 < some[0] < many[0]
    assert even[1] < some[1] < many[1] and many[1] >= 8 * some[1] and many[2] <= 2.2 * some[2]
    assert flat[1] == even[1] and turned[1] == many[1] and turned[2] >= 5 * many[2]


@pytest.mark.slow
def test_how_heterogeneous_measures_every_model():
    result = found("how_heterogeneous")
    assert {name.partition(",")[0] for name in result} == {"signal_noise", "cooccurrence", "attention", "transformer"}
    for m in result.values():
        s = m.scalars()
        assert 0 < s["gradient_gini"] < 1 and abs(s["ratio"] / s["ratio_by_identity"] - 1) < 1e-12
        assert abs(s["R"] / (s["phi"] * s["ratio"]) - 1) < 1e-12


def test_classes_drift_under_signs_less_with_momentum():
    signs, momentum = found("classes_that_drift").values()
    assert signs["mean_bias"][-1] < 5 * momentum["mean_bias"][-1] < 0


def test_your_own_system_reaches_the_solutions_by_other_paths():
    flows, signs = found("your_own_system")
    for flow in flows:
        u, v = flow["weights"].T
        assert abs(u[-1] * v[-1] - 1) < 1e-6 and np.ptp(u**2 - v**2) < 1e-7
    u, v = np.moveaxis(signs["weights"], -1, 0)
    assert np.abs(u[-1] * v[-1] - 1).max() < 0.05 and np.ptp(u - v, axis=0).max() < 1e-12


def test_weights_from_elsewhere_have_the_same_loss_there():
    loss, there, (dense, lumped) = found("weights_from_elsewhere")
    assert list(there) == [0, 30, 60] and lumped < dense / 5
    assert all(abs(loss[step] / value - 1) < 1e-11 for step, value in there.items())


def test_figures_for_a_paper_come_from_a_file_as_from_the_run(tmp_path):
    module = example("figures_for_a_paper")
    run, again = found("figures_for_a_paper")
    assert all(np.array_equal(run[name], again[name], equal_nan=True) for name in run.arrays)
    try:
        figure = module.draw((run, again), tmp_path / "key_noise.pdf")
        assert figure.get_figwidth() == module.COLUMN and (tmp_path / "key_noise.pdf").read_bytes().startswith(b"%PDF")
    finally:
        plt.close("all")
