"""The command line as the tests call it."""

import pytest

from dynsim.cli import main


@pytest.fixture
def dynsim(capsys, monkeypatch):
    """Run the command line in this process; returns exit status, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")  # lines break in the same places wherever the tests run

    def run(*argv):
        status = main([str(a) for a in argv])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run
