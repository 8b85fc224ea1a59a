"""A linear softmax head with many classes: what sign updates without momentum do to it, and what nothing opposes."""
