"""Settings of the whole suite."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the suite's two processes share two cores: set before they start

from hypothesis import settings

# the same examples in every run, and no deadline: a busy machine is no failure
settings.register_profile("dynsim", deadline=None, derandomize=True, database=None)
settings.load_profile("dynsim")
