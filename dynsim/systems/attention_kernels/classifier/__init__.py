"""The classifier: synthetic tasks, model, slices of its loss."""
