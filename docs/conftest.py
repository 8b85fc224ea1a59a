"""What of this folder is built, or builds, and holds no examples to run."""

collect_ignore = ["conf.py", "_ext/linking.py", "_build", "api", "gallery"]  # linking needs Sphinx
