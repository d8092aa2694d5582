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
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_method_the_readme_names_exists_and_every_method_is_named() -> None:
    from lacuna.localize import LOCALIZERS
    from lacuna.unlearn import OBJECTIVES
    from lacuna.unlearn.wrappers import WRAPPERS

    text = (ROOT / "README.md").read_text()
    unlearning = text[text.index("## Unlearning") : text.index("## Localizing")]
    localizing = text[text.index("## Localizing") : text.index("## What is measured")]
    wrapped = unlearning.index("* wrappers")
    lists = {
        unlearning[:wrapped]: OBJECTIVES,
        unlearning[wrapped:]: WRAPPERS,
        localizing: LOCALIZERS,
    }
    for section, registry in lists.items():
        named = set(re.findall(r"`([a-z_]+)`", section))
        shipped = {n for n, method in registry.items() if method.__module__.startswith("lacuna.")}
        assert named - {"nll", "kl", "hidden", "peer", "reach"} == shipped
