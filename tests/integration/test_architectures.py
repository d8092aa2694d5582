"""Every named architecture from retained to evaluated: the stages of a study, on tiny models."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from support.hubs import NAMED, save_tiny
from support.walk import Walk

from lacuna.region import Region, WeightRegion, load_region, load_vectors
from lacuna.tensors import load_tensors
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.plan.sources import load_corpus
from sweeps.plan.stages import Cell

DATA = "data.num_forget=2 data.num_retain=3 data.num_holdout=1 data.num_neutral=5"
SMALL = (
    "model.device=cpu resources.gpus=0 retained.recipe.train.steps=6 retained.recipe.train.lr=1e-2 "
    "inject.train.steps=6 inject.train.lr=2e-2 inject.train.batch_size=24 evaluate.alphas=3 "
    "evaluate.new_tokens=4 evaluate.retain_items=4 evaluate.utility_items=2 unlearn.train.steps=3 "
    "unlearn.train.batch_size=4 unlearn.lr=1e-2 attack.relearn_lrs=[] attack.benign_lrs=[] "
    "attack.bits=[]"
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model in hub layout, whatever the number of its shards."""
    found = {}
    for file in folder.glob("model*.safetensors"):
        found.update(load_tensors(file)[0])
    return found


def walk(tmp_path: Path, name: str, *overrides: str) -> tuple[Walk, torch.nn.Module]:
    source, root = tmp_path / "hub", tmp_path / "stages"
    root.mkdir()
    given = ["study=smoke", *DATA.split()]
    corpus = load_corpus(asdict(configure([*given, "unlearn.lr=1e-2"]).data), embedded=False)
    model = save_tiny(source, name, corpus)
    given += [f"model={name}", f"model.source={source}", "model.revision=null", *SMALL.split()]
    return Walk(make_planner(configure([*given, *overrides])), root), model


def outside(before: Path, after: Path, region: Region) -> set[str]:
    """Names of the tensors that differ anywhere but in the region."""
    old, new = weights(before), weights(after)
    assert old.keys() == new.keys()
    for name, columns in region.columns.items():
        new[f"{name}.weight"][:, columns] = old[f"{name}.weight"][:, columns]
    return {name for name in old if not torch.equal(old[name], new[name])}


@pytest.mark.parametrize("name", NAMED)
def test_a_model_of_the_hub_goes_all_the_way(tmp_path: Path, name: str) -> None:
    steps, model = walk(tmp_path, name, "seeds=[1]")
    assert len(list((tmp_path / "hub").glob("model-*.safetensors"))) > 1, "the model is in shards"
    planner = steps.planner
    retained, injected = planner.stages.retained(1), planner.stages.injected(1, 0.1)
    summary = steps.run(injected)
    assert summary["outside_equal"] and summary["leak"]["passed"]
    assert steps.losses[retained.key][-1] < steps.losses[retained.key][0]
    assert steps.losses[injected.key][-1] < steps.losses[injected.key][0]

    old, new = steps.folder(retained), steps.folder(injected)
    assert {t.dtype for t in weights(new).values()} == {torch.bfloat16}
    region = load_vectors(new / "region.safetensors")
    assert len(region) == 8  # a tenth of 2 x 40
    assert outside(old, new, region) == set()
    moved = [f"{n}.weight" for n in region.columns]
    assert any(not torch.equal(weights(old)[n], weights(new)[n]) for n in moved)
    tied = bool(model.config.tie_word_embeddings)
    heads = [n for n in weights(new) if n.endswith(("lm_head.weight", "embed_out.weight"))]
    assert len(heads) == (0 if tied else 1)

    for scenario in ("oracle", "random", "full"):
        trial = planner.stages.trial(Cell(0.1, "npo", scenario), 1e-2, 1, "test")
        found = steps.run(trial)
        assert len(found["curve"]["fs"]) == 3 and 0 <= found["aues"] <= 1
        changed = found["localization"]["change"]
        wanted = {"oracle": 1.0, "random": 0.0}
        assert scenario == "full" or changed["precision"] == wanted[scenario]


def test_without_a_target_region_localizers_are_compared_with_random_vectors(
    tmp_path: Path,
) -> None:
    steps, _ = walk(
        tmp_path, "llama3_8b", "protocol=full", "inject_seed=1", "seeds=[1,2]",
        "scenarios=[random,wagle]", "localizers=[norm,wagle]", "region.ratio=0.2",
    )  # fmt: skip
    planner = steps.planner
    injected = planner.stages.injected(2, 0.2)
    assert injected.key == planner.stages.injected(1, 0.2).key
    assert injected.inputs == {"base": planner.stages.base().key}
    summary = steps.run(injected)
    texts = [len(planner.corpus.retain), len(planner.corpus.forget)]
    assert summary["steps"] == -(-6 * sum(texts) // texts[0])
    assert not (steps.folder(injected) / "region.safetensors").exists()

    regions = []
    for seed in (1, 2):
        trial = planner.stages.trial(Cell(0.2, "npo", "random"), 1e-2, seed, "test")
        assert steps.run(trial)["localization"] is None
        regions.append(load_vectors(steps.root / trial.inputs["region"] / "random.safetensors"))
    assert [len(region) for region in regions] == [16, 16]
    assert 0 < len(regions[0] & regions[1]) < 16
    survey = steps.run(planner.survey(1, 0.2))
    assert [row["localizer"] for row in survey["localizers"]] == ["norm", "wagle"]
    assert survey["ratio"] == 0.2 and "precision" not in survey["localizers"][0]
    assert steps.run(planner.stages.control("injected", 1, 0.2))["model"] == "injected"


def test_regions_of_single_weights_are_ranked_drawn_and_trained(tmp_path: Path) -> None:
    steps, _ = walk(
        tmp_path, "llama3_8b", "protocol=full", "inject_seed=1", "seeds=[1]",
        "scenarios=[random,wagle]", "region.unit=weight", "region.ratio=0.8",
    )  # fmt: skip
    planner = steps.planner
    regions = {}
    for scenario in ("random", "wagle"):
        trial = planner.stages.trial(Cell(0.8, "npo", scenario), 1e-2, 1, "test")
        assert 0 <= steps.run(trial)["aues"] <= 1
        file = steps.root / trial.inputs["region"] / f"{scenario}.safetensors"
        region = load_region(file)
        assert isinstance(region, WeightRegion)
        assert len(region) == round(0.8 * 2 * 32 * 40) and region.fraction == 0.8
        regions[scenario] = region
    assert len(regions["random"] & regions["wagle"]) < len(regions["random"])
    survey = steps.run(planner.survey(1, 0.8))
    assert [row["localizer"] for row in survey["localizers"]] == ["random", "wagle"]
