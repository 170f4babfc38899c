"""The command, as the tests of its verbs call it."""

import subprocess
import sys

import pytest


def rankdet(*arguments, expect=0):
    """Return its output and its error messages."""
    pytest.importorskip("typer", reason="the command needs the extra pipeline")
    command = [sys.executable, "-c", "from rankdet.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return done.stdout, done.stderr
