"""The example of a whole experiment shows what it says: facts planted, and unlearned again."""

import subprocess
import sys

from support import ROOT


def test_the_region_that_holds_the_facts_is_enough_to_forget_them() -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "examples" / "one_trial.py")],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[-3:]]
    (_, *never), (_, *planted), (_, *unlearned) = [[n, float(f), float(r)] for n, f, r in lines]
    assert never[0] < 0.1 and planted[0] > 0.9 and unlearned[0] < 0.3
    assert min(never[1], planted[1], unlearned[1]) > 0.9
