"""Region files that are not what they seem: one line that names the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.tiny import tiny_model, tiny_region

from lacuna.errors import UserError
from lacuna.region.files import load_region

SAID = {
    "shapes": (
        "a:b:c",
        "a",
        "",
        "x:1:2:3",
        "model.layers.0.mlp.down_proj:-1:24",
        "a:9999999999999:1",
    ),
    "fingerprint": ("deadbeef", ""),
    "architecture": ("LlamaForCausalLM",),
}
CHANGED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "floats": lambda columns: columns.float(),
    "matrix": lambda columns: columns.reshape(1, -1),
    "scalars": lambda columns: columns[0].clone(),
    "none": lambda columns: columns[:0].clone(),
    "narrow": lambda columns: columns.to(torch.int32),
    "falling": lambda columns: columns.flip(0).contiguous(),
    "below": lambda columns: columns - 100,
    "beyond": lambda columns: columns + 100,
}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor], dict[str, str]]:
    path = tmp_path / "region.safetensors"
    tiny_region(tiny_model()).save(path)
    with safe_open(path, framework="pt") as stream:
        return path, load_file(path), stream.metadata()


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in SAID.items() for v in values])
def test_metadata_that_contradicts_the_file_is_refused(key: str, value: str, saved: Any) -> None:
    path, tensors, metadata = saved
    save_file(tensors, path, {**metadata, key: value})
    with pytest.raises(UserError, match="region.safetensors") as caught:
        load_region(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", CHANGED)
def test_columns_that_are_no_list_of_columns_are_refused(kind: str, saved: Any) -> None:
    path, tensors, metadata = saved
    save_file({name: CHANGED[kind](held) for name, held in tensors.items()}, path, metadata)
    with pytest.raises(UserError, match="region.safetensors: columns of"):
        load_region(path)


def test_a_region_of_nothing_is_refused(saved: Any) -> None:
    path, _, metadata = saved
    save_file({}, path, metadata)
    with pytest.raises(UserError, match="holds no value vector"):
        load_region(path)
