"""The keys of all stages of the shipped studies are those recorded in `tests/data/stage_keys.json`.

A key names a finished result: where it moves, everybody's finished results are computed again. A
change that means to move keys records them anew, and its commit says why:

    PYTHONPATH=.:tests python tests/project/test_stage_keys.py

Recorded are, per study and kind of stage, how many there are, the first in order of labels with its
key, and one sha256 over all `label key` lines in that order. A new localizer moves the `survey`
stages of studies that name none, as these ask all there are.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, invented

from lacuna.artifacts import read_json, write_json
from lacuna.attack import ATTACKS
from lacuna.evaluate import FullCurve
from lacuna.localize import LOCALIZERS
from lacuna.registry import Revised
from lacuna.unlearn import OBJECTIVES, WRAPPERS
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.stage import Stage

RECORD = ROOT / "tests" / "data" / "stage_keys.json"
PAPER = [*(f"table{n}" for n in range(1, 7)), "figure1"]
STUDIES = [
    *(f"study={name} data=synthetic" for name in ("mini", "smoke", "lacuna", "lacuna-faithful")),
    *(f"study={name} data=synthetic" for name in ("dose", "gauge", "moderator")),
    *(f"study={name} data=profiles" for name in ("mini", "smoke", "lacuna", "lacuna-faithful")),
    "study=transplant data=synthetic",
    *(f"study={name} data=synthetic model=mini" for name in PAPER),
    "study=mini data=tofu data.path=TOFU data.forget_people=2 data.retain_people=3 "
    "data.background_people=2 data.holdout_people=1",
    "study=mini data=lume data.path=LUME data.forget_people=3 data.retain_people=4 "
    "data.background_people=2 data.holdout_people=1",
    "study=mini data=jsonl data.path=facts.jsonl",
    "study=mini data=panorama data.path=PANORAMA data.num_people=12 unlearn.lr=1e-2",
    *(f"study={name} model.source=olmo2 data.path=TOFU" for name in ("table1", "table2")),
    *(
        f"study={name} model=llama3_8b model.source=llama data.path=TOFU"
        for name in ("table1", "table2", "table3", "table4", "table5", "figure1")
    ),
    "study=table6 model.source=llama data.path=LUME data.forget_people=3",
]
"""What a user types; paths are below a folder of invented files."""

SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 50}
"""A model that needs no weights, as only its layout is asked for."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("invented"))


def prepare(folder: Path) -> Path:
    """Data sets and models for the studies that do not bring their own."""
    invented.tofu(folder / "TOFU")
    invented.lume(folder / "LUME")
    invented.facts(folder / "facts.jsonl")
    invented.panorama(folder / "PANORAMA")
    for name in ("olmo2", "llama"):
        (folder / name).mkdir()
        config = {"model_type": name, "num_hidden_layers": 2, **SHAPE}
        (folder / name / "config.json").write_text(json.dumps(config))
    return folder


def planned(study: str, folder: Path) -> Planner:
    """The study; its survey asks no localizers but the library's own."""
    typed = [word.partition("=") for word in study.split()]
    paths = ("data.path", "model.source")
    words = [f"{key}={folder / value if key in paths else value}" for key, _, value in typed]
    config = configure([*words, "plan=true"])  # the models are bare configurations
    planner = make_planner(config)
    if not config.localizers:
        own = [n for n in planner.known() if LOCALIZERS[n].__module__.startswith("lacuna.")]
        return replace(planner, config=replace(config, localizers=own))
    return planner


def stages(planner: Planner) -> Iterator[Stage]:
    """All that a study may run, whichever rates its searches choose from."""
    yield from planner.setup()
    yield from planner.controls()
    turns = {cell: dict.fromkeys(planner.rates.foreseen(cell), 0) for cell in planner.searched()}
    yield from planner.search(turns)
    yield from planner.tests({cell: planner.rates.candidates(cell)[0] for cell in planner.cells()})


def kind(stage: Stage) -> str:
    """The stage's kind; of trials their purpose, and surveys apart from single localizers."""
    several = "+" in stage.tags.get("localizer", "")
    return stage.tags.get("purpose", "survey" if several else stage.kind)


def summary(planner: Planner) -> dict[str, dict[str, Any]]:
    """Per kind of stage: the number, the first label and its key, a digest of all."""
    kinds: dict[str, dict[str, str]] = {}
    for stage in stages(planner):
        kinds.setdefault(kind(stage), {})[f"{stage.label} {stage.key[:8]}"] = stage.key
    return {name: _summed(found) for name, found in sorted(kinds.items())}


