"""A study over two nodes survives the loss of one in the middle of a trial."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import PATHS
from support.needs import ALONE, needs

INJECTIONS, TRIALS = 2, 10


@needs("namespaces")
@pytest.mark.slow
def test_a_study_over_two_nodes_ends_right_although_one_is_cut_off() -> None:
    with tempfile.TemporaryDirectory(prefix="cl-", dir="/tmp") as folder:
        done = subprocess.run(
            [*ALONE, sys.executable, "-m", "support.cluster", folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        logs = "".join(path.read_text()[-2000:] for path in Path(folder).glob("*.log"))
    assert done.returncode == 0, done.stderr[-4000:] + logs
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["right"]
    assert found["publications"] == [1] * (INJECTIONS + TRIALS)
    assert found["injected on"] == ["head", "work"]
    assert found["interrupted on"] == ["work", "head"]
    assert found["trials on"]["work"] == 2 and found["trials on"]["head"] == TRIALS - 1
    assert found["counts"]["trained"] == {"injected": INJECTIONS, "trial": TRIALS}
    assert found["counts"]["failed"] == {}
