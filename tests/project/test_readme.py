"""What the README shows works as it stands there."""

import re
import subprocess
import sys

from support import ROOT

USE = """
import torch
from support.tiny import tiny_model, tiny_texts
from lacuna.train import TrainConfig, editable
from lacuna.unlearn import UnlearnData, answer_nll, unlearn
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner

method = OBJECTIVES["capped_ga"]
model, texts = tiny_model(), tiny_texts(4)
before = answer_nll(model, texts).sum()
data = UnlearnData(texts, tiny_texts(4, seed=2))
config = TrainConfig(steps=3, lr=1e-3, batch_size=4)
unlearn(model, editable(model, None), method(method.Config()), data, config, seed=0)
assert answer_nll(model, texts).sum() > before

study = ["study=smoke", "objectives=[capped_ga]", "unlearn.lr=1e-3"]
planner = make_planner(configure([*study, "unlearn.options.capped_ga.retain_weight=2"]))
assert {cell.objective for cell in planner.cells()} == {"capped_ga"}
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)


def test_the_method_that_the_readme_adds_unlearns_and_is_known_to_the_sweep() -> None:
    (method,) = blocks()
    done = subprocess.run(
        [sys.executable, "-c", method + USE],
        cwd=ROOT,
        env={
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_counts_of_methods_are_those_of_the_registries() -> None:
    from lacuna.localize import LOCALIZERS
    from lacuna.unlearn import OBJECTIVES, WRAPPERS
    from lacuna.unlearn.edits.base import Edit

    ours = [m for m in OBJECTIVES.values() if m.__module__.startswith("lacuna.")]
    edits = sum(issubclass(method, Edit) for method in ours)
    wrappers = sum(m.__module__.startswith("lacuna.") for m in WRAPPERS.values())
    localizers = sum(m.__module__.startswith("lacuna.") for m in LOCALIZERS.values())
    text = (ROOT / "README.md").read_text()
    assert f"{len(ours) - edits} objectives, {edits} edits, {wrappers} wrappers" in text
    plain, controls, told = re.search(
        r"\| localizers \| (\d+), with (\d+) controls and (\d+) privileged", text
    ).groups()
    assert int(plain) + int(controls) + int(told) == localizers
