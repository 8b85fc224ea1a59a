"""A small sweep on the real images, made once: what the tests of runs, claims and figures read."""

import pytest

from dynsim.systems import noisy_mnist


@pytest.fixture(scope="session")
def small():
    """An experiment of a second: 20 images, four rows."""
    experiment = noisy_mnist.experiment("mnist")
    return experiment.replace(setting=experiment.setting.replace(n=20, m_k=4), steps=200)


@pytest.fixture(scope="session")
def table(small):
    """The sweep of the study over SNR with construction "token", small, one seed: SNR 0.2 and 2, three rules."""
    return noisy_mnist.snr_study(small, (), seeds=1, constructions=["token"]).run(workers=1)["token"]