def _summed(keys: dict[str, str]) -> dict[str, Any]:
    ordered = sorted(keys.items())
    text = "".join(f"{label} {key}\n" for label, key in ordered)
    label, key = ordered[0]
    return {
        "count": len(ordered),
        "first": label.rpartition(" ")[0],
        "key": key,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


@pytest.mark.parametrize("study", STUDIES)
def test_no_key_of_a_shipped_study_has_moved(study: str, folder: Path) -> None:
    recorded, found = read_json(RECORD), summary(planned(study, folder))
    assert study in recorded, f"no keys are recorded of {study}: {__doc__}"
    for name in {**recorded[study], **found}:
        before, now = recorded[study].get(name), found.get(name)
        assert before == now, (
            f"{study}: keys of its {name} stages moved; if that is meant, see the top of this file"
        )


def test_nothing_is_recorded_that_is_no_longer_checked() -> None:
    assert set(read_json(RECORD)) == set(STUDIES)


def test_a_changed_option_moves_the_kinds_that_depend_on_it_and_no_others(folder: Path) -> None:
    plain, other = (
        summary(planned(f"study=smoke{more}", folder)) for more in ("", " unlearn.train.steps=9")
    )
    assert {name for name in plain if plain[name] != other[name]} == {"search", "test"}


def test_an_option_that_came_later_is_part_of_a_key_where_it_is_set(folder: Path) -> None:
    study = "study=smoke objectives=[dpo,rmu] scenarios=[oracle]"
    plain, set_to_default, other = (
        summary(planned(f"{study}{more}", folder))
        for more in (
            "",
            " unlearn.options.dpo.factor=2 unlearn.options.rmu.tokens=answer",
            " unlearn.options.dpo.factor=1",
        )
    )
    assert plain == set_to_default
    assert {name for name in plain if plain[name] != other[name]} == {"search", "test"}
    options = {
        stage.tags["objective"]: stage.param("options", dict)
        for stage in stages(planned(f"{study} unlearn.options.rmu.tokens=all", folder))
        if stage.kind == "trial"
    }
    assert "factor" not in options["dpo"] and options["rmu"]["tokens"] == "all"


def test_a_revised_method_moves_its_own_stages_and_those_that_stand_on_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = "study=smoke objectives=[npo+sam,wga] scenarios=[oracle,norm] localizers=[norm,snip]"

    def keys() -> dict[str, str]:
        return {stage.label: stage.key for stage in stages(planned(study, folder))}

    def moved(method: type[Revised]) -> set[str]:
        with monkeypatch.context() as patch:
            patch.setattr(method, "revision", method.revision + 1)
            now = keys()
        return {label for label in before if before[label] != now[label]}

    before = keys()
    regions = {name for name in before if name.startswith("localized")}
    trials = {name for name in before if name.startswith(("search", "test"))}
    tests = {name for name in trials if name.startswith("test")}
    assert moved(LOCALIZERS["norm"]) == regions | {n for n in trials if " norm " in n}
    assert moved(LOCALIZERS["snip"]) == {n for n in regions if "2 localizers" in n}
    assert moved(OBJECTIVES["wga"]) == {n for n in trials if " wga " in n}
    assert moved(WRAPPERS["sam"]) == {n for n in trials if "+sam" in n}
    assert moved(FullCurve) == tests
    assert moved(ATTACKS["relearn"]) == tests | {n for n in before if n.startswith("control")}


def test_keys_hold_matched_starts_whatever_decides_and_only_where_an_attack_has_them(
    folder: Path,
) -> None:
    def found(words: str) -> dict[str, dict[str, Any]]:
        return summary(planned(f"study=smoke {words}", folder))

    first = found("attack.matched=[0.3,0.6]")
    assert first == found("attack.matched=[0.6,0.3]")
    assert found("attack.matched=0.3") == found("attack.matched=[0.3]") != first
    assert found("attack.matched=null") == found("attack.matched=[]") != first
    none = "attack.relearn_lrs=[] attack.matched"
    assert found(f"{none}=0.3") == found(f"{none}=null")


def test_forget_quality_is_no_part_of_trials_whose_data_has_none(folder: Path) -> None:
    whole = planned("study=smoke", folder)
    bare = {
        split: [replace(item, perturbed_answers=()) for item in getattr(whole.corpus, split)]
        for split in ("forget", "retain")
    }
    for planner, held in (
        (whole, True),
        (replace(whole, corpus=replace(whole.corpus, **bare)), False),
    ):
        (test, *_) = [stage for stage in stages(planner) if stage.tags.get("purpose") == "test"]
        assert ("revisions" in test.params) is held


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        here = prepare(Path(made))
        write_json(RECORD, {study: summary(planned(study, here)) for study in STUDIES})
