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


# -- paths -----------------------------------------------------------------------------------------------------------------

PATH = ak.Classification(task="path", samples=400, test=100)


def flooded(grid, start):
    """Return the cells that are reached from one by steps to a neighbour that is on, by a queue."""
    seen, queue = {start}, [start]
    while queue:
        r, c = queue.pop()
        for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            if min(cell) >= 0 and max(cell) < len(grid) and grid[cell] > 0 and cell not in seen:
                seen.add(cell)
                queue.append(cell)
    return seen


def fewest_missing(grid, first, last):
    """Return how many cells are off on the monotone path between two cells on which the fewest are."""
    r, c = (np.linspace(a, b, abs(a - b) + 1).astype(int) for a, b in zip(first, last, strict=True))
    off = grid[np.ix_(r, c)] == 0
    least = np.full((len(r) + 1, len(c) + 1), 10**6)
    least[0, 1] = 0
    for i, j in np.ndindex(off.shape):
        least[i + 1, j + 1] = min(least[i, j + 1], least[i + 1, j]) + off[i, j]
    return least[-1, -1]


def described(setting, seed=0):
    """Return class, distance of the endpoints, cells that are on, whether a flood joins the endpoints, and cells missing on a path."""
    found = []
    for sentences in draw_tokens(setting, seed):
        for tokens, y in zip(sentences.tokens, sentences.y, strict=True):
            grid = tokens.reshape(setting.grid, setting.grid)
            first, last = (tuple(int(x) for x in at) for at in np.argwhere(grid == 2))
            joined = last in flooded(grid, first)
            found.append((y, sum(abs(a - b) for a, b in zip(first, last, strict=True)), (grid > 0).sum(), joined,
                          fewest_missing(grid, first, last)))
    return (np.array(column) for column in zip(*found, strict=True))


@pytest.mark.parametrize(("grid", "distractors"), [(6, 4), (4, 4), (4, 0), (6, 0), (6, 9), (5, 6)])
def test_paths_are_made_as_they_say(grid, distractors):
    """The sizes include the smallest grid, no distractors, and as many as a grid may have."""
    setting = PATH.replace(grid=grid, distractors=distractors, samples=400, test=100)
    train, test = draw_tokens(setting, 0)
    assert train.tokens.shape == (400, grid**2) and test.tokens.shape == (100, grid**2)
    for sentences in (train, test):
        assert set(np.unique(sentences.tokens)) == {0, 1, 2} and ((sentences.tokens == 2).sum(1) == 2).all(), "two endpoints"
        assert set(sentences.y) == {0, 1}
    y, distance, on, joined, missing = described(setting)
    assert np.array_equal(joined, y == 1), "a path joins the endpoints exactly in class 1"
    assert np.array_equal(missing, np.where(y == 1, 0, 1)), "in class 0 one cell of a path is missing, in class 1 none"
    assert distance.min() >= 4 and distance.max() == 2 * (grid - 1), "as far apart as two corners"
    assert np.array_equal(on, distance + 1 + distractors), "in either class, whatever is missing"


def test_no_more_distractors_than_a_quarter_of_the_cells():
    with pytest.raises(ValueError, match=r"distractors=10 must be at most a quarter of the 36 cells"):
        PATH.replace(distractors=10)


def test_classes_of_paths_are_balanced_and_counting_cells_is_chance():
    y, distance, on, _, _ = described(PATH.replace(samples=1500))
    within(y.mean(), 0.5, 0.5, len(y))
    for count in np.unique(on):  # the share of class 1 among grids with so many cells
        within(y[on == count].mean(), 0.5, 0.5, (on == count).sum())
    for length in np.unique(distance):
        within(y[distance == length].mean(), 0.5, 0.5, (distance == length).sum())


def test_training_and_test_paths_are_streams_of_their_own():
    train, test = draw_tokens(PATH, 4)
    again, _ = draw_tokens(PATH.replace(test=20, D=8, kernel="gaussian", layers=2), 4)
    assert same_bits(again.tokens, train.tokens) and same_bits(again.y, train.y)
    assert same_bits(draw_tokens(PATH.replace(samples=70), 4)[1].tokens, test.tokens)
    assert not np.array_equal(train.tokens[:100], test.tokens) and not same_bits(draw_tokens(PATH, 5)[0].tokens, train.tokens)
