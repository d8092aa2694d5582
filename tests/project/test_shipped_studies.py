"""The shipped studies and models: each composes, on every kind of data, at the papers' rates."""

from itertools import cycle

import pytest

from lacuna.model.fetch import PACKED
from lacuna.unlearn import OBJECTIVES
from sweeps.config.compose import configure
from sweeps.config.groups import names

NAMED = {name: name for name in names("study")} | {"moderator": "moderator-0.35"}
"""File -> name of its study: one is named after the value that it varies."""


@pytest.mark.parametrize("study", names("study"))
def test_every_study_in_the_folder_composes_under_its_own_name(study: str) -> None:
    config = configure([f"study={study}"])
    assert config.study == NAMED[study]
    assert list(config.objectives) and list(config.scenarios) and list(config.seeds)


def test_a_moderator_study_is_named_after_its_rate() -> None:
    words = ["study=moderator", "masked.inject.dropout.rate=0.2"]
    assert configure(words).study == "moderator-0.2"


OWN = {name for name, method in OBJECTIVES.items() if method.rates}
"""Edits bring their own rates, which a recipe may replace; all others need candidates."""
LEARNED = OBJECTIVES.keys() - OWN
CONFINED = {name for name in LEARNED if OBJECTIVES[name].confined}


KINDS = ("synthetic", "tofu", "lume", "jsonl")
PAIRS = {("mini", data) for data in KINDS} | set(zip(names("study"), cycle(KINDS), strict=False))
"""Every study with one kind of data, in turn, and `mini` with all."""


@pytest.mark.parametrize(("study", "data"), sorted(PAIRS))
def test_every_study_runs_on_every_kind_of_data(study: str, data: str) -> None:
    config = configure(
        [f"study={study}", "model=mini", f"data={data}", "data.path=x"][: 3 + (data != "synthetic")]
    )
    assert config.study == NAMED[study] and config.data.name == data
    listed = config.unlearn.lrs
    assert listed["region"].keys() - OWN == CONFINED and listed["full"].keys() - OWN == LEARNED
    assert config.model.source is None and config.resources.gpus == 0


PUBLISHED = {
    ("table1", "olmo2_7b"): ("random", "npo", 6e-5),
    ("table1", "llama3_8b"): ("memflex", "npo", 4e-5),
    ("table2", "olmo2_7b"): ("region", "dpo", 1.5e-3),
    ("table2", "llama3_8b"): ("region", "rmu", 2.3e-5),
    ("table3", "llama3_8b"): ("wagle", "npo", 1e-4),
    ("table4", "llama3_8b"): ("wagle", "rmu", 8e-6),
    ("table5", "llama3_8b"): ("random", "npo", 1e-5),
    ("table6", "llama3_8b"): ("region", "npo", 2e-4),
    ("figure1", "llama3_8b"): ("region", "match", 4e-4),
}
"""Lee et al., appendix F."""


@pytest.mark.parametrize(("study", "model"), PUBLISHED)
def test_the_papers_studies_take_the_papers_rates(study: str, model: str) -> None:
    config = configure([f"study={study}", f"model={model}"])
    scenario, objective, rate = PUBLISHED[study, model]
    assert config.unlearn.lrs[scenario][objective] == [rate]
    assert config.unlearn.train.weight_decay == config.inject.train.weight_decay == 0.01
    assert config.retained.recipe.train.batch_size == config.unlearn.train.batch_size == 16
    assert not [*config.attack.relearn_lrs, *config.attack.benign_lrs, *config.attack.bits]


HUB = [name for name in names("model") if name not in ("mini", "hub", *PACKED)]


@pytest.mark.parametrize("model", HUB)
def test_every_model_of_the_hub_is_pinned_and_fits_every_size_of_gpu(model: str) -> None:
    for memory in (24, 40, 80):
        config = configure([f"model={model}", "study=table2", f"resources.gpu_memory={memory}"])
        for train in (config.retained.recipe.train, config.inject.train, config.unlearn.train):
            assert train.batch_size * train.accumulation == 16 and train.checkpointing
    assert config.model.revision and config.model.dtype == "bfloat16"
    assert config.model.source.count("/") == 1 and config.resources.gpus == 1
