"""Where the values of a composed study come from."""

from pathlib import Path

import pytest

from sweeps.config.groups import load, names
from sweeps.config.provenance import DEFAULT, FITTED, TYPED, Value, values


def sources(*overrides: str) -> dict[str, Value]:
    return {value.key: value for value in values(overrides)}


def test_each_kind_of_file_and_the_command_line_are_told_apart() -> None:
    found = sources("study=lacuna-faithful", "unlearn.train.steps=3", "+resources.sequences.12=1")
    assert found["study"].source == "study/lacuna-faithful.yaml"
    assert found["seeds"].source == "study/lacuna.yaml"
    assert found["masked.inject.dropout.rate"].source == "study/lacuna-faithful.yaml"
    assert found["masked.inject.dropout.rate"].value == 0.0
    assert found["evaluate.new_tokens"].source == "recipe/mini-synthetic.yaml"
    assert found["retained.recipe.neutral"].source == "recipe/mini.yaml"
    assert found["data.num_forget"].source == "size/lacuna-synthetic.yaml"
    assert found["model.mini.vocabulary"].source == "size/lacuna-synthetic.yaml"
    assert found["model.mini.hidden"].source == "model/mini.yaml"
    assert found["significance.seed"].source == DEFAULT
    assert found["unlearn.train.steps"].source == TYPED
    assert found["resources.sequences.12"].source == TYPED
    assert found["data.name"].source == "config.yaml"


def test_published_rates_epochs_and_the_study_s_own_choices_are_named() -> None:
    found = sources("study=table2", "unlearn.lrs.region.npo=[1e-3]")
    assert found["unlearn.lrs.region.wga"].source == "published/table2-olmo2_7b.yaml"
    assert found["unlearn.lrs.region.npo"] == Value("unlearn.lrs.region.npo", [1e-3], TYPED)
    assert found["unlearn.train.steps"].source == "epochs/tofu.yaml"
    assert found["model.dtype"].source == "model/hub.yaml"
    assert found["data.name"].source == "study/table2.yaml"


def test_batches_cut_to_a_gpu_s_memory_say_so() -> None:
    found = sources("study=table2", "resources.gpu_memory=24")
    assert found["inject.train.batch_size"].source == FITTED
    assert found["inject.train.accumulation"].source == FITTED
    assert found["inject.train.steps"].source == "epochs/tofu.yaml"
    assert found["resources.gpu_memory"].source == TYPED
    assert FITTED not in {value.source for value in sources("study=table2").values()}


def test_paths_keep_their_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = sources("study=smoke", "artifacts=here")
    assert found["artifacts"] == Value("artifacts", str(tmp_path / "here"), TYPED)


@pytest.mark.parametrize("study", names("study"))
def test_a_value_said_to_be_a_file_s_is_what_the_file_says(study: str) -> None:
    found = sources(f"study={study}")
    said = {value.source for value in found.values()}
    assert said > {DEFAULT, f"study/{study}.yaml"}
    files = {name: load(name.removesuffix(".yaml")) for name in said if name.endswith(".yaml")}
    for value in found.values():
        if value.source.endswith(".yaml") and value.source != "config.yaml":
            held: object = files[value.source]
            parts = value.key.split(".")
            if value.source == "model/mini.yaml":  # not at the root, but in the section `model`
                parts = parts[1:]
            if parts != ["name"] and value.key != "data.name":
                for part in parts:
                    assert isinstance(held, dict)
                    held = held[part]
                assert held == value.value or "${" in str(held), value
