"""Tokens, targets, weights, sentences: the laws they are drawn by, and that what is promised of them holds exactly."""

import numpy as np
import pytest

from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.attention import BLOCKS
from dynsim.systems.attention_kernels.classifier.data import LENGTH, NEGATOR, POLAR, VOCABULARY, draw_tokens, vocabulary_and_length
from dynsim.systems.attention_kernels.kernels import KERNELS
from dynsim.systems.attention_kernels.regression.data import draw_samples, draw_weights, outputs

from ...helpers import gap, same_bits
from .helpers import ALL, ROUNDING, looped

BASE = ak.Regression(N=3, n=4, D=14, d=5, H=2, d_o=2)


def within(found, want, deviations, count):
    """Check a mean or variance of normal numbers against five standard errors."""
    assert abs(found - want) < 5.0 * deviations / np.sqrt(count)


# -- regression ------------------------------------------------------------------------------------------------------------


def test_tokens_targets_and_weights_have_their_laws():
    setting = ak.Regression(N=40, n=10, D=50, d=8, H=6, d_o=3, qk_scale=0.5, v_scale=2.0, o_scale=3.0)
    samples, W = draw_samples(setting, 0), draw_weights(setting, 0)
    assert samples.X.shape == (40, 10, 50) and samples.Y.shape == (2, 40, 10, 3) and np.array_equal(samples.U, np.eye(10))
    drawn = [(samples.X, 1 / 50), (samples.Y[0], 1.0), (W["W_Q"], 0.25), (W["W_K"], 0.25), (W["W_V"], 4.0), (W["W_O"], 9.0 / 48)]
    for array, variance in drawn:
        within(array.mean(), 0.0, np.sqrt(variance), array.size)
        within((array**2).mean(), variance, np.sqrt(2.0) * variance, array.size)
    assert [W[name].shape for name in BLOCKS] == [(50, 6, 8)] * 3 + [(6, 8, 3)]
    assert same_bits(samples.Y[0], samples.Y[1]), "kernels have the same targets"
    assert not np.array_equal(W["W_Q"], W["W_K"])


def test_orthonormal_tokens_are_the_first_unit_vectors():
    X = draw_samples(BASE.replace(tokens="orthonormal"), 0).X
    assert np.array_equal(X.reshape(12, 14), np.eye(12, 14))


def test_pooled_targets_are_one_for_a_sample():
    samples = draw_samples(BASE.replace(pooled=True), 0)
    assert samples.Y.shape == (2, 3, 1, 2) and np.array_equal(samples.U, np.full((1, 4), 0.25))
    W = draw_weights(BASE, 0)
    want = looped(samples.X, W, "gaussian", np.sqrt(5.0)).mean(axis=1, keepdims=True)
    assert gap(outputs(samples.X, samples.U, W, KERNELS["gaussian"]), want) < ROUNDING


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("trained", ["Q", "V", "QKV", "QKVO"])
def test_a_teachers_targets_can_be_met(trained, pooled):
    """A teacher differs from the student in trained blocks only, so that loss 0 is within reach; each kernel has its own."""
    setting = BASE.replace(targets="teacher", trained=trained, pooled=pooled, kernel=ALL)
    student, samples = ak.dense(setting, 2), draw_samples(setting, 2)
    assert not same_bits(samples.Y[0], samples.Y[1]) and not same_bits(samples.Y[0], samples.Y[2])
    assert (student.constants["loss_0"] > 1e-3).all(), "the student does not start as the teacher"
    for i, name in enumerate(KERNELS):
        one = draw_samples(setting.replace(kernel=name), 2)
        assert same_bits(one.Y[0], samples.Y[i]), "whatever other kernels are trained"
    if trained == "V":
        assert (student.constants["residual_squares"] * (student.constants["gram_eigenvalues"] == 0.0)).sum() < 1e-20
    paired = setting.replace(paired=True)
    assert np.abs(draw_samples(paired, 2).Y).max() > 0.1, "a teacher is no pair of heads: its output would be 0"


