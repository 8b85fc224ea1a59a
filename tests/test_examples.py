"""Every example runs, small, and shows what its text says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example(name: str):
    return load(next(path for path in EXAMPLES if path.stem == name))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_explains_itself_and_has_a_compute(path):
    module = load(path)
    assert module.__doc__ and callable(module.compute)


def test_where_a_lemma_begins_fails_for_large_and_holds_for_small_initial_weights():
    (_, far, few, low), (_, near, many, high) = example("where_a_lemma_begins").compute(sigmas=(4e-3, 1e-3), seeds=4)
    assert far < near and few == 0 and many == 4 and low < 0 < high


def test_scaled_logits_change_the_exponent():
    paper, usual = example("scaled_logits").compute(m_k=(12, 48), seeds=4, lr=8e-6).values()
    assert abs(paper["m_k"].value + 0.5) < 0.01 and abs(usual["m_k"].value + 0.25) < 0.01


def test_verdicts_over_seeds_counts_every_claim():
    module = example("verdicts_over_seeds")
    table = module.compute("tiny", 2)
    assert all(sum(counts.values()) == 2 for counts, *_ in table.values())
    assert module.markdown(table).count("\n") == len(table) + 1


def test_rules_side_by_side_bend_and_generalise():
    table, report = example("rules_side_by_side").compute(seeds=1)
    assert report["adam_loss_bends"].verdict == report["signgd_loss_straight"].verdict == "holds"
    assert table.where(optimizer="gd")["test_error@900"][0] < 0.3 * table.where(optimizer="signgd")["test_error@900"][0]


def test_adam_that_forgets_lets_query_noise_turn():
    star, shares = example("adam_that_forgets").compute(beta2=(0.5, 0.999), seeds=1)
    assert 0.5 < star < 0.999 and shares[0.5] > 0.9 and shares[0.999] < 0.05


def test_attention_leaves_the_signal_among_three_tokens():
    found = example("three_tokens").compute(steps=600)
    assert found["at first"] > 0.3 and found["at last"] < 0.05 and found["training loss"] < 0.1 and found["test error"] > 0.3


@pytest.mark.slow
def test_digits_in_noise_are_learnt_by_gradient_descent():
    losses = example("noisy_digits").compute(snr=(0.2,), seeds=1)
    assert losses[0.2, "gd"] < losses[0.2, "signgd"] - 0.1 and losses[0.2, "gd"] < losses[0.2, "adam"] - 0.1


def test_how_wide_is_infinite_approaches_the_limit_with_the_width():
    narrow, wide = example("how_wide_is_infinite").compute(widths=(32, 128), seeds=1, n=24)
    assert narrow.growth > 2 * wide.growth > 0
    assert abs(wide.share - 1) < abs(narrow.share - 1)


def test_which_kernel_gets_stuck_is_told_by_the_barriers():
    shares = {(share.example, share.kernel): share for share in example("which_kernel_gets_stuck").compute(starts=13, steps=4000)}
    assert shares["E6", "gaussian"].predicted < 1.0 == shares["E6", "softmax"].predicted == shares["E5", "gaussian"].predicted
    for name in ("E3", "E6"):  # E5 has starts on a plateau, which take longer
        for kernel in ("softmax", "gaussian", "row_gaussian"):
            assert shares[name, kernel].simulated == shares[name, kernel].predicted
    assert shares["E5", "softmax"].simulated <= shares["E5", "softmax"].predicted < 0.6


@pytest.mark.slow
def test_how_heterogeneous_measures_every_model():
    found = example("how_heterogeneous").compute(d=8)
    assert {name.partition(",")[0] for name in found} == {"signal_noise", "cooccurrence", "attention", "transformer"}
    for m in found.values():
        s = m.scalars()
        assert 0 < s["gradient_gini"] < 1 and abs(s["ratio"] / s["ratio_by_identity"] - 1) < 1e-12
        assert abs(s["R"] / (s["phi"] * s["ratio"]) - 1) < 1e-12


def test_signs_win_where_blocks_differ_along_the_axes():
    even, some, many, flat, turned = example("when_signs_win").compute().values()
    assert even[0] == pytest.approx(1.0) == flat[0] and 1.0 < some[0] < many[0]
    assert even[1] < some[1] < many[1] and many[1] >= 8 * some[1] and many[2] <= 2.2 * some[2]
    assert flat[1] == even[1] and turned[1] == many[1] and turned[2] >= 5 * many[2]
