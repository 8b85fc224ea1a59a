"""What steps draw: batches are functions of the step, epochs take each sample at most once."""

from __future__ import annotations

import numpy as np
import pytest

from dynsim.draws import Epochs, child, streams

SEED = np.random.SeedSequence(3).spawn(2)[1]


def test_children_are_those_that_spawn_gives_whatever_was_spawned_before():
    SEED.spawn(4)
    fresh = np.random.SeedSequence(3).spawn(2)[1].spawn(3)
    for number, theirs in enumerate(fresh):
        assert np.array_equal(child(SEED, number).generate_state(4), theirs.generate_state(4))


@pytest.mark.parametrize(("count", "size"), [(12, 4), (13, 4), (5, 5), (5, 1)])
def test_an_epoch_takes_each_sample_once_at_most_in_an_order_of_its_own(count, size):
    steps = count // size
    first, second = (np.concatenate([Epochs(count, size, SEED).batch(epoch * steps + i) for i in range(steps)]) for epoch in (0, 1))
    for taken in (first, second):
        assert len(taken) == steps * size == len(np.unique(taken)) and taken.min() >= 0 and taken.max() < count
    assert not np.array_equal(first, second)


def test_batches_do_not_depend_on_what_was_asked_before():
    forth, back = Epochs(20, 6, SEED), Epochs(20, 6, SEED)
    asked = {step: back.batch(step).copy() for step in reversed(range(9))}
    assert all(np.array_equal(forth.batch(step), asked[step]) for step in range(9))


def test_streams_are_apart_by_purpose_and_seed():
    found = [streams(seed, ("data", "start"))[name].generate_state(2).tolist() for seed in (0, 1) for name in ("data", "start")]
    assert len({tuple(state) for state in found}) == 4
    assert np.array_equal(streams(1, ("data",))["data"].generate_state(2), found[2])


@pytest.mark.parametrize("seed", [-1, True, 1.0, None])
def test_seeds_that_are_no_whole_numbers_are_refused(seed):
    with pytest.raises(ValueError, match="must be an integer >= 0"):
        streams(seed, ("data",))