def test_pairs_of_heads_cancel_and_tied_heads_are_the_same():
    setting = BASE.replace(paired=True, H=4, kernel=ALL)
    W = draw_weights(setting, 1)
    for name in BLOCKS[:3]:
        assert same_bits(W[name][:, :2], W[name][:, 2:])
    assert same_bits(W["W_O"][:2], -W["W_O"][2:])
    samples = draw_samples(setting, 1)
    for kernel in KERNELS.values():
        assert np.abs(outputs(samples.X, samples.U, W, kernel)).max() < 1e-14
    tied = draw_weights(setting.replace(tied=True, paired=False), 1)
    assert same_bits(tied["W_Q"], tied["W_K"]) and tied["W_Q"] is not tied["W_K"]
    for h in range(4):  # distinct tokens: the Gaussian is then symmetric and positive definite
        for X in samples.X:
            Q = X @ tied["W_Q"][:, h]
            S = KERNELS["gaussian"].value(Q, Q, 1.0)
            assert gap(S, S.T) < 1e-13 and np.linalg.eigvalsh(S)[0] > 1e-6


# -- sentences -------------------------------------------------------------------------------------------------------------

TEXT = ak.Classification(samples=1500, test=300)


def votes(tokens):
    """Return polar words a sentence, how many of them speak for class 1 after negation, and how many are negated; by loops."""
    found = []
    for sentence in tokens:
        polar = [at for at, word in enumerate(sentence) if word < 2 * POLAR]
        turned = [sentence[at - 1] == NEGATOR for at in polar]
        found.append([len(polar), sum((sentence[at] < POLAR) != t for at, t in zip(polar, turned, strict=True)), sum(turned)])
    return np.array(found).T


def test_sentences_are_made_as_they_say():
    train, test = draw_tokens(TEXT.replace(flipped=0.0), 4)
    for sentences, count in ((train, 1500), (test, 300)):
        assert sentences.tokens.shape == (count, LENGTH) and sentences.tokens.min() >= 0 and sentences.tokens.max() < VOCABULARY
        polar, agreeing, turned = votes(sentences.tokens)
        assert (polar == 3).all() and ((sentences.tokens == NEGATOR).sum(1) == turned).all(), "negators stand before polar words only"
        assert np.array_equal(agreeing, np.where(sentences.y == 1, 3, 0)), "without flips all three speak for the class"
        within(sentences.y.mean(), 0.5, 0.5, count)
        within(turned.mean() / 3, 0.5, 0.5, 3 * count)
    assert vocabulary_and_length(TEXT) == (24, 16) and vocabulary_and_length(TEXT.replace(task="path", grid=5)) == (3, 25)


def test_flipped_words_are_as_many_as_asked_for():
    for flipped in (0.1, 0.5):
        train, _ = draw_tokens(TEXT.replace(flipped=flipped), 4)
        _, agreeing, _ = votes(train.tokens)
        wrong = np.where(train.y == 1, 3 - agreeing, agreeing)
        within(wrong.mean() / 3, flipped, np.sqrt(flipped * (1 - flipped)), 4500)


def test_words_without_their_negators_say_little():
    """Half of the polar words are turned, so that counting words is chance: the negative control of the task."""
    train, _ = draw_tokens(TEXT.replace(flipped=0.0), 4)
    positive = (train.tokens < POLAR).sum(1)
    within(((positive >= 2) == (train.y == 1)).mean(), 0.5, 0.5, 1500)


def test_training_and_test_sentences_are_streams_of_their_own():
    train, test = draw_tokens(TEXT, 4)
    assert same_bits(draw_tokens(TEXT.replace(test=20), 4)[0].tokens, train.tokens)
    assert same_bits(draw_tokens(TEXT.replace(samples=100), 4)[1].tokens, test.tokens)
    assert not np.array_equal(train.tokens[:300], test.tokens) and not same_bits(draw_tokens(TEXT, 5)[0].tokens, train.tokens)
