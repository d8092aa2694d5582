"""Lint, format and types are tests, so that one command checks everything."""

import subprocess
import sys

import pytest
from support import ROOT


@pytest.mark.parametrize(
    "command",
    ["ruff check", "ruff format --check", "mypy lacuna sweeps"],
)
def test_the_house_style_holds(command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
