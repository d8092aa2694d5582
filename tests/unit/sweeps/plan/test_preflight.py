"""What planning knows of a model, before anything runs: printed, kept, and part of the key."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from support.families import named, save
from support.studies import planned

from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model import load_model
from sweeps.plan.estimate import estimate_study
from sweeps.plan.sources import identity

FILE = "model.safetensors"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint; tests copy it."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    save(named("llama"), folder, max_position_embeddings=2048)
    return folder


@pytest.fixture
def folder(hub: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hub, tmp_path / "model"))


def spoil(folder: Path) -> None:
    tensors = load_file(folder / FILE)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = float("inf")
    save_file(tensors, folder / FILE, metadata={"format": "pt"})


def test_a_plan_prints_what_was_checked_and_keeps_it_for_the_manifest(folder: Path) -> None:
    planner = planned(f"model.source={folder}", "plan=true")
    text = estimate_study(planner).text()
    assert "model: LlamaForCausalLM: " in text and "80 value vectors" in text
    assert "model: tokenizer of " in text and "longest text" in text
    kept = planner.preflights["model"].to_json()
    assert kept["stored_as"] == ["F32"] and kept["chat"] == "none" and not kept["unchecked"]
    assert kept["longest"] <= kept["positions"] and kept["largest_id"] < kept["embedding"]


def test_what_is_no_number_is_refused_before_anything_runs(folder: Path) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=r"layers.1.mlp.up_proj.weight has 1 weights that are NaN"):
        planned(f"model.source={folder}")
    assert planned(f"model.source={folder}", "plan=true").preflights, "a plan reads no weight"


def adopted(folder: Path, checkpoint: Path, masks: Path) -> None:
    planned(
        f"model.source={folder}", f"checkpoint={checkpoint}", f"region.file={masks}",
        "region.ratio=0.01", study="lacuna",
    )  # fmt: skip


def test_an_adopted_checkpoint_has_the_preflight_of_the_model(
    folder: Path, tmp_path: Path, hub: Path
) -> None:
    masks = tmp_path / "masks.safetensors"
    config = planned(
        f"model.source={folder}", "region.ratio=0.01", "plan=true", study="lacuna"
    ).config
    model = load_model(folder, prompt=Prompt(), device="cpu").model
    config.masked.masks.draw(model, config.region.ratios[0], 1).save(masks)
    other = tmp_path / "other"
    save(named("llama"), other, num_hidden_layers=3)
    with pytest.raises(UserError, match=r"checkpoint=.*other is another model than the study's"):
        adopted(hub, other, masks)
    spoil(folder)
    with pytest.raises(UserError, match=r"model.layers.1.mlp.up_proj.weight has 1"):
        adopted(hub, folder, masks)
    tensors = load_file(folder / FILE)
    del tensors["lm_head.weight"]
    save_file(tensors, folder / FILE, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights .lm_head"):
        adopted(hub, folder, masks)


DECISIVE = {
    "chat_template.jinja": "{{ messages[-1].content }}",
    "chat_templates/tools.jinja": "x",
    "merges.txt": "a b",
    "spiece.model": "bytes",
    "words.tiktoken": "YQ== 0",
    "generation_config.json": '{"eos_token_id": 3}',
}


def test_a_key_follows_every_file_that_a_loader_reads(folder: Path) -> None:
    seen = {identity(str(folder))}
    for name, text in DECISIVE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        assert (new := identity(str(folder))) not in seen, name
        seen.add(new)
    (folder / "merges.txt").rename(folder / "vocab.txt")
    assert (new := identity(str(folder))) not in seen, "names count"
    for name in ("README.md", "LICENSE.txt", "figure.png"):
        (folder / name).write_text("words")
        assert identity(str(folder)) == new, name
    moved = folder.rename(folder.parent / "elsewhere")
    assert identity(str(moved)) == new, "places do not count"
    keys = [planned(f"model.source={moved}", "plan=true").stages.base().key]
    (moved / "chat_template.jinja").write_text("{{ messages[0].content }}")
    keys.append(planned(f"model.source={moved}", "plan=true").stages.base().key)
    assert keys[0] != keys[1]
