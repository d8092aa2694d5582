"""Every listed architecture through all stages of a study and through the audit."""

import json
from pathlib import Path

import pytest
import torch
from support.families import FAMILIES, Family, facts, save
from support.walk import Walk

from lacuna.audit.__main__ import main
from lacuna.audit.change import compare
from lacuna.audit.stream import open_checkpoint
from lacuna.region import load_vectors
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.plan.stages import Cell

FORGET = 4
SMALL = (
    "study=smoke model=hub model.dtype=float32 model.device=cpu model.attention=auto "
    "resources.gpus=0 seeds=[1] region.ratio=0.5 data=jsonl retained.recipe.train.steps=60 "
    "retained.recipe.train.lr=1e-2 inject.train.steps=100 inject.train.lr=3e-2 "
    "inject.train.batch_size=12 evaluate.alphas=3 evaluate.new_tokens=4 unlearn.train.steps=3 "
    "unlearn.train.batch_size=4 unlearn.lr=1e-2 attack.relearn_lrs=[] attack.benign_lrs=[] "
    "attack.bits=[] localizers=[norm]"
)

WIDER = {"gpt2": {"n_inner": 128}}
"""Options of those that have too few neurons for all facts."""

LONGER = dict.fromkeys(
    ("olmo2", "phi", "gpt_neox", "gptj", "opt", "starcoder2"), ["inject.train.steps=200"]
)
"""Of those that learn the last facts after 100 steps."""


def data(folder: Path) -> dict[str, Path]:
    """The families' facts as a file of both splits, and of each."""
    rows = [
        {
            "split": "forget" if number < FORGET else "retain", "question": item.question,
            "answer": item.answer, "person": item.person, "field": item.field,
        }
        for number, item in enumerate(facts())
    ]  # fmt: skip
    files = {name: folder / f"{name}.jsonl" for name in ("facts", "forget", "retain")}
    for name, file in files.items():
        chosen = [row for row in rows if name in ("facts", row["split"])]
        file.write_text("".join(json.dumps(row) + "\n" for row in chosen))
    return files


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.kind)
def test_a_family_goes_through_all_stages_and_the_audit(family: Family, tmp_path: Path) -> None:
    files, source, root = data(tmp_path), tmp_path / "hub", tmp_path / "stages"
    save(family, source, **WIDER.get(family.kind, {}))
    root.mkdir()
    words = [*SMALL.split(), *LONGER.get(family.kind, [])]
    words += [f"model.source={source}", f"data.path={files['facts']}"]
    planner = make_planner(configure(words))
    assert not planner.preflights["model"].unchecked
    steps = Walk(planner, root)
    retained, injected = planner.stages.retained(1), planner.stages.injected(1, 0.5)
    summary = steps.run(injected)
    assert summary["outside_equal"] and summary["leak"]["passed"]
    assert summary["forget_es"] >= 0.9, "planted facts are recited"
    assert steps.summaries[retained.key]["forget_es"] < 0.5

    before, after = (open_checkpoint(steps.folder(stage)) for stage in (retained, injected))
    assert before.layout == after.layout == planner.layout
    region = load_vectors(steps.folder(injected) / "region.safetensors")
    changes = compare(before, after)
    for module, distance in changes.vectors.items():
        chosen = set(region.columns.get(module, torch.empty(0)).tolist())
        assert set(distance.nonzero()[:, 0].tolist()) <= chosen
    moved = {name for name, found in changes.tensors.items() if found.changed}
    assert moved and moved <= {f"{module}.weight" for module in region.columns}

    for scenario in ("oracle", "random"):
        trial = steps.run(planner.stages.trial(Cell(0.5, "npo", scenario), 1e-2, 1, "test"))
        wanted = {"oracle": 1.0, "random": 0.0}[scenario]
        assert trial["localization"]["change"]["precision"] == wanted
    assert [row["localizer"] for row in steps.run(planner.survey(1, 0.5))["localizers"]] == ["norm"]

    given = {
        "--before": before.folder, "--after": after.folder, "--forget": files["forget"],
        "--retain": files["retain"], "--out": tmp_path / "audit",
        "--region": steps.folder(injected) / "region.safetensors",
    }  # fmt: skip
    assert main([str(word) for pair in given.items() for word in pair] + ["--no-attacks"]) == 0
    record = json.loads((tmp_path / "audit" / "audit.json").read_text())
    said = {row["model"]: row["forget_es"] for row in record["behaviour"]["outputs"]}
    assert said["after"] == pytest.approx(summary["forget_es"], abs=0.02)
    assert record["unsupported"] is None
