"""A misspelt key of a record is a type error, not an empty cell."""

import subprocess
import sys
from pathlib import Path

from support import ROOT

READERS = """
from lacuna.results import ControlSummary, Ends, ModelEnds, TrialSummary

def known(trial: TrialSummary) -> float:
    return trial["fs_end"]

def misspelt(trial: TrialSummary) -> None:
    print(trial["fs_edn"])

def undefined(trial: TrialSummary) -> float:
    return trial["mu95"]["value"]

def incomplete() -> ModelEnds:
    return {"forget_es": 1.0, "retain_es": 1.0, "mu": 0.5}

def too_much(ends: Ends) -> None:
    ends["forget_se"] = 1.0
"""


def test_a_misspelt_missing_or_undefined_value_is_found_before_anything_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / "readers.py").write_text(READERS)
    command = [sys.executable, "-m", "mypy", "--strict", str(tmp_path / "readers.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line.partition("readers.py:")[2] for line in done.stdout.splitlines()]
    found = [line for line in lines if ": error:" in line]
    assert [int(line.partition(":")[0]) for line in found] == [8, 11, 14, 17], done.stdout
    assert 'no key "fs_edn"' in found[0] and "None" in found[1]
    assert 'Missing key "paraphrase_es"' in found[2] and 'no key "forget_se"' in found[3]
