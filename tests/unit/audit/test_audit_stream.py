"""Checkpoints read piece by piece: the same tensors, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import same_bits, state, tiny_model
from transformers import PreTrainedModel

from lacuna.audit.stream import (
    open_checkpoint,
    place,
    refuse_non_finite,
    require_alike,
)
from lacuna.errors import UserError
from lacuna.model import layout
from lacuna.model.files import INDEX, SINGLE


def saved(model: PreTrainedModel, folder: Path, shard: str = "5KB") -> Path:
    model.save_pretrained(folder, max_shard_size=shard)
    return folder


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_model(layers=11), tmp_path_factory.mktemp("sharded") / "model")


@pytest.fixture
def copy(sharded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sharded, tmp_path / "copy"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shard", ["5KB", "1GB"])
def test_every_tensor_is_read_whole_and_in_blocks(
    dtype: torch.dtype, shard: str, tmp_path: Path
) -> None:
    model = tiny_model(dtype=dtype)
    found = open_checkpoint(saved(model, tmp_path / "m", shard))
    assert (tmp_path / "m" / INDEX).exists() == (shard == "5KB")
    assert (len(set(found.files.values())) > 1) == (shard == "5KB")
    wanted = state(model)
    assert set(found.shapes) == set(wanted)
    assert found.weights == sum(tensor.numel() for tensor in wanted.values())
    for name, tensor in wanted.items():
        assert same_bits(found.read(name), tensor) and found.dtypes[name] == dtype
        blocks = list(found.blocks(name, size=100))
        assert same_bits(torch.cat(blocks), tensor)
        if tensor.dim() == 2:
            assert max(block.numel() for block in blocks) <= 100


def test_its_layout_is_the_loaded_models_in_the_same_order(sharded: Path) -> None:
    loaded, streamed = layout(tiny_model(layers=11)), open_checkpoint(sharded).layout
    assert list(streamed.shapes.items()) == list(loaded.shapes.items())
    assert dict(streamed.weights) == dict(loaded.weights)
    assert streamed.fingerprint == loaded.fingerprint


def test_places_are_layers_and_components() -> None:
    assert place("model.layers.3.mlp.down_proj.weight") == (3, "mlp.down_proj")
    assert place("gpt_neox.layers.12.attention.dense.bias") == (12, "attention.dense.bias")
    assert place("lm_head.weight") == (None, "lm_head")
    assert place("model.norm.weight") == (None, "norm")


def test_a_checkpoint_is_like_itself_and_unlike_another_shape_or_architecture(
    sharded: Path, tmp_path: Path
) -> None:
    mine = open_checkpoint(sharded)
    require_alike(mine, mine)
    shallow = open_checkpoint(saved(tiny_model(), tmp_path / "shallow"))
    with pytest.raises(UserError, match="different tensors: 99 are in one only"):
        require_alike(mine, shallow)
    wide = open_checkpoint(saved(tiny_model(), tmp_path / "wide"))
    path = wide.files["model.norm.weight"]
    save_file({**load_file(path), "model.norm.weight": torch.ones(17)}, path)
    with pytest.raises(UserError, match=r"1 of another shape .model.norm.weight \[17\], not \[16"):
        open_checkpoint(tmp_path / "wide")
    broad = tiny_model()
    broad.resize_token_embeddings(48)
    with pytest.raises(UserError, match=r"shape of lm_head.weight: \[40, 16\] and \[48, 16\]"):
        require_alike(shallow, open_checkpoint(saved(broad, tmp_path / "broad")))
    other = open_checkpoint(saved(tiny_model("llama"), tmp_path / "llama"))
    with pytest.raises(UserError, match="different models: Olmo2ForCausalLM and LlamaForCausalLM"):
        require_alike(shallow, other)


def test_what_is_no_checkpoint_is_refused_in_one_line(copy: Path, tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            open_checkpoint(folder)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nowhere", "nowhere is not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no config.json")
    shard = sorted(copy.glob("model-*.safetensors"))[3]
    shard.rename(copy / "kept")
    refused(copy, f"lacks 1 of .* shards .{shard.name}")
    shard.write_bytes((copy / "kept").read_bytes()[:-4])
    refused(copy, f"{shard.name} is not a whole safetensors file")
    save_file({"another": torch.ones(1)}, shard)
    refused(copy, "lacks tensor 'model.*', which model.safetensors.index.json says")
    (copy / INDEX).write_text("{}")
    refused(copy, "has no weight_map")
    (copy / INDEX).unlink()
    refused(copy, "no model.safetensors and no model.safetensors.index.json .saw model-00001")
    (copy / "config.json").write_text(json.dumps({"model_type": "olmo2"}))
    refused(copy, "names no architecture")


def test_pickles_and_quantized_weights_are_refused_with_the_way_out(
    copy: Path, sharded: Path
) -> None:
    for path in copy.glob("model*.safetensors*"):
        path.unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="only pickled weights.*pytorch_model.bin.*save_pretrained"):
        open_checkpoint(copy)
    save_file({"w": torch.ones(2, 2, dtype=torch.int8)}, copy / SINGLE)
    with pytest.raises(UserError, match="w is stored as I8: .* before its quantization"):
        open_checkpoint(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_tensor_with_a_weight_that_is_no_number_is_named(copy: Path, value: float) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    path = open_checkpoint(copy).files[name]
    tensors = load_file(path)
    tensors[name][3, 1] = value
    save_file(tensors, path)
    found = open_checkpoint(copy)
    refuse_non_finite([found], "lm_head.weight")
    with pytest.raises(UserError, match=f"copy: {name} has 1 weights that are NaN or infinite"):
        refuse_non_finite([found], name)
