"""Settings of the whole suite."""

from hypothesis import settings

# the same examples in every run, and no deadline: a busy machine is no failure
settings.register_profile("dynsim", deadline=None, derandomize=True, database=None)
settings.load_profile("dynsim")
