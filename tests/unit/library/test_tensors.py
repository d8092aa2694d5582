"""Tensors come back as they were; a damaged file is named."""

import math
from pathlib import Path

import pytest
import torch

from lacuna.errors import UserError
from lacuna.tensors import load_tensors, save_tensors


def test_tensors_keep_their_bits_types_and_metadata(tmp_path: Path) -> None:
    tensors = {
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.tensor([1.0, -0.0, math.inf], dtype=torch.bfloat16),
        "columns": torch.tensor([3, 1]),
    }
    save_tensors(tmp_path / "t.safetensors", tensors, {"seed": "1"})
    loaded, metadata = load_tensors(tmp_path / "t.safetensors")
    assert metadata == {"seed": "1"}
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    assert math.copysign(1, loaded["half"][1].item()) == -1


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_a_missing_or_cut_tensor_file_is_named_in_one_line(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.safetensors"
    with pytest.raises(UserError, match="t.safetensors does not exist"):
        load_tensors(path)
    save_tensors(path, {"a": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="t.safetensors") as caught:
        load_tensors(path)
    assert "\n" not in str(caught.value)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Within a process the library's order is random too, so two of 20 would differ."""
    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2, dtype=torch.bfloat16)}
    metadata = {name: f'"{name}" \u00e4' for name in "edcba"}
    files = [tmp_path / f"{n}.safetensors" for n in range(20)]
    for path in files:
        save_tensors(path, tensors, metadata)
    assert len({path.read_bytes() for path in files}) == 1
    loaded, found = load_tensors(files[0])
    assert found == metadata and torch.equal(loaded["b"], tensors["b"])
